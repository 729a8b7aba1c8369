"""Find what a module holds, and all that is below it, by walking attributes."""

from __future__ import annotations

from typing import Any, TypeVar

T = TypeVar("T")

PLAIN = (list, tuple, dict)


class CycleError(RecursionError):
    """Something holds, further below, what holds it."""


def held(owner: object, kind: type[T]) -> list[tuple[str, T]]:
    """Return name and value of each attribute of `owner` that is a `kind`, or an item that is.

    Items are those of lists, tuples and dicts, nested too; their names are `attribute.key`.
    """
    found: list[tuple[str, T]] = []
    for name, value in vars(owner).items():
        if isinstance(value, kind):
            found.append((name, value))
        elif isinstance(value, PLAIN):
            _items(name, value, kind, (), found)
    return found


def _items(
    path: str, plain: Any, kind: type[T], around: tuple[Any, ...], found: list[tuple[str, T]]
) -> None:
    if any(plain is a for a in around):
        return
    for key, value in plain.items() if isinstance(plain, dict) else enumerate(plain):
        if isinstance(value, kind):
            found.append((f"{path}.{key}", value))
        elif isinstance(value, PLAIN):
            _items(f"{path}.{key}", value, kind, (*around, plain), found)


def below(
    root: T, kind: type[T], path: str, seen: set[T] | None, around: tuple[T, ...] = ()
) -> list[tuple[str, T]]:
    """Return path and value of `root` and of each `kind` below it, those above first.

    With `seen` each comes once. Without, it comes under each of its paths, and what has more
    paths than can be counted, since it lies below itself, raises `CycleError`.
    """
    if seen is None:
        if any(root is a for a in around):
            raise CycleError(f"{path} lies below itself")
        around = (*around, root)
    elif root in seen:
        return []
    else:
        seen.add(root)
    found = [(path, root)]
    for name, value in held(root, kind):
        found += below(value, kind, join(path, name), seen, around)
    return found


def above_last(root: T, kind: type[T], seen: set[T]) -> list[T]:
    """Return `root` and each `kind` below it, once, those below first."""
    if root in seen:
        return []
    seen.add(root)
    found = []
    for _, value in held(root, kind):
        found += above_last(value, kind, seen)
    return [*found, root]


def join(path: str, name: str) -> str:
    """Return the path of `name` in what is at `path`."""
    return f"{path}.{name}" if path else name
