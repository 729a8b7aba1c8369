"""What PyTorch's activations, losses and layers refuse, ours refuse too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import tinygrad_fc as tg

if TYPE_CHECKING:
    from collections.abc import Callable

torch = pytest.importorskip("torch")


def zeros(lib: Any, *shape: int) -> Any:
    return lib.zeros(*shape)


def whole(lib: Any, *values: int) -> Any:
    return lib.tensor(list(values))


ERRORS: dict[str, Callable[[Any, Any], Any]] = {
    "class too large": lambda lib, F: F.cross_entropy(zeros(lib, 2, 3), whole(lib, 0, 3)),
    "class below 0": lambda lib, F: F.cross_entropy(zeros(lib, 2, 3), whole(lib, 0, -1)),
    "class not there": lambda lib, F: F.nll_loss(zeros(lib, 2, 3), whole(lib, 0, 3)),
    "fewer classes than samples": lambda lib, F: F.cross_entropy(zeros(lib, 2, 3), whole(lib, 0)),
    "classes as floats": lambda lib, F: F.cross_entropy(zeros(lib, 2, 3), zeros(lib, 2)),
    "probabilities as integers": lambda lib, F: F.cross_entropy(
        zeros(lib, 1, 2), lib.tensor([[0, 1]])
    ),
    "wrong class weights": lambda lib, F: F.cross_entropy(
        zeros(lib, 2, 3), whole(lib, 0, 1), weight=zeros(lib, 2)
    ),
    "too much smoothing": lambda lib, F: F.cross_entropy(
        zeros(lib, 2, 3), whole(lib, 0, 1), label_smoothing=1.5
    ),
    "ignored probabilities": lambda lib, F: F.cross_entropy(
        zeros(lib, 2, 3), zeros(lib, 2, 3), ignore_index=1
    ),
    "no probability": lambda lib, F: F.binary_cross_entropy(lib.ones(1) * 2, lib.ones(1)),
    "shapes of BCE": lambda lib, F: F.binary_cross_entropy_with_logits(
        zeros(lib, 2, 1), zeros(lib, 2)
    ),
    "negative variance": lambda lib, F: F.gaussian_nll_loss(
        zeros(lib, 2), zeros(lib, 2), -lib.ones(2)
    ),
    "shape of variance": lambda lib, F: F.gaussian_nll_loss(
        zeros(lib, 2), zeros(lib, 2), lib.ones(3)
    ),
    "unknown reduction": lambda lib, F: F.mse_loss(zeros(lib, 2), zeros(lib, 2), reduction="x"),
    "negative delta": lambda lib, F: F.huber_loss(zeros(lib, 2), zeros(lib, 2), delta=-1.0),
    "negative beta": lambda lib, F: F.smooth_l1_loss(zeros(lib, 2), zeros(lib, 2), beta=-1.0),
    "shape of weights": lambda lib, F: F.mse_loss(zeros(lib, 2), zeros(lib, 2), weight=lib.ones(1)),
    "p of multi margin": lambda lib, F: F.multi_margin_loss(
        zeros(lib, 2, 3), whole(lib, 0, 1), p=3
    ),
    "margin of triplets": lambda lib, F: F.triplet_margin_loss(*[zeros(lib, 2, 3)] * 3, margin=0),
    "cosine of what": lambda lib, F: F.cosine_embedding_loss(
        zeros(lib, 2, 3), zeros(lib, 2, 3), lib.ones(2, 1)
    ),
    "approximation": lambda lib, F: F.gelu(zeros(lib, 2), approximate="sin"),
    "odd halves": lambda lib, F: F.glu(zeros(lib, 3)),
    "negative lambd": lambda lib, F: F.softshrink(zeros(lib, 3), -1.0),
    "alpha of CELU": lambda lib, F: F.celu(zeros(lib, 3), 0),
    "crossed bounds": lambda lib, F: lib.nn.Hardtanh(1.0, -1.0)(zeros(lib, 2)),
    "slopes of PReLU": lambda lib, F: lib.nn.PReLU(3)(zeros(lib, 2, 4)),
    "axis of softmax": lambda lib, F: lib.nn.Softmax(2)(zeros(lib, 2, 4)),
    "one value": lambda lib, F: lib.nn.BatchNorm1d(3)(zeros(lib, 1, 3)),
    "features": lambda lib, F: lib.nn.BatchNorm1d(3)(zeros(lib, 2, 4)),
    "axes of batch norm": lambda lib, F: lib.nn.BatchNorm1d(3)(zeros(lib, 3)),
    "no running mean": lambda lib, F: F.batch_norm(zeros(lib, 2, 3), None, None),
    "one value long": lambda lib, F: lib.nn.InstanceNorm1d(3)(zeros(lib, 2, 3, 1)),
    "normalized shape": lambda lib, F: lib.nn.LayerNorm(3)(zeros(lib, 2, 4)),
    "fewer axes": lambda lib, F: lib.nn.LayerNorm((2, 3))(zeros(lib, 3)),
    "RMS shape": lambda lib, F: lib.nn.RMSNorm(3)(zeros(lib, 2, 4)),
    "groups": lambda lib, F: lib.nn.GroupNorm(2, 3),
    "channels": lambda lib, F: lib.nn.GroupNorm(2, 4)(zeros(lib, 2, 6)),
    "chance": lambda lib, F: lib.nn.Dropout(1.5),
    "negative chance": lambda lib, F: F.dropout(zeros(lib, 2), -0.1),
    "no such row": lambda lib, F: lib.nn.Embedding(3, 2)(whole(lib, 3)),
    "row as float": lambda lib, F: lib.nn.Embedding(3, 2)(zeros(lib, 1)),
    "no such padding": lambda lib, F: F.embedding(whole(lib, 0), lib.ones(2, 2), padding_idx=2),
    "sizes": lambda lib, F: lib.nn.Unflatten(1, (2, 2))(zeros(lib, 2, 6)),
    "width": lambda lib, F: lib.nn.Bilinear(2, 3, 4)(zeros(lib, 2, 3), zeros(lib, 2, 3)),
    "no features": lambda lib, F: lib.nn.Bilinear(0, 3, 4),
    "class in one_hot": lambda lib, F: F.one_hot(whole(lib, 3), 2),
    "negative in one_hot": lambda lib, F: F.one_hot(whole(lib, -2)),
    "floats in one_hot": lambda lib, F: F.one_hot(zeros(lib, 2)),
}


@pytest.mark.parametrize("name", ERRORS)
def test_both_refuse(name: str):
    for lib in (torch, tg):
        with pytest.raises(
            (ValueError, RuntimeError, TypeError, IndexError, ArithmeticError, AssertionError)
        ):
            ERRORS[name](lib, lib.nn.functional)
