"""Functions whose gradients a library computes: PyTorch, JAX, or this one."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tinygrad_fc.testing.failure import placeholder_comment, source_of
from tinygrad_fc.testing.function import CheckedFunction, argument_names

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tinygrad_fc.testing.report import Array

    Pullback = Callable[..., tuple[Any, Callable[..., Sequence[Any]]]]

__tracebackhide__ = True  # pytest shows the lines of the user


CONSTANT = (
    "The parameters of the model are constants, their gradients are not checked: pass them as "
    "arguments, as torch.func.functional_call takes them"
)


class Library(NamedTuple):
    """How a library computes: its arrays, and its vjps."""

    name: str
    native: Callable[[Any], Any]
    to_numpy: Callable[[Any], Array]
    pullback: Pullback
    """Takes a function and its floats, returns the result and its vjp."""
    joined: Callable[[Sequence[Any]], Any]
    """Joins several results end to end."""
    compiled: Callable[[Callable[..., Any]], Callable[..., Any]] = lambda function: function
    is_float: Callable[[Any], bool] = lambda a: a.dtype.kind == "f"


@dataclass(frozen=True, eq=False)
class LibraryFunction(CheckedFunction):
    """A function of a library's arrays, with the gradients that the library computes.

    Methods whose names begin with `_` take and return arrays of the library.
    """

    library: Any = None
    has_second = of_library = True

    def result(self, arrays: Sequence[Any]) -> Array:
        """Return the result for `arrays`; several results are joined end to end."""
        return self.library.to_numpy(self._compiled[0](*self._native(arrays)))  # type: ignore[no-any-return]

    def gradients(self, g: Array, out: Any, arrays: Sequence[Any]) -> Sequence[Any]:
        """Return the gradients of `arrays`."""
        del out  # which the library computes itself
        args = self._native(arrays)
        return self._by_argument(self._compiled[1](self.library.native(g), *args), args)

    def pullback(self, arrays: Sequence[Any]) -> Any:
        """Run forward, and return the vjp that this pass leaves."""
        args = self._native(arrays)
        pull = self._run(args)[1]
        return lambda g: self._by_argument(pull(self.library.native(g)), args)

    def second(self, h: Sequence[Any], g: Array, arrays: Sequence[Any]) -> Sequence[Any]:
        """Return the gradients of `g` and `arrays` for the cotangents `h` of the gradients."""
        args, used = self._native(arrays), self._native([w for w in h if w is not None])
        of_g, *grads = self._compiled[2](used, self.library.native(g), *args)
        return self.library.to_numpy(of_g), *self._by_argument(grads, args)

    @cached_property
    def _compiled(self) -> tuple[Callable[..., Any], ...]:
        """The function, its gradients, and the gradients of these."""
        functions = self._result, self._gradients, self._second_gradients
        return tuple(map(self.library.compiled, functions))

    def _native(self, arrays: Sequence[Any]) -> tuple[Any, ...]:
        return tuple(map(self.library.native, arrays))

    def _result(self, *args: Any) -> Any:
        library, out = self.library, self.forward(*args)
        if isinstance(out, tuple | list) and all(hasattr(a, "dtype") for a in out):
            out = library.joined(out)
        if not hasattr(out, "dtype"):
            raise TypeError(
                f"from_{library.name}: the function returned {out!r:.80}; expected tensors or "
                "arrays. Choose these, as by a lambda"
            )
        return out

    def _gradients(self, g: Any, *args: Any) -> Any:
        return tuple(self._run(args)[1](g))

    def _second_gradients(self, h: Any, g: Any, *args: Any) -> Any:
        (function, floats), pullback = self._of_floats(args), self.library.pullback

        def first(g: Any, *floats: Any) -> Any:
            return tuple(pullback(function, floats, again=True)[1](g))

        return tuple(pullback(first, [g, *floats], again=False)[1](h))

    def _run(self, args: Sequence[Any]) -> Any:
        """Run forward, and return the result and its vjp."""
        return self.library.pullback(*self._of_floats(args), again=False)

    def _of_floats(self, args: Sequence[Any]) -> tuple[Callable[..., Any], list[Any]]:
        """Return the function of the arguments that have a gradient, and these."""
        needed = self._needed(args)

        def function(*floats: Any) -> Any:
            rest = iter(floats)
            return self._result(
                *(next(rest) if n else a for a, n in zip(args, needed, strict=True))
            )

        return function, [a for a, n in zip(args, needed, strict=True) if n]

    def _needed(self, args: Sequence[Any]) -> list[bool]:
        """Return which arguments have a gradient."""
        chosen = range(len(args)) if self.differentiable is None else self.differentiable
        return [self.library.is_float(a) and k in chosen for k, a in enumerate(args)]

    def _by_argument(self, grads: Sequence[Any], args: Sequence[Any]) -> tuple[Any, ...]:
        """Return gradients as NumPy arrays, one for each argument, None where it has none."""
        rest = iter(grads)
        return tuple(self.library.to_numpy(next(rest)) if n else None for n in self._needed(args))


def library_function(f: Any, library: Library, **options: Any) -> LibraryFunction:
    """Return a function of another library."""
    if not callable(f):
        raise TypeError(f"from_{library.name} got {f!r:.80}; expected a function of its arrays")
    source = source_of(f, "f")
    return LibraryFunction(
        getattr(f, "__name__", type(f).__name__),
        f,
        library=library,
        limits=(CONSTANT,) if hasattr(f, "parameters") and list(f.parameters()) else (),
        names=argument_names(f),
        call=f"check(from_{library.name}({source.text}), {{}}){placeholder_comment(source)}",
        **options,
    )


def backward_passes(grad: Callable[..., Any], zeros_like: Callable[[Any], Any]) -> Pullback:
    """Return the `Pullback` of a library whose `grad` has the signature of PyTorch's."""

    def pullback(function: Callable[..., Any], floats: Sequence[Any], *, again: bool) -> Any:
        floats = [t.requires_grad_() for t in floats]
        outs = function(*floats)

        def pull(g: Any, *, retain_graph: bool = True) -> list[Any]:
            several = (a if isinstance(a, tuple) else (a,) for a in (outs, g))
            pairs = [(t, w) for t, w in zip(*several, strict=True) if t.requires_grad]
            grads = [None] * len(floats)
            if pairs and floats:
                tracked, used = zip(*pairs, strict=True)
                grads = grad(tracked, floats, used, retain_graph, again, allow_unused=True)
            return [zeros_like(x) if t is None else t for t, x in zip(grads, floats, strict=True)]

        return outs, pull

    return pullback


def from_torch(f: Callable[..., Any]) -> CheckedFunction:
    """Return a function of PyTorch's tensors with the gradients of PyTorch, which `check` takes.

    It gets the memory of the arrays as it lies, where PyTorch allows that: transposed, strided,
    expanded. Several results are joined end to end. The parameters of a model are constants, as
    the report says: only its inputs are arguments. Raises `ImportError` without torch.

    >>> from_torch(abs)  # doctest: +SKIP
    LibraryFunction(name='abs', ...)
    """
    torch = import_module("torch")

    def tensor(a: Any) -> Any:
        array = np.asarray(a)
        repeats = [n > 1 and s == 0 for n, s in zip(array.shape, array.strides, strict=True)]
        once = array[tuple(slice(1) if r else slice(None) for r in repeats)]
        if not once.flags.writeable or not once.flags.aligned or min(once.strides, default=0) < 0:
            once = np.array(once)
        t = torch.from_numpy(once)
        return t.expand(array.shape) if any(repeats) else t

    def joined(outs: Sequence[Any]) -> Any:
        return torch.cat([t.reshape(-1) for t in outs if t.is_floating_point()])

    pullback = backward_passes(torch.autograd.grad, torch.zeros_like)
    library = Library("torch", tensor, lambda t: t.numpy(force=True), pullback, joined)
    return library_function(f, library._replace(is_float=lambda t: t.dtype.is_floating_point))


def from_jax(f: Callable[..., Any]) -> CheckedFunction:
    """Return a function of JAX's arrays with the gradients of `jax.vjp`, which `check` takes.

    JAX computes in float32 unless `jax.config.update("jax_enable_x64", True)` is called; without
    it check with `dtypes=np.float32`. It compiles for each shape: five are drawn, with many
    values (axes of 1, 2, 64, 0, and mixed ones), in at most 50 examples. Raises `ImportError`
    without jax.
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

    library = Library("jax", np.array, np.array, pullback, joined, compiled)
    return library_function(f, library, few_shapes=True)
