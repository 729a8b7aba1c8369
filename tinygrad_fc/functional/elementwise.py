"""Elementwise functions that are compositions of ops."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.core.dtypes import operand_of, result_type
from tinygrad_fc.core.errors import check_argument, check_dtypes
from tinygrad_fc.core.graph import call_op
from tinygrad_fc.core.node import Node, array_of, as_array, operand
from tinygrad_fc.core.seam import like
from tinygrad_fc.functional.arguments import accepts_arrays
from tinygrad_fc.functional.indexing import nonzero
from tinygrad_fc.ops import arithmetic, comparison, elementwise, special
from tinygrad_fc.ops.shape import astype

if TYPE_CHECKING:
    import numpy.typing as npt

    from tinygrad_fc.tensors import Tensor

__all__ = ["addcdiv", "addcmul", "allclose", "clamp_max", "clamp_min", "digamma", "div", "equal"]
__all__ += ["masked_fill", "polygamma", "where"]


def div(input: Tensor, other: npt.ArrayLike, *, rounding_mode: str | None = None) -> Tensor:
    """Return `input / other`, broadcast; optionally rounded toward 0 ("trunc") or down ("floor").

    A rounded quotient has no gradient. Raises `ValueError` for another rounding mode.

    >>> import tinygrad_fc as tg
    >>> tg.div(tg.tensor([7.0, -7.0]), 2, rounding_mode="trunc")
    tensor([ 3., -3.])
    """
    if rounding_mode is None:
        return arithmetic.divide(input, other)
    if rounding_mode == "floor":
        return arithmetic.floor_divide(input, other)
    known = rounding_mode == "trunc"
    check_argument(known, "div", 'None, "trunc" or "floor"', rounding_mode=rounding_mode)
    if _is_integral(input) and _is_integral(other):
        exact = arithmetic.subtract(input, arithmetic.fmod(input, other))
        return arithmetic.floor_divide(exact, other)
    return comparison.trunc(arithmetic.divide(input, other))


def _is_integral(x: Any) -> bool:
    return as_array(x).dtype.kind in "iub"


def where(condition: Any, input: Any = None, other: Any = None) -> Any:
    """Return `input` where `condition` holds and `other` elsewhere, broadcast.

    The element that is not selected gets the gradient 0. `where(condition)` returns the indices
    of its true elements, one tensor per axis. Raises `TypeError` for `input` without `other`, and
    `DtypeError` for a tensor of numbers as the condition.

    >>> import tinygrad_fc as tg
    >>> x = tg.tensor([-1.0, 4.0])
    >>> tg.where(x > 0, x.sqrt(), 0.0)
    tensor([0., 2.])
    """
    if input is None and other is None:
        return nonzero(condition, as_tuple=True)
    if condition is None or input is None or other is None:
        raise TypeError("where takes (condition) or (condition, input, other); got None")
    if isinstance(condition, Node) and condition._array.dtype != bool:
        fit = condition._array.dtype == np.uint8  # masks of early scripts
        check_dtypes(fit, "where", "a condition of bool: condition != 0", condition)
        condition = call_op(astype, (condition,), {"dtype": np.dtype(bool)})
    return elementwise.where(condition, input, other)


@accepts_arrays("input")
def masked_fill(input: Tensor, mask: npt.ArrayLike, value: npt.ArrayLike) -> Tensor:
    """Return `input` with `value` where `mask`, which broadcasts to it, is true; in its dtype.

    Raises `DtypeError` unless the mask is of booleans.

    >>> import tinygrad_fc as tg
    >>> tg.tensor([1.0, 2.0]).masked_fill(tg.tensor([True, False]), 0)
    tensor([0., 2.])
    """
    chosen = as_array(mask)
    check_dtypes(chosen.dtype == bool, "masked_fill", "a mask of bool: mask.bool()", chosen)
    value = value if isinstance(value, Node) else operand(value, "masked_fill")
    if input._array.dtype.kind != "f":  # the dtype is that of the input
        value = np.array(array_of(value), input.dtype, like=like())  # 2.5 becomes 2
    return elementwise.where(mask, value, input).to(input.dtype)


@accepts_arrays("input")
def clamp_min(input: Tensor, min: npt.ArrayLike) -> Tensor:
    """Return the larger of `input` and `min`, a number or a tensor, as `clamp(input, min=min)`.

    >>> import tinygrad_fc as tg
    >>> tg.clamp_min(tg.tensor([-2.0, 0.5]), 0)
    tensor([0. , 0.5])
    """
    return elementwise.clamp(input, min)


@accepts_arrays("input")
def clamp_max(input: Tensor, max: npt.ArrayLike) -> Tensor:
    """Return the smaller of `input` and `max`, a number or a tensor, as `clamp(input, max=max)`.

    >>> import tinygrad_fc as tg
    >>> tg.clamp_max(tg.tensor([-2.0, 0.5]), 0)
    tensor([-2.,  0.])
    """
    return elementwise.clamp(input, None, max)


@accepts_arrays("input", "tensor1", "tensor2", factor="value")
def addcmul(input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: float = 1) -> Tensor:
    """Return `input + value * tensor1 * tensor2`, broadcast.

    >>> import tinygrad_fc as tg
    >>> tg.addcmul(tg.ones(2), tg.tensor([1.0, 2.0]), tg.tensor([3.0, 4.0]), value=10)
    tensor([31., 81.])
    """
    # In their common dtype, as in PyTorch: a product of small integers would wrap.
    common = result_type(operand_of(x._array) for x in (input, tensor1, tensor2))
    return arithmetic.add(input, tensor1.to(common) * tensor2.to(common), alpha=value)


@accepts_arrays("input", "tensor1", "tensor2", factor="value")
def addcdiv(input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: float = 1) -> Tensor:
    """Return `input + value * tensor1 / tensor2`, broadcast. Raises `DtypeError` for integers.

    >>> import tinygrad_fc as tg
    >>> tg.addcdiv(tg.ones(2), tg.tensor([1.0, 2.0]), tg.tensor([2.0, 4.0]), value=10)
    tensor([6., 6.])
    """
    has_floats = "f" in {tensor1.dtype.kind, tensor2.dtype.kind}
    check_dtypes(has_floats, "addcdiv", "floats: use x.double() or x.float()", tensor1, tensor2)
    return arithmetic.add(input, tensor1 / tensor2, alpha=value)


@accepts_arrays("input")
def digamma(input: Tensor) -> Tensor:
    """Return the derivative of `lgamma`, the logarithm of the gamma function.

    >>> import tinygrad_fc as tg
    >>> tg.digamma(tg.tensor([1.0, 2.0]))
    tensor([-0.5772,  0.4228])
    """
    return special.polygamma(input, n=0)


@accepts_arrays("input")
def polygamma(n: int, input: Tensor) -> Tensor:
    """Return derivative `n` of `digamma`. Raises `ValueError` unless 0 <= n <= 100.

    >>> import tinygrad_fc as tg
    >>> tg.polygamma(1, tg.tensor([1.0, 2.0]))
    tensor([1.6449, 0.6449])
    """
    return special.polygamma(input, n=n)


@accepts_arrays("input")
def allclose(
    input: Tensor, other: Any, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False
) -> bool:
    """Return whether all elements are close; see `isclose`.

    >>> import tinygrad_fc as tg
    >>> tg.allclose(tg.tensor([1.0]), tg.tensor([1.0 + 1e-9]))
    True
    """
    return bool(comparison.isclose(input, other, rtol, atol, equal_nan).all())


@accepts_arrays("input", "other")
def equal(input: Tensor, other: Tensor) -> bool:
    """Return whether two tensors have the same shape and elements; NaN does not equal NaN.

    >>> import tinygrad_fc as tg
    >>> tg.equal(tg.ones(2), tg.ones(2, 1))
    False
    """
    return bool(np.array_equal(as_array(input), as_array(other)))
