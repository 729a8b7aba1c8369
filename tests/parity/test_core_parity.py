"""The core functions and methods against PyTorch's: one line of a table each.

A line is a function of the library `t` (this one, or PyTorch) and of tensors, and what its
arguments are drawn from. Values, dtypes and shapes, gradients under random cotangents, and the
gradients of those gradients must agree. To add a name, add its line.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tinygrad_fc as tg

torch = pytest.importorskip("torch")

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Drawn = tuple[list[tuple[int, ...]], dict[str, Any]]  # the shapes of tensors, and other arguments


class Line(NamedTuple):
    """A call, what it is drawn from, and the values of its tensors.

    `ties`: equal elements and kinks are drawn too, and the conventions there must agree.
    """

    call: Callable[..., Any]
    drawn: st.SearchStrategy[Drawn]
    low: float = -2.0
    high: float = 2.0
    ties: bool = True


@pytest.fixture(autouse=True)
def _one_default_dtype() -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


# What arguments are drawn from


def shaped(*shape: int) -> st.SearchStrategy[Drawn]:
    return st.just(([shape], {}))


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
    **more: Any,
) -> Drawn:
    """Draw a shape and an axis of it, or several, or none."""
    shape = draw(hnp.array_shapes(min_dims=1, max_dims=3, min_side=min_side, max_side=3))
    n = len(shape)
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
    )
    return [shape], {"at": at}


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
    return [shape], {"dim": dim, "at": at}


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


def index_of(t: Any, at: Any) -> Any:
    """Return an index with the tensors of the library `t` in place of arrays."""
    if isinstance(at, tuple):
        return tuple(index_of(t, part) for part in at)
    return t.tensor(at) if isinstance(at, np.ndarray) else at


# The table


def both(name: str) -> tuple[Any, Any]:
    """Return a name as a function and as a method."""
    return (
        lambda t, *tensors, **k: getattr(t, name)(*tensors, **k),
        lambda t, x, *tensors, **k: getattr(x, name)(*tensors, **k),
    )


LINES: dict[str, Line] = {}
# Rounded results never require grad here; PyTorch's do, and have no gradient or one of zeros.
FLAT = {"//", "x // c", "c // x", "div(rounding)"}


def line(
    name: str,
    drawn: Any,
    low: float = -2.0,
    high: float = 2.0,
    *,
    ties: bool = True,
    call: Any = None,
) -> None:
    if call is not None:
        LINES[name] = Line(call, drawn, low, high, ties)
        return
    function, method = both(name)
    LINES[name], LINES[f"Tensor.{name}"] = (
        Line(c, drawn, low, high, ties) for c in (function, method)
    )


for unary in ("abs", "neg", "exp", "square", "sin", "cos", "tanh", "sigmoid", "relu"):
    line(unary, some())
for unary in ("log", "sqrt"):
    line(unary, some(), 0.5)
for binary in ("add", "sub", "mul", "maximum", "minimum", "eq", "ne", "lt", "le", "gt", "ge"):
    line(binary, several(2))
line("div", several(2), 0.5)
line("pow", several(2), 0.5)
line(
    "pow(number)",
    some(exponent=st.sampled_from([0, 1, 2, 3, 0.5, -1])),
    0.5,
    call=lambda t, x, exponent: x.pow(exponent),
)
line("pow(base)", some(base=st.sampled_from([0.5, 1, 2])), call=lambda t, x, base: base**x)
line(
    "pow(at 0)",
    some(exponent=st.sampled_from([0, 1, 2, 3])),
    call=lambda t, x, exponent: x**exponent,
)
for symbol in ("+", "-", "*", "/", "**", "//", "%", "<", ">="):
    source = f"lambda t, x, y: x {symbol} y"
    line(symbol, several(2), 0.5, ties=symbol not in "//%", call=eval(source))  # noqa: S307  the table's own text
    for left, right in (("x", "c"), ("c", "x")):
        if (left, symbol) == ("c", "%"):  # PyTorch has no derivative of it
            continue
        source = f"lambda t, x, c: {left} {symbol} {right}"
        line(
            f"{left} {symbol} {right}",
            some(c=st.sampled_from([0.7, 2, 3])),
            0.5,
            ties=symbol not in "//%",
            call=eval(source),  # noqa: S307  the text of two lines above
        )
line("add(alpha)", several(2, alpha=numbers), call=lambda t, x, y, alpha: t.add(x, y, alpha=alpha))
line("sub(alpha)", several(2, alpha=numbers), call=lambda t, x, y, alpha: x.sub(y, alpha=alpha))
rounding = st.sampled_from([None, "trunc", "floor"])
line(
    "div(rounding)",
    several(2, mode=rounding.filter(bool)),
    0.5,
    ties=False,
    call=lambda t, x, y, mode: t.div(x, y, rounding_mode=mode),
)
line("clamp", some(min=st.sampled_from([-1, 0.5, None]), max=st.sampled_from([-1.5, 1, 1.0])))
line(
    "clamp(tensors)",  # where x is the largest: PyTorch fails at others
    st.sampled_from([[(2, 3), (3,), (2, 1)], [(2, 2), (), (2, 2)], [()] * 3]).map(
        lambda s: (s, {})
    ),
    ties=False,  # where the bounds are equal PyTorch drops the gradient of all three
    call=lambda t, x, low, high: x.clamp(low, high),
)
line("clamp(one)", several(2), call=lambda t, x, low: x.clamp(min=low))
line("where", several(3), call=lambda t, c, x, y: t.where(c > 0, x, y))
line("where(number)", several(2), call=lambda t, c, x: t.where(c > 0, x, 0.5))
line("Tensor.where", several(3), call=lambda t, c, x, y: x.where(c > 0, y))
line("where(branch)", some(), call=lambda t, x: t.where(x > 0, t.sqrt(x.abs() + 1), x))
line(
    "masked_fill",
    several(2, value=numbers),
    call=lambda t, x, m, value: x.masked_fill(m > 0, value),
)

line("sum", along(many=True, none=True, keepdim=keep, min_side=0))
line("mean", along(many=True, none=True, keepdim=keep))
line("amax", along(many=True, keepdim=keep))
line("amin", along(many=True, keepdim=keep))
line("logsumexp", along(many=True, keepdim=keep))
line("softmax", along(min_side=0))
line("log_softmax", along(min_side=0))
line("all", along(many=True, none=True, keepdim=keep, min_side=0))
line("any", along(many=True, none=True, keepdim=keep, min_side=0))
line("argmax", along(none=True, keepdim=keep), ties=False)
line("argmin", along(none=True, keepdim=keep), ties=False)
line("max", some(min_side=1))
line("min", some(min_side=1))
line(
    "max(dim)",
    along(keepdim=keep),
    ties=False,
    call=lambda t, x, dim, keepdim: tuple(t.max(x, dim, keepdim)),
)
line(
    "min(dim)",
    along(keepdim=keep),
    ties=False,
    call=lambda t, x, dim, keepdim: tuple(x.min(dim, keepdim)),
)
line("max(tensor)", several(2), call=lambda t, x, y: t.max(x, y))
line(
    "var",
    along(many=True, keepdim=keep, correction=st.sampled_from([0, 1]), min_side=3),
    ties=False,
)
line(
    "std",
    along(many=True, keepdim=keep, correction=st.sampled_from([0, 1]), min_side=3),
    ties=False,
)
line(
    "var(unbiased)",
    along(unbiased=keep, min_side=3),
    ties=False,
    call=lambda t, x, dim, unbiased: x.var(dim, unbiased),
)
line("std(all)", shaped(2, 3), ties=False, call=lambda t, x: x.std())
line("sum(dtype)", some(), call=lambda t, x: x.sum(dtype=t.float64))

line("matmul", multiplied("(m?,n),(n,p?)->(m?,p?)"))
line("@", multiplied("(m?,n),(n,p?)->(m?,p?)"), call=lambda t, x, y: x @ y)
line("mm", st.just(([(2, 3), (3, 2)], {})))
line("mv", st.just(([(2, 3), (3,)], {})))
line("dot", st.just(([(3,), (3,)], {})))
line("outer", st.just(([(3,), (2,)], {})))
line("bmm", st.just(([(2, 2, 3), (2, 3, 1)], {})))
scales = {"beta": st.sampled_from([0, 1, 0.5]), "alpha": st.sampled_from([1, 2.0])}
line(
    "addmm",
    st.tuples(
        st.sampled_from([[s, (2, 3), (3, 2)] for s in ((2, 2), (2,), (1, 2), ())]),
        st.fixed_dictionaries(scales),
    ),
)
line(
    "linear", st.just(([(4, 3), (2, 3), (2,)], {})), call=lambda t, *xs: t.nn.functional.linear(*xs)
)
line(
    "linear(no bias)",
    st.just(([(2, 4, 3), (2, 3)], {})),
    call=lambda t, *xs: t.nn.functional.linear(*xs),
)
line(
    "linear(vector)",
    st.just(([(3,), (2, 3), (2,)], {})),
    call=lambda t, *xs: t.nn.functional.linear(*xs),
)
for equation, operands in (
    ("ij,jk->ik", [(2, 3), (3, 2)]),
    ("ij,jk", [(2, 3), (3, 2)]),
    ("ij,ij,ij->j", [(2, 3)] * 3),
    ("ii->i", [(3, 3)]),
    ("ii", [(3, 3)]),
    ("...ij,...jk->...ik", [(2, 1, 2, 3), (2, 3, 2)]),
    ("i,j->ij", [(2,), (3,)]),
    ("i,i->i", [(1,), (3,)]),
    ("ij->", [(2, 3)]),
    ("bi,oi,bo->b", [(4, 3), (2, 3), (4, 2)]),
):
    line(
        f"einsum {equation}",
        st.just((operands, {"equation": equation})),
        call=lambda t, *xs, equation: t.einsum(equation, *xs),
    )

line("reshape", some(min_side=1), call=lambda t, x: x.reshape(-1, 1))
line("reshape(tuple)", shaped(2, 3), call=lambda t, x: t.reshape(x, (3, -1)))
line("view", some(), call=lambda t, x: x.view(1, *x.shape))
line(
    "transpose",
    st.tuples(
        hnp.array_shapes(min_dims=2, max_dims=3).map(lambda s: [s]),
        st.fixed_dictionaries({"dim0": st.integers(-2, 1), "dim1": st.integers(-2, 1)}),
    ),
)
line("permute", st.permutations(range(3)).map(lambda p: ([(2, 3, 1)], {"dims": tuple(p)})))
line("t", some(max_dims=2))
line("T", some(min_dims=2, max_dims=2), call=lambda t, x: x.T)
line("mT", some(min_dims=2), call=lambda t, x: x.mT)
line("squeeze", some(min_side=1))
line("squeeze(dim)", along(), call=lambda t, x, dim: x.squeeze(dim))
line("squeeze(dims)", along(many=True), call=lambda t, x, dim: t.squeeze(x, dim))
line("unsqueeze", along())
line("flatten", some())
line("flatten(from)", some(min_dims=2), call=lambda t, x: x.flatten(1))
line("flatten(to)", some(min_dims=2), call=lambda t, x: t.flatten(x, start_dim=-2, end_dim=-1))
line("expand", some(), call=lambda t, x: x.expand(2, *x.shape))
line("expand(-1)", st.just(([(3, 1)], {})), call=lambda t, x: x.expand(2, -1, 4))
line("cat", alike("dim", off=True), call=lambda t, *xs, dim: t.cat(xs, dim))
line("stack", alike("dim"), call=lambda t, *xs, dim: t.stack(xs, dim=dim))
line("split", along(size=st.integers(1, 3)), call=lambda t, x, dim, size: tuple(x.split(size, dim)))
line("split(sections)", shaped(5, 2), call=lambda t, x: tuple(t.split(x, [2, 0, 3])))
line(
    "chunk",
    along(chunks=st.integers(1, 4)),
    call=lambda t, x, dim, chunks: tuple(x.chunk(chunks, dim)),
)
line("unbind", along(), call=lambda t, x, dim: tuple(t.unbind(x, dim)))
line("iteration", some(min_dims=1, min_side=1), call=lambda t, x: tuple(x))
line("gather", gathered(), call=lambda t, x, dim, at: t.gather(x, dim, t.tensor(at)))
line("indexing", indexed(), call=lambda t, x, at: x[index_of(t, at)])
line("indexing(list)", shaped(3, 2), call=lambda t, x: x[[0, 0, -1], [1, 0, 1]])
line("sort", along(descending=keep), ties=False, call=lambda t, x, **k: tuple(t.sort(x, **k)))
line("argsort", along(descending=keep), ties=False)
line(
    "sort(stable)",
    along(descending=keep),
    call=lambda t, x, **k: tuple(t.sort(x, stable=True, **k)),
)
line("topk", along(largest=keep), ties=False, call=lambda t, x, **k: tuple(x.topk(1, **k)))
line(
    "flip",
    along("dims", many=True).map(
        lambda d: (
            d[0],
            {"dims": d[1]["dims"] if isinstance(d[1]["dims"], tuple) else (d[1]["dims"],)},
        )
    ),
)
line("clone", some())
line("detach", some())
line("contiguous", some(min_dims=2), call=lambda t, x: x.mT.contiguous())
line("cast", some(), call=lambda t, x: x.to(t.float32).double() + x.float())
line("type_as", several(2), call=lambda t, x, y: x.type_as(y))
line(
    "long",
    some(),
    call=lambda t, x: (x.long(), x.int(), x.bool(), x.half()),
)
line(
    "mse_loss", some(min_side=1), call=lambda t, x: t.nn.functional.mse_loss(x, x.detach() * 2 + 1)
)
line(
    "mse_loss(sum)",
    some(),
    call=lambda t, x: t.nn.functional.mse_loss(x, x * 2 + 1, reduction="sum"),
)
line(
    "mse_loss(none)",
    some(),
    call=lambda t, x: t.nn.functional.mse_loss(x, x * 2 + 1, reduction="none"),
)
line("numel", some(), call=lambda t, x: t.tensor([x.numel(), x.dim(), t.numel(x), *x.size()]))


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


def agree(ours: Any, theirs: Any, dtype: Any) -> None:
    a, b = (
        np.asarray(ours.detach().numpy(), float),
        np.asarray(theirs.detach().numpy(force=True), float),
    )
    assert a.shape == b.shape
    scale = 1 + np.abs(np.nan_to_num(b)).max(initial=0)
    np.testing.assert_allclose(a, b, rtol=0, atol=200 * np.finfo(dtype).eps * scale)


def weighed(outs: list[Any], weights: list[Any]) -> tuple[list[Any], list[Any]]:
    pairs = [(out, w) for out, w in zip(outs, weights, strict=True) if out.requires_grad]
    return [out for out, _ in pairs], [w for _, w in pairs]


def slopes_of(t: Any, outs: Any, inputs: Any, weights: Any, **settings: Any) -> list[Any]:
    return list(
        t.autograd.grad(
            *weighed(outs, weights)[:1],
            inputs,
            weighed(outs, weights)[1],
            allow_unused=True,
            **settings,
        )
    )


@pytest.mark.parametrize("name", sorted(LINES))
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@given(st.data(), st.integers(0, 2**32 - 1))
@settings(max_examples=6)
def test_values_gradients_and_their_gradients(name: str, dtype: Any, data: Any, seed: int):
    entry, rng = LINES[name], np.random.default_rng(seed)
    shapes, settings_ = data.draw(entry.drawn)
    arrays = [values(shape, rng, entry, dtype) for shape in shapes]
    ours = [tg.tensor(a, requires_grad=True) for a in arrays]
    theirs = [torch.tensor(a, requires_grad=True) for a in arrays]
    outs, wanted = (
        listed(entry.call(tg, *ours, **settings_)),
        listed(entry.call(torch, *theirs, **settings_)),
    )
    assert len(outs) == len(wanted)
    for x, y in zip(outs, wanted, strict=True):
        assert dtype_name(x) == dtype_name(y)
        assert x.requires_grad == (y.requires_grad and name not in FLAT)
        agree(x, y, np.float16 if "float16" in dtype_name(y) else dtype)
    if not any(x.requires_grad for x in outs):
        return
    weights = [rng.uniform(0.5, 2, tuple(y.shape)).astype(dtype_name(y)) for y in wanted]
    first = slopes_of(tg, outs, ours, [tg.tensor(w) for w in weights], create_graph=True)
    expected = slopes_of(
        torch, wanted, theirs, [torch.tensor(w) for w in weights], create_graph=True
    )
    for x, g, e in zip(ours, first, expected, strict=True):
        if e is None or g is None:  # no gradient, and a gradient of zeros, are the same
            assert all(v is None or not v.detach().numpy().any() for v in (g, e))
            continue
        assert g.dtype == x.dtype
        agree(g, e, dtype)
    pairs = [(g, e) for g, e in zip(first, expected, strict=True) if None not in (g, e)]
    second(pairs, ours, theirs, rng, dtype)


def second(pairs: Any, ours: Any, theirs: Any, rng: Any, dtype: Any) -> None:
    """Compare the gradients of gradients, where PyTorch has any."""
    pairs = [(g, e) for g, e in pairs if e.requires_grad and e.numel()]
    if not pairs:
        return
    weights = [rng.uniform(0.5, 2, tuple(e.shape)).astype(dtype) for _, e in pairs]
    expected = slopes_of(torch, [e for _, e in pairs], theirs, [torch.tensor(w) for w in weights])
    if not any(g.requires_grad for g, _ in pairs):
        assert not any(e is not None and e.numpy(force=True).any() for e in expected)
        return
    found = slopes_of(tg, [g for g, _ in pairs], ours, [tg.tensor(w) for w in weights])
    for x, g, e in zip(ours, found, expected, strict=True):
        zeros = np.zeros(x.shape)
        agree(tg.tensor(zeros) if g is None else g, torch.tensor(zeros) if e is None else e, dtype)


# What PyTorch refuses, and so do we


REFUSED: dict[str, Callable[[Any], Any]] = {
    "add": lambda t: t.ones(2) + t.ones(3),
    "matmul": lambda t: t.ones(2, 3) @ t.ones(2, 3),
    "matmul 0-d": lambda t: t.matmul(t.tensor(1.0), t.ones(2)),
    "mm": lambda t: t.mm(t.ones(2), t.ones(2, 2)),
    "mv": lambda t: t.mv(t.ones(2, 2), t.ones(3)),
    "dot": lambda t: t.dot(t.ones(2, 2), t.ones(2)),
    "dot sizes": lambda t: t.dot(t.ones(2), t.ones(3)),
    "outer": lambda t: t.outer(t.ones(2, 2), t.ones(2)),
    "bmm": lambda t: t.bmm(t.ones(2, 2, 2), t.ones(1, 2, 2)),
    "addmm": lambda t: t.addmm(t.ones(3), t.ones(2, 3), t.ones(3, 2)),
    "linear": lambda t: t.nn.functional.linear(t.ones(2, 3), t.ones(2, 4)),
    "linear bias": lambda t: t.nn.functional.linear(t.ones(4, 3), t.ones(2, 3), t.ones(3)),
    "linear 0-d": lambda t: t.nn.functional.linear(t.tensor(1.0), t.ones(2, 3), t.ones(2)),
    "einsum": lambda t: t.einsum("ij,jk->ik", t.ones(2, 3), t.ones(2, 3)),
    "einsum count": lambda t: t.einsum("ij,jk->ik", t.ones(2, 3)),
    "einsum result": lambda t: t.einsum("ij->ik", t.ones(2, 3)),
    "einsum diagonal": lambda t: t.einsum("ii->i", t.ones(2, 3)),
    "sum dim": lambda t: t.ones(2).sum(dim=1),
    "sum twice": lambda t: t.ones(2).sum(dim=(0, 0)),
    "mean dim": lambda t: t.ones(2).mean(dim=-2),
    "amax of nothing": lambda t: t.zeros(0).amax(),
    "max of nothing": lambda t: t.zeros(0).max(),
    "max of a tuple": lambda t: t.ones(2, 2).max((0, 1)),
    "argmax of nothing": lambda t: t.zeros(0).argmax(),
    "softmax dim": lambda t: t.ones(2).softmax(1),
    "var both": lambda t: t.ones(3).var(0, unbiased=True, correction=1),
    "reshape": lambda t: t.ones(6).reshape(4),
    "reshape -1s": lambda t: t.ones(6).reshape(-1, -1),
    "reshape -1 of nothing": lambda t: t.ones(0).reshape(0, -1),
    "view copies": lambda t: t.ones(2, 3).t().view(6),
    "t": lambda t: t.ones(1, 1, 1).t(),
    "permute": lambda t: t.ones(1, 2).permute(0, 0),
    "permute count": lambda t: t.ones(1, 2).permute(0),
    "transpose": lambda t: t.ones(1, 2).transpose(0, 2),
    "squeeze": lambda t: t.ones(1, 2).squeeze(2),
    "unsqueeze": lambda t: t.ones(1, 2).unsqueeze(3),
    "flatten": lambda t: t.ones(1, 2).flatten(1, 0),
    "expand": lambda t: t.ones(2).expand(3),
    "expand -1": lambda t: t.ones(2).expand(-1, 2),
    "expand fewer": lambda t: t.ones(2, 2).expand(2),
    "cat": lambda t: t.cat([t.ones(2, 2), t.ones(2, 3)]),
    "cat dims": lambda t: t.cat([t.ones(2, 2), t.ones(2)]),
    "cat nothing": lambda t: t.cat([]),
    "cat 0-d": lambda t: t.cat([t.tensor(1.0)]),
    "stack": lambda t: t.stack([t.ones(2), t.ones(3)]),
    "stack dim": lambda t: t.stack([t.ones(2)], dim=2),
    "split": lambda t: t.ones(3).split([1, 1]),
    "split 0": lambda t: t.ones(3).split(0),
    "split -1": lambda t: t.ones(3).split(-1),
    "chunk": lambda t: t.ones(3).chunk(0),
    "unbind 0-d": lambda t: t.tensor(1.0).unbind(),
    "gather": lambda t: t.ones(2, 2).gather(0, t.tensor([[2]])),
    "gather negative": lambda t: t.ones(2).gather(0, t.tensor([-1])),
    "gather dims": lambda t: t.ones(2, 2).gather(0, t.tensor([0])),
    "gather floats": lambda t: t.ones(2).gather(0, t.tensor([0.0])),
    "gather larger": lambda t: t.ones(2, 2).gather(0, t.tensor([[0, 0, 0]])),
    "topk": lambda t: t.ones(2).topk(3),
    "topk -1": lambda t: t.ones(2).topk(-1),
    "flip": lambda t: t.ones(2).flip(0, 0),
    "flip dim": lambda t: t.ones(2).flip(1),
    "index": lambda t: t.ones(2)[2],
    "index array": lambda t: t.ones(2)[t.tensor([2])],
    "index mask": lambda t: t.ones(2)[t.tensor([True])],
    "index many": lambda t: t.ones(2)[0, 0],
    "index float": lambda t: t.ones(2)[t.tensor([0.5])],
    "clamp": lambda t: t.ones(2).clamp(),
    "div rounding": lambda t: t.div(t.ones(2), 2, rounding_mode="up"),
    "item": lambda t: t.ones(2).item(),
    "bool": lambda t: bool(t.ones(2)),
    "bool of nothing": lambda t: bool(t.zeros(0)),
    "len": lambda t: len(t.tensor(1.0)),
    "iter": lambda t: list(t.tensor(1.0)),
    "index of a float": lambda t: [1][t.tensor(0.0)],
    "requires_grad of whole numbers": lambda t: t.tensor([1], requires_grad=True),
    "ragged": lambda t: t.tensor([[1.0], [1.0, 2.0]]),
    "from_numpy of a list": lambda t: t.from_numpy([1.0]),
    "arange": lambda t: t.arange(0, 3, -1),
    "linspace": lambda t: t.linspace(0, 1, -1),
    "zeros": lambda t: t.zeros(-1),
    "zeros of floats": lambda t: t.zeros(1.5),
    "eye": lambda t: t.eye(-1),
    "default dtype": lambda t: t.set_default_dtype(t.int64),
    "add_ larger": lambda t: t.ones(2).add_(t.ones(2, 2)),
    "add_ floats to whole": lambda t: t.tensor([1]).add_(0.5),
    "div_ of whole": lambda t: t.tensor([1]).div_(2),
    "mul_ alpha": lambda t: t.ones(2).mul_(2, alpha=2),
    "in place on expanded": lambda t: t.ones(1).expand(2).add_(1),
    "in place, requires grad": lambda t: t.ones(2, requires_grad=True).add_(1),
    "setitem": lambda t: t.ones(2).__setitem__(2, 1.0),
    "setitem shape": lambda t: t.ones(2).__setitem__(slice(None), t.ones(3)),
    "uniform_": lambda t: t.ones(2).uniform_(1, 0),
    "normal_": lambda t: t.ones(2).normal_(0, -1),
    "data of whole numbers": lambda t: setattr(
        t.ones(2, requires_grad=True), "data", t.tensor([1])
    ),
    "grad of another shape": lambda t: setattr(t.ones(2, requires_grad=True), "grad", t.ones(3)),
    "grad of another dtype": lambda t: setattr(
        t.ones(2, requires_grad=True), "grad", t.ones(2).float()
    ),
    "backward of no scalar": lambda t: t.ones(2, requires_grad=True).mul(2).backward(),
    "backward of a constant": lambda t: t.ones(1).sum().backward(),
    "backward of another shape": lambda t: t.ones(2, requires_grad=True).mul(2).backward(t.ones(3)),
    "backward of no inputs": lambda t: t.ones(2, requires_grad=True).sum().backward(inputs=[]),
    "grad of an unused": lambda t: t.autograd.grad(
        t.ones(2, requires_grad=True).sum(), t.ones(1, requires_grad=True)
    ),
    "grad of a constant": lambda t: t.autograd.grad(t.ones(2, requires_grad=True).sum(), t.ones(1)),
    "requires_grad of a result": lambda t: (
        t.ones(2, requires_grad=True).mul(2).requires_grad_(requires_grad=False)
    ),
    "retain_grad": lambda t: t.ones(2).retain_grad(),
    "register_hook": lambda t: t.ones(2).register_hook(print),
    "numpy of an exported": lambda t: t.ones(2, requires_grad=True).__dlpack__(),
    "loss reduction": lambda t: t.nn.functional.mse_loss(t.ones(2), t.ones(2), reduction="average"),
    "bernoulli": lambda t: t.bernoulli(t.tensor([2.0])),
    "randint": lambda t: t.randint(2, 2, (1,)),
    "randperm": lambda t: t.randperm(-1),
}


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_what_pytorch_refuses_is_refused(name: str):
    with pytest.raises((RuntimeError, TypeError, ValueError, IndexError, BufferError)) as theirs:
        REFUSED[name](torch)
    with pytest.raises((RuntimeError, TypeError, ValueError, IndexError, BufferError)) as ours:
        REFUSED[name](tg)
    if isinstance(theirs.value, IndexError) and "nothing" not in name:
        assert isinstance(ours.value, (IndexError, TypeError))


# What has no gradient: values and dtypes


PLAIN: dict[str, Callable[[Any], Any]] = {
    "zeros": lambda t: (
        t.zeros(2, 3),
        t.zeros((2,)),
        t.zeros([0]),
        t.zeros(()),
        t.zeros(size=(2,)),
    ),
    "ones": lambda t: (t.ones(2, 3, dtype=t.int64), t.ones(1, dtype=t.bool)),
    "full": lambda t: (
        t.full((2,), 3),
        t.full((2,), 0.5),
        t.full((), fill_value=True),
        t.full((2,), 1, dtype=t.float32),
    ),
    "eye": lambda t: (t.eye(2), t.eye(2, 3), t.eye(0)),
    "arange": lambda t: (
        t.arange(3),
        t.arange(3.0),
        t.arange(1, 2, 0.25),
        t.arange(5, 1, -2),
        t.arange(0),
    ),
    "arange of tenths": lambda t: (
        t.arange(0, 1, 0.1),
        t.arange(0.1, 0.7, 0.1),
        t.arange(1, 1.6, 0.2),
    ),
    "linspace": lambda t: (t.linspace(0, 1, 5), t.linspace(1, -1, 1), t.linspace(0, 1, 0)),
    "like": lambda t: (
        t.zeros_like(t.ones(2).float()),
        t.ones_like(t.tensor([3])),
        t.full_like(t.tensor([3]), 2),
    ),
    "tensor": lambda t: (
        t.tensor(1),
        t.tensor(1.0),
        t.tensor([True]),
        t.tensor([1, 2.0]),
        t.tensor([]),
        t.tensor([[]]),
    ),
    "whole numbers": lambda t: (
        t.tensor([1, 2]) + 1,
        t.tensor([7, -7]) // 2,
        t.tensor([7, -7]) % 3,
        t.tensor([2]) ** 3,
    ),
    "whole quotient": lambda t: (t.tensor([1, 2]) / t.tensor([2, 2]), t.tensor([7, -7]) / 2),
    "whole sums": lambda t: (
        t.tensor([1, 2]).sum(),
        t.tensor([True, True]).sum(),
        t.tensor([1, 2], dtype=t.int32).sum(),
    ),
    "small sums": lambda t: t.tensor([200, 100], dtype=t.uint8).sum(),
    "whole clamp": lambda t: (
        t.tensor([1, 5]).clamp(2, 3),
        t.tensor([1, 5]).clamp(max=3),
        t.arange(3).clamp(0.5),
    ),
    "whole max": lambda t: (
        t.tensor([1, 5]).max(),
        *t.tensor([[1, 5], [7, 2]]).max(0),
        t.tensor([3, 1]).argmin(),
    ),
    "bools": lambda t: (
        ~t.tensor([True]),
        t.tensor([True]) & t.tensor([False]),
        t.tensor([1, 2]) > 1,
    ),
    "all": lambda t: (
        t.tensor([1, 0]).all(),
        t.tensor([[1.0, 0.0]]).any(dim=1, keepdim=True),
        t.zeros(0).all(),
    ),
    "nothing": lambda t: (
        t.zeros(0).sum(),
        t.zeros(0, 2).sum(0),
        t.zeros(2, 0).softmax(1),
        t.zeros(0, 2).mean(0),
    ),
    "mean of nothing": lambda t: (t.zeros(0).mean(), t.zeros(0, 3).logsumexp(0)),
    "scalars reduce": lambda t: (
        t.tensor(2.0).sum(0),
        t.tensor(2.0).softmax(0),
        *t.tensor(2.0).max(0),
        t.tensor(2.0).argmax(0),
    ),
    "scalars sort": lambda t: (
        *t.tensor(2.0).sort(),
        t.tensor(2.0).argsort(0),
        *t.tensor(2.0).topk(1),
    ),
    "scalars shape": lambda t: (
        t.tensor(2.0).flatten(),
        t.tensor(2.0).squeeze(0),
        t.tensor(2.0).unsqueeze(0),
        t.tensor(2.0).t(),
    ),
    "scalar gather": lambda t: t.tensor(2.0).gather(0, t.tensor(0)),
    "NaN is largest": lambda t: (
        t.tensor([1.0, float("nan"), 2.0]).max(),
        t.tensor([1.0, float("nan")]).argmax(),
    ),
    "NaN in order": lambda t: (
        *t.tensor([2.0, float("nan"), 1.0]).sort(),
        *t.tensor([2.0, float("nan"), 1.0]).sort(descending=True),
    ),
    "extremes": lambda t: (
        t.tensor([1e4, -1e4]).sigmoid(),
        t.tensor([1e4, 0.0]).logsumexp(0),
        t.tensor([-1e4, 0.0]).softmax(0),
    ),
    "empty sum of dims": lambda t: (
        t.ones(2, 3).sum(()),
        t.ones(2, 3).mean(()),
        t.ones(2, 3).amax(()),
        t.eye(2).var(()),
    ),
    "casts": lambda t: (
        t.tensor([1.9, -1.9]).long(),
        t.tensor([0.0, 0.5]).bool(),
        t.tensor([1, 0]).bool(),
        t.tensor([True]).double(),
    ),
    "split of nothing": lambda t: (*t.zeros(0).split(2), *t.zeros(0).chunk(3)),
    "where": lambda t: t.where(t.tensor([[True, False], [True, True]])),
    "bool arithmetic": lambda t: (
        t.tensor([True, True]) + t.tensor([True, False]),
        t.tensor([True]) * 2,
        t.tensor([True]) * 2.5,
    ),
    "masked_fill": lambda t: (
        t.zeros(2).masked_fill(t.tensor([True, False]), 2),
        t.zeros(2).masked_fill(t.tensor([True, False]), t.tensor(3.0)),
    ),
}


@pytest.mark.parametrize("name", sorted(PLAIN))
def test_values_and_dtypes(name: str):
    for x, y in zip(listed(PLAIN[name](tg)), listed(PLAIN[name](torch)), strict=True):
        assert dtype_name(x) == dtype_name(y)
        assert x.shape == tuple(y.shape)
        np.testing.assert_allclose(x.numpy(), y.numpy(), rtol=1e-14, atol=0)
