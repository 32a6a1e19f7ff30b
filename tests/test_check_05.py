"""The checks of notebook 05: they measure, and say what still takes the time."""

import time

import dask
import dask.array as da
import numpy as np
import pytest
from dask import delayed
from support.checks import NOT_ANSWERED
from support.images import noise, write_v2
from test_checks import NONSENSE, assert_hint, said

from data_helpers import open_multiscale
from data_helpers.checks import check_05
from data_helpers.offline import process

TIMES = range(6, 22)
REGIONS = [np.s_[1:5, 2:6], np.s_[4:9, 7:11], np.s_[0:3, 0:3]]


def curves_of(block, regions):
    return np.array([block[:, *region].mean(axis=(1, 2)) for region in regions])


def slow_curves(stored, times, regions):
    """As in the notebook."""
    curves = np.zeros((len(regions), len(times)))
    for i, region in enumerate(regions):
        for j, t in enumerate(times):
            curves[i, j] = stored[t, 1, 3][region].mean()
    return curves


def fast_curves(stored, times, regions):
    """The solution of the notebook."""
    return curves_of(stored[times[0] : times[-1] + 1, 1, 3], regions)


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """A small movie on disk; a chunk is a plane, and every plane differs."""
    folder = tmp_path_factory.mktemp("movie")
    write_v2(folder, [noise(24, 2, 5, 12, 13)], {"version": "0.1"}, chunks=(1, 1, 1, 12, 13))
    return open_multiscale(folder).stored[0]


@pytest.fixture(scope="module")
def far():
    """The embryo, as far away as in the notebook; its planes of interest have been painted."""
    server = process.start(delay_ms=40, mb_per_s=50)
    array = open_multiscale(4007801, source=server.endpoint).stored[4]
    fast_curves(array, TIMES, REGIONS)
    yield array
    server.stop()


def hint(answer, stored, *words):
    assert_hint(said(check_05.faster, answer, slow_curves, stored, TIMES, REGIONS), *words)


# How many requests are needed


def test_needed_is_one_request_for_each_time(stored):
    for answer in (16, np.int64(16), len(TIMES)):
        line = said(check_05.needed, answer, stored, TIMES, REGIONS)
        assert line.startswith("Correct: one chunk for each of the 16 times"), line


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (48, ["48 is what the loop sends", "a plane is one chunk"]),
        (3, ["counts the regions"]),
        (1, ["each time is a chunk"]),
        (24, ["every time of the movie"]),
        (17, ["(1, 1, 1, 12, 13)", "16 times"]),
        (16.0, ["one whole number", "float"]),
        (True, ["one whole number", "bool"]),
        (range(16), ["one whole number", "range"]),
    ],
)
def test_needed_hints(stored, answer, words):
    assert_hint(said(check_05.needed, answer, stored, TIMES, REGIONS), *words)


# Which chunks

PIXELS = np.zeros((16, 16, 128, 135), np.uint16)
CELL = np.s_[:, 8, 30:40, 52:62]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((16, 1, 32, 32), ["2 chunks and 66 kB", "16 and 553 kB"]),
        ([16, 1, 48, 45], ["1 chunk and 69 kB"]),
        ((16, 2, 16, 16), ["2 chunks and 33 kB"]),
        ((np.int64(99), 1, 32, 45), ["2 chunks and 92 kB"]),
    ],
)
def test_chunks_that_suit_the_question_pass(answer, words):
    line = said(check_05.best, answer, PIXELS, CELL)
    assert line.startswith("Correct: ") and all(word in line for word in words), line


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((1, 1, 128, 135), ["spread over 16 chunks", "first number larger"]),
        ((4, 4, 32, 45), ["spread over 4 chunks"]),
        ((16, 16, 8, 9), ["147 kB are read", "16 depths share a chunk", "one depth only"]),
        ((16, 1, 4, 32), ["too small", "4.1 kB"]),
        ((16, 1, 4, 4), ["9 chunks are read", "3 × 3 pieces", "last two numbers larger"]),
        ((16, 1, 128, 135), ["553 kB", "fewer rows and columns"]),
        ((16, 1, 16, 10), ["too small", "10 kB or more"]),
        ((16, 1, 32), ["one number for each of the 4 axes"]),
        ("columns", ["one number for each of the 4 axes", "str"]),
        ((16, 1, 32.0, 32), ["whole number above zero"]),
        ((16, 0, 32, 32), ["whole number above zero"]),
    ],
)
def test_chunks_that_do_not_suit_get_their_hint(answer, words):
    assert_hint(said(check_05.best, answer, PIXELS, CELL), *words)


# Wrong numbers


def test_wrong_curves_get_their_hint(stored):
    def answer(change):
        return lambda *given: change(fast_curves(*given))

    hint(answer(np.transpose), stored, "wrong way round", "(16, 3)")
    hint(answer(np.ravel), stored, "one long row")
    hint(answer(lambda curves: curves[:2]), stored, "shape (2, 16)", "(3, 16)")
    hint(answer(lambda curves: curves[::-1]), stored, "regions come in another order")
    hint(answer(lambda curves: curves[:, ::-1]), stored, "run backwards")
    hint(answer(lambda curves: curves + 1), stored, "numbers differ")
    hint(answer(lambda curves: curves * np.nan), stored, "numbers differ")
    hint(answer(list), stored, "list of lists")
    hint(answer(da.asarray), stored, "still lazy")
    hint(answer(lambda curves: None), stored, "returns nothing")
    hint(answer(lambda curves: "bright"), stored, "NumPy array", "str")


def test_other_pixels_get_their_hint(stored):
    def whole_planes(stored, times, regions):
        means = stored[times[0] : times[-1] + 1, 1, 3].mean(axis=(1, 2))
        return np.array([means for _ in regions])

    def other_channel(stored, times, regions):
        return curves_of(stored[times[0] : times[-1] + 1, 0, 3], regions)

    hint(whole_planes, stored, "every region has the same curve", "plane[region]")

    def other_depth(stored, times, regions):
        return curves_of(stored[times[0] : times[-1] + 1, 1, 2], regions)

    hint(other_channel, stored, "the other channel, the nuclei")
    hint(other_depth, stored, "numbers differ", "channel and depth")


def test_a_function_that_fails_or_is_none_gets_a_hint(stored):
    hint(lambda *_: 1 / 0, stored, "faster stopped with ZeroDivisionError")
    hint(np.zeros((3, 16)), stored, "should be a function", "ndarray")
    hint(lambda stored: 0, stored, "faster stopped with TypeError")


# Right numbers, but too many requests


def test_numbers_from_an_earlier_run_are_noticed(stored):
    earlier = fast_curves(stored, TIMES, REGIONS)
    hint(lambda *_: earlier, stored, "nothing was read", "earlier run")


def test_chunks_fetched_twice_are_noticed(stored):
    def again_for_each_region(stored, times, regions):
        return np.concatenate([fast_curves(stored, times, [region]) for region in regions])

    hint(again_for_each_region, stored, "fetched twice", "48 requests for 16 chunks")
    hint(slow_curves, stored, "fetched twice", "48 requests for 16 chunks")


def test_too_many_chunks_are_noticed(stored):
    def all_depths(stored, times, regions):
        return curves_of(stored[times[0] : times[-1] + 1, 1][:, 3], regions)

    def one_too_many(stored, times, regions):
        return curves_of(stored[times[0] : times[-1] + 2, 1, 3][:-1], regions)

    hint(all_depths, stored, "too many chunks", "80 were fetched", "16 hold")
    hint(one_too_many, stored, "too many chunks", "17 were fetched")


def test_one_request_after_another_is_noticed(stored):
    def plane_by_plane(stored, times, regions):
        return curves_of(np.array([stored[t, 1, 3] for t in times]), regions)

    hint(plane_by_plane, stored, "one request after another", "16 round trips")


# Right numbers and requests: is it fast?


@pytest.mark.speed
def test_answers_that_are_ten_times_as_fast_pass(far):
    held_up = []

    def held_up_once(*given):
        if not held_up:
            held_up.append(time.sleep(1))
        return fast_curves(*given)

    def many_threads(stored, times, regions):
        planes = [delayed(stored.__getitem__)((t, 1, 3)) for t in times]
        return curves_of(np.array(dask.compute(planes, num_workers=16)[0]), regions)

    def lazily(stored, times, regions):
        lazy = stored.lazy()[times[0] : times[-1] + 1, 1, 3]
        return curves_of(lazy.compute(), regions)

    for answer in (fast_curves, held_up_once, many_threads, lazily):
        line = said(check_05.faster, answer, slow_curves, far, TIMES, REGIONS)
        assert line == (
            "Correct: the same curves with 16 requests instead of 48, and more than 10 times as "
            "fast."
        ), (answer, line)


@pytest.mark.speed
def test_answers_that_are_not_ten_times_as_fast_do_not_pass(far):
    def two_in_flight(stored, times, regions):
        planes = [delayed(stored.__getitem__)((t, 1, 3)) for t in times]
        return curves_of(np.array(dask.compute(planes, num_workers=2)[0]), regions)

    def always_held_up(*given):
        time.sleep(1)
        return fast_curves(*given)

    hint(two_in_flight, far, "times as fast", "up to 2 requests in flight", "10 times is wanted")
    hint(always_held_up, far, "times as fast", "up to 16 requests in flight")


# Whatever they are fed


@pytest.mark.filterwarnings("ignore:invalid value encountered in cast")
@pytest.mark.parametrize("nonsense", NONSENSE, ids=lambda value: type(value).__name__)
def test_checks_survive_nonsense_in_any_place(stored, nonsense):
    times, regions = TIMES[:2], REGIONS[:2]
    for check, arguments in (
        (check_05.needed, (2, stored, times, regions)),
        (check_05.best, ((16, 1, 32, 32), PIXELS, CELL)),
        (check_05.faster, (fast_curves, slow_curves, stored, times, regions)),
        (check_05.faster, (lambda *_: nonsense, slow_curves, stored, times, regions)),
    ):
        for place in range(len(arguments)):
            line = said(check, *arguments[:place], nonsense, *arguments[place + 1 :])
            assert line.startswith(("Not yet: ", "Correct: ")), line
            assert place > 0 or line.startswith("Not yet: "), (check.__name__, line)


def test_blanks_are_not_answered_yet(stored):
    place = (slow_curves, stored, TIMES, REGIONS)
    assert said(check_05.needed, ..., *place[1:]) == NOT_ANSWERED
    assert said(check_05.best, ..., PIXELS, CELL) == NOT_ANSWERED
    assert said(check_05.faster, ..., *place) == NOT_ANSWERED
    assert said(check_05.faster, lambda *_: ..., *place) == NOT_ANSWERED
    assert_hint(said(check_05.faster), "TypeError")


def test_an_endpoint_that_is_gone_is_a_hint():
    server = process.start()
    array = open_multiscale(4007801, source=server.endpoint).stored[4]
    server.stop()
    line = said(check_05.faster, fast_curves, slow_curves, array, TIMES, REGIONS)
    assert_hint(line, "slow_curves stopped with ChunkError")
