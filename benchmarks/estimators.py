"""Compare `NetClassifier` and `NetRegressor` to scikit-learn's networks at equal settings.

python benchmarks/estimators.py

The data are digits (1,797 x 64), and 8,000 rows of eight features with a nonlinear target. The
estimators take turns, seed by seed, with one thread of BLAS. Each line has the medians of the
accuracy or R2 on test data, of the seconds of `fit`, and of the ratio of these seconds to those of
scikit-learn's network in the same turn.
"""

from __future__ import annotations

import time
import warnings
from operator import truediv
from statistics import median
from typing import Any

import one_thread  # noqa: F401  before NumPy

# isort: split

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.preprocessing import StandardScaler

from tinygrad_fc.sklearn import NetClassifier, NetRegressor

SEEDS = range(9)


def houses() -> tuple[Any, Any]:
    """Return 8,000 rows with a target that is like the price of a house by place and income."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(8000, 8)).astype(np.float32)
    place = np.exp(-((x[:, 0] - 0.5) ** 2) - (x[:, 1] + 0.5) ** 2)
    y = 2 * place + np.tanh(x[:, 2]) + 0.5 * x[:, 3] * x[:, 4] + 0.1 * rng.normal(size=8000)
    return x, y.astype(np.float32)


def main() -> None:
    """Print the table."""
    warnings.simplefilter("ignore")  # of scikit-learn, for epochs that end before convergence
    x, y = load_digits(return_X_y=True)
    options: dict[str, Any] = {"lr": 1e-3, "max_epochs": 50, "batch_size": 200}
    equal: dict[str, Any] = {"max_iter": 50, "batch_size": 200, "alpha": 0.0, "tol": 0.0}
    tasks = {
        "digits": ((x / 16).astype(np.float32), y, MLPClassifier, NetClassifier),
        "houses": (*houses(), MLPRegressor, NetRegressor),
    }
    for task, (inputs, targets, theirs, ours) in tasks.items():
        a, b, c, d = train_test_split(inputs, targets, random_state=0)
        scaler = StandardScaler().fit(a)
        a, b = scaler.transform(a), scaler.transform(b)
        rows = {
            theirs.__name__: lambda seed, kind=theirs: kind(
                hidden_layer_sizes=(100,), random_state=seed, **equal
            ),
            ours.__name__: lambda seed, kind=ours: kind(random_state=seed, **options),
            f"{ours.__name__} compiled": lambda seed, kind=ours: kind(
                random_state=seed, compile=True, **options
            ),
        }
        scores: dict[str, list[float]] = {name: [] for name in rows}
        seconds: dict[str, list[float]] = {name: [] for name in rows}
        for seed in SEEDS:
            for name, build in rows.items():
                estimator = build(seed)
                start = time.perf_counter()
                estimator.fit(a, c)
                seconds[name].append(time.perf_counter() - start)
                scores[name].append(estimator.score(b, d))
        for name in rows:
            ratios = map(truediv, seconds[name], seconds[theirs.__name__])
            print(
                f"{task:8}{name:26} score {median(scores[name]):.3f}  "
                f"fit {median(seconds[name]):6.2f} s  ratio {median(ratios):.2f}"
            )


if __name__ == "__main__":
    main()
