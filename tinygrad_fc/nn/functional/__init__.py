"""Layers, activations and losses as functions, under PyTorch's names: one family per module."""

from tinygrad_fc.ops.elementwise import *  # so that a new elementwise op is here as well

# isort: split
# These replace ops of the same name by functions with PyTorch's options, such as inplace.
from tinygrad_fc.nn.functional.activation import *  # type: ignore[assignment]
from tinygrad_fc.nn.functional.classification import *
from tinygrad_fc.nn.functional.layers import *
from tinygrad_fc.nn.functional.loss import *
