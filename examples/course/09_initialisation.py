# %% [markdown]
"""
# 9. Where to start: initialisation

Afterwards you can say why weights start at random, how large they should be, and what vanishing and
exploding gradients have to do with it.

*Time to read: 7 minutes.*
"""

# %% [markdown]
# Gradient descent needs a starting point. All zeros, or all equal, will not do: the neurons of a
# layer then compute the same, get the same gradient, and remain equal for ever, as if there were
# one of them. Random weights break this *symmetry*.

# %%
import matplotlib.pyplot as plt
import numpy as np

import tinygrad_fc as tg
from tinygrad_fc import nn

x = tg.linspace(-1, 1, 20).reshape(-1, 1)
model = nn.Sequential(nn.Linear(1, 4), nn.Tanh(), nn.Linear(4, 1))
for parameter in model.parameters():
    nn.init.constant_(parameter, 0.5)
nn.functional.mse_loss(model(x), x**2).backward()
print(model[0].weight.grad)
assert len(set(model[0].weight.grad.flatten().tolist())) == 1

# %% [markdown]
# ## How large?
#
# A neuron adds up $n$ products. If the inputs have the mean square $q$ and the weights are random
# with mean 0 and variance $\sigma^2$, the sum $z$ has the variance
#
# $$ \mathrm{Var}(z) = n \, \sigma^2 \, q $$
#
# since variances of independent terms are added up. With $\sigma = 1$ and 64 neurons each layer
# makes the numbers 8 times as large, and after a few layers each sigmoid or tanh is *saturated*, at
# its upper or lower end where its slope is almost 0. With $\sigma^2 = 1/n$ the numbers keep their
# size. The same holds for the backward pass, where $n$ is the number of outputs, by formula (33).
# Glorot and Bengio (2010) therefore take $\sigma^2 = 2 / (n_\mathrm{in} + n_\mathrm{out})$
# (`nn.init.xavier_normal_`), He et al. (2015) for ReLU, which cuts off half of the numbers,
# $\sigma^2 = 2 / n_\mathrm{in}$ (`nn.init.kaiming_normal_`).
#
# Here are ten layers of 64 tanh neurons, once with weights that are too small, once with Xavier's,
# and once too large.


# %%
def sizes_by_layer(scale, depth=10, width=64):
    """Return the size of y and of d in each layer, for weights `scale` times Xavier's."""
    tg.manual_seed(0)
    y = tg.randn(50, width)
    outputs, scores = [], []
    for _ in range(depth):
        weight = tg.empty(width, width).requires_grad_()
        nn.init.xavier_normal_(weight, gain=scale)
        z = y @ weight.T
        y = z.tanh()
        z.retain_grad()  # of a tensor that is no leaf
        scores.append(z)
        outputs.append(y.detach().numpy().std())
    (y * tg.randn(50, width)).sum().backward()
    return outputs, [z.grad.numpy().std() for z in scores]


figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3), layout="constrained")
results = {scale: sizes_by_layer(scale) for scale in (0.3, 1.0, 4.0)}
for (scale, (outputs, slopes)), style in zip(results.items(), ("-", "--", ":"), strict=True):
    layers = range(1, 11)
    left.plot(layers, outputs, style, label=f"{scale} times Xavier's")
    right.plot(layers, slopes, style)
left.set(xlabel="layer", title="size of y, forward", yscale="log")
right.set(xlabel="layer", title="size of d, backward", yscale="log")
left.legend()
for axes in (left, right):
    axes.grid(visible=True)
assert results[0.3][1][0] < 1e-3 * results[1.0][1][0]

# %% [markdown]
# Read the right picture from right to left, as the backward pass goes. With small weights $d$ gets
# smaller by the same factor in each layer: the **vanishing gradient**. The first layers learn
# nothing. With large ones the outputs are saturated at -1 and 1, and what arrives at the first
# layers depends on chance: it can also grow from layer to layer, the **exploding gradient**. With
# Xavier's it stays about the same.
#
# What else helps: activations whose slope is 1 over a wide range (ReLU), normalisation
# (`nn.BatchNorm1d`, `nn.LayerNorm`), and, for gradients that explode, `nn.utils.clip_grad_norm_`.
# `nn.Linear` starts as PyTorch's does, uniform between `-1 / sqrt(n)` and `1 / sqrt(n)`. Biases may
# start at 0.

# %% [markdown]
# ## Exercises
#
# Write an answer in place of the three dots and run the cell: `check` says that it is right, or
# which step to look at again. The solutions are folded.

# %% tags=["remove-cell"] jupyter={"source_hidden": true}
from tinygrad_fc.utils.course import exercises


def kept(weights):
    """Return which part of the mean square is left after 20 layers of ReLU."""
    y = start = np.random.default_rng(0).standard_normal((50, 200))
    for _ in range(20):
        y = np.maximum(y @ weights(200, 200).T, 0)
    return np.mean(y**2) / np.mean(start**2)


check = exercises(
    {
        1: [
            (lambda s: s != 25, "step 3: the root of the variance"),
            (lambda s: s != 50, "step 1: the variance of a weight is 0.5², not 0.5"),
            (lambda s: s == 5, "step 2: the number of terms, 100"),
        ],
        2: [
            (lambda f: f(50, 30).shape == (30, 50), "step 1: the shape is (n_out, n_in)"),
            (lambda f: abs(f(400, 300).mean()) < 0.01, "step 2: the mean is 0"),
            (
                lambda f: kept(f) > 0.1,
                "step 3: ReLU halves the mean square, so the weights must be larger",
            ),
            (lambda f: kept(f) < 10, "step 3: the variance 2 / n_in, and its root"),
        ],
    }
)

# %% [markdown]
# **1.** A neuron has 100 inputs with the mean square 1, and its weights have the standard deviation
# 0.5. What is the standard deviation of $z$?
#
# - Step 1: what is the variance of a weight?
# - Step 2: what is the variance of the sum?
# - Step 3: and the standard deviation?

# %%
answer = ...
check(1, answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# The variance is $100 \cdot 0.25 \cdot 1 = 25$, and its root is 5.
#
# ```python
# answer = 5
# ```
#
# </details>

# %% [markdown]
# **2.** Write a function of `n_in` and `n_out` that returns random weights for a layer of ReLUs,
# such that the numbers keep their size over 20 layers.
#
# - Step 1: which shape has the weight of `nn.Linear`?
# - Step 2: which mean do the weights have?
# - Step 3: which variance? ReLU sets half of the numbers to 0.

# %%
answer = ...  # a function, called as answer(n_in, n_out)
check(2, answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# The variance has to be $2 / n_\mathrm{in}$: twice that of a layer without ReLU.
#
# ```python
# rng = np.random.default_rng(0)
#
#
# def answer(n_in, n_out):
#     return rng.standard_normal((n_out, n_in)) * np.sqrt(2 / n_in)
# ```
#
# </details>

# %% [markdown]
# **Next:** a small cost on the samples at hand is not the aim. Chapter 10 is about those to come.
