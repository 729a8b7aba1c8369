# %% [markdown]
"""
# 5. The recurrence

Afterwards you can carry the derivatives from one layer to the one before it, formulas (26) to
(38), write the whole backward pass as a loop, and say why gradients shrink on the way.

*Time to read: 9 minutes.*
"""

# %% [markdown]
# A neuron of layer $l$ acts on all neurons of layer $l+1$, so its derivative is a sum over them,
# formula (33), $\partial C / \partial y_i^{(l)} = \sum_k d_k^{(l+1)} \omega_{ki}^{(l+1)}$. With the
# derivative of the activation it becomes the recurrence (36):
#
# $$ d^{(l)} = \big( (\omega^{(l+1)})^T d^{(l+1)} \big) \odot \mathrm{Act}'( z^{(l)} ) $$
#
# and the gradients of layer $l$ are (37) $d^{(l)} ( y^{(l-1)} )^T$ and (38) $d^{(l)}$.
#
# Lists begin at 0: `weights[0]` is $\omega^{(1)}$ and `ds[0]` is $d^{(1)}$, but `ys[0]` is
# $y^{(0)}$, the input.

# %%
import matplotlib.pyplot as plt
import numpy as np

import tinygrad_fc as tg
from tinygrad_fc import nn, viz
from tinygrad_fc.handderived import NeuralNetwork, sigmoid

network = NeuralNetwork([1, 8, 5, 3, 1], rng=0)
x, target = np.array([[0.5]]), np.array([[0.9]])


def backprop(weights, biases):
    """Return the weights' gradients, and every d: the biases' gradients, for the sample above."""
    ys = [x]
    for omega, theta in zip(weights, biases, strict=True):
        ys.append(sigmoid(omega @ ys[-1] + theta))  # (4)
    d = 2 * (ys[-1] - target) * ys[-1] * (1 - ys[-1])  # (13)
    ds = [d]
    for l in range(len(weights) - 1, 0, -1):
        d = (weights[l].T @ d) * ys[l] * (1 - ys[l])  # (36): weights[l] is of layer l + 1
        ds.insert(0, d)
    return [d @ y.T for d, y in zip(ds, ys[:-1], strict=True)], ds  # (37), and (38)


weight_gradients, ds = backprop(network.weights, network.biases)
expected_weights, expected_biases = network.backprop(x, target)
for ours, theirs in zip(weight_gradients + ds, expected_weights + expected_biases, strict=True):
    assert np.allclose(ours, theirs)

# %% [markdown]
# Autograd finds the same numbers without a derivation of the whole: each operation brings its own
# rule, and the backward pass chains them.

# %%
layers = []
for omega, theta in zip(network.weights, network.biases, strict=True):
    linear = nn.Linear(omega.shape[1], omega.shape[0])
    with tg.no_grad():
        linear.weight.copy_(tg.tensor(omega))
        linear.bias.copy_(tg.tensor(theta[:, 0]))
    layers += [linear, nn.Sigmoid()]
model = nn.Sequential(*layers)
with viz.record(model):
    loss = nn.functional.mse_loss(model(tg.tensor(x)), tg.tensor(target), reduction="batchmean")
picture = viz.draw(loss)
loss.backward()
for linear, ours in zip(model[::2], weight_gradients, strict=True):
    assert np.allclose(linear.weight.grad.numpy(), ours)
picture

# %% [markdown]
# The derivative of the sigmoid is at most 1/4. Each layer multiplies by it once more, and so the
# first layers of a deep network get small gradients, unless large weights make up for it: this is
# the *vanishing gradient*, to which chapter 9 comes back.

# %%
deep = NeuralNetwork([1] + [8] * 10 + [1], rng=3)
norms = [np.linalg.norm(d) for d in backprop(deep.weights, deep.biases)[1]]
figure, axes = plt.subplots(figsize=(6, 3), layout="constrained")
axes.bar(range(1, len(norms) + 1), norms)
axes.set(xlabel="layer", ylabel="norm of d", yscale="log")
axes.grid(visible=True)

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
            (lambda a: a[0] == 0, "step 1: y (1 - y) is largest at y = 1/2; which z is that"),
            (lambda a: a[1] != 0.5, "step 2: y is one half there; the derivative is y (1 - y)"),
            (lambda a: a[1] == 0.25, "step 2: put y into y (1 - y)"),
        ],
        2: [
            (lambda s: np.size(s) == 1, "step 2: a sum over k, one number"),
            (
                lambda s: not np.isclose(s, np.sum(ds[1][:, 0] * network.weights[1][:, 0])),
                "step 1: lists begin at 0",
            ),
            (
                lambda s: np.isclose(s, np.sum(ds[2][:, 0] * network.weights[2][:, 0])),
                "step 2: d_k of layer 3, and the column of ω that belongs to neuron 0",
            ),
        ],
    }
)

# %% [markdown]
# **1.** Where is the derivative of the sigmoid largest, and how large is it there?
#
# - Step 1: for which $y$ is $y (1 - y)$ largest, and for which $z$ is that?
# - Step 2: how large is it?

# %%
answer = ...  # a pair of z and the derivative
check(1, answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# $y (1 - y)$ is largest at $y = 1/2$, that is at $z = 0$.
#
# ```python
# answer = 0, 0.25
# z = np.linspace(-5, 5, 1001)
# slopes = sigmoid(z) * (1 - sigmoid(z))
# assert z[slopes.argmax()] == 0
# assert slopes.max() == 0.25
# ```
#
# </details>

# %% [markdown]
# **2.** Compute $\partial C / \partial y_0^{(2)}$ for the first neuron of layer 2 by formula (33),
# from `network.weights` and `ds`. A difference, as in chapter 0, checks the result.
#
# - Step 1: which index has layer 3 in the two lists?
# - Step 2: which entries of them are in the sum over $k$?

# %%
answer = ...
check(2, answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# Those of layer 3, at index 2. The cost changes by $h \sum_k d_k \omega_{k0}$, up to terms of order
# $h^2$.
#
# ```python
# answer = np.sum(ds[2][:, 0] * network.weights[2][:, 0])
#
# y2 = x
# for omega, theta in zip(network.weights[:2], network.biases[:2], strict=True):
#     y2 = sigmoid(omega @ y2 + theta)
#
#
# def cost(y):
#     for omega, theta in zip(network.weights[2:], network.biases[2:], strict=True):
#         y = sigmoid(omega @ y + theta)
#     return ((y - target) ** 2).item()
#
#
# h = np.zeros_like(y2)
# h[0] = 1e-5
# assert np.isclose((cost(y2 + h) - cost(y2 - h)) / 2e-5, answer, rtol=1e-5)
# ```
#
# </details>

# %% [markdown]
# **Next:** the gradient says in which direction the cost grows. Chapter 6 goes the other way, step
# by step.
