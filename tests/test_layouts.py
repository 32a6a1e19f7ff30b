"""How chunks are named where the metadata do not say, images without chunks, and collections."""

import json
import pickle
import re
import time
import warnings

import dask
import numpy as np
import pytest
from support.images import axes, change_json, noise, write_array, write_json, write_v2
from support.misbehaving import status

from data_helpers import (
    AccessDeniedError,
    NotOmeZarrError,
    OmeZarrError,
    OmeZarrWarning,
    load_binary_from_s3,
    load_binary_from_s3_with_data,
    open_multiscale,
    request_meter,
)
from data_helpers._collection import in_words, names_in_xml
from data_helpers._store.known_keys import KeyLayout, KnownKeys

PIXELS = noise(4, 20, 30)
COARSE = PIXELS[:, ::2, ::2]
CHUNKS = 4 * 2 * 2


def unsaid(folder, separator="/", **more):
    """An image whose arrays do not say how their chunks are named."""
    metadata = {"version": "0.4", "axes": axes("zyx")}
    write_v2(folder, [PIXELS, COARSE], metadata, separator=separator, **more)
    for level in more.get("paths", ["0", "1"]):
        document = json.loads((folder / level / ".zarray").read_text())
        document.pop("dimension_separator", None)
        write_json(folder / level / ".zarray", document)
    return folder


@pytest.fixture(params=["web", "folder"])
def place(request, tmp_path):
    """Where to open `tmp_path`."""
    if request.param == "folder":
        return str(tmp_path)
    return request.getfixturevalue("served").endpoint


# Key layout


@pytest.mark.parametrize("separator", ["/", "."])
def test_every_way_to_read_finds_out(separator, place, tmp_path):
    unsaid(tmp_path, separator)
    ways = [
        lambda image: (image.stored[0][:], image.stored[1][:]),
        lambda image: dask.compute(*image.levels),
        lambda image: (image.stored[0].zarr_array[:], image.stored[1].zarr_array[:]),
        lambda image: [array.read_all() for array in image.stored],
        lambda image: pickle.loads(pickle.dumps(image.levels)) and dask.compute(*image.levels),
        lambda image: [array.lazy()[...].compute(num_workers=8) for array in image.stored],
    ]
    for way in ways:
        fine, coarse = way(open_multiscale(place))
        np.testing.assert_array_equal(fine, PIXELS)
        np.testing.assert_array_equal(coarse, COARSE)
    np.testing.assert_array_equal(load_binary_from_s3(place).compute(), PIXELS)
    np.testing.assert_array_equal(load_binary_from_s3_with_data(place, 1), COARSE)


def test_a_null_separator_is_none(place, tmp_path):
    unsaid(tmp_path)
    change_json(tmp_path / "0/.zarray", dimension_separator=None)
    np.testing.assert_array_equal(open_multiscale(place).stored[0][:], PIXELS)


@pytest.mark.parametrize("path", ["0.5", "a.b/1.0"])
def test_a_dot_in_the_path_of_a_level_is_none_of_a_chunk(path, place, tmp_path):
    unsaid(tmp_path, paths=[path, "1"])
    np.testing.assert_array_equal(open_multiscale(place).stored[0][:], PIXELS)


def test_a_label_that_is_one_array(place, tmp_path):
    unsaid(tmp_path)
    write_array(tmp_path / "labels/0", PIXELS)
    document = json.loads((tmp_path / "labels/0/.zarray").read_text())
    write_json(tmp_path / "labels/0/.zarray", {k: document[k] for k in document if "sep" not in k})
    write_json(tmp_path / "labels/.zattrs", {"labels": ["0"]})
    np.testing.assert_array_equal(open_multiscale(place).label("0").stored[0][:], PIXELS)


def test_the_layout_that_is_usual_costs_nothing(served, tmp_path):
    unsaid(tmp_path, ".")
    image = open_multiscale(served.endpoint)
    served.asked.clear()
    image.stored[0][:]
    assert len(served.asked) == len(set(served.asked)) == CHUNKS


def test_the_other_layout_costs_one_request_and_is_remembered(served, tmp_path):
    unsaid(tmp_path)
    image = open_multiscale(served.endpoint)
    served.asked.clear()
    image.stored[0][2, :16, :16]
    assert served.asked == ["0/2.0.0", "0/2/0/0"]
    served.asked.clear()
    image.stored_level(0)[:]
    copy = pickle.loads(pickle.dumps(image.stored[0]))
    copy[:]
    image.levels[0].compute()
    assert len(served.asked) == 3 * CHUNKS and not [key for key in served.asked if "." in key]


def test_many_at_once_try_the_other_layout_once(served, tmp_path):
    """What is under way already is asked for twice; the try is one request more for all."""
    unsaid(tmp_path)
    image = open_multiscale(served.endpoint)
    served.asked.clear()
    image.stored[0][:]
    nested = [key for key in served.asked if "." not in key]
    assert len(nested) == len(set(nested)) == CHUNKS


def test_a_sparse_array_is_not_mistaken(place, tmp_path):
    """The first chunks asked for exist in neither layout."""
    unsaid(tmp_path)
    expected = PIXELS.copy()
    for plane in range(3):
        expected[plane] = 0
        for chunk in (tmp_path / f"0/{plane}").rglob("*"):
            chunk.is_file() and chunk.unlink()
    image = open_multiscale(place)
    with pytest.warns(OmeZarrWarning):
        assert not image.stored[0][0].any()
    np.testing.assert_array_equal(image.stored[0][:], expected)
    np.testing.assert_array_equal(open_multiscale(place).levels[0].compute(), expected)


def test_a_sparse_array_of_the_usual_layout_stops_trying(served, tmp_path):
    unsaid(tmp_path, ".")
    (tmp_path / "0/0.0.0").unlink()
    (tmp_path / "0/3.0.0").unlink()
    image = open_multiscale(served.endpoint)
    with pytest.warns(OmeZarrWarning, match=r"such as 0/0\.0\.0"):
        image.stored[0][0, 0, 0]
    assert served.asked[-2:] == ["0/0.0.0", "0/0/0/0"]
    image.stored[0][1]
    served.asked.clear()
    image.stored[0][3]
    assert len(served.asked) == 4 and not [key for key in served.asked if key.count("/") > 1]


def test_many_missing_chunks_of_the_usual_layout_are_one_try(served, tmp_path):
    unsaid(tmp_path, ".")

    def slow(request, content):
        time.sleep(0.5)
        request.send(b"", 404)

    for plane in range(2):
        for row, column in np.ndindex(2, 2):
            (tmp_path / f"0/{plane}.{row}.{column}").unlink()
            served.fault(f"0/{plane}/{row}/{column}", slow, forever=True)
    image = open_multiscale(served.endpoint)
    served.asked.clear()
    assert not image.stored[0][:][:2].any()
    assert len(served.asked) == CHUNKS + 1


@pytest.mark.parametrize("refuse", [403, 400])
def test_a_server_that_refuses_what_it_does_not_hold(refuse, served, tmp_path):
    unsaid(tmp_path)
    served.missing_status = refuse
    np.testing.assert_array_equal(open_multiscale(served.endpoint).stored[0][:], PIXELS)
    (tmp_path / "0/0/0/0").unlink()
    with pytest.raises(OmeZarrError, match=f"Chunk 0/0[./]0[./]0 .* {refuse} "):
        open_multiscale(served.endpoint).stored[0][:]


def test_a_busy_server_settles_nothing(served, tmp_path, quick):
    """A chunk that may exist under the other name is an error, never the fill value."""
    unsaid(tmp_path)
    served.fault("0/0/0/0", status(503), forever=True)
    with pytest.raises(OmeZarrError, match=r"0/0/0/0 .* 503"):
        open_multiscale(served.endpoint).stored[0][0, 0, 0]
    served.fault("0/0/0/0", status(503))
    assert open_multiscale(served.endpoint).stored[0][0, 0, 0] == PIXELS[0, 0, 0]


def test_damage_is_named_by_its_name(served, tmp_path, quick):
    unsaid(tmp_path, compressor=None)
    (tmp_path / "0/1/0/0").write_bytes(b"short")
    with pytest.raises(OmeZarrError, match=r"Chunk 0/1/0/0 of .* cannot be decoded"):
        open_multiscale(served.endpoint).stored[0][:]


def test_a_cache_learns_the_layout_too(served, tmp_path):
    unsaid(tmp_path / "i")
    for _ in range(2):
        image = open_multiscale(f"{served.endpoint}/i", cache=tmp_path / "kept")
        np.testing.assert_array_equal(image.levels[0].compute(), PIXELS)
        last = len(served.asked)
    with request_meter(show=False) as cost:
        open_multiscale(f"{served.endpoint}/i", cache=tmp_path / "kept").stored[0][:]
    assert cost.requests == 0 and len(served.asked) == last


def test_what_the_metadata_say_is_believed(served, tmp_path):
    write_v2(tmp_path, [PIXELS], {"version": "0.4", "axes": axes("zyx")}, separator="/")
    (tmp_path / "0/0/0/0").unlink()
    image = open_multiscale(served.endpoint)
    served.asked.clear()
    image.stored[0][0]
    assert len(served.asked) == 4


def test_names_of_chunks():
    layout = KeyLayout("a.b/0")
    assert layout.nested_key("a.b/0/1.2.3") == "a.b/0/1/2/3"
    assert KeyLayout("").nested_key("1.2") == "1/2"


# An image without chunks


def empty(folder, **more):
    write_v2(folder, [PIXELS, COARSE], {"version": "0.4", "axes": axes("zyx")}, **more)
    for file in folder.rglob("*"):
        if file.is_file() and file.parent != folder and not file.name.startswith("."):
            file.unlink()


@pytest.mark.parametrize(
    "read",
    [
        lambda image: [image.stored[0][:], image.stored[1][:], image.stored[0][1]],
        lambda image: [level.compute(num_workers=4) for level in image.levels],
        lambda image: [array.read_all() for array in image.stored],
    ],
    ids=["indexing", "lazy", "all"],
)
def test_an_image_of_which_no_chunk_exists_says_so_once(read, place, tmp_path):
    empty(tmp_path, fill_value=3)
    image = open_multiscale(place)
    with pytest.warns(OmeZarrWarning) as caught:
        assert all((part == 3).all() for part in read(image))
    assert len(caught) == 1
    message = str(caught[0].message)
    if "dask" not in caught[0].filename and "concurrent" not in caught[0].filename:
        assert caught[0].filename == __file__  # the line that reads, not one of ours
    assert re.match(
        rf"None of the requested chunks of {place} exists \(such as 0/\d/\d/\d\)", message
    )
    assert "\n" not in message
    with pytest.warns(OmeZarrWarning):  # another opening of it says so again
        open_multiscale(place).stored[0][0]


def test_no_warning_where_nothing_is_wrong(place, tmp_path):
    """Some chunk exists, none was asked for, or it is a label image: background is not written."""
    metadata = {"version": "0.4", "axes": axes("zyx")}
    write_v2(tmp_path, [PIXELS, COARSE], metadata)
    empty(tmp_path / "labels/a")
    write_json(tmp_path / "labels/.zattrs", {"labels": ["a"]})
    for file in (tmp_path / "0/1").rglob("*"):
        file.is_file() and file.unlink()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        image = open_multiscale(place)
        assert image.stored[0][1, 5:5].shape == (0, 30)
        image.stored[0][:]
        assert not image.stored[0][1].any()
        assert not image.label("a").stored[0][:].any()


def test_the_last_reader_says_it():
    """A lazy level is read in several parts at once; others may find what one does not."""
    known = KnownKeys()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with known.reading("here"):
            with known.reading("here"):
                known.sought = "0/0"
            known.found = True
    known.found = False
    with pytest.warns(OmeZarrWarning, match="None of the requested chunks of here"):
        with known.reading("here"), known.reading("here"):
            pass
    copy = pickle.loads(pickle.dumps(known))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with copy.reading("here"):
            pass


# Denied chunks


def test_a_denied_chunk_is_an_error_that_names_two_reasons(served, tmp_path):
    unsaid(tmp_path, ".")
    (tmp_path / "0/0.0.0").unlink()
    served.missing_status = 403
    with pytest.raises(AccessDeniedError) as caught:
        open_multiscale(served.endpoint).stored[0][:]
    message = str(caught.value)
    for words in ("Chunk 0/0.0.0 of", "403", "never written", "missing_as_empty=True", "private"):
        assert words in message
    assert "\n" not in message


def test_a_denied_chunk_is_empty_for_who_says_so(served, tmp_path):
    metadata = {"version": "0.4", "axes": axes("zyx")}
    write_v2(tmp_path / "i", [PIXELS], metadata, fill_value=9)
    write_v2(tmp_path / "i/labels/a", [PIXELS], {"version": "0.4", "axes": axes("zyx")})
    write_json(tmp_path / "i/labels/.zattrs", {"labels": ["a"]})
    (tmp_path / "i/0/0/0/0").unlink()
    (tmp_path / "i/labels/a/0/0/0/0").unlink()
    served.missing_status = 403
    expected = PIXELS.copy()
    expected[0, :16, :16] = 9
    where = f"{served.endpoint}/i"
    image = open_multiscale(where, missing_as_empty=True, cache=tmp_path / "kept")
    np.testing.assert_array_equal(image.stored[0][:], expected)
    np.testing.assert_array_equal(image.levels[0].compute(), expected)
    assert image.label("a").stored[0][0, 0, 0] == 0
    assert pickle.loads(pickle.dumps(image.stored[0]))[0, 0, 0] == 9
    loaded = load_binary_from_s3_with_data(where, missing_as_empty=True)
    np.testing.assert_array_equal(loaded, expected)
    with pytest.warns(OmeZarrWarning):
        assert load_binary_from_s3(where, missing_as_empty=True)[0, 0, 0].compute() == 9
    strict = open_multiscale(where, cache=tmp_path / "kept")  # the cache has not kept it as empty
    with pytest.raises(AccessDeniedError):
        strict.stored[0][:]
    with pytest.raises(AccessDeniedError):
        dask.compute(strict.levels[0], image.levels[0])


@pytest.mark.parametrize("code", [500, 503, 401, 400, 410])
def test_no_other_failure_is_empty(code, served, tmp_path, quick):
    write_v2(tmp_path, [PIXELS], {"version": "0.4", "axes": axes("zyx")})
    served.fault("0/0/0/0", status(code), forever=True)
    with pytest.raises(OmeZarrError, match=str(code)):
        open_multiscale(served.endpoint, missing_as_empty=True).stored[0][:]


# Collections, as bioformats2raw writes them


def collection(folder, names, *, zarr_format=2, series=True, xml=True, own=True):
    """A collection of images; their names in OME-XML, and "own NAME" in their own metadata."""
    import zarr

    def group(path, attributes):
        if zarr_format == 2:
            write_json(path / ".zattrs", attributes)
        else:
            inside = {"attributes": {"ome": {"version": "0.5", **attributes}}}
            write_json(path / "zarr.json", {"zarr_format": 3, "node_type": "group", **inside})

    group(folder, {"bioformats2raw.layout": 3})
    for number, name in enumerate(names):
        path = folder / str(number)
        if zarr_format == 2:
            write_array(path / "0", PIXELS + number)
        else:
            options = {"shape": PIXELS.shape, "dtype": "u2", "chunks": (1, 20, 30)}
            zarr.create_array(store=str(path / "0"), zarr_format=3, **options)[:] = PIXELS + number
        scale = {"type": "scale", "scale": [1.0, 1.0, 1.0]}
        datasets = [{"path": "0", "coordinateTransformations": [scale]}]
        multiscale = {"axes": axes("zyx"), "datasets": datasets, "version": "0.4"}
        group(path, {"multiscales": [multiscale | ({"name": f"own {name}"} if own else {})]})
    if series:
        group(folder / "OME", {"series": [str(number) for number in range(len(names))]})
    if xml:
        listed = "".join(f'<Image ID="Image:{n}" Name="{name}"/>' for n, name in enumerate(names))
        (folder / "OME").mkdir(exist_ok=True)
        (folder / "OME/METADATA.ome.xml").write_text(
            f'<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">{listed}</OME>'
        )
    return folder


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize(("series", "xml"), [(True, True), (False, True), (True, False), (0, 0)])
def test_the_only_image_of_a_collection_is_opened(
    zarr_format, series, xml, place, tmp_path, capsys
):
    collection(tmp_path, ["liver"], zarr_format=zarr_format, series=series, xml=xml)
    image = open_multiscale(place)
    np.testing.assert_array_equal(image.stored[0][:], PIXELS)
    name = "liver" if xml else "own liver"
    line = f"{place} is a collection of one image, 0 ({name}); opening that one.\n"
    assert capsys.readouterr().out == line
    assert image.url == f"{place}/0"


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize(("series", "xml"), [(True, True), (False, True), (True, False), (0, 0)])
def test_several_images_are_listed_with_their_names(zarr_format, series, xml, place, tmp_path):
    collection(tmp_path, ["a", "b", "c"], zarr_format=zarr_format, series=series, xml=xml)
    with pytest.raises(NotOmeZarrError) as caught:
        open_multiscale(place)
    listed = "0 (a), 1 (b), 2 (c)" if xml else "0 (own a), 1 (own b), 2 (own c)"
    assert f"a collection of 3: {listed}; open one by its address, such as {place}/0." in str(
        caught.value
    )
    np.testing.assert_array_equal(open_multiscale(f"{place}/2").stored[0][:], PIXELS + 2)


@pytest.mark.parametrize("text", ["<OME", "", "not found", "<!DOCTYPE html><html></html>"])
def test_ome_xml_that_cannot_be_read(text, place, tmp_path):
    collection(tmp_path, ["a", "b"])
    (tmp_path / "OME/METADATA.ome.xml").write_text(text)
    with pytest.raises(NotOmeZarrError, match=r"0 \(own a\), 1 \(own b\)"):
        open_multiscale(place)


def test_an_address_in_a_collection_that_is_no_image(place, tmp_path):
    collection(tmp_path, ["a", "b"])
    for path in ("OME", "OME/METADATA.ome.xml", "7"):
        local_file = path.endswith(".xml") and "://" not in place
        said = "is a file, not a folder" if local_file else f"{place} above it holds a collection"
        with pytest.raises(NotOmeZarrError, match=said):
            open_multiscale(f"{place}/{path}")


def test_a_large_collection_costs_a_handful_of_requests(served, tmp_path):
    write_json(tmp_path / ".zattrs", {"bioformats2raw.layout": 3})
    write_json(tmp_path / "OME/.zattrs", {"series": [str(number) for number in range(300)]})
    with pytest.raises(NotOmeZarrError, match=r"of 300: 0, 1, 2, .*, 9 and 290 more; open"):
        open_multiscale(served.endpoint)
    assert len(served.asked) <= 2 + 1 + 1 + 5


def test_names_of_images():
    assert names_in_xml('<OME><Image Name="a"/><Instrument/><Image/></OME>') == ["a", ""]
    assert names_in_xml("<OME>") == []
    assert in_words({"0": "a", "1": ""}) == "0 (a), 1"
