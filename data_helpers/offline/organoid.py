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
from .noise import quick_noise, random_unit
from .organoid_shape import RINGS, Tissue, tissue
from .organoid_textures import (
    Choice,
    Objects,
    Pixels,
    Rule,
    Scatter,
    Steps,
    Window,
    blend,
    interpolate,
)

LEVELS: tuple[tuple[int, int], ...] = tuple((93184 >> n, 144384 >> n) for n in range(11))

_ROWS = 128  # rows painted at a time: their arrays stay in the processor's cache
_VILLI = 14  # microvilli along the top of one cell

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

# Vesicles are of a kind between 0 and 1: clear, then double-walled, then dense.
_CLEAR = 0.6
_DOUBLE = 0.8


class Fields(NamedTuple):
    """`Tissue` for each pixel (float32), and the distance from the nearest lateral membrane.

    ``nucleus`` and ``nucleolus`` are None where no nucleus is near.
    """

    apical: Pixels
    basal: Pixels
    s: Pixels
    width: Pixels
    lateral: Pixels
    nucleus: Pixels | None
    nucleolus: Pixels | None


class Scene(NamedTuple):
    """What has to be known before the pixels of a window can be painted."""

    nodes: dict[str, Pixels]
    s_corners: tuple[Pixels, Pixels, Pixels, Pixels]
    first_row: int
    columns: Steps
    mitochondria: Choice | None
    vesicles: Choice | None
    virions: Choice | None
    shed_cells: Choice | None


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
        grey += quick_noise(strip.y0, strip.y1, x0, x1, seed=2 * level) * np.float32(_noise(level))
        out[top - y0 : strip.y1 - y0] = np.clip(grey, 0, 65535).astype(np.uint16)
    return out


def _noise(level: int) -> float:
    """Amplitude of the shot noise: coarse levels are means of many counts, so less noisy."""
    return 130.0 - 7.0 * level


def _paint_strip(w: Window, scene: Scene) -> Pixels:
    """Paint from the back to the front: resin, cells, what is in them, membranes, virions."""
    apical, basal = _read_nodes(w, scene, "apical"), _read_nodes(w, scene, "basal")
    cloud = textures.cloud().read(w)
    grain = textures.grain().read(w)
    grey = _background(w, apical, basal, cloud, grain)
    _shed_cell(grey, w, scene, cloud, grain)
    if apical.max() > -2600 and basal.max() > -600 - 2 * w.pixel:
        _epithelium(grey, w, scene, _fields(w, scene, apical, basal), cloud, grain)
    _vesicles(grey, w, scene, cloud, grain)
    _virions(grey, w, scene, grain)
    return grey


def _epithelium(
    grey: Pixels, w: Window, scene: Scene, f: Fields, cloud: Pixels, grain: Pixels
) -> None:
    """Paint the cells with their microvilli and membranes."""
    surface, axis = _apical_surface(w, f, cloud)
    inside = np.minimum(_cover(surface, f, w), _edge(-f.basal, w))
    if not (np.minimum(-surface, f.basal).max() > -16 - w.pixel or inside.any()):
        return
    cell = _cytoplasm(f, cloud, grain)
    _reticulum(cell, w, f, grain)
    _mitochondria(cell, w, scene, cloud, grain)
    _villi(cell, w, f, axis, grain)
    _nucleus(cell, w, f, cloud, grain)
    _lateral_membrane(cell, w, f, cloud)
    _tint(grey, inside, cell)
    _tint(grey, _line(surface, 6, w) * _edge(-f.basal, w), _MEMBRANE)
    _tint(grey, _line(f.basal, 6, w) * _edge(-f.apical, w), _MEMBRANE)


# --- where things are ------------------------------------------------------------------------


def _grid(w: Window) -> tuple[int, float]:
    """Choose how far apart tissue coordinates are worked out, and where in their block."""
    step = 256 if w.pixel <= 32 else 512
    return (step, 0.0) if w.pixel < step else (w.pixel, 0.5)


def _scene(w: Window) -> Scene:
    """Work out the tissue coordinates of a window, and which objects are there."""
    step, at = _grid(w)
    rows = Steps.between(w.y0, w.y1, w.pixel, step, at)
    columns = Steps.between(w.x0, w.x1, w.pixel, step, at)
    y = (np.arange(rows.first, rows.first + rows.count, dtype=np.float64) + at)[:, None] * step
    x = (np.arange(columns.first, columns.first + columns.count, dtype=np.float64) + at) * step
    here = tissue(y, x)
    nodes = {
        name: np.minimum(field, 100000.0).astype(np.float32)
        for name, field in here._asdict().items()
    }

    def choose(scatter: Scatter, rule: Rule, likely: NDArray[np.bool_]) -> Choice | None:
        if not likely.any():
            return None
        return scatter.choose(w, _where(likely, rows, columns, step, at, rule))

    tissue_near = (here.apical > -1500) & (here.basal > -1000)
    lumen_near = here.apical < -1000
    mitochondria = vesicles = virions = shed_cells = None
    if w.pixel < 512:
        mitochondria = choose(textures.mitochondria(), _is_mitochondrion, tissue_near)
    if w.pixel < 128:
        vesicles = choose(textures.vesicles(), _is_vesicle, tissue_near | lumen_near)
    if w.pixel < 48:
        infected = (here.apical > -3500) & (here.basal > -1000)
        infected &= np.logical_or.reduce(
            [_infected(np.floor(here.s + shift).astype(np.int64)) for shift in (-0.4, 0.0, 0.4)]
        )
        virions = choose(textures.virions(), _is_virion, infected)
    if lumen_near.any():
        shed_cells = textures.shed_cells().choose(w, _is_shed_cell)
    corners = _unroll(here.s, rows.exact)
    return Scene(nodes, corners, rows.first, columns, mitochondria, vesicles, virions, shed_cells)


def _where(
    likely: NDArray[np.bool_], rows: Steps, columns: Steps, step: int, at: float, rule: Rule
) -> Rule:
    """Ask a rule only about objects whose nearest node is marked as likely: that saves time.

    Objects beyond the nodes go by the node at the edge: the window shows none that are far off.
    """

    def quick(objects: Objects) -> NDArray[np.bool_]:
        y = np.floor(objects.y * (1.0 / step) - at + 0.5).astype(np.int64) - rows.first
        x = np.floor(objects.x * (1.0 / step) - at + 0.5).astype(np.int64) - columns.first
        found = likely[np.clip(y, 0, rows.count - 1), np.clip(x, 0, columns.count - 1)]
        left = np.flatnonzero(found)
        found[left] = rule(objects.pick(left))
        return found

    return quick


def _unroll(s: NDArray[np.float64], exact: bool) -> tuple[Pixels, Pixels, Pixels, Pixels]:
    """Corners of each block of the cell coordinate, which jumps back after a turn.

    Within a block the coordinate must not jump, so the corners continue the top left one.
    """
    if exact:
        whole = s.astype(np.float32)
        return whole, whole, whole, whole
    first = s[:-1, :-1]
    turn = np.where(first < 128, RINGS[0].cells, RINGS[1].cells)

    def unrolled(corner: NDArray[np.float64]) -> Pixels:
        return (corner - np.floor((corner - first) / turn + 0.5) * turn).astype(np.float32)

    return unrolled(first), unrolled(s[:-1, 1:]), unrolled(s[1:, :-1]), unrolled(s[1:, 1:])


def _rows_of(w: Window, scene: Scene) -> tuple[Steps, slice]:
    step, at = _grid(w)
    rows = Steps.between(w.y0, w.y1, w.pixel, step, at)
    start = rows.first - scene.first_row
    return rows, slice(start, start + rows.count)


def _read_nodes(w: Window, scene: Scene, name: str) -> Pixels:
    """Interpolate one tissue coordinate at each pixel."""
    rows, part = _rows_of(w, scene)
    return interpolate(scene.nodes[name][part], rows, scene.columns)


def _fields(w: Window, scene: Scene, apical: Pixels, basal: Pixels) -> Fields:
    """Interpolate the other tissue coordinates."""
    rows, part = _rows_of(w, scene)
    width = _read_nodes(w, scene, "width")
    if rows.exact:
        s = scene.s_corners[0][part]
    else:
        blocks = slice(part.start, part.stop - 1)
        a, b, c, d = (corner[blocks] for corner in scene.s_corners)
        s = blend((a, b, c, d), rows, scene.columns)
    lateral = s - np.floor(s)
    lateral -= np.float32(0.5)
    np.abs(lateral, out=lateral)
    lateral = (np.float32(0.5) - lateral) * width
    nucleus = nucleolus = None
    if scene.nodes["nucleus"][part].min() < 700 + w.pixel:
        nucleus = _read_nodes(w, scene, "nucleus")
        nucleolus = _read_nodes(w, scene, "nucleolus")
    return Fields(apical, basal, s, width, lateral, nucleus, nucleolus)


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


def _is_mitochondrion(objects: Objects) -> NDArray[np.bool_]:
    """Mitochondria lie where their middle and both ends have room."""
    y, x, _, half_y, half_x = objects
    room = _dice(y, x, 31) < 0.85
    for end in (0.0, 1.0, -1.0):
        left = np.flatnonzero(room)
        here = tissue(y[left] + end * half_y[left], x[left] + end * half_x[left])
        ok = (here.apical > 900) & (here.basal > 500)
        room[left] = ok & (here.nucleus > 330) & (_lateral(here) > 280)
    return room


def _is_shed_cell(objects: Objects) -> NDArray[np.bool_]:
    """Shed cells lie in the lumen, clear of its wall."""
    here = tissue(objects.y, objects.x)
    return (here.apical < -objects.radius - 3500) & (_dice(objects.y, objects.x, 36) < 0.6)


def _is_vesicle(objects: Objects) -> NDArray[np.bool_]:
    """Vesicles fill the upper half of cells, most of all of infected ones; some drift outside."""
    y, x, radius, _, _ = objects
    here = tissue(y, x)
    in_cell = (here.apical > radius + 330) & (here.basal > radius + 300)
    in_cell &= (here.nucleus > radius + 130) & (_lateral(here) > radius + 90)
    share = np.where(here.basal > here.apical, 0.45, 0.2)
    share += 0.35 * _infected(np.floor(here.s).astype(np.int64))
    in_cell &= _dice(y, x, 32) < share
    left = np.flatnonzero(in_cell)
    mitochondria, within = textures.mitochondria(), radius[left] + 60.0
    free, _ = mitochondria.choose_at(y[left], x[left], _is_mitochondrion, within)
    in_cell[left] = free >= within
    in_lumen = (here.apical < -2200) & (_dice(y, x, 35) < 0.03)
    return in_cell | in_lumen


def _is_virion(objects: Objects) -> NDArray[np.bool_]:
    """Virions lie in vesicles of infected cells and between their microvilli; some drift."""
    y, x = objects.y, objects.x
    here = tissue(y, x)
    possible = (here.apical > -2600) & (here.basal > 0) & (here.nucleus > 0)
    possible &= _infected(np.floor(here.s).astype(np.int64))
    found = np.zeros(y.shape, dtype=bool)
    if not possible.any():
        return found
    y, x = y[possible], x[possible]
    apical, s, width = here.apical[possible], here.s[possible], here.width[possible]
    dice = _dice(y, x, 33)
    distance, kind = textures.vesicles().choose_at(y, x, _is_vesicle, -52.0)
    in_vesicle = (distance < 0) & (kind < _CLEAR) & (dice < 0.75)
    cloud = textures.cloud().read_at(y, x)
    surface = _villus_surface(
        (-apical).astype(np.float32), s.astype(np.float32), width.astype(np.float32), cloud
    )[0]
    attached = (surface > 44) & (surface < 70) & (dice < 0.8)
    adrift = (surface >= 70) & (dice < 0.22 + 0.8 * cloud)
    found[possible] = in_vesicle | ((apical < 0) & (attached | adrift))
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


def _near(distance: Pixels, limit: float) -> NDArray[np.intp]:
    """Indices of the pixels closer than a limit: most elements cover few of a strip's pixels."""
    return np.flatnonzero(distance < np.float32(limit))


def _pick(at: NDArray[np.intp], *images: Pixels) -> list[Pixels]:
    """Take some pixels, by index, out of images of the strip."""
    return [np.take(image, at) for image in images]


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
        near *= _edge(basal, w)
        fibres = np.float32(0.5) * _line(textures.sheets().read(w), 16, w, 40)
        _tint(grey, fibres * near, _CYTOPLASM)
        _tint(grey, np.float32(0.5) * _line(basal + np.float32(130), 50, w, 60), _CYTOPLASM)
    return grey


def _shed_cell(grey: Pixels, w: Window, scene: Scene, cloud: Pixels, grain: Pixels) -> None:
    """Paint a dead cell in the lumen: rounded, dark, its chromatin in lumps."""
    found = scene.shed_cells.read(w) if scene.shed_cells else None
    if found is None:
        return
    distance = found.distance + np.float32(350) * cloud
    at = _near(distance, 16 + w.pixel)
    if not at.size:
        return
    clumps = textures.chromatin().read(w)
    distance, clumps, waves, dots, here = _pick(at, distance, clumps, cloud, grain, grey)
    body = np.float32(_VILLUS) + np.float32(900) * waves + np.float32(420) * dots
    deep = np.clip(distance * np.float32(-1 / 700) - np.float32(0.6), 0, 1)
    _tint(body, deep * clumps, _NUCLEOLUS)
    _tint(here, _edge(distance, w), body)
    _tint(here, _line(distance, 6, w), _MEMBRANE)
    np.put(grey, at, here)


def _apical_surface(w: Window, f: Fields, cloud: Pixels) -> tuple[Pixels, Pixels | None]:
    """Find the cell's surface, with microvilli where they can be seen.

    Returns the distance from the surface towards the lumen (negative inside the cell), and the
    distance from the nearest microvillus' axis, None where there are none.
    """
    if f.apical.min() > 600 or _fade(w, 32, 96) == 0:
        return -f.apical, None
    return _villus_surface(-f.apical, f.s, f.width, cloud)


def _villus_surface(
    height: Pixels, s: Pixels, width: Pixels, cloud: Pixels
) -> tuple[Pixels, Pixels]:
    """Distance from the surface of cell and microvilli, and from the axis of a microvillus."""
    lean = np.clip(height * np.float32(1 / 500), 0, 2)
    m = s * np.float32(_VILLI) + lean * cloud
    index = np.floor(m)
    axis = np.abs(m - index - np.float32(0.5)) * width * np.float32(1 / _VILLI)
    length = np.take(_villus_length(), index.astype(np.int32))
    beyond = np.maximum(height - length, 0)
    radius = np.float32(43) + np.float32(14) * cloud
    villus = np.sqrt(axis * axis + beyond * beyond) - radius
    # A smooth minimum of the two distances rounds the corner at the foot of the microvillus.
    mixed = np.clip((villus - height) * np.float32(0.5 / 70) + np.float32(0.5), 0, 1)
    surface = villus + (height - villus) * mixed
    surface -= np.float32(70) * mixed * (np.float32(1) - mixed)
    return surface, axis


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
    tone = np.float32(_CYTOPLASM - 350) + np.float32(700) * _per_cell(22)
    cell = np.take(tone, np.floor(f.s).astype(np.int32))
    cell += np.float32(500) * cloud
    cell += np.float32(480) * grain
    return cell


def _reticulum(cell: Pixels, w: Window, f: Fields, grain: Pixels) -> None:
    """Paint endoplasmic reticulum: flat bags with ribosomes on their outside."""
    visible = _fade(w, 8, 48)
    if not visible or f.apical.max() < 700:
        return
    distance = textures.sheets().read(w)
    at = _near(distance, 70 + w.pixel)
    distance, apical, lateral, dots, grey = _pick(at, distance, f.apical, f.lateral, grain, cell)
    here = np.clip((apical - np.float32(700)) * np.float32(1 / 300), 0, 1)
    here *= np.clip((lateral - np.float32(60)) * np.float32(1 / 60), 0, 1) * np.float32(visible)
    _tint(grey, _edge(distance - np.float32(25), w) * here, _VESICLE - 300.0)
    _tint(grey, _line(distance - np.float32(28), 4, w) * here, _MEMBRANE)
    dots = np.clip(dots * np.float32(-3) - np.float32(0.4), 0, 1)
    _tint(grey, _line(distance - np.float32(46), 13, w) * dots * here, _MEMBRANE)
    np.put(cell, at, grey)


def _mitochondria(cell: Pixels, w: Window, scene: Scene, cloud: Pixels, grain: Pixels) -> None:
    """Paint mitochondria: two membranes around a dark matrix, crossed by cristae."""
    found = scene.mitochondria.read(w) if scene.mitochondria else None
    if found is None:
        return
    at = _near(found.distance, 16 + w.pixel)
    distance, along, waves, dots, grey = _pick(at, *found, cloud, grain, cell)
    visible = np.float32(_fade(w, 128, 512))
    _tint(grey, _edge(distance, w) * visible, np.float32(_MATRIX) + np.float32(300) * dots)
    _tint(grey, _line(distance, 6, w) * visible, _MEMBRANE)
    detail = np.float32(_fade(w, 8, 48))
    if detail:
        phase = (along + np.float32(110) * waves + np.float32(5) * dots) * np.float32(1 / 85)
        phase -= np.floor(phase)
        phase -= np.float32(0.5)
        phase *= np.float32(85)
        inner = _edge(distance + np.float32(45), w) * detail
        _tint(grey, _line(phase, 17, w) * inner, _MEMBRANE)
        _tint(grey, _line(phase, 10, w) * inner, _CRISTA)
        _tint(grey, _line(distance + np.float32(26), 5, w) * detail, _MEMBRANE)
    np.put(cell, at, grey)


def _villi(cell: Pixels, w: Window, f: Fields, axis: Pixels | None, grain: Pixels) -> None:
    """Paint the inside of microvilli: actin bundles that root in the terminal web."""
    at = _near(f.apical, 650 + w.pixel)
    if not at.size:
        return
    apical, dots, grey = _pick(at, f.apical, grain, cell)
    web = np.clip(np.float32(1) - np.abs(apical - np.float32(250)) * np.float32(1 / 350), 0, 1)
    _tint(grey, np.float32(0.35) * web, _CHROMATIN)
    _tint(grey, _edge(apical, w), np.float32(_VILLUS) + np.float32(450) * dots)
    if axis is not None:
        root = np.clip(np.float32(1) - apical * np.float32(1 / 380), 0, 1)
        root *= np.float32(0.6 * _fade(w, 8, 64))
        _tint(grey, _line(np.take(axis, at), 16, w, 12) * root, _CHROMATIN)
    np.put(cell, at, grey)


def _nucleus(cell: Pixels, w: Window, f: Fields, cloud: Pixels, grain: Pixels) -> None:
    """Paint a nucleus: double envelope, chromatin dense at the rim and in clumps, nucleolus."""
    if f.nucleus is None or f.nucleolus is None:
        return
    distance = f.nucleus + np.float32(120) * cloud
    at = _near(distance, 60 + w.pixel)
    if not at.size:
        return
    clumps = textures.chromatin().read(w)
    distance, nucleolus, clumps, waves, dots, grey = _pick(
        at, distance, f.nucleolus, clumps, cloud, grain, cell
    )
    rim = np.clip(np.float32(1) + distance * np.float32(1 / 420), 0, 1)
    dense = np.clip(clumps + rim * (np.float32(0.6) + waves), 0, 1)
    plasma = np.float32(_NUCLEOPLASM) + np.float32(420) * dots
    plasma += dense * np.float32(_CHROMATIN - _NUCLEOPLASM)
    body = _edge(nucleolus + np.float32(500) * waves, w, 90)
    _tint(plasma, body, np.float32(_NUCLEOLUS) + np.float32(350) * dots + np.float32(500) * waves)
    _tint(grey, _edge(distance, w), plasma)
    if w.pixel > 32:  # the envelope is a single line
        _tint(grey, _line(distance, 9, w), _MEMBRANE)
    else:
        _tint(grey, _line(distance - np.float32(17), 10, w), _VESICLE)
        _tint(grey, _line(distance, 6, w), _MEMBRANE)
        _tint(grey, _line(distance - np.float32(34), 6, w), _MEMBRANE)
    np.put(cell, at, grey)


def _lateral_membrane(cell: Pixels, w: Window, f: Fields, cloud: Pixels) -> None:
    """Paint the membranes of two neighbouring cells, the cleft between them, and junctions."""
    at = _near(f.lateral, 170 + w.pixel)
    if not at.size:
        return
    lateral, apical, waves, grey = _pick(at, f.lateral, f.apical, cloud, cell)
    _tint(grey, np.float32(0.25) * _line(lateral, 60, w, 160), _CHROMATIN)
    junction = np.clip(np.float32(1) - apical * np.float32(1 / 700), 0, 1)
    junction = np.maximum(junction, np.clip(waves * np.float32(6) - np.float32(2.2), 0, 1))
    junction *= _edge(-apical, w)
    _tint(grey, _line(lateral, 70, w, 40) * junction * np.float32(0.6), _MEMBRANE)
    if w.pixel > 32:  # two membranes and the cleft are a single line
        _tint(grey, _line(lateral, 10, w), _MEMBRANE)
    else:
        _tint(grey, _line(lateral, 9, w), _VESICLE)
        _tint(grey, _line(lateral - np.float32(17), 7, w), _MEMBRANE)
    np.put(cell, at, grey)


def _vesicles(grey: Pixels, w: Window, scene: Scene, cloud: Pixels, grain: Pixels) -> None:
    """Paint vesicles in the cells, and debris in the lumen: clear, double-walled or dense."""
    found = scene.vesicles.read(w) if scene.vesicles else None
    if found is None:
        return
    at = _near(found.distance, 16 + w.pixel)
    distance, kind, waves, dots, here = _pick(at, *found, cloud, grain, grey)
    visible = np.float32(_fade(w, 32, 128))
    colour = np.where(kind < _DOUBLE, np.float32(_VESICLE), _GRANULE + np.float32(1200) * waves)
    colour += np.float32(160) * dots
    _tint(here, _edge(distance, w) * visible, colour)
    _tint(here, _line(distance, 6, w) * visible, _MEMBRANE)
    if w.pixel <= 16:
        double = np.where((kind >= _CLEAR) & (kind < _DOUBLE), visible, np.float32(0))
        _tint(here, _line(distance + np.float32(28), 6, w) * double, _MEMBRANE)
    np.put(grey, at, here)


def _virions(grey: Pixels, w: Window, scene: Scene, grain: Pixels) -> None:
    """Paint virions: a dark rim, spikes around it, a granular core."""
    found = scene.virions.read(w) if scene.virions else None
    if found is None:
        return
    distance = found.distance + np.float32(4) * grain
    at = _near(distance, 30 + w.pixel)
    distance, dots, here = _pick(at, distance, grain, grey)
    visible = np.float32(_fade(w, 8, 48))
    spikes = np.clip(np.float32(0.5) - np.float32(1.3) * dots, 0, 1) * np.float32(0.55) * visible
    _tint(here, _line(distance - np.float32(12), 7, w) * spikes, _VIRION)
    core = np.float32(_VIRION) + np.float32(700) * dots
    _tint(here, _edge(distance, w, 6) * visible, core)
    _tint(here, _line(distance + np.float32(5), 5, w) * visible, _MEMBRANE)
    np.put(grey, at, here)
