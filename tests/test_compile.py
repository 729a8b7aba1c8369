"""A compiled step does what the step does, to the last bit: networks, losses, optimizers."""

from __future__ import annotations

import copy
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optimizers_table import EVERY, OPTIMIZERS, drawn
from twins import Training, Twins, same, step

import tinygrad_fc as tg
from tinygrad_fc import nn, optim
from tinygrad_fc.optim import lr_scheduler

some = settings(max_examples=max(10, settings.default.max_examples // 4))
few = settings(max_examples=max(5, settings.default.max_examples // 12))
seeds = st.integers(0, 2**32 - 1)

ACTIVATIONS = (
    *("Sigmoid", "Tanh", "ReLU", "GELU", "SiLU", "ELU", "SELU", "CELU", "LeakyReLU", "Softplus"),
    *("Mish", "Hardtanh", "ReLU6", "Softsign", "LogSigmoid"),
)
LOSSES = {
    "MSELoss": "numbers",
    "L1Loss": "numbers",
    "SmoothL1Loss": "numbers",
    "HuberLoss": "numbers",
    "PoissonNLLLoss": "parts",
    "KLDivLoss": "parts",
    "BCEWithLogitsLoss": "parts",
    "CrossEntropyLoss": "classes",
    "MultiMarginLoss": "classes",
}


def targets(kind: str, rng: Any, shape: tuple[int, int], dtype: str) -> tg.Tensor:
    if kind == "classes":
        return tg.tensor(rng.integers(shape[1], size=shape[0]))
    values = rng.random(shape) if kind == "parts" else rng.standard_normal(shape)
    return tg.tensor(values.astype(dtype))


def layers(draw: Any, sizes: list[int], dtype: Any, batch: int) -> list[Any]:
    found: list[Any] = []
    for n_in, n_out in pairwise(sizes):
        found.append(nn.Linear(n_in, n_out, bias=draw(st.booleans()), dtype=dtype))
        extra = draw(st.sampled_from(("none", "batch", "layer", "dropout", "alpha")))
        if extra == "batch" and batch > 1:
            momentum = draw(st.sampled_from((0.1, None, 0.5)))
            found.append(nn.BatchNorm1d(n_out, momentum=momentum, dtype=dtype))
        elif extra == "layer":
            found.append(nn.LayerNorm(n_out, dtype=dtype))
        elif extra in ("dropout", "alpha"):
            kind = nn.Dropout if extra == "dropout" else nn.AlphaDropout
            found.append(kind(draw(st.sampled_from((0.2, 0.5)))))
        found.append(getattr(nn, draw(st.sampled_from(ACTIVATIONS)))())
    found.append(nn.Linear(sizes[-1], 3, dtype=dtype))
    return found


def sgd(model: Any, **options: Any) -> Any:
    return optim.SGD(model.parameters(), **{"lr": 0.1, **options})


def training(model: Any, loss: Any = None, optimizer: Any = sgd) -> Training:
    return Training(model, optimizer(model), loss or nn.MSELoss())


def perceptron(loss: Any = None, optimizer: Any = sgd, dtype: Any = None) -> Training:
    model = nn.Sequential(nn.Linear(4, 5, dtype=dtype), nn.Tanh(), nn.Linear(5, 3, dtype=dtype))
    return training(model, loss, optimizer)


def batch(seed: int = 0, n: int = 6, dtype: str = "float64") -> tuple[tg.Tensor, tg.Tensor]:
    rng = np.random.default_rng(seed)
    return tg.tensor(rng.random((n, 4)).astype(dtype)), tg.tensor(rng.random((n, 3)).astype(dtype))


@some
@given(data=st.data(), seed=seeds, dtype=st.sampled_from(("float64", "float32")))
def test_networks_and_losses(data: st.DataObject, seed: int, dtype: str):
    rng = np.random.default_rng(seed)
    n = data.draw(st.integers(1, 7))
    sizes = [4, *data.draw(st.lists(st.integers(2, 6), min_size=1, max_size=3))]
    name = data.draw(st.sampled_from(sorted(LOSSES)))
    reduction = data.draw(st.sampled_from(("mean", "sum")))
    made: list[Any] = []

    def make() -> Training:
        # The second network has the layers of the first one, drawn once.
        if not made:
            made.append(layers(data.draw, sizes, np.dtype(dtype), n))
        model = copy.deepcopy(nn.Sequential(*made[0]))
        return training(model, getattr(nn, name)(reduction=reduction))

    twins = Twins(make)
    y = targets(LOSSES[name], rng, (n, 3), dtype)
    for _ in range(4):
        with np.errstate(all="ignore"):
            twins.step(tg.tensor(rng.standard_normal((n, 4)).astype(dtype)), y)


@pytest.mark.parametrize("name", ["SGD", *OPTIMIZERS])
@few
@given(data=st.data(), seed=seeds, dtype=st.sampled_from(("float64", "float32")))
def test_optimizers_with_their_options(name: str, data: st.DataObject, seed: int, dtype: str):
    if name == "SGD":
        momentum = data.draw(st.sampled_from((0, 0.9)))
        options: dict[str, Any] = {
            "lr": data.draw(st.sampled_from((0.0, 0.1))),
            "momentum": momentum,
            "weight_decay": data.draw(st.sampled_from((0, 0.1))),
            "nesterov": momentum > 0 and data.draw(st.booleans()),
            "maximize": data.draw(st.booleans()),
        }
        if momentum and not options["nesterov"]:
            options["dampening"] = data.draw(st.sampled_from((0, 0.3)))
    else:
        options = drawn(data, name)

    def optimizer(model: Any) -> Any:
        first, *others = model.parameters()
        groups = [{"params": [first], "lr": options["lr"] / 2}, {"params": others}]
        return getattr(optim, name)(groups, **options)

    twins = Twins(lambda: perceptron(optimizer=optimizer, dtype=np.dtype(dtype)))
    x, y = batch(seed, dtype=dtype)
    for _ in range(8):
        twins.step(x, y)


@few
@given(
    seed=seeds, kind=st.sampled_from(("StepLR", "ExponentialLR", "CosineAnnealingLR", "OneCycleLR"))
)
def test_schedulers_between_calls(seed: int, kind: str):
    options: dict[str, Any] = {
        "StepLR": {"step_size": 2},
        "ExponentialLR": {"gamma": 0.5},
        "CosineAnnealingLR": {"T_max": 5},
        "OneCycleLR": {"max_lr": 0.5, "total_steps": 8},
    }[kind]
    twins = Twins(lambda: perceptron(optimizer=lambda m: sgd(m, momentum=0.9)))
    schedules = [getattr(lr_scheduler, kind)(t.optimizer, **options) for t in twins.pair]
    for _ in range(6):
        twins.step(*batch(seed))
        for schedule in schedules:
            schedule.step()
    assert len(twins.compiled.programs) <= 2


def test_one_program_serves_all_learning_rates():
    twins = Twins(perceptron)
    for rate in (0.1, 0.5, 0.0, np.float64(0.25), 1.0):
        twins.both(lambda t, rate=rate: t.optimizer.param_groups[0].update(lr=rate))
        twins.step(*batch())
    assert len(twins.compiled.programs) == 1


def test_gradients_accumulate_over_calls():
    def accumulated(t: Training, x: Any, y: Any) -> Any:
        loss = t.loss(t.model(x), y)
        loss.backward()
        return loss.detach()

    twins = Twins(perceptron, accumulated)
    for k in range(9):
        twins.step(*batch(k))
        if k % 3 == 2:
            twins.both(lambda t: (t.optimizer.step(), t.optimizer.zero_grad()))


CHANGES: dict[str, Any] = {
    "load_state_dict": lambda t: t.model.load_state_dict(
        {k: v * 0.5 for k, v in t.model.state_dict().items()}
    ),
    "in place": lambda t: t.model[0].weight.data.mul_(0.5),
    "data": lambda t: setattr(t.model[0].weight, "data", t.model[0].weight.data * 2),
    "another parameter": lambda t: setattr(t.model[0], "weight", nn.Parameter(tg.ones(5, 4))),
    "another layer": lambda t: setattr(t.model, "1", nn.ReLU()),
    "frozen": lambda t: t.model[0].requires_grad_(requires_grad=False),
    "a hook": lambda t: t.model[0].weight.register_hook(lambda g: g * 2),
    "a module's hook": lambda t: t.model[0].register_forward_hook(lambda m, x, out: out * 2),
    "another loss": lambda t: setattr(t, "loss", nn.L1Loss()),
    "another reduction": lambda t: setattr(t.loss, "reduction", "sum"),
    "optimizer's state": lambda t: t.optimizer.load_state_dict(t.optimizer.state_dict()),
    "another optimizer": lambda t: setattr(t, "optimizer", optim.Adam(t.model.parameters())),
    "momentum": lambda t: t.optimizer.param_groups[0].update(momentum=0.0),
    "nesterov": lambda t: t.optimizer.param_groups[0].update(nesterov=True),
    "more parameters": lambda t: t.optimizer.add_param_group(
        {"params": [tg.ones(2, requires_grad=True)]}
    ),
    "no gradient": lambda t: setattr(t.model[0].weight, "grad", None),
    "float32": lambda t: t.model.to(np.float32).to(np.float64),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_is_changed_between_calls_counts(change: str):
    twins = Twins(lambda: perceptron(optimizer=lambda m: sgd(m, momentum=0.9)))
    for k in range(3):
        twins.step(*batch(k))
    twins.both(CHANGES[change])
    for k in range(3):
        twins.step(*batch(k))


def test_train_and_eval_mode():
    def make() -> Training:
        return training(nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Dropout(0.5)))

    twins = Twins(make)
    for k in range(8):
        twins.both(lambda t, k=k: t.model.train(k % 3 > 0))
        twins.step(*batch(k))
    assert len(twins.compiled.programs) == 2


def test_a_step_may_set_the_mode():
    def trained(t: Training, x: Any, y: Any) -> Any:
        t.model.train()
        return step(t, x, y)

    twins = Twins(lambda: training(nn.Sequential(nn.Linear(4, 3), nn.Dropout(0.5))), trained)
    for k in range(3):
        twins.both(lambda t: t.model.eval())
        twins.step(*batch(k))
        assert all(t.model.training for t in twins.pair)
    assert len(twins.compiled.programs) == 1


@few
@given(shapes=st.lists(st.sampled_from([(), (0,), (3,), (2, 3), (1, 3)]), min_size=3, max_size=6))
def test_a_program_for_each_signature(shapes: list[tuple[int, ...]]):
    compiled = tg.compile(lambda x: (x * 2).exp().sum(), backend="numpy")
    for dtype in ("float64", "float32"):
        for shape in shapes:
            x = tg.tensor(np.full(shape, 0.5, dtype))
            same("result", compiled(x), (x * 2).exp().sum())
    assert len(compiled.programs) == 2 * len(set(shapes))


def test_python_values_are_part_of_the_signature():
    def scaled(x: Any, by: Any, *, negative: bool = False) -> Any:
        return -x * by if negative else x * by

    compiled = tg.compile(scaled, backend="numpy")
    x = tg.tensor([1, 2])
    for by in (1, 1.0, True, 2, 0.0, -0.0, 1):
        same("result", compiled(x, by), scaled(x, by))
        same("result", compiled(x, by, negative=True), scaled(x, by, negative=True))
    assert len(compiled.programs) == 12


def test_names_that_the_function_goes_by():
    factor, table, items = 2.0, {"shift": 1.0, "more": np.float64(3)}, [1.0]

    def affine(x: Any) -> Any:
        return x * factor + table["shift"] + items[-1] + table["more"]

    compiled = tg.compile(affine, backend="numpy")
    x = tg.tensor([1.0, 2.0])
    same("result", compiled(x), affine(x))
    factor = 3.0
    same("result", compiled(x), affine(x))
    table["shift"] = 5.0
    same("result", compiled(x), affine(x))
    items.append(7.0)
    same("result", compiled(x), affine(x))


class Settings:
    """Numbers as attributes of a class, an object and an object below it."""

    of_class = 2.0

    def __init__(self) -> None:
        self.of_object = 3.0
        self.below: Any = None


def test_attributes_that_the_function_goes_by():
    found = Settings()
    found.below = Settings()

    def scaled(x: Any) -> Any:
        return x * Settings.of_class * found.of_object + found.below.of_object - found.of_class

    compiled = tg.compile(scaled, backend="numpy")
    x = tg.tensor([1.0, 2.0])
    for owner, name in ((found, "of_object"), (found.below, "of_object"), (Settings, "of_class")):
        same("result", compiled(x), scaled(x))
        same("result", compiled(x), scaled(x))
        setattr(owner, name, getattr(owner, name) + 0.5)
    same("result", compiled(x), scaled(x))
    found.below = Settings()
    same("result", compiled(x), scaled(x))
    assert len(compiled.programs) == 5


def test_the_default_dtype():
    compiled = tg.compile(lambda: tg.tensor([1.5]), backend="numpy")
    assert compiled().dtype == np.float64
    tg.set_default_dtype(tg.float32)
    try:
        assert compiled().dtype == np.float32
    finally:
        tg.set_default_dtype(tg.float64)


def test_adapting_to_values_of_the_library():
    """RAdam goes another way from the sixth step on, and a loss of NaN is looked into."""
    twins = Twins(lambda: perceptron(optimizer=lambda m: optim.RAdam(m.parameters())))
    for k in range(9):
        twins.step(*batch(k))
    assert len(twins.compiled.programs) == 2
    x, y = batch()
    with pytest.raises(ValueError, match="the target is NaN at index"):
        twins.compiled(twins.pair[1], x, y * float("nan"))
    with np.errstate(all="ignore"):
        twins.step(x * float("nan"), y)
        twins.step(x, y)


def test_what_was_drawn_for_a_program_that_does_not_fit_is_taken_back():
    twins = Twins(lambda: training(nn.Sequential(nn.Dropout(0.5), nn.Linear(4, 3))))
    x, y = batch()
    with np.errstate(all="ignore"):
        for factor in (1, float("nan"), 1):
            twins.step(x * factor, y)
    assert len(twins.compiled.programs) == 2


def test_classes_that_are_not_there_are_refused_at_every_call():
    compiled = tg.compile(nn.functional.cross_entropy, backend="numpy")
    scores = tg.zeros(2, 3)
    for _ in range(2):
        compiled(scores, tg.tensor([0, 2]))
        with pytest.raises(tg.errors.RangeError, match="a class index is 3, expected 0 to 2"):
            compiled(scores, tg.tensor([0, 3]))


def test_every_optimizer_is_looked_at():
    """LBFGS decides by values, and is refused: see test_compile_refusals."""
    assert set(EVERY) - set(OPTIMIZERS) == {"LBFGS"}
