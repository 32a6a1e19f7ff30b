"""The checks of notebook 06: right answers pass, wrong ones get their hint, none raises."""

import math

import numpy as np
import pandas as pd
from dask import delayed
from distributed import Client
from skimage.filters import gaussian, threshold_otsu
from skimage.measure import label
from support.checks import said
from support.images import write_v2

from data_helpers import BlockRun, open_multiscale
from data_helpers.checks import check_06
from data_helpers.checks.feedback import NOT_ANSWERED

TIMES, DEPTHS = range(2), range(3)
VOXEL = (0.5, 0.72, 0.72)


def analyze(t, c, z):
    return np.full((4, 5), 100 * t + 10 * c + z)


def answer(client, function=analyze, c=1, swap=False):
    where = [(t, z) for t in TIMES for z in DEPTHS]
    where = [(t, z) for z in DEPTHS for t in TIMES] if swap else where
    return client.gather([client.submit(function, t, c, z, pure=False) for t, z in where])


def test_planes_on_the_cluster(client):
    def line(run_planes):
        return said(check_06.run_planes, run_planes, analyze, client, (TIMES, DEPTHS))

    assert line(lambda: answer(client)).startswith("Correct: 6 tasks")
    assert line(lambda: ...) == NOT_ANSWERED
    assert "here" in line(lambda: [analyze(t, 1, z) for t in TIMES for z in DEPTHS])
    assert "promises" in line(lambda: [client.submit(analyze, 0, 1, 0)])
    assert "lazy" in line(lambda: [delayed(analyze)(0, 1, 0)])
    assert "in order" in line(lambda: answer(client, swap=True))
    assert "channel 1" in line(lambda: answer(client, c=0))
    assert "both" in line(lambda: answer(client)[:3])
    assert "list" in line(lambda: 7)
    assert "stopped with ZeroDivisionError" in line(lambda: 1 / 0)


def test_a_closed_cluster_is_named():
    with Client(processes=False, n_workers=1, dashboard_address=None, timeout=30) as closed:
        pass
    line = said(check_06.run_planes, list, analyze, closed, (TIMES, DEPTHS))
    assert line.startswith("Not yet: the cluster was closed")


def test_total():
    results = [np.array([[0, 1], [2, 3]]), np.array([[0, 0], [5, 5]])]
    assert said(check_06.total, 8, results) == "Correct: 8 objects in 2 planes."
    assert said(check_06.total, ..., results) == NOT_ANSWERED
    assert "fullest" in said(check_06.total, 5, results)
    assert "largest label" in said(check_06.total, 9, results)
    assert "one whole number" in said(check_06.total, [3, 5], results)


def test_threshold_and_overlap():
    coarse = np.random.default_rng(0).integers(0, 2000, (8, 9, 10)).astype("u2")
    right = threshold_otsu(gaussian(coarse, sigma=1, preserve_range=True))
    assert said(check_06.threshold, right, coarse).startswith(f"Correct: {right:.0f}")
    assert "smoothed first" in said(check_06.threshold, threshold_otsu(coarse), coarse)
    scaled = threshold_otsu(gaussian(coarse, sigma=1))
    assert "preserve_range" in said(check_06.threshold, scaled, coarse)
    assert "one number" in said(check_06.threshold, coarse, coarse)
    for kind in (list, tuple):
        assert said(check_06.overlap, kind([16, 11, 11]), VOXEL).startswith("Correct: 8 µm are 16")
    assert "divide" in said(check_06.overlap, [4, 6, 6], VOXEL)
    assert "round(8 / size)" in said(check_06.overlap, [17, 12, 12], VOXEL)
    assert "whole numbers" in said(check_06.overlap, [16.0, 11.1, 11.1], VOXEL)
    assert "one number each" in said(check_06.overlap, 16, VOXEL)


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
    nchunks, nbytes = 1000, 4e12


def price(planes, core_seconds, gigabytes, per_gb, per_core_hour):
    core_hours = planes * core_seconds / 3600
    return core_hours, gigabytes * per_gb + core_hours * per_core_hour


def test_traffic_and_price():
    def line(traffic):
        return said(check_06.traffic, traffic, Level, 0.5)

    assert line(lambda level, share: (1000, 2.0)).startswith("Correct")
    assert line(lambda level, share: ...) == NOT_ANSWERED
    assert line(lambda level, share: (..., 2.0)) == NOT_ANSWERED
    assert "share" in line(lambda level, share: (1000, 4.0))
    assert "1e12" in line(lambda level, share: (1000, 2e12))
    assert "one request" in line(lambda level, share: (10, 2.0))
    assert "two numbers" in line(lambda level, share: 1000)
    assert said(check_06.price, price).startswith("Correct")
    assert said(check_06.price, lambda *inputs: ...) == NOT_ANSWERED
    assert "3600" in said(check_06.price, lambda n, s, *rest: (n * s, 1))
    assert "divide" in said(check_06.price, lambda n, s, *rest: (math.pi, 1))
    assert "two products" in said(check_06.price, lambda *inputs: (price(*inputs)[0], 1.0))
