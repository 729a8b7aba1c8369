# %% [markdown]
"""
# 15. Second derivatives

Afterwards you can compute derivatives of derivatives, and use them for Newton's method.

*Time to read: 6 minutes.*
"""

# %% [markdown]
# A vjp rule is itself a computation. Run on tensors, it is recorded, and its result can be
# differentiated again: `create_graph=True` records the backward pass. A backward pass frees the
# record it has used, unless `retain_graph=True` or `create_graph=True` keeps it. An argument that a
# result does not depend on needs `allow_unused=True`: its gradient is None. The slope of a
# piecewise linear function such as ReLU is constant between the kinks: autograd records no
# dependence on `x`, and `autograd.grad` of such a slope raises `GraphError`.

# %%
import matplotlib.pyplot as plt
import numpy as np

import tinygrad_fc as tg
from tinygrad_fc import autograd, viz

x = tg.tensor(0.5, requires_grad=True)
y = x.tanh()
(slope,) = autograd.grad(y, x, create_graph=True)
(curvature,) = autograd.grad(slope, x, retain_graph=True)
t = np.tanh(0.5)
assert np.isclose(slope.item(), 1 - t**2)
assert np.isclose(curvature.item(), -2 * t * (1 - t**2))
viz.draw(slope, names={"x": x})

# %% [markdown]
# The picture is the graph of the slope. It begins with `tanh` and goes on with the rule
# `g * (1 - y * y)`, where `g` is 1. The gradient of `x` in it is the derivative of the slope: the
# curvature, -0.7269.
#
# tanh and its first three derivatives over an interval, each computed from the one before. Each
# value depends on its own point alone, so that the gradient of the sum has all slopes.

# %%
points = tg.linspace(-3, 3, 200).requires_grad_()
figure, axes = plt.subplots(figsize=(7, 3), layout="constrained")
value = points.tanh()
axes.plot(points.numpy(), value.numpy(), "-", label="tanh")
for order, style in ((1, "--"), (2, "-."), (3, ":")):
    (value,) = autograd.grad(value.sum(), points, create_graph=True)
    axes.plot(points.numpy(), value.numpy(), style, label=f"order {order}")
axes.set(xlabel="x")
axes.legend()
axes.grid(visible=True)

# %% [markdown]
# Newton's method divides the slope by the curvature. Near a minimum, each step doubles the number
# of correct digits.

# %%
u = tg.tensor(1.0, requires_grad=True)
for step in range(6):
    cost = u.exp() - 2 * u  # smallest at log 2
    (first,) = autograd.grad(cost, u, create_graph=True)
    (second,) = autograd.grad(first, u)
    with tg.no_grad():
        u -= first / second
    print(step, abs(u.item() - np.log(2)))
assert abs(u.item() - np.log(2)) < 1e-15

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
            (lambda h: np.shape(h) == (2, 2), "step 3: two rows of two numbers"),
            (
                lambda h: h[0][0] == 10 and h[1][1] == 0,
                "step 2: differentiate 2 u v by u, and u² by v",
            ),
            (lambda h: h[0][1] == h[1][0], "step 3: the order of the derivatives does not matter"),
            (
                lambda h: np.array_equal(h, [[10, 6], [6, 0]]),
                "step 1: the first derivatives, 2 u v and u²",
            ),
        ],
        2: [
            (lambda h: np.shape(h) == (2, 2), "step 3: two rows of two numbers"),
            (lambda h: h[0][0] == h[1][1] == 0, "step 2: it is linear in each weight alone"),
            (lambda h: np.array_equal(h, [[0, 3], [3, 0]]), "step 3: differentiate 3 w2 by w2"),
        ],
    }
)

# %% [markdown]
# **1.** Compute the matrix of the second derivatives, the Hessian, of $f(u, v) = u^2 v$ at (3, 5),
# by hand.
#
# - Step 1: what are the two first derivatives?
# - Step 2: differentiate each by its own variable.
# - Step 3: differentiate each by the other variable, and write the four numbers in two rows.

# %%
answer = ...  # [[..., ...], [..., ...]]
check(1, answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# The first derivatives are $2 u v$ and $u^2$; the second ones are $2 v$, $2 u$ and 0. A row is the
# gradient of one first derivative. Autograd and `autograd.functional.hessian` agree.
#
# ```python
# answer = [[10, 6], [6, 0]]
# u, v = (tg.tensor(number, requires_grad=True) for number in (3.0, 5.0))
# first = autograd.grad(u**2 * v, (u, v), create_graph=True)
# rows = [autograd.grad(slope, (u, v), retain_graph=True, allow_unused=True) for slope in first]
# assert [[0 if second is None else second.item() for second in row] for row in rows] == answer
# library = autograd.functional.hessian(lambda p: p[0] ** 2 * p[1], tg.tensor([3.0, 5.0]))
# assert np.allclose(library.numpy(), answer)
# ```
#
# </details>

# %% [markdown]
# **2.** ReLU is piecewise linear, and its second derivative is 0 away from the kink. Does a network
# of ReLUs have no curvature, then? Take $f(w_1, w_2) = w_2 \cdot \mathrm{relu}(3 w_1)$ at (1, 1).
# What is its Hessian?
#
# - Step 1: near (1, 1) the ReLU passes its input on. What is $f$ there, without it?
# - Step 2: how does it depend on one weight, if the other is fixed?
# - Step 3: differentiate the derivative by $w_1$ with respect to $w_2$.

# %%
answer = ...  # [[..., ...], [..., ...]]
check(2, answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# There $f = 3 w_1 w_2$: the weights of two layers are multiplied, and the Hessian is
# $\begin{pmatrix} 0 & 3 \\ 3 & 0 \end{pmatrix}$. It has the eigenvalues 3 and -3, so that (0, 0)
# is a saddle: a network of ReLUs is curved, although it is linear in its input between the kinks,
# and in each weight alone. For the input, the slope of a ReLU is a constant, so that nothing is
# recorded, and `autograd.grad` raises `GraphError`.
#
# ```python
# answer = [[0, 3], [3, 0]]
# f = lambda w: w[1] * (3 * w[0]).relu()
# library = autograd.functional.hessian(f, tg.tensor([1.0, 1.0]))
# assert np.array_equal(library.numpy(), answer)
# x = tg.tensor([-1.0, 2.0], requires_grad=True)
# (slope,) = autograd.grad(x.relu().sum(), x, create_graph=True)
# assert not slope.requires_grad
# try:
#     autograd.grad(slope.sum(), x)
# except tg.errors.GraphError as error:
#     print(error)
# ```
#
# </details>

# %% [markdown]
# **Next:** the whole training step is a computation, too. Chapter 16 prints it as a program.
