"""ASGD."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar

from tinygrad_fc.optim.elementwise import Elementwise
from tinygrad_fc.optim.optimizer import AT_LEAST_0, NUMBER, Group, Limit, unsupported

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tinygrad_fc.optim.optimizer import Params


class ASGD(Elementwise):
    """SGD that also keeps the mean of where the parameter p has been, from step `t0` on.

    With the gradient g: p = (1 - lambd * eta) * p - eta * g, a = a + mu * (p - a). eta begins
    with lr and is lr / (1 + lambd * lr * t)^alpha after step t; mu is 1, so that a is p, and after
    step t it is 1 / max(1, t - t0). The mean a is `state[p]["ax"]` (Polyak and Juditsky, 1992;
    Xu, 2011). `weight_decay` d puts g + d * p in place of g; `maximize` moves along the gradient.

    `ValueError` where lr, lambd or weight_decay is negative or not finite, alpha not finite, or
    t0 NaN, and as in `Optimizer`.

    >>> import tinygrad_fc as tg
    >>> w = tg.tensor([1.0, 2.0], requires_grad=True)
    >>> opt = tg.optim.ASGD([w], lr=0.25, lambd=0)
    >>> (w * w).sum().backward()
    >>> opt.step()
    >>> w
    tensor([0.5, 1. ], requires_grad=True)
    """

    limits: ClassVar[Mapping[str, Limit]] = {
        "lr": AT_LEAST_0,
        "lambd": AT_LEAST_0,
        "alpha": NUMBER,
        "t0": Limit(lambda v: not math.isnan(v), "a number"),
        "weight_decay": AT_LEAST_0,
    }

    def __init__(
        self,
        params: Params,
        lr: float = 1e-2,
        lambd: float = 1e-4,
        alpha: float = 0.75,
        t0: float = 1e6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        others = unsupported(foreach=foreach, differentiable=differentiable, capturable=capturable)
        defaults = {
            "lr": lr,
            "lambd": lambd,
            "alpha": alpha,
            "t0": t0,
            "weight_decay": weight_decay,
            "maximize": maximize,
        }
        super().__init__(params, {**defaults, **others})

    def _kept(self, group: Group) -> dict[str, float]:  # noqa: ARG002  the same for all
        return {"ax": 0.0}

    def _counted(self, group: Group) -> dict[str, float]:
        return {"step": 0.0, "eta": float(group["lr"]), "mu": 1.0}

    def _advance(self, group: Group, *counted: float) -> tuple[Sequence[float], Sequence[float]]:
        t, eta, mu = counted
        lr, lambd, alpha, t0 = (float(group[k]) for k in ("lr", "lambd", "alpha", "t0"))
        t += 1
        following = (t, lr / (1 + lambd * lr * t) ** alpha, 1 / max(1.0, t - t0))
        return following, (1 - lambd * eta, eta, mu)

    def _formula(self, group: Group) -> Callable[..., None]:  # noqa: ARG002  one for all
        return _asgd


def _asgd(g: Any, p: Any, a: Any, shrink: Any, eta: Any, mu: Any) -> None:
    p *= shrink
    p -= eta * g
    if mu == 1:
        a[...] = p
    else:
        a += mu * (p - a)
