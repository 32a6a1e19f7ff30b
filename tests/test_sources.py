"""Where images live, and which source a kernel reads from."""

import json
import socket
import time
from pathlib import Path

import pytest
from support.images import noise, write_json, write_v2
from support.misbehaving import PORTAL, MisbehavingServer, hang, replace, status

import data_helpers
from data_helpers import (
    IMAGES,
    EndpointUnreachableError,
    ImageNotFoundError,
    OmeZarrError,
    TooLargeError,
    choose_source,
    current_source,
    load_binary_from_s3,
    load_binary_from_s3_with_data,
    load_labels_from_s3,
    open_multiscale,
    sources,
)
from data_helpers.offline import process
from data_helpers.offline.catalogue import build_catalogue
from data_helpers.offline.server import OfflineThread, S3App, S3Error
from data_helpers.sources import PROBE_KEY, PROBE_SECONDS, Source, find_source

ROOT = Path(__file__).resolve().parents[1]
PROBE = f"idr/{PROBE_KEY}"


@pytest.fixture
def closed_port():
    """An address at which nothing listens; the port stays taken until the test ends."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


@pytest.fixture
def black_hole():
    """An address that takes connections and never says anything."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.fixture
def public(monkeypatch):
    """Put two other addresses in the place of the public endpoints."""

    def put(livingobjects, uk1s3):
        endpoints = {"livingobjects": livingobjects, "uk1s3": uk1s3}
        monkeypatch.setattr(sources, "PUBLIC_ENDPOINTS", endpoints)

    return put


@pytest.fixture
def healthy(served, tmp_path):
    """A server that holds the document by which a public endpoint is recognised."""
    write_json(tmp_path / PROBE, {"multiscales": []})
    return served


def seconds(call):
    start = time.monotonic()
    result = call()
    return time.monotonic() - start, result


# The registry


def test_three_images_are_registered():
    assert set(IMAGES) == {9822152, 4007801, 6001247}
    assert {image.doi for image in IMAGES.values()} == {
        "10.1126/science.abc1669",
        "10.1016/j.cell.2018.09.031",
        "10.1371/journal.pbio.3000388",
    }
    assert {image.data_doi for image in IMAGES.values()} == {
        "10.17867/10000135",
        "10.17867/10000116",
        "10.17867/10000125",
    }
    for number, image in IMAGES.items():
        assert image.id == number
        assert image.licence == "CC BY 4.0"
        assert len(image.title) > 20 and len(image.shows) > 40 and "idr00" in image.citation


def test_the_movie_is_on_livingobjects_as_v04_only():
    v01, v04 = "zarr/v0.1/4007801.zarr", "zarr/v0.4/idr0044A/4007801.zarr"
    assert find_source("livingobjects").keys_of(4007801) == (v04,)
    assert find_source("uk1s3").keys_of(4007801) == (v01, v04)
    for image_id, study in ((9822152, "idr0083A"), (6001247, "idr0062A")):
        v01, v04 = f"zarr/v0.1/{image_id}.zarr", f"zarr/v0.4/{study}/{image_id}.zarr"
        for name in ("livingobjects", "uk1s3", "http://127.0.0.1:9"):
            assert find_source(name).keys_of(image_id) == (v01, v04)


def test_a_further_copy_is_opened_by_its_address(offline):
    """It is Zarr v3, in shards; an id never leads to it."""
    (key,) = IMAGES[9822152].further
    assert key == "zarr/v0.5/idr0083/9822152.zarr"
    assert not any(key in keys for keys in IMAGES[9822152].keys.values())
    image = open_multiscale(f"s3://idr/{key}")
    assert image.version == "0.5" and image.synthetic and len(image.levels) == 11
    array = image.stored[0].zarr_array
    assert array.shards == (1, 1, 1, 4096, 4096) and array.chunks == (1, 1, 1, 1024, 1024)
    older = open_multiscale(9822152)
    for level in (10, 7, 5):
        assert (image.stored[level][:] == older.stored[level][:]).all()


def test_any_other_id_has_a_v01_key_where_images_are_real(offline):
    assert find_source("livingobjects").keys_of(1) == ("zarr/v0.1/1.zarr",)
    assert find_source("offline").keys_of(1) == ()


def test_public_endpoints_and_their_order():
    assert list(sources.PUBLIC_ENDPOINTS.items()) == [
        ("livingobjects", "https://livingobjects.ebi.ac.uk"),
        ("uk1s3", "https://uk1s3.embassy.ebi.ac.uk"),
    ]
    assert find_source("livingobjects").url("a/b") == "https://livingobjects.ebi.ac.uk/idr/a/b"


# Choosing


@pytest.mark.parametrize("name", ["livingobjects", "uk1s3", " UK1S3 ", "Offline"])
def test_choosing_by_name(name, offline, capsys):
    chosen = choose_source(name)
    assert chosen.name == name.strip().lower()
    assert capsys.readouterr().out == f"{chosen}\n"
    assert current_source() == chosen
    assert capsys.readouterr().out == f"{chosen}\n"  # whoever asks is told, each time


def test_the_line_says_what_the_pixels_are(offline, capsys):
    choose_source("offline")
    line = capsys.readouterr().out
    assert line.count("\n") == 1 and "synthetic" in line and "offline" in line
    choose_source("livingobjects")
    line = capsys.readouterr().out
    assert line.count("\n") == 1 and "https://livingobjects.ebi.ac.uk" in line
    assert "synthetic" not in line
    assert repr(current_source()) == line.strip()


def test_choosing_by_url(offline, capsys):
    chosen = choose_source(f"  {offline}/ ")
    assert chosen == Source("endpoint", offline)
    assert not chosen.synthetic
    assert capsys.readouterr().out == f"Source: the endpoint {offline}.\n"
    assert load_binary_from_s3(6001247, 2).shape == (1, 2, 257, 52, 63)


@pytest.mark.parametrize("name", ["", "s3", "ftp://somewhere", "livingobjects.ebi.ac.uk", None])
def test_a_name_that_is_no_source(name):
    with pytest.raises(OmeZarrError, match=r"is not a source; use auto, idr, .*offline or an end"):
        choose_source(name)
    assert sources._current is None


def test_a_bad_name_leaves_the_source_as_it_was(offline):
    chosen = choose_source("uk1s3")
    with pytest.raises(OmeZarrError):
        choose_source("uk2s3")
    assert current_source() is chosen


@pytest.mark.parametrize("value", ["offline", " OFFLINE "])
def test_the_environment_chooses_at_the_first_call(value, monkeypatch, offline, capsys):
    monkeypatch.setenv("OME_ZARR_SOURCE", value)
    assert current_source().endpoint == offline
    assert capsys.readouterr().out.count("Source:") == 1
    load_binary_from_s3(6001247, 2)
    assert capsys.readouterr().out == ""
    assert current_source().name == "offline"
    assert capsys.readouterr().out.count("Source:") == 1


def test_loading_says_which_source_it_chose(monkeypatch, offline, capsys):
    monkeypatch.setenv("OME_ZARR_SOURCE", "offline")
    load_binary_from_s3(6001247, 2)
    load_binary_from_s3(6001247, 1)
    assert capsys.readouterr().out.count("Source: offline") == 1


def test_the_environment_may_hold_an_endpoint(monkeypatch, offline):
    monkeypatch.setenv("OME_ZARR_SOURCE", offline)
    assert current_source() == Source("endpoint", offline)


def test_the_environment_may_hold_nonsense(monkeypatch):
    monkeypatch.setenv("OME_ZARR_SOURCE", "nonsense")
    with pytest.raises(OmeZarrError, match="'nonsense' is not a source"):
        open_multiscale(6001247)


@pytest.mark.parametrize("value", [None, "", "  "])
def test_auto_is_the_default(value, monkeypatch, public, healthy, closed_port):
    if value is None:
        monkeypatch.delenv("OME_ZARR_SOURCE")
    else:
        monkeypatch.setenv("OME_ZARR_SOURCE", value)
    public(healthy.endpoint, closed_port)
    assert current_source() == Source("livingobjects", healthy.endpoint)


def test_source_argument_does_not_change_the_source(offline, capsys):
    choose_source("uk1s3")
    assert open_multiscale(6001247, source="offline").synthetic
    assert open_multiscale(6001247, source=offline).url.startswith(offline)
    assert load_binary_from_s3(6001247, 2, source=find_source("offline")).ndim == 5
    assert current_source().name == "uk1s3"


# auto and idr


@pytest.mark.timeout(30)
def test_auto_falls_back_when_nothing_listens(public, closed_port, offline, capsys):
    public(closed_port, closed_port)
    took, chosen = seconds(lambda: choose_source("auto"))
    assert chosen.name == "offline" and chosen.endpoint == offline
    assert took < PROBE_SECONDS + 1
    line = capsys.readouterr().out
    assert "synthetic" in line and "no public endpoint answered within 3 s" in line
    assert open_multiscale(6001247).synthetic


@pytest.mark.timeout(30)
def test_auto_falls_back_when_nobody_answers(public, black_hole, offline):
    public(black_hole, black_hole)
    took, chosen = seconds(lambda: choose_source("auto"))
    assert chosen.name == "offline"
    assert PROBE_SECONDS - 0.1 < took < PROBE_SECONDS + 1.5


@pytest.mark.parametrize(
    "garbage",
    [
        replace(PORTAL),
        replace(b'{"message": "welcome"}'),
        replace(b"[1, 2]"),
        replace(b"3"),
        replace(b""),
        replace(b"\xff\xfe"),
        status(503),
        status(302, Location="/login"),
    ],
    ids=["html", "other-json", "list", "number", "empty", "binary", "503", "redirect"],
)
def test_auto_does_not_trust_garbage(garbage, public, healthy, closed_port, offline):
    healthy.fault(PROBE, garbage, forever=True)
    public(healthy.endpoint, closed_port)
    assert choose_source("auto").name == "offline"
    assert healthy.times_asked(PROBE) == 1


def test_auto_takes_the_second_when_the_first_answers_garbage(public, healthy, tmp_path):
    with MisbehavingServer(tmp_path) as other:
        healthy.fault(PROBE, replace(PORTAL), forever=True)
        public(healthy.endpoint, other.endpoint)
        took, chosen = seconds(lambda: choose_source("auto"))
    assert chosen == Source("uk1s3", other.endpoint)
    assert took < 2


def slowly(request, content):
    time.sleep(0.5)
    return content


def test_the_first_is_preferred_also_when_it_answers_later(public, healthy, tmp_path):
    healthy.fault(PROBE, slowly)
    with MisbehavingServer(tmp_path) as other:
        public(healthy.endpoint, other.endpoint)
        assert choose_source("idr").name == "livingobjects"
        public(other.endpoint, healthy.endpoint)
        healthy.fault(PROBE, hang)
        took, chosen = seconds(lambda: choose_source("idr"))
    assert chosen.name == "livingobjects"
    assert took < 2  # it does not wait for the second


def test_the_second_is_taken_when_the_first_says_nothing(public, healthy, black_hole, monkeypatch):
    monkeypatch.setattr(sources, "PROBE_SECONDS", 1.0)
    public(black_hole, healthy.endpoint)
    took, chosen = seconds(lambda: choose_source("auto"))
    assert chosen == Source("uk1s3", healthy.endpoint)
    assert 0.9 < took < 2.5


def test_the_answer_is_remembered(public, healthy, closed_port, monkeypatch):
    monkeypatch.setenv("OME_ZARR_SOURCE", "auto")
    public(healthy.endpoint, closed_port)
    first = current_source()
    healthy.fault(PROBE, status(503), forever=True)
    assert current_source() is first
    with pytest.raises(ImageNotFoundError):
        open_multiscale(6001248)
    assert healthy.times_asked(PROBE) == 1


@pytest.mark.timeout(30)
def test_idr_never_falls_back(public, closed_port):
    public(closed_port, closed_port)
    with pytest.raises(EndpointUnreachableError) as caught:
        choose_source("idr")
    message = str(caught.value)
    assert closed_port in message and 'choose_source("offline")' in message
    assert sources._current is None


def test_the_public_endpoints_see_only_keys_that_they_hold(public, served, tmp_path, asked):
    pixels = noise(1, 2, 3, 20, 20)
    folder = tmp_path / "idr/zarr/v0.4/idr0044A/4007801.zarr"
    write_v2(folder, [pixels], {"version": "0.4", "axes": [{"name": n} for n in "tczyx"]})
    public(served.endpoint, served.endpoint)
    choose_source("livingobjects")
    assert (load_binary_from_s3(4007801).compute() == pixels).all()
    assert not any("v0.1" in key for key in served.asked)
    assert {outcome for _, outcome in asked} == {"found"}


# uk1s3 is asked last, and may be gone


class Livingobjects(S3App):
    """The stand-in, without the one copy that livingobjects does not have."""

    def __init__(self):
        super().__init__(build_catalogue())
        self.asked = []

    def find(self, key):
        self.asked.append(key)
        if key.startswith("zarr/v0.1/4007801.zarr/"):
            raise S3Error(404, "NoSuchKey", "The specified key does not exist.")
        return super().find(key)


@pytest.fixture
def livingobjects():
    app = Livingobjects()
    server = OfflineThread(app=app)
    server.app = app
    yield server
    server.stop()


@pytest.fixture(params=["unknown", "refuses", "says nothing"])
def gone(request, closed_port):
    """An address at which uk1s3 is no more; `connections` counts who has come nonetheless."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        listener.setblocking(False)
        quiet = f"http://127.0.0.1:{listener.getsockname()[1]}"
        names = {"unknown": "http://uk1s3.invalid", "refuses": closed_port, "says nothing": quiet}
        yield names[request.param]
        with pytest.raises(BlockingIOError):  # nobody was here
            listener.accept()


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", ["auto", "idr", "livingobjects"])
def test_the_course_is_whole_without_uk1s3(name, gone, public, livingobjects):
    public(livingobjects.endpoint, gone)
    took, chosen = seconds(lambda: choose_source(name))
    assert chosen == Source("livingobjects", livingobjects.endpoint)
    assert took < PROBE_SECONDS / 2  # it was not waited for

    movie = load_binary_from_s3(4007801, "4")
    assert movie.shape == (532, 2, 988, 128, 135)
    assert movie[265, 1, 494].compute().any() and movie[260:262, 0, 494].compute().any()
    assert open_multiscale(4007801).version == "0.4"
    with pytest.raises(TooLargeError):  # it is too large everywhere, and not for want of a copy
        load_binary_from_s3_with_data(4007801, "4")

    micrograph = load_binary_from_s3(9822152, "10")
    assert micrograph.compute().shape == (1, 1, 1, 91, 141)
    assert load_binary_from_s3_with_data(9822152, "9").shape == (1, 1, 1, 182, 282)
    sharded = open_multiscale(f"s3://idr/{IMAGES[9822152].further[0]}")
    assert (sharded.stored[10][:] == micrograph).all()

    assert load_binary_from_s3(6001247)[0, 1, 128].compute().any()
    assert load_binary_from_s3_with_data(6001247, 2).shape == (1, 2, 257, 52, 63)
    assert load_labels_from_s3(6001247)[0, 0, 128].compute().any()
    for number, image in IMAGES.items():
        assert len(open_multiscale(number).levels) >= 3
        for key in image.keys["livingobjects"]:
            assert open_multiscale(f"s3://idr/{key}").url == chosen.url(key)
    assert not any("v0.1/4007801" in key for key in livingobjects.app.asked)


def test_no_notebook_needs_the_copy_that_only_uk1s3_has():
    notebooks = sorted((ROOT / "notebooks").rglob("[!.]*.ipynb"))
    code = [
        (path.name, "".join(cell["source"]))
        for path in notebooks
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]
        if cell["cell_type"] == "code"
    ]
    assert len(notebooks) > 9
    assert [name for name, text in code if "v0.1/4007801" in text or "uk1s3" in text] == []


@pytest.mark.timeout(30)
def test_uk1s3_is_asked_when_the_first_has_failed(public, healthy, closed_port):
    public(closed_port, healthy.endpoint)
    took, chosen = seconds(lambda: choose_source("auto"))
    assert chosen == Source("uk1s3", healthy.endpoint)
    assert took < PROBE_SECONDS / 2 and healthy.times_asked(PROBE) == 1


# The stand-in


def test_the_stand_in_is_started_again_when_it_was_stopped(monkeypatch):
    monkeypatch.setattr(process, "_server", None)  # leave the one of the other tests alone
    first = choose_source("offline")
    stopped = process._server
    stopped.stop()
    again = current_source()
    assert again.name == "offline" and process._server is not stopped
    assert first.name == "offline" and process._server.alive()  # its port may be the same again
    assert open_multiscale(6001247).url.startswith(again.endpoint)
    process._server.stop()


def test_a_proxy_is_not_asked_for_loopback(run_python, offline, closed_port):
    script = f"import data_helpers as d; print(d.open_multiscale(6001247, source={offline!r}))"
    proxies = dict.fromkeys(["http_proxy", "https_proxy", "HTTP_PROXY"], closed_port)
    done = run_python(script, NO_PROXY="", no_proxy="", **proxies)
    assert "IDR 6001247" in done.stdout, done.stderr


# The package itself


def test_import_is_light(run_python):
    script = (
        "import sys, json, data_helpers; "
        "print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    )
    done = run_python(script)
    loaded = set(json.loads(done.stdout))
    heavy = {"dask", "zarr", "numpy", "matplotlib", "skimage", "fsspec", "aiohttp", "tqdm"}
    assert not loaded & heavy
    assert done.stderr == ""


def test_every_public_name_is_there():
    for name in data_helpers.__all__:
        assert getattr(data_helpers, name).__doc__ or name == "IMAGES"
    assert set(data_helpers.__all__) >= {
        "load_binary_from_s3",
        "load_binary_from_s3_with_data",
        "load_labels_from_s3",
        "open_multiscale",
        "IMAGES",
        "choose_source",
        "current_source",
    }
