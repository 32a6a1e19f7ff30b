"""No password, signature or key is shown, whatever is printed, raised, kept or linked to."""

import traceback
import warnings

import pytest
from support.images import axes, noise, scales, write_v2

import data_helpers as dh
from data_helpers import OmeZarrError, OmeZarrWarning
from data_helpers._warning import warn
from data_helpers.addresses import shareable
from data_helpers.sources import find_source

PASSWORD, SIGNATURE, KEY = "hunter2pw", "abc0SIGNATURE", "s3cretKEY"
DEAD = "127.0.0.1:9"  # nobody listens there

ADDRESSES = [
    f"https://user:{PASSWORD}@{DEAD}/b/i.zarr?X-Amz-Signature={SIGNATURE}",
    f"https://user:{PASSWORD}@{DEAD}/a.zip?token={SIGNATURE}",
    f"https://user:{PASSWORD}@{DEAD}?token={SIGNATURE}",
    f"https:/user:{PASSWORD}@{DEAD}/i.zarr?token={SIGNATURE}",
    f"zarr://https://user:{PASSWORD}@{DEAD}/i.zarr?token={SIGNATURE}",
    f"https://vizarr.org/?source=https%3A//user:{PASSWORD}@{DEAD}/x.zarr%3Ftoken={SIGNATURE}",
    # not valid, or not what an image is opened by
    f"https://user:{PASSWORD}/with/slash@{DEAD}/i.zarr?token={SIGNATURE}",
    f"https://user:{PASSWORD}#sharp@{DEAD}/i.zarr?token={SIGNATURE}",
    f"https://user:{PASSWORD}@[::1/i.zarr?token={SIGNATURE}",
    f"https://user:{PASSWORD}@{DEAD}999/i.zarr?token={SIGNATURE}",
    f"https://user:{PASSWORD}@ho st/i.zarr?token={SIGNATURE}",
    f"https://user:{PASSWORD}@/i.zarr?token={SIGNATURE}",
    f"ftp://user:{PASSWORD}@host/i.zarr?token={SIGNATURE}",
    f"gs://user:{PASSWORD}@host/i.zarr?token={SIGNATURE}",
    f"file://user:{PASSWORD}@host/i.zarr?token={SIGNATURE}",
    f"s3://user:{PASSWORD}@bucket/i.zarr?token={SIGNATURE}",
    f"s3://bucket/i.zarr?AWSAccessKeyId=k&Signature={SIGNATURE}",
    f"user:{PASSWORD}@host/i.zarr?token={SIGNATURE}",
    f"//user:{PASSWORD}@host/i.zarr?token={SIGNATURE}",
    f"host.org/i.zarr?token={SIGNATURE}",
    f"https://a:{PASSWORD}@h/x.zarr https://b:{PASSWORD}@h/y.zarr",
    f'https://neuroglancer.org/#!{{"source":"https://user:{PASSWORD}@h/x|foo"}}',
]
OPTIONS = [None, {"headers": {"Authorization": KEY}}, {"headers": KEY}, {"password": KEY}]


def assert_hidden(*texts):
    for text in texts:
        for secret in (PASSWORD, SIGNATURE, KEY):
            assert secret not in str(text), text


def shown_by(call, capsys):
    """All that a call leaves for somebody to read: prints, warnings, errors, what it returns."""
    with warnings.catch_warnings(record=True) as warned, dh.request_meter() as cost:
        warnings.simplefilter("always")
        try:
            found = call()
            said = f"{found!r} {found} {getattr(found, '_repr_html_', str)()}"
        except Exception as error:
            assert isinstance(error, OmeZarrError), error
            said = traceback.format_exc()  # with all errors that led to it
    printed = capsys.readouterr()
    log = [request.address for request in cost.log]
    return [said, printed.out, printed.err, cost, repr(cost), *log, *(w.message for w in warned)]


@pytest.mark.parametrize("address", ADDRESSES)
def test_no_function_shows_a_secret_of_an_address(address, capsys, quick, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for options in OPTIONS:
        for function in (dh.open_multiscale, dh.open_plate):
            shown = shown_by(lambda f=function, o=options: f(address, storage_options=o), capsys)
            assert_hidden(*shown)
    assert_hidden(*shown_by(lambda: dh.load_binary_from_s3(address), capsys))
    assert_hidden(*shown_by(lambda: dh.choose_source(address), capsys))
    assert_hidden(*shown_by(lambda: dh.open_multiscale(6001247, source=address), capsys))
    assert_hidden(*shown_by(lambda: dh.viewer_links(address), capsys))


def test_an_image_that_is_read_with_a_secret_shows_none(served, tmp_path, capsys, quick):
    said = {"version": "0.4", "axes": axes("yx"), "datasets": scales((1, 1))}
    write_v2(tmp_path / "i.zarr", [noise(20, 30)], said)
    (tmp_path / "i.zarr/0/0/1").write_bytes(b"damaged")
    host = served.endpoint.removeprefix("http://")
    address = f"http://user:{PASSWORD}@{host}/i.zarr?token={SIGNATURE}"
    cache = tmp_path / "cache"

    def use():
        image = dh.open_multiscale(address, cache=cache)
        level = image.levels[0]
        level[:16, :16].compute()
        links = dh.viewer_links(image)
        looks = repr(image), image._repr_html_(), image.title, image.url, repr(level.dask)
        stored = image.stored[0]
        assert_hidden(*looks, repr(links), links._repr_html_(), stored.address, repr(stored))
        assert_hidden(stored.zarr_array, stored.zarr_array.store, level.name)
        return level.compute()

    assert_hidden(*shown_by(use, capsys))
    for file in cache.rglob("*"):
        assert_hidden(file.relative_to(cache))
        if file.is_file():
            assert_hidden(file.read_bytes().decode("latin-1"))


def test_a_source_keeps_its_login_to_itself_and_uses_it():
    source = find_source(f"https://user:{PASSWORD}@host.org?token={SIGNATURE}")
    assert_hidden(source, repr(source))
    assert source.url("a/b") == f"https://user:{PASSWORD}@host.org/idr/a/b?token={SIGNATURE}"


def test_what_is_said_is_masked_by_whoever_says_it():
    said = f"see https://u:{PASSWORD}@h/x?a={SIGNATURE} or s3://b/what?.zarr, u:{PASSWORD}@h/y"
    assert str(OmeZarrError(said)) == "see https://h/x or s3://b/what?.zarr, h/y"
    with pytest.warns(OmeZarrWarning, match=r"^see https://h/x or s3://b/what\?.zarr, h/y$"):
        warn(said)
    assert str(OmeZarrError("at https://h/x?")) == "at https://h/x?"


@pytest.mark.parametrize(
    ("address", "shared"),
    [
        (f"https://u:{PASSWORD}@h/x?sig={SIGNATURE}", "https://h/x"),
        (f"https://u:{PASSWORD}/s@h/x", "https://h/x"),
        ("https://h:80/a@b.zarr", "https://h:80/a@b.zarr"),
        ("https://h/A&B=1#x/+?.zarr", "https://h/A&B=1#x/+?.zarr"),
    ],
)
def test_what_is_passed_on_is_the_address_without_its_secrets(address, shared):
    assert shareable(address) == shared
