"""Steps of every optimizer and epochs of every schedule, side by side with PyTorch's."""

from typing import Any

import numpy as np
import pytest
from against_torch import SINCE_2_14, agree
from hypothesis import example, given, settings
from hypothesis import strategies as st
from optimizers import EPOCHS, LBFGS, OPTIMIZERS, SCHEDULES, SIMPLE_SCHEDULES, options, schedule

import tinygrad_fc as tg

torch = pytest.importorskip("torch")

STEPS = 15
few = settings(max_examples=settings.default.max_examples // 4)
fewer = settings(max_examples=settings.default.max_examples // 8)


each = pytest.mark.parametrize("name", [n for n in OPTIMIZERS if hasattr(torch.optim, n)])


class Side:
    """One of the two libraries with its parameters, its optimizer and its schedule."""

    def __init__(
        self, library: Any, name: str, starts: list[Any], options: list[dict[str, Any]]
    ) -> None:
        self.library = library
        self.parameters = [library.tensor(start, requires_grad=True) for start in starts]
        groups = [{"params": [p], **each} for p, each in zip(self.parameters, options, strict=True)]
        self.optimizer = getattr(library.optim, name)(groups, **options[0])
        self.schedule: Any = None

    def schedules(self, name: str, drawn: dict[str, Any], **more: Any) -> None:
        self.schedule = schedule(self.library, name, self.optimizer, drawn, **more)

    def values(self) -> list[Any]:
        return [p.detach().numpy().copy() for p in self.parameters]

    def step(self, noises: list[Any]) -> None:
        """Step along gradients that depend on where the parameters are, but little.

        Where they depend on nothing else, the update of Adam's kind is chaotic: it amplifies
        rounding.
        """
        for p, noise in zip(self.parameters, noises, strict=True):
            p.grad = None
            if noise is not None:
                p.grad = self.library.tensor(0.1 * np.sin(p.detach().numpy()) + noise)
        self.optimizer.step()

    def epoch(self, noise: float) -> None:
        self.step([noise, noise])
        measure = (noise,) if hasattr(self.schedule, "num_bad_epochs") else ()
        self.schedule.step(*measure)

    def seen(self) -> list[Any]:
        groups = self.optimizer.param_groups
        momenta = [group.get("betas", group.get("momentum")) for group in groups]
        return [
            *self.schedule.get_last_lr(),
            *(group["lr"] for group in groups),
            *momenta,
            *self.values(),
        ]


# Options that choose an implementation of PyTorch, and what it counts for warnings.
IMPLEMENTATION = {"foreach", "fused", "capturable", "differentiable", "_get_lr_called_within_step"}


def assert_same(ours: Any, theirs: Any) -> None:
    agree(ours, theirs, 1e-12, typed=False, ignored=IMPLEMENTATION)


def same_repr(ours: Any, theirs: Any) -> bool:
    lines = repr(theirs).splitlines()
    shared = [line for line in lines if line.partition(":")[0].strip() not in IMPLEMENTATION]
    return repr(ours).splitlines() == shared


def resumed(theirs: Side, name: str, options: list[dict[str, Any]]) -> Side:
    """Return our side with the parameters and the state of theirs."""
    ours = Side(tg, name, theirs.values(), options)
    ours.optimizer.load_state_dict(theirs.optimizer.state_dict())
    return ours


@each
@few
@given(data=st.data(), seed=st.integers(0, 2**32 - 1), saved=st.sampled_from([2, 9, STEPS]))
def test_trajectories_that_go_on_from_a_state_of_pytorchs(
    name: str, data: st.DataObject, seed: int, saved: int
):
    shapes = data.draw(st.lists(st.sampled_from([(), (3,), (2, 3)]), min_size=1, max_size=3))
    drawn = [data.draw(OPTIMIZERS[name]) for _ in shapes]
    rng = np.random.default_rng(seed)
    starts = [np.asarray(rng.standard_normal(shape)) for shape in shapes]
    ours, theirs = (Side(library, name, starts, drawn) for library in (tg, torch))
    for step in range(STEPS):
        noises = [None if rng.random() < 0.1 else rng.standard_normal(shape) for shape in shapes]
        ours.step(noises)
        theirs.step(noises)
        assert_same(ours.values(), theirs.values())
        if step == saved:
            ours = resumed(theirs, name, [{}] * len(shapes))
    assert_same(ours.optimizer.state_dict(), theirs.optimizer.state_dict())
    if saved == STEPS:  # the loaded options of PyTorch's implementations are printed, too
        assert same_repr(ours.optimizer, theirs.optimizer)


@each
def test_defaults(name: str):
    ours, theirs = (
        getattr(library.optim, name)([library.ones(2, requires_grad=True)])
        for library in (tg, torch)
    )
    assert ours.defaults == {key: theirs.defaults[key] for key in ours.defaults}
    assert same_repr(ours, theirs)


# LBFGS calls for the loss itself, so it is not in the table.

SEARCH = {"max_iter": 2, "max_eval": 50, "history_size": 3, "line_search_fn": "strong_wolfe"}
lbfgs = options(**LBFGS, **({"maximize": st.booleans()} if SINCE_2_14 else {}))


def closure_of(side: Side) -> Any:
    """Return a closure over a loss that has curvature of both signs, and a parameter unused."""

    def closure() -> Any:
        side.optimizer.zero_grad()
        loss = 0
        for k, p in enumerate(side.parameters[:-1]):
            loss = loss + (k + 1) * (p * p).sum() - (2 * p).cos().sum() + (p * p).sum() ** 2
        if side.optimizer.param_groups[0].get("maximize"):
            loss = -loss
        loss.backward()
        return loss

    return closure


def lbfgs_side(library: Any, options: dict[str, Any], starts: list[Any]) -> Side:
    side = Side(library, "SGD", starts, [{"lr": 0.1}] * len(starts))
    side.optimizer = library.optim.LBFGS(side.parameters, **options)
    return side


@few
@example(drawn={**SEARCH, "lr": 0.1}, seed=0, saved=2)  # which extends the step
@example(drawn={**SEARCH, "lr": 3.0}, seed=0, saved=2)  # which shortens it
@given(drawn=lbfgs, seed=st.integers(0, 2**32 - 1), saved=st.integers(0, 5))
def test_lbfgs(drawn: dict[str, Any], seed: int, saved: int):
    rng = np.random.default_rng(seed)
    starts = [np.asarray(rng.standard_normal(shape)) for shape in ((), (3,), (2, 2), (2,))]
    ours, theirs = (lbfgs_side(library, drawn, starts) for library in (tg, torch))
    for step in range(STEPS // drawn["max_iter"]):
        mine, yours = (side.optimizer.step(closure_of(side)) for side in (ours, theirs))
        assert_same(mine.item(), yours.item())
        assert_same(ours.values(), theirs.values())
        if step == saved:
            other = lbfgs_side(tg, {}, ours.values())
            other.optimizer.load_state_dict(ours.optimizer.state_dict())
            ours = other
    state, their_state = (side.optimizer.state_dict()["state"][0] for side in (ours, theirs))
    agree(state, their_state, 1e-7, typed=False, ignored={"al"})
    if SINCE_2_14:
        assert same_repr(ours.optimizer, theirs.optimizer)


# Schedules

SCHEDULED = {
    "SGD": {"momentum": 0.9, "nesterov": True},
    "Adam": {"amsgrad": True},
    "RMSprop": {"momentum": 0.5, "centered": True},
    "NAdam": {},
}
every = pytest.mark.parametrize("name", SCHEDULES)
lrs = st.lists(st.sampled_from([0.0, 0.001, 0.1]), min_size=2, max_size=2)


def scheduled(optimizer: str, lrs: list[Any], *schedule: Any) -> tuple[Side, Side]:
    """Return both sides, with a schedule if one is named and its options follow."""
    starts = [np.linspace(-1, 1, 3), np.ones((2, 2))]
    options: list[dict[str, Any]] = [{"lr": lr, **SCHEDULED[optimizer]} for lr in lrs]
    ours, theirs = (Side(library, optimizer, starts, options) for library in (tg, torch))
    for side in (ours, theirs) if schedule else ():
        side.schedules(*schedule)
    return ours, theirs


def go_on(ours: Side, theirs: Side, noises: Any) -> None:
    """Compare both sides now and after each epoch."""
    assert_same(ours.seen(), theirs.seen())
    for noise in noises:
        ours.epoch(noise)
        theirs.epoch(noise)
        assert_same(ours.seen(), theirs.seen())


@every
@fewer
@given(
    data=st.data(),
    lrs=lrs,
    optimizer=st.sampled_from(list(SCHEDULED)),
    epochs=st.integers(0, EPOCHS),
)
def test_epochs_that_go_on_from_a_schedule_of_pytorchs(
    name: str, data: st.DataObject, lrs: list[float], optimizer: str, epochs: int
):
    given_ = data.draw(SCHEDULES[name])
    ours, theirs = scheduled(optimizer, lrs, name, given_)
    noises = np.random.default_rng(data.draw(st.integers(0, 99))).standard_normal(EPOCHS)
    go_on(ours, theirs, noises[:epochs])
    state = theirs.schedule.state_dict()
    assert_same(ours.schedule.state_dict(), state)
    ours, _ = scheduled(optimizer, lrs, name, given_)
    ours.schedule.load_state_dict(state)
    ours.optimizer.load_state_dict(theirs.optimizer.state_dict())
    for mine, value in zip(ours.parameters, theirs.values(), strict=True):
        mine.data = tg.tensor(value)
    go_on(ours, theirs, noises[epochs:])


# PyTorch's SequentialLR resumes with its first scheduler at the initial rates, whatever the epoch.
WITHOUT_EPOCH = {"ReduceLROnPlateau", "ChainedScheduler", "SequentialLR"}


@pytest.mark.parametrize("name", [name for name in SCHEDULES if name not in WITHOUT_EPOCH])
@fewer
@given(data=st.data(), lrs=lrs, epoch=st.integers(0, 9))
def test_resumed_at_an_epoch(name: str, data: st.DataObject, lrs: list[float], epoch: int):
    given_ = data.draw(SCHEDULES[name])
    if name == "CosineAnnealingWarmRestarts":
        given_["T_mult"] = 1  # PyTorch begins in the first round, whatever the epoch
    ours, theirs = scheduled("SGD", lrs, name, given_)
    for side in (ours, theirs):
        side.epoch(0.5)
        side.schedules(name, given_, last_epoch=epoch)
    go_on(ours, theirs, np.sin(range(5)))


@pytest.mark.parametrize("name", SIMPLE_SCHEDULES)
@fewer
@given(data=st.data(), lr=st.sampled_from([0.001, 0.5]))
def test_learning_rates_that_are_tensors(name: str, data: st.DataObject, lr: float):
    given_ = data.draw(SCHEDULES[name])
    ours, theirs = scheduled("SGD", [lr, 2 * lr])
    rates = []
    for side in (ours, theirs):
        for group in side.optimizer.param_groups:
            group["lr"] = side.library.tensor(group["lr"])
            rates.append(group["lr"])
        side.schedules(name, given_)
    go_on(ours, theirs, np.sin(range(5)))
    groups = ours.optimizer.param_groups + theirs.optimizer.param_groups
    assert all(rate is group["lr"] for rate, group in zip(rates, groups, strict=True))


@fewer
@given(
    t_0=st.integers(1, 9),
    t_mult=st.integers(1, 2),
    epochs=st.lists(st.integers(0, 250).map(lambda k: k / 8)),
)
def test_restarts_at_fractions_of_epochs(t_0: int, t_mult: int, epochs: list[float]):
    options = {"T_0": t_0, "T_mult": t_mult}
    ours, theirs = scheduled("SGD", [0.1, 1.0], "CosineAnnealingWarmRestarts", options)
    for epoch in epochs:
        ours.schedule.step(epoch)
        theirs.schedule.step(epoch)
        assert_same(ours.seen(), theirs.seen())
    assert_same(ours.schedule.state_dict(), theirs.schedule.state_dict())
