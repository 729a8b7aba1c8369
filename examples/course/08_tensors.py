# %% [markdown]
"""
# 8. Tensors, and why a bias gradient is a sum

Afterwards you can write the rules of operations on arrays, undo broadcasting, and say why the
gradient of a bias is the sum over the batch.
"""

# %% [markdown]
# For arrays, the local derivative would be a matrix, the Jacobian, with an entry $\partial y_i /
# \partial x_j$ for each pair of an output and an input. No rule computes this matrix. A rule takes
# `g`, the gradient of the cost with respect to the result (its *cotangent*), and returns the
# gradient of an argument, $\sum_i g_i \, \partial y_i / \partial x_j$: a vector-Jacobian product,
# *vjp* for short, in one line of NumPy.
#
# `explain` shows operations and their rules. In brackets stands the *domain* of an argument: the
# values and shapes it may have, with letters for lengths.

# %%
import numpy as np

import tinygrad_fc as tg
from tinygrad_fc import nn, viz
from tinygrad_fc.ops.linalg import linear

for op in (tg.tanh, np.multiply, np.sum, linear):
    print(viz.explain(op), end="\n\n")

# %% [markdown]
# In a layer, `x @ weight.T + bias`, the bias (n,) is broadcast along the batch (N, n): one number
# is used N times. By the rule of chapter 6, what is used several times gets the sum. Broadcasting
# is copying, and the gradient of copying is summing.

# %%
rng = np.random.default_rng(0)
x, g = rng.standard_normal((40, 3)), rng.standard_normal((40, 2))
weight = tg.tensor(rng.standard_normal((2, 3)), requires_grad=True)
bias = tg.tensor(np.zeros(2), requires_grad=True)
z = tg.tensor(x) @ weight.T + bias
loss = (z * tg.tensor(g)).sum()  # the derivative of Σ z g with respect to z is g
picture = viz.draw(loss, names={"weight": weight, "bias": bias})
loss.backward()
assert np.allclose(bias.grad.numpy(), g.sum(axis=0))
assert np.allclose(weight.grad.numpy(), g.T @ x)
picture

# %% [markdown]
# The rules do not know of broadcasting: that of `add` returns `g` for both arguments. The engine
# sums a gradient over the axes along which its argument was broadcast, in one place for all
# operations. (`linear` is an operation of its own, whose rule for the bias writes the sum out.)

# %%


def unbroadcast(gradient, shape):
    """Return the gradient of an argument of `shape` that was broadcast."""
    extra = gradient.ndim - len(shape)
    gradient = gradient.sum(axis=tuple(range(extra)))  # no axes: unchanged
    stretched = tuple(i for i, n in enumerate(shape) if n == 1 and gradient.shape[i] != 1)
    return gradient.sum(axis=stretched, keepdims=True)


assert unbroadcast(g, (2,)).shape == (2,)
assert unbroadcast(g, (40, 1)).shape == (40, 1)
assert np.allclose(unbroadcast(g, (2,)), bias.grad.numpy())

# %% [markdown]
# ## Exercises
#
# **1.** A loss is the mean over the batch, so that `g` contains the factor $1/N$. Is the gradient
# of a bias then a sum or a mean of the samples' gradients?

# %% tags=["hide-cell"]
# The rule sums the cotangent over the samples, and the cotangent has the factor 1/N from the mean:
# the result is the mean of the samples' gradients.
model = nn.Linear(3, 1)
data, target = tg.tensor(x), tg.zeros(40, 1)
nn.functional.mse_loss(model(data), target).backward()
gradients = []
for row in range(40):
    (gradient,) = tg.autograd.grad(((model(data[row : row + 1])) ** 2).sum(), model.bias)
    gradients.append(gradient.item())
assert np.isclose(model.bias.grad.item(), np.mean(gradients))

# %% [markdown]
# **2.** Write the vjp rule for `y = x.mean()` of a matrix, and compare it with autograd's gradient.


# %% tags=["hide-cell"]
def mean_rule(g, x):
    """Return the gradient of the argument of a mean: each entry has the derivative 1 / n."""
    return np.full(x.shape, g / x.size)


t = tg.tensor(x, requires_grad=True)
(t.mean() * 3.0).backward()
assert np.allclose(t.grad.numpy(), mean_rule(3.0, x))
