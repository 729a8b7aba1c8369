"""The blocks of the interop page for PyTorch run, after those of the page itself."""

from __future__ import annotations

import re
from pathlib import Path

import matplotlib as mpl
import pytest

PAGE = Path(__file__).parents[2] / "docs/howto/interop.md"


def test_the_blocks_of_the_interop_page_run() -> None:
    pytest.importorskip("pandas")
    mpl.use("agg")
    names: dict[str, object] = {}
    for block in re.findall(
        r"^```(?:python|\{code-cell\})\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE
    ):
        if "xarray" not in block:
            exec(block, names)  # noqa: S102  the code of the page
