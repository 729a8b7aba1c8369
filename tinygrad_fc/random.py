"""Random tensors under PyTorch's names, and the generators that they are drawn from."""

from __future__ import annotations

import os
import sys
from _thread import allocate_lock
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from tinygrad_fc import dtypes
from tinygrad_fc.device import CPU, computes_elsewhere, device_of, moved
from tinygrad_fc.device import check as check_device
from tinygrad_fc.errors import DtypeError, ShapeError
from tinygrad_fc.functional.arguments import accept_arrays, as_array, as_shape
from tinygrad_fc.functional.creation import with_grad
from tinygrad_fc.graph import Node, wrap

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tinygrad_fc.tensor import Tensor

__all__ = ["Generator", "bernoulli", "default_generator", "get_rng_state", "initial_seed"]
__all__ += ["manual_seed", "multinomial", "normal", "rand", "rand_like", "randint", "randn"]
__all__ += ["randn_like", "randperm", "set_rng_state"]


# What a new Generator starts from in PyTorch: always the same.
_FIRST_SEED = 67280421310721
_SEEDS = range(-(2**63), 2**64)
# What a state holds: the seed, PCG64's state and increment, and half a draw kept back.
_STATE = np.dtype([("seed", "<u8"), ("pcg", "<u8", 4), ("has_half", "<u4"), ("half", "<u4")])
_LOW = 2**64 - 1
_seeding = allocate_lock()


class Generator:
    """A source of random numbers: the same seed gives the same numbers, on every machine.

    A new one always starts from the same seed, as PyTorch's does. `rng` is NumPy's generator, for
    what is not here. Its state is a tensor of bytes, to be kept in a checkpoint. Copies and
    pickles go on from where the original is.

    >>> import tinygrad_fc as tg
    >>> a, b = (tg.rand(3, generator=tg.Generator().manual_seed(0)) for _ in range(2))
    >>> bool((a == b).all())
    True
    """

    def __init__(self, device: Any = "cpu") -> None:
        check_device(device)
        self.device = CPU
        self.manual_seed(_FIRST_SEED)

    def manual_seed(self, seed: int) -> Self:
        """Start from `seed`; return the generator.

        Raises `ValueError` unless it is in [-2**63, 2**64); a negative one counts back from 2**64.
        """
        number = int(seed)
        if number not in _SEEDS:
            raise ValueError(f"a seed is a whole number in [-2**63, 2**64), got {seed}")
        with _seeding:
            self._seed = number % 2**64
            self._rng: np.random.Generator | None = None
        return self

    @property
    def rng(self) -> np.random.Generator:
        """NumPy's generator, made at the first draw: importing it takes a third of our time."""
        made = self._rng
        if made is None:
            with _seeding:
                made = self._rng or np.random.Generator(np.random.PCG64(self._seed))
                self._rng = made
        return made

    def seed(self) -> int:
        """Start from a random seed, and return it."""
        self.manual_seed(int.from_bytes(os.urandom(8), "little"))
        return self._seed

    def initial_seed(self) -> int:
        """Return the seed that was started from."""
        return self._seed

    def get_state(self) -> Tensor:
        """Return the state as a tensor of bytes, of dtype uint8."""
        bits = self.rng.bit_generator
        with bits.lock:
            state: Any = bits.state
        words = [
            half for number in state["state"].values() for half in (number & _LOW, number >> 64)
        ]
        packed = np.array([(self._seed, words, state["has_uint32"], state["uinteger"])], _STATE)
        return wrap(packed.view(np.uint8))

    def set_state(self, new_state: Tensor) -> Self:
        """Go on from a state that `get_state` returned.

        Raises `DtypeError` or `ShapeError` for what is not such a tensor.
        """
        array = np.ascontiguousarray(as_array(new_state))
        if array.dtype != np.uint8:
            raise DtypeError(f"a generator's state is of dtype uint8, got {array.dtype}")
        if array.shape != (_STATE.itemsize,):
            raise ShapeError(
                f"a generator's state has shape ({_STATE.itemsize},), got {array.shape}"
            )
        packed = array.view(_STATE)[0]
        words = [int(word) for word in packed["pcg"]]
        bits = np.random.PCG64()
        bits.state = {
            "bit_generator": "PCG64",
            "state": {"state": words[0] | words[1] << 64, "inc": words[2] | words[3] << 64},
            "has_uint32": int(packed["has_half"]),
            "uinteger": int(packed["half"]),
        }
        self._seed = int(packed["seed"])
        self._rng = np.random.Generator(bits)
        return self

    def clone_state(self) -> Generator:
        """Return another generator that will draw the same numbers."""
        return Generator().set_state(self.get_state())


_scoped: ContextVar[Generator | None] = ContextVar("_scoped", default=None)
default_generator = Generator()
default_generator.seed()


def manual_seed(seed: int) -> Generator:
    """Start the process's generator, which all draws without `generator=` use, from `seed`.

    Returns it. Raises `ValueError` unless the seed is in [-2**63, 2**64).

    >>> import tinygrad_fc as tg
    >>> _ = tg.manual_seed(0)
    >>> a = tg.rand(2)
    >>> _ = tg.manual_seed(0)
    >>> bool((tg.rand(2) == a).all())
    True
    """
    return default_generator.manual_seed(seed)


def initial_seed() -> int:
    """Return the seed that the process's generator was started from.

    >>> import tinygrad_fc as tg
    >>> _ = tg.manual_seed(7)
    >>> tg.initial_seed()
    7
    """
    return default_generator.initial_seed()


def get_rng_state() -> Tensor:
    """Return the state of the process's generator, a tensor of bytes.

    >>> import tinygrad_fc as tg
    >>> tg.get_rng_state().dtype
    dtype('uint8')
    """
    return default_generator.get_state()


def set_rng_state(new_state: Tensor) -> None:
    """Continue the process's generator from a state that `get_rng_state` returned.

    >>> import tinygrad_fc as tg
    >>> state = tg.get_rng_state()
    >>> a = tg.rand(2)
    >>> tg.set_rng_state(state)
    >>> bool((tg.rand(2) == a).all())
    True
    """
    default_generator.set_state(new_state)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw from a generator started from `seed`, in this thread or task alone."""
    token = _scoped.set(Generator().manual_seed(seed))
    try:
        yield
    finally:
        _scoped.reset(token)


def rng_of(generator: Any) -> np.random.Generator:
    """Return the NumPy generator to draw from: of the process for None, or NumPy's own as it is."""
    if generator is None:
        return (_scoped.get() or default_generator).rng
    if isinstance(generator, Generator):
        return generator.rng
    if isinstance(generator, np.random.Generator):
        return generator
    raise TypeError(f"generator must be a Generator, got {type(generator).__name__}")


# Filling arrays: what `random`, `nn.init` and the methods of a tensor draw with


def fill_uniform(array: Any, low: float, high: float, generator: Any = None) -> None:
    """Fill `array`, of floats, with numbers from [low, high).

    Raises `ValueError` unless low <= high and the distance between them is finite.
    """
    if not (low <= high and np.isfinite(float(high) - float(low))):
        raise ValueError(f"uniform numbers lie in [from, to) with from <= to, got [{low}, {high})")
    _fill(array, lambda rng, **how: rng.random(**how), generator)
    array *= high - low
    array += low
    # Rounding may lift the last number below the bound onto it.
    np.copyto(array, low, where=array >= high)


def fill_normal(array: Any, mean: float, std: float, generator: Any = None) -> None:
    """Fill `array`, of floats, with normal numbers; raises `ValueError` unless std >= 0."""
    if not std >= 0:
        raise ValueError(f"a standard deviation is at least 0, got {std}")
    _fill(array, lambda rng, **how: rng.standard_normal(**how), generator)
    array *= std
    array += mean


def _fill(array: Any, draw: Any, generator: Any) -> None:
    if array.dtype.kind != "f":
        raise DtypeError(f"random numbers need a float dtype, got {array.dtype}: try float32")
    rng = rng_of(generator)
    if computes_elsewhere(array):
        host = draw(rng, size=array.shape, dtype=_drawn(array.dtype)).astype(array.dtype)
        array[...] = moved(host, device_of(array))
    elif array.dtype in (np.float32, np.float64) and array.flags.carray:
        draw(rng, dtype=array.dtype, out=array)
    else:
        array[...] = draw(rng, size=array.shape, dtype=_drawn(array.dtype))


def _drawn(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the dtype to draw in for `dtype`: NumPy draws no float16."""
    return dtypes.float64 if dtype == np.float64 else dtypes.float32


# Tensors by shape


def _made(
    fill: Any, shape: tuple[int, ...], dtype: Any, device: Any, generator: Any, requires_grad: bool
) -> Tensor:
    array = np.empty(shape, dtype or dtypes.get_default_dtype())
    fill(array, 0.0, 1.0, generator)
    return with_grad(array, requires_grad, device)


def _shape(positional: tuple[Any, ...], size: Any) -> tuple[int, ...]:
    shape = as_shape(positional if size is None else (size,))
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
    return _made(fill_uniform, input.shape, dtype, device or input.device, generator, requires_grad)


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
    return _made(fill_normal, input.shape, dtype, device or input.device, generator, requires_grad)


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
    return with_grad(np.asarray(drawn, wanted), requires_grad, device)


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
    if n < 0:
        raise ValueError(f"randperm orders the numbers below n, and n is {n}: at least 0 is needed")
    drawn = rng_of(generator).permutation(n)
    return with_grad(drawn.astype(dtype or dtypes.int64, copy=False), requires_grad, device)


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
    return with_grad(np.asarray(array * std + mean, array.dtype), requires_grad, device)


accept_arrays(sys.modules[__name__])
