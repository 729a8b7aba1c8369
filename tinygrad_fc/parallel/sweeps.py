"""Sweeps: one training function over many configurations."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import cloudpickle
import dask
import distributed
from tqdm import tqdm

from tinygrad_fc.parallel import worker
from tinygrad_fc.parallel.clients import check_client, connected, finished, pickled, workers_of
from tinygrad_fc.random import Generator, drawing_from, rng_of
from tinygrad_fc.serialization import load, save

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator


class Run(NamedTuple):
    """A run of a sweep: its configuration, and its result, or its error and the line of code."""

    configuration: Any
    result: Any = None
    error: Exception | None = None
    line: str = ""


def map(  # noqa: A001  the name that Client and executors have
    train: Callable[[Any], Any],
    configurations: Iterable[Any],
    *,
    client: Any = None,
    folder: Any = None,
    timeout: float = 60.0,
    progress: bool = False,
) -> list[Run]:
    """Return a `Run` for each of the `configurations`, with the result of `train(configuration)`.

    The runs are spread over the workers of `client`, or over threads. A run that raises has its
    `error` and the `line` that raised; one that ends its worker, as for want of memory, is tried
    again alone, and has an `error` if it does so again. The others go on. Random numbers of this
    library are drawn from a seed per run, which `tg.manual_seed` determines, so that results do not
    depend on the workers (pass other libraries, and the estimators, a seed). Each result is saved
    in `folder` as it comes, by `save`, and a later call takes it from there instead of running the
    same configuration: use another folder for another `train`. Raises `ConnectionError` like
    `backward`.

    >>> from tinygrad_fc import parallel
    >>> [run.result for run in parallel.map(lambda n: n * n, [2, 3])]
    [4, 9]
    """
    check_client(client, timeout)
    configurations, seed = list(configurations), int(rng_of(None).integers(2**62))
    paths = _paths(folder, configurations)
    runs = {k: Run(configurations[k], load(p)["result"]) for k, p in paths.items() if p.exists()}
    code = train if client is None else pickled(train)
    calls = {k: (code, c, seed + k) for k, c in enumerate(configurations) if k not in runs}
    for k, run in tqdm(_finished(client, calls, timeout), total=len(calls), disable=not progress):
        runs[k] = run
        if paths and not run.error:
            try:
                save({"result": run.result}, paths[k])
            except TypeError as error:  # of a type that files do not hold
                runs[k] = run._replace(error=error)
    return [runs[k] for k in range(len(configurations))]


def _paths(folder: Any, configurations: list[Any]) -> dict[int, Path]:
    """Return the file of each run, by its configuration, and the number of the same before it."""
    if folder is None:
        return {}
    Path(folder).mkdir(parents=True, exist_ok=True)
    names = [hashlib.sha256(pickled(c)).hexdigest()[:20] for c in configurations]
    files = [f"{name}-{names[:k].count(name)}.safetensors" for k, name in enumerate(names)]
    return {k: Path(folder, file) for k, file in enumerate(files)}


def _attempt(code: Any, configuration: Any, seed: int) -> Any:
    """Return a run, in a worker as a pickle: a result that has none is then the run's error."""
    in_worker = isinstance(code, bytes)
    train, packed = (cloudpickle.loads(code), cloudpickle.dumps) if in_worker else (code, Run._make)
    try:
        with drawing_from(Generator().manual_seed(seed)):
            return packed(Run(configuration, train(configuration)))
    except (Exception, SystemExit) as error:  # noqa: BLE001  a run of the user's, whose error is the result
        error = error if isinstance(error, Exception) else RuntimeError(f"exit, {error}")
        return packed(Run(configuration, error=error, line=worker.line_of(error)))


def _finished(client: Any, calls: dict[int, Any], timeout: float) -> Iterator[tuple[int, Run]]:
    """Yield the number of each call and its run, as they finish; those that end workers last."""
    ended = []
    for k, run in _finished_once(client, calls, timeout):
        if isinstance(run.error, distributed.KilledWorker):
            ended.append(k)  # or it waited on a worker that another run ended
        else:
            yield k, run
    for k in ended:
        ((_, run),) = _finished_once(client, {k: calls[k]}, timeout)
        if isinstance(run.error, distributed.KilledWorker):
            text = "it ended its worker, also when it ran alone: look at the memory, and for exits"
            run = run._replace(error=RuntimeError(text))
        yield k, run


def _finished_once(client: Any, calls: dict[int, Any], timeout: float) -> Iterator[tuple[int, Run]]:
    """Yield the number of each call and its run, as they finish."""
    with connected(client, timeout) if client else nullcontext():
        if client:
            workers_of(client, timeout)
        executor = ThreadPoolExecutor(dask.config.get("num_workers", None))
        submit = partial(client.submit, pure=False) if client else executor.submit
        numbers: dict[Any, int] = {submit(_attempt, *call): k for k, call in calls.items()}
        try:
            for future in finished(numbers, client, timeout) if client else as_completed(numbers):
                k, error = numbers[future], future.exception()  # of a worker that ended, as well
                run = future.result() if error is None else Run(calls[k][1], error=error)  # type: ignore[arg-type]
                yield k, cloudpickle.loads(run) if isinstance(run, bytes) else run
        finally:
            for future in numbers:
                future.cancel()
            executor.shutdown()
