"""Dicts whose keys are tensors, from outside and as arguments: a key is the tensor itself."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twins import same

import tinygrad_fc as tg
from tinygrad_fc import nn, optim


class Averaging:
    """A step that keeps averages of parameters by them, and decays each by its own rate."""

    def __init__(self) -> None:
        tg.manual_seed(0)
        self.model = nn.Linear(2, 2)
        self.optimizer = optim.SGD(self.model.parameters(), lr=0.1)
        self.means = {p: p.detach().clone() for p in self.model.parameters()}
        self.decay = dict.fromkeys(self.model.parameters(), 0.1)

    def __call__(self, x: Any) -> Any:
        self.optimizer.zero_grad()
        loss = (self.model(x) ** 2).sum()
        for p, decay in self.decay.items():
            loss = loss + decay * (p * p).sum()
        loss.backward()
        self.optimizer.step()
        with tg.no_grad():
            for p in self.model.parameters():
                self.means[p].mul_(0.9).add_(0.1 * p.detach())
        return loss.detach()

    # Between calls

    def another_number(self) -> None:
        self.decay[self.model.weight] += 0.5

    def another_tensor(self) -> None:
        self.means[self.model.bias] = tg.ones(2)

    def another_key(self) -> None:
        self.decay[tg.full((2, 2), 3.0)] = 0.25

    def another_order(self) -> None:
        self.decay[self.model.weight] = self.decay.pop(self.model.weight)

    def a_key_with_the_same_elements(self) -> None:
        self.decay = {p if p is self.model.weight else p.clone().detach(): 0.1 for p in self.decay}

    def nothing(self) -> None: ...


BETWEEN = [name for name, value in vars(Averaging).items() if name[0] != "_" and callable(value)]


@given(happened=st.lists(st.sampled_from(BETWEEN), min_size=2, max_size=6))
def test_dicts_by_parameters_are_as_they_are_without_compiling(happened: Any):
    eager, twin = Averaging(), Averaging()
    compiled = tg.compile(twin, backend="numpy")
    for k, name in enumerate(["nothing", *happened]):
        for each in (eager, twin):
            getattr(each, name)()
        x = tg.full((3, 2), 1.0 + k)
        same("loss", compiled(x), eager(x))
        for of in ("means", "decay"):
            same(of, list(getattr(twin, of).values()), list(getattr(eager, of).values()))
        same("parameters", list(twin.model.parameters()), list(eager.model.parameters()))


def test_what_stays_as_it_is_needs_no_other_program():
    step = Averaging()
    compiled = tg.compile(step, backend="numpy")
    for _ in range(4):
        compiled(tg.ones(3, 2))
    assert len(compiled.programs) == 1


def test_keys_in_tuples():
    p, q = tg.ones(2, 2), tg.ones(2, 2)
    held = {(p, 0): 1.0, (q, 0): 2.0}
    compiled = tg.compile(lambda x: x * held[p, 0] + held[q, 0], backend="numpy")
    for _ in range(2):
        same("result", compiled(p), p * 1.0 + 2.0)
    held.clear()
    held[q, 0], held[p, 0] = 7.0, 5.0
    same("result", compiled(p), p * 5.0 + 7.0)


def test_keys_of_arguments():
    p, q = tg.tensor(1.0), tg.tensor(1.0)  # equal, and two
    x = tg.ones(2)
    compiled = tg.compile(
        lambda d: sum((v if k is p else -v) for k, v in d.items()), backend="numpy"
    )
    for _ in range(2):
        same("by one", compiled({p: x}), 0 + x)
        same("by another", compiled({q: x}), 0 - x)
        same("by one of another shape", compiled({tg.ones(2, 2): x}), 0 - x)
    looked_up = tg.compile(lambda d: d[p] * 2, backend="numpy")
    same("found", looked_up({p: x}), x * 2)
    with pytest.raises(KeyError):
        looked_up({q: x})


def test_keys_of_results():
    p, q = tg.ones(2, 2), tg.ones(2, 2)
    compiled = tg.compile(lambda x: {p: x * 2, q: x.sum()}, backend="numpy")
    for _ in range(2):
        made = compiled(tg.ones(3))
        assert [key is of for key, of in zip(made, (p, q), strict=True)] == [True, True]
    many = compiled.epoch([[0], [1]], tg.ones(2, 3))
    assert many[q].tolist() == [3.0, 3.0]
