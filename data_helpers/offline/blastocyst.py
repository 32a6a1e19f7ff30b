"""Paint the synthetic stand-in of IDR image 6001247: a mouse blastocyst of 48 nuclei.

One model, a table of 48 slightly deformed ellipsoids, gives everything: channel 0 shows their
envelopes (LaminB1), channel 1 fills them (DAPI), and the label image says which voxel belongs to
which nucleus. So the labels are not a segmentation of the picture: they are the truth behind it.

Only exactly rounded operations are used (``+ - * / sqrt``, comparisons, integers), so every
machine paints the same pixels.
"""

from __future__ import annotations

from functools import lru_cache
from math import sqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from data_helpers.offline.blastocyst_nuclei import NUCLEI, Nucleus
from data_helpers.offline.noise import hash_points, smoothstep, white_noise

Float2D = NDArray[np.float32]
Labels2D = NDArray[np.uint32]

SHAPE = (1, 2, 257, 210, 253)
LEVELS: tuple[tuple[int, int], ...] = ((210, 253), (105, 126), (52, 63))
LABEL_LEVELS: tuple[tuple[int, int], ...] = (*LEVELS, (26, 31))
VOXEL_SIZE = (0.500202734375, 0.3603981534640209, 0.3603981534640209)  # z, y, x in micrometres
FIRST_LABEL = 1381342  # the labels are OMERO ROI ids: FIRST_LABEL .. FIRST_LABEL + 47
SATURATION = 4095  # a 12-bit detector in a 16-bit file
LAMIN, DAPI = 0, 1

_BACKGROUND = (34.0, 28.0)  # detector offset plus stray light, per channel
_HAZE = (26.0, 30.0)  # dye outside the nuclei, in the cytoplasm
_LOST_IN_DEPTH = 0.30  # share of the light lost between the first and the last plane
_BLUR_XY, _BLUR_Z = 0.5, 1.1  # half-widths of the microscope's blur in micrometres
_EMBRYO = (60.0, 47.0, 52.0)  # semi-axes of the whole blastocyst, z, y, x in micrometres
_CAVITY = ((41.0, 29.0, 30.0), (0.0, 0.0, -7.0))  # semi-axes and centre of the cavity
_MARGIN = 2.2  # micrometres around a nucleus that its light may reach
_NEVER = np.float32(9.0)


class _Model(NamedTuple):
    """The table of nuclei, made ready for painting plane by plane."""

    centre: NDArray[np.float32]  # (48, 3): z, y, x in micrometres from the stack's centre
    axes: NDArray[np.float32]  # (48, 3): semi-axes in micrometres
    to_body: NDArray[np.float32]  # (48, 3, 3): offset z, y, x -> body coordinates, surface at 1
    reach: NDArray[np.float32]  # (48, 3): half-size of the box that holds the nucleus
    bend: NDArray[np.float32]  # (48, 2): how much the ellipsoid is deformed
    bright: NDArray[np.float32]  # (48, 2): intensity of envelope and of chromatin
    spots: NDArray[np.float32]  # (n, 5): z, y, x, radius, brightness (chromocentre) or -dimming
    texture: NDArray[np.float32]  # (64, 64, 64): zero-mean fine grain, repeats in all directions


def paint(
    level: int, t: int, c: int, z: int, y0: int, y1: int, x0: int, x1: int
) -> NDArray[np.uint16]:
    """Paint a region of one image plane.

    Parameters
    ----------
    level : int
        Index into `LEVELS`; level 0 is the finest.
    t, c, z : int
        Time point (only 0), channel (0 LaminB1, 1 DAPI) and plane (0 to 256).
    y0, y1, x0, x1 : int
        The region, in pixels of this level, within the plane.

    Returns
    -------
    numpy.ndarray
        uint16, shape ``(y1 - y0, x1 - x0)``.

    Notes
    -----
    A coarser level is the exact 2 by 2 mean of the level before it, rounded half up.
    """
    _check(level, t, z, LEVELS)
    plane = _channel_plane(c, z)
    for _ in range(level):
        plane = _mean_2x2(plane)
    return plane[y0:y1, x0:x1].astype(np.uint16)


def paint_labels(level: int, t: int, z: int, y0: int, y1: int, x0: int, x1: int) -> Labels2D:
    """Paint a region of one plane of the label image.

    Parameters
    ----------
    level : int
        Index into `LABEL_LEVELS`; level 0 is the finest. Coarser levels take every second pixel.
    t, z : int
        Time point (only 0) and plane (0 to 256).
    y0, y1, x0, x1 : int
        The region, in pixels of this level, within the plane.

    Returns
    -------
    numpy.ndarray
        uint32, shape ``(y1 - y0, x1 - x0)``: 0 is background, a nucleus has its own value.
    """
    _check(level, t, z, LABEL_LEVELS)
    height, width = LABEL_LEVELS[level]
    step = 2**level
    plane = _label_plane(z)[::step, ::step][:height, :width]
    return plane[y0:y1, x0:x1].copy()


def _check(level: int, t: int, z: int, levels: tuple[tuple[int, int], ...]) -> None:
    if not (0 <= level < len(levels) and t == 0 and 0 <= z < SHAPE[2]):
        raise IndexError(f"level {level}, t {t}, z {z} is outside the image")


def _label_plane(z: int) -> Labels2D:
    labels = np.zeros(SHAPE[3:], np.uint32)
    nearest = np.full(SHAPE[3:], _NEVER, np.float32)
    for index in _nuclei_in_plane(z):
        box, rho, _ = _nucleus_in_plane(index, z)
        # Where two nuclei touch, the voxel goes to the one whose centre is relatively nearer.
        inside = (rho < 1) & (rho < nearest[box])
        labels[box][inside] = FIRST_LABEL + index
        nearest[box][inside] = rho[inside]
    return labels


def _channel_plane(c: int, z: int) -> NDArray[np.uint32]:
    model = _model()
    light = _haze(z) * np.float32(_HAZE[c])
    for index in _nuclei_in_plane(z):
        box, rho, slope = _nucleus_in_plane(index, z)
        distance = (rho - 1) / slope[0]  # micrometres outside (+) or inside (-) the envelope
        blur = _BLUR_XY + (_BLUR_Z - _BLUR_XY) * slope[1]
        profile = _envelope(distance, blur) if c == LAMIN else _chromatin(distance, blur)
        light[box] += profile * (1 + _grain(box, z)) * model.bright[index, c]
    if c == DAPI:
        _add_spots(light, z)
    depth = np.float32(1 - _LOST_IN_DEPTH * z / (SHAPE[2] - 1))
    return _detect(light * depth + np.float32(_BACKGROUND[c]), c, z)


def _nuclei_in_plane(z: int) -> NDArray[np.intp]:
    model = _model()
    return np.nonzero(np.abs(_position(z, 0) - model.centre[:, 0]) < model.reach[:, 0])[0]


def _nucleus_in_plane(
    index: int, z: int
) -> tuple[tuple[slice, slice], Float2D, tuple[Float2D, Float2D]]:
    """The box a nucleus covers in a plane, its normalised distance rho (surface at 1), its slope.

    The slope is the change of rho per micrometre and the share of it that points along z.
    """
    model = _model()
    box = _box(model, index)
    dz, dy, dx = (
        _position(z, 0) - model.centre[index, 0],
        _positions(1)[box[0]][:, None] - model.centre[index, 1],
        _positions(2)[box[1]][None, :] - model.centre[index, 2],
    )
    m = model.to_body[index]
    u = [m[i, 1] * dy + (m[i, 2] * dx + m[i, 0] * dz) for i in range(3)]
    squares = [v * v for v in u]
    radius = np.sqrt(squares[0] + squares[1] + squares[2])
    first, second = model.bend[index]
    bent = first * (u[0] * u[1]) + second * (squares[0] - squares[1])
    # Far from the surface the bend would run away: hold it.
    rho = radius * (1 + np.clip(bent * u[2], np.float32(-0.15), np.float32(0.15)))
    inverse = 1 / model.axes[index]
    v = [u[i] * inverse[i] for i in range(3)]
    length = np.sqrt(v[0] * v[0] + v[1] * v[1] + v[2] * v[2]) + np.float32(1e-6)
    # The gradient of rho, as if the ellipsoid were not bent: good enough near the surface.
    along_z = (u[0] * m[0, 0] + u[1] * m[1, 0] + u[2] * m[2, 0]) / length
    return box, rho, (length / (radius + np.float32(1e-6)), along_z * along_z)


def _envelope(distance: Float2D, blur: Float2D) -> Float2D:
    """A thin shell: sharp where the envelope stands upright, smeared where it lies flat."""
    width = np.float32(2) * blur
    shell = _bump(distance / width) * (np.float32(1.2) / width)
    inside = _step(-distance / width)
    return shell + np.float32(0.12) * inside


def _chromatin(distance: Float2D, blur: Float2D) -> Float2D:
    """A filled nucleus with a soft edge."""
    return _step(np.float32(0.5) - distance / (2 * blur))


def _grain(box: tuple[slice, slice], z: int) -> Float2D:
    """Fine unevenness of the stain: a window of the repeating texture."""
    rows = np.arange(box[0].start, box[0].stop) & 63
    columns = np.arange(box[1].start, box[1].stop) & 63
    return _model().texture[z & 63][rows[:, None], columns]


def _add_spots(light: Float2D, z: int) -> None:
    """Add what DAPI shows in mouse nuclei: bright chromocentres and dark nucleoli."""
    model = _model()
    deep = np.abs(_position(z, 0) - model.spots[:, 0]) / (model.spots[:, 3] + np.float32(0.8))
    for spot in np.nonzero(deep < 1)[0]:
        _, y, x, radius, bright = model.spots[spot]
        rows, columns = _slice(y, radius, 1), _slice(x, radius, 2)
        dy = (_positions(1)[rows] - y)[:, None] / radius
        dx = (_positions(2)[columns] - x)[None, :] / radius
        near = np.maximum(1 - (dy * dy + dx * dx + deep[spot] * deep[spot]), 0)
        if bright > 0:
            light[rows, columns] += bright * (near * near)
        else:
            light[rows, columns] *= 1 + bright * (near * near)


def _haze(z: int) -> Float2D:
    """Faint light of the cytoplasm: between the outside of the blastocyst and its cavity."""
    outer = _ellipsoid(z, _EMBRYO, (0.0, 0.0, 0.0))
    cavity = _ellipsoid(z, *_CAVITY)
    return _step((1 - outer) * 4 + np.float32(0.4)) * _step((cavity - 1) * 3 + np.float32(0.7))


def _ellipsoid(z: int, axes: tuple[float, ...], centre: tuple[float, ...]) -> Float2D:
    dz, dy, dx = (
        (_positions(axis) - np.float32(centre[axis])) / np.float32(axes[axis]) for axis in range(3)
    )
    return (dy * dy)[:, None] + ((dx * dx)[None, :] + dz[z] * dz[z])


def _detect(light: Float2D, c: int, z: int) -> NDArray[np.uint32]:
    """What the detector makes of the light: photon noise, read noise, saturation."""
    noise = white_noise(0, SHAPE[3], 0, SHAPE[4], seed=6001247 + 1000 * c + z)
    counts = light + noise * (np.sqrt(light) * np.float32(2.7) + np.float32(5.0))
    return np.clip(np.floor(counts + np.float32(0.5)), 0, SATURATION).astype(np.uint32)


def _mean_2x2(plane: NDArray[np.uint32]) -> NDArray[np.uint32]:
    height, width = plane.shape[0] // 2 * 2, plane.shape[1] // 2 * 2
    even, odd = plane[0:height:2], plane[1:height:2]
    total = even[:, 0:width:2] + even[:, 1:width:2] + odd[:, 0:width:2] + odd[:, 1:width:2]
    return (total + np.uint32(2)) >> np.uint32(2)


def _step(value: Float2D) -> Float2D:
    """From 0 (value <= 0) to 1 (value >= 1) along a smooth cubic."""
    return smoothstep(0, 1, value)


def _bump(value: Float2D) -> Float2D:
    """A bell of height 1 that ends smoothly at -1 and 1."""
    rest = np.maximum(1 - value * value, np.float32(0))
    return rest * rest


# --- set-up, done once -------------------------------------------------------------------------


@lru_cache(maxsize=3)
def _positions(axis: int) -> NDArray[np.float32]:
    """Micrometres of every voxel centre along z, y or x, from the centre of the stack."""
    size = SHAPE[axis + 2]
    return ((np.arange(size) - (size - 1) / 2) * VOXEL_SIZE[axis]).astype(np.float32)


def _position(index: int, axis: int) -> np.float32:
    return np.float32(_positions(axis)[index])


def _slice(centre: np.float32, reach: np.float32, axis: int) -> slice:
    """The voxels within reach of a centre, clipped to the stack."""
    middle, size = (SHAPE[axis + 2] - 1) / 2, SHAPE[axis + 2]
    low = int((float(centre) - float(reach)) / VOXEL_SIZE[axis] + middle)
    high = int((float(centre) + float(reach)) / VOXEL_SIZE[axis] + middle) + 2
    return slice(min(max(low, 0), size), max(min(high, size), 0))


def _box(model: _Model, index: int) -> tuple[slice, slice]:
    centre, reach = model.centre[index], model.reach[index]
    return _slice(centre[1], reach[1], 1), _slice(centre[2], reach[2], 2)


@lru_cache(maxsize=1)
def _model() -> _Model:
    axes = np.array([nucleus.axes for nucleus in NUCLEI])
    turns = [_rotation(nucleus) for nucleus in NUCLEI]
    to_body = np.array(turns) / axes[:, :, None]
    return _Model(
        centre=np.array([nucleus.centre for nucleus in NUCLEI]).astype(np.float32),
        axes=axes.astype(np.float32),
        to_body=to_body.astype(np.float32),
        reach=_reach(turns, axes).astype(np.float32),
        bend=np.array([nucleus.bend for nucleus in NUCLEI]).astype(np.float32),
        bright=np.array([(nucleus.lamin, nucleus.dapi) for nucleus in NUCLEI]).astype(np.float32),
        spots=_spots(turns),
        texture=_texture(),
    )


def _rotation(nucleus: Nucleus) -> list[list[float]]:
    """The rotation matrix of a quaternion of whole numbers: divisions only, no sine."""
    w, a, b, c = nucleus.turn
    n = w * w + a * a + b * b + c * c
    return [
        [(w * w + a * a - b * b - c * c) / n, 2 * (a * b - w * c) / n, 2 * (a * c + w * b) / n],
        [2 * (a * b + w * c) / n, (w * w - a * a + b * b - c * c) / n, 2 * (b * c - w * a) / n],
        [2 * (a * c - w * b) / n, 2 * (b * c + w * a) / n, (w * w - a * a - b * b + c * c) / n],
    ]


def _reach(turns: list[list[list[float]]], axes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Half-size of the box around each ellipsoid, plus room for its bend and its blur."""
    reach = np.empty_like(axes)
    for index, turn in enumerate(turns):
        for axis in range(3):
            sides = [turn[i][axis] * float(axes[index, i]) for i in range(3)]
            total = sides[0] * sides[0] + sides[1] * sides[1] + sides[2] * sides[2]
            reach[index, axis] = sqrt(total) * 1.1 + _MARGIN
    return reach


def _spots(turns: list[list[list[float]]]) -> NDArray[np.float32]:
    """Two nucleoli and 6 to 13 chromocentres in every nucleus, at hashed places of its body."""
    dice = hash_points(np.arange(len(NUCLEI))[:, None, None], np.arange(15)[:, None], np.arange(6))
    share = (dice % np.uint32(1001)).astype(np.float64) / 1000  # of each spot: 6 numbers, 0 to 1
    rows = []
    for index, nucleus in enumerate(NUCLEI):
        for number, roll in enumerate(share[index, : 8 + int(dice[index, 0, 5]) % 8]):
            body = [2.0 * float(v) - 1.0 for v in roll[:3]]
            length = sqrt(body[0] * body[0] + body[1] * body[1] + body[2] * body[2])
            body = [
                v * 0.74 / max(length, 0.74) * a for v, a in zip(body, nucleus.axes, strict=True)
            ]
            turn = turns[index]  # added in a fixed order: sum() rounds differently in each Python
            place = [
                nucleus.centre[axis]
                + (turn[0][axis] * body[0] + turn[1][axis] * body[1] + turn[2][axis] * body[2])
                for axis in range(3)
            ]
            if number < 2 and max(nucleus.axes) > 5:
                rows.append([*place, 1.5 + 1.1 * roll[3], -0.75])
            else:
                rows.append([*place, 0.9 + 0.9 * roll[3], nucleus.dapi * (0.5 + 1.1 * roll[4])])
    return np.array(rows).astype(np.float32)


def _texture() -> NDArray[np.float32]:
    """A repeating 64 cube of smoothed noise, between about -0.4 and 0.4."""
    i = np.arange(64)
    cube = hash_points(i[:, None, None], i[:, None], i, seed=62).astype(np.int64) >> 24
    cube -= 128
    for axis in range(3):
        cube = cube + 2 * np.roll(cube, 1, axis) + np.roll(cube, 2, axis)
        cube = cube + np.roll(cube, 1, axis)
    return cube.astype(np.float32) * np.float32(1 / 90000)
