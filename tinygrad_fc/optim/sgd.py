"""Stochastic gradient descent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from tinygrad_fc.graph import changed, wrap
from tinygrad_fc.optim.elementwise import CACHED, in_pieces, prepared
from tinygrad_fc.optim.optimizer import AT_LEAST_0, NUMBER, Group, Limit, Optimizer, unsupported

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tinygrad_fc.optim.optimizer import Params


class SGD(Optimizer):
    """Moves each parameter p against its gradient g: p = p - lr * g.

    With `weight_decay` d, g + d * p takes the place of g. With `momentum` m, the first g is the
    velocity v, and then v = m * v + (1 - dampening) * g; v takes the place of g, or g + m * v
    does with `nesterov` (Sutskever et al., 2013). `maximize` moves along the gradient.

    Raises `ValueError` for a learning rate, momentum or weight decay that is negative, infinite
    or NaN, for `nesterov` without momentum or with dampening, and as `Optimizer` does.

    >>> import tinygrad_fc as tg
    >>> w = tg.tensor([1.0, 2.0], requires_grad=True)
    >>> opt = tg.optim.SGD([w], lr=0.1)
    >>> (w * w).sum().backward()
    >>> opt.step()
    >>> w
    tensor([0.8, 1.6], requires_grad=True)
    """

    limits: ClassVar[Mapping[str, Limit]] = {
        "lr": AT_LEAST_0,
        "momentum": AT_LEAST_0,
        "dampening": NUMBER,
        "weight_decay": AT_LEAST_0,
    }

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        others = unsupported(foreach=foreach, differentiable=differentiable, fused=fused)
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "dampening": dampening,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
            "maximize": maximize,
        }
        super().__init__(params, {**defaults, **others})

    def _check(self, options: Mapping[str, Any]) -> None:
        super()._check(options)
        if options["nesterov"] and (options["momentum"] <= 0 or options["dampening"] != 0):
            raise ValueError("SGD: nesterov needs a momentum above 0 and a dampening of 0")

    def _update(self, group: Group) -> None:
        # Python floats, so that float32 stays float32; a learning rate may be a tensor of one.
        lr, decay, momentum = map(float, (group["lr"], group["weight_decay"], group["momentum"]))
        maximize = group["maximize"]
        with_velocity = _nesterov if group["nesterov"] else _momentum
        formula = with_velocity if momentum else _against
        descend = prepared(formula, maximize=maximize, decay=decay)
        touched: list[Any] = []
        dtype: Any = None
        rate: Any = lr
        try:
            for p in group["params"]:
                grad = p._grad
                if grad is None:
                    continue
                array, g = p._array, grad._array
                touched.append(array)
                if array.dtype is not dtype:
                    # NumPy takes a 0-d array in two thirds of the time of a Python number.
                    dtype, rate = array.dtype, np.asarray(lr, array.dtype)
                if momentum:
                    v, share = self._velocity(p, group)
                    touched.append(v)
                    in_pieces(descend, (g, array, v), (rate, momentum, share))
                elif decay or maximize or 2 * array.nbytes > CACHED:
                    in_pieces(descend, (g, array), (rate,))
                else:
                    array -= rate * g
        finally:  # NumPy may have been told to raise where a number gets too large
            changed(*touched)

    def _velocity(self, p: Any, group: Group) -> tuple[Any, float]:
        """Return the velocity of `p`, and the share of the gradient that it takes in."""
        state = self.state[p]
        kept = state.get("momentum_buffer")
        if kept is None:
            kept = state["momentum_buffer"] = wrap(np.zeros_like(p._array))
            return kept._array, 1.0
        return kept._array, 1 - float(group["dampening"])


def _against(g: Any, p: Any, rate: Any) -> None:
    p -= rate * g


def _momentum(g: Any, p: Any, v: Any, rate: Any, momentum: Any, share: Any) -> None:
    v *= momentum
    v += g if share == 1 else share * g
    p -= rate * v


def _nesterov(g: Any, p: Any, v: Any, rate: Any, momentum: Any, share: Any) -> None:
    v *= momentum
    v += g if share == 1 else share * g
    p -= rate * (g + momentum * v)
