"""A folder holds the results of one run in blocks: one image, one function, one set of parameters.

Whatever differs is refused in a sentence, also between two that begin at the same moment; the same
again goes on, in another kernel, too.
"""

import dataclasses
import enum
import functools
import json
import os
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import zarr
from skimage.measure import label
from support.images import axes, halve, noise, scales, write_v2
from support.misbehaving import MisbehavingServer
from zarr.storage import FsspecStore, MemoryStore

from data_helpers import BlockRun, OmeZarrError, open_multiscale
from data_helpers.addresses import split_secret
from data_helpers.offline import process
from data_helpers.scale_out import claim, fingerprint
from data_helpers.scale_out.fingerprint import fingerprint as marks_of
from data_helpers.scale_out.image_name import name_of_image
from data_helpers.scale_out.tasks import segment_block

ROOT = Path(__file__).resolve().parents[1]
ENVIRONMENT = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])}
CUT = {"block_shape": (4, 8, 8), "overlap": (0, 0, 0)}


def write_volume(folder):
    metadata = {"version": "0.4", "axes": axes("zyx"), "datasets": scales([1, 1, 1])}
    return write_v2(folder, [noise(8, 8, 8)], metadata, chunks=(8, 8, 8))


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    return open_multiscale(write_volume(tmp_path_factory.mktemp("volume") / "image"))


def segment(pixels, threshold=0):
    return label(pixels > threshold)


# Other processes

TOGETHER = """
import json, sys, time
sys.path.insert(0, sys.argv[1])
from test_block_identity import CUT, BlockRun, OmeZarrError, all_marks, open_multiscale, segment
image = open_multiscale(sys.argv[2])
image.stored
print("ready", flush=True)
for line in sys.stdin:
    if line.strip() == "marks":
        print(json.dumps(all_marks()), flush=True)
        continue
    folder, threshold, at = line.split()
    while time.time() < float(at):
        pass
    try:
        run = BlockRun(folder, image, segment, **CUT, parameters={"threshold": int(threshold)})
        print("accepted", run._is_first, flush=True)
    except OmeZarrError as error:
        print("refused", error, flush=True)
    except BaseException as error:
        print("bare", type(error), error, flush=True)
"""


@pytest.fixture(scope="module")
def pair(image):
    """Two processes that begin runs together."""
    arguments = [sys.executable, "-c", TOGETHER, str(ROOT / "tests"), image.url]
    environment = ENVIRONMENT | {"PYTHONHASHSEED": "77"}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "env": environment}
    both = [subprocess.Popen(arguments, **pipes) for _ in range(2)]
    try:
        assert [one.stdout.readline() for one in both] == ["ready\n"] * 2
        yield both
    finally:
        for one in both:
            one.communicate(timeout=20)


# The image


def test_the_same_path_on_another_host_is_another_image(tmp_path):
    """Two servers with the same tree: scheme, host and port are the same or not, the path is."""
    write_volume(tmp_path / "data/i.zarr")
    with MisbehavingServer(tmp_path) as one, MisbehavingServer(tmp_path) as other:
        images = [open_multiscale(f"{at.endpoint}/data/i.zarr") for at in (one, other)]
        BlockRun(tmp_path / "out", images[0], segment, **CUT)
        BlockRun(tmp_path / "out", open_multiscale(images[0].url), segment, **CUT)
        with pytest.raises(OmeZarrError, match="out holds results of another image: take a new"):
            BlockRun(tmp_path / "out", images[1], segment, **CUT)


def test_the_whole_address_counts_and_no_secret_is_written(tmp_path):
    def name(url):
        return name_of_image(open_multiscale(url))

    write_volume(tmp_path / "data/i.zarr")
    with MisbehavingServer(tmp_path) as server:
        url = f"{server.endpoint}/data/i.zarr"
        signed = f"{url}?X-Amz-Signature=se-cret&X-Amz-Date=1"
        assert name(url) == name(signed) == name(f"{url}?sig=other&se=2026&token=x") == url
        versions = {name(f"{url}?versionId={number}&X-Amz-Signature=s") for number in (1, 2)}
        assert len(versions) == 2 and url not in versions
        assert name(url.replace("http://", "http://me:pass-word@")) == url
        BlockRun(tmp_path / "out", open_multiscale(signed), segment, **CUT)
    written = (tmp_path / "out" / claim.KEY).read_text()
    assert url in written and "se-cret" not in written


@pytest.mark.parametrize(
    ("query", "lasting"),
    [
        ("Signature=a&Expires=1&AWSAccessKeyId=b", ""),
        ("X-Goog-Signature=a&X-Goog-Date=b", ""),
        ("sv=1&sr=b&sig=c&se=d&sp=r", ""),
        ("Policy=a&Signature=b&Key-Pair-Id=c", ""),
        ("access_token=a", ""),
        ("versionId=3&Expires=1", "versionId=3"),
        ("page=2&scene=7", "page=2&scene=7"),
        ("scene=7&page=2", "page=2&scene=7"),
    ],
)
def test_a_new_signature_is_the_same_image_and_another_version_is_not(query, lasting):
    _, secret = split_secret(f"https://host/i.zarr?{query}")
    _, expected = split_secret(f"https://host/i.zarr?{lasting}")
    assert secret.lasting_mark == expected.mark


def test_a_run_goes_on_with_a_stand_in_on_another_port(tmp_path):
    urls = []
    for _ in range(2):
        server = process.start()
        image = open_multiscale(f"{server.endpoint}/idr/zarr/v0.4/idr0062A/6001247.zarr")
        run = BlockRun(tmp_path / "out", image, segment, level=2, block_shape=(59, 64, 68))
        urls.append(image.url)
        server.stop()
    assert urls[0] != urls[1]
    assert run.shape and "offline-" in (tmp_path / "out" / claim.KEY).read_text()


def test_a_level_is_known_by_its_path_and_not_by_its_number(tmp_path):
    metadata = {"version": "0.4", "axes": axes("zyx"), "datasets": scales([1, 1, 1], [1, 2, 2])}
    folder = write_v2(tmp_path / "image", halve(noise(8, 8, 8)), metadata, paths=["1", "0"])
    image = open_multiscale(folder)
    assert image.paths == ["1", "0"]
    BlockRun(tmp_path / "out", image, segment, level=0, **CUT)
    BlockRun(tmp_path / "out", image, segment, level="1", **CUT)  # the same
    with pytest.raises(OmeZarrError, match="another image"):
        BlockRun(tmp_path / "out", image, segment, level="0", **CUT)


# The function

THRESHOLD = 5
TABLE = {"a": [1, 2, 3]}
KERNEL = np.ones((3, 3))
SMALL = frozenset({"red", "green", "blue"})


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


@dataclasses.dataclass
class Settings:
    threshold: float = 1.0
    names: tuple = ("a", "b")


class Thresholder:
    """A callable object."""

    kind = "threshold"

    def __init__(self, threshold):
        self.threshold = threshold

    def __call__(self, pixels):
        return self.by_method(pixels)

    def by_method(self, pixels):
        return (pixels > self.threshold).astype(int)

    @staticmethod
    def still(pixels):
        return pixels

    @property
    def twice(self):
        return 2 * self.threshold

    @functools.cached_property
    def thrice(self):
        return 3 * self.threshold


class Slotted:
    __slots__ = ("value",)

    def __init__(self, value):
        self.value = value

    def __call__(self, pixels):
        return pixels > self.value


def uses_globals(pixels):
    if "red" in SMALL:
        return helper(pixels) > THRESHOLD + TABLE["a"][0] + KERNEL.sum()


def helper(pixels):
    return pixels * 2


def recurs(pixels, n=3):
    return pixels if n == 0 else recurs(pixels, n - 1)


def ping(pixels):
    return pong(pixels)


def pong(pixels):
    return ping(pixels)


@functools.lru_cache
def cached(number):
    return number


def uses_cached(pixels):
    return pixels > cached(3)


def decorated_by(number):
    def decorate(function):
        @functools.wraps(function)
        def wrapper(pixels):
            return function(pixels) + number

        return wrapper

    return decorate


def closing_over(value):
    def inner(pixels):
        return pixels > value

    return inner


def keyword_only(pixels, *, sigma=1.0, mode="reflect"):
    return pixels * sigma


def with_nested(pixels):
    def inner(part):
        return part > THRESHOLD

    return [inner(part) for part in pixels]


def with_class(pixels):
    return Settings(2.0).threshold * pixels if Colour.RED else pixels


def in_two_thresholds(pixels):
    return (pixels > 1, pixels > 2)


MANY = {
    "plain": lambda: segment,
    "lambda": lambda: lambda pixels: pixels > 1,
    "partial": lambda: functools.partial(segment, threshold=3),
    "partial of a partial": lambda: functools.partial(functools.partial(segment, threshold=3)),
    "globals": lambda: uses_globals,
    "recursion": lambda: recurs,
    "two that call each other": lambda: ping,
    "cached": lambda: uses_cached,
    "decorated": lambda: decorated_by(3)(segment),
    "closure": lambda: closing_over(Settings()),
    "closure over an array": lambda: closing_over(np.arange(5)),
    "closure over a set": lambda: closing_over({"x", "y", "z"}),
    "keyword only": lambda: keyword_only,
    "nested": lambda: with_nested,
    "class": lambda: with_class,
    "method": lambda: Thresholder(4).by_method,
    "object": lambda: Thresholder(4),
    "slots": lambda: Slotted(4),
    "enum": lambda: closing_over(Colour.RED),
    "installed": lambda: label,
    "ufunc": lambda: np.negative,
    "vectorized": lambda: np.vectorize(helper),
    "path and pattern": lambda: closing_over((Path("a"), __import__("re").compile("x"))),
    "generator of numbers": lambda: closing_over(np.random.default_rng(1)),
    "error": lambda: closing_over(ValueError("x")),
    "table": lambda: closing_over(pd.DataFrame({"a": [1, 2], "b": ["x", "y"]})),
    "logger": lambda: closing_over(__import__("logging").getLogger("x")),
}


@pytest.fixture(scope="module")
def elsewhere(pair):
    """Marks of the same functions in a fresh Python, in which hashes of strings are others."""
    print("marks", file=pair[0].stdin, flush=True)
    return json.loads(pair[0].stdout.readline())


def all_marks():
    return {name: marks_of(make()) for name, make in MANY.items()}


@pytest.mark.parametrize("name", MANY)
def test_the_same_function_is_the_same_in_another_kernel(name, elsewhere):
    assert marks_of(MANY[name]()) == marks_of(MANY[name]()) == elsewhere[name]


PAIRS = {
    "partial": (functools.partial(segment, threshold=1), functools.partial(segment, threshold=2)),
    "partial, by position": (functools.partial(pow, 1), functools.partial(pow, 2)),
    "partial of another": (functools.partial(segment), functools.partial(helper)),
    "kind of number": (functools.partial(pow, 1), functools.partial(pow, 1.0)),
    "lambdas in one line": (lambda p: p > 1, lambda p: p > 2),
    "lambdas of other operators": (lambda p: p > 1, lambda p: p >= 1),
    "other names": (lambda p: p.min(), lambda p: p.max()),
    "closure": (closing_over(1), closing_over(2)),
    "closure over a list": (closing_over([1, [2]]), closing_over([1, [3]])),
    "closure over an array": (closing_over(np.arange(5000)), closing_over(np.arange(1, 5001))),
    "shape of an array": (closing_over(np.zeros((2, 3))), closing_over(np.zeros((3, 2)))),
    "closure over an object": (closing_over(Settings(1.0)), closing_over(Settings(2.0))),
    "closure over a function": (closing_over(segment), closing_over(helper)),
    "decorated": (decorated_by(1)(segment), decorated_by(2)(segment)),
    "decorated another": (decorated_by(1)(segment), decorated_by(1)(helper)),
    "method of another object": (Thresholder(1).by_method, Thresholder(2).by_method),
    "another method": (Thresholder(1).by_method, Thresholder(1).still),
    "callable object": (Thresholder(1), Thresholder(2)),
    "slots": (Slotted(1), Slotted(2)),
    "enum": (closing_over(Colour.RED), closing_over(Colour.BLUE)),
    "installed": (label, np.negative),
    "vectorized": (np.vectorize(helper), np.vectorize(segment)),
    "tables": (closing_over(pd.DataFrame({"a": [1]})), closing_over(pd.DataFrame({"a": [2]}))),
    "zeros": (closing_over(0.0), closing_over(-0.0)),
    "bytes": (closing_over(b"a"), closing_over(b"b")),
    "text and number": (closing_over("1"), closing_over(1)),
    "method of a list": (closing_over([1].append), closing_over([2].append)),
}  # fmt: skip


@pytest.mark.parametrize("name", PAIRS)
def test_functions_that_differ_are_told_apart(name, tmp_path, image):
    one, other = PAIRS[name]
    BlockRun(tmp_path / "out", image, one, **CUT)
    BlockRun(tmp_path / "out", image, one, **CUT)
    with pytest.raises(OmeZarrError, match="results of another segment function") as refusal:
        BlockRun(tmp_path / "out", image, other, **CUT)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("what", "change"),
    [
        ("THRESHOLD", 6),
        ("TABLE", {"a": [1, 2, 4]}),
        ("KERNEL", np.eye(3)),
        ("SMALL", frozenset({"red"})),
        ("helper", lambda pixels: pixels * 3),
    ],
)
def test_a_changed_global_is_named(what, change, tmp_path, image, monkeypatch):
    BlockRun(tmp_path / "out", image, uses_globals, **CUT)
    monkeypatch.setitem(globals(), what, change)
    with pytest.raises(OmeZarrError, match=rf"segment function \(global {what}\): take a new"):
        BlockRun(tmp_path / "out", image, uses_globals, **CUT)


def test_an_attribute_of_the_function_counts():
    def counting(pixels):
        return pixels > counting.threshold

    counting.threshold = 1
    before = marks_of(counting)
    counting.threshold = 2
    assert {what for what in before if before[what] != marks_of(counting)[what]} >= {
        "attribute threshold"
    }


def test_a_function_that_has_run_is_the_same():
    """Python changes its code while it runs, to be faster."""
    before = marks_of(uses_globals)
    for number in range(300):
        uses_globals(number)
    assert marks_of(uses_globals) == before


def test_other_globals_do_not_matter(monkeypatch):
    before = marks_of(uses_globals)
    monkeypatch.setitem(globals(), "Colour", 3)
    monkeypatch.setitem(globals(), "sum", 3)  # in the function, an attribute is called so
    assert marks_of(uses_globals) == before


def test_a_class_whose_method_changed_is_another(monkeypatch):
    before = marks_of(Thresholder(1))
    monkeypatch.setattr(Thresholder, "by_method", lambda self, pixels: pixels)
    assert marks_of(Thresholder(1)) != before


@pytest.mark.parametrize("change", ["__defaults__", "__kwdefaults__"])
def test_changed_defaults_are_named(change):
    def one(pixels, sigma=1, *, mode="a"):
        return pixels

    def other(pixels, sigma=1, *, mode="a"):
        return pixels

    assert marks_of(one) == marks_of(other)
    setattr(other, change, (2,) if change == "__defaults__" else {"mode": "b"})
    differing = {what for what in marks_of(one) if marks_of(one)[what] != marks_of(other)[what]}
    assert differing == {"default of sigma" if change == "__defaults__" else "default of mode"}


def as_in_a_notebook(source, number):
    """Define a function as a cell of a notebook does."""
    namespace = {"__name__": "__main__", "__builtins__": __builtins__}
    exec(compile(textwrap.dedent(source), f"ipykernel_{number}/{number}.py", "exec"), namespace)
    return namespace["segment"]


def test_comments_and_places_do_not_matter_and_code_does():
    first = as_in_a_notebook("def segment(p, t):\n    return p > t", 1)
    moved = "\n\n# a comment\ndef segment(p, t):\n    # another\n\n    return (p > t)  # and one"
    assert marks_of(first) == marks_of(as_in_a_notebook(moved, 2))
    changed = as_in_a_notebook("def segment(p, t):\n    return p >= t", 1)
    differing = [
        what for what in marks_of(first) if marks_of(first)[what] != marks_of(changed)[what]
    ]
    assert differing == ["code"]


def test_a_module_of_ones_own_is_looked_into(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)

    def mark(content):
        (tmp_path / "my_lab.py").write_text(content)
        sys.modules.pop("my_lab", None)
        cell = "import my_lab\ndef segment(p):\n    return my_lab.clean(p)"
        sys.dont_write_bytecode, before = True, sys.dont_write_bytecode
        try:
            return marks_of(as_in_a_notebook(cell, 1))
        finally:
            sys.dont_write_bytecode = before
            sys.modules.pop("my_lab", None)

    first = mark("LOW = 1\ndef clean(p):\n    return p > LOW\n")
    assert first == mark(
        "# moved\nLOW = 1\n\ndef clean(p):\n    return p > LOW\nother = object()\n"
    )
    assert first != mark("LOW = 2\ndef clean(p):\n    return p > LOW\n")
    assert first != mark("LOW = 1\ndef clean(p):\n    return p < LOW\n")


LOCK = threading.Lock()


def uses_lock(pixels):
    with LOCK:
        return pixels


class Careless:
    def __reduce_ex__(self, protocol):
        return 3


def nested_deeply():
    value = []
    for _ in range(5000):
        value = [value]
    return closing_over(value)


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda: uses_lock, "uses_lock .*global LOCK, of type lock, .*cannot pickle"),
        (lambda: closing_over(n for n in "abc"), "inner .*closure value, of type generator"),
        (lambda: closing_over({"a": [threading.Lock()]}), "closure value, of type dict"),
        (lambda: Thresholder(threading.Event()), "its object, of type Thresholder"),
        (lambda: functools.partial(segment, threshold=sys.__stdout__), "its argument threshold"),
        (lambda: closing_over(Careless()), "closure value, of type Careless"),
        (lambda: closing_over(memoryview(b"x")), "closure value, of type memoryview"),
        (nested_deeply, "closure value, of type list.*nested too deeply"),
    ],
)
def test_what_cannot_be_told_apart_is_refused_in_a_sentence(make, what, tmp_path, image):
    with pytest.raises(OmeZarrError, match=what) as refusal:
        BlockRun(tmp_path / "out", image, make(), **CUT)
    sentence = str(refusal.value)
    assert "\n" not in sentence and "given in parameters." in sentence
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("value", [None, 3, "segment", [segment]])
def test_what_is_no_function_is_refused(value, tmp_path, image):
    with pytest.raises(OmeZarrError, match="segment should be a function of pixels, but it is of"):
        BlockRun(tmp_path / "out", image, value, **CUT)


def test_an_object_may_say_itself_what_it_is():
    class Model:
        def __init__(self, file):
            self.file, self.lock = file, threading.Lock()

        def __dask_tokenize__(self):
            return ("Model", self.file)

    assert marks_of(closing_over(Model("a"))) == marks_of(closing_over(Model("a")))
    assert marks_of(closing_over(Model("a"))) != marks_of(closing_over(Model("b")))


def test_an_image_is_known_by_its_address(image):
    before = marks_of(closing_over(image))
    assert image.stored[0][0].any() and image.labels == []  # which it remembers
    assert marks_of(closing_over(image)) == before


def test_another_python_is_named(tmp_path, image, monkeypatch):
    BlockRun(tmp_path / "out", image, segment, **CUT)
    monkeypatch.setattr(fingerprint, "sys", FakeSys)
    with pytest.raises(
        OmeZarrError, match=r"as far as Python 3\.99 can tell what Python 3\.\d+ ran"
    ):
        BlockRun(tmp_path / "out", image, segment, **CUT)


class FakeSys:
    modules = sys.modules
    version_info = type("Version", (), {"major": 3, "minor": 99})


# The parameters


def test_parameters_are_the_same_after_they_were_written_down(tmp_path, image):
    kinds = {"nan": float("nan"), "tuple": (1, (2.5, "x")), "table": {1: np.float32(2)}, "no": None}
    kinds |= {"numbers": [np.int64(1), np.arange(3)], "yes": np.bool_(True)}
    for _ in range(2):
        BlockRun(tmp_path / "out", image, segment, **CUT, parameters=kinds)
    for change in ({"nan": 1.0}, {"tuple": (1, (2, "x"))}, {"yes": 1}, {"more": 1}):
        with pytest.raises(OmeZarrError, match="another set of parameters"):
            BlockRun(tmp_path / "out", image, segment, **CUT, parameters={**kinds, **change})


@pytest.mark.parametrize("value", [object(), {1, 2}, [b"x"], {"a": Path("x")}, print])
def test_what_is_no_parameter(value, tmp_path, image):
    with pytest.raises(
        OmeZarrError, match=r"parameters\['model'\] holds a \w+; parameters are num"
    ):
        BlockRun(tmp_path / "out", image, segment, **CUT, parameters={"model": value})
    assert not (tmp_path / "out").exists()


# The claim


def begin_together(pair, folder, thresholds):
    at = time.time() + 0.03
    for one, threshold in zip(pair, thresholds, strict=True):
        print(folder, threshold, at, file=one.stdin, flush=True)
    return sorted(one.stdout.readline().strip() for one in pair)


def test_of_two_that_begin_together_with_other_parameters_one_is_refused(tmp_path, pair):
    for number in range(25):
        said = begin_together(pair, tmp_path / str(number), (1, 2))
        sentence = f"refused {number} holds results of another set of parameters: take a new folder"
        assert said[0] == "accepted True" and said[1].startswith(sentence), said
        held = json.loads((tmp_path / str(number) / claim.KEY).read_text())
        assert held["set of parameters"] in ({"threshold": 1}, {"threshold": 2})
    assert not list(tmp_path.glob("*/.run-*"))


def test_of_two_that_begin_together_with_the_same_both_work(tmp_path, pair, image):
    for number in range(15):
        said = begin_together(pair, tmp_path / str(number), (1, 1))
        assert said == ["accepted False", "accepted True"]
    run = BlockRun(tmp_path / "14", image, segment, **CUT, parameters={"threshold": 1})
    assert len(run.missing()) == 2 and run.labels.shape == (8, 8, 8)


KILLED = """
import os, sys
from pathlib import Path
from data_helpers import BlockRun, open_multiscale
from data_helpers.scale_out import claim, results
sys.path.insert(0, sys.argv[1])
from test_block_identity import CUT, segment
def die(*arguments, **options):
    os._exit(9)
if sys.argv[4] == "before":
    claim.os.rename = die
else:
    results.RunResults.prepare = die
BlockRun(sys.argv[3], open_multiscale(sys.argv[2]), segment, **CUT)
"""


def test_one_that_is_killed_while_it_begins_blocks_nothing(tmp_path, image, client):
    moments = {"before": {"parameters": {"threshold": 1}}, "after": {}}
    common = [sys.executable, "-c", KILLED, str(ROOT / "tests"), image.url]
    killed = [
        subprocess.Popen([*common, str(tmp_path / moment), moment], env=ENVIRONMENT)
        for moment in moments
    ]
    assert [one.wait(60) for one in killed] == [9, 9]
    for moment, change in moments.items():
        assert (tmp_path / moment).exists()
        run = BlockRun(tmp_path / moment, image, segment, **CUT, **change)
        assert run.compute(client).empty and run.missing() == []


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff\xfe", b"null"])
def test_a_damaged_record_is_said_to_be_damaged(content, tmp_path, image):
    BlockRun(tmp_path / "out", image, segment, **CUT)
    (tmp_path / "out" / claim.KEY).write_bytes(content)
    with pytest.raises(OmeZarrError, match=r"run/run\.json is damaged: take a new folder"):
        BlockRun(tmp_path / "out", image, segment, **CUT)


def test_what_is_no_run_is_left_as_it_is(tmp_path, image):
    """Such as the folder of an image, whose own labels would be lost."""
    write_volume(tmp_path / "image")
    zarr.open_group(tmp_path / "older", mode="w", zarr_format=2).attrs["run"] = {"image": 1}
    for folder in ("image", "older"):
        before = sorted(tmp_path.rglob("*"))
        with pytest.raises(
            OmeZarrError, match=rf"{folder} holds \.zgroup and \.zattrs, but no run/"
        ):
            BlockRun(tmp_path / folder, image, segment, **CUT)
        assert sorted(tmp_path.rglob("*")) == before


def test_a_folder_that_cannot_be_written(tmp_path, image, monkeypatch):
    (tmp_path / "file").write_text("")
    for place in ("file", "file/below"):
        with pytest.raises(OmeZarrError, match=r"cannot be kept in .* Take a folder") as refusal:
            BlockRun(tmp_path / place, image, segment, **CUT)
        assert "\n" not in str(refusal.value)

    def full(*arguments, **options):
        raise OSError(28, "No space left on device")

    def no_home(self):
        raise RuntimeError("Could not determine home directory.")

    with monkeypatch.context() as patch:
        patch.setattr(claim.Path, "expanduser", no_home)
        with pytest.raises(OmeZarrError, match=r"cannot be kept in ~/out, .* the whole path"):
            BlockRun("~/out", image, segment, **CUT)
    monkeypatch.setattr(claim.Path, "write_bytes", full)
    with pytest.raises(OmeZarrError, match="No space left on device"):
        BlockRun(tmp_path / "out", image, segment, **CUT)
    monkeypatch.undo()
    BlockRun(tmp_path / "out", image, segment, **CUT)


@pytest.mark.parametrize(
    "make",
    [
        lambda: MemoryStore(),
        lambda: FsspecStore.from_url(
            "memory://test-identity", storage_options={"asynchronous": False}
        ),
    ],
)
def test_the_first_to_write_the_record_wins_in_other_stores(make, image):
    store = make()
    one, other = ({"a": 1}, {"a": 2})
    assert claim.claim(store, "x", one)
    assert not claim.claim(store, "x", one)
    assert not claim._create(store, json.dumps(other).encode())
    with pytest.raises(OmeZarrError, match="x holds results of another a"):
        claim.claim(store, "x", other)


# Sharing the work


def test_a_block_that_another_process_has_done_is_not_done_again(tmp_path, image, client):
    calls = tmp_path / "calls"
    calls.mkdir()

    def counted(pixels, folder):
        Path(folder, str(time.perf_counter_ns())).touch()
        return label(pixels > 0)

    options = {**CUT, "block_shape": (1, 8, 8), "parameters": {"folder": str(calls)}}
    first = BlockRun(tmp_path / "out", image, counted, **options)
    second = BlockRun(tmp_path / "out", image, counted, **options)
    assert first._is_first and not second._is_first
    orders = {
        tuple(block.name for block in run._next_blocks()) for run in [first] * 5 + [second] * 5
    }
    assert 2 < len(orders) and tuple(block.name for block in first.blocks) in orders
    threads = [threading.Thread(target=run.compute, args=[client]) for run in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert first.missing() == []
    assert 8 <= len(list(calls.iterdir())) <= 8 + 4  # what both had begun at the same moment
    volume = (first.stored, first._leading_index)
    before = len(list(calls.iterdir()))
    segment_block(first.results, volume, counted, options["parameters"], first.blocks[0])
    assert first.compute(client, first.blocks[:1]).empty  # asked for by name: done again
    assert len(list(calls.iterdir())) == before + 2
