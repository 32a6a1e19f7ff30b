"""The axes of an image: their names, their units, and what each is for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from .._formatting import as_written, plain_text

MOST_AXES = 5
MOST_SPACE_AXES = 3

BY_TYPE = {"time": "t", "channel": "c"}
"""Axis types of OME-Zarr that say what an axis is for; "space" leaves open which of three."""

BY_NAME = {"t": "t", "time": "t", "c": "c", "channel": "c", "z": "z", "y": "y", "x": "x"}
"""Names, in lower case, that say it too."""

SPACE = ("x", "y", "z")
"""Roles of axes of space; without telling names, they are given from the last axis on."""


class Axes(NamedTuple):
    """Name, unit and role of each axis, in storage order."""

    names: tuple[str, ...]
    units: tuple[str | None, ...]
    roles: tuple[str, ...]


def read_axes(listed: Any, key: str, notes: list[str]) -> Axes:
    """Understand a list of axes: names only, as in 0.3, or objects with type and unit.

    Some label images of the IDR spell the key "units", so both spellings are taken.

    Parameters
    ----------
    listed : object
        What stands there.
    key : str
        Where it stands, for messages: "axes".
    notes : list of str
        Units that cannot be understood are added here.

    Raises
    ------
    ValueError
        These are not the axes of an image. The sentence names the key and what stands there.
    """
    if not isinstance(listed, list):
        raise ValueError(f"{key} is {as_written(listed)}, not a list")
    axes = [{"name": axis} if isinstance(axis, str) else axis for axis in listed]
    for number, axis in enumerate(axes):
        if not isinstance(axis, dict) or not isinstance(axis.get("name"), str | int):
            raise ValueError(f"{key}[{number}] is {as_written(axis)}, which has no name")
    names = [plain_text(axis["name"]) for axis in axes]
    if len(set(names)) < len(names):
        raise ValueError(f"{key} are {as_written(names)}, of which two have the same name")
    if not 2 <= len(names) <= MOST_AXES:
        raise ValueError(f"{key} are {as_written(names)}, but an image has 2 to {MOST_AXES}")
    kinds = [kind if isinstance(kind := axis.get("type"), str) else None for axis in axes]
    roles = roles_of(names, kinds)
    of_space = sum(kind == "space" for kind in kinds)
    if not {"y", "x"} <= set(roles) or of_space > MOST_SPACE_AXES:
        raise ValueError(
            f"{key} are {as_written(names)} of types {as_written(kinds)}, but 2 or 3 are of space"
        )
    units = [_read_unit(axis, f"{key}[{number}]", notes) for number, axis in enumerate(axes)]
    return Axes(tuple(names), tuple(units), roles)


def _read_unit(axis: dict[str, Any], key: str, notes: list[str]) -> str | None:
    unit = axis.get("unit") or axis.get("units")
    if unit and not isinstance(unit, str):
        notes.append(f"{key}.unit {as_written(unit)}")
        return None
    return plain_text(unit) if unit else None


def roles_of(names: Sequence[str], kinds: Sequence[str | None]) -> tuple[str, ...]:
    """The role of each axis: "t", "c", "z", "y", "x", or its own name for anything else.

    No role is given twice. Among axes of space without a telling name the last is "x", the one
    before it "y", and the one before that "z"; two axes of space are "y" and "x" in any case.

    Parameters
    ----------
    names : sequence of str
        Names of the axes in storage order.
    kinds : sequence of (str or None)
        Their types, "time", "channel" or "space"; None where the metadata do not say.
    """
    told = [BY_NAME.get(name.lower(), "") for name in names]
    typed = [BY_TYPE.get(kind or "", "") for kind in kinds]
    axes = range(len(names))
    space = [n for n in axes if kinds[n] == "space" or (not kinds[n] and told[n] in SPACE)]
    wanted = SPACE if len(space) > 2 else SPACE[:2]
    untold = [n for n in axes if not kinds[n] and not told[n]]
    claims = [  # the strongest first
        *((typed[n], n) for n in axes if typed[n] and typed[n] == told[n]),
        *((typed[n], n) for n in axes if typed[n]),
        *((told[n], n) for n in space if told[n] in wanted),
        *((role, n) for role in wanted for n in reversed(space)),
        *((told[n], n) for n in axes if told[n] and kinds[n] != "space"),
        *((role, n) for role in SPACE[:2] for n in reversed(untold)),
        *((name, n) for n, name in enumerate(names)),
    ]
    found: dict[int, str] = {}
    for role, number in claims:
        if role not in found.values():
            found.setdefault(number, role)
    return tuple(found.get(n, f"axis {n}") for n in axes)
