"""NumPy's generalised signatures, `(n,m),(m)->(n)`, as shapes of domains."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tinygrad_fc.domain import Domain, index, interval, least
from tinygrad_fc.testing.texts import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

__tracebackhide__ = True  # pytest shows what was asked for, not how it was read

WORD = "a domain is a word such as real, positive or interval(0, 1)"
_AXIS = r"\w+(?:\?|>=\d+)?"
_CORE = rf"\(\s*(?:{_AXIS}\s*(?:,\s*{_AXIS}\s*)*)?\)"
_WHOLE = re.compile(rf"\s*({_CORE}(?:\s*,\s*{_CORE})*)\s*->\s*({_CORE})\s*")


def uncalled(given: Any) -> str:
    """Return what to write for a domain that lacks its size or its ends, nothing for all else."""
    told = {
        index: 'the size of the axis it counts: write index("n") beside real("n"), or index(3)',
        interval: "its ends: write interval(0, 1)",
    }
    lacks = next((text for f, text in told.items() if f is given), "")
    return f"{given.__name__} is given without {lacks}" if lacks else ""


def shaped(words: Sequence[Domain], sig: str | None, *, batch: bool = True) -> tuple[Domain, ...]:
    """Return `words` with the shapes that `sig` gives them, after broadcast axes with `batch`.

    Raises `TypeError` where a word is none, `ValueError` where `sig` is none, or names another
    number of arguments, or an index counts an axis that is nowhere.
    """
    for word in words:
        if not isinstance(word, Domain):
            raise TypeError(uncalled(word) or f"{WORD}; got {word!r:.80}")
    found = tuple(words) if sig is None else _given(words, sig, batch=batch)
    letters = least(found)
    for word in found:
        if isinstance(word.size, str) and word.size not in letters:
            raise ValueError(
                f"{word!r} indexes an axis {word.size!r}, and no argument has one: name it in a "
                f"shape, as in real({word.size!r}), or give its size, as in index(3)"
            )
    return found


def _given(words: Sequence[Domain], sig: str, *, batch: bool) -> tuple[Domain, ...]:
    """Return `words` with the shapes of `sig` where they have none of their own."""
    cores, _ = parsed(sig)
    if len(cores) != len(words):
        raise ValueError(
            f"sig {sig!r} has {counted(len(cores), 'argument')} for "
            f"{counted(len(words), 'domain')}: give one domain for each"
        )
    first: tuple[Any, ...] = (...,) if batch else ()
    return tuple(
        word if word.shape is not None else replace(word, shape=(*first, *core))
        for word, core in zip(words, cores, strict=True)
    )


def parsed(sig: str) -> tuple[list[tuple[Any, ...]], tuple[Any, ...]]:
    """Return the axes of each argument, and those of the result."""
    if not isinstance(sig, str):
        raise TypeError(f"sig is a string such as '(n,m),(m)->(n)'; got {sig!r:.80}")
    found = _WHOLE.fullmatch(sig)
    if found is None:
        raise ValueError(
            f"sig {sig!r} is no signature with one result: write the axes of each argument by "
            "letters, as in '(n,m),(m)->(n)', and () for a single number"
        )
    cores = re.findall(_CORE, found[1])
    return [_axes(core) for core in cores], _axes(found[2])


def _axes(core: str) -> tuple[Any, ...]:
    names = re.findall(_AXIS, core)
    return tuple(int(n) if n.isdigit() else n for n in names)
