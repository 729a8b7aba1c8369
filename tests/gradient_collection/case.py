"""One case of the collection: a function, a rule for its gradient, and what is wrong with it."""

import re
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from tinygrad_fc.domain import Domain, real
from tinygrad_fc.testing import Report, check_vjp
from tinygrad_fc.testing.report import FAILURE_KINDS

Rule = Callable[..., Any]


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

    def check(self, **options: Any) -> Report:
        """Check the rule with the kit."""
        options |= {"where": self.where, "vjp2": self.vjp2}
        return check_vjp(self.forward, self.vjp, *self.domains, **options)


@dataclass(frozen=True)
class Check:
    """A check of a gradient that is right, or wrong in the way that `bug` names."""

    name: str
    check: Callable[..., Report]
    bug: str | None = None


class Outcome(NamedTuple):
    """What came of a check: `kind` is that of the failure, and None where there was none.

    Where something other than a `GradientError` came, which is a fault of the kit or of the case,
    `kind` is the name of its class. `text` is the whole message.
    """

    kind: str | None
    text: str
    seconds: float
    compared: int = 0
    inconclusive: int = 0

    @property
    def failed(self) -> bool:
        """Whether a wrong gradient was reported."""
        return self.kind in FAILURE_KINDS


def checked(case: Case | Check, seed: int, max_examples: int | None = None) -> Outcome:
    """Check a case with the kit; the seconds are those of the processor, busy or not."""
    start = time.process_time()
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings(action="ignore"):
            report = case.check(max_examples=max_examples, seed=seed)
    except Exception as error:  # noqa: BLE001  to be listed with the others, and not to end them
        kind = getattr(error, "kind", type(error).__name__)
        return Outcome(kind, str(error), time.process_time() - start)
    seconds = time.process_time() - start
    return Outcome(None, str(report), seconds, report.compared, report.inconclusive.total())


RIGHT: dict[str, Case] = {}
WRONG: dict[str, Case] = {}


def right(
    name: str, domains: Any, forward: Rule, vjp: Rule, where: Any = None, vjp2: Any = None
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


def like(x: Any, value: Any) -> Any:
    """Return a value in the dtype of `x`."""
    return np.asarray(value).astype(x.dtype)


def fit(x: Any, value: Any) -> Any:
    """Return a gradient summed over the axes that `x` was stretched along, in its dtype."""
    value = np.asarray(value)
    value = value.sum(tuple(range(value.ndim - np.ndim(x))))
    for axis, n in enumerate(np.shape(x)):
        if n == 1 and value.shape[axis] != 1:
            value = value.sum(axis, keepdims=True)
    return like(x, value)


def fitted(vjp: Rule) -> Rule:
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


def column(v: Any) -> Any:
    """Return an array with an axis of size 1 at its end."""
    return np.asarray(v)[..., None]


def row(v: Any) -> Any:
    """Return an array with an axis of size 1 before its last."""
    return np.asarray(v)[..., None, :]


def matrix(v: Any) -> Any:
    """Return an array with two axes of size 1 at its end."""
    return np.asarray(v)[..., None, None]


def nonempty(*arrays: Any) -> bool:
    """Return whether no array is without axes' elements at its last axis."""
    return all(np.ndim(a) == 0 or a.shape[-1] > 0 for a in arrays)
