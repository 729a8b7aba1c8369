"""Sets of values: `check(x)` says for each event whether it is inside, as PyTorch's constraints."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Constraint:
    """A set of values: its name, its test, and the number of axes of an event.

    `text` is the name, with a place for each of `bounds`.

    >>> import tinygrad_fc as tg
    >>> positive.check(tg.tensor([-1.0, 2.0]))
    tensor([False,  True])
    """

    text: str
    check: Any  # a function of the values
    event_dim: int = 0
    bounds: tuple[Any, ...] = ()

    @property
    def name(self) -> str:
        """The name with the bounds."""
        return self.text.format(*self.bounds)


def interval(lower_bound: Any, upper_bound: Any) -> Constraint:
    """Return the closed interval between two numbers or tensors.

    >>> import tinygrad_fc as tg
    >>> from tinygrad_fc.distributions import constraints
    >>> constraints.interval(0, 2).check(tg.tensor([1.5, 3.0]))
    tensor([ True, False])
    """
    text, bounds = "Interval(lower_bound={}, upper_bound={})", (lower_bound, upper_bound)
    return Constraint(text, lambda x: (x >= lower_bound) & (x <= upper_bound), bounds=bounds)


def integer_interval(lower_bound: Any, upper_bound: Any) -> Constraint:
    """Return the integers of the closed interval between two numbers or tensors.

    >>> import tinygrad_fc as tg
    >>> from tinygrad_fc.distributions import constraints
    >>> constraints.integer_interval(0, 2).check(tg.tensor([2.0, 1.5]))
    tensor([ True, False])
    """
    inside = interval(lower_bound, upper_bound)
    check = lambda x: (x % 1 == 0) & inside.check(x)  # noqa: E731
    return Constraint(f"Integer{inside.text}", check, bounds=inside.bounds)


def greater_than(lower_bound: Any) -> Constraint:
    """Return the open interval above a number or tensor.

    >>> import tinygrad_fc as tg
    >>> from tinygrad_fc.distributions import constraints
    >>> constraints.greater_than(1).check(tg.tensor([1.0, 2.0]))
    tensor([False,  True])
    """
    text = "GreaterThan(lower_bound={})"
    return Constraint(text, lambda x: x > lower_bound, bounds=(lower_bound,))


def independent(base_constraint: Constraint, reinterpreted_batch_ndims: int) -> Constraint:
    """Return the set of arrays whose elements, along the last axes, are all in a set.

    >>> import tinygrad_fc as tg
    >>> from tinygrad_fc.distributions import constraints
    >>> constraints.independent(constraints.positive, 1).check(tg.tensor([[1.0, 2.0], [1.0, -2.0]]))
    tensor([ True, False])
    """
    base, n = base_constraint, reinterpreted_batch_ndims
    check = lambda x: base.check(x).all(dim=tuple(range(-n, 0)))  # noqa: E731
    text = f"Independent({base.text}, {n})"
    return Constraint(text, check, base.event_dim + n, base.bounds) if n else base


real = Constraint("Real()", lambda x: x == x)  # noqa: PLR0124  false for NaN
real_vector = independent(real, 1)
positive = greater_than(0.0)
unit_interval = interval(0.0, 1.0)
boolean = integer_interval(0, 1)
simplex = Constraint(
    "Simplex()", lambda x: (x >= 0).all(dim=-1) & ((x.sum(-1) - 1).abs() < 1e-6), 1
)
symmetric = Constraint("Symmetric()", lambda x: x.isclose(x.mT, atol=1e-6).all(dim=(-2, -1)), 2)
lower_cholesky = Constraint(
    "LowerCholesky()",
    lambda x: (x == x.tril()).all(dim=(-2, -1)) & (x.diagonal(dim1=-2, dim2=-1) > 0).all(dim=-1),
    2,
)
