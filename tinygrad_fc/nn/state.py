"""A model's state: what is saved of it, and how it is put back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tinygrad_fc import graph
from tinygrad_fc.nn import walk
from tinygrad_fc.nn.parameter import Parameter
from tinygrad_fc.tensor import Tensor

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from tinygrad_fc.nn.module import Module


class IncompatibleKeys(NamedTuple):
    """What `load_state_dict` could not place: paths only in the model, and only in the state."""

    missing_keys: list[str]
    unexpected_keys: list[str]

    def __repr__(self) -> str:
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return (
            f"IncompatibleKeys(missing_keys={self.missing_keys}, "
            f"unexpected_keys={self.unexpected_keys})"
        )


def buffers(module: Module) -> Iterator[tuple[str, Tensor]]:
    """Yield name and tensor of the buffers that `module` itself holds."""
    for name in list(module._buffer_names):
        tensor = vars(module).get(name)
        if tensor is not None and not isinstance(tensor, Parameter):
            yield name, tensor


def _saved(root: Module) -> Iterator[tuple[str, Tensor]]:
    """Yield path and tensor of all that `state_dict` holds, in PyTorch's order."""
    for path, module in root.named_modules(remove_duplicate=False):
        for name, parameter in walk.held(module, Parameter):
            yield walk.join(path, name), parameter
        for name, tensor in buffers(module):
            if module._buffer_names[name]:
                yield walk.join(path, name), tensor


def gather(root: Module, into: dict[str, Any], prefix: str, keep_vars: bool) -> dict[str, Any]:
    """Put all that `root` saves into `into`, and return that."""
    for path, tensor in _saved(root):
        key = prefix + path
        value = tensor if keep_vars else tensor.detach()
        if key in into and into[key]._array is not tensor._array:
            raise KeyError(
                f"two tensors of {type(root).__name__} have the path {key!r}: rename an attribute "
                "or a key of a dict"
            )
        into[key] = value
    return into


def load(root: Module, given: Mapping[str, Any], *, strict: bool, assign: bool) -> IncompatibleKeys:
    """Put the values of `given` in their places in `root`; see `Module.load_state_dict`."""
    if not hasattr(given, "keys"):
        raise TypeError(
            f"load_state_dict takes a dict of values by path, got a {type(given).__name__}: pass "
            "what state_dict() returned"
        )
    places = dict(_saved(root))
    keys = IncompatibleKeys(
        [path for path in places if path not in given],
        [path for path in given if path not in places],
    )
    values = {path: _array(given[path]) for path in places if path in given}
    faults = _misfits(places, values)
    if strict:
        faults = [
            *_listed("Missing", keys.missing_keys),
            *_listed("Unexpected", keys.unexpected_keys),
            *faults,
        ]
    if faults:
        raise RuntimeError(
            f"Error(s) in loading state_dict for {type(root).__name__}; nothing was loaded:\n\t"
            + "\n\t".join(faults)
        )
    for path, value in values.items():
        _put(places[path], value, assign=assign)
    return keys


def _array(value: Any) -> Any:
    return value._array if isinstance(value, Tensor) else np.asarray(value)


def _misfits(places: Mapping[str, Tensor], values: Mapping[str, Any]) -> list[str]:
    faults = []
    for path, array in values.items():
        place = places[path]
        if array.dtype.kind not in "fiub":
            faults.append(
                f"{path} should be numbers of dtype {place.dtype}, got dtype {array.dtype}."
            )
        elif array.shape != place.shape:
            faults.append(
                f"size mismatch for {path}: got values of shape {array.shape}, the shape in the "
                f"model is {place.shape}."
            )
    return faults


def _listed(what: str, paths: Iterable[str]) -> list[str]:
    names = ", ".join(f'"{path}"' for path in paths)
    return [f"{what} key(s) in state_dict: {names}."] if names else []


def _put(place: Tensor, array: Any, *, assign: bool) -> None:
    if assign:
        place._array = array
    else:
        # Any number fits, as in PyTorch: counts that a file holds as floats are counts again.
        np.copyto(place._array, array, casting="unsafe")
    graph.changed(place._array)
