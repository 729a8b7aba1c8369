"""What a check says: that all is well and how much was seen, or what is wrong and where."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from tinygrad_fc.testing.texts import advice, counted

if TYPE_CHECKING:
    from tinygrad_fc.testing.case import Case
    from tinygrad_fc.testing.compare import Disagreement

SMOOTH = (
    "take inputs at which it is smooth (another domain, or where=), compute in float64 in it, or "
    "say how exact it is (noise=1e-6)"
)
KINDS = (
    *("raises", "shape", "dtype", "mutation", "nonfinite", "aliasing", "nondeterministic"),
    *("nonlinear", "layout", "value", "kink", "imprecise", "float32", "second-order"),
)
"""What can be wrong with a gradient, in the order in which it is looked for."""


class GradientError(AssertionError):
    """A gradient is wrong; the text says which, how, perhaps why, and how to see it again.

    `kind` is one of `KINDS`: what was called *raises*; a gradient has another *shape* or *dtype*
    than its argument; arrays that were handed in were changed (*mutation*); a gradient is
    *nonfinite* where the function has a slope; an earlier result changed later (*aliasing*); equal
    calls differ (*nondeterministic*); the gradient is not linear in `g` (*nonlinear*); it depends
    on the *layout* of memory; its *value* is wrong, outside the slopes at a *kink*, or less exact
    than could be (*imprecise*); it is wrong in *float32* only, or in the *second-order* only.

    `argument` and `index` say which entry of which argument's gradient, `analytic` is what it is,
    `numerical` what it should be up to `error`; None where that is not the question. `arrays` are
    the arguments and `g` the gradient of the result that show it.
    """

    def __init__(
        self,
        text: str,
        *,
        kind: str,
        argument: int | None = None,
        index: tuple[int, ...] | None = None,
        analytic: Any = None,
        numerical: Any = None,
        error: Any = None,
        case: Case | None = None,
        g: Any = None,
    ) -> None:
        super().__init__(text)
        self.kind = kind
        self.argument, self.index = argument, index
        self.analytic, self.numerical, self.error = analytic, numerical, error
        self.case = case
        self.drawn = case
        self.law = 0
        self.arrays: tuple[Any, ...] = () if case is None else case.arrays
        self.g = g
        self.hint = ""
        self.disagreement: Disagreement | None = None


class Tally(NamedTuple):
    """How many numbers were compared, could not be told, or lie at a kink."""

    compared: int = 0
    undecided: int = 0
    kinks: int = 0

    def plus(self, other: Tally) -> Tally:
        """Return the sums of both."""
        return Tally(*(a + b for a, b in zip(self, other, strict=True)))


class Report(NamedTuple):
    """That nothing was found, and how much was looked at.

    `examples` were drawn; of the slopes along their directions `compared` were held against the
    gradients, `undecided` could not be certified (jumps, noise), and `kinks` were met. At `raised`
    further inputs the function raised, `refusal` at the last of them. At `left_out` no slope was
    measured: the function is slow, and time was up. At `nonfinite` it gave NaN or an infinity; in
    `empty` of these an array was empty, as in `raised_empty` of those at which it raised.
    """

    examples: int
    compared: int
    undecided: int
    kinks: int
    raised: int = 0
    refusal: str = ""
    left_out: int = 0
    nonfinite: int = 0
    empty: int = 0
    raised_empty: int = 0

    def plus(self, other: Report) -> Report:
        """Return the sums of both."""
        return Report(
            self.examples + other.examples,
            self.compared + other.compared,
            self.undecided + other.undecided,
            self.kinks + other.kinks,
            self.raised + other.raised,
            other.refusal or self.refusal,
            self.left_out + other.left_out,
            self.nonfinite + other.nonfinite,
            self.empty + other.empty,
            self.raised_empty + other.raised_empty,
        )

    @property
    def told(self) -> bool:
        """Whether the inputs at which something was told are 1 in 10 at least."""
        return max(self.raised, self.nonfinite) <= 9 * self.examples

    @property
    def vague(self) -> bool:
        """Whether next to nothing was compared: 1 slope in 10, and 1 in 2 examples, at most.

        What is drawn for right staircases is more than that; of a few examples nobody can tell.
        """
        judged = self.compared + self.kinks
        return self.undecided > 9 * judged and self.examples - 2 > 2 * judged

    def _many(self, lost: int, empty: int) -> bool:
        """Tell whether so many inputs tell nothing that it should be known.

        How many arrays are empty is chance, and what means and maxima are of these no news: they
        count where they are the most of all that is drawn.
        """
        return (lost - empty) * 3 > self.examples or lost > self.examples

    def unfit(self) -> list[str]:
        """Return what to do about inputs that tell nothing, if they are many."""
        texts = []
        if self.vague:
            texts.append(
                f"Only {self.compared} of {self.compared + self.undecided + self.kinks} slopes "
                "could be compared: the function is a staircase, noisy or next to flat where it "
                f"was called. If it should not be, {SMOOTH}"
            )
        if self._many(self.nonfinite, self.empty):
            cure = (
                "choose domains inside which it is defined, such as positive or nonzero, or a "
                "condition (where=)"
            )
            if self.empty * 2 > self.nonfinite:
                cure = 'most of these arrays are empty, and "n>=1" as an axis "n" leaves that out'
            texts.append(
                f"At {self.nonfinite} of {self.examples + self.nonfinite} inputs drawn the result "
                f"is NaN or infinite, where nothing can be told: {cure}"
            )
        if self._many(self.raised, self.raised_empty):
            total = self.examples + self.raised
            texts.append(
                f"{self.raised} of {total} inputs drawn raised {self.refusal}; "
                f"{advice(self.refusal, always=not self.examples)}"
            )
        return texts

    def __str__(self) -> str:
        text = (
            f"{counted(self.examples, 'example')}: {counted(self.compared, 'slope')} compared, "
            f"{self.undecided} undecided, {self.kinks} at kinks"
        )
        if self.undecided > self.compared and not self.vague:
            text += (
                ". More are undecided than compared: the function is a staircase or noisy there. "
                f"If it should not be, {SMOOTH}"
            )
        if self.left_out:
            text += (
                f". At {self.left_out} no slope was measured, since the function is slow: a larger "
                "`max_examples` gives a check more time"
            )
        return ". ".join([text, *self.unfit()])


class DiscardError(Exception):
    """An example that tells nothing: the function has no finite value there."""


class NothingToldError(Exception):
    """A check that could compare nothing, or little since the function raised at most inputs."""
