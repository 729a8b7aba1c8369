"""NumPy's generalised signatures, `(n,m),(m)->(n)`, as shapes of domains."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tinygrad_fc.domain import Domain

_CORE = r"\(\s*(?:\w+\??\s*(?:,\s*\w+\??\s*)*)?\)"
_WHOLE = re.compile(rf"\s*({_CORE}(?:\s*,\s*{_CORE})*)\s*->\s*({_CORE})\s*")


def shaped(words: Sequence[Domain], sig: str | None, *, batch: bool = True) -> tuple[Domain, ...]:
    """Return `words` with the shapes that `sig` gives them, after broadcast axes with `batch`.

    Raises `ValueError` where `sig` is none, or names another number of arguments.
    """
    if sig is None:
        return tuple(words)
    cores, _ = parsed(sig)
    if len(cores) != len(words):
        raise ValueError(
            f"sig {sig!r} has {len(cores)} arguments, and {len(words)} domains are given: one each"
        )
    first: tuple[Any, ...] = (...,) if batch else ()
    return tuple(
        word if word.shape is not None else replace(word, shape=(*first, *core))
        for word, core in zip(words, cores, strict=True)
    )


def parsed(sig: str) -> tuple[list[tuple[Any, ...]], tuple[Any, ...]]:
    """Return the axes of each argument, and those of the result."""
    found = _WHOLE.fullmatch(sig)
    if found is None:
        raise ValueError(
            f"sig {sig!r} is no signature with one result: write the axes of each argument by "
            "letters, as in '(n,m),(m)->(n)', and () for a single number"
        )
    cores = re.findall(_CORE, found[1])
    return [_axes(core) for core in cores], _axes(found[2])


def _axes(core: str) -> tuple[Any, ...]:
    names = re.findall(r"\w+\??", core)
    return tuple(int(n) if n.isdigit() else n for n in names)
