"""The functions that are methods of a tensor too, under the same names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tinygrad_fc import random
from tinygrad_fc.basics import Basics
from tinygrad_fc.functions import (
    alike,
    arranging,
    comparison,
    indexing,
    norms,
    order,
    pointwise,
    products,
    reduction,
    repeating,
    scan,
    shape,
    spread,
)
from tinygrad_fc.functions import linalg as la
from tinygrad_fc.ops import angle, gamma, linalg, normal
from tinygrad_fc.ops import constant as c
from tinygrad_fc.ops import elementwise as e
from tinygrad_fc.ops import remainder as rest

if TYPE_CHECKING:
    from tinygrad_fc.tensor import Tensor


class Methods(Basics):
    """The part of `Tensor` that is stated elsewhere, each name once."""

    __slots__ = ()

    # Element by element

    abs = absolute = e.absolute
    neg = negative = e.negative
    exp, exp2, expm1, log, log2, log10, log1p = (
        *(e.exp, e.exp2, e.expm1, e.log, e.log2, e.log10, e.log1p),
    )
    sqrt, rsqrt, square, reciprocal = e.sqrt, e.rsqrt, e.square, e.reciprocal
    sin, cos, tan = e.sin, e.cos, angle.tan
    asin, acos, atan, atan2 = angle.arcsin, angle.arccos, angle.arctan, angle.arctan2
    sinh, cosh, tanh = angle.sinh, angle.cosh, e.tanh
    hypot, logaddexp, xlogy = angle.hypot, e.logaddexp, e.xlogy
    sigmoid, relu, erf = e.sigmoid, e.relu, normal.erf
    lgamma, digamma = gamma.lgamma, pointwise.digamma
    add, sub, mul, div, pow = (
        *(pointwise.add, pointwise.sub, e.multiply, pointwise.div, pointwise.pow),
    )
    fmod, remainder, floor_divide = rest.fmod, rest.remainder, rest.floor_divide
    maximum, minimum, masked_fill = e.maximum, e.minimum, pointwise.masked_fill
    clamp, clamp_min, clamp_max = pointwise.clamp, pointwise.clamp_min, pointwise.clamp_max
    lerp, addcmul, addcdiv = pointwise.lerp, pointwise.addcmul, pointwise.addcdiv
    nan_to_num, round = pointwise.nan_to_num, pointwise.round
    sign, floor, ceil, trunc = c.sign, c.floor, c.ceil, c.trunc
    isnan, isinf, isfinite = c.isnan, c.isinf, c.isfinite
    eq, ne, lt, le, gt, ge = c.equal, c.not_equal, c.less, c.less_equal, c.greater, c.greater_equal
    logical_and, logical_or, logical_xor, logical_not = (
        *(c.logical_and, c.logical_or, c.logical_xor, c.logical_not),
    )
    isclose, allclose, equal = comparison.isclose, comparison.allclose, comparison.equal

    # Reduced to fewer

    sum, mean, prod = reduction.sum, reduction.mean, scan.prod
    amax, amin, max, min = reduction.amax, reduction.amin, reduction.max, reduction.min
    argmax, argmin, var, std = reduction.argmax, reduction.argmin, spread.var, spread.std
    all, any, count_nonzero = reduction.all, reduction.any, reduction.count_nonzero
    logsumexp, softmax, log_softmax = reduction.logsumexp, reduction.softmax, reduction.log_softmax
    norm, median = norms.p_norm, order.median
    cumsum, cumprod = scan.cumsum, scan.cumprod

    # Products and matrices

    matmul, mm, mv, dot, bmm, outer, addmm = (
        *(linalg.matmul, products.mm, products.mv, products.dot, products.bmm),
        *(products.outer, products.addmm),
    )
    inner, kron, trace = products.inner, products.kron, products.trace
    det, slogdet, inverse = la.det, la.slogdet, la.inv
    diag, tril, triu = arranging.diag, arranging.tril, arranging.triu

    # Another shape

    reshape, view, permute, t, transpose = (
        *(shape.reshape, shape.view, shape.permute, shape.t, shape.transpose),
    )
    squeeze, unsqueeze, flatten, unflatten, ravel = (
        *(shape.squeeze, shape.unsqueeze, shape.flatten, arranging.unflatten, arranging.ravel),
    )
    expand, expand_as, broadcast_to = shape.expand, repeating.expand_as, repeating.broadcast_to
    repeat, tile, repeat_interleave = repeating.repeat, repeating.tile, repeating.repeat_interleave
    flip, roll, movedim = shape.flip, arranging.roll, arranging.movedim
    split, chunk, unbind = shape.split, shape.chunk, shape.unbind
    new_zeros, new_ones, new_empty, new_full = (
        *(alike.new_zeros, alike.new_ones, alike.new_empty, alike.new_full),
    )

    # Elements picked, put and ordered

    gather, take_along_dim, index_select = (
        *(indexing.gather, indexing.take_along_dim, indexing.index_select),
    )
    select, narrow, masked_select = indexing.select, indexing.narrow, indexing.masked_select
    scatter, scatter_add, index_add = indexing.scatter, indexing.scatter_add, indexing.index_add
    nonzero, unique, bincount = indexing.nonzero, order.unique, order.bincount
    sort, argsort, topk = order.sort, order.argsort, order.topk
    bernoulli, multinomial = random.bernoulli, random.multinomial

    def polygamma(self: Any, n: int) -> Tensor:
        """Return derivative `n` of `digamma`."""
        return pointwise.polygamma(n, self)

    def where(self: Any, condition: Any, other: Any) -> Tensor:
        """Return its elements where `condition` holds, and `other` elsewhere."""
        return pointwise.where(condition, self, other)  # type: ignore[no-any-return]
