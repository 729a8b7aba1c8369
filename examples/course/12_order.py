# %% [markdown]
"""
# 12. The order of the backward pass

Afterwards you can say why a recursive backward pass gives wrong gradients or takes forever, and
which order is right.

*Time to read: 7 minutes.*
"""

# %% [markdown]
# A first idea is recursion: give a value its gradient, then go on to its arguments. On a chain
# that is right. On a diamond, where two paths part and meet again, a value gets its gradient in two
# parts. If it passes on its total each time, as below, the first part is counted twice. If it
# passes on only the first part, the rest is lost.

# %%
from itertools import count

import tinygrad_fc as tg
from tinygrad_fc import viz


class Value:
    """A number that records its operation, numbered in the order of computation."""

    numbers = count()

    def __init__(self, data, arguments=()):
        self.data, self.grad, self.arguments = data, 0.0, arguments
        self.number = next(Value.numbers)

    def __add__(self, other):
        """The derivatives of a sum are 1."""
        return Value(self.data + other.data, ((self, 1.0), (other, 1.0)))

    def __mul__(self, other):
        """Each factor is the derivative with respect to the other."""
        return Value(self.data * other.data, ((self, other.data), (other, self.data)))


def naive(value, gradient):
    """Add `gradient` to the value, and pass on its total so far."""
    value.grad += gradient
    for argument, derivative in value.arguments:
        naive(argument, value.grad * derivative)


a = Value(2.0)
b = a * a  # b is used twice below: a diamond
c = b + b
naive(c, 1.0)
# c passes 1 to b, and b passes 2 twice to a. Then c passes 1 more to b, whose total
# is 2 now, and b passes 4 twice to a.
print(a.grad)  # 12, but the derivative of 2 a² is 4 a = 8
assert a.grad == 12

# %% [markdown]
# The right order is the reverse of the order of computation: when a value's turn comes,
# everything that used it has had its turn. As in the library, each operation has a number, and the
# backward pass takes the latest first. It needs no recursion.

# %%


def ordered(result):
    """Run the backward pass in the reverse order of computation."""
    values, waiting = {}, [result]
    while waiting:
        value = waiting.pop()
        if value.number not in values:
            values[value.number] = value
            waiting += [argument for argument, _ in value.arguments]
    result.grad = 1.0
    for _, value in sorted(values.items(), reverse=True):
        for argument, derivative in value.arguments:
            argument.grad += value.grad * derivative


a = Value(2.0)
b = a * a
ordered(b + b)
assert a.grad == 8

# %% [markdown]
# A diamond in the library, with two different ways from $a^2$ to the result, four paths from $a$ to
# it, and one gradient:

# %%
x = tg.tensor(2.0, requires_grad=True)
square = x * x
total = square * 3.0 + square.sqrt()
picture = viz.draw(total, names={"a": x})
print(viz.graph(total, names={"a": x}))
total.backward()
assert x.grad.item() == 13  # on two paths 3 · 2, on two others 1/4 · 2
picture

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
            (lambda a: a[1] == 11, "step 2: ordered visits each value once, a and ten sums"),
            (
                lambda a: a[0] not in (1023, 1024, 2048),
                "step 1: the calls of all levels, 1 + 2 + 4 and so on",
            ),
            (
                lambda a: a[0] == 2047,
                "step 1: each level has twice as many calls as the one before",
            ),
        ],
        2: [
            (lambda a: len(a) == 3, "step 1: three answers, of naive, ordered and the library"),
            (
                lambda a: a[0] == "RecursionError",
                "step 1: naive calls itself for each value of the chain",
            ),
            (
                lambda a: list(a[1:]) == ["right", "right"],
                "step 2: what is in place of the recursion",
            ),
        ],
    }
)

# %% [markdown]
# **1.** Passing on only the new part of the gradient (`gradient * derivative`) makes the
# recursion right. How many calls does it take for `x = x + x`, repeated 10 times, and how many
# values does `ordered` visit?
#
# - Step 1: how many calls does each level make, and all of them together?
# - Step 2: how many values are there?

# %%
answer = ...  # a pair of numbers
check(1, answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# Each level doubles the number of paths: $2^{n + 1} - 1$ calls. There are $n + 1$ values.
#
# ```python
# calls = 0
#
#
# def paths(value, gradient):
#     global calls
#     calls += 1
#     value.grad += gradient
#     for argument, derivative in value.arguments:
#         paths(argument, gradient * derivative)
#
#
# a = Value(1.0)
# x = a
# for _ in range(10):
#     x = x + x
# paths(x, 1.0)
# assert a.grad == 2**10
# answer = calls, 11
# ```
#
# </details>

# %% [markdown]
# **2.** What happens to `naive`, to `ordered` and to the library's backward pass on a chain of
# 100,000 additions `x = x + one`? Python allows about a thousand nested calls.
#
# Answer with three strings, each either `"right"` or `"RecursionError"`.
#
# - Step 1: which of them calls itself?
# - Step 2: which has a loop?

# %%
answer = ...  # three strings
check(2, answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# Python's recursion limit is reached after about a thousand calls of `naive`. The other two have a
# loop in place of the recursion. (To try it, build a new chain for each of them, since gradients
# add up. 10,000 additions are enough.)
#
# ```python
# chain = Value(1.0)
# for _ in range(10_000):
#     chain = chain + Value(1.0)
# try:
#     naive(chain, 1.0)
# except RecursionError:
#     first = "RecursionError"
# ordered(chain)
#
# leaf = tg.tensor(1.0, requires_grad=True)
# result = leaf
# for _ in range(10_000):
#     result = result + 1.0
# result.backward()
# assert leaf.grad.item() == 1
# while chain.arguments:  # free the chain without recursion, too
#     chain = chain.arguments[0][0]
# answer = first, "right", "right"
# ```
#
# </details>

# %% [markdown]
# **Next:** numbers become arrays, and a derivative would be a matrix. Chapter 13 never writes it
# down.
