"""Errors of optimizers, which change nothing."""

from __future__ import annotations

import copy
import math
import re
from typing import Any

import numpy as np
import pytest
from optimizers_table import EVERY, parameter, set_gradient

import tinygrad_fc as tg
from tinygrad_fc import optim

w = parameter(2)
AT_LEAST_0 = "a finite number, at least 0"
BETAS = "two numbers, each at least 0 and below 1"


@pytest.mark.parametrize(
    ("name", "option", "expected", "values"),
    [
        *(
            (name, option, AT_LEAST_0, (-1.0, math.nan, math.inf, "1", None))
            for name, options in {
                "Adam": "lr eps weight_decay",
                "AdamW": "lr eps weight_decay",
                "Adamax": "lr eps weight_decay",
                "NAdam": "lr eps weight_decay momentum_decay",
                "RAdam": "lr eps weight_decay",
                "RMSprop": "lr eps weight_decay momentum",
                "Adagrad": "lr lr_decay weight_decay initial_accumulator_value eps",
                "Adadelta": "lr eps weight_decay",
                "Rprop": "lr",
                "ASGD": "lr lambd weight_decay",
                "LBFGS": "lr",
            }.items()
            for option in options.split()
        ),
        *(
            (name, "betas", BETAS, ((0.9,), (0.9, 1.0), (-0.1, 0.9), (math.nan, 0.9), 0.9, "ab"))
            for name in ("Adam", "AdamW", "Adamax", "NAdam", "RAdam")
        ),
        ("RMSprop", "alpha", "between 0 and 1", (-0.1, 1.1, math.nan, "1")),
        ("Adadelta", "rho", "between 0 and 1", (-0.1, 1.1, math.nan, "1")),
        (
            "Rprop",
            "etas",
            "two numbers, the first between 0 and 1, the second above 1",
            ((0.0, 1.2), (0.5, 1.0), (1.0, 1.2), (0.5, math.inf), (0.5,), 0.5),
        ),
        (
            "Rprop",
            "step_sizes",
            "two numbers, at least 0 and the second at least the first",
            ((2, 1), (-1, 1), (math.nan, 1), 1),
        ),
        ("ASGD", "alpha", "a finite number", (math.nan, math.inf, "1")),
        ("ASGD", "t0", "a number", (math.nan, "1", None)),
        *(
            ("LBFGS", option, "an integer of at least 1", (0, -1, 1.5, "2"))
            for option in ("max_iter", "max_eval", "history_size")
        ),
        ("LBFGS", "tolerance_grad", "a finite number", (math.nan, "1", None)),
        ("LBFGS", "tolerance_change", "a finite number", (math.nan, "1", None)),
        ("LBFGS", "line_search_fn", "None or 'strong_wolfe'", ("armijo",)),
    ],
)
def test_options_out_of_range(name: str, option: str, expected: str, values: tuple[Any, ...]):
    make = getattr(optim, name)
    for wrong in values:
        message = f"^{re.escape(f'{name}: {option} must be {expected}, got {wrong!r}')}$"
        with pytest.raises(ValueError, match=message):
            make([w], **{option: wrong})
        with pytest.raises(ValueError, match=message):
            make([{"params": [w], option: wrong}])


@pytest.mark.parametrize("name", EVERY)
def test_step_rejects_a_learning_rate_of_nan(name: str):
    p = parameter(2)
    before = p.tolist()
    optimizer = getattr(optim, name)([p])
    set_gradient(p, [1.0, 1.0])
    optimizer.param_groups[0]["lr"] = math.nan
    with pytest.raises(ValueError, match="the learning rate of a group is NaN"):
        optimizer.step(lambda: tg.tensor(1.0))
    assert p.tolist() == before


def test_a_state_of_another_optimizer_changes_nothing():
    p = parameter(2)
    set_gradient(p, [1.0, 1.0])
    other = optim.SGD([p], lr=0.5, momentum=0.9)
    other.step()
    optimizer = optim.Adam([p], lr=0.1)
    message = (
        "Adam needs the state exp_avg, exp_avg_sq, step, and the state dict has only "
        "momentum_buffer. It was saved by another optimizer"
    )
    with pytest.raises(ValueError, match=message):
        optimizer.load_state_dict(other.state_dict())
    assert optimizer.param_groups[0]["lr"] == 0.1
    assert not optimizer.state


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("exp_avg", np.zeros(3), r"the state dict has exp_avg of shape \(3,\) for a parameter of"),
        (
            "exp_avg",
            np.zeros(()),
            r"Adam: the state exp_avg has shape \(\) and dtype float64, and the",
        ),
    ],
)
def test_a_state_of_another_shape_changes_nothing(key: str, value: Any, message: str):
    p = parameter(2)
    set_gradient(p, [1.0, 1.0])
    optimizer = optim.Adam([p])
    optimizer.step()
    state = copy.deepcopy(optimizer.state_dict())
    state["state"][0][key] = tg.tensor(value)
    before = str(optimizer.state_dict())
    with pytest.raises(ValueError, match=message):
        optimizer.load_state_dict(state)
    assert str(optimizer.state_dict()) == before


def test_step_rejects_a_parameter_of_another_dtype_than_its_state():
    p = parameter(2)
    optimizer = optim.Adam([p])
    set_gradient(p, [1.0, 1.0])
    optimizer.step()
    p.data = tg.zeros(2, dtype=tg.float32)
    set_gradient(p, [1.0, 1.0])
    with pytest.raises(ValueError, match=r"the parameter has shape .* float32\. Create a new"):
        optimizer.step()
    assert p.tolist() == [0, 0]
