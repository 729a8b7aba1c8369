# %% [markdown]
"""
# 19. Shared weights

Afterwards you can derive the gradient of a weight that is used many times, in an unrolled
recurrence and in a convolution, and say what it means that back-propagation generalises.

*Time to read: 8 minutes.*
"""

# %% [markdown]
# The derivation of chapters 4 and 5 lets each weight act in one place. Let a weight $w$ stand in
# $T$ places. Give each place a weight of its own, $w_1, \dots, w_T$; the cost is a function of all
# of them, and all have the value $w$. By the chain rule, as each $w_t$ moves with $w$ at rate 1,
#
# $$ \frac{\partial C}{\partial w} = \sum_{t=1}^{T} \frac{\partial C}{\partial w_t} $$
#
# So each place computes its gradient as if it were alone, and the gradients are added. That is all
# there is to sharing, and it is why a backward pass adds into `grad`.
#
# A recurrence uses the same weights at each time: $h_t = \tanh( W h_{t-1} + U x_t )$. Unrolled, it
# is a network of $T$ layers, with $d_t = \partial C / \partial z_t$ as in chapter 5, and
#
# $$ \frac{\partial C}{\partial W} = \sum_t d_t h_{t-1}^T, \qquad
#    d_{t-1} = ( W^T d_t ) \odot \tanh'( z_{t-1} ) $$

# %%
import matplotlib.pyplot as plt
import numpy as np

import tinygrad_fc as tg

rng = np.random.default_rng(0)
steps, width = 6, 3
W, U = rng.standard_normal((width, width)) / 2, rng.standard_normal((width, 1))
x = rng.standard_normal(steps)

hs = [np.zeros(width)]
for t in range(steps):
    hs.append(np.tanh(W @ hs[-1] + U[:, 0] * x[t]))
g, by_hand, sizes = 2 * hs[-1], np.zeros_like(W), []  # of the cost, the sum of h_T²
for t in reversed(range(steps)):
    d = g * (1 - hs[t + 1] ** 2)
    by_hand += np.outer(d, hs[t])  # each time adds its part
    sizes.append(np.linalg.norm(d))
    g = W.T @ d

weight, inputs = tg.tensor(W, requires_grad=True), tg.tensor(U[:, 0])
h = tg.zeros(width)
for t in range(steps):
    h = (weight @ h + inputs * float(x[t])).tanh()
(h**2).sum().backward()
assert np.allclose(weight.grad.numpy(), by_hand)
print(by_hand)

figure, axes = plt.subplots(figsize=(6, 2.6), layout="constrained")
axes.semilogy(range(steps, 0, -1), sizes, "o-")
axes.set(xlabel="t", ylabel="norm of $d_t$")

# %% [markdown]
# The curve is that of chapter 9 with time in the place of layers: the product of $W^T$ and
# $\tanh'$ over many steps vanishes, or grows.
#
# A convolution shares weights, too. A kernel of three numbers slides over a signal:
# $y_i = \sum_j k_j x_{i+j}$. That is a fully connected layer whose matrix holds the same three
# numbers in each row, shifted, and zeros elsewhere. The gradient of the whole matrix is
# $d\,x^T$, formula (37); that of $k_j$ is the sum of its entries where $k_j$ stands:
#
# $$ \frac{\partial C}{\partial k_j} = \sum_i d_i x_{i+j} $$

# %%
kernel, signal = np.array([1.0, -2.0, 1.0]), rng.standard_normal(7)
rows, columns = np.indices((5, 7))
offset = columns - rows
matrix = np.where((offset >= 0) & (offset < 3), kernel[np.clip(offset, 0, 2)], 0.0)
print(matrix)
assert np.allclose(matrix @ signal, np.correlate(signal, kernel))

d = 2 * (matrix @ signal)  # of the cost, the sum of y²
whole = np.outer(d, signal)
of_kernel = [whole[offset == j].sum() for j in range(3)]

shared = tg.tensor(kernel, requires_grad=True)
windows = tg.tensor(np.lib.stride_tricks.sliding_window_view(signal, 3))
((windows @ shared) ** 2).sum().backward()
assert np.allclose(shared.grad.numpy(), of_kernel)

# %% [markdown]
# "The algorithm generalises to any network" means two things, then. Every computation is a graph of
# small operations, each of which knows its own derivative; and where a value is read more than
# once, the gradients from all its readers are added. Layers, formulas (13) to (38), are the case in
# which each value has one reader of the next layer's kind.
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
            (lambda a: a != 6, "step 2: there is a second place"),
            (lambda a: a == 12, "step 1: the derivative of w · (w · x) in each place is w · x"),
        ],
        2: [
            (
                lambda f: np.shape(f(np.ones(5), np.ones(7))) == (3,),
                "step 1: one number for each of the three of the kernel",
            ),
            (
                lambda f: np.allclose(
                    f(np.arange(5.0), signal), np.correlate(signal, np.arange(5.0))
                ),
                "step 2: d_i meets x_(i + j)",
            ),
        ],
    }
)

# %% [markdown]
# **1.** What is the derivative of $f = w \cdot (w \cdot x)$ with respect to $w$ at $w = 3$,
# $x = 2$, as the sum over the two places?
#
# - Step 1: hold the inner $w$ fixed. What is the derivative by the outer one?
# - Step 2: and by the inner one?

# %%
answer = ...
check(1, answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# Each place gives $w x = 6$: the sum is $2 w x = 12$.
#
# ```python
# answer = 12
# w = tg.tensor(3.0, requires_grad=True)
# (w * (w * 2.0)).backward()
# assert w.grad.item() == answer
# ```
#
# </details>

# %% [markdown]
# **2.** Write the gradient of a kernel of three numbers: a function of $d$, 5 numbers, and of the
# signal, 7 numbers.
#
# - Step 1: how many numbers has the gradient?
# - Step 2: for $k_j$, which element of the signal meets $d_i$?

# %%
answer = ...  # a function, called as answer(d, signal)
check(2, answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def answer(d, signal):
#     return np.array([d @ signal[j : j + 5] for j in range(3)])
#
#
# assert np.allclose(answer(2 * (matrix @ signal), signal), of_kernel)
# ```
#
# </details>

# %% [markdown]
# **Next:** the sums of this chapter came from the rule of one product. Chapter 20 derives it.
