"""Lazy levels: slicing like NumPy, reading only the needed chunks, many of them at a time."""

import pickle
import shutil

import dask
import dask.array as da
import numpy as np
import pytest
from support.images import noise, write_v2

from data_helpers import load_binary_from_s3, open_multiscale
from data_helpers._store.transport import CONCURRENCY
from data_helpers.lazy import GROUP_BYTES, LazyLevel, ReadChunks, group_size

PIXELS = noise(3, 2, 5, 40, 50)  # chunks of 1, 1, 1, 16, 16
SELECTIONS = [
    np.s_[1, 1, 3],
    np.s_[1],
    np.s_[-1, -1, -1],
    np.s_[...],
    np.s_[:],
    np.s_[..., 17],
    np.s_[2, ..., 16:32, 49],
    np.s_[1:3, 0, ::2, 5:37:3],
    np.s_[0, 0, ::-1],
    np.s_[0, 0, 4:1:-2, 39::-7, 20:3:-1],
    np.s_[0, 0, 3:3],
    np.s_[:, 0, 9:],
    np.s_[0, None, 1, 2, :, None],
    np.s_[None],
    np.s_[[0, 2], 1, 3],
    np.s_[1, 0, [4, 0, 0]],
    np.s_[0, 0, 0, np.array([33, 2, 39])],
    np.s_[0, 0, np.array([True, False, False, True, True])],
    np.s_[0, 0, 0, -9:, np.int64(-3)],
    np.s_[0, 0, []],
]


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The image in a folder; writing it takes longer than most of the tests."""
    folder = tmp_path_factory.mktemp("written")
    return write_v2(folder, [PIXELS], {"version": "0.2"})


@pytest.fixture
def image(written, tmp_path, served):
    shutil.copytree(written, tmp_path / "image.zarr")
    return open_multiscale(f"{served.endpoint}/image.zarr")


@pytest.fixture
def lazy(image):
    return image.levels[0]


def chunks_of(asked):
    return sorted(one.url.rsplit("image.zarr/0/", 1)[1] for one in asked)


def chunks_of_numpy(selection):
    """Keys of the chunks that a selection touches, found by marking every pixel with its chunk."""
    at = np.indices(PIXELS.shape)
    chunk = at // np.array([1, 1, 1, 16, 16]).reshape(5, 1, 1, 1, 1, 1)
    touched = (
        chunk[(slice(None), *selection)] if isinstance(selection, tuple) else chunk[:, selection]
    )
    return sorted({"/".join(map(str, key)) for key in touched.reshape(5, -1).T.tolist()})


@pytest.mark.parametrize("selection", SELECTIONS, ids=str)
@pytest.mark.parametrize("how", ["directly", "calculated", "in two steps"])
def test_a_part_is_the_part_that_numpy_gives(how, selection, lazy, asked):
    expected = PIXELS[selection]
    asked.clear()
    if how == "directly":
        part = lazy[selection]
    elif how == "calculated":
        part, expected = (lazy + 1)[selection], expected + 1
    else:
        part = lazy[0:3, 0:2][selection]
    assert part.shape == expected.shape and part.dtype == expected.dtype
    np.testing.assert_array_equal(part.compute(), expected)
    if expected.size:
        assert chunks_of(asked) == chunks_of_numpy(selection)  # these, no others, each once


def test_masks_and_dask_arrays_work_as_indices(lazy):
    np.testing.assert_array_equal(lazy[lazy > 4000].compute(), PIXELS[PIXELS > 4000])
    picked = da.from_array(np.array([2, 0]), chunks=1)
    np.testing.assert_array_equal(lazy[:, 0, picked].compute(), PIXELS[:, 0, [2, 0]])


@pytest.mark.parametrize("selection", [np.s_[3], np.s_[0, 0, 0, 0, 0, 0], np.s_[0, 0, 5]], ids=str)
def test_an_index_beyond_the_end_is_an_index_error(lazy, selection):
    with pytest.raises(IndexError):
        lazy[selection]


def test_a_slice_of_a_million_chunks_makes_one_task(offline, monkeypatch):
    """Neither slicing nor computing may list the blocks of the whole level."""
    movie = load_binary_from_s3(4007801, 4)
    assert movie.npartitions == 1_051_232

    def no_list(layer):
        assert layer.count == (1, 1, 1, 1, 1), "the blocks of the whole level were listed"
        return {(layer.name, 0, 0, 0, 0, 0)}

    monkeypatch.setattr(ReadChunks, "get_output_keys", no_list)
    plane = movie[265, 1, 494]
    assert plane.npartitions == 1 and plane.shape == (128, 135)
    assert plane.compute(scheduler="sync").max() > 0
    assert (plane + 1).sum().compute(scheduler="threads") > 0


def test_chunks_of_a_slice_are_read_in_groups(lazy, image, monkeypatch):
    groups, read = [], type(image.stored[0]).read_chunks

    def noted(stored, chunks):
        groups.append(len(chunks))
        return read(stored, chunks)

    monkeypatch.setattr(type(image.stored[0]), "read_chunks", noted)
    lazy[0].sum().compute()  # 2 * 5 * 3 * 4 chunks
    assert sorted(groups) == [120 - CONCURRENCY, CONCURRENCY]


def test_groups_of_large_chunks_are_smaller(offline):
    level = load_binary_from_s3(9822152)
    assert group_size(level.stored) == GROUP_BYTES // (1024 * 1024 * 2) == 16


@pytest.mark.parametrize("part", [np.s_[:], np.s_[1:], np.s_[0, 1]], ids=str)
def test_it_goes_to_other_processes(part, lazy, worker):
    sent = pickle.loads(pickle.dumps(lazy[part]))
    assert sent.name == lazy[part].name
    np.testing.assert_array_equal(sent.compute(), PIXELS[part])
    total = lazy[part].astype(int).sum()
    assert total.compute(scheduler="processes", pool=worker) == PIXELS[part].sum()


def test_a_pickled_level_is_still_cheap_to_slice(lazy):
    sent = pickle.loads(pickle.dumps(lazy[1:]))
    assert isinstance(sent, LazyLevel) and sent[1, 1, 1].npartitions == 3 * 4
    np.testing.assert_array_equal(sent[1, 1, 1], PIXELS[2, 1, 1])


def test_names_tell_parts_apart(lazy):
    parts = [lazy, lazy[1:], lazy[:2], lazy[1], lazy[1, 0], lazy[1, 0, :, :16]]
    assert len({part.name for part in parts}) == len(parts)
    assert lazy[1:].name == lazy[1:].name


def test_what_dask_users_do_with_arrays(lazy):
    np.testing.assert_array_equal(np.asarray(lazy), PIXELS)
    np.testing.assert_array_equal(lazy.blocks[1, 0, 2, 2, 3], PIXELS[1:2, :1, 2:3, 32:, 48:])
    np.testing.assert_array_equal(da.stack([lazy[0, 0], lazy[1, 1]])[1], PIXELS[1, 1])
    np.testing.assert_array_equal(lazy.rechunk((1, 2, 5, 40, 50)).persist(), PIXELS)
    np.testing.assert_array_equal(lazy.map_blocks(np.negative)[1], np.negative(PIXELS[1]))
    np.testing.assert_array_equal(
        lazy[0, 0].to_delayed()[1, 0, 1].compute(), PIXELS[0, 0, 1:2, :16, 16:32]
    )
    overlapped = lazy[0, 0].map_overlap(lambda block: block, depth=2, boundary="reflect")
    np.testing.assert_array_equal(overlapped, PIXELS[0, 0])
    one, other = dask.compute(lazy[0].max(), lazy[1:].min())
    assert (one, other) == (PIXELS[0].max(), PIXELS[1:].min())
    np.testing.assert_array_equal(lazy[2].compute(optimize_graph=False), PIXELS[2])
    assert len(dict(lazy[2, 0, 0].dask)) == 12 + 1 + 12  # chunks, a group, the slice of each


def test_other_groups_of_one_level_have_other_keys(lazy):
    """A cluster keeps results by key: two groups that begin alike must not be taken for one."""
    layer = lazy.dask.layers[lazy.name]
    blocks = sorted(layer.get_output_keys())[:3]
    few, many = (layer.cull(set(blocks[:count]), ())[0] for count in (1, 3))
    assert set(few) & set(many) == {blocks[0]}
