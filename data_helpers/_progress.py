"""A progress bar that looks the same at the end of every run."""

from __future__ import annotations

import sys

from tqdm import tqdm


def progress_bar(total: int, what: str) -> tqdm:
    """A bar that counts to `total`: use it in a ``with`` block, and call its `update(n)`.

    It says no rates and no seconds, so that a notebook run twice holds the same text.
    """
    return tqdm(
        total=total,
        disable=not total,
        file=sys.stdout,
        ascii=" #",
        ncols=60,
        mininterval=0,
        bar_format=what + " |{bar}| {n_fmt} of {total_fmt}",
    )
