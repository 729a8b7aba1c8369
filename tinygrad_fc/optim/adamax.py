"""Adamax."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.optim.adam import Moments, average, betas_of
from tinygrad_fc.optim.optimizer import Group, pair, unsupported

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tinygrad_fc.optim.optimizer import Params


class Adamax(Moments):
    """Adam with the largest gradient, slowly forgotten, in place of the root of the squares.

    At step t, with the gradient g: m = beta1 * m + (1 - beta1) * g, u = max(beta2 * u, |g| + eps),
    p = p - lr / (1 - beta1^t) * m / u (Kingma and Ba, 2015, algorithm 2). `weight_decay` d puts
    g + d * p in place of g; `maximize` moves along the gradient.

    `ValueError` where lr, eps or weight_decay is negative or not finite, or a beta is not at
    least 0 and below 1, and as in `Optimizer`.

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
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        others = unsupported(foreach=foreach, differentiable=differentiable, capturable=capturable)
        defaults = {
            "lr": lr,
            "betas": pair(betas),
            "eps": eps,
            "weight_decay": weight_decay,
            "maximize": maximize,
        }
        super().__init__(params, {**defaults, **others})

    def _kept(self, group: Group) -> dict[str, float]:  # noqa: ARG002  the same for all
        return {"exp_avg": 0.0, "exp_inf": 0.0}

    def _advance(self, group: Group, *counted: float) -> tuple[Sequence[float], Sequence[float]]:
        t = counted[0] + 1
        beta1, rest1, beta2, _ = betas_of(group)
        rate = float(group["lr"]) / (1 - beta1**t)
        return (t,), (beta1, rest1, beta2, float(group["eps"]), rate)

    def _formula(self, group: Group) -> Callable[..., None]:  # noqa: ARG002  one for all
        return _adamax


def _adamax(
    g: Any, p: Any, m: Any, u: Any, beta1: Any, rest1: Any, beta2: Any, eps: Any, rate: Any
) -> None:
    average(m, g, beta1, rest1)
    size = np.absolute(g)
    size += eps
    u *= beta2
    u[...] = np.maximum(u, size)
    step = m / u
    step *= rate
    p -= step
