"""Paint the synthetic stand-in of image 9822152: an electron micrograph of an infected organoid.

Nothing is stored: ``paint`` works out any rectangle of any level when it is asked for. All sizes
are in pixels of level 0, about a nanometre each, and every element of the tissue has one function.
An element that is smaller than a pixel of the level fades into its mean, so that levels agree.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from . import organoid_textures as textures
from .noise import quick_noise
from .organoid_brush import edge, fade, line, near, pick, tint
from .organoid_sampling import Pixels, Window
from .organoid_scene import (
    CLEAR,
    DOUBLE,
    Fields,
    Scene,
    look,
    per_cell,
    read_fields,
    read_nodes,
    villus_surface,
)

LEVELS: tuple[tuple[int, int], ...] = tuple((93184 >> n, 144384 >> n) for n in range(11))

_ROWS = 128  # rows painted at a time: their arrays stay in the processor's cache

# Grey values. As in transmission EM, what took up heavy metal is dark.
_RESIN = 5400.0
_LUMEN = 5150.0
_CYTOPLASM = 3800.0
_NUCLEOPLASM = 4050.0
_CHROMATIN = 2500.0
_NUCLEOLUS = 2150.0
_MATRIX = 2750.0
_CRISTA = 4300.0
_MEMBRANE = 1900.0
_VESICLE = 5000.0
_VILLUS = 3450.0
_VIRION = 2850.0
_GRANULE = 2700.0


def paint(
    level: int, t: int, c: int, z: int, y0: int, y1: int, x0: int, x1: int
) -> NDArray[np.uint16]:
    """Paint a rectangle of the image.

    Parameters
    ----------
    level
        Resolution level, 0 (finest) to 10.
    t, c, z
        Time point, channel and plane; the image has one of each, so 0.
    y0, y1, x0, x1
        Rows y0 to y1 and columns x0 to x1 of that level, ends not included.

    Returns
    -------
    numpy.ndarray
        uint16 of shape (y1 - y0, x1 - x0). A pixel's value does not depend on the rectangle.

    Raises
    ------
    IndexError
        If the rectangle or the plane is not in the image.
    """
    if not 0 <= level < len(LEVELS) or (t, c, z) != (0, 0, 0):
        raise IndexError(f"No plane (t={t}, c={c}, z={z}) at level {level}.")
    height, width = LEVELS[level]
    if not (0 <= y0 <= y1 <= height and 0 <= x0 <= x1 <= width):
        raise IndexError(
            f"Rows {y0}:{y1}, columns {x0}:{x1} are not within the {height} x {width} pixels "
            f"of level {level}."
        )
    out = np.empty((y1 - y0, x1 - x0), dtype=np.uint16)
    if out.size == 0:
        return out
    window = Window(level, y0, y1, x0, x1)
    scene = look(window)
    for top in range(y0, y1, _ROWS):
        strip = window.strip(top, min(top + _ROWS, y1))
        grey = _paint_strip(strip, scene)
        grey += quick_noise(strip.y0, strip.y1, x0, x1, seed=2 * level) * np.float32(_noise(level))
        out[top - y0 : strip.y1 - y0] = np.clip(grey, 0, 65535).astype(np.uint16)
    return out


def _noise(level: int) -> float:
    """Amplitude of the shot noise: coarse levels are means of many counts, so less noisy."""
    return 130.0 - 7.0 * level


def _paint_strip(w: Window, scene: Scene) -> Pixels:
    """Paint from the back to the front: resin, cells, what is in them, membranes, virions."""
    apical, basal = read_nodes(w, scene, "apical"), read_nodes(w, scene, "basal")
    cloud = textures.cloud().read(w)
    grain = textures.grain().read(w)
    grey = _background(w, apical, basal, cloud, grain)
    _shed_cell(grey, w, scene, cloud, grain)
    if apical.max() > -2600 and basal.max() > -600 - 2 * w.pixel:
        _epithelium(grey, w, scene, read_fields(w, scene, apical, basal), cloud, grain)
    _vesicles(grey, w, scene, cloud, grain)
    _virions(grey, w, scene, grain)
    return grey


def _epithelium(
    grey: Pixels, w: Window, scene: Scene, f: Fields, cloud: Pixels, grain: Pixels
) -> None:
    """Paint the cells with their microvilli and membranes."""
    surface, axis = _apical_surface(w, f, cloud)
    inside = np.minimum(_cover(surface, f, w), edge(-f.basal, w))
    if not (np.minimum(-surface, f.basal).max() > -16 - w.pixel or inside.any()):
        return
    cell = _cytoplasm(f, cloud, grain)
    _reticulum(cell, w, f, grain)
    _mitochondria(cell, w, scene, cloud, grain)
    _villi(cell, w, f, axis, grain)
    _nucleus(cell, w, f, cloud, grain)
    _lateral_membrane(cell, w, f, cloud)
    tint(grey, inside, cell)
    tint(grey, line(surface, 6, w) * edge(-f.basal, w), _MEMBRANE)
    tint(grey, line(f.basal, 6, w) * edge(-f.apical, w), _MEMBRANE)


# --- the elements of the tissue --------------------------------------------------------------


def _background(w: Window, apical: Pixels, basal: Pixels, cloud: Pixels, grain: Pixels) -> Pixels:
    """Paint embedding resin, a little darker in the lumen; wisps of matrix around the organoid."""
    grey = np.float32(50) * cloud
    grey += np.float32(30) * grain
    grey += np.float32(_RESIN)
    lumen = apical * np.float32(-1 / 900)
    np.clip(lumen, 0, 1, out=lumen)
    lumen *= np.float32(_LUMEN - _RESIN)
    grey += lumen
    if basal.min() < w.pixel and basal.max() > -3500:
        near = np.clip(np.float32(1) + basal * np.float32(1 / 3500), 0, 1)
        near *= edge(basal, w)
        fibres = np.float32(0.5) * line(textures.sheets().read(w), 16, w, 40)
        tint(grey, fibres * near, _CYTOPLASM)
        tint(grey, np.float32(0.5) * line(basal + np.float32(130), 50, w, 60), _CYTOPLASM)
    return grey


def _shed_cell(grey: Pixels, w: Window, scene: Scene, cloud: Pixels, grain: Pixels) -> None:
    """Paint a dead cell in the lumen: rounded, dark, its chromatin in lumps."""
    found = scene.shed_cells.read(w) if scene.shed_cells else None
    if found is None:
        return
    distance = found.distance + np.float32(350) * cloud
    at = near(distance, 16 + w.pixel)
    if not at.size:
        return
    clumps = textures.chromatin().read(w)
    distance, clumps, waves, dots, here = pick(at, distance, clumps, cloud, grain, grey)
    body = np.float32(_VILLUS) + np.float32(900) * waves + np.float32(420) * dots
    deep = np.clip(distance * np.float32(-1 / 700) - np.float32(0.6), 0, 1)
    tint(body, deep * clumps, _NUCLEOLUS)
    tint(here, edge(distance, w), body)
    tint(here, line(distance, 6, w), _MEMBRANE)
    np.put(grey, at, here)


def _apical_surface(w: Window, f: Fields, cloud: Pixels) -> tuple[Pixels, Pixels | None]:
    """Find the cell's surface, with microvilli where they can be seen.

    Returns the distance from the surface towards the lumen (negative inside the cell), and the
    distance from the nearest microvillus' axis, None where there are none.
    """
    if f.apical.min() > 600 or fade(w, 32, 96) == 0:
        return -f.apical, None
    return villus_surface(-f.apical, f.s, f.width, cloud)


def _cover(surface: Pixels, f: Fields, w: Window) -> Pixels:
    """Share of a pixel inside the cells; microvilli too small to see become a haze."""
    sharp = fade(w, 32, 96)
    cover = edge(surface, w)
    if sharp == 1:
        return cover
    haze = np.float32(0.48) * edge(-f.apical - np.float32(1000), w, 900)
    cover = np.maximum(edge(-f.apical, w), haze) * np.float32(1 - sharp) + cover * np.float32(sharp)
    return cover


def _cytoplasm(f: Fields, cloud: Pixels, grain: Pixels) -> Pixels:
    """Paint cytoplasm: granular, each cell a little lighter or darker than the next."""
    tone = np.float32(_CYTOPLASM - 350) + np.float32(700) * per_cell(22)
    cell = np.take(tone, np.floor(f.s).astype(np.int32))
    cell += np.float32(500) * cloud
    cell += np.float32(480) * grain
    return cell


def _reticulum(cell: Pixels, w: Window, f: Fields, grain: Pixels) -> None:
    """Paint endoplasmic reticulum: flat bags with ribosomes on their outside."""
    visible = fade(w, 8, 48)
    if not visible or f.apical.max() < 700:
        return
    distance = textures.sheets().read(w)
    at = near(distance, 70 + w.pixel)
    distance, apical, lateral, dots, grey = pick(at, distance, f.apical, f.lateral, grain, cell)
    here = np.clip((apical - np.float32(700)) * np.float32(1 / 300), 0, 1)
    here *= np.clip((lateral - np.float32(60)) * np.float32(1 / 60), 0, 1) * np.float32(visible)
    tint(grey, edge(distance - np.float32(25), w) * here, _VESICLE - 300.0)
    tint(grey, line(distance - np.float32(28), 4, w) * here, _MEMBRANE)
    dots = np.clip(dots * np.float32(-3) - np.float32(0.4), 0, 1)
    tint(grey, line(distance - np.float32(46), 13, w) * dots * here, _MEMBRANE)
    np.put(cell, at, grey)


def _mitochondria(cell: Pixels, w: Window, scene: Scene, cloud: Pixels, grain: Pixels) -> None:
    """Paint mitochondria: two membranes around a dark matrix, crossed by cristae."""
    found = scene.mitochondria.read(w) if scene.mitochondria else None
    if found is None:
        return
    at = near(found.distance, 16 + w.pixel)
    distance, along, waves, dots, grey = pick(at, *found, cloud, grain, cell)
    visible = np.float32(fade(w, 128, 512))
    tint(grey, edge(distance, w) * visible, np.float32(_MATRIX) + np.float32(300) * dots)
    tint(grey, line(distance, 6, w) * visible, _MEMBRANE)
    detail = np.float32(fade(w, 8, 48))
    if detail:
        phase = (along + np.float32(110) * waves + np.float32(5) * dots) * np.float32(1 / 85)
        phase -= np.floor(phase)
        phase -= np.float32(0.5)
        phase *= np.float32(85)
        inner = edge(distance + np.float32(45), w) * detail
        tint(grey, line(phase, 17, w) * inner, _MEMBRANE)
        tint(grey, line(phase, 10, w) * inner, _CRISTA)
        tint(grey, line(distance + np.float32(26), 5, w) * detail, _MEMBRANE)
    np.put(cell, at, grey)


def _villi(cell: Pixels, w: Window, f: Fields, axis: Pixels | None, grain: Pixels) -> None:
    """Paint the inside of microvilli: actin bundles that root in the terminal web."""
    at = near(f.apical, 650 + w.pixel)
    if not at.size:
        return
    apical, dots, grey = pick(at, f.apical, grain, cell)
    web = np.clip(np.float32(1) - np.abs(apical - np.float32(250)) * np.float32(1 / 350), 0, 1)
    tint(grey, np.float32(0.35) * web, _CHROMATIN)
    tint(grey, edge(apical, w), np.float32(_VILLUS) + np.float32(450) * dots)
    if axis is not None:
        root = np.clip(np.float32(1) - apical * np.float32(1 / 380), 0, 1)
        root *= np.float32(0.6 * fade(w, 8, 64))
        tint(grey, line(np.take(axis, at), 16, w, 12) * root, _CHROMATIN)
    np.put(cell, at, grey)


def _nucleus(cell: Pixels, w: Window, f: Fields, cloud: Pixels, grain: Pixels) -> None:
    """Paint a nucleus: double envelope, chromatin dense at the rim and in clumps, nucleolus."""
    if f.nucleus is None or f.nucleolus is None:
        return
    distance = f.nucleus + np.float32(120) * cloud
    at = near(distance, 60 + w.pixel)
    if not at.size:
        return
    clumps = textures.chromatin().read(w)
    distance, nucleolus, clumps, waves, dots, grey = pick(
        at, distance, f.nucleolus, clumps, cloud, grain, cell
    )
    rim = np.clip(np.float32(1) + distance * np.float32(1 / 420), 0, 1)
    dense = np.clip(clumps + rim * (np.float32(0.6) + waves), 0, 1)
    plasma = np.float32(_NUCLEOPLASM) + np.float32(420) * dots
    plasma += dense * np.float32(_CHROMATIN - _NUCLEOPLASM)
    body = edge(nucleolus + np.float32(500) * waves, w, 90)
    tint(plasma, body, np.float32(_NUCLEOLUS) + np.float32(350) * dots + np.float32(500) * waves)
    tint(grey, edge(distance, w), plasma)
    if w.pixel > 32:  # the envelope is a single line
        tint(grey, line(distance, 9, w), _MEMBRANE)
    else:
        tint(grey, line(distance - np.float32(17), 10, w), _VESICLE)
        tint(grey, line(distance, 6, w), _MEMBRANE)
        tint(grey, line(distance - np.float32(34), 6, w), _MEMBRANE)
    np.put(cell, at, grey)


def _lateral_membrane(cell: Pixels, w: Window, f: Fields, cloud: Pixels) -> None:
    """Paint the membranes of two neighbouring cells, the cleft between them, and junctions."""
    at = near(f.lateral, 170 + w.pixel)
    if not at.size:
        return
    lateral, apical, waves, grey = pick(at, f.lateral, f.apical, cloud, cell)
    tint(grey, np.float32(0.25) * line(lateral, 60, w, 160), _CHROMATIN)
    junction = np.clip(np.float32(1) - apical * np.float32(1 / 700), 0, 1)
    junction = np.maximum(junction, np.clip(waves * np.float32(6) - np.float32(2.2), 0, 1))
    junction *= edge(-apical, w)
    tint(grey, line(lateral, 70, w, 40) * junction * np.float32(0.6), _MEMBRANE)
    if w.pixel > 32:  # two membranes and the cleft are a single line
        tint(grey, line(lateral, 10, w), _MEMBRANE)
    else:
        tint(grey, line(lateral, 9, w), _VESICLE)
        tint(grey, line(lateral - np.float32(17), 7, w), _MEMBRANE)
    np.put(cell, at, grey)


def _vesicles(grey: Pixels, w: Window, scene: Scene, cloud: Pixels, grain: Pixels) -> None:
    """Paint vesicles in the cells, and debris in the lumen: clear, double-walled or dense."""
    found = scene.vesicles.read(w) if scene.vesicles else None
    if found is None:
        return
    at = near(found.distance, 16 + w.pixel)
    distance, kind, waves, dots, here = pick(at, *found, cloud, grain, grey)
    visible = np.float32(fade(w, 32, 128))
    colour = np.where(kind < DOUBLE, np.float32(_VESICLE), _GRANULE + np.float32(1200) * waves)
    colour += np.float32(160) * dots
    tint(here, edge(distance, w) * visible, colour)
    tint(here, line(distance, 6, w) * visible, _MEMBRANE)
    if w.pixel <= 16:
        double = np.where((kind >= CLEAR) & (kind < DOUBLE), visible, np.float32(0))
        tint(here, line(distance + np.float32(28), 6, w) * double, _MEMBRANE)
    np.put(grey, at, here)


def _virions(grey: Pixels, w: Window, scene: Scene, grain: Pixels) -> None:
    """Paint virions: a dark rim, spikes around it, a granular core."""
    found = scene.virions.read(w) if scene.virions else None
    if found is None:
        return
    distance = found.distance + np.float32(4) * grain
    at = near(distance, 30 + w.pixel)
    distance, dots, here = pick(at, distance, grain, grey)
    visible = np.float32(fade(w, 8, 32))
    spikes = np.clip(np.float32(0.5) - np.float32(1.3) * dots, 0, 1) * np.float32(0.55) * visible
    tint(here, line(distance - np.float32(12), 7, w) * spikes, _VIRION)
    core = np.float32(_VIRION) + np.float32(700) * dots
    tint(here, edge(distance, w, 6) * visible, core)
    tint(here, line(distance + np.float32(5), 5, w) * visible, _MEMBRANE)
    np.put(grey, at, here)
