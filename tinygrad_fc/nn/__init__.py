"""Layers, containers and losses, under PyTorch's names."""

from tinygrad_fc.nn import functional as functional
from tinygrad_fc.nn import init as init
from tinygrad_fc.nn import utils as utils
from tinygrad_fc.nn.activation import *
from tinygrad_fc.nn.container import *
from tinygrad_fc.nn.layer_error import *
from tinygrad_fc.nn.linear import *
from tinygrad_fc.nn.loss import *
from tinygrad_fc.nn.module import *
from tinygrad_fc.nn.norm import *
from tinygrad_fc.nn.parameter import *
