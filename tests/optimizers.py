"""Options of optimizers and schedulers as strategies: for their properties, and beside PyTorch."""

import copy
import io
import pickle
from typing import Any

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st

import tinygrad_fc as tg

few = settings(max_examples=settings.default.max_examples // 5)  # for each optimizer
EPOCHS = 20  # of the schedules


def one_of(*values: Any) -> st.SearchStrategy[Any]:
    return st.sampled_from(values)


def options(**own: Any) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(own)


def parameter(*shape: int, seed: int = 0, dtype: Any = np.float64) -> tg.Tensor:
    values = np.random.default_rng(seed).standard_normal(shape).astype(dtype)
    return tg.tensor(values, requires_grad=True)


def set_gradient(p: tg.Tensor, gradient: Any) -> None:
    p.grad = tg.tensor(np.asarray(gradient, p.dtype))


def twin(parts: tuple[Any, ...], how: str, create: Any) -> Any:
    """Return a copy of `parts`; for "dict" and "file", new ones with the saved states."""
    if how == "deepcopy":
        return copy.deepcopy(parts)
    if how == "pickle":
        return pickle.loads(pickle.dumps(parts))
    states = [part.state_dict() for part in parts]
    saved = tg.load(io.BytesIO(_saved(states))) if how == "file" else copy.deepcopy(states)
    others = create()
    for part, state in zip(others, saved, strict=True):
        part.load_state_dict(state)
        state.clear()  # what was loaded is a copy
    assert _saved([part.state_dict() for part in others]) == _saved(states)
    return others


def _saved(states: Any) -> bytes:
    file = io.BytesIO()
    tg.save(states, file)
    return file.getvalue()


WAYS = ("dict", "file", "deepcopy", "pickle")


# Optimizers


def stepping(**own: Any) -> st.SearchStrategy[dict[str, Any]]:
    """Draw the options that most optimizers have, and an optimizer's own."""
    shared = {"lr": st.floats(0, 0.5), "weight_decay": one_of(0, 0.1), "maximize": st.booleans()}
    return options(**shared, **own)


def adam(**own: Any) -> st.SearchStrategy[dict[str, Any]]:
    betas = one_of((0.9, 0.999), (0.9, 0.9), (0.5, 0.99), (0.0, 0.999), (0.0, 0.0))
    return stepping(betas=betas, eps=one_of(1e-8, 1e-3), **own)


def _valid_nesterov(drawn: dict[str, Any]) -> dict[str, Any]:
    valid = drawn["momentum"] > 0 and drawn["dampening"] == 0
    return {**drawn, "nesterov": valid and drawn["nesterov"]}


# Each optimizer with a strategy for its options: add a line for a new one.
OPTIMIZERS = {
    "SGD": stepping(
        momentum=one_of(0, 0.5, 0.9), dampening=one_of(0, 0.3), nesterov=st.booleans()
    ).map(_valid_nesterov),
    "Adam": adam(amsgrad=st.booleans(), decoupled_weight_decay=st.booleans()),
    "AdamW": adam(amsgrad=st.booleans()),
    "Adamax": adam(),
    "NAdam": adam(momentum_decay=one_of(0, 4e-3), decoupled_weight_decay=st.booleans()),
    "RAdam": adam(decoupled_weight_decay=st.booleans()),
    "RMSprop": stepping(
        alpha=one_of(0.5, 0.9, 0.99),
        eps=one_of(1e-8, 1e-3),
        momentum=one_of(0, 0.9),
        centered=st.booleans(),
    ),
    "Adagrad": stepping(
        lr_decay=one_of(0, 0.1), eps=one_of(1e-10, 1e-3), initial_accumulator_value=one_of(0, 0.1)
    ),
    "Adadelta": stepping(rho=one_of(0, 0.5, 0.9), eps=one_of(1e-6, 1e-3)),
    "Rprop": options(
        lr=st.floats(0, 0.5),
        maximize=st.booleans(),
        etas=one_of((0.5, 1.2), (0.9, 1.01)),
        step_sizes=one_of((1e-6, 50), (0.1, 0.2)),
    ),
    "ASGD": stepping(lambd=one_of(0, 1e-4, 0.1), alpha=one_of(0, 0.75), t0=one_of(0, 5, 1e6)),
}
LBFGS = {
    "lr": one_of(0.1, 0.5, 1.0),
    "max_iter": one_of(1, 2, 5),
    "max_eval": one_of(None, 3, 50),
    "history_size": one_of(1, 3, 100),
    "line_search_fn": one_of(None, "strong_wolfe"),
}


# Schedulers


def inverse(epoch: int) -> float:
    return 1 / (1 + epoch)


class Falling:
    """A function of the epoch with a state that is saved."""

    def __init__(self, rate: float) -> None:
        self.rate = rate

    def __call__(self, epoch: float) -> float:
        return 1 / (1 + self.rate * epoch)


gamma = one_of(0.1, 0.9, 1.0, 1.02)
iters = one_of(1, 2, 7, 60)
rate = one_of(0.001, 0.1, [0.1, 0.2])
functions = one_of(inverse, [Falling(0.1), Falling(1.0)])

# Each schedule with a strategy for its options, for two groups: add a line for a new one.
SCHEDULES = {
    "StepLR": options(step_size=one_of(1, 3, 60), gamma=gamma),
    "MultiStepLR": options(milestones=one_of([], [30, 4], [1, 4, 4]), gamma=gamma),
    "ExponentialLR": options(gamma=gamma),
    "ConstantLR": options(factor=one_of(0.3, 1.0), total_iters=iters),
    "LinearLR": options(
        start_factor=one_of(0.1, 1.0), end_factor=one_of(0.0, 0.5, 1.0), total_iters=iters
    ),
    "PolynomialLR": options(total_iters=iters, power=one_of(0.5, 1.0, 2.0)),
    "CosineAnnealingLR": options(T_max=one_of(1, 5, 50, 70), eta_min=one_of(0.0, 0.01)),
    "CosineAnnealingWarmRestarts": options(
        T_0=one_of(1, 3, 60), T_mult=one_of(1, 2), eta_min=one_of(0.0, 0.01)
    ),
    "LambdaLR": options(lr_lambda=functions),
    "MultiplicativeLR": options(lr_lambda=one_of(Falling(0.1), Falling(1e-3))),
    "OneCycleLR": options(
        max_lr=rate,
        total_steps=one_of(EPOCHS, 70),
        pct_start=one_of(0.0, 0.3, 0.5),
        anneal_strategy=one_of("cos", "linear"),
        cycle_momentum=st.booleans(),
        base_momentum=one_of(0.8, [0.7, 0.8]),
        div_factor=one_of(1.0, 25.0),
        final_div_factor=one_of(10.0, 1e4),
        three_phase=st.booleans(),
    ),
    "CyclicLR": options(
        base_lr=one_of(0.0001, [0.01, 0.02]),
        max_lr=rate,
        step_size_up=one_of(1, 5, 60),
        step_size_down=one_of(None, 3),
        mode=one_of("triangular", "triangular2", "exp_range"),
        gamma=one_of(0.9, 1.0),
        scale_fn=one_of(None, Falling(0.1)),
        scale_mode=one_of("cycle", "iterations"),
        cycle_momentum=st.booleans(),
        max_momentum=one_of(0.9, 0.95),
    ),
    "ReduceLROnPlateau": options(
        mode=one_of("min", "max"),
        factor=one_of(0.1, 0.9),
        patience=one_of(0, 1, 5),
        threshold=one_of(1e-4, 0.1),
        threshold_mode=one_of("rel", "abs"),
        cooldown=one_of(0, 3),
        min_lr=one_of(0, [0.01, 0.0]),
    ),
}
SIMPLE_SCHEDULES = [*SCHEDULES]
PARTS = ("StepLR", "ExponentialLR", "ConstantLR", "LinearLR", "CosineAnnealingLR", "PolynomialLR")
PARTS += ("MultiplicativeLR",)
parts = st.lists(
    st.sampled_from(PARTS).flatmap(lambda name: st.tuples(st.just(name), SCHEDULES[name])),
    min_size=1,
    max_size=3,
)
SCHEDULES |= {
    "SequentialLR": options(
        parts=parts, milestones=st.lists(st.integers(0, 60), min_size=2, max_size=2).map(sorted)
    ),
    "ChainedScheduler": options(parts=parts),
}


def schedule(library: Any, name: str, optimizer: Any, drawn: dict[str, Any], **more: Any) -> Any:
    """Return a scheduler of `library` with the drawn options."""
    module, drawn = library.optim.lr_scheduler, copy.deepcopy(drawn)
    if "parts" not in drawn:
        return getattr(module, name)(optimizer, **drawn, **more)
    schedulers = [getattr(module, part)(optimizer, **own) for part, own in drawn["parts"]]
    if name == "ChainedScheduler":
        return module.ChainedScheduler(schedulers)
    milestones = drawn["milestones"][: len(schedulers) - 1]
    return module.SequentialLR(optimizer, schedulers, milestones, **more)
