"""Steps of other kinds, as users write them, compiled: the same as eager, to the last bit."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
from test_compile import batch, perceptron, sgd, training
from twins import Training, Twins, same, state_of, step

import tinygrad_fc as tg
from tinygrad_fc import nn, optim


class Square(tg.autograd.Function):
    """A derivative of one's own."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        (x,) = ctx.saved_tensors
        return g * 2 * x


class Model(nn.Module):
    """Layers in a list, a number as an attribute, a buffer that is changed."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = [nn.Linear(4, 4), nn.Linear(4, 4)]
        self.last = nn.Linear(4, 3)
        self.factor = 0.5
        self.register_buffer("seen", tg.zeros(4))

    def forward(self, x: Any) -> Any:
        for layer in self.layers:
            x = Square.apply(layer(x)).clamp(-1, 1)
        with tg.no_grad():
            self.seen.mul_(0.9).add_(x.mean(dim=0))
        return self.last(x + self.seen) * self.factor


class Averaged(optim.Optimizer):
    """Keeps a plain number and a tensor."""

    def __init__(self, params: Any, lr: float) -> None:
        super().__init__(params, {"lr": lr})

    def step(self, closure: Any = None) -> None:
        del closure
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if not state:
                    state["n"], state["mean"] = 0, tg.zeros_like(p)
                state["n"] += 1
                with tg.no_grad():
                    state["mean"].mul_(0.9).add_(p.grad)
                    p.sub_(group["lr"] / state["n"] * state["mean"])


def tied() -> Training:
    model = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4), nn.Linear(4, 3))
    model[2].weight = model[0].weight
    return training(model)


def averaging() -> Training:
    made = perceptron()
    made.average = copy.deepcopy(made.model)  # type: ignore[attr-defined]
    return made


def twice_back(t: Training, x: Any, y: Any) -> Any:
    t.optimizer.zero_grad(set_to_none=False)
    loss = t.loss(t.model(x), y)
    loss.backward(retain_graph=True)
    loss.backward()
    t.optimizer.step()
    return loss.detach()


def zeroed(t: Training, x: Any, y: Any) -> Any:
    for p in t.model.parameters():
        if p.grad is not None:
            p.grad.zero_()
    return t(x, y)


def penalized(t: Training, x: Any, y: Any) -> Any:
    x = x.clone().requires_grad_()
    t.optimizer.zero_grad()
    loss = t.loss(t.model(x), y)
    (slope,) = tg.autograd.grad(loss, x, create_graph=True)
    (loss + (slope**2).sum()).backward()
    t.optimizer.step()
    return loss.detach()


def decayed(t: Training, x: Any, y: Any) -> Any:
    t.optimizer.zero_grad()
    loss = t.loss(t.model(x), y) + 0.01 * sum((p**2).sum() for p in t.model.parameters())
    loss.backward()
    t.optimizer.step()
    return loss.detach()


def by_closure(t: Training, x: Any, y: Any) -> Any:
    def closure() -> Any:
        t.optimizer.zero_grad()
        loss = t.loss(t.model(x), y)
        loss.backward()
        return loss

    return t.optimizer.step(closure).detach()


def in_parts(t: Training, x: Any, y: Any) -> Any:
    t.optimizer.zero_grad()
    total: Any = 0
    for k in range(3):
        part = slice(2 * k, 2 * k + 2)
        loss = t.loss(t.model(x[part]), y[part]) / 3
        loss.backward()
        total = total + loss.detach()
    t.optimizer.step()
    return total


def followed(t: Training, x: Any, y: Any) -> Any:
    loss = step(t, x, y)
    with tg.no_grad():
        for p, q in zip(t.model.parameters(), t.average.parameters(), strict=True):  # type: ignore[attr-defined]
            q.mul_(0.9).add_(p * 0.1)
        seen = [q.clone() for q in t.average.parameters()]  # type: ignore[attr-defined]
    return loss, seen


def looked_at(t: Training, x: Any, y: Any) -> Any:
    loss = step(t, x, y)
    with tg.no_grad():
        p = t.model(x)
        right = (p.argmax(dim=1) == y.argmax(dim=1)).float().mean()
        best = p.max(dim=1)
        return (
            *(loss, right, p.softmax(dim=1), best.values, best.indices, x.std(), x.var(dim=0)),
            *(tg.cat([x, x]), tg.stack([x, x], dim=1), x.flip(0), tg.where(x > 0.5, x, 0.0)),
            *(tg.einsum("ij,kj->ik", x, x), x[:, [0, 2]], x.sort(dim=0)[0], x.topk(2).values),
            *(x.logsumexp(dim=1), tg.linspace(0, 1, 5), tg.arange(5) * 2, tg.eye(3), x.long()),
            *(tg.full((2,), 7.0), tg.tensor([1.0, 2.0]), x.T.reshape(-1), tg.median(x)),
            *(x.gather(1, x.long()), x.masked_fill(x > 0.5, 0), x.numpy().sum(axis=0)),
        )


CASES: dict[str, tuple[Any, Any]] = {
    "a model of one's own": (lambda: training(Model()), step),
    "an optimizer of one's own": (
        lambda: perceptron(optimizer=lambda m: Averaged(m.parameters(), 0.1)),
        step,
    ),
    "tied weights": (tied, step),
    "two walks": (perceptron, twice_back),
    "gradients zeroed in place": (perceptron, zeroed),
    "a gradient's penalty": (perceptron, penalized),
    "a penalty": (perceptron, decayed),
    "a closure": (lambda: perceptron(optimizer=lambda m: sgd(m, momentum=0.9)), by_closure),
    "parts of a batch": (perceptron, in_parts),
    "an average of models": (averaging, followed),
    "many operations": (perceptron, looked_at),
}


@pytest.mark.parametrize("case", CASES)
def test_steps(case: str):
    twins = Twins(*CASES[case])
    for k in range(4):
        twins.step(*batch(k))
    assert len(twins.compiled.programs) <= 2


RATED = (
    *("SGD", "Adam", "AdamW", "RMSprop", "Adagrad", "Adadelta", "Adamax", "NAdam", "RAdam"),
    *("ASGD", "Rprop"),
)


@pytest.mark.parametrize("shape", [(), (1,)])
@pytest.mark.parametrize("name", RATED)
def test_a_tensor_as_the_learning_rate_is_read_at_every_call(name: str, shape: tuple[int, ...]):
    def optimizer(model: Any) -> Any:
        return getattr(optim, name)(model.parameters(), lr=tg.full(shape, 0.1))

    twins = Twins(lambda: perceptron(optimizer=optimizer))
    for k in range(3):
        twins.step(*batch(k))
    twins.both(lambda t: t.optimizer.param_groups[0]["lr"].mul_(0.5))
    programs = len(twins.compiled.programs)
    for k in range(2):
        twins.step(*batch(k))
    assert len(twins.compiled.programs) == programs
    twins.both(lambda t: t.optimizer.param_groups[0].update(lr=tg.tensor(0.02)))
    twins.step(*batch(4))
    twins.both(lambda t: t.optimizer.param_groups[0].update(lr=0.01))
    twins.step(*batch(5))
    before = state_of(twins.pair[1])
    twins.both(lambda t: t.optimizer.param_groups[0].update(lr=tg.tensor(math.nan)))
    with pytest.raises(ValueError, match="learning rate of a group is NaN"):
        twins.compiled(twins.pair[1], *batch(6))
    same("parameters", list(state_of(twins.pair[1]).values()), list(before.values()))
