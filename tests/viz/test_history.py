"""The training monitor records what a loop would compute by hand."""

import sys

import matplotlib.pyplot as plt
import numpy as np
import pytest
from hypothesis import given

import tinygrad_fc as tg
from tinygrad_fc import nn, optim, viz
from viz.networks import network, seeds, widths


@given(widths, seeds)
def test_records_are_those_of_a_loop(sizes: list[int], seed: int):
    criterion = nn.MSELoss()
    model, x, y = network(sizes, "sigmoid", seed)
    optimizer = optim.SGD(model.parameters(), lr=0.5)
    rows = []
    with viz.History(model, criterion, optimizer) as history:
        assert repr(history) == "<History of 0 steps, last loss nan>"
        for _ in range(3):
            optimizer.zero_grad()
            loss = criterion(model(x), y)
            loss.backward()
            grads = [p.grad.numpy().ravel() for p in model[0].parameters()]
            out = model[:2](x).numpy()
            optimizer.step()
            norm, share = np.linalg.norm(np.concatenate(grads)), np.mean(out * (1 - out) < 0.025)
            rows.append([loss.item(), norm, share])
    recorded = [history.loss, history.gradient_norms["0"], history.saturated["1"]]
    np.testing.assert_allclose(np.transpose(recorded), rows, rtol=1e-12)
    assert repr(history) == f"<History of 3 steps, last loss {history.loss[-1]:.4g}>"
    criterion(model(x), y).backward()
    optimizer.step()
    assert len(history.loss) == 3
    assert not model[1]._forward_hooks


@pytest.mark.parametrize("first", [0, 1])
def test_two_histories_of_one_optimizer_close_in_any_order(first: int):
    criterion = nn.MSELoss()
    model, x, y = network([2, 1], "sigmoid", 0)
    optimizer = optim.SGD(model.parameters(), lr=0.5)
    histories = [viz.History(model, criterion, optimizer) for _ in range(2)]
    with pytest.raises(tg.compiler.CompileError, match="History records a call, and needs a step"):
        tg.compile(lambda: criterion(model(x), y))()
    for history in (histories[first], histories[1 - first], None):
        optimizer.zero_grad()
        criterion(model(x), y).backward()
        optimizer.step()
        if history is not None:
            history.close()
    assert [len(histories[k].loss) for k in (first, 1 - first)] == [1, 2]


def test_the_plot_has_every_layer_and_what_has_no_gradient_is_nan(monkeypatch: pytest.MonkeyPatch):
    model, x, y = network([2, 3, 1], "relu", 0)
    model[0].requires_grad_(requires_grad=False)
    criterion, optimizer = nn.MSELoss(), optim.Adam(model.parameters())
    with viz.History(model, criterion, optimizer) as history:
        optimizer.step()
        for _ in range(3):
            criterion(model(x), y).backward()
            optimizer.step()
    assert np.isnan([history.loss[0], history.gradient_norms["0"][1]]).all()
    assert history.gradient_norms["2"][1] > 0
    curve, norms, shares = history.plot().axes
    plt.close("all")
    assert curve.lines[0].get_ydata() == pytest.approx(history.loss, nan_ok=True)
    assert [line.get_label() for line in (*norms.lines, *shares.lines)] == ["0", "2", "1", "3"]
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match=r"tinygrad-fc\[plot\]"):
        history.plot()


def test_a_function_as_criterion_is_refused():
    model = nn.Linear(1, 1)
    with pytest.raises(ValueError, match=r"criterion is .*, expected a loss module"):
        viz.History(model, nn.functional.mse_loss, tg.optim.SGD(model.parameters(), lr=0.1))
