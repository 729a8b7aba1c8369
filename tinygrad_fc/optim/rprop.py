"""Rprop."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from tinygrad_fc.optim.elementwise import Elementwise
from tinygrad_fc.optim.optimizer import AT_LEAST_0, Group, Limit, pair, unsupported

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tinygrad_fc.optim.optimizer import Params


class Rprop(Elementwise):
    """Moves by the sign of the gradient g alone; each element has a step size s of its own.

    Where g has the sign of the g before, s grows by the second of `etas`; where it has the other
    sign, s shrinks by the first, and g counts as 0, now and as the g before of the next step.
    s begins with `lr` and stays within `step_sizes`; p = p - s * sign(g) (Riedmiller and Braun,
    1993; without going back, as in Igel and Hüsken, 2003). For gradients of all of the data: on
    batches, signs are noise. `maximize` moves along the gradient.

    `ValueError` where lr is negative or not finite, where 0 < etas[0] < 1 < etas[1] or
    0 <= step_sizes[0] <= step_sizes[1] does not hold, and as in `Optimizer`.

    >>> import tinygrad_fc as tg
    >>> w = tg.tensor([1.0, 2.0], requires_grad=True)
    >>> opt = tg.optim.Rprop([w], lr=0.1)
    >>> (w * w).sum().backward()
    >>> opt.step()
    >>> w
    tensor([0.9, 1.9], requires_grad=True)
    """

    limits: ClassVar[Mapping[str, Limit]] = {
        "lr": AT_LEAST_0,
        "etas": Limit(
            lambda v: len(v) == 2 and 0 < v[0] < 1 < v[1] < math.inf,
            "two numbers, the first between 0 and 1, the second above 1",
        ),
        "step_sizes": Limit(
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
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        others = unsupported(foreach=foreach, differentiable=differentiable, capturable=capturable)
        defaults = {
            "lr": lr,
            "etas": pair(etas),
            "step_sizes": pair(step_sizes),
            "maximize": maximize,
        }
        super().__init__(params, {**defaults, **others})

    def _kept(self, group: Group) -> dict[str, float]:
        return {"prev": 0.0, "step_size": float(group["lr"])}

    def _advance(self, group: Group, *counted: float) -> tuple[Sequence[float], Sequence[float]]:
        return (counted[0] + 1,), (*map(float, group["etas"]), *map(float, group["step_sizes"]))

    def _formula(self, group: Group) -> Callable[..., None]:  # noqa: ARG002  one for all
        return _rprop


def _rprop(
    g: Any, p: Any, before: Any, s: Any, shrink: Any, grow: Any, least: Any, most: Any
) -> None:
    same = g * before
    s *= np.where(same > 0, grow, np.where(same < 0, shrink, 1))
    s[...] = np.minimum(np.maximum(s, least), most)
    before[...] = np.where(same < 0, 0, g)
    p -= s * np.sign(before)
