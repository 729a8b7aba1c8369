"""Training steps of all that the Numba backend promises, in native code and eager.

Most native source is run by Python (`kit.native_interpreter`); a few steps are compiled.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from kit.native_cases import agree
from kit.native_interpreter import interpreted, interpreting

import tinygrad_fc as tg
from tinygrad_fc import nn, optim
from tinygrad_fc.compiler import auto, native

if TYPE_CHECKING:
    from collections.abc import Callable

    Network = tuple[Callable[[], list[nn.Module]], nn.Module, Any, Callable[..., optim.Optimizer]]

SLACK = 1e-13
"""Of parameters and losses of about 1, after a few steps."""
rng = np.random.default_rng(0)
X, Y = rng.standard_normal((6, 5)), rng.random((6, 3))
CLASSES, CHANCES = rng.integers(0, 3, 6), rng.dirichlet(np.ones(3), 6)
WEIGHTS = np.array([1.0, 2.0, 3.0])


def around(*middle: Callable[[], nn.Module]) -> Callable[[], list[nn.Module]]:
    """Return what makes layers with these in the middle."""
    return lambda: [nn.Linear(5, 4), *(make() for make in middle), nn.Linear(4, 3)]


def sgd(parameters: Any) -> optim.Optimizer:
    return optim.SGD(parameters, lr=0.1)


ACTIVATIONS = (
    *("CELU", "ELU", "GELU", "Hardshrink", "Hardsigmoid", "Hardswish", "Hardtanh", "LeakyReLU"),
    *("LogSigmoid", "Mish", "PReLU", "ReLU", "ReLU6", "SELU", "SiLU", "Sigmoid", "Softplus"),
    *("Softshrink", "Softsign", "Tanh", "Tanhshrink"),
)
LAYERS: dict[str, Callable[[], nn.Module]] = {
    **{name: getattr(nn, name) for name in ACTIVATIONS},
    **{name: lambda name=name: getattr(nn, name)(dim=1) for name in ("Softmax", "LogSoftmax")},
    "GELU by tanh": lambda: nn.GELU(approximate="tanh"),
    "BatchNorm1d": lambda: nn.BatchNorm1d(4),
    "LayerNorm": lambda: nn.LayerNorm(4),
    "Dropout": lambda: nn.Dropout(0.3),
}
LOSSES: dict[str, tuple[nn.Module, Any]] = {
    "MSE": (nn.MSELoss(), Y),
    "MSE, summed": (nn.MSELoss(reduction="sum"), Y),
    "L1": (nn.L1Loss(), Y),
    "Huber": (nn.HuberLoss(), Y),
    "SmoothL1": (nn.SmoothL1Loss(), Y),
    "CrossEntropy": (nn.CrossEntropyLoss(), CLASSES),
    "CrossEntropy, summed": (nn.CrossEntropyLoss(reduction="sum"), CLASSES),
    "CrossEntropy, smoothed": (nn.CrossEntropyLoss(label_smoothing=0.1), CLASSES),
    "CrossEntropy, weighted": (nn.CrossEntropyLoss(weight=tg.from_numpy(WEIGHTS)), CLASSES),
    "CrossEntropy of chances": (nn.CrossEntropyLoss(), CHANCES),
    "BCEWithLogits": (nn.BCEWithLogitsLoss(), Y),
    "BCEWithLogits, weighted": (nn.BCEWithLogitsLoss(pos_weight=tg.from_numpy(WEIGHTS)), Y),
    "MultiMargin": (nn.MultiMarginLoss(), CLASSES),
    "PoissonNLL": (nn.PoissonNLLLoss(), Y),
}
OPTIMIZERS: dict[str, Callable[..., optim.Optimizer]] = {
    "SGD": lambda p: optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.1, nesterov=True),
    "SGD, dampened": lambda p: optim.SGD(p, momentum=0.9, dampening=0.1, maximize=True),
    "Adam": lambda p: optim.Adam(p, amsgrad=True, weight_decay=0.1, maximize=True),
    "AdamW": lambda p: optim.AdamW(p, amsgrad=True),
    "RMSprop": lambda p: optim.RMSprop(p, centered=True, momentum=0.9, weight_decay=0.1),
    "Adagrad": lambda p: optim.Adagrad(p, lr_decay=0.1, weight_decay=0.1),
    "Adadelta": optim.Adadelta,
    "Adamax": optim.Adamax,
    "NAdam": optim.NAdam,
    "RAdam": optim.RAdam,
    "ASGD": optim.ASGD,
    "Rprop": optim.Rprop,
}
NETWORKS: dict[str, Network] = {
    **{name: (around(layer), nn.MSELoss(), Y, sgd) for name, layer in LAYERS.items()},
    **{name: (around(nn.Tanh), loss, target, sgd) for name, (loss, target) in LOSSES.items()},
    **{
        name: (around(nn.Tanh), nn.MSELoss(), Y, optimizer)
        for name, optimizer in OPTIMIZERS.items()
    },
}
COMPILED: dict[str, Network] = {
    "classes, Adam": (
        lambda: [
            *(nn.Linear(5, 40, bias=False), nn.BatchNorm1d(40), nn.ReLU(), nn.Dropout(0.2)),
            *(nn.Linear(40, 9), nn.GELU(), nn.Linear(9, 3)),
        ],
        nn.CrossEntropyLoss(label_smoothing=0.1),
        CLASSES,
        OPTIMIZERS["Adam"],
    ),
    "logits, RMSprop": (
        around(nn.Softplus, nn.Tanh, nn.ELU),
        nn.BCEWithLogitsLoss(),
        Y,
        OPTIMIZERS["RMSprop"],
    ),
}


def trained(network: Network, steps: int, **how: Any) -> list[Any]:
    """Return losses, parameters, gradients and buffers after some steps."""
    make, criterion, target, optimizer_of = network
    tg.manual_seed(0)
    default = tg.get_default_dtype()
    tg.set_default_dtype(tg.float64)
    try:
        model = nn.Sequential(*make())
    finally:
        tg.set_default_dtype(default)
    optimizer = optimizer_of(model.parameters())

    def step(x: tg.Tensor, y: tg.Tensor) -> tg.Tensor:
        optimizer.zero_grad()
        loss = criterion(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    taken: Any = tg.compile(step, **how) if how else step
    x, y = tg.from_numpy(X), tg.from_numpy(np.asarray(target))
    losses = [np.asarray(taken(x, y).item()) for _ in range(steps)]
    gradients = [p.grad.numpy() for p in model.parameters()]
    return [*losses, *(a.numpy() for a in model.state_dict().values()), *gradients]


@pytest.mark.parametrize("name", NETWORKS)
def test_networks(name: str, monkeypatch: pytest.MonkeyPatch):
    built = interpreting(monkeypatch)
    with np.errstate(all="ignore"):  # scalars warn where native code does not
        made = trained(NETWORKS[name], 4, backend="numba")
    assert built
    agree(made, trained(NETWORKS[name], 4), slack=SLACK)


@pytest.mark.parametrize("backend", ["numba", "auto"])
@pytest.mark.parametrize("name", COMPILED)
def test_compiled_networks(name: str, backend: str):
    pytest.importorskip("numba")
    made = trained(COMPILED[name], 16, backend=backend)
    agree(made, trained(COMPILED[name], 16), slack=1e-10)


# The choice


def test_each_call_of_the_choice_is_one_step(monkeypatch: pytest.MonkeyPatch):
    """Whoever is timed, a step is taken once: the parameters are where eager ones are."""
    taken: list[str] = []

    def counting(name: str, build: Any) -> Any:
        def build_one(program: Any) -> Any:
            kernel = build(program)

            def counted(*inputs: Any) -> Any:
                taken.append(name)
                return kernel(*inputs)

            counted.source = ""  # type: ignore[attr-defined]  as a kernel's
            return counted

        return build_one

    monkeypatch.setattr(auto.native, "available", lambda: True)
    monkeypatch.setattr(auto.native, "build", counting("numba", interpreted))
    monkeypatch.setattr(auto.numpy_backend, "build", counting("numpy", auto.numpy_backend.build))
    network = (around(nn.Tanh), nn.MSELoss(), Y, sgd)
    steps = 2 * auto.ROUNDS + 10
    made = trained(network, steps, backend="auto")
    agree(made, trained(network, steps), slack=SLACK)
    assert len(taken) == steps
    assert taken[0] == "numpy"
    assert taken.count("numba") == auto.ROUNDS
    assert set(taken[-5:]) == {"numpy"}  # Python is the slower one


def test_what_native_code_lacks_is_left_to_numpy():
    def step(x: tg.Tensor) -> tg.Tensor:
        return tg.cumsum(x, dim=0)

    compiled = tg.compile(step, backend="auto")
    for _ in range(5):
        assert compiled(tg.ones(3)).tolist() == [1.0, 2.0, 3.0]


def test_what_numba_stumbles_over_is_told_and_left_to_numpy(monkeypatch: pytest.MonkeyPatch):
    def build(_: Any) -> Any:
        raise RuntimeError("no luck")

    monkeypatch.setattr(auto.native, "available", lambda: True)
    monkeypatch.setattr(auto.native, "build", build)
    with pytest.warns(RuntimeWarning, match="no luck"):
        made = trained(NETWORKS["MSE"], 4, backend="auto")
    agree(made, trained(NETWORKS["MSE"], 4), slack=SLACK)


def test_without_numba_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(native, "find_spec", lambda _: None)
    with pytest.raises(tg.compiler.CompileError, match=r"tinygrad-fc\[compile\]"):
        trained(NETWORKS["MSE"], 2, backend="numba")
