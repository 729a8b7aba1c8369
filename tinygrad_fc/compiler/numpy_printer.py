"""The NumPy printer: a program as the source of one function, to be read, and what runs.

A value that is used once is written where it is used as long as the line stays short; others get
a variable. Arrays that change are changed in place where no later line reads their old values.
"""

from __future__ import annotations

import linecache
import math
import operator
import re
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

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

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from collections.abc import Set as AbstractSet

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
HEADINGS = {
    "forward": "# Forward",
    "backward": "# Backward",
    "update": "# Update",
    "guards": "# Guards",
}
LONGEST_INLINE = 48
LONGEST_LINE = 96
_RESERVED = ("np", "math", "GuardFailed", "range", "len")


class Text(NamedTuple):
    """An expression, the precedence of its outermost operator, and the inputs that it reads."""

    text: str
    level: int
    reads: frozenset[int] = frozenset()


class Line(NamedTuple):
    """A statement with the value that it computes."""

    value: Value | None
    text: str


class Source(NamedTuple):
    """The source of a kernel: its text, what it needs beside NumPy, and the function's name."""

    text: str
    bound: dict[str, Any]
    name: str


def dtype_text(dtype: Any) -> str:
    """Return how to write a dtype."""
    return "np.bool_" if np.dtype(dtype).kind == "b" else f"np.{np.dtype(dtype).name}"


class Printer:
    """Writes a program line by line; `source()` returns the whole text.

    The Numba printer takes its names and literals from here.
    """

    def __init__(self, program: Program) -> None:
        self.program = program
        self.uses = Counter(id(v) for value in program.instructions for v in operands(value))
        self.uses.update(id(v) for v in leaves([program.outputs, program.expects]))
        self.uses.update(id(new) for _, new in program.changes)
        self.users: defaultdict[int, list[Value]] = defaultdict(list)
        for value in program.instructions:
            for v in operands(value):
                self.users[id(v)].append(value)
        self.outside = {id(v) for v in leaves([program.outputs, program.expects])}
        self.outside |= {id(new) for _, new in program.changes}
        self.chains = self._in_place_chains()
        while not self._written():
            pass

    # Names and literals

    def fresh(self, name: str) -> str:
        """Return `name`, or the name with a number if it is taken."""
        name = re.sub(r"\W", "_", name)
        stem, k = name, 1
        while name in self.taken:
            k += 1
            name = f"{stem}_{k}"
        self.taken.add(name)
        return name

    def name(self, value: Value) -> str:
        """Return the variable of a value."""
        if id(value) not in self.variables:
            known = self.program.names.get(id(value)) or self.program.default_names.get(id(value))
            self.variables[id(value)] = self.fresh(known or "t")
        return self.variables[id(value)]

    def text(self, leaf: Any, level: int = 0) -> str:  # noqa: PLR0911  one for each kind
        """Return how to write an argument, in parentheses where it binds less than `level`."""
        if isinstance(leaf, Value):
            if leaf.is_constant:
                return self.constant(leaf)
            known = self.texts[id(leaf)]
            return known.text if known.level > level else f"({known.text})"
        if isinstance(leaf, np.dtype) or (isinstance(leaf, type) and issubclass(leaf, np.generic)):
            return dtype_text(leaf)
        if isinstance(leaf, tuple):
            return f"({', '.join(map(self.text, leaf))}{',' * (len(leaf) == 1)})"
        if isinstance(leaf, list):
            return f"[{', '.join(map(self.text, leaf))}]"
        if isinstance(leaf, slice):
            return f"slice({self.text(leaf.start)}, {self.text(leaf.stop)}, {self.text(leaf.step)})"
        if type(leaf) is float:
            return _float_text(leaf, level)
        return f"({leaf!r})" if type(leaf) is int and leaf < 0 and level >= SIGN else repr(leaf)

    def constant(self, value: Value) -> str:
        """Return the name of a constant, which the source defines above the function."""
        if id(value) not in self.constants:
            name, text = _constant_text(value.sample)
            self.constants[id(value)] = (self.fresh(name), text, value.sample)
        return self.constants[id(value)][0]

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
            left = self.text(args[0], level - (level != COMPARED))
            return f"{left} {sign} {self.text(args[1], level)}", level
        if function in (np.negative, operator.neg):
            return f"-{self.text(args[0], PRODUCT)}", SIGN
        if function in _METHODS and isinstance(args[0], Value):
            method = _METHODS[function](self, *args)
            if method is not None:
                return f"{self.text(args[0], SIGN)}{method}", ATOM
        if function is np.full and args[0] == ():
            return f"np.array({self.text(args[1])}, {self.text(args[2])})", ATOM
        name = self.function_name(function)
        if function is draw:
            name, args = f"{self.text(args[0])}.{args[1]}", args[2:]
        given = [*map(self.text, args), *(f"{k}={self.text(v)}" for k, v in value.kwargs.items())]
        return f"{name}({', '.join(given)})", ATOM

    def function_name(self, function: Any) -> str:
        """Return how to write a function; one that is not NumPy's gets a name of its own."""
        name = getattr(function, "__name__", "function")
        if isinstance(getattr(function, "__self__", None), np.ufunc):
            return f"{self.function_name(function.__self__)}.{name}"
        for module, prefix in ((np, "np"), (np.linalg, "np.linalg")):
            if getattr(module, name, None) is function:
                return f"{prefix}.{name}"
        if getattr(function, "__module__", None) == "math":
            return f"math.{name}"
        known = next((n for n, f in self.bound.items() if f is function), None)
        if known is None:
            known = self.fresh(name)
            self.bound[known] = function
        return known

    # Lines

    def _in_place_chains(self) -> dict[int, tuple[Value, bool]]:
        """Return which values are steps of a change in place: of which input, and if the last."""
        chains: dict[int, tuple[Value, bool]] = {}
        for old, new in self.program.changes:
            chain = self._chain(old, new)
            chains |= {id(v): (old, v is new) for v in chain}
        return chains

    def _chain(self, old: Value, new: Value) -> list[Value]:
        """Return the operators that lead from `old` to `new`, if each can change it in place."""
        chain: list[Value] = []
        while new is not old:
            fits = new.function in IN_PLACE and isinstance(new.args[0], Value) and not new.kwargs
            fits = fits and (new.shape, new.dtype) == (old.shape, old.dtype)
            if not fits or (chain and self.uses[id(new)] > 1):
                return []
            chain.append(new)
            new = new.args[0]
        return chain

    def _written(self) -> bool:
        """Write all lines; return False where a change in place has to wait for the end."""
        self.lines: list[Line] = []
        self.texts: dict[int, Text] = {}
        self.bound: dict[str, Any] = {}
        self.constants: dict[int, tuple[str, str, Any]] = {}
        self.variables: dict[int, str] = {}
        self.taken = set(_RESERVED)
        for value in self.program.inputs:
            self.texts[id(value)] = Text(self.name(value), ATOM, frozenset((id(value),)))
        self.inputs = [self.variables[id(v)] for v in self.program.inputs]
        truths = {id(v): truth for v, truth in self.program.expects}
        changed: set[int] = set()
        for value in self.program.instructions:
            late = self._statement(value, truths.get(id(value)), changed)
            if late:
                self._give_up(late)
                return False
        early = self._reads(self.program.outputs) & changed
        if early:
            self._give_up(early)
            return False
        return True

    def _give_up(self, inputs: AbstractSet[int]) -> None:
        """Change these inputs at the end of the function."""
        self.chains = {k: chain for k, chain in self.chains.items() if id(chain[0]) not in inputs}

    def _reads(self, values: Iterable[Value]) -> frozenset[int]:
        return frozenset().union(*(self.texts[id(v)].reads for v in values if id(v) in self.texts))

    def _statement(self, value: Value, truth: bool | None, changed: set[int]) -> set[int]:
        """Write a value; return the inputs that were changed too early for it."""
        reads = self._reads(operands(value))
        chain = self.chains.get(id(value))
        if chain is not None:
            return self._change_in_place(value, chain, reads, changed)
        late = changed if truth is not None or value.may_fail else reads & changed
        if late:
            return set(late)
        if value.function in (put, add_at):
            self._put(value)
        else:
            text, level = self.expression(value)
            if truth is not None and self.uses[id(value)] == 1:
                self._guard(value, f"not ({text})" if truth else text)
                return set()
            if self._is_inlined(value, text):
                self.texts[id(value)] = Text(text, level, reads)
                return set()
            self.lines.append(Line(value, f"{self.name(value)} = {text}"))
        reads = reads if value.is_view else frozenset()
        self.texts[id(value)] = Text(self.name(value), ATOM, reads)
        if truth is not None:
            self._guard(value, f"not {self.name(value)}" if truth else self.name(value))
        return set()

    def _guard(self, value: Value, condition: str) -> None:
        self.lines += [Line(value, f"if {condition}:"), Line(value, "    raise GuardFailed")]

    def _change_in_place(
        self, value: Value, chain: tuple[Value, bool], reads: frozenset[int], changed: set[int]
    ) -> set[int]:
        old, _ = chain
        late = (reads - {id(old)}) & changed
        operand = value.args[1]
        if isinstance(operand, Value) and id(old) in self._reads([operand]):
            late = late | {id(old)}  # NumPy would read what it writes
        if late:
            return set(late)
        name = self.variables[id(old)]
        self.lines.append(Line(value, f"{name} {IN_PLACE[value.function]} {self.text(operand)}"))
        self.texts[id(value)] = Text(name, ATOM)
        changed.add(id(old))
        return set()

    def _put(self, value: Value) -> None:
        x, at, new = value.args
        name = self.name(value)
        self.lines.append(Line(value, f"{name} = {self.text(x, SIGN)}.copy()"))
        if value.function is put:
            self.lines.append(Line(value, f"{name}[{self.index(at)}] = {self.text(new)}"))
        else:
            self.lines.append(Line(value, f"np.add.at({name}, {self.text(at)}, {self.text(new)})"))

    def _is_inlined(self, value: Value, text: str) -> bool:
        """Tell whether a value is written where it is used."""
        if id(value) in self.outside or id(value) in self.program.names or value.function is draw:
            return False
        if value.may_fail and self.program.changes:
            return False
        if value.shape is None and value.dtype is None:  # several arrays
            return False
        if value.function is np.transpose and value.args[0].is_input and len(text) < 24:
            return True
        users = self.users[id(value)]
        return (
            len(users) == 1
            and users[0].function not in (put, add_at)
            and len(text) <= LONGEST_INLINE
        )

    # The whole text

    def source(self) -> Source:
        """Return the source of the function."""
        last, returned = self._last_lines()
        program = self.program
        name = program.name if program.name.isidentifier() else "compiled"
        name = f"{name}_" if name in self.taken else name
        body = [*self._commented_lines(), *last]
        body += _wrapped("return (", returned, ",)", close="    )") if returned else ["return ()"]
        head = _wrapped(f"def {name}(", self.inputs, "):", close="):")
        heading = [f"{known} = ...  # an op of tinygrad_fc, as a whole" for known in self.bound]
        for constant, text, array in self.constants.values():
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
            origin = value.origin if value is not None else None
            now = "guards" if id(value) in self.program.conditions else origin and origin.phase
            if now and now != phase:
                phase = now
                lines.append(HEADINGS[phase])
            comment = value.formula if value is not None else ""
            if not comment and origin is not None and origin is not call and phase != "update":
                comment = (
                    ": ".join(filter(None, (origin.module, origin.op))) if origin.module else ""
                )
            call = origin
            formula = value is not None and bool(value.formula)
            fits = formula or (comment and len(text) + len(comment) < LONGEST_LINE - 8)
            lines.append(f"{text}  # {comment}" if fits else text)
        return lines

    def _last_lines(self) -> tuple[list[str], list[str]]:
        """Return the lines that write changes, and the expressions that are returned."""
        lines, returned, seen = [], [], set()
        for value in self.program.outputs:
            text = self.text(value)
            known = self.texts.get(id(value), Text(text, ATOM))
            shared = id(value) in seen or id(value) in self.chains or value.is_view
            if value.shape == ():
                text = f"np.array({text})"
            elif value.is_constant or known.reads or shared:
                name = self.fresh(f"{self.program.names.get(id(value), 'result')}_copy")
                lines.append(f"{name} = {text}.copy()")
                text = name
            seen.add(id(value))
            returned.append(text)
        changes, chains = self.program.changes, self.chains
        late = [(old, new) for old, new in changes if chains.get(id(new), (None,))[0] is not old]
        written = {id(old) for old, _ in late}
        stores = []
        for old, new in late:
            text = self.text(new)
            source = text
            if self._reads([new]) & written - {id(old)}:  # which an earlier line overwrites
                source = self.fresh("old")
                lines.append(f"{source} = {text}.copy()")
            stores.append(f"{self.variables[id(old)]}[...] = {source}")
        return [*lines, *stores], returned


def _reshape_text(printer: Printer, _x: Value, shape: Any) -> str:
    return f".reshape({printer.text(shape)})"


def _transpose_text(printer: Printer, _x: Value, axes: Any) -> str:
    return f".transpose({printer.text(axes)})" if axes else ".T"


def _dot_text(printer: Printer, x: Value, y: Any) -> str | None:
    return f".dot({printer.text(y)})" if x.shape else None


def _matmul_text(printer: Printer, x: Value, y: Any) -> str | None:
    matrices = isinstance(y, Value) and len(x.shape) == len(y.shape) == 2
    return f".dot({printer.text(y)})" if matrices else None


_METHODS: dict[Any, Any] = {
    np.dot: _dot_text,
    np.matmul: _matmul_text,
    np.reshape: _reshape_text,
    np.transpose: _transpose_text,
    operator.getitem: lambda printer, _x, at: f"[{printer.index(at)}]",
    cast: lambda printer, _x, dtype: f".astype({printer.text(dtype)})",
    item: lambda _printer, _x: ".item()",
}


def _float_text(x: float, level: int) -> str:
    if math.isnan(x):
        return "np.nan"
    if x in (np.inf, -np.inf):
        return "np.inf" if x > 0 else "(-np.inf)"
    return f"({x!r})" if x < 0 and level >= SIGN else repr(x)


def _constant_text(array: Any) -> tuple[str, str]:
    """Return a name for a constant, and how to write it; an empty text where it is too large."""
    dtype = "" if array.dtype == np.float64 else f", {dtype_text(array.dtype)}"
    if array.size and (array == array.flat[0]).all():
        x = array.flat[0].item()
        number = _float_text(x, 0) if isinstance(x, float) else repr(x)
        if not array.ndim:
            names = {0.0: "zero", 1.0: "one"}
            return names.get(x, "scale"), f"np.array({number}{dtype})"
        fills = {0.0: "zeros", 1.0: "ones"}
        if x in fills:
            return fills[x], f"np.{fills[x]}({_shape_text(array.shape)}{dtype})"
        return "full", f"np.full({_shape_text(array.shape)}, {number}{dtype})"
    if array.ndim == 1 and array.dtype == np.int64 and (array == np.arange(len(array))).all():
        return "rows", f"np.arange({len(array)})"
    if 0 < array.size <= 8 and np.isfinite(array).all():
        return "constant", f"np.array({array.tolist()}{dtype or ', np.float64'})"
    return "constant", ""


def _shape_text(shape: tuple[int, ...]) -> str:
    return str(shape[0]) if len(shape) == 1 else str(shape)


def _wrapped(start: str, parts: list[str], end: str, close: str) -> list[str]:
    """Return a line, or several where it is too long, of `parts` between brackets."""
    tail = end if len(parts) == 1 or not end.startswith(",") else end[1:]
    line = f"{start}{', '.join(parts)}{tail}"
    if len(line) <= LONGEST_LINE:
        return [line]
    return [start, *(f"    {part}," for part in parts), close.strip()]


# The backend: the source, executed, and a loop over it for epochs


class Kernel(Protocol):
    """Takes the inputs of a program; returns its outputs and writes its changes."""

    source: str
    backend: str

    def __call__(self, *inputs: Any) -> Any:
        """Run the program once."""


def build(program: Program) -> Kernel:
    """Return the function that the printer writes; its caller silences NumPy's warnings."""
    source = Printer(program).source()
    kernel = _defined(source.text, source.name, {**source.bound, "GuardFailed": GuardFailed})
    kernel.source, kernel.backend = source.text, "numpy"
    return kernel  # type: ignore[no-any-return]


def build_loop(program: Program, rows: frozenset[int]) -> Callable[..., Any]:
    """Return a function that runs a step for each row of `order`.

    `loop(order, done, *stacks, *inputs)`: inputs whose number is in `rows` are whole data sets, of
    which each step takes some rows; `done[0]` counts the steps; results of step k are written to
    `stack[k]`. Returns the outputs of the last step.
    """
    kernel, inputs = build(program), program.inputs
    drawing = [n for n, v in enumerate(inputs) if v.source.kind == "generator" and program.expects]

    def loop(order: Any, done: Any, *arrays: Any) -> Any:
        stacks, inputs = arrays[: len(program.returned)], arrays[len(program.returned) :]
        outputs: Any = ()
        for k, batch in enumerate(order):
            taken = [x.take(batch, axis=0) if n in rows else x for n, x in enumerate(inputs)]
            states = [taken[n].bit_generator.state for n in drawing]
            try:
                outputs = kernel(*taken)
            except GuardFailed:
                for n, state in zip(drawing, states, strict=True):
                    taken[n].bit_generator.state = state
                raise
            for stack, number in zip(stacks, program.returned, strict=True):
                stack[k] = outputs[number]
            done[0] += 1
        return outputs

    return loop


def _defined(text: str, name: str, namespace: dict[str, Any]) -> Any:
    """Return the function that a source defines; tracebacks show its lines."""
    file = f"<compiled {name} {id(namespace):x}>"
    linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
    runs = text.replace("from tinygrad_fc.compiler import GuardFailed\n", "")
    lines = [line for line in runs.split("\n") if "= ...  #" not in line]
    exec(compile("\n".join(lines), file, "exec"), namespace)  # noqa: S102
    return namespace[name]
