# %% [markdown]
"""
# 20. The rules of products and gates

Afterwards you can derive the vjp rule of a matrix product, and tell at a glance what addition,
maximum and multiplication do to a gradient.

*Time to read: 7 minutes.*
"""

# %% [markdown]
# Let $Y = A B$ be a part of a computation with the cost $C$, and $G$ its cotangent, $G_{ik} =
# \partial C / \partial Y_{ik}$. An entry of the product is $Y_{ik} = \sum_j A_{ij} B_{jk}$, so that
# $\partial Y_{ik} / \partial A_{ij} = B_{jk}$: $A_{ij}$ acts on the row $i$ of $Y$ alone. The chain
# rule adds up the ways through all entries of that row:
#
# $$ \frac{\partial C}{\partial A_{ij}} = \sum_k G_{ik} B_{jk} = ( G B^T )_{ij}, \qquad
#    \frac{\partial C}{\partial B_{jk}} = \sum_i A_{ij} G_{ik} = ( A^T G )_{jk} $$
#
# The shapes leave no other choice: $G$ is like $Y$, each gradient is like its argument, and only
# these two products fit. Formulas (33) and (37) are this rule for $A = $ the weights.

# %%
import matplotlib.pyplot as plt
import numpy as np

import tinygrad_fc as tg
from tinygrad_fc import viz

rng = np.random.default_rng(0)
A, B, G = (rng.standard_normal(shape) for shape in ((2, 3), (3, 4), (2, 4)))
a, b = tg.tensor(A, requires_grad=True), tg.tensor(B, requires_grad=True)
(a @ b).backward(tg.tensor(G))
assert np.allclose(a.grad.numpy(), G @ B.T)
assert np.allclose(b.grad.numpy(), A.T @ G)
print(viz.explain(tg.matmul))

# %% [markdown]
# Three small rules explain most of what one sees in a graph. Addition *distributes*: both arguments
# get the cotangent. Maximum *routes*: the larger argument gets all of it. Multiplication *swaps*:
# each argument gets the cotangent times the other one.


# %%
def gate(axes, name, inputs, output, gradients):
    """Draw an operation with its numbers: values above the arrows, gradients below."""
    axes.set(xlim=(0, 10), ylim=(0, 6), title=name)
    axes.axis("off")
    axes.add_patch(plt.Circle((5, 3), 0.9, fill=False))
    axes.text(5, 3, name.split(" ")[0], ha="center", va="center", fontsize=8)
    for y, value, gradient in zip((4.8, 1.2), inputs, gradients, strict=True):
        axes.annotate("", (4.2, 3 + (y - 3) / 3), (1, y), arrowprops={"arrowstyle": "->"})
        axes.text(1.6, y + 0.5, f"{value:g}", color="tab:blue")
        axes.text(1.6, y - 0.9, f"{gradient:g}", color="tab:red")
    axes.annotate("", (9, 3), (5.9, 3), arrowprops={"arrowstyle": "->"})
    axes.text(7, 3.4, f"{output:g}", color="tab:blue")
    axes.text(7, 2.1, "2", color="tab:red")


operations = {
    "add distributes": lambda p, q: p + q,
    "max routes": tg.maximum,
    "multiply swaps": lambda p, q: p * q,
}
figure, plots = plt.subplots(1, 3, figsize=(9, 2.6), layout="constrained")
for axes, (name, operation) in zip(plots, operations.items(), strict=True):
    p, q = (tg.tensor(number, requires_grad=True) for number in (3.0, -4.0))
    output = operation(p, q)
    output.backward(tg.tensor(2.0))
    gate(axes, name, (3.0, -4.0), output.item(), (p.grad.item(), q.grad.item()))

# %% [markdown]
# Blue are values, red gradients for the cotangent 2. A skip connection is an addition, which is why
# it passes a gradient on undiminished. ReLU is a maximum with 0: a router that may be closed. A
# gate of an LSTM multiplies: where it is near 0, nothing comes back to what it multiplies.
#
# ## Exercises
#
# Write an answer in place of the three dots and run the cell: `check` says that it is right, or
# which step to look at again. The solutions are folded.

# %% tags=["remove-cell"] jupyter={"source_hidden": true}
from tinygrad_fc.utils.course import exercises

check = exercises(
    {
        1: [
            (
                lambda f: [np.shape(g) for g in f(G, A, B)] == [A.shape, B.shape],
                "step 1: each gradient has the shape of its argument",
            ),
            (
                lambda f: all(map(np.allclose, f(G, A, B), (G @ B.T, A.T @ G))),
                "step 2: the cotangent stands where the other argument does not",
            ),
        ],
        2: [
            (lambda g: len(g) == 3 and g[1] == -3, "step 1: the maximum is y"),
            (lambda g: g[0] == 1, "step 2: x is read twice, and the maximum does not route to it"),
            (lambda g: g[2] == 5, "step 3: multiplication swaps"),
        ],
    }
)

# %% [markdown]
# **1.** Write the rule of a matrix product: a function of the cotangent $G$ and of $A$ and $B$ that
# returns the gradients of both.
#
# - Step 1: which shapes have the results?
# - Step 2: which product of $G$ with the other matrix has that shape?

# %%
answer = ...  # a function, called as answer(G, A, B)
check(1, answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def answer(G, A, B):
#     return G @ B.T, A.T @ G
# ```
#
# </details>

# %% [markdown]
# **2.** What are the gradients of $x$, $y$ and $z$ of $\max(x, y) \cdot z + x$ at $x = 2$, $y = 5$,
# $z = -3$? Do it by the three gates, without a formula.
#
# - Step 1: the addition hands 1 to the product. What does the product hand to the maximum, and the
#   maximum to $y$?
# - Step 2: what reaches $x$, on both ways?
# - Step 3: and $z$?

# %%
answer = ...  # (..., ..., ...)
check(2, answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# The product swaps: the maximum gets -3, and $z$ gets 5. The maximum routes all to $y$, and the
# addition hands 1 to $x$.
#
# ```python
# answer = (1, -3, 5)
# x, y, z = (tg.tensor(number, requires_grad=True) for number in (2.0, 5.0, -3.0))
# (tg.maximum(x, y) * z + x).backward()
# assert tuple(t.grad.item() for t in (x, y, z)) == answer
# ```
#
# </details>

# %% [markdown]
# **Next:** this is the last chapter. The how-to guides show how to train and save models of your
# own, and the page of chapter 16 answers where each number of a training step comes from.
