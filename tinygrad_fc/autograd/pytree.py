"""Pytrees: tensors nested in tuples, lists and dicts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator


class Spec(NamedTuple):
    """The structure of a pytree without its leaves; the structure of a leaf is None."""

    kind: type[Any]
    keys: tuple[Any, ...]
    children: tuple[Spec | None, ...]


def flatten(tree: Any) -> tuple[list[Any], Spec | None]:
    """Return the leaves of `tree` in order, and its structure."""
    if isinstance(tree, dict):
        keys = tuple(sorted(tree, key=repr))  # as JAX, which ignores the order of insertion
        children = [tree[key] for key in keys]
    elif isinstance(tree, tuple | list):
        keys, children = (), list(tree)
    else:
        return [tree], None
    flat = [flatten(child) for child in children]
    specs = tuple(spec for _, spec in flat)
    return [leaf for leaves, _ in flat for leaf in leaves], Spec(type(tree), keys, specs)


def unflatten(spec: Spec | None, leaves: Iterable[Any]) -> Any:
    """Return the pytree with the structure `spec` and `leaves`: the inverse of `flatten`."""
    return _built(spec, iter(leaves))


def _built(spec: Spec | None, leaves: Iterator[Any]) -> Any:
    if spec is None:
        return next(leaves)
    children = [_built(child, leaves) for child in spec.children]
    if issubclass(spec.kind, dict):
        return dict(zip(spec.keys, children, strict=True))
    if hasattr(spec.kind, "_fields"):  # a named tuple takes its fields as separate arguments
        return spec.kind(*children)
    return children if issubclass(spec.kind, list) else tuple(children)


def broadcast_prefix(prefix: Any, tree: Any) -> list[Any]:
    """Return for each leaf of `tree` the leaf of `prefix` at its place, or at one above it.

    Raises `ValueError` if `prefix` has a tuple, list or dict where `tree` has another structure.
    """
    if not isinstance(prefix, dict | tuple | list):
        return [prefix] * len(flatten(tree)[0])
    expected, spec = flatten(tree)[1], flatten(prefix)[1]
    if not (expected and spec and len(tree) == len(prefix) and spec.keys == expected.keys):
        raise ValueError(f"{prefix!r} does not fit a pytree with the structure {expected}")
    keys = expected.keys or range(len(tree))
    return [leaf for key in keys for leaf in broadcast_prefix(prefix[key], tree[key])]


def mapped(function: Callable[[Any], Any], tree: Any) -> Any:
    """Return `tree` with `function` applied to each leaf."""
    leaves, spec = flatten(tree)
    return unflatten(spec, map(function, leaves))
