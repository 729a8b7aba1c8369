"""One case of the collection: a function, a rule for its gradient, and what is wrong with it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.domain import real

if TYPE_CHECKING:
    from tinygrad_fc.domain import Domain

Array = np.ndarray[Any, Any]
Rule = Callable[..., tuple[Any, ...]]


@dataclass(frozen=True)
class Case:
    """A `forward(*arrays)` and its `vjp(g, out, *arrays)`, where they may be asked for, and a bug.

    `vjp2(h, g, *arrays)` is the rule of the rule: for `h`, the cotangents of the gradients, it
    returns the gradient of `g` and of each array.
    """

    name: str
    forward: Callable[..., Any]
    vjp: Rule
    domains: tuple[Domain, ...]
    where: Callable[..., bool] | None = None
    vjp2: Rule | None = None
    bug: str | None = None


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
    domains: str | tuple[Domain, ...],
    forward: Callable[..., Any],
    vjp: Callable[..., Any],
    where: Callable[..., bool] | None = None,
    vjp2: Rule | None = None,
) -> None:
    """Add a function whose rule is right.

    `domains` may be the signature of a gufunc, as "(n),(n)->()", whose arguments are real and have
    broadcast axes in front. `vjp` may leave it to `fitted` to sum over these.
    """
    assert name not in RIGHT, name
    if isinstance(domains, str):
        cores = re.findall(r"\((.*?)\)", domains.partition("->")[0])
        domains = tuple(real(..., *filter(None, core.split(","))) for core in cores)
    RIGHT[name] = Case(name, forward, fitted(vjp), domains, where, vjp2)


def wrong(bug: str, base: str, what: str, vjp: Rule | None, *, vjp2: Rule | None = None) -> None:
    """Add a rule for the function of `base` that differs from the right one.

    Without a `vjp` the rule is right, and `vjp2`, which is that of the rule, is not.
    """
    name, of = f"{base}: {what}", RIGHT[base]
    assert name not in WRONG, name
    WRONG[name] = replace(of, name=name, vjp=vjp or of.vjp, vjp2=vjp2, bug=bug)


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


def fitted(vjp: Callable[..., Any]) -> Rule:
    """Return a rule whose gradients, one alone or a tuple, have the shape of their arguments."""

    def rule(g: Any, out: Any, *arrays: Any) -> Any:
        grads = vjp(g, out, *arrays)
        pairs = zip(grads if isinstance(grads, tuple) else (grads,), arrays, strict=True)
        return tuple(
            a if a is None or (np.shape(a), a.dtype) == (x.shape, x.dtype) else fit(x, a)
            for a, x in pairs
        )

    return rule


def by(slopes: Callable[..., Any]) -> Rule:
    """Return the rule of an elementwise function with these slopes, of its arguments and result."""

    def vjp(g: Any, out: Any, *arrays: Any) -> Any:
        several = slopes(*arrays, out)
        several = several if isinstance(several, tuple) else (several,)
        return tuple(None if a is None else g * a for a in several)

    return fitted(vjp)


def column(v: Any) -> Array:
    """Return an array with an axis of size 1 at its end."""
    return np.asarray(v)[..., None]


def row(v: Any) -> Array:
    """Return an array with an axis of size 1 before its last."""
    return np.asarray(v)[..., None, :]


def matrix(v: Any) -> Array:
    """Return an array with two axes of size 1 at its end."""
    return np.asarray(v)[..., None, None]


def nonempty(*arrays: Any) -> bool:
    """Return whether no array is without axes' elements at its last axis."""
    return all(np.ndim(a) == 0 or a.shape[-1] > 0 for a in arrays)
