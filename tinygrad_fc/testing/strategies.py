"""Hypothesis strategies for arrays, tensors and networks, to draw from in tests of one's own."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from hypothesis import reject
from hypothesis import strategies as st

from tinygrad_fc import nn
from tinygrad_fc.domain import Domain, real
from tinygrad_fc.graph import wrap
from tinygrad_fc.testing.drawing import arrays_of
from tinygrad_fc.testing.options import function, whole
from tinygrad_fc.testing.signature import shaped

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Array = np.ndarray[Any, Any]

ACTIVATION = "a class of modules, or what makes one, so that no two networks share one"
ACTIVATIONS = (nn.Tanh, nn.Sigmoid, nn.Softplus, nn.SiLU, nn.ReLU)


def arrays(
    *domains: Domain, sig: str | None = None, dtype: Any = np.float64
) -> st.SearchStrategy[Any]:
    """Draw an array for a domain, or a tuple of arrays that fit together for several.

    Values and shapes are those that `check` tries: special ones, ties, large and small ones;
    single numbers, empty, square and broadcast shapes.

    >>> from tinygrad_fc.testing import positive
    >>> arrays(positive("n", 3)).example().shape[1] == 3  # doctest: +SKIP
    True
    """
    __tracebackhide__ = True
    return _drawn(shaped(domains or (real,), sig), _floats(dtype)).map(_alone)


def tensors(
    *domains: Domain,
    sig: str | None = None,
    dtype: Any = np.float64,
    requires_grad: bool = True,
) -> st.SearchStrategy[Any]:
    """Draw a tensor for a domain, or a tuple of them, as `arrays` does."""
    __tracebackhide__ = True

    def made(found: tuple[Array, ...]) -> Any:
        return _alone(
            tuple(wrap(a).requires_grad_(requires_grad and a.dtype.kind == "f") for a in found)
        )

    return _drawn(shaped(domains or (real,), sig), _floats(dtype)).map(made)


def _floats(dtype: Any) -> np.dtype[Any]:
    found: np.dtype[Any] = np.dtype(dtype)
    if found.kind != "f":
        raise TypeError(f"dtype is that of floats, such as np.float32; got {dtype!r:.80}")
    return found


def _alone(found: tuple[Any, ...]) -> Any:
    return found if len(found) != 1 else found[0]


@st.composite
def _drawn(draw: st.DrawFn, words: Sequence[Domain], dtype: np.dtype[Any]) -> tuple[Array, ...]:
    made = arrays_of(draw, words)
    if any(
        w.condition is not None and not w.condition(x) for w, x in zip(words, made, strict=True)
    ):
        reject()
    return tuple(a.astype(dtype) if a.dtype.kind == "f" else a for a in made)


def networks(
    *,
    inputs: int | None = None,
    outputs: int | None = None,
    layers: tuple[int, int] = (1, 3),
    activations: Sequence[Callable[[], nn.Module]] = ACTIVATIONS,
) -> st.SearchStrategy[tuple[nn.Sequential, Any]]:
    """Draw a `Sequential` of `Linear` layers and activations, and a batch of inputs for it.

    Widths are 1 to 4 where `inputs` and `outputs` do not say them; weights and data are eighths.
    Gives the model, in float64, and a tensor `(N, inputs)` of up to 4 rows. A check of a model
    may take longer than the deadline that Hypothesis sets for an example: lift it.

    >>> from hypothesis import given, settings
    >>> from tinygrad_fc.testing import check
    >>> @settings(deadline=None, max_examples=3)
    ... @given(networks(inputs=2, layers=(1, 2)))
    ... def test_networks(drawn):
    ...     model, x = drawn
    ...     check(model, x)
    >>> test_networks()
    """
    __tracebackhide__ = True
    for name, value in (("inputs", inputs), ("outputs", outputs)):
        if value is not None:
            whole(name, value, "a width: a whole number, at least 1")
    text = f"layers is how many there are, least and most, as in (1, 3); got {layers!r:.80}"
    if not isinstance(layers, tuple | list) or len(layers) != 2:
        raise TypeError(text)
    for value in layers:
        whole("layers", value, "least and most, whole numbers that are at least 1")
    if layers[0] > layers[1]:
        raise ValueError(text)
    if not isinstance(activations, Iterable):
        raise TypeError(
            "activations is a sequence of classes of modules, such as (nn.Tanh, nn.ReLU); got "
            f"{activations!r:.80}"
        )
    made = tuple(activations)
    for activation in made:
        one = None if isinstance(activation, nn.Module) else activation
        function("each of activations", one or repr(activation), ACTIVATION)
    if not made:
        raise ValueError("activations is empty: give one at least, such as nn.Tanh")
    return _networks(inputs, outputs, (layers[0], layers[1]), made)


@st.composite
def _networks(
    draw: st.DrawFn,
    inputs: int | None,
    outputs: int | None,
    layers: tuple[int, int],
    activations: Sequence[Callable[[], nn.Module]],
) -> tuple[nn.Sequential, Any]:
    width = st.integers(1, 4)
    count = draw(st.integers(*layers))
    widths = [inputs or draw(width), *(draw(width) for _ in range(count - 1))]
    widths.append(outputs or draw(width))
    parts: list[nn.Module] = []
    for k, (n, m) in enumerate(pairwise(widths)):
        parts.append(nn.Linear(n, m, dtype=np.float64))
        if k < count - 1:
            parts.append(draw(st.sampled_from(activations))())
    model = nn.Sequential(*parts)
    for p in model.parameters():
        p.data[...] = wrap(_eighths(draw, p.shape))
    return model, wrap(_eighths(draw, (draw(st.integers(0, 4)), widths[0])))


def _eighths(draw: st.DrawFn, shape: Sequence[int]) -> Array:
    n = int(np.prod(shape))
    raw = np.frombuffer(draw(st.binary(min_size=n, max_size=n)), np.int8)
    return (raw.astype(float) / 16).reshape(tuple(shape))
