"""One case of the collection: a function, a rule for its gradient, and what is wrong with it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from tinygrad_fc.domain import Domain

Array = np.ndarray[Any, Any]
Rule = Callable[..., tuple[Any, ...]]


@dataclass(frozen=True)
class Case:
    """A `forward(*arrays)` and its `vjp(g, out, *arrays)`, where they may be asked for, and a bug.

    `vjp2(h, g, *arrays)` is the rule of the rule: for `h`, the cotangents of the gradients, it
    returns the gradient of `g` and of each array. Of a wrong case, `base` is the same function with
    the right rule: that the kit spares it and finds the wrong one shows that they differ.
    """

    name: str
    forward: Callable[..., Any]
    vjp: Rule
    domains: tuple[Domain, ...]
    where: Callable[..., bool] | None = None
    vjp2: Rule | None = None
    bug: str | None = None
    base: Case | None = None


@dataclass(frozen=True)
class Function:
    """A function of tensors, whose gradient is that of autograd."""

    name: str
    f: Callable[..., Any]
    domains: tuple[Domain, ...]
    bug: None = None


RIGHT: dict[str, Case] = {}
WRONG: dict[str, Case] = {}


def right(
    name: str,
    forward: Callable[..., Any],
    vjp: Rule,
    *domains: Domain,
    sig: str | None = None,
    where: Callable[..., bool] | None = None,
    vjp2: Rule | None = None,
) -> None:
    """Add a function whose rule is right; `sig` is that of a gufunc, behind broadcast axes."""
    assert name not in RIGHT, name
    if sig is not None:
        cores = re.findall(r"\((.*?)\)", sig.split("->")[0])
        pairs = zip(domains, cores, strict=True)
        domains = tuple(
            d if d.shape is not None else d(..., *filter(None, core.split(",")))
            for d, core in pairs
        )
    RIGHT[name] = Case(name, forward, vjp, domains, where, vjp2)


def wrong(
    bug: str,
    base: str,
    what: str,
    vjp: Rule | None,
    *,
    vjp2: Rule | None = None,
) -> None:
    """Add a rule for the function of `base` that differs from the right one.

    Without a `vjp` the rule is right, and `vjp2`, which is that of the rule, is not.
    """
    name, of = f"{base}: {what}", RIGHT[base]
    assert name not in WRONG, name
    WRONG[name] = replace(of, name=name, vjp=vjp or of.vjp, vjp2=vjp2, bug=bug, base=of)


def like(x: Any, value: Any) -> Array:
    """Return a value in the dtype of `x`."""
    return np.asarray(value).astype(x.dtype)


def fit(x: Any, value: Any) -> Array:
    """Return a gradient summed over the axes that `x` was stretched along, in its dtype."""
    value = np.asarray(value)
    value = value.sum(tuple(range(value.ndim - np.ndim(x))))
    for axis, n in enumerate(np.shape(x)):
        if n == 1 and value.shape[axis] != 1:
            value = value.sum(axis, keepdims=True)
    return like(x, value)


def column(v: Any) -> Array:
    """Return an array with an axis of size 1 at its end."""
    return np.asarray(v)[..., None]


def row(v: Any) -> Array:
    """Return an array with an axis of size 1 before its last."""
    return np.asarray(v)[..., None, :]


def sigmoid(x: Any) -> Any:
    """Return 1 / (1 + exp(-x)), which cannot overflow."""
    return 0.5 * (1 + np.tanh(0.5 * x))


def nonempty(*arrays: Any) -> bool:
    """Return whether no array is without axes' elements at its last axis."""
    return all(np.ndim(a) == 0 or a.shape[-1] > 0 for a in arrays)
