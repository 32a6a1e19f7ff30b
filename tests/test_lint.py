"""A quick lint of what readers open: notebooks, Markdown files and the teaching kit.

Each rule spares somebody a link to nowhere, a picture they cannot see, or a number that is wrong.
How to write is left to people. That exercises are made from their solutions is in
test_exercises.py, that README's table agrees with the notebooks in test_readme_table.py.
"""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote

import nbformat
import pytest
from support.repository import ADDRESS, ROOT, committed, read, section

NOTEBOOKS = sorted(
    path for path in (ROOT / "notebooks").rglob("*.ipynb") if ".ipynb_checkpoints" not in path.parts
)
TAUGHT = [path for path in NOTEBOOKS if path.parent.name == "notebooks"]
TEACHING = ROOT / "docs" / "teaching"
each_notebook = pytest.mark.parametrize(
    "path", NOTEBOOKS, ids=lambda p: f"{p.parent.name}-{p.stem}"
)
each_taught = pytest.mark.parametrize("path", TAUGHT, ids=lambda path: path.stem)


def cells(path: Path, kind: str) -> list[nbformat.NotebookNode]:
    notebook = nbformat.read(path, as_version=4)
    return [cell for cell in notebook.cells if cell.cell_type == kind and cell.source.strip()]


def prose(path: Path) -> str:
    """Text of a Markdown file or of a notebook's Markdown cells, without blocks of code."""
    is_notebook = path.suffix == ".ipynb"
    text = "\n\n".join(c.source for c in cells(path, "markdown")) if is_notebook else read(path)
    return re.sub(r"^[ >]*```.*?^[ >]*```", "", text, flags=re.DOTALL | re.MULTILINE)


def headings(path: Path) -> list[str]:
    return re.findall(r"^#+ (.+?)\s*$", prose(path), re.MULTILINE)


# --- links, pictures and addresses, everywhere ------------------------------------------------


def faults(path: Path) -> list[str]:
    """Links that lead nowhere or have no text, and pictures that nothing describes."""
    text, found = re.sub(r"`[^`\n]*`", "code", prose(path)), []
    for pair in re.findall(r"\]\(<?([^)>\s]*)|\b(?:src|href)=[\"']([^\"']*)", text):
        target = unquote(pair[0] or pair[1])
        name, _, anchor = target.partition("#")
        place = path.parent / name if name else path
        if re.match(r"[a-z][a-z0-9+.-]*:", target, re.IGNORECASE):
            if not re.match(r"https://[^/]+\.|mailto:|data:|attachment:", target):
                found.append(f"not an https link: {target}")
        elif not target or not place.exists():
            found.append(f"leads nowhere: {target}")
        elif anchor and place.suffix in {".md", ".ipynb"}:
            # as GitHub and the site make an anchor of a heading
            bare = {re.sub(r"[^\w\- ]", "", title.lower()) for title in headings(place)}
            if anchor not in {title.replace(" ", "-") for title in bare}:
                found.append(f"no such heading: {target}")
    found += [f"no text: {link}" for link in re.findall(r"(?<!!)\[\s*\]\([^)]*\)", text)]
    described = [(image, image) for image in re.findall(r"!\[([^\]]*)\]\(", text)]
    for tag in re.findall(r"<img\b[^>]*>", text, re.IGNORECASE):
        described.append((tag, "".join(re.findall(r"alt=[\"']([^\"']*)", tag))))
    return found + [f"say what it shows: {image!r}" for image, alt in described if len(alt) < 10]


def test_links_lead_somewhere_and_pictures_are_described():
    pages = [path for path in committed() if path.suffix in {".md", ".ipynb"}]
    assert len(NOTEBOOKS) >= 10 and set(pages) >= {*NOTEBOOKS, ROOT / "README.md"}
    assert {str(path): found for path in pages if (found := faults(path))} == {}


def test_each_fault_of_a_page_is_found(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "# It's `here`\n\n[a](#its-here) [b](#there) [c](gone.md) `[d](x.md)` [e](https://x.org)"
        " [f](http://x.org) [](https://x.org) [![A badge, all right](lost.png)](page.md)"
        " ![plot](page.md) <img src='page.md'> <img alt='What a picture shows' src='page.md'>"
        "\n```python\n# No heading\na = b[0](c)\n```\n[g](#no-heading)"
    )
    found = ", ".join(fault.split(":")[0] for fault in faults(page))
    assert found == (
        "no such heading, leads nowhere, not an https link, leads nowhere, no such heading, "
        "no text, say what it shows, say what it shows"
    )


BADGE = r"(?:mybinder\.org/v2/gh|colab\.research\.google\.com/github)"
PLACE = re.compile(rf"({BADGE}|(?:raw\.githubusercontent|github)\.com)/([\w.-]+)/([\w.-]+)")


def test_every_badge_and_link_has_the_address_of_pyproject():
    """A badge always claims to lead to this project; a link does with its name or owner."""
    owner, name = ADDRESS.removeprefix("https://github.com/").split("/")
    wrong, badges, opened = [], [], []
    for path in committed():
        if path.suffix in {".md", ".cff", ".ipynb"}:
            text = read(path)
            badges += re.findall(BADGE, text) if path.name == "README.md" else []
            for host, its_owner, its_name in PLACE.findall(text):
                place = (its_owner, its_name.removesuffix(".git").rstrip("."))
                ours = re.match(BADGE, host) or place[0] == owner or place[1] == name
                if ours and place != (owner, name):
                    wrong.append(f"{path.name}: {host}/{its_owner}/{its_name}")
            opened += re.findall(r"[?&](?:labpath|urlpath=lab/tree)=?/?([^)\s\"\\&]+\.ipynb)", text)
            opened += re.findall(rf"/github/{owner}/{name}/blob/[^/]+/([^)\s\"\\]+)", text)
    assert wrong == []
    assert len(badges) >= 2, "README lost its Binder or Colab badge"
    assert opened and [x for x in opened if not (ROOT / unquote(x)).is_file()] == []


# --- stored notebooks -------------------------------------------------------------------------


@each_notebook
def test_one_title_and_a_first_cell_with_minutes_and_megabytes(path):
    assert len(re.findall(r"^# |<h1\b", prose(path), re.MULTILINE)) == 1
    first = nbformat.read(path, as_version=4).cells[0]
    assert first.cell_type == "markdown" and first.source.startswith("# ")
    assert re.search(r"\b\d+ minutes\b", first.source)
    assert re.search(r"\b[\d.]+ MB\b", first.source)


@each_notebook
def test_stored_notebook_is_small_and_starts_anywhere(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert path.stat().st_size < 1_500_000
    assert notebook.metadata.kernelspec.name == "python3" and "widgets" not in notebook.metadata
    assert '"google.colab" in sys.modules' in cells(path, "code")[0].source, "install it on Colab"


@each_notebook
def test_stored_outputs_come_from_one_clean_run(path):
    """From top to bottom; an exercise may stop at the first blank."""
    code = cells(path, "code")
    counts = [cell.execution_count for cell in code]
    is_exercise = (path.parent / "solutions" / path.name).exists()
    ran = counts[: counts.index(None)] if is_exercise and None in counts else counts
    assert ran == list(range(1, len(ran) + 1)) and ran
    assert not any(counts[len(ran) :])
    for cell in code:
        failed = any(output.output_type == "error" for output in cell.outputs)
        meant = "raises-exception" in cell.metadata.get("tags", []) and cell.execution_count
        assert failed == bool(meant), cell.source
        printed = str([output for output in cell.outputs if output.output_type == "stream"])
        assert "'stderr'" not in printed and "Warning" not in printed, cell.source
        assert not re.search(r"(?:127\.0\.0\.1|localhost):\d", str(cell.outputs)), cell.source
        assert not re.search(r"\bjet\b", cell.source), "not all people see that colour map right"


def has_figure(cell: nbformat.NotebookNode) -> bool:
    return any("image/png" in output.get("data", {}) for output in cell.get("outputs", []))


@pytest.mark.parametrize("name", [path.name for path in TAUGHT])
def test_figures_are_described_in_a_sentence_and_stand_beside_widgets(name):
    solution = ROOT / "notebooks" / "solutions" / name
    path = solution if solution.exists() else ROOT / "notebooks" / name
    every = nbformat.read(path, as_version=4).cells
    for number, cell in enumerate(every):
        printed = "".join(output.get("text", "") for output in cell.get("outputs", []))
        if has_figure(cell):
            below = every[number + 1].source.partition("\n")[0] if number + 1 < len(every) else ""
            described = re.search(r"^(?:Synthetic p|P)icture\b.+\.$", printed, re.M)
            assert described or re.fullmatch(r"\*Picture: .+\.\*", below), cell.source
        if cell.cell_type == "code" and re.search(r"\binteract\(|\bview\(", cell.source):
            assert any(map(has_figure, every[max(0, number - 3) : number + 4])), cell.source


# --- the teaching kit -------------------------------------------------------------------------

CLOCK = r"(\d):(\d\d)"
each_plan = pytest.mark.parametrize("minutes", [60, 90, 150, 180])


def notes(notebook: Path) -> Path:
    return TEACHING / f"notes_{notebook.name[:2]}.md"


def minutes_of(notebook: Path) -> int:
    return int(re.search(r"\b(\d+) minutes", cells(notebook, "markdown")[0].source)[1])


def bold(text: str) -> set[str]:
    return set(re.findall(r"\*\*(.+?)\*\*", text))


def plan(minutes: int) -> tuple[Path, list[tuple[int, int, str]]]:
    """File of a plan, and of each row the clock in minutes, the minutes and the section."""
    path = TEACHING / f"plan_{minutes}.md"
    rows = re.findall(rf"^\| {CLOCK} \| (\d+) \| (.+?) \|", read(path), re.MULTILINE)
    return path, [(int(h) * 60 + int(m), int(n), what) for h, m, n, what in rows]


@each_plan
def test_plan_adds_up_and_names_sections_of_the_notebooks(minutes):
    path, rows = plan(minutes)
    clock, known = 0, set()
    for at, length, what in rows:
        assert at == clock, f"{what} begins at {at}, the minutes before it make {clock}"
        clock += length
        for target in re.findall(r"\]\((.+?\.ipynb)\)", what):
            titles = set(headings(path.parent / target))
            assert bold(what) and bold(what) <= titles, what
            known |= titles
    assert clock == minutes
    late = section(path, "When late")
    clocks = {int(h) * 60 + int(m) for h, m in re.findall(rf"^\| {CLOCK} \|", late, re.MULTILINE)}
    assert clocks and clocks <= {at for at, *_ in rows}
    assert bold(late) <= known


def test_a_part_of_the_90_minute_plan_begins_when_its_row_does():
    path, rows = plan(90)
    told = re.findall(rf"^## (?:Part )?(\w+), {CLOCK}", read(path), re.MULTILINE)
    begins = {part: int(h) * 60 + int(m) for part, h, m in told}
    assert begins == {re.split("[.:]", what)[0]: at for at, _, what in reversed(rows)}


@each_taught
def test_notes_have_the_minutes_and_sections_of_the_notebook(path):
    timing = section(notes(path), "Timing")
    rows = re.findall(r"^\| \*\*.+ \| (\d+) \|$", timing, re.MULTILINE)
    assert sum(map(int, rows)) == minutes_of(path)
    live = re.findall(
        r"(?:For|Before|After) (\*\*.+?\*\*)", section(notes(path), "What to type live")
    )
    assert live
    assert bold(timing) | bold("".join(live)) <= set(headings(path))


@each_taught
def test_a_quiz_question_has_one_answer_and_says_why_the_others_are_wrong(path):
    questions = re.split(r"^### ", section(notes(path), "Quiz"), flags=re.MULTILINE)[1:]
    assert questions
    for question in questions:
        asked, answer = question.split("<details><summary>Answer</summary>")
        [right] = re.findall(r"^\*\*([A-Z])\.\*\*", answer, re.MULTILINE)
        options = re.findall(r"^- ([A-Z])\. ", asked, re.MULTILINE)
        assert sorted([right, *re.findall(r"^- ([A-Z])\b", answer, re.MULTILINE)]) == options


def test_the_kit_lists_all_notebooks_with_their_minutes():
    row = r"^\| \[.+?\]\(\.\./\.\./notebooks/(.+?)\) \| \[.+?\]\((.+?)\) \| (\d+) \|$"
    rows = re.findall(row, read(TEACHING / "README.md"), re.MULTILINE)
    assert rows == [(path.name, notes(path).name, str(minutes_of(path))) for path in TAUGHT]
