"""Steps of every optimizer, side by side with PyTorch's, over drawn options."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from against_torch import SINCE_2_14
from hypothesis import given, settings
from hypothesis import strategies as st
from optimizers import LBFGS, OPTIMIZERS, options

import tinygrad_fc as tg

torch = pytest.importorskip("torch")

STEPS = 15
few = settings(max_examples=settings.default.max_examples // 4)


pytestmark = pytest.mark.usefixtures("default_float64")  # what PyTorch counts by, too


each = pytest.mark.parametrize("name", [n for n in OPTIMIZERS if hasattr(torch.optim, n)])


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


@each
@few
@given(data=st.data(), seed=st.integers(0, 2**32 - 1))
def test_trajectories(name: str, data: st.DataObject, seed: int):
    shapes = data.draw(st.lists(st.sampled_from([(), (3,), (2, 3)]), min_size=1, max_size=3))
    drawn = [data.draw(OPTIMIZERS[name]) for _ in shapes]
    rng = np.random.default_rng(seed)
    starts = [np.asarray(rng.standard_normal(shape)) for shape in shapes]
    ours, theirs = (Side(library, name, starts, drawn) for library in (tg, torch))
    for _ in range(STEPS):
        noises = [None if rng.random() < 0.1 else rng.standard_normal(shape) for shape in shapes]
        ours.step(noises)
        theirs.step(noises)
        for mine, yours in zip(ours.values(), theirs.values(), strict=True):
            assert_close(mine, yours)
    assert_same_state(ours.optimizer.state_dict(), theirs.optimizer.state_dict())
    assert same_repr(ours.optimizer, theirs.optimizer)


@each
@few
@given(data=st.data())
def test_a_state_of_pytorchs_is_gone_on_from(name: str, data: st.DataObject):
    drawn = [data.draw(OPTIMIZERS[name])]
    start = np.linspace(-1, 1, 4)
    theirs = Side(torch, name, [start], drawn)
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


@each
def test_defaults(name: str):
    ours, theirs = (
        getattr(library.optim, name)([library.ones(2, requires_grad=True)])
        for library in (tg, torch)
    )
    assert ours.defaults == {key: theirs.defaults[key] for key in ours.defaults}
    assert same_repr(ours, theirs)


# LBFGS calls for the loss itself, so it is not in the table.

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
@given(drawn=lbfgs, seed=st.integers(0, 2**32 - 1), saved=st.integers(0, 5))
def test_lbfgs(drawn: dict[str, Any], seed: int, saved: int):
    rng = np.random.default_rng(seed)
    starts = [np.asarray(rng.standard_normal(shape)) for shape in ((), (3,), (2, 2), (2,))]
    ours, theirs = (lbfgs_side(library, drawn, starts) for library in (tg, torch))
    for step in range(STEPS // drawn["max_iter"]):
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
