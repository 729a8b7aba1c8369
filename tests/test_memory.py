"""Memory of the process: the option of the allocator that is set at import."""

from __future__ import annotations

import subprocess
import sys

import pytest

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
print(traced < 20_000_000, faults() < 5_000)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's option")
@pytest.mark.parametrize(("option", "few_faults"), [("1", True), ("0", False)])
def test_freed_memory_is_kept_unless_disabled(option: str, few_faults: bool) -> None:
    out = subprocess.run(  # noqa: S603  this interpreter
        [sys.executable, "-c", SOURCE],
        env={"PATH": "", "TINYGRAD_FC_KEEP_MEMORY": option, "PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        check=True,
    )
    assert out.stdout.split() == [b"True", str(few_faults).encode()]


def test_freeing_a_changed_array_at_exit_raises_no_error() -> None:
    """At exit, the interpreter clears modules before it frees reference cycles."""
    source = """
import tinygrad_fc as tg
from tinygrad_fc import graph
changed = tg.zeros(3).add_(1)
graph.state = None
del changed
"""
    done = subprocess.run(  # noqa: S603  this interpreter
        [sys.executable, "-c", source],
        env={"PATH": "", "PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        check=True,
    )
    assert not done.stderr, done.stderr.decode()
