"""The time of a training step against the width of the network, as a picture for the README.

One step is forward, backward and SGD for a sigmoid network 64-w-w-10 under MSELoss, on a batch of
64 rows in float32, on one thread; `contestants.py` defines who takes part. All have to agree before
they are timed, in turns, and a time is the fastest of the rounds.

    python benchmarks/width.py [--rounds N] [--output FILE]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import one_thread  # noqa: F401  before NumPy

# isort: split
import history
import matplotlib.pyplot as plt
from contestants import Row, contestants, installed
from step import disagreement, race

WIDTHS = (4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048)
COMPILED = ("compiled (NumPy)", "compiled (Numba)")
STYLES = {
    "hand-written NumPy": {"color": "0.45", "linestyle": ":"},
    "tinygrad_fc, eager": {"color": "tab:blue", "linestyle": "--", "marker": "o"},
    "tinygrad_fc, compiled": {"color": "tab:blue", "marker": "o"},
    "PyTorch eager": {"color": "tab:red", "linestyle": "--", "marker": "s"},
    "JAX jit": {"color": "tab:green", "marker": "^"},
}


def microseconds(width: int, rounds: int) -> dict[str, float]:
    """Return the microseconds of a step by the names of `STYLES`, for one width."""
    row = Row((64, width, width, 10), 64, "float32", {})
    entered = contestants(row, installed(), slow=False)
    disagreement(row, entered, steps=5)  # in more steps, wide networks diverge from rounding errors
    race(entered, rounds, seconds=0.02)
    times = {name: min(c.seconds) * 1e6 for name, c in entered.items()}
    times["tinygrad_fc, compiled"] = min(times[name] for name in COMPILED if name in times)
    names = {
        "tinygrad_fc, eager": "eager",
        "PyTorch eager": "PyTorch eager",
        "JAX jit": "JAX jit",
    }
    return {s: times[names.get(s, s)] for s in STYLES if names.get(s, s) in times}


def draw(times: dict[int, dict[str, float]], picture: Path) -> None:
    """Draw the time of a step over the width, a line per contestant."""
    figure, axes = plt.subplots(figsize=(8, 4.2), layout="constrained")
    for name, style in STYLES.items():
        points = [(width, found[name]) for width, found in times.items() if name in found]
        if points:
            axes.plot(*zip(*points, strict=True), label=name, markersize=4, **style)
    axes.set(xscale="log", yscale="log", xlabel="width w of a network 64-w-w-10, batch 64, float32")
    axes.set(ylabel="µs per training step")
    axes.set_xticks(list(times), [str(width) for width in times])
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    axes.legend()
    axes.set_title(f"One thread. {history.processor()}, {history.blas_kernel()}", fontsize="small")
    figure.savefig(picture, dpi=100)
    plt.close(figure)


def main() -> None:
    """Measure all widths, print the times and draw them."""
    parser = argparse.ArgumentParser(description="Time training steps of networks of many widths.")
    parser.add_argument("--rounds", type=int, default=15, help="how often each takes its turn")
    picture = Path(__file__).parents[1] / "docs" / "_static" / "width.png"
    parser.add_argument("--output", type=Path, default=picture)
    options = parser.parse_args()
    if options.rounds < 1:
        parser.error(f"--rounds must be at least 1, got {options.rounds}")
    times = {}
    for width in WIDTHS:
        times[width] = microseconds(width, options.rounds)
        print(f"{width:5}", *(f"{name}: {us:.4g} µs;" for name, us in times[width].items()))
    figures = {f"{w}: {name}": us for w, found in times.items() for name, us in found.items()}
    history.record("width", figures)
    draw(times, options.output)
    print(options.output)


if __name__ == "__main__":
    main()
