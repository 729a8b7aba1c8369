"""Comparison of eager and compiled code: values, and whole trainings that start alike."""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest
from hypothesis import Phase, settings

import tinygrad_fc as tg

native = pytest.mark.skipif(find_spec("numba") is None, reason="Numba is not installed")
generator = tg.manual_seed(random.getrandbits(32))  # the default one
BACKENDS = ("numpy", pytest.param("numba", marks=native))


def share(percent: float, at_least: int = 2) -> settings:
    """Return settings with a share of the profile's examples."""
    return settings(max_examples=max(at_least, int(settings.default.max_examples * percent / 100)))


def quickly(percent: float) -> settings:
    """Return the same for native code, of which each example takes seconds: without shrinking."""
    return settings(
        share(percent, at_least=1), phases=(Phase.explicit, Phase.reuse, Phase.generate)
    )


def same(name: str, actual: Any, expected: Any) -> None:
    """Compare trees of tensors, arrays and Python values exactly, but for the signs of zeros.

    `0 * x = 0` where x may be infinite: eager code keeps the sign of a product that is finite.
    """
    _compare(name, actual, expected, _equal)


def near(name: str, actual: Any, expected: Any) -> None:
    """Compare the same within rounding: sums in another order, functions of another library."""
    _compare(name, actual, expected, _close)


AGREE: dict[str, Callable[[str, Any, Any], None]] = {"numpy": same, "numba": near, "auto": near}
"""How close each backend has to come to eager code."""


def _compare(name: str, actual: Any, expected: Any, compare: Any) -> None:
    if isinstance(expected, tuple | list):
        assert type(actual) is type(expected), name
        for k, (a, b) in enumerate(zip(actual, expected, strict=True)):
            _compare(f"{name}[{k}]", a, b, compare)
    elif isinstance(expected, dict):
        assert list(actual) == list(expected), name
        for key, value in expected.items():
            _compare(f"{name}[{key!r}]", actual[key], value, compare)
    elif isinstance(expected, tg.Tensor):
        assert isinstance(actual, tg.Tensor), name
        assert actual.requires_grad in (expected.requires_grad, False), name
        compare(name, actual.numpy(), expected.numpy())
    elif isinstance(expected, np.ndarray | np.generic):
        assert isinstance(actual, np.ndarray | np.generic), name
        compare(name, np.asarray(actual), np.asarray(expected))
    else:
        assert type(actual) is type(expected), name
        assert actual == expected, name


def _equal(name: str, a: Any, b: Any) -> None:
    np.testing.assert_array_equal(a, b, err_msg=name, strict=True)


def _close(name: str, a: Any, b: Any) -> None:
    bound = 1e-4 if b.dtype == np.float32 else 1e-9
    scale = np.abs(b, where=np.isfinite(b), out=np.zeros_like(b)).max(initial=1)
    np.testing.assert_allclose(a, b, bound, bound * scale, err_msg=name, strict=True)


def called(eager: Callable[[], Any], compiled: Callable[[], Any]) -> tuple[Any, Any]:
    """Return what both return from the same random state, and compare the states after them."""
    before = generator.get_state()
    expected = eager()
    after = generator.get_state()
    generator.set_state(before)
    actual = compiled()
    same("random state", generator.get_state(), after)
    return actual, expected


@dataclass
class Training:
    """A model, its optimizer and its loss."""

    model: Any
    optimizer: Any
    loss: Any

    def tensors(self) -> Iterator[tuple[str, Any]]:
        """Yield every tensor that a step may change: parameters, gradients, state, buffers."""
        for name, p in self.model.named_parameters():
            yield name, p
            yield f"{name}.grad", p.grad
            for key, value in self.optimizer.state.get(p, {}).items():
                yield f"{name}.{key}", value
        yield from self.model.named_buffers()


def step(training: Training, x: Any, y: Any) -> Any:
    """Take one training step, and return the loss."""
    training.optimizer.zero_grad()
    return accumulate(training, x, y, update=True)


def accumulate(training: Training, x: Any, y: Any, *, update: bool = False) -> Any:
    """Add the gradients of a batch to those that are there, and return the loss."""
    loss = training.loss(training.model(x), y)
    loss.backward()
    if update:
        training.optimizer.step()
    return loss.detach()


class Twins:
    """An eager training and its twin, which is trained by the compiled step.

    Both are created from the same seed, and draw the same random numbers in each step.
    """

    def __init__(
        self, create: Callable[[], Training], function: Any = step, backend: str = "numpy"
    ) -> None:
        self.pair, self.seed = [], random.getrandbits(32)
        for _ in range(2):
            tg.manual_seed(self.seed)
            self.pair.append(create())
        self.eager, self.twin = self.pair
        self.function = function
        # compared in each call, which is more than the self-check does
        self.compiled = tg.compile(
            lambda *data: function(self.twin, *data), backend=backend, check=False
        )
        self.agree = AGREE[backend]

    def step(self, *data: Any) -> None:
        """Take a step with both, and compare the losses and all tensors."""
        self.run(lambda: self.function(self.eager, *data), lambda: self.compiled(*data))

    def epoch(self, order: Any, *data: Any) -> None:
        """Take the steps of `order` with both, and compare the losses and all tensors."""
        self.run(
            lambda: tg.stack([self.function(self.eager, *(x[k] for x in data)) for k in order]),
            lambda: self.compiled.epoch(order, *data),
        )

    def both(self, change: Callable[[Training], Any]) -> None:
        """Apply a change to both."""
        self.run(lambda: change(self.eager), lambda: change(self.twin), compare=False)

    def run(self, eager: Any, compiled: Any, *, compare: bool = True) -> None:
        """Call both with the same random state, and compare the results and all tensors."""
        name = f"seed {self.seed}: "
        actual, expected = called(eager, compiled)
        if compare:
            self.agree(name + "result", actual, expected)
            self.agree(name + "state", dict(self.twin.tensors()), dict(self.eager.tensors()))
