# %% [markdown]
"""
# 8. Classes: softmax and cross entropy

Afterwards you can turn the outputs of a network into probabilities of classes, measure them by
cross entropy, and say why its gradient is better than that of the squared error.

*Time to read: 8 minutes.*
"""

# %% [markdown]
# Which of three species is it? There is an output for each class. The outputs $z_i$ of the last
# layer, without an activation, are called *scores* or *logits*. The *softmax* makes probabilities
# of them: positive numbers that add up to 1.
#
# $$ p_i = \frac{e^{z_i}}{\sum_k e^{z_k}} $$
#
# A score that is larger by 1 has a probability that is 2.718 times as large. Adding the same number
# to all scores changes nothing, so that the largest score may be subtracted first: then no
# exponential overflows.

# %%
import matplotlib.pyplot as plt
import numpy as np

import tinygrad_fc as tg
from tinygrad_fc import nn, optim, viz


def softmax(z):
    """Return the probabilities of scores (..., classes)."""
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


z = np.array([2.0, 1.0, -1.0])
p = softmax(z)
print(p.round(3), p.sum())
assert np.allclose(p, softmax(z + 1000))

# %% [markdown]
# The cost looks at the probability of the right class $t$ alone. It is 0 if that is 1, and the
# larger the smaller it is. This is the *cross entropy*:
#
# $$ C = -\log p_t = \log \sum_k e^{z_k} - z_t $$
#
# Its gradient is as simple as a gradient can be. With $y_i$, 1 for the right class and 0 for
# the others, it is, in place of formula (13),
#
# $$ d_i = \frac{\partial C}{\partial z_i} = p_i - y_i $$
#
# The first term of the cost has the derivative $e^{z_i} / \sum_k e^{z_k} = p_i$, the second
# $y_i$.

# %%
scores = tg.tensor(z[None, :], requires_grad=True)  # one sample, three classes
target = tg.tensor([1])
loss = nn.functional.cross_entropy(scores, target)
picture = viz.draw(loss, names={"scores": scores})
loss.backward()
assert np.isclose(loss.item(), -np.log(p[1]))
assert np.allclose(scores.grad.numpy(), p - np.array([0, 1, 0]))
picture

# %% [markdown]
# ## Why not the squared error?
#
# A network can be wrong and sure of it. With sigmoid and squared error the gradient has the factor
# $\mathrm{Act}'(z)$, formula (9), which is nearly 0 there: where the mistake is largest, nothing
# is learned. The factor cancels with cross entropy. For two classes, with target 1:

# %%
zs = np.linspace(-8, 8, 200)
y = 1 / (1 + np.exp(-zs))
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3), layout="constrained")
left.plot(zs, (y - 1) ** 2, label="squared error")
left.plot(zs, -np.log(y), "--", label="cross entropy")
left.set(xlabel="z", title="cost")
right.plot(zs, 2 * (y - 1) * y * (1 - y), label="squared error")
right.plot(zs, y - 1, "--", label="cross entropy")
right.set(xlabel="z", title="gradient with respect to z")
left.legend()
right.grid(visible=True)

# %% [markdown]
# ## Three classes
#
# `nn.CrossEntropyLoss` takes scores (N, classes) and the numbers of the right classes (N,): the
# softmax is part of it, so that the model ends with a linear layer.

# %%
rng = np.random.default_rng(0)
centres = np.array([[0.0, 1.2], [-1.0, -0.6], [1.0, -0.6]])
labels = np.repeat([0, 1, 2], 40)
points = centres[labels] + 0.45 * rng.standard_normal((120, 2))

tg.manual_seed(0)
model = nn.Sequential(nn.Linear(2, 12), nn.Tanh(), nn.Linear(12, 3))
optimizer = optim.SGD(model.parameters(), lr=0.5)
criterion = nn.CrossEntropyLoss()
x, t = tg.tensor(points), tg.tensor(labels)
for _ in range(200):
    optimizer.zero_grad()
    loss = criterion(model(x), t)
    loss.backward()
    optimizer.step()
accuracy = (model(x).argmax(dim=1) == t).float().mean().item()
print(f"cross entropy {loss.item():.3f}, accuracy {accuracy:.0%}")
assert accuracy > 0.9

grid = np.stack(np.meshgrid(np.linspace(-2.5, 2.5, 60), np.linspace(-2.5, 2.5, 60)), axis=-1)
with tg.no_grad():
    regions = softmax(model(tg.tensor(grid.reshape(-1, 2))).numpy()).reshape(60, 60, 3)
figure, axes = plt.subplots(figsize=(4.5, 4), layout="constrained")
axes.set(title="probabilities of the classes, as colours")
axes.imshow(0.4 + 0.6 * regions, origin="lower", extent=(-2.5, 2.5, -2.5, 2.5))
for k, marker in enumerate("o^s"):
    axes.scatter(*points[labels == k].T, marker=marker, s=18, edgecolor="k", linewidth=0.5)

# %% [markdown]
# The *accuracy* is what we care for, the share of right answers. It cannot be the cost: it does not
# change under a small nudge of a weight, so that its slope is 0 almost everywhere.

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
            (lambda p: len(p) == 3, "step 1: three exponentials"),
            (lambda p: np.isclose(np.sum(p), 1), "step 3: divide by their sum"),
            (
                lambda p: np.allclose(p, [1 / 8, 2 / 8, 5 / 8]),
                "step 1: the exponential undoes the logarithm",
            ),
        ],
        2: [
            (
                lambda f: np.isclose(f(np.array([0.0, 0.0]), 0), np.log(2)),
                "step 1: log Σ exp(z) - z_t",
            ),
            (
                lambda f: np.isclose(f(np.array([1.0, 3.0]), 0), 2.126928),
                "step 2: the score of class t",
            ),
            (
                lambda f: f(np.array([1000.0, 0.0]), 1) == 1000,
                "step 3: neither exp(1000) nor log(0)",
            ),
            (
                lambda f: f(np.array([0.0, 1000.0]), 0) == 1000,
                "step 3: subtract the largest, not the first",
            ),
        ],
    }
)

# %% [markdown]
# **1.** Which probabilities has the softmax of the scores $(0, \log 2, \log 5)$?
#
# - Step 1: what are the exponentials?
# - Step 2: what is their sum?
# - Step 3: divide.

# %%
answer = ...  # a list of three numbers
check(1, answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# The exponentials are 1, 2 and 5, their sum is 8.
#
# ```python
# answer = [1 / 8, 2 / 8, 5 / 8]
# assert np.allclose(answer, softmax(np.log([1.0, 2.0, 5.0])))
# ```
#
# </details>

# %% [markdown]
# **2.** Write the cross entropy of one sample: a function of the scores `z` (classes,) and the
# number `t` of the right class. It has to be right for scores of 1000, too.
#
# - Step 1: write the formula $\log \sum_k e^{z_k} - z_t$.
# - Step 2: which score is $z_t$?
# - Step 3: which number may be subtracted from all scores, so that no exponential overflows?

# %%
answer = ...  # a function, called as answer(z, t)
check(2, answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# With the largest score subtracted, all exponentials are at most 1, and one of them is 1.
#
# ```python
# def answer(z, t):
#     z = z - z.max()
#     return np.log(np.exp(z).sum()) - z[t]
# ```
#
# </details>

# %% [markdown]
# **Next:** training starts somewhere. Chapter 9 says where.
