"""Answers that can be seen: sign, word and colour, the same in plain text, and the summary."""

import re
from html.parser import HTMLParser

import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from support.checks import NOT_ANSWERED

from data_helpers import checks
from data_helpers.checks import answered, check_03, showing
from data_helpers.checks.feedback import check, expect
from data_helpers.checks.steps import Steps

PAGES = {"light": "#ffffff", "dark": "#111111"}


@pytest.fixture
def notebook():
    """As in a notebook: returns what a call displays, as plain text and as HTML."""
    InteractiveShell.instance()

    def displayed(function, *arguments):
        with capture_output() as captured:
            function(*arguments)
        assert captured.stdout == ""
        [output] = captured.outputs
        assert set(output.data) == {"text/plain", "text/html"}
        return output.data["text/plain"], output.data["text/html"]

    yield displayed
    InteractiveShell.clear_instance()


@pytest.fixture
def exercise():
    """Two steps, the second with two checks; an answer is right if it is 1."""
    steps = Steps("Notebook 99")

    def one(answer):
        expect(answer == 1, f"{answer} isn't 1.")
        return "it's 1."

    def checked(name, step):
        def find_hint(answer):
            return one(answer)

        find_hint.__name__ = name
        return check(steps, step)(find_hint)

    steps.first, steps.second, steps.third = checked("a", 1), checked("b", 2), checked("c", 2)
    return steps


class Text(HTMLParser):
    """What a page shows, and whether each tag is closed."""

    def __init__(self, html):
        super().__init__()
        self.text, self.open = "", []
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        assert tag in {"div", "span"}, tag
        self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def test_each_outcome_has_a_sign_a_word_and_a_colour_of_its_own(notebook, exercise):
    shown = [notebook(exercise.first, answer) for answer in (1, 2, ...)]
    texts, pages = zip(*shown, strict=True)
    assert texts[0] == "Correct: it's 1.\n1 of 2 steps is right."
    assert texts[1] == "Not yet: 2 isn't 1.\n0 of 2 steps are right."
    assert texts[2] == NOT_ANSWERED
    words = [Text(page).text for page in pages]
    assert words[0] == "✓ Correct it's 1. (1 of 2 steps is right.)"
    assert words[1] == "→ Not yet 2 isn't 1. (0 of 2 steps are right.)"
    assert words[2].startswith("… Not answered yet replace each")
    colours = [re.search(r"background-color: (#\w{6})", page)[1] for page in pages]
    assert len(set(colours)) == 3


def luminance(colour):
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return sum(share * part for share, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one, other):
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("colour", showing.COLOURS.values())
def test_badges_can_be_read_in_light_and_in_dark(colour):
    assert contrast("#ffffff", colour) >= 4.5
    assert all(contrast(page, colour) >= 3 for page in PAGES.values())


def test_the_sentence_has_the_colour_that_the_page_gives_to_text(notebook, exercise):
    html = notebook(exercise.first, 2)[1]
    badge, rest = html.split("</span>", 1)
    assert "color" not in rest and "; color: #ffffff" in badge
    assert "white-space: normal" in html  # so lines break between words


def test_what_a_learner_typed_is_text_and_not_html(notebook, exercise):
    html = notebook(exercise.first, "<img src=x onerror=alert(1)> $a$ &amp;")[1]
    assert "<img" not in html and "$a$" not in html
    assert "<img src=x onerror=alert(1)> $a$ &amp;" in Text(html).text


def test_a_cell_that_waits_says_so_in_the_same_way(notebook):
    text, html = notebook(answered, ...)
    assert text == "Not answered yet: this cell waits until the blanks (...) above are filled in."
    assert Text(html).text.startswith("… Not answered yet this cell waits")


def test_plain_python_prints_the_text(exercise, capsys):
    exercise.first(1)
    exercise.progress()
    assert capsys.readouterr().out == (
        "Correct: it's 1.\n1 of 2 steps is right.\n"
        "Notebook 99: 1 of 2 steps is right\nCorrect: step 1\nNot answered yet: step 2\n"
    )


def test_a_step_is_right_if_all_its_checks_are_and_a_check_may_run_again(exercise, capsys):
    assert not exercise.begun
    exercise.second(1)
    assert exercise.begun and exercise.outcomes()[2] == "Not answered yet"
    exercise.third(2)
    assert exercise.outcomes()[2] == "Not yet"
    exercise.third(1)
    assert exercise.outcomes() == {1: "Not answered yet", 2: "Correct"}
    exercise.first(1)
    assert exercise.headline() == "All 2 steps are right"
    exercise.first(0)
    assert exercise.headline() == "1 of 2 steps is right"


def test_the_summary_is_large_and_says_each_step(notebook, exercise):
    notebook(exercise.first, 1)
    text, html = notebook(exercise.progress)
    assert text.splitlines() == [
        "Notebook 99: 1 of 2 steps is right",
        "Correct: step 1",
        "Not answered yet: step 2",
    ]
    assert "font-size: 300%" in html
    assert "✓ Correct: step 1… Not answered yet: step 2" in Text(html).text
    notebook(exercise.second, 1)
    notebook(exercise.third, 1)
    assert notebook(exercise.progress)[0] == (
        "Notebook 99: All 2 steps are right\nCorrect: steps 1, 2"
    )


def test_progress_shows_the_notebooks_whose_checks_ran(monkeypatch, capsys):
    for number in ("03", "04", "05", "06", "08", "09"):
        module = getattr(checks, f"check_{number}")
        monkeypatch.setattr(module.STEPS, "begun", False)
    checks.progress()
    assert capsys.readouterr().out == "No check has been run in this notebook yet.\n"
    check_03.planes(..., ..., None)
    capsys.readouterr()
    checks.progress()
    assert capsys.readouterr().out.startswith("Notebook 03: ")


@pytest.mark.parametrize(
    ("module", "count"), [("03", 9), ("04", 7), ("05", 3), ("06", 4), ("08", 8), ("09", 8)]
)
def test_every_step_with_a_blank_counts(module, count):
    assert len(getattr(checks, f"check_{module}").STEPS.outcomes()) == count
