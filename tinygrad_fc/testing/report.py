"""Results of a check: `Report`, `GradientError`, `NothingCheckedError`."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from tinygrad_fc.testing.function import Case

Array = np.ndarray[Any, Any]

FAILURE_KINDS = (
    *("raises", "shape", "dtype", "mutation", "nonfinite", "aliasing", "nondeterministic"),
    *("nonlinear", "layout", "value", "kink", "imprecise", "float32", "second-order"),
)
"""Kinds of failures, in the order in which they are checked."""


class GradientError(AssertionError):
    """A gradient is wrong: the message says which entry, by how much, and how to reproduce it.

    `kind` is one of `FAILURE_KINDS`: the rule *raises*; a gradient has another *shape* or *dtype*
    than its argument; an input was changed (*mutation*); a gradient is *nonfinite* where the
    function has a derivative; an earlier gradient changes later (*aliasing*); equal calls differ
    (*nondeterministic*); the gradient is not linear in the cotangent (*nonlinear*); it depends on
    the memory *layout*; its *value* is wrong, no subgradient at a *kink*, or less accurate than
    it could be (*imprecise*); it is wrong in *float32* only, or in the *second-order* only.

    `argument` and `index` name the entry, `analytic` is the gradient there, `numerical` the
    numerical derivative with its bound `error`; None where there is none. `arrays` are the
    arguments and `g` the cotangent that show it, `hint` is a guess at the cause.
    """

    argument: int | None = None
    index: tuple[int, ...] | None = None
    analytic: Any = None
    numerical: Any = None
    error: Any = None
    g: Any = None
    hint = ""
    law = 0
    mismatch: Any = None

    def __init__(self, message: str, kind: str, case: Case | None = None, **details: Any) -> None:
        super().__init__(message)
        self.kind, self.case, self.drawn = kind, case, case
        self.arrays: tuple[Any, ...] = () if case is None else case.arrays
        self.__dict__.update(details)


class NothingCheckedError(Exception):
    """A check compared nothing, or next to nothing: the function raised or was not finite."""


class DiscardError(Exception):
    """A law that does not apply to a case; if it is the first law, the example is discarded."""


FLOAT32_REFUSED = "float32 refused"
DRAW_THEM = "Draw arrays that meet it: positive_definite, simplex, map of a domain, map= of all"


@dataclass
class Report:
    """Counts of a check that passed.

    At `examples` of `planned` inputs all laws held. `compared` derivatives agreed, `kinks` were
    checked against the slopes to both sides, `inconclusive` counts the others by reason:
    "jump or noise" (no derivative, or none within reach) or "wide bound" (an error bound above a
    64th of the derivative). `raised`
    and `nonfinite` count inputs at which the function raised, or was NaN or infinite, `skipped`
    laws that could not be checked, by reason. `not_checked` inputs were left out because of
    `seconds=`: the check is no verdict then. With `seed` the same check draws the same inputs.
    `shapes` counts the shapes of the arguments, `rejected` the inputs that a condition refused.
    """

    examples: int = 0
    planned: int = 0
    seed: int | None = None
    compared: int = 0
    kinks: int = 0
    inconclusive: Counter[str] = field(default_factory=Counter)
    shapes: Counter[tuple[tuple[int, ...], ...]] = field(default_factory=Counter)
    rejected: int = 0
    raised: int = 0
    refusal: str = ""
    nonfinite: int = 0
    empty_unchecked: int = 0
    not_checked: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    notes: tuple[str, ...] = ()

    def add(self, other: Report) -> None:
        """Add what was compared at another case."""
        self.compared += other.compared
        self.kinks += other.kinks
        self.inconclusive += other.inconclusive
        self.skipped += other.skipped

    def warnings(self) -> list[str]:
        """Return warnings about a check that passed."""
        texts = []
        unclear = self.inconclusive.total()
        total = self.compared + self.kinks + unclear
        if 10 * unclear > total and unclear > 8:
            hardly = ": the gradient was hardly checked" if 2 * unclear >= total else ""
            texts.append(
                f"{unclear} of {total} derivatives are inconclusive ({self._reasons()}){hardly}. "
                "Choose inputs at which the function is smooth and not much rounded (another "
                "domain, where=), or state its accuracy (noise=1e-6)"
            )
        for reason, count in self.skipped.items():
            # A model has one dtype: it is no gap that a model of float64 refuses float32.
            if 10 * count > self.examples and reason != FLOAT32_REFUSED:
                texts.append(f"{reason} at {count} of {self.examples} examples")
        if self.examples and self.rejected > 4 * self.examples:
            texts.append(
                f"where= refused {self.rejected} of {self.examples + self.rejected} inputs, and "
                f"those left have {self._shapes()}. {DRAW_THEM}"
            )
        for count, what in (
            (self.nonfinite, "the result is NaN or infinite"),
            (self.raised, f"the function raises {self.refusal}"),
        ):
            if count * 9 > self.examples and count > 2:
                texts.append(
                    f"At {count} of {self.examples + count} inputs {what}. Nothing is checked "
                    "there: choose domains and shapes that the function takes (positive, nonzero, "
                    "real('n', 3)), dtypes= of one type, or a condition (where=)"
                )
        return texts

    def _shapes(self) -> str:
        """Return a few of the shapes, from the smallest on, and how many there are."""
        sizes = {shapes: sum(map(math.prod, shapes)) for shapes in self.shapes}
        ordered = sorted(sizes, key=lambda shapes: (sizes[shapes], shapes))
        few = ordered if len(ordered) <= 6 else [*ordered[:3], *ordered[-2:]]
        texts = [" ".join(map(str, shapes)) for shapes in few]
        if len(few) < len(ordered):
            texts.insert(3, "...")
        return f"{counted(len(ordered), 'shape')}: {', '.join(texts)}" if texts else "no shape"

    def _reasons(self) -> str:
        return ", ".join(f"{n} {reason}" for reason, n in sorted(self.inconclusive.items()) if n)

    def __str__(self) -> str:
        unclear = self.inconclusive.total()
        total = self.compared + self.kinks + unclear
        share = f", {100 * unclear / total:.0f} % of all" if 50 * unclear > total else ""
        reasons = f" ({self._reasons()}{share})" if unclear else ""
        seed = "" if self.seed is None else f" of seed {self.seed}"
        text = (
            f"{counted(self.examples, 'example')}{seed}: {counted(self.compared, 'derivative')} "
            f"compared, {unclear} inconclusive{reasons}, {self.kinks} at kinks"
        )
        if self.not_checked:
            text = f"not finished: {self.examples} of {self.planned} examples, no verdict. {text}"
        skipped = (f"{reason} at {n} of {self.examples}" for reason, n in self.skipped.items())
        shapes = (self._shapes().capitalize(),) if self.shapes else ()
        return ". ".join(dict.fromkeys((text, *shapes, *skipped, *self.notes, *self.warnings())))


def counted(many: int, noun: str) -> str:
    """Return a number and a noun, in the plural unless it is one."""
    return f"{many} {noun}{'s' * (many != 1)}"


def first_line(error: BaseException) -> str:
    """Return the type and the first line of an exception."""
    first = str(error).strip().partition("\n")[0].rstrip().removesuffix(".")
    return f"{type(error).__name__}: {first}".removesuffix(": ")


def as_code(a: Any) -> str:
    """Return an array as Python code."""
    if not isinstance(a, np.ndarray):
        return repr(a)
    if a.size == 0:
        return f"np.zeros({a.shape}, np.{a.dtype})"
    values = repr(a.tolist()).replace("inf", "np.inf").replace("nan", "np.nan")
    default = a.dtype in {np.dtype(float), np.dtype(int), np.dtype(bool)}
    return f"np.array({values}{'' if default else f', np.{a.dtype}'})"
