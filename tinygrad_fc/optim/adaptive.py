"""Adaptive optimizers: Adagrad, Adadelta, RMSprop, and Adam with its variants."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from tinygrad_fc.core.node import number_of
from tinygrad_fc.optim.elementwise import Elementwise, Update
from tinygrad_fc.optim.optimizer import FRACTION, Range, options_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tinygrad_fc.optim.optimizer import Group, Params

__all__ = [
    "Adadelta", "Adagrad", "Adam", "AdamW", "Adamax", "NAdam", "RAdam", "RMSprop",
]  # fmt: skip


def update_average(m: Any, x: Any, beta: Any, rest: Any) -> None:
    """Update the running average: m = beta * m + (1 - beta) * x; `rest` is 1 - beta."""
    m *= beta
    m += rest * x


def update_average_square(v: Any, g: Any, beta: Any, rest: Any) -> None:
    """Update the running average: v = beta * v + (1 - beta) * g^2; `rest` is 1 - beta."""
    square = g * g
    square *= rest
    v *= beta
    v += square


def scaled_step(m: Any, v: Any, eps: Any, rate: Any) -> Any:
    """Return rate * m / (sqrt(v) + eps), with two temporary arrays in place of four."""
    denominator = np.sqrt(v)
    denominator += eps
    update = rate * m
    update /= denominator
    return update


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
        rate = number_of(group["lr"]) / (1 + (scalars["step"] - 1) * number_of(group["lr_decay"]))
        initial = number_of(self.defaults["initial_accumulator_value"])
        return Update(_adagrad, {"sum": initial}, (number_of(group["eps"]), rate))


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
        lr, rho, eps = (number_of(group[key]) for key in ("lr", "rho", "eps"))
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
        lr, alpha, eps, momentum = (
            number_of(group[key]) for key in ("lr", "alpha", "eps", "momentum")
        )
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


MOMENTS = {"exp_avg": 0.0, "exp_avg_sq": 0.0}
"""State of Adam, AdamW, NAdam and RAdam: m and v, averages of the gradient and its square."""


def update_moments(g: Any, m: Any, v: Any, beta1: Any, rest1: Any, beta2: Any, rest2: Any) -> None:
    """Update the running averages of the gradient and of its square."""
    update_average(m, g, beta1, rest1)
    update_average_square(v, g, beta2, rest2)


class Adam(Elementwise):
    """Adam: divides the average gradient by the root of the average squared gradient.

    At step t, with the gradient g: m = beta1 * m + (1 - beta1) * g, v = beta2 * v +
    (1 - beta2) * g^2, p = p - lr * m' / (sqrt(v') + eps), with m' = m / (1 - beta1^t) and
    v' = v / (1 - beta2^t), which corrects the bias of the initial zeros (Kingma and Ba, 2015,
    algorithm 1). With `amsgrad`, the largest v so far replaces v (Reddi et al., 2018).
    `weight_decay` d replaces g by g + d * p, or acts as in `AdamW` if `decoupled_weight_decay`.
    `maximize` reverses the sign of g.

    Raises `ValueError` if lr, eps or weight_decay is negative or not finite, or a beta is not
    at least 0 and below 1, and as `Optimizer` does.

    >>> import tinygrad_fc as tg
    >>> w = tg.tensor([1.0, 2.0], requires_grad=True)
    >>> opt = tg.optim.Adam([w], lr=0.1)
    >>> (w * w).sum().backward()
    >>> opt.step()
    >>> w
    tensor([0.9, 1.9], requires_grad=True)
    """

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        decoupled_weight_decay: bool = False,
    ) -> None:
        super().__init__(params, options_of(locals()))

    def rule(self, group: Group, scalars: dict[str, float]) -> Update:
        """Return Adam's rule; the bias correction of v is folded into eps and the step size."""
        step, (beta1, beta2) = scalars["step"], map(number_of, group["betas"])
        correction = (1 - beta2**step) ** 0.5
        rate = number_of(group["lr"]) * correction / (1 - beta1**step)
        eps = number_of(group["eps"]) * correction
        numbers = (eps, rate, beta1, 1 - beta1, beta2, 1 - beta2)
        if group["amsgrad"]:
            return Update(_amsgrad, {**MOMENTS, "max_exp_avg_sq": 0.0}, numbers)
        return Update(_adam, MOMENTS, numbers)


def _adam(g: Any, p: Any, m: Any, v: Any, eps: Any, rate: Any, *betas: Any) -> None:
    update_moments(g, m, v, *betas)
    p -= scaled_step(m, v, eps, rate)


def _amsgrad(g: Any, p: Any, m: Any, v: Any, max_v: Any, eps: Any, rate: Any, *betas: Any) -> None:
    update_moments(g, m, v, *betas)
    max_v[...] = np.maximum(max_v, v)
    p -= scaled_step(m, max_v, eps, rate)


class AdamW(Adam):
    """Adam with decoupled weight decay: p = p - lr * weight_decay * p precedes the step.

    In `Adam`, the decay is part of the gradient, and so it is divided by the root of the average
    squared gradient; here it is proportional to the parameter (Loshchilov and Hutter, 2019).
    Everything else is as in `Adam`.

    >>> import tinygrad_fc as tg
    >>> w = tg.tensor([1.0, 2.0], requires_grad=True)
    >>> opt = tg.optim.AdamW([w], lr=0.1, weight_decay=0.5)
    >>> (w * w).sum().backward()
    >>> opt.step()
    >>> w
    tensor([0.85, 1.8 ], requires_grad=True)
    """

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        options = {**options_of(locals()), "decoupled_weight_decay": True}
        Elementwise.__init__(self, params, options)

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:  # noqa: D102  as inherited
        super().load_state_dict(state_dict)
        for group in self.param_groups:
            group["decoupled_weight_decay"] = True  # also in a state saved by Adam


class Adamax(Elementwise):
    """Adam with an exponentially decaying maximum of |g| in place of the root mean square.

    At step t, with the gradient g: m = beta1 * m + (1 - beta1) * g, u = max(beta2 * u, |g| + eps),
    p = p - lr / (1 - beta1^t) * m / u (Kingma and Ba, 2015, algorithm 2). `weight_decay` d
    replaces g by g + d * p; `maximize` reverses the sign of g. Errors as in `Adam`.

    >>> import tinygrad_fc as tg
    >>> w = tg.tensor([1.0, 2.0], requires_grad=True)
    >>> opt = tg.optim.Adamax([w], lr=0.1)
    >>> (w * w).sum().backward()
    >>> opt.step()
    >>> w
    tensor([0.9, 1.9], requires_grad=True)
    """

    def __init__(
        self,
        params: Params,
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(params, options_of(locals()))

    def rule(self, group: Group, scalars: dict[str, float]) -> Update:
        """Return Adamax's rule."""
        t, (beta1, beta2) = scalars["step"], map(number_of, group["betas"])
        rate = number_of(group["lr"]) / (1 - beta1**t)
        numbers = (rate, number_of(group["eps"]), beta1, 1 - beta1, beta2)
        return Update(_adamax, {"exp_avg": 0.0, "exp_inf": 0.0}, numbers)


def _adamax(
    g: Any, p: Any, m: Any, u: Any, rate: Any, eps: Any, beta1: Any, rest1: Any, beta2: Any
) -> None:
    update_average(m, g, beta1, rest1)
    size = np.absolute(g)
    size += eps
    u *= beta2
    u[...] = np.maximum(u, size)
    step = m / u
    step *= rate
    p -= step


class NAdam(Elementwise):
    """Adam with Nesterov momentum.

    m and v are those of `Adam`. With mu_t = beta1 * (1 - 0.96^(t * momentum_decay) / 2), and P_t
    the product of all mu up to t, p = p - lr * m' / (sqrt(v / (1 - beta2^t)) + eps), where
    m' = mu_(t+1) * m / (1 - P_(t+1)) + (1 - mu_t) * g / (1 - P_t) (Dozat, 2016). `weight_decay`,
    `decoupled_weight_decay` and `maximize` are as in `Adam`.

    Raises `ValueError` if momentum_decay is negative or not finite, and as `Adam` does.

    >>> import tinygrad_fc as tg
    >>> w = tg.tensor([1.0, 2.0], requires_grad=True)
    >>> opt = tg.optim.NAdam([w], lr=0.75, betas=(0.5, 0.9), momentum_decay=0)
    >>> (w * w).sum().backward()
    >>> opt.step()
    >>> w
    tensor([0.15, 1.15], requires_grad=True)
    """

    def __init__(
        self,
        params: Params,
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(params, options_of(locals()))

    def initial_scalars(self, group: Group) -> dict[str, float]:  # noqa: ARG002  the same for all options
        """Return t and P_t before the first step."""
        return {"step": 0.0, "mu_product": 1.0}

    def rule(self, group: Group, scalars: dict[str, float]) -> Update:
        """Return NAdam's rule, with the bias correction of v folded in, as in Adam."""
        t, (beta1, beta2) = scalars["step"], map(number_of, group["betas"])
        mu, next_mu = (
            beta1 * (1 - 0.5 * 0.96 ** (k * number_of(group["momentum_decay"]))) for k in (t, t + 1)
        )
        scalars["mu_product"] *= mu
        correction = (1 - beta2**t) ** 0.5
        rate, product = number_of(group["lr"]) * correction, scalars["mu_product"]
        rate_g, rate_m = rate * (1 - mu) / (1 - product), rate * next_mu / (1 - product * next_mu)
        eps, betas = number_of(group["eps"]) * correction, (beta1, 1 - beta1, beta2, 1 - beta2)
        return Update(_nadam, MOMENTS, (eps, rate_g, rate_m, *betas))


def _nadam(g: Any, p: Any, m: Any, v: Any, eps: Any, rate_g: Any, rate_m: Any, *betas: Any) -> None:
    update_moments(g, m, v, *betas)
    p -= (rate_g * g + rate_m * m) / (np.sqrt(v) + eps)


class RAdam(Elementwise):
    """Rectified Adam: divides by sqrt(v') once the variance of 1 / sqrt(v') can be estimated.

    m, v, m' and v' are those of `Adam`. With r = 2 / (1 - beta2) - 1 and
    r_t = r - 2 * t * beta2^t / (1 - beta2^t), p = p - lr * m' while r_t is at most 5; after that
    p = p - lr * c * m' / (sqrt(v') + eps / sqrt(1 - beta2^t)), where
    c^2 = (r_t - 4) * (r_t - 2) * r / ((r - 4) * (r - 2) * r_t) (Liu et al., 2020). Options
    except `amsgrad`, and errors, are as in `Adam`.

    >>> import tinygrad_fc as tg
    >>> w = tg.tensor([1.0, 2.0], requires_grad=True)
    >>> opt = tg.optim.RAdam([w], lr=0.25)
    >>> (w * w).sum().backward()
    >>> opt.step()
    >>> w
    tensor([0.5, 1. ], requires_grad=True)
    """

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        decoupled_weight_decay: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(params, options_of(locals()))

    def rule(self, group: Group, scalars: dict[str, float]) -> Update:
        """Return RAdam's rule."""
        t, (beta1, beta2) = scalars["step"], map(number_of, group["betas"])
        rate, correction = number_of(group["lr"]) / (1 - beta1**t), 1 - beta2**t
        r = 2 / (1 - beta2) - 1
        r_t = r - 2 * t * beta2**t / correction
        rectified = r_t > 5
        if rectified:
            rate *= ((r_t - 4) * (r_t - 2) * r * correction / ((r - 4) * (r - 2) * r_t)) ** 0.5
        numbers = (number_of(group["eps"]), rate, beta1, 1 - beta1, beta2, 1 - beta2)
        return Update(_adam if rectified else _unrectified, MOMENTS, numbers)


def _unrectified(g: Any, p: Any, m: Any, v: Any, _eps: Any, rate: Any, *betas: Any) -> None:
    update_moments(g, m, v, *betas)
    p -= rate * m
