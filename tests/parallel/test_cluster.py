"""Processes: the same bits with any number of workers, and clear errors where one fails."""

import itertools
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dask
import distributed
import numpy as np
import pytest

import tinygrad_fc as tg
from parallel import steps
from parallel.faults import Run
from tinygrad_fc import nn, optim, parallel

# Dask reports what it does to workers that die by logging and by warnings of its own.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::ResourceWarning")

PATIENT = 300  # seconds in which a killed worker starts again, on a busy machine too


def local_cluster(workers: int = 1, *, processes: bool = False) -> Any:
    return distributed.LocalCluster(
        n_workers=workers, threads_per_worker=1, processes=processes, dashboard_address=":0"
    )


def connected(cluster: Any, **options: Any) -> Any:
    return distributed.Client(cluster, set_as_default=False, **options)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    # Dask gives up a worker that is missing so long after its death, even if it died again since
    patient = dask.config.set({"distributed.deploy.lost-worker-timeout": f"{PATIENT} s"})
    with patient, local_cluster(2, processes=True) as cluster:
        yield cluster


@pytest.fixture
def client(cluster: Any) -> Iterator[Any]:
    with connected(cluster) as client:
        client.wait_for_workers(2, timeout=PATIENT)
        yield client


def trained(loss_fn: Any, client: Any, seed: int = 0, **settings: Any) -> list[bytes]:
    """Return the bits of two training steps: 101 rows in chunks of ten, the last of one row."""
    model, (x, y) = steps.network(seed, nn.Dropout(0.25)), steps.data(seed, 101)
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    settings |= {"chunk_rows": 10, "client": client}
    if settings.pop("persisted", False):
        x, y = client.persist([dask.array.from_array(a, chunks=(10, -1)) for a in (x, y)])
    losses = []
    for _ in range(2):
        optimizer.zero_grad()
        losses.append(parallel.backward(model, loss_fn, x, y, **settings).numpy().tobytes())
        optimizer.step()
    return [*losses, *steps.state(model)]


@pytest.mark.parametrize("compiled", [False, "numpy"])
def test_processes_give_the_bits_of_threads_also_where_one_is_killed(
    client: Any, tmp_path: Path, compiled: Any
) -> None:
    killing = partial(steps.interrupted, signal.SIGKILL, tmp_path)
    expected = trained(steps.mean, None)
    assert trained(killing, client, compiled=compiled) == expected
    assert any(tmp_path.iterdir())
    assert trained(steps.mean, client, persisted=True) == expected


def test_a_loss_that_always_ends_its_worker_is_named(client: Any) -> None:
    model, (x, y) = steps.network(0), steps.data(0, 41)
    settings = {"chunk_rows": 10, "client": client, "timeout": PATIENT}
    with pytest.raises(parallel.ChunkError, match=r"rows 40:41: \d workers ended"):
        parallel.backward(model, steps.deadly, x, y, **settings)
    assert not steps.gradients(model)
    parallel.backward(model, steps.mean, x, y, **settings)
    assert steps.gradients(model)


def test_a_frozen_worker_is_given_up(client: Any, tmp_path: Path) -> None:
    freezing = partial(steps.interrupted, signal.SIGSTOP, tmp_path)
    expected = trained(steps.mean, None)
    try:
        assert trained(freezing, client, timeout=8) == expected
    finally:
        (frozen,) = tmp_path.iterdir()
        os.kill(int(frozen.name), signal.SIGKILL)  # its nanny starts another one


def test_workers_with_other_versions_are_refused_by_name() -> None:
    model, (x, y) = steps.network(0), steps.data(0, 4)

    def become(version: str | None) -> None:
        if version:
            tg.__version__ = version
        else:
            sys.modules["tinygrad_fc.parallel"] = sys.modules["tinygrad_fc.parallel.worker"] = None  # type: ignore[assignment]

    for version, pattern in (
        ("0.0", r"worker tcp://.* tinygrad_fc 0\.0, NumPy .* this process has tinygrad_fc \d"),
        (None, r"worker tcp://.* cannot import the package: .*tinygrad_fc"),
    ):
        with local_cluster(processes=True) as cluster, connected(cluster) as client:
            client.run(become, version)
            with pytest.raises(ConnectionError, match=pattern):
                parallel.backward(model, steps.mean, x, y, client=client)
    assert not steps.gradients(model)


def test_a_run_that_ends_its_worker_is_one_failed_entry(client: Any, tmp_path: Path) -> None:
    def train(n: int) -> Any:
        (tmp_path / f"{n}").touch()
        if n == 2:
            os._exit(1)
        return {"loss": tg.rand(n), "n": n}

    tg.manual_seed(0)
    whole = parallel.map(train, [1, 3], folder=tmp_path / "alone")
    tg.manual_seed(0)
    runs = parallel.map(train, [1, 3, 2, 4], client=client, timeout=PATIENT, folder=tmp_path / "s")
    assert [run.configuration for run in runs] == [1, 3, 2, 4]
    assert [run.result and run.result["n"] for run in runs] == [1, 3, None, 4]
    assert "ended its worker, also when it ran alone" in str(runs[2].error)
    for a, b in zip(whole, runs, strict=False):
        assert (a.result["loss"] == b.result["loss"]).all()
    for n in (1, 3, 4):
        (tmp_path / f"{n}").unlink()
    again = parallel.map(train, [3, 1, 1], folder=tmp_path / "s")
    assert [run.result["n"] for run in again] == [3, 1, 1]
    assert not (tmp_path / "3").exists()
    assert (tmp_path / "1").exists()  # the second one is another run


def test_parameters_that_only_lost_workers_held_are_sent_again(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(4, 60_000), nn.Linear(60_000, 3))
    x, y = steps.data(0, 5)
    with local_cluster(processes=True) as one, connected(one) as client:
        loss_fn = partial(steps.interrupted, signal.SIGKILL, tmp_path)
        parallel.backward(model, loss_fn, x, y, chunk_rows=2, client=client)
    found = steps.state(model)
    model.zero_grad()
    parallel.backward(model, steps.mean, x, y, chunk_rows=2)
    assert found == steps.state(model)


def test_a_cluster_without_workers_is_waited_for_and_then_named() -> None:
    model, (x, y) = steps.network(0), steps.data(0, 4)
    with local_cluster() as cluster, connected(cluster) as client:
        cluster.scale(0)
        while client.nthreads():
            time.sleep(0.05)
        pattern = r"no worker takes tasks for 1 s: .* \d+ left, the last at \d.*Start one"
        for data in ((x, y), (x[:0:-1], y[:0:-1])):
            with pytest.raises(ConnectionError, match=pattern):
                parallel.backward(model, steps.mean, *data, client=client, timeout=1)
        assert not steps.gradients(model)
        joining = threading.Timer(1, cluster.scale, [1])
        joining.start()
        parallel.backward(model, steps.mean, x, y, client=client, timeout=PATIENT)
        joining.join()
    assert steps.gradients(model)


class Restarting:
    """A client whose workers end before they are seen, six times, and then take tasks."""

    scheduler = SimpleNamespace(ncores_running=None, address="tcp://here")
    looks = 0

    def sync(self, *_: Any, **__: Any) -> dict[str, int]:
        self.looks += 1
        return {"tcp://worker": 1} if self.looks > 6 else {}

    def run_on_scheduler(self, function: Any) -> Any:
        return function(dask_scheduler=self)

    def get_events(self, _: str) -> list[Any]:
        return [(k, {"action": "remove-worker"}) for k in range(self.looks)]

    def run(self, function: Any, workers: list[str], **_: Any) -> dict[str, str]:
        return {address: function() for address in workers}


def test_workers_that_come_and_end_are_waited_for() -> None:
    assert parallel.clients.workers_of(Restarting(), timeout=1.0) == {"tcp://worker": 1}


def test_an_interrupted_step_leaves_no_tasks(client: Any) -> None:
    def tasks() -> int:
        return int(client.run_on_scheduler(lambda dask_scheduler: len(dask_scheduler.tasks)))

    model, (x, y) = steps.network(0), steps.data(0, 40)
    before = tasks()
    interrupt = threading.Timer(1, signal.raise_signal, [signal.SIGINT])
    interrupt.start()
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background
    with pytest.raises(KeyboardInterrupt):  # has none
        parallel.backward(model, steps.slow, x, y, chunk_rows=1, client=client)
    signal.signal(signal.SIGINT, handler)
    interrupt.join()
    for _ in range(100):
        if tasks() <= before:
            break
        time.sleep(0.1)
    assert tasks() <= before
    assert not steps.gradients(model)


def test_batches_train_to_the_same_bits_and_go_on_after_a_checkpoint(client: Any) -> None:
    def after(steps: int) -> Any:
        calls = itertools.count(1)
        return lambda: next(calls) == steps

    def train(where: Any, *stops: int) -> list[bytes]:
        state: dict[str, Any] = {}
        for stop in (*stops, 0):  # which is never
            run = Run(1, slow=False)
            run.state = state
            assert run.train(where, after(stop)) is (stop == 0)
            state = run.state
        return steps.state(run.model)

    assert train(client, 3, 10) == train(None)


def test_arrays_that_follow_from_data_on_workers_give_the_same_bits(client: Any) -> None:
    x, y = (dask.array.from_array(a, chunks=(9, -1)) for a in steps.data(0, 83))
    found = []
    for data, where in (((x / 2 * 2, y), None), ((client.persist(x / 2) * 2, y), client)):
        model = steps.network(1)
        parallel.backward(model, steps.mean, *data, client=where)
        for batch in parallel.batches(*data, batch_size=50):
            parallel.backward(model, steps.mean, *batch, client=where)
        found.append(steps.state(model))
    assert found[0] == found[1]


def test_faults_are_named_and_change_nothing(client: Any) -> None:
    model, (x, y) = steps.network(0, nn.BatchNorm1d(5)), steps.data(0, 41)
    parallel.backward(model, steps.mean, x, y)
    before, lock = steps.state(model), threading.Lock()
    for loss_fn, pattern in (
        (steps.raising, r"rows 40:41: KeyError: .*steps\.py:\d+: raise KeyError\(\"the user's mis"),
        # Errors that cannot be pickled
        (steps.recursive, r"rows \d+:\d+: RecursionError: .*steps\.py:\d+: return recursive"),
        (lambda *_: lock.locked(), r"pickle of the function .*lock"),
    ):
        with pytest.raises(parallel.ChunkError, match=pattern):
            parallel.backward(model, loss_fn, x, y, chunk_rows=10, client=client)
    assert steps.state(model) == before


def test_functions_of_a_script_keep_their_lines(client: Any) -> None:
    source = "def loss_fn(model, x):\n    raise KeyError('wrong')\n"
    script: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(source, "script.py", "exec"), script)  # noqa: S102  sent by value, as a script's
    with pytest.raises(parallel.ChunkError, match=r"KeyError.*script\.py:2"):
        parallel.backward(nn.Linear(2, 2), script["loss_fn"], np.ones((4, 2)), client=client)
    (run,) = parallel.map(partial(script["loss_fn"], None), [1], client=client)
    assert run.line.startswith("script.py:2")


def test_a_closed_client_is_refused(cluster: Any) -> None:
    client = connected(cluster)
    client.close()
    model, (x, y) = steps.network(0), steps.data(0, 4)
    with pytest.raises(ConnectionError, match=r"client is closed.*Client\(address\)"):
        parallel.backward(model, steps.mean, x, y, client=client)
    with pytest.raises(ConnectionError, match="client is closed"):
        parallel.map(abs, [1], client=client)
    assert not steps.gradients(model)


def test_a_scheduler_that_goes_away_is_named() -> None:
    model, (x, y) = steps.network(0), steps.data(0, 4)
    cluster = local_cluster()
    client = connected(cluster, timeout=2)
    closing = threading.Timer(0.5, cluster.close)
    closing.start()
    with pytest.raises(ConnectionError, match=r"scheduler.*went away.*Connect again"):
        parallel.backward(model, steps.slow, x, y, client=client)
    closing.join()
    client.close(timeout=1)
    assert not steps.gradients(model)


def test_a_sweep_keeps_results_and_errors(client: Any) -> None:
    def train(n: int) -> float:
        if n == 2:
            raise ValueError("diverged")
        return tg.rand(n).sum().item()

    found = []
    for workers, where in ((1, None), (2, None), (1, client)):
        tg.manual_seed(1)
        with dask.config.set(num_workers=workers):
            runs = parallel.map(train, [1, 2, 3], client=where)
        assert [run.configuration for run in runs] == [1, 2, 3]
        assert str(runs[1].error) == "diverged"
        assert runs[1].line.endswith('raise ValueError("diverged")')
        assert runs[1].result is runs[0].error is None
        found.append([run.result for run in runs])
    assert found[0] == found[1] == found[2]
    assert parallel.map(train, []) == []
    runs = parallel.map(lambda n: n if n == 1 else (_ for _ in ()), [1, 2], client=client)
    assert runs[0].result == 1
    assert "generator" in str(runs[1].error)  # which cannot be sent
