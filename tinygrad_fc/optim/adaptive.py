"""Adaptive optimizers: Adagrad, Adadelta, RMSprop, Rprop."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from tinygrad_fc.optim.adam import scaled_step, update_average, update_average_square
from tinygrad_fc.optim.optimizer import FRACTION, Elementwise, Range, Update, options_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tinygrad_fc.optim.optimizer import Group, Params

__all__ = ["Adadelta", "Adagrad", "RMSprop", "Rprop"]


class Adagrad(Elementwise):
    """Divides the gradient by the root of the sum of all squared gradients.

    With the gradient g, at step t: s = s + g^2, p = p - lr / (1 + (t - 1) * lr_decay) * g /
    (sqrt(s) + eps), where s starts at `initial_accumulator_value`, the same for all groups (Duchi
    et al., 2011). `weight_decay` d replaces g by g + d * p; `maximize` reverses the sign of g. The
    state exists before the first step, as in PyTorch.

    Raises `ValueError` if an option is negative or not finite, and as `Optimizer` does.

    >>> import tinygrad_fc as tg
    >>> w = tg.tensor([1.0, 2.0], requires_grad=True)
    >>> opt = tg.optim.Adagrad([w], lr=0.1)
    >>> (w * w).sum().backward()
    >>> opt.step()
    >>> w
    tensor([0.9, 1.9], requires_grad=True)
    """

    def __init__(
        self,
        params: Params,
        lr: float = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(params, options_of(locals()))
        for group in self.param_groups:
            for p in group["params"]:
                self._create_state(p, group)

    def rule(self, group: Group, scalars: dict[str, float]) -> Update:
        """Return Adagrad's rule."""
        rate = float(group["lr"]) / (1 + (scalars["step"] - 1) * float(group["lr_decay"]))
        initial = float(self.defaults["initial_accumulator_value"])
        return Update(_adagrad, {"sum": initial}, (float(group["eps"]), rate))


def _adagrad(g: Any, p: Any, s: Any, eps: Any, rate: Any) -> None:
    s += g * g
    p -= scaled_step(g, s, eps, rate)


class Adadelta(Elementwise):
    """Scales the gradient by the ratio of the RMS of past updates and of past gradients.

    With the gradient g: v = rho * v + (1 - rho) * g^2, delta = sqrt(u + eps) / sqrt(v + eps)
    * g, u = rho * u + (1 - rho) * delta^2, p = p - lr * delta (Zeiler, 2012, algorithm 1, where lr
    is 1).
    `weight_decay` d replaces g by g + d * p; `maximize` reverses the sign of g.

    Raises `ValueError` if an option is negative or not finite, or rho is above 1, and as
    `Optimizer` does.

    >>> import tinygrad_fc as tg
    >>> w = tg.tensor([1.0, 2.0], requires_grad=True)
    >>> opt = tg.optim.Adadelta([w], rho=0.75, eps=1.0)
    >>> (w * w).sum().backward()
    >>> opt.step()
    >>> w[0].item() == 1 - 2 / 2**0.5
    True
    """

    ranges: ClassVar[Mapping[str, Range]] = {**Elementwise.ranges, "rho": FRACTION}

    def __init__(
        self,
        params: Params,
        lr: float = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(params, options_of(locals()))

    def rule(self, group: Group, scalars: dict[str, float]) -> Update:  # noqa: ARG002  the same at each step
        """Return Adadelta's rule."""
        lr, rho, eps = (float(group[key]) for key in ("lr", "rho", "eps"))
        return Update(_adadelta, {"square_avg": 0.0, "acc_delta": 0.0}, (rho, 1 - rho, eps, lr))


def _adadelta(g: Any, p: Any, v: Any, u: Any, rho: Any, rest: Any, eps: Any, lr: Any) -> None:
    update_average_square(v, g, rho, rest)
    d = np.sqrt(u + eps) / np.sqrt(v + eps) * g
    update_average_square(u, d, rho, rest)
    p -= lr * d


class RMSprop(Elementwise):
    """Divides the gradient by the root of a running average of its square.

    With the gradient g: v = alpha * v + (1 - alpha) * g^2, p = p - lr * g / (sqrt(v) + eps)
    (Tieleman and Hinton, 2012). If `centered`, v - a^2 replaces v in the root, where a is a
    running average of g: an estimate of the variance (Graves, 2013). With `momentum` m,
    b = m * b + g / (sqrt(v) + eps), and p = p - lr * b. `weight_decay` d replaces g by g + d * p;
    `maximize` reverses the sign of g.

    Raises `ValueError` if an option is negative or not finite, or alpha is above 1, and as
    `Optimizer` does.

    >>> import tinygrad_fc as tg
    >>> w = tg.tensor([1.0, 2.0], requires_grad=True)
    >>> opt = tg.optim.RMSprop([w], lr=0.1, alpha=0.75)
    >>> (w * w).sum().backward()
    >>> opt.step()
    >>> w
    tensor([0.8, 1.8], requires_grad=True)
    """

    ranges: ClassVar[Mapping[str, Range]] = {**Elementwise.ranges, "alpha": FRACTION}

    def __init__(
        self,
        params: Params,
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        maximize: bool = False,
    ) -> None:
        super().__init__(params, options_of(locals()))

    def rule(self, group: Group, scalars: dict[str, float]) -> Update:  # noqa: ARG002  the same at each step
        """Return RMSprop's rule."""
        lr, alpha, eps, momentum = (float(group[key]) for key in ("lr", "alpha", "eps", "momentum"))
        with_momentum, centered = bool(momentum), group["centered"]
        names = ["square_avg", *["momentum_buffer"] * with_momentum, *["grad_avg"] * centered]

        def update(g: Any, p: Any, v: Any, *others: Any) -> None:
            *state, alpha, rest, eps, lr, m = others
            update_average_square(v, g, alpha, rest)
            variance = v
            if centered:
                a = state[-1]
                update_average(a, g, alpha, rest)
                # Rounding can make v - a * a negative for equal gradients.
                variance = np.maximum(v - a * a, 0)
            if with_momentum:
                b = state[0]
                b *= m
                b += scaled_step(g, variance, eps, 1)
                p -= lr * b
            else:
                p -= scaled_step(g, variance, eps, lr)

        numbers = (alpha, 1 - alpha, eps, lr, momentum)
        return Update(update, dict.fromkeys(names, 0.0), numbers)


class Rprop(Elementwise):
    """Resilient propagation: steps by the sign of the gradient, with a step size per element.

    If the gradient g has the same sign as the previous one, the step size s is multiplied by
    etas[1]. If the sign has changed, s is multiplied by etas[0], and g is set to 0, for this step
    and in the comparison of the next. s starts at `lr` and stays within `step_sizes`;
    p = p - s * sign(g) (Riedmiller and Braun, 1993; without backtracking, as in Igel and Hüsken,
    2003). Use full-batch gradients: the signs of mini-batch gradients are noise. `maximize`
    reverses the sign of g.

    Raises `ValueError` if lr is negative or not finite, or unless 0 < etas[0] < 1 < etas[1] and
    0 <= step_sizes[0] <= step_sizes[1], and as `Optimizer` does.

    >>> import tinygrad_fc as tg
    >>> w = tg.tensor([1.0, 2.0], requires_grad=True)
    >>> opt = tg.optim.Rprop([w], lr=0.1)
    >>> (w * w).sum().backward()
    >>> opt.step()
    >>> w
    tensor([0.9, 1.9], requires_grad=True)
    """

    ranges: ClassVar[Mapping[str, Range]] = {
        **Elementwise.ranges,
        "etas": Range(
            lambda v: len(v) == 2 and 0 < v[0] < 1 < v[1] < math.inf,
            "two numbers, the first between 0 and 1, the second above 1",
        ),
        "step_sizes": Range(
            lambda v: len(v) == 2 and 0 <= v[0] <= v[1],
            "two numbers, at least 0 and the second at least the first",
        ),
    }

    def __init__(
        self,
        params: Params,
        lr: float = 1e-2,
        etas: tuple[float, float] = (0.5, 1.2),
        step_sizes: tuple[float, float] = (1e-6, 50),
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(params, options_of(locals()))

    def rule(self, group: Group, scalars: dict[str, float]) -> Update:  # noqa: ARG002  the same at each step
        """Return Rprop's rule."""
        numbers = (*map(float, group["etas"]), *map(float, group["step_sizes"]))
        return Update(_rprop, {"prev": 0.0, "step_size": float(group["lr"])}, numbers)


def _rprop(
    g: Any, p: Any, previous: Any, s: Any, shrink: Any, grow: Any, lower: Any, upper: Any
) -> None:
    agreement = g * previous
    factor = np.where(agreement > 0, grow, np.where(agreement < 0, shrink, 1))
    s *= factor.astype(s.dtype, copy=False)
    s[...] = np.minimum(np.maximum(s, lower), upper)
    previous[...] = np.where(agreement < 0, 0, g)
    p -= s * np.sign(previous)
