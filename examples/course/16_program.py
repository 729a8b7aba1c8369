# %% [markdown]
"""
# 16. The program, found

Afterwards you can let the library print the program that one would have written by hand, and match
each of its lines with a formula.

*Time to read: 6 minutes.*
"""

# %% [markdown]
# The first call of a compiled training step runs it with tracers, arrays that record what is done
# to them. Since the rules are NumPy, the backward pass is recorded as well, and out comes a NumPy
# program: forward pass, backward pass, update.

# %%
from itertools import pairwise

import numpy as np

import tinygrad_fc as tg
from tinygrad_fc import nn, optim, viz
from tinygrad_fc.handderived import NeuralNetwork

sizes = [1, 3, 1]
layers = []
for n_in, n_out in pairwise(sizes):
    layers += [nn.Linear(n_in, n_out), nn.Sigmoid()]
model = nn.Sequential(*layers)
criterion = nn.MSELoss(reduction="batchmean")
optimizer = optim.SGD(model.parameters(), lr=0.1)


@tg.compile(backend="numpy")
def step(x, target):
    """Train on one batch, and return its cost."""
    optimizer.zero_grad()
    loss = criterion(model(x), target)
    loss.backward()
    optimizer.step()
    return loss


x = tg.linspace(-1, 1, 5).reshape(-1, 1)
target = (x * 3).cos() / 2 + 0.5
step(x, target)
print(step.source)

# %% [markdown]
# The line `d2 = ...` is formula (13), `d1 = ...` formula (36): the lines that chapters 4 and 5
# derived. Layers count from 1, as in the document (the tutorial "Fully connected neural networks (+
# the neuron) and the back-propagation algorithm"), and parameters are named by their module:
# `weight_0` is $\omega^{(1)}$ and `weight_2` is $\omega^{(2)}$. The constant `scale = 0.4` is
# $2/5$: the factor of (8) and the $1/n$ of (6), for 5 samples. `loss != loss` is true of NaN alone:
# a *guard*, a condition under which the program is valid. Where it fails, `GuardFailed` leaves the
# program before anything has changed; the caller does not see it, since the function is traced
# again or runs uncompiled.
#
# `viz.page` writes a page that puts network, numbers, program and the derivation by hand side by
# side. Next walks through the step; each line of the program is highlighted with its formula. Point
# at a number, and its computation appears; double-click a weight, and all that depends on it
# changes; "Check by differences" nudges it, as in chapter 0. The page trains in the browser, by the
# same program printed as JavaScript. A notebook shows the page; a script leaves it in
# `backprop.html`.

# %%
viz.page(step, x, target, "backprop.html")

# %% [markdown]
# ## Exercises
#
# Write an answer in place of the three dots and run the cell: `check` says that it is right, or
# which step to look at again. The solutions are folded.

# %% tags=["remove-cell"] jupyter={"source_hidden": true}
from tinygrad_fc.utils.course import exercises


def by_hand():
    """Return the document's network, with the weights that the model has now."""
    network = NeuralNetwork(sizes)
    network.weights = [layer.weight.numpy().copy() for layer in model[::2]]
    network.biases = [layer.bias.numpy().copy()[:, None] for layer in model[::2]]
    return network


def steps_agree(samples):
    """Return whether `update_batch` changes the weights as `step` does."""
    network = by_hand()
    network.update_batch(samples, 0.1)
    step(x, target)
    pairs = zip(model[::2], network.weights, strict=True)
    return all(np.allclose(layer.weight.numpy(), omega) for layer, omega in pairs)


check = exercises(
    {
        1: [
            (lambda s: len(s) == 5 and all(len(pair) == 2 for pair in s), "step 1: five pairs"),
            (lambda s: all(np.shape(a) == (1, 1) for pair in s for a in pair), "step 2: columns"),
            (steps_agree, "step 3: the input first, the target of the same sample second"),
        ],
        2: [
            (
                lambda n: n in (2, 3, 5),
                "step 1: count products of matrices and vectors in the program",
            ),
            (lambda n: n == 5, "step 2: two weights, two biases and the loss"),
        ],
    }
)

# %% [markdown]
# **1.** The document's program takes samples one at a time, adds up their gradients and divides by
# their number. It has `update_batch(samples, 0.1)`. Write `samples`, from `x` and `target`, such
# that it changes the weights as a call of `step` does. `check` compares the two.
#
# - Step 1: a list with a pair for each sample.
# - Step 2: each of the pair is a column, an array of shape (1, 1).
# - Step 3: which is first?

# %%
answer = ...  # a list of pairs
check(1, answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# The batch's cost (6) is the mean of the samples' costs, so its gradient is their mean.
#
# ```python
# answer = list(zip(x.numpy()[:, :, None], target.numpy()[:, :, None], strict=True))
# ```
#
# </details>

# %% [markdown]
# **2.** How often does the program sum over the samples?
#
# - Step 1: look for `dot` and `vdot` whose inner sum goes over the rows.
# - Step 2: which gradients and values need such a sum?

# %%
answer = ...
check(2, answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# In five products: `d.T.dot(y)` of each weight's gradient, whose inner sum goes over the samples,
# `ones.dot(d)` of each bias's gradient, and `np.vdot(error, error)` of the loss.
#
# ```python
# answer = 5
# d, y = np.random.default_rng(0).standard_normal((2, 5, 3))
# assert np.allclose(d.T @ y, sum(np.outer(d[k], y[k]) for k in range(5)))
# assert np.allclose(np.ones(5) @ d, sum(d))
# assert np.isclose(np.vdot(d, d), sum(np.vdot(row, row) for row in d))
# ```
#
# </details>

# %% [markdown]
# **Next:** all is there to look at a whole training run, and to say why it is slow: chapter 17.
