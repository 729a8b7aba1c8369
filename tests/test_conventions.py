"""Conventions: dtypes, shared memory, and which tensors require grad."""

from typing import Any

import numpy as np
import pytest
from drawing import T, arrays, checked_array, gradients
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_fc as tg
from tinygrad_fc.core.errors import DtypeError, GraphError

NUMBERS = (np.float64, np.float32, np.float16, np.int64, np.int32, np.uint8, np.bool_)


# The default dtype


def test_the_default_dtype_is_float64_and_can_be_set():
    assert tg.get_default_dtype() == np.float64
    for dtype in (np.float32, "float32", tg.float32, np.dtype("f")):
        tg.set_default_dtype(dtype)
        assert tg.get_default_dtype() == np.float32
        tg.set_default_dtype(tg.float64)
    for wrong in (np.int64, bool, tg.uint8):
        with pytest.raises(DtypeError, match=r"must be a float, got \w+: try float32 or float64"):
            tg.set_default_dtype(wrong)
    assert tg.get_default_dtype() == np.float64


@given(st.sampled_from([np.float64, np.float32]), st.sampled_from(NUMBERS))
def test_python_floats_get_the_default_dtype_and_arrays_keep_theirs(default: Any, dtype: Any):
    tg.set_default_dtype(default)
    for t in (
        *map(tg.tensor, (1.5, [1, 2.5], [[1.0], [2.0]], [])),
        *(tg.zeros([2]), tg.ones(2, 1), tg.full((2,), 0.5), tg.eye(2), tg.linspace(0, 1, 3)),
        *(tg.rand(2), tg.randn(2), tg.empty(2), tg.arange(0, 1, 0.5), tg.as_tensor([1.0])),
        tg.empty_like(tg.ones(2)),
    ):
        assert t.dtype == default
    assert tg.tensor([1, 2]).dtype == tg.arange(3).dtype == np.int64
    for data in ((), (2, 3), ([1, 2],), ([],), (np.ones(2, dtype),), (tg.zeros(2).size(),)):
        assert tg.Tensor(*data).dtype == default  # as in PyTorch
    assert tg.Tensor([1, 2], dtype=tg.int64).dtype == np.int64
    assert tg.tensor([True]).dtype == np.bool_
    a = np.ones(2, dtype)
    for t in (tg.tensor(a), tg.as_tensor(a), tg.from_numpy(a), tg.tensor(a[0]), tg.tensor([a, a])):
        assert t.dtype == dtype
    assert tg.tensor([1.5], dtype=tg.float16).dtype == np.float16


def test_a_gradient_has_the_dtype_of_its_tensor():
    x, y = T(np.ones(2, np.float32)), T(np.ones(2))
    gradients(lambda x, y: x * y + x.double() * 2, [x, y], 0)
    assert (x * y).dtype == np.float64
    z = T(np.ones(()))  # which does not promote x
    assert (x * z).dtype == np.float32
    gradients(lambda x, z: x * z, [x, z], 0)
    (slope,) = tg.autograd.grad((x * y * y).sum(), x, create_graph=True)
    assert slope.dtype == np.float32
    checked_array(tg.autograd.grad(slope.sum(), y)[0], y)


# Copies and shared memory


@given(arrays(), st.booleans())
def test_tensor_copies_and_as_tensor_and_from_numpy_share_memory(a: Any, readonly: bool):
    a.flags.writeable = not readonly
    assert not np.shares_memory(tg.tensor(a).numpy(), a)
    assert not a.ndim or not np.shares_memory(tg.Tensor(a).numpy(), a)
    for shared in (tg.as_tensor(a), tg.from_numpy(a)):
        assert np.array_equal(shared.numpy(), a)
        assert np.shares_memory(shared.numpy(), a) or not a.size
        assert not shared.requires_grad
    x = tg.from_numpy(a)
    assert tg.as_tensor(x) is x
    assert not np.shares_memory(tg.tensor(x).numpy(), a)
    assert tg.as_tensor(x, dtype=tg.float32).dtype == np.float32
    # tensor() of a tensor is a detached copy.
    y = T(a)
    assert not tg.tensor(y).requires_grad
    assert tg.as_tensor(y) is y
    for wrong in ([1.0], 1.0, x, np.float64(1)):
        with pytest.raises(TypeError, match=r"from_numpy takes an array, got \w+: use tensor"):
            tg.from_numpy(wrong)


@given(arrays())
def test_arrays_of_the_other_byte_order_are_converted_or_raise(a: Any):
    other = a.astype(a.dtype.newbyteorder())
    x = tg.tensor(other, requires_grad=True)
    assert x.dtype == np.float64
    gradients(lambda x: x * other + x, [x], 0)
    assert tg.as_tensor(other).dtype == np.float64
    with pytest.raises(DtypeError, match=r"expected this machine's byte order: use tensor"):
        tg.from_numpy(other)


@given(arrays())
def test_numpy_returns_a_read_only_view(a: Any):
    x = T(a)
    for t in (x, x * 2, x.detach(), (x + 1).data):
        view = t.numpy()
        assert type(view) is np.ndarray
        assert not view.flags.writeable
        assert np.shares_memory(view, t.numpy()) or not a.size
        with pytest.raises(ValueError, match="read-only"):
            view[...] = 0
    for recorded in (x, x * 2):
        with pytest.raises(GraphError, match=r"x\.numpy\(\).*x\.detach\(\)"):
            np.asarray(recorded)
    with tg.no_grad():
        np.asarray(x * 2)
    # The tensor itself stays writeable.
    x.data.zero_()
    assert not a.any()


# What requires grad


@given(st.sampled_from([d for d in NUMBERS if np.dtype(d).kind != "f"]))
def test_integers_and_booleans_cannot_require_grad(dtype: Any):
    x = tg.ones(2, dtype=dtype)
    for call in (
        x.requires_grad_,
        lambda: setattr(x, "requires_grad", True),
        lambda: tg.tensor([1, 0], dtype=dtype, requires_grad=True),
        lambda: tg.ones(2, dtype=dtype, requires_grad=True),
        lambda: tg.Tensor(tg.ones(2, dtype=dtype), requires_grad=True),
        lambda: tg.zeros_like(x, requires_grad=True),
        lambda: tg.nn.Parameter(x),
    ):
        with pytest.raises(DtypeError, match=rf"{np.dtype(dtype)}.*tensor\(\[1\., 2\.\]\)|double"):
            call()
    assert not x.requires_grad
    assert not x.requires_grad_(requires_grad=False).requires_grad
    assert not (x * tg.ones(2)).requires_grad


def test_leaves_and_results():
    x = T(np.ones(2))
    y = x * 2
    assert x.is_leaf
    assert not y.is_leaf
    assert y.requires_grad
    assert (tg.ones(2) * 2).is_leaf
    with pytest.raises(GraphError, match=r"a result of tensors.*x\.detach\(\)"):
        y.requires_grad = False
    with pytest.raises(GraphError, match="a result of tensors"):
        y.requires_grad_(requires_grad=False)
    y.requires_grad = True
    x.requires_grad = False
    assert not (x * 2).requires_grad


# What elements are


NOT_REAL: dict[str, Any] = {
    "None": None,
    "text": "1.5",
    "bytes": b"1",
    "a complex number": 1j,
    "a complex scalar": np.complex128(1 + 1j),
    "a complex array": np.array([1j, 2, 3]),
    "texts": ["1", "2", "3"],
    "an array of texts": np.array(["1", "2", "3"]),
    "a list with None": [None, 1.0, 2.0],
    "an array of objects": np.array([None, 1, 2], object),
    "a day": np.datetime64("2026-01-01"),
    "a time": np.timedelta64(3, "s"),
    "a dict": {},
    "dots": ...,
}
MASK = [True, False, True]
STORING: dict[str, Any] = {
    "x[0] =": lambda x, v: x.__setitem__(0, v),
    "x[:] =": lambda x, v: x.__setitem__(slice(None), v),
    "x[mask] =": lambda x, v: x.__setitem__(tg.tensor(MASK), v),
    "x[index] =": lambda x, v: x.__setitem__([0, 2], v),
    "fill_": lambda x, v: x.fill_(v),
    "copy_": lambda x, v: x.copy_(v),
    "masked_fill": lambda x, v: x.masked_fill(MASK, v),
    "masked_fill_": lambda x, v: x.masked_fill_(MASK, v),
    "index_fill": lambda x, v: x.index_fill(0, [0], v),
    "scatter": lambda x, v: x.scatter(0, [0], v),
    "scatter_": lambda x, v: x.scatter_(0, [0], v),
    "constant_": tg.nn.init.constant_,
    "add_": lambda x, v: x.add_(v),
    "+": lambda x, v: x + v,
    "reflected +": lambda x, v: v + x,
    "np.maximum": lambda x, v: np.maximum(v, x),
    "sub with alpha": lambda x, v: tg.sub(x, x, alpha=v),
    "addcmul with value": lambda x, v: tg.addcmul(x, x, x, value=v),
    "leaky_relu": lambda x, v: tg.nn.functional.leaky_relu(x.double(), v),
    "threshold": lambda x, v: tg.nn.functional.threshold(x.double(), 5, v),
    "where": lambda x, v: tg.where(MASK, x, v),
    "where first": lambda x, v: tg.where(MASK, v, x),
    "x.where": lambda x, v: x.where(tg.tensor(MASK), v),
    "np.where": lambda x, v: np.where(tg.tensor(MASK), x, v),
    "tensor": lambda x, v: tg.tensor(v, dtype=x.dtype),
    "tensor of a list": lambda x, v: tg.tensor([v], dtype=x.dtype),
    "as_tensor": lambda x, v: tg.as_tensor(v, dtype=x.dtype),
    "Tensor": lambda x, v: tg.Tensor([v]),
    "LongTensor": lambda _, v: tg.LongTensor([v]),
    "full": lambda x, v: tg.full((3,), v, dtype=x.dtype),
    "full_like": tg.full_like,
    "new_full": lambda x, v: x.new_full((3,), v),
    "new_tensor": lambda x, v: x.new_tensor(v),
    "linspace": lambda _, v: tg.linspace(v, 3, 3),
    ".data": lambda x, v: setattr(x, "data", v),
    "mse_loss": lambda x, v: tg.nn.functional.mse_loss(x.double(), v),
}


# NumPy's ufuncs warn of times before they refuse them.
@pytest.mark.filterwarnings("ignore:The 'generic' unit:DeprecationWarning")
@pytest.mark.parametrize("how", STORING)
@given(st.sampled_from(sorted(NOT_REAL)), st.sampled_from([np.float64, np.int64, np.bool_]))
def test_elements_are_real_numbers(how: str, what: str, dtype: Any):
    x = tg.tensor([1, 0, 1], dtype=dtype)
    with pytest.raises((DtypeError, TypeError, ValueError, AttributeError)):
        STORING[how](x, NOT_REAL[what])
    assert x.dtype == dtype
    assert x.tolist() == [1, 0, 1]


@pytest.mark.parametrize(("dtype", "source"), [("int64", "float64"), ("bool", "int64")])
def test_values_of_a_higher_category_are_rounded_in_slices_only(dtype: str, source: str):
    values = tg.tensor([2.5, 0.0], dtype=source)
    for at in (tg.tensor(MASK), [0, 2], tg.tensor([0, 2])):
        x = tg.zeros(3, dtype=dtype)
        with pytest.raises(DtypeError, match=rf"would round {source} values to {dtype}"):
            x[at] = values
        assert not x.any()
        x[at] = 2.5  # as in PyTorch
        x[at] = values[:1]
        assert x.tolist() == [2, 0, 2] or x.tolist() == [True, False, True]
    x[:2] = values
    x[1:].copy_(values)
    assert x.tolist() == tg.tensor([2, 2, 0], dtype=dtype).tolist()
