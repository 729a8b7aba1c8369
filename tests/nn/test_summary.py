"""The summary of a model: counts, text, arguments, and that it has no side effects."""

import pickle
from contextlib import nullcontext
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from drawing import Plain
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_fc as tg
from tinygrad_fc import nn
from tinygrad_fc.nn.summary import Summary, summary
from tinygrad_fc.random import default_generator


class Calling(Plain):
    """A module with attributes, whose forward is `function(self, *inputs)`."""

    def __init__(self, function: Any, **attributes: Any) -> None:
        super().__init__(function=function, **attributes)

    def forward(self, *inputs: Any) -> Any:
        return self.function(self, *inputs)


def rows(shown: Summary) -> list[list[str]]:
    """Split the lines between the rules into path, class, output shape, parameters, trainable."""
    lines = str(shown).splitlines()
    first, last = (i for i, line in enumerate(lines) if set(line) == {"-"})
    kind, output = (lines[0].index(name) for name in ("class", "output shape"))
    return [
        [line[:kind].rstrip(), line[kind:output].rstrip(), *line[output:].rsplit(maxsplit=2)]
        for line in lines[first + 1 : last]
    ]


# Counts and text

widths = st.lists(st.integers(1, 20), min_size=2, max_size=6)


@given(widths, st.integers(1, 9), st.booleans(), st.data())
def test_shapes_and_counts_of_a_network(
    widths: list[int], batch: int, bias: bool, data: st.DataObject
):
    layers: list[Any] = []
    expected = []
    for n_in, n_out in pairwise(widths):
        layers += [nn.Linear(n_in, n_out, bias=bias), nn.Tanh()]
        count = n_out * (n_in + bias)
        expected += [(count, [(batch, n_out)]), (0, [(batch, n_out)])]
    frozen = data.draw(st.sampled_from(layers[::2]))
    frozen.requires_grad_(requires_grad=False)
    shown = summary(nn.Sequential(*layers), (batch, widths[0]))

    assert [(row.parameters, row.outputs) for row in shown.layers[1:]] == expected
    assert shown.layers[0].outputs == expected[-1][1]
    assert shown.parameters == sum(count for count, _ in expected)
    assert shown.trainable == shown.parameters - sum(p.numel() for p in frozen.parameters())
    assert shown.trainable == sum(row.trainable for row in shown.layers)
    assert shown.memory == {
        "parameters": 8 * shown.parameters,
        "buffers": 0,
        "input": 8 * batch * widths[0],
        "outputs": 8 * batch * 2 * sum(widths[1:]),
    }


def test_rows_are_indented_and_have_the_paths_of_get_submodule():
    block = Calling(lambda self, x: x + self.layers[1](self.layers[0](x)), layers=None)
    block.layers = nn.ModuleList([nn.Linear(4, 4), nn.ReLU()])
    model = nn.Sequential(nn.Linear(3, 4), block, nn.Linear(4, 2))
    model[0].requires_grad_(requires_grad=False)
    shown = summary(model, (5, 3))
    assert rows(shown) == [
        ["model", "Sequential", "(5, 2)", "-", "-"],
        ["  0", "Linear", "(5, 4)", "16", "0"],
        ["  1", "Calling", "(5, 4)", "-", "-"],
        ["    1.layers", "ModuleList", "not called", "-", "-"],
        ["      1.layers.0", "Linear", "(5, 4)", "20", "20"],
        ["      1.layers.1", "ReLU", "(5, 4)", "-", "-"],
        ["  2", "Linear", "(5, 2)", "10", "10"],
    ]
    assert str(shown).splitlines()[-3].split() == ["total", "46", "30"]
    for row in shown.layers:
        assert type(model.get_submodule(row.path)).__name__ == row.kind


def test_shared_layers_and_shared_parameters_count_once():
    shared, tied = nn.Linear(3, 3), nn.Linear(3, 3, bias=False)
    tied.weight = shared.weight
    model = nn.Sequential(shared, nn.Tanh(), shared, tied)
    shown = summary(model, (2, 3))
    assert shown.parameters == 12
    assert rows(shown) == [
        ["model", "Sequential", "(2, 3)", "-", "-"],
        ["  0", "Linear", "2 x (2, 3)", "12", "12"],
        ["  1", "Tanh", "(2, 3)", "-", "-"],
        ["  2", "Linear", "same as 0", "-", "-"],
        ["  3", "Linear", "(2, 3)", "-", "-"],
    ]


def test_rows_list_all_output_shapes():
    model = Calling(
        lambda self, x: {"a": self.layer(x), "b": (self.layer(x[0]), self.layer(x), None)},
        layer=nn.Identity(),
        unused=nn.Identity(),
    )
    shapes = ["{'a': (2, 3), 'b': ((3,), (2, 3), 'NoneType')}", "2 x (2, 3), (3,)", "not called"]
    assert [row[2] for row in rows(summary(model, (2, 3)))] == shapes


def test_memory_depends_on_dtypes_and_views_take_none():
    model = nn.Sequential(
        nn.Identity(), nn.Dropout(0.5), nn.Flatten(), nn.Linear(4, 8), nn.BatchNorm1d(8)
    ).float()
    shown = summary(model, (2, 2, 2))
    assert shown.memory["buffers"] == sum(b.numel() * b.element_size() for b in model.buffers())
    assert str(shown).endswith(
        "memory: parameters 224 B, buffers 72 B,\n        input 32 B, outputs 128 B"
    )
    for count, text in ((0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (3 * 2**29, "1.5 GiB")):
        assert f"buffers {text}," in str(Summary([], 0, 0, {"parameters": 0, "buffers": count}))


# Arguments


def test_several_inputs_are_a_list_of_shapes_with_dtypes():
    parts = {"table": nn.Embedding(10, 4), "layer": nn.Linear(4, 2)}
    model = Calling(lambda self, i, x: self.layer(self.table(i) + x), **parts)
    for shapes in ([(5,), (5, 4)], ((5,), (5, 4)), [[5], [5, 4]]):
        shown = summary(model, shapes, dtypes=[tg.int64, tg.float64])
        assert shown.layers[0].outputs == [(5, 2)]
        assert shown.memory["input"] == 8 * (5 + 5 * 4)
    with pytest.raises(ValueError, match="zip"):
        summary(nn.Tanh(), (1, 2), dtypes=[tg.float64, tg.float64])
    for shape in ((3,), [3], (np.int64(3),), (0, 3), ()):
        assert summary(nn.Tanh(), shape).layers[0].outputs == [tuple(shape)]


def test_inputs_have_the_dtype_of_the_parameters_and_forward_runs_in_evaluation_mode():
    seen: list[Any] = []

    def forward(self: Any, x: Any) -> None:
        recorded = [layer(x).requires_grad for layer in self.children()]
        seen.append((x.dtype, self.training, *recorded))

    summary(Calling(forward, layer=nn.Linear(1, 1).float()), (1,))
    summary(Calling(forward), (1,))
    assert seen == [(tg.float32, False, False), (tg.get_default_dtype(), False)]


# No side effects


class Noisy(nn.Module):
    """A layer that draws numbers, changes its buffer and its attributes, and warns."""

    def __init__(self) -> None:
        self.register_buffer("calls", tg.zeros(1))

    def forward(self, x: Any) -> Any:
        self.calls.add_(1)
        self.last = np.log(0 * x.detach().numpy())
        return x + tg.rand(*x.shape)


@pytest.mark.parametrize("width", [3, 4])
def test_the_model_and_the_generator_are_unchanged(width: int):
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4).eval(), nn.Dropout(0.5), Noisy())
    before = pickle.dumps(model), default_generator.get_state().tolist()
    with nullcontext() if width == 3 else pytest.raises(nn.LayerError):
        summary(model, (5, width))
    assert (pickle.dumps(model), default_generator.get_state().tolist()) == before
    assert tg.is_grad_enabled()
