"""Functions of other libraries, held to the same laws."""

from __future__ import annotations

import itertools
from functools import partial
from typing import Any

import numpy as np
import pytest

from tinygrad_fc.testing import (
    GradientError,
    NothingToldError,
    check,
    derivatives,
    from_autograd,
    from_jax,
    from_torch,
    interval,
    real,
)


def test_functions_of_torch() -> None:
    torch = pytest.importorskip("torch")
    assert check(from_torch(torch.tanh), real, max_examples=10).compared
    assert check(from_torch(lambda x, y: x * y), real("n"), real("n"), max_examples=10).compared
    with pytest.raises(GradientError) as caught:
        check(from_torch(lambda x: x * x.detach()), real)
    assert caught.value.kind in {"value", "second-order"}


@pytest.mark.parametrize("size", [2.0**-52, 2.0**-20])
def test_equal_calls_of_torch_may_differ_by_rounding_alone(size: float) -> None:
    pytest.importorskip("torch")
    calls = itertools.count()

    def unsteady(x: Any) -> Any:  # as where memory lies otherwise, and another loop is chosen
        return x.sin() * (1 + size * (next(calls) % 2))

    double = {"dtypes": (np.float64,), "max_examples": 10, "order": 1}
    if size < 2.0**-50:
        assert check(from_torch(unsteady), interval(0.5, 1), **double).compared
    else:
        with pytest.raises(GradientError) as caught:
            check(from_torch(unsteady), interval(0.5, 1), **double)
        assert caught.value.kind in {"nondeterministic", "nonlinear"}


def test_what_is_random_in_torch_is_told_so() -> None:
    torch = pytest.importorskip("torch")
    for f in (
        torch.nn.Dropout(0.5),
        lambda x: x * torch.rand_like(x),
        lambda x: x.sin() + torch.randn(x.shape),
    ):
        with pytest.raises(GradientError, match="or random: set a seed") as caught:
            check(from_torch(f), real)
        assert caught.value.kind == "nondeterministic"


def test_a_test_of_ones_own_is_of_this_librarys_tensors() -> None:
    pytest.importorskip("torch")
    with pytest.raises(TypeError, match=r"another library's: write def test_tanh\(\)"):
        derivatives(real)(from_torch(np.tanh))


def test_functions_of_jax() -> None:
    jax = pytest.importorskip("jax")
    rule = from_jax(jax.numpy.tanh)
    # Of one shape: another one is compiled anew.
    assert check(rule, real(3, 2), dtypes=(np.float32,), max_examples=5).compared


def test_functions_of_autograd() -> None:
    numpy = pytest.importorskip("autograd.numpy")
    double = {"dtypes": (np.float64,), "max_examples": 20}
    assert check(from_autograd(numpy.tanh), interval(-4, 4), **double).compared
    assert check(from_autograd(lambda x, y: x @ y), real("n"), real("n"), **double).compared


@pytest.mark.parametrize("adapter", [from_torch, from_jax, from_autograd])
def test_what_is_no_function_of_one_result(adapter: Any) -> None:
    library = adapter.__name__.removeprefix("from_")
    pytest.importorskip(library)
    with pytest.raises(TypeError, match=r"f is a function of .*; got 3"):
        adapter(3)
    with pytest.raises(TypeError, match=r"<lambda>\(x\) can't be called with 2 arguments"):
        check(adapter(lambda x: x), real, real)
    with pytest.raises(NothingToldError, match=f"{adapter.__name__} takes a function that returns"):
        check(adapter(lambda x: (x, x)), real, max_examples=5)


@pytest.mark.parametrize("adapter", [from_torch, from_jax, from_autograd])
def test_float32_alone_and_a_line_that_can_be_run(adapter: Any) -> None:
    pytest.importorskip(adapter.__name__.removeprefix("from_"))
    narrow = {"dtypes": np.float32, "max_examples": 5}
    assert check(adapter(lambda x, y: x * y * y), real(2), real(2), **narrow).compared
    with pytest.raises(GradientError) as caught:
        check(adapter(lambda x: x.nothing if x.ndim == 0 else abs(x)), real, kinks="forbid")
    line = str(caught.value).rpartition("reproduce: ")[2]
    assert line.startswith(f"check({adapter.__name__}(lambda x: x.nothing if x.ndim == 0 else abs(")
    with pytest.raises(GradientError):
        eval(line, {"check": check, adapter.__name__: adapter, "np": np})  # noqa: S307  as said


# Functions of other libraries that are given without telling whose they are


def _refused(f: Any, *inputs: Any, says: str) -> None:
    with pytest.raises(TypeError, match=rf"{says}, and gets tensors of this package here"):
        check(f, *(inputs or (real,)))


def test_a_function_of_torch_is_told_from_one_of_ours() -> None:
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    for inputs in ((real,), (np.ones(2),)):
        _refused(torch.tanh, *inputs, says="^torch.tanh is a function of PyTorch's tensors")
        _refused(
            lambda x: torch.tanh(x) * 2, *inputs, says=r"^lambda x: torch.tanh\(x\) \* 2 is a.*"
        )
    for f in (functional.relu, torch.nn.ReLU(), torch.Tensor.exp, torch.special.entr):
        _refused(f, says="PyTorch's tensors")
    _refused(partial(torch.softmax, dim=-1), says="PyTorch's tensors")
    with pytest.raises(
        TypeError, match=r"write check\(from_torch\(torch.tanh\), ...\), with `from"
    ):
        check(torch.tanh, real)


def test_a_rule_of_torch_that_would_not_be_run() -> None:
    torch = pytest.importorskip("torch")

    class Wrong(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return g * 3 * ctx.saved_tensors[0]

    apply = Wrong.apply
    for f in (Wrong.apply, lambda x: Wrong.apply(x) + 1, lambda x: apply(x) + 1):
        _refused(f, says="PyTorch's tensors")
        with pytest.raises(GradientError, match=r"\[value\]"):
            check(from_torch(f), real, order=1)


def test_functions_of_jax_and_autograd_are_told_from_ours() -> None:
    jnp = pytest.importorskip("jax.numpy")
    anp = pytest.importorskip("autograd.numpy")
    for f in (jnp.tanh, lambda x: jnp.tanh(x) * 2):
        _refused(f, says="a function of JAX's arrays")
    for g in (anp.tanh, lambda x: anp.tanh(x) * 2):
        _refused(g, says="a function of autograd's arrays")
