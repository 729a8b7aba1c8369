"""The seam between the library and a trace: nothing is patched, and nothing passes it by."""

import linecache
import re
import sys
from collections.abc import Callable
from contextlib import suppress
from threading import Thread
from types import FrameType
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_fc as tg
from tinygrad_fc import nn, optim
from tinygrad_fc.core import grad_mode, seam
from tinygrad_fc.core.node import Node

from .networks import OPTIMIZERS, optimizers
from .twins import same, share

X, Y = tg.randn(4, 3), tg.randn(4, 2)
ARRAY: Any = vars(Node)["_array"]
FILES = re.compile(r"tinygrad_fc/(?!compiler/trace\.py|core/seam\.py)")
WITHOUT_VALUES = re.compile(
    r"_array\.(shape|dtype|ndim|size|itemsize|flags|strides)|old, new = |# until"
)


def network() -> tuple[Any, Any, Callable[[Any, Any], Any]]:
    """Return a network, its optimizer and a step, which creates no state."""
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Tanh(), nn.Linear(4, 2))
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    optimizer.has_stepped = True

    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = ((model(x) - y) ** 2).mean()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return loss

    return model, optimizer, step


def dicts() -> list[dict[str, Any]]:
    """Return copies of the dicts of all modules and classes of the library."""
    modules = [m for name, m in sys.modules.items() if name.startswith("tinygrad_fc")]
    classes = [v for m in modules for v in vars(m).values() if isinstance(v, type)]
    return [dict(vars(x)) for x in (*modules, *dict.fromkeys(classes))]


class Box:
    """A slot, which a trace neither sees nor restores."""

    __slots__ = ("value",)


def test_nothing_is_patched_while_a_trace_runs():
    _, _, step = network()
    tg.compile(step, backend="numpy")(X, Y)  # which imports modules
    before, during = dicts(), list[Any]()

    def look(frame: FrameType, _event: str, _: Any) -> None:
        if frame.f_code is step.__code__ and seam.observer():
            during.append(dicts())

    tracing = sys.gettrace()
    try:
        sys.settrace(look)
        tg.compile(step, backend="numpy")(X, Y)
    finally:
        sys.settrace(tracing)
    assert during
    for old, new in zip(before, during[0], strict=True):
        assert all(
            new.get(key) is value for key, value in old.items() if key != "__warningregistry__"
        )


class Interrupted(BaseException):
    """An interruption."""


@share(20)
@given(count=st.integers(0, 12_000))
def test_an_interruption_leaves_nothing_behind(count: int):
    model, optimizer, step = network()
    before = [p.detach().clone() for p in model.parameters()]
    remaining = count

    def interrupt(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal remaining
        if "tinygrad_fc" not in frame.f_code.co_filename:
            return None
        if frame.f_code.co_name == "_remove_entries":  # Python ignores what a callback raises
            return None
        remaining -= event == "line"
        if remaining < 0:
            sys.settrace(None)
            raise Interrupted
        return interrupt

    tracing = sys.gettrace()
    try:
        sys.settrace(interrupt)
        tg.compile(step, backend="numpy", check=False)(X, Y)
    except Interrupted:
        pass
    finally:
        sys.settrace(tracing)
    assert grad_mode.flags.get() == grad_mode.RECORD
    assert seam.observer() is None
    assert type(optimizer.param_groups[0]["lr"]) is float
    assert all(type(p._array) is np.ndarray for p in model.parameters())
    if all(map(tg.equal, before, model.parameters())):  # else the program has run
        expected = step(X, Y)
        with tg.no_grad():
            for p, value in zip(model.parameters(), before, strict=True):
                p.copy_(value)
        model[1].reset_running_stats()
        same("loss", tg.compile(step, backend="numpy")(X, Y), expected)


def test_other_threads_compute_meanwhile():
    model, _, step = network()
    model.eval()
    expected, result = model(X), Box()

    def meanwhile(x: Any, y: Any) -> Any:
        thread = Thread(target=lambda: setattr(result, "value", model(X)))
        thread.start()
        thread.join()
        return step(x, y)

    with suppress(tg.compiler.CompileError):
        tg.compile(meanwhile, backend="numpy")(X, Y)
    same("eager", result.value, expected)


@pytest.mark.parametrize("name", OPTIMIZERS)
@share(5)
@given(data=st.data())
def test_no_code_reads_a_tensor_past_the_seam(name: str, data: st.DataObject):
    model, _, _ = network()
    optimizer = data.draw(optimizers(name))(model.parameters())
    buffer, reads = tg.zeros(2), set()

    def step(x: Any, y: Any) -> Any:
        model.zero_grad()
        out = model(x)
        loss = nn.functional.mse_loss(out, y) + nn.functional.huber_loss(out, y)
        loss.backward()
        optimizer.step()
        buffer.mul_(0.9).add_(out.detach().mean(0))
        buffer[0] = 1.0
        return loss, buffer.clone(), model[0].bias.data * 2, model[0].weight.detach().sum()

    def array(tensor: Any) -> Any:
        value = ARRAY.__get__(tensor)
        code = sys._getframe(1).f_code
        if seam.observer() and type(value) is np.ndarray and FILES.search(code.co_filename):
            reads.add((code.co_filename, sys._getframe(1).f_lineno))
        return value

    compiled = tg.compile(step, backend="numpy")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Node, "_array", property(array, ARRAY.__set__))
        compiled(X, Y)
    lines = {f"{file}:{number} {linecache.getline(file, number)}" for file, number in reads}
    assert not [line for line in lines if not WITHOUT_VALUES.search(line)]
