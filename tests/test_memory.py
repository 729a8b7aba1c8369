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


EXIT = """
import tinygrad_fc as tg
from tinygrad_fc import graph
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
def test_freed_memory_is_kept_unless_disabled(option: str, few_faults: str) -> None:
    assert run(SOURCE, TINYGRAD_FC_KEEP_MEMORY=option) == ["True", few_faults]


def test_freeing_a_changed_array_at_exit_raises_no_error() -> None:
    """At exit, the interpreter clears modules before it frees reference cycles."""
    assert not run(EXIT)
