"""The extended functions and methods: what a line is stands in `against_torch`."""

import math
from typing import Any

import numpy as np
from against_torch import (
    SINCE_2_14,
    Drawn,
    alike,
    along,
    keep,
    line,
    moments,
    numbers,
    several,
    shaped,
    shapes,
    some,
)
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

# What arguments are drawn from


@st.composite
def picked(draw: st.DrawFn) -> Drawn:
    """Draw a shape, an axis of it, and indices along that."""
    shape = draw(hnp.array_shapes(max_dims=3, max_side=3))
    dim = draw(st.integers(-len(shape), len(shape) - 1))
    at = draw(st.lists(st.integers(0, shape[dim] - 1), max_size=4))
    return [shape], {"dim": dim, "index": np.array(at, np.int64)}


@st.composite
def added(draw: st.DrawFn) -> Drawn:
    """Draw what `index_add` takes: as above, and the shape of what is added."""
    (shape,), settings_ = draw(picked())
    source = list(shape)
    source[settings_["dim"]] = len(settings_["index"])
    return [shape, tuple(source)], {**settings_, "alpha": draw(st.sampled_from([1, -0.5, 2]))}


@st.composite
def scattered(draw: st.DrawFn, *, once: bool = False) -> Drawn:
    """Draw what `scatter` takes: two shapes, an axis and indices, no place twice if `once`."""
    shape = draw(hnp.array_shapes(max_dims=3, max_side=3))
    dim = draw(st.integers(0, len(shape) - 1))
    sides = tuple(draw(st.integers(1, n)) for n in shape)
    at = np.random.default_rng(draw(st.integers(0, 99))).random(shape).argsort(dim)
    if not once:
        at = draw(hnp.arrays(np.int64, shape, elements=st.integers(0, shape[dim] - 1)))
    at = at[tuple(map(slice, sides))].copy()
    # PyTorch has the gradient of what is put for the shape of the index only.
    return [shape, sides], {"dim": dim - len(shape) * draw(keep), "index": at}


@st.composite
def rolled(draw: st.DrawFn) -> Drawn:
    shape = draw(hnp.array_shapes(max_dims=3, max_side=3, min_side=0))
    dims = draw(st.lists(st.integers(-len(shape), len(shape) - 1), min_size=1, max_size=3))
    return [shape], {"shifts": tuple(draw(st.integers(-4, 4)) for _ in dims), "dims": tuple(dims)}


@st.composite
def moved(draw: st.DrawFn) -> Drawn:
    shape = draw(hnp.array_shapes(max_dims=3, max_side=3))
    n = draw(st.integers(0, len(shape)))
    source, destination = (tuple(draw(st.permutations(range(len(shape))))[:n]) for _ in range(2))
    return [shape], {"source": source, "destination": destination}


@st.composite
def squares(draw: st.DrawFn, *more: str, **settings: Any) -> Drawn:
    """Draw the shape of a batch of square matrices, and of what goes with it: letters of axes."""
    letters = {"n": draw(st.integers(1, 4)), "k": draw(st.integers(1, 2)), "b": 2}
    batch = draw(st.sampled_from(["", "b"]))
    shapes = [tuple(letters[c] for c in batch + m) for m in ("nn", *more)]
    return shapes, {name: draw(setting) for name, setting in settings.items()}


def detached(t: Any, x: Any) -> Any:  # noqa: ARG001  of any library
    return x.detach()


# The table

# Element by element

line("sign floor ceil round trunc", some(), order=0)
line("round(decimals)", some(), lambda t, x: t.round(x, decimals=1), order=0, ties=0)
line("isnan isinf isfinite logical_not expm1 exp2 erf sinh cosh asinh atan", some())
line("tan", some(), low=-1.2, high=1.2)
line("reciprocal log1p log2 log10 rsqrt", some(), low=0.5, high=4.0)
# PyTorch has ten digits of the derivatives of digamma.
line("lgamma digamma", some(), low=0.5, high=4.0, tolerance=1e-8)
line("lgamma(below 0)", some(), low=-1.9, high=-1.1, ties=0, tolerance=1e-8)
line("digamma(below 0)", some(), low=-0.9, high=-0.1, ties=0, tolerance=1e-8)
orders = some(n=st.integers(1, 3))
line("polygamma", orders, lambda t, x, n: t.polygamma(n, x), low=0.5, high=4, tolerance=1e-8)
line("Tensor.polygamma", orders, low=0.5, high=4, tolerance=1e-8)
line("asin acos", some(), low=-0.9, high=0.9, ties=0)
line("logit", some(), low=0.1, high=0.9, ties=0)
line("atan2 hypot", several(2), low=0.5)
line("logaddexp", several(2))
line("xlogy", several(2), low=0.0, high=2.0, ties=0)
line("xlogy(0)", several(1), lambda t, y: t.xlogy(y.detach() * 0, y), low=0.5)
line("xlogy(number)", some(c=numbers), lambda t, x, c: t.xlogy(c, x), low=0.5)
line("xlogy(by a number)", some(), lambda t, x: t.xlogy(x, 2.5))
line("logical_and logical_or logical_xor", several(2))
near = {"rtol": st.sampled_from([0.5, 0.0]), "atol": st.sampled_from([1e-8, 0.5])}
line("isclose", several(2, **near, equal_nan=keep))
line("allclose", several(2), lambda t, x, y: t.tensor([t.allclose(x, y), x.allclose(x)]))
line("equal", several(2), lambda t, x, y: t.tensor([t.equal(x, y), x.equal(x.clone())]))
line("fmod remainder", several(2), low=0.5, high=4, ties=0)
line("fmod(number)", some(c=numbers), lambda t, x, c: t.fmod(x, c), ties=0)
line("remainder(number)", some(c=numbers), lambda t, x, c: x.remainder(c), ties=0)
line("floor_divide", several(2), low=0.5, high=4, ties=0, order=0)
line("lerp", several(3))
line("lerp(number)", several(2, w=numbers), lambda t, x, y, w: x.lerp(y, weight=w))
line("addcmul", several(3, value=numbers))
line("addcdiv", several(3, value=numbers), low=0.5)
line("clamp_min clamp_max", several(2), ties=2 * SINCE_2_14)
line("clamp_min(number)", some(min=numbers), ties=2 * SINCE_2_14)
line("Tensor.clamp_max(number)", some(max=numbers), ties=2 * SINCE_2_14)
special = {"of": lambda t, x: t.where(x > 1, math.inf, t.where(x < -1, math.nan, x))}
line(
    "nan_to_num", some(nan=st.sampled_from([0.0, 2.0, None]), posinf=numbers | st.none()), **special
)
line("nan_to_num(neginf)", some(), lambda t, x: (-x).nan_to_num(neginf=2.0), **special)

# Reductions and scans

line("prod", some(min_side=1))
line("prod(dim)", along(keepdim=keep))
line("prod(dtype)", some(), lambda t, x: x.prod(dtype=t.float64))
line("cumsum cumprod", along())
line("cumsum(dtype)", along(), lambda t, x, dim: t.cumsum(x, dim, dtype=t.float64))
line("median", some(min_side=1))
line("median(dim)", along(keepdim=keep), ties=0)
line("kthvalue", along(least=1, min_side=2, k=st.integers(1, 2), keepdim=keep), ties=0)
kept = along(least=1, k=st.just(1), keepdim=keep)
line("kthvalue(values)", kept, lambda t, x, **k: t.kthvalue(x, **k).values.detach())
line("cummax", along(min_side=1), ties=0)
some_nan = {"of": lambda t, x: t.where(x > 0, x, t.nan)}
line("nanmean", along(many=True, none=True, keepdim=keep), **some_nan)
middle = lambda t, x, dim, keepdim: x.median(dim, keepdim).values.detach()  # noqa: E731
line("median(values)", along(keepdim=keep), middle)
line("var_mean(dim)", moments, ties=0)
line("var_mean(all)", shaped(2, 3), lambda t, x: t.var_mean(x), ties=0)
line("count_nonzero", along(min_side=0, many=True, none=True))
line("diff", along(least=1, min_side=0, n=st.integers(0, 3)))
joined = lambda t, x, dim: x.diff(1, dim, prepend=x, append=x * 2)  # noqa: E731
line("diff(joined)", along(least=1), joined)

# Norms

orders = st.sampled_from([1, 2, 3, 2.5, 0.5, -1, math.inf, -math.inf])


def separate(t: Any, x: Any) -> Any:
    """Return matrices of distinct singular values: 9, 18, ... added to the diagonal."""
    n, m = x.shape[-2:]
    return x + t.eye(n, m, dtype=x.dtype) * t.tensor(
        [9.0 * (k + 1) for k in range(m)], dtype=x.dtype
    )


def without_signs(U: Any, S: Any, right: Any) -> Any:
    """Return the terms of U @ diag(S) @ right, on which the signs of the vectors have no effect."""
    return U[..., None, :] * S[..., None, None, :] * right.mT[..., None, :, :]


line("norm", some(min_side=1), ties=0)
line("norm(p)", along(many=True, keepdim=keep, p=orders), ties=0, tolerance=1e-12)
line("norm(0)", along(many=True, keepdim=keep, p=st.just(0)), order=0)
line("norm(fro)", shaped(2, 3), lambda t, x: x.norm("fro", dim=(0, 1)), ties=0)
line("norm(dtype)", shaped(3), lambda t, x: t.norm(x, dtype=t.float64), ties=0)
matrix_orders = st.sampled_from([None, "fro", 1, -1, math.inf, -math.inf])
value_orders = st.sampled_from([2, -2, "nuc"])
powers = {"ties": 0, "tolerance": 1e-12}
line("linalg.vector_norm", along(many=True, none=True, keepdim=keep, ord=orders), **powers)
line("linalg.vector_norm(ties)", along(ord=st.sampled_from([1, math.inf])), low=0.5)
line("linalg.norm(matrix)", some(2, 2, 1, ord=matrix_orders), ties=0)
line("linalg.norm(dims)", some(3, 3, 1, ord=matrix_orders, dim=st.just((2, 0))), ties=0)
line("linalg.norm(vector)", along(ord=orders), **powers)
line("linalg.matrix_norm", shaped(2, 2, 3), ties=0)
values = {"ties": 0, "tolerance": 1e-10}
line("linalg.matrix_norm(singular values)", some(2, 3, 1, ord=value_orders, keepdim=keep), **values)
line("linalg.svdvals", some(2, 3, 1), **values)
svd = {"of": separate, **values}
line("linalg.svd", squares(), lambda t, x: without_signs(*t.linalg.svd(x)), **svd)
line("svd", shapes([(3, 2)], [(2, 3)], [(2, 3, 2)]), lambda t, x: t.svd(x, some=False).S, **svd)
line("norm(nuc)", some(2, 2, 1, p=st.just("nuc")), **values)

# Linear equations


def full_rank(t: Any, x: Any) -> Any:
    """Return matrices that are far from singular: `x` and 9 on the diagonal."""
    return x + 9 * t.eye(*x.shape[-2:], dtype=x.dtype)


def definite(t: Any, x: Any) -> Any:
    return x @ x.mT + 2 * t.eye(x.shape[-1], dtype=x.dtype)


line("linalg.inv inverse", squares(), ties=0, of=full_rank)
line("linalg.solve", squares("nk"), ties=0, of=full_rank)
line("linalg.solve(vector)", squares("n"), ties=0, of=full_rank)
line("linalg.solve(right)", squares("kn", left=st.sampled_from([False])), ties=0, of=full_rank)
line("linalg.solve(broadcast)", shapes([(3, 3), (2, 3, 1)]), ties=0, of=full_rank)
# PyTorch fails at the second derivative of a determinant of float32 where float64 is the default.
line("linalg.det det", squares(), ties=0, tolerance=1e-9, of=lambda t, x: x.double())
line("det(type)", squares(), ties=0, of=detached)
line("slogdet", squares(), lambda t, x: x.slogdet().logabsdet, ties=0, of=full_rank)
line("slogdet(sign)", squares(), ties=0, of=lambda t, x: full_rank(t, -x).detach())
line("linalg.cholesky", squares(upper=keep), ties=0, of=definite)


def symmetric(t: Any, x: Any) -> Any:
    """Return symmetric matrices whose eigenvalues are apart: numbers 0, 30, 60 on the diagonal."""
    numbers = t.arange(x.shape[-1], dtype=x.dtype) * 30
    return x + x.mT + t.diag(numbers)


def of_eigenvectors(t: Any, x: Any) -> Any:
    values, vectors = t.linalg.eigh(x)
    return vectors.square(), (vectors * (values / 30).sin()[..., None, :]) @ vectors.mT


rough = {"ties": 0, "tolerance": 1e-9}
rectangles = shapes([(3, 2)], [(2, 3)], [(2, 3, 2)], [(2, 2)])
line("linalg.eigvalsh", squares(UPLO=st.sampled_from("LU")), **rough, of=symmetric)
line("linalg.eigh", squares(), of_eigenvectors, **rough, of=symmetric)
line("linalg.qr qr", rectangles, **rough, of=full_rank)
line("linalg.pinv pinverse", rectangles, **rough, of=full_rank)
line("linalg.matrix_rank", rectangles, of=detached)
line("linalg.matrix_exp matrix_exp", squares(), **rough)
line("linalg.matrix_power matrix_power", squares(n=st.integers(-2, 4)), **rough, of=full_rank)
triangles = squares("nk", upper=keep, unitriangular=keep)
line("linalg.solve_triangular", triangles, **rough, of=full_rank)
fitted = shapes([(3, 2), (3, 1)], [(2, 3, 2), (2, 3, 4)], [(2, 3), (2, 1)])
line("linalg.lstsq", fitted, lambda t, a, b: t.linalg.lstsq(a, b).solution, **rough, of=full_rank)

# Products

line("trace", some(2, 2))
line("inner", shapes([(2, 3), (3,)], [(3,), (3,)], [(2, 1, 3), (4, 3)], [(), (2,)]))
line("kron", shapes([(2, 3), (3, 2)], [(2,), (3,)], [(2, 1, 2), (3,)], [(), (2,)]))
for operands, dims in (
    ([(2, 3, 4), (3, 4, 2)], 2),
    ([(2, 3), (3,)], 1),
    ([(2,), (3, 1)], 0),
    ([(2, 3, 4), (4, 5, 2)], ([0, -1], [2, 0])),
    ([(2, 1), (3, 4)], ([1], [0])),
):
    line(f"tensordot({operands})", shapes(operands, dims=st.just(dims)))
line("dist", several(2, 1, p=st.sampled_from([1, 2, 3, math.inf])), ties=0, low=0.5)
# Not Tensor.spmm, which PyTorch refuses here.
line("spmm", shapes([(2, 3), (3, 4)]), lambda t, x, y: t.spmm(x, y))
line("linalg.cross", shapes([(2, 3), (2, 3)], [(3,), (3,)], [(4, 1, 3), (1, 2, 3)]))
line("cross(dim)", shaped(3, 2), lambda t, x: t.cross(x, x * x + 1, dim=0))

# Elements picked and put

line("index_select", picked())
line("index_add", added(), last="source")
line("select", along(least=1, index=st.just(0)))
line("select(last)", along(least=1), lambda t, x, dim: t.select(x, dim, -1))
ends = {"start": st.sampled_from([0, 1, -1]), "length": st.sampled_from([0, 1])}
line("narrow", along(least=1, min_side=2, **ends))
line("masked_select", several(2), lambda t, x, m: t.masked_select(x, m > 0))
line("Tensor.masked_select", several(2), lambda t, x, m: x.masked_select(m > 0))
line("scatter", scattered(once=True), last="src")
line("scatter_add", scattered(), last="src")
line("scatter(value)", scattered(), lambda t, x, y, dim, index: x.scatter(dim, index, value=2.5))
line("scatter(2.5 value)", scattered(), lambda t, x, y, dim, index: x.scatter(dim, index, 2.5))
order = lambda t, x, dim: x.take_along_dim(x.argsort(dim=dim, stable=True), dim)  # noqa: E731
line("take_along_dim", along(least=1), order)
line("take_along_dim(1)", shaped(1, 3), lambda t, x: x.take_along_dim(t.tensor([[0], [2]]), dim=1))
line("take_along_dim(flat)", shaped(2, 3), lambda t, x: t.take_along_dim(x, t.tensor([[5, 0]])))
line("nonzero", some(), lambda t, x: (t.nonzero(x), x.nonzero()))
line("nonzero(tuple)", some(), lambda t, x: t.nonzero(x, as_tuple=True))

# Order

line("argsort(stable)", along(descending=keep), lambda t, x, **k: x.argsort(stable=True, **k))
true = st.sampled_from([True])
line("unique", some(), of=detached)
line("unique(all)", some(return_inverse=true, return_counts=true), of=detached)
line("unique(dim)", along(least=1, return_inverse=true, return_counts=true), of=detached)
counted = {"low": 0, "high": 4}
lengths = some(1, 1, minlength=st.sampled_from([0, 3]))
line("bincount", lengths, of=lambda t, x: x.long(), **counted)
weighed = {"of": detached, **counted}
line("histogram", some(1, 1), lambda t, x: t.histogram(x, 4, range=(0, 4), weight=x), **weighed)
line("bincount(weights)", some(1, 1, 1), lambda t, x: t.bincount(x.long(), x, 2), **weighed)
ordered = {"of": lambda t, x: x.sort().values}
line("searchsorted(sorted)", shapes([(5,), (2, 3)], [(2, 4), (2, 3)]), **ordered)
line("searchsorted(right)", shapes([(5,), (2, 3)], right=true, out_int32=true), **ordered)
line("searchsorted(number)", shaped(5), lambda t, x: t.searchsorted(x, 0.5), **ordered)
bounds = (lambda _, x: x, ordered["of"])
line("bucketize(sorted)", shapes([(2, 3), (5,)], right=true), of=bounds)
unordered = lambda t, x, y: t.searchsorted(x, y, side="right", sorter=x.argsort())  # noqa: E731
line("searchsorted(sorter)", shapes([(5,), (2, 3)]), unordered)

# Other shapes

line("repeat", some(1, 2), lambda t, x: (x.repeat(2, 1, 3), x.repeat((0, 2)), x.repeat(1, 2)))
line("broadcast_tensors", shaped(3, 1), lambda t, x: t.broadcast_tensors(x, x[:1, 0])[0])
line("triu_indices", some(), lambda t, x: (t.triu_indices(2, 4, 1), t.tril_indices(3, 2, -1)))
line("tile", some(dims=st.sampled_from([(2,), (1, 2), (2, 1, 3, 2), (0,)])))
line("tile(numbers)", some(), lambda t, x: x.tile(2, 1))
line("repeat_interleave", along(least=1, repeats=st.integers(0, 3)))
line("repeat_interleave(flat)", some(), lambda t, x: x.repeat_interleave(2))
counts = st.just(np.array([2, 0, 1]))
line(
    "repeat_interleave(each)",
    shapes([(2, 3)], repeats=counts, dim=st.just(1), output_size=st.just(3)),
)
line("broadcast_to", some(), lambda t, x: t.broadcast_to(x, (2, *x.shape)))
line("Tensor.broadcast_to", some(), lambda t, x: x.broadcast_to((2, *x.shape)))
line("expand_as", some(), lambda t, x: x.expand_as(t.zeros(2, *x.shape)))
line("hstack", alike("dim"), lambda t, *xs, dim: t.hstack(xs))
line("vstack", alike("dim"), lambda t, *xs, dim: t.vstack(xs))
line("hstack(numbers)", shaped(), lambda t, x: t.hstack([x, x * 2]))
line("vstack(numbers)", shaped(), lambda t, x: t.vstack((x, x * 2)))
line("tril triu", some(2, 3, diagonal=st.integers(-3, 3)))
line("diag", some(1, 2, diagonal=st.sampled_from([-9, -2, -1, 0, 1, 2, 3])))
line("roll", rolled())
line("roll(flat)", some(shifts=st.integers(-5, 5)))
line("movedim", moved())
line("movedim(number)", some(2), lambda t, x: x.movedim(0, -1))
line("ravel", some())
line("as_strided", shaped(2, 3), lambda t, x: t.as_strided(x, (2, 2), (3, 1), 1))
line("Tensor.as_strided", shaped(6), lambda t, x: x.as_strided((4, 3), (1, 1)))
line("Tensor.fill_diagonal_", shaped(3, 2), lambda t, x: x.clone().fill_diagonal_(0.5))
line("split(split_size)", shaped(5), lambda t, x: x.split(split_size=2))
line("unflatten", shaped(6, 2), lambda t, x: t.unflatten(x, 0, (2, -1)))
line("Tensor.unflatten", shaped(2, 6), lambda t, x: x.unflatten(-1, (3, 2)))
vectors = st.lists(st.integers(0, 3).map(lambda n: (n,)), min_size=1, max_size=3)
grids = st.tuples(vectors, st.fixed_dictionaries({"indexing": st.sampled_from(["ij", "xy"])}))
line("meshgrid", grids, lambda t, *xs, indexing: t.meshgrid(*xs, indexing=indexing))
line("meshgrid(list)", shaped(2), lambda t, x: t.meshgrid([x, x * 2], indexing="ij"))
line("new_zeros", some(), lambda t, x: (x.new_zeros(2, 3), x.new_ones((2,)), x.new_zeros(())))
line("new_zeros(size)", some(), lambda t, x: x.long().new_zeros(size=(2,)))
line("new_zeros(dtype)", some(), lambda t, x: x.new_zeros(1, dtype=t.int64))
line("new_full", some(), lambda t, x: (x.new_full((2,), 3), x.new_full([2], 3, dtype=t.float64)))
