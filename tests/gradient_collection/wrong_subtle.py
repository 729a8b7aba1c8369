"""Bugs that are small, or hidden by a small scale, and second derivatives."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from .case import like, wrong
from .right_elementwise import gelu_tanh_slope
from .wrong_formula import by, layer

scale = partial(wrong, "scale")
nearly = partial(wrong, "nearly right")
second = partial(wrong, "second order")


def differences(g: Any, _y: Any, x: Any) -> Any:
    h = 1e-3
    return (like(x, g * (np.sin(x + h) - np.sin(x)) / h),)


scale("x^2 1e-7", "twice", by(lambda x, y: 4e-7 * x))
scale("x 1e-9", "twice", by(lambda x, y: 2e-9))
scale("x 1e-9", "nothing", by(lambda x, y: 0 * x))
scale("x 1e12", "one more", by(lambda x, y: 1e12 + 1e6))

nearly("erf", "constant of four digits", by(lambda x, y: 1.128 * np.exp(-x * x)))
nearly("gelu", "slope of the tanh form", by(gelu_tanh_slope))
nearly("sin", "by differences", differences)
nearly("layer norm", "no epsilon", layer(epsilon=1e-12))
nearly(
    "softmax",
    "1e-6 off",
    lambda g, out, x: (like(x, out * (g - (1 + 1e-6) * (g * out).sum(-1, keepdims=True))),),
)
nearly("log1p", "1e-6 added", by(lambda x, y: 1 / (1 + x + 1e-6)))

second("sin", "held", None, vjp2=lambda h, g, x: (h[0] * np.cos(x), np.zeros_like(x)))
second("exp", "held", None, vjp2=lambda h, g, x: (h[0] * np.exp(x), np.zeros_like(x)))
second("square", "half", None, vjp2=lambda h, g, x: (2 * h[0] * x, h[0] * g))
second("cube", "no x", None, vjp2=lambda h, g, x: (3 * h[0] * x**2, 6 * h[0] * g))
second("log", "plus", None, vjp2=lambda h, g, x: (h[0] / x, h[0] * g / x**2))
second(
    "reciprocal",
    "slope of g is -1",
    None,
    vjp2=lambda h, g, x: (-np.ones_like(g) * h[0], 2 * h[0] * g / x**3),
)
second(
    "sqrt",
    "twice",
    None,
    vjp2=lambda h, g, x: (0.5 * h[0] / np.sqrt(x), like(x, -0.5 * h[0] * g * x**-1.5)),
)
