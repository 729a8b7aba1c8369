"""Pruning: weights multiplied by masks of 0 and 1, under the names of `torch.nn.utils.prune`.

A pruned parameter is a property, `<name>_mask * <name>_orig`. `amount` is a number of elements, or
a share of those that are not pruned yet. The functions return the module.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_fc.core.errors import check_argument
from tinygrad_fc.functional.creation import as_tensor
from tinygrad_fc.nn.utils.parametrize import derive, restore
from tinygrad_fc.random import rng_of

__all__ = ["custom_from_mask", "is_pruned", "l1_unstructured", "random_unstructured"]
__all__ += ["remove"]


def custom_from_mask(module: Any, name: str, mask: Any) -> Any:
    """Set the elements of a parameter to 0 where `mask` is 0, in addition to those that are.

    >>> import tinygrad_fc as tg
    >>> layer = custom_from_mask(tg.nn.Linear(2, 1), "weight", tg.tensor([[0.0, 1.0]]))
    >>> layer.weight[0, 0].item() == 0
    True
    """
    parameter = getattr(module, name)
    if f"{name}_mask" in module._buffers:
        mask = mask * module._buffers[f"{name}_mask"]
    else:
        delattr(module, name)
        module.register_parameter(f"{name}_orig", parameter)
        derive(module, name, lambda m: m._buffers[f"{name}_mask"] * m._parameters[f"{name}_orig"])
    module.register_buffer(f"{name}_mask", mask.to(parameter.dtype))
    return module


def _unstructured(module: Any, name: str, amount: float, importance: Any) -> Any:
    """Prune the elements of least importance, an array."""
    mask = module._buffers.get(f"{name}_mask", getattr(module, name) * 0 + 1)
    mask = mask.detach().numpy().copy()
    (remaining,) = mask.reshape(-1).nonzero()
    most = remaining.size if isinstance(amount, int) else 1
    fits = 0 <= amount <= most
    check_argument(fits, "prune", "a share in [0, 1] or a number of elements", amount=amount)
    count = amount if isinstance(amount, int) else round(amount * remaining.size)
    order = np.argsort(importance.reshape(-1)[remaining], kind="stable")
    mask.reshape(-1)[remaining[order[:count]]] = 0
    return custom_from_mask(module, name, as_tensor(mask))


def random_unstructured(module: Any, name: str, amount: float) -> Any:
    """Prune random elements.

    >>> import tinygrad_fc as tg
    >>> int((random_unstructured(tg.nn.Linear(4, 2), "weight", 0.25).weight == 0).sum())
    2
    """
    return _unstructured(module, name, amount, rng_of(None).random(getattr(module, name).shape))


def l1_unstructured(module: Any, name: str, amount: float, importance_scores: Any = None) -> Any:
    """Prune the elements of least absolute value, of the parameter or of `importance_scores`.

    >>> import tinygrad_fc as tg
    >>> layer = tg.nn.Linear(2, 1)
    >>> _ = layer.weight.data.copy_(tg.tensor([[-3.0, 2.0]]))
    >>> l1_unstructured(layer, "weight", 1).weight.tolist()
    [[-3.0, 0.0]]
    """
    scores = getattr(module, name) if importance_scores is None else importance_scores
    return _unstructured(module, name, amount, np.abs(scores.detach().numpy()))


def remove(module: Any, name: str) -> Any:
    """Make the pruned values permanent; raises `ValueError` for a parameter that is not pruned.

    >>> from tinygrad_fc import nn
    >>> layer = nn.utils.prune.l1_unstructured(nn.Linear(2, 2), "weight", amount=1)
    >>> layer = nn.utils.prune.remove(layer, "weight")
    >>> (layer.weight == 0).sum().item(), nn.utils.prune.is_pruned(layer)
    (1, False)
    """
    check_argument(hasattr(module, f"{name}_mask"), "prune", "a pruned parameter", name=name)
    return restore(module, name, getattr(module, name), "orig", "mask")


def is_pruned(module: Any) -> bool:
    """Return whether a parameter of `module`, or of a module below it, is pruned.

    >>> from tinygrad_fc import nn
    >>> layer = nn.utils.prune.l1_unstructured(nn.Linear(2, 2), "weight", amount=1)
    >>> nn.utils.prune.is_pruned(layer)
    True
    """
    return any(
        name.endswith("_mask") and f"{name.removesuffix('_mask')}_orig" in part._parameters
        for part in module.modules()
        for name in part._buffers
    )
