# %% [markdown]
"""
# 11. Scalars and a tape

Afterwards you can write an autograd engine for scalars in less than 60 lines, say what an
operation has to remember for the backward pass, and train a classifier with your engine.

*Time to read: 9 minutes.*
"""

# %% [markdown]
# The derivation of chapters 4 and 5 holds for one kind of network. To differentiate any
# computation, let each operation record its arguments and the derivative with respect to each of
# them. The list of these records, in the order of computation, is called a tape. The backward
# pass reads it from the end. What the result does not depend on keeps the gradient 0 and passes on
# nothing.

# %%
import math

import tinygrad_fc as tg
from tinygrad_fc import viz

tape = []


class Value:
    """A number that records the operations it takes part in."""

    def __init__(self, data, arguments=()):
        self.data = data
        self.grad = 0.0
        self.arguments = arguments  # pairs of an argument and the local derivative
        if arguments:
            tape.append(self)

    def __add__(self, other):
        """The derivatives of a sum are 1."""
        return Value(self.data + other.data, ((self, 1.0), (other, 1.0)))

    def __mul__(self, other):
        """Each factor is the derivative with respect to the other."""
        return Value(self.data * other.data, ((self, other.data), (other, self.data)))

    def tanh(self):
        """The derivative of tanh is 1 - tanh²."""
        y = math.tanh(self.data)
        return Value(y, ((self, 1 - y * y),))

    def backward(self):
        """Add the derivative of this value to the `grad` of all that it depends on.

        Leaves are not on the tape: their `grad` adds up over calls, as in PyTorch.
        """
        for value in tape:
            value.grad = 0.0
        self.grad = 1.0
        for value in reversed(tape):
            for argument, derivative in value.arguments:
                argument.grad += value.grad * derivative  # the chain rule
        tape.clear()


# %% [markdown]
# A neuron with two inputs, once with `Value` and once with the library's tensors. `autograd.grad`
# returns the gradients instead of adding them to `.grad`; `retain_graph=True` keeps the record for
# the picture:

# %%
w1, w2, bias = Value(-3.0), Value(1.0), Value(6.9)
y = (w1 * Value(2.0) + w2 * Value(0.5) + bias).tanh()
y.backward()
print(w1.grad, w2.grad, bias.grad)

v1, v2, v3 = (tg.tensor(v, requires_grad=True) for v in (-3.0, 1.0, 6.9))
output = (v1 * 2.0 + v2 * 0.5 + v3).tanh()
for ours, theirs in zip(
    (w1, w2, bias), tg.autograd.grad(output, (v1, v2, v3), retain_graph=True), strict=True
):
    assert math.isclose(ours.grad, theirs.item())
viz.draw(output, names={"w1": v1, "w2": v2, "bias": v3})

# %% [markdown]
# The gradient of a leaf, a value that no operation computed, is the sum over all paths that lead
# from the result to it, each the product of the local derivatives on the way. In $a \cdot a + a$
# there are three:


# %%
def products(value, leaf):
    """Yield the product of the local derivatives on each path from `value` to `leaf`."""
    if value is leaf:
        yield 1.0
    for argument, derivative in value.arguments:
        for product in products(argument, leaf):
            yield derivative * product


a = Value(3.0)
result = a * a + a
print(*products(result, a))
result.backward()
assert sum(products(result, a)) == a.grad == 7

# %% [markdown]
# This engine trains a network. The data are two half moons, one of each class, which no straight
# line separates. The network is 2-6-1 with tanh, the cost the mean of the squares of $\hat y - y$,
# where $y$ is 1 or -1.

# %%
import matplotlib.pyplot as plt
import numpy as np

rng = np.random.default_rng(0)
angles = np.linspace(0, np.pi, 20)
upper = np.stack([np.cos(angles), np.sin(angles)], axis=1)
points = np.concatenate([upper, [1, 0.5] - upper]) + rng.normal(0, 0.08, (40, 2))
classes = np.repeat([1.0, -1.0], 20)


def neuron(parameters, inputs):
    """Return tanh of the weighted sum; the last parameter is the bias."""
    z = parameters[-1]
    for weight, x in zip(parameters, inputs, strict=False):
        z = z + weight * x
    return z.tanh()


hidden = [[Value(w) for w in rng.normal(0, 1, 3)] for _ in range(6)]
last = [Value(w) for w in rng.normal(0, 1, 7)]


def network(point):
    """Return the output for a point."""
    inputs = [Value(x) for x in point]
    return neuron(last, [neuron(parameters, inputs) for parameters in hidden])


parameters = [*last, *(w for own in hidden for w in own)]
for step in range(150):
    cost = Value(0.0)
    for point, target in zip(points, classes, strict=True):
        error = network(point) + Value(-target)
        cost = cost + error * error * Value(1 / len(points))
    for parameter in parameters:
        parameter.grad = 0.0
    cost.backward()
    for parameter in parameters:
        parameter.data -= 0.4 * parameter.grad
    if step % 30 == 0:
        print(step, cost.data)

right = np.mean([np.sign(network(p).data) == t for p, t in zip(points, classes, strict=True)])
tape.clear()  # of the outputs that no backward pass reads
print(f"{right:.0%} right")
assert right > 0.95
figure, axes = plt.subplots(figsize=(5, 3), layout="constrained")
for label, marker in ((1.0, "o"), (-1.0, "^")):
    axes.plot(*points[classes == label].T, marker, label=f"class {label:+.0f}")
axes.set(xlabel="$x_0$", ylabel="$x_1$")
axes.legend()

# %% [markdown]
# ## Exercises
#
# Write an answer in place of the three dots and run the cell: `check` says that it is right, or
# which step to look at again. The solutions are folded.

# %% tags=["remove-cell"] jupyter={"source_hidden": true}
from tinygrad_fc.utils.course import exercises


def gradients(subtract):
    """Return the gradients of a difference."""
    a, b = Value(5.0), Value(3.0)
    subtract(a, b).backward()
    return a.grad, b.grad


check = exercises(
    {
        1: [
            (lambda f: f(Value(5.0), Value(3.0)).data == 2.0, "step 1: the result"),
            (
                lambda f: len(f(Value(5.0), Value(3.0)).arguments) == 2,
                "step 2: both arguments are recorded",
            ),
            (lambda f: gradients(f) == (1.0, -1.0), "step 3: the derivatives of a - b"),
        ],
        2: [
            (lambda g: g != 3.0, "step 2: that is what an assignment leaves"),
            (lambda g: g == 6.0, "step 1: the derivative of a · a is 2 a"),
        ],
    }
)

# %% [markdown]
# **1.** Write subtraction for `Value`: a function of `a` and `b` that returns `a - b`.
#
# - Step 1: compute the result from `a.data` and `b.data`.
# - Step 2: which arguments have to be recorded?
# - Step 3: with which derivatives?

# %%
answer = ...  # a function, called as answer(a, b)
check(1, answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# The derivatives of $a - b$ are 1 and -1.
#
# ```python
# def answer(a, b):
#     return Value(a.data - b.data, ((a, 1.0), (b, -1.0)))
#
#
# a, b = Value(5.0), Value(3.0)
# answer(a * a, b).backward()
# assert (a.grad, b.grad) == (10.0, -1.0)
# ```
#
# </details>

# %% [markdown]
# **2.** `backward` adds to `grad` instead of assigning it. What is `a.grad` after
# `(a * a).backward()` with `a = Value(3.0)`, and what would an assignment leave?
#
# - Step 1: what is the derivative?
# - Step 2: which part does each use of `a` bring? Answer with the right one.

# %%
answer = ...
check(2, answer)

# %% [markdown]
# <details><summary>Solution</summary>
#
# A value that is used twice gets a part of its gradient from each use: in $a \cdot a$ each part is
# $a$. An assignment would leave 3.
#
# ```python
# a = Value(3.0)
# (a * a).backward()
# assert a.grad == 6.0
# answer = 6.0
# ```
#
# </details>

# %% [markdown]
# **Next:** the tape is read from its end. Chapter 12 shows what happens in another order.
