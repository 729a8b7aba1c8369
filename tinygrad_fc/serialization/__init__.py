"""Save and load models and checkpoints in safetensors' format.

`safetensors` reads and writes named arrays; here the structure around them, nested dicts, lists and
tuples, becomes JSON in the file's metadata. Files are replaced atomically.

A value of a type that JSON has is stored unchanged; a value of another type is an object whose only
key is the name of the type: `{"tuple": [1, 2]}`, `{"dict": {"lr": 0.1}}`,
`{"tensor": ["model.0.weight", false]}`. Reading creates these types only, and imports or calls
nothing that a file names.
"""

from __future__ import annotations

import io
import json
import math
import os
import stat
from collections import Counter, OrderedDict
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from errno import EACCES, ENOENT
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.core.device import CPU, device, move_to_device, refuse_gpu
from tinygrad_fc.core.node import leaf_of
from tinygrad_fc.nn.parameter import Parameter
from tinygrad_fc.serialization import safetensors
from tinygrad_fc.serialization.memory import shared_places, view_at
from tinygrad_fc.serialization.safetensors import METADATA, FormatError, parse, supports
from tinygrad_fc.tensors import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["FormatError", "load", "save"]

_STRUCTURE_KEY = "tinygrad_fc.structure"
_VERSION_KEY = "tinygrad_fc.version"
_MODULES_KEY = "tinygrad_fc.modules"  # what `Module.state_dict` says of each module
_VERSION = "1"
_MAX_DEPTH = 100
_MAX_KEYS = 10_000  # that are not strings, in a file: only their hashes can be made to collide
_EXACT = 2**53  # larger integers differ between readers of JSON
_DTYPES = {dtype.name: np.dtype(dtype.name) for dtype in safetensors.DTYPES.values()}
_DICTS: dict[str, type[dict[Any, Any]]] = {c.__name__: c for c in (dict, OrderedDict, Counter)}
_CONTAINERS = (list, tuple, *_DICTS.values())
_KEY_TYPES = (type(None), bool, int, float, str, bytes)


def save(obj: Any, f: Any) -> None:
    """Write `obj` to `f`, a path or a binary file, for `load` to restore.

    `obj` is a state dict, or a checkpoint: dicts, lists and tuples of tensors, parameters, arrays,
    NumPy scalars and dtypes, numbers, strings, bytes, booleans and None. Tensors that share memory
    do so when they are restored; one that appears twice is restored as two of one memory. In other
    readers of safetensors, the tensors have names such as `model.0.weight`.

    A file at a path is replaced atomically, after the new file is complete and on the disk; drafts
    of killed processes, `.saving-*.tmp`, go at the next save. An open file is buffered. Raises
    `TypeError`, with the path in `obj`, for unsupported types, `ValueError` for an object that
    contains itself or is nested more than 100 deep.

    >>> import io
    >>> import tinygrad_fc as tg
    >>> file = io.BytesIO()
    >>> tg.save({"model": tg.nn.Linear(2, 1).state_dict(), "epoch": 3}, file)
    >>> _ = file.seek(0)
    >>> tg.load(file)["epoch"]
    3
    """
    arrays, metadata = _pack(obj)
    with _opened(f, "save") as file:
        safetensors.write(file, arrays, metadata)


def load(f: Any, map_location: Any = None, *, weights_only: bool | None = True) -> Any:
    """Return the object that `save` wrote to `f`, a path or a binary file.

    Any other safetensors file is returned as a dict of tensors by name, and a file of `torch.save`
    as its dicts, lists and tuples of tensors; dtype BF16 becomes float32, which represents all its
    values. `weights_only` has no effect: loading never runs code. The only `map_location` is the
    CPU.

    Raises `FormatError`, a `ValueError`, for a file that is truncated, damaged or of another
    format, or has a dtype that NumPy lacks; `OSError` if the file cannot be opened.

    >>> import io
    >>> import tinygrad_fc as tg
    >>> tg.load(io.BytesIO(b"no tensors"))
    Traceback (most recent call last):
        ...
    tinygrad_fc.serialization.safetensors.FormatError: not a safetensors file: its header would ...
    """
    del weights_only
    if isinstance(map_location, str | device):
        refuse_gpu(map_location)
    with _opened(f, "load") as file:
        content = file.read()
    if content.startswith(b"PK\x03\x04"):  # a zip archive, of `torch.save`
        from tinygrad_fc.serialization import pytorch  # noqa: PLC0415  rarely needed

        return pytorch.read(content)
    return _unpack(*safetensors.read(content))


def _opened(f: Any, function: str) -> AbstractContextManager[Any]:
    """Return a context with the binary file `f`, or with the file at the path `f`."""
    if isinstance(f, io.TextIOBase):
        raise TypeError(f"{function}: got a text file, expected a binary one. Open it with a 'b'")
    if hasattr(f, "write" if function == "save" else "read"):
        return nullcontext(f)
    try:
        path = os.fsdecode(f)
    except TypeError as error:
        call = "save(obj, path)" if function == "save" else "load(path)"
        raise TypeError(
            f"{function} takes a path or a binary file, got a {type(f).__name__}. Write {call}"
        ) from error
    return _replacing(path) if function == "save" else Path(path).open("rb")


@contextmanager
def _replacing(path: str) -> Iterator[IO[bytes]]:
    """Yield a new file that replaces the one at `path` when the block ends without an error.

    The new file is flushed to the disk first, and gets the permissions of the old one, and its
    owner where the process may set it. After an error the old file, if any, is unchanged. Links are
    followed; pipes and devices such as `/dev/stdout` are written to directly. Raises `OSError` if
    the folder does not exist or is not writable, or the file is read-only.
    """
    try:
        status = os.stat(path)  # noqa: PTH116  of the path as it is, which may be a loop of links
    except FileNotFoundError:
        status = None
    target = Path(path).resolve()
    if status and not stat.S_ISREG(status.st_mode):
        with target.open("wb") as file:
            yield file
        return
    if not target.parent.is_dir():
        raise FileNotFoundError(ENOENT, "there is no such folder to save in", str(target.parent))
    if status and not os.access(target, os.W_OK):
        raise PermissionError(EACCES, "the file to replace is read-only", str(target))
    mode = stat.S_IMODE(status.st_mode) if status else 0o666
    # Opened directly, since `tempfile` restricts the permissions.
    draft = target.with_name(f".saving-{os.urandom(8).hex()}.tmp")
    opener = partial(os.open, mode=mode)
    with ExitStack() as stack:
        try:
            with open(draft, "xb", opener=opener) as file:
                _remove_old_drafts(draft, stack)
                yield file
                file.flush()
                os.fsync(file.fileno())
            if status:
                with suppress(PermissionError, AttributeError):  # which Windows lacks
                    os.chown(draft, status.st_uid, status.st_gid)
                draft.chmod(mode)  # with what the umask took away
            os.replace(draft, target)  # noqa: PTH105  atomic by its documentation
        except BaseException:
            with suppress(OSError):
                draft.unlink()
            raise


def _remove_old_drafts(draft: Path, stack: ExitStack) -> None:
    """Remove drafts of killed processes: a process locks its own `draft` until the stack ends.

    A draft is empty until it is locked, and others leave empty ones alone.
    """
    try:
        import fcntl  # noqa: PLC0415  which Windows lacks
    except ImportError:
        return
    with suppress(OSError):  # of file systems without locks
        fcntl.flock(stack.enter_context(draft.open("r+b")), fcntl.LOCK_EX)
        os.truncate(draft, 1)
    for old in draft.parent.glob(".saving-*.tmp"):
        with suppress(OSError), old.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(file.fileno()).st_size:
                old.unlink()


# The structure: `path` is the keys that lead to a value in the saved object.


def _pack(obj: Any) -> tuple[dict[str, Any], dict[str, str]]:
    """Return arrays by name, and the metadata: the structure, or nothing for a flat state dict.

    Raises `TypeError` for unsupported types, `ValueError` for an object that contains itself or
    is nested more than 100 deep.
    """
    packer = _Packer()
    root = packer.packed(obj, ())
    places, memories = shared_places({name: packer.arrays[name] for name in packer.tensors})
    packer.arrays |= memories
    for name, place in places.items():
        packer.tensors[name].append(place)
    flat = {name: {"tensor": [name, False]} for name in packer.arrays}
    if root == {"dict": flat}:
        return packer.arrays, {}
    if hasattr(obj, "_metadata") and root["state_dict"][0] == {"dict": flat}:
        return packer.arrays, {_MODULES_KEY: json.dumps(obj._metadata, separators=(",", ":"))}
    text = json.dumps({"root": root}, separators=(",", ":"))
    return packer.arrays, {_VERSION_KEY: _VERSION, _STRUCTURE_KEY: text}


def _unpack(arrays: dict[str, Any], metadata: dict[str, str]) -> Any:
    """Return the packed object, or a dict of tensors by name if the metadata has no structure.

    Raises `FormatError` for structures that `_pack` does not write.
    """
    if _STRUCTURE_KEY not in metadata:
        tensors = {name: leaf_of(array) for name, array in arrays.items()}
        if _MODULES_KEY not in metadata:
            return tensors
        text = metadata[_MODULES_KEY].encode(errors="surrogatepass")
        return _state_dict((tensors, parse(text, "the versions of its modules")))
    version = metadata.get(_VERSION_KEY)
    if version != _VERSION:
        raise FormatError(
            f"this checkpoint has version {version!r:.40}, and this library reads {_VERSION}. Load "
            "it with the library that saved it"
        )
    structure = parse(metadata[_STRUCTURE_KEY].encode(errors="surrogatepass"), "the structure")
    if set(structure) != {"root"}:
        raise _wrong("needs one root")
    unpacker = _Unpacker(arrays)
    obj = unpacker.unpacked(structure["root"], 0)
    for name in arrays.keys() - unpacker.read - unpacker.memories:
        raise _wrong(f"does not use tensor {name!r:.80}")
    return obj


class _Packer:
    """Converts objects to JSON, and collects their arrays by name."""

    def __init__(self) -> None:
        self.arrays: dict[str, Any] = {}
        self.tensors: dict[str, list[Any]] = {}  # the JSON of tensors, by name
        self.open: set[int] = set()  # ids of the containers around the value
        self.keys = 0  # of dicts whose keys are not all strings

    def packed(self, value: Any, path: tuple[Any, ...]) -> Any:
        kind = type(value)
        exact = abs(value) <= _EXACT if kind is int else kind is float and math.isfinite(value)
        if value is None or kind in (bool, str) or exact:
            return value
        if kind in _CONTAINERS:
            return self.container(value, path)
        if isinstance(value, Tensor) or kind in (np.ndarray, np.memmap):
            return self.array(value, path)
        for name, (of, packed, _) in _LEAVES.items():
            if isinstance(value, of) and (kind is of or of not in _KEY_TYPES):
                text = packed(value)
                if text is not None:
                    return {name: text}
        raise _unsupported(value, path)

    def container(self, value: Any, path: tuple[Any, ...]) -> Any:
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
            self.keys = _sum_of_keys(self.keys, value)
            packed = [[self.key(k, path), self.packed(v, (*path, k))] for k, v in value.items()]
        self.open.remove(id(value))
        if hasattr(value, "_metadata"):  # of `Module.state_dict`
            versions = self.packed(value._metadata, (*path, "_metadata"))
            return {"state_dict": [{"dict": packed}, versions]}
        return packed if kind is list else {kind.__name__: packed}

    def key(self, key: Any, path: tuple[Any, ...]) -> Any:
        if not _is_key(key):
            raise TypeError(
                f"cannot save {_place(path)}: it has a key of type {type(key).__name__}. Keys are "
                "numbers, strings, booleans, None and tuples of them"
            )
        return self.packed(key, (*path, key))

    def array(self, value: Any, path: tuple[Any, ...]) -> Any:
        """Store an array under a name; return its JSON."""
        own = value._array if isinstance(value, Tensor) else value
        array = np.asarray(move_to_device(own, CPU))
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
        self.tensors[name] = [name, bool(value._requires_grad)]
        return {kind: self.tensors[name]}


def _state_dict(parts: tuple[Any, ...]) -> Any:
    """Return the dict that `Module.state_dict` returned: of tensors, and of versions of modules."""
    if len(parts) != 2 or not all(isinstance(part, dict) for part in parts):
        raise _wrong("has a state dict that is not of two dicts")
    state: Any = OrderedDict(parts[0])
    state._metadata = OrderedDict(parts[1])
    return state


def _is_key(key: Any) -> bool:
    return type(key) in _KEY_TYPES or (type(key) is tuple and all(map(_is_key, key)))


def _sum_of_keys(count: int, keys: Any) -> int:
    """Return `count + len(keys)`; raise `FormatError` if that is more than a file may have."""
    if (count := count + len(keys)) <= _MAX_KEYS:
        return count
    raise FormatError(
        f"dicts whose keys are not all strings have {count} keys, and those of a file may have "
        f"{_MAX_KEYS}: save two lists instead"
    )


def _place(path: tuple[Any, ...]) -> str:
    return "".join(f"[{key!r}]" for key in path) or "this"


def _unsupported(value: Any, path: tuple[Any, ...]) -> TypeError:
    hint = "Save its attributes"
    if hasattr(value, "state_dict"):
        hint = (
            "A module or an optimizer is rebuilt by its own code: write "
            "save(model.state_dict(), path), and later model.load_state_dict(load(path))"
        )
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


class _Unpacker:
    """Converts JSON to objects; uses each array once, so that a small file cannot fill memory."""

    def __init__(self, arrays: dict[str, Any]) -> None:
        self.arrays = arrays
        self.read: set[str] = set()
        self.keys = 0  # that are not all strings
        self.memories: set[str] = set()  # memories that tensors of the file view

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
        if kind in ("tuple", "state_dict") and isinstance(content, list):
            parts = tuple([self.unpacked(part, depth + 1) for part in content])
            return parts if kind == "tuple" else _state_dict(parts)
        if kind in ("array", "tensor", "parameter"):
            return self.array(kind, content)
        return _leaf(kind, content)

    def mapping(self, kind: type[dict[Any, Any]], content: Any, depth: int) -> Any:
        if isinstance(content, dict):
            return kind({key: self.unpacked(value, depth + 1) for key, value in content.items()})
        items: dict[Any, Any] = {}
        pairs = content if isinstance(content, list) else [None]
        self.keys = _sum_of_keys(self.keys, pairs)
        for pair in pairs:
            if not isinstance(pair, list) or len(pair) != 2:
                raise _wrong("has a dict that is not of pairs")
            key, value = (self.unpacked(part, depth + 1) for part in pair)
            if not _is_key(key) or key in items:
                raise _wrong(f"has a dict with an invalid or repeated key: {key!r:.80}")
            items[key] = value
        return kind(items)

    def array(self, kind: str, content: Any) -> Any:
        fields = [content, False] if kind == "array" else content
        if not isinstance(fields, list) or len(fields) not in (2, 3) or type(fields[1]) is not bool:
            raise _wrong(f"has the invalid {kind} {content!r:.80}")
        name, requires_grad, *places = fields
        if not isinstance(name, str) or name not in self.arrays or name in self.read:
            raise _wrong(f"uses tensor {name!r:.80} twice, or it is missing")
        self.read.add(name)
        array = self.arrays[name]
        for place in places:
            if (array := view_at(place, self.arrays, array)) is None:
                raise _wrong(f"has the invalid place {place!r:.80}")
            self.memories.add(place[0])
        if requires_grad and array.dtype.kind != "f":
            raise _wrong(f"has tensor {name!r:.80} of {array.dtype} that requires grad")
        if kind == "array":
            return array
        if kind == "parameter":
            return Parameter(array, requires_grad)
        tensor = leaf_of(array)
        tensor.requires_grad = requires_grad
        return tensor


def _leaf(kind: str, content: Any) -> Any:
    if kind not in _LEAVES:
        raise _wrong(f"has the unknown type {kind!r:.40}")
    try:
        return _LEAVES[kind][2](content)
    except (TypeError, ValueError, KeyError) as error:
        raise _wrong(f"has the invalid {kind} {content!r:.80}") from error


def _digits(scalar: Any) -> list[str] | None:
    array = np.asarray(scalar, scalar.dtype.newbyteorder("<"))
    return [array.dtype.name, array.tobytes().hex()] if array.dtype.name in _DTYPES else None


def _scalar(content: Any) -> Any:
    name, digits = content
    one = np.frombuffer(bytes.fromhex(digits), _DTYPES[name].newbyteorder("<"))
    return one.astype(_DTYPES[name]).reshape(())[()]


def _wrong(what: str) -> FormatError:
    return FormatError(f"not a checkpoint of this library: its structure {what}")


# By name, types that JSON lacks: the type, the function to JSON (None: not supported), the inverse.
_LEAVES: dict[str, tuple[Any, Callable[[Any], Any], Callable[[Any], Any]]] = {
    "int": (int, hex, lambda digits: int(digits, 16)),
    "float": (float, repr, {"inf": math.inf, "-inf": -math.inf, "nan": math.nan}.__getitem__),
    "bytes": (bytes, bytes.hex, bytes.fromhex),
    "dtype": (np.dtype, lambda d: d.name if d.name in _DTYPES else None, _DTYPES.__getitem__),
    "scalar": (np.generic, _digits, _scalar),
}
