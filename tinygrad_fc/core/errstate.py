"""Calls without floating-point warnings, at a fraction of the cost of `np.errstate`.

Infinities are visible in the result, and a branch that `where` discards must not warn.
"""

from __future__ import annotations

import contextvars
import functools
import sys
from _thread import _local as thread_local  # `threading` is slower to import
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")
R = TypeVar("R")

_ignored = {"divide": "ignore", "over": "ignore", "invalid": "ignore"}


def without_warnings(function: Callable[P, R]) -> Callable[P, R]:
    """Return `function` without floating-point warnings."""
    if _error_state is None:
        return np.errstate(**_ignored)(function)  # type: ignore[arg-type]
    enter, leave = _error_state.set, _error_state.reset

    @functools.wraps(function)
    def quiet(*args: P.args, **kwargs: P.kwargs) -> R:
        token = enter(_error_object)
        try:
            return function(*args, **kwargs)
        finally:
            leave(token)

    return quiet


# What `np.errstate` sets, whose own call takes as long as a ufunc of few elements.
_umath = sys.modules.get("numpy._core.umath")
_error_state: Any = getattr(_umath, "_extobj_contextvar", None)
_error_object = _umath._make_extobj(**_ignored) if _umath and _error_state else None


class _Silent(thread_local):
    """Calls functions of arrays in a context where `np.errstate` is entered once per thread.

    It is faster than `without_warnings`, but context variables, such as the flags that `no_grad`
    sets, have other values in it.
    """

    def __init__(self) -> None:
        context = contextvars.Context()
        context.run(np.errstate(all="ignore").__enter__)
        self.call = context.run


silent = _Silent()
