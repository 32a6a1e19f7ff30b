"""A published image as a page of another origin sees it: read by zarrita, and not written."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Page
from support.images import noise, write_with_ngff_zarr
from support.publishing import publish

from data_helpers.practice import practice_server

from .conftest import call

pytestmark = [
    pytest.mark.timeout(240),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]
PIXELS = noise(2, 4, 64, 64)


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a bucket with the same pixels in 0.4, and in 0.5 with shards."""
    folder: Path = tmp_path_factory.mktemp("images")
    write_with_ngff_zarr(folder / "many.zarr", PIXELS, "0.4")
    write_with_ngff_zarr(folder / "few.zarr", PIXELS, "0.5", chunks_per_shard=4)
    with practice_server() as server:
        publish("public", folder / "many.zarr", folder / "few.zarr")
        yield f"{server.endpoint}/public"
    shutil.rmtree(folder)


@pytest.mark.parametrize("name", ["many.zarr", "few.zarr"])
def test_zarrita_reads_the_same_pixels(published: str, viewer_page: Page, name: str):
    level = f"{published}/{name}/scale0/written by ngff-zarr"
    found = call(viewer_page, "read", level, [None, None, None, None])
    np.testing.assert_array_equal(found["pixels"], PIXELS)
    one = call(viewer_page, "read", level, [1, 2, None, None])  # ranges of a shard
    np.testing.assert_array_equal(one["pixels"], PIXELS[1, 2])


@pytest.mark.parametrize(
    ("options", "status"),
    [
        ({}, 200),
        ({"method": "HEAD"}, 200),
        ({"headers": {"Range": "bytes=0-9"}}, 206),
        ({"headers": {"Range": "bytes=-9"}}, 206),
        ({"headers": {"X-Viewer": "some header that needs a preflight"}}, 200),
    ],
    ids=["get", "head", "range", "suffix", "preflight"],
)
def test_a_page_may_ask(published: str, viewer_page: Page, options: dict[str, Any], status: int):
    found = call(viewer_page, "ask", f"{published}/few.zarr/zarr.json", options)
    assert found.get("status") == status, found
    assert found["headers"]["content-type"] == "application/json"
    if status == 206:
        assert found["headers"]["content-range"].startswith("bytes ")


@pytest.mark.parametrize("method", ["PUT", "DELETE", "POST"])
def test_a_page_may_not_write(published: str, viewer_page: Page, method: str):
    address = f"{published}/few.zarr/zarr.json"
    found = call(viewer_page, "ask", address, {"method": method})
    assert found.get("status", 403) in (403, 405), found  # or the preflight failed
    assert call(viewer_page, "ask", address, {}).get("status") == 200


def test_a_missing_chunk_is_an_answer_and_no_failure_of_the_network(
    published: str, viewer_page: Page
):
    found = call(viewer_page, "ask", f"{published}/few.zarr/no-such-chunk", {})
    assert found.get("status") == 404, found
