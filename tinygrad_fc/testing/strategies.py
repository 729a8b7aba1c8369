"""Hypothesis strategies for arrays, tensors and networks, to draw from in tests of one's own."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from hypothesis import reject
from hypothesis import strategies as st

from tinygrad_fc import nn
from tinygrad_fc.domain import Domain, real
from tinygrad_fc.graph import wrap
from tinygrad_fc.testing.drawing import arrays_of
from tinygrad_fc.testing.signature import shaped

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Array = np.ndarray[Any, Any]

ACTIVATIONS = (nn.Tanh, nn.Sigmoid, nn.Softplus, nn.SiLU, nn.ReLU)


@st.composite
def arrays(
    draw: st.DrawFn, *domains: Domain, sig: str | None = None, dtype: Any = np.float64
) -> Any:
    """Draw an array for a domain, or a tuple of arrays that fit together for several.

    Values and shapes are those that `check` tries: special ones, ties, large and small ones;
    single numbers, empty, square and broadcast shapes.

    >>> from tinygrad_fc.testing import positive
    >>> arrays(positive("n", 3)).example().shape[1] >= 3  # doctest: +SKIP
    True
    """
    words = shaped(domains or (real,), sig)
    made = arrays_of(draw, words)
    if any(
        w.condition is not None and not w.condition(x) for w, x in zip(words, made, strict=True)
    ):
        reject()
    found = tuple(a.astype(dtype) if a.dtype.kind == "f" else a for a in made)
    return found if len(found) != 1 else found[0]


@st.composite
def tensors(
    draw: st.DrawFn,
    *domains: Domain,
    sig: str | None = None,
    dtype: Any = np.float64,
    requires_grad: bool = True,
) -> Any:
    """Draw a tensor for a domain, or a tuple of them, as `arrays` does."""
    found = draw(arrays(*domains, sig=sig, dtype=dtype))
    made = [
        wrap(a).requires_grad_(requires_grad and a.dtype.kind == "f")
        for a in (found if isinstance(found, tuple) else (found,))
    ]
    return tuple(made) if len(made) != 1 else made[0]


@st.composite
def networks(
    draw: st.DrawFn,
    *,
    inputs: int | None = None,
    outputs: int | None = None,
    layers: tuple[int, int] = (1, 3),
    activations: Sequence[Callable[[], nn.Module]] = ACTIVATIONS,
) -> tuple[nn.Sequential, Any]:
    """Draw a `Sequential` of `Linear` layers and activations, and a batch of inputs for it.

    Widths are 1 to 4 where `inputs` and `outputs` do not say them; weights and data are eighths.
    Returns the model, in float64, and a tensor `(N, inputs)` of up to 4 rows.
    """
    width = st.integers(1, 4)
    count = draw(st.integers(*layers))
    widths = [inputs or draw(width), *(draw(width) for _ in range(count - 1))]
    widths.append(outputs or draw(width))
    parts: list[nn.Module] = []
    for k, (n, m) in enumerate(pairwise(widths)):
        parts.append(nn.Linear(n, m, dtype=np.float64))
        if k < count - 1:
            parts.append(draw(st.sampled_from(list(activations)))())
    model = nn.Sequential(*parts)
    for p in model.parameters():
        p.data[...] = wrap(_eighths(draw, p.shape))
    return model, wrap(_eighths(draw, (draw(st.integers(0, 4)), widths[0])))


def _eighths(draw: st.DrawFn, shape: Sequence[int]) -> Array:
    n = int(np.prod(shape))
    raw = np.frombuffer(draw(st.binary(min_size=n, max_size=n)), np.int8)
    return (raw.astype(float) / 16).reshape(tuple(shape))
