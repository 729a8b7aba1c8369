"""Conversion and checks of arguments: tensors, arrays, shapes and axes."""

from __future__ import annotations

import functools
import inspect
from operator import index
from types import FunctionType
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar

from tinygrad_fc.core.device import CPU, device_of, move_to_device, refuse_dask
from tinygrad_fc.core.device import device as as_device
from tinygrad_fc.core.dtypes import get_default_dtype, real_dtype
from tinygrad_fc.core.errors import DtypeError, RangeError, error_class
from tinygrad_fc.core.node import Node, as_array, leaf_of
from tinygrad_fc.core.op import rename_settings, without_factor
from tinygrad_fc.core.pytree import flatten, mapped

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tinygrad_fc.tensors import Tensor

F = TypeVar("F", bound="Callable[..., Any]")


def as_shape(sizes: tuple[Any, ...], size: Any = None) -> tuple[int, ...]:
    """Return a shape from integers, or from one sequence of them: `sizes` or `size`."""
    if size is not None:
        if sizes:
            raise TypeError(f"got the sizes {sizes!r:.60} and size={size!r:.60}; pass one of them")
        sizes = (size,)
    try:
        if len(sizes) == 1 and not hasattr(sizes[0], "__index__"):
            sizes = tuple(sizes[0])
        return tuple(index(n) for n in sizes)
    except TypeError as error:
        raise DtypeError(
            f"sizes, dims and shifts must be integers or a tuple of integers, got {sizes!r:.60}"
        ) from error


def normalize_dim(dim: int, ndim: int, what: str) -> int:
    """Return `dim` as an index from 0 to `ndim` - 1; raise `RangeError` if it is out of range."""
    if not hasattr(dim, "__index__"):
        raise DtypeError(f"{what}: dim must be an integer, got {dim!r:.60}")
    if not -ndim <= dim < ndim:
        raise RangeError(f"{what}: dim {dim} is out of range; expected {-ndim} to {ndim - 1}")
    return dim % ndim


# Functions that create tensors


class Options(TypedDict, total=False):
    """Options of functions that create tensors; the last three have no effect."""

    dtype: Any
    device: Any
    requires_grad: bool
    layout: Any
    memory_format: Any
    pin_memory: bool


def created(array: Any, options: Options) -> Tensor:
    """Return a tensor around `array`, which has the dtype, with the other options."""
    for name in options:
        if name not in Options.__annotations__:
            raise TypeError(f"unexpected keyword argument {name!r}")
    device = options.get("device")
    t = leaf_of(array if device is None else move_to_device(array, as_device(device)))
    if (requires_grad := options.get("requires_grad")) not in (None, False):
        t.requires_grad = requires_grad
    return t


def dtype_in(options: Options, default: Any = None) -> Any:
    """Return the dtype in `options`, by default `default` or the default float dtype."""
    return real_dtype(options.get("dtype") or default or get_default_dtype())


def options_like(input: Any, options: Options) -> Any:
    """Return `options` with the dtype and the device of `input` where there are none."""
    chosen = {name: value for name, value in options.items() if value is not None}
    return {"dtype": input.dtype, "device": device_of(input), **chosen}


# Functions that accept arrays, lists and numbers in place of tensors


def accepts_arrays(
    *tensors: str, sequence: str = "", variadic: bool = False, factor: str = ""
) -> Callable[[F], F]:
    """Return a decorator: arrays, lists and numbers are accepted in place of tensors, and `out=`.

    `tensors` names the parameters that get tensors, `sequence` the one that gets several of them,
    and `variadic` says that `*args` are tensors. The setting `factor` is accepted as the second
    argument too, as in early PyTorch. `out` is a tensor to which the result is copied;
    NumPy's names of settings are accepted. Any other argument raises `DtypeError`. An error that
    Python or NumPy raises inside is raised as an error of this package, whose message shows the
    signature. What CuPy lacks is computed on the CPU for a tensor on a GPU.

    Functions that training steps call are not decorated: their ops raise clear errors.
    """

    def decorate(function: F) -> F:
        return _accepting_arrays(function, tensors, sequence, factor, variadic=variadic)

    return decorate


def _accepting_arrays(
    function: F, tensors: Sequence[str], sequence: str, factor: str, *, variadic: bool
) -> F:
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        out = None
        try:
            for i, name, convert, unchanged in converted:
                if i < len(args):
                    if not isinstance(args[i], unchanged):
                        args = (*args[:i], convert(args[i], name, called), *args[i + 1 :])
                elif name in kwargs:
                    kwargs[name] = convert(kwargs[name], name, called)
            if kwargs or rest:
                args = prepared(args, kwargs)
            out = kwargs.pop("out", None)
            result = function(*args, **kwargs)
        except errors as error:
            result = handled(error, function, converting, factor, args, kwargs)
        return result if out is None else out.copy_(result)

    called, handled, code = function.__name__, _handled, function.__code__
    errors = (RuntimeError, TypeError, ValueError, LookupError, AttributeError, OverflowError)
    converted = [(code.co_varnames.index(name), name, _tensor, Node) for name in tensors]
    if sequence:
        converted.append((code.co_varnames.index(sequence), sequence, _sequence, ()))  # type: ignore[arg-type]
    rest = code.co_varnames[code.co_argcount + code.co_kwonlyargcount] if variadic else ""
    prepared = functools.partial(_prepared, function, rest)
    # With the globals of `function`: doctest compares them to find the functions of a module.
    converting = FunctionType(
        wrapper.__code__, function.__globals__, function.__name__, None, wrapper.__closure__
    )
    return functools.update_wrapper(converting, function)  # type: ignore[return-value]


def _handled(
    error: Exception, function: Any, call: Any, factor: str, args: Any, kwargs: Any
) -> Any:
    """Return the result of `call` on the CPU if an argument is on a GPU; else raise the error."""
    devices = map(device_of, flatten((args, kwargs))[0])
    gpu = next((where for where in devices if where != CPU), None)
    if gpu is not None and not function.__name__.endswith("_"):
        return _moved(call(*_moved(args, CPU), **_moved(kwargs, CPU)), gpu)
    # Without an inner frame, the arguments do not fit the signature.
    inner = error.__traceback__ and error.__traceback__.tb_next
    if inner is None and factor and len(args) == 4 and not kwargs:
        return call(*without_factor(function.__name__, factor, args, kwargs), **kwargs)
    if inner is None or isinstance(error, RuntimeError):
        try:
            raise error
        finally:
            del error  # its traceback has this frame: a cycle would keep tensors alive
    raise _translated(function, error) from error


def _moved(value: Any, where: Any) -> Any:
    """Return the pytree `value` with its tensors on a device."""
    return mapped(lambda v: v.to(where) if isinstance(v, Node) else v, value)  # type: ignore[attr-defined]


def _tensor(value: Any, name: str, function: str) -> Any:
    if isinstance(value, Node):
        return value
    refuse_dask(value, function)
    try:
        return leaf_of(as_array(value))
    except TypeError as error:
        raise DtypeError(f"{function} needs a tensor for `{name}`, got {value!r:.60}") from error


def _sequence(value: Any, name: str, function: str) -> Any:
    if isinstance(value, tuple | list):
        return [_tensor(v, name, function) for v in value]
    raise DtypeError(
        f"{function} needs a list or tuple of tensors, [x, y], for `{name}`, got {value!r:.60}"
    )


def _prepared(
    function: Any, rest: str, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[Any, ...]:
    """Return `args` with tensors for `*rest`, or the elements of one list; rename `kwargs`."""
    code, name = function.__code__, function.__name__
    start = code.co_argcount
    rename_settings(name, kwargs, code.co_varnames[: start + code.co_kwonlyargcount])
    if not rest:
        return args
    single = len(args) == start + 1 and isinstance(args[start], tuple | list)
    convert = _sequence if single else _tensor
    return (*args[:start], *(convert(v, rest, name) for v in args[start:]))


def _translated(function: Any, error: Exception) -> Exception:
    signature, name = inspect.signature(function), function.__name__
    plain = [p.replace(annotation=p.empty) for p in signature.parameters.values()]
    usage = signature.replace(parameters=plain, return_annotation=signature.empty)
    return error_class(error)(
        f"{name} cannot take these arguments: {error}. Its signature is {name}{usage}"
    )
