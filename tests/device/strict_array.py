"""An array type that computes with NumPy and accepts only what CuPy's arrays accept.

A CuPy array never mixes with a NumPy array and never becomes one without `.get()`. The same holds
for a `StrictArray`. It offers the ufuncs, functions, methods and arguments that CuPy offers: CuPy,
which can be imported without a GPU, is asked for them; without CuPy, all of NumPy's are accepted.
An operation whose laws hold on this type runs on a GPU without a transfer to the host.
"""

import contextlib
import functools
import inspect
import re
import warnings
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np

cupy: ModuleType | None
try:
    with warnings.catch_warnings(action="ignore"):
        import cupy
except ImportError:
    cupy = None

LIBRARY: Any = np if cupy is None else cupy
DTYPES = frozenset("?bhilqBHILQefdFD")
"""The dtypes of CuPy by character: no long double, no objects, no strings."""
REDUCIBLE = frozenset({np.add, np.multiply})
ADDABLE = frozenset({np.add, np.subtract, np.maximum, np.minimum})  # have `at` in CuPy
BOUND = frozenset({"__call__", "reduce", "accumulate", "at"})
COMPARISONS = frozenset(
    {np.equal, np.not_equal, np.less, np.less_equal, np.greater, np.greater_equal}
)
ATOMIC = frozenset("iILQefdFD")
"""The dtypes with which CuPy's `add.at` works: those of CUDA's `atomicAdd`, not int64."""
TRANSFERS = frozenset({"asarray", "array"})
"""Functions that accept NumPy arrays and copy them to the device; all others raise."""


def strict(value: Any) -> Any:
    """Return `value` with strict arrays in place of NumPy arrays, also in tuples and lists."""
    if isinstance(value, np.ndarray | np.generic):
        return StrictArray(np.asarray(value))
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*map(strict, value))
    return type(value)(map(strict, value)) if isinstance(value, tuple | list) else value


def plain(value: Any, where: str) -> Any:
    """Return `value` with NumPy arrays in place of strict arrays; raise for NumPy arrays in it."""
    if isinstance(value, StrictArray):
        return value.array
    if isinstance(value, np.ndarray):
        raise TypeError(f"{where}: Unsupported type {np.ndarray} of shape {value.shape}")
    if isinstance(value, tuple | list):
        return type(value)(plain(v, where) for v in value)
    return {k: plain(v, where) for k, v in value.items()} if isinstance(value, dict) else value


def host(value: Any) -> Any:
    """Return an index with NumPy arrays in place of strict arrays; CuPy accepts both."""
    if isinstance(value, tuple | list):
        return type(value)(map(host, value))
    return value.array if isinstance(value, StrictArray) else value


@functools.cache
def parameters(method: str) -> tuple[str, ...] | None:
    """Return the names of the parameters of a method of CuPy's arrays, None for any number."""
    text = "" if cupy is None else getattr(cupy.ndarray, method).__doc__.partition("\n")[0]
    signature = re.search(r"\(self,?\s*(.*)\)", text)
    if signature is None or "*" in signature[1]:
        return None
    return tuple(
        part.partition("=")[0].split()[-1] for part in signature[1].split(",") if part.strip()
    )


class Device:
    """A GPU by its number, by default the current one; results are created on that."""

    current = 0

    def __init__(self, number: int | None = None) -> None:
        self.id = Device.current if number is None else number

    def use(self) -> None:
        """Make this GPU the current one."""
        Device.current = self.id

    def __enter__(self) -> None:
        self.before = Device.current
        self.use()

    def __exit__(self, *_: object) -> None:
        Device.current = self.before


class StrictArray(np.lib.mixins.NDArrayOperatorsMixin):
    """A NumPy array that computes with arrays of its own type and numbers only."""

    __array_priority__ = 100
    __hash__ = None  # type: ignore[assignment]

    array: Any

    def __init__(self, array: Any) -> None:
        self.array = np.asarray(array)
        self.device = Device()
        if self.array.dtype.char not in DTYPES:
            raise TypeError(f"Unsupported dtype {self.array.dtype}")

    # Protocols

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError("Implicit conversion to a NumPy array is not allowed. Please use `.get()`")

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        name = ufunc.__name__
        known = all(isinstance(a, OPERANDS) for a in inputs)
        if not known or not hasattr(LIBRARY, name) or method not in BOUND:
            return NotImplemented
        legal = {"__call__": {"dtype", "casting", "out"}}.get(method, {"axis", "dtype", "keepdims"})
        allowed = {"reduce": REDUCIBLE, "accumulate": REDUCIBLE, "at": ADDABLE}.get(method, {ufunc})
        if not kwargs.keys() <= legal or ufunc not in allowed:
            raise NotImplementedError(f"`cupy_{name}.{method}` of {', '.join(kwargs)}")
        out = kwargs.pop("out", ())
        if method == "at":
            if inputs[0].dtype.char not in ATOMIC:
                raise TypeError(f"`cupy_{name}.at` of {inputs[0].dtype}")
            inputs = (inputs[0], host(inputs[1]), *inputs[2:])
            return ufunc.at(*(a if k == 1 else plain(a, name) for k, a in enumerate(inputs)))
        if ufunc in COMPARISONS:
            inputs = tuple(
                a.item() if isinstance(a, np.ndarray) and not a.ndim else a for a in inputs
            )
        kwargs |= {"out": plain(out, name)} if out else {}
        result = getattr(ufunc, method)(*plain(inputs, name), **kwargs)
        return out[0] if len(out) == 1 else strict(result)

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        try:
            path = func.__module__.split(".")[1:]
            same = getattr(functools.reduce(getattr, path, LIBRARY), func.__name__)
        except AttributeError:
            return NotImplemented
        if any(kind not in {StrictArray, np.ndarray} for kind in types):
            return NotImplemented
        with contextlib.suppress(ValueError):  # NumPy's functions in C have a signature since 2.4
            inspect.signature(same).bind(*args, **kwargs)
        if func.__name__ in TRANSFERS:
            args, kwargs = host(args), {k: host(v) for k, v in kwargs.items()}
        else:
            args, kwargs = plain(args, func.__name__), plain(kwargs, func.__name__)
        return strict(func(*args, **kwargs))

    def __dlpack_device__(self) -> tuple[int, int]:
        return (2, 0)  # CUDA, by which the package recognises an array that is not NumPy's

    # Elements

    def __getitem__(self, at: Any) -> Any:
        return strict(self.array[host(at)])

    def __setitem__(self, at: Any, value: Any) -> None:
        self.array[host(at)] = plain(value, "assignment")

    def get(self) -> Any:
        """Return the NumPy array."""
        return self.array

    # Attributes

    @property
    def flags(self) -> Any:
        """The flags that CuPy has: not `writeable`."""
        flags = self.array.flags
        return SimpleNamespace(
            c_contiguous=flags.c_contiguous, f_contiguous=flags.f_contiguous, owndata=flags.owndata
        )

    @property
    def base(self) -> Any:
        """The NumPy array, by which aliases are recognised."""
        return self.array


OPERANDS = (StrictArray, np.ndarray, np.generic, int, float, list, tuple)


def _method(name: str) -> Any:
    def method(self: StrictArray, *args: Any, **kwargs: Any) -> Any:
        known = parameters(name)
        if known is not None and (len(args) > len(known) or not kwargs.keys() <= {*known}):
            raise TypeError(f"{name}() takes {known}, got {len(args)} and {', '.join(kwargs)}")
        function = getattr(self.array, name)
        return strict(function(*plain(args, name), **plain(kwargs, name)))

    return method


_METHODS = (
    *("all", "any", "argmax", "argmin", "argsort", "astype", "clip", "copy", "cumprod", "cumsum"),
    *("diagonal", "dot", "fill", "flatten", "max", "mean", "min", "nonzero", "prod", "ravel"),
    *("repeat", "reshape", "round", "sort", "squeeze", "std", "sum", "swapaxes", "take", "trace"),
    *("transpose", "var", "view"),
)
_ON_THE_HOST = ("__bool__", "__float__", "__int__", "__len__", "__repr__", "item", "tolist")
_ATTRIBUTES = ("T", "dtype", "itemsize", "mT", "nbytes", "ndim", "shape", "size", "strides")
for _name in _METHODS:
    setattr(StrictArray, _name, _method(_name))
for _name in _ON_THE_HOST:
    setattr(StrictArray, _name, lambda self, name=_name: getattr(self.array, name)())
for _name in _ATTRIBUTES:
    setattr(
        StrictArray, _name, property(lambda self, name=_name: strict(getattr(self.array, name)))
    )
