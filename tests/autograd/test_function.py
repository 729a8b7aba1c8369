"""Functions with a custom derivative: derivatives, saved tensors, memory."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import numpy as np
import pytest
from drawing import FLOATS, T, arrays, close, cotangent, seeds
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_fc as tg
from tinygrad_fc.autograd import Function, grad


class Exp(Function):
    """Saves its result."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        y = tg.exp(x)
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        (y,) = ctx.saved_tensors
        return g * y


class Scaled(Function):
    """Saves tensors and None; one argument is a number."""

    @staticmethod
    def forward(ctx: Any, x: Any, factor: float, y: Any) -> Any:
        ctx.save_for_backward(x, None, y)
        ctx.factor = factor
        return x * y * factor

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        x, nothing, y = ctx.saved_tensors
        assert nothing is None
        return g * y * ctx.factor, None, g * x * ctx.factor


class Sine(Function):
    """Saves its argument as an attribute, in `setup_context`."""

    @staticmethod
    def forward(x: Any, factor: float = 2.0) -> Any:
        return tg.sin(x * factor)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.x, ctx.factor = inputs
        ctx.y = output

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        return g * ctx.factor * tg.cos(ctx.x * ctx.factor) + 0 * ctx.y, None


class Several(Function):
    """Returns results of several kinds, and saves tensors in a dict."""

    @classmethod
    def results(cls, x: Any, y: Any) -> tuple[Any, Any, Any]:
        return x * y, tg.exp(x), (y**3).sum()

    @classmethod
    def forward(cls, ctx: Any, x: Any, y: Any) -> Any:
        product, power, cubes = cls.results(x, y)
        ctx.saved = {"in": [x, y], "out": (power,)}
        rounded = tg.sin(x)
        ctx.mark_non_differentiable(rounded)
        return product, power, x > y, "a note", rounded, cubes

    @classmethod
    def backward(cls, ctx: Any, *gs: Any) -> Any:
        product, power, above, note, rounded, cubes = gs
        assert note is None
        assert not above.numpy().any()
        assert not rounded.numpy().any()
        x, y = ctx.saved["in"]
        return product * y + power * ctx.saved["out"][0], product * x + cubes * 3 * y**2


def derivatives(function: Any, inputs: Any, order: int, seed: int) -> list[Any]:
    """Return the derivatives up to `order`, with random cotangents."""
    out = function(*inputs)
    result = []
    for k in range(order):
        weights = tg.from_numpy(cotangent(out.shape, seed + k, out.dtype))
        slopes = grad((out * weights).sum(), inputs, create_graph=True, materialize_grads=True)
        for slope, x in zip(slopes, inputs, strict=True):
            assert slope.shape == x.shape
            assert slope.dtype == x.dtype
        result += [s.numpy() for s in slopes]
        if not any(s.requires_grad for s in slopes):
            break
        out = sum((s.sum() for s in slopes[1:]), slopes[0])
    return result


@st.composite
def pairs(draw: st.DrawFn) -> tuple[Any, Any]:
    dtype = draw(st.sampled_from(FLOATS))
    x = draw(arrays(dtype=dtype))
    return x, draw(arrays(x.shape, dtype=dtype))


def assert_close(ours: list[Any], plain: list[Any]) -> None:
    assert len(ours) == len(plain)
    for a, b in zip(ours, plain, strict=True):
        close(a, b, tolerance=1e-4 if a.dtype == np.float32 else 1e-11)


@given(pairs(), seeds)
def test_derivatives_up_to_order_3_equal_those_of_ops(xy: Any, seed: int) -> None:
    def ours(x: Any, y: Any) -> Any:
        return Scaled.apply(Exp.apply(x), 0.5, y) + Sine.apply(x * y) + Sine.apply(y, factor=1.5)

    def plain(x: Any, y: Any) -> Any:
        return tg.exp(x) * y * 0.5 + tg.sin(x * y * 2.0) + tg.sin(y * 1.5)

    inputs = [T(a) for a in xy]
    assert np.array_equal(ours(*inputs).numpy(), plain(*inputs).numpy())
    assert_close(derivatives(ours, inputs, 3, seed), derivatives(plain, inputs, 3, seed))


@given(pairs(), seeds, st.sets(st.sampled_from((0, 1, 2))))
def test_gradients_of_any_subset_of_results(xy: Any, seed: int, used: set[int]) -> None:
    def mixed(results: Any) -> Any:
        return sum((results[k].sin() for k in used), 0 * inputs[0])

    def ours(x: Any, y: Any) -> Any:
        product, power, above, note, rounded, cubes = Several.apply(x, y)
        assert note == "a note"
        assert above.dtype == bool
        assert not above.requires_grad
        assert not rounded.requires_grad
        return mixed((product, power, cubes))

    inputs = [T(a) for a in xy]
    a = derivatives(ours, inputs, 2, seed)
    assert_close(a, derivatives(lambda x, y: mixed(Several.results(x, y)), inputs, 2, seed))


@given(pairs(), seeds)
def test_results_may_be_arguments_or_views_of_them(xy: Any, seed: int) -> None:
    class PassThrough(Function):
        @staticmethod
        def forward(_ctx: Any, x: Any, y: Any) -> Any:
            return x, y.reshape(-1), x

        @staticmethod
        def backward(_ctx: Any, g: Any, h: Any, again: Any) -> Any:
            return g + 2 * again, 3 * h.reshape(shape)

    x, y = inputs = [T(a) for a in xy]
    shape = x.shape
    results = PassThrough.apply(x, y)
    for r, a in zip(results, (x, y, x), strict=True):
        assert r is not a
        assert np.shares_memory(r.numpy(), a.numpy()) or not x.numel()
    results[0].data.add_(0)  # arguments are read-only in forward only
    assert_close(
        derivatives(lambda *xy: sum(r.sum() for r in PassThrough.apply(*xy)), inputs, 1, seed),
        derivatives(lambda x, y: 3 * x.sum() + 3 * y.sum(), inputs, 1, seed),
    )


def test_results_may_have_several_dtypes() -> None:
    class Casts(Function):
        @staticmethod
        def forward(_ctx: Any, x: Any) -> Any:
            return x * 2, x.double() * 3, x.half()

        @staticmethod
        def backward(_ctx: Any, *gs: Any) -> Any:
            assert [g.dtype for g in gs] == [np.float32, np.float64, np.float16]
            return gs[0] * 2 + gs[1] * 3 + gs[2]

    x = T(np.array([1.0, 2.0], np.float32))
    results = Casts.apply(x)
    (results[0].sum() + results[1].sum() * 10 + results[2].sum() * 100).backward()
    assert x.grad.dtype == np.float32
    assert x.grad.tolist() == [132.0, 132.0]


def test_backward_runs_once_per_pass_for_all_arguments() -> None:
    runs = []

    class Sum(Function):
        @staticmethod
        def forward(ctx: Any, *xs: Any) -> Any:
            ctx.count = len(xs)
            return sum(xs)

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            runs.append(g.tolist())
            return (*(g,) * (ctx.count - 1), None)  # None is no gradient

    xs = [T(np.array([1.0])) for _ in range(4)]
    out = Sum.apply(*xs[:3], xs[0], xs[3])
    with pytest.raises(tg.errors.GraphError, match="do not depend on input 0"):
        grad(out, xs[3], retain_graph=True)
    out.backward(tg.tensor([3.0]), retain_graph=True)
    out.backward(tg.tensor([4.0]))
    assert runs[-2:] == [[3.0], [4.0]]
    assert [x.grad and x.grad.item() for x in xs] == [14.0, 7.0, 7.0, None]
    with pytest.raises(
        tg.errors.GraphError, match=r"freed by an earlier backward pass, at the Sum that returned"
    ):
        out.backward(tg.tensor([3.0]))


def test_needs_input_grad_and_requires_grad_of_arguments() -> None:
    seen = []

    class Inspect(Scaled):
        @classmethod
        def forward(cls, ctx: Any, x: Any, factor: Any, y: Any) -> Any:
            seen.append((ctx.needs_input_grad, x.requires_grad, y.requires_grad))
            assert not (x * 2).requires_grad
            return super().forward(ctx, x, factor, y)

        @classmethod
        def backward(cls, ctx: Any, g: Any) -> Any:
            x, _, y = ctx.saved_tensors
            seen.append((ctx.needs_input_grad, x.requires_grad, y.requires_grad))
            return super().backward(ctx, g)

    x, y = T(np.ones(1)), tg.ones(1)
    out = Inspect.apply(x, 3, y)
    assert (out.requires_grad, out.is_leaf, "Inspect" in repr(out)) == (True, False, True)
    out.backward()
    assert seen == [((True, False, False), True, False)] * 2
    with tg.no_grad():
        assert not Inspect.apply(x, 3, y).requires_grad
    assert not Inspect.apply(y, 3, y).requires_grad


def test_keyword_arguments_with_setup_context() -> None:
    x = T(np.array([1.0]))
    close(Sine.apply(x=x, factor=3.0).numpy(), np.sin([3.0]))
    with pytest.raises(TypeError, match="missing a required argument"):
        Sine.apply()


# Memory


@pytest.mark.parametrize("kind", [Exp, Several])
def test_a_call_is_freed_with_its_graph_by_reference_count(kind: Any) -> None:
    x = T(np.ones(4))
    gc.collect()
    gc.disable()
    try:
        out = kind.apply(x) if kind is Exp else kind.apply(x, x)[1]
        alive = weakref.ref(out)
        out.sum().backward(retain_graph=True)
        del out
        assert alive() is None
    finally:
        gc.enable()


def test_saved_tensors_are_freed_by_the_backward_pass() -> None:
    class Intermediate(Exp):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            tripled = x * 3
            watched.append(weakref.ref(tripled))
            ctx.save_for_backward(tripled)
            return tripled * 2

    watched: list[Any] = []
    out = Intermediate.apply(T(np.ones(3)))
    assert watched[0]() is not None
    out.sum().backward()
    assert watched[0]() is None
    with tg.no_grad():
        out = Intermediate.apply(T(np.ones(3)))
    assert watched[1]() is None
    assert out.tolist() == [6.0] * 3


@given(arrays((3,), low=-1, high=1), arrays((3,)))
def test_forward_may_change_an_argument_that_it_marks_dirty(a: Any, weights: Any):
    class ScaledExp(Function):
        @staticmethod
        def forward(ctx: Any, x: Any, k: float) -> Any:
            x.mul_(k).exp_()
            ctx.mark_dirty(x)
            ctx.save_for_backward(x)
            ctx.k = k
            return x

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return g * ctx.saved_tensors[0] * ctx.k, None

    def changed(x: Any, k: float) -> Any:
        h = x * 1
        out = ScaledExp.apply(h, k)
        assert out is h
        return out

    w = tg.tensor(weights)
    grads = []
    for f in (changed, lambda x, k: (x * k).exp()):
        x = tg.tensor(a, requires_grad=True)
        (slope,) = tg.autograd.grad((f(x, 2.0) * w).sum(), x, create_graph=True)
        grads += [slope.detach(), tg.autograd.grad((slope * w).sum(), x)[0]]
    assert all(np.allclose(u.numpy(), v.numpy()) for u, v in zip(grads[:2], grads[2:], strict=True))
    plain = tg.tensor(a)
    assert ScaledExp.apply(plain, 1.0) is plain
    assert np.allclose(plain.numpy(), np.exp(a))
    with pytest.raises(tg.errors.GraphError, match="Two ways work"):
        ScaledExp.apply(tg.tensor(a, requires_grad=True), 1.0)
