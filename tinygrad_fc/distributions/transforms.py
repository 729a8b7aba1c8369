"""Invertible functions with their derivatives, and distributions made from others."""

from __future__ import annotations

import math
from functools import reduce
from typing import Any

import numpy as np

from tinygrad_fc.distributions import constraints
from tinygrad_fc.distributions.distribution import (
    METHODS,
    Distribution,
    clamped,
    cross_entropy,
    same,
    sum_last,
)
from tinygrad_fc.distributions.families import Normal
from tinygrad_fc.functional.creation import full, full_like
from tinygrad_fc.nn import functional as F

__all__ = ["AffineTransform", "ExpTransform", "Independent", "LogNormal", "SigmoidTransform"]
__all__ += ["TanhTransform", "Transform", "TransformedDistribution"]


class Transform:
    """Base of transforms y = f(x): a subclass defines `_call`, `_inverse`, `log_abs_det_jacobian`.

    `inv` is the inverse transform. With `cache_size=1` the inverse of the last y is the x that it
    was computed from, to the last digit. `domain` and `codomain` are constraints; their `event_dim`
    is the number of axes of one x. `log_abs_det_jacobian(x, y)` is log |dy / dx|, summed over these
    axes.

    >>> import tinygrad_fc as tg
    >>> x = tg.tensor([0.0, 1.0])
    >>> ExpTransform().inv(ExpTransform()(x))
    tensor([0., 1.])
    """

    bijective = True
    sign: Any = 1  # of the derivative
    domain, codomain = constraints.real, constraints.real
    _call: Any
    _inverse: Any
    log_abs_det_jacobian: Any

    def __init__(self, cache_size: int = 0) -> None:
        self._cache_size = cache_size
        self._cached: tuple[Any, Any] = (None, None)

    @property
    def inv(self) -> Transform:
        """The inverse transform."""
        inverse = Transform()
        inverse._call, inverse._inverse, inverse.bijective = self._inv_call, self, self.bijective
        inverse.domain, inverse.codomain = self.codomain, self.domain
        inverse.sign = self.sign
        inverse.log_abs_det_jacobian = lambda x, y: -self.log_abs_det_jacobian(y, x)
        return inverse

    def __call__(self, x: Any) -> Any:
        """Return y."""
        y = self._call(x)
        if self._cache_size:
            self._cached = x, y
        return y

    def _inv_call(self, y: Any) -> Any:
        return self._cached[0] if self._cached[1] is y else self._inverse(y)


class AffineTransform(Transform):
    """`loc + scale * x`; `event_dim` is the number of axes of one x.

    >>> import tinygrad_fc as tg
    >>> AffineTransform(1.0, 2.0)(tg.tensor([0.0, 1.0]))
    tensor([1., 3.])
    """

    def __init__(self, loc: Any, scale: Any, event_dim: int = 0, cache_size: int = 0) -> None:
        super().__init__(cache_size)
        self.loc, self.scale, self.event_dim = loc, scale, event_dim
        self.domain = self.codomain = constraints.independent(constraints.real, event_dim)
        self.sign = np.sign(scale)

    def _call(self, x: Any) -> Any:
        return self.loc + self.scale * x

    def _inverse(self, y: Any) -> Any:
        return (y - self.loc) / self.scale

    def log_abs_det_jacobian(self, _x: Any, y: Any) -> Any:
        """Return log |scale|, summed over the axes of an event."""
        return sum_last((full_like(y, 1.0) * self.scale).abs().log(), self.event_dim)


class ExpTransform(Transform):
    """`exp(x)`.

    >>> import tinygrad_fc as tg
    >>> ExpTransform()(tg.zeros(1))
    tensor([1.])
    """

    codomain = constraints.positive

    _call = staticmethod(lambda x: x.exp())
    _inverse = staticmethod(lambda y: y.log())
    log_abs_det_jacobian = staticmethod(lambda x, _y: x)


class SigmoidTransform(Transform):
    """`1 / (1 + exp(-x))`, clamped to the open interval (0, 1).

    >>> import tinygrad_fc as tg
    >>> SigmoidTransform().inv(tg.tensor([0.5]))
    tensor([0.])
    """

    codomain = constraints.unit_interval

    _call = staticmethod(lambda x: clamped(x.sigmoid()))
    _inverse = staticmethod(lambda y: clamped(y).log() - (-clamped(y)).log1p())
    log_abs_det_jacobian = staticmethod(lambda x, _y: -F.softplus(-x) - F.softplus(x))


class TanhTransform(Transform):
    """`tanh(x)`; for the inverse of values near 1, pass `cache_size=1`.

    >>> import tinygrad_fc as tg
    >>> TanhTransform().log_abs_det_jacobian(tg.zeros(1), tg.zeros(1))
    tensor([0.])
    """

    codomain = constraints.interval(-1.0, 1.0)

    _call = staticmethod(lambda x: x.tanh())
    _inverse = staticmethod(lambda y: y.atanh())
    log_abs_det_jacobian = staticmethod(lambda x, _y: 2 * (math.log(2) - x - F.softplus(-2 * x)))


# Distributions made from others


class Independent(Distribution):
    """A distribution whose last `reinterpreted_batch_ndims` batch axes are event axes.

    >>> import tinygrad_fc as tg
    >>> Independent(Normal(tg.zeros(3, 2), 1.0), 1).log_prob(tg.zeros(2)).shape
    Size([3])
    """

    sample, has_rsample = same("base_dist.sample"), same("base_dist.has_rsample")
    count = same("reinterpreted_batch_ndims")
    support = property(lambda self: constraints.independent(self.base_dist.support, self.count))

    def __init__(
        self, base_distribution: Any, reinterpreted_batch_ndims: int, validate_args: Any = None
    ) -> None:
        base, self.base_dist = base_distribution, base_distribution
        self.reinterpreted_batch_ndims = reinterpreted_batch_ndims
        split = len(base.batch_shape) - reinterpreted_batch_ndims
        if split < 0:
            raise ValueError(f"Independent: {base} has {base.batch_shape=}, expected more axes")
        shape = base._extended_shape()
        super().__init__(shape[:split], shape[split:], validate_args)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.base_dist, name) if name in METHODS else super().__getattr__(name)

    def log_prob(self, value: Any) -> Any:
        """Return the logarithm of the density, or of the probability, at `value`."""
        return sum_last(self.base_dist.log_prob(value), self.count)

    def _cross_entropy(self, q: Any) -> Any:
        if self.count != q.count:
            raise NotImplementedError("kl_divergence: the numbers of event axes differ")
        return sum_last(cross_entropy(self.base_dist, q.base_dist), self.count)


class TransformedDistribution(Distribution):
    """The distribution of a sample of `base_distribution` after one or several `transforms`.

    >>> import tinygrad_fc as tg
    >>> squashed = TransformedDistribution(Normal(0.0, 1.0), [TanhTransform(cache_size=1)])
    >>> squashed.log_prob(tg.tensor([0.0]))
    tensor([-0.9189])
    """

    has_rsample = same("base_dist.has_rsample")

    def __init__(self, base_distribution: Any, transforms: Any, validate_args: Any = None) -> None:
        self.transforms = [transforms] if isinstance(transforms, Transform) else list(transforms)
        base, event_dim = base_distribution, len(base_distribution.event_shape)
        # Parameters of transforms broadcast with the batch.
        shape = self._transformed(full(base._extended_shape(), 0.5)).shape
        base = base.expand(shape[: len(shape) - event_dim])
        extra = max([0, *(t.domain.event_dim - event_dim for t in self.transforms)])
        self.base_dist = Independent(base, extra) if extra else base
        super().__init__(self.base_dist.batch_shape, self.base_dist.event_shape, validate_args)

    @property
    def support(self) -> Any:
        """The set of the values of a sample."""
        last = self.transforms[-1].codomain if self.transforms else self.base_dist.support
        return constraints.independent(last, len(self.event_shape) - last.event_dim)

    def _transformed(self, x: Any) -> Any:
        return reduce(lambda x, transform: transform(x), self.transforms, x)

    def rsample(self, sample_shape: Any = ()) -> Any:
        """Return `sample_shape` draws, as a function of the parameters."""
        return self._transformed(self.base_dist.rsample(sample_shape))

    def _log_prob(self, value: Any) -> Any:
        result, event_dim = 0, len(self.event_shape)
        for t in self.transforms[::-1]:
            x = t.inv(value)
            result -= sum_last(t.log_abs_det_jacobian(x, value), event_dim - t.domain.event_dim)
            value = x
        return self.base_dist.log_prob(value) + result

    def _signed(self, p: Any) -> Any:
        """Return `p`, or 1 - `p` if the transforms together decrease."""
        return reduce(lambda p, transform: 0.5 + (p - 0.5) * transform.sign, self.transforms, p)

    def cdf(self, value: Any) -> Any:
        """Return the probability of a draw up to `value`."""
        x = reduce(lambda y, transform: transform.inv(y), self.transforms[::-1], value)
        return self._signed(self.base_dist.cdf(x))

    def icdf(self, value: Any) -> Any:
        """Return the number up to which a draw is with probability `value`."""
        return self._transformed(self.base_dist.icdf(self._signed(value)))


class LogNormal(TransformedDistribution):
    """The distribution of `exp(x)` for normal x with mean `loc` and standard deviation `scale`.

    >>> import tinygrad_fc as tg
    >>> LogNormal(0.0, 1.0).log_prob(tg.tensor([1.0]))
    tensor([-0.9189])
    """

    loc, scale = same("base_dist.loc"), same("base_dist.scale")
    mean = property(lambda self: (self.loc + self.scale**2 / 2).exp())
    variance = property(lambda self: (self.scale**2).expm1() * self.mean**2)

    def __init__(self, loc: Any, scale: Any, validate_args: bool | None = None) -> None:
        super().__init__(Normal(loc, scale, validate_args), ExpTransform(), validate_args)

    def _cross_entropy(self, q: Any) -> Any:
        return self.base_dist._cross_entropy(q.base_dist) + self.loc
