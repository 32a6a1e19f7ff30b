"""The explaining figures: drawn by committed code, well-formed, readable on any page."""

import runpy
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SCRIPT = ROOT / "tools" / "draw_figures.py"
NOTEBOOKS = "".join(
    path.read_text(encoding="utf-8") for path in sorted((ROOT / "notebooks").glob("*.ipynb"))
)
FIGURES = sorted(runpy.run_path(str(SCRIPT))["FIGURES"])
SVG = "{http://www.w3.org/2000/svg}"


@pytest.mark.parametrize("name", FIGURES)
def test_figure_is_used_and_keeps_inside_its_white_background(name):
    first_page = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    assert f"(figures/{name})" in NOTEBOOKS or f"/notebooks/figures/{name})" in first_page
    svg = ET.parse(ROOT / "notebooks" / "figures" / name).getroot()
    width, height = float(svg.get("width")), float(svg.get("height"))
    assert svg.get("viewBox") == f"0 0 {width:.0f} {height:.0f}"
    assert svg.findtext(f"{SVG}title")
    shapes = [shape for shape in svg if shape.tag != f"{SVG}title"]
    background = shapes[0]
    assert (background.get("width"), background.get("height")) == (f"{width:g}", f"{height:g}")
    assert background.get("fill") == "#ffffff"
    for words in svg.iter(f"{SVG}text"):
        # Widths of a character, as parts of the font size: generous means.
        each = 0.62 if "mono" in words.get("font-family") else 0.52
        long = each * float(words.get("font-size")) * len(words.text)
        middle = words.get("text-anchor") == "middle"
        assert float(words.get("x")) + (long / 2 if middle else long) <= width, words.text
        assert float(words.get("y")) < height


def test_stored_figures_are_what_the_code_draws(tmp_path):
    done = subprocess.run([sys.executable, SCRIPT, "--check"], capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr.decode()


def test_a_changed_figure_is_noticed(tmp_path):
    module = runpy.run_path(str(SCRIPT))
    check = module["main"]
    check.__globals__["FOLDER"] = tmp_path
    check([])
    check(["--check"])
    (tmp_path / FIGURES[0]).write_text("<svg/>", encoding="utf-8")
    with pytest.raises(SystemExit, match="differs"):
        check(["--check"])
