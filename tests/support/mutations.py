"""Documents of strangers: valid ones, and what becomes of them when they are changed at random."""

import copy
import json
import math
from typing import NamedTuple

import zarr
from hypothesis import strategies as st

from support.images import axes, halve, noise, scales, write_json, write_v2
from support.plates import write_group, write_plate

SHAPE = (2, 3, 20, 24)
NAMES = "czyx"
OMERO = {
    "name": "from omero",
    "channels": [
        {
            "label": label,
            "color": color,
            "active": True,
            "inverted": False,
            "family": "linear",
            "coefficient": 1,
            "window": {"start": 10, "end": 3000, "min": 0, "max": 4095},
        }
        for label, color in (("DAPI", "0000FF"), ("µ-tubulin", "00FF00"))
    ],
    "rdefs": {"defaultT": 0, "defaultZ": 1, "model": "color"},
}

HOSTILE_TEXT = (
    "",
    " ",
    "0",
    "1e400",
    "-1",
    "nan",
    "../../secret",
    "..",
    "/etc",
    "%2e%2e/x",
    "https://elsewhere/x",
    "\x1b[2J\x1b]0;owned\x07",
    "\x9b31m",
    "\u202egnp.exe",
    "two\nlines\x00",
    "$x^$",
    "$\\frac$",
    "<img src=x onerror=alert(1)>",
    "\ud800",
    "9" * 5000,
    "long " * 50_000,
    "µm – 日本語",
)
TELLING = (
    *("t", "c", "z", "y", "x", "time", "channel", "space", "pixel", "parsec", "yoctometer", "Å"),
    *("scale", "translation", "identity", "affine", "sequence", "rotation", "greyscale"),
    *("|u1", ">i2", "<f4", "<f8", "<c16", "|b1", "|O", "|S5", "<U3", "<M8[ns]", "|V4", "float16"),
    *("int64", "complex128", "string", "F", "C", ".", "/", "v2", "default", "regular", "array"),
    *("pickle", "zlib", "gzip", "zstd", "lz4", "delta", "vlen-utf8", "json2", "transpose"),
    *("crc32c", "bytes", "sharding_indexed", "0.1", "0.2", "0.3", "0.4", "0.5", "0.6", "0.7"),
    *("1", "00", "A", "B/03", "polynomial", "exponential", "NaN", "Infinity", "0xff"),
)
EXTREME = (
    0,
    -1,
    1,
    3,
    255,
    2**31,
    2**63,
    10**30,
    10**400,
    -(10**400),
    0.5,
    -0.0,
    1e-5,
    1e-150,
    1e-300,
    1e-320,
    1e5,
    1e150,
    1e300,
    1e308,
    -1e308,
    math.inf,
    -math.inf,
    math.nan,
)


def nested(depth, leaf=0):
    """A list in a list in a list, and so on."""
    for _ in range(depth):
        leaf = [leaf]
    return leaf


OTHERS = (None, True, False, [], {}, [[]], [{}], {"name": {}}, [None] * 50, nested(30), nested(150))

values = st.one_of(*map(st.sampled_from, (HOSTILE_TEXT, TELLING, EXTREME, OTHERS)))


class Changed(NamedTuple):
    """The bytes of a changed document, and the paths of what was touched."""

    written: bytes
    touched: list

    def __repr__(self):
        return f"{self.written[:3000]!r}, touched {self.touched}"


def places(value, path=()):
    """The path of every value in a document."""
    yield path
    if isinstance(value, dict | list):
        for key, one in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(one, (*path, key))


def at(document, path):
    """The value at a path."""
    for key in path:
        document = document[key]
    return document


WAYS = (*["twist"] * 8, *["replace"] * 3, "drop", "swap", "wrap", "add", "twice", "many")


def leaves(document):
    """The paths of numbers and texts, which say more than lists and objects do."""
    found = [path for path in places(document) if path and "consolidated_metadata" not in path]
    return [path for path in found if not isinstance(at(document, path), dict | list)] or found


@st.composite
def changes(draw, document):
    """A document with one to three things changed, and the paths of what was touched."""
    document, touched = copy.deepcopy(document), []
    for _ in range(draw(st.sampled_from((1, 1, 1, 2, 3)))):
        known = [path for path in places(document) if path]
        if not known:
            break
        way = draw(st.sampled_from(WAYS))
        path = draw(st.sampled_from(leaves(document) if way == "twist" else known))
        holder, key = at(document, path[:-1]), path[-1]
        match way:
            case "twist":  # a number becomes extreme, a text hostile
                kind = HOSTILE_TEXT if isinstance(holder[key], str) else EXTREME
                holder[key] = draw(st.sampled_from(kind))
            case "replace":
                holder[key] = copy.deepcopy(draw(values))
            case "drop":
                del holder[key]
            case "swap":  # with something from elsewhere in the document
                holder[key] = copy.deepcopy(at(document, draw(st.sampled_from(known))))
            case "wrap":
                holder[key] = draw(st.sampled_from(([holder[key]], {"name": holder[key]})))
            case "add" if isinstance(holder, dict):
                holder[draw(st.sampled_from(HOSTILE_TEXT))] = copy.deepcopy(draw(values))
            case "add":
                holder.insert(key, copy.deepcopy(draw(values)))
            case "many":
                whole = holder[key] if isinstance(holder[key], list) else [holder[key]]
                holder[key] = whole * (300_000 // len(json.dumps(whole)))
                return document, [*touched, path]
            case "twice" if isinstance(holder, list):
                holder.insert(key, copy.deepcopy(holder[key]))
            case "twice":
                holder[key] = [copy.deepcopy(holder[key])] * 3
        touched.append(path)
    return document, touched


texts = st.sampled_from(
    (
        b"",
        b"null",
        b"[]",
        b"\xff\xfe\x00",
        b"\xef\xbb\xbf{}",
        b"<html>login</html>",
        b'{"a": 1, "a": 2}',
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"multiscales": ' + b"9" * 5000 + b"}",
        '{"name": "\u00e9"}'.encode("latin-1"),
    )
)


@st.composite
def hostile(draw, document):
    """The bytes of a document as a stranger may have written it, and what was touched."""
    if draw(st.integers(0, 19)) == 0:
        return Changed(draw(texts), [()])
    changed, touched = draw(changes(document))
    written = json.dumps(changed)
    if draw(st.integers(0, 9)) == 0 and changed:  # the first key once more, with another value
        first = f"{json.dumps(next(iter(changed)))}: {json.dumps(draw(values))}"
        written = f"{{{first}, {written[1:]}"
    return Changed(written.encode(), touched)


# Valid images of each version


def write_every_version(folder):
    """Write an image of each version, and two plates; return pixels of each level, by image."""
    pixels = halve(noise(*SHAPE))
    truth = {"0.1": halve(noise(1, *SHAPE)), "0.3": pixels, "0.4": pixels}
    write_v2(folder / "0.1", truth["0.1"], {"version": "0.1"}, omero=OMERO, separator=".")
    write_v2(folder / "0.3", pixels, {"version": "0.3", "axes": list(NAMES)}, omero=OMERO)
    sizes = [(1, 0.5, 0.25, 0.25), (1, 0.5, 0.5, 0.5)]
    units = dict.fromkeys("zyx", "micrometer")
    said = {"version": "0.4", "name": "of 0.4", "axes": axes(NAMES, **units)}
    write_v2(folder / "0.4", pixels, said | {"datasets": scales(*sizes)}, omero=OMERO)
    write_labels(folder / "0.4/labels", sizes)
    for version in ("0.5", "0.6"):
        write_v3(folder / version, pixels, version, sizes)
        truth[version] = pixels
    wells = {"A/01": [noise(2, 20, 24)], "B/03": [noise(2, 20, 24, seed=1)]}
    rounds = [{"id": 1, "name": "first", "maximumfieldcount": 1}]
    for name, zarr_format in (("plate 0.4", 2), ("plate 0.5", 3)):
        more = {"acquisitions": rounds, "field_count": 1, "name": "a plate"}
        write_plate(folder / name, wells, zarr_format, [1], **more)
    return truth


def write_labels(folder, sizes):
    """Write a list of labels, and a label image with its colours."""
    write_json(folder / ".zgroup", {"zarr_format": 2})
    write_json(folder / ".zattrs", {"labels": ["cells"]})
    one = [{"axes": axes(NAMES), "version": "0.4", "name": "cells", "datasets": scales(*sizes)}]
    labels = halve(noise(1, *SHAPE[1:], dtype="i4") % 5)
    write_v2(folder / "cells", labels, one[0])
    said = json.loads((folder / "cells/.zattrs").read_text(encoding="utf-8"))
    colors = [{"label-value": 1, "rgba": [255, 0, 0, 255]}]
    write_json(folder / "cells/.zattrs", said | {"image-label": {"colors": colors}})


def write_v3(folder, levels, version, sizes):
    """Write an image of OME-Zarr 0.5, with consolidated metadata, or of 0.6."""
    datasets = [{"path": str(n)} | one for n, one in enumerate(scales(*sizes))]
    said = {"name": f"of {version}", "datasets": datasets}
    listed = axes(NAMES, **dict.fromkeys("zyx", "micrometer"))
    if version == "0.6":
        said["coordinateSystems"] = [{"name": "own", "axes": listed}]
        for one in datasets:
            one["coordinateTransformations"][0] |= {"input": {"path": one["path"]}}
            one["coordinateTransformations"][0] |= {"output": {"name": "own"}}
    else:
        said["axes"] = listed
    for number, level in enumerate(levels):
        zarr.create_array(
            store=zarr.storage.LocalStore(folder / str(number)),
            data=level,
            chunks=(1, 1, 16, 16),
            zarr_format=3,
        )
    inside = {"version": version, "multiscales": [said], "omero": OMERO}
    write_group(folder, inside, 3)
    document = json.loads((folder / "zarr.json").read_text(encoding="utf-8"))
    array = json.loads((folder / "0/zarr.json").read_text(encoding="utf-8"))
    document["consolidated_metadata"] = {"kind": "inline", "metadata": {"0": array}}
    write_json(folder / "zarr.json", document)
