"""Run the kit's own tests again and again, each time under another random seed.

    python -m tests.repeat [--times 1000] [--jobs 2] [--seed 0] [--log FILE] [files …]

No test of the kit may be flaky: one failure in a thousand runs is one a week. The seed of
a run that fails is printed, with the line that runs it again. A thousand take hours: what is in the
log is not done again, so that they may be done in several parts.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import io
import multiprocessing
import shlex
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator

TESTS = Path(__file__).parent
SAME = {"test_example.py"}  # whose draws depend on no seed
SUITE = [str(path) for path in sorted(TESTS.glob("testing/*.py")) if path.name not in SAME]
FRESH = 32
"""After how many runs a process makes way for a new one: what was kept by then is gone as well."""


class Drawing:
    """Leaves out tests that drew nothing when they were run in this process: these can't change."""

    still: ClassVar[set[str]] = set()

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Keep the tests that draw."""
        items[:] = [item for item in items if item.nodeid not in self.still]

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None]:
        """Note whether anything is drawn: what Hypothesis counts, or is itself to report on."""
        from hypothesis.statistics import collector  # noqa: PLC0415  pytest is to load it first

        drawn: list[Any] = []
        with collector.with_value(drawn.append):
            yield
        if not drawn and "hypothesis" not in item.keywords:
            self.still.add(item.nodeid)


def call(seed: int, files: list[str]) -> list[str]:
    """Return what pytest is called with to run the tests under a seed."""
    return ["-n0", "-q", "--no-header", f"--hypothesis-seed={seed}", *files]


def run(seed: int, files: list[str]) -> tuple[int, str]:
    """Return the seed, and what failed under it: nothing where all passed."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        status = pytest.main(call(seed, files), plugins=[Drawing()])
    lines = said.getvalue().splitlines()
    failed = [line for line in lines if line.startswith(("FAILED", "ERROR"))]
    return seed, "\n".join(failed or lines[-40:]) if status else ""


def logged(log: Path | None) -> dict[int, str]:
    """Return what came of the runs in a log, by seed."""
    if log is None or not log.exists():
        return {}
    with log.open(newline="") as lines:
        return {int(seed): failed for seed, failed in csv.reader(lines)}


def main() -> None:
    """Print each failure as it comes, and how many runs had one."""
    parser = argparse.ArgumentParser(prog="python -m tests.repeat")
    parser.add_argument("--times", type=int, default=1000, help="how often")
    parser.add_argument("--jobs", type=int, default=2, help="how many at the same time")
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--log", type=Path, help="where what is done is kept, and not done again")
    parser.add_argument("files", nargs="*", help="tests to run, by default the kit's own")
    options = parser.parse_args()
    files = options.files or SUITE
    seeds = range(options.seed, options.seed + options.times)
    outcomes = {seed: failed for seed, failed in logged(options.log).items() if seed in seeds}
    started = time.perf_counter()
    todo = [seed for seed in seeds if seed not in outcomes]
    fresh = multiprocessing.get_context("spawn")
    with fresh.Pool(options.jobs, maxtasksperchild=FRESH) as pool:
        for seed, failed in pool.imap_unordered(partial(run, files=files), todo):
            outcomes[seed] = failed
            if options.log:
                with options.log.open("a", newline="") as log:
                    csv.writer(log).writerow((seed, failed))
            if failed:
                again = shlex.join([sys.executable, "-m", "pytest", *call(seed, files)])
                print(f"{failed}\n  again: {again}", flush=True)  # noqa: T201
    bad = sum(map(bool, outcomes.values()))
    seconds = time.perf_counter() - started
    print(f"{bad} of {len(outcomes)} runs failed, {len(todo)} of them now, in {seconds:.0f} s")  # noqa: T201
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
