"""Copy the zoom figure out of notebook 02 for README, so that the two never differ.

python3 run.py python tools/make_readme_figure.py           write docs/images/zoom.png
python3 run.py python tools/make_readme_figure.py --check   fail if it is not the stored figure
"""

from __future__ import annotations

import base64
import sys
from pathlib import Path

import nbformat

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOK = ROOT / "notebooks" / "02_explore_multiscale.ipynb"
FIGURE = ROOT / "docs" / "images" / "zoom.png"
MARK = "views.items()"  # stands in the cell that draws the figure, and only there


def stored_figure() -> bytes:
    """Return the picture that the stored run of the notebook holds."""
    for cell in nbformat.read(NOTEBOOK, as_version=4).cells:
        if cell.cell_type == "code" and MARK in cell.source:
            pictures = [
                o.data["image/png"] for o in cell.outputs if "image/png" in o.get("data", {})
            ]
            return base64.b64decode(pictures[0])
    raise SystemExit(f"{NOTEBOOK.name} has no cell with {MARK!r}: name the new one in this tool.")


def main() -> int:
    figure = stored_figure()
    if "--check" in sys.argv[1:]:
        return int(not FIGURE.exists() or FIGURE.read_bytes() != figure)
    FIGURE.parent.mkdir(parents=True, exist_ok=True)
    FIGURE.write_bytes(figure)
    return 0


if __name__ == "__main__":
    sys.exit(main())
