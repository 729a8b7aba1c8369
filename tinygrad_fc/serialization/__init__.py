"""Save and load models and checkpoints in safetensors' format.

`safetensors` reads and writes the format, and `structure` stores nested containers in its metadata.
Files are replaced atomically. Loading runs no code from a file.
"""

from __future__ import annotations

import io
import os
from contextlib import contextmanager, suppress
from errno import ENOENT
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from tinygrad_fc.device import check, device
from tinygrad_fc.serialization import safetensors, structure
from tinygrad_fc.serialization.safetensors import FormatError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["FormatError", "load", "save"]


def save(obj: Any, f: Any) -> None:
    """Write `obj` to `f`, a path or a binary file, for `load` to restore.

    `obj` is a state dict, or a checkpoint: dicts, lists and tuples of tensors, parameters, arrays,
    NumPy scalars and dtypes, numbers, strings, bytes, booleans and None. A tensor that appears
    twice is restored as two. In other readers of safetensors, the tensors have names such as
    `model.0.weight`.

    A file at a path is replaced atomically, after the new file is complete and on the disk. Raises
    `TypeError`, with the path in `obj`, for unsupported types, `ValueError` for an object that
    contains itself or is nested more than 100 deep.

    >>> import io
    >>> import tinygrad_fc as tg
    >>> file = io.BytesIO()
    >>> save({"model": tg.nn.Linear(2, 1).state_dict(), "epoch": 3}, file)
    >>> _ = file.seek(0)
    >>> load(file)["epoch"]
    3
    """
    arrays, metadata = structure.pack(obj)
    if hasattr(f, "write"):
        if isinstance(f, io.TextIOBase):
            raise TypeError("save writes bytes, got a text file: open it with mode 'wb'")
        safetensors.write(f, arrays, metadata)
    else:
        with _replacing(_path(f, "save")) as file:
            safetensors.write(file, arrays, metadata)


def load(f: Any, map_location: Any = None, *, weights_only: bool | None = True) -> Any:
    """Return the object that `save` wrote to `f`, a path or a binary file.

    Any other safetensors file is returned as a dict of tensors by name; dtype BF16 becomes
    float32, which represents all its values. `weights_only` has no effect: loading never runs
    code. The only `map_location` is the CPU.

    Raises `FormatError`, a `ValueError`, for a file that is truncated, damaged or of another
    format, or has a dtype that NumPy lacks; `OSError` if the file cannot be opened.

    >>> import io
    >>> load(io.BytesIO(b"no tensors"))
    Traceback (most recent call last):
        ...
    tinygrad_fc.serialization.safetensors.FormatError: not a safetensors file: its header would ...
    """
    del weights_only
    if isinstance(map_location, str | device):
        check(map_location)
    if hasattr(f, "read"):
        if isinstance(f, io.TextIOBase):
            raise TypeError("load reads bytes, got a text file: open it with mode 'rb'")
        arrays, metadata = safetensors.read(f)
    else:
        with Path(_path(f, "load")).open("rb") as file:
            arrays, metadata = safetensors.read(file)
    return structure.unpack(arrays, metadata)


def _path(f: Any, function: str) -> str:
    try:
        return os.fsdecode(f)
    except TypeError as error:
        call = "save(obj, path)" if function == "save" else "load(path)"
        raise TypeError(
            f"{function} takes a path or a binary file, got a {type(f).__name__}. Write {call}"
        ) from error


@contextmanager
def _replacing(path: str) -> Iterator[IO[bytes]]:
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
