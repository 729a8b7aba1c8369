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
from tinygrad_fc.viz.network import gradients, outputs, stored_gradients
from tinygrad_fc.viz.step_texts import kind_alone, optimizer_text, text_of

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Iterator, Sequence

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
PLACES = {"tensor": "_array", "gradient": "subject._grad._array", "generator": "rng"}
"""Where inputs of these kinds are, seen from the subject of their source."""


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
    """Return the present array, number or generator of an input of a program."""
    if source.kind == "argument":
        return arguments[source.subject]
    if source.kind == "option":
        return functools.reduce(operator.getitem, source.key, source.subject)
    place = PLACES.get(source.kind)
    return operator.attrgetter(place)(source.subject) if place else source.subject


class Lesson:
    """A program with its numbers, and the steps of the page."""

    def __init__(self, traced: Traced, arguments: Sequence[Any]) -> None:
        self.traced = traced
        self.corrections: dict[Value, list[Value]] = {}
        self.program = program = self._corrected(traced.program)
        self.javascript = JavaScriptPrinter(program)
        self.numbers = self.javascript.numbers
        self.position = {v: k for k, v in enumerate(program.instructions)}
        self.computed = [*program.inputs, *program.instructions]
        self.arrays = self._arrays_of(arguments)
        self.printer = printer = NumPyPrinter(traced.program)
        self.users = {v: printer.users[id(v)] for v in self.numbers}
        self.used_after = {*program.outputs, *(new for _, new in program.changes)}
        overwritten = printer.overwritten  # the input in whose array a value is computed
        self.changed = {v for old, v in program.changes if overwritten.get(id(v)) is old}
        self.source_lines = printer.source_lines()
        self.own_lines: defaultdict[Any, list[int]] = defaultdict(list)
        for k, line in enumerate(self.source_lines):
            self.own_lines[line.value].append(k)
        self.variables = {v: name for v in self.computed if (name := self._variable(v))}
        self.variables |= {v: v.name for pair in self.corrections.values() for v in pair}
        arguments = [v for v in program.inputs if v.source.kind == "argument"]
        self.x = arguments[0] if arguments else None  # the input, which may be the target as well
        self.y = next((v for v in arguments if v.source.subject == 1), None)
        self.guards = self._guards()
        self.updates = self._updates()
        self.calls = self._calls()
        self.forward = [c for c in self.calls if c.kind == "op" and c.phase == "forward"]
        self._in_calls = {v for call in self.forward for v in call.values}
        self.boxes = self._boxes()
        self.box_of = {v: k for k, call in enumerate(self.boxes) for v in call.values}
        self.gradients = gradients(self)  # ∂C by each parameter
        self.outputs, self.has_target = outputs(self)
        self.output = self.outputs[0] if len(self.outputs) == 1 else None
        model = self.ancestors(self.outputs or [call.result for call in self.forward])
        results = [call.result for call in self.forward if call.result in model]
        self.layer_of = {v: v.layer for v in results if v.layer}
        self.layer_count = max([1, *self.layer_of.values()])
        rules = [call for call in self.calls if call.kind == "rule"]
        cotangents = [(call.origin.cotangent, call.origin.result) for call in rules]
        self.cotangent_of = {v: result for v, result in cotangents if not v.is_constant}
        # what each value of the backward pass is, and of which value it is the derivative
        self.derivatives = {v: ("changed ∂C/∂", p) for p, v in stored_gradients(self).items()}
        self.derivatives |= {v: ("∂C/∂", p) for p, v in self.gradients.items()}
        self.derivatives |= {call.result: self._derivative(call) for call in rules}
        self.derivatives |= {v: ("∂C/∂", result) for v, result in self.cotangent_of.items()}
        self.labels = self._labels()
        results = [call.result for call in self.calls]
        self._comparisons = {
            v for v in program.instructions if v.dtype == bool and v.shape and v not in results
        }

    # Numbers and names

    def _variable(self, v: Value) -> str:
        """Return the variable of the program that holds a value, or "" without one."""
        if id(v) in self.printer.overwritten and v not in self.changed:  # between old and new
            return ""
        if id(v) in self.printer.inlined:
            return self.printer.array_names.get(id(v), "")
        has_line = v in self.own_lines and (v.variable or v.function not in WRITTEN_OUT)
        return self.printer.texts[id(v)] if v.is_input or has_line else ""

    def _corrected(self, program: Program) -> Program:
        """Return the program with the averages of Adam that are corrected for their beginning at 0.

        The program folds the corrections into the step size and eps; the page shows them.
        """
        new = {(old.of, old.role): (old, new) for old, new in program.changes}
        powers = [v for v in reversed(program.instructions) if _is_one_less_power(v)]
        power_of, after = {v.args[1].args[0]: v for v in powers}, {}
        for old, _ in program.changes:
            betas = self.group(old, program).get("betas", ())
            for role, beta in zip(("exp_avg", "exp_avg_sq"), betas, strict=False):
                state, average = new.get((old, role), (old, old))
                if beta in power_of and average.origin.op in CORRECTED:
                    sample = np.empty(average.shape, average.dtype)
                    v = Value(np.true_divide, (average, power_of[beta]), {}, sample)
                    v.origin, v.role, v.of = average.origin, f"corrected {role}", old
                    v.name = f"{state.name} corrected"
                    after[average] = v
                    self.corrections.setdefault(old, []).append(v)
        instructions = [x for v in program.instructions for x in (v, after.get(v)) if x]
        return replace(program, instructions=instructions)

    def _arrays_of(self, arguments: Sequence[Any]) -> dict[Value, Any]:
        """Return the array of every value."""
        arrays = {v: v.sample for v in self.javascript.constants}
        for v in self.program.inputs:
            arrays[v] = copy.deepcopy(_input_array(v.source, arguments))
        generators = [v for v in self.program.inputs if v.source.kind == "generator"]
        self.generators = {v: generator_state(arrays[v]) for v in generators}
        with np.errstate(all="ignore"):
            for v in self.program.instructions:
                args, kwargs = mapped(lambda x: arrays.get(x, x), (v.args, v.kwargs))
                arrays[v] = v.function(*args, **kwargs)
        return arrays

    def _labels(self) -> dict[Value, str]:
        """Return the names of inputs, variables and results of calls: the program's, or ∂C/∂y.

        What has no name is written out where it is read.
        """
        results = [call.result for call in self.calls]
        names = {v: v.name for v in (*self.program.inputs, *results)} | self.variables
        for old, new in reversed(self.program.changes):
            if new in self.changed or not new.variable:
                names[new] = f"new {old.name}"
        derived = {v: front + names.get(of, "y") for v, (front, of) in self.derivatives.items()}
        names |= {v: name for v, name in derived.items() if v not in self.variables}
        count: Counter[str] = Counter()
        for v in dict.fromkeys((*self.variables, *names)):  # each name once
            count[names[v]] += 1
            names[v] += f" ({count[names[v]]})" if count[names[v]] > 1 else ""
        return names

    def _derivative(self, call: Call) -> tuple[str, Value]:
        """Return what a vjp rule computes: a gradient, or a part that is added to others."""
        users, of = self.users[call.result], call.origin.differentiated
        is_added = any(v.function is np.add and not v.origin.phase for v in users)  # of no op
        is_part = is_added or call.result.shape != of.shape
        return "part of ∂C/∂" if is_part else "∂C/∂", of

    # Calls

    def arguments(self, call: Call) -> list[Value]:
        """Return what the forward call of an op read, for that call or one of its vjp rule."""
        result = call.origin.result if call.kind == "rule" else call.result
        return next(self._operands(c.values) for c in self.calls if c.result is result)

    def ancestors(
        self, values: Iterable[Value], within: Container[Any] | None = None
    ) -> set[Value]:
        """Return values and all that they are computed from, by values of a kind alone."""
        needed = {*values}
        for v in reversed(self.program.instructions):
            if v in needed and (within is None or v in within):
                needed.update(operands(v))
        return needed

    def _calls(self) -> list[Call]:
        """Return the calls of ops and rules, and the computations that belong to none.

        Those are sums of gradients, and in the forward pass what NumPy computes without a gradient.
        What depends on a vjp rule, or comes after the last value that the function returns without
        being needed for one, belongs to the backward pass.
        """
        program, position = self.program, self.position
        every = ((o, [v for v in some if v not in self.guards]) for o, some in op_calls(program))
        groups = [(o, some) for o, some in every if some and o.phase in ("forward", "backward")]
        from_rules = {v for o, values in groups if o.argument >= 0 for v in values}
        for v in program.instructions:
            if v not in self.updates and not from_rules.isdisjoint(operands(v)):
                from_rules.add(v)
        returned = self.ancestors([program.outputs[k] for k in program.returned])
        last = max((position[k] for k in returned - from_rules if k in position), default=-1)

        def phase(v: Value) -> str:
            is_later = v in from_rules or (position[v] > last and v not in returned)
            return "backward" if is_later else "forward"

        calls = []
        for o, values in (*groups, *((Origin(), values) for values in self._alone())):
            when, of_op = phase(values[-1]), "op" if o.argument < 0 else "rule"
            calls.append(Call(of_op if o.phase else kind_alone(values, when), o, values, when))
        return sorted(calls, key=lambda call: position[call.result])

    def _alone(self) -> list[list[Value]]:
        """Return the values that belong to no op, those that only one of them reads with it."""
        groups: dict[Value, list[Value]] = {}
        for value in reversed(self.program.instructions):
            is_of_op = value.origin.phase in ("forward", "backward")
            if not is_of_op and value not in self.guards | self.updates:
                readers = {*self.users[value]}
                alone = len(readers) == 1 and value not in self.used_after
                group = groups.get(readers.pop(), []) if alone else []
                group.insert(0, value)
                groups[value] = group
        return [*{id(group): group for group in groups.values()}.values()]

    def _guards(self) -> set[Value]:
        """Return the values that only conditions of the program read."""
        guards = {v for v, _ in self.program.expects}
        for value in reversed(self.program.instructions):
            users = self.users[value]
            if users and value not in self.used_after and {*users} <= guards:
                guards.add(value)
        return guards

    def _updates(self) -> set[Value]:
        """Return what optimizers compute, and conditions that no op reads."""
        updates, read = set[Value](), set[Value]()
        for value in reversed(self.program.instructions):
            phase = value.origin.phase
            if phase == "update" or (phase == "guards" and value not in read):
                updates.add(value)
            else:
                read.update(operands(value))
        return updates

    @staticmethod
    def _operands(values: Sequence[Value]) -> list[Value]:
        """Return the values that a call reads from outside, each once; no constants."""
        outside: dict[Value, None] = {}
        for value in values:
            if value.function is np.transpose and len(values) > 1:
                continue  # read by a product after its left factor
            for v in operands(value):
                is_transposed = v.function is np.transpose
                turned = is_transposed and (v in values or v.args[0].is_input)
                read = v.args[0] if turned else v
                if read not in values and not read.is_constant and read.dtype is not None:
                    outside[read] = None
        return [*outside]

    def _nearest(self, values: Sequence[Value], is_end: Callable[[Value], bool]) -> list[Value]:
        """Return the values of a kind that a call reads, or that what it reads is computed from."""
        waiting, nearest = self._operands(values), dict[Value, None]()
        while waiting:
            v = waiting.pop(0)
            if is_end(v):
                nearest[v] = None
            elif v.function is not None:
                waiting = [*self._operands([v]), *waiting]
        return [*nearest]

    def reads(self, values: Sequence[Value]) -> list[Value]:
        """Return the named values that a call reads, or that what it reads is computed from."""
        named = self.labels.keys() - self._comparisons
        return self._nearest(values, named.__contains__)

    def behind(self, call: Call) -> list[Value]:
        """Return the results of forward calls, inputs and new values that a call reads."""
        ends = self._in_calls | self.updates
        return self._nearest(call.values, lambda v: v.function is None or v in ends)

    def _boxes(self) -> list[Call]:
        """Return the forward calls that lead to the last one; statistics on the side do not."""
        last = [call.result for call in self.forward[-1:]]
        needed = self.ancestors(last, {*self.program.instructions} - self.updates)
        return [call for call in self.forward if not needed.isdisjoint(call.values)]

    # Steps

    def steps(self) -> list[dict[str, Any]]:
        """Return the steps in the order of execution: forward calls, vjp rules, updates."""
        steps = [*map(self._call_step, self.calls), *self._update_steps()]
        return sorted(steps, key=lambda step: self.position.get(step["writes"], -1))

    def _step(
        self,
        phase: str,
        texts: dict[str, Any],
        values: Sequence[Value],
        result: Value,
        *,
        reads: Sequence[Value] | None = None,
        shown: Container[Value] = (),
        **others: Any,
    ) -> dict[str, Any]:
        """Return a step that computes `values`, and shows one of them, `result`, as its result."""
        reads = self.reads(values) if reads is None else reads
        folded = [v.args[1] for pair in self.corrections.values() for v in pair if v in values]
        read_by = [*values, *map(self._reader, [result, *folded])]
        lines = {k for v in read_by for k in self.own_lines.get(v, ())}
        return {
            "title": texts["title"],
            "of": None,
            "phase": phase,
            "sentence": texts["sentence"],
            "part": texts.get("part", "its part"),
            "formulas": texts.get("formulas", ()),
            "text": self._text(values, result, shown),
            "lines": sorted(lines),
            "box": None,
            "reads": reads,
            "between": [v for v in values if v in self.variables and v is not result],
            "writes": result,
        } | others

    def _reader(self, value: Value) -> Value:
        """Return the value whose lines have `value`: itself, or its reader if it is inlined."""
        while value not in self.own_lines and self.users[value]:
            value = self.users[value][0]
        return value

    def _call_step(self, call: Call) -> dict[str, Any]:
        origin, result = call.origin, call.result
        forward: Any = origin.result if call.kind == "rule" else result
        if call.kind != "rule" and call.phase == "backward":
            forward = self.cotangent_of.get(result)
        layer = self.layer_of.get(forward)
        texts = text_of(self, call, layer)
        if forward is not self.output:  # formula (13) has the derivative of the cost itself
            texts["formulas"] = tuple(k for k in texts["formulas"] if k != OF_THE_COST)
        texts["title"] = f"Layer {layer}: {texts['title']}" if layer else texts["title"]
        return self._step(
            call.phase,
            texts,
            call.values,
            result,
            of=result if texts.get("named") else None,
            is_hidden=layer is not None and layer < self.layer_count,
            is_relu=origin.op == "relu" and call.kind == "op",
            is_summed=origin.op == "linear" and origin.argument > 0,
            box=self.box_of.get(forward),
        )

    def _update_steps(self) -> list[dict[str, Any]]:
        """Return a step for each parameter, after one for the numbers that belong to none alone."""
        read = {v for call in self.calls for v in self.reads(call.values)}
        states = [(old.of, new) for old, new in self.program.changes if new.shape]
        leading = {
            (old, new): self._leading_to(new, *(x for of, x in states if of is old))
            for old, new in self.program.changes
            if old in read and new in self.updates
        }
        count = Counter(v for values in leading.values() for v in values)
        steps = [
            step
            for pair, values in leading.items()
            for step in self._update_step(*pair, [v for v in values if count[v] == 1])
        ]
        shared: defaultdict[int, list[Value]] = defaultdict(list)  # by the step of an optimizer
        for v in self.program.instructions:
            if v in self.updates - self.guards and count[v] != 1 and not v.of:
                readers = (u.origin for u in self.users[v] if u.origin.phase == "update")
                shared[id(next(readers, v.origin))].append(v)
        for values in shared.values():
            result = next((v for v in reversed(values) if count[v]), values[-1])
            kind = "step size and ε" if self.corrections else "shared numbers"
            texts = optimizer_text(values[-1].origin.op, kind)
            steps.append(self._step("update", texts, values, result, shown=self.variables))
        return steps

    def _update_step(
        self, old: Value, new: Value, values: Sequence[Value]
    ) -> Iterator[dict[str, Any]]:
        """Yield the steps that update a parameter; Adam's averages and corrections come first."""
        op, corrected = values[-1].origin.op, self.corrections.get(old, [])
        boxes = (k for k, call in enumerate(self.boxes) if old in self.behind(call))
        place: dict[str, Any] = {"of": old, "box": next(boxes, None)}
        averages = self._leading_to(*(v.args[0] for v in corrected))
        for kind, some in (("averages", averages), ("corrected averages", corrected)):
            if some:
                texts = optimizer_text(op, kind)
                yield self._step("update", texts, some, some[-1], shown=corrected, **place)
        values = [v for v in values if v not in averages]
        texts = optimizer_text(op, "", self.group(old, self.program))
        reads = [v for v in self.reads(values) if v.shape == new.shape]
        yield self._step("update", texts, values, new, reads=reads, **place)

    @staticmethod
    def group(parameter: Value, program: Program) -> dict[str, Any]:
        """Return the options of the optimizer for a parameter, without those that are traced."""
        tensor = parameter.source.subject
        groups = (v.source.subject for v in program.inputs if v.source.kind == "option")
        return next((g for g in groups if any(p is tensor for p in g["params"])), {})

    def _leading_to(self, *new: Value) -> list[Value]:
        """Return the instructions of an update that values depend on, in order."""
        needed = self.ancestors(new, self.updates)
        return [v for v in self.program.instructions if v in needed and v in self.updates]

    def _text(self, values: Sequence[Value], result: Value, shown: Container[Value]) -> list[Any]:
        """Return the formulas of the result, of what is shown, and of changes, over what they read.

        A formula is a value, and texts of Python with values between them.
        """
        named = [v for v in self.javascript.constants if v.shape]
        named += [v for v in self.labels if v not in values and v not in self._comparisons]
        printer, lines = FormulaPrinter({id(v): v for v in named}), []
        for v in values:
            if v is result or v in shown or v in self.changed:  # which is read by its name
                lines.append([v, printer.parts(v)])
                printer.names[id(v)] = v
        return [line for line in lines if self._length(line) <= LONGEST_TEXT]

    def _length(self, line: Any) -> int:
        """Return about how many characters a line has on the page, where values have symbols."""
        return sum(len(part) if isinstance(part, str) else SYMBOL_LENGTH for part in line[1])


def _is_one_less_power(value: Value) -> bool:
    """Return whether a number of an update is 1 less a power."""
    read = value.args[1:2] if value.is_number and value.function is operator.sub else ()
    return any(isinstance(v, Value) and v.function is operator.pow for v in read)
