"""The laws, held against every row of the table: a row that is added is tested by being there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from kit import derivative, laws

if TYPE_CHECKING:
    from tinygrad_fc import Op


def _named(rows: list[Op]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("op", rows, ids=lambda op: op.name)


every = _named(laws.rows())
smooth = _named(laws.smooth_rows())


@every
def test_result_is_that_of_the_function(op: Op) -> None:
    laws.check(laws.forward, op)


@smooth
def test_gradient_is_the_slope(op: Op) -> None:
    laws.check(derivative.slopes, op)


@smooth
def test_rule_is_differentiable(op: Op) -> None:
    laws.check(derivative.second_slopes, op, share=5)


@smooth
def test_shape_and_dtype_are_the_arguments(op: Op) -> None:
    laws.check(laws.types, op)


@smooth
def test_float32_stays_and_agrees(op: Op) -> None:
    laws.check(laws.float32, op)


@smooth
def test_nothing_is_changed_or_shared(op: Op) -> None:
    laws.check(laws.purity, op)


@smooth
def test_layout_makes_no_difference(op: Op) -> None:
    laws.check(laws.layout, op)


@smooth
def test_linear_in_the_gradient_of_the_result(op: Op) -> None:
    laws.check(laws.linear, op)


@smooth
def test_branch_not_taken_gives_zero(op: Op) -> None:
    laws.check(laws.zero, op)


@smooth
def test_one_argument_at_a_time(op: Op) -> None:
    laws.check(laws.alone, op)
