"""Optimizers with their formulas in plain NumPy and strategies for their options."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st

import tinygrad_fc as tg

if TYPE_CHECKING:
    from collections.abc import Callable

seeds = st.integers(0, 2**32 - 1)
shapes = st.sampled_from([(), (0,), (2, 3)])
few = settings(max_examples=settings.default.max_examples // 5)  # for each of ten optimizers
State = dict[str, Any]
Options = dict[str, Any]


def one_of(*values: Any) -> st.SearchStrategy[Any]:
    return st.sampled_from(values)


def parameter(*shape: int, seed: int = 0, dtype: Any = np.float64) -> tg.Tensor:
    values = np.random.default_rng(seed).standard_normal(shape).astype(dtype)
    return tg.tensor(values, requires_grad=True)


def set_gradient(p: tg.Tensor, gradient: Any) -> None:
    p.grad = None if gradient is None else tg.tensor(np.asarray(gradient, p.dtype))


# Formulas of the papers and of PyTorch's documentation: functions of p, g, the state under
# PyTorch's names, and the options, which return the new p. t is the step.


def moments(g: Any, s: State, o: Options) -> tuple[Any, Any]:
    b1, b2 = o["betas"]
    s["exp_avg"] = b1 * s["exp_avg"] + (1 - b1) * g
    s["exp_avg_sq"] = b2 * s["exp_avg_sq"] + (1 - b2) * g**2
    return s["exp_avg"] / (1 - b1 ** s["step"]), s["exp_avg_sq"] / (1 - b2 ** s["step"])


def adam(p: Any, g: Any, s: State, o: Options) -> Any:
    m, v = moments(g, s, o)
    if o.get("amsgrad"):
        s["max_exp_avg_sq"] = np.maximum(s["max_exp_avg_sq"], s["exp_avg_sq"])
        v = s["max_exp_avg_sq"] / (1 - o["betas"][1] ** s["step"])
    return p - o["lr"] * m / (np.sqrt(v) + o["eps"])


def adamax(p: Any, g: Any, s: State, o: Options) -> Any:
    b1, b2 = o["betas"]
    s["exp_avg"] = b1 * s["exp_avg"] + (1 - b1) * g
    s["exp_inf"] = np.maximum(b2 * s["exp_inf"], abs(g) + o["eps"])
    return p - o["lr"] / (1 - b1 ** s["step"]) * s["exp_avg"] / s["exp_inf"]


def nadam(p: Any, g: Any, s: State, o: Options) -> Any:
    _, v = moments(g, s, o)
    mu, mu_next = (
        o["betas"][0] * (1 - 0.5 * 0.96 ** (t * o["momentum_decay"]))
        for t in (s["step"], s["step"] + 1)
    )
    s["mu_product"] = s["mu_product"] * mu
    m = mu_next * s["exp_avg"] / (1 - s["mu_product"] * mu_next)
    m = m + (1 - mu) * g / (1 - s["mu_product"])
    return p - o["lr"] * m / (np.sqrt(v) + o["eps"])


def radam(p: Any, g: Any, s: State, o: Options) -> Any:
    m, _ = moments(g, s, o)
    b2, t = o["betas"][1], s["step"]
    r = 2 / (1 - b2) - 1
    r_t = r - 2 * t * b2**t / (1 - b2**t)
    if r_t > 5:
        m = m * math.sqrt((r_t - 4) * (r_t - 2) * r / ((r - 4) * (r - 2) * r_t))
        m = m * math.sqrt(1 - b2**t) / (np.sqrt(s["exp_avg_sq"]) + o["eps"])
    return p - o["lr"] * m


def rmsprop(p: Any, g: Any, s: State, o: Options) -> Any:
    alpha = o["alpha"]
    s["square_avg"] = alpha * s["square_avg"] + (1 - alpha) * g**2
    v = s["square_avg"]
    if o["centered"]:
        s["grad_avg"] = alpha * s["grad_avg"] + (1 - alpha) * g
        v = v - s["grad_avg"] ** 2
    step = g / (np.sqrt(v) + o["eps"])
    if o["momentum"]:
        step = s["momentum_buffer"] = o["momentum"] * s["momentum_buffer"] + step
    return p - o["lr"] * step


def adagrad(p: Any, g: Any, s: State, o: Options) -> Any:
    s["sum"] = s["sum"] + g**2
    rate = o["lr"] / (1 + (s["step"] - 1) * o["lr_decay"])
    return p - rate * g / (np.sqrt(s["sum"]) + o["eps"])


def adadelta(p: Any, g: Any, s: State, o: Options) -> Any:
    rho, eps = o["rho"], o["eps"]
    s["square_avg"] = rho * s["square_avg"] + (1 - rho) * g**2
    d = np.sqrt(s["acc_delta"] + eps) / np.sqrt(s["square_avg"] + eps) * g
    s["acc_delta"] = rho * s["acc_delta"] + (1 - rho) * d**2
    return p - o["lr"] * d


def rprop(p: Any, g: Any, s: State, o: Options) -> Any:
    new = p.copy()
    size, prev = s["step_size"].copy(), s["prev"].copy()
    for i in np.ndindex(p.shape):
        agree, now = g[i] * prev[i], g[i]
        if agree > 0:
            size[i] *= o["etas"][1]
        elif agree < 0:
            size[i] *= o["etas"][0]
            now = 0
        size[i] = min(max(size[i], o["step_sizes"][0]), o["step_sizes"][1])
        new[i] = p[i] - size[i] * np.sign(now)
        prev[i] = now
    s["step_size"], s["prev"] = size, prev
    return new


def asgd(p: Any, g: Any, s: State, o: Options) -> Any:
    t, lr, lambd = s["step"], o["lr"], o["lambd"]
    p = p - lambd * s["eta"] * p - s["eta"] * g
    s["ax"] = s["ax"] + s["mu"] * (p - s["ax"])
    s["eta"] = lr / (1 + lambd * lr * t) ** o["alpha"]
    s["mu"] = 1 / max(1, t - o["t0"])
    return p


decay = {"weight_decay": one_of(0, 0.1)}
eps = {"eps": one_of(1e-8, 0.01)}
betas = one_of((0.9, 0.999), (0.5, 0.9), (0.0, 0.99), (0.0, 0.0))
like_adam = {"betas": betas, **eps, **decay}
decoupled = {"decoupled_weight_decay": st.booleans()}
amsgrad = {"amsgrad": st.booleans()}

# Formula, and strategies for the options.
OPTIMIZERS: dict[str, tuple[Callable[..., Any], Options]] = {
    "Adam": (adam, like_adam | decoupled | amsgrad),
    "AdamW": (adam, like_adam | amsgrad),
    "Adamax": (adamax, like_adam),
    "NAdam": (nadam, like_adam | decoupled | {"momentum_decay": one_of(0, 0.004)}),
    "RAdam": (radam, like_adam | decoupled),
    "RMSprop": (
        rmsprop,
        {"alpha": one_of(0.5, 0.99), "momentum": one_of(0, 0.9), "centered": st.booleans()}
        | eps
        | decay,
    ),
    "Adagrad": (
        adagrad,
        {"lr_decay": one_of(0, 0.1), "initial_accumulator_value": one_of(0, 0.1)} | eps | decay,
    ),
    "Adadelta": (adadelta, {"rho": one_of(0, 0.9)} | eps | decay),
    "Rprop": (rprop, {"etas": one_of((0.5, 1.2)), "step_sizes": one_of((1e-6, 50), (0.1, 0.2))}),
    "ASGD": (
        asgd,
        {"lambd": one_of(0, 0.1), "alpha": one_of(0, 0.75), "t0": one_of(2, 1e6)} | decay,
    ),
}


def drawn(data: st.DataObject, name: str) -> Options:
    shared = {"lr": one_of(0.0, 0.1, 0.5), "maximize": st.booleans()}
    return data.draw(st.fixed_dictionaries(shared | EVERY[name]))


EVERY: Options = {name: OPTIMIZERS[name][1] for name in OPTIMIZERS}
EVERY["SGD"] = {"momentum": one_of(0.5, 0.9), "nesterov": st.booleans()} | decay
EVERY["LBFGS"] = {"max_iter": one_of(1, 3), "line_search_fn": one_of(None, "strong_wolfe")}
