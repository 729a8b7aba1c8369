"""Optimizers that treat each element alone: what is kept for it, and the walk in pieces."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.dtypes import float32, float64, get_default_dtype
from tinygrad_fc.graph import changed, wrap
from tinygrad_fc.optim.optimizer import Group, Optimizer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tinygrad_fc.tensor import Tensor

CACHED = 1 << 20
"""Bytes. A formula goes over its arrays several times: a piece of each stays in the cache."""


def in_pieces(formula: Callable[..., None], arrays: Sequence[Any], numbers: Sequence[Any]) -> None:
    """Call `formula(*arrays, *numbers)`, which changes arrays in place, a piece at a time."""
    first = arrays[0]
    if (
        first.__class__ is not np.ndarray
        or first.nbytes * len(arrays) <= CACHED
        or not all(array.flags.c_contiguous for array in arrays)
    ):
        formula(*arrays, *numbers)
        return
    flat = [array.reshape(-1) for array in arrays]
    piece = CACHED // (len(arrays) * first.itemsize) & -64  # whole cache lines
    for start in range(0, first.size, piece):
        formula(*[array[start : start + piece] for array in flat], *numbers)


def prepared(
    formula: Callable[..., None], *, maximize: bool, decay: float, shrink: float | None = None
) -> Callable[..., None]:
    """Return `formula(g, p, ...)` behind what is done to the gradient or the parameter first."""
    if not (decay or maximize):
        return formula

    def descend(g: Any, p: Any, *others: Any) -> None:
        if maximize:
            g = -g
        if shrink is not None:
            p *= shrink
        elif decay:
            g = g + decay * p
        formula(g, p, *others)

    return descend


class Elementwise(Optimizer):
    """Changes each element by a formula in its gradient and in what is kept for it.

    A subclass says what is kept, `_kept` for each element and `_counted` for each parameter, how
    the latter go on, `_advance`, and the `_formula`. The options that many have are treated here:
    `maximize` negates the gradient g; `weight_decay` d puts g + d * p in its place, or, if
    `decoupled_weight_decay`, takes lr * d * p from p and leaves g alone.
    """

    def _kept(self, group: Group) -> dict[str, float]:
        """Return what is kept for each element: names, each with the value to begin with."""
        raise NotImplementedError

    def _counted(self, group: Group) -> dict[str, float]:  # noqa: ARG002  some read options
        """Return what is kept for each parameter: names, each with the value to begin with."""
        return {"step": 0.0}

    def _advance(self, group: Group, *counted: float) -> tuple[Sequence[float], Sequence[float]]:
        """Return the next values of what is counted, and the numbers that the formula takes."""
        raise NotImplementedError

    def _formula(self, group: Group) -> Callable[..., None]:
        """Return the update, a function of g, p, the kept arrays and the numbers.

        It changes p and what is kept in place, by operators and ufuncs.
        """
        raise NotImplementedError

    def _update(self, group: Group) -> None:
        kept, counted, descend = self._kept(group), self._counted(group), self._descent(group)
        at: Any = None
        following: Sequence[float] = ()
        numbers: Sequence[Any] = ()
        touched: list[Any] = []
        try:
            for p in group["params"]:
                if p._grad is None:
                    continue
                array, state = p._array, self.state[p]
                self._begin(array, state, kept, counted)
                arrays = [array, *[state[name]._array for name in kept]]
                counts = [state[name]._array for name in counted]
                now = (array.dtype, *map(float, counts))
                if now != at:  # most often, the numbers of one parameter are those of the next
                    at = now
                    following, numbers = self._advance(group, *now[1:])
                    if array.__class__ is np.ndarray:
                        # NumPy takes a 0-d array in two thirds of the time of a Python number.
                        numbers = [np.asarray(n, array.dtype) for n in numbers]
                touched += arrays
                touched += counts
                in_pieces(descend, [p._grad._array, *arrays], numbers)
                for count, value in zip(counts, following, strict=True):
                    count.fill(value)
        finally:  # NumPy may have been told to raise where a number gets too large
            changed(*touched)

    def _begin(
        self, array: Any, state: dict[str, Any], kept: dict[str, float], counted: dict[str, float]
    ) -> None:
        """Add to `state` what it lacks; raise where it is of another kind than the parameter."""
        for name, value in counted.items():
            if name not in state:
                state[name] = _count(value)
        for name, value in kept.items():
            if name not in state:
                state[name] = wrap(np.full_like(array, value) if value else np.zeros_like(array))
            self._check_kind(name, state[name]._array, array)

    def _check_kind(self, name: str, known: Any, array: Any) -> None:
        if known.dtype != array.dtype or known.shape != array.shape:
            raise ValueError(
                f"{type(self).__name__} keeps {name} of shape {known.shape} and dtype "
                f"{known.dtype}, and the parameter has shape {array.shape} and dtype "
                f"{array.dtype}: what is kept is another's, and this one needs a new optimizer"
            )

    def _descent(self, group: Group) -> Callable[..., None]:
        """Return the formula behind what the options that many have do first."""
        decay, decoupled = float(group.get("weight_decay", 0)), group.get("decoupled_weight_decay")
        shrink = 1 - float(group["lr"]) * decay if decoupled else None
        return prepared(
            self._formula(group), maximize=group["maximize"], decay=decay, shrink=shrink
        )

    # State

    def _fitted(self, p: Tensor, key: str, value: Any) -> Any:
        # Old checkpoints of PyTorch have plain numbers.
        return _count(value) if isinstance(value, int | float) else super()._fitted(p, key, value)

    def _check_loaded(self, p: Tensor, kept: dict[str, Any], group: Group) -> None:
        names, counted = self._kept(group), self._counted(group)
        missing = (names | counted).keys() - kept.keys()
        if missing:
            raise ValueError(
                f"{type(self).__name__} keeps {', '.join(sorted(missing))} for a parameter, and "
                f"the state dict has only {', '.join(kept)}: it was saved by another optimizer, or "
                "with other options"
            )
        for name in names:
            self._check_kind(name, kept[name]._array, p._array)
        for name in counted:
            if kept[name].ndim:
                raise ValueError(
                    f"{type(self).__name__} keeps one number as {name}, and the state dict has "
                    f"{kept[name]!r:.80}"
                )


def _count(value: float) -> Tensor:
    """Return a tensor of one number, of PyTorch's dtype for what is counted."""
    return wrap(np.asarray(value, float64 if get_default_dtype() == float64 else float32))
