"""The time of a full-batch gradient in chunks: on Dask, and in a plain NumPy loop on one core.

A 64-128-10 sigmoid network in float64 and 200,000 samples in chunks of 20,000. The contestants take
turns, and the ratio is the median of the ratios within rounds. First, all gradients have to agree.
The NumPy loop takes chunks whole. Workers take them in blocks of 2,000 rows; "NumPy in blocks" is
the same loop with chunks of that size, and shows how much of the difference is due to the caches.
The second table has the time that the client spends on each chunk when the chunks are tiny, with
the scheduler in a process of its own. The third has a step of large models on 16 chunks and two
processes, beside a plain step on all rows: its bytes on the loopback interface (Linux), in
gradients without those of data and parameters, and the most memory of a worker. Its workers keep
freed memory, as `docs/howto/scale_out.md` advises for large models.

The fourth table has an epoch of shuffled mini-batches of a Zarr set on disk, 36,000 samples of
1,024 features, beside a plain loop in the order of the file on one core. The fifth has a step of
784-512-512-10 in float32 with two workers, beside a plain step and PyTorch's two gloo processes
(`pip install torch`), and its bytes on the loopback interface. Both have the least of the rounds.

    python benchmarks/parallel.py [--rounds N] [loop-1 loop-2 client wire-1 wire-20 disk gloo]

names the rows to measure, by default all. Two workers halve the time only where the machine has two
cores of its own: two hardware threads of one core run matrix products no faster than one.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import one_thread  # noqa: F401  before NumPy

# isort: split

import dask
import dask.array
import distributed
import numpy as np
import numpy.typing as npt
from dask.distributed import Client, LocalCluster
from distributed.deploy.subprocess import SubprocessCluster
from rich.console import Console
from rich.table import Table

import tinygrad_fc as tg
from tinygrad_fc import nn, optim, parallel
from tinygrad_fc.nn import functional as F

if TYPE_CHECKING:
    from collections.abc import Callable

Array = npt.NDArray[np.float64]
SAMPLES, CHUNK = 200_000, 20_000
LIMITS = {1: 1.15, 2: 0.65}
"""The time that is allowed, in that of the NumPy loop, by the number of workers."""
CLIENT_MS = 1.0
WIDTHS, WIRE_ROWS, GROUPS = {"wire-1": 1000, "wire-20": 4470}, 320, 8
"""Of square layers with 1 and 20 M parameters, and the rows of their data."""
KEEP_MEMORY = {
    "MALLOC_ARENA_MAX": 1,
    "MALLOC_MMAP_MAX_": 0,
    "MALLOC_TRIM_THRESHOLD_": 4_000_000_000,
}
ROWS = (*(f"loop-{workers}" for workers in LIMITS), "client", *WIDTHS, "disk", "gloo")
DISK_ROWS, FEATURES, DISK_CHUNK, BATCH = 36_000, 1024, 512, 2048
DISK_LIMITS = {"1 thread": 1.0, "2 threads": 0.6, "1 worker": 1.2}
"""The time of an epoch that is allowed, in that of the plain loop on one core."""
GLOO_LIMITS = {2048: None, 16_384: 0.95}
"""The time of a step that is allowed, in that of two gloo processes, by the size of the batch."""
WIRE_LIMIT = 3.0
"""The time that a step of 20 M parameters may take, in plain steps."""


def loss_fn(model: nn.Module, x: tg.Tensor, y: tg.Tensor) -> tg.Tensor:
    """Return the mean squared error."""
    return F.mse_loss(model(x), y)


def numpy_gradients(parameters: list[Array], x: Array, y: Array, rows: int = CHUNK) -> list[Array]:
    """Return the gradient of the mean squared error, derived by hand, chunk by chunk."""
    w1, b1, w2, b2 = parameters
    sums = [np.zeros_like(p) for p in parameters]
    for start in range(0, len(x), rows):
        a, target = x[start : start + rows], y[start : start + rows]
        h = 1 / (1 + np.exp(-(a @ w1.T + b1)))
        d = (h @ w2.T + b2 - target) * (2 / y.size)
        e = d @ w2 * h * (1 - h)
        gradients = (e.T @ a, e.sum(0), d.T @ h, d.sum(0))
        sums = [s + g for s, g in zip(sums, gradients, strict=True)]
    return sums


def dask_gradients(
    model: nn.Module, x: Array, y: Array, client: Client | None = None, workers: int = 1
) -> list[Array]:
    """Return the same gradient, from chunks on Dask."""
    model.zero_grad()
    with dask.config.set(num_workers=workers):
        parallel.backward(model, loss_fn, x, y, client=client, chunk_rows=CHUNK)
    return [p.grad.numpy() for p in model.parameters() if p.grad is not None]


def main() -> None:
    """Print the tables; exit with 1 where a limit is missed."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("rows", nargs="*", metavar="row", help=f"one of {', '.join(ROWS)}")
    options.add_argument("--rounds", type=int, default=7)
    chosen = options.parse_args()
    rounds, rows = chosen.rounds, chosen.rows or ROWS
    if unknown := {*rows} - {*ROWS}:
        options.error(f"there are no rows {unknown}; expected some of {ROWS}")
    rng = dask.array.random.default_rng(0)
    lazy = [rng.normal(size=(SAMPLES, n), chunks=(CHUNK, n)) for n in (64, 10)]
    x, y = dask.compute(*lazy)
    loops = Table("gradient of 200,000 samples", "ms", "NumPy, ms", "ratio", "limit")
    costs = Table("chunks of 10 samples, 2 processes", "client, ms a chunk", "limit")
    wire = Table("16 chunks, 2 processes", "MB", "gradients", "s", "plain, s", "ratio", "limit")
    wire.add_column("MiB of a worker")
    disk = Table("epoch of 36,000 rows on disk", "s", "rows/s", "ratio to plain", "limit")
    gloo = Table("step of 784-512-512-10", "ms", "MB", "ratio to gloo", "limit")
    missed = False
    for row in ROWS:
        if row not in rows:
            continue
        with ExitStack() as stack:
            if row.startswith("loop"):
                missed |= add_loops(loops, lazy, (x, y), int(row[-1]), rounds, stack)
            elif row == "client":
                missed |= add_costs(costs, (x, y), stack)
            elif row == "disk":
                missed |= add_disk(disk, rounds, stack)
            elif row == "gloo":
                for batch in GLOO_LIMITS:
                    missed |= add_gloo(gloo, batch, rounds, stack)
            else:
                missed |= add_wire(wire, row, rounds, stack)
    console = Console()
    console.print(*(table for table in (loops, costs, wire, disk, gloo) if table.row_count))
    raise SystemExit(missed)


def network() -> nn.Module:
    """Return the network of the first two tables."""
    return nn.Sequential(nn.Linear(64, 128), nn.Sigmoid(), nn.Linear(128, 10))


def add_loops(
    table: Table,
    lazy: list[Any],
    data: tuple[Array, Array],
    workers: int,
    rounds: int,
    stack: ExitStack,
) -> bool:
    """Add the rows of a number of workers; return whether a limit is missed."""
    model = network()
    plain = partial(numpy_gradients, [p.detach().numpy() for p in model.parameters()], *data)
    client = connected(stack, partial(LocalCluster, threads_per_worker=1), workers)
    calls: dict[str, Callable[[], list[Any]]] = {
        "NumPy": plain,
        "NumPy in blocks": partial(plain, rows=parallel.worker.BLOCK_ROWS),
        "threads": partial(dask_gradients, model, *data, workers=workers),
        "processes": partial(dask_gradients, model, *client.persist(lazy), client=client),
    }
    for call in calls.values():
        for g, e in zip(call(), plain(), strict=True):
            np.testing.assert_allclose(g, e, rtol=1e-9, atol=1e-12)
    times = [{name: seconds(call) for name, call in calls.items()} for _ in range(rounds)]
    add_row(table, "NumPy in blocks", times, "NumPy in blocks", "")
    limit = LIMITS[workers]
    names = ("threads", "processes")
    ratios = [add_row(table, f"{workers} {name}", times, name, f"{limit:.2f}") for name in names]
    return max(ratios) > limit


def add_costs(table: Table, data: tuple[Array, Array], stack: ExitStack) -> bool:
    """Add a row for each number of chunks; return whether a limit is missed."""
    client = connected(stack, partial(SubprocessCluster, worker_kwargs={"nthreads": 1}), 2)
    model, costs = network(), []
    for chunks in (10, 100, 1000):
        part = data[0][: 10 * chunks], data[1][: 10 * chunks]
        costs.append(client_ms(model, part, client))
        table.add_row(str(chunks), f"{costs[-1]:.2f}", f"{CLIENT_MS:.2f}")
    return max(costs) > CLIENT_MS


def add_wire(table: Table, row: str, rounds: int, stack: ExitStack) -> bool:
    """Add the row of a model; return whether a limit is missed."""
    local = partial(LocalCluster, threads_per_worker=1, memory_limit=0)
    environment = dask.config.get("distributed.nanny.pre-spawn-environ") | KEEP_MEMORY
    with dask.config.set({"distributed.nanny.pre-spawn-environ": environment}):
        client = connected(stack, local, 2)
    gradients, ratio, cells = wire_row(WIDTHS[row], client, rounds)
    limit = WIRE_LIMIT if row == "wire-20" else None
    table.add_row(*cells[:-1], f"{limit:.2f}" if limit else "", cells[-1])
    return gradients > GROUPS + 2 or bool(limit and ratio > limit)


def connected(stack: ExitStack, cluster: Callable[..., Any], workers: int) -> Client:
    """Return a client of a new cluster of processes on this machine."""
    running = stack.enter_context(cluster(n_workers=workers, dashboard_address=":0"))
    client = stack.enter_context(Client(running, set_as_default=False))
    client.wait_for_workers(workers)
    return client


def add_row(
    table: Table, title: str, times: list[dict[str, float]], name: str, limit: str
) -> float:
    """Add a row for a contestant; return the ratio of its time to that of the NumPy loop."""
    ratio = statistics.median(t[name] / t["NumPy"] for t in times)
    medians = [statistics.median(t[kind] for t in times) * 1e3 for kind in (name, "NumPy")]
    table.add_row(title, *(f"{ms:.0f}" for ms in medians), f"{ratio:.2f}", limit)
    return ratio


def seconds(call: Callable[[], Any]) -> float:
    """Return how long a call takes."""
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def wire_row(width: int, client: Client, rounds: int) -> tuple[float, float, list[str]]:
    """Return the gradients on the wire, the ratio of times, and the cells of a row."""
    model = nn.Sequential(nn.Linear(width, width), nn.Tanh())
    x = np.random.default_rng(0).normal(size=(WIRE_ROWS, width))
    lazy = [dask.array.from_array(a, chunks=(WIRE_ROWS // 16, -1)) for a in (x, x / 2)]
    data = client.persist(lazy)
    with client.as_current():
        distributed.wait(data)

    def plain() -> None:
        model.zero_grad()
        loss_fn(model, tg.as_tensor(x), tg.as_tensor(x / 2)).backward()

    def step() -> None:
        model.zero_grad()
        parallel.backward(model, loss_fn, *data, client=client, groups=GROUPS)

    step()
    times, megabytes = [], []
    for _ in range(rounds):
        before = loopback_bytes()
        times.append((seconds(step), seconds(plain)))
        megabytes.append((loopback_bytes() - before) / 1e6)
    size = sum(p.numel() * p.element_size() for p in model.parameters()) / 1e6
    sent, gradients = statistics.median(megabytes), statistics.median(megabytes) / size - 2
    ours, theirs = (statistics.median(t) for t in zip(*times, strict=True))
    ratio = statistics.median(a / b for a, b in times)
    peak = max(client.run(peak_mebibytes).values())
    cells = [f"{size / 8:.0f} M parameters", f"{sent:.0f}", f"{gradients:.1f}"]
    cells += [f"{ours:.2f}", f"{theirs:.2f}", f"{ratio:.2f}", f"{peak:.0f}"]
    return gradients, ratio, cells


def add_disk(table: Table, rounds: int, stack: ExitStack) -> bool:
    """Add the rows of an epoch of data on disk; return whether a limit is missed."""
    import zarr  # noqa: PLC0415  needed here alone

    folder = stack.enter_context(tempfile.TemporaryDirectory())
    data, rng = [], np.random.default_rng(0)
    for name, width in (("x", FEATURES), ("y", 1)):
        shape, chunks = (DISK_ROWS, width), (DISK_CHUNK, width)
        data.append(zarr.create_array(f"{folder}/{name}", shape=shape, chunks=chunks, dtype="f8"))
        for k in range(0, DISK_ROWS, DISK_CHUNK):  # as in `examples/out_of_core.py`
            part = min(DISK_CHUNK, DISK_ROWS - k), width
            data[-1][k : k + DISK_CHUNK] = rng.integers(-2, 3, part).astype(float)
    cores = sorted(os.sched_getaffinity(0))
    calls: dict[str, Callable[[], None]] = {"plain loop": partial(plain_epoch, data, cores[:1])}
    for n in (1, 2):
        calls[f"{n} thread{'s' * (n > 1)}"] = partial(epoch, data, cores[:n])
    for n in (1, 2):
        client = connected(stack, partial(LocalCluster, threads_per_worker=1), n)
        calls[f"{n} worker{'s' * (n > 1)}"] = partial(epoch, data, cores, client)
    times = least(calls, rounds)
    for name, time_s in times.items():
        limit, ratio = DISK_LIMITS.get(name), time_s / times["plain loop"]
        cells = f"{time_s:.2f}", f"{DISK_ROWS / time_s:,.0f}", f"{ratio:.2f}", limit or ""
        table.add_row(name, *map(str, cells))
    return any(times[name] > limit * times["plain loop"] for name, limit in DISK_LIMITS.items())


def disk_training() -> tuple[nn.Module, optim.Optimizer]:
    """Return the network of the fourth table and its optimizer."""
    tg.manual_seed(0)
    model = nn.Sequential(nn.Linear(FEATURES, 8), nn.Dropout(0.01), nn.Tanh(), nn.Linear(8, 1))
    return model, optim.Adam(model.parameters(), lr=0.01)


def plain_epoch(data: list[Any], cores: list[int]) -> None:
    """Train on the rows in their order."""
    os.sched_setaffinity(0, cores)
    model, optimizer = disk_training()
    for k in range(0, DISK_ROWS, BATCH):
        optimizer.zero_grad()
        loss_fn(model, *(tg.as_tensor(a[k : k + BATCH]) for a in data)).backward()
        optimizer.step()


def epoch(data: list[Any], cores: list[int], client: Client | None = None) -> None:
    """Train on shuffled mini-batches, in as many threads as there are cores, or on workers."""
    os.sched_setaffinity(0, cores)
    model, optimizer = disk_training()
    with dask.config.set(num_workers=len(cores)):
        for batch in parallel.batches(*data, batch_size=BATCH):
            optimizer.zero_grad()
            parallel.backward(model, loss_fn, *batch, client=client)
            optimizer.step()


def cross_entropy(model: nn.Module, x: tg.Tensor, y: tg.Tensor) -> tg.Tensor:
    """Return the mean cross entropy."""
    return F.cross_entropy(model(x), y)


def add_gloo(table: Table, batch: int, rounds: int, stack: ExitStack) -> bool:
    """Add the rows of a size of the batch; return whether its limit is missed."""
    if not importlib.util.find_spec("torch"):
        return False
    layers = nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10)
    model = nn.Sequential(*layers).float()
    optimizer, rng = optim.SGD(model.parameters(), lr=0.01), np.random.default_rng(0)
    x, y = rng.standard_normal((batch, 784), dtype=np.float32), rng.integers(0, 10, batch)
    client = connected(stack, partial(LocalCluster, threads_per_worker=1), 2)
    data = client.persist(
        [dask.array.from_array(a, chunks=(batch // 8, -1)[: a.ndim]) for a in (x, y)]
    )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    script = [sys.executable, str(Path(__file__).with_name("gloo.py"))]
    options = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "bufsize": 1}
    ranks = [
        stack.enter_context(subprocess.Popen([*script, rank, port, str(batch)], **options))  # type: ignore[call-overload]  # noqa: S603
        for rank in ("0", "1")
    ]

    def plain() -> None:
        optimizer.zero_grad()
        cross_entropy(model, tg.as_tensor(x), tg.as_tensor(y)).backward()
        optimizer.step()

    def workers() -> None:
        optimizer.zero_grad()
        parallel.backward(model, cross_entropy, *data, client=client)
        optimizer.step()

    def gloo() -> None:
        for rank in ranks:
            rank.stdin.write("step\n")
        for rank in ranks:
            rank.stdout.readline()

    megabytes: dict[str, float] = {}
    calls = {"plain": plain, "2 workers": workers, "2 gloo processes": gloo}
    times = least(calls, rounds, megabytes)
    for rank in ranks:
        rank.stdin.close()
    limit = GLOO_LIMITS[batch]
    for name, time_s in times.items():
        ratio = time_s / times["2 gloo processes"]
        cells = f"{time_s * 1e3:.0f}", f"{megabytes[name]:.1f}", f"{ratio:.2f}"
        table.add_row(f"{name}, batch {batch:,}", *cells, str(limit or ""))
    return bool(limit and times["2 workers"] > limit * times["2 gloo processes"])


def least(
    calls: dict[str, Callable[[], None]], rounds: int, megabytes: dict[str, float] | None = None
) -> dict[str, float]:
    """Return the least seconds of each call, which take turns, and note the bytes of a call."""
    times: dict[str, float] = {}
    for turn in range(rounds + 1):
        for name, call in calls.items():
            before = loopback_bytes()
            time_s = seconds(call)
            if turn:  # the first one compiles and connects
                times[name] = min(time_s, times.get(name, time_s))
            if megabytes is not None:
                megabytes[name] = (loopback_bytes() - before) / 1e6
    return times


def loopback_bytes() -> int:
    """Return how many bytes the loopback interface has received."""
    line = next(part for part in Path("/proc/net/dev").read_text().split("\n") if "lo:" in part)
    return int(line.split()[1])


def peak_mebibytes() -> float:
    """Return the most memory that this process has used."""
    return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) / 1024


def client_ms(model: nn.Module, data: tuple[Array, Array], client: Client) -> float:
    """Return the milliseconds that the client spends on a chunk of ten samples, at the median."""

    def step() -> float:
        started = time.process_time()
        parallel.backward(model, loss_fn, *data, client=client, chunk_rows=10)
        return time.process_time() - started

    step()
    return statistics.median(step() for _ in range(3)) / (len(data[0]) // 10) * 1e3


if __name__ == "__main__":
    main()
