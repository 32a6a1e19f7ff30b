"""Cut two images into tiles, small pictures that the site's viewer fetches without a kernel.

`tools/build_site.py` calls this. The tiles come from a public endpoint where one answers and the
site is built live, and otherwise from the synthetic stand-in. `docs/_static/site_viewer.js` reads
what is written here: `image.json`, and for each tile `LEVEL/CHANNEL/PLANE/ROW_COLUMN.jpg`.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from data_helpers import IMAGES, Multiscale, OmeZarrError, choose_source, open_multiscale
from data_helpers._display.pixels import brightness

TILE = 256  # pixels, both ways


@dataclass(frozen=True)
class Shown:
    """What the site shows of an image: some of its levels, and every so many planes of it."""

    image_id: int
    name: str
    levels: tuple[int, ...]  # finest first
    planes: slice
    colors: tuple[str, ...]  # one for each channel


IMAGES_ON_THE_SITE = (
    Shown(9822152, "organoid", (6, 7, 8, 9), slice(0, 1), ("#ffffff",)),
    Shown(6001247, "blastocyst", (0,), slice(40, 220, 6), ("#ff5cff", "#5cff5c")),
)


def cut(plane: np.ndarray, folder: Path) -> None:
    """Write the tiles of a plane (y, x) of uint8."""
    folder.mkdir(parents=True)
    for y, top in enumerate(range(0, plane.shape[0], TILE)):
        for x, left in enumerate(range(0, plane.shape[1], TILE)):
            tile = Image.fromarray(plane[top : top + TILE, left : left + TILE])
            tile.save(folder / f"{y}_{x}.jpg", quality=80)


def write_tiles(image: Multiscale, shown: Shown, folder: Path) -> None:
    """Read what the site shows of an image (this reads pixels), and write its tiles."""
    planes = range(*shown.planes.indices(image.stored[0].shape[2]))
    levels = []
    for number, index in enumerate(shown.levels):
        pixels = image.stored[index][0, :, shown.planes]  # c, z, y, x
        height, width = pixels.shape[-2:]
        rows, columns = -(-height // TILE), -(-width // TILE)
        levels.append(
            {"name": index, "height": height, "width": width, "rows": rows, "columns": columns}
        )
        for c, channel in enumerate(image.channels):
            for z in range(len(planes)):
                grey = brightness(pixels[c, z], channel.window or (0, pixels[c].max()))
                cut((255 * grey).astype(np.uint8), folder / str(number) / str(c) / str(z))
    about = IMAGES[shown.image_id]
    described = {
        "title": image.title,
        "synthetic": image.synthetic,
        "credit": "A drawing, not a measurement."
        if image.synthetic
        else f"{about.citation} {about.licence}.",
        "tile": TILE,
        "levels": levels,
        "planes": len(planes),
        "first_plane": planes.start,
        "plane_step": planes.step,
        "channels": [
            {"label": channel.label, "color": color}
            for channel, color in zip(image.channels, shown.colors, strict=True)
        ],
    }
    (folder / "image.json").write_text(json.dumps(described), encoding="utf-8")


def make_tiles(folder: Path, source: str) -> None:
    """Write the tiles of every image on the site, each in a folder of its name.

    An image that cannot be read from the source is read from the stand-in, and says so.
    """
    for shown in IMAGES_ON_THE_SITE:
        for wished in dict.fromkeys((source, "offline")):
            shutil.rmtree(folder / shown.name, ignore_errors=True)
            try:
                choose_source(wished)
                write_tiles(open_multiscale(shown.image_id), shown, folder / shown.name)
                break
            except OmeZarrError as error:
                print(f"no tiles of {shown.name} from {wished}: {error}", flush=True)
                if wished == "offline":
                    raise
