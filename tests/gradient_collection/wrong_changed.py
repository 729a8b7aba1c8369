"""Right rules that are changed: sign, factor, terms, order, shape, memory, state, cotangent.

A change takes a right rule and returns a wrong one; each is applied to several functions of which
the gradient then differs.
"""

from collections.abc import Callable
from itertools import count
from typing import Any

import numpy as np

from .case import RIGHT, Rule, wrong

Change = Callable[[Rule], Rule]
LIVING: list[Any] = []


def one(f: Callable[..., Any], which: int = 0, *, cast: bool = True) -> Change:
    """Return a change of one gradient `a` to `f(a, x, g, out)`."""

    def change(vjp: Rule) -> Rule:
        def rule(g: Any, out: Any, *arrays: Any) -> Any:
            grads = list(vjp(g, out, *arrays))
            k = [i for i, a in enumerate(grads) if a is not None][which]
            a = np.asarray(f(grads[k], arrays[k], np.asarray(g), np.asarray(out)))
            grads[k] = a.astype(grads[k].dtype) if cast else a
            return tuple(grads)

        return rule

    return change


def cotangent(f: Callable[..., Any]) -> Change:
    """Return a change that reads another cotangent."""
    return lambda vjp: (
        lambda g, out, *arrays: vjp(np.asarray(f(np.asarray(g))).astype(out.dtype), out, *arrays)
    )


def argument(f: Callable[..., Any]) -> Change:
    """Return a change that reads another first argument."""
    return lambda vjp: lambda g, out, x, *arrays: vjp(g, out, f(x).astype(x.dtype), *arrays)


def after(act: Callable[..., Any]) -> Change:
    """Return a change that does something to `g, out, *arrays` when the gradients are computed."""

    def change(vjp: Rule) -> Rule:
        def rule(*arrays: Any) -> Any:
            grads = tuple(None if a is None else np.array(a) for a in vjp(*arrays))
            act(*arrays)
            return grads

        return rule

    return change


def unless(refused: Callable[..., Any]) -> Change:
    """Return a change that raises for some arguments."""

    def change(vjp: Rule) -> Rule:
        def rule(g: Any, out: Any, *arrays: Any) -> Any:
            if refused(*arrays):
                raise ValueError
            return vjp(g, out, *arrays)

        return rule

    return change


def reused(*, add: bool) -> Change:
    """Return a change that writes to one array for each shape."""

    def change(vjp: Rule) -> Rule:
        buffers: dict[Any, Any] = {}

        def rule(g: Any, out: Any, *arrays: Any) -> Any:
            a, *others = vjp(g, out, *arrays)
            buffer = buffers.setdefault((a.shape, a.dtype), np.zeros_like(a))
            np.copyto(buffer, buffer + a if add else a)
            return (buffer, *others)

        return rule

    return change


def cached(key: Callable[..., Any]) -> Change:
    """Return a change that keeps the slopes of an elementwise function."""

    def change(vjp: Rule) -> Rule:
        slopes: dict[Any, Any] = {}

        def rule(g: Any, out: Any, x: Any) -> Any:
            at = x.shape, x.dtype, key(x)
            if at not in slopes:
                slopes[at] = vjp(np.ones_like(out), out, x)[0]
            return ((g * slopes[at]).astype(x.dtype),)

        return rule

    return change


def identity(x: Any) -> int:
    """Return the number of an array object, which lives on so that no other one gets it."""
    LIVING.append(x)
    return id(x)


def noise(size: float, *, every: int = 1) -> Change:
    """Return a change by random numbers, or by the same one at every second call."""
    rng, calls = np.random.default_rng(), count()

    def noisy(a: Any, *_: Any) -> Any:
        return a * (1 + size * (rng.standard_normal(a.shape) if every == 1 else next(calls) % 2))

    return one(noisy)


def swapped(vjp: Rule) -> Rule:
    """Return the gradients in the opposite order."""
    return lambda g, out, *arrays: vjp(g, out, *arrays)[::-1]


def operands_swapped(vjp: Rule) -> Rule:
    """Return the gradients at arguments in the opposite order."""
    return lambda g, out, *arrays: vjp(g, out, *arrays[::-1])


def in_memory(a: Any) -> Any:
    """Return an array in the order of its memory, taken for the order of its axes."""
    return np.asarray(a).ravel(order="K").reshape(np.shape(a))


def first_row(vjp: Rule) -> Rule:
    """Return gradients of which that of an argument with fewer axes is that of the first row."""

    def rule(g: Any, out: Any, *arrays: Any) -> Any:
        grads, masked = vjp(g, out, *arrays), np.array(g)
        if masked.ndim > arrays[-1].ndim:
            masked[1:] = 0
        return *grads[:-1], vjp(masked, out, *arrays)[-1]

    return rule


def square(a: Any) -> bool:
    """Return whether an array is one of square matrices."""
    return a.ndim > 1 and a.shape[-1] == a.shape[-2]


def by_length(f: Callable[[int], float]) -> Change:
    """Return a change by a factor that depends on the length of the last axis."""
    return one(lambda a, x, g, out: a * f(max(x.shape[-1] if x.ndim else 1, 1)))


def where(condition: Callable[..., Any], factor: float = 0) -> Change:
    """Return a change by a factor where `condition(x)` holds."""
    return one(lambda a, x, g, out: np.where(condition(x), factor, 1) * a)


def narrow(f: Callable[..., Any]) -> Change:
    """Return a change that is made in float32 only."""
    return one(lambda a, x, g, out: f(a, x) if a.dtype == np.float32 else a)


CHANGES: tuple[tuple[str, str, Change, tuple[str, ...]], ...] = (
    ("sign", "negated", one(lambda a, *_: -a), ("1 - cos", "divide", "cross entropy", "cumsum")),
    ("sign", "last negated", one(lambda a, *_: -a, -1), ("subtract", "solve")),
    ("factor", "2 % more", one(lambda a, *_: 1.02 * a), ("sin 50x", "softplus", "log gamma")),
    ("factor", "n - 1 for n", by_length(lambda n: n / max(n - 1, 1)), ("mean", "var", "std")),
    ("forgotten term", "no last argument", one(lambda a, *_: 0 * a, -1), ("mod",)),
    ("forgotten term", "half of the results", cotangent(lambda g: g * (np.arange(g.size) % 2 == 0)
     .reshape(g.shape)), ("matmul", "logcumsumexp")),
    ("swapped arguments", "gradients", swapped, ("dot", "multiply", "atan2", "stack")),
    ("swapped arguments", "operands", operands_swapped, ("squared distance",)),
    ("transposed", "where square", one(lambda a, *_: a.swapaxes(-1, -2) if square(a) else a),
     ("matmul", "inv", "det", "solve", "transpose")),
    ("axis", "reversed", one(lambda a, *_: a[..., ::-1] if a.ndim else a), ("cumsum", "flip")),
    ("broadcast", "not summed", one(lambda a, x, g, out: np.broadcast_to(a, out.shape), -1),
     ("add", "maximum", "logaddexp")),
    ("broadcast", "averaged", one(lambda a, x, g, out: a * (a.size / out.size) if out.size else a,
     -1), ("add", "squared distance")),
    ("broadcast", "first row", first_row, ("add", "hypot", "lerp", "layer norm")),
    ("size-1", "squeezed", one(lambda a, *_: a.squeeze()), ("softmax", "dot", "cdist", "cumsum")),
    ("size-1", "twice", one(lambda a, x, *_: a * (1 + (x.shape[-1:] == (1,)))), ("sum", "cumsum")),
    ("0-d", "an axis", one(lambda a, *_: np.atleast_1d(a)), ("sin", "multiply", "sqrt")),
    ("0-d", "zero", one(lambda a, x, *_: a * (x.ndim > 0)), ("tanh", "hypot", "sum of all")),
    ("0-d", "a float", one(lambda a, *_: float(a) if a.ndim == 0 else a, cast=False), ("exp",)),
    ("empty", "raises", unless(lambda x, *_: not x.size), ("sin", "cumsum", "matmul", "norm")),
    ("empty", "flat", one(lambda a, *_: a if a.size else np.zeros(0, a.dtype)), ("square", "flip")),
    ("layout", "x in memory's order", argument(in_memory), ("sin", "cumprod", "matmul")),
    ("layout", "g in memory's order", cotangent(in_memory), ("exp", "cumsum", "transpose")),
    ("layout", "half for a view", one(lambda a, x, *_: a if x.flags.forc else a / 2), ("square",)),
    ("layout", "made positive", argument(lambda x: np.flip(x) if any(s < 0 for s in x.strides)
     else x), ("cube", "arctan", "gelu")),
    ("stride-0", "taken for one number", cotangent(lambda g: np.full(g.shape, g.flat[0])
     if 0 in g.strides and g.size else g), ("sin", "dot", "add")),
    ("stride-0", "nothing", cotangent(lambda g: g * (0 not in g.strides)), ("relu", "softplus")),
    ("dtype", "float64", one(lambda a, *_: a.astype(float), -1, cast=False), ("sin", "mean")),
    ("dtype", "float32 inside", one(lambda a, *_: np.float32(a)), ("tanh by its result", "solve")),
    ("dtype", "integers", argument(np.trunc), ("square", "power")),
    ("dtype", "only float64", unless(lambda x, *_: x.dtype.char != "d"), ("cumsum", "sigmoid")),
    ("float32 only", "half precision", narrow(lambda a, x: np.float16(a)), ("exp", "matmul")),
    ("float32 only", "1 % more", narrow(lambda a, x: a * np.float32(1.01)), ("log", "norm", "dot")),
    ("float32 only", "overflows", narrow(lambda a, x: np.where(x > 88, np.nan, a)), ("softplus",)),
    ("purity", "scales g", after(lambda g, out, *_: np.multiply(g, 2, out=g)), ("sin", "matmul")),
    ("purity", "sorts x", after(lambda g, out, x: x.sort(-1)), ("max", "cumsum")),
    ("purity", "centres x", after(lambda g, out, x: np.subtract(x, x.mean(), out=x)), ("var",)),
    ("purity", "squares out", after(lambda g, out, x: np.multiply(out, out, out=out)),
     ("tanh by its result", "softmax")),
    ("purity", "wraps the index", after(lambda g, out, w, i: np.mod(i, len(w), out=i)),
     ("embedding",)),
    ("aliasing", "one buffer a shape", reused(add=False), ("sin", "matmul", "softmax")),
    ("aliasing", "accumulates", reused(add=True), ("square", "add")),
    ("aliasing", "cached by shape", cached(lambda x: None), ("arctan", "exp")),
    ("aliasing", "cached by the sum", cached(lambda x: round(float(x.sum()), 6)), ("sigmoid",)),
    ("aliasing", "cached by the first", cached(lambda x: x.flat[0] if x.size else 0), ("square",)),
    ("aliasing", "cached by the last", cached(lambda x: x.flat[-1] if x.size else 0), ("cube",)),
    ("aliasing", "cached by identity", cached(identity), ("tanh by its result", "exp")),
    ("cotangent", "ones", cotangent(np.ones_like), ("sin", "softmax", "mean squared error")),
    ("cotangent", "its sum", cotangent(lambda g: np.full(g.shape, g.sum())), ("exp", "cumsum")),
    ("cotangent", "its size", cotangent(np.abs), ("square", "matmul", "cross entropy")),
    ("cotangent", "its square", cotangent(np.square), ("tanh by its result",)),
    ("cotangent", "clipped", cotangent(lambda g: np.clip(g, -1, 1)), ("log", "dot")),
    ("cotangent", "its mean", cotangent(lambda g: np.full(g.shape, g.mean()) if g.size else g),
     ("sum", "add")),
    ("cotangent", "a little added", cotangent(lambda g: g + 1e-4), ("cube",)),
    ("cotangent", "of length 1", cotangent(lambda g: g / max(float(np.sqrt((g * g).sum())), 1e-30)),
     ("matmul", "sqrt")),
    ("cotangent", "small ones dropped", cotangent(lambda g: g * (abs(g) > 0.2)), ("sin", "stack")),
    ("cotangent", "integers", cotangent(np.trunc), ("sqrt", "gather")),
    ("cotangent", "negative ones dropped", cotangent(lambda g: np.maximum(g, 0)), ("stack",)),
    ("nondeterminism", "noise of 1e-3", noise(1e-3), ("exp", "matmul")),
    ("nondeterminism", "noise of 1e-7", noise(1e-7), ("exp", "norm")),
    ("nondeterminism", "every other call", noise(1e-3, every=2), ("square", "softmax")),
    ("raises", "negative index", unless(lambda x, i: (i < 0).any()), ("gather", "embedding")),
    ("raises", "read-only", unless(lambda x, *_: not x.flags.writeable), ("clip", "dot")),
    ("raises", "two axes", unless(lambda x, *_: x.ndim == 2), ("arctan", "add")),
    ("one point", "nothing at 0", where(lambda x: x == 0), ("sin", "softplus", "erf", "identity")),
    ("one point", "nothing at 1", where(lambda x: x == 1), ("log", "square", "cubic spline")),
    ("one point", "nothing at integers", where(lambda x: x == np.round(x)), ("sinc", "tan")),
    ("not finite", "nan at 0", one(lambda a, x, *_: a * (x / x)), ("identity", "cube", "dot")),
    ("not finite", "inf at 1", one(lambda a, x, *_: np.where(x == 1, np.inf, a)), ("sqrt", "exp")),
    ("region", "twice beyond 3", where(lambda x: abs(x) > 3, 2), ("softsign",)),
    ("region", "nothing near 0", where(lambda x: abs(x) < 0.01), ("sin", "matvec")),
    ("region", "nothing below 0", where(lambda x: x < 0), ("gelu tanh", "sum", "huber")),
    ("nearly right", "1e-5 more", one(lambda a, *_: (1 + 1e-5) * a), ("sin", "softmax", "inv")),
    ("nearly right", "1e-7 more", one(lambda a, *_: (1 + 1e-7) * a), ("square", "log1p")),
    ("shape", "flat", one(lambda a, *_: a.ravel()), ("matmul", "relu")),
    ("shape", "a number", one(lambda a, *_: a.sum()), ("sum of all", "softmax")),
    ("shape", "an axis more", one(lambda a, *_: a[None]), ("matmul",)),
    ("shape", "first gradient only", lambda vjp: lambda *args: vjp(*args)[:1], ("matmul", "add")),
    ("shape", "one too many", lambda vjp: lambda *args: (*vjp(*args), 0), ("multiply", "exp")),
)  # fmt: skip
"""The class of the bug, what it is, the change, and functions of which the gradient differs."""

for _bug, _what, _change, _names in CHANGES:
    for _name in _names:
        wrong(_bug, _name, _what, _change(RIGHT[_name].vjp))
