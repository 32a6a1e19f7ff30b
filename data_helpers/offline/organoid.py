"""Paint the synthetic stand-in of image 9822152: an electron micrograph of an infected organoid.

Nothing is stored: ``paint`` works out any rectangle of any level when it is asked for. All sizes
are in pixels of level 0, about a nanometre each, and every element of the tissue has one function.
An element that is smaller than a pixel of the level fades into its mean, so that levels agree.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from . import organoid_textures as textures
from .noise import random_unit, white_noise
from .organoid_shape import RINGS, Tissue, tissue
from .organoid_textures import Choice, Pixels, Steps, Window, blend, interpolate

LEVELS: tuple[tuple[int, int], ...] = tuple((93184 >> n, 144384 >> n) for n in range(11))

_NODE = 256  # tissue coordinates are worked out on a grid this wide, and interpolated
_ROWS = 64  # rows painted at a time: their arrays stay in the processor's cache
_VILLI = 16  # microvilli along the top of one cell

# Grey values. As in transmission EM, what took up heavy metal is dark.
_RESIN = 5250.0
_LUMEN = 5000.0
_CYTOPLASM = 4050.0
_NUCLEOPLASM = 4150.0
_CHROMATIN = 2650.0
_NUCLEOLUS = 2250.0
_MATRIX = 3000.0
_CRISTA = 4300.0
_MEMBRANE = 1800.0
_VESICLE = 4900.0
_VILLUS = 3600.0
_VIRION = 2900.0

# Vesicles are of a kind between 0 and 1: clear, then double-walled, then dense.
_CLEAR = 0.6
_DOUBLE = 0.8


class Fields(NamedTuple):
    """`Tissue` for each pixel (float32), and the distance from the nearest lateral membrane."""

    apical: Pixels
    basal: Pixels
    s: Pixels
    width: Pixels
    nucleus: Pixels
    nucleolus: Pixels
    lateral: Pixels


class Scene(NamedTuple):
    """What has to be known before the pixels of a window can be painted."""

    nodes: Tissue
    rows: Steps
    columns: Steps
    mitochondria: Choice | None
    vesicles: Choice | None
    virions: Choice | None


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
    scene = _scene(window)
    for top in range(y0, y1, _ROWS):
        strip = window.strip(top, min(top + _ROWS, y1))
        grey = _paint_strip(strip, scene)
        grey += white_noise(strip.y0, strip.y1, x0, x1, seed=level) * np.float32(_noise(level))
        out[top - y0 : strip.y1 - y0] = np.clip(grey, 0, 65535).astype(np.uint16)
    return out


def _noise(level: int) -> float:
    """Amplitude of the shot noise: coarse levels are means of many counts, so less noisy."""
    return 220.0 - 12.0 * level


def _paint_strip(w: Window, scene: Scene) -> Pixels:
    """Paint from the back to the front: resin, cells, what is in them, membranes, virions."""
    f = _fields(w, scene)
    cloud = textures.cloud().read(w)
    grain = textures.grain().read(w)
    grey = _background(w, f, cloud, grain)
    surface, axis = _apical_surface(w, f, cloud)
    inside = np.minimum(_cover(surface, f, w), _edge(-f.basal, w))
    if inside.any():
        cell = _cytoplasm(f, cloud, grain)
        _reticulum(cell, w, f, cloud, grain)
        _mitochondria(cell, w, scene, grain)
        _villi(cell, w, f, axis, grain)
        _nucleus(cell, w, f, cloud, grain)
        _lateral_membrane(cell, w, f, cloud)
        _tint(grey, inside, cell)
        _tint(grey, _line(surface, 9, w), _MEMBRANE)
        _tint(grey, _line(f.basal, 9, w) * _edge(surface, w), _MEMBRANE)
    _vesicles(grey, w, scene, f, grain)
    _virions(grey, w, scene, grain)
    return grey


# --- where things are ------------------------------------------------------------------------


def _scene(w: Window) -> Scene:
    """Work out the tissue coordinates of a window, and which objects are there."""
    step, at = (_NODE, 0.0) if w.pixel < _NODE else (w.pixel, 0.5)
    rows = Steps.between(w.y0, w.y1, w.pixel, step, at)
    columns = Steps.between(w.x0, w.x1, w.pixel, step, at)
    y = (rows.samples[:, None] + at).astype(np.float64) * step
    x = (columns.samples[None, :] + at).astype(np.float64) * step
    nodes = tissue(y, x)
    mitochondria = vesicles = virions = None
    cells = nodes.apical.max() > -_NODE and nodes.basal.max() > -_NODE
    if cells and w.pixel < 512:
        mitochondria = textures.mitochondria().choose(w, _is_mitochondrion)
    if cells and w.pixel < 128:
        vesicles = textures.vesicles().choose(w, _is_vesicle)
    if w.pixel < 64 and nodes.apical.max() > -3000:
        virions = textures.virions().choose(w, _is_virion)
    return Scene(nodes, rows, columns, mitochondria, vesicles, virions)


def _fields(w: Window, scene: Scene) -> Fields:
    """Interpolate the tissue coordinates at each pixel."""
    step, at = (_NODE, 0.0) if w.pixel < _NODE else (w.pixel, 0.5)
    rows = Steps.between(w.y0, w.y1, w.pixel, step, at)
    first = int(rows.samples[0] - scene.rows.samples[0])
    part = slice(first, first + len(rows.samples))
    n = Tissue(*(field[part] for field in scene.nodes))
    apical, basal, width = (
        interpolate(field.astype(np.float32), rows, scene.columns)
        for field in (n.apical, n.basal, n.width)
    )
    nucleus, nucleolus = (
        interpolate(np.minimum(field, 4000.0).astype(np.float32), rows, scene.columns)
        for field in (n.nucleus, n.nucleolus)
    )
    s = _unrolled(n.s, rows, scene.columns)
    fraction = s - np.floor(s)
    lateral = (np.float32(0.5) - np.abs(fraction - np.float32(0.5))) * width
    return Fields(apical, basal, s, width, nucleus, nucleolus, lateral)


def _unrolled(s: NDArray[np.float64], rows: Steps, columns: Steps) -> Pixels:
    """Interpolate the cell coordinate, which jumps back by the number of cells after a turn."""
    if not rows.part.any() and not columns.part.any():
        return s[np.ix_(rows.index, columns.index)].astype(np.float32)
    first = s[:-1, :-1]
    turn = np.where(first < RINGS[1].start - 20, RINGS[0].cells, RINGS[1].cells)
    corners = []
    for corner in (first, s[:-1, 1:], s[1:, :-1], s[1:, 1:]):
        turns = np.floor((corner - first) / turn + 0.5)
        corners.append((corner - turns * turn).astype(np.float32))
    return blend((corners[0], corners[1], corners[2], corners[3]), rows, columns)


@cache
def _per_cell(seed: int) -> Pixels:
    """One random number for each cell number; numbers beyond a ring repeat its cells."""
    number = np.arange(256)
    start = np.where(number < 128, RINGS[0].start, RINGS[1].start)
    cells = np.where(number < 128, RINGS[0].cells, RINGS[1].cells)
    return random_unit(start + (number - start) % cells, seed=seed)


def _infected(number: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Tell which cells are infected: about a third, and those in the middle of the image."""
    cell = (number - RINGS[0].start) % RINGS[0].cells
    middle = (number < 128) & ((cell <= 1) | (cell >= RINGS[0].cells - 1))
    return (_per_cell(21)[number] < 0.33) | middle


def _lateral(here: Tissue) -> NDArray[np.float64]:
    return (0.5 - np.abs(here.s - np.floor(here.s) - 0.5)) * here.width


def _dice(y: NDArray[np.float64], x: NDArray[np.float64], seed: int) -> Pixels:
    return random_unit(np.floor(y).astype(np.int64), np.floor(x).astype(np.int64), seed=seed)


def _is_mitochondrion(
    y: NDArray[np.float64], x: NDArray[np.float64], radius: NDArray[np.float64]
) -> NDArray[np.bool_]:
    here = tissue(y, x)
    room = (here.apical > 1200) & (here.basal > 500) & (here.nucleus > 380)
    return room & (_lateral(here) > 250) & (_dice(y, x, 31) < 0.8)


def _is_vesicle(
    y: NDArray[np.float64], x: NDArray[np.float64], radius: NDArray[np.float64]
) -> NDArray[np.bool_]:
    here = tissue(y, x)
    in_cell = (here.apical > radius + 330) & (here.basal > radius + 300)
    in_cell &= (here.nucleus > radius + 130) & (_lateral(here) > radius + 90)
    depth = here.apical / np.maximum(here.apical + here.basal, 1.0)
    in_cell &= _dice(y, x, 32) < np.where(depth < 0.45, 0.8, 0.3)
    in_lumen = (here.apical < -2200) & (_dice(y, x, 35) < 0.03)
    return in_cell | in_lumen


def _is_virion(
    y: NDArray[np.float64], x: NDArray[np.float64], radius: NDArray[np.float64]
) -> NDArray[np.bool_]:
    here = tissue(y, x)
    possible = _infected(np.floor(here.s).astype(np.int64)) & (here.apical > -2400)
    possible &= here.basal > 0
    found = np.zeros(y.shape, dtype=bool)
    if not possible.any():
        return found
    y, x = y[possible], x[possible]
    apical = here.apical[possible]
    distance, kind = textures.vesicles().choose_at(y, x, _is_vesicle)
    in_vesicle = (distance < -52.0) & (kind < _CLEAR)
    in_lumen = (apical < -60) & (_dice(y, x, 33) < 0.55)
    found[possible] = (in_vesicle & (_dice(y, x, 34) < 0.7)) | in_lumen
    return found


# --- edges and lines -------------------------------------------------------------------------


def _edge(distance: Pixels, w: Window, soft: float = 8.0) -> Pixels:
    """Share of each pixel that lies inside an outline, given the distance from it."""
    return np.clip(np.float32(0.5) - distance * np.float32(1.0 / max(w.pixel, soft)), 0, 1)


def _line(distance: Pixels, half: float, w: Window, soft: float = 6.0) -> Pixels:
    """Share of each pixel covered by a line; one thinner than a pixel turns faint, not away."""
    blur = max(w.pixel, soft)
    broad = max(half, blur / 2)
    cover = np.abs(distance)
    cover *= np.float32(-1.0 / blur)
    cover += np.float32((broad + blur / 2) / blur)
    np.clip(cover, 0, 1, out=cover)
    if broad > half:
        cover *= np.float32(half / broad)
    return cover


def _tint(grey: Pixels, cover: Pixels, colour: Pixels | float) -> None:
    """Blend a colour (or picture) into `grey`, in place, where `cover` is above 0."""
    other = np.float32(colour) - grey if isinstance(colour, float) else colour - grey
    other *= cover
    grey += other


def _fade(w: Window, full: float, gone: float) -> float:
    """Visibility of detail: 1 for pixels up to size `full`, 0 from size `gone`."""
    share = (gone - w.pixel) / (gone - full)
    return min(max(share, 0.0), 1.0)


# --- the elements of the tissue --------------------------------------------------------------


def _background(w: Window, f: Fields, cloud: Pixels, grain: Pixels) -> Pixels:
    """Paint embedding resin, a little darker in the lumen; wisps of matrix around the organoid."""
    grey = np.float32(_RESIN) + np.float32(110) * cloud + np.float32(30) * grain
    lumen = np.clip(f.apical * np.float32(-1 / 900), 0, 1)
    grey += lumen * np.float32(_LUMEN - _RESIN)
    near = np.clip(np.float32(1) + f.basal * np.float32(1 / 3500), 0, 1)
    near *= _edge(f.basal, w)
    if near.any():
        fibres = np.float32(0.5) * _line(textures.sheets().read(w), 16, w, 40)
        _tint(grey, fibres * near, _CYTOPLASM)
        _tint(grey, np.float32(0.5) * _line(f.basal + np.float32(130), 50, w, 60), _CYTOPLASM)
    return grey


def _apical_surface(w: Window, f: Fields, cloud: Pixels) -> tuple[Pixels, Pixels | None]:
    """Find the cell's surface with its microvilli.

    Returns the distance from the surface towards the lumen (negative inside the cell), and the
    distance from the nearest microvillus' axis, None where there are none.
    """
    height = -f.apical
    if not ((height > -600) & (height < 2600)).any() or _fade(w, 32, 96) == 0:
        return height, None
    lean = np.clip(height * np.float32(1 / 500), 0, 2)
    m = f.s * np.float32(_VILLI)
    m += lean * cloud
    index = np.floor(m)
    axis = np.abs(m - index - np.float32(0.5)) * f.width * np.float32(1 / _VILLI)
    length = _villus_length()[index.astype(np.int64)]
    beyond = np.maximum(height - length, 0)
    radius = np.float32(46) + np.float32(14) * cloud
    villus = np.sqrt(axis * axis + beyond * beyond) - radius
    return np.minimum(height, villus), axis


@cache
def _villus_length() -> Pixels:
    """Length of each microvillus; some are missing or cut short, as sections are."""
    number = np.arange(256)
    start = np.where(number < 128, RINGS[0].start, RINGS[1].start)
    cells = np.where(number < 128, RINGS[0].cells, RINGS[1].cells)
    cell = start + (number - start) % cells
    dice = random_unit(cell[:, None], np.arange(_VILLI)[None, :], seed=23).ravel()
    return np.where(dice < 0.15, np.float32(0), np.float32(450) + np.float32(1100) * dice)


def _cover(surface: Pixels, f: Fields, w: Window) -> Pixels:
    """Share of a pixel inside the cells; microvilli too small to see become a haze."""
    sharp = _fade(w, 32, 96)
    cover = _edge(surface, w)
    if sharp == 1:
        return cover
    haze = np.float32(0.48) * _edge(-f.apical - np.float32(1000), w, 900)
    cover = np.maximum(_edge(-f.apical, w), haze) * np.float32(1 - sharp) + cover * np.float32(
        sharp
    )
    return cover


def _cytoplasm(f: Fields, cloud: Pixels, grain: Pixels) -> Pixels:
    """Paint cytoplasm: granular, each cell a little lighter or darker than the next."""
    number = np.floor(f.s).astype(np.int64)
    cell = (np.float32(700) * (_per_cell(22) - np.float32(0.5)))[number]
    cell += np.float32(_CYTOPLASM)
    cell += np.float32(500) * cloud
    cell += np.float32(480) * grain
    return cell


def _reticulum(cell: Pixels, w: Window, f: Fields, cloud: Pixels, grain: Pixels) -> None:
    """Paint endoplasmic reticulum: flat bags with ribosomes outside; Golgi stacks at the nucleus."""
    visible = _fade(w, 16, 64)
    if not visible:
        return
    here = np.clip((f.apical - np.float32(700)) * np.float32(1 / 300), 0, 1)
    here *= np.clip((f.lateral - np.float32(60)) * np.float32(1 / 60), 0, 1) * np.float32(visible)
    if not here.any():
        return
    distance = textures.sheets().read(w)
    _tint(cell, _edge(distance - np.float32(20), w) * here, _VESICLE - 300.0)
    _tint(cell, _line(distance - np.float32(23), 6, w) * here, _MEMBRANE)
    dots = np.clip(grain * np.float32(-3) - np.float32(0.4), 0, 1)
    _tint(cell, _line(distance - np.float32(42), 13, w) * dots * here, _MEMBRANE)


def _mitochondria(cell: Pixels, w: Window, scene: Scene, grain: Pixels) -> None:
    """Paint mitochondria: two membranes around a dark matrix, crossed by cristae."""
    rods = scene.mitochondria.read(w, with_along=True) if scene.mitochondria else None
    if rods is None or rods[1] is None:
        return
    distance, along, _ = rods
    visible = np.float32(_fade(w, 128, 512))
    _tint(cell, _edge(distance, w) * visible, np.float32(_MATRIX) + np.float32(300) * grain)
    detail = _fade(w, 8, 48)
    if detail:
        phase = (along + np.float32(25) * grain) * np.float32(1 / 85)
        phase -= np.floor(phase)
        phase -= np.float32(0.5)
        phase *= np.float32(85)
        inner = _edge(distance + np.float32(45), w) * np.float32(detail)
        _tint(cell, _line(phase, 21, w) * inner, _MEMBRANE)
        _tint(cell, _line(phase, 11, w) * inner, _CRISTA)
    _tint(cell, _line(distance, 8, w), _MEMBRANE)
    _tint(cell, _line(distance + np.float32(30), 7, w), _MEMBRANE)


def _villi(cell: Pixels, w: Window, f: Fields, axis: Pixels | None, grain: Pixels) -> None:
    """Paint the inside of microvilli: actin bundles that root in the terminal web."""
    web = np.clip(np.float32(1) - np.abs(f.apical - np.float32(250)) * np.float32(1 / 350), 0, 1)
    _tint(cell, np.float32(0.35) * web, _CHROMATIN)
    _tint(cell, _edge(f.apical, w), np.float32(_VILLUS) + np.float32(450) * grain)
    if axis is None:
        return
    root = np.clip(np.float32(1) - f.apical * np.float32(1 / 380), 0, 1)
    root *= np.float32(0.6 * _fade(w, 8, 64))
    _tint(cell, _line(axis, 16, w, 12) * root, _CHROMATIN)


def _nucleus(cell: Pixels, w: Window, f: Fields, cloud: Pixels, grain: Pixels) -> None:
    """Paint a nucleus: double envelope, chromatin dense at the rim and in clumps, nucleolus."""
    distance = f.nucleus + np.float32(120) * cloud
    near = _edge(distance - np.float32(60), w)
    if not near.any():
        return
    clumps = textures.chromatin().read(w)
    rim = np.clip(np.float32(1) + distance * np.float32(1 / 420), 0, 1)
    dense = np.clip(clumps + rim * (np.float32(0.6) + cloud), 0, 1)
    plasma = np.float32(_NUCLEOPLASM) + np.float32(420) * grain
    plasma += dense * np.float32(_CHROMATIN - _NUCLEOPLASM)
    body = _edge(f.nucleolus + np.float32(500) * cloud, w, 90)
    _tint(plasma, body, np.float32(_NUCLEOLUS) + np.float32(350) * grain + np.float32(500) * cloud)
    _tint(cell, _edge(distance, w), plasma)
    _tint(cell, _line(distance - np.float32(17), 10, w), _VESICLE)
    _tint(cell, _line(distance, 9, w), _MEMBRANE)
    _tint(cell, _line(distance - np.float32(34), 8, w), _MEMBRANE)


def _lateral_membrane(cell: Pixels, w: Window, f: Fields, cloud: Pixels) -> None:
    """Paint the membranes of two neighbouring cells, the cleft between them, and junctions."""
    junction = np.clip(np.float32(1) - f.apical * np.float32(1 / 700), 0, 1)
    junction = np.maximum(junction, np.clip(cloud * np.float32(6) - np.float32(2.2), 0, 1))
    junction *= _edge(-f.apical, w)
    _tint(cell, _line(f.lateral, 70, w, 40) * junction * np.float32(0.6), _MEMBRANE)
    _tint(cell, _line(f.lateral, 9, w), _VESICLE)
    _tint(cell, _line(f.lateral - np.float32(17), 9, w), _MEMBRANE)


def _vesicles(grey: Pixels, w: Window, scene: Scene, f: Fields, grain: Pixels) -> None:
    """Paint vesicles in the cells, and debris in the lumen: clear, double-walled or dense."""
    found = scene.vesicles.read(w, with_kind=True) if scene.vesicles else None
    if found is None or found[2] is None:
        return
    distance, _, kind = found
    visible = np.float32(_fade(w, 32, 128))
    colour = np.where(kind < _DOUBLE, np.float32(_VESICLE), np.float32(_NUCLEOLUS))
    colour += np.float32(160) * grain
    _tint(grey, _edge(distance, w) * visible, colour)
    _tint(grey, _line(distance, 8, w) * visible, _MEMBRANE)
    double = (kind >= _CLEAR) & (kind < _DOUBLE)
    _tint(grey, _line(distance + np.float32(30), 7, w) * double * visible, _MEMBRANE)


def _virions(grey: Pixels, w: Window, scene: Scene, grain: Pixels) -> None:
    """Paint virions: a dark rim with spikes, a granular core."""
    found = scene.virions.read(w) if scene.virions else None
    if found is None:
        return
    distance = found[0] + np.float32(4) * grain
    visible = np.float32(_fade(w, 16, 64))
    core = np.float32(_VIRION) + np.float32(700) * grain
    _tint(grey, _edge(distance, w, 6) * visible, core)
    _tint(grey, _line(distance + np.float32(5), 6, w) * visible, _MEMBRANE)
