"""The page that teaches gradient testing: what it prints, and that the bug it finds is one."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

from tinygrad_fc.op import table

PAGE = Path(__file__).parents[1] / "examples" / "gradient_testing.py"


@pytest.fixture
def _restored() -> Iterator[None]:
    before = dict(table)
    yield
    table.clear()
    table.update(before)


@pytest.mark.usefixtures("_restored")
def test_the_page_runs_and_finds_its_bug(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(PAGE), run_name="__main__")
    printed = capsys.readouterr().out
    assert "in softplus, argument 0 (x), entry (" in printed
    assert "reproduce: check_vjp(softplus, textbook, np.array(" in printed
    assert printed.count(" slopes compared") >= 3


def test_its_bug_is_made_small() -> None:
    page = runpy.run_path(str(PAGE))
    found = page["find_a_bug"]()
    (x,) = found.arrays
    assert x.size <= 3
    assert found.kind in {"nonfinite", "float32"}
    assert abs(x).max() > 88  # the largest that float32 takes
