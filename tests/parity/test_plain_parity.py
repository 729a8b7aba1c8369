"""Functions where there is no gradient against PyTorch's: integers, edges, signatures."""

import inspect
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from against_torch import agree

import tinygrad_fc as tg
from tinygrad_fc.compat.unsupported import REFUSED

torch = pytest.importorskip("torch")

nan, inf = math.nan, math.inf


def small(t: Any) -> Any:
    return t.tensor([7, 200, 3], dtype=t.uint8)


PLAIN: list[Callable[[Any], Any]] = [
    *(
        lambda t, at=at, n=n: t.nn.functional.one_hot(t.tensor(at), n)
        for at in ([0, 2, 1], [[0, 1], [2, 2]], 2)
        for n in (-1, 3, 5)
    ),
    lambda t: (t.zeros(2, 3), t.zeros((2,)), t.zeros([0]), t.zeros(()), t.zeros(size=(2,))),
    lambda t: (t.ones(2, 3, dtype=t.int64), t.ones(1, dtype=t.bool)),
    lambda t: (t.empty(0, 2), t.empty((2, 0))),
    lambda t: (t.full((2,), 3), t.full((2,), 0.5), t.full((), fill_value=True)),
    lambda t: t.full((2,), 1, dtype=t.float32),
    lambda t: (t.eye(2), t.eye(2, 3), t.eye(0)),
    lambda t: (t.arange(3), t.arange(3.0), t.arange(1, 2, 0.25), t.arange(5, 1, -2)),
    lambda t: t.arange(0),
    # arange of tenths
    lambda t: (t.arange(0, 1, 0.1), t.arange(0.1, 0.7, 0.1)),
    lambda t: t.arange(1, 1.6, 0.2),
    lambda t: (t.linspace(0, 1, 5), t.linspace(1, -1, 1), t.linspace(0, 1, 0)),
    lambda t: (t.logspace(-1, 2, 5), t.logspace(0, 3, 4, base=2.0), t.logspace(0, 1, 0)),
    # like
    lambda t: (t.zeros_like(t.ones(2).float()), t.ones_like(t.tensor([3]))),
    lambda t: (t.full_like(t.tensor([3]), 2), t.empty_like(t.zeros(0, 2).float())),
    lambda t: (t.tensor(1), t.tensor(1.0), t.tensor([True]), t.tensor([1, 2.0])),
    lambda t: (t.tensor([]), t.tensor([[]])),
    # bools
    lambda t: (~t.tensor([True]), t.tensor([True]) & t.tensor([False])),
    lambda t: (t.tensor([1, 2]) > 1, t.tensor([True]) | t.tensor([False])),
    lambda t: (t.tensor([True]) ^ t.tensor([True]), t.tensor([1, 2, 3]) & 1),
    lambda t: (+t.tensor([1.0]), abs(t.tensor([-1.0]))),
    lambda t: t.tensor(2.0).gather(0, t.tensor(0)),
    # empty sum of dims
    lambda t: (t.ones(2, 3).sum(()), t.ones(2, 3).mean(())),
    lambda t: (t.ones(2, 3).amax(()), t.eye(2).var(())),
    lambda t: t.where(t.tensor([[True, False], [True, True]])),
    # lerp at its ends
    lambda t: t.lerp(t.tensor(0.1), t.tensor(0.3), 1.0),
    lambda t: t.lerp(t.tensor(0.1), t.tensor(1e17), t.tensor([0.0, 0.4, 0.5, 1.0])),
    lambda t: (*t.tensor([[3, 1], [2, 4]]).median(0),),
    lambda t: (*t.tensor([[3.0, nan], [2.0, 4.0]]).median(1, keepdim=True),),
    lambda t: t.tensor([1.0, nan, 2.0]).median(),
    # norms at 0
    lambda t: (t.norm(t.zeros(3)), t.norm(t.zeros(3), 3)),
    lambda t: t.linalg.vector_norm(t.zeros(0)),
    lambda t: t.linalg.vector_norm(t.tensor([0.0, 2.0]), -1),
    lambda t: t.linalg.vector_norm(t.tensor([0.0, 2.0]), 0),
    lambda t: t.linalg.vector_norm(t.tensor([inf, 2.0]), 3),
    lambda t: t.linalg.vector_norm(t.tensor([nan, 2.0]), 3),
    # no matrices
    lambda t: (t.linalg.inv(t.zeros(0, 0)), t.linalg.det(t.zeros(0, 0))),
    lambda t: (*t.linalg.slogdet(t.zeros(0, 0)),),
    lambda t: t.linalg.solve(t.zeros(0, 0), t.zeros(0, 2)),
    lambda t: (t.linalg.cholesky(t.zeros(0, 0)), t.linalg.inv(t.zeros(0, 2, 2))),
    lambda t: t.linalg.det(t.zeros(0, 2, 2)),
    lambda t: t.linalg.solve(t.zeros(0, 2, 2), t.zeros(0, 2, 1)),
    # singular
    lambda t: (t.linalg.det(t.ones(3, 3)), *t.linalg.slogdet(t.ones(2, 2))),
    lambda t: (*t.linalg.slogdet(t.tensor([[0.0, 1.0], [1.0, 0.0]])),),
    # triangles
    lambda t: t.trace(t.tensor([[1, 2], [3, 4]])),
    # picked
    lambda t: t.tensor(3.0).index_select(0, t.tensor([0])),
    lambda t: t.tensor([1, 2]).index_select(0, t.tensor([1, 1], dtype=t.int32)),
    lambda t: t.tensor(1.0).scatter(0, t.tensor(0), t.tensor(5.0)),
    lambda t: t.tensor(1.0).scatter_add(0, t.tensor(0), t.tensor(5.0)),
    lambda t: t.tensor(1.0).index_add(0, t.tensor([0]), t.tensor(2.0)),
    lambda t: t.tensor([1, 2]).scatter(0, t.tensor([0]), 7),
    lambda t: t.ones(3).scatter(0, t.tensor([1, 1]), t.tensor([2.0, 3.0]), reduce="add"),
    lambda t: t.ones(3).scatter(0, t.tensor([1, 2]), t.tensor([2.0, 3.0]), reduce="multiply"),
    lambda t: t.ones(3).scatter(0, t.tensor([], dtype=t.int64), t.tensor([])),
    # counted
    lambda t: t.bincount(t.tensor([1, 3, 1], dtype=t.int32), t.tensor([0.5, 2.0, 1.0]).float()),
    lambda t: (*t.unique(t.tensor([3, 1, 3]), return_counts=True),),
    lambda t: t.unique(t.tensor([nan, nan, 1.0])),
    lambda t: t.searchsorted(t.zeros(0), t.tensor([1.0])),
    # repeated
    lambda t: (t.tensor(2.0).repeat(2), t.tensor(2.0).repeat(2, 0)),
    lambda t: t.repeat_interleave(t.tensor([1, 0, 2])),
    lambda t: (*t.meshgrid(t.tensor(1.0), t.tensor([2.0, 3.0]), indexing="ij"),),
    # 0-d along (0,)
    lambda t: (*t.var_mean(t.tensor(2.0), 0, correction=0),),
    lambda t: t.tensor(2.0).movedim(0, -1),
    lambda t: t.tensor([True, False]).clamp(max=0),
    lambda t: t.tensor([True, False]).clamp_min(0.5),
    # in place
    lambda t: t.sin_(t.tensor([1.0, 2.0])),
    lambda t: t.tensor([[1.0, -2.0]]).abs_().pow_(2).lerp_(t.tensor([5.0, 5.0]), 0.5),
    lambda t: t.zeros(2, 3).scatter_(1, t.tensor([[2], [0]]), 1.0),
    lambda t: t.tensor([1, 5]).bitwise_xor_(t.tensor([3, 3])).clamp_max_(4),
    lambda t: t.tensor([0.5, 2.0]).gt_(1.0),
    lambda t: t.ones(2, 1, 3).squeeze_().t_().unsqueeze_(0),
    lambda t: t.arange(6.0).view(2, 3).transpose_(0, 1).cumsum_(1),
    # results written to a tensor
    lambda t: t.cat([t.ones(2), t.zeros(1)], out=t.zeros(3)),
    lambda t: t.eye(2, out=t.zeros(2, 2)),
    lambda t: t.full((2,), 3.0, out=t.zeros(2)),
    lambda t: t.mm(t.ones(2, 2), t.ones(2, 2), out=t.zeros(2, 2)),
    lambda t: t.cumsum(t.ones(3), 0, out=t.zeros(3)),
    # norms of matrices without rows
    lambda t: [t.linalg.norm(t.zeros(0, 3), p) for p in (2, math.inf)],
    # gains
    lambda t: [t.nn.init.calculate_gain(n) for n in ("linear", "sigmoid", "tanh", "relu", "selu")],
    lambda t: [t.nn.init.calculate_gain("leaky_relu", a) for a in (None, 0, 0.2, 5**0.5)],
    # nothing
    lambda t: (t.zeros(0, 2).mean(0), t.zeros(0).mean(), t.zeros(0, 3).logsumexp(0)),
    lambda t: (t.zeros(0).prod(), t.zeros(0, 2).prod(0), t.zeros(0).cumprod(0)),
    lambda t: (t.zeros(0).median(), *t.zeros(0).split(2), *t.zeros(0).chunk(3)),
    # of small integers
    lambda t: (small(t).sum(), small(t).prod(), small(t).cumsum(0)),
    lambda t: t.bitwise_not(t.tensor([1, -5])),
    lambda t: t.remainder(7, small(t)),
    # rounded
    lambda t: [t.round(t.tensor([0.125, 1250.0]), decimals=k) for k in (2, -2)],
    # special values
    lambda t: t.lgamma(t.tensor([inf, -inf, 0.0, -1.0, nan, 1.0, 2.0])),
    lambda t: [t.polygamma(n, t.tensor([0.0, -0.0, -1.0, -2.0])) for n in (0, 2, 3)],
    lambda t: t.linalg.det(t.tensor([[[nan, 1.0], [1.0, 1.0]], [[2.0, 1.0], [nan, 1.0]]])),
    lambda t: t.linalg.slogdet(t.tensor([[nan, 1.0], [1.0, 1.0]])),
    lambda t: t.nn.functional.cross_entropy(t.tensor([[1.0, inf]]), t.tensor([0])),
    lambda t: t.digamma(t.tensor([inf, -1.0, nan])),
    lambda t: t.hypot(t.tensor([1e200, 0.0]), t.tensor([1e200, 0.0])),
]


@pytest.mark.filterwarnings("ignore:The reduce argument of torch.scatter")  # PyTorch's, once
@pytest.mark.parametrize("call", PLAIN, ids=lambda call: f"line {call.__code__.co_firstlineno}")
def test_values_and_dtypes(call: Callable[[Any], Any]):
    with np.errstate(all="ignore"):
        agree(*(call(t) for t in (tg, torch)), 1e-14, exact=True)


# Names and order of arguments

OVERRIDES = torch.overrides.get_testing_overrides()
# Functions whose names differ there from PyTorch's documentation, or that lack an option here.
OTHER = "bmm cdist det diag_embed dot empty_like full_like gather histogram inverse logsumexp "
OTHER += "meshgrid mm ones_like permute polygamma slogdet spmm svd swapdims topk where zeros_like"
SIGNATURES = {
    name
    for name in dir(tg)
    if callable(getattr(tg, name)) and getattr(torch, name, None) in OVERRIDES
} - {*OTHER.split(), *REFUSED}


@pytest.mark.parametrize("name", sorted(SIGNATURES))
def test_arguments_have_pytorchs_names_in_its_order(name: str):
    theirs = inspect.signature(OVERRIDES[getattr(torch, name)])
    wanted = [p for p in theirs.parameters if p != "out"]
    function = getattr(tg, name)
    if isinstance(function, tg.Op) and len(function.domain) == len(wanted):
        return  # which knows its arrays by PyTorch's two names
    ours = list(inspect.signature(function).parameters)
    if wanted[0] == "self":
        wanted[0] = "input"
    assert [p for p in ours if p in wanted] == wanted


@pytest.mark.parametrize("name", sorted({"atan2", "hypot", "fmod", "remainder", "logaddexp"}))
def test_operands_by_name(name: str):
    def call(t: Any) -> Any:
        x, y = t.tensor([2.5]), t.tensor([2.0])
        return getattr(t, name)(input=x, other=y), getattr(x, name)(other=y)

    agree(call(tg), call(torch), 0)
