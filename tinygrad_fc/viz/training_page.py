"""The page: one HTML file that shows a compiled training step, and trains in the browser.

A step of the page is one call of an op, of a vjp rule, or the update of one parameter, as the
compiler recorded it. The program in JavaScript computes all numbers from the inputs.
"""

from __future__ import annotations

import json
import math
import re
from base64 import b64encode
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.compiler.compiled import Compiled
from tinygrad_fc.errors import ShapeError
from tinygrad_fc.graph import Node
from tinygrad_fc.viz.draw import svg
from tinygrad_fc.viz.graph import shape_text
from tinygrad_fc.viz.layout import Box, Layout, arrange
from tinygrad_fc.viz.lesson import Lesson

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike

    from tinygrad_fc.compiler.ir import Program

__all__ = ["Page", "page"]

MOST_WIDTHS = 8
MOST_NUMBERS = 50_000


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
    file needs no network: graph,
    numbers, formulas and program stand in it, and it trains the network in the browser. Numbers
    are recorded ones where an operation has no form in JavaScript, which the page says. Raises
    `TypeError` for what is not compiled, and `ShapeError` where no program has these shapes or
    parameters and batch have more than 50,000 numbers, which a browser trains too slowly.
    """
    if not isinstance(step, Compiled):
        raise TypeError(
            f"page takes a function compiled by tinygrad_fc.compile, got {type(step).__name__}"
        )
    arguments = [np.asarray(a._array if isinstance(a, Node) else a) for a in (x, y)]
    program = _program(step, arguments)
    size = sum(v.size for v in program.inputs if v.shape)
    if size > MOST_NUMBERS:
        raise ShapeError(
            f"the page of {step.__name__} would hold {size:,} numbers of parameters, optimizer and "
            f"batch; at most {MOST_NUMBERS:,} are shown. Pass a smaller batch or train a smaller "
            "network."
        )
    lesson = Lesson(program, arguments)
    Path(path).write_text(_html(lesson), encoding="utf-8")
    return Page(Path(path))


def _program(step: Compiled[Any, Any], arguments: Sequence[Any]) -> Program:
    shapes = [a.shape for a in arguments]
    for program in step.programs:
        inputs = [v for v in program.inputs if v.source.kind == "argument"]
        if all(v.shape == shapes[v.source.subject] for v in inputs):
            return program
    raise ShapeError(
        f"{step.__name__} has no program for shapes {shapes}. Call it once with this batch."
    )


# The file


def _layout(lesson: Lesson) -> Layout:
    boxes, routes = [], {}
    updated = {id(old) for old, _ in lesson.program.changes}
    for number, values in enumerate(lesson.boxes):
        origin: Any = values[-1].origin
        rows = []
        read = {id(v): v for r in lesson.reads(values) for v in lesson.behind(r)}
        for v in read.values():
            source = lesson.box_of.get(id(v))
            if source is not None:
                routes[source, number] = list[tuple[float, float]]()
            elif v.shape is not None:
                mark = "◆" if id(v) in updated else "◇"
                label = f"{mark} {lesson.labels.get(id(v), 'data')}"
                rows.append((label, shape_text(v.shape), id(v) in updated))
        layer = lesson.layer_of.get(id(values[-1]))
        where = f"layer {layer}" if layer else str(origin.module or "")
        shape = shape_text(values[-1].shape or ())
        boxes.append(Box(number, origin.op, shape, rows, path=where))
    return arrange(Layout(boxes, routes))


def _data(lesson: Lesson) -> dict[str, Any]:
    program, number = lesson.program, lesson.numbers
    missing = sorted(set(lesson.javascript.missing))
    shown = [*program.inputs, *lesson.javascript.constants]
    shown += program.instructions if missing else []
    rate = next((v for v in program.inputs if lesson.labels.get(id(v)) == "lr"), None)
    loss = next((vs[-1] for _, vs in reversed(lesson.forward) if vs[-1].shape == ()), None)
    output = next((v for v in lesson.reads(lesson.forward[-1][1]) if len(v.shape or ()) == 2), None)
    arguments = {v.source.subject: v for v in program.inputs if v.source.kind == "argument"}
    updated = {id(old) for old, _ in program.changes}
    kinds = {number[id(v)]: "parameter" for v in program.inputs if id(v) in updated}
    kinds |= {number[id(vs[-1])]: "cotangent" for o, vs in lesson.calls if o.argument >= 0}
    special = {"loss": loss, "output": output, "rate": rate}
    special |= {"x": arguments.get(0), "y": arguments.get(1)}
    return {
        "values": {
            number[id(v)]: lesson.generators.get(id(v)) or _numbers(lesson.arrays[id(v)])
            for v in shown
        },
        "labels": {
            number[id(v)]: lesson.labels.get(id(v), "value")
            for v in (*program.inputs, *program.instructions)
        },
        "kinds": kinds,
        "changes": [(number[id(old)], number[id(new)]) for old, new in program.changes],
        "steps": lesson.steps(),
        "missing": missing,
    } | {name: None if v is None else number[id(v)] for name, v in special.items()}


def _title(lesson: Lesson) -> str:
    """Return the widths of the layers, such as 1-8-5-3-1, or the name of the function."""
    layers = [values for origin, values in lesson.forward if origin.op == "linear"]
    if not layers:
        return lesson.program.name
    widths = [next(lesson.reads(layers[0])).shape[-1], *(vs[-1].shape[-1] for vs in layers)]
    if len(widths) > MOST_WIDTHS:
        return f"{widths[0]}-…-{widths[-1]}, {len(layers)} layers"
    return "-".join(map(str, widths))


def _html(lesson: Lesson) -> str:
    """Return the page."""
    formulas = json.loads(_file("viz/formulas.json"))
    parts = {
        "title": escape(_title(lesson)),
        "font": b64encode(_file("viz/math.woff2")).decode(),
        "css": _file("viz/page.css").decode(),
        "graph": svg(_layout(lesson), interactive=True),
        "source": "".join(
            f'<span data-number="{k}">{escape(line) or " "}</span>'
            for k, line in enumerate(lesson.source)
        ),
        "formulas": "".join(
            f'<li data-number="{k}"><span class="number">({k})</span>{math}</li>'
            for k, math in formulas.items()
        ),
        "data": json.dumps(_data(lesson), separators=(",", ":")).replace("</", "<\\/"),
        "runtime": _file("compiler/runtime.js").decode(),
        "program": lesson.javascript.text,
        "script": _file("viz/page.js").decode(),
    }
    template = _file("viz/page.html").decode()
    return re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match[1]], template)


def _file(path: str) -> bytes:
    return files("tinygrad_fc").joinpath(path).read_bytes()


def _numbers(array: Any) -> dict[str, Any]:
    """Return shape and data of an array for JSON, which has NaN and infinities as text alone."""
    flat = np.asarray(array, float).ravel().tolist()
    words = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}
    data = [x if math.isfinite(x) else words[str(x)] for x in flat]
    return {"shape": list(np.shape(array)), "data": data}
