"""The laws of the derivative's value: that of a function, and that of its gradient."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.autograd.slopes import CALM, roughness, slope
from tinygrad_fc.testing import numbers
from tinygrad_fc.testing.compare import Demand, Disagreement, agree
from tinygrad_fc.testing.directions import Place, mixed
from tinygrad_fc.testing.errors import DiscardError, GradientError, Tally
from tinygrad_fc.testing.kinks import bent, kinked
from tinygrad_fc.testing.laws import invisible, told
from tinygrad_fc.testing.numbers import EPS, cotangent
from tinygrad_fc.testing.places import places
from tinygrad_fc.testing.texts import between

if TYPE_CHECKING:
    from collections.abc import Callable

    from tinygrad_fc.testing.case import Case
    from tinygrad_fc.testing.numbers import Nudge

Array = np.ndarray[Any, Any]

LOST = 16
"""How many times an eps of the result's own size a gradient may be off that is made from it."""

NEARER = 0.47, 0.23
"""How much smaller: no simple part, at which many a function has a kink."""


def flat(case: Case) -> Callable[..., Array]:
    """Return the function of the arguments that have a gradient, its results in one axis."""
    rule, settings, kinds = case.rule, case.settings, [case.arrays[i].dtype for i in case.floats]

    def f(*point: Array) -> Array:
        typed = [
            x if x.dtype == kind or x.dtype.kind == "c" else x.astype(kind)
            for x, kind in zip(map(np.asarray, point), kinds, strict=True)
        ]
        rule.calls["all"] += 1
        return rule.result(case.placed(typed), settings).ravel()

    return anywhere(f, case.out.size)


def anywhere(f: Callable[..., Array], size: int) -> Callable[..., Array]:
    """Return `f` giving nothing finite where it raises: steps may lead out of its domain."""

    def tried(*point: Array) -> Array:
        try:
            return f(*point)
        except Exception as error:  # what it raises where it is not defined is its own business
            if any(map(np.iscomplexobj, point)):
                raise TypeError from error
            return np.full(size, np.nan)

    return tried


def finite(case: Case) -> Tally:
    """A gradient is finite wherever the function has a slope, or slopes to both sides."""
    found = case.gradients(case.g, case.out)
    if not numbers.finite(found):
        found = case.gradients(case.g * CALM, case.out)  # that numbers on the way overflow is legal
    for k, (i, a) in enumerate(zip(case.floats, found, strict=True)):
        for at in map(tuple, np.argwhere(~np.isfinite(a))):
            numeric, error, kink = measured(case, k, at, case.g)
            if np.isfinite(error):
                legal = f"it should be {numeric:.6g} +- {error:.2g}, g times the slope"
                if kink:
                    sides = between(numeric, error)
                    legal = f"a kink leaves all {sides}, g times the slopes to both sides"
                raise case.wrong(
                    "nonfinite",
                    f"the gradient of {case.rule.argument(i)} is {a[at]} at "
                    f"{tuple(map(int, at))}, where {legal}",
                    argument=i,
                    index=tuple(map(int, at)),
                    analytic=a[at],
                    numerical=numeric,
                    error=error,
                    g=case.g,
                )
            raise DiscardError
    return Tally()


def measured(case: Case, k: int, at: tuple[int, ...], w: Array) -> tuple[float, float, bool]:
    """Return the slope by entry `at` of the `k`-th argument with a gradient: bound, kink or not."""
    here = places(case)
    v = [np.zeros(p.x.shape) for p in here]
    v[k][at] = step = here[k].reach[at]
    with np.errstate(all="ignore"):
        found = slope(flat(case), [p.x for p in here], v, eps=coarsest(case))
    weights = np.asarray(w, float).ravel()
    numeric, error = found.summed(weights)
    kink = bool(bent(found, coarsest(case) ** 0.5)[weights != 0].any())
    return numeric / step, error / step, kink


def values(case: Case, demand: Demand | None = None) -> Tally:
    """The gradient is the derivative, as measured without it."""
    told(case)
    shape = case.out.shape

    def vjp(w: Array, nudge: Nudge | None = None) -> list[Array]:
        return case.gradients(w.reshape(shape).astype(case.out.dtype), nudge=nudge)

    f, where = flat(case), places(case)
    demand = _fitted(case, demand or Demand())
    with case.watched():
        try:
            return agree(f, vjp, where, case.salt, demand, lambda: _rough_nearer(f, where) / EPS)
        except Disagreement as found:
            found.f, found.vjp, found.places, found.eps = f, vjp, where, demand.blur
            raise _told_of(case, found) from None
        except FloatingPointError as error:
            raise DiscardError from error


def _rough_nearer(f: Callable[..., Array], where: list[Place]) -> Array:
    """Return how rough results are where numbers are smaller.

    There `1 - tanh(x)^2` is rough that is a staircase here, whose stairs are too long to be seen.
    """
    v = mixed(where, 0)
    return np.asarray(np.max([roughness(f, [p.x * t for p in where], v) for t in NEARER], axis=0))


def second_values(case: Case, demand: Demand | None = None) -> Tally:
    """A rule is differentiable: the gradient's gradient is the derivative of the gradient."""
    told(case)
    out = case.out

    def first(g: Array, *point: Array) -> Array:
        if np.iscomplexobj(g):
            raise TypeError  # no imaginary steps here: walks are for real numbers
        found = case.gradients(g.astype(out.dtype), arrays=case.placed(point))
        return np.concatenate([x.ravel() for x in found])

    def vjp(w: Array, nudge: Nudge | None = None) -> list[Array]:
        pieces = np.split(w, np.cumsum([p.x.size for p in where])[:-1])
        weights = [v.reshape(p.x.shape) for v, p in zip(pieces, where, strict=True)]
        return case.second(weights, g, nudge)

    def lost() -> Array:
        return LOST * np.concatenate([a.ravel() for a in invisible(case, g, out)])

    # With zeros, where a rule that treats them apart must have the same slope as beside them.
    g = cotangent(out, case.salt, zeros=True)
    if not numbers.finite(case.gradients(case.g, out)):
        raise DiscardError  # nor where the first is none by convention
    where = places(case)
    f = anywhere(first, sum(p.x.size for p in where))
    at = Place(g.astype(float), np.ones(g.shape), g.astype(float))
    demand = _fitted(case, demand or Demand())
    # Where the result has a kink, a kink of its gradient follows from no convention.
    demand = demand._replace(lines=1, kinks="skip")
    with case.watched():
        try:
            return agree(f, vjp, [at, *where], case.salt, demand, lost)
        except Disagreement as found:
            # At a kink of the function itself there is no second derivative to be wrong.
            if kinked(flat(case), where, demand.blur):
                raise DiscardError from None
            found.f, found.vjp, found.places, found.eps = f, vjp, [at, *where], demand.blur
            raise _told_of(case, found, "second-order", g=g) from None
        except FloatingPointError as error:
            raise DiscardError from error


def widened(case: Case, k: int, w: Array) -> Array | None:
    """Return the gradient by argument `k`, were it broadcast to the others first."""
    try:
        shape = np.broadcast_shapes(*(a.shape for a in case.arrays))
    except ValueError:
        return None
    i = case.floats[k]
    if shape in {(), case.arrays[i].shape} or shape != case.out.shape:
        return None
    arrays = list(case.arrays)
    arrays[i] = np.broadcast_to(arrays[i], shape).copy()
    wide = case.at(arrays)
    try:
        if wide.out.shape != shape:
            return None
    except GradientError:
        return None
    found = np.zeros(shape)
    for at in np.ndindex(shape):
        found[at] = measured(wide, k, at, w)[0]
    return found


def _told_of(
    case: Case, found: Disagreement, kind: str | None = None, g: Array | None = None
) -> GradientError:
    what = "the gradients of the gradients" if kind else "the gradients"
    if kind is None:
        g = np.asarray(found.w).reshape(case.out.shape)
    where = "along one direction"
    if found.in_step:
        where = "where all numbers grow alike"
        if found.kind == "kink":
            where += ", so that ties stay ties, and what is shared out among them must add up to 1"
    text = (
        f"{what} give a slope of {found.total:.10g}, and it is {found.numeric:.10g} +- "
        f"{found.error:.2g}, {where}"
    )
    if found.forbidden:
        text = (
            "there is a kink, and kinks='forbid' asks for none: without that any value between the "
            "slopes to both sides is legal, and kinks='skip' leaves kinks out"
        )
    made = case.wrong(
        kind or found.kind,
        text,
        analytic=found.total,
        numerical=found.numeric,
        error=found.error,
        g=g,
    )
    made.disagreement = found
    return made


def coarsest(case: Case) -> float:
    """Return the eps of the coarsest type that the function takes or returns."""
    kinds = [case.out.dtype, *(case.arrays[i].dtype for i in case.floats)]
    return float(max(EPS, *(np.finfo(k).eps for k in kinds)))


def _fitted(case: Case, demand: Demand) -> Demand:
    demand = demand._replace(eps=coarsest(case))
    coarse = demand.blur > EPS and demand.accuracy
    return demand._replace(accuracy=max(demand.accuracy, demand.blur**0.5)) if coarse else demand
