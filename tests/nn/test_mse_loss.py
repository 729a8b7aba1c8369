"""`MSELoss`: values, gradients, and errors for shapes that would broadcast."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from drawing import T, arrays, checked_array, close, cotangent, gradients, seeds
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tinygrad_fc as tg
from tinygrad_fc.errors import DtypeError, ShapeError

REDUCTIONS = {
    "mean": lambda d: (d * d).mean(),
    "sum": lambda d: (d * d).sum(),
    "none": lambda d: d * d,
    "batchmean": lambda d: (d * d).sum() / d.shape[0],
}


@pytest.mark.parametrize("reduction", sorted(REDUCTIONS))
@given(st.data(), hnp.array_shapes(min_dims=1, max_dims=3, max_side=4), seeds)
def test_mse_loss_and_its_reductions(reduction: str, data: Any, shape: Any, seed: int):
    a, b = data.draw(arrays(shape)), data.draw(arrays(shape))
    x, y = T(a), T(b)
    loss = tg.MSELoss(reduction=reduction)
    out = loss(x, y)
    expected = REDUCTIONS[reduction](a - b)
    close(out.detach().numpy(), expected, tolerance=1e-14)
    assert np.array_equal(out.numpy(), tg.nn.functional.mse_loss(x, y, reduction=reduction).numpy())
    g = cotangent(out.shape, seed)
    count = {"mean": a.size, "batchmean": shape[0]}.get(reduction, 1)
    got = gradients(loss, [x, y], seed)
    close(got[0], 2 * (a - b) * g / count, tolerance=1e-13)
    close(got[1], -got[0], tolerance=1e-15)


def test_mse_loss_of_float32_0d_and_empty_tensors():
    x = T(np.ones((2, 3), np.float32))
    loss = tg.MSELoss()(x, np.zeros((2, 3), np.float32))
    assert loss.dtype == np.float32
    loss.backward()
    assert checked_array(x.grad, x).ravel().tolist() == pytest.approx([1 / 3] * 6)
    (g,) = gradients(
        lambda x: tg.MSELoss(reduction="batchmean")(x, tg.tensor(1.0)), [T(np.asarray(3.0))], 0
    )
    close(g, 4 * cotangent((), 0))
    empty = T(np.zeros((0, 2)))
    for reduction in ("sum", "none"):
        tg.MSELoss(reduction=reduction)(empty, empty.detach()).sum().backward()
        assert empty.grad.shape == (0, 2)


@given(st.integers(2, 5))
def test_mse_loss_raises_for_shapes_that_would_broadcast(n: int):
    for shape, target in (
        ((n, 1), (n,)),
        ((n,), (n, 1)),
        ((n, 2), (2,)),
        ((n, n), (n,)),
        ((n,), (1,)),
        ((n,), ()),
    ):
        for loss in (tg.MSELoss(), tg.nn.functional.mse_loss):
            with pytest.raises(ShapeError) as raised:
                loss(tg.zeros(shape), tg.zeros(target))
            message = str(raised.value)
            assert f"input has shape {shape} and target {target}" in message
            assert str(np.broadcast_shapes(shape, target)) in message
    with pytest.raises(ShapeError, match=rf"target\.reshape\(\({n}, 1\)\)"):
        tg.MSELoss()(tg.zeros(n, 1), tg.zeros(n))
    with pytest.raises(ShapeError, match="do not broadcast"):
        tg.MSELoss()(tg.zeros(n, 2), tg.zeros(n, 3))
    with pytest.raises(DtypeError, match="target is a list, expected a tensor or an array"):
        tg.MSELoss()(tg.zeros(2), [0.0, 0.0])
    with pytest.raises(
        ValueError, match="is 'average', expected one of mean, sum, none, batchmean"
    ):
        tg.nn.functional.mse_loss(tg.zeros(2), tg.zeros(2), reduction="average")


def test_a_nan_target_raises():
    x, y = tg.zeros(3, 2), tg.zeros(3, 2)
    y[1, 0] = np.nan
    with pytest.raises(ValueError, match=r"mse_loss: target is NaN at index \(1, 0\)"):
        tg.nn.functional.mse_loss(x, y)
