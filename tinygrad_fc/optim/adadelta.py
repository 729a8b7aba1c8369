"""Adadelta."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from tinygrad_fc.optim.adam import average_square
from tinygrad_fc.optim.elementwise import Elementwise
from tinygrad_fc.optim.optimizer import AT_LEAST_0, PART, Group, Limit, unsupported

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tinygrad_fc.optim.optimizer import Params


class Adadelta(Elementwise):
    """Scales the gradient g so that steps are as long as the steps before, in p's own units.

    v = rho * v + (1 - rho) * g^2, d = sqrt(u + eps) / sqrt(v + eps) * g, u = rho * u +
    (1 - rho) * d^2, p = p - lr * d (Zeiler, 2012, algorithm 1; there, lr is 1). `weight_decay` d
    puts g + d * p in place of g; `maximize` moves along the gradient.

    `ValueError` where an option is negative or not finite, or rho above 1, and as in
    `Optimizer`.

    >>> import tinygrad_fc as tg
    >>> w = tg.tensor([1.0, 2.0], requires_grad=True)
    >>> opt = tg.optim.Adadelta([w], rho=0.75, eps=1.0)
    >>> (w * w).sum().backward()
    >>> opt.step()
    >>> w[0].item() == 1 - 2 / 2**0.5
    True
    """

    limits: ClassVar[Mapping[str, Limit]] = {
        "lr": AT_LEAST_0,
        "rho": PART,
        "eps": AT_LEAST_0,
        "weight_decay": AT_LEAST_0,
    }

    def __init__(
        self,
        params: Params,
        lr: float = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        capturable: bool = False,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        others = unsupported(capturable=capturable, foreach=foreach, differentiable=differentiable)
        defaults = {
            "lr": lr,
            "rho": rho,
            "eps": eps,
            "weight_decay": weight_decay,
            "maximize": maximize,
        }
        super().__init__(params, {**defaults, **others})

    def _kept(self, group: Group) -> dict[str, float]:  # noqa: ARG002  the same for all
        return {"square_avg": 0.0, "acc_delta": 0.0}

    def _advance(self, group: Group, *counted: float) -> tuple[Sequence[float], Sequence[float]]:
        lr, rho, eps = (float(group[k]) for k in ("lr", "rho", "eps"))
        return (counted[0] + 1,), (rho, 1 - rho, eps, lr)

    def _formula(self, group: Group) -> Callable[..., None]:  # noqa: ARG002  one for all
        return _adadelta


def _adadelta(g: Any, p: Any, v: Any, u: Any, rho: Any, rest: Any, eps: Any, lr: Any) -> None:
    average_square(v, g, rho, rest)
    d = np.sqrt(u + eps) / np.sqrt(v + eps) * g
    average_square(u, d, rho, rest)
    p -= lr * d
