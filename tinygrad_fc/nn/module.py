"""The base class of layers and models.

A module has no registries: its methods scan `vars(module)` for parameters and submodules, also in
lists, tuples and dicts. So `self.weight` is a plain attribute, and layers may be in a list. A
subclass need not call `super().__init__()`, since all other state has defaults on the class.
"""

from __future__ import annotations

from collections import UserDict
from itertools import chain
from typing import TYPE_CHECKING, Any, Self, TypeVar

import numpy as np

from tinygrad_fc.core import dtypes
from tinygrad_fc.core.device import CPU, device, gpu
from tinygrad_fc.core.errors import DtypeError
from tinygrad_fc.core.printing import html_table, shape_text
from tinygrad_fc.nn import hooks
from tinygrad_fc.nn.layer_error import add_path
from tinygrad_fc.nn.parameter import Parameter, collect_state, join_path, load_state, reset_grad
from tinygrad_fc.tensors import Tensor, device_and_dtype

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from tinygrad_fc.nn.parameter import IncompatibleKeys
    from tinygrad_fc.tensors import RemovableHandle

__all__ = ["Module"]

T = TypeVar("T")
_NOTHING: Any = object()
_CONTAINERS = (list, tuple, dict)


class Module:
    """Base of layers and models: a subclass sets parameters and layers, and defines `forward`.

    Parameters and modules in lists, tuples and dicts belong to the model too, under names such as
    `layers.0.weight`; a shared one is listed once. `state_dict` and `repr` raise
    `RecursionError` for a module that contains itself, as in PyTorch. Call the module, not its
    `forward`: only the call runs hooks, and adds the path in the model to errors.

    >>> import tinygrad_fc as tg
    >>> class Net(tg.nn.Module):
    ...     def __init__(self):
    ...         self.layers = [tg.nn.Linear(3, 2), tg.nn.Linear(2, 1)]
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
    _buffer_names: Mapping[str, bool] = {}  # name: whether it is persistent
    _shown: tuple[str, ...] = ()  # names of the settings that `repr` shows
    _hooks: dict[int, hooks.Hook] | None = None

    def __call__(self, x: Any = _NOTHING, /, *more: Any, **kwargs: Any) -> Tensor:
        """Return the result of `forward`, with the hooks called around it."""
        # Nearly every call has one positional argument. Passing it alone, not as *args, saves a
        # third of the cost of a call.
        try:
            if self._hooks or kwargs or x is _NOTHING:
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

    # Parameters, buffers, submodules

    def named_modules(
        self, memo: set[Module] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Module]]:
        """Yield path and module of this module and all modules below it, parents first.

        `remove_duplicate=False` yields a shared module under each path.
        """
        seen = set() if memo is None else memo
        return iter(_submodules(self, prefix, seen if remove_duplicate else None))

    def modules(self) -> Iterator[Module]:
        """Yield this module and all modules below it, each once."""
        return (module for _, module in self.named_modules())

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """Yield name and module of the direct submodules, each once."""
        return _unique(members(self, Module))

    def children(self) -> Iterator[Module]:
        """Yield the direct submodules, each once."""
        return (module for _, module in self.named_children())

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """Yield path and parameter; a shared one once, unless `remove_duplicate=False`."""
        return self._named(
            lambda module: members(module, Parameter), prefix, recurse, remove_duplicate
        )

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """Yield the parameters, each once; without `recurse`, not those of submodules.

        >>> import tinygrad_fc as tg
        >>> sum(p.numel() for p in tg.nn.Linear(3, 2).parameters())
        8
        """
        return (parameter for _, parameter in self.named_parameters(recurse=recurse))

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        """Yield path and buffer; a shared one once, unless `remove_duplicate=False`."""
        return self._named(Module._own_buffers, prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """Yield the buffers, each once; without `recurse`, not those of submodules."""
        return (buffer for _, buffer in self.named_buffers(recurse=recurse))

    def _own_buffers(self) -> list[tuple[str, Tensor]]:
        tensors = ((name, vars(self).get(name)) for name in self._buffer_names)
        return [(name, t) for name, t in tensors if t is not None and not isinstance(t, Parameter)]

    def _named(
        self,
        own: Callable[[Module], Iterable[tuple[str, T]]],
        prefix: str,
        recurse: bool,
        remove_duplicate: bool,
    ) -> Iterator[tuple[str, T]]:
        modules: Iterable[tuple[str, Module]] = [(prefix, self)]
        if recurse:
            modules = self.named_modules(prefix=prefix, remove_duplicate=remove_duplicate)
        named = (
            (join_path(path, name), tensor)
            for path, module in modules
            for name, tensor in own(module)
        )
        return _unique(named) if remove_duplicate else named

    @property
    def _modules(self) -> _Modules:
        """The direct submodules by name, as in PyTorch; assigning an item adds a module."""
        return _Modules(self)

    def get_submodule(self, target: str) -> Module:
        """Return the module at the path `target`, such as `"layers.0"`; `""` is this one.

        Raises `AttributeError` if there is none.
        """
        return self._get(target, "module", self.named_modules(remove_duplicate=False))

    def get_parameter(self, target: str) -> Parameter:
        """Return the parameter at the path `target`; raises `AttributeError` if there is none."""
        return self._get(target, "parameter", self.named_parameters(remove_duplicate=False))

    def get_buffer(self, target: str) -> Tensor:
        """Return the buffer at the path `target`; raises `AttributeError` if there is none."""
        return self._get(target, "buffer", self.named_buffers(remove_duplicate=False))

    def _get(self, path: str, kind: str, named: Iterable[tuple[str, T]]) -> T:
        by_path = dict(named)
        if path not in by_path:
            raise AttributeError(f"{type(self).__name__} has no {kind} at {path!r}")
        return by_path[path]

    # Registration

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Set the attribute `name` to a parameter, as `self.name = param` does too.

        A parameter of this name is replaced. Raises `KeyError` for the name of another attribute or
        one that no attribute can have, `TypeError` for a value that is neither a `Parameter` nor
        None, which means no parameter.
        """
        self._register(name, param, Parameter)

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Set the attribute `name` to a buffer: a tensor that is state, but not learned.

        `to` converts it, and `state_dict` includes it if `persistent`. A tensor that is assigned to
        the attribute later becomes the buffer. Raises as `register_parameter` does.
        """
        if name in self._buffer_names:
            delattr(self, name)
        self._register(name, tensor, Tensor)
        vars(self).setdefault("_buffer_names", {})[name] = persistent

    def add_module(self, name: str, module: Module | None) -> None:
        """Set the attribute `name`, which may be digits as in `Sequential`, to a module.

        Raises as `register_parameter` does.
        """
        self._register(name, module, Module)

    register_module = add_module

    def _register(self, name: str, value: Any, kind: type) -> None:
        if not isinstance(name, str):
            raise TypeError(f"{type(self).__name__}: name is {name!r}, expected a string")
        if not name or "." in name:
            raise KeyError(f"{type(self).__name__}: name is {name!r}, expected one without dots")
        # For a name that only the class has, such as a method, `old` is `_NOTHING`, an instance of
        # no `kind`.
        old = vars(self).get(name, _NOTHING) if hasattr(self, name) else None
        if old is not None and not isinstance(old, kind):
            raise KeyError(
                f"{type(self).__name__} has an attribute {name!r} already. Choose another name"
            )
        if value is not None and not isinstance(value, kind):
            raise TypeError(f"{name!r} is {_described(value)}, expected a {kind.__name__} or None")
        setattr(self, name, value)

    def __setattr__(self, name: str, value: Any) -> None:
        old = vars(self).get(name)
        if isinstance(old, Parameter | Module) and not isinstance(value, _REPLACEMENTS):
            kind = "Parameter" if isinstance(old, Parameter) else "Module"
            raise TypeError(
                f"{name!r} of {type(self).__name__} is a {kind}; optimizers and state_dict would "
                f"ignore its new value, which is {_described(value)}. Assign a {kind} or None; to "
                f"change a parameter's values, write `with no_grad(): module.{name}.copy_(values)`"
            )
        if name in self._buffer_names and not isinstance(value, Tensor | None):
            raise TypeError(
                f"buffer {name!r} is {_described(value)}, expected a Tensor or None. Write "
                "tensor(value)"
            )
        super().__setattr__(name, value)

    def __delattr__(self, name: str) -> None:
        super().__delattr__(name)
        if name in self._buffer_names:
            vars(self)["_buffer_names"].pop(name)

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
        for module in self.modules():
            module.training = mode
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
        for tensor in chain(self.parameters(), self.buffers()):
            for t in (tensor, tensor.grad):
                if t is not None:
                    t.data = t.data.to(to, dtype if t.dtype.kind == "f" else None)
        return self

    # State

    def state_dict(
        self, *, destination: Any = None, prefix: str = "", keep_vars: bool = False
    ) -> dict[str, Any]:
        """Return a dict of all parameters and persistent buffers by path, detached, not copied.

        A shared parameter is under each of its paths, as in PyTorch. `keep_vars=True` returns the
        parameters themselves. Paths begin with `prefix`; `destination` is the dict to fill.
        Training changes the values in the dict: `copy.deepcopy(model.state_dict())` preserves them.

        >>> import tinygrad_fc as tg
        >>> {name: t.shape for name, t in tg.nn.Linear(3, 2).state_dict().items()}
        {'weight': Size([2, 3]), 'bias': Size([2])}
        """
        return collect_state(self, {} if destination is None else destination, prefix, keep_vars)

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> IncompatibleKeys:
        """Copy the tensors or arrays of `state_dict` into the parameters and buffers by path.

        `strict=False` ignores paths that only one side has, and returns them as `missing_keys` and
        `unexpected_keys`. `assign=True` uses the memory and dtype of the values instead of a copy.
        Raises `RuntimeError` with a list of missing and unexpected paths and wrong shapes, and then
        changes nothing.
        """
        return load_state(self, state_dict, strict=strict, assign=assign)

    # Hooks

    def register_forward_pre_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """Call `hook(module, args)` before each `forward`; return a handle that removes it.

        Its result, unless None, replaces the arguments. `with_kwargs` calls
        `hook(module, args, kwargs)`, which returns both or None; `prepend` puts it first.
        """
        return self._hook(hooks.Hook(hook, "before", with_kwargs), prepend=prepend)

    def register_forward_hook(
        self,
        hook: Callable[..., Any],
        *,
        prepend: bool = False,
        with_kwargs: bool = False,
        always_call: bool = False,
    ) -> RemovableHandle:
        """Call `hook(module, args, output)` after each `forward`; return a handle to remove it.

        Its result, unless None, replaces the output. `with_kwargs` calls
        `hook(module, args, kwargs, output)`; `prepend` puts it first; `always_call` calls it also
        if `forward` raised, with the output None.
        """
        return self._hook(hooks.Hook(hook, "after", with_kwargs, always_call), prepend=prepend)

    def register_full_backward_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> RemovableHandle:
        """Call `hook(module, grad_input, grad_output)` in each backward pass; return a handle.

        `grad_input` has one gradient per positional argument of `forward`, or None for an argument
        that does not require grad; `grad_output` has one per output. The hook may return another
        `grad_input`.

        >>> import tinygrad_fc as tg
        >>> layer = tg.nn.Tanh()
        >>> handle = layer.register_full_backward_hook(lambda _, grad_input, __: print(grad_input))
        >>> layer(tg.tensor([0.0], requires_grad=True)).sum().backward()
        (tensor([1.]),)
        """
        return self._hook(hooks.Hook(hook, "backward"), prepend=prepend)

    def _hook(self, hook: hooks.Hook, *, prepend: bool) -> RemovableHandle:
        return hooks.add(vars(self).setdefault("_hooks", {}), hook, prepend=prepend)

    def extra_repr(self) -> str:
        """Return the settings that `repr` shows, of a parameter whether the layer has it."""
        values = ((name, getattr(self, name)) for name in self._shown)
        return ", ".join(
            f"{name}={value is not None if name == 'bias' else value!r}" for name, value in values
        )

    def _get_name(self) -> str:
        return type(self).__name__

    def _lines(self) -> list[str]:
        """Return one string per submodule for `repr`."""
        return [f"({name}): {indented(module)}" for name, module in members(self, Module)]

    def __repr__(self) -> str:
        extra, lines = self.extra_repr().split("\n"), self._lines()
        extra = extra if extra != [""] else []
        if len(extra) == 1 and not lines:
            return f"{self._get_name()}({extra[0]})"
        inside = "".join(f"\n  {line}" for line in extra + lines)
        return f"{self._get_name()}({inside}\n)" if inside else f"{self._get_name()}()"

    def _repr_html_(self) -> str:
        rows = []
        for path, module in self.named_modules():
            own = [(name, p.shape) for name, p in module.named_parameters(recurse=False)]
            shapes = ", ".join(f"{name} {shape_text(shape)}" for name, shape in own)
            count = sum(p.numel() for p in module.parameters(recurse=False))
            layer = f"{type(module).__name__}({module.extra_repr()})"
            rows.append((path, layer, shapes, f"{count:,}"))
        rows.append(("total", "", "", f"{sum(p.numel() for p in self.parameters()):,}"))
        return html_table(("path", "layer", "parameters", "count"), rows)


_REPLACEMENTS = (Parameter, Module, *_CONTAINERS, type(None))  # of a parameter or module


class _Modules(UserDict[str, Any]):
    """The direct submodules of a module by name; changes of it change the module."""

    def __init__(self, module: Module) -> None:
        self.module, self.data = module, dict(members(module, Module))

    def items(self) -> Any:
        """Return the names and modules; unlike the views of `UserDict`, they can be reversed."""
        return self.data.items()

    def values(self) -> Any:
        """Return the modules."""
        return self.data.values()

    def __setitem__(self, name: str, module: Module | None) -> None:
        self.module.add_module(name, module)
        super().__setitem__(name, module)

    def __delitem__(self, name: str) -> None:
        delattr(self.module, name)
        super().__delitem__(name)


def members(owner: object, kind: type[T]) -> list[tuple[str, T]]:
    """Return (name, value) of all attributes of type `kind`, and of such items in containers.

    Items of lists, tuples and dicts, nested too, have names `attribute.key`.
    """
    result: list[tuple[str, T]] = []
    for name, value in vars(owner).items():
        _collect(name, value, kind, result)
    return result


def _collect(name: str, value: Any, kind: type[T], result: list[tuple[str, T]]) -> None:
    if isinstance(value, kind):
        result.append((name, value))
    elif isinstance(value, _CONTAINERS):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            _collect(f"{name}.{key}", item, kind, result)


def _submodules(root: Module, path: str, seen: set[Module] | None) -> list[tuple[str, Module]]:
    """Return (path, module) of `root` and all modules below it, each once if `seen` is a set."""
    if seen is not None:
        if root in seen:
            return []
        seen.add(root)
    result = [(path, root)]
    for name, module in members(root, Module):
        result += _submodules(module, join_path(path, name), seen)
    return result


def indented(value: object) -> str:
    """Return `repr(value)` with all lines but the first indented."""
    return repr(value).replace("\n", "\n  ")


def _unique(named: Iterable[tuple[str, T]]) -> Iterator[tuple[str, T]]:
    seen = set()
    for name, value in named:
        if id(value) not in seen:
            seen.add(id(value))
            yield name, value


def _described(value: object) -> str:
    if isinstance(value, type):
        return f"the class {value.__name__}, not an instance"
    return f"of type {type(value).__name__}"
