"""Bugs that show beyond a threshold only, or close to a number."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from .case import RIGHT, sigmoid, wrong
from .wrong_formula import both, by

region = partial(wrong, "region")


def bessel_cut(x: Any, _: Any) -> Any:
    """Return the slope of the series cut after six terms."""
    term, total = np.ones_like(x), np.zeros_like(x)
    for k in range(1, 6):
        previous, term = term, term * (-0.25 * x * x / k**2)
        total = total - previous * 0.5 * x / k
    return total


region("tanh by its result", "nothing beyond 2", by(lambda x, y: (1 - y * y) * (abs(x) < 2)))
region("sigmoid", "nothing beyond 5", by(lambda x, y: y * (1 - y) * (abs(x) < 5)))
region("square", "at most 1000", by(lambda x, y: np.clip(2 * x, -1000, 1000)))
region("cube", "wrong beyond 20", by(lambda x, y: 3 * x * np.clip(x, -20, 20)))
region("softplus", "1 beyond 5", by(lambda x, y: np.where(x > 5, 1, sigmoid(x))))
region("softplus", "quotient of infinities", by(lambda x, y: np.exp(x) / (1 + np.exp(x))))
region("elu", "nothing below -6", by(lambda x, y: np.exp(np.minimum(x, 0)) * (x > -6)))
region("log |x|", "negative numbers", by(lambda x, y: 1 / np.abs(x)))
region("sinc", "nothing near 0", lambda g, y, x: (RIGHT["sinc"].vjp(g, y, x)[0] * (abs(x) > 0.05),))
region("1 - cos", "nothing near 0", by(lambda x, y: np.sin(x) * (abs(x) > 1e-2)))
region("Bessel series", "six terms", by(bessel_cut))
region("mod", "rounded towards 0", both(lambda x, y, out: (np.ones_like(out), -np.trunc(x / y))))
region("leaky relu", "kink beside 0", by(lambda x, y: np.where(x > 0.01, 1, 0.1)))
region(
    "atan2",
    "negative x",
    both(lambda x, y, out: (np.sign(y) * y / (x * x + y * y), -x / (x * x + y * y))),
)
region("huber", "bound of 2", by(lambda x, y: np.clip(x, -2, 2)))
region("sin", "angle reduced by 6.28", by(lambda x, y: np.cos(np.fmod(x, 6.28))))
region("log", "held off 0 by 1e-3", by(lambda x, y: 1 / np.maximum(x, 1e-3)))
region("sqrt", "epsilon", by(lambda x, y: 0.5 / (y + 1e-4)))
region("exp", "clipped", by(lambda x, y: np.minimum(y, 1e6)))
region("x |x|", "wrong beyond 500", by(lambda x, y: 2 * np.minimum(abs(x), 500)))
region(
    "logaddexp",
    "the larger one",
    both(
        lambda x, y, out: (
            np.where(x - y > 3, 1, sigmoid(x - y)),
            np.where(x - y > 3, 0, sigmoid(y - x)),
        )
    ),
)
region("gelu", "nothing below -3", lambda g, y, x: (RIGHT["gelu"].vjp(g, y, x)[0] * (x > -3),))
region("cdist", "near points", lambda g, out, x, y: RIGHT["cdist"].vjp(g * (out > 0.1), out, x, y))
