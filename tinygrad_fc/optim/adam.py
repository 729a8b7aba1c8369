"""Adam and AdamW; and what their kin share with them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from tinygrad_fc.optim.elementwise import Elementwise
from tinygrad_fc.optim.optimizer import AT_LEAST_0, FRACTIONS, Group, Limit, pair, unsupported

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tinygrad_fc.optim.optimizer import Params


def average(m: Any, x: Any, beta: Any, rest: Any) -> None:
    """Let the running average `m` forget, and take in `x`; `rest` is 1 - beta."""
    m *= beta
    m += rest * x


def average_square(v: Any, g: Any, beta: Any, rest: Any) -> None:
    """Let the running average `v` forget, and take in the square of `g`; `rest` is 1 - beta."""
    square = g * g
    square *= rest
    v *= beta
    v += square


def quotient(m: Any, v: Any, eps: Any, rate: Any) -> Any:
    """Return rate * m / (sqrt(v) + eps), in two temporary arrays where that takes four."""
    below = np.sqrt(v)
    below += eps
    above = rate * m
    above /= below
    return above


def moments(g: Any, m: Any, v: Any, beta1: Any, rest1: Any, beta2: Any, rest2: Any) -> None:
    """Take `g` into the averages of the gradients and of their squares."""
    average(m, g, beta1, rest1)
    average_square(v, g, beta2, rest2)


class Moments(Elementwise):
    """What keeps running averages of the gradient and of its square."""

    limits: ClassVar[Mapping[str, Limit]] = {
        "lr": AT_LEAST_0,
        "betas": FRACTIONS,
        "eps": AT_LEAST_0,
        "weight_decay": AT_LEAST_0,
    }

    def _kept(self, group: Group) -> dict[str, float]:  # noqa: ARG002  Adam's depends on it
        return {"exp_avg": 0.0, "exp_avg_sq": 0.0}


def betas_of(group: Group) -> tuple[float, float, float, float]:
    """Return what `moments` takes: beta1, 1 - beta1, beta2 and 1 - beta2."""
    beta1, beta2 = map(float, group["betas"])
    return beta1, 1 - beta1, beta2, 1 - beta2


class Adam(Moments):
    """Divides a running average of the gradients by the root of one of their squares.

    At step t, with the gradient g: m = beta1 * m + (1 - beta1) * g, v = beta2 * v +
    (1 - beta2) * g^2, p = p - lr * m' / (sqrt(v') + eps), where m' = m / (1 - beta1^t) and
    v' = v / (1 - beta2^t) make up for the zeros that m and v begin with (Kingma and Ba, 2015).
    With `amsgrad`, the largest v so far takes its place below the root (Reddi et al., 2018).
    `weight_decay` d puts g + d * p in place of g, or is as in `AdamW` if
    `decoupled_weight_decay`. `maximize` moves along the gradient.

    `ValueError` where lr, eps or weight_decay is negative or not finite, or a beta is not at
    least 0 and below 1, and as in `Optimizer`.

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
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        decoupled_weight_decay: bool = False,
    ) -> None:
        others = unsupported(
            foreach=foreach, capturable=capturable, differentiable=differentiable, fused=fused
        )
        defaults = {
            "lr": lr,
            "betas": pair(betas),
            "eps": eps,
            "weight_decay": weight_decay,
            "amsgrad": amsgrad,
            "maximize": maximize,
            "decoupled_weight_decay": decoupled_weight_decay,
        }
        super().__init__(params, {**defaults, **others})

    def _kept(self, group: Group) -> dict[str, float]:
        kept = super()._kept(group)
        return {**kept, "max_exp_avg_sq": 0.0} if group["amsgrad"] else kept

    def _advance(self, group: Group, *counted: float) -> tuple[Sequence[float], Sequence[float]]:
        t = counted[0] + 1
        beta1, _, beta2, _ = betas = betas_of(group)
        # m' / (sqrt(v') + eps) = m * root / (1 - beta1^t) / (sqrt(v) + eps * root)
        root = (1 - beta2**t) ** 0.5
        rate = float(group["lr"]) * root / (1 - beta1**t)
        return (t,), (float(group["eps"]) * root, rate, *betas)

    def _formula(self, group: Group) -> Callable[..., None]:
        return _with_the_largest if group["amsgrad"] else _adam


def _adam(g: Any, p: Any, m: Any, v: Any, eps: Any, rate: Any, *betas: Any) -> None:
    moments(g, m, v, *betas)
    p -= quotient(m, v, eps, rate)


def _with_the_largest(
    g: Any, p: Any, m: Any, v: Any, top: Any, eps: Any, rate: Any, *betas: Any
) -> None:
    moments(g, m, v, *betas)
    top[...] = np.maximum(top, v)
    p -= quotient(m, top, eps, rate)


class AdamW(Adam):
    """Adam whose `weight_decay` d shrinks the parameter itself: p = p - lr * d * p comes first.

    In `Adam`, the decay is a part of the gradient, and so divided by the root of its own square;
    here it is in proportion to the parameter, whatever the gradients were (Loshchilov and Hutter,
    2019). All else, and what is raised, is as in `Adam`.

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
        foreach: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        super().__init__(
            params,
            lr,
            betas,
            eps,
            weight_decay,
            amsgrad,
            foreach=foreach,
            maximize=maximize,
            capturable=capturable,
            differentiable=differentiable,
            fused=fused,
            decoupled_weight_decay=True,
        )

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:  # noqa: D102  as inherited
        super().load_state_dict(state_dict)
        for group in self.param_groups:
            group["decoupled_weight_decay"] = True  # of an Adam's state, too
