"""Training on data larger than memory: a Zarr set, and worker processes with a memory limit.

The samples are on disk, in chunks of rows. Each worker reads a chunk, runs the forward and backward
pass on it and forgets it, so that its memory stays flat. Dask ends a worker that exceeds the limit.

The example needs `pip install -e '.[examples,dask]'`, takes about a minute, and writes 1.5 GiB of
samples to a temporary folder, where compression reduces them to 190 MB.
"""

import resource
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from terminal import follow, parser, results, whole_number

import tinygrad_fc as tg
from tinygrad_fc import nn, optim
from tinygrad_fc.nn import functional as F

FEATURES, CHUNK = 1024, 2048
MEGABYTE = 1 << 20
LEARNING_RATE = 0.01


def written(folder: Path, rows: int) -> tuple[Any, Any]:
    """Write samples x (rows, FEATURES) and targets y (rows, 1) to disk; return the Zarr arrays."""
    import zarr

    rng = np.random.default_rng(0)
    slope = rng.normal(size=(FEATURES, 1)) / np.sqrt(FEATURES)
    x, y = (
        zarr.create_array(str(folder / name), shape=(rows, n), chunks=(CHUNK, n), dtype="f8")
        for name, n in (("x", FEATURES), ("y", 1))
    )
    for start in range(0, rows, CHUNK):
        shape = min(CHUNK, rows - start), FEATURES
        part = rng.integers(-2, 3, shape, dtype=np.int8).astype(float)
        x[start : start + CHUNK] = part
        y[start : start + CHUNK] = part @ slope
    return x, y


def loss_fn(model: nn.Module, x: tg.Tensor, y: tg.Tensor) -> tg.Tensor:
    """Return the mean squared error of a chunk."""
    return F.mse_loss(model(x), y)


def peak() -> float:
    """Return the most memory that this process has used, in MiB."""
    status = Path("/proc/self/status")
    if status.exists():  # elsewhere the figure includes the process that this one was started by
        return int(status.read_text().partition("VmHWM:")[2].split()[0]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def training(x: Any, y: Any, client: Any, epochs: int) -> Iterator[float]:  # noqa: ANN401  Zarr's
    """Train a new network on all of the data in each epoch; yield the error after it."""
    from tinygrad_fc import parallel

    tg.manual_seed(0)
    model = nn.Sequential(nn.Linear(FEATURES, 8), nn.Tanh(), nn.Linear(8, 1))
    optimizer = optim.Adam(model.parameters(), lr=LEARNING_RATE)
    for _ in range(epochs):
        optimizer.zero_grad()
        loss = parallel.backward(model, loss_fn, x, y, client=client)
        optimizer.step()
        yield loss.item()


def main() -> None:
    """Train with one and with two workers, and compare their time and memory."""
    options = parser("Training on data larger than memory.", epochs=5)
    options.add_argument(
        "--rows", type=whole_number(range(1, 10**9), such_as=200_000), default=200_000
    )
    options.add_argument("--limit", type=whole_number(range(1, 10**6), such_as=400), default=400)
    chosen = options.parse_args()
    from dask.distributed import Client, LocalCluster

    console = Console()
    rows: dict[str, tuple[str, ...]] = {}
    with tempfile.TemporaryDirectory() as folder:
        x, y = written(Path(folder), chosen.rows)
        for workers in (1, 2):
            with (
                LocalCluster(
                    n_workers=workers,
                    threads_per_worker=1,
                    memory_limit=chosen.limit * MEGABYTE,
                    dashboard_address=":0",
                ) as cluster,
                Client(cluster, set_as_default=False) as client,
            ):
                started = time.perf_counter()
                epochs = training(x, y, client, chosen.epochs)
                follow(epochs, epochs=chosen.epochs, console=console)
                seconds = (time.perf_counter() - started) / chosen.epochs
                used = max(client.run(peak).values())
            rows[f"{workers} worker{'s' * (workers > 1)}"] = (f"{seconds:.2f}", f"{used:.0f}")
        size = x.nbytes / MEGABYTE
    title = f"{size:.0f} MiB of data, a limit of {chosen.limit} MiB a worker"
    console.print(results(title, rows, ("seconds per epoch", "most MiB in a worker")))


if __name__ == "__main__":
    main()
