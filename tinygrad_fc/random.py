"""Random tensors and generators, with PyTorch's names."""

from __future__ import annotations

import os
from _thread import allocate_lock
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec, Self, TypeVar

import numpy as np

from tinygrad_fc.core import dtypes
from tinygrad_fc.core.device import CPU, device_of, is_non_numpy_array, move_to_device, refuse_gpu
from tinygrad_fc.core.errors import ShapeError, check_argument, check_dtypes, check_shapes
from tinygrad_fc.core.node import Node, array_of, as_array, leaf_of
from tinygrad_fc.core.seam import like, observer
from tinygrad_fc.functional.arguments import (
    Options,
    accepts_arrays,
    as_shape,
    created,
    dtype_in,
    options_like,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Unpack

    from tinygrad_fc.core.dtypes import Sizes
    from tinygrad_fc.tensors import Tensor

__all__ = ["Generator", "bernoulli", "default_generator", "get_rng_state", "initial_seed"]
__all__ += ["manual_seed", "multinomial", "normal", "rand", "rand_like", "randint", "randint_like"]
__all__ += ["randn", "randn_like", "randperm", "set_rng_state"]

# The seed of a new Generator in PyTorch.
_FIRST_SEED = 67280421310721
_SEEDS = range(-(2**63), 2**64)
_STATE_SIZE = 256  # bytes of a generator's state, JSON with spaces at its end
_seeding = allocate_lock()
_P = ParamSpec("_P")
_R = TypeVar("_R")


class Generator:
    """A generator of random numbers: a seed gives the same numbers on every machine.

    A new one starts from a constant seed, as in PyTorch. `rng` is NumPy's generator, for other
    distributions. The state is a tensor of bytes, for checkpoints. Copies and pickles continue from
    the state of the original.

    >>> import tinygrad_fc as tg
    >>> a, b = (tg.rand(3, generator=tg.Generator().manual_seed(0)) for _ in range(2))
    >>> bool((a == b).all())
    True
    """

    def __init__(self, device: Any = "cpu") -> None:
        refuse_gpu(device)
        self.device = CPU
        self.manual_seed(_FIRST_SEED)

    def manual_seed(self, seed: int) -> Self:
        """Start from `seed`; return the generator.

        The function `manual_seed` seeds the generator that draws without `generator=` use: the
        default one, or the one of the run in `parallel.map` or of the estimator in `fit`.

        Raises `ValueError` unless `seed` is in [-2**63, 2**64); a negative seed counts back from
        2**64.

        >>> import tinygrad_fc as tg
        >>> a, b = (tg.manual_seed(0) and tg.rand(2) for _ in range(2))
        >>> bool((a == b).all())
        True
        """
        number = int(seed)
        check_argument(number in _SEEDS, "manual_seed", "in [-2**63, 2**64)", seed=seed)
        if by := observer():
            by.once("a random generator gets a seed")
        with _seeding:
            self._seed = number % 2**64
            self._rng: np.random.Generator | None = None
        return self

    @property
    def rng(self) -> np.random.Generator:
        """NumPy's generator."""
        by = observer()
        return self.own_rng if by is None else by.generator(self)

    @property
    def own_rng(self) -> np.random.Generator:
        """NumPy's generator, created at the first draw, since its import is slow."""
        with _seeding:
            if self._rng is None:
                self._rng = np.random.Generator(np.random.PCG64(self._seed))
            return self._rng

    def seed(self) -> int:
        """Start from a random seed, and return it."""
        self.manual_seed(int.from_bytes(os.urandom(8), "little"))
        return self._seed

    def initial_seed(self) -> int:
        """Return the seed that the generator started from.

        >>> import tinygrad_fc as tg
        >>> _ = tg.manual_seed(7)
        >>> tg.initial_seed()
        7
        """
        return self._seed

    def get_state(self) -> Tensor:
        """Return the state as a tensor of dtype uint8.

        >>> import tinygrad_fc as tg
        >>> tg.get_rng_state().dtype
        dtype('uint8')
        """
        import json  # noqa: PLC0415  which takes a millisecond

        if by := observer():
            by.once("the state of a random generator is read")
        bits = self.rng.bit_generator
        with bits.lock:
            text = json.dumps([self._seed, bits.state])
        return leaf_of(np.frombuffer(text.ljust(_STATE_SIZE).encode(), np.uint8).copy())

    def set_state(self, new_state: Tensor) -> Self:
        """Continue from a state that `get_state` returned.

        Raises `ShapeError` for any other tensor.

        >>> import tinygrad_fc as tg
        >>> state = tg.get_rng_state()
        >>> a = tg.rand(2)
        >>> _ = tg.set_rng_state(state)
        >>> bool((tg.rand(2) == a).all())
        True
        """
        import json  # noqa: PLC0415

        array, bits = as_array(new_state), np.random.PCG64()
        try:
            seed, bits.state = json.loads(array.astype(np.uint8, casting="safe").tobytes())
        except (ValueError, TypeError, KeyError) as error:
            raise ShapeError(
                f"a generator's state is a tensor of shape ({_STATE_SIZE},) and dtype uint8, got "
                f"{array.shape} and {array.dtype}, or other numbers. Pass a result of get_state()"
            ) from error
        self._seed, self._rng = seed, np.random.Generator(bits)
        return self


class RandomOptions(Options, total=False):
    """Options of functions that create random tensors."""

    generator: Generator | None


NO_DRAWS = object()
"""In place of a generator for `drawing_from`: a draw raises `RuntimeError`."""
_scoped: ContextVar[Any] = ContextVar("_scoped", default=None)
default_generator = Generator()
default_generator.seed()


def current_generator() -> Generator:
    """Return the generator of draws without `generator=`: `drawing_from` sets it for a block."""
    scoped = _scoped.get()
    return scoped if isinstance(scoped, Generator) else default_generator


def _of_current(method: Callable[_P, _R], name: str) -> Callable[_P, _R]:
    """Return the function that calls this method of the current generator."""

    @wraps(method)
    def function(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        result: _R = getattr(current_generator(), method.__name__)(*args, **kwargs)
        return result

    function.__name__ = function.__qualname__ = name
    return function


manual_seed = _of_current(default_generator.manual_seed, "manual_seed")
initial_seed = _of_current(default_generator.initial_seed, "initial_seed")
get_rng_state = _of_current(default_generator.get_state, "get_rng_state")
set_rng_state = _of_current(default_generator.set_state, "set_rng_state")


@contextmanager
def drawing_from(generator: Any) -> Iterator[None]:
    """Return a context in which this thread or task draws from `generator`, and seeds it."""
    token = _scoped.set(generator)
    try:
        yield
    finally:
        _scoped.reset(token)


@contextmanager
def fork_rng(devices: Any = None, enabled: bool = True, **_: Any) -> Iterator[None]:
    """Return a context after which draws without `generator=` go on from the state before it.

    >>> import tinygrad_fc as tg
    >>> with tg.random.fork_rng():
    ...     a = tg.rand(2)
    >>> bool((tg.rand(2) == a).all())
    True
    """
    del devices
    state = get_rng_state() if enabled else None
    try:
        yield
    finally:
        if state is not None:
            set_rng_state(state)


def rng_of(generator: Any) -> np.random.Generator:
    """Return the NumPy generator of `generator`; None means `current_generator()`.

    Raises `RuntimeError` inside `drawing_from(NO_DRAWS)`.
    """
    scoped = _scoped.get()
    if scoped is NO_DRAWS:
        raise RuntimeError(
            "vmap: the function draws random numbers, which may differ by row or not. Pass "
            "randomness='different', or 'same' for the same numbers in each row"
        )
    if generator is None:
        return current_generator().rng
    if isinstance(generator, Generator):
        return generator.rng
    if isinstance(generator, np.random.Generator):
        return generator
    raise TypeError(f"generator must be a Generator, got {type(generator).__name__}")


# In-place fills


def fill_uniform(array: Any, low: float, high: float, generator: Any = None) -> None:
    """Fill the float array with uniform random numbers from [low, high).

    Raises `ValueError` unless low <= high and high - low is finite.
    """
    fit = low <= high and bool(np.isfinite(float(high) - float(low)))
    check_argument(fit, "uniform", "finite bounds, from <= to", bounds=(low, high))
    _fill(array, lambda rng, **how: rng.random(**how), generator)
    array *= high - low
    array += low
    # Rounding may return `high` itself, which is excluded.
    np.copyto(array, low, where=array >= high)


def fill_normal(array: Any, mean: Any, std: Any, generator: Any = None) -> None:
    """Fill the float array with normal random numbers; raise `ValueError` unless std >= 0."""
    check_argument(bool(np.all(np.asarray(std, like=like()) >= 0)), "normal", "at least 0", std=std)
    _fill(array, lambda rng, **how: rng.standard_normal(**how), generator)
    array *= std
    if not isinstance(mean, int | float) or mean:
        array += mean


def _fill(array: Any, sample: Any, generator: Any) -> None:
    check_dtypes(array.dtype.kind == "f", "random numbers", "a float dtype: use float32", array)
    rng = rng_of(generator)
    drawn = dtypes.float64 if array.dtype == np.float64 else dtypes.float32  # NumPy has no float16
    if array.dtype == drawn and not is_non_numpy_array(array) and array.flags.carray:
        sample(rng, dtype=drawn, out=array)
    else:
        host = sample(rng, size=array.shape, dtype=drawn).astype(array.dtype)
        array[...] = move_to_device(host, device_of(array))


# Tensors by shape


@accepts_arrays()
def rand(*shape: Any, size: Sizes | None = None, **options: Unpack[RandomOptions]) -> Tensor:
    """Return numbers from the uniform distribution on [0, 1): `rand(2, 3)` or `rand((2, 3))`.

    `options` are those of `zeros`; `dtype` is a float dtype, by default the default dtype. Raises
    `DtypeError` for another dtype, `ShapeError` for a negative size.

    >>> import tinygrad_fc as tg
    >>> tg.rand(2, 3).shape
    Size([2, 3])
    """
    array = np.empty(as_shape(shape, size), dtype_in(options), like=like())
    fill_uniform(array, 0.0, 1.0, options.pop("generator", None))
    return created(array, options)


@accepts_arrays()
def randn(*shape: Any, size: Sizes | None = None, **options: Unpack[RandomOptions]) -> Tensor:
    """Return numbers from the standard normal distribution; see `rand`.

    >>> import tinygrad_fc as tg
    >>> tg.randn(2, 3, dtype=tg.float32).dtype
    dtype('float32')
    """
    return normal(0.0, 1.0, as_shape(shape, size), **options)


@accepts_arrays("input")
def rand_like(input: Tensor, **options: Unpack[RandomOptions]) -> Tensor:
    """Return `rand` of the shape and, by default, the dtype of `input`.

    >>> import tinygrad_fc as tg
    >>> tg.rand_like(tg.zeros(2, 3)).shape
    Size([2, 3])
    """
    return rand(size=input.shape, **options_like(input, options))


@accepts_arrays("input")
def randn_like(input: Tensor, **options: Unpack[RandomOptions]) -> Tensor:
    """Return `randn` of the shape and, by default, the dtype of `input`.

    >>> import tinygrad_fc as tg
    >>> tg.randn_like(tg.zeros(2, 3)).shape
    Size([2, 3])
    """
    return randn(size=input.shape, **options_like(input, options))


@accepts_arrays()
def randint(
    low: int = 0, high: Any = None, size: Sizes | None = None, **options: Unpack[RandomOptions]
) -> Tensor:
    """Return a tensor of integers from the uniform distribution on [low, high).

    `randint(10, (3,))` or `randint(5, 10, (3,))`; `dtype` is int64 by default. Raises `ValueError`
    unless low < high and both fit the dtype.

    >>> import tinygrad_fc as tg
    >>> bool((tg.randint(5, 10, (100,)) >= 5).all())
    True
    """
    if size is None:
        low, high, size = 0, low, high
    elif high is None:
        low, high = 0, low
    check_argument(low < high, "randint", "low < high", bounds=(low, high))
    dtype = dtype_in(options, np.int64)
    drawn = np.int64 if dtype.kind == "f" else dtype
    rng = rng_of(options.pop("generator", None))
    numbers = rng.integers(low, high, as_shape((size,)), dtype=drawn)
    return created(np.asarray(numbers, dtype, like=like()), options)


@accepts_arrays("input")
def randint_like(
    input: Tensor, low: int = 0, high: int | None = None, **options: Unpack[RandomOptions]
) -> Tensor:
    """Return `randint` of the shape and, by default, the dtype of `input`.

    >>> import tinygrad_fc as tg
    >>> tg.randint_like(tg.zeros(2), 7, 8)
    tensor([7., 7.])
    """
    return randint(low, high, input.shape, **options_like(input, options))


@accepts_arrays()
def randperm(n: int, **options: Unpack[RandomOptions]) -> Tensor:
    """Return the numbers 0 ... n-1 in random order, int64 by default.

    Raises `ValueError` for a negative `n`.

    >>> import tinygrad_fc as tg
    >>> sorted(tg.randperm(4).tolist())
    [0, 1, 2, 3]
    """
    check_argument(n >= 0, "randperm", "at least 0", n=n)
    numbers = rng_of(options.pop("generator", None)).permutation(n)
    return created(numbers.astype(dtype_in(options, np.int64), copy=False), options)


# Distributions with tensors as parameters


@accepts_arrays("input")
def bernoulli(
    input: Tensor, p: float | None = None, *, generator: Generator | None = None
) -> Tensor:
    """Return elementwise 1 with probability `p`, or `input` without `p`, else 0.

    With `p` only the shape and dtype of `input` matter. Raises `ValueError` for a probability
    outside [0, 1] or NaN.

    >>> import tinygrad_fc as tg
    >>> tg.bernoulli(tg.tensor([0.0, 1.0]))
    tensor([0., 1.])
    """
    probability = as_array(input) if p is None else np.asarray(float(p))
    check_dtypes(probability.dtype.kind == "f", "bernoulli", "floats: use .float()", probability)
    fit = bool(np.all((probability >= 0) & (probability <= 1)))
    check_argument(fit, "bernoulli", "in [0, 1]", probability=probability)
    array = as_array(input)
    drawn = rng_of(generator).random(array.shape) < probability
    return leaf_of(np.asarray(drawn, array.dtype, like=like()))


@accepts_arrays("input")
def multinomial(
    input: Tensor,
    num_samples: int,
    replacement: bool = False,
    *,
    generator: Generator | None = None,
) -> Tensor:
    """Return the indices of `num_samples` categories drawn by weight, for each row of weights.

    `input` (categories,) or (rows, categories) holds weights of at least 0 that need not sum to 1;
    the result is (num_samples,) or (rows, num_samples). Without `replacement` the indices of a row
    differ. Raises `ShapeError` for other shapes, `ValueError` for weights that are negative, not
    finite or all 0, and for more samples than categories of positive weight.

    >>> import tinygrad_fc as tg
    >>> tg.multinomial(tg.tensor([0.0, 3.0, 0.0]), 2, replacement=True)
    tensor([1, 1])
    """
    weights = as_array(input)
    fit = weights.ndim in (1, 2) and weights.shape[-1] > 0
    check_shapes(fit, "multinomial", "weights (categories,) or (rows, categories)", weights)
    fit = bool(np.isfinite(weights).all() and (weights >= 0).all())
    check_argument(fit, "multinomial", "finite weights of at least 0", input=weights)
    possible = np.count_nonzero(weights, axis=-1).min(initial=weights.shape[-1])
    check_argument(possible > 0, "multinomial", "a weight above 0 in each row", input=weights)
    fit = num_samples >= 1 and possible >= (1 if replacement else num_samples)
    expected = "the categories of weight above 0, or with replacement=True"
    expected = expected if fit else f"1 to {possible}, {expected}"  # a tracer has no text
    check_argument(fit, "multinomial", expected, num_samples=num_samples)
    rng = rng_of(generator)
    rows = weights.reshape(-1, weights.shape[-1]).astype(np.float64)
    if replacement:
        rows = rows / rows.max(axis=-1, keepdims=True)
        shares = rows / rows.sum(axis=-1, keepdims=True)
        drawn = (rng.choice(shares.shape[-1], num_samples, p=p) for p in shares)
        indices = np.concatenate([np.empty(0, np.int64), *drawn])
    else:
        # The sample is the smallest of exponential variables with the weights as rates. Logarithms
        # are compared, so that small weights do not underflow.
        times = np.maximum(rng.standard_exponential(rows.shape), np.finfo(np.float64).tiny)
        with np.errstate(divide="ignore"):
            indices = np.argsort(np.log(times) - np.log(rows), axis=-1)[:, :num_samples]
    return leaf_of(indices.reshape(*weights.shape[:-1], num_samples))


@accepts_arrays()
def normal(mean: Any, std: Any = 1.0, size: Any = None, **options: Unpack[RandomOptions]) -> Tensor:
    """Return numbers from normal distributions of `mean` and `std`, numbers or tensors.

    If either is a tensor, the result has their broadcast shape; else `size` is required. Raises
    `ValueError` for a negative `std`, `TypeError` for a missing or superfluous `size`.

    >>> import tinygrad_fc as tg
    >>> tg.normal(tg.tensor([1.0, 2.0]), 0.0)
    tensor([1., 2.])
    """
    if isinstance(mean, Node) or isinstance(std, Node):
        if size is not None:
            raise TypeError("normal takes its shape from the tensors: leave out size")
        mean, std = array_of(mean), array_of(std)
        shape = np.broadcast_shapes(np.shape(mean), np.shape(std))
        dtype = dtype_in(options, np.result_type(mean, std))
    elif size is None:
        raise TypeError("normal of two numbers needs a size: normal(0.0, 1.0, (2, 3))")
    else:
        shape, dtype = as_shape((size,)), dtype_in(options)
    array = np.empty(shape, dtype, like=like())
    fill_normal(array, mean, std, options.pop("generator", None))
    return created(array, options)
