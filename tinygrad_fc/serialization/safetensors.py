"""Named arrays as bytes, in safetensors' format, version 0.x (huggingface/safetensors, README).

A file begins with the length of the header, in eight bytes. The header is JSON and contains for
each tensor its dtype, shape and offsets into the bytes after it, which the tensors fill without gap
or overlap. Strings about the file are under `__metadata__`. The reader checks the header against
the size of the file before it allocates memory.
"""

from __future__ import annotations

import io
import json
import math
import re
from typing import Any, NamedTuple, NoReturn

import numpy as np

METADATA = "__metadata__"
HEADER_LIMIT = 100_000_000  # of the format
MAX_TENSORS = 100_000  # which take seconds to check

_MAX_DEPTH = 400  # levels of JSON; a structure 100 deep needs at most 300
_NO_BRACKETS = re.compile(r'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)|[^][{}"]++', re.DOTALL)

_DTYPES = {
    "BOOL": np.dtype("?"),
    **{f"I{8 * n}": np.dtype(f"<i{n}") for n in (1, 2, 4, 8)},
    **{f"U{8 * n}": np.dtype(f"<u{n}") for n in (1, 2, 4, 8)},
    **{f"F{8 * n}": np.dtype(f"<f{n}") for n in (2, 4, 8)},
}
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}
_BF16 = "BF16"
_STORED = {**_DTYPES, _BF16: np.dtype("<u2")}


class FormatError(ValueError, RuntimeError):
    """Raised for a file that is truncated, of another format, or of a dtype that NumPy lacks."""


class _Entry(NamedTuple):
    """The checked header entry of a tensor."""

    name: str
    kind: str
    shape: tuple[int, ...]
    begin: int
    end: int


def supports(dtype: np.dtype[Any]) -> bool:
    """Return whether the format has the dtype."""
    return dtype.newbyteorder("<") in _NAMES


# Writing


def write(file: Any, arrays: dict[str, Any], metadata: dict[str, str]) -> None:
    """Write arrays, of dtypes that `supports` accepts, and strings to a binary file.

    The order of the names is preserved. Raises `ValueError` for a header above the limit of the
    format, and for 100,000 tensors or more.
    """
    if len(arrays) >= MAX_TENSORS:
        raise ValueError(
            f"save: {len(arrays)} tensors, expected fewer than {MAX_TENSORS}: stack some"
        )
    header: dict[str, Any] = {METADATA: metadata} if metadata else {}
    # The largest elements first, as in the reference library: tensors are then aligned to their
    # element size, so that a reader can map the file.
    order = sorted(arrays, key=lambda name: -arrays[name].dtype.itemsize)
    offsets, end = {}, 0
    for name in order:
        begin, end = end, end + arrays[name].nbytes
        offsets[name] = [begin, end]
    for name, array in arrays.items():
        kind = _NAMES[array.dtype.newbyteorder("<")]
        shape = list(array.shape)
        header[name] = {"dtype": kind, "shape": shape, "data_offsets": offsets[name]}
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    if len(text) > HEADER_LIMIT:
        raise ValueError(
            f"save: names and structure take {len(text)} bytes, and the format allows "
            f"{HEADER_LIMIT}. Save arrays instead of long lists of numbers"
        )
    _put(file, len(text).to_bytes(8, "little") + text)
    for name in order:
        array = arrays[name]
        if array.size:
            stored = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
            _put(file, stored.reshape(-1).view(np.uint8).data)


def _put(file: Any, data: Any) -> None:
    rest = memoryview(data)
    while rest.nbytes:
        # An unbuffered file may write only a part; without a count, all is written.
        written = file.write(rest)
        rest = rest[len(rest) if written is None else written :]


# Reading


def read(file: Any) -> tuple[dict[str, Any], dict[str, str]]:
    """Return arrays and metadata from a binary file, from its position to its end.

    Raises `FormatError` for violations of the format.
    """
    file, size = _sized(file)
    if size < 8:
        raise _wrong(f"it has {size} bytes, and the length of the header alone takes 8")
    start = _take(file, 8)
    length = int.from_bytes(start, "little")
    if length > min(size - 8, HEADER_LIMIT):
        raise _wrong(
            f"its header would be {length} bytes long, and the rest of the file has {size - 8}, "
            f"the format at most {HEADER_LIMIT}{_guess(start)}"
        )
    header = parse(_take(file, length), "the header")
    if not isinstance(header, dict):
        raise _wrong("its header is JSON, but not an object")
    if len(header) > MAX_TENSORS:
        raise _wrong(f"its header has {len(header)} entries, and at most {MAX_TENSORS} are read")
    metadata = header.pop(METADATA, None)
    metadata = {} if metadata is None else metadata
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise _wrong(f"{METADATA} is not an object of strings")
    entries = [_checked_entry(name, value, size - 8 - length) for name, value in header.items()]
    _check_offsets(entries, size - 8 - length)
    by_offset = sorted(entries, key=lambda entry: (entry.begin, entry.end))
    arrays = {entry.name: _array(file, entry) for entry in by_offset}
    return {name: arrays[name] for name in header}, metadata


def parse(text: bytes, what: str) -> Any:
    """Return parsed JSON; raise `FormatError` for invalid JSON and repeated keys."""
    try:
        decoded = text.decode()
        if not decoded.startswith("{"):
            raise _wrong(f"{what} does not begin with '{{'")
        # Checked before parsing: with a raised recursion limit, the parser would crash.
        brackets = np.frombuffer(_NO_BRACKETS.sub("", decoded).encode(), np.uint8)
        steps = np.isin(brackets, np.frombuffer(b"[{", np.uint8)) * 2 - 1
        if np.cumsum(steps).max() > _MAX_DEPTH:
            raise _wrong(f"{what} is nested too deeply")
        return json.loads(decoded, object_pairs_hook=_unique, parse_constant=_constant)
    except FormatError:
        raise
    except UnicodeDecodeError as error:
        raise FormatError(f"not a safetensors file: {what} is not UTF-8: {error}") from error
    except RecursionError as error:
        raise FormatError(f"not a safetensors file: {what} is nested too deeply") from error
    except ValueError as error:
        raise FormatError(f"not a safetensors file: {what} is not JSON: {error}") from error


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    unique = dict(pairs)
    if len(unique) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise _wrong(f"it has the key {twice!r:.80} twice")
    return unique


def _constant(word: str) -> NoReturn:
    raise _wrong(f"{word} is not JSON")


def _checked_entry(name: str, value: Any, size: int) -> _Entry:
    """Return the header entry of a tensor; raise `FormatError` if it is invalid."""
    if not isinstance(value, dict):
        raise _wrong(f"the entry of tensor {name!r:.80} is not an object")
    missing = [key for key in ("dtype", "shape", "data_offsets") if key not in value]
    if missing:
        raise _wrong(f"tensor {name!r:.80} has no {missing[0]}")
    kind, shape, offsets = value["dtype"], value["shape"], value["data_offsets"]
    if not isinstance(kind, str) or kind not in _STORED:
        raise FormatError(
            f"tensor {name!r:.80} is of dtype {kind!r:.40}, which NumPy lacks. Write it as one of "
            f" {', '.join(_STORED)}"
        )
    if not _counts(shape) or len(shape) > 64:
        raise _wrong(f"tensor {name!r:.80} has a shape that is not a list of at most 64 sizes")
    if not _counts(offsets) or len(offsets) != 2 or not offsets[0] <= offsets[1] <= size:
        raise _wrong(
            f"tensor {name!r:.80} has data_offsets {offsets!r:.80}, outside of the {size} bytes "
            "after the header: is it truncated?"
        )
    begin, end = offsets
    if math.prod(shape) * _STORED[kind].itemsize != end - begin:
        raise _wrong(
            f"tensor {name!r:.80} has {end - begin} bytes, which do not match shape {shape!r:.80} "
            f"of {kind}"
        )
    return _Entry(name, kind, tuple(shape), begin, end)


def _counts(value: Any) -> bool:
    return isinstance(value, list) and all(type(n) is int and 0 <= n < 2**63 for n in value)


def _check_offsets(entries: list[_Entry], size: int) -> None:
    """Raise unless the tensors fill the bytes after the header without gap or overlap."""
    end = 0
    for entry in sorted(entries, key=lambda entry: (entry.begin, entry.end)):
        if entry.begin != end:
            what = "overlaps another one" if entry.begin < end else "follows a gap"
            raise _wrong(f"tensor {entry.name!r:.80} at bytes {entry.begin} to {entry.end} {what}")
        end = entry.end
    if end != size:
        raise _wrong(f"{size - end} bytes follow its last tensor")


def _array(file: Any, entry: _Entry) -> Any:
    try:
        array = np.empty(entry.shape, _STORED[entry.kind])
    except ValueError as error:  # a size 0 beside sizes that NumPy cannot multiply
        raise FormatError(f"tensor {entry.name!r:.80}: {error}") from error
    flat = array.reshape(-1)
    if flat.size:
        _fill(file, flat.view(np.uint8).data)
    if entry.kind == "BOOL":
        # The file may have any byte, and NumPy expects 0 or 1.
        np.not_equal(flat.view(np.uint8), 0, out=flat)
    if entry.kind == _BF16:
        # The upper half of a float32, by its definition.
        return (flat.astype(np.uint32) << 16).view(np.float32).reshape(entry.shape)
    return array.astype(array.dtype.newbyteorder("="), copy=False)


# Bytes


def _sized(file: Any) -> tuple[Any, int]:
    """Return a file to read from, and the number of bytes after its position."""
    seekable = getattr(file, "seekable", None)
    if seekable is None or not seekable():
        data = file.read()
        return io.BytesIO(data), len(data)
    here = file.tell()
    file.seek(0, io.SEEK_END)
    end = file.tell()
    file.seek(here)
    return file, max(end - here, 0)


def _take(file: Any, count: int) -> bytes:
    data = bytearray(count)
    _fill(file, memoryview(data))
    return bytes(data)


def _fill(file: Any, rest: memoryview) -> None:
    """Read until `rest` is full."""
    while rest.nbytes:
        if hasattr(file, "readinto"):
            count = file.readinto(rest)
        else:
            data = file.read(min(rest.nbytes, 1 << 24))
            count = len(data)
            rest[:count] = data
        if not count:
            raise _wrong(f"it ended {rest.nbytes} bytes too early: it is truncated")
        rest = rest[count:]


def _guess(start: bytes) -> str:
    """Return a hint for the format of a file that begins with these bytes."""
    if start[:2] == b"PK" or start[:1] == b"\x80":
        return (
            ". It looks like a pickle of torch.save, which is not loaded, as it could run any "
            "code. In PyTorch, use safetensors.torch.save_file(model.state_dict(), path)"
        )
    return ""


def _wrong(what: str) -> FormatError:
    return FormatError(f"not a safetensors file: {what}")
