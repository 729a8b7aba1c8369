"""A chunk of rows in a worker: forward pass, backward pass, sums over the samples."""

from __future__ import annotations

import threading
import traceback
from contextlib import suppress
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import cloudpickle
import distributed
import numpy as np

from tinygrad_fc.compiler import compile as compile_step
from tinygrad_fc.core.errors import GraphError, ShapeError
from tinygrad_fc.core.grad_mode import no_grad
from tinygrad_fc.core.node import as_array, leaf_of
from tinygrad_fc.functional.creation import ones_like
from tinygrad_fc.nn import BatchNorm1d, Parameter
from tinygrad_fc.parallel.clients import ChunkError
from tinygrad_fc.parallel.data import loaded
from tinygrad_fc.random import Generator, drawing_from

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tinygrad_fc.tensors import Tensor

BLOCK_ROWS = 2000
"""The number of rows of a chunk that a worker processes at a time, to stay in its caches."""
STARTED = "tinygrad_fc-chunks"
"""The topic of the events by which workers report the rows that they begin with."""
SAMPLE = 128
"""About the number of rows, from all chunks, on which the loss of a step is checked."""
_WEIGHTED = (
    "with class weights w or ignore_index=i, return the mean and the weight of the rows: "
    "cross_entropy(x, y, w, ignore_index=i), w[y[y != i]].sum()"
)
_FOREIGN = (__file__.removesuffix("parallel/worker.py"), "-packages")
_thread = threading.local()


class Step(NamedTuple):
    """The settings of a step that all its chunks share."""

    reduction: str
    backend: str | None  # of the compiler; None: the function itself runs
    check: bool = False
    evaluate: bool = False


def may_be_cut(model: Any, step: Step) -> bool:
    """Return whether chunks may be cut and joined: not where their own statistics count."""
    norms = [m for m in model.modules() if isinstance(m, BatchNorm1d)]
    return step.check and not any(m.training for m in norms)


def chunk_sums(shared: Any, rows: range, before: Any, *columns: Any) -> Any:
    """Return the sums `before` plus the weight, loss, gradients and buffers of some `rows`.

    The `columns` are lists of the chunks of each array that have these rows. The first of the sums
    is a list of samples, one row in `stride` of each chunk, for the check of the loss.
    """
    (code, arrays), step, seed, stride, name = shared
    with suppress(ValueError):  # in a thread of the client there is no worker to report from
        event = {"step": name, "rows": [rows.start, rows.stop]}
        distributed.get_worker().log_event(STARTED, event)
    try:
        tensors = [leaf_of(as_array(loaded(*chunks))) for chunks in columns]
        if getattr(_thread, "code", None) != (code, step):  # one a thread, for its `.grad`
            _thread.replica, _thread.code = _Replica(code, step), (code, step)
        replica: _Replica = _thread.replica
        sample = _sample(tensors, stride, seed + rows.start) if step.check else ()
        if replica.unchecked and not rows.start:  # early, beside the check of all samples
            replica.load(arrays)
            check_loss(replica.function, replica.model, sample, step, seed)
            replica.unchecked = False
        size = BLOCK_ROWS if replica.may_be_cut else len(rows)
        sums = None
        with drawing_from(replica.generator.manual_seed(seed + rows.start)):
            for k in range(0, len(rows), size):
                replica.load(arrays)
                part = replica.sums([t[k : k + size] for t in tensors])
                sums = add_sums(sums, part, in_place=True)
        samples = [[t.numpy() for t in sample]]
        # in place, so that a worker holds no third gradient
        return add_sums(before, [samples, *(sums or ())], in_place=True)
    except Exception as error:  # noqa: BLE001  of the user's
        message = f"rows {rows.start}:{rows.stop}: {type(error).__name__}: {error}."
        at = f" At {line}." if (line := line_of(error)) else ""
        cause = None if isinstance(error, RecursionError) else error  # too deep for a pickle
        raise ChunkError(f"{message}{at} Parameters and gradients are unchanged") from cause


def add_sums(total: Any, part: Any, *, in_place: bool = False) -> Any:
    """Return `total + part`: new arrays, since Dask may need these again, or `part` in place."""
    if total is None:
        return part
    return [_plus(a, b, b if in_place else None) for a, b in zip(total, part, strict=True)]


def _plus(total: Any, part: Any, out: Any = None) -> Any:
    if total is None or part is None:
        return part if total is None else total
    if isinstance(part, list):
        return total + part
    if part.dtype.kind != "f":
        return part  # a counter of batches advances once a step
    return np.add(total, part, out=out if part.ndim else None)


def tensors_of(model: Any) -> list[Tensor]:
    """Return the parameters and buffers, in the order in which a step sums them."""
    return [*model.parameters(), *model.buffers()]


class _Replica:
    """A copy of the model and the function of a step, for one worker thread."""

    def __init__(self, code: bytes, step: Step) -> None:
        self.model, self.function = cloudpickle.loads(code)
        self.tensors = tensors_of(self.model)
        self.settings, self.generator = step, Generator()
        self.step: Any = no_grad()(self.value) if step.evaluate else self._step
        if step.evaluate:
            self.model.eval()
        elif step.backend:
            self.step = compile_step(self._step, backend=step.backend, check=False)
        self.may_be_cut, self.unchecked = may_be_cut(self.model, step), step.check

    def load(self, arrays: Sequence[Any]) -> None:
        """Set the parameters, and the buffers to copies, since a step changes them."""
        for t, array in zip(self.tensors, arrays, strict=True):
            t._array = array if isinstance(t, Parameter) else array.copy()
            t._grad = None

    def value(self, *tensors: Tensor) -> tuple[Any, Any]:
        """Return the loss of rows, and their weight."""
        return _value(self.function, self.model, tensors)

    def _step(self, *tensors: Tensor) -> tuple[Any, Any]:
        """Return the loss and the weight, and set gradients of the sum over the rows."""
        loss, weight = self.value(*tensors)
        scale = 1.0 if self.settings.reduction == "sum" else weight
        loss.backward(ones_like(loss) * scale)
        return loss, weight

    def sums(self, tensors: Sequence[Tensor]) -> list[Any]:
        """Return the weight, the loss, gradients and buffers, summed over the samples."""
        loss, weight = self.step(*tensors)
        weight = np.float64(float(weight))
        scale = 1.0 if self.settings.reduction == "sum" else weight.item()
        sums: list[Any] = [weight, np.float64(scale * loss.item() if scale else 0.0)]
        if not self.settings.evaluate:
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


def _value(function: Any, model: Any, tensors: Sequence[Tensor]) -> tuple[Any, Any]:
    """Return the loss of rows, and their weight."""
    loss = function(model, *tensors)
    loss, weight = loss if isinstance(loss, tuple) else (loss, len(tensors[0]))
    if getattr(loss, "shape", True):
        raise ShapeError(f"loss_fn returned {getattr(loss, 'shape', loss)}; expected shape ()")
    return loss, weight


# The check of the loss


def _sample(tensors: Sequence[Tensor], stride: int, seed: int) -> list[Tensor]:
    """Return one random row in `stride` of a chunk, and at least one, in their order."""
    count = len(tensors[0])
    rows = np.random.default_rng(seed).integers(count, size=-(-count // stride))
    return [t[np.sort(rows)] for t in tensors]


class _SameForAllRows(np.random.Generator):
    """Draws the same numbers for all rows, so that a loss that draws some can be checked."""

    def random(self, size: Any = None, dtype: Any = np.float64, out: Any = None) -> Any:
        result = np.empty(() if size is None else size, dtype) if out is None else out
        result[...] = super().random(result.shape[1:], dtype)
        return result[()]

    def standard_normal(self, size: Any = None, dtype: Any = np.float64, out: Any = None) -> Any:
        result = np.empty(() if size is None else size, dtype) if out is None else out
        result[...] = super().standard_normal(result.shape[1:], dtype)
        return result[()]


def check_loss(function: Any, model: Any, tensors: Any, step: Step, seed: int) -> None:
    """Raise `ValueError` where the loss of rows does not follow from the losses of three parts.

    The model is in evaluation mode during the check, so that dropout draws nothing and batch norm
    separates over rows.
    """

    def value(start: int, stop: int) -> tuple[float, float]:
        generator = Generator()
        generator._rng = _SameForAllRows(np.random.PCG64(seed))
        with drawing_from(generator), no_grad():
            loss, weight = _value(function, model, [t[start:stop] for t in tensors])
        return loss.item() if weight else 0.0, float(weight)

    count, modes = len(tensors[0]), [(m, m.training) for m in model.modules()]
    ends = sorted({0, count // 5, count // 2, count})  # parts of different lengths
    model.eval()
    try:
        whole, *losses = (value(*span) for span in ((0, count), *pairwise(ends)))
    finally:
        for module, mode in modes:
            module.training = mode
    (total, _), (parts, weights) = whole, zip(*losses, strict=True)
    mean = np.dot(parts, weights) / (sum(weights) or 1.0)
    expected = {"sum": sum(parts), "mean": mean}
    error = 1e-3 if any(t.dtype.itemsize < 8 for t in tensors_of(model)) else 1e-9
    fits = [k for k, v in expected.items() if abs(total - v) <= error * np.abs(parts).sum()]
    if len(parts) > 1 and step.reduction not in fits:
        advice = f"It does not separate over rows: {_WEIGHTED}. Or pass check=False"
        advice = f"Pass reduction={fits[0]!r}" if fits else advice
        by_parts = f"{total:g}, but {expected[step.reduction]:g} by parts of them"
        raise ValueError(f"the loss of {count} rows is {by_parts}. {advice}")


def line_of(error: Exception) -> str:
    """Return the last line of the user's code in the traceback, with its file and number."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if not any(part in f.filename for part in _FOREIGN)]
    return f"{own[-1].filename}:{own[-1].lineno}: {own[-1].line}" if own else ""
