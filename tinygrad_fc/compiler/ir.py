"""The intermediate representation: values of a program, simplified while they are recorded.

A program is a list of instructions without branches. Each is a `Value`: one NumPy function called
with earlier values. Nothing is changed in place: `x += y` is an addition whose result takes the
place of x. `ProgramBuilder.emit` records a call; an equal call returns the same value (common
subexpressions), a call with constants alone is computed at once (folding), and a few identities
of algebra are applied (x * 1, reshape of a reshape: `instructions`).
"""

from __future__ import annotations

import dis
import math
import operator
import os
import re
import site
import string
import sys
import weakref
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import tinygrad_fc
from tinygrad_fc.compiler.instructions import WHOLE, entry_of, known_number, rng_call
from tinygrad_fc.core.device import return_freed_memory
from tinygrad_fc.core.op import readonly
from tinygrad_fc.core.pytree import flatten, mapped

LARGE = 4096
"""Elements from which an array is large: it is no constant, and its memory is freed."""

MUCH = 1 << 24
"""Bytes from which the memory of a program is much: it goes back after a trace and after checks."""


class CompileError(RuntimeError):
    """A function that cannot be compiled; most messages name the user's line."""


class GuardFailed(Exception):  # noqa: N818  a signal for the caller, not an error
    """Raised by a kernel, before it changes anything, where a condition of the trace fails."""


@dataclass(eq=False)
class Source:
    """Where each call reads an input.

    | kind | subject | key |
    |---|---|---|
    | argument | number of the leaf | |
    | tensor | a tensor from outside, such as a parameter | |
    | gradient | the source of a tensor, whose `.grad` it is | |
    | array | a NumPy array from outside | |
    | option | a group of an optimizer | key, and item of a tuple |
    | generator | a `Generator`, whose NumPy generator it is | |
    """

    kind: str
    subject: Any
    key: Any = ""


class Origin(NamedTuple):
    """Where an instruction comes from.

    `op` is the name of the op (or optimizer), `phase` is "forward", "backward", "update" or
    "guards" (conditions on inputs alone, which come first), both "" outside of ops; `argument` is
    the argument whose vjp rule was called (-1: the forward function), `cotangent` and `result` are
    what that rule was called with, `differentiated` is the value of that argument, and `module` is
    the path of the innermost module that was called. `settings` are those of the op.
    """

    op: str = ""
    phase: str = ""
    argument: int = -1
    cotangent: Any = None
    result: Any = None
    differentiated: Any = None
    module: str = ""
    settings: Any = None


class Value:
    """An input, a constant, or the result of one instruction.

    `function`, `args` and `kwargs` are the call; arguments are trees (tuples, lists, slices) with
    values as leaves. An input has a `source`; a constant has neither function nor source. `sample`
    is the array of the traced call. A large one lives as long as a tracer holds it, and is computed
    again if it is read later; after the trace, only numbers and constants have a sample. A plain
    Python number has the shape None; several results, and a generator, also the dtype None.
    `variable` is what the traced code assigns it to. After the trace, `naming` sets `name` (for
    constants only if they are options), `cited`, the formulas of the document that compute it, and
    `role`: "z", "y" or "d" of `layer`, or the key in an optimizer's state of the parameter `of`.
    """

    def __init__(
        self, function: Any, args: Any, kwargs: Any, sample: Any, source: Any = None
    ) -> None:
        self.function, self.args, self.kwargs = function, args, kwargs
        self.source = source
        self._sample = sample
        large = getattr(sample, "size", 0) >= LARGE and function is not None
        if large and function is not rng_call and entry_of(function).traced != WHOLE:
            self._sample = weakref.ref(sample)
        kind = np.dtype(type(sample)) if type(sample) in (bool, int, float) else None
        self.shape: Any = getattr(sample, "shape", None)
        self.dtype: Any = getattr(sample, "dtype", kind)
        self.origin = Origin()
        self.variable = self.name = self.role = ""
        self.cited: tuple[int, ...] = ()
        self.layer = 0
        self.of: Value | None = None
        self.strides: Any = getattr(sample, "strides", None)
        self.size = math.prod(self.shape or ())
        self.is_constant = function is None and source is None
        self.is_input = source is not None
        self.is_number = self.shape is None and self.dtype is not None

    @property
    def sample(self) -> Any:
        """The array or number of the traced call."""
        if not isinstance(self._sample, weakref.ref):
            return self._sample
        array = self._sample()
        if array is None:
            args, kwargs = mapped(sample_of, self.args), mapped(sample_of, self.kwargs)
            array = read_only(self.function(*args, **kwargs))
            self._sample = weakref.ref(array)
        return array

    def forget(self) -> None:
        """Drop the sample after the trace, but of a number."""
        self._sample = self._sample if self.is_number else None

    @property
    def is_view(self) -> bool:
        """Whether the result shares the memory of its first argument."""
        if self.function is operator.getitem:
            return not any(v.shape is not None for v in leaves(self.args[1]))
        return entry_of(self.function).is_view


@dataclass
class Program:
    """What printers read: inputs, instructions in order, and what a call returns or changes.

    A kernel takes the arrays, numbers and generators of `inputs` in order. It raises `GuardFailed`
    where the truth of a value in `expects` differs, before it changes anything; then writes the
    values of `changes` into the arrays of their inputs, and returns fresh arrays for `outputs`.
    """

    name: str
    inputs: list[Value] = field(default_factory=list)
    instructions: list[Value] = field(default_factory=list)
    expects: list[tuple[Value, bool]] = field(default_factory=list)
    changes: list[tuple[Value, Value]] = field(default_factory=list)
    outputs: list[Value] = field(default_factory=list)
    returned: list[int] = field(default_factory=list)
    """Which outputs, by number, are the function's result; the others are gradients."""

    def return_freed_memory(self) -> None:
        """Return freed memory to the system, if a run of the program needs much."""
        values = (v for v in self.instructions if v.dtype is not None)
        if sum(v.size * v.dtype.itemsize for v in values) >= MUCH:
            return_freed_memory()

    @property
    def constants(self) -> list[Value]:
        """The constants that are read, in the order of their first use."""
        read = [v for value in self.instructions for v in operands(value)]
        read += leaves((self.changes, self.outputs))
        return [v for v in dict.fromkeys(read) if v.is_constant]


# Trees of arguments


def leaves(tree: Any) -> list[Value]:
    """Return the values in a tree."""
    return [leaf for leaf in flatten(tree)[0] if isinstance(leaf, Value)]


def operands(value: Value) -> list[Value]:
    """Return the values that an instruction reads."""
    return leaves((value.args, value.kwargs))


# Frames: whose code runs


def _folder(file: Any) -> str:
    return str(Path(file).parent / "_")[:-1]  # with a separator, or `lib_more` would begin with it


COMPILER, LIBRARY, NUMPY = map(_folder, (__file__, tinygrad_fc.__file__, np.__file__))
_VAGUE = {*string.ascii_lowercase, "out", "result", "value", "array"}  # local names of the library
_MODULES = {kind.__module__ for kind in tinygrad_fc.Tensor.__mro__[:-1]}
_TENSORS = tuple(str(sys.modules[name].__file__) for name in sorted(_MODULES))
_RECORDING = [*_TENSORS, *(f"{LIBRARY}core/{name}.py" for name in ("graph", "backward", "op"))]
STANDARD = (_folder(os.__file__), *(path for path in sys.path if path.endswith(".zip")))
OTHERS = (LIBRARY, NUMPY, *STANDARD, *site.getsitepackages(), "<frozen")


def not_repeated(line: str, what: str, advice: str) -> CompileError:
    """Return the error for what calls of a program would not do."""
    return CompileError(f"{line}: {what}, which only the first call would do. {advice}")


def frame_outside(folders: tuple[str, ...]) -> Any:
    """Return the innermost frame whose file is outside of some folders."""
    frame = sys._getframe(1)
    while frame.f_back and frame.f_code.co_filename.startswith(folders):
        frame = frame.f_back
    return frame


def asked_by_library() -> bool:
    """Return whether the code that reads a value is the library's own.

    It may branch, since its conditions are guards then; the user's code would have to branch again.
    """
    # who calls item() or float() of a tensor reads the value
    frame = frame_outside((COMPILER, NUMPY, *_TENSORS))
    return bool(frame.f_code.co_filename.startswith(LIBRARY))


def library_function() -> str:
    """Return the name of the public function of the library that the user's code calls."""
    frame, called = frame_outside((COMPILER, NUMPY)), "a function"
    while frame and not is_users(frame.f_code):
        name = frame.f_code.co_qualname
        called = called if re.search(r"(^|\.)[_<]", name) else name
        frame = frame.f_back
    return called


@cache
def _instructions(code: Any) -> list[dis.Instruction]:
    return list(dis.get_instructions(code))


def assigned_name(*, through_calls: bool) -> str:
    """Return the local variable that the running code is about to assign, or "".

    A function that returns the value hands it to its caller. Frames that record the call of an op
    are skipped if `through_calls`. Only bytecode has it; a wrong name changes the printed text
    alone.
    """
    frame: Any = sys._getframe(1)
    while frame:
        code, at, frame = frame.f_code, frame.f_lasti, frame.f_back
        if code.co_filename.startswith((COMPILER, NUMPY)):
            continue
        if code.co_filename not in _RECORDING:
            following = next(i for i in _instructions(code) if i.offset > at)
            if following.opname.startswith("STORE_FAST"):  # of one or two names
                names = following.argval
                name = names if isinstance(names, str) else names[0]
                return name if is_users(code) or name not in _VAGUE else ""
            if not following.opname.startswith("RETURN"):
                return ""
        elif not through_calls:
            return ""
    return ""


def is_users(code: Any) -> bool:
    """Return whether code is the user's: neither the library's nor an installed package's."""
    return code is not None and not code.co_filename.startswith(OTHERS)


def user_line() -> str:
    """Return the user's line that is running, as file:line."""
    frame = frame_outside(OTHERS)
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"


def sample_of(leaf: Any) -> Any:
    """Return the sample of a value; anything else as it is."""
    return leaf.sample if isinstance(leaf, Value) else leaf


def _key(tree: Any) -> str:
    """Return a text that is equal for equal trees of arguments."""
    return repr(mapped(lambda x: id(x) if isinstance(x, Value) else (type(x), x), tree))


class ProgramBuilder:
    """Records inputs, instructions and conditions of `program`."""

    def __init__(self, name: str = "") -> None:
        self.program = Program(name)
        self.origin = Origin()
        self._calls: dict[Any, Value] = {}
        self._constants: dict[Any, Value] = {}

    def constant(self, array: Any) -> Value:
        """Return the value of a constant array; equal ones are one value.

        It stays broadcast where the array is, since `einsum` sums in another order then.
        """
        broadcast = array.size > 1 and not any(array.strides)
        key = (array.dtype.str, array.shape, broadcast, array.tobytes())
        if key not in self._constants:
            whole = array[(0,) * array.ndim] if broadcast else array
            sample = read_only(np.broadcast_to(np.array(whole), array.shape))
            self._constants[key] = Value(None, (), {}, sample)
        return self._constants[key]

    def input(self, source: Any, sample: Any) -> Value:
        """Return the value of a new input, which is read from `source` in each call."""
        value = Value(None, (), {}, read_only(sample), source)
        self.program.inputs.append(value)
        return value

    def emit(self, function: Any, args: Any, kwargs: Any = None) -> Value:
        """Compute a call on samples, and record it unless it is a common subexpression."""
        kwargs = {k: x for k, x in (kwargs or {}).items() if (k, x) != ("keepdims", False)}
        if isinstance(kwargs.get("axis"), tuple) and len(kwargs["axis"]) == 1:
            kwargs["axis"] = kwargs["axis"][0]
        key = (function, _key(args), _key(kwargs))
        if key in self._calls and function is not rng_call:
            return self._calls[key]
        sample = read_only(function(*mapped(sample_of, args), **mapped(sample_of, kwargs)))
        value = Value(function, args, kwargs, sample)
        value.args = self._with_arrays(value)
        simplified = None if kwargs else entry_of(function).simplified
        value = (simplified and simplified(self, value)) or self._computed(value)
        self._calls[key] = value
        return value

    def _with_arrays(self, value: Value) -> Any:
        """Return the arguments, with 0-d arrays for constant numbers beside an array of floats.

        NumPy takes these faster. An array of one number is such a number, too.
        """
        others = value.args[::-1]
        is_operation = entry_of(value.function).number and value.shape
        if not is_operation or value.dtype.kind != "f":
            return value.args
        args = list(value.args)
        for k, (x, other) in enumerate(zip(args, others, strict=True)):
            number = known_number(x)
            if number is not None and getattr(other, "shape", ()) == value.shape:
                args[k] = self.constant(np.array(number, value.dtype))
        return tuple(args)

    def _computed(self, value: Value) -> Value:
        """Return a constant where all operands are, else record `value` as an instruction."""
        known = all(v.is_constant for v in operands(value)) and value.function is not rng_call
        if known and isinstance(value.sample, np.ndarray) and value.size < LARGE:
            return self.constant(value.sample)
        value.origin = self.origin
        value.variable = assigned_name(through_calls=self.origin.argument < 0)
        self.program.instructions.append(value)
        return value

    def expect(self, value: Value) -> bool:
        """Return the truth of `value`; record that the trace is valid only where it is the same."""
        truth = bool(value.sample)
        if not value.is_constant and not any(v is value for v, _ in self.program.expects):
            self.program.expects.append((value, truth))
        return truth


def read_only(sample: Any) -> Any:
    """Return a view of an array, or of a NumPy number, that cannot be changed; else as it is."""
    is_array = isinstance(sample, np.ndarray | np.generic)
    return readonly(np.asarray(sample)) if is_array else sample
