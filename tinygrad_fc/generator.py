"""Where random numbers come from: one generator for the process, or one's own.

A `Generator` wraps `np.random.Generator`, whose draws are atomic: threads may share one, and each
gets numbers that nobody else got, in the order in which they ask.
"""

from __future__ import annotations

import os
from threading import Lock
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from tinygrad_fc import dtypes
from tinygrad_fc.device import CPU
from tinygrad_fc.device import check as check_device
from tinygrad_fc.errors import DtypeError, ShapeError
from tinygrad_fc.functions.making import as_array
from tinygrad_fc.graph import wrap

if TYPE_CHECKING:
    from tinygrad_fc.tensor import Tensor

# What a new Generator starts from in PyTorch: always the same.
_FIRST_SEED = 67280421310721
_SEEDS = range(-(2**63), 2**64)
# What a state holds: the seed, PCG64's state and increment, and half a draw kept back.
_STATE = np.dtype([("seed", "<u8"), ("pcg", "<u8", 4), ("has_half", "<u4"), ("half", "<u4")])
_LOW = 2**64 - 1
_making = Lock()


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
        with _making:
            self._seed = number % 2**64
            self._rng: np.random.Generator | None = None
        return self

    @property
    def rng(self) -> np.random.Generator:
        """NumPy's generator, made at the first draw: importing it takes a third of our time."""
        made = self._rng
        if made is None:
            with _making:
                made = self._rng or np.random.Generator(np.random.PCG64(self._seed))
                self._rng = made
        return made

    def seed(self) -> int:
        """Start from a seed that nobody knows beforehand, and return it."""
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


def rng_of(generator: Any) -> np.random.Generator:
    """Return the NumPy generator to draw from: of the process for None, or NumPy's own as it is."""
    if generator is None:
        return default_generator.rng
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
    if array.dtype in (np.float32, np.float64) and array.flags.carray:
        draw(rng, dtype=array.dtype, out=array)
    else:
        array[...] = draw(rng, size=array.shape, dtype=_drawn(array.dtype))


def _drawn(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the dtype to draw in for `dtype`: NumPy draws no float16."""
    return dtypes.float64 if dtype == np.float64 else dtypes.float32
