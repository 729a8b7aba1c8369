"""Compiled code between runs: a folder of generated files, and Numba's own cache beside them.

Numba keeps what it has compiled next to the file that the source is in, so generated source is
written to a file of its own, named by all that decides what it compiles to. The folder is
`$TINYGRAD_FC_CACHE` where that is set, else `tinygrad_fc` in the user's folder for caches; an empty
variable keeps nothing. Several processes may write at once, as each file is put in place whole. A
folder that cannot be written to costs nothing but the time to compile again.
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
_PARTS = ("native_memory.py", "native_math.py")


def folder() -> Path | None:
    """Return the folder for generated files, made if need be; None where there can be none."""
    chosen = os.environ.get(VARIABLE)
    if chosen == "":
        return None
    try:
        path = Path(chosen) if chosen else _usual() / "tinygrad_fc"
        path = path.expanduser().absolute()
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        # What is read back is run: nobody else may have put it there.
        if hasattr(os, "getuid") and path.stat().st_uid != os.getuid():
            return None
    except (OSError, RuntimeError):
        return None
    return path if os.access(path, os.W_OK) else None


def _usual() -> Path:
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


@lru_cache(1)
def _versions() -> bytes:
    here = Path(__file__).parent
    parts = [(here / name).read_bytes() for name in _PARTS]
    versions = f"{sys.version} {version('numba')} {version('llvmlite')} {sys.platform}"
    return versions.encode() + b"".join(parts)


def stored(source: str, name: str) -> str | None:
    """Return the path of a file that holds `source`, written if it is not there; None for none."""
    path = folder()
    if path is None:
        return None
    key = hashlib.sha256(_versions() + source.encode()).hexdigest()[:32]
    file = path / f"{name}_{key}.py"
    try:
        # Numba goes by the time of the file: one that is right stays as it is.
        if not file.exists() or file.read_text(encoding="utf-8") != source:
            _written(file, source)
    except OSError:
        return None
    return str(file)


def _written(file: Path, source: str) -> None:
    handle, temporary = tempfile.mkstemp(dir=file.parent, prefix=".writing-", suffix=".py")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(source)
        os.replace(temporary, file)  # noqa: PTH105  of a name that mkstemp gave
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)  # noqa: PTH108  as above
        raise


def forget(file: str) -> None:
    """Remove what Numba keeps of the functions in `file`."""
    path = Path(file)
    for kept in path.parent.glob(f"__pycache__/{path.stem}*.nb?"):
        with contextlib.suppress(OSError):
            kept.unlink()


def defined(source: str, name: str, scope: dict[str, Any]) -> tuple[Any, str | None]:
    """Return the function that `source` defines, and the path of the file it is kept in, if any."""
    file = stored(source, name)
    where = file or f"<native {name} {hashlib.sha256(source.encode()).hexdigest()[:8]}>"
    if file is None:
        linecache.cache[where] = (len(source), None, source.splitlines(keepends=True), where)
    # Numba looks for the module of what it reads back, so it has to be one that is there.
    space = {**scope, "__name__": __name__, "__file__": where}
    exec(compile(source, where, "exec"), space)  # noqa: S102  it is ours
    return space[name], file
