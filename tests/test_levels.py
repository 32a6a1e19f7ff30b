"""The levels of an image as a list, and numbers as people write them."""

import copy
import pickle

import numpy as np
import pytest
from support.images import write_v2

from data_helpers import open_multiscale
from data_helpers._levels import Levels
from data_helpers.errors import LevelNotFoundError
from data_helpers.meter import Cost


@pytest.fixture(params=["levels", "stored"])
def levels(request, tmp_path):
    pixels = [np.zeros((side, side), "u2") for side in (16, 8, 4)]
    write_v2(tmp_path / "cells", pixels, {"version": "0.1"})
    return getattr(open_multiscale(tmp_path / "cells"), request.param)


@pytest.mark.parametrize("wrong", [3, 12, -4])
def test_a_level_too_many_says_which_exist(levels, wrong):
    with pytest.raises(LevelNotFoundError) as caught:
        levels[wrong]
    assert str(caught.value) == (
        f"cells has no level {wrong}. It has levels 0 (the finest) to 2 (the coarsest)."
    )
    assert isinstance(caught.value, IndexError)
    assert caught.value._render_traceback_() == [f"LevelNotFoundError: {caught.value}"]


def test_otherwise_it_is_a_list(levels):
    assert isinstance(levels, list) and len(levels) == 3
    assert [level.shape for level in levels] == [(16, 16), (8, 8), (4, 4)]
    assert levels[-1].shape == (4, 4) and levels[np.int64(1)].shape == (8, 8)
    assert [level.shape for level in levels[1:9]] == [(8, 8), (4, 4)]
    assert next(reversed(levels)).shape == (4, 4)
    with pytest.raises(TypeError):
        levels["0"]


@pytest.mark.parametrize("again", [copy.copy, lambda one: pickle.loads(pickle.dumps(one))])
def test_it_can_be_copied_and_sent(again):
    levels = again(Levels([7, 8], "cells"))
    assert levels == [7, 8]
    with pytest.raises(LevelNotFoundError, match="cells has no level 2"):
        levels[2]


def test_an_image_of_one_level_says_so():
    with pytest.raises(LevelNotFoundError, match="It has only level 0"):
        Levels([7], "cells")[1]


def test_a_meter_shows_numbers_for_people():
    cost = Cost(requests=1514, bytes=7_582_950_604, most_in_flight=64, seconds=9.0)
    assert repr(cost) == "Cost(1,514 requests, 7.58 GB, up to 64 in flight, 9.00 s)"
