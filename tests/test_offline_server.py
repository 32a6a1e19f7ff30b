"""The S3 protocol, the keys and the chunks of the offline stand-in, over real HTTP.

The painter is a formula here, so that these tests are about the server and nothing else. The
clients and the painted pixels are the business of test_offline_peers.
"""

import http.client
import itertools
import json
import math
import random
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from hashlib import md5
from urllib.parse import quote, unquote, urlsplit
from xml.etree import ElementTree

import numpy as np
import pytest
import zarr
from numcodecs import get_codec
from numcodecs.blosc import Blosc
from zarr.core.buffer import default_buffer_prototype
from zarr.storage import MemoryStore

from data_helpers.offline import __main__ as by_hand
from data_helpers.offline import arrays, catalogue, chunks, listing
from data_helpers.offline.server import CORS_HEADERS, OfflineThread, OpenHTTP, S3App

BLASTOCYST = "zarr/v0.1/6001247.zarr"
ORGANOID = "zarr/v0.1/9822152.zarr"
EMBRYO = "zarr/v0.4/idr0044A/4007801.zarr"
CHUNK = f"{BLASTOCYST}/0/0.1.128.0.0"
SHARDED = "zarr/v0.5/idr0083/9822152.zarr"
BUCKET = catalogue.build_catalogue()
FIRST_200_KB = {"Range": "bytes=0-199999"}
CHUNKED = [a.path for a in BUCKET.all_arrays if a.document == ".zarray" and not a.picture]


def formula(level, t, c, z, y0, y1, x0, x1):
    """A pixel value from its coordinates, never 0, so that it differs from the fill value."""
    y, x = np.arange(y0, y1)[:, None], np.arange(x0, x1)
    return ((y * 31 + x * 7 + z * 3 + c * 11 + t * 13 + level * 1009) % 60000 + 1).astype("u2")


def label_formula(level, t, z, y0, y1, x0, x1):
    return formula(level, t, 0, z, y0, y1, x0, x1).astype("u4") + 1381342


@pytest.fixture(autouse=True)
def painted_by_formula(monkeypatch):
    """Replace the painters; a test that replaces them again reads chunks no other test reads."""

    def painter(name):
        return label_formula if name.endswith("_labels") else formula

    monkeypatch.setattr(chunks, "painter", painter)


@pytest.fixture(scope="module")
def server():
    running = OfflineThread()
    yield running
    running.stop()


class Answer:
    def __init__(self, response):
        self.status, self.headers = response.status, response.headers
        self.body = response.read()

    @property
    def code(self):
        return ElementTree.fromstring(self.body).findtext("Code")


@pytest.fixture
def ask(server):
    """Send one request; the path goes on the wire as it is given."""
    address = urlsplit(server.endpoint)
    connection = http.client.HTTPConnection(address.hostname, address.port, timeout=20)

    def send(path, method="GET", body=None, **headers):
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body=body, headers=named)
        return Answer(connection.getresponse())

    send.reconnect = connection.close
    yield send
    connection.close()


@pytest.fixture
def listed(ask):
    """Return the parsed answer to a listing: its keys, common prefixes and other fields."""

    def send(**query):
        named = {name.replace("_", "-"): str(value) for name, value in query.items()}
        answer = ask("/idr?" + "&".join(f"{k}={quote(v, safe='')}" for k, v in named.items()))
        assert answer.status == 200, answer.body
        root = ElementTree.fromstring(answer.body.replace(b' xmlns="', b' ignored="'))
        fields = {child.tag: child.text or "" for child in root if len(child) == 0}
        keys = [contents.findtext("Key") for contents in root.findall("Contents")]
        prefixes = [common.findtext("Prefix") for common in root.findall("CommonPrefixes")]
        return keys, prefixes, fields

    return send


# The keys and their order


@pytest.mark.parametrize("separator", [".", "/"])
@pytest.mark.parametrize("grid", [(1, 1, 1, 1, 1), (12, 2, 1, 3, 101), (2, 11, 21, 1, 3)])
def test_chunk_keys_are_in_byte_order(grid, separator):
    keys = listing.ChunkKeys("a/0/", grid, separator)
    indices = itertools.product(*map(range, grid))
    expected = sorted(
        ("a/0/" + separator.join(map(str, index)) for index in indices), key=str.encode
    )
    assert len(keys) == math.prod(grid)
    assert [keys[n] for n in range(len(keys))] == expected
    for n in range(len(keys)):
        assert keys[n] == "a/0/" + separator.join(map(str, keys.chunk_index(n)))
    for outside in (-1, len(keys)):
        with pytest.raises(IndexError):
            keys[outside]


def test_the_whole_bucket_is_in_byte_order():
    """Each sequence is sorted in itself (above), and none reaches into the next."""
    sequences = BUCKET.keys.sequences
    for keys, following in itertools.pairwise(sequences):
        assert keys[len(keys) - 1].encode() < following[0].encode()
    assert len(BUCKET.keys) == sum(len(keys) for keys in sequences) > 10_000_000
    with pytest.raises(IndexError):
        BUCKET.keys[len(BUCKET.keys)]


def brute_force_page(keys, prefix, delimiter, first, limit):
    """List one page by looking at every key."""
    found, prefixes, position = [], [], first
    while position < len(keys):
        key = keys[position]
        if key.startswith(prefix):
            rest = key[len(prefix) :]
            common = prefix + rest.partition(delimiter or "-")[0] + delimiter
            rolled_up = delimiter and delimiter in rest
            if rolled_up and prefixes and prefixes[-1] == common:
                position += 1
                continue
            if len(found) + len(prefixes) == limit:
                return found, prefixes, position
            if rolled_up:
                prefixes.append(common)
            else:
                found.append(position)
        position += 1
    return found, prefixes, None


def test_pages_agree_with_a_listing_by_brute_force():
    small = listing.JoinedKeys(
        [
            listing.ChunkKeys("a/0/", (11, 2, 3), "."),
            listing.ChunkKeys("a/1/", (1, 12, 2), "/"),
            ("a/.zattrs",),
            ("a/0/.zarray",),
            ("b",),
        ]
    )
    keys = [small[n] for n in range(len(small))]
    assert keys == sorted(keys)
    chance = random.Random(0)
    for _ in range(2000):
        prefix = chance.choice(keys)[: chance.randrange(9)] + chance.choice(["", "", "z", "1"])
        delimiter = chance.choice(["", "/", ".", "0", "/0", "."])
        first, limit = chance.randrange(len(keys) + 3), chance.randrange(1, 9)
        page = listing.list_page(small, prefix, delimiter, first, limit)
        expected = brute_force_page(keys, prefix, delimiter, first, limit)
        assert (page.positions, page.prefixes, page.following) == expected


def test_every_key_of_one_image_is_listed_once_and_found(listed, ask):
    prefix = f"{BLASTOCYST}/"
    keys, token = [], {}
    while token is not None:
        found, prefixes, fields = listed(list_type=2, prefix=prefix, **token)
        assert prefixes == [] and len(found) == int(fields["KeyCount"]) <= 1000
        keys += found
        more = fields["IsTruncated"] == "true"
        token = {"continuation_token": fields["NextContinuationToken"]} if more else None
    assert keys == sorted(keys, key=str.encode)
    documents = [".zattrs", ".zgroup", "0/.zarray", "1/.zarray", "2/.zarray"]
    documents += ["labels/.zattrs", "labels/.zgroup", "labels/0/.zarray"]
    planes = [f"{level}/0.{c}.{z}.0.0" for level in range(3) for c in range(2) for z in range(257)]
    planes += [f"labels/0/0.0.{z}.0.0" for z in range(257)]
    assert set(keys) == {prefix + name for name in documents + planes}
    assert len(keys) == len(documents + planes)
    for key in random.Random(1).sample(keys, 40):
        assert ask(f"/idr/{key}", "HEAD").status == 200


@pytest.mark.speed
@pytest.mark.parametrize(
    "query",
    [
        {},
        {"delimiter": "/"},
        {"start_after": f"{EMBRYO}/4/265/1/494/0/0"},
        {"prefix": f"{EMBRYO}/4/531/1/98"},
    ],
)
def test_a_million_keys_list_at_once(listed, query):
    """In processor time of server and client together, which a busy machine does not spoil."""
    seconds = []
    for _ in range(3):
        started = time.process_time()
        keys, prefixes, _ = listed(**({"list_type": 2, "prefix": f"{EMBRYO}/4/"} | query))
        seconds.append(time.process_time() - started)
        assert keys or prefixes
    assert min(seconds) < 0.1, seconds


def test_listing_folders(listed):
    assert len(listed(list_type=2, prefix=f"{EMBRYO}/4/", delimiter="/")[1]) == 532
    assert listed(list_type=2, delimiter="/")[:2] == ([], ["synthetic/", "zarr/"])
    _, prefixes, fields = listed(list_type=2, prefix="zarr/v0.1/", delimiter="/")
    assert prefixes == [f"zarr/v0.1/{name}.zarr/" for name in (4007801, 6001247, 9822152)]
    assert fields["KeyCount"] == "3" and fields["IsTruncated"] == "false"
    assert fields["Name"] == "idr" and fields["Delimiter"] == "/"
    keys, prefixes, _ = listed(list_type=2, prefix=f"{BLASTOCYST}/", delimiter="/")
    assert keys == [f"{BLASTOCYST}/.zattrs", f"{BLASTOCYST}/.zgroup"]
    assert prefixes == [f"{BLASTOCYST}/{name}/" for name in ("0", "1", "2", "labels")]


def test_paging_over_folders(listed):
    """Each page goes on after the common prefix that ended the one before."""
    found, token = [], {}
    for _ in range(20):
        keys, prefixes, fields = listed(
            list_type=2, prefix=f"{ORGANOID}/", delimiter="/", max_keys=2, **token
        )
        found += keys + prefixes
        if fields["IsTruncated"] == "false":
            break
        token = {"continuation_token": fields["NextContinuationToken"]}
    assert found == [f"{ORGANOID}/{name}" for name in (".zattrs", ".zgroup")] + [
        f"{ORGANOID}/{level}/" for level in sorted(map(str, range(11)))
    ]


def test_paging_the_older_listing(listed):
    found, marker = [], {}
    for _ in range(20):
        keys, prefixes, fields = listed(prefix=f"{ORGANOID}/", delimiter="/", max_keys=3, **marker)
        assert "KeyCount" not in fields
        found += keys + prefixes
        if fields["IsTruncated"] == "false":
            break
        marker = {"marker": fields["NextMarker"]}
    assert len(found) == len(set(found)) == 13


def test_listing_options(listed, ask):
    keys, _, fields = listed(list_type=2, max_keys=0)
    assert keys == [] and fields["IsTruncated"] == "false"
    keys, _, fields = listed(list_type=2, max_keys=5000)
    assert len(keys) == 1000 and fields["MaxKeys"] == "1000"
    keys, _, _ = listed(list_type=2, prefix="zarr/v0.1/", start_after=f"{ORGANOID}/9/.zarray")
    assert keys == [f"{ORGANOID}/9/0.0.0.0.0"]
    assert listed(list_type=2, prefix="nothing here")[0] == []
    _, prefixes, fields = listed(list_type=2, delimiter="r/v", encoding_type="url", prefix="z a")
    assert fields["Prefix"] == "z%20a" and fields["Delimiter"] == "r/v" and prefixes == []
    assert fields["EncodingType"] == "url"
    _, _, fields = listed(list_type=2, prefix="<&\x00\uffff")
    assert fields["Prefix"] == "<&\ufffd\ufffd"  # XML holds no control characters
    for wrong in (
        "max-keys=-1",
        "max-keys=ten",
        "max-keys=",
        "max-keys=٣",
        "continuation-token=x",
        "encoding-type=gzip",
    ):
        answer = ask(f"/idr?list-type=2&{quote(wrong, safe='=')}")
        assert (answer.status, answer.code) == (400, "InvalidArgument"), wrong
    far = listed(list_type=2, continuation_token="9" * 18)
    assert far[0] == [] and far[2]["IsTruncated"] == "false"


# Metadata


def test_metadata_of_each_array_fits_its_multiscale(ask):
    for image in catalogue.IMAGES:
        for root in (f"zarr/v0.1/{image.image_id}", f"zarr/v0.4/{image.study}/{image.image_id}"):
            attributes = json.loads(ask(f"/idr/{root}.zarr/.zattrs").body)
            described = attributes["multiscales"][0]
            version = root.split("/")[1].removeprefix("v")
            assert described["version"] == version
            assert described["name"] == f"synthetic stand-in for IDR {image.image_id}"
            assert ("axes" in described) == (version == "0.4")
            shapes = []
            for dataset in described["datasets"]:
                metadata = json.loads(ask(f"/idr/{root}.zarr/{dataset['path']}/.zarray").body)
                assert metadata["compressor"] == {
                    "id": "blosc",
                    "cname": "lz4",
                    "clevel": 5,
                    "shuffle": 1,
                    "blocksize": 0,
                }
                assert metadata.get("dimension_separator", ".") == "./"[version == "0.4"]
                shapes.append(metadata["shape"])
                assert metadata["dtype"] == (">u2" if image.image_id == 9822152 else "<u2")
            assert ask(f"/idr/{root}.zarr/{len(shapes)}/.zarray").status == 404
            assert shapes == [[*image.tcz, *level] for level in image.levels]
            omero = attributes["omero"]
            assert len(omero["channels"]) == image.tcz[1]
            assert all(c["window"]["max"] == 65535 for c in omero["channels"])


def test_sizes_are_those_of_the_real_images():
    known = {array.path: array for array in BUCKET.all_arrays}
    organoid, embryo = known[f"{ORGANOID}/0"], known["zarr/v0.1/4007801.zarr/0"]
    assert math.prod(organoid.grid) == 12_831
    assert round(math.prod(organoid.shape) * 2 / 2**30, 2) == 25.06
    assert round(math.prod(embryo.shape) * 2 / 1e12, 2) == 9.34
    assert math.prod(known[f"{EMBRYO}/4"].grid) == 1_051_232
    assert known[f"{ORGANOID}/10"].chunks == (1, 1, 1, 91, 141)
    assert known[f"{ORGANOID}/7"].chunks == (1, 1, 1, 728, 1024)
    assert known[f"{BLASTOCYST}/labels/0"].shape == (1, 1, 257, 210, 253)


def test_scales_axes_and_windows(ask):
    def described(root):
        attributes = json.loads(ask(f"/idr/zarr/v0.4/{root}/.zattrs").body)
        entry = attributes["multiscales"][0]
        scales = [d["coordinateTransformations"][0]["scale"] for d in entry["datasets"]]
        windows = [
            (c["window"]["start"], c["window"]["end"]) for c in attributes["omero"]["channels"]
        ]
        return entry["axes"], scales, windows

    axes, scales, windows = described("idr0083A/9822152.zarr")
    assert [axis["name"] for axis in axes] == list("tczyx")
    assert axes[4] == {"name": "x", "type": "space", "unit": "micrometer"}
    assert scales[0] == [1, 1, 1, 1.0032640194886027, 1.0032640194886027]
    assert scales[3] == [1, 1, 1, 8 * 1.0032640194886027, 8 * 1.0032640194886027]
    assert windows == [(1500, 6000)]
    axes, scales, windows = described("idr0044A/4007801.zarr")
    assert scales == [[1, 1, 1, 2**n, 2**n] for n in range(5)]
    assert not any("unit" in axis for axis in axes) and windows == [(0, 1093), (0, 439)]
    axes, scales, windows = described("idr0062A/6001247.zarr")
    assert scales[1] == [1, 1, 0.500202734375, 2 * 0.3603981534640209, 2 * 0.3603981534640209]
    assert [axis.get("unit") for axis in axes] == [None, None] + ["micrometer"] * 3


def test_labels_of_both_layouts(ask):
    def read(path):
        return json.loads(ask(f"/idr/{path}").body)

    assert read(f"{BLASTOCYST}/labels/.zattrs") == {"labels": ["0"]}
    plain = read(f"{BLASTOCYST}/labels/0/.zarray")
    assert plain["shape"] == [1, 1, 257, 210, 253] and plain["dtype"] == "<u4"
    assert ask(f"/idr/{BLASTOCYST}/labels/0/.zgroup").status == 404
    labels = "zarr/v0.4/idr0062A/6001247.zarr/labels"
    assert read(f"{labels}/.zattrs") == {"labels": ["0"]}
    attributes = read(f"{labels}/0/.zattrs")
    entry = attributes["multiscales"][0]
    assert [axis.get("units") for axis in entry["axes"][2:]] == ["micrometer"] * 3
    assert not any("unit" in axis for axis in entry["axes"]) and len(entry["datasets"]) == 4
    assert read(f"{labels}/0/3/.zarray")["shape"] == [1, 1, 257, 26, 31]
    colors = attributes["image-label"]["colors"]
    assert [c["label-value"] for c in colors] == list(range(1381342, 1381390))
    assert {tuple(c["rgba"]) for c in colors} == {(128, 128, 128, 128)}
    assert ask(f"/idr/{ORGANOID}/labels/.zattrs").status == 404


# Chunks


def expected_chunk(array, index):
    """The whole chunk from the formula: native byte order, padded with zeros."""
    t, c, z, j, i = index
    height, width = array.chunks[3:]
    y0, x0 = j * height, i * width
    y1, x1 = min(y0 + height, array.shape[3]), min(x0 + width, array.shape[4])
    pixels = np.zeros((height, width), array.dtype[1:])
    if array.painter.endswith("_labels"):
        pixels[: y1 - y0, : x1 - x0] = label_formula(array.level, t, z, y0, y1, x0, x1)
    else:
        pixels[: y1 - y0, : x1 - x0] = formula(array.level, t, c, z, y0, y1, x0, x1)
    return pixels


@pytest.mark.parametrize("path", CHUNKED)
def test_last_chunk_of_each_array(ask, path):
    """Pixels, byte order, padding and size, at the corner where all edges meet."""
    metadata = json.loads(ask(f"/idr/{path}/.zarray").body)
    array = BUCKET._arrays[path + "/"]
    index = tuple(count - 1 for count in array.grid)
    key = f"/idr/{path}/" + array.separator.join(map(str, index))
    body = ask(key).body
    assert int(ask(key, "HEAD").headers["Content-Length"]) == len(body) == array.chunk_bytes + 16
    decoded = np.frombuffer(get_codec(metadata["compressor"]).decode(body), metadata["dtype"])
    pixels = decoded.reshape(metadata["chunks"])[0, 0, 0]
    np.testing.assert_array_equal(pixels, expected_chunk(array, index))
    stored = expected_chunk(array, index).astype(metadata["dtype"])
    assert body == bytes(Blosc(cname="lz4", clevel=0, shuffle=1).encode(stored))


@pytest.mark.parametrize("level", range(11))
def test_last_shard_of_each_level(ask, level):
    """Zarr decodes it: its chunks, the empty places beyond the image, and the index at its end."""
    array = BUCKET._arrays[f"{SHARDED}/{level}/c/"]
    described = json.loads(ask(f"/idr/{SHARDED}/{level}/zarr.json").body)
    index = tuple(count - 1 for count in array.grid)
    key = f"{SHARDED}/{level}/c/{'/'.join(map(str, index))}"
    body = ask(f"/idr/{key}").body
    assert int(ask(f"/idr/{key}", "HEAD").headers["Content-Length"]) == len(body)
    places = math.prod(a // b for a, b in zip(array.shard, array.chunks, strict=True))
    assert len(body) == len(array.chunks_of(index)) * (array.chunk_bytes + 16) + 16 * places + 4
    store = {f"{level}/zarr.json": json.dumps(described).encode(), key.split(".zarr/")[1]: body}
    store = {name: default_buffer_prototype().buffer.from_bytes(b) for name, b in store.items()}
    opened = zarr.open_array(MemoryStore(store), path=str(level), mode="r")
    assert opened.shards == array.shard and opened.chunks == array.chunks
    y0, x0 = (n * size for n, size in zip(index[3:], array.shard[3:], strict=True))
    shape = array.shape[3:]
    np.testing.assert_array_equal(
        opened[0, 0, 0, y0:, x0:], formula(level, 0, 0, 0, y0, shape[0], x0, shape[1])
    )


def test_a_range_of_a_shard_paints_only_the_chunks_that_it_touches(ask, monkeypatch):
    painted = []

    def watching(*where):
        painted.append(where)
        return formula(*where)

    monkeypatch.setattr(chunks, "painter", lambda name: watching)
    key = f"/idr/{SHARDED}/3/c/0/0/0/1/1"
    size = 2 * 1024 * 1024 + 16
    assert len(ask(key, Range="bytes=-260").body) == 260 and painted == []
    part = ask(key, Range=f"bytes={5 * size}-{6 * size - 1}").body  # row 1, column 1 of 4 x 4
    pixels = np.frombuffer(part[16:], "<u2").reshape(1024, 1024)
    np.testing.assert_array_equal(pixels, formula(3, 0, 0, 0, 5120, 6144, 5120, 6144))
    assert {where[4] // 1024 for where in painted} == {5}


def test_sizes_of_the_sharded_copy_are_those_of_the_public_one():
    array = BUCKET._arrays[f"{SHARDED}/0/c/"]
    assert array.shard == (1, 1, 1, 4096, 4096) and array.chunks == (1, 1, 1, 1024, 1024)
    assert math.prod(array.grid) == 23 * 36  # objects, instead of 12,831
    assert arrays.crc32c(b"123456789") == 0xE3069283  # the check value in the catalogue of CRCs


def test_padding_lies_outside_the_image():
    array = BUCKET._arrays[f"{ORGANOID}/1/"]
    corner = expected_chunk(array, (0, 0, 0, *(count - 1 for count in array.grid[3:])))
    assert (corner[:512, :512] > 0).all() and not corner[512:].any() and not corner[:, 512:].any()


def test_ranges_of_a_chunk_painted_in_many_strips(ask):
    key = f"/idr/{EMBRYO}/0/3/1/500/0/0"
    whole = ask(key).body
    size = 2048 * 2169 * 2 + 16
    assert len(whole) == size and size > 5 * chunks.STRIP_BYTES
    chance = random.Random(2)
    for _ in range(20):
        start = chance.randrange(size)
        stop = chance.randrange(start, min(size, start + 3 * chunks.STRIP_BYTES)) + 1
        answer = ask(key, Range=f"bytes={start}-{stop - 1}")
        assert answer.status == 206
        assert answer.headers["Content-Range"] == f"bytes {start}-{stop - 1}/{size}"
        assert answer.body == whole[start:stop]


def test_a_range_paints_only_what_it_needs(ask, monkeypatch):
    painted = []

    def watching(level, t, c, z, y0, y1, x0, x1):
        painted.append(y1 - y0)
        return formula(level, t, c, z, y0, y1, x0, x1)

    monkeypatch.setattr(chunks, "painter", lambda name: watching)
    assert len(ask(f"/idr/{EMBRYO}/0/9/1/500/0/0", Range="bytes=-100").body) == 100
    assert len(painted) == 1 and painted[0] < 300
    ask(f"/idr/{EMBRYO}/0/9/1/500/0/0", "HEAD")
    ask(f"/idr?list-type=2&prefix={EMBRYO}/0/9/1/500")
    assert len(painted) == 1


@pytest.mark.parametrize("key", [CHUNK, f"{BLASTOCYST}/.zattrs"])
def test_ranges(ask, key):
    whole = ask(f"/idr/{key}").body
    size = len(whole)
    for wanted, expected in {
        "0-0": whole[:1],
        "0-15": whole[:16],
        "10-": whole[10:],
        "-7": whole[-7:],
        f"-{size + 5}": whole,
        f"5-{size + 99}": whole[5:],
        f"{size - 1}-": whole[-1:],
    }.items():
        answer = ask(f"/idr/{key}", Range=f"bytes={wanted}")
        assert answer.status == 206 and answer.body == expected, wanted
        start = size - len(expected) if wanted[0] == "-" else int(wanted.split("-")[0])
        shown = f"bytes {start}-{start + len(expected) - 1}/{size}"
        assert answer.headers["Content-Range"] == shown
        head = ask(f"/idr/{key}", "HEAD", Range=f"bytes={wanted}")
        assert (head.status, head.body) == (206, b"") and head.headers["Content-Range"] == shown
    for wanted in (f"{size}-", f"{size + 5}-{size + 9}", "-0"):
        answer = ask(f"/idr/{key}", Range=f"bytes={wanted}")
        assert (answer.status, answer.code) == (416, "InvalidRange"), wanted
        assert answer.headers["Content-Range"] == f"bytes */{size}"
    for wanted in ("bytes=9-3", "bytes=-", "bytes=a-b", "lines=1-2", "bytes=0-1,4-5", "bytes=٣-٤"):
        answer = ask(f"/idr/{key}", Range=wanted.encode())
        assert (answer.status, answer.body) == (200, whole), wanted


def test_etags(ask):
    document = ask(f"/idr/{BLASTOCYST}/.zattrs")
    assert document.headers["ETag"] == f'"{md5(document.body).hexdigest()}"'
    etags = {ask(f"/idr/{BLASTOCYST}/0/0.1.{z}.0.0", "HEAD").headers["ETag"] for z in range(9)}
    assert len(etags) == 9 and all(etag.endswith('-1"') for etag in etags)
    etag = ask(f"/idr/{CHUNK}").headers["ETag"]
    for known in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        answer = ask(f"/idr/{CHUNK}", If_None_Match=known)
        assert (answer.status, answer.body) == (304, b"") and answer.headers["ETag"] == etag
    assert ask(f"/idr/{CHUNK}", If_None_Match='"other"').status == 200
    assert ask(f"/idr/{CHUNK}", If_Match=etag).status == 200
    answer = ask(f"/idr/{CHUNK}", If_Match='"other"')
    assert (answer.status, answer.code) == (412, "PreconditionFailed")
    assert ask(f"/idr/{CHUNK}", Range="bytes=0-1", If_Range=etag).status == 206
    assert ask(f"/idr/{CHUNK}", Range="bytes=0-1", If_Range='"other"').status == 200
    assert ask(f"/idr/{CHUNK}").headers["Last-Modified"] == "Thu, 01 Jan 2026 00:00:00 GMT"


def test_the_cache_keeps_the_latest_strips_within_its_limit():
    array = BUCKET._arrays[f"{ORGANOID}/0/"]
    cache = chunks.StripCache(100)
    for n in range(5):
        cache.put((array, (), n), bytes(20))
    assert cache.size == 100 and cache.get((array, (), 0)) == bytes(20)
    cache.put((array, (), 5), bytes(30))  # 0 was used just now, so that 1 and 2 are the oldest
    kept = [n for n in range(6) if cache.get((array, (), n)) is not None]
    assert kept == [0, 3, 4, 5] and cache.size == 90
    cache.put((array, (), 5), bytes(10))
    assert cache.size == 70
    cache.put((array, (), 6), bytes(101))
    assert cache.size == 0


def test_what_was_read_lately_is_not_painted_again(ask, monkeypatch):
    painted = []

    def watching(*where):
        painted.append(where)
        return formula(*where)

    monkeypatch.setattr(chunks, "painter", lambda name: watching)
    for _ in range(3):
        ask(f"/idr/{BLASTOCYST}/2/0.1.7.0.0")
    assert len(painted) == 1


@pytest.mark.speed
def test_small_answers_are_sent_at_once(ask):
    """Without TCP_NODELAY each answer over a kept connection waits 40 ms for the one before."""
    started = time.perf_counter()
    for _ in range(50):
        ask(f"/idr/{BLASTOCYST}/.zgroup")
    assert time.perf_counter() - started < 1.0


# What is refused


BAD_KEYS = [
    "zarr",
    "zarr/",
    BLASTOCYST,
    f"{BLASTOCYST}/",
    f"{BLASTOCYST}/0",
    f"{BLASTOCYST}/0/",
    f"{BLASTOCYST}/zarr.json",
    f"{BLASTOCYST}/.zmetadata",
    f"{BLASTOCYST}/0/.zattrs",
    *(
        f"{BLASTOCYST}/0/{name}"
        for name in (
            "0.1.128.0",
            "0.1.128.0.0.0",
            "00.1.128.0.0",
            "0.01.128.0.0",
            "-1.1.128.0.0",
            "+0.1.128.0.0",
            "0.2.128.0.0",
            "0.1.257.0.0",
            "0.1.128.0.1",
            "0.1.1e2.0.0",
            "0.1. 28.0.0",
            "0.1.١.0.0",
            "0.1.99999999999999999999.0.0",
            "0/1/128/0/0",
            "0.1.128.0.0 ",
            "0.1.128.0.0/",
            "..../",
            "0..128.0.0",
        )
    ),
    f"{EMBRYO}/4/0.0.0.0.0",
    f"{EMBRYO}/4/0/0/0/0/00",
    f"{EMBRYO}/4/532/0/0/0/0",
    "zarr/v0.5/idr0062A/6001247.zarr/zarr.json",
    "x" * 5000,
    "0." * 1500 + "0",
    "\N{GRINNING FACE}",
]


@pytest.mark.parametrize("key", BAD_KEYS, ids=lambda key: key[-40:])
def test_keys_that_are_not_there(ask, key):
    answer = ask("/idr/" + quote(key))
    assert (answer.status, answer.code) == (404, "NoSuchKey")
    assert ElementTree.fromstring(answer.body).findtext("Resource") == "/idr/" + key
    assert ask("/idr/" + quote(key), "HEAD").status == 404


@pytest.mark.parametrize(
    "path",
    [
        "/idr/../etc/passwd",
        "/idr/zarr/../zarr/v0.1/6001247.zarr/.zattrs",
        "/idr/%2e%2e/%2e%2e/etc/passwd",
        "/idr/%252e%252e/etc/passwd",
        "/idr/..%2f..%2fetc/passwd",
        "/idr/..%5c..%5cwindows",
        "/idr/..\\..\\windows",
        "/idr//zarr/v0.1/6001247.zarr/.zattrs",
        "/idr/./zarr/v0.1/6001247.zarr/.zattrs",
        "/idr/zarr/v0.1/6001247.zarr/.zattrs%00",
        "/idr/zarr/v0.1/6001247.zarr/.zattrs%0a",
        "/idr/%ff%fe",
        "/../idr/zarr/v0.1/6001247.zarr/.zattrs",
        "//idr/zarr/v0.1/6001247.zarr/.zattrs",
        "/IDR/zarr/v0.1/6001247.zarr/.zattrs",
        "/..",
    ],
)
def test_paths_that_climb_out(ask, path):
    assert ask(path).status == 404


@pytest.mark.parametrize("method", ["PUT", "POST", "DELETE", "PATCH", "PROPFIND", "TRACE"])
@pytest.mark.parametrize("path", ["/", "/idr", "/idr?delete", f"/idr/{CHUNK}", "/idr/new", "/no"])
def test_nothing_can_be_written(ask, method, path):
    answer = ask(path, method, body=b"x" * 3_000_000)
    assert (answer.status, answer.code) == (405, "MethodNotAllowed")
    assert answer.headers["Allow"] == "GET, HEAD, OPTIONS"
    assert answer.headers["Access-Control-Allow-Origin"] == "*"


def test_buckets(ask):
    assert b"<Name>idr</Name>" in ask("/").body
    assert ask("/idr", "HEAD").status == ask("/idr/", "HEAD").status == 200
    assert (ask("/other").status, ask("/other").code) == (404, "NoSuchBucket")
    assert (ask("/other/key").status, ask("/other/key").code) == (404, "NoSuchBucket")
    assert ask("/other", "HEAD").status == 404
    assert b"LocationConstraint" in ask("/idr?location").body
    assert b"VersioningConfiguration" in ask("/idr?versioning").body
    assert (ask("/idr?acl").status, ask("/idr?acl").code) == (501, "NotImplemented")


@pytest.mark.parametrize(
    ("path", "method", "headers", "status"),
    [
        ("/", "GET", {}, 200),
        ("/idr?list-type=2&max-keys=1", "GET", {}, 200),
        (f"/idr/{CHUNK}", "GET", {}, 200),
        (f"/idr/{CHUNK}", "HEAD", {}, 200),
        (f"/idr/{CHUNK}", "GET", {"Range": "bytes=0-9"}, 206),
        (f"/idr/{CHUNK}", "GET", {"If_None_Match": "*"}, 304),
        (f"/idr/{CHUNK}", "GET", {"Range": "bytes=999999999-"}, 416),
        ("/idr?list-type=2&max-keys=x", "GET", {}, 400),
        ("/idr/missing", "GET", {}, 404),
        ("/idr/missing", "OPTIONS", {"Access_Control_Request_Method": "GET"}, 200),
        ("/idr/missing", "PUT", {}, 405),
    ],
)
def test_browsers_may_read_every_answer_and_see_that_it_is_synthetic(
    ask, path, method, headers, status
):
    answer = ask(path, method, Origin="https://viewer.example", **headers)
    assert answer.status == status
    assert_pages_may_read(answer)
    assert answer.headers["x-amz-meta-synthetic"] == "true"
    assert "synthetic" in answer.headers["Server"]


def assert_pages_may_read(answer):
    """Each header just once: a browser takes two values of the first for none."""
    named = {name: answer.headers.get_all(name) for name in CORS_HEADERS}
    assert named == {name: [value] for name, value in CORS_HEADERS.items()}
    assert named["Access-Control-Allow-Origin"] == ["*"]
    exposed = set(named["Access-Control-Expose-Headers"][0].split(", "))
    assert {"Accept-Ranges", "ETag", "Content-Length", "Content-Range"} <= exposed


@pytest.mark.parametrize("path", ["/", "/other/key", f"/idr/{CHUNK}", "/idr/missing"])
def test_a_browser_that_asks_before_its_request_may_send_it(ask, path):
    """With the questions of a request with a range, from a public page to a private network."""
    answer = ask(
        path,
        "OPTIONS",
        Origin="https://viewer.example",
        Access_Control_Request_Method="GET",
        Access_Control_Request_Headers="range",
        Access_Control_Request_Private_Network="true",
    )
    assert answer.status == 200 and answer.body == b""
    assert_pages_may_read(answer)
    assert "GET" in answer.headers["Access-Control-Allow-Methods"]
    assert answer.headers["Access-Control-Allow-Headers"] == "*"
    assert answer.headers["Access-Control-Allow-Private-Network"] == "true"


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [
        ("/other", "GET", 404),
        ("/other/key", "HEAD", 404),
        ("/idr?acl", "GET", 501),
        (f"/idr/{CHUNK}", "DELETE", 405),
        ("/idr/missing", "TRACE", 405),
        ("/idr/%ff%fe", "GET", 404),
    ],
)
def test_browsers_may_read_every_refusal(ask, path, method, status):
    answer = ask(path, method, Origin="https://viewer.example")
    assert answer.status == status
    assert_pages_may_read(answer)


def test_browsers_may_read_what_uvicorn_answers_by_itself(ask, monkeypatch, caplog):
    """500 where the application itself fails, 503 where there are too many requests."""

    async def broken(app, scope, receive, send):
        raise ArithmeticError("outside of every net")

    monkeypatch.setattr(S3App, "__call__", broken)
    answer = ask(f"/idr/{CHUNK}")
    assert (answer.status, answer.body) == (500, b"Internal Server Error")
    assert_pages_may_read(answer)
    full = property(lambda protocol: 0, lambda protocol, limit: None)
    monkeypatch.setattr(OpenHTTP, "limit_concurrency", full, raising=False)
    ask.reconnect()
    answer = ask(f"/idr/{CHUNK}")
    assert (answer.status, answer.body) == (503, b"Service Unavailable")
    assert_pages_may_read(answer)


def test_a_painter_that_fails_is_an_error_and_never_zeros(ask, monkeypatch, caplog):
    def broken(level, t, c, z, y0, y1, x0, x1):
        if y1 > 700:
            raise ArithmeticError("no paint")
        return formula(level, t, c, z, y0, y1, x0, x1)

    monkeypatch.setattr(chunks, "painter", lambda name: broken)
    answer = ask(f"/idr/{EMBRYO}/1/7/0/0/0/0", Range="bytes=-9")
    assert (answer.status, answer.code) == (500, "InternalError")
    assert b"no paint" in answer.body and answer.headers["Access-Control-Allow-Origin"] == "*"
    with pytest.raises(http.client.IncompleteRead):  # it fails after some strips were sent
        ask(f"/idr/{EMBRYO}/1/7/0/0/0/0")


# The server


def test_many_requests_over_one_connection(server):
    address = urlsplit(server.endpoint)
    connection = http.client.HTTPConnection(address.hostname, address.port, timeout=10)
    sockets = set()
    for path in ("/idr/missing", f"/idr/{CHUNK}", "/", f"/idr/{BLASTOCYST}/.zattrs"):
        for method in ("GET", "HEAD", "PUT"):
            connection.request(method, path)
            connection.getresponse().read()
            sockets.add(connection.sock)
    assert len(sockets) == 1 and None not in sockets
    connection.close()


def test_garbage_on_the_wire_does_not_harm(server, ask):
    address = urlsplit(server.endpoint)
    for garbage in (b"\x00\xff\r\n\r\n", b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\n\r\n"):
        with socket.create_connection((address.hostname, address.port), timeout=5) as plain:
            plain.sendall(garbage)
            refusal = plain.recv(2000)  # of uvicorn, which the application never sees
            assert b" 400 " in refusal.splitlines()[0]
            assert refusal.lower().count(b"\naccess-control-allow-origin: *\r\n") == 1
    assert ask(f"/idr/{CHUNK}").status == 200


@pytest.mark.speed
def test_a_delay_lets_requests_wait_side_by_side():
    slow = OfflineThread(delay_ms=200)
    address = urlsplit(slow.endpoint)

    def read(_):
        connection = http.client.HTTPConnection(address.hostname, address.port, timeout=20)
        connection.request("GET", f"/idr/{BLASTOCYST}/.zattrs")
        status = connection.getresponse().status
        connection.close()
        return status

    try:
        started = time.perf_counter()
        assert read(0) == 200
        assert time.perf_counter() - started >= 0.2
        started = time.perf_counter()
        with ThreadPoolExecutor(16) as pool:
            assert set(pool.map(read, range(16))) == {200}
        assert 0.2 <= time.perf_counter() - started < 1.6  # 3.2 s one after the other
    finally:
        slow.stop()


@pytest.mark.speed
def test_a_line_carries_so_many_megabytes_a_second_for_all_requests_together():
    slow = OfflineThread(app=S3App(BUCKET, mb_per_s=4))
    address = urlsplit(slow.endpoint)

    def read(column):
        connection = http.client.HTTPConnection(address.hostname, address.port, timeout=20)
        connection.request("GET", f"/idr/{ORGANOID}/3/0.0.0.3.{column}", headers=FIRST_200_KB)
        size = len(connection.getresponse().read())
        connection.close()
        return size

    try:
        for columns in ([4], range(4, 8)):
            with ThreadPoolExecutor(4) as pool:
                list(pool.map(read, columns))  # painted now
                started = time.perf_counter()
                assert set(pool.map(read, columns)) == {200_000}
                seconds = time.perf_counter() - started
            assert 0.05 * len(columns) <= seconds < 0.05 * len(columns) + 0.5
    finally:
        slow.stop()


def test_it_stops_and_frees_its_port():
    first = OfflineThread()
    port = urlsplit(first.endpoint).port
    with pytest.raises(OSError):
        OfflineThread(port)
    first.stop()
    assert not first.alive()
    second = OfflineThread(port)
    second.stop()


def test_by_hand_a_port_in_use_is_one_sentence(server, capsys):
    port = urlsplit(server.endpoint).port
    assert by_hand.main(["--port", str(port)]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and f"port {port}" in said and "--port 0" in said
    with pytest.raises(SystemExit):
        by_hand.main(["--port", "70000"])


def test_by_hand_it_says_what_it_serves(server, capsys, ask, monkeypatch):
    def interrupted(self):
        raise KeyboardInterrupt

    monkeypatch.setattr(OfflineThread, "alive", interrupted)
    assert by_hand.main(["--port", "0"]) == 0
    said = capsys.readouterr().out
    assert "synthetic" in said and "http://127.0.0.1:" in said and said.endswith("Stopped.\n")
    for key in by_hand.EXAMPLES:
        assert f"/idr/{key}\n" in said
        assert ask(f"/idr/{key}").status == 200


def test_unquoted_and_quoted_keys_are_the_same(ask):
    key = f"{EMBRYO}/4/265/1/494/0/0"
    assert unquote(quote(key, safe="")) == key
    assert ask("/idr/" + quote(key, safe="")).body == ask(f"/idr/{key}").body
