"""Read files of `torch.save` without PyTorch, and without running code that a file names.

Such a file is a zip archive of a pickle and of the memory of the tensors. The unpickler knows
tensors, parameters, dicts, sizes and dtypes, and raises for any other name. Sizes and strides are
checked against the memory in the file, so that nothing else is read.
"""

from __future__ import annotations

import io
import pickle
import zipfile
from collections import OrderedDict
from typing import Any, NamedTuple

import numpy as np

from tinygrad_fc.core import dtypes
from tinygrad_fc.core.node import leaf_of
from tinygrad_fc.nn.parameter import Parameter
from tinygrad_fc.serialization.safetensors import FormatError, float32_of

_STORAGES = {
    "FloatStorage": "<f4",
    "DoubleStorage": "<f8",
    "HalfStorage": "<f2",
    "BFloat16Storage": "<u2",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "<i1",
    "ByteStorage": "<u1",
    "BoolStorage": "?",
}
_DTYPES = {name: getattr(dtypes, name) for name in dtypes.__all__}
_ADVICE = "In PyTorch, write torch.save(model.state_dict(), path)"


class _Stored(NamedTuple):
    """A tensor of the file; a tuple, since a pickle may change the attributes of other objects."""

    array: Any
    requires_grad: Any = False
    is_parameter: bool = False


def _rebuild_tensor(
    storage: Any, offset: Any, size: Any, stride: Any, requires_grad: Any = False, *_: Any
) -> _Stored:
    array, size, stride = storage.array, tuple(size), tuple(stride)
    numbers = (offset, *size, *stride)
    if len(size) != len(stride) or any(type(n) is not int or n < 0 for n in numbers):
        raise FormatError(f"a tensor has size {size!r:.80} and strides {stride!r:.80}")
    count = int(np.prod(size, dtype=object))
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if count and (last >= array.size or count > array.size):
        raise FormatError(
            f"a tensor of size {size!r:.80} and strides {stride!r:.80} needs more than the "
            f"{array.size} elements of its storage. Of an expanded tensor, save x.contiguous()"
        )
    strides = [step * array.itemsize for step in stride]
    part = array[offset:] if count else array[:0]
    return _Stored(np.lib.stride_tricks.as_strided(part, size, strides), requires_grad)


def _rebuild_parameter(data: Any, requires_grad: Any = True, *_: Any) -> _Stored:
    return _Stored(data.array, requires_grad, is_parameter=True)


_FUNCTIONS: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch", "Size"): tuple,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
    ("torch._utils", "_rebuild_parameter"): _rebuild_parameter,
}


class _Unpickler(pickle.Unpickler):
    """Reads the pickle of an archive."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        (path,) = [name for name in archive.namelist() if name.endswith("data.pkl")]
        self._archive, self._root = archive, path.removesuffix("data.pkl")
        self._storages: dict[Any, Any] = {}
        super().__init__(io.BytesIO(self._read("data.pkl")))

    def _read(self, name: str) -> bytes:
        entry = self._archive.getinfo(self._root + name)
        if entry.compress_type != zipfile.ZIP_STORED:
            raise FormatError(f"{name} is compressed, which no file of torch.save is")
        return self._archive.read(entry)

    def find_class(self, module: str, name: str) -> Any:
        """Return what a name of the file stands for; raise `FormatError` for an unknown one."""
        if (module, name) in _FUNCTIONS:
            return _FUNCTIONS[module, name]
        if module == "torch" and name in _STORAGES:
            return name
        if module == "torch" and isinstance(_DTYPES.get(name), np.dtype):
            return _DTYPES[name]
        raise FormatError(
            f"the file has a {module}.{name}, and files are read without running code: expected "
            f"tensors, numbers, strings, and dicts, lists and tuples of them. {_ADVICE}"
        )

    def persistent_load(self, pid: Any) -> _Stored:
        """Return the memory of tensors, in one array for all that share it."""
        _, kind, key, _, count = pid
        if key not in self._storages:
            content = bytearray(self._read(f"data/{key}"))
            array = np.frombuffer(content, _STORAGES[kind], count)
            self._storages[key] = _Stored(float32_of(array) if kind == "BFloat16Storage" else array)
        return self._storages[key]  # type: ignore[no-any-return]


def _with_tensors(value: Any, tensors: dict[int, Any]) -> Any:
    """Return `value` with tensors for each `_Stored`; `tensors` maps the id of that to them."""
    if isinstance(value, _Stored):
        if id(value) not in tensors:
            needs_grad = bool(value.requires_grad) and value.array.dtype.kind == "f"
            if value.is_parameter:
                tensors[id(value)] = Parameter(value.array, needs_grad)
            else:
                tensors[id(value)] = leaf_of(value.array)
                tensors[id(value)].requires_grad = needs_grad
        return tensors[id(value)]
    if isinstance(value, dict):
        value.update({key: _with_tensors(part, tensors) for key, part in value.items()})
    elif isinstance(value, list):
        value[:] = [_with_tensors(part, tensors) for part in value]
    elif isinstance(value, tuple):
        return tuple([_with_tensors(part, tensors) for part in value])
    return value


def read(content: bytes) -> Any:
    """Return the object in the bytes of a file of `torch.save`; raise `FormatError` for others."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return _with_tensors(_Unpickler(archive).load(), {})
    except FormatError as error:
        raise FormatError(f"cannot load this file of PyTorch: {error}") from None
    except Exception as error:  # whatever a damaged pickle leads to
        raise FormatError(f"cannot load this file of PyTorch: it is damaged ({error})") from error
