"""Numbers as people say them: bytes and sizes in words."""

from __future__ import annotations

from collections.abc import Sequence


def human_shape(sizes: Sequence[int]) -> str:
    """Sizes as people say them: ``human_shape((1, 1024))`` is "1 × 1,024"."""
    return " × ".join(f"{size:,}" for size in sizes)


def human_bytes(count: float) -> str:
    """Bytes as people say them: ``human_bytes(54_600_000)`` is "54.6 MB"."""
    units = ["TB", "GB", "MB", "kB", "bytes"]
    while count >= 999.5 and len(units) > 1:  # what would be rounded to 1000
        count, _ = count / 1000, units.pop()
    return f"{count:.0f} bytes" if units[-1] == "bytes" else f"{count:.3g} {units[-1]}"
