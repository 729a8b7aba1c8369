"""A file that takes another's place when it is whole, and not before."""

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
    """Yield a new file that becomes the one at `path` on leaving the block without an error.

    It is on the disk by then. After an error there is the old file, or none, and nothing else.
    Links are followed; what is there and is no file (a pipe, `/dev/stdout`) is written to.
    Raises `OSError` where the folder does not exist or cannot be written to.
    """
    target = Path(path).resolve()
    if target.exists() and not target.is_file():
        with target.open("wb") as file:
            yield file
        return
    if not target.parent.is_dir():
        raise FileNotFoundError(ENOENT, "there is no such folder to save in", str(target.parent))
    # Opened so that it gets the rights of any new file, unlike those that `tempfile` makes.
    draft = target.with_name(f".saving-{os.urandom(8).hex()}.tmp")
    try:
        with draft.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if target.exists():
            draft.chmod(target.stat().st_mode & 0o7777)
        os.replace(draft, target)  # noqa: PTH105  the one call that all of this rests on
    except BaseException:
        with suppress(OSError):
            draft.unlink()
        raise
    _sync_folder(target.parent)


def _sync_folder(folder: Path) -> None:
    """Have the new name outlast a power cut too, on systems that open folders."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
