"""Atomic replacement of files."""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from errno import ENOENT
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def replacing(path: str) -> Iterator[IO[bytes]]:
    """Yield a new file that replaces the one at `path` when the block ends without an error.

    The new file is flushed to the disk first. After an error the old file, if any, is unchanged.
    Links are followed; pipes and devices such as `/dev/stdout` are written to directly. Raises
    `OSError` if the folder does not exist or is not writable.
    """
    target = Path(path).resolve()
    if target.exists() and not target.is_file():
        with target.open("wb") as file:
            yield file
        return
    if not target.parent.is_dir():
        raise FileNotFoundError(ENOENT, "there is no such folder to save in", str(target.parent))
    # Opened directly, since `tempfile` restricts the permissions.
    draft = target.with_name(f".saving-{os.urandom(8).hex()}.tmp")
    try:
        with draft.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if target.exists():
            draft.chmod(target.stat().st_mode & 0o7777)
        os.replace(draft, target)  # noqa: PTH105  atomic by its documentation
    except BaseException:
        with suppress(OSError):
            draft.unlink()
        raise
    _sync_folder(target.parent)


def _sync_folder(folder: Path) -> None:
    """Flush the new name to the disk, on systems where a folder can be opened."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
