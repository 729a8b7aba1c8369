# %% [markdown]
"""
# 6. Gradient descent

Afterwards you can train a model by steps against the gradient, tell from a curve of the cost
whether the learning rate is too small or too large, and say what limits it.

*Time to read: 9 minutes.*
"""

# %% [markdown]
# The gradient of the cost with respect to a parameter says how the cost changes when the parameter
# grows. To make the cost smaller, move each parameter the other way, by a step in proportion to its
# gradient. The factor is the *learning rate* $\eta$ (the letter is read "eta"):
#
# $$ w \leftarrow w - \eta \, \frac{\partial C}{\partial w} $$
#
# One such step, then a new gradient, another step: that is *gradient descent*. Take the cost of
# chapter 0, $C = (3 w - 2)^2$, whose slope is $6 (3 w - 2)$, smallest at $w = 2/3$.

# %%
import matplotlib.pyplot as plt
import numpy as np

import tinygrad_fc as tg
from tinygrad_fc import nn, optim


def cost(w):
    """Return the cost for the input 3 and the target 2."""
    return (3 * w - 2) ** 2


def steps(rate, number=20, w=1.2):
    """Return w after each of so many steps."""
    path = [w]
    for _ in range(number):
        w = w - rate * 6 * (3 * w - 2)
        path.append(w)
    return np.array(path)


grid = np.linspace(-0.1, 1.4, 100)
rates = {0.005: "too small", 0.05: "right", 0.105: "large", 0.113: "too large"}
figure, panels = plt.subplots(1, 4, figsize=(11, 2.8), layout="constrained", sharey=True)
panels[0].set(ylabel="cost")
for axes, (rate, name) in zip(panels, rates.items(), strict=True):
    path = steps(rate, 8)
    axes.plot(grid, cost(grid), color="0.7")
    axes.plot(path, cost(path), "o-", markersize=4)
    axes.set(title=f"rate {rate}: {name}", xlabel="w", xlim=(-0.1, 1.4), ylim=(-0.2, 5))

# %% [markdown]
# With a small rate the steps are in the right direction, and there are many of them. With a larger
# one they pass the minimum and come back; each is smaller than the one before as long as the rate
# is below a bound. Beyond the bound each step lands farther away than it started: the cost grows
# without end, it *diverges*.
#
# Where is the bound? The distance to the minimum is multiplied by the same factor in each step:
# $w - 2/3$ becomes $(1 - 18 \, \eta) (w - 2/3)$. The 18 is the second derivative of the cost, its
# *curvature*. The factor is between -1 and 1 as long as
#
# $$ 0 < \eta < \frac{2}{\mathrm{curvature}} = \frac{2}{18} = 0.111 $$
#
# The cost over the steps, on a logarithmic axis, is what one looks at in practice:

# %%
figure, axes = plt.subplots(figsize=(6, 3), layout="constrained")
for rate, style in zip(rates, ("-", "--", "-.", ":"), strict=True):
    axes.plot(cost(steps(rate)) + 1e-16, style, label=f"rate {rate}")
axes.set(xlabel="step", ylabel="cost", yscale="log")
axes.legend()
axes.grid(visible=True)
assert np.isclose(steps(0.05)[1] - 2 / 3, (1 - 18 * 0.05) * (1.2 - 2 / 3))
assert cost(steps(0.113))[-1] > cost(steps(0.113))[0] > cost(steps(0.105))[-1]

# %% [markdown]
# ## Two parameters: the valley
#
# With several parameters the curvature differs between directions. The steepest one bounds the
# rate, and along the flattest one little happens: that is why training is slow. Here the curvatures
# are 20 and 1.

# %%
curvatures = np.array([1.0, 20.0])
grid_u, grid_v = np.meshgrid(np.linspace(-0.5, 3.5, 80), np.linspace(-1.2, 1.2, 80))
figure, panels = plt.subplots(1, 3, figsize=(11, 2.8), layout="constrained", sharey=True)
for axes, rate in zip(panels, (0.02, 0.09, 0.101), strict=True):
    point, path = np.array([3.0, 0.6]), []
    for _ in range(25):
        path.append(point)
        point = point - rate * curvatures * point
    axes.contour(grid_u, grid_v, (grid_u**2 + 20 * grid_v**2) / 2, levels=8, colors="0.8")
    axes.plot(*np.transpose(path), "o-", markersize=3)
    axes.set(title=f"rate {rate}", xlim=(-0.5, 3.5), ylim=(-1.2, 1.2))

# %% [markdown]
# ## A network
#
# The gradient of all parameters comes from `backward()`. An *optimizer* subtracts: `SGD` is the
# formula above. (The S stands for stochastic: the gradient of a random batch in place of that of
# all samples.) `zero_grad` is needed because `backward` adds to `.grad`.


# %%
def train(rate, number=200):
    """Train a network 1-8-1 on a parabola; return the cost of each step."""
    tg.manual_seed(0)
    x = tg.linspace(-1, 1, 40).reshape(-1, 1)
    model = nn.Sequential(nn.Linear(1, 8), nn.Tanh(), nn.Linear(8, 1))
    optimizer = optim.SGD(model.parameters(), lr=rate)
    costs = []
    for _ in range(number):
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(model(x), x**2)
        loss.backward()
        optimizer.step()
        costs.append(loss.item())
        if costs[-1] > 10:  # it diverges
            break
    return costs


figure, axes = plt.subplots(figsize=(6, 3), layout="constrained")
curves = {rate: train(rate) for rate in (0.003, 0.1, 0.5)}
for (rate, costs), style in zip(curves.items(), ("-", "--", ":"), strict=True):
    axes.plot(costs, style, label=f"rate {rate}")
axes.set(xlabel="step", ylabel="cost", yscale="log")
axes.legend()
axes.grid(visible=True)
assert curves[0.1][-1] < curves[0.003][-1] / 4

# %% [markdown]
# How to read such curves: a straight, slow slope, and the rate can be larger; a curve that jumps up
# and down or ends higher than it began, and it must be smaller. Try rates that differ by factors of
# 3.

# %% [markdown]
# ## Exercises
#
# Write an answer in place of the three dots and run the cell: `check` says that it is right, or
# which step to look at again. The solutions are folded.

# %% tags=["remove-cell"] jupyter={"source_hidden": true}
from tinygrad_fc.utils.course import exercises


def slope_of_square(w):
    """Return the slope of w²."""
    return 2 * w


check = exercises(
    {
        1: [
            (
                lambda rate: rate not in (0.4, 2 / 5),
                "step 1: the derivative of 5 (w - 1)² is 10 (w - 1)",
            ),
            (
                lambda rate: rate != 0.1,
                "step 3: at 0.1 the factor is 0; up to which rate is it above -1",
            ),
            (
                lambda rate: np.isclose(rate, 0.2),
                "step 2: the factor of one step, 1 - rate · curvature",
            ),
        ],
        2: [
            (
                lambda f: len(f(slope_of_square, 1.0, 0.1, 3)) == 4,
                "step 3: the start and all steps",
            ),
            (lambda f: f(slope_of_square, 1.0, 0.1, 3)[1] != 1.2, "step 1: the sign of the step"),
            (
                lambda f: not np.allclose(f(slope_of_square, 1.0, 0.1, 3), [1.0, 0.8, 0.6, 0.4]),
                "step 2: the slope at the new w, in each step",
            ),
            (
                lambda f: np.allclose(f(slope_of_square, 1.0, 0.1, 3), [1.0, 0.8, 0.64, 0.512]),
                "step 1: w - rate * slope(w)",
            ),
        ],
    }
)

# %% [markdown]
# **1.** For the cost $5 (w - 1)^2$, below which learning rate does gradient descent converge?
#
# - Step 1: what is the slope, and what is the curvature?
# - Step 2: by which factor does one step multiply the distance to the minimum?
# - Step 3: for which rates is it between -1 and 1?

# %%
answer = ...
check(1, answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# The slope is $10 (w - 1)$, the curvature 10. The factor $1 - 10 \eta$ is above -1 for $\eta$ below
# 0.2. At 0.1 it is 0: the first step lands on the minimum.
#
# ```python
# answer = 2 / 10
# ```
#
# </details>

# %% [markdown]
# **2.** Write gradient descent: a function of the slope (a function of `w`), the starting `w`, the
# rate and the number of steps, which returns the list of all `w`, the first one included.
#
# - Step 1: one step.
# - Step 2: where is the slope needed in the next one?
# - Step 3: what goes into the list?

# %%
answer = ...  # a function, called as answer(slope, w, rate, number)
check(2, answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# Each step needs the slope where the last one has arrived.
#
# ```python
# def answer(slope, w, rate, number):
#     path = [w]
#     for _ in range(number):
#         w = w - rate * slope(w)
#         path.append(w)
#     return path
# ```
#
# </details>

# %% [markdown]
# **Next:** each step needs all gradients. Chapter 7 measures what they cost.
