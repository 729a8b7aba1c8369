"""Functions with a custom derivative: derivatives, saved tensors, memory, errors."""

import weakref
from functools import partial
from typing import Any

import numpy as np
import pytest
from drawing import T, arrays, assert_equal_derivatives, close, function, seeds, shapes
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_fc as tg
from tinygrad_fc.autograd import Function, grad
from tinygrad_fc.autograd.function import once_differentiable
from tinygrad_fc.core.errors import GraphError, ShapeError


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


pairs = shapes.flatmap(lambda shape: arrays((2, *shape)))  # of arguments of one shape


@given(pairs, seeds)
def test_derivatives_up_to_order_3_equal_those_of_ops(xy: Any, seed: int) -> None:
    def ours(xy: Any) -> Any:
        x, y = xy.unbind()
        return Exp.apply(x) * y + Sine.apply(x * y) + Sine.apply(y, factor=1.5)

    def plain(xy: Any) -> Any:
        x, y = xy.unbind()
        return tg.exp(x) * y + tg.sin(x * y * 2.0) + tg.sin(y * 1.5)

    assert_equal_derivatives(ours, plain, xy, seed)
    x = T(xy.astype(np.float32))
    (slope,) = grad(ours(x).sum(), x)
    assert slope.dtype == np.float32


@given(pairs, seeds)
def test_results_may_be_arguments_or_views_of_them(xy: Any, seed: int) -> None:
    def forward(_ctx: Any, x: Any, y: Any) -> Any:
        return x, y.reshape(-1), x

    def backward(_ctx: Any, g: Any, h: Any, again: Any) -> Any:
        return g + again, h.reshape(g.shape)

    pass_through = function(forward, backward)
    x, y = T(xy[0]), T(xy[1])
    results = pass_through.apply(x, y)
    for r, a in zip(results, (x, y, x), strict=True):
        assert r is not a
        assert np.shares_memory(r.numpy(), a.numpy()) or not x.numel()
    results[0].data.add_(0)  # arguments are read-only in forward only

    def weighted(xy: Any) -> Any:
        first, flat, again = pass_through.apply(*xy.unbind())
        return first.sum() + 3 * flat.sum() + 2 * again.sum()

    assert_equal_derivatives(weighted, lambda xy: 3 * xy.sum(), xy, seed)


def test_results_may_be_of_several_dtypes_and_other_values() -> None:
    def forward(ctx: Any, x: Any, _: Any) -> Any:
        ctx.mark_non_differentiable(above := x > 1)
        return x * 2, x.double() * 3, x.half(), above, "a note"

    def backward(ctx: Any, *gs: Any) -> Any:
        assert ctx.needs_input_grad == (True, False)
        assert [g.dtype for g in gs[:4]] == [np.float32, np.float64, np.float16, bool]
        assert gs[4] is None
        assert not gs[3].numpy().any()
        return gs[0] * 2 + gs[1] * 3 + gs[2], None

    casts = function(forward, backward)
    x = T(np.array([1.0, 2.0], np.float32))
    results = casts.apply(x, tg.ones(1))
    assert results[4] == "a note"
    assert (results[3].tolist(), results[3].requires_grad) == ([False, True], False)
    (unused,) = grad(results[1].sum(), x, retain_graph=True)  # the others get zeros
    assert unused.tolist() == [3.0, 3.0]
    (results[0].sum() + results[1].sum() * 10 + results[2].sum() * 100).backward()
    assert x.grad.dtype == np.float32
    assert x.grad.tolist() == [132.0, 132.0]


def test_backward_runs_once_per_pass_for_all_arguments() -> None:
    runs = []

    def forward(ctx: Any, *xs: Any) -> Any:
        ctx.count = len(xs)
        return sum(xs)

    def backward(ctx: Any, g: Any) -> Any:
        runs.append(g.tolist())
        return (*(g,) * (ctx.count - 1), None)  # None is no gradient

    total = function(forward, backward, "Sum")
    xs = [T(np.array([1.0])) for _ in range(4)]
    out = total.apply(*xs[:3], xs[0], xs[3])
    with pytest.raises(GraphError, match="do not depend on input 0"):
        grad(out, xs[3], retain_graph=True)
    out.backward(tg.tensor([3.0]), retain_graph=True)
    out.backward(tg.tensor([4.0]))
    assert runs[-2:] == [[3.0], [4.0]]
    assert [x.grad and x.grad.item() for x in xs] == [14.0, 7.0, 7.0, None]
    message = r"freed by an earlier backward pass, at the Sum that returned"
    with pytest.raises(GraphError, match=message):
        out.backward(tg.tensor([3.0]))


def test_keyword_arguments_with_setup_context() -> None:
    x = T(np.array([1.0]))
    out = Sine.apply(x=x, factor=3.0)
    close(out.numpy(), np.sin([3.0]))
    assert (out.is_leaf, "Sine" in repr(out)) == (False, True)
    with tg.no_grad():
        assert not Sine.apply(x).requires_grad
    with pytest.raises(TypeError, match="missing a required argument"):
        Sine.apply()


# Memory


@pytest.mark.usefixtures("_by_reference_count")
@pytest.mark.parametrize("several", [False, True])
def test_a_call_is_freed_with_its_graph_by_reference_count(several: bool) -> None:
    def forward(ctx: Any, x: Any) -> Any:
        y = tg.exp(x)
        ctx.save_for_backward(y)
        ctx.saved = {"in": [x], "out": (y,)}
        return (x * 2, y) if several else y

    out = function(forward, lambda ctx, *gs: gs[-1] * ctx.saved_tensors[0]).apply(T(np.ones(4)))
    out = out[1] if several else out
    alive = weakref.ref(out)
    out.sum().backward(retain_graph=True)
    del out
    assert alive() is None


@pytest.mark.usefixtures("_by_reference_count")
def test_what_backward_returns_is_freed_with_the_pass() -> None:
    def backward(ctx: Any, g: Any) -> Any:
        gradient = Exp.backward(ctx, g)
        watched.append(weakref.ref(gradient))
        return gradient

    watched: list[Any] = []
    function(Exp.forward, backward).apply(T(np.ones(3)) * 2).sum().backward()
    assert watched[0]() is None


def test_saved_tensors_are_freed_by_the_backward_pass() -> None:
    def forward(ctx: Any, x: Any) -> Any:
        tripled = x * 3
        watched.append(weakref.ref(tripled))
        ctx.save_for_backward(tripled)
        return tripled * 2

    watched: list[Any] = []
    intermediate = function(forward, Exp.backward)
    out = intermediate.apply(T(np.ones(3)))
    assert watched[0]() is not None
    out.sum().backward()
    assert watched[0]() is None
    with tg.no_grad():
        out = intermediate.apply(T(np.ones(3)))
    assert watched[1]() is None
    assert out.tolist() == [6.0] * 3


@given(arrays((3,), low=-1, high=1), seeds, st.booleans())
def test_forward_may_change_an_argument_that_it_marks_dirty(a: Any, seed: int, marked_first: bool):
    def forward(ctx: Any, x: Any, k: float) -> Any:
        if marked_first:
            ctx.mark_dirty(x)
        x.mul_(k).exp_()
        ctx.mark_dirty(x)
        ctx.save_for_backward(x)
        ctx.k = k
        return x

    def backward(ctx: Any, g: Any) -> Any:
        return g * ctx.saved_tensors[0] * ctx.k, None

    scaled_exp = function(forward, backward)

    def changed(x: Any) -> Any:
        h = x * 1
        out = scaled_exp.apply(h, 2.0)
        assert out is h
        return out

    assert_equal_derivatives(changed, lambda x: (x * 2.0).exp(), a, seed)
    plain = tg.tensor(a)
    assert scaled_exp.apply(plain, 1.0) is plain
    assert np.allclose(plain.numpy(), np.exp(a))
    with pytest.raises(GraphError, match="Two ways work"):
        scaled_exp.apply(tg.tensor(a, requires_grad=True), 1.0)


@given(arrays((3,), low=-1, high=1), seeds, st.booleans())
def test_forward_may_change_the_data_of_an_argument_that_it_returns(
    a: Any, seed: int, recorded: bool
):
    def forward(ctx: Any, x: Any, value: Any, index: int) -> Any:
        ctx.index = index
        x.data[index] = value
        return x

    def backward(ctx: Any, g: Any) -> Any:
        rest = g.clone()
        rest[ctx.index] = 0.0
        return rest, g[ctx.index], None

    assign = function(forward, backward)  # as torchdiffeq's solvers do

    def assigned(x: Any) -> Any:
        y = x * 1.0 if recorded else tg.zeros(3)
        before = (y * y).sum()  # needs the values before
        for k in (0, 2):
            out = assign.apply(y, x[1] * (k + 1.0), k)
            assert out is y
        return y * y + before

    def plain(x: Any) -> Any:
        y = x * 1.0 if recorded else tg.zeros(3)
        return tg.stack([x[1], y[1], 3 * x[1]]) ** 2 + (y * y).sum()

    assert_equal_derivatives(assigned, plain, a, seed)
    x = tg.tensor(a)
    assert assign.apply(x, 5.0, 1) is x
    assert x[1].item() == 5
    base = tg.tensor(a) * T(np.ones(3))
    for wrong in (T(a), base[:2]):
        with pytest.raises(GraphError, match="mark_dirty"):
            assign.apply(wrong, 5.0, 1)


def test_backward_may_differentiate_by_a_leaf_that_it_saved():
    w = T(np.array([2.0, 3.0]))

    def forward(ctx: Any, x: Any, w: Any) -> Any:
        ctx.save_for_backward(x, w)
        return x * w

    def backward(ctx: Any, g: Any) -> Any:
        x, saved = ctx.saved_tensors
        with tg.enable_grad():  # code that reads `w` itself
            return tg.autograd.grad(x * w, (x, saved), g, allow_unused=True)

    adjoint = function(forward, backward)
    x = T(np.array([5.0, 7.0]))
    adjoint.apply(x, w).sum().backward()
    assert (x.grad.tolist(), w.grad.tolist()) == ([2.0, 3.0], [5.0, 7.0])


def test_forward_may_change_a_tensor_that_it_does_not_return():
    add = function(lambda _, x, y: x.add_(y).clone(), lambda _, g: (g, g))
    plain, w = tg.ones(3), T(np.ones(3))
    add.apply(plain, w).sum().backward()
    assert (plain.tolist(), w.grad.tolist()) == ([2, 2, 2], [1, 1, 1])


# Errors


def broken(forward: Any = None, backward: Any = None) -> Any:
    forward, backward = forward or (lambda ctx, x: x * 2), backward or (lambda ctx, g: g * 2)
    return function(forward, backward, "Broken")


IN_PLACE = r"backward of Broken changes an argument in place.*Write `g = g \* 2` for"


@pytest.mark.parametrize(("backwards", "kind", "text"), [
    (lambda ctx, g: (), GraphError, r"returned 0 gradients; expected 1, one per argument of"),
    (lambda ctx, g: (g, g), GraphError, r"returned 2 gradients; expected 1"),
    (lambda ctx, g: g[:2], ShapeError, r"\(x\) returned a gradient of shape \(2,\); expected \(3,"),
    (lambda ctx, g: g[None] * tg.ones(2, 1), ShapeError, r"of shape \(2, 3\); expected"),
    (lambda ctx, g: g.numpy() * 2, TypeError, r"returned ndarray for argument 0 \(x\); .*\. Wrap"),
    (lambda ctx, g: g.detach().mul_(2), GraphError, IN_PLACE),
    (lambda ctx, g: ctx.saved_tensors[0].add_(1), GraphError, f"{IN_PLACE}|needs its saved tensor"),
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
    (lambda ctx, x: [x * 2, x], TypeError, r"returned list, .* return \(x, y\) for \[x, y\]"),
    (lambda ctx, x: (x * 2, np.ones(2)), TypeError, r"of Broken returned ndarray, expected a"),
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

    kind = broken(forwards, lambda ctx, *gs: gs[0] * 2)
    x = T(np.random.default_rng(seed).normal(size=3))
    y = kind.apply(x)
    y = y[0] if several else y
    changed = y if "y" in what or "1" in what else x
    out = y.sum()
    with tg.no_grad():
        changed.add_(1)
    message = rf"Broken needs its {what} of shape \(3,\) .* changed in place"
    with pytest.raises(GraphError, match=message):
        out.backward()
    assert x.grad is None


def test_changing_a_saved_intermediate_raises() -> None:
    intermediate = tg.ones(3)
    saving = broken(lambda ctx, x: ctx.save_for_backward(intermediate) or x * 2)
    out = saving.apply(T(np.ones(3))).sum()
    intermediate.add_(1)
    with pytest.raises(GraphError, match="Broken needs its saved tensor 0"):
        out.backward()


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
    x, w = T(np.array([1.0, 2.0])), T(np.array([3.0, 4.0]))
    (slope,) = grad((kind.apply(x) * w).sum(), x, create_graph=True)
    assert slope.tolist() == [6.0, 16.0]
    message = r"the gradient of Broken was computed outside the graph .*numpy\(\)"
    with pytest.raises(GraphError, match=message):
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
