"""Compiled code is kept between processes, and nothing goes wrong where it can't be."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

pytest.importorskip("numba")
from kit.programs import Maker

from tinygrad_fc.compiler import cache, native, native_compile

if TYPE_CHECKING:
    from collections.abc import Iterator

SCRIPT = """
import sys
import numpy as np
sys.path.insert(0, {tests!r})
from kit.programs import Maker
from tinygrad_fc.compiler import native
make = Maker("kept")
make.result(make.ufunc(np.exp, make.input(np.ones(3))))
kernel = native.build(make.program)
stats = kernel.__globals__["native"].stats
print(sum(stats.cache_hits.values()), sum(stats.cache_misses.values()), kernel(np.zeros(3))[0])
"""


def doubled(name: str = "kept", by: float = 2.0) -> Any:
    make = Maker(name)
    make.result(make.ufunc(np.multiply, make.input(np.ones(3)), make.constant(by)))
    return make.program


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv(cache.VARIABLE, str(tmp_path / "made"))
    return tmp_path / "made"


def started(folder: str) -> subprocess.Popen[str]:
    tests = Path(__file__).resolve().parent
    path = os.pathsep.join([str(tests.parent), os.environ.get("PYTHONPATH", "")])
    return subprocess.Popen(  # noqa: S603  our own script
        [sys.executable, "-c", SCRIPT.format(tests=str(tests))],
        env={**os.environ, cache.VARIABLE: folder, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process: subprocess.Popen[str]) -> str:
    out, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    return out.strip()


def test_the_second_process_compiles_nothing(folder: Path):
    assert ended(started(str(folder))) == "0 1 [1. 1. 1.]"
    files = {file: file.stat().st_mtime_ns for file in folder.rglob("*.nb?")}
    assert files
    assert ended(started(str(folder))) == "1 0 [1. 1. 1.]"
    assert {file: file.stat().st_mtime_ns for file in folder.rglob("*.nb?")} == files


def test_processes_that_compile_at_the_same_time(folder: Path):
    for made in [ended(p) for p in [started(str(folder)) for _ in range(3)]]:
        assert made.endswith("[1. 1. 1.]")
    assert len(list(folder.glob("*.py"))) == 1


def test_a_damaged_file_is_written_anew(folder: Path):
    native.build(doubled())
    (file,) = folder.glob("*.py")
    source = file.read_text()
    file.write_text(source[: len(source) // 2])
    assert native.build(doubled())(np.ones(3))[0].tolist() == [2.0, 2.0, 2.0]
    assert file.read_text() == source


def test_damaged_machine_code_is_compiled_anew(folder: Path):
    native.build(doubled(by=3.0))
    for file in folder.rglob("*.nb?"):
        file.write_bytes(b"")
    assert native.build(doubled(by=3.0))(np.ones(3))[0].tolist() == [3.0, 3.0, 3.0]


@pytest.mark.parametrize("where", ["", "a file/below", "a file"])
def test_without_a_folder_all_works(where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "a file").write_text("")
    monkeypatch.setenv(cache.VARIABLE, where and str(tmp_path / where))
    assert cache.folder() is None
    assert native.build(doubled(by=4.0))(np.ones(3))[0].tolist() == [4.0, 4.0, 4.0]
    assert [file.name for file in tmp_path.iterdir()] == ["a file"]


def test_a_folder_of_somebody_else_is_not_used(folder: Path, monkeypatch: pytest.MonkeyPatch):
    if not hasattr(os, "getuid"):
        pytest.skip("no owners here")
    assert cache.folder() == folder
    owner = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: owner + 1)
    assert cache.folder() is None


def test_another_version_is_another_file(folder: Path, monkeypatch: pytest.MonkeyPatch):
    first = cache.stored("def f(): pass\n", "f")
    monkeypatch.setattr(cache, "_versions", lambda: b"later")
    assert cache.stored("def f(): pass\n", "f") != first
    assert len(list(folder.iterdir())) == 2


# What is said meanwhile


def test_who_waits_is_told_so_in_one_line(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "stderr", stream := io.StringIO())
    monkeypatch.setattr(native_compile, "PATIENCE", 0.0)
    with native_compile.waiting("step"):
        threading.Event().wait(0.2)
        assert stream.getvalue() == (
            "compiling step to native code, once for these shapes and dtypes ..."
        )
    assert re.fullmatch(r"compiling [^\n]* \.\.\. 0\.\d s\n", stream.getvalue())


def test_who_waits_not_long_is_told_nothing(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "stderr", stream := io.StringIO())
    with native_compile.waiting("step"):
        pass
    assert not stream.getvalue()


@pytest.mark.parametrize("stream", [None, io.StringIO()])
def test_where_nobody_can_be_told_it_goes_on(monkeypatch: pytest.MonkeyPatch, stream: Any):
    if stream is not None:
        stream.close()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(native_compile, "PATIENCE", 0.0)
    with native_compile.waiting("step"):
        threading.Event().wait(0.05)
