"""Functions of PyTorch, JAX and HIPS autograd, which `check` takes with their gradients."""

from __future__ import annotations

import functools
from dataclasses import replace
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tinygrad_fc.testing.failure import placeholder_comment, source_of
from tinygrad_fc.testing.function import CheckedFunction, argument_names
from tinygrad_fc.testing.rounding import aligned

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

    It gets the memory of the arrays as it lies, where PyTorch allows that: transposed, strided,
    expanded. Several results are joined end to end. The parameters of a model are constants, as
    the report says: only its inputs are arguments. Raises `ImportError` without torch.

    >>> from_torch(abs)  # doctest: +SKIP
    CheckedFunction(name='abs', ...)
    """
    torch = import_module("torch")

    def tensor(a: Any) -> Any:
        array = np.asarray(a)
        repeats = [n > 1 and s == 0 for n, s in zip(array.shape, array.strides, strict=True)]
        once = array[tuple(slice(1) if r else slice(None) for r in repeats)]
        if not once.flags.writeable or not once.flags.aligned or min(once.strides, default=0) < 0:
            once = aligned(once)
        t = torch.from_numpy(once)
        return t.expand(array.shape) if any(repeats) else t

    def pullback(function: Callable[..., Any], floats: Sequence[Any], *, again: bool) -> Any:
        floats = [t.requires_grad_() for t in floats]
        out = function(*floats)
        outs = out if isinstance(out, tuple) else (out,)

        def pull(g: Any) -> list[Any]:
            weights = g if isinstance(g, tuple) else (g,)
            pairs = [(t, w) for t, w in zip(outs, weights, strict=True) if t.requires_grad]
            grads = [None] * len(floats)
            if pairs:
                tracked, used = zip(*pairs, strict=True)
                options = {"retain_graph": True, "create_graph": again, "allow_unused": True}
                grads = torch.autograd.grad(tracked, floats, used, **options)
            return [
                torch.zeros_like(x) if t is None else t for t, x in zip(grads, floats, strict=True)
            ]

        return out, pull

    def joined(outs: Sequence[Any]) -> Any:
        parts = [t.reshape(-1) for t in outs if t.is_floating_point()]
        return torch.cat(parts)

    library = Library("torch", tensor, lambda t: t.numpy(force=True), pullback, joined)
    return _checked_function(f, library._replace(is_float=lambda t: t.dtype.is_floating_point))


def from_jax(f: Callable[..., Any]) -> CheckedFunction:
    """Return a function of JAX's arrays with the gradients of `jax.vjp`, which `check` takes.

    JAX computes in float32 unless `jax.config.update("jax_enable_x64", True)` is called; without
    it check with `dtypes=np.float32`. It compiles for each shape: five are drawn, with many
    values (axes of 1, 2, 64, 0, and mixed ones), in at most 50 examples.

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

    def pullback(function: Callable[..., Any], floats: Sequence[Any], *, again: bool) -> Any:
        del again  # derivatives are differentiable
        out, pull = jax.vjp(function, *floats)
        dtypes = jax.tree.map(lambda a: a.dtype, out)
        return out, lambda g: pull(jax.tree.map(jax.numpy.asarray, g, dtypes))

    def joined(outs: Sequence[Any]) -> Any:
        return jax.numpy.concatenate([a.ravel() for a in outs if a.dtype.kind == "f"])

    native = lambda a: aligned(np.asarray(a))  # noqa: E731
    library = Library("jax", native, np.array, pullback, joined, compiled)
    return replace(_checked_function(f, library), few_shapes=True)


def from_autograd(f: Callable[..., Any]) -> CheckedFunction:
    """Return a function of HIPS autograd (`autograd.numpy`) with its gradients, for `check`.

    Raises `ImportError` without autograd.
    """
    core, builtins = import_module("autograd.core"), import_module("autograd.builtins")

    def pullback(function: Callable[..., Any], floats: Sequence[Any], *, again: bool) -> Any:
        del again  # derivatives are differentiable

        def of_tuple(t: Any) -> Any:
            out = function(*t)
            return builtins.tuple(tuple(out)) if isinstance(out, tuple | list) else out

        pull, out = core.make_vjp(of_tuple, builtins.tuple(tuple(floats)))
        return out, lambda g: pull(builtins.tuple(g) if isinstance(g, tuple) else g)

    def joined(outs: Sequence[Any]) -> Any:
        numpy = import_module("autograd.numpy")
        return numpy.concatenate([numpy.ravel(a) for a in outs if a.dtype.kind == "f"])

    return _checked_function(f, Library("autograd", np.asarray, np.array, pullback, joined))


class Library(NamedTuple):
    """How another library computes: its arrays, and its vjps."""

    name: str
    native: Callable[[Any], Any]
    to_numpy: Callable[[Any], Array]
    pullback: Pullback
    """Takes a function and its floats, returns the result and its vjp."""
    joined: Callable[[Sequence[Any]], Any]
    """Joins several results end to end."""
    compiled: Callable[[Callable[..., Any]], Callable[..., Any]] = lambda function: function
    is_float: Callable[[Any], bool] = lambda a: a.dtype.kind == "f"


def _native(
    f: Callable[..., Any], library: Library, alone: int | None
) -> tuple[Callable[..., Any], ...]:
    """Return `f`, its gradients of both orders, and what runs forward and returns a vjp.

    These are functions of native arrays; one argument `alone` has a gradient, or all floats.
    """

    def one_result(*args: Any) -> Any:
        out = f(*args)
        if isinstance(out, tuple | list) and all(hasattr(a, "dtype") for a in out):
            out = library.joined(out)
        if not hasattr(out, "dtype"):
            raise TypeError(
                f"from_{library.name}: the function returned {out!r:.80}; expected tensors or "
                "arrays. Choose these, as by a lambda"
            )
        return out

    def of_floats(args: Sequence[Any]) -> tuple[Callable[..., Any], list[Any]]:
        """Return the function of the arguments that have a gradient, and these."""
        needed = [library.is_float(a) and alone in {None, k} for k, a in enumerate(args)]

        def function(*floats: Any) -> Any:
            rest = iter(floats)
            return one_result(*(next(rest) if n else a for a, n in zip(args, needed, strict=True)))

        return function, [a for a, n in zip(args, needed, strict=True) if n]

    def begin(*args: Any) -> Any:
        function, floats = of_floats(args)
        return library.pullback(function, floats, again=False)[1]

    def gradients(g: Any, *args: Any) -> Any:
        return tuple(begin(*args)(g))

    def second(h: Any, g: Any, *args: Any) -> Any:
        function, floats = of_floats(args)

        def first(g: Any, *floats: Any) -> Any:
            return tuple(library.pullback(function, floats, again=True)[1](g))

        return tuple(library.pullback(first, [g, *floats], again=False)[1](h))

    return *map(library.compiled, (one_result, gradients, second)), begin


def _checked_function(
    f: Callable[..., Any], library: Library, alone: int | None = None
) -> CheckedFunction:
    """Return a function of another library, whose loops may depend on addresses."""
    if not callable(f):
        raise TypeError(f"from_{library.name} got {f!r:.80}; expected a function of its arrays")
    result, gradients, second, begin_native = _native(f, library, alone)
    native, to_numpy = library.native, library.to_numpy

    def by_argument(grads: Iterator[Any], arrays: Sequence[Any]) -> tuple[Any, ...]:
        floats = [np.asarray(a).dtype.kind == "f" for a in arrays]
        needed = (x and alone in {None, k} for k, x in enumerate(floats))
        return tuple(to_numpy(next(grads)) if n else None for n in needed)

    def forward(*arrays: Any) -> Any:
        return to_numpy(result(*map(native, arrays)))

    def vjp(g: Any, _out: Any, *arrays: Any) -> Any:
        return by_argument(iter(gradients(native(g), *map(native, arrays))), arrays)

    def vjp2(h: Any, g: Any, *arrays: Any) -> Any:
        used = tuple(native(w) for w in h if w is not None)
        grads = iter(second(used, native(g), *map(native, arrays)))
        return to_numpy(next(grads)), *by_argument(grads, arrays)

    def begin(*arrays: Any) -> Callable[[Any], Any]:
        pull = begin_native(*map(native, arrays))
        return lambda g: by_argument(iter(pull(native(g))), arrays)

    functools.update_wrapper(forward, f, assigned=())  # its signature
    source = source_of(f, "f")
    return CheckedFunction(
        *(getattr(f, "__name__", type(f).__name__), forward, vjp, vjp2),
        repeatable=False,
        limits=(CONSTANT,) if hasattr(f, "parameters") and list(f.parameters()) else (),
        names=argument_names(f),
        call=f"check(from_{library.name}({source.text})",
        comment=placeholder_comment(source),
        begin=begin,
        alone=functools.partial(_checked_function, f, library),
    )
