# %% [markdown]
"""
# 1. The neuron

Afterwards you can compute a neuron's output by formula (1), say what its weights and its bias
do, and record the computation as a graph.
"""

# %% [markdown]
# "The document" is the tutorial on back-propagation whose formulas (1) to (38) this course follows;
# the important ones are repeated. The chapters are notebooks, and scripts too: a
# notebook shows the pictures, a script saves them, with `viz.draw(output).save("neuron.svg")`.
# The answers to the exercises are in the folded cells.
#
# An artificial neuron has an input vector $x$, a weight $w_i$ for each input, and a bias
# $\theta$. Formula (1) of the document:
#
# $$ y = \mathrm{Act}\Big( \sum_i w_i x_i + \theta \Big) $$
#
# $\mathrm{Act}$ is the activation function. The document uses the sigmoid, $1 / (1 + e^{-z})$.

# %%
import matplotlib.pyplot as plt
import numpy as np

import tinygrad_fc as tg
from tinygrad_fc import viz


def sigmoid(z):
    """Return 1 / (1 + exp(-z))."""
    return 1 / (1 + np.exp(-z))


x = np.array([1.0, 2.0])
w = np.array([0.5, -1.0])
theta = 0.25
y = sigmoid(np.sum(w * x) + theta)
print(y)

# %% [markdown]
# The weight sets how steep the curve is and in which direction it rises. The bias shifts it along
# the input: at $x = -\theta / w$ the output is one half.

# %%
xs = np.linspace(-6, 6, 200)
figure, axes = plt.subplots(figsize=(7, 3), layout="constrained")
for slope, shift, style in ((1, 0, "-"), (3, 0, "--"), (1, 2, "-."), (-1, 0, ":")):
    axes.plot(xs, sigmoid(slope * xs + shift), style, label=f"w = {slope}, θ = {shift}")
axes.set(xlabel="x", ylabel="y")
axes.legend()
axes.grid(visible=True)

# %% [markdown]
# A *tensor* is the library's array. `requires_grad=True` asks for its gradient, and so the library
# records what is computed from it; *autograd* is the part of the library that computes gradients
# from such records. A tensor that no operation computed, such as a weight, is a *leaf*.
#
# `viz.draw` shows the record. A box is an operation, with the shape and the largest magnitude of
# its result; ◆ marks a leaf whose gradient is wanted, ◇ one without. Solid arrows are values,
# dashed ones gradients. The gradients belong to chapter 4: the picture computes them by itself.

# %%
weights = tg.tensor(w, requires_grad=True)
bias = tg.tensor(theta, requires_grad=True)
inputs = tg.tensor(x)
output = ((weights * inputs).sum() + bias).sigmoid()
assert np.isclose(output.item(), y)
viz.draw(output, names={"w": weights, "θ": bias, "x": inputs})

# %% [markdown]
# ## Exercises
#
# **1.** A neuron has one input and the weight 2. Which bias gives the output one half at $x = 3$?

# %% tags=["hide-cell"]
# The sigmoid is one half at z = 0, so 2 · 3 + θ = 0.
answer = -6
assert sigmoid(2 * 3 + answer) == 0.5

# %% [markdown]
# **2.** Find weights and a bias such that a neuron with two inputs computes AND: above 0.9 for
# $x = (1, 1)$ and below 0.1 for the other three pairs of zeros and ones.

# %% tags=["hide-cell"]
# The sum must be well above zero only where both inputs are 1.
w, theta = np.array([10.0, 10.0]), -15.0
for pair in ((0, 0), (0, 1), (1, 0), (1, 1)):
    fires = sigmoid(np.sum(w * pair) + theta)
    assert fires > 0.9 if pair == (1, 1) else fires < 0.1
