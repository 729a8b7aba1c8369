# %% [markdown]
"""
# 10. Training data and test data

Afterwards you can split data, see overfitting in two curves, and stop a training run in time.

*Time to read: 6 minutes.*
"""

# %% [markdown]
# A model with enough parameters can learn its samples by heart. Whether it has learned what is
# behind them shows on samples that it has not seen: the *test data*. They are set aside before
# training, at random, and no choice may depend on them. Choices, such as when to stop, need samples
# of their own, the *validation data*.

# %%
import matplotlib.pyplot as plt
import numpy as np

import tinygrad_fc as tg
from tinygrad_fc import nn, optim

rng = np.random.default_rng(3)
x = rng.uniform(-1, 1, (90, 1))
y = np.sin(4 * x) + 0.3 * rng.standard_normal((90, 1))  # a curve, and noise
order = rng.permutation(90)
training, validation, test = order[:25], order[25:55], order[55:]
assert not set(training) & set(test)

# %% [markdown]
# Inputs should be of size 1 or so: subtract the mean and divide by the standard deviation. Both are
# taken from the training data alone. With those of all data, the model would have seen something of
# the test data.

# %%
mean, std = x[training].mean(), x[training].std()
scaled = tg.tensor((x - mean) / std)
targets = tg.tensor(y)


def error(model, samples):
    """Return the mean squared error on some samples."""
    with tg.no_grad():
        return nn.functional.mse_loss(model(scaled[samples]), targets[samples]).item()


def train(width, epochs):
    """Return the model, the best state on the validation data, and both errors over the epochs."""
    tg.manual_seed(0)
    model = nn.Sequential(
        *(nn.Linear(1, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 1))
    )
    optimizer = optim.Adam(model.parameters(), lr=0.02)
    errors, best, best_state = [], np.inf, None
    for epoch in range(epochs):
        optimizer.zero_grad()
        nn.functional.mse_loss(model(scaled[training]), targets[training]).backward()
        optimizer.step()
        if epoch % 10 == 0:
            errors.append((error(model, training), error(model, validation)))
            if errors[-1][1] < best:
                best, best_state = errors[-1][1], model.state_dict()
                best_state = {name: value.clone() for name, value in best_state.items()}
    return model, best_state, np.array(errors)


model, best_state, errors = train(width=30, epochs=1000)
epochs = 10 * np.arange(len(errors))
best = errors[:, 1].argmin()
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.2), layout="constrained")
left.plot(epochs, errors[:, 0], label="training")
left.plot(epochs, errors[:, 1], "--", label="validation")
left.axvline(epochs[best], color="0.6", linewidth=1)
left.set(xlabel="epoch", title="mean squared error", yscale="log")
left.legend()

grid = np.linspace(-1, 1, 200)[:, None]
inputs = tg.tensor((grid - mean) / std)
right.plot(x[training], y[training], "o", color="0.4", label="training data")
right.plot(grid, np.sin(4 * grid), color="0.7", label="without noise")
last_error = error(model, test)
with tg.no_grad():
    right.plot(grid, model(inputs).numpy(), ":", label="last epoch")
    model.load_state_dict(best_state)
    right.plot(grid, model(inputs).numpy(), "--", label="best epoch")
right.legend(fontsize="small")
print(f"test error: {last_error:.3f} of the last epoch, {error(model, test):.3f} of the best")
assert error(model, test) < last_error

# %% [markdown]
# The training error falls on and on. The validation error falls, and then it rises: from there on
# the model learns the noise of its 25 samples. This is **overfitting**. To keep the state of the
# best epoch is *early stopping*. The noise has the variance 0.09, and no model can have a smaller
# test error than that, up to chance.
#
# The test data are used once, at the end, for the number that one reports. Other means against
# overfitting are more data, fewer parameters, weight decay (`weight_decay=` of the optimizers), and
# dropout (`nn.Dropout`).

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
            (
                lambda e: e not in {990, 10 * errors[:, 0].argmin()},
                "step 1: which of the two curves",
            ),
            (lambda e: e != best, "step 2: errors has a row for every tenth epoch"),
            (lambda e: e == 10 * errors[:, 1].argmin(), "step 2: where the curve is lowest"),
        ],
        2: [
            (lambda f: [len(part) for part in f(50, 0.2)] == [40, 10], "step 1: 40 and 10 of 50"),
            (
                lambda f: sorted(np.concatenate(f(50, 0.2)).tolist()) == list(range(50)),
                "step 2: each once",
            ),
            (lambda f: sorted(f(50, 0.2)[1]) != list(range(40, 50)), "step 3: at random"),
        ],
    }
)

# %% [markdown]
# **1.** At which epoch should the run above have stopped?
#
# - Step 1: which column of `errors` decides, training (0) or validation (1)?
# - Step 2: at which epoch is it lowest?

# %%
answer = ...
check(1, answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# Where the validation error is lowest. `argmin` returns the number of the row, and there is a row
# for every tenth epoch.
#
# ```python
# answer = 10 * errors[:, 1].argmin()
# ```
#
# </details>

# %% [markdown]
# **2.** Write a function of the number of samples and the share of the test data that returns two
# arrays of indices: of the training data and of the test data.
#
# - Step 1: how long are the two?
# - Step 2: each sample belongs to one of them.
# - Step 3: data are often sorted, so do not take the last ones.

# %%
answer = ...  # a function, called as answer(n, share)
check(2, answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# A random permutation, cut in two.
#
# ```python
# def answer(n, share):
#     order = np.random.default_rng(0).permutation(n)
#     cut = n - round(share * n)
#     return order[:cut], order[cut:]
# ```
#
# </details>

# %% [markdown]
# **Next:** networks of other shapes need other derivations, unless one derives once for all.
# Chapter 11 does, for single numbers.
