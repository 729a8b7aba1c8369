"""Networks, programs over scalars and compiled training steps that the tests of viz show."""

from itertools import pairwise
from typing import Any

import numpy as np
from hypothesis import strategies as st

import tinygrad_fc as tg
from tinygrad_fc import nn, optim
from tinygrad_fc.viz.lesson import Lesson
from tinygrad_fc.viz.training_page import _traced

ACTIVATIONS = {"sigmoid": nn.Sigmoid, "tanh": nn.Tanh, "relu": nn.ReLU, "gelu": nn.GELU}
seeds = st.integers(0, 2**32 - 1)
widths = st.lists(st.integers(1, 5), min_size=2, max_size=5)


def network(sizes: list[int], activation: str, seed: int) -> tuple[Any, Any, Any]:
    """Return a model, inputs and targets."""
    tg.manual_seed(seed)
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        layers += [nn.Linear(inputs, outputs), ACTIVATIONS[activation]()]
    return nn.Sequential(*layers), tg.randn(4, sizes[0]), tg.rand(4, sizes[-1])


def scalars(seed: int, count: int) -> tuple[list[Any], Any]:
    """Return leaves and the result of a random program over scalars."""
    rng = np.random.default_rng(seed)
    leaves = [tg.tensor(float(x), requires_grad=True) for x in rng.uniform(0.5, 1.5, 3)]
    values = list(leaves)
    for _ in range(count):
        a, b = (values[k] for k in rng.integers(0, len(values), 2))
        values.append([a + b, a * b, a - b, a.tanh(), a.sin()][rng.integers(5)])
    return leaves, sum(values[3:], values[0] * 2)


OPTIMIZERS = {
    "SGD": lambda p: optim.SGD(p, lr=0.5),
    "momentum": lambda p: optim.SGD(p, lr=0.2, momentum=0.9),
    "nesterov": lambda p: optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True, weight_decay=1e-3),
    "Adam": lambda p: optim.Adam(p, lr=0.01),
    "AdamW": lambda p: optim.AdamW(p, lr=0.01),
    "RMSprop": lambda p: optim.RMSprop(p, lr=0.01),
    "ASGD": lambda p: optim.ASGD(p, lr=0.1),
}
LOSSES = {
    "mse": nn.MSELoss(reduction="batchmean"),
    "softmax": nn.MSELoss(reduction="batchmean"),
    "cross entropy": nn.CrossEntropyLoss(),
    "bce": nn.BCELoss(),
    "logits": nn.BCEWithLogitsLoss(),
    "nll": nn.NLLLoss(),
    "huber": nn.HuberLoss(),
    "two values": lambda z, y: ((z + z.exp()) * y).sum() - (z * y).sum(),
    "no target": lambda z, _: (z**2).mean(),
}
LAST = {"softmax": [nn.Softmax(dim=1)], "nll": [nn.LogSoftmax(dim=1)], "bce": [nn.Sigmoid()]}


class Net(nn.Module):
    """A module whose forward is a function of the module and its input."""

    def __init__(self, forward: Any, **layers: nn.Module) -> None:
        super().__init__()
        self.function = forward
        for name, layer in layers.items():
            setattr(self, name, layer)

    def forward(self, x: Any) -> Any:
        return self.function(self, x)


def shaped(_: Any, x: Any) -> Any:
    """Join, sort and add up along an axis."""
    pair = tg.stack([x.sinh(), x.cosh()], 1).sum(1)
    both = tg.concatenate([tg.cumsum(x, 1), pair], 1)
    return both[:, : x.shape[1]] + 0 * tg.argsort(x, 1)


BETWEEN: dict[str, Any] = {
    "norm": nn.BatchNorm1d,
    "layer norm": nn.LayerNorm,
    "residual": lambda n: Net(
        lambda net, x: x + net.layer(x), layer=nn.Sequential(nn.Linear(n, n, bias=False), nn.Tanh())
    ),
    "dropout": lambda _: nn.Dropout(0.3),
    "alpha dropout": lambda _: nn.AlphaDropout(0.2),
    "shaped": lambda _: Net(shaped),
    "product": lambda _: Net(lambda _, x: x + x.cumprod(dim=0)),
}


def step_of(
    model: nn.Module,
    criterion: Any,
    x: Any,
    y: Any,
    optimizer: Any = lambda p: optim.SGD(p, lr=0.1),
    before: Any = lambda _: None,
) -> tuple[Any, Any, Any]:
    """Return a compiled step that was called once, and its batch."""
    update = optimizer(model.parameters()) if callable(optimizer) else optimizer

    @tg.compile(backend="numpy")
    def step(x: Any, y: Any) -> Any:
        model.zero_grad()
        cost = criterion(model(x), y)
        cost.backward()
        before(model)
        if update is not None:
            update.step()
        return cost

    step(x, y)
    return step, x, y


def training(
    sizes: list[int],
    batch: int = 5,
    *,
    activation: str = "sigmoid",
    optimizer: str = "SGD",
    loss: str = "mse",
    between: str = "",
    dtype: Any = tg.float64,
    seed: int = 0,
) -> tuple[Any, Any, Any]:
    """Return a compiled step that was called once, and its batch."""
    model, _, _ = network(sizes, activation, seed)
    if loss != "mse":
        model = nn.Sequential(*model[:-1], *LAST.get(loss, []))
    if between:
        k = 1 if "norm" in between else 2
        model = nn.Sequential(*model[:k], BETWEEN[between](sizes[1]), *model[k:])
    criterion, model = LOSSES[loss], model.to(dtype)
    x = tg.linspace(-2, 2, batch * sizes[0], dtype=dtype).reshape(batch, sizes[0])
    y = tg.rand(batch, sizes[-1], dtype=dtype)
    if loss in ("cross entropy", "nll"):
        y = tg.randint(0, sizes[-1], (batch,))
    elif loss in ("bce", "logits"):
        y = y.round()
    return step_of(model, criterion, x, y, OPTIMIZERS.get(optimizer))


README: dict[str, Any] = {"sizes": [1, 8, 5, 3, 1], "batch": 40, "optimizer": "momentum"}
ADAM: dict[str, Any] = {"loss": "cross entropy", "optimizer": "Adam"}
CLASSIFIER: dict[str, Any] = {"sizes": [2, 4, 3], **ADAM}
KINDS: list[dict[str, Any]] = [
    {"sizes": [1, 8, 5, 3, 1], "batch": 12},
    {"sizes": [2, 4, 3], "activation": "tanh", "optimizer": "momentum"},
    {"sizes": [3, 4, 2], "activation": "relu", "optimizer": "Adam"},
    {**CLASSIFIER, "batch": 12},
    {"sizes": [2, 4, 3], "loss": "softmax", "activation": "tanh", "optimizer": "nesterov"},
    {"sizes": [3, 4, 2], "activation": "tanh", "between": "norm"},
    {"sizes": [2, 3, 1], "between": "residual", "loss": "huber", "optimizer": "RMSprop"},
    {"sizes": [2, 4, 3, 1], "activation": "gelu", "between": "dropout"},
    {"sizes": [2, 4, 1], "activation": "tanh", "loss": "bce", "optimizer": "ASGD"},
    {"sizes": [2, 4, 1], "loss": "logits", "between": "alpha dropout", "optimizer": "AdamW"},
    {"sizes": [2, 3, 3], "loss": "nll", "between": "shaped", "activation": "tanh"},
    {"sizes": [2, 4, 1], "between": "layer norm", "optimizer": "Adam", "dtype": tg.float32},
    {"sizes": [2, 3, 1], "optimizer": ""},
]


def texts(lesson: Lesson) -> dict[str, Any]:
    """Return the steps by the text of their formulas."""

    def written(line: Any) -> str:
        parts = (x if isinstance(x, str) else lesson.labels.get(x, "1ᵀ") for x in line[1])
        return f"{lesson.labels[line[0]]} = {''.join(parts)}".replace("np.", "")

    return {"\n".join(map(written, step["text"])): step for step in lesson.steps()}


def lesson_of(program: tuple[Any, Any, Any]) -> Lesson:
    arguments = [a.numpy() for a in program[1:]]
    return Lesson(_traced(program[0], arguments), arguments)
