"""A crash or an error while saving leaves the old file, and nothing else."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pytest

import tinygrad_fc as tg
from tinygrad_fc import serialization
from tinygrad_fc.serialization import load, save


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_takes_the_old_ones_place_with_its_rights(tmp_path: Path):
    path = tmp_path / "model"
    before = os.umask(0o027)
    try:
        save({"a": 1}, path)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    path.chmod(0o604)
    save({"a": 2}, path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o604
    link = tmp_path / "link"
    link.symlink_to(path)
    save({"a": 3}, link)
    assert link.is_symlink()
    assert load(path) == {"a": 3}
    assert names(tmp_path) == ["link", "model"]


class Crash(BaseException):
    """Not even an `Exception`: a KeyboardInterrupt, say."""


@pytest.mark.parametrize(
    "error", [OSError("disk full"), MemoryError(), KeyboardInterrupt(), Crash()]
)
@pytest.mark.parametrize("call", ["replace", "fsync", "write", "chmod"])
def test_an_error_leaves_the_old_file_and_nothing_else(
    call: str, error: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path = tmp_path / "model"
    save({"a": 1}, path)
    old = path.read_bytes()

    def fail(*_: Any, **__: Any) -> Any:
        raise error

    if call == "write":
        put = serialization.safetensors._put
        calls = iter([put, fail])
        monkeypatch.setattr(serialization.safetensors, "_put", lambda *a: next(calls)(*a))  # noqa: PLW0108  the next
    else:
        monkeypatch.setattr(os, call, fail)
    with pytest.raises(type(error)):
        save({"a": tg.zeros(1000)}, path)
    monkeypatch.undo()
    assert path.read_bytes() == old
    assert names(tmp_path) == ["model"]
    save({"a": 2}, path)
    assert load(path) == {"a": 2}


def test_nothing_stands_at_the_path_before_it_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path = tmp_path / "model"
    seen = []
    replace = os.replace

    def watch(draft: Any, target: Any) -> None:
        seen.append((path.exists(), Path(draft).parent, load(draft)))
        replace(draft, target)

    monkeypatch.setattr(os, "replace", watch)
    save({"a": 1}, path)
    assert seen == [(False, tmp_path, {"a": 1})]


def test_folders_that_are_not_there_and_what_is_no_file(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match=r"no such folder to save in: '.*missing'"):
        save({}, tmp_path / "missing" / "model")
    with pytest.raises(IsADirectoryError):
        save({}, tmp_path)
    save({"a": 1}, os.devnull)
    assert not Path(os.devnull).is_file()
