"""Compiled modules: a module whose calls in evaluation run a program."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from tinygrad_fc.core.grad_mode import RECORD, UNCOMPILED, flags
from tinygrad_fc.core.node import Node
from tinygrad_fc.core.pytree import flatten
from tinygrad_fc.nn.module import Module

if TYPE_CHECKING:
    from tinygrad_fc.compiler.compiled import Compiled

_log = logging.getLogger(__name__)


class CompiledModule(Module):
    """What `compile` returns for a module: all of its attributes, and a compiled call.

    A call in evaluation runs a program, if no gradient can be asked for: grad mode is off, or
    neither a parameter nor an argument requires grad. Other calls run the module as it is; the
    first of them logs how a training step is compiled. The state is that of the module itself
    (`_orig_mod`): parameters, modes and hooks of the one are those of the other. `compiled` is the
    `Compiled` function, which has the source.

    >>> import tinygrad_fc as tg
    >>> model = tg.compile(tg.nn.Sequential(tg.nn.Linear(2, 1)).eval(), backend="numpy")
    >>> with tg.no_grad():
    ...     y = model(tg.ones(3, 2))
    >>> print(model.compiled.source.splitlines()[-2].strip())
    z1 = x.dot(weight_0.T) + bias_0  # (3)
    """

    __slots__ = ("_has_logged", "_orig_mod", "compiled")
    compiled: Compiled[..., Any]

    def __init_subclass__(cls) -> None:
        """Do nothing: the class of the module has been set up."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Return the result of the program, or of the module, which a gradient or training needs.

        Inside of another compiled function, the module is a part of its program.
        """
        mode = flags.get()
        if not (
            mode & UNCOMPILED
            or self.training
            or (mode & RECORD and self._is_recorded(args, kwargs))
        ):
            return self.compiled(*args, **kwargs)
        if not (mode & UNCOMPILED or self._has_logged):
            object.__setattr__(self, "_has_logged", True)
            _log.warning(
                "%s is compiled for calls in evaluation under no_grad(). This call is in training, "
                "or records a graph, and runs the module as it is. To compile training, write the "
                "whole step (zero_grad, loss, backward, optimizer.step) as a function, and compile "
                "that: step = tinygrad_fc.compile(step)",
                type(self._orig_mod).__name__,
            )
        return super().__call__(*args, **kwargs)

    @property
    def _calls(self) -> Any:
        """The calls compiled so far, under the name that they have in a compiled function."""
        return self.compiled._calls

    def _is_recorded(self, args: Any, kwargs: Any) -> bool:
        parameters = (p for _, p in self.named_parameters())  # without the warnings of parameters()
        tensors = (*parameters, *flatten((args, kwargs))[0])
        return any(isinstance(x, Node) and x._requires_grad for x in tensors)

    def __reduce__(self) -> Any:
        """Copy the module and its compiled function."""
        return compiled_module, (self._orig_mod, self.compiled)


def compiled_module(module: Module, compiled: Compiled[..., Any]) -> CompiledModule:
    """Return a module with the state of `module`, whose calls in evaluation are `compiled`."""
    kind = type(module)
    proxy: Any = object.__new__(type(f"Compiled{kind.__name__}", (CompiledModule, kind), {}))
    slots = {"_orig_mod": module, "compiled": compiled, "_has_logged": False}
    for name, value in {"__dict__": vars(module), **slots}.items():
        object.__setattr__(proxy, name, value)
    return proxy  # type: ignore[no-any-return]
