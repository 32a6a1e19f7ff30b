"""Axes of any name, order and number: what each is for, and which lists of axes are refused."""

import numpy as np
import pytest
from support.images import axes, halve, noise, scales, write_array, write_json, write_v2

from data_helpers import MalformedMetadataError, OmeZarrWarning, open_multiscale
from data_helpers._metadata.axes import roles_of
from data_helpers.metadata import read_image

SPACE, TIME, CHANNEL = "space", "time", "channel"


def spoken(*named, **more):
    """OME-Zarr 0.4 metadata with these axes, each a name or (name, type)."""
    listed = [
        {"name": one} if isinstance(one, str) else {"name": one[0], "type": one[1]} for one in named
    ]
    return metadata(listed, **more)


def metadata(listed, version="0.4", **more):
    return {"multiscales": [{"version": version, "axes": listed, "datasets": [{"path": "0"}]}]}


@pytest.mark.parametrize(
    ("names", "kinds", "roles"),
    [
        ("tczyx", [TIME, CHANNEL, SPACE, SPACE, SPACE], "tczyx"),
        ("TCZYX", [TIME, CHANNEL, SPACE, SPACE, SPACE], "tczyx"),
        ("ZYX", [None] * 3, "zyx"),
        ("yxc", [SPACE, SPACE, CHANNEL], "yxc"),
        ("yxc", [None] * 3, "yxc"),
        ("xy", [SPACE] * 2, "xy"),
        ("xyz", [SPACE] * 3, "xyz"),
        ("uvw", [SPACE] * 3, "zyx"),
        ("pq", [SPACE] * 2, "yx"),
        ("ayx", [SPACE] * 3, "zyx"),
        ("yax", [SPACE] * 3, "yzx"),
        ("ayx", [None] * 3, "ayx"),
        ("kyx", [CHANNEL, SPACE, SPACE], "cyx"),
        (["frame", "row", "column"], [TIME, SPACE, SPACE], "tyx"),
        (["time", "Channel", "y", "x"], [None] * 4, "tcyx"),
        (["angle", "y", "x"], ["angle", SPACE, SPACE], ["angle", "y", "x"]),
        (["phase", "c", "y", "x"], [CHANNEL, CHANNEL, SPACE, SPACE], ["phase", "c", "y", "x"]),
        ("zx", [SPACE] * 2, "yx"),
        ("zy", [SPACE] * 2, "xy"),
        ("tyx", [SPACE] * 3, "zyx"),
        ("cba", [None] * 3, "cyx"),
        ("zyx", [SPACE, None, SPACE], "zyx"),
    ],
)
def test_what_each_axis_is_for(names, kinds, roles):
    """By its type first, by its name second; the last axis of space without a name is x."""
    assert roles_of(list(names), kinds) == tuple(roles)


def test_no_role_is_given_twice():
    kinds = (None, TIME, CHANNEL, SPACE, "angle")
    picked = np.random.default_rng(1)
    for _ in range(500):
        names = picked.choice(list("tczyxTCZYXabq"), picked.integers(2, 6), replace=False)
        roles = roles_of(list(names), list(picked.choice(kinds, len(names))))
        assert len(set(roles)) == len(roles) == len(names)


@pytest.mark.parametrize("version", ["0.3", "0.4"])
@pytest.mark.parametrize(("names", "roles"), [("YXC", "yxc"), ("ZYX", "zyx"), ("xy", "xy")])
def test_an_image_with_axes_in_another_order(version, names, roles, tmp_path):
    named = {"0.3": list, "0.4": axes}[version](names)
    if version == "0.4":
        named[-1]["type"] = "channel" if names[-1] == "C" else "space"
    size = {"y": 20, "x": 30, "z": 3, "c": 4}
    pixels = noise(*(size[role] for role in roles))
    write_v2(tmp_path, [pixels], {"version": version, "axes": named}, chunks=pixels.shape)
    image = open_multiscale(tmp_path)
    assert image.axes == tuple(names) and image.roles == tuple(roles)
    assert image.level_for((20, 30)) == 0
    np.testing.assert_array_equal(image.stored[0][:], pixels)


def test_levels_and_labels_are_matched_along_y_and_x_wherever_these_are(tmp_path):
    levels = [noise(40, 24, 3), noise(20, 12, 3)]
    masks = [noise(40, 24, seed=2), noise(20, 12, seed=3)]
    named = axes("yxc")
    sizes = scales((0.5, 0.5, 1), (1, 1, 1))
    write_v2(
        tmp_path, levels, {"version": "0.4", "axes": named, "datasets": sizes}, chunks=(8,) * 3
    )
    label = {"version": "0.4", "axes": axes("yx"), "datasets": scales((0.5, 0.5), (1, 1))}
    write_v2(tmp_path / "labels/cells", masks, label)
    write_json(tmp_path / "labels/.zattrs", {"labels": ["cells"]})
    image = open_multiscale(tmp_path)
    assert image.level_for((20, 12)) == 1 and image.level_for((20, 13)) == 0
    for level in (0, 1):
        np.testing.assert_array_equal(image.stored_labels(level)[:], masks[level])


def test_relative_scales_leave_channels_alone_wherever_they_are(tmp_path):
    levels = [noise(40, 24, 3), noise(20, 12, 3)]
    write_v2(tmp_path, levels, {"version": "0.3", "axes": list("yxc")}, chunks=(8, 8, 3))
    assert open_multiscale(tmp_path).scales == [(1, 1, 1), (2, 2, 1)]


def test_the_default_is_asked_for_by_role_or_name(tmp_path):
    omero = {"rdefs": {"defaultZ": 1}}
    named = [{"name": "depth", "type": "space"}, *axes("yx")]
    write_v2(tmp_path, [noise(5, 9, 9)], {"version": "0.4", "axes": named}, omero=omero)
    image = open_multiscale(tmp_path)
    assert image.roles == ("z", "y", "x")
    assert image.default("z") == image.default("depth") == 1


def test_before_0_3_axes_have_no_names(tmp_path):
    for ndim in (2, 3, 5):
        pixels = noise(*(1,) * (ndim - 2), 9, 9)
        image = open_multiscale(write_v2(tmp_path / str(ndim), [pixels], {"version": "0.2"}))
        assert image.axes == image.roles == tuple("tczyx")[-ndim:]


# What is refused


@pytest.mark.parametrize(
    ("attributes", "said"),
    [
        (spoken("y", "y"), 'axes are ["y", "y"], of which two have the same name'),
        (spoken("z", "y", "z"), 'axes are ["z", "y", "z"], of which two'),
        (metadata([]), "axes are missing, which version 0.4 has to name"),
        (metadata(None), "axes are missing, which version 0.4 has to name"),
        (metadata(None, "0.5"), "axes are missing, which version 0.5 has to name"),
        (metadata(None, "0.6"), "axes are missing, which version 0.6 has to name"),
        (metadata("yx"), 'axes is "yx", not a list'),
        (spoken("x"), 'axes are ["x"], but an image has 2 to 5'),
        (spoken(*"tczyxk"), "but an image has 2 to 5"),
        (spoken(("t", TIME), ("x", SPACE)), 'of types ["time", "space"], but 2 or 3 are of space'),
        (spoken(("t", TIME), ("c", CHANNEL)), "but 2 or 3 are of space"),
        (spoken(*[(name, SPACE) for name in "wzyx"]), "but 2 or 3 are of space"),
        (metadata([{"name": "y"}, {"type": "space"}]), 'axes[1] is {"type": "space"}, which has'),
        (metadata([{"name": "y"}, {"name": None}]), 'axes[1] is {"name": null}, which has no name'),
        (metadata(["y", 5]), "axes[1] is 5, which has no name"),
    ],
)
def test_axes_that_are_no_axes_of_an_image(attributes, said):
    with pytest.raises(MalformedMetadataError) as caught:
        read_image(attributes, 2, "somewhere")
    message = str(caught.value)
    assert said in message and "somewhere" in message and "\n" not in message


def test_axes_and_arrays_that_differ_in_number(tmp_path):
    write_v2(tmp_path, [noise(3, 9, 9)], {"version": "0.4", "axes": axes("yx")})
    with pytest.raises(MalformedMetadataError, match=r"axes \('y', 'x'\) for an array of shape"):
        open_multiscale(tmp_path)


@pytest.mark.parametrize("names", ["yx", "zyx", "yxc"])
def test_levels_that_grow(names, tmp_path):
    size = {"z": 4, "y": 40, "x": 48, "c": 3}
    whole = noise(*(size[name] for name in names))
    levels = [whole[:, ::2], whole]
    write_v2(tmp_path, levels, {"version": "0.4", "axes": axes(names)}, chunks=(8,) * len(names))
    with pytest.raises(MalformedMetadataError) as caught:
        open_multiscale(tmp_path)
    assert "datasets lists level '1'" in str(caught.value)
    assert "after the smaller level '0'" in str(caught.value)


def test_levels_of_one_size_are_no_growth(tmp_path):
    levels = [noise(2, 40, 48), noise(2, 40, 24), noise(2, 20, 24)]
    write_v2(tmp_path, levels, {"version": "0.4", "axes": axes("zyx")})
    assert len(open_multiscale(tmp_path).levels) == 3


def test_levels_of_different_dimension(tmp_path):
    write_v2(tmp_path, [noise(1, 1, 1, 9, 9), noise(9, 9)], {"version": "0.2"})
    with pytest.raises(MalformedMetadataError, match="levels of shapes"):
        open_multiscale(tmp_path)


def test_a_unit_that_is_no_text_is_left_out(tmp_path):
    named = [{"name": "y", "type": "space", "unit": 5}, {"name": "x", "type": "space"}]
    write_v2(tmp_path, halve(noise(20, 20), 1), {"version": "0.4", "axes": named})
    with pytest.warns(OmeZarrWarning, match=r"left out: axes\[0\]\.unit 5\.") as caught:
        image = open_multiscale(tmp_path)
    assert len(caught) == 1 and image.units == (None, None)


def test_what_the_idr_writes_stays_readable(tmp_path):
    """A misspelt key for units, and an axis of which only the name is known."""
    named = [{"name": "c"}, {"name": "y", "units": "micrometer"}, {"name": "x", "type": "space"}]
    write_v2(tmp_path, [noise(1, 9, 9)], {"version": "0.4", "axes": named})
    image = open_multiscale(tmp_path)
    assert image.roles == ("c", "y", "x") and image.units == (None, "micrometer", None)


def test_an_array_of_the_other_axes_below_labels(tmp_path):
    """A label image that is one array has the axes of its image, or the last of them."""
    write_v2(tmp_path, [noise(2, 3, 4, 40, 48)], {"version": "0.4", "axes": axes("tczyx")})
    masks = {"whole": (2, 1, 4, 40, 48), "tzyx": (2, 4, 40, 48), "zyx": (4, 40, 48), "yx": (40, 48)}
    for name, shape in masks.items():
        write_array(tmp_path / "labels" / name, noise(*shape))
    image = open_multiscale(tmp_path)
    for name, shape in masks.items():
        label = image.label(name)
        assert label.roles == tuple("tczyx" if name == "whole" else name)
        assert label.stored[0].shape == shape and len(label.scales[0]) == len(shape)
        np.testing.assert_array_equal(image.stored_labels(0, name)[:], noise(*shape))
