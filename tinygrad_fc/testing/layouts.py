"""The law of memory: layouts of arrays, and arrays that are one object, change no gradient."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from tinygrad_fc.autograd.numerical import EPS
from tinygrad_fc.testing import rounding
from tinygrad_fc.testing.laws import elsewhere, require_equal, require_finite
from tinygrad_fc.testing.report import Array, DiscardError, Report

if TYPE_CHECKING:
    from collections.abc import Callable

    from tinygrad_fc.testing.function import Case


def _behind_a_byte(x: Array) -> Array:
    return np.append(np.uint8(0), np.ravel(x).view(np.uint8))[1:]


def _stride_0(x: Array, *, axes: int) -> Array:
    """Return the first part of `x`, along one axis or all, repeated with a stride of 0."""
    return np.broadcast_to(x[(slice(1),) * min(axes, x.ndim)], x.shape)


LAYOUTS: dict[str, Callable[[Array], Array]] = {
    "Fortran": lambda x: x.copy(order="F"),
    "transposed": lambda x: x.swapaxes(0, -1).copy().swapaxes(0, -1) if x.ndim > 1 else x.copy(),
    "reversed": lambda x: np.flip(np.flip(x).copy()),
    "reversed along one axis": lambda x: x[::-1].copy()[::-1] if x.ndim else x.copy(),
    "strided": lambda x: np.stack([np.full_like(x, 7), x, x], axis=-1)[..., 1],
    "read-only": lambda x: np.broadcast_to(x.copy(), x.shape),
    "unaligned": lambda x: _behind_a_byte(x).view(x.dtype).reshape(x.shape),
    "stride 0": partial(_stride_0, axes=1),
    "stride 0 everywhere": partial(_stride_0, axes=32),
}
"""Functions that lay the same array out in another way; with stride 0 its first part repeats."""


def layout(case: Case) -> Report:
    """The memory layout of arguments and of the cotangent does not matter."""
    names, count = [*LAYOUTS], len(case.arrays)
    trials = []
    for k in range(3):  # all of them, the cotangent alone, or the arguments alone
        # without strides of 0 everywhere, and for mapped arguments without any stride of 0
        name = names[(case.seed + 2 * k) % (len(names) - 1 - (case.mapping is not None))]
        trials.append((name, [k != 1] * count + [k != 2]))
    if case.out.ndim:  # the cotangent of a sum, the most usual one there is
        trials += [(name, [False] * count + [True]) for name in names[-2:]]
    refused = [name for name, which in trials if not _check_layout(case, name, which)]
    return Report(skipped=Counter(f"layout refused: {name}" for name in refused))


def _check_layout(case: Case, name: str, which: list[bool]) -> bool:
    """Check a layout of some arrays; return False where the function refuses it."""
    repeats = name.startswith("stride 0")
    *arrays, g = (
        LAYOUTS[name](a) if chosen and (a.dtype.kind == "f" or not repeats) else a
        for a, chosen in zip([*case.arrays, case.g], which, strict=True)
    )
    plain = case.at([a.copy(order="C") for a in arrays])
    tied = repeats and which[0] and any(d.distinct for d in case.domains)
    try:
        if tied or not plain.legal() or plain.out.shape != g.shape:
            return True
        require_finite(plain)
    except DiscardError:
        return True
    try:
        out = plain.forward(arrays)
    except DiscardError:
        return False
    call = f"for {name} {'arguments' if which[0] else 'cotangents'}"

    def moved(perturbation: rounding.Perturbation) -> list[Array]:
        return [plain.forward([perturbation(a) for a in plain.arrays])]

    def bound() -> Array:
        usual = np.abs(elsewhere(plain).out).max(initial=0)  # as large as terms that cancel
        return np.asarray(rounding.spread(moved, EPS)[0] + EPS * usual)

    if not rounding.close(np.asarray(out), plain.out, bound):
        raise case.wrong("layout", f"the function gives {out} {call}; expected {plain.out}")
    expected = plain.gradients(g.copy(order="C"))
    hint = "Contiguous arrays of the same numbers give that"
    grads = case.gradients(g, out, arrays)
    require_equal(plain, grads, expected, ("layout", call, hint), np.array(g))
    return True


def same_object(case: Case) -> None:
    """One array, passed for two arguments, gives the gradients of two equal arrays."""
    shapes = [case.arrays[i].shape for i in case.floats]
    if len(shapes) < 2 or shapes[0] != shapes[1] or case.mapping is not None:
        return
    i, j = case.floats[:2]
    arrays = list(case.arrays)
    arrays[j] = arrays[i].copy()
    equal = case.at(arrays)
    if not equal.inside():
        return
    require_finite(equal)
    arrays[j] = arrays[i]
    grads, expected = case.gradients(case.g, equal.out, arrays), equal.gradients(case.g)
    call = f"where arguments {i} and {j} are one array"
    require_equal(equal, grads, expected, ("layout", call, "Two equal arrays give that"), case.g)
