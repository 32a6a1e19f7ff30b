"""Label images: the layouts they are stored in, and which level of theirs lies on which."""

import numpy as np
import pytest
from support.images import axes, halve, noise, scales, write_array, write_json, write_v2
from support.misbehaving import status

from data_helpers import (
    MalformedMetadataError,
    NoLabelsError,
    OmeZarrWarning,
    load_binary_from_s3,
    load_labels_from_s3,
    open_multiscale,
)

BLASTOCYST_V04 = "zarr/v0.4/idr0062A/6001247.zarr"
IMAGE = noise(1, 2, 3, 40, 48)
CELLS = noise(1, 1, 3, 40, 48, dtype="u4", seed=1) * 300_000  # needs 32 bits


# The offline stand-in


def test_labels_of_v01_are_one_array(offline, asked):
    image = open_multiscale(6001247)
    assert image.labels == ["0"]
    label = image.label("0")
    assert label.paths == [""] and label.version == "0.1"
    assert label.levels[0].shape == (1, 1, 257, 210, 253)
    assert label.levels[0].dtype == np.uint32
    assert label.axes == image.axes and label.units == image.units
    assert label.scales == [(1, 1, 1, 1, 1)]
    assert label.synthetic and label.title == "labels of IDR 6001247 (synthetic stand-in)"
    assert label.name == "0" and label.channels == []
    plane = label.stored[0][0, 0, 128]
    assert plane.min() == 0 and 1381342 <= plane[plane > 0].min() <= plane.max() <= 1381389


def test_labels_of_v04_are_a_group_of_more_levels(offline):
    image = open_multiscale(f"{offline}/idr/{BLASTOCYST_V04}")
    assert image.labels == ["0"]
    label = image.label()
    assert label.paths == ["0", "1", "2", "3"] and len(image.paths) == 3
    assert label.units == (None, None, "micrometer", "micrometer", "micrometer")  # misspelt there
    assert label.scales[:3] == image.scales
    old = open_multiscale(6001247).label().stored[0][0, 0, 100:103]
    np.testing.assert_array_equal(label.stored[0][0, 0, 100:103], old)
    for level in range(3):
        assert image.stored_labels(level).shape[-3:] == image.stored[level].shape[-3:]


def test_load_labels_is_lazy_and_lies_on_the_image(offline, asked):
    labels = load_labels_from_s3(6001247)
    assert all(one.url.endswith((".zattrs", ".zarray")) for one in asked)  # no chunk
    assert labels.shape == (1, 1, 257, 210, 253) and labels.dtype == np.uint32
    assert labels.shape[-3:] == load_binary_from_s3(6001247).shape[-3:]
    assert {one.outcome for one in asked} <= {"found", "FileNotFoundError"}
    # labels/0 has no .zattrs, which tells that it is an array
    assert [one.url.rsplit("zarr/", 1)[1] for one in asked if one.outcome != "found"] == [
        "labels/0/.zattrs"
    ]
    plane = labels[0, 0, 128].compute()
    assert 3 < len(np.unique(plane)) < 50


@pytest.mark.parametrize("resolution", ["1", 2])
def test_labels_that_do_not_exist_at_a_level(resolution, offline):
    with pytest.raises(NoLabelsError) as caught:
        load_labels_from_s3(6001247, resolution)
    message = str(caught.value)
    assert f"at the scale of level '{resolution}'; ask for level '0'." in message


@pytest.mark.parametrize("image_id", [9822152, "4007801"])
def test_an_image_without_labels(image_id, offline):
    with pytest.raises(NoLabelsError) as caught:
        load_labels_from_s3(image_id)
    message = str(caught.value)
    assert f"IDR {image_id}" in message and offline in message
    assert "has no label images; an image that has some is 6001247" in message


def test_a_label_image_of_another_name(offline):
    with pytest.raises(NoLabelsError, match=r"has no label image 'cells'; it has '0'\."):
        open_multiscale(6001247).label("cells")


# The layouts


@pytest.fixture
def image_v01(tmp_path):
    return write_v2(tmp_path, halve(IMAGE, 1), {"version": "0.1"}, separator=".")


def test_the_layout_of_the_sibling_image(image_v01, served):
    """A list of names, and a group of levels for each; 0.1 has no axes and no scales."""
    write_json(image_v01 / "labels/.zattrs", {"labels": ["masks", "spots"]})
    write_v2(image_v01 / "labels/masks", halve(CELLS, 2), {"version": "0.1"}, separator=".")
    write_v2(image_v01 / "labels/spots", [CELLS[:, :, ::-1]], {"version": "0.1"})
    image = open_multiscale(served.endpoint)
    assert image.labels == ["masks", "spots"]
    assert image.label().name == image.label("masks").name == "masks"
    assert image.label().axes == ("t", "c", "z", "y", "x")
    for level, expected in enumerate(halve(CELLS, 1)):
        np.testing.assert_array_equal(image.stored_labels(level)[:], expected)
    np.testing.assert_array_equal(image.label("spots").stored[0][:], CELLS[:, :, ::-1])
    np.testing.assert_array_equal(image.stored_labels(0, "spots")[:], CELLS[:, :, ::-1])


@pytest.mark.parametrize("separator", [".", "/"])
def test_an_array_directly_below_labels(separator, image_v01, served):
    write_json(image_v01 / "labels/.zattrs", {"labels": ["0"]})
    write_array(image_v01 / "labels/0", CELLS, separator=separator)
    image = open_multiscale(served.endpoint)
    np.testing.assert_array_equal(image.label("0").stored[0][:], CELLS)
    np.testing.assert_array_equal(image.label(0).levels[0].compute(), CELLS)
    np.testing.assert_array_equal(image.stored_labels()[:], CELLS)


def test_an_array_at_a_coarser_scale(image_v01, served):
    """Only the array's shape tells on which level it lies."""
    write_json(image_v01 / "labels/.zattrs", {"labels": ["0"]})
    coarse = halve(CELLS, 1)[1]
    write_array(image_v01 / "labels/0", coarse)
    image = open_multiscale(served.endpoint)
    np.testing.assert_array_equal(image.stored_labels(1)[:], coarse)
    with pytest.raises(NoLabelsError, match="ask for level '1'"):
        image.stored_labels(0)


def test_labels_of_fewer_and_of_more_levels(tmp_path):
    """Levels are matched by scale: the labels begin at the second level of the image."""
    sizes = [(1, 1, 2, 0.5 * 2**n, 0.5 * 2**n) for n in range(5)]
    pyramid = {"version": "0.4", "axes": axes("tczyx")}
    write_v2(tmp_path, halve(IMAGE, 2), pyramid | {"datasets": scales(*sizes[:3])})
    write_json(tmp_path / "labels/.zattrs", {"labels": ["cells"]})
    coarse = halve(CELLS, 4)[1:]
    write_v2(tmp_path / "labels/cells", coarse, pyramid | {"datasets": scales(*sizes[1:])})
    image = open_multiscale(tmp_path)
    with pytest.raises(NoLabelsError, match="of level '0'; ask for level '1' or '2'"):
        image.stored_labels(0)
    np.testing.assert_array_equal(image.stored_labels(1)[:], coarse[0])
    np.testing.assert_array_equal(image.stored_labels("2")[:], coarse[1])


def test_labels_at_no_scale_of_the_image(tmp_path):
    pyramid = {"version": "0.4", "axes": axes("yx")}
    pixels = noise(40, 48)
    write_v2(tmp_path, [pixels], pyramid | {"datasets": scales((1, 1))})
    write_json(tmp_path / "labels/.zattrs", {"labels": ["cells"]})
    write_v2(tmp_path / "labels/cells", [pixels], pyramid | {"datasets": scales((7, 7))})
    with pytest.raises(NoLabelsError, match="ask for level none"):
        open_multiscale(tmp_path).stored_labels(0)


@pytest.mark.parametrize("version", ["0.3", "0.4"])
def test_labels_without_the_channel_axis(version, tmp_path):
    """As napari writes them; without scales, sizes are compared axis by axis, by name."""
    named = {"0.3": list, "0.4": axes}[version]
    levels, label_levels = halve(noise(2, 3, 40, 48), 1), halve(CELLS[0, 0], 1)
    write_v2(tmp_path, levels, {"version": version, "axes": named("czyx")})
    write_json(tmp_path / "labels/.zattrs", {"labels": ["cells"]})
    multiscale = {"version": version, "axes": named("zyx")}
    write_v2(tmp_path / "labels/cells", label_levels, multiscale)
    image = open_multiscale(tmp_path)
    assert image.label().scales == [(1, 1, 1), (1, 2, 2)]
    np.testing.assert_array_equal(image.stored_labels(1)[:], label_levels[1])


def test_labels_of_v05(tmp_path):
    import zarr

    def write_level(folder, pixels, scale):
        array = zarr.create_array(
            store=str(folder / "0"), shape=pixels.shape, dtype=pixels.dtype, zarr_format=3
        )
        array[:] = pixels
        listed = [{"path": "0"} | scales(scale)[0]]
        group(folder, {"multiscales": [{"axes": axes("yx"), "datasets": listed}]})

    def group(folder, ome):
        inside = {"attributes": {"ome": {"version": "0.5"} | ome}}
        write_json(folder / "zarr.json", {"zarr_format": 3, "node_type": "group"} | inside)

    pixels = noise(20, 30)
    write_level(tmp_path, pixels, (1, 1))
    assert open_multiscale(tmp_path).labels == []
    group(tmp_path / "labels", {"labels": ["cells", "lost"]})
    write_level(tmp_path / "labels/cells", pixels.astype("u4") + 70_000, (1, 1))
    image = open_multiscale(tmp_path)
    assert image.labels == ["cells", "lost"]
    np.testing.assert_array_equal(image.stored_labels()[:], pixels.astype("u4") + 70_000)
    with pytest.raises(NoLabelsError, match="lists a label image 'lost'"):
        image.label("lost")
    write_json(tmp_path / "labels/lost/zarr.json", {"zarr_format": 3, "node_type": "array"})
    with pytest.raises(NoLabelsError):
        image.label("lost")


# What can be missing


def test_labels_that_are_listed_and_not_there(image_v01, served):
    write_json(image_v01 / "labels/.zattrs", {"labels": ["lost"]})
    image = open_multiscale(served.endpoint)
    with pytest.raises(NoLabelsError) as caught:
        image.label()
    assert f"'lost', but {served.endpoint}/labels/lost holds none" in str(caught.value)


def test_of_listed_labels_those_that_exist_are_named_and_the_first_of_them_is_taken(tmp_path):
    write_v2(tmp_path, [CELLS[0, 0]], {"version": "0.4", "axes": axes("zyx")})
    write_json(tmp_path / "labels/.zattrs", {"labels": ["lost", "cells", "gone", "spots"]})
    for name in ("cells", "spots"):
        write_v2(tmp_path / "labels" / name, [CELLS[0, 0]], {"version": "0.4", "axes": axes("zyx")})
    image = open_multiscale(tmp_path)
    with pytest.raises(NoLabelsError) as caught:
        image.label("gone")
    said = str(caught.value)
    assert "'gone', but" in said and f"{tmp_path}/labels/gone holds none" in said
    assert "may be incomplete; 'cells', 'spots' can be opened." in said and "\n" not in said
    with pytest.warns(OmeZarrWarning, match="'lost', but .* so 'cells' is taken instead") as caught:
        assert image.label().name == "cells"
    assert len(caught) == 1 and caught[0].filename == __file__


@pytest.mark.parametrize("listed", [None, {}, {"labels": None}, {"labels": []}, {"labels": ["a"]}])
@pytest.mark.parametrize("as_array", [True, False])
def test_labels_that_exist_but_are_not_listed(listed, as_array, image_v01, served):
    if listed is not None:
        write_json(image_v01 / "labels/.zattrs", listed)
    if as_array:
        write_array(image_v01 / "labels/nuclei", CELLS)
    else:
        write_v2(image_v01 / "labels/nuclei", [CELLS], {"version": "0.1"})
    image = open_multiscale(served.endpoint)
    assert "nuclei" not in image.labels
    np.testing.assert_array_equal(image.label("nuclei").stored[0][:], CELLS)
    np.testing.assert_array_equal(image.stored_labels(0, "nuclei")[:], CELLS)
    words = "no label image 'other'; it has 'a'" if image.labels else "has no label images"
    for name in ("other", "", ".", "../labels/nuclei"):
        with pytest.raises(NoLabelsError, match=words.replace("other", name)):
            image.label(name)


def write_label_v05(folder, pixels):
    import zarr

    array = zarr.create_array(
        store=str(folder / "0"), shape=pixels.shape, dtype=pixels.dtype, zarr_format=3
    )
    array[:] = pixels
    listed = [{"path": "0"} | scales((1,) * pixels.ndim)[0]]
    names = "tczyx"[-pixels.ndim :]
    write_group_v05(folder, {"multiscales": [{"axes": axes(names), "datasets": listed}]})


def write_group_v05(folder, ome):
    inside = {"attributes": {"ome": {"version": "0.5"} | ome}}
    write_json(folder / "zarr.json", {"zarr_format": 3, "node_type": "group"} | inside)


@pytest.mark.parametrize("listed_in", [2, 3, None])
def test_labels_of_v04_below_an_image_of_v05(listed_in, tmp_path, served):
    cells = CELLS[0, 0]
    write_label_v05(tmp_path, cells)
    if listed_in == 2:
        write_json(tmp_path / "labels/.zattrs", {"labels": ["cells"]})
    elif listed_in == 3:
        write_group_v05(tmp_path / "labels", {"labels": ["cells"]})
    pyramid = {"version": "0.4", "axes": axes("zyx"), "datasets": scales((1, 1, 1))}
    write_v2(tmp_path / "labels/cells", [cells], pyramid)
    image = open_multiscale(served.endpoint)
    assert image.version == "0.5" and image.labels == ["cells"][: 1 if listed_in else 0]
    label = image.label("cells")
    assert label.version == "0.4"
    np.testing.assert_array_equal(label.stored[0][:], cells)
    np.testing.assert_array_equal(image.stored_labels(0, "cells")[:], cells)


def test_labels_of_v05_below_an_image_of_v04(tmp_path, served):
    cells = CELLS[0, 0]
    pyramid = {"version": "0.4", "axes": axes("zyx"), "datasets": scales((1, 1, 1))}
    write_v2(tmp_path, [cells], pyramid)
    write_group_v05(tmp_path / "labels", {"labels": ["cells"]})
    write_label_v05(tmp_path / "labels/cells", cells)
    image = open_multiscale(served.endpoint)
    assert image.labels == ["cells"] and image.label().version == "0.5"
    np.testing.assert_array_equal(image.stored_labels()[:], cells)


def test_a_list_in_the_other_format_is_asked_for_only_where_the_own_is_missing(
    image_v01, served, asked
):
    write_json(image_v01 / "labels/.zattrs", {"labels": ["cells"]})
    write_v2(image_v01 / "labels/cells", [CELLS], {"version": "0.1"})
    image = open_multiscale(served.endpoint)
    asked.clear()
    image.label().levels  # noqa: B018
    keys = [one.url.partition("/labels/")[2] for one in asked]
    assert sorted(keys) == [".zattrs", "cells/.zarray", "cells/.zattrs", "cells/0/.zarray"]


@pytest.mark.parametrize("names", ["yx", "zyx", "tczyx"])
def test_a_label_image_of_fewer_axes_than_its_image(names, tmp_path):
    pixels = noise(1, 2, 3, 40, 48)
    write_v2(tmp_path, halve(pixels, 1), {"version": "0.4", "axes": axes("tczyx")})
    shape = {"yx": (40, 48), "zyx": (3, 40, 48), "tczyx": (1, 1, 3, 40, 48)}[names]
    masks = halve(noise(*shape, seed=8), 1)
    write_v2(tmp_path / "labels/cells", masks, {"version": "0.4", "axes": axes(names)})
    write_json(tmp_path / "labels/.zattrs", {"labels": ["cells", "cells"]})
    image = open_multiscale(tmp_path)
    assert image.labels == ["cells"] and image.label().axes == tuple(names)
    for level in (0, 1):
        np.testing.assert_array_equal(image.stored_labels(level)[:], masks[level])


def test_an_empty_list_of_labels(image_v01):
    for listed in ({"labels": []}, {"labels": None}, {}):
        write_json(image_v01 / "labels/.zattrs", listed)
        assert open_multiscale(image_v01).labels == []


@pytest.mark.parametrize("listed", ["cells", 5, {"cells": 1}, True, [["a"]], [None], [{}]])
def test_a_list_of_labels_that_is_none(listed, image_v01):
    write_json(image_v01 / "labels/.zattrs", {"labels": listed})
    with pytest.raises(MalformedMetadataError, match="should hold a list of names"):
        open_multiscale(image_v01).label()


def test_a_list_of_labels_that_is_denied_counts_as_absent(image_v01, served):
    write_json(image_v01 / "labels/.zattrs", {"labels": ["0"]})
    served.fault("labels/.zattrs", status(403), forever=True)
    assert open_multiscale(served.endpoint).labels == []


def test_known_labels_are_found_without_their_list(served, tmp_path):
    folder = tmp_path / "idr/zarr/v0.1/6001247.zarr"
    write_v2(folder, [IMAGE], {"version": "0.1"}, separator=".")
    write_array(folder / "labels/0", CELLS, separator=".")
    labels = load_labels_from_s3(6001247, source=served.endpoint)
    np.testing.assert_array_equal(labels.compute(), CELLS)


def test_the_list_of_labels_is_asked_for_once(image_v01, asked):
    """In the other Zarr format only where there is none in the image's own."""
    image = open_multiscale(image_v01)
    asked.clear()
    assert image.labels == image.labels == []
    assert [one.url.rsplit("/", 2)[1:] for one in asked] == [
        ["labels", ".zattrs"],
        ["labels", "zarr.json"],
    ]
    write_json(image_v01 / "labels/.zattrs", {"labels": []})
    image = open_multiscale(image_v01)
    asked.clear()
    assert image.labels == image.labels == []
    assert [one.url.rsplit("/", 2)[1:] for one in asked] == [["labels", ".zattrs"]]
