"""The door where every metadata document enters: JSON, an object, and not nested without end.

What stands in a document is checked by whoever reads it, key by key: see `metadata` and
`_plate.metadata`. Where a key stands twice, the last one counts, as in every other reader.
"""

from __future__ import annotations

import json
from typing import Any

from ..errors import MalformedMetadataError

DEEPEST = 100
"""Objects and lists inside one another; images need about twelve."""


def parse_json(data: bytes, where: str) -> dict[str, Any]:
    """The JSON object that a metadata document holds.

    Raises
    ------
    MalformedMetadataError
        It is no JSON, or no object; its status is 200 for a web page.
    """
    try:
        document = json.loads(data)
    except ValueError as error:
        malformed = MalformedMetadataError(
            f"The metadata at {where} are not valid JSON ({error}); a login page or a broken "
            "upload looks like this: open the address in a browser to see."
        )
        malformed.status = 200 if data.lstrip().startswith(b"<") else None
        raise malformed from None
    except RecursionError:
        raise _too_deep(where) from None
    if _is_deep(document):
        raise _too_deep(where)
    if not isinstance(document, dict):
        raise MalformedMetadataError(
            f"The metadata at {where} should be a JSON object but are a "
            f"{type(document).__name__}; open the address in a browser to see."
        )
    return document


def _too_deep(where: str) -> MalformedMetadataError:
    return MalformedMetadataError(
        f"The metadata at {where} are nested more than {DEEPEST} times, which no image needs; they "
        "are broken, or meant to stop whoever reads them."
    )


def _is_deep(document: Any) -> bool:
    """Whether a document is nested more than `DEEPEST` times; goes through it layer by layer."""
    layer = [document]
    for _ in range(DEEPEST + 1):
        layer = [
            inner
            for outer in layer
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not layer:
            return False
    return True
