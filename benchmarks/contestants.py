"""Ways to take one training step, for `step.py` to race.

A step is forward, backward and SGD for a sigmoid network under MSELoss, on one thread. All start
from the same parameters and see the same batch.
"""

from __future__ import annotations

import contextlib
import importlib
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import one_thread  # noqa: F401  before NumPy

# isort: split
import in_c
import numpy as np

import tinygrad_fc
from tinygrad_fc.handderived import NeuralNetwork

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    import numpy.typing as npt

    Array = npt.NDArray[Any]

LEARNING_RATE = 1.0


@dataclass(frozen=True)
class Row:
    """A network, its batch and dtype, and the limits of ratios, by the names of `RATIOS`."""

    sizes: tuple[int, ...]
    batch: int
    dtype: str
    limits: dict[str, float]
    document: bool = False  # whether the document's program, sample by sample, joins

    def __str__(self) -> str:
        return f"{'-'.join(map(str, self.sizes))}, {self.batch}, {self.dtype}"

    def start(self) -> tuple[list[Array], Array, Array]:
        """Weight and bias of every layer in turn, inputs and targets: the same at every call."""
        rng = np.random.default_rng(0)
        parameters = []
        for n_in, n_out in pairwise(self.sizes):
            parameters.append(rng.standard_normal((n_out, n_in)) / n_in**0.5)
            parameters.append(rng.standard_normal(n_out))
        x, target = (rng.random((self.batch, n)) for n in (self.sizes[0], self.sizes[-1]))
        arrays = [array.astype(self.dtype) for array in (*parameters, x, target)]
        return arrays[:-2], arrays[-2], arrays[-1]


def _limits(*limits: float) -> dict[str, float]:
    return dict(zip(RATIOS, limits, strict=False))


RATIOS: dict[str, tuple[tuple[str, ...], str]] = {
    "eager / hand-written NumPy": (("eager",), "hand-written NumPy"),
    "eager / PyTorch eager": (("eager",), "PyTorch eager"),
    "compiled (NumPy) / hand-written NumPy": (("compiled (NumPy)",), "hand-written NumPy"),
    "compiled (Numba) / hand-written NumPy": (("compiled (Numba)",), "hand-written NumPy"),
    "the faster of both compiled / JAX jit": (("compiled (NumPy)", "compiled (Numba)"), "JAX jit"),
    "compiled (Numba) / C by hand": (("compiled (Numba)",), "C by hand"),
}
"""Contestants, of which the fastest counts, and the one whose time theirs is divided by. C is the
last, since only small networks in float64 have such a program."""
ROWS = (
    Row((1, 8, 5, 3, 1), 40, "float64", _limits(1.8, 0.3, 0.85, 0.2, 0.25, 3.5), document=True),
    Row((8, 16, 1), 32, "float64", _limits(1.9, 0.3, 0.85, 0.25, 0.25, 3.0)),
    Row((784, 128, 64, 10), 64, "float32", _limits(1.15, 0.75, 1.0, 0.9, 0.85)),
    Row((784, 512, 512, 10), 256, "float32", _limits(1.08, 1.08, 1.05, 1.0, 1.0)),
)


@dataclass
class Contestant:
    """A way to take a training step, to see the parameters that it has reached, and to start anew.

    All start anew each round: a network that has been trained for long has other numbers in it,
    so small in float32 that arithmetic takes several times as long.
    """

    step: Callable[[], object]
    parameters: Callable[[], list[Array]]
    restart: Callable[[], None]
    repeats: int = 1
    seconds: list[float] = field(default_factory=list)


def handwritten(row: Row) -> Contestant:
    """The yardstick: whole batches, sums over columns, parameters updated in place."""
    parameters, x, target = row.start()
    weights, biases = parameters[::2], parameters[1::2]

    def step() -> float:
        ys = [x]
        for weight, bias in zip(weights, biases, strict=True):
            ys.append(1 / (1 + np.exp(-(ys[-1] @ weight.T + bias))))
        error = ys[-1] - target
        loss = np.vdot(error, error) / error.size
        d = 2 / error.size * error
        for layer in range(len(weights) - 1, -1, -1):
            y = ys[layer + 1]
            d *= y * (1 - y)
            weight_gradient, bias_gradient = d.T @ ys[layer], d.sum(axis=0)
            if layer:
                d = d @ weights[layer]
            weight_gradient *= LEARNING_RATE
            weights[layer] -= weight_gradient
            bias_gradient *= LEARNING_RATE
            biases[layer] -= bias_gradient
        return float(loss)

    def restart() -> None:
        for parameter, value in zip(parameters, row.start()[0], strict=True):
            parameter[...] = value

    return Contestant(step, lambda: parameters, restart)


def pytorch_style(
    row: Row, library: ModuleType, compiled: Callable[[Any], Any] = lambda step: step
) -> Contestant:
    """The loop that users write, letter for letter the same for both libraries."""
    nn, optim = library.nn, library.optim
    parameters, x, target = row.start()
    layers: list[Any] = []
    for n_in, n_out in pairwise(row.sizes):
        layers += [nn.Linear(n_in, n_out, dtype=getattr(library, row.dtype)), nn.Sigmoid()]
    model = nn.Sequential(*layers)
    inputs, targets = library.from_numpy(x), library.from_numpy(target)
    criterion = nn.MSELoss()
    optimizer = optim.SGD(model.parameters(), lr=LEARNING_RATE)

    @compiled
    def step(inputs: object, targets: object) -> object:
        optimizer.zero_grad()
        loss = criterion(model(inputs), targets)
        loss.backward()
        optimizer.step()
        return loss

    def restart() -> None:
        with library.no_grad():
            for parameter, array in zip(model.parameters(), parameters, strict=True):
                parameter.copy_(library.from_numpy(array))

    def reached() -> list[Array]:
        return [p.detach().numpy() for p in model.parameters()]

    restart()
    return Contestant(lambda: step(inputs, targets), reached, restart)


def document(row: Row) -> Contestant:
    """The document's program. With one output, formula (6) is the mean that MSELoss takes."""
    parameters, x, target = row.start()
    network = NeuralNetwork(row.sizes)
    batch = [(x_i[:, None], t_i[:, None]) for x_i, t_i in zip(x, target, strict=True)]

    def reached() -> list[Array]:
        pairs = zip(network.weights, network.biases, strict=True)
        return [p for weight, bias in pairs for p in (weight, bias[:, 0])]

    def restart() -> None:
        network.weights = parameters[::2]
        network.biases = [bias[:, None] for bias in parameters[1::2]]

    restart()
    return Contestant(lambda: network.update_batch(batch, LEARNING_RATE), reached, restart)


def by_hand_in_c(row: Row) -> Contestant:
    """The step in C, without calls of BLAS: its products are small."""
    parameters, x, target = row.start()

    def restart() -> None:
        for parameter, value in zip(parameters, row.start()[0], strict=True):
            parameter[...] = value

    step = in_c.training_step(row.sizes, LEARNING_RATE, parameters, x, target)
    return Contestant(step, lambda: parameters, restart)


def jax_jit(row: Row, jax: ModuleType) -> Contestant:
    """The whole step as one function that XLA compiles; parameters give their memory to the next.

    A call returns before the work is done: the loss is waited for, as everybody else has it then.
    """
    parameters, *batch = row.start()
    x, target = map(jax.numpy.asarray, batch)

    def loss_of(parameters: list[Array], x: Array, target: Array) -> Array:
        y = x
        for weight, bias in zip(parameters[::2], parameters[1::2], strict=True):
            y = jax.nn.sigmoid(y @ weight.T + bias)
        return jax.numpy.mean((y - target) ** 2)

    def update(parameters: list[Array], x: Array, target: Array) -> tuple[Array, list[Array]]:
        loss, gradients = jax.value_and_grad(loss_of)(parameters, x, target)
        pairs = zip(parameters, gradients, strict=True)
        return loss, [p - LEARNING_RATE * g for p, g in pairs]

    compiled = jax.jit(update, donate_argnums=(0,))
    state: list[list[Any]] = [[]]

    def restart() -> None:
        state[0] = [jax.numpy.array(p) for p in parameters]

    def step() -> object:
        loss, state[0] = compiled(state[0], x, target)
        return loss.block_until_ready()

    restart()
    return Contestant(step, lambda: [np.asarray(p) for p in state[0]], restart)


def characters(library: ModuleType) -> Contestant:
    """Return a step that predicts a character from three: embedding, batch norm, cross entropy."""
    nn, rng = library.nn, np.random.default_rng(0)
    layers = (
        *(nn.Embedding(27, 10), nn.Flatten(), nn.Linear(30, 200)),
        *(nn.BatchNorm1d(200), nn.Tanh(), nn.Linear(200, 27)),
    )
    model = nn.Sequential(*layers).float()
    start = [rng.normal(size=p.shape).astype("float32") * 0.1 for p in model.parameters()]
    x = library.from_numpy(rng.integers(0, 27, (32, 3)))
    target = library.from_numpy(rng.integers(0, 27, 32))
    criterion, optimizer = nn.CrossEntropyLoss(), library.optim.SGD(model.parameters(), lr=0.1)

    def step() -> object:
        optimizer.zero_grad()
        loss = criterion(model(x), target)
        loss.backward()
        optimizer.step()
        return loss

    def restart() -> None:
        with library.no_grad():
            for parameter, array in zip(model.parameters(), start, strict=True):
                parameter.copy_(library.from_numpy(array))

    restart()
    return Contestant(step, lambda: [p.detach().numpy() for p in model.parameters()], restart)


def contestants(row: Row, libraries: dict[str, ModuleType], *, slow: bool) -> dict[str, Contestant]:
    """Return all that can take part in a row, by name; `slow` ones take minutes to get ready."""
    entered = {"hand-written NumPy": handwritten(row), "eager": pytorch_style(row, tinygrad_fc)}
    for backend in ("NumPy", "Numba"):
        if backend == "NumPy" or "numba" in libraries:
            compiled = tinygrad_fc.compile(backend=backend.lower())
            entered[f"compiled ({backend})"] = pytorch_style(row, tinygrad_fc, compiled)
    if "torch" in libraries:
        entered["PyTorch eager"] = pytorch_style(row, libraries["torch"])
        if slow:
            entered["torch.compile"] = pytorch_style(
                row, libraries["torch"], libraries["torch"].compile
            )
    if "jax" in libraries:
        entered["JAX jit"] = jax_jit(row, libraries["jax"])
    if in_c.COMPILER and row.dtype == "float64" and max(row.sizes) <= in_c.WIDEST:
        entered["C by hand"] = by_hand_in_c(row)
    if row.document:
        entered["handderived.py"] = document(row)
    return entered


def installed() -> dict[str, ModuleType]:
    """Return the other libraries that are there, each told to use one thread."""
    libraries = {}
    for name in ("torch", "jax", "numba"):
        with contextlib.suppress(ModuleNotFoundError):
            libraries[name] = importlib.import_module(name)
    if "torch" in libraries:
        libraries["torch"].set_num_threads(1)
    if "jax" in libraries:
        libraries["jax"].config.update("jax_enable_x64", val=True)
    return libraries
