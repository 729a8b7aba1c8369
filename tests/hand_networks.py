"""Random networks, their gradients by hand, and a tolerance for each of them.

Two correct programs round in different orders. How far they differ depends on the network: where a
unit saturates, the 1 - y of its derivative loses digits, and deep networks with large weights
magnify an ulp. So the formulas of the document are evaluated in three ways: as they are; in
absolute values, for the size of the terms of a gradient; and with every sum (3) and every
activation (2) perturbed by one ulp, up or down at random.

A gradient is one vector here: the weights of layer 1, 2, ..., then the biases. Complex parameters
p + i H v carry a direction v: imaginary parts are H times derivatives along it, those of a gradient
H times the product of the Hessian and v.
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_fc as tg
from tinygrad_fc import Tensor, nn
from tinygrad_fc.domain import real
from tinygrad_fc.handderived import NeuralNetwork, sigmoid, sigmoid_derivative

Array = np.ndarray[Any, Any]

batch_cost = nn.MSELoss(reduction="batchmean")  # formula (6)
EPS = float(np.finfo(np.float64).eps)
NORMAL = float(np.finfo(np.float64).smallest_normal)
"""Smaller numbers have no relative precision; this absolute error is allowed."""
H = 2.0**-100
"""A step whose square is negligible beside 1."""
RUNS = 16
"""Number of perturbed evaluations."""
SCALES = (0.1, 0.5, 1.0, 2.0, 5.0, 20.0)
"""Scales of weights and of inputs, from linear to saturated units."""


def _algebraic(z: Any) -> Any:
    return z / np.sqrt(1 + z * z)


algebraic = tg.op(
    _algebraic, domain=(real,), rules=(lambda g, out, x: g / ((1 + x * x) * np.sqrt(1 + x * x)),)
)
"""An activation that the package lacks, registered as users do."""


class Algebraic(nn.Module):
    def forward(self, z: Tensor) -> Tensor:
        return algebraic(z)


class Activation(NamedTuple):
    """An activation for arrays, tensors and models."""

    act: Callable[[Any], Any]
    """Formula (2), for real arrays."""
    slope: Callable[[Any, Any], Any]
    """Formula (9), of z and y, for real and complex arrays."""
    derivative: Callable[[Any], Any]
    """Formula (9), of z alone, for real arrays."""
    recorded: Callable[[Any], Any]
    layer: type[nn.Module]

    def __repr__(self) -> str:
        return self.layer.__name__

    def along(self, z: Array, y: Array) -> Array:
        """Return `y`, act of the real part of z, with the direction that z carries."""
        return y + 1j * (self.slope(z.real, y) * z.imag) if np.iscomplexobj(z) else y


ACTIVATIONS = (
    Activation(sigmoid, lambda z, y: y * (1 - y), sigmoid_derivative, tg.sigmoid, nn.Sigmoid),
    Activation(np.tanh, lambda z, y: 1 - y * y, lambda z: 1 - np.tanh(z) ** 2, tg.tanh, nn.Tanh),
    Activation(
        _algebraic,
        lambda z, y: (1 + z * z) ** -1.5,
        lambda z: (1 + z * z) ** -1.5,
        algebraic,
        Algebraic,
    ),
)


def sequential(
    weights: list[Array], biases: list[Array], activation: type[nn.Module]
) -> nn.Sequential:
    """Return linear layers of copies of weights and biases, each followed by an activation."""
    layers: list[nn.Module] = []
    for weight, bias in zip(weights, biases, strict=True):
        linear = nn.Linear(weight.shape[1], weight.shape[0], dtype=weight.dtype)
        linear.weight.data, linear.bias.data = tg.tensor(weight), tg.tensor(bias)
        layers += [linear, activation()]
    return nn.Sequential(*layers)


class Case(NamedTuple):
    """A network of the document, and a batch: inputs (N, n_0) and targets (N, n_L)."""

    network: NeuralNetwork
    activation: Activation
    x: Array
    target: Array

    def __repr__(self) -> str:
        return f"Case({self.network.sizes}, {self.activation}, batch of {len(self.x)})"

    def samples(self) -> list[tuple[Array, Array]]:
        """Return the batch as pairs of columns, as in the document."""
        return [(x[:, None], y[:, None]) for x, y in zip(self.x, self.target, strict=True)]

    def model(self) -> nn.Sequential:
        """Return the same network as a `Sequential`."""
        biases = [bias[:, 0] for bias in self.network.biases]
        return sequential(self.network.weights, biases, self.activation.layer)

    def along(self, direction: Array) -> NeuralNetwork:
        """Return the network with complex parameters that carry a direction."""

        def act(z: Array) -> Array:
            return self.activation.along(z, self.activation.act(z.real))

        def derivative(z: Array) -> Array:
            return self.activation.slope(z, act(z))

        network = NeuralNetwork(self.network.sizes, act, derivative, rng=0)
        parts = iter(unflat(direction, self.network))
        network.weights = [w + 1j * H * next(parts) for w in self.network.weights]
        network.biases = [b + 1j * H * next(parts)[:, None] for b in self.network.biases]
        return network


def parameters(model: nn.Sequential) -> list[Any]:
    """Return weights, then biases, in the order of a gradient."""
    return [layer.weight for layer in model[::2]] + [layer.bias for layer in model[::2]]


def parameters_of(network: NeuralNetwork) -> Array:
    """Return the weights and biases of a network of the document as one vector."""
    return flat([*network.weights, *network.biases])


def forward(case: Case) -> tuple[list[Tensor], list[Tensor]]:
    """Return z^(1), z^(2), … and y^(0), y^(1), … of a batch, layer by layer."""
    zs, ys = [], [tg.tensor(case.x)]
    layers = list(case.model())
    for linear, activation in zip(layers[::2], layers[1::2], strict=True):
        zs.append(linear(ys[-1]))  # formula (3)
        zs[-1].retain_grad()
        ys.append(activation(zs[-1]))  # formula (2)
    return zs, ys


def slopes_at(case: Case, zs: list[Tensor], ys: list[Tensor]) -> list[Array]:
    """Return formula (9) at the values that `forward` returns."""
    pairs = zip(zs, ys[1:], strict=True)
    return [case.activation.slope(z.detach().numpy(), y.detach().numpy()) for z, y in pairs]


@st.composite
def cases(draw: st.DrawFn, activation: Activation, scales: Sequence[float] = SCALES) -> Case:
    """Draw 1 to 6 layers of 1 to 16 units, and a batch of 1 to 32 samples."""
    sizes = draw(st.lists(st.integers(1, 16), min_size=2, max_size=7))
    weight_scale, input_scale = draw(st.sampled_from(scales)), draw(st.sampled_from(scales))
    count = draw(st.integers(1, 32))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    network = NeuralNetwork(sizes, activation.act, activation.derivative, rng=rng)
    network.weights = [weight_scale * w for w in network.weights]
    network.biases = [weight_scale * b for b in network.biases]
    x = input_scale * rng.standard_normal((count, sizes[0]))
    return Case(network, activation, x, rng.uniform(-1, 1, (count, sizes[-1])))


def for_all_cases(
    check: Callable[..., None],
    activation: Activation,
    *,
    scales: Sequence[float] = SCALES,
    options: dict[str, Any] | None = None,
    **others: st.SearchStrategy[Any],
) -> None:
    """Run `check` on random cases with `activation`."""

    @settings(**options or {})
    @given(st.fixed_dictionaries({"case": cases(activation, scales), **others}))
    def run(drawn: dict[str, Any]) -> None:
        check(**drawn)

    run()


def flat(arrays: Iterable[Any]) -> Array:
    """Return gradients of all weights, then of all biases, as one vector."""
    return np.concatenate([np.asarray(a).ravel() for a in arrays])


def unflat(vector: Array, network: NeuralNetwork) -> list[Array]:
    """Return the parts of a gradient, shaped as weights (n_l, n_(l-1)) and biases (n_l,)."""
    shapes = [w.shape for w in network.weights] + [(len(b),) for b in network.biases]
    parts = np.split(vector, np.cumsum([np.prod(shape) for shape in shapes[:-1]]))
    return [part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)]


def by_hand(case: Case) -> Array:
    """Return the gradient of each sample by the program of the document, (N, P)."""
    return np.array([flat(chain(*case.network.backprop(*sample))) for sample in case.samples()])


def hessian_by_hand(case: Case, direction: Array) -> Array:
    """Return the Hessian of each sample times `direction`, (N, P): the derivative of `by_hand`."""
    network = case.along(direction)
    return by_hand(case._replace(network=network)).imag / H


def tolerance(case: Case, *, mean: bool = False, direction: Array | None = None) -> Array:
    """Return the largest difference of two correct gradients, (N, P); for their `mean`, (P,).

    It is 1e-12 of the absolute terms of a gradient, plus the effect of perturbations by an ulp for
    each of the two. With a `direction`, it is for the Hessian times it.
    """
    network = case.network if direction is None else case.along(direction)

    def part(gradients: Array) -> Array:
        chosen = gradients if direction is None else gradients.imag / H
        return chosen.mean(axis=-2) if mean else chosen

    perturbed = part(by_batch(case, network, rng=np.random.default_rng(0)))
    effect = abs(perturbed - part(by_batch(case, network))).max(axis=0)
    floor = NORMAL if direction is None else NORMAL / H
    return 1e-12 * part(by_batch(case, network, sizes=True)) + 2 * effect + floor


def by_batch(
    case: Case,
    network: NeuralNetwork | None = None,
    *,
    rng: np.random.Generator | None = None,
    sizes: bool = False,
) -> Array:
    """Return the gradients by the formulas of the document, for all samples at once, (N, P).

    With `rng`, values are perturbed, RUNS times: (RUNS, N, P). With `sizes`, in absolute values.
    """
    network = network or case.network
    ys = [case.x if rng is None else np.broadcast_to(case.x, (RUNS, *case.x.shape))]
    slopes = []
    for weight, bias in zip(network.weights, network.biases, strict=True):
        z = ys[-1] @ weight.T + bias.T  # formula (3)
        if rng is not None:
            z = _perturbed(z, _absolute(ys[-1]) @ _absolute(weight.T) + _absolute(bias.T), rng)
        y = case.activation.act(z.real)  # formula (2)
        if rng is not None:
            y = _perturbed(y, y, rng)
        ys.append(case.activation.along(z, y))
        slopes.append(case.activation.slope(z, ys[-1]))  # formula (9)
    weights, error = network.weights, ys[-1] - case.target
    if sizes:
        error = _absolute(ys[-1]) + abs(case.target)
        weights, ys, slopes = ([_absolute(a) for a in arrays] for arrays in (weights, ys, slopes))
    d = 2 * error * slopes[-1]  # formula (13)
    of_weights, of_biases = [], []
    for layer in range(len(weights) - 1, -1, -1):
        of_weights.insert(0, d[..., :, None] * ys[layer][..., None, :])  # formulas (14) and (37)
        of_biases.insert(0, d)  # formulas (17) and (38)
        if layer:
            d = (d @ weights[layer]) * slopes[layer - 1]  # formula (36)
    parts = [a.reshape(*ys[0].shape[:-1], -1) for a in of_weights + of_biases]
    return np.concatenate(parts, axis=-1)


def _absolute(a: Array) -> Array:
    return abs(a.real) + 1j * abs(a.imag) if np.iscomplexobj(a) else abs(a)


def _perturbed(a: Array, terms: Array, rng: np.random.Generator) -> Array:
    """Return `a` plus or minus an ulp of `terms`, the absolute terms of the sum `a`."""
    if np.iscomplexobj(a):
        return _perturbed(a.real, terms.real, rng) + 1j * _perturbed(a.imag, terms.imag, rng)
    ulp = np.maximum(np.spacing(abs(terms)), NORMAL)
    return a + np.where(rng.random(a.shape) < 0.5, ulp, -ulp)


def assert_close(case: Case, actual: Array, expected: Array, limit: Array) -> None:
    """Assert that gradients, one or one per sample, differ by at most `limit`."""
    excess = abs(actual - expected) - limit
    assert (excess <= 0).all(), f"{case}: {excess.max():.1e} more than rounding explains"
