"""Functions that a module calls before or after its `forward`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tinygrad_fc.graph import state
from tinygrad_fc.tensor import RemovableHandle

if TYPE_CHECKING:
    from collections.abc import Callable

    from tinygrad_fc.nn.module import Module


class Hook:
    """A function to call, and what PyTorch's `register_forward_hook` lets one ask for."""

    __slots__ = ("always_call", "before", "function", "with_kwargs")

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        before: bool,
        with_kwargs: bool = False,
        always_call: bool = False,
    ) -> None:
        self.function, self.before = function, before
        self.with_kwargs, self.always_call = with_kwargs, always_call


def add(hooks: dict[int, Hook], hook: Hook, *, prepend: bool) -> RemovableHandle:
    """Put `hook` last among `hooks`, or first; return its handle."""
    handle = RemovableHandle(hooks)
    others = dict(hooks) if prepend else {}
    if prepend:
        hooks.clear()
    hooks[handle.id] = hook
    hooks.update(others)
    state.structure += 1
    return handle


def call(module: Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Call `module.forward` with the hooks around it: each may replace what goes in or out."""
    hooks = list((module._hooks or {}).values())
    called = []
    try:
        for hook in hooks:
            if hook.before:
                args, kwargs = _before(hook, module, args, kwargs)
        result = module.forward(*args, **kwargs)
        for hook in hooks:
            if not hook.before:
                called.append(hook)
                result = _after(hook, module, args, kwargs, result)
    except Exception:
        for hook in hooks:
            if hook.always_call and hook not in called:
                _after(hook, module, args, kwargs, None)
        raise
    return result


def _before(
    hook: Hook, module: Module, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    given = hook.function(module, args, kwargs) if hook.with_kwargs else hook.function(module, args)
    if given is None:
        return args, kwargs
    if not hook.with_kwargs:
        return (given if isinstance(given, tuple) else (given,)), kwargs
    if isinstance(given, tuple) and len(given) == 2:
        return given
    raise RuntimeError(
        f"a forward pre-hook registered with_kwargs returned {given!r:.80}; expected None, or a "
        "tuple of the new arguments (a tuple) and keyword arguments (a dict)"
    )


def _after(
    hook: Hook, module: Module, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any
) -> Any:
    settings = (kwargs,) if hook.with_kwargs else ()
    given = hook.function(module, args, *settings, result)
    return result if given is None else given
