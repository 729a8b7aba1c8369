"""Arguments and results as a list of leaves, and back."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_fc.compiler.program import Result, Same
from tinygrad_fc.graph import Node


class Itself:
    """A key that is a tensor: another with the same elements is another key."""

    __slots__ = ("tensor",)

    def __init__(self, tensor: Any) -> None:
        self.tensor = tensor

    def __eq__(self, other: object) -> bool:
        """Tell whether both are one tensor."""
        return type(other) is Itself and self.tensor is other.tensor

    def __hash__(self) -> int:
        """As that of the tensor."""
        return hash(self.tensor)


def _key(key: Any) -> Any:
    return Itself(key) if isinstance(key, Node) else key


def flatten(tree: Any) -> tuple[list[Any], Any]:
    """Return the leaves of nested tuples, lists and dicts, and how they were nested."""
    leaves: list[Any] = []
    return leaves, _taken(tree, leaves)


def _taken(tree: Any, leaves: list[Any]) -> Any:
    if isinstance(tree, Result | Same):
        leaves.append(tree)
        return None
    if type(tree) in (tuple, list) or (isinstance(tree, tuple) and hasattr(tree, "_fields")):
        return type(tree), [_taken(part, leaves) for part in tree]
    if type(tree) is dict:
        # As pairs, since two dicts with their keys in another order are equal.
        return dict, [(_key(key), _taken(part, leaves)) for key, part in tree.items()]
    leaves.append(tree)
    return None


def unflatten(spec: Any, leaves: Any) -> Any:
    """Return `leaves`, nested as `spec` says."""
    return _built(spec, iter(leaves))


def _built(spec: Any, leaves: Any) -> Any:
    if spec is None:
        return next(leaves)
    kind, parts = spec
    if kind is dict:
        return {
            key.tensor if type(key) is Itself else key: _built(part, leaves) for key, part in parts
        }
    made = [_built(part, leaves) for part in parts]
    return kind(*made) if hasattr(kind, "_fields") else kind(made)


def signature(args: Any, kwargs: Any) -> str:
    """Return how a call is told from others: `float64[40, 1], train=True`."""
    named = [f"{name}={_shown(value)}" for name, value in kwargs.items()]
    return ", ".join([*map(_shown, args), *named])


def _shown(value: Any) -> str:
    array = value._array if isinstance(value, Node) else value
    if isinstance(array, np.ndarray):
        return f"{array.dtype}{list(array.shape)}"
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(_shown, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key!r}: {_shown(part)}' for key, part in value.items())}}}"
    return f"{value!r:.40}"
