"""How a line to paste speaks of a function: by its name, by its place in a library, by its source.

A lambda has no name; its source, where it can be read, does as well. Of what can be spelled in no
way, a closure's variables or an object, a note says what stands for it.
"""

from __future__ import annotations

import ast
import builtins
import inspect
import linecache
import sys
from functools import lru_cache
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

from tinygrad_fc.op import Op, spelling

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import CodeType

LONGEST = 100
"""As many characters of a lambda can be read in a line."""
PLACES = {
    "tinygrad_fc": "tg",
    "tinygrad_fc.nn.functional": "tg.nn.functional",
    "tinygrad_fc.linalg": "tg.linalg",
    **{
        name: name
        for name in (
            *("torch", "torch.nn.functional", "torch.special", "torch.linalg"),
            *("jax.numpy", "jax.nn", "jax.scipy.special", "jax.numpy.linalg", "autograd.numpy"),
        )
    },
}
"""Where functions of libraries are looked up, and what users call the place."""


class Spelled(NamedTuple):
    """A function as it stands in a line to paste, and what must be known besides."""

    text: str
    stands: str = ""
    """The name that stands for the function itself."""
    reads: tuple[str, ...] = ()
    """Names that it reads, and that are not those of its module."""


def spelled(function: Any, otherwise: str) -> Spelled:
    """Return how to write `function`; `otherwise` stands for one that can't be written."""
    known = "" if isinstance(function, Op) else spelling(function)
    name = known if known.startswith(("np.", "scipy.")) else _in_library(function)
    if not name and type(function) is FunctionType and function.__name__ == "<lambda>":
        return _lambda(function) or Spelled(otherwise, stands=otherwise)
    name = name or _path(function)
    legal = all(map(str.isidentifier, name.split(".")))
    return Spelled(name) if legal else Spelled(otherwise, stands=otherwise)


def _path(function: Any) -> str:
    """Return the name of what has one: a function, a class's method, a row."""
    if isinstance(function, Op):
        return function.name
    name = str(getattr(function, "__name__", ""))
    owner = getattr(function, "__self__", None)
    if owner is None or isinstance(owner, ModuleType):
        return str(getattr(function, "__qualname__", name)).rpartition("<locals>.")[2]
    # A method of an object is written nowhere; one of a class is, as the apply of a Function.
    return f"{owner.__name__}.{name}" if isinstance(owner, type) else ""


def note(*several: Spelled) -> str:
    """Return a comment that says what stands for what, nothing where all is written out."""
    names = [s.stands for s in several if s.stands]
    reads = list(dict.fromkeys(name for s in several for name in s.reads))
    told = [f"{_are(names)} what was checked"] * bool(names)
    told += [f"{_are(reads)} from where it was checked"] * bool(reads)
    return f"  # where {', and '.join(told)}" if told else ""


def _are(names: Sequence[str]) -> str:
    return f"{' and '.join(names)} {'is' if len(names) == 1 else 'are'}"


def _in_library(function: Any) -> str:
    """Return the name of a library's function as users write it, nothing where it is none's."""
    for place, called in PLACES.items():
        module = sys.modules.get(place)
        for name, value in list(vars(module).items()) if module is not None else ():
            if value is function and not name.startswith("_"):
                return f"{called}.{name}"
    return ""


def _lambda(function: Any) -> Spelled | None:
    """Return the source of a lambda, None where it can't be read or is long."""
    code = function.__code__
    source = "".join(linecache.getlines(code.co_filename, function.__globals__))
    first = _first(code)
    found = [n for n in _lambdas(source) if (n.body.lineno, n.body.col_offset) == first]
    if len(found) != 1 or [a.arg for a in _all(found[0].args)] != _parameters(code):
        return None  # its file has been changed since
    text = ast.unparse(found[0])
    if len(text) > LONGEST:
        return None
    return Spelled(text, reads=tuple(_reads(found[0], function.__globals__)))


def _first(code: CodeType) -> tuple[int, int] | None:
    """Return where the body of a lambda begins: its line and column."""
    places = [
        (line, column)
        for line, _, column, end in code.co_positions()
        if line is not None and column is not None and column != end
    ]
    return min(places, default=None)


def _parameters(code: CodeType) -> list[str]:
    stars = bool(code.co_flags & inspect.CO_VARARGS) + bool(code.co_flags & inspect.CO_VARKEYWORDS)
    return list(code.co_varnames[: code.co_argcount + code.co_kwonlyargcount + stars])


def _reads(node: ast.Lambda, known: dict[str, Any]) -> Iterator[str]:
    """Yield the names that a lambda reads and that neither it nor its module defines."""
    names = [n for n in ast.walk(node) if isinstance(n, ast.Name)]
    made = {n.id for n in names if isinstance(n.ctx, ast.Store)}
    made |= {a.arg for n in ast.walk(node) if isinstance(n, ast.arguments) for a in _all(n)}
    for n in names:
        if n.id not in made and n.id not in known and not hasattr(builtins, n.id):
            yield n.id


def _all(arguments: ast.arguments) -> list[ast.arg]:
    stars = [a for a in (arguments.vararg, arguments.kwarg) if a is not None]
    return [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, *stars]


@lru_cache(maxsize=16)
def _lambdas(source: str) -> tuple[ast.Lambda, ...]:
    """Return all lambdas in a source."""
    try:
        tree = ast.parse(source)
    except SyntaxError:  # not Python, as a notebook's magic
        return ()
    return tuple(n for n in ast.walk(tree) if isinstance(n, ast.Lambda))
