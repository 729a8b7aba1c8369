"""The steps of the page: a compiled training step as calls of ops, vjp rules and updates.

A step has a title, formulas, lines of the source, and the arrays that it reads and computes. All
arrays are numbered as in the program's JavaScript, which computes them from the inputs.
"""

from __future__ import annotations

import copy
import functools
import operator
from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.compiler.formula import FormulaPrinter
from tinygrad_fc.compiler.ir import Origin, Value, operands
from tinygrad_fc.compiler.javascript import JavaScriptPrinter, generator_state
from tinygrad_fc.compiler.naming import op_calls
from tinygrad_fc.compiler.numpy_printer import NumPyPrinter
from tinygrad_fc.core.pytree import mapped
from tinygrad_fc.viz.network import gradients, outputs
from tinygrad_fc.viz.step_texts import kind_alone, optimizer_text, text_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tinygrad_fc.compiler.ir import Program, Source
    from tinygrad_fc.compiler.trace import Traced

__all__ = ["Call", "Lesson"]

LONGEST_TEXT, SYMBOL_LENGTH = 120, 5
OF_THE_COST = 13
"""The formula of d in the last layer."""
WRITTEN_OUT = (np.full, np.add.reduce)
"""Functions whose results are shown inside of the formulas that read them, except for variables of
the user."""
CORRECTED = ("Adam", "AdamW")
"""Optimizers whose averages are shown corrected."""


@dataclass(eq=False)
class Call:
    """A call of an op ("op") or vjp rule ("rule"), or what belongs to none, named by its kind."""

    kind: str
    origin: Origin
    values: list[Value]
    phase: str

    @property
    def result(self) -> Value:
        """The value that the call returns."""
        return self.values[-1]


def _input_array(source: Source, arguments: Sequence[Any]) -> Any:
    """Return the present array of an input of a program."""
    subject = source.subject
    if source.kind == "argument":
        return arguments[subject]
    if source.kind == "tensor":
        return subject._array
    if source.kind == "gradient":
        return subject.subject._grad._array
    if source.kind == "option":
        return functools.reduce(operator.getitem, source.key, subject)
    return copy.deepcopy(subject.rng) if source.kind == "generator" else subject


class Lesson:
    """A program with its numbers, and the steps of the page."""

    def __init__(self, traced: Traced, arguments: Sequence[Any]) -> None:
        self.traced = traced
        self.corrections: dict[int, list[Value]] = {}
        self.program = program = self._corrected(traced.program)
        self.javascript = JavaScriptPrinter(program)
        self.numbers = self.javascript.numbers
        self.position = {id(v): k for k, v in enumerate(program.instructions)}
        self.arrays = self._arrays_of(arguments)
        self.printer = NumPyPrinter(traced.program)
        self.users = self.printer.users
        self.source_lines = self.printer.source_lines()
        self.own_lines: defaultdict[int, list[int]] = defaultdict(list)
        for k, line in enumerate(self.source_lines):
            if line.value is not None:
                self.own_lines[id(line.value)].append(k)
        self.variables = {
            id(v): self.printer.texts[id(v)]
            for v in (*program.inputs, *program.instructions)
            if v.is_input or (id(v) in self.own_lines and id(v) not in self.printer.inlined)
            if v.variable or v.function not in WRITTEN_OUT
        }
        arrays, inlined = self.printer.array_names, self.printer.inlined
        self.variables |= {key: arrays[key] for key in inlined if key in arrays}
        self.variables |= {id(v): v.name for pair in self.corrections.values() for v in pair}
        chains = self.printer.overwritten
        changes = reversed(program.changes)
        self.changed = {id(new): old for old, new in changes if chains.get(id(new)) is old}
        arguments = [v for v in program.inputs if v.source.kind == "argument"]
        self.x = arguments[0] if arguments else None  # the input, which may be the target as well
        self.y = next((v for v in arguments if v.source.subject == 1), None)
        self.guards = self._guards()
        self.updates = self._updates()
        self.calls = self._calls()
        self.forward = [c for c in self.calls if c.kind == "op" and c.phase == "forward"]
        self._in_calls = {id(v) for call in self.forward for v in call.values}
        self.boxes = self._boxes()
        self.box_of = {id(v): k for k, call in enumerate(self.boxes) for v in call.values}
        self.gradients = gradients(self)  # ∂C by each parameter, both by number
        self.outputs, self.has_target = outputs(self)
        self.output = self.outputs[0] if len(self.outputs) == 1 else None
        model = self.ancestors(self.outputs or [call.result for call in self.forward])
        results = [call.result for call in self.forward if id(call.result) in model]
        self.layer_of = {id(v): v.layer for v in results if v.layer}
        self.layer_count = max([1, *self.layer_of.values()])
        self.cotangent_of = {
            id(call.origin.cotangent): call.origin.result
            for call in self.calls
            if call.origin.cotangent is not None and not call.origin.cotangent.is_constant
        }
        self.labels = self._labels()

    # Numbers and names

    def _corrected(self, program: Program) -> Program:
        """Return the program with the averages of Adam that are corrected for their beginning at 0.

        The program folds the corrections into the step size and eps; the page shows them.
        """
        new = {(id(old.of), old.role): (old, new) for old, new in program.changes}
        after = {}
        powers = [v for v in program.instructions if _is_one_less_power(v)]
        for old, _ in program.changes:
            group = self.group(old, program)
            pairs = zip(("exp_avg", "exp_avg_sq"), group.get("betas", ()), strict=False)
            for role, beta in pairs:
                by = next((v for v in powers if v.args[1].args[0] == beta), None)
                if by is None or (id(old), role) not in new:
                    continue
                state, average = new[id(old), role]
                if average.origin.op in CORRECTED:
                    sample = np.empty(average.shape, average.dtype)
                    v = Value(np.true_divide, (average, by), {}, sample)
                    v.origin, v.role, v.of = average.origin, f"corrected {role}", old
                    v.name = f"{state.name} corrected"
                    after[id(average)] = v
                    self.corrections.setdefault(id(old), []).append(v)
        instructions = [x for v in program.instructions for x in (v, after.get(id(v))) if x]
        return replace(program, instructions=instructions)

    def _arrays_of(self, arguments: Sequence[Any]) -> dict[int, Any]:
        """Return the array of every value, by id."""
        arrays = {id(v): copy.copy(_input_array(v.source, arguments)) for v in self.program.inputs}
        generators = [v for v in self.program.inputs if v.source.kind == "generator"]
        self.generators = {id(v): generator_state(arrays[id(v)]) for v in generators}

        def array(leaf: Any) -> Any:
            if not isinstance(leaf, Value):
                return leaf
            return leaf.sample if leaf.is_constant else arrays[id(leaf)]

        with np.errstate(all="ignore"):
            for v in self.program.instructions:
                arrays[id(v)] = v.function(*mapped(array, v.args), **mapped(array, v.kwargs))
        return arrays | {id(v): v.sample for v in self.javascript.constants}

    def _labels(self) -> dict[int, str]:
        """Return the names of inputs, variables and results of calls: the program's, or ∂C/∂y.

        What has no name is written out where it is read.
        """
        results = (call.result for call in self.calls)
        program = self.program
        names = {id(v): v.name for v in (*program.inputs, *results)} | self.variables
        every = {id(v): v.name for v in (*program.inputs, *program.instructions)}
        for key, old in self.printer.overwritten.items():  # between its old and its new value
            names[key] = f"{every[id(old)]} on the way"
        for old, new in reversed(program.changes):
            if id(new) in self.changed or not new.variable:
                names[id(new)] = f"new {every[id(old)]}"
        derivatives = {
            id(call.result): self.front(call) + names.get(id(call.origin.differentiated), "y")
            for call in self.calls
            if call.kind == "rule"
        }
        for key, result in self.cotangent_of.items():
            derivatives[key] = f"∂C/∂{names.get(id(result), 'y')}"
        names |= {k: name for k, name in derivatives.items() if k not in self.variables}
        count: Counter[str] = Counter()
        for key in dict.fromkeys((*self.variables, *names)):  # each name once
            count[names[key]] += 1
            names[key] += f" ({count[names[key]]})" if count[names[key]] > 1 else ""
        return names

    def front(self, call: Call) -> str:
        """Return whether a vjp rule computes a gradient, or a part that is added to others."""
        users, of = self.users[id(call.result)], call.origin.differentiated
        is_added = any(v.function is np.add and not v.origin.phase for v in users)  # of no op
        return "part of ∂C/∂" if is_added or call.result.shape != of.shape else "∂C/∂"

    # Calls

    def arguments(self, call: Call) -> list[Value]:
        """Return what the forward call of an op read, for that call or one of its vjp rule."""
        result = call.origin.result if call.kind == "rule" else call.result
        return next(self._operands(c.values) for c in self.calls if c.result is result)

    def ancestors(self, values: Sequence[Value]) -> set[int]:
        """Return the ids of values and of all that they are computed from."""
        needed = {*map(id, values)}
        for v in reversed(self.program.instructions):
            if id(v) in needed:
                needed.update(map(id, operands(v)))
        return needed

    def _calls(self) -> list[Call]:
        """Return the calls of ops and rules, and the computations that belong to none.

        Those are sums of gradients, and in the forward pass what NumPy computes without a gradient.
        What depends on a vjp rule, or comes after the last value that the function returns without
        being needed for one, belongs to the backward pass.
        """
        program, position = self.program, self.position
        every = [
            (o, [v for v in some if id(v) not in self.guards]) for o, some in op_calls(program)
        ]
        groups = [(o, some) for o, some in every if some and o.phase in ("forward", "backward")]
        from_rules = {id(v) for o, values in groups if o.argument >= 0 for v in values}
        for v in program.instructions:
            if id(v) not in self.updates and any(id(x) in from_rules for x in operands(v)):
                from_rules.add(id(v))
        returned = self.ancestors([program.outputs[k] for k in program.returned])
        last = max((position[k] for k in returned - from_rules if k in position), default=-1)

        def phase(v: Value) -> str:
            is_later = id(v) in from_rules or (position[id(v)] > last and id(v) not in returned)
            return "backward" if is_later else "forward"

        calls = [
            Call("op" if o.argument < 0 else "rule", o, values, phase(values[-1]))
            for o, values in groups
        ]
        for values in self._alone():
            when = phase(values[-1])
            calls.append(Call(kind_alone(values, when), Origin(), values, when))
        return sorted(calls, key=lambda call: position[id(call.result)])

    def _alone(self) -> list[list[Value]]:
        """Return the values that belong to no op, those that only one of them reads with it."""
        groups: dict[int, list[Value]] = {}
        for value in reversed(self.program.instructions):
            is_of_op = value.origin.phase in ("forward", "backward")
            if not is_of_op and id(value) not in self.guards | self.updates:
                readers = {*map(id, self.users[id(value)])}
                alone = len(readers) == 1 and id(value) not in self.printer.used_after
                group = groups.get(readers.pop(), []) if alone else []
                group.insert(0, value)
                groups[id(value)] = group
        return [*{id(group): group for group in groups.values()}.values()]

    def _guards(self) -> set[int]:
        """Return the ids of the values that only conditions of the program read."""
        guards = {id(v) for v, _ in self.program.expects}
        for value in reversed(self.program.instructions):
            users = self.users[id(value)]
            if users and id(value) not in self.printer.used_after and {*map(id, users)} <= guards:
                guards.add(id(value))
        return guards

    def _updates(self) -> set[int]:
        """Return the ids of what optimizers compute, and of conditions that no op reads."""
        updates, read = set[int](), set[int]()
        for value in reversed(self.program.instructions):
            phase = value.origin.phase
            if phase == "update" or (phase == "guards" and id(value) not in read):
                updates.add(id(value))
            else:
                read.update(map(id, operands(value)))
        return updates

    @staticmethod
    def _operands(values: Sequence[Value]) -> list[Value]:
        """Return the values that a call reads from outside, each once; no constants."""
        inside = {id(v): v for v in values}
        outside: dict[int, Value] = {}
        for value in values:
            if value.function is np.transpose and len(values) > 1:
                continue  # read by a product after its left factor
            for v in operands(value):
                is_transposed = v.function is np.transpose
                turned = is_transposed and (id(v) in inside or v.args[0].is_input)
                read = v.args[0] if turned else v
                if id(read) not in inside and not read.is_constant and read.dtype is not None:
                    outside[id(read)] = read
        return [*outside.values()]

    def _nearest(self, values: Sequence[Value], is_end: Callable[[Value], bool]) -> list[Value]:
        """Return the values of a kind that a call reads, or that what it reads is computed from."""
        waiting, nearest = self._operands(values), dict[int, Value]()
        while waiting:
            v = waiting.pop(0)
            if is_end(v):
                nearest[id(v)] = v
            elif v.function is not None:
                waiting = [*self._operands([v]), *waiting]
        return [*nearest.values()]

    def reads(self, values: Sequence[Value]) -> list[Value]:
        """Return the named values that a call reads, or that what it reads is computed from."""
        hidden = {*map(id, self._comparisons)}
        return self._nearest(values, lambda v: id(v) in self.labels and id(v) not in hidden)

    def behind(self, call: Call) -> list[Value]:
        """Return the results of forward calls, inputs and new values that a call reads."""
        ends = self._in_calls | self.updates
        return self._nearest(call.values, lambda v: v.function is None or id(v) in ends)

    def _boxes(self) -> list[Call]:
        """Return the forward calls that lead to the last one; statistics on the side do not."""
        boxes: list[Call] = []
        needed = {id(self.forward[-1].result)} if self.forward else set()
        for call in reversed(self.forward):
            if not needed.isdisjoint(map(id, call.values)):
                needed.update(id(v) for v in self.behind(call))
                boxes.insert(0, call)
        return boxes

    # Steps

    def steps(self) -> list[dict[str, Any]]:
        """Return the steps in the order of execution: forward calls, vjp rules, updates."""
        place = {self.numbers[id(v)]: k for k, v in enumerate(self.program.instructions)}
        steps = [*map(self._call_step, self.calls), *self._update_steps()]
        return sorted(steps, key=lambda step: place.get(step["writes"], -1))

    def _step(
        self,
        phase: str,
        texts: dict[str, Any],
        values: Sequence[Value],
        reads: Sequence[Value],
        result: Value,
        **others: Any,
    ) -> dict[str, Any]:
        """Return a step that computes `values`, and shows one of them, `result`, as its result."""
        between = [
            v
            for v in values
            if id(v) in self.variables and v is not result and id(v) not in self._on_the_way
        ]
        read_by = [*values, self._reader(result), *map(self._reader, others.pop("folded", ()))]
        lines = {k for v in read_by for k in self.own_lines.get(id(v), ())}
        return {
            "title": texts["title"],
            "of": None,
            "phase": phase,
            "sentence": texts["sentence"],
            "part": texts.get("part", "its part"),
            "formulas": texts.get("formulas", ()),
            "text": texts["text"] if "text" in texts else self._text(values, result),
            "lines": sorted(lines),
            "box": None,
            "reads": [self.numbers[id(v)] for v in reads],
            "between": [self.numbers[id(v)] for v in between],
            "writes": self.numbers[id(result)],
        } | others

    def _reader(self, value: Value) -> Value:
        """Return the value whose lines have `value`: itself, or its reader if it is inlined."""
        while id(value) not in self.own_lines and self.users[id(value)]:
            value = self.users[id(value)][0]
        return value

    @functools.cached_property
    def _comparisons(self) -> list[Value]:
        """Conditions on the way, which are written out where they are read."""
        results = {id(call.result) for call in self.calls}
        values = self.program.instructions
        return [v for v in values if v.dtype == bool and id(v) not in results and v.shape]

    @functools.cached_property
    def _on_the_way(self) -> set[int]:
        """Ids of the values of a parameter between its old and its new one."""
        return self.printer.overwritten.keys() - self.changed.keys()

    def _call_step(self, call: Call) -> dict[str, Any]:
        origin, result = call.origin, call.result
        is_of_op = call.kind in ("op", "rule")
        forward = origin.result if call.kind == "rule" else result
        if not is_of_op and call.phase == "backward":
            forward = self.cotangent_of.get(id(result))
        layer = self.layer_of.get(id(forward))
        is_named = not is_of_op or call.phase == "backward"
        texts = text_of(self, call, layer)
        title, formulas = texts["title"], texts.get("formulas", ())
        if forward is not self.output:  # formula (13) has the derivative of the cost itself
            formulas = tuple(k for k in formulas if k != OF_THE_COST)
        return self._step(
            call.phase,
            texts
            | {"formulas": formulas}
            | {"title": f"Layer {layer}: {title}" if layer else title},
            call.values,
            self.reads(call.values),
            result,
            of=self.numbers[id(result)] if is_named and texts.get("named") else None,
            is_hidden=layer is not None and layer < self.layer_count,
            is_relu=origin.op == "relu" and call.kind == "op",
            is_summed=origin.op == "linear" and origin.argument > 0,
            box=self.box_of.get(id(forward)),
        )

    def _update_steps(self) -> list[dict[str, Any]]:
        """Return a step for each parameter, after one for the numbers that belong to none alone."""
        read = {id(v) for call in self.calls for v in self.reads(call.values)}
        updates = [
            (old, new)
            for old, new in self.program.changes
            if id(old) in read and id(new) in self.updates
        ]
        states = [(old.of, new) for old, new in self.program.changes if new.shape]
        leading = [
            self._leading_to(new, *(x for of, x in states if of is old)) for old, new in updates
        ]
        count = Counter(id(v) for values in leading for v in values)
        steps = [
            step
            for (old, new), values in zip(updates, leading, strict=True)
            for step in self._update_step(old, new, [v for v in values if count[id(v)] == 1])
        ]
        shared: defaultdict[int, list[Value]] = defaultdict(list)  # by the step of an optimizer
        for v in self.program.instructions:
            if id(v) in self.updates - self.guards and count[id(v)] != 1 and not v.of:
                readers = (u.origin for u in self.users[id(v)] if u.origin.phase == "update")
                shared[id(next(readers, v.origin))].append(v)
        for values in shared.values():
            result = next((v for v in reversed(values) if count[id(v)]), values[-1])
            kind = "step size and ε" if self.corrections else "shared numbers"
            texts = optimizer_text(values[-1].origin.op, kind)
            shown = [v for v in values if id(v) in self.variables]
            texts |= {"text": self._text(values, result, shown)}
            steps.append(self._step("update", texts, values, self.reads(values), result))
        return steps

    def _update_step(
        self, old: Value, new: Value, values: Sequence[Value]
    ) -> Iterator[dict[str, Any]]:
        """Yield the steps that update a parameter; Adam's averages and corrections come first."""
        op, corrected = values[-1].origin.op, self.corrections.get(id(old), [])
        boxes = (k for k, call in enumerate(self.boxes) if any(v is old for v in self.behind(call)))
        place = {"of": self.numbers[id(old)], "box": next(boxes, None)}
        averages = self._leading_to(*(v.args[0] for v in corrected)) if corrected else []
        for kind, some in (("averages", averages), ("corrected averages", corrected)):
            if some:
                texts = optimizer_text(op, kind)
                texts |= {"text": self._text(some, some[-1], some if some is corrected else ())}
                folded = [v.args[1] for v in corrected] if some is corrected else ()
                others = {**place, "folded": folded}
                yield self._step("update", texts, some, self.reads(some), some[-1], **others)
        values = [v for v in values if v not in averages]
        texts = optimizer_text(op, "", self.group(old, self.program))
        reads = [v for v in self.reads(values) if v.shape == new.shape]
        yield self._step("update", texts, values, reads, new, **place)

    @staticmethod
    def group(parameter: Value, program: Program) -> dict[str, Any]:
        """Return the options of the optimizer for a parameter, without those that are traced."""
        tensor = parameter.source.subject
        groups = (v.source.subject for v in program.inputs if v.source.kind == "option")
        return next((g for g in groups if any(p is tensor for p in g["params"])), {})

    def _leading_to(self, *new: Value) -> list[Value]:
        """Return the instructions of an update that values depend on, in order."""
        needed, leading = {*map(id, new)}, list[Value]()
        for v in reversed(self.program.instructions):
            if id(v) in needed & self.updates:
                leading.insert(0, v)
                needed.update(map(id, operands(v)))
        return leading

    def parts(self, value: Value) -> list[Any]:
        """Return the formula of a value over named ones: texts of Python and numbers of values."""
        return self._printer(set()).parts(value)

    def _printer(self, inside: set[int]) -> FormulaPrinter:
        named = [v for v in self.javascript.constants if v.shape]
        names = {id(v): self.numbers[id(v)] for v in named}
        hidden = inside | {*map(id, self._comparisons)}
        return FormulaPrinter(names | {k: self.numbers[k] for k in self.labels if k not in hidden})

    def _text(
        self, values: Sequence[Value], result: Value, shown: Sequence[Value] = ()
    ) -> list[Any]:
        """Return the formulas of the result, of what is shown, and of changes, over what they read.

        A formula is the number of a value, and texts of Python with numbers of values between them.
        """
        printer, lines = self._printer({*map(id, values)}), []
        shown_ids = {*map(id, shown)} | self.changed.keys() | {id(result)}
        for v in values:
            if id(v) in shown_ids:  # which is read by its name
                lines.append([self.numbers[id(v)], printer.parts(v)])
                printer.names[id(v)] = self.numbers[id(v)]
        return [line for line in lines if self._length(line) <= LONGEST_TEXT]

    def _length(self, line: Any) -> int:
        """Return about how many characters a line has on the page, where values have symbols."""
        return sum(SYMBOL_LENGTH if isinstance(part, int) else len(part) for part in line[1])


def _is_one_less_power(value: Value) -> bool:
    """Return whether a number of an update is 1 less a power."""
    read = value.args[1:2] if value.is_number and value.function is operator.sub else ()
    return any(isinstance(v, Value) and v.function is operator.pow for v in read)
