"""Functions of PyTorch of one number."""

from __future__ import annotations

import torch
from torch.nn import functional

from tinygrad_fc.domain import Domain, interval, nonzero, positive, real

from .entry import torch_function

UNIT = interval(-1, 1, (0.0, 0.5))
SHARE = interval(0, 1, (0.5,))
AROUND = interval(-30, 30, (0.0, 1.0, -1.0))

CURVES: tuple[tuple[str, Domain], ...] = (
    *(("sin", real), ("cos", real), ("tan", interval(-1.5, 1.5, (0.0, 1.0)))),
    *(("asin", UNIT), ("acos", UNIT), ("atan", real)),
    *(("sinh", AROUND), ("cosh", AROUND), ("tanh", real)),
    *(("asinh", real), ("acosh", interval(1, 1e3, (2.0,))), ("atanh", UNIT)),
    *(("exp", AROUND), ("exp2", AROUND), ("expm1", AROUND)),
    *(
        ("log", positive),
        ("log2", positive),
        ("log10", positive),
        ("log1p", interval(-1, 1e4, (0.0,))),
    ),
    *(("sqrt", positive), ("rsqrt", positive), ("reciprocal", nonzero), ("square", real)),
    *(("abs", real), ("sign", real), ("floor", real), ("trunc", real), ("frac", real)),
    *(("sigmoid", real), ("erf", real), ("erfc", AROUND), ("sinc", real), ("deg2rad", real)),
    *(("erfinv", UNIT), ("lgamma", positive), ("digamma", positive), ("logit", SHARE)),
)
SPECIAL: tuple[tuple[str, Domain], ...] = (
    *(("entr", positive), ("i0", AROUND), ("i0e", AROUND), ("i1", AROUND), ("i1e", AROUND)),
    *(("ndtr", AROUND), ("ndtri", SHARE), ("log_ndtr", AROUND), ("erfcx", AROUND)),
)
LAYERS: tuple[str, ...] = (
    *("relu", "relu6", "elu", "selu", "celu", "gelu", "silu", "mish", "softplus", "softsign"),
    *("softshrink", "hardshrink", "tanhshrink", "hardtanh", "hardsigmoid", "hardswish"),
    *("logsigmoid", "leaky_relu"),
)

for _name, _domain in CURVES:
    torch_function(_name, getattr(torch, _name), _domain)
for _name, _domain in SPECIAL:
    torch_function(f"special.{_name}", getattr(torch.special, _name), _domain)
for _name in LAYERS:
    _order = 1 if _name == "hardsigmoid" else 2  # which has no second derivative
    torch_function(f"nn.functional.{_name}", getattr(functional, _name), real, order=_order)

torch_function("nn.functional.gelu tanh", lambda x: functional.gelu(x, approximate="tanh"), real)
torch_function("nn.functional.softplus 3", lambda x: functional.softplus(x, beta=3), real)
torch_function("nn.functional.threshold", lambda x: functional.threshold(x, 0.5, 0.5), real)
torch_function("clamp", lambda x: torch.clamp(x, -1, 2), real)
torch_function("polygamma", lambda x: torch.polygamma(2, x), positive)
torch_function("special.multigammaln", lambda x: torch.special.multigammaln(x, 3), interval(1, 50))
torch_function("pow 3.5", lambda x: torch.pow(x, 3.5), positive)
torch_function("pow -2", lambda x: torch.pow(x, -2), nonzero)
torch_function("2 ** x", lambda x: torch.pow(2, x), AROUND)
torch_function("nan_to_num", torch.nan_to_num, real)
