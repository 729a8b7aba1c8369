"""Time training steps of fifteen kinds, eager and compiled, beside JAX and PyTorch eager.

    python benchmarks/kinds.py             times of steps, and their ratios to JAX with the limits
    python benchmarks/kinds.py --compile   seconds until the first native step, without caches
    python benchmarks/kinds.py --memory    peak memory of seven calls, in hidden activations

Words select kinds: `python benchmarks/kinds.py gelu`. One thread, the best of several turns.
"""

from __future__ import annotations

import argparse
import importlib
import os
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import one_thread  # noqa: F401  before NumPy

# isort: split
import history
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType

    import numpy.typing as npt

    from tinygrad_fc.nn import Module

    Array = npt.NDArray[Any]
    Step = Callable[[], object]


@dataclass(frozen=True)
class Kind:
    """A network with its loss and optimizer; `limit` is of the ratio to JAX."""

    name: str
    sizes: tuple[int, ...]
    activation: str = "ReLU"
    loss: str = "mse_loss"
    optimizer: str = "SGD"
    between: str = ""
    """A module after each hidden linear layer (norms) or activation (Dropout)."""
    dtype: str = "float64"
    batch: int = 32
    limit: float = 1.0


KINDS = (
    Kind("logistic regression 8-1", (8, 1), loss="binary_cross_entropy_with_logits"),
    Kind("2x8 sigmoid", (8, 8, 8, 1), "Sigmoid"),
    Kind("2x64 tanh, Adam", (8, 64, 64, 1), "Tanh", optimizer="Adam"),
    Kind("3x64 ReLU, momentum", (8, 64, 64, 64, 4), loss="cross_entropy", optimizer="momentum"),
    Kind("3x128 batch norm, Adam", (8, *[128] * 3, 1), optimizer="Adam", between="BatchNorm1d"),
    Kind(
        "4x32 GELU, layer norm, Adam", (8, *[32] * 4, 1), "GELU", optimizer="Adam",
        between="LayerNorm",
    ),
    Kind("6x16 SiLU, Adam", (8, *[16] * 6, 1), "SiLU", optimizer="Adam"),
    Kind("2x512 ReLU f32", (64, 512, 512, 10), dtype="float32", batch=128, limit=1.05),
    Kind("embedding, Adam", (30, 64, 27), "Tanh", "cross_entropy", "Adam", "Embedding"),
    Kind("3x128 dropout", (8, *[128] * 3, 1), between="Dropout"),
    Kind("2x64 softmax", (8, 64, 64, 4), "Tanh", "cross_entropy"),
    Kind(
        "3x256 GELU f32, Adam", (64, *[256] * 3, 10), "GELU", "cross_entropy", "Adam",
        dtype="float32", batch=128, limit=1.2,
    ),
    Kind("3x64 ELU, Huber f32", (8, *[64] * 3, 1), "ELU", "huber_loss", dtype="float32"),
    Kind(
        "SIREN 3x64 f32, Adam", (2, *[64] * 3, 3), "Sine", optimizer="Adam",
        dtype="float32", batch=256,
    ),
    Kind("CBOW 1000 words, Adam", (50, 1000), "", "cross_entropy", "Adam", "Context"),
)  # fmt: skip
ODE = Kind("neural ODE, 8 steps of RK4, Adam", (2, 32, 2), "Tanh", optimizer="Adam", between="ODE")
"""An unrolled solver: a program of many small operations, of which the first step is timed."""


def runge_kutta(field: Callable[[Any], Any], y: Any, steps: int = 8) -> Any:  # noqa: ANN401
    """Return the solution of y' = field(y) at time 1."""
    h = 1 / steps
    for _ in range(steps):
        k1 = field(y)
        k2 = field(y + h / 2 * k1)
        k3 = field(y + h / 2 * k2)
        y = y + h / 6 * (k1 + 2 * k2 + 2 * k3 + field(y + h * k3))
    return y


def ode_of(library: ModuleType, field: Module) -> Module:
    """Return a layer with the parameters of `field`, which integrates it."""

    class ODE(library.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.field = field

        def forward(self, y: object) -> object:
            return runge_kutta(self.field, y)

    return ODE()


def layer_of(library: ModuleType, name: str, function: Callable[[Any], Any]) -> Module:
    """Return a layer without parameters that computes a function; JAX knows it by its name."""
    layer: Any = type(name, (library.nn.Module,), {"forward": lambda _, x: function(x)})
    return layer()  # type: ignore[no-any-return]


def model_of(kind: Kind, library: ModuleType) -> Module:
    """Return the network, the same for both libraries."""
    nn, layers = library.nn, []
    if kind.between == "ODE":
        field = model_of(replace(kind, between=""), library)
        return nn.Sequential(ode_of(library, field))
    if kind.between == "Context":
        layers += [nn.Embedding(kind.sizes[-1], kind.sizes[0])]
        layers += [layer_of(library, "Mean", lambda x: x.mean(1))]
    if kind.between == "Embedding":
        layers += [nn.Embedding(27, 10), nn.Flatten()]
    for n_in, n_out in pairwise(kind.sizes[:-1]):
        layers.append(nn.Linear(n_in, n_out))
        if "Norm" in kind.between:
            layers.append(getattr(nn, kind.between)(n_out))
        if kind.activation == "Sine":  # Sitzmann et al. (2020)
            layers.append(layer_of(library, "Sine", lambda x: library.sin(30 * x)))
        else:
            layers.append(getattr(nn, kind.activation)())
        if kind.between == "Dropout":
            layers.append(nn.Dropout(0.5))
    layers.append(nn.Linear(*kind.sizes[-2:]))
    return nn.Sequential(*layers).to(getattr(library, kind.dtype))


def batch_of(kind: Kind) -> tuple[Array, Array]:
    """Return inputs and targets."""
    rng, n = np.random.default_rng(0), kind.batch
    x = rng.random((n, kind.sizes[0])).astype(kind.dtype)
    if kind.between == "Embedding":
        x = rng.integers(0, 27, (n, 3))
    if kind.between == "Context":
        x = rng.integers(0, kind.sizes[-1], (n, 4))
    if kind.loss == "cross_entropy":
        return x, rng.integers(0, kind.sizes[-1], n)
    return x, rng.integers(0, 2, (n, kind.sizes[-1])).astype(kind.dtype)


def pytorch_style(kind: Kind, library: ModuleType, **options: object) -> Step:
    """Return the step that users write; compiled where there are options."""
    model, optim = model_of(kind, library), library.optim
    x, target = map(library.from_numpy, batch_of(kind))
    loss_function = getattr(library.nn.functional, kind.loss)
    if kind.optimizer == "Adam":
        optimizer = optim.Adam(model.parameters(), lr=1e-3)
    else:
        momentum = 0.9 if kind.optimizer == "momentum" else 0
        optimizer = optim.SGD(model.parameters(), lr=1e-3, momentum=momentum)

    def step(x: object, target: object) -> object:
        optimizer.zero_grad()
        loss = loss_function(model(x), target)
        loss.backward()
        optimizer.step()
        return loss

    compiled: Any = library.compile(step, **options) if options else step
    return lambda: compiled(x, target)


def jax_layer(jax: ModuleType, name: str, x: Array, p: Iterator[Array], key: Array) -> Array:
    """Return the result of a layer, which takes its parameters from `p`."""
    if name == "Linear":
        return x @ next(p).T + next(p)
    if name in ("Embedding", "Flatten"):
        return next(p)[x] if name == "Embedding" else x.reshape(len(x), -1)
    if name in ("Sine", "Mean"):
        return jax.numpy.sin(30 * x) if name == "Sine" else x.mean(1)
    if "Norm" in name:
        axis = 0 if name == "BatchNorm1d" else -1
        mean, var = x.mean(axis, keepdims=True), x.var(axis, keepdims=True)
        return (x - mean) / jax.numpy.sqrt(var + 1e-5) * next(p) + next(p)
    if name == "Dropout":
        return jax.numpy.where(jax.random.bernoulli(key, 0.5, x.shape), x * 2, 0)
    options = {"approximate": False} if name == "GELU" else {}
    return getattr(jax.nn, name.lower())(x, **options)


def jax_loss(jax: ModuleType, name: str, x: Array, target: Array) -> Array:
    """Return the loss of a prediction."""
    jnp = jax.numpy
    if name == "cross_entropy":
        return -jnp.take_along_axis(jax.nn.log_softmax(x), target[:, None], 1).mean()
    if "logits" in name:
        return (jnp.maximum(x, 0) - x * target + jnp.log1p(jnp.exp(-abs(x)))).mean()
    error = abs(x - target)
    if name == "huber_loss":
        return jnp.where(error < 1, error * error / 2, error - 0.5).mean()
    return (error * error).mean()


def jax_style(kind: Kind, jax: ModuleType) -> Step:
    """Return the step as one function that XLA compiles, which gives memory to the next."""
    tg, jnp = importlib.import_module("tinygrad_fc"), jax.numpy
    model = model_of(kind, tg)
    x, target = map(jnp.asarray, batch_of(kind))

    def loss_of(parameters: list[Array], x: Array, target: Array, key: Array) -> Array:
        p = iter(parameters)
        if kind.between == "ODE":
            w1, b1, w2, b2 = p
            x = runge_kutta(lambda y: jnp.tanh(y @ w1.T + b1) @ w2.T + b2, x)
            return jax_loss(jax, kind.loss, x, target)
        for layer in model:
            key, now = jax.random.split(key)
            x = jax_layer(jax, type(layer).__name__, x, p, now)
        return jax_loss(jax, kind.loss, x, target)

    def update(state: tuple[Any, ...], x: Array, target: Array) -> tuple[Array, tuple[Any, ...]]:
        parameters, m, v, t, key = state
        key, now = jax.random.split(key)
        loss, gradients = jax.value_and_grad(loss_of)(parameters, x, target, now)
        if kind.optimizer == "Adam":
            m = [0.9 * a + 0.1 * g for a, g in zip(m, gradients, strict=True)]
            v = [0.999 * a + 0.001 * g * g for a, g in zip(v, gradients, strict=True)]
            rate, root = 1e-3 / (1 - 0.9 ** (t + 1)), jnp.sqrt(1 - 0.999 ** (t + 1))
            gradients = [a / (jnp.sqrt(b) / root + 1e-8) for a, b in zip(m, v, strict=True)]
        else:
            rate = jnp.asarray(1e-3)
            if kind.optimizer == "momentum":
                m = gradients = [0.9 * a + g for a, g in zip(m, gradients, strict=True)]
        new = [(p - rate * g).astype(p.dtype) for p, g in zip(parameters, gradients, strict=True)]
        return loss, (new, m, v, t + 1, key)

    compiled = jax.jit(update, donate_argnums=(0,))
    parameters = [jnp.array(p.detach().numpy()) for p in model.parameters()]
    zeros = [[jnp.zeros_like(p) for p in parameters] for _ in range(2)]
    state = [(parameters, *zeros, jnp.zeros(()), jax.random.key(0))]

    def step() -> object:
        loss, state[0] = compiled(state[0], x, target)
        return loss.block_until_ready()

    return step


def contestants(kind: Kind) -> dict[str, Callable[[], Step]]:
    """Return what creates the step of each contestant."""
    tg = importlib.import_module("tinygrad_fc")
    jax, torch = importlib.import_module("jax"), importlib.import_module("torch")
    jax.config.update("jax_enable_x64", val=True)
    torch.set_num_threads(1)
    return {
        "eager": lambda: pytorch_style(kind, tg),
        "NumPy": lambda: pytorch_style(kind, tg, backend="numpy"),
        "Numba": lambda: pytorch_style(kind, tg, backend="numba"),
        "auto": lambda: pytorch_style(kind, tg, backend="auto"),
        "JAX": lambda: jax_style(kind, jax),
        "PyTorch": lambda: pytorch_style(kind, torch),
    }


def seconds(step: Step, duration: float = 0.02) -> float:
    """Return the time of a call, over calls for a while."""
    start, count = time.perf_counter(), 0
    while time.perf_counter() - start < duration:
        step()
        count += 1
    return (time.perf_counter() - start) / count


def print_times(kinds: list[Kind], rounds: int) -> None:
    """Print microseconds of steps, and the ratio of the faster backend to JAX."""
    names = ("eager", "NumPy", "Numba", "auto", "JAX", "PyTorch")
    heading = "".join(f"{name:>9}" for name in names)
    print(f"{'microseconds of a step':30}{heading}  / JAX, eager / PyTorch, auto / better backend")
    figures = {}
    for kind in kinds:
        steps = {name: create() for name, create in contestants(kind).items()}
        best = dict.fromkeys(steps, float("inf"))
        for _ in range(rounds):
            for name, step in steps.items():
                best[name] = min(best[name], seconds(step))
        better = min(best["NumPy"], best["Numba"])
        ratio, loss = better / best["JAX"], best["auto"] / better
        cells = "".join(f"{1e6 * t:9.1f}" for t in best.values())
        over = "" if ratio <= kind.limit else "  over"
        eager = f"{best['eager'] / best['PyTorch']:.2f}"
        print(
            f"{kind.name:30}{cells}  {ratio:.2f} (limit {kind.limit}){over}, {eager}, {loss:.2f}",
            flush=True,
        )
        figures |= {f"{kind.name} / JAX": ratio, f"{kind.name}, auto / better": loss}
    if len(kinds) == len(KINDS):
        history.record("kinds", figures)


def print_compile_times(kinds: list[Kind]) -> None:
    """Print the seconds of the first step by Numba, without its cache, and by JAX.

    Programs of the default backend are native, too, but for those of many operations, as `ODE` has.
    """
    os.environ["TINYGRAD_FC_CACHE"] = ""
    for name in ("Numba", "JAX"):
        contestants(KINDS[0])[name]()()  # imports
    print(f"{'seconds of the first step':34}{'Numba':>9}{'JAX':>9}")
    for kind in kinds:
        native = "auto" if kind is ODE else "Numba"
        spent = {}
        for name in (native, "JAX"):
            step = contestants(kind)[name]()
            start = time.perf_counter()
            step()
            spent[name] = time.perf_counter() - start
        limit = spent["JAX"] if kind is ODE else max(3.0, 3 * spent["JAX"])
        over = "" if spent[native] <= limit else "  over"
        cells = "".join(f"{t:9.2f}" for t in spent.values())
        print(f"{kind.name:34}{cells}  ({native}; limit {limit:.1f}){over}", flush=True)


# Peak memory, each in a process of its own, with the settings that users have

DEEP, ROWS, CALLS = "784-512^{}-10", 16_000, 7


def resident(key: str) -> int:
    """Return the bytes of this process that are in memory: VmRSS now, VmHWM the most so far."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(key))


def print_peaks(name: str, hidden: int) -> None:
    """Print the peak of each of seven calls: the first traces, the second and fourth check."""
    library = importlib.import_module("torch" if name == "PyTorch" else "tinygrad_fc")
    options: dict[str, Any] = {"backend": name.lower()} if name[0] == "N" else {}
    sizes = (784, *[512] * hidden, 10)
    settings: Any = {"loss": "cross_entropy", "dtype": "float32"}
    small = pytorch_style(Kind("small", sizes, batch=8, **settings), library, **options)
    for _ in range(3):
        small()
    before = resident("VmRSS")
    step = pytorch_style(Kind("deep", sizes, batch=ROWS, **settings), library, **options)
    data = resident("VmRSS") if name == "PyTorch" else before + ROWS * 784 * 4
    peaks = []
    for _ in range(CALLS):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        step()
        peaks.append((resident("VmHWM") - data) / (ROWS * 512 * 4))
    print(f"{DEEP.format(hidden):16}{name:10}", *(f"{x:7.1f}" for x in peaks), flush=True)


def main() -> None:
    """Print what the options ask for."""
    parser = argparse.ArgumentParser(description="Time training steps of fifteen kinds.")
    parser.add_argument("words", nargs="*", help="of the names of kinds")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--peaks", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    candidates = (*KINDS, ODE) if options.compile else KINDS
    kinds = [k for k in candidates if all(word.lower() in k.name.lower() for word in options.words)]
    if options.peaks:
        print_peaks(options.peaks[0], int(options.peaks[1]))
    elif options.memory:
        print(f"{'peak activations':26}", *(f"{k:7}" for k in range(1, CALLS + 1)))
        for hidden in ("2", "5"):
            for name in ("PyTorch", "eager", "NumPy", "Numba"):
                command = [sys.executable, __file__, "--peaks", name, hidden]
                subprocess.run(command, check=True)  # noqa: S603
    elif options.compile:
        print_compile_times(kinds)
    else:
        print_times(kinds, options.rounds)


if __name__ == "__main__":
    main()
