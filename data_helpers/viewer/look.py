"""Which plane the viewer shows, and how."""

from __future__ import annotations

from dataclasses import dataclass

from .label_paint import OUTLINED, Drawn


@dataclass(frozen=True)
class Look:
    """Which plane to show, and how.

    Attributes
    ----------
    t, z : int
        Time and depth.
    channels : tuple
        For each visible channel its number and the values to show as black and as full colour.
    labels : bool
        Whether to outline the labels.
    exact : bool
        Whether a tile keeps every value, because its pixels are shown enlarged.
    gammas : tuple of float
        For each visible channel its gamma; those of the metadata if left out.
    colors : tuple of str
        The same for colours, as "00FF00".
    drawn : Drawn
        How the labels are drawn.
    chosen : int
        The label to highlight; 0 for none.
    project : int
        If not 0, the maximum over depth is shown instead of a plane, of every so manyth layer of
        chunks; labels are hidden then, since they overlap.
    """

    t: int
    z: int
    channels: tuple[tuple[int, float, float], ...]
    labels: bool = False
    exact: bool = False
    gammas: tuple[float, ...] = ()
    colors: tuple[str, ...] = ()
    drawn: Drawn = OUTLINED
    chosen: int = 0
    project: int = 0
