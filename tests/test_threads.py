"""Threads over shared parameters: results are correct, or an error is raised."""

import itertools
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from drawing import T, checked_array, close, seeds
from hypothesis import given, settings

import tinygrad_fc as tg
from tinygrad_fc.core.errors import GraphError
from tinygrad_fc.domain import real


@given(seeds)
@settings(max_examples=5)
def test_gradients_of_eight_threads_over_shared_parameters(seed: int):
    rng = np.random.default_rng(seed)
    w, b = T(rng.normal(size=(6, 4))), T(rng.normal(size=6))
    data = [rng.normal(size=(7, 4)) for _ in range(8)]
    start = threading.Barrier(8)

    def loss(x: Any) -> Any:
        return (tg.nn.functional.linear(x, w, b).tanh() ** 2).sum()

    def gradients(a: Any) -> list[np.ndarray]:
        x = T(a)
        return [g.numpy() for g in tg.autograd.grad(loss(x), [w, b, x])]

    expected = [gradients(a) for a in data]  # of one thread

    def work(k: int) -> None:
        x = T(data[k])
        start.wait()
        for _ in range(20):
            for got, right in zip(gradients(data[k]), expected[k], strict=True):
                close(got, right, tolerance=1e-12)
            loss(x).backward()
        close(checked_array(x.grad, x), 20 * expected[k][2], tolerance=1e-12)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    for k, t in enumerate((w, b)):
        total = 20 * sum(of_one[k] for of_one in expected)
        close(checked_array(t.grad, t), total, tolerance=1e-12)


@pytest.fixture
def _frequent_switches() -> Iterator[None]:
    """Switch threads as often as possible."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("_frequent_switches")
def test_a_gradient_agrees_with_its_result_though_threads_change_parameters():
    w = T(np.ones(3))
    done = threading.Event()

    def change() -> None:
        for k in itertools.cycle(range(1, 10)):
            w.data.fill_(k)
            if done.is_set():
                break

    def work(_: int) -> int:
        correct = 0
        for _ in range(300):
            out = (w * w).sum()
            try:
                (g,) = tg.autograd.grad(out, w)
            except GraphError:
                continue
            assert g.tolist() == [2 * (out.item() / 3) ** 0.5] * 3
            correct += 1
        return correct

    with ThreadPoolExecutor(4) as pool:
        changer = pool.submit(change)
        try:
            list(pool.map(work, range(3)))
        finally:
            done.set()
        changer.result()
    assert work(0) == 300


def in_thread(change: Any) -> None:
    """Run `change` in another thread, and wait for its end."""
    thread = threading.Thread(target=change)
    thread.start()
    thread.join()


def test_a_change_by_another_thread_during_the_backward_pass_is_detected():
    w, x = T(np.ones(3)), T(np.ones(3))
    inner = w * x
    out = inner * 2
    out.register_hook(lambda g: in_thread(lambda: w.data.add_(1)))
    with pytest.raises(GraphError, match="multiply needs its argument 0"):
        out.sum().backward()
    assert w.grad is x.grad is None


def test_a_change_by_another_thread_during_the_forward_function_is_detected():
    # The forward function read the old values; the rule would read the new ones.
    w = T(np.ones(3))

    def forward(x: Any) -> Any:
        out = x * x
        in_thread(lambda: w.data.add_(1))
        return out

    square = tg.op(
        forward, name="slow_square", domain=(real,), rules=(lambda g, out, x: g * 2 * x,)
    )
    with pytest.raises(GraphError, match="slow_square needs its argument 0"):
        square(w).sum().backward()


def test_an_unfinished_change_by_another_thread_is_detected():
    # A backward pass during a change may have read some of the new values.
    w = T(np.ones(3))
    out = (w * w).sum()
    started, finished = threading.Event(), threading.Event()

    class Slow(np.ndarray):
        def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, out: Any) -> Any:
            (target,) = out
            np.add(target, 1, out=target)
            started.set()
            finished.wait(0.2)
            return target

    slow = tg.tensor([1.0, 1.0, 1.0])
    slow._array = slow._array.view(Slow)
    changer = threading.Thread(target=lambda: w.data.add_(slow))
    changer.start()
    started.wait()
    with pytest.raises(GraphError, match="multiply needs its argument"):
        out.backward()
    finished.set()
    changer.join()
