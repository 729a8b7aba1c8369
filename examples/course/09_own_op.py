# %% [markdown]
"""
# 9. An op of your own, checked

Afterwards you can add an operation with its vjp rule to the library and test the rule on random
inputs instead of a few chosen ones.
"""

# %% [markdown]
# An operation is a NumPy function, the domain of each argument, and a rule for each argument. A
# rule gets the cotangent `g`, the result `out`, and the arguments. NumPy's operators and functions
# accept tensors, too: a rule written in them can be differentiated again.

# %%
import numpy as np

import tinygrad_fc as tg
from tinygrad_fc import viz
from tinygrad_fc.domain import real
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
check(softsign, real)

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
# **1.** Write the rule of `swish(x) = x * sigmoid(x)` in NumPy and check it.


# %% tags=["hide-cell"]
# By the product rule, the derivative is y + x y (1 - y), where y is the sigmoid of x.
def sigmoid(x):
    """Return 1 / (1 + exp(-x))."""
    return 1 / (1 + np.exp(-x))


check_vjp(
    lambda x: x * sigmoid(x),
    lambda g, out, x: g * (sigmoid(x) + x * sigmoid(x) * (1 - sigmoid(x))),
    real,
)

# %% [markdown]
# **2.** A rule of the square returns `2 * x` in place of `g * 2 * x`: it ignores the cotangent. A
# test with a cotangent of ones would pass it. Does `check_vjp`?

# %% tags=["hide-cell"]
# No: its cotangents are random, and the report says what is missing.
try:
    check_vjp(np.square, lambda g, out, x: 2 * x, real)
except GradientError as error:
    print(str(error).splitlines()[0])
else:
    raise AssertionError
