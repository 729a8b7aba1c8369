"""The document's network, with derivatives derived by hand: the test oracle of this package.

Lines cite the number of their formula in the document. The network computes sample by sample, as
the document does, without tensors or graphs, so that it shares no code with the rest of the
package.

Formulas count layers from 0, the input, to L, the output. The input has no parameters, so
`weights[l - 1]` holds ω^(l), `biases[l - 1]` holds θ^(l) and `zs[l - 1]` z^(l), but `ys[l]` y^(l).
"""

import sys
from collections.abc import Callable, Iterable, Sequence
from operator import index
from typing import SupportsIndex, TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = ["NeuralNetwork", "cost_derivative", "print_epoch", "sigmoid", "sigmoid_derivative"]

Array: TypeAlias = npt.NDArray[np.float64]
Sample: TypeAlias = tuple[Array, Array]


def sigmoid(z: npt.ArrayLike) -> Array:
    """Return 1 / (1 + exp(-z)), in (0, 1): the document's Act of formula (2).

    `z` has any shape, and the result is float64 of the same shape. No finite `z` warns, and the
    result is accurate to all digits down to z = -708, where it ceases to be a normal number.

    >>> sigmoid([0.0, 1e4])
    array([0.5, 1. ])
    """
    # exp overflows above 709.79, where the quotient is no normal number anyway.
    return np.asarray(1 / (1 + np.exp(np.minimum(-np.asarray(z, np.float64), 709.0))))


def sigmoid_derivative(z: npt.ArrayLike) -> Array:
    """Return the derivative sigmoid(z) (1 - sigmoid(z)) of `sigmoid`: Act' of formula (9).

    `z` has any shape, and the result, in (0, 1/4], the same shape. Near a sigmoid of 1, the
    difference loses digits: the error is one rounding of 1, not of the derivative.

    >>> sigmoid_derivative([0.0, 1e4])
    array([0.25, 0.  ])
    """
    y = sigmoid(z)
    return np.asarray(y * (1 - y))


def cost_derivative(y: Array, target: Array) -> Array:
    """Return 2 (y - target), formula (8): the gradient of the squared distance, formula (5).

    `y`, `target` and the result are columns (n_L, 1).

    >>> cost_derivative(np.array([[0.75]]), np.array([[0.25]]))
    array([[1.]])
    """
    return 2 * (y - target)


def print_epoch(epoch: int, epochs: int) -> None:
    """Print the line that `NeuralNetwork.SGD` shows after every epoch.

    >>> print_epoch(1, 30)
    epoch 1 of 30
    """
    sys.stdout.write(f"epoch {epoch} of {epochs}\n")


class NeuralNetwork:
    """A fully connected network trained by the document's formulas (4) and (13) to (38).

    `sizes` lists the neurons of every layer, n_0 inputs first and n_L outputs last. The weights
    of layer l are (n_l, n_(l-1)) and its biases (n_l, 1), drawn from the standard normal
    distribution by `rng`, a seed or a Generator, which also shuffles the samples.
    `act` and `act_derivative` map an array of pre-activations z to one of its shape;
    `cost_derivative(y, target)` is the gradient of one sample's cost for its outputs.

    Raises ValueError for fewer than two layers, a size below 1, and an activation without its
    derivative, TypeError for a size that is not an integer.

    >>> network = NeuralNetwork([1, 8, 5, 3, 1], rng=0)
    >>> [w.shape for w in network.weights]
    [(8, 1), (5, 8), (3, 5), (1, 3)]
    """

    def __init__(
        self,
        sizes: Sequence[int],
        act: Callable[[Array], Array] = sigmoid,
        act_derivative: Callable[[Array], Array] = sigmoid_derivative,
        cost_derivative: Callable[[Array, Array], Array] = cost_derivative,
        rng: np.random.Generator | int | None = None,
    ) -> None:
        self.sizes = [_checked_count(n, f"sizes[{i}]", 1) for i, n in enumerate(sizes)]
        if len(self.sizes) < 2:
            raise ValueError(f"sizes must name at least two layers, got {sizes}; add the outputs")
        # One default beside one function of the user would give a wrong gradient, and no error.
        if (act is sigmoid) != (act_derivative is sigmoid_derivative):
            raise ValueError("got one of act and act_derivative, expected both; pass the other too")
        self.act = act
        self.act_derivative = act_derivative
        self.cost_derivative = cost_derivative
        self.rng = np.random.default_rng(rng)
        shapes = list(zip(self.sizes[1:], self.sizes[:-1], strict=True))
        self.weights: list[Array] = [self.rng.standard_normal(shape) for shape in shapes]
        self.biases: list[Array] = [self.rng.standard_normal((n, 1)) for n, _ in shapes]

    def feedforward(self, a: npt.ArrayLike) -> Array:
        """Return the outputs of the network, layer by layer: formula (4).

        `a` holds samples as columns (n_0, m) and the result their outputs (n_L, m).
        Raises TypeError or ValueError if `a` has another height, or is not real and finite.

        >>> network = NeuralNetwork([2, 1])
        >>> network.weights, network.biases = [np.array([[1.0, -1.0]])], [np.array([[0.0]])]
        >>> network.feedforward([[3.0, 1e4], [3.0, 0.0]])
        array([[0.5, 1. ]])
        """
        return self._forward(_checked_columns(a, self.sizes[0], "a", "sizes[0]"))[1][-1]

    def backprop(self, x: npt.ArrayLike, y: npt.ArrayLike) -> tuple[list[Array], list[Array]]:
        """Return the derivatives of one sample's cost by every parameter: formulas (13) to (38).

        `x` is a column (n_0, 1), and `y`, the expected output, a column (n_L, 1). Returns
        `(weight_gradients, bias_gradients)`, two lists with the shapes of `weights` and `biases`.
        Raises TypeError or ValueError if `x` or `y` has another shape, or is not real and finite.

        >>> network = NeuralNetwork([2, 1])
        >>> network.weights, network.biases = [np.array([[2.0, -1.0]])], [np.array([[0.0]])]
        >>> network.backprop([[2.0], [4.0]], [[0.0]])
        ([array([[0.5, 1. ]])], [array([[0.25]])])
        """
        return self._derivatives(*self._checked_sample(x, y, ""))

    def update_batch(
        self, batch: Iterable[tuple[npt.ArrayLike, npt.ArrayLike]], learning_rate: float
    ) -> None:
        """Move every parameter against the gradient of formula (6), once.

        `batch` holds pairs (x, y) of columns (n_0, 1) and (n_L, 1). Raises TypeError or ValueError
        if the batch is empty, a sample does not fit or is not finite, or the learning rate is not a
        finite number of at least 0, and FloatingPointError if the step overflows; then the network
        is unchanged.

        >>> network = NeuralNetwork([2, 1])
        >>> network.weights, network.biases = [np.array([[2.0, -1.0]])], [np.array([[0.0]])]
        >>> network.update_batch([([[2.0], [4.0]], [[0.0]])], learning_rate=1.0)
        >>> network.weights, network.biases
        ([array([[ 1.5, -2. ]])], [array([[-0.25]])])
        """
        rate = _checked_rate(learning_rate)
        self._step(self._checked_samples(batch, "batch"), rate)

    def SGD(  # noqa: N802 - the document's name
        self,
        training_data: Iterable[tuple[npt.ArrayLike, npt.ArrayLike]],
        epochs: int,
        batch_size: int,
        learning_rate: float,
        progress: Callable[[int, int], object] | None = print_epoch,
    ) -> None:
        """Train by stochastic gradient descent (section 3): shuffle, split into batches, update.

        `training_data` holds pairs (x, y) of columns (n_0, 1) and (n_L, 1); its order does not
        change. The last batch of an epoch may be shorter, and is divided by its own length.
        `progress(epoch, epochs)` is called after every epoch; None prints nothing.
        Raises the errors of `update_batch`, TypeError or ValueError for a `batch_size` below 1 or
        `epochs` below 0, before the first step.

        >>> network = NeuralNetwork([1, 2, 1], rng=0)
        >>> network.SGD([([[0.0]], [[0.5]])], epochs=2, batch_size=40, learning_rate=0.1)
        epoch 1 of 2
        epoch 2 of 2
        """
        epochs = _checked_count(epochs, "epochs", 0)
        batch_size = _checked_count(batch_size, "batch_size", 1)
        rate = _checked_rate(learning_rate)
        samples = self._checked_samples(training_data, "training_data")
        for epoch in range(1, epochs + 1):
            order = self.rng.permutation(len(samples))
            for start in range(0, len(samples), batch_size):
                self._step([samples[i] for i in order[start : start + batch_size]], rate)
            if progress is not None:
                progress(epoch, epochs)

    def _forward(self, a: Array) -> tuple[list[Array], list[Array]]:
        zs: list[Array] = []
        ys = [a]
        for weight, bias in zip(self.weights, self.biases, strict=True):
            zs.append(weight @ ys[-1] + bias)  # formula (3)
            ys.append(self.act(zs[-1]))  # formula (2)
        return zs, ys

    def _derivatives(self, x: Array, target: Array) -> tuple[list[Array], list[Array]]:
        zs, ys = self._forward(x)
        d = self.cost_derivative(ys[-1], target) * self.act_derivative(zs[-1])  # formula (13)
        bias_gradients = [d]  # formula (17)
        weight_gradients = [d @ ys[-2].T]  # formula (14)
        for layer in range(len(self.weights) - 1, 0, -1):
            d = (self.weights[layer].T @ d) * self.act_derivative(zs[layer - 1])  # formula (36)
            bias_gradients.append(d)  # formula (38)
            weight_gradients.append(d @ ys[layer - 1].T)  # formula (37)
        return weight_gradients[::-1], bias_gradients[::-1]

    def _step(self, samples: list[Sample], learning_rate: float) -> None:
        parameters = self.weights + self.biases
        sums = [np.zeros(parameter.shape) for parameter in parameters]
        for x, target in samples:
            weight_gradients, bias_gradients = self._derivatives(x, target)
            gradients = weight_gradients + bias_gradients
            sums = [total + g for total, g in zip(sums, gradients, strict=True)]  # formula (6)
        scale = learning_rate / len(samples)  # formula (6), its 1/bn
        updated = [p - scale * total for p, total in zip(parameters, sums, strict=True)]
        if not all(np.isfinite(parameter).all() for parameter in updated):
            raise FloatingPointError(
                f"a step with learning_rate={learning_rate} gives parameters that are not finite, "
                "so it was not taken; pass a smaller learning_rate, or scale the samples down"
            )
        layers = len(self.weights)
        self.weights, self.biases = updated[:layers], updated[layers:]

    def _checked_samples(
        self, samples: Iterable[tuple[npt.ArrayLike, npt.ArrayLike]], name: str
    ) -> list[Sample]:
        pairs = list(samples)
        if not pairs:
            raise ValueError(
                f"{name} must hold at least one pair (x, y), got none; check how it was selected"
            )
        return [self._checked_sample(x, y, f" of {name}[{i}]") for i, (x, y) in enumerate(pairs)]

    def _checked_sample(self, x: npt.ArrayLike, y: npt.ArrayLike, suffix: str) -> Sample:
        last = len(self.sizes) - 1
        return (
            _checked_columns(x, self.sizes[0], f"x{suffix}", "sizes[0]", one=True),
            _checked_columns(y, self.sizes[last], f"y{suffix}", f"sizes[{last}]", one=True),
        )


def _checked_columns(
    values: npt.ArrayLike, rows: int, name: str, size: str, *, one: bool = False
) -> Array:
    array = np.asarray(values, np.float64)
    if array.ndim != 2 or array.shape[0] != rows or (one and array.shape[1] != 1):
        expected = f"({rows}, 1)" if one else f"({rows}, m) with a sample in every column"
        raise ValueError(
            f"{name} must have shape {expected}, as {size} is {rows}, got {array.shape}; reshape "
            "or transpose it"
        )
    if not np.isfinite(array).all():
        raise ValueError(
            f"{name} must be finite, got {array.tolist()!r:.60}; leave that sample out"
        )
    return array


def _checked_count(value: SupportsIndex, name: str, minimum: int) -> int:
    if index(value) < minimum:
        raise ValueError(f"{name} must be at least {minimum}, got {value}; pass a larger one")
    return index(value)


def _checked_rate(value: float) -> float:
    if not 0 <= value < np.inf:
        raise ValueError(f"learning_rate must be finite and at least 0, got {value}; pass 0.1")
    return float(value)
