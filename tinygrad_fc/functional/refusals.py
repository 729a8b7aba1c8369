"""What a function says of arguments that it cannot take, told when it has failed.

Next to nothing is looked at before: a call that succeeds costs a tenth of a microsecond more. Of
one that failed the signature says what each argument should have been. Numbers, lists and arrays
in place of tensors are made tensors, and the call is done again; of what is left, the argument at
fault is named. An error that names the function and has its advice is passed on as it is.
"""

from __future__ import annotations

import functools
import inspect
import operator
import re
from types import FunctionType
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from tinygrad_fc.errors import DtypeError, RangeError, ShapeError
from tinygrad_fc.functional.arguments import as_array
from tinygrad_fc.graph import Node, wrap

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

F = TypeVar("F", bound="Callable[..., Any]")
RAISED = (AttributeError, TypeError, ValueError, IndexError, KeyError, OverflowError)
KINDS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "int": ("one whole number", lambda v: _numbers(v, "iub") and np.size(_array(v)) == 1),
    "float": ("one number", lambda v: _numbers(v, "fiub") and np.size(_array(v)) == 1),
    "bool": ("True or False", lambda v: _numbers(v, "iub") and np.size(_array(v)) == 1),
    "str": ("a string", lambda v: isinstance(v, str)),
    "Dim": ("a whole number or a tuple of them", lambda v: _numbers(v, "iu")),
    "Tensor": ("a tensor", lambda v: _numbers(v, "fiub")),
    "Sequence[Tensor]": (
        "a list or tuple of tensors, [x, y],",
        lambda v: isinstance(v, tuple | list) and all(_tensors(x) for x in v),
    ),
}
"""What an annotation says in words, and whether a value is, or can be made, such a thing."""


def _array(value: Any) -> Any:
    return value._array if isinstance(value, Node) else value


def _numbers(value: Any, kinds: str) -> bool:
    """Tell whether `value` is, or holds, numbers of the `kinds` of dtypes."""
    if hasattr(_array(value), "dtype"):
        return np.dtype(_array(value).dtype).kind in kinds
    try:
        array = np.asarray(value)
    except (TypeError, ValueError):
        return False
    return array.dtype.kind in kinds or (not array.size and isinstance(value, tuple | list))


def _tensors(value: Any) -> bool:
    """Tell whether `value` can be made a tensor, or is a list of what can."""
    parts = value if isinstance(value, tuple | list) else ()
    return _numbers(value, "fiub") or (bool(parts) and all(map(_tensors, parts)))


def teach(module: ModuleType) -> None:
    """Have the public functions of `module`, those with an example, say what they cannot take."""
    for name, function in list(vars(module).items()):
        public = isinstance(function, FunctionType) and function.__module__ == module.__name__
        if public and ">>>" in (function.__doc__ or "") and name not in BARE:
            setattr(module, name, taught(function))


BARE = frozenset(
    (
        *("add", "sub", "div", "pow", "sum", "mean", "where", "linear", "softmax", "log_softmax"),
        *("reshape", "view", "transpose", "manual_seed"),
    )
)
"""Functions of each training step, in which the recorder alone tells what is wrong."""


def taught(function: F) -> F:
    """Return `function`, which says what it cannot take.

    >>> from tinygrad_fc.functional.refusals import taught
    >>> taught(lambda input, k: input[k])([1, 2], 0)
    1
    """

    def called(*args: Any, **kwargs: Any) -> Any:
        try:
            if several is not None and (not args or isinstance(args[0], node) is several):
                args, kwargs = fitted(function, args, kwargs)
            return function(*args, **kwargs)
        except raised as error:
            return refused(function, args, kwargs, error)

    raised, refused, fitted, node = RAISED, _refused, _fitted, Node
    # Of a tensor where several are wanted, or of another thing in place of one, a function may
    # make something. None: where the first argument may be anything.
    first = next(iter(inspect.signature(function).parameters.values()), None)
    several = {"Tensor": False, "Sequence[Tensor]": True}.get(str(first and first.annotation))
    # In the namespace of the function, by which doctest knows what belongs to a module.
    made = FunctionType(
        called.__code__, function.__globals__, function.__name__, None, called.__closure__
    )
    return functools.update_wrapper(made, function)  # type: ignore[return-value]


def _refused(function: Any, args: Any, kwargs: Any, error: Exception) -> Any:
    """Return what `function` makes of tensors in place of numbers; raise where it cannot."""
    name = function.__name__
    if error.__traceback__ is None or error.__traceback__.tb_next is None:
        raise error  # Python's own, of a call that does not fit the signature
    signature = inspect.signature(function)
    bound = signature.bind(*args, **kwargs)
    if not _teaches(error, name) and _made_tensors(signature, bound):
        try:
            return function(*bound.args, **bound.kwargs)
        except RAISED as again:
            error = again
    wrong = _at_fault(signature, bound)
    if wrong is not None:
        raise DtypeError(f"{name} needs {wrong}") from error
    if _teaches(error, name):
        raise error
    kind: type[Exception] = ShapeError
    if isinstance(error, IndexError | KeyError):
        kind = RangeError
    elif isinstance(error, AttributeError | TypeError):
        kind = DtypeError
    given, usage = _told(signature, bound)
    message = f"{name} cannot take {given}: {error}. It is called as {name}{usage}"
    raise kind(message) from error


def _fitted(function: Any, args: Any, kwargs: Any) -> tuple[Any, Any]:
    """Return the arguments with tensors in place of numbers; raise where they cannot be that."""
    signature = inspect.signature(function)
    try:
        bound = signature.bind(*args, **kwargs)
    except TypeError:
        return args, kwargs  # of which Python says best what is missing
    _made_tensors(signature, bound)
    wrong = _at_fault(signature, bound)
    if wrong is not None:
        raise DtypeError(f"{function.__name__} needs {wrong}")
    return bound.args, bound.kwargs


def _teaches(error: Exception, name: str) -> bool:
    return isinstance(error, RuntimeError) or re.match(rf"{name}\b", str(error)) is not None


def _wanted(signature: inspect.Signature, key: str) -> str:
    """Return what the argument `key` should be, a key of `KINDS` if that can be told."""
    parameter = signature.parameters[key]
    if parameter.kind is parameter.VAR_POSITIONAL and "Tensor" in str(parameter.annotation):
        return "Sequence[Tensor]"  # which may stand in place of them, too
    return str(parameter.annotation).removesuffix(" | None")


def _made_tensors(signature: inspect.Signature, bound: inspect.BoundArguments) -> bool:
    """Put tensors in place of numbers, lists and arrays where a tensor should be; tell whether."""
    made = False
    for key, value in bound.arguments.items():
        wanted, new = _wanted(signature, key), value
        if wanted == "Tensor":
            new = _tensor(value)
        elif wanted == "Sequence[Tensor]" and isinstance(value, tuple | list):
            new = tuple(map(_tensor, value))
            new = value if all(map(operator.is_, new, value)) else new
        made = made or new is not value
        bound.arguments[key] = new
    return made


def _tensor(value: Any) -> Any:
    if isinstance(value, Node) or not _numbers(value, "fiub"):
        return value
    return wrap(as_array(value))


def _at_fault(signature: inspect.Signature, bound: inspect.BoundArguments) -> str | None:
    """Say which argument is not what its annotation names; None where all are."""
    for key, value in bound.arguments.items():
        parameter = signature.parameters[key]
        words, fits = KINDS.get(_wanted(signature, key), ("", None))
        optional = value is None and str(parameter.annotation).endswith("| None")
        if fits and not (optional or value is parameter.default or fits(value)):
            return f"{words} for `{key}`, got {_shown(value)}"
    return None


def _shown(value: Any) -> str:
    return (
        f"{_array(value).dtype} of shape {value.shape}" if _has_shape(value) else f"{value!r:.60}"
    )


def _has_shape(value: Any) -> bool:
    return hasattr(_array(value), "dtype") and hasattr(value, "shape")


def _told(signature: inspect.Signature, bound: inspect.BoundArguments) -> tuple[str, str]:
    """Return the arguments as they were given, and how the function is called."""
    given = ", ".join(f"{key}: {_shown(value)}" for key, value in bound.arguments.items())
    plain = [p.replace(annotation=p.empty) for p in signature.parameters.values()]
    return given, str(signature.replace(parameters=plain, return_annotation=signature.empty))
