"""How the operands of ops are promoted: PyTorch's rules, by op.

A call with a tensor casts its operands as `Op.promotion` says. Ops that are not in the table
compute in the dtypes that they get, as NumPy does.
"""

from __future__ import annotations

from tinygrad_fc.core.dtypes import Promotion
from tinygrad_fc.core.op import Op
from tinygrad_fc.ops import (
    activation,
    arithmetic,
    comparison,
    elementwise,
    linalg,
    loss,
    norm,
    reduce,
    shape,
    special,
    trigonometry,
)

INTEGERS, FLOATS = 1, 2
FLOATS_ONLY = Promotion(least=FLOATS)
TABLE = {
    Promotion(): """multiply_no_nan multiply_no_nan_symmetric divide_no_nan bitwise_and bitwise_or
        bitwise_xor concatenate stack affine""",
    Promotion(skipped=1, wraps=True): "where",
    Promotion(numbers=False): "eq ne lt le gt ge",
    Promotion(wraps=True): "add multiply maximum minimum",
    Promotion(least=INTEGERS, each=True, wraps=True): "subtract",
    Promotion(least=INTEGERS): """pow positive_ abs square fmod remainder floor_divide clamp relu
        floor ceil trunc rint round median bitwise_left_shift bitwise_right_shift""",
    Promotion(least=INTEGERS, equal=True): """matmul linear linear_relu linear_sigmoid linear_tanh
        einsum_""",
    Promotion(equal=True): "isclose",
    Promotion(least=FLOATS, equal=True): "lerp solve",
    Promotion(to_long=True): "sum prod cumsum cumprod",
    Promotion(to_float=True): """divide reciprocal sqrt rsqrt exp exp2 expm1 log log1p log2 log10
        xlogy sigmoid sin cos tan asin acos atan atan2 sinh cosh tanh asinh acosh atanh erf lgamma
        polygamma ndtr gaussian logit logsumexp hardtanh""",
    FLOATS_ONLY: """hypot logaddexp softplus logsigmoid silu mish gelu gelu_tanh elu leaky_relu mean
        var std softmax log_softmax l2_norm normalized squared_error huber binary_cross_entropy
        binary_cross_entropy_with_logits soft_cross_entropy inv cholesky det det_sign logabsdet
        singular_values singular_vectors""",
}
"""Names of ops, each of one op in the modules of this package."""

_elementwise = (activation, arithmetic, comparison, elementwise, special, trigonometry)
_modules = (*_elementwise, linalg, loss, norm, reduce, shape)
_ops = {k: op for module in _modules for k, op in vars(module).items() if isinstance(op, Op)}
for _promotion, _names in TABLE.items():
    for _name in _names.split():
        _ops[_name].promotion = _promotion
