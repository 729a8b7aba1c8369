"""The self-check: in calls 2, 4, 8, ... the function does the call, and its program runs beside it.

No list of guards is complete, so results are compared. The program that the calls run does the call
first, on copies of what it changes. Then the function runs, so that its effects are real ones. The
cost is log2(n) eager steps in n calls. Where they differ by more than an estimate of rounding, such
as in the gradient of a bias before batch norm, which is rounding alone, the program also runs with
inputs that differ by rounding: a difference that these cause as well is allowed.
"""

from __future__ import annotations

import sys
import threading
import zlib
from contextlib import suppress
from copy import deepcopy
from functools import partial
from itertools import chain, repeat
from traceback import walk_stack
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.compiler.ir import CompileError, GuardFailed, Source
from tinygrad_fc.compiler.numpy_printer import build
from tinygrad_fc.compiler.trace import Output
from tinygrad_fc.core.errstate import silent
from tinygrad_fc.core.node import array_of
from tinygrad_fc.core.pytree import flatten

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tinygrad_fc.compiler.call import Executable
    from tinygrad_fc.compiler.ir import Program

_ADVICE = (
    "A program repeats what the function did when it was traced. The function depends on, or "
    "changes, what is neither a tensor nor a name that its code reads: a file, an environment "
    "variable, an iterator, an object's hidden state, memory that an argument shares. Pass it as "
    "an argument, as a tensor if it changes often, or a copy. The state is that of the function"
)

_RANDOM = "the state of a random generator"
_COMPILED = "tinygrad_fc.compiler.compiled"


def check(call: Executable, function: Any, number: int, arguments: Any, inputs: Any) -> Any:
    """Do call `number` by `function`; return the outputs of its program, None if a guard fails.

    Raises `CompileError` where they differ.
    """
    copies, before, checksums = [*inputs], {}, {}
    for k, x in enumerate(inputs):
        if k in call.changed_inputs or not isinstance(x, np.ndarray):
            copies[k], before[k] = _copy(x), deepcopy(x)
        # what it only reads is read in place, since BLAS rounds by strides and alignment
        else:
            checksums[k] = _checksum(x)
    try:
        outputs = silent.call(call.kernel, *copies) or ()
    except GuardFailed:
        return None
    call.program.return_freed_memory()
    leaves, eps = flatten(arguments)[0], _coarsest(call.program)
    where = f"call {number} of {call.program.name} ({call.traced.captured.line})"
    with np.errstate(all="ignore"):
        result = function(*arguments)
        pairs = partial(_pairs, call, leaves, inputs, result)
        difference = _first_difference(eps, pairs(before, copies, outputs))
        changed = [k for k, checksum in checksums.items() if checksum != _checksum(inputs[k])]
        if difference and not changed and (spreads := _spreads(call, eps, inputs, before, pairs)):
            difference = _first_difference(eps, pairs(before, copies, outputs), spreads)
        if difference:
            raise CompileError(f"{where}: {difference}. {_ADVICE}")
        if changed:
            name = call.program.inputs[changed[0]].name or "an array"
            raise CompileError(f"{where}: only the function changes {name}. {_ADVICE}")
    call.program.return_freed_memory()
    return outputs


def _copy(x: Any) -> Any:
    """Return a copy of an input; native code needs the strides of an array."""
    copy = deepcopy(x)
    if not isinstance(x, np.ndarray) or copy.strides == x.strides:
        return copy
    spans = [(n - 1) * stride for n, stride in zip(x.shape, x.strides, strict=True)]
    memory = np.empty(sum(map(abs, spans)) + x.itemsize, "b")
    copy = np.ndarray(x.shape, x.dtype, memory, -sum(min(n, 0) for n in spans), x.strides)
    copy[...] = x
    return copy


def _checksum(x: Any) -> int:
    """Return a number that differs where the bits of an array differ, almost surely."""
    return zlib.crc32(np.ascontiguousarray(x.T if x.flags.f_contiguous else x).view("b").data)


def others_call() -> bool:
    """Return whether another thread is in a call of a compiled function."""
    frames = sys._current_frames()
    del frames[threading.get_ident()]
    stack = chain.from_iterable(map(walk_stack, frames.values()))
    return any(frame.f_globals.get("__name__") == _COMPILED for frame, _ in stack)


def _spreads(call: Executable, eps: float, inputs: Any, before: Any, pairs: Any) -> list[Any]:
    """Return how much the program's values differ for inputs that differ by rounding.

    An item has two numbers for a pair of `pairs`: by the kernel, and by the NumPy program, which
    rounds as the function does. Each runs sixteen times, since two numbers that are rounding alone
    may be close by accident. The inputs become smaller, since larger ones might leave a domain;
    whole numbers, such as counts of steps, stay, and equal inputs stay equal, since both may be
    guards. Runs that take another branch do not count. The list is empty where a run raises.
    """
    spreads = []
    with suppress(Exception):
        for kernel in (call.kernel, build(call.program)):
            runs = []
            for seed in range(16):
                start = [_copy(before.get(k, x)) for k, x in enumerate(inputs)]
                for x in start:
                    if isinstance(x, np.ndarray) and x.dtype.kind in "fc":
                        part = np.random.default_rng(seed).random(x.shape)
                        less = x * (1 - 4 * max(np.finfo(x.dtype).eps, eps) * part)
                        x[...] = np.where(x == np.rint(x), x, less)
                copies = [_copy(x) for x in start]
                with suppress(GuardFailed):  # a number that is rounding alone may become 0
                    outputs = silent.call(kernel, *copies) or ()
                    runs.append(pairs(dict(enumerate(start)), copies, outputs))
            spreads.append([_spread(values) for values in zip(*runs, strict=True)])
        return [*zip(*spreads, strict=True)]
    return []


def _spread(values: Any) -> Any:
    """Return the differences of the largest and the least of some values, or of their changes."""
    arrays = [array_of(a) for _, a, *_ in values]
    if not isinstance(arrays[0], np.ndarray) or arrays[0].dtype.kind not in "fc":
        return 0.0
    before = [rest[0] if rest else 0 for _, _, _, *rest in values]
    return np.ptp([a - old for a, old in zip(arrays, before, strict=True)], axis=0)


def _first_difference(eps: float, pairs: Any, spreads: Any = None) -> str:
    """Return name and values of the first pair that differs beyond rounding, or an empty text."""
    for (name, *values), spread in zip(pairs, spreads or repeat(()), strict=False):
        if difference := _difference(eps, spread, *values):
            if name is _RANDOM and threading.active_count() > 1:
                break  # another thread may have drawn
            return f"{name}{difference}"
    return ""


def _pairs(
    call: Executable, leaves: Any, inputs: Any, result: Any, before: Any, copies: Any, outputs: Any
) -> Iterator[tuple[Any, ...]]:
    """Yield names of what both have drawn, returned and written, with the values of both.

    The further items are the arguments of `_difference`.
    """
    program, traced = call.program, call.traced
    names = {value.source: value.name for value in program.inputs}

    def tensor(source: Source) -> Any:
        return leaves[source.subject] if source.kind == "argument" else source.subject

    for source, x, copy in zip(names, inputs, copies, strict=True):
        if source.kind == "generator":
            yield _RANDOM, repr(copy.bit_generator.state), repr(x.bit_generator.state)
    (expected, structure), (actual, other) = flatten(traced.result), flatten(result)
    yield "the structure of its result", structure, other
    for k, (leaf, x) in enumerate(zip(expected, actual, strict=True)):
        name = f"item {k} of its result" if k else "its result"
        if not isinstance(leaf, Source):
            yield name, outputs[leaf.number] if isinstance(leaf, Output) else leaf, x
    changed = ((program.inputs[k], copies[k]) for k in call.changed_inputs)  # gradients too
    values = {v.source.subject: (v.name, x) for v, x in changed if v.source.kind == "gradient"}
    for source, at in traced.gradients:
        values[source] = ("", None) if at is None else (program.outputs[at].name, outputs[at])
    gradients = [(tensor(source)._grad, *value) for source, value in values.items()]
    known = [_largest(grad._array) for grad, *_ in gradients if grad is not None]
    for grad, name, by_program in gradients:
        yield name or "the gradient of a tensor", by_program, grad, 0, max(known, default=0.0)
    for k, (source, x, copy) in enumerate(zip(names, inputs, copies, strict=True)):
        if isinstance(x, np.ndarray) and source.kind != "gradient":
            yield names[source] or "an array", copy, tensor(source), before.get(k, 0)


def _coarsest(program: Program) -> float:
    """Return the largest epsilon of a float dtype in which a program computes."""
    dtypes = {v.dtype for v in (*program.inputs, *program.instructions) if v.dtype is not None}
    return max((float(np.finfo(t).eps) for t in dtypes if t.kind in "fc"), default=0.0)


def _difference(
    coarsest: float, spreads: Any, a: Any, b: Any, before: Any = 0, scale: float = 0.0
) -> str:
    """Return where the program's value `a` and the function's value `b` differ beyond rounding.

    The bound of an element adds up shares of its own size, of the largest element of its row, and
    of the largest element of all and `scale`, since its terms may be as large. Where `before` is
    passed, the changes since then are compared. `spreads` are differences that inputs cause which
    differ by rounding; `a` and `b` may differ by more, since sums in another order may lose more
    digits.
    """
    a, b = array_of(a), array_of(b)
    if not (isinstance(a, np.ndarray) and isinstance(b, np.ndarray)):
        with suppress(Exception):  # of a user's class
            if a is b or a == b or repr(a) == repr(b):  # NaN
                return ""
        return f" is {a!r:.60} by the program, but {b!r:.60}"
    if a is b:
        return ""
    if (a.shape, a.dtype) != (b.shape, b.dtype):
        return f" is {a.dtype}{list(a.shape)} by the program, but {b.dtype}{list(b.shape)}"
    wrong = a != b
    if a.dtype.kind in "fc" and wrong.any():
        wrong &= ~(np.isnan(a) & np.isnan(b))
        eps = max(np.finfo(a.dtype).eps, coarsest)
        root, change = np.sqrt(eps), b - before
        sizes, row = _sizes(change)
        bound = root * sizes + min(root, 1e4 * eps) * row + 100 * eps * (scale + _largest(change))
        bound += 16 * eps * np.maximum(abs(b), abs(before))
        for spread in spreads:
            bound = np.maximum(bound, 256 * _sizes(spread)[1])
        wrong &= ~(abs(a - b) <= bound)
    if not wrong.any():
        return ""
    at = np.argwhere(wrong)[0].tolist()
    return f"{at or ''} is {a[tuple(at)]} by the program, but {b[tuple(at)]}"


def _sizes(x: Any) -> tuple[Any, Any]:
    """Return the absolute values, 0 for NaN and infinity, and the largest one of each row."""
    sizes = np.where(np.isfinite(x), abs(x), 0)
    return sizes, sizes.max(-1, keepdims=True, initial=0) if x.ndim else sizes


def _largest(array: Any) -> float:
    return float(np.abs(array, where=np.isfinite(array), out=np.zeros(array.shape)).max(initial=0))
