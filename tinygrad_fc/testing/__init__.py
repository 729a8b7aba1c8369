"""Gradients tested by properties: inputs drawn from a domain, slopes that know their error.

    from tinygrad_fc.testing import check, check_vjp, derivatives, real, positive, nonzero, index

`check` is for functions of tensors, `check_vjp` for a function and its gradient in plain NumPy,
`check_op` for a row of the table, `derivatives` makes a test of a function. Drawing inputs needs
hypothesis (`pip install 'tinygrad-fc[testing]'`); checking at given arrays does not.

Reading order: `case` (what is tested, and where), `laws` and `values` (what must hold), `compare`
and `autograd.slopes` (what a derivative is held against), `drawing` (which inputs are tried),
`explain`, `probes` and `hints` (what a failure says), `options` (what may be asked for), `checks`
(all of it together).
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from tinygrad_fc.domain import Domain, boolean, distinct, index, interval, nonzero, positive, real
from tinygrad_fc.testing.adapters import from_autograd, from_jax, from_torch
from tinygrad_fc.testing.case import Rule
from tinygrad_fc.testing.checks import check, check_vjp, derivatives
from tinygrad_fc.testing.errors import GradientError, NothingToldError, Report
from tinygrad_fc.testing.measure import slope
from tinygrad_fc.testing.rows import check_op

if TYPE_CHECKING:
    from tinygrad_fc.testing.strategies import arrays, networks, tensors

__all__ = [
    "Domain",
    "GradientError",
    "NothingToldError",
    "Report",
    "Rule",
    "arrays",
    "boolean",
    "check",
    "check_op",
    "check_vjp",
    "derivatives",
    "distinct",
    "from_autograd",
    "from_jax",
    "from_torch",
    "index",
    "interval",
    "networks",
    "nonzero",
    "positive",
    "real",
    "slope",
    "tensors",
]

# Strategies are hypothesis': they are made when named.
_DRAWN = ("arrays", "networks", "tensors")


def __getattr__(name: str) -> Any:
    if name not in _DRAWN:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(import_module(f"{__name__}.strategies"), name)
    except ImportError as error:
        if "hypothesis" not in str(error):
            raise
        raise ImportError(
            f"{__name__}.{name} is a strategy of hypothesis, which is not installed: pip install "
            "'tinygrad-fc[testing]'"
        ) from error


def __dir__() -> list[str]:
    return sorted({*globals(), *_DRAWN})
