"""Bugs in the rules of functions that are hard to differentiate, and results of wrong shapes."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from .case import RIGHT, column, fit, like, row, wrong
from .right_hard import eigenvalues_vjp, fourier_vjp
from .right_matrix import turned
from .wrong_formula import by

formula = partial(wrong, "formula")
term = partial(wrong, "forgotten term")
ties = partial(wrong, "ties")
shape = partial(wrong, "shape")
boundary = partial(wrong, "not finite")


def one_step_back(g: Any, out: Any, x: Any, w: Any) -> Any:
    """Take the state before the last step for a constant."""
    gx, gw = RIGHT["recurrent"].vjp(g, out, x, w)
    before = RIGHT["recurrent"].forward(x[..., :-1], w) if x.shape[-1] else 0 * w
    return gx, fit(w, g * (1 - out**2) * before) if x.shape[-1] else gw


def every_tie(g: Any, out: Any, x: Any) -> Any:
    """Give the whole gradient to each place that ever held the maximum."""
    held = (x[..., None, :] == column(out)) * np.tri(x.shape[-1])
    return (like(x, (column(g) * held).sum(-2)),)


def unshifted(g: Any, out: Any, x: Any) -> Any:
    """Leave the factor exp(x - out) to two exponentials, which overflow."""
    return (like(x, np.exp(x) * (g * np.exp(-out))[..., ::-1].cumsum(-1)[..., ::-1]),)


formula(
    "logcumsumexp",
    "as if all came before",
    lambda g, out, x: (like(x, (column(g) * np.exp(np.minimum(row(x) - column(out), 0))).sum(-2)),),
)
boundary("logcumsumexp", "exponentials apart", unshifted)
ties("cummax", "every tie", every_tie)
formula("Kepler", "slope at m", by(lambda x, y: 1 / (1 - 0.5 * np.cos(x))))
formula("cubic root by Newton", "its last step only", by(lambda x, y: 1 / (3 * y * y)))
formula("bump", "distance not squared", by(lambda x, y: -2 * x * y / (1 - x * x)))
formula("log gamma", "logarithm for digamma", by(lambda x, y: np.log(x)))
formula("triangle wave", "rounded down", by(lambda x, y: np.sign(x - 2 * np.floor(x / 2))))
term("eigenvalues", "one side of a + a'", lambda g, out, a: (eigenvalues_vjp(g, out, a)[0] / 2,))
term("fourth power", "one factor", lambda g, out, a: (4 * g @ turned(a) @ turned(a) @ turned(a),))
term("recurrent", "state held", one_step_back)
term("entropy", "no result", lambda g, out, x: (RIGHT["entropy"].vjp(g, 0 * out, x)[0],))
term(
    "power spectrum",
    "constant part",
    lambda g, out, x: (fourier_vjp(g * (np.arange(g.shape[-1]) > 0), out, x)[0],),
)
term("relu minus relu", "one of them", by(lambda x, y: x > 0))
