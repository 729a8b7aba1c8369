"""Datasets, samplers and the `DataLoader`, under PyTorch's names.

The modules are PyTorch's: `dataset`, `sampler`, `dataloader`, and `collate`, which turns samples
into a batch. Arrays, pandas' tables and scikit-learn's data are accepted directly. Data in arrays
are indexed a whole batch at a time.
"""

from tinygrad_fc.utils.data.collate import *
from tinygrad_fc.utils.data.dataloader import *
from tinygrad_fc.utils.data.dataset import *
from tinygrad_fc.utils.data.sampler import *
