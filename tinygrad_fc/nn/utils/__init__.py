"""Norms, gradient clipping, parameters as a vector, parametrizations and pruning."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.core.device import device_of, move_to_device
from tinygrad_fc.core.dtypes import get_default_dtype
from tinygrad_fc.core.errors import DtypeError, ShapeError, check_argument
from tinygrad_fc.core.grad_mode import no_grad
from tinygrad_fc.core.lazy import lazy_names
from tinygrad_fc.core.node import array_of, leaf_of, number_of
from tinygrad_fc.core.seam import like
from tinygrad_fc.functional.joining import cat
from tinygrad_fc.nn.parameter import refuse_module
from tinygrad_fc.tensors import Tensor

if TYPE_CHECKING:
    from tinygrad_fc.nn.utils import parametrizations as parametrizations
    from tinygrad_fc.nn.utils import parametrize as parametrize
    from tinygrad_fc.nn.utils import prune as prune

Tensors = Tensor | Iterable[Tensor]


# Imported on first use, since most training needs none of these.
_LAZY = {name: name for name in ("convert_parameters", "parametrizations", "parametrize", "prune")}
_LAZY |= {"weight_norm": "parametrizations:older_weight_norm"}
for _name in ("remove_spectral_norm", "remove_weight_norm", "spectral_norm"):
    _LAZY[_name] = f"parametrizations:{_name}"
__getattr__ = lazy_names(__name__, _LAZY)


def _norm(array: Any, order: float) -> Any:
    """Return the norm of all elements; a positive order neither overflows nor underflows."""
    values = array.reshape(-1).astype(np.float64, copy=False)
    if not values.size:
        return 0.0 if order >= 0 else math.inf
    largest = number_of(np.abs(values).max()) if order > 0 else 1.0
    scale = largest if 0 < largest < math.inf else 1.0  # powers of the quotients do not overflow
    return scale * number_of(np.linalg.norm(values / scale, order))


def _total_norm(arrays: list[Any], order: float) -> float:
    """Return the norm of all elements of all arrays, as if they were one vector."""
    if order == 2 and arrays:  # compiled programs have one condition then
        values = (array.astype(np.float64, copy=False) for array in arrays)
        squares = [np.vdot(x, x) for x in values]
        norm: float = number_of(np.sqrt(sum(squares[1:], squares[0])))
        if 1e-145 < norm < math.inf:
            return norm
    norms = [_norm(array, order) for array in arrays]
    return _norm(np.array(norms, like=like()), order) if norms else 0.0


def clip_grad_norm_(
    parameters: Tensors, max_norm: float, norm_type: float = 2.0, error_if_nonfinite: bool = False
) -> Tensor:
    """Scale all gradients in place by `max_norm / (norm + 1e-6)`, if that is below 1.

    Returns the norm of order `norm_type` of all elements of all gradients, as if they were one
    vector (Pascanu et al., 2013). Parameters whose `.grad` is None are skipped. A NaN makes all
    gradients NaN, and an infinite norm makes finite gradients 0; with `error_if_nonfinite` both
    raise `RuntimeError` and change nothing. Raises `ValueError` for a `max_norm` that is negative
    or NaN.

    >>> import tinygrad_fc as tg
    >>> w = tg.tensor([3.0, 4.0], requires_grad=True)
    >>> (w * w / 2).sum().backward()
    >>> clip_grad_norm_([w], max_norm=1.0)
    tensor(5.)
    >>> w.grad
    tensor([0.6, 0.8])
    """
    _check_limit("max_norm", max_norm)
    grads, order = _gradients(parameters, "clip_grad_norm_"), float(norm_type)
    arrays = [array_of(grad) for grad in grads]
    with np.errstate(all="ignore"), no_grad():
        total = _total_norm(arrays, order)
        if error_if_nonfinite and not math.isfinite(total):
            raise RuntimeError(
                f"the total norm of order {order} is non-finite ({total}), expected a finite norm. "
                "Find the op under autograd.detect_anomaly(), or pass error_if_nonfinite=False"
            )
        # Multiply also by a scale of 1, so that a step under `tinygrad_fc.compile` needs no branch.
        scale = np.minimum(float(max_norm) / (total + 1e-6), 1.0)
        for grad in grads:
            grad.mul_(number_of(scale))
        dtype = np.result_type(*arrays) if grads else get_default_dtype()
        norm = np.asarray(total, dtype, like=like())
    return leaf_of(move_to_device(norm, device_of(arrays[0])) if grads else norm)


def clip_grad_value_(parameters: Tensors, clip_value: float) -> None:
    """Clamp every element of all gradients to [-clip_value, clip_value], in place.

    Parameters whose `.grad` is None are skipped. Raises `ValueError` for a `clip_value` that is
    negative or NaN.

    >>> import tinygrad_fc as tg
    >>> w = tg.tensor([1.0, -5.0], requires_grad=True)
    >>> (w * w).sum().backward()
    >>> clip_grad_value_(w, 3.0)
    >>> w.grad
    tensor([ 2., -3.])
    """
    _check_limit("clip_value", clip_value)
    with no_grad():
        for grad in _gradients(parameters, "clip_grad_value_"):
            grad.clamp_(-float(clip_value), float(clip_value))


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """Return all elements of the parameters as one vector (N,), differentiably.

    >>> import tinygrad_fc as tg
    >>> parameters_to_vector([tg.ones(2), tg.zeros(1, 1)])
    tensor([1., 1., 0.])
    """
    params = _listed(parameters, "parameters_to_vector")
    return cat([parameter.reshape(-1) for parameter in params])


def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Set the parameters to slices of `vec` (N,), reshaped to their shapes.

    The parameters share the memory and dtype of `vec`, as in PyTorch. Raises `ShapeError` unless N
    is the number of their elements, `DtypeError` for a vector that is not of floats if a parameter
    requires grad, and then changes nothing.

    >>> import tinygrad_fc as tg
    >>> layer = tg.nn.Linear(2, 1)
    >>> vector_to_parameters(tg.tensor([1.0, 2.0, 3.0]), layer.parameters())
    >>> layer.weight.tolist(), layer.bias.tolist()
    ([[1.0, 2.0]], [3.0])
    """
    check_argument(isinstance(vec, Tensor), "vector_to_parameters", "a tensor", vec=vec)
    params = _listed(parameters, "vector_to_parameters")
    needed = sum(parameter.numel() for parameter in params)
    if vec.shape != (needed,):
        raise ShapeError(
            f"vector_to_parameters: vec has shape {vec.shape}, expected ({needed},), the number of "
            "elements of the parameters. Pass what parameters_to_vector returned"
        )
    if any(parameter.requires_grad for parameter in params) and not vec.is_floating_point():
        raise DtypeError(f"vector_to_parameters: vec is {vec.dtype}, expected floats: vec.double()")
    end = 0
    for parameter in params:
        start, end = end, end + parameter.numel()
        parameter.data = leaf_of(array_of(vec)[start:end].reshape(parameter.shape))


def _listed(tensors: Tensors, function: str) -> list[Tensor]:
    if isinstance(tensors, Tensor):
        return [tensors]
    refuse_module(tensors, function)
    items: list[Any] = list(tensors)
    for tensor in items:
        if not isinstance(tensor, Tensor):
            kind = type(tensor).__name__
            raise TypeError(f"{function}: got a {kind}, expected tensors. Pass model.parameters()")
    return items


def _gradients(parameters: Tensors, function: str) -> list[Tensor]:
    params = _listed(parameters, function)
    return [p.grad for p in params if p.grad is not None]


def _check_limit(name: str, value: float) -> None:
    check_argument(float(value) >= 0, "clip_grad", "at least 0", **{name: value})
