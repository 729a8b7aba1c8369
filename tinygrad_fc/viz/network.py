"""The network that a step trains: its layers, output, gradients, and symbols of its values.

Values are given by their numbers in the program's JavaScript.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tinygrad_fc.compiler.ir import Value
    from tinygrad_fc.viz.lesson import Lesson

__all__ = ["gradients", "layers", "output", "symbols", "threshold"]

SYMBOLS = {"lr": "η", "x": "x", "y": "ŷ"}  # as in the derivation: ŷ is the target, y the output
STATE_SYMBOLS = {"momentum_buffer": "m", "exp_avg": "m", "exp_avg_sq": "v", "square_avg": "v"}
LAYER_SYMBOLS = {"mean": "μ", "std": "\N{GREEK SMALL LETTER SIGMA}", "normalized": "x̂", "keep": "m"}
"""Symbols of inputs, of the state of optimizers, and of what layers compute on the way."""
THRESHOLDS = {
    "cross_entropy": 0.0,
    "nll_loss": 0.0,
    "binary_cross_entropy": 0.5,
    "binary_cross_entropy_with_logits": 0.0,
}
"""Losses of classifiers, and from where on a single output means class 1."""


def layers(lesson: Lesson) -> list[dict[str, Any]]:
    """Return the linear calls: numbers of what they read and compute, and of its gradients.

    `output` is what the next layer reads, or the loss: a value after all ops of the layer.
    """
    calls = [values for origin, values in lesson.forward if origin.op == "linear"]
    reads = [list(lesson.reads(values)) for values in calls]
    results = [*(values[0] for values in reads[1:]), output(lesson)][: len(calls)]
    cotangents = {id(result): key for key, result in lesson.cotangent_of.items()}
    found = []
    for values, (x, *rest), result in zip(calls, reads, results, strict=True):
        weight, bias, *_ = (*rest, None, None)
        if all(v is not None and len(v.shape or ()) == 2 for v in (x, weight, result)):
            named = {"input": x, "weight": weight, "bias": bias, "output": result}
            numbers = {name: v and lesson.numbers[id(v)] for name, v in named.items()}
            numbers["sums"] = lesson.numbers[id(values[-1])]
            found.append(numbers | {"d": lesson.numbers.get(cotangents.get(id(values[-1]), 0))})
    return found


def output(lesson: Lesson) -> Value | None:
    """Return the model's output: the value through which the input meets the target.

    Of several values that the loss reads beside the target, the one that all come from.
    """
    needs = {
        id(values[-1]): [v for r in lesson.reads(values) for v in lesson.behind(r)]
        for _, values in lesson.forward
    }
    place = {key: k for k, key in enumerate(needs)}
    reached: list[set[int]] = []
    for number in (0, 1):
        inputs = (v for v in lesson.program.inputs if v.source.kind == "argument")
        ids = {id(v) for v in inputs if v.source.subject == number}
        for key, read in needs.items():
            if not ids.isdisjoint(map(id, read)):
                ids.add(key)
        reached.append(ids)
    from_x, from_y = reached
    meeting = {id(v): v for key in needs if key in from_y for v in needs[key]}
    meeting = {key: v for key, v in meeting.items() if key in from_x - from_y}
    while len(meeting) > 1 and all(key in place for key in meeting):
        latest = max(meeting, key=lambda key: place[key])
        meeting |= {id(v): v for v in needs[latest] if id(v) in from_x}
        del meeting[latest]
    if not meeting:
        last = lesson.reads(lesson.forward[-1][1]) if lesson.forward else iter(())
        return next((v for v in last if len(v.shape or ()) == 2), None)
    return next(iter(meeting.values())) if len(meeting) == 1 else None


def threshold(lesson: Lesson) -> float | None:
    """Return from where on a single output means class 1; None without a classifier's loss."""
    kinds = [THRESHOLDS[o.op] for o, _ in lesson.forward if o.op in THRESHOLDS]
    return kinds[-1] if kinds else None


def gradients(lesson: Lesson) -> dict[int, int]:
    """Return the number of the gradient of each parameter, by the parameter's number."""
    inputs = {id(v.source): lesson.numbers[id(v)] for v in lesson.program.inputs}
    pairs = (
        (id(s), lesson.program.outputs[k]) for s, k in lesson.traced.gradients if k is not None
    )
    return {inputs[s]: lesson.numbers[id(v)] for s, v in pairs if s in inputs}


def symbols(lesson: Lesson) -> dict[int, str]:
    """Return the document's symbol of values, such as W^2 or ∂C/∂W^2, by number."""
    labels = {n: lesson.labels[key] for key, n in lesson.numbers.items() if key in lesson.labels}
    by_label = {name: number for number, name in labels.items()}
    found = _forward_symbols(lesson, by_label)
    pairs = {lesson.numbers[id(y)]: lesson.numbers.get(d) for d, y in lesson.cotangent_of.items()}
    found = {g: f"∂C/∂{found.get(k, labels[k])}" for k, g in pairs.items() if k in labels} | found
    found = {g: f"∂C/∂{found[k]}" for k, g in gradients(lesson).items() if k in found} | found
    for name, number in by_label.items():
        match = re.match(rf"(.*)_({'|'.join(STATE_SYMBOLS)})((_\d+)*)$", name)
        read = match and found.get(by_label.get(match[1] + match[3], -1))
        if match and read:
            found[number] = f"{STATE_SYMBOLS[match[2]]}_{read}"
    changes = ((lesson.numbers[id(a)], lesson.numbers[id(b)]) for a, b in lesson.program.changes)
    found |= {new: f"{found[old]}\N{PRIME}" for old, new in changes if old in found}
    return {number: text for number, text in found.items() if number is not None}


def _forward_symbols(lesson: Lesson, by_label: dict[str, int]) -> dict[Any, str]:
    """Return the symbols of inputs, of what layers compute, and of d, by number."""
    found: dict[Any, str] = {}
    for origin, values in lesson.forward:
        if origin.op == "affine":
            _, *scales = lesson.reads(values)
            found |= {lesson.numbers[id(v)]: "γβ"[k] for k, v in enumerate(scales)}
    letters = {"output": "y", "weight": "W", "bias": "b", "sums": "z", "d": "d"}
    for k, layer in enumerate(layers(lesson), 1):
        # The layer may end in an op that is no activation.
        ends = by_label.get(f"y{k}", layer["output"])
        found |= {(layer | {"output": ends})[name]: f"{s}^{k}" for name, s in letters.items()}
    for name, number in by_label.items():
        word = re.sub(r"(_\d+)+$", "", name)
        if word in LAYER_SYMBOLS:
            found[number] = LAYER_SYMBOLS[word]
    return found | {by_label[name]: text for name, text in SYMBOLS.items() if name in by_label}
