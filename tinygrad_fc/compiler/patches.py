"""What is patched in the library while a trace runs, and put back afterwards.

They hold in the tracing thread alone, other threads get the original; but for `float`, which is the
same for other arguments, and the table of fused layers, so that each layer is called. They are: the
slots `_array` and `_grad` of tensors, an op's `forward`, `plain` and `rules`, `Module.__call__`,
`Optimizer.step` and `param_groups`, a generator's `rng`, methods that only the first call would
run, and in the library's modules those names that do not ask NumPy's protocols, np.zeros and the
like and `float`. Learning rates are not checked meanwhile.
"""

from __future__ import annotations

import sys
from contextlib import ExitStack, contextmanager
from functools import partial
from threading import get_ident
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.compiler.guards import ABSENT, refuse_impure_calls
from tinygrad_fc.compiler.tracer import CREATORS, Tracer
from tinygrad_fc.core.graph import Node, array_of
from tinygrad_fc.core.op import Op
from tinygrad_fc.nn import container
from tinygrad_fc.nn.module import Module
from tinygrad_fc.optim.lr_scheduler.base import LRScheduler
from tinygrad_fc.optim.optimizer import Optimizer
from tinygrad_fc.random import Generator

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tinygrad_fc.compiler.trace import Trace

ARRAY: Any = vars(Node)["_array"]
GRAD: Any = vars(Node)["_grad"]
RNG: Any = vars(Generator)["rng"]
FORWARD: Any = vars(Op)["forward"]
RULES: Any = vars(Op)["rules"]
_ONCE: Any = (
    (Generator, "_start", "a random generator gets a seed"),
    (LRScheduler, "step", "a learning rate scheduler takes a step"),
    (LRScheduler, "get_last_lr", "the learning rates of a scheduler are read"),
)
"""Methods that only the first call would run, and what messages say of them."""
_UNTOUCHED = ("tinygrad_fc.compiler", "tinygrad_fc.testing")


@contextmanager
def patched(owner: Any, name: str, value: Any) -> Iterator[None]:
    """Replace an attribute for a while."""
    before = vars(owner).get(name, ABSENT)
    setattr(owner, name, value)
    try:
        yield
    finally:
        if before is ABSENT:
            delattr(owner, name)
        else:
            setattr(owner, name, before)


@contextmanager
def patched_for(trace: Trace) -> Iterator[None]:
    """Patch the library for `trace`."""
    with ExitStack() as undo:
        for patch in list(_patches(trace)):
            undo.enter_context(patched(*patch))
        # under a profiler, impure calls are not seen
        undo.callback(sys.setprofile, sys.getprofile())
        sys.setprofile(sys.getprofile() or refuse_impure_calls)
        yield


def _patches(trace: Trace) -> Iterator[tuple[Any, str, Any]]:
    """Yield owner, name and what takes its place."""

    def here(ours: Any, original: Any) -> Any:
        def in_thread(*args: Any, **kwargs: Any) -> Any:
            return (ours if get_ident() == trace.thread else original)(*args, **kwargs)

        return in_thread

    def getter(member: Any, get: Any, put: Any = None) -> property:
        return property(here(get, member.__get__), here(put or member.__set__, member.__set__))

    yield Node, "_array", getter(ARRAY, trace.get_array, trace.set_array)
    yield Node, "_grad", getter(GRAD, trace.get_grad, trace.set_grad)
    yield Op, "forward", getter(FORWARD, trace.forward)
    yield Op, "plain", getter(vars(Op)["plain"], trace.forward)
    yield Op, "rules", getter(RULES, trace.rules)
    yield Generator, "rng", property(here(trace.generator, RNG.fget))
    yield Module, "__call__", here(partial(trace.call_module, Module.__call__), Module.__call__)
    yield container, "_FUSED", {}  # each layer is called, so that it has its path and its z
    groups = here(trace.param_groups, lambda optimizer: vars(optimizer)["param_groups"])
    yield Optimizer, "param_groups", property(groups, lambda o, x: vars(o).update(param_groups=x))
    optimizers: list[Any] = [Optimizer]
    for kind in optimizers:
        optimizers += kind.__subclasses__()
        if "step" in vars(kind):
            yield kind, "step", here(partial(trace.step, kind.step), kind.step)
    # Programs do not check learning rates.
    yield Optimizer, "_check_rates", here(lambda _: None, Optimizer._check_rates)
    for owner, name, problem in _ONCE:
        yield owner, name, here(partial(_refuse, trace, problem), getattr(owner, name))
    yield from _names_in_modules(trace, here)


def _refuse(trace: Trace, problem: str, *_: Any, **__: Any) -> None:
    raise trace.refusal(problem, "Only the first call would: do it outside of the function")


# Names in the library's modules


def _float(x: Any = 0.0) -> Any:
    """Return a float, or the traced number of a 0-d array."""
    array = array_of(x)
    if type(array) is not Tracer:
        return float(array)
    return array if array.is_number else array.item()


def _names_in_modules(trace: Trace, here: Any) -> Iterator[tuple[Any, str, Any]]:
    creators = {f.__name__: here(partial(trace.created, f), f) for f in CREATORS}
    numpy = SimpleNamespace(**vars(np) | creators)
    for name, module in list(sys.modules.items()):
        if not name.startswith("tinygrad_fc") or name.startswith(_UNTOUCHED):
            continue
        if vars(module).get("np") is np:
            yield module, "np", numpy
        if name.startswith(("tinygrad_fc.optim", "tinygrad_fc.nn")):
            yield module, "float", _float
