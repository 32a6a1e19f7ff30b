"""What each axis of an image is for: its role, found by its type first and by its name second."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

BY_TYPE = {"time": "t", "channel": "c"}
"""Axis types of OME-Zarr that say what an axis is for; "space" leaves open which of three."""

BY_NAME = {"t": "t", "time": "t", "c": "c", "channel": "c", "z": "z", "y": "y", "x": "x"}
"""Names, in lower case, that say it too."""


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
    found: dict[int, str] = {}

    def give(role: str, number: int) -> None:
        if role and role not in found.values() and number not in found:
            found[number] = role

    axes = range(len(names))
    space = [
        n for n in axes if kinds[n] == "space" or (not kinds[n] and told[n] in ("z", "y", "x"))
    ]
    for by_name in (True, False):  # of two channel axes, "c" is the one that is called so
        for number in axes:
            role = BY_TYPE.get(kinds[number] or "", "")
            if role and (not by_name or told[number] == role):
                give(role, number)
    wanted = "xy" if len(space) == 2 else "xyz"
    for number in space:
        if told[number] in tuple(wanted):
            give(told[number], number)
    _fill(wanted, reversed(space), found)
    for number in axes:
        if kinds[number] not in (*BY_TYPE, "space"):
            give(told[number], number)
    unknown = [number for number in axes if kinds[number] is None and not told[number]]
    _fill("xy", reversed(unknown), found)
    for number in axes:
        taken = names[number] in found.values()
        found.setdefault(number, f"axis {number}" if taken else names[number])
    return tuple(found[number] for number in axes)


def _fill(roles: Sequence[str], numbers: Iterable[int], found: dict[int, str]) -> None:
    """Give the roles that are still free, the first one to the first axis without a role."""
    free = [number for number in numbers if number not in found]
    missing = [role for role in roles if role not in found.values()]
    found.update(zip(free, missing, strict=False))
