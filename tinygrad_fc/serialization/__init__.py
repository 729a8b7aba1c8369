"""Files: models, and whole checkpoints, in safetensors' format.

`safetensors` is the format, `structure` how nested lists and dicts go into its metadata, `atomic`
how a file takes another's place. Loading runs no code from a file, whoever wrote it.
"""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

from tinygrad_fc.device import check, device
from tinygrad_fc.serialization import safetensors, structure
from tinygrad_fc.serialization.atomic import replacing
from tinygrad_fc.serialization.safetensors import FormatError

__all__ = ["FormatError", "load", "save"]


def save(obj: Any, f: Any) -> None:
    """Write `obj` to `f`, a path or a binary file, for `load` to return as it was.

    `obj` is a state dict, or a checkpoint: dicts, lists and tuples of tensors, parameters, arrays,
    NumPy's scalars and dtypes, numbers, strings, bytes, truth values and None. A tensor that
    appears twice is two when it comes back. The format is safetensors', which others read: they
    find the tensors under names such as `model.0.weight`.

    At a path the new file takes the old one's place when it is whole and on the disk; an error or
    a crash before leaves the old one. Raises `TypeError`, which says where in `obj`, for what a
    file cannot hold, `ValueError` for what contains itself or is nested more than 100 deep.

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
            raise TypeError("save writes bytes, and got a file for text: open it with mode 'wb'")
        safetensors.write(f, arrays, metadata)
    else:
        with replacing(_path(f, "save")) as file:
            safetensors.write(file, arrays, metadata)


def load(f: Any, map_location: Any = None, *, weights_only: bool | None = True) -> Any:
    """Return what `save` wrote to `f`, a path or a binary file; or any safetensors file's tensors.

    A file that others wrote gives a dict of tensors by name; those of dtype BF16 come as float32,
    which holds all their values. `weights_only` changes nothing: no file is trusted. There is one
    device to map to, the CPU.

    Raises `FormatError`, a `ValueError`, that says what is wrong with a file that is truncated,
    damaged, hostile or of another format, or has a dtype that NumPy lacks; `OSError` where there
    is none.

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
            raise TypeError("load reads bytes, and got a file for text: open it with mode 'rb'")
        arrays, metadata = safetensors.read(f)
    else:
        with Path(_path(f, "load")).open("rb") as file:
            arrays, metadata = safetensors.read(file)
    return structure.unpack(arrays, metadata)


def _path(f: Any, what: str) -> str:
    try:
        return os.fsdecode(f)
    except TypeError as error:
        order = "save(obj, path)" if what == "save" else "load(path)"
        raise TypeError(
            f"{what} takes a path or a binary file, got a {type(f).__name__}: {order}"
        ) from error
