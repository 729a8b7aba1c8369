"""The core functions and methods: what a line is stands in `against_torch`."""

from __future__ import annotations

from against_torch import (
    SINCE_2_14,
    alike,
    along,
    gathered,
    indexed,
    keep,
    line,
    multiplied,
    numbers,
    several,
    shaped,
    shapes,
    some,
)
from hypothesis import strategies as st

line("abs neg exp square sin cos tanh sigmoid relu", some())
line("log sqrt", some(), 0.5)
line("add sub mul maximum minimum eq ne lt le gt ge", several(2))
line("div pow", several(2), 0.5)
line("Tensor.pow(number)", some(exponent=st.sampled_from([0, 1, 2, 3, 0.5, -1])), 0.5)
line("pow(base)", some(base=st.sampled_from([0.5, 1, 2])), call=lambda t, x, base: base**x)
line("Tensor.pow(at 0)", some(exponent=st.sampled_from([0, 1, 2, 3])))
for symbol in ("+", "-", "*", "/", "**", "//", "%", "<", ">="):
    source = f"lambda t, x, y: x {symbol} y"
    line(symbol, several(2), 0.5, ties=symbol not in "//%", flat=symbol == "//", call=eval(source))  # noqa: S307  the table's own text
    for left, right in (("x", "c"), ("c", "x")):
        if (left, symbol) == ("c", "%"):  # PyTorch has no derivative of it
            continue
        source = f"lambda t, x, c: {left} {symbol} {right}"
        line(
            f"{left} {symbol} {right}",
            some(c=st.sampled_from([0.7, 2, 3])),
            0.5,
            ties=symbol not in "//%",
            flat=symbol == "//",
            call=eval(source),  # noqa: S307  the text of two lines above
        )
line("add(alpha)", several(2, alpha=numbers))
line("Tensor.sub(alpha)", several(2, alpha=numbers))
rounding = st.sampled_from(["trunc", "floor"])
line("div(rounding)", several(2, rounding_mode=rounding), 0.5, ties=False, flat=True)
line(
    "clamp",
    some(min=st.sampled_from([-1, 0.5, None]), max=st.sampled_from([-1.5, 1, 1.0])),
    ties=SINCE_2_14,
)
line(
    "clamp(tensors)",  # where x is the largest: PyTorch fails at others
    shapes([(2, 3), (3,), (2, 1)], [(2, 2), (), (2, 2)], [()] * 3),
    ties=SINCE_2_14,
    call=lambda t, x, low, high: x.clamp(low, high),
)
line("clamp(one)", several(2), ties=SINCE_2_14, call=lambda t, x, low: x.clamp(min=low))
line("where", several(3), call=lambda t, c, x, y: t.where(c > 0, x, y))
line("where(number)", several(2), call=lambda t, c, x: t.where(c > 0, x, 0.5))
line("Tensor.where", several(3), call=lambda t, c, x, y: x.where(c > 0, y))
line("where(branch)", some(), call=lambda t, x: t.where(x > 0, t.sqrt(x.abs() + 1), x))
line(
    "masked_fill",
    several(2, value=numbers),
    call=lambda t, x, m, value: x.masked_fill(m > 0, value),
)

line("sum all any", along(many=True, none=True, keepdim=keep, min_side=0))
line("mean", along(many=True, none=True, keepdim=keep))
line("amax amin logsumexp", along(many=True, keepdim=keep))
line("softmax log_softmax", along(min_side=0))
line("argmax argmin", along(none=True, keepdim=keep), ties=False)
line("max min", some(min_side=1))
line("max(dim)", along(keepdim=keep), ties=False)
line("Tensor.min(dim)", along(keepdim=keep), ties=False)
line("max(tensor)", several(2), call=lambda t, x, y: t.max(x, y))
corrections = st.sampled_from([0, 1])
line(
    "var std",
    along(least=1, many=True, keepdim=keep, correction=corrections, min_side=3),
    ties=False,
)
line("Tensor.var(unbiased)", along(least=1, unbiased=keep, min_side=3), ties=False)
line("std(all)", shaped(2, 3), ties=False, call=lambda t, x: x.std())
line("sum(dtype)", some(), call=lambda t, x: x.sum(dtype=t.float64))

line("matmul", multiplied("(m?,n),(n,p?)->(m?,p?)"))
line("@", multiplied("(m?,n),(n,p?)->(m?,p?)"), call=lambda t, x, y: x @ y)
line("mm", shapes([(2, 3), (3, 2)]))
line("mv", shapes([(2, 3), (3,)]))
line("dot", shapes([(3,), (3,)]))
line("outer", shapes([(3,), (2,)]))
line("bmm", shapes([(2, 2, 3), (2, 3, 1)]))
scales = {"beta": st.sampled_from([0, 1, 0.5]), "alpha": st.sampled_from([1, 2.0])}
line("addmm", shapes(*([s, (2, 3), (3, 2)] for s in ((2, 2), (2,), (1, 2), ())), **scales))
line(
    "nn.functional.linear",
    shapes([(4, 3), (2, 3), (2,)], [(2, 4, 3), (2, 3)], [(3,), (2, 3), (2,)]),
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
        shapes(operands, equation=st.just(equation)),
        call=lambda t, *xs, equation: t.einsum(equation, *xs),
    )

line("reshape", some(min_side=1), call=lambda t, x: x.reshape(-1, 1))
line("reshape(tuple)", shaped(2, 3), call=lambda t, x: t.reshape(x, (3, -1)))
line("view", some(), call=lambda t, x: x.view(1, *x.shape))
line("transpose", some(2, dim0=st.integers(-2, 1), dim1=st.integers(-2, 1)))
line("permute", shapes([(2, 3, 1)], dims=st.permutations(range(3)).map(tuple)))
line("t", some(max_dims=2))
line("T", some(min_dims=2, max_dims=2), call=lambda t, x: x.T)
line("mT", some(min_dims=2), call=lambda t, x: x.mT)
line("squeeze", some(min_side=1))
line("Tensor.squeeze(dim)", along())
line("squeeze(dims)", along(many=True))
line("unsqueeze", along())
line("flatten", some())
line("flatten(from)", some(min_dims=2), call=lambda t, x: x.flatten(1))
line("flatten(to)", some(min_dims=2), call=lambda t, x: t.flatten(x, start_dim=-2, end_dim=-1))
line("expand", some(), call=lambda t, x: x.expand(2, *x.shape))
line("expand(-1)", shaped(3, 1), call=lambda t, x: x.expand(2, -1, 4))
line("cat", alike("dim", off=True), call=lambda t, *xs, dim: t.cat(xs, dim))
line("stack", alike("dim"), call=lambda t, *xs, dim: t.stack(xs, dim=dim))
line(
    "split",
    along(least=1, size=st.integers(1, 3)),
    call=lambda t, x, dim, size: tuple(x.split(size, dim)),
)
line("split(sections)", shaped(5, 2), call=lambda t, x: tuple(t.split(x, [2, 0, 3])))
line("Tensor.chunk", along(least=1, chunks=st.integers(1, 4)))
line("unbind", along(least=1), call=lambda t, x, dim: tuple(t.unbind(x, dim)))
line("iteration", some(min_dims=1, min_side=1), call=lambda t, x: tuple(x))
line("gather", gathered())
line("indexing", indexed(), call=lambda t, x, at: x[at])
line("indexing(list)", shaped(3, 2), call=lambda t, x: x[[0, 0, -1], [1, 0, 1]])
line("sort(once)", along(descending=keep), ties=False)
line("argsort", along(descending=keep), ties=False)
line("sort(stable)", along(descending=keep, stable=st.sampled_from([True])))
line("Tensor.topk", along(largest=keep, k=st.just(1)), ties=False)
line("flip", along("dims", many=True), call=lambda t, x, dims: x.flip(dims))
line("clone detach", some())
line("contiguous", some(min_dims=2), call=lambda t, x: x.mT.contiguous())
line("cast", some(), call=lambda t, x: x.to(t.float32).double() + x.float())
line("type_as", several(2), call=lambda t, x, y: x.type_as(y))
line("long", some(), call=lambda t, x: (x.long(), x.int(), x.bool(), x.half()))
line("numel", some(), call=lambda t, x: t.tensor([x.numel(), x.dim(), t.numel(x), *x.size()]))
