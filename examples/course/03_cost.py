# %% [markdown]
"""
# 3. The cost

Afterwards you can compute the cost of a sample and of a batch by formulas (5) and (6), and choose
the reduction of a loss, the way in which it makes one number of all squares, that matches them.
"""

# %% [markdown]
# For one sample the document takes the squared distance to the expected output $\hat y$, formula
# (5), and for a batch of $n$ samples the mean of their costs, formula (6):
#
# $$ C_{b} = \sum_i ( y_i^{(L)} - \hat y_i )^2, \qquad C = \frac{1}{n} \sum_{b} C_{b} $$
#
# The sum goes over the output neurons, the mean over the samples. (The document writes $bi$ for
# $b$ and $bn$ for $n$.)

# %%
import matplotlib.pyplot as plt
import numpy as np

import tinygrad_fc as tg
from tinygrad_fc import nn
from tinygrad_fc.errors import ShapeError

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
# **1.** An epoch of 7 samples is cut into batches of 3, 3 and 1. Is the mean of the three batch
# costs the cost of all samples? If not, which factors $w_k$ make $\sum_k w_k C_k$ of the three
# batch costs $C_k$ the cost of all samples?

# %% tags=["hide-cell"]
# The last batch is divided by its own length, so its one sample would count three times as much.
sample_costs = np.arange(1.0, 8.0)
batches = [sample_costs[:3], sample_costs[3:6], sample_costs[6:]]
means = np.array([batch.mean() for batch in batches])
assert not np.isclose(means.mean(), sample_costs.mean())
assert np.isclose(np.average(means, weights=[3, 3, 1]), sample_costs.mean())

# %% [markdown]
# **2.** Outputs have the shape (3, 1), targets the shape (3,). How many pairs would NumPy
# compare, and what does `batch_cost` do? Try it.

# %% tags=["hide-cell"]
# Broadcasting makes (3, 3) of them: nine pairs instead of three. The loss refuses.
column, row = np.zeros((3, 1)), np.ones(3)
assert (column - row).size == 9
try:
    batch_cost(tg.tensor(column), tg.tensor(row))
except ShapeError as error:
    print(error)
else:
    raise AssertionError
