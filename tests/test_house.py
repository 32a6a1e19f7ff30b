"""The rooms of `data_helpers`: who imports whom, and what importing does to the user's Python.

The reading path is what a learner reads from an image's id to its pixels. It stands by itself: no
wing is imported there, so any wing can be taken away. docs/design.md draws it.
"""

import ast
import functools
import gc
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import data_helpers

PACKAGE = Path(data_helpers.__file__).parent
ROOT = PACKAGE.parent
WINGS = {"cache", "meter", "viewer", "scale_out", "checks", "offline", "practice", "hand_over"}


def modules(package=PACKAGE):
    """Name and source of every module, such as "store" and "cache.disk"; stubs count, too."""
    found = {}
    for path in sorted([*package.rglob("*.py"), *package.rglob("*.pyi")]):
        parts = path.relative_to(package).with_suffix("").parts
        name = ".".join(part for part in parts if part != "__init__")
        found[name] = found.get(name, "") + path.read_text(encoding="utf-8")
    return found


@functools.cache
def parsed(source):
    """The syntax tree of a module.

    The garbage collector waits meanwhile: it may find an error of another test that asyncio then
    prints, for which Python 3.11 parses, too, and it cannot do both at a time.
    """
    gc.disable()
    try:
        return ast.parse(source)
    finally:
        gc.enable()


def imports(name, source, known):
    """Modules of the package that a module imports, wherever in it, also for types only."""
    found = set()
    package = (
        name if any(other.startswith(f"{name}.") for other in known) else name.rpartition(".")[0]
    )
    for node in ast.walk(parsed(source)):
        if isinstance(node, ast.Import):
            named = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".") if package else []
            above = parts[: len(parts) - node.level + 1] if node.level else []
            base = ".".join(["data_helpers", *above] if node.level else [])
            base = ".".join(filter(None, [base, node.module]))
            named = [f"{base}.{alias.name}" for alias in node.names]
        else:
            continue
        for target in named:
            if target.split(".")[0] == "data_helpers":
                found.add(nearest(target.removeprefix("data_helpers").lstrip("."), known))
    return found - {name}


def nearest(target, known):
    """The module that a dotted name lies in."""
    while target not in known:
        target = target.rpartition(".")[0]
    return target


def wing(name):
    """The wing that a module belongs to, or nothing."""
    first = name.split(".")[0]
    return first if first in WINGS else ""


def arrows(sources):
    """For each module those that it imports; the front door, which names all, is left out."""
    every = {name: imports(name, text, sources) for name, text in sources.items() if name}
    return {name: targets - {""} for name, targets in every.items()}


def problems(sources):
    """What is wrong with the rooms, in sentences."""
    found = []
    every = arrows(sources)
    for name, targets in every.items():
        for target in sorted(targets):
            if wing(target) and not wing(name):
                found.append(f"{name} is on the reading path and imports the wing {target}")
            elif wing(target) and wing(target) != wing(name) and "." in target:
                found.append(f"{name} goes past the door of the wing {wing(target)}: {target}")
    try:
        list(TopologicalSorter(every).static_order())
    except CycleError as error:
        found.append(f"a circle: {' <- '.join(error.args[1])}")
    return found


def test_no_room_of_the_reading_path_needs_a_wing_and_nothing_goes_in_a_circle():
    sources = modules()
    assert len(sources) > 50 and WINGS <= set(sources)
    assert problems(sources) == []


@pytest.mark.parametrize(
    ("module", "line", "said"),
    [
        ("store", "from .cache import find_cache", "imports the wing cache"),
        ("lazy", "def f():\n    from . import meter", "imports the wing meter"),
        ("metadata", "from data_helpers.offline import endpoint", "imports the wing offline"),
        ("errors", "if TYPE_CHECKING:\n    from .multiscale import Multiscale", "a circle"),
        ("cache.base", "from .disk import DiskCache", "a circle"),
        ("cache.disk", "from . import find_cache", "a circle"),
        ("offline.process", "from ..viewer import view", "a circle"),
        ("meter.cost", "from ..cache.disk import DiskCache", "past the door of the wing cache"),
    ],
)
def test_a_wrong_arrow_is_seen(module, line, said):
    sources = modules()
    sources[module] = sources[module].replace("\nimport", f"\n{line}\nimport", 1)
    if line not in sources[module]:
        sources[module] += f"\n{line}\n"
    assert any(said in problem for problem in problems(sources))


def test_doors_are_opened_by_name_in_two_places_only():
    """`open_door` imports a wing unseen by the test above: for a cache, and for a local server."""
    found = {name for name, text in modules().items() if "open_door(" in text}
    assert found == {"_doors", "_caching", "sources"}
    assert {name for name, text in modules().items() if "import_module" in text} == {
        "_doors",
        "offline.chunks",  # the painters of the stand-in
    }


READ_WITHOUT_WINGS = """
import sys

class Closed:
    def find_spec(self, name, path=None, target=None):
        if name.startswith("data_helpers.") and name.split(".")[1] in WINGS:
            raise ImportError(f"the wing {name} is closed")

WINGS = set(sys.argv[1].split(","))
sys.meta_path.insert(0, Closed())
from data_helpers import open_multiscale, show_plane
image = open_multiscale(sys.argv[2])
assert image.stored[0][0].sum() == image.levels[0][0].sum().compute() > 0
show_plane(image)
try:
    open_multiscale(sys.argv[2], cache="memory")
except ImportError as error:
    print(error)
"""


def test_an_image_is_read_and_drawn_with_every_wing_closed(tmp_path, run_python):
    from support.images import noise, write_v2

    write_v2(tmp_path / "image", [noise(2, 20, 30)], {"version": "0.3", "axes": ["z", "y", "x"]})
    script = f"import sys; sys.argv[1:] = [{','.join(WINGS)!r}, 'image']\n{READ_WITHOUT_WINGS}"
    done = run_python(script, MPLBACKEND="agg", OME_ZARR_CACHE="")
    assert done.returncode == 0, done.stderr
    assert "the wing data_helpers.cache is closed" in done.stdout  # so the doors were really shut


# What importing does to the user's Python

UNTOUCHED = """
import dask.callbacks, zarr
before = zarr.config.to_dict() if hasattr(zarr.config, "to_dict") else dict(zarr.config.config)
import copy; before = copy.deepcopy(before)
import data_helpers
names = [getattr(data_helpers, name) for name in data_helpers.__all__]
from data_helpers import _compat, _interrupt, lazy, stored_array, checks
assert not dask.callbacks.Callback.active, dask.callbacks.Callback.active
after = zarr.config.to_dict() if hasattr(zarr.config, "to_dict") else dict(zarr.config.config)
assert after == before
image = data_helpers.open_multiscale("image")
image.stored[0][:], image.levels[0].compute()
assert zarr.config.get("async.concurrency") == ZARR_DEFAULT
print(len(names), len(dask.callbacks.Callback.active))
"""


def test_importing_changes_neither_zarr_nor_dask(tmp_path, run_python):
    from support.images import noise, write_v2

    write_v2(tmp_path / "image", [noise(2, 20, 30)], {"version": "0.3", "axes": ["z", "y", "x"]})
    default = run_python("import zarr; print(zarr.config.get('async.concurrency'))").stdout
    done = run_python(UNTOUCHED.replace("ZARR_DEFAULT", default.strip()))
    assert done.returncode == 0, done.stderr
    names, callbacks = map(int, done.stdout.split())
    assert names > 30 and callbacks == 1  # the stop button's, from the first request on


# Private names of other packages


def private_imports(source):
    """Private modules and names of other packages that a module imports."""
    found = set()
    for node in ast.walk(parsed(source)):
        if isinstance(node, ast.Import):
            named = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            named = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        found |= {name for name in named if is_private(name)}
    return found


def is_private(name):
    """Whether a dotted name is not for users, by its underscore or by what its package says.

    Zarr: "zarr.core" is private. Dask documents neither its slicing nor its task module.
    """
    package, *parts = name.split(".")
    if package in {"data_helpers", "__future__"} or package in sys.stdlib_module_names:
        return False
    inner = name.startswith(("zarr.core.", "dask.array.slicing."))
    return inner or any(part.startswith("_") for part in parts)


def test_private_names_of_other_packages_are_imported_in_one_module():
    found = {
        name: private for name, text in modules().items() if (private := private_imports(text))
    }
    assert set(found) == {"_compat"}
    assert private_imports("from zarr.core.sync import sync\nimport zarr, dask._task_spec") == {
        "zarr.core.sync.sync",
        "dask._task_spec",
    }
