"""Draw three pictures from the public images, beside their synthetic twins, as a page of the site.

    python3 run.py python tools/make_real_page.py         write docs/real/

The notebooks store pictures of the synthetic stand-in, so that they look the same everywhere. This
page shows the real images, drawn by the same code. The workflow that builds the site runs it with
a network. Where no public endpoint answers, the page shows the twins alone, and says so.
"""

from __future__ import annotations

import contextlib
import datetime
import io
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt

from data_helpers import IMAGES, OmeZarrError, choose_source, request_meter
from data_helpers.sources import Source

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "docs" / "real"


@dataclass(frozen=True)
class Picture:
    """One picture: the image, the code that draws it, and what it shows, in a sentence."""

    image_id: int
    name: str
    heading: str
    code: str
    shows: str


PICTURES = [
    Picture(
        9822152,
        "organoid",
        "A 13-gigapixel micrograph",
        """\
image = open_multiscale(9822152)
plane = image.levels[7][0, 0, 0].compute()
plt.imshow(plane, cmap="gray", vmin=1500, vmax=6000)
""",
        "a section through intestinal organoids, grey on a pale ground",
    ),
    Picture(
        4007801,
        "embryo",
        "One plane of a 9-terabyte movie",
        """\
image = open_multiscale(4007801)
plane = image.levels[3][265, 1, 494].compute()
plt.imshow(plane, cmap="gray", vmin=0, vmax=439)
""",
        "membranes of a mouse embryo, bright on black",
    ),
    Picture(
        6001247,
        "blastocyst",
        "Nuclei with published labels",
        """\
image = open_multiscale(6001247)
plane = image.levels[0][0, 1, 128].compute()
labels = load_labels_from_s3(6001247)[0, 0, 128].compute()
plt.imshow(overlay_labels(plane, labels, window=(0, 1500)))
""",
        "nuclei of a mouse blastocyst in grey, each outlined in magenta",
    ),
]
IMPORTS = """\
import matplotlib.pyplot as plt
from data_helpers import load_labels_from_s3, open_multiscale, overlay_labels
"""


def draw(picture: Picture, source: str, path: Path) -> tuple[Source, str]:
    """Draw a picture from a source into a PNG file; return the source and what was read."""
    with contextlib.redirect_stdout(io.StringIO()):
        used = choose_source(source)
    names: dict[str, object] = {}
    plt.figure(figsize=(5, 4.2), layout="constrained")
    try:
        with request_meter(show=False) as cost:
            exec(IMPORTS + picture.code, names)
        plt.title(str(getattr(names["image"], "title", "")))
        plt.axis("off")
        plt.savefig(path, dpi=100, metadata={"Software": None})
    finally:
        plt.close("all")
    return used, f"{cost.requests} requests, {cost.bytes / 1e6:.1f} MB"


def section(picture: Picture, source: str, folder: Path, today: str) -> tuple[str, bool]:
    """The text of one picture, and whether it is there from the source and not only as a twin."""
    image = IMAGES[picture.image_id]
    draw(picture, "offline", folder / f"{picture.name}_synthetic.png")
    twin = f"![Synthetic picture: {picture.shows}]({picture.name}_synthetic.png)"
    real, said = "", "No public endpoint answered when this page was made."
    path = folder / f"{picture.name}.png"
    path.unlink(missing_ok=True)
    try:
        used, cost = draw(picture, source, path)
        if not used.synthetic:
            real = f"![Picture: {picture.shows}]({picture.name}.png)"
            said = f"Read on {today} from {used.endpoint}: {cost}."
        else:
            path.unlink()
    except OmeZarrError as error:
        path.unlink(missing_ok=True)
        said = f"The real image could not be read on {today}: {error}"
    pictures = f"| real | synthetic twin |\n|---|---|\n| {real} | {twin} |" if real else twin
    text = (
        f"## {picture.heading}\n\n{pictures}\n\n{said}\n\n```python\n{picture.code}```\n\n"
        f"{image.citation} [doi:{image.doi}](https://doi.org/{image.doi}); data "
        f"[doi:{image.data_doi}](https://doi.org/{image.data_doi}), {image.licence}.\n"
    )
    return text, bool(real)


def make(source: str, folder: Path = FOLDER, today: str = "") -> bool:
    """Write the page and its pictures; return whether every picture is there from the source."""
    folder.mkdir(parents=True, exist_ok=True)
    today = today or datetime.date.today().isoformat()
    sections, real = zip(*(section(p, source, folder, today) for p in PICTURES), strict=True)
    intro = (
        "# What the real images look like\n\nThe notebooks are stored with *synthetic* pictures, "
        "drawings that look the same on every computer. "
    )
    if all(real):
        intro += "Here the same code drew the real images, beside their synthetic twins.\n\n"
    else:
        intro += (
            "Run the lines below on a computer with a network and you get the real images. The "
            "published site shows them here, beside their synthetic twins.\n\n"
        )
    intro += f"Each picture needs these two lines first:\n\n```python\n{IMPORTS}```\n\n"
    page = intro + "\n".join(sections)
    (folder / "index.md").write_text(page, encoding="utf-8", newline="\n")
    return all(real)


if __name__ == "__main__":
    every = make(os.environ.get("OME_ZARR_SOURCE") or "auto")
    print("real pictures and their twins" if every else "synthetic twins only", "->", FOLDER)
    sys.exit(0)
