"""How functions of tensors are held against PyTorch's: what a line of a table is, and its check.

A line is a function of the library `t` (this one, or PyTorch) and of tensors, and what its
arguments are drawn from. Values, dtypes and shapes, gradients under random cotangents, and the
gradients of those gradients must agree.
"""

import math
from collections.abc import Callable
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import assume
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tinygrad_fc as tg

torch = pytest.importorskip("torch")

# PyTorch 2.14 changed `clamp`: the derivative at a number is 0, a tie with a tensor shares the
# gradient. LBFGS got `maximize`.
SINCE_2_14 = tuple(int(n) for n in torch.__version__.split(".")[:2]) >= (2, 14)

ERRORS = (RuntimeError, TypeError, ValueError, IndexError, BufferError, ArithmeticError)
DTYPES = ("bool", "int8", "int32", "int64", "float32", "float64")
Drawn = tuple[list[tuple[int, ...]], dict[str, Any]]  # the shapes of tensors, and other arguments


class Line(NamedTuple):
    """A call, what it is drawn from, and the values of its tensors.

    `order`: the highest derivative that is compared; at 0, for rounded results, nothing requires
    grad here, and PyTorch's results do and have none or one of zeros. `ties`: the same where equal
    elements and kinks are drawn, where the conventions must agree; at 0 none are drawn.
    `tolerance`: of PyTorch's digits, where they are fewer than those of the dtype.
    """

    call: Callable[..., Any]
    drawn: st.SearchStrategy[Drawn]
    low: float = -2.0
    high: float = 2.0
    ties: int = 2
    order: int = 2
    tolerance: float = 0.0


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
moments = along(least=1, many=True, keepdim=keep, correction=st.sampled_from([0, 1]), min_side=3)
numbers = st.sampled_from([-1.5, -1, 0.5, 2, 3])


def with_tensors(t: Any, setting: Any, dtype: Any = None) -> Any:
    """Return a setting with tensors of the library `t` in place of arrays, floats of a dtype."""
    if isinstance(setting, tuple):
        return tuple(with_tensors(t, part, dtype) for part in setting)
    if isinstance(setting, dict):
        return {name: with_tensors(t, value, dtype) for name, value in setting.items()}
    if not isinstance(setting, np.ndarray):
        return setting
    return t.tensor(setting.astype(dtype) if dtype and setting.dtype.kind == "f" else setting)


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
    names: str, drawn: Any, call: Any = None, *, last: str = "", of: Any = (), **more: Any
) -> None:
    """Add a line for each name, and for a bare one, a function and a method, two.

    `of`: functions `f(t, x)` that the first tensors go through before the call, or one of them.
    """
    through = of if isinstance(of, tuple) else (of,)

    def prepared(call: Any) -> Any:
        def prepared_call(t: Any, *xs: Any, **settings: Any) -> Any:
            first = [f(t, x) for f, x in zip(through, xs, strict=False)]
            return call(t, *first, *xs[len(first) :], **settings)

        return prepared_call

    for name in [names] if call or "(" in names else names.split():
        only = call or "(" in name or "." in name
        for name_ in (name,) if only else (name, f"Tensor.{name}"):
            assert name_ not in LINES
            LINES[name_] = Line(prepared(call or calling(name_, last)), drawn, **more)


# The check


def values(shape: tuple[int, ...], rng: Any, entry: Line, *, tied: bool) -> np.ndarray:
    """Draw random values, from a grid if `tied`, so that some are equal or at a kink."""
    if tied:
        grid = np.arange(np.ceil(entry.low * 2), entry.high * 2 + 1) / 2
        return rng.choice(grid, shape)
    return np.asarray(rng.uniform(entry.low, entry.high, shape))


def listed(result: Any) -> list[Any]:
    return list(result) if isinstance(result, (tuple, list)) else [result]


def dtype_name(x: Any) -> str:
    return str(x.dtype).removeprefix("torch.")


def array(x: Any) -> Any:
    """Return the array of a tensor, or of a number; of PyTorch's, a copy where it must be one."""
    if not hasattr(x, "detach"):
        return np.asarray(x)
    return np.asarray(x.detach().numpy(**{"force": True} if isinstance(x, torch.Tensor) else {}))


def agree(
    ours: Any, theirs: Any, tolerance: float = 1e-11, *, exact: bool = False, **options: Any
) -> None:
    """Compare results of the same structure: tensors and floats closely, all else exactly.

    The tolerance is relative to the largest element, or to each if `exact`. `typed`: whether dtypes
    must be equal. `ignored`: the keys that only dicts of PyTorch have.
    """
    options |= {"tolerance": tolerance, "exact": exact}
    if isinstance(theirs, Exception):  # code that catches theirs catches ours
        assert isinstance(ours, type(theirs)), (ours, theirs)
    elif isinstance(theirs, dict):
        assert ours.keys() <= theirs.keys() <= ours.keys() | options.get("ignored", set())
        for key, value in ours.items():
            agree(value, theirs[key], **options)
    elif isinstance(theirs, tuple | list):
        for pair in zip(ours, theirs, strict=True):
            agree(*pair, **options)
    elif isinstance(theirs, float | np.ndarray | torch.Tensor):
        x, y = array(ours), array(theirs)
        assert x.shape == y.shape
        assert x.dtype == y.dtype or not options.get("typed", True)
        largest = np.abs(y, where=np.isfinite(y), out=np.zeros(y.shape)).max(initial=1)
        absolute = 0 if exact else tolerance * largest
        np.testing.assert_allclose(x, y, rtol=tolerance, atol=absolute)
    else:
        assert ours == theirs


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


def arguments(entry: Line, data: Any, seed: int, dtype: Any) -> tuple[list[Any], Any, bool]:
    """Draw arrays and settings for a line; return them, and whether some values are tied."""
    rng = np.random.default_rng(seed)
    shapes, settings_ = data.draw(entry.drawn)
    tied = [bool(entry.ties) and rng.random() < 0.5 for _ in shapes]
    arrays = [values(s, rng, entry, tied=k) for s, k in zip(shapes, tied, strict=True)]
    return [a.astype(dtype) for a in arrays], settings_, any(tied)


def compare_derivatives(
    entry: Line, arrays: list[Any], settings_: Any, seed: int, tolerance: float, highest: int
) -> None:
    """Compare the results of a call, and their derivatives up to the order `highest`."""
    inputs = [[t.tensor(a, requires_grad=True) for a in arrays] for t in (tg, torch)]
    dtype = arrays[0].dtype if arrays else None
    ours, theirs = (
        listed(entry.call(t, *tensors, **with_tensors(t, settings_, dtype)))
        for t, tensors in zip((tg, torch), inputs, strict=True)
    )
    agree(ours, theirs, tolerance)
    ours, theirs = ([x for x in outs if not isinstance(x, str)] for outs in (ours, theirs))
    for x, y in zip(ours, theirs, strict=True):
        assert x.requires_grad == (y.requires_grad and entry.order > 0)
    for order in range(1, 1 + highest):
        ours, theirs = (
            gradients(t, outs, tensors, seed + order)
            for t, outs, tensors in zip((tg, torch), (ours, theirs), inputs, strict=True)
        )
        agree(ours, theirs, tolerance)


def compare(entry: Line, data: Any, seed: int, dtype: Any) -> None:
    """Draw arguments for a line, and compare results, gradients and their gradients."""
    arrays, settings_, tied = arguments(entry, data, seed, dtype)
    # In float32, second derivatives cancel; the formulas are compared in float64.
    tolerance = max(1e-13 if dtype == np.float64 else 1e-3, entry.tolerance)
    highest = min(entry.order, entry.ties if tied else 2)
    compare_derivatives(entry, arrays, settings_, seed, tolerance, highest)


def outcome(t: Any, call: Any, operands: list[Any], settings_: Any = None) -> Any:
    """Return the results of a call of tensors in place of arrays, or the error that it raises."""
    try:
        return listed(call(t, *with_tensors(t, (*operands,)), **with_tensors(t, settings_ or {})))
    except (*ERRORS, AttributeError) as error:
        return error


def compare_dtypes(entry: Line, data: Any, seed: int, *, lenient: bool) -> None:
    """Draw integers of several dtypes, and compare results, or that both refuse them.

    Either may refuse what the other accepts if `lenient`, and where there are booleans, which
    PyTorch refuses here and there, or no elements, of which it checks less. What PyTorch refuses of
    two float dtypes is compared with its result for the promoted ones.
    """
    rng = np.random.default_rng(seed)
    shapes, settings_ = data.draw(entry.drawn)
    arrays = [rng.integers(-3, 4, s).astype(DTYPES[rng.integers(len(DTYPES))]) for s in shapes]
    ours, theirs = (outcome(t, entry.call, arrays, settings_) for t in (tg, torch))
    if isinstance(theirs, Exception) and len({a.dtype for a in arrays if a.dtype.kind == "f"}) > 1:
        theirs = outcome(torch, entry.call, promoted(arrays), settings_)
    errors = [isinstance(results, Exception) for results in (ours, theirs)]
    if not any(errors):
        agree(ours, theirs, 1e-5)
    elif not lenient and all(a.size and a.dtype != bool for a in arrays):
        assert all(errors), (ours, theirs)


def promoted(arrays: list[Any]) -> list[Any]:
    """Return arrays whose floats have one dtype: the widest of those with axes, else of all."""
    floats = [a for a in arrays if a.dtype.kind == "f"]
    widest = max((a.dtype for a in [a for a in floats if a.ndim] or floats), default=None)
    return [a.astype(widest) if a.dtype.kind == "f" else a for a in arrays]


def compare_mixed_floats(entry: Line, data: Any, seed: int, *, always: bool) -> None:
    """Draw floats of two dtypes; compare results and gradients, each in the dtype of its argument.

    PyTorch gets the promoted ones where it refuses these, `always`, or where all are empty, since
    it does not compare their dtypes.
    """
    arrays, settings_, tied = arguments(entry, data, seed, np.float64)
    rng = np.random.default_rng(seed)
    arrays = [a.astype(rng.choice(["float32", "float64"])) for a in arrays]
    wide, empty = promoted(arrays), not any(a.size for a in arrays)
    ours, theirs = ([t.tensor(a, requires_grad=True) for a in arrays] for t in (tg, torch))
    dtype = wide[0].dtype if wide else None
    results = listed(entry.call(tg, *ours, **with_tensors(tg, settings_, dtype)))
    settings_ = with_tensors(torch, settings_, dtype)
    casts = [x.to(getattr(torch, dtype_name(a))) for x, a in zip(theirs, wide, strict=True)]
    try:
        cast = always or empty
        expected = listed(entry.call(torch, *(casts if cast else theirs), **settings_))
    except RuntimeError:
        expected = listed(entry.call(torch, *casts, **settings_))
    agree(results, expected, 1e-3, typed=not empty)
    if entry.order and not (tied and not entry.ties):
        agree(gradients(tg, results, ours, seed), gradients(torch, expected, theirs, seed), 1e-3)


def compare_special_values(entry: Line, data: Any, seed: int) -> None:
    """Draw infinities, NaN and zeros, and compare results."""
    rng = np.random.default_rng(seed)
    shapes, settings_ = data.draw(entry.drawn)
    numbers = [np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -1.0, 2.0, -2.5, 700.0]
    arrays = [rng.choice(numbers, shape) for shape in shapes]
    ours, theirs = (outcome(t, entry.call, arrays, settings_) for t in (tg, torch))
    agree(ours, theirs, 1e-9, exact=True)


def compare_nan(entry: Line, data: Any, seed: int) -> None:
    """Draw NaN among distinct numbers, and compare results and gradients."""
    rng = np.random.default_rng(seed)
    shapes, settings_ = data.draw(entry.drawn)
    arrays = [rng.uniform(-2, 2, shape) for shape in shapes]
    for a in arrays:
        a[rng.random(a.shape) < 0.2] = np.nan
    compare_derivatives(entry, arrays, settings_, seed, 1e-9, 1)


def compare_refusals(entry: Line, data: Any, seed: int) -> None:
    """Draw arguments, put an axis in, out or in the place of one, and compare what is refused.

    Or a dim is out of range. What both accept has the same results.
    """
    rng = np.random.default_rng(seed)
    shapes, settings_ = data.draw(entry.drawn)
    dims = [name for name in ("dim", "dim0") if isinstance(settings_.get(name), int)]
    if dims and rng.random() < 0.3:
        settings_ = {**settings_, dims[0]: 9}
    elif shapes:
        k = rng.integers(len(shapes))
        shape = list(shapes[k])
        at, size = rng.integers(len(shape) + 1), int(rng.integers(5))
        shape[at : at + rng.integers(2)] = [size] * rng.integers(2)
        shapes[k] = tuple(shape)
    assume(math.prod(map(math.prod, shapes)) < 10**6)  # the elements of an outer product
    arrays = [values(shape, rng, entry, tied=False) for shape in shapes]
    ours, theirs = (outcome(t, entry.call, arrays, settings_) for t in (tg, torch))
    if isinstance(theirs, Exception):
        assert isinstance(ours, Exception), (shapes, settings_, theirs)
    elif not isinstance(ours, Exception):
        agree(ours, theirs, max(1e-11, entry.tolerance))


def compare_aliases(entry: Line, data: Any, seed: int) -> None:
    """Draw arguments for a line, write into its results, and compare all tensors afterwards."""
    arrays, settings_, _ = arguments(entry, data, seed, np.float64)
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
        agree(ours, theirs, 1e-9)


def compare_programs(program: Callable[..., Any], *arrays: np.ndarray) -> None:
    """Compare what `program(library, *tensors)` returns with both."""
    agree(*(program(t, *(t.tensor(a.copy()) for a in arrays)) for t in (tg, torch)), 1e-10)
