"""Lazy levels are Dask arrays in every respect: random chains of operations, beside Dask's own.

Each chain does the same to a level and to `dask.array.from_array` of the same pixels. Its number is
the seed, so a chain that fails can be run again by itself.
"""

import copy
import pickle
import random

import dask
import dask.array as da
import numpy as np
import pytest
import zarr
from numcodecs import Blosc, Delta

from data_helpers.lazy import LazyLevel
from data_helpers.store import RetryingStore
from data_helpers.stored_array import open_array

CHAINS = 300
LZ4 = Blosc("lz4", 5, Blosc.SHUFFLE)
V2 = {"zarr_format": 2, "chunk_key_encoding": {"name": "v2", "separator": "/"}}
V3 = {"zarr_format": 3}
STORES = {
    "v2 in odd chunks": dict(V2, shape=(7, 11, 13), chunks=(3, 4, 5), compressors=LZ4),
    "v2 plane by plane": dict(V2, shape=(2, 3, 9, 10), chunks=(1, 1, 4, 10), compressors=LZ4),
    "v2 big-endian": dict(V2, shape=(5, 17), chunks=(2, 7), compressors=LZ4, dtype=">i4"),
    "v2 in Fortran order": dict(V2, shape=(6, 7, 8), chunks=(4, 3, 8), compressors=LZ4, order="F"),
    "v2 with a filter": dict(
        V2, shape=(9, 10), chunks=(4, 4), filters=[Delta("<i8")], compressors=None, dtype="<i8"
    ),
    "v3": dict(V3, shape=(7, 11, 13), chunks=(1, 6, 13), dtype="f4"),
    "v3 in shards": dict(V3, shape=(4, 9, 12), chunks=(1, 3, 4), shards=(2, 6, 8)),
}


@pytest.fixture(scope="module")
def arrays(tmp_path_factory):
    """By kind of store: the array as stored, and its pixels."""
    folder = tmp_path_factory.mktemp("arrays")
    opened = {}
    for number, (kind, options) in enumerate(STORES.items()):
        options = {"dtype": "<u2", **options}
        shape, dtype = options["shape"], np.dtype(options["dtype"])
        pixels = np.random.default_rng(number).integers(1, 4096, shape).astype(dtype)
        array = zarr.create_array(str(folder / str(number)), **options)
        array[...] = pixels
        store = RetryingStore((folder / str(number)).as_posix())
        opened[kind] = open_array(store, "", array.metadata.to_dict()), pixels
    return opened


def both(arrays, kind):
    """A level, and Dask's own array of the same pixels."""
    stored, pixels = arrays[kind]
    level = stored.lazy()
    return level, da.from_array(pixels.copy(), chunks=level.chunks)


# --- what may happen to an array: each draws its details, and returns what is to be done ----------


def some_slice(draw, size):
    start, stop = sorted(draw.choices(range(size + 1), k=2))
    step = draw.choice([1, 1, 1, 2, 3])
    kind = draw.randrange(5)
    if kind == 0:
        return slice(None)
    if kind == 1:
        return slice(stop - 1 if stop else None, None, -step)
    if kind == 2:
        return slice(-draw.randint(1, size), None, step)
    return slice(start, max(stop, start + 1), step)


def some_selection(draw, shape):
    """Integers, slices, new axes, an ellipsis; one list or mask at most."""
    parts, fancy = [], draw.random() < 0.4
    for size in shape:
        kind = draw.random()
        if fancy and kind < 0.3:
            fancy = False
            picked = [draw.randrange(-size, size) for _ in range(draw.randint(1, 4))]
            parts.append(draw.choice([picked, np.array(picked), some_mask(draw, size)]))
        elif kind < 0.2 and len(shape) > 1:
            parts.append(draw.choice([int, np.int64])(draw.randrange(-size, size)))
        else:
            parts.append(some_slice(draw, size))
    if draw.random() < 0.2:
        parts.insert(draw.randrange(len(parts) + 1), None)
    if draw.random() < 0.2:
        parts = [*parts[: draw.randrange(len(parts))], ...]
    return tuple(parts)


def some_mask(draw, size):
    mask = np.array([draw.random() < 0.5 for _ in range(size)])
    mask[draw.randrange(size)] = True
    return mask


def take(draw, shape):
    selection = some_selection(draw, shape)
    return lambda array: array[selection]


def assign(draw, shape):
    selection = tuple(some_slice(draw, size) for size in shape)[: draw.randint(1, len(shape))]
    value = draw.randrange(100)

    def change(array):
        array[selection] = value
        return array

    return change


def assign_to_list(draw, shape):
    picked = sorted({draw.randrange(shape[0]) for _ in range(3)})
    key = draw.choice([picked, some_mask(draw, shape[0])])

    def change(array):
        array[key] = 7
        return array

    return change


def assign_where(draw, shape):
    bound = draw.randrange(4096)

    def change(array):
        array[array < bound] = bound // 2
        return array

    return change


def assign_lazily(draw, shape):
    def change(array):
        array[...] = array[::-1]
        return array

    return change


def into_itself(draw, shape):
    number = draw.randint(1, 9)
    work = draw.choice([np.add, np.maximum, np.multiply])

    def change(array):
        work(array, array.dtype.type(number), out=array)
        return array

    return change


def augmented(draw, shape):
    number = draw.randint(1, 9)

    def change(array):
        array += array.dtype.type(number)
        return array

    return change


def reduce_axis(draw, shape):
    axis = draw.randrange(len(shape))
    name = draw.choice(["max", "min", "sum", "any"])
    return lambda array: getattr(array, name)(axis=axis, keepdims=len(shape) == 1)


def calculate(draw, shape):
    number = draw.randint(1, 9)
    return draw.choice(
        [lambda a: a * 2, lambda a: -a + number, lambda a: da.where(a > 99, a, number), np.sqrt]
    )


def rechunk(draw, shape):
    chunks = tuple(draw.randint(1, size) for size in shape)
    return lambda array: array.rechunk(chunks)


def map_blocks(draw, shape):
    def spoil(block):  # may be done to a block of one's own
        block = np.array(block)
        block += 1
        return block.view(block.dtype)

    return lambda array: array.map_blocks(spoil, dtype=array.dtype)


def map_overlap(draw, shape):
    return lambda array: array.map_overlap(
        lambda block: block * 2, depth=1, boundary="reflect", dtype=array.dtype
    )


def stack(draw, shape):
    at = draw.randrange(shape[0])
    return lambda array: da.stack([array[at], array[0], array[-1]])


def concatenate(draw, shape):
    axis = draw.randrange(len(shape))
    return lambda array: da.concatenate([array, array], axis=axis)[tuple(map(slice, shape))]


def reshape(draw, shape):
    return draw.choice([lambda a: a.reshape(-1), lambda a: a.T, lambda a: a.ravel()[::-1]])


def keep(draw, shape):
    """What must not change an array."""
    return draw.choice(
        [
            lambda array: pickle.loads(pickle.dumps(array)),
            lambda array: array.copy(),
            copy.copy,
            copy.deepcopy,
            lambda array: array.persist(scheduler="sync"),
            lambda array: dask.optimize(array)[0],
            lambda array: array[...],
            lambda array: da.from_delayed(
                dask.delayed(array), array.shape, array.dtype, meta=array._meta
            ),
        ]
    )


CHANGES = (assign, assign_to_list, assign_where, assign_lazily, into_itself, augmented)
STEPS = (
    *CHANGES, take, take, take, reduce_axis, calculate, rechunk, map_blocks, map_overlap, stack,
    concatenate, reshape, keep, keep,
)  # fmt: skip


def chain(seed, level, plain):
    """Do up to five things to both; whatever Dask refuses, a level must refuse alike."""
    draw, done = random.Random(seed), []
    for _ in range(draw.randint(2, 5)):
        if not plain.ndim or 0 in plain.shape:
            break
        step = draw.choice(STEPS if done else CHANGES * 3 + STEPS)
        change = step(draw, plain.shape)
        done.append(step.__name__)
        try:
            expected = change(plain)
        except Exception as refused:
            with pytest.raises(type(refused)):
                change(level)
            break
        level, plain = change(level), expected
        assert (level.shape, level.dtype) == (plain.shape, plain.dtype), done
    return level, plain, done


def same(found, expected, done):
    np.testing.assert_array_equal(found, expected, err_msg=" → ".join(done))
    assert found.dtype == expected.dtype, done


@pytest.mark.parametrize("seed", range(CHAINS))
def test_a_chain_of_operations_gives_what_dask_gives(seed, arrays):
    kind = list(STORES)[seed % len(STORES)]
    level, plain, done = chain(seed, *both(arrays, kind))
    try:
        expected = plain.compute(scheduler="sync")
    except Exception as refused:  # Dask stumbles over a few chains itself
        with pytest.raises(type(refused)):
            level.compute(scheduler="sync")
        return
    same(level.compute(scheduler="sync"), expected, [kind, *done])


def test_chains_give_the_same_on_a_cluster(arrays, client):
    chains = [chain(1000 + n, *both(arrays, kind)) for n, kind in enumerate(list(STORES) * 3)]
    found = dask.compute([level for level, *_ in chains])[0]
    expected = [plain.compute(scheduler="sync") for _, plain, _ in chains]
    for one, other, (*_, done) in zip(found, expected, chains, strict=True):
        same(one, other, done)


# --- changes in place, one by one -------------------------------------------------------------


@pytest.mark.parametrize("step", CHANGES)
@pytest.mark.parametrize(
    "then",
    [
        lambda array: array[1],
        lambda array: array[..., ::-2],
        lambda array: pickle.loads(pickle.dumps(array))[1:],
        lambda array: array.persist(scheduler="sync")[-1],
        lambda array: dask.optimize(array)[0][0],
        lambda array: copy.copy(array)[0],
        lambda array: array.copy()[2],
        lambda array: array[:, 1][1:] + 1,
    ],
    ids=["slice", "step", "pickle", "persist", "optimize", "copy.copy", "copy", "slices"],
)
def test_a_change_in_place_holds(step, then, arrays):
    level, plain = both(arrays, "v2 in odd chunks")
    change = step(random.Random(1), plain.shape)
    level, plain = then(change(level)), then(change(plain))
    same(level.compute(scheduler="sync"), plain.compute(scheduler="sync"), [step.__name__])


def test_a_change_in_place_touches_no_other_level(arrays):
    stored, pixels = arrays["v2 in odd chunks"]
    level, other = stored.lazy(), stored.lazy()
    part = level[2:5]
    level[...] = 0
    assert isinstance(other[0], da.Array) and not level.any().compute()
    same(other.compute(), pixels, [])
    same(part.compute(), pixels[2:5], [])


def test_blocks_are_arrays_of_their_own(arrays):
    """A function that changes its block, or views it as bytes, works as on Dask's own blocks."""
    stored, pixels = arrays["v2 in odd chunks"]

    def bytes_of(block):
        assert block.flags.c_contiguous
        block += 1
        return block.view("u1")

    found = stored.lazy().map_blocks(
        bytes_of, dtype="u1", chunks=((3, 3, 1), (4, 4, 3), (10, 10, 6))
    )
    same(found.compute(scheduler="sync"), (pixels + 1).view("u1"), [])


def test_levels_that_differ_in_chunks_or_dtype_have_other_names(tmp_path):
    """Such as one that was written anew: a cluster must not take its pixels for the old ones."""
    names = set()
    for number, (chunks, dtype) in enumerate([((4, 4), "u2"), ((2, 4), "u2"), ((4, 4), "i2")]):
        array = zarr.create_array(
            str(tmp_path / "image"), shape=(8, 8), chunks=chunks, dtype=dtype, overwrite=True
        )
        store = RetryingStore((tmp_path / "image").as_posix())
        level = open_array(store, "", array.metadata.to_dict()).lazy()
        assert isinstance(level, LazyLevel)
        names.add(level.name)
        assert len(names) == number + 1
