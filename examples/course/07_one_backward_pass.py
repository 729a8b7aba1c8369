# %% [markdown]
"""
# 7. Why one backward pass beats n forward passes

Afterwards you can say what a gradient costs by nudging and by the backward pass, count the
multiplications of both, and measure them.

*Time to read: 6 minutes.*
"""

# %% [markdown]
# Chapter 0 found a slope by nudging a number. For a network with $n$ parameters this works, too:
# nudge each in turn and run the network again. That takes $n$ forward passes, and one without a
# nudge. The backward pass of chapter 5 gets all $n$ slopes at once. Both are right; how long do
# they take?

# %%
from itertools import pairwise
from time import process_time

import matplotlib.pyplot as plt
import numpy as np

from tinygrad_fc.handderived import NeuralNetwork


def cost(network, x, target):
    """Return the cost of one sample: a forward pass and formula (5)."""
    return np.sum((network.feedforward(x) - target) ** 2)


def by_nudging(network, x, target, nudge=1e-6):
    """Return the gradient of all weights and biases, by a forward pass for each."""
    before = cost(network, x, target)
    gradients = []
    for array in network.weights + network.biases:
        gradient = np.zeros_like(array)
        for index in np.ndindex(array.shape):
            array[index] += nudge
            gradient[index] = (cost(network, x, target) - before) / nudge
            array[index] -= nudge
        gradients.append(gradient)
    return gradients


def by_backward_pass(network, x, target):
    """Return the same gradient by formulas (13), (36), (37) and (38)."""
    weights, biases = network.backprop(x, target)
    return [*weights, *biases]


def seconds(f, *arguments, times=1):
    """Return how long the processor needs for a call, the shortest time of several."""
    durations = []
    for _ in range(times):
        start = process_time()
        f(*arguments)
        durations.append(process_time() - start)
    return min(durations)


numbers, forward, nudged, backward = [], [], [], []
for width in (2, 4, 8, 16, 32):
    network = NeuralNetwork([4, width, width, 1], rng=0)
    x, target = np.linspace(-1, 1, 4)[:, None], np.array([[0.5]])
    for ours, theirs in zip(
        by_nudging(network, x, target), by_backward_pass(network, x, target), strict=True
    ):
        assert np.allclose(ours, theirs, atol=1e-5)
    numbers.append(sum(a.size for a in network.weights + network.biases))
    forward.append(seconds(cost, network, x, target, times=20))
    nudged.append(seconds(by_nudging, network, x, target))
    backward.append(seconds(by_backward_pass, network, x, target, times=20))
    print(
        f"{numbers[-1]:5} parameters: nudging {nudged[-1] / forward[-1]:6.0f} forward passes, "
        f"backward pass {backward[-1] / forward[-1]:.1f}"
    )

# %% [markdown]
# Nudging takes about as many forward passes as there are parameters. The backward pass takes about
# two, however many parameters there are.

# %%
figure, axes = plt.subplots(figsize=(6, 3), layout="constrained")
axes.plot(numbers, np.divide(nudged, forward), "o-", label="nudging each parameter")
axes.plot(numbers, np.divide(backward, forward), "s--", label="one backward pass")
axes.set(xlabel="parameters", ylabel="time, in forward passes", xscale="log", yscale="log")
axes.legend()
axes.grid(visible=True)
assert nudged[-1] / backward[-1] > 20

# %% [markdown]
# For a million parameters and a forward pass of a millisecond, nudging takes a quarter of an hour
# for one step of gradient descent; forward and backward pass take three milliseconds.
#
# ## Where the work is saved
#
# A nudge of a weight in layer 1 goes through all later layers. The nudge of the next weight goes
# the same way, and computes the same slopes again. The backward pass computes the slope of the cost
# with respect to each neuron, $d_i^{(l)}$, once, and all weights that lead into the neuron share
# it: each needs one multiplication more, formula (37).
#
# This works because the cost is *one* number. If we wanted the slopes of many results with respect
# to one number, it would be the other way round: one nudge shows all of them. (Slopes carried
# forward like this are *forward mode*; the backward pass is *reverse mode*.) A network has many
# parameters and one cost.
#
# Nothing is free: the backward pass needs the $y^{(l)}$ of the forward pass, and so they are kept.
# It takes memory in place of time.
#
# In numbers: the products of one sample with the weights are these multiplications.

# %%
sizes = [4, 32, 32, 1]
forward_products = sum(n_in * n_out for n_in, n_out in pairwise(sizes))
parameters = forward_products + sum(sizes[1:])
print(f"forward pass {forward_products}, by nudging {(parameters + 1) * forward_products}")

# %% [markdown]
# ## Exercises
#
# Write an answer in place of the three dots and run the cell: `check` says that it is right, or
# which step to look at again. The solutions are folded.

# %% tags=["remove-cell"] jupyter={"source_hidden": true}
from tinygrad_fc.utils.course import exercises

check = exercises(
    {
        1: [
            (lambda n: n not in (101_632, 203_264), "step 1: the biases are parameters, too"),
            (lambda n: n not in (101_770, 101_771), "step 2: up and down, two passes for each"),
            (lambda n: n == 203_540, "step 1: weights and biases of both layers"),
        ],
        2: [
            (lambda a: a[0] == 66, "step 1: a product for each weight"),
            (lambda a: a[1] not in (66, 132), "step 3: no slopes are carried back to the input"),
            (lambda a: a[1] == 124, "step 2: (37) for each layer, and (33) for all but the first"),
        ],
    }
)

# %% [markdown]
# **1.** The network 784-128-10 reads handwritten digits. How many forward passes would a gradient
# by central differences take?
#
# - Step 1: how many parameters are there?
# - Step 2: how many forward passes does each need?

# %%
answer = ...
check(1, answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# There are 784 · 128 + 128 + 128 · 10 + 10 = 101,770 parameters, and each is nudged up and down.
#
# ```python
# answer = 2 * (784 * 128 + 128 + 128 * 10 + 10)
# ```
#
# </details>

# %% [markdown]
# **2.** Count the multiplications by weights or of weights' gradients, for one sample and the
# network 1-8-5-3-1: those of the forward pass, and those of the backward pass.
#
# - Step 1: a forward pass multiplies each weight once.
# - Step 2: the backward pass multiplies for each gradient of a weight, formula (37), and to carry
#   $d$ back, formula (33).
# - Step 3: to which layers is $d$ carried back?

# %%
answer = ...  # a pair of numbers
check(2, answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# Forward 8 + 40 + 15 + 3 = 66. Backward 66 for formula (37), and 40 + 15 + 3 = 58 for formula (33):
# to layers 3, 2 and 1, not to the input. So a backward pass costs at most about two forward passes.
#
# ```python
# sizes = [1, 8, 5, 3, 1]
# products = [n_in * n_out for n_in, n_out in pairwise(sizes)]
# answer = sum(products), sum(products) + sum(products[1:])
# ```
#
# </details>

# %% [markdown]
# **Next:** so far the output was a number. Chapter 8 is about outputs that are classes.
