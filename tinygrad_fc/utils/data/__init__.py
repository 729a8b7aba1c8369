"""Datasets, samplers and the `DataLoader`, under PyTorch's names.

The modules are those of PyTorch: `dataset`, `sampler`, `dataloader`, and `collate`, which converts
samples to a batch. Arrays, pandas tables and scikit-learn data are accepted directly. Arrays are
indexed once per batch.
"""

from tinygrad_fc.utils.data.collate import *
from tinygrad_fc.utils.data.dataloader import *
from tinygrad_fc.utils.data.dataset import *
from tinygrad_fc.utils.data.sampler import *
