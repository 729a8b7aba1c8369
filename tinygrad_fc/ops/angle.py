"""Functions of angles, circular and hyperbolic, and their inverses."""

from __future__ import annotations

import numpy as np

from tinygrad_fc.domain import interval, real
from tinygrad_fc.op import Op, quiet
from tinygrad_fc.op import row as op
from tinygrad_fc.ops.elementwise import floats, product, quotient, sqrt

tan = op(
    np.tan,
    forward=floats(np.tan),
    domain=(real,),
    rules=(lambda g, out, x: product(g, 1 + out * out),),
)
arcsin = op(
    np.arcsin,
    forward=floats(np.arcsin),
    domain=(interval(-1, 1),),
    rules=(lambda g, out, x: quotient(g, sqrt((1 - x) * (1 + x))),),
)
arccos = op(
    np.arccos,
    forward=floats(np.arccos),
    domain=(interval(-1, 1),),
    rules=(lambda g, out, x: -quotient(g, sqrt((1 - x) * (1 + x))),),
)
arctan = op(
    np.arctan,
    forward=floats(np.arctan),
    domain=(real,),
    rules=(lambda g, out, x: quotient(g, 1 + x * x),),
)
sinh = op(
    np.sinh,
    forward=quiet(floats(np.sinh)),
    domain=(real,),
    rules=(lambda g, out, x: product(g, cosh(x)),),
)
cosh: Op = op(
    np.cosh,
    forward=quiet(floats(np.cosh)),
    domain=(real,),
    rules=(lambda g, out, x: product(g, sinh(x)),),
)
arcsinh = op(
    np.arcsinh,
    forward=floats(np.arcsinh),
    domain=(real,),
    rules=(lambda g, out, x: quotient(g, np.hypot(1, x)),),
)
arccosh = op(
    np.arccosh,
    forward=floats(np.arccosh),
    domain=(interval(1, np.inf),),
    rules=(lambda g, out, x: quotient(g, sqrt((x - 1) * (x + 1))),),
)
arctanh = op(
    np.arctanh,
    forward=floats(np.arctanh),
    domain=(interval(-1, 1),),
    rules=(lambda g, out, x: quotient(g, (1 - x) * (1 + x)),),
)
hypot = op(
    np.hypot,
    forward=floats(np.hypot),
    domain=(real, real),
    rules=(
        lambda g, out, x, y: product(g, quotient(x, out)),
        lambda g, out, x, y: product(g, quotient(y, out)),
    ),
)
arctan2 = op(
    np.arctan2,
    forward=floats(np.arctan2),
    domain=(real, real),
    rules=(
        lambda g, out, x, y: product(g, quotient(y, x * x + y * y)),
        lambda g, out, x, y: -product(g, quotient(x, x * x + y * y)),
    ),
)
