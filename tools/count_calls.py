"""Count what the notebooks teach: calls of libraries, calls of this course's helper, words, lines.

    python3 run.py python tools/count_calls.py            print a table
    python3 run.py python tools/count_calls.py --check    end with 1 if a limit below is not kept

Every notebook counts once, an exercise by its solution. Its code is read (by `ast`), never run:

- A name is known by where it comes from: an import, or an assignment, loop, `with` or argument
  that leads back to one. All functions of a notebook share one set of names.
- A *library call* calls a function of one of `LIBRARIES`, or a method of what such a call returned.
- A *helper call* calls a name imported from `data_helpers`, or a method of what it returned.
  `answered` and the check modules are counted apart.
- A *Dask operation* is a function of `dask.array`, or a method of a Dask array: what `levels`
  holds, what the lazy `load_*` functions return, and whatever is computed from those or by
  `dask.array` itself. `dask.compute` and `dask.persist` count, too.
- Whatever cannot be told (such as the argument of a function that Dask calls) counts as nothing.
"""

from __future__ import annotations

import argparse
import ast
import re
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean, median, quantiles

import nbformat

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = ROOT / "notebooks"
HELPER = "data_helpers"
CHECKS = re.compile(r"answered|checks|check_\d\d")
LIBRARIES = set(
    "zarr numcodecs dask distributed numpy scipy skimage pandas matplotlib tifffile "
    "fsspec s3fs xarray".split()
)
MOST_HELPERS, LEAST_DASK, LEAST_RATIO = 12, 10, 2
# Names that start or install another program, in notebooks 08 and 09; they read no image.
OTHER_PROGRAMS = {"add_packages", "practice_server", "measure_plate", "open_in_napari"}
OTHER_PROGRAMS |= {"segment_with_cellprofiler", "segment_with_stardist"}
OTHER_PROGRAMS |= {"OmeZarrError"}  # and what they raise without it
MOST_WORDS, MOST_FIRST_WORDS, MOST_FIRST_LINKS = 40, 120, 1
RATIO_IN = ("02", "03", "04", "05", "06")  # numbers of the notebooks that the ratio is asked of

# What an expression is, as a dotted name ("numpy.max"), or one of these:
DASK = "a Dask array"
ARRAYS = "a list of Dask arrays"
LIBRARY = "an object of a library"
OURS = "an object of the helper"
STORED = "levels as stored"
LAZY = {"load_binary_from_s3", "load_labels_from_s3", "level", "lazy", "overview"}
PIXELS = {"load_binary_from_s3_with_data", "overlay_labels"}
OBJECTS = {DASK, ARRAYS, LIBRARY, OURS, STORED}


@dataclass
class Counts:
    """What one notebook holds.

    Attributes
    ----------
    name : str
        File name.
    lines : list of int
        Lines of each code cell that are not empty.
    words : list of int
        Words of each text cell; neither addresses nor descriptions of pictures count.
    first_links : int
        Links in the first cell.
    library, helper, checks, dask : Counter
        How often each was called, by name.
    names : set of str
        Names of the helper that are used.
    """

    name: str
    lines: list[int] = field(default_factory=list)
    words: list[int] = field(default_factory=list)
    first_links: int = 0
    library: Counter[str] = field(default_factory=Counter)
    helper: Counter[str] = field(default_factory=Counter)
    checks: Counter[str] = field(default_factory=Counter)
    dask: Counter[str] = field(default_factory=Counter)
    names: set[str] = field(default_factory=set)


def count(path: Path) -> Counts:
    """Count what a notebook holds."""
    notebook = nbformat.read(path, as_version=4)
    found = Counts(path.name)
    cells = [cell for cell in notebook.cells if cell.source.strip()]
    texts = [cell.source for cell in cells if cell.cell_type == "markdown"]
    codes = [cell.source for cell in cells if cell.cell_type == "code"]
    found.words = [words(text) for text in texts]
    found.first_links = links(texts[0]) if texts else 0
    found.lines = [sum(bool(line.strip()) for line in code.splitlines()) for code in codes]
    _Reader(found).read([ast.parse(without_magics(code)) for code in codes])
    return found


def without_magics(code: str) -> str:
    """Code without IPython's own lines; a line that Python needs there becomes `pass`."""
    return re.sub(r"^( *)[%!].*$", r"\1pass", code, flags=re.MULTILINE)


def words(text: str) -> int:
    """Number of words that a reader sees in Markdown, blocks of code left out."""
    text = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    text = re.sub(r"!\[[^\]]*\]\([^)]*\)|<[^>]*>|\]\([^)]*\)", " ", text)
    return sum(bool(re.search(r"\w", word)) for word in text.split())


def links(text: str) -> int:
    """Number of links in Markdown; pictures are none."""
    return len(re.findall(r"(?<!!)\[[^\]]*\]\(|<a\b", text))


# --- calls ------------------------------------------------------------------------------------


class _Reader(ast.NodeVisitor):
    """Reads the code of a notebook from top to bottom, and counts into a `Counts`.

    It reads twice: the first time to learn what names stand for, also where a function is called
    only below; the second time to count.
    """

    def __init__(self, counts: Counts) -> None:
        self.counts = counts
        self.known: dict[str, str] = {}
        self.functions: dict[str, ast.FunctionDef] = {}
        self.counting = False

    def read(self, cells: Sequence[ast.Module]) -> None:
        for self.counting in (False, True):
            for cell in cells:
                self.visit(cell)

    # What names stand for

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            name = alias.name if alias.asname else alias.name.partition(".")[0]
            self.known[alias.asname or name] = name

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        for alias in node.names:
            self.known[alias.asname or alias.name] = f"{node.module}.{alias.name}"

    def visit_Assign(self, node: ast.Assign) -> None:
        self.visit(node.value)
        for target in node.targets:
            self.bind(target, node.value)

    def visit_For(self, node: ast.For) -> None:
        self.visit(node.iter)
        self.bind_loop(node.target, node.iter)
        for part in (*node.body, *node.orelse):
            self.visit(part)

    def visit_withitem(self, node: ast.withitem) -> None:
        self.visit(node.context_expr)
        if node.optional_vars is not None:
            self.bind(node.optional_vars, node.context_expr)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self.functions[node.name] = node
        self.known.pop(node.name, None)
        self.generic_visit(node)
        for part in ast.walk(node):
            if isinstance(part, ast.Return) and part.value is not None and self.kind(part.value):
                self.known[f"{node.name}()"] = self.kind(part.value)

    def visit_comprehension(self, node: ast.comprehension) -> None:
        self.visit(node.iter)
        self.bind_loop(node.target, node.iter)
        for condition in node.ifs:
            self.visit(condition)

    def visit_ListComp(self, node: ast.ListComp | ast.SetComp | ast.GeneratorExp) -> None:
        for part in (*node.generators, node.elt):
            self.visit(part)

    visit_SetComp = visit_GeneratorExp = visit_ListComp

    def visit_DictComp(self, node: ast.DictComp) -> None:
        for part in (*node.generators, node.key, node.value):
            self.visit(part)

    def bind(self, target: ast.expr, value: ast.expr) -> None:
        """Note what an assignment makes of its names."""
        if isinstance(target, ast.Tuple | ast.List):
            one_each = isinstance(value, ast.Tuple) and len(value.elts) == len(target.elts)
            values = value.elts if one_each else [value] * len(target.elts)
            for part, its_value in zip(target.elts, values, strict=True):
                self.bind(part, its_value)
        elif isinstance(target, ast.Starred):
            self.bind(target.value, value)
        elif isinstance(target, ast.Name):
            self.note(target.id, self.kind(value))

    def bind_loop(self, target: ast.expr, iterated: ast.expr) -> None:
        """Note what a loop makes of its names, through `enumerate` and `zip`."""
        name = iterated.func.id if _calls_a_name(iterated) else ""
        if name == "enumerate" and isinstance(target, ast.Tuple) and iterated.args:
            self.bind_loop(target.elts[-1], iterated.args[0])
        elif name == "zip" and isinstance(target, ast.Tuple):
            for part, its_iterated in zip(target.elts, iterated.args, strict=False):
                self.bind_loop(part, its_iterated)
        else:
            self.bind(target, ast.Subscript(iterated, ast.Constant(0), ast.Load()))

    def note(self, name: str, kind: str) -> None:
        if kind:
            self.known[name] = kind
        elif self.counting:
            self.known.pop(name, None)

    # What an expression is

    def kind(self, node: ast.expr) -> str:
        """A dotted name, one of `OBJECTS`, or nothing if it cannot be told."""
        if isinstance(node, ast.Name):
            return self.known.get(node.id, "")
        if isinstance(node, ast.Attribute):
            return _attribute(self.kind(node.value), node.attr)
        if isinstance(node, ast.Subscript):
            return _item(self.kind(node.value), isinstance(node.value, ast.Attribute))
        if isinstance(node, ast.Call):
            return self.result(node)
        if isinstance(node, ast.UnaryOp):
            return self.kind(node.operand)
        parts: list[ast.expr] = []
        if isinstance(node, ast.BinOp):
            parts = [node.left, node.right]
        elif isinstance(node, ast.Compare):
            parts = [node.left, *node.comparators]
        kinds = {self.kind(part) for part in parts}
        return next((kind for kind in (DASK, LIBRARY) if kind in kinds), "")

    def result(self, call: ast.Call) -> str:
        """What a call returns."""
        if isinstance(call.func, ast.Name) and call.func.id in self.functions:
            return self.known.get(f"{call.func.id}()", "")
        function = self.kind(call.func)
        name = function.rpartition(".")[2]
        if function.startswith("method "):
            owner = function.removeprefix("method ").partition(".")[0]
            if owner == DASK and name != "compute":
                return DASK
            if owner in (OURS, STORED):
                return DASK if name in LAZY else OURS
            return LIBRARY
        root = function.partition(".")[0]
        if root == HELPER:
            return DASK if name in LAZY else LIBRARY if name in PIXELS else OURS
        if root in LIBRARIES:
            return DASK if function.startswith("dask.array.") and name != "compute" else LIBRARY
        return ""

    # Counting

    def visit_Name(self, node: ast.Name) -> None:
        self.use(self.known.get(node.id, ""))

    def visit_Attribute(self, node: ast.Attribute) -> None:
        self.use(self.kind(node))
        self.generic_visit(node)

    def use(self, kind: str) -> None:
        name = kind.rpartition(".")[2]
        is_ours = kind.startswith(f"{HELPER}.") and not _is_module(kind)
        if self.counting and is_ours and not CHECKS.fullmatch(kind.split(".")[1]):
            self.counts.names.add(name)

    def visit_Call(self, node: ast.Call) -> None:
        if isinstance(node.func, ast.Name) and node.func.id in self.functions:
            wanted = self.functions[node.func.id].args.args
            for argument, value in zip(wanted, node.args, strict=False):
                self.note(argument.arg, self.kind(value) or self.known.get(argument.arg, ""))
        elif self.counting:
            self.count(self.kind(node.func))
        self.generic_visit(node)

    def count(self, function: str) -> None:
        """Count one call of a function."""
        if function in OBJECTS:  # delayed(function)(1) calls one library function, not two
            return
        counts, name = self.counts, function.rpartition(".")[2]
        owner = function.removeprefix("method ").partition(".")[0]
        if owner == HELPER:
            a_check = any(CHECKS.fullmatch(part) for part in function.split(".")[1:])
            (counts.checks if a_check else counts.helper)[name] += 1
        elif owner in (OURS, STORED):
            counts.helper[f".{name}"] += 1
        elif owner in LIBRARIES or owner in OBJECTS:
            counts.library[name] += 1
            of_dask = owner == DASK or function.startswith("dask.array.")
            if of_dask or function in ("dask.compute", "dask.persist"):
                counts.dask[name] += 1


def _calls_a_name(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name)


def _is_module(kind: str) -> bool:
    """Whether a dotted name is a module of the helper, such as data_helpers.offline."""
    place = ROOT.joinpath(*kind.split("."))
    return place.is_dir() or place.with_suffix(".py").is_file()


def _attribute(owner: str, name: str) -> str:
    """What an attribute is; a method is "method", its owner and its name."""
    if owner in (OURS, STORED):
        if name == "levels":
            return ARRAYS
        if name == "stored":
            return STORED
        if name == "zarr_array":
            return LIBRARY
    if owner in OBJECTS:
        return f"method {owner}.{name}"
    if owner.startswith("method "):  # an attribute that was no method: array.chunks, axes.flat
        return f"{owner.split('.')[0]}.{name}"
    return f"{owner}.{name}" if owner else ""


def _item(owner: str, of_attribute: bool) -> str:
    """What indexing gives."""
    if owner.startswith("method "):  # channels[0], axes.flat[0], array.shape[0]
        kind = owner.removeprefix("method ").partition(".")[0]
        return kind if kind in (OURS, LIBRARY) else ""
    if owner == STORED:
        return STORED if of_attribute else LIBRARY  # stored[4] is a level, level[0, 0] is pixels
    return {ARRAYS: DASK, DASK: DASK, LIBRARY: LIBRARY, OURS: OURS}.get(owner, "")


# --- the report -------------------------------------------------------------------------------


def taught(folder: Path) -> list[Path]:
    """Each notebook once, in reading order, an exercise by its solution."""
    paths = sorted(folder.glob("*.ipynb"))
    solutions = [folder / "solutions" / path.name for path in paths]
    return [s if s.exists() else p for p, s in zip(paths, solutions, strict=True)]


def table(every: Sequence[Counts]) -> str:
    """The numbers of each notebook, and of all together."""
    heads = "code cells,lines,90 %,text cells,words,library,helper,checks,Dask"
    rows = [["notebook", *heads.split(",")]]
    for one in [*every, together(every)]:
        calls = [one.library.total(), one.helper.total(), one.checks.total(), one.dask.total()]
        lines = [len(one.lines), f"{median(one.lines or [0]):g}", f"{ninetieth(one.lines):g}"]
        mean = f"{fmean(one.words or [0]):.1f}"
        rows.append([one.name, *map(str, [*lines, len(one.words), mean, *calls])])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    names = [row[0].ljust(widths[0]) for row in rows]
    numbers = [
        "  ".join(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))
        for row in rows
    ]
    return "\n".join(f"{name}  {rest}" for name, rest in zip(names, numbers, strict=True))


def together(every: Sequence[Counts]) -> Counts:
    """The sums of all notebooks."""
    whole = Counts("all")
    for one in every:
        whole.lines += one.lines
        whole.words += one.words
        whole.names |= one.names
        for kind in ("library", "helper", "checks", "dask"):
            getattr(whole, kind).update(getattr(one, kind))
    return whole


def ninetieth(lines: Sequence[int]) -> float:
    """The 90th percentile."""
    return quantiles(lines, n=10, method="inclusive")[-1] if len(lines) > 1 else sum(lines)


def faults(every: Sequence[Counts]) -> list[str]:
    """Each limit that is not kept, in a sentence."""
    whole, found = together(every), []
    reading = whole.names - OTHER_PROGRAMS
    if len(reading) > MOST_HELPERS:
        found.append(f"{len(reading)} helper names are used; {MOST_HELPERS} are allowed.")
    if len(whole.dask) < LEAST_DASK:
        found.append(f"{len(whole.dask)} Dask operations are used; {LEAST_DASK} are wanted.")
    some = together([one for one in every if one.name.startswith(RATIO_IN)])
    library, helper = some.library.total(), some.helper.total()
    if library < LEAST_RATIO * helper:
        found.append(
            f"{RATIO_IN[0]} to {RATIO_IN[-1]} call libraries {library} times and the helper "
            f"{helper} times; {LEAST_RATIO} to 1 is wanted."
        )
    mean = fmean(whole.words or [0])
    if mean > MOST_WORDS:
        found.append(f"A text cell has {mean:.1f} words on average; {MOST_WORDS} are allowed.")
    for one in every:
        first = one.words[0] if one.words else 0
        if first > MOST_FIRST_WORDS:
            found.append(
                f"The first cell of {one.name} has {first} words; {MOST_FIRST_WORDS} are allowed."
            )
        if one.first_links > MOST_FIRST_LINKS:
            found.append(
                f"The first cell of {one.name} has {one.first_links} links; {MOST_FIRST_LINKS} is "
                "allowed."
            )
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the numbers; end with 1 if asked to check, and a limit is not kept."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="end with 1 if a limit is not kept")
    options = parser.parse_args(arguments)
    every = [count(path) for path in taught(NOTEBOOKS)]
    whole = together(every)
    print(table(every))
    print(f"\nHelper names ({len(whole.names)}): {', '.join(sorted(whole.names))}")
    print(f"Dask operations ({len(whole.dask)}): {', '.join(sorted(whole.dask))}")
    wrong = faults(every) if options.check else []
    print("".join(f"\n{fault}" for fault in wrong))
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
