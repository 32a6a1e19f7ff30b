"""What the bucket ``idr`` holds: the metadata documents and the arrays of its images.

Keys, shapes, data types, chunk shapes and metadata follow the public IDR images, oddities
included, because a reader has to cope with them:

- v0.1 has no axes and no scales, and chunk keys with dots (``0/0.0.118.0.0``);
- v0.4 has axes and scales, and chunk keys with slashes (``0/0/0/118/0/0``);
- the v0.4 scale of 9822152 says micrometer where nanometer is meant;
- the v0.4 scale of 4007801 is a placeholder;
- the v0.1 labels of 6001247 are a plain array, the v0.4 labels a group of levels whose axes
  spell the key ``unit`` as ``units``;
- the v0.5 copy of 9822152 is Zarr v3: 4 x 4 chunks share one object, a shard.

Besides there is a plate of 96 wells, which is nobody's stand-in (see `plate_layout`).

One thing differs. The real v0.1 copy of 9822152 was written by Bio-Formats, with
``"fill_value": "0"`` (a string) and ``"filters": []``. ngff-zarr 0.50 refuses that fill value
and zarr 3.1 warns about the filters, so the stand-in says ``0`` and ``null``.

Nothing here imports a painter or NumPy: a chunk is named, not painted.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

from . import plate_layout
from .arrays import Array, ShardedArray
from .listing import ChunkKeys, JoinedKeys, SortedKeys, find

BUCKET = "idr"
PAINTING = 1  # part of every chunk's ETag: raise it when a painter's pixels change
LABEL_VALUES = range(1381342, 1381390)  # 48 nuclei

YX = tuple[int, int]


@dataclass(frozen=True)
class Image:
    """What is declared about one image; sizes in pixels, scales in `unit` per pixel."""

    image_id: int
    painter: str
    study: str
    tcz: tuple[int, int, int]
    levels: tuple[YX, ...]
    dtype: str
    channels: list[dict[str, Any]]
    rdefs: dict[str, Any]
    tile: int | None = None  # largest chunk along Y and X; None: one plane a chunk
    scale: tuple[float, float, float] = (1.0, 1.0, 1.0)  # Z, Y, X at level 0
    units: tuple[str | None, str | None, str | None] = (None, None, None)  # Z, Y, X
    label_levels: tuple[YX, ...] = field(default=())
    sharded: str = ""  # folder of the copy as OME-Zarr 0.5, whose chunks are kept in shards

    @property
    def name(self) -> str:
        """Name shown by viewers."""
        return f"synthetic stand-in for IDR {self.image_id}"


def channel(label: str, color: str, start: int, end: int) -> dict[str, Any]:
    """Return the ``omero`` entry of one channel with its display window."""
    return {
        "active": True,
        "coefficient": 1,
        "color": color,
        "family": "linear",
        "inverted": False,
        "label": label,
        "window": {"start": start, "end": end, "min": 0, "max": 65535},
    }


ORGANOID = Image(
    image_id=9822152,
    painter="organoid",
    study="idr0083A",
    tcz=(1, 1, 1),
    levels=(
        (93184, 144384),
        (46592, 72192),
        (23296, 36096),
        (11648, 18048),
        (5824, 9024),
        (2912, 4512),
        (1456, 2256),
        (728, 1128),
        (364, 564),
        (182, 282),
        (91, 141),
    ),
    dtype=">u2",
    channels=[channel("transmission EM", "FFFFFF", 1500, 6000)],
    rdefs={"defaultT": 0, "defaultZ": 0, "model": "greyscale"},
    tile=1024,
    scale=(1.0, 1.0032640194886027, 1.0032640194886027),
    units=(None, "micrometer", "micrometer"),  # wrong in the real one too: nanometer is meant
    sharded="idr0083",
)

EMBRYO = Image(
    image_id=4007801,
    painter="embryo",
    study="idr0044A",
    tcz=(532, 2, 988),
    levels=((2048, 2169), (1024, 1084), (512, 542), (256, 271), (128, 135)),
    dtype="<u2",
    channels=[channel("H2B-eGFP", "00FF00", 0, 1093), channel("myr-tdTomato", "FF0000", 0, 439)],
    rdefs={"defaultT": 265, "defaultZ": 494, "model": "color"},
)

BLASTOCYST = Image(
    image_id=6001247,
    painter="blastocyst",
    study="idr0062A",
    tcz=(1, 2, 257),
    levels=((210, 253), (105, 126), (52, 63)),
    dtype="<u2",
    channels=[channel("LaminB1", "0000FF", 0, 1500), channel("DAPI", "FFFF00", 0, 1500)],
    rdefs={"defaultT": 0, "defaultZ": 128, "model": "color"},
    scale=(0.500202734375, 0.3603981534640209, 0.3603981534640209),
    units=("micrometer", "micrometer", "micrometer"),
    label_levels=((210, 253), (105, 126), (52, 63), (26, 31)),
)

IMAGES = (ORGANOID, EMBRYO, BLASTOCYST)


@dataclass(frozen=True)
class Entry:
    """One object of the bucket: a metadata document, or a chunk that has yet to be painted."""

    key: str
    size: int
    etag: str
    document: bytes = b""
    array: Array | None = None
    index: tuple[int, ...] = ()


def known_image(image_id: int) -> Image:
    """Return what the stand-in knows of one of its images."""
    return next(image for image in IMAGES if image.image_id == image_id)


class Catalogue:
    """All objects of the bucket, in S3's order.

    Parameters
    ----------
    documents : dict of str to bytes
        Metadata documents by key.
    arrays : list of Array
        The arrays; their own metadata documents are added here.
    """

    def __init__(self, documents: dict[str, bytes], arrays: list[Array]) -> None:
        described = {f"{a.path}/{a.document}": to_json(a.metadata()) for a in arrays}
        self._documents = documents | described
        self._arrays = {array.folder: array for array in arrays}
        sequences: list[SortedKeys] = [(key,) for key in self._documents]
        for folder, array in self._arrays.items():
            sequences.append(ChunkKeys(folder, array.grid, array.separator))
        self.keys = JoinedKeys(sequences)

    @property
    def all_arrays(self) -> list[Array]:
        """The arrays: every level of every copy of every image."""
        return list(self._arrays.values())

    def find(self, key: str) -> Entry | None:
        """Return the object with this key, or None. Only canonical chunk numbers are found."""
        position = find(self.keys, key)
        return None if position is None else self.entry(position)

    def entry(self, position: int) -> Entry:
        """Return the object at a position of the sorted keys; nothing is painted."""
        which, offset = self.keys.locate(position)
        keys = self.keys.sequences[which]
        key = keys[offset]
        if isinstance(keys, ChunkKeys):
            array = self._arrays[keys.folder]
            # "-1" marks an ETag that is not the MD5 of the content, as S3 does for large uploads.
            etag = f'"{md5(f"{PAINTING} {key}".encode())}-1"'
            index = keys.chunk_index(offset)
            return Entry(key, array.size_of(index), etag, array=array, index=index)
        document = self._documents[key]
        return Entry(key, len(document), f'"{md5(document)}"', document)


def build_catalogue() -> Catalogue:
    """Return the catalogue: the three images, each as v0.1 and v0.4, one as v0.5; a plate."""
    documents: dict[str, bytes] = {}
    arrays: list[Array] = []
    for image in IMAGES:
        add_v01(image, f"zarr/v0.1/{image.image_id}.zarr", documents, arrays)
        add_v04(image, f"zarr/v0.4/{image.study}/{image.image_id}.zarr", documents, arrays)
        if image.sharded:
            root = f"zarr/v0.5/{image.sharded}/{image.image_id}.zarr"
            add_v05(image, root, documents, arrays)
    for path, attributes in plate_layout.groups().items():
        add_group(path, attributes, documents)
    arrays += plate_layout.arrays()
    return Catalogue(documents, arrays)


def add_v01(image: Image, root: str, documents: dict[str, bytes], arrays: list[Array]) -> None:
    """Add an image in the layout of OME-Zarr 0.1: dots in chunk keys, no axes, no scales."""
    add_group(root, {"multiscales": [multiscale(image, "0.1")], "omero": omero(image)}, documents)
    arrays += image_arrays(image, root, ".")
    if image.label_levels:
        add_group(f"{root}/labels", {"labels": ["0"]}, documents)
        arrays += label_arrays(image, f"{root}/labels", ".")[:1]  # labels/0 itself is an array


def add_v04(image: Image, root: str, documents: dict[str, bytes], arrays: list[Array]) -> None:
    """Add an image in the layout of OME-Zarr 0.4: slashes in chunk keys, axes and scales."""
    described = multiscale(image, "0.4") | {"axes": axes(image, "unit")}
    add_scales(described, image)
    add_group(root, {"multiscales": [described], "omero": omero(image)}, documents)
    arrays += image_arrays(image, root, "/")
    if image.label_levels:
        add_group(f"{root}/labels", {"labels": ["0"]}, documents)
        described = multiscale(image, "0.4", labels=True) | {"axes": axes(image, "units")}
        add_scales(described, image)
        colors = [{"label-value": v, "rgba": [128, 128, 128, 128]} for v in LABEL_VALUES]
        image_label = {"colors": colors, "source": {"image": "../../"}, "version": "0.4"}
        attributes = {"multiscales": [described], "image-label": image_label}
        add_group(f"{root}/labels/0", attributes, documents)
        arrays += label_arrays(image, f"{root}/labels/0", "/")


def add_v05(image: Image, root: str, documents: dict[str, bytes], arrays: list[Array]) -> None:
    """Add an image in the layout of OME-Zarr 0.5: Zarr v3, with many chunks in each object."""
    described = multiscale(image, "0.5") | {"axes": axes(image, "unit")}
    add_scales(described, image)
    del described["version"]
    rendering = {key: value for key, value in omero(image).items() if key != "version"}
    ome = {"version": "0.5", "multiscales": [described], "omero": rendering}
    group = {"zarr_format": 3, "node_type": "group", "attributes": {"ome": ome}}
    documents[f"{root}/zarr.json"] = to_json(group)
    for array in image_arrays(image, root, "/"):
        arrays.append(ShardedArray(**vars(array) | {"dtype": "<u2"}))


def add_group(path: str, attributes: dict[str, Any], documents: dict[str, bytes]) -> None:
    """Add the two documents of a Zarr v2 group."""
    documents[f"{path}/.zgroup"] = to_json({"zarr_format": 2})
    documents[f"{path}/.zattrs"] = to_json(attributes)


def image_arrays(image: Image, folder: str, separator: str) -> list[Array]:
    """Return the levels of an image as arrays ``folder/0``, ``folder/1``, ..."""
    arrays = []
    for level, (y, x) in enumerate(image.levels):
        tile = image.tile or max(y, x)
        chunks = (1, 1, 1, min(y, tile), min(x, tile))
        shape = (*image.tcz, y, x)
        painter = f"{image.painter}.paint"
        path = f"{folder}/{level}"
        arrays.append(Array(path, shape, chunks, image.dtype, separator, painter, level))
    return arrays


def label_arrays(image: Image, folder: str, separator: str) -> list[Array]:
    """Return the levels of the label image, with one channel, as ``folder/0``, ..."""
    t, _, z = image.tcz
    painter = f"{image.painter}.paint_labels"
    return [
        Array(f"{folder}/{n}", (t, 1, z, y, x), (1, 1, 1, y, x), "<u4", separator, painter, n)
        for n, (y, x) in enumerate(image.label_levels)
    ]


def multiscale(image: Image, version: str, labels: bool = False) -> dict[str, Any]:
    """Return a ``multiscales`` entry without axes and scales, which is all that 0.1 has."""
    levels = image.label_levels if labels else image.levels
    name = f"labels of the {image.name}" if labels else image.name
    datasets = [{"path": str(n)} for n in range(len(levels))]
    return {"datasets": datasets, "name": name, "version": version}


def axes(image: Image, unit_key: str) -> list[dict[str, str]]:
    """Return the axes of OME-Zarr 0.4; `unit_key` is ``"unit"``, or the misspelt ``"units"``."""
    found = [{"name": "t", "type": "time"}, {"name": "c", "type": "channel"}]
    for name, unit in zip("zyx", image.units, strict=True):
        found.append({"name": name, "type": "space"} | ({unit_key: unit} if unit else {}))
    return found


def add_scales(described: dict[str, Any], image: Image) -> None:
    """Add to each dataset its scale, in axis order TCZYX: Y and X double from level to level."""
    z, y, x = image.scale
    for level, dataset in enumerate(described["datasets"]):
        scale = [1.0, 1.0, z, y * 2**level, x * 2**level]
        dataset["coordinateTransformations"] = [{"type": "scale", "scale": scale}]


def omero(image: Image) -> dict[str, Any]:
    """Return the ``omero`` block: how to render the channels."""
    return {
        "id": image.image_id,
        "name": image.name,
        "channels": image.channels,
        "rdefs": image.rdefs,
        "version": "0.1",
    }


def to_json(content: dict[str, Any]) -> bytes:
    """Return a metadata document in the form that Zarr v2 libraries write."""
    return json.dumps(content, indent=4, sort_keys=True).encode()


def md5(content: bytes) -> str:
    """Return the MD5 of some bytes in hexadecimal; S3 uses it as ETag."""
    return hashlib.md5(content, usedforsecurity=False).hexdigest()
