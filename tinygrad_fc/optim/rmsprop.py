"""RMSprop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from tinygrad_fc.optim.adam import average, average_square, quotient
from tinygrad_fc.optim.elementwise import Elementwise
from tinygrad_fc.optim.optimizer import AT_LEAST_0, PART, Group, Limit, unsupported

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tinygrad_fc.optim.optimizer import Params


class RMSprop(Elementwise):
    """Divides the gradient g by the root of a running average of its square.

    v = alpha * v + (1 - alpha) * g^2, p = p - lr * g / (sqrt(v) + eps) (Tieleman and Hinton,
    2012). If `centered`, v - a^2 takes the place of v below the root, where a is a running
    average of the gradients: an estimate of their variance (Graves, 2013). With `momentum` m, the
    quotient is added to b = m * b, and p = p - lr * b. `weight_decay` d puts g + d * p in place
    of g; `maximize` moves along the gradient.

    `ValueError` where an option is negative or not finite, or alpha above 1, and as in
    `Optimizer`.

    >>> import tinygrad_fc as tg
    >>> w = tg.tensor([1.0, 2.0], requires_grad=True)
    >>> opt = tg.optim.RMSprop([w], lr=0.1, alpha=0.75)
    >>> (w * w).sum().backward()
    >>> opt.step()
    >>> w
    tensor([0.8, 1.8], requires_grad=True)
    """

    limits: ClassVar[Mapping[str, Limit]] = {
        "lr": AT_LEAST_0,
        "alpha": PART,
        "eps": AT_LEAST_0,
        "weight_decay": AT_LEAST_0,
        "momentum": AT_LEAST_0,
    }

    def __init__(
        self,
        params: Params,
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        others = unsupported(capturable=capturable, foreach=foreach, differentiable=differentiable)
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "alpha": alpha,
            "eps": eps,
            "centered": centered,
            "weight_decay": weight_decay,
            "maximize": maximize,
        }
        super().__init__(params, {**defaults, **others})

    def _kept(self, group: Group) -> dict[str, float]:
        wanted = {"momentum_buffer": group["momentum"], "grad_avg": group["centered"]}
        return dict.fromkeys(["square_avg", *(name for name in wanted if wanted[name])], 0.0)

    def _advance(self, group: Group, *counted: float) -> tuple[Sequence[float], Sequence[float]]:
        alpha, eps, lr, momentum = (float(group[k]) for k in ("alpha", "eps", "lr", "momentum"))
        return (counted[0] + 1,), (alpha, 1 - alpha, eps, lr, momentum)

    def _formula(self, group: Group) -> Callable[..., None]:
        momentum, centered = group["momentum"], group["centered"]

        def descend(g: Any, p: Any, v: Any, *others: Any) -> None:
            *kept, alpha, rest, eps, lr, m = others
            average_square(v, g, alpha, rest)
            spread = v
            if centered:
                average(kept[-1], g, alpha, rest)
                # Rounding takes the variance of equal gradients below 0.
                spread = np.maximum(v - kept[-1] * kept[-1], 0)
            if momentum:
                b = kept[0]
                b *= m
                b += quotient(g, spread, eps, 1)
                p -= lr * b
            else:
                p -= quotient(g, spread, eps, lr)

        return descend
