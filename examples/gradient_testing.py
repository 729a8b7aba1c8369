"""Test gradients by properties: a short course, with real bugs and their smallest inputs.

    python examples/gradient_testing.py

The usual test compares a gradient with a difference at random numbers near 0, within a tolerance
that somebody chose. It passes with most bugs in the gradient: they appear at large numbers, at
ties, in empty arrays, for one argument that broadcasts, in float32. Here a domain says where a
function may be called; the kit draws inputs, measures its tolerance, and shrinks failing inputs.
"""

from __future__ import annotations

import argparse
import warnings
from importlib.util import find_spec

import numpy as np
import numpy.typing as npt
from rich.console import Console

import tinygrad_fc as tg
from tinygrad_fc.testing import (
    GradientError,
    check,
    check_vjp,
    from_torch,
    positive,
    real,
)

Array = npt.NDArray[np.floating]
console = Console(highlight=False, markup=False, soft_wrap=True)
say = console.print


def chapter(text: str, title: str = "") -> None:
    """Print what is shown next, and why."""
    say(f"\n{title}" if title else "", style="bold")
    Console(highlight=False, markup=False, width=min(console.width, 88)).print(text)


def softplus(x: Array) -> Array:
    """Return log(1 + exp(x)), without overflow."""
    return np.asarray(np.logaddexp(x, 0))


def textbook(g: Array, _out: Array, x: Array) -> Array:
    """Differentiate softplus as a textbook does: inf / inf beyond 709, in float32 beyond 88."""
    return np.asarray(g * np.exp(x) / (1 + np.exp(x)))


def stable(g: Array, out: Array, x: Array) -> Array:
    """Differentiate softplus by its result: the log of the derivative is x - softplus(x)."""
    return np.asarray(g * np.exp(x - out))


def usual_test() -> float:
    """Return how far the textbook's formula is from differences at 1000 random numbers."""
    x, h = np.random.default_rng(0).normal(size=1000), 1e-6
    numeric = (softplus(x + h) - softplus(x - h)) / (2 * h)
    return float(np.abs(textbook(np.ones_like(x), softplus(x), x) - numeric).max())


def find_a_bug() -> GradientError:
    """Return the error that the textbook's formula raises, and check the stable one."""
    chapter(
        "The derivative of softplus, log(1 + exp(x)), is exp(x) / (1 + exp(x)), as a textbook has "
        "it. At 1000 random numbers it differs from central differences by at most "
        f"{usual_test():.0e}, within every tolerance. The kit gets the domain of x, `real`:",
        title="1. A test that passes, and a bug",
    )
    try:
        check_vjp(softplus, textbook, real)
    except GradientError as error:
        say(f"\n{error}")
        bug = error
    else:
        raise AssertionError("check_vjp did not raise")
    chapter(
        "In brackets is the kind of failure, one of 14 from `raises` to `second-order`. Then the "
        "entry, its gradient, and what is expected; then a small input that shows it. `g` is the "
        "cotangent, the gradient of the result, never 1, since ones hide a rule that ignores it. A "
        "hint stands there only if it explains what is wrong in several cases. The last line can "
        "be pasted: it checks at this input alone. Here it is large numbers. Two exponentials "
        "overflow that are not needed, since the logarithm of the derivative is x - softplus(x):",
        title="2. How to read that",
    )
    say(f"\ncheck_vjp(softplus, stable, real): {check_vjp(softplus, stable, real)}")
    return bug


def choose_a_domain() -> None:
    """Show what a domain is for, and what fails without the right one."""

    def root(g: Array, out: Array, _x: Array) -> Array:
        return np.asarray(g / (2 * out))

    chapter(
        "A domain says where a derivative may be asked for, and which values are worth a try: 0 "
        "and 1, edges, ties, all sizes of numbers. The square root has no derivative at 0, and no "
        "value below:",
        title="3. What domains are for",
    )
    with warnings.catch_warnings():  # what is not checked is a warning
        warnings.simplefilter("error")
        try:
            check_vjp(np.sqrt, root, real)
        except (GradientError, UserWarning) as problem:
            say(f"\n{problem}")
    say(f"\ncheck_vjp(np.sqrt, root, positive): {check_vjp(np.sqrt, root, positive)}")
    chapter(
        "Calling a domain fixes its shape: letters are sizes that fit together, a number is a "
        "size, and 'n>=2' a least one. Uncalled it draws shapes that broadcast. A layer of "
        "tensors, in first and second derivatives:",
    )

    def layer(x: tg.Tensor, w: tg.Tensor) -> tg.Tensor:
        return (x @ w).tanh()

    report = check(layer, real("batch", "n"), real("n", 3))
    say(f'\ncheck(layer, real("batch", "n"), real("n", 3)): {report}')


def check_a_row_of_scipy() -> None:
    """Register a function of SciPy as an op, and check it."""
    chapter(
        "An op is a function, a domain and a vjp rule for each argument. The rule runs on arrays "
        "and on tensors, so that it has a derivative itself:",
        title="4. A function of SciPy as an op",
    )
    if find_spec("scipy") is None:
        say("\nSciPy is not installed: its function is left out")
        return
    import scipy.special as ss

    erf = tg.op(
        ss.erf,
        domain=(real,),
        rules=(lambda g, out, x: g * (2 / np.pi**0.5) * np.exp(-x * x),),  # noqa: ARG005  a rule's
    )
    say(f"\ncheck(erf): {check(erf)}")


def find_a_bug_in_torch() -> GradientError | None:
    """Return the error that the second derivative of `torch.pow` raises, None without PyTorch.

    The derivative of a^b for a is b a^(b - 1). PyTorch returns a constant 0 for it where b is 0,
    and a constant has the derivative 0 for b; but that is a^(b - 1) (1 + b log a), 1 / a there. A
    test at random numbers draws no b of 0. The kit tries 0, a special value of `real`.
    """
    chapter(
        "`from_torch` holds PyTorch's own derivatives to the same laws: first the entropy, "
        "-x log(x), then a power, by both of its arguments.",
        title="5. Functions of PyTorch",
    )
    if find_spec("torch") is None:
        say("\nPyTorch is not installed: its functions are left out")
        return None
    import torch

    def power(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return torch.pow(a, b)

    say(f"\ntorch.special.entr: {check(from_torch(torch.special.entr), positive)}")
    say(f"\ntorch.pow, order 1: {check(from_torch(power), positive, real, order=1)}")
    try:
        say(f"\ntorch.pow, order 2: {check(from_torch(power), positive, real)}")
    except GradientError as error:
        say(f"\ntorch.pow, order 2: {error}")
        chapter(
            "The derivative of a^b for a is b a^(b - 1). Where b is 0, PyTorch returns a constant "
            "0, which is right, but whose derivative for b is 0, and should be 1 / a. Random "
            "numbers are never 0; `real` tries it first.",
        )
        return error
    return None


def main() -> None:
    """Find a bug, choose a domain, and hold functions of SciPy and PyTorch to the same laws."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    find_a_bug()
    choose_a_domain()
    check_a_row_of_scipy()
    find_a_bug_in_torch()


if __name__ == "__main__":
    main()
