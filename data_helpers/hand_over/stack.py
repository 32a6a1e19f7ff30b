"""A stack through CellProfiler, one plane at a time: from pixels to labels."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from .._progress import progress_bar
from ..errors import ToolError
from .installed import CELLPROFILER, python_of
from .learned import SAME_OBJECT, check
from .measure import _largest, _save, _settings, _start


def segment_with_cellprofiler(
    stack: np.ndarray,
    *,
    diameter: tuple[int, int] = (10, 40),
    declump: str = "Intensity",
    keep_border: bool = False,
    threshold: str = "Minimum Cross-Entropy",
    lowest_threshold: float = 0,
    timeout: float = 120,
) -> np.ndarray:
    """Segment a stack with CellProfiler's IdentifyPrimaryObjects.

    CellProfiler 5 runs in its own environment, and gets one plane after another. It knows nothing
    of the planes above and below. Two outlines in neighbouring planes become one object if they
    overlap by more than half, the same rule as in `segment_with_stardist`.

    Parameters
    ----------
    stack : numpy.ndarray
        One channel, axes Z, Y, X: whole numbers, or fractions from 0 to 1.
    diameter, declump, keep_border, threshold
        As in `measure_plate`; what is left out is as CellProfiler suggests it.
    lowest_threshold : float
        The threshold of a plane is never below this pixel value. Without it, CellProfiler finds
        objects in the noise of a plane that has no nuclei.
    timeout : float
        Seconds that CellProfiler may take to start, and then for each plane.

    Returns
    -------
    numpy.ndarray
        Labels, int32, in the shape of the stack; 0 is background.

    Raises
    ------
    ToolError
        CellProfiler isn't installed (the message has the command to type), is another version,
        crashed (with what it said last), or took too long; or an argument is none that it takes.
    OmeZarrError
        If `stack` isn't a stack.
    """
    check(stack)
    settings = _settings(diameter, declump, keep_border, threshold)
    largest = _largest(stack.dtype)
    if not 0 <= lowest_threshold < largest:
        raise ToolError(
            f"lowest_threshold is a pixel value from 0 to {largest:,g}, not {lowest_threshold!r}."
        )
    settings["lowest_threshold"] = lowest_threshold / largest
    python = python_of(CELLPROFILER)
    labels = np.zeros(stack.shape, np.int32)
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        _start(python, folder, timeout) as worker,
        progress_bar(len(stack), "planes") as bar,
    ):
        settings["labels"] = str(Path(folder, "labels.npy"))
        for z, plane in enumerate(stack):
            order = settings | {"planes": _save(plane[np.newaxis], folder)}
            worker.ask(order, timeout, f"it outlined plane {z}")
            labels[z] = np.load(settings["labels"], allow_pickle=False)
            bar.update(1)
    return link_planes(labels)


def link_planes(outlines: np.ndarray) -> np.ndarray:
    """Make objects in 3D of the outlines in each plane, which have numbers of their own there.

    An outline goes on with the number of one in the plane before if they share more than half of
    the pixels that either covers (`SAME_OBJECT`); otherwise it begins an object. No two outlines
    of a plane can share more than half with the same one, so none is merged with its neighbour.

    Parameters
    ----------
    outlines : numpy.ndarray
        Axes Z, Y, X, whole numbers; 0 is background.

    Returns
    -------
    numpy.ndarray
        Labels, int32, in the same shape, numbered from 1 without gaps.
    """
    labels = np.zeros(outlines.shape, np.int32)
    before, objects = np.zeros(outlines.shape[1:], np.int32), 0
    for z, plane in enumerate(outlines):
        for number in np.unique(plane[plane > 0]):
            outline = plane == number
            beneath = before[outline]
            likely = np.bincount(beneath[beneath > 0], minlength=1).argmax()
            same = before == likely
            if likely and (outline & same).sum() > SAME_OBJECT * (outline | same).sum():
                labels[z][outline] = likely
            else:
                objects += 1
                labels[z][outline] = objects
        before = labels[z]
    return labels
