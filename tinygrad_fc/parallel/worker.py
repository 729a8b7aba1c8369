"""A chunk of rows in a worker: forward pass, backward pass, sums over the samples."""

from __future__ import annotations

import threading
import traceback
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

import cloudpickle
import distributed
import numpy as np

from tinygrad_fc.compiler import compile as compile_step
from tinygrad_fc.errors import GraphError, ShapeError
from tinygrad_fc.functional.creation import ones_like
from tinygrad_fc.grad_mode import no_grad
from tinygrad_fc.graph import as_array, wrap
from tinygrad_fc.nn import BatchNorm1d, Parameter
from tinygrad_fc.parallel.data import loaded
from tinygrad_fc.random import Generator, drawing_from

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tinygrad_fc.tensor import Tensor

BLOCK_ROWS = 2000
"""The number of rows of a chunk that a worker processes at a time, to stay in its caches."""
STARTED = "tinygrad_fc-chunks"
"""The topic of the events by which workers report the rows that they begin with."""
NOT_SEPARABLE = "It does not separate over rows: return (loss, weight), or pass check=False"
_FOREIGN = (__file__.removesuffix("parallel/worker.py"), "-packages")
_thread = threading.local()


class ChunkError(RuntimeError):
    """A chunk failed in a worker: the message names its rows and the line that raised."""


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


def chunk_sums(state: Any, step: Step, seed: int, rows: range, before: Any, *columns: Any) -> Any:
    """Return the sums `before` plus the weight, loss, gradients and buffers of some `rows`.

    The `columns` are lists of the chunks of each array that have these rows.
    """
    code, arrays = state
    with suppress(ValueError):  # in a thread of the client there is no worker to report from
        distributed.get_worker().log_event(STARTED, {"rows": [rows.start, rows.stop]})
    try:
        tensors = [wrap(as_array(loaded(*chunks))) for chunks in columns]
        if getattr(_thread, "code", None) != (code, step):  # one a thread, for its `.grad`
            _thread.replica, _thread.code = _Replica(code, step), (code, step)
        replica: _Replica = _thread.replica
        if replica.unchecked and not rows.start and len(rows) > 1:
            replica.load(arrays)
            replica.check(tensors, seed)
            replica.unchecked = False
        size = BLOCK_ROWS if replica.may_be_cut else len(rows)
        sums = None
        with drawing_from(replica.generator.manual_seed(seed + rows.start)):
            for k in range(0, len(rows), size):
                replica.load(arrays)
                part = replica.sums([t[k : k + size] for t in tensors])
                sums = add_sums(sums, part, in_place=True)
        return add_sums(before, sums, in_place=True)  # a worker holds no third gradient
    except Exception as error:
        message = f"rows {rows.start}:{rows.stop}: {type(error).__name__}: {error}."
        at = f" At {line}." if (line := line_of(error)) else ""
        raise ChunkError(f"{message}{at} Parameters and gradients are unchanged") from error


def add_sums(total: Any, part: Any, *, in_place: bool = False) -> Any:
    """Return `total + part`: new arrays, since Dask may need these again, or `part` in place."""
    if total is None:
        return part
    return [_plus(a, b, b if in_place else None) for a, b in zip(total, part, strict=True)]


def _plus(total: Any, part: Any, out: Any = None) -> Any:
    if total is None or part is None:
        return part if total is None else total
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
        self.may_be_cut = self.unchecked = may_be_cut(self.model, step)

    def load(self, arrays: Sequence[Any]) -> None:
        """Set the parameters, and the buffers to copies, since a step changes them."""
        for t, array in zip(self.tensors, arrays, strict=True):
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
                raise FloatingPointError(f"the loss is {loss.item()}, or a gradient is not finite")
        return sums

    def check(self, tensors: Sequence[Tensor], seed: int) -> None:
        """Raise `ValueError` where the loss of rows does not follow from those of two parts."""
        count, reduction = min(len(tensors[0]), 64), self.settings.reduction

        def value(start: int, stop: int, seed: int) -> tuple[float, float]:
            with drawing_from(Generator().manual_seed(seed)), no_grad():
                loss, weight = self.value(*(t[start:stop] for t in tensors))
            return loss.item() if weight else 0.0, float(weight)

        whole, again = (value(0, count, seed + k)[0] for k in range(2))
        if whole != again:  # random, as with dropout
            return
        part = max(count // 3, 1)
        (a, m), (b, n) = value(0, part, seed), value(part, count, seed)
        expected = {"sum": a + b, "mean": (m * a + n * b) / (m + n or 1.0)}
        error = 1e-3 if any(t.dtype.itemsize < 8 for t in self.tensors) else 1e-9
        fits = [k for k, v in expected.items() if abs(whole - v) <= error * (abs(a) + abs(b))]
        if reduction not in fits:
            advice = f"Pass reduction={fits[0]!r}" if fits else NOT_SEPARABLE
            parts = f"{whole:g}, but {expected[reduction]:g} by two parts"
            raise ValueError(f"the loss of {count} rows is {parts}. {advice}")


def line_of(error: Exception) -> str:
    """Return the last line of the user's code in the traceback, with its file and number."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if not any(part in f.filename for part in _FOREIGN)]
    return f"{own[-1].filename}:{own[-1].lineno}: {own[-1].line}" if own else ""
