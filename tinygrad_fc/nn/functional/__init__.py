"""Layers, activations and losses as functions, in PyTorch's spelling: one family per module."""

from tinygrad_fc.ops.elementwise import *

# isort: split
# What follows has the options of a layer, such as inplace, where an op has the same name.
from tinygrad_fc.nn.functional.activation import *  # type: ignore[assignment]
from tinygrad_fc.nn.functional.classification import *
from tinygrad_fc.nn.functional.dropout import *
from tinygrad_fc.nn.functional.linear import *
from tinygrad_fc.nn.functional.margin import *
from tinygrad_fc.nn.functional.norm import *
from tinygrad_fc.nn.functional.regression import *
