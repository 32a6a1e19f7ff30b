"""A server that misbehaves: every fault ends in the right pixels or in one clear sentence.

What must never happen is an array of zeros, or of anything else, where pixels could not be read.
"""

import pickle
import re
import shutil
import time

import dask
import numpy as np
import pytest
import zarr
from numcodecs import LZ4, GZip, Zlib, Zstd
from support import misbehaving as faults
from support.images import BLOSC, change_json, halve, noise, write_array, write_json, write_v2

from data_helpers import (
    AccessDeniedError,
    ChunkError,
    EndpointUnreachableError,
    ImageNotFoundError,
    MalformedMetadataError,
    NoLabelsError,
    OmeZarrError,
    errors,
    load_binary_from_s3_with_data,
    open_multiscale,
    request_meter,
)
from data_helpers._store import transport
from data_helpers.store import ATTEMPTS

AXES = {"version": "0.3", "axes": ["z", "y", "x"]}
PIXELS = noise(3, 40, 20)
CHUNK = "0/1/2/0"  # level 0, z 1, rows 32 to 40, columns 0 to 16
HIT = np.s_[1, 35, 5]

ADVICE = r"(Run the cell again|Check the address|Leave it out|open the address|choose_source)"


HANGING = (faults.hang, faults.hang_midway)


@pytest.fixture(autouse=True)
def short_times(monkeypatch, quick, request):
    """Time-outs of a second where the server hangs; elsewhere a busy computer has its time.

    fsspec makes a new file system for each set of them.
    """
    parameters = getattr(request.node, "callspec", None)
    hangs = parameters is not None and parameters.params.get("fault") in HANGING
    seconds = 1.0 if hangs else 10.0
    monkeypatch.setattr(transport, "READ_SECONDS", seconds)
    monkeypatch.setattr(transport, "CONNECT_SECONDS", seconds)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    return write_v2(tmp_path_factory.mktemp("written"), [PIXELS], dict(AXES))


@pytest.fixture
def image(served, written, tmp_path):
    """An image on the misbehaving server, opened before it misbehaves."""
    shutil.copytree(written, tmp_path, dirs_exist_ok=True)
    return open_multiscale(served.endpoint)


def one_sentence(error, *words):
    """Check that an error says what was asked, where, what was found, and what to try."""
    message = str(error)
    assert isinstance(error, OmeZarrError)
    assert "\n" not in message and message.endswith(".")
    assert re.search(ADVICE, message), message
    for word in words:
        assert word in message, message
    return message


RETRIED = {
    "503": (faults.status(503), "the endpoint answers 503 (Service Unavailable)"),
    "429": (faults.status(429), "the endpoint answers 429 (Too Many Requests)"),
    "500": (faults.status(500), "the endpoint answers 500"),
    "no answer": (faults.hang, "no answer in time"),
    "stops midway": (faults.hang_midway, "no answer in time"),
    "reset midway": (faults.reset_midway, "the connection was lost"),
    "closed midway": (faults.close_midway, "the connection was lost"),
    "hangs up": (faults.hang_up, "the connection was lost"),
    "cut": (faults.cut, "it is cut short"),
    "login page": (faults.portal, "not a Blosc chunk"),
    "empty": (faults.replace(b""), "0 bytes are too few"),
}
REFUSED = {
    "403": (faults.status(403), AccessDeniedError, "403 (Forbidden), which denies access"),
    "401": (
        faults.status(401),
        AccessDeniedError,
        "answers 401 (Unauthorized), which denies access",
    ),
    "400": (faults.status(400), ChunkError, "at the first attempt: the endpoint answers 400"),
    "410": (faults.status(410), ChunkError, "at the first attempt: the endpoint answers 410"),
}


@pytest.mark.parametrize(("fault", "reason"), RETRIED.values(), ids=RETRIED)
def test_a_chunk_that_fails_twice_is_read_at_the_third_attempt(fault, reason, image, served):
    served.fault(CHUNK, fault, fault)
    np.testing.assert_array_equal(image.stored[0][:], PIXELS)
    assert served.times_asked(CHUNK) == 3
    if fault not in HANGING:  # nothing else is asked twice
        assert len(served.asked) == 3 + image.stored[0].nchunks + 2


@pytest.mark.parametrize(("fault", "reason"), RETRIED.values(), ids=RETRIED)
def test_a_chunk_that_fails_for_ever(fault, reason, image, served):
    served.fault(CHUNK, fault, forever=True)
    with request_meter() as cost, pytest.raises(ChunkError) as caught:
        image.stored[0][HIT]
    one_sentence(caught.value, f"Chunk {CHUNK} of {served.endpoint}", reason)
    assert f"after {ATTEMPTS} attempts" in str(caught.value)
    assert cost.requests == ATTEMPTS == 4
    np.testing.assert_array_equal(image.stored[0][0], PIXELS[0])  # other chunks can be read


@pytest.mark.parametrize(("fault", "kind", "reason"), REFUSED.values(), ids=REFUSED)
def test_a_chunk_that_is_refused_is_asked_for_once(fault, kind, reason, image, served):
    served.fault(CHUNK, fault, forever=True)
    with pytest.raises(kind) as caught:
        image.stored[0][HIT]
    assert type(caught.value) is kind
    one_sentence(caught.value, CHUNK, served.endpoint, reason)
    assert served.times_asked(CHUNK) == 1


def test_an_answer_that_drips(image, served, monkeypatch):
    """Each byte comes in time, the whole does not: there is one deadline for all attempts."""
    monkeypatch.setattr(transport, "TOTAL_SECONDS", 0.4)

    def drip(request, content):
        request.close_connection = True
        request.send(content[:1], length=len(content))
        for byte in content[1:40]:
            time.sleep(0.05)
            request.wfile.write(bytes([byte]))

    served.fault(CHUNK, drip, forever=True)
    start = time.monotonic()
    with pytest.raises(ChunkError, match="no answer in time"):
        image.stored[0][HIT]
    assert time.monotonic() - start < 0.4 + 2
    assert served.times_asked(CHUNK) == 1


def test_something_that_is_no_http(image, served):
    served.fault(CHUNK, faults.not_http, forever=True)
    with pytest.raises(ChunkError) as caught:
        image.stored[0][HIT]
    one_sentence(caught.value, CHUNK, served.endpoint)


def test_a_chunk_that_is_not_there_is_empty(image, served, tmp_path):
    (tmp_path / CHUNK).unlink()
    expected = PIXELS.copy()
    expected[1, 32:40, :16] = 0
    np.testing.assert_array_equal(image.stored[0][:], expected)
    np.testing.assert_array_equal(image.levels[0].compute(), expected)
    assert served.times_asked(CHUNK) == 2  # once for each reading: 404 is an answer


def test_an_empty_chunk_reads_as_the_fill_value(served, tmp_path):
    write_v2(tmp_path, [PIXELS], dict(AXES), fill_value=77)
    (tmp_path / CHUNK).unlink()
    array = open_multiscale(served.endpoint).stored[0]
    assert array[HIT] == 77
    served.fault(CHUNK, faults.status(404))
    assert array[HIT] == 77


# What arrives whole and is rubbish


COMPRESSORS = {
    "blosc": BLOSC,
    "zlib": Zlib(),
    "gzip": GZip(),
    "zstd": Zstd(),
    "lz4": LZ4(),
    "none": None,
}
RUBBISH = {
    "cut": faults.cut,
    "garbage": faults.garble,
    "login page": faults.portal,
    "empty": faults.replace(b""),
}


@pytest.mark.parametrize(
    ("compressor", "rubbish"),
    # Not ("none", "garbage"): uncompressed pixels, as many as there should be, tell nothing.
    [(c, r) for c in COMPRESSORS for r in RUBBISH if (c, r) != ("none", "garbage")],
)
def test_rubbish_is_never_taken_for_pixels(compressor, rubbish, served, tmp_path):
    write_v2(tmp_path, [PIXELS], dict(AXES), compressor=COMPRESSORS[compressor])
    array = open_multiscale(served.endpoint).stored[0]
    served.fault(CHUNK, RUBBISH[rubbish], forever=True)
    with pytest.raises(ChunkError) as caught:
        array[:]
    one_sentence(caught.value, f"Chunk {CHUNK} of {served.endpoint}")


@pytest.mark.parametrize("compressor", [name for name in COMPRESSORS if name != "none"])
def test_rubbish_that_came_once_is_read_again(compressor, served, tmp_path):
    write_v2(tmp_path, [PIXELS], dict(AXES), compressor=COMPRESSORS[compressor])
    array = open_multiscale(served.endpoint).stored[0]
    served.fault(CHUNK, faults.garble)
    np.testing.assert_array_equal(array[:], PIXELS)
    assert served.times_asked(CHUNK) <= 3


@pytest.mark.parametrize(
    "selection",
    [np.s_[1], np.s_[...], np.s_[..., 5], np.s_[1, 30:], ([0, 1],), np.s_[1, :, np.arange(9)]],
    ids=["plane", "all", "column", "strip", "list", "array"],
)
def test_the_damaged_chunk_is_found_in_any_selection(selection, served, tmp_path):
    write_v2(tmp_path, [PIXELS], dict(AXES), compressor=Zstd())
    array = open_multiscale(served.endpoint).stored[0]
    served.fault(CHUNK, faults.garble, forever=True)
    with pytest.raises(ChunkError) as caught:
        array[selection]
    message = one_sentence(caught.value, f"Chunk {CHUNK} of {served.endpoint}", "cannot be decoded")
    assert "RetryingStore" not in message


def test_a_body_damaged_behind_a_good_header(image, served):
    def damage(request, content):
        return content[:16] + faults.garble(request, content[16:])

    served.fault(CHUNK, damage, forever=True)
    with pytest.raises(ChunkError) as caught:
        image.stored[0][HIT]
    one_sentence(caught.value, f"Chunk {CHUNK} of {served.endpoint}")


def test_a_chunk_of_the_wrong_size(image, served):
    """A good frame that holds fewer pixels than the metadata say."""
    served.fault(CHUNK, faults.replace(bytes(BLOSC.encode(noise(3, 3)))), forever=True)
    with pytest.raises(ChunkError) as caught:
        image.stored[0][HIT]
    one_sentence(caught.value, f"Chunk {CHUNK} of {served.endpoint}")


# Shards: OME-Zarr 0.5 may keep many chunks in one object, and reads them by range

SHARD = "0/c/0/1/0"


@pytest.fixture
def sharded(served, tmp_path):
    array = zarr.create_array(
        store=str(tmp_path / "0"),
        shape=PIXELS.shape,
        shards=(3, 32, 64),
        chunks=(1, 16, 16),
        dtype="u2",
        zarr_format=3,
        fill_value=5,
    )
    array[:] = PIXELS
    axes = [{"name": name, "type": "space"} for name in "zyx"]
    ome = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": [{"path": "0"}]}]}
    document = {"zarr_format": 3, "node_type": "group", "attributes": {"ome": ome}}
    write_json(tmp_path / "zarr.json", document)
    return open_multiscale(served.endpoint).stored[0]


@pytest.mark.parametrize("ranges", [True, False], ids=["206", "200"])
def test_shards_are_read_with_and_without_ranges(ranges, sharded, served):
    served.ranges = ranges
    np.testing.assert_array_equal(sharded[1, 16:32], PIXELS[1, 16:32])
    np.testing.assert_array_equal(sharded[:], PIXELS)


@pytest.mark.parametrize("fault", [faults.status(503), faults.reset_midway], ids=["503", "reset"])
def test_a_shard_that_fails_twice(fault, sharded, served):
    served.fault(SHARD, fault, fault)
    np.testing.assert_array_equal(sharded[1], PIXELS[1])


def test_a_shard_that_is_not_there_is_empty(sharded, served, tmp_path):
    (tmp_path / SHARD).unlink()
    expected = PIXELS.copy()
    expected[:, 32:] = 5
    np.testing.assert_array_equal(sharded[:], expected)


FAILURES = {
    "503": faults.status(503),
    "403": faults.status(403),
    "cut": faults.cut,
    "garbage": faults.garble,
    "login page": faults.portal,
    "empty": faults.replace(b""),
}


@pytest.mark.parametrize("ranges", [True, False], ids=["206", "200"])
@pytest.mark.parametrize("fault", FAILURES.values(), ids=FAILURES)
@pytest.mark.parametrize("selection", [np.s_[1, 35, 5], np.s_[:]], ids=["pixel", "all"])
def test_a_shard_that_fails_for_ever(fault, ranges, selection, sharded, served):
    served.ranges = ranges
    served.fault(SHARD, fault, forever=True)
    with pytest.raises((ChunkError, AccessDeniedError)) as caught:
        sharded[selection]
    message = one_sentence(caught.value, SHARD, served.endpoint)
    assert "RetryingStore" not in message


# On their way through Dask


def assert_shown_as_one_sentence(error, kind, *words):
    """From another process, Dask hands over a subclass whose text ends with a traceback."""
    (shown,) = error._render_traceback_()
    assert shown.startswith(f"{kind}: ")
    one_sentence(OmeZarrError(shown), *words)


def schedulers():
    return [{"scheduler": "synchronous"}, {"scheduler": "threads"}, {"scheduler": "processes"}]


@pytest.mark.parametrize("how", schedulers(), ids=lambda how: how["scheduler"])
@pytest.mark.parametrize(
    ("fault", "kind"), [(faults.status(403), AccessDeniedError), (faults.status(410), ChunkError)]
)
def test_errors_survive_dask(how, fault, kind, image, served, worker):
    if how["scheduler"] == "processes":
        how = {**how, "pool": worker}
    served.fault(CHUNK, fault, forever=True)
    with pytest.raises(kind) as caught:
        image.levels[0].sum().compute(**how)
    assert_shown_as_one_sentence(caught.value, kind.__name__, CHUNK, served.endpoint)


@pytest.mark.parametrize("how", schedulers(), ids=lambda how: how["scheduler"])
def test_rubbish_in_a_delayed_function(how, image, served, worker):
    if how["scheduler"] == "processes":
        how = {**how, "pool": worker}
    served.fault(CHUNK, faults.cut, forever=True)
    with pytest.raises(ChunkError) as caught:
        dask.compute(*(dask.delayed(image.stored[0].__getitem__)(z) for z in range(3)), **how)
    assert_shown_as_one_sentence(caught.value, "ChunkError", CHUNK, "it is cut short")


@pytest.mark.parametrize(
    "kind", [kind for kind in vars(errors).values() if isinstance(kind, type)], ids=str
)
def test_every_error_can_be_pickled(kind):
    copy = pickle.loads(pickle.dumps(kind("One sentence.")))
    assert type(copy) is kind and str(copy) == "One sentence."
    assert issubclass(kind, OmeZarrError | errors.OmeZarrWarning) and kind.__doc__


# An endpoint that answers 403 for a key that is not there


def test_403_for_missing_keys(served, tmp_path):
    write_v2(tmp_path / "a.zarr", [PIXELS], dict(AXES))
    served.missing_status = 403
    image = open_multiscale(f"{served.endpoint}/a.zarr")
    np.testing.assert_array_equal(image.stored[0][:], PIXELS)
    assert image.labels == []
    with pytest.raises(NoLabelsError):
        image.label()
    (tmp_path / "a.zarr" / CHUNK).unlink()
    for read in (lambda: image.stored[0][:], lambda: image.levels[0].compute()):
        with pytest.raises(AccessDeniedError) as caught:
            read()
        one_sentence(caught.value, CHUNK, "403")


def test_403_for_missing_keys_and_an_id(served, tmp_path):
    """Known labels are found without their list, and a missing v0.1 key leads to the v0.4 one."""
    pixels = noise(1, 2, 3, 40, 40)
    labels = noise(1, 1, 3, 40, 40, dtype="u4")
    v04 = tmp_path / "idr/zarr/v0.4/idr0062A/6001247.zarr"
    axes = [{"name": name} for name in "tczyx"]
    write_v2(v04, [pixels], {"version": "0.4", "axes": axes})
    write_array(v04 / "labels/0", labels)  # an array, and no labels/.zattrs
    served.missing_status = 403
    image = open_multiscale(6001247, source=served.endpoint)
    assert image.url.endswith("/zarr/v0.4/idr0062A/6001247.zarr")
    assert image.labels == ["0"]
    np.testing.assert_array_equal(image.label().stored[0][:], labels)
    with pytest.raises(ImageNotFoundError) as caught:
        open_multiscale(9822152, source=served.endpoint)
    assert "but it denies access" in str(caught.value)


def test_403_for_everything(served):
    served.missing_status = 403
    with pytest.raises(AccessDeniedError) as caught:
        open_multiscale(f"{served.endpoint}/a.zarr")
    one_sentence(caught.value, f"{served.endpoint}/a.zarr", "403")


def test_403_for_the_metadata_of_a_level(served, tmp_path):
    write_v2(tmp_path, halve(PIXELS, 2), dict(AXES))
    served.fault("1/.zarray", faults.status(403), forever=True)
    with pytest.raises(AccessDeniedError) as caught:
        open_multiscale(served.endpoint)
    assert "Level '1' of" in str(caught.value) and "1/.zarray" in str(caught.value)


# Metadata that fail


@pytest.mark.parametrize("key", [".zattrs", "0/.zarray"])
@pytest.mark.parametrize("fault", [faults.status(503), faults.reset_midway], ids=["503", "reset"])
def test_metadata_that_fail_twice(key, fault, served, tmp_path):
    write_v2(tmp_path, [PIXELS], dict(AXES))
    served.fault(key, fault, fault)
    assert open_multiscale(served.endpoint).stored[0].shape == PIXELS.shape
    assert served.times_asked(key) == 3


@pytest.mark.parametrize("key", [".zattrs", "0/.zarray"])
@pytest.mark.parametrize("fault", [faults.status(503), faults.hang], ids=["503", "hangs"])
def test_metadata_that_fail_for_ever(key, fault, served, tmp_path):
    write_v2(tmp_path, [PIXELS], dict(AXES))
    served.fault(key, fault, forever=True)
    with pytest.raises(EndpointUnreachableError) as caught:
        open_multiscale(served.endpoint)
    one_sentence(caught.value, f"{served.endpoint}/{key}", f"after {ATTEMPTS} attempts")
    assert 'choose_source("offline")' in str(caught.value)


@pytest.mark.parametrize("key", [".zattrs", "0/.zarray"])
@pytest.mark.parametrize("content", [faults.PORTAL, b'{"multiscales": [', b"[]", b""], ids=len)
def test_metadata_that_are_no_json(key, content, served, tmp_path):
    write_v2(tmp_path, [PIXELS], dict(AXES))
    served.fault(key, faults.replace(content), forever=True)
    with pytest.raises(MalformedMetadataError) as caught:
        open_multiscale(served.endpoint)
    message = str(caught.value)
    assert f"{served.endpoint}/{key}" in message and "\n" not in message
    assert "open the address in a browser" in message


# By id, as a learner does


def test_loading_everything_stops_at_a_bad_chunk(served, tmp_path, capsys):
    pixels = noise(1, 1, 3, 40, 40)
    folder = tmp_path / "idr/zarr/v0.1/77.zarr"
    write_v2(folder, [pixels], {"version": "0.1"}, separator=".")
    key = "idr/zarr/v0.1/77.zarr/0/0.0.1.2.2"
    served.fault(key, faults.status(503), faults.status(503))
    loaded = load_binary_from_s3_with_data(77, source=served.endpoint)
    np.testing.assert_array_equal(loaded, pixels)
    served.fault(key, faults.status(503), forever=True)
    with pytest.raises(ChunkError) as caught:
        load_binary_from_s3_with_data(77, source=served.endpoint)
    one_sentence(caught.value, "0/0.0.1.2.2", served.endpoint)


# What a person sees


NOTEBOOK = """
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
shell.run_cell("import data_helpers as d; from data_helpers import store; store.FIRST_PAUSE = 0")
shell.run_cell("image = d.open_multiscale({endpoint!r})")
shell.run_cell("image.stored[0][1]")
shell.run_cell("image.levels[0].compute()")
"""


def test_a_notebook_shows_one_sentence(image, served, run_python):
    served.fault(CHUNK, faults.status(503), forever=True)
    done = run_python(NOTEBOOK.format(endpoint=served.endpoint), HOME=str(served.folder))
    shown = [line for line in done.stdout.splitlines() if line.strip()]
    assert len(shown) == 2, done.stdout
    for line in shown:
        assert line.startswith(f"ChunkError: Chunk {CHUNK} of {served.endpoint} could not be")


def test_nothing_else_is_on_stderr_when_a_script_fails(image, served, run_python):
    script = (
        "import data_helpers as d\n"
        f"image = d.open_multiscale({served.endpoint!r})\n"
        "image.stored[0][:], image.levels[0].compute()\n"
        "raise KeyError('mine')\n"
    )
    done = run_python(script)
    first, *_, last = lines = done.stderr.splitlines()
    assert (first, last) == ("Traceback (most recent call last):", "KeyError: 'mine'")
    assert len(lines) <= 4, done.stderr  # Python 3.13 shows the line of the script, too


def test_nothing_is_left_on_stderr_after_many_errors(image, served, run_python):
    """All chunks of one reading fail together; nobody is left to fetch the others' errors."""
    served.fault("*", faults.status(403), forever=True)
    for name in (".zattrs", "0/.zarray"):
        served.fault(name, lambda request, content: content, forever=True)
    script = (
        "import data_helpers as d, gc\n"
        f"image = d.open_multiscale({served.endpoint!r})\n"
        "for read in (lambda: image.stored[0][:], lambda: image.levels[0].compute()):\n"
        "    try:\n"
        "        read()\n"
        "    except d.AccessDeniedError as error:\n"
        "        print('told')\n"
        "gc.collect()\n"
    )
    done = run_python(script)
    assert done.stdout == "told\ntold\n"
    assert done.stderr == ""


LATE = """
import asyncio, gc, sys, time
from data_helpers._interrupt import submit
from data_helpers import ChunkError

async def late(kind):
    try:
        await asyncio.sleep(30)
    except asyncio.CancelledError:
        raise kind("came too late") from None

async def dropped(kind):
    asyncio.gather(late(kind)).cancel()  # nobody reads what becomes of it
    await asyncio.sleep(0.1)

for start in (late, dropped):
    for kind in (ChunkError, ValueError):
        future = submit(start(kind))
        time.sleep(0.1)
        future.cancel()
        time.sleep(0.3)
    submit(asyncio.sleep(0)).result(5)
gc.collect()
"""


def test_an_error_of_a_request_that_was_cancelled_is_left_to_nobody(run_python):
    """Also where only the event loop still knows of it. Errors of others are told as ever."""
    done = run_python(LATE)
    assert done.returncode == 0
    assert "ChunkError" not in done.stderr
    assert done.stderr.count("ValueError: came too late") >= 1


def test_malformed_array_metadata_in_a_label(served, tmp_path):
    write_v2(tmp_path, [PIXELS], dict(AXES))
    write_json(tmp_path / "labels/.zattrs", {"labels": ["cells"]})
    write_v2(tmp_path / "labels/cells", [PIXELS], dict(AXES))
    change_json(tmp_path / "labels/cells/0/.zarray", shape=[])
    with pytest.raises(MalformedMetadataError, match="labels/cells"):
        open_multiscale(served.endpoint).stored_labels(0)


# Rubbish that comes and goes


def as_it_is(request, content):
    return content


@pytest.mark.parametrize(
    ("answers", "kind", "words"),
    [
        ([faults.garble, as_it_is, faults.garble], ChunkError, "the endpoint answers unreliably"),
        ([faults.garble, faults.status(403)], AccessDeniedError, "403 (Forbidden)"),
        ([faults.garble, faults.status(410)], ChunkError, "410"),
    ],
    ids=["again", "403", "410"],
)
def test_rubbish_that_comes_and_goes(answers, kind, words, served, tmp_path):
    write_v2(tmp_path, [PIXELS], dict(AXES), compressor=Zstd())
    array = open_multiscale(served.endpoint).stored[0]
    served.fault(CHUNK, *answers)
    with pytest.raises(kind) as caught:
        array[HIT]
    one_sentence(caught.value, served.endpoint, words)
    np.testing.assert_array_equal(array[:], PIXELS)
