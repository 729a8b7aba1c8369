"""Calling a row, forwards and back, with arrays going in and coming out."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from hypothesis import reject

import tinygrad_fc as tg

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from kit.strategies import Array, Case
    from tinygrad_fc import Tensor


def recorded(
    case: Case,
    arrays: Sequence[Array] | None = None,
    needing: Sequence[int] | None = None,
    nudge: Nudge | None = None,
) -> tuple[Tensor, list[Tensor]]:
    """Return the result of the row, and those of its arguments that require grad.

    `arrays` stand in for those of the case. Arguments that are not `needing` a gradient (by
    default those without a rule) are handed over as plain arrays. A `nudge` moves all numbers.
    """
    needing = case.floats if needing is None else needing
    args: list[Any] = list(case.arrays if arrays is None else arrays)
    if nudge is not None:
        args = [nudge(a) for a in args]
    for i in needing:
        args[i] = tg.from_numpy(np.asarray(args[i])).requires_grad_()
    out = case.op(*args, **case.settings)
    if nudge is not None:
        out._array = nudge(out._array)
    return out, [args[i] for i in needing]


def gradients(
    case: Case,
    g: Array,
    arrays: Sequence[Array] | None = None,
    needing: Sequence[int] | None = None,
    nudge: Nudge | None = None,
) -> list[Array]:
    """Return the gradients of a row's arguments, where `g` is that of its result."""
    out, args = recorded(case, arrays, needing, nudge)
    g = np.asarray(g) if nudge is None else nudge(g)
    return [t.numpy() for t in tg.autograd.grad(out, args, tg.from_numpy(g))]


def second(
    case: Case, g: Array, weights: Sequence[Array], nudge: Nudge | None = None
) -> list[Array]:
    """Return the gradients of `g` and the arguments, where `weights` are those of the gradients."""
    out, args = recorded(case, nudge=nudge)
    g = g if nudge is None else nudge(g)
    seed = tg.from_numpy(g).requires_grad_()
    first = tg.autograd.grad(out, args, seed, create_graph=True)
    weights_ = [tg.from_numpy(w) for w in weights]
    found = tg.autograd.grad(first, [seed, *args], weights_, materialize_grads=True)
    return [t.numpy() for t in found]


def placed(case: Case, point: Sequence[Array]) -> list[Array]:
    """Return the arguments of `case` with `point` in place of those that have a rule."""
    arrays = list(case.arrays)
    for i, x in zip(case.floats, point, strict=True):
        arrays[i] = x
    return arrays


def cotangent(like: Array, salt: int, *, zeros: bool = False) -> Array:
    """Return random odd eighths in the shape and dtype of `like`, some of them 0 with `zeros`.

    Never ones, which hide rules that forget their gradient, and exact in every float.
    """
    rng = np.random.default_rng([salt, *like.shape])
    g = (2 * rng.integers(-16, 16, like.shape) + 1) / 8
    if zeros:
        g *= rng.random(like.shape) < 0.75
    return np.asarray(g, like.dtype)


@contextmanager
def overflow_rejects() -> Iterator[None]:
    """Leave an example where a finite number is too large for its type: nothing can be told."""
    try:
        with np.errstate(over="raise"):
            yield
    except FloatingPointError as error:
        if "overflow" not in str(error):
            raise
        reject()


class Nudge(NamedTuple):
    """Moves each number by about an ulp, one way or the other; equal ones alike: ties stay."""

    seed: int
    ulp: float

    def __call__(self, x: Array) -> Array:
        """Return `x` moved; as it is where it is not of floats."""
        if x.dtype.kind != "f":
            return x
        bits = np.frombuffer(x.astype(float).tobytes(), np.uint64).reshape(x.shape)
        mixed = np.atleast_1d(bits) * np.uint64(0x9E3779B97F4A7C15) >> np.uint64(48)
        signs = (mixed >> np.uint64(self.seed) & np.uint64(1)).reshape(x.shape).astype(x.dtype)
        return np.asarray(x + x * (2 * signs - 1) * x.dtype.type(self.ulp))


def spread(found: Callable[[Nudge | None], list[Array]], ulp: float) -> list[Array]:
    """Return how far gradients move where arguments, result and gradient do so by an ulp.

    That is their own rounding, which is nobody's fault: `1 - out * out` loses digits in
    saturation, whoever computes it.
    """
    with np.errstate(all="ignore"):
        plain = found(None)
        most = [np.zeros(a.shape) for a in plain]
        for seed in range(4):
            for k, moved in enumerate(found(Nudge(seed, ulp))):
                far = np.abs(moved - plain[k])
                most[k] = np.maximum(most[k], np.where(np.isnan(far), np.inf, far))
    return most


def near(
    a: Array, b: Array, rounding: Callable[[], Array] | None = None, scale: Array | None = None
) -> None:
    """Assert that `a` and `b` differ by rounding: of the largest number, or as `rounding` says."""
    with np.errstate(all="ignore"):
        far = np.where((a == b) | (np.isnan(a) & np.isnan(b)), 0, np.abs(a - b))
        largest = (np.abs(b) if scale is None else scale).max(initial=0)
        if not (far <= 256 * np.finfo(float).eps * largest).all():
            allowed = 64 * rounding() if rounding else 0
            assert (far <= allowed).all(), f"{a} differs from {b}"
