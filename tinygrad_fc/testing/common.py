"""What the examples at which a gradient is wrong have in common, and the right ones have not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.domain import named

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tinygrad_fc.testing.case import Case

Array = np.ndarray[Any, Any]

FEW = 6
"""How many different examples must be right before what they have in common means anything."""


def traits(case: Case) -> frozenset[str]:
    """Return what is special about an example, in words that follow "without"."""
    arrays = [case.arrays[i] for i in case.floats]
    shapes = [a.shape for a in arrays]
    told = {
        "an empty array": any(0 in s for s in shapes),
        "a 0-d array": () in shapes,
        "an axis of size 1": any(1 in s for s in shapes),
        "arrays of different shapes": len(set(shapes)) > 1,
        "a square array": any(len(s) > 1 and s[-1] == s[-2] > 1 for s in shapes),
        "equal numbers in one array": any(map(_repeats, arrays)),
        "a 0 among the numbers": any((a == 0).any() for a in arrays),
        "a negative number": any((a < 0).any() for a in arrays),
        "a number beyond 64": any((np.abs(a) > 64).any() for a in arrays),
        "a repeated index": repeated(case),
    }
    return frozenset(name for name, there in told.items() if there)


def repeated(case: Case) -> bool:
    """Tell whether an index occurs twice, -1 and the last one being the same."""
    sizes: dict[Any, int] = {}
    for word, x in zip(case.words, case.arrays, strict=True):
        for axis, size in zip(reversed(word.shape or ()), reversed(x.shape), strict=False):
            if axis is ...:
                break
            sizes[named(axis).letter if isinstance(axis, str) else axis] = size
    pairs = [(w, x) for w, x in zip(case.words, case.arrays, strict=True) if w.kind == "index"]
    return any(_repeats(x % max(_count(w.size, sizes), 1)) for w, x in pairs)


def _count(size: int | str | None, sizes: dict[Any, int]) -> int:
    """Return how many an index may choose from; more than there are where that is not told."""
    return size if isinstance(size, int) else sizes.get(size, 1 << 30)


def _repeats(x: Array) -> bool:
    return len(np.unique(x)) < x.size


class Seen:
    """The traits of examples, right and wrong."""

    def __init__(self) -> None:
        self.right: list[Case] = []  # of which traits are asked for where one is wrong
        self.wrong: frozenset[str] | None = None

    def add(self, case: Case, *, wrong: bool) -> None:
        """Note an example."""
        if not wrong:
            self.right.append(case)
        else:
            found = traits(case)
            self.wrong = found if self.wrong is None else self.wrong & found

    def said(self, others: Sequence[Case] = ()) -> str:
        """Return what sets the wrong ones apart, nothing where it is nothing, or little is known.

        What all wrong ones have, the `others` too, and no right one.
        """
        if self.wrong is None or len(self.right) < FEW:
            return ""
        wrong = self.wrong.intersection(*map(traits, others))
        apart = sorted(wrong.difference(*map(traits, self.right)))
        if not apart:
            return ""
        return f"all {len(self.right)} examples without {' and '.join(apart)}"
