"""The soak: random reads under mixed faults, and every pixel compared; here for some seconds.

For minutes: ``python3 run.py python tools/soak.py --minutes 10``; see docs/reliability.md.
"""

import random
import re
import warnings

import numpy as np
import pytest

from data_helpers import ChunkError, OmeZarrWarning
from tools import faulty_server, soak


@pytest.mark.timeout(120)
def test_some_seconds_of_faults_and_no_wrong_pixel(capsys):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OmeZarrWarning)
        report = soak.soak(4, seed=1, without=["hang"])
    line = str(report)
    assert report.foreign == [] and report.wrong == report.hung == 0 and not report.failed, line
    assert report.reads > 5 and report.pixels > 10_000, line
    faults = {name: report.server.get(name, 0) for name in faulty_server.FAULTS}
    assert sum(faults.values()) > 20 and sum(count > 0 for count in faults.values()) >= 5, line
    assert report.retries > 10 and report.server["404"] > 10, line
    assert re.match(
        r"0\.\d minutes: [\d,]+ requests, .* 0 wrong pixels; .*peak memory \d+ MB", line
    )


def target(truth, read):
    return soak.Target("an image", truth, [read])


class Raising:
    def __init__(self, error):
        self.error = error

    def __getitem__(self, box):
        raise self.error


PIXELS = np.arange(1, 25).reshape(2, 3, 4)


@pytest.mark.parametrize(
    ("read", "what"),
    [
        (PIXELS, ""),
        (PIXELS + 1, "wrong"),
        (np.zeros_like(PIXELS), "wrong"),
        (PIXELS.astype("u2"), "foreign"),
        (np.concatenate([PIXELS, PIXELS])[None], "foreign"),
        (Raising(KeyError("0/.zarray")), "foreign"),
        (Raising(KeyboardInterrupt()), "foreign"),
        (Raising(ChunkError("Chunk 0.0 could not be fetched.")), "gave up"),
    ],
)
def test_it_notices_what_must_not_happen(read, what):
    report = soak.Report()
    for seed in range(5):
        soak.read_once([target(PIXELS, lambda cache: read)], ["off"], random.Random(seed), report)
    assert (report.wrong > 0) == (what == "wrong")
    assert (report.foreign != []) == (what == "foreign")
    assert (report.reads == 5) == (what in ("", "wrong"))
    report.reads += 1  # nothing was compared: that is a failure, too
    assert report.failed == (what in ("wrong", "foreign"))


def test_the_exit_status_says_whether_it_failed(monkeypatch, capsys):
    for wrong in (0, 1):
        report = soak.Report(reads=7, wrong=wrong, foreign=["x: KeyError"] * wrong)
        monkeypatch.setattr(soak, "soak", lambda *arguments, report=report: report)
        assert soak.main(["--minutes", "0.01"]) == wrong
        assert f"7 reads compared (0 million pixels), {wrong} wrong" in capsys.readouterr().out
    assert soak.Report().failed  # nothing was read


def test_a_part_of_an_object_is_answered_as_a_server_does():
    class Asked:
        def __init__(self, header):
            self.headers = {"Range": header} if header else {}

    body = bytes(range(100))
    for header, part in {"": body, "bytes=2-5": body[2:6], "bytes=90-200": body[90:]}.items():
        answer = faulty_server.answer(Asked(header), body)
        assert answer.body == part and answer.status == (206 if header else 200)
    assert faulty_server.answer(Asked("bytes=-7"), body).body == body[-7:]
    assert faulty_server.answer(Asked(""), None).status == 404
