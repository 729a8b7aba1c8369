"""How close what native code makes has to come to what NumPy makes, and how inputs are copied."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tinygrad_fc.compiler import native
from tinygrad_fc.compiler import program as programs
from tinygrad_fc.compiler.program import Unfit, evaluate, run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tinygrad_fc.compiler.program import Program

ULPS = 64
"""How far sums and functions may be apart, in units of the last place of the largest element:
sums in another order, and functions of which each library is within a few."""


def copied(a: Any) -> Any:
    """Return a copy that lies in memory as `a` does."""
    if not isinstance(a, np.ndarray):
        return a
    if a.ndim and a.strides[-1] == 2 * a.itemsize and a.size > 1:
        return np.repeat(a, 2, axis=-1)[..., ::2]
    return a.copy(order="K")


def leaves(values: Iterable[Any]) -> list[Any]:
    """Return the arrays and numbers among `values`."""
    return [v for v in values if isinstance(v, np.ndarray | int | float)]


def agree(made: Any, expected: Any, others: Iterable[Any] = (), slack: float = 0.0) -> None:
    """Check that values are of one kind, shape and dtype, and as near as rounding explains.

    `others` are what `expected` might as well be, but for rounding; `slack` is allowed beyond.
    """
    if isinstance(expected, type):
        assert made is expected
        return
    assert not isinstance(made, type), made
    for a, b, *near in zip(
        leaves(made), leaves(expected), *(leaves(other) for other in others), strict=True
    ):
        assert isinstance(a, np.ndarray) == isinstance(b, np.ndarray)
        x, y = np.asarray(a), np.asarray(b)
        assert (x.shape, x.dtype.newbyteorder("=")) == (y.shape, y.dtype.newbyteorder("="))
        good = _near(x, y, near, slack)
        assert np.all(good), (x[~good], y[~good])


@np.errstate(all="ignore")
def _near(x: Any, y: Any, others: list[Any], slack: float) -> Any:
    """Return where `x` is as near to `y` as it has to be."""
    same = (x == y) | ((x != x) & (y != y))  # noqa: PLR0124  a NaN, of any dtype
    if x.dtype.kind != "f":
        return same | np.any([y != y, *(other != y for other in others)], axis=0)  # noqa: PLR0124
    finite = np.isfinite(y)
    alike = [(other == y) | (np.isnan(other) & np.isnan(y)) for other in others]
    distances = [np.nan_to_num(np.abs(other - y), nan=np.inf, posinf=np.inf) for other in others]
    moved = max(
        (np.where(a, 0, d).max(initial=0) for a, d in zip(alike, distances, strict=True)),
        default=0.0,
    )
    largest = np.max(np.abs(y[finite]), initial=0.0)
    near = np.abs(x - y) <= ULPS * (np.spacing(largest) + moved) + slack
    # An overflow by a hair is one by rounding, too.
    edge = np.abs(np.where(finite, y, x)) >= np.finfo(y.dtype).max * (1 - 1e-5)
    return same | near | edge | np.isinf(moved)


def outcome(kernel: Callable[..., Any], inputs: list[Any]) -> Any:
    """Return outputs and what became of the inputs, or the error that was raised."""
    given_ = [copied(a) for a in inputs]
    with np.errstate(all="ignore"):
        try:
            return leaves(kernel(*given_)) + leaves(given_)
        except (Unfit, ZeroDivisionError, IndexError) as error:
            assert all(map(np.array_equal, leaves(given_), leaves(inputs)))
            return type(error)


def check(
    program: Program, kernel: Callable[..., Any], inputs: list[Any], slack: float = 0.0
) -> None:
    """Check that a kernel does with `inputs` what the program says."""
    expected = outcome(lambda *given_: run(program, given_), inputs)
    agree(outcome(kernel, inputs), expected, slack=slack)


def check_as_rounded(program: Program, kernel: Callable[..., Any], inputs: list[Any]) -> None:
    """Check the same of a program that may enlarge rounding errors, up to how far it does so.

    That is seen where each result is moved by a unit in its last place or two. Where that decides
    whether the program fits at all, nothing is said.
    """
    made = outcome(kernel, inputs)
    expected = outcome(lambda *given_: run(program, given_), inputs)
    others = []
    for seed in range(3):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(programs, "evaluate", _moved(np.random.default_rng(seed)))
            others.append(outcome(lambda *given_: run(program, given_), inputs))
    if isinstance(expected, type) or not any(isinstance(other, type) for other in others):
        agree(made, expected, () if isinstance(expected, type) else others)


def _moved(rng: np.random.Generator) -> Callable[..., Any]:
    """Return `program.evaluate` with results that are moved in their last places."""

    def evaluate_and_move(kind: str, function: Any, args: Any, settings: Any) -> Any:
        made = evaluate(kind, function, args, settings)
        if kind in ("ufunc", "reduce", "function") and np.asarray(made).dtype.kind == "f":
            steps = rng.integers(-2, 3, np.shape(made)) * np.finfo(np.asarray(made).dtype).eps
            return (made * (1 + steps)).astype(np.asarray(made).dtype)
        return made

    return evaluate_and_move


_built: dict[Any, tuple[Program, Any]] = {}


def once(key: Any, make: Callable[[], Program]) -> tuple[Program, Any]:
    """Return a program and its kernel, compiled once for all examples."""
    if key not in _built:
        program = make()
        try:
            _built[key] = program, native.build(program)
        except Exception as error:  # noqa: BLE001  kept, as it would come again and again
            _built[key] = program, error
    program, kernel = _built[key]
    if isinstance(kernel, Exception):
        raise kernel
    return program, kernel
