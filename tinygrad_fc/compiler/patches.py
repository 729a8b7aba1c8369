"""What is exchanged in the library while a trace runs, and put back afterwards.

Each exchange holds in the tracing thread alone; other threads get the original. They are: the
slots `_array` and `_grad` of tensors, an op's `forward` and `rules`, `Module.__call__`,
`Optimizer.step`, a generator's `rng`, the methods that read a tensor's values, and in the
library's modules those names that do not ask NumPy's protocols: np.zeros and the like, math.sqrt
and the like, and `float` in optimizers.
"""

from __future__ import annotations

import math
import sys
from contextlib import contextmanager
from threading import get_ident
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.compiler.ir import ADVICE, asked_by_library
from tinygrad_fc.compiler.tracer import CREATORS, Tracer
from tinygrad_fc.graph import Node
from tinygrad_fc.nn.module import Module
from tinygrad_fc.op import Op
from tinygrad_fc.optim.lr_scheduler.base import LRScheduler
from tinygrad_fc.optim.optimizer import Optimizer
from tinygrad_fc.random import Generator
from tinygrad_fc.tensor import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tinygrad_fc.compiler.trace import Trace

ARRAY: Any = vars(Node)["_array"]
GRAD: Any = vars(Node)["_grad"]
RNG: Any = vars(Generator)["rng"]
_FORWARD: Any = vars(Op)["forward"]
_RULES: Any = vars(Op)["rules"]
_READERS = {
    "item": "item()",
    "tolist": "tolist()",
    "__bool__": "a branch",
    "__float__": "float()",
    "__int__": "int()",
    "__index__": "an index",
    "__repr__": "printing",
    "__format__": "printing",
    "__array__": "NumPy",
}
"""The methods of a tensor that read its values, and how messages call them."""
_OWNERS = {LRScheduler: "learning rate scheduler", Generator: "random generator (a seed)"}
_MATH = ("sqrt", "isnan", "isfinite", "isinf", "exp", "log", "pow")
_running: list[Trace] = []


def tracing() -> bool:
    """Tell whether this thread runs a trace."""
    return bool(_running) and _running[-1].thread == get_ident()


@contextmanager
def placed(trace: Trace) -> Iterator[None]:
    """Make the exchanges for `trace`."""
    undo: list[tuple[Any, str, Any]] = []
    missing = object()
    _running.append(trace)
    try:
        for owner, name, exchanged in list(_exchanges(trace)):
            undo.append((owner, name, vars(owner).get(name, missing)))
            setattr(owner, name, exchanged)
        yield
    finally:
        for owner, name, original in reversed(undo):
            if original is missing:
                delattr(owner, name)
            else:
                setattr(owner, name, original)
        _running.pop()


def _exchanges(trace: Trace) -> Iterator[tuple[Any, str, Any]]:
    """Yield owner, name and what takes its place."""

    def here(ours: Any, original: Any) -> Any:
        def exchanged(*args: Any, **kwargs: Any) -> Any:
            function = ours if get_ident() == trace.thread else original
            return function(*args, **kwargs)

        return exchanged

    def slot(member: Any, get: Any, put: Any) -> property:
        return property(here(get, member.__get__), here(put, member.__set__))

    yield Node, "_array", slot(ARRAY, trace.get_array, trace.set_array)
    yield Node, "_grad", slot(GRAD, trace.get_grad, trace.set_grad)
    forward = here(lambda op: trace.traced_call(op, -1, _FORWARD.__get__(op)), _FORWARD.__get__)
    yield Op, "forward", property(forward, _FORWARD.__set__)
    yield Op, "rules", property(here(_traced_rules(trace), _RULES.__get__), _RULES.__set__)
    yield Module, "__call__", here(_traced_module(trace), Module.__call__)
    yield Module, "train", here(_traced_train(trace), Module.train)
    for kind in _with_step(Optimizer):
        yield kind, "step", here(_traced_step(trace, kind.step), kind.step)
    yield Generator, "rng", property(here(trace.generator, RNG.fget))
    for name in _READERS:
        original = getattr(Tensor, name)
        yield Tensor, name, here(_refusing_values(trace, original, name), original)
    for owner, name in (
        *((Generator, "manual_seed"), (Generator, "set_state")),
        *((Optimizer, "load_state_dict"), (LRScheduler, "step")),
    ):
        yield owner, name, here(_refusing_once(trace, owner, name), getattr(owner, name))
    yield from _names_in_modules(trace, here)


def _traced_rules(trace: Trace) -> Callable[[Any], Any]:
    def rules(op: Any) -> Any:
        originals = _RULES.__get__(op)
        if not isinstance(originals, tuple):
            return originals
        return [trace.traced_call(op, k, rule) for k, rule in enumerate(originals)]

    return rules


def _traced_module(trace: Trace) -> Callable[..., Any]:
    original = Module.__call__

    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        trace.enter_module(self)
        trace.active.append(self)
        try:
            return original(self, *args, **kwargs)
        finally:
            trace.active.pop()

    return call


def _traced_train(trace: Trace) -> Callable[..., Any]:
    original = Module.train

    def train(self: Any, mode: bool = True) -> Any:
        trace.set_mode(self, mode)
        return original(self, mode)

    return train


def _with_step(kind: type[Any]) -> Iterator[type[Any]]:
    """Yield the optimizers that define `step`."""
    if "step" in vars(kind):
        yield kind
    for each in kind.__subclasses__():
        yield from _with_step(each)


def _traced_step(trace: Trace, original: Any) -> Callable[..., Any]:
    def step(self: Any, closure: Any = None) -> Any:
        options = trace.enter_optimizer(self)
        before = [dict(group) for group in self.param_groups]
        outer, phase = trace.origin, trace.phase
        for group, inputs in zip(self.param_groups, options, strict=True):
            group.update(inputs)
        if closure is None:
            trace.phase = "update"
            trace.origin = trace.update_origin(self)
        try:
            return original(self, closure)
        finally:
            trace.origin, trace.phase = outer, phase
            for group, inputs, known in zip(self.param_groups, options, before, strict=True):
                group.update({key: known[key] for key in inputs})

    return step


def _refusing_values(trace: Trace, original: Any, name: str) -> Callable[..., Any]:
    def refused(*args: Any, **kwargs: Any) -> Any:
        if asked_by_library():
            return original(*args, **kwargs)
        raise trace.refusal(f"{_READERS[name]} reads the value of a tensor", ADVICE)

    return refused


def _refusing_once(trace: Trace, owner: Any, name: str) -> Callable[..., Any]:
    def refused(*_: Any, **__: Any) -> Any:
        raise trace.refusal(
            f"{name}() of a {_OWNERS.get(owner, owner.__name__)} is called, which only the first "
            "call would do",
            "Call it outside of the compiled function",
        )

    return refused


# Names in the library's modules


class _Names:
    """A module in which some names are exchanged."""

    def __init__(self, module: Any, names: dict[str, Any]) -> None:
        self._module = module
        vars(self).update(names)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)


def _number(x: Any) -> Any:
    """Return a float, or the traced number of a 0-d array."""
    array = x._array if isinstance(x, Node) else x
    if type(array) is not Tracer:
        return float(array)
    return array if array.is_number else array.item()


class _FloatType(type):
    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, float)

    def __call__(cls, x: Any = 0.0) -> Any:
        return _number(x)


class _Float(metaclass=_FloatType):
    """`float` that lets numbers of a trace pass."""

    dtype = np.dtype(np.float64)


def _names_in_modules(trace: Trace, here: Any) -> Iterator[tuple[Any, str, Any]]:
    numpy = {f.__name__: _creating(trace, f, here) for f in (*CREATORS, np.ascontiguousarray)}
    maths = {name: _of_numbers(trace, getattr(math, name)) for name in _MATH}
    for name, module in list(sys.modules.items()):
        mine = name.startswith("tinygrad_fc") and "compiler" not in name
        if not mine or name.startswith("tinygrad_fc.testing"):
            continue
        if vars(module).get("np") is np:
            floats = {"float64": _Float} if name == "tinygrad_fc.nn.utils" else {}
            yield module, "np", _Names(np, numpy | floats)
        if vars(module).get("math") is math:
            yield module, "math", _Names(math, maths)
        if name.startswith(("tinygrad_fc.optim", "tinygrad_fc.nn")) and "float" not in vars(module):
            yield module, "float", _Float


def _creating(trace: Trace, function: Any, here: Any) -> Any:
    return here(lambda *args, **kwargs: created(trace, function, *args, **kwargs), function)


def _of_numbers(trace: Trace, function: Any) -> Callable[..., Any]:
    def recorded(*args: Any) -> Any:
        numbers: list[Any] = [_number(a) if type(a) is Tracer else a for a in args]
        if not any(type(a) is Tracer for a in numbers):
            return function(*numbers)
        first = numbers[0].value
        if function is math.isnan and first.is_input:  # each call checks its options itself
            return math.isnan(first.sample)
        return Tracer(trace, trace.emit(function, trace.values(tuple(numbers))))

    return recorded


def created(trace: Trace, function: Any, *args: Any, dtype: Any = None, **kwargs: Any) -> Any:
    """Return the tracer of an array that `function` creates; of a captured one where it copies."""
    kwargs.pop("like", None)
    if function in (np.array, np.asarray, np.ascontiguousarray):
        dtype = args[1] if len(args) > 1 else dtype
        copies = function is np.array and kwargs.get("copy", True)
        return _converted(trace, args[0], dtype, copy=copies)
    if function is np.full and dtype is None and len(args) == 2:
        dtype = args[1].dtype if type(args[1]) is Tracer else np.asarray(args[1]).dtype
    fill = np.zeros if function is np.empty else function
    if dtype is not None:
        kwargs["dtype"] = np.dtype(dtype)
    return Tracer(trace, trace.emit(fill, trace.values(args), trace.values(kwargs)))


def _converted(trace: Trace, data: Any, dtype: Any, *, copy: Any) -> Any:
    if isinstance(data, Node):
        data = data._array
    if type(data) is Tracer:
        if data.is_number:
            full = (np.full, ((), data.value, np.dtype(dtype or data.dtype)))
            return Tracer(trace, trace.emit(*full))
        return data.astype(dtype or data.dtype, copy=bool(copy))
    if isinstance(data, list | tuple) and any(type(d) is Tracer for d in data):
        return np.stack([_converted(trace, d, dtype, copy=False) for d in data])
    array = np.asarray(data)
    if isinstance(data, np.ndarray) and data.ndim:  # from outside: read in each call
        return trace.array(data).astype(dtype or data.dtype, copy=bool(copy))
    return Tracer(trace, trace.constant(np.asarray(array, dtype)))


# State of modules and tensors that guards look at


def hooks_of(tensor: Any) -> tuple[Any, ...]:
    """Return the hooks of a tensor."""
    return tuple(tensor._watch.hooks) if tensor._watch else ()


def attributes(module: Any) -> dict[str, Any]:
    """Return the attributes of a module."""
    return dict(vars(module))


def restore_attributes(module: Any, before: dict[str, Any]) -> None:
    """Set the attributes of a module back."""
    vars(module).clear()
    vars(module).update(before)
