"""What an op states of itself: which values its rules read, by their signatures."""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from drawing import cotangent, seeds
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_fc as tg
from tinygrad_fc.domain import real
from tinygrad_fc.errors import GraphError
from tinygrad_fc.op import Each, Op
from tinygrad_fc.testing import arrays
from tinygrad_fc.testing.rows import differentiable, rows

RULES = [
    pytest.param(op, i, id=f"{op.name}-{i}")
    for op in rows()
    if type(op) is Op  # the rules of a chain are those of its two ops
    for i in differentiable(op)
]


def corrupted(array: Any) -> Any:
    """Return another array of the same shape and dtype."""
    if array.dtype.kind == "f":
        return np.full_like(array, np.nan)
    return ~array if array.dtype.kind == "b" else (array + 1) % (array.max(initial=0) + 1)


@pytest.mark.parametrize(("op", "i"), RULES)
def test_a_rule_reads_what_its_signature_says(op: Op, i: int) -> None:
    rule: Any = op.rules[i]  # type: ignore[index]
    seen: set[int] = set()
    read: set[int] = set()
    wide = tuple(
        replace(word, low=-np.inf, high=np.inf, without=(), special=(0.0, 1.0, -1.0))
        if word.kind == "float"
        else word
        for word in op.domain
    )

    def gradient(g: Any, out: Any, operands: Any, chosen: Any) -> Any:
        with np.errstate(all="ignore"):
            return np.asarray(rule(g, out, *operands, **chosen))

    @settings(max_examples=60, derandomize=True, database=None)
    @given(st.data(), seeds)
    def law(data: Any, seed: int) -> None:
        # Outside of the domain a rule may read more, where it gives exactly 0.
        drawn = data.draw(arrays(*(data.draw(st.sampled_from([op.domain, wide])))))
        operands = drawn if isinstance(drawn, tuple) else (drawn,)
        chosen = {}
        for name, values in op.settings.items():
            legal = list(values(*operands))
            if not legal:
                return
            chosen[name] = data.draw(st.sampled_from(legal))
        with np.errstate(all="ignore"):
            out = np.asarray(op.forward(*operands, **chosen))
        g = cotangent(out.shape, seed, out.dtype)
        expected = gradient(g, out, operands, chosen)
        values = (out, *operands)
        marked = {id(array) for _, array in op.reads(i, out, operands)}
        for k, array in enumerate(values):
            others = [corrupted(v) if j == k else v for j, v in enumerate(values)]
            if id(array) in marked:
                read.add(k)
                try:
                    other = gradient(g, others[0], others[1:], chosen)
                except (ValueError, IndexError):
                    seen.add(k)
                    continue
                if not np.array_equal(other, expected, equal_nan=True):
                    seen.add(k)
            else:
                other = gradient(g, others[0], others[1:], chosen)
                assert np.array_equal(other, expected, equal_nan=True)

    law()
    if isinstance(op.rules, Each) and read - {0}:  # `*xs` says that it reads some of them
        assert seen & read - {0}
    else:
        assert read == seen


def through(rule: Any) -> tg.Tensor:
    """Return the result of an op with this rule, whose argument was changed in place since."""
    double = tg.op(lambda x: x * x, name="double", domain=(real,), rules=(rule,))
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    out = double(x)
    with tg.no_grad():
        x.add_(1.0)
    return out.sum()


class RuleObject:
    """A rule that is no function."""

    def __call__(self, *args: Any) -> Any:
        g, _, x = args
        return g * 2 * x


@pytest.mark.usefixtures("_table_restored")
@pytest.mark.parametrize("wrapped", [False, True])
def test_a_wrapper_and_a_callable_object_read_everything(wrapped: bool) -> None:
    def plain(g: Any, _out: Any, _x: Any) -> Any:
        return g

    @functools.wraps(plain)
    def wrapper(*args: Any) -> Any:
        return plain(*args) * 2 * args[2]

    rule = wrapper if wrapped else RuleObject()
    with pytest.raises(GraphError, match="double needs its argument 0"):
        through(rule).backward()


@pytest.mark.usefixtures("_table_restored")
def test_a_parameter_with_an_underscore_may_change() -> None:
    through(lambda g, _out, _x: g * 3).backward()
    with pytest.raises(GraphError, match=r"double needs its argument 0 \(x\)"):
        through(lambda g, _out, x: g * 2 * x).backward()
