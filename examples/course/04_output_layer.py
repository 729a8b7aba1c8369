# %% [markdown]
"""
# 4. The derivatives of the output layer

Afterwards you can derive the gradient of the last layer's weights and biases by the chain rule,
formulas (7) to (17), and check it against autograd.

*Time to read: 9 minutes.*
"""

# %% [markdown]
# A weight of the output layer acts on the cost through one $z$ and one $y$. The chain rule,
# formula (7), has a factor for each step:
#
# $$ \frac{\partial C}{\partial \omega_{ij}^{(L)}} =
#    \frac{\partial C}{\partial y_i^{(L)}} \cdot
#    \frac{\partial y_i^{(L)}}{\partial z_i^{(L)}} \cdot
#    \frac{\partial z_i^{(L)}}{\partial \omega_{ij}^{(L)}} $$
#
# The three factors are (8) $2 ( \hat y_i - y_i )$, where $\hat y = y^{(L)}$ and $y$ is the target,
# (9) $\mathrm{Act}'( z_i )$, and (10) $y_j^{(L-1)}$. The first two together are called
# $d_i^{(L)}$, formula (13). A bias has the factor 1, formula (16), in place of (10).

# %%
import numpy as np

import tinygrad_fc as tg
from tinygrad_fc import nn, viz
from tinygrad_fc.handderived import sigmoid

rng = np.random.default_rng(1)
y_before = rng.uniform(size=(3, 1))  # y^(L-1), three neurons
omega = rng.standard_normal((2, 3))
theta = rng.standard_normal((2, 1))
target = np.array([[1.0], [0.0]])

z = omega @ y_before + theta  # (3)
y = sigmoid(z)  # (2)
cost_slope = 2 * (y - target)  # (8)
d = cost_slope * y * (1 - y)  # (13), as Act'(z) = y (1 - y) for the sigmoid
omega_gradient = d @ y_before.T  # (14)
theta_gradient = d  # (17), as (16) is 1
print(omega_gradient)

# %% [markdown]
# Autograd applies the same factors, one operation at a time. Samples are rows there, so the
# transposes change places: `d.T @ y_before` for `d @ y_before.T`.

# %%
layer = nn.Sequential(nn.Linear(3, 2), nn.Sigmoid())
with tg.no_grad():
    layer[0].weight.copy_(tg.tensor(omega))
    layer[0].bias.copy_(tg.tensor(theta[:, 0]))
with viz.record(layer):
    output = layer(tg.tensor(y_before.T))
    loss = nn.functional.mse_loss(output, tg.tensor(target.T), reduction="batchmean")
viz.draw(loss)

# %% [markdown]
# `explain` lists the backward pass step by step: the rule of each operation, and the number of the
# formula that the rule computes. In the line `1 sigmoid in 1` the first number is that of the
# operation, counted in the forward pass, the second the module; `from 0` names the operation whose
# result is the argument. `g`, the *cotangent*, is the gradient that an operation gets, here the
# left factors of the chain rule, and `|g|` its norm (the picture has the largest magnitude). In the
# line of the sigmoid `g` is (8), `(1 - y) * y` is (9), and their product is (13); in the line of
# `0.weight` the factor `input` is (10). `loss.backward()` runs the backward pass and adds the
# gradient of each leaf to its `.grad`.

# %%
print(viz.explain(loss))
loss.backward()
assert np.allclose(layer[0].weight.grad.numpy(), omega_gradient)
assert np.allclose(layer[0].bias.grad.numpy(), theta_gradient[:, 0])

# %% [markdown]
# ## Exercises
#
# Write an answer in place of the three dots and run the cell: `check` says that it is right, or
# which step to look at again. The solutions are folded.

# %% tags=["remove-cell"] jupyter={"source_hidden": true}
from tinygrad_fc.utils.course import exercises

check = exercises(
    {
        1: [(lambda g: g == 0, "step 2: the factor (10) is the output of that neuron")],
        2: [
            (
                lambda f: not np.allclose(f(np.tanh(z)), np.tanh(z) * (1 - np.tanh(z))),
                "step 1: y (1 - y) belongs to the sigmoid",
            ),
            (lambda f: np.allclose(f(np.zeros(1)), 1), "step 1: the slope of tanh at z = 0 is 1"),
            (
                lambda f: np.allclose(f(np.tanh(z)), 1 - np.tanh(z) ** 2),
                "step 2: write it in y = tanh(z), not in z",
            ),
        ],
    }
)

# %% [markdown]
# **1.** A weight leads from a neuron whose output is exactly 0. What is its gradient?
#
# - Step 1: write the three factors of (7).
# - Step 2: which of them has that output?

# %%
answer = ...
check(1, answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# The factor (10) is that output: the gradient is 0 for every cost.
#
# ```python
# silent = y_before.copy()
# silent[1] = 0
# gradient = d @ silent.T
# assert np.all(gradient[:, 1] == 0)
# assert np.all(gradient[:, [0, 2]] != 0)
# answer = 0
# ```
#
# </details>

# %% [markdown]
# **2.** Replace the sigmoid by tanh. One of the formulas (8), (9), (10) changes: write the new one
# as a function of $y = \tanh(z)$.
#
# - Step 1: which formula has $\mathrm{Act}'$, and what is the derivative of tanh?
# - Step 2: write it with $y$.

# %%
answer = ...  # a function, called as answer(y)
check(2, answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# Only (9) contains $\mathrm{Act}'$: the derivative of tanh is $1 - y^2$.
#
# ```python
# def answer(y):
#     return 1 - y * y
#
#
# y = np.tanh(z)
# d = 2 * (y - target) * answer(y)
# weight = tg.tensor(omega, requires_grad=True)
# output = (tg.tensor(y_before.T) @ weight.T + tg.tensor(theta[:, 0])).tanh()
# ((output - tg.tensor(target.T)) ** 2).sum().backward()
# assert np.allclose(weight.grad.numpy(), d @ y_before.T)
# ```
#
# </details>

# %% [markdown]
# **Next:** the layers before the last one act on the cost through all that follows. Chapter 5
# carries the derivatives back to them.
