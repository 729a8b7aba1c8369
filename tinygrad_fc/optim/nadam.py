"""NAdam."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from tinygrad_fc.optim.adam import Moments, betas_of, moments
from tinygrad_fc.optim.optimizer import AT_LEAST_0, Group, Limit, pair, unsupported

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tinygrad_fc.optim.optimizer import Params


class NAdam(Moments):
    """Adam that looks ahead: Nesterov's momentum in place of the ordinary one.

    m and v as in `Adam`; with mu_t = beta1 * (1 - 0.96^(t * momentum_decay) / 2), and P_t the
    product of all mu up to t, p = p - lr * m' / (sqrt(v / (1 - beta2^t)) + eps), where
    m' = mu_(t+1) * m / (1 - P_(t+1)) + (1 - mu_t) * g / (1 - P_t) (Dozat, 2016). `weight_decay`,
    `decoupled_weight_decay` and `maximize` are as in `Adam`.

    `ValueError` where lr, eps, weight_decay or momentum_decay is negative or not finite, or a
    beta is not at least 0 and below 1, and as in `Optimizer`.

    >>> import tinygrad_fc as tg
    >>> w = tg.tensor([1.0, 2.0], requires_grad=True)
    >>> opt = tg.optim.NAdam([w], lr=0.75, betas=(0.5, 0.9), momentum_decay=0)
    >>> (w * w).sum().backward()
    >>> opt.step()
    >>> w
    tensor([0.15, 1.15], requires_grad=True)
    """

    limits: ClassVar[Mapping[str, Limit]] = {**Moments.limits, "momentum_decay": AT_LEAST_0}

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
            "momentum_decay": momentum_decay,
            "decoupled_weight_decay": decoupled_weight_decay,
            "maximize": maximize,
        }
        super().__init__(params, {**defaults, **others})

    def _counted(self, group: Group) -> dict[str, float]:  # noqa: ARG002  the same for all
        return {"step": 0.0, "mu_product": 1.0}

    def _advance(self, group: Group, *counted: float) -> tuple[Sequence[float], Sequence[float]]:
        t, product = counted[0] + 1, counted[1]
        lr, eps, decay = (float(group[k]) for k in ("lr", "eps", "momentum_decay"))
        beta1, _, beta2, _ = betas = betas_of(group)
        mu, ahead = (beta1 * (1 - 0.5 * 0.96 ** (k * decay)) for k in (t, t + 1))
        product *= mu
        root = (1 - beta2**t) ** 0.5  # taken out of the denominator, as in Adam
        of_g = lr * root * (1 - mu) / (1 - product)
        of_m = lr * root * ahead / (1 - product * ahead)
        return (t, product), (eps * root, of_g, of_m, *betas)

    def _formula(self, group: Group) -> Callable[..., None]:  # noqa: ARG002  one for all
        return _nadam


def _nadam(g: Any, p: Any, m: Any, v: Any, eps: Any, of_g: Any, of_m: Any, *betas: Any) -> None:
    moments(g, m, v, *betas)
    p -= (of_g * g + of_m * m) / (np.sqrt(v) + eps)
