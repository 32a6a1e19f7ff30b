"""Compute where the 48 nuclei of the synthetic blastocyst (6001247) lie.

The table was made once with
``python -m tools.pack_blastocyst 3 > data_helpers/offline/blastocyst_nuclei.py``
and is committed, because it is data: another NumPy may draw other random numbers. Nothing is
printed for a seed that breaks a published range.
"""

from __future__ import annotations

import sys

import numpy as np

from data_helpers.offline import blastocyst
from data_helpers.offline.blastocyst_nuclei import Nucleus

STACK = np.array([257 * 0.500202734375, 210 * 0.3603981534640209, 253 * 0.3603981534640209])
SHELL = np.array([52.0, 45.0, 47.5])  # where the outer nuclei sit: semi-axes z, y, x
OUTER, INNER = 30, 17  # trophectoderm, inner cell mass; the last nucleus is a polar body
POLE = np.array([0.25, 0.25, 1.0]) / np.sqrt(1.125)
GAP = 1.0  # micrometres between nuclei


def pack(seed: int) -> list[tuple]:
    rng = np.random.default_rng(seed)
    n = OUTER + INNER
    inner = np.arange(n) >= OUTER
    p = rng.normal(size=(n, 3))
    p /= np.linalg.norm(p, axis=1)[:, None]
    p[inner] = POLE * SHELL * 0.62 + rng.normal(size=(INNER, 3)) * 8
    p[~inner] *= SHELL
    axes = np.where(
        inner[:, None],
        rng.uniform(0.88, 1.12, (n, 3)) * rng.uniform(5.6, 8.6, n)[:, None],
        np.stack(
            [rng.uniform(8.4, 12.4, n), rng.uniform(7.2, 9.8, n), rng.uniform(4.1, 5.7, n)], 1
        ),
    )
    turn = np.array([random_turn(rng) for _ in range(n)])
    spin = rng.uniform(0, 2 * np.pi, n)
    for _ in range(1500):
        for i in range(OUTER):
            p[i] /= np.sqrt(((p[i] / SHELL) ** 2).sum())
            turn[i] = flat_turn(p[i] / SHELL**2, spin[i])
        p = np.clip(p, 1 - STACK / 2, STACK / 2 - 1)  # at least about half of each is in view
        deep = np.sqrt(((p / (SHELL - 8)) ** 2).sum(1))
        p[inner] /= np.maximum(deep[inner], 1)[:, None]
        away = p[:, None] - p[None]
        length = np.linalg.norm(away, axis=2) + 1e9 * np.eye(n)
        unit = away / length[:, :, None] + np.eye(n)[:, :, None]  # of itself: any direction
        reach = radius(turn[:, None], axes[:, None], unit)
        over = np.maximum(reach + reach.T + GAP - length, 0) * 0.25
        over += np.maximum(26 - length, 0) * 0.02 * ~inner[:, None]  # spread the shell evenly
        push = (unit * over[:, :, None]).sum(1)
        p += push
        p[inner] += (POLE * SHELL * 0.6 - p[inner]) * 0.01
        if np.abs(push).max() < 0.05:
            break
    nuclei = []
    for i in range(n):
        place, size = np.round(p[i], 2).tolist(), np.round(axes[i], 2).tolist()
        nuclei.append((tuple(place), tuple(size), quaternion(turn[i])))
    nuclei.append(((12.0, -31.0, 38.5), (3.1, 2.9, 2.8), (1, 0, 0, 0)))  # the polar body
    return nuclei


def radius(turn: np.ndarray, axes: np.ndarray, unit: np.ndarray) -> np.ndarray:
    """How far an ellipsoid reaches in a direction."""
    body = (turn @ unit[..., None])[..., 0]
    return 1 / np.sqrt(((body / axes) ** 2).sum(-1))


def random_turn(rng: np.random.Generator) -> np.ndarray:
    q, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    return q * np.sign(np.linalg.det(q))


def flat_turn(normal: np.ndarray, spin: float) -> np.ndarray:
    n = normal / np.linalg.norm(normal)
    a = np.cross(n, [0.3, 0.5, 0.8])
    a /= np.linalg.norm(a)
    b = np.cross(n, a)
    return np.array([np.cos(spin) * a + np.sin(spin) * b, np.cos(spin) * b - np.sin(spin) * a, n])


def quaternion(m: np.ndarray) -> tuple[int, ...]:
    """Whole numbers w, a, b, c whose quaternion gives (nearly) this rotation."""
    k = np.array(
        [
            [m[0, 0] + m[1, 1] + m[2, 2], m[2, 1] - m[1, 2], m[0, 2] - m[2, 0], m[1, 0] - m[0, 1]],
            [0, m[0, 0] - m[1, 1] - m[2, 2], m[0, 1] + m[1, 0], m[0, 2] + m[2, 0]],
            [0, 0, m[1, 1] - m[0, 0] - m[2, 2], m[1, 2] + m[2, 1]],
            [0, 0, 0, m[2, 2] - m[0, 0] - m[1, 1]],
        ]
    )
    _, vectors = np.linalg.eigh(k + np.triu(k, 1).T)
    return tuple(int(v) for v in np.round(vectors[:, -1] * 500))


def bends(rng: np.random.Generator) -> tuple[float, float]:
    first, second = np.round(rng.uniform(-0.14, 0.14, 2), 2)
    return float(first), float(second)


def with_light(table: list[Nucleus], rng: np.random.Generator) -> list[Nucleus]:
    """Choose mean intensities within the published ranges, then the brightness that gives them."""
    n = len(table)
    depth = np.array([1 - 0.3 * (v.centre[0] / STACK[0] + 0.5) for v in table])
    lamin = np.clip(rng.lognormal(np.log(430), 0.45, n) * depth, 95, 1090)
    dapi = np.clip(rng.lognormal(np.log(640), 0.28, n) * depth, 240, 1010)
    lamin[-1], dapi[-1] = 62, 255  # the polar body
    lamin[7], dapi[7] = 54, 985  # in mitosis: no envelope, dense chromatin
    table = [v._replace(lamin=200, dapi=400) for v in table]
    for _ in range(4):
        measured = measure(table)
        table = [
            v._replace(
                lamin=max(1, round(v.lamin * (lamin[i] - 45) / max(measured[i][1] - 45, 1))),
                dapi=max(1, round(v.dapi * (dapi[i] - 40) / max(measured[i][2] - 40, 1))),
            )
            for i, v in enumerate(table)
        ]
    return table


def measure(table: list[Nucleus]) -> list[tuple[float, float, float, bool]]:
    """Volume, mean of both channels and touching the border, of every nucleus as painted."""
    vars(blastocyst)["NUCLEI"] = table
    blastocyst._model.cache_clear()
    z, y, x = blastocyst.SHAPE[2:]
    whole = (0, y, 0, x)
    labels = np.stack([blastocyst.paint_labels(0, 0, k, *whole) for k in range(z)])
    light = [
        np.stack([blastocyst.paint(0, 0, c, k, *whole) for k in range(z)]).ravel() for c in (0, 1)
    ]
    index = np.maximum(labels.ravel().astype(np.int64) - blastocyst.FIRST_LABEL + 1, 0)
    count = np.maximum(np.bincount(index, minlength=len(table) + 1), 1)
    sums = [np.bincount(index, c, minlength=len(table) + 1) / count for c in light]
    inside = np.zeros_like(labels, bool)
    inside[1:-1, 1:-1, 1:-1] = True
    touching = np.unique(labels[~inside])
    voxel = float(np.prod(blastocyst.VOXEL_SIZE))
    return [
        (count[i] * voxel, sums[0][i], sums[1][i], blastocyst.FIRST_LABEL + i - 1 in touching)
        for i in range(1, len(table) + 1)
    ]


HEADER = '''\
"""Where the 48 nuclei of the synthetic blastocyst lie (see tools/pack_blastocyst.py)."""

from typing import NamedTuple


class Nucleus(NamedTuple):
    """One slightly bent ellipsoid, in micrometres (z, y, x) from the centre of the stack."""

    centre: tuple[float, float, float]
    axes: tuple[float, float, float]  # semi-axes
    turn: tuple[int, int, int, int]  # quaternion w, a, b, c of the rotation, any length
    bend: tuple[float, float]  # two cubic deformations
    lamin: int  # brightness of the envelope
    dapi: int  # brightness of the chromatin


NUCLEI = ['''


def main(seed: int) -> None:
    rng = np.random.default_rng(48)
    table = [Nucleus(c, a, t, bends(rng), 200, 400) for c, a, t in pack(seed)]
    volumes, _, _, touching = zip(*measure(table), strict=True)
    summary = f"median {np.median(volumes):.0f}, {min(volumes):.0f} to {max(volumes):.0f} um3"
    print(f"seed {seed}: {summary}, {sum(touching)} touch the border", file=sys.stderr)
    if sum(touching) != 16 or min(volumes) < 99 or max(volumes) > 2934:
        return
    print(HEADER)
    for row in with_light(table, rng):
        print(f"    Nucleus({', '.join(str(v) for v in row)}),")
    print("]")


if __name__ == "__main__":
    main(int(sys.argv[1]))
