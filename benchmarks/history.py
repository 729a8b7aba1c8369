"""The history of the benchmarks: one JSON line per run, and a picture of the figures over time.

python benchmarks/history.py
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

HISTORY = Path(__file__).with_suffix(".jsonl")


def processor() -> str:
    """Return the name of this machine's processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((x.split(":")[1].strip() for x in lines if x.startswith("model name")), "")


def blas_kernel() -> str:
    """Return the BLAS library of NumPy and its kernel, or "" without threadpoolctl."""
    try:
        from threadpoolctl import threadpool_info  # noqa: PLC0415  the figures need it not
    except ImportError:
        return ""
    pools = (pool for pool in threadpool_info() if pool["user_api"] == "blas")
    return next(
        (f"{p['internal_api']} {p['version']} {p.get('architecture', '')}" for p in pools), ""
    )


def commit() -> str:
    """Return the short name of the commit, with a `+` if files differ from it, or ''."""
    command = ["git", "describe", "--always", "--dirty=+", "--exclude=*"]
    run = subprocess.run(command, cwd=HISTORY.parent, capture_output=True, text=True, check=False)  # noqa: S603
    return run.stdout.strip()


def record(benchmark: str, figures: Mapping[str, float], path: Path = HISTORY) -> None:
    """Append a line with the figures of a run, and with where and when it ran."""
    line = {
        "benchmark": benchmark,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "processor": processor(),
        "blas": blas_kernel(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "figures": {name: float(f"{value:.4g}") for name, value in figures.items()},
    }
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line, ensure_ascii=False) + "\n")


def plot(runs: list[dict[str, Any]], picture: Path) -> None:
    """Draw the figures of each benchmark over its runs, a line per figure."""
    names = list(dict.fromkeys(run["benchmark"] for run in runs))
    figure, panels = plt.subplots(
        len(names), figsize=(10, 4 * len(names)), squeeze=False, layout="constrained"
    )
    for name, axes in zip(names, panels[:, 0], strict=True):
        chosen = [run for run in runs if run["benchmark"] == name]
        for key in dict.fromkeys(key for run in chosen for key in run["figures"]):
            axes.plot([run["figures"].get(key, np.nan) for run in chosen], "o-", label=key)
        axes.set(title=name, yscale="log", ylabel="ratio, or the unit that the name has")
        axes.set_xticks(range(len(chosen)), [f"{r['date'][:10]}\n{r['commit']}" for r in chosen])
        axes.legend(fontsize="x-small", loc="center left", bbox_to_anchor=(1, 0.5))
    figure.savefig(picture, dpi=100)
    plt.close(figure)


def main() -> None:
    """Plot the history of the benchmarks, or of those that are named."""
    parser = argparse.ArgumentParser(description="Plot the recorded runs of the benchmarks.")
    parser.add_argument("names", nargs="*", help="benchmarks, such as step; all by default")
    parser.add_argument("--output", type=Path, default=HISTORY.with_suffix(".png"))
    options = parser.parse_args()
    runs = [json.loads(line) for line in HISTORY.read_text("utf-8").splitlines()]
    runs = [run for run in runs if not options.names or run["benchmark"] in options.names]
    if not runs:
        parser.error(f"{HISTORY.name} has no run of {' '.join(options.names)}: run a benchmark")
    plot(runs, options.output)
    print(f"{len(runs)} runs: {options.output}")


if __name__ == "__main__":
    main()
