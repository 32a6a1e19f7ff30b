"""Static pictures: what is drawn, where, and what is said about it."""

import matplotlib
import numpy as np
import pytest
from support.images import axes, noise, write_v2

matplotlib.use("Agg")

import matplotlib.pyplot as plt

from data_helpers import (
    caption,
    gallery,
    open_multiscale,
    overlay_labels,
    request_meter,
    show_plane,
)
from data_helpers.display import OUTLINE_COLOR, label_colors, window
from data_helpers.sources import find_source


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


@pytest.fixture
def image(tmp_path):
    pixels = noise(3, 2, 5, 20, 30)
    windows = [{"label": "a", "window": {"start": 10, "end": 99}}, {"label": "b"}]
    omero = {"channels": windows, "rdefs": {"defaultT": 2, "defaultZ": 3}}
    levels = [pixels, pixels[..., ::2, ::2]]
    folder = write_v2(tmp_path / "real.zarr", levels, {"version": "0.1"}, omero=omero)
    found = open_multiscale(folder)
    found.pixels = pixels
    return found


def drawn(ax):
    return np.asarray(ax.get_images()[0].get_array())


def test_a_plane_at_the_default_position(image):
    ax = show_plane(image)
    np.testing.assert_array_equal(drawn(ax), image.pixels[2, 0, 3])
    assert ax.get_title() == "real.zarr\nlevel 0, t 2, c 0, z 3"
    assert ax.get_images()[0].get_clim() == (10, 99)
    assert ax.get_images()[0].get_cmap().name == "gray"
    assert not ax.axison


def test_a_part_of_a_plane_at_a_given_place(image):
    _, ax = plt.subplots()
    part = {"y": slice(2, 8), "x": slice(5, 15)}
    with request_meter() as cost:
        assert show_plane(image, "1", t=0, c=1, z=4, ax=ax, **part) is ax
    expected = image.pixels[0, 1, 4, ::2, ::2][2:8, 5:15]
    np.testing.assert_array_equal(drawn(ax), expected)
    assert ax.get_title() == "real.zarr\nlevel 1, t 0, c 1, z 4"
    assert ax.get_images()[0].get_clim() == (expected.min(), expected.max())  # no window
    assert cost.requests == 1


def test_position_zero_is_a_position(image):
    np.testing.assert_array_equal(drawn(show_plane(image, t=0, z=0)), image.pixels[0, 0, 0])


@pytest.mark.parametrize("names", ["yx", "zyx", "cyx", "tyx", "tczyx"])
def test_planes_of_images_with_other_axes(names, tmp_path):
    pixels = noise(*(3,) * (len(names) - 2), 20, 30)
    folder = write_v2(tmp_path, [pixels], {"version": "0.4", "name": "n", "axes": axes(names)})
    ax = show_plane(open_multiscale(folder))
    where = {"t": 1, "c": 0, "z": 1}
    np.testing.assert_array_equal(drawn(ax), pixels[tuple(where[n] for n in names[:-2])])
    position = "".join(f", {n} {where[n]}" for n in names[:-2])
    assert ax.get_title() == f"n\nlevel 0{position}"


def test_synthetic_images_are_called_so_in_titles(offline):
    ax = show_plane(open_multiscale(9822152), 10)
    assert ax.get_title() == "IDR 9822152 (synthetic stand-in)\nlevel 10, t 0, c 0, z 0"
    assert ax.get_images()[0].get_clim() == (1500, 6000)
    label = open_multiscale(6001247).label()
    title = "labels of IDR 6001247 (synthetic stand-in)\nlevel 0, t 0, c 0, z 128"
    assert show_plane(label, z=128).get_title() == title


def test_the_window_of_a_channel(image):
    plane = np.array([[5, 7]])
    assert window(image, 0, plane) == (10, 99)
    assert window(image, 1, plane) == (5, 7)  # the channel names none
    assert window(image, 2, plane) == (5, 7)  # there is no such channel in the metadata


# Labels over a plane

LABELS = np.zeros((12, 12), "u4")
LABELS[2:7, 2:7] = 1381342
LABELS[2:7, 7:11] = 1381343
PLANE = np.arange(144, dtype="u2").reshape(12, 12)


def test_outlines():
    picture = overlay_labels(PLANE, LABELS, window=(0, 143))
    assert picture.shape == (12, 12, 3) and picture.min() >= 0 and picture.max() <= 1
    outline = (picture == OUTLINE_COLOR).all(axis=-1)
    assert outline[2, 2:11].all() and outline[6, 2:11].all() and outline[2:7, 2].all()
    assert outline[2:7, 6:8].all()  # also between neighbours
    assert not outline[3:6, 3:6].any() and not outline[LABELS == 0].any()
    grey = picture[~outline]
    assert (grey[:, 0] == grey[:, 1]).all() and (grey[:, 1] == grey[:, 2]).all()
    assert picture[11, 11, 0] == 1 and picture[0, 0, 0] == 0


def test_fills():
    picture = overlay_labels(PLANE, LABELS, style="fill", window=(0, 143), opacity=1)
    one, two = picture[3, 3], picture[3, 8]
    assert (picture[2:7, 2:7] == one).all() and (picture[2:7, 7:11] == two).all()
    assert np.abs(one - two).max() > 0.2
    background = picture[LABELS == 0]
    assert (background[:, 0] == background[:, 2]).all()
    through = overlay_labels(PLANE, LABELS, style="fill", window=(0, 143), opacity=0.25)
    np.testing.assert_allclose(through[3, 3], 0.75 * PLANE[3, 3] / 143 + 0.25 * one)


def test_no_labels_at_all():
    for style in ("outline", "fill"):
        picture = overlay_labels(PLANE, np.zeros_like(LABELS), style=style)
        np.testing.assert_allclose(picture[..., 0], PLANE / 143)


def test_pixels_outside_the_window_and_flat_planes():
    picture = overlay_labels(PLANE, np.zeros_like(LABELS), window=(50, 100))
    assert picture[0, 0, 0] == 0 and picture[11, 11, 0] == 1
    flat = overlay_labels(np.full((12, 12), 7), np.zeros_like(LABELS))
    assert np.isfinite(flat).all()


def test_labels_of_another_shape():
    with pytest.raises(ValueError, match=r"shape \(12, 12\) but the labels have \(12, 11\)"):
        overlay_labels(PLANE, LABELS[:, :-1])


def test_an_unknown_style():
    with pytest.raises(ValueError, match="'outline' or 'fill', not 'dots'"):
        overlay_labels(PLANE, LABELS, style="dots")


def test_colours_of_labels_are_told_apart_and_stay_the_same():
    colors = label_colors(np.arange(1381342, 1381390, dtype="u4"))
    assert colors.shape == (48, 3) and colors.min() >= 0 and colors.max() <= 1
    assert len(np.unique(colors.round(3), axis=0)) > 40
    assert np.abs(np.diff(colors, axis=0)).max(axis=1).min() > 0.15  # neighbouring numbers
    np.testing.assert_array_equal(label_colors(np.array([1381350])), colors[8:9])


# Galleries and captions


def test_a_gallery():
    pictures = [noise(8, 9, seed=n) for n in range(7)]
    figure = gallery(pictures, [f"z {n}" for n in range(7)], columns=3, title="Planes")
    assert len(figure.axes) == 9 and figure.get_suptitle() == "Planes"
    assert not any(ax.axison for ax in figure.axes)
    assert [ax.get_title() for ax in figure.axes] == [f"z {n}" for n in range(7)] + ["", ""]
    for ax, picture in zip(figure.axes, pictures, strict=False):
        np.testing.assert_array_equal(drawn(ax), picture)
        assert ax.get_images()[0].get_clim() == (picture.min(), picture.max())
    assert not figure.axes[7].get_images()


def test_a_gallery_in_one_window_and_in_colour():
    picture = overlay_labels(PLANE, LABELS)
    figure = gallery([PLANE, picture], ["grey", "colour"], window=(3, 50))
    assert figure.axes[0].get_images()[0].get_clim() == (3, 50)
    np.testing.assert_array_equal(drawn(figure.axes[1]), picture)


def test_a_gallery_of_one():
    assert len(gallery([PLANE], ["one"], columns=1).axes) == 1


def test_captions_say_what_is_synthetic(image, offline, capsys):
    organoid, source = open_multiscale(9822152), find_source("offline")
    capsys.readouterr()
    caption(image, "noise.")
    caption(organoid, "an organoid.")
    caption(source, "anything.")
    assert capsys.readouterr().out.splitlines() == [
        "Picture: noise.",
        "Synthetic picture: an organoid.",
        "Synthetic picture: anything.",
    ]
