"""Functions of PyTorch of rows: reductions, running sums, norms, orders, picking."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional

from tinygrad_fc.domain import distinct, index, interval, nonzero, positive, real

from .entry import torch_function

if TYPE_CHECKING:
    from collections.abc import Callable

NM = real("n", "m")
SOME = real("n", "p>=1")


def along(f: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function along the last axis."""
    return lambda x: f(x, -1)


def first(f: Callable[..., Any]) -> Callable[..., Any]:
    """Return the values of a function that returns places as well."""
    return lambda x: f(x, -1)[0]


for _name in ("sum", "mean", "logsumexp", "prod", "amax", "amin", "nansum"):
    torch_function(_name, along(getattr(torch, _name)), SOME)
for _name in ("cumsum", "cumprod", "logcumsumexp", "softmax", "log_softmax"):
    torch_function(_name, along(getattr(torch, _name)), NM)
for _name in ("max", "min", "median", "mode", "sort", "cummax", "cummin"):
    torch_function(_name, first(getattr(torch, _name)), SOME)
for _name in ("var", "std"):
    torch_function(_name, along(getattr(torch, _name)), real("n", "p>=2"))
for _p in (1, 2, 3, float("inf")):
    torch_function(
        f"linalg.vector_norm {_p}", lambda x, p=_p: torch.linalg.vector_norm(x, p, -1), SOME
    )
torch_function("topk", lambda x: torch.topk(x, 2)[0], real("n", "p>=2"))
torch_function("kthvalue", lambda x: torch.kthvalue(x, 2)[0], distinct("n", "p>=2"))
torch_function("quantile", lambda x: torch.quantile(x, 0.3, -1), SOME)
torch_function("msort", torch.msort, NM)
torch_function("diff", lambda x: torch.diff(x, n=2), real("n", "p>=3"))
torch_function("trapezoid", torch.trapezoid, real("n", "m"), real("n", "m"))
torch_function("cumulative_trapezoid", torch.cumulative_trapezoid, real("n", "p>=2"))
torch_function("renorm", lambda x: torch.renorm(x, 2, 0, 1.5), SOME)
torch_function("cov", torch.cov, real("n", "p>=2"))
torch_function(
    "nn.functional.normalize",
    functional.normalize,
    real("n", "p>=2"),
    where=lambda x: bool((abs(x).max(-1) > 1e-3).all()),
)
torch_function(
    "nn.functional.cosine_similarity",
    functional.cosine_similarity,
    nonzero("n", "d"),
    nonzero("n", "d"),
)
torch_function("nn.functional.pairwise_distance", functional.pairwise_distance, NM, NM)
torch_function("cdist", torch.cdist, real("n", "d"), real("m", "d"), order=1)
torch_function(
    "cdist 1", lambda x, y: torch.cdist(x, y, 1), real("n", "d"), real("m", "d"), order=1
)
# Of no points its gradient ends the process.
torch_function(
    "nn.functional.pdist", functional.pdist, real("n", "d"), where=lambda x: len(x) > 0, order=1
)
torch_function("nn.functional.glu", lambda x: functional.glu(torch.cat([x, x * x], -1)), NM)
torch_function(
    "nn.functional.layer_norm",
    lambda x, w, b: functional.layer_norm(x, x.shape[-1:], w, b),
    real("n", "m"),
    real("m"),
    real("m"),
)
torch_function(
    "nn.functional.rms_norm",
    lambda x, w: functional.rms_norm(x, x.shape[-1:], w, 1e-5),
    real("n", "m"),
    real("m"),
)
torch_function(
    "nn.functional.group_norm", lambda x: functional.group_norm(x, 2), real("p>=1", "c", "l")
)
torch_function(
    "nn.functional.batch_norm",
    lambda x, w, b: functional.batch_norm(x, None, None, w, b, training=True),
    real("p>=2", "c"),
    real("c"),
    real("c"),
)
torch_function(
    "nn.functional.local_response_norm",
    lambda x: functional.local_response_norm(x, 2),
    real("n", "c", "l"),
)


def _wrapped(f: Any) -> Any:
    """Return a function whose indices count from the end as well."""
    return lambda x, i: f(x, i % max(x.shape[0], 1))


torch_function(
    "gather", _wrapped(lambda x, i: torch.gather(x, 0, i)), real("n", "m"), index("n")("k", "m")
)
torch_function(
    "index_select", _wrapped(lambda x, i: x.index_select(0, i)), real("n", "m"), index("n")("k")
)
torch_function("take", _wrapped(torch.take), real("n"), index("n")("k"))
torch_function(
    "nn.functional.embedding",
    _wrapped(lambda x, i: functional.embedding(i, x)),
    real("n", "m"),
    index("n")("k"),
)
torch_function(
    "nn.functional.embedding_bag",
    _wrapped(lambda x, i: functional.embedding_bag(i[None], x, mode="mean")),
    real("n", "m"),
    index("n")(1),
    order=1,
)
torch_function(
    "scatter_add",
    lambda x, s, i: x.scatter_add(0, i % len(x), s),
    real("n"),
    real("k"),
    index("n")("k"),
)
torch_function(
    "index_add",
    lambda x, s, i: x.index_add(0, i % len(x), s, alpha=2),
    real("n", "m"),
    real("k", "m"),
    index("n")("k"),
)
torch_function(
    "scatter_reduce amax",
    lambda x, s, i: x.scatter_reduce(0, i % len(x), s, "amax"),
    real("n"),
    real("k"),
    index("n")("k"),
)
torch_function(
    "scatter_reduce prod",
    lambda x, s, i: x.scatter_reduce(0, i % len(x), s, "prod"),
    real("n"),
    real("k"),
    index("n")("k"),
    order=1,  # PyTorch refuses the second, and says so
)
torch_function("repeat_interleave", lambda x: x.repeat_interleave(3, 0), real("n", "m"))
torch_function("roll", lambda x: x.roll((1, 2), (0, 1)), NM)
torch_function("tril", torch.tril, NM)
torch_function("as_strided", lambda x: x.as_strided((2, 2), (1, 1)), real("p>=3"))
torch_function("unfold", lambda x: x.unfold(-1, 2, 1), real("n", "p>=2"))
torch_function(
    "fft.rfft", lambda x: torch.view_as_real(torch.fft.rfft(x)).square().sum(-1), real("n", "p>=1")
)
torch_function("fft.irfft", lambda x: torch.fft.irfft(torch.complex(x, x * x)), real("n", "p>=2"))
torch_function(
    "special.softmax of log", lambda x: torch.softmax(x.log(), -1), positive("n", "p>=1")
)
torch_function(
    "cross",
    torch.linalg.cross,
    interval(-9, 9)("n", "p>=3"),
    interval(-9, 9)("n", "q>=3"),
    where=lambda x, y: x.shape[-1] == y.shape[-1] == 3,
)
