"""The checks of notebook 06: right answers pass, wrong ones get their hint, none raises."""

import dask.array as da
import numpy as np
import pandas as pd
from dask import delayed
from skimage.filters import gaussian, threshold_otsu
from skimage.measure import label
from support.checks import NOT_ANSWERED, said
from support.images import write_v2

from data_helpers import BlockRun, open_multiscale
from data_helpers.checks import check_06

TIMES, DEPTHS = range(2), range(3)
VOXEL = (0.5, 0.72, 0.72)


def analyze(t, c, z):
    return np.full((4, 5), 100 * t + 10 * c + z)


def submitted(client, function=analyze, c=1, swap=False):
    where = [(t, z) for t in TIMES for z in DEPTHS]
    where = [(t, z) for z in DEPTHS for t in TIMES] if swap else where
    return [client.submit(function, t, c, z, pure=False) for t, z in where]


def test_planes_on_the_cluster(client):
    def line(futures, results=None):
        results = client.gather(futures) if results is None else results
        return said(check_06.planes, futures, results, analyze, (TIMES, DEPTHS))

    assert line(submitted(client)).startswith("Correct: 6 planes")
    assert line(tuple(submitted(client))).startswith("Correct: 6 planes")
    assert line(..., ...) == NOT_ANSWERED
    assert line(submitted(client), ...) == NOT_ANSWERED
    here = [analyze(t, 1, z) for t in TIMES for z in DEPTHS]
    assert "here in your notebook" in line(here, here)
    futures = submitted(client)
    assert "client.gather(futures)" in line(futures, futures)
    assert "client.gather(futures)" in line(futures, futures[0])
    lazy = [delayed(analyze)(0, 1, 0)]
    assert "delayed tasks" in line(lazy, lazy)
    assert "aren't in order" in line(submitted(client, swap=True))
    assert "channel 0" in line(submitted(client, c=0))
    doubled = submitted(client, lambda t, c, z: 2 * analyze(t, c, z))
    assert "first result isn't that of times[0]" in line(doubled)
    assert "loop over both" in line(submitted(client)[:3])
    assert "lists in a list" in line([futures], [client.gather(futures)])
    assert "square brackets" in line(submitted(client)[0], analyze(0, 1, 0))


def test_threshold_and_overlap():
    coarse = np.random.default_rng(0).integers(0, 2000, (8, 9, 10)).astype("u2")
    right = threshold_otsu(gaussian(coarse, sigma=1, preserve_range=True))
    assert said(check_06.threshold, right, coarse).startswith(f"Correct: {right:.0f}")
    assert "smoothed first" in said(check_06.threshold, threshold_otsu(coarse), coarse)
    scaled = threshold_otsu(gaussian(coarse, sigma=1))
    assert scaled < 1 and "changed the scale" in said(check_06.threshold, scaled, coarse)
    assert "one number" in said(check_06.threshold, coarse, coarse)
    assert "of other pixels" in said(check_06.threshold, 5000, coarse)
    assert "without rounding" in said(check_06.threshold, int(right), coarse)
    assert "is not Otsu's" in said(check_06.threshold, coarse.mean(), coarse)
    assert said(check_06.overlap, (16, 11, 11), VOXEL).startswith("Correct: 8 µm are 16")
    assert "make it a tuple" in said(check_06.overlap, [16, 11, 11], VOXEL)
    assert "divide" in said(check_06.overlap, [4, 6, 6], VOXEL)
    assert "order is reversed" in said(check_06.overlap, (11, 11, 16), VOXEL)
    assert "twice as many" in said(check_06.overlap, (32, 22, 22), VOXEL)
    assert "another level" in said(check_06.overlap, (16, 22, 22), VOXEL)
    assert "micrometres" in said(check_06.overlap, (8, 8, 8), VOXEL)
    assert "round(8 / size)" in said(check_06.overlap, [17, 12, 12], VOXEL)
    assert "whole voxels" in said(check_06.overlap, [16.0, 11.1, 11.1], VOXEL)
    assert "one number each" in said(check_06.overlap, 16, VOXEL)


def counted(pixels, threshold=0):
    return label(pixels > threshold).astype("int32")


def test_found(client):
    pixels = np.zeros((4, 16, 16), "u2")
    pixels[1:3, 2, :2] = pixels[1:3, 5:7, :2] = pixels[1:3, 6:9, 6:9] = pixels[1:3, :2, 12:] = 9
    blocks, overlap, named = da.from_array(pixels, chunks=(4, 8, 16)), (1, 4, 4), {"threshold": 3}
    given = {"depth": overlap, "boundary": "none", "dtype": "int32"} | named

    def line(found, overlap=overlap, named=named):
        return said(check_06.found, found, blocks, counted, overlap, named)

    right = da.map_overlap(counted, blocks, **given)
    assert line(right).startswith("Correct: each block saw")
    assert line(blocks.map_overlap(counted, **given), list(overlap)).startswith("Correct: ")
    assert line(...) == NOT_ANSWERED
    assert line(right, ...) == NOT_ANSWERED
    assert "still hold a blank" in line(right, named={"threshold": ...})
    assert "leave out .compute()" in line(right.compute())
    assert "should be a Dask array" in line(delayed(counted)(pixels))
    assert "trim=False" in line(da.map_overlap(counted, blocks, **given, trim=False))
    assert "segment two" in line(right[:, :8])
    unnamed = da.map_overlap(lambda pixels, *, high: pixels, blocks, depth=1, dtype="int32")
    assert "TypeError: does your call end with **parameters?" in line(unnamed)
    assert "say dtype" in line(da.map_overlap(counted, blocks, **given | {"dtype": "int64"}))
    assert "nothing but itself" in line(blocks.map_blocks(counted, dtype="int32", **named))
    mirrored = da.map_overlap(counted, blocks, **given | {"boundary": "reflect"})
    assert "mirrored" in line(mirrored)
    assert "other labels" in line(right + 1)
    assert "a mask" in line(right > 0)
    other = da.map_overlap(counted, blocks.rechunk((4, 16, 8)), **given)
    assert "leave out rechunk" in line(other)
    assert "these are the pixels" in line(blocks.astype("int32"))


def bright(pixels):
    return label(pixels > 0)


def test_objects(tmp_path, client):
    pixels = np.zeros((1, 1, 4, 16, 16), "u2")
    pixels[..., 1:3, 6:10, 6:10] = 9
    write_v2(tmp_path / "image", [pixels], {"version": "0.1"})
    image = open_multiscale(tmp_path / "image")
    run = BlockRun(tmp_path / "out", image, bright, block_shape=(4, 8, 8), overlap=(0, 4, 4))
    assert "4 blocks are not done" in said(check_06.objects, pd.DataFrame(), run)
    failed = run.compute(client)
    cut = run.finish(client, merge=False)
    assert "were not merged" in said(check_06.objects, cut, run)
    objects = run.finish(client)
    assert said(check_06.objects, objects, run).startswith("Correct: 1 objects, 1 of them")
    assert "does not fit" in said(check_06.objects, cut, run)
    assert "failed blocks" in said(check_06.objects, failed, run)
    assert "table" in said(check_06.objects, objects.to_numpy(), run)
    assert said(check_06.objects, ..., run) == NOT_ANSWERED


class Level:
    nchunks, nbytes = 1000, 4e9


def test_traffic():
    def line(traffic):
        return said(check_06.traffic, traffic, Level, 0.5)

    assert line(lambda level, share: (1000, 2.0)).startswith("Correct")
    assert line(lambda level, share: ...) == NOT_ANSWERED
    assert line(lambda level, share: (..., 2.0)) == NOT_ANSWERED
    assert "multiply by share" in line(lambda level, share: (1000, 4.0))
    assert "divide by 1e9" in line(lambda level, share: (1000, 2e9))
    assert "times share" in line(lambda level, share: (1000, 7.0))
    assert "one request" in line(lambda level, share: (10, 2.0))
    assert "swapped" in line(lambda level, share: (2.0, 1000))
    assert "whole request" in line(lambda level, share: (500, 2.0))
    assert "level.nchunks says" in line(lambda level, share: ((1, 1, 9), 2.0))
    assert "megabytes" in line(lambda level, share: (1000, 2000.0))
    assert "power of 30" in line(lambda level, share: (1000, 2e9 / 2**30))
    assert "two numbers" in line(lambda level, share: 1000)
    assert "stopped with ZeroDivisionError" in line(lambda level, share: 1 / 0)
