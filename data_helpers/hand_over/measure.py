"""A plate through CellProfiler, one well at a time: from planes to a table."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from .._display.planes import place, read_picture
from .._pixel_size import pixel_size
from .._progress import progress_bar
from .._warning import warn
from ..errors import ImageNotFoundError, ToolError
from ..multiscale import Multiscale
from ..plate import Plate
from .installed import CELLPROFILER, python_of
from .tool_process import ToolProcess

WORKER = Path(__file__).with_name("cellprofiler_worker.py")
VERSION = "5."  # the scripts of CellProfiler 4 have other names
DECLUMP = ("Intensity", "Shape", "None")
Row = dict[str, float | str]
THRESHOLDS = ("Minimum Cross-Entropy", "Otsu", "Robust Background")


def measure_plate(
    plate: Plate,
    wells: Iterable[str] | None = None,
    *,
    nuclei: int = 0,
    marker: int | None = 1,
    field: int = 0,
    level: int | str = 0,
    diameter: tuple[int, int] = (10, 40),
    declump: str = "Intensity",
    keep_border: bool = False,
    threshold: str = "Minimum Cross-Entropy",
    stained_above: float = 300,
    timeout: float = 120,
) -> pd.DataFrame:
    """Count the nuclei of each well with CellProfiler, and the stained ones among them.

    One well after another is read (two planes) and handed to a pipeline of CellProfiler 5, which
    runs in its own environment: IdentifyPrimaryObjects, MeasureObjectSizeShape,
    MeasureObjectIntensity and ClassifyObjects. At no time are the pixels of more than one well in
    memory. What isn't an argument here is as CellProfiler suggests it.

    Parameters
    ----------
    plate : Plate
        A plate, as `open_plate` opens it.
    wells : iterable of str, optional
        Names of wells, such as ``["A/1", "D/12"]``; all wells if left out.
    nuclei, marker : int
        Channels with the nuclei, and with the stain. No stain is measured if `marker` is None.
    field : int
        Which image of each well.
    level : int or str
        Which level of each image; 0 is the finest. Along z and t it is the image's default.
    diameter : tuple of int
        Smallest and largest diameter of a nucleus, in pixels of this level. What is smaller or
        larger is left out.
    declump : str
        How touching nuclei are told apart: by "Intensity" or by "Shape"; "None" leaves them.
    keep_border : bool
        Whether nuclei that touch the border of the picture count.
    threshold : str
        How the threshold between nuclei and background is found: "Minimum Cross-Entropy", "Otsu"
        or "Robust Background".
    stained_above : float
        A nucleus counts as stained if the mean of `marker` in it is larger (in pixel values).
    timeout : float
        Seconds that CellProfiler may take to start, and then for each well.

    Returns
    -------
    pandas.DataFrame
        A row for each well: "well", "row", "column", "nuclei", "stained", "percent_stained", and
        "area_um2", the median area of a nucleus in µm² (NaN where the size of a pixel is unknown).
        A well that is listed, but isn't there, is a row of NaN, and a warning names it.

    Raises
    ------
    ToolError
        CellProfiler isn't installed (the message has the command to type), is another version,
        crashed (with what it said last), or took too long; or an argument is none that it takes.
    ImageNotFoundError
        One of `wells` isn't there.
    OmeZarrError
        A well can't be read.
    """
    settings = _settings(diameter, declump, keep_border, threshold)
    names = _names(plate, wells)
    channels = [nuclei] if marker is None else [nuclei, marker]
    python = python_of(CELLPROFILER)
    rows: list[Row] = []
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        _start(python, folder, timeout) as worker,
        progress_bar(len(names), "wells") as bar,
    ):
        for name in names:
            image = _image(plate, name, field, asked_for=wells is not None)
            rows.append({"well": name})
            if image:
                planes = _planes(image, level, channels)
                order = settings | {"stained_above": stained_above / _largest(planes.dtype)}
                order["planes"] = _save(planes, folder)
                found = worker.ask(order, timeout, f"it measured well {name}")
                rows[-1] |= _row(found, pixel_size(image, level))
            bar.update(1)
    return _table(rows, plate, marker is not None)


def _settings(
    diameter: Sequence[int], declump: str, keep_border: bool, threshold: str
) -> dict[str, Any]:
    """The arguments as the worker takes them; an error if it would not."""
    try:
        smallest, largest = (int(pixels) for pixels in diameter)
    except (TypeError, ValueError):
        smallest, largest = 0, 0
    if not 0 < smallest < largest:
        raise ToolError(
            "diameter is the smallest and the largest diameter of a nucleus in pixels, such as "
            f"(14, 45), not {diameter!r}."
        )
    for name, given, known in (("declump", declump, DECLUMP), ("threshold", threshold, THRESHOLDS)):
        if given not in known:
            raise ToolError(f"{name} is {', '.join(map(repr, known))}, but not {given!r}.")
    return {
        "diameter": [smallest, largest],
        "declump": declump,
        "keep_border": bool(keep_border),
        "threshold": threshold,
    }


def _names(plate: Plate, wells: Iterable[str] | None) -> list[str]:
    """Names of the wells to measure."""
    if not isinstance(plate, Plate):
        raise ToolError(
            f"measure_plate takes a plate, as open_plate opens it, not {type(plate).__name__}."
        )
    if isinstance(wells, str):
        raise ToolError(f"wells is a list of names: write wells=[{wells!r}].")
    return plate.wells if wells is None else [str(name) for name in wells]


def _start(python: Path, folder: str, timeout: float) -> ToolProcess:
    """Start CellProfiler; return when it is ready."""
    scratch = dict.fromkeys(("TMPDIR", "TEMP", "TMP"), folder)  # for its files of measurements
    worker = ToolProcess(CELLPROFILER.shown, [str(python), "-I", str(WORKER)], scratch)
    try:
        version = worker.answer(timeout, "it started")["version"]
        if not version.startswith(VERSION):
            raise ToolError(
                f"The Python {python} has {f'CellProfiler {version}' if version else 'none'}, and "
                f"this course's pipeline is for CellProfiler {VERSION}x: type "
                f"'{CELLPROFILER.command}' in the tutorial's folder, and unset "
                f"{CELLPROFILER.variable}."
            )
        worker.answer(timeout, "it started")
    except BaseException:
        worker.stop()
        raise
    return worker


def _image(plate: Plate, name: str, field: int, asked_for: bool) -> Multiscale | None:
    """An image of a well; None, and a warning, if a well that nobody asked for isn't there."""
    try:
        return plate.image(name, field=field)
    except ImageNotFoundError as error:
        if asked_for:
            raise
        warn(f"{error} Its row of the table is empty.")
        return None


def _planes(image: Multiscale, level: int | str, channels: Sequence[int]) -> np.ndarray:
    """Read the channels of a well, shape (channels, y, x); dtype as stored."""
    index = image.index(level)
    whole = slice(None)
    read = [
        read_picture(image, index, place(image, index, {"c": channel}), whole, whole)
        for channel in channels
    ]
    return np.stack(read)


def _largest(dtype: np.dtype) -> float:
    """The value that CellProfiler takes for 1; floating-point images hold 0 to 1 already."""
    return float(np.iinfo(dtype).max) if dtype.kind in "iu" else 1.0


def _save(planes: np.ndarray, folder: str) -> str:
    """Write planes, scaled to 0 to 1, where the worker finds them; each well over the last."""
    path = Path(folder, "planes.npy")
    np.save(path, planes.astype(np.float32) / np.float32(_largest(planes.dtype)))
    return str(path)


def _row(found: dict[str, Any], size: tuple[float, float] | None) -> Row:
    """What goes into the table of what CellProfiler measured."""
    row: Row = {"nuclei": found["nuclei"]}
    if "stained" in found:
        percent = found["percent"]
        row["stained"] = found["stained"]
        row["percent_stained"] = np.nan if percent is None else round(percent, 2)
    known = size is not None and found["area"] is not None
    row["area_um2"] = round(found["area"] * size[0] * size[1], 2) if known and size else np.nan
    return row


def _table(rows: list[Row], plate: Plate, marker: bool) -> pd.DataFrame:
    """The rows as a table, with the place of each well in the plate."""
    measured = ["nuclei", *(["stained", "percent_stained"] if marker else []), "area_um2"]
    table = pd.DataFrame(rows, columns=["well", *measured])
    places = [str(name).split("/") for name in table["well"]]
    numbers = all(name.isdecimal() for name in plate.columns)
    table.insert(1, "row", [row for row, _ in places])
    table.insert(2, "column", [int(column) if numbers else column for _, column in places])
    return table
