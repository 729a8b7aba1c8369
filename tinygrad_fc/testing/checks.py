"""The checks that users call: draw inputs, hold all laws, say what came of it."""

from __future__ import annotations

import functools
import inspect
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.domain import Domain
from tinygrad_fc.testing.case import Rule
from tinygrad_fc.testing.functions import names_of, of_function, pasted
from tinygrad_fc.testing.places import ordinary
from tinygrad_fc.testing.plan import Plan, asked, laws_for
from tinygrad_fc.testing.search import at, drawn
from tinygrad_fc.testing.signature import parsed, shaped

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tinygrad_fc.testing.errors import Report


def check(
    f: Callable[..., Any] | Rule,
    *inputs: Any,
    **options: Any,
) -> Report:
    """Check the derivatives of `f`, a function of tensors, on inputs drawn from domains.

    `inputs` are a domain for each argument: `real`, `positive`, `interval(0, 1)`, which draw shapes
    that broadcast; called, with axes by letters and numbers (`real("batch", 3)`); or shaped by
    `sig="(n,m),(m)->(n)"`, with leading axes that broadcast, as NumPy's gufuncs have them. Arrays
    in their place are checked as they are (`domains=` may say where these may move). The options:
    `order` 2 checks second derivatives, too; `dtypes=(np.float64,)` leaves out float32;
    `where(*arrays)` is a condition on what is drawn; `accuracy` is demanded of the gradient itself,
    by default half of its digits, `"full"` for all that can be told; `noise` is how exact `f` is,
    relative to it, if worse than its type; `kinks` is `"subgradient"` (between the slopes beside
    it), `"skip"` or `"forbid"`; `max_examples`. Raises `GradientError`, or returns a `Report`.

    >>> import tinygrad_fc as tg
    >>> from tinygrad_fc.domain import real
    >>> report = check(lambda x: x.exp() * x, real, max_examples=20)
    >>> report.compared > 100
    True
    """
    return _checked(of_function(f), inputs, **options)


def check_vjp(
    forward: Callable[..., Any],
    vjp: Callable[..., Any],
    *inputs: Any,
    vjp2: Callable[..., Any] | None = None,
    **options: Any,
) -> Report:
    """Check `vjp(g, out, *arrays)`, the gradient of `forward(*arrays)`, both in plain NumPy.

    `g` is the gradient of the result `out`; `vjp` returns the gradient of the argument, of its
    shape and dtype, or a tuple of one each, None for an argument that has none. `vjp2(h, g,
    *arrays)`, where given, is the rule of the rule: for `h`, the gradients of what `vjp`
    returns, it returns those of `g` and of each argument. All else is as for `check`.

    >>> import numpy as np
    >>> from tinygrad_fc.domain import real
    >>> report = check_vjp(np.sin, lambda g, out, x: g * np.cos(x), real, max_examples=20)
    >>> report.compared > report.undecided
    True
    """
    names = names_of(forward)
    name = getattr(forward, "__name__", "")
    ending = f", vjp2={pasted(vjp2, 'vjp2')}" if vjp2 else ""
    called = f"check_vjp({pasted(forward, 'forward')}, {pasted(vjp, 'vjp')}"
    name = name if name.isidentifier() else "forward"
    return _checked(Rule(name, forward, vjp, vjp2, names, called, ending), inputs, **options)


def derivatives(*domains: Any, **options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Make a test of a function of tensors: its derivatives are checked on drawn inputs.

    The function's last parameters are drawn, one for each of the `domains`; those before them
    (`self`, pytest's fixtures) are handed over as they come. `options` are those of `check`.

    >>> from tinygrad_fc.domain import real
    >>> @derivatives(real("batch", 3), max_examples=20)
    ... def test_model(x):
    ...     return (x * x).sum(dim=1).tanh()
    >>> test_model()
    """
    if any(inspect.isfunction(domain) for domain in domains):
        raise TypeError("derivatives takes a domain for each argument: write @derivatives(real)")

    def decorate(f: Callable[..., Any]) -> Any:
        parameters = list(inspect.signature(f).parameters.values())
        kept = parameters[: len(parameters) - len(domains)]
        drawn = names_of(f, len(kept))

        @functools.wraps(f)
        def test(*args: Any, **kwargs: Any) -> None:
            before = [*args, *(kwargs[p.name] for p in kept[len(args) :])]
            rule = of_function(functools.partial(f, *before))
            rule = replace(rule, name=f.__name__, names=drawn, spelled=f"check({f.__name__}")
            _checked(rule, domains, **options)

        del test.__wrapped__  # pytest would ask for the drawn arguments
        test.__signature__ = inspect.Signature(kept)  # type: ignore[attr-defined]
        return test

    return decorate


def _checked(
    rule: Rule, inputs: Sequence[Any], *, domains: Sequence[Domain] | None = None, **options: Any
) -> Report:
    told = asked(**options)
    if not inputs:
        raise ValueError(f"{rule.spelled}, ...) needs a domain for each argument, such as `real`")
    words = tuple(d for d in inputs if isinstance(d, Domain))
    held = laws_for(told, rule, second=rule.own or rule.vjp2 is not None)
    plan = Plan(rule, tuple(domains or ()), held, told, {})
    if not words:
        return at(plan, inputs, {})
    if len(words) < len(inputs):
        odd = next(d for d in inputs if not isinstance(d, Domain))
        raise TypeError(
            f"a domain is a word such as real, positive or interval(0, 1), got {odd!r:.80}; "
            "give domains for all arguments, or arrays for all"
        )
    words = shaped(inputs, told.sig)
    if told.sig is not None and not _batched(rule, words, told.sig):
        words = shaped(inputs, told.sig, batch=False)
    return drawn(plan._replace(words=words))


def _batched(rule: Rule, words: Sequence[Domain], sig: str) -> bool:
    """Tell whether a function takes broadcast axes before those of its signature."""
    cores, result = parsed(sig)
    letters = sorted({a for core in cores for a in core if isinstance(a, str)})
    sizes = {a.rstrip("?"): 2 + k for k, a in enumerate(letters)}

    def shape(core: tuple[Any, ...]) -> tuple[int, ...]:
        return (7, *(a if isinstance(a, int) else sizes.get(a.rstrip("?"), 1) for a in core))

    arrays = [
        ordinary(w, shape(core)) if w.kind == "float" else np.zeros(shape(core), np.intp)
        for w, core in zip(words, cores, strict=True)
    ]
    try:
        with np.errstate(all="ignore"):
            out = rule.result(arrays, {})
    except Exception:  # noqa: BLE001  whatever it raises, it takes no such axes
        return False
    return bool(out.shape == shape(result))
