"""A formula that is shown computes what the rule computes."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

import tinygrad_fc as tg
from tinygrad_fc.compiler.formula import forward_text, function_text, rule_text
from tinygrad_fc.compiler.instructions import add_at, put
from tinygrad_fc.core.op import Op, registry
from tinygrad_fc.viz.computation_graph import argument_name
from tinygrad_fc.viz.explanation import _required_settings, _sample

from .networks import seeds

OPS = list({id(op): op for op in registry.values() if op.outer is None and op.rules}.values())
BUILTIN = {
    "np": np,
    "put": put,
    "add_at": add_at,
    "nan": np.nan,
    **{op.name: op for op in reversed(OPS)},
}


def names_of(op: Op) -> list[str]:
    return [
        f"x{i}" if " " in n else n for i in range(len(op.domain)) if (n := argument_name(op, i))
    ]


def evaluated(text: str, values: dict[str, Any]) -> Any:
    with np.errstate(all="ignore"):
        return eval(text, {**BUILTIN, **values})  # noqa: S307  that it is source is the point


@settings(max_examples=5)
@given(seed=seeds)
@pytest.mark.parametrize("op", OPS, ids=lambda op: op.name)
def test_rule_texts_are_the_rules(op: Op, seed: int):
    names = names_of(op)
    arguments = [np.asarray(_sample(word, op.domain)) for word in op.domain]
    rng = np.random.default_rng(seed)
    arguments = [
        a + rng.uniform(0, 2**-8, a.shape) if a.dtype.kind == "f" else a for a in arguments
    ]
    options = _required_settings(op, arguments)
    values = dict(zip(names, arguments, strict=True))
    for i, word in enumerate(op.domain):
        if word.kind != "float":
            continue
        with np.errstate(all="ignore"):
            try:
                out = np.asarray(op.forward(*arguments, **options))
                g = rng.uniform(1, 2, out.shape)
                expected = op.rules[i](g, out, *arguments, **options)
            except (TypeError, ValueError, IndexError, tg.errors.GraphError):
                continue  # no rule, or settings that fit other shapes
        if not np.isfinite(expected).all():
            continue  # a matrix that has no factor
        text = rule_text(op, i, names, arguments, options)
        values |= {op.name: op, "g": g, "out" if "y" in names else "y": out}
        np.testing.assert_allclose(evaluated(text, values), expected, rtol=1e-9, atol=1e-12)
        if i == 0:
            forward = forward_text(op, names, arguments, options)
            np.testing.assert_allclose(evaluated(forward, values), out, rtol=1e-9, atol=1e-12)


def test_work_in_place_reads_as_a_formula():
    def function(x: Any) -> Any:
        out = np.zeros_like(x)
        np.multiply(x, 2, out=out)
        out += 1
        np.exp(out, out=out)
        out *= x
        return out

    assert function_text(function, {"x": np.array([0.5])}, {}) == "np.exp(x * 2 + 1) * x"


FORMULAS = {
    "x - (x - 1)": lambda x: x - (x - 1),
    "-x ** 2": lambda x: -(x**2),
    "(-x) ** 2": lambda x: (-x) ** 2,
    "2 / (x * -3)": lambda x: 2 / (x * -3),
    "(x > 1) & (x < 3)": lambda x: (x > 1) & (x < 3),
    "~(x > 1)": lambda x: ~(x > 1),
    "(x + 1)[..., None, 0:1].sum(axis=-1, keepdims=True)": lambda x: (x + 1)[..., None, 0:1].sum(
        axis=-1, keepdims=True
    ),
    "x.sum(axis=0)": np.add.reduce,
    "np.concatenate([x, x], axis=1).reshape((4, 2))": lambda x: np.concatenate(
        [x, x], axis=1
    ).reshape(-1, 2),
    "np.absolute(x.T @ x) + x": lambda x: abs(x.T @ x) + x,
    "np.broadcast_to(x[:1], x.shape)": lambda x: np.broadcast_to(x[:1], x.shape),
    "np.linalg.matrix_power(x, 2)": lambda x: np.linalg.matrix_power(x, 2),
}


@pytest.mark.parametrize("text", FORMULAS)
def test_formulas_are_written_as_by_hand(text: str):
    x = np.array([[0.5, 2.0], [1.0, 3.0]])
    assert function_text(FORMULAS[text], {"x": x}, {}) == text
    np.testing.assert_allclose(evaluated(text, {"x": x}), FORMULAS[text](x))
