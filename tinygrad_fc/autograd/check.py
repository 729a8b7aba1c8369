"""Gradients against differences, in PyTorch's spelling: `gradcheck` and `gradgradcheck`.

The differences are those of `slopes`, which know how far they may be off: at a kink any slope
between those to both sides is right, and what can't be told is nobody's fault. The gradients are
asked for with weights that are random, the same each time, and never 1: ones hide a rule that is
not linear in what it gets.
"""

from __future__ import annotations

import math
from numbers import Real
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tinygrad_fc import grad_mode
from tinygrad_fc.autograd import grad
from tinygrad_fc.autograd.evaluation import gradients
from tinygrad_fc.autograd.numerical import derivatives, power_of_two, room
from tinygrad_fc.errors import DtypeError
from tinygrad_fc.graph import Node, wrap

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Func = Callable[..., Any]

# What PyTorch's take besides, with the only value that they have here.
OTHERS = {
    **dict.fromkeys(
        ("check_batched_grad", "check_batched_forward_grad", "check_forward_ad"), False
    ),
    **dict.fromkeys(("check_fwd_over_rev", "fast_mode"), False),
    **dict.fromkeys(("check_backward_ad", "check_rev_over_rev"), True),
}


class GradcheckError(RuntimeError):
    """A gradient is not what the differences say; the text tells which, and by how much."""


class _Measured(NamedTuple):
    """Derivatives by differences, and how far these may be off."""

    value: Any
    error: Any

    def times(self, u: Any) -> _Measured:
        """Return the derivatives of the outputs' sum, weighted with `u`."""
        return _Measured(u @ self.value, abs(u) @ self.error)

    def rows(self, start: int, end: int) -> _Measured:
        """Return the derivatives of some outputs."""
        return _Measured(self.value[start:end], self.error[start:end])


class _Check(NamedTuple):
    """A function with its arguments, and how closely its gradients must agree."""

    func: Func
    args: tuple[Any, ...]
    wanted: list[int]
    atol: float
    rtol: float

    def run(self, replaced: int | None = None, by: Any = None) -> tuple[list[Any], list[Any]]:
        """Call the function at copies; return those to differentiate by, and the outputs."""
        copies = list(self.args)
        for k in self.wanted:
            array = by if k == replaced else copies[k]._array.copy(order="K")
            copies[k] = wrap(array).requires_grad_()
        with grad_mode.enable_grad():
            value = self.func(*copies)
        found = value if isinstance(value, tuple | list) else (value,)
        outputs = [t for t in found if isinstance(t, Node) and t._array.dtype.kind == "f"]
        return [copies[k] for k in self.wanted], outputs

    def numerical(self, k: int, outputs: Sequence[Any], chosen: Sequence[int]) -> _Measured:
        """Return the Jacobian of the `chosen` outputs, end to end, by argument `k`."""
        array = self.args[k]._array

        def value(changed: Any) -> Any:
            if np.iscomplexobj(changed):
                raise TypeError  # no imaginary steps: tensors are of real numbers here
            by = array.copy(order="K")
            by[...] = changed
            found = self.run(k, by)[1]
            return np.concatenate([found[m]._array.reshape(-1) for m in chosen])

        steps = power_of_two(room(array))
        lines = []
        for entry in np.ndindex(array.shape):
            along = np.zeros(array.shape)
            along[entry] = steps[entry]
            lines.append(([array], [along]))
        columns = [
            [found.value / step, found.error / step]
            for found, step in zip(derivatives(value, lines), steps.ravel(), strict=True)
        ]
        rows = sum(outputs[m]._array.size for m in chosen)
        return _Measured(*np.moveaxis(np.reshape(columns, (array.size, 2, rows)), 0, -1))

    def agree(self, a: Any, n: _Measured, weight: Any = 1.0) -> Any:
        """Tell element by element whether `a` is as close to `n` as it must be."""
        allowed = self.atol * weight + self.rtol * abs(n.value)
        # What is within no bound is not known, and what is not finite never right.
        return abs(a - n.value) <= allowed + n.error


def _random(rng: np.random.Generator, shape: tuple[int, ...]) -> Any:
    """Return numbers of either sign that are neither small nor large."""
    return rng.uniform(0.5, 2.0, shape) * rng.choice((-1.0, 1.0), shape)


def _shares(outputs: Sequence[Any], inputs: Sequence[Any], weights: Sequence[Any]) -> list[Any]:
    """Return the gradients as vectors, zeros where an input is not reached."""
    found = gradients(outputs, inputs, [wrap(w) for w in weights], create=False)
    pairs = zip(found, inputs, strict=True)
    return [(np.zeros(t.shape) if g is None else g._array).reshape(-1) for g, t in pairs]


def _jacobian(rng: np.random.Generator, output: Any, inputs: Sequence[Any]) -> list[Any]:
    """Return the Jacobian of `output` by each input, from a gradient for each of its elements."""
    found: list[list[Any]] = [[] for _ in inputs]
    scale = _random(rng, output._array.shape).reshape(-1)
    for j in range(scale.size):
        one = np.zeros(output._array.shape, output._array.dtype)
        one.reshape(-1)[j] = scale[j]
        for column, share in zip(found, _shares([output], inputs, [one]), strict=True):
            column.append(share / scale[j])
    return [
        np.reshape(column, (scale.size, t._array.size))
        for column, t in zip(found, inputs, strict=True)
    ]


def _must_match(check: _Check, m: int, output: Any, k: int, a: Any, n: _Measured) -> None:
    """Raise where the Jacobian `a` of output `m` by argument `k` is not the numerical one, `n`."""
    wrong = ~check.agree(a, n)
    if not wrong.any():
        return
    limit = check.atol + check.rtol * abs(n.value) + n.error
    off = np.where(wrong, abs(a - n.value) / np.maximum(limit, np.finfo(float).tiny), -1)
    off = np.where(np.isnan(off), np.inf, off)
    j, i = np.unravel_index(int(np.argmax(off)), off.shape)
    shapes = output._array.shape, check.args[k]._array.shape
    of, by = (
        tuple(int(p) for p in np.unravel_index(int(e), shape))
        for e, shape in zip((j, i), shapes, strict=True)
    )
    raise GradcheckError(
        f"the derivative of output {m} at {of} by argument {k} at {by} is {a[j, i] + 0:.10g} by "
        f"backward, and {n.value[j, i] + 0:.10g} by differences; they may differ by atol + rtol * "
        f"|differences| + the differences' own error = {limit[j, i]:.3g}. {int(wrong.sum())} of "
        f"{wrong.size} such pairs differ, for output {m} {shapes[0]} and argument {k} {shapes[1]}"
    )


def _apart(a: Any, b: Any) -> float:
    """Return how much two arrays differ; infinities and NaN by nothing where both have them."""
    with np.errstate(invalid="ignore"):
        off = np.where((a == b) | (np.isnan(a) & np.isnan(b)), 0.0, abs(a - b))
    return float(np.nan_to_num(off, nan=np.inf).max(initial=0))


def _must_be_the_same(check: _Check, outputs: Sequence[Any], nondet_tol: float) -> None:
    """Raise where a second call gives something else: of that no difference tells anything."""
    for m, (t, again) in enumerate(zip(outputs, check.run()[1], strict=True)):
        one, other = t._array, again._array
        apart = _apart(one, other) if one.shape == other.shape else math.inf
        if apart > nondet_tol:
            raise GradcheckError(
                f"output {m} is not the same twice: two calls of the function differ by "
                f"{apart:.3g}, more than nondet_tol = {nondet_tol:.3g}. Where it is random, as "
                "dropout is, seed it in the function, or check it without"
            )


def _must_be_linear(
    check: _Check,
    inputs: Sequence[Any],
    outputs: Sequence[Any],
    rows: Sequence[_Measured],
    nondet_tol: float,
) -> None:
    """Raise where a gradient of all outputs at once is not what their Jacobians say."""
    rng = np.random.default_rng(1)
    weights = [_random(rng, t._array.shape) for t in outputs]
    u = np.concatenate([w.reshape(-1) for w in weights])
    first, second = (_shares(outputs, inputs, weights) for _ in range(2))
    for k, a, again, n in zip(check.wanted, first, second, rows, strict=True):
        apart = _apart(a, again)
        if apart > nondet_tol:
            raise GradcheckError(
                f"the gradient by argument {k} is not the same twice: two backward passes differ "
                f"by {apart:.3g}, more than nondet_tol = {nondet_tol:.3g}"
            )
        together = n.times(u)
        right = check.agree(a, together, float(abs(u).sum()))
        if not right.all():
            i = int(np.argmax(np.where(right, -1, abs(a - together.value))))
            raise GradcheckError(
                f"the gradient by argument {k} is not linear in what backward gets: with random "
                f"weights of all outputs it is {a[i]:.10g} at element {i}, though the outputs' "
                f"derivatives, each of them right, add up to {together.value[i]:.10g}"
            )


def _must_take_none(check: _Check, inputs: Sequence[Any], outputs: Sequence[Any]) -> None:
    """Raise where no gradient for an output is something else than zeros."""
    rng = np.random.default_rng(2)
    for m, output in enumerate(outputs):
        weights = [np.zeros_like(t._array) for t in outputs]
        weights[m] = _random(rng, output._array.shape)
        alone, zeros = _shares([output], inputs, [weights[m]]), _shares(outputs, inputs, weights)
        for k, a, z in zip(check.wanted, alone, zeros, strict=True):
            if not check.agree(a, _Measured(z, 0.0)).all():
                raise GradcheckError(
                    f"the gradient by argument {k} where only output {m} is used differs from that "
                    "where the others get gradients of zero: backward must take None for zero"
                )


def _run(check: _Check, nondet_tol: float, check_undefined_grad: bool) -> None:
    rng = np.random.default_rng(0)
    inputs, outputs = check.run()
    if not outputs:
        raise ValueError("gradcheck: the function returned no tensor of floats")
    _must_be_the_same(check, outputs, nondet_tol)
    # Where nothing is recorded everything is checked, against zero.
    chosen = [m for m, t in enumerate(outputs) if t._requires_grad] or list(range(len(outputs)))
    numerical = [check.numerical(k, outputs, chosen) for k in check.wanted]
    start = 0
    for m in chosen:
        end = start + outputs[m]._array.size
        analytical = _jacobian(rng, outputs[m], inputs)
        for k, a, n in zip(check.wanted, analytical, numerical, strict=True):
            _must_match(check, m, outputs[m], k, a, n.rows(start, end))
        start = end
    tracked = [outputs[m] for m in chosen]
    _must_be_linear(check, inputs, tracked, numerical, nondet_tol)
    if check_undefined_grad and len(tracked) > 1:
        _must_take_none(check, inputs, tracked)


def gradcheck(
    func: Func,
    inputs: Any,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_undefined_grad: bool = True,
    **others: Any,
) -> bool:
    """Return whether the gradients of `func` are what differences of its values say.

    `inputs`, a tensor or a tuple, are what `func` is called with; those that require grad are
    differentiated by, and must be float64. Every element of every output is compared for every
    element of every input: |backward - differences| <= atol + rtol |differences| + the error that
    these may have; `eps` is PyTorch's, steps are found here. `nondet_tol` is how far two passes
    may differ; `check_undefined_grad` also checks that an output that gets no gradient counts as
    one that gets zeros. Raises `GradcheckError` where they differ, or returns False without
    `raise_exception`.

    >>> import tinygrad_fc as tg
    >>> x = tg.tensor([0.5, 2.0], requires_grad=True)
    >>> tg.autograd.gradcheck(lambda x: x * x.exp(), x)
    True
    """
    _must_be_here("gradcheck", others)
    if not callable(func):
        raise TypeError(f"gradcheck: func is a function of tensors; got {func!r:.80}")
    for name, value in (("eps", eps), ("atol", atol), ("rtol", rtol), ("nondet_tol", nondet_tol)):
        _must_be_size(name, value)
    args = (
        inputs
        if isinstance(inputs, tuple)
        else tuple(inputs)
        if isinstance(inputs, list)
        else (inputs,)
    )
    wanted = [k for k, a in enumerate(args) if isinstance(a, Node) and a._requires_grad]
    if not wanted:
        raise ValueError("gradcheck: no input requires grad: make one with requires_grad=True")
    for k in wanted:
        if args[k]._array.dtype != np.float64:
            raise DtypeError(
                f"gradcheck: input {k} is {args[k]._array.dtype}, too coarse for differences: "
                "check with x.double(), and compare other dtypes with that"
            )
    try:
        _run(_Check(func, args, wanted, atol, rtol), nondet_tol, check_undefined_grad)
    except GradcheckError:
        if raise_exception:
            raise
        return False
    return True


def gradgradcheck(
    func: Func,
    inputs: Any,
    grad_outputs: Any = None,
    *,
    gen_non_contig_grad_outputs: bool = False,
    **options: Any,
) -> bool:
    """Return whether the derivatives of the gradients of `func` are what differences say.

    The gradients are taken with `grad_outputs`, a tensor for each output that requires grad;
    random ones if they are left out, strided with `gen_non_contig_grad_outputs`. Where those
    require grad, derivatives by them are checked, too. `options` are those of `gradcheck`, as
    are the errors.

    >>> import tinygrad_fc as tg
    >>> x = tg.tensor([0.5, 2.0], requires_grad=True)
    >>> tg.autograd.gradgradcheck(lambda x: x * x.exp(), x)
    True
    """
    _must_be_here("gradgradcheck", {k: v for k, v in options.items() if k in OTHERS})
    args = (
        inputs
        if isinstance(inputs, tuple)
        else tuple(inputs)
        if isinstance(inputs, list)
        else (inputs,)
    )

    def tracked(*given: Any) -> list[Any]:
        value = func(*given)
        found = value if isinstance(value, tuple | list) else (value,)
        return [t for t in found if isinstance(t, Node) and t._requires_grad]

    if grad_outputs is None:
        rng = np.random.default_rng(3)
        shapes = [t._array.shape for t in tracked(*args)]
        arrays = [_random(rng, (*shape, 2))[..., 0] for shape in shapes]
        copied = arrays if gen_non_contig_grad_outputs else [a.copy() for a in arrays]
        weights = [wrap(a).requires_grad_() for a in copied]
    else:
        weights = list(grad_outputs) if isinstance(grad_outputs, tuple | list) else [grad_outputs]

    def slope(*given: Any) -> tuple[Any, ...]:
        ins, seeds = given[: len(args)], given[len(args) :]
        wanted = [a for a in ins if isinstance(a, Node) and a._requires_grad]
        found = grad(tracked(*ins), wanted, seeds, create_graph=True, allow_unused=True)
        return tuple(g for g in found if g is not None)

    return gradcheck(slope, (*args, *weights), **options)


def _must_be_size(name: str, value: Any) -> None:
    number = isinstance(value, Real) and not isinstance(value, bool)
    if not number or not 0 <= value < math.inf:
        raise (ValueError if number else TypeError)(
            f"gradcheck: {name} is a number that is not negative, such as 1e-5; got {value!r:.80}"
        )


def _must_be_here(name: str, others: dict[str, Any]) -> None:
    for option, value in others.items():
        if option not in OTHERS:
            raise TypeError(f"{name} has no option {option!r}")
        if value != OTHERS[option]:
            raise NotImplementedError(f"{name}: {option}={value!r} is not there: leave it out")
