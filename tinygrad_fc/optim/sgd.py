"""Stochastic gradient descent (SGD), averaged SGD and Rprop."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from tinygrad_fc.core.graph import record_change
from tinygrad_fc.core.node import array_of, leaf_of, number_of
from tinygrad_fc.core.seam import observer
from tinygrad_fc.optim.elementwise import BLOCK, Elementwise, Update, in_blocks, with_decay
from tinygrad_fc.optim.optimizer import FINITE, NON_NEGATIVE, Optimizer, Range, options_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tinygrad_fc.optim.optimizer import Group, Params

__all__ = ["ASGD", "SGD", "Rprop"]

_SMALL = BLOCK // 2


class SGD(Optimizer):
    """Stochastic gradient descent: p = p - lr * g, with the gradient g.

    With `weight_decay` d, g + d * p replaces g. With `momentum` m, the velocity v starts as the
    first g, and then v = m * v + (1 - dampening) * g; the update uses v for g, or g + m * v with
    `nesterov` (Sutskever et al., 2013). `maximize` reverses the sign of g.

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

    _is_shaped = True
    ranges: ClassVar[Mapping[str, Range]] = {**Elementwise.ranges, "dampening": FINITE}

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
    ) -> None:
        super().__init__(params, options_of(locals()))

    def _check(self, options: Mapping[str, Any]) -> None:
        super()._check(options)
        if options["nesterov"] and (options["momentum"] <= 0 or options["dampening"] != 0):
            raise ValueError("SGD: nesterov needs a momentum above 0 and a dampening of 0")

    def _update(self, group: Group) -> None:
        lr, decay, momentum = group["lr"], group["weight_decay"], group["momentum"]
        if lr.__class__ is not float or decay or momentum:
            lr, decay, momentum = map(number_of, (lr, decay, momentum))
        maximize, scale = group["maximize"], 1.0
        if momentum:
            scale -= number_of(group["dampening"])
        formula = (_nesterov if group["nesterov"] else _momentum) if momentum else _descent
        if decay or maximize:
            formula = with_decay(formula, maximize=maximize, decay=decay)
        changed: list[Any] = []
        dtype: Any = None
        rate: Any = lr
        is_plain = not (momentum or decay or maximize)
        by = observer()
        try:
            for p in group["params"]:
                grad = p._grad if by is None else by.grad(p)
                if grad is None:
                    continue
                array = p._array if by is None else by.read(p)
                g = grad._array if by is None else by.read(grad)
                changed.append(array)
                if array.dtype is not dtype:
                    dtype = array.dtype
                    rate = _as_0d(lr, dtype) if array.__class__ is np.ndarray else lr
                if is_plain and array.nbytes <= _SMALL:
                    array -= rate * g
                elif momentum:
                    v, existed = self._velocity(p)
                    changed.append(v)
                    in_blocks(formula, (g, array, v), (rate, momentum, scale if existed else 1.0))
                else:
                    # Large arrays are updated in parts of BLOCK bytes, which fit the cache.
                    in_blocks(formula, (g, array), (rate,))
        finally:  # NumPy may raise between two parameters, for example on overflow
            record_change(*changed)

    def _velocity(self, p: Any) -> tuple[Any, bool]:
        """Return the velocity of `p`, and whether it existed before this step."""
        state = self.state[p]
        v = state.get("momentum_buffer")
        if v is None:
            state["momentum_buffer"] = new = leaf_of(np.zeros_like(array_of(p)))
            return array_of(new), False
        return array_of(v), True


@lru_cache(maxsize=64)
def _as_0d(number: float, dtype: Any) -> Any:
    # NumPy takes a 0-d array in two thirds of the time of a Python number.
    return np.asarray(number, dtype)


def _descent(g: Any, p: Any, rate: Any) -> None:
    p -= rate * g


def _momentum(g: Any, p: Any, v: Any, rate: Any, momentum: Any, scale: Any) -> None:
    v *= momentum
    v += g if scale == 1 else scale * g
    p -= rate * v


def _nesterov(g: Any, p: Any, v: Any, rate: Any, momentum: Any, scale: Any) -> None:
    v *= momentum
    v += g if scale == 1 else scale * g
    p -= rate * (g + momentum * v)


class ASGD(Elementwise):
    """Averaged SGD: also stores the mean of the parameter over all steps after step t0 + 1.

    With the gradient g: p = (1 - lambd * eta) * p - eta * g, a = a + mu * (p - a). After step t,
    eta = lr / (1 + lambd * lr * t)^alpha and mu = 1 / max(1, t - t0); before the first step, eta =
    lr and mu = 1. The mean a is `state[p]["ax"]` (Polyak and Juditsky, 1992; Xu, 2011).
    `weight_decay` d replaces g by g + d * p; `maximize` reverses the sign of g.

    Raises `ValueError` if lr, lambd or weight_decay is negative or not finite, alpha not
    finite, or t0 NaN, and as `Optimizer` does.

    >>> import tinygrad_fc as tg
    >>> w = tg.tensor([1.0, 2.0], requires_grad=True)
    >>> opt = tg.optim.ASGD([w], lr=0.25, lambd=0)
    >>> (w * w).sum().backward()
    >>> opt.step()
    >>> w
    tensor([0.5, 1. ], requires_grad=True)
    """

    ranges: ClassVar[Mapping[str, Range]] = {
        **Elementwise.ranges,
        "lambd": NON_NEGATIVE,
        "alpha": FINITE,
        "t0": Range(lambda v: not math.isnan(v), "a number"),
    }

    def __init__(
        self,
        params: Params,
        lr: float = 1e-2,
        lambd: float = 1e-4,
        alpha: float = 0.75,
        t0: float = 1e6,
        weight_decay: float = 0,
        maximize: bool = False,
    ) -> None:
        super().__init__(params, options_of(locals()))

    def initial_scalars(self, group: Group) -> dict[str, float]:
        """Return t, eta and mu before the first step."""
        return {"step": 0.0, "eta": number_of(group["lr"]), "mu": 1.0}

    def rule(self, group: Group, scalars: dict[str, float]) -> Update:
        """Return ASGD's rule, with eta and mu of the previous step; store the new ones."""
        t, eta, mu = scalars["step"], scalars["eta"], scalars["mu"]
        lr, lambd, alpha, t0 = (number_of(group[key]) for key in ("lr", "lambd", "alpha", "t0"))
        scalars["eta"] = lr / (1 + lambd * lr * t) ** alpha
        scalars["mu"] = 1 / max(1.0, t - t0)
        return Update(_asgd, {"ax": 0.0}, (1 - lambd * eta, eta, mu))


def _asgd(g: Any, p: Any, a: Any, shrink: Any, eta: Any, mu: Any) -> None:
    p *= shrink
    p -= eta * g
    if mu == 1:
        a[...] = p
    else:
        a += mu * (p - a)


class Rprop(Elementwise):
    """Resilient propagation: steps by the sign of the gradient, with a step size per element.

    If the gradient g has the same sign as the previous one, the step size s is multiplied by
    etas[1]. If the sign has changed, s is multiplied by etas[0], and g is set to 0, for this step
    and in the comparison of the next. s starts at `lr` and stays within `step_sizes`;
    p = p - s * sign(g) (Riedmiller and Braun, 1993; without backtracking, as in Igel and Hüsken,
    2003). Use full-batch gradients: the signs of mini-batch gradients are noise. `maximize`
    reverses the sign of g.

    Raises `ValueError` if lr is negative or not finite, or unless 0 < etas[0] < 1 < etas[1] and
    0 <= step_sizes[0] <= step_sizes[1], and as `Optimizer` does.

    >>> import tinygrad_fc as tg
    >>> w = tg.tensor([1.0, 2.0], requires_grad=True)
    >>> opt = tg.optim.Rprop([w], lr=0.1)
    >>> (w * w).sum().backward()
    >>> opt.step()
    >>> w
    tensor([0.9, 1.9], requires_grad=True)
    """

    ranges: ClassVar[Mapping[str, Range]] = {
        **Elementwise.ranges,
        "etas": Range(
            lambda v: len(v) == 2 and 0 < v[0] < 1 < v[1] < math.inf,
            "two numbers, the first between 0 and 1, the second above 1",
        ),
        "step_sizes": Range(
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
        maximize: bool = False,
    ) -> None:
        super().__init__(params, options_of(locals()))

    def rule(self, group: Group, scalars: dict[str, float]) -> Update:  # noqa: ARG002  the same at each step
        """Return Rprop's rule."""
        numbers = (*map(number_of, group["etas"]), *map(number_of, group["step_sizes"]))
        return Update(_rprop, {"prev": 0.0, "step_size": number_of(group["lr"])}, numbers)


def _rprop(
    g: Any, p: Any, previous: Any, s: Any, shrink: Any, grow: Any, lower: Any, upper: Any
) -> None:
    agreement = g * previous
    factor = np.where(agreement > 0, grow, np.where(agreement < 0, shrink, 1))
    s *= factor.astype(s.dtype, copy=False)
    s[...] = np.minimum(np.maximum(s, lower), upper)
    previous[...] = np.where(agreement < 0, 0, g)
    p -= s * np.sign(previous)
