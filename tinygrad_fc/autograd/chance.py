"""Numbers by chance that are the same each time."""

from __future__ import annotations

import math
from functools import lru_cache, wraps
from typing import TYPE_CHECKING, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")
T = TypeVar("T")

FEW = 256


def kept(made: Callable[P, T]) -> Callable[P, T]:
    """Keep the few numbers that `made` draws for a seed and shapes: a generator takes longer.

    They are nobody's to change. Of large shapes, where drawing is what takes time, none are kept.
    """
    known = lru_cache(maxsize=1024)(made)

    @wraps(made)
    def found(*args: P.args, **kwargs: P.kwargs) -> T:
        few = all(math.prod(shape) <= FEW for shape in args if isinstance(shape, tuple))
        return known(*args, **kwargs) if few else made(*args, **kwargs)  # type: ignore[arg-type]

    return found
