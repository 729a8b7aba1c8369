"""A chunk of rows in a worker: forward pass, backward pass, sums over the samples."""

from __future__ import annotations

import threading
import traceback
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partialmethod
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import cloudpickle
import distributed
import numpy as np

from tinygrad_fc.compiler import compile as compile_step
from tinygrad_fc.core.errors import GraphError, ShapeError
from tinygrad_fc.core.grad_mode import no_grad
from tinygrad_fc.core.node import as_array, leaf_of
from tinygrad_fc.functional.creation import ones_like
from tinygrad_fc.nn import BatchNorm1d, Parameter
from tinygrad_fc.parallel.clients import STARTED, ChunkError
from tinygrad_fc.parallel.data import loaded
from tinygrad_fc.random import Generator, drawing_from

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tinygrad_fc.tensors import Tensor

BLOCK_ROWS = 2000
"""The number of rows of a chunk that a worker processes at a time, to stay in its caches."""
SAMPLE, LABELS = 128, 16
"""About the numbers of rows, of all chunks and of different labels, on which a loss is checked."""
_WEIGHTED = (
    "with class weights w or ignore_index=i, return the mean and the weight of the rows: "
    "cross_entropy(x, y, w, ignore_index=i), w[y[y != i]].sum()"
)
_FOREIGN = (__file__.removesuffix("parallel/worker.py"), "-packages")
_thread = threading.local()


@dataclass(frozen=True)
class State:
    """What all chunks of a step share."""

    code: bytes  # of the replica
    arrays: list[Any]  # parameters and buffers
    seed: int
    stride: int  # of rows on which the loss is checked
    name: str


def norms_in_training(model: Any) -> list[Any]:
    """Return the layers that take the statistics of a chunk, which is not cut or joined then."""
    return [m for m in model.modules() if isinstance(m, BatchNorm1d) and m.training]


def chunk_sums(state: State, rows: range, before: Any, *columns: Any) -> Any:
    """Return the sums `before` plus the weight, loss, gradients and buffers of some `rows`.

    The `columns` are lists of the chunks of each array that have these rows. The first of the sums
    is a sample of the rows, for the check of the loss.
    """
    with suppress(ValueError):  # in a thread of the client there is no worker to report from
        event = {"step": state.name, "rows": [rows.start, rows.stop]}
        distributed.get_worker().log_event(STARTED, event)
    with _errors(f"rows {rows.start}:{rows.stop}"):
        arrays = [as_array(loaded(*chunks)) for chunks in columns]
        tensors, sample, sums = [leaf_of(a) for a in arrays], None, None
        replica = _replica_of(state)
        if replica.separates:
            random = np.random.default_rng(state.seed + rows.start)
            sample = _sample(arrays, random.integers(len(rows), size=-(-len(rows) // state.stride)))
        size = BLOCK_ROWS if replica.separates and not replica.norms else len(rows)
        with drawing_from(replica.generator.manual_seed(state.seed + rows.start)):
            for k in range(0, len(rows), size):
                sums = add_sums(sums, replica.sums([t[k : k + size] for t in tensors]))
        return add_sums(before, [sample, *(sums or ())])


def checked(state: State, sums: Any) -> Any:
    """Return the sums over all rows, without the sample, on which the loss is checked."""
    sample, *sums = sums
    if sample:
        with _errors("the check of the loss"):
            _replica_of(state).check(sample, state.seed)
    return sums


@contextmanager
def _errors(place: str) -> Iterator[None]:
    """Raise errors of the user's function as `ChunkError`, with the line that raised."""
    try:
        yield
    except Exception as error:  # noqa: BLE001  of the user's
        at = f" At {line}." if (line := line_of(error)) else ""
        cause = None if isinstance(error, RecursionError) else error  # too deep for a pickle
        message = f"{place}: {type(error).__name__}: {error}.{at}"
        raise ChunkError(f"{message} Parameters and gradients are unchanged") from cause


def add_sums(total: Any, part: Any = None) -> Any:
    """Return `total + part`, in the memory of `part`, so that a worker holds no third gradient."""
    if total is None or part is None:
        return part if total is None else total
    pairs = zip(total, part, strict=True)
    return [b if a is None else a if b is None else _plus(a, b) for a, b in pairs]


def _plus(total: Any, part: Any) -> Any:
    if isinstance(part, list):
        joined = [np.concatenate(pair) for pair in zip(total, part, strict=True)]
        count = len(joined[0])
        rows = np.linspace(0, count - 1, 2 * SAMPLE).astype(int)
        return joined if count < 4 * SAMPLE else _sample(joined, rows)
    if part.dtype.kind != "f":
        return part  # a counter of batches advances once a step
    own = part.ndim and part.flags.writeable  # what a client gets may be read-only
    return np.add(total, part, out=part if own else None)


def tensors_of(model: Any) -> list[Tensor]:
    """Return the parameters and buffers, in the order in which a step sums them."""
    return [*model.parameters(), *model.buffers()]


def _replica_of(state: State) -> Replica:
    """Return the replica of this thread, whose tensors have `.grad` of their own."""
    if getattr(_thread, "code", None) != state.code:
        _thread.replica, _thread.code = cloudpickle.loads(state.code), state.code
        _thread.replica.prepare()
    _thread.replica.arrays = state.arrays
    return _thread.replica  # type: ignore[no-any-return]


@dataclass
class Replica:
    """The model, the function and the settings of a step: each worker thread has its own copy."""

    model: Any
    function: Any
    reduction: str = "mean"
    backend: str | None = None  # of the compiler; None: the function itself runs
    separates: bool = False  # the loss over rows, as is checked
    evaluates: bool = False

    def prepare(self) -> None:
        """Create what a copy needs to run."""
        self.arrays: Sequence[Any] = ()
        self.tensors, self.generator = tensors_of(self.model), Generator()
        self.step: Any = no_grad()(self.value) if self.evaluates else self._step
        if self.evaluates:
            self.model.eval()
        elif self.backend:
            self.step = compile_step(self._step, backend=self.backend, check=False)
        self.norms = norms_in_training(self.model)

    def load(self, *, checking: bool = False) -> None:
        """Set the parameters, and the buffers to copies, since a step changes them."""
        for norm in self.norms:
            norm.training = not checking
        for t, array in zip(self.tensors, self.arrays, strict=True):
            t._array = array if isinstance(t, Parameter) else array.copy()
            t._grad = None

    def value(self, *tensors: Tensor) -> tuple[Any, Any]:
        """Return the loss of rows, and their weight."""
        loss = self.function(self.model, *tensors)
        loss, weight = loss if isinstance(loss, tuple) else (loss, len(tensors[0]))
        if getattr(loss, "shape", True):
            raise ShapeError(f"loss_fn returned {getattr(loss, 'shape', loss)}; expected shape ()")
        return loss, weight

    def _step(self, *tensors: Tensor) -> tuple[Any, Any]:
        """Return the loss and the weight, and set gradients of the sum over the rows."""
        loss, weight = self.value(*tensors)
        scale = 1.0 if self.reduction == "sum" else weight
        loss.backward(ones_like(loss) * scale)
        return loss, weight

    def sums(self, tensors: Sequence[Tensor]) -> list[Any]:
        """Return the weight, the loss, gradients and buffers, summed over the samples."""
        self.load()
        loss, weight = self.step(*tensors)
        weight = np.float64(float(weight))
        scale = 1.0 if self.reduction == "sum" else weight.item()
        sums: list[Any] = [weight, np.float64(scale * loss.item() if scale else 0.0)]
        if not self.evaluates:
            if all(t._grad is None for t in self.tensors):
                raise GraphError("no parameter has a gradient: use the model that loss_fn gets")
            for t in self.tensors:
                if isinstance(t, Parameter):  # where no row counts, the mean is NaN
                    sums.append(t._grad._array if t._grad is not None and scale else None)
                else:
                    sums.append(weight * t._array if t.is_floating_point() else t._array)
        with np.errstate(all="ignore"):  # a finite sum, which takes no memory, settles it
            if not all(a is None or np.isfinite(a.sum()) or np.isfinite(a).all() for a in sums):
                raise FloatingPointError(
                    f"the loss is {loss.item()}, or a gradient is not finite. If no row counts, "
                    + _WEIGHTED
                )
        return sums

    def check(self, arrays: list[Any], seed: int) -> None:
        """Raise `ValueError` where the loss of rows does not follow from the losses of three parts.

        All rows draw the same random numbers, so that dropout separates over rows, and batch norm
        is in evaluation mode. Rows with the same label are side by side: if rows weigh differently
        by their labels, the parts do, too.
        """
        labels = _labels(arrays) or [np.zeros(len(arrays[0]))]
        rows = np.argsort(labels[-1], kind="stable")

        def value(start: int, stop: int) -> tuple[float, float]:
            self.load(checking=True)
            generator = Generator()
            generator._rng = _SameForAllRows(np.random.PCG64(seed))
            with drawing_from(generator), no_grad():
                loss, weight = self.value(*[leaf_of(a[rows[start:stop]]) for a in arrays])
            return loss.item() if weight else 0.0, float(weight)

        count = len(rows)
        ends = sorted({0, count // 5, count // 2, count})  # parts of different lengths
        whole, *losses = (value(*span) for span in ((0, count), *pairwise(ends)))
        (total, _), (parts, weights) = whole, zip(*losses, strict=True)
        mean = np.dot(parts, weights) / (sum(weights) or 1.0)
        expected, reduction = {"sum": sum(parts), "mean": mean}, self.reduction
        error = 1e-4 if any(t.dtype.itemsize < 8 for t in self.tensors) else 1e-9
        fits = [k for k, v in expected.items() if abs(total - v) <= error * np.abs(parts).sum()]
        if len(parts) > 1 and reduction not in fits:
            advice = f"It does not separate over rows: {_WEIGHTED}. Or pass check=False"
            advice = f"Pass reduction={fits[0]!r}" if fits else advice
            by_parts = f"{total:g}, but {expected[reduction]:g} by parts of them"
            raise ValueError(f"the loss of {count} rows is {by_parts}. {advice}")


# The sample of the check, and its random numbers


def _labels(arrays: list[Any]) -> list[Any]:
    """Return a number a row, of arrays that may be labels or weights: all but real features."""
    kinds = [a for a in arrays if a.size == len(a) or (a.size and a.dtype.kind != "f")]
    return [a.reshape(len(a), -1).min(1) for a in kinds]


def _sample(arrays: list[Any], rows: Any) -> list[Any]:
    """Return the `rows`, and further ones with other labels, or the least and greatest numbers."""
    for labels in _labels(arrays):
        first = np.unique(labels, return_index=True)[1]
        count = min(2 if labels.dtype.kind == "f" else LABELS, len(first))
        rows = np.append(rows, first[np.linspace(0, len(first) - 1, count).astype(int)])
    rows = np.unique(rows)
    return [a[rows] for a in arrays]


class _SameForAllRows(np.random.Generator):
    """Draws the same numbers for all rows, so that a loss that draws some can be checked."""

    def _drawn(self, name: str, size: Any = None, dtype: Any = np.float64, out: Any = None) -> Any:
        result = np.empty(() if size is None else size, dtype) if out is None else out
        result[...] = getattr(super(), name)(result.shape[1:], dtype)
        return result[()]

    random: Any = partialmethod(_drawn, "random")
    standard_normal: Any = partialmethod(_drawn, "standard_normal")


def line_of(error: Exception) -> str:
    """Return the last line of the user's code in the traceback, with its file and number."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if not any(part in f.filename for part in _FOREIGN)]
    return f"{own[-1].filename}:{own[-1].lineno}: {own[-1].line}" if own else ""
