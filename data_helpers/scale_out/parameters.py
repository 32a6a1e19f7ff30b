"""The parameters of a run, as they are written down beside its results."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import OmeZarrError


def plain(value: Any, what: str) -> Any:
    """A parameter as JSON keeps it.

    Raises
    ------
    OmeZarrError
        It cannot be written down; `what` names it.
    """
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, tuple | list):
        return [plain(item, what) for item in value]
    if isinstance(value, dict):
        return {str(key): plain(item, what) for key, item in value.items()}
    raise OmeZarrError(
        f"{what} holds a {type(value).__name__}; parameters are numbers, strings, lists and dicts, "
        "because they are written down beside the results: give those that it is made from."
    )
