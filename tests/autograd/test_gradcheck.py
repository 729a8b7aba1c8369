"""`gradcheck` and `gradgradcheck`: wrong and correct gradients, messages, tolerances."""

from typing import Any

import numpy as np
import pytest
from drawing import T, arrays, function, seeds
from hypothesis import given, settings

import tinygrad_fc as tg
from tinygrad_fc.autograd import GradcheckError, gradcheck, gradgradcheck


def own(rule: Any) -> Any:
    """Return x^2 y, with the vjp rule of a test."""

    def forward(ctx: Any, x: Any, y: Any) -> Any:
        ctx.save_for_backward(x, y)
        return x * x * y

    return function(forward, lambda ctx, g: rule(g, *ctx.saved_tensors)).apply


WRONG = {
    "a factor near 1": lambda g, x, y: (2.01 * g * x * y, g * x * x),
    "a sign": lambda g, x, y: (2 * g * x * y, -g * x * x),
    "nothing": lambda g, x, y: (2 * g * x * y, None),
    "the cotangent left out": lambda g, x, y: (2 * x * y + 0 * g, g * x * x),
    "the cotangent squared": lambda g, x, y: (2 * g * g * x * y, g * x * x),
    "its size only": lambda g, x, y: (2 * abs(g) * x * y, g * x * x),
    "elements mixed up": lambda g, x, y: (2 * g * x * y, (g * x * x).flip(0)),
    "the largest cotangent only": lambda g, x, y: (
        2 * tg.where(abs(g) < abs(g).max(), 0.0, g) * x * y,
        g * x * x,
    ),
}


@pytest.mark.parametrize("what", WRONG)
@settings(max_examples=8)
@given(seed=seeds)
def test_a_wrong_rule_fails(what: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, y = (T(rng.uniform(0.5, 2, 3) * rng.choice([-1, 1], 3)) for _ in range(2))
    message = r"the (derivative of output 0|gradient by argument 0)"
    with pytest.raises(GradcheckError, match=message):
        gradcheck(own(WRONG[what]), (x, y))
    assert gradcheck(own(WRONG[what]), (x, y), raise_exception=False) is False
    assert x.grad is y.grad is None


@settings(max_examples=5)
@given(arrays((2,)), arrays((2, 2)))
def test_correct_gradients_pass(x: Any, y: Any) -> None:
    assert gradcheck(own(lambda g, x, y: (2 * g * x * y, g * x * x)), (T(x), T(x)))

    def f(x: Any, k: int, y: Any, z: Any) -> Any:
        return (y * x).sin() * k, x > 0, "text", [x], (z * y).sum(), (y @ x).exp()

    inputs = (T(x / 3), 2, T(y / 3), tg.tensor(2.0))
    assert gradcheck(f, inputs)
    assert gradgradcheck(f, inputs)


def test_0d_empty_and_strided_inputs_pass() -> None:
    for shape in ((), (0,), (1, 2), (2, 0, 3)):
        x = T(np.full(shape, 0.7))
        for f in (lambda x: x.exp(), lambda x: x.sum(), lambda x: x):
            assert gradcheck(f, x)
            assert gradgradcheck(f, x)
    strided = T(np.arange(12.0).reshape(3, 4).T[::2, ::-1] / 10)
    assert gradcheck(lambda x: x.sin(), strided)


def test_the_message_names_output_argument_and_indices() -> None:
    def rule(g: Any, x: Any, y: Any) -> Any:
        return 2 * g * x * y, g * x * x * tg.tensor([[1.0, 1.0], [1.0, 3.0]])

    x, y = T(np.full((2, 2), 3.0)), T(np.ones((2, 2)))
    with pytest.raises(GradcheckError) as caught:
        gradcheck(lambda x, k, y: (x * 1, own(rule)(x, y)), (x, None, y))
    text = str(caught.value)
    assert text.startswith(
        "the derivative of output 1 at (1, 1) by argument 2 at (1, 1) is 27 by backward, and 9 by "
        "differences; they may differ by atol + rtol * |differences| + the error bound of the "
        "differences = 0.00901"
    )


def test_detached_outputs_must_be_constant() -> None:
    x = T(np.array([1.0, 2.0]))
    assert gradcheck(lambda x: tg.ones(2), x)
    assert gradcheck(lambda x: (x * 2, x.detach()), x)
    with pytest.raises(GradcheckError, match="is 0 by backward, and 4 by differences"):
        gradcheck(lambda x: x.detach() ** 2, x)
    with pytest.raises(ValueError, match="the function returned no tensor of floats"):
        gradcheck(lambda x: x > 0, x)


def test_gradgradcheck_of_correct_and_wrong_second_derivatives() -> None:
    # Saves an intermediate result, which is a constant for the second derivative.
    def forward(ctx: Any, x: Any) -> Any:
        ctx.save_for_backward(x * x)
        return x**3

    def backward(ctx: Any, g: Any) -> Any:
        return g * 3 * ctx.saved_tensors[0]

    cut = function(forward, backward).apply
    x = T(np.array([1.0, 2.0]))
    assert gradcheck(cut, x)
    message = r"output 0 at \(\d,\) by argument 0 at \(\d,\) is 0 by"
    with pytest.raises(GradcheckError, match=message):
        gradgradcheck(cut, x)
    assert gradgradcheck(cut, x, raise_exception=False) is False
    assert gradgradcheck(lambda x: x**3, x, T(np.array([2.0, 3.0])))
    assert gradgradcheck(lambda x: (x**3, x), x, [tg.tensor([2.0, 3.0]), T(np.ones(2))])
    assert gradgradcheck(lambda x: x * 2, x)


def test_functions_and_gradients_that_are_not_deterministic_fail() -> None:
    calls = iter(range(1000))

    def rule(g: Any, x: Any, y: Any) -> Any:
        return 2 * g * x * y * (1 + 1e-8 * next(calls)), g * x * x

    x, y = T(np.array([1.0, 2.0])), T(np.array([1.0, 2.0]))
    message = r"argument 0 differs between two evaluations .* nondet_tol = 0"
    with pytest.raises(GradcheckError, match=message):
        gradcheck(own(rule), (x, y))
    assert gradcheck(own(rule), (x, y), nondet_tol=1e-6)
    with pytest.raises(GradcheckError, match="output 0 differs between two evaluations"):
        gradcheck(lambda x: x * (1 + 1e-8 * next(calls)), x)
    with pytest.raises(GradcheckError, match="is inf by backward"):  # which equals itself
        gradcheck(tg.sqrt, T([0.0, 1.0]))


def test_tolerances_and_steps() -> None:
    x, y = T(np.array([1.0])), T(np.array([1.0]))
    off = own(lambda g, x, y: (2.01 * g * x * y, g * x * x))
    assert gradcheck(off, (x, y), rtol=0.01)
    assert gradcheck(off, (x, y), atol=0.1, rtol=0)
    assert not gradcheck(off, (x, y), atol=1e-3, raise_exception=False)
    # Steps between two kinks must not reach them.
    near = T(np.array([2e-5]))
    assert gradcheck(lambda x: abs(x) + abs(x - 1e-4), near, atol=1e-9, rtol=0)
    assert gradcheck(lambda x: x.sqrt(), T(np.array([1e-4])), atol=0, rtol=1e-8)


def test_invalid_inputs_raise() -> None:
    x = T(np.array([1.0]))
    for raises in (True, False):
        with pytest.raises(ValueError, match=r"gradcheck: no input requires grad\. Create one"):
            gradcheck(lambda x: x, tg.ones(1), raise_exception=raises)
    with pytest.raises(tg.errors.DtypeError, match="input 1 is float32, expected float64"):
        gradcheck(lambda x, y: x * y, (x, T(np.ones(1, np.float32))))
    with pytest.raises(TypeError, match=r"gradcheck\(\) got an unexpected .* 'fast_mode'"):
        gradgradcheck(lambda x: x, x, fast_mode=True)
    with pytest.raises(ValueError, match=r"_forward_ad is True, expected False: testing\.check"):
        gradcheck(lambda x: x, x, check_forward_ad=True)
    assert gradgradcheck(lambda x: x * x, x, check_forward_ad=False)


def test_any_slope_between_both_sides_of_a_kink_passes() -> None:
    x = T(np.array([0.0, 1.0, -1.0]))
    assert gradcheck(lambda x: x.abs(), x)
    assert gradcheck(lambda x: tg.maximum(x, x * 2), x)
    illegal = own(lambda g, x, y: (g * (2 * x * y + 2 * (x == 0)), g * x * x))
    with pytest.raises(GradcheckError, match=r"argument 0 at \(0,\) is 2 by backward, and 0 by"):
        gradcheck(illegal, (x, T(np.ones(3))))
