"""Parameters, and the state of a model: parameters and buffers by path."""

from __future__ import annotations

from types import FunctionType, MethodType
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np

from tinygrad_fc.core.graph import (
    array_of,
    as_array,
    change_in_place,
    mutation_lock,
    record_change,
    wrap,
)
from tinygrad_fc.functional.creation import empty
from tinygrad_fc.tensors import Tensor

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import numpy.typing as npt

    from tinygrad_fc.nn.module import Module

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
        memo[id(self)] = copied = type(self)(self._array.copy(), self.requires_grad)
        return copied

    def __reduce__(self) -> Any:
        return type(self), (self._array, self.requires_grad)


def unfilled(shape: Any, device: Any = None, dtype: Any = None) -> Parameter:
    """Return an uninitialized parameter; `dtype=None` is the default dtype."""
    return Parameter(empty(shape, dtype=dtype, device=device))


def reset_grad(tensor: Tensor, *, set_to_none: bool) -> None:
    """Set `tensor.grad` to None if `set_to_none`, else to zeros; None stays None."""
    if set_to_none or tensor._grad is None:
        tensor._grad = None
    else:
        grad = tensor._grad._array
        # A graph may need the values of a recorded gradient.
        if tensor._grad._requires_grad or not change_in_place(grad, "fill", 0):
            tensor._grad = wrap(np.zeros_like(grad))


def refuse_module(value: Any, function: str, name: str) -> None:
    """Raise `TypeError` for a module or a method that was passed instead of its parameters."""
    if hasattr(value, "named_parameters"):
        raise TypeError(
            f"{function} takes {name}, got a {type(value).__name__}. Pass model.parameters()"
        )
    if isinstance(value, FunctionType | MethodType):
        method = value.__name__ if isinstance(value, MethodType) else "parameters"
        raise TypeError(
            f"{function} takes {name}, got the function {value.__qualname__}. Call it: "
            f"model.{method}()"
        )


# State


class IncompatibleKeys(NamedTuple):
    """Paths that `load_state_dict` found only in the model, and only in the state."""

    missing_keys: list[str]
    unexpected_keys: list[str]

    def __repr__(self) -> str:
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return (
            f"IncompatibleKeys(missing_keys={self.missing_keys}, "
            f"unexpected_keys={self.unexpected_keys})"
        )


def collect_state(
    model: Module, state: dict[str, Any], prefix: str, keep_vars: bool
) -> dict[str, Any]:
    """Add the parameters and persistent buffers of `model` to `state`, by path."""
    for path, module in model.named_modules(remove_duplicate=False):
        options: dict[str, Any] = {"recurse": False, "remove_duplicate": False}
        own: list[tuple[str, Tensor]] = [*module.named_parameters(**options)]
        own += [(n, t) for n, t in module.named_buffers(**options) if module._buffer_names[n]]
        for name, tensor in own:
            state[prefix + join_path(path, name)] = tensor if keep_vars else tensor.detach()
    return state


def join_path(path: str, name: str) -> str:
    """Return the path of `name` below `path`."""
    return f"{path}.{name}" if path else name


def load_state(
    model: Module, state: Mapping[str, Any], *, strict: bool, assign: bool
) -> IncompatibleKeys:
    """Load the values of `state` into `model`; see `Module.load_state_dict`."""
    if not hasattr(state, "keys"):
        raise TypeError(
            f"load_state_dict: the state is a {type(state).__name__}, expected a dict from paths "
            "to tensors, as state_dict() returns"
        )
    targets = model.state_dict(keep_vars=True)
    keys = IncompatibleKeys(
        [path for path in targets if path not in state],
        [path for path in state if path not in targets],
    )
    # Not by `as_array`, which would give numbers the default dtype: `_problems` checks the dtypes.
    arrays = {path: np.asarray(array_of(state[path])) for path in targets if path in state}
    problems = _problems(targets, arrays, assign=assign)
    if strict:
        problems = [
            *_listed("Missing", keys.missing_keys),
            *_listed("Unexpected", keys.unexpected_keys),
            *problems,
        ]
    if problems:
        raise RuntimeError(
            f"Error(s) in loading state_dict for {type(model).__name__}; nothing was loaded:\n\t"
            + "\n\t".join(problems)
        )
    for path, array in arrays.items():
        _load(targets[path], array, assign=assign)
    return keys


def _problems(
    targets: Mapping[str, Tensor], arrays: Mapping[str, Any], *, assign: bool
) -> list[str]:
    problems = []
    for path, array in arrays.items():
        target = targets[path]
        if array.dtype.kind not in "fiub":
            problems.append(f"{path} has dtype {array.dtype}, expected numbers ({target.dtype}).")
        elif array.shape != target.shape:
            problems.append(
                f"size mismatch for {path}: got values of shape {array.shape}, the shape in the "
                f"model is {target.shape}."
            )
        elif assign and target.requires_grad and array.dtype.kind != "f":
            problems.append(
                f"{path} has dtype {array.dtype}, expected floats for a parameter that requires "
                "grad. Convert the values, or pass assign=False."
            )
    return problems


def _listed(kind: str, paths: Iterable[str]) -> list[str]:
    names = ", ".join(f'"{path}"' for path in paths)
    return [f"{kind} key(s) in state_dict: {names}."] if names else []


def _load(target: Tensor, array: Any, *, assign: bool) -> None:
    with mutation_lock:  # so that a backward pass in another thread sees the change
        if assign:
            target._array = array
        else:
            # Casts between all dtypes, as PyTorch: a file may store integer counts as floats.
            np.copyto(target._array, array, casting="unsafe")
        record_change(target._array)
