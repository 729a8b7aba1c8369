"""Functions of PyTorch of matrices, images and networks."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch.nn import functional

from tinygrad_fc.domain import interval, real

from .entry import torch_function

N, M, K = "n", "m", "k"
ANY = real("n", "m")
SQUARE = real("n", "n")


def well_posed(a: Any, *_: Any) -> bool:
    """Tell whether the matrices `a` lose at most four digits."""
    return a.size == 0 or bool(np.all(np.linalg.cond(a) < 1e4))


def separate(a: Any) -> bool:
    """Tell whether no two singular values are near, nor any near 0."""
    s = np.linalg.svd(a, compute_uv=False)
    return bool(np.all(-np.diff(s) > 0.05)) and bool(np.all(s > 0.05))


def positive_definite(a: torch.Tensor) -> torch.Tensor:
    """Return 1 + a a'."""
    return torch.eye(a.shape[-1], dtype=a.dtype) + a @ a.mT


def recurrence(x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    """Return h = tanh(h w + x) after all rows."""
    h = torch.zeros_like(w)
    for row in x:
        h = torch.tanh(h * w + row)
    return h


torch_function("mm", torch.mm, real(N, K), real(K, M))
torch_function("mv", torch.mv, real(N, K), real(K))
torch_function("dot", torch.dot, real(N), real(N))
torch_function("bmm", torch.bmm, real("b", N, K), real("b", K, M))
torch_function("matmul", torch.matmul, real, real, signature="(n,k),(k,m)->(n,m)")
torch_function(
    "addmm",
    lambda c, a, b: torch.addmm(c, a, b, beta=0.5, alpha=2),
    real(N, M),
    real(N, K),
    real(K, M),
)
torch_function("outer", torch.outer, real(N), real(M))
torch_function("kron", torch.kron, real(N, M), real(K, "l"))
torch_function("einsum", lambda a, b: torch.einsum("ij,kj->ki", a, b), real(N, M), real(K, M))
torch_function("trace", torch.trace, ANY)
torch_function("diagonal", lambda a: torch.diagonal(a, 1), real("p>=1", "q>=2"))
torch_function("linalg.det", torch.linalg.det, SQUARE)
torch_function("linalg.slogdet", lambda a: torch.linalg.slogdet(a)[1], SQUARE, where=well_posed)
torch_function("linalg.inv", torch.linalg.inv, SQUARE, where=well_posed)
torch_function("linalg.solve", torch.linalg.solve, SQUARE, real(N, M), where=well_posed)
torch_function("linalg.pinv", torch.linalg.pinv, ANY, where=separate)
torch_function("linalg.svdvals", torch.linalg.svdvals, ANY, where=separate)
torch_function("linalg.eigvalsh", lambda a: torch.linalg.eigvalsh(a @ a.mT), SQUARE, where=separate)
torch_function(
    "linalg.cholesky",
    lambda a: torch.linalg.cholesky(positive_definite(a)),
    interval(-8, 8, (0.0, 1.0))(N, N),
)
torch_function(
    "cholesky_inverse",
    lambda a: torch.cholesky_inverse(torch.linalg.cholesky(positive_definite(a))),
    interval(-4, 4, (0.0, 1.0))(N, N),
)
torch_function(
    "linalg.solve_triangular",
    lambda a, b: torch.linalg.solve_triangular(
        a.tril() + 20 * torch.eye(len(a), dtype=a.dtype), b, upper=False
    ),
    interval(-8, 8, (0.0, 1.0))(N, N),
    real(N, M),
)
torch_function("linalg.matrix_power", lambda a: torch.linalg.matrix_power(a, 3), SQUARE)
torch_function("linalg.matrix_exp", torch.linalg.matrix_exp, interval(-4, 4, (0.0, 1.0))(N, N))
torch_function(
    "linalg.matrix_norm nuclear", lambda a: torch.linalg.matrix_norm(a, "nuc"), ANY, where=separate
)
torch_function("linalg.matrix_norm fro", torch.linalg.matrix_norm, ANY)
torch_function("linalg.qr", lambda a: torch.linalg.qr(a)[1].abs(), SQUARE, where=well_posed)
torch_function(
    "linalg.lstsq",
    lambda a, b: torch.linalg.lstsq(a, b)[0],
    real("p>=3", "q>=2"),
    real("p>=3", M),
    where=lambda a, b: a.shape[0] == b.shape[0] >= a.shape[1] and separate(a),
)

torch_function("nn.functional.linear", functional.linear, real(N, K), real(M, K), real(M))
torch_function(
    "nn.functional.bilinear", functional.bilinear, real("b", N), real("b", M), real("o", N, M)
)
torch_function(
    "nn.functional.conv1d",
    lambda x, w: functional.conv1d(x, w, padding=1, stride=2),
    real("b", "c", "p>=3"),
    real("o", "c", "q>=2"),
)
torch_function(
    "nn.functional.conv2d",
    functional.conv2d,
    real("p>=1", "c", "q>=3", "r>=3"),
    real("o", "c", "s>=2", "u>=1"),
)
torch_function(
    "nn.functional.conv_transpose1d",
    lambda x, w: functional.conv_transpose1d(x, w, stride=2),
    real("b", "c", "p>=2"),
    real("c", "o", "q>=2"),
)
torch_function(
    "nn.functional.max_pool1d", lambda x: functional.max_pool1d(x, 2, 1), real("p>=1", "c", "q>=3")
)
torch_function(
    "nn.functional.avg_pool1d", lambda x: functional.avg_pool1d(x, 2, 1), real("p>=1", "c", "q>=3")
)
torch_function(
    "nn.functional.adaptive_avg_pool1d",
    lambda x: functional.adaptive_avg_pool1d(x, 2),
    real("p>=1", "q>=1", "r>=3"),
)
torch_function(
    "nn.functional.lp_pool1d", lambda x: functional.lp_pool1d(x, 3, 2), real("p>=1", "c", "q>=3")
)
torch_function(
    "nn.functional.interpolate linear",
    lambda x: functional.interpolate(x, scale_factor=2, mode="linear"),
    real("p>=1", "q>=1", "r>=2"),
)
torch_function(
    "nn.functional.interpolate bicubic",
    lambda x: functional.interpolate(x, scale_factor=2, mode="bicubic"),
    real("p>=1", "q>=1", "r>=2", "s>=2"),
)
torch_function(
    "nn.functional.grid_sample",
    lambda x, g: functional.grid_sample(x, torch.stack([g, g * g], -1)[None], align_corners=False),
    real("p>=1", "q>=1", "r>=3", "s>=3"),
    interval(-1.2, 1.2, (0.0, 0.5))("u>=2", "v>=2"),
    where=lambda x, g: x.shape[0] == 1,
    order=1,
)
torch_function(
    "nn.functional.pad reflect",
    lambda x: functional.pad(x, (1, 1), mode="reflect"),
    real("c", "p>=2"),
)
torch_function(
    "nn.functional.pad circular",
    lambda x: functional.pad(x, (1, 1), mode="circular"),
    real("c", "p>=1", "q>=2"),
)
torch_function(
    "nn.functional.pixel_shuffle",
    lambda x: functional.pixel_shuffle(torch.cat([x] * 4, 0), 2),
    real("p>=1", "n", "m"),
)
torch_function(
    "nn.functional.unfold", lambda x: functional.unfold(x, 2), real("p>=1", "q>=1", "r>=2", "s>=2")
)
torch_function(
    "nn.functional.scaled_dot_product_attention",
    functional.scaled_dot_product_attention,
    real("n", "d"),
    real("m", "d"),
    real("m", "c"),
)
torch_function("tanh of a recurrence", recurrence, real("t", "n"), real("n"))
