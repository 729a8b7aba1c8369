"""The summary of a model: counts, text, arguments, and that it has no side effects."""

from __future__ import annotations

import copy
import pickle
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_fc as tg
from tinygrad_fc import nn
from tinygrad_fc.nn.summary import Summary, summary
from tinygrad_fc.random import default_generator


class Plain(nn.Module):
    """A module with attributes, whose forward is `function(self, *inputs)`."""

    def __init__(self, function: Any, **attributes: Any) -> None:
        self.function = function
        for name, value in attributes.items():
            setattr(self, name, value)

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
    assert shown.parameters == sum(row.parameters for row in shown.layers)
    assert shown.trainable == sum(row.trainable for row in shown.layers)
    assert shown.parameter_bytes == 8 * shown.parameters
    assert shown.input_bytes == 8 * batch * widths[0]
    assert shown.output_bytes == 8 * batch * 2 * sum(widths[1:])


def test_rows_are_indented_and_have_the_paths_of_get_submodule():
    block = Plain(lambda self, x: x + self.layers[1](self.layers[0](x)), layers=None)
    block.layers = [nn.Linear(4, 4), nn.ReLU()]
    model = nn.Sequential(nn.Linear(3, 4), block, nn.Linear(4, 2))
    model[0].requires_grad_(requires_grad=False)
    shown = summary(model, (5, 3))
    assert rows(shown) == [
        ["model", "Sequential", "(5, 2)", "-", "-"],
        ["  0", "Linear", "(5, 4)", "16", "0"],
        ["  1", "Plain", "(5, 4)", "-", "-"],
        ["    1.layers.0", "Linear", "(5, 4)", "20", "20"],
        ["    1.layers.1", "ReLU", "(5, 4)", "-", "-"],
        ["  2", "Linear", "(5, 2)", "10", "10"],
    ]
    assert str(shown).splitlines()[-3].split() == ["total", "46", "30"]
    for row in shown.layers:
        assert type(model.get_submodule(row.path)).__name__ == row.kind


def test_shared_layers_and_shared_parameters_count_once():
    shared, tied = nn.Linear(3, 3), nn.Linear(3, 3, bias=False)
    tied.weight = shared.weight
    shown = summary(nn.Sequential(shared, nn.Tanh(), shared, tied), (2, 3))
    assert shown.parameters == 12
    assert rows(shown) == [
        ["model", "Sequential", "(2, 3)", "-", "-"],
        ["  0", "Linear", "2 x (2, 3)", "12", "12"],
        ["  1", "Tanh", "(2, 3)", "-", "-"],
        ["  2", "Linear", "same as 0", "-", "-"],
        ["  3", "Linear", "(2, 3)", "-", "-"],
    ]


def test_a_module_that_contains_itself_is_listed_twice():
    model = Plain(lambda self, x: x, layer=nn.Linear(2, 2))
    model.layer.outer = model
    assert rows(summary(model, (1, 2)))[1:] == [
        ["  layer", "Linear", "not called", "6", "6"],
        ["    layer.outer", "Plain", "same as model", "-", "-"],
    ]


def test_two_modules_with_one_path_have_a_row_each():
    layers = {"b.c": nn.Linear(2, 3), "b": {"c": nn.Linear(3, 4)}}
    model = Plain(lambda self, x: self.b["c"](vars(self)["b.c"](x)), **layers)
    assert [row[0:3] for row in rows(summary(model, (5, 2)))[1:]] == [
        ["  b.c", "Linear", "(5, 3)"],
        ["  b.c", "Linear", "(5, 4)"],
    ]


def test_rows_list_all_output_shapes():
    layer = nn.Identity()
    model = Plain(
        lambda self, x: {"a": self.layer(x), "b": (self.layer(x[0]), self.layer(x), None)},
        layer=layer,
    )
    shown = summary(model, (2, 3))
    assert rows(shown)[0][2] == "{'a': (2, 3), 'b': [(3,), (2, 3), 'NoneType']}"
    assert rows(shown)[1][2] == "2 x (2, 3), (3,)"
    assert shown.layers[1].outputs == [(2, 3), (3,), (2, 3)]


def test_outputs_that_are_views_of_inputs_take_no_memory():
    model = nn.Sequential(nn.Identity(), nn.Dropout(0.5), nn.Flatten(), nn.Linear(6, 1), nn.Tanh())
    assert summary(model, (4, 2, 3)).output_bytes == 4 * 8 + 4 * 8


def test_memory_depends_on_dtypes_and_includes_buffers():
    model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8)).float()
    shown = summary(model, (2, 4))
    assert shown.buffers == 8 + 8 + 1
    assert shown.buffer_bytes == sum(b.numel() * b.element_size() for b in model.buffers())
    assert shown.parameter_bytes == 4 * (4 * 8 + 8 + 16)
    assert shown.input_bytes == 4 * 2 * 4
    assert str(shown).endswith(
        "memory: parameters 224 B, buffers 72 B,\n        input 32 B, outputs 128 B"
    )


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (2**20 - 1, "1024.0 KiB"),
        (2**20, "1.0 MiB"),
        (3 * 2**29, "1.5 GiB"),
        (2**42, "4096.0 GiB"),
    ],
)
def test_memory_is_shown_in_powers_of_1024(count: int, text: str):
    assert f"input {text}," in str(Summary([], 0, 0, 0, 0, 0, count, 0))


def test_str_and_repr_are_equal_and_ascii():
    shown = summary(nn.Linear(2, 1), (1, 2))
    assert repr(shown) == str(shown) == f"{shown}"
    assert str(shown).isascii()
    lines = str(shown).splitlines()
    assert not any(line != line.rstrip() for line in lines)
    assert len({len(line) for line in lines[:-2]}) == 1


# Arguments


def test_several_inputs_are_a_list_of_shapes_with_dtypes():
    model = Plain(
        lambda self, i, x: self.layer(self.table(i) + x),
        table=nn.Embedding(10, 4),
        layer=nn.Linear(4, 2),
    )
    for shapes in ([(5,), (5, 4)], ((5,), (5, 4)), [[5], [5, 4]]):
        shown = summary(model, shapes, dtypes=[tg.int64, tg.float64])
        assert shown.layers[0].outputs == [(5, 2)]
        assert shown.input_bytes == 8 * (5 + 5 * 4)
    assert summary(nn.Embedding(10, 4), (5, 3), tg.int64).layers[0].outputs == [(5, 3, 4)]


def test_a_shape_is_a_tuple_or_list_of_any_length():
    model = nn.Sequential(nn.Linear(3, 2))
    for shape in ((3,), [3], (np.int64(3),)):
        assert summary(model, shape).layers[0].outputs == [(2,)]
    assert summary(model, (0, 3)).layers[0].outputs == [(0, 2)]
    assert summary(nn.Tanh(), ()).layers[0].outputs == [()]


def test_inputs_have_the_dtype_of_the_parameters():
    seen = []
    model = Plain(lambda self, x: seen.append(x.dtype), layer=nn.Linear(1, 1).float())
    summary(model, (1,))
    summary(Plain(lambda self, x: seen.append(x.dtype)), (1,))
    assert seen == [tg.float32, tg.get_default_dtype()]


@pytest.mark.parametrize(
    ("model", "shape", "error", "message"),
    [
        (nn.Tanh, (1,), TypeError, "expected a Module. Pass an instance"),
        (len, (1,), TypeError, "<built-in function len>, expected a Module"),
        (nn.Tanh(), 3, TypeError, "input_shape is 3, expected a tuple"),
        (nn.Tanh(), "32", TypeError, "input_shape is '32', expected"),
        (nn.Tanh(), tg.zeros(2), TypeError, "input_shape is tensor"),
        (nn.Tanh(), (2.5, 3), TypeError, "input_shape is (2.5, 3)"),
        (nn.Tanh(), (None, 3), TypeError, "input_shape is (None, 3)"),
        (nn.Tanh(), (-1, 3), ValueError, "negative dimensions"),
        (nn.Tanh(), [(1, 2), 3], TypeError, "or a list of one per input"),
    ],
)
def test_invalid_models_and_shapes(model: Any, shape: Any, error: type, message: str):
    with pytest.raises(error) as caught:
        summary(model, shape)
    assert message in str(caught.value)


def test_the_number_of_dtypes_must_match_the_inputs():
    with pytest.raises(ValueError, match="zip"):
        summary(nn.Tanh(), (1, 2), dtypes=[tg.float64, tg.float64])


def test_errors_of_forward_name_the_layer():
    model = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(8, 3))
    with pytest.raises(nn.LayerError, match="layer '2' of Sequential"):
        summary(model, (2, 4))


# No side effects


def state_of(model: nn.Module) -> Any:
    """Return all that could change: attributes, values, modes, the state of the generator."""
    return (
        [sorted(vars(module)) for module in model.modules()],
        [vars(module).get("training") for module in model.modules()],
        [dict(module._hooks or {}) for module in model.modules()],
        [id(tensor) for tensor in (*model.parameters(), *model.buffers())],
        [tensor.tolist() for tensor in model.state_dict().values()],
        [parameter.grad for parameter in model.parameters()],
        default_generator.get_state().tolist(),
        tg.is_grad_enabled(),
    )


def noisy() -> nn.Sequential:
    """Return a model with dropout and batch norm, some in evaluation mode, and a hook."""
    model = nn.Sequential(
        nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Sequential(nn.Dropout(0.5), nn.Linear(4, 2))
    )
    model[1].eval()
    model[2][0].register_forward_hook(lambda module, args, output: output * 2)
    return model


@pytest.mark.parametrize("width", [3, 4])
def test_the_model_and_the_generator_are_unchanged(width: int):
    model = noisy()
    before = state_of(model)
    if width == 3:
        summary(model, (5, width))
    else:
        with pytest.raises(nn.LayerError):
            summary(model, (5, width))
    assert state_of(model) == before


def test_buffers_that_forward_changes_are_restored():
    def change(self: Any, x: Any) -> Any:
        self.calls.add_(1)
        self.stored.data = tg.ones(3)
        self.last = x.detach().sum()
        self.noise = tg.rand(3)
        return x

    model = Plain(change)
    model.register_buffer("calls", tg.zeros(1))
    model.register_buffer("stored", tg.full((2,), float("nan")))
    model.register_buffer("last", None)
    model.register_buffer("noise", tg.zeros(3))
    attributes = dict(vars(model))
    values = copy.deepcopy(model.state_dict())
    generator = default_generator.get_state().tolist()
    summary(model, (2, 2))
    assert vars(model) == attributes
    assert all(
        np.array_equal(value.numpy(), values[name].numpy(), equal_nan=True)
        for name, value in model.state_dict().items()
    )
    assert default_generator.get_state().tolist() == generator


def test_a_backward_pass_after_the_summary():
    model = noisy()
    loss = model(tg.rand(6, 3)).sum()
    summary(model, (2, 3))
    loss.backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_forward_runs_in_evaluation_mode_without_recording():
    seen = []
    model = Plain(lambda self, x: seen.append((self.training, self.layer(x).requires_grad)))
    model.layer = nn.Linear(2, 2)
    summary(model, (1, 2))
    assert seen == [(False, False)]


def test_shapes_are_those_after_hooks_of_the_model():
    model = nn.Sequential(nn.Linear(2, 3))
    handle = model[0].register_forward_hook(lambda module, args, output: output[:, :1])
    assert summary(model, (4, 2)).layers[1].outputs == [(4, 1)]
    handle.remove()
    assert summary(model, (4, 2)).layers[1].outputs == [(4, 3)]


def test_numpys_warnings_are_suppressed():
    model = Plain(lambda self, x: tg.tensor(np.log(0 * x.numpy())))
    assert summary(model, (2,)).layers[0].outputs == [(2,)]


def test_a_model_can_be_pickled_afterwards():
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    before = pickle.dumps(model)
    summary(model, (1, 2))
    assert pickle.dumps(model) == before
