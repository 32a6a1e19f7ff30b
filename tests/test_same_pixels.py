"""A stored store and a served store read the same.

Each kind of store in these tests is opened as a folder, over http and https, by signed S3, and
zipped in all of these places. What comes back must be what was written.
"""

import json
import shutil
import ssl
import subprocess
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler
from types import SimpleNamespace
from urllib.parse import quote

import numpy as np
import pytest
from support.images import (
    axes,
    halve,
    noise,
    scales,
    write_array,
    write_json,
    write_v2,
    write_with_ngff_zarr,
    write_with_ome_zarr,
)
from support.misbehaving import MisbehavingServer, QuietServer
from support.s3 import rclone_server
from support.zips import zip_folder

from data_helpers import open_multiscale

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:ome_zarr")

FIVE = noise(2, 1, 2, 20, 24, seed=11)
FOUR = noise(2, 2, 20, 40, seed=12)
CELLS = noise(2, 20, 40, dtype="u4", seed=13) * 100_000


# Stores, each written by a function of a folder, which returns the levels


def v01(folder, **options):
    levels = halve(FIVE.astype(">u2"), 1)
    write_v2(folder, levels, {"version": "0.1"}, separator=".", **options)
    return levels


def v02_sparse(folder):
    write_v2(folder, halve(FIVE, 1), {"version": "0.2"})
    shutil.rmtree(folder / "0/1")  # the second time point was never written
    levels = [level.copy() for level in halve(FIVE, 1)]
    levels[0][1] = 0
    return levels


def v03(folder):
    write_v2(folder, [FIVE[0, 0]], {"version": "0.3", "axes": ["z", "y", "x"]}, compressor=None)
    return [FIVE[0, 0]]


def v04_labels(folder):
    write_with_ome_zarr(folder, halve(FOUR, 1), halve(CELLS, 1))
    return halve(FOUR, 1)


def odd_names(folder):
    paths = ["full size", "half+size%20#2&ü"]
    sizes = [(1, 1, 2**n, 2**n) for n in range(2)]
    multiscale = {"version": "0.4", "axes": axes("czyx"), "datasets": scales(*sizes)}
    write_v2(folder, halve(FOUR, 1), multiscale, paths=paths)
    write_json(folder / "labels/.zattrs", {"labels": ["Zellen & Kerne #1"]})
    named = {"version": "0.4", "axes": axes("zyx")}
    write_v2(folder / "labels/Zellen & Kerne #1", [CELLS], named)
    return halve(FOUR, 1)


def nested_without_saying_so(folder):
    """Chunks are called "0/0/0", though the metadata do not say so."""
    write_v2(folder, [FOUR[0]], {"version": "0.4", "axes": axes("zyx")})
    document = json.loads((folder / "0/.zarray").read_text())
    del document["dimension_separator"]
    write_json(folder / "0/.zarray", document)
    return [FOUR[0]]


def single_array_label(folder):
    write_v2(folder, [FOUR], {"version": "0.4", "axes": axes("czyx")})
    write_json(folder / "labels/.zattrs", {"labels": ["cells"]})
    write_array(folder / "labels/cells", FOUR.astype("u4"))
    return [FOUR]


def gzipped(folder):
    from numcodecs import GZip

    write_v2(folder, [FOUR], {"version": "0.4", "axes": axes("czyx")}, compressor=GZip(1))
    return [FOUR]


STORES = {
    "0.1, big-endian": v01,
    "0.2, sparse": v02_sparse,
    "0.3, raw": v03,
    "0.4 with labels, by ome-zarr-py": v04_labels,
    "0.4, odd names": odd_names,
    "0.4, nested without saying so": nested_without_saying_so,
    "0.4, gzip": gzipped,
    "0.4, labels in one array": single_array_label,
    "0.4, by ngff-zarr": partial(write_with_ngff_zarr, pixels=FOUR, version="0.4"),
    "0.5, by ngff-zarr": partial(write_with_ngff_zarr, pixels=FOUR, version="0.5"),
    "0.5, sharded": partial(write_with_ngff_zarr, pixels=FOUR, version="0.5", chunks_per_shard=2),
}


# Places, each a function from a name to an image


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """The folder that all servers serve; its folders are buckets."""
    root = tmp_path_factory.mktemp("same")
    (root / "lab").mkdir()
    return root


@pytest.fixture(scope="module")
def written(root):
    """The levels of each store, which is written when it is first asked for, also as archives."""
    done = {}

    def write(name):
        if name not in done:
            folder = root / "lab" / name
            done[name] = STORES[name](folder)
            zip_folder(folder, root / f"lab/{name}.ozx")
            zip_folder(folder, root / f"lab/{name}.zip", method=8, inside=f"{name}/")
        return done[name]

    return write


@pytest.fixture(scope="module")
def http(root):
    with MisbehavingServer(root) as server:
        yield server.endpoint


@pytest.fixture(scope="module")
def https(root, tmp_path_factory):
    """A server with a certificate of its own, which knows no ranges."""
    openssl = shutil.which("openssl")
    if not openssl:
        pytest.skip("there is no openssl to make a certificate with")
    folder = tmp_path_factory.mktemp("certificate")
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    made = f"-x509 -newkey rsa:2048 -nodes -days 1 -keyout {key.name} -out {certificate.name}"
    named = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    command = [openssl, "req", *made.split(), *named]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    secure = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    secure.load_cert_chain(certificate, key)
    server = QuietServer(("127.0.0.1", 0), partial(Silent, directory=str(root)))
    server.socket = secure.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield f"https://127.0.0.1:{server.server_address[1]}", certificate
    server.shutdown()
    server.server_close()


class Silent(SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        """Say nothing."""


@pytest.fixture(scope="module")
def s3(root, written):
    for name in STORES:  # rclone lists its folders when it starts
        written(name)
    with rclone_server(root, "--auth-key", "AKID,SECRET") as address:
        yield {"key": "AKID", "secret": "SECRET", "endpoint_url": address}


@pytest.fixture(scope="module")
def places(root, http, https, s3):
    endpoint, certificate = https
    trusting = ssl.create_default_context(cafile=str(certificate))
    return {
        "folder": lambda name: open_multiscale(root / "lab" / name),
        "http": lambda name: open_multiscale(f"{http}/lab/{quote(name)}"),
        "https": lambda name: open_multiscale(
            f"{endpoint}/lab/{quote(name)}", storage_options={"ssl": trusting}
        ),
        "s3": lambda name: open_multiscale(f"s3://lab/{name}", storage_options=s3),
    }


def everything(image):
    """What can be said of an image and of its label images, without where it is."""
    labels = {name: everything(image.label(name)) for name in image.labels}
    return SimpleNamespace(
        said=(image.version, image.axes, image.units, image.scales, image.paths, image.channels),
        levels=[stored[:] for stored in image.stored],
        lazy=[level.compute() for level in image.levels],
        part=[stored[..., 3:18, 5] for stored in image.stored],
        labels=labels,
    )


def assert_same(found, expected):
    assert found.said == expected.said and list(found.labels) == list(expected.labels)
    for one, other in zip(found.levels, expected.levels, strict=True):
        np.testing.assert_array_equal(one, other)
        assert one.dtype == other.dtype
    for one, other in zip(found.lazy, expected.levels, strict=True):
        np.testing.assert_array_equal(one, other)
    for one, other in zip(found.part, expected.part, strict=True):
        np.testing.assert_array_equal(one, other)
    for name, label in found.labels.items():
        assert_same(label, expected.labels[name])


@pytest.mark.parametrize("place", ["folder", "http", "https", "s3"])
@pytest.mark.parametrize("store", STORES)
def test_every_store_reads_the_same_everywhere(store, place, places, written, root):
    levels = written(store)
    folder = everything(open_multiscale(root / "lab" / store))
    for one, other in zip(folder.levels, levels, strict=True):
        np.testing.assert_array_equal(one, other)
    for form in ("", ".ozx", ".zip"):
        assert_same(everything(places[place](f"{store}{form}")), folder)
