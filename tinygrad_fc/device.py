"""The one device there is, so that `device = "cuda" if cuda.is_available() else "cpu"` runs."""

from __future__ import annotations

from typing import Any, NoReturn

import numpy as np

from tinygrad_fc.errors import DtypeError


class device:  # noqa: N801  PyTorch's spelling
    """A place for arrays; only `"cpu"` is one.

    Raises `RuntimeError` for another.

    >>> device("cpu")
    device(type='cpu')
    """

    type: str

    def __init__(self, type: Any, index: int | None = None) -> None:
        name, _, number = str(type).partition(":")
        if name != "cpu":
            message = (
                f"there is no device {type!r}: arrays are NumPy's and live on the CPU; use "
                "device('cpu')"
            )
            raise RuntimeError(message)
        self.type = name
        self.index = int(number) if number else index

    def __eq__(self, other: object) -> bool:
        return isinstance(other, device) and other.type == self.type

    def __hash__(self) -> int:
        return hash(self.type)

    def __repr__(self) -> str:
        return f"device(type='{self.type}')"

    def __str__(self) -> str:
        return self.type


CPU = device("cpu")


def computes_elsewhere(array: Any) -> bool:
    """Return whether `array` is of another library that computes at once, such as CuPy."""
    kind = type(array)
    return (
        kind is not np.ndarray
        and hasattr(kind, "__array_function__")
        and hasattr(kind, "__dlpack_device__")
        and not isinstance(array, np.ndarray)
    )


def refuse_lazy(value: Any, name: str) -> None:
    """Raise `DtypeError` where `value` is a Dask array, whose elements are not computed yet."""
    if type(value).__module__.partition(".")[0] == "dask":
        raise DtypeError(
            f"{name} got a Dask array of shape {value.shape}, whose elements are not computed; "
            "expected an array in memory. Train on its chunks with "
            "tinygrad_fc.parallel.backward(model, loss_fn, x, y), or call x.compute() if the "
            "array fits into memory"
        )


def check(given: Any) -> None:
    """Raise where `given` is a device that there is not."""
    if given is not None and given is not CPU:
        device(given)


def moved(self: Any, device: Any = None, **settings: Any) -> NoReturn:
    """Raise `RuntimeError`, as `to("cuda")` does: there is no GPU."""
    del self, device, settings
    message = (
        "there is no device 'cuda': arrays are NumPy's and live on the CPU; leave cuda() out, or "
        "write to(device), with device = 'cuda' if cuda.is_available() else 'cpu'"
    )
    raise RuntimeError(message)


class cuda:  # noqa: N801  a namespace, spelled as PyTorch's module
    """What scripts ask about before they choose a device."""

    @staticmethod
    def is_available() -> bool:
        """Tell that there is none."""
        return False

    @staticmethod
    def device_count() -> int:
        """Return 0."""
        return 0
