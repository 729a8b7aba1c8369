"""What a graph costs: time and memory linear in its length, and it dies by reference count."""

from __future__ import annotations

import gc
import itertools
import sys
import tracemalloc
import weakref
from typing import Any

import numpy as np
import pytest
from drawing import (
    T,
)

import tinygrad_fc as tg
from tinygrad_fc.domain import real


def test_a_chain_of_many_operations():
    # Recursion anywhere on the way (forward, order, rules, freeing) would end this process.
    x = T(np.array(1.0))
    y = first = -x
    gone = weakref.ref(first)
    del first
    gc.disable()  # which takes as long as all the rest, to find nothing
    try:
        for _ in range(299_999):
            y = -y
        y.backward()
        assert gone() is None
        assert x.grad.item() == 1
        assert y.item() == 1
    finally:
        gc.enable()


def test_a_chain_that_is_never_walked_is_freed_by_reference_count():
    x = T(np.array(1.0))
    first = y = -x
    gone = weakref.ref(first)
    del first
    gc.disable()
    try:
        for _ in range(300_000):
            y = -y
        assert gone() is not None
        del y
        assert gone() is None
    finally:
        gc.enable()


def test_time_is_linear_in_the_length_of_a_chain():
    # Counted in calls of the interpreter's, which do not depend on who else uses the machine.
    def calls(n: int) -> int:
        x = T(np.array(1.0))
        y = x
        for _ in range(n):
            y = -y
        counted = itertools.count()

        def count(*_: Any) -> None:
            next(counted)

        sys.setprofile(count)
        try:
            y.backward()
        finally:
            sys.setprofile(None)
        return next(counted)

    short, long = calls(1000), calls(4000)
    assert 1000 < short < long < 4.1 * short


@pytest.mark.parametrize("create_graph", [False, True])
def test_training_without_the_garbage_collector_keeps_memory_flat(create_graph: bool):
    rng = np.random.default_rng(0)
    w, b = T(rng.normal(size=(3, 4))), T(np.zeros(3))
    x, target = tg.from_numpy(rng.normal(size=(5, 4))), tg.from_numpy(rng.normal(size=(5, 3)))

    def step() -> None:
        loss = ((tg.nn.functional.linear(x, w, b).sigmoid() - target) ** 2).mean()
        if create_graph:
            grads = tg.autograd.grad(loss, [w, b], create_graph=True)
            loss = sum((g * g).sum() for g in grads) + loss
        loss.backward()
        with tg.no_grad():
            for p in (w, b):
                p.sub_(0.01 * p.grad)
                p.grad = None

    gc.collect()
    gc.disable()
    try:
        for _ in range(200):
            step()
        tracemalloc.start()
        step()
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(1_000 if create_graph else 5_000):
            step()
        after = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
        gc.enable()
    # One leaked tensor per step would be half a megabyte; free lists of the interpreter are less.
    assert after - before < 250_000


def test_an_error_in_the_walk_leaks_no_graph():
    x = T(np.ones(3))
    bad = tg.op(lambda x: x * 2, name="bad", domain=(real,), rules=(lambda g, out, x: 1 / 0,))
    gone = []
    gc.disable()
    try:
        for _ in range(3):
            y = x * 2
            gone.append(weakref.ref(y))
            with pytest.raises(ZeroDivisionError):
                bad(y).sum().backward()
            del y
        assert [ref() for ref in gone] == [None] * 3
    finally:
        gc.enable()
