"""Errors of functions with a custom derivative."""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar

import numpy as np
import pytest
from drawing import T, seeds
from hypothesis import given

import tinygrad_fc as tg
from tinygrad_fc.autograd import Function, grad
from tinygrad_fc.autograd.function import once_differentiable
from tinygrad_fc.errors import GraphError, ShapeError


class Broken(Function):
    """A function whose `forward` and `backward` a test sets."""

    forwards: ClassVar[Any]
    backwards: ClassVar[Any]

    @classmethod
    def forward(cls, ctx: Any, x: Any, _k: Any = None) -> Any:
        return cls.forwards(ctx, x)

    @classmethod
    def backward(cls, ctx: Any, g: Any) -> Any:
        return cls.backwards(ctx, g)


def broken(forwards: Any = None, backwards: Any = None) -> type[Broken]:
    forwards, backwards = forwards or (lambda ctx, x: x * 2), backwards or (lambda ctx, g: g * 2)
    return type(
        "Broken",
        (Broken,),
        {"forwards": staticmethod(forwards), "backwards": staticmethod(backwards)},
    )


IN_PLACE = r"backward of Broken changes an argument in place.*Write `g = g \* 2` for"


@pytest.mark.parametrize(("backwards", "kind", "text"), [
    (lambda ctx, g: (), GraphError, r"returned 0 gradients; expected 1, one per argument of"),
    (lambda ctx, g: (g, g), GraphError, r"returned 2 gradients; expected 1"),
    (lambda ctx, g: g[:2], ShapeError, r"\(x\) returned a gradient of shape \(2,\); expected \(3,"),
    (lambda ctx, g: g[None] * tg.ones(2, 1), ShapeError, r"of shape \(2, 3\); expected"),
    (lambda ctx, g: g.numpy() * 2, TypeError, r"returned ndarray for argument 0 \(x\); .*\. Wrap"),
    (lambda ctx, g: 2.0, TypeError, r"returned float for argument 0 \(x\); expected a tensor"),
    (lambda ctx, g: g.detach().mul_(2), GraphError, IN_PLACE),
    (lambda ctx, g: ctx.saved_tensors[0].add_(1), GraphError, IN_PLACE),
    (lambda ctx, g: g.numpy().sort(), GraphError, IN_PLACE),
])  # fmt: skip
@pytest.mark.parametrize("create", [False, True])
def test_errors_in_backward(backwards: Any, kind: Any, text: str, create: bool) -> None:
    def forwards(ctx: Any, x: Any) -> Any:
        ctx.save_for_backward(x)
        return x * 2

    x, z = T(np.array([3.0, 1.0, 2.0])), T(np.ones(3))
    weights = np.array([2.0, 3.0, 4.0])
    out = (broken(forwards, backwards).apply(x) * z) * 1
    with pytest.raises(kind, match=text):
        out.backward(tg.from_numpy(weights), create_graph=create)
    # Nothing has changed.
    assert x.grad is z.grad is None
    assert x.tolist() == [3.0, 1.0, 2.0]
    assert weights.tolist() == [2.0, 3.0, 4.0]


@pytest.mark.parametrize(("forwards", "kind", "text"), [
    (lambda ctx, x: x.numpy() * 2, TypeError, r"forward of Broken returned ndarray, expected a"),
    (lambda ctx, x: [x * 2, x], TypeError, r"returned list, .* return \(x, y\) for \[x, y\]"),
    (lambda ctx, x: (x * 2, np.ones(2)), TypeError, r"returned ndarray"),
    (lambda ctx, x: None, TypeError, r"returned NoneType"),
    (lambda ctx, x: x.mul_(2), GraphError, r"forward of Broken changes an argument in place"),
    (lambda ctx, x: ctx.save_for_backward(x, 3), TypeError, r"argument 1 is int, .* Set other"),
])  # fmt: skip
def test_errors_in_forward(forwards: Any, kind: Any, text: str) -> None:
    x = T(np.array([3.0, 1.0]))
    with pytest.raises(kind, match=text):
        broken(forwards).apply(x)
    assert x.tolist() == [3.0, 1.0]
    (x * x).sum().backward()
    assert x.grad.tolist() == [6.0, 2.0]


def test_missing_methods_raise() -> None:
    x, forward = T(np.ones(1)), {"forward": staticmethod(lambda ctx, x: x * 2)}
    with pytest.raises(NotImplementedError, match=r"define forward\(ctx, \*args\)"):
        type("Neither", (Function,), {}).apply(x)
    with pytest.raises(NotImplementedError, match=r"define backward\(ctx, \*grads\)"):
        type("Forward", (Function,), forward).apply(x).backward()


SAVED = {
    "saved tensor 0": lambda ctx, x, y: ctx.save_for_backward(x),
    "saved tensor 1": lambda ctx, x, y: ctx.save_for_backward(None, y),
    "ctx.x": lambda ctx, x, y: setattr(ctx, "x", x),
    "ctx.nest": lambda ctx, x, y: setattr(ctx, "nest", [1, {"x": x}]),
    "ctx.y": lambda ctx, x, y: setattr(ctx, "y", (y,)),
}


@pytest.mark.parametrize("what", SAVED)
@pytest.mark.parametrize("several", [False, True])
@given(seed=seeds)
def test_changing_a_saved_tensor_raises(what: str, several: bool, seed: int) -> None:
    def forwards(ctx: Any, x: Any) -> Any:
        y = x * 2
        SAVED[what](ctx, x, y)
        return (y, x * 3) if several else y

    kind = broken(forwards)
    kind.backward = staticmethod(lambda ctx, *gs: gs[0] * 2)  # type: ignore[method-assign]
    x = T(np.random.default_rng(seed).normal(size=3))
    y = kind.apply(x)
    y = y[0] if several else y
    changed = y if "y" in what or "1" in what else x
    out = y.sum()
    with tg.no_grad():
        changed.add_(1)
    with pytest.raises(
        GraphError, match=rf"Broken needs its {what} of shape \(3,\) .* changed in place"
    ):
        out.backward()
    assert x.grad is None


def test_changing_a_saved_intermediate_raises() -> None:
    intermediate = []

    def forwards(ctx: Any, x: Any) -> Any:
        intermediate.append(x * 3)
        intermediate[0].add_(1)  # allowed before it is saved
        ctx.save_for_backward(intermediate[0])
        return x * 2

    x = T(np.ones(3))
    out = broken(forwards).apply(x).sum()
    out.backward(retain_graph=True)
    intermediate[0].add_(1)
    with pytest.raises(GraphError, match="Broken needs its saved tensor 0"):
        out.backward()
    assert x.grad.tolist() == [2.0] * 3


@pytest.mark.parametrize("cut", ["numpy", "detach", "once"])
def test_differentiating_a_gradient_computed_outside_the_graph_raises(cut: str) -> None:
    def backwards(ctx: Any, g: Any) -> Any:
        (x,) = ctx.saved_tensors
        if cut == "numpy":
            return tg.from_numpy(g.numpy() * 2 * x.numpy())
        return (g * 2 * x).detach() if cut == "detach" else g * 2 * x

    def forwards(ctx: Any, x: Any) -> Any:
        ctx.save_for_backward(x)
        return x * x

    kind = broken(forwards, once_differentiable(backwards) if cut == "once" else backwards)
    kind.backward = kind.backwards  # type: ignore[method-assign]
    x, w = T(np.array([1.0, 2.0])), T(np.array([3.0, 4.0]))
    (slope,) = grad((kind.apply(x) * w).sum(), x, create_graph=True)
    assert slope.tolist() == [6.0, 16.0]
    with pytest.raises(
        GraphError,
        match=r"the gradient of Broken was computed outside the graph .*numpy\(\)",
    ):
        grad(slope.sum(), w)
    if cut == "once":
        (slope,) = grad(kind.apply(x).sum(), x, create_graph=True)
        with pytest.raises(GraphError, match="the gradient of Broken was computed outside"):
            grad(slope.sum(), x)


@pytest.mark.parametrize("several", [False, True])
def test_anomalies_name_the_function(several: bool) -> None:
    def forwards(_ctx: Any, x: Any) -> Any:
        y = tg.from_numpy(x.numpy() / np.array([1.0, np.nan]))
        return (x * 2, y) if several else y

    raises = partial(pytest.raises, tg.errors.AnomalyError)
    out = broken(None, lambda _, g: g * tg.tensor([1.0, np.inf])).apply(T(np.ones(2))).sum()
    with tg.autograd.detect_anomaly():
        for x in (T(np.ones(2)), tg.ones(2)):
            with raises(match="Broken returned nan at"):
                broken(forwards).apply(x)
        with raises(match=r"^Broken for argument 0 \(x\): the gradient is inf"):
            out.backward()
