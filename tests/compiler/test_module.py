"""`compile` of a module: calls in evaluation run a program, and others run the module as it is."""

import copy
import pickle
from typing import Any

import pytest

import tinygrad_fc as tg
from tinygrad_fc import nn, optim
from tinygrad_fc.nn import functional as F


class Net(nn.Module):
    """A network with a buffer, a mode, a hook's place and methods of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.norm = nn.Linear(4, 8), nn.BatchNorm1d(8)
        self.drop, self.head = nn.Dropout(0.5), nn.Linear(8, 2)

    def encode(self, x: Any) -> Any:
        return F.gelu(self.norm(self.hidden(x)))

    def forward(self, x: Any, scale: float = 1.0) -> Any:
        return self.head(self.drop(self.encode(x))) * scale


def compiled(module: Any, **options: Any) -> Any:
    return tg.compile(module, backend="numpy", **options)


@pytest.mark.parametrize("backend", [None, "numpy", "inductor"])
def test_calls_in_evaluation_run_the_program(backend: Any):
    net = Net().eval()
    model = tg.compile(net, backend=backend, mode="max-autotune", fullgraph=True)
    for rows in (5, 3, 5):
        x = tg.rand(rows, 4)
        with tg.no_grad():
            for _ in range(5):
                tg.testing.assert_close(model(x, scale=2.0), net(x, 2.0))
    assert len(model.compiled.programs) == 2
    for p in net.parameters():
        p.data += 1
    with tg.no_grad():
        tg.testing.assert_close(model(x), net(x))


def test_the_state_is_that_of_the_module():
    net = Net()
    model = compiled(net)
    assert isinstance(model, Net)
    assert model._orig_mod is net
    assert list(model.state_dict()) == list(net.state_dict())
    assert [*model.parameters()] == [*net.parameters()]
    model.eval()
    assert not net.training
    net.head = nn.Linear(8, 3)
    model.scale = 2
    assert net.scale == 2
    with tg.no_grad():
        assert model(tg.ones(2, 4)).shape == (2, 3)
    assert model.encode(tg.ones(2, 4)).shape == (2, 8)
    assert "Linear(in_features=8, out_features=3" in repr(model)
    layers = compiled(nn.Sequential(nn.Linear(4, 8), nn.ReLU()))
    assert (len(layers), type(layers[1])) == (2, nn.ReLU)


def test_training_runs_the_module_and_logs_once(caplog: pytest.LogCaptureFixture):
    net, x = Net(), tg.rand(6, 4)
    model = compiled(net)
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    before = net.head.weight.detach().clone()
    for _ in range(2):
        optimizer.zero_grad()
        model(x).sum().backward()
        optimizer.step()
    assert (net.head.weight != before).any()
    (message,) = caplog.messages
    assert "Net is compiled for calls in evaluation" in message
    assert "tinygrad_fc.compile(step)" in message
    model.eval()
    model(x).sum().backward()  # grad mode is on
    assert not model.compiled.programs


def test_a_frozen_module_passes_a_gradient_to_its_input():
    model = compiled(Net().eval().requires_grad_(requires_grad=False))
    x = tg.rand(3, 4, requires_grad=True)
    model(x).sum().backward()
    assert x.grad is not None
    assert not model.compiled.programs
    model(x.detach())
    assert len(model.compiled.programs) == 1


def test_a_compiled_step_has_modules_in_its_program():
    """A part of the model, and a loss; the optimizer creates state in the first call."""
    backbone, loss_fn = compiled(nn.Sequential(nn.Linear(4, 8), nn.Tanh())), compiled(nn.MSELoss())
    model, y = nn.Sequential(backbone, nn.Linear(8, 1)), tg.ones(3, 1)
    loss_fn(y, y)
    adam = optim.Adam(model.parameters())

    @tg.compile(backend="numpy")
    def step(x: Any) -> Any:
        adam.zero_grad()
        loss = loss_fn(model(x), y)
        loss.backward()
        adam.step()
        return loss

    losses = [step(tg.ones(3, 4)).item() for _ in range(5)]
    assert losses == sorted(losses, reverse=True)
    assert "weight_0_0" in step.source
    assert not backbone.compiled.programs


def test_hooks_of_the_module_are_called():
    net = nn.Linear(2, 2).eval()
    model = compiled(net)
    net.register_forward_hook(lambda _module, _args, y: y * 3)
    with tg.no_grad():
        tg.testing.assert_close(model(tg.ones(1, 2)), net(tg.ones(1, 2)))


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies_are_compiled_and_independent(copied: Any):
    model = compiled(nn.Sequential(nn.Linear(2, 2)).eval())
    other = copied(model)
    other[0].weight.data.zero_()
    assert (model[0].weight != 0).any()
    with tg.no_grad():
        tg.testing.assert_close(other(tg.ones(1, 2)), other[0].bias.data[None])
    assert other.compiled.programs
    assert not model.compiled.programs


def test_a_loss_module_is_compiled():
    loss = compiled(nn.MSELoss()).eval()
    assert loss(tg.ones(2, 1), tg.zeros(2, 1)).item() == 1
    assert loss.compiled.programs


def test_an_unknown_mode_is_refused():
    with pytest.raises(ValueError, match=r"mode is 'fast'\. Expected one of None, default"):
        tg.compile(Net(), mode="fast")
