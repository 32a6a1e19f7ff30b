"""The keys of a bucket in S3's order, without ever storing them all.

One level of the embryo movie has 1,051,232 chunks. Their keys are a product: every combination
of one number per dimension. S3 lists keys in the order of their bytes, where ``10`` comes before
``2``. The separators ``.`` and ``/`` both sort before the digits, so the sorted keys of an array
are the product of the *sorted number strings* of each dimension, and the n-th key follows from n
by division. With that, ``bisect`` finds a prefix among millions of keys in some thirty steps.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate
from typing import Protocol


class SortedKeys(Protocol):
    """Keys in byte order: what ``bisect`` needs, a length and the n-th key."""

    def __len__(self) -> int: ...

    def __getitem__(self, n: int, /) -> str: ...


class ChunkKeys:
    """The sorted chunk keys of one array.

    Parameters
    ----------
    folder : str
        Key of the array with a slash at the end, such as ``"zarr/v0.1/6001247.zarr/0/"``.
    grid : tuple of int
        Number of chunks along each axis.
    separator : str
        ``"."`` or ``"/"``, between the numbers of a key.
    """

    def __init__(self, folder: str, grid: tuple[int, ...], separator: str) -> None:
        self.folder = folder
        self.separator = separator
        self._numbers = [sorted(str(i) for i in range(count)) for count in grid]
        self._length = math.prod(grid)

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, n: int) -> str:
        return self.folder + self.separator.join(self._parts(n))

    def chunk_index(self, n: int) -> tuple[int, ...]:
        """Return the position in the chunk grid that the n-th key stands for."""
        return tuple(int(part) for part in self._parts(n))

    def _parts(self, n: int) -> list[str]:
        if not 0 <= n < self._length:
            raise IndexError(n)
        parts = []
        for numbers in reversed(self._numbers):
            n, i = divmod(n, len(numbers))
            parts.append(numbers[i])
        return parts[::-1]


class JoinedKeys:
    """Several key sequences one after the other, as one sorted sequence.

    Parameters
    ----------
    sequences : iterable of SortedKeys
        Non-empty; put in order of their first key. Their ranges must not overlap.
    """

    def __init__(self, sequences: Iterable[SortedKeys]) -> None:
        self.sequences = sorted(sequences, key=lambda keys: keys[0])
        self._starts = [0, *accumulate(len(keys) for keys in self.sequences)]

    def __len__(self) -> int:
        return self._starts[-1]

    def __getitem__(self, n: int) -> str:
        sequence, offset = self.locate(n)
        return self.sequences[sequence][offset]

    def locate(self, n: int) -> tuple[int, int]:
        """Return which sequence holds the n-th key, and where in that sequence it is."""
        if not 0 <= n < len(self):
            raise IndexError(n)
        sequence = bisect_right(self._starts, n) - 1
        return sequence, n - self._starts[sequence]


@dataclass(frozen=True)
class Page:
    """One page of a listing: key positions, common prefixes, and where the next page starts."""

    positions: list[int]
    prefixes: list[str]
    following: int | None


def list_page(
    keys: SortedKeys, prefix: str = "", delimiter: str = "", first: int = 0, limit: int = 1000
) -> Page:
    """List at most `limit` keys and common prefixes, from position `first` on.

    Keys with the delimiter somewhere after the prefix are rolled up into one common prefix, and
    skipped in one step however many there are.
    """
    positions: list[int] = []
    prefixes: list[str] = []
    position = max(first, bisect_left(keys, prefix))
    end = skip(keys, prefix, position)
    while position < end and len(positions) + len(prefixes) < limit:
        key = keys[position]
        cut = key.find(delimiter, len(prefix)) if delimiter else -1
        if cut < 0:
            positions.append(position)
            position += 1
        else:
            prefixes.append(key[: cut + len(delimiter)])
            position = skip(keys, prefixes[-1], position)
    return Page(positions, prefixes, position if limit and position < end else None)


def skip(keys: SortedKeys, prefix: str, position: int) -> int:
    """Return the first position, from `position` on, whose key does not start with `prefix`."""
    return bisect_left(keys, True, lo=position, key=lambda key: not key.startswith(prefix))


def find(keys: SortedKeys, key: str) -> int | None:
    """Return the position of a key, or None if there is no such key."""
    position = bisect_left(keys, key)
    return position if position < len(keys) and keys[position] == key else None
