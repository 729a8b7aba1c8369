"""L-BFGS: steps from the curvature that the last gradients show."""

from __future__ import annotations

import math
from functools import partial
from operator import index
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from tinygrad_fc.functional.arguments import as_array
from tinygrad_fc.grad_mode import enable_grad
from tinygrad_fc.graph import changed, changing, wrap
from tinygrad_fc.optim.optimizer import AT_LEAST_0, NUMBER, Group, Limit, Optimizer
from tinygrad_fc.optim.wolfe import Point, strong_wolfe
from tinygrad_fc.tensor import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tinygrad_fc.optim.optimizer import Params

_COUNT = Limit(lambda v: index(v) >= 1, "a whole number, at least 1")
_FLAT = ("d", "prev_flat_grad", "old_dirs", "old_stps")


class LBFGS(Optimizer):
    """Newton's method with a curvature that is guessed from the last `history_size` steps.

    `step(closure)` takes up to `max_iter` steps p = p + t * d, where d = -H g comes from the
    gradient g by the two loops of Nocedal (1980), without ever forming H. t is lr, and
    min(1, 1 / sum |g|) * lr at first; with `line_search_fn="strong_wolfe"` it is looked for
    (Nocedal and Wright, 2006, algorithms 3.5 and 3.6). It ends early after `max_eval` calls of
    `closure` (1.25 * max_iter by default), where no |g| is above `tolerance_grad`, or a step or the
    change of the loss is below `tolerance_change`. There is one group of parameters.

    `ValueError` where lr is negative or not finite, a count not a whole number from 1 on, a
    tolerance not finite, for another line search, and as in `Optimizer`.

    >>> import tinygrad_fc as tg
    >>> w = tg.tensor([1.0, 2.0], requires_grad=True)
    >>> opt = tg.optim.LBFGS([w], line_search_fn="strong_wolfe")
    >>> def closure():
    ...     opt.zero_grad()
    ...     loss = ((w - 3) ** 2).sum()
    ...     loss.backward()
    ...     return loss
    >>> opt.step(closure).item(), closure().item() < 1e-20
    (5.0, True)
    """

    limits: ClassVar[Mapping[str, Limit]] = {
        "lr": AT_LEAST_0,
        "max_iter": _COUNT,
        "max_eval": _COUNT,
        "tolerance_grad": NUMBER,
        "tolerance_change": NUMBER,
        "history_size": _COUNT,
        "line_search_fn": Limit(lambda v: v in (None, "strong_wolfe"), "None or 'strong_wolfe'"),
    }

    def __init__(
        self,
        params: Params,
        lr: float = 1,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
    ) -> None:
        if max_eval is None and isinstance(max_iter, int):
            max_eval = max(1, max_iter * 5 // 4)
        defaults = {
            "lr": lr,
            "max_iter": max_iter,
            "max_eval": max_eval,
            "tolerance_grad": tolerance_grad,
            "tolerance_change": tolerance_change,
            "history_size": history_size,
            "line_search_fn": line_search_fn,
        }
        super().__init__(params, defaults)

    def add_param_group(self, param_group: Group) -> None:
        """Take the one group that there is; raise `ValueError` for a second."""
        if self.param_groups:
            raise ValueError("LBFGS has one direction for all parameters: pass them in one group")
        super().add_param_group(param_group)

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take up to `max_iter` steps; return the loss before them.

        `closure` forgets the gradients, computes the loss, goes backward and returns the loss; it
        is called several times. `TypeError` without it; `ValueError` where lr has become NaN.
        """
        if closure is None:
            raise TypeError("LBFGS computes the loss several times a step: pass step(closure)")
        group = self.param_groups[0]
        if math.isnan(group["lr"]):
            raise ValueError("LBFGS: the learning rate of a group is NaN")
        params, state = group["params"], self.state[group["params"][0]]
        state.setdefault("func_evals", 0)
        state.setdefault("n_iter", 0)
        with enable_grad():
            first = closure()
        state["func_evals"] += 1
        point = Point(0.0, float(first), _gradient(params))
        if not _largest(point.gradient) <= group["tolerance_grad"]:
            self._descend(closure, group, state, point)
        return first

    def _descend(
        self, closure: Callable[[], Any], group: Group, state: dict[str, Any], point: Point
    ) -> None:
        params, tolerance = group["params"], group["tolerance_change"]
        evaluations = 1
        for i in range(1, group["max_iter"] + 1):
            state["n_iter"] += 1
            d, t = _direction(state, point.gradient, group)
            state["d"], state["t"] = wrap(d), t
            before = state["prev_loss"] = point.loss
            point = Point(0.0, point.loss, point.gradient, float(point.gradient @ d))
            if point.slope > -tolerance:
                break
            calls = 0
            if group["line_search_fn"] is not None:
                point, calls = strong_wolfe(
                    partial(_look, closure, params, d),
                    point,
                    t,
                    tolerance / (_largest(d) or 1.0),
                    group["max_eval"] - evaluations,
                )
                t = state["t"] = point.t
                _move(params, t, d)
            else:
                _move(params, t, d)
                if i < group["max_iter"]:  # nobody would look at it
                    point, calls = _evaluate(closure, params), 1
            evaluations += calls
            state["func_evals"] += calls
            if (
                evaluations >= group["max_eval"]
                or _largest(point.gradient) <= group["tolerance_grad"]
                or _largest(t * d) <= tolerance
                or abs(point.loss - before) < tolerance
            ):
                break

    # State: kept with the first parameter, for all

    def _fitted(self, p: Tensor, key: str, value: Any) -> Any:
        if isinstance(value, list):
            return [self._fitted(p, key, each) for each in value]
        if not isinstance(value, Tensor | np.ndarray):
            return value
        array = as_array(value)
        return wrap(array.copy()) if array.ndim else float(array)

    def _check_loaded(self, p: Tensor, kept: dict[str, Any], group: Group) -> None:  # noqa: ARG002
        size = sum(each.numel() for each in group["params"])
        for key in _FLAT:
            vectors = kept.get(key, [])
            for vector in vectors if isinstance(vectors, list) else [vectors]:
                if vector.shape != (size,):
                    raise ValueError(
                        f"the state dict has {key} of shape {vector.shape} for LBFGS over "
                        f"parameters of {size} elements"
                    )


def _direction(state: dict[str, Any], g: Any, group: Group) -> tuple[Any, float]:
    """Return the direction from the gradient `g`, and how far to go first; remember `g`."""
    lr = float(group["lr"])
    if state["n_iter"] == 1:
        d, t = -g, lr / max(1.0, float(np.abs(g).sum()))
        state.update(old_dirs=[], old_stps=[], ro=[], H_diag=1.0)
    else:
        _remember(state, g, group["history_size"])
        d, t = _newton(state, g), lr
    state["prev_flat_grad"] = wrap(g.copy())
    return d, t


def _remember(state: dict[str, Any], g: Any, size: int) -> None:
    """Take the last step and the change of the gradient along it into the history."""
    y = g - state["prev_flat_grad"]._array
    s = state["t"] * state["d"]._array
    curvature = float(y @ s)
    if not curvature > 1e-10:  # H would not lead downhill any more
        return
    for key, value in (("old_dirs", wrap(y)), ("old_stps", wrap(s)), ("ro", 1 / curvature)):
        state[key] = [*state[key], value][-size:]
    state["H_diag"] = curvature / float(y @ y)


def _newton(state: dict[str, Any], g: Any) -> Any:
    """Return -H g, by Nocedal's two loops over the history."""
    ys, ss = ([t._array for t in state[key]] for key in ("old_dirs", "old_stps"))
    d = -g
    taken = []
    for y, s, ro in zip(reversed(ys), reversed(ss), reversed(state["ro"]), strict=True):
        taken.append(float(s @ d) * ro)
        d -= taken[-1] * y
    d *= state["H_diag"]
    for y, s, ro, a in zip(ys, ss, state["ro"], reversed(taken), strict=True):
        d += (a - float(y @ d) * ro) * s
    return d


def _largest(x: Any) -> float:
    return float(np.abs(x).max(initial=0.0))


def _gradient(params: list[Tensor]) -> Any:
    """Return all gradients in one row, zeros where there is none."""
    grads = [np.zeros_like(p._array) if p._grad is None else p._grad._array for p in params]
    return np.concatenate([g.reshape(-1) for g in grads])


def _evaluate(closure: Callable[[], Any], params: list[Tensor]) -> Point:
    with enable_grad():
        loss = float(closure())
    return Point(0.0, loss, _gradient(params))


def _look(closure: Callable[[], Any], params: list[Tensor], d: Any, t: float) -> Point:
    """Return loss, gradient and slope a way `t` along `d`, and come back."""
    here = [p._array.copy() for p in params]
    _move(params, t, d)
    try:
        point = _evaluate(closure, params)
    finally:
        _write(params, here)
    return Point(t, point.loss, point.gradient, float(point.gradient @ d))


def _move(params: list[Tensor], t: float, d: Any) -> None:
    ends = np.cumsum([p.numel() for p in params])
    parts = np.split(t * d, ends[:-1])
    arrays = [p._array + part.reshape(p.shape) for p, part in zip(params, parts, strict=True)]
    _write(params, arrays)


def _write(params: list[Tensor], arrays: list[Any]) -> None:
    with changing:
        for p, array in zip(params, arrays, strict=True):
            p._array[...] = array
        changed(*(p._array for p in params))
