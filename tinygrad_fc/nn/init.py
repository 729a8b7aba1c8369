"""Initial values of parameters, set in place and not recorded, under PyTorch's names.

`fan_in` is the number of inputs of a unit, `fan_out` the number of units that an input feeds. For a
weight (out, in, *rest) they are `in` and `out`, times the product of `rest`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.core.errors import ShapeError, check_argument
from tinygrad_fc.core.grad_mode import no_grad
from tinygrad_fc.random import rng_of

if TYPE_CHECKING:
    from tinygrad_fc.random import Generator
    from tinygrad_fc.tensors import Tensor

_LINEAR = ("linear", *(f"conv{t}{n}d" for t in ("", "_transpose") for n in (1, 2, 3)), "sigmoid")
_GAINS = dict.fromkeys(_LINEAR, 1.0) | {"tanh": 5 / 3, "relu": math.sqrt(2), "selu": 3 / 4}


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """Return the recommended gain of weights before `nonlinearity`.

    It is "linear", "sigmoid", "tanh", "relu", "leaky_relu", "selu" or a convolution ("conv1d").
    `param` is the negative slope of `leaky_relu` (0.01). Raises `ValueError` for an unknown name.

    >>> import tinygrad_fc as tg
    >>> tg.nn.init.calculate_gain("tanh")
    1.6666666666666667
    """
    if nonlinearity == "leaky_relu":
        slope = 0.01 if param is None else param
        return math.sqrt(2 / (1 + slope**2))
    known = (*_GAINS, "leaky_relu")
    check_argument(nonlinearity in _GAINS, "calculate_gain", known, nonlinearity=nonlinearity)
    return _GAINS[nonlinearity]


def _set(tensor: Tensor, values: Any) -> Tensor:
    with no_grad():
        return tensor.copy_(values)


def uniform_(
    tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: Generator | None = None
) -> Tensor:
    """Fill `tensor` uniformly from [a, b), and return it; raises `ValueError` for a > b.

    >>> import tinygrad_fc as tg
    >>> w = tg.nn.init.uniform_(tg.empty(100), -1, 1)
    >>> bool((w.abs() <= 1).all())
    True
    """
    with no_grad():
        return tensor.uniform_(a, b, generator=generator)


def normal_(
    tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: Generator | None = None
) -> Tensor:
    """Fill `tensor` from a normal distribution, and return it; raises `ValueError` for std < 0.

    >>> import tinygrad_fc as tg
    >>> tg.nn.init.normal_(tg.empty(2), mean=3.0, std=0.0)
    tensor([3., 3.])
    """
    with no_grad():
        return tensor.normal_(mean, std, generator=generator)


def trunc_normal_(
    tensor: Tensor,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    generator: Generator | None = None,
) -> Tensor:
    """Fill `tensor` from a normal distribution truncated to [a, b], and return it.

    The distribution is exact, also for an interval far in a tail. Raises `ValueError` unless a < b
    and std > 0.

    >>> import tinygrad_fc as tg
    >>> w = tg.nn.init.trunc_normal_(tg.empty(100), std=3.0)
    >>> bool((w.abs() <= 2).all())
    True
    """
    check_argument(a < b, "trunc_normal_", f"less than b = {b}", a=a)
    check_argument(std > 0, "trunc_normal_", "more than 0", std=std)
    standard = _truncated(tensor.numel(), (a - mean) / std, (b - mean) / std, rng_of(generator))
    return _set(tensor, np.clip(standard * std + mean, a, b).reshape(tensor.shape))


def _truncated(count: int, low: float, high: float, rng: np.random.Generator) -> Any:
    """Return `count` standard normal numbers within [low, high], by rejection.

    Proposals are uniform on the part of the interval where the density is not negligible. They are
    accepted with probability density(x) / density(peak), which is at least 2 % on average.
    """
    peak = min(max(0.0, low), high)
    far = math.sqrt(peak * peak + 80)  # beyond, exp(-x * x / 2) / exp(-peak * peak / 2) < 1e-17
    low, high = max(low, -far), min(high, far)
    accepted = np.empty(0)
    while accepted.size < count:
        x = rng.uniform(low, high, 2 * (count - accepted.size) + 16)
        accept = rng.random(x.size) < np.exp((peak * peak - x * x) / 2)
        accepted = np.append(accepted, x[accept])
    return accepted[:count]


def constant_(tensor: Tensor, val: float) -> Tensor:
    """Fill `tensor` with `val`, and return it.

    >>> import tinygrad_fc as tg
    >>> tg.nn.init.constant_(tg.empty(2), 0.5)
    tensor([0.5, 0.5])
    """
    with no_grad():
        return tensor.fill_(val)


def zeros_(tensor: Tensor) -> Tensor:
    """Fill `tensor` with zeros, and return it.

    >>> import tinygrad_fc as tg
    >>> tg.nn.init.zeros_(tg.empty(2))
    tensor([0., 0.])
    """
    return constant_(tensor, 0.0)


def ones_(tensor: Tensor) -> Tensor:
    """Fill `tensor` with ones, and return it.

    >>> import tinygrad_fc as tg
    >>> tg.nn.init.ones_(tg.empty(2))
    tensor([1., 1.])
    """
    return constant_(tensor, 1.0)


def eye_(tensor: Tensor) -> Tensor:
    """Fill `tensor` (n, m) with the identity matrix, and return it.

    Raises `ShapeError` unless it has two dimensions.

    >>> import tinygrad_fc as tg
    >>> tg.nn.init.eye_(tg.empty(2, 3))
    tensor([[1., 0., 0.],
            [0., 1., 0.]])
    """
    _check_dimensions("eye_", tensor, exactly=True)
    return _set(tensor, np.eye(tensor.shape[0], tensor.shape[1]))


def xavier_uniform_(
    tensor: Tensor, gain: float = 1.0, generator: Generator | None = None
) -> Tensor:
    """Fill `tensor` uniformly from [-r, r), r = gain * sqrt(6 / (fan_in + fan_out)); return it.

    This preserves the variance of activations and gradients through layers (Glorot and Bengio,
    2010, formula 16). Raises `ShapeError` for fewer than two dimensions.

    >>> import tinygrad_fc as tg
    >>> w = tg.nn.init.xavier_uniform_(tg.empty(2, 4))
    >>> bool((w.abs() <= 1).all())
    True
    """
    bound = gain * math.sqrt(6 / sum(_calculate_fan_in_and_fan_out(tensor, "xavier_uniform_")))
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Fill `tensor` from N(0, std**2), std = gain * sqrt(2 / (fan_in + fan_out)); return it.

    This preserves the variance of activations and gradients through layers (Glorot and Bengio,
    2010). Raises `ShapeError` for fewer than two dimensions.

    >>> import tinygrad_fc as tg
    >>> weight = tg.nn.init.xavier_normal_(tg.empty(100, 100))
    >>> abs(weight.std().item() - 0.1) < 0.01  # sqrt(2 / (100 + 100))
    True
    """
    std = gain * math.sqrt(2 / sum(_calculate_fan_in_and_fan_out(tensor, "xavier_normal_")))
    return normal_(tensor, 0.0, std, generator)


def kaiming_uniform_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    """Fill `tensor` uniformly from [-r, r), r = gain * sqrt(3 / fan); return it.

    This preserves the variance of activations (`mode="fan_in"`) or of gradients (`"fan_out"`)
    through layers with `nonlinearity`, whose gain `calculate_gain` returns; `a` is the negative
    slope of `leaky_relu` (He et al., 2015, formulas 10 and 14). Raises `ShapeError` for fewer than
    two dimensions, `ValueError` for another mode.

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
    """Fill `tensor` from N(0, std**2), std = gain / sqrt(fan); return it.

    The arguments and errors are those of `kaiming_uniform_`.

    >>> import tinygrad_fc as tg
    >>> weight = tg.nn.init.kaiming_normal_(tg.empty(100, 200))
    >>> abs(weight.std().item() - 0.1) < 0.01  # sqrt(2 / 200)
    True
    """
    return normal_(tensor, 0.0, _kaiming_std(tensor, a, mode, nonlinearity), generator)


def orthogonal_(tensor: Tensor, gain: float = 1, generator: Generator | None = None) -> Tensor:
    """Fill `tensor`, as a matrix (n, rest), with orthonormal rows or columns times `gain`.

    The rows are orthonormal if n <= rest, else the columns. The matrix is uniformly distributed
    over all such matrices (Saxe et al., 2013; Mezzadri, 2007). Returns `tensor`. Raises
    `ShapeError` for fewer than two dimensions.

    >>> import tinygrad_fc as tg
    >>> w = tg.nn.init.orthogonal_(tg.empty(2, 5))
    >>> bool(((w @ w.T - tg.eye(2)).abs() < 1e-12).all())
    True
    """
    _check_dimensions("orthogonal_", tensor)
    if not tensor.numel():
        return tensor
    rows, columns = tensor.shape[0], tensor.numel() // tensor.shape[0]
    normal = rng_of(generator).standard_normal((max(rows, columns), min(rows, columns)))
    q, r = np.linalg.qr(normal)
    # The signs that the algorithm chooses would make some orthogonal matrices more likely.
    q *= np.where(np.diagonal(r) < 0, -1.0, 1.0)
    return _set(tensor, (gain * (q.T if rows < columns else q)).reshape(tensor.shape))


def sparse_(
    tensor: Tensor, sparsity: float, std: float = 0.01, generator: Generator | None = None
) -> Tensor:
    """Fill `tensor` (n, m) from N(0, std**2), but a fraction of each column with 0; return it.

    ceil(sparsity * n) random elements of each column are 0 (Martens, 2010). Raises `ShapeError`
    unless `tensor` has two dimensions, `ValueError` unless `sparsity` is in [0, 1].

    >>> import tinygrad_fc as tg
    >>> int((tg.nn.init.sparse_(tg.empty(10, 3), sparsity=0.2) == 0).sum())
    6
    """
    _check_dimensions("sparse_", tensor, exactly=True)
    check_argument(0 <= sparsity <= 1, "sparse_", "a fraction in [0, 1]", sparsity=sparsity)
    rng = rng_of(generator)
    values = rng.standard_normal(tensor.shape) * std
    ranks = rng.permuted(np.tile(np.arange(len(values))[:, None], values.shape[1]), axis=0)
    return _set(tensor, np.where(ranks < math.ceil(sparsity * len(values)), 0.0, values))


def _check_dimensions(name: str, tensor: Tensor, *, exactly: bool = False) -> None:
    if tensor.ndim < 2 or (exactly and tensor.ndim > 2):
        raise ShapeError(
            f"{name}: the tensor has shape {tensor.shape}, expected 2{' or more' * (not exactly)} "
            "dimensions. Initialise a bias with zeros_ or uniform_"
        )


def _calculate_fan_in_and_fan_out(tensor: Tensor, name: str = "fans") -> tuple[int, int]:
    _check_dimensions(name, tensor)
    rest = math.prod(tensor.shape[2:])
    return max(1, tensor.shape[1] * rest), max(1, tensor.shape[0] * rest)  # no division by 0


def _kaiming_std(tensor: Tensor, a: float, mode: str, nonlinearity: str) -> float:
    modes = ("fan_in", "fan_out")
    check_argument(mode.lower() in modes, "kaiming", "'fan_in' or 'fan_out'", mode=mode)
    fan = _calculate_fan_in_and_fan_out(tensor, "kaiming")[modes.index(mode.lower())]
    return calculate_gain(nonlinearity, a) / math.sqrt(fan)
