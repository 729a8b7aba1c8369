"""Train under random faults, and compare the bits with those of threads without faults.

    cd tests && python -m parallel.faults [--seconds 600] [--seed 0]

Faults come in random order: a worker is killed, or frozen and continued later, the disk is slow,
the client closes and another one goes on from a checkpoint. The weekly workflow runs this.
"""

# ruff: noqa: S311, T201

import argparse
import io
import os
import random
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from distributed import Client, LocalCluster

import tinygrad_fc as tg
from parallel import steps
from tinygrad_fc import nn, optim, parallel

ROWS, CHUNK, BATCH, EPOCHS = 2000, 50, 200, 3
SLOW_SECONDS = 0.02


class SlowRows:
    """Rows on a disk that is slow now and then."""

    def __init__(self, array: Any, *, slow: bool) -> None:
        self.array, self.slow = array, slow
        self.shape, self.dtype, self.ndim = array.shape, array.dtype, array.ndim
        self.nbytes = array.nbytes

    def __getitem__(self, rows: Any) -> Any:
        if self.slow and random.random() < 0.2:
            time.sleep(random.expovariate(1 / SLOW_SECONDS))
        return self.array[rows]


class Run:
    """A training that a checkpoint holds, and that goes on with another client."""

    def __init__(self, seed: int, *, slow: bool) -> None:
        tg.manual_seed(seed)
        self.model = steps.network(seed, nn.Dropout(0.25))
        self.optimizer = optim.Adam(self.model.parameters())
        self.data = [SlowRows(a, slow=slow) for a in steps.data(seed, ROWS)]
        self.seed = seed
        self.state: dict[str, Any] = {}

    def train(self, client: Any, stop: Callable[[], bool]) -> bool:
        """Go on until the end, or until `stop()`; return whether the end is reached."""
        settings = {"batch_size": BATCH, "seed": self.seed, "chunk_rows": CHUNK}
        loader = parallel.batches(*self.data, **settings)
        parts = {"model": self.model, "optimizer": self.optimizer, "loader": loader}
        for name, saved in self.state.items():
            load = tg.set_rng_state if name == "rng" else parts[name].load_state_dict
            load(saved)
        while loader.epoch < EPOCHS:
            for batch in loader:
                self.optimizer.zero_grad()
                parallel.backward(self.model, steps.mean, *batch, client=client, timeout=20)
                self.optimizer.step()
                states = {name: part.state_dict() for name, part in parts.items()}
                self.state = copied({**states, "rng": tg.get_rng_state()})
                if stop():
                    return False
        return True


def copied(value: Any) -> Any:
    """Return a copy of a checkpoint, as it would be on the disk."""
    file = io.BytesIO()
    tg.save(value, file)
    file.seek(0)
    return tg.load(file)


def disturb(client: Any, stop: threading.Event, rng: random.Random, counts: dict[str, int]) -> None:
    """Kill and freeze workers until `stop` is set, or set it, so that the client restarts."""
    while not stop.wait(rng.expovariate(1 / 8)):
        fault = rng.choice(("kill", "freeze", "client"))
        counts[fault] = counts.get(fault, 0) + 1
        if fault == "client":
            stop.set()
            return
        with suppress(Exception):  # a client that has just lost the worker
            pid = rng.choice([*client.run(os.getpid, on_error="ignore").values()])
            os.kill(pid, signal.SIGKILL if fault == "kill" else signal.SIGSTOP)
            if fault == "freeze":
                stop.wait(rng.uniform(1, 40))
                os.kill(pid, rng.choice((signal.SIGCONT, signal.SIGKILL)))


def main() -> None:
    """Print the faults; exit with 1 where a bit differs."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seconds", type=float, default=600)
    options.add_argument("--seed", type=int, default=random.randrange(10**6))
    chosen = options.parse_args()
    rng, started, seed = random.Random(chosen.seed), time.monotonic(), chosen.seed
    counts: dict[str, int] = {}
    print("seed", seed, flush=True)
    while time.monotonic() - started < chosen.seconds:
        expected = Run(seed, slow=False)
        expected.train(None, lambda: False)
        run, finished = Run(seed, slow=True), False
        while not finished:
            settings = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": ":0"}
            with LocalCluster(**settings) as cluster, Client(cluster) as client:
                stop = threading.Event()
                thread = threading.Thread(target=disturb, args=(client, stop, rng, counts))
                thread.start()
                try:
                    finished = run.train(client, stop.is_set)
                except ConnectionError:  # all workers were frozen
                    counts["no worker"] = counts.get("no worker", 0) + 1
                finally:
                    stop.set()
                    thread.join()
        same = steps.state(run.model) == steps.state(expected.model)
        print(f"seed {seed}: {counts}, {'the same bits' if same else 'OTHER BITS'}", flush=True)
        if not same:
            raise SystemExit(1)
        seed += 1


if __name__ == "__main__":
    main()
