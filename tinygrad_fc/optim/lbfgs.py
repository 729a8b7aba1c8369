"""L-BFGS: a quasi-Newton method, with a line search for the strong Wolfe conditions."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

from tinygrad_fc.core.grad_mode import enable_grad
from tinygrad_fc.core.graph import mutation_lock, record_change
from tinygrad_fc.core.node import array_of, as_array, grad_of, leaf_of, number_of
from tinygrad_fc.core.seam import observer
from tinygrad_fc.optim.optimizer import COUNT, FINITE, NON_NEGATIVE, Optimizer, Range, options_of
from tinygrad_fc.tensors import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tinygrad_fc.optim.optimizer import Group, Params

    Evaluate = Callable[[], tuple[Any, "Point"]]

__all__ = ["LBFGS"]

DECREASE, CURVATURE = 1e-4, 0.9  # c1 and c2 of the Wolfe conditions


class LBFGS(Optimizer):
    """Quasi-Newton method that estimates the inverse Hessian H from the last `history_size` steps.

    `step(closure)` takes up to `max_iter` steps p = p + t * d with d = -H g, which the two-loop
    recursion of Nocedal (1980) computes from the gradient g. t is lr, in the first step min(1, 1 /
    sum |g|) * lr; with `line_search_fn="strong_wolfe"` a line search chooses t (Nocedal and Wright,
    2006, algorithms 3.5 and 3.6). It ends when all |g| are at most `tolerance_grad`; when a step,
    the change of the loss or -g @ d is below `tolerance_change`; and after `max_eval` calls of
    `closure` (1.25 * max_iter by default; the first step or a line search may make one more).
    `maximize` reverses the signs of the loss and of g. There is one group of parameters; `state` of
    the first parameter holds the state of all.

    Raises `ValueError` if lr is negative or not finite, a count is not an integer of at least 1, a
    tolerance is not finite or the line search unknown, and as `Optimizer` does.

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

    has_stepped = False  # its `step` sets it
    ranges: ClassVar[Mapping[str, Range]] = {
        "lr": NON_NEGATIVE,
        **dict.fromkeys(("max_iter", "max_eval", "history_size"), COUNT),
        **dict.fromkeys(("tolerance_grad", "tolerance_change"), FINITE),
        "line_search_fn": Range.of(None, "strong_wolfe"),
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
        *,
        maximize: bool = False,
    ) -> None:
        if max_eval is None and isinstance(max_iter, int):
            max_eval = max(1, max_iter * 5 // 4)
        super().__init__(params, options_of(locals()))

    def add_param_group(self, param_group: Group) -> None:
        """Set the one group of parameters; raise `ValueError` for a second."""
        if self.param_groups:
            raise ValueError("LBFGS has one direction for all parameters: pass them in one group")
        super().add_param_group(param_group)

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take up to `max_iter` steps; return the loss at the starting point.

        `closure` zeroes the gradients, computes the loss, calls its backward and returns it; it is
        called several times. Raises `TypeError` without it, `ValueError` if lr is NaN.
        """
        if closure is None:
            raise TypeError("LBFGS computes the loss several times a step: pass step(closure)")
        if (by := observer()) is not None:
            by.once("LBFGS chooses its steps by the values of the loss")
        self.check_rates(self.param_groups)
        group = self.param_groups[0]
        params, state = group["params"], self.state[group["params"][0]]
        state.setdefault("func_evals", 0)
        state.setdefault("n_iter", 0)
        sign = -1 if group["maximize"] else 1

        def evaluate() -> tuple[Any, Point]:
            with enable_grad():
                loss = closure()
            state["func_evals"] += 1
            return loss, Point(0.0, sign * number_of(loss), sign * _gradient(params))

        first, point = evaluate()
        if not _max_abs(point.gradient) <= group["tolerance_grad"]:
            self._iterate(evaluate, group, state, point)
        return first

    def _iterate(
        self, evaluate: Evaluate, group: Group, state: dict[str, Any], point: Point
    ) -> None:
        params, tolerance = group["params"], group["tolerance_change"]
        max_calls = state["func_evals"] - 1 + group["max_eval"]
        for i in range(1, group["max_iter"] + 1):
            state["n_iter"] += 1
            d, t = _direction(state, point.gradient, group)
            state["d"], state["t"] = leaf_of(d), t
            previous = state["prev_loss"] = point.loss
            point = Point(0.0, point.loss, point.gradient, number_of(point.gradient @ d))
            if point.slope > -tolerance:
                break
            if group["line_search_fn"] is not None:
                width = tolerance / (_max_abs(d) or 1.0)
                left = max_calls - state["func_evals"]
                point = LineSearch(evaluate, params, d, point, left).point(t, width)
                t = state["t"] = point.t
            _move(params, t, d)
            # After the last step without a line search, the loss is not needed.
            if group["line_search_fn"] is None and i < group["max_iter"]:
                _, point = evaluate()
            if (
                state["func_evals"] >= max_calls
                or _max_abs(point.gradient) <= group["tolerance_grad"]
                or _max_abs(t * d) <= tolerance
                or abs(point.loss - previous) < tolerance
            ):
                break

    def _cast(self, p: Tensor, key: str, value: Any) -> Any:
        """Return a copy of a `value` of a loaded state dict, in its own shape and dtype.

        Its vectors hold elements of all parameters, not of `p` alone.
        """
        if isinstance(value, list):
            return [self._cast(p, key, item) for item in value]
        if not isinstance(value, Tensor | np.ndarray):
            return value
        array = as_array(value)
        return leaf_of(array.copy()) if array.ndim else number_of(array)


# The direction


def _direction(state: dict[str, Any], g: Any, group: Group) -> tuple[Any, float]:
    """Return the direction from the gradient `g`, and the initial step length; store `g`."""
    lr = number_of(group["lr"])
    if state["n_iter"] == 1:
        d, t = -g, lr / max(1.0, number_of(np.abs(g).sum()))
        state.update(old_dirs=[], old_stps=[], ro=[], H_diag=1.0)
    else:
        _extend_history(state, g, group["history_size"])
        d, t = _newton(state, g), lr
    state["prev_flat_grad"] = leaf_of(g.copy())
    return d, t


def _extend_history(state: dict[str, Any], g: Any, size: int) -> None:
    """Append the last step s and the change of the gradient y to the history."""
    y = g - array_of(state["prev_flat_grad"])
    s = state["t"] * array_of(state["d"])
    curvature = number_of(y @ s)
    if not curvature > 1e-10:  # H would no longer be positive definite
        return
    # PyTorch's keys: the list of y is "old_dirs", that of s "old_stps", that of 1 / (y @ s) "ro".
    for key, value in (("old_dirs", leaf_of(y)), ("old_stps", leaf_of(s)), ("ro", 1 / curvature)):
        state[key] = [*state[key], value][-size:]
    state["H_diag"] = curvature / number_of(y @ y)


def _newton(state: dict[str, Any], g: Any) -> Any:
    """Return -H g, by the two-loop recursion over the history."""
    ys, ss = ([array_of(t) for t in state[key]] for key in ("old_dirs", "old_stps"))
    d = -g
    alphas = []
    for y, s, ro in zip(reversed(ys), reversed(ss), reversed(state["ro"]), strict=True):
        alphas.append(number_of(s @ d) * ro)
        d -= alphas[-1] * y
    d *= state["H_diag"]
    for y, s, ro, alpha in zip(ys, ss, state["ro"], reversed(alphas), strict=True):
        d += (alpha - number_of(y @ d) * ro) * s
    return d


# The line search


class Point(NamedTuple):
    """The loss, its gradient and its slope along the direction, at step length `t`."""

    t: float
    loss: float
    gradient: Any
    slope: float = math.nan


class LineSearch:
    """A search along `d` for a point that satisfies the strong Wolfe conditions.

    They are: loss <= start.loss + 1e-4 * t * start.slope, and |slope| <= 0.9 * |start.slope|.
    """

    def __init__(
        self, objective: Evaluate, params: list[Tensor], d: Any, start: Point, max_calls: int
    ) -> None:
        self.objective, self.params, self.d = objective, params, d
        self.start, self.max_calls, self.calls = start, max_calls, 0

    def point(self, t: float, width: float) -> Point:
        """Return a point that satisfies both conditions; `t` is the first step length to try.

        After `max_calls` + 1 calls, or once the interval is narrower than `width`, return the end
        of the interval with the smaller loss.
        """
        bracket = self.bracket(t)
        low = 0 if bracket[0].loss <= bracket[-1].loss else 1
        return bracket[0] if len(bracket) == 1 else self.zoom(bracket, low, width)

    def evaluate(self, t: float) -> Point:
        """Evaluate at step length `t`, then restore the parameters."""
        self.calls += 1
        before = [array_of(p).copy() for p in self.params]
        _move(self.params, t, self.d)
        try:
            _, point = self.objective()
        finally:
            _write(self.params, before)
        return Point(t, point.loss, point.gradient, number_of(point.gradient @ self.d))

    def violates_decrease(self, point: Point) -> bool:
        """Return whether `point` violates the sufficient decrease (Armijo) condition."""
        return point.loss > self.start.loss + DECREASE * point.t * self.start.slope

    def satisfies_curvature(self, point: Point) -> bool:
        """Return whether `point` satisfies the strong curvature condition."""
        return abs(point.slope) <= -CURVATURE * self.start.slope

    def bracket(self, t: float) -> list[Point]:
        """Return two points with a minimum between them, or one that satisfies the conditions.

        After `max_calls` + 1 calls, return the start and the last point.
        """
        previous, point = self.start, self.evaluate(t)
        while self.calls <= self.max_calls:
            if self.violates_decrease(point) or (self.calls > 2 and point.loss >= previous.loss):
                return [previous, point]
            if self.satisfies_curvature(point):
                return [point]
            if point.slope >= 0:
                return [previous, point]
            lower, upper = point.t + 0.01 * (point.t - previous.t), point.t * 10
            previous, point = point, self.evaluate(_cubic(previous, point, lower, upper))
        return [self.start, point]

    def zoom(self, bracket: list[Point], low: int, width: float) -> Point:
        """Return a point between the two of `bracket`; `bracket[low]` has the smaller loss."""
        near_end = False
        while self.calls <= self.max_calls and abs(bracket[1].t - bracket[0].t) >= width:
            t, near_end = _next_length(bracket, near_end=near_end)
            point = self.evaluate(t)
            if self.violates_decrease(point) or point.loss >= bracket[low].loss:
                bracket[1 - low] = point
                low = 0 if bracket[0].loss <= bracket[1].loss else 1
                continue
            done = self.satisfies_curvature(point)
            if not done and point.slope * (bracket[1 - low].t - bracket[low].t) >= 0:
                bracket[1 - low] = bracket[low]
            bracket[low] = point
            if done:
                break
        return bracket[low]


def _next_length(bracket: list[Point], *, near_end: bool) -> tuple[float, bool]:
    """Return the next step length, and whether it is near an end of the interval.

    If the previous length was near an end (`near_end`) and this one is too, it is moved inside.
    """
    lower, upper = sorted(point.t for point in bracket)
    t = _cubic(bracket[0], bracket[1], lower, upper)
    margin = 0.1 * (upper - lower)
    if min(upper - t, t - lower) >= margin:
        return t, False
    if near_end or t >= upper or t <= lower:
        return (upper - margin if abs(t - upper) < abs(t - lower) else lower + margin), False
    return t, True


def _cubic(a: Point, b: Point, lower: float, upper: float) -> float:
    """Return the minimum of the cubic through both points and slopes, clamped to the bounds.

    Nocedal and Wright (2006), formula 3.59.
    """
    if a.t > b.t:
        a, b = b, a
    middle = (lower + upper) / 2
    if a.t == b.t:
        return middle
    d1 = a.slope + b.slope - 3 * (a.loss - b.loss) / (a.t - b.t)
    square = d1 * d1 - a.slope * b.slope
    if not 0 <= square < math.inf:
        return middle
    d2 = math.sqrt(square)
    denominator = b.slope - a.slope + 2 * d2
    if not denominator:
        return middle
    t = b.t - (b.t - a.t) * ((b.slope + d2 - d1) / denominator)
    return min(max(t, lower), upper)


# All parameters as one vector


def _max_abs(x: Any) -> float:
    return number_of(np.abs(x).max()) if x.size else 0.0


def _gradient(params: list[Tensor]) -> Any:
    """Return all gradients as one vector, with zeros for those that are None."""
    grads = [
        np.zeros_like(array_of(p)) if grad_of(p) is None else array_of(grad_of(p)) for p in params
    ]
    return np.concatenate([g.reshape(-1) for g in grads])


def _move(params: list[Tensor], t: float, d: Any) -> None:
    ends = np.cumsum([p.numel() for p in params])
    parts = np.split(t * d, ends[:-1].tolist())
    arrays = [array_of(p) + part.reshape(p.shape) for p, part in zip(params, parts, strict=True)]
    _write(params, arrays)


def _write(params: list[Tensor], arrays: list[Any]) -> None:
    with mutation_lock:  # so that a backward pass in another thread sees the change
        for p, array in zip(params, arrays, strict=True):
            array_of(p)[...] = array
        record_change(*(array_of(p) for p in params))
