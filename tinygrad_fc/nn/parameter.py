"""The tensors that a model learns."""

from __future__ import annotations

from types import FunctionType, MethodType
from typing import Any, Self

import numpy as np

from tinygrad_fc.device import check as check_device
from tinygrad_fc.dtypes import get_default_dtype
from tinygrad_fc.functional.arguments import as_array
from tinygrad_fc.graph import wrap
from tinygrad_fc.tensor import Tensor

__all__ = ["Parameter"]


class Parameter(Tensor):
    """A tensor that a `Module` counts as its own: optimizers get it, `state_dict` holds it.

    The memory of `data`, a tensor or an array of any shape, is shared, and what computed it left
    behind; without `data` the parameter is empty. `requires_grad=False` freezes it. A copy
    (`deepcopy`, `pickle`) has the values and not the `.grad`, as in PyTorch.

    Raises `DtypeError` for integers or truth values that should require grad.

    >>> import tinygrad_fc as tg
    >>> tg.nn.Parameter(tg.zeros(2))
    Parameter containing:
    tensor([0., 0.], requires_grad=True)
    """

    def __init__(self, data: Any = None, requires_grad: bool = True) -> None:
        super().__init__(())
        if data is not None:
            self._array = as_array(data)
        self.requires_grad = requires_grad

    def __repr__(self) -> str:
        return f"Parameter containing:\n{super().__repr__()}"

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        memo[id(self)] = made = type(self)(self._array.copy(), self.requires_grad)
        return made

    def __reduce__(self) -> Any:
        return type(self), (self._array, self.requires_grad)


def unfilled(shape: Any, device: Any = None, dtype: Any = None) -> Parameter:
    """Return a parameter to be filled, of the default dtype unless told otherwise."""
    check_device(device)
    return Parameter(wrap(np.empty(shape, dtype or get_default_dtype())))


def forget_grad(tensor: Tensor, *, set_to_none: bool) -> None:
    """Make the `.grad` of `tensor` None, or zeros if it has one."""
    if set_to_none or tensor._grad is None:
        tensor._grad = None
    else:
        # Fresh ones: whoever kept the old gradient, or a graph through it, keeps its values.
        tensor._grad = wrap(np.zeros_like(tensor._grad._array))


def refuse_holder(given: Any, what: str, name: str) -> None:
    """Raise `TypeError` where a module stands for what is in it, or a method for what it gives."""
    if hasattr(given, "named_parameters"):
        raise TypeError(
            f"{what} takes {name}, got the {type(given).__name__} that has them: pass "
            "model.parameters()"
        )
    if isinstance(given, FunctionType | MethodType):
        called = given.__name__ if isinstance(given, MethodType) else "parameters"
        raise TypeError(
            f"{what} takes {name}, got the function {given.__qualname__} itself, without its "
            f"brackets: call it, model.{called}()"
        )
