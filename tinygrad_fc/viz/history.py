"""A training monitor: loss, gradient norms and saturated units, step by step."""

from __future__ import annotations

import itertools
from functools import partial
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from tinygrad_fc.core.errors import check_argument
from tinygrad_fc.core.seam import observer
from tinygrad_fc.nn import ReLU, Sigmoid, Tanh

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.figure import Figure

    from tinygrad_fc.nn import Module
    from tinygrad_fc.optim import Optimizer

__all__ = ["History"]

# Where an activation is so flat that its derivative is below a tenth of its largest.
SATURATED: dict[type[Module], Callable[[Any], Any]] = {
    Sigmoid: lambda y: y * (1 - y) < 0.025,
    Tanh: lambda y: 1 - y * y < 0.1,
    ReLU: lambda y: y == 0,
}


class History:
    """Records a training run by hooks on `model`, `criterion` and `optimizer`, until `close()`.

    After each `optimizer.step()`, `loss` has the last value of `criterion` (a loss module),
    `gradient_norms[path]` the Euclidean norm of the gradient of each layer with parameters (NaN
    where it has none), and `saturated[path]` the share, from 0 to 1, of saturated units of each
    Sigmoid, Tanh and ReLU in the last forward pass. It is a context manager, too. A compiled step
    shows it no values, and is refused: leave it uncompiled, or plot the losses that it returns.

    >>> import tinygrad_fc as tg
    >>> from tinygrad_fc import nn, optim
    >>> model, criterion = nn.Sequential(nn.Linear(1, 4), nn.Tanh(), nn.Linear(4, 1)), nn.MSELoss()
    >>> optimizer = optim.SGD(model.parameters(), lr=0.1)
    >>> x = tg.ones(3, 1)
    >>> with History(model, criterion, optimizer) as history:
    ...     for _ in range(5):
    ...         optimizer.zero_grad()
    ...         criterion(model(x), x).backward()
    ...         optimizer.step()
    >>> len(history.loss), list(history.gradient_norms), list(history.saturated)
    (5, ['0', '2'], ['1'])
    >>> history  # doctest: +ELLIPSIS
    <History of 5 steps, last loss ...>
    """

    def __init__(self, model: Module, criterion: Module, optimizer: Optimizer) -> None:
        is_module = hasattr(criterion, "register_forward_hook")
        expected = "a loss module, such as nn.MSELoss()"
        check_argument(is_module, "History", expected, criterion=criterion)
        self.loss: list[float] = []
        self.gradient_norms: dict[str, list[float]] = {}
        self.saturated: dict[str, list[float]] = {}
        self._last: dict[str | None, float] = {}  # of the loss, None, and of activations, by path
        self._layers: list[tuple[str, Module]] = []
        self._handles = [criterion.register_forward_hook(partial(self._on_call, None))]
        for path, module in model.named_modules():
            if any(True for _ in module.parameters(recurse=False)):
                self._layers.append((path, module))
                self.gradient_norms[path] = []
            if type(module) in SATURATED:
                self.saturated[path] = []
                self._handles.append(module.register_forward_hook(partial(self._on_call, path)))
        self._handles.append(optimizer.register_step_pre_hook(self._on_step))

    def __repr__(self) -> str:
        return f"<History of {len(self.loss)} steps, last loss {(self.loss or [np.nan])[-1]:.4g}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Remove the hooks; what was recorded stays."""
        for handle in self._handles:
            handle.remove()

    def _on_call(self, path: str | None, module: Module, _: Any, output: Any) -> None:
        if by := observer():
            by.once("viz.History records a call, and needs a step that is not compiled")
        self._last[path] = float(np.mean(SATURATED.get(type(module), np.mean)(output.numpy())))

    def _on_step(self, *_: Any) -> None:
        self.loss.append(self._last.get(None, float("nan")))
        for path, module in self._layers:
            own = (p.grad for p in module.parameters(recurse=False))
            gradients = [g.numpy() for g in own if g is not None]
            norm = np.sqrt(sum(float(np.vdot(g, g)) for g in gradients))
            self.gradient_norms[path].append(float(norm) if gradients else float("nan"))
        for path, shares in self.saturated.items():
            shares.append(self._last.get(path, float("nan")))

    def plot(self) -> Figure:
        """Return a figure of the three records over the steps; needs the extra `plot`.

        At the end of a cell of a notebook, write `history.plot();`: Matplotlib shows the figure,
        and without `;` the cell shows it again.
        """
        try:
            import matplotlib.pyplot as plt  # noqa: PLC0415  an optional dependency
        except ImportError as error:
            raise ImportError(
                "plotting needs matplotlib: pip install 'tinygrad-fc[plot]'"
            ) from error
        figure, (curve, norms, shares) = plt.subplots(1, 3, figsize=(12, 3.4), layout="constrained")
        curve.plot(self.loss, color="tab:blue")
        curve.set(title="loss", xlabel="step", yscale="log")
        for axes, title, records in (
            (norms, "gradient norm per layer", self.gradient_norms),
            (shares, "share of saturated units", self.saturated),
        ):
            styles = itertools.cycle(("-", "--", "-.", ":"))  # that differ without colour, too
            for style, (path, values) in zip(styles, records.items(), strict=False):
                axes.plot(values, style, label=path)
            axes.set(title=title, xlabel="step")
            if records:
                axes.legend(title="module", fontsize="small")
        norms.set(yscale="log")
        shares.set(ylim=(-0.02, 1.02))
        return figure
