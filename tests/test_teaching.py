"""The teaching kit: plans add up, notes are complete, code runs, links lead somewhere."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from pathlib import Path
from urllib.parse import unquote

import nbformat
import pytest

ROOT = Path(__file__).parent.parent
TEACHING = ROOT / "docs" / "teaching"
GLOSSARY = ROOT / "docs" / "glossary.md"
NOTEBOOKS = sorted((ROOT / "notebooks").glob("0*.ipynb"))
PLANS = {60: "plan_60.md", 90: "plan_90.md", 180: "plan_180.md"}
MARKS = {"I do", "we do", "you do"}
PARTS = [
    "The point to land",
    "Before you start",
    "Timing",
    "Questions learners ask",
    "Mistakes seen",
    "What to type live",
    "Discussion prompts",
    "Quiz",
]
ROW = re.compile(r"^\| (\d):(\d\d) \| (\d+) \| (.+?) \| (.+?) \| (.+?) \|$", re.MULTILINE)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
BOLD = re.compile(r"\*\*(.+?)\*\*")


def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def markdown(path: Path) -> str:
    """The Markdown of a file; of a notebook, that of all its cells."""
    if path.suffix != ".ipynb":
        return text_of(path)
    cells = nbformat.read(path, as_version=4).cells
    return "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")


def headings(path: Path) -> list[str]:
    text = re.sub(r"^```.*?^```", "", markdown(path), flags=re.MULTILINE | re.DOTALL)
    return re.findall(r"^#+ (.+?)\s*$", text, re.MULTILINE)


def anchors(path: Path) -> set[str]:
    """The anchors that GitHub and the site give to headings."""
    bare = [re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings(path)]
    return {heading.replace(" ", "-") for heading in bare}


def section(path: Path, title: str) -> str:
    """What stands below a second-level heading."""
    found = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", text_of(path), re.M | re.S)
    assert found, f"{path.name} has no section {title!r}"
    return found[1]


def notes(notebook: Path) -> Path:
    return TEACHING / f"notes_{notebook.name[:2]}.md"


def minutes_of(notebook: Path) -> int:
    return int(re.search(r"\*\*(\d+) minutes", markdown(notebook))[1])


def broken_links(path: Path) -> list[str]:
    """Links to files or anchors that do not exist."""
    bad = []
    for target in LINK.findall(markdown(path)):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = unquote(target).partition("#")
        place = (path.parent / name).resolve() if name else path
        if not place.exists() or (
            anchor and place.suffix in {".md", ".ipynb"} and anchor not in anchors(place)
        ):
            bad.append(target)
    return bad


# Plans


def plan_rows(text: str) -> list[tuple[int, int, str, str, str]]:
    """Clock in minutes, minutes, section, mark and what learners produce, of each row."""
    return [(int(h) * 60 + int(m), int(n), *rest) for h, m, n, *rest in ROW.findall(text)]


def plan_faults(text: str, length: int) -> list[str]:
    """What does not add up in a plan."""
    rows, clock, faults = plan_rows(text), 0, []
    for at, minutes, what, mark, product in rows:
        if at != clock:
            faults.append(f"{what} begins at {at}, but the minutes before it make {clock}")
        clock = at + minutes
        if mark not in (MARKS if "ipynb" in what else {"set-up", "break"}):
            faults.append(f"{what} has the mark {mark!r}")
        if "ipynb" in what and not BOLD.search(what):
            faults.append(f"{what} names no section")
        if not product.strip():
            faults.append(f"{what} produces nothing")
    if clock != length:
        faults.append(f"the plan ends after {clock} minutes")
    return faults


@pytest.mark.parametrize("length", PLANS)
def test_plan_adds_up(length):
    text = text_of(TEACHING / PLANS[length])
    assert len(plan_rows(text)) >= 10
    assert plan_faults(text, length) == []


def test_plan_check_finds_faults():
    link = "[01](../../notebooks/01_what_is_ome_zarr.ipynb)"
    fine = f"| 0:00 | 5 | Welcome | set-up | x |\n| 0:05 | 5 | {link}: **A** | we do | y |"
    assert plan_faults(fine, 10) == []
    assert plan_faults(fine, 11)
    assert plan_faults(fine.replace("0:05", "0:06"), 11)
    assert plan_faults(fine.replace("we do", "they do"), 10)
    assert plan_faults(fine.replace("**A**", "A"), 10)


@pytest.mark.parametrize("length", PLANS)
def test_sections_of_a_plan_are_headings_of_the_notebook(length):
    path = TEACHING / PLANS[length]
    for _, _, what, *_ in plan_rows(text_of(path)):
        for target in LINK.findall(what):
            missing = set(BOLD.findall(what)) - set(headings((TEACHING / target).resolve()))
            assert not missing, f"{target} has no heading {missing}"


@pytest.mark.parametrize("length", PLANS)
def test_plan_says_what_to_cut_when_late(length):
    path = TEACHING / PLANS[length]
    clocks = {row[0] for row in plan_rows(text_of(path))}
    late = re.findall(r"^\| (\d):(\d\d) \| (.+?) \|.+\|$", section(path, "When late"), re.M)
    assert len(late) >= 3
    assert {int(h) * 60 + int(m) for h, m, _ in late} <= clocks
    used = {(path.parent / target).resolve() for target in LINK.findall(text_of(path))}
    known = {heading for place in used if place.suffix == ".ipynb" for heading in headings(place)}
    assert set(BOLD.findall(section(path, "When late"))) <= known


def test_a_part_of_the_90_minute_plan_begins_when_its_row_does():
    text = text_of(TEACHING / PLANS[90])
    told = re.findall(r"^## (?:Part ([A-K])|(Stretch)), (\d):(\d\d)", text, re.MULTILINE)
    begins = {part or stretch: int(h) * 60 + int(m) for part, stretch, h, m in told}
    planned: dict[str, int] = {}
    for at, _, what, *_ in plan_rows(text):
        planned.setdefault(what.split(".")[0].split(":")[0], at)
    assert begins == planned


def test_the_90_minute_plan_says_what_to_do_in_each_part():
    parts = re.split(r"^## Part ", text_of(TEACHING / PLANS[90]), flags=re.MULTILINE)[1:]
    assert len(parts) == 11
    for part in parts:
        title = part.partition("\n")[0]
        assert "**On the screen:**" in part, title
        assert "**Say to" in part or "**Say at each:**" in part, title
        assert "**Say to close" in part, title
        assert "**Poll" in part or "**Ask" in part or "**Do" in part, title


# Notes


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_notes_have_all_parts(notebook):
    path = notes(notebook)
    found = re.findall(r"^## (.+)$", text_of(path), re.MULTILINE)
    assert found == PARTS
    questions = re.findall(r"^\*\*(.+?)\*\*$", section(path, "Questions learners ask"), re.M)
    assert len(questions) >= 4
    prompts = re.findall(r"^- ", section(path, "Discussion prompts"), re.MULTILINE)
    assert 2 <= len(prompts) <= 3
    assert f"../../notebooks/{notebook.name}" in text_of(path)


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_timing_adds_up_to_the_minutes_of_the_notebook(notebook):
    timing = section(notes(notebook), "Timing")
    rows = re.findall(r"^\| (\*\*.+) \| (\d+) \|$", timing, re.MULTILINE)
    assert sum(int(minutes) for _, minutes in rows) == minutes_of(notebook)
    assert set(BOLD.findall(timing)) <= set(headings(notebook))


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_live_code_is_for_a_section_of_the_notebook(notebook):
    places = re.findall(
        r"(?:For|Before|After) \*\*(.+?)\*\*", section(notes(notebook), "What to type live")
    )
    assert places
    assert set(places) <= set(headings(notebook))


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_two_quiz_questions_with_an_answer_and_why_the_others_are_wrong(notebook):
    quiz = re.split(r"^### Question \d\n", section(notes(notebook), "Quiz"), flags=re.MULTILINE)
    assert len(quiz) == 3
    for question in quiz[1:]:
        asked, answer = question.split("<details><summary>Answer</summary>")
        options = re.findall(r"^- ([A-D])\. .", asked, re.MULTILINE)
        assert options == ["A", "B", "C", "D"]
        [right] = re.findall(r"^\*\*([A-D])\.\*\*", answer, re.MULTILINE)
        explained = re.findall(r"^- ([A-D])\b", answer, re.MULTILINE)
        assert explained == [option for option in options if option != right]


def hints(number: str) -> str:
    """All text in the source of the checks of a notebook; a gap where a value is put in."""
    source = text_of(ROOT / "data_helpers" / "checks" / f"check_{number}.py")
    source += text_of(ROOT / "data_helpers" / "checks" / "feedback.py")
    strings = (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Constant))
    return "\n".join(node.value for node in strings if isinstance(node.value, str))


@pytest.mark.parametrize("notebook", NOTEBOOKS[2:], ids=lambda path: path.stem)
def test_mistakes_quote_what_the_checks_really_say(notebook):
    table = section(notes(notebook), "Mistakes seen")
    quoted = re.findall(r"^\| `(.+?)` \|", table, re.MULTILINE)
    assert len(quoted) >= 8
    said = hints(notebook.name[:2])
    assert [quote for quote in quoted if quote not in said] == []


# Code


def run_live(blocks: list[str]) -> list[str]:
    """Run blocks of code in one namespace; what differs from the "# gives" beside it."""
    namespace: dict[str, object] = {}
    wrong = []
    for block in blocks:
        tokens = tokenize.generate_tokens(io.StringIO(block).readline)
        gives = {
            token.start[0]: token.string.removeprefix("# gives ")
            for token in tokens
            if token.type == tokenize.COMMENT and token.string.startswith("# gives ")
        }
        for node in ast.parse(block).body:
            if isinstance(node, ast.Expr) and node.end_lineno in gives:
                value = eval(compile(ast.Expression(node.value), "live", "eval"), namespace)
                if repr(value) != gives.pop(node.end_lineno):
                    wrong.append(f"{ast.unparse(node)} gives {value!r}")
            else:
                exec(compile(ast.Module([node], []), "live", "exec"), namespace)
        wrong += [f"nothing is compared with {value}" for value in gives.values()]
    return wrong


@pytest.mark.timeout(90)
@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_live_code_runs_and_gives_what_it_says(notebook, offline):
    blocks = re.findall(
        r"```python\n(.*?)```", section(notes(notebook), "What to type live"), re.DOTALL
    )
    assert len(blocks) >= 3
    assert run_live(blocks) == []


def test_run_live_notices_a_wrong_value():
    assert run_live(["a = 1", "a + 1  # gives 2"]) == []
    assert run_live(["1 + 1  # gives 3"]) == ["1 + 1 gives 2"]
    assert run_live(["a = 1  # gives 1"]) == ["nothing is compared with 1"]


def test_the_rescue_on_the_trouble_page_runs(offline):
    [block] = re.findall(
        r"```python\n(.*?)```", text_of(TEACHING / "when_things_go_wrong.md"), re.DOTALL
    )
    assert run_live([block]) == []


# Links and words


@pytest.mark.parametrize("path", sorted(TEACHING.glob("*.md")), ids=lambda path: path.stem)
def test_links_of_the_kit_lead_somewhere(path):
    assert broken_links(path) == []


def test_a_broken_link_is_found(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# Here\n\n[a](#here) [b](#there) [c](nowhere.md) [d](https://x.org)")
    assert broken_links(page) == ["#there", "nowhere.md"]


def test_links_to_the_glossary_name_a_term():
    pages = [*(ROOT / "docs").rglob("*.md"), *(ROOT / "notebooks").rglob("*.ipynb")]
    pages = [page for page in pages if not {"_build", ".ipynb_checkpoints"} & set(page.parts)]
    for page in pages:
        linked = re.findall(r"glossary\.md#([\w-]+)", markdown(page))
        assert set(linked) <= anchors(GLOSSARY), page


def test_glossary_is_in_order_and_explains_each_term_in_a_few_words():
    assert broken_links(GLOSSARY) == []
    terms = re.findall(r"^## (.+)\n\n((?:.+\n)+)", text_of(GLOSSARY), re.MULTILINE)
    names = [name.lower() for name, _ in terms]
    assert names == sorted(set(names))
    assert len(headings(GLOSSARY)) == len(terms) + 1
    assert {name: len(told.split()) for name, told in terms if len(told.split()) > 60} == {}


def test_readme_of_the_kit_knows_all_notebooks_and_their_minutes():
    rows = re.findall(
        r"^\| \[.+?\]\(\.\./\.\./notebooks/(.+?)\) \| \[.+?\]\((.+?)\) \| (\d+) \|$",
        text_of(TEACHING / "README.md"),
        re.MULTILINE,
    )
    told = [(path.name, notes(path).name, str(minutes_of(path))) for path in NOTEBOOKS]
    assert rows == told
