"""The NumPy printer: a program as the source of one function, to be read, and what runs.

A value that is used once is written where it is used as long as the line stays short; others get
a variable. Arrays that change are changed in place where no later line reads their old values.
"""

from __future__ import annotations

import linecache
import math
import operator
import re
from collections import defaultdict
from typing import Any, NamedTuple

import numpy as np

from tinygrad_fc.compiler import ir
from tinygrad_fc.compiler.ir import (
    GuardFailed,
    Program,
    Value,
    add_at,
    cast,
    draw,
    item,
    leaves,
    operands,
    put,
)

ATOM, SIGN, PRODUCT, SUM, BITS, COMPARED = 6, 5, 4, 3, 2, 1
_LEVELS = {"+": SUM, "-": SUM, "*": PRODUCT, "/": PRODUCT, "//": PRODUCT, "%": PRODUCT}
OPERATORS: dict[Any, tuple[str, int]] = {
    function: (sign, _LEVELS.get(sign, COMPARED))
    for ufunc, plain, sign in ir.OPERATORS
    for function in (ufunc, plain)
    if sign not in ("**", "//", "%") or function is plain
}
"""Symbol and precedence of the functions that are written as operators."""
OPERATORS |= {np.bitwise_and: ("&", BITS), np.bitwise_or: ("|", BITS)}
IN_PLACE = {np.add: "+=", np.subtract: "-=", np.multiply: "*=", np.true_divide: "/="}
LONGEST_INLINE, LONGEST_LINE = 48, 96
_NAMES_OF_NUMBERS = {0.0: "zero", 0.5: "half", 1.0: "one", 2.0: "two"}


class Line(NamedTuple):
    """A statement with the value that it computes."""

    value: Value | None
    text: str


class Source(NamedTuple):
    """The source of a kernel: its text, what it needs beside NumPy, and the function's name."""

    text: str
    bound: dict[str, Any]
    name: str


class Printer:
    """Writes a program line by line; `source()` returns the whole text."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.lines: list[Line] = []
        self.bound: dict[str, Any] = {}
        self.users: defaultdict[int, list[Value]] = defaultdict(list)
        for value in program.instructions:
            for v in operands(value):
                self.users[id(v)].append(value)
        self.outside = {id(v) for v in leaves([program.outputs, program.expects])}
        self.outside |= {id(new) for _, new in program.changes}
        self.chains = self._in_place_chains()
        self._taken = {"np", "math", "GuardFailed"}
        self.texts: dict[int, tuple[str, int]] = {}  # expressions with their precedence
        self._constants: dict[Any, tuple[str, str, Any]] = {}
        self._numbers: dict[Any, str] = {}  # variables of 0-d arrays
        self.inputs = [self._set_variable(v) for v in program.inputs]
        truths = {id(v): truth for v, truth in program.expects}
        for value in program.instructions:
            self._write(value, truths.get(id(value)))

    # Changes in place

    def _in_place_chains(self) -> dict[int, Value]:
        """Return the values that change the array of an input in place, and which input."""
        position = {id(v): k for k, v in enumerate(self.program.instructions)}
        last_read = self._last_reads(position)
        guards = [position.get(id(v), -1) for v, _ in self.program.expects]
        chains: dict[int, Value] = {}
        for old, new in self.program.changes:
            chain = [] if id(old) in self.outside else self._chain(old, new)
            others = [u for u in self.users[id(old)] if u is not chain[-1]] if chain else []
            reads = [last_read[id(u)] for u in others] + guards
            if chain and max(reads, default=-1) < position[id(chain[-1])]:
                chains |= {id(v): old for v in chain}
        return chains

    def _chain(self, old: Value, new: Value) -> list[Value]:
        """Return the operators from `new` back to `old`, if each can change it in place."""
        chain: list[Value] = []
        while new is not old:
            fits = new.function in IN_PLACE and isinstance(new.args[0], Value) and not new.kwargs
            fits = fits and (new.shape, new.dtype) == (old.shape, old.dtype)
            if not fits or (chain and len(self.users[id(new)]) > 1) or new.args[1] is old:
                return []
            chain.append(new)
            new = new.args[0]
        return chain

    def _last_reads(self, position: dict[int, int]) -> dict[int, int]:
        """Return where the text of each value is evaluated for the last time.

        A view is read where its users are, and what may be inlined is evaluated there.
        """
        last: dict[int, int] = {}
        for value in reversed(self.program.instructions):
            last[id(value)] = position[id(value)]
            if value.is_view and id(value) in self.outside:
                last[id(value)] = len(position)
            elif value.is_view or self._may_inline(value):
                users = (last[id(user)] for user in self.users[id(value)])
                last[id(value)] = max(users, default=position[id(value)])
        return last

    # Names and literals

    def fresh(self, name: str) -> str:
        """Return `name`, or the name with a number if it is taken."""
        name = stem = re.sub(r"\W", "_", name)
        k = 1
        while name in self._taken:
            k += 1
            name = f"{stem}_{k}"
        self._taken.add(name)
        return name

    def _set_variable(self, value: Value) -> str:
        """Return a new variable, by which the value is read from now on."""
        name = self.fresh(self._known_name(value, "t"))
        self.texts[id(value)] = name, ATOM
        return name

    def _known_name(self, value: Value, otherwise: str) -> str:
        program = self.program
        return program.names.get(id(value)) or program.default_names.get(id(value), otherwise)

    def text(self, leaf: Any, level: int = 0) -> str:  # noqa: PLR0911  one for each kind
        """Return how to write an argument, in parentheses where it binds less than `level`."""
        if isinstance(leaf, Value):
            if leaf.is_constant:
                return self._constant(leaf.sample)
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

    def _constant(self, array: Any) -> str:
        """Return the name of a constant, which the source defines above the function."""
        small = array.tobytes() if array.size == 1 else id(array)
        key = (array.dtype, array.shape, small)
        if key not in self._constants:
            name, text = _constant_text(array)
            self._constants[key] = (self.fresh(name), text, array)
        return self._constants[key][0]

    def _number(self, number: Any, level: int, other: Any, result: Value) -> str:
        """Return how to write a number beside an array: a 0-d array, which NumPy takes faster."""
        array = isinstance(other, Value) and other.shape and result.dtype == other.dtype
        if not array or other.dtype.kind != "f" or not _is_number(number):
            return self.text(number, level)
        if not isinstance(number, Value):
            return self._constant(np.array(number, other.dtype))
        key = (id(number), other.dtype)
        if key not in self._numbers:
            name = self._known_name(number, "number")
            self._numbers[key] = self.fresh("rate" if name == "lr" else f"{name}_array")
            dtype = "" if other.dtype == np.float64 else f", {dtype_text(other.dtype)}"
            self.lines.append(
                Line(result, f"{self._numbers[key]} = np.array({self.text(number)}{dtype})")
            )
        return self._numbers[key]

    def index(self, at: Any) -> str:
        """Return what is written between brackets."""
        if isinstance(at, tuple) and at:
            return ", ".join(map(self._index_part, at)) + "," * (len(at) == 1)
        return self._index_part(at)

    def _index_part(self, part: Any) -> str:
        if isinstance(part, slice):
            ends = ["" if x is None else self.text(x) for x in (part.start, part.stop, part.step)]
            return ":".join(ends if ends[2] else ends[:2])
        return "..." if part is Ellipsis else self.text(part)

    # Expressions

    def expression(self, value: Value) -> tuple[str, int]:
        """Return the text of a call, and its precedence."""
        function, args = value.function, value.args
        if function in (np.power, operator.pow):
            return f"{self.text(args[0], SIGN)} ** {self.text(args[1], SIGN)}", SIGN
        if function in OPERATORS and not value.kwargs:
            sign, level = OPERATORS[function]
            x, y = args
            left = self._number(x, level - (level != COMPARED), y, value)
            return f"{left} {sign} {self._number(y, level, x, value)}", level
        if function in (np.negative, operator.neg):
            return f"-{self.text(args[0], PRODUCT)}", SIGN
        if function in _METHODS and isinstance(args[0], Value):
            method = _METHODS[function](self, *args)
            if method is not None:
                return f"{self.text(args[0], SIGN)}{method}", ATOM
        if function is np.full and args[0] == ():
            return f"np.array({self.text(args[1])}, {self.text(args[2])})", ATOM
        name = self._function_name(function)
        if function is draw:
            name, args = f"{self.text(args[0])}.{args[1]}", args[2:]
        named = (f"{key}={self.text(v)}" for key, v in value.kwargs.items())
        return f"{name}({', '.join([*map(self.text, args), *named])})", ATOM

    def _function_name(self, function: Any) -> str:
        """Return how to write a function; one that is not NumPy's gets a name of its own."""
        name = getattr(function, "__name__", "function")
        if isinstance(getattr(function, "__self__", None), np.ufunc):
            return f"{self._function_name(function.__self__)}.{name}"
        for module, prefix in ((np, "np"), (np.linalg, "np.linalg"), (math, "math")):
            if getattr(module, name, None) is function:
                return f"{prefix}.{name}"
        known = next((n for n, f in self.bound.items() if f is function), None)
        if known is None:
            known = self.fresh(name)
            self.bound[known] = function
        return known

    # Lines

    def _write(self, value: Value, truth: bool | None) -> None:
        """Write an instruction; with the guard that its truth is `truth`, unless that is None."""
        old = self.chains.get(id(value))
        if old is not None:
            name, operand = self.text(old), value.args[1]
            operand = self._number(operand, 0, value, value)
            self.lines.append(Line(value, f"{name} {IN_PLACE[value.function]} {operand}"))
            self.texts[id(value)] = name, ATOM
        elif value.function in (put, add_at):
            self._write_put(value)
        else:
            text, level = self.expression(value)
            condition = truth is not None and not self.users[id(value)]
            if condition or (self._may_inline(value) and self._is_short(value, text)):
                self.texts[id(value)] = text, level
            else:
                self.lines.append(Line(value, f"{self._set_variable(value)} = {text}"))
        if truth is not None:
            text = f"not {self.text(value, SIGN)}" if truth else self.text(value)
            self.lines.append(Line(value, f"if {text}:"))
            self.lines.append(Line(value, "    raise GuardFailed"))

    def _write_put(self, value: Value) -> None:
        x, at, new = value.args
        source = self.text(x, SIGN)
        name = self._set_variable(value)
        self.lines.append(Line(value, f"{name} = {source}.copy()"))
        if value.function is put:
            self.lines.append(Line(value, f"{name}[{self.index(at)}] = {self.text(new)}"))
        else:
            self.lines.append(Line(value, f"np.add.at({name}, {self.text(at)}, {self.text(new)})"))

    def _may_inline(self, value: Value) -> bool:
        """Tell whether a value may be written where it is used, if its text is short."""
        if id(value) in self.outside or id(value) in self.program.names or value.function is draw:
            return False
        several = value.shape is None and value.dtype is None  # such as a QR decomposition
        if several or value.function in (put, add_at):
            return False
        users = self.users[id(value)]
        once = len(users) == 1 and users[0].function not in (put, add_at)
        return once or (value.function is np.transpose and value.args[0].is_input)

    def _is_short(self, value: Value, text: str) -> bool:
        return len(text) <= (LONGEST_INLINE if len(self.users[id(value)]) == 1 else 24)

    # The whole text

    def source(self) -> Source:
        """Return the source of the function."""
        last, returned = self._last_lines()
        name = self.program.name if self.program.name.isidentifier() else "compiled"
        name = f"{name}_" if name in self._taken else name
        body = [*self._commented_lines(), *last]
        body += _wrapped("return (", returned, ",)", close="    )") if returned else ["return ()"]
        head = _wrapped(f"def {name}(", self.inputs, "):", close="):")
        heading = [f"{known} = ...  # an op of tinygrad_fc, as a whole" for known in self.bound]
        for constant, text, array in self._constants.values():
            if not text:
                self.bound[constant] = array
            heading.append(f"{constant} = {text or f'...  # {array.dtype}, shape {array.shape}'}")
        modules = ["import math\n"] if any("math." in line for line in body) else []
        modules += ["import numpy as np"]
        if any("GuardFailed" in line for line in body):
            modules += ["\nfrom tinygrad_fc.compiler import GuardFailed"]
        blocks = ["\n".join(modules), "\n".join(heading)]
        text = "\n\n".join(filter(None, blocks)) + "\n\n\n"
        text += "\n".join([*head, *(f"    {line}" for line in body)]) + "\n"
        return Source(text, self.bound, name)

    def _commented_lines(self) -> list[str]:
        """Return the lines under headings by phase, with formula numbers and modules beside."""
        lines: list[str] = []
        phase, call = "", None
        for value, text in self.lines:
            if value is None or value.origin is None:
                lines.append(text)
                continue
            origin = value.origin
            if origin.phase != phase:
                phase = origin.phase
                lines.append(f"# {phase.capitalize()}")
            comment = value.formula
            if not comment and origin is not call and origin.module and phase != "update":
                comment = f"{origin.module}: {origin.op}"
            call = origin
            fits = value.formula or len(text) + len(comment) < LONGEST_LINE - 8
            lines.append(f"{text}  # {comment}" if comment and fits else text)
        return lines

    def _last_lines(self) -> tuple[list[str], list[str]]:
        """Return the lines that write changes, and the expressions that are returned.

        What is returned is an array of its own: views, inputs and what is changed are copied.
        """
        lines, returned = [], []
        seen: set[int] = set()
        for value in self.program.outputs:
            text = self.text(value)
            copy = f"{text}.copy()" if value.shape else f"np.array({text})"
            if value.function is None or value.is_view or id(value) in seen | self.chains.keys():
                text = self.fresh(f"{self.program.names.get(id(value), 'result')}_copy")
                lines.append(f"{text} = {copy}")
            elif value.shape == ():
                text = copy
            seen.add(id(value))
            returned.append(text)
        stores = []
        for old, new in self.program.changes:
            if self.chains.get(id(new)) is old:
                continue
            text = self.text(new)
            if new.function is None or new.is_view:  # which an earlier line may overwrite
                source = self.fresh("old")
                lines.append(f"{source} = {text}.copy()")
                text = source
            stores.append(f"{self.text(old)}[...] = {text}")
        return [*lines, *stores], returned


def dtype_text(dtype: Any) -> str:
    """Return how to write a dtype."""
    return "np.bool_" if np.dtype(dtype).kind == "b" else f"np.{np.dtype(dtype).name}"


def _is_number(x: Any) -> bool:
    return type(x) in (int, float) or (isinstance(x, Value) and x.is_number)


def _dot_text(printer: Printer, x: Value, y: Any) -> str | None:
    matrices = isinstance(y, Value) and len(x.shape) == len(y.shape) == 2
    return f".dot({printer.text(y)})" if matrices else None


_METHODS: dict[Any, Any] = {
    np.dot: lambda printer, x, y: f".dot({printer.text(y)})" if x.shape else None,
    np.matmul: _dot_text,
    np.reshape: lambda printer, _x, shape: f".reshape({printer.text(shape)})",
    np.transpose: lambda printer, _x, axes: f".transpose({printer.text(axes)})" if axes else ".T",
    operator.getitem: lambda printer, _x, at: f"[{printer.index(at)}]",
    cast: lambda printer, _x, dtype: f".astype({printer.text(dtype)})",
    item: lambda _printer, _x: ".item()",
}


def _constant_text(array: Any) -> tuple[str, str]:
    """Return a name for a constant, and how to write it; an empty text where it is too large."""
    dtype = "" if array.dtype == np.float64 else f", {dtype_text(array.dtype)}"
    shape = str(array.shape[0]) if array.ndim == 1 else str(array.shape)
    if array.size and np.isfinite(array).all() and (array == array.flat[0]).all():
        x = array.flat[0].item()
        if not array.ndim:
            return _NAMES_OF_NUMBERS.get(x, "scale"), f"np.array({x!r}{dtype})"
        if x == 1:
            return "ones", f"np.ones({shape}{dtype})"
        return "full", f"np.full({shape}, {x!r}{dtype})"
    if array.ndim == 1 and array.dtype == np.int64 and (array == np.arange(len(array))).all():
        return "rows", f"np.arange({len(array)})"
    return "constant", ""


def _wrapped(start: str, parts: list[str], end: str, close: str) -> list[str]:
    """Return a line, or several where it is too long, of `parts` between brackets."""
    tail = end if len(parts) == 1 or not end.startswith(",") else end[1:]
    line = f"{start}{', '.join(parts)}{tail}"
    if len(line) <= LONGEST_LINE:
        return [line]
    return [start, *(f"    {part}," for part in parts), close.strip()]


# The backend: the source, executed


def build(program: Program) -> Any:
    """Return the function that the printer writes; its caller silences NumPy's warnings.

    It has the attributes `source` and `backend`, as the kernels of all backends.
    """
    source = Printer(program).source()
    namespace = {**source.bound, "GuardFailed": GuardFailed}
    file = f"<compiled {source.name} {id(namespace):x}>"  # tracebacks show its lines
    linecache.cache[file] = (len(source.text), None, source.text.splitlines(keepends=True), file)
    lines = [
        "" if "= ...  #" in line or line.startswith("from tinygrad_fc") else line
        for line in source.text.split("\n")
    ]
    exec(compile("\n".join(lines), file, "exec"), namespace)  # noqa: S102
    kernel: Any = namespace[source.name]
    kernel.source, kernel.backend = source.text, "numpy"
    return kernel
