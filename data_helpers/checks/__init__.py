"""Feedback on the exercises: each check prints one line, and none ever raises.

``check_03`` to ``check_06`` belong to the notebooks of that number. ``feedback`` is their frame:
it says "not answered yet" for a blank, and turns whatever goes wrong into a helpful line.
"""

from . import check_03, check_04, check_05, check_06
from .feedback import answered

__all__ = ["answered", "check_03", "check_04", "check_05", "check_06"]
