"""Publishing an image: the code of docs/publishing.md, on a real S3 server."""

import asyncio
import json
import os
import re
import shutil
import socket
import urllib.error
import urllib.request

import numpy as np
import pytest
import s3fs
from support.images import noise, write_with_ngff_zarr
from support.publishing import PAGE, STEPS, run

from data_helpers import NotOmeZarrError, open_multiscale
from data_helpers.practice import practice_server, seaweedfs, server

pytestmark = [
    pytest.mark.skipif(
        not seaweedfs.find_program(), reason="NOT CHECKED: no SeaweedFS for this computer"
    ),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]
TABLE = PAGE[PAGE.index("## When it goes wrong") : PAGE.index("## At a real provider")]
SAID = re.findall(r"^\| `([^`]+)`", TABLE, re.MULTILINE)
PIXELS = noise(2, 4, 64, 64)


def said(error):
    """Which row of the page's table tells what to do about an error."""
    text = f"{type(error).__name__}: {error}"
    return [row for row in SAID if row in text]


@pytest.fixture(scope="module")
def endpoint():
    with practice_server() as running:
        yield running.endpoint


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The same pixels as many objects and as few."""
    folder = tmp_path_factory.mktemp("images")
    write_with_ngff_zarr(folder / "many.zarr", PIXELS, "0.4")
    write_with_ngff_zarr(folder / "few.zarr", PIXELS, "0.5", chunks_per_shard=4)
    return folder


@pytest.fixture(scope="module")
def public(endpoint):
    """A bucket that anybody may read; bad days need no new one."""
    variables = {"bucket": "public"}
    for step in ("bucket", "policy", "cors"):
        run(step, variables)
    return variables


def begin(public, folder, name, copy):
    """What the recipe knows once it has looked at an image; each test sends a copy of its own."""
    image = folder / copy
    if not image.exists():
        shutil.copytree(folder / name, image)
    variables = public | {"folder": folder, "image": image}
    run("parts", variables)
    return variables


def ask(address, method="GET", **headers):
    """Status, headers and body of an answer, whatever it is."""
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    body = b"x" if method == "PUT" else None
    question = urllib.request.Request(address, body, names, method=method)
    try:
        with urllib.request.urlopen(question, timeout=20) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read()


# --- a good day -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["many.zarr", "few.zarr"])
def test_what_was_published_is_read_by_anybody_and_written_by_nobody(
    endpoint, public, folder, name, monkeypatch
):
    sent = begin(public, folder, name, f"good-{name}")
    for step in ("pixels", "documents", "arrived"):
        run(step, sent)
    assert sent["wrong"] == [] and len(sent["there"]) == len(sent["files"])
    for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(variable)
    address = f"{endpoint}/public/good-{name}"
    image = open_multiscale(address)
    np.testing.assert_array_equal(image.stored[0][:], PIXELS)
    np.testing.assert_array_equal(image.levels[0][1, 2].compute(), PIXELS[1, 2])
    assert ask(f"{address}/zarr.json", "PUT")[0] == 403
    assert ask(f"{address}/new", "PUT")[0] == 403
    assert ask(f"{address}/zarr.json", "DELETE")[0] == 403
    with pytest.raises(PermissionError) as caught:
        s3fs.S3FileSystem(anon=True).pipe("public/scribble.txt", b"I was here")
    assert said(caught.value) == ["Access Denied."]


def test_objects_have_their_types_and_a_browser_knows_how_long_to_keep_them(
    endpoint, public, folder
):
    sent = begin(public, folder, "few.zarr", "typed.zarr")
    run("pixels", sent)
    run("documents", sent)
    kinds = {"documents": ("application/json", "no-cache")}
    kinds["pixels"] = ("application/octet-stream", "max-age=86400")
    for which, kind in kinds.items():
        for file in sent[which]:
            _, headers, _ = ask(f"{endpoint}/{urllib.request.quote(sent['key'](file))}")
            assert (headers["Content-Type"], headers["Cache-Control"]) == kind
            assert headers["Content-Encoding"] is None


def test_a_page_of_another_origin_may_read_and_not_write(endpoint, public):
    s3fs.S3FileSystem().pipe("public/cors.bin", bytes(range(100)))
    address, origin = f"{endpoint}/public/cors.bin", "https://example.org"
    for wanted, answered in ((None, bytes(range(100))), ("bytes=-10", bytes(range(90, 100)))):
        more = {"Range": wanted} if wanted else {}
        status, headers, body = ask(address, Origin=origin, **more)
        assert (status, body) == (206 if wanted else 200, answered)
        assert headers["Access-Control-Allow-Origin"] in ("*", origin)
        assert "content-range" in headers["Access-Control-Expose-Headers"].lower()
    _, headers, _ = ask(f"{endpoint}/public/no-such-chunk", Origin=origin)
    assert headers["Access-Control-Allow-Origin"] in ("*", origin)  # or it looks like no network
    plan = {"Origin": origin, "Access_Control_Request_Headers": "range"}
    status, headers, _ = ask(address, "OPTIONS", Access_Control_Request_Method="GET", **plan)
    assert status in (200, 204) and "GET" in headers["Access-Control-Allow-Methods"]
    _, headers, _ = ask(address, "OPTIONS", Access_Control_Request_Method="PUT", **plan)
    assert "PUT" not in (headers["Access-Control-Allow-Methods"] or "")


def test_before_the_policy_and_the_rules_a_bucket_is_closed(endpoint):
    files = s3fs.S3FileSystem()
    files.mkdir("closed")
    files.pipe("closed/a", b"pixels")
    status, headers, _ = ask(f"{endpoint}/closed/a", Origin="https://example.org")
    assert status == 403 and headers["Access-Control-Allow-Origin"] is None
    preflight = {"Origin": "https://example.org", "Access_Control_Request_Method": "GET"}
    assert ask(f"{endpoint}/closed/a", "OPTIONS", **preflight)[0] == 403


def test_shards_are_fewer_objects_with_the_same_pixels(public, folder):
    many = begin(public, folder, "many.zarr", "many.zarr")
    few = begin(public, folder, "few.zarr", "few.zarr")
    assert len(many["pixels"]) > 8 * len(few["pixels"])


# --- bad days -------------------------------------------------------------------------------------


def test_an_interrupted_upload_is_continued_and_never_taken_for_whole(
    endpoint, public, folder, monkeypatch
):
    sent = begin(public, folder, "many.zarr", "interrupted.zarr")
    address = f"{endpoint}/public/interrupted.zarr"
    true, arrived = s3fs.S3FileSystem._put_file, []

    async def break_off(self, path, *arguments, **options):
        if path in map(str, sent["pixels"][::2]):  # these were under way when the cable came out
            while len(arrived) < 10:
                await asyncio.sleep(0.01)
            raise ConnectionResetError("the cable is out")
        await true(self, path, *arguments, **options)
        arrived.append(path)

    with monkeypatch.context() as patch:
        patch.setattr(s3fs.S3FileSystem, "_put_file", break_off)
        with pytest.raises(ConnectionResetError):
            run("pixels", sent)
    with pytest.raises(NotOmeZarrError, match="holds neither"):
        open_multiscale(address)
    run("pixels", sent)
    assert 0 < len(sent["missing"]) < len(sent["pixels"])
    with pytest.raises(NotOmeZarrError, match="holds neither"):
        open_multiscale(address)  # all pixels are there, and still no document
    run("documents", sent)
    run("arrived", sent)
    assert sent["wrong"] == []
    np.testing.assert_array_equal(open_multiscale(address).stored[0][:], PIXELS)


def test_the_outermost_document_is_the_last(public, folder):
    for name in ("many.zarr", "few.zarr"):
        sent = begin(public, folder, name, name)
        assert sent["documents"][-1].parent == sent["image"]
        depths = [len(note.parts) for note in sent["documents"]]
        assert depths == sorted(depths, reverse=True)


def test_a_changed_object_is_noticed(public, folder):
    sent = begin(public, folder, "few.zarr", "changed.zarr")
    run("pixels", sent)
    run("documents", sent)
    s3fs.S3FileSystem().pipe(sent["key"](sent["pixels"][0]), b"something else")
    run("arrived", sent)
    assert sent["wrong"] == [sent["key"](sent["pixels"][0])]


def test_an_image_that_is_there_is_not_written_over(endpoint, public, folder):
    sent = begin(public, folder, "few.zarr", "precious.zarr")
    run("pixels", sent)
    run("documents", sent)
    other = begin(public, folder, "few.zarr", "precious.zarr")
    note = other["documents"][-1]
    document = json.loads(note.read_text())
    document["attributes"]["ome"]["multiscales"][0]["name"] = "somebody else's"
    note.write_text(json.dumps(document))
    with pytest.raises(OSError) as caught:
        run("documents", other)
    row = "At least one of the pre-conditions you specified did not hold"
    assert said(caught.value) == [row]
    assert open_multiscale(f"{endpoint}/public/precious.zarr").name == "written by ngff-zarr"


@pytest.mark.parametrize(
    ("key", "secret", "row"),
    [
        (None, "mistyped", "The request signature we calculated does not match the signature you "),
        ("OTHERS", "mistyped", "The access key ID you provided does not exist in our records."),
    ],
    ids=["wrong secret", "wrong key"],
)
def test_a_wrong_key_or_secret_is_one_sentence(public, key, secret, row):
    files = s3fs.S3FileSystem(key=key or os.environ["AWS_ACCESS_KEY_ID"], secret=secret)
    for attempt in (lambda: files.ls("public"), lambda: files.pipe("public/a", b"")):
        with pytest.raises(PermissionError) as caught:
            attempt()
        found = said(caught.value)
        assert len(found) == 1 and found[0].startswith(row) and secret not in str(caught.value)


def test_without_a_key_it_says_so(endpoint, monkeypatch, tmp_path):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    with pytest.raises(Exception, match="locate credentials") as caught:
        s3fs.S3FileSystem(skip_instance_cache=True).pipe("public/a", b"")
    assert said(caught.value) == ["Unable to locate credentials"]


@pytest.mark.parametrize(
    ("bucket", "row"),
    [
        ("public", "FileExistsError"),
        ("My_Images", "The specified bucket is not valid."),
        ("ab", "The specified bucket is not valid."),
    ],
    ids=["taken", "capitals", "short"],
)
def test_a_bucket_name_that_is_taken_or_not_allowed(public, bucket, row):
    with pytest.raises(OSError) as caught:
        run("bucket", {"bucket": bucket})
    assert said(caught.value) == [row]


def test_a_bucket_that_nobody_made(endpoint, folder):
    sent = begin(
        {"bucket": "nobody-made-it", "s3": s3fs.S3FileSystem()}, folder, "few.zarr", "x.zarr"
    )
    with pytest.raises(FileNotFoundError) as caught:
        run("documents", sent)
    assert said(caught.value) == ["The specified bucket does not exist"]


def test_a_full_store_in_mid_write_leaves_nothing_that_looks_whole(
    folder, tmp_path, monkeypatch, public
):
    image = tmp_path / "large.zarr"
    write_with_ngff_zarr(image, PIXELS, "0.5")
    for number in range(12):  # as large objects would: ten of these fit
        (image / f"scale0/c{number}").write_bytes(os.urandom(8_000_000))
    monkeypatch.setattr(server, "_running", {})
    with practice_server(megabytes=64) as small:
        variables = {"bucket": "full"}
        for step in ("bucket", "policy"):
            run(step, variables)
        variables |= {"folder": tmp_path, "image": image}
        run("parts", variables)
        once = {"retries": {"max_attempts": 0}}  # it would try for ten seconds
        variables["s3"] = s3fs.S3FileSystem(config_kwargs=once)
        with pytest.raises(OSError) as caught:
            run("pixels", variables)
        assert said(caught.value) == ["We encountered an internal error, please try again."]
        with pytest.raises(NotOmeZarrError, match="holds neither"):
            open_multiscale(f"{small.endpoint}/full/large.zarr")


def test_a_server_that_takes_the_connection_and_says_nothing(folder, monkeypatch):
    silent = socket.create_server(("127.0.0.1", 0))
    address = f"http://127.0.0.1:{silent.getsockname()[1]}"
    files = s3fs.S3FileSystem(endpoint_url=address, key="key", secret="secret")
    sent = begin({"bucket": "public", "s3": files}, folder, "few.zarr", "silent.zarr")
    assert "timeout=60" in STEPS["documents"] and "timeout=600" in STEPS["pixels"]
    monkeypatch.setitem(STEPS, "documents", STEPS["documents"].replace("timeout=60", "timeout=1"))
    with pytest.raises(TimeoutError) as caught:
        run("documents", sent)
    assert said(caught.value) == ["FSTimeoutError"]
    silent.close()


def test_nobody_listens():
    files = s3fs.S3FileSystem(
        endpoint_url=f"http://127.0.0.1:{seaweedfs.free_ports(1)[0]}",
        key="key",
        secret="secret",
        config_kwargs={"retries": {"max_attempts": 0}},
    )
    files.retries = 1
    with pytest.raises(Exception, match="Could not connect") as caught:
        files.pipe("public/a", b"")
    assert said(caught.value) == ["Could not connect to the endpoint URL"]


def test_each_row_of_the_page_is_tried_here():
    assert len(SAID) == 11 and len(set(SAID)) == len(SAID)
