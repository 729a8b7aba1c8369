"""Run the kit's own tests again and again, each time under another random seed.

    python -m tests.repeat [--times 1000] [--jobs 2] [--seed 0] [files …]

No test of the kit may fail by chance: a flake in a thousand is a flake in every week. The seed of
a run that fails is printed, with the line that runs it again.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

TESTS = Path(__file__).parent
SUITE = (
    *("test_laws.py", "test_testing.py", "test_testing_adapters.py", "test_testing_messages.py"),
    *("test_testing_slopes.py", "test_testing_find.py", "test_testing_right.py"),
    "test_testing_glance.py",
)


def command(seed: int, files: list[str]) -> list[str]:
    """Return the call that runs the tests under a seed."""
    seeded = [f"--hypothesis-seed={seed}"]
    return [sys.executable, "-m", "pytest", "-n0", "-q", "--no-header", *seeded, *files]


def run(seed: int, files: list[str]) -> str:
    """Return what failed under a seed, nothing where all passed."""
    done = subprocess.run(  # noqa: S603  our own tests
        command(seed, files), capture_output=True, text=True, check=False, cwd=TESTS.parent
    )
    failed = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    return "\n".join(failed) or ("" if done.returncode == 0 else done.stdout[-2000:] + done.stderr)


def main() -> None:
    """Print each failure as it comes, and how many runs had one."""
    parser = argparse.ArgumentParser(prog="python -m tests.repeat")
    parser.add_argument("--times", type=int, default=1000, help="how often")
    parser.add_argument("--jobs", type=int, default=2, help="how many at the same time")
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("files", nargs="*", help="tests to run, by default the kit's own")
    options = parser.parse_args()
    files = options.files or [str(TESTS / name) for name in SUITE]
    seeds = range(options.seed, options.seed + options.times)
    started, bad = time.perf_counter(), 0
    with ThreadPoolExecutor(options.jobs) as pool:
        for seed, failed in zip(seeds, pool.map(lambda s: run(s, files), seeds), strict=True):
            if failed:
                bad += 1
                print(f"{failed}\n  again: {' '.join(command(seed, files))}", flush=True)  # noqa: T201
    seconds = time.perf_counter() - started
    print(f"{bad} of {options.times} runs failed, in {seconds:.0f} seconds")  # noqa: T201
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
