"""The disk cache of native code: generated source files, and Numba's own cache beside them.

Numba stores what it has compiled next to the file that the source is in, so generated source is
written to a file of its own, named by a hash of all that decides what it compiles to. The folder
is `$TINYGRAD_FC_CACHE` if that is set (empty: nothing is cached), else `tinygrad_fc` in the user's
cache folder. Files are replaced atomically, so several processes may write at once. Where the
folder cannot be written to, or belongs to another user, nothing is cached.
"""

from __future__ import annotations

import contextlib
import hashlib
import linecache
import os
import sys
import tempfile
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

VARIABLE = "TINYGRAD_FC_CACHE"


def folder() -> Path | None:
    """Return the folder for generated files, created if missing; None where nothing is cached."""
    variable = os.environ.get(VARIABLE)
    if variable == "":
        return None
    try:
        path = Path(variable or _user_cache() / "tinygrad_fc").expanduser().absolute()
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Cached code is executed: files of another user must not be.
        if hasattr(os, "getuid") and path.stat().st_uid != os.getuid():
            return None
    except (OSError, RuntimeError):
        return None
    return path if os.access(path, os.W_OK) else None


def _user_cache() -> Path:
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


@lru_cache(1)
def _versions() -> bytes:
    packages = " ".join(version(name) for name in ("numba", "llvmlite", "numpy"))
    functions = (Path(__file__).parent / "numba_math.py").read_bytes()
    return f"{sys.version} {sys.platform} {packages}".encode() + functions


def stored(source: str, name: str) -> str | None:
    """Return the path of a file that holds `source`, written if missing; None where not cached."""
    path = folder()
    if path is None:
        return None
    key = hashlib.sha256(_versions() + source.encode()).hexdigest()[:32]
    file = path / f"{name}_{key}.py"
    try:
        # Numba compares the time of the file: a file that is right is not written again.
        if not file.exists() or file.read_text(encoding="utf-8") != source:
            _write(file, source)
    except OSError:
        return None
    return str(file)


def _write(file: Path, source: str) -> None:
    handle, temporary = tempfile.mkstemp(dir=file.parent, prefix=".writing-", suffix=".py")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(source)
        Path(temporary).replace(file)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(temporary).unlink()
        raise


def forget(file: str) -> None:
    """Remove what Numba has stored of the functions in `file`."""
    path = Path(file)
    for stale in path.parent.glob(f"__pycache__/{path.stem}*.nb?"):
        with contextlib.suppress(OSError):
            stale.unlink()


def defined(source: str, name: str, scope: dict[str, Any]) -> tuple[Any, str | None]:
    """Return the function that `source` defines, and the path of its file in the cache, if any."""
    file = stored(source, name)
    where = file or f"<native {name} {hashlib.sha256(source.encode()).hexdigest()[:8]}>"
    if file is None:
        linecache.cache[where] = (len(source), None, source.splitlines(keepends=True), where)
    # Numba looks up the module of what it reads back, so it has to be an existing one.
    space = {**scope, "__name__": __name__, "__file__": where}
    exec(compile(source, where, "exec"), space)  # noqa: S102  it is ours
    return space[name], file
