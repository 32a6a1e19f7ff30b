"""Static pictures: what is drawn, where, and what is said about it."""

import gc

import matplotlib
import numpy as np
import pytest
from support.images import axes, noise, write_v2

matplotlib.use("Agg")

import matplotlib.pyplot as plt
from mpl_toolkits.axes_grid1.anchored_artists import AnchoredSizeBar

from data_helpers import (
    caption,
    gallery,
    open_multiscale,
    overlay_labels,
    request_meter,
    show_plane,
)
from data_helpers._formatting import format_length, round_length
from data_helpers._pixel_size import pixel_size
from data_helpers.display import OUTLINE_COLOR, _shown, label_colors, window
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
    assert ax.get_title() == "real.zarr\nlevel 0, t 2, c 0 (a), z 3"
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
    assert ax.get_title() == "real.zarr\nlevel 1, t 0, c 1 (b), z 4"
    assert ax.get_images()[0].get_clim() == (expected.min(), expected.max())  # no window
    assert cost.requests == 1


def test_a_channel_without_a_name_of_its_own_is_a_number(tmp_path):
    channels = [{"label": "0"}, {}, {"label": "GFP"}]
    levels, metadata = [noise(1, 4, 1, 8, 8)], {"version": "0.1"}
    image = open_multiscale(write_v2(tmp_path, levels, metadata, omero={"channels": channels}))
    titles = [show_plane(image, c=c).get_title().splitlines()[1] for c in range(4)]
    assert [title.split(", ")[2] for title in titles] == ["c 0", "c 1", "c 2 (GFP)", "c 3"]


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
    title = "IDR 9822152 (synthetic stand-in)\nlevel 10, t 0, c 0 (transmission EM), z 0"
    assert ax.get_title() == title
    assert ax.get_images()[0].get_clim() == (1500, 6000)
    label = open_multiscale(6001247).label()
    title = "labels of IDR 6001247 (synthetic stand-in)\nlevel 0, t 0, c 0, z 128"
    assert show_plane(label, z=128).get_title() == title


def test_the_window_of_a_channel(image):
    plane = np.array([[5, 7]])
    assert window(image, 0, plane) == (10, 99)
    assert window(image, 1, plane) == (5, 7)  # the channel names none
    assert window(image, 2, plane) == (5, 7)  # there is no such channel in the metadata


# Colour bar, aspect ratio, scale bar


def test_a_colour_bar_says_the_window_where_there_is_room(image):
    ax = show_plane(image)
    [bar] = ax.child_axes
    assert bar.get_ylabel() == "pixel value" and bar.get_ylim() == (10, 99)
    _, (one, other) = plt.subplots(1, 2)
    assert not show_plane(image, ax=one).child_axes  # a small picture keeps its size
    assert show_plane(image, ax=other, colorbar=True).child_axes
    assert not show_plane(image, colorbar=False).child_axes


def sized(folder, scale, unit="micrometer", shape=(40, 60)):
    """An image of one level whose pixels have this height and width."""
    named = [{"name": name, "type": "space", "unit": unit} for name in "yx"]
    transforms = [{"coordinateTransformations": [{"type": "scale", "scale": list(scale)}]}]
    metadata = {"version": "0.4", "name": "n", "axes": named, "datasets": transforms}
    return open_multiscale(write_v2(folder, [noise(*shape)], metadata))


def shape_on_screen(ax):
    """Height and width of the picture as drawn, in pixels of the screen."""
    ax.figure.draw_without_rendering()
    box = ax.get_window_extent()
    return box.height, box.width


@pytest.mark.parametrize("scale", [(0.5, 0.5), (1.5, 0.5), (0.2, 0.6)])
@pytest.mark.parametrize("place", ["new", "wide", "gallery"])
def test_the_specimen_is_never_stretched(scale, place, tmp_path):
    image = sized(tmp_path, scale)
    if place == "gallery":
        pictures = [image.stored[0][:], overlay_labels(image.stored[0][:], np.zeros((40, 60), int))]
        axes = gallery(pictures, ["a", "b"], columns=2, image=image).axes
    else:
        ax = None if place == "new" else plt.subplots(figsize=(9, 2))[1]
        axes = [show_plane(image, ax=ax)]
    for ax in axes:
        height, width = shape_on_screen(ax)
        assert height / width == pytest.approx((40 * scale[0]) / (60 * scale[1]), rel=0.02)


def test_pictures_without_an_image_have_square_pixels():
    height, width = shape_on_screen(gallery([noise(40, 60)], ["one"], columns=1).axes[0])
    assert height / width == pytest.approx(40 / 60, rel=0.02)


def scale_bars(ax):
    return [artist for artist in ax.artists if isinstance(artist, AnchoredSizeBar)]


def test_a_scale_bar_of_the_right_length(tmp_path):
    ax = show_plane(sized(tmp_path, (0.4, 0.2)), x=slice(0, 50))  # 10 µm wide
    [bar] = scale_bars(ax)
    assert bar.txt_label.get_text() == "2 µm"
    [line] = bar.size_bar.get_children()
    assert line.get_width() == pytest.approx(2 / 0.2)  # in pixels


@pytest.mark.parametrize(
    ("scale", "unit"),
    [
        ((1.0, 1.0), "micrometer"),  # what programs write when they do not know
        ((0.5, 0.5), None),
        ((0.5, 0.5), "pixel"),
        ((2000.0, 2000.0), "micrometer"),  # 12 cm
    ],
)
def test_no_scale_bar_where_nobody_knows_the_size(scale, unit, tmp_path, capsys):
    image = sized(tmp_path, scale, unit)
    ax = show_plane(image)
    assert pixel_size(image) is None and not scale_bars(ax)
    caption(ax, "noise")
    assert "wide" not in capsys.readouterr().out


def test_sizes_of_the_offline_images(offline):
    def known(key):
        return pixel_size(open_multiscale(f"s3://idr/zarr/v0.4/{key}.zarr"), 1)

    assert known("idr0062A/6001247") == pytest.approx((0.7208, 0.7208), abs=1e-4)
    assert known("idr0083A/9822152") is None  # micrometre for nanometre: 14 cm wide
    assert known("idr0044A/4007801") is None  # a placeholder
    assert pixel_size(open_multiscale(6001247)) is None  # version 0.1 has none


def test_lengths_as_people_say_them():
    lengths = [0.0004, 0.25, 1, 91.18, 999, 1500, 14500]
    said = ["0.4 nm", "250 nm", "1 µm", "91.2 µm", "999 µm", "1.5 mm", "1.45 cm"]
    assert [format_length(length) for length in lengths] == said
    assert [round_length(n) for n in (0.3, 1, 1.9, 4.99, 7, 123)] == [0.2, 1, 1, 2, 5, 100]


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


@pytest.fixture
def said(capsys):
    """Give a picture a caption, and return the sentence that is printed."""

    def caption_of(picture, what):
        capsys.readouterr()
        caption(picture, what)
        return capsys.readouterr().out

    return caption_of


def test_a_caption_says_the_facts_of_a_plane(image, said):
    ax = show_plane(image, 1, z=4, y=slice(2, 8))
    assert said(ax, "noise.") == (
        "Picture: noise; real.zarr, level 1 of 0 to 1, t 2, c 0 (a), z 4, "
        "6 × 15 of 10 × 15 pixels, values 10 to 99 shown from black to white.\n"
    )


def test_a_caption_of_a_synthetic_plane(offline, said):
    assert said(show_plane(open_multiscale(9822152), 7), "a section through organoids") == (
        "Synthetic picture: a section through organoids; IDR 9822152, level 7 of 0 to 10, "
        "728 × 1,128 pixels, values 1,500 to 6,000 shown from black to white.\n"
    )
    nuclei = open_multiscale("s3://idr/zarr/v0.4/idr0062A/6001247.zarr")
    assert said(show_plane(nuclei, c=1), "nuclei") == (
        "Synthetic picture: nuclei; IDR 6001247, level 0 of 0 to 2, c 1 (DAPI), z 128, "
        "210 × 253 pixels, 91.2 µm wide, values 0 to 1,500 shown from black to white.\n"
    )


def test_a_caption_of_an_image_with_one_level(tmp_path, said):
    image = sized(tmp_path, (0.5, 0.5), shape=(4, 4))
    low, high = image.stored[0][:].min(), image.stored[0][:].max()
    assert said(show_plane(image), "noise") == (
        f"Picture: noise; n, level 0, 4 × 4 pixels, 2 µm wide, "
        f"values {low:,} to {high:,} shown from black to white.\n"
    )


def test_a_caption_of_a_figure_says_what_its_planes_share(image, said):
    figure, axes = plt.subplots(1, 3)
    show_plane(image, 1, ax=axes[0])
    show_plane(image, 0, ax=axes[1])
    axes[2].plot([1, 2])  # not a plane, and no matter
    assert said(figure, "two of noise") == (
        "Picture: two of noise; real.zarr, levels 1, 0 of 0 to 1, t 2, c 0 (a), z 3, "
        "values 10 to 99 shown from black to white.\n"
    )
    show_plane(image, 0, ax=axes[2], c=1)
    assert said(figure, "three").endswith("z 3, each with a black and a white of its own.\n")


def test_a_caption_of_a_gallery(image, said):
    plane, half = image.pixels[0, 0, 0], image.pixels[0, 0, 0, ::2, ::2]
    figure = gallery([plane, half], ["0", "1"], columns=2, image=image, level=(0, "1"))
    assert figure.get_suptitle() == "real.zarr"
    assert said(figure, "noise") == (
        "Picture: noise; real.zarr, levels 0, 1 of 0 to 1, "
        "each with a black and a white of its own.\n"
    )
    picture = overlay_labels(plane, np.zeros_like(plane))
    figure = gallery([plane, picture], ["0", "1"], columns=2, image=image, window=(1, 9), title="A")
    assert figure.get_suptitle() == "A"
    assert said(figure.axes[1], "noise") == (
        "Picture: noise; real.zarr, level 0 of 0 to 1, 20 × 30 pixels, "
        "values 1 to 9 shown from black to white.\n"
    )


def test_no_caption_for_a_picture_of_unknown_origin():
    figure, ax = plt.subplots()
    for picture in (figure, ax, gallery([PLANE], ["one"], columns=1)):
        with pytest.raises(ValueError, match="give caption the image"):
            caption(picture, "anything")


def test_in_a_notebook_the_caption_comes_after_its_picture(image, capsys, monkeypatch):
    ax = show_plane(image)
    monkeypatch.setattr(matplotlib, "get_backend", lambda: "inline")
    monkeypatch.setattr(plt, "show", lambda: print("figure"))
    caption(ax, "noise")
    assert capsys.readouterr().out.startswith("figure\nPicture: noise")


def test_facts_do_not_keep_pictures_in_memory(image):
    gc.collect()  # what other tests have drawn
    known = len(_shown)
    axes = [show_plane(image, ax=ax) for ax in plt.subplots(1, 3)[1]]
    assert len(_shown) == known + 3
    plt.close("all")
    del axes
    gc.collect()
    assert len(_shown) <= known
