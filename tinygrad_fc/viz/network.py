"""The network that a step trains: columns of neurons, links between them, and symbols of values.

The page has the number of each value in the program's JavaScript in its place.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.compiler.ir import operands
from tinygrad_fc.viz.step_texts import BETWEEN_NEURONS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tinygrad_fc.compiler.ir import Value
    from tinygrad_fc.viz.lesson import Call, Lesson

__all__ = ["Network", "Symbol", "gradients", "network", "outputs", "stored_gradients"]
__all__ += ["symbols", "threshold"]

STATE_SYMBOLS = {"momentum_buffer": "m", "exp_avg": "m", "exp_avg_sq": "v", "square_avg": "v"}
STATE_SYMBOLS |= {"corrected exp_avg": "m̂", "corrected exp_avg_sq": "v̂"}
INPUT_SYMBOLS = {("argument", 0): "x", ("argument", 1): "y", ("option", ("lr",)): "η"}
ARGUMENT_SYMBOLS = {"affine": "γβ", "dropout": "m"}
"""Symbols of the state of optimizers, and of the arguments of ops after the first."""
JOINED = ("add", "sub", "subtract", "multiply", "div", "divide", "matmul")
"""Ops whose results are named h, where the traced code does not name them."""
THRESHOLDS = {
    "cross_entropy": 0.0,
    "nll_loss": 0.0,
    "binary_cross_entropy": 0.5,
    "binary_cross_entropy_with_logits": 0.0,
}
"""Losses of classifiers, and from where on a single output means class 1."""
JOINS = (np.add, np.subtract, np.multiply, np.true_divide, np.maximum, np.minimum)
"""Functions that join two columns neuron by neuron."""
MOST_COLUMNS, MOST_LANES, MOST_REPEATS = 100, 5, 4
"""Columns that are drawn at most, and of these at one depth: of larger networks, the op graph.
Of more uses of a weight in a chain, the middle is folded."""


# Columns and links


@dataclass(eq=False)
class Column:
    """Neurons with one number per sample, or a box for an array of another shape.

    `own` are the values that the neurons stand for: the weighted sums, `output` after elementwise
    ops, and `d`, the gradient of the first of them. `slope` is the gradient of the output, where
    all ops between are functions of one neuron.
    """

    output: Value
    own: list[Value]
    width: int
    title: str
    is_box: bool
    depth: int
    d: Value | None = None
    slope: Value | None = None
    is_elementwise: bool = True


@dataclass(eq=False)
class Link:
    """Between two columns: weights, "same" for neuron to neuron, "all" for any other function.

    One of the kind "folded" stands for several columns. `part` is what a "same" link adds to the
    gradient of its source; it is a skip where columns or weights lie between the two.
    """

    source: Column
    target: Column
    kind: str
    weight: Value | None = None
    is_turned: bool = False
    title: str = ""
    shared: int | None = None
    is_skip: bool = False
    part: Value | None = None


@dataclass(eq=False)
class Network:
    """Columns in the order of execution, and links; `folded` are the columns left out."""

    columns: list[Column]
    links: list[Link]
    folded: int = 0

    def data(self) -> dict[str, Any]:
        """Return columns and links for the page, where links have the numbers of columns."""
        number = {column: k for k, column in enumerate(self.columns)}
        links = [
            vars(link) | {"source": number[link.source], "target": number[link.target]}
            for link in self.links
        ]
        return {"columns": self.columns, "links": links}

    def title(self, most: int) -> str:
        """Return the widths in the order of depth: 1-8-3-1, or 4 → 4 | 4 → matmul → 3."""
        depths: dict[int, list[str]] = {}
        for column in sorted(self.columns, key=lambda c: c.depth):
            text = column.title if column.is_box else str(column.width)
            depths.setdefault(column.depth, []).append(text)
        parts = [" | ".join(texts) for texts in depths.values()]
        if len(parts) > most:
            weights = {link.weight for link in self.links if link.weight is not None}
            return f"{parts[0]}-…-{parts[-1]}, {len(weights)} layers"
        has_weights_alone = all(link.kind == "weights" for link in self.links)
        is_chain = has_weights_alone and len(self.links) + 1 == len(self.columns) == len(parts)
        text = ("-" if is_chain else " → ").join(parts)
        text += ", shared weights" * any(link.shared is not None for link in self.links)
        text += f", {self.folded} layers folded" * bool(self.folded)
        return text + ", skip" * any(link.is_skip for link in self.links)


class _Builder:
    """Adds columns and links, call by call."""

    def __init__(self, lesson: Lesson) -> None:
        self.lesson = lesson
        self.columns: list[Column] = []
        self.links: list[Link] = []
        self.column_of: dict[Value, Column] = {}  # by the value that the column ends in
        self.cotangents = {of: v for v, of in lesson.cotangent_of.items()}
        rules = [(c.origin, c.result) for c in lesson.calls if c.kind == "rule"]
        self.parts = {(o.result, o.differentiated): v for o, v in rules}
        wanted = lesson.ancestors(lesson.outputs)
        behind = [(call, lesson.behind(call)) for call in lesson.boxes if call.result in wanted]
        self.readers = Counter(v for _, values in behind for v in values)
        for call in lesson.calls:  # an op such as a sum passes its cotangent on, without a rule
            of = call.origin.differentiated
            if of is not None and self.readers[of] == 1:
                self.cotangents.setdefault(of, call.result)
        updated = {old for old, _ in lesson.program.changes} | lesson.gradients.keys()
        self.samples = lesson.x.shape[0] if lesson.x is not None and lesson.x.shape else -1
        for call, read in behind:
            for v in read:
                is_data = v.is_input and v not in updated and bool(v.shape)
                if is_data and v.shape[0] == self.samples and v not in self.column_of:
                    self._add(v, lesson.labels[v])
            self._read(call, [v for v in read if v in self.column_of])

    def _is_neurons(self, v: Value) -> bool:
        return bool(v.shape) and v.shape[0] == self.samples and len(v.shape) < 3

    def _add(self, v: Value, title: str, sources: Iterable[Column] = ()) -> Column:
        """Add a column of `v`, which is deeper than all that it is computed from."""
        width = 1 if len(v.shape) < 2 else v.shape[-1]
        depth = 1 + max((column.depth for column in sources), default=-1)
        column = Column(v, [v], width, title, not self._is_neurons(v), depth)
        column.d = column.slope = self.cotangents.get(v)
        self.column_of[v] = column
        self.columns.append(column)
        return column

    def _absorb(self, column: Column, v: Value, op: str) -> None:
        """Let a column end in `v`, the result of `op`."""
        self.column_of[v] = column
        column.output, column.slope = v, self.cotangents.get(v)
        column.own.append(v)
        column.title = column.title if column.is_box else op
        column.is_elementwise &= op not in BETWEEN_NEURONS

    def _merge(self, column: Column, target: Column) -> bool:
        """Let weighted sums that are only added to another column be links to that column."""
        own = [x for x in self.links if x.target is column]
        is_sum = len(column.own) == 1 and [x.kind for x in own] == ["weights"]
        others = {x.source for x in self.links if x.target is target}
        if not is_sum or self.readers[column.output] > 1 or own[0].source in others:
            return False
        own[0].target = target
        target.own += column.own
        return True

    def _parts(self, call: Call, read: list[Value]) -> dict[Column, Value | None]:
        """Return the columns that a call reads, with the part of their gradient."""
        key = call.result
        parts = (self.parts.get((key, v), self.cotangents.get(key)) for v in read)
        return dict(zip((self.column_of[v] for v in read), parts, strict=True))

    def _read(self, call: Call, read: list[Value]) -> None:
        """Add what a call computes from values that are columns."""
        result, op = call.result, call.origin.op
        if not read or result.shape is None or not result.shape:
            return
        others = [v for v in self.lesson.arguments(call) if v not in self.column_of]
        others = [v for v in others if v.is_input or v in self.lesson.updates]
        weight = next((v for v in others if len(v.shape or ()) == 2), None)
        are_neurons = self._is_neurons(result) and all(map(self._is_neurons, read))
        order = {column: (column.depth, k) for k, column in enumerate(self.columns)}
        last = max(read, key=lambda v: order[self.column_of[v]])
        target = self.column_of[last]
        if op in ("linear", "matmul") and len(read) == 1 and weight is not None and are_neurons:
            column = self._add(result, op, [target])
            self.links.append(Link(target, column, "weights", weight, op == "matmul"))
            return
        if op == "transpose" and self.readers[last] == 1 and not self._is_neurons(result):
            self.column_of[result] = target  # a reader of the turned array reads the column
            return
        is_alike = all(v.shape == result.shape for v in read) or (
            len(read) == 1 and read[0].size == result.size
        )
        is_join = len(read) == 1 or any(v.function in JOINS for v in call.values)
        is_same_kind = target.is_box != self._is_neurons(result)
        parts = self._parts(call, read)
        others_lie_below = all(c.depth < target.depth for c in parts if c is not target)
        is_absorbed = is_join and is_same_kind and self.readers[last] == 1
        if is_alike and is_absorbed and others_lie_below:
            self._absorb(target, result, op)
            for source, part in parts.items():
                if source is not target and not (op == "add" and self._merge(source, target)):
                    self.links.append(Link(source, target, "same", title=op, part=part))
            return
        kind = "same" if is_alike and is_join and are_neurons else "all"
        column = self._add(result, op, parts)
        self.links += [Link(k, column, kind, title=op, part=part) for k, part in parts.items()]


def network(lesson: Lesson) -> Network | None:
    """Return the network up to the model's output, or None where a drawing would not be true.

    A column is the result of a linear call with the elementwise ops that follow; residual sums are
    "same" links. Ops of other kinds are boxes, or columns that are linked to all that they read.
    """
    builder = _Builder(lesson)
    links, folded = _folded(builder.links)
    needed = {c for c in builder.columns if not {*lesson.outputs}.isdisjoint(c.own)}
    for link in sorted(links, key=lambda link: link.target.depth, reverse=True):
        if link.target in needed:
            needed.add(link.source)
    columns = [column for column in builder.columns if column in needed]
    links = [link for link in links if link.target in needed]
    for column in sorted(columns, key=lambda column: column.depth):
        depths = [link.source.depth for link in links if link.target is column]
        column.depth = max(depths, default=-1) + 1
    lanes = Counter(column.depth for column in columns)
    uses = Counter(link.weight for link in links if link.weight is not None)
    shared = [weight for weight, count in uses.items() if count > 1]
    products = {(link.source, link.target) for link in links if link.kind == "weights"}
    for link in links:
        link.shared = shared.index(link.weight) if link.weight in shared else None
        span = link.target.depth - link.source.depth
        is_beside = (link.source, link.target) in products
        link.is_skip = link.kind == "same" and (span > 1 or is_beside)
    is_small = len(columns) <= MOST_COLUMNS and max(lanes.values(), default=0) <= MOST_LANES
    return Network(columns, links, folded) if uses and is_small else None


def _folded(links: list[Link]) -> tuple[list[Link], int]:
    """Return the links without the middle of long chains with the same weights, and its length.

    A link of the kind "folded" stands for what lies between. What others read is not folded.
    """
    count = 0
    for weight in dict.fromkeys(link.weight for link in links if link.weight is not None):
        own = [link for link in links if link.weight == weight]
        hidden = {link.target for link in own[1:-2]}
        is_chain = all(a.target == b.source for a, b in pairwise(own))
        leaving = [x for x in links if x.source in hidden and x.weight != weight]
        if len(own) > MOST_REPEATS and is_chain and not leaving:
            title = f"{len(hidden)} layers more, with the same weights"
            links = [x for x in links if hidden.isdisjoint((x.source, x.target))]
            links.append(Link(own[0].target, own[-1].source, "folded", title=title))
            count += len(hidden)
    return links, count


def outputs(lesson: Lesson) -> tuple[list[Value], bool]:
    """Return the model's outputs, through which the input meets the target, and whether it does.

    Of values that come from one without reading a parameter, as losses do, that one. Without a
    target, the last value that reads a parameter.
    """
    needs = {call.result: lesson.behind(call) for call in lesson.forward}
    place = {v: k for k, v in enumerate(needs)}
    arguments = [v for v in lesson.program.inputs if v.source.kind == "argument"]
    from_x, from_y = {*arguments[:1]}, {*arguments[1:]}
    for v, read in needs.items():
        for reached in (from_x, from_y):
            if not reached.isdisjoint(read):
                reached.add(v)
    meeting = {v for key in from_y & needs.keys() for v in needs[key] if v.shape} & from_x - from_y
    ends: list[Value] = []

    def is_of_parameter(read: list[Value]) -> bool:
        return any(v in lesson.gradients or v in lesson.updates for v in read)

    while meeting and len(meeting) + len(ends) > 1:
        latest = max(meeting, key=lambda v: place.get(v, -1))
        meeting.remove(latest)
        read = needs.get(latest, [])
        if not read or is_of_parameter(read):
            ends.append(latest)
        else:
            meeting |= from_x.intersection(read)
    if not meeting and not ends:
        last = (c.result for c in lesson.forward if is_of_parameter(needs[c.result]))
        return [v for v in last if len(v.shape) == 2][-1:], len(arguments) == 1
    return [*meeting, *ends], True


def threshold(lesson: Lesson) -> float | None:
    """Return from where on a single output means class 1; None without a classifier's loss of y."""
    for call in reversed(lesson.forward):
        if call.origin.op in THRESHOLDS and lesson.y is not None:
            is_class = lesson.y.dtype.kind in "iu" or lesson.y in lesson.arguments(call)
            return THRESHOLDS[call.origin.op] if is_class else None
    return None


def stored_gradients(lesson: Lesson) -> dict[Value, Value]:
    """Return what the `.grad` of each parameter is after the step."""
    inputs = {v.source: v for v in lesson.program.inputs}
    stored = [(s, k) for s, k in lesson.traced.gradients if k is not None and s in inputs]
    return {inputs[s]: lesson.program.outputs[k] for s, k in stored}


def gradients(lesson: Lesson) -> dict[Value, Value]:
    """Return the derivative of C by each parameter.

    It is the last that the backward pass computes, before clipping changes it.
    """
    last, of = stored_gradients(lesson), dict["Value", "Value"]()
    for call in lesson.calls:
        result = call.result
        if call.kind == "rule":
            of[result] = call.origin.differentiated
        elif call.kind == "sum of gradients":
            parts = [v for x in call.values for v in operands(x) if v in of]
            of |= {result: of[parts[-1]]} if parts else {}
        parameter = of.get(result)
        if parameter in last and parameter.shape == result.shape:
            last[parameter] = result
    return last


# Symbols


@dataclass(eq=False)
class Symbol:
    """The document's symbol of a value: ∂C/∂W of layer 2 has a front, a letter and a layer.

    `plain` is the symbol as text, such as W⁽²⁾.
    """

    letter: str
    layer: int | None = None
    low: str = ""
    front: str = ""
    prime: str = ""
    plain: str = field(init=False)

    def __post_init__(self) -> None:
        raised = str(self.layer or "").translate(str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹"))
        low = f"_{self.low}" * bool(self.low)
        raised = f"⁽{raised}⁾" * bool(raised)
        self.plain = f"{self.front}{self.letter}{low}{raised}{self.prime}"


def symbols(lesson: Lesson) -> dict[Value, Symbol]:
    """Return the document's symbols of values; ŷ is the output, and y the target."""
    known = _forward_symbols(lesson)
    if lesson.output and known.get(lesson.output, Symbol("y")).letter == "y":
        known[lesson.output] = Symbol("ŷ")
    for v, (front, of) in lesson.derivatives.items():
        if of in known or v in lesson.cotangent_of:
            symbol = known.get(of, Symbol(lesson.labels.get(of, "y")))
            known.setdefault(v, replace(symbol, front=front))
    return known | _optimizer_symbols(lesson, known)


def _optimizer_symbols(lesson: Lesson, known: dict[Value, Symbol]) -> dict[Value, Symbol]:
    """Return the symbols of averages, of the step's number, and of new values."""
    states = [v for v in lesson.computed if v.of in known and v.role in STATE_SYMBOLS]
    of_state = {v: (known[v.of], STATE_SYMBOLS[v.role]) for v in states if v.of}
    own = {v: replace(of, letter=x, low=of.letter) for v, (of, x) in of_state.items()}
    for old, new in lesson.program.changes:
        if old.role == "step" and new.function is np.full:
            own[new.args[1]] = Symbol("t")
        of = own.get(old) or known.get(old)
        if of and new not in own and new not in known:
            own[new] = replace(of, prime="\N{PRIME}")
    return own


def _forward_symbols(lesson: Lesson) -> dict[Value, Symbol]:
    """Return the symbols of inputs, of what layers compute, and of d."""
    known: dict[Value, Symbol] = {}

    def add(v: Value, letter: str, layer: int | None = None, low: str = "") -> None:
        if not v.is_constant:
            known.setdefault(v, Symbol(letter, layer, low))

    for v in lesson.program.inputs:
        letter = INPUT_SYMBOLS.get((v.source.kind, v.source.key or v.source.subject))
        if letter:
            add(v, "x" if v is lesson.x else letter)
    for v in lesson.program.instructions:
        if v.layer and (v.role == "d" or v in lesson.layer_of):
            add(v, v.role, v.layer)
    for call in lesson.forward:
        op, result = call.origin.op, call.result
        layer = result.layer if op == "linear" else None
        for v, letter in _of_op(op, result, lesson.arguments(call)):
            add(v, letter, layer)
        if op in JOINED and result.shape and not result.variable:
            add(result, "h", low=str(sum(symbol.letter == "h" for symbol in known.values()) + 1))
    return known


def _of_op(op: str, result: Value, read: list[Value]) -> Iterator[tuple[Value, str]]:
    """Yield what an op reads and computes with its letters."""
    yield from zip(read[1:], ARGUMENT_SYMBOLS.get(op, ()), strict=False)
    if op == "linear":  # whose first argument may be a constant
        parameters = (v for v in read if v.is_input and v.source.kind != "argument")
        yield from ((v, "Wb"[len(v.shape) < 2]) for v in parameters)
    if op == "normalized":
        yield result, "x̂"
    if op == "normalized" and result.function is np.true_divide:
        centered, std = result.args
        yield std, "\N{GREEK SMALL LETTER SIGMA}"
        if centered.function is np.subtract:
            yield centered.args[1], "μ"
