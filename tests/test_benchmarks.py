"""The benchmarks: the endpoint does what it says, and the report tells what was measured."""

import asyncio
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from benchmarks import __main__ as command
from benchmarks import machine, report, solution, targets
from benchmarks.endpoint import Answering, Endpoint, Settings, rounds
from benchmarks.table import Imports, Plan, measure_imports, own_import_ms
from benchmarks.targets import ROWS, Measured, Result, compare_results
from benchmarks.ways import PEERS, READERS, WAYS
from benchmarks.worker import Run, Worker
from data_helpers.offline import process

ROOT = Path(__file__).resolve().parents[1]
PLANE = "idr/zarr/v0.1/4007801.zarr/4/265.1.494.0.0"
NO_SUCH_KEY = "idr/zarr/v0.1/4007801.zarr/zarr.json"


@pytest.fixture(scope="module")
def endpoint():
    with Endpoint() as running:
        yield running


@pytest.fixture(autouse=True)
def fresh(request):
    if "endpoint" in request.fixturenames:
        request.getfixturevalue("endpoint").set()


def get(endpoint, key, method="GET"):
    """Return the status and the body of one request."""
    request = urllib.request.Request(f"{endpoint.address}/{key}", method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def get_at_once(endpoint, keys):
    with ThreadPoolExecutor(len(keys)) as pool:
        return list(pool.map(lambda key: get(endpoint, key), keys))


# --- the endpoint -------------------------------------------------------------------------------


def test_it_holds_what_the_stand_in_holds(endpoint):
    server = process.endpoint()
    for key in (
        PLANE,
        "idr/zarr/v0.1/9822152.zarr/.zattrs",
        "idr/zarr/v0.1/9822152.zarr/10/.zarray",
    ):
        with urllib.request.urlopen(f"{server}/{key}", timeout=30) as answer:
            assert get(endpoint, key) == (200, answer.read())
    for key in (NO_SUCH_KEY, "other/" + PLANE, "idr/zarr/v0.1/4007801.zarr/4/532.1.494.0.0"):
        assert get(endpoint, key)[0] == 404


def test_an_object_is_painted_once(endpoint):
    other = PLANE.replace("494", "300")
    assert len(get(endpoint, other)[1]) == 128 * 135 * 2 + 16
    assert endpoint.counts()["painted"] == 1
    endpoint.set()
    get(endpoint, other)
    assert endpoint.counts()["painted"] == 0


def test_it_counts_what_it_was_asked_for(endpoint):
    for key in (PLANE, PLANE, PLANE, NO_SUCH_KEY):
        get(endpoint, key)
    get(endpoint, PLANE, "HEAD")
    counts = endpoint.counts()
    assert counts["requests"] == 5 and counts["bytes"] == 3 * len(get(endpoint, PLANE)[1])
    assert counts["keys"] == {PLANE: 4, NO_SUCH_KEY: 1}
    assert (counts["not_found"], counts["errors"], counts["most_in_flight"]) == (1, 0, 1)
    assert counts["rounds"] == 5
    endpoint.set()
    assert endpoint.counts()["requests"] == 0


def test_duplicates_are_answers_with_content_for_a_key_that_had_one(endpoint):
    for key in (PLANE, PLANE, PLANE, NO_SUCH_KEY, NO_SUCH_KEY):
        get(endpoint, key)
    assert endpoint.counts()["duplicates"] == 2


def test_requests_wait_for_the_latency_side_by_side(endpoint):
    get(endpoint, PLANE)
    endpoint.set(Settings(latency_ms=400))
    start = time.perf_counter()
    get_at_once(endpoint, [PLANE] * 10)
    seconds = time.perf_counter() - start
    assert 0.4 <= seconds < 10 * 0.4
    assert endpoint.counts()["rounds"] == 1 and endpoint.counts()["most_in_flight"] == 10


def test_answers_share_the_bandwidth(endpoint):
    size = len(get(endpoint, PLANE)[1])
    endpoint.set(Settings(bandwidth_mbit=4))
    start = time.perf_counter()
    get_at_once(endpoint, [PLANE] * 6)
    assert time.perf_counter() - start >= 6 * size * 8 / 4e6


def test_a_share_of_the_requests_fails_the_same_in_every_run(endpoint):
    statuses = []
    for _ in range(2):
        endpoint.set(Settings(error_rate=0.25))
        statuses.append([get(endpoint, PLANE)[0] for _ in range(100)])
        assert endpoint.counts()["errors"] == statuses[-1].count(503)
    assert statuses[0] == statuses[1]
    assert 10 <= statuses[0].count(503) <= 40 and set(statuses[0]) == {200, 503}


@pytest.mark.parametrize(("rate", "status"), [(0, 200), (1, 503)])
def test_all_or_none_fail(endpoint, rate, status):
    endpoint.set(Settings(error_rate=rate))
    assert {get(endpoint, PLANE)[0] for _ in range(20)} == {status}


def test_chunks_are_held_until_enough_are_in_flight(endpoint):
    endpoint.set(Settings(hold=3))
    assert get(endpoint, "idr/zarr/v0.1/4007801.zarr/.zattrs")[0] == 200  # metadata are not held
    with ThreadPoolExecutor(3) as pool:
        first = [pool.submit(get, endpoint, PLANE) for _ in range(2)]
        while endpoint.counts()["requests"] < 3:
            time.sleep(0.01)
        assert not any(one.done() for one in first)
        assert pool.submit(get, endpoint, PLANE).result(10)[0] == 200
        assert [one.result(10)[0] for one in first] == [200, 200]
    assert endpoint.counts()["most_in_flight"] == 3


def test_company_that_never_comes_is_not_waited_for_for_ever(monkeypatch):
    monkeypatch.setattr("benchmarks.endpoint.HELD_AT_MOST", 0.05)

    async def answer():
        server = Answering()
        server.change({"hold": 64})
        return await server.answer("idr/none")

    assert asyncio.run(asyncio.wait_for(answer(), 10)) == (404, b"")


@pytest.mark.parametrize(
    ("spans", "number"),
    [
        ([], 0),
        ([(1, 4), (2, 5), (3, 6)], 1),
        ([(1, 2), (3, 4), (5, 6)], 3),
        ([(1, 8), (2, 3), (4, 5), (6, 7)], 3),  # one long request beside three in a row
        ([(5, 6), (1, 3), (2, 4)], 2),
    ],
)
def test_rounds_are_the_longest_chain_of_requests(spans, number):
    assert rounds(spans) == number


def test_an_array_of_any_number_of_chunks(endpoint):
    root = "idr/zarr/chunks/1000.zarr"
    assert json.loads(get(endpoint, f"{root}/0/.zarray")[1])["shape"][0] == 1000
    assert get(endpoint, f"{root}/0/0.0.0.0.0") == get(endpoint, f"{root}/0/999.0.0.0.0")
    assert get(endpoint, f"{root}/0/0.0.0.0.0")[1] == get(endpoint, PLANE)[1]
    for missing in ("0/1000.0.0.0.0", "zarr.json", "0/.zattrs", ".zmetadata"):
        assert get(endpoint, f"{root}/{missing}")[0] == 404


def test_the_repeated_movie_has_the_movies_metadata_and_few_planes(endpoint):
    movie = "idr/zarr/repeated/4007801.zarr"
    for name in (".zattrs", "4/.zarray"):
        assert get(endpoint, f"{movie}/{name}") == get(
            endpoint, f"idr/zarr/v0.1/4007801.zarr/{name}"
        )
    assert get(endpoint, f"{movie}/4/0.1.4.0.0") == get(endpoint, PLANE)
    assert get(endpoint, f"{movie}/4/7.1.14.0.0") == get(endpoint, PLANE)
    assert get(endpoint, f"{movie}/4/7.1.15.0.0") != get(endpoint, PLANE)


def test_its_process_ends_with_the_program_that_started_it():
    code = (
        "from benchmarks.endpoint import Endpoint; import os; e = Endpoint(); "
        "print(e.address, e._process.pid, flush=True); os._exit(0)"
    )
    said = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    ).stdout
    address = said.split()[0]
    for _ in range(200):
        try:
            urllib.request.urlopen(f"{address}/control", timeout=5).close()
        except OSError:
            return
        time.sleep(0.05)
    pytest.fail("the endpoint still answers")


# --- workers ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ours(endpoint):
    with Worker("data_helpers", endpoint) as worker:
        yield worker


@pytest.fixture(scope="module")
def limit(endpoint):
    with Worker("limit", endpoint) as worker:
        yield worker


def test_a_run_tells_what_it_took(endpoint, ours):
    run = ours.run("plane", Settings(latency_ms=50), 60)
    assert run.problem == "" and run.seconds >= 0.05 and run.cpu > 0
    assert run.counts["requests"] == 1  # opening before is not counted
    assert run.result[0] == [128, 135]
    assert run.peak_mb is None or 30 < run.peak_mb < 1000


def test_a_run_that_takes_too_long_is_stopped_and_said_so(endpoint, ours):
    run = ours.run("plane", Settings(latency_ms=30_000), 2)
    assert run.seconds is None and run.problem.startswith("stopped after 2 s, ")
    assert ours.run("plane", Settings(), 60).problem == ""  # it works again


def test_a_run_that_fails_says_why(endpoint, ours):
    run = ours.run("plane", Settings(error_rate=1), 60)
    assert run.seconds is None and "503" in run.problem and "ChunkError" in run.problem
    assert "AttributeError" in ours.run("no_such_work", Settings(), 60).problem


def test_a_process_that_dies_is_a_problem_and_not_the_end(endpoint, limit):
    limit.run("plane", Settings(), 60)
    limit._process.kill()
    limit._process.wait()
    assert "ended" in limit.run("plane", Settings(), 60).problem
    assert limit.run("plane", Settings(), 60).problem == ""


def plane_and_objects(worker):
    """A plane of 100 chunks, and the objects in two planes."""
    plane = worker.run("plane_of", Settings(), 60, chunks=100)
    return plane, worker.run("segment", Settings(), 100, times=1, depths=2)


@pytest.fixture(scope="module")
def true(limit):
    return plane_and_objects(limit)


@pytest.mark.parametrize("way", ["data_helpers", *PEERS])
@pytest.mark.timeout(240)
def test_every_way_opens_and_reads_the_same(endpoint, true, way):
    with Worker(way, endpoint) as worker:
        levels = worker.run("open_all", Settings(), 100)
        assert levels.problem == "" and levels.result[10] == [1, 1, 1, 91, 141]
        assert levels.counts["requests"] >= 12
        found = plane_and_objects(worker)
    assert [run.problem for run in found] == ["", ""]
    assert [run.result for run in found] == [run.result for run in true]
    assert set(true[1].parts) == {"fetch", "decode", "segment"}


@pytest.mark.parametrize("way", ["data_helpers", *READERS])
@pytest.mark.parametrize("codec", ["lz4", "zstd"])
def test_every_reader_reads_the_same_compressed_chunks(endpoint, limit, way, codec):
    if way == "tensorstore":
        pytest.importorskip("tensorstore", reason="NOT CHECKED: tensorstore is not installed")
    options = {"codec": codec, "chunks": 16}
    true = limit.run("compressed", Settings(), 60, **options)
    assert set(true.parts) == {"fetch", "decode into place"}
    with Worker(way, endpoint) as worker:
        found = worker.run("compressed", Settings(), 100, **options)
        assert (found.problem, found.result) == ("", true.result)
        assert found.counts["requests"] == 16 and true.result[0] == [1, 4096, 4096]
        if way in ("data_helpers", "dask from_zarr"):
            largest = [one.run("largest", Settings(), 60, **options) for one in (worker, limit)]
            assert largest[0].result == largest[1].result


def test_compressed_chunks_are_as_large_as_they_say(endpoint):
    image = "idr/zarr/compressed/lz4/32.zarr"
    described = json.loads(get(endpoint, f"{image}/0/.zarray")[1])
    assert described["shape"] == [2, 4096, 4096] and described["chunks"] == [1, 1024, 1024]
    status, chunk = get(endpoint, f"{image}/0/1.3.3")
    assert status == 200 and 0.5 < len(chunk) / (2 * 1024**2) < 0.9
    for missing in ("0/2.0.0", "0/0.4.0", "0/0.0", "0/.zattrs"):
        assert get(endpoint, f"{image}/{missing}")[0] == 404


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="NOT CHECKED: needs Linux")
def test_one_cpu_is_one_cpu(endpoint):
    with Worker("limit", endpoint, one_cpu=True) as worker:
        worker.run("plane", Settings(), 60)
        assert len(os.sched_getaffinity(worker._process.pid)) == 1


# --- the notebook's code ------------------------------------------------------------------------


def test_the_notebook_code_is_its_own():
    code = solution.code()
    cells = json.loads(solution.NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    sources = {cell["id"]: "".join(cell["source"]) for cell in cells}
    assert sources["segment"] in code and sources["together"] in code
    assert "compute(" in sources["together"]


def test_a_notebook_without_the_cells_is_an_error(tmp_path, monkeypatch):
    path = tmp_path / "03.ipynb"
    path.write_text('{"cells": [{"cell_type": "code", "id": "imports", "source": []}]}')
    monkeypatch.setattr(solution, "NOTEBOOK", path)
    with pytest.raises(LookupError, match="together"):
        solution.code()


# --- verdicts -----------------------------------------------------------------------------------

COUNTS = {
    "requests": 1, "bytes": 10, "not_found": 0, "errors": 0, "most_in_flight": 1,
    "duplicates": 0, "rounds": 1, "keys": {}, "painted": 0,
}  # fmt: skip
BY_WORK = {row.work: row for row in ROWS}


def measured(seconds=0.5, problem="", **counts):
    times = seconds if isinstance(seconds, list) else [seconds]
    runs = [Run(time, 0.1, [[1], 2], COUNTS | counts, problem=problem) for time in times]
    return Measured(runs)


def result(work, ours, limit=None, peak_mb=None):
    ways = {"limit": limit or measured(0.5), "data_helpers": ours}
    return Result(BY_WORK[work], ways, 0.04, peak_mb)


@pytest.mark.parametrize(
    ("work", "good", "bad", "said"),
    [
        ("open_all", {"seconds": 0.1, "requests": 12}, {"requests": 13}, "requests 13 > 12"),
        ("open_all", {"seconds": 0.1, "requests": 12}, {"rounds": 4}, "round trips 4 > 3"),
        ("open_all", {"seconds": 0.1, "requests": 12}, {"seconds": 0.13}, "3.25 > 3"),
        ("open_all", {"seconds": 0.1, "requests": 12}, {"not_found": 1}, "not found 1 > 0"),
        ("open_one", {"requests": 2}, {"requests": 3}, "requests 3 > 2"),
        ("load", {"seconds": 0.69, "requests": 516}, {"seconds": 0.75}, "1.50 > 1.40"),
        ("load", {"seconds": 0.69, "requests": 516}, {"duplicates": 1}, "fetched twice 1 > 0"),
        ("compute", {"seconds": 0.89, "requests": 516}, {"seconds": 0.95}, "1.90 > 1.80"),
        ("plane", {"seconds": 0.109}, {"seconds": 0.111}, "111 > 110"),
        ("plane", {"seconds": 0.109}, {"requests": 2}, "chunks 2 > 1"),
        ("segment", {"seconds": 0.99, "requests": 100}, {"seconds": 1.1}, "2.20 > 2"),
        ("segment", {"seconds": 0.99, "requests": 100}, {"requests": 101}, "101 > 100"),
    ],
)
def test_a_missed_target_is_shown_as_not_met(work, good, bad, said):
    assert result(work, measured(**good)).verdict == "met"
    verdict = result(work, measured(**good | bad)).verdict
    assert verdict.startswith("**not met**") and said in verdict and "in flight" in verdict


@pytest.mark.parametrize("work", ["lz4", "zstd", "lz4_line", "zstd_line"])
def test_where_bytes_are_the_limit_others_are_the_measure(work):
    requests = 256 if "line" not in work else 64
    met = result(work, measured(0.5, requests=requests), measured(0.51))
    met.ways |= {"dask from_zarr": measured(0.7), "tensorstore": measured(0.5)}
    assert met.verdict == "met"
    met.ways["dask from_zarr"] = measured(0.45)
    met.ways["tensorstore"] = measured(0.4)
    assert "seconds / dask from_zarr 1.11 > " in met.verdict
    assert "seconds / tensorstore 1.25 > " in met.verdict
    slow = result(work, measured(0.6, requests=requests), measured(0.5))
    assert "seconds / limit 1.20 > 1" in slow.verdict


def test_memory_of_a_reduction_is_compared_with_dask():
    found = result("reduce", measured(0.5, requests=1600), peak_mb=400.0)
    found.dask_mb = 160.0
    assert found.verdict == "met"
    found.peak_mb = 420.0
    assert "MB above Dask 260 > 250" in found.verdict


def test_memory_above_data_and_300_mb_is_not_met():
    fast = measured(0.5, requests=516)
    assert result("load", fast, peak_mb=350).verdict == "met"
    assert "MB of memory 360 > 355" in result("load", fast, peak_mb=360.0).verdict


def test_requests_that_came_again_after_a_planned_error_do_not_count():
    assert result("open_one", measured(0.1, requests=3, errors=1)).verdict == "met"


def test_the_median_counts():
    assert measured([9.0, 0.6, 0.5, 0.7, 0.4]).seconds == 0.6
    assert result("load", measured([9.0, 0.6, 0.5, 0.7, 0.4], requests=516)).verdict == "met"


def test_a_run_that_was_stopped_is_not_met_with_its_reason():
    stopped = measured(None, "stopped after 60 s, 7 objects asked for by then")
    assert stopped.seconds == float("inf")
    assert "stopped after 60 s" in result("load", stopped).verdict
    assert "no limit" in result("load", measured(0.5), limit=stopped).verdict


def test_another_result_is_a_failure():
    ways = {"limit": measured(), "data_helpers": measured(), "dask from_zarr": measured()}
    compare_results(ways, "limit")
    assert not any(way.problem for way in ways.values())
    ways["dask from_zarr"].runs[0].result = [[1], 3]
    compare_results(ways, "limit")
    assert "different result" in ways["dask from_zarr"].problem
    assert not ways["data_helpers"].problem and not ways["limit"].problem


def test_slow_or_heavy_imports_are_not_met():
    assert Imports(2.0, 30.0, []).verdict == "met"
    assert "51" in Imports(51.0, 30.0, []).verdict
    assert "60" in Imports(2.0, 60.0, []).verdict
    assert "dask" in Imports(2.0, 30.0, ["dask"]).verdict


def test_imports_are_measured():
    found = measure_imports(1)
    assert 0 < found.bare_ms < found.loading_ms and found.heavy == []
    assert own_import_ms("import json") == 0


# --- the report ---------------------------------------------------------------------------------


class FakeWorkers:
    """Workers that take the time they are told to."""

    def __init__(self, endpoint=None, **seconds):
        self.seconds = seconds

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        pass

    def get(self, way, one_cpu=False):
        return FakeWorker(way, self.seconds)

    fresh = get


class FakeWorker:
    def __init__(self, way, seconds):
        self.way, self.seconds = way, seconds

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        pass

    def run(self, work, settings, timeout, **options):
        if self.way == "ngff-zarr" and work == "compute":
            return Run(problem="stopped after 60 s, 7 objects asked for by then")
        seconds = self.seconds.get(work, 0.05) if self.way == "data_helpers" else 0.05
        return Run(seconds, 0.01, [[3], 4], dict(COUNTS), 150.0)


def bench(monkeypatch, *arguments, **seconds):
    monkeypatch.setattr(command, "Workers", lambda endpoint: FakeWorkers(**seconds))
    monkeypatch.setattr(command.table, "measure_imports", lambda repeats: Imports(2, 30, []))
    return command.main(list(map(str, arguments)))


def test_the_report_has_every_row_and_every_plot(monkeypatch, tmp_path, capsys):
    assert bench(monkeypatch, "--repeats", 2, "--output", tmp_path, load=0.2) == 0
    text = (tmp_path / "benchmarks.md").read_text(encoding="utf-8")
    for row in ROWS:
        assert text.count(row.title) >= 3
        if hasattr(os, "sched_setaffinity") and row.settings is None:
            assert f"{row.title}, on one CPU | {row.target}" in text
    assert "`import data_helpers` beyond its dependencies" in text
    for way in WAYS:
        assert way in text
    assert "stopped after 60 s, 7 objects asked for by then" in text
    for size in ("10,000 |", "1,051,232 |", "| 200 |"):
        assert size in text
    for name in ("planes", "chunks", "latency"):
        assert f"](images/benchmark_{name}.png)" in text
        assert (tmp_path / "images" / f"benchmark_{name}.png").stat().st_size > 5000
    assert "cores" in text and "zarr " in text and "Latency added to each request: 40 ms" in text
    said = capsys.readouterr().out
    lines = [line for line in text.splitlines() + said.splitlines() if "not met" in line]
    assert lines and all("load_binary_from_s3_with_data" in line or "> " in line for line in lines)
    assert "seconds / limit 4 > 1.40" in text and "seconds / limit 4 > 1.40" in said


def test_quick_leaves_out_slow_work_and_says_so(monkeypatch, tmp_path):
    assert bench(monkeypatch, "--quick", "--output", tmp_path) == 0
    text = (tmp_path / "benchmarks.md").read_text(encoding="utf-8")
    assert "not for quoting" in text and "not measured with `--quick`" in text
    assert "1,051,232 |" not in text


def test_the_report_can_be_a_named_file_and_says_what_was_left_out(monkeypatch, tmp_path):
    path = tmp_path / "docs" / "speed.md"
    bench(monkeypatch, "--parts", "table", "--no-peers", "--rows", "load", "--output", path)
    text = path.read_text(encoding="utf-8")
    assert "Left out: `growth`." in text and "Left out: the other packages" in text
    assert "load_binary_from_s3_with_data" in text and "open level 4" not in text


def test_bandwidth_and_errors_are_in_the_report(monkeypatch, tmp_path):
    options = ("--bandwidth-mbit", 100, "--error-rate", 0.05, "--latency-ms", 7)
    bench(monkeypatch, "--parts", "table", *options, "--output", tmp_path)
    text = (tmp_path / "benchmarks.md").read_text(encoding="utf-8")
    assert "7 ms; bandwidth: 100 Mbit/s; requests failed with 503: 5%" in text


@pytest.mark.parametrize(
    "wrong", [["--error-rate", "2"], ["--latency-ms", "-1"], ["--parts", "x"], ["--repeats", "-1"]]
)
def test_wrong_options_are_refused(wrong, capsys):
    with pytest.raises(SystemExit) as caught:
        command.main(wrong)
    assert caught.value.code == 2


@pytest.mark.timeout(300)
def test_a_small_real_run_writes_a_report(tmp_path):
    """Everything is real here: the endpoint, the processes, the targets that are met."""
    rows = ["open_all", "open_one", "plane", "segment"]
    options = ["--quick", "--repeats", "1", "--latency-ms", "20", "--output", str(tmp_path)]
    options += ["--parts", "table", "imports", "--no-peers", "--rows", *rows]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", *options],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "benchmarks.md").read_text(encoding="utf-8")
    for row in ROWS:
        assert (row.title in text) == (row.work in rows)
    assert "requests 12 ≤ 12" in text and "chunks 1 ≤ 1" in text
    assert "a different result" not in text and "painted meanwhile" not in done.stdout


def test_the_machine_is_described_without_names_or_paths():
    import platform

    about = machine.describe()
    assert {"processor", "memory", "Python", "packages", "date"} <= about.keys()
    everything = " ".join(about.values())
    assert platform.node() not in everything.split() and "/" not in everything.split(" x86")[0]


def test_a_table_survives_any_text():
    assert report.table(("a",), [["b|c\nd"]]) == "| a |\n| --- |\n| b\\|c d |"


def test_numbers_are_short():
    assert [targets.number(x) for x in (0, 12, 1.234, 516, 12345.6, float("inf"))] == [
        "0", "12", "1.23", "516", "12,346", "no end",
    ]  # fmt: skip


def test_the_plan_follows_the_options():
    plan = command.make_plan(command.parse(["--latency-ms", "5"]))
    assert plan == Plan(Settings(5.0), 5)
    assert command.make_plan(command.parse(["--quick"])).repeats == 3
