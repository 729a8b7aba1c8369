"""The program so far: values, instructions, and the refusals of what is none."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.compiler import known
from tinygrad_fc.compiler.number import Number
from tinygrad_fc.compiler.program import CompileError, Instruction, Program, Value, evaluate
from tinygrad_fc.compiler.refusal import UnknownError, asked_by, asker, kind_of, refusal
from tinygrad_fc.compiler.session import suspended
from tinygrad_fc.compiler.tracer import Tracer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tinygrad_fc.compiler.program import Place

_SCALARS = (bool, int, float, np.generic)
_WHY = "a traced function is run once to see what it does, and its values differ from call to call."
_ADVICE = {
    "if": "Write where(condition, x, y) for a choice between values, or branch outside of it.",
    "in": "Write where(condition, x, y) for a choice between values, or look for it outside.",
    "print": "Return the tensor, and print it outside of the compiled function.",
    "its use as an index or a count": "Write x[i] with a tensor x to choose by a tensor i; hand "
    "over a count as an argument, of which each value has a program of its own.",
}
"""What to do instead, by how a value is asked for."""
_OUTSIDE = (
    "Compute with the tensor as it is; where its value is to be seen, as in a log, return it, and "
    "call item() or numpy() on what the compiled function returns."
)


class Notes:
    """The program so far."""

    function: Any  # how a call of a function is noted: see `Recorder`

    def __init__(self, name: str) -> None:
        self.program = Program(name)
        self.place: Place | None = None
        self.depth = 0  # inside how many operations: there, a value that is asked for is unknown
        self.over = False
        self.broken: str | None = None  # why the trace was given up
        self.refused: CompileError | None = None  # the first refusal, to be raised in any case
        self._constants: dict[Any, int] = {}
        self._arrays: dict[
            int, tuple[Any, list[int]]
        ] = {}  # kept alive, so that an id is one's own
        self._numbers: dict[Any, int] = {}
        self._expected: set[tuple[int, bool]] = set()
        self.reshaped: list[tuple[Any, Any]] = []  # which are views, or copies, by how memory lies

    # Values

    def _new(self, value: Value) -> int:
        self.program.values.append(value)
        return len(self.program.values) - 1

    def constant(self, value: Any) -> int:
        """Return the number of a constant: a Python number, or an array."""
        if isinstance(value, np.ndarray):
            _, numbers = self._arrays.setdefault(id(value), (value, []))
            for number in numbers:
                if known.alike(self.program.constants[number], value):
                    return number
            number = self._new(Value(value.shape, value.dtype))
            self.program.constants[number] = value.copy()
            numbers.append(number)
            return number
        key = (type(value), repr(value))
        if key not in self._constants:
            shaped = Value((), value.dtype) if isinstance(value, np.generic) else plain(value)
            self._constants[key] = number = self._new(shaped)
            if isinstance(value, np.generic):
                value = np.asarray(value)
            self.program.constants[number] = value
        return self._constants[key]

    def raw(self, array: Any) -> Tracer:
        """Return what stands for an array that is none of ours: here, a constant."""
        return Tracer(self, self.constant(array), array)

    def input_number(self, source: Any, value: Any) -> int:
        """Return the number of an input that is a plain number or a generator."""
        key = known.key(source)
        if key not in self._numbers:
            self._numbers[key] = self._new(plain(value))
            self.program.inputs[self._numbers[key]] = source
        return self._numbers[key]

    def operand(self, a: Any) -> tuple[int, Any]:
        """Return the number of an operand, and its value in the call that is traced."""
        if type(a) is Tracer:
            return a.number, a.shadow
        if type(a) is Number:
            return a.at, a.value
        if isinstance(a, np.ndarray):
            stand_in = self.raw(a)
            return stand_in.number, stand_in.shadow
        if isinstance(a, _SCALARS):
            return self.constant(a), a
        if isinstance(a, list | tuple):
            made = self.stacked(a)
            return made.number, made.shadow
        raise TypeError(f"not a number or an array: {a!r:.80}")

    def stacked(self, parts: Sequence[Any]) -> Any:
        """Return an array of a list of numbers and arrays, nested."""
        if not known.traced(parts):
            return self.raw(np.asarray(parts))
        rows = [self.array(part) for part in parts]
        return self.function(np.stack, (rows,), {})

    def array(self, a: Any) -> Any:
        """Return `a`, whatever it is, as a tracer."""
        if type(a) is Tracer:
            return a
        if type(a) is Number:
            return self.emit("fill", None, (a,), {"shape": (), "dtype": np.asarray(a.value).dtype})
        if isinstance(a, list | tuple):
            return self.stacked(a)
        return self.raw(np.asarray(a))

    # Instructions

    def emit(
        self, kind: str, function: Any, operands: Sequence[Any], settings: dict[str, Any]
    ) -> Any:
        """Note down one instruction; return what it makes, a tracer or a number."""
        self.still()
        found = [self.operand(a) for a in operands]
        numbers, shadows = tuple(n for n, _ in found), [s for _, s in found]
        if kind == "call":
            with suspended():
                made = evaluate(kind, function, shadows, settings)
        else:
            made = evaluate(kind, function, shadows, settings)
        number = kind in {"number", "item"}
        scalar = isinstance(made, np.generic)
        if not number:
            if not isinstance(made, np.ndarray | np.generic | bool | int | float):
                self.unknown(f"{called(function)}, which makes no array")
            made = np.asarray(made)
        if not number:
            self._note_quiet(function)
        out = self._new(plain(made) if number else Value(made.shape, made.dtype))
        self.program.instructions.append(
            Instruction(kind, function, numbers, settings, out, self.place)
        )
        if number:
            return Number(self, out, made)
        stand_in = Tracer(self, out, made)
        stand_in._scalar = scalar
        return stand_in

    def _note_quiet(self, function: Any) -> None:
        now: Any = np.geterr()
        if "ignore" in now.values():
            # Of "under" nobody hears by default, which tells nothing; but who expects numbers too
            # large for a float expects some that are too small.
            off = {
                k for k, v in now.items() if v == "ignore" and (k != "under" or now["over"] == v)
            }
            self.program.quiet |= off & known.WARNINGS.get(function, off)

    # Plain numbers

    def number(self, function: Callable[..., Any], operands: Sequence[Any]) -> Any:
        """Note down arithmetic on plain numbers."""
        return self.emit("number", function, operands, {})

    def item(self, x: Tracer, asked: str) -> Any:
        """Note down that the one element of an array is taken as a number."""
        self.still()
        if asker() == "user":
            asked = asked_by(asked)
            return self.text(x) if asked == "print" else self.given_out(x, asked)
        if self.depth:
            return self.unknown("a number that is taken from an array")
        return self.emit("item", None, (x,), {})

    def truth(self, x: Any) -> Any:
        """Return the truth of `x` in this call, and note that the program is for this truth."""
        if asker() == "user":
            return self.given_out(x, "if")
        if self.depth:
            self.unknown("a branch on values")
        number, value = self.operand(x)
        found = bool(value)
        if (number, found) not in self._expected:
            self._expected.add((number, found))
            self.program.instructions.append(
                Instruction("expect", None, (number,), {"value": found}, -1, self.place)
            )
        return found

    # Refusals

    def given_out(self, x: Any, asked: str) -> Any:
        """Refuse to hand out values."""
        self.still()
        if self.depth:
            self.unknown(f"{asked} of an array")
        told = "a branch on the value of" if asked == "if" else f"{asked} asks for the value of"
        raise self._refused(f"{told} a traced {self._told(x)}", asked)

    def _refused(self, what: str, asked: str) -> Any:
        return refusal(f"{what}: {_WHY}", _ADVICE.get(asked, _OUTSIDE))

    def _told(self, x: Any) -> str:
        return f"tensor of shape {x.shape}" if type(x) is Tracer else "number"

    def text(self, x: Any, spec: str = "") -> str:
        """Return how `x` is shown: in messages of the library only, which are of this call."""
        self.still()
        if asker() == "user":
            raise self._refused(
                f"printing or formatting a traced {self._told(x)} asks for its value", "print"
            )
        value = self.operand(x)[1]
        return format(value[()] if isinstance(value, np.ndarray) else value, spec)

    def still(self) -> None:
        """Refuse what is asked of a stand-in that outlived its trace."""
        if not self.over:
            return
        if self.broken is None:
            raise CompileError(
                "an array of a compiled function is used after the function was traced: it stands "
                "for other values in every call. Return what is needed outside"
            )
        raise CompileError(
            f"this was made while {self.program.name} was traced, which was given up "
            f"({self.broken}), so it has no values: take it out of where the function put it (a "
            "list, an attribute), and return what is needed outside"
        )

    def heed(self) -> None:
        """Raise what was refused, where the function caught that and went on."""
        if self.refused is not None:
            raise self.refused

    def layout(self, name: str) -> None:
        """Refuse to tell the user's code how the memory of an array lies."""
        frame = sys._getframe(1)
        while frame.f_back is not None and (
            kind_of(frame.f_code.co_filename) == "compiler"
            or frame.f_code.co_name == "is_contiguous"
        ):
            frame = frame.f_back
        if kind_of(frame.f_code.co_filename) == "user":
            raise refusal(
                f"{name} tells how the memory of an array lies, which may be otherwise in another "
                "call.",
                "Ask for it outside of the compiled function, and hand over what follows from it.",
            )

    def unknown(self, what: str) -> Any:
        """Refuse what cannot be noted down."""
        self.still()
        raise refusal(
            f"the tracer cannot note down {what}; only arithmetic on values, of shapes that are "
            "the same in every call.",
            "Do it outside of the compiled function, or make it an operation of its own with "
            "tinygrad_fc.op.",
            kind=UnknownError if self.depth else CompileError,
        )


def plain(value: Any) -> Value:
    """Return what is known of a plain number, or of what is no array."""
    for kind in (bool, int, float):
        if isinstance(value, kind):
            return Value(None, np.dtype(kind))
    return Value(None, None)


def called(function: Any) -> str:
    """Return how to speak of a function."""
    module = getattr(function, "__module__", None) or ""
    name = getattr(function, "__name__", repr(function))
    return f"{module.replace('numpy', 'np')}.{name}" if module else name
