"""How large a pixel is, and which axes it has: ``coordinateTransformations`` and systems."""

from __future__ import annotations

from typing import Any

from .._formatting import as_written, plain_text
from .hints import as_number

Scale = tuple[float, ...]


def read_scale(
    holder: dict[str, Any], key: str, ndim: int | None, notes: list[str]
) -> Scale | None:
    """The size of a pixel that a list of transformations amounts to; None if they do not say.

    Parameters
    ----------
    holder : dict
        What has the key ``coordinateTransformations``: a level, or the image.
    key : str
        Where that is, for messages: "datasets[0]." or "".
    ndim : int, optional
        Number of axes, where it is known.
    notes : list of str
        Transformations that are not followed are added here.

    Raises
    ------
    ValueError
        The sentence names the key and what stands there.
    """
    listed = holder.get("coordinateTransformations")
    return _combine(listed, f"{key}coordinateTransformations", ndim, notes)


def _combine(listed: Any, key: str, ndim: int | None, notes: list[str]) -> Scale | None:
    """The product of all scales in a list of transformations."""
    if listed is not None and not isinstance(listed, list):
        raise ValueError(f"{key} is {as_written(listed)}, not a list")
    whole: Scale | None = None
    for number, transform in enumerate(listed or []):
        one = _scale_of(transform, f"{key}[{number}]", ndim, notes)
        whole = multiply(whole, one) if whole and one else one or whole
    return whole


def _scale_of(transform: Any, key: str, ndim: int | None, notes: list[str]) -> Scale | None:
    """What one transformation says of the size of a pixel."""
    if not isinstance(transform, dict) or not isinstance(transform.get("type"), str):
        raise ValueError(f"{key} is {as_written(transform)}, which has no type")
    kind = transform["type"]
    if kind == "identity":
        return (1.0,) * ndim if ndim else None
    if kind == "scale" and "path" not in transform:
        return _read_sizes(transform.get("scale"), f"{key}.scale", ndim, notes)
    if kind == "sequence":
        inside = transform.get("transformations")
        return _combine(inside, f"{key}.transformations", ndim, notes)
    if kind != "translation":
        notes.append(f"{key} of type {as_written(kind)}")
    sizes = _diagonal(transform.get("affine")) if kind == "affine" else None
    return sizes if sizes and ndim in (None, len(sizes)) else None


def _read_sizes(listed: Any, key: str, ndim: int | None, notes: list[str]) -> Scale:
    """The numbers of a scale. One that is negative mirrors the axis: its sign is left out."""
    numbers = [as_number(size) for size in listed] if isinstance(listed, list) else []
    sizes = tuple(abs(size) for size in numbers if size)
    if not sizes or len(sizes) != len(numbers):
        raise ValueError(f"{key} is {as_written(listed)}, not a list of finite sizes above 0")
    if ndim not in (None, len(sizes)):
        raise ValueError(f"{key} is {as_written(listed)}, but there are {ndim} axes")
    if any(size and size < 0 for size in numbers):
        notes.append(f"the minus sign in {key} {as_written(listed)}")
    return sizes


def _diagonal(matrix: Any) -> Scale | None:
    """The scale that an affine transformation amounts to, if it neither turns nor shears."""
    rows = matrix if isinstance(matrix, list) else []
    if not rows or not all(isinstance(row, list) and len(row) == len(rows) + 1 for row in rows):
        return None
    numbers = [[as_number(value) for value in row] for row in rows]
    sizes = [numbers[n][n] or 0.0 for n in range(len(rows))]
    rest = [row[m] for n, row in enumerate(numbers) for m in range(len(rows)) if m != n]
    straight = all(sizes) and all(value == 0 for value in rest)
    return tuple(abs(size) for size in sizes) if straight else None


def multiply(scale: Scale, other: Scale) -> Scale:
    """Two scales, one after the other.

    Raises
    ------
    ValueError
        They differ in length.
    """
    if len(scale) != len(other):
        raise ValueError(f"scales {list(scale)} and {list(other)} differ in length")
    return tuple(a * b for a, b in zip(scale, other, strict=True))


# OME-Zarr 0.6: coordinate systems


def own_system(
    multiscale: dict[str, Any], datasets: list[dict[str, Any]], notes: list[str]
) -> tuple[Any, str]:
    """Axes of the coordinate system that the transformations of the levels lead to, and their key.

    An image may have several systems, in any order; only the names tell which is its own.

    Raises
    ------
    ValueError
        There is no such system.
    """
    systems = multiscale.get("coordinateSystems")
    if not isinstance(systems, list) or not all(isinstance(one, dict) for one in systems):
        raise ValueError(f"coordinateSystems is {as_written(systems)}, not a list of systems")
    names = [system.get("name") for system in systems]
    wanted = [_output(level) for level in datasets]
    key = "datasets[0].coordinateTransformations[0].output"
    if any(name != wanted[0] for name in wanted):
        notes.append(f"the outputs {as_written(wanted[1:])} of the levels after the first")
    if wanted[0] in names:
        number = names.index(wanted[0])
    elif len(systems) == 1:
        number = 0
        notes.append(f"{key} {as_written(wanted[0])}")
    else:
        raise ValueError(
            f"{key} is {as_written(wanted[0])}, but the coordinateSystems are called "
            f"{as_written(names)}"
        )
    return systems[number].get("axes"), f"coordinateSystems[{number}].axes"


def _output(level: dict[str, Any]) -> Any:
    """Name of the system that the transformation of a level leads to; an object or a string."""
    outputs = [one.get("output") for one in _objects(level.get("coordinateTransformations"))]
    named = [one.get("name") if isinstance(one, dict) else one for one in outputs if one]
    return named[-1] if named else None


def scene_images(scene: Any) -> list[str]:
    """Paths of the images that a ``scene`` relates to each other, in the order of the metadata."""
    content: dict[str, Any] = scene if isinstance(scene, dict) else {}
    found: list[str] = []
    for transform in _objects(content.get("coordinateTransformations")):
        for end in (transform.get("input"), transform.get("output")):
            path = end.get("path") if isinstance(end, dict) else None
            if isinstance(path, str) and path.strip("/.") and plain_text(path) not in found:
                found.append(plain_text(path))
    return found


def _objects(listed: Any) -> list[dict[str, Any]]:
    """The objects in a list; nothing if it is no list."""
    return [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
