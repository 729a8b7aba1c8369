# %% [markdown]
"""
# 13. Tensors, and why a bias gradient is a sum

Afterwards you can write the rules of operations on arrays, undo broadcasting, and say why the
gradient of a bias is the sum over the batch.

*Time to read: 7 minutes.*
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
from tinygrad_fc import viz
from tinygrad_fc.ops.linalg import linear

for op in (tg.tanh, np.multiply, np.sum, linear):
    print(viz.explain(op), end="\n\n")

# %% [markdown]
# In a layer, `x @ weight.T + bias`, the bias (n,) is broadcast along the batch (N, n): one number
# is used N times. By the rule of chapter 11, what is used several times gets the sum. Broadcasting
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
# Write an answer in place of the three dots and run the cell: `check` says that it is right, or
# which step to look at again. The solutions are folded.

# %% tags=["remove-cell"] jupyter={"source_hidden": true}
from tinygrad_fc.utils.course import exercises

check = exercises(
    {
        1: [
            (lambda a: a in ("sum", "mean"), 'step 1: answer with "sum" or "mean"'),
            (lambda a: a == "mean", "step 2: the sum of cotangents that contain 1/N"),
        ],
        2: [
            (
                lambda f: np.shape(f(1.0, x)) == x.shape,
                "step 1: a gradient has the shape of its argument",
            ),
            (lambda f: np.allclose(f(1.0, x), 1 / x.size), "step 2: the derivative of a mean"),
            (lambda f: np.allclose(f(3.0, x), 3 / x.size), "step 3: the cotangent is a factor"),
        ],
    }
)

# %% [markdown]
# **1.** A loss is the mean over the batch, so that `g` contains the factor $1/N$. Is the gradient
# of a bias then the sum or the mean of the samples' gradients?
#
# - Step 1: what does the rule of a bias do with `g`, `"sum"` or `"mean"`?
# - Step 2: which factor is in each entry of `g`?

# %%
answer = ...  # "sum" or "mean"
check(1, answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# The rule sums the cotangent over the samples, and the cotangent has the factor $1/N$ from the
# mean: the result is the mean of the samples' gradients.
#
# ```python
# from tinygrad_fc import nn
#
# answer = "mean"
# model = nn.Linear(3, 1)
# data, target = tg.tensor(x), tg.zeros(40, 1)
# nn.functional.mse_loss(model(data), target).backward()
# gradients = []
# for row in range(40):
#     (gradient,) = tg.autograd.grad(((model(data[row : row + 1])) ** 2).sum(), model.bias)
#     gradients.append(gradient.item())
# assert np.isclose(model.bias.grad.item(), np.mean(gradients))
# ```
#
# </details>

# %% [markdown]
# **2.** Write the vjp rule for `y = x.mean()` of a matrix: a function of `g`, a number, and `x`, an
# array.
#
# - Step 1: which shape has the result?
# - Step 2: what is the derivative of the mean with respect to one entry?
# - Step 3: where does `g` come in?

# %%
answer = ...  # a function, called as answer(g, x)
check(2, answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# Each of the $n$ entries has the derivative $1/n$.
#
# ```python
# def answer(g, x):
#     return np.full(x.shape, g / x.size)
#
#
# t = tg.tensor(x, requires_grad=True)
# (t.mean() * 3.0).backward()
# assert np.allclose(t.grad.numpy(), answer(3.0, x))
# ```
#
# </details>

# %% [markdown]
# **Next:** with a rule in one line, an operation of your own is not far: chapter 14.
