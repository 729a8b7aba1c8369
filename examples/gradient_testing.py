"""Test gradients by properties: bugs found and made small, one of them PyTorch's.

    python examples/gradient_testing.py

A gradient that is compared with a difference at one random matrix passes with most bugs in it: they
live at large numbers, at ties, in empty arrays, for one argument that broadcasts. Here one says
where a function may be called, and the kit draws the places: shapes, dtypes, special and
large numbers, layouts of memory. What fails is made as small as it goes, with a line to paste.
"""

from __future__ import annotations

import argparse
from importlib.util import find_spec

import numpy as np
import numpy.typing as npt
from rich.console import Console

import tinygrad_fc as tg
from tinygrad_fc.testing import (
    GradientError,
    check,
    check_op,
    check_vjp,
    from_torch,
    positive,
    real,
)

Array = npt.NDArray[np.floating]
say = Console(highlight=False, markup=False, soft_wrap=True).print


def softplus(x: Array) -> Array:
    """Return log(1 + exp(x)), without overflow."""
    return np.asarray(np.logaddexp(x, 0))


def textbook(g: Array, _out: Array, x: Array) -> Array:
    """Differentiate softplus as a textbook does: inf / inf beyond 709, in float32 beyond 88."""
    return np.asarray(g * np.exp(x) / (1 + np.exp(x)))


def stable(g: Array, out: Array, x: Array) -> Array:
    """Differentiate softplus by its result: log of the slope is x - softplus(x)."""
    return np.asarray(g * np.exp(x - out))


def find_a_bug() -> GradientError:
    """Return what is wrong with the textbook's formula, and show that the other one is right."""
    say("softplus, by the textbook's formula:")
    try:
        check_vjp(softplus, textbook, real)
    except GradientError as error:
        say(str(error))
        found = error
    else:
        raise AssertionError("the bug was not found")
    say("\nsoftplus, by its result:")
    say(str(check_vjp(softplus, stable, real)))
    return found


def find_a_bug_in_torch() -> GradientError | None:
    """Return what is wrong with the second derivative of `torch.pow`; None where nothing is.

    The slope of a^b by a is b a^(b - 1). PyTorch returns a constant 0 in its place where b is 0,
    and a constant has no slope by b; but that is a^(b - 1) (1 + b log a), which is 1 / a there. A
    test at random numbers meets no b of 0. The kit tries 0 because it is a special value of `real`.
    """
    if find_spec("torch") is None:
        say("\nPyTorch is not installed: its functions are left out")
        return None
    import torch  # noqa: PLC0415  only this part needs it

    def power(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return torch.pow(a, b)

    say("\ntorch.pow, first derivatives:")
    say(str(check(from_torch(power), positive, real, order=1)))
    say("\ntorch.pow, second derivatives:")
    try:
        say(str(check(from_torch(power), positive, real)))
    except GradientError as error:
        say(str(error))
        return error
    return None


def check_a_row_of_scipy() -> None:
    """Give a function of SciPy a derivative, in one row, and have the row checked."""
    import scipy.special as ss  # noqa: PLC0415  only this part needs it

    erf = tg.op(
        ss.erf,
        domain=(real,),
        rules=(lambda g, out, x: g * (2 / np.pi**0.5) * np.exp(-x * x),),  # noqa: ARG005  a rule's
    )
    say("\nscipy.special.erf, as a row of the table:")
    say(str(check_op(erf)))


def check_a_function_of_torch() -> None:
    """Hold PyTorch's own derivatives, of both orders, to the same laws."""
    if find_spec("torch") is None:
        return
    import torch  # noqa: PLC0415  only this part needs it

    say("\ntorch.special.entr, on positive numbers:")
    say(str(check(from_torch(torch.special.entr), positive)))


def main() -> None:
    """Find a bug, check functions of this package, SciPy and PyTorch, and find one in there."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    find_a_bug()
    say("\na layer of tensors, first and second derivatives:")
    say(str(check(lambda x, w: (x @ w).tanh(), real("batch", "n"), real("n", "m"))))
    check_a_row_of_scipy()
    check_a_function_of_torch()
    find_a_bug_in_torch()


if __name__ == "__main__":
    main()
