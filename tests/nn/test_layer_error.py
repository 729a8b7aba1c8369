"""Errors with the path of the layer that raised them."""

import pickle
from typing import Any

import pytest
from drawing import Plain

import tinygrad_fc as tg
from tinygrad_fc import nn


def layer_error(module: nn.Module, x: Any) -> nn.LayerError:
    with pytest.raises(nn.LayerError) as caught:
        module(x)
    return caught.value


def test_a_wrong_width_names_path_previous_layer_and_fix():
    net = Plain(body=nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(8, 3)))
    net.forward = net.body.__call__
    error = layer_error(net, tg.zeros(2, 4))
    assert str(error) == (
        "layer 'body.2' of Plain, Linear(in_features=8, out_features=3, bias=True), got an input "
        "of shape (2, 5): axis -1 has size 5, but its in_features is 8. The layer before it, "
        "'body.1' (Tanh()) returned (2, 5). Set its in_features to 5, or make the layer before it "
        "8 wide."
    )
    assert isinstance(error, ValueError | RuntimeError)
    assert isinstance(error.__cause__, ValueError)


def test_paths_of_a_shared_layer_and_of_an_inner_one():
    layer = nn.Linear(4, 5)  # the path is that of the call that failed
    message = str(layer_error(nn.Sequential(layer, nn.Tanh(), layer), tg.zeros(2, 4)))
    assert message.startswith("layer '2' of Sequential")
    assert "'1' (Tanh()) returned (2, 5)" in message
    net = nn.Sequential(layer, nn.Sequential(nn.Linear(8, 3)))
    message = str(layer_error(net, tg.zeros(2, 4)))
    assert message.startswith("layer '1.0' of Sequential")
    assert "The layer before it, '0' (Linear(in_features=4, out_features=5, bias=True))" in message


def test_fixes_for_transposed_1d_and_0d_inputs():
    assert "Pass `x.T`: axis 0 has size 4" in str(layer_error(nn.Linear(4, 1), tg.zeros(4, 9)))
    assert "Pass `x.reshape(-1, 1)`" in str(layer_error(nn.Linear(1, 1), tg.zeros(9)))
    message = str(layer_error(nn.Linear(4, 1), tg.zeros(())))
    assert "no axis, but its in_features is 4. Give the input an axis of size 4" in message


@pytest.mark.parametrize(
    "layer", [nn.Linear(2, 2), nn.LayerNorm(2), nn.BatchNorm1d(2), nn.PReLU(), nn.PReLU(2)]
)
def test_a_wider_input_warns_once_and_computes_in_its_dtype(layer: Any, monkeypatch: Any):
    monkeypatch.setattr("tinygrad_fc.nn.layer_error._warned", False)
    wide = tg.ones(3, 2)
    assert layer(wide.float()).dtype == layer(wide).dtype == tg.float64
    layer.float()
    for _ in range(2):  # an error of a filter does not count
        with pytest.raises(UserWarning, match=rf"^{layer.__class__.__name__}.* float64 .* float32"):
            layer(wide)
    net = nn.Sequential(layer, nn.Linear(2, 2).float())
    with pytest.warns(UserWarning, match=r"x\.to\(float32\), or the layer, layer\.to\(float64\)"):
        out = net(wide)
    assert out.dtype == layer(wide).dtype == tg.float64
    out.sum().backward()
    assert {p.grad.dtype for p in net.parameters()} == {tg.float32}


def test_pickled_errors_do_not_contain_the_model():
    net = nn.Sequential(nn.Linear(4, 500), nn.Linear(800, 2))
    error = layer_error(net, tg.zeros(2, 4))
    size = len(pickle.dumps(error))
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
    assert size < 8000, "500 x 4 weights take twice as much; Dask adds the traceback"


class Broken(nn.Module):
    def forward(self, x: Any) -> Any:
        raise KeyError(x)


def test_other_errors_get_a_note_with_the_path():
    outer = Plain()
    outer.forward = Broken().__call__  # of a layer outside of the model
    for net, place in (
        (nn.Sequential(nn.Tanh(), nn.Sequential(Broken())), "layer '1.0' of Sequential"),
        (Broken(), "Broken"),
        (outer, "layer '<Broken>' of Plain"),
    ):
        with pytest.raises(KeyError) as caught:
            net(tg.zeros(1))
        assert caught.value.__notes__ == [f"raised in {place}"]
        assert pickle.loads(pickle.dumps(caught.value)).args == caught.value.args
