"""Private images: a real S3 server that refuses whoever has no key, and headers over http.

No secret may show anywhere: not in a repr, an error, a pickle, the files of a cache or a meter.
"""

import asyncio
import os
import pickle
import traceback
from urllib.parse import quote

import numpy as np
import pytest
from support.images import axes, halve, noise, scales, write_json, write_v2
from support.misbehaving import MisbehavingServer, status
from support.s3 import rclone_server

from data_helpers import (
    AccessDeniedError,
    CredentialsError,
    EndpointUnreachableError,
    NotOmeZarrError,
    OmeZarrError,
    load_binary_from_s3,
    load_binary_from_s3_with_data,
    load_labels_from_s3,
    open_multiscale,
    request_meter,
    viewer_links,
)
from data_helpers._store import s3 as signed
from data_helpers.cache import DiskCache
from data_helpers.sources import BUCKET

KEY, SECRET, TOKEN = "AKIDPRIVATE", "vErYsEcReT/value+", "tOkEn==of==session"
LEVELS = halve(noise(1, 2, 30, 34, seed=5), 1)
LABELS = noise(1, 1, 30, 34, dtype="u4", seed=6)


def write_image(folder, levels=LEVELS):
    sizes = [(1, 1, 2**n, 2**n) for n in range(len(levels))]
    multiscale = {"version": "0.4", "axes": axes("czyx"), "datasets": scales(*sizes)}
    return write_v2(folder, levels, multiscale)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A folder of buckets."""
    root = tmp_path_factory.mktemp("private")
    for name in ("img.zarr", "a b%20c#d.zarr"):
        image = write_image(root / "lab/deep" / name)
    image = write_image(root / BUCKET / "zarr/v0.4/idr0062A/6001247.zarr")
    write_json(image / "labels/.zattrs", {"labels": ["0"]})
    write_v2(
        image / "labels/0",
        [LABELS],
        {"version": "0.4", "axes": axes("czyx"), "datasets": scales((1, 1, 1, 1))},
    )
    return root


@pytest.fixture(scope="module")
def s3(root):
    with rclone_server(root, "--auth-key", f"{KEY},{SECRET}") as address:
        yield address


@pytest.fixture(autouse=True)
def no_credentials(monkeypatch, tmp_path):
    """No credentials but those of a test; the computer's own are out of reach."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    return tmp_path


@pytest.fixture
def options(s3):
    return {"key": KEY, "secret": SECRET, "endpoint_url": s3}


def read(image):
    for stored, lazy, pixels in zip(image.stored, image.levels, LEVELS, strict=True):
        np.testing.assert_array_equal(stored[:], pixels)
        np.testing.assert_array_equal(lazy.compute(), pixels)


# What opens it


def test_the_server_refuses_whoever_has_no_key(s3):
    with pytest.raises(OmeZarrError):
        open_multiscale(f"{s3}/lab/deep/img.zarr")
    with pytest.raises(OmeZarrError):
        open_multiscale("s3://lab/deep/img.zarr", source=s3)
    with pytest.raises(CredentialsError, match=r"cannot be read without a key.* instead of anon"):
        open_multiscale(
            "s3://lab/deep/img.zarr", storage_options={"anon": True, "endpoint_url": s3}
        )


@pytest.mark.parametrize("name", ["img.zarr/", "a b%20c#d.zarr"])
def test_key_and_secret(options, name):
    read(open_multiscale(f"s3://lab/deep/{name}", storage_options=options))


@pytest.mark.parametrize(
    "spelt",
    [
        {"client_kwargs": {"endpoint_url": "S3"}, "key": KEY, "secret": SECRET, "anon": False},
        {
            "endpoint_url": "S3",
            "username": KEY,
            "password": SECRET,
            "token": TOKEN,
            "asynchronous": False,
            "config_kwargs": {"read_timeout": 9},
        },
    ],
)
def test_other_spellings(s3, spelt):
    for part in (spelt, spelt.get("client_kwargs", {})):
        if "endpoint_url" in part:
            part["endpoint_url"] = s3
    read(open_multiscale("s3://lab/deep/img.zarr", storage_options=spelt))


@pytest.mark.parametrize("more_general", ["", "http://127.0.0.1:9"])
def test_everything_from_the_environment(s3, monkeypatch, more_general):
    monkeypatch.setenv("AWS_ENDPOINT_URL", more_general or s3)
    if more_general:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", s3)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    read(open_multiscale("s3://lab/deep/img.zarr", storage_options={}))
    with pytest.raises(OmeZarrError, match=r"add storage_options=\{\}") as caught:
        open_multiscale("s3://lab/deep/img.zarr", source=s3.replace("127.0.0.1", "localhost"))
    assert KEY not in str(caught.value)


@pytest.mark.parametrize("by", ["option", "variable"])
def test_a_profile(s3, monkeypatch, no_credentials, by):
    (no_credentials / "credentials").write_text(
        f"[lab]\naws_access_key_id = {KEY}\naws_secret_access_key = {SECRET}\n"
    )
    given = {"endpoint_url": s3}
    if by == "option":
        given["profile"] = "lab"
    else:
        monkeypatch.setenv("AWS_PROFILE", "lab")
    read(open_multiscale("s3://lab/deep/img.zarr", storage_options=given))


def test_the_endpoint_may_be_that_of_a_source(s3):
    key = {"key": KEY, "secret": SECRET}
    read(open_multiscale("s3://lab/deep/img.zarr", source=s3, storage_options=key))
    key["endpoint_url"] = s3  # the options count more
    read(open_multiscale("s3://lab/deep/img.zarr", source="offline", storage_options=key))


def test_the_three_functions_by_id(s3, capsys):
    key = {"source": s3, "storage_options": {"key": KEY, "secret": SECRET}}
    np.testing.assert_array_equal(load_binary_from_s3(6001247, 0, **key).compute(), LEVELS[0])
    np.testing.assert_array_equal(load_binary_from_s3_with_data(6001247, 1, **key), LEVELS[1])
    np.testing.assert_array_equal(load_labels_from_s3(6001247, 0, **key).compute(), LABELS)
    with pytest.raises(CredentialsError, match="InvalidAccessKeyId"):
        load_binary_from_s3(6001247, source=s3, storage_options={"key": "no", "secret": SECRET})


def test_options_are_a_dict():
    with pytest.raises(OmeZarrError, match="storage_options is a str; give a dict") as caught:
        open_multiscale("s3://lab/deep/img.zarr", storage_options=f"secret={SECRET}")
    assert_hidden(caught.value)


def test_options_mean_nothing_for_a_folder(root):
    read(open_multiscale(root / "lab/deep/img.zarr", storage_options={"key": KEY}))


# What it costs


def test_each_key_is_one_request_without_a_head_before(root, no_credentials):
    with MisbehavingServer(root) as server:
        given = {"key": KEY, "secret": SECRET, "endpoint_url": server.endpoint}
        image = open_multiscale("s3://lab/deep/img.zarr", storage_options=given)
        assert len(server.asked) == 4  # .zattrs, zarr.json and two levels
        image.stored[1][:]
        assert len(server.asked) == 4 + image.stored[1].nchunks
        assert {method for method, _ in server.methods} == {"GET"}


def test_s3fs_is_imported_only_for_signed_requests(root, run_python):
    script = (
        "import sys, data_helpers\n"
        "image = data_helpers.open_multiscale(sys.argv[-1] if False else ADDRESS)\n"
        "image.stored[0][:]\n"
        "print([name for name in ('s3fs', 'botocore', 'aiobotocore') if name in sys.modules])"
    )
    done = run_python(script.replace("ADDRESS", repr(str(root / "lab/deep/img.zarr"))))
    assert done.stdout == "[]\n", done.stderr


def test_a_script_ends_in_silence(options, run_python):
    script = (
        "from data_helpers import open_multiscale\n"
        f"image = open_multiscale('s3://lab/deep/img.zarr', storage_options={options})\n"
        "print(image.stored[0][:].sum())"
    )
    done = run_python(script)
    assert done.stdout == f"{LEVELS[0].sum()}\n" and done.stderr == ""


# What goes wrong


WRONG = {
    "secret": ({"secret": "wrong"}, CredentialsError, "SignatureDoesNotMatch.*check secret"),
    "key": ({"key": "wrong"}, CredentialsError, "InvalidAccessKeyId.*check key"),
    "none": ({"key": None, "secret": None}, CredentialsError, "no credentials were found"),
    "profile": ({"profile": "no"}, CredentialsError, "profile in storage_options .* ~/.aws"),
    "option": ({"seecret": SECRET}, OmeZarrError, "check the names and values of .*seecret"),
    "endpoint": ({"endpoint_url": "host"}, OmeZarrError, "check the names and values of endpoint"),
    "config": ({"config_kwargs": {"a": SECRET}}, OmeZarrError, "check the names .* config_kwargs"),
    "login": ({"endpoint_url": f"http://me:{SECRET}@host"}, OmeZarrError, "values of endpoint_url"),
    "port": (
        {"endpoint_url": f"http://me:{quote(SECRET, safe='')}@127.0.0.1:9"},
        EndpointUnreachableError,
        "no connection at http://127.0.0.1:9 .*check endpoint_url",
    ),
}


def assert_hidden(error):
    """No secret, and no error of another library behind."""
    shown = "".join(traceback.format_exception(error)) + repr(error) + repr(error.__dict__)
    assert SECRET not in shown and quote(SECRET, safe="") not in shown
    assert SECRET not in repr(pickle.loads(pickle.dumps(error)))
    assert "botocore" not in shown and error.__cause__ is None is error.__context__


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_option_is_named_and_no_secret_is_shown(options, wrong, quick):
    change, kind, said = WRONG[wrong]
    with pytest.raises(kind, match=said) as caught:
        open_multiscale("s3://lab/deep/img.zarr", storage_options=options | change)
    assert_hidden(caught.value)


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("s3://lab/nothing.zarr", "There is no OME-Zarr image at s3://lab/nothing.zarr"),
        ("s3://nobucket/img.zarr", "no bucket 'nobucket' at http://127.0.0.1"),
        ("s3://lab", "There is no OME-Zarr image at s3://lab"),
        ("s3://a bucket/img.zarr", "'a bucket' is no name of a bucket"),
    ],
)
def test_a_wrong_address(options, address, said):
    with pytest.raises(NotOmeZarrError, match=said) as caught:
        open_multiscale(address, storage_options=options)
    assert_hidden(caught.value)


def test_an_https_address_with_a_key_is_told_how_to_be_written(s3, options):
    del options["endpoint_url"]
    said = f"key and secret in storage_options mean nothing; open s3://lab/deep/img.zarr, .*'{s3}'"
    with pytest.raises(NotOmeZarrError, match=said) as caught:
        open_multiscale(f"{s3}/lab/deep/img.zarr", storage_options=options)
    assert_hidden(caught.value)


def says(code, number):
    """Answer as S3 does when something is wrong."""
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{SECRET}</Message></Error>"

    def answer(request, content):
        request.send(body.encode(), number, Content_Type="application/xml")

    return answer


ANSWERS = {
    "expired": ("ExpiredToken", 400, CredentialsError, "token has expired: get a new one"),
    "token": ("InvalidToken", 400, CredentialsError, "check token"),
    "clock": ("RequestTimeTooSkewed", 403, CredentialsError, "clock of this computer"),
    "region": ("AuthorizationHeaderMalformed", 400, EndpointUnreachableError, "region_name"),
    "denied": ("AccessDenied", 403, AccessDeniedError, "403.*[Cc]heck .*key, secret, token or"),
    "busy": ("SlowDown", 503, EndpointUnreachableError, "after 4 attempts: .*503 .SlowDown"),
}


@pytest.mark.parametrize("answer", ANSWERS)
def test_what_the_endpoint_may_say(root, answer, quick):
    code, number, kind, said = ANSWERS[answer]
    with MisbehavingServer(root) as server:
        server.fault("*", says(code, number), forever=True)
        given = {"key": KEY, "secret": SECRET, "token": TOKEN, "endpoint_url": server.endpoint}
        with pytest.raises(kind, match=said) as caught:
            open_multiscale("s3://lab/deep/img.zarr", storage_options=given)
    assert_hidden(caught.value)


def test_a_busy_endpoint_is_asked_again_and_a_denied_chunk_is_an_error(root, quick):
    with MisbehavingServer(root) as server:
        given = {"key": KEY, "secret": SECRET, "endpoint_url": server.endpoint}
        image = open_multiscale("s3://lab/deep/img.zarr", storage_options=given)
        server.fault("lab/deep/img.zarr/0/0/0/0/0", says("SlowDown", 503), status(500))
        np.testing.assert_array_equal(image.stored[0][:], LEVELS[0])
        server.fault("lab/deep/img.zarr/0/0/1/0/0", says("AccessDenied", 403), forever=True)
        with pytest.raises(AccessDeniedError, match=r"Chunk 0/0/1/0/0 of s3://lab.* denies") as no:
            image.stored[0][:]
    assert_hidden(no.value)


# Where secrets might show


def shown_by(image):
    texts = [repr(viewer_links(image)), viewer_links(image)._repr_html_()]
    texts += [repr(image), image._repr_html_(), str(image.__dict__), image.url, image.title]
    store = image._store
    texts += [repr(store), str(store), str(store.__dict__), repr(vars(store.access))]
    texts += [repr(store.access), repr(image.stored[0]), repr(image.stored[0].zarr_array.info)]
    texts += [repr(image.levels[0]), str(dict(image.levels[0].dask)), image.levels[0]._repr_html_()]
    for level in image.stored:
        texts += [repr(pickle.dumps(level)), repr(pickle.loads(pickle.dumps(level)))]
    copied = pickle.loads(pickle.dumps(store))
    return [*texts, repr(copied), str(copied.__dict__), repr(pickle.dumps(image.levels[0]))]


def test_no_secret_is_shown(options):
    image = open_multiscale("s3://lab/deep/img.zarr", storage_options=options | {"token": TOKEN})
    for text in shown_by(image):
        assert SECRET not in text and TOKEN not in text and KEY not in text


def test_no_secret_in_the_files_of_a_cache_and_a_meter(options, tmp_path, worker, monkeypatch):
    """The second read comes from the cache; another process tells the meter through files."""
    folder = tmp_path / "kept"
    given = {"cache": str(folder), "storage_options": options | {"token": TOKEN}}
    with request_meter() as meter:
        read(open_multiscale("s3://lab/deep/img.zarr", **given))
    assert meter.requests > 10
    with request_meter() as again:
        read(open_multiscale("s3://lab/deep/img.zarr", **given))
    assert again.requests == 0
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    image = open_multiscale("s3://lab/deep/img.zarr", storage_options=given["storage_options"])
    with request_meter() as meter:
        pixels = worker.submit(image.stored[0].__getitem__, 0).result(60)
        spooled = [path.read_bytes() for path in tmp_path.rglob("request-meter*/*")]
    np.testing.assert_array_equal(pixels, LEVELS[0][0])
    assert meter.requests > 3
    files = [path for path in folder.rglob("*") if path.is_file()]
    texts = [str(path).encode() + path.read_bytes() for path in files] + spooled
    addresses = [request.address.encode() for request in meter.log]
    assert len(files) > 10 and addresses
    for text in [*texts, *addresses]:
        assert SECRET.encode() not in text and TOKEN.encode() not in text


def test_two_endpoints_are_two_images_to_a_cache(options, root, tmp_path):
    write_image(tmp_path / "lab/deep/img.zarr", [level + 1 for level in LEVELS])
    cache = DiskCache(tmp_path / "kept")
    read(open_multiscale("s3://lab/deep/img.zarr", cache=cache, storage_options=options))
    with MisbehavingServer(tmp_path) as server:
        given = options | {"endpoint_url": server.endpoint}
        other = open_multiscale("s3://lab/deep/img.zarr", cache=cache, storage_options=given)
        np.testing.assert_array_equal(other.stored[0][:], LEVELS[0] + 1)


# Other processes


def test_another_process_reads_with_the_same_key(options, worker):
    image = open_multiscale("s3://lab/deep/img.zarr", storage_options=options)
    pixels = worker.submit(image.stored[0].__getitem__, slice(None)).result(60)
    np.testing.assert_array_equal(pixels, LEVELS[0])
    np.testing.assert_array_equal(
        pickle.loads(pickle.dumps(image.levels[1])).compute(scheduler="processes"), LEVELS[1]
    )


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this computer cannot fork")
def test_a_forked_process_reads_with_connections_of_its_own(options):
    import multiprocessing

    image = open_multiscale("s3://lab/deep/img.zarr", storage_options=options)
    image.stored[0][:]
    with multiprocessing.get_context("fork").Pool(1) as pool:
        pixels = pool.apply_async(image.stored[0].__getitem__, (slice(None),)).get(60)
    np.testing.assert_array_equal(pixels, LEVELS[0])
    read(image)


def test_a_loop_of_ones_own(options):
    store = open_multiscale("s3://lab/deep/img.zarr", storage_options=options)._store

    async def read_once():
        found = await store.get(".zattrs")
        for system in signed._file_systems[asyncio.get_running_loop()].values():
            await system.s3.close()  # else aiohttp complains later
        return found.to_bytes()

    for _ in range(2):
        assert b"multiscales" in asyncio.run(read_once())


# Headers over http


class Guarded(MisbehavingServer):
    """A server that answers only those who send a password."""

    def next_fault(self, key):
        return self.guard

    @staticmethod
    def guard(request, content):
        if request.headers.get("Authorization") != f"Bearer {SECRET}":
            return request.send(b"", 401)
        return request.send(b"", 404) if content is None else content


def test_headers_for_an_https_address(root, tmp_path, quick):
    options = {"headers": {"Authorization": f"Bearer {SECRET}"}}
    with Guarded(root) as server:
        address = f"{server.endpoint}/lab/deep/img.zarr"
        with pytest.raises(OmeZarrError):
            open_multiscale(address)
        for spelt in (options, {"client_kwargs": options}):
            image = open_multiscale(address, cache=tmp_path / "kept", storage_options=spelt)
            read(image)
            assert not any(SECRET in text for text in shown_by(image))
        with pytest.raises(OmeZarrError, match=r"headers and client_kwargs.*check hedders"):
            open_multiscale(address, storage_options={"hedders": SECRET})
    files = [path for path in (tmp_path / "kept").rglob("*") if path.is_file()]
    assert files and not any(SECRET.encode() in path.read_bytes() for path in files)
