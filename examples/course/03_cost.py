# %% [markdown]
"""
# 3. The cost

Afterwards you can compute the cost of a sample and of a batch by formulas (5) and (6), and choose
the reduction of a loss, the way in which it makes one number of all squares, that matches them.

*Time to read: 5 minutes.*
"""

# %% [markdown]
# The output of the network is written $\hat y = y^{(L)}$, the target, which it should be, $y$. For
# one sample the document (the tutorial "Fully connected neural networks (+ the neuron) and the
# back-propagation algorithm", see chapter 1) takes the squared distance of the two, formula (5),
# and for a batch of $n$ samples the mean of their costs, formula (6):
#
# $$ C_{b} = \sum_i ( \hat y_i - y_i )^2, \qquad C = \frac{1}{n} \sum_{b} C_{b} $$
#
# The sum goes over the output neurons, the mean over the samples. (The document writes $\hat y$
# for the target, $bi$ for $b$ and $bn$ for $n$.)

# %%
import matplotlib.pyplot as plt
import numpy as np
from tinygrad_fc.errors import ShapeError

import tinygrad_fc as tg
from tinygrad_fc import nn

outputs = np.array([[0.8, 0.1], [0.4, 0.6], [0.5, 0.5]])  # 3 samples, 2 output neurons
targets = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
costs = ((outputs - targets) ** 2).sum(axis=1)
cost = costs.mean()
print(costs, cost)

# %% [markdown]
# PyTorch's `MSELoss` divides by the number of all elements: it is formula (6) divided by the number
# of output neurons, here 2. The reduction `"batchmean"` is formula (6) itself.

# %%
batch_cost = nn.MSELoss(reduction="batchmean")
y = tg.tensor(outputs)
assert np.isclose(batch_cost(y, tg.tensor(targets)).item(), cost)
assert np.isclose(nn.MSELoss()(y, tg.tensor(targets)).item(), cost / 2)

# %% [markdown]
# The cost as a function of one output is a parabola. Its slope is formula (8), with which the next
# chapter begins.

# %%
ys = np.linspace(0, 1, 100)
figure, axes = plt.subplots(figsize=(6, 3), layout="constrained")
axes.plot(ys, (ys - 0.75) ** 2, label="cost for the target 0.75")
axes.plot(ys, 2 * (ys - 0.75), "--", label="its derivative")
axes.axhline(0, color="0.7", linewidth=0.8)
axes.set(xlabel="y")
axes.legend()
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
            (lambda w: len(w) == 3, "step 1: a factor for each batch"),
            (lambda w: np.isclose(np.sum(w), 1), "step 2: they must add up to 1"),
            (lambda w: w[0] != w[2], "step 3: the last batch has one sample, not three"),
            (lambda w: np.allclose(w, [3 / 7, 3 / 7, 1 / 7]), "step 3: the share of the samples"),
        ],
        2: [
            (lambda a: a[0] not in (3, 6), "step 1: (3, 1) and (3,) are broadcast to (3, 3)"),
            (lambda a: a[0] == 9, "step 2: the number of elements of that shape"),
            (lambda a: a[1] is ShapeError, "step 3: the class of the error"),
        ],
    }
)

# %% [markdown]
# **1.** An epoch of 7 samples is cut into batches of 3, 3 and 1. The mean of the three batch costs
# is not the cost of all samples. Which factors $w_k$ make $\sum_k w_k C_k$ of the three batch costs
# $C_k$ the cost of all samples?
#
# - Step 1: there is one factor for each batch.
# - Step 2: if all samples had the cost 1, what would the sum have to be?
# - Step 3: which part of the samples is in each batch?

# %%
answer = ...  # a list of three numbers
check(1, answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# Each batch cost is divided by the batch's own length. In the mean of the three, the one sample of
# the last batch would count three times as much as the others.
#
# ```python
# answer = [3 / 7, 3 / 7, 1 / 7]
# sample_costs = np.arange(1.0, 8.0)
# means = [sample_costs[:3].mean(), sample_costs[3:6].mean(), sample_costs[6:].mean()]
# assert not np.isclose(np.mean(means), sample_costs.mean())
# assert np.isclose(np.dot(answer, means), sample_costs.mean())
# ```
#
# </details>

# %% [markdown]
# **2.** Outputs have the shape (3, 1), targets the shape (3,). How many pairs would NumPy
# compare, and which error does `batch_cost` raise? Try it.
#
# - Step 1: to which shape does NumPy broadcast the two?
# - Step 2: how many elements has it?
# - Step 3: call `batch_cost` and read the last line of the error.

# %%
answer = ...  # a pair of the number and the class of the error
check(2, answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# Broadcasting makes (3, 3) of them: nine pairs instead of three. The loss refuses.
#
# ```python
# column, row = np.zeros((3, 1)), np.ones(3)
# try:
#     batch_cost(tg.tensor(column), tg.tensor(row))
# except ShapeError as error:
#     print(error)
# answer = (column - row).size, ShapeError
# ```
#
# </details>

# %% [markdown]
# **Next:** how does the cost change with a weight of the last layer? Chapter 4 applies the chain
# rule of chapter 0 to it.
