"""The laws, held against every row of the table: a row that is added is tested by being there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from tinygrad_fc.testing import check_op
from tinygrad_fc.testing.rows import rows

if TYPE_CHECKING:
    from tinygrad_fc import Op


@pytest.mark.parametrize("op", rows(), ids=lambda op: op.name)
def test_a_row_keeps_all_laws(op: Op) -> None:
    check_op(op, max_examples=settings().max_examples // 4)
