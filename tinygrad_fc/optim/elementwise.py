"""The base class of optimizers that update all elements of a parameter independently."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

from tinygrad_fc.core.dtypes import float32, float64, get_default_dtype
from tinygrad_fc.core.graph import record_change
from tinygrad_fc.core.node import array_of, grad_of, leaf_of, number_of
from tinygrad_fc.core.seam import like
from tinygrad_fc.optim.optimizer import NON_NEGATIVE, Optimizer, Range

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tinygrad_fc.optim.optimizer import Group
    from tinygrad_fc.tensors import Tensor

BLOCK = 1 << 20
"""Bytes that a call of a formula works on, over all its arrays: they fit into the cache."""


def in_blocks(formula: Callable[..., None], arrays: Sequence[Any], numbers: Sequence[Any]) -> None:
    """Call `formula(*arrays, *numbers)`, which updates arrays in place, on blocks in the cache."""
    first = arrays[0]
    if (
        first.__class__ is not np.ndarray
        or first.nbytes * len(arrays) <= BLOCK
        or not all(array.flags.c_contiguous for array in arrays)
    ):
        formula(*arrays, *numbers)
        return
    flat = [array.reshape(-1) for array in arrays]
    size = BLOCK // (len(arrays) * first.itemsize) & -64  # whole cache lines
    for start in range(0, first.size, size):
        formula(*[array[start : start + size] for array in flat], *numbers)


def with_decay(
    formula: Callable[..., None], *, maximize: bool, decay: float, shrink: float | None = None
) -> Callable[..., None]:
    """Return `formula(g, p, ...)`, preceded by g = -g if `maximize`, and by weight decay.

    Weight decay is p *= shrink if `shrink` is passed (decoupled), else g += decay * p.
    """

    def update(g: Any, p: Any, *others: Any) -> None:
        if maximize:
            g = -g
        if shrink is not None:
            p *= shrink
        elif decay:
            g = g + decay * p
        formula(g, p, *others)

    return update


class Update(NamedTuple):
    """The update of a parameter: `formula(g, p, *state arrays, *numbers)`, in place.

    `state` names the arrays of the parameter's shape, with their initial values.
    """

    formula: Callable[..., None]
    state: Mapping[str, float]
    numbers: Sequence[Any]


class Elementwise(Optimizer):
    """Base class of optimizers that update all elements independently; a subclass defines `rule`.

    `rule(group, scalars)` returns the `Update` of a step. Read the numbers of the parameter group
    by number_of(group["lr"]), since a learning rate may be a tensor. `scalars` is the scalar state
    of the parameter: scalars["step"], t in formulas, starts at 1; `rule` may set the others. This
    class handles two options: `maximize`, which a subclass must have, negates the gradient g;
    `weight_decay` d, if it has that, replaces g by g + d * p, or, if `decoupled_weight_decay`,
    subtracts lr * d * p from p.
    """

    _is_shaped = True
    ranges: ClassVar[Mapping[str, Range]] = {
        **dict.fromkeys(("lr", "eps", "weight_decay", "momentum", "lr_decay"), NON_NEGATIVE),
        **dict.fromkeys(("momentum_decay", "initial_accumulator_value"), NON_NEGATIVE),
        "betas": Range(
            lambda v: len(v) == 2 and all(0 <= beta < 1 for beta in v),
            "two numbers, each at least 0 and below 1",
        ),
    }

    def rule(self, group: Group, scalars: dict[str, float]) -> Update:
        """Return the `Update` of the step scalars["step"]."""
        raise NotImplementedError(f"{type(self).__name__} does not define `rule`")

    def initial_scalars(self, group: Group) -> dict[str, float]:  # noqa: ARG002  some depend on options
        """Return the scalar state of each parameter, with initial values."""
        return {"step": 0.0}

    def _update(self, group: Group) -> None:
        initial_scalars = self.initial_scalars(group)
        previous: Any = None
        changed: list[Any] = []
        states = self.state
        try:
            for p in group["params"]:
                grad = grad_of(p)
                if grad is None:
                    continue
                array, state = array_of(p), states[p]
                scalar_arrays = _scalars(state, initial_scalars)
                current = (array.dtype, *map(number_of, scalar_arrays))
                if current != previous:  # usually all parameters have the same numbers
                    previous = current
                    scalars = dict(zip(initial_scalars, current[1:], strict=True))
                    step = scalars["step"] + 1
                    scalars["step"] = step
                    update = self._prepared(group, self.rule(group, scalars), array)
                arrays = [array, *self._arrays(state, update.state, array)]
                changed += arrays
                changed += scalar_arrays
                in_blocks(update.formula, [array_of(grad), *arrays], update.numbers)
                for scalar, value in zip(scalar_arrays, scalars.values(), strict=True):
                    scalar.fill(value)
        finally:  # NumPy may raise between two parameters, for example on overflow
            record_change(*changed)

    def _prepared(self, group: Group, update: Update, array: Any) -> Update:
        """Return `update` with weight decay and `maximize`, and with its numbers as 0-d arrays."""
        decay = number_of(group.get("weight_decay", 0))
        formula, maximize = update.formula, group["maximize"]
        if decay or maximize:
            decoupled = group.get("decoupled_weight_decay")
            shrink = 1 - number_of(group["lr"]) * decay if decoupled else None
            formula = with_decay(formula, maximize=maximize, decay=decay, shrink=shrink)
        if array.__class__ is not np.ndarray:  # a CuPy array, with which numbers cost no more
            return update._replace(formula=formula)
        # An in-place operation with a 0-d array takes two thirds of the time of one with a number.
        return Update(formula, update.state, [np.asarray(x, array.dtype) for x in update.numbers])

    def _arrays(self, state: dict[str, Any], names: Mapping[str, float], array: Any) -> list[Any]:
        """Return the state arrays, created if missing; raise if one has another shape or dtype."""
        arrays = []
        for name, value in names.items():
            if name not in state:
                state[name] = leaf_of(np.full_like(array, value) if value else np.zeros_like(array))
            known = array_of(state[name])
            if known.dtype != array.dtype or known.shape != array.shape:
                raise ValueError(
                    f"{type(self).__name__}: the state {name} has shape {known.shape} and dtype "
                    f"{known.dtype}, and the parameter has shape {array.shape} and dtype "
                    f"{array.dtype}. Create a new optimizer for a parameter that was replaced"
                )
            arrays.append(known)
        return arrays

    # State

    def _create_state(self, p: Tensor, group: Group) -> None:
        """Create the state of `p` before its first step, as the constructor of Adagrad does."""
        initial_scalars, state = self.initial_scalars(group), self.state[p]
        _scalars(state, initial_scalars)
        self._arrays(state, self.rule(group, {**initial_scalars, "step": 1.0}).state, array_of(p))

    def _cast(self, p: Tensor, key: str, value: Any) -> Any:
        # Old PyTorch checkpoints store `step` as a Python number.
        return _number(value) if isinstance(value, int | float) else super()._cast(p, key, value)

    def _check_state(self, p: Tensor, state: dict[str, Any], group: Group) -> None:
        initial_scalars = self.initial_scalars(group)
        names = self.rule(group, {**initial_scalars, "step": 1.0}).state
        missing = {*names, *initial_scalars} - state.keys()
        if missing:
            raise ValueError(
                f"{type(self).__name__} needs the state {', '.join(sorted(missing))}, and the "
                f"state dict has only {', '.join(state)}. It was saved by another optimizer, or "
                "with other options"
            )
        self._arrays(state, names, array_of(p))


def _scalars(state: dict[str, Any], initial_scalars: Mapping[str, float]) -> list[Any]:
    """Return the 0-d arrays of the scalar state, created if missing."""
    for name, value in initial_scalars.items():
        if name not in state:
            state[name] = _number(value)
    return [array_of(state[name]) for name in initial_scalars]


def _number(value: float) -> Tensor:
    """Return a 0-d tensor of the dtype that PyTorch uses for the number of steps."""
    dtype = float64 if get_default_dtype() == float64 else float32
    return leaf_of(np.asarray(value, dtype, like=like()))
