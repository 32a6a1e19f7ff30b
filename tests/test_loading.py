"""The three functions that load an image by its id, against the offline stand-in."""

import re

import dask.array as da
import numpy as np
import pytest
from support.images import noise, write_json, write_v2

from data_helpers import (
    ImageNotFoundError,
    LevelNotFoundError,
    TooLargeError,
    choose_source,
    load_binary_from_s3,
    load_binary_from_s3_with_data,
    load_labels_from_s3,
    loading,
    request_meter,
)
from data_helpers.sources import find_source


@pytest.mark.parametrize("image_id", [6001247, "6001247"])
@pytest.mark.parametrize("resolution", ["2", 2])
def test_a_lazy_level(image_id, resolution, offline, asked):
    with request_meter() as cost:
        lazy = load_binary_from_s3(image_id, resolution)
    assert cost.requests == 2  # what the image holds, and this one level
    assert [one.url.rsplit(".zarr/", 1)[1] for one in asked] == [".zattrs", "2/.zarray"]
    assert isinstance(lazy, da.Array)
    assert lazy.shape == (1, 2, 257, 52, 63) and lazy.dtype == np.dtype("<u2")
    assert lazy.chunksize == (1, 1, 1, 52, 63) and lazy.npartitions == 514
    with request_meter() as cost:
        plane = lazy[0, 1, 128].compute()
    assert cost.requests == 1
    assert plane.shape == (52, 63) and plane.min() < plane.max()


def test_the_finest_level_is_the_default(offline):
    assert load_binary_from_s3(9822152).shape == (1, 1, 1, 93184, 144384)
    assert load_labels_from_s3(6001247).shape == (1, 1, 257, 210, 253)
    assert load_binary_from_s3(4007801, 4).shape == (532, 2, 988, 128, 135)


def test_lazy_arrays_combine(offline):
    """Levels of different images and sources never share a name in one graph."""
    one, other = load_binary_from_s3(6001247, 2), load_binary_from_s3(6001247, 1)
    assert one.name != other.name != load_binary_from_s3(9822152, 10).name
    same = load_binary_from_s3(6001247, 2)
    assert same.name == one.name
    total = (one[0, 1, 100] + one[0, 1, 101]).mean() - one[0, 1, 100:102].sum(axis=0).mean()
    assert total.compute() == pytest.approx(0)


def test_all_pixels(offline, capsys):
    choose_source("offline")
    capsys.readouterr()
    with request_meter() as cost:
        pixels = load_binary_from_s3_with_data(6001247, 2)
    said = capsys.readouterr()
    assert isinstance(pixels, np.ndarray) and pixels.shape == (1, 2, 257, 52, 63)
    assert cost.requests == 2 + 514
    np.testing.assert_array_equal(pixels[0, 1, 128], load_binary_from_s3(6001247, 2)[0, 1, 128])
    first, _, bar = said.out.partition("\n")
    assert first == "Loading 514 chunks, 3.37 MB uncompressed."
    steps = [int(n) for n in re.findall(r"(\d+) of 514", bar)]
    assert steps[0] == 0 and steps[-1] == 514 and steps == sorted(steps) and len(steps) > 3
    assert said.err == ""
    assert "it/s" not in bar and "?" not in bar  # no rates, so that every run looks the same


def test_the_chunks_are_told_before_the_first_is_asked_for(served, tmp_path, capsys):
    folder = tmp_path / "idr/zarr/v0.1/5.zarr"
    write_v2(folder, [noise(1, 1, 2, 20, 20)], {"version": "0.1"}, separator=".")
    said = []

    def listen(request, content):
        said.append(capsys.readouterr().out)
        return content

    served.fault("idr/zarr/v0.1/5.zarr/0/0.0.0.0.0", listen)
    load_binary_from_s3_with_data(5, source=served.endpoint)
    assert said[0].startswith("Loading 8 chunks, 1.6 kB uncompressed.\n")


def test_a_level_that_is_too_large_for_memory(offline, capsys):
    choose_source("offline")
    capsys.readouterr()
    with request_meter(show=False) as cost, pytest.raises(TooLargeError) as caught:
        load_binary_from_s3_with_data(9822152)
    message = str(caught.value)
    assert "Level '0' of IDR 9822152 (synthetic stand-in) is 26.9 GB" in message
    assert "limit of 2.15 GB" in message and "level '2' (1.68 GB) fits" in message
    assert "\n" not in message
    assert cost.requests <= 13 and capsys.readouterr().out == ""


def test_no_level_fits(offline):
    with pytest.raises(TooLargeError, match="no level of it fits, so open it lazily"):
        load_binary_from_s3_with_data(4007801, 4)


def test_the_limit_is_the_last_size_that_is_loaded(offline, monkeypatch, capsys):
    assert loading.MAX_BYTES == 2 * 1024**3
    size = 91 * 141 * 2
    monkeypatch.setattr(loading, "MAX_BYTES", size)
    assert load_binary_from_s3_with_data(9822152, 10).nbytes == size
    monkeypatch.setattr(loading, "MAX_BYTES", size - 1)
    with pytest.raises(TooLargeError, match="no level of it fits"):
        load_binary_from_s3_with_data(9822152, "10")


FUNCTIONS = [load_binary_from_s3, load_binary_from_s3_with_data, load_labels_from_s3]


@pytest.mark.parametrize("load", FUNCTIONS, ids=lambda load: load.__name__)
def test_what_is_not_there(load, offline):
    with pytest.raises(ImageNotFoundError, match="it knows only these three"):
        load(123)
    with pytest.raises(
        LevelNotFoundError, match=r"no level '9'; its levels, finest first, are '0'"
    ):
        load(6001247, "9")
    with pytest.raises(LevelNotFoundError, match="no level 3"):
        load(6001247, 3)


@pytest.mark.parametrize("load", FUNCTIONS, ids=lambda load: load.__name__)
def test_the_source_can_be_given(load, served, tmp_path, capsys):
    folder = tmp_path / "idr/zarr/v0.4/idr0062A/6001247.zarr"
    pixels = noise(1, 2, 2, 20, 20)
    write_v2(folder, [pixels], {"version": "0.4", "axes": [{"name": n} for n in "tczyx"]})
    write_json(folder / "labels/.zattrs", {"labels": ["0"]})
    labelled = {"version": "0.4", "axes": [{"name": n, "units": "cm"} for n in "tczyx"]}
    write_v2(folder / "labels/0", [pixels], labelled)
    for source in (served.endpoint, served.endpoint + "/", find_source(served.endpoint)):
        np.testing.assert_array_equal(np.asarray(load(6001247, source=source)), pixels)
    assert "Source:" not in capsys.readouterr().out  # the source in use stays as it is
    choose_source(served.endpoint)
    np.testing.assert_array_equal(np.asarray(load("6001247", "0")), pixels)


def test_it_works_from_the_folder_of_the_notebooks(run_python):
    from conftest import ROOT

    script = (
        "import data_helpers as d\n"
        "pixels = d.load_binary_from_s3_with_data(9822152, '10')\n"
        "print(pixels.shape)\n"
    )
    done = run_python(script, cwd=ROOT / "notebooks", OME_ZARR_SOURCE="offline")
    assert done.stdout.startswith("Source: offline stand-in, synthetic images")
    assert done.stdout.rstrip().endswith("(1, 1, 1, 91, 141)")
    assert done.stderr == ""
