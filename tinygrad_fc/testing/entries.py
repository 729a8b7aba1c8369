"""Gradients entry by entry: of a rule, and by differences with error bounds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.testing.problem import entry_derivatives, first_problem, second_problem
from tinygrad_fc.testing.rounding import cotangent

if TYPE_CHECKING:
    from tinygrad_fc.testing.function import Case
    from tinygrad_fc.testing.problem import Problem
    from tinygrad_fc.testing.report import GradientError
    from tinygrad_fc.testing.value import Mismatch

__tracebackhide__ = True  # pytest shows the lines of the user

Array = np.ndarray[Any, Any]

MANY = 64
"""How many entries are measured one by one."""
RTOL = 1e-8
"""How much an entry may be off besides its bound, relative to it."""


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
        return np.where(known, np.where(np.isnan(far), np.inf, far / scale), -1.0)

    @property
    def worst(self) -> tuple[int, tuple[int, ...]]:
        """The number of the gradient that is the most wrong, and the index."""
        excess = [self.excess(k) for k in range(len(self.analytic))]
        k = int(np.argmax([e.max(initial=-2) for e in excess]))
        return k, tuple(int(i) for i in np.unravel_index(excess[k].argmax(), excess[k].shape))


def entries_of_failure(error: GradientError) -> Entries | None:
    """Return the gradients entry by entry; None if no entry alone is wrong."""
    mismatch: Mismatch | None = error.mismatch
    if mismatch is None or mismatch.problem.vjp is None:
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
        w = cotangent(np.zeros(sum(case.arrays[i].size for i in case.floats)), case.seed)
    problem = problem._replace(eps=max(problem.eps, noise))
    return _measured(problem, np.asarray(w, float), RTOL)


def _measured(problem: Problem, w: Array, rtol: float) -> Entries:
    """Return gradients beside numerical ones, of the first `MANY` entries."""
    with np.errstate(all="ignore"):
        grads = [np.asarray(a, float) for a in problem.vjp(w)]  # type: ignore[misc]
    pairs = enumerate(problem.arguments)
    indices = [(k, tuple(at.tolist())) for k, p in pairs for at in np.argwhere(p.reach)][:MANY]
    numerical = [np.zeros(p.x.shape) for p in problem.arguments]
    bound = [np.full(p.x.shape, np.inf) for p in problem.arguments]
    for (k, at), one in zip(indices, entry_derivatives(problem, indices), strict=True):
        numerical[k][at], bound[k][at] = one.weighted(w)
    return Entries(w, grads, numerical, bound, rtol)
