"""Functions of tensors, and rows of the table, as rules."""

from __future__ import annotations

import inspect
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc import autograd, grad_mode
from tinygrad_fc.graph import Node, wrap
from tinygrad_fc.op import Op
from tinygrad_fc.testing.case import Rule
from tinygrad_fc.testing.pasting import note, spelled

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
Array = np.ndarray[Any, Any]
UNRECORDED = grad_mode.no_grad()


class Tensors(Rule):
    """A function of tensors, whose gradients are those that a walk back finds."""

    own = True

    def result(self, arrays: Sequence[Any], settings: dict[str, Any]) -> Array:
        """Return what the function makes of `arrays`."""
        __tracebackhide__ = True
        with UNRECORDED:
            parts = _parts(self.forward(*self._tensors(arrays), **settings))
        return _joined([t._array for t in parts])

    def gradients(
        self,
        g: Array,
        out: Any,
        arrays: Sequence[Any],
        settings: dict[str, Any],
        needing: Sequence[int] | None = None,
    ) -> Sequence[Any]:
        """Return the gradients of `arrays`; `out` stands in for the result where it is given."""
        __tracebackhide__ = True
        given, args = self._recorded(arrays, self.needing if needing is None else needing)
        parts = _parts(self.forward(*given, **settings))
        if out is not None and len(parts) == 1 and parts[0]._op is not None:
            parts[0]._array = out
        found = _walked(parts, args, wrap(np.asarray(g)), create=False)
        return [None if t is None else t._array for t in found]

    def second(
        self, h: Sequence[Any], g: Array, arrays: Sequence[Any], settings: dict[str, Any]
    ) -> Sequence[Any]:
        """Return the gradients of `g` and `arrays`, for those of what `gradients` returns."""
        __tracebackhide__ = True
        given, args = self._recorded(arrays, self.needing)
        seed = wrap(np.asarray(g)).requires_grad_()
        first = _walked(_parts(self.forward(*given, **settings)), args, seed, create=True)
        told = [
            (t, wrap(np.asarray(w)))
            for t, w in zip(first, h, strict=True)
            if t is not None and t._requires_grad
        ]
        wanted = [seed, *(a for a in args if a is not None)]
        if not told:
            return [np.zeros_like(a._array) for a in wanted]
        outs, weights = zip(*told, strict=True)
        found = iter(autograd.grad(outs, wanted, weights, materialize_grads=True))
        mine = next(found)._array
        return [mine, *(None if a is None else next(found)._array for a in args)]

    def _recorded(
        self, arrays: Sequence[Any], needing: Sequence[int] | None
    ) -> tuple[list[Any], list[Any]]:
        """Return what to call with, and the tensors among it that require grad, else None.

        Those that do not are plain arrays for a row, which takes them; a function may call methods.
        """
        given: list[Any] = []
        args: list[Any] = []
        plain = isinstance(self.forward, Op)
        for i, a in enumerate(map(np.asarray, arrays)):
            if a.dtype.kind == "f" and (needing is None or i in needing):
                given.append(wrap(a).requires_grad_())
                args.append(given[-1])
            else:
                given.append(arrays[i] if plain else wrap(a))
                args.append(None)
        return given, args

    def _tensors(self, arrays: Sequence[Any]) -> list[Any]:
        """Return `arrays` as a function gets them; whole numbers stay plain for a row."""
        every = [np.asarray(a) for a in arrays]
        if isinstance(self.forward, Op):
            return [wrap(a) if a.dtype.kind == "f" else a for a in every]
        if any(a.dtype.kind == "c" for a in every):
            raise TypeError("imaginary steps are for NumPy, and tensors are of real numbers")
        return [wrap(a) for a in every]


def _parts(value: Any) -> list[Any]:
    """Return the results of floats as tensors."""
    several = value if isinstance(value, tuple | list) else (value,)
    parts = [t if isinstance(t, Node) else wrap(np.asarray(t)) for t in several]
    floats = [t for t in parts if t._array.dtype.kind == "f"]
    return floats or parts


def returns_several(rule: Rule, arrays: Sequence[Any]) -> bool:
    """Tell whether a function of tensors returns several, which `result` joins."""
    with UNRECORDED:
        return isinstance(rule, Tensors) and isinstance(
            rule.forward(*rule._tensors(arrays)), tuple | list
        )


def _joined(arrays: Sequence[Array]) -> Array:
    """Return the one array, or several end to end."""
    return arrays[0] if len(arrays) == 1 else np.concatenate([a.ravel() for a in arrays])


def _walked(parts: Sequence[Any], args: Sequence[Any], g: Any, *, create: bool) -> list[Any]:
    """Return the gradients of `args`, None where there is none, for `g`, that of all results."""
    outs, seeds, start = [], [], 0
    for t in parts:
        array = t._array
        share = g
        if len(parts) > 1:
            share = g[start : start + array.size].reshape(array.shape)
            start += array.size
        if t._requires_grad:
            outs.append(t)
            seeds.append(share if share._array.dtype == array.dtype else share.to(array.dtype))
    wanted = [a for a in args if a is not None]
    if not outs or not wanted:
        return [None if a is None else wrap(np.zeros_like(a._array)) for a in args]
    found = iter(autograd.grad(outs, wanted, seeds, create_graph=create, materialize_grads=True))
    return [None if a is None else next(found) for a in args]


def of_function(f: Any) -> Rule:
    """Return a function of tensors as a rule."""
    if isinstance(f, Rule):
        return f
    here = spelled(f, "f")
    if isinstance(f, Op):
        return replace(of_op(f), spelled=f"check({here.text}", note=note(here))
    name = getattr(f, "__name__", type(f).__name__)
    return Tensors(*(name, f, f), names=names_of(f), spelled=f"check({here.text}", note=note(here))


def of_op(op: Op) -> Rule:
    """Return a row of the table as a rule."""
    told = [op.argument(i).partition(" (")[2].rstrip(")") for i in range(len(op.domain))]
    return Tensors(
        op.name, op, op, names=tuple(n for n in told if n), spelled=f"check_op({op.name!r}"
    )


def names_of(f: Callable[..., Any], skipped: int = 0) -> tuple[str, ...]:
    """Return the names of the arguments of `f`, none where they can't be told."""
    try:
        parameters = list(inspect.signature(f).parameters.values())
    except (TypeError, ValueError):
        return ()
    return tuple(p.name for p in parameters[skipped:] if p.kind < p.VAR_POSITIONAL)
