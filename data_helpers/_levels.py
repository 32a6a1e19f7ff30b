"""The levels of an image, as a list that says which levels there are."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

from .errors import LevelNotFoundError

Level = TypeVar("Level")


class Levels(list[Level]):
    """A list of levels, finest first, whose error for a wrong index helps.

    Parameters
    ----------
    levels : iterable
        The levels, finest first.
    title : str
        What the error calls the image.
    """

    def __init__(self, levels: Iterable[Level], title: str) -> None:
        super().__init__(levels)
        self._title = title

    def __getitem__(self, index: Any) -> Any:
        """One level, or a plain list of several for a slice.

        Raises
        ------
        LevelNotFoundError
            There are fewer levels; it is an IndexError, too.
        """
        try:
            return super().__getitem__(index)
        except IndexError:
            last = len(self) - 1
            exist = f"levels 0 (the finest) to {last} (the coarsest)" if last else "only level 0"
            raise LevelNotFoundError(
                f"{self._title} has no level {index}. It has {exist}."
            ) from None

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (list(self), self._title)
