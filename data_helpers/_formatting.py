"""Numbers and errors as people say them: sizes, bytes, lengths, and one line for an error."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence


def format_shape(sizes: Sequence[int]) -> str:
    """Sizes as people say them: ``format_shape((1, 1024))`` is "1 × 1,024"."""
    return " × ".join(f"{size:,}" for size in sizes)


def format_bytes(count: float) -> str:
    """Bytes as people say them: ``format_bytes(54_600_000)`` is "54.6 MB"."""
    units = ["TB", "GB", "MB", "kB", "bytes"]
    while count >= 999.5 and len(units) > 1:  # what would be rounded to 1000
        count, _ = count / 1000, units.pop()
    return f"{count:.0f} bytes" if units[-1] == "bytes" else f"{count:.3g} {units[-1]}"


def format_value(value: float) -> str:
    """A pixel value as people say it: whole numbers in full, others with six digits."""
    if isinstance(value, int) or (abs(value) < 1e15 and value == int(value)):
        return f"{int(value):,}"
    return f"{value:,.6g}"


def round_length(longest: float) -> float:
    """The largest of 1, 2, 5, 10, 20, 50 and so on that is not longer: for a scale bar."""
    power = 10.0 ** math.floor(math.log10(longest))
    return max(step * power for step in (1, 2, 5) if step * power <= longest)


def format_length(micrometers: float) -> str:
    """A length as people say it: ``format_length(0.25)`` is "250 nm"."""
    for factor, unit in ((1e-4, "cm"), (1e-3, "mm"), (1.0, "µm")):
        if micrometers * factor >= 1:
            return f"{micrometers * factor:.3g} {unit}"
    return f"{micrometers * 1e3:.3g} nm"


def one_line(error: BaseException) -> str:
    """What an error says, on one line; libraries also write several."""
    return " ".join(str(error).split()) or type(error).__name__


def as_written(value: object) -> str:
    """A value of the metadata as it stands there, on one line, and cut short."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    text = " ".join(text.encode("utf-8", "backslashreplace").decode("utf-8").split())
    return text if len(text) <= 80 else f"{text[:77]}..."
