"""Metadata as programs write them: hints never block pixels, what is invalid is named."""

import copy
import json
import math
import pickle
import warnings

import numpy as np
import pytest
import zarr
from support.images import (
    axes,
    change_json,
    halve,
    noise,
    scales,
    write_json,
    write_v2,
)

from data_helpers import (
    MalformedMetadataError,
    NotOmeZarrError,
    OmeZarrError,
    OmeZarrWarning,
    open_multiscale,
)
from data_helpers._metadata.hints import as_color, read_hints
from data_helpers._metadata.units import micrometers
from data_helpers._pixel_size import pixel_size
from data_helpers.metadata import Channel, ome_attributes, read_image

PIXELS = noise(3, 20, 30)


def shown(omero):
    """Channels, and what is left out, of metadata that say this below omero."""
    notes = []
    return read_hints(omero, notes).channels, notes


def one_channel(**said):
    channels, notes = shown({"channels": [said]})
    return channels[0], notes


def write_image(folder, omero=None, pixels=PIXELS, names="cyx"):
    return write_v2(folder, [pixels], {"version": "0.4", "axes": axes(names)}, omero=omero)


def open_quietly(folder):
    """Open an image for which there must be no warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        image = open_multiscale(folder)
        _ = image.channels
        return image


# Colours

RED = [
    "FF0000",
    "ff0000",
    "#FF0000",
    "#ff000080",
    "FF0000FF",
    "F00",
    "#f00",
    "#F008",
    " FF0000 ",
    "0xFF0000",
    "red",
    "Red",
    "r",
    "rgb(255, 0, 0)",
    "rgba(255,0,0,0.5)",
    "-16776961",
    -16776961,
    4278190335,
    16711680,
    16711680.0,
    [255, 0, 0],
    (255, 0, 0),
    [255, 0, 0, 255],
    [1, 0, 0],
    [1.0, 0.0, 0.0, 0.3],
    ["255", "0", "0"],
]


@pytest.mark.parametrize("written", RED, ids=repr)
def test_red_in_all_its_spellings(written):
    assert as_color(written) == "FF0000"
    channel, notes = one_channel(color=written)
    assert channel.color == "FF0000" and notes == []


@pytest.mark.parametrize(
    ("written", "color"),
    [
        (16711935, "00FF00"),  # OMERO's opaque green
        (65535, "0000FF"),  # OMERO's opaque blue
        (-1, "FFFFFF"),
        (-65281, "FFFF00"),
        (0x00FF00, "00FF00"),
        (0x123456, "123456"),
        (255, "0000FF"),
        (0, "000000"),
        ("1a2", "11AA22"),
        ("teal", "008080"),
        ("tab:blue", "1F77B4"),
        ([0.5, 1, 0.25], "80FF40"),
        ([0, 128, 64], "008040"),
        (None, "FFFFFF"),
    ],
    ids=repr,
)
def test_other_colors(written, color):
    channel, notes = one_channel(color=written)
    assert channel.color == color and notes == []


NO_COLOR = ["", "blurple", "#12", "12G45", "none", "C0", True, 1.5, 2**40, -(2**40), [], {}]
NO_COLOR += [[1, 2], [256, 0, 0], [-1, 0, 0], [None] * 3, {"r": 255}, math.nan, math.inf, "rgb()"]


@pytest.mark.parametrize("written", NO_COLOR, ids=repr)
def test_a_color_that_is_none_is_left_out(written):
    channel, notes = one_channel(label="DAPI", color=written)
    assert channel == Channel("DAPI") and channel.color == "FFFFFF"
    assert notes == [f"omero.channels[0].color {json.dumps(written)}"]


def test_in_grey_every_channel_is_white():
    omero = {"channels": [{"color": "red"}], "rdefs": {"model": "greyscale"}}
    assert shown(omero) == ([Channel("channel 0")], [])


# Windows, names and flags


@pytest.mark.parametrize(
    ("window", "read"),
    [
        ({"start": 2, "end": 9}, (2, 9)),
        ({"start": "2", "end": "9.5", "min": None}, (2, 9.5)),
        ({"start": -1e3, "end": 0.0}, (-1000, 0)),
        ({"min": 0, "max": 9}, None),
        ({"start": None, "end": None, "min": 0, "max": 9}, None),
        ({"start": 2, "end": None, "max": 9}, None),
        ({"end": 9}, None),
        ({}, None),
        (None, None),
    ],
    ids=repr,
)
def test_windows_that_are_null_or_partial(window, read):
    channel, notes = one_channel(window=window)
    assert channel.window == read and notes == []


@pytest.mark.parametrize(
    ("window", "note"),
    [
        ({"start": "dark", "end": 9}, 'window.start "dark"'),
        ({"start": 1, "end": [9]}, "window.end [9]"),
        ({"start": math.nan, "end": 9}, "window.start NaN"),
        ({"start": 1, "end": math.inf}, "window.end Infinity"),
        ({"start": True, "end": 9}, "window.start true"),
        ({"start": 9, "end": 1}, 'window {"start": 9, "end": 1}'),
        ({"start": 5, "end": 5}, 'window {"start": 5, "end": 5}'),
        ([1, 9], "window [1, 9]"),
        ("auto", 'window "auto"'),
    ],
    ids=repr,
)
def test_windows_that_are_none(window, note):
    channel, notes = one_channel(window=window)
    assert channel.window is None and notes == [f"omero.channels[0].{note}"]


@pytest.mark.parametrize(
    ("said", "channel", "left_out"),
    [
        ({"label": None}, Channel("channel 0"), []),
        ({"label": 5}, Channel("5"), []),
        ({"label": ["a"]}, Channel("channel 0"), ['label ["a"]']),
        ({"active": None, "inverted": None}, Channel("channel 0"), []),
        ({"active": 0, "inverted": 1}, Channel("channel 0", active=False, inverted=True), []),
        ({"active": "False"}, Channel("channel 0", active=False), []),
        ({"active": "perhaps"}, Channel("channel 0"), ['active "perhaps"']),
        ({"inverted": [1]}, Channel("channel 0"), ["inverted [1]"]),
        ({"coefficient": "x", "family": [1]}, None, []),
    ],
    ids=repr,
)
def test_what_else_is_said_of_a_channel(said, channel, left_out):
    read, notes = one_channel(**said)
    assert channel in (read, None)
    assert notes == [f"omero.channels[0].{note}" for note in left_out]


@pytest.mark.parametrize("nothing", [None, {}, {"channels": None, "rdefs": None, "name": None}])
def test_omero_that_says_nothing(nothing, tmp_path):
    write_v2(tmp_path, [PIXELS], {"version": "0.4", "axes": axes("cyx")})
    change_json(tmp_path / ".zattrs", omero=nothing)
    image = open_quietly(tmp_path)
    assert image.channels == [] and image.name == tmp_path.name


@pytest.mark.parametrize(
    ("omero", "note"),
    [
        ([{"label": "a"}], 'omero [{"label": "a"}]'),
        ("bright", 'omero "bright"'),
        ({"channels": {"0": {}}}, 'omero.channels {"0": {}}'),
        ({"channels": 3}, "omero.channels 3"),
        ({"channels": [None, "DAPI"]}, 'omero.channels[1] "DAPI"'),
        ({"rdefs": [1]}, "omero.rdefs [1]"),
        ({"rdefs": {"defaultZ": "middle"}}, 'omero.rdefs.defaultZ "middle"'),
        ({"rdefs": {"defaultT": 1.5}}, "omero.rdefs.defaultT 1.5"),
        ({"name": {"a": 1}}, 'omero.name {"a": 1}'),
    ],
    ids=repr,
)
def test_omero_that_cannot_be_understood_never_blocks_pixels(omero, note, tmp_path):
    write_image(tmp_path, omero)
    with pytest.warns(OmeZarrWarning) as caught:
        image = open_multiscale(tmp_path)
    assert len(caught) == 1 and caught[0].filename == __file__
    said = str(caught[0].message)
    assert f"left out: {note}." in said and str(tmp_path) in said and "\n" not in said
    np.testing.assert_array_equal(image.levels[0].compute(), PIXELS)
    assert len(image.channels) in (0, 3)


def test_one_warning_names_everything_that_is_left_out(tmp_path):
    omero = {"channels": [{"color": "blurple"}, {"window": 5}], "rdefs": "x"}
    write_image(tmp_path, omero)
    with pytest.warns(OmeZarrWarning) as caught:
        image = open_multiscale(tmp_path)
        _ = image.channels, image.levels, pickle.loads(pickle.dumps(image))
    assert [str(one.message).partition("left out: ")[2] for one in caught] == [
        'omero.rdefs "x"; omero.channels[0].color "blurple"; omero.channels[1].window 5.'
    ]


@pytest.mark.parametrize("described", [1, 3, 5])
@pytest.mark.parametrize("names", ["cyx", "yxc", "zyx"])
def test_more_or_fewer_channels_than_the_image_has(described, names, tmp_path):
    omero = {"channels": [{"label": f"stain {n}", "color": "00FF00"} for n in range(described)]}
    write_image(tmp_path, omero, noise(3, 3, 3), names)
    channels = open_quietly(tmp_path).channels
    count = 3 if "c" in names else 1
    assert len(channels) == count
    known = [Channel(f"stain {n}", "00FF00") for n in range(described)][:count]
    assert channels == known + [Channel(f"channel {n}") for n in range(described, count)]


# Levels and scales


def test_a_level_that_is_listed_twice(tmp_path):
    levels = halve(noise(40, 48), 1)
    write_v2(tmp_path, levels, {"version": "0.4", "axes": axes("yx")})
    attributes = json.loads((tmp_path / ".zattrs").read_text())
    attributes["multiscales"][0]["datasets"].insert(1, {"path": "0"})
    write_json(tmp_path / ".zattrs", attributes)
    with pytest.warns(OmeZarrWarning, match=r"datasets\[1\], which lists the level \"0\" again"):
        image = open_multiscale(tmp_path)
    assert image.paths == ["0", "1"] and len(image.levels) == 2
    np.testing.assert_array_equal(image.stored[1][:], levels[1])


def test_of_several_images_the_first_is_read(tmp_path):
    write_v2(tmp_path, [noise(20, 20)], {"version": "0.4", "name": "one", "axes": axes("yx")})
    attributes = json.loads((tmp_path / ".zattrs").read_text())
    attributes["multiscales"] += [{"name": "two"}, None]
    write_json(tmp_path / ".zattrs", attributes)
    with pytest.warns(OmeZarrWarning, match="2 of 3 multiscales, all after the first"):
        assert open_multiscale(tmp_path).name == "one"


def said_of_scale(*transforms, version="0.4", **more):
    level = {"path": "0", "coordinateTransformations": list(transforms)}
    multiscale = {"axes": axes("zyx"), "datasets": [level], "version": version} | more
    return read_image({"multiscales": [multiscale]}, 2, "somewhere")


def scale(*sizes):
    return {"type": "scale", "scale": list(sizes)}


@pytest.mark.parametrize(
    ("transform", "said"),
    [
        (scale(1, math.nan, 1), "scale is [1, NaN, 1], not a list of finite sizes above 0"),
        (scale(1, math.inf, 1), "scale is [1, Infinity, 1], not"),
        (scale(1, 0, 1), "scale is [1, 0, 1], not"),
        (scale(1, "0", 1), 'scale is [1, "0", 1], not'),
        (scale(1, None, 1), "scale is [1, null, 1], not"),
        (scale(1, "wide", 1), 'scale is [1, "wide", 1], not'),
        (scale(1, True, 1), "scale is [1, true, 1], not"),
        (scale(1, 10**400, 1), "scale is [1, 1000"),
        (scale(1, 1), "scale is [1, 1], but there are 3 axes"),
        (scale(1, 1, 1, 1), "scale is [1, 1, 1, 1], but there are 3 axes"),
        (scale(), "scale is [], not"),
        ({"type": "scale", "scale": 2}, "scale is 2, not"),
        ({"type": "scale"}, "scale is null, not"),
        ({"scale": [1, 1, 1]}, 'is {"scale": [1, 1, 1]}, which has no type'),
        ("scale", 'is "scale", which has no type'),
    ],
    ids=repr,
)
def test_scales_that_are_refused(transform, said):
    for key, arguments in (
        ("datasets[0].coordinateTransformations[0]", ([transform], {})),
        ("(coordinateTransformations[0]", ([], {"coordinateTransformations": [transform]})),
    ):
        with pytest.raises(MalformedMetadataError) as caught:
            said_of_scale(*arguments[0], **arguments[1])
        message = str(caught.value)
        assert said in message and key in message
        assert "somewhere" in message and "\n" not in message


def test_scales_of_levels_that_differ_in_length():
    levels = [{"path": str(n), **one} for n, one in enumerate(scales((1, 1, 1), (2, 2)))]
    with pytest.raises(MalformedMetadataError, match="differ in length"):
        read_image({"multiscales": [{"version": "0.2", "datasets": levels}]}, 2, "somewhere")


def test_scales_that_are_tolerated():
    assert said_of_scale(scale(1, "0.5", 2)).scales == ((1, 0.5, 2),)
    shifted = said_of_scale(scale(1, 2, 3), {"type": "translation", "translation": [1, 1, 1]})
    assert shifted.scales == ((1, 2, 3),) and shifted.left_out == ()
    bare = said_of_scale({"type": "translation", "translation": []})
    assert bare.scales == (None,) and bare.left_out == ()
    elsewhere = said_of_scale({"type": "scale", "path": "sizes"})
    assert elsewhere.scales == (None,) and '"scale"' in elsewhere.left_out[0]


def test_the_sign_of_a_scale_is_left_out(tmp_path):
    named = [axis | {"unit": "um"} for axis in axes("yx")]
    multiscale = {"version": "0.4", "axes": named, "datasets": scales((-0.5, 0.25))}
    write_v2(tmp_path, [noise(20, 20)], multiscale)
    with pytest.warns(OmeZarrWarning, match=r"the minus sign in datasets\[0\].*\[-0\.5, 0\.25\]"):
        image = open_multiscale(tmp_path)
    assert image.scales == [(0.5, 0.25)] and pixel_size(image) == (0.5, 0.25)


# Units


@pytest.mark.parametrize(
    ("units", "size"),
    [
        ("micrometer micrometre micrometers micron Microns um µm μm uM um. [um]".split(), 1),
        (["\\u00B5m", "\\u00b5m", "Âµm", "micro meter", " µm "], 1),
        ("nanometer nm NM nanometres".split(), 1e-3),
        ("angstrom Å Ångström Angstroms".split(), 1e-4),
        ("millimeter mm".split(), 1e3),
        ("centimeter cm".split(), 1e4),
        ("meter metre m meters".split(), 1e6),
        ("kilometer km".split(), 1e9),
        ("picometer pm".split(), 1e-6),
        ("inch inches in".split(), 25_400),
        ("foot feet ft".split(), 304_800),
        ("pixel px second s furlong degree".split(), 0),
        (["", None], 0),
    ],
    ids=str,
)
def test_units_of_length_and_the_usual_slips(units, size):
    assert [micrometers(unit) for unit in units] == pytest.approx([size] * len(units))


# Fill values


def write_filled(folder, zarr_format, dtype, fill):
    """An image whose last chunk is missing, and whose metadata say this fill value."""
    layout = {"chunk_key_encoding": {"name": "v2", "separator": "/"}} if zarr_format == 2 else {}
    array = zarr.create_array(
        store=str(folder / "0"),
        shape=(8, 8),
        chunks=(4, 4),
        dtype=dtype,
        zarr_format=zarr_format,
        **layout,
    )
    array[:4, :4] = 1
    change_json(folder / ("0/.zarray" if zarr_format == 2 else "0/zarr.json"), fill_value=fill)
    listed = [{"axes": axes("yx"), "datasets": [{"path": "0"}]}]
    if zarr_format == 2:
        write_json(folder / ".zattrs", {"multiscales": [listed[0] | {"version": "0.4"}]})
    else:
        write_ome(folder, {"version": "0.5", "multiscales": listed})
    return folder


def write_ome(folder, ome):
    inside = {"attributes": {"ome": ome}}
    write_json(folder / "zarr.json", {"zarr_format": 3, "node_type": "group"} | inside)


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize(
    ("dtype", "fill", "read"),
    [
        ("uint16", None, 0),
        ("uint16", "7", 7),
        ("uint16", "7.0", 7),
        ("int8", "-3", -3),
        ("uint64", "18446744073709551615", 2**64 - 1),
        ("float32", None, 0),
        ("float32", "0.5", 0.5),
        ("float32", "NaN", math.nan),
        ("float64", "nan", math.nan),
        ("float64", "-Infinity", -math.inf),
        ("bool", None, False),
        ("bool", "0", False),
        ("bool", "True", True),
        ("complex64", "2", 2),
        ("complex64", None, 0),
    ],
)
def test_fill_values_as_strings_or_null(zarr_format, dtype, fill, read, tmp_path):
    array = open_multiscale(write_filled(tmp_path, zarr_format, dtype, fill)).stored[0]
    pixels = array[:]
    assert pixels.dtype == dtype and pixels[0, 0] == 1
    np.testing.assert_array_equal(pixels[4:, 4:], np.full((4, 4), read, dtype))


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize(
    ("dtype", "fill"), [("uint16", "white"), ("uint8", "0.5"), ("bool", "maybe"), ("int16", "NaN")]
)
def test_a_fill_value_that_no_pixel_can_have(zarr_format, dtype, fill, tmp_path):
    with pytest.raises(MalformedMetadataError, match=f'fill_value is "{fill}" for pixels of type'):
        open_multiscale(write_filled(tmp_path, zarr_format, dtype, fill))


# OME-Zarr 0.6

INTRINSIC = {"name": "intrinsic", "axes": axes("zyx", z="um", y="um", x="um")}
WORLD = {"name": "world", "axes": [{"name": "b"}, {"name": "a"}, {"name": "n"}]}


def v06(*transforms, systems=(WORLD, INTRINSIC), version="0.6", **more):
    levels = [
        {"path": str(n), "coordinateTransformations": [one]} for n, one in enumerate(transforms)
    ]
    multiscale = {"coordinateSystems": list(systems), "datasets": levels} | more
    return {"version": version, "multiscales": [multiscale]}


def to(output, kind, **more):
    return {"type": kind, "input": {"path": "0"}, "output": output} | more


OWN = {"name": "intrinsic"}


@pytest.mark.parametrize(
    ("transform", "scale_read"),
    [
        (to(OWN, "scale", scale=[2, 0.5, 0.5]), (2, 0.5, 0.5)),
        (to("intrinsic", "scale", scale=[2, 0.5, 0.5], input="0"), (2, 0.5, 0.5)),
        (to(OWN, "identity"), (1, 1, 1)),
        (
            to(
                OWN,
                "sequence",
                transformations=[scale(2, 3, 4), {"type": "translation", "translation": [1, 2, 3]}],
            ),
            (2, 3, 4),
        ),
        (to(OWN, "sequence", transformations=[scale(2, 3, 4), scale(1, 2, 1)]), (2, 6, 4)),
    ],
    ids=lambda value: str(value)[:40],
)
@pytest.mark.parametrize("version", ["0.6", "0.6.dev3", "0.6rc0", "0.6.1"])
def test_v06_takes_the_axes_that_the_transformations_name(version, transform, scale_read):
    """Never the first of the coordinate systems, nor the last, but the one that is named."""
    for systems in ([WORLD, INTRINSIC], [INTRINSIC, WORLD]):
        read = read_image(v06(transform, systems=systems, version=version), 3, "somewhere")
        assert read.axes == read.roles == ("z", "y", "x") and read.version == version
        assert read.units == ("um",) * 3 and read.scales == (scale_read,)
        assert read.left_out == ()


def test_v06_does_not_follow_the_transformations_to_other_systems():
    world = {"name": "world"}
    onward = [to(world, "affine", affine=[[9]]), to(world, "scale", scale=[9])]
    said = v06(to(OWN, "scale", scale=[1, 2, 3]), coordinateTransformations=onward)
    read = read_image(said, 3, "somewhere")
    assert read.scales == ((1, 2, 3),) and read.left_out == ()


@pytest.mark.parametrize(
    ("transform", "size"),
    [
        (to(OWN, "mapAxis", mapAxis=[0, 2, 1]), None),
        (to(OWN, "rotation", rotation=[[0, 1], [1, 0]]), None),
        (to(OWN, "affine", affine=[[2, 0, 0, 9], [0, 3, 0, 9], [0, 0, 4, 9]]), (2, 3, 4)),
        (to(OWN, "affine", affine=[[2, 1, 0, 9], [0, 3, 0, 9], [0, 0, 4, 9]]), None),
        (to(OWN, "affine", affine=[[2, 0, 9], [0, 3, 9]]), None),
        (to(OWN, "affine", path="matrix"), None),
        (to(OWN, "byDimension", transformations=[]), None),
        (to(OWN, "displacements", path="d"), None),
        (to(OWN, "anything"), None),
    ],
    ids=lambda value: str(value)[:40],
)
def test_v06_transformations_of_other_kinds_are_a_warning(transform, size, tmp_path):
    write_ome(tmp_path, v06(transform))
    write_v3_array(tmp_path / "0", PIXELS)
    kind = transform["type"]
    said = rf"left out: datasets\[0\]\.coordinateTransformations\[0\] of type \"{kind}\"\."
    with pytest.warns(OmeZarrWarning, match=said) as caught:
        image = open_multiscale(tmp_path)
    assert len(caught) == 1
    assert image.scales == [size or (1, 1, 1)] and image.has_scales == bool(size)
    np.testing.assert_array_equal(image.stored[0][:], PIXELS)


def write_v3_array(folder, pixels):
    array = zarr.create_array(
        store=str(folder), shape=pixels.shape, dtype=pixels.dtype, zarr_format=3
    )
    array[:] = pixels


def test_v06_from_the_folder_to_the_pixels(served, tmp_path):
    levels = halve(PIXELS, 1)
    sizes = [(2, 0.5, 0.5), (2, 1, 1)]
    ome = v06(*(to(OWN, "scale", scale=size) for size in sizes), name="scan", version="0.6.dev3")
    write_ome(tmp_path, ome)
    for number, level in enumerate(levels):
        write_v3_array(tmp_path / str(number), level)
    write_ome(tmp_path / "labels", {"version": "0.6.dev3", "labels": ["cells"]})
    write_ome(tmp_path / "labels/cells", v06(to(OWN, "scale", scale=[2, 1, 1])))
    write_v3_array(tmp_path / "labels/cells/0", levels[1])
    image = open_multiscale(served.endpoint)
    assert image.version == "0.6.dev3" and image.name == "scan" and image.scales == sizes
    np.testing.assert_array_equal(image.stored[1][:], levels[1])
    np.testing.assert_array_equal(image.stored_labels(1)[:], levels[1])
    assert pixel_size(image) == (0.5, 0.5)


def test_v06_that_still_lists_axes():
    said = {"axes": axes("yx"), "datasets": [{"path": "0"} | scales((2, 3))[0]]}
    read = read_image({"version": "0.6", "multiscales": [said]}, 3, "somewhere")
    assert read.axes == ("y", "x") and read.scales == ((2, 3),)


def test_v06_without_its_version():
    said = v06(to(OWN, "scale", scale=[1, 2, 3]), version=None)
    assert read_image(said, 3, "somewhere").version == "0.6"


def test_v06_where_one_system_is_all_there_is():
    said = v06(scale(1, 2, 3), systems=[INTRINSIC])
    read = read_image(said, 3, "somewhere")
    assert read.axes == ("z", "y", "x")
    assert read.left_out == ("datasets[0].coordinateTransformations[0].output null",)


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (v06(to({"name": "moon"}, "identity")), 'output is "moon", but the coordinateSystems are'),
        (v06(scale(1, 1, 1)), 'output is null, but the coordinateSystems are called ["world", "in'),
        (v06(to(OWN, "identity"), coordinateSystems=None), "coordinateSystems is null, not a list"),
        (v06(to(OWN, "identity"), systems=["a"]), 'coordinateSystems is ["a"], not a list of'),
        (v06(to(OWN, "identity"), systems=[]), "but the coordinateSystems are called []"),
        (
            v06(to(OWN, "identity"), systems=[OWN | {"axes": axes("yy")}]),
            'coordinateSystems[0].axes are ["y", "y"], of which two have the same name',
        ),
        (v06(to(OWN, "identity"), systems=[OWN]), "coordinateSystems[0].axes are missing"),
        (v06(to(OWN, "scale", scale=[1, 1])), "scale is [1, 1], but there are 3 axes"),
        (
            v06(to(OWN, "sequence", transformations=[scale(1, 0, 1)])),
            "coordinateTransformations[0].transformations[0].scale is [1, 0, 1], not",
        ),
    ],
    ids=range(9),
)
def test_v06_that_is_refused(said, message):
    with pytest.raises(MalformedMetadataError) as caught:
        read_image(said, 3, "somewhere")
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_a_scene_lists_its_images(served, tmp_path):
    tile = {"type": "translation", "output": {"name": "world"}, "translation": [0, 9]}
    paths = ["tile_0", "tiles/right side.zarr", "tile_0"]
    transforms = [tile | {"input": {"path": path, "name": "physical"}} for path in paths]
    transforms.append(tile | {"input": {"name": "other"}})
    write_ome(tmp_path, {"version": "0.6", "scene": {"coordinateTransformations": transforms}})
    with pytest.raises(NotOmeZarrError) as caught:
        open_multiscale(served.endpoint)
    said = "a scene of several images: open one of them, 'tile_0', 'tiles/right side.zarr'"
    assert said in str(caught.value)


@pytest.mark.parametrize("scene", [None, {}, [], "x", {"coordinateTransformations": [None, {}, 5]}])
def test_a_scene_that_names_no_image(scene, tmp_path):
    write_ome(tmp_path, {"version": "0.6", "scene": scene})
    with pytest.raises(NotOmeZarrError, match=r"a scene of several images: .* does not name"):
        open_multiscale(tmp_path)


@pytest.mark.parametrize("version", ["0.7", "0.60", "1.0", "next", 5, ["0.4"], {"a": 1}])
def test_versions_that_are_not_known(version):
    with pytest.raises(NotOmeZarrError, match=r"reads versions 0\.1 to 0\.6; look for"):
        read_image(v06(to(OWN, "identity"), version=version), 3, "somewhere")


GOOD_06 = v06(
    to(OWN, "sequence", transformations=[scale(1, 2, 3), {"type": "translation"}]),
    to(OWN, "affine", affine=[[1, 0, 0, 0], [0, 2, 0, 0], [0, 0, 2, 0]]),
    coordinateTransformations=[to({"name": "world"}, "scale", scale=[1, 1, 1])],
    name="good",
) | {"omero": {"channels": [{"color": "red", "window": {"start": 0, "end": 1}}], "rdefs": {}}}
ANYTHING = [None, 5, -1.5, 0, "x", "", [], {}, [5], ["x"], [None], [[]], {"a": 1}, True]
ANYTHING += [math.nan, math.inf, 10**400, [{}], {"name": 5}, [{"type": {}}], {"name": [1]}]


def everywhere(document, replacement):
    """Copies of a document, in each of which another value is replaced."""
    for key in list(document) if isinstance(document, dict) else range(len(document)):
        changed = copy.copy(document)
        changed[key] = replacement
        yield changed
        if isinstance(document[key], dict | list):
            for inner in everywhere(document[key], replacement):
                changed = copy.copy(document)
                changed[key] = inner
                yield changed


@pytest.mark.parametrize("replacement", ANYTHING, ids=lambda value: repr(value)[:20])
def test_v06_is_read_or_refused_in_a_sentence_whatever_it_holds(replacement):
    for said in everywhere(GOOD_06, replacement):
        try:
            read = read_image(said, 3, "somewhere")
        except OmeZarrError as error:
            assert "\n" not in str(error) and "somewhere" in str(error)
            assert said["omero"] == GOOD_06["omero"]  # hints are no reason
        else:
            assert set(read.roles) >= {"y", "x"} and len(read.scales) == len(read.paths)


@pytest.mark.parametrize("attributes", [None, [], "x", 5, {"ome": []}, {"ome": ["multiscales"]}])
def test_attributes_that_are_no_object(attributes, tmp_path):
    assert isinstance(ome_attributes({"zarr_format": 3, "attributes": attributes}), dict)
    write_json(tmp_path / "zarr.json", {"zarr_format": 3, "attributes": attributes})
    with pytest.raises(NotOmeZarrError):
        open_multiscale(tmp_path)


def test_importing_the_names_of_colors_waits_until_one_is_read(run_python, tmp_path):
    write_image(tmp_path / "image", {"channels": [{"color": "FF0000"}]})
    script = "import sys; from data_helpers import open_multiscale\nopen_multiscale('image')\n"
    done = run_python(f"{script}assert 'matplotlib' not in sys.modules")
    assert done.returncode == 0, done.stderr
