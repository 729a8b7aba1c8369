"""Wrong gradients of kinds that occurred in public projects, each with a right twin.

Besides rules in NumPy there are structured inputs, long axes, state, and functions of PyTorch,
which are left out where it is not installed.
"""

from functools import partial
from importlib.util import find_spec
from typing import Any

import numpy as np

from tinygrad_fc import domain as d
from tinygrad_fc.domain import constant, index, interval, real
from tinygrad_fc.testing import check, check_vjp, from_torch

from . import formulas as f
from .case import Check, column, fitted, like, row

TWINS: dict[str, Check] = {}


def twins(name: str, checked: Any) -> None:
    """Add a check of a wrong gradient, and one of the right one."""
    for wrong in (True, False):
        full = f"project: {name}" + ", right" * (not wrong)
        TWINS[full] = Check(full, partial(checked, wrong), "project" if wrong else None)


def vjp(name: str, make: Any, *domains: Any, **more: Any) -> None:
    """Add a rule in NumPy: `make(wrong)` returns the function and its vjp."""
    twins(name, lambda wrong, **o: check_vjp(*make(wrong), *domains, **more, **o))


SMALL = interval(-4, 4, (0.0, 1.0))
ROWS, LABELS = real("n>=1", "c>=2"), index("c", negative=False)("n")


def at(x: Any, t: Any) -> Any:
    """Return the number of each row at its label."""
    return x[np.arange(len(t)), t]


# Layers and losses


def margins(x: Any, t: Any) -> Any:
    """Return by how much each other class is too near to the label."""
    return np.maximum(x - column(at(x, t)) + 1, 0) * ~f.hot(x, t)


def hinge(w: bool) -> Any:
    """Subtract from the label once."""

    def rule(g: Any, _out: Any, x: Any, t: Any) -> Any:
        near = (margins(x, t) > 0) * g
        total = (near != 0).any(-1) * g if w else near.sum(-1)
        return like(x, near - f.hot(x, t) * column(total)), None

    return lambda x, t: margins(x, t).sum(), rule


# fmt: off
vjp("smooth l1, no beta", lambda w: (
    lambda x, y: like(x, np.where(abs(x - y) < 0.25, 2 * (x - y)**2, abs(x - y) - 0.125).mean()),
    fitted(lambda g, out, x, y: tuple(
        s * g / x.size * np.where(abs(x - y) < 0.25, (x - y) * (1 if w else 4), np.sign(x - y))
        for s in (1, -1)))), real("n>=1"), real("n"))
vjp("hinge, label once", hinge, ROWS, LABELS)
# fmt: on

# Convolutions and pooling, indices, linear algebra


def relative(n: int) -> Any:
    """Return the distances of all positions, from 0 on."""
    return np.arange(n)[:, None] - np.arange(n) + n - 1


def slid(x: Any, n: int) -> Any:
    """Return which numbers of `x` stand in each window of length `n`."""
    return column(np.arange(max(len(x) - n + 1, 0))) + np.arange(n)


def pooled(w: bool) -> Any:
    """Overwrite the gradient where windows overlap."""

    def rule(g: Any, _out: Any, x: Any) -> Any:
        return f.added(x, np.arange(len(g)) + x[slid(x, 3)].argmax(-1), g, over=w)

    return lambda x: x[slid(x, 3)].max(-1), rule


def product(w: bool) -> Any:
    """Take the first matrix of a batch where one was broadcast."""

    def fit(g: Any, x: Any) -> Any:
        g = g.sum(tuple(range(g.ndim - x.ndim)))
        for k in (k for k in range(x.ndim - 2) if x.shape[k] != g.shape[k]):
            g = g.take([0], k) if w and g.size else g.sum(k, keepdims=True)
        return g

    def rule(g: Any, _out: Any, a: Any, b: Any) -> Any:
        return fit(g @ f.turned(b), a), fit(f.turned(a) @ g, b)

    return np.matmul, rule


def cholesky(w: bool) -> Any:
    """Do not halve the diagonal."""

    def rule(g: Any, out: Any, a: Any) -> Any:
        m = np.tril(out.T @ np.tril(g)) * (1 - (not w) * np.eye(len(a)) / 2)
        s = np.linalg.solve(out.T, np.linalg.solve(out.T, m.T).T)
        return like(a, (s + s.T) / 2)

    return np.linalg.cholesky, rule


# fmt: off
vjp("relative bias, overwritten", lambda w: (
    lambda s, b: s + b[relative(len(s))],
    lambda g, out, s, b: (g.copy(), f.added(b, relative(len(s)), g, over=w))),
    real("n>=1", "n"), real("k"), where=lambda s, b: len(b) >= 2 * len(s) - 1)
vjp("pooling, overwritten", pooled, real("n>=3"))
vjp("matmul, batch of one not summed", product, SMALL(..., "n", "k"), SMALL(..., "k", "m"))
vjp("bilinear, transposed where square", lambda w: (
    lambda x, a, y: x @ a @ y,
    lambda g, out, x, a, y: (g * (a @ y), g * (row(x) * column(y) if w and len(x) == len(y)
                                               else column(x) * row(y)), g * (x @ a))),
    SMALL("n"), SMALL("n", "m"), SMALL("m"))
vjp("cholesky, diagonal not halved", cholesky, d.positive_definite("n", "n"))
vjp("eigenvalues, rows for columns", lambda w: (
    np.linalg.eigvalsh,
    lambda g, out, a: like(a, (np.linalg.eigh(a)[1].T * g @ np.linalg.eigh(a)[1] if w else
                               np.linalg.eigh(a)[1] * g @ np.linalg.eigh(a)[1].T))),
    d.symmetric("n", "n"))
vjp("angle of unit vectors", lambda w: (
    lambda x, y: np.arccos((x * y).sum(-1)),
    lambda g, out, x, y: tuple(-column(g / np.sin(out) ** (1 + w)) * a for a in (y, x))),
    d.unit_vectors("n", "m>=2"), d.unit_vectors("n", "m"),
    where=lambda x, y: bool((abs((x * y).sum(-1)) < 0.99).all()))
vjp("dropout, no scale", lambda w: (
    lambda x, m: like(x, x * (m > 0) / 0.75),
    lambda g, out, x, m: (like(x, g * (m > 0) / (1 if w else 0.75)), None)),
    real("n"), constant(real("n")))
# fmt: on

# Long axes, and state


def running(w: bool) -> Any:
    """Forget what is carried from one chunk of 1,000 to the next."""

    def rule(g: Any, _out: Any, _x: Any) -> Any:
        size = 1000 if w else max(len(g), 1)
        parts = [f.reverse_cumsum(g[i : i + size]) for i in range(0, len(g), size)]
        return np.concatenate([g[:0], *parts])

    return lambda x: x.cumsum(), rule


def masked(w: bool) -> Any:
    """Return a rule that stores its mask by the shape alone."""
    masks: dict[Any, Any] = {}

    def rule(g: Any, _out: Any, x: Any) -> Any:
        return g * masks.setdefault((x.shape, x.dtype, not w and x.tobytes()), x > 0)

    return lambda x: np.maximum(x, 0), rule


def shared(w: bool) -> Any:
    """Read the input of the latest call."""
    latest = [np.zeros(())]

    def forward(x: Any) -> Any:
        latest[0] = x.copy()
        return x**3

    def rule(g: Any, _out: Any, x: Any) -> Any:
        return 3 * g * (latest[0] if w and latest[0].shape == x.shape else x) ** 2

    return forward, rule


# fmt: off
vjp("blocks of 128, tail dropped", lambda w: (
    lambda x: (x * x).sum(),
    lambda g, out, x: 2 * x * g * ((np.arange(len(x)) < (len(x) // 128 * 128 or len(x)))
                                   | (not w))), real("n"))
vjp("mask of 64 bits", lambda w: (
    lambda x: np.maximum(x, 0),
    lambda g, out, x: g * (x > 0) * ((np.arange(x.shape[-1]) < 64) | (not w))), real("b", "n"))
vjp("chunks of 1,000, carry dropped", running, real("n"))
vjp("mask stored by shape", masked, real)
vjp("latest input read", shared, SMALL)
# fmt: on

# PyTorch


def torch(
    name: str, forward: Any, backward: Any, *domains: Any, right: Any = None, order: int = 1
) -> None:
    """Add a function of PyTorch: `backward(wrong, ctx, *g)`, or `right` in place of `forward`."""

    def checked(w: bool, **options: Any) -> Any:
        from torch.autograd import Function  # noqa: PLC0415

        ways: dict[str, Any] = {
            "forward": staticmethod(forward if w or right is None else right),
            "backward": staticmethod(lambda ctx, *g: backward(w, ctx, *g)),
        }
        function = type("Function", (Function,), ways).apply
        return check(from_torch(function), *domains, dtypes=np.float64, order=order, **options)

    twins(f"torch, {name}", checked)


def saving(function: Any) -> Any:
    """Return a forward that saves its arguments."""

    def forward(ctx: Any, *arrays: Any) -> Any:
        ctx.save_for_backward(*arrays)
        return function(*arrays)

    return forward


def exponent(ctx: Any, x: Any) -> Any:
    """Return the exponential, and save it."""
    ctx.e = x.detach().exp()
    return ctx.e.clone()


def by_strides(w: bool, ctx: Any, g: Any) -> Any:
    """Read the memory of the cotangent in order."""
    if w and g.numel() and not g.is_contiguous():
        g = g.flatten()[:1].expand(g.shape)
    return g * ctx.saved_tensors[0].cos()


def of_both(w: bool, ctx: Any, g: Any) -> Any:
    """Return no gradient where the first argument needs none."""
    x, y = ctx.saved_tensors
    none = w and not ctx.needs_input_grad[0]
    return (None, None) if none else (g * y.exp(), g * x * y.exp())


def of_tanh(w: bool, ctx: Any, g: Any) -> Any:
    """Return the gradient of tanh, computed by NumPy."""
    (x,) = ctx.saved_tensors
    return g * (1 - (x.new_tensor(np.tanh(x.detach().numpy())) if w else x.tanh()) ** 2)


if find_spec("torch"):
    torch("cotangent taken for contiguous", saving(lambda x: x.sin()), by_strides, SMALL("n", "m"))
    torch("input clamped", saving(lambda x: x.data.clamp_(-1, 1).clone()),
          lambda w, ctx, g: g * (ctx.saved_tensors[0].abs() < 1), real,
          right=saving(lambda x: x.clamp(-1, 1)))  # fmt: skip
    torch("second argument alone", saving(lambda x, y: x * y.exp()), of_both, SMALL("n"),
          SMALL("n"), order=2)  # fmt: skip
    torch("saved values changed", exponent,
          lambda w, ctx, g: ctx.e.mul_(g).clone() if w else ctx.e * g, SMALL)  # fmt: skip
    torch("second result ignored", saving(lambda x: (x.sin(), x.cos())),
          lambda w, ctx, g, h: g * ctx.saved_tensors[0].cos()
          - (not w) * h * ctx.saved_tensors[0].sin(), SMALL("n"), order=2)  # fmt: skip
    torch("second order through NumPy", saving(lambda x: x.tanh()), of_tanh, SMALL, order=2)
