"""The real CellProfiler, in its own environment: it counts right, and its failures are told.

`python3 run.py tool cellprofiler` makes the environment.
"""

import numpy as np
import psutil
import pytest
from support.plates import write_plate

from data_helpers import ToolError, measure_plate, open_plate
from data_helpers.hand_over import measure
from data_helpers.hand_over.stack import segment_with_cellprofiler
from tools import make_plate_table, make_stack_labels

pytestmark = [pytest.mark.tools, pytest.mark.timeout(300)]


def test_the_stored_tables_are_what_cellprofiler_says():
    assert make_plate_table.differences(["A/1", "A/6", "D/12"]) == []


def test_the_stored_labels_are_what_cellprofiler_finds():
    assert make_stack_labels.agrees(126, 130)


def test_a_stack_gives_its_nuclei_and_empty_planes_none():
    plane = spots()[0]
    empty = np.full_like(plane, 100)
    labels = segment_with_cellprofiler(np.stack([empty, plane, plane, empty]), lowest_threshold=300)
    assert labels.dtype == np.int32 and labels.max() == 2
    assert not labels[0].any() and not labels[3].any()
    assert (labels[1] == labels[2]).all()
    assert labels[1, 60, 60] != labels[1, 120, 170] and 0 not in labels[1, [60, 120], [60, 170]]


def test_a_plane_that_cellprofiler_refuses_is_named():
    plane = spots()[0].astype("f4") / 65535
    stack = np.stack([plane, np.full_like(plane, np.nan)])
    with pytest.raises(ToolError, match="CellProfiler failed while it outlined plane 1: Value"):
        segment_with_cellprofiler(stack)


def spots(height=200, width=240):
    """Two nuclei, one of them stained, on a dim background; uint16."""
    y, x = np.mgrid[:height, :width]
    planes = np.full((2, height, width), 100.0)
    for number, (row, column) in enumerate([(60, 60), (120, 170)]):
        inside = (y - row) ** 2 + (x - column) ** 2 < 12**2
        planes[0][inside] += 900
        planes[1][inside] += 800 * number
    return (planes + np.random.default_rng(0).normal(0, 5, planes.shape)).astype("u2")


def test_a_well_without_cells_counts_zero(tmp_path):
    wells = {"A/01": [spots()], "A/02": [np.full((2, 200, 240), 100, "u2")]}
    table = measure_plate(open_plate(write_plate(tmp_path / "plate", wells)))
    assert table["nuclei"].tolist() == [2, 0] and table["stained"].tolist() == [1, 0]
    assert table["percent_stained"].tolist()[:1] == [50]
    assert table["percent_stained"].isna().tolist() == [False, True]


def test_memory_does_not_grow_with_the_plate(offline, monkeypatch):
    """The planes of a well are 9 MB, and several times that inside CellProfiler."""
    resident, workers, row, start = [], [], measure._row, measure._start

    def watched_row(*found):
        resident.append(psutil.Process(workers[0].pid).memory_info().rss)
        return row(*found)

    def watched_start(*arguments):
        workers.append(start(*arguments))
        return workers[0]

    monkeypatch.setattr(measure, "_row", watched_row)
    monkeypatch.setattr(measure, "_start", watched_start)
    plate = open_plate(f"{offline}/{make_plate_table.KEY}")
    measure_plate(plate, [f"D/{n}" for n in range(5, 13)], **make_plate_table.TUNED)
    assert len(resident) == 8 and resident[-1] < 500e6
    assert resident[-1] - resident[2] < 40e6


def test_a_pipeline_that_stops_is_told_by_well_and_words(tmp_path):
    good = spots().astype("f4") / 65535
    wells = {"A/01": [good], "B/02": [np.full_like(good, np.nan)]}
    plate = open_plate(write_plate(tmp_path / "plate", wells))
    assert measure_plate(plate, ["A/01"], stained_above=300 / 65535)["stained"].tolist() == [1]
    with pytest.raises(ToolError, match="CellProfiler failed while it measured well B/02: Value"):
        measure_plate(plate)
