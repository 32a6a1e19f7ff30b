"""A stack through CellProfiler: what goes there, what comes back, and how planes are joined.

Here a script takes CellProfiler's place. tests/tools/ runs the real one.
"""

import json
import subprocess
import sys
import time

import numpy as np
import pytest
from support.repository import ROOT

from data_helpers import OmeZarrError, ToolError, compare_labels, open_multiscale
from data_helpers.hand_over import measure
from data_helpers.hand_over.stack import link_planes, segment_with_cellprofiler
from tools.make_stack_labels import FILE, KEY, most_memory_of_children, same_objects

SCRIPT = """import json, sys, time
import numpy as np
def answer(**said):
    print("\\n@answer " + json.dumps(said), flush=True)
answer(version='5.0.1')
answer(ready=True)
for line in sys.stdin:
    order = json.loads(line)
    plane, = np.load(order["planes"])
    open(__file__ + ".orders", "a").write(line)
    {work}
"""
BRIGHT = "np.save(order['labels'], (plane * 65535 > 500).astype('i4')); answer(nuclei=1)"


@pytest.fixture
def fake(tmp_path, monkeypatch):
    """Take this Python for CellProfiler's, and a script for what runs there."""

    def take(work=BRIGHT):
        worker = tmp_path / "worker.py"
        worker.write_text(SCRIPT.format(work=work), encoding="utf-8")
        monkeypatch.setattr(measure, "WORKER", worker)
        monkeypatch.setenv("CELLPROFILER_PYTHON", sys.executable)
        return tmp_path / "worker.py.orders"

    return take


@pytest.fixture
def stack():
    """A bright square in planes 1 and 2, and elsewhere in plane 3."""
    made = np.full((5, 20, 24), 100, np.uint16)
    made[1:3, 3:9, 3:9] = made[3, 12:18, 12:18] = 900
    return made


def test_one_plane_after_another_and_labels_come_back(fake, stack):
    orders = fake()
    labels = segment_with_cellprofiler(stack)
    assert labels.dtype == np.int32 and labels.shape == stack.shape
    assert (labels > 0).tolist() == (stack > 500).tolist()
    assert [int(plane.max()) for plane in labels] == [0, 1, 1, 2, 0]
    assert len(orders.read_text().splitlines()) == len(stack)


def test_settings_arrive_in_cellprofilers_fractions(fake, stack):
    orders = fake()
    segment_with_cellprofiler(stack, diameter=(5, 30), declump="Shape", lowest_threshold=250)
    order = json.loads(orders.read_text().splitlines()[0])
    assert order["diameter"] == [5, 30] and order["declump"] == "Shape"
    assert order["lowest_threshold"] == pytest.approx(250 / 65535)


@pytest.mark.parametrize(
    ("work", "said"),
    [
        ("print('Out of cheese.'); sys.exit(3)", r"ended \(exit code 3\) while it outlined plane"),
        ("answer(error='ValueError: NaN')", "failed while it outlined plane 0: ValueError: NaN"),
        ("time.sleep(60)", "no answer within 2 s while it outlined plane 0.*timeout="),
    ],
)
def test_what_goes_wrong_is_one_sentence(fake, stack, work, said):
    fake(work)
    began = time.monotonic()
    with pytest.raises(ToolError, match=said) as caught:
        segment_with_cellprofiler(stack, timeout=2 if "sleep" in work else 30)
    assert "\n" not in str(caught.value) and time.monotonic() - began < 20


def test_what_it_cannot_take_is_refused_before_anything_starts(stack, monkeypatch):
    monkeypatch.setenv("CELLPROFILER_PYTHON", "/no/such/python")
    with pytest.raises(OmeZarrError, match="A stack is needed"):
        segment_with_cellprofiler(stack[0])
    with pytest.raises(ToolError, match="declump is 'Intensity', 'Shape'"):
        segment_with_cellprofiler(stack, declump="Colour")
    for wrong in (-1, 65535):
        with pytest.raises(ToolError, match=r"lowest_threshold is .* 0 to 65,535, not"):
            segment_with_cellprofiler(stack, lowest_threshold=wrong)
    with pytest.raises(ToolError, match=r"lowest_threshold is .* 0 to 1, not 250"):
        segment_with_cellprofiler(stack / 65535, lowest_threshold=250)
    with pytest.raises(ToolError, match="CELLPROFILER_PYTHON names"):
        segment_with_cellprofiler(stack)


def test_planes_are_joined_where_outlines_share_more_than_half():
    planes = np.zeros((4, 4, 12), int)
    planes[0, :, :4] = 3
    planes[1, :, 1:5] = 1  # shares 12 of 20
    planes[2, :, 3:7] = 1  # shares 8 of 24
    planes[2, :, 8:] = 2
    planes[3, :, 3:7], planes[3, :, 7:] = 2, 1  # swapped numbers; 16 of 16, and 16 of 20
    labels = link_planes(planes)
    assert labels[:2].max() == 1 and labels[0, 0, 0] == labels[1, 0, 1]
    assert labels[2, 0].tolist() == [0, 0, 0, 2, 2, 2, 2, 0, 3, 3, 3, 3]
    assert labels[3, 0].tolist() == [0, 0, 0, 2, 2, 2, 2, 3, 3, 3, 3, 3]


def test_two_outlines_never_go_on_as_the_same_object():
    planes = np.zeros((2, 4, 12), int)
    planes[0, :, :8] = 1
    planes[1, :, :4], planes[1, :, 4:8] = 1, 2  # each is half of the one before, not more
    assert np.unique(link_planes(planes)[1]).tolist() == [0, 2, 3]


def test_the_same_objects_whatever_their_numbers():
    one = np.array([[0, 1, 1, 2]])
    assert same_objects(one, np.array([[0, 7, 7, 3]]))
    for other in ([[0, 7, 7, 7]], [[0, 7, 3, 1]], [[1, 7, 7, 3]], [[0, 7, 7, 0]]):
        assert not same_objects(one, np.array(other))


def test_memory_of_what_was_started_is_seen():
    code = "import time; held = bytearray(80_000_000); time.sleep(1)"
    result, megabytes = most_memory_of_children(
        lambda: subprocess.call([sys.executable, "-c", code])
    )
    assert result == 0 and 80 < megabytes < 400


def test_the_stored_run_is_small_and_scores_as_the_page_says(offline):
    assert FILE.stat().st_size < 100_000
    with np.load(FILE) as stored:
        labels = stored["labels"]
        seconds, megabytes = float(stored["seconds"]), float(stored["megabytes"])
    image = open_multiscale(f"{offline}/{KEY}")
    truth = np.asarray(image.stored_labels("1")[0, 0])
    found = compare_labels(labels, truth)
    page = (ROOT / "docs" / "tools" / "cellprofiler.md").read_text(encoding="utf-8")
    row = next(line for line in page.splitlines() if "`lowest_threshold=250` |" in line)
    both, either = (labels > 0) & (truth > 0), (labels > 0) | (truth > 0)
    scores = [f"{both.sum() / either.sum():.2f}", f"{found['matched']:.0f}"]
    scores += [f"{found['false']:.0f}", f"{found['F1']:.2f}"]
    assert [cell.strip() for cell in row.split("|")[2:6]] == scores
    assert f"{seconds:.0f} s" in page and f"{megabytes:.0f} MB" in page
