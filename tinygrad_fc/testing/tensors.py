"""Functions of tensors, modules and ops with their gradients."""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc import autograd
from tinygrad_fc.autograd import forward_ad
from tinygrad_fc.core.node import Node, leaf_of
from tinygrad_fc.core.op import Op, _no_rule
from tinygrad_fc.func import functional_call
from tinygrad_fc.functional.creation import zeros_like
from tinygrad_fc.functional.joining import cat
from tinygrad_fc.testing.adapters import Library, LibraryFunction, backward_passes
from tinygrad_fc.testing.failure import placeholder_comment
from tinygrad_fc.testing.function import argument_names

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tinygrad_fc.nn import Module
    from tinygrad_fc.testing.failure import Code
    from tinygrad_fc.testing.function import CheckedFunction
    from tinygrad_fc.testing.report import Array

__tracebackhide__ = True  # pytest shows the lines of the user


class TensorFunction(LibraryFunction):
    """A function of tensors, whose gradients the backward pass computes."""

    of_tensors = True

    def gradients(self, g: Array, out: Any, arrays: Sequence[Any]) -> Sequence[Any]:
        """Return the gradients of `arrays`; `out` replaces the result."""
        args = self._native(arrays)
        result, pull = self._run(args)
        if out is not None and result._op is not None:
            result._array = out
        return self._by_argument(pull(leaf_of(np.asarray(g)), retain_graph=False), args)

    def dual_tangent(self, tangents: Mapping[int, Array], arrays: Sequence[Array]) -> Array:
        """Return the tangent of the result by dual numbers, for tangents by argument."""
        args = [*self._native(arrays)]
        with forward_ad.dual_level():
            for i, v in tangents.items():
                args[i] = forward_ad.make_dual(args[i].requires_grad_(), leaf_of(v))
            result = self._result(*args)
            tangent: Any = forward_ad.unpack_dual(result).tangent
            return np.zeros_like(result._array) if tangent is None else np.array(tangent._array)

    def _result(self, *args: Any) -> Any:
        """Return the float results as one tensor."""
        value = self.forward(*args, **self.settings)
        several = value if isinstance(value, tuple | list) else (value,)
        parts: list[Any] = [t if isinstance(t, Node) else leaf_of(np.asarray(t)) for t in several]
        parts = [t for t in parts if t._array.dtype.kind == "f"] or parts
        return parts[0] if len(parts) == 1 else cat([t.reshape(-1) for t in parts])


TENSORS = Library(
    *("tensors", lambda a: leaf_of(np.asarray(a)), lambda t: t._array),
    *(backward_passes(autograd.grad, zeros_like), cat),
)
"""This library, as one of those whose functions are checked."""


def of_module(module: Module, source: Code, count: int) -> tuple[CheckedFunction, dict[str, Any]]:
    """Return a module as a function of `count` inputs and its parameters, and these by name."""
    own = {name: p for name, p in module.named_parameters() if p._requires_grad}

    def forward(*args: Any) -> Any:
        tensors = dict(zip(own, args[count:], strict=True))
        for dtype in [a.dtype for a in args if a.dtype.kind == "f"][:1]:  # the dtype of the example
            tensors |= {n: b.to(dtype) for n, b in module.named_buffers() if b.dtype.kind == "f"}
        return functional_call(module, tensors, args[:count])

    functools.update_wrapper(forward, module.forward, assigned=())  # its signature
    function = of_function(forward, source)
    inputs = (*argument_names(module.forward), *(f"input {i}" for i in range(count)))[:count]
    limits = (f"Parameters checked too: {', '.join(own)}",) if own else ()
    names, name = (*inputs, *own), type(module).__name__
    return replace(function, name=name, names=names, limits=limits, inputs=count), own


def of_function(f: Any, *sources: Code) -> CheckedFunction:
    """Return a function of tensors, or an op, with its gradients; `sources` are how to write it."""
    names = f.operands if isinstance(f, Op) else argument_names(f)
    name = f.name if isinstance(f, Op) else getattr(f, "__name__", type(f).__name__)
    call = f"check({sources[0].text}, {{}}){placeholder_comment(*sources)}"
    return TensorFunction(name, f, names=names, call=call, library=TENSORS)


# Ops


def differentiable(op: Op) -> tuple[int, ...]:
    """Return which arguments of `op` have a vjp rule; none where it is a constant."""
    count = range(0 if op.rules is None else len(op.domain))
    return tuple(i for i in count if getattr(op.rules[i], "func", None) is not _no_rule)


def of_op(op: Op, source: Code) -> tuple[CheckedFunction, tuple[Any, ...]]:
    """Return an op with its gradients, and its domain."""
    floats = differentiable(op)
    function = replace(of_function(op, source), differentiable=floats)
    domains = tuple(
        d if i in floats or d.kind != "float" else d._replace(kind="constant")
        for i, d in enumerate(op.domain)
    )
    return function, domains
