"""The laws of the derivative's value: that of a row, and that of its rules."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from hypothesis import reject

from kit.calls import cotangent, gradients, overflow_rejects, placed, second
from kit.compare import Place, agree
from kit.strategies import ordinary, reach

if TYPE_CHECKING:
    from kit.calls import Nudge
    from kit.strategies import Array, Case


def slopes(case: Case) -> int:
    """The gradient is the derivative, as measured without it."""

    def f(*point: Array) -> Array:
        return case.forward(*placed(case, point)).ravel()

    def vjp(w: Array, nudge: Nudge | None = None) -> list[Array]:
        return gradients(case, w.reshape(shape), nudge=nudge)

    with overflow_rejects():
        out = case.forward()
        shape = out.shape
        return agree(f, vjp, _places(case), case.salt, _coarsest(out))


def second_slopes(case: Case) -> int:
    """A rule is differentiable: the gradient's gradient is the derivative of the gradient."""

    def f(g: Array, *point: Array) -> Array:
        found = gradients(case, g, placed(case, point))
        return np.concatenate([x.ravel() for x in found])

    def vjp(w: Array, nudge: Nudge | None = None) -> list[Array]:
        pieces = np.split(w, np.cumsum([p.x.size for p in places])[:-1])
        weights = [v.reshape(p.x.shape) for v, p in zip(pieces, places, strict=True)]
        return second(case, g, weights, nudge)

    with overflow_rejects():
        out = case.forward()
        if not np.isfinite(out).all():
            reject()
        # With zeros, where a rule that treats them apart must have the same slope as beside them.
        g = cotangent(out, case.salt, zeros=True)
        places = _places(case)
        at = Place(g.astype(float), np.ones(g.shape), g.astype(float))
        # Where the result has a kink, a kink of its gradient follows from no convention.
        return agree(f, vjp, [at, *places], case.salt, _coarsest(out), lines=1, kinks=False)


def _coarsest(out: Array) -> float:
    return float(max(np.finfo(out.dtype).eps, np.finfo(float).eps))


def _places(case: Case) -> list[Place]:
    words = [(case.op.domain[i], case.arrays[i]) for i in case.floats]
    return [Place(x, reach(word, x), ordinary(word, x.shape)) for word, x in words]
