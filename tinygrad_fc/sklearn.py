"""Estimators of scikit-learn around a module: `NetClassifier` and `NetRegressor`.

They need scikit-learn: `pip install 'tinygrad-fc[sklearn]'`. They have what scikit-learn's own
networks lack: own layers, losses and optimizers, dropout, embeddings of categories, schedules and
compiled steps.
"""

from __future__ import annotations

import copy
from dataclasses import KW_ONLY, dataclass
from functools import partial
from inspect import signature
from itertools import chain, pairwise
from operator import index
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, MultiOutputMixin, RegressorMixin
from sklearn.utils import check_random_state, compute_sample_weight
from sklearn.utils.multiclass import _check_partial_fit_first_call, check_classification_targets
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data
from tqdm.auto import tqdm

from tinygrad_fc import autograd, nn, optim, random
from tinygrad_fc.compiler import compile as compiled
from tinygrad_fc.core.errors import check_argument, check_shapes
from tinygrad_fc.functional import creation, joining
from tinygrad_fc.optim.optimizer import COUNT, Range, require

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tinygrad_fc.tensors import Tensor

__all__ = ["MLP", "NetClassifier", "NetRegressor"]


def _builds(value: Any) -> bool:
    return value is None or (callable(value) and not isinstance(value, nn.Module))


def _has_reduction(loss: Any) -> bool:  # `require` takes the TypeError of `bind` for a refusal
    return isinstance(loss, nn.Module) or bool(signature(loss).bind(0, 0, reduction="none"))


_SETTINGS = {
    "module": Range(_builds, "a class or function of (inputs, outputs) that builds it"),
    "loss": Range(lambda v: v is None or callable(v), "a function, or a module as nn.MSELoss()"),
    "optimizer": Range(callable, "a class or function of the parameters and lr, as optim.Adam"),
    "schedule": Range(_builds, "a function of the optimizer"),
    "hidden": Range(np.iterable, "a tuple of widths"),
    "batch_size": COUNT,
    "max_epochs": Range(lambda v: index(v) >= 0, "an integer of at least 0"),
    "validation_fraction": Range(lambda v: 0 <= v < 1, "at least 0 and below 1"),
}
_LOSS_OF_ROWS = Range(_has_reduction, "a function with `reduction`, since there are weights")


class MLP(nn.Module):
    """Linear layers with ReLU and dropout between them, in float32, behind embeddings.

    The input is (N, inputs). A column in `categories`, which maps columns to their numbers n of
    codes, holds codes from 0 to n - 1, and is replaced by a learned vector of at most 16 numbers.

    >>> import tinygrad_fc as tg
    >>> MLP(3, 2, hidden=(8,), categories={1: 5})(tg.zeros(4, 3, dtype=tg.float32)).shape
    Size([4, 2])
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        hidden: Sequence[int] = (100,),
        dropout: float = 0.0,
        categories: Mapping[int, int] | None = None,
    ) -> None:
        super().__init__()
        self.categories = dict(categories or {})
        self.numbers = [k for k in range(inputs) if k not in self.categories]
        sizes = [(n, min(16, (n + 1) // 2)) for n in self.categories.values()]
        self.embeddings = nn.ModuleList(nn.Embedding(n, size) for n, size in sizes)
        widths = [len(self.numbers) + sum(size for _, size in sizes), *hidden]
        layers = [(nn.Linear(*w), nn.ReLU(), nn.Dropout(dropout)) for w in pairwise(widths)]
        self.layers = nn.Sequential(*chain(*layers), nn.Linear(widths[-1], outputs))
        self.float()

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs (N, outputs)."""
        if self.categories:
            columns = zip(self.categories, self.embeddings, strict=True)
            vectors = [embed(x[:, k].long()) for k, embed in columns]
            x = joining.cat([x[:, self.numbers], *vectors], 1)
        return self.layers(x)


@dataclass(eq=False, repr=False)
class _Net(BaseEstimator):  # type: ignore[misc]
    """Base of both estimators: the training loop."""

    module: Callable[..., nn.Module] | None = None
    _: KW_ONLY
    hidden: Sequence[int] = (100,)
    dropout: float = 0.0
    loss: Callable[..., Tensor] | None = None
    optimizer: Callable[..., optim.Optimizer] = optim.Adam
    lr: float = 1e-3
    weight_decay: float | None = None
    schedule: Callable[[optim.Optimizer], optim.lr_scheduler.LRScheduler] | None = None
    batch_size: int = 200
    max_epochs: int = 200
    validation_fraction: float = 0.0
    patience: int = 10
    warm_start: bool = False
    verbose: bool = False
    compile: bool = False
    random_state: Any = None

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train for `max_epochs` on X (N, features) and y (N,), a regressor also (N, outputs).

        With a `validation_fraction`, training stops after more than `patience` epochs without a
        lower loss on that part of the data, and the parameters with the lowest loss are restored.
        `warm_start` keeps the module and the history; the optimizer is new, with the present
        settings.
        """
        for name in ["optimizer_"] if self.warm_start else [n for n in vars(self) if n[-1] == "_"]:
            self.__dict__.pop(name, None)
        return self._fit(X, y, sample_weight, self.max_epochs)

    def _fit(self, X: Any, y: Any, sample_weight: Any, epochs: int) -> Self:
        fresh = not hasattr(self, "module_")
        require(self, vars(self), **_SETTINGS)
        regressor = isinstance(self, RegressorMixin)
        X, y = self._validated(X, y, fresh=fresh, y_numeric=regressor, multi_output=regressor)
        class_weight, weights = getattr(self, "class_weight", None), None
        if sample_weight is not None or class_weight is not None:
            require(self, {"loss": self.loss or self._default_loss}, loss=_LOSS_OF_ROWS)
            by_class = 1 if class_weight is None else compute_sample_weight(class_weight, y)
            weights = _check_sample_weight(sample_weight, X, dtype=np.float32) * by_class
        targets, self._width = self._targets(y, weights)
        data = [X, targets, *([] if weights is None else [weights.astype(np.float32)])]
        if fresh:
            seed = check_random_state(self.random_state).randint(2**31)
            self._generator = random.Generator().manual_seed(int(seed))
            build: Any = self.module or partial(MLP, hidden=self.hidden, dropout=self.dropout)
            # One more code stands for categories that the training data lack.
            sizes = {k: len(names) + 1 for k, names in self.categories_.items()}
            options = {"categories": sizes} if sizes else {}
            with random.drawing_from(self._generator):
                self.module_ = build(X.shape[1], self._width, **options)
            self.history_: list[dict[str, float]] = []
        if not hasattr(self, "optimizer_"):
            settings = {} if self.weight_decay is None else {"weight_decay": self.weight_decay}
            self.optimizer_ = self.optimizer(self.module_.parameters(), lr=self.lr, **settings)
            self.schedule_ = self.schedule and self.schedule(self.optimizer_)
        with random.drawing_from(self._generator):
            self._train(data, epochs)
        return self

    def _train(self, data: Sequence[Any], epochs: int) -> None:
        order = self._generator.rng.permutation(len(data[0]))
        count = int(np.ceil(len(order) * self.validation_fraction)) if len(order) > 1 else 0
        validation, rows = [a[order[:count]] for a in data], order[count:]
        step = compiled(self._step) if self.compile else self._step
        best, waited, state = np.inf, 0, None
        with tqdm(desc="fit", total=epochs, unit="epoch", disable=not self.verbose) as bar:
            for _ in range(epochs):
                self.module_.train()
                rows, total = self._generator.rng.permutation(rows), 0.0
                for k in range(0, len(rows), self.batch_size):
                    batch = [creation.from_numpy(a[rows[k : k + self.batch_size]]) for a in data]
                    total += step(*batch).item() * len(batch[0])
                row = {"loss": total / len(rows)}
                self.module_.eval()
                if count:
                    with autograd.no_grad():
                        loss = self._weighted_loss(*map(creation.from_numpy, validation)).item()
                    row["validation_loss"], waited = loss, waited + 1
                    if loss < best:
                        best, waited, state = loss, 0, copy.deepcopy(self.module_.state_dict())
                self.history_.append(row)
                bar.update()
                bar.set_postfix(row)
                if self.schedule_:
                    metric = [*row.values()][-1:] if self.schedule_.step_needs_metric else ()
                    self.schedule_.step(*metric)
                if waited > self.patience:
                    break
        if state is not None:
            self.module_.load_state_dict(state)
        self.loss_curve_ = [row["loss"] for row in self.history_]  # the mean loss of each epoch
        self.n_iter_ = len(self.loss_curve_)

    def _step(self, x: Tensor, y: Tensor, weight: Tensor | None = None) -> Any:
        self.optimizer_.zero_grad()
        loss = self._weighted_loss(x, y, weight)
        loss.backward()
        self.optimizer_.step()
        return loss

    def _weighted_loss(self, x: Tensor, y: Tensor, weight: Tensor | None = None) -> Any:
        loss: Any = self.loss or self._default_loss
        if weight is None:
            return loss(self.module_(x), y)
        if isinstance(loss, nn.Module):
            loss = copy.copy(loss)
            loss.reduction = "none"
        else:
            loss = partial(loss, reduction="none")
        losses = loss(self.module_(x), y)
        expected = f"({len(x)},), a loss of each row, since there are weights"
        check_shapes(losses.shape[:1] == (len(x),), "fit: the loss", expected, losses)
        return (losses.reshape(len(x), -1).mean(1) * weight).sum() / weight.sum().clamp(min=1e-12)

    def _validated(self, X: Any, *y: Any, fresh: bool = False, **settings: Any) -> Any:
        """Return X, and y, as arrays, with codes in place of the categories of a DataFrame."""
        self.categories_: Any = {} if fresh else self.categories_
        X = X.copy(deep=False) if hasattr(X, "columns") else X
        for k, column in enumerate(getattr(X, "columns", ())):
            values = X[column]
            texts = (isinstance(v, str) for v in (values if values.dtype.kind == "O" else ()))
            if fresh and (values.dtype == "category" or any(texts)):
                self.categories_[k] = values.astype("category").cat.categories
            if k in self.categories_:
                code = self.categories_[k].get_indexer(values)
                X[column] = np.where(code < 0, len(self.categories_[k]), code)
        return validate_data(self, X, *y, reset=fresh, dtype=np.float32, order="C", **settings)

    def _outputs(self, X: Any) -> Any:
        check_is_fitted(self, "module_")
        X = self._validated(X)
        with autograd.no_grad():
            outputs = self.module_(creation.from_numpy(X))
        shape, actual = (len(X), self._width), tuple(np.shape(outputs))
        fits = actual in (shape, shape[: 1 + (self._width > 1)])
        check_argument(fits, "predict", f"{shape} from module_", shape=actual)
        return outputs


@dataclass(eq=False, repr=False, kw_only=True)
class NetClassifier(ClassifierMixin, _Net):  # type: ignore[misc]
    """A classifier: `module(inputs, outputs)` returns logits (N, classes).

    `module` is a function or class that builds the network; by default it is `MLP` with the widths
    `hidden`, a tuple, and `dropout`; other modules do not get these two: set their options by
    `functools.partial`. `loss(logits, classes)` is `cross_entropy` by default; if
    there are weights, a function is called with `reduction="none"`, and a module such as
    `nn.CrossEntropyLoss()` gets that reduction. `class_weight` is a dict or "balanced".
    Weights count in the validation loss, too.
    `optimizer` is a class such as `optim.SGD`, or a function of the parameters, `lr` and, if it is
    not None, `weight_decay`. `schedule(optimizer)` returns a scheduler, which is stepped once per
    epoch, `ReduceLROnPlateau` with the validation loss, or without validation the training loss.
    `validation_fraction=0.1` stops after more than `patience` epochs without a lower loss on it.

    Columns of strings and of dtype "category" of a DataFrame become codes: 0 to n - 2, and n - 1
    for categories that are missing or not in the training data. The module is then built with
    `categories={column index: n}`. `compile=True` compiles the training step.

    After `fit`: `module_` in evaluation mode, `optimizer_`, `schedule_`, `history_` (a list with a
    dict of `loss` and `validation_loss` for each epoch), `loss_curve_`, `n_iter_` epochs,
    `classes_`, `categories_`.

    >>> import numpy as np
    >>> X = np.array([[0.0], [1.0], [2.0], [3.0]])
    >>> net = NetClassifier(hidden=(16,), lr=0.1, max_epochs=50, random_state=0)
    >>> net.fit(X, ["a", "a", "b", "b"]).predict([[0.2], [2.7]]).tolist()
    ['a', 'b']
    """

    class_weight: Any = None

    _default_loss = staticmethod(nn.functional.cross_entropy)

    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> Self:
        """Train for one epoch; the first call needs all `classes`, unless y has them."""
        if classes is not None:
            _check_partial_fit_first_call(self, classes)
        return self._fit(X, y, sample_weight, epochs=1)

    def _targets(self, y: Any, _weights: Any) -> tuple[Any, int]:
        check_classification_targets(y)
        self.classes_: Any = self.classes_ if hasattr(self, "classes_") else np.unique(y)
        known = f"classes of {self.classes_.tolist()!r:.60}; the first partial_fit takes all"
        check_argument(not np.setdiff1d(y, self.classes_).size, "fit", known, y=y)
        return np.searchsorted(self.classes_, y), len(self.classes_)

    def predict_proba(self, X: Any) -> Any:
        """Return the probabilities (N, classes) of the classes, in the order of `classes_`."""
        return self._outputs(X).softmax(1).numpy()

    def predict(self, X: Any) -> Any:
        """Return the most probable class of each row."""
        codes = self.predict_proba(X).argmax(1)  # before `classes_`: raises without a fit
        return self.classes_[codes]


class NetRegressor(MultiOutputMixin, RegressorMixin, _Net):  # type: ignore[misc]
    """A regressor: `module(inputs, outputs)` returns values (N, outputs) of standardised targets.

    The targets are standardised to mean 0 and variance 1 for training, under the weights of the
    samples, and predictions are scaled back: with `target_mean_` and `target_std_`.
    `loss(values, targets)` is `mse_loss` by default. The other parameters are those of
    `NetClassifier`.

    >>> import numpy as np
    >>> X = np.linspace(-1, 1, 32)[:, None]
    >>> net = NetRegressor(hidden=(16,), lr=0.05, max_epochs=200, random_state=0).fit(
    ...     X, X[:, 0] * 3
    ... )
    >>> bool(abs(net.predict([[0.5]])[0] - 1.5) < 0.1)
    True
    """

    _default_loss = staticmethod(nn.functional.mse_loss)

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train for one epoch; the first call builds the module."""
        return self._fit(X, y, sample_weight, epochs=1)

    def _targets(self, y: Any, weights: Any) -> tuple[Any, int]:
        if not hasattr(self, "target_mean_"):
            self.target_mean_ = np.average(y, 0, weights)
            std = np.sqrt(np.average((y - self.target_mean_) ** 2, 0, weights))
            self.target_std_ = np.where(std > 0, std, 1.0)
        scaled = ((y - self.target_mean_) / self.target_std_).astype(np.float32).reshape(len(y), -1)
        return scaled, scaled.shape[1]

    def predict(self, X: Any) -> Any:
        """Return the values (N,) or (N, outputs)."""
        scaled = self._outputs(X).numpy().reshape(-1, *self.target_mean_.shape)
        return scaled * self.target_std_ + self.target_mean_
