"""Functions of other libraries, held to the same laws."""

from __future__ import annotations

import numpy as np
import pytest

from tinygrad_fc.testing import (
    GradientError,
    check,
    from_autograd,
    from_jax,
    from_torch,
    interval,
    real,
)


def test_functions_of_torch() -> None:
    torch = pytest.importorskip("torch")
    assert check(from_torch(torch.tanh), real, max_examples=20).compared
    assert check(from_torch(lambda x, y: x * y), real("n"), real("n"), max_examples=20).compared
    with pytest.raises(GradientError) as caught:
        check(from_torch(lambda x: x * x.detach()), real)
    assert caught.value.kind in {"value", "second-order"}


def test_functions_of_jax() -> None:
    jax = pytest.importorskip("jax")
    rule = from_jax(jax.numpy.tanh)
    assert check(rule, real("n", 2), dtypes=(np.float32,), max_examples=5).compared


def test_functions_of_autograd() -> None:
    numpy = pytest.importorskip("autograd.numpy")
    double = {"dtypes": (np.float64,), "max_examples": 20}
    assert check(from_autograd(numpy.tanh), interval(-4, 4), **double).compared
    assert check(from_autograd(lambda x, y: x @ y), real("n"), real("n"), **double).compared
