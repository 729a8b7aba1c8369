"""Every op stays within the array type that it was called with, in value and both derivatives."""

from typing import Any

import numpy as np
import pytest
from drawing import OPS, calls
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_fc as tg
from device.strict_array import StrictArray
from tinygrad_fc.core.node import leaf_of
from tinygrad_fc.core.op import Op


def results(op: Op, operands: Any, options: Any, seed: int, library: Any) -> list[Any]:
    """Return the value of `op` and its first and second derivatives, as arrays of `library`."""
    rng = np.random.default_rng(seed)

    def random(array: Any) -> Any:
        return leaf_of(library(rng.normal(size=array.shape).astype(array.dtype)))

    tensors = [leaf_of(library(a)) for a in operands]
    leaves = [t.requires_grad_() for t, d in zip(tensors, op.domain, strict=True) if _floats(t, d)]
    out = op(*tensors, **options)
    if not out.requires_grad:
        return [out._array]
    cotangent = random(out)
    zeros = {"materialize_grads": True}  # for arguments without a rule
    first = tg.autograd.grad(out, leaves, cotangent, create_graph=True, **zeros)
    again = [t for t in first if t.requires_grad]
    weights = [random(t) for t in again]
    second = tg.autograd.grad(again, leaves, weights, **zeros) if again else ()
    plain = tg.autograd.grad(op(*tensors, **options), leaves, cotangent, **zeros)
    return [t._array for t in (out, *first, *second, *plain)]


def _floats(t: Any, domain: Any) -> bool:
    return t.dtype.kind == "f" and domain.kind == "float"


def compare(op: Op, data: st.DataObject, seed: int, library: Any, rtol: float = 1e-9) -> None:
    """Draw a call of `op`, and compare its results on arrays of `library` with NumPy's."""
    operands, options = data.draw(calls(op, kinds=slice(1)))
    with np.errstate(all="ignore"):
        expected = results(op, operands, options, seed, np.asarray)
        computed = results(op, operands, options, seed, library)
    for a, b in zip(expected, computed, strict=True):
        assert type(b) is type(library(a))
        assert b.dtype == a.dtype
        size = np.abs(a[np.isfinite(a)]).max(initial=0) if a.dtype.kind == "f" else 0
        np.testing.assert_allclose(b.get(), a, rtol=rtol, atol=rtol * size)


@pytest.mark.parametrize("op", OPS, ids=lambda op: op.name)
@settings(max_examples=settings.default.max_examples // 4)
@given(data=st.data(), seed=st.integers(0, 2**16))
def test_ops_stay_within_the_array_type(op: Op, data: st.DataObject, seed: int) -> None:
    compare(op, data, seed, StrictArray)
