"""Random tensors under PyTorch's names, drawn from the process's generator or a given one."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc import dtypes
from tinygrad_fc.device import check as check_device
from tinygrad_fc.errors import DtypeError, ShapeError
from tinygrad_fc.functions.making import as_array, with_grad
from tinygrad_fc.functions.refusals import teach
from tinygrad_fc.functions.shape import sizes
from tinygrad_fc.generator import (
    Generator,
    default_generator,
    fill_normal,
    fill_uniform,
    manual_seed,
    rng_of,
)
from tinygrad_fc.graph import Node, wrap

if TYPE_CHECKING:
    from tinygrad_fc.tensor import Tensor

__all__ = [
    "Generator",
    "bernoulli",
    "default_generator",
    "fill_normal",
    "fill_uniform",
    "manual_seed",
    "multinomial",
    "normal",
    "rand",
    "rand_like",
    "randint",
    "randn",
    "randn_like",
    "randperm",
    "rng_of",
]

# Tensors by shape


def _made(
    fill: Any, shape: tuple[int, ...], dtype: Any, device: Any, generator: Any, requires_grad: bool
) -> Tensor:
    check_device(device)
    array = np.empty(shape, dtype or dtypes.get_default_dtype())
    fill(array, 0.0, 1.0, generator)
    return with_grad(array, requires_grad)


def _shape(positional: tuple[Any, ...], size: Any) -> tuple[int, ...]:
    shape = sizes(positional if size is None else (size,))
    if any(n < 0 for n in shape):
        raise ShapeError(f"a shape has no negative sizes, got {shape}")
    return shape


def rand(
    *shape: Any,
    size: Any = None,
    generator: Generator | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Return numbers drawn evenly from [0, 1), in a shape: `rand(2, 3)` or `rand((2, 3))`.

    `dtype` is a float one, by default the default dtype. Raises `DtypeError` for another,
    `ShapeError` for a negative size.

    >>> import tinygrad_fc as tg
    >>> tg.rand(2, 3).shape
    (2, 3)
    """
    return _made(fill_uniform, _shape(shape, size), dtype, device, generator, requires_grad)


def randn(
    *shape: Any,
    size: Any = None,
    generator: Generator | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Return numbers drawn from the standard normal distribution, in a shape, as `rand` does.

    >>> import tinygrad_fc as tg
    >>> tg.randn(2, 3, dtype=tg.float32).dtype
    dtype('float32')
    """
    return _made(fill_normal, _shape(shape, size), dtype, device, generator, requires_grad)


def rand_like(
    input: Tensor,
    *,
    generator: Generator | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Return what `rand` does, in the shape of `input` and, unless `dtype` is given, its dtype.

    >>> import tinygrad_fc as tg
    >>> tg.rand_like(tg.zeros(2, 3)).shape
    (2, 3)
    """
    dtype = dtype or input.dtype
    return _made(fill_uniform, input.shape, dtype, device, generator, requires_grad)


def randn_like(
    input: Tensor,
    *,
    generator: Generator | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Return what `randn` does, in the shape of `input` and, unless `dtype` is given, its dtype.

    >>> import tinygrad_fc as tg
    >>> tg.randn_like(tg.zeros(2, 3)).shape
    (2, 3)
    """
    dtype = dtype or input.dtype
    return _made(fill_normal, input.shape, dtype, device, generator, requires_grad)


def randint(
    *bounds: Any,
    low: int = 0,
    high: int | None = None,
    size: Any = None,
    generator: Generator | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Return whole numbers drawn evenly from [low, high), in a shape.

    `randint(10, (3,))` or `randint(5, 10, (3,))`; `dtype` is int64 unless given. Raises
    `ValueError` unless low < high and both fit the dtype.

    >>> import tinygrad_fc as tg
    >>> bool((tg.randint(5, 10, (100,)) >= 5).all())
    True
    """
    check_device(device)
    given = list(bounds)
    if size is None and given:
        size = given.pop()
    if high is None and given:
        high = given.pop()
    low = given.pop() if given else low
    if given or size is None or high is None:
        raise TypeError("randint takes (high, size) or (low, high, size), with size a tuple")
    if not low < high:
        raise ValueError(f"randint draws from [low, high) with low < high, got [{low}, {high})")
    wanted = np.dtype(dtype or dtypes.int64)
    shape, rng = _shape((), size), rng_of(generator)
    if wanted.kind == "f":
        drawn = rng.integers(low, high, shape).astype(wanted)
    else:
        drawn = rng.integers(low, high, shape, dtype=wanted)
    return with_grad(np.asarray(drawn, wanted), requires_grad)


def randperm(
    n: int,
    *,
    generator: Generator | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Return the numbers 0 … n-1 in random order, int64 unless `dtype` is given.

    Raises `ValueError` for a negative `n`.

    >>> import tinygrad_fc as tg
    >>> sorted(tg.randperm(4).tolist())
    [0, 1, 2, 3]
    """
    check_device(device)
    if n < 0:
        raise ValueError(f"randperm orders the numbers below n, and n is {n}: at least 0 is needed")
    drawn = rng_of(generator).permutation(n)
    return with_grad(drawn.astype(dtype or dtypes.int64, copy=False), requires_grad)


# Tensors by parameters of a distribution


def bernoulli(
    input: Tensor, p: float | None = None, *, generator: Generator | None = None
) -> Tensor:
    """Return 1 with the probability that `input`, or `p`, gives, else 0, elementwise.

    `input` holds probabilities, in [0, 1], and is of a float dtype unless `p` is given, when only
    its shape and dtype count. Raises `ValueError` for a probability outside, or NaN.

    >>> import tinygrad_fc as tg
    >>> tg.bernoulli(tg.tensor([0.0, 1.0]))
    tensor([0., 1.])
    """
    probability = as_array(input) if p is None else np.asarray(float(p))
    if probability.dtype.kind != "f":
        raise DtypeError(f"probabilities need a float dtype, got {probability.dtype}: try .float()")
    if not np.all((probability >= 0) & (probability <= 1)):
        raise ValueError("bernoulli takes probabilities in [0, 1], and got one outside")
    shape = as_array(input).shape
    drawn = rng_of(generator).random(shape) < probability
    return wrap(np.asarray(drawn, as_array(input).dtype))


def multinomial(
    input: Tensor,
    num_samples: int,
    replacement: bool = False,
    *,
    generator: Generator | None = None,
) -> Tensor:
    """Draw `num_samples` categories from each row of weights.

    `input` is `(categories,)` or `(rows, categories)`, of weights at least 0 that need not sum to
    1; the result, `(num_samples,)` or `(rows, num_samples)`, holds category numbers. Without
    `replacement` those of a row differ. Raises `ShapeError` for other shapes, `ValueError` for
    weights that are negative, not finite or all 0, and for more samples than categories that
    can be drawn.

    >>> import tinygrad_fc as tg
    >>> tg.multinomial(tg.tensor([0.0, 3.0, 0.0]), 2, replacement=True)
    tensor([1, 1])
    """
    weights = as_array(input)
    if weights.ndim not in (1, 2) or weights.shape[-1] == 0:
        raise ShapeError(
            f"multinomial takes weights (categories,) or (rows, categories), got {weights.shape}"
        )
    if weights.dtype.kind != "f":
        raise DtypeError(f"weights need a float dtype, got {weights.dtype}: try .float()")
    if not (np.isfinite(weights).all() and (weights >= 0).all()):
        raise ValueError("multinomial takes finite weights that are at least 0, and got others")
    possible = np.count_nonzero(weights, axis=-1).min(initial=weights.shape[-1])
    if possible == 0:
        raise ValueError("multinomial got a row of weights that are all 0: nothing can be drawn")
    if num_samples < 1:
        raise ValueError(f"multinomial draws at least one sample, got num_samples={num_samples}")
    if not replacement and num_samples > possible:
        raise ValueError(
            f"multinomial cannot draw {num_samples} different categories where {possible} have a "
            "weight above 0: draw fewer, or pass replacement=True"
        )
    rng = rng_of(generator)
    rows = np.atleast_2d(weights).astype(np.float64)
    if replacement:
        drawn = _with_replacement(rows / rows.max(axis=-1, keepdims=True), num_samples, rng)
    else:
        # The categories whose exponential clocks, running at the rate of their weights, ring
        # first. Times in logarithms, lest small weights next to large ones count as 0.
        times = np.maximum(rng.standard_exponential(rows.shape), np.finfo(np.float64).tiny)
        with np.errstate(divide="ignore"):
            drawn = np.argsort(np.log(times) - np.log(rows), axis=-1)[:, :num_samples]
    return wrap(drawn.reshape(*weights.shape[:-1], num_samples))


def _with_replacement(rows: Any, count: int, rng: np.random.Generator) -> Any:
    sums = np.cumsum(rows, axis=-1)
    # Strictly below the last sum, so that a category of weight 0 at the end is never drawn.
    aims = np.minimum(rng.random((len(rows), count)) * sums[:, -1:], np.nextafter(sums[:, -1:], 0))
    found = [np.searchsorted(s, aim, side="right") for s, aim in zip(sums, aims, strict=True)]
    return np.array(found, np.int64).reshape(len(rows), count)


def normal(
    mean: Any,
    std: Any = 1.0,
    size: Any = None,
    *,
    generator: Generator | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Return normal numbers with the `mean` and `std` given, each a number or a tensor.

    Where one is a tensor the result has the shape to which both broadcast, and its dtype; of
    numbers, `size` gives the shape. Raises `ValueError` for a negative `std`, `TypeError` for a
    missing or a needless `size`.

    >>> import tinygrad_fc as tg
    >>> tg.normal(tg.tensor([1.0, 2.0]), 0.0)
    tensor([1., 2.])
    """
    check_device(device)
    if isinstance(mean, Node) or isinstance(std, Node):
        if size is not None:
            raise TypeError("normal takes its shape from the tensors: leave out size")
        mean, std = (as_array(v) if isinstance(v, Node) else v for v in (mean, std))
        shape = np.broadcast_shapes(np.shape(mean), np.shape(std))
        dtype = dtype or np.result_type(mean, std)
    elif size is None:
        raise TypeError("normal of two numbers needs a size: normal(0.0, 1.0, (2, 3))")
    else:
        shape = _shape((), size)
    if not np.all(np.asarray(std) >= 0):
        raise ValueError("a standard deviation is at least 0, and normal got one that is not")
    array = np.empty(shape, dtype or dtypes.get_default_dtype())
    fill_normal(array, 0.0, 1.0, generator)
    return with_grad(np.asarray(array * std + mean, array.dtype), requires_grad)


teach(sys.modules[__name__])
