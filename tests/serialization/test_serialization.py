"""Saving and loading: supported types, errors, files, atomic replacement."""

import gzip
import io
import json
import math
import os
import signal
import stat
import struct
from collections import Counter, OrderedDict, defaultdict
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tinygrad_fc as tg
from tinygrad_fc import serialization
from tinygrad_fc.serialization import _replacing, load, save

DTYPES = [np.dtype(c) for c in "?bhilBHILefd"]


def saved(obj: Any) -> bytes:
    file = io.BytesIO()
    save(obj, file)
    return file.getvalue()


def loaded(data: bytes) -> Any:
    return load(io.BytesIO(data))


def round_trip(obj: Any) -> Any:
    return loaded(saved(obj))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def same(a: Any, b: Any) -> bool:
    """Return whether two values have the same type and the same bits."""
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        pairs = list(zip(a.items(), b.items(), strict=True))
        return all(same(ka, kb) and same(va, vb) for (ka, va), (kb, vb) in pairs)
    if isinstance(a, tg.Tensor):
        a, b = ((t.requires_grad, t._array) for t in (a, b))
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, np.ndarray | np.generic):
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    if isinstance(a, float):
        return struct.pack("<d", a) == struct.pack("<d", b) or (math.isnan(a) and math.isnan(b))
    return bool(a == b)


# Supported types

arrays = hnp.arrays(
    st.sampled_from(DTYPES), hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3)
)
floats = hnp.arrays(st.sampled_from(DTYPES[-3:]), hnp.array_shapes(min_dims=0, max_dims=2))
keys = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.tuples(inner, inner),
    max_leaves=3,
)
leaves = (
    keys
    | st.just(math.nan)
    | st.integers(-(2**70), 2**70)
    | st.binary(max_size=4)
    | arrays
    | arrays.map(tg.from_numpy)
    | floats.map(lambda a: tg.tensor(a, requires_grad=True))
    | floats.map(tg.nn.Parameter)
    | arrays.filter(lambda a: a.size).map(lambda a: a.reshape(-1)[0])
    | st.sampled_from(DTYPES)
)
structures = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(keys, inner, max_size=3)
        | st.dictionaries(st.text(max_size=3), inner, max_size=3)
        | st.dictionaries(keys, inner, max_size=2).map(OrderedDict)
    ),
    max_leaves=8,
)


@given(structures)
@example({"a": {"b": tg.zeros(1)}, "a.b": tg.ones(2), "a.b#2": tg.ones(3)})
@example({"__metadata__": tg.zeros(1), "": tg.ones(1), "\ud800": tg.ones(2)})
@example({2: "int", "2": "str", 1.5: "float", True: 0} | {(1, (2,)): None})
@example([-0.0, math.inf, -math.inf, 5e-324, 2**63, -(2**64), 10**5000, np.float64(0.1)])
@example(Counter("abca"))
def test_a_round_trip_preserves_values_and_types(obj: Any):
    assert same(round_trip(obj), obj)


@given(st.dictionaries(st.text(max_size=5), arrays.map(tg.from_numpy), max_size=5))
def test_a_state_dict_preserves_its_order_and_needs_no_metadata(state: dict[str, Any]):
    data = saved(state)
    assert same(loaded(data), state)  # in its order
    if all(name.isascii() and name != "__metadata__" for name in state):
        assert "__metadata__" not in header_of(data)


def test_arrays_of_any_layout():
    base = np.arange(24.0).reshape(4, 6)
    broadcast = np.broadcast_to(np.float32(3), (2, 3))
    odd = [base.T, base[::-1, ::2], np.asfortranarray(base), broadcast, base.astype(">f8")]
    for array in odd:
        back = round_trip(array)
        np.testing.assert_array_equal(back, array)
        assert back.dtype.isnative
        back += 1  # it owns its memory


def test_tensors_are_aligned_to_their_element_size():
    w = tg.ones(2)
    data = saved({"flag": tg.ones(3, dtype=tg.bool), "w": w, "h": tg.ones(3, dtype=tg.half)})
    header = header_of(data)
    assert int.from_bytes(data[:8], "little") % 8 == 0
    assert [header[name]["data_offsets"][0] for name in ("w", "h", "flag")] == [0, 16, 22]


@given(st.integers(0, 2**32 - 1))
def test_tensors_that_share_memory_share_it_when_they_are_loaded(seed: int):
    rng = np.random.default_rng(seed)
    x = tg.from_numpy(rng.integers(0, 9, (3, 4)).astype(rng.choice(["f8", "i2"])))
    reverse = tg.from_numpy(x.data._array[::-1, 1:])
    views = [x, x, x[1:, ::2], x.t(), x[0], x[2], x[1:], x[:, 1:2].expand(3, 2), reverse, x[3:]]
    chosen = [views[k] for k in rng.permutation(len(views))[: rng.integers(1, 5)]]
    loaded = round_trip(chosen)
    pairs = []
    for tensors in (chosen, loaded):
        shown = [t.numpy() for t in tensors]
        pairs.append([np.shares_memory(a, b) for a in shown for b in shown])
    assert pairs[0] == pairs[1]
    for a, b in zip(chosen, loaded, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())
        assert b.dtype == a.dtype


def test_a_tied_parameter_is_tied_when_it_is_loaded_and_each_name_has_its_values():
    model = tg.nn.Sequential(tg.nn.Linear(2, 2), tg.nn.Linear(2, 2))
    model[1].weight = model[0].weight
    data = saved(model.state_dict())
    assert {"0.weight", "1.weight"} <= set(header_of(data))
    state = tg.load(io.BytesIO(data))
    state["0.weight"].zero_()
    assert not state["1.weight"].any()


def header_of(data: bytes) -> Any:
    size = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + size])


# Errors


@pytest.mark.parametrize(
    ("obj", "message"),
    [
        (
            tg.nn.Linear(1, 1),
            r"it is a Linear.*save\(model\.state_dict\(\), path\).*load_state_dict\(",
        ),
        ({"f": [len]}, r"\['f'\]\[0\]: it is a builtin_function.*save model\.state_dict"),
        (tg.Generator(), r"Save its get_state\(\)"),
        ({1, 2}, "it is a set"),
        (np.zeros(2, complex), r"its dtype is complex128\. Files hold booleans and real"),
        (tg.from_numpy(np.zeros(2, np.longdouble)), "its dtype is"),
        (np.longdouble(1), "it is a longdouble"),
        (np.dtype("U3"), "cannot save this"),
        (np.ma.array([1.0]), "it is a MaskedArray.*plain ndarray"),
        (signal.SIGINT, "it is a Signals.*plain int"),
        (defaultdict(list), "it is a defaultdict.*plain dict"),
        ({"a": [{tg.int64: 1}]}, r"cannot save \['a'\]\[0\]: it has a key of type "),
        ({frozenset(): 1}, "it has a key of type frozenset"),
    ],
)
def test_unsupported_types(obj: Any, message: str, tmp_path: Path):
    path = tmp_path / "x"
    path.write_bytes(b"old")
    with pytest.raises(TypeError, match=message):
        save(obj, path)
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["x"]


def test_an_object_that_contains_itself_or_is_too_deep():
    ring: Any = {"a": []}
    ring["a"].append(ring)
    with pytest.raises(ValueError, match=r"cannot save \['a'\]\[0\]: it contains itself"):
        saved(ring)
    deep: Any = 1
    for _ in range(100):
        deep = [deep]
    assert round_trip(deep) == deep
    with pytest.raises(ValueError, match="nested more than 100 deep"):
        saved([deep])
    twice = [1]
    assert round_trip([twice, twice]) == [[1], [1]]


# Files


def test_paths_and_files_of_all_kinds(tmp_path: Path):
    state = {"w": tg.arange(3)}
    for path in (tmp_path / "a", str(tmp_path / "b"), os.fsencode(tmp_path / "c")):
        save(state, path)
        assert same(load(path), state)
    for open_ in (gzip.open, partial(open, buffering=0)):
        with open_(tmp_path / "d", "wb") as file:
            file.write(b"before")
            save(state, file)
        with open_(tmp_path / "d", "rb") as file:
            file.read(6)
            assert same(load(file), state)
    pipe = SimpleNamespace(read=io.BytesIO(saved(state)).read)  # not seekable
    assert same(load(pipe), state)


def test_invalid_paths_and_files():
    message = r"save takes a path or a binary file, got a int. Write save\(obj"
    with pytest.raises(TypeError, match=message):
        save({}, 3)
    with pytest.raises(TypeError, match=r"load takes a path or a binary file, got a dict"):
        load({})
    for call in (lambda f: save({}, f), load):
        with pytest.raises(TypeError, match=r"got a text file, .* Open it with a 'b'"):
            call(io.StringIO())
    with pytest.raises(FileNotFoundError):
        load("/nowhere/at/all")


def test_options_of_pytorchs_load(tmp_path: Path):
    save({"a": tg.zeros(1)}, tmp_path / "a")
    for location in (None, "cpu", tg.device("cpu"), {"cuda:0": "cpu"}, lambda storage, _: storage):
        assert load(tmp_path / "a", map_location=location, weights_only=False)["a"].shape == (1,)
    with pytest.raises(RuntimeError, match="there is no device 'cuda'"):
        load(tmp_path / "a", "cuda")


# Atomic replacement of files


def test_a_replaced_file_has_the_same_permissions(tmp_path: Path):
    path = tmp_path / "model"
    before = os.umask(0o027)
    try:
        save({"a": 1}, path)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    path.chmod(0o604)
    save({"a": 2}, path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o604
    link = tmp_path / "link"
    link.symlink_to(path)
    save({"a": 3}, link)
    assert link.is_symlink()
    assert load(path) == {"a": 3}
    assert names(tmp_path) == ["link", "model"]


def test_read_only_files_owners_and_loops_of_links_are_respected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path, owners, link = tmp_path / "model", [], tmp_path / "link"
    save({"a": 1}, path)
    status = path.stat()
    monkeypatch.setattr(os, "chown", lambda draft, *owner: owners.append(owner))
    save({"a": 2}, path)
    assert owners == [(status.st_uid, status.st_gid)]
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write everywhere
    with pytest.raises(PermissionError, match="read-only"):
        save({"a": 3}, path)
    assert load(path) == {"a": 2}
    link.symlink_to(link)
    with pytest.raises(OSError, match="link"):
        save({"a": 3}, link)
    assert names(tmp_path) == ["link", "model"]


def test_drafts_of_killed_processes_are_removed_and_those_of_others_kept(tmp_path: Path):
    fcntl = pytest.importorskip("fcntl", reason="needs locks of POSIX")
    (tmp_path / ".saving-killed.tmp").write_bytes(b"half")
    (tmp_path / "a").touch(0o600)
    folder = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(folder, fcntl.LOCK_EX)  # as `flock folder python train.py` does
    with _replacing(str(tmp_path / "a")) as file:
        assert not (tmp_path / ".saving-killed.tmp").exists()
        assert Path(str(file.name)).stat().st_mode & 0o777 == 0o600  # as its target, at once
        tg.save(tg.ones(2), tmp_path / "b")
        file.write(b"complete")
    assert (tmp_path / "a").read_bytes() == b"complete"
    assert names(tmp_path) == ["a", "b"]
    os.close(folder)


def test_sizes_that_take_long_are_refused(monkeypatch: pytest.MonkeyPatch):
    file, keys = io.BytesIO(), [dict.fromkeys(range(6)) for _ in range(2)]
    tg.save({k: tg.ones(1) for k in range(3)} | {"keys": keys}, file)
    for name, limit, match in (
        ("MAX_TENSORS", 2, r"3 tensors, expected fewer than 2|has 4 entries, and at most 2"),
        ("MAX_CONTAINERS", 9, "at most 9 lists, tuples and dicts"),
        ("_MAX_KEYS", 8, "have (10|15) keys, and those of a file may have 8"),
    ):
        module = serialization if name == "_MAX_KEYS" else serialization.safetensors
        obj = load(io.BytesIO(file.getvalue()))
        with monkeypatch.context() as patch:
            patch.setattr(module, name, limit)
            with pytest.raises(ValueError, match=match):
                saved(obj)
            with pytest.raises(serialization.FormatError, match=match):
                loaded(file.getvalue())


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
@pytest.mark.parametrize("call", ["replace", "fsync", "write", "chmod"])
def test_an_error_leaves_only_the_old_file(
    call: str, error: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path = tmp_path / "model"
    save({"a": 1}, path)
    old = path.read_bytes()

    def fail(*_: Any, **__: Any) -> Any:
        raise error

    if call == "write":
        monkeypatch.setattr(
            serialization.safetensors, "write", lambda file, *_: fail(file.write(b"h"))
        )
    else:
        monkeypatch.setattr(os, call, fail)
    with pytest.raises(type(error)):
        save({"a": tg.zeros(1000)}, path)
    monkeypatch.undo()
    assert path.read_bytes() == old
    assert names(tmp_path) == ["model"]
    save({"a": 2}, path)
    assert load(path) == {"a": 2}


def test_missing_folders_and_paths_of_no_file(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match="missing"):
        save({}, tmp_path / "missing" / "model")
    with pytest.raises(IsADirectoryError):
        save({}, tmp_path)
    save({"a": 1}, os.devnull)
    assert not Path(os.devnull).is_file()
