"""Parameters: tensors that belong to a module."""

from __future__ import annotations

from types import FunctionType, MethodType
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from tinygrad_fc.core.graph import change_in_place
from tinygrad_fc.core.node import array_of, as_array, grad_of, leaf_of, set_grad
from tinygrad_fc.functional.creation import empty
from tinygrad_fc.tensors import Tensor

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["Parameter"]


class Parameter(Tensor):
    """A tensor that `parameters()` and `state_dict()` of a module include if it is an attribute.

    It shares the memory of `data`, a tensor or array of any shape, and is a leaf; without `data` it
    is empty. `requires_grad=False` freezes it. A copy (`deepcopy`, `pickle`) has the values and not
    the `.grad`, as in PyTorch. Raises `DtypeError` if it requires grad and `data` is not of floats.

    >>> import tinygrad_fc as tg
    >>> tg.nn.Parameter(tg.zeros(2))
    Parameter containing:
    tensor([0., 0.], requires_grad=True)
    """

    def __init__(self, data: npt.ArrayLike | None = None, requires_grad: bool = True) -> None:
        super().__init__(())
        if data is not None:
            self._array = as_array(data)
        self.requires_grad = requires_grad

    def __repr__(self) -> str:
        return f"Parameter containing:\n{super().__repr__()}"

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        memo[id(self)] = copied = type(self)(array_of(self).copy(), self.requires_grad)
        return copied

    def __reduce__(self) -> Any:
        return type(self), (array_of(self), self.requires_grad)


def unfilled(shape: Any, device: Any = None, dtype: Any = None) -> Parameter:
    """Return an uninitialized parameter; `dtype=None` is the default dtype."""
    return Parameter(empty(shape, dtype=dtype, device=device))


def reset_grad(tensor: Tensor, *, set_to_none: bool) -> None:
    """Set `tensor.grad` to None if `set_to_none`, else to zeros; None stays None."""
    grad = None if set_to_none else grad_of(tensor)
    if grad is None:
        set_grad(tensor, None)
    else:
        array = array_of(grad)
        # A graph may need the values of a recorded gradient.
        if grad._requires_grad or not change_in_place(array, "fill", 0):
            set_grad(tensor, leaf_of(np.zeros_like(array)), in_place=not grad._requires_grad)


def refuse_module(value: Any, function: str) -> None:
    """Raise `TypeError` for a module or a method that was passed instead of its parameters."""
    if hasattr(value, "named_parameters") and (value._modules or not hasattr(value, "__iter__")):
        raise TypeError(
            f"{function} takes parameters, got a {type(value).__name__}. Pass model.parameters()"
        )
    if isinstance(value, FunctionType | MethodType):
        method = value.__name__ if isinstance(value, MethodType) else "parameters"
        raise TypeError(
            f"{function} takes parameters, got the function {value.__qualname__}. Call it: "
            f"model.{method}()"
        )
