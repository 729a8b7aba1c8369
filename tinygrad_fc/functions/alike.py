"""Tensors of a given shape, and of the dtype of another: PyTorch's `x.new_zeros(2, 3)`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tinygrad_fc.functions import making

if TYPE_CHECKING:
    from tinygrad_fc.tensor import Tensor


def _new(make: Any, self: Tensor, size: tuple[Any, ...], settings: dict[str, Any]) -> Tensor:
    if settings.get("dtype") is None:
        settings["dtype"] = self.dtype
    return make(*size, **settings)  # type: ignore[no-any-return]


def new_zeros(self: Tensor, *size: Any, **settings: Any) -> Tensor:
    """Return zeros of shape `size` and of this tensor's dtype, unless told another.

    >>> import tinygrad_fc as tg
    >>> tg.tensor([1, 2]).new_zeros(3)
    tensor([0, 0, 0])
    """
    return _new(making.zeros, self, size, settings)


def new_ones(self: Tensor, *size: Any, **settings: Any) -> Tensor:
    """Return ones of shape `size` and of this tensor's dtype, unless told another.

    >>> import tinygrad_fc as tg
    >>> tg.tensor([1.0, 2.0]).new_ones((2, 1)).shape
    (2, 1)
    """
    return _new(making.ones, self, size, settings)


def new_empty(self: Tensor, *size: Any, **settings: Any) -> Tensor:
    """Return a tensor of shape `size` to be filled, of this tensor's dtype, unless told another.

    >>> import tinygrad_fc as tg
    >>> tg.tensor([1.0, 2.0]).new_empty(2, 3).shape
    (2, 3)
    """
    return _new(making.empty, self, size, settings)


def new_full(self: Tensor, size: Any, fill_value: Any, **settings: Any) -> Tensor:
    """Return one value everywhere, in shape `size` and this tensor's dtype, unless told another.

    >>> import tinygrad_fc as tg
    >>> tg.tensor([1, 2]).new_full((2,), 7)
    tensor([7, 7])
    """
    return _new(making.full, self, (size, fill_value), settings)
