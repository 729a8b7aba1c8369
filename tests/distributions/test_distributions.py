"""Distributions: densities, samples and their gradients, shapes, checks, and divergences."""

import math
from typing import Any

import numpy as np
import pytest
from drawing import close
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats
from tinygrad_fc.distributions.kl import kl_divergence
from tinygrad_fc.distributions.normal import Normal

import tinygrad_fc as tg
from tinygrad_fc import distributions as d
from tinygrad_fc.distributions import families
from tinygrad_fc.random import drawing_from

# A distribution of numbers with two parameters, and the same of SciPy; tests/parity compares all
# densities and moments with PyTorch's.
PAIRS: dict[str, tuple[Any, Any]] = {
    "normal": (d.Normal, stats.norm),
    "gumbel": (d.Gumbel, stats.gumbel_r),
    "uniform": (lambda a, s: d.Uniform(a, a + s), stats.uniform),
    "beta": (
        lambda a, s: d.Beta(a.exp() + 0.5, s + 0.5),
        lambda a, s: stats.beta(np.exp(a) + 0.5, s + 0.5),
    ),
    "log_normal": (d.LogNormal, lambda a, s: stats.lognorm(s, scale=np.exp(a))),
    "squashed": (
        lambda a, s: d.TransformedDistribution(d.Normal(a, s), [d.SigmoidTransform(cache_size=1)]),
        None,
    ),
}


@pytest.mark.parametrize("name", [name for name in PAIRS if PAIRS[name][1]])
@pytest.mark.parametrize(("a", "s"), [(0.3, 0.8), (-1.5, 2.5)])
def test_samples_pass_kolmogorov_smirnov(name: str, a: float, s: float) -> None:
    make, same = PAIRS[name]
    with drawing_from(tg.Generator().manual_seed(5)):
        sample = make(tg.tensor(a), tg.tensor(s)).sample((20000,)).numpy()
    assert stats.kstest(sample, same(a, s).cdf).pvalue > 1e-3


@pytest.mark.parametrize("concentration", [1e-3, 0.2, 1.0, 40.0])
def test_samples_of_small_and_large_concentrations(concentration: float) -> None:
    with drawing_from(tg.Generator().manual_seed(3)):
        sample = d.Beta(tg.tensor(concentration), 0.5).sample((20000,)).numpy()
    assert ((sample > 0) & (sample < 1)).all()
    inside = sample[(sample > 1e-290) & (sample < 1 - 1e-14)]
    ends = stats.beta(concentration, 0.5)
    assert abs(inside.size / sample.size - (ends.cdf(1 - 1e-14) - ends.cdf(1e-290))) < 0.01
    assert abs((sample < 0.3).mean() - ends.cdf(0.3)) < 0.02


def test_frequencies_of_discrete_samples() -> None:
    probs = tg.tensor([[0.1, 0.2, 0.7], [0.5, 0.5, 0.0]])
    with drawing_from(tg.Generator().manual_seed(1)):
        drawn = d.Categorical(probs).sample((20000,))
        flips = d.Bernoulli(probs).sample((20000,))
        relaxed = d.RelaxedOneHotCategorical(0.1, probs).rsample((20000,)).argmax(-1)
    for sample in (drawn, relaxed):
        counts = tg.stack([(sample == k).double().mean(0) for k in range(3)], -1)
        close(counts.numpy(), probs.numpy(), tolerance=0.02)
    close(flips.mean(0).numpy(), probs.numpy(), tolerance=0.02)
    with drawing_from(tg.Generator().manual_seed(2)):
        matrix = tg.tensor([[1.0, 0.6], [0.6, 2.0]])
        x = d.MultivariateNormal(tg.tensor([0.5, -1.0]), matrix).sample((20000,)).numpy()
    close(np.cov(x.T), matrix.numpy(), tolerance=0.06)


# Gradients of samples


@pytest.mark.parametrize("name", [*sorted(PAIRS.keys() - {"beta"}), "mvn", "relaxed"])
def test_rsample_has_the_gradient_of_its_reparameterisation(name: str) -> None:
    def sample(a: Any, s: Any) -> Any:
        with drawing_from(tg.Generator().manual_seed(7)):
            if name == "mvn":
                loc = tg.stack([a, a * 2])
                return d.MultivariateNormal(loc, scale_tril=tg.eye(2) * s).rsample((5,))
            if name == "relaxed":
                return d.RelaxedOneHotCategorical(s, logits=tg.stack([a, -a])).rsample((5,))
            return PAIRS[name][0](a, s).rsample((5,))

    assert tg.autograd.gradcheck(
        sample, (tg.tensor(0.3, requires_grad=True), tg.tensor(0.8, requires_grad=True))
    )


@given(st.floats(1, 1e4), st.floats(1e-6, 1 - 1e-6))
def test_the_gradient_of_a_gamma_variable_is_that_of_its_quantile(a: float, p: float) -> None:
    x = special.gammaincinv(a, p)
    h = 1e-4 * a
    offsets, weights = np.array([-2, -1, 1, 2]), np.array([1, -8, 8, -1]) / 12
    expected = (weights * np.log(special.gammaincinv(a + h * offsets, p))).sum() / h
    assert abs(families._log_gamma_slope(np.array(x), np.array(a)) / expected - 1) < 1e-5


def test_gradients_of_beta_variables_average_to_those_of_expectations() -> None:
    a, b = tg.tensor([0.4, 3.0], requires_grad=True), tg.tensor([2.0, 0.7], requires_grad=True)
    with drawing_from(tg.Generator().manual_seed(11)):
        x = d.Beta(a, b).rsample((40000,))
    for power in (1, 2):
        slopes = tg.autograd.grad((x**power).mean(0).sum(), (a, b), retain_graph=True)
        moment = a / (a + b) * (1 if power == 1 else (a + 1) / (a + b + 1))
        expected = tg.autograd.grad(moment.sum(), (a, b))
        for g, e in zip(slopes, expected, strict=True):
            close(g.numpy(), e.numpy(), tolerance=0.05)


def test_sample_records_nothing_and_rsample_does() -> None:
    loc = tg.zeros(3, requires_grad=True)
    normal, relaxed = d.Normal(loc, 1.0), d.RelaxedOneHotCategorical(1.0, logits=loc)
    for distribution in (normal, d.Independent(normal, 1), d.LogNormal(loc, 1.0), relaxed):
        assert distribution.has_rsample
        assert distribution.rsample().requires_grad
        assert not distribution.sample().requires_grad
    categorical = d.Categorical(logits=loc)
    assert not categorical.has_rsample
    with tg.no_grad():
        assert categorical.probs.requires_grad  # though read first under no_grad
    with pytest.raises(NotImplementedError, match="Categorical has no rsample"):
        categorical.rsample()


# Shapes and checks


@given(
    st.lists(st.integers(1, 3), max_size=2).map(tuple),
    st.lists(st.integers(1, 3), max_size=2).map(tuple),
    st.lists(st.integers(1, 3), max_size=2).map(tuple),
)
@settings(max_examples=20)
def test_shapes(sample: Any, batch: Any, more: Any) -> None:
    ones = tg.ones(*batch)
    vector = tg.ones(*batch, 3)
    tanh = d.TransformedDistribution(
        d.Normal(0.0, 1.0), [d.AffineTransform(ones, 2.0), d.TanhTransform()]
    )
    for distribution, event in (
        (d.Normal(ones, 1.0), ()),
        (d.Beta(1.0, ones), ()),
        (d.Bernoulli(ones / 2), ()),
        (d.Categorical(vector), ()),
        (d.MultivariateNormal(vector, tg.eye(3)), (3,)),
        (d.Independent(d.Normal(vector, 1.0), 1), (3,)),
        (d.Independent(d.Bernoulli(vector / 2), 1), (3,)),
        (d.RelaxedOneHotCategorical(1.0, vector), (3,)),
        (tanh, ()),
        (d.LogNormal(ones, 1.0), ()),
    ):
        expanded = distribution.expand((*more, *batch))
        for law, shape in ((distribution, batch), (expanded, (*more, *batch))):
            assert (law.batch_shape, law.event_shape) == (shape, event)
            x = law.sample(sample)
            assert x.shape == (*sample, *shape, *event)
            assert law.log_prob(x).shape == (*sample, *shape)
        assert type(expanded) is type(distribution)
        if not isinstance(distribution, d.RelaxedOneHotCategorical | d.TransformedDistribution):
            assert expanded.entropy().shape == (*more, *batch)
            assert expanded.mean.shape == (*more, *batch, *event)


X = tg.tensor([0.5, -1.0])
SKEW = tg.tensor([[2.0, 1.0], [0.0, 2.0]])


INVALID: list[Any] = [
    (lambda: d.Normal(0.0, -1.0), r"parameter scale .* GreaterThan\(lower_bound=0.0\)"),
    (lambda: d.Normal(math.nan, 1.0), r"parameter loc .* Real\(\)"),
    (lambda: d.Uniform(1.0, 1.0), "parameter high"),
    (lambda: d.Bernoulli(1.5), "parameter probs .* Interval"),
    (d.Bernoulli, "Either `probs` or `logits`"),
    (lambda: d.Categorical(X), r"parameter probs .* Simplex\(\)"),
    (lambda: d.MultivariateNormal(X), "exactly one of three matrices"),
    (lambda: d.MultivariateNormal(X, -tg.eye(2)), "not positive definite"),
    (lambda: d.MultivariateNormal(X, SKEW), "(?s)covariance_matrix .* Symmetric"),
    (lambda: d.MultivariateNormal(X, None, SKEW), "(?s)precision_matrix .* Symmetric"),
    (lambda: d.MultivariateNormal(X, scale_tril=SKEW), "(?s)scale_tril .* LowerCholesky"),
    (lambda: d.MultivariateNormal(X, scale_tril=-tg.eye(2)), "(?s)scale_tril .* LowerCholesky"),
    (lambda: d.Independent(d.Normal(0.0, 1.0), 1), "expected more axes"),
    (lambda: d.Normal(0.0, 1.0).log_prob(1.0), "must be a Tensor"),
    (lambda: d.Uniform(0.0, 1.0).log_prob(X), "value argument"),
    (lambda: d.Categorical(X**2).log_prob(tg.tensor(2)), "IntegerInterval"),
    (lambda: d.Normal(X, 1.0).log_prob(tg.zeros(3)), "broadcast"),
    (lambda: d.MultivariateNormal(X, tg.eye(2)).log_prob(X[:1]), r"event_shape=Size\(\[2\]\)"),
]


@pytest.mark.parametrize(("call", "text"), INVALID)
def test_arguments_are_checked(call: Any, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        call()


def test_checks_may_be_skipped() -> None:
    assert d.Uniform(0.0, 1.0, validate_args=False).log_prob(tg.tensor(2.0)).item() == -math.inf
    d.Distribution.set_default_validate_args(False)
    try:
        d.Normal(0.0, -1.0)
    finally:
        d.Distribution.set_default_validate_args(True)
    with pytest.raises(ValueError, match="scale"):
        d.Normal(0.0, -1.0)


def test_paths_and_text() -> None:
    assert Normal is d.Normal is tg.distributions.normal.Normal
    assert repr(Normal(0.0, tg.ones(3))) == "Normal(loc: (3,), scale: (3,))"
    assert repr(Normal(0.5, 2.0)) == "Normal(loc: 0.5, scale: 2.0)"


# Divergences; tests/parity compares those of the pairs with PyTorch's


def test_divergences_of_others() -> None:
    p, q = tg.tensor([0.0, 0.4, 0.6]), tg.tensor([0.2, 0.3, 0.5])
    assert kl_divergence(d.Categorical(q), d.Categorical(p)).item() == math.inf
    assert kl_divergence(d.Bernoulli(q), d.Bernoulli(p))[0].item() == math.inf
    normal, other = d.Normal(tg.zeros(2), 1.0), d.Uniform(tg.zeros(2), 1.0)
    for laws in ((normal, other), (d.Independent(normal, 1), d.Independent(other, 1))):
        with pytest.raises(NotImplementedError, match="no formula of KL for Normal and Uniform"):
            kl_divergence(*laws)


def test_the_entropy_of_a_category_of_probability_0_has_a_gradient() -> None:
    p = tg.tensor([0.0, 0.5, 0.5], requires_grad=True)
    d.Categorical(p).entropy().backward()
    assert p.grad[0] > 36  # -log(eps), as in PyTorch
    assert p.grad[1:].tolist() == [0.0, 0.0]


# Transforms


@pytest.mark.parametrize(
    "transform",
    [d.AffineTransform(1.0, -2.0), d.ExpTransform(), d.SigmoidTransform(), d.TanhTransform()],
)
@given(st.floats(-3, 3))
def test_transforms_have_inverses_and_derivatives(transform: Any, at: float) -> None:
    x = tg.tensor([at], requires_grad=True)
    y = transform(x)
    close(transform.inv(y).detach().numpy(), x.detach().numpy(), tolerance=1e-10)
    (slope,) = tg.autograd.grad(y.sum(), x)
    derivative = transform.log_abs_det_jacobian(x, y)
    close(derivative.detach().numpy(), slope.abs().log().numpy(), tolerance=1e-9)
    back = transform.inv
    close(back.inv(x).detach().numpy(), y.detach().numpy(), tolerance=1e-12)
    close(-back.log_abs_det_jacobian(y, x).detach().numpy(), derivative.detach().numpy())
    assert bool(transform.codomain.check(y).all())


def test_a_cached_transform_inverts_its_last_value_exactly() -> None:
    squashed = d.TransformedDistribution(d.Normal(0.0, 1.0), [d.TanhTransform(cache_size=1)])
    x = tg.tensor([20.0])  # tanh(20) is 1 in float64
    y = squashed.transforms[0](x)
    assert squashed.transforms[0].inv(y) is x
    expected = -200 - 0.5 * math.log(2 * math.pi) - 2 * (math.log(2) - 20)
    assert abs(squashed.log_prob(y).item() - expected) < 1e-9
