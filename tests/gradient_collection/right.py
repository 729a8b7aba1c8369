"""Right rules, chosen to tempt a checker into a false positive: one table for each kind."""

import math
from typing import Any

import numpy as np
from scipy import special

from tinygrad_fc.domain import Domain, boolean, index, interval, nonzero, positive, real

from . import formulas as f
from .case import Rule, by, column, like, matrix, nonempty, right, row


def elementwise(
    name: str, function: Rule, slopes: Rule, *domains: Domain, bend: Any = None, where: Any = None
) -> None:
    """Add a function with its derivatives, of its arguments and result, and the second, of x."""

    def vjp2(h: Any, g: Any, x: Any) -> Any:
        return like(g, h[0] * slopes(x, function(x))), like(x, h[0] * g * bend(x))

    right(name, domains or (real,), function, by(slopes), where, vjp2 if bend else None)


POWERS = interval(0.001, 50, (1.0, 0.5, 2.0)), interval(-8, 8, (0.0, 1.0, 2.0, 0.5))
PERIODS = interval(-50, 50, (0.0, 1.0, 0.5)), interval(0.25, 8, (1.0, 0.5, 2.0))
ANY, PAIR = (real,), (real, real)
UNIT, FIRST = interval(0, 1, (0.5,)), (0.0, 1.0)
LOGISTIC = f.iterated(lambda x: 3.7 * x * (1 - x), lambda x: 3.7 * (1 - 2 * x), 5)

# fmt: off

# One number: many with a kink, a jump, a flat or a steep part
elementwise("sin", np.sin, lambda x, y: np.cos(x), bend=lambda x: -np.sin(x))
elementwise("exp", np.exp, lambda x, y: y, interval(-800, 800, (*FIRST, 700.0)), bend=np.exp)
elementwise("tanh", np.tanh, lambda x, y: 1 / np.cosh(x) ** 2, interval(-300, 300, (0.0,)))
elementwise("tanh by its result", np.tanh, lambda x, y: 1 - y * y)
elementwise("sigmoid", f.sigmoid, lambda x, y: f.sigmoid(x) * f.sigmoid(-x))
elementwise("log", np.log, lambda x, y: 1 / x, positive, bend=lambda x: -1 / x**2)
elementwise("sqrt", np.sqrt, lambda x, y: 0.5 / y, positive, bend=lambda x: -0.25 * x**-1.5)
elementwise("abs", np.abs, lambda x, y: np.sign(x))
elementwise("relu", lambda x: np.maximum(x, 0), lambda x, y: x > 0)
elementwise("softplus", lambda x: np.logaddexp(x, 0), lambda x, y: f.sigmoid(x))
elementwise("log1p(exp)", lambda x: np.log1p(np.exp(x)), lambda x, y: 1 / (1 + np.exp(-x)))
elementwise("square", lambda x: x * x, lambda x, y: 2 * x, bend=lambda x: 2.0)
elementwise("cube", lambda x: x**3, lambda x, y: 3 * x**2, bend=lambda x: 6 * x)
elementwise("reciprocal", lambda x: 1 / x, lambda x, y: -y * y, nonzero, bend=lambda x: 2 / x**3)
elementwise("log1p", np.log1p, lambda x, y: 1 / (1 + x), interval(-1, 1e300, FIRST))
elementwise("arctan", np.arctan, lambda x, y: 1 / (1 + x * x))
elementwise("sinc", np.sinc, f.sinc_slope)
elementwise("floor", np.floor, lambda x, y: 0 * x)
elementwise("sign", np.sign, lambda x, y: 0 * x)
elementwise("round", np.round, lambda x, y: 0 * x)
elementwise("fraction", lambda x: x - np.floor(x), lambda x, y: 1.0)
elementwise("clip", lambda x: np.clip(x, -1, 1), lambda x, y: np.abs(x) <= 1)
elementwise("x 1e-9", lambda x: x * 1e-9, lambda x, y: 1e-9)
elementwise("x 1e12", lambda x: x * 1e12, lambda x, y: 1e12)
elementwise("x^2 1e-7", lambda x: 1e-7 * x * x, lambda x, y: 2e-7 * x, bend=lambda x: 2e-7)
elementwise("1 - cos", lambda x: 1 - np.cos(x), lambda x, y: np.sin(x))
elementwise("gelu", lambda x: like(x, x * special.ndtr(x)),
            lambda x, y: special.ndtr(x) + x * np.exp(-x * x / 2) / math.sqrt(2 * math.pi))
elementwise("gelu tanh", f.gelu_tanh, f.gelu_tanh_slope)
elementwise("huber", lambda x: like(x, np.where(np.abs(x) < 1, x * x / 2, np.abs(x) - 0.5)),
            lambda x, y: np.clip(x, -1, 1))
elementwise("sin 50x", lambda x: np.sin(50 * x), lambda x, y: 50 * np.cos(50 * x),
            interval(-30, 30))
elementwise("Chebyshev 9",
            lambda x: x * (9 + x**2 * (-120 + x**2 * (432 + x**2 * (-576 + 256 * x**2)))),
            lambda x, y: 9 + x**2 * (-360 + x**2 * (2160 + x**2 * (-4032 + 2304 * x**2))),
            interval(-2, 2, (0.0, 1.0, -1.0, 0.5)))
elementwise("Bessel series", f.bessel, lambda x, y: f.bessel(x, slope=True),
            interval(-4, 4, (0.0,)))
elementwise("logistic map", *LOGISTIC, UNIT)
elementwise("erf", special.erf, lambda x, y: 2 / math.sqrt(math.pi) * np.exp(-x * x))
elementwise("Gauss", lambda x: np.exp(-x * x), lambda x, y: -2 * x * y)
elementwise("smoothstep", lambda x: np.clip(x, 0, 1) ** 2 * (3 - 2 * np.clip(x, 0, 1)),
            lambda x, y: 6 * np.clip(x, 0, 1) * (1 - np.clip(x, 0, 1)))
elementwise("cubic spline", f.spline, f.spline_slope, interval(-4, 4, (-2.0, -1.0, 0.0, 1.0, 2.0)))
elementwise("softsign", lambda x: x / (1 + np.abs(x)), lambda x, y: 1 / (1 + np.abs(x)) ** 2)
elementwise("cbrt", np.cbrt, lambda x, y: 1 / (3 * y * y), nonzero)
elementwise("log |x|", lambda x: np.log(np.abs(x)), lambda x, y: 1 / x, nonzero)
elementwise("tan", np.tan, lambda x, y: 1 + y * y, interval(-1.5, 1.5, FIRST))
elementwise("x |x|", lambda x: x * np.abs(x), lambda x, y: 2 * np.abs(x))
elementwise("x^x", lambda x: x**x, lambda x, y: y * (np.log(x) + 1), interval(0, 100, (1.0,)))
elementwise("power 1.5", lambda x: x**1.5, lambda x, y: 1.5 * np.sqrt(x), positive)
elementwise("x/(1 + x^2)", lambda x: x / (1 + x * x), lambda x, y: (1 - x * x) / (1 + x * x) ** 2)
right("identity", ANY, lambda x: x, lambda g, y, x: g)
right("copy of a constant", ANY, np.ones_like, lambda g, y, x: np.zeros_like(x))

# One number: hard on differences, since noisy, flat, cut, implicit
elementwise("cubic root by Newton", f.newton(lambda y: y**3 + y, lambda y: 3 * y * y + 1),
            lambda x, y: 1 / (3 * y * y + 1))
elementwise("bump", f.bump, lambda x, y: f.bump(x, slope=True), interval(-3, 3, (0.0, 1.0, -1.0)))
elementwise("triangle wave", lambda x: np.abs(x - 2 * np.round(x / 2)),
            lambda x, y: np.sign(x - 2 * np.round(x / 2)))
elementwise("(x - 1)^7 expanded",
            lambda x: ((((((x - 7) * x + 21) * x - 35) * x + 35) * x - 21) * x + 7) * x - 1,
            lambda x, y: 7 * (x - 1) ** 6, interval(0.5, 2, (1.0,)))
elementwise("log cosh", lambda x: np.abs(x) + np.log1p(np.exp(-2 * np.abs(x))) - math.log(2),
            lambda x, y: np.tanh(x))
elementwise("log gamma", special.gammaln, lambda x, y: special.digamma(x), positive)
elementwise("x log |x|", lambda x: x * np.log(np.abs(x)), lambda x, y: np.log(np.abs(x)) + 1,
            nonzero)
elementwise("Runge", lambda x: 1 / (1 + 25 * x * x), lambda x, y: -50 * x * y * y)
elementwise("thousands", lambda x: 1000 + 1e-3 * np.sin(x), lambda x, y: 1e-3 * np.cos(x))
elementwise("two steps", lambda x: np.floor(x) + np.floor(2 * x) / 2, lambda x, y: 0 * x)
elementwise("relu minus relu", lambda x: np.maximum(x, 0) - np.maximum(-x, 0), lambda x, y: 1.0)

# Two and three numbers that broadcast
elementwise("add", np.add, lambda x, y, out: (1.0, 1.0), *PAIR)
elementwise("subtract", np.subtract, lambda x, y, out: (1.0, -1.0), *PAIR)
elementwise("multiply", np.multiply, lambda x, y, out: (y, x), *PAIR)
elementwise("divide", np.divide, lambda x, y, out: (1 / y, -out / y), real, nonzero)
elementwise("power", np.power, lambda x, y, out: (y * x ** (y - 1), np.log(x) * out), *POWERS)
elementwise("maximum", np.maximum, lambda x, y, out: (f.half_at_ties(x, y), f.half_at_ties(y, x)),
            *PAIR)
elementwise("atan2", np.arctan2, lambda x, y, out: (y / (x * x + y * y), -x / (x * x + y * y)),
            *PAIR, where=f.apart_from_zero)
elementwise("hypot", np.hypot, lambda x, y, out: (f.ratio(x, out), f.ratio(y, out)), *PAIR)
elementwise("logaddexp", np.logaddexp, lambda x, y, out: (f.sigmoid(x - y), f.sigmoid(y - x)),
            *PAIR)
elementwise("mod", np.mod, lambda x, y, out: (1.0, -np.floor_divide(x, y)), *PERIODS)
elementwise("squared distance", lambda x, y: (x - y) ** 2,
            lambda x, y, out: (2 * (x - y), 2 * (y - x)), *PAIR)
elementwise("mean squared error", lambda x, y: np.square(x - y).mean(),
            lambda x, y, out: (2 * (x - y) / np.size(x - y), 2 * (y - x) / np.size(x - y)), *PAIR,
            where=lambda x, y: np.size(x) * np.size(y) > 0)
elementwise("copysign", np.copysign, lambda x, y, out: (np.sign(x) * np.sign(y), 0.0), nonzero,
            nonzero)
elementwise("select", np.where, lambda c, x, y, out: (None, c, ~c), boolean, *PAIR)
elementwise("lerp", lambda a, b, t: a + t * (b - a), lambda a, b, t, out: (1 - t, t, b - a),
            *(real, real, interval(-2, 2, (*FIRST, 0.5))))
elementwise("clip to bounds", lambda x, low, width: np.minimum(np.maximum(x, low), low + width),
            lambda x, low, width, out: ((x >= low) & (x <= low + width),
                                        (x < low) | (x > low + width), x > low + width),
            *(real, real, interval(0.5, 8, (1.0,))))

# Rows: reductions, running sums, norms, sorting, probabilities
ONE, SAME, TWO, FEW = "(n)->()", "(n)->(n)", "(n),(n)->()", (real("n", "p>=1"),)
right("sum", ONE, lambda x: x.sum(-1), lambda g, out, x: np.broadcast_to(column(g), x.shape))
right("sum of all", ANY, np.sum, lambda g, out, x: np.full(x.shape, g, x.dtype))
right("mean", ONE, lambda x: x.mean(-1),
      lambda g, out, x: np.broadcast_to(column(g) / x.shape[-1], x.shape), nonempty)
right("max", ONE, lambda x: x.max(-1), f.max_vjp, nonempty)
right("prod", ONE, lambda x: x.prod(-1), f.prod_vjp)
right("var", ONE, lambda x: x.var(-1),
      lambda g, out, x: column(g) * 2 * f.centred(x) / x.shape[-1], nonempty)
right("std", ONE, lambda x: x.std(-1),
      lambda g, out, x: column(g) * f.ratio(f.centred(x), column(out) * x.shape[-1]), nonempty)
right("norm", ONE, f.norm, lambda g, out, x: column(g) * f.ratio(x, column(out)))
right("logsumexp", ONE, f.logsumexp, lambda g, out, x: column(g) * np.exp(x - column(out)),
      nonempty)
right("median", ONE, lambda x: np.median(x, -1), lambda g, out, x: column(g) * f.middle(x),
      nonempty)
right("cumsum", SAME, lambda x: x.cumsum(-1), lambda g, out, x: f.reverse_cumsum(g))
right("cumprod", SAME, lambda x: x.cumprod(-1), f.cumprod_vjp)
right("softmax", SAME, f.softmax,
      lambda g, out, x: out * (g - (g * out).sum(-1, keepdims=True)), nonempty)
right("sort", SAME, lambda x: np.sort(x, -1), f.sort_vjp)
right("layer norm", "(n),(n),(n)->(n)", lambda x, w, b: f.standard(x)[0] * w + b,
      f.layer_norm_vjp(), nonempty)
right("cross entropy", (real(..., "k"), index("k")(...)),
      lambda x, t: f.logsumexp(x) - np.where(f.hot(x, t), x, 0).sum(-1),
      lambda g, out, x, t: (column(g) * (f.softmax(x) - f.hot(x, t)), None),
      lambda x, t: x.shape[-1] > 0)
right("logcumsumexp", SAME, lambda x: np.logaddexp.accumulate(x, axis=-1), f.logcumsumexp_vjp,
      nonempty)
right("cummax", SAME, lambda x: np.maximum.accumulate(x, axis=-1), f.cummax_vjp)
right("recurrent", "(n),()->()", lambda x, w: f.recurrent_states(x, w)[-1], f.recurrent_vjp)

# Matrices
SQUARE, TO_ROW, TO_NUMBER = "(n,n)->(n,n)", "(n,n)->(n)", "(n,n)->()"
right("matmul", "(n,k),(k,m)->(n,m)", np.matmul,
      lambda g, out, a, b: (g @ f.turned(b), f.turned(a) @ g))
right("matvec", "(n,k),(k)->(n)", lambda a, x: (a @ column(x))[..., 0],
      lambda g, out, a, x: (column(g) * row(x), (f.turned(a) @ column(g))[..., 0]))
right("dot", TWO, lambda x, y: (x * y).sum(-1), lambda g, out, x, y: (column(g) * y, column(g) * x))
right("quadratic form", "(n),(n,n)->()", lambda x, a: f.bilinear(x, a, x),
      lambda g, out, x, a: (column(g) * ((a + f.turned(a)) @ column(x))[..., 0],
                            matrix(g) * column(x) * row(x)))
right("attention", "(n,d),(m,d),(m,c)->(n,c)", lambda q, k, v: f.softmax(q @ f.turned(k)) @ v,
      f.attention_vjp, lambda q, k, v: k.shape[-2] > 0)
right("solve", "(n,n),(n)->(n)", f.solve, f.solve_vjp, f.well_posed)
right("inv", SQUARE, np.linalg.inv,
      lambda g, out, a: -f.turned(out) @ g @ f.turned(out), f.well_posed)
right("det", TO_NUMBER, np.linalg.det, lambda g, out, a: matrix(g) * f.cofactors(a))
right("cdist", "(n,d),(m,d)->(n,m)", lambda x, y: np.sqrt(np.square(f.apart(x, y)).sum(-1)),
      f.cdist_vjp)

# What moves, picks and repeats numbers
ROWS = (real("n", "m"),)
right("transpose", "(n,m)->(m,n)", f.turned, lambda g, out, a: f.turned(g))
right("flip", SAME, lambda x: x[..., ::-1], lambda g, out, x: g[..., ::-1])
right("stack", ROWS * 2, lambda x, y: np.stack([x, y], -1),
      lambda g, out, x, y: (g[..., 0], g[..., 1]))
right("gather", (real(..., "n"), index("n")(..., "k")),
      lambda x, i: np.where(f.named(x, i), x[..., None, :], 0).sum(-1),
      lambda g, out, x, i: ((column(g) * f.named(x, i)).sum(-2), None),
      lambda x, i: x.shape[-1] > 0)
right("embedding", (real("v", "d"), index("v")("k")), lambda w, i: w[i],
      lambda g, out, w, i: (f.added(w, i, g), None), lambda w, i: len(w) > 0)
# fmt: on
