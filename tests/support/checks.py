"""What the checks of the exercises print."""

import contextlib
import io


def said(check, *answers):
    """The one line that a check prints."""
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        assert check(*answers) is None
    text = printed.getvalue()
    assert text.endswith("\n") and text.count("\n") == 1
    return text.strip()
