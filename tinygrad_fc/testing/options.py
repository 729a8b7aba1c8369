"""Options and domains of a check, validated before it begins."""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import dataclass
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.core.node import Node
from tinygrad_fc.domain import Domain, boolean, real, smallest_sizes
from tinygrad_fc.testing.value import RTOL

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tinygrad_fc.testing.report import Array

__tracebackhide__ = True  # pytest shows the lines of the user

FLOATS = (np.float64, np.float32)
DOMAIN_KINDS = {"f": "float", "i": "index", "u": "index", "b": "bool"}
"""The kind of domain that an array belongs to, by the kind of its dtype."""
DOMAIN = "a domain such as real, positive or interval(0, 1)"


@dataclass(frozen=True)
class CheckOptions:
    """The validated options of a check."""

    order: int = 2
    where: Callable[..., Any] | None = None
    map: Callable[..., Any] | None = None
    dtypes: tuple[Any, ...] = FLOATS
    rtol: float = RTOL
    noise: float = 0.0
    kinks: str = "subgradient"
    max_examples: int | None = None
    seconds: float | None = None
    seed: int | None = None
    domains: tuple[Domain, ...] | None = None
    """The domains of given arrays: where they may move."""

    def mapping(self, domains: Sequence[Domain]) -> Callable[..., Any] | None:
        """Return the function from drawn arrays to arguments; None where they are the arguments."""
        if self.map is None and not any(d.mapping for d in domains):
            return None

        def mapped(raw: Sequence[Array]) -> list[Array]:
            pairs = zip(domains, raw, strict=True)
            arrays = [x if d.mapping is None else d.mapping(x) for d, x in pairs]
            arrays = list(arrays if self.map is None else self.map(*arrays))
            if len(arrays) != len(raw):
                raise ValueError(f"map= returned {len(arrays)} arrays; expected {len(raw)}")
            return [np.asarray(a, x.dtype) for a, x in zip(arrays, raw, strict=True)]

        return mapped

    @property
    def drawn_dtype(self) -> np.dtype[Any]:
        """The dtype of drawn floats: float64 unless only float32 is wanted."""
        return np.dtype(self.dtypes[0] if len(self.dtypes) == 1 else float)

    def as_code(self, domains: Sequence[Domain]) -> list[str]:
        """Return the options as keywords of a call that checks given arrays."""
        parts = [f"dtypes=np.{self.dtypes[0]}"] * (len(self.dtypes) == 1)
        for name in ("order", "rtol", "noise", "kinks"):
            value = getattr(self, name)
            parts += [f"{name}={value!r}"] * (value != getattr(CheckOptions, name))
        if any(d.restricted or d.mapping or d.kind == "constant" for d in domains):
            plain = ", ".join(repr(d._replace(shape=None)) for d in domains)
            parts.append(f"domains=({plain.replace('inf', 'np.inf')},)")
        return parts


def _is_number(value: Any, kind: Any) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)


def _whole(value: Any, low: float) -> bool:
    return value is None or (_is_number(value, Integral) and value >= low)


def _is_function(value: Any) -> bool:
    return value is None or callable(value)


def _size(value: Any) -> bool:
    return _is_number(value, Real) and bool(0 <= value < math.inf)


LEGAL: dict[str, tuple[Callable[[Any], Any], str]] = {
    "order": (lambda v: v in {1, 2}, "1, or 2 for second derivatives too"),
    "where": (_is_function, "a function of the arrays that returns a bool"),
    "map": (_is_function, "a function of the arrays that returns one array for each"),
    "dtypes": (
        lambda v: v and {np.dtype(d) for d in v} <= {np.dtype(d) for d in FLOATS},
        "np.float64, np.float32, or a tuple of both",
    ),
    "rtol": (_size, "a number of at least 0, where 0 demands all digits that differences resolve"),
    "noise": (_size, "the relative accuracy of the function, such as 1e-9"),
    "kinks": (lambda v: v in {"subgradient", "skip"}, "'subgradient' or 'skip'"),
    "max_examples": (lambda v: _whole(v, 1), "an integer of at least 1"),
    "seconds": (
        lambda v: v is None or (_size(v) and v > 0),
        "the seconds after which a check is stopped, such as 5, or None",
    ),
    "seed": (lambda v: _whole(v, -math.inf), "an integer"),
    "domains": (
        lambda v: v is None or all(isinstance(d, Domain) for d in v),
        "a tuple of one domain for each array",
    ),
}
"""For each option: whether a value is legal, and what is expected."""


def validated(called: str, options: Mapping[str, Any]) -> CheckOptions:
    """Return the options of `called`; raises `TypeError` or `ValueError` for illegal ones."""
    chosen = dict(options)
    dtypes = chosen.get("dtypes", FLOATS)
    chosen["dtypes"] = (dtypes,) if isinstance(dtypes, str | type | np.dtype) else dtypes
    for name, value in chosen.items():
        if name not in LEGAL:
            raise TypeError(f"{called} has no option {name!r}; expected {', '.join(LEGAL)}")
        legal, expected = LEGAL[name]
        wrong = True
        with suppress(TypeError):
            wrong = not legal(value)
        if wrong:
            raise ValueError(f"{called}: {name} is {value!r:.80}; expected {expected}")
    chosen["dtypes"] = tuple(dict.fromkeys(map(np.dtype, chosen["dtypes"])))
    return CheckOptions(**chosen)


# Domains and arrays


def domains_and_arrays(
    called: str, values: Sequence[Any], options: CheckOptions
) -> tuple[tuple[Domain, ...], tuple[Array, ...]]:
    """Return the domains of a check, and the arrays to check at (none where they are drawn)."""
    if not values:
        raise ValueError(f"{called} got no domains; expected one for each argument, such as real")
    domains = tuple(v for v in values if isinstance(v, Domain))
    if not domains:
        arrays = tuple(as_array(v) for v in values)
        if not any(a.dtype in FLOATS for a in arrays):
            raise ValueError(
                f"{called} got arrays of {', '.join(str(a.dtype) for a in arrays)}; expected one "
                "of float64 or float32, since integers have no gradient. Write 3.0 for 3"
            )
        return _domains_beside(arrays, options.domains), arrays
    odd = next((v for v in values if not isinstance(v, Domain)), None)
    if odd is not None:
        raise TypeError(
            f"{called} got {odd!r:.80}; expected {DOMAIN} for each argument, or an array for each"
        )
    if options.domains is not None:
        raise ValueError(
            f"{called}: domains= is for given arrays. Leave it out where they are drawn"
        )
    if all(d.kind != "float" for d in domains):
        raise ValueError(f"{called} got {domains!r:.80}; expected a domain of floats, such as real")
    return with_known_axes(domains), ()


def as_array(value: Any) -> Array:
    """Return a tensor, array or number as an array of real numbers; raises `TypeError`."""
    try:
        array = np.array(value._array if isinstance(value, Node) else value)
    except (TypeError, ValueError):  # rows of different lengths
        array = np.array(None)
    if array.dtype.kind not in DOMAIN_KINDS:
        raise TypeError(f"got {value!r:.80}; expected {DOMAIN}, or an array of real numbers")
    return array


def _domains_beside(
    arrays: Sequence[Array], domains: Sequence[Domain] | None
) -> tuple[Domain, ...]:
    """Return the domains of given arrays, the whole line if left out."""
    any_index = boolean._replace(name="index", kind="index")  # of an axis that is not known
    whole = {"float": real, "bool": boolean, "index": any_index}
    kinds = [DOMAIN_KINDS[a.dtype.kind] for a in arrays]
    chosen = tuple(whole[kind] for kind in kinds) if domains is None else tuple(domains)
    if [d.kind.replace("constant", "float") for d in chosen] != kinds:
        raise ValueError(f"domains is {domains!r:.80}; expected one for each array: {kinds}")
    return chosen


def with_known_axes(domains: Sequence[Domain]) -> tuple[Domain, ...]:
    """Return `domains`; raises `ValueError` for an index of an axis that is nowhere."""
    axis_names = smallest_sizes(domains)
    for d in domains:
        if isinstance(d.size, str) and d.size not in axis_names:
            raise ValueError(
                f"{d!r} indexes an axis {d.size!r} that no argument has. Name it in a shape, as in "
                f"real({d.size!r}), or give its size, as in index(3)"
            )
    return tuple(domains)
