"""Clients that nobody here wrote read the offline stand-in, and get what the painters paint.

Every test goes over the loopback interface to a server in its own process.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import boto3
import botocore
import dask.array as da
import fsspec
import ngff_zarr
import numpy as np
import obstore
import pytest
import s3fs
import zarr
from botocore.config import Config
from numcodecs import get_codec
from obstore.store import S3Store
from ome_zarr.io import parse_url
from ome_zarr.reader import Labels, Multiscales, Plate, Reader
from zarr.storage import FsspecStore, ObjectStore

from data_helpers.offline import (
    blastocyst,
    catalogue,
    embryo,
    organoid,
    plate,
    plate_layout,
    process,
)

BLASTOCYST = "zarr/v0.1/6001247.zarr"
BLASTOCYST_04 = "zarr/v0.4/idr0062A/6001247.zarr"
EMBRYO = "zarr/v0.1/4007801.zarr"
EMBRYO_04 = "zarr/v0.4/idr0044A/4007801.zarr"
ORGANOID = "zarr/v0.1/9822152.zarr"
ORGANOID_04 = "zarr/v0.4/idr0083A/9822152.zarr"
SHARDED = "zarr/v0.5/idr0083/9822152.zarr"
ALL = [BLASTOCYST, BLASTOCYST_04, EMBRYO, EMBRYO_04, ORGANOID, ORGANOID_04]


@pytest.fixture(scope="module")
def endpoint():
    server = process.start()
    yield server.endpoint
    server.stop()


def plane_of_the_blastocyst(c=1, z=128):
    return blastocyst.paint(0, 0, c, z, 0, 210, 0, 253)


def last_level(root):
    """Return (level path, a position TCZ, the painted plane) of the coarsest level."""
    if "9822152" in root:
        return "10", (0, 0, 0), organoid.paint(10, 0, 0, 0, 0, 91, 0, 141)
    if "4007801" in root:
        return "4", (265, 1, 494), embryo.paint(4, 265, 1, 494, 0, 128, 0, 135)
    return "2", (0, 1, 128), blastocyst.paint(2, 0, 1, 128, 0, 52, 0, 63)


def test_the_catalogue_and_the_painters_agree_on_levels():
    for image, painter in zip(catalogue.IMAGES, (organoid, embryo, blastocyst), strict=True):
        assert tuple(image.levels) == tuple(painter.LEVELS)
    assert tuple(catalogue.BLASTOCYST.label_levels) == tuple(blastocyst.LABEL_LEVELS)


# Plain HTTP, and what a chunk is


@pytest.mark.parametrize("root", ALL)
def test_fsspec_http_and_a_chunk_decoded_by_hand(endpoint, root):
    http = fsspec.filesystem("http")
    level, (t, c, z), painted = last_level(root)
    url = f"{endpoint}/idr/{root}/{level}"
    metadata = json.loads(http.cat(f"{url}/.zarray"))
    key = metadata.get("dimension_separator", ".").join(map(str, (t, c, z, 0, 0)))
    frame = http.cat(f"{url}/{key}")
    assert http.size(f"{url}/{key}") == len(frame)
    assert http.cat_file(f"{url}/{key}", start=16, end=32) == frame[16:32]
    pixels = np.frombuffer(get_codec(metadata["compressor"]).decode(frame), metadata["dtype"])
    assert pixels.dtype.str == (">u2" if "9822152" in root else "<u2")
    np.testing.assert_array_equal(pixels.reshape(painted.shape), painted)
    with pytest.raises(FileNotFoundError):
        http.cat(f"{url}/nothing")


def test_a_tile_of_the_micrograph_in_big_endian(endpoint):
    """A tile at the middle of level 0, decoded without any array library but NumPy."""
    url = f"{endpoint}/idr/{ORGANOID}/0/0.0.0.45.70"
    with fsspec.open(url, "rb") as file:
        frame = file.read()
    pixels = np.frombuffer(frame[16:], ">u2").reshape(1024, 1024)
    y, x = 45 * 1024, 70 * 1024
    np.testing.assert_array_equal(pixels, organoid.paint(0, 0, 0, 0, y, y + 1024, x, x + 1024))


# s3fs


@pytest.fixture
def s3(endpoint):
    return s3fs.S3FileSystem(
        anon=True, endpoint_url=endpoint, skip_instance_cache=True, use_listings_cache=False
    )


def test_s3fs_lists_and_reads(s3):
    assert s3.ls("idr/zarr/v0.1") == [
        f"idr/zarr/v0.1/{name}.zarr" for name in (4007801, 6001247, 9822152)
    ]
    names = {path.removeprefix(f"idr/{BLASTOCYST}/") for path in s3.ls(f"idr/{BLASTOCYST}")}
    assert names == {".zattrs", ".zgroup", "0", "1", "2", "labels"}
    found = s3.find(f"idr/{BLASTOCYST}")
    assert len(found) == 8 + 3 * 2 * 257 + 257  # two pages
    assert s3.glob(f"idr/{BLASTOCYST}/labels/0/0.0.12?.0.0") == [
        f"idr/{BLASTOCYST}/labels/0/0.0.{z}.0.0" for z in range(120, 130)
    ]
    assert json.loads(s3.cat(f"idr/{BLASTOCYST}/.zattrs"))["multiscales"][0]["version"] == "0.1"
    chunk = f"idr/{BLASTOCYST}/0/0.1.128.0.0"
    whole = s3.cat(chunk)
    assert s3.info(chunk)["size"] == len(whole)
    with s3.open(chunk, "rb", block_size=5000) as file:
        file.seek(1000)
        assert file.read(100) == whole[1000:1100]
        file.seek(-50, 2)
        assert file.read() == whole[-50:]
    assert s3.cat_ranges([chunk] * 2, [0, 90], [4, 99]) == [whole[:4], whole[90:99]]
    assert not s3.exists(f"idr/{BLASTOCYST}/nothing")
    with pytest.raises(FileNotFoundError):
        s3.cat(f"idr/{BLASTOCYST}/nothing")
    with pytest.raises(OSError):
        s3.pipe(f"idr/{BLASTOCYST}/new", b"content")


def test_s3fs_lists_a_level_of_a_million_chunks_folder_by_folder(s3):
    assert len(s3.ls(f"idr/{EMBRYO_04}/4")) == 533  # 532 time points and .zarray
    assert len(s3.ls(f"idr/{EMBRYO_04}/4/265/1")) == 988


@pytest.mark.parametrize("root", [BLASTOCYST, EMBRYO_04])
def test_zarr_through_s3fs(endpoint, root):
    fs = s3fs.S3FileSystem(
        anon=True, endpoint_url=endpoint, asynchronous=True, skip_instance_cache=True
    )
    level, index, painted = last_level(root)
    store = FsspecStore(fs, read_only=True, path=f"idr/{root}/{level}")
    array = zarr.open_array(store, mode="r", zarr_format=2)
    np.testing.assert_array_equal(array[index], painted)


def test_zarr_group_through_s3fs_finds_its_levels_by_listing(endpoint):
    fs = s3fs.S3FileSystem(
        anon=True, endpoint_url=endpoint, asynchronous=True, skip_instance_cache=True
    )
    group = zarr.open_group(FsspecStore(fs, read_only=True, path=f"idr/{BLASTOCYST_04}"), mode="r")
    assert sorted(group.array_keys()) == ["0", "1", "2"]
    assert sorted(group.group_keys()) == ["labels"]
    assert group["labels/0/3"].shape == (1, 1, 257, 26, 31)


# boto3


@pytest.fixture(params=["signed", "unsigned"])
def boto(request, endpoint):
    unsigned = {"signature_version": botocore.UNSIGNED} if request.param == "unsigned" else {}
    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id="nobody",
        aws_secret_access_key="nothing",
        config=Config(**unsigned, retries={"max_attempts": 1}, read_timeout=10),
    )


def test_boto3_lists_in_pages(boto):
    pages = list(
        boto.get_paginator("list_objects_v2").paginate(
            Bucket="idr",
            Prefix=f"{EMBRYO_04}/4/",
            Delimiter="/",
            PaginationConfig={"PageSize": 100},
        )
    )
    assert len(pages) == 6
    prefixes = [common["Prefix"] for page in pages for common in page.get("CommonPrefixes", [])]
    assert prefixes == sorted(f"{EMBRYO_04}/4/{t}/" for t in range(532))
    assert [page["KeyCount"] for page in pages] == [100] * 5 + [33]
    older = list(
        boto.get_paginator("list_objects").paginate(
            Bucket="idr", Prefix=f"{BLASTOCYST}/", PaginationConfig={"PageSize": 1000}
        )
    )
    keys = [contents["Key"] for page in older for contents in page["Contents"]]
    assert len(keys) == len(set(keys)) == 8 + 3 * 2 * 257 + 257
    after = boto.list_objects_v2(
        Bucket="idr", Prefix=f"{ORGANOID}/", StartAfter=f"{ORGANOID}/9/.zarray"
    )
    assert [contents["Key"] for contents in after["Contents"]] == [f"{ORGANOID}/9/0.0.0.0.0"]
    assert after["Contents"][0]["Size"] == 182 * 282 * 2 + 16


def test_boto3_reads_and_cannot_write(boto):
    key = f"{BLASTOCYST}/0/0.1.128.0.0"
    assert [bucket["Name"] for bucket in boto.list_buckets()["Buckets"]] == ["idr"]
    boto.head_bucket(Bucket="idr")
    assert boto.get_bucket_location(Bucket="idr")["LocationConstraint"] is None
    head = boto.head_object(Bucket="idr", Key=key)
    whole = boto.get_object(Bucket="idr", Key=key)
    body = whole["Body"].read()
    assert head["ContentLength"] == len(body) and head["ETag"] == whole["ETag"]
    assert head["Metadata"] == {"synthetic": "true"} and head["LastModified"].year == 2026
    painted = plane_of_the_blastocyst()
    np.testing.assert_array_equal(np.frombuffer(body[16:], "<u2").reshape(210, 253), painted)
    part = boto.get_object(Bucket="idr", Key=key, Range="bytes=16-25")
    assert part["Body"].read() == body[16:26]
    assert part["ContentRange"] == f"bytes 16-25/{len(body)}"
    assert part["ResponseMetadata"]["HTTPStatusCode"] == 206
    with pytest.raises(boto.exceptions.NoSuchKey):
        boto.get_object(Bucket="idr", Key=f"{BLASTOCYST}/zarr.json")
    started = time.monotonic()
    for call, arguments, code in (
        (boto.head_object, {"Key": "missing"}, "404"),
        (boto.get_object, {"Key": key, "Range": "bytes=99999999-"}, "InvalidRange"),
        (boto.get_object, {"Key": key, "IfNoneMatch": head["ETag"]}, "304"),
        (boto.put_object, {"Key": "new", "Body": b"x" * 200_000}, "MethodNotAllowed"),
        (boto.delete_object, {"Key": key}, "MethodNotAllowed"),
        (boto.delete_objects, {"Delete": {"Objects": [{"Key": key}]}}, "MethodNotAllowed"),
        (boto.create_multipart_upload, {"Key": "new"}, "MethodNotAllowed"),
    ):
        with pytest.raises(botocore.exceptions.ClientError) as caught:
            call(Bucket="idr", **arguments)
        assert caught.value.response["Error"]["Code"] == code
    assert time.monotonic() - started < 10  # an upload waits to be accepted before it is refused
    with pytest.raises(boto.exceptions.NoSuchBucket):
        boto.list_objects_v2(Bucket="other")


def test_boto3_downloads_in_parts(boto, tmp_path):
    """A plane of the movie is larger than the size from which boto3 asks for parts."""
    key, file = f"{EMBRYO}/0/265.1.494.0.0", tmp_path / "chunk"
    boto.download_file("idr", key, str(file))
    pixels = np.fromfile(file, "<u2", offset=16).reshape(2048, 2169)
    some = embryo.paint(0, 265, 1, 494, 1000, 1100, 900, 1000)
    np.testing.assert_array_equal(pixels[1000:1100, 900:1000], some)


# obstore


@pytest.fixture
def bucket(endpoint):
    return S3Store(
        "idr",
        endpoint=endpoint,
        region="us-east-1",
        skip_signature=True,
        virtual_hosted_style_request=False,
        client_options={"allow_http": True},
    )


def test_obstore_lists_and_reads(bucket):
    listed = obstore.list_with_delimiter(bucket, BLASTOCYST)
    assert sorted(listed["common_prefixes"]) == [
        f"{BLASTOCYST}/{name}" for name in ("0", "1", "2", "labels")
    ]
    assert len(listed["objects"]) == 2
    paths = [found["path"] for page in obstore.list(bucket, BLASTOCYST) for found in page]
    assert len(paths) == len(set(paths)) == 8 + 3 * 2 * 257 + 257
    after = f"{BLASTOCYST}/labels/0/0.0.98.0.0"
    late = [found for page in obstore.list(bucket, BLASTOCYST, offset=after) for found in page]
    assert [found["path"][-10:] for found in late] == ["0.0.99.0.0"]
    key = f"{BLASTOCYST}/0/0.1.128.0.0"
    body = bytes(obstore.get(bucket, key).bytes())
    assert obstore.head(bucket, key)["size"] == len(body)
    assert bytes(obstore.get_range(bucket, key, start=16, end=26)) == body[16:26]
    ranges = obstore.get_ranges(bucket, key, starts=[0, 50_000], ends=[9, 50_009])
    assert [bytes(part) for part in ranges] == [body[:9], body[50_000:50_009]]
    tail = obstore.get(bucket, key, options={"range": {"suffix": 9}})
    assert bytes(tail.bytes()) == body[-9:]
    painted = plane_of_the_blastocyst()
    np.testing.assert_array_equal(np.frombuffer(body[16:], "<u2").reshape(210, 253), painted)
    with pytest.raises(FileNotFoundError):
        obstore.get(bucket, "missing")
    with pytest.raises(Exception, match="405"):
        obstore.put(bucket, "new", b"content")


@pytest.mark.parametrize("root", [BLASTOCYST_04, ORGANOID])
def test_zarr_through_obstore(endpoint, root):
    level, index, painted = last_level(root)
    store = S3Store(
        "idr",
        prefix=f"{root}/{level}",
        endpoint=endpoint,
        region="us-east-1",
        skip_signature=True,
        client_options={"allow_http": True},
    )
    array = zarr.open_array(ObjectStore(store, read_only=True), mode="r", zarr_format=2)
    np.testing.assert_array_equal(array[index], painted)


# Array libraries


@pytest.mark.parametrize("root", ALL)
def test_dask_from_zarr(endpoint, root):
    level, index, painted = last_level(root)
    array = da.from_zarr(f"{endpoint}/idr/{root}/{level}")
    assert array.dtype.str == (">u2" if "9822152" in root else "<u2")
    np.testing.assert_array_equal(array[index].compute(), painted)


def test_dask_across_chunks_and_the_edge_of_the_image(endpoint):
    array = da.from_zarr(f"{endpoint}/idr/{ORGANOID_04}/6")
    assert array.shape == (1, 1, 1, 1456, 2256) and array.numblocks == (1, 1, 1, 2, 3)
    pixels = array[0, 0, 0, 1000:, 2000:].compute()
    np.testing.assert_array_equal(pixels, organoid.paint(6, 0, 0, 0, 1000, 1456, 2000, 2256))


def test_dask_across_chunks_of_a_shard_and_its_empty_places(endpoint):
    array = da.from_zarr(f"{endpoint}/idr/{SHARDED}/4")
    assert array.shape == (1, 1, 1, 5824, 9024) and array.dtype.str == "<u2"
    pixels = array[0, 0, 0, 5000:, 8100:].compute()
    np.testing.assert_array_equal(pixels, organoid.paint(4, 0, 0, 0, 5000, 5824, 8100, 9024))


def test_ome_zarr_py_and_ngff_zarr_read_the_plate(endpoint):
    address = f"{endpoint}/idr/{plate_layout.ROOT}"
    spec = next(s for n in Reader(parse_url(address))() for s in n.specs if isinstance(s, Plate))
    assert (spec.row_count, spec.column_count) == (8, 12)
    described = ngff_zarr.from_hcs_zarr(address).metadata
    assert len(described.wells) == 94 and "synthetic" in described.name
    field = ngff_zarr.from_ngff_zarr(f"{address}/C/5/1").images[2]
    painted = plate.paint(2, 4, 1, 2, 0, 0, 0, 0, 270, 0, 270)
    np.testing.assert_array_equal(np.asarray(field.data[0, 0, 0]), painted)
    assert field.scale["x"] == 4 * 0.325


def test_dask_reads_labels_of_both_layouts(endpoint):
    painted = blastocyst.paint_labels(0, 0, 128, 0, 210, 0, 253)
    plain = da.from_zarr(f"{endpoint}/idr/{BLASTOCYST}/labels/0")
    level = da.from_zarr(f"{endpoint}/idr/{BLASTOCYST_04}/labels/0/0")
    for array in (plain, level):
        assert array.dtype.str == "<u4" and array.shape == (1, 1, 257, 210, 253)
        np.testing.assert_array_equal(array[0, 0, 128].compute(), painted)
    assert set(np.unique(painted)) - {0} <= set(range(1381342, 1381390)) and painted.any()
    coarse = da.from_zarr(f"{endpoint}/idr/{BLASTOCYST_04}/labels/0/3")[0, 0, 128].compute()
    np.testing.assert_array_equal(coarse, blastocyst.paint_labels(3, 0, 128, 0, 26, 0, 31))


@pytest.mark.parametrize("root", [*ALL, SHARDED])
def test_ome_zarr_py(endpoint, root):
    nodes = list(Reader(parse_url(f"{endpoint}/idr/{root}"))())
    image = nodes[0]
    assert any(isinstance(spec, Multiscales) for spec in image.specs)
    level, index, painted = last_level(root)
    assert len(image.data) == int(level) + 1
    np.testing.assert_array_equal(image.data[-1][index].compute(), painted)
    assert len(image.metadata["channel_names"]) == image.data[0].shape[1]
    labels = (
        [node for node in nodes if node.zarr.path.endswith("labels/0")] if "0062A" in root else []
    )
    if "0062A" in root:
        assert any(isinstance(spec, Labels) for node in nodes for spec in node.specs)
        plane = labels[0].data[0][0, 0, 128].compute()
        np.testing.assert_array_equal(plane, blastocyst.paint_labels(0, 0, 128, 0, 210, 0, 253))
        assert len(labels[0].data) == 4


@pytest.mark.parametrize("root", [*ALL, SHARDED])
def test_ngff_zarr(endpoint, root):
    multiscales = ngff_zarr.from_ngff_zarr(f"{endpoint}/idr/{root}")
    level, index, painted = last_level(root)
    assert len(multiscales.images) == int(level) + 1
    image = multiscales.images[-1]
    np.testing.assert_array_equal(np.asarray(image.data[index]), painted)
    if root == BLASTOCYST_04:
        assert multiscales.images[1].scale["x"] == 2 * 0.3603981534640209
        assert multiscales.images[0].axes_units["z"] == "micrometer"


# rclone


@pytest.fixture
def rclone(endpoint, tmp_path):
    """Run rclone with the endpoint as the remote ``offline:``."""
    folder = Path(sys.executable).parent
    program = shutil.which("rclone", path=f"{folder}{os.pathsep}{os.environ['PATH']}")
    if program is None:
        pytest.skip("there is no rclone for this computer")
    remote = {"TYPE": "s3", "PROVIDER": "Other", "ENDPOINT": endpoint}
    settings = {f"RCLONE_CONFIG_OFFLINE_{name}": value for name, value in remote.items()}
    settings["RCLONE_CONFIG"] = str(tmp_path / "rclone.conf")

    def run(*arguments, check=True):
        return subprocess.run(
            [program, *arguments, "--retries", "1", "--low-level-retries", "1"],
            env=os.environ | settings,
            capture_output=True,
            text=True,
            timeout=60,
            check=check,
        )

    return run


def test_rclone_lists_copies_and_checks(rclone, tmp_path):
    remote = f"offline:idr/{BLASTOCYST}"
    names = rclone("lsf", remote).stdout.split()
    assert sorted(names) == [".zattrs", ".zgroup", "0/", "1/", "2/", "labels/"]
    copied = tmp_path / "copied"
    rclone("copy", remote, str(copied), "--include", "/{.z*,2/.z*,2/0.1.12?.0.0}")
    files = sorted(str(f.relative_to(copied).as_posix()) for f in copied.rglob("*") if f.is_file())
    assert files == [".zattrs", ".zgroup", "2/.zarray"] + [
        f"2/0.1.{z}.0.0" for z in range(120, 130)
    ]
    rclone("check", str(copied), remote, "--one-way", "--download")
    rclone("check", str(copied), remote, "--one-way")
    local = zarr.open_array(copied / "2", mode="r", zarr_format=2)
    painted = blastocyst.paint(2, 0, 1, 128, 0, 52, 0, 63)
    np.testing.assert_array_equal(local[0, 1, 128], painted)
    refused = rclone("copy", str(copied), "offline:idr/new", check=False)
    assert refused.returncode != 0 and "MethodNotAllowed" in refused.stderr
