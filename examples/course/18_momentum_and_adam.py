# %% [markdown]
"""
# 18. Momentum and Adam

Afterwards you can derive what momentum does in a narrow valley, why Adam corrects its averages, and
how long its steps are.

*Time to read: 8 minutes.*
"""

# %% [markdown]
# Gradient descent moves against the last gradient alone. Momentum adds up all gradients so far,
# older ones less and less:
#
# $$ m_t = \mu m_{t-1} + g_t = \sum_{s \le t} \mu^{t-s} g_s, \qquad W_{t+1} = W_t - \eta m_t $$
#
# Where the gradient keeps its direction, the sum grows to $g\,(1 + \mu + \mu^2 + \dots) =
# g / (1 - \mu)$: for $\mu = 0.9$ the steps become ten times as long. Where it changes its sign at
# each step, as across a narrow valley, neighbours cancel, and $m$ stays near $g / (1 + \mu)$. That
# is why momentum helps where the cost is steep in one direction and flat in another.

# %%
import matplotlib.pyplot as plt
import numpy as np

import tinygrad_fc as tg
from tinygrad_fc import optim


def path(optimizer, steps=60):
    """Return the points of a descent into the valley (u² + 30 v²) / 2."""
    point = tg.tensor([-2.0, 1.0], requires_grad=True)
    rule = optimizer([point])
    points = [point.tolist()]
    for _ in range(steps):
        rule.zero_grad()
        ((point**2 * tg.tensor([1.0, 30.0])).sum() / 2).backward()
        rule.step()
        points.append(point.tolist())
    return np.array(points)


rules = {
    "gradient descent": lambda p: optim.SGD(p, lr=0.02),
    "momentum 0.9": lambda p: optim.SGD(p, lr=0.02, momentum=0.9),
    "Adam": lambda p: optim.Adam(p, lr=0.1),
}
figure, axes = plt.subplots(figsize=(7, 3), layout="constrained")
for style, (name, rule) in zip(("-", "--", "-."), rules.items(), strict=True):
    points = path(rule)
    axes.plot(*points.T, style, label=f"{name}: ends at {np.linalg.norm(points[-1]):.2f} from 0")
axes.set(xlabel="u", ylabel="v")
axes.legend()

# %% [markdown]
# Adam keeps two running averages, of the gradient and of its square, which begin at 0:
#
# $$ m_t = \beta_1 m_{t-1} + (1 - \beta_1) g_t = (1 - \beta_1) \sum_{s=1}^{t} \beta_1^{t-s} g_s,
#    \qquad v_t = \beta_2 v_{t-1} + (1 - \beta_2) g_t^2 $$
#
# The weights of the gradients in $m_t$ have the sum
# $(1 - \beta_1) (1 + \beta_1 + \dots + \beta_1^{t-1}) = 1 - \beta_1^t$, which is 1 only in the long
# run: after one step it is 0.1, and $m_1$ is a tenth of $g_1$. Divided by this sum, $m_t$ is a
# weighted mean of the gradients; the same holds for $v_t$:
#
# $$ \hat m_t = \frac{m_t}{1 - \beta_1^t}, \qquad \hat v_t = \frac{v_t}{1 - \beta_2^t}, \qquad
#    W_{t+1} = W_t - \eta \frac{\hat m_t}{\sqrt{\hat v_t} + \epsilon} $$
#
# In the first step $\hat m / \sqrt{\hat v} = g / |g|$: each weight moves by $\eta$, whatever the
# size of its gradient. Later it moves less where the sign of its gradient changes, and a cost
# multiplied by a constant gives the same steps.

# %%
rng = np.random.default_rng(0)
gradients = rng.standard_normal((5, 3))
w, m, v = np.zeros(3), np.zeros(3), np.zeros(3)
parameter = tg.zeros(3, requires_grad=True)
adam = optim.Adam([parameter], lr=0.1)
for t, g in enumerate(gradients, 1):
    m = 0.9 * m + 0.1 * g
    v = 0.999 * v + 0.001 * g**2
    m_hat, v_hat = m / (1 - 0.9**t), v / (1 - 0.999**t)
    w = w - 0.1 * m_hat / (np.sqrt(v_hat) + 1e-8)
    parameter.grad = tg.tensor(g)
    adam.step()
    if t == 1:
        assert np.allclose(np.abs(w), 0.1)
    assert np.allclose(parameter.detach().numpy(), w)
print(w)

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
            (lambda a: a != 0.2, "step 1: that is the step without momentum"),
            (lambda a: np.isclose(a, 2.0), "step 2: the sum of the series is 1 / (1 - 0.9)"),
        ],
        2: [
            (lambda f: np.isclose(f([3.0], 0.9), 3.0), "step 2: divide by the sum of the weights"),
            (
                lambda f: np.isclose(f([1.0, 4.0], 0.5), 3.0),
                "step 1: older gradients have smaller weights",
            ),
        ],
    }
)

# %% [markdown]
# **1.** A gradient is 2 at every step. How far does a weight move in a step, after many steps, with
# $\eta = 0.1$ and $\mu = 0.9$?
#
# - Step 1: which multiple of the gradient does $m$ become?
# - Step 2: what is the sum of $1 + 0.9 + 0.81 + \dots$?

# %%
answer = ...
check(1, answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# $m$ becomes $2 / (1 - 0.9) = 20$, and the step $0.1 \cdot 20 = 2$.
#
# ```python
# m = 0.0
# for _ in range(500):
#     m = 0.9 * m + 2
# answer = 0.1 * m
# ```
#
# </details>

# %% [markdown]
# **2.** Write Adam's $\hat m$: a function of the list of all gradients so far, the last one last,
# and of $\beta$.
#
# - Step 1: run through the list with $m = \beta m + (1 - \beta) g$, beginning at 0.
# - Step 2: what is the sum of the weights?

# %%
answer = ...  # a function, called as answer(gradients, beta)
check(2, answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# The weights have the sum $1 - \beta^t$, where $t$ is the number of gradients.
#
# ```python
# def answer(gradients, beta):
#     m = 0.0
#     for g in gradients:
#         m = beta * m + (1 - beta) * g
#     return m / (1 - beta ** len(gradients))
# ```
#
# </details>

# %% [markdown]
# **Next:** so far each weight stood in one place. Chapter 19 uses one weight in many.
