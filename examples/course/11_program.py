# %% [markdown]
"""
# 11. The program, found

Afterwards you can let the library print the program that one would have written by hand, and match
each of its lines with a formula.
"""

# %% [markdown]
# `compile` runs a training step once with tracers, arrays that note what is done to them. Since
# the rules are NumPy, the backward pass is noted as well, and out comes a NumPy program: forward
# pass, backward pass, update.

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
# `viz.page(step, x, target, "backprop.html")` writes a page that puts graph, numbers, derivation
# and program side by side. It trains in the browser, by this very program. The start page of the
# documentation has one for 1-8-5-3-1.

# %% [markdown]
# The line `d2 = ...` is formula (13), `d1 = ...` formula (36): the lines that chapters 4 and 5
# derived. The graph that it came from:

# %%
with viz.record(model):
    loss = criterion(model(x), target)
viz.draw(loss)

# %% [markdown]
# ## Exercises
#
# **1.** The document's program takes samples one at a time and sums their gradients. Show that
# one call of `step` changes the weights as `update_batch` does.
#
# The batch's cost (6) is the mean of the samples' costs, so its gradient is their mean.

# %% tags=["hide-input"]
network = NeuralNetwork(sizes)
network.weights = [layer.weight.numpy().copy() for layer in model[::2]]
network.biases = [layer.bias.numpy().copy()[:, None] for layer in model[::2]]
samples = list(zip(x.numpy()[:, :, None], target.numpy()[:, :, None], strict=True))
network.update_batch(samples, 0.1)
step(x, target)
for layer, omega, theta in zip(model[::2], network.weights, network.biases, strict=True):
    assert np.allclose(layer.weight.numpy(), omega)
    assert np.allclose(layer.bias.numpy(), theta[:, 0])

# %% [markdown]
# **2.** Which sums of the derivation over samples does the program contain, and as which
# operation?
#
# A weight gradient is a product of matrices, `d.T @ y`: its inner sum goes over the samples.

# %% tags=["hide-input"]
d, y = np.random.default_rng(0).standard_normal((2, 5, 3))
assert np.allclose(d.T @ y, sum(np.outer(d[k], y[k]) for k in range(5)))
