"""Tensors as text and, in notebooks, as HTML."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.core.device import CPU, move_to_device
from tinygrad_fc.core.dtypes import get_default_dtype
from tinygrad_fc.core.graph import array_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

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


# HTML

EDGE = 4
"""Rows and columns shown at either end of a long axis."""
CELL = 'style="text-align:right;font-family:monospace"'


def tensor_html(t: Any) -> str:
    """Return shape, dtype, origin and the values of `t`, the middle of long axes left out."""
    facts = [shape_text(t.shape), str(t.dtype)]
    if t._op is not None and not t.is_leaf:
        facts.append(f"result of {t._op.name}")
    elif t.requires_grad:
        facts.append("requires grad")
    head = f"<div><strong>tensor</strong> {escape(', '.join(facts))}</div>"
    if t.ndim > 2 or not t.numel():
        return f"{head}<pre>{escape(repr(t))}</pre>"
    values = np.atleast_2d(t.numpy())
    rows, columns = (_shown(n) for n in values.shape)
    body = "".join(
        f"<tr>{''.join(f'<td {CELL}>{_cell(values, i, j)}</td>' for j in columns)}</tr>"
        for i in rows
    )
    return f"{head}<table><tbody>{body}</tbody></table>"


def _shown(n: int) -> list[int | None]:
    """Return the indices shown of an axis of size `n`, None for those left out."""
    if n <= 2 * EDGE + 1:
        return list(range(n))
    return [*range(EDGE), None, *range(n - EDGE, n)]


def _cell(values: Any, i: int | None, j: int | None) -> str:
    if i is None or j is None:
        return "…"
    return number_text(values[i, j]) if values.dtype.kind == "f" else str(values[i, j])


def html_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table, whose last column has numbers."""
    titles = "".join(f"<th>{name}</th>" for name in head)
    body = "".join(map(_row, rows))
    return f"<table><thead><tr>{titles}</tr></thead><tbody>{body}</tbody></table>"


def _row(cells: Sequence[str]) -> str:
    *texts, number = cells
    left = "".join(f'<td style="text-align:left">{escape(text)}</td>' for text in texts)
    return f"<tr>{left}<td {CELL}>{number}</td></tr>"
