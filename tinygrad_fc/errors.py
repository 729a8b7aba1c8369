"""Errors of the package.

Each is also the built-in error that NumPy raises and the `RuntimeError` that PyTorch raises, so
that code written for either catches it.
"""

import numpy as np


class ShapeError(ValueError, RuntimeError):
    """Shapes that do not fit together, or that an op or a layer does not accept."""


class DtypeError(TypeError, RuntimeError):
    """A dtype that an op does not accept, such as integers that should have a gradient."""


class GraphError(RuntimeError):
    """A graph that has no backward pass: freed, changed in place since, or never recorded."""


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
    return DtypeError if isinstance(error, TypeError | AttributeError) else ShapeError
