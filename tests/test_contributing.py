"""The code blocks of CONTRIBUTING.md work in a copy of the package, and are as short as promised.

A block that begins with a comment that names a file is appended to that file; docstrings and blocks
of `>>>` are executed afterwards. A section "Add a(n) X" is held to the limits below.
"""

import ast
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# Files and code lines, without docstrings.
LIMITS = {"op": (1, 5), "layer": (1, 10), "activation": (2, 8), "loss": (2, 12)}
LIMITS["optimizer"] = (1, 25)
LIMITS["function to compiled programs"] = (1, 5)
code_lines = runpy.run_path(str(ROOT / "benchmarks/size.py"))["code_lines"]


def sections() -> dict[str, str]:
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    parts = re.split(r"^## Add an? (.*)$|^## .*$", text, flags=re.MULTILINE)
    return {name: body for name, body in zip(parts[1::2], parts[2::2], strict=True) if name}


def blocks(section: str) -> list[tuple[str, str]]:
    """Return the path of a file of the package, and the code to append, of each block."""
    return re.findall(r"^```python\n# (\S+\.py)\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)


def all_blocks() -> list[tuple[str, str]]:
    return [block for section in sections().values() for block in blocks(section)]


@pytest.mark.parametrize("name", LIMITS)
def test_an_addition_is_as_short_as_promised(name: str):
    added = blocks(sections()[name])
    files, lines = LIMITS[name]
    assert 1 <= len({path for path, _ in added}) <= files
    assert sum(code_lines(code) for _, code in added) <= lines


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a copy of the package to which the blocks are added."""
    folder = tmp_path_factory.mktemp("copy")
    skip = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "tinygrad_fc", folder / "tinygrad_fc", ignore=skip)
    shutil.copy(ROOT / "pyproject.toml", folder)
    for path, code in all_blocks():
        file = folder / path
        text = file.read_text("utf-8")
        if code not in text:  # it is there if someone follows CONTRIBUTING.md
            file.write_text(f"{text}\n\n{code}", "utf-8")
    return folder


def run(folder: Path, *command: str) -> None:
    done = subprocess.run(  # noqa: S603  of this repository
        [sys.executable, "-W", "error", "-m", *command],
        check=False,
        capture_output=True,
        text=True,
        cwd=folder,
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr


def test_additions_work_in_a_copy_of_the_package(folder: Path):
    examples = [">>> import numpy as np\n>>> import tinygrad_fc as tg"]
    for _, code in all_blocks():
        nodes = ast.walk(ast.parse(code))
        definitions = (n for n in nodes if isinstance(n, ast.ClassDef | ast.FunctionDef))
        examples += [ast.get_docstring(node) or "" for node in definitions]
    for section in sections().values():
        examples += re.findall(r"^```pycon\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    script = folder / "examples.py"
    script.write_text("r'''\n" + "\n\n".join(examples) + "\n'''\n")
    run(folder, "doctest", script.name)
    script.unlink()
    assert len(examples) > len(LIMITS)


def test_additions_pass_the_linter(folder: Path):
    pytest.importorskip("ruff")
    paths = {path for path, _ in all_blocks()}
    run(folder, "ruff", "check", "--quiet", "--no-cache", *sorted(paths))
    run(folder, "ruff", "format", "--quiet", "--no-cache", "--check", *sorted(paths))
