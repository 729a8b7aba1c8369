"""Batches, lengths, collating and refusals, side by side with PyTorch's."""

import re
import warnings
from typing import Any, NamedTuple

import numpy as np
import pytest
from against_torch import agree
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_fc as tg
from tinygrad_fc.utils import data as ours

torch = pytest.importorskip("torch")
theirs = pytest.importorskip("torch.utils.data")

LIBRARIES = ((tg, ours), (torch, theirs))


class Pair(NamedTuple):
    x: Any
    y: Any


def outcome(act: Any, library: Any, data: Any) -> Any:
    """Return what `act` gives with a library, or the error that it raises."""
    try:
        return act(library, data)
    except Exception as error:  # noqa: BLE001  whichever it is, it is compared
        return error


def assert_same(act: Any) -> None:
    agree(*(outcome(act, *library) for library in LIBRARIES), 0)


def dataset_of(library: Any, data: Any, kind: str, n: int) -> Any:
    x = np.arange(n * 3.0).reshape(n, 3)
    if kind == "tensors":
        return data.TensorDataset(library.tensor(x), library.arange(n))
    if kind == "subset":
        return data.Subset(dataset_of(library, data, "tensors", n), list(range(n))[::-2])
    if kind == "concatenated":
        half = dataset_of(library, data, "tensors", n)
        return half + half
    if kind == "array":
        return x
    return [{"x": row, "name": str(i), "i": i, "pair": Pair(0.5, i)} for i, row in enumerate(x)]


@given(
    kind=st.sampled_from(["tensors", "subset", "concatenated", "array", "list"]),
    n=st.integers(0, 12),
    batch_size=st.none() | st.integers(-1, 15),
    drop_last=st.booleans(),
    backwards=st.booleans(),
)
def test_batches(kind: str, n: int, batch_size: Any, drop_last: bool, backwards: bool):
    def act(library: Any, data: Any) -> Any:
        dataset = dataset_of(library, data, kind, n)
        sampler = range(len(dataset) - 1, -1, -1) if backwards else None
        loader = data.DataLoader(dataset, batch_size, sampler=sampler, drop_last=drop_last)
        return len(loader), list(loader)

    assert_same(act)


@given(parts=st.lists(st.integers(1, 6), min_size=1, max_size=4), n=st.integers(0, 12))
def test_lengths_of_splits(parts: list[int], n: int):
    shares = [part / sum(parts) for part in parts]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # both say that a split is empty
        split = lambda _, data: [len(s) for s in data.random_split(range(n), shares)]  # noqa: E731
        mine, yours = (outcome(split, *library) for library in LIBRARIES)
    if sum(shares) > 1 and isinstance(yours, Exception):  # by a hair, which PyTorch refuses
        assert sum(mine) == n
    else:
        agree(mine, yours)


SAMPLES = [
    [1, 2],
    [True, False],
    [1.5, 2.5],
    ["a", "b"],
    [b"a", b"b"],
    [(1, "a"), (2, "b")],
    [[1.0, 2], [3.0, 4]],
    [{"a": 1}, {"a": 2}],
    [Pair(1, 2.0), Pair(3, 4.0)],
    [np.float32(1), np.float32(2)],
    [np.float64(1), np.float64(2)],
    [np.int32(1), np.int32(2)],
    [np.bool_(1), np.bool_(0)],
    [np.zeros((2, 1), np.uint8), np.ones((2, 1), np.uint8)],
    [range(3), range(3, 6)],
    [{"x": [np.zeros(2), (1, "s")]}] * 3,
]


def named(value: object) -> str:
    """Return an id that is the same in every process."""
    return re.sub(r" at 0x\w+", "", repr(value))


@pytest.mark.parametrize("samples", SAMPLES, ids=named)
@pytest.mark.parametrize("function", ["default_collate", "default_convert"])
def test_collating(samples: Any, function: str):
    assert_same(lambda _, data: getattr(data, function)(samples))


OPTIONS: list[dict[str, Any]] = [
    {"batch_sampler": [[0, 1], [2]]},
    {"sampler": [2, 0, 2], "batch_size": 2},
    {"collate_fn": len, "batch_size": 2},
    {"batch_size": None},
    {"pin_memory": False},
]


@pytest.mark.parametrize("options", OPTIONS, ids=named)
def test_options(options: Any):
    def act(library: Any, data: Any) -> Any:
        loader = data.DataLoader(dataset_of(library, data, "tensors", 5), **options)
        names = ("batch_size", "num_workers", "drop_last", "pin_memory")
        return [getattr(loader, name) for name in names], len(loader), list(loader)

    assert_same(act)


def test_names_are_where_pytorch_has_them():
    for module in ("dataset", "sampler", "dataloader"):
        mine, yours = (getattr(data, module) for data in (ours, theirs))
        assert all(hasattr(theirs, name) for name in mine.__all__)
        for name in yours.__all__:
            assert not hasattr(ours, name) or hasattr(mine, name)
