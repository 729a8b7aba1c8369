"""Collation of samples."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest

import tinygrad_fc as tg
from tinygrad_fc.utils.data import (
    default_collate,
    default_convert,
)


class Point(NamedTuple):
    x: Any
    y: Any


def test_collating_keeps_the_structure():
    batch = default_collate(
        [
            {"point": Point(1, 2.5), "name": "a", "flag": True, "rest": [np.float32(1), b"b"]},
            {"point": Point(3, 4.5), "name": "c", "flag": False, "rest": [np.float32(2), b"d"]},
        ]
    )
    assert isinstance(batch["point"], Point)
    assert batch["point"].x.tolist() == [1, 3]
    assert batch["point"].y.dtype == np.float64
    assert batch["flag"].dtype == np.bool_
    assert batch["rest"][0].dtype == np.float32
    assert (batch["name"], batch["rest"][1]) == (["a", "c"], (b"b", b"d"))
    x = tg.ones(2, requires_grad=True)
    default_collate([(x, 0), (x * 3, 1)])[0].sum().backward()
    assert x.grad.tolist() == [4, 4]
    assert default_collate([np.zeros((2, 3), np.uint8)] * 4).shape == (4, 2, 3)


def test_what_cannot_be_collated():
    with pytest.raises(
        TypeError, match=r"default_collate: batch must contain.*NoneType.*collate_fn"
    ):
        default_collate([None, None])
    with pytest.raises(TypeError, match="found <U1"):
        default_collate([np.array(["a"])])
    with pytest.raises(ValueError, match=r"shapes \(2,\), \(3,\) and cannot be stacked. Pad"):
        default_collate([np.zeros(2), np.zeros(3)])
    with pytest.raises(RuntimeError, match=r"should be of equal size, got sizes \[1, 2\]"):
        default_collate([[1], [1, 2]])
    with pytest.raises(KeyError, match="a sample lacks 'x'"):
        default_collate([{"x": 1}, {"y": 1}])
    with pytest.raises(ValueError, match="at least one sample"):
        default_collate([])


def test_converting_touches_arrays_only():
    batch = default_convert({"a": [np.arange(2), "s"], "b": Point(np.float32(1), 2), "c": (1,)})
    assert batch["a"][0].tolist() == [0, 1]
    assert batch["a"][1] == "s"
    assert batch["b"].x.dtype == np.float32
    assert (batch["b"].y, batch["c"]) == (2, [1])
    words = np.array(["a"])
    assert default_convert(words) is words
    assert default_convert(range(2)) == [0, 1]
