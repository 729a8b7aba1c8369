"""Tracers that print: run a rule with them, and its formula comes back as readable source.

An `Expression` has a text and a value. Operators, NumPy functions and the library's ops compute
the value and extend the text, so that shapes and dtypes are real and a rule may branch on them.
Work done in place (`out=`, `*=`) rewrites the text of its target.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tinygrad_fc.op import Op

__all__ = ["Expression", "forward_text", "rule_text"]

# How tightly an operator binds: a part that binds less is put in parentheses.
COMPARE, BITS, SUM, PRODUCT, SIGN, POWER, ATOM = range(7)

BINARY: dict[str, tuple[str, int]] = {
    "add": ("+", SUM),
    "subtract": ("-", SUM),
    "multiply": ("*", PRODUCT),
    "divide": ("/", PRODUCT),
    "matmul": ("@", PRODUCT),
    "remainder": ("%", PRODUCT),
    "floor_divide": ("//", PRODUCT),
    "power": ("**", POWER),
    "less": ("<", COMPARE),
    "less_equal": ("<=", COMPARE),
    "greater": (">", COMPARE),
    "greater_equal": (">=", COMPARE),
    "equal": ("==", COMPARE),
    "not_equal": ("!=", COMPARE),
    "bitwise_and": ("&", BITS),
    "bitwise_or": ("|", BITS),
}
LONGEST = 200
"""Characters of a formula of a forward pass."""


class Shape(tuple[int, ...]):  # noqa: SLOT001  a tuple with slots has no room for the text
    """The shape of an expression, which prints as `x.shape`."""

    text: str


class Expression:
    """A value and the source text of its computation.

    >>> x = Expression("x", np.array([0.5]))
    >>> -np.exp(x * 2) + 1
    -np.exp(x * 2) + 1
    """

    __array_priority__ = 1000
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, text: str, value: Any, binds: int = ATOM) -> None:
        self.text, self.value, self.binds = text, value, binds

    def __repr__(self) -> str:
        return self.text

    def within(self, binds: int) -> str:
        """Return the text as an operand of an operator that binds as tightly as `binds`."""
        return self.text if self.binds >= binds else f"({self.text})"

    # Attributes

    @property
    def shape(self) -> Shape:
        """The shape of the value."""
        shape = Shape(np.shape(self.value))
        shape.text = f"{self.within(ATOM)}.shape"
        return shape

    @property
    def T(self) -> Expression:
        """The transpose."""
        return Expression(f"{self.within(ATOM)}.T", np.transpose(self.value))

    @property
    def mT(self) -> Expression:
        """The last two axes exchanged."""
        return Expression(f"{self.within(ATOM)}.mT", np.swapaxes(self.value, -1, -2))

    def __len__(self) -> int:
        return len(self.value)

    def __bool__(self) -> bool:
        return bool(self.value)

    def __neg__(self) -> Expression:
        return Expression(f"-{self.within(SIGN)}", -self.value, SIGN)

    def __invert__(self) -> Expression:
        return Expression(f"~{self.within(SIGN)}", ~self.value, SIGN)

    def __abs__(self) -> Expression:
        return Expression(f"abs({self.text})", abs(self.value))

    def __getitem__(self, at: Any) -> Expression:
        return Expression(f"{self.within(ATOM)}[{_index_text(at)}]", self.value[_plain(at)])

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        attribute = getattr(np.asarray(self.value), name)
        return partial(self._method, name) if callable(attribute) else attribute

    def _method(self, name: str, *args: Any, **kwargs: Any) -> Expression:
        value = getattr(np.asarray(self.value), name)(*map(_plain, args), **_plain(kwargs))
        return Expression(f"{self.within(ATOM)}.{name}({_arguments_text(args, kwargs)})", value)

    # NumPy functions and ops

    def __array_ufunc__(self, ufunc: Any, method: str, *args: Any, **kwargs: Any) -> Any:
        if method == "at":
            raise TypeError(f"np.{ufunc.__name__}.at changes an array in place: no expression")
        out = kwargs.pop("out", (None,))[0]
        if method == "__call__":
            result = call(ufunc.__name__, f"np.{ufunc.__name__}", ufunc, args, kwargs)
        else:
            name = f"np.{ufunc.__name__}.{method}"
            result = call(name, name, getattr(ufunc, method), args, kwargs)
        return result if out is None else out.rewrite(result)

    def __array_function__(self, function: Any, _: Any, args: Any, kwargs: Any) -> Any:
        if hasattr(function, "rules"):
            return call(function.name, function.name, function, args, kwargs)
        kwargs = dict(kwargs)
        out = kwargs.pop("out", None)
        if function is np.transpose and not kwargs and args[1:] in ((), (None,)):
            return args[0].T
        if function is np.dot:
            return call("matmul", "", np.dot, args, kwargs)
        module = "np.linalg." if "linalg" in (function.__module__ or "") else "np."
        result = call("", f"{module}{function.__name__}", function, args, kwargs)
        return result if out is None else out.rewrite(result)

    def rewrite(self, result: Expression) -> Expression:
        """Take over `result`, which was computed into this array."""
        self.text, self.value, self.binds = result.text, result.value, result.binds
        return self


def call(
    operation: str, name: str, function: Any, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Expression:
    """Return the expression of a call, written with an operator where there is one."""
    with np.errstate(all="ignore"):
        value = function(*map(_plain, args), **_plain(kwargs))
    operation = operation.partition("_no_nan")[0]  # a product that is 0 where the cotangent is
    if operation == "negative":
        return Expression(f"-{_text(args[0], SIGN)}", value, SIGN)
    if operation in BINARY and len(args) == 2 and not kwargs:
        sign, binds = BINARY[operation]
        if sign == "*":  # a factor of exactly 1 is a default setting
            for x, one in (args, args[::-1]):
                if isinstance(x, Expression) and type(one) in (int, float, np.float64) and one == 1:
                    return x
        left, right = (_text(args[0], binds), _text(args[1], binds + 1))
        if sign == "**":
            left, right = _text(args[0], ATOM), _text(args[1], SIGN)
        return Expression(f"{left} {sign} {right}", value, binds)
    return Expression(f"{name}({_arguments_text(args, kwargs)})", value)


def _operator(name: str, *, reverse: bool = False) -> Callable[[Expression, Any], Expression]:
    function = getattr(np, name)

    def method(self: Expression, other: Any) -> Expression:
        return call(name, f"np.{name}", function, (other, self) if reverse else (self, other), {})

    return method


def _in_place(name: str) -> Callable[[Expression, Any], Expression]:
    compute = _operator(name)
    return lambda self, other: self.rewrite(compute(self, other))


ARITHMETIC = {
    "add": "add",
    "sub": "subtract",
    "mul": "multiply",
    "truediv": "divide",
    "matmul": "matmul",
    "pow": "power",
    "mod": "remainder",
    "floordiv": "floor_divide",
    "and": "bitwise_and",
    "or": "bitwise_or",
}
COMPARISONS = {
    "lt": "less",
    "le": "less_equal",
    "gt": "greater",
    "ge": "greater_equal",
    "eq": "equal",
    "ne": "not_equal",
}
for _dunder, _name in ARITHMETIC.items():
    setattr(Expression, f"__r{_dunder}__", _operator(_name, reverse=True))
    setattr(Expression, f"__i{_dunder}__", _in_place(_name))
for _dunder, _name in (ARITHMETIC | COMPARISONS).items():
    setattr(Expression, f"__{_dunder}__", _operator(_name))


# Values and texts of arguments


def _plain(x: Any) -> Any:
    """Return `x` with values in place of expressions."""
    if isinstance(x, Expression):
        return x.value
    if isinstance(x, Shape):
        return tuple(x)
    if isinstance(x, tuple | list):
        return type(x)(map(_plain, x))
    if isinstance(x, dict):
        return {key: _plain(value) for key, value in x.items()}
    if isinstance(x, slice):
        return slice(_plain(x.start), _plain(x.stop), _plain(x.step))
    return x


def _text(x: Any, binds: int = 0) -> str:
    """Return the source of an argument, in parentheses where it binds less than `binds`."""
    if isinstance(x, Expression):
        return x.within(binds)
    if isinstance(x, Shape | np.dtype):
        return x.text if isinstance(x, Shape) else f"np.{x.name}"
    if isinstance(x, tuple | list):
        return repr(type(x)(map(_Verbatim, x)))
    if isinstance(x, np.generic | np.ndarray | float | int) and not isinstance(x, bool):
        return _number_text(np.asarray(x), binds)
    return getattr(x, "__name__", None) or repr(x)


def _number_text(x: Any, binds: int) -> str:
    if x.dtype.kind == "O":  # an expression that went into an array
        return " ".join(map(str, x.ravel()))
    if x.ndim:
        text = f"np.array({x.tolist()})"
    else:
        text = f"{x.item():.12g}" if x.dtype.kind == "f" else repr(x.item())
        if x < 0 and binds > SUM:
            text = f"({text})"
    return text.replace("inf", "np.inf").replace("nan", "np.nan")


class _Verbatim:
    """Prints as the source of an argument inside the `repr` of a tuple or list."""

    def __init__(self, x: Any) -> None:
        self.x = x

    def __repr__(self) -> str:
        return _text(self.x)


def _arguments_text(args: Sequence[Any], kwargs: Mapping[str, Any]) -> str:
    return ", ".join([*map(_text, args), *(f"{key}={_text(x)}" for key, x in kwargs.items())])


def _index_text(at: Any) -> str:
    if isinstance(at, tuple) and at:
        return ", ".join(map(_index_text, at))
    if isinstance(at, slice):
        parts = ["" if x is None else _text(x) for x in (at.start, at.stop, at.step)]
        return ":".join(parts if parts[2] else parts[:2])
    return "..." if at is ... else _text(at)


# The formulas of an op


def rule_text(
    op: Op, i: int, names: Sequence[str], arguments: Sequence[Any], settings: Mapping[str, Any]
) -> str:
    """Return the source of vjp rule `i` of `op`, traced with arguments of these names and values.

    The cotangent is `g`, and the result is `y`, or `out` where an argument has that name.

    >>> import tinygrad_fc as tg
    >>> rule_text(tg.tanh, 0, ["x"], [np.array([0.5])], {})
    'g * (1 - y * y)'
    """
    rules: Any = op.rules
    with np.errstate(all="ignore"):
        out = np.asarray(op.forward(*arguments, **settings))
        name = "out" if "y" in names else "y"
        cotangent = Expression("g", np.ones_like(out))
        inputs = [_argument(*pair) for pair in zip(names, arguments, strict=True)]
        result = rules[i](cotangent, Expression(name, out), *inputs, **settings)
    return _text(result)


def forward_text(
    op: Op, names: Sequence[str], arguments: Sequence[Any], settings: Mapping[str, Any]
) -> str:
    """Return the source of the result of `op`, traced likewise.

    >>> from tinygrad_fc.ops.linalg import linear
    >>> arrays = [np.ones((4, 3)), np.ones((2, 3)), np.ones(2)]
    >>> forward_text(linear, ["x", "weight", "bias"], arrays, {})
    'x.dot(weight.T) + bias'
    """
    inputs = [_argument(*pair) for pair in zip(names, arguments, strict=True)]
    if isinstance(op.function, np.ufunc):
        return _text(op.function(*inputs, **settings))
    try:
        with np.errstate(all="ignore"):
            text = _text(op.forward(*inputs, **settings))
    except Exception:  # noqa: BLE001  buffers and branches on values
        text = ""
    called = f"{op.name}({_arguments_text(inputs, settings)})"
    return text if 0 < len(text) <= LONGEST else called  # of a long formula the call says more


def _argument(name: str, value: Any) -> Any:
    """Return a tracer for an array; numbers and indices print as they are."""
    return Expression(name, value) if isinstance(value, np.ndarray) else value
