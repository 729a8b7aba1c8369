"""Every loss with every option in native code: whole training steps, beside eager ones.

The native source is run by Python (`kit.native_interpreter`), as hundreds of them are quick there.
"""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pytest
from kit.native_cases import agree
from kit.native_interpreter import interpreting

import tinygrad_fc as tg
from tinygrad_fc import nn, optim

if TYPE_CHECKING:
    from collections.abc import Callable

rng = np.random.default_rng(0)
X, Y = rng.standard_normal((6, 5)), rng.random((6, 3))
CLASSES, CHANCES = np.array([0, 1, 2, 1, 0, 2]), rng.dirichlet(np.ones(3), 6)
SIGNS = np.where(Y > 0.5, 1.0, -1.0)
OF_CLASSES, OF_ALL = np.array([1.0, 2.0, 0.5]), np.linspace(0.1, 2, 18).reshape(6, 3)
REDUCTIONS = ("mean", "sum", "none")
BATCHED = (*REDUCTIONS, "batchmean")
SLACK = {"float64": 1e-13, "float32": 1e-5}
"""Of parameters and losses of about 1, after a few steps."""


class Row(NamedTuple):
    """A loss, what it is given after a prediction (6, 3) through `last`, and all its options."""

    loss: str
    targets: tuple[Any, ...]
    options: dict[str, tuple[Any, ...]]
    last: Callable[[], nn.Module] = nn.Identity


def _logarithms() -> nn.Module:
    return nn.LogSoftmax(dim=1)


WEIGHT = {"weight": (None, OF_CLASSES)}
WEIGHTS = {"weight": (None, OF_CLASSES, OF_ALL)}
IGNORED = {"ignore_index": (-100, 1)}
SMOOTHED = {"label_smoothing": (0.0, 0.1)}
MARGIN = {"margin": (0.2, 1.0)}
ROWS = (
    Row("MSELoss", (Y,), {"reduction": BATCHED}),
    Row("L1Loss", (Y,), {}),
    Row("SmoothL1Loss", (Y,), {"beta": (0.0, 0.3, 1.0)}),
    Row("HuberLoss", (Y,), {"delta": (0.3, 1.0)}),
    Row("CrossEntropyLoss", (CLASSES,), {**WEIGHT, **IGNORED, **SMOOTHED}),
    Row("CrossEntropyLoss", (CHANCES,), {**WEIGHT, **SMOOTHED}),
    Row("NLLLoss", (CLASSES,), {**WEIGHT, **IGNORED}, _logarithms),
    Row("BCELoss", (Y,), WEIGHTS, nn.Sigmoid),
    Row("BCEWithLogitsLoss", (Y,), {**WEIGHTS, "pos_weight": (None, OF_CLASSES)}),
    Row("KLDivLoss", (CHANCES,), {"reduction": BATCHED}, _logarithms),
    Row("KLDivLoss", (np.log(CHANCES),), {"reduction": BATCHED, "log_target": (True,)}),
    Row("PoissonNLLLoss", (Y,), {"full": (False, True)}),
    Row("PoissonNLLLoss", (3 * Y,), {"log_input": (False,), "full": (False, True)}, nn.Softplus),
    Row("GaussianNLLLoss", (Y, Y + 0.1), {"full": (False, True), "eps": (1e-6, 0.3)}),
    Row("GaussianNLLLoss", (Y, Y[:, :1] + 0.1), {}),
    Row("HingeEmbeddingLoss", (SIGNS,), MARGIN, nn.Softplus),
    Row("SoftMarginLoss", (SIGNS,), {}),
    Row("MultiLabelSoftMarginLoss", ((Y > 0.5) * 1.0,), WEIGHT),
    Row("MultiMarginLoss", (CLASSES,), {"p": (1, 2), **MARGIN, **WEIGHT}),
    Row("MarginRankingLoss", (Y, SIGNS), MARGIN),
    Row("CosineEmbeddingLoss", (Y, SIGNS[:, 0]), MARGIN),
    Row("TripletMarginLoss", (Y, Y[::-1]), {"p": (1, 2), "swap": (False, True), **MARGIN}),
)


def all_of(row: Row) -> list[dict[str, Any]]:
    """Return every choice of the options of a row."""
    options = {"reduction": REDUCTIONS, **row.options}
    return [dict(zip(options, chosen, strict=True)) for chosen in product(*options.values())]


def trained(row: Row, options: dict[str, Any], dtype: str, **how: Any) -> list[Any]:
    """Return losses, parameters and gradients of two steps."""

    def tensor(a: Any) -> tg.Tensor:
        return tg.from_numpy(a.astype(dtype) if a.dtype.kind == "f" else a.copy())

    tg.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 3), row.last())
    model.to(getattr(tg, dtype))
    given = {k: tensor(v) if isinstance(v, np.ndarray) else v for k, v in options.items()}
    criterion = getattr(nn, row.loss)(**given)
    optimizer = optim.SGD(model.parameters(), lr=0.1)

    def step(x: tg.Tensor, *targets: tg.Tensor) -> tg.Tensor:
        optimizer.zero_grad()
        loss = criterion(model(x), *targets)
        loss.sum().backward()
        optimizer.step()
        return loss

    taken: Any = tg.compile(step, **how) if how else step
    x, *targets = map(tensor, (X, *row.targets))
    losses = [taken(x, *targets).detach().numpy() for _ in range(2)]
    gradients = [p.grad.numpy() for p in model.parameters()]
    return [*losses, *(p.detach().numpy() for p in model.parameters()), *gradients]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.loss)
def test_each_loss_with_each_option(row: Row, dtype: str, monkeypatch: pytest.MonkeyPatch):
    built = interpreting(monkeypatch)
    choices = all_of(row)
    for options in choices:
        with np.errstate(all="ignore"):  # scalars warn where native code does not
            made = trained(row, options, dtype, backend="numba")
        agree(made, trained(row, options, dtype), slack=SLACK[dtype])
    assert len(built) >= len(choices)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_cross_entropy_with_all_its_options_compiled(dtype: str):
    pytest.importorskip("numba")
    row = next(row for row in ROWS if row.loss == "CrossEntropyLoss")
    options = all_of(row)[-1]
    assert options["label_smoothing"] == 0.1
    made = trained(row, options, dtype, backend="numba")
    agree(made, trained(row, options, dtype), slack=SLACK[dtype])
