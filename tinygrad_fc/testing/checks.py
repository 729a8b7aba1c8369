"""The checks that users call: `check`, `check_vjp`, `check_derivatives`, `assert_vjp`."""

from __future__ import annotations

import functools
import inspect
import warnings
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from tinygrad_fc.core.op import Op
from tinygrad_fc.domain import Domain, interval
from tinygrad_fc.nn import Module
from tinygrad_fc.testing.failure import Code, placeholder_comment, source_of
from tinygrad_fc.testing.function import SEEDS, CheckedFunction, argument_names, joined
from tinygrad_fc.testing.options import as_array, domains_and_arrays, validated
from tinygrad_fc.testing.report import GradientError, NothingCheckedError, Report, counted
from tinygrad_fc.testing.run import Plan, check_at, check_drawn, laws_for
from tinygrad_fc.testing.tensors import of_function, of_module, of_op

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    Vjp = Callable[..., Any] | Sequence[Callable[..., Any] | None]

__tracebackhide__ = True  # pytest shows the lines of the user

PARAMETER = interval(-2, 2, (0.0, 1.0, 0.5))
"""The numbers that are drawn for a parameter of a module."""
EXPECTED = {
    "f": "a function of arrays",
    "vjp": "vjp(g, out, *arrays), which returns the gradient of each array, or one rule for each",
    "jvp": "jvp(t, out, *arrays), which returns the tangent of the result",
    "vjp2": "vjp2(h, g, *arrays), which returns the gradients of g and of each array",
}


def check(
    f: Callable[..., Any] | CheckedFunction,
    *domains: Any,
    settings: Mapping[str, Any] | None = None,
    **options: Any,
) -> Report:
    """Check the derivatives of `f`, a function of tensors, on inputs drawn from domains.

    `domains` has one domain for each argument: `real`, `positive`, `interval(0, 1)` draw shapes
    that broadcast; a call sets the axes, by names or sizes: `real(..., "n", 3)`. Arrays in place of
    domains are checked as they are; `domains=(real,)` then says where they may move. An op alone is
    checked on its own domain, against the laws of ops; `settings` are its keywords at given arrays.
    For a module, the parameters that require grad are further arguments, which are drawn if the
    inputs are; at given arrays they are those of the module, or those in `settings` by name.

    Options, by keyword: `order`, 2 for second derivatives too (default) or 1; `dtypes`,
    np.float64, np.float32 or both (default); `where(*arrays)`, a condition; `map(*arrays)`, which
    makes the arguments of the drawn arrays, where one depends on another; `max_examples`, by
    default that of hypothesis' profile; `seed`, which with `f` alone decides what is drawn and
    found; `seconds`, after which the check is stopped and is no verdict, by default none; `rtol`,
    demanded of the gradient relative to its terms, by default half of the digits, 0 for all that
    can be resolved; `noise`, the relative accuracy of `f`; `kinks`, "subgradient" (between the
    slopes to both sides) or "skip".

    Returns a `Report` and warns where little was checked. Raises `GradientError` where a gradient
    is wrong, `NothingCheckedError` where nothing could be compared, `TypeError` or `ValueError`
    for illegal options.

    >>> from tinygrad_fc.domain import real
    >>> report = check(lambda x: x.exp() * x, real, max_examples=20)
    >>> report.compared > 100
    True
    """
    if not (callable(f) or isinstance(f, CheckedFunction)):
        raise TypeError(f"check got {f!r:.80}; expected a function of tensors or an op")
    if isinstance(f, Op) and not any(isinstance(d, Domain) for d in domains):
        return _check_op(f, domains, dict(settings or {}), options)
    if isinstance(f, Module):
        return _check_module(f, domains, dict(settings or {}), options)
    if settings is not None:
        raise TypeError(f"settings is {settings!r:.80}; expected none, since f is no op")
    if not isinstance(f, CheckedFunction):
        f = of_function(f, source_of(f, "f"))
    return _report_of("check", f, domains, options)


def check_vjp(
    f: Callable[..., Any],
    vjp: Vjp,
    *domains: Any,
    vjp2: Callable[..., Any] | None = None,
    **options: Any,
) -> Report:
    """Check `vjp(g, out, *arrays)`, the gradient of `f(*arrays)`, both functions of NumPy arrays.

    `g` is the cotangent, the gradient of the result `out`. `vjp` returns the gradient of the
    argument, of its shape and dtype, or a tuple of one for each argument, None where there is
    none; or it is a tuple of rules, one for each argument. Unlike the rules of `op`, they sum over
    broadcast axes themselves. `vjp2(h, g, *arrays)` returns, for the cotangents `h` of the
    gradients, the gradients of `g` and of each argument. Domains, options and errors are those of
    `check`.

    >>> import numpy as np
    >>> from tinygrad_fc.domain import real
    >>> report = check_vjp(np.sin, lambda g, out, x: g * np.cos(x), real, max_examples=20)
    >>> report.compared > report.inconclusive.total()
    True
    """
    return _report_of("check_vjp", _numpy_function(f, vjp, vjp2, len(domains)), domains, options)


def check_jvp(
    f: Callable[..., Any], jvp: Callable[..., Any], *domains: Any, **options: Any
) -> Report:
    """Check `jvp(t, out, *arrays)`, the derivative of `f(*arrays)` along tangents, on NumPy arrays.

    `t` is the tangent of the argument, or a tuple of one for each, None where there is none; `out`
    is the result, and the tangent of it is returned. Domains, options and errors are those of
    `check`.

    >>> import numpy as np
    >>> from tinygrad_fc.domain import real
    >>> report = check_jvp(np.sin, lambda t, out, x: t * np.cos(x), real, max_examples=20)
    >>> report.compared > report.inconclusive.total()
    True
    """
    checked = _numpy_function(f, jvp, None, len(domains), rule="jvp")
    return _report_of("check_jvp", replace(checked, jvp=jvp), domains, options)


def assert_vjp(
    f: Callable[..., Any],
    vjp: Vjp,
    *arrays: Any,
    vjp2: Callable[..., Any] | None = None,
    **options: Any,
) -> None:
    """Raise `GradientError` unless `vjp` is the gradient of `f` at `arrays`.

    For ordinary tests that draw their inputs: arguments and options are those of `check_vjp`.

    >>> import numpy as np
    >>> from hypothesis import given, settings
    >>> from tinygrad_fc.testing import inputs, real
    >>> @settings(deadline=None, max_examples=5)
    ... @given(inputs(real))
    ... def test_sine(arrays):
    ...     assert_vjp(np.sin, lambda g, out, x: g * np.cos(x), *arrays)
    >>> test_sine()
    """
    _report_of("assert_vjp", _numpy_function(f, vjp, vjp2, len(arrays)), arrays, options, seeds=2)


def check_derivatives(*domains: Any, **options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Make a test of a function of tensors: its derivatives are checked on drawn inputs.

    The parameters without a default are drawn, one for each of `domains`; `self`, and those
    behind a star, as pytest's fixtures in `def test_model(x, *, model)`, are passed on. Options
    are those of `check`. An assertion in the function that fails, fails the test. The function
    itself remains as the `function` of the test.

    >>> from tinygrad_fc.domain import real
    >>> @check_derivatives(real("batch", 3), max_examples=20)
    ... def test_model(x):
    ...     return (x * x).sum(dim=1).tanh()
    >>> test_model()
    """
    chosen = validated("check_derivatives", options)
    domains_and_arrays("check_derivatives", domains, chosen)  # raises here, and not in the test

    def decorate(f: Callable[..., Any]) -> Any:
        required = [p for p in inspect.signature(f).parameters.values() if p.default is p.empty]
        positional = [p for p in required if p.kind < p.VAR_POSITIONAL]
        owner = [p for p in positional[:1] if p.name in {"self", "cls"}]
        fixtures = [p for p in required if p.kind is p.KEYWORD_ONLY]
        drawn = [p.name for p in positional[len(owner) :]]

        @functools.wraps(f)
        def test(*args: Any, **kwargs: Any) -> None:
            inspect.Signature([*owner, *fixtures]).bind(*args, **kwargs)
            source = source_of(f, "test")
            text, names = f"{source.text}.function", [p.name for p in (*owner, *fixtures)]
            if names:
                by_name = [f"{p.name}={p.name}" for p in fixtures]
                text = f"partial({', '.join([text, *names[: len(owner)], *by_name])})"
            sources = Code(text, source.placeholder), *(Code("", name) for name in names)
            checked = of_function(partial(f, *args, **kwargs), *sources)
            checked = replace(checked, name=f.__name__, names=tuple(drawn), assertions=True)
            try:
                _report_of("check_derivatives", checked, domains, options)
            except GradientError as error:
                code = f.__code__
                error.add_note(f'  File "{code.co_filename}", line {code.co_firstlineno}')
                raise

        del test.__wrapped__  # pytest would ask for the drawn arguments
        result: Any = test
        result.function = f
        result.__signature__ = inspect.Signature([*owner, *fixtures])
        return result

    return decorate


def _numpy_function(
    f: Any, vjp: Any, vjp2: Any, count: int, *, rule: str = "vjp"
) -> CheckedFunction:
    """Return a function of NumPy arrays with its vjp; `rule` says what that is called."""
    many = isinstance(vjp, tuple | list) and rule == "vjp"
    rules = list(vjp) if many else [vjp]
    if many and len(rules) != count:
        raise TypeError(
            f"vjp has {counted(len(rules), 'rule')} for {counted(count, 'argument')}; expected one "
            "for each, None where there is no gradient"
        )
    f_source, *sources = (
        Code("None") if many and r is None else _source_of(r, name)
        for r, name in [(f, "f"), *((r, rule) for r in rules)]
    )
    written, end, name = ", ".join(s.text for s in sources), "", getattr(f, "__name__", "")
    if vjp2 is not None:
        sources.append(_source_of(vjp2, "vjp2"))
        end = f", vjp2={sources[-1].text}"
    call = f"check_{rule}({f_source.text}, {f'({written},)' if many else written}, {{}}{end})"
    return CheckedFunction(
        *(name if name.isidentifier() else "f", f, joined(rules) if many else vjp, vjp2),
        names=argument_names(f) or argument_names(rules[0])[2:],
        call=call + placeholder_comment(f_source, *sources),
    )


def _source_of(f: Any, name: str) -> Code:
    """Return `f` as source code; raises `TypeError` where it cannot be called."""
    if not callable(f):
        raise TypeError(f"got {f!r:.80}; expected {EXPECTED[name]}")
    return source_of(f, name)


def _report_of(
    name: str, f: CheckedFunction, values: Any, options: dict[str, Any], seeds: int = SEEDS
) -> Report:
    chosen = validated(name, options)
    domains, arrays = domains_and_arrays(name, values, chosen)
    lacks_second = chosen.order > 1 and not f.has_second and f.jvp is None
    no_second = ("Second derivatives are not checked: there is no vjp2",) * lacks_second
    notes = (*f.not_checked(len(values)), *no_second)
    if any(d.kind == "constant" for d in domains):
        f = replace(f, differentiable=[k for k, d in enumerate(domains) if d.kind == "float"])
    plan = Plan(f, domains, laws_for(chosen, f), chosen, notes=notes)
    if arrays:
        return check_at(plan, arrays, seeds)
    report = check_drawn(plan)
    demanded = no_second if options.get("order") == 2 else ()
    for text in (*report.warnings(), *demanded):  # pytest hides the report of a test that passes
        warnings.warn(f"{f.name}: {text}", stacklevel=4)
    return report


def _check_module(
    module: Module, values: Any, settings: Mapping[str, Any], options: dict[str, Any]
) -> Report:
    """Check a module, whose parameters are arguments, too."""
    f, own = of_module(module, source_of(module, "model"), len(values))
    if any(isinstance(v, Domain) for v in values):
        values = (*values, *(PARAMETER(*p.shape) for p in own.values()))
    elif values:
        values = (*values, *(settings.get(name, p) for name, p in own.items()))
        if options.get("domains") is not None:
            options = {**options, "domains": (*options["domains"], *[PARAMETER] * len(own))}
    return _report_of("check", f, values, options)


def _check_op(
    op: Op, arrays: Sequence[Any], settings: dict[str, Any], options: Mapping[str, Any]
) -> Report:
    """Check an op on its own domain, or at given arrays."""
    chosen = validated("check", options)
    if (settings and not arrays) or chosen.domains:
        raise TypeError(
            f"check of the op {op.name} got settings or domains; expected none, since an op "
            "has its own. Settings are for given arrays"
        )
    f, domains = of_op(op, source_of(op, "op"))
    if not f.differentiable:
        raise NothingCheckedError(f"{op.name} has no rule: it is a constant to the backward pass")
    notes = f.not_checked(len(domains), {*op.settings, *settings})
    plan = Plan(f, domains, laws_for(chosen, f), chosen, op.settings, strict=True, notes=notes)
    if arrays:
        plan = plan._replace(function=replace(f, settings=settings))
        return check_at(plan, [as_array(a) for a in arrays], SEEDS)
    return check_drawn(plan)
