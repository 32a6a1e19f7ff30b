"""Metadata as somebody wrote them who wants harm, or did not look: one sentence, or plain text."""

import json
import math
import warnings

import matplotlib.pyplot as plt
import numpy as np
import pytest
from support.images import axes, change_json, noise, scales, write_json, write_v2
from support.plates import plate_of, some_wells, write_group, write_plate

import data_helpers as dh
from data_helpers import MalformedMetadataError, NoLabelsError, OmeZarrError, OmeZarrWarning
from data_helpers._collection import names_in_xml
from data_helpers._formatting import as_html, in_short, plain_text
from data_helpers._metadata.document import DEEPEST, parse_json
from data_helpers._metadata.paths import checked_path
from data_helpers._pixel_size import pixel_size
from data_helpers._warning import warn
from data_helpers.viewer.facts import facts_of
from data_helpers.viewer.neuroglancer import state_of

PIXELS = noise(2, 20, 30)


def write_image(folder, omero=None, path="0", sizes=(1, 0.5, 0.5), **multiscale):
    """A small image of channels, y and x."""
    said = {"version": "0.4", "axes": axes("cyx", y="micrometer", x="micrometer")}
    said |= {"datasets": scales(sizes)} | multiscale
    return write_v2(folder, [PIXELS], said, omero=omero, paths=[path])


# Documents


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'{"a":' * 100_000, "nested more than 100 times"),
        (b"[" * 100_000 + b"]" * 100_000, "nested more than 100 times"),
        (b'{"a":' * 150 + b"1" + b"}" * 150, "nested more than 100 times"),
        (b'{"name": "\xff"}', "not valid JSON"),
        (b'{"n": ' + b"9" * 5000 + b"}", "not valid JSON"),
        (b"null", "should be a JSON object but are a NoneType"),
        (b"", "not valid JSON"),
    ],
)
@pytest.mark.parametrize("key", [".zattrs", "0/.zarray", "labels/.zattrs"])
def test_a_document_that_is_none_is_refused_where_it_enters(content, words, key, tmp_path):
    write_image(tmp_path)
    (tmp_path / "labels").mkdir()
    (tmp_path / key).write_bytes(content)
    with pytest.raises(MalformedMetadataError, match=words) as caught:
        dh.open_multiscale(tmp_path).labels  # noqa: B018
    assert key in str(caught.value)


def test_documents_may_be_nested_as_deep_as_images_need_and_a_mark_at_their_start_is_no_matter():
    deep = '{"a":' * DEEPEST + "1" + "}" * DEEPEST
    assert parse_json(deep.encode(), "here")
    assert parse_json(b'\xef\xbb\xbf{"a": 1, "a": 2}', "here") == {"a": 2}  # the last one counts


# Numbers


@pytest.mark.parametrize("size", ["NaN", "Infinity", "-Infinity", "1e400", "0", "9" * 400, "true"])
def test_a_scale_that_is_no_size_is_refused_by_name(size, tmp_path):
    file = write_image(tmp_path) / ".zattrs"
    file.write_text(file.read_text(encoding="utf-8").replace("[1, 0.5, 0.5]", f"[1, {size}, 0.5]"))
    with pytest.raises(MalformedMetadataError, match=r"datasets\[0\].*scale is \[1, .* above 0"):
        dh.open_multiscale(tmp_path)


@pytest.mark.parametrize("size", [1e300, 1e-300])
def test_scales_that_multiply_to_no_size_are_refused(size, tmp_path):
    overall = [{"type": "scale", "scale": [1, size, 1]}]
    write_image(tmp_path, sizes=(1, size, 1), coordinateTransformations=overall)
    with pytest.raises(MalformedMetadataError, match=r"multiply to .* above 0"):
        dh.open_multiscale(tmp_path)


@pytest.mark.parametrize("size", [1e-320, 1e-30, 1e300])
def test_a_pixel_smaller_or_larger_than_anything_has_no_known_size(size, tmp_path):
    image = dh.open_multiscale(write_image(tmp_path, sizes=(1, size, size)))
    assert pixel_size(image) is None
    dh.caption(dh.show_plane(image), "noise")
    json.dumps(facts_of(dh.view(image)._scene, 480, {}), allow_nan=False)
    plt.close("all")


@pytest.mark.parametrize(
    "window",
    [
        {"start": math.nan, "end": 5},
        {"start": -math.inf, "end": math.inf},
        {"start": 0, "end": 10**400},
        {"start": 0, "end": "1e400"},
        {"start": [0], "end": {}},
        {"start": 0, "end": "9" * 5000},
        ["start", "end"],
        "0-255",
    ],
)
def test_a_window_that_is_none_is_left_out_with_one_warning(window, tmp_path):
    omero = {"channels": [{"label": "a", "window": window}]}
    with pytest.warns(OmeZarrWarning, match=r"left out: omero\.channels\[0\]\.window") as caught:
        image = dh.open_multiscale(write_image(tmp_path, omero))
    assert len(caught) == 1 and image.channels[0].window is None
    json.dumps(facts_of(dh.view(image)._scene, 480, {}), allow_nan=False)


@pytest.mark.parametrize(
    "omero",
    [
        3,
        [1, 2],
        "rubbish",
        {"channels": {"label": "a"}},
        {"channels": [5, None, ["x"]]},
        {"channels": [{"label": {}, "color": "9" * 5000, "family": [], "coefficient": {}}]},
        {"channels": [{"color": [1, 2]}], "rdefs": {"defaultZ": [], "defaultT": 1e300}},
        {"name": ["n"], "rdefs": "grey"},
    ],
)
def test_hints_that_are_rubbish_keep_no_image_from_being_read(omero, tmp_path):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        image = dh.open_multiscale(write_image(tmp_path, omero))
        np.testing.assert_array_equal(image.stored[0][...], PIXELS)
        assert len(image.channels) in (0, 2) and repr(image) and image._repr_html_()
        dh.show_plane(image)
        plt.close("all")
    assert [one.category for one in caught] == [OmeZarrWarning]
    assert "omero" in str(caught[0].message) and len(str(caught[0].message)) < 1000


def test_metadata_without_end_are_cut_short(tmp_path):
    omero = {"channels": [{"label": "a", "color": []}] * 20_000}
    with pytest.warns(OmeZarrWarning, match=r"10,000 of omero.channels.* and 9,991 more") as caught:
        image = dh.open_multiscale(write_image(tmp_path, omero))
    assert len(image.channels) == 2 and len(str(caught[0].message)) < 4100
    attributes = json.loads((tmp_path / ".zattrs").read_text(encoding="utf-8"))
    attributes["multiscales"][0]["datasets"] *= 101
    write_json(tmp_path / ".zattrs", attributes)
    with pytest.raises(MalformedMetadataError, match="datasets lists 101 levels"):
        dh.open_multiscale(tmp_path)


def test_channels_without_end_are_cut_short(tmp_path):
    file = write_image(tmp_path, {"channels": [{"label": "a"}]}) / "0/.zarray"
    change_json(file, shape=[2**40, 20, 30])
    image = dh.open_multiscale(tmp_path)
    assert len(image.channels) == 10_000 and image.channels[0].label == "a"
    assert len(state_of("https://host/image", "image", image)["layers"]) == 100
    facts = facts_of(dh.view(image)._scene, 480, {})
    assert len(facts["channels"]) == 100
    assert "Of 1,099,511,627,776 channels only the first 100 are offered" in facts["note"]
    change_json(file, shape=[2, 20, 2**64])
    with pytest.raises(MalformedMetadataError, match="18446744073709551616"):
        dh.open_multiscale(tmp_path)


# Names

ACTING = (
    "\x1b[2J\x1b]0;owned\x07 \x9b31m \u202egnp.exe two\nlines\x00 \ud800 $x^$ <img src=x> µ 日本"
)
PLAIN = (
    "\ufffd[2J\ufffd]0;owned\ufffd \ufffd31m \ufffdgnp.exe two lines\ufffd \ufffd "
    "$x^$ <img src=x> µ 日本"
)


def test_a_name_is_one_line_of_what_can_be_seen():
    assert plain_text(ACTING) == PLAIN and plain_text(PLAIN) == PLAIN
    assert plain_text("5\u00a0µm, a\u200cb, naïve – Ünïcödé") == "5 µm, a\u200cb, naïve – Ünïcödé"
    assert plain_text("x" * 10**6) == "x" * 200 + "..."
    assert as_html("$a$ <b>") == "<span>$</span>a<span>$</span> &lt;b&gt;"
    assert in_short(["a"] * 12) == "; ".join(["a"] * 10) + "; and 2 more"


def test_names_of_strangers_are_drawn_and_printed_as_plain_text(tmp_path, capsys):
    omero = {"channels": [{"label": ACTING}, {"label": "$\\frac$"}]}
    named = [{"name": name, "unit": ACTING} for name in (ACTING, "y", "x")]
    folder = write_image(tmp_path, omero, name=ACTING, axes=named)
    image = dh.open_multiscale(folder)
    assert image.title == image.channels[0].label == image.axes[0] == image.units[1] == PLAIN
    ax = dh.show_plane(image)
    assert ax.get_title().startswith(PLAIN)
    figure = dh.gallery(
        [PIXELS[0]] * 2, ["$\\frac$", image.channels[0].label], image=image, title=image.title
    )
    with warnings.catch_warnings():  # the font has no such letters
        warnings.filterwarnings("ignore", message="Glyph")
        ax.figure.canvas.draw()
        figure.canvas.draw()
    plt.close("all")
    dh.caption(ax, "noise")
    viewer = dh.view(image)
    json.dumps(viewer.facts).encode()
    links = dh.viewer_links(image)
    for text in (repr(image), repr(viewer), links.title, capsys.readouterr().out):
        assert PLAIN in text
        assert not [letter for letter in text if not letter.isprintable() and letter != "\n"]
    for html in (image._repr_html_(), links._repr_html_()):
        assert "<img" not in html and "&lt;img" in html and "$x^" not in html


def test_names_on_a_plate_are_plain_text(tmp_path):
    acquisitions = [{"id": 1, "name": ACTING}]
    rows = [{"name": ACTING.replace("/", "")}, {"name": "A"}]
    folder = write_plate(tmp_path, some_wells("A/01"), rows=["A"], columns=["01"])
    said = plate_of(["A/01"], rows=["A"], columns=["01"]) | {"rows": rows, "name": ACTING}
    said["wells"] = [{"path": "A/01"}]
    write_group(folder, {"plate": said | {"acquisitions": acquisitions}})
    plate = dh.open_plate(folder)
    assert plate.title == plate.acquisitions[0].name == plate.rows[0] == PLAIN
    assert "<img" not in plate._repr_html_() and PLAIN in repr(plate)


def test_many_wells_that_are_said_to_be_elsewhere_are_one_warning(tmp_path):
    wells = some_wells("A/01", "A/02", "B/03")
    folder = write_plate(tmp_path, wells)
    said = plate_of(wells)
    for well in said["wells"]:
        well["rowIndex"] = 2
    write_group(folder, {"plate": said})
    with pytest.warns(OmeZarrWarning, match=r"Well A/01 .* name is taken. So are 2 more") as caught:
        dh.open_plate(folder)
    assert len(caught) == 1


def test_errors_and_warnings_are_plain_text_whoever_says_them():
    assert str(OmeZarrError(f"say {ACTING}")) == f"say {PLAIN}"
    assert len(str(OmeZarrError("x" * 10**6))) == 4003
    with pytest.warns(OmeZarrWarning) as caught:
        warn(ACTING)
    assert str(caught[0].message) == PLAIN


def test_a_codec_with_an_acting_name_does_not_act(tmp_path):
    change_json(write_image(tmp_path) / "0/.zarray", compressor={"id": ACTING})
    with pytest.raises(OmeZarrError) as caught:
        dh.open_multiscale(tmp_path).stored[0][...]
    assert str(caught.value).isprintable()


def test_names_in_xml_are_plain_text_and_xml_that_explodes_is_none():
    assert names_in_xml('<OME><Image Name="a&#x202E;b"/></OME>') == ["a\ufffdb"]
    laughs = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 12))
    bomb = f'<!DOCTYPE x [<!ENTITY l0 "ha">{laughs}]><OME><Image Name="&l11;"/></OME>'
    assert names_in_xml(bomb) == []
    assert names_in_xml('<?xml version="1.0" encoding="none"?><OME/>') == []


# Paths

OUTWARDS = [
    "../secret",
    "..",
    "a/../../secret",
    "a/../b",
    "%2e%2e/secret",
    "%252e%252e/secret",
    "..%2fsecret",
    "..\\secret",
    "a\\..\\..\\secret",
    ".. /secret",
    "/etc",
    "\\etc",
    "%2fetc",
    "//host/share",
    "https://elsewhere.org/x",
    "file:/etc",
    "C:\\x",
    "C:/x",
    "",
    " ",
    ".",
    "./.",
    "a\x00b",
    "a\nb",
    "\x1b[2J",
    "\ud800",
    "x" * 300,
    "x/" * 600,
]


@pytest.mark.parametrize("path", OUTWARDS, ids=ascii)
def test_a_path_that_leads_out_is_refused(path):
    with pytest.raises(ValueError, match=r"^labels\[0\] is ") as caught:
        checked_path(path, "labels[0]")
    assert str(caught.value).isprintable() and len(str(caught.value)) < 200


@pytest.mark.parametrize(
    "path", ["0", "a..b", "...", "s 0/1", "a%20b", "ü/日本", "..a", "scale0/image", "0/", "a:b"]
)
def test_paths_that_lead_inwards_are_taken_as_they_are(path):
    assert checked_path(path, "datasets[0].path") == path


@pytest.mark.parametrize("path", ["../other/0", "%2e%2e/other/0", "..\\other", "/0", "a/../0"])
@pytest.mark.parametrize("remote", [False, True])
def test_no_level_outside_an_image_is_asked_for(path, remote, served, tmp_path):
    write_image(tmp_path / "other")
    folder = write_image(tmp_path / "image")
    said = json.loads((folder / ".zattrs").read_text(encoding="utf-8"))
    said["multiscales"][0]["datasets"][0]["path"] = path
    write_json(folder / ".zattrs", said)
    address = f"{served.endpoint}/image" if remote else folder
    with pytest.raises(MalformedMetadataError, match=r"datasets\[0\].path is .* inside"):
        dh.open_multiscale(address)
    assert not any("other" in key for key in served.asked)


def test_no_label_outside_an_image_is_asked_for(served, tmp_path):
    write_image(tmp_path / "other")
    folder = write_image(tmp_path / "image")
    write_image(folder / "labels/cells")
    write_json(folder / "labels/.zattrs", {"labels": ["../../other", "cells", "%2e%2e/x"]})
    image = dh.open_multiscale(f"{served.endpoint}/image")
    with pytest.warns(OmeZarrWarning, match=r'labels\[0\] is "../../other", .* is left out'):
        assert image.labels == ["cells"]
    assert image.label().name == "cells"
    for name in ("../../other", "%2e%2e/%2e%2e/other", "/etc", "https://elsewhere.org"):
        with pytest.raises(NoLabelsError, match="has no label image"):
            image.label(name)
    assert not any("other" in key for key in served.asked)


@pytest.mark.parametrize("path", ["../other", "A/%2e%2e/%2e%2e/other", "A/..\\other"])
def test_no_well_and_no_field_outside_a_plate_is_asked_for(path, tmp_path):
    folder = write_plate(tmp_path / "plate", some_wells("A/01"))
    write_group(folder / "A/01", {"well": {"images": [{"path": path}]}})
    with pytest.raises(MalformedMetadataError, match=r"images\[0\].path is .* inside"):
        dh.open_plate(folder).image("A", 1)
    said = plate_of(["A/01"])
    said["wells"][0]["path"] = path
    write_group(folder, {"plate": said})
    with pytest.raises(MalformedMetadataError, match=r"wells\[0\].path is .* inside"):
        dh.open_plate(folder)


def test_no_image_outside_a_collection_is_opened(tmp_path):
    write_image(tmp_path / "other")
    write_group(tmp_path / "some", {"bioformats2raw.layout": 3})
    write_group(tmp_path / "some/OME", {"series": ["../other"]})
    with pytest.raises(MalformedMetadataError, match=r"series\[0\] is .* inside"):
        dh.open_multiscale(tmp_path / "some")
