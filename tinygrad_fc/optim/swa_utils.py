"""Averages of the parameters over training, with a schedule for them."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from tinygrad_fc.core.dtypes import int64
from tinygrad_fc.core.errors import check_argument
from tinygrad_fc.core.grad_mode import no_grad
from tinygrad_fc.core.node import Node
from tinygrad_fc.functional.creation import tensor
from tinygrad_fc.nn.module import Module
from tinygrad_fc.nn.norm import BatchNorm1d
from tinygrad_fc.optim.lr_scheduler import LRScheduler
from tinygrad_fc.optim.lr_scheduler.cyclic import ANNEALING
from tinygrad_fc.optim.optimizer import Range, require

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tinygrad_fc.optim.optimizer import Optimizer

__all__ = ["SWALR", "AveragedModel", "get_ema_multi_avg_fn", "update_bn"]


class AveragedModel(Module):
    """A copy of a model, `module`, whose parameters are averages of those of the model.

    `update_parameters(model)` adds the model to the mean; `avg_fn(average, parameter, n_averaged)`
    or `multi_avg_fn(averages, parameters, n_averaged)` returns or sets another average. Buffers are
    averaged, too, with `use_buffers`, else copied. Izmailov et al. (2018).

    >>> import tinygrad_fc as tg
    >>> model = tg.nn.Linear(1, 1, bias=False)
    >>> average = tg.optim.swa_utils.AveragedModel(model)
    >>> for value in (1.0, 3.0):
    ...     model.weight.data.fill_(value) and average.update_parameters(model)
    >>> average(tg.ones(1)).tolist()
    [2.0]
    """

    def __init__(
        self,
        model: Module,
        device: Any = None,
        avg_fn: Callable[..., Any] | None = None,
        multi_avg_fn: Callable[..., Any] | None = None,
        use_buffers: bool = False,
    ) -> None:
        super().__init__()
        check_argument(not (avg_fn and multi_avg_fn), "AveragedModel", "None", avg_fn=avg_fn)
        self.module = copy.deepcopy(model).to(device)
        self.register_buffer("n_averaged", tensor(0, dtype=int64))
        self.avg_fn, self.multi_avg_fn, self.use_buffers = avg_fn, multi_avg_fn, use_buffers

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Return the result of the averaged model."""
        return self.module(*args, **kwargs)

    def update_parameters(self, model: Module) -> None:
        """Add the parameters of `model` to the averages."""
        averages, values = (
            [*m.parameters(), *(m.buffers() if self.use_buffers else ())]
            for m in (self.module, model)
        )
        n: Any = self.n_averaged
        with no_grad():
            if self.multi_avg_fn is not None and n > 0:
                self.multi_avg_fn(averages, values, n)
            else:
                rule = self.avg_fn or _mean
                for average, value in zip(averages, values, strict=True):
                    average.copy_(rule(average, value, n) if n > 0 else value)
            if not self.use_buffers:
                for own, other in zip(self.module.buffers(), model.buffers(), strict=True):
                    own.copy_(other)
            n += 1


def _mean(average: Any, value: Any, n: Any) -> Any:
    return average + (value - average) / (n + 1)


def get_ema_multi_avg_fn(decay: float = 0.999) -> Callable[..., None]:
    """Return the `multi_avg_fn` of an exponential average: `decay * average + (1 - decay) * new`.

    >>> import tinygrad_fc as tg
    >>> average = tg.zeros(1)
    >>> tg.optim.swa_utils.get_ema_multi_avg_fn(0.75)([average], [tg.ones(1)], 1)
    >>> average
    tensor([0.25])
    """
    check_argument(0 <= decay <= 1, "get_ema_multi_avg_fn", "in [0, 1]", decay=decay)

    def update(averages: Iterable[Any], values: Iterable[Any], _: Any) -> None:
        for average, value in zip(averages, values, strict=True):
            if average.is_floating_point():
                average.lerp_(value, 1 - decay)
            else:
                average.copy_(value)

    return update


def update_bn(loader: Iterable[Any], model: Module, device: Any = None) -> None:
    """Set the running statistics of batch norms to the means over the batches of `loader`.

    If a batch is a list or tuple, its first item is the input.

    >>> import tinygrad_fc as tg
    >>> model = tg.nn.BatchNorm1d(1)
    >>> tg.optim.swa_utils.update_bn([tg.tensor([[1.0], [3.0]]), tg.tensor([[4.0], [4.0]])], model)
    >>> model.running_mean
    tensor([3.])
    """
    norms = [m for m in model.modules() if isinstance(m, BatchNorm1d)]
    momenta = [norm.momentum for norm in norms]
    if not norms:
        return
    was_training = model.training
    model.train()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
    with no_grad():
        for batch in loader:
            x: Any = batch if isinstance(batch, Node) else batch[0]
            model(x if device is None else x.to(device))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    model.train(was_training)


class SWALR(LRScheduler):
    """Moves each learning rate to `swa_lr` over `anneal_epochs` steps, and keeps it there.

    The path is half a cosine, or a line with `anneal_strategy="linear"`.

    >>> import tinygrad_fc as tg
    >>> optimizer = tg.optim.SGD([tg.ones(1, requires_grad=True)], lr=1.0)
    >>> scheduler = tg.optim.swa_utils.SWALR(optimizer, 0.5, 2, "linear")
    >>> optimizer.step()
    >>> scheduler.step()
    >>> scheduler.get_last_lr()
    [0.75]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        swa_lr: float,
        anneal_epochs: int = 10,
        anneal_strategy: str = "cos",
        last_epoch: int = -1,
    ) -> None:
        require(self, locals(), anneal_strategy=Range.of(*ANNEALING))
        for group in optimizer.param_groups:
            group["swa_lr"] = swa_lr
        self.anneal_epochs, self._strategy = anneal_epochs, anneal_strategy
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[Any]:
        """Return the learning rates of this step, from those of the step before."""
        step = max(self._step_count - 1, 0 if self.anneal_epochs else 1)
        before, now = (self._weight(k) for k in (step - 1, step))
        rates = []
        for group in self.optimizer.param_groups:
            lr, swa_lr = group["lr"], group["swa_lr"]
            initial = swa_lr if before == 1 else (lr - before * swa_lr) / (1 - before)
            rates.append(swa_lr * now + initial * (1 - now))
        return rates

    def _weight(self, step: int) -> float:
        t = max(0.0, min(1.0, step / max(1, self.anneal_epochs)))
        return float(ANNEALING[self._strategy](0.0, 1.0, t))
