"""`gradcheck` and `gradgradcheck`: compare gradients to numerical derivatives.

A gradient passes within the error bound of the numerical derivative (`numerical`); at a kink it may
be any slope between those of both sides. Cotangents are seeded random numbers other than 1, since a
cotangent of ones hides a rule that is not linear in its cotangent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tinygrad_fc.autograd import grad
from tinygrad_fc.autograd.functional import basis, gradients
from tinygrad_fc.autograd.numerical import derivatives, longest_steps, power_of_two
from tinygrad_fc.core import grad_mode
from tinygrad_fc.core.device import CPU, device_of
from tinygrad_fc.core.errors import DtypeError, check_argument
from tinygrad_fc.core.node import Node, leaf_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Func = Callable[..., Any]


DIFFERENCES = (2.0**-11, 2.0**-15)
"""Steps of the differences that are taken first, relative to the longest step."""


class GradcheckError(RuntimeError):
    """A gradient that differs from the numerical derivative."""


class _Check(NamedTuple):
    """A function, its arguments, and the tolerances of the comparison."""

    func: Func
    args: tuple[Any, ...]
    chosen: list[int]  # the arguments to differentiate by
    atol: float
    rtol: float
    nondet_tol: float

    def call(self, replaced: int | None = None, value: Any = None) -> tuple[list[Any], list[Any]]:
        """Call the function at copies; return the copies to differentiate by, and the outputs."""
        copies = list(self.args)
        for k in self.chosen:
            array = value if k == replaced else copies[k]._array.copy(order="K")
            copies[k] = leaf_of(array).requires_grad_()
        with grad_mode.enable_grad():
            outputs = _tensors(self.func(*copies))
        return [copies[k] for k in self.chosen], outputs

    def numerical(self, k: int, tracked: Sequence[int], backward: Any) -> tuple[Any, Any]:
        """Return the Jacobian of the outputs `tracked` by argument `k`, and its error bound.

        Where two central differences, of steps a power of two apart, both agree with the Jacobian
        `backward`, the finer one is the derivative, and their difference is the error bound. The
        other columns, at kinks, near jumps or for a wrong gradient, take ten times more calls.
        """
        array = self.args[k]._array

        def value(changed: Any) -> Any:
            replacement = array.copy(order="K")
            replacement[...] = changed
            outputs = self.call(k, replacement)[1]
            return np.concatenate([outputs[m]._array.reshape(-1) for m in tracked])

        steps = power_of_two(longest_steps(array))
        directions = np.eye(array.size).reshape(array.size, *array.shape) * steps
        values, errors = np.zeros_like(backward), np.zeros_like(backward)
        rest = []
        for j, (direction, h) in enumerate(zip(directions, steps.flat, strict=True)):
            coarse, fine = (_central(value, array, direction, h, size) for size in DIFFERENCES)
            values[:, j], errors[:, j] = fine, abs(coarse - fine)
            if not self.within(backward[:, j], coarse) or not self.within(backward[:, j], fine):
                rest.append(j)
        entries = derivatives(value, [([array], [directions[j]]) for j in rest])
        for j, entry in zip(rest, entries, strict=True):
            values[:, j], errors[:, j] = entry.value / steps.flat[j], entry.error / steps.flat[j]
        return values, errors

    def within(self, a: Any, n: Any) -> bool:
        """Return whether `a` agrees with the numerical derivative `n` without an error bound."""
        with np.errstate(invalid="ignore"):
            return bool(np.all(abs(a - n) <= self.atol + self.rtol * abs(n)))

    def compare(self, message: Any, a: Any, n: Any, error: Any = 0.0, weight: Any = 1) -> None:
        """Raise `message` for the worst entry of `a` that differs from `n` beyond the tolerance."""
        limit = self.atol * weight + self.rtol * abs(n) + error
        with np.errstate(invalid="ignore"):
            # Also for NaN, and for infinity, whatever the error bound is.
            wrong = ~(abs(a - n) <= limit) | np.isinf(a)
            excess = np.nan_to_num(abs(a - n) / np.maximum(limit, 1e-300), nan=np.inf)
        if wrong.any():
            at = np.unravel_index(int(np.argmax(np.where(wrong, excess, -1))), np.shape(a))
            raise GradcheckError(message(at, f"{a[at] + 0:.10g}", f"{n[at] + 0:.10g}", limit))

    def compare_runs(self, name: str, first: Sequence[Any], second: Sequence[Any]) -> None:
        """Raise if two evaluations differ by more than `nondet_tol`."""
        for k, (a, b) in enumerate(zip(first, second, strict=True)):
            with np.errstate(invalid="ignore"):  # infinities of one sign are equal
                equal = a.shape == b.shape and (
                    (a == b) | (abs(a - b) <= self.nondet_tol) | (np.isnan(a) & np.isnan(b))
                )
            if not np.all(equal):
                raise GradcheckError(
                    f"{name} {k} differs between two evaluations by more than nondet_tol = "
                    f"{self.nondet_tol:.3g}. Call manual_seed() in a random function, as dropout"
                )

    def assert_correct(self) -> None:
        """Raise `GradcheckError` unless all gradients agree with numerical derivatives."""
        rng = np.random.default_rng(0)
        inputs, outputs = self.call()
        if not outputs:
            raise ValueError("gradcheck: the function returned no tensor of floats")
        again = self.call()[1]
        self.compare_runs("output", [t._array for t in outputs], [t._array for t in again])
        # If no output is recorded, all derivatives are compared to zero.
        numbers = [m for m, t in enumerate(outputs) if t._requires_grad] or range(len(outputs))
        tracked = [outputs[m] for m in numbers]
        jacobians = _jacobians(rng, tracked, inputs)
        numerical = [
            self.numerical(k, numbers, a) for k, a in zip(self.chosen, jacobians, strict=True)
        ]
        rows = [(m, i) for m in numbers for i in np.ndindex(outputs[m]._array.shape)]
        for k, a, (n, error) in zip(self.chosen, jacobians, numerical, strict=True):
            self.compare(self._entry(k, rows), a, n, error)
        weights = [_random(rng, t._array.shape) for t in tracked]
        u = np.concatenate([w.reshape(-1) for w in weights])
        first, second = (_gradients(tracked, inputs, weights) for _ in range(2))
        self.compare_runs("the gradient by differentiated argument", first, second)
        for k, a, (n, error) in zip(self.chosen, first, numerical, strict=True):
            self.compare(
                lambda at, a, n, _, k=k: (
                    f"the gradient by argument {k} is not linear in the cotangent: with random "
                    f"cotangents of all outputs it is {a} at element {at[0]}, and the sum over the "
                    f"derivatives of the outputs, which are right, is {n}"
                ),
                *(a, u @ n, abs(u) @ error, abs(u).sum()),
            )

    def _entry(self, k: int, rows: Sequence[Any]) -> Any:
        def message(at: Any, a: str, n: str, limit: Any) -> str:
            m, element = rows[at[0]]
            by = tuple(map(int, np.unravel_index(at[1], self.args[k]._array.shape)))
            return (
                f"the derivative of output {m} at {element} by argument {k} at {by} is {a} by "
                f"backward, and {n} by differences; they may differ by atol + rtol * |differences| "
                f"+ the error bound of the differences = {limit[at]:.3g}"
            )

        return message


def _central(value: Any, array: Any, direction: Any, h: float, size: float) -> Any:
    """Return the central difference of `value` at steps of `size`; NaN where it raises."""
    with np.errstate(all="ignore"):
        try:
            up, down = (value(array + sign * size * direction) for sign in (1, -1))
        except Exception:  # noqa: BLE001  outside of the domain, which `derivatives` finds
            return np.nan
        return (up - down) / (2 * size * h)


def _tensors(value: Any) -> list[Any]:
    values = value if isinstance(value, tuple | list) else (value,)
    return [t for t in values if isinstance(t, Node) and t._array.dtype.kind == "f"]


def _random(rng: np.random.Generator, shape: tuple[int, ...]) -> Any:
    """Return random numbers with absolute values from 0.5 to 2."""
    return rng.uniform(0.5, 2.0, shape) * rng.choice((-1.0, 1.0), shape)


def _gradients(outputs: Sequence[Any], inputs: Sequence[Any], weights: Sequence[Any]) -> list[Any]:
    """Return the gradients as vectors, zeros for an input without dependence."""
    result = gradients(outputs, inputs, [leaf_of(w) for w in weights], create=False)
    pairs = zip(result, inputs, strict=True)
    return [(np.zeros(t.shape) if g is None else g._array).reshape(-1) for g, t in pairs]


def _jacobians(rng: np.random.Generator, outputs: Any, inputs: Any) -> list[Any]:
    """Return the Jacobian by each input, one backward pass per element of the outputs."""
    rows = []
    for output in outputs:
        for one in basis(output):
            scale = float(_random(rng, ()))
            rows.append([g / scale for g in _gradients([output], inputs, [one._array * scale])])
    return [
        np.reshape([row[k] for row in rows], (len(rows), t._array.size))
        for k, t in enumerate(inputs)
    ]


def gradcheck(
    func: Func,
    inputs: Any,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_forward_ad: bool = False,
) -> bool:
    """Return whether the gradients of `func` agree with numerical derivatives.

    `inputs` is a tensor or a tuple. For every element of every output, and of every input that
    requires grad, |backward - differences| <= atol + rtol |differences| + error bound must hold.
    `eps` has no effect, since step sizes are chosen automatically. Two evaluations may differ by
    `nondet_tol`. Raises `GradcheckError`, or returns False with `raise_exception=False`; raises
    `DtypeError` for an input that requires grad and is not float64, `ValueError` if none does.
    `check_forward_ad=True` raises `ValueError`: `testing.check` compares forward mode with the
    backward pass. PyTorch's other options are not supported.

    >>> import tinygrad_fc as tg
    >>> x = tg.tensor([0.5, 2.0], requires_grad=True)
    >>> tg.autograd.gradcheck(lambda x: x * x.exp(), x)
    True
    """
    del eps
    advice = "False: testing.check compares forward mode with the backward pass"
    check_argument(not check_forward_ad, "gradcheck", advice, check_forward_ad=check_forward_ad)
    args = tuple(inputs) if isinstance(inputs, tuple | list) else (inputs,)
    chosen = [k for k, a in enumerate(args) if isinstance(a, Node) and a._requires_grad]
    if not chosen:
        raise ValueError("gradcheck: no input requires grad. Create one with requires_grad=True")
    for k in chosen:
        if (where := device_of(args[k])) != CPU:
            raise DtypeError(f"gradcheck is for the CPU, and input {k} is on {where}: pass x.cpu()")
        if args[k]._array.dtype != np.float64:
            raise DtypeError(
                f"gradcheck: input {k} is {args[k]._array.dtype}, expected float64. Check with "
                "x.double(), and compare the gradients of other dtypes to these"
            )
    try:
        _Check(func, args, chosen, atol, rtol, nondet_tol).assert_correct()
    except GradcheckError:
        if raise_exception:
            raise
        return False
    return True


def gradgradcheck(func: Func, inputs: Any, grad_outputs: Any = None, **options: Any) -> bool:
    """Return whether the derivatives of the gradients of `func` agree with numerical derivatives.

    `grad_outputs` are the cotangents, a tensor per output that requires grad, random by default.
    The derivatives by cotangents that require grad are compared too. `options` and errors are those
    of `gradcheck`.

    >>> import tinygrad_fc as tg
    >>> x = tg.tensor([0.5, 2.0], requires_grad=True)
    >>> tg.autograd.gradgradcheck(lambda x: x * x.exp(), x)
    True
    """
    args = tuple(inputs) if isinstance(inputs, tuple | list) else (inputs,)

    def tracked(*xs: Any) -> list[Any]:
        return [t for t in _tensors(func(*xs)) if t._requires_grad]

    if grad_outputs is None:
        rng = np.random.default_rng(3)
        arrays = (np.asarray(_random(rng, t._array.shape)) for t in tracked(*args))
        weights = [leaf_of(a).requires_grad_() for a in arrays]
    else:
        weights = list(grad_outputs) if isinstance(grad_outputs, tuple | list) else [grad_outputs]

    def gradient(*xs: Any) -> tuple[Any, ...]:
        ins, seeds = xs[: len(args)], xs[len(args) :]
        chosen: Any = [a for a in ins if isinstance(a, Node) and a._requires_grad]
        result = grad(tracked(*ins), chosen, seeds, create_graph=True, allow_unused=True)
        return tuple(g for g in result if g is not None)

    return gradcheck(gradient, (*args, *weights), **options)
