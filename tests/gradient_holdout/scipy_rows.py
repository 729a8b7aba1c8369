"""Functions of NumPy and SciPy of several numbers, with gradients by hand."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from scipy import fft, integrate, interpolate, linalg, signal, spatial, special

from tinygrad_fc.domain import interval, positive, real

from .entry import by_hand, curve

N, M = "n", "m"
SQUARE = real(N, N)
numpy = partial(by_hand, "numpy")
scipy = partial(by_hand, "scipy")

KNOTS = np.linspace(-4, 4, 9)
SPLINE = interpolate.CubicSpline(KNOTS, np.sin(KNOTS))


def fit(x: Any, value: Any) -> Any:
    """Return a gradient summed over the axes that `x` was stretched along, in its dtype."""
    value = np.asarray(value)
    value = value.sum(tuple(range(value.ndim - np.ndim(x))))
    stretched = tuple(k for k, n in enumerate(np.shape(x)) if n == 1)
    return value.sum(stretched, keepdims=True).astype(x.dtype)


def well_posed(a: Any, *_: Any) -> bool:
    """Tell whether the matrices `a` lose at most four digits."""
    return a.size == 0 or bool(np.all(np.linalg.cond(a) < 1e4))


def separate(a: Any) -> bool:
    """Tell whether no two singular values are near, nor any near 0."""
    s = np.linalg.svd(a, compute_uv=False)
    return bool(np.all(-np.diff(s) > 0.05)) and bool(np.all(s > 0.05))


def svd_vjp(g: Any, _out: Any, a: Any) -> Any:
    """Take the outer products of the vectors."""
    u, _, v = np.linalg.svd(a, full_matrices=False)
    return (u * g) @ v


def cdist_vjp(g: Any, _out: Any, x: Any, y: Any) -> Any:
    """Take the signs of the differences."""
    pull = g[..., None] * np.sign(x[:, None] - y)
    return pull.sum(1).astype(x.dtype), -pull.sum(0).astype(y.dtype)


def simpson_weights(n: int) -> Any:
    """Return by how much each of `n` points counts: the rule is linear."""
    return integrate.simpson(np.eye(n), axis=-1)


def percentile_vjp(g: Any, _out: Any, x: Any) -> Any:
    """Share among the two neighbours of the place."""
    at = 0.3 * (len(x) - 1)
    low = int(at)
    grad = np.zeros_like(x)
    order = np.argsort(x, kind="stable")
    grad[order[low]] += g * (1 - (at - low))
    grad[order[min(low + 1, len(x) - 1)]] += g * (at - low)
    return grad


def cumulative_vjp(g: Any, _out: Any, x: Any) -> Any:
    """Give half of each gap, which all later sums hold, to both its ends."""
    after = np.cumsum(g[::-1])[::-1]
    return (np.append(after, 0) / 2 + np.append(0, after) / 2).astype(x.dtype)


def gradient_vjp(g: Any, _out: Any, x: Any) -> Any:
    """Go through the matrix of the differences."""
    return (np.gradient(np.eye(len(x)), axis=0).T @ g).astype(x.dtype)


def pair(library: str, name: str, f: Any, slopes: Any, *domains: Any, **options: Any) -> None:
    """Add a function of two numbers with both its slopes."""

    def vjp(g: Any, _out: Any, x: Any, y: Any) -> Any:
        a, b = slopes(x, y)
        return fit(x, g * a), fit(y, g * b)

    by_hand(library, name, f, vjp, *domains, **options)


pair(
    "scipy.special",
    "betaln",
    special.betaln,
    lambda a, b: (
        special.digamma(a) - special.digamma(a + b),
        special.digamma(b) - special.digamma(a + b),
    ),
    interval(0, 50, (1.0,)),
    interval(0, 50, (1.0,)),
)
pair(
    "scipy.special",
    "beta",
    special.beta,
    lambda a, b: (
        special.beta(a, b) * (special.digamma(a) - special.digamma(a + b)),
        special.beta(a, b) * (special.digamma(b) - special.digamma(a + b)),
    ),
    interval(0, 20, (1.0,)),
    interval(0, 20, (1.0,)),
)
pair(
    "scipy.special",
    "xlog1py",
    special.xlog1py,
    lambda x, y: (np.log1p(y), x / (1 + y)),
    real,
    positive,
)
pair(
    "scipy.special",
    "rel_entr",
    special.rel_entr,
    lambda x, y: (np.log(x / y) + 1, -x / y),
    positive,
    positive,
)
pair(
    "scipy.special",
    "kl_div",
    special.kl_div,
    lambda x, y: (np.log(x / y), 1 - x / y),
    positive,
    positive,
)
pair(
    "numpy",
    "logaddexp2",
    np.logaddexp2,
    lambda x, y: (special.expit((x - y) * np.log(2)), special.expit((y - x) * np.log(2))),
    real,
    real,
)
pair(
    "numpy",
    "hypot",
    np.hypot,
    lambda x, y: (x / np.hypot(x, y), y / np.hypot(x, y)),
    positive,
    positive,
)
pair(
    "numpy",
    "fmod",
    np.fmod,
    lambda x, y: (np.ones_like(x * y), -np.trunc(x / y)),
    interval(-50, 50, (0.0, 1.0)),
    interval(0.25, 8, (1.0, 2.0)),
)
curve("numpy", "arcsinh", np.arcsinh, lambda x: 1 / np.hypot(1, x), real)
curve("numpy", "log1p", np.log1p, lambda x: 1 / (1 + x), interval(-1, 1e4, (0.0,)))
curve(
    "numpy",
    "polyval",
    lambda x: np.polyval([2, -3, 0, 1, -5], x),
    lambda x: ((8 * x - 9) * x) * x + 1,
    real,
)
curve(
    "numpy",
    "interp",
    lambda x: np.interp(x, KNOTS, np.cos(KNOTS)).astype(x.dtype),
    lambda x: np.where(
        abs(x) < 4, np.diff(np.cos(KNOTS))[np.clip(np.searchsorted(KNOTS, x, "right") - 1, 0, 7)], 0
    ),
    interval(-6, 6, (0.5, 1.0, 0.0)),
)
curve(
    "scipy.interpolate",
    "CubicSpline",
    lambda x: SPLINE(x).astype(x.dtype),
    SPLINE.derivative(),
    interval(-4, 4, (0.0, 1.0, 0.5)),
)
curve(
    "numpy",
    "piecewise",
    lambda x: np.select([x < -1, x < 1], [-2 * x - 1, x * x], 2 * x - 1),
    lambda x: np.select([x < -1, x < 1], [-2 + 0 * x, 2 * x], 2),
    real,
)

numpy(
    "linalg.slogdet",
    lambda a: np.linalg.slogdet(a)[1],
    lambda g, out, a: g * np.linalg.inv(a).T,
    SQUARE,
    where=well_posed,
)
numpy(
    "linalg.inv",
    np.linalg.inv,
    lambda g, out, a: -out.T @ g @ out.T,
    SQUARE,
    where=well_posed,
)
numpy(
    "linalg.svd", lambda a: np.linalg.svd(a, compute_uv=False), svd_vjp, real(N, M), where=separate
)
numpy("linalg.norm fro", np.linalg.norm, lambda g, out, a: g * a / (out or 1), real(N, M))
numpy(
    "kron",
    np.kron,
    lambda g, out, a, b: ((g.reshape(len(a), len(b)) @ b), (a @ g.reshape(len(a), len(b)))),
    real(N),
    real(M),
)
numpy(
    "vander",
    lambda x: np.vander(x, 4).astype(x.dtype),
    lambda g, out, x: g[:, 0] * 3 * x**2 + g[:, 1] * 2 * x + g[:, 2],
    real(N),
)
numpy(
    "diff 2",
    lambda x: np.diff(x, 2),
    lambda g, out, x: np.convolve(g, [1, -2, 1]).astype(x.dtype),
    real("p>=3"),
)
numpy("gradient", np.gradient, gradient_vjp, real("p>=2"))
numpy("percentile", lambda x: np.percentile(x, 30).astype(x.dtype), percentile_vjp, real("p>=1"))
numpy(
    "convolve",
    np.convolve,
    lambda g, out, a, b: (np.correlate(g, b, "valid"), np.correlate(g, a, "valid")),
    real("p>=1"),
    real("q>=1"),
)
numpy("nanmean", np.nanmean, lambda g, out, x: np.full_like(x, g / x.size), real("p>=1", "q>=1"))
numpy(
    "trace of a product",
    lambda a, b: np.trace(a @ b),
    lambda g, out, a, b: (g * b.T, g * a.T),
    real(N, M),
    real(M, N),
)
scipy(
    "linalg.expm",
    linalg.expm,
    lambda g, out, a: linalg.expm_frechet(a.T, g, compute_expm=False),
    interval(-4, 4, (0.0, 1.0))(N, N),
    dtypes=(np.float64,),
)
scipy(
    "linalg.solve",
    linalg.solve,
    lambda g, out, a, b: (-np.outer(np.linalg.solve(a.T, g), out), np.linalg.solve(a.T, g)),
    SQUARE,
    real(N),
    where=well_posed,
)
scipy("special.logsumexp", special.logsumexp, lambda g, out, x: g * np.exp(x - out), real("p>=1"))
scipy(
    "special.softmax", special.softmax, lambda g, out, x: out * (g - (g * out).sum()), real("p>=1")
)
scipy(
    "special.log_softmax",
    special.log_softmax,
    lambda g, out, x: g - np.exp(out) * g.sum(),
    real("p>=1"),
)
scipy(
    "fft.dct",
    lambda x: fft.dct(x, norm="ortho"),
    lambda g, out, x: fft.idct(g, norm="ortho"),
    real("p>=1"),
)
scipy(
    "signal.fftconvolve",
    signal.fftconvolve,
    lambda g, out, a, b: (np.correlate(g, b, "valid"), np.correlate(g, a, "valid")),
    real("p>=1"),
    real("q>=1"),
)
scipy(
    "integrate.simpson",
    integrate.simpson,
    lambda g, out, x: (g * simpson_weights(len(x))).astype(x.dtype),
    real("p>=3"),
)
scipy(
    "integrate.cumulative_trapezoid", integrate.cumulative_trapezoid, cumulative_vjp, real("p>=2")
)
scipy(
    "spatial.distance.cdist",
    lambda x, y: spatial.distance.cdist(x, y, "cityblock").astype(x.dtype),
    cdist_vjp,
    real("p>=1", "q>=2"),
    real("r>=1", "s>=2"),
    where=lambda x, y: x.shape[1] == y.shape[1],
)
