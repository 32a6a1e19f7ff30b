"""Links to viewers: right address, right syntax, encoded so that nothing gets lost."""

import json
import re
import shlex
import urllib.request
from html.parser import HTMLParser
from urllib.parse import parse_qs, unquote, urlsplit

import neuroglancer
import numpy as np
import pytest
import zarr
from support.images import axes, scales, write_v2

from data_helpers import IMAGES, current_source, open_multiscale, viewer_links
from data_helpers.errors import ImageNotFoundError, NotOmeZarrError
from data_helpers.sources import Source
from data_helpers.viewer.links import MISSING_CHANNEL, REAL, public_address
from data_helpers.viewer.neuroglancer import state_of

BLASTOCYST = "https://livingobjects.ebi.ac.uk/idr/zarr/v0.4/idr0062A/6001247.zarr"
AWKWARD = "https://example.org/my data/A&B=1#x/ü+?.zarr"
URL_CHARACTERS = re.compile(r"[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]+")


def source_of(link):
    return parse_qs(urlsplit(link).query, strict_parsing=True)["source"]


def layers_of(link):
    fragment = urlsplit(link).fragment
    assert fragment.startswith("!")
    return json.loads(unquote(fragment[1:]))["layers"]


@pytest.mark.parametrize(
    ("image_id", "key"),
    [
        (9822152, "zarr/v0.4/idr0083A/9822152.zarr"),
        (4007801, "zarr/v0.4/idr0044A/4007801.zarr"),
        (6001247, "zarr/v0.4/idr0062A/6001247.zarr"),
    ],
)
def test_public_address_is_the_v04_copy_at_livingobjects(image_id, key):
    assert image_id in IMAGES
    assert public_address(image_id) == f"https://livingobjects.ebi.ac.uk/idr/{key}"
    assert viewer_links(image_id).address == viewer_links(str(image_id)).address
    assert viewer_links(image_id).address == public_address(image_id)


def test_address_does_not_depend_on_the_source_in_use(monkeypatch):
    elsewhere = Source("endpoint", "http://127.0.0.1:9")
    monkeypatch.setattr("data_helpers.sources._current", elsewhere)
    assert current_source() is elsewhere
    assert viewer_links(6001247).address == BLASTOCYST
    assert "127.0.0.1" not in repr(viewer_links(6001247))


@pytest.mark.parametrize("address", [BLASTOCYST, AWKWARD])
def test_links_carry_the_whole_address(address):
    links = viewer_links(address).links
    assert source_of(links["vizarr"]) == [address]
    assert source_of(links["validator"]) == [address]
    assert {layer["source"] for layer in layers_of(links["neuroglancer"])} == {f"zarr://{address}"}


@pytest.mark.parametrize("address", [BLASTOCYST, AWKWARD])
@pytest.mark.parametrize("viewer", ["vizarr", "validator", "neuroglancer"])
def test_links_hold_only_characters_that_a_url_may_hold(viewer, address):
    link = viewer_links(address).links[viewer]
    assert URL_CHARACTERS.fullmatch(link)
    assert urlsplit(link).scheme == "https"


def test_links_as_they_are_sent():
    links = viewer_links(6001247).links
    encoded = "https%3A%2F%2Flivingobjects.ebi.ac.uk%2Fidr%2Fzarr%2Fv0.4%2Fidr0062A%2F6001247.zarr"
    assert links["vizarr"] == f"https://biongff.github.io/vizarr/?source={encoded}"
    assert links["validator"] == f"https://ome.github.io/ome-ngff-validator/?source={encoded}"
    assert links["neuroglancer"].startswith(
        "https://neuroglancer-demo.appspot.com/#!%7B%22layers%22:%5B%7B%22type%22:%22image%22,"
        "%22source%22:%22zarr://https://livingobjects.ebi.ac.uk/idr/zarr/v0.4/idr0062A/6001247.zarr"
    )


def test_neuroglancer_shows_the_planes_and_the_channels_of_a_registered_image():
    """Left alone, it would look along T, Z and Y, and show everything black."""
    state = neuroglancer.parse_url(viewer_links(6001247).links["neuroglancer"])
    assert list(state.dimensions.names) == ["x", "y", "z"]
    assert state.dimensions["z"].unit == "m"
    assert state.dimensions["z"].scale == pytest.approx(0.500202734375e-6)
    assert state.cross_section_scale == 253 / 400
    assert list(state.position) == [253 / 2, 210 / 2, 128.5]
    assert [layer.name for layer in state.layers] == [
        "LaminB1 of 6001247.zarr",
        "DAPI of 6001247.zarr",
    ]
    shaders = [layer.shader for layer in state.layers]
    assert "#FFFF00" in shaders[1] and "range=[0, 1500]" in shaders[1]
    assert [list(layer.local_position) for layer in state.layers] == [[0], [1]]
    assert state.layout.type == "4panel"
    plane = neuroglancer.parse_url(viewer_links(9822152).links["neuroglancer"])
    assert plane.layout.type == "xy" and plane.cross_section_scale == 144384 / 400


def test_neuroglancer_hides_and_inverts_channels_as_the_metadata_say(tmp_path):
    channels = [
        {"label": "dark", "inverted": True, "window": {"start": 0, "end": 9}},
        {"label": "off", "active": False},
    ]
    multiscale = {
        "version": "0.4",
        "axes": axes("czyx", z="nanometer", y="micrometre", x="um"),
        "datasets": scales((1, 500, 0.25, 0.25)),
    }
    pixels = np.ones((2, 1, 8, 9), "u2")
    folder = write_v2(tmp_path, [pixels], multiscale, omero={"channels": channels})
    state = state_of("a", "b", open_multiscale(folder))
    dark, off = state["layers"]
    assert "emitRGB(color * (1.0 - window()))" in dark["shader"] and "visible" not in dark
    assert "emitRGB(color * (window()))" in off["shader"] and off["visible"] is False
    assert state["position"] == [4.5, 4, 0.5]
    sizes = {name: size for name, (size, unit) in state["dimensions"].items() if unit == "m"}
    assert sizes == pytest.approx({"x": 0.25e-6, "y": 0.25e-6, "z": 0.5e-6})


def test_neuroglancer_is_told_axes_by_their_names_and_gamma(tmp_path):
    channels = [
        {"label": "a", "coefficient": 0.5, "window": {"start": 0, "end": 1234567}},
        {"label": "b", "coefficient": 2, "inverted": True},
    ]
    multiscale = {
        "version": "0.4",
        "axes": axes("XYZ", X="um", Y="um", Z="um") + axes("c"),
        "datasets": scales((0.25, 0.5, 2, 1)),
    }
    folder = write_v2(
        tmp_path, [np.ones((8, 9, 3, 2), "u2")], multiscale, omero={"channels": channels}
    )
    state = state_of("a", "b", open_multiscale(folder))
    assert {name: size for name, (size, _) in state["dimensions"].items()} == pytest.approx(
        {"X": 0.25e-6, "Y": 0.5e-6, "Z": 2e-6}
    )
    assert state["position"] == [4, 4.5, 1.5] and "layout" not in state
    first, second = [layer["shader"] for layer in state["layers"]]
    assert "range=[0, 1234567]" in first and "color * (pow(window(), 0.5))" in first
    assert "color * (1.0 - pow(window(), 2.0))" in second


@pytest.mark.parametrize("image_id", IMAGES)
def test_what_is_known_of_a_registered_image_is_in_its_metadata_too(offline, image_id):
    key = IMAGES[image_id].keys["offline"][-1]
    image = open_multiscale(f"{offline}/idr/{key}")
    assert state_of("a", "b", image_id) == state_of("a", "b", image)


def test_the_sharded_copy_is_linked_as_it_is():
    key = IMAGES[9822152].further[0]
    address = f"https://livingobjects.ebi.ac.uk/idr/{key}"
    (layer,) = layers_of(viewer_links(address).links["neuroglancer"])
    assert layer["source"] == f"zarr://{address}" and "range=[1500, 6000]" in layer["shader"]


@pytest.mark.parametrize("address", [BLASTOCYST, AWKWARD])
def test_neuroglancer_reads_its_state_from_the_link(address):
    """With the parser of its own package; `layers_of` reads plain JSON."""
    state = neuroglancer.parse_url(viewer_links(address).links["neuroglancer"])
    for layer in state.layers:
        assert layer.type == "image"
        assert [source.url for source in layer.source] == [f"zarr://{address}"]


def test_desktop_commands():
    commands = viewer_links(6001247).commands
    assert commands["napari"] == f'napari --plugin napari-ome-zarr "{BLASTOCYST}"'
    assert "Open OME ZARR from S3" in commands["fiji"]


@pytest.mark.parametrize(
    "address", [BLASTOCYST, AWKWARD, 'https://example.org/$HOME/`a`\\b!c"d.zarr']
)
def test_the_shell_hands_napari_the_whole_address(address):
    command = viewer_links(address).commands["napari"]
    assert shlex.split(command) == ["napari", "--plugin", "napari-ome-zarr", address]


class Anchors(HTMLParser):
    def __init__(self):
        super().__init__()
        self.links, self.text = [], ""

    def handle_starttag(self, tag, attrs):
        if tag == "a":
            self.links.append(dict(attrs)["href"])

    def handle_data(self, data):
        self.text += data


def test_table_shows_every_way_and_its_links_work_when_clicked():
    ways = viewer_links("https://example.org/a&b<i>.zarr")
    page = Anchors()
    page.feed(ways._repr_html_())
    assert page.links == list(ways.links.values())
    assert ways.address in page.text
    assert all(command in page.text for command in ways.commands.values())
    assert all(way in repr(ways) for way in [*ways.links.values(), *ways.commands.values()])


def test_trailing_slash_makes_no_difference():
    assert viewer_links(BLASTOCYST + "/") == viewer_links(BLASTOCYST)


def test_unknown_id_says_which_are_known():
    with pytest.raises(ImageNotFoundError, match=r"not registered.*9822152"):
        viewer_links(1)


@pytest.mark.parametrize("image", ["s3://idr/zarr/x.zarr", "folder/x.zarr", "https://", ""])
def test_what_no_public_viewer_can_reach_is_refused(image):
    with pytest.raises(NotOmeZarrError, match="public viewer"):
        viewer_links(image)


# An image in hand


@pytest.mark.parametrize("image_id", IMAGES)
def test_an_image_of_the_stand_in_is_opened_where_it_is(offline, image_id):
    image = open_multiscale(image_id)
    ways = viewer_links(image)
    assert ways.address == image.url and image.url.startswith(f"{offline}/idr/zarr/v0.1/")
    assert source_of(ways.links["vizarr"]) == source_of(ways.links["validator"]) == [image.url]
    assert "synthetic" in ways.title
    assert ways.public == viewer_links(image_id)

    # Neuroglancer reads no version before 0.4: it gets the copy that the stand-in holds, too.
    layer = layers_of(ways.links["neuroglancer"])[0]
    newer = layer["source"].removeprefix("zarr://")
    assert newer.startswith(f"{offline}/idr/zarr/v0.4/") and "synthetic" in layer["name"]
    with urllib.request.urlopen(f"{newer}/.zattrs", timeout=20) as answer:
        assert json.load(answer)["multiscales"][0]["version"] == "0.4"
    assert "newer copy" in ways.notes["neuroglancer"]
    # Nor does napari's plugin: of 0.1 it fails, or misses the sizes.
    assert shlex.split(ways.commands["napari"])[-1] == newer
    assert "newer copy" in ways.notes["napari"]


def test_the_newer_copy_is_no_other_for_neuroglancer(offline):
    image = open_multiscale(f"{offline}/idr/zarr/v0.4/idr0062A/6001247.zarr")
    ways = viewer_links(image)
    sources = {layer["source"] for layer in layers_of(ways.links["neuroglancer"])}
    assert sources == {f"zarr://{image.url}"}
    assert "copy" not in ways.notes["neuroglancer"]
    assert ways.public == viewer_links(6001247)


@pytest.mark.parametrize(
    "host", ["127.0.0.1:9", "127.1.2.3:9", "localhost:9", "[::1]:9", "a.localhost"]
)
def test_what_works_with_an_address_on_this_computer(host):
    ways = viewer_links(f"http://{host}/idr/zarr/v0.1/6001247.zarr")
    for viewer in ("vizarr", "neuroglancer", "validator"):
        assert re.search(r"asks.*Chrome.*refuses.*Safari", ways.notes[viewer])
    assert "works on this computer" in ways.notes["napari"]
    for word in ("computer that runs this notebook", "kernel", "Binder", "Colab", "internet"):
        assert word in ways.advice
    page = Anchors()
    page.feed(ways._repr_html_())
    assert ways.public is not None
    assert page.links == [*ways.links.values(), *ways.public.links.values()]
    for said in (*ways.notes.values(), ways.advice, REAL, BLASTOCYST):
        assert said in page.text and said in repr(ways)


@pytest.mark.parametrize("host", ["192.168.1.7:9000", "data.example.org", "127.example.org"])
def test_plain_http_elsewhere_is_refused_by_browsers(host):
    ways = viewer_links(f"http://{host}/x.zarr")
    assert all("refuse" in ways.notes[viewer] for viewer in ways.links)
    assert "napari" not in ways.notes and not ways.advice and ways.public is None


def test_a_public_address_needs_no_notes():
    ways = viewer_links(9822152)
    assert not ways.notes and not ways.advice and ways.public is None


def test_of_several_channels_one_may_be_missing_in_neuroglancer():
    assert viewer_links(6001247).notes == {"neuroglancer": MISSING_CHANNEL}
    shown = viewer_links(6001247)._repr_html_()
    assert "slice through volumes<br><small>if a channel is missing" in shown


def test_labels_of_an_old_copy_have_no_link_to_neuroglancer(offline):
    ways = viewer_links(open_multiscale(6001247).label())
    assert "neuroglancer" not in ways.links and "before 0.4" in ways.notes["neuroglancer"]
    assert "Neuroglancer" in ways._repr_html_() and "neuroglancer: no link" in repr(ways)


def test_labels_of_a_new_copy_are_a_segmentation(offline):
    image = open_multiscale(f"{offline}/idr/zarr/v0.4/idr0062A/6001247.zarr")
    link = viewer_links(image.label()).links["neuroglancer"]
    (layer,) = neuroglancer.parse_url(link).layers
    assert layer.type == "segmentation" and layer.source[0].url == f"zarr://{image.url}/labels/0"


def test_a_folder_opens_in_programs_on_this_computer(tmp_path):
    folder = tmp_path / "my image.zarr"
    group = zarr.open_group(folder, mode="w", zarr_format=2)
    group.create_array("0", data=np.zeros((4, 4), "u2"), chunks=(4, 4))
    group.attrs["multiscales"] = [
        {"version": "0.4", "axes": ["y", "x"], "datasets": [{"path": "0"}]}
    ]
    ways = viewer_links(open_multiscale(folder))
    assert ways.address == folder.as_posix() and ways.links == {}
    assert shlex.split(ways.commands["napari"])[-1] == folder.as_posix()
    assert "ome_zarr view" in ways.notes["vizarr"] and "my image.zarr" in ways._repr_html_()
    assert "file system" in ways.commands["fiji"]
