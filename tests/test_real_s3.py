"""Images written by other libraries, read from an S3 server written by others (rclone).

The server (rclone 1.75) ignores ``Range`` and sends whole objects. Each image is read by its http
address, as s3://, and from the local folder; the pixels must be those that were written.
"""

import numpy as np
import pytest
from support.images import (
    axes,
    change_json,
    halve,
    noise,
    scales,
    write_array,
    write_json,
    write_v2,
    write_with_ngff_zarr,
    write_with_ome_zarr,
)
from support.s3 import rclone_server

from data_helpers import (
    ImageNotFoundError,
    NoLabelsError,
    NotOmeZarrError,
    choose_source,
    load_binary_from_s3,
    load_binary_from_s3_with_data,
    load_labels_from_s3,
    open_multiscale,
)

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:ome_zarr")

IMAGE = noise(2, 2, 64, 72)
CELLS = noise(2, 64, 72, dtype="u4", seed=1) * 300_000
FIVE = noise(2, 1, 2, 36, 40, seed=2)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A folder whose folders are buckets; they must be there before the server starts."""
    root = tmp_path_factory.mktemp("s3")
    for bucket in ("pub", "idr"):
        (root / bucket).mkdir()
    return root


@pytest.fixture(scope="module")
def s3(root):
    """Address of a real S3 server: ``rclone serve s3``, on a free port."""
    with rclone_server(root) as address:
        yield address


@pytest.fixture(params=["http", "s3", "folder"])
def reach(request, root, s3):
    """Open a folder of the bucket `pub` in one of three ways."""

    def open_it(name):
        if request.param == "http":
            return open_multiscale(f"{s3}/pub/{name}")
        if request.param == "s3":
            return open_multiscale(f"s3://pub/{name}", source=s3)
        return open_multiscale(root / "pub" / name)

    return open_it


def assert_same(image, levels):
    """Compare every level, read at once and through Dask."""
    assert len(image.levels) == len(levels)
    for stored, lazy, expected in zip(image.stored, image.levels, levels, strict=True):
        np.testing.assert_array_equal(stored[:], expected)
        np.testing.assert_array_equal(lazy.compute(), expected)
        np.testing.assert_array_equal(stored[..., 5:30, 3], expected[..., 5:30, 3])
        assert stored.dtype == expected.dtype


# ome-zarr-py


@pytest.fixture(scope="module")
def by_ome_zarr(root):
    write_with_ome_zarr(root / "pub/peer.zarr", halve(IMAGE, 2), halve(CELLS, 1))
    return "peer.zarr"


def test_ome_zarr_py_wrote_v04(by_ome_zarr, reach):
    image = reach(by_ome_zarr)
    assert image.version == "0.4" and image.name == "written by ome-zarr-py"
    assert image.axes == ("c", "z", "y", "x")
    assert image.units == (None, "micrometer", "micrometer", "micrometer")
    assert image.scales == [(1, 0.5, 0.25 * f, 0.25 * f) for f in (1, 2, 4)]
    assert_same(image, halve(IMAGE, 2))


def test_ome_zarr_py_wrote_labels_of_fewer_axes_and_levels(by_ome_zarr, reach):
    image = reach(by_ome_zarr)
    assert image.labels == ["cells"]
    label = image.label("cells")
    assert label.axes == ("z", "y", "x") and label.units == ("micrometer",) * 3
    assert_same(label, halve(CELLS, 1))
    for level, expected in enumerate(halve(CELLS, 1)):
        np.testing.assert_array_equal(image.stored_labels(level)[:], expected)
    with pytest.raises(NoLabelsError, match="ask for level"):
        image.stored_labels(2)


# ngff-zarr


NGFF_ZARR = {"0.4": {}, "0.5": {}, "0.5 sharded": {"chunks_per_shard": 2}}


@pytest.fixture(scope="module", params=NGFF_ZARR)
def by_ngff_zarr(request, root):
    version, options = request.param[:3], NGFF_ZARR[request.param]
    name = f"{request.param}.zarr"
    levels = write_with_ngff_zarr(root / "pub" / name, IMAGE, version, **options)
    np.testing.assert_array_equal(levels[0], IMAGE)
    return name, version, levels


def test_ngff_zarr_wrote(by_ngff_zarr, root, reach):
    name, version, levels = by_ngff_zarr
    image = reach(name)
    assert image.version == version and image.name == "written by ngff-zarr"
    assert image.axes == ("c", "z", "y", "x")
    assert image.units == (None, "micrometer", "micrometer", "micrometer")
    assert image.scales == [(1, 0.5, 0.25, 0.25), (1, 0.5, 0.5, 0.5)]
    assert image.paths[0] != "0"  # as the metadata name them, such as scale0/image
    assert image.stored[0].chunks == (1, 1, 16, 16)
    assert image.labels == []
    assert_same(image, levels)


def test_ngff_zarr_wrote_shards(by_ngff_zarr, root):
    name, _, levels = by_ngff_zarr
    files = [path for path in (root / "pub" / name).rglob("*") if path.name.isdecimal()]
    objects = sum(path.is_file() for path in files)
    chunks = sum(2 * 2 * -(-y // 16) * -(-x // 16) for *_, y, x in (a.shape for a in levels))
    assert objects < chunks / 4 if "sharded" in name else objects == chunks


# zarr-python, in the older versions of OME-Zarr


def test_zarr_python_wrote_v01_as_bio_formats_does(root, reach):
    levels = halve(FIVE.astype(">u2"), 2)
    folder = root / "pub/bio-formats.zarr"
    if not folder.exists():
        write_v2(folder, levels, {"version": "0.1"}, separator=".")
        for level in range(3):
            change_json(folder / f"{level}/.zarray", fill_value="0", filters=[])
    (folder / "0/0.0.0.0.0").unlink(missing_ok=True)
    image = reach("bio-formats.zarr")
    assert image.version == "0.1" and image.axes == ("t", "c", "z", "y", "x")
    expected = levels[0].copy()
    expected[0, 0, 0, :16, :16] = 0  # a chunk that is not there is empty
    assert_same(image, [expected, *levels[1:]])


@pytest.mark.parametrize(
    ("version", "names"),
    [("0.2", "tczyx")] + [(v, n) for v in ("0.3", "0.4") for n in ("yx", "zyx", "czyx", "tczyx")],
)
def test_zarr_python_wrote(version, names, root, reach):
    levels = halve(FIVE[(0,) * (5 - len(names))], 1)
    metadata = {
        "0.2": {},
        "0.3": {"axes": list(names)},
        "0.4": {"axes": axes(names), "datasets": scales(*[(2.0,) * len(names)] * 2)},
    }[version]
    name = f"v{version}-{names}.zarr"
    if not (root / "pub" / name).exists():
        write_v2(root / "pub" / name, levels, {"version": version} | metadata)
    image = reach(name)
    assert image.version == version and image.axes == tuple(names)
    assert_same(image, levels)


def test_labels_in_every_layout(root, reach):
    cells = CELLS[np.newaxis, np.newaxis, :, :36, :40]
    image = root / "pub/labels.zarr"
    if not image.exists():
        write_v2(image, halve(FIVE[:1], 2), {"version": "0.1"}, separator=".")
        write_json(image / "labels/.zattrs", {"labels": ["0", "masks"]})
        write_array(image / "labels/0", cells, separator=".")
        misspelt = [axis | {"units": "micrometer"} for axis in axes("tczyx")]
        sizes = [(1, 1, 1, 2**n, 2**n) for n in range(4)]
        multiscale = {"version": "0.4", "axes": misspelt, "datasets": scales(*sizes)}
        write_v2(image / "labels/masks", halve(cells, 3), multiscale)
    opened = reach("labels.zarr")
    assert opened.labels == ["0", "masks"]
    assert_same(opened.label("0"), [cells])
    assert_same(opened.label("masks"), halve(cells, 3))
    assert opened.label("masks").units == ("micrometer",) * 5
    np.testing.assert_array_equal(opened.stored_labels(0, "0")[:], cells)
    np.testing.assert_array_equal(opened.stored_labels(2, "masks")[:], halve(cells, 2)[2])


def test_nothing_there(reach, root):
    (root / "pub/empty.zarr").mkdir(exist_ok=True)
    for name in ("empty.zarr", "no.zarr", "no/such/image.zarr"):
        with pytest.raises(NotOmeZarrError, match="check the address"):
            reach(name)


# By id: the server as one more source


def test_an_endpoint_by_its_url(root, s3, capsys):
    folder = root / "idr/zarr/v0.4/idr0062A/6001247.zarr"
    write_v2(folder, [FIVE[:1]], {"version": "0.4", "axes": axes("tczyx")})
    write_json(folder / "labels/.zattrs", {"labels": ["0"]})
    labels = noise(1, 1, 2, 36, 40, dtype="u4")
    multiscale = {"version": "0.4", "axes": axes("tczyx")}
    write_v2(folder / "labels/0", [labels], multiscale)
    choose_source(s3)
    np.testing.assert_array_equal(load_binary_from_s3("6001247").compute(), FIVE[:1])
    np.testing.assert_array_equal(load_binary_from_s3_with_data(6001247, 0), FIVE[:1])
    np.testing.assert_array_equal(load_labels_from_s3(6001247).compute(), labels)
    assert "18 of 18" in capsys.readouterr().out
    with pytest.raises(ImageNotFoundError, match=f"is not at the endpoint source .{s3}"):
        load_binary_from_s3(9822152)


def test_the_folder_is_untouched_by_reading(s3, by_ome_zarr, root):
    before = sorted(root.rglob("*"))
    image = open_multiscale(f"{s3}/pub/{by_ome_zarr}")
    image.stored[0][:]
    assert sorted(root.rglob("*")) == before
