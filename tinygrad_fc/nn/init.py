"""Ways to fill parameters with first values, in place and unrecorded, under PyTorch's names.

`fan_in` is how many inputs a unit sums, `fan_out` how many units an input feeds; for a weight
`(out, in, *rest)` they are `in` and `out`, each times the sizes of `rest`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc import graph
from tinygrad_fc.errors import ShapeError
from tinygrad_fc.random import fill_normal, fill_uniform, rng_of

if TYPE_CHECKING:
    from tinygrad_fc.random import Generator
    from tinygrad_fc.tensor import Tensor

_GAINS = {
    "linear": 1.0,
    "conv1d": 1.0,
    "conv2d": 1.0,
    "conv3d": 1.0,
    "conv_transpose1d": 1.0,
    "conv_transpose2d": 1.0,
    "conv_transpose3d": 1.0,
    "sigmoid": 1.0,
    "tanh": 5 / 3,
    "relu": math.sqrt(2),
    "selu": 3 / 4,
}
# exp(-x*x/2) relative to its peak falls below what a uniform number can tell from 0.
_NEGLIGIBLE = 80.0


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """Return the factor by which weights should be larger before a nonlinearity.

    `nonlinearity` is the name of a function of `nn.functional`; `param` is the negative slope of
    `leaky_relu` (0.01). Raises `ValueError` for a name that is not known, or a slope that is not
    a number.

    >>> import tinygrad_fc as tg
    >>> tg.nn.init.calculate_gain("tanh")
    1.6666666666666667
    """
    if nonlinearity == "leaky_relu":
        slope = 0.01 if param is None else param
        if isinstance(slope, bool) or not isinstance(slope, int | float):
            raise ValueError(f"the negative slope of leaky_relu must be a number, got {slope!r}")
        return math.sqrt(2 / (1 + slope**2))
    if nonlinearity not in _GAINS:
        known = ", ".join([*_GAINS, "leaky_relu"])
        raise ValueError(f"no gain is known for {nonlinearity!r}; known are {known}")
    return _GAINS[nonlinearity]


def uniform_(
    tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: Generator | None = None
) -> Tensor:
    """Fill `tensor` with numbers drawn evenly from [a, b), and return it.

    Raises `ValueError` where a > b.

    >>> import tinygrad_fc as tg
    >>> w = tg.nn.init.uniform_(tg.empty(100), -1, 1)
    >>> bool((w.abs() <= 1).all())
    True
    """
    fill_uniform(tensor._array, a, b, generator)
    return _changed(tensor)


def normal_(
    tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: Generator | None = None
) -> Tensor:
    """Fill `tensor` with normal numbers, and return it; raises `ValueError` where std < 0.

    >>> import tinygrad_fc as tg
    >>> tg.nn.init.normal_(tg.empty(2), mean=3.0, std=0.0)
    tensor([3., 3.])
    """
    fill_normal(tensor._array, mean, std, generator)
    return _changed(tensor)


def trunc_normal_(
    tensor: Tensor,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    generator: Generator | None = None,
) -> Tensor:
    """Fill `tensor` with normal numbers of which those outside [a, b] were drawn anew; return it.

    Exact for every interval, far out in a tail too. Raises `ValueError` unless a < b and std > 0.

    >>> import tinygrad_fc as tg
    >>> w = tg.nn.init.trunc_normal_(tg.empty(100), std=3.0)
    >>> bool((w.abs() <= 2).all())
    True
    """
    if not (a < b and std > 0):
        raise ValueError(f"trunc_normal_ needs a < b and std > 0, got a={a}, b={b}, std={std}")
    array = tensor._array
    drawn = _truncated(array.size, (a - mean) / std, (b - mean) / std, rng_of(generator))
    array[...] = np.clip(drawn * std + mean, a, b).reshape(array.shape)
    return _changed(tensor)


def _truncated(count: int, low: float, high: float, rng: np.random.Generator) -> Any:
    """Return `count` standard normal numbers within [low, high], by rejection.

    Candidates are even over the interval, cut to where the density is not negligible, and kept
    with a probability proportional to it: at least one in fifty is, however far out that is.
    """
    peak = min(max(0.0, low), high)
    far = math.sqrt(peak * peak + _NEGLIGIBLE)
    low, high = max(low, -far), min(high, far)
    kept = np.empty(0)
    while kept.size < count:
        x = rng.uniform(low, high, 2 * (count - kept.size) + 16)
        kept = np.append(kept, x[rng.random(x.size) < np.exp((peak * peak - x * x) / 2)])
    return kept[:count]


def constant_(tensor: Tensor, val: float) -> Tensor:
    """Fill `tensor` with `val`, and return it.

    >>> import tinygrad_fc as tg
    >>> tg.nn.init.constant_(tg.empty(2), 0.5)
    tensor([0.5, 0.5])
    """
    tensor._array[...] = val
    return _changed(tensor)


def zeros_(tensor: Tensor) -> Tensor:
    """Fill `tensor` with zeros, and return it."""
    return constant_(tensor, 0.0)


def ones_(tensor: Tensor) -> Tensor:
    """Fill `tensor` with ones, and return it."""
    return constant_(tensor, 1.0)


def eye_(tensor: Tensor) -> Tensor:
    """Fill `tensor`, `(n, m)`, with ones on its diagonal and zeros elsewhere; return it.

    Raises `ShapeError` unless it has two dimensions.

    >>> import tinygrad_fc as tg
    >>> tg.nn.init.eye_(tg.empty(2, 3))
    tensor([[1., 0., 0.],
            [0., 1., 0.]])
    """
    if tensor.ndim != 2:
        raise ShapeError(f"eye_ fills a tensor of 2 dimensions, got shape {tensor.shape}")
    tensor._array[...] = np.eye(*tensor.shape, dtype=tensor.dtype)
    return _changed(tensor)


def xavier_uniform_(
    tensor: Tensor, gain: float = 1.0, generator: Generator | None = None
) -> Tensor:
    """Fill `tensor` evenly from [-r, r), r = gain * sqrt(6 / (fan_in + fan_out)); return it.

    Keeps the variance of what flows forward and of gradients alike (Glorot and Bengio, 2010,
    formula 16). Raises `ShapeError` for fewer than two dimensions.

    >>> import tinygrad_fc as tg
    >>> w = tg.nn.init.xavier_uniform_(tg.empty(2, 4))
    >>> bool((w.abs() <= 1).all())
    True
    """
    bound = gain * math.sqrt(6 / sum(_fans(tensor)))
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Fill `tensor` with normal numbers of std gain * sqrt(2 / (fan_in + fan_out)); return it.

    Keeps the variance of what flows forward and of gradients alike (Glorot and Bengio, 2010).
    Raises `ShapeError` for fewer than two dimensions.
    """
    return normal_(tensor, 0.0, gain * math.sqrt(2 / sum(_fans(tensor))), generator)


def kaiming_uniform_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    """Fill `tensor` evenly from [-r, r), r = gain * sqrt(3 / fan); return it.

    Keeps the variance of what flows forward (`mode="fan_in"`) or of gradients (`"fan_out"`)
    through layers with the `nonlinearity`, whose gain `calculate_gain` has; `a` is the negative
    slope of `leaky_relu` (He et al., 2015, formulas 10 and 14). Raises `ShapeError` for fewer
    than two dimensions, `ValueError` for another mode.

    >>> import tinygrad_fc as tg
    >>> w = tg.nn.init.kaiming_uniform_(tg.empty(2, 6), nonlinearity="relu")
    >>> bool((w.abs() <= 1).all())
    True
    """
    bound = math.sqrt(3) * _kaiming_std(tensor, a, mode, nonlinearity)
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    """Fill `tensor` with normal numbers of std gain / sqrt(fan); return it.

    The arguments and errors are those of `kaiming_uniform_`.
    """
    return normal_(tensor, 0.0, _kaiming_std(tensor, a, mode, nonlinearity), generator)


def orthogonal_(tensor: Tensor, gain: float = 1, generator: Generator | None = None) -> Tensor:
    """Fill `tensor`, as a matrix `(n, the rest)`, with orthonormal rows or columns times `gain`.

    Rows where there are at most as many as columns, else columns; drawn evenly from all such
    matrices (Saxe et al., 2013; Mezzadri, 2007). Returns it. Raises `ShapeError` for fewer than
    two dimensions.

    >>> import tinygrad_fc as tg
    >>> w = tg.nn.init.orthogonal_(tg.empty(2, 5))
    >>> bool(((w @ w.T - tg.eye(2)).abs() < 1e-12).all())
    True
    """
    if tensor.ndim < 2:
        raise ShapeError(f"orthogonal_ needs 2 or more dimensions, got shape {tensor.shape}")
    array = tensor._array
    if array.size:
        rows, columns = array.shape[0], array.size // array.shape[0]
        drawn = rng_of(generator).standard_normal((max(rows, columns), min(rows, columns)))
        q, r = np.linalg.qr(drawn)
        # With signs that depend on the algorithm, not all orthogonal matrices are equally likely.
        q *= np.where(np.diagonal(r) < 0, -1.0, 1.0)
        array[...] = (gain * (q.T if rows < columns else q)).reshape(array.shape)
    return _changed(tensor)


def _fans(tensor: Tensor) -> tuple[int, int]:
    if tensor.ndim < 2:
        raise ShapeError(
            f"fan_in and fan_out need 2 or more dimensions, got shape {tensor.shape}: a bias is "
            "filled by zeros_ or uniform_"
        )
    rest = math.prod(tensor.shape[2:])
    # At least 1: where there is nothing to fill, there is nothing to divide by either.
    return max(1, tensor.shape[1] * rest), max(1, tensor.shape[0] * rest)


def _kaiming_std(tensor: Tensor, a: float, mode: str, nonlinearity: str) -> float:
    modes = ("fan_in", "fan_out")
    if mode.lower() not in modes:
        raise ValueError(f"mode must be 'fan_in' or 'fan_out', got {mode!r}")
    fan = _fans(tensor)[modes.index(mode.lower())]
    return calculate_gain(nonlinearity, a) / math.sqrt(fan)


def _changed(tensor: Tensor) -> Tensor:
    graph.changed(tensor._array)
    return tensor
