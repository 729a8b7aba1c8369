"""How what is known beforehand is written down: numbers, arrays, dtypes, indices and functions.

An expression is its text and how tightly its outermost operator binds, by which whoever uses it
knows whether it needs parentheses.
"""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tinygrad_fc.compiler.program import Part

if TYPE_CHECKING:
    from collections.abc import Sequence

COMPARED, EITHER, XOR, BOTH, SUM, PRODUCT, SIGN, POWER, ATOM = range(9)
"""How tightly Python's operators bind, loosest first."""


class Text(NamedTuple):
    """An expression, and how tightly it binds."""

    text: str
    level: int = ATOM

    def within(self, level: int) -> str:
        """Return the text as an operand of something that binds as `level`."""
        return self.text if self.level >= level else f"({self.text})"


class Literals:
    """Writes settings down, and notes which names from elsewhere the text speaks of."""

    def __init__(self) -> None:
        self.imports: set[str] = set()
        self.bound: dict[str, Any] = {}
        """What the text calls by a name that it cannot import."""

    def function(self, function: Any) -> str:
        """Return what to call a function by, noting what has to be imported or bound for it."""
        found = _path(function)
        if found is None:
            name = getattr(function, "__name__", "function").strip("<>_") or "function"
            name = name if name.isidentifier() and name != "lambda" else "function"
            while self.bound.get(name, function) is not function:
                name += "_"
            self.bound[name] = function
            return name
        module, path = found
        if module not in ("builtins", "numpy"):
            self.imports.add(module)
        return path

    def index(self, at: Any, args: Sequence[Text]) -> str:
        """Return what stands between the brackets of an index."""
        if isinstance(at, tuple) and at:
            return ", ".join(self._place(k, args) for k in at) + ("," if len(at) == 1 else "")
        return self._place(at, args)

    def _place(self, at: Any, args: Sequence[Text]) -> str:
        if not isinstance(at, slice):
            return self.literal(at, args)
        parts = [("" if k is None else self.literal(k, args)) for k in (at.start, at.stop, at.step)]
        return ":".join(parts if parts[2] else parts[:2])

    def literal(self, value: Any, args: Sequence[Text] = ()) -> str:  # noqa: PLR0911  a table
        """Return the expression of a setting, in which parts stand for `args`."""
        match value:
            case Part(index):
                return args[index].text
            case tuple() | list() | dict() | slice():
                return self._several(value, args)
            case np.dtype():
                return _dtype(value)
            case np.integer() | np.bool_():
                return repr(value.item())
            case np.ndarray() | np.generic():
                return self.array(np.asarray(value))
            case float() if not math.isfinite(value):
                return f"np.{value}" if value > 0 or math.isnan(value) else "-np.inf"
            case bool() | None | str() | int() | float():
                return repr(value)
            case _ if value is Ellipsis:
                return "..."
            case type() if issubclass(value, np.generic):
                return _dtype(np.dtype(value))
            case _:
                return self.function(value)

    def _several(self, value: Any, args: Sequence[Text]) -> str:
        match value:
            case dict():
                return (
                    f"{{{', '.join(f'{k!r}: {self.literal(x, args)}' for k, x in value.items())}}}"
                )
            case slice():
                parts = (value.start, value.stop, value.step)
                return f"slice({', '.join(self.literal(k, args) for k in parts)})"
        inside = ", ".join(self.literal(x, args) for x in value)
        if isinstance(value, list):
            return f"[{inside}]"
        return f"({inside},)" if len(value) == 1 else f"({inside})"

    def array(self, value: Any) -> str:
        """Return an expression that makes a constant array."""
        usual = value.dtype in (np.float64, np.bool_, np.int64)
        dtype = "" if usual else f", {_dtype(value.dtype)}"
        if value.dtype.char == "g":  # the digits of which a Python number does not hold
            flat = f"np.frombuffer({value.tobytes()!r}, np.longdouble)"
            return f"{flat}.reshape({self.literal(value.shape)})"
        if not value.size:
            return f"np.zeros({self.literal(value.shape)}, {_dtype(value.dtype)})"
        if value.ndim and (value == value.flat[0]).all() and not _mixed(value):
            return self._uniform(value, dtype)
        whole = value.dtype.kind == "i" and value.ndim == 1
        if whole and np.array_equal(value, np.arange(value.size)):
            return f"np.arange({value.size}{dtype})"
        return f"np.array({self._items(value)}{dtype})"

    def _uniform(self, value: Any, dtype: str) -> str:
        first = value.flat[0].item()
        shape = value.shape[0] if value.ndim == 1 else self.literal(value.shape)
        if first not in (0, 1) or math.copysign(1, first) < 0:
            return f"np.full({shape}, {self._items(value.flat[0])}{dtype})"
        of = f", {_dtype(value.dtype)}" if value.dtype != np.float64 else ""
        return f"np.{'ones' if first else 'zeros'}({shape}{of})"

    def _items(self, value: Any) -> str:
        """Return the elements of an array, in as few digits as its dtype needs."""
        if value.ndim:
            return f"[{', '.join(map(self._items, value))}]"
        short = str(value) if value.dtype.kind == "f" and np.isfinite(value) else ""
        if short and value.dtype.type(float(short)) == value:
            return short
        return self.literal(value.item())


def _mixed(value: Any) -> bool:
    """Tell whether 0 and -0 are both there."""
    return value.dtype.kind == "f" and len(set(np.signbit(value).ravel().tolist())) > 1


def _dtype(dtype: np.dtype[Any]) -> str:
    name = dtype.type.__name__
    if dtype.isnative and getattr(np, name, None) is dtype.type:
        return f"np.{name}"
    return f"np.dtype({dtype.str!r})"


PLACES = ("numpy", "numpy.linalg", "numpy.fft", "math", "operator", "builtins", "scipy.special")


def _path(function: Any) -> tuple[str, str] | None:
    """Return the module that `function` is in, and how to write it down once that is imported."""
    name = getattr(function, "__name__", "")
    for place in PLACES:
        if getattr(sys.modules.get(place), name, None) is function:
            if place == "builtins":
                return place, name
            root = "numpy" if place.startswith("numpy") else place
            return root, f"{place.replace('numpy', 'np')}.{name}"
    owner = getattr(function, "__self__", None)
    if isinstance(owner, np.ufunc):
        found = _path(owner)
        return found and (found[0], f"{found[1]}.{name}")
    module = getattr(function, "__module__", None) or ""
    importable = module != "__main__" and getattr(sys.modules.get(module), name, None) is function
    if importable:
        return module, f"{module}.{name}"
    return _row(function)


def _row(function: Any) -> tuple[str, str] | None:
    """Return where the row is whose forward function it is, such as a lambda."""
    for module, contents in list(sys.modules.items()):
        if module.startswith("tinygrad_fc.ops."):
            for name, row in vars(contents).items():
                if getattr(row, "forward", None) is function:
                    return module, f"{module}.{name}.forward"
    return None
