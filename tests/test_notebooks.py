"""The frame that every stored notebook keeps: one clean run, small, described, well linked."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit

import nbformat
import pytest
from nbformat import NotebookNode

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted(
    path for path in (ROOT / "notebooks").rglob("*.ipynb") if ".ipynb_checkpoints" not in path.parts
)
EXPECTED = {
    "01_what_is_ome_zarr.ipynb",
    "02_explore_multiscale.ipynb",
    "03_segment_in_parallel.ipynb",
    "04_overlay_labels.ipynb",
    "05_what_makes_it_fast.ipynb",
    "06_from_laptop_to_cluster.ipynb",
    "solutions/03_segment_in_parallel.ipynb",
    "solutions/04_overlay_labels.ipynb",
    "solutions/05_what_makes_it_fast.ipynb",
    "solutions/06_from_laptop_to_cluster.ipynb",
}
LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]*)[^)]*\)")
IMG = re.compile(r"<img\b[^>]*>", re.IGNORECASE)


def read(path: Path) -> NotebookNode:
    return nbformat.read(path, as_version=4)


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    return [c for c in notebook.cells if c.cell_type == "code" and c.source.strip()]


def markdown(notebook: NotebookNode) -> str:
    return "\n\n".join(c.source for c in notebook.cells if c.cell_type == "markdown")


def is_exercise(path: Path) -> bool:
    return (path.parent / "solutions" / path.name).exists()


def check_clean_run(notebook: NotebookNode, exercise: bool) -> list[str]:
    """What keeps a notebook from being one clean run; an exercise may end unexecuted."""
    problems = []
    counts = [cell.execution_count for cell in code_cells(notebook)]
    ran = counts[: counts.index(None)] if exercise and None in counts else counts
    if ran != list(range(1, len(ran) + 1)):
        problems.append(f"execution counts {ran}")
    if any(counts[len(ran) :]):
        problems.append("a cell after the first unexecuted one was executed")
    for cell in code_cells(notebook):
        wanted = "raises-exception" in cell.metadata.get("tags", [])
        failed = any(output.output_type == "error" for output in cell.outputs)
        if failed != (wanted and cell.execution_count is not None):
            problems.append(f"error output (or none where one is meant) in: {cell.source[:60]}")
    return problems


each_notebook = pytest.mark.parametrize(
    "path", NOTEBOOKS, ids=[p.relative_to(ROOT / "notebooks").as_posix() for p in NOTEBOOKS]
)


def test_all_notebooks_are_there() -> None:
    found = {path.relative_to(ROOT / "notebooks").as_posix() for path in NOTEBOOKS}
    assert found >= EXPECTED


@each_notebook
def test_stored_notebook_is_valid_and_one_clean_run(path: Path) -> None:
    notebook = read(path)
    nbformat.validate(notebook)
    assert check_clean_run(notebook, is_exercise(path)) == []
    if is_exercise(path):
        assert code_cells(notebook)[0].execution_count == 1


def test_clean_run_check_sees_what_is_wrong() -> None:
    cells = [nbformat.v4.new_code_cell("1", execution_count=n) for n in (1, 3)]
    assert check_clean_run(nbformat.v4.new_notebook(cells=cells), exercise=False)
    cells = [nbformat.v4.new_code_cell("1", execution_count=n) for n in (1, None)]
    assert check_clean_run(nbformat.v4.new_notebook(cells=cells), exercise=False)
    assert not check_clean_run(nbformat.v4.new_notebook(cells=cells), exercise=True)
    error = nbformat.v4.new_output("error", ename="E", evalue="", traceback=[])
    cells = [nbformat.v4.new_code_cell("1", execution_count=1, outputs=[error])]
    assert check_clean_run(nbformat.v4.new_notebook(cells=cells), exercise=False)


@each_notebook
def test_size_and_metadata(path: Path) -> None:
    assert path.stat().st_size < 1_500_000
    metadata = read(path).metadata
    assert metadata.kernelspec.name == "python3"
    assert "widgets" not in metadata


@each_notebook
def test_one_title_and_a_first_cell_with_minutes_and_megabytes(path: Path) -> None:
    notebook = read(path)
    text = re.sub(r"```.*?```", "", markdown(notebook), flags=re.DOTALL)
    assert len(re.findall(r"^# ", text, re.MULTILINE)) == 1
    first = notebook.cells[0]
    assert first.cell_type == "markdown"
    assert first.source.startswith("# ")
    assert re.search(r"\b\d+ minutes\b", first.source)
    assert re.search(r"\b[\d.]+ MB\b", first.source)
    for heading in ("do", "learn", "need"):
        assert re.search(rf"you('|’)?(ll)?( will)? {heading}", first.source, re.IGNORECASE)


@each_notebook
def test_code_cells_are_short_and_use_no_rainbow_map(path: Path) -> None:
    for cell in code_cells(read(path)):
        assert len(cell.source.strip().splitlines()) <= 15, cell.source
        assert not re.search(r"\bjet\b", cell.source)


@each_notebook
def test_links_are_well_formed_and_images_described(path: Path) -> None:
    text = markdown(read(path))
    links = LINK.findall(text)
    assert links
    for image, label, target in links:
        assert label.strip(), f"no text for {target}"
        if image:
            assert len(label.split()) >= 4, f"say what {target} shows"
        parts = urlsplit(target)
        if parts.scheme:
            assert parts.scheme == "https" and "." in parts.netloc, target
        elif parts.path:
            assert (path.parent / parts.path).exists(), target
    for tag in IMG.findall(text):
        assert re.search(r'alt="[^"]{10,}"', tag), tag


@each_notebook
def test_no_address_of_a_passing_server_in_outputs(path: Path) -> None:
    for cell in code_cells(read(path)):
        assert not re.search(r"127\.0\.0\.1:\d+|localhost:\d+", str(cell.outputs)), cell.source


# One frame for every notebook

ENDING = ["## Recap", "## Check yourself", "## Next step", "## Cite"]
NUMBER_WORDS = 85  # of prose in a Markdown cell; the first one, which is an overview, may have more
GLOSSARY = ROOT / "docs" / "glossary.md"
FORMS = {  # other forms of a term of the glossary
    "Axes": "axis|axes",
    "Big-endian": "big-endian",
    "Compression": "compress(?:ed|es|ion)?",
    "Image Data Resource": "Image Data Resource|IDR",
    "Lazy": "lazy|lazily",
    "Process": "process(?:es)?",
    "Mask": "masks?",
    "Otsu threshold": "Otsu's threshold|Otsu threshold",
}
EMPHASIS = re.compile(r"(?<![*\w])(\*{1,2})(?=[^\s*])([^*\n]{1,40}?)\1(?![*\w])")
GLOSSARY_LINK = re.compile(r"\[([^\]]+)\]\([./]*docs/glossary\.md#([\w-]+)\)")
FIGURE_TITLE = re.compile(r"title|show_plane|gallery|draw\(|\.plot\(ax\)|%%cost --plot")
DESCRIPTION = re.compile(r"^(?:Synthetic picture|Picture)\b.+[.]$", re.MULTILINE)


def body(source: str) -> str:
    """Return the prose of a Markdown cell: no code, headings, pictures or HTML tags."""
    for what in (
        r"```.*?```",
        r"^#+ .*?$",
        r"!\[.*?\]\(.*?\)",
        r"`[^`]*`",
        r"<code>.*?</code>|<[^>]+>",
    ):
        source = re.sub(what, " ", source, flags=re.DOTALL | re.MULTILINE)
    return source


def words(source: str) -> int:
    """Return the number of words that everybody reads: no table, nothing folded away."""
    source = re.sub(r"<details>.*?</details>|^\|.*?$", " ", source, flags=re.DOTALL | re.MULTILINE)
    return len(re.findall(r"\w[\w'’.,-]*", re.sub(r"\]\([^)]*\)", "]", body(source))))


def headings(notebook: NotebookNode) -> list[str]:
    text = re.sub(r"```.*?```", "", markdown(notebook), flags=re.DOTALL)
    return re.findall(r"^## .*$", text, re.MULTILINE)


def glossary_terms() -> dict[str, re.Pattern[str]]:
    """Return a pattern for each term of the glossary, by the anchor of its heading."""
    terms = re.findall(r"^#{2,3} (.+?)(?: \(.*\))?$", GLOSSARY.read_text("utf-8"), re.MULTILINE)
    return {
        term.lower().replace(" ", "-"): re.compile(
            rf"\b(?:{FORMS.get(term, re.escape(term) + 's?')})\b", re.IGNORECASE
        )
        for term in terms
    }


def telling(notebook: NotebookNode) -> str:
    """Return the prose after the first cell; what comes next is announced, not told."""
    cells = [c.source for c in notebook.cells[1:] if c.cell_type == "markdown"]
    return "\n\n".join(body(source) for source in cells if not source.startswith(ENDING[2]))


def unexplained(notebook: NotebookNode, known: set[str]) -> dict[str, str]:
    """Return the terms that are first used without an explanation, and where.

    A term is explained where it stands in italics or bold, as a term does where it is introduced,
    or is a link to the glossary. The first cell may list terms that an earlier notebook explained
    (`known`), as links.
    """
    listed = {anchor for _, anchor in GLOSSARY_LINK.findall(notebook.cells[0].source)} & known
    text = telling(notebook)
    marked = [m.span() for pattern in (EMPHASIS, GLOSSARY_LINK) for m in pattern.finditer(text)]
    text = re.sub(r"\]\([^)]*\)", lambda m: "]" + " " * (len(m[0]) - 1), text)
    found = {}
    for anchor, pattern in glossary_terms().items():
        first = pattern.search(text)
        if first and anchor not in listed:
            if not any(start <= first.start() and first.end() <= end for start, end in marked):
                found[anchor] = text[max(0, first.start() - 40) : first.end() + 20]
    return found


def introduced(notebook: NotebookNode) -> set[str]:
    """Return the terms that a notebook uses and that it explains where it does so first."""
    text = telling(notebook)
    used = {anchor for anchor, pattern in glossary_terms().items() if pattern.search(text)}
    return used - set(unexplained(notebook, set()))


def check_anatomy(notebook: NotebookNode, steps: bool) -> list[str]:
    """What keeps a notebook from the common frame, in sentences."""
    problems = []
    title, *_ = notebook.cells[0].source.split("\n\n")
    if re.search(r"^# (?:A|An|The|How|What|Why|\w+ing|\w+(?:tion|s))\b", title):
        problems.append("the title begins with a verb: what you will do")
    if not notebook.cells[0].source.split("\n\n")[1].startswith("!["):
        problems.append("the title picture stands right below the title")
    code = [cell.source for cell in code_cells(notebook)]
    if '"google.colab" in sys.modules' not in code[0]:
        problems.append("the first code cell installs the course on Colab")
    source = next(
        (n for n, c in enumerate(code) if "source = " in c and "current_source()" in c), 99
    )
    if source > 3:
        problems.append("the source is named right after the imports")
    late = [c for c in code[source + 1 :] if re.search(r"^(?:import|from) ", c, re.MULTILINE)]
    problems += [f"imports stand at the top, not here: {c[:60]}" for c in late]
    if headings(notebook)[-4:] != ENDING or any(headings(notebook).count(h) != 1 for h in ENDING):
        problems.append(f"the end is {ENDING}, not {headings(notebook)[-4:]}")
    numbers = [
        int(n) for n in re.findall(r"^## Step (\d+): [a-z]", markdown(notebook), re.MULTILINE)
    ]
    if numbers != list(range(1, len(numbers) + 1)) or bool(numbers) != steps:
        problems.append(f"steps are numbered from 1, with '## Step 1: ...': {numbers}")
    if "> **In practice.**" not in markdown(notebook):
        problems.append("no box '> **In practice.**'")
    if "**Predict" not in markdown(notebook):
        problems.append("nothing to predict")
    own = [c.source for c in notebook.cells if c.source.startswith("## Check yourself")]
    answers = re.findall(
        r"<summary>\d\. .+?\?</summary>\n\n\S.+?\n\n</details>", "".join(own), re.DOTALL
    )
    if not 2 <= len(answers) <= 3:
        problems.append(f"2 or 3 questions with folded answers, not {len(answers)}")
    return problems


def check_figures(notebook: NotebookNode) -> list[str]:
    """Figures without a title or a description, widgets without a figure, and noise."""
    problems = []
    last_figure = None
    for number, cell in enumerate(notebook.cells):
        if cell.cell_type != "code":
            continue
        figures = [o for o in cell.outputs if "image/png" in o.get("data", {})]
        printed = "".join(o.text for o in cell.outputs if o.output_type == "stream")
        if figures:
            last_figure = number
            if not FIGURE_TITLE.search(cell.source):
                problems.append(f"no title: {cell.source[:60]}")
            if not DESCRIPTION.search(printed):
                problems.append(f"no sentence that describes the figure of: {cell.source[:60]}")
        if any(o.get("name") == "stderr" for o in cell.outputs) or "Warning" in printed:
            problems.append(f"noise on the console: {cell.source[:60]}")
        if re.search(r"\binteract\(|\bview\(", cell.source):
            after = [
                later
                for later, other in enumerate(notebook.cells[number : number + 4], number)
                if any("image/png" in o.get("data", {}) for o in other.get("outputs", []))
            ]
            if not after and (last_figure is None or number - last_figure > 3):
                problems.append(f"no figure beside the widget: {cell.source[:60]}")
            if "nbval-ignore-output" not in cell.metadata.get("tags", []):
                problems.append(f"a widget's output differs from run to run: {cell.source[:60]}")
    return problems


@each_notebook
def test_anatomy(path: Path) -> None:
    assert check_anatomy(read(path), steps=path.name[:2] > "02") == []


@each_notebook
def test_figures_are_titled_and_described_and_stand_beside_widgets(path: Path) -> None:
    solution = path.parent / "solutions" / path.name
    assert check_figures(read(solution if solution.exists() else path)) == []


@each_notebook
def test_markdown_cells_are_short(path: Path) -> None:
    cells = [cell.source for cell in read(path).cells[1:] if cell.cell_type == "markdown"]
    long = {source[:40]: words(source) for source in cells if words(source) > NUMBER_WORDS}
    assert long == {}
    assert words(read(path).cells[0].source) <= 2 * NUMBER_WORDS


@each_notebook
def test_every_term_is_explained_where_it_is_first_used(path: Path) -> None:
    known: set[str] = set()
    for earlier in NOTEBOOKS:
        if earlier.parent.name == "notebooks" and earlier.name < path.name:
            known |= introduced(read(earlier))
    assert unexplained(read(path), known) == {}
    linked = {anchor for _, anchor in GLOSSARY_LINK.findall(markdown(read(path)))}
    assert linked <= set(glossary_terms())


# The frame's own checks see what is wrong


def framed() -> NotebookNode:
    """A small notebook that keeps the frame."""
    mark, code = nbformat.v4.new_markdown_cell, nbformat.v4.new_code_cell
    answer = "<details><summary>{}. Why?</summary>\n\nSo.\n\n</details>"
    figure = nbformat.v4.new_output("display_data", {"image/png": "="})
    text = nbformat.v4.new_output("stream", name="stdout", text="Picture: a line that rises.\n")
    tags = {"tags": ["nbval-ignore-output"]}
    return nbformat.v4.new_notebook(
        cells=[
            mark("# Try it\n\n![one two three four](a.png)\n\n**You need** nothing."),
            code('if "google.colab" in sys.modules:\n    pass'),
            code("import numpy"),
            code("source = current_source()"),
            mark("## Step 1: look\n\n**Predict:** what is a *chunk*?\n\n> **In practice.** Look."),
            code("plt.title('A chunk')", outputs=[figure, text]),
            code("view(image)", metadata=tags),
            mark("## Recap\n\nA chunk."),
            mark("## Check yourself\n\n" + answer.format(1) + "\n\n" + answer.format(2)),
            mark("## Next step\n\nNext."),
            mark("## Cite\n\nUs."),
        ]
    )


def test_the_frame_checks_pass_what_is_right() -> None:
    notebook = framed()
    assert check_anatomy(notebook, steps=True) == check_figures(notebook) == []
    assert unexplained(notebook, set()) == {} and introduced(notebook) == {"chunk"}


@pytest.mark.parametrize(
    ("cell", "old", "new"),
    [
        (0, "# Try it", "# The box"),
        (0, "![one two three four](a.png)\n\n", ""),
        (1, "google.colab", "colab"),
        (3, "source = ", "print"),
        (5, "plt", "import os\nplt"),
        (4, "Step 1", "Step 2"),
        (4, "## Step", "### Step"),
        (4, "> **In practice.**", "In practice."),
        (4, "**Predict:**", "Say:"),
        (7, "## Recap", "## Summary"),
        (8, "?</summary>", "</summary>"),
        (9, "## Next step", "## Cite"),
    ],
)
def test_the_frame_check_sees_what_is_wrong(cell: int, old: str, new: str) -> None:
    notebook = framed()
    assert old in notebook.cells[cell].source
    notebook.cells[cell].source = notebook.cells[cell].source.replace(old, new)
    assert check_anatomy(notebook, steps=True)


def test_the_figure_check_sees_what_is_wrong() -> None:
    for cell, source in ((5, "plt.plot()"), (6, "view(image)")):
        notebook = framed()
        notebook.cells[cell].source = source
        notebook.cells[cell].metadata.tags = []
        assert check_figures(notebook)
    notebook = framed()
    notebook.cells[5].outputs[1].text = "A line."
    assert check_figures(notebook)
    notebook = framed()
    notebook.cells[5].outputs = []
    assert check_figures(notebook)
    notebook = framed()
    notebook.cells[5].outputs[1].name = "stderr"
    assert check_figures(notebook)


def test_the_term_check_sees_what_is_wrong() -> None:
    notebook = framed()
    notebook.cells[4].source = "Every chunk, and every *chunk*."
    assert set(unexplained(notebook, set())) == {"chunk"} and introduced(notebook) == set()
    notebook.cells[0].source += "\n\nWords: [chunk](../docs/glossary.md#chunk)."
    assert set(unexplained(notebook, set())) == {"chunk"}, "no earlier notebook explains it"
    assert unexplained(notebook, {"chunk"}) == {}
    assert words("Five words, one of them `code`.\n\n| a | table |\n") == 5
