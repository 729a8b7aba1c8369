"""The class `Op`, and the registry of ops.

An op is a function of arrays with one domain and one vjp rule per argument. A vjp rule takes the
gradient of the result (the cotangent) and returns the gradient of its argument:

    op(np.multiply, domain=(real, real), rules=(lambda g, _out, _x, y: g * y,
                                                lambda g, _out, x, _y: g * x))

A rule gets the cotangent `g`, the result `out`, the arguments of the op, and its settings (keyword
arguments). A name that begins with `_` declares that the rule does not read the values of that
array, though it may read the shape. A rule is written in operators, ufuncs, slicing and the methods
`.sum .reshape .swapaxes .astype`, so that the same line runs on arrays, and on tensors when the
backward pass is recorded. It changes nothing in place; the backward pass undoes broadcasting, casts
dtypes and skips arguments that do not require grad.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Sequence
from itertools import count
from types import FunctionType, MethodType
from typing import TYPE_CHECKING, Any, Concatenate, Generic, overload

import numpy as np

from tinygrad_fc.core import errors
from tinygrad_fc.core.device import refuse_dask
from tinygrad_fc.core.errstate import without_warnings
from tinygrad_fc.core.graph import call_op
from tinygrad_fc.core.node import Node, array_of, as_array
from tinygrad_fc.core.op_errors import FORWARD_ERRORS, CallErrors, argument_name, is_numeric

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Iterator, Mapping

    from typing_extensions import ParamSpec

    from tinygrad_fc.core.dtypes import Promotion
    from tinygrad_fc.domain import Domain
    from tinygrad_fc.tensors import Tensor

    VjpRule = Callable[..., Any]
    Settings = Mapping[str, Callable[..., Sequence[Any]] | Sequence[Any]]
    P = ParamSpec("P", default=...)
else:
    from typing import ParamSpec

    P = ParamSpec("P")

Q = ParamSpec("Q")
Dim = int | Sequence[int] | None  # the type of `dim` in signatures
NUMPY_NAMES = {"axis": "dim", "keepdims": "keepdim", "ddof": "correction"}
"""The names of an op's settings, by NumPy's names, which calls may use instead."""

registry: dict[Any, Op] = {}
"""All ops, by the NumPy or SciPy function that they differentiate and by the op itself."""


class Op(CallErrors, Generic[P]):
    """An op: a public function of tensors and arrays, with vjp rules.

    Called with a tensor among its arguments, it records the call and returns a tensor. Called with
    arrays it returns an array; with lists and numbers alone, a tensor. The function that defined it
    gives it docstring and signature; `out=` and NumPy's `axis` and `keepdims` are accepted, too.
    """

    __slots__ = (
        *("__dict__", "accepted", "arity", "defaults", "domain", "empty_dim", "forward"),
        *("function", "is_builtin", "name", "names", "options", "outer", "plain", "prepare"),
        *("promotion", "rules", "run_in_place", "settings"),
    )

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        forward: Callable[..., Any],
        domain: tuple[Domain, ...],
        rules: Any = None,
        settings: Settings | None = None,
        name: str,
        plain: Callable[..., Any] | None = None,
        prepare: Callable[[dict[str, Any]], dict[str, Any]] | None = None,
        empty_dim: Any = None,
    ) -> None:
        self.function = function
        self.forward = forward
        self.plain = plain or forward  # for calls without settings, which may be faster
        self.prepare = prepare
        self.is_builtin = False  # in ops/: tests check that its rules return unaliased arrays
        self.promotion: Promotion | None = None  # of its operands; None: NumPy's, in `forward`
        self.domain = domain
        self.rules = rules
        self.settings = {  # for tests: functions from arrays to valid values, by name
            setting: values if callable(values) else lambda *_, values=values: values
            for setting, values in (settings or {}).items()
        }
        self.name = name
        self.outer: Any = None  # for a chain of two ops, the second one
        self.run_in_place: Any = None  # runs in place of the rules in a pass that is not recorded
        self.arity = -1 if isinstance(rules, VariadicRule) else len(domain)  # -1: any number
        self.names = ()  # names of the positional parameters, operands first
        self.options: tuple[str, ...] = ()  # names of the positional settings
        self.defaults = {}  # defaults of positional parameters
        self.empty_dim = empty_dim  # the axes that `dim=()` means: None, all, or (), none
        self.accepted = frozenset(self.settings)  # names of the settings

    @overload
    def __call__(self, *args: P.args, **settings: P.kwargs) -> Tensor: ...

    @overload
    def __call__(self, *args: Any, out: Tensor | None, **settings: Any) -> Tensor: ...

    @overload
    def __call__(self, *args: Any, axis: Any, **settings: Any) -> Tensor: ...

    def __call__(self, *args: Any, **settings: Any) -> Any:
        """Return a tensor if an argument is one (type checkers assume so), else an array."""
        if settings or len(args) != self.arity:
            if "out" in settings:  # the tensor to write to, as in PyTorch
                out, result = settings.pop("out"), self(*args, **settings)
                return result if out is None else out.copy_(result)
            args, settings = self._bound(args, settings)
            if settings and settings.pop("inplace", False) and isinstance(args[0], Node):
                return args[0]._become(self(*args, **settings))  # type: ignore[attr-defined]
        has_array, has_other = False, False
        for a in args:
            kind = a.__class__
            if kind is np.ndarray:
                has_array = True
            elif isinstance(a, Node):
                return call_op(self, args, settings)
            elif kind not in _PYTHON_NUMBERS:
                has_other = True
        if has_other or not has_array:
            return self._call_on_array_likes(args, settings)
        return self._result(args, settings)

    def _bound(
        self, args: tuple[Any, ...], settings: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return the operands and the settings of a call, under the names of the signature."""
        if "dim" in settings and settings["dim"].__class__ is not int:
            # In PyTorch an empty `dim` is mostly all axes; NumPy's `axis=()` reduces nothing.
            settings["dim"] = as_axes(settings["dim"], self.empty_dim)
        has_other_names = (
            settings
            and not settings.keys() <= self.accepted
            and rename_settings(self.name, settings, self.accepted)
        )
        n = self.arity
        if len(args) < n:
            args = self._with_all_operands(args, settings)
        elif len(args) == n + 1 and "alpha" in self.accepted - settings.keys():
            args = without_factor(self.name, "alpha", args, settings)
        elif len(args) > n >= 0:
            if len(args) == n + 1 and self.options:  # the usual case, faster
                extra = {self.options[0]: args[n]}
            else:
                extra = dict(zip(self.options, args[n:]))  # noqa: B905  fewer arguments
            if len(extra) < len(args) - n or (settings and not settings.keys().isdisjoint(extra)):
                raise self._signature_error(args, settings)
            if "dim" in extra and extra["dim"].__class__ is not int:
                extra["dim"] = as_axes(extra["dim"], self.empty_dim)
            settings = settings | extra if settings else extra
            args = args[:n]
        if not self.is_builtin or isinstance(settings.get("alpha"), Node):
            settings = {name: self._setting(name, value) for name, value in settings.items()}
        if has_other_names and not settings.keys() <= self.accepted:
            raise self._signature_error(args, settings)
        return args, settings if self.prepare is None else self.prepare(settings)

    def _setting(self, name: str, value: Any) -> Any:
        """Return the array, or a factor's number, of a tensor; any other value unchanged."""
        if not isinstance(value, Node):
            return value
        if value._requires_grad:
            raise errors.GraphError(
                f"{self.name}: the setting {name} is a tensor that requires grad, and settings "
                "have no gradient. Pass x.detach(), or make it an argument with a rule"
            )
        array = array_of(value)
        return array.item() if self.is_builtin else array

    def _with_all_operands(self, args: tuple[Any, ...], settings: dict[str, Any]) -> Any:
        """Return all operands: those passed by keyword, removed from `settings`, and defaults."""
        for name in self.names[len(args) : self.arity] or ("",):  # "": unknown names
            if name not in settings and name not in self.defaults:
                raise self._signature_error(args, settings)
            args = (*args, settings.pop(name) if name in settings else self.defaults[name])
        return args

    def _call_on_array_likes(self, args: tuple[Any, ...], settings: dict[str, Any]) -> Any:
        has_array = has_list = False
        for i, a in enumerate(args):
            if type(a) is np.ndarray or isinstance(a, np.generic):
                has_array = True
            elif hasattr(type(a), "__array_function__"):
                return self._dispatch(a, args, settings)
            elif not is_numeric(a) and not self._is_absent(i, a):
                raise self._operand_error(args, i, settings)
            has_list = has_list or isinstance(a, list | tuple)
        # Python numbers beside an array or a list have its dtype.
        convert = (list, tuple) if has_array or has_list else (list, tuple, int, float)
        args = tuple(as_array(a) if isinstance(a, convert) else a for a in args)
        if not has_array:
            return call_op(self, args, settings)
        return self._result(args, settings)

    def _result(self, arrays: Sequence[Any], settings: dict[str, Any]) -> Any:
        try:
            return self.forward(*arrays, **settings)
        except FORWARD_ERRORS as error:
            self.raise_described(error, arrays, settings)
            raise

    def _dispatch(self, array: Any, args: Any, settings: Any) -> Any:
        """Call the op by `__array_function__` of a tracer or another library, else its function."""
        refuse_dask(array, self.name)
        kind = type(array)
        out = kind.__array_function__(array, self, (kind,), args, settings)
        return self.forward(*args, **settings) if out is NotImplemented else out

    @overload
    def __get__(self, instance: None, owner: type[Any] | None = None) -> Op[P]: ...

    @overload
    def __get__(
        self: Op[Concatenate[Any, Q]], instance: object, owner: type[Any] | None = None
    ) -> Op[Q]: ...

    def __get__(self, instance: object, owner: type[Any] | None = None) -> Any:
        """Return a method if `instance` is a tensor; in other classes the op gets no `self`."""
        return MethodType(self, instance) if isinstance(instance, Node) else self

    def __repr__(self) -> str:
        return f"<op {self.name}>"

    def __reduce__(self) -> str:
        return str(getattr(self, "__qualname__", self.name))  # pickled by name, as a function

    def __copy__(self) -> Op[P]:
        """Return another op, which is not registered."""
        other: Op[P] = object.__new__(type(self))
        vars(other).update(vars(self))
        vars(other).pop("reads_values", None)
        for name in Op.__slots__[1:]:
            setattr(other, name, getattr(self, name))
        # Both are for the rules that are replaced.
        other.is_builtin, other.run_in_place = False, None
        return other

    @property
    def operands(self) -> tuple[str, ...]:
        """The names of the operands in the signature, or else in the first rule."""
        if len(self.names) < self.arity and isinstance(self.rules, tuple):
            return tuple(n.removeprefix("_") for n in positional(self.rules[0])[0][2:])
        return self.names[: self.arity]

    def values_read_by(self, i: int, out: Any, arrays: Sequence[Any]) -> Iterable[tuple[str, Any]]:
        """Yield (name, array) for the result and the operands whose values rule `i` reads.

        A parameter whose name begins with `_` is not read. A chain's outer rule reads the result.
        """
        names, rest = positional(self.rules[i] if self.rules is not None else None)
        for k, name in _read_by(names, rest, len(arrays), self.outer is not None):
            yield name, out if k < 0 else arrays[k]

    @functools.cached_property
    def reads_values(self) -> bool:
        """Whether a rule reads a value, so that the graph is freed after a backward pass."""
        count = max(self.arity, 1)
        return any(any(self.values_read_by(i, None, (None,) * count)) for i in range(count))


class Chain(Op[P]):
    """Two fused ops, the outer one elementwise: one node, no stored intermediate result.

    The rules of both ops are reused. The rule of the outer op may read its result only, as the rule
    of sigmoid does: the backward pass applies it first, then the rules of the inner op.
    """

    def __init__(self, inner: Op[P], outer: Op[...]) -> None:
        inner_forward, outer_forward = inner.forward, outer.forward
        super().__init__(
            self,
            forward=lambda *arrays: outer_forward(inner_forward(*arrays)),
            domain=inner.domain,
            rules=inner.rules,
            settings=inner.settings,
            name=f"{inner.name} and {outer.name}",
        )
        functools.update_wrapper(self, inner)
        self.__doc__ = f"Return `{outer.name}` of `{inner.name}`.\n\n    {inner.__doc__}"
        self.inner, self.outer = inner, outer
        self.names, self.defaults = inner.names, inner.defaults
        self.is_builtin = inner.is_builtin
        registry[self] = self


class VariadicRule:
    """One vjp rule for all arguments of a variadic op; its first parameter is their index.

    If it reads no argument (`*_xs`), it is called without them, at a cost that is independent of
    their number.
    """

    def __init__(self, rule: VjpRule) -> None:
        self.rule = rule
        self.reads_arguments = not positional(rule)[1].startswith("_")

    def __iter__(self) -> Iterator[VjpRule]:
        return map(self.__getitem__, count())

    def __getitem__(self, i: int) -> VjpRule:
        return functools.partial(self.rule, i)


def define(
    function: Callable[..., Any] | None = None,
    *,
    numpy: Callable[..., Any] | None = None,
    forward: Callable[..., Any] | None = None,
    name: str | None = None,
    registered: bool = True,
    **options: Any,
) -> Callable[[Callable[Q, Any]], Op[Q]]:
    """Return a decorator that makes a documented function an op of this package.

    The op has its name, signature and docstring. What runs is `forward` if it is passed, else
    `function`, for example NumPy's, else the body; in the first two cases the body is a docstring
    only. `function(tensor)`, or `numpy(tensor)`, calls the op. `plain` runs in calls without
    settings, and `prepare` changes the settings of other calls before they are recorded; these and
    the other `options` are passed to `Op`. Property tests check that the rules of these ops, unless
    `registered` is False, change no argument, so that they get the arrays themselves; rules of
    `op` get read-only views.
    """

    def decorate(documented: Callable[Q, Any]) -> Op[Q]:
        implementation = forward or function or documented
        key, op_name = function or numpy or implementation, name or documented.__name__.rstrip("_")
        op: Any = _op(key, forward=implementation, name=op_name, **options)
        op.is_builtin = True
        return _document(_registered(op, key) if registered else op, documented)  # type: ignore[return-value]

    return decorate


def op(
    function: Callable[..., Any],
    *,
    domain: tuple[Domain, ...],
    rules: Sequence[VjpRule | None] | None = None,
    forward: Callable[..., Any] | None = None,
    settings: Settings | None = None,
    name: str | None = None,
) -> Op:
    """Register `function` as an op, so that it accepts tensors, and return the op.

    `function` is a ufunc or another function of arrays; `forward` is a faster implementation that
    is called instead. `domain` has one domain of `tinygrad_fc.domain` per argument, and `rules` one
    vjp rule, a function (g, out, *arguments), or None for an argument without a gradient; without
    rules the results never require grad. `settings` maps a keyword argument to valid values for
    tests, or to a function of the arrays that returns them; rules get it, too, with the default of
    `function` where a call leaves it out. `name` is the name in messages. Raises `TypeError` if the
    numbers of arguments, domains and rules differ; a rule that changes its arguments in place, or
    returns a wrong shape, raises when it runs.

    >>> import numpy as np, tinygrad_fc as tg
    >>> from tinygrad_fc.domain import real
    >>> cube = tg.op(
    ...     lambda x: x**3, name="cube", domain=(real,), rules=(lambda g, _out, x: g * 3 * x**2,)
    ... )
    >>> x = tg.tensor(2.0, requires_grad=True)
    >>> cube(x).backward()
    >>> x.grad
    tensor(12.)
    """
    op_name = str(name or getattr(function, "__name__", "op"))
    if function in registry and registry[function].is_builtin:
        raise ValueError(
            f"{op_name} is already registered as an op, which operators and methods use. Register "
            f"a function of your own: op(lambda *xs: {op_name}(*xs), ...)"
        )
    for option, value in (("domain", domain), ("rules", rules)):
        if callable(value):
            raise TypeError(f"{op_name}: {option} is a tuple, one per argument; got {value!r:.80}")
    _check_arity(op_name, function, len(domain), settings or {})
    if rules is not None:
        defaults = _defaults(function, len(domain))
        rules = tuple(r and _ReadOnlyRule(r, defaults) for r in rules)
    options = {"domain": domain, "rules": rules, "settings": settings}
    new = _registered(_op(function, forward=forward or function, name=op_name, **options), function)
    return _document(new, function) if isinstance(function, FunctionType) else new


def _check_arity(name: str, function: Any, count: int, settings: Settings) -> None:
    """Raise `TypeError` unless the function takes `count` arrays, and settings behind them."""
    parameters = parameters_of(function)
    positional = [p for p in parameters if p.kind < p.VAR_POSITIONAL]
    required = [p for p in positional if p.default is p.empty and p.name not in settings]
    most = len(positional)
    if any(p.kind is p.VAR_POSITIONAL for p in parameters) or not parameters:
        most = count
    if not len(required) <= count <= most:
        raise TypeError(
            f"{name} takes {len(required)} arrays, and has {count} domains. Pass one domain per "
            "array, and values of other arguments in `settings`"
        )


def _op(
    function: Any, *, forward: Any, domain: Any, name: str, rules: Any = None, **rest: Any
) -> Op:
    if isinstance(rules, tuple):
        expected = function.nin if isinstance(function, np.ufunc) else len(domain)
        if not len(rules) == len(domain) == expected:
            raise TypeError(
                f"{name} takes {expected} arrays, and has {len(domain)} domains and {len(rules)} "
                "rules. Pass one of each per argument, and None for an argument without a gradient"
            )
        rules = tuple(r or functools.partial(_no_rule, name, i) for i, r in enumerate(rules))
    if any(d.restricted for d in domain):
        forward = without_warnings(forward)
    return Op(function, forward=forward, domain=domain, rules=rules, name=name, **rest)


def _registered(op: Op, function: Any) -> Op:
    registry[function] = registry[op] = op
    return op


def _document(op: Op, function: Any) -> Op:
    """Return `op` with the docstring, its domains, and the signature of `function`."""
    functools.update_wrapper(op, function)
    plain = inspect.unwrap(function)
    code, defaults = plain.__code__, plain.__defaults__ or ()
    named = code.co_argcount
    op.names = code.co_varnames[:named]
    op.options = op.names[op.arity :] if op.arity >= 0 else ()
    op.defaults = dict(zip(op.names[named - len(defaults) :], defaults, strict=True))
    settings = {*code.co_varnames[max(op.arity, 0) : named + code.co_kwonlyargcount]}
    op.accepted |= settings
    names = op.names if op.arity >= 0 else ("arrays",)
    domains = ", ".join(f"{n} {d!r}" for n, d in zip(names, op.domain, strict=False))
    op.__doc__ = f"{function.__doc__ or ''}\n    Domain: {domains}." + (
        " The result never requires grad." if op.rules is None else ""
    )
    return op


def _no_rule(name: str, i: int, *_: Any, **__: Any) -> Any:
    raise errors.GraphError(
        f"{name} has no rule for argument {i}, which requires grad. Register one, or pass "
        "`x.detach()` if no gradient is needed."
    )


class _ReadOnlyRule:
    """A rule called with read-only views: NumPy raises an error for a change in place.

    A setting that a call leaves out has the default of the op's function, not one of the rule.
    """

    def __init__(self, rule: VjpRule, defaults: dict[str, Any]) -> None:
        self.__wrapped__ = rule
        parameters = parameters_of(rule)
        takes_all = any(p.kind is p.VAR_KEYWORD for p in parameters)
        names = {p.name for p in parameters}
        self.defaults = {n: v for n, v in defaults.items() if takes_all or n in names}

    def __call__(self, *arrays: Any, **settings: Any) -> Any:
        return self.__wrapped__(*map(readonly, arrays), **(self.defaults | settings))


def _defaults(function: Any, arity: int) -> dict[str, Any]:
    """Return the settings of `function` that have a default."""
    parameters = parameters_of(function)[arity:]
    return {p.name: p.default for p in parameters if p.default is not p.empty}


def parameters_of(function: Any) -> list[inspect.Parameter]:
    """Return the parameters of a function, none of a ufunc, or of C without a signature."""
    if isinstance(function, np.ufunc):  # newer NumPy gives it a signature, with `out` and `where`
        return []
    try:
        return list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return []


# Cached, since the backward pass calls this for all rules after an in-place change, such as batch
# norm's in every step.
@functools.lru_cache(maxsize=4096)
def positional(function: Any) -> tuple[tuple[str, ...], str]:
    """Return the names of the positional parameters of `function`, and the name of its `*args`.

    A wrapper's own signature counts, since it may read more than the function that it wraps.
    """
    if isinstance(function, _ReadOnlyRule):
        return positional(function.__wrapped__)
    if isinstance(function, functools.partial):
        names, rest = positional(function.func)
        return names[len(function.args) :], rest
    try:
        parameters = inspect.signature(function, follow_wrapped=False).parameters.values()
    except (TypeError, ValueError):
        return (), ""
    names = tuple(p.name for p in parameters if p.kind < p.VAR_POSITIONAL)
    return names, next((p.name for p in parameters if p.kind is p.VAR_POSITIONAL), "")


@functools.lru_cache(maxsize=4096)
def _read_by(
    names: tuple[str, ...], rest: str, count: int, reads_result: bool
) -> list[tuple[int, str]]:
    """Return index and name of those of `count` operands that a rule with these parameters reads.

    The result has the index -1. The first name is that of the cotangent.
    """
    # Of the operands of a variadic op, all or none are read.
    last = min(len(names) - 1, count + 1) if rest.startswith("_") else count + 1
    read = []
    for k in range(1, last + 1):
        name = names[k] if k < len(names) else rest
        if not name.startswith("_") or (k == 1 and reads_result):
            read.append((k - 2, "result" if k == 1 else argument_name(k - 2, name)))
    return read


def as_axes(dim: Any, empty: Any = None) -> Any:
    """Return axes as None, an int or a tuple; `empty` for no axes."""
    if not isinstance(dim, list | tuple):
        return dim
    # NumPy accepts axis 0 of a 0-d array, but not axes (0,).
    return dim[0] if len(dim) == 1 else tuple(dim) or empty


def without_factor(
    function: str, name: str, args: tuple[Any, ...], settings: dict[str, Any]
) -> tuple[Any, ...]:
    """Return `args` without the second, a factor, and move it to `settings[name]`; deprecated."""
    first, settings[name], *tensors = args
    call = f"{function}({', '.join(['tensor'] * len(args[1:]))}, {name}=...)"
    errors.warn_deprecated(f"{function}: a factor before a tensor is deprecated. Use {call}", 5)
    return (first, *tensors)


def rename_settings(function: str, settings: dict[str, Any], accepted: Container[str]) -> bool:
    """Rename NumPy's names in the keyword arguments `settings` to PyTorch's, if `accepted`.

    Return whether there are others that are not accepted.
    """
    others = False
    for name in (*settings,):
        if name not in accepted:
            ours = NUMPY_NAMES.get(name, "")
            if ours not in accepted:
                others = True
            elif settings.get(ours) is not None:
                raise TypeError(f"{function}: pass {ours} or {name}, not both")
            else:
                value = settings.pop(name)
                settings[ours] = value if value.__class__ is int else as_axes(value, ())
    return others


_PYTHON_NUMBERS = frozenset((float, int, bool))


def readonly(array: Any) -> Any:
    """Return a read-only view of a NumPy array; any other value unchanged."""
    if type(array) is not np.ndarray:
        return array
    view = array.view()
    view.flags.writeable = False
    return view
