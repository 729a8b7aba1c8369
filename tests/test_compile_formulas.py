"""Lines of a program cite the formulas of the document that they are, and no others."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_fc as tg
from tinygrad_fc import nn, optim
from tinygrad_fc.nn import functional as F

if TYPE_CHECKING:
    from collections.abc import Callable

few = settings(max_examples=max(10, settings.default.max_examples // 5))
ACTIVATIONS = (
    *(nn.Sigmoid, nn.Tanh, nn.ReLU, nn.LeakyReLU, nn.ELU, nn.SELU, nn.Hardtanh, nn.GELU, nn.SiLU),
    *(nn.Mish, nn.Softplus, nn.LogSigmoid),
)
LOSSES: tuple[Callable[[Any, Any], Any], ...] = (
    F.mse_loss,
    lambda y, target: ((y - target) ** 2).mean(),
    lambda y, target: ((y - 1) ** 2).mean() + 0 * target.sum(),
    lambda y, target: (y - target).abs().sum() / 4,
    F.cross_entropy,
)
X, TARGET = tg.linspace(-1, 1, 12).reshape(4, 3), tg.linspace(0, 1, 8).reshape(4, 2)


def cited(loss_of: Callable[[Any, Any], Any], model: nn.Module) -> dict[str, str]:
    """Return the formula of each variable in the program of a training step."""
    optimizer = optim.SGD(model.parameters(), lr=0.1)

    @tg.compile(backend="numpy")
    def step(x: Any, target: Any) -> Any:
        optimizer.zero_grad()
        loss = loss_of(x, target)
        loss.backward()
        optimizer.step()
        return loss

    step(X, TARGET)
    return dict(re.findall(r"^    (\w+) .*  # (\(.*\))$", step.source, re.MULTILINE))


@few
@given(
    hidden=st.lists(
        st.tuples(st.sampled_from(ACTIVATIONS), st.sampled_from(["", "norm", "dropout"])),
        max_size=3,
    ),
    last=st.sampled_from((None, *ACTIVATIONS)),
    loss=st.sampled_from(LOSSES),
)
def test_a_network(hidden: list[Any], last: Any, loss: Any) -> None:
    layers: list[nn.Module] = []
    expected = {}
    for k, (activation, between) in enumerate(hidden, 1):
        expected |= {f"z{k}": "(3)"}
        layers += [nn.Linear(3, 3), nn.BatchNorm1d(3)] if between == "norm" else [nn.Linear(3, 3)]
        at = len(layers) - 1 - (between == "norm")
        layers += [activation(), nn.Dropout()] if between == "dropout" else [activation()]
        if between != "norm":
            expected[f"y{k}"] = "(2)"
        if not between:
            expected[f"d{k}"] = "(36)"
        expected |= {f"weight_{at}_grad": "(37)", f"bias_{at}_grad": "(38)"}
    k, at = len(hidden) + 1, len(layers)
    layers += [nn.Linear(3, 2), *([last()] if last else [])]
    expected |= {f"z{k}": "(3)", f"d{k}": "(13)"}
    expected |= {f"weight_{at}_grad": "(14)", f"bias_{at}_grad": "(17)"}
    if last:
        expected[f"y{k}"] = "(2)"
    model = nn.Sequential(*layers)
    assert cited(lambda x, target: loss(model(x), target), model) == expected


@pytest.mark.parametrize("reduction", ["mean", "sum", "batchmean"])
@pytest.mark.parametrize("outputs", [1, 2])
@pytest.mark.parametrize("samples", [1, 4])
def test_the_cost_is_a_sum_over_outputs_and_a_mean_over_samples(
    reduction: str, outputs: int, samples: int
) -> None:
    model = nn.Sequential(nn.Linear(3, outputs))
    loss, target = nn.MSELoss(reduction=reduction), tg.zeros(samples, outputs)
    found = cited(lambda x, _: loss(model(x[:samples]), target), model)
    divisor = {"mean": samples * outputs, "sum": 1, "batchmean": samples}[reduction]
    assert ("loss" in found) == (divisor == samples)


@pytest.mark.parametrize("reduction", ["mean", "sum", "batchmean"])
def test_what_is_taken_of_the_outputs_is_not_the_cost_of_a_sample(reduction: str) -> None:
    loss, model = nn.MSELoss(reduction=reduction), nn.Sequential(nn.Linear(3, 2))
    for part in (lambda y: y[:, 0], lambda y: y.T, lambda y: y.reshape(-1)):
        found = cited(lambda x, t, part=part: loss(part(model(x)), part(t)), model)
        assert "loss" not in found


def test_what_is_no_activation() -> None:
    model = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 2))
    for loss in (lambda y: ((y - 1) ** 2).mean(), lambda y: (y**2).mean(), lambda y: (-y).sum()):
        found = cited(lambda x, _, loss=loss: loss(model(x)), model)
        assert [name for name, formula in found.items() if formula == "(2)"] == ["y1"]


def test_a_network_in_two_places_has_two_last_layers() -> None:
    model = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 2))
    found = cited(lambda x, t: F.mse_loss(model(x), t) + (model(x * 2) ** 2).mean(), model)
    assert [found[f"d{k}"] for k in (1, 2, 3, 4)] == ["(36)", "(13)"] * 2


def test_two_heads() -> None:
    below, *heads = model = nn.ModuleList([nn.Linear(3, 4), nn.Linear(4, 2), nn.Linear(4, 2)])

    def loss(x: Any, target: Any) -> Any:
        y = below(x).tanh()
        return sum(F.mse_loss(head(y), target) for head in heads)

    found = cited(loss, model)
    # What comes from two layers is not (36), but what follows from it is as everywhere.
    assert "d1" not in found
    assert [found[f"d{k}"] for k in (2, 3)] == ["(13)", "(13)"]
    assert (found["weight_grad"], found["weight_2_grad"]) == ("(37)", "(14)")


@pytest.mark.parametrize("order", [1, 2])
def test_derivatives_by_the_input(order: int) -> None:
    model = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 1))

    def loss(x: Any, target: Any) -> Any:
        del target
        x = x.detach().requires_grad_()
        u = y = model(x)
        for _ in range(order):
            (y,) = tg.autograd.grad(y.sum(), x, create_graph=True)
        return ((y - u) ** 2).mean()

    found = cited(loss, model)
    assert (found["y1"], found.get("y2")) == ("(2)", None)
    assert "d1" not in found
