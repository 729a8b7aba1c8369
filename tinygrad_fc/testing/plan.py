"""What is checked and how: what was asked for, and the laws that follow from it."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tinygrad_fc.testing import laws, purity
from tinygrad_fc.testing.compare import ACCURACY
from tinygrad_fc.testing.precision import float32, small
from tinygrad_fc.testing.values import finite, second_values, values

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tinygrad_fc.domain import Domain
    from tinygrad_fc.testing.case import Case, Rule
    from tinygrad_fc.testing.errors import Tally
    from tinygrad_fc.testing.options import Options

SALTS = 16
"""How many sets of directions there are; a place is tried with one of them."""


class Law(NamedTuple):
    """What must hold for a case, and at how many of the drawn ones it is held."""

    holds: Callable[[Case], Tally]
    every: int = 1
    """1 in this many: what costs much, or fails at any place if at one, is held less often."""
    costly: bool = False
    """Whether it is left out when a check has taken too long, and its slopes are counted."""


class Plan(NamedTuple):
    """What is checked, and how."""

    rule: Rule
    words: tuple[Domain, ...]
    laws: tuple[Law, ...]
    options: Options
    settings: Mapping[str, Callable[..., Sequence[Any]]]
    strict: bool = False
    """Whether it is a row of the table, which promises more than a function does."""

    @property
    def floats(self) -> tuple[int, ...]:
        """Which arguments have a gradient."""
        return tuple(i for i, word in enumerate(self.words) if word.kind == "float")

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of what is drawn: float64, unless float32 alone is asked for."""
        kinds = self.options.dtypes
        return np.dtype(kinds[0] if len(kinds) == 1 else float)

    def ending(self) -> str:
        """Return the options as they are spelled in a call that checks given arrays."""
        o, d = self.options, self.options.demand
        told = [f"order={o.order}"] * (o.order != 2)
        if len(o.dtypes) == 1:
            told.append(f"dtypes=(np.{o.dtypes[0]},)")
        if d.accuracy != ACCURACY:
            told.append(f"accuracy={d.accuracy!r}" if d.accuracy else 'accuracy="full"')
        told += [f"noise={d.noise!r}"] * bool(d.noise)
        told += [f"kinks={d.kinks!r}"] * (d.kinks != "subgradient")
        if not self.strict and any(word.restricted for word in self.words):
            words = ", ".join(repr(replace(word, shape=None)) for word in self.words)
            told.append(f"domains=({words},)")
        return "".join(f", {t}" for t in told)


def laws_for(options: Options, rule: Rule, *, second: bool) -> tuple[Law, ...]:
    """Return the laws in the order in which they are held: cheap and certain ones first."""
    both = len(options.dtypes) > 1
    found = [Law(laws.sound), Law(finite)]
    if both:
        found.append(Law(small, 2))
    zero = partial(laws.zero, order=options.order)
    found += [Law(purity.purity), Law(zero), Law(laws.linear), Law(purity.layout)]
    if rule.own:
        found += [Law(purity.ownership, 2), Law(laws.alone, 2)]
    found.append(Law(partial(values, demand=options.demand), costly=True))
    if both:
        found.append(Law(float32, costly=True))
    if second and options.order > 1:
        if both and rule.vjp2 is not None:
            found.append(Law(laws.second_type, 4))
        found.append(Law(partial(second_values, demand=options.demand), costly=True))
    return tuple(found)
