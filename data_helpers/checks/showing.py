"""How an answer is shown: a sign, a word and a colour, and the same in plain text.

A badge has white letters on a colour of its own; the sentence beside it has the colour that the
page gives to text. So both can be read in light and in dark.
"""

from __future__ import annotations

from .._formatting import as_html

RIGHT, WRONG, BLANK = "Correct", "Not yet", "Not answered yet"
SIGNS = {RIGHT: "✓", WRONG: "→", BLANK: "…"}
COLOURS = {RIGHT: "#1a7f37", WRONG: "#a84f00", BLANK: "#5f6b76"}

_LINE = "max-width: 60em; margin: 2px 0; line-height: 1.6; white-space: normal"
_BADGE = (
    "display: inline-block; padding: 0 0.6em; border-radius: 0.3em; color: #ffffff; "
    "font-weight: bold"
)


def show(text: str, html: str) -> None:
    """Show HTML in a notebook, and print the same as plain text everywhere else."""
    from IPython import get_ipython

    if get_ipython() is None:
        print(text)
    else:
        from IPython.display import display

        display({"text/plain": text, "text/html": html}, raw=True)


def show_outcome(outcome: str, sentence: str, progress: str = "") -> None:
    """Show what became of an answer, and how many steps are right by now."""
    html = f"{_badge(outcome, outcome)} {as_html(sentence)}"
    if progress:
        html += f' <span style="white-space: nowrap">({as_html(progress)})</span>'
    show(
        f"{outcome}: {sentence}" + (f"\n{progress}" if progress else ""),
        f'<div style="{_LINE}">{html}</div>',
    )


def show_summary(title: str, headline: str, outcomes: dict[int, str]) -> None:
    """Show which steps are right and which aren't, large enough for the back of a room."""
    lines, badges = [f"{title}: {headline}"], ""
    for outcome in SIGNS:
        steps = [str(step) for step, found in outcomes.items() if found == outcome]
        if steps:
            words = f"{outcome}: step{'s' * (len(steps) > 1)} {', '.join(steps)}"
            lines.append(words)
            badges += f'<div style="margin: 4px 0">{_badge(outcome, words)}</div>'
    show(
        "\n".join(lines),
        f'<div style="{_LINE}"><div>{as_html(title)}</div>'
        f'<div style="font-size: 300%; font-weight: bold; line-height: 1.3">{as_html(headline)}'
        f'</div><div style="font-size: 170%">{badges}</div></div>',
    )


def _badge(outcome: str, words: str) -> str:
    style = f"{_BADGE}; background-color: {COLOURS[outcome]}"
    return f'<span style="{style}">{SIGNS[outcome]} {as_html(words)}</span>'
