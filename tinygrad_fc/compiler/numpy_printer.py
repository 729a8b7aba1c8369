"""The NumPy printer: a program as the source of one function, to be read, and what runs.

A value that is used once is written where it is used as long as the line stays short; others get
a variable. Arrays that change, and large ones, are computed in place where no later line reads
their old values.
"""

from __future__ import annotations

import ast
import linecache
import math
import re
from collections import defaultdict
from itertools import count
from typing import Any, NamedTuple

import numpy as np

from tinygrad_fc.compiler.instructions import add_at, entry_of, put, rng_call, uniform
from tinygrad_fc.compiler.ir import LARGE, Program, Value, operands
from tinygrad_fc.compiler.naming import identifier

IN_PLACE = {np.add: "+=", np.subtract: "-=", np.multiply: "*=", np.true_divide: "/="}
LONGEST_INLINE, LONGEST_LINE = 48, 96
"""Characters of an expression that is inlined, about, and of a line."""
WRITTEN_OUT = 6
"""Elements of constants that are written out."""
_MODULES = ("np", "math", "GuardFailed")
_NUMBERS = {0.0: "zero", 0.5: "half", 1.0: "one", 2.0: "two"}


class Line(NamedTuple):
    """A line of the source, with the value that it computes, checks, frees or stores, if any."""

    value: Value | None
    text: str


class Expressions:
    """Writes calls as Python expressions in parentheses; `plain` drops those that are not needed.

    `bound` holds the functions and arrays that the expressions name and do not define.
    """

    def __init__(self) -> None:
        self.bound: dict[str, Any] = {}
        self.texts: dict[Any, str] = {}  # of values and functions by id, of numbers by id and dtype
        self._taken = {*_MODULES}

    def fresh(self, name: str) -> str:
        """Return `name`, or the name with a number if it is taken."""
        stem = re.sub(r"\W", "_", name)
        names = (f"{stem}_{k}" if k > 1 else stem for k in count(1))
        name = next(name for name in names if name not in self._taken)
        self._taken.add(name)
        return name

    def text(self, leaf: Any) -> str:
        """Return how to write an argument."""
        if isinstance(leaf, Value):
            return self.constant(leaf) if leaf.is_constant else self.texts[id(leaf)]
        if isinstance(leaf, np.dtype | type):
            return f"np.{np.dtype(leaf).name}"
        if isinstance(leaf, tuple | list):
            parts = "".join(f"{self.text(part)}, " for part in leaf)
            return f"({parts})" if isinstance(leaf, tuple) else f"[{parts}]"
        if isinstance(leaf, slice):
            return f"slice{self.text((leaf.start, leaf.stop, leaf.step))}"
        if type(leaf) is float and not math.isfinite(leaf):
            return "(-np.inf)" if leaf < 0 else f"np.{leaf}"
        return "..." if leaf is Ellipsis else f"({leaf!r})"

    def index(self, at: Any) -> str:
        """Return what is written between brackets."""
        parts = at if isinstance(at, tuple) and at else (at,)
        return ", ".join(map(self._index_part, parts))

    def _index_part(self, part: Any) -> str:
        if not isinstance(part, slice):
            return self.text(part)
        ends = (part.start, part.stop, part.step)
        return ":".join("" if x is None else self.text(x) for x in ends)

    def expression(self, value: Value) -> str:
        """Return the text of a call."""
        form = self.form(value)
        args = [self.index(x) if "[" in form else self.operand(x, value) for x in value.args]
        options = [(key, self.text(x)) for key, x in value.kwargs.items()]
        if form:
            return f"({form.format(*args, *(text for _, text in options))})"
        args += [f"{key}={text}" for key, text in options]
        return f"{self.function_name(value.function)}({', '.join(args)})"

    def operand(self, x: Any, reader: Value) -> str:  # noqa: ARG002
        """Return how to write an argument of `reader`."""
        return self.text(x)

    def form(self, value: Value) -> str:
        """Return the text of a call with places for its arguments; "" for a call by name."""
        form = entry_of(value.function).numpy
        return str(form(value) if callable(form) else form)

    def constant(self, value: Value) -> str:
        """Return how to write a constant."""
        return f"np.array({value.sample.tolist()!r})"

    def function_name(self, function: Any) -> str:
        """Return how to write a function; one that is not NumPy's gets a name of its own."""
        name = getattr(function, "__name__", "function")
        if isinstance(getattr(function, "__self__", None), np.ufunc):
            return f"{self.function_name(function.__self__)}.{name}"
        for module, prefix in ((np, "np"), (np.linalg, "np.linalg"), (math, "math")):
            if getattr(module, name, None) is function:
                return f"{prefix}.{name}"
        if id(function) not in self.texts:
            self.texts[id(function)] = name = self.fresh(name)
            self.bound[name] = function
        return self.texts[id(function)]


class NumPyPrinter(Expressions):
    """Writes a program line by line when it is created; `source()` joins the lines."""

    def __init__(self, program: Program) -> None:
        super().__init__()
        self.program = program
        self.lines: list[Line] = []
        self.users: defaultdict[int, list[Value]] = defaultdict(list)
        for value in program.instructions:
            for v in operands(value):
                self.users[id(v)].append(value)
        self.used_after = {*map(id, program.outputs), *(id(new) for _, new in program.changes)}
        self.overwritten: dict[int, Value] = {}  # in whose array each value is computed, by id
        self._definitions: dict[str, str] = {}  # of constants
        self._phase = ""
        self._guards: list[tuple[Value, str]] = []  # conditions that no line raises for yet
        self.inlined: set[int] = set()
        self.array_names: dict[int, str] = {}  # of numbers that have a line as 0-d arrays
        self._places = self._find_places()
        self.inputs = [self._set_variable(v, v.name) for v in program.inputs]
        truths = {id(v): truth for v, truth in program.expects}
        for place, value in enumerate((*program.inputs, *program.instructions)):
            if not value.is_input:
                self._write(value, place)
            if id(value) in truths:
                text = self.text(value) if truths[id(value)] else f"not {self.text(value)}"
                self._guards.append((value, plain(text)))
        self._add_guards()
        self._free()
        self._last_lines, self._returned = self._end()
        self.name = identifier(program.name)
        self.name += "_" * (self.name in {*_MODULES, *self.bound, *self._definitions})

    # What is inlined, and what is changed in place

    def _may_inline(self, value: Value) -> bool:
        """Return whether a value may be written where it is used, if its text is short."""
        if id(value) in self.used_after or value.cited or value.function in (put, add_at, rng_call):
            return False
        is_shared = value.function is np.transpose and value.args[0].is_input
        return len(self.users[id(value)]) <= 1 or is_shared or self._is_only_array(value)

    def _is_only_array(self, value: Value) -> bool:
        """Return whether a number is only read as a 0-d array: see `operand`."""
        return value.is_number and all(map(_takes_arrays, self.users[id(value)]))

    def _find_places(self) -> dict[int, int]:
        """Return the position of the last instruction whose line may compute each value."""
        values = (*self.program.inputs, *self.program.instructions)
        places = {id(value): place for place, value in enumerate(values)}
        for value in reversed(self.program.instructions):
            if self.users[id(value)] and self._may_inline(value):
                places[id(value)] = max(places[id(user)] for user in self.users[id(value)])
        return places

    def _last_read(self, x: Value, but: Value) -> int:
        """Return the last place where the array of `x` is read, itself or a view, but by `but`."""
        if id(x) in self.used_after:
            return len(self._places)
        users = (user for user in self.users[id(x)] if user is not but)
        reads = (self._last_read(u, but) if u.is_view else self._places[id(u)] for u in users)
        return max(reads, default=-1)

    def _changed_in_place(self, value: Value, place: int) -> Value | None:
        """Return the input that `value` may overwrite: one that changes, and is read no more."""
        first: Any = value.args[0] if value.function in IN_PLACE and not value.kwargs else None
        if not _alike(first, value):
            return None
        old = self.overwritten.get(id(first), first)
        guards = (self._places[id(v)] for v, _ in self.program.expects)
        is_free = max(guards, default=-1) < place and self._last_read(first, value) <= place
        return old if is_free and any(old is x for x, _ in self.program.changes) else None

    def _is_temporary(self, x: Any, value: Value) -> bool:
        """Return whether `value` may overwrite `x`, a large new array that nothing else reads."""
        is_elementwise = isinstance(value.function, np.ufunc) and not value.kwargs
        if value.size < LARGE or not is_elementwise or not _alike(x, value):
            return False
        is_new = isinstance(x.function, np.ufunc) or x.function is np.dot
        return is_new and id(x) in self.inlined

    # Names

    def _set_variable(self, value: Value, name: str) -> str:
        """Return a new variable, by which the value is read from now on."""
        self.texts[id(value)] = name = self.fresh(name or "t")
        return name

    def constant(self, value: Value) -> str:
        """Return the name of a constant, which the source defines above the function."""
        if id(value) not in self.texts:
            name, text = _constant_text(value.sample)
            name = self._set_variable(value, value.name or name)
            if text:
                self._definitions[name] = text
            else:
                self.bound[name] = value.sample
        return self.texts[id(value)]

    def operand(self, x: Any, reader: Value) -> str:
        """Return how to write an argument: a number beside an array of floats as a 0-d array.

        NumPy takes that faster. Its first use writes a line for it, such as `rate = np.array(lr)`.
        """
        if not (isinstance(x, Value) and x.is_number and _takes_arrays(reader)):
            return self.text(x)
        if (id(x), reader.dtype) not in self.texts:
            name = x.name if self._is_only_array(x) and not x.is_input else f"{x.name}_array"
            name = self.fresh("rate" if x.name == "lr" else name)
            dtype = "" if reader.dtype == np.float64 else f", np.{reader.dtype.name}"
            self._add_line(reader if x.is_input else x, f"{name} = np.array({self.text(x)}{dtype})")
            self.texts[id(x), reader.dtype] = name
            self.array_names.setdefault(id(x), name)
        return self.texts[id(x), reader.dtype]

    # Lines

    def _add_line(self, value: Value, text: str) -> None:
        self._add_guards()
        self._add_lines(value, [plain(text)])

    def _add_lines(self, value: Value, texts: list[str]) -> None:
        """Add lines below the heading of their phase, with formula numbers beside the first."""
        if value.origin.phase not in ("", self._phase):
            self._phase = value.origin.phase
            self.lines.append(Line(None, f"# {self._phase.capitalize()}"))
        if value.cited and self.lines[-1].value is not value:
            texts = [f"{texts[0]}  # {', '.join(f'({k})' for k in value.cited)}", *texts[1:]]
        self.lines += [Line(value, text) for text in texts]

    def _add_guards(self) -> None:
        """Add a statement that raises where one of the conditions since the last line is false."""
        guards, self._guards = self._guards, []
        if guards:
            (value, first), *others = guards
            parts = [first, *(f"and {text}" for _, text in others)]
            lines = wrapped("if not (", parts, "", "):")
            if not others:
                lines = [f"if not {first}:".replace("not not ", "")]
            self._add_lines(value, [*lines, "    raise GuardFailed"])

    def _write(self, value: Value, place: int) -> None:
        """Write an instruction, or inline it."""
        old = self._changed_in_place(value, place)
        if old is not None:
            self.overwritten[id(value)] = old
            self._write_in_place(value, value.args[0], self.texts[id(old)], value)
        elif value.function in (put, add_at):
            self._write_put(value)
        else:
            text = plain(self.expression(value))
            always = not self.users[id(value)] or self._is_only_array(value)
            if self._may_inline(value) and (always or len(text) <= LONGEST_INLINE):
                self.texts[id(value)] = f"({text})"
                self.inlined.add(id(value))
            else:
                self._assign(value, self._set_variable(value, value.name), value)

    def _assign(self, value: Value, name: str, result: Value) -> None:
        """Write `name = value` for a line of `result`; in place where an operand has no other use.

        Its memory is in the caches then.
        """
        operand = next((x for x in value.args if self._is_temporary(x, value)), None)
        if operand is None:
            self._add_line(result, f"{name} = {self.expression(value)}")
        else:
            self._assign(operand, name, result)
            self._write_in_place(value, operand, name, result)

    def _write_in_place(self, value: Value, operand: Value, name: str, result: Value) -> None:
        """Write a line that computes `value` in the array of its operand, `name`."""
        self.texts[id(operand)] = self.texts[id(value)] = name
        args = [self.operand(x, value) for x in value.args]
        if value.function in IN_PLACE and value.args[0] is operand:
            self._add_line(result, f"{name} {IN_PLACE[value.function]} {args[1]}")
        else:
            call = f"{self.function_name(value.function)}({', '.join(args)}, out={name})"
            self._add_line(result, call)

    def _write_put(self, value: Value) -> None:
        x, at, new = value.args
        # NumPy computes a 0-d array as a scalar
        copied = f"{self.text(x)}.copy()" if x.shape else f"np.array({self.text(x)})"
        if x.shape and id(x) in self.inlined and isinstance(x.function, np.ufunc):
            copied = self.text(x)  # a new array
        name = self._set_variable(value, value.name)
        self._add_line(value, f"{name} = {copied}")
        if value.function is put:
            self._add_line(value, f"{name}[{self.index(at)}] = {self.text(new)}")
        else:
            self._add_line(value, f"np.add.at({name}, {self.text(at)}, {self.text(new)})")

    # The whole text

    def source(self) -> str:
        """Return the source of the function."""
        return "\n".join(line.text for line in self.source_lines()) + "\n"

    def source_lines(self) -> list[Line]:
        """Return the lines of the source."""
        lines = self.function_lines()
        function = "\n".join(line.text for line in lines)
        above = ["import math"] * ("math." in function) + ["import numpy as np"]
        above += ["", "from tinygrad_fc.compiler import GuardFailed"] * ("GuardFailed" in function)
        above += ["", f"# {', '.join(self.bound)}: ops and arrays from outside"] * bool(self.bound)
        return [*(Line(None, text) for text in above), *lines]

    def function_lines(self) -> list[Line]:
        """Return the lines of the constants and of the function, without imports."""
        constants = [""] * bool(self._definitions)
        constants += [f"{name} = {text}" for name, text in self._definitions.items()]
        head = wrapped(f"def {self.name}(", self.inputs, ",", "):")
        comma = "," * (len(self._returned) == 1)
        end = wrapped("return (", self._returned, ",", f"{comma})")
        body = [*self.lines, *self._last_lines, *(Line(None, text) for text in end)]
        above = [Line(None, text) for text in (*constants, "", "", *head)]
        return [*above, *(Line(value, f"    {text}") for value, text in body)]

    def _free(self) -> None:
        """Write `del` after the last line that reads a large array."""
        names = {self.texts[id(v)] for v in self.program.instructions if v.size >= LARGE}
        names -= {*self.inputs, *(self.texts.get(key, "") for key in self.used_after)}
        lines: list[Line] = []
        for line in reversed(self.lines):
            ended = dict.fromkeys(w for w in re.findall(r"\w+", line.text) if w in names)
            if ended:
                lines.append(Line(line.value, f"del {', '.join(ended)}"))
                names -= ended.keys()
            lines.append(line)
        self.lines = lines[::-1]

    def _end(self) -> tuple[list[Line], list[str]]:
        """Return the lines that write changes, and the expressions that are returned.

        What is returned is an array of its own: views, inputs and what is changed are copied.
        """
        lines, returned, stores = list[Line](), list[str](), list[Line]()

        def copied(value: Value) -> str:
            name = self.fresh(f"{self.text(value)}_copy")
            lines.append(Line(value, f"{name} = np.array({self.text(value)})"))
            return name

        for value in self.program.outputs:
            text = self.text(value)
            if not value.is_number and (self._is_shared(value) or text in returned):
                text = copied(value)
            elif not value.shape and not value.is_number:
                text = f"np.array({text})"
            returned.append(text)
        for old, new in self.program.changes:
            if self.overwritten.get(id(new)) is not old:
                is_input = self._is_shared(new) and not new.is_constant
                text = copied(new) if is_input else self.text(new)
                stores.append(Line(new, f"{self.text(old)}[...] = {text}"))
        return [*lines, *stores], returned

    def _is_shared(self, value: Value) -> bool:
        """Return whether the array of a value may be changed or belong to the caller."""
        return value.is_view or self.overwritten.get(id(value), value).function is None


def plain(text: str) -> str:
    """Return a line or expression without the parentheses that it does not need."""
    return ast.unparse(ast.parse(text))


def _takes_arrays(reader: Value) -> bool:
    """Return whether a value is computed faster from 0-d arrays than from Python numbers."""
    return isinstance(reader.function, np.ufunc) and bool(reader.shape) and reader.dtype.kind == "f"


def _alike(x: Any, value: Value) -> bool:
    return isinstance(x, Value) and (x.shape, x.dtype) == (value.shape, value.dtype)


def _constant_text(array: Any) -> tuple[str, str]:
    """Return a name for a constant, and how to write it; an empty text where it is too large."""
    dtype = "" if array.dtype == np.float64 else f", np.{array.dtype.name}"
    number = uniform(array)
    if number is not None and np.isfinite(number):
        name, text = _NUMBERS.get(number.item(), f"scale_{number:g}"), repr(number.item())
        if not array.ndim:
            return name, f"np.array({text}{dtype})"
        name = {"zero": "zeros", "one": "ones"}.get(name, name)
        if array.size > 1 and not any(array.strides):
            return name, f"np.broadcast_to(np.array({text}{dtype}), {array.shape})"
        shape = array.shape[0] if array.ndim == 1 else array.shape
        is_named = name in ("zeros", "ones") and not text.startswith("-")  # -0.0 is no zero
        function = name if is_named else "full"
        return name, f"np.{function}({shape}{f', {text}' * (function == 'full')}{dtype})"
    if array.ndim == 1 and array.dtype == np.int64 and (array == np.arange(len(array))).all():
        return "rows", f"np.arange({len(array)})"
    if 0 < array.size <= WRITTEN_OUT and np.isfinite(array).all():
        return "constant", f"np.array({array.tolist()!r}{dtype})"
    return "constant", ""


def wrapped(start: str, parts: list[str], comma: str, end: str) -> list[str]:
    """Return `parts` between `start` and `end` on one line, or on one line each."""
    line = f"{start}{f'{comma} '.join(parts)}{end}"
    if len(line) <= LONGEST_LINE:
        return [line]
    return [start, *(f"    {part}{comma}" for part in parts), end.lstrip(",")]


# The backend: the source, executed


def build(program: Program) -> Any:
    """Return the function that the printer writes; its caller silences NumPy's warnings.

    It has the attribute `source`, as the kernels of all backends.
    """
    printer = NumPyPrinter(program)
    source, namespace = printer.source(), dict(printer.bound)
    file = f"<compiled {printer.name} {id(namespace):x}>"  # tracebacks show its lines
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    exec(compile(source, file, "exec"), namespace)  # noqa: S102
    kernel: Any = namespace[printer.name]
    kernel.source = source
    return kernel
