"""Memory that arguments share with changed tensors, and changes made before an exception."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_fc as tg

from .twins import same


@pytest.mark.parametrize(
    "view",
    [lambda w: w.detach(), lambda w: w.detach()[1:], lambda w: w.detach().t(), lambda w: w.numpy()],
)
def test_an_argument_that_shares_memory_with_a_changed_tensor(view: Any):
    weights = [tg.ones(3, 3, requires_grad=True) for _ in range(2)]

    def function(weight: Any) -> Any:
        def step(x: Any) -> Any:
            with tg.no_grad():
                weight.mul_(2.0)
            return x * 1.0 + 1.0

        return step

    compiled, eager = tg.compile(function(weights[0]), backend="numpy"), function(weights[1])
    other = np.ones_like(view(weights[0]))
    for shared in (False, True, False, True):
        args = [view(w) if shared else other for w in weights]
        same("result", compiled(args[0]), eager(args[1]))
        same("weight", weights[0].detach(), weights[1].detach())


def test_changes_before_an_exception_are_kept():
    total = tg.zeros(1)

    @tg.compile(backend="numpy")
    def step(x: Any) -> Any:
        total.add_(1.0)
        if x.shape[0] > 2:
            raise KeyError("too long")
        return x + total

    step(tg.ones(1))
    with pytest.raises(KeyError, match="too long"):
        step(tg.ones(3))
    assert total.item() == 2


def test_data_of_an_epoch_have_one_number_of_rows():
    compiled = tg.compile(lambda x, y: x.sum() + y.sum(), backend="numpy")
    for data in ((tg.ones(5), tg.ones(2)), (), (tg.ones(()), tg.ones(3))):
        with pytest.raises(tg.errors.ShapeError, match="epoch: the data have shapes"):
            compiled.epoch([[0, 1]], *data)


def test_the_sign_of_a_constant_zero():
    compiled = tg.compile(lambda x: (x + 1, tg.full((3,), -0.0)), backend="numpy")
    for _ in range(2):
        assert np.signbit(compiled(tg.ones(1))[1].numpy()).all()
