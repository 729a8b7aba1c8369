"""What the kit's checks return and refuse, and how they are asked; texts of failures are apart."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

import tinygrad_fc as tg
from tinygrad_fc import nn
from tinygrad_fc.testing import (
    GradientError,
    NothingToldError,
    Report,
    apart,
    arrays,
    boolean,
    check,
    check_op,
    check_vjp,
    derivatives,
    index,
    interval,
    networks,
    nonzero,
    positive,
    real,
    tensors,
)


def cosine(g: Any, _out: Any, x: Any) -> Any:
    return g * np.cos(x)


# What passes, and what is reported


def test_a_report_says_what_was_seen() -> None:
    report = check_vjp(np.sin, cosine, real, max_examples=30)
    assert isinstance(report, Report)
    assert report.examples == 30
    assert report.compared > 30
    assert report.undecided * 8 < report.compared
    assert str(report._replace(undecided=0, kinks=1)) == (
        f"30 examples: {report.compared} slopes compared, 0 undecided, 1 at kinks"
    )


def test_kinks_are_counted_and_staircases_are_undecided() -> None:
    assert check(tg.relu, real, max_examples=30).kinks
    report = check_vjp(np.floor, lambda g, out, x: 0 * g, real, max_examples=30)
    assert report.undecided
    text = str(report._replace(compared=1, undecided=2))
    assert "More are undecided than compared" in text


def test_functions_of_tensors_with_several_results_and_arguments() -> None:
    def f(x: Any, w: Any, i: Any) -> Any:
        return (x @ w).tanh(), w[i], x > 0

    assert check(f, real("b", "n"), real("n", "m"), index("n")("k"), max_examples=20).compared


@pytest.mark.parametrize("domain", [positive, nonzero, interval(-1, 1), apart, real("n", 2)])
def test_words_are_kept(domain: Any) -> None:
    def f(x: Any) -> Any:
        assert ((x > domain.low) & (x < domain.high)).all()
        return x * 2.0

    assert check_vjp(f, lambda g, out, x: 2 * g, domain, max_examples=30).examples == 30


def test_conditions_are_kept_wherever_the_function_is_called_first() -> None:
    def well(a: Any) -> bool:
        return bool(a.size == 0 or (np.linalg.cond(a) < 50).all())

    def pulled(g: Any, out: Any, _a: Any) -> Any:
        turned = out.swapaxes(-1, -2)
        return -turned @ g @ turned

    assert check_vjp(np.linalg.inv, pulled, real("n", "n"), where=well, max_examples=30).compared
    inside = real("n", "n", where=well)
    assert check_vjp(np.linalg.inv, pulled, inside, max_examples=30).compared


def test_signatures_give_shapes_and_batches_where_the_function_takes_them() -> None:
    seen = set()

    def f(a: Any, b: Any) -> Any:
        seen.add((a.ndim, b.ndim))
        return (a @ b[..., None])[..., 0]

    def pulled(g: Any, _out: Any, a: Any, b: Any) -> Any:
        whole = g[..., None] * b[..., None, :], (g[..., None] * a).sum(-2)
        return tuple(_fit(x, s) for x, s in zip((a, b), whole, strict=True))

    check_vjp(f, pulled, real, real, sig="(n,m),(m)->(n)", max_examples=200)
    assert {(2, 1), (3, 2)} <= seen
    assert any(b != a - 1 for a, b in seen)
    seen.clear()
    check(lambda a, b: (a * b).sum(), real, real, sig="(n),(n)->()", max_examples=10)


def _fit(x: Any, g: Any) -> Any:
    g = g.sum(tuple(range(g.ndim - x.ndim)))
    axes = tuple(k for k in range(x.ndim) if x.shape[k] == 1 != g.shape[k])
    return np.asarray(g.sum(axes, keepdims=True)).astype(x.dtype)


def test_accuracy_is_the_users_demand() -> None:
    def off(g: Any, out: Any, _x: Any) -> Any:
        return g * out * (1 + 1e-10)

    assert check_vjp(np.exp, off, interval(-2, 2), max_examples=20)
    assert check_vjp(np.exp, lambda g, out, x: g * out, interval(-2, 2), accuracy="full")
    with pytest.raises(GradientError) as caught:
        check_vjp(np.exp, off, interval(-2, 2), accuracy="full")
    assert caught.value.kind == "imprecise"

    def worse(g: Any, out: Any, x: Any) -> Any:
        return (g * out * 1.001).astype(x.dtype)

    double: Any = {"dtypes": (np.float64,)}
    assert check_vjp(np.exp, worse, interval(-2, 2), accuracy=0.01, max_examples=20, **double)
    with pytest.raises(GradientError):
        check_vjp(np.exp, worse, interval(-2, 2), **double)


def test_noise_of_the_function_is_allowed_for_where_it_is_told() -> None:
    def rough(x: Any) -> Any:
        return np.float32(np.sin(x)).astype(x.dtype)

    report = check_vjp(rough, cosine, real, noise=1e-7, dtypes=(np.float64,), max_examples=40)
    assert report.compared


def test_kinks_may_be_skipped_or_forbidden() -> None:
    def illegal(g: Any, _out: Any, x: Any) -> Any:
        return g * np.where(x == 0, 3, np.sign(x)).astype(x.dtype)

    with pytest.raises(GradientError) as caught:
        check_vjp(np.abs, illegal, real)
    assert caught.value.kind == "kink"
    with pytest.raises(GradientError, match="kinks='forbid' asks for none"):
        check(tg.relu, real, kinks="forbid")
    assert check_vjp(np.abs, illegal, real, kinks="skip", max_examples=30).compared


def test_float32_alone() -> None:
    only: Any = {"dtypes": (np.float32,)}
    assert check_vjp(np.sin, cosine, real, max_examples=20, **only).compared
    with pytest.raises(GradientError):
        check_vjp(np.sin, lambda g, out, x: g * np.sin(x), real, **only)


@derivatives(real("batch", 3), interval(0.5, 2), max_examples=20)
def test_derivatives_makes_a_test(x: Any, scale: Any) -> Any:
    return (x * scale).tanh()


class TestMethods:
    @pytest.fixture
    def layer(self) -> nn.Module:
        return nn.Linear(3, 2, dtype=np.float64)

    @derivatives(real("batch", 3), max_examples=10, dtypes=(np.float64,))
    def test_with_a_fixture(self, layer: Any, x: Any) -> Any:
        return layer(x)


def test_derivatives_fails_where_they_are_wrong() -> None:
    @derivatives(real)
    def cut(x: Any) -> Any:
        return x * x.detach()

    with pytest.raises(GradientError, match=r"in cut, argument 0 \(x\)"):
        cut()


# Rows


def test_rows_are_checked_by_name_at_arrays_or_drawn() -> None:
    assert check_op("multiply", np.array([1.0, 2.0]), np.array(3.0)).examples == 1
    assert check_op("sum", np.ones((2, 3)), settings={"axis": 1}).compared
    assert check_op("argmax", max_examples=8).examples == 2
    with pytest.raises(ValueError, match="no row of the table is called 'multipl'; there is"):
        check_op("multipl")


# What is refused


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"order": 3}, "order is 1 or 2, got 3"),
        ({"dtypes": (np.float16,)}, "dtypes are float64 and float32, or one of them"),
        ({"dtypes": ()}, "dtypes are"),
        ({"accuracy": -1}, 'accuracy is a positive number or "full"; got -1'),
        ({"kinks": "none"}, "kinks is one of 'subgradient', 'skip', 'forbid'; got 'none'"),
        ({"noise": -1.0}, "noise is how exact the function is"),
        ({"sig": "n->n"}, "is no signature with one result: write the axes"),
        ({"sig": "(n),(n)->()"}, "has 2 arguments, and 1 domains are given: one each"),
    ],
)
def test_options_that_make_no_sense(options: Any, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        check(tg.exp, real, **options)


def test_what_is_no_domain() -> None:
    with pytest.raises(ValueError, match="needs a domain for each argument"):
        check(tg.exp)
    with pytest.raises(TypeError, match="a domain is a word such as real"):
        check(tg.mul, real, 3)
    with pytest.raises(TypeError, match="max_example"):
        check(tg.exp, real, max_example=3)


def test_nothing_told_is_an_error() -> None:
    with pytest.raises(NothingToldError, match="has no finite value at any input drawn"):
        check_vjp(lambda x: x * np.nan, lambda g, out, x: g, real)
    with pytest.raises(NothingToldError, match="raised ValueError for all inputs drawn: not mine"):
        check_vjp(_refuses, cosine, real)
    with pytest.raises(NothingToldError, match="not finite at these arrays"):
        check_vjp(np.log, lambda g, out, x: g / x, np.array(-1.0))


def _refuses(_: Any) -> Any:
    raise ValueError("not mine")


# Strategies


@settings(max_examples=30)
@given(arrays(real("n", "m"), positive("m"), boolean("n")))
def test_arrays_fit_together(drawn: Any) -> None:
    x, y, b = drawn
    assert x.shape == (len(b), len(y))
    assert (y > 0).all()
    assert b.dtype == bool


@settings(max_examples=30)
@given(tensors(real, dtype=np.float32), arrays(interval(0, 1), sig="(n)->()"))
def test_tensors_and_signatures(t: Any, a: Any) -> None:
    assert t.requires_grad
    assert t.dtype == np.float32
    assert a.ndim >= 1


@settings(max_examples=30)
@given(networks(inputs=2, outputs=1))
def test_networks_run_back(drawn: Any) -> None:
    model, x = drawn
    assert isinstance(model, nn.Sequential)
    out = model(x)
    assert out.shape == (len(x), 1)
    (out * out).sum().backward()
    assert all(p.grad is not None for p in model.parameters())


@settings(max_examples=5)
@given(networks())
def test_networks_have_right_gradients(drawn: Any) -> None:
    model, x = drawn
    check(model, x.numpy())


def test_nothing_of_others_is_loaded_before_it_is_named() -> None:
    code = (
        "import sys, tinygrad_fc, tinygrad_fc.testing\n"
        "assert not {'hypothesis', 'torch', 'jax', 'autograd'} & set(sys.modules)\n"
        "sys.modules['hypothesis'] = None\n"
        "import numpy as np\n"
        "from tinygrad_fc.testing import check_op, check, real\n"
        "check_op('exp', np.ones(2))\n"
        "for f in (lambda: check(np.exp, real), lambda: tinygrad_fc.testing.arrays):\n"
        "    try:\n        f()\n"
        "    except ImportError as error:\n"
        "        assert \"pip install 'tinygrad-fc[testing]'\" in str(error)\n"
        "    else:\n        raise AssertionError\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)  # noqa: S603  our own code
