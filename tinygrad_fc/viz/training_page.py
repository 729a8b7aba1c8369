"""The page: one HTML file that shows a compiled training step, and trains in the browser.

A step of the page is one call of an op, of a vjp rule, or the update of one parameter, as the
compiler recorded it. The program in JavaScript computes all numbers from the inputs.
"""

from __future__ import annotations

import json
import re
from base64 import b64encode
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.compiler.compiled import Compiled
from tinygrad_fc.compiler.instructions import TABLE, rng_call
from tinygrad_fc.compiler.ir import Value
from tinygrad_fc.core.errors import ShapeError
from tinygrad_fc.core.node import array_of
from tinygrad_fc.core.printing import shape_text
from tinygrad_fc.viz.lesson import Lesson
from tinygrad_fc.viz.network import Network, Symbol, network, symbols, threshold
from tinygrad_fc.viz.picture import Box, Layout, svg

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from os import PathLike

    from tinygrad_fc.compiler.trace import Traced
    from tinygrad_fc.viz.lesson import Call

__all__ = ["Page", "page"]

SCRIPTS = (
    *("values", "expression", "work", "text", "arrays", "cell", "network", "path", "plots"),
    *("training", "modes", "lecture", "page"),
)
MOST_WIDTHS = 8
MOST_BYTES = 3_000_000
"""Of parameters, optimizer and batch."""


class Page:
    """A page that was written to `path`, which notebooks show."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __repr__(self) -> str:
        return f"<page {self.path}: open it in a browser>"

    def _repr_html_(self) -> str:
        text = escape(self.path.read_text(encoding="utf-8"))
        style = "width:100%;height:52rem;border:0"
        return f'<iframe title="One training step" srcdoc="{text}" style="{style}"></iframe>'


def page(step: Any, x: Any, y: Any, path: str | PathLike[str] = "backprop.html") -> Page:
    """Write a page that shows each step of the compiled training step `step` for a batch `x`, `y`.

    `step(x, y)` is a function compiled by `tinygrad_fc.compile` that has been called with these
    shapes; it is not called here, and nothing is changed. A notebook shows what is returned. The
    file needs no network: graph, numbers, formulas and program stand in it, each number shows how
    it was computed, and it trains the network in the browser. Numbers are recorded ones where an
    operation has no form in JavaScript, which the page says. Raises `TypeError` for what is not
    compiled or takes more than two arrays, `ShapeError` where no program has these shapes, and
    `ValueError` where parameters, optimizer and batch have more than 3 MB.

    >>> import tempfile
    >>> import tinygrad_fc as tg
    >>> weight = tg.ones(2, 1, requires_grad=True)
    >>> @tg.compile(backend="numpy")
    ... def step(x, y):
    ...     loss = ((x @ weight - y) ** 2).mean()
    ...     loss.backward()
    ...     return loss
    >>> x, y = tg.ones(3, 2), tg.zeros(3, 1)
    >>> step(x, y)
    tensor(4.)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     page(step, x, y, f"{folder}/step.html").path.name
    'step.html'
    """
    if not isinstance(step, Compiled):
        raise TypeError(
            f"page takes a function compiled by tinygrad_fc.compile, got {type(step).__name__}"
        )
    if nested := [a for a in (x, y) if isinstance(a, tuple | list | dict)]:
        raise TypeError(
            "page takes an input and a target, two tensors or arrays, and got a "
            f"{type(nested[0]).__name__}. Join the inputs to one array, which the compiled step "
            "slices."
        )
    arguments = [np.asarray(array_of(a)) for a in (x, y)]
    traced = _traced(step, arguments)
    size = sum(v.size * v.dtype.itemsize for v in traced.program.inputs if v.shape)
    if size > MOST_BYTES:
        raise ValueError(
            f"the page of {step.__name__} would hold {size / 1e6:.1f} MB of parameters, optimizer "
            f"and batch; at most {MOST_BYTES / 1e6:.0f} MB are shown. Pass a smaller batch, train "
            "a smaller network, or use float32."
        )
    lesson = Lesson(traced, arguments)
    Path(path).write_text(_html(lesson), encoding="utf-8")
    return Page(Path(path))


def _traced(step: Compiled[Any, Any], arguments: Sequence[Any]) -> Traced:
    shapes = [a.shape for a in arguments]
    for call in step._calls:
        inputs = [v for v in call.program.inputs if v.source.kind == "argument"]
        count = 1 + max((v.source.subject for v in inputs), default=-1)
        if count > len(shapes):
            raise TypeError(
                f"{step.__name__} takes {count} arguments, and a page shows a step of an input and "
                "a target. Compile a function of two arrays, which reads the others outside."
            )
        if all(v.shape == shapes[v.source.subject] for v in inputs):
            return call.traced
    raise ShapeError(
        f"{step.__name__} has no program for shapes {shapes}. Call it once with this batch."
    )


# The file


def _layout(lesson: Lesson) -> Layout:
    boxes, edges, known = [], [], symbols(lesson)
    updated = {old for old, _ in lesson.program.changes}
    for number, call in enumerate(lesson.boxes):
        rows = []
        for v in lesson.behind(call):
            source = lesson.box_of.get(v)
            if source is not None:
                edges.append((source, number))
            elif v.shape is not None:
                mark, symbol = "◆" if v in updated else "◇", known.get(v)
                shown = symbol.plain if symbol else ""
                names = dict.fromkeys((mark, shown, lesson.labels.get(v, "data")))
                rows.append((" ".join(filter(None, names)), shape_text(v.shape), v in updated))
        layer = lesson.layer_of.get(call.result)
        where = f"layer {layer}" if layer else str(call.origin.module or "")
        shape = shape_text(call.result.shape or ())
        boxes.append(Box(call.origin.op, shape, rows, where))
    return Layout(boxes, list(dict.fromkeys(edges)))


def _data(lesson: Lesson, drawn: Network | None) -> dict[str, Any]:
    """Return what the scripts of the page read; a key is the number of a value in JavaScript.

    `values` are those that the page does not compute, `evaluation` has the results of dropout with
    what they are in evaluation, `missing` the functions that have no form in JavaScript.
    """
    program, numbers, constants = lesson.program, lesson.numbers, lesson.javascript.constants
    missing = sorted({*lesson.javascript.missing})
    shown = [*(lesson.computed if missing else program.inputs), *constants]
    loss = next((c.result for c in reversed(lesson.forward) if c.result.shape == ()), None)
    rules = {c.result: "cotangent" for c in lesson.calls if c.kind == "rule"}
    entries = [entry for entry in TABLE.values() if entry.js]
    by_value: dict[str, dict[Value, Any]] = {
        "values": {v: lesson.generators.get(v) or _encoded(lesson.arrays[v]) for v in shown},
        "labels": {v: lesson.labels.get(v, "value") for v in lesson.computed},
        "constants": {v: lesson.printer.constant(v) for v in constants if v.shape},
        "symbols": symbols(lesson) | ({loss: Symbol("C")} if loss else {}),
        "kinds": dict.fromkeys(lesson.gradients, "parameter") | rules,
        "gradients": lesson.gradients,
        "evaluation": evaluation(lesson),
    }
    return {
        "steps": lesson.steps(),
        **{name: {numbers[v]: x for v, x in of.items()} for name, of in by_value.items()},
        "changes": program.changes,
        "network": drawn and drawn.data(),
        "functions": {e.js: {"sign": e.sign, "rank": e.rank, "cells": e.cells} for e in entries},
        "threshold": threshold(lesson),
        "missing": missing,
        "guards": program.expects,
        "integers": [v for v in program.inputs if v.dtype and v.dtype.kind in "iu"],
        "x": lesson.x,
        "y": lesson.y,
        "has_target": lesson.has_target,
        "output": lesson.output,
        "loss": loss,
        "has_one_cost": loss is not None and _is_of_one_cost(lesson, loss),
        "rates": [v for v in program.inputs if v.source.key == ("lr",)],
    }


def _is_of_one_cost(lesson: Lesson, loss: Value) -> bool:
    """Return whether all gradients are those of `loss`, which no update before it changes."""
    needed, rules = lesson.ancestors([loss]), (c for c in lesson.calls if c.kind == "rule")
    return needed.isdisjoint(lesson.updates) and all(c.origin.result in needed for c in rules)


def _html(lesson: Lesson) -> str:
    """Return the HTML of the page; in its data, values are their numbers."""

    def plain(x: Any) -> Any:
        return lesson.numbers[x] if isinstance(x, Value) else vars(x)

    drawn = network(lesson)
    data = _data(lesson, drawn)
    linked = {line for step in data["steps"] for line in step["lines"]}
    is_trained = not lesson.gradients.keys().isdisjoint(old for old, _ in data["changes"])
    notice = "" if is_trained else "This step updates no parameter: there is nothing to train."
    if data["missing"]:
        names = ", ".join(data["missing"])
        notice = f"This page shows recorded numbers: {names} cannot run here."
    scripts = [_file(f"viz/scripts/{name}.js").decode() for name in SCRIPTS]
    parts = {
        "title": escape(drawn.title(MOST_WIDTHS) if drawn else lesson.program.name),
        "font": b64encode(_file("viz/math.woff2")).decode(),
        "css": _short(_file("viz/page.css").decode()),
        "graph": svg(_layout(lesson), interactive=True),
        "source": "".join(
            f'<span data-number="{k}"{" class=step" * (k in linked)}>'
            f"{escape(line.text) or ' '}</span>"
            for k, line in enumerate(lesson.source_lines)
        ),
        "notice": escape(notice),
        "trains": "disabled" if notice else "",
        "formulas": "".join(_formulas(data["steps"], lesson.layer_count)),
        "data": json.dumps(data, separators=(",", ":"), default=plain).replace("</", "<\\/"),
        "tours": _file("viz/tours.json").decode().replace("\n", ""),
        "runtime": _short(_file("compiler/runtime.js").decode()),
        "program": lesson.javascript.text.replace(";\n", "; yield;\n"),
        "script": _short("".join(scripts)),
    }
    template = _file("viz/page.html").decode()
    return re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match[1]], template)


def _formulas(steps: Sequence[Any], layer_count: int) -> Iterator[str]:
    """Yield the formulas of the document that hold for a network, and those of its other ops."""
    cited = {str(k) for step in steps for k in step["formulas"]}
    omitted = set() if "8" in cited else {5, 8}  # of a squared error
    omitted |= set() if "13" in cited else {7, 11, 13, 15}  # of an output neuron by itself
    of_a_chain = {4, 18, *range(20, 24), *range(25, 37)}
    omitted |= set() if "36" in cited or layer_count == 1 else of_a_chain
    for key, (formula, sentence) in json.loads(_file("viz/formulas.json")).items():
        if key in cited or (key.isdigit() and int(key) not in omitted):
            number, kind = (f"({key})", "") if key.isdigit() else (key, ' class="named"')
            yield (
                f'<li data-number="{key}"{kind}><span class="number">{number}</span>{formula}'
                f"<p>{sentence}</p></li>"
            )


def _short(script: str) -> str:
    """Return a script without indentation and lines of comments."""
    lines = (line.strip() for line in script.splitlines())
    return "\n".join(line for line in lines if line and not line.startswith("//")) + "\n"


def _file(path: str) -> bytes:
    return files("tinygrad_fc").joinpath(path).read_bytes()


def _encoded(array: Any) -> dict[str, Any]:
    """Return shape and data of an array for JSON: base64 of floats."""
    kind = "float32" if np.asarray(array).dtype == np.float32 else "float64"
    floats = np.asarray(array, np.dtype(kind).newbyteorder("<"))
    text = b64encode(floats.tobytes()).decode()
    return {"shape": list(np.shape(array)), "type": kind, "numbers": text}


# What the model computes in evaluation, where that differs from a training step


def evaluation(lesson: Lesson) -> dict[Value, list[Any]]:
    """Return, for results that differ in evaluation, the value that they are there.

    Of batch norm: what it normalises, the running mean, the running variance, and eps.
    """
    values: dict[Value, list[Any]] = {}
    for call in lesson.forward:
        source = _before_dropout(lesson, call)
        if source is not None:
            values[call.result] = [source]
        elif call.origin.op == "normalized" and (read := _running_statistics(lesson, call)):
            values[call.result] = [*read, call.origin.settings["eps"]]
    return values


def _before_dropout(lesson: Lesson, call: Call) -> Value | None:
    """Return what a dropout reads; alpha dropout chooses x a + b by a random mask."""
    read = lesson.arguments(call)
    if call.origin.op == "dropout":
        return read[0]
    inner = {c.result: c for c in lesson.forward}
    drawn = {v for v in lesson.program.instructions if v.function is rng_call}
    if call.origin.op != "where" or drawn.isdisjoint(lesson.ancestors(read[:1])):
        return None
    source = read[-1]
    for op in ("add", "multiply"):
        before = inner.get(source)
        own = lesson.arguments(before) if before and before.origin.op == op else []
        if len(own) != 1:
            return None
        source = own[0]
    return source


def _running_statistics(lesson: Lesson, call: Call) -> list[Value]:
    """Return what a batch norm reads, and its running mean and variance, if it has them."""
    centered = call.result.args[0]
    if centered.function is not np.subtract:
        return []
    mean = centered.args[1]
    first: dict[bool, Value] = {}  # of the mean, and of the variance, which needs differences
    for old, new in sorted(lesson.program.changes, key=lambda pair: lesson.position[pair[1]]):
        needed = lesson.ancestors([new])
        if mean in needed and not old.of and old not in lesson.gradients:
            first.setdefault(centered in needed, old)
    return [centered.args[0], first[False], first[True]] if len(first) == 2 else []
