"""What a window of the synthetic organoid shows: tissue coordinates, and which objects are there.

Sizes and distances are in pixels of level 0. A rule decides for each object of a repeating pattern
whether it is there, from its place in the tissue: a mitochondrion needs room in a cell, a virion an
infected cell. The whole object is there or is not, in every window.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from . import organoid_textures as textures
from .noise import random_unit
from .organoid_sampling import Pixels, Steps, Window, blend, interpolate
from .organoid_scatter import Choice, Hint, Objects, Rule, Scatter
from .organoid_shape import RINGS, Tissue, tissue

_VILLI = 14  # microvilli along the top of one cell

# Vesicles are of a kind between 0 and 1: clear, then double-walled, then dense.
CLEAR = 0.6
DOUBLE = 0.8


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


def _grid(w: Window) -> tuple[int, float]:
    """Choose how far apart tissue coordinates are worked out, and where in their block."""
    step = 256 if w.pixel <= 32 else 512
    return (step, 0.0) if w.pixel < step else (w.pixel, 0.5)


def look(w: Window) -> Scene:
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
        return scatter.choose(w, rule, Hint(likely, rows.first, columns.first, step, at))

    tissue_near = (here.apical > -2500) & (here.basal > -2500)
    lumen_near = here.apical < -1000
    mitochondria = vesicles = virions = shed_cells = None
    if w.pixel < 512:
        mitochondria = choose(textures.mitochondria(), _is_mitochondrion, tissue_near)
    if w.pixel < 128:
        vesicles = choose(textures.vesicles(), _is_vesicle, tissue_near | lumen_near)
    if w.pixel < 32:
        infected = (here.apical > -3500) & (here.basal > -1000)
        infected &= np.logical_or.reduce(
            [_infected(np.floor(here.s + shift).astype(np.int64)) for shift in (-0.4, 0.0, 0.4)]
        )
        virions = choose(textures.virions(), _is_virion, infected)
    if lumen_near.any():  # as large as they are, they may be far from the nearest node
        shed_cells = textures.shed_cells().choose(w, _is_shed_cell)
    corners = _unroll(here.s, rows.exact)
    return Scene(nodes, corners, rows.first, columns, mitochondria, vesicles, virions, shed_cells)


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


def read_nodes(w: Window, scene: Scene, name: str) -> Pixels:
    """Interpolate one tissue coordinate at each pixel."""
    rows, part = _rows_of(w, scene)
    return interpolate(scene.nodes[name][part], rows, scene.columns)


def read_fields(w: Window, scene: Scene, apical: Pixels, basal: Pixels) -> Fields:
    """Interpolate the other tissue coordinates."""
    rows, part = _rows_of(w, scene)
    width = read_nodes(w, scene, "width")
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
        nucleus = read_nodes(w, scene, "nucleus")
        nucleolus = read_nodes(w, scene, "nucleolus")
    return Fields(apical, basal, s, width, lateral, nucleus, nucleolus)


@cache
def per_cell(seed: int) -> Pixels:
    """One random number for each cell number; numbers beyond a ring repeat its cells."""
    number = np.arange(256)
    start = np.where(number < 128, RINGS[0].start, RINGS[1].start)
    cells = np.where(number < 128, RINGS[0].cells, RINGS[1].cells)
    return random_unit(start + (number - start) % cells, seed=seed)


def _infected(number: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Tell which cells are infected: about a third, and those in the middle of the image."""
    cell = (number - RINGS[0].start) % RINGS[0].cells
    middle = (number < 128) & ((cell <= 1) | (cell >= RINGS[0].cells - 1))
    return (per_cell(21)[number] < 0.33) | middle


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
    in_vesicle = (distance < 0) & (kind < CLEAR) & (dice < 0.75)
    cloud = textures.cloud().read_at(y, x)
    surface = villus_surface(
        (-apical).astype(np.float32), s.astype(np.float32), width.astype(np.float32), cloud
    )[0]
    attached = (surface > 44) & (surface < 70) & (dice < 0.8)
    adrift = (surface >= 70) & (dice < 0.22 + 0.8 * cloud)
    found[possible] = in_vesicle | ((apical < 0) & (attached | adrift))
    return found


def villus_surface(
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
