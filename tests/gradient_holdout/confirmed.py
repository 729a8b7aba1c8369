"""Losses of accuracy in PyTorch that the kit found, each confirmed without the kit.

`python -m tests.gradient_holdout --confirm` computes all of them again: what PyTorch returns, and
what is right, by hand or by mpmath with 40 digits.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Loss(NamedTuple):
    """A derivative that is wrong at an input: PyTorch's is `returned()`, and `right` is right.

    Where an exception takes the place of a number, `returned` raises it and `right` says what
    there should have been.
    """

    kinds: str
    """How the kit calls it, one word or several."""
    where: str
    returned: Callable[[], float]
    right: float | str
    proof: str
    exact: Callable[[Any], Any] | None = None
    """Takes mpmath and returns the right number, once more."""


def leaf(value: Any) -> torch.Tensor:
    """Return a tensor of float64 that requires grad."""
    return torch.tensor(value, dtype=torch.float64, requires_grad=True)


def first(f: Callable[..., torch.Tensor], *values: Any, by: int = 0) -> float:
    """Return the first derivative of the sum of `f`, the first number of argument `by`."""
    args = [leaf(v) for v in values]
    return float(torch.autograd.grad(f(*args).sum(), args)[by].flatten()[0])


def second(f: Callable[..., torch.Tensor], *values: Any, by: tuple[int, int] = (0, 0)) -> float:
    """Return the second derivative of the sum of `f`, by two arguments."""
    args = [leaf(v) for v in values]
    (slope,) = torch.autograd.grad(f(*args).sum(), args[by[0]], create_graph=True)
    return float(torch.autograd.grad(slope.sum(), args[by[1]])[0].flatten()[0])


def by_seed(f: Callable[..., torch.Tensor], value: Any, seed: Any, at: int = 0) -> float:
    """Return the derivative of the gradients' sum by the gradient of the result."""
    x, g = leaf(value), leaf(seed)
    (slope,) = torch.autograd.grad(f(x), x, g, create_graph=True)
    return float(torch.autograd.grad(slope.sum(), g)[0].flatten()[at])


def empty_embedding() -> float:
    """Differentiate the gradient of an embedding of no words."""
    w, g = leaf([[0.0, 0.0]]), torch.zeros(0, 2, dtype=torch.float64, requires_grad=True)
    out = functional.embedding(torch.zeros(0, dtype=torch.long), w)
    (slope,) = torch.autograd.grad(out, w, g, create_graph=True)
    return float(torch.autograd.grad(slope.sum(), g)[0].sum())


def empty_shuffle() -> float:
    """Differentiate a shuffle of no pixels."""
    x = torch.zeros(4, 0, 2, requires_grad=True)
    return float(torch.autograd.grad(functional.pixel_shuffle(x, 2).sum(), x)[0].sum())


def mish_exact(mp: Any) -> Any:
    """Return the second derivative of mish at 750, whose tail is 0 in float64."""
    x = mp.mpf(750)
    return mp.diff(lambda u: u * mp.tanh(mp.log1p(mp.exp(u))), x, 2)


OVERFLOW = "the formula divides exponentials that overflow; what is right is 0 in float64"
MASKED = "the gradient by x is 0 for every g, hence so is its derivative by g"

CONFIRMED: dict[str, Loss] = {
    "torch.nn.functional.hardsigmoid": Loss(
        "value",
        "x = 0",
        lambda: first(functional.hardsigmoid, [0.0]),
        1 / 6,
        "x/6 + 1/2 has slope 1/6; PyTorch's constant is 1/6 of float32, 3e-8 more",
        lambda mp: mp.mpf(1) / 6,
    ),
    "torch.pow": Loss(
        "second-order",
        "x = 1, y = 0, the derivative by x and then y",
        lambda: second(torch.pow, 1.0, 0.0, by=(0, 1)),
        1.0,
        "y x^(y - 1) by y is x^(y - 1) (1 + y log x); by y and then x PyTorch finds the 1 itself",
        lambda mp: mp.diff(lambda x, y: x**y, (1, 0), (1, 1)),
    ),
    "torch.nn.functional.binary_cross_entropy": Loss(
        "second-order",
        "x = 2^-16, t = 0.5, the second derivative by x",
        lambda: second(functional.binary_cross_entropy, [2.0**-16], [0.5]),
        0.5 * 2.0**32 + 0.5 / (1 - 2.0**-16) ** 2,
        "t/x^2 + (1 - t)/(1 - x)^2; an epsilon of 1e-12 makes it 1.3e-7 less",
        lambda mp: mp.mpf(2) ** 31 + mp.mpf(0.5) / (1 - mp.mpf(2) ** -16) ** 2,
    ),
    "torch.logaddexp": Loss(
        "second-order",
        "x = 0.5, y = 2000, the second derivative by x",
        lambda: second(torch.logaddexp, 0.5, 2000.0),
        0.0,
        OVERFLOW,
        lambda mp: mp.exp(mp.mpf(-1999.5)) / (1 + mp.exp(mp.mpf(-1999.5))) ** 2,
    ),
    "torch.logaddexp2": Loss(
        "second-order",
        "x = 0.5, y = 2000, the second derivative by x",
        lambda: second(torch.logaddexp2, 0.5, 2000.0),
        0.0,
        OVERFLOW,
        lambda mp: mp.log(2) * mp.mpf(2) ** mp.mpf(-1999.5),
    ),
    "torch.nn.functional.mish": Loss(
        "second-order",
        "x = 750, the second derivative",
        lambda: second(functional.mish, 750.0),
        0.0,
        "mish is x up to 1e-640 there",
        mish_exact,
    ),
    "torch.hypot": Loss(
        "nonfinite",
        "x = y = 0",
        lambda: first(torch.hypot, 0.0, 0.0),
        "anything from -1 to 1",
        "the slopes to both sides of the kink are 1; PyTorch's own vector_norm returns 0",
    ),
    "torch.sinc": Loss(
        "second-order",
        "x = 0, the derivative of the gradient by g",
        lambda: by_seed(torch.sinc, [0.0], [1.0]),
        0.0,
        "it is sinc'(0); the second derivative by x, -pi^2/3, is nan as well",
        lambda mp: mp.diff(mp.sincpi, 0),
    ),
    "torch.logcumsumexp": Loss(
        "second-order",
        "x = (0, 0), g = (-1, 0), the derivative of the gradients' sum by g[1]",
        lambda: by_seed(lambda x: torch.logcumsumexp(x, 0), [0.0, 0.0], [-1.0, 0.0], 1),
        1.0,
        "the shares of the softmax of (x[0], x[1]) add up to 1; the rule takes log |g|",
    ),
    "torch.std": Loss(
        "second-order",
        "x = (0, 0), the derivative of the gradient by g",
        lambda: by_seed(torch.std, [0.0, 0.0], 2.0),
        0.0,
        MASKED,
    ),
    "torch.linalg.vector_norm 3": Loss(
        "second-order",
        "x = (0, 0), the derivative of the gradient by g",
        lambda: by_seed(lambda x: torch.linalg.vector_norm(x, 3), [0.0, 0.0], 2.0),
        0.0,
        MASKED,
    ),
    "torch.linalg.matrix_exp": Loss(
        "nonlinear",
        "a = (1), for the gradient 2^20 of the result",
        lambda: first(lambda a: torch.linalg.matrix_exp(a) * 2.0**20, [[1.0]]),
        math.e * 2.0**20,
        "the exponential of one number; as the gradient grows, PyTorch loses digits: 1e-11 here",
        lambda mp: mp.e * 2**20,
    ),
    "torch.nn.functional.lp_pool1d": Loss(
        "kink second-order",
        "x = (0, 0), the derivative of the gradient by g",
        lambda: by_seed(lambda x: functional.lp_pool1d(x, 3, 2), [[[0.0, 0.0]]], [[[2.0]]]),
        0.0,
        MASKED,
    ),
    "torch.renorm": Loss(
        "second-order",
        "x = 0, far within the bound, the second derivative",
        lambda: second(lambda x: torch.renorm(x, 2, 0, 1.5), [[0.0]]),
        0.0,
        "renorm returns x itself there, to both sides",
    ),
    "torch.linalg.det": Loss(
        "second-order value",
        "a = ((0, 0), (0, 0)), the slope of the gradients' sum by a[0, 0]",
        lambda: second(torch.linalg.det, [[0.0, 0.0], [0.0, 0.0]]),
        1.0,
        "of p s - q r the gradients add up to p + s - q - r",
    ),
    "torch.clamp to tensors": Loss(
        "raises",
        "x of shape (1,), min of shape (2,), max of shape (1,)",
        lambda: first(torch.clamp, [0.0], [-1.0, -1.0], [2.0]),
        2.0,
        "x is copied to both results; the gradient raises, although the function broadcasts",
    ),
    "torch.nn.functional.multi_margin_loss": Loss(
        "nondeterministic",
        "no rows: x of shape (0, 2)",
        lambda: float(
            functional.multi_margin_loss(
                torch.zeros(0, 2).double(), torch.zeros(0, dtype=torch.long)
            )
        ),
        "one number, the same at every call",
        "the mean of no losses is never written: what the memory held before is returned",
    ),
    "torch.kron": Loss(
        "raises",
        "a transposed a",
        lambda: float(torch.kron(leaf([[1.0, 2.0], [3.0, 4.0]]).mT, leaf([[1.0], [1.0]]))[0, 1]),
        3.0,
        "the function itself raises for strides that its `view` cannot take",
    ),
    "torch.nn.functional.embedding": Loss(
        "raises",
        "no indices, the second derivative",
        empty_embedding,
        0.0,
        "the gradient is empty; PyTorch cannot infer -1 of no elements",
    ),
    "torch.nn.functional.pixel_shuffle": Loss(
        "raises",
        "x of shape (4, 0, 2)",
        empty_shuffle,
        0.0,
        "the gradient is empty; its shape comes out as (1, 0, 4)",
    ),
}


def confirmations() -> Iterator[str]:
    """Yield a line for each loss, computed again."""
    import mpmath  # noqa: PLC0415  comes with PyTorch

    mpmath.mp.dps = 40
    for name, loss in CONFIRMED.items():
        try:
            returned = f"{loss.returned():.12g}"
        except RuntimeError as error:
            returned = f"RuntimeError ({str(error)[:60]}...)"
        right = loss.right if isinstance(loss.right, str) else f"{loss.right:.12g}"
        exact = f" (mpmath: {mpmath.nstr(loss.exact(mpmath), 12)})" if loss.exact else ""
        yield f"{name} at {loss.where}: {returned}, right is {right}{exact}: {loss.proof}"
