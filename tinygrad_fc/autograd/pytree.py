"""Nested tuples, lists and dicts of tensors: taken apart into a list, and put together again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from tinygrad_fc.errors import ShapeError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator


class Spec(NamedTuple):
    """What is left of a nest without its leaves; a leaf itself has none."""

    kind: type[Any]
    keys: tuple[Any, ...]
    children: tuple[Spec | None, ...]

    def __str__(self) -> str:
        inner = [_text(child) for child in self.children]
        if issubclass(self.kind, dict):
            pairs = zip(self.keys, inner, strict=True)
            return "{" + ", ".join(f"{key!r}: {text}" for key, text in pairs) + "}"
        return ("[{}]" if issubclass(self.kind, list) else "({})").format(", ".join(inner))


def _text(spec: Spec | None) -> str:
    return "*" if spec is None else str(spec)


def _parts(tree: Any) -> tuple[tuple[Any, ...], list[Any]] | None:
    """Return the keys and the children of a nest, None for a leaf."""
    if isinstance(tree, dict):
        return tuple(tree), list(tree.values())
    if isinstance(tree, tuple | list):
        return tuple(range(len(tree))), list(tree)
    return None


def flatten(tree: Any) -> tuple[list[Any], Spec | None]:
    """Return the leaves of `tree` in order, and what `unflatten` needs to put them back."""
    parts = _parts(tree)
    if parts is None:
        return [tree], None
    keys, inner = parts
    leaves: list[Any] = []
    specs = []
    for child in inner:
        found, spec = flatten(child)
        leaves += found
        specs.append(spec)
    return leaves, Spec(type(tree), keys, tuple(specs))


def flatten_like(spec: Spec | None, tree: Any, what: str) -> list[Any]:
    """Return the leaves of `tree` in the order of `spec`; `ShapeError` where it is another nest."""
    parts = _parts(tree)
    if (
        (spec is None) != (parts is None)
        or (spec and parts and set(spec.keys) != set(parts[0]))
        or (spec and issubclass(spec.kind, dict) != isinstance(tree, dict))
    ):
        found = _text(flatten(tree)[1])
        raise ShapeError(f"{what}: expected tensors nested as {_text(spec)}, got {found}")
    if spec is None or parts is None:
        return [tree]
    inner = dict(zip(*parts, strict=True))
    pairs = zip(spec.keys, spec.children, strict=True)
    return [leaf for key, child in pairs for leaf in flatten_like(child, inner[key], what)]


def unflatten(spec: Spec | None, leaves: Iterable[Any]) -> Any:
    """Return `leaves` in the nest that `flatten` took them from."""
    return _built(spec, iter(leaves))


def _built(spec: Spec | None, leaves: Iterator[Any]) -> Any:
    if spec is None:
        return next(leaves)
    inner = [_built(child, leaves) for child in spec.children]
    if issubclass(spec.kind, dict):
        return dict(zip(spec.keys, inner, strict=True))
    if hasattr(spec.kind, "_fields"):  # a named tuple takes its fields one by one
        return spec.kind(*inner)
    return inner if issubclass(spec.kind, list) else tuple(inner)


def mapped(function: Callable[[Any], Any], tree: Any) -> Any:
    """Return `tree` with `function` of each leaf in its place."""
    leaves, spec = flatten(tree)
    return unflatten(spec, map(function, leaves))
