"""What every layer and model is.

A module keeps no books. What it holds is what its attributes are: parameters, modules, and the
lists, tuples and dicts of them, found by walking `vars(module)`. So `self.weight` is a plain
attribute, as fast as Python has them; layers in a list count; and a subclass that forgets
`super().__init__()` loses nothing, since every other piece of state has its default on the class.
"""

from __future__ import annotations

from itertools import chain
from reprlib import recursive_repr
from typing import TYPE_CHECKING, Any, Self, TypeVar

import numpy as np

from tinygrad_fc import dtypes, graph
from tinygrad_fc.device import CPU, device, gpu
from tinygrad_fc.errors import DtypeError
from tinygrad_fc.nn import hooks, state, walk
from tinygrad_fc.nn.error import rise
from tinygrad_fc.nn.parameter import Parameter, forget_grad
from tinygrad_fc.tensor import Tensor, device_and_dtype

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from tinygrad_fc.tensor import RemovableHandle

__all__ = ["Module"]

T = TypeVar("T")
_NOTHING: Any = object()


class Module:
    """A layer or a model: subclass it, hold parameters and layers as attributes, write `forward`.

    Attributes that are parameters or modules count, and so do lists, tuples and dicts of them,
    nested too, under names like `layers.0.weight`. One that is held twice counts once. Call the
    module, not its `forward`: hooks run then, and an error says where in the model it arose.

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
    (5, 1)
    """

    training: bool = True
    _buffer_names: Mapping[str, bool] = {}  # name: whether state_dict has it
    _hooks: dict[int, hooks.Hook] | None = None

    def __call__(self, x: Any = _NOTHING, /, *more: Any, **settings: Any) -> Any:
        """Return what `forward` returns, with the hooks around it."""
        # Nearly every call has one positional argument; handing it on by itself, not as *args,
        # takes a third off the cost of a call.
        try:
            if self._hooks or settings or x is _NOTHING:
                return hooks.call(self, more if x is _NOTHING else (x, *more), settings)
            return self.forward(x, *more) if more else self.forward(x)
        except Exception as error:
            rise(error, self)
            raise

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Compute the result: what a subclass is written for."""
        del args, kwargs
        raise NotImplementedError(
            f"{type(self).__name__} has no `forward`: define `def forward(self, x)` in the class, "
            "with what it should compute"
        )

    # What it holds

    def named_modules(
        self, memo: set[Module] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Module]]:
        """Yield path and module of this module and all below it, those above first.

        `remove_duplicate=False` yields a shared module under each of its paths; but where a
        module lies below itself, and so has endlessly many, each comes once after all.
        """
        if not remove_duplicate:
            try:
                return iter(walk.below(self, Module, prefix, None))
            except walk.CycleError:
                memo = None
        return iter(walk.below(self, Module, prefix, set() if memo is None else memo))

    def modules(self) -> Iterator[Module]:
        """Yield this module and all below it, each once."""
        return (module for _, module in self.named_modules())

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """Yield name and module of those that this one holds directly, each once."""
        return _once(walk.held(self, Module))

    def children(self) -> Iterator[Module]:
        """Yield the modules that this one holds directly, each once."""
        return (module for _, module in self.named_children())

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """Yield path and parameter; a shared one once, unless `remove_duplicate=False`."""
        return self._named(
            lambda module: walk.held(module, Parameter), prefix, recurse, remove_duplicate
        )

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """Yield the parameters, each once; those of modules below only if `recurse`.

        >>> import tinygrad_fc as tg
        >>> sum(p.numel() for p in tg.nn.Linear(3, 2).parameters())
        8
        """
        return (parameter for _, parameter in self.named_parameters(recurse=recurse))

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        """Yield path and buffer; a shared one once, unless `remove_duplicate=False`."""
        return self._named(state.buffers, prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """Yield the buffers, each once; those of modules below only if `recurse`."""
        return (buffer for _, buffer in self.named_buffers(recurse=recurse))

    def _named(
        self,
        of: Callable[[Module], Iterable[tuple[str, T]]],
        prefix: str,
        recurse: bool,
        remove_duplicate: bool,
    ) -> Iterator[tuple[str, T]]:
        modules: Iterable[tuple[str, Module]] = [(prefix, self)]
        if recurse:
            modules = self.named_modules(prefix=prefix, remove_duplicate=remove_duplicate)
        named = (
            (walk.join(path, name), tensor)
            for path, module in modules
            for name, tensor in of(module)
        )
        return _once(named) if remove_duplicate else named

    def get_submodule(self, target: str) -> Module:
        """Return the module at the path `target`, such as `"layers.0"`; `""` is this one.

        Raises `AttributeError` where there is none.
        """
        return self._at(target, "module", self.named_modules(remove_duplicate=False))

    def get_parameter(self, target: str) -> Parameter:
        """Return the parameter at the path `target`; raises `AttributeError` if there is none."""
        return self._at(target, "parameter", self.named_parameters(remove_duplicate=False))

    def get_buffer(self, target: str) -> Tensor:
        """Return the buffer at the path `target`; raises `AttributeError` if there is none."""
        return self._at(target, "buffer", self.named_buffers(remove_duplicate=False))

    def _at(self, path: str, what: str, named: Iterable[tuple[str, T]]) -> T:
        found = dict(named)
        if path not in found:
            from difflib import get_close_matches  # noqa: PLC0415  rare, and an import takes time

            near = get_close_matches(path, found, n=3, cutoff=0)
            raise AttributeError(
                f"{type(self).__name__} has no {what} at {path!r}"
                + (f"; the nearest are {', '.join(map(repr, near))}" if near else "")
            )
        return found[path]

    # What is added to it

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Hold `param` as the attribute `name`, which `self.name = param` does as well.

        Raises `KeyError` for a name that is taken or that no attribute could have, `TypeError`
        for what is neither a `Parameter` nor None, which stands for one that is left out.
        """
        self._register(name, param, Parameter)

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Hold `tensor` as the attribute `name`: part of the model's state, but not learned.

        It goes along with `to`, and into `state_dict` if `persistent`. Another tensor assigned to
        the attribute is the buffer then. Raises as `register_parameter` does.
        """
        if name in self._buffer_names:
            delattr(self, name)
        self._register(name, tensor, Tensor)
        vars(self).setdefault("_buffer_names", {})[name] = persistent

    def add_module(self, name: str, module: Module | None) -> None:
        """Hold `module` as the attribute `name`, which may be a number, as in `Sequential`.

        Raises as `register_parameter` does.
        """
        self._register(name, module, Module)

    def register_module(self, name: str, module: Module | None) -> None:
        """Do what `add_module` does."""
        self.add_module(name, module)

    def _register(self, name: str, value: Any, kind: type) -> None:
        if not isinstance(name, str):
            raise TypeError(f"a name in a module is a string, got {name!r}")
        if not name or "." in name:
            raise KeyError(f"a name in a module has a letter and no dot, got {name!r}")
        there = vars(self).get(name, _NOTHING) if hasattr(self, name) else None
        if there is not None and not isinstance(there, kind):
            raise KeyError(f"{type(self).__name__} has an attribute {name!r} already")
        if value is not None and not isinstance(value, kind):
            raise TypeError(f"{name!r} must be a {kind.__name__} or None, got {_told(value)}")
        setattr(self, name, value)

    def __setattr__(self, name: str, value: Any) -> None:
        old = vars(self).get(name)
        if isinstance(old, Parameter | Module) and not isinstance(value, _REPLACES):
            kind = "Parameter" if isinstance(old, Parameter) else "Module"
            raise TypeError(
                f"{name!r} of {type(self).__name__} is a {kind}, and {_told(value)} would take its "
                f"place unnoticed by optimizers and state_dict. Assign a {kind} or None; to change "
                f"a parameter's values, write `with no_grad(): module.{name}.copy_(values)`"
            )
        if name in self._buffer_names and not isinstance(value, Tensor | None):
            raise TypeError(f"buffer {name!r} must be a Tensor or None, got {_told(value)}")
        super().__setattr__(name, value)
        graph.state.structure += 1

    def __delattr__(self, name: str) -> None:
        super().__delattr__(name)
        graph.state.structure += 1
        if name in self._buffer_names:
            vars(self)["_buffer_names"].pop(name)

    def __dir__(self) -> list[str]:
        return [name for name in super().__dir__() if not name[0].isdigit()]

    # What is done to all of it

    def apply(self, fn: Callable[[Module], Any]) -> Self:
        """Call `fn` with each module once, those below first; return this one."""
        modules: list[Module] = walk.above_last(self, Module, set())
        for module in modules:
            fn(module)
        return self

    def train(self, mode: bool = True) -> Self:
        """Set `training`, which dropout and batch norm go by, here and below; return the module."""
        if not isinstance(mode, bool):
            raise ValueError(f"training mode is True or False, got {mode!r}")  # noqa: TRY004  PyTorch's
        for module in self.modules():
            module.training = mode
        return self

    def eval(self) -> Self:
        """Do `train(False)`."""
        return self.train(mode=False)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Freeze (`False`) or unfreeze every parameter; return the module."""
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget every parameter's `.grad`, or fill it with zeros if `set_to_none=False`."""
        for parameter in self.parameters():
            forget_grad(parameter, set_to_none=set_to_none)

    def to(self, *args: Any, **kwargs: Any) -> Self:
        """Give parameters and buffers another dtype or device, in place; return the module.

        Takes a dtype, a tensor whose dtype and device are meant, a device, or a device and a
        dtype, by position or as `dtype=`, `device=`. Tensors of whole numbers keep their dtype.
        Raises `DtypeError` for a dtype that is not a float, `RuntimeError` for a device that is
        not there.
        """
        where, dtype = device_and_dtype(args, kwargs)
        return self._moved(where, None if dtype is None else np.dtype(dtype))

    def cpu(self) -> Self:
        """Do `to("cpu")`."""
        return self._moved(CPU)

    def cuda(self, device: Any = None) -> Self:
        """Do `to("cuda")`, or `to` another device."""
        return self._moved(gpu(device))

    def double(self) -> Self:
        """Do `to(float64)`."""
        return self._moved(dtype=dtypes.float64)

    def float(self) -> Self:
        """Do `to(float32)`."""
        return self._moved(dtype=dtypes.float32)

    def half(self) -> Self:
        """Do `to(float16)`."""
        return self._moved(dtype=dtypes.float16)

    def _moved(self, where: device | None = None, dtype: np.dtype[Any] | None = None) -> Self:
        if dtype is not None and dtype.kind != "f":
            raise DtypeError(
                f"a module's dtype must be a float, got {dtype}: try float32 or float64"
            )
        for tensor in chain(self.parameters(), self.buffers()):
            for t in (tensor, tensor.grad):
                if t is not None:
                    t.data = t.data.to(where, dtype if t.dtype.kind == "f" else None)
        return self

    # State

    def state_dict(
        self, *, destination: Any = None, prefix: str = "", keep_vars: bool = False
    ) -> dict[str, Any]:
        """Return all parameters and persistent buffers by path, detached, sharing their memory.

        A shared parameter comes under each of its paths, as in PyTorch. `keep_vars=True` gives
        the parameters themselves. Paths begin with `prefix`; `destination`, a dict, is filled.
        Copy what should outlast further training: `copy.deepcopy(model.state_dict())`.

        >>> import tinygrad_fc as tg
        >>> {name: t.shape for name, t in tg.nn.Linear(3, 2).state_dict().items()}
        {'weight': (2, 3), 'bias': (2,)}
        """
        return state.gather(self, {} if destination is None else destination, prefix, keep_vars)

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> state.IncompatibleKeys:
        """Copy values, tensors or arrays, by path into parameters and buffers.

        `strict=False` leaves out what is only here or only there, and returns the paths as
        `missing_keys` and `unexpected_keys`. `assign=True` takes the memory and the dtype of the
        values in place of a copy. Raises `RuntimeError` that names everything that is missing,
        unexpected, or of another shape, and changes nothing then.
        """
        return state.load(self, state_dict, strict=strict, assign=assign)

    # Hooks

    def register_forward_pre_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """Call `hook(module, args)` before each `forward`; return a handle that removes it.

        What it returns, unless None, replaces the arguments. `with_kwargs` calls
        `hook(module, args, kwargs)`, which returns both or None; `prepend` puts it first.
        """
        return self._hook(hooks.Hook(hook, before=True, with_kwargs=with_kwargs), prepend=prepend)

    def register_forward_hook(
        self,
        hook: Callable[..., Any],
        *,
        prepend: bool = False,
        with_kwargs: bool = False,
        always_call: bool = False,
    ) -> RemovableHandle:
        """Call `hook(module, args, output)` after each `forward`; return a handle to remove it.

        What it returns, unless None, replaces the output. `with_kwargs` calls
        `hook(module, args, kwargs, output)`; `prepend` puts it first; `always_call` calls it even
        where `forward` raised, with the output None.
        """
        entry = hooks.Hook(hook, before=False, with_kwargs=with_kwargs, always_call=always_call)
        return self._hook(entry, prepend=prepend)

    def _hook(self, hook: hooks.Hook, *, prepend: bool) -> RemovableHandle:
        return hooks.add(vars(self).setdefault("_hooks", {}), hook, prepend=prepend)

    # Text

    def extra_repr(self) -> str:
        """Return what `repr` shows of the settings: for a subclass to write."""
        return ""

    def _get_name(self) -> str:
        return type(self).__name__

    def _lines(self) -> list[str]:
        """Return what `repr` shows of the modules below, an item each."""
        return [f"({name}): {indented(module)}" for name, module in walk.held(self, Module)]

    @recursive_repr("(...)")
    def __repr__(self) -> str:
        extra, lines = self.extra_repr().split("\n"), self._lines()
        extra = extra if extra != [""] else []
        if len(extra) == 1 and not lines:
            return f"{self._get_name()}({extra[0]})"
        inside = "".join(f"\n  {line}" for line in extra + lines)
        return f"{self._get_name()}({inside}\n)" if inside else f"{self._get_name()}()"

    def _repr_html_(self) -> str:
        from tinygrad_fc.viz.html import module_html  # noqa: PLC0415  for notebooks alone

        return module_html(self)


# What may be assigned where a parameter or module was: what is found by walking, or nothing.
_REPLACES = (Parameter, Module, *walk.PLAIN, type(None))


def indented(value: object) -> str:
    """Return the `repr` of `value` for a line inside another's."""
    return repr(value).replace("\n", "\n  ")


def _once(named: Iterable[tuple[str, T]]) -> Iterator[tuple[str, T]]:
    seen = set()
    for name, value in named:
        if id(value) not in seen:
            seen.add(id(value))
            yield name, value


def _told(value: object) -> str:
    return (
        f"{value.__name__}, a class: call it"
        if isinstance(value, type)
        else f"a {type(value).__name__}"
    )
