"""How the operands of ops are promoted: PyTorch's rules, by op.

A call with a tensor casts its operands as `Op.promotion` says. Ops that are not in the table
compute in the dtypes that they get, as NumPy does.
"""

from __future__ import annotations

from typing import Any

from tinygrad_fc.core.dtypes import Promotion
from tinygrad_fc.ops import activation as a
from tinygrad_fc.ops import comparison as c
from tinygrad_fc.ops import elementwise as e
from tinygrad_fc.ops import linalg as la
from tinygrad_fc.ops import loss, norm, shape, special
from tinygrad_fc.ops import reduce as r

INTEGERS, FLOATS = 1, 2
FLOATS_ONLY = Promotion(least=FLOATS)
TABLE: dict[Promotion, tuple[Any, ...]] = {
    Promotion(): (
        *(e.multiply_no_nan, e.multiply_no_nan_symmetric, e.divide_no_nan),
        *(c.bitwise_and, c.bitwise_or, c.bitwise_xor, shape.concatenate, shape.stack, norm.affine),
    ),
    Promotion(skipped=1): (e.where,),
    Promotion(numbers=False): (c.eq, c.ne, c.lt, c.le, c.gt, c.ge),
    Promotion(wraps=True): (e.add, e.multiply, e.maximum, e.minimum),
    Promotion(least=INTEGERS, each=True, wraps=True): (e.subtract,),
    Promotion(least=INTEGERS): (
        *(e.pow, e.positive_, e.abs, e.square, e.fmod, e.remainder, e.floor_divide, e.clamp),
        *(e.relu, c.floor, c.ceil, c.trunc, c.rint, c.round, r.median),
        *(c.bitwise_left_shift, c.bitwise_right_shift),
    ),
    Promotion(least=INTEGERS, equal=True): (
        *(la.matmul, la.linear, la.linear_relu, la.linear_sigmoid, la.linear_tanh, la.einsum_),
    ),
    Promotion(equal=True): (c.isclose,),
    Promotion(least=FLOATS, equal=True): (e.lerp, la.solve),
    Promotion(to_long=True): (r.sum, r.prod, r.cumsum, r.cumprod),
    Promotion(to_float=True): (
        *(e.divide, e.reciprocal, e.sqrt, e.rsqrt, e.exp, e.exp2, e.expm1, e.log, e.log1p, e.log2),
        *(e.log10, e.xlogy, e.sigmoid, e.sin, e.cos, e.tan, e.asin, e.acos, e.atan, e.atan2),
        *(e.sinh, e.cosh, e.tanh, e.asinh, e.acosh, e.atanh, special.erf, special.lgamma),
        *(special.polygamma, special.ndtr, special.gaussian, special.logit, r.logsumexp),
        a.hardtanh,
    ),
    FLOATS_ONLY: (
        *(e.hypot, e.logaddexp, a.softplus, a.logsigmoid, a.silu, a.mish, a.gelu, a.gelu_tanh),
        *(a.elu, a.leaky_relu, r.mean, r.var, r.std, r.softmax, r.log_softmax, r.l2_norm),
        *(norm.normalized, loss.squared_error, loss.huber, loss.binary_cross_entropy),
        *(loss.binary_cross_entropy_with_logits, loss.soft_cross_entropy, la.inv, la.cholesky),
        *(la.det, la.det_sign, la.logabsdet, la.singular_values, la.singular_vectors),
    ),
}

for _promotion, _ops in TABLE.items():
    for _op in _ops:
        _op.promotion = _promotion
