"""The certified derivative by itself."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.autograd import slopes
from tinygrad_fc.graph import Node
from tinygrad_fc.testing.options import arrays_of, function, returned, takes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def slope(f: Callable[..., Any], x: Any, direction: Any = 1.0) -> slopes.Slope:
    """Return the derivative of `f` at `x` along `direction`, with a bound on its error.

    `f` takes an array and returns one; for several arguments `x` and `direction` are tuples of
    arrays. `value`, `error` (which is infinite where nothing can be certified, as at a jump) and
    `jump` (how much the slopes to both sides differ, at a kink) have the shape of the result. `f`
    is called at `x + t * direction` for |t| up to 1/4; where that leaves its domain, shorter
    steps count.

    >>> import numpy as np
    >>> found = slope(np.sin, 1.0)
    >>> bool(abs(found.value - np.cos(1.0)) <= found.error < 1e-11)
    True
    """
    __tracebackhide__ = True
    function("f", f, "a function of arrays")
    points = [a.astype(float) for a in arrays_of(x if isinstance(x, tuple) else (x,), "x")]
    along = direction if isinstance(direction, tuple) else (direction,) * len(points)
    steps = arrays_of(along, "direction")
    takes(f, len(points), "x is a tuple of arrays, one for each argument")
    try:
        directions = [
            np.broadcast_to(v.astype(float), a.shape) for v, a in zip(steps, points, strict=True)
        ]
    except ValueError:
        raise ValueError(
            f"direction is an array for each of x, that broadcasts to it: {_shapes(points)}; got "
            f"{_shapes(steps)}"
        ) from None
    shape: tuple[int, ...] | None = None

    def flat(*arrays: Any) -> Any:
        nonlocal shape
        try:
            out = _result(f(*arrays))
        except (ArithmeticError, ValueError):
            if shape is None or any(map(np.iscomplexobj, arrays)):
                raise
            return np.full(math.prod(shape), np.nan)  # a step out of its domain
        shape = out.shape if shape is None else shape
        if out.shape != shape:
            raise ValueError(
                f"f must return one shape everywhere, and returned {shape} and {out.shape}: what "
                "is chosen by value, as by x[x > 0], has no slope"
            )
        return out.ravel()

    found = slopes.slope(flat, points, directions)
    return slopes.Slope(*(np.reshape(a, shape or ()) for a in found))


def _result(found: Any) -> Any:
    """Return what a function returned as one array; raises `TypeError` where it is none."""
    try:
        out = np.asarray(found._array if isinstance(found, Node) else found)
    except ValueError as error:  # arrays of different shapes
        raise TypeError(
            f"f must return one tensor or array of real numbers, and returned {found!r:.80}: "
            "choose one, or join them, as by a lambda"
        ) from error
    returned("f", out)
    return out


def _shapes(arrays: Sequence[Any]) -> str:
    return ", ".join(str(a.shape) for a in arrays)
