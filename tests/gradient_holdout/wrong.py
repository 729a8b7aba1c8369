"""Wrong rules for held-out functions: each hand-written rule with one systematic change.

`python -m tests.gradient_holdout --wrong` prints which are missed. A change that gives the same
gradients wherever it is called is none, and counted apart.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import cycle
from typing import TYPE_CHECKING, Any

import numpy as np

from tests.gradient_collection.measure import outcome

from .entry import HOLDOUT, Entry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Change = Callable[[Any, Any, Any], Any]

CHANGES: dict[str, Change] = {
    "sign": lambda a, _g, _x: -a,
    "a thousandth": lambda a, _g, _x: (a * 1.001).astype(a.dtype),
    "0 for negative numbers": lambda a, _g, x: np.where(x < 0, 0, a).astype(a.dtype),
    "beyond 3": lambda a, _g, x: np.where(np.abs(x) > 3, 2 * a, a).astype(a.dtype),
    "below 0.01": lambda a, _g, x: np.where(np.abs(x) < 0.01, 0, a).astype(a.dtype),
    "0.7 to 0.8": lambda a, _g, x: np.where((x > 0.7) & (x < 0.8), 0, a).astype(a.dtype),
    "reversed": lambda a, _g, _x: np.flip(a).copy(),
    "the size of g": lambda a, g, _x: np.abs(a) if g.size and (g < 0).all() else a,
    "float64": lambda a, _g, _x: a.astype(float),
    "an axis more": lambda a, _g, _x: a[None],
    "averaged": lambda a, _g, _x: a / a.dtype.type(max(a.size, 1)),
    "one entry": lambda a, _g, _x: np.where(np.arange(a.size).reshape(a.shape) == 2, 0, a),
    "no empty array": lambda a, _g, _x: a if a.size else np.zeros(1, a.dtype),
    "0-d": lambda a, _g, _x: a * a.dtype.type(1 + (a.ndim == 0)),
    "memory": lambda a, _g, x: a if x.flags.c_contiguous else a.T.copy().reshape(a.shape),
}
"""How the first gradient is changed, from itself, the cotangent and the first argument."""


class Changed:
    """A rule whose first gradient is changed; it notes whether that ever makes a difference."""

    def __init__(self, right: Any, change: Change) -> None:
        self.right, self.change, self.differs = right, change, False

    def __call__(self, g: Any, out: Any, *arrays: Any) -> Any:
        """Return the gradients, the first one changed."""
        grads = self.right(g, out, *arrays)
        first, *others = grads if isinstance(grads, tuple) else (grads,)
        wrong = np.asarray(self.change(first, g, arrays[0]))
        same = wrong.shape == first.shape and wrong.dtype == first.dtype
        self.differs |= not (same and np.array_equal(wrong, first, equal_nan=True))
        return (wrong, *others) if isinstance(grads, tuple) else wrong


def wrong_entries() -> Iterator[tuple[str, Entry, Changed]]:
    """Yield each hand-written rule of the held-out functions with the next change."""
    changes = cycle(CHANGES.items())
    for name, entry in HOLDOUT.items():
        if entry.library != "torch":
            what, change = next(changes)
            rule = Changed(entry.rule.vjp, change)
            options = {**entry.options, "order": 1}
            changed = replace(entry, rule=replace(entry.rule, vjp=rule), options=options)
            yield f"{name}: {what}", changed, rule


def missed(only: str, seed: int) -> tuple[list[str], str]:
    """Return the names of the wrong rules that are missed, and a line with all counts."""
    lost, caught, same = [], 0, 0
    for name, entry, rule in wrong_entries():
        if only in name:
            failed = outcome(lambda entry=entry: entry.check(None, seed)).failed
            caught += failed
            same += not (failed or rule.differs)
            lost += [name] * (rule.differs and not failed)
    count = caught + len(lost)
    return lost, f"{caught} of {count} wrong rules found; {same} more change nothing"
