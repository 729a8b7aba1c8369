"""What is differentiated: a function of the arguments that move, at a point, along directions."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tinygrad_fc.autograd import numerical
from tinygrad_fc.autograd.numerical import EPS, Derivative
from tinygrad_fc.testing import rounding
from tinygrad_fc.testing.function import ordinary

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tinygrad_fc.domain import Domain
    from tinygrad_fc.testing.function import Case
    from tinygrad_fc.testing.report import Array, GradientError
    from tinygrad_fc.testing.value import Mismatch

    Direction = Sequence[np.ndarray[Any, Any]]


MANY = 64
"""How many entries are measured one by one."""
RTOL = 1e-8
"""How much an entry may be off besides its bound, relative to it."""


class Argument(NamedTuple):
    """One argument of a function that is differentiated."""

    x: Array
    reach: Array
    """How far each number may move: a power of 2, negative at an upper end; 0 if it may not."""
    ordinary: Array
    edge: Array
    """Which numbers lie on a closed end of the domain, and move inwards only."""


def _argument(domain: Domain, array: Array) -> Argument:
    """Return where an argument that has a gradient lies."""
    x = np.asarray(array, float)
    finite, low, high = np.isfinite(x), x == domain.low, x == domain.high
    far = numerical.longest_steps(np.where(finite, x, 0))
    for edge in (domain.low, domain.high, *domain.without):
        if np.isfinite(edge):
            far = np.where(x == edge, far, np.minimum(far, np.abs(x - edge)))
    # Nearer to an edge, all steps are lost in the rounding of the number.
    moves = finite & (far >= 2.0**10 * np.finfo(array.dtype).eps * np.abs(x))
    reach = np.where(moves, np.where(high, -1, 1) * numerical.power_of_two(far), 0)
    return Argument(x, reach, ordinary(domain, x.shape), low | high)


def directions(arguments: Sequence[Argument], seed: int, eps: float) -> list[list[Array]]:
    """Return two directions: a random one, and one of a kind that `seed` chooses."""
    v = mixed(arguments, seed)
    kinds = [in_step(arguments, eps), v]
    if len(v) > 1:  # one argument alone
        kinds += [[a if k == i else 0 * a for k, a in enumerate(v)] for i in range(len(v))]
    return [v, kinds[seed % len(kinds)]]


def in_step(arguments: Sequence[Argument], eps: float) -> list[Array]:
    """Return the direction of equal steps, along which ties stay ties.

    Numbers so small that their step is lost in the rounding of the largest one do not move.
    """
    reach = np.concatenate([np.abs(p.reach).ravel() for p in arguments])
    cancelled = reach.max(initial=0) * 2.0 ** (-20 if eps <= EPS else -4)
    step = reach.min(initial=np.inf, where=(reach >= cancelled) & (reach > 0))
    return [np.where(np.abs(p.reach) >= step, step * np.sign(p.reach), 0) for p in arguments]


def mixed(arguments: Sequence[Argument], seed: int) -> list[Array]:
    """Return a random direction of unequal steps, whose contributions seldom cancel."""
    pairs = zip(arguments, _unequal(seed, *(p.x.shape for p in arguments)), strict=True)
    return [np.asarray(p.reach * np.where(p.edge, np.abs(v), v)) for p, v in pairs]


def uneven(arguments: Sequence[Argument], seed: int) -> list[Array]:
    """Return a direction in which some numbers move by far more than the others.

    Of x^2 and y^2 at 0 the one that moves more is the larger, wherever both are equal.
    """
    rng, moves = np.random.default_rng([seed, 1]), mixed(arguments, seed)
    return [np.asarray(a * rng.choice((1, 2.0**-3, 2.0**-9), a.shape)) for a in moves]


@lru_cache(maxsize=512)
def _unequal(seed: int, *shapes: tuple[int, ...]) -> list[Array]:
    rng = np.random.default_rng([seed, *map(math.prod, shapes)])
    return [np.asarray(rng.choice((-1, -0.5, 0.5, 0.75, 1), shape)) for shape in shapes]


class Problem(NamedTuple):
    """A function with flat results, its derivatives by a rule, and its point."""

    f: Callable[..., Array]
    vjp: Callable[..., list[Array]]
    """Takes weights of the results and a perturbation or None, returns gradients."""
    arguments: list[Argument]
    eps: float
    jvp: Callable[..., Array] | None = None
    """Takes moves of the arguments and a perturbation or None, in place of `vjp`."""
    moved: Callable[[Direction], Derivative] | None = None
    """Takes a direction, returns how the arguments of the function move, where they are mapped."""
    plain: Sequence[Array] = ()
    """The arguments that are mapped, in the shapes that the function gets."""

    @property
    def point(self) -> list[Array]:
        """The arrays at which it is differentiated."""
        return [p.x for p in self.arguments]

    def terms(
        self, w: Array, moves: Direction, perturbation: rounding.Perturbation | None = None
    ) -> list[Array]:
        """Return terms whose sum is the derivative along `moves` according to the rule."""
        if self.jvp is not None:
            return [w * self.jvp(moves, perturbation)]
        pairs = zip(self.vjp(w, perturbation), moves, strict=True)
        return [np.where(b == 0, 0, a * b) for a, b in pairs]

    def along_entry(self, k: int, at: tuple[int, ...]) -> list[Array]:
        """Return the direction of one number alone, as far as it may move."""
        v = [np.zeros(p.x.shape) for p in self.arguments]
        v[k][at] = self.arguments[k].reach[at]
        return v


def first_problem(case: Case) -> Problem:
    """Return the function of `case`, of the arguments that have a gradient."""

    def f(*point: Array) -> Array:
        return case.function.result(case.arrays_at(point)).ravel()

    def vjp(w: Array, perturbation: rounding.Perturbation | None = None) -> list[Array]:
        g = w.reshape(case.out.shape).astype(case.out.dtype)
        return case.gradients(g, perturbation=perturbation)

    def tangent(v: Direction, perturbation: rounding.Perturbation | None) -> Array:
        return case.tangent(case.typed(v), perturbation).ravel()

    jvp = None if case.function.jvp is None else tangent
    dtypes = [case.out.dtype, *(case.arrays[i].dtype for i in case.floats)]
    eps = float(max(EPS, *(np.finfo(k).eps for k in dtypes)))
    arguments = [_argument(case.domains[i], case.raw[i]) for i in case.floats]
    f = _nan_where_it_raises(f, case.out.size)
    if case.mapping is not None:
        moved = partial(_moved_arguments, case, arguments)
        plain = [case.arrays[i] for i in case.floats]
        return Problem(f, vjp, arguments, eps, jvp, moved, plain)
    if jvp is None and any(p.edge.any() for p in arguments):
        # There a slope may be infinite, and 0 times it NaN.
        pairs = zip(arguments, case.gradients(case.g, case.out), strict=True)
        moves = [np.where(p.edge & ~np.isfinite(a), 0, p.reach) for p, a in pairs]
        arguments = [p._replace(reach=m) for p, m in zip(arguments, moves, strict=True)]
    return Problem(f, vjp, arguments, eps, jvp)


def _moved_arguments(case: Case, arguments: Sequence[Argument], direction: Direction) -> Derivative:
    """Return how the arguments of a function move where those that are mapped move."""

    def arrays(*point: Array) -> Array:
        at = case.at_point(point).arrays
        return np.concatenate([np.asarray(at[i], float).ravel() for i in case.floats])

    with np.errstate(all="ignore"):
        return numerical.derivative(arrays, [p.x for p in arguments], direction)


def second_problem(case: Case, g: Array) -> Problem:
    """Return the gradient of `case` as a function of `g` and of the arguments."""
    first = first_problem(case)
    plain = [case.arrays[i] for i in case.floats]

    def f(g: Array, *point: Array) -> Array:
        grads = case.gradients(g.astype(case.out.dtype), arrays=case.arrays_at(point))
        return np.concatenate([x.ravel() for x in grads])

    def vjp(w: Array, perturbation: rounding.Perturbation | None = None) -> list[Array]:
        return case.second(case.typed(rounding.split_like(w, plain)), g, perturbation)

    wide = g.astype(float)
    seed = Argument(wide, np.ones(g.shape), wide, np.zeros(g.shape, bool))
    f = _nan_where_it_raises(f, sum(x.size for x in plain))
    arguments = [seed, *first.arguments]
    return Problem(f, vjp, arguments, first.eps, moved=first.moved, plain=first.plain)


def _nan_where_it_raises(f: Callable[..., Array], size: int) -> Callable[..., Array]:
    """Return `f` giving NaN where it raises: steps may lead out of its domain."""

    def tried(*point: Array) -> Array:
        try:
            return f(*point)
        except Exception:  # noqa: BLE001  it may raise anything outside of its domain
            return np.full(size, np.nan)

    return tried


# Gradients entry by entry: of a rule, and by differences with error bounds


@dataclass(frozen=True)
class Entries:
    """Gradients for the results weighted by `w`: of the rule, by differences, and the bounds."""

    w: Array
    analytic: list[Array]
    numerical: list[Array]
    error: list[Array]
    rtol: float

    def excess(self, k: int) -> Array:
        """Return by how much the `k`-th gradient leaves its bound, relative to its size."""
        a, n = self.analytic[k], self.numerical[k]
        known = np.isfinite(self.error[k])
        far = np.abs(a - n) - np.where(known, self.error[k], 0) - self.rtol * np.abs(n)
        scale = np.abs(n) + np.abs(a) + 2.0**-1000
        with np.errstate(over="ignore"):  # a large bound at 0 and 0
            excess = far / scale
        return np.where(known, np.where(np.isnan(far), np.inf, excess), -1.0)

    @property
    def worst(self) -> tuple[int, tuple[int, ...]]:
        """The number of the gradient that is the most wrong, and the index."""
        excess = [self.excess(k) for k in range(len(self.analytic))]
        k = int(np.argmax([e.max(initial=-2) for e in excess]))
        return k, tuple(int(i) for i in np.unravel_index(excess[k].argmax(), excess[k].shape))


def entries_of_failure(error: GradientError) -> Entries | None:
    """Return the gradients entry by entry; None if no entry alone is wrong."""
    mismatch: Mismatch | None = error.mismatch
    if mismatch is None or mismatch.problem.jvp or mismatch.problem.moved:
        return None
    rtol = 0.0 if error.kind == "imprecise" else RTOL
    measured = _measured(mismatch.problem, mismatch.w, rtol)
    is_wrong = any((measured.excess(k) > 0).any() for k in range(len(measured.analytic)))
    return measured if is_wrong else None


def entries_of_case(case: Case, noise: float, *, second: bool) -> Entries:
    """Return the gradients of a small case entry by entry."""
    problem = second_problem(case, case.g) if second else first_problem(case)
    w = case.g.ravel()
    if second:
        w = rounding.cotangent(np.zeros(sum(case.arrays[i].size for i in case.floats)), case.seed)
    problem = problem._replace(eps=max(problem.eps, noise))
    return _measured(problem, np.asarray(w, float), RTOL)


def _measured(problem: Problem, w: Array, rtol: float) -> Entries:
    """Return gradients beside numerical ones, of the first `MANY` entries."""
    with np.errstate(all="ignore"):
        grads = [np.asarray(a, float) for a in problem.vjp(w)]
    pairs = enumerate(problem.arguments)
    indices = [(k, tuple(at.tolist())) for k, p in pairs for at in np.argwhere(p.reach)][:MANY]
    values = [np.zeros(p.x.shape) for p in problem.arguments]
    bounds = [np.full(p.x.shape, np.inf) for p in problem.arguments]
    lines = [(problem.point, problem.along_entry(k, at)) for k, at in indices]
    with np.errstate(all="ignore"):
        along = numerical.derivatives(problem.f, lines, eps=problem.eps)
        for (k, at), derivative in zip(indices, along, strict=True):
            step, (value, error) = problem.arguments[k].reach[at], derivative.weighted(w)
            values[k][at], bounds[k][at] = value / step, error / abs(step)
    return Entries(w, grads, values, bounds, rtol)
