"""Layers, activations and losses as functions, in PyTorch's spelling: one family per module."""

from typing import TYPE_CHECKING

from tinygrad_fc.absent import absent
from tinygrad_fc.nn.functional.activation import *
from tinygrad_fc.nn.functional.classification import *
from tinygrad_fc.nn.functional.dropout import *
from tinygrad_fc.nn.functional.linear import *
from tinygrad_fc.nn.functional.margin import *
from tinygrad_fc.nn.functional.norm import *
from tinygrad_fc.nn.functional.regression import *

if not TYPE_CHECKING:  # a type checker would accept every name

    def __getattr__(name: str) -> None:
        raise absent(__name__, name)
