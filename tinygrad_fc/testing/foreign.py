"""Functions of other libraries, told from functions of our tensors before anyone believes a check.

Most of them raise when they get our tensors. Some run: what PyTorch calls a `Function`, and
autograd's functions of NumPy's names, hand our tensors on, and their own derivative is not asked.
"""

from __future__ import annotations

import inspect
from functools import partial
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

from tinygrad_fc.testing.pasting import spelled

if TYPE_CHECKING:
    from collections.abc import Iterator

NAMES = {
    "torch": ("PyTorch", "tensors"),
    "jax": ("JAX", "arrays"),
    "jaxlib": ("JAX", "arrays"),
    "autograd": ("autograd", "arrays"),
}
"""What packages, and what they compute with, are called in texts."""


def refused(f: Any) -> TypeError | None:
    """Return the error for a function that is another library's, or whose rule would not be run."""
    library = _of(f) or next((top for top, unseen in _read(f) if unseen), "")
    return told(f, library) if library else None


def explained(f: Any) -> TypeError | None:
    """Return the error for a function that raises, and that calls another library."""
    library = next((top for top, _ in _read(f)), "")
    return told(f, library) if library else None


def told(f: Any, library: str) -> TypeError:
    """Return the error for a function of `library`, which says how to check it."""
    (name, arrays), wrapper = NAMES[library], f"from_{library.replace('jaxlib', 'jax')}"
    here = spelled(f, "f").text
    return TypeError(
        f"{here} is a function of {name}'s {arrays}, and gets tensors of this package here. To "
        f"check {name}'s own derivative of it write check({wrapper}({here}), ...), with "
        f"`from tinygrad_fc.testing import {wrapper}`"
    )


def _top(thing: Any) -> str:
    """Return the library that defines a thing, nothing where it is none of those above."""
    kinds = thing.__mro__ if isinstance(thing, type) else type(thing).__mro__
    for named in (thing, getattr(thing, "__objclass__", None), *kinds):
        top = str(getattr(named, "__module__", None)).partition(".")[0]
        if top in NAMES:
            return top
    return ""


def _of(f: Any) -> str:
    """Return the library that a function comes from."""
    while isinstance(f, partial):
        f = f.func
    found = next(filter(None, map(_top, (f, getattr(f, "__self__", None)))), "")
    if not found and isinstance(f, BuiltinFunctionType):  # which do not tell where they are from
        found = spelled(f, "").text.partition(".")[0]
    return found if found in NAMES else ""


def _read(f: Any) -> Iterator[tuple[str, bool]]:
    """Yield the libraries that a function of Python reads, and whether it would run unseen."""
    function = getattr(f, "__func__", f)
    if not isinstance(function, FunctionType):
        return
    scope = inspect.getclosurevars(inspect.unwrap(function))
    for value in (*scope.globals.values(), *scope.nonlocals.values()):
        module = isinstance(value, ModuleType)
        top = value.__name__.partition(".")[0] if module else _of(value)
        if top in NAMES:
            yield top, top == "autograd" or _with_a_rule(value)


def _with_a_rule(value: Any) -> bool:
    """Tell whether `value` is a `Function` of PyTorch's, or its `apply`."""
    kinds = [k for k in (value, getattr(value, "__self__", None)) if isinstance(k, type)]
    return any(k.__module__ == "torch.autograd.function" for kind in kinds for k in kind.__mro__)
