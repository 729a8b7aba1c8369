"""Messages for invalid arguments of layers, losses and their tools."""

import math
from functools import partial
from typing import Any

import pytest

import tinygrad_fc as tg
from tinygrad_fc import nn
from tinygrad_fc.core.errors import ArgumentError, DtypeError, RangeError, ShapeError
from tinygrad_fc.nn import init, utils
from tinygrad_fc.nn.summary import summary
from tinygrad_fc.nn.utils import parametrizations, parametrize, prune
from tinygrad_fc.utils.data import DataLoader, TensorDataset

F = nn.functional
X, Y = tg.zeros(2, 3), tg.tensor([0, 1])
LINEAR, TABLE = nn.Linear(2, 1), nn.Embedding(3, 2)
INFINITE = nn.Parameter([1.0])
INFINITE.grad = tg.tensor([math.inf])

ACTIVATIONS = [
    (lambda: F.glu(X), ShapeError, r"shape \(2, 3\), expected an even size along dim -1"),
    (lambda: nn.PReLU(2)(X), ShapeError, r"PReLU\(.*=2\), got an input of shape \(2, 3\)"),
    (lambda: F.prelu(X, X[0, :2]), ShapeError, r"has shape \(2,\) and the input \(2, 3\)"),
    (lambda: F.gelu(X, "x"), ValueError, 'expected "none" or "tanh"'),
    (lambda: nn.Hardtanh(1.0, 0.0)(X), ValueError, "min_val is 1.0, expected at most max_val"),
    (lambda: F.softshrink(X, -1), ValueError, "lambd is -1, expected at least 0"),
    (lambda: nn.Softmax("0")(X), TypeError, "softmax cannot take .* dim='0'"),
]
LINEAR_AND_EMBEDDING = [
    (lambda: TABLE(tg.tensor([0, 3])), RangeError, "are 0 to 3, expected 0 to 2"),
    (lambda: TABLE(tg.tensor([-1])), RangeError, "the indices are -1 to -1"),
    (lambda: TABLE(X), DtypeError, "are float64, expected integers"),
    (lambda: nn.Embedding(3, 2, padding_idx=3), RangeError, "is 3, expected -3 to 2"),
    (lambda: F.one_hot(Y + 2, 3), RangeError, "are 2 to 3, expected 0 to 2"),
    (lambda: nn.Bilinear(3, 4, 5)(X, X), nn.LayerError, "size 3, but its in2_features is 4"),
    (lambda: F.bilinear(X, X.T, X[None]), ShapeError, r"\(2, 3\) and \(3, 2\) and the weigh"),
    (lambda: F.pad(X, (1,)), ShapeError, "expected two widths per axis"),
    (lambda: F.pad(X[0], (1,) * 4), ShapeError, r"pad is \(1, 1, 1, 1\) for an input of shape \(3"),
    (lambda: F.pad(X, (3, 0), "reflect"), ShapeError, "size 3, expected at most 2 for mode 'refle"),
    (lambda: F.pad(X, (4, 0), "circular"), ShapeError, "expected at most 3 for mode 'circular'"),
    (lambda: F.pad(X, (1, 1), "mirror"), ValueError, "'mirror', expected one of constant, reflect"),
]
LOSSES = [
    (lambda: F.cross_entropy(X, Y + 2), RangeError, r"index is 3, expected 0 to 2 .* \(2, 3\)"),
    (lambda: F.nll_loss(X, Y - 1), RangeError, "is -1, expected 0 to 2"),
    (lambda: F.cross_entropy(X, Y[:, None]), ShapeError, r"\(2,\) for 3 .* target.reshape\(\(2,"),
    (lambda: F.cross_entropy(X, Y[:1]), ShapeError, "Pass one class index per sample"),
    (lambda: F.cross_entropy(X[0, 0], Y[0]), ShapeError, "Give the input an axis for the classes"),
    (lambda: F.multi_margin_loss(X[None], Y), ShapeError, "Flatten the other axes"),
    (lambda: F.cross_entropy(X, X[:, 0]), DtypeError, r"float64, expected .* target.long\(\)"),
    (lambda: F.cross_entropy(X, X.long()), DtypeError, "int64 .* expected float probabilities"),
    (lambda: F.cross_entropy(X, Y, X[:, 0]), ShapeError, r"weight has .* per class: \(3,\)"),
    (lambda: F.cross_entropy(Y, X), DtypeError, "int64 .* float64 .* Swap the arguments: cross"),
    (lambda: F.binary_cross_entropy(X + 2, X), ValueError, "outside .* Apply sigmoid, or use bin"),
    (lambda: F.gaussian_nll_loss(X, X, X - 1), ValueError, "negative element, expected at least 0"),
    (lambda: F.gaussian_nll_loss(X, X, X[0]), ShapeError, r"has shape \(3,\) and input \(2, 3\)"),
    (lambda: F.mse_loss(X, X, weight=X[0]), ShapeError, r"and weight \(3,\), expected one weight"),
    (lambda: F.mse_loss(X, X / X), ValueError, r"mse_loss: target is NaN at index \(0, 0\)"),
]
NORMS_AND_DROPOUT = [
    (lambda: nn.LayerNorm(3)(X.T), nn.LayerError, "axis -1 has size 2, but its"),
    (lambda: nn.LayerNorm((3, 3))(X), nn.LayerError, "axis -2 has size 2"),
    (lambda: nn.GroupNorm(2, 4)(X), nn.LayerError, "num_channels is 4"),
    (lambda: nn.LayerNorm((2, 3))(X[0]), ShapeError, r"last axes to be \(2, 3\)"),
    (lambda: nn.GroupNorm(2, 3), ValueError, "is 2, expected a divisor of num_channels = 3"),
    (lambda: nn.BatchNorm1d(4)(X), nn.LayerError, "axis 1 has size 3, but its num_features"),
    (lambda: nn.BatchNorm1d(3)(X[0]), ShapeError, r"shape \(3,\), expected \(N, C\)"),
    (lambda: nn.BatchNorm1d(3)(X[:1]), ValueError, "more than one value per channel"),
    (lambda: nn.InstanceNorm1d(3)(X[..., None]), ValueError, "expected .* L above 1"),
    (lambda: F.group_norm(X[:1, :2], 2), ValueError, "more than one value per group"),
    (lambda: F.group_norm(X, 2), ShapeError, "num_groups is 2, expected"),
    (lambda: F.batch_norm(X, X[0, :1], X[0, :1]), ShapeError, "expected one value per channel"),
    (lambda: nn.Dropout(-0.1), ValueError, "expected a probability in"),
    (lambda: nn.AlphaDropout(1.1), ValueError, "expected a probability in"),
    (lambda: F.dropout(X, math.nan), ValueError, "expected a probability in"),
]
INITIAL_VALUES = [
    (lambda: init.calculate_gain("swoosh"), "nonlinearity is 'swoosh', expected one of linear"),
    (lambda: init.uniform_(X, 2, 1), "from <= to"),
    (lambda: init.normal_(X, 0, -1), "std"),
    (lambda: init.trunc_normal_(X, a=2, b=2), "a is 2, expected less than b = 2"),
    (lambda: init.sparse_(X, 1.5), r"is 1.5, expected a fraction in \[0, 1\]"),
    (lambda: init.sparse_(X[0], 0.5), r"shape \(3,\), expected 2 dimensions"),
    (lambda: init.trunc_normal_(X, std=0), "std is 0, expected"),
    (lambda: init.eye_(X[0]), r"shape \(3,\), expected 2 dimensions"),
    (lambda: init.xavier_normal_(X[0]), r"Initialise a bias with zeros_"),
    (lambda: init.orthogonal_(X[0]), r"shape \(3,\), expected 2 or more dimensions"),
    (lambda: init.kaiming_normal_(X, mode="fan"), "expected 'fan_in' or"),
]
PARAMETRIZATIONS = [
    (lambda m: parametrize.register_parametrization(m, "no", nn.Tanh()), "name of a parameter"),
    (lambda m: parametrize.remove_parametrizations(m, "weight"), "a parametrized tensor"),
    (lambda m: parametrizations.orthogonal(m, "bias"), "the name of a matrix"),
    (lambda m: parametrizations.orthogonal(m, orthogonal_map="qr"), "one of matrix_exp"),
    (lambda m: parametrizations.orthogonal(m, use_trivialization=False), "expected True"),
    (lambda m: parametrizations.spectral_norm(m, n_power_iterations=0), "at least 1"),
    (lambda m: prune.l1_unstructured(m, "weight", 1.5), "a share in"),
    (lambda m: prune.random_unstructured(m, "weight", 100), "number of elements"),
    (lambda m: prune.remove(m, "weight"), "a pruned parameter"),
]
TOOLS = [
    (lambda: utils.clip_grad_norm_([X], -1.0), ValueError, "max_norm is .*, expected at least 0"),
    (
        lambda: utils.clip_grad_norm_(INFINITE, 1, error_if_nonfinite=True),
        *(RuntimeError, r"total norm of order 2\.0 .* non-finite \(inf\).*detect"),
    ),
    (lambda: utils.clip_grad_value_([X], math.nan), ValueError, "clip_value is .*, expected at l"),
    (lambda: utils.clip_grad_norm_(LINEAR, 1), TypeError, r"a Linear\. Pass model\.parameters"),
    (lambda: tg.compile(5), TypeError, "5; expected a function or a module"),
    (lambda: DataLoader(TensorDataset(X), num_workers=-1), ArgumentError, "num_workers is -1"),
    (lambda: DataLoader(TensorDataset(X), timeout=-1), ArgumentError, "timeout is -1"),
    (lambda: nn.utils.vector_to_parameters(3, [X]), ArgumentError, "vec is 3, expected a tensor"),
    (lambda: nn.ReLU()(X, 2), TypeError, "ReLU takes 1 input; got 2"),
    (lambda: nn.MSELoss()(X, X, reduction="none"), TypeError, "MSELoss: reduction is set where it"),
    (lambda: nn.BatchNorm1d(3, eps=-1), ArgumentError, "eps is -1, expected at least 0"),
    (lambda: nn.LayerNorm(3, eps=-1), ArgumentError, "eps is -1, expected at least 0"),
    (lambda: nn.GroupNorm(3, 3, eps=-1), ArgumentError, "eps is -1, expected at least 0"),
    (lambda: nn.Linear(3, 2)(5), DtypeError, r"\(input\) is 5; pass a tensor or an array"),
    (lambda: tg.device("cpu", "a"), RuntimeError, "no device"),
    (lambda: summary(nn.Tanh, (1,)), TypeError, "expected a Module. Pass an instance"),
    (lambda: summary(nn.Tanh(), 3), TypeError, "input_shape is 3, expected a tuple"),
    (lambda: summary(nn.Tanh(), tg.ones(2, 3)), TypeError, r"input_shape is tensor\(\[\[1"),
    (lambda: summary(nn.Tanh(), (2.5, 3)), TypeError, r"input_shape is \(2.5, 3\)"),
    (lambda: summary(nn.Tanh(), (-1, 3)), ValueError, "negative dimensions"),
    (lambda: summary(nn.Tanh(), [(1, 2), 3]), TypeError, "or a list of one per input"),
]


@pytest.mark.parametrize(("call", "kind", "message"), [
    *ACTIVATIONS, *LINEAR_AND_EMBEDDING, *LOSSES, *NORMS_AND_DROPOUT, *TOOLS,
    *((call, ValueError, message) for call, message in INITIAL_VALUES),
    *((partial(call, LINEAR), ValueError, message) for call, message in PARAMETRIZATIONS),
])  # fmt: skip
def test_invalid_arguments_raise(call: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        call()
    assert repr(LINEAR) == "Linear(in_features=2, out_features=1, bias=True)"
    assert list(LINEAR.state_dict()) == ["weight", "bias"]
