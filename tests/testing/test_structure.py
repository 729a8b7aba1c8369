"""Structured inputs, constraints, arguments without gradient, modules, forward mode, state."""

import re
import zlib
from typing import Any

import numpy as np
import pytest
from gradient_collection.case import column, like
from gradient_collection.formulas import hot
from gradient_collection.projects import at
from hypothesis import given, settings

import tinygrad_fc as tg
from tinygrad_fc import domain as d
from tinygrad_fc import nn, testing
from tinygrad_fc.domain import index, interval, real
from tinygrad_fc.testing import GradientError, NothingCheckedError, check, check_jvp, check_vjp

from .pasting import pasted

FEW: Any = {"max_examples": 12, "seed": 0}


# Structured domains

STRUCTURES: dict[str, tuple[Any, Any]] = {
    "symmetric": (d.symmetric("n", "n"), lambda a: a == a.T),
    "positive definite": (d.positive_definite("n", "n"), lambda a: np.linalg.eigvalsh(a) > 0.4),
    "orthogonal": (d.orthogonal("n", "n"), lambda a: np.isclose(a @ a.T, np.eye(len(a)))),
    "lower triangular": (d.lower_triangular("n", "n"), lambda a: a == np.tril(a)),
    "simplex": (d.simplex("n>=1"), lambda a: (a > 0) & np.isclose(a.sum(), 1)),
    "increasing": (d.increasing("n"), lambda a: np.diff(a) > 0.2),
    "unit vectors": (d.unit_vectors("n>=1"), lambda a: np.isclose((a * a).sum(), 1)),
}


@pytest.mark.parametrize("name", STRUCTURES)
def test_arrays_have_their_structure_wherever_the_function_is_called_first(name: str) -> None:
    domain, holds = STRUCTURES[name]

    @settings(max_examples=10)
    @given(testing.inputs(domain))
    def drawn(arrays: Any) -> None:
        assert np.all(holds(arrays[0]))

    drawn()

    def where(a: Any) -> bool:
        assert np.all(holds(a.astype(float))), a
        return True

    assert check_vjp(lambda a: a * 3, lambda g, o, a: 3 * g, domain, where=where, **FEW).compared


def test_gradients_are_compared_along_directions_that_stay_in_the_structure() -> None:
    entropy = lambda p: -(p * np.log(p)).sum()  # noqa: E731
    for shift in (0, 1, 7):  # what is normal to the simplex is no error
        assert check_vjp(entropy, lambda g, o, p, s=shift: -g * (np.log(p) + s), d.simplex, **FEW)
    wrong = lambda g, out, p: -g * np.log(p) * p  # noqa: E731
    error, _ = pasted(lambda: check_vjp(entropy, wrong, d.simplex, **FEW), f=entropy, vjp=wrong)
    assert re.search("derivative of .* along one direction", str(error))


def test_log_determinants_need_more_than_the_diagonal() -> None:
    logdet = lambda a: like(a, np.linalg.slogdet(a)[1])  # noqa: E731
    domain = d.positive_definite("n", "n")
    assert check_vjp(logdet, lambda g, o, a: like(a, g * np.linalg.inv(a)), domain, **FEW).compared
    with pytest.raises(GradientError):
        check_vjp(logdet, lambda g, o, a: like(a, g * np.diag(1 / np.diag(a))), domain, **FEW)


def test_second_derivatives_of_structured_inputs() -> None:
    assert check(lambda p: (p * p.log()).sum(), d.simplex("n>=1"), **FEW).compared
    with pytest.raises(GradientError):
        check(lambda p: (p.detach() * p).sum(), d.simplex("n>=2"), **FEW)


def test_one_argument_may_depend_on_another() -> None:
    between = lambda low, width: (low, low + width * width + 0.25)  # noqa: E731

    def f(low: Any, high: Any) -> Any:
        assert (low < high).all()
        return np.log(high - low)

    def vjp(g: Any, out: Any, low: Any, _high: Any) -> Any:
        return -g * np.exp(-out) * np.ones_like(low), g * np.exp(-out)

    both = interval(-4, 4)("n"), interval(-4, 4)("n")
    assert check_vjp(f, vjp, *both, map=between, dtypes=np.float64, **FEW).compared
    with pytest.raises(GradientError, match="the same check with seed=0 finds it again"):
        check_vjp(f, lambda *a: (vjp(*a)[1], vjp(*a)[1]), *both, map=between, **FEW)
    with pytest.raises(ValueError, match="map= returned 1 arrays; expected 2"):
        check_vjp(f, vjp, *both, map=lambda x, y: (x,), **FEW)


def test_low_acceptance_is_reported_with_shapes() -> None:
    with pytest.warns(UserWarning, match=r"where= refused \d+ of .*shape.* Draw arrays that meet"):
        check_vjp(
            lambda a: a * 2.0,
            lambda g, out, a: 2 * g,
            real("n", "n"),
            where=lambda a: zlib.crc32(a.tobytes()) % 16 == 0,  # about one input in 16
            max_examples=30,
            seed=0,
        )
    with pytest.raises(NothingCheckedError, match="refused all but single numbers"):
        check_vjp(np.sin, lambda g, o, a: g, real("n"), where=lambda a: a.size == 0, **FEW)


# Arguments without gradient


def test_constants_have_no_gradient() -> None:
    vjp = lambda g, out, x, y: (g * y, None)  # noqa: E731
    pair = real("n"), d.constant(real("n"))
    assert check_vjp(np.multiply, vjp, *pair, **FEW).compared
    with pytest.raises(GradientError):
        check_vjp(np.multiply, vjp, real("n"), real("n"), **FEW)
    assert repr(pair[1]) == "constant(real('n'))"
    assert check(lambda x, y: x * y, *pair, **FEW).compared  # second derivatives, too
    line = r"check_vjp\(np.multiply, vjp, .*domains=\(real, constant\(real\),\)"
    with pytest.raises(GradientError, match=line):
        check_vjp(np.multiply, lambda g, o, x, y: (g * x, None), *pair, **FEW)


# Modules


class Scaled(nn.Module):
    """A linear layer and a scale, one of which may be cut off."""

    def __init__(self, cut: str = "") -> None:
        super().__init__()
        self.inner = nn.Linear(3, 2)
        self.scale = nn.Parameter(tg.tensor(1.5))
        self.cut = cut
        self.register_buffer("factor", tg.ones(3))  # of the dtype of the example

    def forward(self, x: Any) -> Any:
        x = x * self.factor
        scale = self.scale.detach() if self.cut == "scale" else self.scale
        return (self.inner(x) * scale).tanh()


def test_parameters_of_modules_are_checked() -> None:
    report = check(Scaled(), interval(-2, 2)("n", 3), **FEW)
    assert "Parameters checked too: scale, inner.weight, inner.bias" in str(report)
    cut = Scaled("scale")
    error, line = pasted(lambda: check(cut, interval(-2, 2)("n", 3), **FEW), model=cut)
    assert "argument 1 (scale)" in str(error)
    assert "settings={'scale': " in line
    assert check(Scaled(), np.ones((2, 3))).compared
    assert check(Scaled(), np.ones((2, 3)), dtypes=np.float32).compared
    with pytest.raises(GradientError):
        check(Scaled("scale"), np.ones((2, 3)))


# Forward mode


def test_derivatives_along_tangents() -> None:
    pair = real("n"), interval(0.25, 4)("n")

    jvp = lambda t, out, x, y: (t[0] - t[1] * out) / y  # noqa: E731
    assert check_jvp(np.divide, jvp, *pair, **FEW).compared
    wrong: dict[str, Any] = {
        "value": lambda t, out, x, y: (t[0] + t[1] * out) / y,
        "nonlinear": lambda t, out, x, y: (t[0] - abs(t[1]) * out) / y,
        "dtype": lambda *args: jvp(*args).astype(np.float32),
        "shape": lambda *args: jvp(*args)[None],
    }
    for kind, rule in wrong.items():
        message = rf"(?s)^\[{kind}\].*reproduce: check_jvp\(np.divide, "
        with pytest.raises(GradientError, match=message):
            check_jvp(np.divide, rule, *pair, **FEW)
    assert check_jvp(np.sin, lambda t, out, x: t * np.cos(x), interval(-8, 8), **FEW).compared
    with pytest.raises(NothingCheckedError):
        check_jvp(lambda x: x * np.nan, lambda t, out, x: t, real, **FEW)


# State


def test_a_cache_with_one_argument_for_a_key_is_named_as_state() -> None:
    cache: dict[Any, Any] = {}

    def vjp(g: Any, _out: Any, x: Any, y: Any) -> Any:
        slopes = np.cos(x) * y, np.sin(x)
        return tuple(g * a for a in cache.setdefault((x.dtype, x.tobytes()), slopes))

    f = lambda x, y: np.sin(x) * y  # noqa: E731
    domains = interval(-4, 4)("n"), interval(-4, 4)("n")
    for act in (dict, cache.clear):
        error, _ = pasted(lambda: check_vjp(f, vjp, *domains, **FEW), before=act, f=f, vjp=vjp)
        assert error.kind == "nondeterministic"
        assert "an earlier call with the same argument 0" in str(error)
        cache.clear()


def test_labels_beside_structured_rows() -> None:
    f = lambda p, t: -np.log(at(p, t))  # noqa: E731
    vjp = lambda g, out, p, t: (-column(g / at(p, t)) * hot(p, t), None)  # noqa: E731
    domains = d.simplex("n", "c>=2"), index("c", negative=False)("n")
    assert check_vjp(f, vjp, *domains, **FEW).compared
    positive_rows = d.positive("n", "c>=2"), domains[1]
    cache: dict[Any, Any] = {}

    def cached(g: Any, out: Any, p: Any, t: Any) -> Any:
        slopes = cache.setdefault((p.dtype, p.shape, t.tobytes()), vjp(g / g, out, p, t)[0])
        return slopes * g[:, None], None

    check_cached = lambda: check_vjp(f, cached, *positive_rows, **FEW)  # noqa: E731
    error, _ = pasted(check_cached, before=cache.clear, f=f, cached=cached)
    assert re.search(r"an earlier call with the same arg.* 1", str(error))
