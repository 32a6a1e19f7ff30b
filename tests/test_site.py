"""tools/build_site.py: how pages are laid out, and that its checks notice what is wrong."""

import nbformat
import pytest
from nbclient.exceptions import CellTimeoutError
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from tools import build_site

EXERCISE = "notebooks/03_segment_in_parallel.ipynb"
SOLUTION = "notebooks/solutions/03_segment_in_parallel.ipynb"
SOURCE = new_output("stream", name="stdout", text="Source: offline stand-in, synthetic images.\n")
FIGURE = new_output("display_data", data={"image/png": "AAAA", "text/plain": "<Figure>"})


def said(text):
    return new_output("stream", name="stdout", text=text)


def notebook(*cells):
    first = [new_markdown_cell("# Title\n\nText"), new_code_cell("source", outputs=[SOURCE])]
    return new_notebook(cells=[*first, *cells])


def staged(*cells, page=EXERCISE):
    return build_site.notebook_page(notebook(*cells), page).cells


# --- links ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "page", "wanted"),
    [
        ("[a](caching.md#x)", "docs/design.md", "[a](caching.md#x)"),
        (f"[a](../{EXERCISE})", "docs/cluster.md", f"[a]({EXERCISE})"),
        ("[a](../docs/glossary.md#chunk)", EXERCISE, "[a](../glossary.md#chunk)"),
        ("[a](../02_explore_multiscale.ipynb)", SOLUTION, "[a](../02_explore_multiscale.ipynb)"),
        ("![a](images/zoom.png)", "docs/index.md", "![a](images/zoom.png)"),
        ("[a](../run.py)", "docs/design.md", f"[a]({build_site.ADDRESS}/blob/HEAD/run.py)"),
        ('<a href="../docs/caching.md">', EXERCISE, '<a href="../caching.html">'),
        ("`[a](nowhere.md)`", "docs/design.md", "`[a](nowhere.md)`"),
        ("[a](https://example.org/x.md)", "docs/design.md", "[a](https://example.org/x.md)"),
        ("[a](#here)", "docs/design.md", "[a](#here)"),
    ],
)
def test_links_lead_to_the_site_or_to_github(text, page, wanted):
    assert build_site.with_links_for_the_site(text, page) == wanted


def test_a_link_to_nothing_stops_the_build():
    with pytest.raises(build_site.SiteError, match=r"docs/design\.md links to nowhere\.md"):
        build_site.with_links_for_the_site("[a](nowhere.md)", "docs/design.md")


# --- notebooks ------------------------------------------------------------------------------


def test_the_top_of_a_notebook_links_to_binder_colab_and_source_and_names_the_pictures_source():
    top = staged()[0].source
    assert top.startswith("# 03 Title\n\n{.page-links}\nRun it in [Binder](https://mybinder.org/")
    assert f"[Colab](https://colab.research.google.com/github/{build_site.PLACE}/" in top
    assert f"[its source]({build_site.ADDRESS}/blob/HEAD/{EXERCISE})" in top
    assert "Pictures: **synthetic stand-in**" in top and top.endswith("\n\nText")


def test_real_pictures_are_called_by_their_source():
    real = notebook()
    real.cells[1].outputs = [said("Source: uk1s3, real IDR images from https://x.org.\n")]
    top = build_site.notebook_page(real, EXERCISE).cells[0].source
    assert "Pictures: **uk1s3, real IDR images from https://x.org**, except those" in top


def test_a_notebook_that_does_not_name_its_source_stops_the_build():
    with pytest.raises(build_site.SiteError, match="prints no 'Source"):
        build_site.notebook_page(new_notebook(cells=[new_markdown_cell("# T")]), EXERCISE)


def test_figures_are_described_by_the_caption_that_the_cell_prints():
    cell = new_code_cell("x", outputs=[said("3 requests\nSynthetic picture: nuclei.\n"), FIGURE])
    assert staged(cell)[-1].metadata.mystnb.image.alt == "Synthetic picture: nuclei."


def test_figures_are_described_by_the_sentence_that_begins_the_text_below():
    text = "*Picture: nuclei in grey.*\n\nEach is round."
    made = staged(new_code_cell("x", outputs=[FIGURE]), new_markdown_cell(text))
    assert made[-2].metadata.mystnb.image.alt == "Picture: nuclei in grey."


def test_a_figure_without_a_caption_stops_the_build():
    with pytest.raises(build_site.SiteError, match=r"begins with 'plot\(\)' has no description"):
        staged(new_code_cell("plot()", outputs=[FIGURE]))


@pytest.mark.parametrize("text", ["interactive(children=(IntSlider(", "Viewer of IDR 9822152 (s"])
def test_widgets_become_a_sentence_with_a_link(text):
    cell = new_code_cell("x", outputs=[new_output("display_data", data={"text/plain": text})])
    (output,) = staged(cell)[-1].outputs
    assert list(output.data) == ["text/markdown"]
    assert (
        f"needs a running kernel: [open this notebook in Binder]({build_site.binder(EXERCISE)})"
        in (output.data["text/markdown"])
    )


def test_the_code_of_a_solution_is_behind_a_click():
    cell = new_code_cell("x = 1", metadata={"tags": ["exercise"]})
    made = staged(cell, page=SOLUTION)
    assert "hide-input" in made[-1].metadata.tags
    assert made[0].source.startswith("# 03 Solution: Title")
    assert "hide-input" not in staged(nbformat.from_dict(cell))[-1].metadata.tags


# --- checks of finished pages ---------------------------------------------------------------


def test_what_is_wrong_with_a_page_is_noticed(tmp_path, monkeypatch):
    monkeypatch.setattr(build_site, "unlisted", lambda output: ["view"])
    (tmp_path / "ok.html").write_text('<h1 id="top1">x</h1><img alt="a cell" src="data:,">')
    (tmp_path / "bad.html").write_text(
        '<a href="gone.html">x</a><a href="ok.html#nowhere">x</a><a href="ok.html#top1">x</a>'
        '<img src="lost.png" alt="image"><script src="https://example.org/x.js"></script>'
    )
    (tmp_path / "x.css").write_text('@import "https://example.org/font.css"; a {color: red}')
    assert build_site.problems(tmp_path) == [
        "bad.html leads to gone.html, which does not exist",
        "bad.html leads to ok.html#nowhere, which has no such anchor",
        "bad.html leads to lost.png, which does not exist",
        "bad.html loads https://example.org/x.js from elsewhere",
        "bad.html shows lost.png without a description",
        "x.css loads https://example.org/font.css from elsewhere",
        "the reference (docs/api/) lacks view",
    ]


def test_a_site_is_fresh_until_a_source_changes(tmp_path, monkeypatch):
    output = tmp_path / "html"
    assert not build_site.is_fresh(output)
    build_site.stamp(output).write_text(build_site.fingerprint())
    assert build_site.is_fresh(output)
    monkeypatch.setattr(build_site, "DOCS", build_site.ROOT / "docs" / "api")
    assert not build_site.is_fresh(output)


# --- running the notebooks ------------------------------------------------------------------


@pytest.fixture
def runs(monkeypatch, tmp_path):
    """Pretend to run notebooks: note name and source; say whether a source answers."""
    noted, broken = [], set()

    def pretend(path, **options):
        source = build_site.os.environ["OME_ZARR_SOURCE"]
        noted.append((path.name, source))
        if source in broken:
            raise CellTimeoutError("no answer")

    monkeypatch.setattr("tools.refresh_notebooks.refresh", pretend)
    only = [build_site.NOTEBOOKS / "02_explore_multiscale.ipynb"]
    monkeypatch.setattr("tools.refresh_notebooks.written_by_hand", lambda: only)
    monkeypatch.setattr("tools.make_exercises.NOTEBOOKS", tmp_path)
    monkeypatch.setattr("tools.make_exercises.made_files", dict)
    monkeypatch.setenv("OME_ZARR_SOURCE", "auto")
    for name in ("PYTHONPATH", "MPLBACKEND"):  # so that they are put back afterwards
        monkeypatch.setenv(name, "")
    return noted, broken


def test_a_notebook_that_fails_on_the_endpoint_is_run_on_the_stand_in(runs, tmp_path):
    noted, broken = runs
    build_site.executed_copy(tmp_path / "first")
    assert noted == [("02_explore_multiscale.ipynb", "auto")]
    broken.add("auto")
    build_site.executed_copy(tmp_path / "second")
    assert [source for _, source in noted[1:]] == ["auto", "offline"]
    broken.add("offline")
    with pytest.raises(build_site.SiteError, match="fails on the stand-in, too"):
        build_site.executed_copy(tmp_path / "third")
