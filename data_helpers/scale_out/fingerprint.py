"""What tells two segment functions apart, also tomorrow and in another kernel.

Looked at is what runs, not how it is written down: the compiled code, its constants and docstrings,
default values, closures, arguments of a `functools.partial`, the object that a method belongs to,
and the values of the global names that are used. Comments, line numbers and the function's own name
make no difference. What is installed (the standard library, packages in ``site-packages``, this
package) is known by its name only, and so is a module that the function imports when it runs.

An object is described by what pickle would keep of it, or by its ``__dask_tokenize__``. What has
neither cannot be told apart, which is an error: it would be worse to take one for another.
"""

from __future__ import annotations

import builtins
import copyreg
import dis
import functools
import hashlib
import json
import sys
import sysconfig
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from .._formatting import one_line
from ..errors import OmeZarrError
from ..multiscale import Multiscale
from .image_name import name_of_image

MAX_DEPTH = 100
"""How deep a description goes; what is nested deeper is not told apart."""

_PLAIN = (bool, int, float, complex, str, type(None), type(...))
_NO_MEMBERS = {"__dict__", "__weakref__", "__module__", "__doc__", "__annotations__", "_abc_impl"}
_NO_MEMBERS |= {"__firstlineno__", "__static_attributes__", "__annotate_func__"}
_LOADS = {"LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"}
_BY_C = (types.MemberDescriptorType, types.GetSetDescriptorType)
_HERE = str(Path(__file__).parents[1])
_STDLIB = sysconfig.get_path("stdlib")


def fingerprint(function: Callable[..., Any]) -> dict[str, str]:
    """Short marks of everything that a function's result depends on.

    Parameters
    ----------
    function : callable
        A function, method, partial or any other object that can be called.

    Returns
    -------
    dict of str to str
        By what it is of, such as "code", "default of sigma" or "global THRESHOLD". Two functions
        with the same marks do the same. Marks of different versions of Python differ.

    Raises
    ------
    OmeZarrError
        It depends on something that cannot be told apart; the sentence says on what.
    """
    if not callable(function):
        raise OmeZarrError(
            f"segment should be a function of pixels, but it is of type {type(function).__name__}."
        )
    parts = dict(_parts(function))
    marks = {"Python": f"{sys.version_info.major}.{sys.version_info.minor}"}
    for what, part in parts.items():
        try:
            marks[what] = _mark(_Describing().value(part))
        except Exception as error:  # objects of any kind are asked what pickle would keep of them
            raise _refusal(function, what, part, error) from None
    return marks


def _mark(description: Any) -> str:
    text = json.dumps(description, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _refusal(function: Any, what: str, part: Any, error: Exception) -> OmeZarrError:
    why = "it is nested too deeply" if isinstance(error, RecursionError) else one_line(error)
    return OmeZarrError(
        f"The results of {_called(function)} cannot be kept, because a later run could not tell "
        f"whether its {what}, of type {type(part).__name__}, is still the same ({why}): make it "
        "inside the function, from numbers and strings that are given in parameters."
    )


def _called(function: Any) -> str:
    if isinstance(function, functools.partial):
        return _called(function.func)
    if isinstance(function, types.FunctionType | types.MethodType):
        return function.__qualname__.rpartition("<locals>.")[2]
    return f"a {type(function).__name__}"


def _parts(function: Any) -> Iterator[tuple[str, Any]]:
    """What a function is made of, each with a word for it; installed functions are one part."""
    if isinstance(function, functools.partial):
        for number, value in enumerate(function.args):
            yield f"argument {number}", value
        for name, value in function.keywords.items():
            yield f"argument {name}", value
        yield from _parts(function.func)
    elif isinstance(function, types.MethodType):
        yield "object", function.__self__
        yield from _parts(function.__func__)
    elif isinstance(function, types.FunctionType) and not _is_installed(function):
        yield "code", function.__code__
        yield from _values_of(function)
    else:
        yield "object", function


def _values_of(function: types.FunctionType) -> Iterator[tuple[str, Any]]:
    """The values that the code of a function finds when it runs."""
    code = function.__code__
    defaults = function.__defaults__ or ()
    names = code.co_varnames[: code.co_argcount]
    for name, value in zip(names[len(names) - len(defaults) :], defaults, strict=True):
        yield f"default of {name}", value
    for name, value in (function.__kwdefaults__ or {}).items():
        yield f"default of {name}", value
    for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
        yield f"closure {name}", _content(cell)
    for name, value in sorted(vars(function).items()):
        if name != "__wrapped__":  # which is a closure, too
            yield f"attribute {name}", value
    used = set(_all_names(code))
    for name in sorted(set(_global_names(code))):
        if name in function.__globals__:
            value = function.__globals__[name]
            whole = _Module(value, used) if isinstance(value, types.ModuleType) else value
            yield f"global {name}", whole
        elif not hasattr(builtins, name):
            yield f"global {name}", _Undefined


class _Undefined:
    """Stands for a name without a value."""


class _Module:
    """A module, and the names that are looked up in it or elsewhere."""

    def __init__(self, module: types.ModuleType, names: set[str]) -> None:
        self.module, self.names = module, names


def _content(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not filled yet
        return _Undefined


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    """A piece of code, and the functions that are defined in it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _codes(constant)


def _global_names(code: types.CodeType) -> Iterator[str]:
    for part in _codes(code):
        for instruction in dis.get_instructions(part):
            if instruction.opname in _LOADS:
                yield instruction.argval


def _all_names(code: types.CodeType) -> Iterator[str]:
    for part in _codes(code):
        yield from part.co_names


def _is_installed(thing: Any) -> bool:
    """Whether a function, class or module is no code of the user's own."""
    if isinstance(thing, types.FunctionType) and not _in_library(thing.__code__.co_filename):
        return False
    if "<locals>" in getattr(thing, "__qualname__", ""):  # made anew each time
        return False
    if isinstance(thing, types.ModuleType):
        module: Any = thing
    else:
        module = sys.modules.get(getattr(thing, "__module__", None) or "")
    if module is None or module.__name__ == "__main__":
        return False
    file = getattr(module, "__file__", None)
    return file is None or _in_library(file)


def _in_library(file: str) -> bool:
    parts = Path(file).parts
    return (
        "site-packages" in parts
        or "dist-packages" in parts
        or file.startswith((_STDLIB, _HERE, "<frozen "))
    )


class _Describing:
    """Describes values as nested lists of strings, the same for the same value in each kernel."""

    def __init__(self) -> None:
        self._under_way: list[int] = []
        self._done: dict[int, str] = {}
        self._alive: list[Any] = []  # so that no two of them have the same id

    def value(self, value: Any) -> Any:
        """Describe anything: a plain value by itself, others by a mark."""
        if type(value) in _PLAIN:
            return [type(value).__name__, repr(value)]
        if id(value) in self._done:
            return self._done[id(value)]
        if id(value) in self._under_way:  # it leads back to itself, as a function that recurs
            return ["above", len(self._under_way) - self._under_way.index(id(value))]
        if len(self._under_way) > MAX_DEPTH:
            raise RecursionError
        self._alive.append(value)
        self._under_way.append(id(value))
        mark = self._done[id(value)] = _mark(self._compound(value))
        self._under_way.pop()
        return mark

    def _compound(self, value: Any) -> Any:
        kind = type(value)
        if kind in (tuple, list):
            return [kind.__name__, [self.value(item) for item in value]]
        if kind in (set, frozenset):  # in an order that is the same in each kernel
            return [kind.__name__, sorted(_mark(_Describing().value(item)) for item in value)]
        if kind in (dict, types.MappingProxyType):
            return ["dict", [[self.value(key), self.value(item)] for key, item in value.items()]]
        if kind is bytes:
            return ["bytes", hashlib.sha256(value).hexdigest()]
        if isinstance(value, np.generic) or kind is np.ndarray:
            return self._array(np.asarray(value))
        if kind is types.CodeType:
            return self._code(value)
        if isinstance(value, Multiscale):
            return ["image", name_of_image(value)]
        for known, describe in self._known_kinds():
            if isinstance(value, known):
                return describe(value)
        return self._object(value)

    def _known_kinds(self) -> list[tuple[Any, Callable[[Any], Any]]]:
        return [
            (types.FunctionType, self._function),
            (types.MethodType, lambda one: self._all("method", one.__func__, one.__self__)),
            (functools.partial, lambda one: self._all("partial", one.func, one.args, one.keywords)),
            (types.BuiltinFunctionType, self._builtin),
            (functools._lru_cache_wrapper, lambda one: self._all("cached", one.__wrapped__)),
            (type, self._class),
            (types.ModuleType, lambda one: self._module(_Module(one, set()))),
            (_Module, self._module),
            ((staticmethod, classmethod), lambda one: self._all("static", one.__func__)),
            (property, lambda one: self._all("property", one.fget, one.fset, one.fdel)),
            (functools.cached_property, lambda one: self._all("property", one.func)),
        ]

    def _all(self, kind: str, *values: Any) -> Any:
        return [kind, *(self.value(value) for value in values)]

    def _array(self, array: np.ndarray) -> Any:
        if array.dtype.hasobject:
            return ["array", str(array.shape), self.value(array.tolist())]
        content = hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()
        return ["array", str(array.dtype), str(array.shape), content]

    def _code(self, code: types.CodeType) -> Any:
        """What runs, without what says where it was written."""
        how = [code.co_code.hex(), code.co_exceptiontable.hex(), str(code.co_flags)]
        arguments = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount)
        names = (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)
        constants = [self.value(constant) for constant in code.co_consts]
        return ["code", *how, str(arguments), str(names), constants]

    def _function(self, function: types.FunctionType) -> Any:
        if _is_installed(function):
            return ["function", function.__module__, function.__qualname__]
        parts = [[what, self.value(part)] for what, part in _values_of(function)]
        return ["function", self.value(function.__code__), parts]

    def _builtin(self, function: types.BuiltinFunctionType) -> Any:
        owner = function.__self__
        if owner is None or isinstance(owner, types.ModuleType):
            return ["function", function.__module__ or "", function.__qualname__]
        return ["method", function.__qualname__, self.value(owner)]

    def _class(self, kind: type) -> Any:
        if _is_installed(kind):
            return ["class", kind.__module__, kind.__qualname__]
        members = [
            [name, self.value(member)]
            for name, member in sorted(vars(kind).items())
            if name not in _NO_MEMBERS and not isinstance(member, _BY_C)
        ]
        return ["class", kind.__qualname__, [self.value(base) for base in kind.__bases__], members]

    def _module(self, named: _Module) -> Any:
        """A module: of the user's own, also what is used of it."""
        module, found = named.module, []
        if not _is_installed(module):
            for name in sorted(named.names & set(vars(module))):
                member = vars(module)[name]
                inner = isinstance(member, types.ModuleType)
                found.append([name, self.value(_Module(member, named.names) if inner else member)])
        return ["module", module.__name__, found]

    def _object(self, thing: Any) -> Any:
        """Any other object: by the token that it has for Dask, or by what pickle keeps of it."""
        if hasattr(type(thing), "__dask_tokenize__"):
            return ["token", self.value(type(thing)), self.value(thing.__dask_tokenize__())]
        reduce = copyreg.dispatch_table.get(type(thing))
        kept = reduce(thing) if reduce else thing.__reduce_ex__(4)
        if isinstance(kept, str):
            return ["name", getattr(thing, "__module__", None) or "", kept]
        made, arguments, state, items, pairs = (*kept, None, None, None)[:5]
        state = None if isinstance(state, dict) and not state else state
        content = [arguments, state, list(items or ()), list(pairs or ())]
        return ["object", self.value(made), [self.value(part) for part in content]]
