"""Two equal models, one trained by a function and one by its compiled form."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

import tinygrad_fc as tg
from tinygrad_fc.random import default_generator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@dataclass
class Training:
    """The state of a training."""

    model: Any
    optimizer: Any
    loss: Any
    accumulate: int = 1
    done: int = 0

    def __call__(self, x: Any, y: Any) -> Any:
        loss = self.loss(self.model(x), y)
        loss.backward()
        self.optimizer.step()
        return loss.detach()

    def tensors(self) -> Iterator[tuple[str, Any]]:
        """Yield all tensors that a step may change."""
        for name, p in self.model.named_parameters():
            yield name, p
            yield f"grad of {name}", p.grad
            for key, value in self.optimizer.state.get(p, {}).items():
                yield f"{key} of {name}", value
        yield from self.model.named_buffers()


def step(training: Training, x: Any, y: Any) -> Any:
    """Take one training step."""
    training.optimizer.zero_grad()
    return training(x, y)


class Twins:
    """Two equal trainings; the steps of the second are compiled."""

    def __init__(
        self, make: Callable[[], Training], function: Any = step, backend: str = "numpy"
    ) -> None:
        self.pair = []
        for _ in range(2):
            tg.manual_seed(0)
            self.pair.append(make())
        self.function = function
        self.compiled = tg.compile(function, backend=backend)

    def step(self, *data: Any) -> None:
        """Take a step with both, and compare results, random numbers and tensors."""
        before = default_generator.get_state()
        expected = self.function(self.pair[0], *data)
        after = default_generator.get_state()
        default_generator.set_state(before)
        result = self.compiled(self.pair[1], *data)
        same("random numbers", default_generator.get_state(), after)
        same("result", result, expected)
        self.compare()

    def both(self, change: Callable[[Training], Any]) -> None:
        """Apply `change` to both, with the same random numbers."""
        before = default_generator.get_state()
        for training in self.pair:
            default_generator.set_state(before)
            change(training)

    def compare(self) -> None:
        """Compare the tensors that a step may change."""
        one, other = (dict(training.tensors()) for training in self.pair)
        assert one.keys() == other.keys()
        for name, tensor in one.items():
            same(name, other[name], tensor)


def same(name: str, actual: Any, expected: Any) -> None:
    """Assert that values are equal bit by bit, except for the signs of NaN."""
    if isinstance(expected, tuple | list):
        assert type(actual) is type(expected)
        assert len(actual) == len(expected)
        for a, b in zip(actual, expected, strict=True):
            same(name, a, b)
    elif isinstance(expected, tg.Tensor):
        assert isinstance(actual, tg.Tensor), name
        assert actual.requires_grad == expected.requires_grad, name
        assert actual.dtype == expected.dtype, name
        np.testing.assert_array_equal(actual.numpy(), expected.numpy(), err_msg=name, strict=True)
    elif isinstance(expected, np.ndarray | np.generic):
        np.testing.assert_array_equal(actual, expected, err_msg=name)
    else:
        assert actual == expected, name


def state_of(training: Training) -> Any:
    return copy.deepcopy(training.model.state_dict())
