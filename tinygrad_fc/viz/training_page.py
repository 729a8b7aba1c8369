"""The page: one HTML file that shows a compiled training step, and trains in the browser.

A step of the page is one call of an op, of a vjp rule, or the update of one parameter, as the
compiler recorded it. The program in JavaScript computes all numbers from the inputs.
"""

from __future__ import annotations

import copy
import json
import math
import re
from base64 import b64encode
from collections import defaultdict
from functools import partial
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.compiler.compiled import Compiled
from tinygrad_fc.compiler.ir import Origin, Program, Value, mapped, operands
from tinygrad_fc.compiler.javascript import print_program
from tinygrad_fc.compiler.naming import op_calls
from tinygrad_fc.compiler.numpy_printer import Printer
from tinygrad_fc.errors import ShapeError
from tinygrad_fc.graph import Node
from tinygrad_fc.viz.draw import svg
from tinygrad_fc.viz.expression import Expression
from tinygrad_fc.viz.graph import shape_text
from tinygrad_fc.viz.layout import Box, Layout, arrange

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from os import PathLike

    from tinygrad_fc.compiler.ir import Source

__all__ = ["page"]

MOST_READ = 4
LONGEST_TEXT = 120
MOST_WIDTHS = 8

# Of an op and the argument of its vjp rule (-1: the forward call): title, sentence, relation of the
# cells of arguments and result, and the document's formula where the compiler cites none.
LESSONS: dict[tuple[str, int], tuple[str, str, str, tuple[int, ...]]] = {
    ("linear", -1): (
        "weighted sums",
        "Each neuron adds up its inputs, each times its weight, and its bias.",
        "linear",
        (3,),
    ),
    ("activation", -1): ("activation", "The activation function, for each number alone.", "", (2,)),
    ("mse_loss", -1): (
        "cost of the batch",
        "The squared distances, summed over the outputs, and the mean over the samples.",
        "",
        (5, 6),
    ),
    ("mse_loss", 0): (
        "derivative of the cost",
        "How the cost moves with each output: the backward pass begins here.",
        "",
        (8,),
    ),
    ("activation", 0): (
        "back through the activation",
        "What arrives, times the slope of the activation.",
        "",
        (),
    ),
    ("linear", 0): (
        "back to what came in",
        "A neuron below acts on all neurons above: its derivative is a sum over them.",
        "back",
        (33,),
    ),
    ("linear", 1): (
        "gradient of the weights",
        "Each weight: what arrives at its neuron, times what went through it, over all samples.",
        "weights",
        (),
    ),
    ("linear", 2): (
        "gradient of the biases",
        "Each bias: what arrives at its neuron, summed over the samples.",
        "bias",
        (),
    ),
}
ACTIVATIONS = {"sigmoid", "tanh", "relu"}
SENTENCES = {
    "forward": "An operation that the document does not have.",
    "backward": "Its rule: the cotangent of the result in, the gradient of the argument out.",
    "update": "The parameter moves against its gradient.",
}


def page(step: Any, x: Any, y: Any, path: str | PathLike[str] = "backprop.html") -> None:
    """Write a page that shows each step of the compiled training step `step` for a batch `x`, `y`.

    `step(x, y)` is a function compiled by `tinygrad_fc.compile` that has been called with these
    shapes; it is not called here, and nothing is changed. The file needs no network: graph,
    numbers, formulas and program stand in it, and it trains the network in the browser. Numbers
    are recorded ones where an operation has no form in JavaScript, which the page says. Raises
    `TypeError` for what is not compiled, and `ShapeError` where no program has these shapes.
    """
    if not isinstance(step, Compiled):
        raise TypeError(
            f"page takes a function compiled by tinygrad_fc.compile, got {type(step).__name__}"
        )
    arguments = [np.asarray(a._array if isinstance(a, Node) else a) for a in (x, y)]
    lesson = _Lesson(_program(step, arguments), arguments)
    Path(path).write_text(lesson.html(), encoding="utf-8")


def _program(step: Compiled[Any, Any], arguments: Sequence[Any]) -> Program:
    shapes = [a.shape for a in arguments]
    for program in step.programs:
        inputs = [v for v in program.inputs if v.source.kind == "argument"]
        if all(v.shape == shapes[v.source.subject] for v in inputs):
            return program
    raise ShapeError(
        f"{step.__name__} has no program for shapes {shapes}. Call it once with this batch."
    )


def _input_array(source: Source, arguments: Sequence[Any]) -> Any:
    """Return what an input of a program is now."""
    subject = source.subject
    if source.kind == "argument":
        return arguments[subject]
    if source.kind == "tensor":
        return subject._array
    if source.kind == "gradient":
        return subject.subject._grad._array
    if source.kind == "option":
        group, key, item = source.key
        option = subject.param_groups[group][key]
        return option if item is None else option[item]
    return copy.deepcopy(subject.rng) if source.kind == "generator" else subject


class _Lesson:
    """A program with its numbers, and the steps of the page."""

    def __init__(self, program: Program, arguments: Sequence[Any]) -> None:
        self.program = program
        self.javascript = print_program(program)
        self.numbers = self.javascript.numbers
        self.arrays = self._run(arguments)
        self.printer = Printer(program)
        self.source = self.printer.source().text.splitlines()
        self.users: defaultdict[int, list[Value]] = defaultdict(list)
        for value in program.instructions:
            for v in operands(value):
                self.users[id(v)].append(value)
        self.lines = self._lines()
        self.calls = [call for call in op_calls(program) if call[0].phase != "update"]
        self.forward = [call for call in self.calls if call[0].argument < 0]
        self.boxes = self._boxes()
        self.box_of = {id(values[-1]): k for k, values in enumerate(self.boxes)}
        self.layer_of = self._layers()
        self.labels = self._labels()

    # Numbers and names

    def _run(self, arguments: Sequence[Any]) -> dict[int, Any]:
        """Return the array of every value, by id."""
        arrays = {id(v): copy.copy(_input_array(v.source, arguments)) for v in self.program.inputs}

        def array(leaf: Any) -> Any:
            if not isinstance(leaf, Value):
                return leaf
            return leaf.sample if leaf.is_constant else arrays[id(leaf)]

        with np.errstate(all="ignore"):
            for v in self.program.instructions:
                arrays[id(v)] = v.function(*mapped(array, v.args), **mapped(array, v.kwargs))
        return arrays | {id(v): v.sample for v in self.javascript.constants}

    def _labels(self) -> dict[int, str]:
        """Return the name of every value: the program's, or ∂C/∂y of what a rule computes."""
        names = self.program.default_names | self.program.names
        for origin, values in self.calls:
            result = values[-1]
            if origin.argument >= 0 and id(result) not in self.program.names:
                read = self._argument(origin)
                if read is not None:
                    names[id(result)] = f"∂C/∂{names.get(id(read), 'x')}"
        return names

    def _argument(self, origin: Origin) -> Value | None:
        """Return the argument whose gradient a vjp rule computes: what its forward call read."""
        result = self._forward_result(origin)
        call = next((vs for _, vs in self.forward if vs[-1] is result), None)
        read = list(self._reads(call)) if call is not None else []
        return read[origin.argument] if origin.argument < len(read) else None

    def _forward_result(self, origin: Origin) -> Value:
        """Return the result of the forward call that a rule belongs to.

        The rules of a layer fused with its activation both name the result of the activation.
        """
        layer = self.layer_of.get(id(origin.result))
        own = (
            vs[-1]
            for o, vs in self.forward
            if o.op == origin.op and layer and self.layer_of.get(id(vs[-1])) == layer
        )
        result: Value = next(own, origin.result)
        return result

    def _reads(self, values: Sequence[Value]) -> Iterator[Value]:
        """Yield the values that a call reads from outside, each once; no constants."""
        inside = {id(v): v for v in values}
        outside: dict[int, Value] = {}
        for value in values:
            if value.function is np.transpose and len(values) > 2:
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
                needed.update(id(v) for read in self._reads(values) for v in self._behind(read))
                boxes.insert(0, values)
        return boxes

    def _behind(self, value: Value) -> list[Value]:
        """Return the results of forward calls and the inputs that a value was computed from.

        That is the value itself, unless it belongs to no forward call: what two calls share has
        the origin of another one.
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
        """Return the number of the layer, from 1, of each forward call of one, by its result."""
        layers: dict[int, int] = {}
        count = 0
        for origin, values in self.forward:
            if origin.op == "linear":
                count += 1
                layers[id(values[-1])] = count
            elif origin.op in ACTIVATIONS:
                read = next((v for v in self._reads(values) if id(v) in layers), None)
                if read is not None:
                    layers[id(values[-1])] = layers[id(read)]
        return layers

    def _lines(self) -> dict[int, int]:
        """Return the line of the source that computes each value, by its id."""
        lines: dict[int, int] = {}
        at = 0
        for line in self.printer.lines:
            for k in range(at, len(self.source)):
                if line.value is not None and self.source[k].strip().startswith(line.text):
                    lines[id(line.value)], at = k, k + 1
                    break
        for value in reversed(self.program.instructions):  # what is inlined: the line of its user
            known = (lines[id(user)] for user in self.users[id(value)] if id(user) in lines)
            number = lines.get(id(value)) or next(known, None)
            if number is not None:
                lines[id(value)] = number
        return lines

    # Steps

    def steps(self) -> list[dict[str, Any]]:
        """Return the steps: forward calls, vjp rules, updates."""
        steps = [self._call_step(origin, values) for origin, values in self.calls]
        return steps + [self._update_step(old, new) for old, new in self._updates()]

    def _call_step(self, origin: Origin, values: Sequence[Value]) -> dict[str, Any]:
        result = values[-1]
        forward = result if origin.argument < 0 else self._forward_result(origin)
        layer = self.layer_of.get(id(forward))
        kind = "activation" if layer and origin.op in ACTIVATIONS else origin.op
        title, sentence, relation, formulas = LESSONS.get(
            (kind, origin.argument),
            (
                f"{origin.op}{', its rule' * (origin.argument >= 0)}",
                SENTENCES[origin.phase],
                "",
                (),
            ),
        )
        if kind == "linear" and layer is None:
            formulas = ()
        cited = tuple(int(k) for k in re.findall(r"\d+", getattr(result, "formula", "")))
        return {
            "title": f"Layer {layer}: {title}" if layer else title[0].upper() + title[1:],
            "phase": "forward" if origin.argument < 0 else "backward",
            "sentence": sentence,
            "relation": relation,
            "formulas": formulas
            if (kind, origin.argument) == ("mse_loss", 0)
            else cited or formulas,
            "text": self._text(values),
            "lines": [self.lines[id(result)]] if id(result) in self.lines else [],
            "box": self.box_of.get(id(forward)),
            "reads": [self.numbers[id(v)] for v in list(self._reads(values))[:MOST_READ]],
            "writes": self.numbers[id(result)],
        }

    def _updates(self) -> list[tuple[Value, Value]]:
        """Return the changes of parameters, without those of the optimizer's state."""
        read = {id(v) for _, values in self.calls for v in self._reads(values)}
        return [(old, new) for old, new in self.program.changes if id(old) in read]

    def _update_step(self, old: Value, new: Value) -> dict[str, Any]:
        values = [v for v in self._leading_to(new) if v.origin and v.origin.phase == "update"]
        name = self.labels.get(id(old), "parameter")
        optimizer = values[-1].origin.op if values and values[-1].origin else "update"
        box = next(
            (k for k, vs in enumerate(self.boxes) if any(v is old for v in self._reads(vs))),
            None,
        )
        # What only this parameter's update reads has its lines lit; shared numbers have not.
        lines = {self.lines[id(v)] for v in values if id(v) in self.lines and v.shape == new.shape}
        reads = [v for v in self._reads(values) if v.shape == new.shape][:MOST_READ]
        return {
            "title": f"{optimizer}: {name}",
            "phase": "update",
            "sentence": SENTENCES["update"],
            "relation": "",
            "formulas": (),
            "text": self._text(values),
            "lines": sorted(lines),
            "box": box,
            "reads": [self.numbers[id(v)] for v in reads],
            "writes": self.numbers[id(new)],
        }

    def _leading_to(self, new: Value) -> list[Value]:
        """Return the instructions of an update that `new` depends on, in order."""
        needed = {id(new)}
        for value in reversed(self.program.instructions):
            if id(value) in needed and value.origin and value.origin.phase == "update":
                needed.update(id(v) for v in operands(value))
        return [v for v in self.program.instructions if id(v) in needed]

    def _text(self, values: Sequence[Value]) -> str:
        """Return a call as one formula over the names of what it reads."""
        texts: dict[int, Any] = {}

        def traced(leaf: Any) -> Any:
            if not isinstance(leaf, Value):
                return leaf
            if id(leaf) not in texts:
                array = self.arrays[id(leaf)]
                if leaf.is_constant:
                    small = np.size(array) == 1 or not np.ptp(array)
                    texts[id(leaf)] = np.asarray(array).flat[0].item() if small else array
                    if small and np.ndim(array) and np.size(array) > 1:
                        texts[id(leaf)] = Expression("ones", array)
                else:
                    texts[id(leaf)] = Expression(self.labels.get(id(leaf), "x"), array)
            return texts[id(leaf)]

        try:
            for v in values:
                texts[id(v)] = v.function(*mapped(traced, v.args), **mapped(traced, v.kwargs))
        except Exception:  # noqa: BLE001  functions that no expression can stand in for
            return ""
        text = str(texts[id(values[-1])]) if values else ""
        name = self.labels.get(id(values[-1])) if values else None
        return f"{name} = {text}" if name and 0 < len(text) <= LONGEST_TEXT else ""

    # The file

    def _layout(self) -> Layout:
        boxes, routes = [], {}
        updated = {id(old) for old, _ in self.program.changes}
        for number, values in enumerate(self.boxes):
            origin: Any = values[-1].origin
            rows = []
            read = {id(v): v for r in self._reads(values) for v in self._behind(r)}
            for v in read.values():
                source = self._source_box(v)
                if source is not None:
                    routes[source, number] = list[tuple[float, float]]()
                elif v.shape is not None:
                    mark = "◆" if id(v) in updated else "◇"
                    label = f"{mark} {self.labels.get(id(v), 'data')}"
                    rows.append((label, shape_text(v.shape), id(v) in updated))
            layer = self.layer_of.get(id(values[-1]))
            where = f"layer {layer}" if layer else str(origin.module or "")
            shape = shape_text(values[-1].shape or ())
            boxes.append(Box(number, origin.op, shape, rows, path=where))
        return arrange(Layout(boxes, routes))

    def _source_box(self, value: Value) -> int | None:
        """Return the box whose call computes a value."""
        for number, values in enumerate(self.boxes):
            if any(v is value for v in values):
                return number
        return None

    def _data(self) -> dict[str, Any]:
        program, number = self.program, self.numbers
        missing = sorted(set(self.javascript.missing))
        shown = [*program.inputs, *self.javascript.constants]
        shown += program.instructions if missing else []
        shown = [v for v in shown if v.dtype is not None]  # all but random generators
        rate = next((v for v in program.inputs if self.labels.get(id(v)) == "lr"), None)
        loss = next((values[-1] for o, values in self.forward if values[-1].shape == ()), None)
        output = next(
            (v for v in self._reads(self.forward[-1][1]) if len(v.shape or ()) == 2), None
        )
        arguments = {v.source.subject: v for v in program.inputs if v.source.kind == "argument"}
        updated = {id(old) for old, _ in program.changes}
        kinds = {number[id(v)]: "parameter" for v in program.inputs if id(v) in updated}
        for origin, values in self.calls:
            if origin.argument >= 0:
                kinds[number[id(values[-1])]] = "cotangent"
        x, y = arguments.get(0), arguments.get(1)
        return {
            "values": {number[id(v)]: _numbers(self.arrays[id(v)]) for v in shown},
            "labels": {
                number[id(v)]: self.labels.get(id(v), "x")
                for v in (*program.inputs, *program.instructions)
            },
            "kinds": kinds,
            "changes": [(number[id(old)], number[id(new)]) for old, new in program.changes],
            "steps": self.steps(),
            "missing": missing,
            **{
                name: None if v is None else number[id(v)]
                for name, v in (
                    ("loss", loss),
                    ("output", output),
                    ("x", x),
                    ("y", y),
                    ("rate", rate),
                )
            },
        }

    def title(self) -> str:
        """Return the widths of the layers, such as 1-8-5-3-1, or the name of the function."""
        weights = [
            v.shape
            for o, values in self.forward
            if o.op == "linear"
            for v in list(self._reads(values))[1:2]
        ]
        if not weights:
            return self.program.name
        widths = [weights[0][1], *(shape[0] for shape in weights)]
        if len(widths) > MOST_WIDTHS:
            return f"{widths[0]}-…-{widths[-1]}, {len(weights)} layers"
        return "-".join(map(str, widths))

    def html(self) -> str:
        """Return the page."""
        here = files("tinygrad_fc")
        read = partial(_read, here.joinpath("viz"))
        formulas = json.loads(read("formulas.json"))
        parts = {
            "title": escape(self.title()),
            "font": b64encode(here.joinpath("viz/math.woff2").read_bytes()).decode(),
            "css": read("page.css"),
            "graph": svg(self._layout(), interactive=True),
            "source": "".join(
                f'<span data-number="{k}">{escape(line) or " "}</span>'
                for k, line in enumerate(self.source)
            ),
            "formulas": "".join(
                f'<li data-number="{k}"><span class="number">({k})</span>{math}</li>'
                for k, math in formulas.items()
            ),
            "data": json.dumps(self._data(), separators=(",", ":")).replace("</", "<\\/"),
            "runtime": _read(here.joinpath("compiler"), "runtime.js"),
            "program": self.javascript.text,
            "script": read("page.js"),
        }
        template = read("page.html")
        return re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match[1]], template)


def _read(folder: Any, name: str) -> str:
    text: str = folder.joinpath(name).read_text(encoding="utf-8")
    return text


def _numbers(array: Any) -> dict[str, Any]:
    """Return shape and data of an array for JSON; NaN and infinities have no form there."""
    flat = np.asarray(array, float).ravel().tolist()
    data = [x if math.isfinite(x) else None for x in flat]
    return {"shape": list(np.shape(array)), "data": data}
