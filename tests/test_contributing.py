"""The code blocks of CONTRIBUTING.md work in a copy of the package, and are as short as promised.

A block that begins with a comment that names a file is appended to that file; a block of `>>>` is
executed afterwards. A section "Add a(n) X" is held to the limits below.
"""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
# Files and code lines, without docstrings.
LIMITS = {"op": (1, 5), "activation": (2, 8), "loss": (2, 12), "optimizer": (1, 25)}


class Block(NamedTuple):
    """Code to append to a file of the package."""

    path: str
    code: str


def sections() -> dict[str, str]:
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    parts = re.split(r"^## Add an? (.*)$|^## .*$", text, flags=re.MULTILINE)
    return {name: body for name, body in zip(parts[1::2], parts[2::2], strict=True) if name}


def blocks(section: str) -> list[Block]:
    code = re.findall(r"^```python\n# (\S+\.py)\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    return [Block(path, text) for path, text in code]


def code_lines(code: str) -> int:
    """Return the number of lines without blanks, comments and docstrings."""
    tree = ast.parse(code)
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            first = node.body[0]
            lines = code.splitlines()
            code = "\n".join(
                "" if first.lineno <= i <= (first.end_lineno or 0) else line
                for i, line in enumerate(lines, 1)
            )
    return sum(
        bool(line.strip()) and not line.strip().startswith("#") for line in code.splitlines()
    )


@pytest.mark.parametrize("name", LIMITS)
def test_an_addition_is_as_short_as_promised(name: str):
    added = blocks(sections()[name])
    files, lines = LIMITS[name]
    assert 1 <= len({block.path for block in added}) <= files
    assert sum(code_lines(block.code) for block in added) <= lines


def test_additions_work_in_a_copy_of_the_package(tmp_path: Path):
    skip = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "tinygrad_fc", tmp_path / "tinygrad_fc", ignore=skip)
    examples = []
    for section in sections().values():
        for block in blocks(section):
            with (tmp_path / block.path).open("a", encoding="utf-8") as file:
                file.write(f"\n\n{block.code}")
        examples += re.findall(r"^```pycon\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    script = tmp_path / "examples.py"
    lines = ["import numpy as np", "import tinygrad_fc as tg"]
    imports = "\n".join(f">>> {line}" for line in lines)
    script.write_text("r'''\n" + "\n".join([imports, *examples]) + "'''\n")
    done = subprocess.run(  # noqa: S603  of this repository
        [sys.executable, "-W", "error", "-m", "doctest", str(script)],
        check=False,
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr
    assert len(examples) >= len(LIMITS)
