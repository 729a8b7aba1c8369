"""`compile` and what it returns."""

from __future__ import annotations

import logging
import warnings
from functools import partial, update_wrapper
from importlib import import_module
from itertools import count, groupby, repeat
from threading import RLock
from types import MethodType
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypedDict, TypeVar, Unpack, overload

import numpy as np

from tinygrad_fc.compiler.call import Executable, Miss
from tinygrad_fc.compiler.export import export
from tinygrad_fc.compiler.ir import CompileError, GuardFailed
from tinygrad_fc.compiler.self_check import check as check_call
from tinygrad_fc.compiler.self_check import others_call
from tinygrad_fc.compiler.trace import StateCreatedError, trace
from tinygrad_fc.core import grad_mode
from tinygrad_fc.core.errors import ShapeError
from tinygrad_fc.core.node import Node, array_of, leaf_of, undifferentiated_leaf
from tinygrad_fc.core.pytree import flatten, mapped, unflatten
from tinygrad_fc.nn.module import Module

if TYPE_CHECKING:
    import os
    from collections.abc import Callable
    from pathlib import Path

    from tinygrad_fc.compiler.ir import Program

_log = logging.getLogger(__name__)
_one_at_a_time = RLock()
_WARN_AFTER, _MAX_PROGRAMS = 8, 64
"""Traces after which a warning is given, and programs that a function has at most."""
_MOST_BYTES, _MOST_STEPS = 2**24, 64
"""Bytes of data, and steps, after which an epoch returns to Python, where it can be interrupted."""
_BACKENDS = {None: "auto", "numpy": "numpy_printer", "numba": "numba_backend", "auto": "auto"}
_BACKENDS |= {"inductor": "auto"}
_MODES = (None, "default", "reduce-overhead", "max-autotune", "max-autotune-no-cudagraphs")

P = ParamSpec("P")
R = TypeVar("R")
M = TypeVar("M", bound=Module)


class Compiled(Generic[P, R]):
    """A function that is traced at its first call; later calls run its program. See `compile`.

    `source` is the program of the last call, `sources` and `programs` are all of them, `epoch`
    runs many steps in one call, `check` is whether calls 2, 4, 8, ... compare the program to the
    function, `__wrapped__` is the function itself.

    >>> import tinygrad_fc as tg
    >>> square = tg.compile(lambda x: x * x, backend="numpy")
    >>> square(tg.tensor([3.0]))
    tensor([9.])
    >>> print(square.source.splitlines()[-2].strip())
    result = x * x
    """

    def __init__(self, function: Callable[P, R], backend: str | None, *, check: bool) -> None:
        update_wrapper(self, function, updated=())
        self.__name__ = getattr(function, "__name__", type(function).__name__)
        self._function = function
        self.backend, self.check = backend, check
        self._calls: list[Executable] = []
        self._latest: Any = self._find_or_trace

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Do what the function does, by its program."""
        result = self._latest(args, kwargs)
        return self._find_or_trace(args, kwargs) if type(result) is Miss else result  # type: ignore[no-any-return]

    def __get__(self, instance: object, owner: type[Any] | None = None) -> Any:
        """Bind a compiled method to its instance."""
        return self if instance is None else MethodType(self, instance)

    def __reduce__(self) -> Any:
        """Copy the function; the copy is traced at its first call."""
        return partial(Compiled, check=self.check), (self._function, self.backend)

    def _find_or_trace(self, args: Any, kwargs: Any) -> Any:
        """Call a program whose guards hold, or trace a new one."""
        # detect_anomaly checks every op
        if grad_mode.flags.get() & (grad_mode.DETECT_ANOMALY | grad_mode.UNCOMPILED):
            return self._function(*args, **kwargs)
        with _one_at_a_time:
            misses: list[str] = []
            for call in self._calls:
                result = call.call(args, kwargs)
                if type(result) is not Miss:
                    self._put_first(call)
                    return result
                misses.append(result.changed)
            if len(self._calls) == _WARN_AFTER:  # once
                warnings.warn(
                    f"{self.__name__} is traced for the {len(self._calls) + 1}th time. Since the "
                    f"last call, this has changed: {misses[0]}. Each change takes a trace: give "
                    "batches one size (drop_last=True), and pass numbers that change as tensors",
                    stacklevel=3,
                )
            return self._traced(args, kwargs)

    def _traced(self, args: Any, kwargs: Any) -> Any:
        """Trace the function; return the result of this call."""
        result, calls = Miss("untraced"), count(1) if self.check else repeat(1)
        build, details = _backend(self.backend).build, (self._function, self.__name__, args, kwargs)
        try:
            traced = trace(*details)
        except StateCreatedError:  # once: run this call as it is, and trace again with the state
            next(calls)
            result = self.run_function(args, kwargs)
            traced = trace(*details)
        except CompileError:
            raise
        except Exception as error:  # changes that the function makes before it raises are kept
            self.run_function(args, kwargs)
            message = f"{self.__name__}: its trace raised {error!r}, which the function does not do"
            raise CompileError(f"{message}. Run it without compile") from error
        call = Executable(traced, build(traced.program), (args, kwargs), calls, self._do_and_check)
        self._put_first(call)
        if type(result) is Miss:
            result = call.call(args, kwargs)
        # Its guards may fail even for this call, since native code rounds otherwise.
        return self.run_function(args, kwargs) if type(result) is Miss else result

    def run_function(self, args: Any, kwargs: Any) -> Any:
        """Run the function itself, with those compiled functions that it calls as they are."""
        with grad_mode.uncompiled(on=True):
            result = self._function(*args, **kwargs)
        return mapped(_without_graph, result)

    def _do_and_check(self, call: Executable, *details: Any) -> Any:
        """Do a call by the function, compare its program, and return the program's outputs.

        None, before anything ran, if another thread is in a compiled call or a guard fails.
        """
        with _one_at_a_time:
            self._latest = self._find_or_trace  # others wait for the lock from now on
            if others_call():
                return None
            self._calls = [other for other in self._calls if other is not call]
            outputs = check_call(call, self.run_function, *details)
            self._put_first(call)
            return outputs

    def _put_first(self, call: Executable) -> None:
        self._calls = list(dict.fromkeys([call, *self._calls]))[:_MAX_PROGRAMS]
        self._latest = call.call

    def epoch(self, order: Any, *data: Any) -> Any:
        """Return what `self(*(x[rows] for x in data))` returns for each step of `order`, stacked.

        `order` (steps, batch) holds row numbers, or is a list of them for each step, such as
        `randperm(N).split(batch)`, whose last one may be smaller; `data` are tensors and arrays (N,
        ...). Up to 64 steps of one size run in one native call, where the backend can. Other
        results than tensors and arrays are those of the last step. Raises `ValueError` where
        `order` has no step or one without rows, `IndexError` for a row that does not exist,
        `ShapeError` where results cannot be stacked, or the data differ in their number of rows.

        >>> import tinygrad_fc as tg
        >>> total = tg.zeros(())
        >>> @tg.compile(backend="numpy")
        ... def add(x):
        ...     total.add_(x.sum())
        ...     return x.sum()
        >>> add.epoch([[0, 1], [2, 3], [4]], tg.tensor([1.0, 2.0, 3.0, 4.0, 5.0])), total
        (tensor([3., 7., 5.]), tensor(15.))
        """
        arrays = [np.asarray(array_of(x), order="C") for x in data]
        counts = {len(array) if array.ndim else -1 for array in arrays}
        if len(counts) != 1 or -1 in counts:
            shapes = ", ".join(str(array.shape) for array in arrays) or "none"
            raise ShapeError(
                f"epoch: the data have shapes {shapes}. Expected arrays of one number of rows: "
                "step.epoch(order, x, y)"
            )
        blocks: list[Any] = []  # the stacked results of some steps
        for rows in _runs(order, min(map(len, arrays))):
            while len(rows):
                batch = tuple(_like(x, a[rows[0]]) for x, a in zip(data, arrays, strict=True))
                # the first step is a call, which may check
                count, results = _many(self._calls, rows, batch, arrays) if blocks else (0, None)
                if not count:
                    result = self._find_or_trace(batch, {})
                    count, results = 1, mapped(partial(_joined, np.stack), result)
                blocks.append(results)
                rows = rows[count:]  # noqa: PLW2901  the others
        leaves, structures = zip(*map(flatten, blocks), strict=True)
        return unflatten(structures[-1], map(partial(_joined, np.concatenate), *leaves))

    def export(self, folder: str | os.PathLike[str]) -> Path:
        """Write the programs, with the present parameters, for machines that have NumPy alone.

        `folder` gets `NAME.py`, whose function NAME takes and returns arrays, and `NAME.npz`. It
        takes those arguments that the latest program reads, in the shapes and dtypes that the
        function has been called with. Returns the path of the Python file. Raises `CompileError`
        without a program, and for one that changes tensors, draws random numbers, calls what NumPy
        lacks (but `erf`, `gelu`, `lgamma`), or returns what it does not compute.

        >>> import runpy, tempfile, tinygrad_fc as tg
        >>> @tg.compile(backend="numpy")
        ... def predict(x):
        ...     return x * 2
        >>> _ = predict(tg.ones(2))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     exported = runpy.run_path(str(predict.export(folder)))["predict"]
        >>> exported([1.0, 3.0])
        array([2., 6.])
        """
        with _one_at_a_time:
            return export(self.__name__, self._calls, folder)

    @property
    def programs(self) -> list[Program]:
        """The programs, one for each combination of shapes, dtypes and guards, the latest first."""
        return [call.program for call in self._calls]

    @property
    def source(self) -> str:
        """The program of the last call as NumPy source."""
        if not self._calls:
            raise CompileError(f"{self.__name__} has no program yet. Call it once")
        return str(self._calls[0].kernel.source)

    @property
    def sources(self) -> list[str]:
        """The source of every program; that of the last call first.

        >>> import tinygrad_fc as tg
        >>> double = tg.compile(lambda x: x * 2, backend="numpy")
        >>> _ = double(tg.ones(3)), double(tg.ones(2, 2)), double(tg.ones(3))
        >>> len(double.sources)
        2
        """
        return [str(call.kernel.source) for call in self._calls]


def _without_graph(x: Any) -> Any:
    """Return a leaf for a result of an op."""
    if not getattr(x, "_op", None):
        return x
    return undifferentiated_leaf(x._array) if x._requires_grad else x.detach()


def _backend(name: str | None) -> Any:
    try:
        return import_module(f"tinygrad_fc.compiler.{_BACKENDS[name]}")
    except ImportError as error:
        raise CompileError(
            f"backend {name!r} needs Numba, which cannot be imported ({error}). Install it: "
            "pip install 'tinygrad-fc[compile]'"
        ) from error


class CompiledModule(Module):
    """What `compile` returns for a module: all of its attributes, and a compiled call.

    A call in evaluation runs a program, if no gradient can be asked for: grad mode is off, or
    neither a parameter nor an argument requires grad. Other calls run the module as it is; the
    first of them logs how a training step is compiled. Both objects share one state: parameters,
    modes and hooks that are set on one are set on the other, the module `_orig_mod`. `compiled` is
    the `Compiled` function, which has the source.

    >>> import tinygrad_fc as tg
    >>> model = tg.compile(tg.nn.Sequential(tg.nn.Linear(2, 1)).eval(), backend="numpy")
    >>> with tg.no_grad():
    ...     y = model(tg.ones(3, 2))
    >>> print(model.compiled.source.splitlines()[-2].strip())
    z1 = x.dot(weight_0.T) + bias_0  # (3)
    """

    __slots__ = ("_has_logged", "_orig_mod", "compiled")
    compiled: Compiled[..., Any]

    def __init_subclass__(cls) -> None:
        """Do nothing: the class of the module has been set up."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Return the result of the program, or of the module, which a gradient or training needs.

        Inside of another compiled function, the module is a part of its program.
        """
        mode = grad_mode.flags.get()
        if mode & grad_mode.UNCOMPILED:
            return super().__call__(*args, **kwargs)
        if not (self.training or (mode & grad_mode.RECORD and self._is_recorded(args, kwargs))):
            return self.compiled(*args, **kwargs)
        if not self._has_logged:
            object.__setattr__(self, "_has_logged", True)
            _log.warning(
                "%s is compiled for calls in evaluation under no_grad(). This call is in training, "
                "or records a graph, and runs the module as it is. To compile training, write the "
                "whole step (zero_grad, loss, backward, optimizer.step) as a function, and compile "
                "that: step = tinygrad_fc.compile(step)",
                type(self._orig_mod).__name__,
            )
        return super().__call__(*args, **kwargs)

    @property
    def _calls(self) -> Any:
        """The calls compiled so far, under the name that they have in a compiled function."""
        return self.compiled._calls

    def _is_recorded(self, args: Any, kwargs: Any) -> bool:
        parameters = (p for _, p in self.named_parameters())  # without the warnings of parameters()
        tensors = (*parameters, *flatten((args, kwargs))[0])
        return any(isinstance(x, Node) and x._requires_grad for x in tensors)

    def __reduce__(self) -> Any:
        """Copy the module and its compiled function."""
        return compiled_module, (self._orig_mod, self.compiled)


def compiled_module(module: Module, compiled: Compiled[..., Any]) -> CompiledModule:
    """Return a module with the state of `module`, whose calls in evaluation are `compiled`."""
    kind = type(module)
    proxy: Any = object.__new__(type(f"Compiled{kind.__name__}", (CompiledModule, kind), {}))
    slots = {"_orig_mod": module, "compiled": compiled, "_has_logged": False}
    for name, value in {"__dict__": vars(module), **slots}.items():
        object.__setattr__(proxy, name, value)
    return proxy  # type: ignore[no-any-return]


class _Options(TypedDict, total=False):
    backend: str | None
    check: bool
    mode: str | None
    fullgraph: bool


@overload
def compile(function: M, **options: Unpack[_Options]) -> M: ...  # type: ignore[overload-overlap]  # noqa: A001  PyTorch's name
@overload
def compile(function: Callable[P, R], **options: Unpack[_Options]) -> Compiled[P, R]: ...  # noqa: A001  as above
@overload
def compile(  # noqa: A001  as above
    function: None = None, **options: Unpack[_Options]
) -> Callable[[Callable[P, R]], Compiled[P, R]]: ...
def compile(  # noqa: A001  as above
    function: Any = None,
    *,
    backend: str | None = None,
    check: bool = True,
    mode: str | None = None,
    fullgraph: bool = True,
) -> Any:
    """Return `function` as a program of array operations, which runs without recording a graph.

    The contract: the first call runs the function once with tracers (where an optimizer creates its
    state then, it runs once as it is, and is traced again). The program checks itself: in its calls
    2, 4, 8, ... the function does the call, the program runs on copies beside it, and results,
    gradients, changed arrays and random states that differ by more than rounding raise. Tensors
    that the function reads outside (parameters, buffers, optimizer state, learning rates) are
    inputs, read in each call; those that it changes are written back, and `.grad` is set as
    `backward()` sets it. Shapes, dtypes, modes and Python values of arguments, and names that its
    code reads (globals, closures, attributes, lists and dicts four levels deep) are guards: where
    one differs, the function is traced again; numbers, strings and small arrays are compared by
    value, everything else by identity. A branch on a value, `item()`, printing, clocks, files,
    iterators, random numbers of other libraries, and a name or container that the function changes
    are refused; a tensor kept elsewhere is unusable. Anything else is as it was at the trace, like
    under `jax.jit`, until a check finds that it has changed. Results are new arrays and require no
    grad, except a tensor that the function returns unchanged; floating-point warnings are not
    given.

    `backend` is "numpy", "numba", or "auto" (the default: NumPy does the first call, then native
    code, unless a rule expects NumPy to be faster for the program). Native code is cached in
    `$TINYGRAD_FC_CACHE` (empty: not at all) or the user's cache folder. `check=False` turns the
    self-check off. PyTorch's `mode`, `fullgraph` and `backend="inductor"` ("auto") are accepted and
    change nothing else: there is one mode, and a function is compiled as a whole.

    Returns a `Compiled`, or for a module a `CompiledModule`, whose calls in evaluation run a
    program. Raises `CompileError`, with the line, for what is refused (no tensor is changed then,
    but where an optimizer has created its state) and where a check fails (the state is that of the
    function then, and the next call traces it again).

    >>> import tinygrad_fc as tg
    >>> @tg.compile(backend="numpy")
    ... def double(x):
    ...     return x * 2
    >>> double(tg.tensor([1.0, 2.0]))
    tensor([2., 4.])
    """
    del fullgraph
    for name, value, known in (("mode", mode, _MODES), ("backend", backend, _BACKENDS)):
        if value not in known:
            raise ValueError(f"{name} is {value!r}. Expected one of {', '.join(map(str, known))}")
    if function is None:
        return partial(compile, backend=backend, check=check)
    if not callable(function):
        raise TypeError(f"compile got {function!r:.80}; expected a function or a module")
    compiled = Compiled(function, backend, check=check)
    return compiled_module(function, compiled) if isinstance(function, Module) else compiled


# Epochs


def _runs(order: Any, count: int) -> list[Any]:
    """Return matrices of row numbers below `count`, one for each run of steps of one size."""
    steps = [np.asarray(array_of(rows)) for rows in array_of(order)]
    runs = [np.stack(list(run)) for _, run in groupby(steps, np.size)]
    if not runs or not all(rows.ndim == 2 and rows.size for rows in runs):
        raise ValueError("epoch: order has no steps or no rows. Write randperm(len(x)).split(32)")
    lowest, highest = min(rows.min() for rows in runs), max(rows.max() for rows in runs)
    if lowest < -count or highest >= count:
        raise IndexError(f"epoch: order has rows from {lowest} to {highest}. The data have {count}")
    return [(rows % count).astype(np.intp, casting="same_kind") for rows in runs]


def _many(calls: list[Executable], rows: Any, batch: Any, arrays: Any) -> tuple[int, Any]:
    """Run steps in one native call; return how many the program fitted, and stacked results."""
    if not (calls and calls[0].is_stackable and getattr(calls[0].kernel, "steps", None)):
        return 0, None
    program, steps, count = calls[0].program, calls[0].kernel.steps, 0
    bytes_of_step = max(1, sum(a[rows[0]].nbytes for a in arrays))
    rows = rows[: max(1, _MOST_BYTES // bytes_of_step)][:_MOST_STEPS]
    stacks = [a[rows] for a in arrays]

    def kernel(*inputs: Any) -> Any:
        nonlocal count
        pairs = zip(program.inputs, inputs, strict=True)
        whole = [stacks[v.source.subject] if v.source.kind == "argument" else x for v, x in pairs]
        count, outputs = steps(len(rows), *whole)
        if not count:
            raise GuardFailed
        return [x[:count] if k in program.returned else x for k, x in enumerate(outputs)]

    results = calls[0].call(batch, {}, kernel, repeat(1))  # which is not checked
    return count, results


def _like(leaf: Any, array: Any) -> Any:
    """Return `array` as a tensor if `leaf` is one."""
    return leaf_of(array) if isinstance(leaf, Node) else array


def _joined(join: Any, *parts: Any) -> Any:
    """Return one result of some steps; of what is no tensor or array, the last one."""
    if not isinstance(parts[-1], Node | np.ndarray):
        return parts[-1]
    try:
        return _like(parts[-1], join(list(map(array_of, parts))))
    except ValueError as error:
        raise ShapeError(
            f"epoch: all steps are done, but what they return is not to be stacked: {error}. "
            "Return what has one shape for all of them, such as a mean"
        ) from error
