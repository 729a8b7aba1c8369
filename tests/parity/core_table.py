"""The core functions and methods: what a line is stands in `against_torch`."""

from against_torch import (
    SINCE_2_14,
    alike,
    along,
    gathered,
    indexed,
    keep,
    line,
    moments,
    multiplied,
    numbers,
    several,
    shaped,
    shapes,
    some,
)
from hypothesis import strategies as st

line("abs neg exp square sin cos tanh sigmoid relu", some())
line("log sqrt", some(), low=0.5)
line("add sub mul maximum minimum eq ne lt le gt ge", several(2))
line("div pow", several(2), low=0.5)
line("Tensor.pow(number)", some(exponent=st.sampled_from([0, 1, 2, 3, 0.5, -1])), low=0.5)
line("pow(base)", some(base=st.sampled_from([0.5, 1, 2])), lambda t, x, base: base**x)
line("Tensor.pow(at 0)", some(exponent=st.sampled_from([0, 1, 2, 3])))
for symbol in ("+", "-", "*", "/", "**", "//", "%", "<", ">="):
    forms = (f"x {symbol} y", f"x {symbol} c", f"c {symbol} x")
    for form in forms[: 2 if symbol == "%" else 3]:  # PyTorch has no derivative of c % x
        drawn = several(2) if "y" in form else some(c=st.sampled_from([0.7, 2, 3]))
        call = eval(f"lambda t, x, y=None, c=None: {form}")  # noqa: S307  the table's own text
        levels = {"ties": 2 * (symbol not in "//%"), "order": 2 * (symbol != "//")}
        line(form, drawn, call, low=0.5, **levels)
line("add(alpha)", several(2, alpha=numbers))
line("Tensor.sub(alpha)", several(2, alpha=numbers))
rounding = st.sampled_from(["trunc", "floor"])
line("div(rounding)", several(2, rounding_mode=rounding), low=0.5, ties=0, order=0)
clamped = {"ties": 2 * SINCE_2_14}
limits = {"min": st.sampled_from([-1, 0.5, None]), "max": st.sampled_from([-1.5, 1, 1.0])}
line("clamp", some(**limits), **clamped)
# Where x is the largest: PyTorch fails at others.
bounded = shapes([(2, 3), (3,), (2, 1)], [(2, 2), (), (2, 2)], [()] * 3)
line("clamp(tensors)", bounded, lambda t, x, low, high: x.clamp(low, high), **clamped)
line("clamp(one)", several(2), lambda t, x, low: x.clamp(min=low), **clamped)
line("where", several(3), lambda t, c, x, y: t.where(c > 0, x, y))
line("where(number)", several(2), lambda t, c, x: t.where(c > 0, x, 0.5))
line("Tensor.where", several(3), lambda t, c, x, y: x.where(c > 0, y))
line("where(branch)", some(), lambda t, x: t.where(x > 0, t.sqrt(x.abs() + 1), x))
line("masked_fill", several(2, value=numbers), lambda t, x, m, value: x.masked_fill(m > 0, value))

line("sum all any", along(many=True, none=True, keepdim=keep, min_side=0))
line("all(no dim)", some(), lambda t, x: (t.all(x, dim=()), x.any(dim=())))
line("mean", along(many=True, none=True, keepdim=keep))
line("amax amin logsumexp", along(many=True, keepdim=keep))
line("softmax log_softmax", along(min_side=0))
line("argmax argmin", along(none=True, keepdim=keep), ties=0)
line("max min", some(min_side=1))
line("max(dim)", along(keepdim=keep), ties=0)
line("Tensor.min(dim)", along(keepdim=keep), ties=0)
line("max(tensor)", several(2), lambda t, x, y: t.max(x, y))
line("var std", moments, ties=0)
line("Tensor.var(unbiased)", along(least=1, unbiased=keep, min_side=3), ties=0)
line("std(all)", shaped(2, 3), lambda t, x: x.std(), ties=0)
line("sum(dtype)", some(), lambda t, x: x.sum(dtype=t.float64))

line("matmul", multiplied("(m?,n),(n,p?)->(m?,p?)"))
line("@", multiplied("(m?,n),(n,p?)->(m?,p?)"), lambda t, x, y: x @ y)
line("mm", shapes([(2, 3), (3, 2)]))
line("mv", shapes([(2, 3), (3,)]))
line("dot", shapes([(3,), (3,)]))
line("outer", shapes([(3,), (2,)]))
line("bmm", shapes([(2, 2, 3), (2, 3, 1)]))
scales = {"beta": st.sampled_from([0, 1, 0.5]), "alpha": st.sampled_from([1, 2.0])}
line("addmm", shapes(*([s, (2, 3), (3, 2)] for s in ((2, 2), (2,), (1, 2), ())), **scales))
layers = shapes([(4, 3), (2, 3), (2,)], [(2, 4, 3), (2, 3)], [(3,), (2, 3), (2,)])
line("nn.functional.linear", layers)
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
    summed = lambda t, *xs, equation: t.einsum(equation, *xs)  # noqa: E731
    line(f"einsum {equation}", shapes(operands, equation=st.just(equation)), summed)

line("reshape", some(min_side=1), lambda t, x: x.reshape(-1, 1))
line("reshape(tuple)", shaped(2, 3), lambda t, x: t.reshape(x, (3, -1)))
line("view", some(), lambda t, x: x.view(1, *x.shape))
line("transpose", some(2, dim0=st.integers(-2, 1), dim1=st.integers(-2, 1)))
line("permute", shapes([(2, 3, 1)], dims=st.permutations(range(3)).map(tuple)))
line("t", some(max_dims=2))
line("T", some(min_dims=2, max_dims=2), lambda t, x: x.T)
line("mT", some(min_dims=2), lambda t, x: x.mT)
line("squeeze", some(min_side=1))
line("Tensor.squeeze(dim)", along())
line("squeeze(dims)", along(many=True))
line("unsqueeze", along())
line("flatten", some())
line("flatten(from)", some(min_dims=2), lambda t, x: x.flatten(1))
line("flatten(to)", some(min_dims=2), lambda t, x: t.flatten(x, start_dim=-2, end_dim=-1))
line("expand", some(), lambda t, x: x.expand(2, *x.shape))
line("expand(-1)", shaped(3, 1), lambda t, x: x.expand(2, -1, 4))
line("cat", alike("dim", off=True), lambda t, *xs, dim: t.cat(xs, dim))
line("stack", alike("dim"), lambda t, *xs, dim: t.stack(xs, dim=dim))
parts = along(least=1, size=st.integers(1, 3))
line("split", parts, lambda t, x, dim, size: tuple(x.split(size, dim)))
line("split(sections)", shaped(5, 2), lambda t, x: tuple(t.split(x, [2, 0, 3])))
line("Tensor.chunk", along(least=1, chunks=st.integers(1, 4)))
line("unbind", along(least=1), lambda t, x, dim: tuple(t.unbind(x, dim)))
line("iteration", some(min_dims=1, min_side=1), lambda t, x: tuple(x))
line("gather", gathered())
line("indexing", indexed(), lambda t, x, at: x[at])
line("indexing(list)", shaped(3, 2), lambda t, x: x[[0, 0, -1], [1, 0, 1]])
line("sort(once)", along(descending=keep), ties=0)
line("argsort", along(descending=keep), ties=0)
line("sort(stable)", along(descending=keep, stable=st.sampled_from([True])))
line("Tensor.topk", along(largest=keep, k=st.just(1)), ties=0)
line("flip", along("dims", many=True), lambda t, x, dims: x.flip(dims))
line("clone detach", some())
line("contiguous", some(min_dims=2), lambda t, x: x.mT.contiguous())
line("cast", some(), lambda t, x: x.to(t.float32).double() + x.float())
line("type_as", several(2), lambda t, x, y: x.type_as(y))
line("long", some(), lambda t, x: (x.long(), x.int(), x.bool(), x.half()))
line("numel", some(), lambda t, x: t.tensor([x.numel(), x.dim(), t.numel(x), *x.size()]))
