"""Layers, activations and losses as functions, under PyTorch's names: one family per module."""

from tinygrad_fc.ops.elementwise import *  # so that a new elementwise op is here as well

# isort: split
from tinygrad_fc.nn.functional.activation import *
from tinygrad_fc.nn.functional.classification import *
from tinygrad_fc.nn.functional.layers import *
from tinygrad_fc.nn.functional.loss import *
