"""Datasets, the orders in which to read them, and the loader that makes batches of them.

Under PyTorch's names, in PyTorch's modules: `dataset`, `sampler`, `dataloader`; `collate` is how
samples become a batch. Arrays, pandas and scikit-learn's data go straight in. What lies in arrays
is indexed a whole batch at a time, which costs what NumPy's own indexing costs.
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
