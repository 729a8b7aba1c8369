"""Tensors, numbers and shapes as text."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_fc.core.device import CPU, move_to_device
from tinygrad_fc.core.dtypes import get_default_dtype
from tinygrad_fc.core.node import array_of

__all__ = ["set_printoptions"]

_print_options: dict[str, Any] = {"precision": 4, "threshold": 1000, "edgeitems": 3}
_print_options |= {"linewidth": 75, "sci_mode": None}


def set_printoptions(
    precision: int | None = None,
    threshold: int | None = None,
    edgeitems: int | None = None,
    linewidth: int | None = None,
    sci_mode: bool | None = None,
) -> None:
    """Set how tensors are printed: digits, elements before "...", elements at its ends, line width.

    None leaves an option unchanged. `sci_mode=False` never writes exponents, `sci_mode=True` where
    NumPy does; each call sets it, as in PyTorch.

    >>> import tinygrad_fc as tg
    >>> tg.set_printoptions(precision=2)
    >>> tg.tensor([1.0, 1 / 3])
    tensor([1.  , 0.33])
    >>> tg.set_printoptions(precision=4)
    """
    options = locals()
    _print_options.update({k: v for k, v in options.items() if v is not None or k == "sci_mode"})


def tensor_text(start: str, t: Any) -> str:
    """Return the `repr` of a tensor as PyTorch does, with the name of the op for a result."""
    array = move_to_device(array_of(t), CPU)
    options = {"max_line_width" if k == "linewidth" else k: v for k, v in _print_options.items()}
    options |= {"separator": ", ", "prefix": start, "floatmode": "maxprec"}
    body = np.array2string(array, suppress_small=options.pop("sci_mode") is False, **options)
    if not array.size:
        body = "[]" if array.ndim == 1 else f"[], size={array.shape}"
    if array.dtype not in (get_default_dtype(), np.int64, np.bool_):
        body += f", dtype={array.dtype}"
    if t.device != CPU:
        body += f", device={str(t.device)!r}"
    if t._requires_grad:
        body += ", requires_grad=True" if t.is_leaf else f", made_by={t._op.name}"
    return f"{start}{body})"


def number_text(x: Any) -> str:
    """Return a number in at most four significant digits.

    >>> number_text(0.188041), number_text(3.0)
    ('0.188', '3')
    """
    return f"{float(x):.4g}"


def shape_text(shape: tuple[int, ...]) -> str:
    """Return a shape for a picture.

    >>> shape_text((5, 3)), shape_text(())
    ('5 × 3', 'scalar')
    """
    return " × ".join(map(str, shape)) or "scalar"
