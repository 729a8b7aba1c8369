"""What an operation is, and the table of all of them.

An operation is one row: a function of arrays, its domain, and one rule an argument, which takes
the gradient of the result and gives the gradient of that argument:

    op(np.multiply, domain=(real, real), rules=(lambda g, out, x, y: g * y,
                                                lambda g, out, x, y: g * x))

`g` is the gradient of the result, `out` the result, then come the operation's own arguments, and
its settings by keyword. A rule is written in operators, ufuncs, slicing and the methods `.sum
.reshape .swapaxes .astype`, so that the same line runs on arrays and, recorded, on tensors. It
changes nothing in place, and leaves broadcasting, dtypes and unneeded arguments to the walk.
"""

from __future__ import annotations

import functools
import inspect
import sys
from contextlib import suppress
from itertools import count
from types import MethodType
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from tinygrad_fc.device import device_of, refuse_lazy
from tinygrad_fc.domain import Domain
from tinygrad_fc.errors import (
    AnomalyError,
    DtypeError,
    GraphError,
    NoRuleError,
    RangeError,
    ShapeError,
)
from tinygrad_fc.graph import Node, record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from tinygrad_fc.tensor import Tensor

    Rule = Callable[..., Any]

ours: set[Any] = set()  # the rows of this package, noted when all are there
table: dict[Any, Op] = {}
"""Every row, by the function that users call: NumPy's, SciPy's, or the row itself."""

# NumPy says what is wrong with infinities once a ufunc; a result that is infinite says it itself,
# and a branch that `where` does not take must not say anything.
quiet = np.errstate(divide="ignore", over="ignore", invalid="ignore")


class Op:
    """One row of the table, called like the function that it stands for.

    Called with arrays it returns an array; with a tensor among its arguments, a tensor that
    remembers the call.
    """

    __slots__ = ("domain", "forward", "function", "name", "outer", "rules", "settings")

    outer: Any  # for a chain of two rows, the second one; else None

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        forward: Callable[..., Any],
        domain: tuple[Domain, ...],
        rules: Sequence[Rule | None] | Each | None,
        settings: Mapping[str, Callable[..., Sequence[Any]]],
        name: str,
    ) -> None:
        self.function = function
        self.forward = forward
        self.domain = domain
        self.rules = rules
        self.settings = settings
        self.name = name
        self.outer = None

    def __call__(self, *args: Any, **settings: Any) -> Tensor:  # noqa: C901  one call, for speed
        """Return the result; for a type checker, of a call with a tensor among `args`."""
        if not args and "input" in settings:  # PyTorch's name for the first operand
            args = (settings.pop("input"),)
        if "other" in settings:
            args = (*args, settings.pop("other"))
        for a in args:
            if isinstance(a, Node):
                # A ufunc would take one argument more for where to write.
                many = len(args) > len(self.domain) and not isinstance(self.rules, Each)
                if many or (settings and not settings.keys() <= self.settings.keys()):
                    raise self._misused(args, settings)
                return record(self, args, settings)
        for a in args:
            kind = type(a)
            if kind is np.ndarray:
                continue
            if hasattr(kind, "__array_function__"):
                return self._elsewhere(a, args, settings)  # type: ignore[no-any-return]
            if kind not in _PYTHONS and not (_numbers(a) or (a is None and a is not args[0])):
                raise self.refusal(TypeError(), args, settings)
        try:
            return self.forward(*args, **settings)  # type: ignore[no-any-return]
        except _REFUSED as error:
            refusal = self.refusal(error, args, settings)
            if refusal is error:
                raise
            if not isinstance(error, AttributeError) or not _lists(args):
                raise refusal from error
        # Numbers and lists have not what a formula asks an array for.
        return self(*map(np.asarray, args), **settings)

    def _elsewhere(self, array: Any, args: Any, settings: Any) -> Any:
        """Return the result on arrays of another library, or of a tracer that records the call."""
        refuse_lazy(array, self.name)
        kind = type(array)
        out = kind.__array_function__(array, self, (kind,), args, settings)
        return self.forward(*args, **settings) if out is NotImplemented else out

    @overload
    def __get__(self, instance: None, owner: type[Any] | None = None) -> Op: ...

    @overload
    def __get__(
        self, instance: object, owner: type[Any] | None = None
    ) -> Callable[..., Tensor]: ...

    def __get__(self, instance: object, owner: type[Any] | None = None) -> Any:
        """As a function does: a row named in a class is a method of its instances."""
        return self if instance is None else MethodType(self, instance)

    def __repr__(self) -> str:
        return f"<op {self.name}>"

    def _misused(self, args: Sequence[Any], settings: Mapping[str, Any]) -> TypeError:
        given = [f"{len(args)} arguments", *(f"{k}={v!r:.60}" for k, v in settings.items())]
        known = "".join(f", {name}=" for name in self.settings)
        return TypeError(
            f"{self.name} takes {len(self.domain)} tensors or arrays{known}, got {', '.join(given)}"
        )

    def argument(self, i: int) -> str:
        """Return how messages call argument `i`: by its number and name."""
        each = isinstance(self.rules, Each)
        names, _ = positional(self.forward if each else (self.rules or [None])[0])
        return numbered(i, names[i + 2].removeprefix("_") if i + 2 < len(names) else "")

    def reads(self, i: int, out: Any, arrays: Sequence[Any]) -> Iterable[tuple[str, Any]]:
        """Yield the result and the operands whose values rule `i` reads, by name.

        A parameter whose name begins with `_` is not read. A chain's second rule reads the result.
        """
        names, rest = positional(self.rules[i] if self.rules is not None else None)
        for k, array in enumerate((out, *arrays), 1):
            name = names[k] if k < len(names) else rest
            if not name.startswith("_") or (k == 1 and self.outer is not None):
                yield "result" if k == 1 else numbered(k - 2, name), array

    def watch(self, out: Any, arrays: Sequence[Any]) -> None:
        """Raise where `out` is not finite though all of `arrays` are."""
        if _finite(out) or not all(_finite(a) for a in arrays):
            return
        at = tuple(int(k) for k in np.argwhere(~np.isfinite(out))[0])
        there = [
            f"argument {i} {_seen_from(np.shape(out), at, np.asarray(a))}"
            for i, a in enumerate(arrays)
            if np.size(a) and a is not None
        ] or [f"arguments {tuple(arrays)!r:.80}"]
        raise AnomalyError(
            f"{self.name} made {out[at]} at index {at} from finite values: its "
            f"{'; its '.join(there)}. Keep the argument inside the operation's domain (clamp it, "
            "or add a small number), or look at what made it."
        )

    def watch_rule(self, share: Any, g: Any, named: str) -> None:
        """Raise where the rule that is `named` made `share` not finite from a finite `g`."""
        array, given = (a._array if isinstance(a, Node) else a for a in (share, g))
        if not _finite(array) and _finite(given):
            at = tuple(int(k) for k in np.argwhere(~np.isfinite(array))[0])
            raise AnomalyError(
                f"the derivative of {named} is {array[at]} at index "
                f"{at}, while the gradient of its result is finite: the argument lies where the "
                "operation has no finite slope. Keep it away from there (clamp it, or add a small "
                "number)."
            )

    def refusal(self, error: Exception, arrays: Sequence[Any], settings: Any) -> Exception:
        """Return the error to raise where the forward function raised `error`."""
        odd = next((i for i, a in enumerate(arrays) if not _numbers(a)), None)
        shapes = [np.shape(a) if odd is None or a is None or _numbers(a) else a for a in arrays]
        given = ", ".join(f"{shape!r:.60}" for shape in shapes) + "".join(
            f", {k}={v!r:.60}" for k, v in settings.items()
        )
        kind: type[Exception]
        if isinstance(error, GraphError) or not isinstance(error, _REFUSED):
            return error
        if isinstance(error, IndexError | np.exceptions.AxisError):
            kind = RangeError
        else:
            kind = ShapeError if isinstance(error, ValueError) and odd is None else DtypeError
        why = _clash(shapes) if kind is ShapeError and not settings else ""
        devices = dict.fromkeys(str(device_of(a)) for a in arrays if hasattr(a, "dtype"))
        if len(devices) > 1:
            why = (
                f"its arguments are on devices {' and '.join(devices)}. Move one of them: "
                "x.to(y.device)"
            )
        if odd is not None and kind is DtypeError:
            why = (
                f"{self.argument(odd)} is {arrays[odd]!r:.60}; hand over a tensor, an array or a "
                "number"
            )
        return kind(f"{self.name} cannot take {given}: {why or error}")


class Chain(Op):
    """A row and an element-by-element one after it, as one call: one node, no array between.

    Nothing is stated again. The second row's rule must read its result only, as that of sigmoid
    does: the walk applies it first, then the rules of the first row.
    """

    __slots__ = ("inner",)

    inner: Any

    def __init__(self, inner: Op, outer: Op) -> None:
        self.function = self
        self.inner, self.outer = inner, outer
        self.domain, self.settings = inner.domain, inner.settings
        self.name = f"{inner.name} and {outer.name}"
        self.forward = self._forward
        table[self] = self

    @property
    def rules(self) -> Any:  # type: ignore[override]
        """The rules of the first row."""
        return self.inner.rules

    def _forward(self, *arrays: Any) -> Any:
        return self.outer.forward(self.inner.forward(*arrays))


class Each:
    """One rule for any number of arguments, told by its first argument which is meant."""

    __slots__ = ("rule",)

    def __init__(self, rule: Rule) -> None:
        self.rule = rule

    def __iter__(self) -> Iterator[Rule]:
        return map(self.__getitem__, count())

    def __getitem__(self, i: int) -> Rule:
        return functools.partial(self.rule, i)


def row(
    function: Callable[..., Any],
    *,
    domain: tuple[Domain, ...],
    rules: Sequence[Rule | None] | Each | None = None,
    forward: Callable[..., Any] | None = None,
    settings: Mapping[str, Callable[..., Sequence[Any]]] | None = None,
    name: str | None = None,
) -> Op:
    """Add a row, as `op` does, whose rules are proven by the laws and so need no watching."""
    if not callable(function):
        raise TypeError(f"op needs a function of arrays, got {function!r}")
    called = str(name or getattr(function, "__name__", "op"))
    forward = forward or function
    if isinstance(rules, tuple | list):
        wanted = function.nin if isinstance(function, np.ufunc) else len(domain)
        if not len(rules) == len(domain) == wanted:
            raise TypeError(
                f"{called} takes {wanted} arrays, and has {len(domain)} words of domain and "
                f"{len(rules)} rules: give one of each an argument, None for no rule"
            )
        rules = tuple(r or functools.partial(_no_rule, called, i) for i, r in enumerate(rules))
    if any(word.restricted for word in domain):
        forward = quiet(forward)
    made = Op(
        function,
        forward=forward,
        domain=domain,
        rules=rules,
        settings=settings or {},
        name=called,
    )
    table[function] = table[made] = made
    return made


def op(
    function: Callable[..., Any],
    *,
    domain: tuple[Domain, ...],
    rules: Sequence[Rule | None] | None = None,
    forward: Callable[..., Any] | None = None,
    settings: Mapping[str, Callable[..., Sequence[Any]]] | None = None,
    name: str | None = None,
) -> Op:
    """Add a row to the table: tensors may be handed to `function` from now on.

    `function` is a ufunc or another function of arrays; `forward` runs in its place where a
    faster spelling is known. `domain` holds a word of `tinygrad_fc.domain` for each argument, and
    `rules` a rule for each, None for one that has no gradient; without rules the row is a
    constant and its results never require grad. `settings` tells the legal keyword arguments.
    Returns the row, which is called like `function`. Raises `TypeError` for a count that is off;
    a rule that changes what it was handed, or returns a wrong shape, is refused when it runs.

    >>> import numpy as np, tinygrad_fc as tg
    >>> from tinygrad_fc.domain import real
    >>> cube = tg.op(
    ...     lambda x: x**3, name="cube", domain=(real,), rules=(lambda g, out, x: g * 3 * x**2,)
    ... )
    >>> x = tg.tensor(2.0, requires_grad=True)
    >>> cube(x).backward()
    >>> x.grad
    tensor(12.)
    """
    called = str(name or getattr(function, "__name__", "op"))
    if table.get(function) in ours:
        raise ValueError(
            f"{called} has a row already, which operators and methods go by. For a derivative of "
            f"your own, give a function of your own a row: op(lambda *xs: {called}(*xs), ...)"
        )
    if not isinstance(domain, tuple | list) or not all(isinstance(d, Domain) for d in domain):
        raise TypeError(
            f"{called}: domain is a tuple of words of tinygrad_fc.domain, one an argument, such as "
            f"(real, positive); got {domain!r}"
        )
    if rules is not None:
        if not isinstance(rules, tuple | list) or not all(r is None or callable(r) for r in rules):
            raise TypeError(
                f"{called}: rules is a tuple of functions (g, out, *arrays), one an argument; got "
                f"{rules!r:.80}"
            )
        rules = [r and _careful(called, i, r) for i, r in enumerate(rules)]
    return row(
        function, domain=domain, rules=rules, forward=forward, settings=settings, name=called
    )


def _no_rule(name: str, i: int, *_: Any, **__: Any) -> Any:
    raise GraphError(
        f"{name} has no rule for argument {i}, which requires grad. Add one to its row, or hand "
        "the argument over as `x.detach()` where no gradient is wanted."
    )


def _careful(name: str, i: int, rule: Rule) -> Rule:
    """Return `rule` getting read-only arrays, since nothing has proven that it changes none."""

    @functools.wraps(rule)
    def careful(*arrays: Any, **settings: Any) -> Any:
        try:
            return rule(*map(_readonly, arrays), **settings)
        except ValueError as error:
            if "read-only" not in str(error):
                raise
            raise GraphError(
                f"the rule of {name} for argument {i} changes what it was handed in place, and "
                "others need that. Write `g = g * 2` for `g *= 2`."
            ) from error

    with suppress(TypeError, ValueError):  # a rule without a signature reads everything
        signature = inspect.signature(rule, follow_wrapped=False)
        careful.__signature__ = signature  # type: ignore[attr-defined]
    return careful


def missing(function: Any, count: int = 1) -> NoRuleError:
    """Return the error for a function, of `count` arrays, that tensors cannot be handed to."""
    name = spelling(function)
    count = getattr(function, "nin", count)
    rule = f"lambda g, out, {', '.join('xyzuvw'[:count])}: ..."
    return NoRuleError(
        f"{name} has no rule for tensors. Add one: tinygrad_fc.op({name}, "
        f"domain=({'real, ' * count}), rules=({(rule + ', ') * count})), with the gradient of each "
        "argument in place of the dots, and `from tinygrad_fc.domain import real`; or, where no "
        f"gradient is wanted, hand it the array: {name}(x.numpy())"
    )


def spelling(function: Any) -> str:
    """Return how to write `function`, as `np.linalg.solve`; ufuncs do not tell where they are."""
    name = getattr(function, "__name__", repr(function))
    owner = getattr(function, "__self__", None)
    if isinstance(owner, np.ufunc):
        return f"{spelling(owner)}.{name}"
    for place in ("numpy", "numpy.linalg", "numpy.fft", "scipy.special"):
        if getattr(sys.modules.get(place), name, None) is function:
            return f"{place.replace('numpy', 'np')}.{name}"
    module = getattr(function, "__module__", None)
    return f"{module}.{name}" if module else name


# The backward pass asks this of all rules where something changed in place, as batch norm does in
# each step.
@functools.lru_cache(maxsize=4096)
def positional(function: Any) -> tuple[tuple[str, ...], str]:
    """Return the names of the positional parameters of `function`, and that of its `*args`.

    A wrapper's own signature counts, since it may read more than the function that it wraps.
    """
    if isinstance(function, functools.partial):
        names, rest = positional(function.func)
        return names[len(function.args) :], rest
    try:
        parameters = inspect.signature(function, follow_wrapped=False).parameters.values()
    except (TypeError, ValueError):
        return (), ""
    names = tuple(p.name for p in parameters if p.kind < p.VAR_POSITIONAL)
    return names, next((p.name for p in parameters if p.kind is p.VAR_POSITIONAL), "")


def numbered(i: int, name: str) -> str:
    """Return how messages call argument `i`."""
    return f"argument {i} ({name})" if name else f"argument {i}"


def _seen_from(shape: tuple[int, ...], at: tuple[int, ...], array: Any) -> str:
    """Say what `array` is at index `at` of a result of `shape`, or where it lies."""
    try:
        return f"there is {np.broadcast_to(array, shape)[at]}"
    except ValueError:
        return f"has shape {array.shape} and lies within [{np.min(array):g}, {np.max(array):g}]"


_PYTHONS = frozenset((float, int, bool))
_REFUSED = (IndexError, ValueError, TypeError, AttributeError)


def _numbers(operand: Any) -> bool:
    """Tell whether `operand` is, or can be made, an array of numbers."""
    if operand is None:
        return False
    try:
        return (getattr(operand, "dtype", None) or np.asarray(operand).dtype).kind in "fiub"
    except ValueError:  # rows of several lengths
        return False


def _lists(operands: Sequence[Any]) -> bool:
    """Tell whether `operands` are numbers throughout, and not all of them in arrays."""
    return all(map(_numbers, operands)) and not all(isinstance(a, np.ndarray) for a in operands)


def _finite(array: Any) -> bool:
    a = np.asarray(array)
    return a.dtype.kind != "f" or bool(np.isfinite(a).all())


def _readonly(array: Any) -> Any:
    if type(array) is not np.ndarray:
        return array
    view = array.view()
    view.flags.writeable = False
    return view


def _clash(shapes: Sequence[tuple[int, ...]]) -> str:
    """Say on which axis `shapes` do not broadcast; nothing where they do."""
    for axis in range(1, max(map(len, shapes), default=0) + 1):
        sizes = {shape[-axis] for shape in shapes if len(shape) >= axis} - {1}
        if len(sizes) > 1:
            told = " and ".join(map(str, sorted(sizes)))
            return (
                f"the shapes do not broadcast, since axis -{axis} (counted from the right) has "
                f"sizes {told}, and neither is 1. Reshape or transpose one of them to match"
            )
    return ""
