"""The core functions and methods against PyTorch's: one line of a table each.

To add a name, add its line; what a line is stands in `against_torch`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from against_torch import (
    SINCE_2_14,
    Table,
    alike,
    alike_in_value_and_type,
    along,
    compare,
    compare_aliases,
    gathered,
    indexed,
    keep,
    multiplied,
    numbers,
    refused,
    several,
    shaped,
    some,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

torch = pytest.importorskip("torch")

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = [
    pytest.mark.usefixtures("default_float64"),
    pytest.mark.filterwarnings("ignore:indexing with dtype torch.uint8"),  # a mask, in both
]

# The table


LINES = Table()
line = LINES.line


for unary in ("abs", "neg", "exp", "square", "sin", "cos", "tanh", "sigmoid", "relu"):
    line(unary, some())
for unary in ("log", "sqrt"):
    line(unary, some(), 0.5)
for binary in ("add", "sub", "mul", "maximum", "minimum", "eq", "ne", "lt", "le", "gt", "ge"):
    line(binary, several(2))
line("div", several(2), 0.5)
line("pow", several(2), 0.5)
line("Tensor.pow(number)", some(exponent=st.sampled_from([0, 1, 2, 3, 0.5, -1])), 0.5)
line("pow(base)", some(base=st.sampled_from([0.5, 1, 2])), call=lambda t, x, base: base**x)
line(
    "pow(at 0)",
    some(exponent=st.sampled_from([0, 1, 2, 3])),
    call=lambda t, x, exponent: x**exponent,
)
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
line("add(alpha)", several(2, alpha=numbers), call=lambda t, x, y, alpha: t.add(x, y, alpha=alpha))
line("sub(alpha)", several(2, alpha=numbers), call=lambda t, x, y, alpha: x.sub(y, alpha=alpha))
rounding = st.sampled_from([None, "trunc", "floor"])
line("div(rounding)", several(2, rounding_mode=rounding.filter(bool)), 0.5, ties=False, flat=True)
line(
    "clamp",
    some(min=st.sampled_from([-1, 0.5, None]), max=st.sampled_from([-1.5, 1, 1.0])),
    ties=SINCE_2_14,
)
line(
    "clamp(tensors)",  # where x is the largest: PyTorch fails at others
    st.sampled_from([[(2, 3), (3,), (2, 1)], [(2, 2), (), (2, 2)], [()] * 3]).map(
        lambda s: (s, {})
    ),
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
line("max(dim)", along(keepdim=keep), ties=False)
line("Tensor.min(dim)", along(keepdim=keep), ties=False)
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
line("Tensor.var(unbiased)", along(unbiased=keep, min_side=3), ties=False)
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
for shapes in ([(4, 3), (2, 3), (2,)], [(2, 4, 3), (2, 3)], [(3,), (2, 3), (2,)]):
    line(f"nn.functional.linear({shapes})", st.just((shapes, {})))
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
line("Tensor.chunk", along(chunks=st.integers(1, 4)))
line("unbind", along(), call=lambda t, x, dim: tuple(t.unbind(x, dim)))
line("iteration", some(min_dims=1, min_side=1), call=lambda t, x: tuple(x))
line("gather", gathered())
line("indexing", indexed(), call=lambda t, x, at: x[at])
line("indexing(list)", shaped(3, 2), call=lambda t, x: x[[0, 0, -1], [1, 0, 1]])
line("sort(once)", along(descending=keep), ties=False)
line("argsort", along(descending=keep), ties=False)
line("sort(stable)", along(descending=keep, stable=st.sampled_from([True])))
line("Tensor.topk", along(largest=keep, k=st.just(1)), ties=False)
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
line("long", some(), call=lambda t, x: (x.long(), x.int(), x.bool(), x.half()))
for reduction in ("mean", "sum", "none"):
    line(
        f"mse_loss({reduction})",
        some(min_side=reduction == "mean"),
        call=lambda t, x, r=reduction: t.nn.functional.mse_loss(x, x * 2 + 1, reduction=r),
    )
line("numel", some(), call=lambda t, x: t.tensor([x.numel(), x.dim(), t.numel(x), *x.size()]))


@pytest.mark.parametrize("name", sorted(LINES))
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@given(st.data(), st.integers(0, 2**32 - 1))
@settings(max_examples=6)
def test_values_gradients_and_their_gradients(name: str, dtype: Any, data: Any, seed: int):
    compare(LINES[name], data, seed, dtype)


@pytest.mark.parametrize("name", sorted(LINES.keys() - {"einsum ii->i"}))  # ours is a copy
@given(st.data(), st.integers(0, 2**32 - 1))
@settings(max_examples=6)
def test_views_and_copies(name: str, data: Any, seed: int):
    compare_aliases(LINES[name], data, seed)


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
    "index float 0-d": lambda t: t.ones(2)[t.tensor(1.0)],
    "clamp": lambda t: t.ones(2).clamp(),
    "div rounding": lambda t: t.div(t.ones(2), 2, rounding_mode="up"),
    "item": lambda t: t.ones(2).item(),
    "bool": lambda t: bool(t.ones(2)),
    "bool of nothing": lambda t: bool(t.zeros(0)),
    "len": lambda t: len(t.tensor(1.0)),
    "iter": lambda t: list(t.tensor(1.0)),
    "index of a float": lambda t: [1][t.tensor(0.0)],
    "requires_grad of integers": lambda t: t.tensor([1], requires_grad=True),
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
    "data of integers": lambda t: setattr(t.ones(2, requires_grad=True), "data", t.tensor([1])),
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
    refused(REFUSED[name], kind="nothing" not in name)


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
    "integers": lambda t: (
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
        *(~t.tensor([True]), t.tensor([True]) & t.tensor([False]), t.tensor([1, 2]) > 1),
        *(t.tensor([True]) | t.tensor([False]), t.tensor([True]) ^ t.tensor([True])),
        *(t.tensor([1, 2, 3]) & 1, +t.tensor([1.0]), abs(t.tensor([-1.0]))),
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
    alike_in_value_and_type(PLAIN[name])
