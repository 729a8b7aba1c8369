"""What is checked and how: what was asked for, proven to make sense, and the laws that follow."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tinygrad_fc.testing import laws, purity
from tinygrad_fc.testing.compare import ACCURACY, Demand
from tinygrad_fc.testing.precision import float32, small
from tinygrad_fc.testing.values import finite, second_values, values

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tinygrad_fc.domain import Domain
    from tinygrad_fc.testing.case import Case, Rule
    from tinygrad_fc.testing.errors import Tally

FLOATS = (np.float64, np.float32)
SALTS = 16
"""How many sets of directions there are; a place is tried with one of them."""
KINKS = ("subgradient", "skip", "forbid")


class Law(NamedTuple):
    """What must hold for a case, and at how many of the drawn ones it is held."""

    holds: Callable[[Case], Tally]
    every: int = 1
    """1 in this many: what costs much, or fails at any place if at one, is held less often."""
    costly: bool = False
    """Whether it is left out when a check has taken too long, and its slopes are counted."""


class Options(NamedTuple):
    """What `check` is asked for."""

    order: int = 2
    sig: str | None = None
    where: Callable[..., Any] | None = None
    dtypes: tuple[Any, ...] = FLOATS
    demand: Demand = Demand()
    max_examples: int | None = None


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


def asked(
    *,
    order: int = 2,
    sig: str | None = None,
    where: Callable[..., Any] | None = None,
    dtypes: Sequence[Any] = FLOATS,
    accuracy: float | str | None = None,
    noise: float = 0.0,
    kinks: str = "subgradient",
    max_examples: int | None = None,
) -> Options:
    """Return what is asked for; raises `ValueError` where it makes no sense."""
    if order not in {1, 2}:
        raise ValueError(f"order is 1 or 2, got {order!r}: the derivative, or that of the rule too")
    kinds = tuple(np.dtype(d) for d in dtypes)
    if not kinds or not {np.dtype(d) for d in FLOATS}.issuperset(kinds):
        raise ValueError(f"dtypes are float64 and float32, or one of them; got {dtypes!r}")
    if kinks not in KINKS:
        raise ValueError(f"kinks is one of {', '.join(map(repr, KINKS))}; got {kinks!r}")
    if accuracy is None:
        wanted = ACCURACY
    elif accuracy == "full":
        wanted = 0.0
    elif isinstance(accuracy, int | float) and accuracy > 0:
        wanted = float(accuracy)
    else:
        raise ValueError(f'accuracy is a positive number or "full"; got {accuracy!r}')
    if noise < 0:
        raise ValueError(f"noise is how exact the function is, relative to it; got {noise!r}")
    demand = Demand(wanted, kinks, noise=float(noise))
    return Options(order, sig, where, kinds, demand, max_examples)


def laws_for(options: Options, rule: Rule, *, second: bool) -> tuple[Law, ...]:
    """Return the laws in the order in which they are held: cheap and certain ones first."""
    both = len(options.dtypes) > 1
    found = [Law(laws.sound), Law(finite)]
    if both:
        found.append(Law(small, 2))
    found += [Law(purity.purity), Law(laws.zero), Law(laws.linear), Law(purity.layout)]
    if rule.own:
        found += [Law(purity.ownership, 2), Law(laws.alone, 2)]
    found.append(Law(partial(values, demand=options.demand), costly=True))
    if both:
        found.append(Law(float32, costly=True))
    if second and options.order > 1:
        found.append(Law(partial(second_values, demand=options.demand), costly=True))
    return tuple(found)
