"""Functions of other libraries as rules, which `check` takes like functions of tensors."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.testing.case import Rule
from tinygrad_fc.testing.functions import names_of
from tinygrad_fc.testing.layouts import aligned
from tinygrad_fc.testing.options import function
from tinygrad_fc.testing.pasting import note, spelled

if TYPE_CHECKING:
    from collections.abc import Callable

Array = np.ndarray[Any, Any]


class Elsewhere(Rule):
    """A function of another library, which may choose loops by where its memory happens to lie."""

    repeatable = False


class Compiled(Elsewhere):
    """A function that is compiled for each shape, which takes more time than all else."""

    patience = 4


def _library(name: str) -> Any:
    __tracebackhide__ = True
    try:
        return import_module(name)
    except ImportError as error:
        top = name.partition(".")[0]
        raise ImportError(
            f"from_{top} needs {top}, which is not installed: pip install {top}"
        ) from error


def _real(a: Array) -> Array:
    """Return `a`, which other libraries differentiate where it is real."""
    if np.iscomplexobj(a):
        raise TypeError("imaginary steps are for NumPy")
    return a


def _rule(
    library: str,
    f: Callable[..., Any],
    forward: Any,
    vjp: Any,
    vjp2: Any,
    kind: type[Elsewhere] = Elsewhere,
) -> Rule:
    """Return the rule of a library's function."""
    name = getattr(f, "__name__", type(f).__name__)
    # The signature of `f` says how many arguments it takes.
    forward.__name__, forward.__wrapped__ = name, f
    here = spelled(f, "f")
    called = f"check(from_{library}({here.text})"
    return kind(*(name, forward, vjp, vjp2), names=names_of(f), spelled=called, note=note(here))


def _one(out: Any, library: str) -> Any:
    """Return `out`, the one result of a library's function."""
    if not hasattr(out, "dtype"):
        raise TypeError(
            f"from_{library} takes a function that returns one tensor or array, and it returned "
            f"{out!r:.80}: join or choose what is checked, as by a lambda"
        )
    return out


def from_torch(f: Callable[..., Any]) -> Rule:
    """Return a function of PyTorch's tensors as a rule, whose gradients are those of its engine.

    Arrays go in as tensors of their dtype that share no memory. Raises `ImportError` without torch.

    >>> from_torch(abs)  # doctest: +SKIP
    Rule(name='abs', ...)
    """
    __tracebackhide__ = True
    function("f", f, "a function of PyTorch's tensors")
    torch = _library("torch")

    def made(a: Any) -> Any:
        t = torch.from_numpy(aligned(_real(np.asarray(a))))
        return t.requires_grad_() if t.dtype.is_floating_point else t

    def forward(*arrays: Any) -> Any:
        with torch.no_grad():
            return _one(f(*map(made, arrays)), "torch").numpy(force=True)

    def _first(g: Any, args: list[Any], *, create: bool) -> tuple[Any, ...]:
        out = f(*args)
        wanted = [a for a in args if a.requires_grad]
        if not out.requires_grad:
            return tuple(torch.zeros_like(a) for a in wanted)
        found = torch.autograd.grad(out, wanted, g, create_graph=create, allow_unused=True)
        return tuple(
            torch.zeros_like(a) if t is None else t for a, t in zip(wanted, found, strict=True)
        )

    def vjp(g: Any, _out: Any, *arrays: Any) -> Any:
        args = [made(a) for a in arrays]
        found = _first(torch.from_numpy(aligned(np.asarray(g))), args, create=False)
        return _placed([t.numpy(force=True) for t in found], [a.requires_grad for a in args])

    def vjp2(h: Any, g: Any, *arrays: Any) -> Any:
        args, seed = [made(a) for a in arrays], made(g)
        first = _first(seed, args, create=True)
        pairs = [
            (t, torch.from_numpy(aligned(np.asarray(w))))
            for t, w in zip(first, [w for w in h if w is not None], strict=True)
            if t.requires_grad
        ]
        wanted = [seed, *(a for a in args if a.requires_grad)]
        if pairs:
            outs, weights = zip(*pairs, strict=True)
            found = torch.autograd.grad(outs, wanted, weights, allow_unused=True)
        else:
            found = [None] * len(wanted)
        arrays_ = [
            (torch.zeros_like(a) if t is None else t).numpy(force=True)
            for a, t in zip(wanted, found, strict=True)
        ]
        return (arrays_[0], *_placed(arrays_[1:], [a.requires_grad for a in args]))

    return _rule("torch", f, forward, vjp, vjp2)


def _placed(found: list[Any], there: list[bool]) -> tuple[Any, ...]:
    """Return what was found, None for each argument that has no gradient."""
    rest = iter(found)
    return tuple(next(rest) if t else None for t in there)


def from_jax(f: Callable[..., Any]) -> Rule:
    """Return a function of JAX's arrays as a rule, whose gradients are those of `jax.vjp`.

    JAX computes in float32 unless told otherwise: `jax.config.update("jax_enable_x64", True)`, or
    check with `dtypes=(np.float32,)`. It compiles for each shape, so that a check takes up to 20
    seconds. Raises `ImportError` without jax.
    """
    __tracebackhide__ = True
    function("f", f, "a function of JAX's arrays")
    jax = _library("jax")

    def split(arrays: tuple[Any, ...]) -> tuple[list[bool], list[Any], Callable[..., Any]]:
        there = [np.asarray(a).dtype.kind == "f" for a in arrays]

        def only(*floats: Any) -> Any:
            return f(*_filled(arrays, there, floats))

        return (
            there,
            [aligned(_real(np.asarray(a))) for a, t in zip(arrays, there, strict=True) if t],
            only,
        )

    def forward(*arrays: Any) -> Any:
        return np.array(_one(f(*map(_real, map(np.asarray, arrays))), "jax"))

    def vjp(g: Any, _out: Any, *arrays: Any) -> Any:
        there, floats, only = split(arrays)
        out, pull = jax.vjp(only, *floats)
        found = pull(jax.numpy.asarray(g, out.dtype))
        return _placed([np.array(a) for a in found], there)

    def vjp2(h: Any, g: Any, *arrays: Any) -> Any:
        there, floats, only = split(arrays)

        def first(g: Any, *floats: Any) -> Any:
            return jax.vjp(only, *floats)[1](g)

        made, pull = jax.vjp(first, g, *floats)
        told = (w for w in h if w is not None)
        weights = (jax.numpy.asarray(w, a.dtype) for w, a in zip(told, made, strict=True))
        found = [np.array(a) for a in pull(tuple(weights))]
        return (found[0], *_placed(found[1:], there))

    return _rule("jax", f, forward, vjp, vjp2, Compiled)


def _filled(arrays: tuple[Any, ...], there: list[bool], floats: tuple[Any, ...]) -> list[Any]:
    """Return `arrays` with `floats` in place of those that have a gradient."""
    rest = iter(floats)
    return [next(rest) if t else a for a, t in zip(arrays, there, strict=True)]


def from_autograd(f: Callable[..., Any]) -> Rule:
    """Return a function of HIPS autograd (`autograd.numpy`) as a rule.

    Raises `ImportError` without autograd.
    """
    __tracebackhide__ = True
    function("f", f, "a function of autograd's arrays")
    core = _library("autograd").core

    def split(arrays: tuple[Any, ...]) -> tuple[list[bool], Callable[..., Any]]:
        there = [np.asarray(a).dtype.kind == "f" for a in arrays]
        return there, lambda floats: f(*_filled(arrays, there, tuple(floats)))

    def forward(*arrays: Any) -> Any:
        return np.array(_one(f(*map(_real, map(np.asarray, arrays))), "autograd"))

    def vjp(g: Any, _out: Any, *arrays: Any) -> Any:
        there, only = split(arrays)
        floats = tuple(a for a, t in zip(arrays, there, strict=True) if t)
        pull, _ = core.make_vjp(only, _library("autograd.builtins").tuple(floats))
        return _placed([np.array(a) for a in pull(np.asarray(g))], there)

    def vjp2(h: Any, g: Any, *arrays: Any) -> Any:
        there, only = split(arrays)
        pack = _library("autograd.builtins").tuple
        floats = tuple(a for a, t in zip(arrays, there, strict=True) if t)

        def first(inputs: Any) -> Any:
            return core.make_vjp(only, pack(tuple(inputs[1:])))[0](inputs[0])

        pull, _ = core.make_vjp(first, pack((np.asarray(g), *floats)))
        found = [np.array(a) for a in pull(pack(tuple(w for w in h if w is not None)))]
        return (found[0], *_placed(found[1:], there))

    return _rule("autograd", f, forward, vjp, vjp2)
