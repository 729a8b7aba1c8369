"""The base of distributions: shapes, argument checks, and the relations between methods.

A sample has shape `sample_shape + batch_shape + event_shape`: independent draws, then one
distribution per element of the broadcast parameters, then the axes of one draw of a vector.
"""

from __future__ import annotations

import copy
import itertools
from operator import attrgetter
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar

import numpy as np

from tinygrad_fc.conversions import Size
from tinygrad_fc.core.dtypes import get_default_dtype
from tinygrad_fc.core.grad_mode import no_grad
from tinygrad_fc.core.node import Node
from tinygrad_fc.distributions import constraints
from tinygrad_fc.functional.creation import tensor
from tinygrad_fc.random import rand

if TYPE_CHECKING:
    from collections.abc import Callable

    F = TypeVar("F", bound=Callable[..., Any])

__all__ = ["Distribution", "kl_divergence", "register_kl"]


class Distribution:
    """Base of distributions: a subclass sets its parameters as attributes, then calls `__init__`.

    `arg_constraints` says which values the parameters may have, `support` which values a sample
    has. Both are checked unless `validate_args` is False: `__init__` and `log_prob` raise
    `ValueError`. `rsample`, if `has_rsample`, is a differentiable function of the parameters and of
    random numbers; `sample` records no graph. A subclass defines `_log_prob`, `rsample` or
    `sample`, and what else it has: `_cross_entropy(q)`, which is E[-q.log_prob], `mean`, `mode`,
    `variance`, `cdf`, `icdf`. The others raise `NotImplementedError`.
    """

    has_rsample: Any = False
    arg_constraints: ClassVar[dict[str, Any]] = {}
    support: Any = constraints.real
    _validate_args: bool = __debug__

    def __init__(
        self, batch_shape: Any = (), event_shape: Any = (), validate_args: bool | None = None
    ) -> None:
        self.batch_shape, self.event_shape = Size(batch_shape), Size(event_shape)
        if validate_args is not None:
            self._validate_args = validate_args
        for name in self.arg_constraints.keys() & vars(self).keys():
            self._check(f"parameter {name}", vars(self)[name], self.arg_constraints[name])

    def _check(self, what: str, value: Any, constraint: constraints.Constraint) -> None:
        if self._validate_args and not bool(constraint.check(value).all()):
            raise ValueError(
                f"Expected {what} ({value!r:.99}) of distribution {self} to satisfy the constraint "
                f"{constraint.name}, but found invalid values. validate_args=False skips the check"
            )

    @staticmethod
    def set_default_validate_args(value: bool) -> None:
        """Set whether distributions check arguments if `validate_args` is None."""
        Distribution._validate_args = value

    def _set(self, validate_args: bool | None, **parameters: Any) -> None:
        """Set parameters, broadcast to the batch shape, of a distribution of numbers."""
        tensors = broadcast_all(*parameters.values())
        vars(self).update(zip(parameters, tensors, strict=True))
        Distribution.__init__(self, tensors[0].shape, (), validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Self:
        """Return the distribution with its parameters expanded to another batch shape."""
        new, count = copy.copy(self), len(self.batch_shape)
        new.batch_shape = Size(batch_shape)
        for name, value in vars(self).items():
            if name in self.arg_constraints or name == "base_dist":
                shape = value.batch_shape if name == "base_dist" else value.shape
                vars(new)[name] = value.expand((*batch_shape, *shape[count:]))
        return new

    @property
    def stddev(self) -> Any:
        """The standard deviation."""
        return self.variance.sqrt()

    def sample(self, sample_shape: Any = ()) -> Any:
        """Return `sample_shape` draws, which are not part of the graph."""
        with no_grad():
            return self.rsample(sample_shape)

    def log_prob(self, value: Any) -> Any:
        """Return the logarithm of the density, or of the probability, at `value`."""
        if self._validate_args:
            if not isinstance(value, Node):
                raise ValueError("The value argument to log_prob must be a Tensor")
            shape = value._array.shape
            if shape[len(shape) - len(self.event_shape) :] != self.event_shape:
                raise ValueError(f"log_prob: value has shape {shape}, {self.event_shape=}")
        self._check("value argument", value, self.support)
        return self._log_prob(value)

    def entropy(self) -> Any:
        """Return the expectation of -log_prob, in nats."""
        return self._cross_entropy(self)

    def __getattr__(self, name: str) -> Any:
        if name in METHODS:
            raise NotImplementedError(f"{type(self).__name__} has no {name}")
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    def _extended_shape(self, sample_shape: Any = ()) -> Size:
        return Size((*sample_shape, *self.batch_shape, *self.event_shape))

    def _uniform(self, sample_shape: Any, like: Any) -> Any:
        """Return random numbers from the open interval (0, 1), of the dtype of `like`."""
        return clamped(rand(self._extended_shape(sample_shape), dtype=like.dtype))

    def __repr__(self) -> str:
        parameters = [(k, vars(self)[k]) for k in self.arg_constraints if k in vars(self)]
        texts = [f"{k}: {t.item() if t.numel() == 1 else t.shape}" for k, t in parameters]
        return f"{type(self).__name__}({', '.join(texts)})"


METHODS = {"_cross_entropy", "_log_prob", "cdf", "icdf", "mean", "mode", "rsample", "variance"}


def kl_divergence(p: Distribution, q: Distribution) -> Any:
    """Return the divergence KL(p || q) = E_p[log p - log q] of two members of a family.

    Raises `NotImplementedError` for distributions without a formula: average the difference of
    their `log_prob` over samples of p.

    >>> from tinygrad_fc.distributions import Normal
    >>> kl_divergence(Normal(1.0, 1.0), Normal(0.0, 1.0))
    tensor(0.5)
    """
    pairs = itertools.product(type(p).__mro__, type(q).__mro__)  # the most derived classes first
    own = next((_FORMULAS[pair] for pair in pairs if pair in _FORMULAS), None)
    return cross_entropy(p, q) - p.entropy() if own is None else own(p, q)


_FORMULAS: dict[tuple[type, type], Callable[[Any, Any], Any]] = {}


def register_kl(type_p: type, type_q: type) -> Callable[[F], F]:
    """Return a decorator of a function (p, q), which `kl_divergence` calls for these classes.

    >>> from tinygrad_fc.distributions import Gumbel, Normal
    >>> @register_kl(Gumbel, Normal)
    ... def divergence(p, q):
    ...     return p.loc * 0 + 7
    >>> kl_divergence(Gumbel(0.0, 1.0), Normal(0.0, 1.0))
    tensor(7.)
    """

    def register(function: F) -> F:
        _FORMULAS[type_p, type_q] = function
        return function

    return register


def cross_entropy(p: Distribution, q: Distribution) -> Any:
    """Return E_p[-log q] of two members of a family; raise `NotImplementedError` for others."""
    for family in type(p).__mro__:
        if "_cross_entropy" in vars(family) and isinstance(q, family):
            return p._cross_entropy(q)
    raise NotImplementedError(f"no formula of KL for {type(p).__name__} and {type(q).__name__}")


def same(name: str) -> Any:
    """Return a property that is another name of the attribute `name`."""
    return property(attrgetter(name))


def broadcast_all(*values: Any) -> list[Any]:
    """Return numbers and tensors as tensors of one shape."""
    dtype = next((v._array.dtype for v in values if isinstance(v, Node)), get_default_dtype())
    tensors: list[Any] = [v if isinstance(v, Node) else tensor(v, dtype=dtype) for v in values]
    shape = np.broadcast_shapes(*(t.shape for t in tensors))
    return [t if t.shape == shape else t.expand(*shape) for t in tensors]


def sum_last(x: Any, count: int) -> Any:
    """Return the sum over the last `count` axes."""
    return x.sum(dim=tuple(range(-count, 0))) if count else x


def clamped(x: Any) -> Any:
    """Return numbers clamped to the open interval (0, 1)."""
    return x.clamp(float(np.finfo(x.dtype).tiny), 1 - float(np.finfo(x.dtype).eps))
