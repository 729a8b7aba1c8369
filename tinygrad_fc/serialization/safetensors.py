"""Named arrays as bytes, in safetensors' format, version 0.x (huggingface/safetensors, README).

A file begins with the length of the header, in eight bytes. The header is JSON and contains for
each tensor its dtype, shape and offsets into the bytes after it, which the tensors fill without gap
or overlap. Strings about the file are under `__metadata__`.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from itertools import accumulate, pairwise
from typing import Any, NoReturn

import numpy as np

METADATA = "__metadata__"
HEADER_LIMIT = 100_000_000  # of the format
MAX_TENSORS = 100_000  # to check as many takes seconds
MAX_CONTAINERS = 1_000_000  # lists and objects of the header, the structure included

DTYPES = {
    "BOOL": np.dtype("?"),
    **{f"I{8 * n}": np.dtype(f"<i{n}") for n in (1, 2, 4, 8)},
    **{f"U{8 * n}": np.dtype(f"<u{n}") for n in (1, 2, 4, 8)},
    **{f"F{8 * n}": np.dtype(f"<f{n}") for n in (2, 4, 8)},
}
_NAMES = {dtype: name for name, dtype in DTYPES.items()}
_BF16 = "BF16"
_PICKLED = (
    ". It looks like a pickle, or a file of torch.save in the format before PyTorch 1.6, which "
    "could run any code. In PyTorch, write torch.save(model.state_dict(), path)"
)
_STORED = {**DTYPES, _BF16: np.dtype("<u2")}


class FormatError(ValueError, RuntimeError):
    """Raised for a file that is truncated, of another format, or of a dtype that NumPy lacks."""


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
    ends = accumulate((arrays[name].nbytes for name in order), initial=0)
    offsets = dict(zip(order, pairwise(ends), strict=True))
    for name, array in arrays.items():
        kind = _NAMES[array.dtype.newbyteorder("<")]
        header[name] = {"dtype": kind, "shape": array.shape, "data_offsets": offsets[name]}
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    if len(text) > HEADER_LIMIT:
        raise ValueError(
            f"save: names and structure take {len(text)} bytes, and the format allows "
            f"{HEADER_LIMIT}. Save arrays instead of long lists of numbers"
        )
    _check_containers(text)
    file.write(len(text).to_bytes(8, "little") + text)
    for name in order:
        array = arrays[name]
        if array.size:
            stored = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
            file.write(stored.reshape(-1).view(np.uint8).data)


# Reading


def read(data: bytes) -> tuple[dict[str, Any], dict[str, str]]:
    """Return arrays and metadata from the bytes of a file.

    Raises `FormatError` for violations of the format.
    """
    if len(data) < 8:
        raise _wrong(f"it has {len(data)} bytes, and the length of the header alone takes 8")
    length, rest = int.from_bytes(data[:8], "little"), len(data) - 8
    if length > min(rest, HEADER_LIMIT):
        hint = _PICKLED if data.startswith(b"\x80") else ""
        raise _wrong(
            f"its header would be {length} bytes long, and the rest of the file has {rest}, "
            f"the format at most {HEADER_LIMIT}{hint}"
        )
    header, body = parse(data[8 : 8 + length], "the header"), memoryview(data)[8 + length :]
    if len(header) > MAX_TENSORS:
        raise _wrong(f"its header has {len(header)} entries, and at most {MAX_TENSORS} are read")
    if (metadata := header.pop(METADATA, None)) is None:
        metadata = {}
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise _wrong(f"{METADATA} is not an object of strings")
    for name, entry in header.items():
        _check_entry(name, entry, len(body))
    _check_offsets(header, len(body))
    return {name: _array(body, name, entry) for name, entry in header.items()}, metadata


def parse(text: bytes, what: str) -> Any:
    """Return parsed JSON; raise `FormatError` for invalid JSON, repeated keys, too many lists."""
    _check_containers(text)
    try:
        parsed = json.loads(text.decode(), object_pairs_hook=_unique, parse_constant=_constant)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"not a safetensors file: {what} is not JSON: {error}") from error
    if not isinstance(parsed, dict) or not text.startswith(b"{"):
        raise _wrong(f"{what} is JSON, but not an object that begins with '{{'")
    return parsed


def _check_containers(text: bytes) -> None:
    """Raise `FormatError` for JSON of many lists and objects, which take fifty times its memory."""
    if text.count(b"[") + text.count(b"{") > MAX_CONTAINERS:
        raise FormatError(
            f"a file holds at most {MAX_CONTAINERS} lists, tuples and dicts. Save arrays instead"
        )


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    unique = dict(pairs)
    if len(unique) < len(pairs):
        twice = Counter(key for key, _ in pairs).most_common(1)[0][0]
        raise ValueError(f"it has the key {twice!r:.80} twice")
    return unique


def _constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is not a number of JSON")


def _check_entry(name: str, value: Any, size: int) -> None:
    """Raise `FormatError` if the header entry of a tensor is invalid."""
    if not isinstance(value, dict):
        raise _wrong(f"the entry of tensor {name!r:.80} is not an object")
    missing = [key for key in ("dtype", "shape", "data_offsets") if key not in value]
    if missing:
        raise _wrong(f"tensor {name!r:.80} has no {missing[0]}")
    kind, shape, offsets = value["dtype"], value["shape"], value["data_offsets"]
    if not isinstance(kind, str) or kind not in _STORED:
        raise FormatError(
            f"tensor {name!r:.80} is of dtype {kind!r:.40}, which NumPy lacks. Write it as one of "
            f"{', '.join(_STORED)}"
        )
    if not _counts(shape) or len(shape) > 64:
        raise _wrong(f"tensor {name!r:.80} has a shape that is not a list of at most 64 sizes")
    if not _counts(offsets) or len(offsets) != 2 or not offsets[0] <= offsets[1] <= size:
        raise _wrong(
            f"tensor {name!r:.80} has data_offsets {offsets!r:.80}, outside of the {size} bytes "
            "after the header: is it truncated?"
        )
    count = offsets[1] - offsets[0]
    if math.prod(shape) * _STORED[kind].itemsize != count:
        raise _wrong(
            f"tensor {name!r:.80} has {count} bytes, which do not match shape {shape!r:.80} "
            f"of {kind}"
        )


def _counts(value: Any) -> bool:
    return isinstance(value, list) and all(type(n) is int and 0 <= n < 2**63 for n in value)


def _check_offsets(entries: dict[str, Any], size: int) -> None:
    """Raise unless the tensors fill the bytes after the header without gap or overlap."""
    end = 0
    for begin, stop, name in sorted((*e["data_offsets"], name) for name, e in entries.items()):
        if begin != end:
            what = "overlaps another one" if begin < end else "follows a gap"
            raise _wrong(f"tensor {name!r:.80} at bytes {begin} to {stop} {what}")
        end = stop
    if end != size:
        raise _wrong(f"{size - end} bytes follow its last tensor")


def _array(body: memoryview, name: str, entry: dict[str, Any]) -> Any:
    stored = _STORED[entry["dtype"]]
    array = np.frombuffer(body[slice(*entry["data_offsets"])], stored)
    if entry["dtype"] == "BOOL":
        # The file may have any byte, and NumPy expects 0 or 1.
        array = array.view(np.uint8) != 0
    elif entry["dtype"] == _BF16:
        array = float32_of(array)
    else:
        array = array.astype(stored.newbyteorder("="))  # a copy that owns its memory
    try:
        return array.reshape(entry["shape"])
    except ValueError as error:  # a size 0 beside sizes that NumPy cannot multiply
        raise FormatError(f"tensor {name!r:.80}: {error}") from error


def float32_of(bfloat16: Any) -> Any:
    """Return the numbers whose upper halves, by the definition of bfloat16, are in the array."""
    return (bfloat16.astype(np.uint32) << 16).view(np.float32)


def _wrong(what: str) -> FormatError:
    return FormatError(f"not a safetensors file: {what}")
