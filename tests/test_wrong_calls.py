"""Wrong calls raise an error of the right class that names what is wrong; parity has hundreds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import tinygrad_fc as tg
from tinygrad_fc import nn
from tinygrad_fc.core.errors import ArgumentError, DtypeError, ShapeError
from tinygrad_fc.utils.data import DataLoader, TensorDataset

if TYPE_CHECKING:
    from collections.abc import Callable

X = tg.ones(2, 3) / 2
CALLS: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (lambda: X.reshape(2, -3), ShapeError, r"sizes of at least -1, not \(2, -3\)"),
    (lambda: X.view(-2, 3), ShapeError, "sizes of at least -1"),
    (lambda: X.clone().requires_grad_("no"), DtypeError, "'no'; expected True or False"),
    (lambda: tg.ones(2, requires_grad=1), DtypeError, "1; expected True or False"),
    (lambda: tg.compile(5), TypeError, "5; expected a function or a module"),
    (lambda: DataLoader(TensorDataset(X), num_workers=-1), ArgumentError, "num_workers is -1"),
    (lambda: DataLoader(TensorDataset(X), timeout=-1), ArgumentError, "timeout is -1"),
    (lambda: X.clone().resize_(-1), ArgumentError, r"sizes is \(-1,\), expected sizes of at least"),
    (lambda: X.clone().exponential_(-1.0), ArgumentError, "lambd is -1.0, expected above 0"),
    (lambda: nn.utils.vector_to_parameters(3, [X]), ArgumentError, "vec is 3, expected a tensor"),
    (lambda: tg.where(X, X, X), DtypeError, "a condition of bool: condition != 0"),
    (lambda: X.masked_fill(X.long(), 0), DtypeError, "int64; expected a mask of bool"),
    (lambda: nn.ReLU()(X, 2), TypeError, "ReLU takes 1 input; got 2"),
    (lambda: nn.MSELoss()(X, X, reduction="none"), TypeError, "MSELoss: reduction is set where it"),
    (lambda: nn.BatchNorm1d(3, eps=-1), ArgumentError, "eps is -1, expected at least 0"),
    (lambda: nn.LayerNorm(3, eps=-1), ArgumentError, "eps is -1, expected at least 0"),
    (lambda: nn.GroupNorm(3, 3, eps=-1), ArgumentError, "eps is -1, expected at least 0"),
    (lambda: tg.tensor([1, 2]) ** -1, ArgumentError, "negative integer powers"),
    (lambda: nn.Linear(3, 2)(5), DtypeError, r"\(input\) is 5; pass a tensor or an array"),
    (lambda: X.to("gpu"), DtypeError, "'gpu'; expected a dtype such as tg.float32, or a device"),
    (lambda: tg.device("cpu", "a"), RuntimeError, "no device"),
]


@pytest.mark.parametrize(("call", "kind", "text"), CALLS)
def test_a_wrong_call_is_refused(call: Callable[[], Any], kind: type[Exception], text: str) -> None:
    with pytest.raises(kind, match=text) as raised:
        call()
    assert type(raised.value) is kind


def test_a_condition_of_bytes_is_accepted_as_in_early_scripts() -> None:
    assert tg.where((X > 0).to(tg.uint8), X, -X).tolist() == X.tolist()


def test_the_module_of_linear_algebra_lists_public_names_only() -> None:
    assert dir(tg.linalg)
    assert not [name for name in dir(tg.linalg) if name.startswith("_") or name in {"np", "Any"}]
    assert all(callable(getattr(tg.linalg, name)) for name in dir(tg.linalg))
    assert isinstance(tg.float32, tg.dtype)
