"""Time and memory of a graph, linear in its length and freed by reference count; the allocator."""

import subprocess
import sys
import time
import tracemalloc
import weakref

import numpy as np
import pytest
from drawing import T

import tinygrad_fc as tg
from tinygrad_fc.domain import real


@pytest.mark.usefixtures("_by_reference_count")
def test_a_long_chain_needs_no_recursion_and_linear_time():
    # Recursion anywhere (forward, order, rules, freeing) would overflow the stack; time that is
    # quadratic would be hours.
    x = T(np.array(1.0))
    y = first = -x
    alive = weakref.ref(first)
    del first
    for _ in range(99_999):
        y = -y
    y.backward()
    assert x.grad.item() == 1
    assert y.item() == 1
    del y
    assert alive() is None


@pytest.mark.parametrize("create_graph", [False, True])
def test_memory_of_training_is_constant_without_the_garbage_collector(create_graph: bool):
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

    for _ in range(200):
        step()
    tracemalloc.start()
    step()
    before = tracemalloc.get_traced_memory()[0]
    for _ in range(1_000):
        step()
    after = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    # One leaked tensor per step would be 200 kB or more; free lists of the interpreter are less.
    assert after - before < 150_000


@pytest.mark.usefixtures("_by_reference_count")
def test_an_error_in_the_backward_pass_leaks_no_graph():
    x = T(np.ones(3))
    bad = tg.op(lambda x: x * 2, name="bad", domain=(real,), rules=(lambda g, out, x: 1 / 0,))
    alive = []
    for _ in range(3):
        y = x * 2
        alive.append(weakref.ref(y))
        with pytest.raises(ZeroDivisionError):
            bad(y).sum().backward()
        del y
    assert [ref() for ref in alive] == [None] * 3


def test_rows_take_linear_time_in_the_backward_pass():
    def seconds(n: int) -> float:
        x, w = T(np.ones((n, 400))), T(np.ones(()))
        out = tg.zeros(n, 400)
        for i, row in enumerate(x.unbind()):
            out[i] = row * w
        total = out.sum()
        start = time.process_time()
        total.backward()
        assert x.grad.numpy().all()
        assert w.grad.item() == 400 * n
        return time.process_time() - start

    # With an array of n rows for each, 16 times as long.
    assert min(seconds(1000) for _ in range(3)) < 9 * min(seconds(250) for _ in range(3))


# Memory of the process: the option of the allocator that the first backward pass sets

SOURCE = """
import resource, tracemalloc
tracemalloc.start()
import tinygrad_fc, numpy as np
traced = sum(s.size for s in tracemalloc.take_snapshot().statistics("filename"))
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(5):
        arrays = [np.ones(1 << 20) for _ in range(6)]
        del arrays
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults()
at_import = faults()
x = tinygrad_fc.ones(2, requires_grad=True)
x.sum().backward()
faults()
print(traced < 20_000_000, at_import < 5_000, faults() < 5_000)
"""


EXIT = """
import tinygrad_fc as tg
from tinygrad_fc.core import graph
changed = tg.zeros(3).add_(1)
graph.state = None
del changed
"""


def run(source: str, **variables: str) -> list[str]:
    """Run `source` in a process of its own, and return the words it prints, errors included."""
    out = subprocess.run(  # noqa: S603  this interpreter
        [sys.executable, "-c", source],
        env={"PATH": "", "PYTHONPATH": ":".join(sys.path), **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=True,
    )
    return out.stdout.decode().split()


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's option")
@pytest.mark.parametrize(("option", "few_faults"), [("1", "True"), ("0", "False")])
def test_the_first_backward_pass_keeps_freed_memory_unless_disabled(option: str, few_faults: str):
    assert run(SOURCE, TINYGRAD_FC_KEEP_MEMORY=option) == ["True", "False", few_faults]


def test_freeing_a_changed_array_at_exit_raises_no_error() -> None:
    """At exit, the interpreter clears modules before it frees reference cycles."""
    assert not run(EXIT)
