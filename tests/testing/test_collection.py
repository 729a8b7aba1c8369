"""What the kit says of the collection: that the right rules are right, and a part of the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from gradient_collection import RIGHT, TENSORS, WRONG
from gradient_collection.measure import checked

if TYPE_CHECKING:
    from gradient_collection import Case, Function

FIRST = {case.bug: case for case in reversed(WRONG.values())}
FUNCTIONS = [*RIGHT.values(), *list(TENSORS.values())[::16]]


@pytest.mark.parametrize("case", FIRST.values(), ids=lambda case: case.name)
def test_the_kit_finds_the_first_of_each_class(case: Case) -> None:
    """All of them, under several seeds: `python -m tests.gradient_collection`."""
    outcome = checked(case, seed=0)
    assert outcome.failed, outcome.text


@pytest.mark.parametrize("case", FUNCTIONS, ids=lambda case: case.name)
def test_the_kit_spares_right_rules(case: Case | Function) -> None:
    outcome = checked(case, seed=0, max_examples=8)
    assert outcome.kind is None, outcome.text
    assert outcome.compared, outcome.text


def test_the_collection_is_large() -> None:
    assert len(WRONG) >= 341
    assert len(RIGHT) >= 162
