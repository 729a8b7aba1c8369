"""Native code on disk."""

import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_fc as tg

from .test_auto import end, start
from .twins import native

VARIABLE = "TINYGRAD_FC_CACHE"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "programs"))
    return tmp_path / "programs"


def files(folder: Path) -> dict[Path, int]:
    """Return all files below a folder, and when they were changed."""
    return {file: file.stat().st_mtime_ns for file in folder.rglob("*") if file.is_file()}


def shifted(by: float) -> Any:
    """Return a compiled function that no other test compiles."""
    return tg.compile(lambda x: (x * by).tanh() + 1, backend="numba")


@native
def test_processes_share_native_code(folder: Path):
    """Two compile at the same time, and a third one compiles nothing."""
    both = [start("numba") for _ in range(2)]
    outputs = [end(process) for process in both]
    before = files(folder)
    assert before
    assert not [file for file in before if "tmp" in file.suffix or file.name.startswith(".")]
    outputs.append(end(start("numba")))
    assert files(folder) == before
    assert len({out for out, _ in outputs}) == 1
    assert end(start("numpy"))[0] == outputs[0][0]
    assert not any(errors for _, errors in outputs)


@native
@pytest.mark.parametrize("where", ["", "a file/below", "a file"])
def test_without_a_folder_all_works(where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "a file").write_text("")
    monkeypatch.setenv(VARIABLE, where and str(tmp_path / where))
    expected = (np.tanh(np.full(3, 7.0)) + 1).tolist()
    assert shifted(7.0)(tg.ones(3)).tolist() == pytest.approx(expected)
    assert [file.name for file in tmp_path.iterdir()] == ["a file"]


@native
@pytest.mark.skipif(not hasattr(os, "getuid"), reason="no owners here")
def test_a_folder_of_another_owner_is_not_used(folder: Path, monkeypatch: pytest.MonkeyPatch):
    folder.mkdir()
    owner = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: owner + 1)
    shifted(8.0)(tg.ones(3))
    monkeypatch.setattr(os, "getuid", lambda: owner)
    folder.chmod(0o777)  # anyone may write code to it
    shifted(9.0)(tg.ones(3))
    assert not list(folder.iterdir())


@native
@pytest.mark.parametrize("damage", [b"", b"no code", None])
def test_damaged_files_are_compiled_again(damage: bytes | None, folder: Path):
    """An empty file, another content, or single bits that differ."""
    expected = (np.tanh(np.full(3, 9.0)) + 1).tolist()
    assert shifted(9.0)(tg.ones(3)).tolist() == pytest.approx(expected)
    stored = [file for file in files(folder) if file.stat().st_size]
    assert len(stored) == 3  # the index, the code and the checksum
    for file in stored:
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 1
        file.write_bytes(content if damage is None else damage)
        assert shifted(9.0)(tg.ones(3)).tolist() == pytest.approx(expected)
    before = files(folder)
    assert shifted(9.0)(tg.ones(3)).tolist() == pytest.approx(expected)
    assert files(folder) == before


@native
def test_the_folder_of_caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    shifted(11.0)(tg.ones(3))
    assert files(tmp_path / "tinygrad_fc")


@native
def test_compilations_are_logged(folder: Path, caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.INFO, "tinygrad_fc"):
        shifted(13.0)(tg.ones(3))
    assert "compiling <lambda> to native code" in caplog.text
    assert files(folder)
