"""Each optimizer with its formula, in plain NumPy, and the options that are drawn for it."""

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
Kept = dict[str, Any]
Options = dict[str, Any]


def one_of(*values: Any) -> st.SearchStrategy[Any]:
    return st.sampled_from(values)


def parameter(*shape: int, seed: int = 0, dtype: Any = np.float64) -> tg.Tensor:
    values = np.random.default_rng(seed).standard_normal(shape).astype(dtype)
    return tg.tensor(values, requires_grad=True)


def give(p: tg.Tensor, gradient: Any) -> None:
    p.grad = None if gradient is None else tg.tensor(np.asarray(gradient, p.dtype))


# The formulas as the papers, and PyTorch's documentation, write them down: each takes p and g, what
# is kept, by the names in the state, and the options, and returns the new p. t is the step.


def moments(g: Any, kept: Kept, o: Options) -> tuple[Any, Any]:
    b1, b2 = o["betas"]
    kept["exp_avg"] = b1 * kept["exp_avg"] + (1 - b1) * g
    kept["exp_avg_sq"] = b2 * kept["exp_avg_sq"] + (1 - b2) * g**2
    return kept["exp_avg"] / (1 - b1 ** kept["step"]), kept["exp_avg_sq"] / (1 - b2 ** kept["step"])


def adam(p: Any, g: Any, kept: Kept, o: Options) -> Any:
    m, v = moments(g, kept, o)
    if o.get("amsgrad"):
        kept["max_exp_avg_sq"] = np.maximum(kept["max_exp_avg_sq"], kept["exp_avg_sq"])
        v = kept["max_exp_avg_sq"] / (1 - o["betas"][1] ** kept["step"])
    return p - o["lr"] * m / (np.sqrt(v) + o["eps"])


def adamax(p: Any, g: Any, kept: Kept, o: Options) -> Any:
    b1, b2 = o["betas"]
    kept["exp_avg"] = b1 * kept["exp_avg"] + (1 - b1) * g
    kept["exp_inf"] = np.maximum(b2 * kept["exp_inf"], abs(g) + o["eps"])
    return p - o["lr"] / (1 - b1 ** kept["step"]) * kept["exp_avg"] / kept["exp_inf"]


def nadam(p: Any, g: Any, kept: Kept, o: Options) -> Any:
    _, v = moments(g, kept, o)
    mu, mu_next = (
        o["betas"][0] * (1 - 0.5 * 0.96 ** (t * o["momentum_decay"]))
        for t in (kept["step"], kept["step"] + 1)
    )
    kept["mu_product"] = kept["mu_product"] * mu
    m = mu_next * kept["exp_avg"] / (1 - kept["mu_product"] * mu_next)
    m = m + (1 - mu) * g / (1 - kept["mu_product"])
    return p - o["lr"] * m / (np.sqrt(v) + o["eps"])


def radam(p: Any, g: Any, kept: Kept, o: Options) -> Any:
    m, _ = moments(g, kept, o)
    b2, t = o["betas"][1], kept["step"]
    r = 2 / (1 - b2) - 1
    r_t = r - 2 * t * b2**t / (1 - b2**t)
    if r_t > 5:
        m = m * math.sqrt((r_t - 4) * (r_t - 2) * r / ((r - 4) * (r - 2) * r_t))
        m = m * math.sqrt(1 - b2**t) / (np.sqrt(kept["exp_avg_sq"]) + o["eps"])
    return p - o["lr"] * m


def rmsprop(p: Any, g: Any, kept: Kept, o: Options) -> Any:
    alpha = o["alpha"]
    kept["square_avg"] = alpha * kept["square_avg"] + (1 - alpha) * g**2
    v = kept["square_avg"]
    if o["centered"]:
        kept["grad_avg"] = alpha * kept["grad_avg"] + (1 - alpha) * g
        v = v - kept["grad_avg"] ** 2
    step = g / (np.sqrt(v) + o["eps"])
    if o["momentum"]:
        step = kept["momentum_buffer"] = o["momentum"] * kept["momentum_buffer"] + step
    return p - o["lr"] * step


def adagrad(p: Any, g: Any, kept: Kept, o: Options) -> Any:
    kept["sum"] = kept["sum"] + g**2
    rate = o["lr"] / (1 + (kept["step"] - 1) * o["lr_decay"])
    return p - rate * g / (np.sqrt(kept["sum"]) + o["eps"])


def adadelta(p: Any, g: Any, kept: Kept, o: Options) -> Any:
    rho, eps = o["rho"], o["eps"]
    kept["square_avg"] = rho * kept["square_avg"] + (1 - rho) * g**2
    d = np.sqrt(kept["acc_delta"] + eps) / np.sqrt(kept["square_avg"] + eps) * g
    kept["acc_delta"] = rho * kept["acc_delta"] + (1 - rho) * d**2
    return p - o["lr"] * d


def rprop(p: Any, g: Any, kept: Kept, o: Options) -> Any:
    new = p.copy()
    size, prev = kept["step_size"].copy(), kept["prev"].copy()
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
    kept["step_size"], kept["prev"] = size, prev
    return new


def asgd(p: Any, g: Any, kept: Kept, o: Options) -> Any:
    t, lr, lambd = kept["step"], o["lr"], o["lambd"]
    p = p - lambd * kept["eta"] * p - kept["eta"] * g
    kept["ax"] = kept["ax"] + kept["mu"] * (p - kept["ax"])
    kept["eta"] = lr / (1 + lambd * lr * t) ** o["alpha"]
    kept["mu"] = 1 / max(1, t - o["t0"])
    return p


decay = {"weight_decay": one_of(0, 0.1)}
eps = {"eps": one_of(1e-8, 0.01)}
betas = one_of((0.9, 0.999), (0.5, 0.9), (0.0, 0.99), (0.0, 0.0))
like_adam = {"betas": betas, **eps, **decay}
decoupled = {"decoupled_weight_decay": st.booleans()}
amsgrad = {"amsgrad": st.booleans()}

# Each optimizer with its formula and the options that are drawn for it: a new one joins by a line.
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
    return data.draw(st.fixed_dictionaries(shared | OPTIMIZERS[name][1]))


EVERY: Options = {name: OPTIMIZERS[name][1] for name in OPTIMIZERS}
EVERY["LBFGS"] = {"max_iter": one_of(1, 3), "line_search_fn": one_of(None, "strong_wolfe")}
