"""Hooks: functions that a module calls around forward and in the backward pass."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Literal

from tinygrad_fc.core.graph import Node
from tinygrad_fc.tensors import RemovableHandle

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tinygrad_fc.autograd.function import Function
    from tinygrad_fc.nn.module import Module


class Hook:
    """A function, the time of its call, and the options of PyTorch's `register_forward_hook`."""

    def __init__(
        self,
        function: Callable[..., Any],
        when: Literal["before", "after", "backward"],
        with_kwargs: bool = False,
        always_call: bool = False,
    ) -> None:
        self.function, self.when = function, when
        self.with_kwargs, self.always_call = with_kwargs, always_call


def add(hooks: dict[int, Hook], hook: Hook, *, prepend: bool) -> RemovableHandle:
    """Put `hook` last among `hooks`, or first; return its handle."""
    handle = RemovableHandle(hooks)
    others = dict(hooks) if prepend else {}
    if prepend:
        hooks.clear()
    hooks[handle.id] = hook
    hooks.update(others)
    return handle


def call(module: Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Return `module.forward(*args, **kwargs)`, with the hooks called around it."""
    hooks = list((module._hooks or {}).values())
    backward = [hook.function for hook in hooks if hook.when == "backward"]
    after = iter([hook for hook in hooks if hook.when == "after"])
    try:
        for hook in hooks:
            if hook.when == "before":
                args, kwargs = _before(hook, module, args, kwargs)
        gradients = _Gradients(module, backward) if backward else None
        if gradients:
            args = gradients.watch_inputs(args)
        result = module.forward(*args, **kwargs)
        for hook in after:
            result = _after(hook, module, args, kwargs, result)
        return gradients.watch_outputs(result) if gradients else result
    except Exception:
        for hook in after:  # that were not called yet
            if hook.always_call:
                _after(hook, module, args, kwargs, None)
        raise


def _before(
    hook: Hook, module: Module, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    options = (kwargs,) if hook.with_kwargs else ()
    result = hook.function(module, args, *options)
    if result is None:
        return args, kwargs
    if hook.with_kwargs:
        return result  # type: ignore[no-any-return]
    return (result if isinstance(result, tuple) else (result,)), kwargs


def _after(
    hook: Hook, module: Module, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any
) -> Any:
    options = (kwargs,) if hook.with_kwargs else ()
    replacement = hook.function(module, args, *options, result)
    return result if replacement is None else replacement


class _Gradients:
    """The gradients of one call's inputs and outputs, for its backward hooks.

    The inputs pass through one identity op and the outputs through another. The backward of the
    output op stores `grad_output`; that of the input op calls the hooks.
    """

    def __init__(self, module: Module, functions: Sequence[Callable[..., Any]]) -> None:
        self.module, self.functions = module, functions
        self.grad_output: tuple[Any, ...] = ()

    def watch_inputs(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return the inputs, passed through an identity op."""
        self.count = len(args)
        watched = _with_backward(self._call_hooks, args)
        self.no_input_op = watched is args  # then the output op calls the hooks
        return watched

    def watch_outputs(self, result: Any) -> Any:
        """Return the output or outputs, passed through an identity op."""
        if isinstance(result, tuple):
            return _with_backward(self._store, result)
        return _with_backward(self._store, (result,))[0]

    def _store(self, gradients: tuple[Any, ...]) -> tuple[Any, ...]:
        self.grad_output = gradients
        if self.no_input_op:
            self._call_hooks((None,) * self.count)
        return gradients

    def _call_hooks(self, grad_input: tuple[Any, ...]) -> tuple[Any, ...]:
        for function in self.functions:
            result = function(self.module, grad_input, self.grad_output)
            if result is not None:
                grad_input = result if isinstance(result, tuple) else (result,)
        return grad_input


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
