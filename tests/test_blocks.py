"""Segmentation in blocks: every voxel once, no seams, nothing counted twice, and resumable."""

import os
import signal
import subprocess
import sys
import textwrap
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import zarr
from skimage.measure import label, regionprops_table
from support.images import axes, noise, scales, write_v2
from zarr.storage import FsspecStore

from data_helpers import open_multiscale
from data_helpers.errors import OmeZarrError
from data_helpers.scale_out import BlockRun, compare_labels, plan_blocks
from data_helpers.scale_out.matching import IOU_THRESHOLD

SHAPE = (30, 40, 50)
SEVERAL = {"block_shape": (12, 16, 20), "overlap": (6, 6, 6)}
LEVEL = {"parameters": {"threshold": 100.0}}
ROOT = Path(__file__).resolve().parents[1]


def segment(pixels, threshold):
    return label(pixels > threshold, connectivity=1)


def balls(count=30, radius=4, seed=1):
    """Balls that do not touch, many of them across the cuts between blocks."""
    rng, pixels, centres = np.random.default_rng(seed), np.zeros(SHAPE, "u2"), []
    grid = np.indices(SHAPE)
    for centre in rng.integers(0, SHAPE, (20 * count, 3)):
        far = all(np.sum((centre - other) ** 2) > (2 * radius + 2) ** 2 for other in centres)
        if far and len(centres) < count:
            centres.append(centre)
            inside = np.sum((grid - centre[:, None, None, None]) ** 2, axis=0) <= radius**2
            pixels[inside] = 200 + len(centres)
    return pixels


def write_volume(folder, pixels):
    version = {"version": "0.4", "axes": axes("tczyx", z="micrometer", y="micrometer")}
    version["datasets"] = scales([1, 1, 0.5, 0.25, 0.25])
    both = np.stack([np.zeros_like(pixels), pixels])[np.newaxis]
    write_v2(folder, [both], version, chunks=(1, 1, 1, *pixels.shape[1:]))
    return open_multiscale(folder)


@pytest.fixture(scope="module")
def pixels():
    return balls()


@pytest.fixture(scope="module")
def volume(tmp_path_factory, pixels):
    return write_volume(tmp_path_factory.mktemp("volume"), pixels)


def parts(run):
    """The measurements of all blocks that are done."""
    return pd.concat([pd.read_parquet(file) for file in Path(run.results, "parts").iterdir()])


@pytest.mark.parametrize("shape", [(30, 40, 50), (1, 1, 1), (13, 20, 21)])
@pytest.mark.parametrize("block_shape", [(12, 16, 20), (64, 64, 64), (1, 20, 7)])
def test_blocks_cover_each_voxel_exactly_once(shape, block_shape):
    covered, seen = np.zeros(shape, int), np.zeros(shape, int)
    blocks = plan_blocks(shape, block_shape, (3, 0, 2))
    for block in blocks:
        covered[block.core] += 1
        seen[block.padded] += 1
        part = np.empty([s.stop - s.start for s in block.padded])
        assert part[block.inside(block.start, block.stop)].shape == covered[block.core].shape
    assert (covered == 1).all() and (seen >= 1).all()
    assert len({block.name for block in blocks}) == len(blocks)


def test_merged_labels_are_those_of_the_whole_volume(tmp_path, volume, pixels, client):
    run = BlockRun(tmp_path / "out", volume, segment, c=1, **SEVERAL, **LEVEL)
    assert repr(run) == "BlockRun(0 of 27 blocks done)"
    assert run.compute(client).empty
    assert repr(run) == "BlockRun(27 of 27 blocks done)"
    objects, whole = run.finish(client), segment(pixels, 100)
    labels = run.labels[:]
    assert labels.dtype == np.uint32
    # The same objects, perhaps under other numbers: one number each way.
    pairs = np.unique(np.stack([labels.ravel(), whole.ravel()], 1), axis=0)
    assert len(pairs) == len(np.unique(whole)) == len(np.unique(labels)) == 31
    assert compare_labels(labels, whole) == {
        "objects": 30,
        "true objects": 30,
        "matched": 30,
        "missed": 0,
        "false": 0,
        "F1": 1.0,
    }
    # The table describes this label image: volumes, means, centres and boxes.
    names = ("label", "area", "intensity_mean", "centroid", "bbox")
    truth = pd.DataFrame(regionprops_table(labels, pixels, properties=names))
    assert objects["label"].tolist() == truth["label"].tolist()
    assert objects["voxels"].tolist() == truth["area"].tolist()
    for ours, theirs in {"intensity_mean": "intensity_mean", "z": "centroid-0"}.items():
        np.testing.assert_allclose(objects[ours], truth[theirs])
    for number, column in enumerate(["z0", "y0", "x0", "z1", "y1", "x1"]):
        assert objects[column].tolist() == truth[f"bbox-{number}"].tolist()
    assert objects["blocks"].max() >= 4
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "out" / "objects.parquet"), objects)


def test_a_bar_counts_blocks_and_joins(tmp_path, volume, client, capsys):
    run = BlockRun(tmp_path / "out", volume, segment, c=1, **SEVERAL, **LEVEL)
    run.compute(client, run.blocks[:8])
    run.compute(client, [])  # nothing to do, nothing to show
    bar = capsys.readouterr().out.split("\r")
    assert bar[-1] == f"Blocks |{'#' * 44}| 8 of 8\n" and "0 of 8" in bar[1]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        run.finish(client)
    faces = 5 + 5  # within and between rows of 3, 3 and 2 blocks
    assert capsys.readouterr().out.endswith(f"| {faces + 8} of {faces + 8}\n")


def test_unmerged_labels_are_cut_at_the_seams(tmp_path, volume, pixels, client):
    run = BlockRun(tmp_path / "out", volume, segment, c=1, **SEVERAL, **LEVEL)
    run.compute(client)
    assert len(run.finish(client, merge=False)) == len(parts(run)) > 60
    assert run.labels[:].max() == len(parts(run))
    assert len(run.finish(client)) == 30  # finishing again writes all anew


def test_result_is_an_ome_zarr_label_image_with_the_voxel_size(tmp_path, volume, client):
    run = BlockRun(tmp_path / "out", volume, segment, c=1, **SEVERAL, **LEVEL)
    run.compute(client)
    run.finish(client)
    image = open_multiscale(tmp_path / "out" / "labels")
    assert image.axes == ("z", "y", "x")
    assert image.scales[0] == (0.5, 0.25, 0.25)
    assert image.units == ("micrometer", "micrometer", None)
    np.testing.assert_array_equal(image.stored[0][:], run.labels[:])


def test_only_missing_blocks_are_computed(tmp_path, volume, client):
    run = BlockRun(tmp_path / "out", volume, segment, c=1, **SEVERAL, **LEVEL)
    run.compute(client, run.missing()[:10])
    files = {file: file.stat().st_mtime_ns for file in (tmp_path / "out").rglob("*.parquet")}
    again = BlockRun(tmp_path / "out", volume, segment, c=1, **SEVERAL, **LEVEL)
    assert len(again.missing()) == 17
    with pytest.warns(UserWarning, match=r"17 blocks .*2\.2\.2"):
        some = again.finish(client)
    again.compute(client)
    objects = again.finish(client)
    kept = [file for file, written in files.items() if file.stat().st_mtime_ns == written]
    assert sum(file.parent.name == "parts" for file in kept) == 10
    assert len(some) < len(objects) == 30


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"parameters": {"threshold": 101.0}}, "set of parameters"),
        ({"overlap": (6, 6, 5)}, "overlap"),
        ({"block_shape": (12, 16, 25)}, "block shape"),
        ({"c": 0}, "time or channel"),
        ({"segment": lambda pixels, threshold: (pixels > threshold).astype(int)}, "function"),
    ],
)
def test_results_of_another_run_are_not_mixed(tmp_path, volume, change, what):
    settings = {"segment": segment, "c": 1, **SEVERAL, **LEVEL}
    BlockRun(tmp_path / "out", volume, **settings)
    BlockRun(tmp_path / "out", volume, **settings)  # the same: fine
    with pytest.raises(OmeZarrError, match=f"another .*{what}") as refusal:
        BlockRun(tmp_path / "out", volume, **{**settings, **change})
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("names", ["yx", "yxc", "xyz", "czxy"])
def test_other_axes_are_refused_in_one_sentence(tmp_path, names):
    folder = write_v2(
        tmp_path / "image", [noise(*(8,) * len(names))], {"version": "0.4", "axes": axes(names)}
    )
    with pytest.raises(OmeZarrError, match=f"has the axes {', '.join(names)}, but"):
        BlockRun(tmp_path / "out", open_multiscale(folder), segment)
    assert not (tmp_path / "out").exists()


def test_axes_in_upper_case_are_the_same_axes(tmp_path, client):
    folder = write_v2(
        tmp_path / "image",
        [noise(2, 8, 8, 8)],
        {
            "version": "0.4",
            "axes": [{**axis, "name": axis["name"].upper()} for axis in axes("tzyx")],
        },
    )
    run = BlockRun(
        tmp_path / "out", open_multiscale(folder), segment, t=1, parameters={"threshold": 1}
    )
    assert run.shape == (8, 8, 8) and run.compute(client).empty


def test_results_of_another_image_are_not_mixed(tmp_path, volume, pixels):
    BlockRun(tmp_path / "out", volume, segment, c=1, **SEVERAL, **LEVEL)
    other = write_volume(tmp_path / "other", pixels)
    with pytest.raises(OmeZarrError, match="another image"):
        BlockRun(tmp_path / "out", other, segment, c=1, **SEVERAL, **LEVEL)


def test_a_run_stopped_halfway_goes_on(tmp_path, volume, client):
    """The whole process is killed while blocks are written; nothing is lost or counted twice."""
    script = textwrap.dedent(
        f"""
        import sys, time
        sys.path.insert(0, {str(ROOT / "tests")!r})
        from distributed import Client
        from test_blocks import LEVEL, SEVERAL, BlockRun, open_multiscale, slow_segment
        if __name__ == "__main__":
            with Client(processes=False, n_workers=1, threads_per_worker=1,
                        dashboard_address=None) as client:
                image = open_multiscale({str(Path(volume.url))!r})
                run = BlockRun("out", image, slow_segment, c=1, **SEVERAL, **LEVEL)
                run.compute(client)
        """
    )
    run = BlockRun(tmp_path / "out", volume, slow_segment, c=1, **SEVERAL, **LEVEL)
    process = subprocess.Popen([sys.executable, "-c", script], cwd=tmp_path)
    try:
        until = time.monotonic() + 60
        while len(run.missing()) > 20 and time.monotonic() < until:
            time.sleep(0.05)
    finally:
        process.send_signal(signal.SIGTERM if os.name == "nt" else signal.SIGKILL)
        process.wait(timeout=10)
    left = len(run.missing())
    assert 0 < left <= 20
    assert run.compute(client).empty
    objects = run.finish(client)
    assert objects["voxels"].sum() == parts(run)["voxels"].sum() == np.count_nonzero(run.labels[:])
    assert len(objects) == 30


def slow_segment(pixels, threshold):
    time.sleep(0.1)
    return label(pixels > threshold, connectivity=1)


def test_a_volume_without_objects_and_one_without_overlap(tmp_path, volume, client):
    nothing = {"parameters": {"threshold": 60_000.0}}
    run = BlockRun(tmp_path / "none", volume, segment, c=1, **SEVERAL, **nothing)
    run.compute(client)
    assert len(run.finish(client)) == 0 and not run.labels[:].any()
    bare = {"block_shape": (12, 16, 20), "overlap": (0, 0, 0)}
    run = BlockRun(tmp_path / "bare", volume, segment, c=1, **bare, **LEVEL)
    run.compute(client)
    with warnings.catch_warnings(action="error"):
        assert len(run.finish(client)) > 60


def test_any_zarr_store_keeps_the_results(volume, client):
    # An object store, as far as zarr can tell; the workers are threads here, so they share it.
    store = FsspecStore.from_url("memory://test-blocks", storage_options={"asynchronous": False})
    run = BlockRun(store, volume, segment, c=1, **SEVERAL, **LEVEL)
    assert run.compute(client).empty and run.missing() == []
    assert len(run.finish(client)) == 30
    assert zarr.open_array(store, path="labels/0", mode="r")[:].max() == 30


def test_a_function_that_fails_is_listed_with_its_reason(tmp_path, volume, client):
    def fails_where_it_is_bright(pixels, threshold):
        if pixels.max() > 228:
            raise ZeroDivisionError("too bright\nfor me")
        return segment(pixels, threshold)

    run = BlockRun(tmp_path / "out", volume, fails_where_it_is_bright, c=1, **SEVERAL, **LEVEL)
    failed = run.compute(client, pauses=[0])
    assert 0 < len(failed) < 20
    assert set(failed["why"]) == {"ZeroDivisionError: too bright"}
    assert failed["block"].tolist() == sorted(block.name for block in run.missing())
    assert len(pd.read_parquet(tmp_path / "out" / "failed.parquet")) == len(failed)


def test_what_is_no_label_image_is_refused(tmp_path, volume, client):
    run = BlockRun(tmp_path / "out", volume, segment_to_mask, c=1, **SEVERAL, **LEVEL)
    failed = run.compute(client, run.blocks[:1], pauses=[])
    assert "whole numbers" in failed["why"][0] and "bool" in failed["why"][0]


def segment_to_mask(pixels, threshold):
    return pixels > threshold


def test_a_round_that_takes_too_long_ends(tmp_path, volume, client):
    run = BlockRun(tmp_path / "out", volume, very_slow_segment, c=1, **SEVERAL, **LEVEL)
    failed = run.compute(client, run.blocks[:3], pauses=[], timeout=0.5)
    assert failed["why"].str.contains(r"not finished within 0\.5 s").all() and len(failed) >= 1


def very_slow_segment(pixels, threshold):
    time.sleep(2)
    return segment(pixels, threshold)


def test_objects_match_if_they_share_more_than_half_of_both():
    truth = np.array([[1, 1, 1, 0, 2, 2, 2, 2], [0, 0, 0, 0, 0, 0, 7, 7]])
    found = np.array([[5, 5, 0, 0, 3, 3, 4, 4], [0, 0, 0, 0, 0, 0, 4, 4]])
    # 5 covers 2 of 3 voxels of object 1; 3 and 4 cover 2 of 4 of object 2, which is not more
    # than half; 4 shares 2 of 4 voxels with object 7.
    assert IOU_THRESHOLD == 0.5
    table = {"objects": 3, "true objects": 3, "matched": 1, "missed": 2, "false": 2}
    assert compare_labels(found, truth) == {**table, "F1": pytest.approx(1 / 3)}
    nothing = np.zeros_like(truth)
    table = {"objects": 0, "true objects": 3, "matched": 0, "missed": 3, "false": 0, "F1": 0}
    assert compare_labels(nothing, truth) == table
    table = {"objects": 3, "true objects": 0, "matched": 0, "missed": 0, "false": 3, "F1": 0}
    assert compare_labels(truth, nothing) == table
    assert compare_labels(truth, truth)["matched"] == 3 and compare_labels(truth, truth)["F1"] == 1
    assert compare_labels(nothing, nothing)["F1"] == 1
