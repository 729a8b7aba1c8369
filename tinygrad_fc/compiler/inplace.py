"""Which arrays are changed in place, and where: of parameters, and of large temporaries.

A line `new_w = w - lr * w_grad` becomes `w -= lr * w_grad` where nobody reads the old `w` after it.
Where somebody does, or where it is not an operation of elements, the new values are stored at the
end, when everything else is done.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.compiler.layout import FRESH, elementwise, nbytes
from tinygrad_fc.compiler.program import Change
from tinygrad_fc.compiler.spelling import AUGMENTED, BINARY

if TYPE_CHECKING:
    from tinygrad_fc.compiler.page import Line
    from tinygrad_fc.compiler.program import Instruction, Program
    from tinygrad_fc.compiler.source import Writer

COMMUTATIVE = frozenset((np.add, np.multiply, np.bitwise_and, np.bitwise_or))
LARGE = 1 << 14
"""From so many bytes on, memory that is used again is worth a line of its own."""
ELIDED = 1 << 18
"""From so many bytes on, NumPy itself uses the memory of a temporary again, and sooner."""
PIECE = 1 << 17
"""How many bytes are changed at a time."""


def change_in_place(writer: Writer) -> list[Change]:
    """Rewrite the lines of `writer` that can change an array in place; return what is left."""
    changes = [w for w in writer.program.writes if isinstance(w, Change) and w.target != w.number]
    return [w for w in changes if not _changed(writer, w, changes)]


def late_errors(program: Program) -> set[int]:
    """Return the values that are not to be worked out later than they are: behind a change.

    What may raise an error, such as rows of a table by numbers, comes before all changes that
    follow it, or these were done by a call that failed.
    """
    targets = {w.number for w in program.writes if isinstance(w, Change)}
    read_at = {n: k for k, step in enumerate(program.instructions) for n in step.args}
    first = next((k for k, s in enumerate(program.instructions) if s.out in targets), None)
    if first is None:
        return set()
    found, raising = set[int](), set[int]()
    for step in program.instructions:
        if _may_raise(step) or raising.intersection(step.args):
            late = read_at.get(step.out, -1) >= first
            (found if late else raising).add(step.out)
    return found


def _may_raise(step: Instruction) -> bool:
    rows = step.kind == "getitem" and len(step.args) > 1
    return rows or step.kind == "call" or (step.kind == "function" and step.function not in FRESH)


def _changed(writer: Writer, change: Change, changes: list[Change]) -> bool:
    target, number = change
    program, lines = writer.program, writer.lines
    step = writer.made.get(number)
    at = next((i for i, line in enumerate(lines) if line.number == number), None)
    if step is None or at is None or not elementwise(step) or lines[at].stores is not None:
        return False
    if program.values[number] != program.values[target]:
        return False
    others = [n for n in program.outputs() if n != number]
    others += [w.number for w in changes if w is not change and w.number != number]
    if any(target in writer.owners[n] for n in others):
        return False
    to = _after_readers(lines, at, target)
    if to is None:
        return False
    if number not in writer.indifferent and any(number in line.reads for line in lines[to:]):
        return False
    name = writer.names.variables[target]
    old = writer.names.variables[number]
    line = lines.pop(at)
    line.text = [text + writer.comment(number) for text in _update(writer, step, target, name)]
    line.stores = target
    lines.insert(to - 1, line)
    # From here on the memory of the target holds the new value.
    writer.texts[number] = writer.texts[target]
    for n, own in writer.owners.items():
        if number in own:
            writer.owners[n] = own - {number} | writer.owners[target]
    _rename(writer, lines[to:], re.compile(rf"\b{old}\b"), old, name)
    return True


def _rename(writer: Writer, lines: list[Line], word: re.Pattern[str], old: str, name: str) -> None:
    """Have `lines`, and what stands within lines to come, speak of `name` in place of `old`."""
    for line in lines:
        if any(old in text for text in line.text):
            line.text = [word.sub(name, text) for text in line.text]
    for n in writer.inside:
        text = writer.texts[n]
        if old in text.text:
            writer.texts[n] = text._replace(text=word.sub(name, text.text))


def _after_readers(lines: list[Line], at: int, target: int) -> int | None:
    """Return behind which line the one at `at` can change `target`; None where there is none.

    That is after every `expect`, and after all that reads the old values.
    """
    line = lines[at]
    to = at + 1
    for i in range(at + 1, len(lines)):
        if lines[i].kind == "expect" or target in lines[i].reads:
            to = i + 1
    for passed in lines[at + 1 : to]:
        if line.number in passed.reads or (
            passed.stores is not None and passed.stores in line.reads
        ):
            return None
    return to


def _update(writer: Writer, step: Instruction, target: int, name: str) -> list[str]:
    """Return the lines that make the array of `target` what `step` makes of it."""
    steps = _spine(writer, step, target)
    if steps:
        return [
            text
            for one, first in steps
            for text in _in_pieces(writer, one, first, target)
            or [_augmented(writer, one, first, name)]
        ]
    args = [writer.argument(step, k).text for k in range(len(step.args))]
    return [f"{writer.speller.function(step.function)}({', '.join(args)}, out={name})"]


def _spine(writer: Writer, step: Instruction, target: int) -> list[tuple[Instruction, int]]:
    """Return instructions that change `target` one after the other, and which argument that is.

    Empty where the first of them does not start from `target` itself.
    """
    if step.function not in AUGMENTED or not elementwise(step):
        return []
    for first in (0, 1) if step.function in COMMUTATIVE else (0,):
        n = step.args[first]
        if n == target:
            return [(step, first)]
        alike = writer.program.values[n] == writer.program.values[target]
        others = writer.reads.get(step.args[1 - first], frozenset())
        if n in writer.inside and alike and target not in others:
            before = _spine(writer, writer.made[n], target)
            if before:
                return [*before, (step, first)]
    return []


def _augmented(writer: Writer, step: Instruction, first: int, name: str) -> str:
    return f"{name} {BINARY[step.function][0]}= {writer.argument(step, 1 - first).text}"


def _in_pieces(writer: Writer, step: Instruction, first: int, target: int) -> list[str]:
    """Return the lines that change `target` a piece after the other; none where one line is best.

    What is worked out on the way, such as rate * gradient, then never leaves the caches.
    """
    shape = writer.program.values[target].shape
    pieces = math.ceil(nbytes(writer.program, target) / PIECE)
    n = step.args[1 - first]
    if not shape or pieces < 2 or shape[0] < pieces or n not in writer.inside:
        return []
    found = _whole(writer, n, target)
    if found is None:
        return []
    rows = math.ceil(shape[0] / pieces)
    if not writer.looping:
        writer.looping = writer.names.fresh("i"), writer.names.fresh("piece")
    (i, piece), name = writer.looping, writer.names.variables[target]
    line = _augmented(writer, step, first, piece)
    words = "|".join(re.escape(writer.names.variables[m]) for m in found | {target})
    rest = re.sub(rf"\b(?:{words})\b", rf"\g<0>[{i} : {i} + {rows}]", line)
    start = f"{piece} = {name}[{i} : {i} + {rows}]"
    return [f"for {i} in range(0, {shape[0]}, {rows}):", f"    {start}", f"    {rest}"]


def _whole(writer: Writer, number: int, target: int) -> set[int] | None:
    """Return what an expression reads of the shape of `target`; None where rows need other rows.

    A view of `target`, such as its first row, holds rows that a piece before has changed.
    """
    if number not in writer.inside:
        if number != target and target in writer.owners.get(number, ()):
            return None
        values = writer.program.values
        shape, own = values[target].shape or (), values[number].shape or ()
        if own == shape and number in writer.names.variables:
            return {number}
        return set() if len(own) < len(shape) else None
    step, found = writer.made[number], set[int]()
    if not elementwise(step):
        return None
    for n in step.args:
        more = _whole(writer, n, target)
        if more is None:
            return None
        found |= more
    return found


# Large temporaries


def memory_used_again(writer: Writer, step: Instruction) -> list[str] | None:
    """Return lines that work out a large value in one array; None where it takes no such care."""
    if not _own_memory(writer, step):
        return None
    return _worked_out(writer, step, writer.names.variables[step.out])


def _own_memory(writer: Writer, step: Instruction) -> bool:
    # What has no shape may be a NumPy scalar, which cannot be changed.
    shape = writer.program.values[step.out].shape
    large = bool(shape) and nbytes(writer.program, step.out) >= LARGE
    return large and elementwise(step) and step.out in writer.ordered


def _worked_out(writer: Writer, step: Instruction, name: str) -> list[str]:
    """Return the lines that leave in the variable `name` what `step` makes."""
    args = [writer.argument(step, k) for k in range(len(step.args))]
    texts: list[Any] = [a.text for a in args]
    within = _within(writer, step)
    if within:
        k, *others = within
        lines = _worked_out(writer, writer.made[step.args[k]], name)
        for other in others:
            inner = writer.made[step.args[other]]
            if nbytes(writer.program, inner.out) < ELIDED and _within(writer, inner):
                texts[other] = writer.names.fresh("t1")
                lines += _worked_out(writer, inner, texts[other])
        return [*lines, _again(writer, step, k, name, texts)]
    for k in _own_arguments(writer, step):
        if writer.spent(step.args[k], step):
            function = writer.speller.function(step.function)
            return [f"{name} = {function}({', '.join(texts)}, out={texts[k]})"]
    return [f"{name} = {writer.speller.expression(step, args).text}"]


def _within(writer: Writer, step: Instruction) -> list[int]:
    """Return those of `_own_arguments` that are expressions within that of `step`."""
    return [k for k in _own_arguments(writer, step) if step.args[k] in writer.inside]


def _own_arguments(writer: Writer, step: Instruction) -> list[int]:
    """Return the arguments of which the memory would do for the result of `step`."""
    if not _own_memory(writer, step):
        return []
    values, made = writer.program.values, writer.made
    alike = [k for k, n in enumerate(step.args) if n in made and values[n] == values[step.out]]
    own = [k for k in alike if writer.owners[step.args[k]] == {step.args[k]}]
    return [k for k in own if step.args[k] in writer.ordered]


def _again(writer: Writer, step: Instruction, k: int, name: str, args: list[Any]) -> str:
    if step.function in AUGMENTED and (k == 0 or step.function in COMMUTATIVE):
        return f"{name} {BINARY[step.function][0]}= {args[1 - k]}"
    args[k] = name
    return f"{writer.speller.function(step.function)}({', '.join(args)}, out={name})"
