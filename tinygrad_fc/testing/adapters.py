"""Functions of PyTorch, JAX and HIPS autograd as rules, which `check` takes."""

from __future__ import annotations

import functools
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.testing.failure import code_note, function_code
from tinygrad_fc.testing.laws import aligned
from tinygrad_fc.testing.rule import Rule, argument_names

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Pullback = Callable[..., tuple[Any, Callable[..., Sequence[Any]]]]

__tracebackhide__ = True  # pytest shows the lines of the user

Array = np.ndarray[Any, Any]


CONSTANT = (
    "The parameters of the model are constants, their gradients are not checked: pass them as "
    "arguments, as torch.func.functional_call takes them"
)


class Foreign(Rule):
    """A function of another library, whose loops may depend on the addresses of its arrays."""

    repeatable = False


class Compiled(Foreign):
    """A function that is compiled for each shape."""

    few_shapes = True


def from_torch(f: Callable[..., Any]) -> Rule:
    """Return a function of PyTorch's tensors as a rule, whose gradients are those of PyTorch.

    The parameters of a model are constants, as the report says: only its inputs are arguments.
    Raises `ImportError` without torch.

    >>> from_torch(abs)  # doctest: +SKIP
    Rule(name='abs', ...)
    """
    torch = import_module("torch")

    def tensor(a: Any) -> Any:
        t = torch.from_numpy(aligned(np.asarray(a)))
        return t.requires_grad_() if t.dtype.is_floating_point else t

    def pullback(function: Callable[..., Any], floats: Sequence[Any]) -> Any:
        out = function(*floats)
        outs = out if isinstance(out, tuple) else (out,)

        def pull(g: Any) -> list[Any]:
            weights = g if isinstance(g, tuple) else (g,)
            pairs = [(t, w) for t, w in zip(outs, weights, strict=True) if t.requires_grad]
            grads = [None] * len(floats)
            if pairs:
                tracked, used = zip(*pairs, strict=True)
                options = {"create_graph": True, "allow_unused": True}
                grads = torch.autograd.grad(tracked, floats, used, **options)
            return [
                torch.zeros_like(x) if t is None else t for t, x in zip(grads, floats, strict=True)
            ]

        return out, pull

    return _rule("torch", f, tensor, lambda t: t.numpy(force=True), pullback, Foreign)


def from_jax(f: Callable[..., Any]) -> Rule:
    """Return a function of JAX's arrays as a rule, whose gradients are those of `jax.vjp`.

    JAX computes in float32 unless `jax.config.update("jax_enable_x64", True)` is called; without
    it check with `dtypes=np.float32`. It compiles for each shape: two are drawn, with many values.

    Raises:
    `ImportError` without jax.
    """
    jax = import_module("jax")

    def pullback(function: Callable[..., Any], floats: Sequence[Any]) -> Any:
        out, pull = jax.vjp(function, *floats)
        dtypes = jax.tree.map(lambda a: a.dtype, out)
        return out, lambda g: pull(jax.tree.map(jax.numpy.asarray, g, dtypes))

    return _rule("jax", f, lambda a: aligned(np.asarray(a)), np.array, pullback, Compiled)


def from_autograd(f: Callable[..., Any]) -> Rule:
    """Return a function of HIPS autograd (`autograd.numpy`) as a rule.

    Raises `ImportError` without autograd.
    """
    core, builtins = import_module("autograd.core"), import_module("autograd.builtins")

    def pullback(function: Callable[..., Any], floats: Sequence[Any]) -> Any:
        def of_tuple(t: Any) -> Any:
            out = function(*t)
            return builtins.tuple(tuple(out)) if isinstance(out, tuple | list) else out

        pull, out = core.make_vjp(of_tuple, builtins.tuple(tuple(floats)))
        return out, lambda g: pull(builtins.tuple(g) if isinstance(g, tuple) else g)

    return _rule("autograd", f, np.asarray, np.array, pullback, Foreign)


def _rule(
    library: str,
    f: Callable[..., Any],
    native: Callable[[Any], Any],
    to_numpy: Callable[[Any], Array],
    pullback: Pullback,
    kind: type[Foreign],
) -> Rule:
    """Return the rule of a function, from `pullback(function, floats)`: its result and its vjp."""
    if not callable(f):
        raise TypeError(f"from_{library} got {f!r:.80}; expected a function of its arrays")

    def one_result(*args: Any) -> Any:
        out = f(*args)
        if not hasattr(out, "dtype"):
            raise TypeError(
                f"from_{library}: the function returned {out!r:.80}; expected one tensor or array. "
                "Choose one, or join them, as by a lambda"
            )
        return out

    def split(arrays: Sequence[Any]) -> tuple[list[bool], list[Any], Callable[..., Any]]:
        """Return which arguments are floats, these, and the function of them alone."""
        is_float = [np.asarray(a).dtype.kind == "f" for a in arrays]
        args = [native(a) for a in arrays]

        def of_floats(*floats: Any) -> Any:
            rest = iter(floats)
            return one_result(
                *(next(rest) if x else a for a, x in zip(args, is_float, strict=True))
            )

        return is_float, [a for a, x in zip(args, is_float, strict=True) if x], of_floats

    def forward(*arrays: Any) -> Any:
        return to_numpy(one_result(*map(native, arrays)))

    def vjp(g: Any, _out: Any, *arrays: Any) -> Any:
        is_float, floats, of_floats = split(arrays)
        _, pull = pullback(of_floats, floats)
        grads = iter(pull(native(g)))
        return tuple(to_numpy(next(grads)) if x else None for x in is_float)

    def vjp2(h: Any, g: Any, *arrays: Any) -> Any:
        is_float, floats, of_floats = split(arrays)

        def first(g: Any, *floats: Any) -> Any:
            return tuple(pullback(of_floats, floats)[1](g))

        _, pull = pullback(first, [native(g), *floats])
        grads = iter(pull(tuple(native(w) for w in h if w is not None)))
        of_g = to_numpy(next(grads))
        return (of_g, *(to_numpy(next(grads)) if x else None for x in is_float))

    name = getattr(f, "__name__", type(f).__name__)
    functools.update_wrapper(forward, f, assigned=())  # its signature
    code = function_code(f, "f")
    return kind(
        *(name, forward, vjp, vjp2),
        limits=(CONSTANT,) if hasattr(f, "parameters") and list(f.parameters()) else (),
        names=argument_names(f),
        code=f"check(from_{library}({code.text})",
        note=code_note(code),
    )
