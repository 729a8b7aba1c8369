"""A line search: how far to go in a direction, so that the loss and its slope fall enough."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

DECREASE, CURVATURE = 1e-4, 0.9


class Point(NamedTuple):
    """What is known a way `t` along the direction: the loss, all gradients, the loss's slope."""

    t: float
    loss: float
    gradient: Any
    slope: float = math.nan


class _Search:
    """One search: the point that it starts from, and the calls that are left."""

    def __init__(self, look: Callable[[float], Point], start: Point, most: int) -> None:
        self.look, self.start, self.most = look, start, most
        self.calls = 0

    def at(self, t: float) -> Point:
        self.calls += 1
        return self.look(t)

    def too_high(self, point: Point) -> bool:
        return point.loss > self.start.loss + DECREASE * point.t * self.start.slope

    def flat(self, point: Point) -> bool:
        return abs(point.slope) <= -CURVATURE * self.start.slope

    def exhausted(self) -> bool:
        return self.calls > self.most


def strong_wolfe(
    look: Callable[[float], Point], start: Point, t: float, width: float, most: int
) -> tuple[Point, int]:
    """Return a point that satisfies the strong Wolfe conditions, and the calls of `look`.

    The loss there is below start.loss + 1e-4 * t * start.slope, and |slope| is at most 0.9 times
    that at the start; or it is the best point found when `most` more than the first were looked
    at, or the interval in question is narrower than `width` (Nocedal and Wright, 2006,
    algorithms 3.5 and 3.6).
    """
    search = _Search(look, start, most)
    bracket = _bracket(search, t)
    low = 0 if bracket[0].loss <= bracket[-1].loss else 1
    if len(bracket) == 1:
        return bracket[0], search.calls
    return _zoom(search, bracket, low, width), search.calls


def _bracket(search: _Search, t: float) -> list[Point]:
    """Return two points with a minimum between them, or one that will do; go further till then."""
    before, point = search.start, search.at(t)
    while not search.exhausted():
        if search.too_high(point) or (search.calls > 2 and point.loss >= before.loss):
            return [before, point]
        if search.flat(point):
            return [point]
        if point.slope >= 0:
            return [before, point]
        least, most = point.t + 0.01 * (point.t - before.t), point.t * 10
        before, point = point, search.at(_cubic(before, point, least, most))
    return [search.start, point]


def _zoom(search: _Search, bracket: list[Point], low: int, width: float) -> Point:
    """Return a point that will do from between the two in `bracket`, the lower one at `low`."""
    stuck = False
    while not search.exhausted() and abs(bracket[1].t - bracket[0].t) >= width:
        t, stuck = _inside(bracket, stuck=stuck)
        point = search.at(t)
        if search.too_high(point) or point.loss >= bracket[low].loss:
            bracket[1 - low] = point
            low = 0 if bracket[0].loss <= bracket[1].loss else 1
            continue
        done = search.flat(point)
        if not done and point.slope * (bracket[1 - low].t - bracket[low].t) >= 0:
            bracket[1 - low] = bracket[low]
        bracket[low] = point
        if done:
            break
    return bracket[low]


def _inside(bracket: list[Point], *, stuck: bool) -> tuple[float, bool]:
    """Return where to look next, and whether it is close to an end, as it may be once."""
    least, most = sorted(point.t for point in bracket)
    t = _cubic(bracket[0], bracket[1], least, most)
    margin = 0.1 * (most - least)
    if min(most - t, t - least) >= margin:
        return t, False
    if stuck or t >= most or t <= least:
        return (most - margin if abs(t - most) < abs(t - least) else least + margin), False
    return t, True


def _cubic(a: Point, b: Point, least: float, most: float) -> float:
    """Return where the cubic through both points, with their slopes, is least (formula 3.59)."""
    if a.t > b.t:
        a, b = b, a
    middle = (least + most) / 2
    if a.t == b.t:
        return middle
    d1 = a.slope + b.slope - 3 * (a.loss - b.loss) / (a.t - b.t)
    square = d1 * d1 - a.slope * b.slope
    if not 0 <= square < math.inf:
        return middle
    d2 = math.sqrt(square)
    below = b.slope - a.slope + 2 * d2
    if not below:
        return middle
    t = b.t - (b.t - a.t) * ((b.slope + d2 - d1) / below)
    return min(max(t, least), most)
