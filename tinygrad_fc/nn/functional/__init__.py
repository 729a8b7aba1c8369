"""Layers, activations and losses as functions, under PyTorch's names: one family per module."""

from types import FunctionType

from tinygrad_fc.ops.arithmetic import *
from tinygrad_fc.ops.elementwise import *  # so that a new elementwise op is here as well
from tinygrad_fc.ops.trigonometry import *

# isort: split
from tinygrad_fc.nn.functional.activation import *
from tinygrad_fc.nn.functional.classification import *
from tinygrad_fc.nn.functional.layers import *
from tinygrad_fc.nn.functional.loss import *
from tinygrad_fc.nn.functional.loss import accepts_size_average as _accepts_size_average
from tinygrad_fc.nn.functional.normalization import *

for _name, _function in list(globals().items()):
    if isinstance(_function, FunctionType):
        _code = _function.__code__
        if "reduction" in _code.co_varnames[: _code.co_argcount]:  # of its parameters
            globals()[_name] = _accepts_size_average(_function)
