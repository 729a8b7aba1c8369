"""Pytrees: values nested in tuples, lists, dicts and slices."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


def mapped(function: Callable[[Any], Any], tree: Any) -> Any:
    """Return `tree` with `function` applied to each leaf, in a dict in the order of sorted keys.

    >>> mapped(abs, {"b": [-1, -2], "a": (-3,)})
    {'b': [1, 2], 'a': (3,)}
    """
    if isinstance(tree, tuple | list):
        parts = [mapped(function, part) for part in tree]
        return type(tree)(*parts) if hasattr(tree, "_fields") else type(tree)(parts)
    if isinstance(tree, dict):
        by_key = {key: mapped(function, tree[key]) for key in sorted(tree, key=repr)}
        kind = OrderedDict if isinstance(tree, OrderedDict) else dict
        return kind((key, by_key[key]) for key in tree)
    if isinstance(tree, slice):
        return slice(*mapped(function, (tree.start, tree.stop, tree.step)))
    return function(tree)


def flatten(tree: Any) -> tuple[list[Any], Any]:
    """Return the leaves of `tree` in order, and its structure: the tree with None as leaves.

    >>> flatten({"b": [1, 2], "a": 3})
    ([3, 1, 2], {'b': [None, None], 'a': None})
    """
    leaves: list[Any] = []
    structure = mapped(leaves.append, tree)
    return leaves, structure


def unflatten(structure: Any, leaves: Iterable[Any]) -> Any:
    """Return the pytree with `structure` and `leaves`: the inverse of `flatten`."""
    rest = iter(leaves)
    return mapped(lambda _: next(rest), structure)
