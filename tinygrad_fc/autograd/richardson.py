"""Richardson's extrapolation, each value with a bound, held against all finer ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    Array = np.ndarray[Any, Any]


def extrapolated(
    column: Array, noise: Array, unseen: Array | None, powers: Sequence[float]
) -> tuple[Array, Array]:
    """Return the limits of `column`, a row for each halved step, and bounds on their errors.

    `noise` is the rounding of each entry as far as it is seen, and `unseen` what there may be
    beside it, which makes bounds wider and contradicts nothing. Each entry of `powers` tells what
    halving the step divides the next term of the error by.
    """
    raw, blur = column, 3 * noise
    values, errors = (np.full((len(powers), *column.shape), x) for x in (0.0, np.inf))
    wider = None if unseen is None else np.zeros_like(values)
    for j, p in enumerate(powers):
        parents, column = column, column[1:] + (column[1:] - column[:-1]) / (p - 1)
        noise = _next(noise, p)
        apart = np.maximum(np.abs(column - parents[1:]), np.abs(column - parents[:-1]))
        values[j, j + 1 :], errors[j, j + 1 :] = column, 2 * apart + 3 * noise
        if wider is not None and unseen is not None:
            unseen = _next(unseen, p)
            wider[j, j + 1 :] = 3 * unseen
    known = np.isfinite(values) & np.isfinite(errors)
    errors, values = np.where(known, errors, np.inf), np.where(known, values, 0)
    least, most = values - errors, values + errors
    low, high = _left_open(least.max(axis=0), most.min(axis=0))
    errors = np.where((least > high) | (most < low), np.inf, errors)
    # Differences come nearer as the step shrinks: what finer ones are farther from is no limit.
    low, high = _left_open(raw - blur, raw + blur)
    far = np.abs(values - raw)
    far[:, 1:] = np.maximum(far[:, 1:], np.abs(values[:, 1:] - raw[:-1]))
    far = far * 1.25 + blur
    errors = np.where((values - far > high) | (values + far < low), np.inf, errors)
    if wider is not None:
        errors += wider
    count = raw.shape[1]
    errors, values = (a.reshape(len(powers) * len(raw), count) for a in (errors, values))
    best = errors.argmin(axis=0), np.arange(count)
    return values[best], errors[best]


def _next(noise: Array, p: float) -> Array:
    """Return the rounding of the next column of the tableau."""
    return np.asarray((p * noise[1:] + noise[:-1]) / (p - 1))


def _left_open(low: Array, high: Array) -> tuple[Array, Array]:
    """Return for each level the interval that all finer ones, which come later, leave open."""
    lowest, highest = np.full_like(low, -np.inf), np.full_like(high, np.inf)
    np.fmax.accumulate(low[:0:-1], out=lowest[-2::-1])
    np.fmin.accumulate(high[:0:-1], out=highest[-2::-1])
    return lowest, highest
