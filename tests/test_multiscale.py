"""Metadata of OME-Zarr 0.1 to 0.6: levels, axes, scales, units, channels, and what goes wrong."""

import copy
import json
from pathlib import Path

import numpy as np
import pytest
from support.images import (
    axes,
    change_json,
    halve,
    noise,
    scales,
    write_array,
    write_json,
    write_v2,
)

from data_helpers import (
    AccessDeniedError,
    ImageNotFoundError,
    LevelNotFoundError,
    MalformedMetadataError,
    NotOmeZarrError,
    OmeZarrError,
    open_multiscale,
    request_meter,
)
from data_helpers._formatting import format_bytes
from data_helpers.metadata import Channel
from data_helpers.sources import find_source

V01 = "zarr/v0.1/{}.zarr"
EMBRYO_V04 = "zarr/v0.4/idr0044A/4007801.zarr"
ORGANOID_V04 = "zarr/v0.4/idr0083A/9822152.zarr"
BLASTOCYST_V04 = "zarr/v0.4/idr0062A/6001247.zarr"


# The three images of the offline stand-in


def test_the_gigapixel_image(offline):
    image = open_multiscale(9822152)
    assert image.paths == [str(n) for n in range(11)]
    assert [level.shape[-2:] for level in image.levels] == [
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
    ]
    assert image.version == "0.1" and image.axes == ("t", "c", "z", "y", "x")
    assert image.units == (None,) * 5
    assert image.stored[0].chunks == (1, 1, 1, 1024, 1024)
    assert image.stored[0].nchunks == 12_831
    assert image.levels[0].dtype == np.dtype(">u2")
    assert image.channels == [Channel("transmission EM", "FFFFFF", (1500.0, 6000.0))]
    assert image.synthetic and "synthetic" in image.name and "synthetic" in image.title
    assert "9822152" in image.title and image.image_id == 9822152
    assert image.scales[0] == (1, 1, 1, 1, 1)
    assert image.scales[3][-2:] == (8, 8)
    assert image.url == f"{offline}/idr/{V01.format(9822152)}"


def test_the_movie(offline):
    image = open_multiscale("4007801")
    assert [level.shape for level in image.levels] == [
        (532, 2, 988, y, x)
        for y, x in [(2048, 2169), (1024, 1084), (512, 542), (256, 271), (128, 135)]
    ]
    assert image.stored[4].nchunks == 1_051_232
    assert [channel.label for channel in image.channels] == ["H2B-eGFP", "myr-tdTomato"]
    assert [channel.color for channel in image.channels] == ["00FF00", "FF0000"]
    assert [channel.window for channel in image.channels] == [(0, 1093), (0, 439)]
    assert (image.default("t"), image.default("z")) == (265, 494)
    assert image.labels == []


def test_the_nuclei(offline):
    image = open_multiscale(6001247)
    assert [level.shape for level in image.levels] == [
        (1, 2, 257, y, x) for y, x in [(210, 253), (105, 126), (52, 63)]
    ]
    assert [channel.label for channel in image.channels] == ["LaminB1", "DAPI"]
    assert image.labels == ["0"]
    assert image.default("z") == 128


def test_scales_and_units_of_the_v04_copy(offline):
    image = open_multiscale(f"{offline}/idr/{BLASTOCYST_V04}")
    size = 0.3603981534640209
    assert image.version == "0.4"
    assert image.scales == [(1, 1, 0.500202734375, size * f, size * f) for f in (1, 2, 4)]
    assert image.units == (None, None, "micrometer", "micrometer", "micrometer")
    assert open_multiscale(f"{offline}/idr/{ORGANOID_V04}").units[-1] == "micrometer"
    assert open_multiscale(f"{offline}/idr/{EMBRYO_V04}").scales[4] == (1, 1, 1, 16, 16)


@pytest.mark.parametrize(
    ("image_id", "v04", "level", "part"),
    [
        (9822152, ORGANOID_V04, 8, np.s_[0, 0, 0]),
        (9822152, ORGANOID_V04, 0, np.s_[0, 0, 0, 40_000:40_064, 70_000:70_064]),
        (6001247, BLASTOCYST_V04, 1, np.s_[0, :, 128]),
        (4007801, EMBRYO_V04, 4, np.s_[265, 1, 494]),
    ],
)
def test_both_versions_hold_the_same_pixels(image_id, v04, level, part, offline):
    old = open_multiscale(image_id).stored[level]
    new = open_multiscale(f"s3://idr/{v04}").stored[level]
    assert old.shape == new.shape and old.dtype == new.dtype and old.chunks == new.chunks
    pixels = old[part]
    np.testing.assert_array_equal(pixels, new[part])
    assert pixels.min() != pixels.max()
    np.testing.assert_array_equal(open_multiscale(image_id).level(level)[part].compute(), pixels)


def test_opening_reads_metadata_only(offline, asked):
    with request_meter() as cost:
        image = open_multiscale(9822152)
        levels = image.levels
    assert len(levels) == 11
    assert cost.requests == len(asked) <= 12
    assert cost.bytes < 20_000
    assert {outcome for _, outcome in asked} == {"found"}  # nothing that is not there
    assert {Path(url).name for url, _ in asked} == {".zattrs", ".zarray"}
    with request_meter() as cost:
        _ = image.axes, image.scales, image.units, image.channels, image.name, image.version
        _ = image.level_for(500), image.level(3), image._repr_html_(), repr(image)
        _ = levels[4][0, 0, 0, :10], image.stored, image.default("z"), image.title
    assert cost.requests == 0


def test_opening_every_image_by_id_asks_for_nothing_that_is_not_there(offline, asked):
    for image_id in (9822152, 4007801, 6001247):
        open_multiscale(image_id)
    assert {outcome for _, outcome in asked} == {"found"}
    assert len(asked) == 12 + 6 + 4


@pytest.mark.parametrize("image_id", [6001247, "6001247", " 6001247 ", np.int64(6001247)])
def test_an_id_may_be_written_in_several_ways(image_id, offline):
    assert open_multiscale(image_id).image_id == 6001247


@pytest.mark.parametrize("resolution", ["2", 2, np.int64(2)])
def test_a_level_by_path_or_index(resolution, offline):
    image = open_multiscale(6001247)
    assert image.level(resolution).shape == image.levels[2].shape
    assert image.index(resolution) == 2


@pytest.mark.parametrize("resolution", [3, -1, "3", "-1", " 2", "", None, 1.5, True, "0/0"])
def test_a_level_that_is_not_there(resolution, offline):
    with pytest.raises(LevelNotFoundError) as caught:
        open_multiscale(6001247).level(resolution)
    message = str(caught.value)
    assert f"no level {resolution!r}" in message and "'0', '1', '2'" in message
    assert "IDR 6001247" in message and "\n" not in message


def test_the_level_for_a_screen(offline):
    image = open_multiscale(9822152)
    assert image.level_for(91) == 10
    assert image.level_for(92) == 9
    assert image.level_for((91, 141)) == 10
    assert image.level_for((91, 142)) == 9
    assert image.level_for((92, 141)) == 9
    assert image.level_for(1) == 10
    assert image.level_for(500) == 7
    assert image.level_for((1080, 1920)) == 6
    assert image.level_for(93_184) == 0
    assert image.level_for(1_000_000) == 0
    assert image.level_for(np.int64(500)) == 7
    for nothing in (0, -3, (0, 10), (10, 0)):
        with pytest.raises(ValueError, match="at least one pixel"):
            image.level_for(nothing)


def test_the_table_of_levels(offline):
    shown = open_multiscale(9822152)._repr_html_()
    assert shown.count("<tr>") == 12
    for text in ("level", "shape", "chunk", "chunks", "bytes"):
        assert f"<th>{text}</th>" in shown
    for text in ("synthetic", "OME-Zarr 0.1", "t, c, z, y, x", "&gt;u2"):
        assert text in shown
    assert (
        "<tr><td>0</td><td>1 × 1 × 1 × 93,184 × 144,384</td><td>1 × 1 × 1 × 1,024 × 1,024</td>"
        "<td>12,831</td><td>26.9 GB</td></tr>"
    ) in shown
    assert "<td>91 × 141</td>" not in shown  # all axes are shown
    assert "<td>25.7 kB</td>" in shown


def test_repr_is_one_line(offline):
    assert repr(open_multiscale(6001247)) == (
        "Multiscale('IDR 6001247 (synthetic stand-in)', OME-Zarr 0.1, 3 levels)"
    )


@pytest.mark.parametrize("image_id", [1, "1234567", 0])
def test_an_unknown_id_offline(image_id, offline):
    with pytest.raises(ImageNotFoundError) as caught:
        open_multiscale(image_id)
    message = str(caught.value)
    assert f"Image {image_id} is not at the offline source ({offline})" in message
    assert "it knows only these three" in message and "\n" not in message
    for known in ("9822152 (Gigapixel", "4007801 (Light-sheet", "6001247 (Nuclei"):
        assert known in message


def test_an_unknown_id_elsewhere(offline):
    """At an endpoint that may hold other images, the v0.1 key is looked for."""
    with pytest.raises(ImageNotFoundError) as caught:
        open_multiscale(1234567, source=offline)
    message = str(caught.value)
    assert "Image 1234567 is not at the endpoint source" in message
    assert f"looked for {V01.format(1234567)}" in message and "9822152 (" in message


def test_a_negative_id_is_not_found(offline):
    with pytest.raises(OmeZarrError):
        open_multiscale(-5)


def test_any_other_id_that_an_endpoint_holds(served, tmp_path):
    pixels = noise(1, 1, 2, 20, 30)
    write_v2(tmp_path / "idr" / V01.format(1234567), [pixels], {"version": "0.1"}, separator=".")
    image = open_multiscale("1234567", source=served.endpoint)
    np.testing.assert_array_equal(image.stored[0][:], pixels)
    assert not image.synthetic and image.title == "IDR 1234567"


def test_an_endpoint_that_holds_only_the_v04_key(served, tmp_path, asked):
    pixels = noise(1, 1, 1, 20, 30)
    write_v2(tmp_path / "idr" / ORGANOID_V04, [pixels], {"version": "0.4", "axes": axes("tczyx")})
    image = open_multiscale(9822152, source=served.endpoint)
    assert image.version == "0.4" and image.url.endswith(ORGANOID_V04)
    np.testing.assert_array_equal(image.stored[0][:], pixels)
    assert [key for key in served.asked if "v0.1" in key] == [f"idr/{V01.format(9822152)}/.zattrs"]


# Addresses


def test_every_kind_of_address(served, tmp_path, monkeypatch):
    pixels = noise(20, 30)
    folder = write_v2(tmp_path / "pub/a b.zarr", [pixels], {"version": "0.4", "axes": axes("yx")})
    monkeypatch.chdir(tmp_path / "pub")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    for address, source in [
        (f"{served.endpoint}/pub/a b.zarr", None),
        (f"{served.endpoint}/pub/a%20b.zarr/", None),
        ("s3://pub/a b.zarr", served.endpoint),
        ("s3://pub/a b.zarr", find_source(served.endpoint)),
        (folder, None),
        (str(folder), None),
        ("a b.zarr", None),
        (Path("a b.zarr"), None),
        ("~/pub/a b.zarr", None),
    ]:
        image = open_multiscale(address, source=source)
        np.testing.assert_array_equal(image.stored[0][:], pixels)
        assert image.name in ("a b.zarr", "a%20b.zarr") and image.image_id is None


def test_an_s3_address_is_looked_for_at_the_source_in_use(offline):
    assert open_multiscale(f"s3://idr/{BLASTOCYST_V04}").url == f"{offline}/idr/{BLASTOCYST_V04}"


@pytest.mark.parametrize("address", ["ftp://somewhere/a.zarr", "gs://a/b.zarr", "azure://a.zarr"])
def test_an_address_of_another_kind(address):
    with pytest.raises(NotOmeZarrError, match=r"give an IDR id, an https:// or s3:// address, or"):
        open_multiscale(address)


@pytest.mark.parametrize("address", ["no/such/folder.zarr", "six"])
def test_a_folder_that_is_not_there(address, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NotOmeZarrError, match=r"neither \.zattrs nor zarr\.json; check"):
        open_multiscale(address)


def test_a_file_is_no_image(tmp_path):
    (tmp_path / "a.tif").write_bytes(b"II*")
    with pytest.raises(NotOmeZarrError, match=r"a\.tif"):
        open_multiscale(tmp_path / "a.tif")


# What is no image


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ({}, "without the key multiscales"),
        ({"plate": {"rows": [], "columns": [], "wells": []}}, "a plate that lists no wells"),
        ({"well": {"images": []}}, "a well that lists no images"),
        ({"bioformats2raw.layout": 3}, "a collection of images: open one inside it"),
        ({"labels": ["a"]}, "without the key multiscales"),
    ],
    ids=["group", "plate", "well", "collection", "labels"],
)
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_other_zarr_groups(attributes, words, zarr_format, served, tmp_path):
    if zarr_format == 2:
        write_json(tmp_path / ".zattrs", attributes)
    else:
        inside = {"attributes": {"ome": attributes}}
        write_json(tmp_path / "zarr.json", {"zarr_format": 3, "node_type": "group", **inside})
    with pytest.raises(NotOmeZarrError) as caught:
        open_multiscale(served.endpoint)
    assert f"no OME-Zarr image at {served.endpoint}" in str(caught.value)
    assert words in str(caught.value)


def test_a_plain_array_is_no_image(served, tmp_path):
    write_array(tmp_path / "a", noise(20, 20)).attrs["unit"] = "cm"
    write_array(tmp_path / "b", noise(20, 20))
    with pytest.raises(NotOmeZarrError, match="may be a part of an image"):
        open_multiscale(f"{served.endpoint}/a")
    with pytest.raises(NotOmeZarrError):
        open_multiscale(f"{served.endpoint}/b")


def test_the_list_of_labels_is_no_image(offline):
    with pytest.raises(NotOmeZarrError):
        open_multiscale(f"{offline}/idr/{V01.format(6001247)}/labels")


def test_any_other_web_page(served, tmp_path):
    (tmp_path / "index.html").write_text("<h1>Hello</h1>")
    for address in (served.endpoint, f"{served.endpoint}/index.html", f"{served.endpoint}/no"):
        with pytest.raises(NotOmeZarrError):
            open_multiscale(address)


def test_a_version_from_the_future(tmp_path):
    write_v2(tmp_path, [noise(20, 20)], {"version": "0.9", "axes": axes("yx")})
    with pytest.raises(NotOmeZarrError, match=r"version '0\.9'.*versions 0\.1 to 0\.6"):
        open_multiscale(tmp_path)


# The versions, written by hand


def test_v01_and_v02_have_five_axes_and_relative_scales(tmp_path):
    levels = halve(noise(2, 1, 3, 41, 50), 2)
    for version, separator in (("0.1", "."), ("0.2", "/")):
        folder = write_v2(tmp_path / version, levels, {"version": version}, separator=separator)
        image = open_multiscale(folder)
        assert image.version == version and image.axes == ("t", "c", "z", "y", "x")
        assert image.units == (None,) * 5
        assert image.scales == [
            (1, 1, 1, 1, 1),
            (1, 1, 1, 41 / 21, 2),
            (1, 1, 1, 41 / 11, 50 / 13),
        ]


def test_v03_has_named_axes(tmp_path):
    for names in ("yx", "zyx", "cyx", "tyx", "czyx", "tczyx"):
        pixels = noise(*(2,) * (len(names) - 2), 20, 30)
        image = open_multiscale(
            write_v2(tmp_path / names, [pixels], {"version": "0.3", "axes": list(names)})
        )
        assert image.version == "0.3" and image.axes == tuple(names)
        assert image.units == (None,) * len(names) and image.scales == [(1.0,) * len(names)]
        np.testing.assert_array_equal(image.stored[0][:], pixels)


def test_v04_combines_the_scales_of_level_and_image(tmp_path):
    multiscale = {
        "version": "0.4",
        "name": "cells",
        "axes": axes("zyx", z="micrometer", y="nanometer"),
        "datasets": scales((1, 0.5, 0.5), (1, 1, 1)),
        "coordinateTransformations": [{"type": "scale", "scale": [3, 2, 4]}],
    }
    paths = ["full", "half/resolution"]
    levels = halve(noise(3, 20, 30), 1)
    image = open_multiscale(write_v2(tmp_path, levels, multiscale, paths=paths))
    assert image.paths == paths and image.name == image.title == "cells"
    assert image.units == ("micrometer", "nanometer", None)
    assert image.scales == [(3, 1, 2), (3, 2, 4)]
    np.testing.assert_array_equal(image.stored_level("half/resolution")[:], levels[1])
    np.testing.assert_array_equal(image.stored_level(1)[:], levels[1])
    np.testing.assert_array_equal(
        image.stored_level()[:], levels[0]
    )  # the finest, whatever its path
    np.testing.assert_array_equal(image.level().compute(), levels[0])


def test_translations_and_other_transforms_are_no_scale(tmp_path):
    transforms = [
        {"type": "translation", "translation": [5, 5]},
        {"type": "scale", "scale": [2, 3]},
    ]
    multiscale = {
        "version": "0.4",
        "axes": axes("yx"),
        "datasets": [{"coordinateTransformations": transforms}],
    }
    assert open_multiscale(write_v2(tmp_path, [noise(9, 9)], multiscale)).scales == [(2, 3)]


def test_a_version_that_is_not_written(tmp_path):
    assert open_multiscale(write_v2(tmp_path, [noise(1, 1, 1, 9, 9)], {})).version == "0.1"


def test_the_name_may_stand_in_several_places(tmp_path):
    omero = {"name": "B4_C3.tif", "channels": []}
    image = open_multiscale(write_v2(tmp_path / "a.zarr", [noise(1, 1, 1, 9, 9)], {}, omero=omero))
    assert image.name == "B4_C3.tif" and image.channels == []
    image = open_multiscale(write_v2(tmp_path / "b.zarr", [noise(1, 1, 1, 9, 9)], {}))
    assert image.name == image.title == "b.zarr"


def test_channels_that_say_little(tmp_path):
    omero = {"channels": [{}, {"label": "DAPI", "window": {"min": 0, "max": 9}}, {"color": None}]}
    image = open_multiscale(write_v2(tmp_path, [noise(1, 3, 1, 9, 9)], {}, omero=omero))
    assert image.channels == [Channel("channel 0"), Channel("DAPI"), Channel("channel 2")]


@pytest.mark.parametrize("wanted", [None, 3, -1, "1", 1.5])
def test_a_default_that_makes_no_sense_is_the_middle(wanted, tmp_path):
    omero = {"rdefs": {"defaultZ": wanted}}
    image = open_multiscale(write_v2(tmp_path, [noise(1, 1, 3, 9, 9)], {}, omero=omero))
    assert image.default("z") == 1 and image.default("t") == 0


def test_the_table_holds_no_markup_from_the_metadata(tmp_path):
    multiscale = {"version": "0.4", "name": "<b>bold</b>", "axes": axes(["y", "<script>"])}
    image = open_multiscale(write_v2(tmp_path, [noise(9, 9)], multiscale))
    assert "<b>" not in image._repr_html_() and "<script>" not in image._repr_html_()


def test_synthetic_is_what_the_metadata_say(tmp_path):
    multiscale = {"version": "0.4", "axes": axes("yx"), "name": "a Synthetic thing"}
    image = open_multiscale(write_v2(tmp_path / "a", [noise(9, 9)], dict(multiscale)))
    assert image.synthetic and image.title == "a Synthetic thing (synthetic stand-in)"
    image = open_multiscale(write_v2(tmp_path / "b", [noise(9, 9)], multiscale | {"name": "real"}))
    assert not image.synthetic and image.title == "real"


# Malformed metadata

GOOD = {
    "multiscales": [
        {
            "version": "0.4",
            "name": "good",
            "axes": axes("zyx", y="micrometer"),
            "datasets": [{"path": "0"} | scales((1, 2, 3))[0]],
            "coordinateTransformations": [{"type": "scale", "scale": [1, 1, 1]}],
        }
    ],
    "omero": {
        "name": "good",
        "channels": [{"label": "a", "color": "FF0000", "window": {"start": 0, "end": 9}}],
        "rdefs": {"defaultZ": 1},
    },
}


def places(document, path=()):
    """The way to every value in a document."""
    for key, value in document.items() if isinstance(document, dict) else enumerate(document):
        yield (*path, key)
        if isinstance(value, dict | list):
            yield from places(value, (*path, key))


def changed(document, path, value):
    document = copy.deepcopy(document)
    holder = document
    for key in path[:-1]:
        holder = holder[key]
    holder[path[-1]] = value
    return document


def use(image):
    """Everything that can be asked of an image."""
    _ = image.levels, image.axes, image.units, image.scales, image.channels, image.version
    _ = image.name, image.title, image.synthetic, image.labels
    _ = image.level_for(5), repr(image), image._repr_html_(), image.stored[0][0]
    _ = [image.default(axis) for axis in image.axes if axis in "tz"]


ANYTHING = [None, 5, -1.5, 0, "x", "", [], {}, [5], ["x"], [None], [[]], {"a": 1}, True]
ANYTHING += [float("nan"), float("-inf"), 1e400, 10**400, "1e999", [{"type": {}}], [{}]]


@pytest.mark.filterwarnings("ignore::data_helpers.OmeZarrWarning")
@pytest.mark.parametrize("path", list(places(GOOD)), ids=lambda path: ".".join(map(str, path)))
def test_whatever_the_metadata_hold_the_errors_are_ours(path, tmp_path):
    """Put something wrong at every place; either it can be used, or one sentence says why not.

    What stands below omero says only how to show the image, so it can always be used.
    """
    write_array(tmp_path / "0", noise(3, 20, 30))
    for value in ANYTHING:
        write_json(tmp_path / ".zattrs", changed(GOOD, path, value))
        try:
            use(open_multiscale(tmp_path))
        except OmeZarrError as error:
            assert path[0] != "omero", value
            assert "\n" not in str(error)
            assert tmp_path.name in str(error)


def test_the_good_metadata_are_good(tmp_path):
    write_array(tmp_path / "0", noise(3, 20, 30))
    write_json(tmp_path / ".zattrs", GOOD)
    use(open_multiscale(tmp_path))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("multiscales",), []),
        (("multiscales",), {}),
        (("multiscales", 0, "datasets"), []),
        (("multiscales", 0, "datasets", 0), {}),
        (("multiscales", 0, "axes"), [{"type": "space"}] * 3),
        (("multiscales", 0, "axes"), axes("yx")),
        (("multiscales", 0, "axes"), axes("tczyx")),
        (("multiscales", 0, "datasets", 0, "path"), "7"),
        (("multiscales", 0, "datasets", 0, "coordinateTransformations", 0, "scale"), [1, 1]),
        (("multiscales", 0, "datasets", 0, "coordinateTransformations", 0, "scale"), [1, 0, 1]),
        (("multiscales", 0, "datasets", 0, "coordinateTransformations", 0, "scale"), ["a"] * 3),
        (("multiscales", 0, "coordinateTransformations", 0, "scale"), [1, 1, 1, 1]),
    ],
    ids=str,
)
def test_metadata_that_make_no_sense(path, value, tmp_path):
    write_array(tmp_path / "0", noise(3, 20, 30))
    write_json(tmp_path / ".zattrs", changed(GOOD, path, value))
    with pytest.raises(MalformedMetadataError) as caught:
        use(open_multiscale(tmp_path))
    message = str(caught.value)
    assert tmp_path.name in message and "\n" not in message
    assert "ome-ngff-validator" in message


def test_a_level_that_is_listed_and_not_there(served, tmp_path):
    write_v2(tmp_path, halve(noise(1, 1, 1, 20, 20), 1), {"version": "0.1"})
    (tmp_path / "1/.zarray").unlink()
    with pytest.raises(
        MalformedMetadataError, match=r"level '1' is listed, but there is no 1/\.za"
    ):
        open_multiscale(served.endpoint)


def test_an_array_of_one_axis_is_no_image(tmp_path):
    write_array(tmp_path / "0", noise(20), chunks=(5,))
    write_json(tmp_path / ".zattrs", {"multiscales": [{"datasets": [{"path": "0"}]}]})
    with pytest.raises(MalformedMetadataError):
        open_multiscale(tmp_path)


def test_an_array_of_six_axes_without_names_is_no_image(tmp_path):
    write_array(tmp_path / "0", noise(1, 1, 1, 1, 9, 9))
    write_json(tmp_path / ".zattrs", {"multiscales": [{"datasets": [{"path": "0"}]}]})
    with pytest.raises(MalformedMetadataError):
        open_multiscale(tmp_path)


# OME-Zarr 0.5


def write_v05(folder, pixels, document=None, **attributes):
    ome = {
        "version": "0.5",
        "multiscales": [{"axes": axes("yx"), "datasets": [{"path": "0"} | scales((2, 3))[0]]}],
    }
    import zarr

    array = zarr.create_array(
        store=str(folder / "0"), shape=pixels.shape, chunks=(16, 16), dtype="u2", zarr_format=3
    )
    array[:] = pixels
    inside = {"attributes": {"ome": ome | attributes}}
    write_json(folder / "zarr.json", {"zarr_format": 3, "node_type": "group"} | inside)
    return folder


def test_v05(served, tmp_path, asked):
    pixels = noise(20, 30)
    write_v05(tmp_path / "a.zarr", pixels)
    image = open_multiscale(f"{served.endpoint}/a.zarr")
    assert image.version == "0.5" and image.axes == ("y", "x") and image.scales == [(2, 3)]
    assert image.name == "a.zarr" and image.labels == []
    np.testing.assert_array_equal(image.stored[0][:], pixels)
    document = json.loads((tmp_path / "a.zarr/zarr.json").read_text())
    del document["attributes"]["ome"]["version"]
    write_json(tmp_path / "a.zarr/zarr.json", document)
    assert open_multiscale(tmp_path / "a.zarr").version == "0.5"


def test_v05_beats_the_leftovers_of_v04(tmp_path):
    pixels = noise(20, 30)
    write_v05(tmp_path, pixels)
    write_v2(tmp_path, [noise(9, 9, seed=4)], {"version": "0.4", "axes": axes("yx")})
    image = open_multiscale(tmp_path)
    assert image.version == "0.5"
    np.testing.assert_array_equal(image.stored[0][:], pixels)


def test_v05_metadata_that_make_no_sense(tmp_path):
    write_v05(tmp_path, noise(20, 30))
    for changes in (
        {"codecs": []},
        {"codecs": None},
        {"data_type": "pixels"},
        {"zarr_format": 4},
        {"chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [0, 16]}}},
        {"chunk_grid": None},
    ):
        write_v05(tmp_path / str(changes), noise(20, 30))
        change_json(tmp_path / str(changes) / "0/zarr.json", **changes)
        with pytest.raises(MalformedMetadataError, match=r"/0 cannot be understood"):
            open_multiscale(tmp_path / str(changes))
    change_json(tmp_path / "zarr.json", attributes=[])
    with pytest.raises(NotOmeZarrError):
        open_multiscale(tmp_path)


def test_a_level_that_is_a_group(tmp_path):
    write_v05(tmp_path, noise(20, 30))
    write_json(tmp_path / "0/zarr.json", {"zarr_format": 3, "node_type": "group"})
    with pytest.raises(MalformedMetadataError):
        open_multiscale(tmp_path)


def test_access_denied_is_told_as_such(served, tmp_path):
    write_v2(tmp_path, [noise(1, 1, 1, 20, 20)], {"version": "0.1"})
    from support.misbehaving import status

    for key in (".zattrs", "zarr.json"):
        served.fault(key, status(403), forever=True)
    with pytest.raises(AccessDeniedError, match="answers 403"):
        open_multiscale(served.endpoint)


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "1 kB"),
        (25_662, "25.7 kB"),
        (999_499, "999 kB"),
        (999_950, "1 MB"),
        (54_600_000, "54.6 MB"),
        (26_908_950_528, "26.9 GB"),
        (9_338_000_000_000, "9.34 TB"),
    ],
)
def test_human_bytes(count, text):
    assert format_bytes(count) == text
