"""Functions of one sample applied to each row of a batch, under the name of `torch.func.vmap`."""

from __future__ import annotations

import contextlib
import functools
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc import random
from tinygrad_fc.core import pytree
from tinygrad_fc.core.errors import GraphError, check_argument
from tinygrad_fc.core.graph import changed_memory, state
from tinygrad_fc.core.node import array_of, owner
from tinygrad_fc.functional.joining import stack

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["vmap"]


def vmap(
    func: Callable[..., Any],
    in_dims: Any = 0,
    out_dims: Any = 0,
    randomness: str = "error",
    *,
    chunk_size: int | None = None,
) -> Callable[..., Any]:
    """Return a function that applies `func` to each row of its arguments, and stacks the results.

    Axis `in_dims` of an argument is the batch, None passes it whole; axis `out_dims` of a result is
    the batch, None for a result that is the same for all rows. Both are a number, or a pytree that
    fits the arguments or results; keyword arguments are passed whole. `func` is called once per
    row, in a loop: use ops with batch axes where time matters. Random numbers need `randomness`:
    "different" by row, or "same", without a `generator`. `chunk_size` has no effect. Raises
    `ValueError` for dims, sizes and results that do not fit, `RuntimeError` for random numbers
    without `randomness`, `GraphError` if two rows change the same tensor in place, unless it is a
    batch.

    >>> import tinygrad_fc as tg
    >>> per_sample = tg.func.vmap(tg.func.grad(lambda w, x: (w @ x) ** 2), in_dims=(None, 0))
    >>> per_sample(tg.tensor([1.0, 2.0]), tg.tensor([[1.0, 0.0], [1.0, 1.0]]))
    tensor([[2., 0.],
            [6., 6.]])
    """
    del chunk_size
    choices = ("error", "different", "same")
    check_argument(randomness in choices, "vmap", choices, randomness=randomness)

    @functools.wraps(func)
    def batched(*args: Any, **kwargs: Any) -> Any:
        leaves, spec = pytree.flatten(args)
        pairs = list(zip(leaves, _broadcast_prefix(in_dims, args), strict=True))
        try:
            sizes = {t.shape[d] for t, d in pairs if d is not None}
        except (AttributeError, IndexError):
            sizes = set()
        if len(sizes) != 1 or 0 in sizes:
            raise ValueError(
                f"vmap: in_dims is {in_dims}, expected axes of tensors, of one size of at least 1, "
                f"got {[getattr(t, 'shape', t) for t in leaves]}. Pass None for no batch axis"
            )
        rows = [[t] * max(sizes) if d is None else t.unbind(d) for t, d in pairs]
        drawing = _drawing(randomness)
        batches = {id(owner(array_of(t))) for t, d in pairs if d is not None}
        results = []
        with _changes_of_rows(batches) as check:
            for row in zip(*rows, strict=True):
                with drawing():
                    results.append(pytree.flatten(func(*pytree.unflatten(spec, row), **kwargs)))
                check()
        first, out_spec = results[0]
        ends = _broadcast_prefix(out_dims, pytree.unflatten(out_spec, first))
        columns = zip(ends, *(values for values, _ in results), strict=True)
        stacked = [_of_all_rows(ts) if d is None else stack(ts, d) for d, *ts in columns]
        return pytree.unflatten(out_spec, stacked)

    return batched


def _drawing(randomness: str) -> Callable[[], contextlib.AbstractContextManager[None]]:
    """Return a function that returns the context in which a row draws random numbers."""
    if randomness == "error":
        return lambda: random.drawing_from(random.NO_DRAWS)
    if randomness == "different":
        return contextlib.nullcontext
    seed = int(random.rng_of(None).integers(2**63))
    return lambda: random.drawing_from(random.Generator().manual_seed(seed))


@contextlib.contextmanager
def _changes_of_rows(batches: set[int]) -> Iterator[Callable[[], None]]:
    """Yield a function to call after each row, which raises if an earlier one changed its tensors.

    Where the memory does not belong to a batch, a second change would add to the first.
    """
    outer, changed, earlier = changed_memory.get(), list[int](), dict[int, Any]()

    def check() -> None:
        rows = {key: state.owners[key] for key in changed if key in state.owners}  # still alive
        if any(earlier.get(key) is memory and key not in batches for key, memory in rows.items()):
            raise GraphError(
                "vmap: the function changes a tensor in place that is captured, or passed whole "
                "(in_dims=None), so that the changes of all rows would add up. Return the new "
                "value, or change a copy (x.clone())"
            )
        earlier.update(rows)
        changed.clear()
        if outer is not None:
            outer.extend(rows)

    token = changed_memory.set(changed)
    try:
        yield check
    finally:
        changed_memory.reset(token)


def _of_all_rows(values: Any) -> Any:
    """Return the result of the first row; raise `ValueError` unless all rows have the same."""
    first, *others = (np.asarray(array_of(value)) for value in values)
    has_nan = first.dtype.kind == "f"
    if not all(np.array_equal(first, other, equal_nan=has_nan) for other in others):
        raise ValueError(
            "vmap: out_dims is None for a result that differs by row. Pass the axis of the batch"
        )
    return values[0]


def _broadcast_prefix(prefix: Any, tree: Any) -> list[Any]:
    """Return for each leaf of `tree` the leaf of `prefix` at its place, or at one above it.

    Raises `ValueError` if `prefix` has a tuple, list or dict where `tree` has another structure.
    """
    if not isinstance(prefix, dict | tuple | list):
        return [prefix] * len(pytree.flatten(tree)[0])
    is_dict, structure = isinstance(prefix, dict), pytree.flatten(tree)[1]
    fits = isinstance(tree, dict if is_dict else tuple | list) and len(tree) == len(prefix)
    if not fits or (is_dict and set(prefix) != set(tree)):
        raise ValueError(f"{prefix!r} does not fit a pytree with the structure {structure}")
    keys = sorted(tree, key=repr) if is_dict else range(len(tree))
    return [leaf for key in keys for leaf in _broadcast_prefix(prefix[key], tree[key])]
