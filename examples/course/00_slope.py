# %% [markdown]
"""
# 0. A number is nudged

Afterwards you can estimate a slope by nudging a number, multiply the slopes of a chain of
computations, and let the library do both.

*Time to read: 8 minutes.*
"""

# %% [markdown]
# A network is a computation with many numbers in it, and learning is changing these numbers so that
# the result gets better. This chapter changes one number, and looks at what the result does. All
# that follows in the course is this, for more numbers.
#
# Here is the smallest network: one input, one number `w` to be learned, and one output, `3 * w`
# for the input 3. The output ought to be 2. How wrong it is, is the *cost*: the error, squared.


# %%
def cost(w):
    """Return the cost for the input 3 and the target 2."""
    return (3 * w - 2) ** 2


print(cost(1.0))

# %% [markdown]
# Now nudge `w`: make it larger by a hundredth. The cost grows by about six times as much.

# %%
for nudge in (0.1, 0.01, 0.001, -0.001):
    change = cost(1.0 + nudge) - cost(1.0)
    print(f"nudge {nudge:6}: the cost changes by {change:9.6f}, {change / nudge:.3f} times as much")

# %% [markdown]
# The smaller the nudge, the closer this ratio comes to 6. It is the *slope* of the cost at `w = 1`:
# how many times as much as the number the result changes, for a very small change. Its sign says in
# which direction the cost grows: here a larger `w` makes it worse, so `w` should get smaller.
#
# A nudge in one direction is off by a bit, as the curve bends. Nudged up and down by the same
# amount, the two errors cancel: this is the *central difference*.


# %%
def slope(f, w, nudge=1e-4):
    """Return the central difference of f at w."""
    return (f(w + nudge) - f(w - nudge)) / (2 * nudge)


print(slope(cost, 1.0))

# %% [markdown]
# In the picture, the slope is that of the straight line that touches the curve.

# %%
import matplotlib.pyplot as plt
import numpy as np

ws = np.linspace(0, 1.4, 100)
figure, axes = plt.subplots(figsize=(6, 3), layout="constrained")
axes.plot(ws, cost(ws), label="cost")
axes.plot(ws, cost(1.0) + 6 * (ws - 1), "--", label="slope 6 at w = 1")
axes.plot(1, cost(1.0), "o", color="tab:orange")
axes.set(xlabel="w", ylim=(-1, 5))
axes.legend()
axes.grid(visible=True)

# %% [markdown]
# ## A chain of computations
#
# The cost is computed in three steps, each from the one before. Nudge `w`, and the nudge goes
# through them, and is magnified by each:

# %%
steps = {"3 * w": lambda v: 3 * v, "- 2": lambda v: v - 2, "squared": lambda v: v**2}
before, after = 1.0, 1.01
print(f"w        {before:.4f}  nudged by {after - before:.4f}")
for name, step in steps.items():
    nudge = after - before
    before, after = step(before), step(after)
    times = (after - before) / nudge
    print(f"{name:8} {before:.4f}  nudged by {after - before:.4f}, {times:.2f} times as much")

# %% [markdown]
# `3 * w` magnifies a nudge 3 times. To subtract 2 passes it on as it is: 1 time. To square the
# number 1 magnifies it 2 times: the slope of the square is twice the number. Together these are
# $3 \cdot 1 \cdot 2 = 6$ times. That is the **chain rule**: *the slope of a chain is the product of
# the slopes of its steps*, each at the number that arrives there.
#
# To find the slope of a chain we need not nudge anything. It is enough to know the slope of each
# kind of step.
#
# ## A number that is used twice
#
# In `w * w + w`, with `w = 3`, the number is used three times. Nudge one use at a time, and leave
# the others: each way from `w` to the result has its own slope, and a nudge of `w` takes all ways
# at once. So *the slopes of the ways are added up*.

# %%
ways = [
    slope(lambda w: w * 3 + 3, 3.0),  # the first use
    slope(lambda w: 3 * w + 3, 3.0),  # the second
    slope(lambda w: 3 * 3 + w, 3.0),  # the third
]
print(np.round(ways, 6), "sum:", round(sum(ways), 6))
assert np.isclose(sum(ways), slope(lambda w: w * w + w, 3.0))

# %% [markdown]
# These two rules, multiply along a way and add up over the ways, are all of *backpropagation*. The
# library applies them. A *tensor* is its kind of number (or array of numbers); `requires_grad=True`
# asks for the slope, `backward()` computes it, and it stands in `.grad`. The slope of the cost with
# respect to a number is also called its *gradient*.

# %%
import tinygrad_fc as tg
from tinygrad_fc import viz

w = tg.tensor(1.0, requires_grad=True)
result = (3 * w - 2) ** 2
picture = viz.draw(result, names={"w": w})
result.backward()
print(w.grad)
assert w.grad.item() == 6
picture

# %% [markdown]
# In the picture, boxes are the steps. Solid arrows carry numbers forward; dashed ones carry slopes
# back: at the result it is 1, and each step multiplies it by its own slope: by 2 at the square, by
# 1, and by 3.

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
            (lambda s: s not in (2, 4), "step 2: the third machine squares what arrives there"),
            (lambda s: s not in (14, 17), "step 3: all three slopes are multiplied"),
            (lambda s: s == 28, "step 1: which number arrives at each machine"),
        ],
        2: [
            (
                lambda f: abs(f(lambda w: 5 * w, 1.0) - 5) < 1e-3,
                "step 1: divide by the change of w",
            ),
            (lambda f: f(lambda w: w * w, 0.0) == 0, "step 2: nudge as far down as up"),
            (lambda f: abs(f(np.exp, 0.0) - 1) < 1e-8, "step 3: the size of the nudge"),
        ],
    }
)

# %% [markdown]
# **1.** A number goes through three machines: the first doubles it, the second adds 5, the third
# squares it. The number is 1. What is the slope of the result?
#
# - Step 1: which number arrives at each machine?
# - Step 2: what is the slope of each machine there?
# - Step 3: what is the slope of the chain?

# %%
answer = ...
check(1, answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# The numbers are 1, 2, 7 and 49. The slopes of the machines are 2, 1 and, as the square of 7 has
# twice 7, 14. Their product is 28.
#
# ```python
# answer = 2 * 1 * 14
# assert np.isclose(slope(lambda w: (2 * w + 5) ** 2, 1.0), answer)
# ```
#
# </details>

# %% [markdown]
# **2.** Write a function of `f` and `w` that returns the slope of `f` at `w`, with an error below
# 1e-8 for functions such as the exponential, without looking at the one above.
#
# - Step 1: divide the change of the result by the change of the number.
# - Step 2: let the errors of the two directions cancel.
# - Step 3: choose the nudge. Computers keep about 16 digits: what do they keep of the change for a
#   nudge of 1e-12?

# %%
answer = ...  # a function, called as answer(f, w)
check(2, answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# The error of the central difference shrinks with the square of the nudge, and the error of
# rounding grows as the nudge shrinks. Near 1e-5 both are small.
#
# ```python
# def answer(f, w):
#     return (f(w + 1e-5) - f(w - 1e-5)) / 2e-5
# ```
#
# </details>

# %% [markdown]
# **Next:** one number becomes a neuron, with a weight for each input, a bias, and a curve that
# bends its output: chapter 1.
