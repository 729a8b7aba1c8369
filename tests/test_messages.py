"""Messages of errors: the op, full shapes, the cause and the fix."""

import re
from typing import Any

import numpy as np
import pytest
from drawing import T
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tinygrad_fc as tg
from tinygrad_fc import nn
from tinygrad_fc.core.errors import DtypeError, GraphError, ShapeError
from tinygrad_fc.domain import real

# Terms of PyTorch's internals, which newcomers do not know.
FOREIGN = re.compile(r"\b(grad_fn|non-singleton|singleton|version counter)\b", re.IGNORECASE)


def message_of(call: Any, kind: type[BaseException] = Exception) -> str:
    """Return the message of the error that `call` raises."""
    with pytest.raises(kind) as raised:
        call()
    message = str(raised.value)
    assert not FOREIGN.search(message)
    assert raised.value.__cause__ is not raised.value
    return message


def has(message: str, *parts: str) -> None:
    for part in parts:
        assert part in message


# Frequent mistakes


BROADCASTING = {
    "add": lambda x, y: x + y,
    "multiply": lambda x, y: x * y,
    "divide": lambda x, y: x / y,
    "maximum": tg.maximum,
    "equal": lambda x, y: x == y,
    "where": lambda x, y: tg.where(x > 0, x, y),
}


@pytest.mark.parametrize("name", sorted(BROADCASTING))
@given(
    hnp.array_shapes(max_dims=3, max_side=4),
    hnp.array_shapes(max_dims=3, max_side=4),
    st.booleans(),
)
def test_shapes_that_do_not_broadcast(name: str, one: Any, other: Any, recorded: bool):
    try:
        np.broadcast_shapes(one, other)
    except ValueError:
        pass
    else:
        assume(condition=False)
    x, y = T(np.zeros(one)), tg.zeros(other)
    message = message_of(lambda: BROADCASTING[name](x if recorded else x.detach(), y), ShapeError)
    axis = next(k for k in range(1, 4) if {one[-k], other[-k]} - {1} > {max(one[-k], other[-k])})
    sizes = sorted({one[-axis], other[-axis]})
    has(message, f"{name} cannot take", str(one), str(other))
    has(message, f"axis -{axis} (counted from the right)", f"sizes {sizes[0]} and {sizes[1]}")
    has(message, "Reshape or transpose")


def test_errors_have_the_error_of_numpy_as_cause():
    for call in (
        lambda: tg.ones(2) + tg.ones(3),
        lambda: tg.ones(2, 3) @ tg.ones(2, 3),
        lambda: tg.ones(2).sum(dim=1),
        lambda: tg.ones(2).reshape(3),
        lambda: tg.ones(2)[5],
        lambda: tg.ones(2).add_(tg.ones(3)),
        lambda: tg.ones(2).__setitem__(5, 1.0),
        lambda: tg.tensor([1, 2]).add_(0.5),
        lambda: tg.tensor([[1], [2, 3]]),
        lambda: tg.cat([tg.ones(2, 3), tg.ones(2, 2)]),
        lambda: tg.einsum("ij,jk->ik", tg.ones(2, 3), tg.ones(2, 3)),
    ):
        with pytest.raises((ShapeError, DtypeError)) as raised:
            call()
        assert isinstance(raised.value.__cause__, (ValueError, TypeError, IndexError))
        assert type(raised.value.__cause__).__module__.partition(".")[0] in ("builtins", "numpy")
        assert isinstance(raised.value, RuntimeError)  # what PyTorch's users catch


@given(hnp.array_shapes(min_dims=1, max_dims=3, min_side=0).filter(lambda s: np.prod(s) != 1))
def test_backward_of_a_non_scalar(shape: Any):
    x = T(np.zeros(shape))
    for call in (
        (x * 2).backward,
        lambda: tg.autograd.grad(x * 2, x),
        lambda: tg.autograd.backward(x * 2),
    ):
        message = message_of(call, ShapeError)
        has(message, str(shape), "use .mean() or .sum(), or pass backward(weights)")
    message = message_of(lambda: (x * 2).backward(tg.zeros(*shape, 1)), ShapeError)
    has(message, str(shape), str((*shape, 1)))


def test_nothing_requires_grad():
    x = T(np.ones(2))
    cause = "this result depends on no tensor that requires grad"
    for result, origin in (
        ((tg.ones(2) * 2).sum(), "sum"),
        ((x.detach() * 2).mean(), "mean"),
        (tg.tensor(1.0), "no operation"),
        ((x > 0).sum(), "sum"),
        (tg.compile(lambda: x * 2)().sum(), "compiled function, which should contain the backward"),
    ):
        message = message_of(result.backward, GraphError)
        has(message, cause, origin, "requires_grad=True", "detach()", ".data", ".numpy()")
        has(message, "no_grad")
    with tg.no_grad():
        unrecorded = (x * 2).sum()
    has(message_of(unrecorded.backward, GraphError), cause, "sum", "no_grad()")
    has(message_of(lambda: tg.autograd.grad(unrecorded, x), GraphError), cause)


CHANGED: list[Any] = [
    (lambda x: x / 2 + x**2, ("power needs its argument 0 (x)",)),
    (tg.log, ("log needs its argument 0 (x)",)),
    (lambda x: T(np.ones((1, 2))) @ x, ("matmul needs its argument 1 (y) of shape (2,)",)),
]


@pytest.mark.parametrize(("call", "parts"), CHANGED)
def test_changed_in_place(call: Any, parts: tuple[str, ...]):
    x = T(np.ones(2))
    out = call(x).sum()
    x.data.add_(1)
    message = message_of(out.backward, GraphError)
    has(message, *parts, "changed in place after the forward pass")
    has(message, "`h = h + b` for `h += b`", "h.clone()")


def test_explain_states_why_a_gradient_is_none():
    x, apart = T(np.ones(2)), T(np.ones(2))
    has(tg.explain(x), "backward() has not been called since")
    y = x * 2
    y.sum().backward()
    has(tg.explain(x), "it has a gradient")
    has(tg.explain(y), "it is a result of multiply", "retain_grad()")
    has(tg.explain(apart), "not reached", "detach()", "zero_grad()")
    has(tg.explain(tg.ones(2)), "does not require grad", "requires_grad=True")
    with tg.no_grad():
        leaf = (x * 2).requires_grad_()
    has(tg.explain(leaf), "backward() has not been called since")
    x.grad = None
    has(tg.explain(x), "zero_grad()")
    for explained in map(tg.explain, (x, y, apart, leaf)):
        assert not FOREIGN.search(explained)


def second_backward() -> None:
    out = (T(np.ones(2)) * 2).sum()
    out.backward()
    out.backward()


def gradient_of_an_unrecorded_gradient() -> None:
    a = tg.tensor(2.0, requires_grad=True)
    tg.autograd.grad(tg.autograd.grad(a**3, a)[0], a)


# Other messages


OTHERS: list[Any] = [
    (lambda: tg.ones(2, 3) @ tg.ones(2, 3), ("axis 1 of the first has size 3", "Transpose")),
    (lambda: tg.op(np.multiply, domain=(real, real)), ("multiply is already registered",)),
    (lambda: tg.op(lambda x: x, name="same", domain=real), ("domain is a tuple, one per",)),
    (second_backward, ("earlier backward pass", "multiply", "detach()", "retain_graph=True")),
    (gradient_of_an_unrecorded_gradient, ("create_graph=True",)),
    (lambda: tg.tensor("text"), ("cannot make a tensor of 'text'", "real numbers")),
    (lambda: tg.tensor([1], dtype="complex64"), ("got dtype complex64", "real numbers")),
    (lambda: tg.zeros(2, dtype=object), ("got dtype object", "expected real numbers")),
    (lambda: tg.ones_like(tg.eye(2), dtype=complex), ("got dtype complex128", "real numbers")),
    (lambda: tg.eye(2).view(complex), ("got dtype complex128", "expected real numbers")),
    (lambda: tg.zeros(2, device="gpu"), ("there is no device 'gpu'", "'cpu', 'cuda'")),
    (tg.ones(2, 3).item, ("item: got shape (2, 3); expected one element", "tolist()")),
    (lambda: bool(tg.ones(2)), ("ambiguous", "(2,)", ".any()", ".all()")),
    (lambda: len(tg.tensor(1.0)), ("0-d tensor has no length", "item()")),
    (lambda: list(tg.tensor(1.0)), ("0-d tensor", "item()")),
    (lambda: [1, 2][tg.tensor(1.0)], ("'float' object cannot be",)),
    (lambda: tg.ones(2).mm(tg.ones(2)), ("mm: got shape (2,) and (2,); expected mat",)),
    (lambda: tg.bmm(tg.ones(2, 1, 1), tg.ones(3, 1, 1)), ("bmm", "(2, 1, 1)", "(3, 1, 1)")),
    (lambda: tg.cat([]), ("need at least one array to concatenate",)),
    (lambda: tg.stack([]), ("need at least one array to stack",)),
    (lambda: tg.stack([tg.ones(2), tg.ones(3)]), ("stack cannot take (2,), (3,)",)),
    (lambda: tg.ones(5).split([2, 2]), ("got shape (5,); expected sizes [2, 2] that add up",)),
    (tg.ones(2, 2, 2).t, ("t: got shape (2, 2, 2); expected at most 2 dimensions", "mT")),
    (lambda: tg.ones(2).softmax(2.0), ("softmax cannot take (2,), dim=2.0",)),
    (lambda: tg.ones(2).clamp(), ("clamp needs a bound",)),
    (lambda: tg.ones(2).sum(dim=0, axis=0), ("pass dim or axis, not both",)),
    (lambda: tg.zeros(0).max(), ("amax cannot take (0,)",)),
    (lambda: tg.ones(3).gather(0, tg.tensor([3])), ("gather", "0 to 2")),
    (lambda: tg.ones(3).topk(4), ("topk: got shape (3,); expected at least k = 4", "(3,)")),
    (lambda: tg.arange(0, 3, -1), ("step is -1, expected not 0, and the sign of 3 - 0",)),
    (lambda: tg.einsum("ij->i", tg.ones(2)), ("einsum", "ij->i", "too many subscripts")),
    (lambda: tg.autograd.grad(T(np.ones(())), [2]), ("inputs must be tensors, got int",)),
    (lambda: T(np.ones(())).backward(inputs=[]), ("inputs is empty",)),
    (lambda: tg.ones(2).retain_grad(), ("does not require grad",)),
]


@pytest.mark.parametrize(("call", "parts"), OTHERS)
def test_other_messages(call: Any, parts: tuple[str, ...]):
    has(message_of(call), *parts)


def test_unknown_names_raise_attribute_error():
    for module in (tg, nn.functional):
        with pytest.raises(AttributeError, match="has no attribute 'Conv2d'"):
            _ = module.Conv2d


def test_a_module_that_is_constructed_with_tensors_raises():
    for make in (nn.MSELoss, nn.CrossEntropyLoss):
        message = rf"nn.{make.__name__}\(\.\.\.\)\(x, y\), or nn.functional.*\(x, y\)"
        with pytest.raises(TypeError, match=message):
            make(tg.zeros(2, 1), tg.zeros(2, 1))
    with pytest.raises(TypeError, match=r"ReLU\(inplace=False\) got a tensor, expected settings"):
        nn.ReLU(tg.zeros(2))
    with pytest.raises(TypeError, match=r"Sigmoid\(\) got a tensor, .* nn.functional.sigmoid\(x\)"):
        nn.Sigmoid(tg.zeros(2))
    with pytest.raises(TypeError, match="got an unexpected keyword argument 'alhpa'"):
        nn.ELU(alhpa=2.0)
