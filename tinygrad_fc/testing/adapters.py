"""Functions of PyTorch, JAX and HIPS autograd, which `check` takes with their gradients."""

from __future__ import annotations

import functools
from dataclasses import replace
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tinygrad_fc.testing.failure import placeholder_comment, source_of
from tinygrad_fc.testing.function import CheckedFunction, argument_names
from tinygrad_fc.testing.laws import aligned

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    Pullback = Callable[..., tuple[Any, Callable[..., Sequence[Any]]]]

__tracebackhide__ = True  # pytest shows the lines of the user

Array = np.ndarray[Any, Any]


CONSTANT = (
    "The parameters of the model are constants, their gradients are not checked: pass them as "
    "arguments, as torch.func.functional_call takes them"
)


def from_torch(f: Callable[..., Any]) -> CheckedFunction:
    """Return a function of PyTorch's tensors with the gradients of PyTorch, which `check` takes.

    The parameters of a model are constants, as the report says: only its inputs are arguments.
    Raises `ImportError` without torch.

    >>> from_torch(abs)  # doctest: +SKIP
    CheckedFunction(name='abs', ...)
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

    library = Library("torch", tensor, lambda t: t.numpy(force=True), pullback)
    return _checked_function(f, library._replace(is_float=lambda t: t.dtype.is_floating_point))


def from_jax(f: Callable[..., Any]) -> CheckedFunction:
    """Return a function of JAX's arrays with the gradients of `jax.vjp`, which `check` takes.

    JAX computes in float32 unless `jax.config.update("jax_enable_x64", True)` is called; without
    it check with `dtypes=np.float32`. It compiles for each shape: two are drawn, with
    many values, and 50 examples are checked even if that takes longer than `seconds`.

    Raises:
    `ImportError` without jax.
    """
    jax = import_module("jax")
    errors = jax.errors.JAXTypeError, jax.errors.JAXIndexError

    def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
        jitted = jax.jit(function)

        def call(*args: Any) -> Any:
            try:
                return jitted(*args)
            except errors:  # a branch on values, which jax.vjp allows
                return function(*args)

        return call

    def pullback(function: Callable[..., Any], floats: Sequence[Any]) -> Any:
        out, pull = jax.vjp(function, *floats)
        dtypes = jax.tree.map(lambda a: a.dtype, out)
        return out, lambda g: pull(jax.tree.map(jax.numpy.asarray, g, dtypes))

    library = Library("jax", lambda a: aligned(np.asarray(a)), np.array, pullback, compiled)
    return replace(_checked_function(f, library), few_shapes=True)


def from_autograd(f: Callable[..., Any]) -> CheckedFunction:
    """Return a function of HIPS autograd (`autograd.numpy`) with its gradients, for `check`.

    Raises `ImportError` without autograd.
    """
    core, builtins = import_module("autograd.core"), import_module("autograd.builtins")

    def pullback(function: Callable[..., Any], floats: Sequence[Any]) -> Any:
        def of_tuple(t: Any) -> Any:
            out = function(*t)
            return builtins.tuple(tuple(out)) if isinstance(out, tuple | list) else out

        pull, out = core.make_vjp(of_tuple, builtins.tuple(tuple(floats)))
        return out, lambda g: pull(builtins.tuple(g) if isinstance(g, tuple) else g)

    return _checked_function(f, Library("autograd", np.asarray, np.array, pullback))


class Library(NamedTuple):
    """How another library computes: its arrays, and its vjps."""

    name: str
    native: Callable[[Any], Any]
    to_numpy: Callable[[Any], Array]
    pullback: Pullback
    """Takes a function and its floats, returns the result and its vjp."""
    compiled: Callable[[Callable[..., Any]], Callable[..., Any]] = lambda function: function
    is_float: Callable[[Any], bool] = lambda a: a.dtype.kind == "f"


def _native(f: Callable[..., Any], library: Library) -> tuple[Callable[..., Any], ...]:
    """Return `f` and its gradients of first and second order, functions of native arrays."""

    def one_result(*args: Any) -> Any:
        out = f(*args)
        if not hasattr(out, "dtype"):
            raise TypeError(
                f"from_{library.name}: the function returned {out!r:.80}; expected one tensor or "
                "array. Choose one, or join them, as by a lambda"
            )
        return out

    def of_floats(args: Sequence[Any]) -> tuple[Callable[..., Any], list[Any]]:
        """Return the function of the arguments that are floats alone, and these."""

        def function(*floats: Any) -> Any:
            rest = iter(floats)
            return one_result(*(next(rest) if library.is_float(a) else a for a in args))

        return function, [a for a in args if library.is_float(a)]

    def gradients(g: Any, *args: Any) -> Any:
        function, floats = of_floats(args)
        return tuple(library.pullback(function, floats)[1](g))

    def second(h: Any, g: Any, *args: Any) -> Any:
        function, floats = of_floats(args)

        def first(g: Any, *floats: Any) -> Any:
            return tuple(library.pullback(function, floats)[1](g))

        return tuple(library.pullback(first, [g, *floats])[1](h))

    return tuple(map(library.compiled, (one_result, gradients, second)))


def _checked_function(f: Callable[..., Any], library: Library) -> CheckedFunction:
    """Return a function of another library, whose loops may depend on addresses."""
    if not callable(f):
        raise TypeError(f"from_{library.name} got {f!r:.80}; expected a function of its arrays")
    result, gradients, second = _native(f, library)
    native, to_numpy = library.native, library.to_numpy

    def by_argument(grads: Iterator[Any], arrays: Sequence[Any]) -> tuple[Any, ...]:
        floats = [np.asarray(a).dtype.kind == "f" for a in arrays]
        return tuple(to_numpy(next(grads)) if x else None for x in floats)

    def forward(*arrays: Any) -> Any:
        return to_numpy(result(*map(native, arrays)))

    def vjp(g: Any, _out: Any, *arrays: Any) -> Any:
        return by_argument(iter(gradients(native(g), *map(native, arrays))), arrays)

    def vjp2(h: Any, g: Any, *arrays: Any) -> Any:
        used = tuple(native(w) for w in h if w is not None)
        grads = iter(second(used, native(g), *map(native, arrays)))
        return to_numpy(next(grads)), *by_argument(grads, arrays)

    functools.update_wrapper(forward, f, assigned=())  # its signature
    source = source_of(f, "f")
    return CheckedFunction(
        *(getattr(f, "__name__", type(f).__name__), forward, vjp, vjp2),
        repeatable=False,
        limits=(CONSTANT,) if hasattr(f, "parameters") and list(f.parameters()) else (),
        names=argument_names(f),
        call=f"check(from_{library.name}({source.text})",
        comment=placeholder_comment(source),
    )
