"""Functions of one sample applied to each row of a batch, under the name of `torch.func.vmap`."""

from __future__ import annotations

import contextlib
import functools
from typing import TYPE_CHECKING, Any

from tinygrad_fc import random
from tinygrad_fc.core import pytree
from tinygrad_fc.core.errors import check_argument
from tinygrad_fc.functional.shape import stack

if TYPE_CHECKING:
    from collections.abc import Callable

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
    the batch, None returns that of the first row. Both are a number, or a pytree that fits the
    arguments or results; keyword arguments are passed whole. `func` is called once per row, in a
    loop: use ops with batch axes where time matters. Random numbers differ by row, unless
    `randomness` is "same". `chunk_size` has no effect. Raises `ValueError` for dims, sizes and
    results that do not fit.

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
        seed = int(random.rng_of(None).integers(2**63)) if randomness == "same" else 0
        results = []
        for row in zip(*rows, strict=True):
            same = random.drawing_from(random.Generator().manual_seed(seed))
            with same if randomness == "same" else contextlib.nullcontext():
                results.append(pytree.flatten(func(*pytree.unflatten(spec, row), **kwargs)))
        first, out_spec = results[0]
        ends = _broadcast_prefix(out_dims, pytree.unflatten(out_spec, first))
        columns = zip(ends, *(values for values, _ in results), strict=True)
        stacked = [ts[0] if d is None else stack(ts, d) for d, *ts in columns]
        return pytree.unflatten(out_spec, stacked)

    return batched


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
