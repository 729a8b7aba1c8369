"""Fully connected layers, and the layer that does nothing."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.device import check as check_device
from tinygrad_fc.dtypes import get_default_dtype
from tinygrad_fc.errors import DtypeError, ShapeError
from tinygrad_fc.graph import Node, record, wrap
from tinygrad_fc.nn import init
from tinygrad_fc.nn.activation import Sigmoid, Tanh
from tinygrad_fc.nn.error import LayerError
from tinygrad_fc.nn.module import Module
from tinygrad_fc.nn.parameter import Parameter
from tinygrad_fc.nn.rectifier import ReLU
from tinygrad_fc.ops import linalg

if TYPE_CHECKING:
    from tinygrad_fc.op import Op
    from tinygrad_fc.tensor import Tensor

NONE: dict[str, Any] = {}


class Linear(Module):
    """`x @ weight.T + bias`: every output connected to every input, formula (3).

    `x` (..., in_features) gives (..., out_features); `weight` (out_features, in_features), `bias`
    (out_features,), both drawn uniformly within 1 / sqrt(in_features), as PyTorch draws them.
    Raises `ValueError` for a width below 1, and `LayerError`, which names the layer and the
    fix, for an input of another width.

    >>> import tinygrad_fc as tg
    >>> tg.nn.Linear(3, 2)(tg.zeros(4, 3)).shape
    (4, 2)
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        check_device(device)
        for name, n in (("in_features", in_features), ("out_features", out_features)):
            if not isinstance(n, int | np.integer) or isinstance(n, bool) or n < 1:
                raise ValueError(f"Linear needs {name} of at least 1, a whole number; got {n!r}")
        self.in_features = int(in_features)
        self.out_features = int(out_features)
        dtype = dtype or get_default_dtype()
        self.weight = Parameter(wrap(np.empty((out_features, in_features), dtype)))
        self.bias = Parameter(wrap(np.empty(out_features, dtype))) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw weight and bias anew."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            bound = 1 / math.sqrt(self.in_features)
            init.uniform_(self.bias, -bound, bound)

    def forward(self, input: Tensor, *, row: Op = linalg.linear) -> Tensor:
        # `row` is another where an activation follows, and both are one call.
        try:
            if self.bias is None:
                return record(linalg.product_linear, (input, self.weight), NONE)
            return record(row, (input, self.weight, self.bias), NONE)
        except (ShapeError, DtypeError, AttributeError) as error:
            raise self._refusal(input) or error from error.__cause__

    def _refusal(self, input: Any) -> Exception | None:
        given: Any = input
        if not isinstance(given, Node | np.ndarray):
            return DtypeError(
                f"{self} needs a tensor, got {type(input).__name__}: make one with tensor(...)"
            )
        if input.ndim == 0 or input.shape[-1] != self.in_features:
            return LayerError(self, input, axis=-1, wanted=self.in_features, setting="in_features")
        return None

    def extra_repr(self) -> str:
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, "
            f"bias={self.bias is not None}"
        )


WEIGHED: Any = Linear.forward
ACTIVATED: dict[Any, Op] = {
    Sigmoid.forward: linalg.linear_sigmoid,
    Tanh.forward: linalg.linear_tanh,
    ReLU.forward: linalg.linear_relu,
}
"""The row of a Linear and what follows it, by the `forward` of that; see `Sequential`."""


class Identity(Module):
    """Returns what it gets; takes and ignores any settings.

    >>> import tinygrad_fc as tg
    >>> tg.nn.Identity(54)(tg.ones(2))
    tensor([1., 1.])
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        del args, kwargs
        super().__init__()

    def forward(self, input: Tensor) -> Tensor:
        return input
