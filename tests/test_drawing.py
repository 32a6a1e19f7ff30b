"""Pictures of images as anybody may have written them: strange numbers, strange axes.

What is drawn is looked at as it comes out, in colours, not only as it was handed to Matplotlib.
"""

import json
import warnings

import matplotlib
import numpy as np
import pytest
from support.images import axes, noise, scales, write_json, write_v2

matplotlib.use("Agg")

import matplotlib.pyplot as plt

from data_helpers import (
    caption,
    gallery,
    open_multiscale,
    overlay_labels,
    show_plane,
)
from data_helpers._display.pixels import (
    MISSING_COLOR,
    brightness,
    drawable,
    outlines,
    usable,
    value_range,
)
from data_helpers._display.planes import size_yx
from data_helpers._formatting import format_value
from data_helpers._pixel_size import pixel_size
from data_helpers.display import OUTLINE_COLOR, label_colors, window
from data_helpers.errors import NotDrawableError, OmeZarrError, OutsideImageError

BLUE = np.rint(np.multiply(MISSING_COLOR, 255))


@pytest.fixture(autouse=True)
def close_figures():
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)  # such as an overflow in a window
        yield
    plt.close("all")


def write(folder, levels, names, *, omero=None, types=None, **options):
    """Write an image of OME-Zarr 0.4 with these axes, one letter or one word each, and open it."""
    named = axes(names)
    for axis in named:
        axis["type"] = (types or {}).get(axis["name"], axis["type"])
        if axis["type"] == "space":
            axis["unit"] = "micrometer"
    per_level = [
        [0.5 * a / b for a, b in zip(levels[0].shape, level.shape, strict=True)] for level in levels
    ]
    about = {"version": "0.4", "name": "n", "axes": named, "datasets": scales(*per_level)}
    options.setdefault("chunks", tuple(max(1, size // 2) for size in levels[-1].shape))
    fill = False if levels[0].dtype.kind == "b" else 0
    return open_multiscale(
        write_v2(folder, levels, about, omero=omero, fill_value=fill, compressor=None, **options)
    )


def plane_image(folder, plane, **options):
    return write(folder, [plane], "yx", **options)


def drawn(ax):
    return np.ma.asarray(ax.get_images()[0].get_array())


def in_colors(ax):
    """What comes out: shape (y, x, 3), 0 to 255."""
    image = ax.get_images()[0]
    return np.rint(image.to_rgba(image.get_array())[..., :3] * 255)


def greys(ax):
    picture = in_colors(ax)
    assert (picture == picture[..., :1]).all()
    return picture[..., 0]


def expected_greys(plane, low, high):
    share = (plane.astype(float) - low) / (high - low)
    return 255 * share.clip(0, 1)


@pytest.fixture
def said(capsys):
    def caption_of(picture):
        capsys.readouterr()
        caption(picture, "noise")
        text = capsys.readouterr().out
        assert "nan" not in text and "inf " not in text
        return text

    return caption_of


RAMP = np.add.outer(2.0 * np.arange(30), np.arange(40))  # 0 to 97, brighter down and to the right


# --- positions ----------------------------------------------------------------------------------


@pytest.fixture
def stack(tmp_path):
    """Two levels; the second one has half as many planes, too."""
    pixels = noise(2, 6, 20, 30)
    return write(tmp_path / "stack", [pixels, pixels[:, ::2, ::2, ::2]], "czyx"), pixels


@pytest.mark.parametrize(
    ("where", "words"),
    [
        ({"c": 5}, ["Axis c of n has size 2 at level 0", "from 0 to 1", "not 5"]),
        ({"c": -3}, ["Axis c of n has size 2", "not -3"]),
        ({"z": 6}, ["Axis z of n has size 6", "from 0 to 5"]),
        ({"z": 3, "resolution": 1}, ["Axis z of n has size 3 at level 1", "from 0 to 2"]),
        ({"z": 2.5}, ["Axis z of n has size 6", "whole number", "not 2.5"]),
        ({"z": "2"}, ["whole number from 0 to 5, not '2'"]),
        ({"t": 3}, ["n has no axis 't'", "t=3", "c (2), z (6), y (20) and x (30)"]),
        ({"angle": 0}, ["n has no axis 'angle'"]),
        ({"y": slice(9, 9)}, ["y=slice(9, 9, None) holds no pixel", "20 pixels along y"]),
        ({"x": slice(40, 50)}, ["holds no pixel", "30 pixels along x"]),
        ({"Y": slice(3)}, ["n has no axis 'Y'"]),
        ({"y": 5}, ["y=slice(0, 20)", "not 5"]),
        ({"x": slice(None, None, -1)}, ["goes forward"]),
        ({"x": slice(None, None, 0)}, ["goes forward"]),
        ({"x": slice(0.5, 3)}, ["goes forward"]),
    ],
)
def test_a_position_outside_names_the_axis_and_its_size(stack, where, words):
    with pytest.raises(OmeZarrError) as caught:
        show_plane(stack[0], **where)
    assert isinstance(caught.value, OutsideImageError | NotDrawableError)
    assert all(word in str(caught.value) for word in words), caught.value
    assert str(caught.value).count("\n") == 0 and not plt.get_fignums()


def test_errors_of_pictures_are_those_that_python_has_too():
    assert issubclass(OutsideImageError, IndexError) and issubclass(NotDrawableError, ValueError)


def test_a_position_counts_from_the_end_and_the_title_says_which_it_is(stack):
    image, pixels = stack
    ax = show_plane(image, c=-1, z=np.int64(-2))
    np.testing.assert_array_equal(drawn(ax), pixels[1, 4])
    assert ax.get_title() == "n\nlevel 0, c 1, z 4"


def test_the_default_plane_of_a_level_with_fewer_planes(stack):
    image, pixels = stack
    ax = show_plane(image, 1)
    np.testing.assert_array_equal(drawn(ax), pixels[0, 2, ::2, ::2])
    assert ax.get_title() == "n\nlevel 1, c 0, z 1"


def test_an_axis_that_is_not_there_has_one_place(tmp_path):
    image = plane_image(tmp_path / "a", RAMP)
    np.testing.assert_array_equal(drawn(show_plane(image, t=0, c=0, z=0)), RAMP)


def test_of_every_third_pixel_shape_and_width_are_right(tmp_path, said):
    image = plane_image(tmp_path / "a", noise(60, 90))
    ax = show_plane(image, x=slice(0, None, 3), y=slice(0, 40))
    assert drawn(ax).shape == (40, 30)
    assert "40 × 30 of 60 × 90 pixels, 45 µm wide" in said(ax)
    ax.figure.draw_without_rendering()
    box = ax.get_window_extent()
    assert box.height / box.width == pytest.approx(40 / 90, rel=0.02)
    assert ax.artists[0].txt_label.get_text() == "10 µm"
    [line] = ax.artists[0].size_bar.get_children()
    assert line.get_width() == pytest.approx(10 / 0.5 / 3)


# --- pixels without a value ---------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["f2", "<f4", ">f4", "f8", "c8"])
@pytest.mark.parametrize("gap", [np.nan, np.inf, -np.inf])
def test_pixels_without_a_value_are_blue_and_all_others_as_if_these_were_not(
    tmp_path, said, dtype, gap
):
    plane = RAMP.astype(dtype)
    plane[5, 6:9] = gap
    ax = show_plane(plane_image(tmp_path / "a", plane))
    picture = in_colors(ax)
    assert (picture[5, 6:9] == BLUE).all()
    rest = np.ones(plane.shape, bool)
    rest[5, 6:9] = False
    assert (picture[rest] == picture[rest][:, :1]).all()
    np.testing.assert_allclose(picture[..., 0][rest], expected_greys(RAMP, 0, 97)[rest], atol=1.5)
    text = said(ax)
    assert "values 0 to 97 shown from black to white" in text
    assert "pixels without a value (NaN or infinite) are blue" in text


def test_a_plane_without_any_value(tmp_path, said):
    ax = show_plane(plane_image(tmp_path / "a", np.full((8, 9), np.nan)))
    assert (in_colors(ax) == BLUE).all()
    text = said(ax)
    assert "no pixel has a value, so all are blue" in text and "values" not in text


def test_a_plane_with_values_says_nothing_of_blue(tmp_path, said):
    assert "blue" not in said(show_plane(plane_image(tmp_path / "a", RAMP)))


def test_a_window_that_the_metadata_give_stays(tmp_path):
    plane = RAMP[np.newaxis].copy()
    plane[0, 0] = np.nan
    channels = [{"label": "a", "window": {"start": 10, "end": 50}}]
    image = write(tmp_path / "a", [plane], "cyx", omero={"channels": channels})
    assert show_plane(image).get_images()[0].get_clim() == (10, 50)


def test_a_window_is_two_finite_numbers_in_rising_order():
    assert usable((1, 2)) and not any(
        usable(window) for window in (None, (0, 0), (9, 1), (0, np.inf), (np.nan, 1))
    )


@pytest.mark.filterwarnings("ignore::data_helpers.errors.OmeZarrWarning")
@pytest.mark.parametrize("ends", [(0, 0), (50, 10)])
def test_a_window_that_is_none_gives_way_to_the_range(tmp_path, ends):
    channels = [{"label": "a", "window": dict(zip(("start", "end"), ends, strict=True))}]
    image = write(tmp_path / "a", [RAMP[np.newaxis]], "cyx", omero={"channels": channels})
    assert window(image, 0, RAMP) == (0, 97)
    np.testing.assert_allclose(greys(show_plane(image)), expected_greys(RAMP, 0, 97), atol=1)


def test_labels_over_a_picture_with_one_gap_stay_a_picture():
    plane, labels = RAMP.copy(), np.zeros(RAMP.shape, int)
    whole = overlay_labels(plane, labels)
    for gap in (np.nan, np.inf):
        plane[3, 3] = gap
        picture = overlay_labels(plane, labels)
        assert tuple(picture[3, 3]) == MISSING_COLOR
        picture[3, 3] = whole[3, 3]
        np.testing.assert_array_equal(picture, whole)
    assert np.isfinite(overlay_labels(np.full((4, 4), np.nan), labels[:4, :4])).all()


def test_masked_pixels_have_no_value():
    masked = np.ma.masked_array(RAMP.astype(int), RAMP > 90)
    picture = overlay_labels(masked, np.zeros(RAMP.shape, int))
    assert ((picture == MISSING_COLOR).all(-1) == (RAMP > 90)).all()
    np.testing.assert_allclose(picture[RAMP <= 90][:, 0], RAMP[RAMP <= 90] / 90)
    assert drawn(gallery([masked], ["a"]).axes[0]).mask.sum() == (RAMP > 90).sum()


# --- numbers of every kind ----------------------------------------------------------------------


def test_of_complex_pixels_the_magnitude_is_drawn_and_called_so(tmp_path, said):
    plane = (RAMP * np.exp(1j * RAMP)).astype("c16")
    ax = show_plane(plane_image(tmp_path / "a", plane))
    np.testing.assert_allclose(greys(ax), expected_greys(RAMP, 0, 97), atol=1)
    assert ax.get_title() == "n\nlevel 0, magnitude"
    assert ax.child_axes[0].get_ylabel() == "magnitude"
    assert "the values are magnitudes of complex numbers" in said(ax)


@pytest.mark.parametrize("all_true", [False, True])
def test_boolean_pixels_are_black_and_white(tmp_path, said, all_true):
    plane = (RAMP > 50) | all_true
    ax = show_plane(plane_image(tmp_path / "a", plane))
    np.testing.assert_array_equal(greys(ax), 255 * plane)
    assert "values 0 to 1 shown from black to white" in said(ax)
    np.testing.assert_array_equal(overlay_labels(plane, np.zeros(plane.shape, int))[..., 0], plane)


@pytest.mark.parametrize("dtype", ["u8", "i8", ">u8"])
@pytest.mark.parametrize("base", [2**53 + 1, 2**62 + 7])
def test_whole_numbers_beyond_2_to_the_53_keep_their_differences(tmp_path, said, dtype, base):
    plane = RAMP.astype(dtype) + np.array(base, dtype)
    ax = show_plane(plane_image(tmp_path / "a", plane))
    np.testing.assert_allclose(greys(ax), expected_greys(RAMP, 0, 97), atol=1)
    assert f"values {base:,} to {base + 97:,} shown" in said(ax)
    assert ax.child_axes[0].get_ylabel() == f"pixel value less {base:,}"
    picture = overlay_labels(plane, np.zeros(plane.shape, int))
    np.testing.assert_allclose(picture[..., 0], RAMP / 97)


def test_the_widest_whole_numbers(tmp_path, said):
    ends = np.iinfo("i8")
    plane = np.where(RAMP > 50, ends.max, ends.min)
    ax = show_plane(plane_image(tmp_path / "a", plane))
    np.testing.assert_array_equal(greys(ax), 255 * (RAMP > 50))
    assert f"values {ends.min:,} to {ends.max:,} shown" in said(ax)
    full = np.where(RAMP > 50, np.iinfo("u8").max, 0).astype("u8")
    np.testing.assert_array_equal(brightness(full, (-(2**60), 512 - 2**60)), np.ones(RAMP.shape))
    np.testing.assert_array_equal(brightness(full, (0, 2**64 - 1)), RAMP > 50)


@pytest.mark.parametrize("most", [1.7e308, 1e-308, 1e-310])
def test_the_largest_and_the_smallest_numbers(tmp_path, most):
    plane = np.where(RAMP > 50, most, -most if most > 1 else 0)
    ax = show_plane(plane_image(tmp_path / "a", plane))
    np.testing.assert_array_equal(greys(ax), 255 * (RAMP > 50))


@pytest.mark.parametrize("value", [0, 7, -3.5, 2**60, 1e300])
def test_a_constant_image_is_black_and_says_its_value(tmp_path, said, value):
    ax = show_plane(plane_image(tmp_path / "a", np.full((20, 30), value)))
    assert (greys(ax) == 0).all()
    assert f"every pixel is {format_value(value)}." in said(ax)
    low, high = ax.get_images()[0].get_clim()
    assert low < high


@pytest.mark.parametrize("shape", [(1, 40), (30, 1), (1, 1)])
def test_pictures_of_one_row_one_column_and_one_pixel(tmp_path, said, shape):
    plane = RAMP[: shape[0], : shape[1]]
    ax = show_plane(plane_image(tmp_path / "a", plane))
    assert in_colors(ax).shape == (*shape, 3)
    assert f"{shape[0]} × {shape[1]} pixels" in said(ax)
    picture = overlay_labels(plane, np.ones(shape, int))
    assert picture.shape == (*shape, 3)


def test_strange_numbers_come_out_of_matplotlib_as_a_picture(tmp_path):
    """Its rendering has ideas of its own about what a pixel may be."""
    gap = np.where(RAMP > 50, RAMP, np.inf)
    strange = [gap, gap.astype("f2"), 1j * RAMP, RAMP > 50, RAMP.astype("u8") + 2**63, 1e306 * gap]
    every = plt.figure(figsize=(6, 1)).subplots(1, 6)
    for number, ax in enumerate(every):
        show_plane(plane_image(tmp_path / str(number), strange[number]), ax=ax)
    ax.figure.canvas.draw()
    rendered = np.asarray(ax.figure.canvas.buffer_rgba())[..., :3]
    blue = (np.abs(rendered - BLUE) < 2).all(-1).any(axis=0)
    spans = [slice(*map(int, ax.get_window_extent().intervalx)) for ax in every]
    assert [bool(blue[span].any()) for span in spans] == [True, True, False, False, False, True]


def test_what_is_no_number_is_refused():
    with pytest.raises(NotDrawableError, match="a picture needs numbers"):
        drawable(np.array([["a"]]))


def test_values_as_people_say_them():
    values = [0, 7.0, 1234567, 1234567.0, 0.25, 2**60 + 1, 1e300, -1e300, 1 / 3]
    expected = ["0", "7", "1,234,567", "1,234,567", "0.25"]
    expected += ["1,152,921,504,606,846,977", "1e+300", "-1e+300", "0.333333"]
    assert [format_value(value) for value in values] == expected
    assert value_range(np.array([])) is None and value_range(np.array([np.nan])) is None


# --- labels of every kind -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dtype", "base"),
    [("u8", 2**63 + 5), ("u8", 2**31), ("i8", 2**53), ("u4", 2**32 - 3), ("f8", 3), ("i4", 5)],
)
def test_outlines_between_labels_of_any_size(dtype, base):
    labels = np.zeros((12, 12), dtype)
    labels[2:7, 2:7], labels[2:7, 7:11] = base, base + 1
    for style in ("outline", "fill"):
        picture = overlay_labels(np.zeros((12, 12)), labels, style=style, opacity=1)
        small = overlay_labels(np.zeros((12, 12)), (labels != 0).astype("u1"), style=style)
        assert ((picture != 0).any(-1) >= (small != 0).any(-1)).all()
        if style == "outline":
            magenta = (picture == OUTLINE_COLOR).all(-1)
            assert magenta[2:7, 6:8].all() and not magenta[3:6, 3:6].any()
        else:
            assert np.abs(picture[3, 3] - picture[3, 8]).max() > 0.15


def test_labels_without_a_value_are_background():
    labels = np.array([[0, 0, 0, 0], [0, np.nan, 3, 0], [0, 3, 3, 0], [0, 0, 0, 0]])
    picture = overlay_labels(np.zeros((4, 4)), labels)
    assert (picture == OUTLINE_COLOR).all(-1).sum() == 3
    assert not outlines(np.full((5, 5), np.nan)).any()
    with pytest.raises(NotDrawableError, match="whole numbers"):
        overlay_labels(np.zeros((4, 4)), labels.astype(complex))


def test_the_colours_of_small_labels_stay_what_they_were():
    labels = np.array([1, 2, 1381342])
    golden = 0.1 + 0.9 * (labels * 0.618033988749895 % 1)
    np.testing.assert_array_equal(label_colors(labels), plt.get_cmap("viridis")(golden)[:, :3])


# --- gamma and inversion ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("about", "power", "down", "words"),
    [
        ({"inverted": True}, 1, True, "0 to 97 shown from white to black."),
        ({"family": "polynomial", "coefficient": 0.5}, 0.5, False, "white, with gamma 0.5."),
        ({"coefficient": 2}, 2, False, "with gamma 2."),
        ({"coefficient": 2, "inverted": True}, 2, True, "from white to black, with gamma 2."),
        ({"family": "linear", "coefficient": 1, "inverted": False}, 1, False, "black to white."),
        ({"family": "linear", "coefficient": 3}, 1, False, "coefficient 3 of this channel is not"),
        ({"family": "logarithmic"}, 1, False, "family 'logarithmic' of this channel is not"),
        ({"coefficient": "x"}, 1, False, "coefficient 'x' of this channel is not followed"),
        ({"coefficient": -1}, 1, False, "coefficient -1 of this channel is not followed"),
    ],
)
def test_gamma_and_inversion_are_followed_or_named(tmp_path, said, about, power, down, words):
    channels = [{"label": "a", "window": {"start": 0, "end": 97}} | about]
    image = write(tmp_path / "a", [RAMP[np.newaxis]], "cyx", omero={"channels": channels})
    ax = show_plane(image)
    share = (RAMP / 97) ** power
    np.testing.assert_allclose(greys(ax), 255 * (1 - share if down else share), atol=1.5)
    assert words in said(ax)


# --- axes ---------------------------------------------------------------------------------------


ORDERS = [
    ("xy", "xy"),
    ("xyz", "xyz"),
    ("zxy", "zxy"),
    ("xyzct", "xyzct"),
    ("tczyx", "tczyx"),
    ("ytxc", "ytxc"),
    ("ZYX", "zyx"),
    ("CYX", "cyx"),
]


@pytest.mark.parametrize(("names", "roles"), ORDERS)
def test_y_goes_down_and_x_across_in_whatever_order_they_are_stored(tmp_path, said, names, roles):
    sizes = {"t": 3, "c": 2, "z": 4, "y": 20, "x": 30}
    pixels = noise(*(sizes[role] for role in roles))
    about = {name: {"t": "time", "c": "channel"}.get(name.lower(), "space") for name in names}
    image = write(tmp_path / "a", halve_yx(pixels, roles), names, types=about)
    at = {"t": 2, "c": 1, "z": 3}
    for level, (step, size) in enumerate([(1, (20, 30)), (2, (10, 15))]):
        ax = show_plane(image, level, **{role: at[role] for role in roles if role in at})
        expected = pixels[tuple(at.get(role, slice(None, None, step)) for role in roles)]
        expected = expected if roles.index("y") < roles.index("x") else expected.T
        np.testing.assert_array_equal(drawn(ax), expected)
        assert size_yx(image, level) == size
        assert f"{size[0]} × {size[1]} pixels, 15 µm wide" in said(ax)
        assert pixel_size(image, level) == (0.5 * step, 0.5 * step)
        places = [f"{n} {at[r]}" for n, r in zip(names, roles, strict=True) if r in at]
        assert ax.get_title() == f"n\n{', '.join([f'level {level}', *places])}"
    assert image.level_for((10, 15)) == 1 and image.level_for((15, 10)) == 0


def halve_yx(pixels, roles):
    """Two levels; the second one has every second pixel along y and x, wherever they are."""
    steps = (slice(None, None, 2) if role in "yx" else slice(None) for role in roles)
    return [pixels, pixels[tuple(steps)]]


def test_further_axes_are_at_0_or_where_a_keyword_says_and_in_the_title(tmp_path):
    pixels = noise(3, 2, 20, 30)
    types = {"angle": "other", "phase": "other"}
    image = write(tmp_path / "a", [pixels], ["angle", "phase", "y", "x"], types=types)
    ax = show_plane(image)
    np.testing.assert_array_equal(drawn(ax), pixels[0, 0])
    assert ax.get_title() == "n\nlevel 0, angle 0, phase 0"
    ax = show_plane(image, angle=2, phase=-1)
    np.testing.assert_array_equal(drawn(ax), pixels[2, 1])
    assert ax.get_title() == "n\nlevel 0, angle 2, phase 1"
    with pytest.raises(OutsideImageError, match="Axis angle of n has size 3"):
        show_plane(image, angle=3)


def test_axes_that_are_called_like_facts(tmp_path, said):
    types = {"level": "other", "image": "other"}
    image = write(tmp_path / "a", [noise(3, 2, 20, 30)], ["level", "image", "y", "x"], types=types)
    ax = show_plane(image, level=2)
    assert ax.get_title() == "n\nlevel 0, axis level 2, axis image 0"
    assert "n, level 0, axis level 2, axis image 0, 20 × 30 pixels" in said(ax)


def test_y_and_x_are_no_positions_under_their_own_names_either(tmp_path):
    image = write(tmp_path / "a", [noise(20, 30)], "YX")
    with pytest.raises(NotDrawableError, match="slice as y= or x="):
        show_plane(image, Y=slice(3))


@pytest.mark.parametrize("scale", [(1e-9, 1), (1e-200, 1e200), (1, 1e-5)])
def test_pixels_of_an_impossible_shape_are_drawn_square_and_it_says_so(tmp_path, said, scale):
    about = {"version": "0.4", "name": "n", "axes": axes("yx"), "datasets": scales(scale)}
    image = open_multiscale(write_v2(tmp_path / "a", [noise(20, 30)], about))
    ax = show_plane(image)
    ax.figure.canvas.draw()
    assert "pixels drawn square" in said(ax)


def test_pixels_that_are_not_square_in_an_image_stored_x_first(tmp_path):
    folder = tmp_path / "a"
    about = {
        "version": "0.4",
        "name": "n",
        "axes": axes("xy", x="micrometer", y="micrometer"),
        "datasets": scales((0.25, 0.75)),  # x, y
    }
    image = open_multiscale(write_v2(folder, [noise(60, 20)], about))
    assert pixel_size(image) == (0.75, 0.25)
    ax = show_plane(image)
    ax.figure.draw_without_rendering()
    box = ax.get_window_extent()
    assert box.height / box.width == pytest.approx((20 * 0.75) / (60 * 0.25), rel=0.02)
    assert "15 µm" not in [artist.txt_label.get_text() for artist in ax.artists]


# --- colour pictures ----------------------------------------------------------------------------

PHOTO = np.random.default_rng(5).integers(0, 256, (20, 30, 3)).astype("u1")


@pytest.mark.parametrize(
    ("names", "pixels"),
    [
        ("yxc", PHOTO),
        ("yxc", np.dstack([PHOTO, np.full((20, 30), 9, "u1")])),
        ("xyc", PHOTO.transpose(1, 0, 2)),
        ("cyx", PHOTO.transpose(2, 0, 1)),
        ("tyxc", np.stack([0 * PHOTO, PHOTO])),
        ("yx", None),
    ],
)
def test_a_colour_picture_is_drawn_in_its_colours(tmp_path, said, names, pixels):
    if pixels is None:  # named otherwise
        image = write(tmp_path / "a", [PHOTO], ["Y", "X", "rgb"], types={"rgb": "channel"})
    else:
        image = write(tmp_path / "a", [pixels], names)
    ax = show_plane(image, y=slice(2, 18))
    np.testing.assert_array_equal(drawn(ax), PHOTO[2:18])
    np.testing.assert_array_equal(in_colors(ax), PHOTO[2:18])
    assert not ax.child_axes and "0 to 2 in colour" in ax.get_title()
    text = said(ax)
    assert "channels shown as red, green and blue" in text
    assert ("channel 3, opacity, is left out" in text) == (names == "yxc" and pixels.shape[-1] == 4)
    ax = show_plane(image, c=1)
    np.testing.assert_array_equal(drawn(ax), PHOTO[..., 1])


def test_a_colour_picture_without_colour_is_drawn_in_grey(tmp_path, said):
    grey = np.repeat(PHOTO[..., :1], 3, axis=-1)
    ax = show_plane(write(tmp_path / "a", [grey], "yxc"))
    np.testing.assert_array_equal(greys(ax), PHOTO[..., 0])  # as bright as it would be in colour
    assert "its red, green and blue are the same" in said(ax)


@pytest.mark.parametrize("kind", ["16 bits", "five channels", "own colours", "omero"])
def test_what_is_no_colour_picture_is_drawn_one_channel_at_a_time(tmp_path, kind):
    names, pixels, omero = "yxc", PHOTO, None
    if kind == "16 bits":
        pixels = PHOTO.astype("u2")
    if kind == "five channels":
        pixels = np.dstack([PHOTO, PHOTO[..., :2]])
    if kind in ("own colours", "omero"):
        colors = ("FF00FF", "00FF00", "0000FF") if kind == "own colours" else ("FFFFFF",) * 3
        omero = {"channels": [{"label": color, "color": color} for color in colors]}
    if kind == "omero":  # a fluorescence image of three channels
        names, pixels = "cyx", PHOTO.transpose(2, 0, 1)
    ax = show_plane(write(tmp_path / "a", [pixels], names, omero=omero))
    np.testing.assert_array_equal(drawn(ax), PHOTO[..., 0])


def test_red_green_and_blue_in_the_metadata_are_a_colour_picture(tmp_path):
    omero = {"channels": [{"label": c, "color": c} for c in ("FF0000", "00FF00", "0000FF")]}
    ax = show_plane(write(tmp_path / "a", [PHOTO], "yxc", omero=omero))
    np.testing.assert_array_equal(drawn(ax), PHOTO)


# --- galleries, and names -----------------------------------------------------------------------


def test_a_gallery_of_strange_numbers(tmp_path, said):
    gap = RAMP.copy()
    gap[2, 0] = np.nan
    planes = [RAMP, gap, RAMP > 50, RAMP * 1j, np.full_like(RAMP, np.nan), 0 * RAMP]
    image = plane_image(tmp_path / "a", RAMP)
    for given in (image, None):
        figure = gallery(planes, list("abcdef"), columns=3, image=given)
        pictures = [in_colors(ax) for ax in figure.axes]
        assert (pictures[1][2, 0] == BLUE).all() and (pictures[4] == BLUE).all()
        np.testing.assert_array_equal(pictures[2][..., 0], 255 * (RAMP > 50))
        np.testing.assert_array_equal(pictures[3], pictures[0])
        pictures[1][2, 0] = pictures[0][2, 0]
        np.testing.assert_array_equal(pictures[1], pictures[0])
    text = said(gallery(planes, list("abcdef"), columns=3, image=image))
    assert "pixels without a value (NaN or infinite) are blue" in text
    assert "some: the values are magnitudes of complex numbers" in text
    assert "every pixel" not in text  # that holds for one of them only
    text = said(gallery(planes[:2], list("ab"), image=image, window=(0, 50)))
    assert "values 0 to 50 shown from black to white, pixels without a value" in text


def test_colours_in_a_gallery():
    gap = np.full((4, 5, 3), 0.5)
    gap[1, 1, 0] = np.nan
    pictures = [gap, np.ones((4, 5, 3), bool), PHOTO, PHOTO.astype("u2"), np.ones((4, 5, 4))]
    figure = gallery(pictures, list("abcde"))
    shown = [drawn(ax) for ax in figure.axes]
    assert tuple(shown[0][1, 1]) == MISSING_COLOR and (shown[0][0] == 0.5).all()
    assert (shown[1] == 1).all() and (shown[2] == PHOTO).all() and (shown[4] == 1).all()
    np.testing.assert_allclose(shown[3], PHOTO / 255)
    for wrong in (gap * 9, PHOTO.astype("i4") * 7, PHOTO - 0.5):
        with pytest.raises(NotDrawableError, match="from 0 to 255"):
            gallery([wrong], ["a"])


@pytest.mark.parametrize(
    ("pictures", "titles", "options", "words"),
    [
        ([], [], {}, "at least one picture"),
        ([RAMP], [], {}, "0 titles"),
        ([RAMP], ["a"], {"columns": 0}, "0 columns"),
        ([RAMP], ["a"], {"level": []}, "0 levels"),
        ([RAMP[0]], ["a"], {}, r"shape \(40,\)"),
        ([RAMP[np.newaxis]], ["a"], {}, r"shape \(1, 30, 40\)"),
        ([RAMP[:0]], ["a"], {}, "at least one pixel"),
        ([RAMP], ["a"], {"window": (9, 1)}, "a larger one"),
        ([RAMP], ["a"], {"window": (np.nan, 1)}, "np.nanmin"),
    ],
)
def test_a_gallery_that_cannot_be_drawn_says_why(pictures, titles, options, words):
    with pytest.raises(NotDrawableError, match=words):
        gallery(pictures, titles, **options)
    assert not plt.get_fignums()


def test_an_overlay_that_cannot_be_drawn_says_why():
    labels = np.zeros(RAMP.shape, int)
    with pytest.raises(NotDrawableError, match=r"np\.nanmin"):
        overlay_labels(RAMP, labels, window=(np.nan, 2))
    with pytest.raises(NotDrawableError, match=r"shape \(2, 30, 40\)"):
        overlay_labels(np.stack([RAMP, RAMP]), np.stack([labels, labels]))
    with pytest.raises(NotDrawableError, match="at least one pixel"):
        overlay_labels(RAMP[:0], labels[:0])
    assert (overlay_labels(RAMP, labels, window=(5, 5))[0, :6, 0] == 0).all()


def test_a_name_with_dollars_is_not_taken_for_a_formula(tmp_path):
    image = plane_image(tmp_path / "a", RAMP)
    document = json.loads((tmp_path / "a/.zattrs").read_text(encoding="utf-8"))
    document["multiscales"][0]["name"] = "5$^$"
    write_json(tmp_path / "a/.zattrs", document)
    image = open_multiscale(tmp_path / "a")
    show_plane(image).figure.canvas.draw()
    figure = gallery([RAMP], ["a"], image=image)
    figure.canvas.draw()
    assert figure.get_suptitle() == "5$^$"
