"""Devices: NumPy arrays on the CPU, CuPy arrays on a GPU.

Ops run on the arrays that a tensor holds, so that a tensor on a GPU needs no op of its own. CuPy is
imported when a tensor is moved there, and needs a GPU then.
"""

from __future__ import annotations

import ctypes
import os
import sys
from typing import Any, ClassVar, TypeAlias

import numpy as np

from tinygrad_fc.core.errors import DtypeError

KINDS = ("cpu", "cuda")


class device:  # noqa: N801  PyTorch's spelling
    """A place for arrays: `"cpu"`, `"cuda"`, or `"cuda:1"` for the second GPU.

    Raises `RuntimeError` for another name. Whether the GPU exists is checked when an array is moved
    to it, as in PyTorch.

    >>> device("cuda", 1)
    device(type='cuda', index=1)
    """

    type: str
    index: int | None

    def __init__(self, type: DeviceLike, index: int | None = None) -> None:
        name, _, number = str(type).partition(":")
        legal = index is None or isinstance(index, int)
        if name not in KINDS or not (number.isdecimal() or not number) or not legal:
            raise RuntimeError(f"there is no device {type!r}; expected 'cpu', 'cuda' or 'cuda:1'")
        self.type = name
        self.index = int(number) if number else index

    def __eq__(self, other: object) -> bool:
        return isinstance(other, device) and repr(other) == repr(self)

    def __hash__(self) -> int:
        return hash(repr(self))

    def __repr__(self) -> str:
        index = "" if self.index is None else f", index={self.index}"
        return f"device(type='{self.type}'{index})"

    def __str__(self) -> str:
        return self.type if self.index is None else f"{self.type}:{self.index}"


DeviceLike: TypeAlias = device | str | int | None
CPU = device("cpu")


class _Namespace:
    """A class in the place of a module of PyTorch, which import statements take for a package."""

    __path__: ClassVar[list[str]] = []
    __spec__ = None


class cuda(_Namespace):  # noqa: N801  a namespace, spelled as PyTorch's module
    """The queries of `torch.cuda` by which scripts choose a device.

    >>> device = "cuda" if cuda.is_available() else "cpu"
    """

    @staticmethod
    def is_available() -> bool:
        """Return whether CuPy is installed and finds a GPU."""
        try:
            cupy()
        except RuntimeError:
            return False
        return True

    @staticmethod
    def device_count() -> int:
        """Return the number of GPUs."""
        return int(cupy().cuda.runtime.getDeviceCount()) if cuda.is_available() else 0

    @staticmethod
    def current_device() -> int:
        """Return the number of the GPU on which ops create their results."""
        return int(cupy().cuda.Device().id) if cuda.is_available() else 0

    @staticmethod
    def device(device: Any) -> Any:
        """Return a context in which a GPU is the current one: `with cuda.device(1):`."""
        return cupy().cuda.Device(gpu(device).index)

    @staticmethod
    def set_device(device: Any) -> None:
        """Make a GPU the current one of this thread."""
        cuda.device(device).use()

    @staticmethod
    def _ignore(*_: Any) -> None:
        """Do nothing: `tinygrad_fc.manual_seed` seeds all random numbers, also those of a GPU."""

    manual_seed = manual_seed_all = empty_cache = synchronize = init = _ignore


class accelerator(cuda):  # noqa: N801  a namespace, spelled as PyTorch's module
    """The queries of `torch.accelerator`, the newer name of `torch.cuda`'s.

    >>> device = accelerator.current_accelerator() if accelerator.is_available() else "cpu"
    """

    @staticmethod
    def current_accelerator() -> device | None:
        """Return the device "cuda" if there is a GPU, else None."""
        return device("cuda") if cuda.is_available() else None


class backends(_Namespace):  # noqa: N801  a namespace, spelled as PyTorch's module
    """The flags of `torch.backends` that scripts set, which have no effect.

    >>> backends.cudnn.deterministic = True
    """

    class cudnn:  # noqa: N801
        """Flags of cuDNN."""

        enabled = benchmark = deterministic = False

    class mps:  # noqa: N801
        """GPUs of Apple."""

        @staticmethod
        def is_available() -> bool:
            """Return False: only NVIDIA's GPUs are supported."""
            return False

        is_built = is_available


def cupy() -> Any:
    """Return the module CuPy; raise `RuntimeError` if it is missing or finds no GPU."""
    try:
        import cupy as module  # noqa: PLC0415  an extra, which takes a second to import
    except ImportError:
        reason = "CuPy is not installed: pip install 'tinygrad-fc[cuda]'"
    else:
        if module.cuda.is_available():
            return module
        reason = "CuPy finds no GPU"
    raise RuntimeError(
        f"there is no device 'cuda': {reason}. Expected an NVIDIA GPU and its driver. Write "
        "device = 'cuda' if cuda.is_available() else 'cpu', and .to(device)"
    )


def device_of(array: Any) -> device:
    """Return the device of an array or tensor."""
    array = getattr(array, "_array", array)
    return device("cuda", int(array.device.id)) if is_non_numpy_array(array) else CPU


def is_on(array: Any, where: device) -> bool:
    """Return whether `array` is on `where`; "cuda" without a number matches every GPU."""
    here = device_of(array)
    return where.type == here.type and (where.type == "cpu" or where.index in {None, here.index})


def gpu(where: Any = None) -> device:
    """Return the GPU that `where` names: None for the default one, a number or a device."""
    return device("cuda", where) if where is None or isinstance(where, int) else device(where)


def move_to_device(array: Any, where: device) -> Any:
    """Return `array` if it is on device `where`, else a copy there."""
    if is_on(array, where):
        return array
    if where.type == "cpu":
        return array.get()
    with cuda.device(where):  # from another GPU, CuPy copies without the host
        return cupy().asarray(array)


def set_default_device(device: Any) -> None:
    """Accept None and the CPU, on which tensors are created; raise `RuntimeError` for a GPU."""
    refuse_gpu(device)


def refuse_gpu(where: Any) -> None:
    """Raise `RuntimeError` if `where` is not the CPU, where functions create tensors."""
    if where is not None and where is not CPU and device(where).type != "cpu":
        cupy()
        raise RuntimeError(
            f"tensors are created on the CPU, not on device {str(where)!r}: write .to({where!r}) "
            "after the call"
        )


def is_non_numpy_array(array: Any) -> bool:
    """Return whether `array` belongs to another array library that computes at once, as CuPy."""
    kind = type(array)
    return (
        kind is not np.ndarray
        and hasattr(kind, "__array_function__")
        and hasattr(kind, "__dlpack_device__")
        and not isinstance(array, np.ndarray)
    )


def refuse_dask(value: Any, name: str) -> None:
    """Raise `DtypeError` if `value` is a Dask array, whose elements are not computed yet."""
    if type(value).__module__.partition(".")[0] == "dask":
        raise DtypeError(
            f"{name} got a Dask array of shape {value.shape}, whose elements are not computed; "
            "expected an array in memory. Train on its chunks with "
            "tinygrad_fc.parallel.backward(model, loss_fn, x, y), or call x.compute() if the "
            "array fits into memory"
        )


# CPU memory

TRIM_THRESHOLD, TOP_PAD, MMAP_THRESHOLD = -1, -2, -3  # constants of glibc's `mallopt`


def keep_freed_memory(size: int = 1 << 25) -> bool:
    """Make glibc keep freed blocks of up to `size` bytes; return whether it does.

    A training step frees its large arrays and allocates them again. By default glibc returns them
    to the system each time, and page faults take half of the step. With this option the memory of
    the process stays near its peak. The first backward pass calls the function, on Linux only; the
    environment variable TINYGRAD_FC_KEEP_MEMORY=0 disables it.
    """
    if sys.platform != "linux" or os.environ.get("TINYGRAD_FC_KEEP_MEMORY") == "0":
        return False
    set_option = _of_c_library("mallopt")
    # The heaps of other threads have 64 MiB; a free one is kept if it fits into the pad.
    options = ((MMAP_THRESHOLD, size), (TRIM_THRESHOLD, 8 * size), (TOP_PAD, 4 * size))
    return set_option is not None and all(set_option(*option) for option in options)


def return_freed_memory() -> None:
    """Return freed blocks to the system, after a peak that does not come again soon."""
    trim = _of_c_library("malloc_trim") if sys.platform == "linux" else None
    if trim is not None:
        trim(0)


def _of_c_library(name: str) -> Any:
    """Return a function of glibc; None for other C libraries."""
    return getattr(ctypes.CDLL(None), name, None)
