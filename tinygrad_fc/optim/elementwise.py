"""The base class of elementwise optimizers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

from tinygrad_fc.dtypes import float32, float64, get_default_dtype
from tinygrad_fc.graph import record_change, wrap
from tinygrad_fc.optim.optimizer import NON_NEGATIVE, Group, Optimizer, Range

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tinygrad_fc.tensor import Tensor

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
    """Return `formula(g, p, ...)`, preceded by weight decay, and by g = -g if `maximize`."""

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

    `rule(o, n)` returns the `Update` of a step. `o` is the parameter group; read its numbers by
    float(o["lr"]), since a learning rate may be a tensor. `n` is the scalar state of the parameter:
    n["step"], t in formulas, starts at 1; `rule` may set the other scalars. This class handles the
    options that most optimizers have: `maximize` negates the gradient g; `weight_decay` d replaces
    g by g + d * p, or, if `decoupled_weight_decay`, subtracts lr * d * p from p.
    """

    ranges: ClassVar[Mapping[str, Range]] = {
        **dict.fromkeys(("lr", "eps", "weight_decay", "momentum", "lr_decay"), NON_NEGATIVE),
        **dict.fromkeys(("momentum_decay", "initial_accumulator_value"), NON_NEGATIVE),
        "betas": Range(
            lambda v: len(v) == 2 and all(0 <= beta < 1 for beta in v),
            "two numbers, each at least 0 and below 1",
        ),
    }

    def rule(self, o: Group, n: dict[str, float]) -> Update:
        """Return the `Update` of the step n["step"]."""
        raise NotImplementedError(f"{type(self).__name__} does not define `rule`")

    def initial_scalars(self, o: Group) -> dict[str, float]:  # noqa: ARG002  some depend on options
        """Return the scalar state of each parameter, with initial values."""
        return {"step": 0.0}

    def _update(self, group: Group) -> None:
        initial_scalars = self.initial_scalars(group)
        previous: Any = None
        changed: list[Any] = []
        try:
            for p in group["params"]:
                if p._grad is None:
                    continue
                array, state = p._array, self.state[p]
                scalars = _scalars(state, initial_scalars)
                current = (array.dtype, *map(float, scalars))
                if current != previous:  # usually all parameters have the same numbers
                    previous = current
                    n = dict(zip(initial_scalars, current[1:], strict=True))
                    n["step"] += 1
                    formula, names, numbers = self._prepared(group, self.rule(group, n), array)
                arrays = [array, *self._arrays(state, names, array)]
                changed += arrays
                changed += scalars
                in_blocks(formula, [p._grad._array, *arrays], numbers)
                for scalar, value in zip(scalars, n.values(), strict=True):
                    scalar.fill(value)
        finally:  # NumPy may raise between two parameters, for example on overflow
            record_change(*changed)

    def _prepared(self, group: Group, rule: Update, array: Any) -> Update:
        """Return `rule` with weight decay and `maximize`, and with its numbers as 0-d arrays."""
        decay = float(group.get("weight_decay", 0))
        formula, maximize = rule.formula, group["maximize"]
        if decay or maximize:
            decoupled = group.get("decoupled_weight_decay")
            shrink = 1 - float(group["lr"]) * decay if decoupled else None
            formula = with_decay(formula, maximize=maximize, decay=decay, shrink=shrink)
        if array.__class__ is not np.ndarray:
            return rule._replace(formula=formula)
        # NumPy takes a 0-d array in two thirds of the time of a Python number.
        return Update(formula, rule.state, [np.asarray(x, array.dtype) for x in rule.numbers])

    def _arrays(self, state: dict[str, Any], names: Mapping[str, float], array: Any) -> list[Any]:
        """Return the state arrays, created if missing; raise if one has another shape or dtype."""
        arrays = []
        for name, value in names.items():
            if name not in state:
                state[name] = wrap(np.full_like(array, value) if value else np.zeros_like(array))
            known = state[name]._array
            if known.dtype != array.dtype or known.shape != array.shape:
                raise ValueError(
                    f"{type(self).__name__}: the state {name} has shape {known.shape} and dtype "
                    f"{known.dtype}, and the parameter has shape {array.shape} and dtype "
                    f"{array.dtype}. Create a new optimizer for a parameter that was replaced"
                )
            arrays.append(known)
        return arrays

    # State

    def _start(self, p: Tensor, group: Group) -> None:
        """Create the state of `p` before its first step."""
        initial_scalars, state = self.initial_scalars(group), self.state[p]
        _scalars(state, initial_scalars)
        self._arrays(state, self.rule(group, {**initial_scalars, "step": 1.0}).state, p._array)

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
        self._arrays(state, names, p._array)


def _scalars(state: dict[str, Any], initial_scalars: Mapping[str, float]) -> list[Any]:
    """Return the 0-d arrays of the scalar state, created if missing."""
    for name, value in initial_scalars.items():
        if name not in state:
            state[name] = _number(value)
    return [state[name]._array for name in initial_scalars]


def _number(value: float) -> Tensor:
    """Return a 0-d tensor of the dtype that PyTorch uses for the number of steps."""
    return wrap(np.asarray(value, float64 if get_default_dtype() == float64 else float32))
