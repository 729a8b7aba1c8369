"""Changes of a tensor's own array: only where no graph is being recorded through it.

A graph that needs the values finds out when it is walked. What would have to be recorded is
refused here: a tensor is the result of the one call that it remembers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc import mode
from tinygrad_fc.errors import DtypeError, GraphError, RangeError, ShapeError
from tinygrad_fc.graph import Node, changed, changing, record
from tinygrad_fc.ops import elementwise as e

if TYPE_CHECKING:
    from collections.abc import Callable

    from tinygrad_fc.tensor import Tensor


def _tracked(*operands: Any) -> bool:
    if not mode.flags.get() & mode.RECORD:
        return False
    return any(isinstance(a, Node) and a._requires_grad for a in operands)


def _change(t: Any, what: str, change: Callable[[Any], Any], *operands: Any) -> Tensor:
    """Run `change` on the array of `t`, and note it."""
    if _tracked(t, *operands):
        if t._requires_grad and t.is_leaf:
            change_of = "{}[i] = y" if what == "x[...] = y" else "{} -= lr * w.grad"
            message = (
                f"{what} would change a tensor that requires grad, and the change cannot be "
                f"recorded. Two ways work: `with no_grad(): {change_of.format('w')}`, or "
                f"`{change_of.format('w.data')}`"
            )
        else:
            message = (
                f"{what} would change a recorded value in place, and its gradient would be wrong. "
                "Write it out of place (`x = x + y` for `x.add_(y)`, where() or stack() for "
                "x[i] = y), or inside `with no_grad():` if no gradient is wanted"
            )
        raise GraphError(message)
    with changing:
        try:
            change(t._array)
        except (ValueError, TypeError, IndexError) as error:
            raise _refusal(t, what, operands, error) from error
        except BaseException:
            # NumPy warns of an overflow, or raises as it was told to, when all is written.
            changed(t._array)
            raise
        changed(t._array)
    return t  # type: ignore[no-any-return]


def _refusal(t: Any, what: str, operands: tuple[Any, ...], error: Exception) -> Exception:
    """Return the error to raise where NumPy raised `error` before it wrote anything."""
    kind: type[Exception] = DtypeError if isinstance(error, TypeError) else ShapeError
    if isinstance(error, IndexError):
        kind = RangeError
    hint = ""
    if "read-only" in str(error):
        hint = ": its memory is shared or borrowed, change a copy (x.clone())"
    given = ", ".join(f"{np.shape(_array(o))} {getattr(_array(o), 'dtype', '')}" for o in operands)
    return kind(
        f"{what} cannot change a tensor {t.shape} {t.dtype} by {given or 'this'}: {error}{hint}"
    )


def _array(operand: Any) -> Any:
    return operand._array if isinstance(operand, Node) else operand


def _method(ufunc: Any, name: str) -> Any:
    def scaled(self: Any, other: Any, *, alpha: float = 1) -> Any:
        value = _array(other) if alpha == 1 else np.multiply(_array(other), alpha)
        return _change(self, name, lambda a: ufunc(a, value, out=a), other)

    def plain(self: Any, other: Any) -> Any:
        value = _array(other)
        return _change(self, name, lambda a: ufunc(a, value, out=a), other)

    method = scaled if ufunc in (np.add, np.subtract) else plain
    method.__name__ = method.__qualname__ = name
    method.__doc__ = (
        f"Do what `{name[:-1]}` does in place; return itself. See `tinygrad_fc.inplace`."
    )
    return method


def _operator(row: Any, symbol: str, method: Any) -> Any:
    def operator(self: Any, other: Any) -> Any:
        # Between recorded tensors `x += y` is `x = x + y`: Python binds the name to the new result.
        if _tracked(self, other) and not (self._requires_grad and self.is_leaf):
            return record(row, (self, other), {})
        return method(self, other)

    operator.__name__ = symbol
    return operator


methods = tuple(
    _method(ufunc, name)
    for ufunc, name in (
        *((np.add, "add_"), (np.subtract, "sub_")),
        *((np.multiply, "mul_"), (np.true_divide, "div_")),
    )
)
operators = tuple(
    _operator(row, symbol, _method(row.function, symbol))
    for row, symbol in ((e.add, "+="), (e.subtract, "-="), (e.multiply, "*="), (e.divide, "/="))
)


def assign(self: Any, at: Any, value: Any) -> None:
    """Set elements, as `x[at] = value` does."""
    array = _array(value)

    def change(a: Any) -> None:
        a[at] = array

    _change(self, "x[...] = y", change, value)


def copy_(self: Any, src: Any, non_blocking: bool = False) -> Tensor:
    """Take over the values of `src`, which broadcasts; return itself."""
    del non_blocking
    array = _array(src)
    return _change(self, "copy_", lambda a: np.copyto(a, array, casting="unsafe"), src)


def fill_(self: Any, value: Any) -> Tensor:
    """Set every element to `value`; return itself."""
    array = _array(value)
    return _change(self, "fill_", lambda a: a.fill(array), value)


def zero_(self: Any) -> Tensor:
    """Set every element to 0; return itself."""
    return _change(self, "zero_", lambda a: a.fill(0))


def clamp_(self: Any, min: Any = None, max: Any = None) -> Tensor:
    """Keep every element within `min` and `max`; return itself."""
    low, high = _array(min), _array(max)
    if low is None and high is None:
        message = "clamp_ needs a bound: pass min, max or both"
        raise ValueError(message)
    return _change(self, "clamp_", lambda a: np.clip(a, low, high, out=a), min, max)


def normal_(self: Any, mean: float = 0, std: float = 1, *, generator: Any = None) -> Tensor:
    """Draw every element from a normal distribution; return itself."""
    from tinygrad_fc.random import fill_normal  # noqa: PLC0415  which makes tensors

    if not std >= 0:
        message = f"normal_ needs std >= 0, got {std}"
        raise ValueError(message)
    return _change(self, "normal_", lambda a: fill_normal(a, mean, std, generator))


def uniform_(self: Any, *bounds: float, generator: Any = None, **named: float) -> Tensor:
    """Draw every element uniformly `from` (0) `to` (1); return itself."""
    from tinygrad_fc.random import fill_uniform  # noqa: PLC0415  as above

    # `from` is a word of Python's, so that only `**named` can take it by its name.
    given = dict(zip(("from", "to"), bounds, strict=False))
    if len(bounds) > 2 or named.keys() - {"from", "to"} or given.keys() & named.keys():
        message = f"uniform_ takes `from` and `to`, got {bounds} and {named}"
        raise TypeError(message)
    low, high = {"from": 0.0, "to": 1.0, **given, **named}.values()
    if not low <= high:
        message = f"uniform_ needs from <= to, got from={low}, to={high}"
        raise ValueError(message)
    return _change(self, "uniform_", lambda a: fill_uniform(a, low, high, generator))
