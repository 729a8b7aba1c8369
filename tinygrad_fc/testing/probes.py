"""Where else a gradient is wrong: what is guessed of a cause must hold there as well.

A failure is made small, and small numbers explain anything: at -1 a cube's wrong power looks like a
wrong sign, at 0 like nothing at all. So the law that failed is held at other places too.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.autograd.slopes import slopes
from tinygrad_fc.testing.errors import GradientError
from tinygrad_fc.testing.places import ordinaries

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tinygrad_fc.testing.case import Case
    from tinygrad_fc.testing.compare import Disagreement
    from tinygrad_fc.testing.plan import Plan

Array = np.ndarray[Any, Any]

MANY = 64
"""How many entries are measured one by one to find the wrong one."""
FEW = 16
"""As many entries where it is only to be seen whether a guess holds."""
ALIKE, UNLIKE, TRIED = 3, 3, 32
"""At how many places of the same shapes, and of others, a guess must hold; how many are tried."""
CLOSE = 1e-5
"""How near gradients are that are taken for the same, of which one may be right by chance."""
SECONDS = 0.5
"""How long places are sought: nobody waits for a guess."""


@dataclass(frozen=True)
class Found:
    """Gradients entry by entry: by the rule, by differences, and the bounds on these."""

    disagreement: Disagreement
    analytic: list[Array]
    numeric: list[Array]
    error: list[Array]
    digits: float
    """How far apart, relative to their size, the two may be besides."""

    def excess(self, k: int) -> Array:
        """Return how much farther apart the two are than the bound, relative to their size."""
        a, n = self.analytic[k], self.numeric[k]
        known = np.isfinite(self.error[k])
        far = np.abs(a - n) - np.where(known, self.error[k], 0) - self.digits * np.abs(n)
        scale = np.abs(n) + np.abs(a) + 2.0**-1000
        return np.where(known, np.where(np.isnan(far), np.inf, far / scale), -1.0)

    def wrong(self, k: int) -> int:
        """Return how many single entries of the `k`-th gradient are wrong."""
        return int((self.excess(k) > 0).sum())

    def wrong_somewhere(self) -> bool:
        """Tell whether any single entry is wrong."""
        return any(map(self.wrong, range(len(self.analytic))))

    @property
    def at(self) -> tuple[int, tuple[int, ...]]:
        """Which entry of which gradient is the most wrong."""
        each = [self.excess(k) for k in range(len(self.analytic))]
        k = int(np.argmax([e.max(initial=-2) for e in each]))
        return k, tuple(int(i) for i in np.unravel_index(int(np.argmax(each[k])), each[k].shape))


def entries(error: GradientError, most: int = MANY) -> Found | None:
    """Return the gradients entry by entry; None where there are too many, or none is wrong."""
    found: Disagreement | None = error.disagreement
    if found is None or sum(p.x.size for p in found.places) > most:
        return None
    point = [p.x for p in found.places]
    with np.errstate(all="ignore"):
        analytic = [np.asarray(a, float) for a in found.vjp(found.w)]
        numeric = [np.zeros(p.shape) for p in point]
        bound = [np.zeros(p.shape) for p in point]
        each = [(k, at) for k, p in enumerate(point) for at in np.ndindex(p.shape)]
        directions = []
        for k, at in each:
            directions.append([np.zeros(p.shape) for p in point])
            directions[-1][k][at] = found.places[k].reach[at]
        along = slopes(found.f, [(point, v) for v in directions], eps=found.eps)
        for (k, at), one in zip(each, along, strict=True):
            step = found.places[k].reach[at]
            value, wide = one.summed(found.w)
            numeric[k][at], bound[k][at] = value / step, wide / step
    made = Found(found, analytic, numeric, bound, 0.0 if error.kind == "imprecise" else 1e-8)
    return made if made.wrong_somewhere() else None


@dataclass(frozen=True)
class Probe:
    """A place at which gradients are wrong, or right where nothing was found."""

    case: Case
    found: Found | None = None


def elsewhere(error: GradientError, plan: Plan) -> list[Probe]:
    """Return other places, with what is wrong there in the same way as `error`."""
    law, started = plan.laws[error.law].holds, time.process_time()
    case = error.drawn or error.case
    if case is None:
        return []
    found: list[Probe] = []
    for most, cases in ((ALIKE, _moved(case)), (UNLIKE, _tried_first(case, plan))):
        wrong = 0
        for other in cases:
            if wrong == most or time.process_time() - started > SECONDS:
                break
            probe = _probed(other, law, error.kind)
            if probe is not None:
                found.append(probe)
                wrong += probe.found is not None
    return found


def _probed(case: Case, law: Callable[[Case], Any], kind: str) -> Probe | None:
    """Return what a law says of a case; None where it says nothing, or something else."""
    try:
        with np.errstate(all="ignore"):
            law(case)
    except GradientError as error:
        found = entries(error, FEW) if error.kind == kind else None
        return None if found is None else Probe(case, found)
    except Exception:  # noqa: BLE001  what raises there is no matter of the failure
        return None
    return Probe(case)


def _moved(case: Case) -> Iterator[Case]:
    """Yield the same shapes with other numbers, ties and zeros kept at first."""
    usual, mine = ordinaries(case), [case.arrays[i] for i in case.floats]
    several = (
        [1.25 * x for x in mine],
        [0.75 * x + u for x, u in zip(mine, usual, strict=True)],
        [1.5 * np.abs(u) for u in usual],
        usual,
        [x + u / 8 for x, u in zip(mine, usual, strict=True)],
    )
    for k, point in enumerate(several):
        typed = [np.asarray(x, a.dtype) for x, a in zip(point, mine, strict=True)]
        made = replace(case, arrays=tuple(case.placed(typed)), salt=case.salt + k + 1, drawn=False)
        if _inside(made) and not _same(made, case):
            yield made


def _tried_first(case: Case, plan: Plan) -> Iterator[Case]:
    """Yield small cases of other shapes, those that each check begins with."""
    try:
        from tinygrad_fc.testing.fixed import fixed  # noqa: PLC0415  which needs hypothesis
    except ImportError:
        return
    shapes = [a.shape for a in case.arrays]
    for made in fixed(plan, TRIED):
        size = sum(made.arrays[i].size for i in made.floats)
        if 0 < size <= FEW and [a.shape for a in made.arrays] != shapes:
            yield made.cast(case.arrays[case.floats[0]].dtype)


def _inside(case: Case) -> bool:
    for word, x in zip(case.words, case.arrays, strict=True):
        if word.kind == "float" and not (
            ((x > word.low) & (x < word.high) & ~np.isin(x, word.without)).all()
        ):
            return False
    return case.legal()


def _same(one: Case, other: Case) -> bool:
    return all(
        a.shape == b.shape and np.array_equal(a, b)
        for a, b in zip(one.arrays, other.arrays, strict=True)
    )


class Wrong:
    """One gradient that is wrong, at one place."""

    def __init__(self, case: Case, found: Found, k: int, *, second: bool) -> None:
        self.case, self.found, self.k, self.second = case, found, k, second
        self.a, self.n = found.analytic[k], found.numeric[k]

    @property
    def i(self) -> int:
        """Which argument it is the gradient of; -1 for that of the result."""
        k = self.k - self.second
        return k if k < 0 else self.case.floats[k]

    @property
    def g(self) -> Array:
        """The gradient of the result."""
        return np.asarray(self.found.disagreement.w, self.case.out.dtype).reshape(
            self.case.out.shape
        )

    def again(self, g: Array, out: Array, arrays: Sequence[Array]) -> Array:
        """Return what the rule gives for other arrays."""
        case = self.case
        found = case.gradients(np.asarray(g), np.asarray(out), list(arrays))
        return np.asarray(found[self.k], float)


def alike(a: Array, n: Array) -> bool:
    """Tell whether two gradients are the same to a few digits."""
    if a.shape != n.shape or not a.size:
        return False
    scale = np.abs(n).max()
    return bool(scale > 0 and (np.abs(a - n) <= CLOSE * (np.abs(n) + 1e-3 * scale)).all())
