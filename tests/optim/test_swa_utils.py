"""Averages of parameters, and their schedule, against PyTorch."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_fc as tg


def averaged(t: Any, kind: str, use_buffers: bool, steps: int, seed: int) -> list[Any]:
    """Return averages and learning rates of a training in library `t`."""
    rng = np.random.default_rng(seed)
    data = [t.tensor(rng.standard_normal((4, 3))) for _ in range(steps)]
    layers = t.nn.Linear(3, 2, dtype=t.float64), t.nn.BatchNorm1d(2, dtype=t.float64)
    model = t.nn.Sequential(*layers)
    with t.no_grad():
        for p in model.parameters():
            p.copy_(t.tensor(rng.standard_normal(tuple(p.shape))))
    optimizer = t.optim.SGD(model.parameters(), lr=0.1)
    swa = t.optim.swa_utils
    functions: dict[str, Any] = {
        "mean": {},
        "ema": {"multi_avg_fn": swa.get_ema_multi_avg_fn(0.9)},
        "own": {"avg_fn": lambda average, p, n: average + (p - average) / (n + 2)},
    }
    average = swa.AveragedModel(model, use_buffers=use_buffers, **functions[kind])
    strategy = "cos" if kind == "mean" else "linear"
    scheduler = swa.SWALR(optimizer, 0.5, 3 * use_buffers, strategy)
    out: list[Any] = []
    for x in data:
        optimizer.zero_grad()
        model(x).square().mean().backward()
        optimizer.step()
        average.update_parameters(model)
        scheduler.step()
        out += scheduler.get_last_lr()
    swa.update_bn([(x, 0) for x in data], average)
    assert next(iter(average.state_dict())) == "n_averaged"
    return [*out, *(v.numpy().copy() for v in average.state_dict().values())]


@given(
    st.sampled_from(["mean", "ema", "own"]), st.booleans(), st.integers(1, 5), st.integers(0, 99)
)
@settings(max_examples=12)
def test_averages_equal_those_of_pytorch(kind: str, use_buffers: bool, steps: int, seed: int):
    torch = pytest.importorskip("torch")
    ours, theirs = (averaged(t, kind, use_buffers, steps, seed) for t in (tg, torch))
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


def test_wrong_arguments_are_refused():
    with pytest.raises(ValueError, match="decay"):
        tg.optim.swa_utils.get_ema_multi_avg_fn(2)
    with pytest.raises(ValueError, match="anneal_strategy"):
        tg.optim.swa_utils.SWALR(tg.optim.SGD([tg.ones(1)], lr=1), 0.1, 1, "steps")
