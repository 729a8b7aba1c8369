"""A function with its gradient (`CheckedFunction`), and inputs at which to check it (`Case`)."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.core.errors import GraphError, ShapeError
from tinygrad_fc.core.op import parameters_of
from tinygrad_fc.testing.report import Array, DiscardError, GradientError, counted, first_line
from tinygrad_fc.testing.rounding import Perturbation, cotangent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from contextlib import AbstractContextManager

    from tinygrad_fc.domain import Domain

__tracebackhide__ = True  # pytest shows the lines of the user

SEEDS = 16
"""How many sets of directions and cotangents there are; an input is tried with one of them."""
GRADIENT, SECOND = "the gradient", "the gradient of the gradient"
TANGENT = "the tangent of the result"


@dataclass(frozen=True, eq=False)
class CheckedFunction:
    """A function of arrays and its gradient: `forward(*arrays)`, `vjp(g, out, *arrays)`.

    `vjp` returns a gradient for each argument, None where there is none. `vjp2(h, g, *arrays)`
    returns, for the cotangents `h` of the gradients, the gradients of `g` and of each argument. A
    `jvp(t, out, *arrays)` takes tangents and returns the tangent of the result. `names` are the
    names of the arguments; `call` is the line that checks it, with `{}` for arrays and options.
    """

    name: str
    forward: Callable[..., Any]
    vjp: Any = None
    vjp2: Callable[..., Any] | None = None
    jvp: Callable[..., Any] | None = None
    names: tuple[str, ...] = ()
    call: str = ""
    differentiable: Sequence[int] | None = None
    """The numbers of the arguments that have a gradient; None for all floats."""
    inputs: int | None = None
    """How many inputs a module has; its parameters are the arguments behind them."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """The keywords of an op, with which it is called."""
    limits: tuple[str, ...] = ()
    """Sentences about what is not checked at any input."""
    assertions: bool = False
    """Whether an AssertionError in it is a failure, as in a test."""

    few_shapes: bool = False
    """Whether it is compiled for each shape."""

    @property
    def has_second(self) -> bool:
        """Whether second derivatives can be computed."""
        return self.vjp2 is not None

    of_library = of_tensors = False
    """Whether a library computes its gradients, and whether it is this one, which promises more."""

    def result(self, arrays: Sequence[Any]) -> Array:
        """Return the result for `arrays`."""
        return np.asarray(self.forward(*arrays))

    def gradients(self, g: Array, out: Any, arrays: Sequence[Any]) -> Sequence[Any]:
        """Return the gradients of `arrays`."""
        return _as_sequence(self.vjp(g, out, *arrays))

    def second(self, h: Sequence[Array], g: Array, arrays: Sequence[Any]) -> Sequence[Any]:
        """Return the gradients of `g` and `arrays` for the cotangents `h` of the gradients."""
        if self.vjp2 is None:
            raise DiscardError
        single = False
        if len(h) == 1:  # a vjp that returns one array alone has a vjp2 that takes one alone
            single = not isinstance(self.vjp(g, self.result(arrays), *arrays), tuple | list)
        return _as_sequence(self.vjp2(h[0] if single else tuple(h), g, *arrays))

    def not_checked(self, count: int, settings: Iterable[str] = ()) -> tuple[str, ...]:
        """Return sentences about what calls with `count` arrays and such `settings` leave out."""
        optional = [p.name for p in parameters_of(self.forward) if p.default is not p.empty]
        fixed = [name for name in optional if name not in {*self.names[:count], *settings}]
        return (*self.limits, f"Not varied: {', '.join(fixed)}") if fixed else self.limits

    def short_name(self, i: int) -> str:
        """Return the name of argument `i`, or its number."""
        return self.names[i] if i < len(self.names) else f"argument {i}"

    def argument(self, i: int) -> str:
        """Return the number and the name of argument `i` for messages."""
        return f"argument {i} ({self.names[i]})" if i < len(self.names) else f"argument {i}"


def _as_sequence(value: Any) -> Sequence[Any]:
    return value if isinstance(value, tuple | list) else (value,)


def joined(rules: Sequence[Callable[..., Any] | None]) -> Callable[..., Any]:
    """Return one vjp that returns a tuple, from one rule for each argument."""
    return lambda g, out, *arrays: tuple(rule and rule(g, out, *arrays) for rule in rules)


def argument_names(f: Callable[..., Any]) -> tuple[str, ...]:
    """Return the names of the positional parameters of `f`, none where they are unknown."""
    return tuple(p.name for p in parameters_of(f) if p.kind < p.VAR_POSITIONAL)


@dataclass(frozen=True)
class Case:
    """A function, the arrays that it is called with, and the seed of directions."""

    function: CheckedFunction
    domains: tuple[Domain, ...]
    arrays: tuple[Array, ...]
    seed: int = 0
    strict: bool = False
    """Whether NumPy's warnings are failures, as they are for ops."""
    floats: tuple[int, ...] = ()
    """The numbers of the arguments that have a gradient."""
    where: Callable[..., Any] | None = None
    drawn: bool = True
    """Whether the check draws or gets these arrays; others are made by a law."""
    mapping: Callable[[Sequence[Array]], Sequence[Array]] | None = None
    """The function that makes `arrays` from `unmapped`, of a structured domain or by `map=`."""
    unmapped: tuple[Array, ...] = ()

    @property
    def raw(self) -> tuple[Array, ...]:
        """The arrays whose numbers move freely: `unmapped`, or the arguments themselves."""
        return self.arrays if self.mapping is None else self.unmapped

    @cached_property
    def out(self) -> Array:
        """The result, for copies of the arrays: the function may change them."""
        return self.forward([a.copy() for a in self.arrays])

    @cached_property
    def g(self) -> Array:
        """A cotangent of the result."""
        return cotangent(self.out, self.seed)

    def cast(self, dtype: Any) -> Case:
        """Return the same numbers as `dtype`, of all float arguments."""
        arrays = (a.astype(dtype) if a.dtype.kind == "f" else a for a in self.arrays)
        return replace(self, arrays=tuple(arrays))

    def at(self, arrays: Sequence[Array]) -> Case:
        """Return the same function at other arrays."""
        return replace(self, arrays=tuple(arrays), drawn=False)

    def at_raw(self, raw: Sequence[Array]) -> Case:
        """Return the same function at the arrays that other `raw` ones are mapped to."""
        return replace(self.at(self._mapped(raw)), unmapped=tuple(raw))

    def at_point(self, point: Sequence[Array]) -> Case:
        """Return the same function at another point, of the arguments that have a gradient."""
        return self.at_raw(self._with_point(point))

    def arrays_at(self, point: Sequence[Array]) -> list[Array]:
        """Return the arguments at another point, each in the dtype of the argument here."""
        arrays = self._mapped(self._with_point(point))
        pairs = zip(arrays, self.arrays, strict=True)
        return [np.asarray(x).astype(a.dtype, copy=False) for x, a in pairs]

    def ordinary_point(self) -> list[Array]:
        """Return ordinary numbers for the arguments that have a gradient."""
        return [ordinary(self.domains[i], self.raw[i].shape) for i in self.floats]

    def _with_point(self, point: Sequence[Array]) -> list[Array]:
        """Return the raw arrays with `point` in place of those that have a gradient."""
        raw = list(self.raw)
        for i, x in zip(self.floats, point, strict=True):
            raw[i] = x
        return raw

    def _mapped(self, raw: Sequence[Array]) -> Sequence[Array]:
        return raw if self.mapping is None else self.mapping(raw)

    def typed(self, point: Sequence[Array]) -> list[Array]:
        """Return a point in the dtypes of the arguments that have a gradient."""
        kinds = (self.arrays[i].dtype for i in self.floats)
        return [np.asarray(x).astype(k, copy=False) for x, k in zip(point, kinds, strict=True)]

    def legal(self) -> bool:
        """Return whether the arrays meet the conditions of the domains and of `where`."""
        conditions_met = meet(self.domains, self.arrays)
        return conditions_met and (self.where is None or bool(self.where(*self.arrays)))

    def inside(self) -> bool:
        """Return whether the arrays lie in their domains and meet the conditions."""
        pairs = zip(self.domains, self.raw, strict=True)
        return all(d.contains(x).all() for d, x in pairs if d.kind == "float") and self.legal()

    def forward(self, arrays: Sequence[Array] | None = None) -> Array:
        """Return the result for `arrays`, by default those of the case."""
        used = self.arrays if arrays is None else arrays
        out: Array = self._call("the function", self.function.result, used)
        return out

    def gradients(
        self,
        g: Array,
        out: Array | None = None,
        arrays: Sequence[Array] | None = None,
        perturbation: Perturbation | None = None,
    ) -> list[Array]:
        """Return the gradients of the arguments that have one; `perturbation` moves the inputs."""
        used = self._perturbed(perturbation, arrays)
        if out is None and (perturbation is not None or not self.function.of_tensors):
            out = self.forward(used)
        if perturbation is not None:
            g, out = perturbation(g), perturbation(np.asarray(out)) if perturbation.results else out
        result = self._call(GRADIENT, self.function.gradients, g, out, used)
        return self._checked_count(result, used)

    def pullback(self, arrays: Sequence[Array]) -> Callable[[Array], list[Array]]:
        """Run forward, and return the vjp that this pass leaves, of a function of a library."""
        function: Any = self.function
        pull = self._call("the function", function.pullback, arrays)
        return lambda g: self._checked_count(_as_sequence(self._call(GRADIENT, pull, g)), arrays)

    def second(
        self, h: Sequence[Array], g: Array, perturbation: Perturbation | None = None
    ) -> list[Array]:
        """Return the gradients of `g` and of the arguments for the cotangents `h`."""
        used, g = self._perturbed(perturbation), g if perturbation is None else perturbation(g)
        by_argument = self._by_argument(h)
        result = self._call(SECOND, self.function.second, by_argument, g, used)
        if not result:
            raise self.wrong("shape", f"{SECOND} has no entry for g")
        first = np.zeros_like(g) if result[0] is None else np.asarray(result[0])
        seconds = [first, *self._checked_count(result[1:], used)]
        self.require_like(-1, first, g, f"{SECOND} for")
        for i, a in zip(self.floats, seconds[1:], strict=True):
            self.require_like(i, a, used[i], f"{SECOND} for")
        return seconds

    def tangent(self, v: Sequence[Array], perturbation: Perturbation | None = None) -> Array:
        """Return the tangent of the result for the tangents of arguments that have a gradient."""
        used = self._perturbed(perturbation)
        tangents = self._by_argument([np.array(a) for a in v])
        out, t = self.forward(used), tangents[0] if len(tangents) == 1 else tuple(tangents)
        jvp: Any = self.function.jvp
        result = np.asarray(self._call(TANGENT, jvp, t, out, *used))
        self.require_like(None, result, out, TANGENT)
        return result

    def _perturbed(
        self, perturbation: Perturbation | None, arrays: Sequence[Array] | None = None
    ) -> list[Array]:
        """Return the arguments, or other `arrays`, moved by a perturbation if there is one."""
        used = self.arrays if arrays is None else arrays
        return [a if perturbation is None else perturbation(a) for a in used]

    def _by_argument(self, point: Sequence[Array]) -> list[Any]:
        """Return one entry for each argument, None where it has no gradient."""
        by_number = dict(zip(self.floats, point, strict=True))
        return [by_number.get(i) for i in range(len(self.arrays))]

    def require_like(
        self, i: int | None, a: Array, x: Array, what: str = "the gradient of"
    ) -> None:
        """Raise unless `a` has the shape and dtype of `x`: argument `i`, -1 for `g`, or another."""
        if i is not None:
            what += f" {self.function.argument(i) if i >= 0 else 'g'}"
        for kind, got, expected in (("shape", a.shape, x.shape), ("dtype", a.dtype, x.dtype)):
            if got != expected:
                hint = f"return it as {expected}, as by astype" * (kind == "dtype")
                if kind == "shape" and got == self.out.shape and len(self.floats) > 1:
                    hint = "sum over the axes along which the argument was broadcast"
                text = f"{what} has {kind} {got}; expected {expected}"
                raise self.wrong(kind, text, argument=i, hint=hint)

    def _checked_count(self, result: Sequence[Any], arrays: Sequence[Array]) -> list[Array]:
        """Return the gradients of the arguments that have one, zeros for None."""
        if len(result) == len(arrays):
            result = [result[i] for i in self.floats]
        if len(result) != len(self.floats):
            raise self.wrong(
                "shape",
                f"the rule returns {counted(len(result), 'gradient')} for "
                f"{counted(len(arrays), 'argument')}. Return one for each, None for none",
            )
        pairs = zip(result, self.floats, strict=True)
        return [np.zeros_like(arrays[i]) if a is None else np.asarray(a) for a, i in pairs]

    def wrong(self, kind: str, message: str, **details: Any) -> GradientError:
        """Return the error for this case."""
        return GradientError(message, kind=kind, case=self, **details)

    def _call(self, what: str, called: Callable[..., Any], *args: Any) -> Any:
        """Call `called`; turn its exceptions into a GradientError."""
        try:
            with self.errstate():
                return called(*args)
        except (DiscardError, GradientError):
            raise
        except Exception as error:
            overflow = isinstance(error, FloatingPointError) and "overflow" in str(error)
            if overflow or not self.drawn:  # the function need not be defined everywhere
                raise DiscardError from error
            kind, text = "raises", f"{what} raises {first_line(error)}"
            if what == SECOND:
                text += ". If there is none, order=1 leaves it out"
            if isinstance(error, ShapeError):
                kind = "shape"
            elif isinstance(error, GraphError | ValueError) and "in place" in f"{error}":
                kind = "mutation"
            elif isinstance(error, ValueError) and "read-only" in f"{error}":
                kind, text = "mutation", f"{what} writes to its input: {error}"
            raise self.wrong(kind, text) from error

    def errstate(self) -> AbstractContextManager[Any]:
        """Silence NumPy, except for ops: there its warnings count."""
        return nullcontext() if self.strict else np.errstate(all="ignore")


def meet(domains: Sequence[Domain], arrays: Sequence[Array]) -> bool:
    """Return whether arrays meet the conditions of their domains."""
    pairs = zip(domains, arrays, strict=True)
    return all(d.condition is None or d.condition(x) for d, x in pairs)


def ordinary(domain: Domain, shape: tuple[int, ...]) -> Array:
    """Return numbers in `domain` that are neither large nor near to an edge: about 1 if legal."""
    x = _about_one(shape)
    low, high = domain.low, domain.high
    if high - low <= 64 and not low < -1 < 1 < high:
        x = (low + high) / 2 + (high - low) / 2 * (x - 1 / 16)
    elif low > -np.inf and not low < -1:
        x = low + np.abs(x)
    elif high < np.inf and not high > 1:
        x = high - np.abs(x)
    if domain.without:
        x = np.where(np.isin(x, domain.without), 0.875 * x + 0.03125, x)
    return np.array(x)


@lru_cache(maxsize=256)
def _about_one(shape: tuple[int, ...]) -> Array:
    return np.asarray(np.random.default_rng(shape).choice((-7, -5, -3, 2, 4, 6, 8), shape) / 8.0)
