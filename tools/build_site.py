"""Build the site: notebooks, teaching kit, design notes and API reference as web pages.

    python3 run.py python tools/build_site.py               from the outputs stored in the notebooks
    python3 run.py python tools/build_site.py --execute     run the notebooks first, on real images
                                                            where a public endpoint answers
    python3 run.py python tools/build_site.py --output DIR  write elsewhere than build/site/html

The pages of docs/ and the notebooks are laid out in one folder, build/site/source. A line on each,
at the top of a notebook and at the foot of other pages, links to Binder, Colab and its source and,
on a notebook, says which source made the pictures. Sphinx makes web pages of them; its warnings
are errors. Beside them go the tiles of the site's viewer (site_tiles.py). At last the pages are
checked: every internal link and anchor leads somewhere, every picture has a description, every
public name of data_helpers is in the reference, and nothing is loaded from another host.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import posixpath
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

import nbformat
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode
from PIL import Image, ImageOps

ROOT = Path(__file__).resolve().parents[1]
DOCS, NOTEBOOKS = ROOT / "docs", ROOT / "notebooks"
SCRATCH = ROOT / "build" / "site"
OUTPUT = SCRATCH / "html"
ADDRESS = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["urls"][
    "Repository"
]
PLACE = urlsplit(ADDRESS).path.strip("/")
FIRST = "notebooks/01_what_is_ome_zarr.ipynb"
WIDGET = "application/vnd.jupyter.widget-view+json"
WIDGET_TEXT = re.compile(r"interactive\(children=|Viewer of |\w+\((children|value|layout)=")


class SiteError(Exception):
    """The site cannot be built; the message says which page is at fault and what to do."""


# --- addresses ------------------------------------------------------------------------------


def binder(path: str) -> str:
    """Address that opens a file of the repository in JupyterLab on Binder."""
    return f"https://mybinder.org/v2/gh/{PLACE}/HEAD?labpath={quote(path)}"


def colab(path: str) -> str:
    return f"https://colab.research.google.com/github/{PLACE}/blob/HEAD/{quote(path)}"


def on_github(path: str) -> str:
    return f"{ADDRESS}/blob/HEAD/{quote(path)}"


def site_path(path: str) -> str | None:
    """Where a file of the repository lies in the site's source; None if it is no part of it."""
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    return path if path.startswith("notebooks/") else None


LINK = re.compile(r"(\]\(<?)([^)>\s]+)|((?:src|href)=[\"'])([^\"']+)")
CODE = re.compile(r"(```(?!\{).*?```|~~~.*?~~~|(?<!`)`[^`\n]+`(?!`))", re.DOTALL)


def with_links_for_the_site(text: str, page: str) -> str:
    """Point each link of a page to where its target is on the site, or else on GitHub.

    Parameters
    ----------
    text : str
        Markdown; what stands in code is left alone.
    page : str
        Path of the page in the repository, from which its links are counted.
    """
    here = posixpath.dirname(site_path(page) or "")

    def moved(match: re.Match[str]) -> str:
        before, target = match[1] or match[3], match[2] or match[4]
        path, hash_sign, anchor = target.partition("#")
        if not path or re.match(r"[a-z][a-z0-9+.-]*:|//", path, re.IGNORECASE):
            return match[0]
        repository_path = posixpath.normpath(posixpath.join(posixpath.dirname(page), path))
        if not (ROOT / unquote(repository_path)).exists():
            raise SiteError(f"{page} links to {path}, which does not exist")
        staged = site_path(repository_path)
        if staged is None or (ROOT / repository_path).is_dir():
            return before + on_github(repository_path) + hash_sign + anchor
        path = posixpath.relpath(staged, here)
        if match[3] and staged.endswith((".md", ".ipynb")):  # raw HTML is not translated by MyST
            path = posixpath.splitext(path)[0] + ".html"
        return before + path + hash_sign + anchor

    parts = CODE.split(text)
    parts[::2] = [LINK.sub(moved, part) for part in parts[::2]]
    return "".join(parts)


# --- pages ----------------------------------------------------------------------------------


def under_heading(text: str, lines: str, page: str) -> str:
    """Put lines below the page's title."""
    found = re.search(r"^# .*$", text, re.MULTILINE)
    if not found:
        raise SiteError(f"{page} has no title: a page begins with one '# ' line")
    return text[: found.end()] + "\n\n" + lines + "\n" + text[found.end() :]


FOLDER = """
```{toctree}
:hidden:
:glob:

*
```
"""  # below a folder's README, the navigation lists the other pages of the folder


def docs_page(text: str, page: str) -> str:
    """A page of docs/ as the site shows it."""
    links = f"Run the course in [Binder]({binder(FIRST)}) or [Colab]({colab(FIRST)}) · "
    links += f"[source of this page]({on_github(page)})"
    if page.endswith("/README.md"):
        text += FOLDER
    text = with_links_for_the_site(text, page)
    if page == "docs/index.md":
        text = THUMBNAIL.sub(r"](images/thumbnails/\1.jpg)", text)
    return text.rstrip() + "\n\n{.page-links}\n" + links + "\n"


THUMBNAIL = re.compile(r"\]\(notebooks/figures/(\w+)_picture_to_aim_for\.png\)")


def make_thumbnails(figures: Path, folder: Path) -> None:
    """Small copies, 400 by 300 pixels, of the pictures that the notebooks draw."""
    folder.mkdir(parents=True)
    for path in figures.glob("*_picture_to_aim_for.png"):
        number = path.name.split("_")[0]
        with Image.open(path) as picture:
            shown = first_and_last(picture) if number == "02" else picture
            small = ImageOps.pad(shown.convert("RGB"), (400, 300), color="white")
        small.save(folder / f"{number}.jpg", quality=82)


def first_and_last(picture: Image.Image) -> Image.Image:
    """The first and the last of four panels side by side, without the title above them all."""
    width, top = picture.width // 4, picture.height // 10
    pair = Image.new("RGB", (2 * width, picture.height - top))
    pair.paste(picture.crop((0, top, width, picture.height)), (0, 0))
    pair.paste(picture.crop((3 * width, top, 4 * width, picture.height)), (width, 0))
    return pair


def printed(cell: NotebookNode) -> list[str]:
    """Lines of text that a cell shows."""
    texts = []
    for output in cell.get("outputs", []):
        if output.output_type == "stream" and output.name == "stdout":
            texts.append(output.text)
        elif "text/markdown" in output.get("data", {}):
            texts.append(output.data["text/markdown"])
    return [line.strip() for text in texts for line in text.splitlines() if line.strip()]


def source_of_pictures(notebook: NotebookNode, page: str) -> str:
    """The sentence that says which source made a notebook's pictures, from what it printed."""
    for cell in notebook.cells:
        for line in printed(cell):
            if line.startswith("Source: "):
                if "synthetic" in line:
                    return "Pictures: **synthetic stand-in**, imitations that the course paints."
                source = line.removeprefix("Source: ").rstrip(".")
                return f"Pictures: **{source}**, except those called synthetic."
    raise SiteError(f"{page} prints no 'Source: ...' line: run current_source() in its first cells")


def description(cell: NotebookNode, following: str, page: str) -> str:
    """What a notebook says about the pictures of a cell, for people who cannot see them.

    Parameters
    ----------
    cell : NotebookNode
        The cell that drew them; it may print a line "Picture: ...".
    following : str
        The text after it, which otherwise begins with such a sentence, in italics.
    page : str
        Path of the notebook in the repository.
    """
    captions = [line for line in printed(cell) if re.match(r"(Synthetic )?[Pp]icture:", line)]
    captions += re.findall(r"\A\*(Picture: .+)\*$", following, re.MULTILINE)
    if not captions:
        start = cell.source.strip().splitlines()[0]
        raise SiteError(
            f"{page}: the figure of the cell that begins with {start!r} has no description: "
            "begin the text below it with *Picture: what it shows.*"
        )
    return " ".join(dict.fromkeys(captions))


def without_widgets(cell: NotebookNode, page: str) -> None:
    """Replace what only works with a running kernel by a sentence that says so."""
    sentence = "The viewer or slider of this cell needs a running kernel: "
    sentence += f"[open this notebook in Binder]({binder(page)})."
    for output in cell.outputs:
        data = output.get("data", {})
        if WIDGET in data or WIDGET_TEXT.match(data.get("text/plain", "")):
            output.data = nbformat.from_dict({"text/markdown": sentence})


def notebook_page(notebook: NotebookNode, page: str) -> NotebookNode:
    """A notebook as the site shows it.

    Parameters
    ----------
    notebook : NotebookNode
        With the outputs that the page is to show.
    page : str
        Its path in the repository.
    """
    notebook = nbformat.from_dict(notebook)
    notebook.metadata.pop("widgets", None)
    texts = [cell.source if cell.cell_type == "markdown" else "" for cell in notebook.cells]
    for cell, following in zip(notebook.cells, [*texts[1:], ""], strict=True):
        if cell.cell_type == "markdown":
            cell.source = with_links_for_the_site(cell.source, page)
            continue
        settings = {}
        if any("image/png" in output.get("data", {}) for output in cell.outputs):
            settings["image"] = {"alt": description(cell, following, page)}
        without_widgets(cell, page)
        if "/solutions/" in page and "exercise" in cell.metadata.get("tags", []):
            cell.metadata.tags = [*cell.metadata.tags, "hide-input"]
            settings["code_prompt_show"] = "Show the solution of this step"
            settings["code_prompt_hide"] = "Hide the solution of this step"
        if settings:
            cell.metadata.mystnb = settings
    links = f"Run it in [Binder]({binder(page)}) or [Colab]({colab(page)}) · "
    links += f"[its source]({on_github(page)}) · {source_of_pictures(notebook, page)}"
    title = notebook.cells[0]
    title.source = under_heading(title.source, "{.page-links}\n" + links, page)
    title.source = re.sub("^# ", heading(page), title.source, count=1, flags=re.MULTILINE)
    return notebook


def heading(page: str) -> str:
    """Begin of a notebook's title, so that the navigation tells exercise and solution apart."""
    number = posixpath.basename(page).split("_")[0]
    return f"# {number} Solution: " if "/solutions/" in page else f"# {number} "


# --- the folder that Sphinx reads -----------------------------------------------------------


def pages() -> list[str]:
    """Every file that becomes a page, as a path in the repository."""
    files = [*DOCS.rglob("*.md"), *NOTEBOOKS.glob("*.ipynb"), *NOTEBOOKS.glob("solutions/*.ipynb")]
    return sorted(path.relative_to(ROOT).as_posix() for path in files)


def stage(folder: Path, notebooks: Path) -> None:
    """Lay the site's source out in an empty folder; the notebooks are read from ``notebooks``."""
    shutil.rmtree(folder, ignore_errors=True)
    everything_else = shutil.ignore_patterns("*.py", "*.md", "_static", "__pycache__")
    shutil.copytree(DOCS, folder, ignore=everything_else)
    shutil.copytree(notebooks / "figures", folder / "notebooks" / "figures")
    make_thumbnails(notebooks / "figures", folder / "images" / "thumbnails")
    for page in pages():
        target = folder / str(site_path(page))
        target.parent.mkdir(parents=True, exist_ok=True)
        if page.endswith(".md"):
            made = docs_page((ROOT / page).read_text(encoding="utf-8"), page)
        else:
            stored = nbformat.read(notebooks / page.removeprefix("notebooks/"), as_version=4)
            made = nbformat.writes(notebook_page(stored, page))
        target.write_text(made, encoding="utf-8", newline="\n")


def executed_copy(folder: Path) -> Path:
    """Run a copy of every notebook, on real images where possible; return the copies' folder.

    A notebook that fails on the public endpoint is run on the stand-in; its page says so. Exercises
    are made anew from the executed solutions. The pictures to aim for stay the committed ones: the
    text below each says that it is synthetic.
    """
    from tools import make_exercises, refresh_notebooks

    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(NOTEBOOKS, folder, ignore=shutil.ignore_patterns(".ipynb_checkpoints"))
    os.environ["PYTHONPATH"] = str(ROOT)
    os.environ.pop("MPLBACKEND", None)
    wished = os.environ.get("OME_ZARR_SOURCE", "auto")
    for original in refresh_notebooks.written_by_hand():
        path = folder / original.relative_to(NOTEBOOKS)
        for source in dict.fromkeys((wished, "offline")):
            os.environ["OME_ZARR_SOURCE"] = source
            print(f"running {path.name}, source {source} ...", flush=True)
            try:
                refresh_notebooks.refresh(path, timeout=600)
                break
            except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
                print(f"it failed: {error}", flush=True)
        else:
            raise SiteError(f"{path.name} fails on the stand-in, too: see above")
    make_exercises.NOTEBOOKS = folder
    for path, content in make_exercises.made_files().items():
        if path.suffix == ".ipynb":
            path.write_bytes(content)
    return folder


def fingerprint() -> str:
    """What the site is made from, in one line; the same as long as no source has changed."""
    digest = hashlib.sha256()
    for folder, kinds in ((DOCS, "*"), (NOTEBOOKS, "*"), (ROOT / "data_helpers", "*.py*")):
        for path in sorted(folder.rglob(kinds)):
            if path.is_file() and not {"__pycache__", ".ipynb_checkpoints"} & set(path.parts):
                digest.update(path.relative_to(ROOT).as_posix().encode() + path.read_bytes())
    tiles = Path(__file__).with_name("site_tiles.py")
    for path in (Path(__file__), tiles, ROOT / "pyproject.toml"):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def stamp(output: Path) -> Path:
    return output.with_name(output.name + ".made-from")


def is_fresh(output: Path = OUTPUT) -> bool:
    """Say whether an earlier build went well and no source has changed since."""
    return stamp(output).exists() and stamp(output).read_text() == fingerprint()


def run_sphinx(source: Path, output: Path) -> None:
    """Make the web pages, all of them anew: Sphinx does not repeat warnings of unchanged pages."""
    shutil.rmtree(output, ignore_errors=True)
    command = [sys.executable, "-m", "sphinx", "-b", "html", "-q", "-E", "-n", "-W", "--keep-going"]
    command += ["-c", str(DOCS), "-d", str(SCRATCH / "doctrees"), str(source), str(output)]
    done = subprocess.run(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, timeout=600)
    said = done.stderr.replace(str(source) + os.sep, "")
    if done.returncode:
        hint = "Sphinx warned, see above (pages outside notebooks/ are in docs/)"
        raise SiteError(f"{said}\n{hint}")


# --- checks of the finished pages -----------------------------------------------------------


LOADING = {"script", "img", "source", "iframe", "video", "audio", "embed"}
NOT_LOADED = {"canonical", "search", "next", "prev", "index"}  # kinds of <link> that only name


class Page(HTMLParser):
    """What the checks need of a web page: anchors, links, what it loads, and its pictures."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.undescribed: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        """Note what an element names, loads or leads to."""
        have = {name: value or "" for name, value in attributes}
        self.anchors |= {have[name] for name in ("id", "name") if name in have}
        if tag in LOADING and "src" in have:
            self.loads.append(have["src"])
        if tag == "link" and have.get("rel") not in NOT_LOADED:
            self.loads.append(have.get("href", ""))
        if tag == "a" and "href" in have:
            self.links.append(have["href"])
        if tag == "img" and have.get("alt", "").strip().lower() in {"", "image", "figure"}:
            self.undescribed.append(have.get("src", ""))


def is_elsewhere(address: str) -> bool:
    parts = urlsplit(address)
    return bool(parts.netloc) or parts.scheme not in {"", "data"}


def lost_targets(output: Path, path: Path, page: Page, read: dict[Path, Page]) -> Iterator[str]:
    """Internal links and files of a page that lead nowhere."""
    for address in page.links + page.loads:
        if is_elsewhere(address) or address.startswith("data:") or not address:
            continue
        parts = urlsplit(address)
        target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
        target = target / "index.html" if target.is_dir() else target
        if not target.is_file() or not target.is_relative_to(output):
            yield f"leads to {address}, which does not exist"
        elif parts.fragment and target in read and parts.fragment not in ("", "top"):
            if unquote(parts.fragment) not in read[target].anchors:
                yield f"leads to {address}, which has no such anchor"


def problems(output: Path) -> list[str]:
    """Everything that is wrong with the finished pages, a sentence each."""
    output = output.resolve()
    pages = [path for path in output.rglob("*.html") if "_static" not in path.parts]  # templates
    read = {path: Page(path.read_text(encoding="utf-8")) for path in pages}
    found = []
    for path, page in sorted(read.items()):
        name = path.relative_to(output).as_posix()
        found += [f"{name} {lost}" for lost in lost_targets(output, path, page, read)]
        found += [f"{name} loads {a} from elsewhere" for a in page.loads if is_elsewhere(a)]
        found += [f"{name} shows {image} without a description" for image in page.undescribed]
    for path in sorted(output.rglob("*.css")):
        text = path.read_text(encoding="utf-8")
        loads = re.findall(r"(?:url\(|@import\s+)[\"']?([^\"')\s;]+)", text)
        found += [f"{path.name} loads {a} from elsewhere" for a in loads if is_elsewhere(a)]
    return found + [f"the reference (docs/api/) lacks {name}" for name in unlisted(output)]


def unlisted(output: Path) -> list[str]:
    """Public names of data_helpers that no page of the reference describes."""
    from sphinx.util.inventory import InventoryFile

    import data_helpers

    with (output / "objects.inv").open("rb") as file:
        inventory = InventoryFile.load(file, "", posixpath.join)
    known = {name for kind, names in inventory.items() if kind.startswith("py:") for name in names}
    return sorted(name for name in data_helpers.__all__ if f"data_helpers.{name}" not in known)


def build(output: Path, execute: bool) -> None:
    """Stage, make and check the site; raise SiteError with what is wrong."""
    from tools.site_tiles import make_tiles

    stamp(output).unlink(missing_ok=True)
    made_from = fingerprint()
    wished = os.environ.get("OME_ZARR_SOURCE") or "auto"
    notebooks = executed_copy(SCRATCH / "notebooks") if execute else NOTEBOOKS
    stage(SCRATCH / "source", notebooks)
    run_sphinx(SCRATCH / "source", output)
    with contextlib.redirect_stdout(sys.stderr):  # the last line says where the pages are
        make_tiles(output / "tiles", wished if execute else "offline")
    wrong = problems(output)
    if wrong:
        raise SiteError("\n".join(wrong) + f"\n{len(wrong)} problems on the finished pages")
    stamp(output).write_text(made_from)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Build the site.")
    parser.add_argument("--execute", action="store_true", help="run the notebooks first")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="folder of the web pages")
    options = parser.parse_args(arguments)
    output = options.output.resolve()
    try:
        build(output, options.execute)
    except SiteError as error:
        print(f"{error}\nThe site was not built.", file=sys.stderr)
        return 1
    print(f"{len(list(output.rglob('*.html')))} pages: {output / 'index.html'}")
    return 0


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    sys.exit(main())
