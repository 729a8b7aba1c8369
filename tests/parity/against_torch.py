"""How functions of tensors are held against PyTorch's: what a line of a table is, and its check.

A line is a function of the library `t` (this one, or PyTorch) and of tensors, and what its
arguments are drawn from. Values, dtypes and shapes, gradients under random cotangents, and the
gradients of those gradients must agree.
"""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tinygrad_fc as tg

torch = pytest.importorskip("torch")

# PyTorch 2.14 changed `clamp`: the derivative at a number is 0, a tie with a tensor shares the
# gradient. LBFGS got `maximize`.
SINCE_2_14 = tuple(int(n) for n in torch.__version__.split(".")[:2]) >= (2, 14)

if TYPE_CHECKING:
    from collections.abc import Callable

Drawn = tuple[list[tuple[int, ...]], dict[str, Any]]  # the shapes of tensors, and other arguments


class Line(NamedTuple):
    """A call, what it is drawn from, and the values of its tensors.

    `ties`: equal elements and kinks are drawn too, and the conventions there must agree. `flat`:
    rounded results, which never require grad here; PyTorch's do, and have none or one of zeros.
    `rough`: how many times the usual rounding is allowed, where PyTorch's is large.
    """

    call: Callable[..., Any]
    drawn: st.SearchStrategy[Drawn]
    low: float = -2.0
    high: float = 2.0
    ties: bool = True
    flat: bool = False
    rough: float = 1


# What arguments are drawn from


def shapes(*alternatives: list[tuple[int, ...]], **more: Any) -> st.SearchStrategy[Drawn]:
    return st.tuples(st.sampled_from(alternatives), st.fixed_dictionaries(more))


def shaped(*shape: int) -> st.SearchStrategy[Drawn]:
    return shapes([shape])


def some(
    min_dims: int = 0, max_dims: int = 3, min_side: int = 0, **more: Any
) -> st.SearchStrategy[Drawn]:
    shape = hnp.array_shapes(min_dims=min_dims, max_dims=max_dims, min_side=min_side, max_side=3)
    return st.tuples(shape.map(lambda s: [s]), st.fixed_dictionaries(more))


def several(count: int, min_side: int = 0, **more: Any) -> st.SearchStrategy[Drawn]:
    shapes = hnp.mutually_broadcastable_shapes(
        num_shapes=count, min_side=min_side, max_dims=3, max_side=3
    )
    return st.tuples(shapes.map(lambda s: list(s.input_shapes)), st.fixed_dictionaries(more))


def multiplied(signature: str) -> st.SearchStrategy[Drawn]:
    shapes = hnp.mutually_broadcastable_shapes(
        signature=signature, min_side=0, max_dims=2, max_side=3
    )
    return st.tuples(shapes.map(lambda s: list(s.input_shapes)), st.just({}))


@st.composite
def along(
    draw: st.DrawFn,
    name: str = "dim",
    min_side: int = 1,
    *,
    many: bool = False,
    none: bool = False,
    least: int = 0,
    **more: Any,
) -> Drawn:
    """Draw a shape and an axis of it, or several, or none."""
    shape = draw(hnp.array_shapes(min_dims=least, max_dims=3, min_side=min_side, max_side=3))
    n = len(shape) or 1
    dims: Any = st.integers(-n, n - 1)
    if many:
        dims |= st.lists(st.integers(-n, n - 1), min_size=1, unique_by=lambda k: k % n).map(tuple)
    if none:
        dims |= st.none()
    return [shape], {name: draw(dims), **{k: draw(s) for k, s in more.items()}}


@st.composite
def indexed(draw: st.DrawFn) -> Drawn:
    shape = draw(hnp.array_shapes(max_dims=3, max_side=3))
    at = draw(
        hnp.integer_array_indices(shape)
        | hnp.arrays(bool, shape)
        | hnp.arrays(bool, shape[:1])
        | hnp.basic_indices(shape, allow_newaxis=True).filter(no_negative_step)
        | mixed_indices(shape)
    )
    return [shape], {"at": at}


@st.composite
def mixed_indices(draw: st.DrawFn, shape: tuple[int, ...]) -> tuple[Any, ...]:
    """Draw an index of numbers, slices, arrays of two indices and masks of one element."""
    parts: list[Any] = []
    for n in shape:
        element = st.integers(-n, n - 1)
        pair = st.lists(element, min_size=2, max_size=2)
        mask = element.map(lambda k, n=n: np.eye(n, dtype=np.uint8)[k])
        parts.append(draw(element | pair.map(np.array) | mask | st.just(slice(None)) | pair))
    for extra in draw(st.lists(st.sampled_from([None, ...]), max_size=2, unique=True)):
        parts.insert(draw(st.integers(0, len(parts))), extra)
    return tuple(parts)


def no_negative_step(at: Any) -> bool:  # which PyTorch has not
    return all(
        (p.step or 1) > 0 for p in (at if isinstance(at, tuple) else (at,)) if isinstance(p, slice)
    )


@st.composite
def gathered(draw: st.DrawFn) -> Drawn:
    shape = draw(hnp.array_shapes(max_dims=3, max_side=3))
    dim = draw(st.integers(-len(shape), len(shape) - 1))
    sides = [draw(st.integers(1, 4 if k == dim % len(shape) else n)) for k, n in enumerate(shape)]
    at = draw(hnp.arrays(np.int64, tuple(sides), elements=st.integers(0, shape[dim] - 1)))
    return [shape], {"dim": dim, "index": at}


@st.composite
def alike(draw: st.DrawFn, name: str, *, off: bool = False) -> Drawn:
    """Draw several tensors of one shape, or of one but along an axis, and that axis."""
    shape = draw(hnp.array_shapes(max_dims=3, min_side=1, max_side=3))
    dim = draw(st.integers(-len(shape) - (not off), len(shape) - off))
    shapes = []
    for _ in range(draw(st.integers(1, 3))):
        sides = list(shape)
        if off:
            sides[dim] = draw(st.integers(0, 3))
        shapes.append(tuple(sides))
    return shapes, {name: dim}


keep = st.booleans()
numbers = st.sampled_from([-1.5, -1, 0.5, 2, 3])


def with_tensors(t: Any, setting: Any) -> Any:
    """Return a setting with tensors of the library `t` in place of arrays."""
    if isinstance(setting, tuple):
        return tuple(with_tensors(t, part) for part in setting)
    if isinstance(setting, dict):
        return {name: with_tensors(t, value) for name, value in setting.items()}
    return t.tensor(setting) if isinstance(setting, np.ndarray) else setting


def calling(name: str, last: str = "") -> Any:
    """Return the call of "linalg.inv", or of a method, "Tensor.sum"; what is in () is a comment.

    The last tensor is passed under the name `last`.
    """
    path, is_method = name.partition("(")[0], name.startswith("Tensor.")
    find = attrgetter(path.removeprefix("Tensor."))

    def call(t: Any, *tensors: Any, **settings: Any) -> Any:
        if last:
            *tensors, settings[last] = tensors  # type: ignore[assignment]
        return find(tensors[0] if is_method else t)(*tensors[is_method:], **settings)

    return call


LINES: dict[str, Line] = {}


def line(
    names: str,
    drawn: Any,
    *options: Any,
    last: str = "",
    call: Any = None,
    of: Any = None,
    **more: Any,
) -> None:
    """Add a line for each name, and for a bare one, a function and a method, two.

    `of(t, x)` is called on the first tensor before the function is.
    """

    def prepared(call: Any) -> Any:
        return lambda t, x, *xs, **k: call(t, of(t, x), *xs, **k)

    for name in [names] if call or "(" in names else names.split():
        only = call or "(" in name or "." in name
        for name_ in (name,) if only else (name, f"Tensor.{name}"):
            assert name_ not in LINES
            call_ = call or calling(name_, last)
            LINES[name_] = Line(prepared(call_) if of else call_, drawn, *options, **more)


# The check


def values(shape: tuple[int, ...], rng: Any, entry: Line, dtype: Any) -> np.ndarray:
    """Draw random values: half of the time from a grid, so that some are equal or at a kink."""
    if entry.ties and rng.random() < 0.5:
        grid = np.arange(np.ceil(entry.low * 2), entry.high * 2 + 1) / 2
        return rng.choice(grid, shape).astype(dtype)
    return rng.uniform(entry.low, entry.high, shape).astype(dtype)


def listed(result: Any) -> list[Any]:
    return list(result) if isinstance(result, (tuple, list)) else [result]


def dtype_name(x: Any) -> str:
    return str(x.dtype).removeprefix("torch.")


def agree(ours: Any, theirs: Any, dtype: Any, rough: float = 1) -> None:
    a, b = (
        np.asarray(ours.detach().numpy(), float),
        np.asarray(theirs.detach().numpy(force=True), float),
    )
    assert a.shape == b.shape
    scale = 1 + np.abs(np.nan_to_num(b)).max(initial=0)
    np.testing.assert_allclose(a, b, rtol=0, atol=200 * rough * np.finfo(dtype).eps * scale)


def gradients(t: Any, outs: Any, inputs: Any, seed: int) -> Any:
    """Return gradients under random cotangents, with their graph; zeros where there are none."""
    outs = [(x, np.random.default_rng([seed, k])) for k, x in enumerate(outs) if x.requires_grad]
    if not outs:
        return [t.zeros_like(x) for x in inputs]
    weights = [
        t.tensor(rng.uniform(0.5, 2, tuple(x.shape)).astype(dtype_name(x))) for x, rng in outs
    ]
    return t.autograd.grad(
        [x for x, _ in outs], inputs, weights, create_graph=True, materialize_grads=True
    )


def compare(entry: Line, data: Any, seed: int, dtype: Any) -> None:
    """Draw arguments for a line, and compare results, gradients and their gradients."""
    rng = np.random.default_rng(seed)
    shapes, settings_ = data.draw(entry.drawn)
    arrays = [values(shape, rng, entry, dtype) for shape in shapes]
    inputs = [[t.tensor(a, requires_grad=True) for a in arrays] for t in (tg, torch)]
    ours, theirs = (
        listed(entry.call(t, *tensors, **with_tensors(t, settings_)))
        for t, tensors in zip((tg, torch), inputs, strict=True)
    )
    for x, y in zip(ours, theirs, strict=True):
        assert dtype_name(x) == dtype_name(y)
        assert x.requires_grad == (y.requires_grad and not entry.flat)
        agree(x, y, np.float16 if "float16" in dtype_name(y) else dtype, entry.rough)
    for order in () if entry.flat else (1, 2):
        ours, theirs = (
            gradients(t, outs, tensors, seed + order)
            for t, outs, tensors in zip((tg, torch), (ours, theirs), inputs, strict=True)
        )
        for x, g, e in zip(inputs[0], ours, theirs, strict=True):
            assert g.dtype == x.dtype
            agree(g, e, dtype, entry.rough)


def compare_integers(entry: Line, data: Any, seed: int, dtype: Any) -> None:
    """Draw integers for a line, and compare values and dtypes where both compute with them."""
    rng = np.random.default_rng(seed)
    shapes, settings_ = data.draw(entry.drawn)
    arrays = [rng.integers(-3, 4, shape).astype(dtype) for shape in shapes]
    results = []
    for t in (torch, tg):
        try:
            result = entry.call(t, *map(t.tensor, arrays), **with_tensors(t, settings_))
        except (RuntimeError, TypeError, ValueError, ArithmeticError):
            return
        results.append(listed(result))
    for y, x in zip(*results, strict=True):
        assert dtype_name(x) == dtype_name(y)
        agree(x, y, np.float32)


def compare_aliases(entry: Line, data: Any, seed: int) -> None:
    """Draw arguments for a line, write into its results, and compare all tensors afterwards."""
    rng = np.random.default_rng(seed)
    shapes, settings_ = data.draw(entry.drawn)
    arrays = [values(shape, rng, entry, np.float64) for shape in shapes]
    ours, theirs = [tg.tensor(a) for a in arrays], [torch.tensor(a) for a in arrays]
    for t, tensors in ((tg, ours), (torch, theirs)):
        tensors.extend(listed(entry.call(t, *tensors, **with_tensors(t, settings_))))
    for k in range(len(arrays), len(ours)):
        if not theirs[k].numel():
            continue
        try:
            theirs[k].copy_(torch.full_like(theirs[k], k))
        except RuntimeError:  # an element stands at several indices
            continue
        ours[k].copy_(tg.full_like(ours[k], k))
        for x, y in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(x.numpy(), y.numpy(), rtol=1e-9, atol=1e-9)


def refused(call: Callable[[Any], Any], *, kind: bool = True) -> None:
    """Check that both libraries refuse a call; with `kind`, by an error of the same kind."""
    errors = (RuntimeError, TypeError, ValueError, IndexError, BufferError)
    with pytest.raises(errors) as theirs:
        call(torch)
    with pytest.raises(errors) as ours:
        call(tg)
    if kind and isinstance(theirs.value, IndexError):
        assert isinstance(ours.value, (IndexError, TypeError))


def alike_in_value_and_type(call: Callable[[Any], Any]) -> None:
    """Check that both libraries give the same numbers, dtypes and shapes, without gradients."""
    for x, y in zip(listed(call(tg)), listed(call(torch)), strict=True):
        assert dtype_name(x) == dtype_name(y)
        assert x.shape == tuple(y.shape)
        np.testing.assert_allclose(x.numpy(), y.numpy(), rtol=1e-14, atol=0)
