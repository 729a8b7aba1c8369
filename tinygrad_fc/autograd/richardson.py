"""Richardson's extrapolation, each value with a bound, held against all finer ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    Array = np.ndarray[Any, Any]


def extrapolated(
    column: Array, noise: Array, unseen: Array, powers: Sequence[float]
) -> tuple[Array, Array]:
    """Return the limit of `column`, a row for each halving of the step, and a bound on its error.

    `noise` is the rounding of each entry as far as it is seen, and `unseen` what there may be
    beside it, which makes bounds wider and contradicts nothing. Each entry of `powers` tells what
    halving the step divides the next term of the error by.
    """
    raw, blur = column, 3 * noise
    values = np.full((len(powers), *column.shape), np.nan)
    errors, wider = np.full_like(values, np.inf), np.zeros_like(values)
    for j, p in enumerate(powers):
        parents, column = column, column[1:] + (column[1:] - column[:-1]) / (p - 1)
        noise, unseen = ((p * n[1:] + n[:-1]) / (p - 1) for n in (noise, unseen))
        apart = np.maximum(np.abs(column - parents[1:]), np.abs(column - parents[:-1]))
        values[j, j + 1 :], wider[j, j + 1 :] = column, 3 * unseen
        errors[j, j + 1 :] = 2 * apart + 3 * noise
    errors = np.where(np.isfinite(values) & np.isfinite(errors), errors, np.inf)
    values = np.where(np.isfinite(errors), values, 0)
    low, high = _left_open((values - errors).max(axis=0), (values + errors).min(axis=0))
    errors = np.where((values - errors > high) | (values + errors < low), np.inf, errors)
    # Differences come nearer as the step shrinks: what finer ones are farther from is no limit.
    low, high = _left_open(raw - blur, raw + blur)
    far = np.abs(values - raw)
    far[:, 1:] = np.maximum(far[:, 1:], np.abs(values[:, 1:] - raw[:-1]))
    far = far * 1.25 + blur
    errors = np.where((values - far > high) | (values + far < low), np.inf, errors) + wider
    errors, values = (a.reshape(len(a) * len(a[0]), *a.shape[2:]) for a in (errors, values))
    best = errors.argmin(axis=0)[None]
    return np.take_along_axis(values, best, 0)[0], np.take_along_axis(errors, best, 0)[0]


def _left_open(low: Array, high: Array) -> tuple[Array, Array]:
    """Return for each level the interval that all finer ones, which come later, leave open."""
    beyond = np.full_like(low[:1], np.inf)
    low = np.where(np.isnan(low), -np.inf, low)
    high = np.where(np.isnan(high), np.inf, high)
    low = np.maximum.accumulate(np.concatenate([-beyond, low[:0:-1]]))[::-1]
    return low, np.minimum.accumulate(np.concatenate([beyond, high[:0:-1]]))[::-1]
