"""Strategies for networks, losses and optimizers, and the small training that most tests use."""

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st
from optimizers import OPTIMIZERS

import tinygrad_fc as tg
from tinygrad_fc import nn, optim

from .twins import Training

Create = Callable[[], Training]

seeds = st.integers(0, 2**32 - 1)
dtypes = st.sampled_from(("float64", "float32"))

ACTIVATIONS = (
    *("CELU", "ELU", "GELU", "Hardshrink", "Hardsigmoid", "Hardswish", "Hardtanh", "LeakyReLU"),
    *("LogSigmoid", "Mish", "PReLU", "ReLU", "ReLU6", "SELU", "SiLU", "Sigmoid", "Softplus"),
    *("Softshrink", "Softsign", "Tanh", "Tanhshrink", "Identity"),
)
OTHERS: dict[str, Callable[[int], nn.Module]] = {
    "none": lambda _: nn.Identity(),
    "batch norm": nn.BatchNorm1d,
    "batch norm, cumulative": lambda n: nn.BatchNorm1d(n, momentum=None),
    "batch norm, plain": lambda n: nn.BatchNorm1d(n, affine=False, track_running_stats=False),
    "layer norm": nn.LayerNorm,
    "RMS norm": nn.RMSNorm,
    "group norm": lambda n: nn.GroupNorm(2, n),
    "dropout": lambda _: nn.Dropout(0.3),
    "alpha dropout": lambda _: nn.AlphaDropout(0.5),
    "softmax": lambda _: nn.Softmax(dim=1),
    "GELU by tanh": lambda _: nn.GELU(approximate="tanh"),
}
"""Layers between a linear one and its activation, by the number of features."""

LOSSES: dict[str, tuple[str, dict[str, tuple[Any, ...]]]] = {
    "MSELoss": ("real", {"reduction": ("mean", "sum", "batchmean")}),
    "L1Loss": ("real", {}),
    "SmoothL1Loss": ("real", {"beta": (0.0, 0.3, 1.0)}),
    "HuberLoss": ("real", {"delta": (0.3, 1.0)}),
    "PoissonNLLLoss": ("unit", {"full": (False, True)}),
    "KLDivLoss": ("unit", {"reduction": ("mean", "sum", "batchmean")}),
    "BCEWithLogitsLoss": ("unit", {}),
    "SoftMarginLoss": ("sign", {}),
    "HingeEmbeddingLoss": ("sign", {"margin": (0.2, 1.0)}),
    "CrossEntropyLoss": ("class", {"label_smoothing": (0.0, 0.1), "ignore_index": (-100, 1)}),
    "MultiMarginLoss": ("class", {"p": (1, 2)}),
}
"""Losses of a prediction (N, 3): the kind of their target, and their options."""


@st.composite
def optimizers(draw: st.DrawFn, name: str) -> Callable[[Any], Any]:
    """Draw options, and return what creates the optimizer for two groups of parameters."""
    options = draw(OPTIMIZERS[name])

    def create(parameters: Any) -> Any:
        first, *rest = parameters
        groups = [{"params": [first], "lr": options["lr"] / 2}, {"params": rest}]
        return getattr(optim, name)(groups, **options)

    return create


@st.composite
def losses(draw: st.DrawFn, name: str | None = None) -> tuple[str, Callable[[], nn.Module]]:
    """Draw a loss with its options; return the kind of its target, and what creates it."""
    name = name or draw(st.sampled_from(sorted(LOSSES)))
    kind, options = LOSSES[name]
    options = {"reduction": ("mean", "sum"), **options}
    chosen = {key: draw(st.sampled_from(values)) for key, values in options.items()}
    return kind, lambda: getattr(nn, name)(**chosen)


@st.composite
def networks(draw: st.DrawFn, dtype: str = "float64") -> Callable[[], nn.Module]:
    """Draw a network from 4 features to 3, and return what creates it."""
    rows = draw(
        st.lists(
            st.tuples(
                st.sampled_from((2, 4, 6)),
                st.booleans(),
                st.sampled_from(sorted(OTHERS)),
                st.sampled_from(ACTIVATIONS),
            ),
            min_size=1,
            max_size=3,
        )
    )

    def create() -> nn.Module:
        layers: list[nn.Module] = []
        features = 4
        for size, bias, other, activation in rows:
            # A bias in front of batch norm has a gradient of mere rounding, which Adam enlarges.
            layers += [nn.Linear(features, size, bias=bias and "batch" not in other)]
            layers += [OTHERS[other](size), getattr(nn, activation)()]
            features = size
        return nn.Sequential(*layers, nn.Linear(features, 3)).to(getattr(tg, dtype))

    return create


def batch(seed: int = 0, n: int = 6, dtype: str = "float64", kind: str = "unit") -> tuple[Any, Any]:
    """Return samples (n, 4) and targets (n, 3), or classes (n,), of a kind."""
    rng = np.random.default_rng(seed)
    x = tg.tensor(rng.standard_normal((n, 4)).astype(dtype))
    if kind == "class":
        classes = rng.integers(3, size=n)
        classes[0] = 0  # one that is never ignored
        return x, tg.tensor(classes)
    y = rng.random((n, 3))
    y = {"unit": y, "real": 4 * y - 2, "sign": np.sign(y - 0.5)}[kind]
    return x, tg.tensor(y.astype(dtype))


def sgd(parameters: Any, **options: Any) -> Any:
    """Return SGD with a learning rate of 0.1."""
    return optim.SGD(parameters, **{"lr": 0.1, **options})


def momentum(parameters: Any) -> Any:
    """Return SGD with momentum."""
    return sgd(parameters, momentum=0.9)


def training_of(model: nn.Module, optimizer: Any = sgd, loss: Any = None) -> Training:
    """Return the training of a model, by default with SGD and the mean squared error."""
    return Training(model, optimizer(model.parameters()), loss or nn.MSELoss())


def perceptron(
    optimizer: Any = sgd, loss: Any = None, *layers: Any, dtype: str = "float64"
) -> Training:
    """Return the training of a network of two layers, with others between them."""
    model = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), *layers, nn.Linear(5, 3))
    return training_of(model.to(getattr(tg, dtype)), optimizer, loss)
