"""Nested dicts, lists and tuples as JSON, with the arrays in them under names.

A value of a type that JSON has is stored unchanged; a value of another type is an object whose only
key is the name of the type: `{"tuple": [1, 2]}`, `{"dict": {"lr": 0.1}}`,
`{"tensor": ["model.0.weight", false]}`. Reading creates these types only, and imports or calls
nothing that a file names.
"""

from __future__ import annotations

import json
import math
from collections import Counter, OrderedDict
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.graph import wrap
from tinygrad_fc.nn.parameter import Parameter
from tinygrad_fc.serialization.safetensors import METADATA, FormatError, parse, supports
from tinygrad_fc.tensor import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable

STRUCTURE = "tinygrad_fc.structure"
VERSION = "tinygrad_fc.version"
_VERSION = "1"
_MAX_DEPTH = 100
_EXACT = 2**53  # larger integers differ between readers of JSON
_DTYPES = {dtype.name: dtype for dtype in map(np.dtype, "?bhilBHILefd")}
_DICTS: dict[str, type[dict[Any, Any]]] = {
    "dict": dict,
    "OrderedDict": OrderedDict,
    "Counter": Counter,
}
_CONTAINERS = (list, tuple, *_DICTS.values())
_KEYS = (type(None), bool, int, float, str, bytes)

Path = tuple[Any, ...]


def pack(obj: Any) -> tuple[dict[str, Any], dict[str, str]]:
    """Return arrays by name, and the metadata: the structure, or nothing for a flat state dict.

    Raises `TypeError` for unsupported types, `ValueError` for an object that contains itself or
    is nested more than 100 deep.
    """
    packer = _Packer()
    root = packer.packed(obj, ())
    if root == {"dict": {name: {"tensor": [name, False]} for name in packer.arrays}}:
        return packer.arrays, {}
    text = json.dumps({"root": root}, separators=(",", ":"))
    return packer.arrays, {VERSION: _VERSION, STRUCTURE: text}


def unpack(arrays: dict[str, Any], metadata: dict[str, str]) -> Any:
    """Return the packed object, or a dict of tensors by name if the metadata has no structure.

    Raises `FormatError` for structures that `pack` does not write.
    """
    if STRUCTURE not in metadata:
        return {name: wrap(array) for name, array in arrays.items()}
    version = metadata.get(VERSION)
    if version != _VERSION:
        raise FormatError(
            f"this checkpoint has version {version!r:.40}, and this library reads {_VERSION}. Load "
            "it with the library that saved it"
        )
    structure = parse(metadata[STRUCTURE].encode(errors="surrogatepass"), "the structure")
    if set(structure) != {"root"}:
        raise _wrong("needs one root")
    unpacker = _Unpacker(dict(arrays))
    obj = unpacker.unpacked(structure["root"], 0)
    if unpacker.arrays:
        raise _wrong(f"does not use tensor {next(iter(unpacker.arrays))!r:.80}")
    return obj


# Writing


class _Packer:
    """Converts objects to JSON, and collects their arrays by name."""

    def __init__(self) -> None:
        self.arrays: dict[str, Any] = {}
        self.open: set[int] = set()

    def packed(self, value: Any, path: Path) -> Any:
        kind = type(value)
        if value is None or kind is bool or kind is str:
            return value
        if kind is int and abs(value) <= _EXACT:
            return value
        if kind is float and math.isfinite(value):
            return value
        if kind in _CONTAINERS:
            return self.container(value, path)
        if isinstance(value, Tensor) or kind in (np.ndarray, np.memmap):
            return self.array(value, path)
        for name, (of, packed, _) in _LEAVES.items():
            if isinstance(value, of) and (kind is of or of not in _KEYS):
                text = packed(value)
                if text is not None:
                    return {name: text}
        raise _unsupported(value, path)

    def container(self, value: Any, path: Path) -> Any:
        if id(value) in self.open:
            raise ValueError(f"cannot save {_place(path)}: it contains itself")
        if len(path) >= _MAX_DEPTH:
            raise ValueError(f"cannot save {_place(path):.80}…: nested more than {_MAX_DEPTH} deep")
        self.open.add(id(value))
        kind = type(value)
        packed: Any
        if kind in (list, tuple):
            packed = [self.packed(v, (*path, i)) for i, v in enumerate(value)]
        elif all(type(key) is str for key in value):
            packed = {key: self.packed(v, (*path, key)) for key, v in value.items()}
        else:
            packed = [[self.key(k, path), self.packed(v, (*path, k))] for k, v in value.items()]
        self.open.remove(id(value))
        return packed if kind is list else {kind.__name__: packed}

    def key(self, key: Any, path: Path) -> Any:
        if not _is_key(key):
            raise TypeError(
                f"cannot save {_place(path)}: it has a key of type {type(key).__name__}. Keys are "
                "numbers, strings, booleans, None and tuples of them"
            )
        return self.packed(key, (*path, key))

    def array(self, value: Any, path: Path) -> Any:
        """Store an array under a name; return its JSON."""
        array = np.asarray(value._array if isinstance(value, Tensor) else value)
        if not supports(array.dtype):
            raise TypeError(
                f"cannot save {_place(path)}: its dtype is {array.dtype}. Files hold booleans and "
                "real numbers of at most 64 bits"
            )
        # A lone surrogate is valid in a Python string, and not in UTF-8.
        path_name = ".".join(map(str, path)).encode(errors="backslashreplace").decode()
        name, number = path_name, 1
        while name in self.arrays or name == METADATA:
            number += 1
            name = f"{path_name}#{number}"
        self.arrays[name] = array
        if not isinstance(value, Tensor):
            return {"array": name}
        kind = "parameter" if isinstance(value, Parameter) else "tensor"
        return {kind: [name, bool(value._requires_grad)]}


def _is_key(key: Any) -> bool:
    return type(key) in _KEYS or (type(key) is tuple and all(map(_is_key, key)))


def _place(path: Path) -> str:
    return "".join(f"[{key!r}]" for key in path) or "this"


def _unsupported(value: Any, path: Path) -> TypeError:
    hint = "Save its attributes"
    if hasattr(value, "state_dict"):
        hint = "Save its state_dict(): save(model.state_dict(), path)"
    elif hasattr(value, "get_state"):
        hint = "Save its get_state()"
    elif callable(value):
        hint = "Of a model, save model.state_dict(); functions and classes cannot be saved"
    for base in (int, float, str, dict, list, tuple, np.ndarray):
        if isinstance(value, base):
            hint = f"Save it as a plain {base.__name__}"
    return TypeError(
        f"cannot save {_place(path)}: it is a {type(value).__name__}. Files hold tensors, arrays, "
        "numbers, strings, and dicts, lists and tuples of them, so that loading runs no code. "
        f"{hint}"
    )


# Reading


class _Unpacker:
    """Converts JSON to objects; uses each array once, so that a small file cannot fill memory."""

    def __init__(self, arrays: dict[str, Any]) -> None:
        self.arrays = arrays

    def unpacked(self, value: Any, depth: int) -> Any:
        if depth > _MAX_DEPTH:
            raise _wrong("is nested too deeply")
        if isinstance(value, list):
            return [self.unpacked(part, depth + 1) for part in value]
        if not isinstance(value, dict):
            return value
        if len(value) != 1:
            raise _wrong(f"has an object with {len(value)} keys, expected one, the name of a type")
        ((kind, content),) = value.items()
        if kind in _DICTS:
            return self.mapping(_DICTS[kind], content, depth)
        if kind == "tuple" and isinstance(content, list):
            return tuple([self.unpacked(part, depth + 1) for part in content])
        if kind in ("array", "tensor", "parameter"):
            return self.array(kind, content)
        return _leaf(kind, content)

    def mapping(self, kind: type[dict[Any, Any]], content: Any, depth: int) -> Any:
        if isinstance(content, dict):
            return kind({key: self.unpacked(value, depth + 1) for key, value in content.items()})
        items: dict[Any, Any] = {}
        for pair in content if isinstance(content, list) else [None]:
            if not isinstance(pair, list) or len(pair) != 2:
                raise _wrong("has a dict that is not of pairs")
            key, value = (self.unpacked(part, depth + 1) for part in pair)
            if not _is_key(key) or key in items:
                raise _wrong(f"has a dict with an invalid or repeated key: {key!r:.80}")
            items[key] = value
        return kind(items)

    def array(self, kind: str, content: Any) -> Any:
        fields = [content, False] if kind == "array" else content
        if not isinstance(fields, list) or len(fields) != 2 or type(fields[1]) is not bool:
            raise _wrong(f"has the invalid {kind} {content!r:.80}")
        name, requires_grad = fields
        if not isinstance(name, str) or name not in self.arrays:
            raise _wrong(f"uses tensor {name!r:.80} twice, or it is missing")
        array = self.arrays.pop(name)
        if requires_grad and array.dtype.kind != "f":
            raise _wrong(f"has tensor {name!r:.80} of {array.dtype} that requires grad")
        if kind == "array":
            return array
        if kind == "parameter":
            return Parameter(array, requires_grad)
        tensor = wrap(array)
        tensor.requires_grad = requires_grad
        return tensor


def _leaf(kind: str, content: Any) -> Any:
    if kind not in _LEAVES:
        raise _wrong(f"has the unknown type {kind!r:.40}")
    try:
        return _LEAVES[kind][2](content)
    except (TypeError, ValueError, KeyError) as error:
        raise _wrong(f"has the invalid {kind} {content!r:.80}") from error


def _bytes(scalar: Any) -> bytes:
    return np.asarray(scalar, scalar.dtype.newbyteorder("<")).tobytes()


def _scalar(content: Any) -> Any:
    name, digits = content
    one = np.frombuffer(bytes.fromhex(digits), _DTYPES[name].newbyteorder("<"))
    return one.astype(_DTYPES[name]).reshape(())[()]


def _wrong(what: str) -> FormatError:
    return FormatError(f"not a checkpoint of this library: its structure {what}")


# By name, types that JSON lacks: the type, the function to JSON (None: not supported), the inverse.
_LEAVES: dict[str, tuple[Any, Callable[[Any], Any], Callable[[Any], Any]]] = {
    "int": (int, hex, lambda digits: int(digits, 16)),
    "float": (
        float,
        repr,
        lambda word: {"inf": math.inf, "-inf": -math.inf, "nan": math.nan}[word],
    ),
    "bytes": (bytes, bytes.hex, bytes.fromhex),
    "dtype": (np.dtype, lambda d: d.name if d.name in _DTYPES else None, _DTYPES.__getitem__),
    "scalar": (
        np.generic,
        lambda v: [v.dtype.name, _bytes(v).hex()] if v.dtype.name in _DTYPES else None,
        _scalar,
    ),
}
