"""Normalised and orthogonal weights, under the names of `torch.nn.utils.parametrizations`."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_fc.core.errors import check_argument
from tinygrad_fc.core.node import array_of
from tinygrad_fc.functional.creation import as_tensor, eye
from tinygrad_fc.functional.equations import solve
from tinygrad_fc.functional.joining import cat
from tinygrad_fc.nn import functional as F
from tinygrad_fc.nn.module import Module
from tinygrad_fc.nn.parameter import Parameter
from tinygrad_fc.nn.utils.parametrize import (
    derive,
    register_parametrization,
    remove_parametrizations,
    restore,
)
from tinygrad_fc.random import randn

__all__ = ["orthogonal", "spectral_norm", "weight_norm"]


class _WeightNorm(Module):
    """`g * v / |v|`, with norms along all axes but `dim`, or of all elements for None and -1."""

    def __init__(self, dim: int | None) -> None:
        self.dim = dim

    def forward(self, g: Any, v: Any) -> Any:
        return v * (g / self.right_inverse(v)[0])

    def right_inverse(self, weight: Any) -> tuple[Any, Any]:
        """Return g and v."""
        if self.dim in (None, -1):
            return weight.norm(), weight
        dims = tuple(k for k in range(weight.ndim) if k != self.dim)
        return weight.norm(dim=dims, keepdim=True), weight


def weight_norm(module: Any, name: str = "weight", dim: int | None = 0) -> Any:
    """Parametrize a weight by its norms and its direction, `g * v / |v|`; return `module`.

    Salimans and Kingma, "Weight normalization", 2016. `original0` is g, the norms along all axes
    but `dim`, or the norm of all elements for None; `original1` is v.

    >>> import tinygrad_fc as tg
    >>> [name for name, _ in weight_norm(tg.nn.Linear(3, 2)).named_parameters()][1]
    'parametrizations.weight.original0'
    """
    return register_parametrization(module, name, _WeightNorm(dim), unsafe=True)


def older_weight_norm(module: Any, name: str = "weight", dim: int | None = 0) -> Any:
    """Compute a weight as `g * v / |v|`, from `<name>_g` and `<name>_v`: `nn.utils.weight_norm`.

    >>> import tinygrad_fc as tg
    >>> [name for name, _ in tg.nn.utils.weight_norm(tg.nn.Linear(3, 2)).named_parameters()]
    ['bias', 'weight_g', 'weight_v']
    """
    norm, weight = _WeightNorm(dim), getattr(module, name)
    delattr(module, name)
    for part, value in zip("gv", norm.right_inverse(weight.detach()), strict=True):
        module.register_parameter(f"{name}_{part}", Parameter(value))
    derive(module, name, lambda m: norm(m._parameters[f"{name}_g"], m._parameters[f"{name}_v"]))
    return module


def remove_weight_norm(module: Any, name: str = "weight") -> Any:
    """Make a weight of `nn.utils.weight_norm` a parameter again; return `module`."""
    return restore(module, name, getattr(module, name), "g", "v")


def remove_spectral_norm(module: Any, name: str = "weight") -> Any:
    """Make a weight of `spectral_norm` a parameter again; return `module`."""
    return remove_parametrizations(module, name)


class _SpectralNorm(Module):
    """The weight divided by its largest singular value; buffers are its singular vectors u, v."""

    _u: Any
    _v: Any

    def __init__(self, weight: Any, n_power_iterations: int, eps: float, dim: int | None) -> None:
        iterations = {"n_power_iterations": n_power_iterations}
        check_argument(n_power_iterations >= 1, "spectral_norm", "at least 1", **iterations)
        self.n_power_iterations, self.eps, self.dim = n_power_iterations, eps, dim or 0
        rows, columns = self._matrix(weight).shape
        self.register_buffer("_u", randn(rows, dtype=weight.dtype))
        self.register_buffer("_v", randn(columns, dtype=weight.dtype))
        self._iterate(weight, 15)

    def _matrix(self, weight: Any) -> Any:
        return weight.movedim(self.dim, 0).flatten(1)

    def _iterate(self, weight: Any, count: int) -> None:
        matrix = self._matrix(weight.detach())
        for _ in range(count):
            self._u.copy_(F.normalize(matrix @ self._v, dim=0, eps=self.eps))
            self._v.copy_(F.normalize(matrix.T @ self._u, dim=0, eps=self.eps))

    def forward(self, weight: Any) -> Any:
        if self.training:
            self._iterate(weight, self.n_power_iterations)
        u, v = self._u.clone(), self._v.clone()  # a later call changes them, before a backward pass
        return weight / (u @ (self._matrix(weight) @ v))

    def right_inverse(self, weight: Any) -> Any:
        """Return the weight."""
        return weight


def spectral_norm(
    module: Any,
    name: str = "weight",
    n_power_iterations: int = 1,
    eps: float = 1e-12,
    dim: int | None = None,
) -> Any:
    """Divide a weight by its largest singular value; return `module`.

    Miyato et al., "Spectral normalization for generative adversarial networks", 2018. In training
    mode each use runs `n_power_iterations` of the power method. Axis `dim`, by default 0, has the
    rows of the matrix; norms are at least `eps`.

    >>> import tinygrad_fc as tg
    >>> layer = spectral_norm(tg.nn.Linear(3, 2), n_power_iterations=100)
    >>> bool((tg.linalg.svdvals(layer.weight)[0] - 1).abs() < 1e-3)
    True
    """
    norm = _SpectralNorm(getattr(module, name), n_power_iterations, eps, dim)
    return register_parametrization(module, name, norm)


# Orthogonal matrices


def _matrix_exp(a: Any, one: Any) -> Any:
    """Return exp(a) = exp(a / 2^s)^(2^s), where the Taylor series converges in a few terms."""
    norm = np.abs(array_of(a)).sum(-1).max(initial=0)
    squarings = next((k for k in range(64) if not norm >= 2.0 ** (k - 1)), 0)
    result = one
    for k in range(16, 0, -1):
        result = one + a @ result / (k * 2.0**squarings)
    for _ in range(squarings):
        result = result @ result
    return result


def _householder(x: Any, one: Any) -> Any:
    """Return the first columns of the product of reflections in the columns of `x` (n, k).

    Their normals are the entries below the diagonal, and 1 on it; the diagonal has the signs of the
    columns.
    """
    result = one = one[:, : x.shape[-1]]
    normals = x.tril(-1) + one
    for k in reversed(range(x.shape[-1])):
        v = normals[:, k : k + 1]
        result = result - v @ (v.T @ result) * (2 / (v * v).sum())
    return result * (x.detach() * one).sum(0)


_MAPS = {"matrix_exp": _matrix_exp, "householder": _householder}
_MAPS["cayley"] = lambda a, one: solve(one - a / 2, one + a / 2)


class _Orthogonal(Module):
    """`base`, a square orthogonal matrix, times a map of a matrix; transposed for wide weights."""

    def __init__(self, orthogonal_map: str) -> None:
        self.orthogonal_map = orthogonal_map
        self.register_buffer("base", None)

    def forward(self, x: Any) -> Any:
        wide = x.shape[0] < x.shape[1]
        x = x.T if wide else x
        rows, columns = x.shape
        if self.orthogonal_map != "householder":
            x = cat([x.tril(), x.new_zeros((rows, rows - columns))], 1)
            x = x - x.T
        q = _MAPS[self.orthogonal_map](x, eye(rows, dtype=x.dtype))[:, :columns]
        return (self.base @ q).T if wide else self.base @ q

    def right_inverse(self, weight: Any) -> Any:
        """Set `base` to a matrix that begins with the weight; return -I: all its maps are I."""
        rows, columns = max(weight.shape), min(weight.shape)
        q = weight if weight.shape[0] == rows else weight.T
        q, r = np.linalg.qr(cat([q, randn(rows, rows - columns, dtype=q.dtype)], 1).numpy())
        self.base = as_tensor(q * np.where(np.diagonal(r) < 0, -1, 1).astype(q.dtype))
        return -eye(*weight.shape, dtype=weight.dtype)


def orthogonal(
    module: Any,
    name: str = "weight",
    orthogonal_map: str | None = None,
    *,
    use_trivialization: bool = True,
) -> Any:
    """Make a matrix orthogonal: its rows or its columns, the fewer ones, are orthonormal.

    `orthogonal_map` is the function of the unconstrained parameter: "matrix_exp" of a
    skew-symmetric matrix A, "cayley", (I + A / 2) (I - A / 2)^-1, or "householder", a product of
    reflections, by default for matrices that are not square. A fixed matrix `base` times its value
    is the weight (Lezcano-Casado, "Trivializations for gradient-based optimization on manifolds",
    2019); there is no `use_trivialization=False`. Raises `ValueError` for it, and for other axes.

    >>> import tinygrad_fc as tg
    >>> layer = orthogonal(tg.nn.Linear(3, 2))
    >>> bool(tg.allclose(layer.weight @ layer.weight.T, tg.eye(2)))
    True
    """
    check_argument(use_trivialization, "orthogonal", "True", use_trivialization=use_trivialization)
    weight = getattr(module, name)
    check_argument(weight.ndim == 2, "orthogonal", "the name of a matrix", name=name)
    square = weight.shape[0] == weight.shape[1]
    chosen = orthogonal_map or ("matrix_exp" if square else "householder")
    check_argument(chosen in _MAPS, "orthogonal", tuple(_MAPS), orthogonal_map=chosen)
    return register_parametrization(module, name, _Orthogonal(chosen), unsafe=True)
