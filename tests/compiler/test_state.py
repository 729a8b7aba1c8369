"""What happens between calls: each change outside is seen by the next step, on both backends."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_fc as tg
from tinygrad_fc import nn, optim
from tinygrad_fc.compiler import CompileError
from tinygrad_fc.optim import lr_scheduler

from .networks import batch, momentum, perceptron, training_of
from .twins import Training, Twins, accumulate, native, share, step

# A scheduler may come before the first step.
pytestmark = pytest.mark.filterwarnings("ignore:.*step:UserWarning")


def create() -> Training:
    """Return the training that things happen to."""
    return perceptron(momentum, None, nn.BatchNorm1d(5), nn.Dropout(0.4))


def another_layer_that_is_trained(t: Training) -> None:
    t.model[4] = nn.Linear(5, 3)
    t.optimizer.add_param_group({"params": list(t.model[4].parameters()), "lr": 0.3})


BETWEEN: dict[str, Any] = {
    "a rate": lambda t: t.optimizer.param_groups[0].update(lr=0.01),
    "a rate of NumPy": lambda t: t.optimizer.param_groups[0].update(lr=np.float64(0.02)),
    "a rate of 0": lambda t: t.optimizer.param_groups[0].update(lr=0.0),
    "an integer rate": lambda t: t.optimizer.param_groups[0].update(lr=1),
    "a scheduler": lambda t: lr_scheduler.StepLR(t.optimizer, 1, 0.5).step(),
    "weight decay": lambda t: t.optimizer.param_groups[0].update(weight_decay=0.1),
    "no momentum": lambda t: t.optimizer.param_groups[0].update(momentum=0.0, nesterov=False),
    "nesterov": lambda t: t.optimizer.param_groups[0].update(momentum=0.9, nesterov=True),
    "eval": lambda t: t.model.eval(),
    "train": lambda t: t.model.train(),
    "train partly": lambda t: t.model[3].train(),
    "load_state_dict": lambda t: t.model.load_state_dict(
        {name: value * 0.5 for name, value in t.model.state_dict().items()}
    ),
    "optimizer state": lambda t: t.optimizer.load_state_dict(t.optimizer.state_dict()),
    "no optimizer state": lambda t: t.optimizer.state.clear(),
    "another optimizer": lambda t: setattr(t, "optimizer", optim.Adam(t.model.parameters())),
    "another group": lambda t: t.optimizer.add_param_group(
        {"params": [tg.ones(2, requires_grad=True)]}
    ),
    "frozen": lambda t: t.model[0].requires_grad_(requires_grad=False),
    "trained again": lambda t: t.model.requires_grad_(requires_grad=True),
    "a hook": lambda t: t.model[4].requires_grad_().weight.register_hook(lambda g: g * 0.5),
    "a module's hook": lambda t: t.model[1].register_forward_hook(lambda m, x, out: out * 0.9),
    "a seed": lambda t: tg.manual_seed(7),
    "data": lambda t: setattr(t.model[0].weight, "data", t.model[0].weight.data * 0.9),
    "in place": lambda t: t.model[0].weight.data.mul_(0.5),
    "a row": tg.no_grad()(lambda t: t.model[0].weight.__setitem__(0, 0.3)),
    "a parameter": lambda t: setattr(t.model[0], "weight", nn.Parameter(tg.ones(5, 4))),
    "a gradient": lambda t: setattr(t.model[4].weight, "grad", tg.ones(3, 5)),
    "a gradient of the first": lambda t: setattr(t.model[0].weight, "grad", tg.ones(5, 4)),
    "no gradient": lambda t: setattr(t.model[4].bias, "grad", None),
    "an activation": lambda t: setattr(t.model, "1", nn.Sigmoid()),
    "a rate of dropout": lambda t: setattr(t.model[3], "p", 0.8),
    "a loss": lambda t: setattr(t, "loss", nn.L1Loss()),
    "a reduction": lambda t: setattr(t.loss, "reduction", "sum"),
    "there and back": lambda t: t.model.to(tg.float32).to(tg.float64),
    "another layer": lambda t: t.model.__setitem__(4, nn.Linear(5, 3)),
    "another layer that is trained": another_layer_that_is_trained,
    "swapped groups": lambda t: t.optimizer.param_groups.reverse(),
}


@pytest.mark.parametrize("name", BETWEEN)
def test_one_change(name: str):
    twins = Twins(create)
    for k in range(3):
        if k == 1:
            twins.both(BETWEEN[name])
        twins.step(*batch(k))


sequences = st.lists(
    st.tuples(
        st.lists(st.sampled_from(sorted(BETWEEN)), max_size=2),
        st.sampled_from(("step", "smaller", "epoch", "uneven epoch", "accumulate")),
    ),
    min_size=2,
    max_size=5,
)


@np.errstate(all="ignore")  # some sequences diverge
def live(backend: str, sequence: Any) -> None:
    """Take steps in several ways, with changes before each of them."""
    twins = Twins(create, backend=backend)
    adding = tg.compile(lambda x, y: accumulate(twins.twin, x, y), backend=backend)
    for k, (names, way) in enumerate(sequence):
        for name in names:
            twins.both(BETWEEN[name])
        x, y = batch(k, 12)
        order = np.random.default_rng(k).permutation(12)
        if way == "step":
            twins.step(x[:4], y[:4])
        elif way == "smaller":
            twins.step(x[:3], y[:3])
        elif way == "accumulate":
            twins.run(
                lambda x=x, y=y: accumulate(twins.eager, x[:4], y[:4]),
                lambda x=x, y=y: adding(x[:4], y[:4]),
            )
        else:
            twins.epoch(np.split(order, 3) if way == "epoch" else np.array_split(order, 5), x, y)


@share(15)
@given(sequence=sequences)
def test_sequences(sequence: Any):
    live("numpy", sequence)


@native
def test_a_sequence_in_native_code():
    """Native kernels are compiled for the first step, and for a loop over steps."""
    live("numba", [([], "step"), (["a rate"], "epoch"), (["load_state_dict", "data"], "step")])


def test_a_scheduler_that_sets_the_momentum_too():
    twins = Twins(lambda: perceptron(momentum))
    schedulers = [lr_scheduler.OneCycleLR(t.optimizer, 0.5, total_steps=8) for t in twins.pair]
    for k in range(6):
        twins.step(*batch(k))
        for scheduler in schedulers:
            scheduler.step()
    assert len(twins.compiled.sources) <= 2


@pytest.mark.parametrize("reset", [True, False])
def test_held_gradients_change_by_accumulation_alone(reset: bool):
    twins = Twins(perceptron, step if reset else accumulate)
    for k in range(3):
        held = [(p, p.grad) for p in twins.twin.model.parameters() if p.grad is not None]
        before = [g.numpy().copy() for _, g in held]
        twins.step(*batch(k))
        for (p, g), b in zip(held, before, strict=True):
            assert (p.grad is g) is not reset
            assert np.array_equal(g.numpy(), b) is reset


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
    """Layers in a list, a number as an attribute, a buffer that changes, a rule of one's own."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(4, 4), nn.Linear(4, 4)])
        self.last = nn.Linear(4, 3)
        self.factor = 0.5
        self.register_buffer("mean", tg.zeros(4))

    def forward(self, x: Any) -> Any:
        for layer in self.layers:
            x = Square.apply(layer(x)).clamp(-1, 1)
        with tg.no_grad():
            self.mean.mul_(0.9).add_(x.mean(dim=0))
        return self.last(x + self.mean) * self.factor


class Averaging(optim.Optimizer):
    """An optimizer of one's own, with a number and a tensor as state."""

    def step(self, closure: Any = None) -> None:
        del closure
        for group in self.param_groups:
            for p in group["params"]:
                state = self.state[p]
                if not state:
                    state["n"], state["mean"] = tg.tensor(0.0), tg.zeros_like(p)
                with tg.no_grad():
                    state["n"] += 1
                    state["mean"].mul_(0.9).add_(p.grad)
                    p.sub_(group["lr"] / state["n"] * state["mean"])


class Replacing(Averaging):
    """An optimizer that puts another tensor into its state in each step."""

    def step(self, closure: Any = None) -> None:
        super().step(closure)
        for state in self.state.values():
            state["mean"] = state["mean"] * 0.5


def test_state_that_each_step_replaces_is_refused():
    training = perceptron(lambda p: Replacing(p, {"lr": 0.1}))
    compiled = tg.compile(step, backend="numpy")
    message = r"'mean', state of Replacing \(its step: .*test_state.py:\d+\).*in place"
    with pytest.raises(CompileError, match=message):
        compiled(training, *batch())


def tied() -> Training:
    model = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4), nn.Linear(4, 3))
    model[2].weight = model[0].weight
    return training_of(model)


def hooked() -> Training:
    training = perceptron(momentum)
    bias = training.model[0].bias
    training.optimizer.register_step_post_hook(lambda *_: bias.detach().mul_(0.5))
    return training


def backward_twice(t: Training, x: Any, y: Any) -> Any:
    t.optimizer.zero_grad(set_to_none=False)
    loss = t.loss(t.model(x), y)
    loss.backward(retain_graph=True)
    loss.backward()
    t.optimizer.step()
    return loss.detach()


def with_a_closure(t: Training, x: Any, y: Any) -> Any:
    def closure() -> Any:
        t.optimizer.zero_grad()
        loss = t.loss(t.model(x), y)
        loss.backward()
        return loss

    return t.optimizer.step(closure).detach()


def clipped(t: Training, x: Any, y: Any) -> Any:
    t.optimizer.zero_grad()
    t.loss(t.model(x), y).backward()
    norm = nn.utils.clip_grad_norm_(t.model.parameters(), 0.1)
    nn.utils.clip_grad_value_(t.model.parameters(), 0.05)
    t.optimizer.step()
    return norm


def measured(t: Training, x: Any, y: Any) -> Any:
    loss = step(t, x, y)
    with tg.no_grad():
        p = t.model(x)
        accuracy = (p.argmax(dim=1) == y.argmax(dim=1)).float().mean()
        best = p.max(dim=1)
        return loss, accuracy, best.values, best.indices, p.softmax(dim=1), x.std(), x.numpy()


STEPS: dict[str, tuple[Any, Any]] = {
    "a model of one's own": (lambda: training_of(Model()), step),
    "an optimizer of one's own": (lambda: perceptron(lambda p: Averaging(p, {"lr": 0.1})), step),
    "tied weights": (tied, step),
    "a hook of the optimizer": (hooked, step),
    "a closure": (lambda: perceptron(momentum), with_a_closure),
    **{f.__name__: (perceptron, f) for f in (backward_twice, clipped, measured)},
}


@pytest.mark.parametrize("name", STEPS)
def test_steps_of_other_kinds(name: str):
    twins = Twins(*STEPS[name])
    for k in range(4):
        twins.step(*batch(k))
    assert len(twins.compiled.sources) <= 2
