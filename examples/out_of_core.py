"""Training on data larger than memory: a Zarr set, and worker processes with a memory limit.

The samples are on disk, in chunks of rows. Each epoch takes them in shuffled mini-batches; a worker
holds a few chunks at a time, so that its memory stays flat. Dask ends a worker that exceeds the
limit. A tenth of the samples is left out for validation. After each epoch, and every few batches,
a checkpoint is saved, from which `--resume` goes on with the same bits.

The example needs `pip install -e '.[examples,dask]'`, takes about a minute, and writes 1.5 GiB of
samples to a temporary folder, or to `--folder`, where compression reduces them to 190 MB.
"""

import resource
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)
from terminal import parser, results, whole_number

import tinygrad_fc as tg
from tinygrad_fc import nn, optim
from tinygrad_fc.nn import functional as F

FEATURES, CHUNK, BATCH = 1024, 512, 2048
MEGABYTE = 1 << 20
LEARNING_RATE = 0.01
SAVED_EVERY = 20
"""The number of batches between two checkpoints."""


def written(folder: Path, rows: int) -> tuple[Any, Any]:
    """Write samples x (rows, FEATURES) and targets y (rows, 1) to disk; return the Zarr arrays."""
    import zarr

    if (folder / "y").exists():
        return zarr.open_array(str(folder / "x")), zarr.open_array(str(folder / "y"))
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


class Training:
    """A model, its optimizer and its batches, which a checkpoint holds together."""

    def __init__(self, data: list[Any], client: Any, seed: int) -> None:  # noqa: ANN401  Dask's
        from tinygrad_fc import parallel

        tg.manual_seed(seed)
        layers = [nn.Linear(FEATURES, 8), nn.Dropout(0.01), nn.Tanh(), nn.Linear(8, 1)]
        self.model, self.client = nn.Sequential(*layers), client
        self.optimizer = optim.Adam(self.model.parameters(), lr=LEARNING_RATE)
        self.batches = parallel.batches(*data, batch_size=BATCH, seed=seed)
        self.parts: dict[str, Any] = {
            "model": self.model,
            "optimizer": self.optimizer,
            "batches": self.batches,
        }

    def save(self, path: Path) -> None:
        """Save model, optimizer, epoch, position and seed, and the state of the generator."""
        state: dict[str, Any] = {name: part.state_dict() for name, part in self.parts.items()}
        tg.save(state | {"rng": tg.get_rng_state()}, path)

    def load(self, path: Path) -> None:
        """Go on from a checkpoint."""
        state = tg.load(path)
        for name, part in self.parts.items():
            part.load_state_dict(state[name])
        tg.set_rng_state(state["rng"])

    def epoch(self, checkpoint: Path, bar: Progress, task: Any) -> None:  # noqa: ANN401  Rich's
        """Train on the batches that are left of this epoch."""
        from tinygrad_fc import parallel

        for x, y in self.batches:
            started = time.perf_counter()
            self.optimizer.zero_grad()
            loss = parallel.backward(self.model, loss_fn, x, y, client=self.client)
            self.optimizer.step()
            if self.batches.position % SAVED_EVERY == 0:
                self.save(checkpoint)
            rate = len(x) / (time.perf_counter() - started)
            workers = len(self.client.nthreads())
            now = f"loss {loss.item():.4f}, {rate:,.0f} rows/s, {workers} workers"
            bar.update(task, advance=1, now=now)
        self.save(checkpoint)


def parts_of(x: Any, y: Any) -> Iterator[list[Any]]:  # noqa: ANN401  Zarr's
    """Yield the arrays of training and of validation: the first nine tenths of the chunks."""
    import dask.array

    lazy = [dask.array.from_zarr(a) for a in (x, y)]
    stop = max(CHUNK, x.shape[0] * 9 // 10 // CHUNK * CHUNK)
    yield from ([a[:stop] for a in lazy], [a[stop:] for a in lazy])


def progress(console: Console) -> Progress:
    """Return a bar over batches that shows loss, rows per second and workers."""
    shown = TextColumn("{task.description}, {task.fields[now]}")
    return Progress(
        BarColumn(), MofNCompleteColumn(), shown, TimeRemainingColumn(), console=console
    )


def main() -> None:
    """Train with one and with two workers, and compare their time, memory and results."""
    options = parser("Training on data larger than memory.", epochs=2)
    options.add_argument(
        "--rows", type=whole_number(range(CHUNK * 2, 10**9), such_as=200_000), default=200_000
    )
    options.add_argument("--limit", type=whole_number(range(1, 10**6), such_as=400), default=400)
    options.add_argument("--workers", type=int, nargs="+", default=(1, 2), help="one run each")
    options.add_argument("--folder", type=Path, help="where samples and checkpoints are kept")
    options.add_argument("--resume", action="store_true", help="go on from the checkpoints")
    chosen = options.parse_args()
    from dask.distributed import Client, LocalCluster

    from tinygrad_fc import parallel

    console = Console()
    rows: dict[str, tuple[str, ...]] = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = chosen.folder or Path(temporary)
        x, y = written(folder, chosen.rows)
        train, validation = parts_of(x, y)
        for workers in chosen.workers:
            checkpoint = folder / f"{workers}.safetensors"
            with (
                LocalCluster(
                    n_workers=workers,
                    threads_per_worker=1,
                    memory_limit=chosen.limit * MEGABYTE,
                    dashboard_address=":0",
                ) as cluster,
                Client(cluster, set_as_default=False) as client,
            ):
                training = Training(train, client, chosen.seed)
                if chosen.resume and checkpoint.exists():
                    training.load(checkpoint)
                batches = training.batches
                done = batches.epoch * len(batches) + batches.position
                started = time.perf_counter()
                total = chosen.epochs * len(batches)
                with progress(console) as bar:
                    task = bar.add_task("batches", total=total, completed=done, now="")
                    while batches.epoch < chosen.epochs:
                        training.epoch(checkpoint, bar, task)
                seconds = (time.perf_counter() - started) / max(total - done, 1) * len(batches)
                error = parallel.evaluate(training.model, loss_fn, *validation, client=client)
                used = max(client.run(peak).values())
            figures = (f"{error:.10f}", f"{seconds:.2f}", f"{used:.0f}")
            rows[f"{workers} worker{'s' * (workers > 1)}"] = figures
        size = x.nbytes / MEGABYTE
    title = f"{size:.0f} MiB of data, a limit of {chosen.limit} MiB a worker"
    columns = ("validation error", "seconds per epoch", "most MiB in a worker")
    console.print(results(title, rows, columns))


if __name__ == "__main__":
    main()
