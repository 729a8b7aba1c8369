"""Probability distributions, under the names of `torch.distributions`.

PyTorch's other module paths, such as `distributions.normal`, lead to the modules of this package.
"""

import sys

from tinygrad_fc.distributions import constraints as constraints
from tinygrad_fc.distributions import distribution as distribution
from tinygrad_fc.distributions import families as families
from tinygrad_fc.distributions import transforms as transforms
from tinygrad_fc.distributions.distribution import *
from tinygrad_fc.distributions.families import *
from tinygrad_fc.distributions.transforms import *

_names = ("bernoulli", "beta", "categorical", "gumbel", "multivariate_normal", "normal", "uniform")
_paths = {"kl": distribution, "relaxed_categorical": families, **dict.fromkeys(_names, families)}
_paths |= dict.fromkeys(("independent", "log_normal", "transformed_distribution"), transforms)
for _name, _module in _paths.items():
    globals()[_name] = sys.modules[f"{__name__}.{_name}"] = _module
