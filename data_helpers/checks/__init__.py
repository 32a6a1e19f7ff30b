"""Feedback on the exercises: each check shows one sentence, and none ever raises.

``check_03`` to ``check_06``, ``check_08`` and ``check_09`` belong to the notebooks of that number,
and ``classify_09`` to the second half of 09. ``feedback`` is their frame: it says "not answered
yet" for a blank, and turns whatever goes wrong into a helpful line. ``steps`` keeps which steps are
right by now, and ``showing`` gives each outcome its sign and colour. In class, `progress` shows how
far a learner has come.
"""

from . import check_03, check_04, check_05, check_06, check_08, check_09
from .feedback import answered

CHECKS = (check_03, check_04, check_05, check_06, check_08, check_09)
__all__ = [
    "answered",
    "check_03",
    "check_04",
    "check_05",
    "check_06",
    "check_08",
    "check_09",
    "progress",
]


def progress() -> None:
    """Show how many steps are right, for each notebook whose checks ran in this kernel."""
    all_steps = [module.STEPS for module in CHECKS]
    begun = [steps for steps in all_steps if steps.begun]
    for steps in begun:
        steps.progress()
    if not begun:
        print("No check has been run in this notebook yet.")
