"""Programs drawn by hypothesis: all kinds of instructions, and writes in each other's way."""

from __future__ import annotations

import math
import operator
from typing import TYPE_CHECKING, Any

import numpy as np
from hypothesis import strategies as st

from kit.programs import Maker
from tinygrad_fc.compiler.program import Part, Place

if TYPE_CHECKING:
    from tinygrad_fc.compiler.program import Program

SHAPES = ((2, 3), (3, 2), (3,), (2, 2), (1, 3), (), (0, 3), (2, 1), (1, 1), (4, 3, 2))
DTYPES = (np.float64, np.float64, np.float64, np.float32, np.int64)
UNARY = (np.negative, np.exp, np.absolute, np.square, np.sqrt, np.tanh, np.sign)
BINARY = (np.add, np.subtract, np.multiply, np.true_divide, np.maximum, np.power)
COMPARED = (np.less, np.greater_equal, np.equal)
NUMBERS = (operator.add, operator.mul, operator.sub, operator.neg, abs, float, math.floor)
PLAIN = (0, 1, -1, 2, 0.0, -0.0, 1.0, 0.5, -1.5, 2.0, math.inf, 0.1)


def arrays(draw: st.DrawFn, shape: tuple[int, ...], dtype: Any) -> Any:
    """Draw an array with zeros of both signs and equal elements in it, in some layout."""
    seed = draw(st.integers(0, 255))
    rng = np.random.default_rng(seed)
    array = rng.choice(np.array([0.0, -0.0, 1.0, -1.0, 0.3, -2.5, 7.0]), shape)
    array = np.where(rng.random(shape) < 0.5, rng.standard_normal(shape), array)
    array = np.asarray(array).astype(dtype)
    match draw(st.sampled_from(("plain", "plain", "plain", "transposed", "strided"))):
        case "transposed":
            return np.array(array.T, order="C").T
        case "strided" if array.ndim:
            return np.repeat(array, 2, axis=-1)[..., ::2]
    return array


class _Drawn:
    def __init__(self, draw: st.DrawFn) -> None:
        self.draw, self.make = draw, Maker("drawn")
        self.inputs: list[Any] = []

    def pick(self, fits: Any) -> int | None:
        """Draw the number of a value of which `fits` is true; None where there is none."""
        found = [n for n, sample in enumerate(self.make.samples) if fits(sample)]
        # Of late ones rather than early ones, so that programs are deep.
        return found[-1 - self.draw(st.integers(0, len(found) - 1))] if found else None

    def array(self) -> int:
        found = self.pick(lambda a: isinstance(a, np.ndarray))
        assert found is not None
        return found

    def number(self) -> int:
        found = self.pick(lambda a: isinstance(a, int | float))
        assert found is not None
        return found

    def start(self) -> None:
        for _ in range(self.draw(st.integers(1, 4))):
            array = arrays(
                self.draw, self.draw(st.sampled_from(SHAPES)), self.draw(st.sampled_from(DTYPES))
            )
            self.inputs.append(array)
            self.make.input(array, self.draw(st.sampled_from(("w", "0.weight", "if", "np", None))))
        number = self.draw(st.sampled_from(PLAIN))
        self.inputs.append(number)
        self.make.input(number, "lr")
        self.make.constant(self.draw(st.sampled_from(PLAIN)))
        dtype = self.draw(st.sampled_from(DTYPES[:4]))
        self.make.constant(np.full((), self.draw(st.sampled_from((0, 1, 2, -0.5))), dtype))
        shape = self.draw(st.sampled_from(SHAPES))
        self.make.constant(self.draw(st.sampled_from((np.ones, np.zeros)))(shape, dtype))
        if self.draw(st.booleans()):
            self.in_order()

    def in_order(self) -> None:
        """Make an array that is known to lie in C order: its memory may be used again."""
        shape = self.draw(st.sampled_from(SHAPES))
        filled = self.make.do("fill", None, self.number(), shape=shape, dtype=np.dtype(float))
        numbers = np.random.default_rng(self.draw(st.integers(0, 9))).standard_normal(shape)
        self.make.ufunc(np.add, filled, self.make.constant(np.asarray(numbers)))

    def step(self) -> None:
        kind = self.draw(st.sampled_from(_KINDS))
        call = self.draw(st.integers(0, 2))
        rule = self.draw(st.integers(-1, 2))
        rows = ("linear", "sigmoid", "mse_loss")
        self.make.place = Place(call, rows[call], rule) if self.draw(st.booleans()) else None
        getattr(self, kind)()

    def unary(self) -> None:
        n = self.array()
        truth = self.make.samples[n].dtype.kind == "b"
        self.make.ufunc(np.logical_not if truth else self.draw(st.sampled_from(UNARY)), n)

    def binary(self, functions: Any = BINARY) -> None:
        x = self.make.samples[first := self.array()]
        second = self.pick(lambda y: isinstance(y, np.ndarray | int | float) and _fit(x, y))
        assert second is not None
        pair = (first, second) if self.draw(st.booleans()) else (second, first)
        function = self.draw(st.sampled_from(functions))
        if function in (np.subtract, np.power) and _whole(*(self.make.samples[n] for n in pair)):
            function = np.add  # of truth values there is no difference, nor a power of -1
        self.make.ufunc(function, *pair)

    def update(self) -> None:
        """Draw what optimizers do: an array becomes what follows from it."""
        program = self.make.program
        changed = {w.target for w in program.writes}
        targets = [
            n
            for n in program.inputs
            if isinstance(self.make.samples[n], np.ndarray) and n not in changed
        ]
        if not targets:
            return
        target = self.draw(st.sampled_from(targets))
        shape, dtype = self.make.samples[target].shape, self.make.samples[target].dtype
        new = target
        for _ in range(self.draw(st.integers(1, 3))):
            other = self.pick(
                lambda a: isinstance(a, np.ndarray) and a.dtype == dtype and a.shape in ((), shape)
            )
            assert other is not None
            pair = (new, other) if self.draw(st.booleans()) else (other, new)
            new = self.make.ufunc(self.draw(st.sampled_from((np.add, np.multiply))), *pair)
        self.make.change(target, new)

    def repeated(self) -> None:
        steps = [s for s in self.make.program.instructions if s.kind in ("ufunc", "reduce")]
        if steps:
            s = self.draw(st.sampled_from(steps))
            self.make.do(s.kind, s.function, *s.args, **s.settings)

    def compared(self) -> None:
        self.binary(COMPARED)

    def matmul(self) -> None:
        x = self.make.samples[first := self.array()]
        second = self.pick(
            lambda y: isinstance(y, np.ndarray) and x.ndim == y.ndim == 2 and x.shape[1] == len(y)
        )
        if second is not None:
            if self.draw(st.booleans()):
                self.make.ufunc(np.matmul, first, second)
            else:
                self.make.function(np.dot, first, second)

    def reduce(self) -> None:
        x = self.make.samples[n := self.array()]
        axis = self.draw(
            st.sampled_from((None, (), *range(-x.ndim, x.ndim), *((k,) for k in range(x.ndim))))
        )
        function = self.draw(st.sampled_from((np.add, np.multiply, np.maximum)))
        if function is np.maximum and not x.size:
            function = np.add
        self.make.do("reduce", function, n, axis=axis, keepdims=self.draw(st.booleans()))

    def view(self) -> None:
        x = self.make.samples[n := self.array()]
        match self.draw(st.sampled_from(("reshape", "transpose", "expand", "getitem"))):
            case "reshape":
                shape = self.draw(
                    st.sampled_from(((x.size,), x.shape, (1, *x.shape), x.shape[::-1]))
                )
                self.make.do("reshape", None, n, shape=shape)
            case "transpose":
                axes = self.draw(
                    st.sampled_from((None, tuple(self.draw(st.permutations(range(x.ndim))))))
                )
                self.make.do("transpose", None, n, axes=axes)
            case "expand":
                self.make.do(
                    "expand", None, n, shape=self.draw(st.sampled_from(((2, *x.shape), x.shape)))
                )
            case _ if x.ndim and len(x):
                at: Any = self.draw(
                    st.sampled_from((slice(0, 1), 0, (..., None), (slice(None), ...), -1))
                )
                self.make.do("getitem", None, n, at=at)

    def put(self) -> None:
        x = self.make.samples[n := self.array()]
        y = self.pick(lambda y: isinstance(y, np.ndarray) and y.shape == x.shape[1:])
        if y is not None and x.ndim and len(x) and x.dtype == np.float64:
            k = self.draw(st.integers(0, len(x) - 1))
            at = self.draw(st.sampled_from((k, (k, ...), (slice(k, k + 1),))))
            self.make.do("put", self.draw(st.sampled_from((None, np.add))), n, y, at=at)

    def cast(self) -> None:
        dtype = np.dtype(self.draw(st.sampled_from((np.float32, np.float64))))
        self.make.do("cast", None, self.array(), dtype=dtype)

    def fill(self) -> None:
        shape = self.draw(st.sampled_from(SHAPES))
        self.make.do("fill", None, self.number(), shape=shape, dtype=np.dtype(np.float64))

    def arithmetic(self) -> None:
        function = self.draw(st.sampled_from(NUMBERS))
        count = 2 if function in NUMBERS[:3] else 1
        args = [self.number() for _ in range(count)]
        if function is math.floor and not math.isfinite(self.make.samples[args[0]]):
            function = float
        self.make.number(function, *args)

    def function(self) -> None:
        x = self.make.samples[n := self.array()]
        match self.draw(st.sampled_from(("vdot", "flip", "where", "concatenate", "cumsum"))):
            case "vdot":
                self.make.function(np.vdot, n, n)
            case "flip" if x.ndim:
                self.make.function(np.flip, n, axis=0)
            case "where":
                self.make.function(np.where, n, n, self.make.constant(0))
            case "concatenate" if x.ndim:
                inputs = ((Part(0), Part(0)),)
                self.make.do("function", np.concatenate, n, inputs=inputs, named={"axis": -1})
            case _:
                self.make.function(np.cumsum, n)

    def expect(self) -> None:
        n = self.pick(lambda a: not isinstance(a, np.ndarray) or a.size == 1)
        if n is not None and self.make.samples[n] is not None:
            sample = self.make.samples[n]
            wrong = self.draw(st.integers(0, 19)) == 19
            self.make.expect(n, value=bool(sample) is not wrong)

    def end(self) -> None:
        program = self.make.program
        arrays_ = [n for n in program.inputs if isinstance(self.make.samples[n], np.ndarray)]
        changed = {w.target for w in program.writes}
        for target in arrays_:
            if target not in changed and self.draw(st.booleans()):
                x = self.make.samples[target]
                number = self.pick(
                    lambda y, x=x: (
                        isinstance(y, np.ndarray) and (y.shape, y.dtype) == (x.shape, x.dtype)
                    )
                )
                assert number is not None
                self.make.change(target, number)
        values = [n for n, a in enumerate(self.make.samples) if a is not None]
        for _ in range(self.draw(st.integers(0, 3))):
            n = values[-1 - self.draw(st.integers(0, len(values) - 1))]
            if self.draw(st.booleans()) and isinstance(self.make.samples[n], np.ndarray):
                self.make.leave(arrays_[0], n)
            else:
                self.make.result(n)
        if not self.make.results:
            self.make.result(values[-1])


_KINDS = (
    *(
        "unary",
        "binary",
        "binary",
        "update",
        "update",
        "repeated",
        "compared",
        "matmul",
        "reduce",
        "view",
    ),
    *("put", "cast", "fill", "arithmetic", "function", "expect"),
)


def _fit(x: Any, y: Any) -> bool:
    if not isinstance(y, np.ndarray):
        return True
    try:
        np.broadcast_shapes(x.shape, y.shape)
    except ValueError:
        return False
    return True


def _whole(*samples: Any) -> bool:
    return any(np.asarray(a).dtype.kind != "f" for a in samples)


@st.composite
def programs(draw: st.DrawFn, most: int = 16) -> tuple[Program, list[Any]]:
    """Draw a program, and inputs for it."""
    drawn = _Drawn(draw)
    drawn.start()
    for _ in range(draw(st.integers(1, most))):
        drawn.step()
    drawn.end()
    return drawn.make.program, drawn.inputs
