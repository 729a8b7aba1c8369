"""The estimators of scikit-learn: its own checks, and what they do in its tools."""

import warnings
from contextlib import suppress
from functools import partial
from typing import Any
from unittest import SkipTest

import numpy as np
import pytest

import tinygrad_fc as tg
from tinygrad_fc import nn, optim

pytest.importorskip("sklearn")
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import estimator_checks_generator

from tinygrad_fc.sklearn import MLP, NetClassifier, NetRegressor

# Weights scale losses, repetitions change the batches: as for scikit-learn's SGD estimators.
EXEMPT = {"check_sample_weight_equivalence_on_dense_data"}
ESTIMATORS = [NetClassifier(max_epochs=30, lr=0.01), NetRegressor(max_epochs=30, lr=0.01)]
RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 3)).astype(np.float32)
CLASSES = np.array(["low", "middle", "high"])[np.digitize(X.sum(1), [-1, 1])]
VALUES = X @ np.array([[1.0, 0.0], [-2.0, 1.0], [0.5, 3.0]])


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda e: type(e).__name__)
def test_the_checks_of_scikit_learn_pass(estimator: Any):
    exempt = set()
    for checked, check in estimator_checks_generator(estimator):
        name = getattr(check, "func", check).__name__
        if name in EXEMPT:
            exempt.add(name)
            continue
        with suppress(SkipTest):
            check(checked)
    assert exempt == EXEMPT


def fitted(**options: Any) -> NetClassifier:
    settings = {"hidden": (8,), "max_epochs": 4, "lr": 0.05, "batch_size": 16, "random_state": 0}
    return NetClassifier(**settings | options).fit(X, CLASSES)


SETTINGS: list[Any] = [
    {},
    {"dropout": 0.3},
    {"validation_fraction": 0.2, "patience": 2},
    {"schedule": lambda o: optim.lr_scheduler.StepLR(o, 2)},
]


@pytest.mark.parametrize("options", SETTINGS)
def test_a_seed_reproduces_and_the_global_generator_is_unchanged(options: Any):
    before = tg.get_rng_state()
    first, second = fitted(**options), fitted(**options)
    np.testing.assert_array_equal(first.predict_proba(X), second.predict_proba(X))
    assert first.history_ == second.history_
    assert (tg.get_rng_state() == before).all()


def test_a_compiled_step_trains_to_the_same_parameters():
    for options in ({}, {"optimizer": optim.SGD, "weight_decay": 0.01}):
        plain, compiled = fitted(**options), fitted(compile=True, **options)
        np.testing.assert_allclose(plain.loss_curve_, compiled.loss_curve_, rtol=1e-4)
        np.testing.assert_allclose(
            plain.predict_proba(X), compiled.predict_proba(X), rtol=1e-3, atol=1e-4
        )


@pytest.mark.parametrize("decay", [None, 0, 0.1])
def test_a_weight_decay_of_0_is_none_and_not_the_default(decay: Any):
    net = fitted(optimizer=optim.AdamW, weight_decay=decay, max_epochs=1)
    expected = 0.01 if decay is None else decay  # the default of AdamW
    assert net.optimizer_.param_groups[0]["weight_decay"] == expected


def test_early_stopping_restores_the_best_parameters():
    options = {"lr": 0.3, "validation_fraction": 0.3, "patience": 3, "random_state": 1}
    targets = RNG.normal(size=60)
    net = NetRegressor(max_epochs=60, **options).fit(X, targets)
    best = int(np.argmin([row["validation_loss"] for row in net.history_]))
    assert net.n_iter_ == best + 5 < 60  # more epochs than the patience after the best one
    until_then = NetRegressor(max_epochs=best + 1, **options).fit(X, targets)
    np.testing.assert_array_equal(net.predict(X), until_then.predict(X))


def test_weights_of_samples_and_classes_agree():
    weights = np.where(CLASSES == "low", 3.0, 1.0)
    settings = {"hidden": (8,), "max_epochs": 3, "random_state": 0}
    by_sample = NetClassifier(**settings).fit(X, CLASSES, sample_weight=weights)
    by_class = NetClassifier(class_weight={"low": 3.0, "middle": 1.0, "high": 1.0}, **settings)
    np.testing.assert_array_equal(
        by_class.fit(X, CLASSES).predict_proba(X), by_sample.predict_proba(X)
    )
    plain = NetClassifier(**settings).fit(X, CLASSES)
    assert not np.array_equal(plain.predict_proba(X), by_sample.predict_proba(X))


def test_partial_fit_and_warm_start_continue():
    net = NetClassifier(hidden=(8,), random_state=0)
    rest = CLASSES != "high"
    net.partial_fit(X[rest], CLASSES[rest], classes=np.unique(CLASSES))
    net.partial_fit(X, CLASSES)
    assert (net.n_iter_, net.predict_proba(X).shape) == (2, (60, 3))
    with pytest.raises(ValueError, match=r"fit: y is .*none.*expected classes of .*low"):
        net.partial_fit(X[:1], ["none"])
    with pytest.raises(ValueError, match="is not the same as on last call to partial_fit"):
        net.partial_fit(X, CLASSES, classes=["low", "high"])
    assert net.fit(X[rest], CLASSES[rest]).classes_.tolist() == ["low", "middle"]
    warm = fitted(warm_start=True).fit(X, CLASSES)
    assert warm.n_iter_ == 8
    assert fitted().fit(X, CLASSES).n_iter_ == 4
    before = warm.predict_proba(X)
    warm.set_params(lr=0.0).fit(X, CLASSES)  # a new optimizer, with the present settings
    np.testing.assert_array_equal(warm.predict_proba(X), before)


def test_a_module_and_a_loss_of_ones_own():
    def build(inputs: int, outputs: int) -> nn.Module:
        return nn.Sequential(nn.Linear(inputs, 16), nn.Tanh(), nn.Linear(16, outputs)).float()

    net = NetRegressor(build, loss=nn.functional.huber_loss, lr=0.05, random_state=0)
    assert net.fit(X, VALUES).score(X, VALUES) > 0.95
    assert net.predict(X).shape == VALUES.shape
    assert isinstance(net.module_[1], nn.Tanh)
    assert clone(net).get_params() == net.get_params()
    names: list[Any] = [{"optimizer": "adam"}, {"loss": "mse"}, {"schedule": "step"}]
    names += [{"batch_size": 0}, {"batch_size": 16.0}, {"max_epochs": 2.5}]
    module = nn.Sequential(*[nn.Linear(3, 3)] * 9)
    for options in ({"module": module}, {"hidden": 16}, *names):
        (name,) = options
        with pytest.raises(ValueError, match=rf"NetClassifier: {name} must be an? .*, got ") as why:
            fitted(**options)
        assert len(str(why.value)) < 200
    with pytest.raises(ValueError, match="validation_fraction must be at least 0 and below 1"):
        fitted(validation_fraction=1.0)


def test_weights_need_a_loss_of_each_row():
    class Mean(nn.Module):
        def forward(self, logits: Any, y: Any) -> Any:
            return nn.functional.cross_entropy(logits, y)

    def plain(logits: Any, y: Any) -> Any:
        return nn.functional.cross_entropy(logits, y)

    def rows(logits: Any, y: Any, **options: Any) -> Any:
        return nn.functional.cross_entropy(logits, y, **options)

    with pytest.raises(ValueError, match=r"the loss: got shape \(\); expected \(16,\), a loss of"):
        fitted(loss=Mean(), class_weight="balanced")
    with pytest.raises(ValueError, match="loss must be a function with `reduction`"):
        fitted(loss=plain, class_weight="balanced")
    fitted(loss=plain, max_epochs=1)
    fitted(loss=rows, max_epochs=1, class_weight="balanced")


def test_predictions_of_another_shape_are_refused():
    """A module with a mean and a variance per target, say, has two columns for one."""

    def two(outputs: Any, y: Any) -> Any:
        return nn.functional.gaussian_nll_loss(outputs[:, :2], y, outputs[:, 2:].exp())

    net = NetRegressor(lambda n, _: nn.Linear(n, 4).float(), loss=two, max_epochs=1)
    net.fit(X, VALUES)
    with pytest.raises(ValueError, match=r"shape is \(60, 4\), expected \(60, 2\) from module_"):
        net.predict(X)
    net = fitted(module=lambda n, outputs: nn.Linear(n, outputs + 1).float())
    with pytest.raises(ValueError, match=r"shape is \(60, 4\), expected \(60, 3\) from module_"):
        net.predict(X)


def test_the_progress_bar_shows_the_losses(capsys: pytest.CaptureFixture[str]):
    net = fitted(verbose=True, validation_fraction=0.2)
    row = net.history_[-1]
    shown = f"loss={row['loss']:.3g}, validation_loss={row['validation_loss']:.3g}"
    assert shown in capsys.readouterr().err
    stopped = fitted(verbose=True, validation_fraction=0.5, lr=1.0, patience=1, max_epochs=90)
    assert stopped.n_iter_ < 90
    assert f" {stopped.n_iter_}/90 [" in capsys.readouterr().err.rpartition("\r")[2]


@pytest.mark.parametrize("compiled", [False, True])
def test_a_loss_is_a_function_or_a_module_with_and_without_weights(compiled: bool):
    options = {"lr": 0.01, "max_epochs": 3, "random_state": 0, "compile": compiled}
    losses = (nn.functional.huber_loss, nn.HuberLoss())
    for targets in (VALUES, np.c_[VALUES, -VALUES]):
        for weights in (None, np.linspace(0, 2, 60)):
            both = [NetRegressor(loss=loss, **options).fit(X, targets, weights) for loss in losses]
            np.testing.assert_array_equal(*(net.predict(X) for net in both))
            assert not both[0].module_.training


def test_a_schedule_may_take_the_loss_of_the_validation_data():
    plateau = tg.optim.lr_scheduler.ReduceLROnPlateau
    for fraction in (0.0, 0.2):
        net = fitted(schedule=partial(plateau, patience=0), validation_fraction=fraction)
        column = "validation_loss" if fraction else "loss"
        assert net.schedule_.best == min(row[column] for row in net.history_)


def test_categories_of_a_data_frame_are_embedded():
    pd = pytest.importorskip("pandas")
    kinds = RNG.choice(["a", "b", "c"], 60)
    frame = pd.DataFrame({"size": X[:, 0], "kind": kinds})
    target = X[:, 0] + (kinds == "b")
    net = NetRegressor(hidden=(16,), lr=0.05, random_state=0).fit(frame, target)
    assert net.score(frame, target) > 0.95
    assert isinstance(net.module_, MLP)
    assert net.feature_names_in_.tolist() == ["size", "kind"]
    unknown = frame.assign(kind="d")  # the last code
    assert np.isfinite(net.predict(unknown)).all()

    def build(inputs: int, outputs: int, categories: dict[int, int]) -> nn.Module:
        assert (inputs, categories) == (2, {1: 4})
        return MLP(inputs, outputs, categories=categories)

    NetRegressor(build, max_epochs=2).fit(frame, target).predict(unknown)
    numbered = frame.set_axis([0, 1], axis=1)  # names that are no strings
    before = numbered.copy()
    assert NetRegressor(max_epochs=1).fit(numbered, target).predict(numbered).shape == (60,)
    pd.testing.assert_frame_equal(numbered, before)
    numbers = frame[["size"]].astype(object)  # which are no categories
    assert NetRegressor(max_epochs=1).fit(numbers, target).categories_ == {}
    with pytest.raises(ValueError, match="feature names"):
        net.predict(frame.rename(columns={"size": "length"}))


def test_the_tools_of_scikit_learn():
    data, classes = load_digits(return_X_y=True)
    net = NetClassifier(hidden=(32,), max_epochs=8, lr=0.01, random_state=0)
    pipeline = make_pipeline(StandardScaler(), net)
    assert cross_val_score(pipeline, data, classes, cv=2).min() > 0.85
    search = GridSearchCV(pipeline, {"netclassifier__lr": [1e-5, 1e-2]}, cv=2, n_jobs=2)
    with warnings.catch_warnings(action="ignore"):  # of processes that start beside threads
        search.fit(data[:400], classes[:400])
    assert search.best_params_ == {"netclassifier__lr": 1e-2}


def test_rows_of_weight_0_do_not_scale_the_targets():
    weights = np.r_[np.zeros(5), np.ones(len(X) - 5)]
    spoiled = VALUES.copy()
    spoiled[:5] = 1e6
    net = NetRegressor(max_epochs=1).fit(X, spoiled, sample_weight=weights)
    np.testing.assert_allclose(net.target_mean_, VALUES[5:].mean(0))
    np.testing.assert_allclose(net.target_std_, VALUES[5:].std(0))
