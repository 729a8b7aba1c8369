"""Save and load the state of a model: parameters, persistent buffers and extra state, by path.

A model is saved and loaded module by module, by methods that a module may override.
"""

from __future__ import annotations

from collections import OrderedDict
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tinygrad_fc.core.graph import mutation_lock, record_change
from tinygrad_fc.core.node import array_of, set_array
from tinygrad_fc.core.seam import like
from tinygrad_fc.nn.hooks import HasHooks, functions

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tinygrad_fc.nn.parameter import Parameter
    from tinygrad_fc.tensors import Tensor

EXTRA_STATE = "_extra_state"
"""Name of what `get_extra_state` returns, as in PyTorch."""


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


def join_path(path: str, name: str) -> str:
    """Return the path of `name` below `path`."""
    return f"{path}.{name}" if path else name


class HasState(HasHooks):
    """Base of `Module`: its registries of tensors and modules, and their state."""

    _version: int = 1  # of the state, in its metadata
    _parameters: dict[str, Parameter | None]
    _buffers: dict[str, Tensor | None]
    _modules: dict[str, Any]
    _non_persistent_buffers_set: frozenset[str] = frozenset()

    def state_dict(
        self, destination: Any = None, prefix: str = "", keep_vars: bool = False
    ) -> dict[str, Any]:
        """Return a dict of all parameters and persistent buffers by path, detached, not copied.

        A shared parameter is under each of its paths, as in PyTorch. `keep_vars=True` returns the
        parameters themselves. Paths begin with `prefix`; `destination` is the dict to fill. The
        state of submodules is what their own `state_dict` adds, and `get_extra_state` returns.
        Training changes the values in the dict: `copy.deepcopy(model.state_dict())` preserves them.

        >>> import tinygrad_fc as tg
        >>> {name: t.shape for name, t in tg.nn.Linear(3, 2).state_dict().items()}
        {'weight': Size([2, 3]), 'bias': Size([2])}
        """
        return save(self, destination, prefix, keep_vars)  # type: ignore[no-any-return]

    def _named_state(self) -> Iterator[tuple[str, Tensor]]:
        """Yield name and tensor of the own parameters and persistent buffers."""
        transient = self._buffers.keys() & self._non_persistent_buffers_set
        for name, tensor in chain(self._parameters.items(), self._buffers.items()):
            if tensor is not None and name not in transient:
                yield name, tensor

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        """Add the state of this module itself, not that of submodules."""
        for name, tensor in self._named_state():
            destination[prefix + name] = tensor if keep_vars else tensor.detach()
        if type(self).get_extra_state is not HasState.get_extra_state:
            destination[prefix + EXTRA_STATE] = self.get_extra_state()

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> IncompatibleKeys:
        """Copy the tensors or arrays of `state_dict` into the parameters and buffers by path.

        `strict=False` ignores paths that only one side has, and returns them as `missing_keys` and
        `unexpected_keys`. `assign=True` uses the memory and dtype of the values instead of a copy.
        Raises `RuntimeError` with a list of missing and unexpected paths and wrong shapes, and then
        changes no tensor.
        """
        return load(self, state_dict, strict=strict, assign=assign)

    def _load_from_state_dict(
        self,
        state_dict: dict[str, Any],
        prefix: str,
        local_metadata: Mapping[str, Any],
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        """Load the state of this module itself, and add what is wrong to the last three lists.

        The paths of its values in `state_dict` begin with `prefix`.
        """
        lists = (missing_keys, unexpected_keys, error_msgs)
        registries = self._hook_registries or {}
        for number, hook in list(registries.get("_load_state_dict_pre_hooks", {}).items()):
            with_module = number in registries.get("_load_state_dict_pre_hooks_with_module", ())
            module = (self,) if with_module else ()
            hook(*module, state_dict, prefix, local_metadata, strict, *lists)
        own = dict(self._named_state())
        assign = bool(local_metadata.get("assign_to_params_buffers"))
        for name, tensor in own.items():
            if prefix + name in state_dict:
                error_msgs += _load(prefix + name, tensor, state_dict[prefix + name], assign=assign)
            elif strict:
                missing_keys.append(prefix + name)
        key = prefix + EXTRA_STATE
        has_extra_state = type(self).set_extra_state is not HasState.set_extra_state
        if has_extra_state and key in state_dict:
            self.set_extra_state(state_dict[key])
        elif has_extra_state and strict:
            missing_keys.append(key)
        if strict:
            known = {prefix + name for name in own} | ({key} if has_extra_state else set())
            children = tuple(f"{prefix}{name}." for name in self._modules)
            unexpected_keys += [
                path
                for path in state_dict
                if path.startswith(prefix) and path not in known and not path.startswith(children)
            ]

    def get_extra_state(self) -> Any:
        """Return what `state_dict` saves besides tensors; a subclass may define it."""
        raise self._no_extra_state("get_extra_state")

    def set_extra_state(self, state: Any) -> None:
        """Restore what `get_extra_state` returned; a subclass may define it."""
        del state
        raise self._no_extra_state("set_extra_state")

    def _no_extra_state(self, method: str) -> RuntimeError:
        return RuntimeError(
            f"{type(self).__name__} has no {method}, expected one in a class with extra state. "
            "Define get_extra_state and set_extra_state"
        )


# Saving


def save(module: Any, destination: Any, prefix: str, keep_vars: bool) -> Any:
    """Add the state of `module` and of the modules below it to a dict; return the dict."""
    if destination is None:
        destination = OrderedDict()
        destination._metadata = OrderedDict()
    version = {"version": module._version}
    if hasattr(destination, "_metadata"):
        destination._metadata[prefix.removesuffix(".")] = version
    for hook in functions(module, "_state_dict_pre_hooks"):
        hook(module, prefix, keep_vars)
    module._save_to_state_dict(destination, prefix, keep_vars)
    for name, child in module._modules.items():
        if child is not None:
            options = {"prefix": f"{prefix}{name}.", "keep_vars": keep_vars}
            child.state_dict(destination=destination, **options)
    for hook in functions(module, "_state_dict_hooks"):
        replaced = hook(module, destination, prefix, version)
        destination = destination if replaced is None else replaced
    return destination


# Loading


def load(module: Any, state: Mapping[str, Any], *, strict: bool, assign: bool) -> IncompatibleKeys:
    """Load `state` into `module` and the modules below it; see `Module.load_state_dict`."""
    if not hasattr(state, "keys"):
        raise TypeError(
            f"load_state_dict: the state is a {type(state).__name__}, expected a dict from paths "
            "to tensors, as state_dict() returns"
        )
    keys, errors = IncompatibleKeys([], []), list[str]()
    metadata = getattr(state, "_metadata", {})
    tensors = [*module.parameters(), *module.buffers()]
    before = [(t, array_of(t), array_of(t).copy()) for t in tensors]

    def load_module(inner: Any, local: dict[str, Any], prefix: str) -> None:
        versions = {**metadata.get(prefix.removesuffix("."), {})}
        if assign:
            versions["assign_to_params_buffers"] = True
        inner._load_from_state_dict(local, prefix, versions, True, *keys, errors)  # noqa: FBT003
        for name, child in inner._modules.items():
            if child is not None:
                inside = f"{prefix}{name}."
                part = {key: value for key, value in local.items() if key.startswith(inside)}
                load_module(child, part, inside)
        for hook in functions(inner, "_load_state_dict_post_hooks"):
            hook(inner, keys)

    load_module(module, dict(state), "")
    if strict:
        errors[:0] = [*_listed("Missing", keys[0]), *_listed("Unexpected", keys[1])]
    if errors:
        for tensor, array, values in before:
            set_array(tensor, array)
            _load("", tensor, values, assign=False)
        raise RuntimeError(
            f"Error(s) in loading state_dict for {type(module).__name__}; nothing was loaded:\n\t"
            + "\n\t".join(errors)
        )
    return keys


def _listed(kind: str, paths: list[str]) -> list[str]:
    names = ", ".join(f'"{path}"' for path in paths)
    return [f"{kind} key(s) in state_dict: {names}."] if names else []


def _load(path: str, target: Tensor, value: Any, *, assign: bool) -> list[str]:
    """Load a value of a state dict into `target`, or return what is wrong with it."""
    # not `as_array`, which gives numbers the default dtype
    array = np.asarray(array_of(value), like=like())
    if array.dtype.kind not in "fiub":
        return [f"{path} has dtype {array.dtype}, expected numbers ({target.dtype})."]
    if array.shape != target.shape:
        got = f"got values of shape {array.shape}, the shape in the model is {target.shape}"
        return [f"size mismatch for {path}: {got}."]
    if assign and target.requires_grad and array.dtype.kind != "f":
        expected = "floats for a parameter that requires grad"
        advice = "Convert the values, or pass assign=False"
        return [f"{path} has dtype {array.dtype}, expected {expected}. {advice}."]
    with mutation_lock:  # so that a backward pass in another thread sees the change
        if assign:
            set_array(target, array)
        else:
            # Casts between all dtypes, as PyTorch: a file may store integer counts as floats.
            np.copyto(array_of(target), array, casting="unsafe")
        record_change(array_of(target))
    return []
