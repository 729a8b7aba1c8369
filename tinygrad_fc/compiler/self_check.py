"""The self-check: in calls 2, 4, 8, ... the function does the call, and its program runs beside it.

No list of guards is complete, so results are compared. The program runs first, on copies of its
inputs, as NumPy source: native code rounds otherwise, and has the same captured values. Then the
function runs, so that its effects are real ones. The cost is log2(n) eager steps in n calls.
"""

from __future__ import annotations

import sys
import threading
from itertools import chain, repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tinygrad_fc.compiler.guards import same
from tinygrad_fc.compiler.ir import CompileError, GuardFailed, Source, flatten
from tinygrad_fc.compiler.trace import Output
from tinygrad_fc.graph import array_of
from tinygrad_fc.ops.elementwise import _silent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tinygrad_fc.compiler.call import Executable
    from tinygrad_fc.compiler.compiled import Compiled

_ADVICE = (
    "A program repeats what the function did when it was traced. The function depends on, or "
    "changes, what is neither a tensor nor a name that its code reads: a file, an environment "
    "variable, an iterator, an object's hidden state. Pass it as an argument, as a tensor if it "
    "changes often. The state is that of the function"
)

_RANDOM, _TENSORS = "the state of a random generator", ("tensor", "argument")

_COPIED = 2**26
"""Bytes up to which an input is copied that the program does not change, but the function may."""
_CALLS = str(Path(__file__).with_name("compiled.py"))


def checking_calls() -> Iterator[int]:
    """Return an iterator over calls: the number of each that checks, 0 for others.

    It is made of C iterators alone, since all calls advance it, of several threads too.
    """
    return chain((0,), *(chain((2**k,), repeat(0, 2**k - 1)) for k in range(1, 63)))


class _Pair(NamedTuple):
    """A value of the program beside that of the function."""

    name: str
    program: Any
    function: Any
    scale: float = 0.0
    """The size of what it was computed from, where that is larger than the value itself."""


def check(
    step: Compiled[Any, Any], call: Executable, number: int, args: Any, kwargs: Any, inputs: Any
) -> Any:
    """Do call `number` by the function; return the outputs of its program, None if a guard fails.

    Raises `CompileError` where they differ, and where arguments alias what the function changes.
    """
    where = f"call {number} of {step.__name__} ({call.traced.captured.line})"
    values = call.program.inputs
    changed = {id(old) for old, _ in call.program.changes}
    if aliases := _aliases(call.program, inputs, changed):
        raise CompileError(f"{where}: {aliases}. Pass a copy: x.clone()")
    copies = [
        _copied(x) if id(value) in changed or getattr(x, "nbytes", 0) <= _COPIED else x
        for value, x in zip(values, inputs, strict=True)
    ]
    try:
        outputs = _silent.call(call.numpy_kernel, *copies) or ()
    except GuardFailed:
        return None
    with np.errstate(all="ignore"):
        result = step.run_function(args, kwargs)
    leaves: list[Any] = []
    flatten((args, kwargs), leaves)
    for pair in _pairs(call, leaves, inputs, copies, outputs, result):
        difference = _difference(pair)
        if difference is None:
            continue
        if pair.name is _RANDOM and threading.active_count() > 1:
            break  # another thread may have drawn meanwhile
        raise CompileError(f"{where}: {difference}. {_ADVICE}")
    return outputs


def others_call() -> bool:
    """Return whether another thread is in a call of a compiled function."""
    for thread, frame in sys._current_frames().items():
        while thread != threading.get_ident() and frame:
            if frame.f_code.co_filename == _CALLS:
                return True
            frame = frame.f_back  # type: ignore[assignment]  # noqa: PLW2901
    return False


def _aliases(program: Any, inputs: Any, changed: set[int]) -> str:
    """Return which input shares memory with one that the program changes."""
    arrays = [(v, x) for v, x in zip(program.inputs, inputs, strict=True) if hasattr(x, "shape")]
    for value, x in arrays:
        for other, y in arrays:
            if id(value) in changed and other is not value and np.shares_memory(x, y):
                names = (program.names.get(id(v), "an array") for v in (other, value))
                return "{} shares memory with {}, which the function changes".format(*names)
    return ""


def _copied(x: Any) -> Any:
    """Return a copy of an array with its strides and alignment, by which BLAS rounds."""
    if isinstance(x, int | float):
        return x
    if not isinstance(x, np.ndarray):
        bits = type(x.bit_generator)()
        bits.state = x.bit_generator.state
        return np.random.Generator(bits)
    first, last = np.lib.array_utils.byte_bounds(x)
    memory = np.empty(last - first + 64, np.uint8)
    offset = (first - memory.ctypes.data) % 64
    start = x.ctypes.data - first + offset
    copy: Any = np.ndarray(x.shape, x.dtype, memory, start, x.strides)
    copy[...] = x
    return copy


def _pairs(
    call: Executable, leaves: Any, inputs: Any, copies: Any, outputs: Any, result: Any
) -> Iterator[_Pair]:
    """Yield what both have drawn, returned, and written into gradients and arrays."""
    program, traced = call.program, call.traced

    def tensor(source: Source) -> Any:
        return leaves[source.subject] if source.kind == "argument" else source.subject

    numbered = list(zip(program.inputs, inputs, copies, strict=True))
    for value, x, copy in numbered:
        if value.source.kind == "generator":
            by_program, by_function = (repr(g.bit_generator.state) for g in (copy, x))
            yield _Pair(_RANDOM, by_program, by_function)
    yield from _results("its result", traced.result, result, outputs)
    gradients = [
        _Pair(
            _gradient_name(program, source, k),
            None if k is None else outputs[k],
            None if (grad := tensor(source)._grad) is None else grad._array,
        )
        for source, k in traced.gradients
    ]
    largest = max((_largest(p.function) for p in gradients if p.function is not None), default=0)
    yield from (p._replace(scale=largest) for p in gradients)
    for value, x, copy in numbered:
        if isinstance(x, np.ndarray):
            now = array_of(tensor(value.source)) if value.source.kind in _TENSORS else x
            yield _Pair(program.names.get(id(value), "an array"), copy, now)


def _gradient_name(program: Any, source: Source, output: int | None) -> str:
    if output is not None and id(program.outputs[output]) in program.names:
        return str(program.names[id(program.outputs[output])])
    names = (program.names.get(id(v)) for v in program.inputs if v.source is source)
    return f"the gradient of {next(filter(None, names), 'a tensor')}"


def _results(name: str, tree: Any, result: Any, outputs: Any) -> Iterator[_Pair]:
    if isinstance(tree, Output):
        yield _Pair(name, outputs[tree.number], array_of(result))
    elif isinstance(tree, tuple | list | dict):
        items = tree.items() if isinstance(tree, dict) else enumerate(tree)
        if type(tree) is not type(result) or len(tree) != len(result):
            yield _Pair(name, tree, result)
        elif isinstance(tree, dict) and list(tree) != list(result):
            yield _Pair(f"the keys of {name}", list(tree), list(result))
        else:
            for key, part in items:
                yield from _results(f"{name}[{key!r}]", part, result[key], outputs)
    elif not isinstance(tree, Source):
        yield _Pair(name, tree, result)


def _difference(pair: _Pair) -> str | None:
    """Return what differs between two values by more than rounding."""
    name, a, b, scale = pair
    if a is b or same(a, b):
        return None
    if not (isinstance(a, np.ndarray) and isinstance(b, np.ndarray)):
        return None if _equal(a, b) else f"{name} is {a!r:.60} by the program, but {b!r:.60}"
    if (a.shape, a.dtype) != (b.shape, b.dtype):
        return f"{name} is {a.dtype}{list(a.shape)} by the program, but {b.dtype}{list(b.shape)}"
    equal = (a == b) | (np.isnan(a) & np.isnan(b))
    if equal.all():
        return None
    error = np.where(equal, 0, np.abs(a.astype(_wide(a)) - b.astype(_wide(b))))
    bound = 0.0
    if a.dtype.kind in "fc":
        bound = np.sqrt(np.finfo(a.dtype).eps) * max(_largest(b), scale)
    if (error <= bound).all():
        return None
    at = np.unravel_index(np.argmax(np.where(error <= bound, -1, error)), a.shape)
    index = f"[{', '.join(map(str, at))}]" if at else ""
    return f"{name}{index} is {a[at]!s} by the program, but {b[at]!s}"


def _wide(a: Any) -> Any:
    return np.result_type(a.dtype, np.float64)


def _largest(array: Any) -> float:
    return float(np.abs(array, where=np.isfinite(array), out=np.zeros(array.shape)).max(initial=0))


def _equal(a: Any, b: Any) -> bool:
    try:
        return bool(a == b)
    except Exception:  # noqa: BLE001  of a user's class
        return False
