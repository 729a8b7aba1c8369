"""Invalid and hostile files, and details of the safetensors format."""

import io
import json
import math
import struct
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_serialization import loaded, saved

import tinygrad_fc as tg
from tinygrad_fc import serialization
from tinygrad_fc.serialization import FormatError, load


def assembled(header: Any, body: bytes = b"", length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + body


def entry(dtype: Any = "F32", shape: Any = (1,), offsets: Any = (0, 4)) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


def structured(root: Any, version: str = "1", **tensors: Any) -> bytes:
    text = root if isinstance(root, str) else json.dumps({"root": root})
    metadata = {"tinygrad_fc.version": version, "tinygrad_fc.structure": text}
    return assembled({"__metadata__": metadata, **tensors}, b"\0" * (4 * len(tensors)))


def single(body: bytes = b"1234", **of: Any) -> bytes:
    return assembled({"a": entry(**of)}, body)


TWO = {"a": entry(), "b": entry(offsets=(4, 8))}
PLACES = (1, [], ["b"], ["c", 0, 1], [["b"], 0, 1], ["b", True, 1], ["b", 1, 1], ["b", 0, 1, 1])
HOSTILE = {
    "nothing": (b"", "it has 0 bytes"),
    "too short": (b"1234567", "it has 7 bytes"),
    "a header longer than the file": (assembled({}, length=100), "would be 100 bytes long, .* 2"),
    "a zip": (b"PK\3\4" + b"\0" * 60, "cannot load this file of PyTorch: it is damaged"),
    "a pickle": (b"\x80\2" + b"\xff" * 60, "which could run any code"),
    "no JSON": (assembled(b"{nonsense}"), "the header is not JSON"),
    "not an object": (assembled(b"[1, 2]"), "not an object that begins with '{'"),
    "an empty header": (assembled(b""), "the header is not JSON"),
    "not UTF-8": (assembled(b'{"\xff": 1}'), "the header is not JSON: 'utf-8' codec"),
    "NaN": (assembled(b'{"a": NaN}'), "NaN is not a number of JSON"),
    "a number of many digits": (assembled(b'{"a": 1' + b"0" * 9999 + b"}"), "not JSON: Exceeds"),
    "twice the same name": (assembled(b'{"a": 1, "b": 2, "a": 3}'), "has the key 'a' twice"),
    "deep lists": (
        assembled(b'{"a":' + b"[" * 10**5 + b"]" * 10**5 + b"}"),
        "while decoding a JSON",
    ),
    "metadata that is a list": (assembled({"__metadata__": []}), "not an object of strings"),
    "a number for a tensor": (assembled({"a": 1}), "entry of tensor 'a' is not an object"),
    "no dtype": (assembled({"a": {"shape": [1]}}), "tensor 'a' has no dtype"),
    "F8": (single(dtype="F8_E4M3", shape=(4,)), "dtype 'F8_E4M3', which NumPy lacks"),
    "a shape that is a number": (single(shape=1), "has a shape that is not"),
    "a negative size": (single(shape=(-1,)), "has a shape that is not"),
    "a true size": (single(shape=(True,)), "has a shape that is not"),
    "many sizes": (single(shape=(1,) * 65), "at most 64 sizes"),
    "huge sizes": (single(shape=(2**62, 2**62)), "match shape"),
    "huge sizes of nothing": (single(b"", shape=(0, 2**62, 2**62), offsets=(0, 0)), "tensor 'a': "),
    "a wrong shape": (single(shape=(2,)), "has 4 bytes, which do not match"),
    "offsets that are a string": (single(offsets="04"), "data_offsets"),
    "offsets past the end": (single(offsets=(4, 8)), "outside of the 4"),
    "a truncated body": (assembled(TWO, b"1234567"), "outside of the 7 bytes.*is it truncated"),
    "trailing bytes": (assembled(TWO, b"123456789"), "1 bytes follow its last tensor"),
    "an overlap": (assembled({"a": entry(), "b": entry()}, b"1234"), "overlaps another"),
    "a gap": (assembled({"b": entry(offsets=(4, 8))}, b"12345678"), "follows a gap"),
    "a structure of tomorrow": (structured("{}", version="2"), "has version '2', .* reads 1"),
    "no root": (structured("{}"), "needs one root"),
    "a structure that is not JSON": (structured("{"), "the structure is not JSON"),
    "a deep structure": (structured(json.loads("[" * 200 + "]" * 200)), "too deeply"),
    "code": (structured({"function": "os.system"}), "has the unknown type 'function'"),
    "two kinds": (structured({"int": "1", "float": "inf"}), "an object with 2 keys"),
    "a scalar of objects": (structured({"scalar": ["object", "00"]}), "the invalid scalar"),
    "a tuple of a number": (structured({"tuple": 3}), "has the unknown type 'tuple'"),
    "a dict of a number": (structured({"dict": 3}), "not of pairs"),
    "a dict with a list for a key": (structured({"dict": [[[], 1]]}), "or repeated key"),
    "a dict with a key twice": (structured({"dict": [[1, 1], [True, 2]]}), "or repeated key"),
    "a tensor that is not there": (structured({"tensor": ["a", False]}), "or it is missing"),
    "a tensor twice": (structured([{"array": "a"}, {"array": "a"}], a=entry()), "uses tensor 'a'"),
    "a tensor left over": (structured(1, a=entry()), "does not use tensor 'a'"),
    "a maybe": (structured({"tensor": ["a", 1]}, a=entry()), "has the invalid tensor"),
    **{
        f"the place {place}": (
            structured([{"tensor": ["a", False, place]}, {"tensor": ["b", False]}], **TWO),
            "the invalid place",
        )
        for place in PLACES
    },
    "int": (structured({"tensor": ["a", True]}, a=entry("I32")), "of int32 that requires grad"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_invalid_files_raise_format_error(name: str, tmp_path: Path):
    data, message = HOSTILE[name]
    (tmp_path / "hostile").write_bytes(data)
    for f in (io.BytesIO(data), tmp_path / "hostile"):
        with pytest.raises(FormatError, match=message) as caught:
            load(f)
        assert len(str(caught.value)) < 1000
    assert issubclass(FormatError, ValueError)


VALID = [
    saved({"w": tg.arange(6.0).reshape(2, 3), "b": tg.ones(2, dtype=tg.bool)}),
    saved(
        {
            "model": {"w": tg.ones(2, 2), "half": tg.ones(3, dtype=tg.half)},
            "state": {0: {"step": tg.tensor(3), "buffer": None}, (1, 2): [0.1, math.inf, 2**70]},
            "scalar": np.float32(3),
            "parameter": tg.nn.Parameter([1.0]),
            "dtype": tg.int8,
            "bytes": b"123",
        }
    ),
]


TOKENS = [
    *(b"{", b"}", b"[", b"]", b'"', b",", b":", b"\\", b"\\ud800", b"null", b"true", b"-1", b"1e9"),
    *(b"9" * 30, b"NaN", b"dtype", b"shape", b"tensor", b"scalar", b"root", b"int", b" "),
]


@given(
    data=st.sampled_from(VALID),
    edits=st.lists(
        st.tuples(
            st.integers(0, 10**4),
            st.integers(0, 6),
            st.sampled_from(TOKENS) | st.binary(min_size=1, max_size=1),
        ),
        max_size=4,
    ),
    fits=st.booleans(),
    cut=st.none() | st.integers(0, 10**4),
    more=st.binary(max_size=3),
)
def test_damaged_files_load_or_raise_format_error(
    data: bytes, edits: Any, fits: bool, cut: Any, more: bytes
):
    size = int.from_bytes(data[:8], "little")
    header, body = data[8 : 8 + size], data[8 + size :]
    for at, width, part in edits:
        start = at % (len(header) + 1)
        header = header[:start] + part + header[start + width :]
    damaged = assembled(header, body, None if fits else size)
    with suppress(FormatError):
        loaded(damaged[:cut] + more)


def test_truth_values_and_bf16_are_converted():
    flags = loaded(single(b"\0\1\7", dtype="BOOL", shape=(3,), offsets=(0, 3)))["a"]
    assert flags.numpy().view(np.uint8).tolist() == [0, 1, 1]  # other bytes than 0 are true
    values = np.array([1.0, -2.5, np.inf, 3e38], np.float32)
    body = (values.view(np.uint32) >> 16).astype("<u2").tobytes()
    back = loaded(single(body, dtype="BF16", shape=(4,), offsets=(0, 8)))["a"]
    assert back.dtype == np.float32
    np.testing.assert_allclose(back.numpy(), values, rtol=2**-8)


def test_a_header_above_the_limit_is_not_written(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(serialization.safetensors, "HEADER_LIMIT", 100)
    message = r"the format allows 100\. Save arrays instead of long lists"
    with pytest.raises(ValueError, match=message):
        saved(list(range(100)))
