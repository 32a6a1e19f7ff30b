"""The checks of notebook 09: right answers pass, wrong ones get their hint, none raises."""

import dask.array as da
import numpy as np
import pandas as pd
import pytest
from scipy import ndimage
from skimage.measure import label
from support.checks import NOT_ANSWERED, said

from data_helpers.checks import check_09

SHAPE = (2, 130, 24, 30)


@pytest.fixture(scope="module")
def pixels():
    """Lazy pixels (c, z, y, x), a few bright balls; a plane is a chunk."""
    stack = np.random.default_rng(0).integers(20, 60, SHAPE).astype("u2")
    stack[:, published() > 0] += 900
    stack[0] //= 2
    return da.from_array(stack, chunks=(1, 1, 24, 30))


def published():
    """Labels (z, y, x) of five balls, with numbers as they are in a database."""
    z, y, x = np.ogrid[: SHAPE[1], : SHAPE[2], : SHAPE[3]]
    labels = np.zeros(SHAPE[1:], "u4")
    for number, (at_z, at_y, at_x) in enumerate(
        [(20, 6, 6), (24, 14, 20), (45, 16, 22), (90, 8, 20), (125, 12, 9)]
    ):
        labels[(z - at_z) ** 2 + (y - at_y) ** 2 + (x - at_x) ** 2 < 30] = 1001 + number
    return labels


def test_a_plane_for_cellprofiler(pixels):
    stack = da.moveaxis(pixels, 0, -1)

    def line(plane):
        return said(check_09.forms, plane, stack, pixels)

    plane = pixels[1, 128]
    assert line(plane / 65535).startswith("Correct: a plane (24, 30) from 0 to 1")
    assert line(plane.astype("float32") / 65535).startswith("Correct: ")
    assert line(...) == NOT_ANSWERED
    assert "leave out .compute()" in line((plane / 65535).compute())
    assert "should be lazy, not a value of type int" in line(3)
    assert "a whole stack" in line(pixels[1] / 65535)
    assert "pixels[1, 128]" in line(pixels[1, :, 3] / 65535)
    assert "numbers up to 9" in line(plane)
    assert "numbers up to 9" in line(plane * 1.0)
    assert "mustn't exceed 1" in line(plane / 100)
    assert "not with //" in line(plane // 65535)
    assert "brightest pixel" in line(plane / plane.max())
    assert "channel 0, LaminB1" in line(pixels[0, 128] / 65535)
    assert "plane 128, divided by 65,535" in line(pixels[1, 127] / 65535)


def test_255_is_named_where_pixels_are_dim(pixels):
    dim = (pixels // 100).astype("u2")
    stack = da.moveaxis(dim, 0, -1)
    assert "255 belongs to uint8" in said(check_09.forms, dim[1, 128] / 255, stack, dim)


def test_a_stack_for_ilastik(pixels):
    def line(stack):
        return said(check_09.forms, pixels[1, 128] / 65535, stack, pixels)

    assert line(da.moveaxis(pixels, 0, -1)).startswith("Correct: ")
    assert line(pixels.transpose(1, 2, 3, 0)).startswith("Correct: ")
    assert line(...) == NOT_ANSWERED
    assert "still begins with the channel" in line(pixels)
    assert "turned round" in line(pixels.T)
    assert "3 axes" in line(pixels[1])
    assert "z, y and x keep their order" in line(da.moveaxis(pixels, 1, -1))
    assert "don't divide" in line(da.moveaxis(pixels, 0, -1) / 65535)
    assert "not reshape" in line(da.from_array(pixels.compute().reshape(130, 24, 30, 2)))
    assert "leave out .compute()" in line(da.moveaxis(pixels, 0, -1).compute())


def test_shapes_of_cellprofiler():
    masks = np.zeros((20, 20), "u4")
    masks[2:6, 2:6], masks[9:14, 9:12] = 1001, 1007
    right = {"Area": np.array([16.0, 15.0]), "Perimeter": np.array([12.0, 12.0])}

    def line(shapes):
        return said(check_09.shapes, shapes, masks)

    assert line(right).startswith("Correct: 2 measurements of each of 2 nuclei")
    assert line(...) == NOT_ANSWERED
    assert "call it" in line(len)
    assert 'pick one with ["sizeshape"]' in line({"sizeshape": len, "intensity": len})
    assert "these are intensities" in line({"Intensity_MeanIntensity": right["Area"]})
    assert "the whole stack was measured" in line({"Volume": right["Area"]})
    assert 'no "Area"' in line({"Zernike_0_0": right["Area"]})
    assert "measured as one" in line({"Area": np.array([31.0])})
    assert "the labels of another plane" in line({"Area": np.array([3.0, 4.0, 5.0])})
    assert "not the areas of masks" in line({"Area": np.array([15.0, 16.0])})
    assert "a dictionary" in line([16, 15])


def test_the_real_measurements_pass():
    measurements = pytest.importorskip("cp_measure.bulk").get_core_measurements()
    masks = published()[45]
    assert said(check_09.shapes, measurements["sizeshape"](masks, None), masks).startswith(
        "Correct: 78 measurements of each of 1 nuclei"
    )


def test_percent_in_the_shape_of_the_plate():
    places = [(row, column) for row in "ABC" for column in range(1, 6)][:-1]
    wells = pd.DataFrame(places, columns=["row", "column"])
    wells.insert(0, "well", [f"{row}/{column}" for row, column in places])
    wells["nuclei"], wells["stained"] = range(100, 114), range(14)
    wells["percent_stained"] = 100 * wells["stained"] / wells["nuclei"]
    wells["area_um2"] = 90.0

    def line(percent):
        return said(check_09.percent, percent, wells)

    def pivot(values="percent_stained", index="row", columns="column"):
        return wells.pivot(index=index, columns=columns, values=values)

    assert line(pivot()).startswith("Correct: 3 rows, 5 columns, 1 wells missing")
    assert line(...) == NOT_ANSWERED
    assert "still the long table" in line(wells)
    assert "every measurement" in line(wells.pivot(index="row", columns="column"))
    assert "on its side" in line(pivot(index="column", columns="row"))
    assert "0 would mean no stained cell" in line(pivot().fillna(0))
    assert 'values of "nuclei"' in line(pivot("nuclei"))
    assert 'values of "stained"' in line(pivot("stained"))
    assert "shares from 0 to 1" in line(pivot() / 100)
    assert "aren't the percent" in line(pivot() + 1)
    assert "wells.pivot" in line(wells["percent_stained"])
    assert "3 and 5" in line(pivot().iloc[:, :3])


def test_iou():
    truth = published()

    def line(iou):
        return said(check_09.iou, iou, truth)

    def both(a, b):
        return ((a > 0) & (b > 0)).sum()

    def either(a, b):
        return ((a > 0) | (b > 0)).sum()

    assert line(lambda a, b: both(a, b) / either(a, b)).startswith("Correct: 1 for the same")
    assert line(...) == NOT_ANSWERED
    assert line(lambda a, b: ...) == NOT_ANSWERED
    assert "Don't compare the numbers" in line(
        lambda a, b: ((a == b) & (a > 0)).sum() / either(a, b)
    )
    assert "counted twice" in line(lambda a, b: both(a, b) / ((a > 0).sum() + (b > 0).sum()))
    assert "Dice" in line(lambda a, b: 2 * both(a, b) / ((a > 0).sum() + (b > 0).sum()))
    assert "upside down" in line(lambda a, b: either(a, b) / both(a, b))
    assert "the number of voxels that both cover" in line(both)
    assert "voxels of found only" in line(lambda a, b: both(a, b) / (a > 0).sum())
    assert "covers far too much" in line(lambda a, b: both(a, b) / (b > 0).sum())
    assert "divides by all voxels" in line(lambda a, b: both(a, b) / a.size)
    assert "should give 0.20" in line(lambda a, b: 0.7)
    assert "one number" in line(lambda a, b: (a > 0) & (b > 0))
    assert "returns nothing" in line(lambda a, b: None)
    assert "stopped with ZeroDivisionError" in line(lambda a, b: 1 / 0)


def strokes():
    nucleus = published()[45] > 0
    pen = np.zeros_like(nucleus)
    pen[4::6] = True
    return pen & ndimage.binary_erosion(nucleus), pen & ~ndimage.binary_dilation(nucleus)


def test_scribbles():
    inside, outside = strokes()
    right = np.select([inside, outside], [1, 2])

    def line(scribbles):
        return said(check_09.scribbles, scribbles, inside, outside)

    assert line(right).startswith(f"Correct: {inside.sum()} pixels of nuclei")
    assert line(...) == NOT_ANSWERED
    assert "nuclei and background are swapped" in line(np.select([inside, outside], [2, 1]))
    assert "three are needed" in line(inside | outside)
    assert "no scribbles" in line(np.where(inside, 1, 0))
    assert "nobody drew on are marked" in line(np.where(inside, 1, 2))
    assert "nobody drew on are marked" in line(np.where(published()[45] > 0, 1, 2))
    assert "stroke on a nucleus is 1" in line(np.select([inside, outside], [3, 2]))
    assert "stroke beside" in line(np.select([inside, outside], [1, 7]))
    assert "one number for each pixel" in line(right[:, :9])
    assert "should be a NumPy array" in line([1, 2])


class Forest:
    """A forest of one feature: pixels above the threshold are nuclei."""

    n_features_in_ = 2

    def __init__(self, classes=(1, 2), wrong=0.0, swap=False):
        self.classes_, self.wrong, self.swap = np.array(classes), wrong, swap
        self.estimators_ = [self]

    def predict_proba(self, features):
        return np.stack([features[:, 0] > 0, features[:, 0] <= 0], -1).astype(float)

    def predict(self, features):
        found = np.where((features[:, 0] > 0) != self.swap, 1, 2)
        found[: round(self.wrong * len(found))] = 1
        return found


def test_forest():
    inside, outside = strokes()
    scribbles = np.select([inside, outside], [1, 2])
    described = np.stack([np.where(published()[45] > 0, 1.0, -1.0)] * 2, axis=-1)

    def line(forest):
        return said(check_09.forest, forest, described, scribbles)

    assert line(Forest()).startswith("Correct: 1 trees learned from")
    assert line(...) == NOT_ANSWERED
    assert "learner.fit(...) returns it" in line(np.ones(3))
    untrained = Forest()
    del untrained.classes_
    assert "isn't trained yet" in line(untrained)
    assert "nobody drew there" in line(Forest((0, 1, 2)))
    assert "not 1 and 2" in line(Forest((5, 7, 9)))
    assert "calls nuclei background" in line(Forest(swap=True))
    assert "belong to the same pixels" in line(Forest(wrong=0.9))
    other = Forest()
    other.n_features_in_ = 5
    assert "5 features here, but described has 2" in line(other)


def test_an_honest_score():
    true = published()[45]
    guess = np.where(ndimage.binary_dilation(true > 0), 1, 2)
    found, there = guess == 1, published()[90] > 0
    right = ((true > 0) & found).sum() / ((true > 0) | found).sum()

    def line(honest):
        return said(check_09.honest, honest, guess, true, published()[90])

    assert line(right).startswith(f"Correct: {right:.2f} on a plane")
    assert line(...) == NOT_ANSWERED
    assert "that the forest was trained on" in line(1.0)
    assert "2 > 0" in line((true > 0).mean())
    nuclei, other = true > 0, guess == 2
    assert "scores the background" in line((nuclei & other).sum() / (nuclei | other).sum())
    assert "Most of them are background" in line((found == (true > 0)).mean())
    assert "labels of plane 128" in line((found & there).sum() / (found | there).sum())
    assert "isn't the IoU" in line(0.123)
    assert "one number" in line(found)


def probability(block):
    """Smoothed along z, so that it needs its neighbours; the brighter, the higher."""
    smooth = ndimage.gaussian_filter1d(np.asarray(block[1], float), 2, axis=0, truncate=4)
    return np.clip(smooth / 1000, 0, 1).astype("f4")


def mapped(pixels, function=probability, size=32, depth=(0, 10, 0, 0), **more):
    options = {"depth": depth, "boundary": "none", "drop_axis": 0, "dtype": "f4"} | more
    return da.map_overlap(function, pixels.rechunk((2, size, -1, -1)), **options)


def test_chances(pixels):
    def line(chances):
        return said(check_09.chances, chances, pixels, probability)

    assert line(mapped).startswith("Correct: a lazy map in 5 blocks")
    assert line(lambda stack: mapped(stack, size=40)).startswith("Correct: ")
    assert line(...) == NOT_ANSWERED
    assert line(lambda stack: ...) == NOT_ANSWERED
    assert "all of it at once" in line(lambda stack: mapped(stack).compute())
    assert "a function" in line(mapped(pixels))
    assert "drop_axis=0" in line(lambda stack: stack.astype("f4"))
    assert "one number for each voxel" in line(lambda stack: mapped(stack)[:, :4])
    assert "drop_axis=0" in line(lambda stack: mapped(stack, drop_axis=None))
    assert "all planes are in one block" in line(lambda stack: mapped(stack, size=-1))
    halves = mapped(pixels).rechunk((32, 12, 30))
    assert "-1 keeps y and x whole" in line(lambda stack: halves)
    assert "make it 32" in line(lambda stack: mapped(stack, size=5, depth=(0, 2, 0, 0)))
    assert "a seam at every cut" in line(lambda stack: mapped(stack, depth=0))
    alone = {"drop_axis": 0, "dtype": "f4"}
    blocks = pixels.rechunk((2, 32, -1, -1))
    assert "a seam at every cut" in line(lambda stack: da.map_blocks(probability, blocks, **alone))
    assert "Ten planes of overlap" in line(lambda stack: mapped(stack, depth=(0, 2, 0, 0)))
    assert "aren't probabilities" in line(lambda stack: 100 * mapped(stack))
    assert "the probability of background" in line(lambda stack: 1 - mapped(stack))
    assert "stopped with" in line(lambda stack: mapped(stack, lambda block: block[5]))
    assert "stopped with TypeError" in line(lambda: 1)


def test_pixels_in_another_range_than_those_trained_on(pixels):
    line = said(check_09.chances, lambda stack: mapped(stack / 65535), pixels, probability)
    assert "fractions from 0 to 1, but the forest learned from whole numbers" in line


def test_a_segmentation_of_ones_own(pixels):
    truth = published()

    def line(mine):
        return said(check_09.mine, mine, pixels, truth)

    def mask(stack):
        return stack[1].compute() > 500

    assert line(lambda stack: label(mask(stack))).startswith("Correct: 5 of 5 nuclei are matched")
    assert line(...) == NOT_ANSWERED
    assert line(lambda stack: ...) == NOT_ANSWERED
    assert "end it with .compute()" in line(lambda stack: stack[1] > 500)
    assert "z, y and x only" in line(lambda stack: stack.compute() > 500)
    assert "shape (24, 30)" in line(lambda stack: label(mask(stack)[45]))
    assert "this is a mask" in line(mask)
    assert "these are pixels" in line(lambda stack: stack[1].compute())
    assert "probabilities" in line(lambda stack: mask(stack) * 0.7)
    assert "published labels themselves" in line(lambda stack: truth)
    assert "nothing was found" in line(lambda stack: label(stack[1].compute() > 5000))
    assert "no voxel is 0" in line(lambda stack: label(mask(stack)) + 1)
    assert "one object only" in line(lambda stack: mask(stack).astype(int))
    planes = [label(plane) for plane in mask(pixels)]
    assert "numbered by itself" in line(lambda stack: np.stack(planes))
    assert "F1 is 0.00" in line(lambda stack: label(stack[1].compute() > 55))
    assert "stopped with" in line(lambda stack: label(stack[7]))
