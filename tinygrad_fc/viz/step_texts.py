"""Titles, sentences and formulas of steps, computed from the settings of the ops and optimizers."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.compiler.naming import FORMULAS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tinygrad_fc.compiler.ir import Value
    from tinygrad_fc.viz.lesson import Call, Lesson

__all__ = ["BETWEEN_NEURONS", "kind_alone", "optimizer_text", "text_of"]

TEXTS: dict[str, dict[str, Any]] = json.loads(
    files("tinygrad_fc").joinpath("viz/step_texts.json").read_bytes()
)
"""Title, sentence and formula of steps: by op with the argument of its vjp rule, or phase.

`part` is the formula of what one sample adds to the gradient. `{words}` in sentences are facts.
"""
BETWEEN_NEURONS = ("softmax", "log_softmax", "normalized")
"""Ops whose results depend on several neurons."""
NOT_ACTIVATIONS = {"linear", *BETWEEN_NEURONS}
"""Ops of a layer that are no elementwise activation function."""


def text_of(lesson: Lesson, call: Call, layer: int | None) -> dict[str, Any]:
    """Return title, sentence and formulas of a call; "named" without a title of its own."""
    op, argument = call.origin.op, call.origin.argument
    if call.kind not in ("op", "rule"):
        return {"title": call.kind, "named": True, "formulas": ()} | TEXTS[call.kind]
    if call.kind == "op" and call.phase == "backward":
        return {"title": op, "named": True, "formulas": ()} | TEXTS["from gradients"]
    rule = "forward" if argument < 0 else argument
    kind = "activation" if layer and op not in NOT_ACTIVATIONS else op
    texts = TEXTS.get(f"{op} {rule}") or TEXTS.get(f"{kind} {rule}")
    if texts is None:
        title = op if argument < 0 else f"back through {op}"
        texts = {"title": title, "named": argument >= 0} | TEXTS[call.phase]
    cited = call.result.cited if (kind, argument) in FORMULAS else ()
    if argument == 0 and (kind == "linear" or (kind == "mse_loss" and call.origin.result.cited)):
        cited = FORMULAS[kind, 0][:1]  # part of a line that the program cites another one for
    if call.kind == "rule" and lesson.derivatives[call.result][0] != "∂C/∂":
        cited = ()  # which is of the whole derivative
    facts: dict[str, Any] = FACTS[op](lesson, call) if op in FACTS else {}
    more = (texts["formula"],) if "formula" in texts and facts.get("holds", True) else ()
    sentence = str(texts["sentence"]).format_map(facts) if facts else texts["sentence"]
    return texts | {"sentence": sentence, "formulas": (*cited, *more)}


def kind_alone(values: Sequence[Value], phase: str) -> str:
    """Return the kind of a computation that belongs to no op."""
    if phase == "forward":
        return "values"
    is_sum = values[-1].function is np.add or any(v.function is np.add.reduce for v in values)
    return "sum of gradients" if is_sum else "from gradients"


def optimizer_text(
    op: str, kind: str = "", group: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return the texts of an update with the options of `group`, or of other numbers."""
    if group is None:
        return TEXTS[kind] | {"title": f"{op}: {kind}"}
    name = op
    if group.get("momentum") and op == "SGD":
        name = "SGD with Nesterov momentum" if group["nesterov"] else "SGD with momentum"
    texts, changes = TEXTS.get(name, TEXTS["update"]), ("amsgrad", "maximize", "weight_decay")
    is_plain = not any(group.get(key) for key in (*changes, "dampening"))
    formulas = (texts["formula"],) if "formula" in texts and is_plain else ()
    is_apart = group.get("decoupled_weight_decay") or op == "AdamW"
    said = [key for key in changes[: 2 if is_apart else 3] if group.get(key)]
    sentence = "".join(TEXTS[key]["sentence"] for key in said)
    sentence = f"{texts['sentence']}{sentence}".format(**group)
    return texts | {"title": op, "formulas": formulas, "sentence": sentence}


# Facts of losses and norms


def _scale(call: Call) -> float | None:
    """Return the number that the gradient of a loss is, or None where it differs by element."""
    cotangent = call.origin.cotangent
    if cotangent is None or not cotangent.is_constant:
        return None
    numbers = np.unique(cotangent.sample)
    return float(numbers[0]) if len(numbers) == 1 else None


def _number(x: float) -> str:
    return f"{x:.6g}"


def _squared_error(lesson: Lesson, call: Call) -> dict[str, Any]:
    x = lesson.arguments(call)[0]
    samples, count = x.shape[0] if x.shape else 1, int(call.origin.settings["count"] or 0)
    divided = {
        samples: f"and averaged over the {samples} samples",
        1: "and not averaged",
    }.get(count, f"and averaged over all {count} numbers, which are {samples} samples")
    scale = _scale(call)
    what = "samples" if count == samples else "elements"
    over = f", over the number of {what}, {count}" * (count != 1)
    by = "the gradient of this cost" if scale is None else _number(scale)
    return {
        "divided": divided,
        "scaled": f", times {by}" * (scale != 1),
        "over": over,
    }


def _cross_entropy(lesson: Lesson, call: Call) -> dict[str, Any]:
    z, y = lesson.arguments(call)[:2]
    count, is_hard = (call.origin.settings or {}).get("count"), len(y.shape) < len(z.shape)
    samples, scale = z.shape[0], _scale(call)
    number = (count or 1) / (scale or 1)
    whose = "each sample's" if count is None else "the"
    times = "" if scale else f"; times the gradient of {whose} loss"
    reduced = {
        None: "One number per sample: later steps weigh or add them up.",
        1: "All are added up.",
        samples: f"The mean over the {samples} samples is (6).",
    }
    return {
        "reduced": reduced.get(count, f"The sum is over {count}."),
        "class": "of its class" if is_hard else "of each class, times its target, added up",
        "less": "less the one-hot array: 1 at the sample's class, else 0"
        if is_hard
        else "times the sum of the targets of the sample, less the targets",
        "times": times + f"; divided by {_number(number)}" * (number != 1),
        "holds": is_hard and count == samples and scale in (None, 1.0),
    }


def _binary(lesson: Lesson, call: Call) -> dict[str, Any]:
    """Return whether the mean over samples with one output follows."""
    x = lesson.arguments(call)[0]
    scale, is_alone = _scale(call), x.size == x.shape[0] if x.shape else True
    if call.origin.argument < 0:
        readers = [v.origin.op for v in lesson.users[call.result]]
        return {"holds": is_alone and readers[:1] == ["mean"]}
    times = "the gradient of each loss" if scale is None else _number(scale)
    return {"holds": is_alone and scale == 1 / max(x.size, 1), "times": times}


def _normalized(lesson: Lesson, call: Call) -> dict[str, Any]:
    x, settings = lesson.arguments(call)[0], call.origin.settings
    axis = settings["axis"]
    axes = {k % len(x.shape) for k in (axis if isinstance(axis, tuple) else (axis,))}
    is_batch, centered = 0 in axes, settings.get("centered", True)
    what = "each column over the batch" if is_batch else "each sample over its features"
    return {
        "holds": is_batch and centered,
        "what": what,
        "less": "Less the mean, divided by the standard deviation, for mean 0 and variance 1"
        if centered
        else "Divided by the root of the mean square",
    }


FACTS: dict[str, Any] = {
    "mse_loss": _squared_error,
    "cross_entropy": _cross_entropy,
    "binary_cross_entropy": _binary,
    "binary_cross_entropy_with_logits": _binary,
    "normalized": _normalized,
    "affine": lambda lesson, call: {
        "shift": ", plus its bias" * (len(lesson.arguments(call)) > 2),
    },
}
"""What sentences say of an op with its settings; whether its formula `holds`."""
