"""The printed source reads like code by hand, cites the document, and runs by itself."""

import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_fc as tg
from tinygrad_fc import nn, optim
from tinygrad_fc.nn import functional as F

from .networks import training_of
from .twins import Training, share, step


def program_of(model: Any, loss: Any, *data: Any) -> Any:
    """Return the compiled training step of a model, after one call."""
    optimizer = optim.SGD(model.parameters(), lr=0.1)

    @tg.compile(backend="numpy")
    def step(x: Any, target: Any) -> Any:
        optimizer.zero_grad()
        cost = loss(model(x), target)
        cost.backward()
        optimizer.step()
        return cost

    step(*data)
    return step


def test_the_source_trains_by_itself():
    model = nn.Sequential(nn.Linear(8, 16), nn.Sigmoid(), nn.Linear(16, 1), nn.Sigmoid())
    x, y, loss = tg.rand(32, 8), tg.rand(32, 1), nn.MSELoss(reduction="batchmean")
    copies = [p.detach().numpy().copy() for p in model.parameters()]
    loss(model(x), y).backward()
    optim.SGD(model.parameters(), lr=0.1).step()
    after = [p.detach().numpy().copy() for p in model.parameters()]
    compiled = program_of(model, loss, x, y)
    scope: dict[str, Any] = {}
    exec(compiled.source, scope)  # noqa: S102  that it runs is what is tested
    values = {"lr": 0.1, "momentum": 0.0, "weight_decay": 0.0, "x": x.numpy(), "target": y.numpy()}
    values |= zip(("weight_0", "bias_0", "weight_2", "bias_2"), copies, strict=True)
    scope["step"](*(values[key] for key in inspect.signature(scope["step"]).parameters))
    for trained, expected in zip(copies, after, strict=True):
        np.testing.assert_array_equal(trained, expected)


# Formulas

ACTIVATIONS = (
    *(nn.Sigmoid, nn.Tanh, nn.ReLU, nn.LeakyReLU, nn.ELU, nn.SELU, nn.Hardtanh, nn.GELU, nn.SiLU),
    *(nn.Mish, nn.Softplus, nn.LogSigmoid),
)
LOSSES: tuple[Callable[[Any, Any], Any], ...] = (
    F.mse_loss,
    lambda y, target: ((y - target) ** 2).mean(),
    lambda y, target: (y - target).abs().sum() / 4,
    F.cross_entropy,
)
X, TARGET = tg.linspace(-1, 1, 12).reshape(4, 3), tg.linspace(0, 1, 8).reshape(4, 2)


def cited(loss: Callable[[Any, Any], Any], model: nn.Module) -> dict[str, str]:
    """Return the formula of each variable in the program of a training step."""
    compiled = program_of(model, loss, X, TARGET)
    return dict(re.findall(r"^    (\w+) .*  # (\(.*\))$", compiled.source, re.MULTILINE))


@share(20)
@given(
    hidden=st.lists(
        st.tuples(st.sampled_from(ACTIVATIONS), st.sampled_from(["", "norm", "dropout"])),
        max_size=3,
    ),
    last=st.sampled_from((None, *ACTIVATIONS)),
    loss=st.sampled_from(LOSSES),
)
def test_formulas_of_the_document(hidden: list[Any], last: Any, loss: Any):
    layers: list[nn.Module] = []
    expected = {}
    for k, (activation, between) in enumerate(hidden, 1):
        expected |= {f"z{k}": "(3)"}
        layers += [nn.Linear(3, 3), nn.BatchNorm1d(3)] if between == "norm" else [nn.Linear(3, 3)]
        at = len(layers) - 1 - (between == "norm")
        layers += [activation(), nn.Dropout()] if between == "dropout" else [activation()]
        if between != "norm":
            expected[f"y{k}"] = "(2)"
        if not any(between for _, between in hidden):
            expected |= {f"d{k}": "(36)", f"weight_{at}_grad": "(37)", f"bias_{at}_grad": "(38)"}
    k, at = len(hidden) + 1, len(layers)
    layers += [nn.Linear(3, 2), *([last()] if last else [])]
    expected |= {f"z{k}": "(3)"}
    expected |= {f"weight_{at}_grad": "(14)", f"bias_{at}_grad": "(17)"}
    if last:
        expected |= {f"y{k}": "(2)", f"d{k}": "(13)"}
    assert cited(loss, nn.Sequential(*layers)) == expected


@pytest.mark.parametrize("reduction", ["mean", "sum", "batchmean"])
@pytest.mark.parametrize("outputs", [1, 2])
def test_the_cost_is_a_sum_over_outputs_and_a_mean_over_samples(reduction: str, outputs: int):
    loss, target = nn.MSELoss(reduction=reduction), tg.zeros(4, outputs)
    formulas = cited(lambda y, _: loss(y, target), nn.Sequential(nn.Linear(3, outputs)))
    divisor = {"mean": 4 * outputs, "sum": 1, "batchmean": 4}[reduction]
    assert ("loss" in formulas) == (divisor == 4)


def test_a_hidden_layer_with_two_heads():
    heads = [nn.Linear(4, 2), nn.Linear(4, 2)]

    def loss(y: Any, target: Any) -> Any:
        return sum(F.mse_loss(head(y).tanh(), target) for head in heads)

    formulas = cited(loss, nn.Sequential(nn.Linear(3, 4), nn.Tanh())).values()
    assert "(13)" in formulas
    assert "(36)" not in formulas, "the gradient comes from two layers"


def test_what_changes_nothing_is_left_out():
    zero = tg.zeros(())
    compiled = tg.compile(lambda x: (x.T.sin().T.T, x.exp() - zero.numpy()), backend="numpy")
    compiled(tg.rand(2, 3))
    assert ".T.T" not in compiled.source
    negative = tg.compile(lambda x: x * 1.0 - np.array(-0.0), backend="numpy")
    assert negative(tg.tensor([-0.0])).numpy().tobytes() == np.zeros(1).tobytes(), "0.0"
    positive = tg.compile(lambda x: x * 1.0 - np.array(0.0), backend="numpy")
    assert np.signbit(positive(tg.tensor([-0.0])).numpy()).all()
    assert "-" not in positive.source.split("def ")[1]
    constant = tg.compile(lambda x: (x + 1, tg.full((3,), -0.0)), backend="numpy")
    for _ in range(2):
        assert np.signbit(constant(tg.ones(1))[1].numpy()).all()


# Names, tracebacks


@pytest.mark.parametrize("name", ["if", "np", "step", "min", "x", "größe", "range", "len", "d1"])
@pytest.mark.parametrize("function", ["step", "np", "range", "lambda"])
def test_names_of_parameters_hide_nothing(name: str, function: str):
    model = nn.Module()
    model._parameters[name] = nn.Parameter(tg.ones(200, 200))  # an attribute cannot be `float`
    optimizer = optim.SGD(model.parameters(), lr=0.5)

    def step(x: Any) -> Any:
        optimizer.zero_grad()
        loss = (model._parameters[name] * x).sum()
        loss.backward()
        optimizer.step()
        return loss

    step.__name__ = function
    compiled = tg.compile(step, backend="numpy")
    losses = compiled.epoch([[0]] * 3, tg.ones(1, 200)).numpy()
    np.testing.assert_allclose(losses, 40000 * (1 - 0.5 * np.arange(3)))


# Whole texts, in sources/; another one stands in the README, and tests/test_readme.py


def classifier() -> Any:
    """Batch norm, dropout, cross entropy and Adam."""
    layers = nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(), nn.Linear(8, 3)
    model = nn.Sequential(*layers)
    training = Training(model, optim.Adam(model.parameters(), lr=0.01), nn.CrossEntropyLoss())
    return lambda x, y: step(training, x, y), (tg.rand(16, 4), tg.arange(16) % 3)


def embedding() -> Any:
    """Rows of a table, and cross entropy."""
    model = nn.Sequential(nn.Embedding(10, 4), nn.Flatten(), nn.Linear(12, 5))
    training = training_of(model, loss=nn.CrossEntropyLoss())
    data = tg.arange(24).reshape(8, 3) % 10, tg.arange(8) % 5
    return lambda x, y: step(training, x, y), data


def operators() -> Any:
    """A loss of plain operators, and an update by hand."""
    w, b = tg.rand(3, 1, requires_grad=True), tg.zeros(1, requires_grad=True)

    def train(x: Any, y: Any) -> Any:
        error = x @ w + b - y
        loss = (error**2).mean() + 0.01 * w.abs().sum()
        loss.backward()
        with tg.no_grad():
            for p in (w, b):
                p.sub_(0.1 * p.grad)
                p.grad = None
        return loss

    return train, (tg.rand(8, 3), tg.rand(8, 1))


def penalty() -> Any:
    """A penalty of the norm of a gradient."""
    model = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1))
    optimizer = optim.SGD(model.parameters(), lr=0.1)

    def train(x: Any) -> Any:
        optimizer.zero_grad()
        x = x.detach().requires_grad_()
        y = model(x)
        (gradient,) = tg.autograd.grad(y.sum(), x, create_graph=True)
        loss = y.mean() + ((gradient.norm(dim=1) - 1) ** 2).mean()
        loss.backward()
        optimizer.step()
        return loss

    return train, (tg.rand(8, 2),)


def adversarial() -> Any:
    """Two networks with Adam, and random numbers."""
    generator = nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 2))
    discriminator = nn.Sequential(nn.Linear(2, 8), nn.LeakyReLU(0.2), nn.Linear(8, 1))
    adams = [optim.Adam(m.parameters(), betas=(0.5, 0.999)) for m in (discriminator, generator)]
    bce, ones, zeros = F.binary_cross_entropy_with_logits, tg.ones(16, 1), tg.zeros(16, 1)

    def train(real: Any) -> Any:
        fake = generator(tg.randn(16, 2))
        losses = []
        for adam, update in zip(adams, ("discriminator", "generator"), strict=True):
            adam.zero_grad()
            if update == "generator":
                loss = bce(discriminator(fake), ones)
            else:
                loss = bce(discriminator(real), ones) + bce(discriminator(fake.detach()), zeros)
            loss.backward()
            adam.step()
            losses.append(loss)
        return losses

    return train, (tg.rand(16, 2),)


def clipped() -> Any:
    """Clipping of the norm of gradients, and momentum by a schedule."""
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))
    sgd = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    optim.lr_scheduler.OneCycleLR(sgd, max_lr=0.1, total_steps=100)

    def train(target: Any, x: Any) -> Any:
        sgd.zero_grad()
        loss = F.mse_loss(model(x), target)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        sgd.step()
        return loss

    return train, (tg.rand(16, 1), tg.rand(16, 4))


def prediction() -> Any:
    """A forward pass without gradients: layer norm, GELU and softmax."""
    model = nn.Sequential(nn.Linear(4, 8), nn.LayerNorm(8), nn.GELU(), nn.Linear(8, 3))
    model.requires_grad_(requires_grad=False)
    return lambda x: model(x).softmax(-1), (tg.rand(5, 4),)


def logistic() -> Any:
    """Logistic regression in float32, with a decay of weights."""
    model = nn.Linear(4, 1).float()
    sgd = optim.SGD(model.parameters(), lr=0.1, nesterov=True, momentum=0.9, weight_decay=0.01)
    training = Training(model, sgd, nn.BCEWithLogitsLoss())
    data = tg.rand(16, 4).float(), (tg.arange(16)[:, None] % 2).float()
    return lambda x, target: step(training, x, target), data


KINDS = (classifier, embedding, operators, penalty, adversarial, clipped, prediction, logistic)


@pytest.mark.parametrize("kind", KINDS)
def test_the_source_as_a_whole(kind: Callable[[], Any]):
    train, data = kind()
    train.__name__ = "step"
    compiled = tg.compile(train, backend="numpy")
    compiled(*data)
    text = (Path(__file__).parent / "sources" / f"{kind.__name__}.txt").read_text("utf-8")
    assert compiled.source == text


def test_a_number_of_two_options_is_named_as_neither():
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    for smoothing, name in ((0.0, "momentum"), (0.1, "scale_0_1")):
        loss = nn.CrossEntropyLoss(label_smoothing=smoothing)
        source = program_of(model, loss, tg.rand(4, 3), tg.tensor([0, 1, 1, 0])).source
        assert f"{name} * (" in source
        assert "lr_" not in source
