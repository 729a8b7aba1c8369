"""A program as the source of one NumPy function, which a person can read and which is what runs.

A value that is used once stands where it is used, as far as a line stays easy to read; others get a
variable. Arrays that are changed are changed in place, as soon as nobody needs what they held.
"""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.compiler.columns import in_columns
from tinygrad_fc.compiler.inplace import change_in_place, late_errors, memory_used_again
from tinygrad_fc.compiler.layout import indifferent, memory, ordered
from tinygrad_fc.compiler.literals import ATOM, COMPARED, SIGN, Text
from tinygrad_fc.compiler.naming import named, of_constant, of_number
from tinygrad_fc.compiler.page import (
    LINE,
    Line,
    Source,
    asked_at_once,
    definition,
    imported,
    returning,
    with_headings,
)
from tinygrad_fc.compiler.program import Change
from tinygrad_fc.compiler.spelling import Speller

if TYPE_CHECKING:
    from tinygrad_fc.compiler.program import Instruction, Program

WIDE = 52
"""How long an expression may be that stands within another."""
SHORT = 20
"""How long a transposed array may be that is written wherever it is used."""


def written(program: Program) -> Source:
    """Return the source of a function of the inputs of `program`, in their order."""
    return Writer(program).source()


class Writer:
    """Writes a program down, line by line."""

    def __init__(self, program: Program) -> None:
        self.names = named(program)
        self.program = program = in_columns(program, self.names)
        self.speller = Speller(program)
        self.made = {step.out: step for step in program.instructions}
        self.owners = memory(program)
        self.ordered = ordered(program)
        self.indifferent = indifferent(program)
        self.uses = _uses(program)
        self.texts: dict[int, Text] = {n: Text(self.names.variables[n]) for n in program.inputs}
        self.reads: dict[int, frozenset[int]] = {n: frozenset((n,)) for n in program.inputs}
        self.inside: set[int] = set()
        self.late_error = late_errors(program)
        self.hoisted: dict[tuple[Any, ...], str] = {}
        self.heading: list[str] = []
        self.lines: list[Line] = []
        self.outputs: list[str] = []
        self.late: frozenset[int] = frozenset()
        self.looping: tuple[str, ...] = ()

    def source(self) -> Source:
        """Return the whole text."""
        body = self.body()
        return self.assembled(self.head(), [*body, *returning(self.outputs)])

    def body(self) -> list[str]:
        """Return all lines but the first and the last, and note the outputs' expressions."""
        for step in self.program.instructions:
            line = self.statement(step)
            if line is not None:
                line.place = step.place
                self.lines.append(line)
        left = change_in_place(self)
        self.lines = list(asked_at_once(self.lines))
        before, stores = self.stored(left)
        self.outputs = self.returned(before)
        return [*with_headings(self.lines, network=bool(self.names.formulas)), *before, *stores]

    def assembled(self, head: list[str], body: list[str]) -> Source:
        """Return a function of these lines, with all that it needs above it."""
        unfit = any(line.kind == "expect" for line in self.lines)
        text = [*imported(self.speller.imports, unfit=unfit), ""]
        text += [*self.heading, ""] if self.heading else []
        text += ["", *head, *(f"    {line}" for line in body)]
        return Source("\n".join(text) + "\n", self.speller.bound)

    def head(self, *inputs: str) -> list[str]:
        """Return the line that names the function and its inputs, and what stands before it."""
        name = self.program.name
        name = name if name.isidentifier() and name not in self.names.taken else "compiled"
        given = inputs or [self.names.variables[n] for n in self.program.inputs]
        return definition(name, given, self.program.quiet)

    # Statements

    def statement(self, step: Instruction) -> Line | None:
        """Return the line for one instruction: None where it stands within another's."""
        args = [self.argument(step, k) for k in range(len(step.args))]
        reads = frozenset[int]().union(*(self.reads.get(n, frozenset()) for n in step.args))
        if step.kind == "expect":
            condition = self.condition(step, args[0])
            return Line(None, [f"if {condition}:", "    raise Unfit"], reads, "expect")
        if step.kind == "put":
            return self._put(step, args, reads)
        text = self.speller.expression(step, args)
        while len(text.text) > LINE - 12 and self.parted(step):
            args = [self.argument(step, k) for k in range(len(step.args))]
            text = self.speller.expression(step, args)
        if self.stands_within(step, text):
            self.texts[step.out], self.reads[step.out] = text, reads
            self.inside.add(step.out)
            return None
        return self.line(step, text, reads)

    def parted(self, step: Instruction) -> bool:
        """Give the longest expression within that of `step` a line of its own, if there is one."""
        inner = [n for n in step.args if n in self.inside and self.made[n].kind != "transpose"]
        if not inner:
            return False
        longest = max(inner, key=lambda n: len(self.texts[n].text))
        self.inside.discard(longest)
        self.lines.append(self.line(self.made[longest], self.texts[longest], self.reads[longest]))
        return True

    def line(self, step: Instruction, text: Text, reads: frozenset[int]) -> Line:
        """Return the line that gives the value of `step` a variable."""
        name = self.variable(step.out)
        lines = memory_used_again(self, step) or [f"{name} = {text.text}"]
        lines[-1] += self.comment(step.out)
        return Line(step.out, lines, reads, place=step.place)

    def condition(self, step: Instruction, x: Text) -> str:
        """Return when an `expect` fails."""
        if not step.settings["value"]:
            return x.within(COMPARED)
        asked = self.made.get(step.args[0])
        equal = asked is not None and asked.function in (operator.eq, np.equal)
        if equal and x.text.count(" == ") == 1 and x.level == COMPARED:
            return x.text.replace(" == ", " != ")
        return f"not {x.within(ATOM)}"

    def variable(self, number: int) -> str:
        """Give a value a variable, which later lines read."""
        if number not in self.names.variables:
            self.names.give(number, self.temporary(number))
        name = self.names.variables[number]
        self.texts[number] = Text(name)
        self.reads[number] = self.owners[number] | {number}
        return name

    def temporary(self, number: int) -> str:
        """Return a name for a value that has none."""
        step = self.made[number]
        for w in self.program.writes:
            if isinstance(w, Change) and w.number == number:
                return f"new_{self.names.variables[w.target]}"
        if step.kind == "fill" and not step.settings["shape"]:
            return of_number(self.argument(step, 0).text)
        return {"draw": "drawn", "number": "n1", "item": "n1"}.get(step.kind, "t1")

    def comment(self, number: int) -> str:
        """Return the comment that cites the formula of a value."""
        formula = self.names.formulas.get(number)
        return f"  # {formula}" if formula else ""

    def _put(self, step: Instruction, args: list[Text], reads: frozenset[int]) -> Line:
        index = step.settings["at"]
        at = self.speller.index(index, args)
        x = step.args[0]
        if x in self.ordered and step.out not in self.names.variables and self.spent(x, step):
            self.names.variables[step.out] = args[0].text
            lines = []
        else:
            lines = [f"{self.variable(step.out)} = {args[0].within(ATOM)}.copy()"]
        name = self.variable(step.out)
        if step.function is None:
            lines.append(f"{name}[{at}] = {args[1].text}")
        else:
            spelled = self.speller.literal(index, args)
            function = self.speller.function(step.function)
            lines.append(f"{function}.at({name}, {spelled}, {args[1].text})")
        return Line(step.out, lines, reads)

    def spent(self, x: int, step: Instruction) -> bool:
        """Tell whether `step` may change the array of its argument `x`: nobody else reads it."""
        mine = x in self.made and self.owners[x] == {x} and bool(self.program.values[x].shape)
        return mine and self.uses[x] == [step] and x not in self.inside

    def stands_within(self, step: Instruction, text: Text) -> bool:
        """Tell whether a value is written where it is used, and has no variable."""
        n = step.out
        readers = self.uses[n]
        if n in self.names.variables or step.kind == "draw" or None in readers:
            return False
        if any(reader is None or reader.kind == "put" for reader in readers):
            return False
        if n in self.late_error:  # its reader comes when an array has been changed
            return False
        if step.kind == "transpose" and text.text.endswith(".T") and len(text.text) < SHORT:
            return True
        return len(readers) == 1 and len(text.text) <= WIDE

    # Arguments

    def argument(self, step: Instruction, k: int) -> Text:
        """Return the expression of argument `k`."""
        n = step.args[k]
        if n in self.texts:
            return self.texts[n]
        return self.constant(self.program.constants[n], step.function)

    def constant(self, value: Any, function: Any = None) -> Text:
        """Return a plain number, or the variable of a constant made above the function."""
        if type(value) in (bool, int, float, type(None)):
            text = self.speller.literal(value)
            return Text(text, SIGN if text.startswith("-") else ATOM)
        if isinstance(value, np.generic):
            value = np.asarray(value)
        if not isinstance(value, np.ndarray):
            name = self.names.fresh("constant")
            self.speller.bound[name] = value
            return Text(name)
        key = (value.dtype.str, value.shape, value.tobytes())
        if key not in self.hoisted:
            self.hoisted[key] = self.names.fresh(of_constant(value, function))
            made = f"{self.hoisted[key]} = {self.speller.array(value)}"
            if not value.ndim and not any("NumPy" in line for line in self.heading):
                made += "  # which NumPy takes in half the time of a number"
            self.heading.append(made)
        return Text(self.hoisted[key])

    # What is left behind

    def stored(self, changes: list[Change]) -> tuple[list[str], list[str]]:
        """Return the lines that change arrays at the end, and what has to be kept before."""
        before, stores = [], []
        targets = {w.target for w in changes}
        for w in changes:
            name, value = self.names.variables[w.target], self.value(w.number)
            if self.owners.get(w.number, frozenset()) & targets:
                kept = self.names.fresh(f"new_{name}")
                before.append(f"{kept} = {value}.copy()")
                value = kept
            stores.append(f"{name}[...] = {value}")
        self.late = frozenset(targets)
        return before, stores

    def value(self, number: int) -> str:
        """Return the expression of a value that is stored or returned."""
        if number in self.texts:
            return self.texts[number].text
        return self.constant(self.program.constants[number]).text

    def returned(self, before: list[str]) -> list[str]:
        """Return the expressions of the outputs: each in memory of its own."""
        parts: list[str] = []
        seen: set[int] = set()
        taken = {*self.program.inputs, *self.program.constants}
        for n in self.program.outputs():
            text, own = self.value(n), self.owners[n]
            array = self.program.values[n].shape is not None
            if array and own & self.late:  # what it holds is about to be changed
                kept = self.names.fresh("old")
                before.append(f"{kept} = {text}.copy()")
                text = kept
            elif array:
                if self.program.values[n].shape == ():
                    text = f"np.array({text})"
                elif own & seen or own & taken or not self.whole(n):
                    text = f"{text}.copy()"
            seen |= own
            parts.append(text)
        return parts

    def whole(self, number: int) -> bool:
        """Tell whether a value is all of the memory that it lies in, each element once."""
        while (step := self.made.get(number)) and step.kind in ("reshape", "transpose"):
            number = step.args[0]
        return self.owners[number] == {number}


def _uses(program: Program) -> dict[int, list[Instruction | None]]:
    """Return for each value what reads it; None stands for a write or a result."""
    uses: dict[int, list[Instruction | None]] = {n: [] for n in range(len(program.values))}
    for step in program.instructions:
        for n in step.args:
            uses[n].append(step)
    for w in program.writes:
        if w.number is not None:
            uses[w.number].append(None)
    for n in program.outputs():
        uses[n].append(None)
    return uses
