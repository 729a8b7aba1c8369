"""Datasets, samplers and the `DataLoader`, under PyTorch's names.

The modules are those of PyTorch: `dataset`, `sampler` and `dataloader`. Arrays, pandas tables and
scikit-learn data are accepted directly. Arrays are indexed once per batch.
"""

from tinygrad_fc.utils.data.dataloader import *
from tinygrad_fc.utils.data.dataset import *
from tinygrad_fc.utils.data.sampler import *
