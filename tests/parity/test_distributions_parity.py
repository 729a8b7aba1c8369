"""Distributions with the same parameters have the same shapes, values and divergences."""

from typing import Any

import numpy as np
import pytest
from against_torch import compare_programs
from drawing import seeds
from hypothesis import given, settings

torch = pytest.importorskip("torch")


def transformed(d: Any, base: Any, *transforms: Any) -> Any:
    return d.TransformedDistribution(base, list(transforms))


# From positive numbers x and y (2, 3), and p (2, 3) in (0, 1), to a distribution and a value.
FAMILIES: dict[str, Any] = {
    "normal": lambda d, x, y, p: (d.Normal(p, x), y),
    "uniform": lambda d, x, y, p: (d.Uniform(-x, x + y), p * x),
    "gumbel": lambda d, x, y, p: (d.Gumbel(p, x), y),
    "beta": lambda d, x, y, p: (d.Beta(x, y), p),
    "bernoulli": lambda d, x, y, p: (d.Bernoulli(p), (y > 1).double()),
    "bernoulli by logits": lambda d, x, y, p: (d.Bernoulli(logits=y.log()), (y > 1).double()),
    "categorical": lambda d, x, y, p: (d.Categorical(p), (y > 1)[:, 0].long()),
    "by logits": lambda d, x, y, p: (d.Categorical(logits=y.log()), (y > 1)[:, 0].long()),
    "relaxed": lambda d, x, y, p: (d.RelaxedOneHotCategorical(x[0, 0], logits=y), p.softmax(-1)),
    "log normal": lambda d, x, y, p: (d.LogNormal(p, x), y),
    "independent": lambda d, x, y, p: (d.Independent(d.Normal(p, x), 1), y),
    "vectors": lambda d, x, y, p: (d.MultivariateNormal(p, x.T @ x + x[0].diag()), y),
    "factor": lambda d, x, y, p: (d.MultivariateNormal(p, scale_tril=(x.T @ y).tril()), y),
    "precision": lambda d, x, y, p: (d.MultivariateNormal(p, None, x.T @ x + x[0].diag()), y),
    "squashed": lambda d, x, y, p: (
        transformed(d, d.Normal(p, x), d.AffineTransform(1.0, -2.0), d.TanhTransform()), p
    ),
    "inverse": lambda d, x, y, p: (
        transformed(d, d.Uniform(0.0, 1.0), d.SigmoidTransform().inv, d.AffineTransform(x, y)), p
    ),
    "events": lambda d, x, y, p: (
        transformed(d, d.Normal(p, x), d.AffineTransform(x, y, 1), d.TanhTransform()), p
    ),
}  # fmt: skip
BOUNDS = ((0.2, 3), (0.2, 3), (0.05, 0.95))  # of x, y and p
LACKING = {"relaxed", "squashed", "inverse", "events"}  # moments
CUMULATIVE = {"normal", "uniform", "gumbel", "log normal", "squashed", "inverse"}


@pytest.mark.parametrize("name", FAMILIES)
@given(seeds)
@settings(max_examples=5)
def test_families(name: str, seed: int) -> None:
    def program(tg: Any, x: Any, y: Any, p: Any) -> Any:
        for t in (x, y, p):
            t.requires_grad_()
        law, value = FAMILIES[name](tg.distributions, x, y, p)
        log_prob = law.log_prob(value)
        results = [log_prob]
        if name in CUMULATIVE:
            results += [law.cdf(value), law.icdf(p * 0.5 if name == "inverse" else p)]
        slopes = [
            tg.autograd.grad(r.sum(), (x, y, p), retain_graph=True, allow_unused=True)
            for r in results
        ]
        wide = law.expand((4, *law.batch_shape))
        sample = law.sample((5,))
        moments = [law.mean, law.stddev, law.variance, law.entropy()] if name not in LACKING else 0
        kinds = [t.dtype == x.dtype for t in (sample, log_prob)]
        shapes = [
            tuple(s) for s in (law.batch_shape, law.event_shape, wide.batch_shape, sample.shape)
        ]
        return results, slopes, moments, kinds, shapes, wide.log_prob(value)

    rng = np.random.default_rng(seed)
    compare_programs(program, *(rng.uniform(*b, (2, 3)) for b in BOUNDS))


@pytest.mark.parametrize("name", sorted(FAMILIES.keys() - LACKING))
@given(seeds)
@settings(max_examples=5)
def test_divergences(name: str, seed: int) -> None:
    def program(tg: Any, *arrays: Any) -> Any:
        d = tg.distributions
        p, q = (FAMILIES[name](d, *arrays[k : k + 3])[0] for k in (0, 3))
        return d.kl_divergence(p, q), d.kl.kl_divergence(q, p)

    rng = np.random.default_rng(seed)
    compare_programs(program, *(rng.uniform(*b, (2, 3)) for b in BOUNDS * 2))


def test_own_formulas_of_divergences() -> None:
    def program(tg: Any, x: Any) -> Any:
        d = tg.distributions

        class Own(d.Normal):  # type: ignore[misc]
            pass

        register = d.kl.register_kl
        register(Own, d.Normal)(lambda p, q: p.loc * 2 + q.loc)
        register(d.Gumbel, Own)(lambda p, q: p.loc * 3 + q.loc)
        own, plain, gumbel = Own(x, 1.0), d.Normal(x + 1, 2.0), d.Gumbel(x, 1.0)
        pairs = ((own, plain), (own, own), (plain, own), (gumbel, own))
        return [d.kl_divergence(p, q) for p, q in pairs]

    compare_programs(program, np.arange(3.0))
