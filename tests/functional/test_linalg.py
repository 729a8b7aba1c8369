"""Determinants, norms and singular values where they are singular or tied; errors; einsum."""

import itertools
import math
from typing import Any

import numpy as np
import pytest
from drawing import T, arrays, assert_equal_derivatives, close, seeds
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tinygrad_fc as tg
from tinygrad_fc.testing import check

la = tg.linalg


def some(*shape: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


# Determinants


def leibniz_determinant(x: Any) -> Any:
    """Return the determinant by the Leibniz formula, with correct derivatives at any matrix."""
    n = x.shape[-1]
    total = 0.0
    for p in itertools.permutations(range(n)):
        sign = (-1) ** sum(p[i] > p[j] for i in range(n) for j in range(i + 1, n))
        term: Any = float(sign)
        for i in range(n):
            term = term * x[i, p[i]]
        total = total + term
    return total


@st.composite
def of_any_rank(draw: st.DrawFn) -> np.ndarray:
    """Draw a matrix of any rank, 0 included, or one whose rows repeat."""
    n = draw(st.integers(1, 4))
    rank, seed = draw(st.integers(0, n)), draw(seeds)
    if draw(st.booleans()):
        return draw(hnp.arrays(float, (n, n), elements=st.sampled_from([0.0, 1.0, -1.0, 2.0])))
    return some(n, rank, seed=seed) @ some(rank, n, seed=seed + 1)


@given(of_any_rank(), seeds)
@settings(max_examples=15)
def test_derivatives_of_det_at_singular_matrices(a: Any, seed: int):
    assert_equal_derivatives(la.det, leibniz_determinant, a, seed)


@given(st.integers(5, 7), st.integers(0, 2), seeds, st.booleans())
def test_gradient_of_det_is_the_cofactor_matrix(n: int, defect: int, seed: int, zeros: bool):
    a = some(n, n - defect, seed=seed) @ some(n - defect, n, seed=seed + 1)
    if zeros:  # then a singular value is exactly 0
        a[0], a[:, -1] = 0, 0
    x = T(a)
    la.det(x).backward()
    minors = [
        [(-1) ** (i + j) * np.linalg.det(np.delete(np.delete(a, i, 0), j, 1)) for j in range(n)]
        for i in range(n)
    ]
    scale = np.linalg.norm(a, 2) ** (n - 1)
    close(x.grad.numpy() / scale, np.array(minors) / scale, tolerance=1e-12)


def test_slogdet_beyond_the_range_of_floats():
    x = T(1e-3 * np.eye(200))
    assert la.det(x).item() == 0
    sign, log = la.slogdet(x)
    assert (sign.item(), log.item()) == (1, pytest.approx(-600 * math.log(10)))
    log.backward()
    close(x.grad.numpy(), 1e3 * np.eye(200))


# Norms


@pytest.mark.parametrize("shape", [(3, 2), (2, 3), (2, 3, 1), (2, 0), (4, 0, 3)])
def test_full_matrices_of_svd_complete_the_bases(shape: tuple[int, ...]):
    a = some(*shape, seed=1)
    x = T(a)
    u, s, vh = la.svd(x)
    n, m = shape[-2:]
    k = min(n, m)
    for basis in (u, vh.mT):
        np.testing.assert_allclose(
            (basis.mT @ basis - tg.eye(basis.shape[-1])).detach(), 0, atol=1e-14
        )
    assert (u.shape[-1], vh.shape[-1]) == (n, m)
    np.testing.assert_allclose(
        (u[..., :k] * s[..., None, :] @ vh[..., :k, :]).detach(), a, atol=1e-14
    )
    assert la.svd(x, full_matrices=False).U.shape[-1] == k
    (u[..., k:].sum() + vh[..., k:, :].sum()).backward()
    assert not x.grad.numpy().any()


@pytest.mark.parametrize("order", [2, -2, "nuc"])
def test_gradients_of_spectral_and_nuclear_norms_at_ties_and_zeros(order: Any):
    for a in (np.zeros((2, 3)), np.eye(3), np.ones((2, 2)), np.zeros((2, 0, 3))):
        if a.size == 0 and order != "nuc":
            continue
        x = T(a)
        la.matrix_norm(x, order).sum().backward()
        assert np.isfinite(x.grad.numpy()).all()
        assert (np.linalg.norm(x.grad.numpy().reshape(-1, a.shape[-1]), 2) if a.size else 0) < 1.01
    if order == "nuc":  # smooth, though the singular values are equal
        check(lambda x: la.matrix_norm(x, order), np.linalg.qr(some(3, 2, seed=0))[0])


def test_equal_eigenvalues_and_a_pseudo_inverse_of_low_rank():
    x = T(np.eye(3))
    (la.eigh(x).eigenvectors ** 2).sum().backward()
    assert np.isfinite(x.grad.numpy()).all()
    a = np.outer([1.0, 2.0, 3.0], [1.0, -1.0])
    p, y, g = np.linalg.pinv(a), T(a), some(2, 3, seed=0)
    close(la.pinv(y).detach().numpy(), p, tolerance=1e-14)
    la.pinv(y).backward(tg.tensor(g))
    expected = (np.eye(3) - a @ p) @ g.T @ p @ p.T + p.T @ p @ g.T @ (np.eye(2) - p @ a)
    close(y.grad.numpy(), expected - p.T @ g @ p.T, tolerance=1e-12)  # Golub and Pereyra, 1973


def test_least_squares_of_several_matrices_and_of_low_rank():
    a, b = some(4, 3, 2, seed=0), some(4, 3, 1, seed=1)
    result = la.lstsq(tg.tensor(a), tg.tensor(b))
    for k in range(4):
        x, residual, rank, values = np.linalg.lstsq(a[k], b[k], None)
        close(result.solution[k].numpy(), x, tolerance=1e-13)
        close(result.residuals[k].numpy(), residual, tolerance=1e-13)
        close(result.singular_values[k].numpy(), values, tolerance=1e-13)
        assert int(result.rank[k]) == rank
    low = tg.ones(3, 2)
    close(la.lstsq(low, tg.ones(3, 1)).solution.numpy(), np.full((2, 1), 0.5), tolerance=1e-14)
    assert la.lstsq(low, tg.ones(3, 1)).residuals.numel() == 0


def test_ranks_and_refusals():
    a = tg.diag(tg.tensor([1.0, 1e-8, 0.0]))
    ranks = la.matrix_rank(a), la.matrix_rank(a, atol=1e-4), la.matrix_rank(a, rtol=1e-9)
    assert [int(r) for r in ranks] == [2, 1, 2]
    assert la.qr(tg.ones(3, 2), "r").Q.numel() == 0
    x = tg.ones(3, 2)
    for name, *arguments in (
        *(("qr", x, "complete"), ("qr", x, "full"), ("eigh", x), ("eigvalsh", x.T @ x, "X")),
        *(("matrix_power", x, 2), ("matrix_power", x.T @ x, 0.5), ("lstsq", x, tg.ones(2, 1))),
        ("solve_triangular", x, tg.ones(2, 1)),
    ):
        with pytest.raises((ValueError, TypeError), match=f"{name}|eigvalsh"):
            getattr(la, name)(*arguments, **{"upper": True} if "solve" in name else {})
    with pytest.raises(np.linalg.LinAlgError, match="singular"):
        la.solve_triangular(tg.zeros(2, 2), tg.ones(2, 1), upper=True)


def test_a_matrix_of_nan_is_not_reported_as_singular():
    x = tg.full((2, 2), math.nan)
    assert np.isnan(la.inv(x).numpy()).all()
    assert np.isnan(la.solve(x, tg.ones(2)).numpy()).all()


# Products


@given(st.data(), st.sampled_from([1.0, 2.0, 3.0, np.inf]))
def test_cdist_equals_numpy(data: Any, p: float):
    a, b = (data.draw(arrays((data.draw(st.integers(0, 3)), 2))) for _ in range(2))
    got = tg.cdist(tg.tensor(a), tg.tensor(b), p)
    expected = [[np.linalg.norm(x - y, p) for y in b] for x in a]
    close(got.numpy(), np.reshape(expected, (len(a), len(b))), tolerance=1e-14)


def test_gradients_of_cdist():
    check(tg.cdist, some(3, 2, seed=0), some(2, 2, seed=1), max_examples=15)


EQUATIONS = "ij,jk->ik ij,kj->ki bij,bjk->bik ijk,kl->lij abc,cbd->da ij,ij->i ab,cd->ad"


@pytest.mark.parametrize("equation", EQUATIONS.split())
def test_einsum_of_large_operands_equals_that_of_numpy(equation: str) -> None:
    rng, sizes = np.random.default_rng(0), dict(zip("abcdijkl", range(9, 20), strict=False))
    terms = equation.partition("->")[0].split(",")
    arrays = [rng.normal(size=[sizes[c] for c in term]) for term in terms]
    tensors = [tg.tensor(a, requires_grad=True) for a in arrays]
    out = tg.einsum(equation, *tensors)
    assert out.is_contiguous()
    np.testing.assert_allclose(out.detach().numpy(), np.einsum(equation, *arrays), atol=1e-9)
    g = rng.normal(size=out.shape)
    gradients = tg.autograd.grad(out, tensors, tg.tensor(g))
    for k, (gradient, a) in enumerate(zip(gradients, arrays, strict=True)):
        d = rng.normal(size=a.shape)
        moved = [d if j == k else b for j, b in enumerate(arrays)]
        expected = (g * np.einsum(equation, *moved)).sum()
        np.testing.assert_allclose((gradient.numpy() * d).sum(), expected, rtol=1e-8)
