"""The synthetic plate: never changes, is a valid plate, and its wells differ as its drugs say."""

import hashlib
import itertools
import time

import numpy as np
import pytest
from ome_zarr_models.v04.hcs import HCSAttrs
from ome_zarr_models.v04.image import ImageAttrs
from ome_zarr_models.v04.well import WellAttrs
from skimage.measure import label, regionprops_table

from data_helpers import open_plate
from data_helpers.offline import plate, plate_layout
from data_helpers.offline.catalogue import build_catalogue
from data_helpers.offline.listing import list_page

ADDRESS = f"s3://idr/{plate_layout.ROOT}"
GOLDEN = {
    (0, 0, 0, 0, 0): "1cfbfeefa28c2883",
    (0, 5, 0, 0, 1): "9e4ac1b71962003b",
    (3, 11, 1, 1, 1): "658bd3e3fe2edfb1",
    (7, 6, 0, 2, 0): "c71467b77b22e922",
}


def whole(row, column, field, level, c):
    height, width = plate_layout.LEVELS[level]
    return plate.paint(row, column, field, level, 0, c, 0, 0, height, 0, width)


def truth(what, field=0):
    """A number for each well, in the shape of the plate; NaN where there is none."""
    found = np.full((8, 12), np.nan)
    for well in plate_layout.wells():
        found[well] = what(plate.cells_in(*well, field))
    return found


def number(cells):
    return len(cells.y)


def share(cells):
    return cells.stained.mean()


# The picture


@pytest.mark.parametrize("picture", GOLDEN)
def test_pixels_never_change(picture):
    pixels = whole(*picture).astype("<u2")
    assert hashlib.sha256(pixels.tobytes()).hexdigest()[:16] == GOLDEN[picture]


@pytest.mark.parametrize("level", [0, 1, 2])
@pytest.mark.parametrize("c", [0, 1])
def test_a_region_is_a_crop_of_the_field(level, c):
    size = plate_layout.LEVELS[level][0]
    pixels = whole(1, 6, 1, level, c)
    y0, y1, x0, x1 = size // 3, size - 3, size // 2 - 5, size - 1
    region = plate.paint(1, 6, 1, level, 0, c, 0, y0, y1, x0, x1)
    np.testing.assert_array_equal(region, pixels[y0:y1, x0:x1])


@pytest.mark.parametrize("c", [0, 1])
def test_levels_show_the_same_at_another_size(c):
    fine = whole(5, 8, 0, 0, c).astype(float)
    for level in (1, 2):
        step = 2**level
        coarse = whole(5, 8, 0, level, c)
        blocks = fine.reshape(1080 // step, step, 1080 // step, step).mean((1, 3))
        assert abs(coarse.mean() / fine.mean() - 1) < 0.02
        assert np.corrcoef(blocks.ravel(), coarse.ravel())[0, 1] > 0.97


def test_fields_and_wells_differ():
    pictures = [whole(*where, 2, 0) for where in ((0, 0, 0), (0, 0, 1), (0, 1, 0), (1, 0, 0))]
    for one, other in itertools.combinations(pictures, 2):
        assert (one != other).mean() > 0.5


def test_outside_the_image_is_an_error():
    for level, t, c, z in [(3, 0, 0, 0), (0, 1, 0, 0), (0, 0, 2, 0), (0, 0, 0, 1), (-1, 0, 0, 0)]:
        with pytest.raises(IndexError, match="outside the image"):
            plate.paint(0, 0, 0, level, t, c, z, 0, 1, 0, 1)


@pytest.mark.speed
def test_a_chunk_is_painted_fast():
    rounds = []
    for field in range(3):
        start = time.thread_time()
        whole(0, 0, field % 2, 0, 1)
        rounds.append(time.thread_time() - start)
    assert min(rounds) < 0.02, rounds


# The biology


def test_the_drugs_kill_by_their_dose():
    counts, stained = truth(number), truth(share)
    assert np.isnan(counts).sum() == len(plate_layout.MISSING)
    for rows, half in ((slice(0, 4), 5), (slice(4, 8), 8)):  # the column after half the effect
        few, many = np.nanmean(counts[rows], 0), np.nanmean(stained[rows], 0)
        assert few[:half].min() > 90 and few[half + 1 :].max() < 45
        assert many[: half - 1].max() < 0.15 and many[half + 1 :].min() > 0.7
        assert few[0] > 110 > 40 > few[11]  # the controls


def test_dead_cells_have_small_bright_nuclei():
    cells = plate.cells_in(0, 5, 0)
    assert 0.2 < cells.stained.mean() < 0.8
    living = ~cells.stained
    assert cells.radius[cells.stained].mean() < 0.9 * cells.radius[living].mean()
    assert cells.light[cells.stained, 0].mean() > 1.3 * cells.light[living, 0].mean()
    assert cells.light[cells.stained, 1].min() > 5 * cells.light[living, 1].max()


def measured(nuclei, marker):
    """Count nuclei on the coarsest level, and those that are stained, as a learner would."""
    objects = label(nuclei > 400)
    found = regionprops_table(objects, marker, properties=("label", "intensity_mean"))
    return len(found["label"]), np.mean(found["intensity_mean"] > 300)


@pytest.mark.parametrize("field", [0, 1])
def test_what_is_measured_at_the_coarsest_level_is_near_the_truth(field):
    counts, shares = truth(number, field), truth(share, field)
    for well in plate_layout.wells():
        found, part = measured(whole(*well, field, 2, 0), whole(*well, field, 2, 1))
        assert 0.93 * counts[well] <= found <= counts[well], well  # a few touch
        assert abs(part - shares[well]) < 0.06, well


# The plate


def test_its_keys_are_listed_in_the_order_of_s3():
    keys = build_catalogue().keys
    found, first = [], 0
    while first is not None:
        page = list_page(keys, f"{plate_layout.ROOT}/", first=first)
        found += [keys[position] for position in page.positions]
        first = page.following
    assert found == sorted(found, key=str.encode)
    fields = 94 * 2
    chunks = fields * 3 * 2
    documents = 2 * (1 + 8 + 94 + fields) + fields * 3
    assert len(found) == len(set(found)) == chunks + documents
    assert f"{plate_layout.ROOT}/H/12/1/2/0/1/0/0/0" in found
    assert not any(
        f"{plate_layout.ROOT}/{well}/" in key for well in ("B/9", "G/4") for key in found
    )


def test_the_metadata_are_valid():
    groups = plate_layout.groups()
    described = HCSAttrs.model_validate(groups[plate_layout.ROOT]).plate
    assert described.name.startswith("synthetic plate") and len(described.wells) == 94
    for well in described.wells:
        path = f"{plate_layout.ROOT}/{well.path}"
        for image in WellAttrs.model_validate(groups[path]).well.images:
            ImageAttrs.model_validate(groups[f"{path}/{image.path}"])


def test_the_plate_opens_at_full_size(offline):
    found = open_plate(ADDRESS)
    assert (
        found.synthetic
        and "plate of 96 wells" in found.title
        and "synthetic" in found.title
        and found.version == "0.4"
    )
    assert "".join(found.rows) == "ABCDEFGH" and len(found.columns) == 12 and found.fields == 2
    assert len(found.wells) == 94 and not {"B/9", "G/4"} & set(found.wells)
    image = found.image("C", 7, field=1)
    assert image.synthetic and [array.shape[-1] for array in image.stored] == [1080, 540, 270]
    assert [channel.label for channel in image.channels] == ["DAPI", "death marker"]
    assert image.scales[0][-1] == 0.325 and image.units[-1] == "micrometer"
    for level, c in itertools.product(range(3), range(2)):
        pixels = image.stored[level][0, c, 0]
        np.testing.assert_array_equal(pixels, whole(2, 6, 1, level, c))


def test_the_overview_is_all_wells_in_their_places(offline):
    overview = open_plate(ADDRESS).overview()
    assert overview.shape == (1, 2, 1, 8 * 270, 12 * 270) and overview.numblocks[-2:] == (8, 12)
    row = overview[0, 1, 0, 270:540].compute()
    np.testing.assert_array_equal(row[:, 5 * 270 : 6 * 270], whole(1, 5, 0, 2, 1))
    assert not row[:, 8 * 270 : 9 * 270].any()  # B/9
