"""The NumPy printer: a program as the source of one function, to be read, and what runs.

A value that is used once is written where it is used as long as the line stays short; others get
a variable. Arrays that change, and large ones, are computed in place where no later line reads
their old values.
"""

from __future__ import annotations

import keyword
import linecache
import math
import re
from collections import defaultdict
from typing import Any, NamedTuple

import numpy as np

from tinygrad_fc.compiler.instructions import add_at, draw, instruction, put
from tinygrad_fc.compiler.ir import LARGE, Program, Value, leaves, operands, uniform

ATOM, SIGN, PRODUCT, SUM, BITS, COMPARED = 6, 5, 4, 3, 2, 1
_LEVELS = {"**": SIGN, "+": SUM, "-": SUM, "*": PRODUCT, "/": PRODUCT, "//": PRODUCT, "%": PRODUCT}
_LEVELS |= {"@": PRODUCT, "&": BITS, "|": BITS, "^": BITS}
"""Precedence of operators, beside that of comparisons."""
IN_PLACE = {np.add: "+=", np.subtract: "-=", np.multiply: "*=", np.true_divide: "/="}
LONGEST_INLINE, LONGEST_SHARED, LONGEST_LINE = 48, 24, 96
"""Characters of an expression with one reader, with several, and of a line."""
_RAISE = "    raise GuardFailed"
SMALL = 6
"""Elements of constants that are written out."""
_NAMES_OF_NUMBERS = {0.0: "zero", 0.5: "half", 1.0: "one", 2.0: "two"}


class Line(NamedTuple):
    """A statement with the value that it computes."""

    value: Value
    text: str


class Expressions:
    """Writes calls as expressions of Python.

    `bound` are functions and arrays that the texts name and do not define.
    """

    def __init__(self) -> None:
        self.bound: dict[str, Any] = {}
        self.texts: dict[int, tuple[str, int]] = {}  # of values, with their precedence
        self._taken = {"np", "math", "GuardFailed"}

    def fresh(self, name: str) -> str:
        """Return `name`, or the name with a number if it is taken."""
        name = stem = re.sub(r"\W", "_", name)
        k = 1
        while name in self._taken:
            k += 1
            name = f"{stem}_{k}"
        self._taken.add(name)
        return name

    def text(self, leaf: Any, level: int = 0) -> str:  # noqa: PLR0911  one for each kind
        """Return how to write an argument, in parentheses where it binds less than `level`."""
        if isinstance(leaf, Value):
            if leaf.is_constant:
                return self.constant(leaf.sample)
            known, own = self.texts[id(leaf)]
            return known if own > level else f"({known})"
        if isinstance(leaf, np.dtype) or (isinstance(leaf, type) and issubclass(leaf, np.generic)):
            return dtype_text(leaf)
        if isinstance(leaf, tuple):
            return f"({', '.join(map(self.text, leaf))}{',' * (len(leaf) == 1)})"
        if isinstance(leaf, list):
            return f"[{', '.join(map(self.text, leaf))}]"
        if isinstance(leaf, slice):
            return f"slice({self.text(leaf.start)}, {self.text(leaf.stop)}, {self.text(leaf.step)})"
        if type(leaf) is float and not math.isfinite(leaf):
            return f"np.{leaf}" if not leaf < 0 else "(-np.inf)"
        negative = type(leaf) in (int, float) and leaf < 0 and level >= SIGN
        return f"({leaf!r})" if negative else repr(leaf)

    def index(self, at: Any) -> str:
        """Return what is written between brackets."""
        if isinstance(at, tuple) and at:
            return ", ".join(map(self._index_part, at))
        return self._index_part(at)

    def _index_part(self, part: Any) -> str:
        if isinstance(part, slice):
            ends = ["" if x is None else self.text(x) for x in (part.start, part.stop, part.step)]
            return ":".join(ends if ends[2] else ends[:2])
        return "..." if part is Ellipsis else self.text(part)

    def expression(self, value: Value) -> tuple[str, int]:
        """Return the text of a call, and its precedence."""
        args = [*value.args, *value.kwargs.values()]
        form = self.form(value)
        if form and "{" not in form:
            level = _LEVELS.get(form, COMPARED)
            x, y = args
            left = self.number(x, SIGN if form == "**" else level - (level != COMPARED), y, value)
            return f"{left} {form} {self.number(y, level, x, value)}", level
        if form.startswith(("-", "~")):
            return form.format(self.text(args[0], PRODUCT)), SIGN
        if form:
            first, *others = args
            write = self.index if "[" in form else self.text
            return form.format(self.text(first, SIGN), *map(write, others)), ATOM
        texts = [*map(self.text, value.args)]
        texts += [f"{key}={self.text(v)}" for key, v in value.kwargs.items()]
        return f"{self.function_name(value.function)}({', '.join(texts)})", ATOM

    def form(self, value: Value) -> str:
        """Return the operator or text of a call, as in the table of instructions."""
        form = instruction(value.function).numpy
        return str(form(value) if callable(form) else form)

    def number(self, number: Any, level: int, other: Any, result: Value) -> str:  # noqa: ARG002
        """Return how to write an operand beside another one."""
        return self.text(number, level)

    def constant(self, array: Any) -> str:
        """Return how to write a constant."""
        return f"np.array({array.tolist()!r})"

    def function_name(self, function: Any) -> str:
        """Return how to write a function; one that is not NumPy's gets a name of its own."""
        name = getattr(function, "__name__", "function")
        if isinstance(getattr(function, "__self__", None), np.ufunc):
            return f"{self.function_name(function.__self__)}.{name}"
        for module, prefix in ((np, "np"), (np.linalg, "np.linalg"), (math, "math")):
            if getattr(module, name, None) is function:
                return f"{prefix}.{name}"
        known = next((n for n, f in self.bound.items() if f is function), None)
        if known is None:
            known = self.fresh(name)
            self.bound[known] = function
        return known


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
        self.used_after = {id(v) for v in leaves([program.outputs, program.expects])}
        self.used_after |= {id(new) for _, new in program.changes}
        self.overwritten: dict[int, Value] = {}  # the input that each value changes in place, by id
        self._positions = {id(v): k for k, v in enumerate(program.instructions)}
        self._last_reads = self._find_last_reads()
        self._inlined: set[int] = set()
        self._constants: dict[Any, str] = {}
        self._definitions: list[str] = []
        self._numbers: dict[Any, str] = {}  # variables of 0-d arrays
        self._guards: list[str] = []  # of the last statement that raises GuardFailed
        self.inputs = [self._set_variable(v) for v in program.inputs]
        truths = {id(v): truth for v, truth in program.expects}
        for value in program.instructions:
            self._write(value, truths.get(id(value)))
        self._last_lines, self._returned = self._end()
        self._free()
        usable = program.name.isidentifier() and not keyword.iskeyword(program.name)
        self.name = program.name if usable else "compiled"
        outside = {"np", "math", "GuardFailed", *self.bound, *self._constants.values()}
        self.name += "_" * (self.name in outside)

    # Changes in place

    def _find_last_reads(self) -> dict[int, int]:
        """Return where the text of each value is evaluated for the last time.

        A view is read where its users are, and what may be inlined is evaluated there.
        """
        last: dict[int, int] = {}
        for value in reversed(self.program.instructions):
            last[id(value)] = position = self._positions[id(value)]
            if value.is_view and id(value) in self.used_after:
                last[id(value)] = len(self._positions)
            elif value.is_view or self._may_inline(value):
                users = (last[id(user)] for user in self.users[id(value)])
                last[id(value)] = max(users, default=position)
        return last

    def _changed_in_place(self, value: Value) -> Value | None:
        """Return the input that `value` may overwrite: one that changes, and is read no more."""
        first = value.args[0] if value.function in IN_PLACE and not value.kwargs else None
        if not isinstance(first, Value) or (first.shape, first.dtype) != (value.shape, value.dtype):
            return None
        old = self.overwritten.get(id(first), first)
        if id(first) in self.used_after or not any(old is x for x, _ in self.program.changes):
            return None
        others = [u for u in self.users[id(first)] if u is not value]
        position = self._positions[id(value)]
        reads = [self._last_reads[id(u)] for u in others]  # those of this line come first
        reads += [self._positions.get(id(v), -1) + 1 for v, _ in self.program.expects]
        return old if max(reads, default=-1) <= position else None

    # Names and literals

    def _set_variable(self, value: Value) -> str:
        """Return a new variable, by which the value is read from now on."""
        name = self.fresh(self._known_name(value, "t"))
        self.texts[id(value)] = name, ATOM
        return name

    def _known_name(self, value: Value, otherwise: str) -> str:
        program = self.program
        return program.names.get(id(value)) or program.default_names.get(id(value), otherwise)

    def constant(self, array: Any) -> str:
        """Return the name of a constant, which the source defines above the function."""
        small = array.tobytes() if array.size == 1 else id(array)
        key = (array.dtype, array.shape, small)
        if key not in self._constants:
            name, text = _constant_text(array)
            if name == "scale":
                number, kind = array.flat[0], array.dtype.type
                if not array.ndim and array.dtype.kind == "f":
                    options = self.program.option_names
                    name = {kind(x): options[x] for x in options}.get(number, name)
                if name in {*self._taken, *self.program.default_names.values()}:
                    # scale and scale_0_25, not scale_2
                    name += "_array" if name in self._numbers.values() else f"_{number:g}"
            self._constants[key] = name = self.fresh(name)
            if text:
                self._definitions.append(f"{name} = {text}")
            else:
                self.bound[name] = array
        return self._constants[key]

    def number(self, number: Any, level: int, other: Any, result: Value) -> str:
        """Return how to write a number beside an array: a 0-d array, which NumPy takes faster.

        Its first use writes a line for it, such as `rate = np.array(lr)`.
        """
        array = isinstance(other, Value) and other.shape and result.dtype == other.dtype
        is_constant = isinstance(number, Value) and number.is_constant and number.shape
        if array and is_constant and other.shape == result.shape:
            same = uniform(number.sample)
            number = number if same is None else same.item()
        is_option = result.is_number and number in self.program.option_names
        if is_option and number not in _NAMES_OF_NUMBERS:
            return self._option(number)
        if not array or other.dtype.kind != "f" or not _is_number(number):
            return self.text(number, level)
        if not isinstance(number, Value):
            return self.constant(np.array(number, other.dtype))
        key = (id(number), other.dtype)
        if key not in self._numbers:
            name = self._known_name(number, "number")
            self._numbers[key] = self.fresh("rate" if name == "lr" else f"{name}_array")
            dtype = "" if other.dtype == np.float64 else f", {dtype_text(other.dtype)}"
            text = f"{self._numbers[key]} = np.array({self.text(number)}{dtype})"
            self.lines.append(Line(result, text))
        return self._numbers[key]

    def _option(self, number: float) -> str:
        """Return the name of an option, which the source defines if no variable has that name."""
        name = self.program.option_names[number]
        if name in self.program.default_names.values():
            return self.text(number, SIGN)
        if number not in self._numbers:
            self._numbers[number] = name = self.fresh(name)
            self._definitions.append(f"{name} = {number!r}")
        return self._numbers[number]

    # Lines

    def _write(self, value: Value, truth: bool | None) -> None:
        """Write an instruction; with the guard that its truth is `truth`, unless that is None."""
        old = self._changed_in_place(value)
        if old is not None:
            self.overwritten[id(value)] = old
            self.texts[id(value)] = name, _ = self.texts[id(old)]
            self._write_in_place(value, value.args[0], name, value)
        elif value.function in (put, add_at):
            self._write_put(value)
        else:
            text, level = self.expression(value)
            condition = truth is not None and not self.users[id(value)]
            longest = LONGEST_INLINE if len(self.users[id(value)]) == 1 else LONGEST_SHARED
            if condition or (self._may_inline(value) and len(text) <= longest):
                self.texts[id(value)] = text, level
                self._inlined.add(id(value))
            else:
                self._assign(value, self._set_variable(value), value)
        if truth is not None:
            text = self.text(value) if truth else f"not {self.text(value, COMPARED - 1)}"
            if self._guards and self.lines[-1].text == _RAISE:  # one statement for all
                del self.lines[-len(self._wrapped_guards()) - 1 :]
            else:
                self._guards = []
            self._guards.append(text)
            self.lines += [Line(value, line) for line in (*self._wrapped_guards(), _RAISE)]

    def _wrapped_guards(self) -> list[str]:
        """Return the lines of a statement that raises where a guard does not hold."""
        first, *others = self._guards
        if not others and first.startswith("not "):
            return [f"if {first.removeprefix('not ')}:"]
        line = f"if not ({' and '.join(self._guards)}):"
        if len(line) <= LONGEST_LINE:
            return [line]
        return ["if not (", f"    {first}", *(f"    and {text}" for text in others), "):"]

    def _assign(self, value: Value, name: str, result: Value) -> None:
        """Write `name = value` for a line of `result`; in place where an operand has no other use.

        Its memory is in the caches then.
        """
        operand = next((x for x in value.args if self._is_temporary(x, value)), None)
        if operand is None:
            self.lines.append(Line(result, f"{name} = {self.expression(value)[0]}"))
        else:
            self._assign(operand, name, result)
            self.texts[id(operand)] = name, ATOM
            self._write_in_place(value, operand, name, result)

    def _is_temporary(self, x: Any, value: Value) -> bool:
        """Return whether `value` may overwrite `x`, a large new array that nothing else reads."""
        if not isinstance(x, Value) or id(x) not in self._inlined or len(self.users[id(x)]) > 1:
            return False
        is_new = isinstance(x.function, np.ufunc) or x.function is np.dot
        alike = (x.shape, x.dtype) == (value.shape, value.dtype)
        plain = isinstance(value.function, np.ufunc) and not value.kwargs
        return bool(is_new and alike and plain and value.shape and value.size >= LARGE)

    def _write_in_place(self, value: Value, operand: Value, name: str, result: Value) -> None:
        """Write a line that computes `value` in the array of its operand, `name`."""
        if value.function in IN_PLACE and value.args[0] is operand:
            other = self.number(value.args[1], 0, value, value)
            self.lines.append(Line(result, f"{name} {IN_PLACE[value.function]} {other}"))
        else:
            args = ", ".join(self.number(x, 0, value, value) for x in value.args)
            function = self.function_name(value.function)
            self.lines.append(Line(result, f"{function}({args}, out={name})"))

    def _write_put(self, value: Value) -> None:
        x, at, new = value.args
        # NumPy computes a 0-d array as a scalar
        copied = f"{self.text(x, SIGN)}.copy()" if x.shape else f"np.array({self.text(x)})"
        name = self._set_variable(value)
        self.lines.append(Line(value, f"{name} = {copied}"))
        if value.function is put:
            self.lines.append(Line(value, f"{name}[{self.index(at)}] = {self.text(new)}"))
        else:
            self.lines.append(Line(value, f"np.add.at({name}, {self.text(at)}, {self.text(new)})"))

    def _may_inline(self, value: Value) -> bool:
        """Return whether a value may be written where it is used, if its text is short."""
        if id(value) in self.used_after or id(value) in self.program.names:
            return False
        if value.function in (put, add_at, draw):
            return False
        users = self.users[id(value)]
        once = len(users) == 1 and users[0].function not in (put, add_at)
        return once or (value.function is np.transpose and value.args[0].is_input)

    # The whole text

    def source(self) -> str:
        """Return the source of the function."""
        body = [*self._commented_lines(), *self._last_lines]
        body += _wrapped("return (", self._returned, "," * (len(self._returned) == 1), ")")
        head = _wrapped(f"def {self.name}(", self.inputs, "", "):")
        modules = ["import math"] * any("math." in line for line in body) + ["import numpy as np"]
        if any("GuardFailed" in line for line in body):
            modules += ["from tinygrad_fc.compiler import GuardFailed"]
        outside = [f"# {', '.join(self.bound)}: ops and arrays from outside"] * bool(self.bound)
        blocks = ["\n\n".join(modules), "\n".join([*outside, *self._definitions])]
        function = "\n".join([*head, *(f"    {line}" for line in body)])
        return "\n\n".join(filter(None, blocks)) + f"\n\n\n{function}\n"

    def _commented_lines(self) -> list[str]:
        """Return the lines under headings by phase, with formula numbers beside."""
        lines: list[str] = []
        phase, before = "", None
        for value, text in self.lines:
            if value.origin.phase not in ("", phase):
                phase = value.origin.phase
                lines.append(f"# {phase.capitalize()}")
            cited = value.formula and value is not before
            lines.append(f"{text}  # {value.formula}" if cited else text)
            before = value
        return lines

    def _free(self) -> None:
        """Write `del` after the line that reads a large array for the last time."""
        names = {self.texts[id(v)][0]: v for v in self.program.instructions if v.size >= LARGE}
        last: dict[str, int] = {}
        for k, line in enumerate(self.lines):
            last |= {word: k for word in re.findall(r"\w+", line.text) if word in names}
        kept = {*self.inputs, *re.findall(r"\w+", " ".join([*self._last_lines, *self._returned]))}
        ends: defaultdict[int, list[str]] = defaultdict(list)
        for name, k in last.items():
            if name not in kept:
                ends[k].append(name)
        for k in sorted(ends, reverse=True):
            self.lines.insert(k + 1, Line(self.lines[k].value, f"del {', '.join(ends[k])}"))

    def _end(self) -> tuple[list[str], list[str]]:
        """Return the lines that write changes, and the expressions that are returned.

        What is returned is an array of its own: views, inputs and what is changed are copied.
        """
        lines, returned, stores = [], [], []
        seen: set[int] = set()
        for value in self.program.outputs:
            plain = value.shape or value.is_number
            text = self.text(value) if plain else f"np.array({self.text(value)})"
            if not value.is_number and (self._is_shared(value) or id(value) in seen):
                name = self.fresh(f"{self.program.names.get(id(value), 'result')}_copy")
                lines.append(f"{name} = np.array({text})")
                text = name
            seen.add(id(value))
            returned.append(text)
        for old, new in self.program.changes:
            if self.overwritten.get(id(new)) is old:
                continue
            text = self.text(new)
            if self._is_shared(new):  # an earlier line may overwrite it
                source = self.fresh("old")
                lines.append(f"{source} = {text}.copy()")
                text = source
            stores.append(f"{self.text(old)}[...] = {text}")
        return [*lines, *stores], returned

    def _is_shared(self, value: Value) -> bool:
        """Return whether the array of a value may be changed or belong to the caller."""
        return value.function is None or value.is_view or id(value) in self.overwritten


def dtype_text(dtype: Any) -> str:
    """Return how to write a dtype."""
    return "np.bool_" if np.dtype(dtype).kind == "b" else f"np.{np.dtype(dtype).name}"


def _is_number(x: Any) -> bool:
    return type(x) in (int, float) or (isinstance(x, Value) and x.is_number)


def _constant_text(array: Any) -> tuple[str, str]:
    """Return a name for a constant, and how to write it; an empty text where it is too large."""
    dtype = "" if array.dtype == np.float64 else f", {dtype_text(array.dtype)}"
    number = uniform(array) if array.ndim else None
    if number is not None and np.isfinite(number):
        text = repr(number.item())
        name = {"0.0": "zeros", "1.0": "ones"}.get(text, "scale")
        if array.size > 1 and not any(array.strides):
            return name, f"np.broadcast_to(np.array({text}{dtype}), {array.shape})"
        if name == "ones" or array.size > SMALL:
            shape = array.shape[0] if array.ndim == 1 else array.shape
            value = f", {text}" if name == "scale" else ""
            return name, f"np.{'full' if value else name}({shape}{value}{dtype})"
    if array.ndim == 1 and array.dtype == np.int64 and (array == np.arange(len(array))).all():
        return "rows", f"np.arange({len(array)})"
    if 0 < array.size <= SMALL and np.isfinite(array).all():
        numbers = array.tolist()
        name = "constant" if array.ndim else _NAMES_OF_NUMBERS.get(numbers, "scale")
        return name, f"np.array({numbers!r}{dtype})"
    return "constant", ""


def _wrapped(start: str, parts: list[str], comma: str, end: str) -> list[str]:
    """Return `parts` between `start` and `end` on one line, or on one line each."""
    line = f"{start}{', '.join(parts)}{comma}{end}"
    if len(line) <= LONGEST_LINE:
        return [line]
    return [start, *(f"    {part}," for part in parts), end]


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
