"""What a check is asked for, proven to make sense before anything is drawn or called."""

from __future__ import annotations

import difflib
import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from numbers import Integral, Real
from typing import Any, NamedTuple

import numpy as np

from tinygrad_fc.domain import Domain, holds
from tinygrad_fc.graph import Node
from tinygrad_fc.op import Each, Op
from tinygrad_fc.testing.compare import ACCURACY, Demand
from tinygrad_fc.testing.signature import WORD, parsed, shaped, uncalled
from tinygrad_fc.testing.texts import counted

__tracebackhide__ = True  # pytest shows what was asked for, not how it was read

Array = np.ndarray[Any, Any]

FLOATS = (np.float64, np.float32)
KINKS = ("subgradient", "skip", "forbid")
NAMES = ("order", "sig", "where", "dtypes", "accuracy", "noise", "kinks", "max_examples", "domains")
"""The options of `check`."""
KINDS = {"f": "float", "i": "index", "u": "index", "b": "bool"}
"""The kind of domain that an array belongs to, by the kind of its dtype."""
ONLY = (
    "only float64 and float32 have a gradient here, whole numbers are indices. Write 3.0 for 3, or "
    "np.array(..., float)"
)
EACH = "Give a domain or an array for each argument, and bind all others, as by a lambda"


class Options(NamedTuple):
    """What `check` is asked for."""

    order: int = 2
    sig: str | None = None
    where: Callable[..., Any] | None = None
    dtypes: tuple[Any, ...] = FLOATS
    demand: Demand = Demand()
    max_examples: int | None = None


class Inputs(NamedTuple):
    """What a function is checked on."""

    words: tuple[Domain, ...]
    """A domain for each argument; none where arrays are given without."""
    arrays: tuple[Array, ...] = ()
    """The arrays to check at, none where they are drawn."""

    @property
    def many(self) -> int:
        """How many arguments there are."""
        return len(self.words or self.arrays)


def _is(
    name: str, value: Any, kind: Any, expected: str, legal: Callable[[Any], bool] = bool
) -> None:
    """Raise `TypeError` where `value` is of another kind, `ValueError` where it is not legal."""
    wrong = isinstance(value, bool) or not isinstance(value, kind)
    if wrong or not legal(value):
        raise (TypeError if wrong else ValueError)(f"{name} is {expected}; got {value!r:.80}")


def whole(name: str, value: Any, expected: str) -> None:
    """Raise `TypeError` or `ValueError` where `value` is no whole number, at least 1."""
    _is(name, value, Integral, expected, lambda n: n >= 1)


def known(called: str, options: Mapping[str, Any], names: Sequence[str]) -> None:
    """Raise `TypeError` where `called` has no option of a name."""
    for name in options:
        if name not in names:
            alike = difflib.get_close_matches(name, names, n=1)
            raise TypeError(
                f"{called} has no option {name!r}"
                + (f"; perhaps {alike[0]!r} is meant" if alike else "")
                + f"; its options are {', '.join(names[:-1])} and {names[-1]}"
            )


def asked(
    *,
    order: int = 2,
    sig: str | None = None,
    where: Callable[..., Any] | None = None,
    dtypes: Any = FLOATS,
    accuracy: float | str | None = None,
    noise: float = 0.0,
    kinks: str = "subgradient",
    max_examples: int | None = None,
) -> Options:
    """Return what is asked for; raises `TypeError` or `ValueError` where it makes no sense."""
    _is("order", order, Integral, "1 for first derivatives, or 2 for second ones too",
        lambda n: n in {1, 2})  # fmt: skip
    if sig is not None:
        parsed(sig)
    if where is not None:
        _is("where", where, Callable, "a function of the drawn arrays that tells whether to take "
            "them")  # fmt: skip
    number = 'a positive number, relative to the gradient, or "full"'
    wanted = ACCURACY if accuracy is None else 0.0
    if accuracy is not None and not (isinstance(accuracy, str) and accuracy == "full"):
        _is("accuracy", accuracy, Real, number, lambda a: 0 < a < math.inf)
        wanted = float(accuracy)
    _is("noise", noise, Real, "how exact the function is, relative to it: a number such as 1e-9, "
        "or 0", lambda a: 0 <= a < math.inf)  # fmt: skip
    _is("kinks", kinks, str, f"one of {', '.join(map(repr, KINKS))}", KINKS.__contains__)
    if max_examples is not None:
        whole("max_examples", max_examples, "how many inputs are drawn: a whole number, at least 1")
    demand = Demand(wanted, kinks, noise=float(noise))
    met = None if where is None else partial(holds, where)
    return Options(int(order), sig, met, _floats(dtypes), demand, max_examples)


def _floats(dtypes: Any) -> tuple[Any, ...]:
    """Return the dtypes that are asked for, one alone included."""
    alone = isinstance(dtypes, str | type | np.dtype)
    text = (
        f"dtypes is np.float64, np.float32 or a tuple of both; got {dtypes!r:.80}{_meant(dtypes)}"
    )
    try:
        kinds = tuple(dict.fromkeys(map(np.dtype, (dtypes,) if alone else dtypes)))
    except TypeError:
        raise TypeError(text) from None
    if not kinds or not {np.dtype(d) for d in FLOATS}.issuperset(kinds):
        raise ValueError(text)
    return kinds


def _meant(dtypes: Any) -> str:
    """Return what to write for dtypes of another library, such as `torch.float32`; else nothing."""
    several = dtypes if isinstance(dtypes, tuple | list) else (dtypes,)
    names = {np.dtype(d).name for d in FLOATS}
    told = [f"np.{n} for {d}" for d in map(str, several) for n in names if d.endswith(f".{n}")]
    return f". Write {' and '.join(told)}, which is another library's" if told else ""


def function(name: str, f: Any, expected: str) -> None:
    """Raise `TypeError` where `f` can't be called."""
    if not callable(f):
        raise TypeError(f"{name} is {expected}; got {f!r:.80}")


def takes(f: Callable[..., Any], count: int, advice: str) -> None:
    """Raise `TypeError` where it can be told that `f` can't be called with `count` arguments."""
    name = f.name if isinstance(f, Op) else getattr(f, "__name__", type(f).__name__)
    many = counted(count, "argument")
    wanted = _wanted(f)
    if wanted not in {None, count}:
        raise TypeError(f"{name} takes {wanted}, and gets {many}. {advice}")
    try:
        signature = inspect.signature(f)
    except (TypeError, ValueError):
        return
    try:
        signature.bind(*range(count))
    except TypeError as error:
        bare = [p.replace(annotation=p.empty) for p in signature.parameters.values()]
        told = signature.replace(parameters=bare, return_annotation=signature.empty)
        raise TypeError(f"{name}{told} can't be called with {many}: {error}. {advice}") from None


def _wanted(f: Any) -> int | None:
    """Return how many arrays an operation or NumPy's function takes, None where it is not told."""
    if isinstance(f, Op):
        return None if isinstance(f.rules, Each) else len(f.domain)
    return f.nin if isinstance(f, np.ufunc) else None


def inputs(called: str, given: Sequence[Any], domains: Any, sig: str | None) -> Inputs:
    """Return what is given for the arguments, domains or arrays."""
    if not given:
        raise ValueError(f"{called} needs a domain for each argument, such as `real`")
    words = tuple(d for d in given if isinstance(d, Domain))
    if not words:
        found = arrays_of(given)
        if not any(a.dtype in FLOATS for a in found):
            raise ValueError(
                f"{called} is given {', '.join(f'an array of {a.dtype}' for a in found)}: {ONLY}"
            )
        return Inputs(_beside(found, domains), found)
    if len(words) < len(given):
        odd = next(d for d in given if not isinstance(d, Domain))
        raise TypeError(
            uncalled(odd)
            or f"{WORD}; got {odd!r:.80}. Give domains for all arguments, or arrays for all"
        )
    if domains is not None:
        raise ValueError(
            "domains= tells where arrays may move; inputs that are drawn have their domains "
            "already: leave it out"
        )
    if all(word.kind != "float" for word in words):
        raise ValueError(
            f"{called} is given {', '.join(map(repr, words))}: only floats have a gradient. Give "
            "one argument at least a domain such as `real`"
        )
    for word in words:
        if isinstance(word.condition, partial):
            takes(word.condition.args[0], 1, f"where= of {word} is called with its array alone")
    shaped(words, sig)
    return Inputs(words)


def arrays_of(given: Sequence[Any], name: str = "") -> tuple[Array, ...]:
    """Return what is given as arrays of real numbers; raises `TypeError` where they are none."""
    expected = f"{name} is" if name else f"{WORD}, or"
    found = []
    for value in given:
        try:
            array = np.array(value._array if isinstance(value, Node) else value)
        except (TypeError, ValueError):  # rows of different lengths
            array = np.array(None)
        if array.dtype.kind not in KINDS:
            raise TypeError(
                uncalled(value) or f"{expected} an array of real numbers; got {value!r:.80}"
            )
        found.append(array)
    return tuple(found)


def returned(name: str, out: Array) -> None:
    """Raise `TypeError` where a function returns what has no slope anywhere, such as None."""
    if out.dtype.kind not in KINDS:
        raise TypeError(
            f"{name} must return tensors or arrays of real numbers, and returned "
            f"{out.tolist()!r:.80}"
        )


def _beside(found: Sequence[Array], domains: Any) -> tuple[Domain, ...]:
    """Return the domains of given arrays, none where they are not told."""
    if domains is None:
        return ()
    if not isinstance(domains, tuple | list) or not all(isinstance(d, Domain) for d in domains):
        raise TypeError(
            f"domains is a tuple of words, one for each array, as in domains=(real,); got "
            f"{domains!r:.80}"
        )
    kinds = [KINDS[a.dtype.kind] for a in found]
    if [word.kind for word in domains] != kinds:
        words = ", ".join(f"{word!r} ({word.kind})" for word in domains)
        raise ValueError(
            f"domains has one word for each array, of its kind: {', '.join(kinds)}; got {words}"
        )
    return tuple(domains)
