"""`compile`, and what it returns."""

from __future__ import annotations

import functools
import inspect
import warnings
from importlib import import_module
from types import MethodType
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, overload

import numpy as np

from tinygrad_fc import grad_mode
from tinygrad_fc.compiler.epoch import Part, checked, joined, steps
from tinygrad_fc.compiler.program import CompileError, run
from tinygrad_fc.compiler.session import running, tracing
from tinygrad_fc.compiler.shell import MISS, UNFIT, Miss, Shell
from tinygrad_fc.compiler.trace import one_at_a_time, trace

if TYPE_CHECKING:
    from collections.abc import Callable

    from tinygrad_fc.compiler.program import Program

_MANY, _MOST = 32, 63
"""How many traces are worth a warning, and how many older programs are kept beside the last."""
_BACKENDS = {"numpy": "numpy_backend", "numba": "native", "auto": "auto"}


P = ParamSpec("P")
R = TypeVar("R")


class Compiled(Generic[P, R]):
    """A function that is traced at its first call and replayed in later ones; see `compile`.

    It is called as the function is, and has its attributes. `source` is the program of the last
    trace, `sources` and `programs` are all of them, `epoch` runs many steps in one call.

    >>> import tinygrad_fc as tg
    >>> square = tg.compile(lambda x: x * x, backend="numpy")
    >>> square(tg.tensor([3.0]))
    tensor([9.])
    >>> print(square.source.splitlines()[-2].strip())
    result = x * x
    """

    def __init__(self, function: Callable[P, R], backend: str | None) -> None:
        functools.update_wrapper(self, function, updated=())
        self.__name__ = getattr(function, "__name__", type(function).__name__)
        self._function = function
        self.backend = backend
        self._shells: list[Shell] = []
        self._traces = 0
        self._changing = ""  # what the function changed in its last trace, and goes by
        self._call: Any = _nothing

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Do what the function does, in the way of its program."""
        if running.watch is not None and tracing() is not None:
            return self._function(*args, **kwargs)
        result = self._call(args, kwargs)
        return self._other(args, kwargs, result) if result.__class__ is Miss else result  # type: ignore[no-any-return]

    def __get__(self, instance: object, owner: type[Any] | None = None) -> Any:
        """As a function does: a compiled method belongs to its instance."""
        return self if instance is None else MethodType(self, instance)

    def __getattr__(self, name: str) -> Any:
        """Find what else is asked for in what was compiled, such as a model's `parameters`."""
        if name.startswith("_"):
            raise AttributeError(f"a compiled function has no attribute {name!r}")
        return getattr(self._function, name)

    def __reduce__(self) -> Any:
        """As a copy, it is traced anew."""
        return Compiled, (self._function, self.backend)

    def __repr__(self) -> str:
        """Tell which backend runs it: of "auto", that which it has chosen."""
        kernel: Any = self._shells[0].kernel if self._shells else None
        backend = getattr(kernel, "backend", self.backend) or "auto"
        return f"<compiled {self.__name__}, {backend}>"

    def _other(self, args: Any, kwargs: Any, missed: Any) -> Any:
        """Call with another program than that of the last call: an older one, or a new one."""
        if grad_mode.flags.get() & grad_mode.WATCH:  # every operation is to be watched
            return self._function(*args, **kwargs)
        last, known = self._call, list(self._shells)
        result, missed = self._one_of(
            [s for s in known if s.call is not last], args, kwargs, missed
        )
        if result.__class__ is not Miss:
            return result
        try:
            with one_at_a_time:
                # Another thread may have traced it in the meantime.
                new = [shell for shell in self._shells if shell not in known]
                result, missed = self._one_of(new, args, kwargs, missed)
                return self._traced(args, kwargs) if result.__class__ is Miss else result
        except CompileError:
            if missed is not UNFIT:
                raise
            # It has been compiled, but for other values, of which the library goes another way.
            return self._function(*args, **kwargs)

    def _one_of(self, shells: list[Shell], args: Any, kwargs: Any, missed: Any) -> Any:
        """Return the result of the first that fits, or why none does."""
        for shell in shells:
            result = shell.call(args, kwargs)
            if result.__class__ is not Miss:
                self._call = shell.call
                return result, missed
            missed = UNFIT if result is UNFIT else missed
        return missed, missed

    def _traced(self, args: Any, kwargs: Any) -> Any:
        name = self.__name__
        flags = grad_mode.flags.get()
        program = trace(self._function, args, kwargs, name)
        self._changing = program.changing
        if program.once:
            kernel: Any = functools.partial(_interpreted, program)
        else:
            kernel = _backend(self.backend).build(program)
        shell = Shell(program, kernel, args, kwargs, flags)
        result = shell.first(args, kwargs)
        if not program.once:
            self._shells[_MOST:] = []
            self._shells.insert(0, shell)
            self._call = shell.call
        self._traces += 1
        if self._traces == _MANY:
            signatures = [s.signature for s in self._shells]
            warnings.warn(_many(name, signatures, program.changing), stacklevel=4)
        return self._function(*args, **kwargs) if result.__class__ is Miss else result

    def epoch(self, order: Any, *data: Any) -> Any:
        """Return what `self(*(x[rows] for x in data))` returns for each step of `order`, stacked.

        `order` (steps, batch) holds row numbers, or is a list of them for each step, such as
        `randperm(N).split(batch)`, whose last one may be smaller; `data` are tensors and arrays
        (N, ...). Steps of one size are one call of a program, so that the interpreter is left once:
        training goes as it does step by step, but for options of optimizers that would be changed
        in between. Raises `ValueError` where `order` has no step, `IndexError` for a row that is
        not there, `ShapeError` where steps return what cannot be stacked.

        >>> import tinygrad_fc as tg
        >>> total = tg.zeros(())
        >>> @tg.compile(backend="numpy")
        ... def add(x):
        ...     total.add_(x.sum())
        ...     return x.sum()
        >>> add.epoch([[0, 1], [2, 3], [4]], tg.tensor([1.0, 2.0, 3.0, 4.0, 5.0])), total
        (tensor([3., 7., 5.]), tensor(15.))
        """
        runs, whole = checked(order, data)
        build = _backend(self.backend).build_loop
        parts: list[Part] = []
        for rows in runs:
            parts += steps(self, self._shells, build, rows, data, whole)
        return joined(parts)

    @property
    def programs(self) -> list[Program]:
        """The programs so far, one for each signature, the last one first."""
        return [shell.program for shell in self._shells]

    @property
    def program(self) -> Program:
        """The program of the last trace that serves many calls."""
        return self._last().program

    def _last(self) -> Shell:
        if not self._shells:
            why = "yet: call it first"
            if self._traces > 1 and self._changing:
                why = f"that fits a second call: {_changed(self._changing)}"
            elif self._traces:
                made = "made what an optimizer keeps"
                made = f"changed {self._changing}, which it goes by" if self._changing else made
                why = f"yet: call it once more, as that call {made}"
            raise CompileError(f"{self.__name__} has no program {why}")
        return self._shells[0]

    @property
    def source(self) -> str:
        """The program of the last trace, as the NumPy that one would have written.

        After a batch of another size that is the program for it: `sources` has all of them.
        """
        return self._last().source

    @property
    def sources(self) -> dict[str, str]:
        """The source of every program, by what it was traced for; the last one first.

        Programs for arguments alike are numbered in the order of their traces: the second, for
        another mode, say, or once an optimizer has its state, is `#2`.

        >>> import tinygrad_fc as tg
        >>> double = tg.compile(lambda x: x * 2, backend="numpy")
        >>> _ = double(tg.ones(3)), double(tg.ones(2, 2)), double(tg.ones(3, requires_grad=True))
        >>> list(double.sources)
        ['float64[3] #2', 'float64[2, 2]', 'float64[3]']
        """
        found: dict[str, str] = {}
        for shell in reversed(self._shells):
            count = 1 + sum(key.split(" #")[0] == shell.signature for key in found)
            found[shell.signature + (f" #{count}" if count > 1 else "")] = shell.source
        return dict(reversed(found.items()))


def _many(name: str, signatures: list[str], changing: str) -> str:
    several = list(dict.fromkeys(signatures))
    told = f"{name} has been traced {_MANY} times, which takes longer than it saves: "
    if len(several) > _MANY // 2:
        return (
            f"{told}nearly every call has other arguments ({'; '.join(several[2::-1])}; ...), and "
            "each shape, and each number of Python's, has a program of its own. Make batches of "
            "one size (drop_last=True, or pad them), and numbers tensors"
        )
    if changing:
        return f"{told}{_changed(changing)}"
    return (
        f"{told}something outside that it goes by is another in nearly every call, whoever changes "
        "it. Hand it over as an argument, a number that is counted up as a tensor; or leave it "
        "outside"
    )


def _changed(name: str) -> str:
    return (
        f"{name} outside that it goes by is another in nearly every call, as the function changes "
        "it. Change it outside of the compiled function, by what that returns; a number that is "
        "counted up can be a tensor, such as count = tensor(0), which one program serves"
    )


def _nothing(args: Any, kwargs: Any) -> Any:
    del args, kwargs
    return MISS


def _interpreted(program: Program, *inputs: Any) -> Any:
    quiet: Any = dict.fromkeys(program.quiet, "ignore")
    with np.errstate(**quiet):
        return run(program, inputs)


def _backend(name: str | None) -> Any:
    # Where Numba is missing, "auto" is NumPy.
    return import_module(f"tinygrad_fc.compiler.{_BACKENDS[name or 'auto']}")


def _is_paused(function: Any) -> bool:
    return (
        inspect.isgeneratorfunction(function)
        or inspect.iscoroutinefunction(function)
        or inspect.isasyncgenfunction(function)
    )


@overload
def compile(  # noqa: A001  PyTorch's name
    function: Callable[P, R], *, backend: str | None = None
) -> Compiled[P, R]: ...
@overload
def compile(  # noqa: A001  PyTorch's name
    function: None = None, *, backend: str | None = None
) -> Callable[[Callable[P, R]], Compiled[P, R]]: ...
def compile(function: Any = None, *, backend: str | None = None) -> Any:  # noqa: A001  as above
    """Return `function` as a program that does the same, without the cost of a graph.

    For any function of tensors and arrays: a whole training step, a forward pass, a gradient. Its
    first call runs it once with stand-ins for arrays, and notes down what is done; later ones
    replay that. Parameters, buffers, options and state that it reads outside are read anew at
    every call, and what it changes there is changed. Each signature has a program of its own:
    shapes, dtypes, Python values, modes; so a smaller last batch is traced, and made native code,
    once more. `backend` is "numpy", "numba" or "auto", which measures both, and is the default
    where Numba is installed. Native code is kept in a folder: `$TINYGRAD_FC_CACHE` if that is set
    (empty: none), else `tinygrad_fc` in the user's folder for caches (`~/.cache` on Linux). To
    clear it, delete the folder.

    What comes back is a `Compiled`: `source` shows its program, `epoch` runs many steps in one
    call. Results are arrays of their own: what is a view in `function` (`x[0]`, `x.T`) is a copy.
    Their graph stays inside, where `backward()` belongs; `__wrapped__` is `function` itself.

    Raises `CompileError`, with the line, where the function asks for values (a branch, `item()`,
    printing), reads files, clocks or random numbers that are not the library's, or keeps tensors
    outside; then nothing is changed. Whatever else it goes by (global names, attributes, closures,
    containers, arrays) is looked at in every call, and traced anew when it changes. Not seen, and
    kept as they were in the first call, are: what another installed package holds but for models,
    and numbers and words in its modules; what objects of Python's own modules hold (a thread's
    name); `id()`; names set in modules of Python's or NumPy's (`math.pi = 3`); what a module has by
    a name that is not in the code (`getattr(config, name)`); and code and classes that are put in
    place of others (autoreload in a notebook). Hand over what changes, or compile anew.

    >>> import tinygrad_fc as tg
    >>> @tg.compile(backend="numpy")
    ... def double(x):
    ...     return x * 2
    >>> double(tg.tensor([1.0, 2.0]))
    tensor([2., 4.])
    """
    if backend is not None and backend not in _BACKENDS:
        raise ValueError(f"backend is one of {', '.join(_BACKENDS)}, got {backend!r}")
    if function is None:
        return functools.partial(compile, backend=backend)
    if not callable(function):
        raise TypeError(f"compile takes a function, got {function!r:.80}")
    if _is_paused(function) or _is_paused(getattr(function, "__call__", None)):  # noqa: B004
        raise TypeError(
            f"compile takes a function that runs from its first line to its last, and "
            f"{getattr(function, '__name__', type(function).__name__)} is a generator or a "
            "coroutine: compile the step that it repeats"
        )
    return Compiled(function, backend)
