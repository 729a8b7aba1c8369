"""The steps of the page: a compiled training step as calls of ops, vjp rules and updates.

A step has a title, formulas, lines of the source, and the arrays that it reads and computes. All
arrays are numbered as in the program's JavaScript, which computes them from the inputs.
"""

from __future__ import annotations

import copy
import functools
import json
import operator
import re
from bisect import bisect
from collections import Counter, defaultdict
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.compiler.formula import FormulaPrinter
from tinygrad_fc.compiler.instructions import draw
from tinygrad_fc.compiler.ir import Origin, Value, operands
from tinygrad_fc.compiler.javascript import JavaScriptPrinter, generator_state
from tinygrad_fc.compiler.naming import FORMULAS, op_calls
from tinygrad_fc.compiler.numpy_printer import NumPyPrinter
from tinygrad_fc.pytree import mapped

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tinygrad_fc.compiler.ir import Source
    from tinygrad_fc.compiler.trace import Traced

__all__ = ["Lesson"]

LONGEST_TEXT = 120

TEXTS: dict[str, dict[str, str]] = json.loads(
    files("tinygrad_fc").joinpath("viz/step_texts.json").read_bytes()
)
"""Title, sentence, rule, formula of steps: by op with the argument of its vjp rule, or phase.

`part` is the formula of what one sample adds to the gradient.
"""
# Origins of what belongs to no op: sums of gradients, and arrays computed without a gradient.
SUM, ARRAYS = Origin("sum of gradients", "backward", 0), Origin("arrays", "forward")
OPTIMIZER_PHASES = ("guards", "update")
"""Phases of what an optimizer computes."""
NOT_ACTIVATIONS = {"linear", "softmax", SUM.op}
"""Ops of a layer that are no elementwise activation function."""


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
        self.traced, self.program = traced, traced.program
        program = traced.program
        self.javascript = JavaScriptPrinter(program)
        self.numbers = self.javascript.numbers
        self.arrays = self._run(arguments)
        self.printer = NumPyPrinter(program)
        self.source = self.printer.source().splitlines()
        self.own_lines = self._own_lines()
        self.variables = self._variables()
        chains = self.printer.overwritten
        changes = reversed(program.changes)
        self.changed = {id(new): old for old, new in changes if chains.get(id(new)) is old}
        self.lines = self._lines()
        self.guards = self._guards()
        self.calls = self._calls()
        self.forward = [c for c in self.calls if c[0].argument < 0 and c[0] is not ARRAYS]
        self.boxes = self._boxes()
        self.box_of = {id(v): k for k, values in enumerate(self.boxes) for v in values}
        self.layer_of = self._layers()
        self.cotangent_of = {
            id(origin.cotangent): origin.result
            for origin, _ in self.calls
            if origin.cotangent is not None and not origin.cotangent.is_constant
        }
        self.labels = self._labels()

    # Numbers and names

    def _run(self, arguments: Sequence[Any]) -> dict[int, Any]:
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
        """Return the name of every value: the program's, or ∂C/∂y for a gradient without one."""
        names = {id(v): v.name for v in (*self.program.inputs, *self.program.instructions)}
        names |= {id(v): "condition" for v, _ in self.program.expects} | self.variables
        chains = self.printer.overwritten  # values of a parameter between its old and its new
        names |= {key: f"{names[id(old)]} on the way" for key, old in chains.items()}
        names |= {key: f"new {names[id(old)]}" for key, old in self.changed.items()}
        derivatives = {}
        for origin, values in self.calls:
            read = self._argument(origin)
            if read is not None:
                derivatives[id(values[-1])] = f"part of ∂C/∂{names.get(id(read), 'y')}"
        for key, result in self.cotangent_of.items():
            derivatives[key] = f"∂C/∂{names.get(id(result), 'y')}"
        names |= {k: name for k, name in derivatives.items() if k not in self.variables}
        count: Counter[str] = Counter()
        for key in dict.fromkeys((*self.variables, *names)):  # each name once
            count[names[key]] += 1
            names[key] += f" ({count[names[key]]})" if count[names[key]] > 1 else ""
        return names

    def _argument(self, origin: Origin) -> Value | None:
        """Return the argument whose gradient a vjp rule computes: what its forward call read."""
        result = origin.result
        call = next((vs for _, vs in self.forward if vs[-1] is result), None)
        read = list(self.reads(call)) if call is not None else []
        return read[origin.argument] if 0 <= origin.argument < len(read) else None

    def _calls(self) -> list[tuple[Origin, list[Value]]]:
        """Return the calls of ops and rules, and the computations that belong to none.

        Those are sums of gradients, and in the forward pass what NumPy computes without a gradient.
        """
        program, users = self.program, self.printer.users
        calls = [call for call in op_calls(program) if call[0].phase not in OPTIMIZER_PHASES]
        first = next((vs[0] for o, vs in calls if o.argument >= 0), None)
        position = {id(v): k for k, v in enumerate(program.instructions)}
        groups: dict[int, list[Value]] = {}
        for value in reversed(program.instructions):
            if not value.origin.phase and id(value) not in self.guards:
                readers = {*map(id, users[id(value)])}
                alone = len(readers) == 1 and id(value) not in self.printer.used_after
                group = groups.get(readers.pop(), []) if alone else []
                group.insert(0, value)
                groups[id(value)] = group
        for group in {id(group): group for group in groups.values()}.values():
            backward = first is not None and position[id(group[-1])] > position[id(first)]
            calls.append((SUM if backward else ARRAYS, group))
        return sorted(calls, key=lambda call: position[id(call[1][-1])])

    def _guards(self) -> set[int]:
        """Return the ids of the values that only conditions of the program read."""
        guards = {id(v) for v, _ in self.program.expects}
        for value in reversed(self.program.instructions):
            users = self.printer.users[id(value)]
            if users and id(value) not in self.printer.used_after and {*map(id, users)} <= guards:
                guards.add(id(value))
        return guards

    def reads(self, values: Sequence[Value]) -> Iterator[Value]:
        """Yield the values that a call reads from outside, each once; no constants."""
        inside = {id(v): v for v in values}
        outside: dict[int, Value] = {}
        for value in values:
            if value.function is np.transpose and len(values) > 1:
                continue  # read by a product after its left factor
            for v in operands(value):
                turned = v.function is np.transpose and id(v) in inside
                read = v.args[0] if turned else v
                if id(read) not in inside and not read.is_constant and read.dtype is not None:
                    outside[id(read)] = read
        yield from outside.values()

    def _boxes(self) -> list[Sequence[Value]]:
        """Return the forward calls that lead to the last one; statistics on the side do not."""
        boxes: list[Sequence[Value]] = []
        needed = {id(self.forward[-1][1][-1])} if self.forward else set()
        for _, values in reversed(self.forward):
            if not needed.isdisjoint(map(id, values)):
                needed.update(id(v) for read in self.reads(values) for v in self.behind(read))
                boxes.insert(0, values)
        return boxes

    def behind(self, value: Value) -> list[Value]:
        """Return the results of forward calls and the inputs that a value was computed from.

        That is the value itself, unless it belongs to no forward call.
        """
        calls = {id(v) for _, values in self.forward for v in values}
        behind: dict[int, Value] = {}
        waiting = [value]
        while waiting:
            v = waiting.pop()
            if id(v) in calls or v.function is None:
                if not v.is_constant:
                    behind[id(v)] = v
            else:
                waiting.extend(operands(v))
        return list(behind.values())

    def _layers(self) -> dict[int, int]:
        """Return the number of the layer, from 1, of each z and y."""
        results = [values[-1] for _, values in self.forward]
        names = {id(v): v.name for v in results if v.formula}
        return {key: int(name[1:]) for key, name in names.items() if re.match(r"[zy]\d+$", name)}

    def _own_lines(self) -> dict[int, list[int]]:
        """Return the lines of the source that compute each value, by its id."""
        lines: defaultdict[int, list[int]] = defaultdict(list)
        at = 0
        for line in self.printer.lines:
            for k in range(at, len(self.source)):
                if self.source[k].strip().startswith(line.text.strip()):
                    lines[id(line.value)].append(k)
                    at = k + 1
                    break
        return dict(lines)

    def _variables(self) -> dict[int, str]:
        """Return the names of inputs and of values that have a line of their own, by id."""
        own = [v for v in self.program.instructions if id(v) in self.own_lines]
        texts = {id(v): self.printer.text(v) for v in (*self.program.inputs, *own)}
        return {key: text for key, text in texts.items() if text.isidentifier()}

    def _lines(self) -> dict[int, list[int]]:
        """Return the lines of every value; an inlined value has those of its reader."""
        lines = dict(self.own_lines)
        for value in reversed(self.program.instructions):
            known = (lines[id(u)] for u in self.printer.users[id(value)] if id(u) in lines)
            lines.setdefault(id(value), next(known, []))
        return lines

    # Steps

    def steps(self) -> list[dict[str, Any]]:
        """Return the steps in the order of execution: forward calls, vjp rules, updates, guards."""
        position = {self.numbers[id(v)]: k for k, v in enumerate(self.program.instructions)}

        def place(step: dict[str, Any]) -> int:
            return position.get(step["writes"], -1)

        steps = [*(self._call_step(*call) for call in self.calls), *self._update_steps()]
        steps.sort(key=place)
        return sorted([*steps, *self._guard_steps([*map(place, steps)])], key=place)

    def _step(
        self,
        title: str,
        phase: str,
        texts: dict[str, str],
        values: Sequence[Value],
        reads: Sequence[Value],
        result: Value,
        **others: Any,
    ) -> dict[str, Any]:
        """Return a step that computes `values`, of which `result` is shown as its result."""
        own = [v for v in values if id(v) in self.variables]
        lines = {k for v in values for k in self.own_lines.get(id(v), ())}
        lines.update(self.lines.get(id(result), ()))
        computed = {*map(id, values)}
        stores = [
            f"{self.labels[id(old)]}[...] ="
            for old, new in self.program.changes
            if id(new) in computed
        ]
        lines |= {k for k, line in enumerate(self.source) if line.strip().startswith(tuple(stores))}
        return {
            "title": title,
            "phase": phase,
            "sentence": texts["sentence"],
            "part": texts.get("part", "its part"),
            "formulas": (texts["formula"],) if "formula" in texts else (),
            "text": self._text(values, result) or texts.get("rule", ""),
            "lines": sorted(lines),
            "box": None,
            "reads": [self.numbers[id(v)] for v in reads],
            "between": [
                self.numbers[id(v)]
                for v in own
                if v is not result and not self.labels[id(v)].endswith(" on the way")
            ],
            "writes": self.numbers[id(result)],
        } | others

    def _call_step(self, origin: Origin, values: Sequence[Value]) -> dict[str, Any]:
        result = values[-1]
        forward = result if origin.argument < 0 else origin.result
        if origin is SUM:
            forward = self.cotangent_of.get(id(result))
        layer = self.layer_of.get(id(forward))
        kind = "activation" if layer and origin.op not in NOT_ACTIVATIONS else origin.op
        rule = "forward" if origin.argument < 0 else origin.argument
        known = (TEXTS.get(f"{name} {rule}") for name in (origin.op, kind))
        texts = next(filter(None, known), None) or self._other_texts(origin, values)
        cited = tuple(map(int, re.findall(r"\d+", result.formula)))
        if kind in ("linear", "mse_loss") and origin.argument == 0:
            cited = FORMULAS[kind, 0][:1]  # part of a line that the program cites another one for
        more = (texts["formula"],) if "formula" in texts else ()
        return self._step(
            f"Layer {layer}: {texts['title']}" if layer else texts["title"],
            "forward" if origin.argument < 0 else "backward",
            texts,
            values,
            list(self.reads(values)),
            result,
            formulas=(*cited, *more),
            is_hidden=layer is not None and layer < max(self.layer_of.values()),
            box=self.box_of.get(id(forward)),
        )

    def _other_texts(self, origin: Origin, values: Sequence[Value]) -> dict[str, str]:
        """Return title and sentence of a call that TEXTS does not have."""
        name = self.labels.get(id(values[-1]), "value")
        if origin is ARRAYS:
            kind = "random" if any(v.function is draw for v in values) else "arrays"
            return {"title": name} | TEXTS[kind]
        if origin is SUM:
            kind = "add" if any(v.function is np.add for v in values) else "broadcast"
            return {"title": f"{origin.op}: {name}"} | TEXTS[kind]
        if origin.argument < 0:
            return {"title": origin.op} | TEXTS["forward"]
        return {"title": f"back through {origin.op}: {name}"} | TEXTS["backward"]

    def _update_steps(self) -> list[dict[str, Any]]:
        """Return a step for each parameter, after one for the numbers that belong to none alone."""
        read = {id(v) for _, values in self.calls for v in self.reads(values)}
        updates = [
            (old, new) for old, new in self.program.changes if id(old) in read and _is_update(new)
        ]
        leading = [self._leading_to(new) for _, new in updates]
        count = Counter(id(v) for values in leading for v in values)
        steps = [
            self._update_step(old, new, [v for v in values if count[id(v)] == 1])
            for (old, new), values in zip(updates, leading, strict=True)
        ]
        shared = [
            v
            for v in self.program.instructions
            if _is_update(v) and count[id(v)] != 1 and id(v) not in self.guards
        ]
        if shared:
            steps.insert(0, self._shared_step(shared, count))
        return steps

    def _update_step(self, old: Value, new: Value, values: Sequence[Value]) -> dict[str, Any]:
        reading = (k for k, vs in enumerate(self.boxes) if any(v is old for v in self.reads(vs)))
        kind = _optimizer(values)
        if any("momentum" in self.labels.get(id(v), "") for v in values):
            is_plain = re.search(r"\* new \w+$", self._text(values, new))
            kind += " with momentum" if is_plain else " with Nesterov momentum"
        texts = TEXTS.get(kind, TEXTS["update"])
        reads = [v for v in self.reads(values) if v.shape == new.shape]
        title = f"{_optimizer(values)}: {self.labels.get(id(old), 'parameter')}"
        box = next(reading, None)
        return self._step(title, "update", texts, values, reads, new, box=box)

    def _shared_step(self, values: Sequence[Value], count: Counter[int]) -> dict[str, Any]:
        result = next((v for v in reversed(values) if count[id(v)]), values[-1])
        optimizer, reads = _optimizer(values), list(self.reads(values))
        texts = TEXTS.get(f"shared numbers of {optimizer}", TEXTS["shared numbers"])
        title, text = f"{optimizer}: shared numbers", texts.get("rule", "")
        return self._step(title, "update", texts, values, reads, result, text=text)

    def _guard_steps(self, places: list[int]) -> list[dict[str, Any]]:
        """Return a step for the conditions between two other steps, which are at `places`."""
        groups: defaultdict[int, list[Value]] = defaultdict(list)
        for k, value in enumerate(self.program.instructions):
            if id(value) in self.guards:
                groups[bisect(places, k)].append(value)
        conditions = {id(v) for v, _ in self.program.expects}
        steps = []
        for values in groups.values():
            *others, last = [v for v in values if id(v) in conditions] or values
            step = self._step("Guards", "guard", TEXTS["guards"], values, (), last, text="")
            shown = {"reads": self.reads(values), "between": others}
            steps.append(step | {k: [self.numbers[id(v)] for v in vs] for k, vs in shown.items()})
        return steps

    def _leading_to(self, new: Value) -> list[Value]:
        """Return the instructions of an update that `new` depends on, in order."""
        needed = {id(new)}
        for value in reversed(self.program.instructions):
            if id(value) in needed and _is_update(value):
                needed.update(id(v) for v in operands(value))
        return [v for v in self.program.instructions if id(v) in needed and _is_update(v)]

    def _text(self, values: Sequence[Value], result: Value) -> str:
        """Return the formulas of the result and of other changes, over the names they read."""
        inside = {*map(id, values)}
        names = {id(v): self.printer.text(v) for v in self.javascript.constants if v.shape}
        names |= {key: label for key, label in self.labels.items() if key not in inside}
        printer, lines = FormulaPrinter(names), []
        for v in values:
            if v is result or id(v) in self.changed:  # which is read by its name from here on
                label = self.labels.get(id(v), "value")
                lines.append(f"{label} = {printer.formula(v)}")
                printer.names[id(v)] = label
        return "\n".join(line for line in lines if len(line) <= LONGEST_TEXT)


def _is_update(value: Value) -> bool:
    return value.origin.phase in OPTIMIZER_PHASES


def _optimizer(values: Sequence[Value]) -> str:
    origin: Any = values[-1].origin
    return str(origin.op)
