"""The base class of layers and models.

Parameters, buffers and submodules are in three dicts of a module, its registries, and nowhere else:
attributes are looked up there. `__new__` creates them, so that a subclass need not call
`super().__init__()`. All other state has defaults on the class.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self, TypeVar

import numpy as np

from tinygrad_fc.conversions import device_and_dtype
from tinygrad_fc.core import dtypes
from tinygrad_fc.core.device import CPU, device, gpu
from tinygrad_fc.core.errors import DtypeError
from tinygrad_fc.core.grad_mode import OBSERVED, flags, no_grad
from tinygrad_fc.nn import hooks
from tinygrad_fc.nn.layer_error import add_path
from tinygrad_fc.nn.parameter import Parameter, reset_grad
from tinygrad_fc.nn.state_dict import HasState, join_path
from tinygrad_fc.nn.unregistered import CONTAINERS, warn_of_layers_in_containers
from tinygrad_fc.tensors import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator


__all__ = ["Module"]

T = TypeVar("T")
_flags = flags.get
_NOTHING: Any = object()


class Module(HasState):
    """Base of layers and models: a subclass sets parameters and layers, and defines `forward`.

    An attribute that is a `Parameter` or a module is registered, in the order of assignment. Layers
    in a plain list, tuple or dict are not part of the module, as in PyTorch: use `ModuleList` or
    `ModuleDict`; the first call of `parameters` warns otherwise. A shared layer or parameter
    is listed once. Call the module, not its `forward`: only the call runs hooks, and adds the path
    in the model to errors.

    >>> import tinygrad_fc as tg
    >>> class Net(tg.nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.layers = tg.nn.ModuleList([tg.nn.Linear(3, 2), tg.nn.Linear(2, 1)])
    ...
    ...     def forward(self, x):
    ...         for layer in self.layers:
    ...             x = layer(x).tanh()
    ...         return x
    >>> [name for name, _ in Net().named_parameters()]
    ['layers.0.weight', 'layers.0.bias', 'layers.1.weight', 'layers.1.bias']
    >>> Net()(tg.zeros(5, 3)).shape
    Size([5, 1])
    """

    training: bool = True
    _shown: tuple[str, ...] = ()  # names of the settings that `repr` shows
    _plain_containers: Any = frozenset()  # names of attributes that may hide layers

    def __new__(cls, *_: Any, **__: Any) -> Self:
        self = super().__new__(cls)
        registries: dict[str, Any] = {"_parameters": {}, "_buffers": {}, "_modules": {}}
        vars(self).update(registries)
        return self

    def __init__(self) -> None:
        """Do nothing: `__new__` has created the registries."""

    def __call__(self, x: Any = _NOTHING, /, *more: Any, **kwargs: Any) -> Tensor:
        """Return the result of `forward`, with the hooks called around it."""
        # Nearly every call has one positional argument. Passing it alone, not as *args, saves a
        # third of the cost of a call.
        try:
            if self._hook_registries or kwargs or x is _NOTHING or _flags() & OBSERVED:
                result: Tensor = hooks.call(self, more if x is _NOTHING else (x, *more), kwargs)
            else:
                result = self.forward(x, *more) if more else self.forward(x)
        except Exception as error:
            add_path(error, self)
            raise
        return result  # type checkers assume a tensor; unpacked, it is tensors

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Return the output; every subclass defines this method."""
        del args, kwargs
        raise NotImplementedError(
            f"{type(self).__name__} has no forward, expected one in every subclass of Module. "
            "Define `def forward(self, x)`"
        )

    # Attributes

    def __getattr__(self, name: str) -> Any:
        parameters = self._parameters
        if name in parameters:
            return parameters[name]
        if name in self._modules:
            return self._modules[name]
        if name in self._buffers:
            return self._buffers[name]
        hint = ", or its property raised AttributeError" if hasattr(type(self), name) else ""
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}{hint}")

    def __setattr__(self, name: str, value: Any) -> None:
        if name in self._parameters:
            self._set(name, value, self._parameters, Parameter)
        elif isinstance(value, Parameter):
            self._remove(name, vars(self), self._buffers, self._modules)
            self.register_parameter(name, value)
        elif isinstance(value, Module):
            self._remove(name, vars(self), self._buffers)
            self._modules[name] = value
        elif name in self._modules:
            self._set(name, value, self._modules, Module)
        elif name in self._buffers:
            self._set(name, value, self._buffers, Tensor)
        else:
            if isinstance(value, CONTAINERS):
                vars(self).setdefault("_plain_containers", set()).add(name)
            super().__setattr__(name, value)

    def _set(self, name: str, value: Any, registry: dict[str, Any], kind: type) -> None:
        """Set an item of a registry to an instance of `kind` or None."""
        if value is not None and not isinstance(value, kind):
            raise TypeError(
                f"{name!r} of {type(self).__name__} is a registered {_ROLES[kind]}, and the new "
                f"value is {_described(value)}, expected a {kind.__name__} or None. "
                f"{_advice(name, kind)}"
            )
        registry[name] = value

    def _remove(self, name: str, *places: dict[str, Any]) -> None:
        for place in places:
            place.pop(name, None)
        self._set_persistent(name, persistent=True)

    def _set_persistent(self, name: str, *, persistent: bool) -> None:
        """Set whether `state_dict` includes the buffer `name`."""
        if (name in self._non_persistent_buffers_set) is persistent:
            names = self._non_persistent_buffers_set ^ {name}
            vars(self)["_non_persistent_buffers_set"] = names

    def __delattr__(self, name: str) -> None:
        for registry in (self._parameters, self._modules, self._buffers):
            if name in registry:
                self._remove(name, registry)
                return
        super().__delattr__(name)

    def __dir__(self) -> list[str]:
        names = {*super().__dir__(), *self._parameters, *self._modules, *self._buffers}
        return sorted(name for name in names if name.isidentifier())

    # Registration

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Set the attribute `name` to a parameter, as `self.name = param` does too.

        A parameter of this name is replaced. Raises `KeyError` for the name of another attribute or
        one that no attribute can have, `TypeError` for a value that is neither a `Parameter` nor
        None, which means no parameter.
        """
        self._register(name, param, self._parameters, Parameter)

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Set the attribute `name` to a buffer: a tensor that is state, but not learned.

        `to` converts it, and `state_dict` includes it if `persistent`. A tensor that is assigned to
        the attribute later becomes the buffer. Raises as `register_parameter` does.
        """
        self._register(name, tensor, self._buffers, Tensor)
        self._set_persistent(name, persistent=persistent)

    def add_module(self, name: str, module: Module | None) -> None:
        """Set the attribute `name`, which may be digits as in `Sequential`, to a module.

        Raises as `register_parameter` does.
        """
        self._register(name, module, self._modules, Module)

    register_module = add_module

    def _register(self, name: str, value: Any, registry: dict[str, Any], kind: type) -> None:
        if not isinstance(name, str):
            raise TypeError(f"{type(self).__name__}: name is {name!r}, expected a string")
        if not name or "." in name:
            raise KeyError(f"{type(self).__name__}: name is {name!r}, expected one without dots")
        if name not in registry and hasattr(self, name):
            raise KeyError(
                f"{type(self).__name__} has an attribute {name!r} already. Choose another name"
            )
        if value is not None and not isinstance(value, kind):
            raise TypeError(f"{name!r} is {_described(value)}, expected a {kind.__name__} or None")
        registry[name] = value

    # Traversal

    def named_modules(
        self, memo: set[Module] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Module]]:
        """Yield path and module of this module and all modules below it, parents first.

        `remove_duplicate=False` yields a shared module under each path.
        """
        memo = set() if memo is None else memo
        if self in memo:
            return
        if remove_duplicate:
            memo.add(self)
        yield prefix, self
        for name, child in self._modules.items():
            if child is not None:
                yield from child.named_modules(memo, join_path(prefix, name), remove_duplicate)

    def modules(self) -> Iterator[Module]:
        """Yield this module and all modules below it, each once."""
        return (module for _, module in self.named_modules())

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """Yield name and module of the direct submodules, each once."""
        return _unique(self._modules.items())

    def children(self) -> Iterator[Module]:
        """Yield the direct submodules, each once."""
        return (module for _, module in self.named_children())

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """Yield path and parameter; a shared one once, unless `remove_duplicate=False`."""
        return self._named_members(
            lambda module: module._parameters.items(), prefix, recurse, remove_duplicate
        )

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """Yield the parameters, each once; without `recurse`, not those of submodules.

        >>> import tinygrad_fc as tg
        >>> sum(p.numel() for p in tg.nn.Linear(3, 2).parameters())
        8
        """
        warn_of_layers_in_containers(self, stacklevel=2)
        return (parameter for _, parameter in self.named_parameters(recurse=recurse))

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        """Yield path and buffer; a shared one once, unless `remove_duplicate=False`."""
        return self._named_members(
            lambda module: module._buffers.items(), prefix, recurse, remove_duplicate
        )

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """Yield the buffers, each once; without `recurse`, not those of submodules."""
        return (buffer for _, buffer in self.named_buffers(recurse=recurse))

    def _named_members(
        self,
        get_members_fn: Callable[[Module], Iterable[tuple[str, T | None]]],
        prefix: str = "",
        recurse: bool = True,
        remove_duplicate: bool = True,
    ) -> Iterator[tuple[str, T]]:
        """Yield the members of this module, and of those below it if `recurse`, by path."""
        modules: Iterable[tuple[str, Module]] = [(prefix, self)]
        if recurse:
            modules = self.named_modules(prefix=prefix, remove_duplicate=remove_duplicate)
        named = (
            (join_path(path, name), member)
            for path, module in modules
            for name, member in get_members_fn(module)
        )
        if remove_duplicate:
            return _unique(named)
        return ((path, member) for path, member in named if member is not None)

    def get_submodule(self, target: str) -> Module:
        """Return the module at the path `target`, such as `"layers.0"`; `""` is this one.

        Raises `AttributeError` if there is none.
        """
        module: Any = self
        for name in target.split(".") if target else ():
            module = self._checked(target, "module", getattr(module, name, None), Module)
        return module  # type: ignore[no-any-return]

    def get_parameter(self, target: str) -> Parameter:
        """Return the parameter at the path `target`; raises `AttributeError` if there is none."""
        path, _, name = target.rpartition(".")
        value = getattr(self.get_submodule(path), name, None)
        return self._checked(target, "parameter", value, Parameter)  # type: ignore[no-any-return]

    def get_buffer(self, target: str) -> Tensor:
        """Return the buffer at the path `target`; raises `AttributeError` if there is none."""
        path, _, name = target.rpartition(".")
        value = self.get_submodule(path)._buffers.get(name)
        return self._checked(target, "buffer", value, Tensor)  # type: ignore[no-any-return]

    def _checked(self, path: str, kind: str, value: Any, expected: type) -> Any:
        if isinstance(value, expected):
            return value
        raise AttributeError(f"{type(self).__name__} has no {kind} at {path!r}")

    # Changes of the whole model

    def apply(self, fn: Callable[[Module], Any]) -> Self:
        """Call `fn` with each module, children first; return this one.

        A shared module is visited once per parent, as in PyTorch.
        """
        for child in self.children():
            child.apply(fn)
        fn(self)
        return self

    def train(self, mode: bool = True) -> Self:
        """Set `training` of all modules, which dropout and batch norm read; return this module."""
        if not isinstance(mode, bool):
            raise ValueError(f"the mode is {mode!r}, expected True or False. Write train(True)")  # noqa: TRY004  as in PyTorch
        self.training = mode
        for child in self.children():
            child.train(mode)
        return self

    def eval(self) -> Self:
        """Call `train(False)`."""
        return self.train(mode=False)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Freeze (`False`) or unfreeze every parameter; return the module."""
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Set each `.grad` to None, or to zeros unless `set_to_none`; None stays None."""
        for parameter in self.parameters():
            reset_grad(parameter, set_to_none=set_to_none)

    def to(self, *args: Any, **kwargs: Any) -> Self:
        """Convert parameters and buffers to a dtype or device, in place; return the module.

        Takes a dtype, a device, both, or a tensor that has them, by position or as `dtype=`,
        `device=`. Integer tensors keep their dtype. Raises `DtypeError` for a dtype that is not a
        float, `RuntimeError` for an unavailable device.
        """
        device, dtype = device_and_dtype(args, kwargs)
        return self._convert(device, None if dtype is None else np.dtype(dtype))

    def cpu(self) -> Self:
        """Call `to("cpu")`."""
        return self._convert(CPU)

    def cuda(self, device: Any = None) -> Self:
        """Call `to("cuda")`, or `to(device)` if a GPU is passed."""
        return self._convert(gpu(device))

    def double(self) -> Self:
        """Call `to(float64)`."""
        return self._convert(dtype=dtypes.float64)

    def float(self) -> Self:
        """Call `to(float32)`."""
        return self._convert(dtype=dtypes.float32)

    def half(self) -> Self:
        """Call `to(float16)`."""
        return self._convert(dtype=dtypes.float16)

    def _convert(self, to: device | None = None, dtype: np.dtype[Any] | None = None) -> Self:
        if dtype is not None and dtype.kind != "f":
            raise DtypeError(
                f"to: dtype is {dtype}, expected a float dtype. Use float32 or float64"
            )
        return self._apply(lambda t: t.to(to, dtype if t.dtype.kind == "f" else None))

    def _apply(self, fn: Callable[[Any], Any], recurse: bool = True) -> Self:
        """Replace the data of parameters and of gradients, and the buffers, by results of `fn`."""
        if recurse:
            for child in self.children():
                child._apply(fn)
        with no_grad():
            for parameter in self._parameters.values():
                for tensor in () if parameter is None else (parameter, parameter.grad):
                    if tensor is not None:
                        tensor.data = fn(tensor.data)
            for name, buffer in self._buffers.items():
                if buffer is not None:
                    self._buffers[name] = fn(buffer)
        return self

    # Representation

    def extra_repr(self) -> str:
        """Return the settings that `repr` shows, of the bias whether the layer has one."""
        values = ((name, getattr(self, name)) for name in self._shown)
        return ", ".join(
            f"{name}={value is not None if name == 'bias' else value!r}" for name, value in values
        )

    def _get_name(self) -> str:
        return type(self).__name__

    def _lines(self) -> list[str]:
        """Return one string per submodule for `repr`."""
        return [f"({name}): {indented(module)}" for name, module in self._modules.items()]

    def __repr__(self) -> str:
        extra, lines = self.extra_repr().split("\n"), self._lines()
        extra = extra if extra != [""] else []
        if len(extra) == 1 and not lines:
            return f"{self._get_name()}({extra[0]})"
        inside = "".join(f"\n  {line}" for line in extra + lines)
        return f"{self._get_name()}({inside}\n)" if inside else f"{self._get_name()}()"


def indented(value: object) -> str:
    """Return `repr(value)` with all lines but the first indented."""
    return repr(value).replace("\n", "\n  ")


def _unique(named: Iterable[tuple[str, T | None]]) -> Iterator[tuple[str, T]]:
    """Yield names and values, each value once and None never."""
    seen = set()
    for name, value in named:
        if value is not None and id(value) not in seen:
            seen.add(id(value))
            yield name, value


_ROLES: dict[type, str] = {Parameter: "parameter", Module: "submodule", Tensor: "buffer"}


def _described(value: object) -> str:
    if isinstance(value, type):
        return f"the class {value.__name__}, not an instance"
    return f"of type {type(value).__name__}"


def _advice(name: str, kind: type) -> str:
    if kind is Parameter:
        return (
            "Assign a Parameter; to change its values, write "
            f"`with no_grad(): module.{name}.copy_(values)`"
        )
    return (
        "Write tensor(value)"
        if kind is Tensor
        else f"Delete the attribute first: del module.{name}"
    )
