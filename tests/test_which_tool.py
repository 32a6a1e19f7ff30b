"""docs/which_tool.md: each package on the page does the task, and its table says what was measured.

The code is the page's own, from the text. Only the host of the address is another one: an endpoint
that counts, or a server that is busy.
"""

from __future__ import annotations

import re
from importlib.metadata import version
from importlib.util import find_spec

import numpy as np
import pytest
from support.misbehaving import MisbehavingServer, status
from support.repository import ROOT, read

from benchmarks.endpoint import Endpoint
from benchmarks.objects import Objects
from data_helpers import overlay_labels

PAGE = read(ROOT / "docs" / "which_tool.md")
BLOCKS = dict(re.findall(r"## ([^\n]+)\n\n```python\n(.*?)```", PAGE, re.DOTALL))
SETUP = re.search(r"```python\n(address = .*?)```", PAGE, re.DOTALL)[1]
HOST = re.search(r'"(https://[^/]+)/', SETUP)[1]
KEY = "idr/zarr/v0.4/idr0062A/6001247.zarr"
OLD = "idr/zarr/v0.1/6001247.zarr"
OVERLAY = re.search(r"```python\n(from skimage.*?)```", PAGE, re.DOTALL)[1]

# The tools of the table with the modules they need, and the heading of each one's code.
TOOLS = {
    "data_helpers": ("data_helpers", "This course"),
    "zarr": ("zarr", "zarr"),
    "dask": ("dask", "dask"),
    "ome-zarr": ("ome_zarr", "ome-zarr-py"),
    "ngff-zarr": ("ngff_zarr", "ngff-zarr"),
    "bioio": ("bioio_ome_zarr", "bioio"),
    "ngio": ("ngio", "ngio"),
    "tensorstore": ("tensorstore", "tensorstore"),
}
COLUMNS = "version requests busy old told".split()
ROWS = {
    name: dict(zip(COLUMNS, (cell.strip() for cell in cells.split("|")), strict=True))
    for name, cells in re.findall(r"^\| \[([\w-]+)\]\(#[\w-]+\) \| (.+) \|$", PAGE, re.MULTILINE)
}
EACH = pytest.mark.parametrize("tool", TOOLS)


def run(tool, host):
    """What the code of a tool leaves behind, reading from a host."""
    if find_spec(TOOLS[tool][0]) is None:
        pytest.skip(f"NOT RUN: {tool} is not installed")
    names = {}
    code = SETUP.replace(HOST, host) + BLOCKS[TOOLS[tool][1]]
    exec(compile(code, f"docs/which_tool.md, {tool}", "exec"), names)
    return names


def as_measured(tool):
    """Whether the versions that decide about requests are those in the table."""
    packages = {"zarr"} | {tool} - {"data_helpers"}
    return all(version(package) == ROWS[package]["version"] for package in packages)


@pytest.fixture(scope="module")
def endpoint():
    with Endpoint() as running:
        yield running


@pytest.fixture(scope="module")
def objects():
    return Objects()


@pytest.fixture(scope="module")
def truth(objects):
    """Plane and labels, from the bytes of their chunks alone."""
    from numcodecs import Blosc

    def decoded(key, dtype):
        return np.frombuffer(Blosc().decode(objects.get(key)), dtype).reshape(210, 253)

    return (
        decoded(f"{KEY}/0/0/1/128/0/0", "<u2"),
        decoded(f"{KEY}/labels/0/0/0/0/128/0/0", "<u4"),
    )


def test_page_and_test_know_the_same_tools():
    assert list(ROWS) == list(TOOLS)
    assert list(BLOCKS) == [*(heading for _, heading in TOOLS.values())]


@EACH
def test_each_tool_gives_plane_and_labels_with_the_requests_of_the_table(tool, endpoint, truth):
    endpoint.set()
    found = run(tool, endpoint.address)
    counts = endpoint.counts()
    for given, true in zip((found["plane"], found["labels"]), truth, strict=True):
        assert isinstance(given, np.ndarray) and given.dtype == true.dtype
        assert np.array_equal(given, true) and true.any()
    pixels = sum("/.z" not in key and "zarr.json" not in key for key in counts["keys"])
    assert pixels >= 2
    if as_measured(tool):
        assert f"{counts['requests']}, {counts['not_found']}" == ROWS[tool]["requests"]


@EACH
def test_a_busy_server_is_what_the_table_says(tool, objects, truth, tmp_path):
    wanted = (".zattrs", ".zgroup", *(f"{level}/.zarray" for level in range(4)))
    keys = [f"{KEY}/{prefix}{name}" for prefix in ("", "labels/", "labels/0/") for name in wanted]
    plane = f"{KEY}/0/0/1/128/0/0"
    for key in [*keys, plane, f"{KEY}/labels/0/0/0/0/128/0/0"]:
        if (content := objects.get(key)) is not None:
            (tmp_path / key).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / key).write_bytes(content)
    with MisbehavingServer(tmp_path) as server:
        server.fault(plane, status(503))
        try:
            found = run(tool, server.endpoint)["plane"]
            came = "asks again" if np.array_equal(found, truth[0]) else "wrong pixels"
        except Exception as error:
            assert "503" in str(error), error
            came = "error"
    assert came == ROWS[tool]["busy"]


@EACH
def test_version_01_is_what_the_table_says(tool, endpoint, truth):
    """The lines up to the plane, at the address of the image in version 0.1."""
    if find_spec(TOOLS[tool][0]) is None:
        pytest.skip(f"NOT RUN: {tool} is not installed")
    code = SETUP.replace(f"{HOST}/{KEY}", f"{endpoint.address}/{OLD}")
    code += re.split(r"^(?:labels|masks) =", BLOCKS[TOOLS[tool][1]], flags=re.MULTILINE)[0]
    code = code.replace("image, _, masks =", "image, *_ =")  # these labels it does not find
    names = {}
    try:
        exec(compile(code, f"docs/which_tool.md, {tool}, 0.1", "exec"), names)
    except Exception:
        assert ROWS[tool]["old"] == "no"
    else:
        assert ROWS[tool]["old"] == "yes" and np.array_equal(names["plane"], truth[0])


@EACH
def test_sizes_and_names_are_told_as_the_table_says(tool, endpoint):
    """Whatever the page's `image` says of itself holds the size of a voxel and "DAPI", or not."""
    image = run(tool, endpoint.address).get("image")
    told = ""
    if tool == "data_helpers":
        told = f"{image.scales[0]} {image.channels}"
    elif tool == "ome-zarr":
        told = f"{image.metadata['coordinateTransformations']} {image.metadata['channel_names']}"
    elif tool == "ngff-zarr":
        from ngff_zarr import from_ngff_zarr

        omero = from_ngff_zarr(f"{endpoint.address}/{KEY}").metadata.omero
        told = f"{image.scale} {omero}"
    elif tool == "bioio":
        told = f"{image.physical_pixel_sizes} {image.channel_names}"
    elif tool == "ngio":
        told = f"{image.get_image().pixel_size} {image.channel_labels}"
    else:
        import zarr

        pixels = zarr.open_array(f"{endpoint.address}/{KEY}/0", mode="r")
        told = f"{dict(pixels.attrs)} {pixels.metadata}"
    yes = {True: "yes", False: "no"}
    assert yes["0.36039" in told] == yes["DAPI" in told] == ROWS[tool]["told"]


def test_the_overlay_of_the_page_draws_the_outlines(truth):
    names = {"plane": truth[0], "labels": truth[1]}
    exec(compile(OVERLAY, "docs/which_tool.md, overlay", "exec"), names)
    magenta = (names["picture"] == (1, 0, 1)).all(axis=-1)
    assert 500 < magenta.sum() < truth[1].size / 5
    assert overlay_labels(*truth).shape == names["picture"].shape


def test_versions_of_the_table_are_those_that_are_tested():
    """The locks decide. A newer version needs a new look at the page, not just a new number."""
    lock = read(ROOT / "requirements" / "test.txt")
    for tool, row in list(ROWS.items())[1:]:
        pinned = re.findall(rf"^{tool}==(\S+)(?: ;.*)?", lock, re.MULTILINE)
        assert not pinned or row["version"] in pinned, tool
