"""What the checks of the exercises print."""

import contextlib
import io

from data_helpers.checks.feedback import FILL_IN

NOT_ANSWERED = f"Not answered yet: {FILL_IN}"


def said(check, *answers):
    """The line that a check prints; how many steps are right by now comes below it."""
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        assert check(*answers) is None
    line, *below = printed.getvalue().splitlines()
    assert (below == []) == line.startswith("Not answered yet: ")
    assert all(progress.endswith((" is right.", " are right.")) for progress in below)
    return line
