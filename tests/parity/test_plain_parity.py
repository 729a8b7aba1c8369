"""Functions where there is no gradient against PyTorch's: integers, edges, signatures."""

from __future__ import annotations

import inspect
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from against_torch import alike_in_value_and_type

import tinygrad_fc as tg

torch = pytest.importorskip("torch")

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.usefixtures("default_float64")

nan, inf = math.nan, math.inf


def small(t: Any) -> Any:
    return t.tensor([7, 200, 3], dtype=t.uint8)


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
    "integers": lambda t: (t.tensor([7, -7]) // 2, t.tensor([7, -7]) % 3, t.tensor([2]) ** 3),
    "small sums": lambda t: t.tensor([200, 100], dtype=t.uint8).sum(),
    "whole clamp": lambda t: (
        t.tensor([1, 5]).clamp(2, 3),
        t.tensor([1, 5]).clamp(max=3),
        t.arange(3).clamp(0.5),
    ),
    "bools": lambda t: (
        *(~t.tensor([True]), t.tensor([True]) & t.tensor([False]), t.tensor([1, 2]) > 1),
        *(t.tensor([True]) | t.tensor([False]), t.tensor([True]) ^ t.tensor([True])),
        *(t.tensor([1, 2, 3]) & 1, +t.tensor([1.0]), abs(t.tensor([-1.0]))),
    ),
    "nothing": lambda t: (t.zeros(0, 2).mean(0),),
    "mean of nothing": lambda t: (t.zeros(0).mean(), t.zeros(0, 3).logsumexp(0)),
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
    "masked_fill": lambda t: (
        t.zeros(2).masked_fill(t.tensor([True, False]), 2),
        t.zeros(2).masked_fill(t.tensor([True, False]), t.tensor(3.0)),
    ),
    "rounded": lambda t: (
        t.tensor([-3, 4]).floor(),
        t.tensor([-3, 4]).round(),
        t.tensor([-0.5, 0.5, 1.5, 2.5, -2.5]).round(),
        t.round(t.tensor([0.125, 1250.0]), decimals=2),
        t.round(t.tensor([0.125, 1250.0]), decimals=-2),
        t.tensor([-1.5, 1.5, -0.2]).trunc(),
        t.tensor([-0.0, 2.0, -3.0]).sign(),
    ),
    "binary of integers": lambda t: (
        t.fmod(t.tensor([7, -7]), t.tensor([3, 3])),
        t.remainder(t.tensor([7, -7]), t.tensor([3, 3])),
        t.remainder(7, t.tensor([2, -2])),
        t.floor_divide(t.tensor([7, -7]), 2),
        t.div(t.tensor([7, -7]), 2, rounding_mode="trunc"),
        t.bitwise_xor(t.tensor([1, 5, 11]), t.tensor([2, 7, 10])),
        t.bitwise_and(t.tensor([True, False]), t.tensor([2, 7])),
        t.bitwise_not(t.tensor([1, -5])),
        t.addcmul(t.tensor([1]), t.tensor([2]), t.tensor([3]), value=2),
    ),
    "remainders of floats": lambda t: (
        t.fmod(t.tensor([5.5, -5.5, 1.0]), 2),
        t.remainder(t.tensor([5.5, -5.5]), t.tensor([-2.0, 2.0])),
        t.fmod(t.tensor([1.0]), 0.0),
        t.remainder(t.tensor([1.0]), 0.0),
        t.floor_divide(t.tensor([1.0, -1.0]), 0.0),
    ),
    "weak numbers": lambda t: (
        t.xlogy(2.0, t.ones(2).float()),
        t.addcdiv(t.ones(2).float(), t.ones(2).float(), t.ones(2).float(), value=0.1),
        t.nan_to_num(t.ones(2).float(), nan=1.5),
    ),
    "lerp at its ends": lambda t: (
        t.lerp(t.tensor(0.1), t.tensor(0.3), 1.0),
        t.lerp(t.tensor(0.1), t.tensor(1e17), t.tensor([0.0, 0.4, 0.5, 1.0])),
    ),
    "special values": lambda t: (
        t.xlogy(t.tensor([0.0, 0.0, 0.0, nan]), t.tensor([0.0, -1.0, nan, 0.0])),
        t.erf(t.tensor([inf, -inf, nan, 0.0])),
        t.lgamma(t.tensor([inf, 0.0, -1.0, nan, 1.0, 2.0])),
        t.digamma(t.tensor([inf, -1.0, nan])),
        t.logaddexp(t.tensor([inf, -inf]), t.tensor([1.0, -inf])),
        t.hypot(t.tensor([1e200, 0.0]), t.tensor([1e200, 0.0])),
        t.nan_to_num(t.tensor([nan, inf, -inf, 2.0])),
        t.nan_to_num(t.tensor([nan, inf, -inf, 2.0]).float()),
        t.rsqrt(t.tensor([0.0, 4.0, inf, -1.0])),
    ),
    "isclose": lambda t: (
        t.isclose(t.tensor([nan, inf, -inf, 1.0]), t.tensor([nan, inf, inf, 1.0])),
        t.isclose(t.tensor([nan]), t.tensor([nan]), equal_nan=True),
        t.isclose(t.tensor([1, 2]), t.tensor([1, 3])),
        t.tensor([t.equal(t.tensor([nan]), t.tensor([nan])), t.equal(t.ones(2), t.ones(1, 2))]),
    ),
    "products of integers": lambda t: (
        small(t).prod(),
        t.tensor([2, 3]).prod(dtype=t.float32),
        t.zeros(0).prod(),
        t.zeros(0, 2).prod(0),
    ),
    "scans of integers": lambda t: (
        small(t).cumsum(0),
        t.tensor([2, 3], dtype=t.int32).cumprod(-1),
        t.tensor([2, 3]).cumsum(0, dtype=t.float32),
        t.zeros(0).cumprod(0),
    ),
    "median": lambda t: (
        *t.tensor([[3, 1], [2, 4]]).median(0),
        *t.tensor([[3.0, nan], [2.0, 4.0]]).median(1, keepdim=True),
        t.tensor([1.0, nan, 2.0]).median(),
        t.zeros(0).median(),
    ),
    "count_nonzero": lambda t: (
        t.tensor([[0.0, nan], [0.0, 1.0]]).count_nonzero(0),
        t.count_nonzero(t.zeros(0)),
    ),
    "norms at 0": lambda t: (
        t.norm(t.zeros(3)),
        t.norm(t.zeros(3), 3),
        t.linalg.vector_norm(t.zeros(0)),
        t.linalg.vector_norm(t.tensor([0.0, 2.0]), -1),
        t.linalg.vector_norm(t.tensor([0.0, 2.0]), 0),
        t.linalg.vector_norm(t.tensor([inf, 2.0]), 3),
        t.linalg.vector_norm(t.tensor([nan, 2.0]), 3),
        t.linalg.norm(t.ones(2, 2).float(), inf),
        t.linalg.vector_norm(t.ones(2).float(), -2),
    ),
    "no matrices": lambda t: (
        t.linalg.inv(t.zeros(0, 0)),
        t.linalg.det(t.zeros(0, 0)),
        *t.linalg.slogdet(t.zeros(0, 0)),
        t.linalg.solve(t.zeros(0, 0), t.zeros(0, 2)),
        t.linalg.cholesky(t.zeros(0, 0)),
        t.linalg.inv(t.zeros(0, 2, 2)),
        t.linalg.det(t.zeros(0, 2, 2)),
        t.linalg.solve(t.zeros(0, 2, 2), t.zeros(0, 2, 1)),
    ),
    "singular": lambda t: (
        t.linalg.det(t.ones(3, 3)),
        *t.linalg.slogdet(t.ones(2, 2)),
        *t.linalg.slogdet(t.tensor([[0.0, 1.0], [1.0, 0.0]])),
    ),
    "triangles": lambda t: (
        t.diag(t.tensor([1, 2]), -1),
        t.diag(t.zeros(0)),
        t.diag(t.ones(2, 3), 2),
        t.trace(t.tensor([[1, 2], [3, 4]])),
        t.trace(t.ones(2, 3)),
    ),
    "picked": lambda t: (
        t.tensor(3.0).index_select(0, t.tensor([0])),
        t.tensor([1, 2]).index_select(0, t.tensor([1, 1], dtype=t.int32)),
        t.ones(2, 3).index_select(1, t.tensor([], dtype=t.int64)),
        t.tensor(2.0).masked_select(t.tensor([True, False])),
        t.nonzero(t.tensor(2.0)),
        t.nonzero(t.tensor(0.0)),
        *t.nonzero(t.tensor(2.0), as_tuple=True),
        t.tensor([1, 0, 2]).nonzero(),
        t.tensor(1.0).scatter(0, t.tensor(0), t.tensor(5.0)),
        t.tensor(1.0).scatter_add(0, t.tensor(0), t.tensor(5.0)),
        t.tensor(1.0).index_add(0, t.tensor([0]), t.tensor(2.0)),
        t.tensor([1, 2]).scatter(0, t.tensor([0]), 7),
        t.ones(3).scatter(0, t.tensor([1, 1]), t.tensor([2.0, 3.0]), reduce="add"),
        t.ones(3).scatter(0, t.tensor([1, 2]), t.tensor([2.0, 3.0]), reduce="multiply"),
        t.ones(3).scatter(0, t.tensor([], dtype=t.int64), t.tensor([])),
    ),
    "counted": lambda t: (
        t.bincount(t.tensor([], dtype=t.int64)),
        t.bincount(t.tensor([], dtype=t.int64), minlength=2),
        t.bincount(t.tensor([1, 3, 1], dtype=t.int32), t.tensor([0.5, 2.0, 1.0]).float()),
        t.bincount(t.tensor([1]), t.tensor([2])),
        *t.unique(t.tensor([3, 1, 3]), return_counts=True),
        t.unique(t.tensor([True, False, True])),
        t.unique(t.zeros(0)),
        t.unique(t.tensor([nan, nan, 1.0])),
    ),
    "searchsorted": lambda t: (
        t.searchsorted(t.tensor([1, 3, 5]), t.tensor([3, 6])),
        t.searchsorted(t.tensor([1.0, 3.0]), 2.0),
        t.searchsorted(t.zeros(0), t.tensor([1.0])),
    ),
    "repeated": lambda t: (
        t.tensor(2.0).repeat(2),
        t.tensor(2.0).repeat(2, 0),
        t.tensor([1, 2]).tile(3),
        t.tensor(2.0).tile((2, 2)),
        t.repeat_interleave(t.tensor([1, 0, 2])),
        t.tensor(2.0).repeat_interleave(2),
        *t.meshgrid(t.tensor(1.0), t.tensor([2.0, 3.0]), indexing="ij"),
        t.zeros(0, 2).roll(1, 0),
        t.zeros(0).roll(1),
        t.tensor(1.0).roll(1),
        t.tensor(1.0).ravel(),
    ),
    "0-d along (0,)": lambda t: (
        *t.var_mean(t.tensor(2.0), 0, correction=0),
        t.tensor(2.0).movedim(0, -1),
    ),
    "booleans clamped": lambda t: (
        t.tensor([True, False]).clamp(max=0),
        t.tensor([True, False]).clamp_min(0.5),
    ),
    "in place": lambda t: (
        t.sin_(t.tensor([1.0, 2.0])),
        t.tensor([[1.0, -2.0]]).abs_().pow_(2).lerp_(t.tensor([5.0, 5.0]), 0.5),
        t.zeros(2, 3).scatter_(1, t.tensor([[2], [0]]), 1.0),
        t.tensor([1.0, 2.0]).masked_fill_(t.tensor([True, False]), 7.0),
        t.tensor([1, 5]).bitwise_xor_(t.tensor([3, 3])).clamp_max_(4),
        t.tensor([0.5, 2.0]).gt_(1.0),
        t.ones(2, 1, 3).squeeze_().t_().unsqueeze_(0),
        t.arange(6.0).view(2, 3).transpose_(0, 1).cumsum_(1),
    ),
    "results written to a tensor": lambda t: (
        t.cat([t.ones(2), t.zeros(1)], out=t.zeros(3)),
        t.eye(2, out=t.zeros(2, 2)),
        t.full((2,), 3.0, out=t.zeros(2)),
        t.mm(t.ones(2, 2), t.ones(2, 2), out=t.zeros(2, 2)),
        t.cumsum(t.ones(3), 0, out=t.zeros(3)),
    ),
    "a diagonal that is not there": lambda t: (t.ones(2, 3).diag(-9), t.zeros(0, 3).diag(-1)),
    "norms of matrices without rows": lambda t: [
        t.linalg.norm(t.zeros(0, 3), p) for p in (2, math.inf)
    ],
}


@pytest.mark.filterwarnings("ignore:The reduce argument of torch.scatter")  # PyTorch's, once
@pytest.mark.parametrize("name", sorted(PLAIN))
def test_values_and_dtypes(name: str):
    with np.errstate(all="ignore"):
        alike_in_value_and_type(PLAIN[name])


# Names and order of arguments

SIGNATURES = [
    *("isclose", "allclose", "equal", "nan_to_num", "atan2", "fmod", "logaddexp", "xlogy"),
    *("hypot", "logical_and", "logical_or", "logical_xor", "remainder", "floor_divide"),
    *("lerp", "addcmul", "addcdiv", "clamp_min", "clamp_max", "cumsum", "cumprod", "norm"),
    *("inner", "tensordot", "kron", "index_select", "broadcast_to", "select", "diag"),
    *("argsort", "tril", "triu", "index_add", "masked_select", "scatter", "scatter_add"),
    *("nonzero", "unique", "bincount", "cross", "bitwise_xor", "roll", "narrow"),
    *("take_along_dim", "movedim", "ravel", "median", "prod", "var_mean", "count_nonzero"),
    "searchsorted",
]


@pytest.mark.parametrize("name", SIGNATURES)
def test_arguments_have_pytorchs_names_in_its_order(name: str):
    theirs = inspect.signature(torch.overrides.get_testing_overrides()[getattr(torch, name)])
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
    alike_in_value_and_type(
        lambda t: (
            getattr(t, name)(input=t.tensor([2.5]), other=t.tensor([2.0])),
            getattr(t.tensor([2.5]), name)(other=t.tensor([2.0])),
        )
    )
