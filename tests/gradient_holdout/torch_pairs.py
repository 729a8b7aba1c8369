"""Functions of PyTorch of several arguments that broadcast, and losses."""

from __future__ import annotations

import torch
from torch.nn import functional

from tinygrad_fc.domain import boolean, index, interval, nonzero, positive, real

from .entry import torch_function

SHARE = interval(0, 1, (0.5,))

for _name in ("add", "sub", "mul", "maximum", "minimum", "fmax", "fmin", "logaddexp", "logaddexp2"):
    torch_function(_name, getattr(torch, _name), real, real)
for _name in ("div", "fmod", "remainder"):
    torch_function(
        _name, getattr(torch, _name), interval(-50, 50, (0.0, 1.0)), interval(0.25, 8, (1.0, 2.0))
    )
torch_function("pow", torch.pow, interval(0.01, 20, (1.0, 2.0)), interval(-6, 6, (0.0, 1.0, 2.0)))
torch_function("atan2", torch.atan2, nonzero, nonzero)
torch_function("hypot", torch.hypot, real, real)
torch_function("xlogy", torch.xlogy, real, positive)
torch_function("special.xlog1py", torch.special.xlog1py, real, positive)
torch_function("copysign", torch.copysign, nonzero, nonzero)
torch_function("dist", torch.dist, real("n"), real("n"))
torch_function("lerp", torch.lerp, real, real, interval(-2, 2, (0.0, 1.0, 0.5)))
torch_function("addcmul", lambda a, b, c: torch.addcmul(a, b, c, value=0.5), real, real, real)
torch_function("addcdiv", lambda a, b, c: torch.addcdiv(a, b, c, value=-2), real, real, nonzero)
torch_function("where", torch.where, boolean, real, real)
torch_function("clamp to tensors", torch.clamp, real, interval(-3, 0), interval(0.5, 3))
torch_function("masked_fill", lambda x, m: x.masked_fill(m, 2.0), real("n", "m"), boolean("n", "m"))
torch_function("nn.functional.prelu", functional.prelu, real("n", "c"), real("c"))

for _name in ("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss"):
    torch_function(
        f"nn.functional.{_name}", getattr(functional, _name), real("n", "m"), real("n", "m")
    )
torch_function(
    "nn.functional.binary_cross_entropy",
    functional.binary_cross_entropy,
    SHARE("n", 1),
    SHARE("n", 1),
)
torch_function(
    "nn.functional.binary_cross_entropy_with_logits",
    functional.binary_cross_entropy_with_logits,
    real("n", "m"),
    SHARE("n", "m"),
)
torch_function(
    "nn.functional.kl_div",
    functional.kl_div,
    real("n", "p>=1"),
    positive("n", "q>=1"),
    kinks="skip",
)
torch_function(
    "nn.functional.poisson_nll_loss",
    functional.poisson_nll_loss,
    interval(-20, 20)("n", "m"),
    positive("n", "m"),
)
torch_function(
    "nn.functional.gaussian_nll_loss",
    functional.gaussian_nll_loss,
    real("n", "m"),
    real("n", "m"),
    interval(0.01, 50)("n", "m"),
)
torch_function(
    "nn.functional.soft_margin_loss",
    lambda x, m: functional.soft_margin_loss(x, 2 * m.to(x) - 1),
    real("n", "m"),
    boolean("n", "m"),
)
torch_function(
    "nn.functional.margin_ranking_loss",
    lambda a, b: functional.margin_ranking_loss(a, b, torch.ones_like(a), margin=0.5),
    real("n"),
    real("n"),
)
torch_function(
    "nn.functional.triplet_margin_loss",
    functional.triplet_margin_loss,
    real("n", "p>=1"),
    real("n", "q>=1"),
    real("n", "r>=1"),
)
torch_function(
    "nn.functional.cosine_embedding_loss",
    lambda a, b: functional.cosine_embedding_loss(a, b, torch.ones(len(a)).to(a)),
    nonzero("n", "d"),
    nonzero("n", "d"),
)
torch_function(
    "nn.functional.cross_entropy",
    lambda x, t: functional.cross_entropy(x, t % x.shape[1], label_smoothing=0.1),
    real("n", "c"),
    index("c")("n"),
)
torch_function(
    "nn.functional.nll_loss",
    lambda x, t: functional.nll_loss(x, t % x.shape[1]),
    real("n", "c"),
    index("c")("n"),
)
torch_function(
    "nn.functional.multi_margin_loss",
    lambda x, t: functional.multi_margin_loss(x, t % x.shape[1]),
    real("n", "c"),
    index("c")("n"),
    order=1,
)
torch_function(
    "nn.functional.ctc_loss",
    lambda x, t: functional.ctc_loss(
        x.log_softmax(-1)[:, None], t[None] % 2 + 1, [len(x)], [len(t)]
    ),
    interval(-20, 20)("p>=4", "q>=3"),
    index(2)(1),
    where=lambda x, t: len(x) >= 2 * len(t),
    order=1,
)
