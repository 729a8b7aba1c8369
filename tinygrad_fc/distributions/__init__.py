"""Probability distributions, under the names of `torch.distributions`."""

from tinygrad_fc.core.lazy import lazy_names
from tinygrad_fc.distributions import constraints as constraints
from tinygrad_fc.distributions import distribution as distribution
from tinygrad_fc.distributions import families as families
from tinygrad_fc.distributions import transforms as transforms
from tinygrad_fc.distributions.distribution import *
from tinygrad_fc.distributions.families import *
from tinygrad_fc.distributions.transforms import *

# PyTorch's module paths, which `compat.paths` leads to the modules of this package
_PATHS = ["bernoulli", "beta", "categorical", "gumbel", "independent", "kl", "log_normal"]
_PATHS += ["multivariate_normal", "normal", "relaxed_categorical", "transformed_distribution"]
_PATHS += ["uniform"]
__getattr__ = lazy_names(__name__, {name: name for name in _PATHS})
