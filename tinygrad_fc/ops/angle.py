"""Functions of angles, circular and hyperbolic, and their inverses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.domain import interval, real
from tinygrad_fc.ops.elementwise import product, quotient, sqrt
from tinygrad_fc.ops.floats import curve

if TYPE_CHECKING:
    from tinygrad_fc.op import Op

tan = curve(
    np.tan,
    domain=(real,),
    rules=(lambda g, out, x: product(g, 1 + out * out),),
)
arcsin = curve(
    np.arcsin,
    domain=(interval(-1, 1),),
    rules=(lambda g, out, x: quotient(g, sqrt((1 - x) * (1 + x))),),
)
arccos = curve(
    np.arccos,
    domain=(interval(-1, 1),),
    rules=(lambda g, out, x: -quotient(g, sqrt((1 - x) * (1 + x))),),
)
arctan = curve(
    np.arctan,
    domain=(real,),
    rules=(lambda g, out, x: quotient(g, 1 + x * x),),
)
sinh = curve(
    np.sinh,
    overflows=True,
    domain=(real,),
    rules=(lambda g, out, x: product(g, cosh(x)),),
)
cosh: Op = curve(
    np.cosh,
    overflows=True,
    domain=(real,),
    rules=(lambda g, out, x: product(g, sinh(x)),),
)
arcsinh = curve(
    np.arcsinh,
    domain=(real,),
    rules=(lambda g, out, x: quotient(g, np.hypot(1, x)),),
)
arccosh = curve(
    np.arccosh,
    domain=(interval(1, np.inf),),
    rules=(lambda g, out, x: quotient(g, sqrt((x - 1) * (x + 1))),),
)
arctanh = curve(
    np.arctanh,
    domain=(interval(-1, 1),),
    rules=(lambda g, out, x: quotient(g, (1 - x) * (1 + x)),),
)
hypot = curve(
    np.hypot,
    domain=(real, real),
    rules=(
        lambda g, out, x, y: product(g, quotient(x, out)),
        lambda g, out, x, y: product(g, quotient(y, out)),
    ),
)


def _over_square(v: Any, x: Any, y: Any) -> Any:
    """Return v / (x * x + y * y), whose squares neither overflow nor vanish."""
    radius = hypot(x, y)
    return quotient(quotient(v, radius), radius)


arctan2 = curve(
    np.arctan2,
    domain=(real, real),
    rules=(
        lambda g, out, x, y: product(g, _over_square(y, x, y)),
        lambda g, out, x, y: -product(g, _over_square(x, x, y)),
    ),
)
