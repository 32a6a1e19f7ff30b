"""The doors of the wings, which the reading path opens only when a person asks for one.

The modules that read an image import no wing (`cache`, `meter`, `viewer`, `scale_out`, `checks`,
`offline`, `practice`, `hand_over`), so that they can be read, and used, without. Two wings are
asked for while
images are opened: `cache`, when somebody wants one, and `offline`, when the images come from a
server on this computer. Then the wing is imported by its name.
"""

from __future__ import annotations

from importlib import import_module
from types import ModuleType


def open_door(wing: str) -> ModuleType:
    """The package of a wing, such as "cache"; imported now, if it has not been."""
    return import_module(f".{wing}", __package__)
