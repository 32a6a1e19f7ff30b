"""The textures and patterns of the synthetic organoid, each made when it is first needed."""

from __future__ import annotations

from functools import cache

import numpy as np

from .noise import halve
from .organoid_sampling import Pixels, Texture
from .organoid_scatter import Scatter, bumps, scatter


def fractal(size: int, cells: int, octaves: int, seed: int) -> Pixels:
    """Sum noise of ever finer cells, each octave half as strong."""
    total = np.zeros((size, size), dtype=np.float32)
    strength = np.float32(0.5)
    for octave in range(octaves):
        total += strength * bumps(size, cells << octave, seed=seed + octave)
        strength *= np.float32(0.5)
    return total


@cache
def grain() -> Texture:
    """Fine grain of stained protein, and dark dots the size of ribosomes (25 nm); mean near 0."""
    image = np.float32(0.3) * bumps(1024, 256, seed=104)
    for seed in (101, 102):  # two grids on top of each other hide the grid
        image += np.float32(0.32) * bumps(1024, 32, seed=seed)
        image += np.float32(0.36) * bumps(1024, 64, seed=seed + 10)
    dots = np.zeros_like(image)
    for seed in (103, 105):
        dots += np.float32(0.7) * bumps(1024, 64, seed=seed)
        dots += np.float32(0.35) * bumps(1024, 128, seed=seed + 20)
    image -= np.float32(2.2) * np.clip(dots - np.float32(0.5), 0, np.float32(0.5))
    return Texture.of(image + np.float32(0.065), 1)


@cache
def sheets() -> Texture:
    """Distance from the nearest of many curved sheets in parallel, as in endoplasmic reticulum.

    The sheets are the contour lines of a smooth landscape, left out where another is low.
    """
    land = fractal(1024, 8, 2, seed=701)
    land = land + np.float32(0.06) * bumps(1024, 64, seed=705)
    slope_y = (np.roll(land, -1, 0) - np.roll(land, 1, 0)) * np.float32(0.5 / 8)
    slope_x = (np.roll(land, -1, 1) - np.roll(land, 1, 1)) * np.float32(0.5 / 8)
    slope = np.sqrt(slope_y * slope_y + slope_x * slope_x)
    height = land * np.float32(11)
    height = np.abs(height - np.floor(height) - np.float32(0.5))
    distance = height / np.maximum(slope * np.float32(11), np.float32(1e-4))
    patches = fractal(1024, 8, 3, seed=711)
    distance += np.clip((patches + np.float32(0.02)) * np.float32(1500), 0, 200)
    return Texture.of(np.minimum(distance, np.float32(200)), 8)


@cache
def cloud() -> Texture:
    """Soft clouds from 130 to 2000 nm, for uneven staining and wavy outlines."""
    return Texture.of(fractal(512, 4, 4, seed=201), 16)


@cache
def chromatin() -> Texture:
    """Clumps of chromatin: 0 where it is open, 1 where it is dense; 300 to 1000 nm."""
    image = fractal(512, 16, 3, seed=301)
    clumps = np.clip((image - np.float32(0.04)) * np.float32(4.0), 0, 1)
    return Texture.of(halve(np.repeat(np.repeat(clumps, 2, 0), 2, 1)), 16)


@cache
def mitochondria() -> Scatter:
    """Sausages some 450 nm across and up to 2000 nm long."""
    return scatter(600, 1024, 16, (170, 260), length=800, gap=140, reach=400, wobble=30, seed=401)


@cache
def vesicles() -> Scatter:
    """Round bags from 100 to 900 nm across."""
    return scatter(900, 512, 16, (55, 470), gap=60, reach=200, wobble=14, seed=501)


@cache
def virions() -> Scatter:
    """Spheres of 80 nm."""
    return scatter(900, 512, 4, (37, 42), gap=6, reach=60, wobble=1.5, seed=601)


@cache
def shed_cells() -> Scatter:
    """Rounded bodies of 2 to 8 micrometres; the square is as wide as the image."""
    return scatter(400, 128, 1024, (1200, 4200), gap=2500, reach=2400, wobble=500, seed=801)
