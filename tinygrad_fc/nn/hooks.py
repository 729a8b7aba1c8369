"""Hooks: functions that a module calls around forward, in the backward pass, and with its state."""

from __future__ import annotations

import warnings
from collections import OrderedDict
from contextlib import nullcontext
from functools import cache
from typing import TYPE_CHECKING, Any

from tinygrad_fc.core.grad_fn import RemovableHandle
from tinygrad_fc.core.node import Node
from tinygrad_fc.core.seam import observer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tinygrad_fc.autograd.function import Function


class Registry:
    """Descriptor of one kind of hooks of a module: a dict from the id of a handle to a function.

    The dicts of all kinds are in the attribute `_hook_registries`, which is None until one of them
    is needed, so that a call of a module without hooks reads one attribute.
    """

    def __set_name__(self, owner: type[Any], name: str) -> None:
        self.name = name

    def __get__(self, module: Any, owner: Any = None) -> OrderedDict[int, Any]:
        if module is None:
            return self  # type: ignore[return-value]
        registries = vars(module).setdefault("_hook_registries", {})
        return registries.setdefault(self.name, OrderedDict())  # type: ignore[no-any-return]

    def __set__(self, module: Any, hooks: dict[int, Any]) -> None:
        vars(module).setdefault("_hook_registries", {})[self.name] = hooks


def functions(module: Any, kind: str) -> list[Any]:
    """Return the hooks of a kind, such as "_forward_hooks", in the order of their calls."""
    registries = module._hook_registries
    return list(registries[kind].values()) if registries and kind in registries else []


def add(
    module: Any, kind: str, hook: Callable[..., Any], *, prepend: bool = False, **options: bool
) -> RemovableHandle:
    """Put `hook` last among the hooks of its kind, or first; return its handle.

    The registry `<kind>_<option>` has the ids of the hooks for which the option is true.
    """
    hooks = getattr(module, kind)
    flags = [getattr(module, f"{kind}_{name}") for name, value in options.items() if value]
    handle = RemovableHandle(hooks, hook, *flags)
    if prepend:
        hooks.move_to_end(handle.id, last=False)
    return handle


class HasHooks:
    """Base of `Module`: its registries of hooks, named as in PyTorch, and their methods."""

    _hook_registries: dict[str, dict[int, Any]] | None = None
    _forward_pre_hooks = Registry()
    _forward_pre_hooks_with_kwargs = Registry()
    _forward_hooks = Registry()
    _forward_hooks_with_kwargs = Registry()
    _forward_hooks_always_called = Registry()
    _backward_pre_hooks = Registry()
    _backward_hooks = Registry()
    _state_dict_pre_hooks = Registry()
    _state_dict_hooks = Registry()
    _load_state_dict_pre_hooks = Registry()
    _load_state_dict_pre_hooks_with_module = Registry()
    _load_state_dict_post_hooks = Registry()

    def register_forward_pre_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """Call `hook(module, args)` before each `forward`; return a handle that removes it.

        Its result, unless None, replaces the arguments. `with_kwargs` calls
        `hook(module, args, kwargs)`, which returns both or None; `prepend` puts it first.
        """
        kind = "_forward_pre_hooks"
        return add(self, kind, hook, prepend=prepend, with_kwargs=with_kwargs)

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
        options = {"with_kwargs": with_kwargs, "always_called": always_call}
        return add(self, "_forward_hooks", hook, prepend=prepend, **options)

    def register_full_backward_pre_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> RemovableHandle:
        """Call `hook(module, grad_output)` in each backward pass, before that of the module.

        Its result, unless None, replaces `grad_output`, which has one gradient per output.
        """
        return add(self, "_backward_pre_hooks", hook, prepend=prepend)

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
        return add(self, "_backward_hooks", hook, prepend=prepend)

    def register_state_dict_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call `hook(module, prefix, keep_vars)` before `state_dict` saves this module."""
        return add(self, "_state_dict_pre_hooks", hook)

    def register_state_dict_post_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call `hook(module, state_dict, prefix, local_metadata)` after this module is saved."""
        return add(self, "_state_dict_hooks", hook)

    _register_state_dict_hook = register_state_dict_post_hook

    def register_load_state_dict_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call `hook(module, ...)` with the arguments of `_load_from_state_dict`, before it.

        The hook may change the dict, for example rename its paths, which begin with `prefix`.
        """
        return self._register_load_state_dict_pre_hook(hook, with_module=True)

    def _register_load_state_dict_pre_hook(
        self, hook: Callable[..., Any], with_module: bool = False
    ) -> RemovableHandle:
        return add(self, "_load_state_dict_pre_hooks", hook, with_module=with_module)

    def register_load_state_dict_post_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call `hook(module, incompatible_keys)` after this module and those below it are loaded.

        The hook may change the two lists, and so what `load_state_dict` complains of.
        """
        return add(self, "_load_state_dict_post_hooks", hook)


def has_any(module: Any) -> bool:
    """Return whether a module has hooks, of any kind."""
    return bool(module._hook_registries) and any(module._hook_registries.values())


def call(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Return `module.forward(*args, **kwargs)`, with the hooks called around it."""
    by = observer()
    registries, result = module._hook_registries or {}, None
    after = iter(list(registries.get("_forward_hooks", {}).items()))
    with_kwargs = registries.get("_forward_hooks_with_kwargs", ())
    try:
        for key, hook in list(registries.get("_forward_pre_hooks", {}).items()):
            if key in registries.get("_forward_pre_hooks_with_kwargs", ()):
                args, kwargs = _with_kwargs(hook(module, args, kwargs), args, kwargs)
            else:
                replaced = hook(module, args)
                args = args if replaced is None else _as_tuple(replaced)
        pre, post = functions(module, "_backward_pre_hooks"), functions(module, "_backward_hooks")
        gradients = _Gradients(module, pre, post) if pre or post else None
        if gradients:
            args = gradients.watch_inputs(args)
        with nullcontext() if by is None else by.module(module):
            result = module.forward(*args, **kwargs)
        for key, hook in after:
            options = (kwargs,) if key in with_kwargs else ()
            replaced = hook(module, args, *options, result)
            result = result if replaced is None else replaced
        return gradients.watch_outputs(result) if gradients else result
    except Exception:
        for key, hook in after:  # that were not called yet
            if key in registries.get("_forward_hooks_always_called", ()):
                options = (kwargs,) if key in with_kwargs else ()
                replaced = _call_after_error(hook, module, args, *options, result)
                result = result if replaced is None else replaced
        raise


def _as_tuple(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)


def _with_kwargs(result: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Return the arguments after a pre-hook with kwargs, which returned `result`."""
    if result is None:
        return args, kwargs
    if not (isinstance(result, tuple) and len(result) == 2):
        raise RuntimeError(
            f"a forward pre-hook with kwargs returned {result!r:.80}, expected None or a pair. "
            "Return (args, kwargs)"
        )
    return result


def _call_after_error(hook: Any, *args: Any) -> Any:
    """Call a hook with `always_call`; an error of its own must not hide the first one."""
    try:
        return hook(*args)
    except Exception as error:  # noqa: BLE001  of any kind
        warnings.warn(
            f"a forward hook with always_call=True raised {error!r} after another error",
            stacklevel=4,
        )
        return None


class _Gradients:
    """The gradients of one call's inputs and outputs, for its backward hooks.

    The inputs pass through one identity op and the outputs through another. The backward of the
    output op calls the pre-hooks and stores `grad_output`; that of the input op calls the hooks.
    """

    def __init__(self, module: Any, pre: Sequence[Any], post: Sequence[Any]) -> None:
        self.module, self.pre, self.post = module, pre, post
        self.grad_output: tuple[Any, ...] = ()

    def watch_inputs(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return the inputs, passed through an identity op."""
        self.count = len(args)
        watched = _with_backward(self._call_hooks, args) if self.post else args
        self.no_input_op = watched is args  # then the output op calls the hooks
        return watched

    def watch_outputs(self, result: Any) -> Any:
        """Return the output or outputs, passed through an identity op."""
        if isinstance(result, tuple):
            return _with_backward(self._store, result)
        if not isinstance(result, Node):
            warnings.warn(
                f"{type(self.module).__name__} returned {type(result).__name__}, expected a tensor "
                "or a tuple of tensors, since it has backward hooks. They do not get grad_output",
                stacklevel=4,
            )
        return _with_backward(self._store, (result,))[0]

    def _store(self, gradients: tuple[Any, ...]) -> tuple[Any, ...]:
        for hook in self.pre:
            gradients = _replaced(hook(self.module, gradients), gradients, "grad_output")
        self.grad_output = gradients
        if self.no_input_op:
            self._call_hooks((None,) * self.count)
        return gradients

    def _call_hooks(self, gradients: tuple[Any, ...]) -> tuple[Any, ...]:
        for hook in self.post:
            result = hook(self.module, gradients, self.grad_output)
            gradients = _replaced(result, gradients, "grad_input")
        return gradients


def _replaced(result: Any, before: tuple[Any, ...], what: str) -> tuple[Any, ...]:
    """Return the gradients after a backward hook, which returned `result`."""
    if result is None:
        return before
    after = _as_tuple(result)
    if len(after) != len(before):
        raise RuntimeError(
            f"a backward hook returned {len(after)} gradients as {what}, expected {len(before)}. "
            "Return None to change nothing"
        )
    return after


def _with_backward(
    callback: Callable[[tuple[Any, ...]], tuple[Any, ...]], values: tuple[Any, ...]
) -> tuple[Any, ...]:
    """Pass the values that require grad through an identity op with `callback` as backward.

    `callback` gets and returns one gradient per value, None for a value that does not require grad.
    """
    positions = [k for k, v in enumerate(values) if isinstance(v, Node) and v._requires_grad]
    if not positions:
        return values
    count = len(values)

    def backward(gradients: tuple[Any, ...]) -> tuple[Any, ...]:
        by_position = dict(zip(positions, gradients, strict=True))
        result = callback(tuple(by_position.get(k) for k in range(count)))
        return tuple(result[k] for k in positions)

    results = _identity().apply(backward, *[values[k] for k in positions])
    watched = dict(zip(positions, results, strict=True))
    return tuple(watched.get(k, value) for k, value in enumerate(values))


@cache
def _identity() -> type[Function]:
    """Return the identity op with a callback as its backward, one class for all calls."""
    from tinygrad_fc.autograd.function import Function  # noqa: PLC0415  not loaded by training

    class Identity(Function):
        @staticmethod
        def forward(ctx: Any, callback: Any, *tensors: Any) -> Any:
            ctx.callback = callback
            return tensors

        @staticmethod
        def backward(ctx: Any, *gradients: Any) -> Any:
            return None, *ctx.callback(gradients)

    return Identity
