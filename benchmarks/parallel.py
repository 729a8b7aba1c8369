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

    python benchmarks/parallel.py [--rounds N] [loop-1 loop-2 client wire-1 wire-20]

names the rows to measure, by default all. Two workers halve the time only where the machine has two
cores of its own: two hardware threads of one core run matrix products no faster than one.
"""

from __future__ import annotations

import argparse
import statistics
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
from tinygrad_fc import nn, parallel
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
ROWS = (*(f"loop-{workers}" for workers in LIMITS), "client", *WIDTHS)
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
    missed = False
    for row in ROWS:
        if row not in rows:
            continue
        with ExitStack() as stack:
            if row.startswith("loop"):
                missed |= add_loops(loops, lazy, (x, y), int(row[-1]), rounds, stack)
            elif row == "client":
                missed |= add_costs(costs, (x, y), stack)
            else:
                missed |= add_wire(wire, row, rounds, stack)
    console = Console()
    console.print(*(table for table in (loops, costs, wire) if table.row_count))
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
