"""Compiled steps of large networks: turned layers, updates in pieces, gradients that lie alike."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_fc as tg
from tinygrad_fc import nn, optim
from tinygrad_fc.compiler.naming import CALLED

ACTIVATIONS = (nn.Sigmoid, nn.Tanh, nn.ReLU, nn.GELU, lambda: nn.Dropout(0.3))


def network(sizes: list[int], between: list[Any], dtype: Any) -> nn.Sequential:
    """Return a network with something after each layer but the last."""
    layers: list[Any] = []
    for n, m, make in zip(sizes, sizes[1:], [*between, None], strict=False):
        layers += [nn.Linear(n, m, dtype=dtype), *([make()] if make else [])]
    return nn.Sequential(*layers)


def trained(
    compiled: Any, sizes: list[int], between: list[Any], options: dict[str, Any], dtype: Any
) -> tuple[list[Any], list[Any], Any]:
    """Return losses, parameters and what `compiled` returned, after a few steps."""
    tg.manual_seed(5)
    model = network(sizes, between, dtype)
    optimizer = optim.SGD(model.parameters(), lr=0.1, **options)
    x, y = tg.randn(96, sizes[0], dtype=dtype), tg.randn(96, sizes[-1], dtype=dtype)

    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = ((model(x) - y) ** 2).mean()
        loss.backward()
        optimizer.step()
        return loss

    step = compiled(step)
    losses = [step(x, y).item() for _ in range(3)]
    found = [array for p in model.parameters() for array in (p.detach().numpy(), p.grad.numpy())]
    return losses, found, step


@settings(max_examples=settings().max_examples // 4)
@given(
    sizes=st.lists(st.sampled_from((1, 40, 64, 200)), min_size=2, max_size=5),
    between=st.lists(st.sampled_from(ACTIVATIONS), min_size=4, max_size=4),
    momentum=st.sampled_from((0.0, 0.9)),
    dtype=st.sampled_from((tg.float32, tg.float64)),
)
def test_large_networks_are_trained_as_they_are_eagerly(
    sizes: list[int], between: list[Any], momentum: float, dtype: Any
):
    options = {"momentum": momentum, "weight_decay": 0.01}
    expected = trained(lambda f: f, sizes, between, options, dtype)
    got = trained(tg.compile(backend="numpy"), sizes, between, options, dtype)
    bound = 2e4 * np.finfo(dtype).eps
    np.testing.assert_allclose(got[0], expected[0], rtol=bound)
    for one, other in zip(got[1], expected[1], strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=bound * max(abs(other).max(), 1))


def source(sizes: list[int], between: list[Any]) -> str:
    return trained(tg.compile(backend="numpy"), sizes, between, {}, tg.float32)[2].source


def test_every_other_large_layer_has_its_samples_in_columns():
    text = source([100, 64, 64, 64], [nn.Sigmoid] * 2)
    assert "z1 = weight_0.dot(x.T)\n" in text
    assert "z2 = y1.T.dot(weight_2.T)" in text
    assert "weight_0_grad = d1.dot(x)" in text
    # This one is compared with targets, which lie in rows.
    assert "y2.dot(weight_4.T)" in text


def test_large_temporaries_lie_in_memory_that_nobody_reads_any_more():
    text = source([100, 64, 64, 64], [nn.Sigmoid] * 2)
    assert "    y1 = np.negative(z1, out=z1)\n    np.exp(y1, out=y1)\n" in text
    apart = "d1 = weight_2.T.dot(d2.T)\n    t4 = one - y1\n    t4 *= y1\n    d1 *= t4  # (36)\n"
    assert apart in text


def test_small_layers_and_what_meets_rows_stay_rows():
    assert "x.dot(weight_0.T)" in source([40, 40, 1], [nn.Sigmoid])
    assert "x.dot(weight_0.T)" in source([100, 64, 1], [lambda: nn.Dropout(0.5)])

    @tg.compile(backend="numpy")
    def forward(x: Any) -> Any:
        return model(x)

    model = network([100, 64], [], tg.float32)
    result = forward(tg.ones(96, 100, dtype=tg.float32))
    assert "x.dot(" in forward.source
    assert result.numpy().flags.c_contiguous


def test_large_parameters_are_updated_a_piece_after_the_other():
    tg.manual_seed(0)
    text = source([600, 128, 1], [nn.Sigmoid])
    assert (
        "in range(0, 128, 43):\n        piece = weight_0[i : i + 43]\n        piece -= rate * "
        in text
    )
    assert "weight_2 -= rate * weight_2_grad" in text


VIEWS = {
    "its first row": lambda w: w[0],
    "a row as a matrix": lambda w: w[1:2],
    "rows in another order": lambda w: w.flip(0),
    "its transpose": lambda w: w.T,
    "itself": lambda w: w.reshape(w.shape),
    "no view": lambda w: w.mean(0),
}


@settings(max_examples=settings().max_examples // 4)
@given(view=st.sampled_from(sorted(VIEWS)), change=st.sampled_from(("sub_", "mul_", "add_")))
def test_a_large_array_is_changed_by_what_its_own_views_held_before(view: str, change: str):
    def update(w: Any) -> None:
        part = VIEWS[view](w)
        getattr(w, change)(0.5 * (part + part.sigmoid()))

    first = tg.randn(200, 200)
    expected, got = first.clone(), first.clone()
    update(expected)
    tg.compile(lambda: update(got), backend="numpy")()
    np.testing.assert_allclose(got.numpy(), expected.numpy(), rtol=1e-12, atol=1e-12)


@settings(max_examples=settings().max_examples // 4)
@given(name=st.sampled_from(CALLED), other=st.sampled_from(CALLED))
def test_names_that_the_source_speaks_of_are_hidden_by_no_variable(name: str, other: str):
    model = nn.Module()
    setattr(model, name, nn.Parameter(tg.ones(200, 200)))
    optimizer = optim.SGD(model.parameters(), lr=0.5)

    def step(x: Any) -> Any:
        optimizer.zero_grad()
        loss = (getattr(model, name) * x).sum()
        loss.backward()
        optimizer.step()
        return loss

    step.__name__ = other
    compiled = tg.compile(step, backend="numpy")
    losses = compiled.epoch([[0]] * 3, tg.ones(1, 200)).numpy()
    assert "for i in range(" in compiled.source
    np.testing.assert_allclose(losses, 40000 * (1 - 0.5 * np.arange(3)))


class Step:
    """A step of a network with a large first layer."""

    def __init__(self, **options: Any) -> None:
        tg.manual_seed(0)
        self.model = network([600, 128, 1], [nn.Sigmoid], tg.float32)
        self.weight = self.model[0].weight
        self.optimizer = optim.SGD(self.model.parameters(), lr=0.1, **options)
        self.x = tg.randn(8, 600, dtype=tg.float32)
        self.call = tg.compile(self.step, backend="numpy")

    def step(self, x: Any) -> Any:
        self.optimizer.zero_grad()
        loss = self.model(x).sum()
        loss.backward()
        self.optimizer.step()
        return loss


def test_a_large_gradient_lies_where_the_last_one_lay():
    step = Step()
    for _ in range(4):
        step.call(step.x)
    places = set()
    for _ in range(4):
        step.call(step.x)
        places.add(step.weight.grad.numpy().ctypes.data)
    assert len(places) == 1


def test_a_gradient_that_somebody_has_stays():
    step = Step()
    for _ in range(3):
        step.call(step.x)
    tensor = step.weight.grad
    before = tensor.numpy().copy()
    step.call(step.x)
    assert step.weight.grad is not tensor
    np.testing.assert_array_equal(tensor.numpy(), before)
    array = step.weight.grad.numpy()
    before = array.copy()
    step.call(step.x)
    np.testing.assert_array_equal(array, before)
    assert not np.shares_memory(array, step.weight.grad.numpy())


def test_a_call_that_goes_wrong_leaves_no_gradient_and_the_next_one_leaves_all():
    step, twin = Step(), Step()
    for each in (step, twin):
        for _ in range(3):
            each.call(each.x)
    with np.errstate(invalid="raise"), pytest.raises(FloatingPointError):
        step.call(step.x * float("inf"))
    assert step.weight.grad is None
    step.call(step.x)
    twin.call(twin.x)
    np.testing.assert_array_equal(step.weight.grad.numpy(), twin.weight.grad.numpy())


def test_a_gradient_that_is_asked_for_is_there():
    step = Step(momentum=0.0)

    def asks(x: Any) -> Any:
        missing = step.weight.grad is None
        step.step(x)
        return missing

    call = tg.compile(asks, backend="numpy")
    assert [call(step.x) for _ in range(4)] == [True, False, False, False]
    step.optimizer.param_groups[0]["momentum"] = 0.5  # which the program sees when it has begun
    assert call(step.x) is False


def test_gradients_that_add_up_are_kept_where_the_program_gives_up():
    step, twin = Step(), Step()

    def adds(of: Step) -> None:
        of.model(of.x).sum().backward()
        of.optimizer.step()

    call = tg.compile(lambda: adds(step), backend="numpy")
    for momentum in (0.0, 0.0, 0.0, 0.5):  # the last one the program sees when it has begun
        for each in (step, twin):
            each.optimizer.param_groups[0]["momentum"] = momentum
        call()
        adds(twin)
        np.testing.assert_allclose(step.weight.grad.numpy(), twin.weight.grad.numpy(), atol=1e-4)
