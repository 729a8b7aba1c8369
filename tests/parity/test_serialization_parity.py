"""Files that the safetensors package reads, files that it writes, and files that it refuses."""

import io
import json
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tinygrad_fc as tg
from tinygrad_fc.serialization import FormatError, load, save

safetensors = pytest.importorskip("safetensors")
as_numpy = pytest.importorskip("safetensors.numpy")
torch = pytest.importorskip("torch")
as_torch = pytest.importorskip("safetensors.torch")

DTYPES = [np.dtype(c) for c in "?bhilBHILefd"]
arrays = hnp.arrays(
    st.sampled_from(DTYPES), hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3)
)
names = st.text(max_size=4).filter(lambda name: name != "__metadata__")
states = st.dictionaries(names, arrays, max_size=4)


def loaded(data: bytes) -> dict[str, Any]:
    return arrays_of(load(io.BytesIO(data)))


def arrays_of(state: Any) -> dict[str, Any]:
    return {name: tensor.numpy() for name, tensor in state.items()}


def assert_same(mine: Any, yours: Any) -> None:
    assert set(mine) == set(yours)
    for name, array in yours.items():
        assert (mine[name].dtype, mine[name].shape) == (array.dtype, array.shape)
        assert mine[name].tobytes() == array.tobytes()


@given(states)
def test_theirs_reads_ours(state: dict[str, Any]):
    file = io.BytesIO()
    save({name: tg.from_numpy(array) for name, array in state.items()}, file)
    assert_same(as_numpy.load(file.getvalue()), state)
    assert_same(arrays_of(as_torch.load(file.getvalue())), state)


@given(states)
def test_ours_reads_theirs(state: dict[str, Any]):
    assert_same(loaded(as_numpy.save(state)), state)


def test_a_model_goes_to_pytorch_and_comes_back(tmp_path: Any):
    path = tmp_path / "model.safetensors"
    mine, yours = (
        t.nn.Sequential(t.nn.Linear(3, 4), t.nn.ReLU(), t.nn.Linear(4, 2)).double()
        for t in (tg, torch)
    )
    save(mine.state_dict(), path)
    yours.load_state_dict(as_torch.load_file(path))
    assert_same(arrays_of(mine.state_dict()), arrays_of(yours.state_dict()))
    yours[0].reset_parameters()
    as_torch.save_model(yours, path)
    mine.load_state_dict(load(path))
    assert_same(arrays_of(mine.state_dict()), arrays_of(yours.state_dict()))


def test_a_checkpoint_is_a_valid_file_with_names_to_read(tmp_path: Any):
    model = tg.nn.Linear(2, 1)
    optimizer = tg.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    model(tg.ones(1, 2)).sum().backward()
    optimizer.step()
    checkpoint = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 3}
    save(checkpoint, tmp_path / "c")
    with safetensors.safe_open(tmp_path / "c", "numpy") as file:
        assert sorted(file.keys()) == [
            *("model.bias", "model.weight"),
            *(f"optimizer.state.{i}.momentum_buffer" for i in (0, 1)),
        ]
        assert json.loads(file.metadata()["tinygrad_fc.structure"])["root"]["dict"]["epoch"] == 3


def test_the_old_format_of_torch_save_is_refused(tmp_path: Any):
    torch.save({"a": torch.zeros(1)}, tmp_path / "t", _use_new_zipfile_serialization=False)
    with pytest.raises(FormatError, match=r"the format before PyTorch 1\.6"):
        load(tmp_path / "t")
    torch.save({"a": torch.ones(1)}, tmp_path / "t")
    assert load(tmp_path / "t")["a"].tolist() == [1]


# What one refuses, the other does

FIELDS = st.fixed_dictionaries(
    {
        "dtype": st.sampled_from(["F32", "I64", "BOOL", "U8", "f32", "X", 1, None]),
        "shape": st.lists(st.integers(-1, 3), max_size=2)
        | st.sampled_from([None, "1", [2**64], 2]),
        "data_offsets": st.tuples(st.integers(-1, 12), st.integers(-1, 12)) | st.just([0]),
    }
)
# Drawn shapes seldom fit drawn offsets: these do, one after another.
FITTING = [("F32", [2], 8), ("U8", [3], 3), ("BOOL", [], 1), ("I64", [0, 5], 0), ("F16", [1, 1], 2)]


@st.composite
def headers(draw: st.DrawFn) -> tuple[dict[str, Any], int]:
    header, end = {}, 0
    for name in draw(st.permutations("abc")):
        kind, shape, size = draw(st.sampled_from(FITTING))
        header[name] = {"dtype": kind, "shape": shape, "data_offsets": [end, end + size]}
        end += size
    for name in draw(st.lists(st.sampled_from("abcd"), max_size=2)):
        header[name] = draw(FIELDS | st.sampled_from([1, None, {}]))
    if draw(st.booleans()):
        header["__metadata__"] = draw(st.sampled_from([{}, {"a": "b"}, {"a": 1}, [], None, "a"]))
    return header, draw(st.sampled_from([end, end, end, end + 1, end - 1, 0]))


@given(headers())
def test_both_refuse_the_same_headers(drawn: Any):
    header, size = drawn
    text = json.dumps(header).encode()
    data = struct.pack("<Q", len(text)) + text + b"\1" * max(size, 0)
    try:
        theirs: Any = as_numpy.load(data)
    except (safetensors.SafetensorError, TypeError, ValueError, KeyError) as error:
        theirs = error
    try:
        ours: Any = loaded(data)
    except FormatError as error:
        ours = error
    if isinstance(theirs, Exception) or isinstance(ours, Exception):
        assert isinstance(theirs, Exception) == isinstance(ours, Exception), (ours, theirs)
    else:
        assert_same(ours, theirs)
