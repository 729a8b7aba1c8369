"""Private functions of PyTorch that scripts import: `nn.modules.utils` and `nn._reduction`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tinygrad_fc.core.errors import check_argument

_REDUCTIONS = ("none", "mean", "sum")


def _ntuple(n: int, name: str = "parse") -> Any:
    """Return a function that repeats a number `n` times, and makes a tuple of other values."""

    def parse(x: Any) -> tuple[Any, ...]:
        return tuple(x) if isinstance(x, Iterable) else (x,) * n

    parse.__name__ = name
    return parse


_single, _pair, _triple = _ntuple(1, "_single"), _ntuple(2, "_pair"), _ntuple(3, "_triple")
_quadruple = _ntuple(4, "_quadruple")


def get_enum(reduction: str) -> int:
    """Return PyTorch's number of a reduction: 0 for "none", 1 for "mean", 2 for "sum"."""
    check_argument(reduction in _REDUCTIONS, "get_enum", _REDUCTIONS, reduction=reduction)
    return _REDUCTIONS.index(reduction)


def legacy_get_string(size_average: bool | None, reduce: bool | None, **_: Any) -> str:
    """Return the reduction that the old arguments of a loss mean."""
    return "none" if reduce is False else "sum" if size_average is False else "mean"
