"""The page with real pictures: drawn from a public endpoint, or honest about having none.

An endpoint on this computer plays the public one; its pictures are synthetic all the same.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from data_helpers import IMAGES, choose_source

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tools"))

import make_real_page  # noqa: E402


@pytest.fixture
def endpoint(offline: str) -> str:
    return offline


@pytest.fixture(autouse=True)
def leave_the_source_as_it_was():
    yield
    choose_source("offline")


def pictures(folder: Path) -> set[str]:
    return {path.name for path in folder.glob("*.png")}


def test_each_picture_is_drawn_twice_with_citation_date_and_bytes(endpoint, tmp_path):
    assert make_real_page.make(endpoint, tmp_path, today="2026-11-25")
    page = (tmp_path / "index.md").read_text("utf-8")
    names = {p.name for p in make_real_page.PICTURES}
    assert pictures(tmp_path) == {f"{n}{end}.png" for n in names for end in ("", "_synthetic")}
    said = re.findall(rf"Read on 2026-11-25 from {endpoint}: (\d+) requests, ([\d.]+) MB\.", page)
    assert len(said) == 3 and all(int(n) >= 1 and float(mb) > 0 for n, mb in said)
    for image in IMAGES.values():
        assert image.doi in page and image.data_doi in page and image.licence in page
    for picture in make_real_page.PICTURES:
        assert picture.code in page and f"| ![Picture: {picture.shows}]" in page


def test_without_an_endpoint_the_page_says_so_and_shows_the_twins(tmp_path):
    (tmp_path / "embryo.png").write_bytes(b"of an earlier run")
    assert not make_real_page.make("http://127.0.0.1:9", tmp_path, today="2026-11-25")
    page = (tmp_path / "index.md").read_text("utf-8")
    assert page.count("The real image could not be read on 2026-11-25: ") == 3
    assert pictures(tmp_path) == {f"{p.name}_synthetic.png" for p in make_real_page.PICTURES}
    assert "| real |" not in page and page.count("![Synthetic picture: ") == 3


def test_the_committed_page_has_the_code_of_today():
    page = (ROOT / "docs" / "real" / "index.md").read_text("utf-8")
    assert all(f"```python\n{picture.code}```" in page for picture in make_real_page.PICTURES)
