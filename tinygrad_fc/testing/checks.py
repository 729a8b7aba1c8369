"""The checks that users call: draw inputs, hold all laws, say what came of it."""

from __future__ import annotations

import functools
import inspect
import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tinygrad_fc.domain import least, named
from tinygrad_fc.testing import foreign
from tinygrad_fc.testing import options as told
from tinygrad_fc.testing.case import Rule
from tinygrad_fc.testing.errors import GradientError, NothingToldError
from tinygrad_fc.testing.functions import names_of, of_function, returns_several
from tinygrad_fc.testing.pasting import note, spelled
from tinygrad_fc.testing.places import ordinary
from tinygrad_fc.testing.plan import Plan, laws_for
from tinygrad_fc.testing.search import at, drawn
from tinygrad_fc.testing.signature import parsed, shaped, uncalled
from tinygrad_fc.testing.texts import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tinygrad_fc.domain import Domain
    from tinygrad_fc.testing.errors import Report

TENSORS = "a function of tensors, an operation, or a Rule such as from_torch(f)"
VJP = "vjp(g, out, *arrays), the gradient of each array where g is that of the result"
VJP2 = "vjp2(h, g, *arrays), the gradients of g and of each array, for h, those of vjp's results"
POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def check(
    f: Callable[..., Any] | Rule,
    *inputs: Any,
    **options: Any,
) -> Report:
    """Check the derivatives of `f`, a function of tensors, on inputs drawn from domains.

    `inputs` are a domain for each argument: `real`, `positive`, `interval(0, 1)`, which draw shapes
    that broadcast; called, with axes by letters (`"n>=2"` for one of 2 or more) and by their sizes,
    as `real("batch", 3)`. Arrays in their place are checked as they are (`domains=(real,)` may say
    where these may move). The options, all by keyword:

    - `order`: 2 for second derivatives too (the default), 1 for first ones alone.
    - `sig`: shapes as NumPy's gufuncs have them, `"(n,m),(m)->(n)"`, with leading axes that
      broadcast; where one try shows that `f` takes none, it is checked without.
    - `dtypes`: `np.float64`, `np.float32` or, by default, both.
    - `where(*arrays)`: a condition on what is drawn.
    - `max_examples`: how many inputs are drawn; by default as many as hypothesis' profile says.
    - `accuracy`: what is demanded of the gradient itself, relative to it; by default half of its
      digits, `"full"` for all that can be told. `noise`: how exact `f` is, if worse than its type.
    - `kinks`: `"subgradient"` takes any value between the slopes to both sides, `"skip"` leaves
      kinks out, `"forbid"` takes none.

    Returns a `Report`; raises `GradientError` where a gradient is wrong, `TypeError` or
    `ValueError` for what can't be asked, and `NothingToldError` where `f` raises, or is NaN or
    infinite, at more than 9 in 10 inputs. Python warns where it is at 1 in 4, and where next to no
    slope could be compared, as of a function that is noisy.

    >>> import tinygrad_fc as tg
    >>> from tinygrad_fc.domain import real
    >>> report = check(lambda x: x.exp() * x, real, max_examples=20)
    >>> report.compared > 100
    True
    """
    __tracebackhide__ = True
    asked = _asked("check", inputs, options)
    called = f.forward if isinstance(f, Rule) else f
    told.function("what check takes", called, TENSORS)
    if not isinstance(f, Rule) and (error := foreign.refused(f)):
        raise error
    told.takes(called, asked.inputs.many, told.EACH)
    return _checked(of_function(f), asked)


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
    __tracebackhide__ = True
    asked = _asked("check_vjp", inputs, options)
    count = asked.inputs.many
    told.function("forward", forward, "a function of arrays")
    told.takes(forward, count, told.EACH)
    told.function("vjp", vjp, VJP)
    told.takes(vjp, count + 2, f"It is {VJP}")
    if vjp2 is not None:
        told.function("vjp2", vjp2, VJP2)
        told.takes(vjp2, count + 2, f"It is {VJP2}")
    here = [spelled(forward, "forward"), spelled(vjp, "vjp")]
    here += [spelled(vjp2, "vjp2")] * (vjp2 is not None)
    called, *second = f"check_vjp({here[0].text}, {here[1].text}", *(s.text for s in here[2:])
    name = getattr(forward, "__name__", "")
    rule = Rule(
        *(name if name.isidentifier() else "forward", forward, vjp, vjp2, names_of(forward)),
        spelled=called,
        ending="".join(f", vjp2={text}" for text in second),
        note=note(*here),
    )
    return _checked(rule, asked)


def derivatives(*domains: Any, **options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Make a test of a function of tensors: its derivatives are checked on drawn inputs.

    The function's parameters without a default are drawn, one for each of the `domains`. `self` is
    handed over, and so is what stands behind a star, as pytest's fixtures do in `def test_model(x,
    *, model)`. `options` are those of `check`. An assertion in it that fails, fails the test. The
    function itself stays at hand as the test's `function`.

    >>> from tinygrad_fc.domain import real
    >>> @derivatives(real("batch", 3), max_examples=20)
    ... def test_model(x):
    ...     return (x * x).sum(dim=1).tanh()
    >>> test_model()
    """
    __tracebackhide__ = True
    if any(inspect.isroutine(domain) and not uncalled(domain) for domain in domains):
        raise TypeError("derivatives takes a domain for each argument: write @derivatives(real)")
    asked = _asked("derivatives", domains, options)

    def decorate(f: Callable[..., Any]) -> Any:
        __tracebackhide__ = True
        if isinstance(f, Rule):
            raise TypeError(
                f"derivatives draws tensors of tinygrad_fc, and {f.name} is another library's: "
                f"write def test_{f.name}(): check(from_torch({f.name}), real) instead"
            )
        told.function("what derivatives decorates", f, "a function of tensors")
        every = [p for p in inspect.signature(f).parameters.values() if p.default is p.empty]
        positional = [p for p in every if p.kind in POSITIONAL]
        of_class = positional[:1] if positional and positional[0].name in {"self", "cls"} else []
        drawn = [p.name for p in positional[len(of_class) :]]
        if len(drawn) != len(domains) and not any(p.kind is p.VAR_POSITIONAL for p in every):
            raise TypeError(_unfit(f, drawn, len(domains)))
        kept = [*of_class, *(p for p in every if p.kind is p.KEYWORD_ONLY)]

        @functools.wraps(f)
        def test(*args: Any, **kwargs: Any) -> None:
            __tracebackhide__ = True
            missing = [p.name for p in kept[len(args) :] if p.name not in kwargs]
            if missing:
                raise TypeError(
                    f"{f.__name__} draws {', '.join(drawn)} alone: hand over {', '.join(missing)}"
                )
            rule = of_function(functools.partial(f, *args, **kwargs))
            called, said = _undecorated(f, kept, drawn)
            names = tuple(drawn)
            rule = replace(rule, name=f.__name__, names=names, asserts=True)
            _checked(replace(rule, spelled=called, note=said), asked)

        del test.__wrapped__  # pytest would ask for the drawn arguments
        made: Any = test
        made.function = f  # which a line to paste calls
        made.__signature__ = inspect.Signature(kept)
        return test

    return decorate


def _unfit(f: Any, drawn: Sequence[str], many: int) -> str:
    """Return what is said where the parameters of a test are not as many as its domains."""
    text = (
        f"{f.__name__} has {counted(len(drawn), 'parameter')} to draw "
        f"({', '.join(drawn) or 'none'}), and @derivatives gets {counted(many, 'domain')}: "
        "give one domain for each"
    )
    if len(drawn) <= many:
        return text
    first, rest = ", ".join(drawn[:many]), ", ".join(drawn[many:])
    return (
        f"{text}. What pytest hands over stands behind a star: def {f.__name__}({first}, *, {rest})"
    )


def _undecorated(
    f: Any, kept: Sequence[inspect.Parameter], drawn: Sequence[str]
) -> tuple[str, str]:
    """Return how a line to paste checks a decorated function, and what it must be told besides."""
    here = spelled(f, "test")
    called = f"({here.text})" if here.text.startswith("lambda") else f"{here.text}.function"
    if not kept:
        return f"check({called}", note(here)
    named = [p.name for p in kept]
    of_class = [p.name for p in kept if p.kind is not p.KEYWORD_ONLY]
    handed = [*of_class, *drawn, *(f"{name}={name}" for name in named if name not in of_class)]
    call = f"lambda {', '.join(drawn)}: {called}({', '.join(handed)})"
    return f"check({call}", note(here._replace(reads=tuple(named)))


class _Asked(NamedTuple):
    options: told.Options
    inputs: told.Inputs


def _asked(called: str, given: Sequence[Any], options: Mapping[str, Any]) -> _Asked:
    """Return what a check is asked for, proven to make sense."""
    __tracebackhide__ = True
    told.known(called, options, [*told.NAMES, *["vjp2"] * (called == "check_vjp")])
    plain = {name: value for name, value in options.items() if name != "domains"}
    found = told.asked(**plain)
    inputs = told.inputs(called, given, options.get("domains"), found.sig)
    if found.where is not None:
        told.takes(options["where"], inputs.many, "where= is called with all arguments")
    return _Asked(found, inputs)


def _checked(rule: Rule, asked: _Asked) -> Report:
    __tracebackhide__ = True
    options, (words, arrays) = asked
    held = laws_for(options, rule, second=rule.own or rule.vjp2 is not None)
    plan = Plan(rule, words, held, options, {})
    try:
        if arrays:
            return at(plan, arrays, {})
        batched = options.sig is None or _batched(rule, shaped(words, options.sig), options.sig)
        report = drawn(plan._replace(words=shaped(words, options.sig, batch=batched)))
    except (GradientError, NothingToldError) as error:
        raises = isinstance(error, NothingToldError) or error.kind == "raises"
        if rule.own and raises and (other := foreign.explained(rule.forward)):
            raise other from error
        raise
    for text in report.unfit():  # nobody prints the report of a test that passes
        warnings.warn(f"{rule.name}: {text}", stacklevel=3)
    return report


def _batched(rule: Rule, words: Sequence[Domain], sig: str) -> bool:
    """Tell whether a function takes broadcast axes before those of its signature.

    Raises `ValueError` where it returns, without them, another shape than the signature says.
    """
    __tracebackhide__ = True
    cores, result = parsed(sig)
    shortest = least(replace(word, shape=core) for word, core in zip(words, cores, strict=True))
    sizes: dict[str, int] = {}
    for letter in sorted(shortest):
        sizes[letter] = max(2, shortest[letter], 1 + max(sizes.values(), default=0))

    def shape(core: tuple[Any, ...]) -> tuple[int, ...]:
        return tuple(a if isinstance(a, int) else sizes.get(named(a).letter, 1) for a in core)

    shapes = [shape(core) for core in cores]
    if _shape(rule, words, [(7, *s) for s in shapes]) == (7, *shape(result)):
        return True
    found = _shape(rule, words, shapes)
    known = sizes.keys() >= {named(a).letter for a in result if isinstance(a, str)}
    if found is not None and known and found != shape(result):
        raise ValueError(
            f"sig {sig!r} says that {rule.name} returns {shape(result)} for "
            f"{' and '.join(map(str, shapes))}, and it returned {found}: what stands behind -> is "
            "the shape of the result"
        )
    return False


def _shape(
    rule: Rule, words: Sequence[Domain], shapes: Sequence[tuple[int, ...]]
) -> tuple[int, ...] | None:
    """Return the shape of what a function returns; None where it raises, or returns several."""
    arrays = [
        ordinary(w, s) if w.kind == "float" else np.zeros(s, bool if w.kind == "bool" else np.intp)
        for w, s in zip(words, shapes, strict=True)
    ]
    try:
        with np.errstate(all="ignore"):
            found = rule.result(arrays, {})
            several = rule.own and returns_several(rule, arrays)
    except Exception:  # noqa: BLE001  whatever it raises, it takes no such arrays
        return None
    return None if several else found.shape
