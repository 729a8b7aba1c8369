"""Adagrad."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from tinygrad_fc.optim.adam import quotient
from tinygrad_fc.optim.elementwise import Elementwise
from tinygrad_fc.optim.optimizer import AT_LEAST_0, Group, Limit, unsupported

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tinygrad_fc.optim.optimizer import Params


class Adagrad(Elementwise):
    """Divides the gradient g by the root of the sum of all its squares so far.

    s = s + g^2, p = p - lr / (1 + (t - 1) * lr_decay) * g / (sqrt(s) + eps) at step t, where s
    begins with `initial_accumulator_value`, one for all groups (Duchi et al., 2011).
    `weight_decay` d puts g + d * p in place of g; `maximize` moves along the gradient. What is
    kept is there from the start, before the first step.

    `ValueError` where an option is negative or not finite, and as in `Optimizer`.

    >>> import tinygrad_fc as tg
    >>> w = tg.tensor([1.0, 2.0], requires_grad=True)
    >>> opt = tg.optim.Adagrad([w], lr=0.1)
    >>> (w * w).sum().backward()
    >>> opt.step()
    >>> w
    tensor([0.9, 1.9], requires_grad=True)
    """

    limits: ClassVar[Mapping[str, Limit]] = {
        "lr": AT_LEAST_0,
        "lr_decay": AT_LEAST_0,
        "weight_decay": AT_LEAST_0,
        "initial_accumulator_value": AT_LEAST_0,
        "eps": AT_LEAST_0,
    }

    def __init__(
        self,
        params: Params,
        lr: float = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        others = unsupported(foreach=foreach, differentiable=differentiable, fused=fused)
        defaults = {
            "lr": lr,
            "lr_decay": lr_decay,
            "eps": eps,
            "weight_decay": weight_decay,
            "initial_accumulator_value": initial_accumulator_value,
            "maximize": maximize,
        }
        super().__init__(params, {**defaults, **others})
        for group in self.param_groups:
            for p in group["params"]:
                self._begin(p._array, self.state[p], self._kept(group), self._counted(group))

    def _kept(self, group: Group) -> dict[str, float]:  # noqa: ARG002  PyTorch asks no group
        return {"sum": float(self.defaults["initial_accumulator_value"])}

    def _advance(self, group: Group, *counted: float) -> tuple[Sequence[float], Sequence[float]]:
        t = counted[0] + 1
        rate = float(group["lr"]) / (1 + (t - 1) * float(group["lr_decay"]))
        return (t,), (float(group["eps"]), rate)

    def _formula(self, group: Group) -> Callable[..., None]:  # noqa: ARG002  one for all
        return _adagrad


def _adagrad(g: Any, p: Any, s: Any, eps: Any, rate: Any) -> None:
    s += g * g
    p -= quotient(g, s, eps, rate)
