"""The errors that the package raises on its own account.

Each is also the built-in error that NumPy's users expect and the `RuntimeError` that PyTorch's
users expect, so that code written for either catches it.
"""

import numpy as np


class ShapeError(ValueError, RuntimeError):
    """Shapes that do not fit together, or that an operation or layer cannot take."""


class DtypeError(TypeError, RuntimeError):
    """A dtype that cannot do what was asked: integers that should have a gradient, say."""


class GraphError(RuntimeError):
    """A graph that cannot be walked: used already, changed since, or never recorded."""


class NoRuleError(TypeError):
    """A function that tensors were handed to and that the table of operations does not have."""


class AnomalyError(GraphError):
    """Under `detect_anomaly`: an operation returned a NaN or an infinity for finite arguments."""


class RangeError(ShapeError, IndexError):
    """An index or an axis that is not there."""


class LinAlgError(np.linalg.LinAlgError, RuntimeError):
    """A matrix that is singular, or not positive definite, where it has to be the contrary."""


class DivisionError(ZeroDivisionError, RuntimeError):
    """An integer division by 0, which has no integer result."""
