"""Plates: wells and fields by name, a grid of them, the whole plate as one array, and bad ones."""

import json
import pickle
import shutil
import warnings
from html.parser import HTMLParser

import numpy as np
import pytest
from support.images import change_json, noise, write_array, write_json, write_v2
from support.misbehaving import status
from support.plates import (
    plate_of,
    some_wells,
    write_group,
    write_image,
    write_plate,
    write_well,
)

from data_helpers import (
    AccessDeniedError,
    ChunkError,
    EndpointUnreachableError,
    ImageNotFoundError,
    LevelNotFoundError,
    MalformedMetadataError,
    Multiscale,
    NotOmeZarrError,
    OmeZarrError,
    OmeZarrWarning,
    Plate,
    open_multiscale,
    open_plate,
    request_meter,
)

WELLS = ("A/01", "B/03", "B/04", "C/02")


@pytest.fixture(params=[2, 3], ids=["v2", "v3"])
def zarr_format(request):
    return request.param


@pytest.fixture(params=["folder", "http"])
def address(request, tmp_path):
    """Turns a folder below tmp_path into an address: itself, or one of a server."""
    if request.param == "folder":
        return str
    server = request.getfixturevalue("served")
    return lambda folder: f"{server.endpoint}/{folder.relative_to(tmp_path).as_posix()}"


def drop(pixels, level):
    """The pixels of a level, by how `write_image` makes it."""
    return pixels[..., :: 2**level, :: 2**level]


def expected(wells, level=1, field=0, rows="ABC", columns=("01", "02", "03", "04"), shape=None):
    """The overview, put together by hand."""
    first = drop(next(iter(wells.values()))[0], level)
    height, width = first.shape[-2:]
    lead = first.shape[:-2]
    whole = np.zeros((*lead, height * len(rows), width * len(columns)), first.dtype)
    for name, fields in wells.items():
        row, column = name.split("/")
        y, x = rows.index(row) * height, columns.index(column) * width
        whole[..., y : y + height, x : x + width] = drop(fields[field], level)
    return whole


# Wells and fields


def test_what_a_plate_says(tmp_path, zarr_format, address):
    wells = some_wells(*WELLS, fields=2)
    found = [{"id": 1, "name": "first", "maximumfieldcount": 2, "starttime": 1343731272000}]
    more = {"name": "screen 7", "field_count": 2, "acquisitions": found}
    folder = write_plate(tmp_path / "p.zarr", wells, zarr_format, **more)
    plate = open_plate(address(folder))
    assert plate.rows == ["A", "B", "C"] and plate.columns == ["01", "02", "03", "04"]
    assert plate.wells == list(WELLS) and plate.fields == 2
    assert [(each.id, each.name, each.fields) for each in plate.acquisitions] == [(1, "first", 2)]
    assert plate.name == plate.title == "screen 7" and not plate.synthetic
    assert plate.version == ("0.4" if zarr_format == 2 else "0.5")
    assert plate.url == address(folder)
    assert "screen 7" in repr(plate) and "4 wells" in repr(plate)
    assert isinstance(plate, Plate) and plate.wells == pickle.loads(pickle.dumps(plate)).wells


def test_an_image_of_a_well(tmp_path, zarr_format, address):
    wells = some_wells(*WELLS, fields=2)
    folder = write_plate(tmp_path / "p.zarr", wells, zarr_format)
    plate = open_plate(address(folder))
    image = plate.image("B", 3, field=1)
    assert isinstance(image, Multiscale) and image.url == f"{plate.url}/B/03/1"
    np.testing.assert_array_equal(image.stored[0][:], wells["B/03"][1])
    np.testing.assert_array_equal(image.levels[1].compute(), drop(wells["B/03"][1], 1))
    assert image.name == "p.zarr, B/03, field 1"
    again = open_multiscale(f"{plate.url}/B/03/1")
    np.testing.assert_array_equal(again.stored[0][:], wells["B/03"][1])


def test_three_round_trips_and_no_key_in_vain(tmp_path, served, zarr_format):
    write_plate(tmp_path / "p", some_wells(*WELLS), zarr_format)
    with request_meter(show=False) as opening:
        plate = open_plate(f"{served.endpoint}/p")
    assert opening.requests == 2  # one for each format
    served.asked.clear()
    plate.image("C", 2)
    group, array = (".zattrs", ".zarray") if zarr_format == 2 else ("zarr.json", "zarr.json")
    assert served.asked[:2] == [f"p/C/02/{group}", f"p/C/02/0/{group}"]
    assert sorted(served.asked[2:]) == [f"p/C/02/0/0/{array}", f"p/C/02/0/1/{array}"]


@pytest.mark.parametrize(
    "said",
    [("B", 3), ("b", "3"), ("B", "03"), (" B ", "003"), ("B/03",), ("b/3",), ("B", np.int64(3))],
)
def test_names_as_people_say_them(said, tmp_path):
    folder = write_plate(tmp_path / "p", some_wells("B/03"))
    assert open_plate(folder).image(*said).url.endswith("/p/B/03/0")


def test_an_exact_name_comes_first(tmp_path):
    wells = some_wells("a/1", "A/01", "A/1")
    folder = write_plate(tmp_path / "p", wells, rows="aA", columns=("1", "01"))
    plate = open_plate(folder)
    assert plate.image("A", "01").url.endswith("A/01/0")
    assert plate.image("A", 1).url.endswith("A/1/0")
    assert plate.image("a", 1).url.endswith("a/1/0")
    with pytest.raises(ImageNotFoundError, match="no column '001'"):
        plate.image("A", "001")  # could be either


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (("D", 1), "has no row 'D'; its rows are A, B, C."),
        (("A", 7), "has no column 7; its columns are 01, 02, 03, 04."),
        (("A", 3), "has no well A/03; in this row it has A/01."),
        (("C", "04"), "has no well C/04; this row has none."),
        (("A",), "has no column ''"),
        ((0, 0), "has no row 0;"),
        ((None, None), "has no row 'None'"),
        ((True, 1.5), "has no row True"),
    ],
)
def test_wells_that_do_not_exist(said, words, tmp_path):
    plate = open_plate(write_plate(tmp_path / "p", some_wells("A/01", "B/03")))
    with pytest.raises(ImageNotFoundError) as caught:
        plate.image(*said)
    assert words in str(caught.value)


@pytest.mark.parametrize("field", [2, -1, 99])
def test_fields_that_do_not_exist(field, tmp_path):
    plate = open_plate(write_plate(tmp_path / "p", some_wells("A/01", fields=2)))
    with pytest.raises(ImageNotFoundError, match=rf"no field {field}; it has fields 0 to 1\."):
        plate.image("A", 1, field=field)


@pytest.mark.parametrize("field", ["0", 0.5, None, [0]])
def test_a_field_is_a_whole_number(field, tmp_path):
    plate = open_plate(write_plate(tmp_path / "p", some_wells("A/01")))
    for ask in (plate.image, lambda *_, field: plate.overview(field=field)):
        with pytest.raises(ImageNotFoundError, match="a whole number, such as 0, not"):
            ask("A", 1, field=field)


def test_an_image_keeps_a_name_of_its_own(tmp_path):
    folder = write_plate(tmp_path / "p", some_wells("A/01"), name="screen")
    for written, name in [("cells", "cells"), ("/", "screen, A/01, field 0")]:
        document = json.loads((folder / "A/01/0/.zattrs").read_text())
        document["multiscales"][0]["name"] = written
        write_json(folder / "A/01/0/.zattrs", document)
        assert open_plate(folder).image("A", 1).name == name


def test_a_plate_in_the_layout_of_bioformats2raw(tmp_path):
    folder = write_plate(tmp_path / "p", some_wells("A/01"))
    change_json(folder / ".zattrs", **{"bioformats2raw.layout": 3})
    assert open_plate(folder).wells == ["A/01"]
    with pytest.raises(NotOmeZarrError, match=r"a plate: .* A/01\.$"):
        open_multiscale(folder)


def test_fields_are_counted_where_the_plate_does_not_say(tmp_path):
    wells = some_wells("A/01", fields=1) | some_wells("B/02", fields=3)
    assert open_plate(write_plate(tmp_path / "p", wells)).fields == 3
    assert open_plate(write_plate(tmp_path / "q", wells, field_count="many")).fields == 3
    assert open_plate(write_plate(tmp_path / "r", wells, field_count=5)).fields == 5


def test_several_acquisitions(tmp_path, zarr_format):
    found = [{"id": 4, "name": "day 1"}, {"id": 9, "name": "day 2"}]
    wells = some_wells("A/01", fields=4)
    folder = write_plate(
        tmp_path / "p", wells, zarr_format, [4, 9, 4, 9], field_count=4, acquisitions=found
    )
    plate = open_plate(folder)
    for acquisition, field, path in [(4, 1, "2"), ("day 2", 0, "1"), (None, 3, "3")]:
        image = plate.image("A", 1, field=field, acquisition=acquisition)
        assert image.url.endswith(f"/A/01/{path}")
        overview = plate.overview(0, field=field, acquisition=acquisition)
        np.testing.assert_array_equal(overview[:, :20, :24], wells["A/01"][int(path)])
    with pytest.raises(ImageNotFoundError, match="no field 2 of acquisition 9; it has fields 0 to"):
        plate.image("A", 1, field=2, acquisition=9)
    with pytest.raises(ImageNotFoundError, match=r"no acquisition 5; it lists 4 \('day 1'\), 9"):
        plate.image("A", 1, acquisition=5)


def test_images_need_not_name_the_only_acquisition(tmp_path):
    folder = write_plate(tmp_path / "p", some_wells("A/01"))
    with pytest.raises(ImageNotFoundError, match="it lists none"):
        open_plate(folder).image("A", 1, acquisition=0)
    change(folder, 2, acquisitions=[{"id": 0}])
    assert open_plate(folder).image("A", 1, acquisition=0).url.endswith("A/01/0")


def change(folder, zarr_format, **changes):
    """Change what the metadata of a plate say."""
    path = folder / (".zattrs" if zarr_format == 2 else "zarr.json")
    document = json.loads(path.read_text())
    holder = document if zarr_format == 2 else document["attributes"]["ome"]
    holder["plate"] |= changes
    write_json(path, document)


# Plates as older programs wrote them


def test_a_plate_of_version_0_1(tmp_path):
    """Without indexes of rows and columns, and with an acquisition in the path."""
    folder, pixels = tmp_path / "p", noise(1, 2, 1, 20, 24)
    plate = {
        "acquisitions": [{"path": "2020-10-10"}],
        "rows": [{"name": "A"}, {"name": "B"}],
        "columns": [{"name": 1}, {"name": 2}],
        "wells": [{"path": "2020-10-10/B/2"}],
    }
    write_group(folder, {"plate": plate})
    write_group(folder / "2020-10-10/B/2", {"well": {"images": [{"path": "Field_1"}]}})
    write_v2(folder / "2020-10-10/B/2/Field_1", [pixels], {"version": "0.1"}, separator=".")
    with pytest.warns(OmeZarrWarning, match="has no id and is left out"):
        found = open_plate(folder)
    assert found.version == "0.1" and found.wells == ["B/2"] and found.acquisitions == []
    np.testing.assert_array_equal(found.image("b", 2).stored[0][:], pixels)
    overview = found.overview(0)
    assert overview.shape == (1, 2, 1, 40, 48)
    np.testing.assert_array_equal(overview[..., 20:, 24:], pixels)
    assert not overview[..., :20, :].compute().any()


def test_wells_of_any_path_are_found_by_their_indexes(tmp_path):
    folder = tmp_path / "p"
    listed = [{"path": "deep/well_7", "row_index": 1, "column_index": 0}]
    write_group(folder, {"plate": plate_of([]) | {"wells": listed}})
    write_well(folder / "deep/well_7", [noise(2, 20, 24)])
    plate = open_plate(folder)
    assert plate.wells == ["B/01"] and plate.image("B", 1).url.endswith("deep/well_7/0")


def test_the_name_of_a_well_counts_more_than_its_indexes(tmp_path):
    wells = some_wells("A/01", "B/03")
    folder = write_plate(tmp_path / "p", wells)
    listed = [{"path": "A/01", "rowIndex": 1, "columnIndex": 1}, {"path": "B/03"}]
    change(folder, 2, wells=listed)
    with pytest.warns(OmeZarrWarning, match=r"A/01 .* row 1 and column 1 .* 0 and 0: the name"):
        plate = open_plate(folder)
    np.testing.assert_array_equal(plate.overview(), expected(wells))


# What is no plate


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"rows": None}, "rows should hold a list, not None"),
        ({"columns": {"name": "1"}}, "columns should hold a list"),
        ({"rows": [{}]}, "number 0 of rows has no name: {}"),
        ({"rows": [{"name": "A/B"}]}, "the name 'A/B' among rows holds a slash"),
        ({"rows": [{"name": "A"}, {"name": "A"}]}, "rows have the same name twice: A, A"),
        ({"wells": "A/1"}, "wells should hold a list, not 'A/1'"),
        ({"wells": ["A/1"]}, "number 0 of wells has no path: 'A/1'"),
        ({"wells": [{"path": ""}]}, "number 0 of wells has no path"),
        ({"wells": [{"path": "X/9"}]}, "well X/9 is in no row and column: rows are A, B, C"),
        ({"wells": [{"path": "w", "rowIndex": 3, "columnIndex": 0}]}, "in no row and column"),
        ({"wells": [{"path": "w", "rowIndex": "0", "columnIndex": True}]}, "in no row and column"),
        ({"wells": [{"path": "A/01"}, {"path": "x/A/01"}]}, "A/01 and x/A/01 are at the same"),
    ],
)
def test_malformed_plates_say_why_in_one_sentence(changes, words, tmp_path, zarr_format):
    folder = tmp_path / "p"
    write_group(folder, {"plate": plate_of(["A/01"]) | changes}, zarr_format)
    with pytest.raises(MalformedMetadataError) as caught:
        open_plate(folder)
    assert words in str(caught.value) and str(folder) in str(caught.value)
    with pytest.raises(NotOmeZarrError) as caught:
        open_multiscale(folder)
    assert words in str(caught.value) and "a plate, but the OME-Zarr metadata" in str(caught.value)


@pytest.mark.parametrize("plate", [None, [], "A/1"])
def test_a_plate_that_is_no_object(plate, tmp_path):
    write_group(tmp_path, {"plate": plate})
    with pytest.raises(MalformedMetadataError, match="plate should hold an object"):
        open_plate(tmp_path)


@pytest.mark.parametrize(
    ("well", "words"),
    [
        (None, "well should hold an object, not None"),
        ({"images": {}}, "images should hold a list"),
        ({"images": [{"acquisition": 1}]}, "number 0 of images has no path"),
        ({"images": ["0"]}, "number 0 of images has no path: '0'"),
    ],
)
def test_malformed_wells_say_why_in_one_sentence(well, words, tmp_path, zarr_format):
    folder = write_plate(tmp_path / "p", some_wells("A/01", "B/03"), zarr_format)
    write_group(folder / "B/03", {"well": well}, zarr_format)
    plate = open_plate(folder)
    overview = plate.overview()
    for ask in (lambda: plate.image("B", 3), overview.compute):
        with pytest.raises(MalformedMetadataError) as caught:
            ask()
        assert words in str(caught.value) and "p/B/03" in str(caught.value)
    assert overview[:, :10].compute().any()  # the row of the good well


def test_what_is_no_plate(tmp_path, address):
    folder = write_plate(tmp_path / "p", some_wells("A/01"))
    write_array(tmp_path / "array", noise(20, 20))
    for path, words in [
        (folder / "A/01/0", "it holds an image: open it with open_multiscale"),
        (folder / "A/01", "it holds a well: open one of its fields, which are "),
        (tmp_path / "nothing", "it holds neither .zattrs nor zarr.json"),
    ]:
        with pytest.raises(NotOmeZarrError) as caught:
            open_plate(address(path))
        assert f"no plate at {address(path)}: {words}" in str(caught.value)


def test_a_plate_that_is_denied(tmp_path, served):
    served.missing_status = 403
    with pytest.raises(AccessDeniedError, match="denies access or there is no such image"):
        open_plate(f"{served.endpoint}/p")
    write_plate(tmp_path / "p", some_wells("A/01", "B/03"))
    plate = open_plate(f"{served.endpoint}/p")
    shutil.rmtree(tmp_path / "p/B")
    for ask in (lambda: plate.image("B", 3), plate.overview().compute):
        with pytest.raises(AccessDeniedError, match=r"B/03/\.zattrs .* answers 403"):
            ask()


def test_an_address_below_s3(tmp_path, served):
    write_plate(tmp_path / "bucket/p", some_wells("A/01"))
    plate = open_plate("s3://bucket/p", source=served.endpoint)
    assert plate.url == f"{served.endpoint}/bucket/p" and plate.wells == ["A/01"]


def test_addresses_as_people_paste_them(tmp_path, served):
    folder = write_plate(tmp_path / "my plate #1 50%20", some_wells("A/01"))
    encoded = f"{served.endpoint}/my%20plate%20%231%2050%2520"
    assert open_plate(encoded).name == open_plate(folder).name == "my plate #1 50%20"
    for address in (
        folder.as_uri(),
        f"{folder}/.zattrs",
        f"{encoded}/",
        f"{encoded}/.zattrs?signature=secret",
    ):
        plate = open_plate(address)
        assert plate.wells == ["A/01"] and "secret" not in f"{plate.url} {plate!r}"
        assert plate.image("A", 1).stored[1][:].any() and plate.overview().compute().any()
    assert open_plate("s3://my plate #1 50%20", source=served.endpoint).image("A", 1).paths


@pytest.mark.parametrize("address", [6001247, "6001247", "", None, "ftp://host/plate"])
def test_what_is_no_address_of_a_plate(address):
    with pytest.raises(NotOmeZarrError, match="give"):
        open_plate(address)


@pytest.mark.parametrize("ranges", [True, False])
def test_a_zipped_plate(tmp_path, zarr_format, address, served, ranges):
    wells = some_wells(*WELLS)
    folder = write_plate(tmp_path / "p", wells, zarr_format)
    shutil.make_archive(str(folder), "zip", folder)
    served.ranges = ranges
    plate = open_plate(address(tmp_path / "p.zip"))
    np.testing.assert_array_equal(plate.overview(), expected(wells))
    np.testing.assert_array_equal(plate.image("B", 3).stored[0][:], wells["B/03"][0])


def test_a_plate_of_version_0_6(tmp_path, address):
    """Axes stand in coordinate systems, and the version in ``ome`` alone."""
    wells = some_wells(*WELLS)
    folder = write_plate(tmp_path / "p", wells, 3)
    for file in folder.rglob("zarr.json"):
        document = json.loads(file.read_text())
        if ome := document.get("attributes", {}).get("ome"):
            ome["version"] = "0.6"
            ome.get("plate", {}).pop("version", None)
            for multiscale in ome.get("multiscales", ()):
                multiscale["coordinateSystems"] = [{"name": "own", "axes": multiscale.pop("axes")}]
                for level in multiscale["datasets"]:
                    level["coordinateTransformations"][0]["output"] = {"name": "own"}
            file.write_text(json.dumps(document))
    plate = open_plate(address(folder))
    assert plate.version == "0.6" and plate.image("B", 3).version == "0.6"
    np.testing.assert_array_equal(plate.overview(0), expected(wells, 0))


def test_a_row_of_a_plate_is_no_image(tmp_path, address):
    folder = write_plate(tmp_path / "p", some_wells("B/03"))
    with pytest.raises(NotOmeZarrError, match=r"p above it holds a plate: .* wells are B/03\.$"):
        open_multiscale(address(folder / "B"))


# What `open_multiscale` says of a plate and of a well


def test_a_plate_is_no_image_but_its_wells_are_named(tmp_path, zarr_format, address):
    folder = write_plate(tmp_path / "p", some_wells("B/03"), zarr_format)
    with pytest.raises(NotOmeZarrError) as caught:
        open_multiscale(address(folder))
    assert f'open_plate("{address(folder)}")' in str(caught.value)
    assert '.image("B", "03"); its wells are B/03.' in str(caught.value)
    many = [f"{row}/{column}" for row in "ABC" for column in ("01", "02", "03", "04")]
    write_group(folder, {"plate": plate_of(many)}, zarr_format)
    with pytest.raises(NotOmeZarrError, match=r"wells are A/01, A/02, A/03 and 9 more\.$"):
        open_multiscale(address(folder))
    write_group(folder, {"plate": plate_of([])}, zarr_format)
    with pytest.raises(NotOmeZarrError, match="a plate that lists no wells"):
        open_multiscale(address(folder))


def test_a_well_is_no_image_but_its_fields_are_named(tmp_path, zarr_format, address):
    folder = write_plate(tmp_path / "p", some_wells("B/03", fields=5), zarr_format)
    well = address(folder / "B" / "03")
    with pytest.raises(NotOmeZarrError) as caught:
        open_multiscale(well)
    fields = f"{well}/0, {well}/1, {well}/2 and 2 more."
    assert f"it holds a well: open one of its fields, which are {fields}" in str(caught.value)
    open_multiscale(f"{well}/0")
    write_group(folder / "B/03", {"well": {"images": []}}, zarr_format)
    with pytest.raises(NotOmeZarrError, match="a well that lists no images"):
        open_multiscale(well)
    write_group(folder / "B/03", {"well": {}}, zarr_format)
    with pytest.raises(NotOmeZarrError, match=r"a well, but the .* \(images should hold a l"):
        open_multiscale(well)


# The whole plate


def test_the_whole_plate_as_one_array(tmp_path, zarr_format, address):
    wells = some_wells(*WELLS, fields=2)
    plate = open_plate(address(write_plate(tmp_path / "p.zarr", wells, zarr_format)))
    for level, index in [(-1, 1), (0, 0), ("1", 1), (1, 1)]:
        overview = plate.overview(level, field=1)
        np.testing.assert_array_equal(overview, expected(wells, index, field=1))
    assert overview.dtype == np.dtype("u2") and overview.numblocks == (2, 3, 4)
    part = overview[1, 10:20, ::-2]
    np.testing.assert_array_equal(part, expected(wells, field=1)[1, 10:20, ::-2])
    again = pickle.loads(pickle.dumps(overview))
    np.testing.assert_array_equal(again, expected(wells, field=1))


def test_an_overview_asks_for_nothing_in_vain(tmp_path, served, zarr_format):
    """Making it opens one image; computing it reads three documents a well, and the chunks."""
    names = [f"{row}/{column}" for row in "ABC" for column in ("01", "02", "03")]
    write_plate(tmp_path / "p", some_wells(*names), zarr_format)
    plate = open_plate(f"{served.endpoint}/p")
    served.asked.clear()
    overview = plate.overview()
    assert len(served.asked) == 3
    overview.compute()
    overview.compute()
    documents = [key for key in served.asked if key.rsplit("/", 1)[-1][0] in ".z"]
    assert len(documents) == len(set(documents)) == 3 * len(names)
    served.asked.clear()
    plate.overview()[0, :10].compute()  # one channel of a row
    assert all(key.startswith("p/A/") for key in served.asked)
    assert len(served.asked) == 3 * 3 + 3  # three documents and a chunk a well


def test_wells_are_read_together(tmp_path, served):
    names = [f"{row}/{column}" for row in "ABC" for column in ("01", "02", "03", "04")]
    write_plate(tmp_path / "p", some_wells(*names, shape=(1, 20, 24)))
    plate = open_plate(f"{served.endpoint}/p")
    overview = plate.overview()
    served.asked.clear()
    overview.compute(scheduler="sync")
    kinds = [key.rsplit("/", 3)[1:] for key in served.asked]
    kinds = ["chunk" if key[-1][0] not in ".z" else len(served.asked[at].split("/")) for at, key in
             enumerate(kinds)]  # fmt: skip
    assert kinds == sorted(kinds, key=str)  # first all wells, then all images, then all levels
    assert kinds[:33] == [4] * 11 + [5] * 11 + [6] * 11


@pytest.mark.parametrize("names", ["tczyx", "yx", "YXC"])
def test_other_axes(names, tmp_path):
    """The axes stay in their order; y and x are tiled wherever they stand."""
    sizes = dict(zip("tczyx", (2, 3, 2, 20, 24), strict=True))
    shape = tuple(sizes[name.lower()] for name in names)
    pixels = [noise(*shape, seed=seed) for seed in range(2)]
    write_group(tmp_path, {"plate": plate_of(["A/01", "B/02"], rows="AB", columns=("01", "02"))})
    for name, each in zip(("A/01", "B/02"), pixels, strict=True):
        write_group(tmp_path / name, {"well": {"images": [{"path": "0"}]}})
        axes = [{"name": axis, "type": "channel" if axis in "cC" else "space"} for axis in names]
        axes = [axis | ({"type": "time"} if axis["name"] == "t" else {}) for axis in axes]
        write_v2(tmp_path / name / "0", [each], {"version": "0.4", "axes": axes}, chunks=shape)
    overview = open_plate(tmp_path).overview()
    down, across = names.lower().index("y"), names.lower().index("x")
    blank = np.zeros(shape, "u2")
    rows = [np.concatenate(row, across) for row in [[pixels[0], blank], [blank, pixels[1]]]]
    np.testing.assert_array_equal(overview, np.concatenate(rows, down))


def test_wells_that_are_not_there_are_filled_and_named(tmp_path, zarr_format, address):
    wells = some_wells(*WELLS)
    folder = write_plate(tmp_path / "p", wells, zarr_format)
    shutil.rmtree(folder / "B/04")
    shutil.rmtree(folder / "C/02/0")
    left = {name: wells[name] for name in WELLS[:2]}
    overview = open_plate(address(folder)).overview()
    with pytest.warns(OmeZarrWarning, match="not there, and are filled with 0: B/04, C/02") as said:
        np.testing.assert_array_equal(overview, expected(left))
    assert len(said) == 1
    with warnings.catch_warnings(action="error"):
        overview.compute()  # it has been said
    with pytest.raises(ImageNotFoundError, match=r"lists a well B/04, but .* incomplete"):
        open_plate(folder).image("B", 4)
    with pytest.raises(ImageNotFoundError, match=r"lists an image C/02/0, but .* incomplete"):
        open_plate(folder).image("C", 2)


def test_the_first_well_may_be_missing(tmp_path):
    wells = some_wells(*WELLS)
    folder = write_plate(tmp_path / "p", wells)
    shutil.rmtree(folder / "A/01")
    del wells["A/01"]
    with pytest.warns(OmeZarrWarning, match="not there"):
        np.testing.assert_array_equal(open_plate(folder).overview(), expected(wells))
    shutil.rmtree(folder / "B")
    shutil.rmtree(folder / "C")
    with pytest.raises(ImageNotFoundError, match=r"None of the 4 wells of .* field 0"):
        open_plate(folder).overview()


def test_wells_with_fewer_fields_are_filled_and_named(tmp_path):
    wells = some_wells("A/01", "B/02") | some_wells("C/03", fields=2)
    plate = open_plate(write_plate(tmp_path / "p", wells))
    overview = plate.overview(field=1)
    with pytest.warns(OmeZarrWarning, match="have no field 1, and are filled with 0: A/01, B/02"):
        np.testing.assert_array_equal(overview, expected({"C/03": wells["C/03"]}, field=1))
    with pytest.raises(ImageNotFoundError, match=r"None of the 3 wells .* field 2"):
        plate.overview(field=2)


def test_empty_places_hold_the_fill_value(tmp_path):
    folder = write_plate(tmp_path / "p", some_wells("B/02"))
    for level in "01":
        change_json(folder / f"B/02/0/{level}/.zarray", fill_value=7)
    overview = open_plate(folder).overview()
    assert (overview[:, :10] == 7).all().compute()


@pytest.mark.parametrize("fault", [status(500), status(400)])
@pytest.mark.parametrize("document", [".zattrs", "0/.zattrs", "0/1/.zarray"])
def test_a_well_that_cannot_be_read_is_an_error(document, fault, tmp_path, served, quick):
    wells = some_wells("A/01", "B/03")
    write_plate(tmp_path / "p", wells)
    overview = open_plate(f"{served.endpoint}/p").overview()
    served.fault(f"p/B/03/{document}", fault, forever=True)
    with pytest.raises(EndpointUnreachableError, match=f"B/03/{document}"):
        overview.compute()
    np.testing.assert_array_equal(overview[:, :10], expected(wells)[:, :10])
    served.fault(f"p/B/03/{document}")
    np.testing.assert_array_equal(overview, expected(wells))  # an error is not kept


def test_a_chunk_that_cannot_be_read_is_an_error(tmp_path, served, quick):
    wells = some_wells("A/01", "B/03")
    write_plate(tmp_path / "p", wells)
    overview = open_plate(f"{served.endpoint}/p").overview()
    served.fault("p/B/03/0/1/0/0/0", status(503), forever=True)
    with pytest.raises(ChunkError, match=r"1/0/0/0 of .*p/B/03/0"):
        overview.compute()
    (tmp_path / "p/B/03/0/1/1/0/0").write_bytes(b"rubbish" * 20)
    with pytest.raises(ChunkError, match=r"1/1/0/0 of .*p/B/03/0"):
        overview[1].compute()


def test_wells_of_another_shape_are_cut_or_filled_up(tmp_path):
    wells = some_wells("A/01")
    small, large = noise(1, 12, 16, seed=5), noise(3, 40, 32, seed=6)
    folder = write_plate(tmp_path / "p", wells | {"B/02": [small], "C/03": [large]})
    whole = expected(wells, 0)
    whole[:1, 20:32, 24:40] = small
    whole[:, 40:60, 48:72] = large[:2, :20, :24]
    overview = open_plate(folder).overview(0)
    with pytest.warns(OmeZarrWarning, match=r"differ in shape from A/01.*: B/02, C/03\."):
        np.testing.assert_array_equal(overview, whole)


def test_wells_of_another_type(tmp_path):
    wells = some_wells("A/01", dtype="u2") | {"B/02": [noise(2, 20, 24).astype("u1")]}
    wells |= some_wells("C/03", dtype=">u2")
    folder = write_plate(tmp_path / "p", wells)
    np.testing.assert_array_equal(open_plate(folder).overview(), expected(wells))
    shutil.rmtree(folder / "B/02/0")
    write_image(folder / "B/02/0", noise(2, 20, 24).astype("f4"))
    with pytest.raises(OmeZarrError, match=r"B/02 .* float32, but the first well, A/01, .*uint16"):
        open_plate(folder).overview().compute()


def test_wells_with_other_axes_or_levels(tmp_path):
    folder = write_plate(tmp_path / "p", some_wells("A/01", "B/02"))
    shutil.rmtree(folder / "B/02/0")
    write_image(folder / "B/02/0", noise(2, 20, 24), names="zyx")
    with pytest.raises(OmeZarrError, match=r"B/02 .* axes z, y, x, but the first .* A/01, c, y, x"):
        open_plate(folder).overview().compute()
    shutil.rmtree(folder / "B/02/0")
    write_image(folder / "B/02/0", noise(2, 20, 24), times=0)
    with pytest.raises(LevelNotFoundError, match="B/02/0 has no level '1'"):
        open_plate(folder).overview().compute()


@pytest.mark.parametrize("level", [2, -3, "x", None, 0.5])
def test_levels_that_do_not_exist(level, tmp_path):
    plate = open_plate(write_plate(tmp_path / "p", some_wells("A/01")))
    with pytest.raises(LevelNotFoundError, match="finest first, are '0', '1'"):
        plate.overview(level)


def test_a_level_that_is_listed_but_not_there(tmp_path):
    folder = write_plate(tmp_path / "p", some_wells("A/01", "B/02"))
    shutil.rmtree(folder / "B/02/0/1")
    with pytest.raises(MalformedMetadataError, match="level '1' is listed"):
        open_plate(folder).overview().compute()


def test_an_image_that_is_none(tmp_path):
    folder = write_plate(tmp_path / "p", some_wells("A/01"))
    write_group(folder / "A/01/0", {})
    with pytest.raises(MalformedMetadataError, match=r"p/A/01/0 .*its well lists an image here"):
        open_plate(folder).image("A", 1)


def test_a_plate_without_wells(tmp_path):
    write_group(tmp_path, {"plate": plate_of([])})
    plate = open_plate(tmp_path)
    assert plate.wells == [] and plate.fields == 0
    with pytest.raises(ImageNotFoundError, match="None of the 0 wells"):
        plate.overview()
    assert "0 wells" in plate._repr_html_()


def test_on_a_cluster(tmp_path, client):
    wells = some_wells(*WELLS)
    overview = open_plate(write_plate(tmp_path / "p", wells)).overview()
    np.testing.assert_array_equal(client.compute(overview).result(), expected(wells))
    assert client.compute(overview.sum()).result() == expected(wells).sum()


def test_a_plate_through_a_cache(tmp_path, served):
    wells = some_wells("A/01", "B/03")
    write_plate(tmp_path / "p", wells)
    kept = {"cache": str(tmp_path / "kept")}
    with pytest.raises(NotOmeZarrError):
        open_plate(f"{served.endpoint}/q", **kept)
    write_plate(tmp_path / "q", wells)
    for _ in range(2):
        plate = open_plate(f"{served.endpoint}/q", **kept)  # it is there now
        np.testing.assert_array_equal(plate.overview(), expected(wells))
        plate.image("B", 3).stored[0][:]
    asked = len(served.asked)
    plate = open_plate(f"{served.endpoint}/q", **kept)
    plate.overview().compute()
    assert len(served.asked) == asked


# What a person sees


class Cells(HTMLParser):
    """Texts of the cells of a table, row by row, and the scopes of its headings."""

    def __init__(self):
        super().__init__()
        self.rows, self.scopes, self.names = [], [], []

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        if tag == "th":
            self.scopes.append(given["scope"])
        if "aria-label" in given:
            self.names.append(given["aria-label"])

    def handle_data(self, data):
        if self.rows:
            self.rows[-1][-1] += data


def test_a_grid_of_the_wells(tmp_path):
    folder = write_plate(tmp_path / "p", some_wells(*WELLS), name="<b>7", field_count=1)
    page = open_plate(folder)._repr_html_()
    cells = Cells()
    cells.feed(page)
    assert cells.rows == [
        ["", "01", "02", "03", "04"],
        ["A", "●", "–", "–", "–"],
        ["B", "–", "–", "●", "●"],
        ["C", "–", "●", "–", "–"],
    ]
    assert cells.scopes == ["col"] * 4 + ["row"] * 3 and cells.names == list(WELLS)
    assert "<strong>&lt;b&gt;7</strong>: OME-Zarr 0.4, 4 wells, 1 field each (●" in page


def test_a_picture_of_the_plate(tmp_path):
    import matplotlib.pyplot as plt

    wells = {
        name: [np.full((1, 20, 24), 20 * number, "u2")]
        for number, name in enumerate(WELLS, start=1)
    }
    overview = open_plate(write_plate(tmp_path / "p", wells)).overview()
    figure, axes = plt.subplots()
    drawn = axes.imshow(overview[0], cmap="gray")
    figure.savefig(tmp_path / "plate.png")
    plt.close(figure)
    assert (tmp_path / "plate.png").stat().st_size > 1000
    assert drawn.get_array().shape == (30, 48)
    assert np.unique(drawn.get_array()).tolist() == [0, 20, 40, 60, 80]
