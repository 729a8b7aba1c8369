"""RAdam."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tinygrad_fc.optim.adam import Moments, betas_of, moments, quotient
from tinygrad_fc.optim.optimizer import Group, pair, unsupported

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tinygrad_fc.optim.optimizer import Params


class RAdam(Moments):
    """Adam that warms up by itself, as long as it has seen too few gradients to divide by.

    m, v, m' and v' as in `Adam`. With r = 2 / (1 - beta2) - 1 and
    r_t = r - 2 * t * beta2^t / (1 - beta2^t), p = p - lr * m' while r_t is at most 5; after that
    p = p - lr * c * m' / (sqrt(v') + eps / sqrt(1 - beta2^t)), where
    c^2 = (r_t - 4) * (r_t - 2) * r / ((r - 4) * (r - 2) * r_t) (Liu et al., 2020). All options
    and what is raised are as in `Adam`.

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
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        others = unsupported(foreach=foreach, capturable=capturable, differentiable=differentiable)
        defaults = {
            "lr": lr,
            "betas": pair(betas),
            "eps": eps,
            "weight_decay": weight_decay,
            "maximize": maximize,
            "decoupled_weight_decay": decoupled_weight_decay,
        }
        super().__init__(params, {**defaults, **others})

    def _advance(self, group: Group, *counted: float) -> tuple[Sequence[float], Sequence[float]]:
        t = counted[0] + 1
        beta1, _, beta2, _ = betas = betas_of(group)
        rate, seen = float(group["lr"]) / (1 - beta1**t), 1 - beta2**t
        r = 2 / (1 - beta2) - 1
        r_t = r - 2 * t * beta2**t / seen
        enough = r_t > 5
        if enough:
            rate *= ((r_t - 4) * (r_t - 2) * r * seen / ((r - 4) * (r - 2) * r_t)) ** 0.5
        return (t,), (float(group["eps"]), rate, enough, *betas)

    def _formula(self, group: Group) -> Callable[..., None]:  # noqa: ARG002  one for all
        return _radam


def _radam(g: Any, p: Any, m: Any, v: Any, eps: Any, rate: Any, enough: Any, *betas: Any) -> None:
    moments(g, m, v, *betas)
    p -= quotient(m, v, eps, rate) if enough else rate * m
