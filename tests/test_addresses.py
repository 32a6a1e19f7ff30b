"""What people paste: which image is meant, and which key reaches the server."""

import json
import pickle
from pathlib import Path
from urllib.parse import quote

import dask.array as da
import numpy as np
import pytest
from support.images import axes, noise, write_array, write_json, write_v2

from data_helpers import (
    NoLabelsError,
    NotOmeZarrError,
    OmeZarrError,
    load_binary_from_s3,
    open_multiscale,
    request_meter,
)
from data_helpers.addresses import join, parent, split_secret, tidy_url, understand
from data_helpers.store import RetryingStore

AWKWARD = ["a b", "a%20b", "F#1", "what?", "1+1", "a&b=c", "Zürich", "100%", "[;~,]"]
SECRET = "X-Sig=s3cr3t%2Fa%2Bb&Expires=9"


def meta():
    return {"version": "0.4", "axes": axes("yx")}


def image(folder, seed=0, **more):
    """A small image whose pixels tell it from others."""
    pixels = noise(20, 30, seed=seed)
    write_v2(folder, [pixels, pixels[::2, ::2]], meta(), **more)
    return pixels


def same(opened, pixels):
    np.testing.assert_array_equal(opened.stored[0][:], pixels)
    np.testing.assert_array_equal(opened.levels[0].compute(), pixels)


# Names


@pytest.mark.parametrize("name", AWKWARD)
def test_an_s3_key_reaches_the_server_as_just_that_key(name, served, tmp_path):
    for other in {"a b", "F", "what", "1 1", "100"} - {name}:  # what it must not be taken for
        image(tmp_path / f"pub/{other}.zarr", 99)
    pixels = image(tmp_path / f"pub/{name}.zarr")
    opened = open_multiscale(f"s3://pub/{name}.zarr", source=served.endpoint)
    same(opened, pixels)
    assert opened.name == f"{name}.zarr"
    assert {key.rpartition(".zarr/")[0] for key in served.asked} == {f"pub/{name}"}


@pytest.mark.parametrize("name", AWKWARD)
def test_a_folder_is_never_encoded(name, tmp_path):
    pixels = image(tmp_path / f"{name}.zarr", paths=[name, "1"])
    same(open_multiscale(tmp_path / f"{name}.zarr"), pixels)
    same(open_multiscale(str(tmp_path / f"{name}.zarr")), pixels)
    same(open_multiscale(f"file://{quote(str(tmp_path / name))}.zarr"), pixels)


@pytest.mark.parametrize("name", AWKWARD)
def test_level_paths_and_label_names_are_literal(name, served, tmp_path):
    pixels = image(tmp_path / "i.zarr", paths=[name, f"deep/{name}"])
    labels = image(tmp_path / f"i.zarr/labels/{name}", 7)
    write_json(tmp_path / "i.zarr/labels/.zattrs", {"labels": [name]})
    opened = open_multiscale(f"{served.endpoint}/i.zarr")
    same(opened, pixels)
    same(opened.label(name), labels)
    np.testing.assert_array_equal(opened.level(name).compute(), pixels)
    assert f"i.zarr/labels/{name}/.zattrs" in served.asked
    same(open_multiscale(f"{served.endpoint}/i.zarr/labels/{quote(name)}"), labels)


@pytest.mark.parametrize(
    ("written", "key"),
    [
        ("a%20b.zarr", "a b.zarr"),
        ("a b.zarr", "a b.zarr"),
        ("a%2520b.zarr", "a%20b.zarr"),
        ("a+b.zarr", "a+b.zarr"),
        ("a%2Bb.zarr", "a+b.zarr"),
        ("Zürich.zarr", "Zürich.zarr"),
        ("Z%C3%BCrich.zarr", "Zürich.zarr"),
        ("100%.zarr", "100%.zarr"),
        ("x.zarr#level=3", "x.zarr"),
        ("y/../x.zarr", "x.zarr"),
    ],
)
def test_a_pasted_url_is_taken_as_encoded(written, key, served, tmp_path):
    pixels = image(tmp_path / key)
    same(open_multiscale(f"{served.endpoint}/{written}"), pixels)


def test_two_names_that_look_alike_are_two_entries_of_a_cache(served, tmp_path):
    """A label named "a%20b", and the folder "a b" beside it."""
    image(tmp_path / "i.zarr")
    literal = image(tmp_path / "i.zarr/labels/a%20b", 1)
    spaced = image(tmp_path / "i.zarr/labels/a b", 2)
    write_json(tmp_path / "i.zarr/labels/.zattrs", {"labels": ["a%20b", "a b"]})
    for _ in range(2):
        opened = open_multiscale(f"{served.endpoint}/i.zarr", cache=tmp_path / "kept")
        same(opened.label("a%20b"), literal)
        same(opened.label("a b"), spaced)
        same(open_multiscale(opened.label("a b").url, cache=tmp_path / "kept"), spaced)
    with request_meter(show=False) as cost:
        same(open_multiscale(f"{served.endpoint}/i.zarr", cache=tmp_path / "kept").label(), literal)
    assert cost.requests == 0


# A query may be a secret


class Guard:
    """Let the server refuse what lacks the query."""

    def __init__(self, served, query):
        def check(request, content):
            if request.path.partition("?")[2] != query:
                request.send(b"", 401)
                return None
            return request.send(b"", 404) if content is None else content

        served.fault("*", check, forever=True)


def test_a_query_goes_with_every_key_and_shows_nowhere(served, tmp_path, capsys):
    pixels = image(tmp_path / "i.zarr")
    labels = image(tmp_path / "i.zarr/labels/n 1", 5)
    write_json(tmp_path / "i.zarr/labels/.zattrs", {"labels": ["n 1"]})
    Guard(served, SECRET)
    kept = tmp_path / "kept"
    with request_meter() as cost:
        opened = open_multiscale(f"{served.endpoint}/i.zarr/?{SECRET}#part", cache=kept)
        same(opened, pixels)
        same(opened.label("n 1"), labels)
        np.testing.assert_array_equal(pickle.loads(pickle.dumps(opened.stored[0]))[:], pixels)
    with pytest.raises(OmeZarrError) as caught:
        open_multiscale(f"{served.endpoint}/other.zarr?{SECRET}")
    (tmp_path / "i.zarr/1/0/0").write_bytes(b"rubbish that is no Blosc chunk")
    with pytest.raises(OmeZarrError) as damaged:
        open_multiscale(f"{served.endpoint}/i.zarr?{SECRET}").stored[1][:]
    seen = [repr(opened), opened.url, opened.name, repr(opened.stored[0]), opened._repr_html_()]
    seen += [repr(opened._store), str(opened._store), repr(opened.stored[0].zarr_array)]
    seen += [opened.stored[0].address, repr(opened.levels[0]), str(caught.value)]
    seen += [repr(damaged.getrepr(chain=True)), str(damaged.value), repr(cost), str(cost)]
    seen += [request.address for request in cost.log]
    seen += [str(file) for file in kept.rglob("*")] + [capsys.readouterr().out]
    assert not [text for text in seen if "s3cr3t" in text or "Expires" in text]
    assert opened.url == f"{served.endpoint}/i.zarr"


def test_a_signed_level_and_a_signed_parent(served, tmp_path):
    pixels = image(tmp_path / "i.zarr")
    Guard(served, SECRET)
    same(open_multiscale(f"{served.endpoint}/i.zarr/1/.zarray?{SECRET}"), pixels)


def test_addresses_that_differ_in_their_query_are_different(served, tmp_path):
    """The query may say which image is meant: nothing of one is taken for the other."""
    one, two = image(tmp_path / "one", 1), image(tmp_path / "two", 2)

    def pick(request, content):
        key = request.path.partition("?")[0].removeprefix("/i.zarr/")
        file = tmp_path / request.path.partition("?")[2] / key
        return file.read_bytes() if file.is_file() else request.send(b"", 404)

    served.fault("*", pick, forever=True)
    first = open_multiscale(f"{served.endpoint}/i.zarr?one", cache=tmp_path / "kept")
    second = open_multiscale(f"{served.endpoint}/i.zarr?two", cache=tmp_path / "kept")
    same(first, one)
    same(second, two)
    both = da.stack([first.levels[0], second.levels[0]]).compute()
    np.testing.assert_array_equal(both, [one, two])
    assert first._store != second._store


def test_a_login_in_a_url_is_sent_but_not_shown(served, tmp_path):
    pixels = image(tmp_path / "i.zarr")
    sent = []
    served.fault("*", lambda r, content: sent.append(r.headers["Authorization"]) or content)
    opened = open_multiscale(served.endpoint.replace("//", "//me:s3cr3t@") + "/i.zarr")
    same(opened, pixels)
    assert sent[0].startswith("Basic ") and "s3cr3t" not in opened.url + repr(opened._store)


# Spellings


def test_spellings_of_one_address(served, tmp_path, monkeypatch):
    pixels = image(tmp_path / "pub/i.zarr")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    web, folder = f"{served.endpoint}/pub/i.zarr", tmp_path / "pub/i.zarr"
    for address in [
        web.replace("http", "HTTP"),
        web.upper().replace("/PUB/I.ZARR", "/pub/i.zarr/") + "//",
        "S3://pub/i.zarr/",
        f'"{web}"',
        f"<{web}>",
        f"  {folder}/ ",
        folder.as_uri(),
        folder.as_uri().replace("file:", "FILE:"),
        folder.as_uri().replace("///", "/"),
        folder.as_uri().replace("///", "//localhost/"),
        "~/pub/i.zarr/",
        Path(web),
        f"zarr://{web}",
        *(f"{web}/{name}" for name in (".zattrs", ".zgroup", ".zmetadata", "0/.zarray")),
        *(f"{folder}/{name}" for name in (".zattrs", ".zgroup", "1/.zarray", "0")),
        *(f"s3://pub/i.zarr/{name}" for name in (".zattrs", "0", "1/")),
        folder / ".zattrs",
        folder / "1",
        folder / "1/.zarray",
    ]:
        same(open_multiscale(address, source=served.endpoint), pixels)


WEB = "https://h.org/b/i.zarr"


@pytest.mark.parametrize(
    ("pasted", "windows", "kind", "value"),
    [
        (r"C:\data\my i.zarr", True, "folder", "C:/data/my i.zarr"),
        ("C:\\data\\i.zarr\\", True, "folder", "C:/data/i.zarr"),
        (r"C:\data\i.zarr\.zattrs", True, "folder", "C:/data/i.zarr"),
        (r"\\server\share\i.zarr", True, "folder", "//server/share/i.zarr"),
        ("file:///C:/my%20data/i.zarr", True, "folder", "C:/my data/i.zarr"),
        ("file:///c|/i.zarr", True, "folder", "c:/i.zarr"),
        ("file://C:/i.zarr", True, "folder", "C:/i.zarr"),
        ("file://server/share/i.zarr", True, "folder", "//server/share/i.zarr"),
        ("file:///a/zarr.json", False, "folder", "/a"),
        ("file://~/i.zarr", False, "folder", "~/i.zarr"),
        ("/", False, "folder", "/"),
        ("a#1?.zarr", False, "folder", "a#1?.zarr"),
        (9822152, False, "id", "9822152"),
        (np.int64(12), False, "id", "12"),
        (" 12 ", False, "id", "12"),
        (Path("12"), False, "folder", "12"),
        ("s3://b/a%20b?c#d/", False, "key", "b/a%20b?c#d"),
        ("HTTPS://H.org:443/B/i.zarr/", False, "url", "https://h.org:443/B/i.zarr"),
        ("https://h.org/ü b?x=a b&y=%2f#z", False, "url", "https://h.org/%C3%BC%20b?x=a%20b&y=%2f"),
        ("https://bücher.example/i", False, "url", "https://xn--bcher-kva.example/i"),
        ("http://[::1]:80/i/", False, "url", "http://[::1]:80/i"),
        ("zarr2://https://h.org/b/i.zarr", False, "url", WEB),
        (f"{WEB}/|zarr2:", False, "url", WEB),
        ("s3+https://h.org/b/i.zarr", False, "url", WEB),
    ],
)
def test_what_is_meant(pasted, windows, kind, value):
    assert understand(pasted, windows=windows) == (kind, value)


@pytest.mark.parametrize(
    ("pasted", "words"),
    [
        (6001247.0, "6001247.0 is a number, but no IDR id, which is whole: give 6001247."),
        ("6001247.0", "give 6001247."),
        (np.float64(12.0), "give 12."),
        ("6001247,0", "give 6001247."),
        (2.5, "float (2.5) is not an image: give an IDR id"),
        ("2.5", "2.5 is a number, but no IDR id"),
        (float("nan"), "float (nan)"),
        (-5, "-5 is a number, but no IDR id"),
        ("", "The address is empty: give an IDR id"),
        ("  ", "The address is empty"),
        ('""', "The address is empty"),
        (None, "NoneType is not an image: give an IDR id"),
        (True, "bool (True) is not an image"),
        ([6001247], "list ([6001247]) is not an image"),
        (b"a.zarr", "bytes (b'a.zarr') is not an image"),
        (np.zeros(3), "ndarray (array([0., 0., 0.])) is not an image"),
        ("s3://", "s3:// names no bucket: give s3://bucket/key."),
        ("https:///i.zarr", "names no server"),
        ("https://h.org:port/i?sig=s3cr3t", "https://h.org:port/i is not a valid address"),
        ("http://[::1/i", "http://[::1/i is not a valid address"),
        ("file://[::1/i", "is not a valid address"),
        ("https://h o.org/i", "names no server"),
        (f"https://{'a' * 99}.org/i", "is not a valid address"),
        ("file://", "file:// names no folder"),
        ("a\nb", r"'a\nb' holds a line break"),
        ("h.org/b/i.zarr", "write all of it: https://h.org/b/i.zarr."),
        ("localhost:8000/i.zarr", "write all of it: https://localhost"),
        ("gs://b/i.zarr", "(as https://storage.googleapis.com/b/i.zarr)"),
        (r"C:\data\i.zarr", "is a path of Windows"),
        ("file:///C:/data/i.zarr", "is a path of Windows"),
        ("~nobody-by-this-name/i.zarr", "no such home folder"),
    ],
    ids=str,
)
def test_what_is_no_address_is_answered_as_what_it_is(pasted, words, tmp_path, monkeypatch):
    if "Windows" in words:
        with pytest.raises(NotOmeZarrError) as caught:
            understand(pasted, windows=False)
    else:
        with pytest.raises(NotOmeZarrError) as caught:
            open_multiscale(pasted)
    assert words in str(caught.value) and "s3cr3t" not in str(caught.value)
    assert "\n" not in str(caught.value) and ".zattrs" not in str(caught.value)


def state(*sources):
    return {"layers": [{"type": "image", "source": source, "name": "x"} for source in sources]}


def link(*sources):
    return "https://neuroglancer-demo.appspot.com/#!" + quote(json.dumps(state(*sources)))


LINKS = [
    f"https://biongff.github.io/vizarr/?source={WEB}",
    f"https://hms-dbmi.github.io/vizarr?source={quote(WEB, safe='')}/",
    f"https://ome.github.io/ome-ngff-validator/?source={WEB}",
    f"https://me.org/vizarr/?height=3&source={WEB}&viewState=1",
    f"https://ome.github.io/ome-ngff-validator/?source={WEB}/.zattrs",
    f"https://avivator.gehlenborglab.org/?image_url={WEB}",
    link(f"zarr://{WEB}"),
    link(f"zarr2://{WEB}/"),
    link(f"{WEB}/|zarr2:"),
    link(f"{WEB}|zarr3:"),
    link({"url": f"zarr://{WEB}", "transform": {}}),
    link([f"zarr://{WEB}", {"url": f"zarr://{WEB}/labels/0"}]),
    link(f"zarr://{WEB}/labels/0", f"zarr://{WEB}", "precomputed://gs://a/b"),
    "https://neuroglancer-demo.appspot.com/#!" + json.dumps(state(f"zarr://{WEB}")),
    "https://neuroglancer-demo.appspot.com/#!"
    + json.dumps(state(f"zarr://{WEB}")).replace("/", "\\/"),
    "https://neuroglancer-demo.appspot.com/#!{'layers':[{'source':'zarr://" + WEB + "'_'a':1}]}",
]


@pytest.mark.parametrize("pasted", LINKS)
def test_a_link_of_a_viewer_means_its_image(pasted):
    assert understand(pasted) == ("url", WEB)


def test_a_link_keeps_what_is_encoded_in_it():
    signed = "https://h.org/a%20b.zarr?sig=1%2B1"
    vizarr = f"https://biongff.github.io/vizarr/?source={quote(signed, safe='')}"
    assert understand(vizarr) == understand(link(f"zarr://{signed}")) == ("url", signed)
    assert understand(link("zarr://s3://b/a b.zarr")) == ("key", "b/a b.zarr")
    assert understand(f"{WEB}?source=microscope") == ("url", f"{WEB}?source=microscope")


@pytest.mark.parametrize(
    ("pasted", "words"),
    [
        (link(f"zarr://{WEB}", f"zarr://{WEB}2?sig=s3cr3t"), f"shows 2 images.*: {WEB}, {WEB}2."),
        (link("precomputed://gs://a/b"), "names no Zarr image; paste the address"),
        ("https://neuroglancer-demo.appspot.com/#!gs://a/state.json", "names no Zarr image"),
        (f"https://h.org/vizarr/?source={WEB}&source={WEB}3", "shows 2 images"),
    ],
)
def test_a_link_that_means_no_one_image(pasted, words):
    with pytest.raises(NotOmeZarrError, match=words) as caught:
        understand(pasted)
    assert "s3cr3t" not in str(caught.value)


def test_a_link_is_opened(served, tmp_path):
    pixels = image(tmp_path / "a b.zarr")
    address = f"{served.endpoint}/a%20b.zarr"
    same(open_multiscale(f"https://biongff.github.io/vizarr/?source={quote(address)}"), pixels)
    same(open_multiscale(link(f"{address}/|zarr2:")), pixels)


# A part of an image


@pytest.fixture
def nested(tmp_path):
    pixels = image(tmp_path / "a/i.zarr", paths=["0", "deep/er/1"])
    labels = image(tmp_path / "a/i.zarr/labels/nuclei", 3)
    single = noise(20, 30, seed=4)
    write_array(tmp_path / "a/i.zarr/labels/single", single)
    write_json(tmp_path / "a/i.zarr/labels/.zattrs", {"labels": ["nuclei", "single"]})
    return pixels, labels, single


@pytest.mark.parametrize("where", ["web", "folder"])
@pytest.mark.parametrize("refuse", [404, 403, 400])
def test_a_part_of_an_image_opens_it(where, refuse, nested, served, tmp_path, capsys):
    served.missing_status = refuse
    base = f"{served.endpoint}/a/i.zarr" if where == "web" else str(tmp_path / "a/i.zarr")
    pixels, labels, single = nested
    same(open_multiscale(f"{base}/0"), pixels)
    assert "is level '0' of an image" in capsys.readouterr().out
    same(open_multiscale(f"{base}/deep/er/1/"), pixels)
    same(open_multiscale(f"{base}/labels/nuclei"), labels)
    same(open_multiscale(f"{base}/labels/nuclei/1"), labels)
    same(open_multiscale(f"{base}/labels/single/.zarray"), single)
    np.testing.assert_array_equal(load_binary_from_s3(f"{base}/0"), pixels)


def test_what_is_below_an_image_is_told(nested, served):
    base = f"{served.endpoint}/a/i.zarr"
    for path, words in [
        ("7", f"{base} above it is an image, whose levels are '0', 'deep/er/1'"),
        ("labels", f"one of its labels 'nuclei', 'single', such as {base}/labels/nuclei"),
    ]:
        with pytest.raises(NotOmeZarrError) as caught:
            open_multiscale(f"{base}/{path}")
        assert words in str(caught.value) and f"at {base}/{path}:" in str(caught.value)
    with pytest.raises(NoLabelsError, match="'nuclei', 'single'"):
        open_multiscale(f"{base}/labels/cells")


def test_only_an_address_that_is_no_image_costs_more_requests(nested, served):
    open_multiscale(f"{served.endpoint}/a/i.zarr")
    assert len(served.asked) == 2 + 2
    served.asked.clear()
    with pytest.raises(NotOmeZarrError):
        open_multiscale(f"{served.endpoint}/x/y/z/u/v.zarr")
    assert len(served.asked) == 2 + 3 * 2


# The functions beneath


def test_pieces_of_addresses():
    assert join("https://h/a", "b c/d%") == "https://h/a/b%20c/d%25"
    assert join("/h/a", "b c/d%") == "/h/a/b c/d%" and join("/h", "") == "/h"
    assert parent("https://h/a%20b") == ("https://h", "a b") and parent("https://h") is None
    assert parent("/a/b%20c") == ("/a", "b%20c") and parent("/a") is None
    shown, secret = split_secret("https://u:p@h/a@b?x=1?2")
    assert shown == "https://h/a@b" and "p" not in repr(secret).split("Secret")[-1]
    assert secret.put_into(f"{shown}/k") == "https://u:p@h/a@b/k?x=1?2"
    assert split_secret("/a?b@c")[0] == "/a?b@c"
    assert tidy_url(tidy_url("http://H/ü%/?q=%")) == "http://h/%C3%BC%25?q=%25"
    assert RetryingStore("http://h/a b").url == "http://h/a%20b"
