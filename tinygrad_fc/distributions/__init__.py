"""Probability distributions, under the names of `torch.distributions`."""

from tinygrad_fc.distributions import constraints as constraints
from tinygrad_fc.distributions import distribution as distribution
from tinygrad_fc.distributions import families as families
from tinygrad_fc.distributions import transforms as transforms
from tinygrad_fc.distributions.distribution import *
from tinygrad_fc.distributions.families import *
from tinygrad_fc.distributions.transforms import *
