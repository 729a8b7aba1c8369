# %% [markdown]
"""
# 2. The network

Afterwards you can compute a fully connected network by formulas (2) to (4), count its parameters,
and write the same network with `nn.Sequential`.

*Time to read: 7 minutes.*
"""

# %% [markdown]
# Layer 0 is the input, layer $L$ the output. Each neuron of a layer is connected to each neuron
# of the next one:
#
# $$ z_i^{(l)} = \sum_j \omega_{ij}^{(l)} y_j^{(l-1)} + \theta_i^{(l)}, \qquad
#    y_i^{(l)} = \mathrm{Act}( z_i^{(l)} ) $$
#
# The weight $\omega_{ij}$ leads from neuron $j$ to neuron $i$ of the next layer. These are formulas
# (3) and (2); put together they are (4), the forward pass. For all neurons of a layer at once, the
# sum is a product: $z^{(l)} = \omega^{(l)} y^{(l-1)} + \theta^{(l)}$.

# %%
from itertools import pairwise

import numpy as np

import tinygrad_fc as tg
from tinygrad_fc import nn, viz
from tinygrad_fc.handderived import NeuralNetwork, sigmoid

sizes = [1, 8, 5, 3, 1]
rng = np.random.default_rng(0)
weights = [rng.standard_normal((n_out, n_in)) for n_in, n_out in pairwise(sizes)]
biases = [rng.standard_normal((n_out, 1)) for n_out in sizes[1:]]


def forward(x):
    """Return the output for a column x (n_0, 1), formula (4)."""
    y = x
    for omega, theta in zip(weights, biases, strict=True):
        z = omega @ y + theta
        y = sigmoid(z)
    return y


x = np.array([[0.5]])
print(forward(x))

# %% [markdown]
# The library has two such networks: `NeuralNetwork` is the program of the document (the tutorial
# "Fully connected neural networks (+ the neuron) and the back-propagation algorithm", see chapter
# 1) and takes one sample, a column; `nn.Sequential`, as in PyTorch, takes a batch of samples, its
# rows.
#
# | | document, `NeuralNetwork` | `nn.Sequential` |
# |---|---|---|
# | input | one sample, $(n_0, 1)$ | $N$ samples, $(N, n_0)$ |
# | weight, bias | $(n_l, n_{l-1})$, $(n_l, 1)$ | $(n_l, n_{l-1})$, $(n_l,)$ |
# | layer | `omega @ y + theta` | `x @ weight.T + bias` |
#
# A *module* is a part of a model with its parameters. `nn.Sequential` counts its modules from 0,
# activations included, so that layer 1 is module 0 and layer 2 is module 2. Inside `tg.no_grad()`
# nothing is recorded, which is how a parameter can be overwritten.

# %%
by_hand = NeuralNetwork(sizes)
by_hand.weights, by_hand.biases = weights, biases

layers = []
for n_in, n_out in pairwise(sizes):
    layers += [nn.Linear(n_in, n_out), nn.Sigmoid()]
model = nn.Sequential(*layers)
with tg.no_grad():
    for linear, omega, theta in zip(model[::2], weights, biases, strict=True):  # without Sigmoid
        linear.weight.copy_(tg.tensor(omega))
        linear.bias.copy_(tg.tensor(theta[:, 0]))

assert np.allclose(forward(x), by_hand.feedforward(x))
assert np.allclose(forward(x), model(tg.tensor(x)).numpy())
model

# %% [markdown]
# Under `viz.record` the picture shows which module each operation belongs to. The result is
# no single number yet, so every gradient is absent.

# %%
batch = tg.linspace(-1, 1, 40).reshape(-1, 1)
with viz.record(model):
    output = model(batch)
viz.draw(output)

# %% [markdown]
# ## Exercises
#
# Write an answer in place of the three dots and run the cell: `check` says that it is right, or
# which step to look at again. The solutions are folded.

# %% tags=["remove-cell"] jupyter={"source_hidden": true}
from tinygrad_fc.utils.course import exercises


def linear_only(x):
    """Return the output of the network without activations."""
    return nn.Sequential(*model[::2])(tg.tensor([[float(x)]])).numpy()


check = exercises(
    {
        1: [
            (lambda n: n != 66, "step 2: each neuron has a bias, too"),
            (lambda n: n not in (17, 18), "step 1: a weight for each pair of neurons"),
            (lambda n: n != 84, "step 2: the input is no neuron with a bias"),
            (lambda n: n == 83, "step 3: the sum over the layers 1 to 4"),
        ],
        2: [
            (
                lambda a: np.shape(a[0]) == (1, 1),
                "step 1: the product of the weights has the shape (1, 1)",
            ),
            (lambda a: np.allclose(a[0], linear_only(1) - linear_only(0)), "step 2: the weight"),
            (lambda a: np.allclose(a[1], linear_only(0)), "step 3: the bias"),
        ],
    }
)

# %% [markdown]
# **1.** How many parameters does the network 1-8-5-3-1 have?
#
# - Step 1: how many weights lead from one layer to the next?
# - Step 2: how many biases has a layer?
# - Step 3: add up.

# %%
answer = ...
check(1, answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# Layer $l$ has a weight for each pair of its neurons and those of the layer before, and a bias for
# each neuron.
#
# ```python
# answer = 8 * 1 + 8 + 5 * 8 + 5 + 3 * 5 + 3 + 1 * 3 + 1
# assert answer == sum(p.numel() for p in model.parameters())
# ```
#
# </details>

# %% [markdown]
# **2.** Without activations, a network of any depth is a single linear layer. Compute its weight
# and its bias for the network above, from `weights` and `biases`.
#
# - Step 1: begin with $A x + b$, where $A = 1$ and $b = 0$, so that each has the shape (1, 1).
# - Step 2: what is $A$ after one more layer?
# - Step 3: what is $b$?

# %%
answer = ...  # a pair of the weight and the bias
check(2, answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# Each layer maps $A x + b$ to $\omega (A x + b) + \theta$: the new $A$ is $\omega A$, the new $b$
# is $\omega b + \theta$.
#
# ```python
# total, shift = np.eye(1), np.zeros((1, 1))
# for omega, theta in zip(weights, biases, strict=True):
#     total, shift = omega @ total, omega @ shift + theta
# answer = total, shift
# ```
#
# </details>

# %% [markdown]
# **Next:** to say how good its outputs are, we need one number, the cost: chapter 3.
