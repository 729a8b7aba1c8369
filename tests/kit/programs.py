"""Programs made by hand, an instruction at a time, on sample arrays that tell shapes and dtypes."""

from __future__ import annotations

from itertools import count, pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.compiler.program import (
    Argument,
    Change,
    Held,
    Instruction,
    Leave,
    Part,
    Place,
    Program,
    Result,
    Value,
    evaluate,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

NUMBERS = {bool: np.dtype("?"), int: np.dtype("l"), float: np.dtype("d")}


class Maker:
    """Writes a program; methods return the numbers of values."""

    def __init__(self, name: str = "step") -> None:
        self.program = Program(name)
        self.samples: list[Any] = []
        self.place: Place | None = None
        self.results: list[Result] = []

    def _value(self, sample: Any) -> int:
        self.samples.append(sample)
        if isinstance(sample, np.ndarray):
            self.program.values.append(Value(sample.shape, sample.dtype))
        else:
            self.program.values.append(Value(None, NUMBERS.get(type(sample))))
        return len(self.samples) - 1

    def input(self, sample: Any, name: str | None = None) -> int:
        """Add an input, of which `sample` is an example."""
        n = self._value(sample)
        self.program.inputs[n] = (
            Argument(len(self.program.inputs)) if name is None else Held(object())
        )
        if name is not None:
            self.program.names[n] = name
        return n

    def constant(self, value: Any) -> int:
        """Add a constant."""
        n = self._value(value)
        self.program.constants[n] = value
        return n

    def do(self, kind: str, function: Any, *args: int, **settings: Any) -> int:
        """Add an instruction."""
        with np.errstate(all="ignore"):
            made = evaluate(kind, function, [self.samples[n] for n in args], settings)
        if isinstance(made, np.generic):
            made = np.asarray(made)
        out = self._value(made)
        step = Instruction(kind, function, args, settings, out, self.place)
        self.program.instructions.append(step)
        return out

    def ufunc(self, function: Any, *args: int) -> int:
        """Add a call of a ufunc."""
        return self.do("ufunc", function, *args)

    def function(self, function: Any, *args: int, **named: Any) -> int:
        """Add a call of a function of arrays."""
        parts = tuple(map(Part, range(len(args))))
        return self.do("function", function, *args, inputs=parts, named=named)

    def number(self, function: Any, *args: int) -> int:
        """Add arithmetic of plain numbers."""
        return self.do("number", function, *args)

    def expect(self, number: int, *, value: bool) -> None:
        """Add an `expect`."""
        out = self._value(None)
        self.program.instructions.append(
            Instruction("expect", None, (number,), {"value": value}, out, self.place)
        )

    def change(self, target: int, number: int) -> None:
        """Have the array of the input `target` changed at the end."""
        self.program.writes.append(Change(target, number))

    def leave(self, of: int, number: int) -> None:
        """Leave a gradient."""
        self.program.writes.append(Leave(self.program.inputs[of], number))

    def result(self, *numbers: int) -> None:
        """Return these values."""
        self.results += [Result(n) for n in numbers]
        self.program.result = tuple(self.results) if len(self.results) > 1 else self.results[0]


def training_step(  # noqa: PLR0915  what a trace of a training step is, from first to last
    sizes: Sequence[int], batch: int, dtype: Any = np.float64, *, gradients: bool = True
) -> Program:
    """Return the trace of a training step of a sigmoid network: mean squared error, SGD."""
    make, rng, calls = Maker("step"), np.random.default_rng(0), count()
    x = make.input(rng.random((batch, sizes[0])).astype(dtype))
    target = make.input(rng.random((batch, sizes[-1])).astype(dtype))
    make.program.names |= {x: "x", target: "target"}
    make.program.quiet = frozenset(("over", "under"))
    weights, biases = [], []
    for k, (n_in, n_out) in enumerate(pairwise(sizes), 1):
        weights.append(make.input(rng.standard_normal((n_out, n_in)).astype(dtype), f"weight{k}"))
        biases.append(make.input(rng.standard_normal(n_out).astype(dtype), f"bias{k}"))
    lr = make.input(1.0, "lr")
    one = make.constant(np.ones((), dtype))
    y, ys, layers = x, [x], []
    for weight, bias in zip(weights, biases, strict=True):
        linear, sigmoid = next(calls), next(calls)
        make.place = Place(linear, "linear", -1)
        transposed = make.do("transpose", None, weight, axes=None)
        z = make.ufunc(np.add, make.function(np.dot, y, transposed), bias)
        make.place = Place(sigmoid, "sigmoid", -1)
        e = make.ufunc(np.exp, make.ufunc(np.negative, z))
        y = make.ufunc(np.true_divide, one, make.ufunc(np.add, one, e))
        ys.append(y)
        layers.append((linear, sigmoid))
    call = next(calls)
    make.place = Place(call, "mse_loss", -1)
    error = make.ufunc(np.subtract, y, target)
    n = make.constant(batch * sizes[-1])
    if batch * sizes[-1] < 4096:
        total = make.function(np.vdot, error, error)
    else:
        total = make.do("reduce", np.add, make.ufunc(np.multiply, error, error), axis=None)
    loss = make.ufunc(np.true_divide, total, n)
    make.place = None
    g = make.constant(np.ones((), dtype))
    make.place = Place(call, "mse_loss", 0)
    again = make.ufunc(np.subtract, y, target)
    factor = make.constant(2 / (batch * sizes[-1]))
    g = make.ufunc(np.multiply, again, make.ufunc(np.multiply, g, factor))
    moved = []
    ones = make.constant(np.ones(batch, dtype))
    for k in range(len(weights) - 1, -1, -1):
        linear, sigmoid = layers[k]
        make.place = Place(sigmoid, "sigmoid", 0)
        out = ys[k + 1]
        slope = make.ufunc(np.multiply, out, make.ufunc(np.subtract, one, out))
        g = d = make.ufunc(np.multiply, g, slope)
        if k:
            make.place = Place(linear, "linear", 0)
            g = make.function(np.dot, d, weights[k])
        make.place = Place(linear, "linear", 1)
        weight_grad = make.function(np.dot, make.do("transpose", None, d, axes=None), ys[k])
        make.place = Place(linear, "linear", 2)
        bias_grad = make.function(np.dot, ones, d)
        moved += [(biases[k], bias_grad), (weights[k], weight_grad)]
    make.place = None
    rate = make.do("fill", None, lr, shape=(), dtype=np.dtype(dtype))
    for parameter, gradient in moved[::-1]:
        new = make.ufunc(np.subtract, parameter, make.ufunc(np.multiply, rate, gradient))
        make.change(parameter, new)
        if gradients:
            make.leave(parameter, gradient)
    make.result(loss)
    return make.program
