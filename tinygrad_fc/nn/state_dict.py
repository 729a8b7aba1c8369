"""The state of a model: parameters and buffers by path, collected and loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tinygrad_fc import graph
from tinygrad_fc.tensor import Tensor

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tinygrad_fc.nn.module import Module


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


def collect(model: Module, state: dict[str, Any], prefix: str, keep_vars: bool) -> dict[str, Any]:
    """Add the parameters and persistent buffers of `model` to `state`, by path."""
    for path, module in model.named_modules(remove_duplicate=False):
        options: dict[str, Any] = {"recurse": False, "remove_duplicate": False}
        own: list[tuple[str, Tensor]] = [*module.named_parameters(**options)]
        own += [(n, t) for n, t in module.named_buffers(**options) if module._buffer_names[n]]
        for name, tensor in own:
            state[prefix + join(path, name)] = tensor if keep_vars else tensor.detach()
    return state


def join(path: str, name: str) -> str:
    """Return the path of `name` below `path`."""
    return f"{path}.{name}" if path else name


def load(
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
    arrays = {path: _array(state[path]) for path in targets if path in state}
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


def _array(value: Any) -> Any:
    return value._array if isinstance(value, Tensor) else np.asarray(value)


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
    with graph.mutation_lock:
        if assign:
            target._array = array
        else:
            # Casts between all dtypes, as PyTorch: a file may store integer counts as floats.
            np.copyto(target._array, array, casting="unsafe")
        graph.record_change(target._array)
