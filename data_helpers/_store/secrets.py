"""Options that hold keys and passwords, kept out of whatever is shown."""

from __future__ import annotations

import base64
import pickle
from typing import Any


class HiddenOptions(dict[str, Any]):
    """What `storage_options` says; shows the names, never the values.

    In a pickle, which carries them to other processes, the values are encoded. That is no
    encryption: it keeps them out of a text that somebody looks at.
    """

    def __repr__(self) -> str:
        return f"<{', '.join(sorted(map(str, self))) or 'no options'}; values hidden>"

    def __reduce__(self) -> tuple[Any, ...]:
        return _decoded, (base64.b64encode(pickle.dumps(dict(self))).decode(),)


def _decoded(text: str) -> HiddenOptions:
    return HiddenOptions(pickle.loads(base64.b64decode(text)))
