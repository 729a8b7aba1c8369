# %% [markdown]
"""
# 14. An op of your own, checked

Afterwards you can add an operation with its vjp rule to the library and test the rule on random
inputs instead of a few chosen ones.

*Time to read: 6 minutes.*
"""

# %% [markdown]
# An operation is a NumPy function, the domain of each argument, and a rule for each argument. A
# rule gets the cotangent `g`, the result `out`, and the arguments. NumPy's operators and functions
# accept tensors, too: a rule written in them can be differentiated again.

# %%
import numpy as np

import tinygrad_fc as tg
from tinygrad_fc import viz
from tinygrad_fc.domain import interval, real
from tinygrad_fc.testing import GradientError, check, check_vjp

softsign = tg.op(
    lambda x: x / (1 + np.abs(x)),
    name="my_softsign",
    domain=(real,),  # one argument, any real numbers
    rules=(lambda g, out, x: g / (1 + np.abs(x)) ** 2,),
)
print(viz.explain(softsign))

# %% [markdown]
# `check` takes random inputs of many shapes, values and cotangents, and compares the rule with
# numerical derivatives, in first and second order.

# %%
check(
    softsign, interval(0.25, 100)
)  # at 0 its second derivative jumps, far out it is lost in rounding

x = tg.linspace(-2, 2, 5).requires_grad_()
loss = softsign(x).sum()
viz.draw(loss, names={"x": x})

# %% [markdown]
# A wrong rule is found, and the report shows a small input that fails; `entry ()` is the only one
# of a scalar. `check_vjp` takes a function and its rule without making an op of them. This rule
# forgets the square:

# %%
try:
    check_vjp(lambda x: x / (1 + np.abs(x)), lambda g, out, x: g / (1 + np.abs(x)), real)
except GradientError as error:
    print(error)
else:
    raise AssertionError

# %% [markdown]
# ## Exercises
#
# Write an answer in place of the three dots and run the cell: `check` says that it is right, or
# which step to look at again. The solutions are folded.

# %% tags=["remove-cell"] jupyter={"source_hidden": true}
from tinygrad_fc.utils.course import exercises


def logistic(x):
    """Return 1 / (1 + exp(-x))."""
    return 1 / (1 + np.exp(-x))


def swish(x):
    """Return x * sigmoid(x)."""
    return x * logistic(x)


def agrees(rule):
    """Return whether a rule agrees with numerical derivatives; raise `GradientError` if not."""
    check_vjp(swish, rule, real, dtypes=np.float64)
    return True


check = exercises(
    {
        1: [
            (lambda rule: rule(2.0, 0.0, 0.0) == 2 * rule(1.0, 0.0, 0.0), "step 3: g is a factor"),
            (
                lambda rule: rule(1.0, 0.0, 0.0) == 0.5,
                "step 2: at x = 0 the derivative is sigmoid(0)",
            ),
            (agrees, "step 2: the product rule"),
        ],
        2: [
            (lambda a: a in ("yes", "no"), 'step 1: answer with "yes" or "no"'),
            (lambda a: a == "no", "step 2: call check_vjp, and read the first line of the error"),
        ],
    }
)

# %% [markdown]
# **1.** Write the rule of `swish(x) = x * sigmoid(x)` in NumPy. `check` here calls `check_vjp`.
#
# - Step 1: write the sigmoid.
# - Step 2: differentiate the product: which two terms are there?
# - Step 3: a rule returns the derivative times `g`.

# %%
answer = ...  # a rule, called as answer(g, out, x)
check(1, answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# By the product rule, the derivative is $y + x y (1 - y)$, where $y$ is the sigmoid of $x$.
#
# ```python
# def answer(g, out, x):
#     y = 1 / (1 + np.exp(-x))
#     return g * (y + x * y * (1 - y))
# ```
#
# </details>

# %% [markdown]
# **2.** A rule of the square returns `2 * x` in place of `g * 2 * x`: it ignores the cotangent. A
# test with a cotangent of ones would pass it. Does `check_vjp`?
#
# - Step 1: answer with `"yes"` or `"no"`.
# - Step 2: try it, with `np.square` and the rule.

# %%
answer = ...  # "yes" or "no"
check(2, answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# No: its cotangents are random, and the report says what is missing.
#
# ```python
# try:
#     check_vjp(np.square, lambda g, out, x: 2 * x, real)
#     answer = "yes"
# except GradientError as error:
#     print(str(error).splitlines()[0])
#     answer = "no"
# ```
#
# </details>

# %% [markdown]
# **Next:** a rule is a computation, and can be differentiated itself: chapter 15.
