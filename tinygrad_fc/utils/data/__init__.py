"""Datasets, samplers and the `DataLoader`, under PyTorch's names.

The modules are PyTorch's: `dataset`, `sampler`, `dataloader`, and `collate`, which turns samples
into a batch. Arrays, pandas' tables and scikit-learn's data are accepted directly. Data in arrays
are indexed a whole batch at a time.
"""

from tinygrad_fc.utils.data.collate import default_collate, default_convert
from tinygrad_fc.utils.data.dataloader import DataLoader, get_worker_info
from tinygrad_fc.utils.data.dataset import (
    ConcatDataset,
    Dataset,
    IterableDataset,
    Subset,
    TensorDataset,
    random_split,
)
from tinygrad_fc.utils.data.sampler import (
    BatchSampler,
    RandomSampler,
    Sampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)

__all__ = [
    "BatchSampler",
    "ConcatDataset",
    "DataLoader",
    "Dataset",
    "IterableDataset",
    "RandomSampler",
    "Sampler",
    "SequentialSampler",
    "Subset",
    "SubsetRandomSampler",
    "TensorDataset",
    "WeightedRandomSampler",
    "default_collate",
    "default_convert",
    "get_worker_info",
    "random_split",
]
