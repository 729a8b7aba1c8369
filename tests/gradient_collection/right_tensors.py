"""Functions of tensors as users write them, whose gradients are what autograd makes of them.

All have right gradients wherever they are finite; formulas that lose digits on the way, for large
numbers or in float32, are in here for that.
"""

from functools import partial
from typing import Any

import tinygrad_fc as tg
from tinygrad_fc.domain import Domain, interval, positive, real
from tinygrad_fc.testing import check

from .case import Check

R, P, UNIT = real("n"), positive("n"), interval(0, 1)
SOME, ROWS = real("n>=1"), real("n", "d")
TENSORS: dict[str, Check] = {}


def tensors(functions: dict[str, Any], *domains: Domain) -> None:
    """Add functions of arguments from these domains."""
    for short, f in functions.items():
        name = f"tensors: {short}"
        assert name not in TENSORS, name
        TENSORS[name] = Check(name, partial(check, f, *domains))


def s(x: Any) -> Any:
    """Return the logistic function."""
    return x.sigmoid()


# fmt: off
tensors({
    # saturated on the way, beside what is not
    "cross entropy and decay": lambda x: (x * x).sum() / 100 - (1 - s(x)).log().sum(),
    "cross entropy and square": lambda x: x * x / 2 - (1 - s(x)).log(),
    "logit of a probability": lambda x: (s(x) / (1 - s(x))).log() + x.sin(),
    "atanh of tanh": lambda x: ((1 + x.tanh()) / (1 - x.tanh())).log() / 2 + x * x,
    "squashed action": lambda x: (1 - x.tanh() ** 2 + 1e-6).log(),
    "tanh of a square": lambda x: (x * x / 2 + x + 13).tanh(),
    "tanh three times": lambda x: (4 * (4 * (4 * x + 1).tanh() + 2).tanh() + 6).tanh(),
    "sigmoid three times": lambda x: s(9 * s(9 * s(9 * x))),
    "highway": lambda x: x * (1 - s(3 * x + 6)) + s(3 * x + 6) * x.tanh(),
    "focal loss": lambda x: -((1 - s(x)) ** 2) * s(x).log(),
    "tanh by exponentials": lambda x: (x.exp() - (-x).exp()) / (x.exp() + (-x).exp()),
    # sums that cancel
    "root less x": lambda x: (1 + x * x).sqrt() - x + x.cos(),
    "pseudo huber": lambda x: (1 + x * x).sqrt() - 1,
    "forward difference": lambda x: ((x + 1e-3) ** 3 - x**3) / 1e-3,
    "legendre": lambda x: (35 * x**4 - 30 * x**2 + 3) / 8,
    # steep, wavy, cut
    "damped wave": lambda x: (-x * x).exp() * (20 * x).sin(),
    "logarithm of size": lambda x: (x.abs() + 1e-12).log(),
    "root of size": lambda x: (x.abs() + 1e-8).sqrt(),
    "elu in tanh": lambda x: tg.where(x > 0, x, 2 * ((x / 2).exp() - 1)).tanh(),
    "running sum": lambda x: x.cumsum(dim=0).tanh(),
    "distances": lambda x: (1 + (x.unsqueeze(1) - x.unsqueeze(0)) ** 2).log().sum(),
}, R)
tensors({
    "normalised": lambda x: (x - x.mean()) / (((x - x.mean()) ** 2).mean() + 1e-5).sqrt(),
    "root mean square": lambda x: x / ((x * x).mean() + 1e-6).sqrt(),
    "entropy of a softmax": lambda x: -(x.softmax(dim=0) * x.log_softmax(dim=0)).sum(),
    "tilted loss": lambda x: tg.where(x > 0, 0.9 * x, -0.1 * x).mean(),
}, SOME)
tensors({
    "product of exponentials": lambda x, y: x.exp() * y - y.exp() * x,
    "distance inverted": lambda x, y: 1 / (1 + ((x - y) ** 2).sum()),
    "margin": lambda x, y: (((x - y) ** 2).sum() - ((x + y) ** 2).sum() + 1).relu(),
    "tanh of products": lambda x, y: x.tanh() * y.tanh() * (x * y).tanh(),
    "gated unit": lambda x, h: s(x + h) * h + (1 - s(x + h)) * (x * 2 - h).tanh(),
    "squashed likelihood": lambda x, n: n - (1 - x.tanh() ** 2 + 1e-6).log().sum(),
}, R, R)
tensors({
    "cross entropy": lambda x, t: -(t * s(x).log() + (1 - t) * (1 - s(x)).log()),
    "cross entropy, cut":
        lambda x, t: -(t * (s(x) + 1e-7).log() + (1 - t) * (1 - s(x) + 1e-7).log()),
    "dice": lambda x, t: 1 - 2 * (s(x) * t).sum() / (s(x).sum() + t.sum() + 1),
}, R, UNIT)
tensors({
    "gaussian likelihood": lambda m, v: v.log() + m * m / (2 * v * v),
    "divergence of gaussians": lambda m, v: (v * v + m * m - 1 - 2 * v.log()) / 2,
    "heat": lambda x, t: (-x * x / (4 * t)).exp() / (12.5663706 * t).sqrt(),
}, R, P)
tensors({
    "power of itself": lambda x: x**x,
    "stirling": lambda x: (x + 0.5) * x.log() - x + 1 / (12 * x),
    "lennard jones": lambda r: r**-12 - r**-6,
}, P)
tensors({"saturation": lambda x, k: x**4 / (x**4 + k**4)}, P, P)
tensors({"determinant": lambda a, b, c, d: (a * d - b * c).abs().log()}, R, R, R, R)
tensors({"power mean": lambda x, p: (x**p).mean() ** (1 / p)}, positive("n>=1"), interval(1, 4))
tensors({"cross entropy of rows": lambda z: -z.softmax(dim=-1).log().mean()}, real("n>=1", "k>=1"))
tensors({"gram": lambda x: (x @ x.T).tanh()}, ROWS)
tensors({"hinge": lambda x, w: (1 - x @ w).relu().sum()}, ROWS, real("d"))
tensors({
    "network of tanh": lambda x, w, v: ((x @ w).tanh() @ v).sum(),
    "network of sigmoid": lambda x, w, v: s(s(x @ w) @ v),
}, ROWS, real("d", "h"), real("h"))
# fmt: on
