"""The steps of a notebook that have a check, and which of them are right by now."""

from __future__ import annotations

from .showing import BLANK, RIGHT, WRONG, show_summary


class Steps:
    """The steps of one notebook; each has one check or several.

    What the checks found is kept for as long as the kernel runs. A check that is run again
    replaces what it found before.

    Parameters
    ----------
    notebook : str
        What the summary calls the notebook.
    """

    def __init__(self, notebook: str) -> None:
        self.notebook = notebook
        self.begun = False
        self._found: dict[int, dict[str, str]] = {}

    def add(self, step: int, check: str) -> None:
        """Add a check to a step."""
        self._found.setdefault(step, {})[check] = BLANK

    def note(self, step: int, check: str, outcome: str) -> None:
        """Keep what a check found."""
        self.begun = True
        self._found[step][check] = outcome

    def outcomes(self) -> dict[int, str]:
        """What was found for each step, such as ``{1: "Correct"}``.

        A step is right if all its checks are, and not yet right if one isn't.
        """
        return {step: _together(found) for step, found in sorted(self._found.items())}

    def headline(self) -> str:
        """How many steps are right, such as "3 of 9 steps are right"."""
        outcomes = list(self.outcomes().values())
        right = outcomes.count(RIGHT)
        if right == len(outcomes):
            return f"All {right} steps are right"
        return f"{right} of {len(outcomes)} steps {'is' if right == 1 else 'are'} right"

    def progress(self) -> None:
        """Show which steps are right, not yet right, or not answered yet, in large letters."""
        show_summary(self.notebook, self.headline(), self.outcomes())


def _together(found: dict[str, str]) -> str:
    outcomes = set(found.values())
    if outcomes == {RIGHT}:
        return RIGHT
    return WRONG if WRONG in outcomes else BLANK
