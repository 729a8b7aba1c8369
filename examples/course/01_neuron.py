# %% [markdown]
"""
# 1. The neuron

Afterwards you can compute a neuron's output by formula (1), say what its weights and its bias
do, and record the computation as a graph.

*Time to read: 6 minutes.*
"""

# %% [markdown]
# "The document" is a tutorial in Chinese, "Fully connected neural networks (+ the neuron) and the
# back-propagation algorithm", whose formulas (1) to (38) this course follows; the module
# `tinygrad_fc.handderived` restates them as a program, and the important ones are repeated here.
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
# Write an answer in place of the three dots and run the cell: `check` says that it is right, or
# which step to look at again. The solutions are folded.

# %% tags=["remove-cell"] jupyter={"source_hidden": true}
from tinygrad_fc.utils.course import exercises


def fires(answer, *pair):
    """Return the output for a pair of inputs."""
    return sigmoid(np.sum(np.asarray(answer[0]) * pair) + answer[1])


check = exercises(
    {
        1: [
            (lambda bias: bias not in (3, -3), "step 2: the weight is 2, and z is 2 · 3 + θ"),
            (lambda bias: bias != 6, "step 3: the sign"),
            (
                lambda bias: sigmoid(2 * 3 + bias) == 0.5,
                "step 1: the z at which the sigmoid is one half",
            ),
        ],
        2: [
            (
                lambda a: np.shape(a[0]) == (2,) and np.ndim(a[1]) == 0,
                "step 1: two weights and a bias",
            ),
            (lambda a: fires(a, 0, 0) < 0.1, "step 2: at (0, 0) the sum is the bias alone"),
            (
                lambda a: max(fires(a, 1, 0), fires(a, 0, 1)) < 0.1,
                "step 3: one input must not be enough",
            ),
            (lambda a: fires(a, 1, 1) > 0.9, "step 4: both inputs together must be enough"),
        ],
    }
)

# %% [markdown]
# **1.** A neuron has one input and the weight 2. Which bias gives the output one half at $x = 3$?
#
# - Step 1: at which $z$ is the sigmoid one half?
# - Step 2: what is $z$ at $x = 3$?
# - Step 3: solve for $\theta$.

# %%
answer = ...
check(1, answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# The sigmoid is one half at $z = 0$, so $2 \cdot 3 + \theta = 0$.
#
# ```python
# answer = -6
# assert sigmoid(2 * 3 + answer) == 0.5
# ```
#
# </details>

# %% [markdown]
# **2.** Find weights and a bias such that a neuron with two inputs computes AND: above 0.9 for
# $x = (1, 1)$ and below 0.1 for the other three pairs of zeros and ones.
#
# - Step 1: write them as a pair, `np.array([w1, w2]), theta`.
# - Step 2: what must hold of $\theta$ for $x = (0, 0)$?
# - Step 3: and of one weight plus $\theta$?
# - Step 4: and of both weights plus $\theta$?

# %%
answer = ...  # a pair of the weights and the bias
check(2, answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# The sum must be well above zero only where both inputs are 1. The sigmoid is below 0.1 for $z$
# below -2.2, and above 0.9 for $z$ above 2.2.
#
# ```python
# answer = np.array([10.0, 10.0]), -15.0
# ```
#
# </details>

# %% [markdown]
# **Next:** many neurons, in layers, make a network: chapter 2.
