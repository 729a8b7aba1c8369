"""A function with what claims to be its derivative, and a place to hold them to each other at.

Three kinds of functions come in: plain NumPy with a rule beside it, functions of tensors, and
rows of the table, which are functions of tensors with settings. Behind `Rule` they look alike.
"""

from __future__ import annotations

from collections import Counter
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.errors import GraphError, ShapeError
from tinygrad_fc.testing.errors import DiscardError, GradientError
from tinygrad_fc.testing.numbers import Nudge, cotangent
from tinygrad_fc.testing.texts import counted, said

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

    from tinygrad_fc.domain import Domain

Array = np.ndarray[Any, Any]

SECOND = "the gradient of the gradient"


@dataclass(frozen=True)
class Rule:
    """A function of arrays and its gradient: `forward(*arrays)`, `vjp(g, out, *arrays)`.

    `vjp` returns a gradient for each argument, None where there is none; `vjp2(h, g, *arrays)`,
    where there is one, is the rule of the rule: for `h`, the gradients of what `vjp` returns, it
    returns those of `g` and of each argument. `spelled` is how a call that checks it begins,
    and `ending` how it ends.
    """

    name: str
    forward: Callable[..., Any]
    vjp: Callable[..., Any]
    vjp2: Callable[..., Any] | None = None
    names: tuple[str, ...] = ()
    spelled: str = ""
    ending: str = ""
    calls: Counter[str] = field(default_factory=Counter, compare=False, repr=False)
    """How often anything was called, copies of the rule included."""
    note: str = ""
    """A comment on the call that checks it: what names in there stand for."""
    needing: tuple[int, ...] | None = None
    """Which arguments a gradient is asked for, where not for all of floats."""
    asserts: bool = False
    """Whether it is a test of the user's, in which an assertion that fails is a failure."""

    own = False
    """Whether the tensors of this package are behind it, which keep more promises."""
    repeatable = True
    """Whether equal calls must give equal bits, and not only to rounding."""
    patience = 1
    """How many times as long as usual a check may take."""

    def result(self, arrays: Sequence[Any], settings: dict[str, Any]) -> Array:
        """Return what the function makes of `arrays`."""
        __tracebackhide__ = True
        return np.asarray(self.forward(*arrays, **settings))

    def gradients(
        self, g: Array, out: Any, arrays: Sequence[Any], settings: dict[str, Any]
    ) -> Sequence[Any]:
        """Return the gradients of `arrays`, or of those that have one."""
        __tracebackhide__ = True
        return _listed(self.vjp(g, out, *arrays, **settings))

    def second(
        self, h: Sequence[Array], g: Array, arrays: Sequence[Any], settings: dict[str, Any]
    ) -> Sequence[Any]:
        """Return the gradients of `g` and `arrays`, for those of what `gradients` returns."""
        if self.vjp2 is None:
            raise DiscardError
        single = len(h) == 1 and self._alone(g, arrays, settings)
        return _listed(self.vjp2(h[0] if single else tuple(h), g, *arrays, **settings))

    def _alone(self, g: Array, arrays: Sequence[Any], settings: dict[str, Any]) -> bool:
        """Tell whether `vjp` returns its one gradient by itself: `vjp2` then gets it likewise."""
        out = self.result(arrays, settings)
        return not isinstance(self.vjp(g, out, *arrays, **settings), tuple | list)

    def argument(self, i: int) -> str:
        """Return how to speak of argument `i`."""
        return f"argument {i} ({self.names[i]})" if i < len(self.names) else f"argument {i}"


def _listed(found: Any) -> Sequence[Any]:
    return found if isinstance(found, tuple | list) else (found,)


@dataclass(frozen=True)
class Case:
    """A rule, arrays and settings to call it with, and a number that directions are made of."""

    rule: Rule
    words: tuple[Domain, ...]
    arrays: tuple[Array, ...]
    settings: dict[str, Any]
    salt: int = 0
    strict: bool = False
    """Whether NumPy's warnings count, as they do in rules of the table."""
    floats: tuple[int, ...] = ()
    """Which arguments have a gradient."""
    where: Callable[..., Any] | None = None
    """A condition on the arrays."""
    drawn: bool = True
    """Whether the arrays are what was asked for, or others that a law came up with."""

    @cached_property
    def out(self) -> Array:
        """What the function makes of the arrays."""
        return self.forward()

    @cached_property
    def g(self) -> Array:
        """A gradient of the result."""
        return cotangent(self.out, self.salt)

    def cast(self, dtype: Any, which: Sequence[bool] | None = None) -> Case:
        """Return the same numbers as `dtype`, of all arguments or of `which`."""
        told = which or [True] * len(self.arrays)
        return replace(
            self,
            arrays=tuple(
                a.astype(dtype) if a.dtype.kind == "f" and there else a
                for a, there in zip(self.arrays, told, strict=True)
            ),
        )

    def at(self, arrays: Sequence[Array]) -> Case:
        """Return the same with other arrays."""
        return replace(self, arrays=tuple(arrays), drawn=False)

    def legal(self) -> bool:
        """Tell whether the arrays meet the conditions that domains can't say."""
        __tracebackhide__ = True
        for word, x in zip(self.words, self.arrays, strict=True):
            if word.condition is not None and not word.condition(x):
                return False
        return self.where is None or bool(self.where(*self.arrays))

    def placed(self, point: Sequence[Array]) -> list[Array]:
        """Return the arguments with `point` in place of those that have a gradient."""
        if len(point) == len(self.arrays):
            return list(point)
        arrays = list(self.arrays)
        for i, x in zip(self.floats, point, strict=True):
            arrays[i] = x
        return arrays

    def forward(self, arrays: Sequence[Array] | None = None) -> Array:
        """Return what the function makes of `arrays`, by default those of the case."""
        used = self.arrays if arrays is None else arrays
        found: Array = self._blamed("the function", self.rule.result, used, self.settings)
        return found

    def gradients(
        self,
        g: Array,
        out: Array | None = None,
        arrays: Sequence[Array] | None = None,
        nudge: Nudge | None = None,
    ) -> list[Array]:
        """Return the gradients of the arguments that have one, where `g` is that of the result.

        `out` is made anew where it is left out, and a `nudge` moves all numbers.
        """
        used = list(self.arrays if arrays is None else arrays)
        if nudge is not None:
            used = [nudge(a) for a in used]
        if out is None and (nudge is not None or not self.rule.own):
            out = self.forward(used)
        if nudge is not None:
            g, out = nudge(g), nudge(np.asarray(out)) if nudge.rounds else out
        found = self._blamed("the gradient", self.rule.gradients, g, out, used, self.settings)
        return self._counted(found, used)

    def second(
        self, h: Sequence[Array], g: Array, nudge: Nudge | None = None, *, count: bool = True
    ) -> list[Array]:
        """Return the gradients of `g` and of the arguments, where `h` are those of the first."""
        used = list(self.arrays)
        if nudge is not None:
            used, g = [nudge(a) for a in used], nudge(g)
        found = self._blamed(SECOND, self.rule.second, self._all(h), g, used, self.settings)
        if not count:
            return [np.asarray(a) for a in found]
        if not found:
            raise self.wrong("shape", "the gradient of the gradient has no entry for g")
        own = np.asarray(found[0]) if found[0] is not None else np.zeros_like(g)
        seconds = [own, *self._counted(found[1:], used)]
        for k, (a, x) in enumerate(zip(seconds, [g, *(used[i] for i in self.floats)], strict=True)):
            of = self.rule.argument(self.floats[k - 1]) if k else "g"
            for what, got, expected in (("shape", a.shape, x.shape), ("dtype", a.dtype, x.dtype)):
                if got != expected:
                    raise self.wrong(
                        what, f"{SECOND} has {what} {got} for {of}, which has {expected}"
                    )
        return seconds

    def _all(self, h: Sequence[Array]) -> Sequence[Any]:
        """Return `h` with None for each argument that has no gradient."""
        full: list[Any] = [None] * len(self.arrays)
        for i, a in zip(self.floats, h, strict=True):
            full[i] = a
        return full if len(full) != len(self.floats) else list(h)

    def _counted(self, found: Sequence[Any], arrays: Sequence[Array]) -> list[Array]:
        """Return the gradients of the arguments that have one, zeros for None."""
        if len(found) == len(arrays):
            found = [found[i] for i in self.floats]
        if len(found) != len(self.floats):
            raise self.wrong(
                "shape",
                f"{counted(len(found), 'gradient')} for {counted(len(arrays), 'argument')}: return "
                "one for each, None for an argument that has none",
            )
        pairs = zip(found, self.floats, strict=True)
        return [np.zeros_like(arrays[i]) if a is None else np.asarray(a) for a, i in pairs]

    def wrong(self, kind: str, text: str, **details: Any) -> GradientError:
        """Return the error for this place."""
        return GradientError(text, kind=kind, case=self, **details)

    def _blamed(self, what: str, called: Callable[..., Any], *args: Any) -> Any:
        """Count a call, and tell an exception of what is called apart from those of the check."""
        __tracebackhide__ = True
        self.rule.calls["all"] += 1
        try:
            with self.watched():
                return called(*args)
        except (DiscardError, GradientError):
            raise
        except Exception as error:
            overflow = isinstance(error, FloatingPointError) and "overflow" in str(error)
            if overflow or not self.drawn:  # the function need not be defined everywhere
                raise DiscardError from error
            kind, text = "raises", f"{what} raises {said(error)}"
            if what == SECOND:
                text += "; where there is none, order=1 leaves it out"
            if isinstance(error, ShapeError):
                kind = "shape"
            elif isinstance(error, GraphError | ValueError) and "in place" in f"{error}":
                kind = "mutation"
            elif isinstance(error, ValueError) and "read-only" in f"{error}":
                kind, text = "mutation", f"{what} writes to what it was handed: {error}"
            raise self.wrong(kind, text) from error

    def watched(self) -> AbstractContextManager[Any]:
        """Keep NumPy silent, except for rows of the table: there its warnings count."""
        return nullcontext() if self.strict else np.errstate(all="ignore")
