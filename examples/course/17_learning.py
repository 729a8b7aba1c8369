# %% [markdown]
"""
# 17. Why 100 epochs learn nothing

Afterwards you can read a training run (loss, gradient norms, saturated units), say what slows
down the network of the document, and state what you believe of it as properties.

*Time to read: 9 minutes.*
"""

# %% [markdown]
# The document, the tutorial "Fully connected neural networks (+ the neuron) and the
# back-propagation algorithm", trains 1-8-5-3-1 on $(\cos x + 1) / 2$ for 5000 epochs, and remarks
# that 100 epochs learn nothing. `viz.History` records why.

# %%
from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_fc as tg
from tinygrad_fc import nn, optim, viz
from tinygrad_fc.handderived import NeuralNetwork


def build(seed):
    """Return the document's network, with standard normal parameters."""
    sizes = [1, 8, 5, 3, 1]
    layers = []
    for n_in, n_out in pairwise(sizes):
        layers += [nn.Linear(n_in, n_out), nn.Sigmoid()]
    model = nn.Sequential(*layers)
    tg.manual_seed(seed)
    for parameter in model.parameters():
        nn.init.normal_(parameter)
    return model


def train(model, epochs, optimizer):
    """Train on batches of 40; return the record."""
    x = tg.linspace(-7, 7, 200).reshape(-1, 1)
    target = (x.cos() + 1) / 2
    criterion = nn.MSELoss(reduction="batchmean")
    with viz.History(model, criterion, optimizer) as history:
        for _ in range(epochs):
            for batch in tg.randperm(200).split(40):
                optimizer.zero_grad()
                criterion(model(x[batch]), target[batch]).backward()
                optimizer.step()
    return history


model = build(seed=0)
history = train(model, 100, optim.SGD(model.parameters(), lr=0.1))
figure = history.plot()

# %% [markdown]
# Of the modules, 0, 2, 4 and 6 are the layers 1 to 4, and 1, 3, 5 and 7 their
# activations. The loss falls by a few percent only, and stays near 0.13, the variance of the target
# on [-7, 7]: the network returns little more than its mean. The gradients of the first two layers
# are several times smaller than that of the last, and a fifth of the outputs of layer 1, over units
# (neurons) and samples, is *saturated*: so close to 0 or 1 that the derivative of the sigmoid is
# less than a tenth of its largest. In the histograms the outputs of layer 1 pile up at 0 and 1, and
# $d$ gets wider from layer to layer:

# %%
x = tg.linspace(-7, 7, 200).reshape(-1, 1)
with viz.record(model):
    loss = nn.functional.mse_loss(model(x), (x.cos() + 1) / 2)
nodes = viz.graph(loss).nodes  # linear, sigmoid, linear, ..., mse_loss
figure, rows = plt.subplots(2, 4, figsize=(11, 4.5), layout="constrained", sharex="row")
for layer in range(4):
    linear, activation = nodes[2 * layer], nodes[2 * layer + 1]
    rows[0, layer].hist(activation.value.ravel(), bins=30, range=(0, 1))
    rows[0, layer].set(title=f"y of layer {layer + 1}")
    rows[1, layer].hist(linear.gradient.ravel(), bins=30, color="tab:orange")
    rows[1, layer].set(title=f"d of layer {layer + 1}")
    rows[1, layer].ticklabel_format(style="sci", scilimits=(0, 0), axis="x")

# %% [markdown]
# A likely reason why 100 epochs learn nothing is the vanishing gradient: the first layers, which
# have to place the waves of the cosine, get small gradients, as their $d$ has gone through up to
# three more factors $\mathrm{Act}'$, and part of their units is saturated. More epochs do learn. An
# optimizer that divides each step by the size of past gradients leaves the plateau within 100:

# %%
longer = train(model, 1900, optim.SGD(model.parameters(), lr=0.1))
adam_model = build(seed=0)
adam = train(adam_model, 100, optim.Adam(adam_model.parameters(), lr=0.03))
for name, record in (("SGD, 100", history), ("SGD, 2000", longer), ("Adam, 100", adam)):
    print(name, "epochs:", np.mean(record.loss[-5:]))
assert np.mean(longer.loss[-5:]) < np.mean(history.loss[-5:]) / 2
assert np.mean(adam.loss[-5:]) < np.mean(history.loss[-5:]) / 2

# %% [markdown]
# One run is an example. A property says what holds for all of them, and hypothesis looks for a
# counterexample. The most important property of this library: for any sizes and any parameters,
# autograd agrees with the derivation by hand.

# %%


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 6), min_size=2, max_size=5), st.integers(0, 2**32 - 1))
def autograd_agrees_with_the_derivation(sizes, seed):
    """Compare all gradients of one sample."""
    network = NeuralNetwork(sizes, rng=seed)
    rng = np.random.default_rng(seed)
    sample, target = rng.standard_normal((sizes[0], 1)), rng.uniform(size=(sizes[-1], 1))
    y = tg.tensor(sample.T)
    parameters = []
    for omega, theta in zip(network.weights, network.biases, strict=True):
        weight, bias = (tg.tensor(a, requires_grad=True) for a in (omega, theta.T))
        parameters.append((weight, bias))
        y = (y @ weight.T + bias).sigmoid()
    ((y - tg.tensor(target.T)) ** 2).sum().backward()
    for (weight, bias), omega, theta in zip(
        parameters, *network.backprop(sample, target), strict=True
    ):
        np.testing.assert_allclose(weight.grad.numpy(), omega, atol=1e-12)
        np.testing.assert_allclose(bias.grad.numpy(), theta.T, atol=1e-12)


autograd_agrees_with_the_derivation()

# %% [markdown]
# ## Exercises
#
# Write an answer in place of the three dots and run the cell: `check` says that it is right, or
# which step to look at again. The solutions are folded.

# %% tags=["remove-cell"] jupyter={"source_hidden": true}
from tinygrad_fc.utils.course import exercises


def falls(rate):
    """Return whether a step of the answer does not increase the loss, for a few seeds."""
    target = (x.cos() + 1) / 2
    for seed in range(20):
        model = build(seed)
        before = nn.functional.mse_loss(model(x), target)
        before.backward()
        optim.SGD(model.parameters(), lr=rate).step()
        if nn.functional.mse_loss(model(x), target).item() > before.item():
            return False
    return True


check = exercises(
    {
        1: [
            (lambda v: not np.isclose(v, 1 / 2), "step 2: the factor 1/2 is squared"),
            (
                lambda v: not np.isclose(v, 1 / 4),
                "step 1: the variance of the cosine is 1/2, not 1",
            ),
            (lambda v: np.isclose(v, 1 / 8), "step 3: the constant 1/2 does not count"),
        ],
        2: [
            (lambda rate: rate > 0, "step 1: a step against the gradient has a positive rate"),
            (falls, "step 2: the rate must be small enough for every seed"),
        ],
    }
)

# %% [markdown]
# **1.** The loss of a network that always returns the mean of the target is the variance of the
# target. What is it for $(\cos x + 1) / 2$ over whole periods?
#
# - Step 1: what is the variance of the cosine, the mean of its square?
# - Step 2: what does the factor 1/2 do to a variance?
# - Step 3: and the constant?

# %%
answer = ...
check(1, answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# The variance of the cosine is 1/2, and the factor 1/2 is squared: 1/8. Over [-7, 7], which is a
# little more than two periods, it is 0.1315: the plateau of the loss above.
#
# ```python
# answer = 1 / 8
# over_periods = (np.cos(np.linspace(0, 2 * np.pi, 1000, endpoint=False)) + 1) / 2
# assert np.isclose(over_periods.var(), answer)
# variance = ((np.cos(np.linspace(-7, 7, 200)) + 1) / 2).var()
# assert np.isclose(variance, 0.1315, atol=1e-4)
# assert np.isclose(np.mean(history.loss[-5:]), variance, rtol=0.05)
# ```
#
# </details>

# %% [markdown]
# **2.** With a small enough learning rate, one step of gradient descent does not increase the loss
# on the batch it was computed from. Which rate is small enough for this network? Then state it as a
# property, with hypothesis, over seeds.
#
# - Step 1: by how much does the loss change, to first order?
# - Step 2: try rates, from large to small.

# %%
answer = ...
check(2, answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# To first order, the loss falls by the learning rate times the squared norm of the gradient.
#
# ```python
# answer = 1e-3
#
#
# @settings(max_examples=10, deadline=None)
# @given(st.integers(0, 2**32 - 1))
# def a_small_step_does_not_increase_the_loss(seed):
#     model = build(seed)
#     target = (x.cos() + 1) / 2
#     before = nn.functional.mse_loss(model(x), target)
#     before.backward()
#     optim.SGD(model.parameters(), lr=answer).step()
#     assert nn.functional.mse_loss(model(x), target).item() <= before.item()
#
#
# a_small_step_does_not_increase_the_loss()
# ```
#
# </details>

# %% [markdown]
# **Next:** better rules than plain gradient descent train this network in fewer steps. Chapter 18
# derives two of them.
