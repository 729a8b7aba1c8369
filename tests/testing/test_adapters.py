"""Functions of other libraries, held to the same laws."""

import itertools
from typing import Any

import numpy as np
import pytest

from tinygrad_fc.domain import interval, real
from tinygrad_fc.testing import GradientError, NothingCheckedError, check, from_jax, from_torch


def test_functions_of_torch() -> None:
    torch = pytest.importorskip("torch")
    assert check(from_torch(torch.tanh), real, max_examples=10).compared
    assert check(from_torch(lambda x, y: x * y), real("n"), real("n"), max_examples=10).compared
    linear = from_torch(torch.nn.Linear(3, 2).double())
    report = check(linear, real("n>=1", 3), max_examples=4, dtypes=np.float64)
    assert "The parameters of the model are constants" in str(report)
    with pytest.raises(GradientError, match=r"^\[(value|second-order)\]"):
        check(from_torch(lambda x: x * x.detach()), real)


def test_functions_of_jax() -> None:
    lax = pytest.importorskip("jax").lax
    with pytest.raises(GradientError, match=r"^\[(value|second-order)\]"):
        check(from_jax(lambda x: x * lax.stop_gradient(x)), real, dtypes=np.float32)


def test_equal_calls_of_torch_may_differ_by_rounding_alone() -> None:
    pytest.importorskip("torch")

    def check_unsteady(size: float) -> Any:
        calls = itertools.count()
        # As where memory lies otherwise, and another loop is chosen.
        f = from_torch(lambda x: x.sin() * (1 + size * (next(calls) % 2)))
        return check(f, interval(0.5, 1), dtypes=np.float64, max_examples=10, order=1)

    assert check_unsteady(2.0**-52).compared
    with pytest.raises(GradientError, match=r"^\[(nondeterministic|nonlinear)\]"):
        check_unsteady(2.0**-20)


def test_random_functions_of_torch_are_nondeterministic() -> None:
    torch = pytest.importorskip("torch")
    for f in (
        torch.nn.Dropout(0.5),
        lambda x: x * torch.rand_like(x),
        lambda x: x.sin() + torch.randn(x.shape),
    ):
        message = r"(?s)^\[nondeterministic\].* or the function is random: set a seed"
        with pytest.raises(GradientError, match=message):
            check(from_torch(f), real)


@pytest.mark.parametrize("adapter", [from_torch, from_jax])
def test_several_results_are_joined_and_others_refused(adapter: Any) -> None:
    pytest.importorskip(adapter.__name__.removeprefix("from_"))
    with pytest.raises(TypeError, match=r"got 3; expected a function of its arrays"):
        adapter(3)
    with pytest.raises(NothingCheckedError, match=f"{adapter.__name__}: the function returned"):
        check(adapter(lambda x: [1.0]), real, max_examples=5)
    several = adapter(lambda x, y: (x * y * y, 2 * x))
    assert check(several, real(2), real(2), dtypes=np.float32, max_examples=5).compared


def test_a_function_of_another_library_needs_its_adapter() -> None:
    torch = pytest.importorskip("torch")
    for f in (torch.tanh, torch.nn.ReLU(), lambda x: torch.tanh(x) * 2):
        with pytest.raises(NothingCheckedError, match=r"raises TypeError: .* must be Tensor"):
            check(f, real, max_examples=5)
