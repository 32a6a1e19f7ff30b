"""The frame of every check: it shows one sentence of advice, and it never raises."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from dask.base import is_dask_collection

from ..stored_array import StoredArray
from .showing import BLANK, RIGHT, WRONG, show_outcome
from .steps import Steps

FILL_IN = (
    "replace each ... in the cell above with your own code, run it, then run this check again."
)


class NotYet(Exception):
    """An answer that is not right; the message is a hint at what to change."""


class NotAnswered(Exception):
    """A blank (``...``) that has not been filled in."""


def check(steps: Steps, step: int) -> Callable[[Callable[..., str]], Callable[..., None]]:
    """Make a check of a function that raises `NotYet` with a hint, or returns why it is right.

    Parameters
    ----------
    steps : Steps
        The steps of the notebook, which keep what the check finds.
    step : int
        Number of the step that the check belongs to.

    Returns
    -------
    callable
        Makes a check of such a function. The check takes the same answers, shows what became of
        them and returns None. It never raises an `Exception`.
    """

    def make(find_hint: Callable[..., str]) -> Callable[..., None]:
        name = find_hint.__name__
        steps.add(step, name)

        @functools.wraps(find_hint)
        def run(*answers: Any, **named: Any) -> None:
            outcome, sentence = _judge(find_hint, *answers, **named)
            steps.note(step, name, outcome)
            show_outcome(outcome, sentence, "" if outcome == BLANK else f"{steps.headline()}.")

        return run

    return make


def _judge(find_hint: Callable[..., str], *answers: Any, **named: Any) -> tuple[str, str]:
    """What became of the answers, and the sentence that says so."""
    try:
        refuse_blanks(*answers, *named.values())
        return RIGHT, find_hint(*answers, **named)
    except NotAnswered:
        return BLANK, FILL_IN
    except NotYet as hint:
        return WRONG, str(hint)
    except Exception as error:
        return WRONG, (
            f"this answer can't be checked ({type(error).__name__}); compare its type and shape "
            "with what the step asks for."
        )


def answered(*values: Any) -> bool:
    """Tell whether blanks have been filled in; where one has not, say that this cell waits.

    Parameters
    ----------
    *values
        Names that a blank (``...``) gives a value to.

    Returns
    -------
    bool
        False while one of them is still ``...``.
    """
    if any(value is ... for value in values):
        show_outcome(BLANK, "this cell waits until the blanks (...) above are filled in.")
        return False
    return True


def refuse_blanks(*values: Any) -> None:
    """Raise `NotAnswered` if one of the values is a blank."""
    if any(value is ... for value in values):
        raise NotAnswered


def expect(condition: Any, hint: str) -> None:
    """Raise `NotYet` with a hint unless a condition holds."""
    if not condition:
        raise NotYet(hint)


def array_of(answer: Any, name: str) -> np.ndarray:
    """The answer, if it is a computed array; a hint if it is lazy or something else."""
    expect(
        not is_lazy(answer),
        f"{name} is still lazy: nothing has been computed yet. Call .compute(), or index "
        "the stored array, which reads at once.",
    )
    expect(
        not isinstance(answer, StoredArray),
        f"{name} is a stored array, and nothing has been read yet. Index it, which reads at once.",
    )
    expect(
        isinstance(answer, np.ndarray),
        f"{name} should be a NumPy array, not {a_kind(answer)}.",
    )
    return answer  # type: ignore[no-any-return]


def is_lazy(answer: Any) -> bool:
    """Tell whether an answer is a Dask array, a delayed task, or a list that begins with one."""
    first = answer[0] if isinstance(answer, list | tuple) and answer else None
    return is_dask_collection(answer) or is_dask_collection(first)


def call(function: Any, name: str, *arguments: Any) -> Any:
    """Call a learner's function; a hint if it cannot be called, fails, or returns a blank."""
    expect(callable(function), f"{name} should be a function, not {a_kind(function)}.")
    try:
        result = function(*arguments)
    except Exception as error:
        raise NotYet(
            f"{name} stopped with {type(error).__name__}: {_message(error)} "
            "(is one of its steps still ...?)"
        ) from None
    refuse_blanks(result)
    expect(result is not None, f"{name} returns nothing: end it with a return.")
    return result


def a_kind(answer: Any) -> str:
    """What an answer is, in words that cannot fail."""
    return f"a value of type {type(answer).__name__}"


def same(one: Any, other: Any) -> bool:
    """Tell whether two arrays agree in shape and in every value."""
    if np.shape(one) != np.shape(other):
        return False
    return bool(np.array_equal(np.asarray(one), np.asarray(other)))


def _message(error: Exception) -> str:
    try:
        return str(error).splitlines()[0][:160]
    except Exception:  # an error without a readable message: leave it out
        return "no further message"
