"""Families of distributions: continuous ones, and those with probabilities as parameters."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from tinygrad_fc.core import grad_mode
from tinygrad_fc.core.node import array_of, leaf_of
from tinygrad_fc.distributions import constraints
from tinygrad_fc.distributions.distribution import Distribution, broadcast_all, clamped, same
from tinygrad_fc.functional import equations, linalg
from tinygrad_fc.nn import functional as F
from tinygrad_fc.ops import special
from tinygrad_fc.random import randn, rng_of

__all__ = ["Bernoulli", "Beta", "Categorical", "Gumbel", "MultivariateNormal", "Normal"]
__all__ += ["RelaxedOneHotCategorical", "Uniform"]


class _LocationScale(Distribution):
    """Base of the distributions of `loc + scale * z`, for z of one distribution of numbers."""

    arg_constraints: ClassVar = {"loc": constraints.real, "scale": constraints.positive}
    has_rsample, _mean, _variance = True, 0.0, 1.0  # mean and variance of z
    mean = property(lambda self: self.loc + self.scale * self._mean)
    mode = same("loc")
    variance = property(lambda self: self.scale**2 * self._variance)

    def __init__(self, loc: Any, scale: Any, validate_args: bool | None = None) -> None:
        self._set(validate_args, loc=loc, scale=scale)

    def rsample(self, sample_shape: Any = ()) -> Any:
        """Return `loc + scale * z` for draws of z."""
        return self.loc + self.scale * self._quantile(self._uniform(sample_shape, self.loc))

    def _log_prob(self, value: Any) -> Any:
        return self._log_density((value - self.loc) / self.scale) - self.scale.log()

    def cdf(self, value: Any) -> Any:
        """Return the probability of a draw up to `value`."""
        return self._probability((value - self.loc) / self.scale)

    def icdf(self, value: Any) -> Any:
        """Return the number up to which a draw is with probability `value`."""
        return self.loc + self.scale * self._quantile(value)


class Normal(_LocationScale):
    """The normal distribution with mean `loc` and standard deviation `scale`.

    >>> import tinygrad_fc as tg
    >>> Normal(0.0, 1.0).log_prob(tg.tensor([0.0, 1.0]))
    tensor([-0.9189, -1.4189])
    """

    mean, stddev = same("loc"), same("scale")
    _log_density = staticmethod(lambda z: -(z * z + math.log(2 * math.pi)) / 2)
    _probability, _quantile = staticmethod(special.ndtr), staticmethod(special.ndtri)

    def rsample(self, sample_shape: Any = ()) -> Any:
        """Return `loc + scale * z` for standard normal z."""
        z = randn(self._extended_shape(sample_shape), dtype=self.loc.dtype)
        return self.loc + self.scale * z

    def _cross_entropy(self, q: Any) -> Any:
        square = (self.scale / q.scale) ** 2 + ((self.loc - q.loc) / q.scale) ** 2
        return q.scale.log() + (square + math.log(2 * math.pi)) / 2


class Gumbel(_LocationScale):
    """The Gumbel distribution, of the largest of many numbers.

    >>> import tinygrad_fc as tg
    >>> Gumbel(0.0, 1.0).log_prob(tg.tensor([0.0]))
    tensor([-1.])
    """

    _mean, _variance = np.euler_gamma, math.pi**2 / 6
    _quantile = staticmethod(lambda u: -(-u.log()).log())
    _probability = staticmethod(lambda z: (-(-z).exp()).exp())
    _log_density = staticmethod(lambda z: -z - (-z).exp())

    def _cross_entropy(self, q: Any) -> Any:
        tail = ((1 + self.scale / q.scale).lgamma() + (q.loc - self.loc) / q.scale).exp()
        return q.scale.log() + (self.mean - q.loc) / q.scale + tail


class Uniform(_LocationScale):
    """The uniform distribution on [`low`, `high`).

    >>> import tinygrad_fc as tg
    >>> Uniform(0.0, 2.0).log_prob(tg.tensor([1.0])).exp()
    tensor([0.5])
    """

    arg_constraints: ClassVar = {"low": constraints.real, "high": constraints.real}
    support = property(lambda self: constraints.interval(self.low, self.high))
    loc, scale = same("low"), property(lambda self: self.high - self.low)
    _mean, _variance = 1 / 2, 1 / 12
    _quantile = staticmethod(lambda u: u)
    _probability = staticmethod(lambda z: z.clamp(0, 1))
    _log_density = staticmethod(lambda z: ((z >= 0) & (z < 1)).to(z.dtype).log())

    def __init__(self, low: Any, high: Any, validate_args: bool | None = None) -> None:
        self._set(validate_args, low=low, high=high)
        self._check("parameter high", self.high, constraints.greater_than(self.low))

    def _cross_entropy(self, q: Any) -> Any:
        return q.scale.log().where((q.low <= self.low) & (q.high >= self.high), math.inf)


class Beta(Distribution):
    """The beta distribution on (0, 1): density x^(a - 1) (1 - x)^(b - 1) / B(a, b).

    a is `concentration1` and b is `concentration0`.

    >>> import tinygrad_fc as tg
    >>> Beta(2.0, 1.0).log_prob(tg.tensor([0.25])).exp()
    tensor([0.5])
    """

    arg_constraints = dict.fromkeys(("concentration1", "concentration0"), constraints.positive)
    support, has_rsample = constraints.unit_interval, True
    _total = property(lambda self: self.concentration1 + self.concentration0)
    mean = property(lambda self: self.concentration1 / self._total)
    variance = property(lambda self: self.mean * (1 - self.mean) / (self._total + 1))

    def __init__(self, concentration1: Any, concentration0: Any, validate_args: Any = None) -> None:
        self._set(validate_args, concentration1=concentration1, concentration0=concentration0)

    def rsample(self, sample_shape: Any = ()) -> Any:
        """Return `x / (x + y)` for gamma variables x of shape a and y of shape b."""
        shape = self._extended_shape(sample_shape)
        logits = _log_gamma(self.concentration1, shape) - _log_gamma(self.concentration0, shape)
        return clamped(logits.sigmoid())

    def _log_prob(self, value: Any) -> Any:
        a, b = self.concentration1, self.concentration0
        return (a - 1).xlogy(value) + (b - 1).xlogy(1 - value) - self._log_normalizer()

    def _log_normalizer(self) -> Any:
        return self.concentration1.lgamma() + self.concentration0.lgamma() - self._total.lgamma()

    def _cross_entropy(self, q: Any) -> Any:
        a, b, total = (t.digamma() for t in (self.concentration1, self.concentration0, self._total))
        powers = (q.concentration1 - 1) * (a - total) + (q.concentration0 - 1) * (b - total)
        return q._log_normalizer() - powers


def _log_gamma(shape_parameter: Any, size: Any) -> Any:
    """Return logarithms of draws from the gamma distribution of a shape parameter a > 0.

    log x = log y + log(u) / a, for y of shape parameter a + 1 and u uniform, does not underflow for
    small a. The gradient by a is that of log x at fixed u and probability of y (Figurnov et al.,
    "Implicit reparameterization gradients", 2018); there is no second derivative.
    """
    a = array_of(shape_parameter).astype(np.float64)
    y = np.maximum(rng_of(None).standard_gamma(a + 1, size), 1e-300)
    log_u = -rng_of(None).standard_exponential(size)
    x = leaf_of((np.log(y) + log_u / a).astype(shape_parameter.dtype))
    if not (shape_parameter.requires_grad and grad_mode.is_grad_enabled()):
        return x
    slope = leaf_of((_log_gamma_slope(y, a + 1) - log_u / a**2).astype(x.dtype))
    return x + (shape_parameter - shape_parameter.detach()) * slope


def _log_gamma_slope(x: Any, a: Any) -> Any:
    """Return d log(x) / da at fixed probability P(a, x), for a >= 1.

    With p the density, dx/da = -dP/da / p(x), and dP/da is the integral of p(t) (log t -
    digamma(a)) up to x, or minus that above x. Away from the mode, p(t) with t = x exp(s w) decays
    in w; w = c exp(u - exp(-u)) makes the sum over a grid of u converge exponentially.
    """
    u = np.linspace(-4.5, 4.0, 100)[:, *(None,) * x.ndim]
    w = np.exp(u - np.exp(-u)) / (abs(a - x) + np.sqrt(a))
    dw = w * (1 + np.exp(-u)) * (8.5 / 99)
    s = np.where(x <= a, -1.0, 1.0)
    weights = np.exp(s * a * w - x * np.expm1(s * w)) * dw
    return s * (weights * (np.log(x) + s * w - leaf_of(a).digamma()._array)).sum(0)


class MultivariateNormal(Distribution):
    """The normal distribution of vectors: `loc` (..., n), and one of three matrices (..., n, n).

    `covariance_matrix`, its inverse `precision_matrix`, or `scale_tril`, the lower triangular L
    with covariance `L @ L.mT`. Raises `ValueError` for a covariance that is not symmetric and
    positive definite, or an L that is not lower triangular with a positive diagonal.

    >>> import tinygrad_fc as tg
    >>> MultivariateNormal(tg.zeros(2), tg.eye(2)).log_prob(tg.zeros(2))
    tensor(-1.8379)
    """

    arg_constraints: ClassVar = {
        "loc": constraints.real_vector,
        "scale_tril": constraints.lower_cholesky,
    }
    support, has_rsample = constraints.real_vector, True
    mean, mode = same("loc"), same("loc")
    variance = property(lambda self: (self.scale_tril**2).sum(-1))
    covariance_matrix = property(lambda self: self.scale_tril @ self.scale_tril.mT)
    precision_matrix = property(lambda self: equations.inv(self.covariance_matrix))

    def __init__(
        self,
        loc: Any,
        covariance_matrix: Any = None,
        precision_matrix: Any = None,
        scale_tril: Any = None,
        validate_args: bool | None = None,
    ) -> None:
        if sum(m is None for m in (covariance_matrix, precision_matrix, scale_tril)) != 2:
            raise ValueError("MultivariateNormal takes exactly one of three matrices")
        if validate_args is not None:
            self._validate_args = validate_args
        matrices = {"covariance_matrix": covariance_matrix, "precision_matrix": precision_matrix}
        for name, matrix in matrices.items():
            if matrix is not None:
                self._check(f"parameter {name}", matrix, constraints.symmetric)
        if precision_matrix is not None:
            covariance_matrix = equations.inv(precision_matrix)
        if scale_tril is None:
            scale_tril = linalg.cholesky(covariance_matrix)
        shape = np.broadcast_shapes(scale_tril.shape[:-1], loc.shape)
        self.loc, self.scale_tril = loc.expand(*shape), scale_tril.expand(*shape, shape[-1])
        super().__init__(shape[:-1], shape[-1:], validate_args)

    def rsample(self, sample_shape: Any = ()) -> Any:
        """Return `loc + L @ z` for standard normal z."""
        z = randn(self._extended_shape(sample_shape), dtype=self.loc.dtype)
        return self.loc + (self.scale_tril @ z[..., None])[..., 0]

    def _nats(self, *columns: Any) -> Any:
        """Return -log_prob at the mean, plus half the squared length of whitened columns."""
        n = np.arange(self.loc.shape[-1])
        squares = [(equations.solve(self.scale_tril, x) ** 2).sum((-2, -1)) for x in columns]
        constant = self.scale_tril[..., n, n].log().sum(-1) + len(n) * math.log(2 * math.pi) / 2
        return constant + sum(squares) / 2

    def _log_prob(self, value: Any) -> Any:
        return -self._nats((value - self.loc)[..., None])

    def _cross_entropy(self, q: Any) -> Any:
        return q._nats(self.scale_tril, (self.loc - q.loc)[..., None])


# Families with probabilities


class _Probabilities(Distribution):
    """Base of families with one of `probs` and `logits`: the other is computed when it is read.

    Both are (..., K), and normalised along the last axis, unless `_binary`. `_event_dim` is the
    number of axes of a sample.
    """

    arg_constraints: ClassVar = {"probs": constraints.simplex, "logits": constraints.real_vector}
    _binary, _event_dim = False, 0

    def __init__(self, probs: Any = None, logits: Any = None, validate_args: Any = None) -> None:
        if (probs is None) == (logits is None):
            raise ValueError("Either `probs` or `logits` must be specified, but not both.")
        (value,) = broadcast_all(logits if probs is None else probs)
        if not self._binary:
            value = value.log_softmax(-1) if probs is None else value / value.sum(-1, keepdim=True)
        vars(self)["logits" if probs is None else "probs"] = value
        batch, event = value.ndim - (not self._binary), value.ndim - self._event_dim
        super().__init__(value.shape[:batch], value.shape[event:], validate_args)

    @cached_property
    def probs(self) -> Any:
        """The probabilities."""
        with grad_mode.enable_grad():  # also if they are first read under no_grad()
            return self.logits.sigmoid() if self._binary else self.logits.softmax(-1)

    @cached_property
    def logits(self) -> Any:
        """The logits log(p / (1 - p)) of binary families, else log(p)."""
        with grad_mode.enable_grad():
            eps = float(np.finfo(self.probs.dtype).eps)
            p = self.probs.clamp(eps, 1 - eps)  # so that logits are finite
            return p.log() - (-p).log1p() if self._binary else p.log()


class Bernoulli(_Probabilities):
    """1 with probability `probs` = sigmoid(`logits`), else 0.

    >>> import tinygrad_fc as tg
    >>> Bernoulli(tg.tensor([0.25, 0.5])).log_prob(tg.ones(2)).exp()
    tensor([0.25, 0.5 ])
    """

    arg_constraints: ClassVar = {"probs": constraints.unit_interval, "logits": constraints.real}
    support, _binary = constraints.boolean, True
    mean = same("probs")
    mode = property(lambda self: (1.0 * (self.probs > 0.5)).where(self.probs != 0.5, math.nan))
    variance = property(lambda self: self.probs * (1 - self.probs))

    def sample(self, sample_shape: Any = ()) -> Any:
        """Return `sample_shape` draws."""
        probs = self.probs.detach()
        return (self._uniform(sample_shape, probs) < probs).to(probs.dtype)

    def _log_prob(self, value: Any) -> Any:
        logits, value = broadcast_all(self.logits, value)
        return -F.binary_cross_entropy_with_logits(logits, value, reduction="none")

    def _cross_entropy(self, q: Any) -> Any:
        impossible = ((q.probs == 0) & (self.probs > 0)) | ((q.probs == 1) & (self.probs < 1))
        return (-q._log_prob(self.probs)).masked_fill(impossible, math.inf)


class Categorical(_Probabilities):
    """k with probability `probs[..., k]`, of shape (..., K), normalised; or by `logits`.

    >>> import tinygrad_fc as tg
    >>> Categorical(tg.tensor([1.0, 3.0])).probs
    tensor([0.25, 0.75])
    """

    mean = variance = property(lambda self: self.probs[..., 0] * math.nan)  # without an order
    mode = property(lambda self: self.probs.argmax(-1))
    _num_events = property(lambda self: self.probs.shape[-1])
    support = property(lambda self: constraints.integer_interval(0, self._num_events - 1))

    def sample(self, sample_shape: Any = ()) -> Any:
        """Return `sample_shape` draws, of dtype int64."""
        rows = self.probs.detach().reshape(-1, self._num_events)
        drawn = rows.multinomial(math.prod(sample_shape), replacement=True)
        return drawn.T.reshape(self._extended_shape(sample_shape))

    def _log_prob(self, value: Any) -> Any:
        shape = np.broadcast_shapes(value.shape, self.batch_shape)
        at = value.long().expand(*shape)[..., None]
        return self.logits.expand(*shape, -1).gather(-1, at)[..., 0]

    def entropy(self) -> Any:
        """Return the expectation of -log_prob, in nats; where a probability is 0, as in PyTorch."""
        least = float(np.finfo(self.logits.dtype).min)
        return -(self.logits.clamp(min=least) * self.probs).sum(-1)

    def _cross_entropy(self, q: Any) -> Any:
        terms = (-self.probs * q.logits).masked_fill(q.probs == 0, math.inf)
        return terms.masked_fill(self.probs == 0, 0.0).sum(-1)


class RelaxedOneHotCategorical(_Probabilities):
    """Points of the simplex (..., K), near its corners for a low `temperature`.

    `probs` and `logits` are those of `Categorical`. Maddison et al., "The concrete distribution",
    2017, formula (10).

    >>> import tinygrad_fc as tg
    >>> RelaxedOneHotCategorical(0.5, logits=tg.zeros(3)).rsample().sum()
    tensor(1.)
    """

    support, has_rsample, _event_dim = constraints.simplex, True, 1

    def __init__(
        self, temperature: Any, probs: Any = None, logits: Any = None, validate_args: Any = None
    ) -> None:
        self.temperature = temperature
        super().__init__(probs, logits, validate_args)

    def rsample(self, sample_shape: Any = ()) -> Any:
        """Return softmax((logits + g) / temperature) for Gumbel variables g."""
        gumbel = -(-self._uniform(sample_shape, self.logits).log()).log()
        return ((self.logits + gumbel) / self.temperature).softmax(-1)

    def _log_prob(self, value: Any) -> Any:
        t, k = broadcast_all(self.temperature, self.logits)[0], self.event_shape[0]
        score = (self.logits - t * value.log()).log_softmax(-1) - value.log()
        return score.sum(-1) + (k - 1) * t[..., 0].log() + math.lgamma(k)
