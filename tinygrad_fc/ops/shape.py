"""Arrays in another shape, order or company, and casts between floats."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_fc.device import CPU, device_of, moved
from tinygrad_fc.domain import axis, order, real, reshaped, stretched
from tinygrad_fc.op import Each, Op
from tinygrad_fc.op import row as op


def _broadcast_to(x: Any, *, shape: Any) -> Any:
    return x if x.shape == shape else np.broadcast_to(x, shape)


broadcast_to = op(
    np.broadcast_to,
    forward=_broadcast_to,
    domain=(real,),
    settings={"shape": stretched},
    rules=(lambda g, _out, _x, shape: g,),
)
reshape = op(
    np.reshape,
    forward=lambda x, shape: x.reshape(shape),
    domain=(real,),
    settings={"shape": reshaped},
    rules=(lambda g, _out, _x, shape: g.reshape(_x.shape),),
)
transpose = op(
    np.transpose,
    forward=lambda x, axes: x.transpose(axes),
    domain=(real,),
    settings={"axes": order},
    rules=(
        lambda g, _out, _x, axes: np.transpose(
            g, axes=tuple(np.argsort([k % len(axes) for k in axes]).tolist())
        ),
    ),
)
swapaxes = op(
    np.swapaxes,
    forward=lambda x, axis1, axis2: x.swapaxes(axis1, axis2),
    domain=(real(..., "n"),),
    settings={"axis1": axis, "axis2": axis},
    rules=(lambda g, _out, _x, axis1, axis2: g.swapaxes(axis1, axis2),),
)
flip = op(
    np.flip,
    domain=(real,),
    settings={"axis": axis},
    rules=(lambda g, _out, _x, axis: np.flip(g, axis=axis),),
)
astype = op(
    lambda x, dtype: x.astype(dtype),
    name="astype",
    domain=(real,),
    settings={"dtype": lambda *_: (np.dtype("d"), np.dtype("f"))},
    rules=(lambda g, _out, _x, dtype: g,),  # the walk casts it back
)
# Not in the table, whose laws are about arrays of one library.
to_device: Op = Op(
    moved,
    forward=moved,
    name="to",
    domain=(real,),
    settings={"where": lambda *_: (CPU,)},
    rules=(lambda g, out, x, where: to_device(g, where=device_of(x)),),
)
copy = op(
    np.copy,
    forward=lambda x: x.copy(),
    domain=(real,),
    rules=(lambda g, _out, _x: g,),
)


def _part(i: int, g: Any, _out: Any, *_xs: Any, axis: Any, ends: Any) -> Any:
    start = 0 if i == 0 else ends[i - 1]
    return g[(slice(None),) * (axis % g.ndim) + (slice(start, ends[i]),)]


concatenate = op(
    np.concatenate,
    forward=lambda *xs, axis, ends: np.concatenate(xs, axis=axis),
    domain=(real("n", "k"), real("m", "k")),
    settings={
        "axis": lambda *_: (0, -2),
        "ends": lambda x, y: ((x.shape[0], x.shape[0] + y.shape[0]),),
    },
    rules=Each(_part),
)
stack = op(
    np.stack,
    forward=lambda *xs, axis: np.stack(xs, axis=axis),
    domain=(real("n"), real("n")),
    settings={"axis": lambda x, y: range(-x.ndim - 1, x.ndim + 1)},
    rules=Each(lambda i, g, _out, *_xs, axis: g[(slice(None),) * (axis % g.ndim) + (i,)]),
)
