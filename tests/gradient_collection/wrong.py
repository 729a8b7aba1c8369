"""Wrong rules that no change of a right one gives: formulas, regions, single numbers, axes."""

from typing import Any

import numpy as np

from . import formulas as f
from .case import RIGHT, by, column, fitted, like, matrix, row, wrong


def one_step_back(g: Any, out: Any, x: Any, w: Any) -> Any:
    """Take the state before the last step for a constant."""
    gx, gw = RIGHT["recurrent"].vjp(g, out, x, w)
    return gx, g * (1 - out**2) * f.recurrent_states(x, w)[-2] if x.shape[-1] else gw


def first_only(x: Any, i: Any) -> Any:
    """Return which places are named, each at the first index that names it."""
    named = f.named(x, i)
    return named & (named.cumsum(-2) == 1)


def sort_by_value(g: Any, out: Any, x: Any) -> Any:
    """Look each number up among the sorted ones: a tie finds the first only."""
    grad = np.empty(x.shape, x.dtype)
    for at in np.ndindex(x.shape[:-1]):
        grad[at] = g[at][np.searchsorted(out[at], x[at])]
    return grad


def det_by_inverse(g: Any, out: Any, a: Any) -> Any:
    """Go through the inverse where there is one."""
    return matrix(g) * (
        matrix(out) * f.turned(np.linalg.inv(a)) if a.size and f.well_posed(a) else 0 * a
    )


def lead(x: Any, value: Any) -> Any:
    """Sum over the axes that `x` lacks, and forget those of size 1."""
    value = np.asarray(value)
    return like(x, value.sum(tuple(range(value.ndim - np.ndim(x)))))


def first(x: Any, value: Any) -> Any:
    """Sum over the last axes where the first are meant."""
    value = np.asarray(value)
    return like(x, value.sum(tuple(range(np.ndim(x), value.ndim))))


def last_kept(x: Any, value: Any) -> Any:
    """Sum as one should, but lose the axis that has to stay."""
    value = np.asarray(value)
    value = value.sum(tuple(range(value.ndim - np.ndim(x))))
    lost = [k for k in range(value.ndim) if np.shape(x)[k] == 1 and value.shape[k] != 1]
    return like(x, value.sum(tuple(lost)))


# fmt: off
FORMULAS: dict[str, tuple[tuple[str, str, Any], ...]] = {
    "formula": (
        ("sin", "sin for cos", by(lambda x, y: np.sin(x))),
        ("quadratic form", "as of a symmetric matrix",
         lambda g, out, x, a: (column(g) * 2 * (a @ column(x))[..., 0],
                               matrix(g) * column(x) * row(x))),
    ),
    "forgotten term": (
        ("layer norm", "nothing along the row", f.layer_norm_vjp(along=False)),
        ("recurrent", "state held", one_step_back),
        ("relu minus relu", "one of them", by(lambda x, y: x > 0)),
    ),
    "transposed": (
        ("matvec", "right for square ones only",
         lambda g, out, a, x: (column(g) * row(x), (a @ column(g))[..., 0])),
        ("transpose", "reshaped", lambda g, out, a: g.reshape(a.shape)),
    ),
    "one point": (
        ("abs", "2 at 0", by(lambda x, y: np.where(x == 0, 2, np.sign(x)))),
        ("relu", "-1 at 0", by(lambda x, y: np.where(x == 0, -1, x > 0))),
        ("prod", "as if no factor were 0",
         lambda g, out, x: column(g) * f.ratio(column(out), x)),
        ("det", "nothing for a singular matrix", det_by_inverse),
    ),
    "ties": (
        ("max", "all of them", lambda g, out, x: column(g) * (x == column(out))),
        ("maximum", "both", by(lambda x, y, out: (x >= y, y >= x))),
        ("sort", "all to the first", sort_by_value),
        ("median", "all of them",
         lambda g, out, x: column(g) * (x == column(out) if x.shape[-1] % 2 else f.middle(x))),
    ),
    "repeated indices": (
        ("gather", "counted once",
         lambda g, out, x, i: ((column(g) * first_only(x, i)).sum(-2), None)),
        ("embedding", "set", lambda g, out, w, i: (f.added(w, i, g, over=True), None)),
        ("embedding", "negative ones forgotten",
         lambda g, out, w, i: (f.added(w, i[i >= 0], g[i >= 0]), None)),
    ),
    "not finite": (
        ("hypot", "nan at 0", by(lambda x, y, out: (x / out, y / out))),
        ("std", "nan for equal numbers",
         lambda g, out, x: column(g) * f.centred(x) / (column(out) * x.shape[-1])),
        ("logsumexp", "not shifted",
         lambda g, out, x: column(g) * np.exp(x) / np.exp(x).sum(-1, keepdims=True)),
        ("sinc", "nan at 0", by(lambda x, y: (np.cos(np.pi * x) - y) / x)),
    ),
    "region": (
        ("tanh by its result", "nothing beyond 2", by(lambda x, y: (1 - y * y) * (abs(x) < 2))),
        ("square", "at most 1000", by(lambda x, y: np.clip(2 * x, -1000, 1000))),
        ("softplus", "quotient of infinities", by(lambda x, y: np.exp(x) / (1 + np.exp(x)))),
        ("log |x|", "negative numbers", by(lambda x, y: 1 / np.abs(x))),
        ("1 - cos", "nothing near 0", by(lambda x, y: np.sin(x) * (abs(x) > 1e-2))),
        ("Bessel series", "six terms", by(lambda x, y: f.bessel(x, terms=6, slope=True))),
        ("exp", "clipped", by(lambda x, y: np.minimum(y, 1e6))),
        ("cdist", "near points",
         lambda g, out, x, y: RIGHT["cdist"].vjp(g * (out > 0.1), out, x, y)),
    ),
    "axis": (
        ("sum", "row for column", lambda g, out, x: np.broadcast_to(
            row(g) if np.ndim(g) and x.shape[-1] == np.shape(g)[-1] else column(g), x.shape)),
        ("cumsum", "along the first axis",
         lambda g, out, x: g[::-1].cumsum(0)[::-1] if x.ndim else g),
        ("sort", "as if its own inverse",
         lambda g, out, x: np.take_along_axis(g, np.argsort(x, -1, kind="stable"), -1)),
    ),
    "size-1": (
        ("matmul", "taken for a dot product", lambda g, out, a, b: (
            g * row(b.sum(-1)) if a.shape[-2] == 1 else g @ f.turned(b), f.turned(a) @ g)),
    ),
    "scale": (
        ("x^2 1e-7", "twice", by(lambda x, y: 4e-7 * x)),
        ("x 1e-9", "twice", by(lambda x, y: 2e-9)),
    ),
    "nearly right": (
        ("erf", "constant of four digits", by(lambda x, y: 1.128 * np.exp(-x * x))),
        ("gelu", "slope of the tanh form", by(f.gelu_tanh_slope)),
        ("layer norm", "no epsilon", f.layer_norm_vjp(epsilon=1e-12)),
    ),
}
"""For each class of bugs: a function, what is wrong, and the rule."""
UNSUMMED = (
    ("multiply", "only axes that are lacking",
     lambda g, out, x, y: (lead(x, g * y), lead(y, g * x))),
    ("subtract", "last axes for the first", lambda g, out, x, y: (first(x, g), first(y, -g))),
    ("divide", "axis lost",
     lambda g, out, x, y: (last_kept(x, g / y), last_kept(y, -g * out / y))),
)
"""Rules that sum over the wrong axes."""
SECOND = (
    ("sin", "held", lambda h, g, x: (h[0] * np.cos(x), np.zeros_like(x))),
    ("cube", "no x", lambda h, g, x: (3 * h[0] * x**2, 6 * h[0] * g)),
    ("reciprocal", "slope of g is -1",
     lambda h, g, x: (-np.ones_like(g) * h[0], 2 * h[0] * g / x**3)),
)
"""Rules of right rules."""
# fmt: on

for _bug, _rows in FORMULAS.items():
    for _base, _what, _rule in _rows:
        wrong(_bug, _base, _what, fitted(_rule))
for _base, _what, _rule in UNSUMMED:
    wrong("broadcast", _base, _what, _rule)
for _base, _what, _rule in SECOND:
    wrong("second order", _base, _what, None, vjp2=_rule)
