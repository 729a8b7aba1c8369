"""Gradients tested by properties: drawn inputs, and numerical derivatives with error bounds.

    from tinygrad_fc.testing import check, check_vjp, real, positive, nonzero, index

`check` takes functions of tensors and ops, `check_vjp` a function and its vjp in plain NumPy,
`check_jvp` a function and its derivative along tangents,
`check_derivatives` makes a test of a function; `inputs` and `assert_vjp` are for ordinary
hypothesis tests. Drawing inputs needs hypothesis (`pip install 'tinygrad-fc[testing]'`); checks at
given arrays do not.

Reading order: `tinygrad_fc.domain` (where a function is defined), `function` (what is checked, and
a point), `report` (what comes of it), `rounding` and `autograd.numerical` (numbers with error
bounds), `laws` and `layouts` (what must hold), `problem`, `value` and `float32` (the law of the
value), `tensors` and `adapters` (functions of tensors and of other libraries), `options` and
`strategies` (what is validated and drawn), `run` (the search), `hints` and `failure` (the
message), `checks` (the entry points).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tinygrad_fc.core.lazy import lazy_names
from tinygrad_fc.domain import Domain, boolean, distinct, index, interval, nonzero, positive, real
from tinygrad_fc.testing.adapters import from_jax, from_torch
from tinygrad_fc.testing.checks import assert_vjp, check, check_derivatives, check_jvp, check_vjp
from tinygrad_fc.testing.close import assert_close
from tinygrad_fc.testing.function import CheckedFunction
from tinygrad_fc.testing.report import GradientError, NothingCheckedError, Report

if TYPE_CHECKING:
    from tinygrad_fc.testing.strategies import inputs

__all__ = [
    "CheckedFunction",
    "Domain",
    "GradientError",
    "NothingCheckedError",
    "Report",
    "assert_close",
    "assert_vjp",
    "boolean",
    "check",
    "check_derivatives",
    "check_jvp",
    "check_vjp",
    "distinct",
    "from_jax",
    "from_torch",
    "index",
    "inputs",
    "interval",
    "nonzero",
    "positive",
    "real",
]

# It needs hypothesis.
__getattr__ = lazy_names(__name__, {"inputs": "strategies:inputs"})
