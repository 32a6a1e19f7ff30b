"""Links to public viewers: right address, right syntax, encoded so that nothing gets lost."""

import json
import re
from html.parser import HTMLParser
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from data_helpers import IMAGES, current_source, viewer_links
from data_helpers.errors import ImageNotFoundError, NotOmeZarrError
from data_helpers.links import public_address
from data_helpers.sources import Source

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
    assert [layer["source"] for layer in layers_of(links["neuroglancer"])] == [f"zarr://{address}"]


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
    assert links["neuroglancer"] == (
        "https://neuroglancer-demo.appspot.com/#!%7B%22layers%22%3A%5B%7B%22source%22%3A%22zarr%3A//"
        "https%3A//livingobjects.ebi.ac.uk/idr/zarr/v0.4/idr0062A/6001247.zarr%22%2C%22name%22%3A"
        "%226001247.zarr%22%7D%5D%7D"
    )


def test_desktop_commands():
    commands = viewer_links(6001247).commands
    assert commands["napari"] == f'napari --plugin napari-ome-zarr "{BLASTOCYST}"'
    assert "Open OME ZARR from S3" in commands["fiji"]


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
