"""Every op of the table, compiled: its values and derivatives are those of eager code."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, reject
from hypothesis import strategies as st

import tinygrad_fc as tg
from tinygrad_fc import Op, testing
from tinygrad_fc.core.op import registry

from .twins import BACKENDS, native, near, same, share

OPS = list(dict.fromkeys(registry.values()))


@pytest.mark.parametrize("op", OPS, ids=lambda op: op.name)
@share(2)
@given(data=st.data())
def test_each_op(op: Op, data: st.DataObject):
    arrays = data.draw(testing.inputs(*op.domain))
    arrays = arrays if isinstance(arrays, tuple) else (arrays,)
    chosen: dict[str, Any] = {}
    for name, legal in op.settings.items():
        choices = list(legal(*arrays))
        if not choices:
            reject()
        chosen[name] = data.draw(st.sampled_from(choices))
        parts = chosen[name] if isinstance(chosen[name], tuple) else (chosen[name],)
        if any(
            isinstance(x, list | np.ndarray | np.bool_) and np.asarray(x).dtype == bool
            for x in parts
        ):
            reject()  # a mask is refused: how many elements it selects is not known
    tensors = [tg.tensor(a, requires_grad=a.dtype.kind == "f") for a in arrays]

    def function(*tensors: Any) -> Any:
        out = op(*tensors, **chosen)
        if not out.requires_grad:
            return out
        wanted = [t for t in tensors if t.requires_grad]
        gradients = tg.autograd.grad(out, wanted, tg.cos(out.detach()), allow_unused=True)
        return out.detach(), gradients

    with np.errstate(all="ignore"):
        try:
            expected = function(*tensors)
        except tg.errors.GraphError:  # an argument that has no rule
            tensors = [t.detach() for t in tensors]
            expected = function(*tensors)
        compiled = tg.compile(function, backend="numpy")
        for _ in range(2):
            same(op.name, compiled(*tensors), expected)


# Views of one element


def zeroed_element(t: Any) -> Any:
    t[1].zero_()
    t[2].copy_(t[0])
    return t * 1


def element_before_a_change(t: Any) -> Any:
    first, *_ = t
    t.mul_(2)
    return first * 1


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("function", [zeroed_element, element_before_a_change])
def test_one_element_is_a_view(backend: str, function: Any):
    t = tg.tensor([3.0, 4.0, 5.0])
    expected = function(t.clone())
    near("result", tg.compile(function, backend=backend)(t.clone()), expected)


def test_large_constants_of_one_shape_differ():
    def sums() -> Any:
        return [tg.tensor([float(k)] * 5000).sum() for k in range(3)]

    same("sums", tg.compile(sums, backend="numpy")(), sums())


def test_numbers_beyond_an_integer_dtype():
    image = tg.tensor(np.array([10, 250, 30], np.uint8))
    compiled = tg.compile(lambda t: tg.where(t > -1, t, 0) * 1)
    for _ in range(4):
        same("result", compiled(image), image)


@native
def test_a_reduction_of_one_number_along_its_axis():
    def function(t: Any) -> Any:
        return t.mean(-1), t.sum(0), t.softmax(0)

    near("result", tg.compile(function, backend="numba")(tg.tensor(2.0)), function(tg.tensor(2.0)))
