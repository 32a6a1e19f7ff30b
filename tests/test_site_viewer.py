"""tools/site_tiles.py and the first page: the tiles of the site's viewer, thumbnails, the foot."""

import json
import re

import numpy as np
import pytest
from PIL import Image

import data_helpers
from data_helpers import OmeZarrError
from tools import build_site, site_tiles


class Channel:
    label, window = "DAPI", (100.0, 300.0)


class Small:
    """An image of 300 by 520 pixels, of which the nth plane is 100 + 20 n everywhere."""

    title, synthetic, channels = "IDR 6001247", False, (Channel,)

    def __init__(self):
        plane = np.ones((300, 520), "uint16")
        self.stored = [np.stack([plane * (100 + 20 * z) for z in range(11)])[None, None]]


SHOWN = site_tiles.Shown(6001247, "small", (0,), slice(0, 11, 5), ("#5cff5c",))


def test_tiles_cover_the_image_and_show_its_window(tmp_path):
    site_tiles.write_tiles(Small(), SHOWN, tmp_path)
    about = json.loads((tmp_path / "image.json").read_text())
    assert about["levels"] == [{"name": 0, "height": 300, "width": 520, "rows": 2, "columns": 3}]
    assert (about["planes"], about["plane_step"], about["synthetic"]) == (3, 5, False)
    assert "Blin" in about["credit"] and "CC BY 4.0" in about["credit"]
    found = sorted(path.name for path in (tmp_path / "0/0/1").iterdir())
    assert found == [f"{y}_{x}.jpg" for y in range(2) for x in range(3)]
    for plane, grey in enumerate((0, 127, 255)):  # 100, 200 and 300 in a window of 100 to 300
        with Image.open(tmp_path / f"0/0/{plane}/1_2.jpg") as corner:
            assert corner.size == (520 - 512, 300 - 256)
            assert abs(int(np.asarray(corner).mean()) - grey) <= 1


def test_what_cannot_be_read_comes_from_the_stand_in(tmp_path, monkeypatch):
    asked = []

    def open_small(image_id):
        if asked[-1] != "offline":
            raise OmeZarrError("no answer")
        return Small()

    monkeypatch.setattr(site_tiles, "choose_source", asked.append)
    monkeypatch.setattr(site_tiles, "open_multiscale", open_small)
    monkeypatch.setattr(site_tiles, "IMAGES_ON_THE_SITE", (SHOWN,))
    site_tiles.make_tiles(tmp_path, "auto")
    assert asked == ["auto", "offline"] and (tmp_path / "small" / "image.json").is_file()
    monkeypatch.setattr(site_tiles, "open_multiscale", lambda _: Small().nothing)
    with pytest.raises(AttributeError):
        site_tiles.make_tiles(tmp_path, "offline")


def test_a_page_begins_with_its_title_and_ends_with_its_source():
    page = build_site.docs_page("# Viewer\n\nText", "docs/viewer.md")
    assert page.startswith("# Viewer\n\nText\n\n{.page-links}\nRun the course in [Binder](")
    assert page.endswith(f"[source of this page]({build_site.on_github('docs/viewer.md')})\n")


def test_the_first_page_shows_a_small_picture_of_every_notebook(tmp_path):
    text = (build_site.DOCS / "index.md").read_text(encoding="utf-8")
    page = build_site.docs_page(text, "docs/index.md")
    shown = re.findall(r"\]\(images/thumbnails/(\w+)\.jpg\)", page)
    tiles = re.findall(r"^\[!\[.+\]\((\S+)\) (\w+) ", page, re.MULTILINE)
    numbers = sorted(p.name.split("_")[0] for p in build_site.NOTEBOOKS.glob("*.ipynb"))
    assert [number for _, number in tiles] == numbers
    drawn = {number for picture, number in tiles if picture.endswith(".svg")}  # sharp at any size
    assert shown == [number for number in numbers if number not in drawn] and len(drawn) < 3
    assert "picture_to_aim_for" not in page
    build_site.make_thumbnails(build_site.NOTEBOOKS / "figures", tmp_path / "small")
    made = sorted((tmp_path / "small").iterdir())
    assert set(shown) <= {path.stem for path in made}
    assert sum(path.stat().st_size for path in made) < 200_000


def test_the_reference_lists_every_name_once_with_a_line_of_its_own():
    text = (build_site.DOCS / "api" / "index.md").read_text(encoding="utf-8")
    listed = re.findall(r"^(?:   |:obj:`)(\w+)(?:$|` .+\.$)", text, re.MULTILINE)
    assert sorted(listed) == sorted(data_helpers.__all__)
    assert listed[0] == "open_multiscale" and listed[-1] == "OmeZarrWarning"
    without = [name for name in listed if not (getattr(data_helpers, name).__doc__ or "").strip()]
    assert without == []
