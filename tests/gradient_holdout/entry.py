"""One function of another library, and where its gradient may be asked for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.testing import Rule, check, from_torch

if TYPE_CHECKING:
    from collections.abc import Callable

    from tinygrad_fc.domain import Domain
    from tinygrad_fc.testing import Report


@dataclass(frozen=True)
class Entry:
    """A function under the name that its library gives it, and the domains of its arguments.

    `library` is where it comes from; `options` are those of `tinygrad_fc.testing.check`.
    """

    name: str
    library: str
    rule: Rule
    domains: tuple[Domain, ...]
    options: dict[str, Any] = field(default_factory=dict)

    def check(self, max_examples: int | None = None, seed: int | None = None) -> Report:
        """Check it on its domains."""
        options = {"max_examples": max_examples, "seed": seed, **self.options}
        return check(self.rule, *self.domains, **options)


HOLDOUT: dict[str, Entry] = {}


def _add(entry: Entry) -> None:
    name = f"{entry.library}.{entry.name}"
    assert name not in HOLDOUT, name
    HOLDOUT[name] = entry


def torch_function(name: str, f: Callable[..., Any], *domains: Domain, **options: Any) -> None:
    """Add a function of PyTorch's tensors, whose gradients are its engine's, to both orders."""
    _add(Entry(name, "torch", from_torch(f), domains, options))


def by_hand(
    library: str,
    name: str,
    forward: Callable[..., Any],
    vjp: Callable[..., Any],
    *domains: Domain,
    vjp2: Callable[..., Any] | None = None,
    **options: Any,
) -> None:
    """Add a function of NumPy or SciPy with a gradient that textbooks have."""
    rule = Rule(name, forward, vjp, vjp2, code=f"check_vjp({library}.{name}, ...")
    _add(Entry(name, library, rule, domains, options))


def curve(
    library: str,
    name: str,
    f: Callable[..., Any],
    slope: Callable[..., Any],
    domain: Domain,
    bend: Callable[..., Any] | None = None,
    **options: Any,
) -> None:
    """Add a function of one number with its slope, and perhaps its second derivative."""

    def forward(x: Any) -> Any:
        return np.asarray(f(x)).astype(x.dtype)

    def vjp(g: Any, _out: Any, x: Any) -> Any:
        return np.asarray(g * slope(x)).astype(x.dtype)

    def vjp2(h: Any, g: Any, x: Any) -> Any:
        assert bend is not None
        return np.asarray(h * slope(x)).astype(g.dtype), np.asarray(h * g * bend(x)).astype(x.dtype)

    by_hand(library, name, forward, vjp, domain, vjp2=vjp2 if bend else None, **options)
