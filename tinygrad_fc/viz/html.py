"""Tensors and modules as HTML, for notebooks."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.viz.graph import number_text, shape_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tinygrad_fc.nn import Module
    from tinygrad_fc.tensor import Tensor

__all__ = ["module_html", "tensor_html"]

EDGE = 4
"""Rows and columns shown at either end of a long axis."""
CELL = 'style="text-align:right;font-family:monospace"'


def tensor_html(t: Tensor) -> str:
    """Return shape, dtype, origin and the values of `t`, the middle of long axes left out."""
    recorded: Any = t
    facts = [shape_text(t.shape), str(t.dtype)]
    if recorded._op is not None and not t.is_leaf:
        facts.append(f"result of {recorded._op.name}")
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


def module_html(model: Module) -> str:
    """Return a table of the layers of `model` with their settings and parameters."""
    rows = []
    for path, module in model.named_modules():
        own = [(name, p.shape) for name, p in module.named_parameters(recurse=False)]
        shapes = ", ".join(f"{name} {shape_text(shape)}" for name, shape in own)
        count = sum(p.numel() for p in module.parameters(recurse=False))
        settings = module.extra_repr()
        rows.append((path, f"{type(module).__name__}({settings})", shapes, f"{count:,}"))
    total = sum(p.numel() for p in model.parameters())
    rows.append(("total", "", "", f"{total:,}"))
    head = "".join(f"<th>{name}</th>" for name in ("path", "layer", "parameters", "count"))
    body = "".join(map(_row, rows))
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _row(cells: Sequence[str]) -> str:
    *texts, count = cells
    left = "".join(f'<td style="text-align:left">{escape(text)}</td>' for text in texts)
    return f"<tr>{left}<td {CELL}>{count}</td></tr>"
