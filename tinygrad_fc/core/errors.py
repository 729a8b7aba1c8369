"""Errors of the package.

Each is also the built-in error that NumPy raises and the `RuntimeError` that PyTorch raises, so
that code written for either catches it.
"""

import warnings
from typing import Any

import numpy as np


class ShapeError(ValueError, RuntimeError):
    """Shapes that do not fit together, or that an op or a layer does not accept."""


class ArgumentError(ValueError, RuntimeError):
    """A value that a function does not accept, such as a negative standard deviation."""


class DtypeError(TypeError, RuntimeError):
    """A dtype that an op does not accept, such as integers that should have a gradient."""


class GraphError(RuntimeError):
    """A graph that has no backward pass: freed, changed in place since, or never recorded."""


class InPlaceError(GraphError):
    """Raised for a change in place that would lose or spoil a gradient."""


class NoRuleError(TypeError):
    """A function of arrays that is no registered op, called with tensors."""


class AnomalyError(GraphError):
    """Under `detect_anomaly`: an operation returned a NaN or an infinity for finite arguments."""


class RangeError(ShapeError, IndexError):
    """An index or an axis out of range."""


class LinAlgError(np.linalg.LinAlgError, RuntimeError):
    """A matrix that is singular, or not positive definite."""


class DivisionError(ZeroDivisionError, RuntimeError):
    """An integer division by 0, which has no integer result."""


def error_class(error: Exception) -> type[Exception]:
    """Return the class of this package for an error that Python or NumPy raised."""
    if isinstance(error, IndexError | KeyError):  # NumPy's AxisError is one, too
        return RangeError
    if isinstance(error, np.linalg.LinAlgError):
        return LinAlgError
    if isinstance(error, ArgumentError):
        return ArgumentError
    return DtypeError if isinstance(error, TypeError | AttributeError) else ShapeError


def check_argument(condition: bool, function: str, expected: Any, **argument: Any) -> None:
    """Raise `ArgumentError` unless `condition`; `expected` is a phrase or a tuple of choices."""
    if not condition:
        ((name, value),) = argument.items()
        choices = expected if isinstance(expected, str) else f"one of {', '.join(expected)}"
        raise ArgumentError(f"{function}: {name} is {value!r:.80}, expected {choices}")


def check_shapes(fit: bool, function: str, expected: str, *tensors: Any) -> None:
    """Raise `ShapeError` with the shapes of `tensors` unless they `fit`; `expected` is a phrase."""
    if not fit:
        shapes = " and ".join(str(tuple(np.shape(x))) for x in tensors)
        raise ShapeError(f"{function}: got shape {shapes}; expected {expected}")


def check_dtypes(fit: bool, function: str, expected: str, *tensors: Any) -> None:
    """Raise `DtypeError` with the dtypes of `tensors` unless they `fit`; `expected` is a phrase."""
    if not fit:
        dtypes = " and ".join(str(x.dtype) for x in tensors)
        raise DtypeError(f"{function}: got dtype {dtypes}; expected {expected}")


def warn_deprecated(message: str, stacklevel: int = 3) -> None:
    """Warn of an old form, as PyTorch does."""
    warnings.warn(message, UserWarning, stacklevel=stacklevel)
