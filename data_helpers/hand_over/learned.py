"""Segments a stack with a network that others trained: cellpose 4, or stardist.

Both functions take a stack and return labels, ``segment(stack) -> labels``, like every segment
function of this course. So one can take the place of another, and `compare_labels` scores them all.

Both go through the stack plane by plane. Two outlines in neighbouring planes become one object if
they overlap by more than half (`SAME_OBJECT`).

Neither package belongs to this course: each is large, and is best kept in an environment of its
own. ``docs/tools/learned.md`` says how, and what was tried.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from ..errors import OmeZarrError, ToolError
from .weights import CELLPOSE, STARDIST, ensure

SAME_OBJECT = 0.5  # intersection over union of two outlines in neighbouring planes


def segment_with_cellpose(
    stack: np.ndarray, *, model: Any = None, download: bool = False
) -> np.ndarray:
    """Segment a stack with cellpose 4 and its network ``cpsam_v2``.

    Takes about 4 GB of memory. On a graphics card it takes seconds; on two processor cores we
    measured 24 s for each plane of 210 × 253 pixels.

    Parameters
    ----------
    stack : numpy.ndarray
        One channel, axes Z, Y, X, any numbers.
    model : cellpose.models.CellposeModel, optional
        A network of yours, or one that is loaded already. Without it the network is loaded anew
        each time, in about 8 s.
    download : bool, optional
        Whether the network may be fetched if it isn't on this computer: 1.2 GB, once, into
        cellpose's own folder. Nothing is fetched otherwise.

    Returns
    -------
    numpy.ndarray
        Labels, int32, in the shape of the stack; 0 is background.

    Raises
    ------
    ToolError
        If cellpose 4 isn't installed; if the network isn't here and `download` is False, or if it
        can't be fetched.
    OmeZarrError
        If `stack` isn't a stack.
    """
    check(stack)
    if model is None:
        with needed("cellpose", "4", "pip install 'cellpose>=4,<5'", "6 GB"):
            from cellpose.models import CellposeModel  # type: ignore[import-not-found]
        network = ensure(CELLPOSE, download)
        model = CellposeModel(gpu=True, pretrained_model=str(network))
    masks = model.eval(stack, z_axis=0, stitch_threshold=SAME_OBJECT)[0]
    return np.asarray(masks, np.int32).reshape(stack.shape)  # cellpose drops axes of length 1


def segment_with_stardist(
    stack: np.ndarray, *, model: Any = None, download: bool = False
) -> np.ndarray:
    """Segment a stack with stardist and its network ``2D_versatile_fluo``, made for nuclei.

    Parameters
    ----------
    stack : numpy.ndarray
        One channel, axes Z, Y, X, any numbers. Each plane is scaled by itself, from its 1st to its
        99.8th percentile.
    model : stardist.models.StarDist2D, optional
        A network of yours, or one that is loaded already.
    download : bool, optional
        Whether the network may be fetched if it isn't on this computer: about 6 MB, once, into
        ``~/.stardist/models``. Nothing is fetched otherwise.

    Returns
    -------
    numpy.ndarray
        Labels, int32, in the shape of the stack; 0 is background.

    Raises
    ------
    ToolError
        If stardist 0.9 or TensorFlow isn't installed; if the network isn't here and `download` is
        False, or if it can't be fetched.
    OmeZarrError
        If `stack` isn't a stack.
    """
    check(stack)
    with needed("stardist", "0.9", "pip install 'stardist>=0.9,<0.10' tensorflow", "2 GB"):
        from csbdeep.utils import normalize  # type: ignore[import-not-found]
        from stardist.matching import group_matching_labels  # type: ignore[import-not-found]
        from stardist.models import StarDist2D  # type: ignore[import-not-found]
    if model is None:
        network = ensure(STARDIST, download)
        model = StarDist2D(None, name=network.name, basedir=str(network.parent))
    planes = [model.predict_instances(normalize(plane, 1, 99.8))[0] for plane in stack]
    if len(planes) > 1:
        planes = group_matching_labels(planes, thresh=SAME_OBJECT)
    return np.asarray(planes, np.int32)


def check(stack: np.ndarray) -> None:
    """Refuse what is not a stack, before anything large is loaded."""
    if not isinstance(stack, np.ndarray) or stack.ndim != 3 or not stack.size:
        shape = getattr(stack, "shape", None)
        found = f"of shape {shape}" if shape else f"a {type(stack).__name__}"
        raise OmeZarrError(
            f"A stack is needed, a NumPy array with the axes z, y, x, and this is {found}: pick "
            "one time and one channel, and .compute() it if it is lazy."
        )


@contextmanager
def needed(package: str, wanted: str, install: str, size: str) -> Iterator[None]:
    """Import from a package whose version begins with `wanted`, or say what to install."""
    advice = f"make an environment of its own for it (about {size}), and run there: {install}."
    try:
        found = version(package)
        if not f"{found}.".startswith(f"{wanted}."):
            raise ToolError(
                f"{package} {wanted} is needed, and {package} {found} is installed here, whose "
                f"calls may differ: {advice}"
            )
        yield
    except (PackageNotFoundError, ModuleNotFoundError) as error:
        missing = (error.name or package).partition(".")[0]
        raise ToolError(
            f"{package} {wanted} is needed, and {missing} is not installed in this Python: {advice}"
        ) from None
    except (ImportError, RuntimeError) as error:
        raise ToolError(
            f"{package} is installed here, but it does not start ({type(error).__name__}: "
            f"{str(error).strip().splitlines()[0]}): {advice}"
        ) from None
