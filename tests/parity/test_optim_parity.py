"""Steps of every optimizer, side by side with PyTorch's, over drawn options."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from against_torch import SINCE_2_14
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_fc as tg

torch = pytest.importorskip("torch")

STEPS = 15
few = settings(max_examples=settings.default.max_examples // 4)


@pytest.fixture(autouse=True)
def _float64() -> Any:
    torch.set_default_dtype(torch.float64)  # what PyTorch counts by, too
    yield
    torch.set_default_dtype(torch.float32)


@st.composite
def sgd(draw: st.DrawFn) -> dict[str, Any]:
    options = {
        "lr": draw(st.floats(0, 0.5)),
        "momentum": draw(st.sampled_from([0, 0.5, 0.9])),
        "dampening": draw(st.sampled_from([0, 0.3])),
        "weight_decay": draw(st.sampled_from([0, 0.1])),
        "maximize": draw(st.booleans()),
    }
    nesterov = options["momentum"] > 0 and options["dampening"] == 0 and draw(st.booleans())
    return {**options, "nesterov": nesterov}


def one_of(*values: Any) -> st.SearchStrategy[Any]:
    return st.sampled_from(values)


def options(**own: Any) -> st.SearchStrategy[dict[str, Any]]:
    """Draw the options that most have, and an optimizer's own."""
    shared = {"lr": st.floats(0, 0.5), "weight_decay": one_of(0, 0.1), "maximize": st.booleans()}
    return st.fixed_dictionaries({**shared, **own})


betas = one_of((0.9, 0.999), (0.9, 0.9), (0.5, 0.99), (0.0, 0.999), (0.0, 0.0))
eps = one_of(1e-8, 1e-3)


def adam(**own: Any) -> st.SearchStrategy[dict[str, Any]]:
    return options(betas=betas, eps=eps, **own)


# Each optimizer with a strategy for its options: a new one joins by a line.
OPTIMIZERS = {
    "SGD": sgd(),
    "Adam": adam(amsgrad=st.booleans(), decoupled_weight_decay=st.booleans()),
    "AdamW": adam(amsgrad=st.booleans()),
    "Adamax": adam(),
    "NAdam": adam(momentum_decay=one_of(0, 4e-3), decoupled_weight_decay=st.booleans()),
    "RAdam": adam(decoupled_weight_decay=st.booleans()),
    "RMSprop": options(
        alpha=one_of(0.5, 0.9, 0.99), eps=eps, momentum=one_of(0, 0.9), centered=st.booleans()
    ),
    "Adagrad": options(
        lr_decay=one_of(0, 0.1), eps=one_of(1e-10, 1e-3), initial_accumulator_value=one_of(0, 0.1)
    ),
    "Adadelta": options(rho=one_of(0, 0.5, 0.9), eps=one_of(1e-6, 1e-3)),
    "Rprop": options(
        etas=one_of((0.5, 1.2), (0.9, 1.01)), step_sizes=one_of((1e-6, 50), (0.1, 0.2))
    ).map(lambda given: {k: v for k, v in given.items() if k != "weight_decay"}),
    "ASGD": options(lambd=one_of(0, 1e-4, 0.1), alpha=one_of(0, 0.75), t0=one_of(0, 5, 1e6)),
}


def slope(p: Any, noise: Any) -> Any:
    """Return a gradient that depends on where the parameter is, but little.

    Where it depends on nothing else, the update of Adam's kind is chaotic: it amplifies rounding.
    """
    return 0.1 * np.sin(p) + noise


class Side:
    """One of the two libraries with its parameters and its optimizer."""

    def __init__(
        self, library: Any, name: str, starts: list[Any], options: list[dict[str, Any]]
    ) -> None:
        self.library = library
        self.parameters = [library.tensor(start, requires_grad=True) for start in starts]
        groups = [{"params": [p], **each} for p, each in zip(self.parameters, options, strict=True)]
        self.optimizer = getattr(library.optim, name)(groups, **options[0])

    def values(self) -> list[Any]:
        return [p.detach().numpy().copy() for p in self.parameters]

    def step(self, noises: list[Any]) -> None:
        for p, noise in zip(self.parameters, noises, strict=True):
            p.grad = None
            if noise is not None:
                p.grad = self.library.tensor(slope(p.detach().numpy(), noise))
        self.optimizer.step()


def assert_close(ours: Any, theirs: Any) -> None:
    theirs = theirs.numpy() if hasattr(theirs, "numpy") else theirs
    ours = ours.numpy() if hasattr(ours, "numpy") else ours
    np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-12)


# Options that choose an implementation of PyTorch.
IMPLEMENTATION = {"foreach", "fused", "capturable", "differentiable"}


def same_repr(ours: Any, theirs: Any) -> bool:
    lines = repr(theirs).splitlines()
    shared = [line for line in lines if line.partition(":")[0].strip() not in IMPLEMENTATION]
    return repr(ours).splitlines() == shared


def assert_same_state(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    for mine, yours in zip(ours["param_groups"], theirs["param_groups"], strict=True):
        assert mine == {key: yours[key] for key in mine}
        assert set(yours) - set(mine) <= IMPLEMENTATION
    assert list(ours["state"]) == list(theirs["state"])
    for number, state in ours["state"].items():
        assert set(state) == set(theirs["state"][number])
        for key, value in state.items():
            if value is None:
                assert theirs["state"][number][key] is None
            else:
                assert_close(value, theirs["state"][number][key])


@pytest.mark.parametrize("name", OPTIMIZERS)
@few
@given(data=st.data(), seed=st.integers(0, 2**32 - 1))
def test_trajectories(name: str, data: st.DataObject, seed: int):
    shapes = data.draw(st.lists(st.sampled_from([(), (3,), (2, 3)]), min_size=1, max_size=3))
    options = [data.draw(OPTIMIZERS[name]) for _ in shapes]
    rng = np.random.default_rng(seed)
    starts = [np.asarray(rng.standard_normal(shape)) for shape in shapes]
    ours, theirs = (Side(library, name, starts, options) for library in (tg, torch))
    for _ in range(STEPS):
        noises = [None if rng.random() < 0.1 else rng.standard_normal(shape) for shape in shapes]
        ours.step(noises)
        theirs.step(noises)
        for mine, yours in zip(ours.values(), theirs.values(), strict=True):
            assert_close(mine, yours)
    assert_same_state(ours.optimizer.state_dict(), theirs.optimizer.state_dict())
    assert same_repr(ours.optimizer, theirs.optimizer)


@pytest.mark.parametrize("name", OPTIMIZERS)
@few
@given(data=st.data())
def test_a_state_of_pytorchs_is_gone_on_from(name: str, data: st.DataObject):
    options = [data.draw(OPTIMIZERS[name])]
    start = np.linspace(-1, 1, 4)
    theirs = Side(torch, name, [start], options)
    noise = np.ones(4)
    for _ in range(3):
        theirs.step([noise])
    ours = Side(tg, name, theirs.values(), [{}])
    saved = theirs.optimizer.state_dict()
    saved["state"] = {
        number: {k: np.asarray(v) if torch.is_tensor(v) else v for k, v in state.items()}
        for number, state in saved["state"].items()
    }
    ours.optimizer.load_state_dict(saved)
    for _ in range(3):
        ours.step([noise])
        theirs.step([noise])
        assert_close(ours.values()[0], theirs.values()[0])


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_defaults(name: str):
    ours, theirs = (
        getattr(library.optim, name)([library.ones(2, requires_grad=True)])
        for library in (tg, torch)
    )
    assert ours.defaults == {key: theirs.defaults[key] for key in ours.defaults}
    assert same_repr(ours, theirs)


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize(
    "wrong",
    [
        lambda library, w: [],
        lambda library, w: w,
        lambda library, w: [w * 2],
        lambda library, w: [3.0],
        lambda library, w: [{"params": [w]}, {"params": [w]}],
        lambda library, w: [{"params": {w}}],
        lambda library, w: library.nn.Linear(1, 1),
    ],
)
def test_what_both_refuse(name: str, wrong: Any):
    for library in (torch, tg):
        with pytest.raises((TypeError, ValueError)):
            getattr(library.optim, name)(wrong(library, library.ones(2, requires_grad=True)))


# LBFGS calls for the loss itself, so it is not in the table.

lbfgs = st.fixed_dictionaries(
    {
        "lr": one_of(0.1, 0.5, 1.0),
        "max_iter": one_of(1, 2, 5),
        "max_eval": one_of(None, 3, 50),
        "history_size": one_of(1, 3, 100),
        "line_search_fn": one_of(None, "strong_wolfe"),
    }
    | ({"maximize": st.booleans()} if SINCE_2_14 else {})
)


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
@given(options=lbfgs, seed=st.integers(0, 2**32 - 1), saved=st.integers(0, 5))
def test_lbfgs(options: dict[str, Any], seed: int, saved: int):
    rng = np.random.default_rng(seed)
    starts = [np.asarray(rng.standard_normal(shape)) for shape in ((), (3,), (2, 2), (2,))]
    ours, theirs = (lbfgs_side(library, options, starts) for library in (tg, torch))
    for step in range(STEPS // options["max_iter"]):
        mine, yours = (side.optimizer.step(closure_of(side)) for side in (ours, theirs))
        assert_close(mine.item(), yours.item())
        for a, b in zip(ours.values(), theirs.values(), strict=True):
            assert_close(a, b)
        if step == saved:
            other = lbfgs_side(tg, {}, ours.values())
            other.optimizer.load_state_dict(ours.optimizer.state_dict())
            ours = other
    state, their_state = (side.optimizer.state_dict()["state"][0] for side in (ours, theirs))
    assert set(state) == set(their_state) - {"al"}
    assert state["n_iter"] == their_state["n_iter"]
    assert state["func_evals"] == their_state["func_evals"]
    if SINCE_2_14:
        assert same_repr(ours.optimizer, theirs.optimizer)
