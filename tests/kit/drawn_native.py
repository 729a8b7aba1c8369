"""Programs like those of `drawn_programs`, of what native code treats in its own way.

Larger arrays and tall ones, in loops of several axes; reductions over several axes; index arrays;
products of all kinds, small and large.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from hypothesis import strategies as st

from kit import drawn_programs
from kit.programs import Maker
from tinygrad_fc.compiler.program import Part

if TYPE_CHECKING:
    from tinygrad_fc.compiler.program import Program

SHAPES = ((12, 2), (2, 12), (12, 3), (3, 12), (12,), (3, 2), (2, 3, 4), (3,), (), (1, 4), (600,))
KINDS = (
    *("unary", "binary", "binary", "binary", "compared", "product", "product", "several", "view"),
    *("picked", "put_there", "function", "chosen", "joined", "cast"),
)


class _Drawn(drawn_programs._Drawn):
    def __init__(self, draw: st.DrawFn) -> None:
        super().__init__(draw)
        self.make = Maker("drawn")

    def start(self) -> None:
        for _ in range(self.draw(st.integers(2, 4))):
            shape = self.draw(st.sampled_from(SHAPES))
            dtype = self.draw(st.sampled_from(drawn_programs.DTYPES))
            array = drawn_programs.arrays(self.draw, shape, dtype)
            self.inputs.append(array)
            self.make.input(array, "w")
        index = self.draw(st.lists(st.integers(-2, 1), min_size=1, max_size=3))
        self.inputs.append(np.array(index))
        self.make.input(np.array(index))
        self.inputs.append(0.5)
        self.make.input(0.5, "lr")

    def step(self) -> None:
        getattr(self, self.draw(st.sampled_from(KINDS)))()

    def product(self) -> None:
        x = self.make.samples[first := self.array()]
        second = self.pick(
            lambda y: (
                isinstance(y, np.ndarray)
                and x.ndim
                and y.ndim
                and x.dtype.kind == y.dtype.kind == "f"
                and x.shape[-1] == y.shape[max(y.ndim - 2, 0)]
                and (y.ndim < 3 or x.ndim < 3)
            )
        )
        if second is None and x.ndim == 2 and x.dtype.kind == "f":
            second = self.make.do("transpose", None, first, axes=None)
        if second is not None:
            self.make.ufunc(np.matmul, first, second)

    def several(self) -> None:
        x = self.make.samples[n := self.array()]
        axes = self.draw(st.sets(st.integers(0, x.ndim - 1))) if x.ndim else set()
        function = self.draw(st.sampled_from((np.add, np.maximum, np.minimum)))
        function = function if x.size else np.add
        keepdims = self.draw(st.booleans())
        self.make.do("reduce", function, n, axis=tuple(sorted(axes)), keepdims=keepdims)

    def _index(self) -> int:
        found = self.pick(
            lambda a: (
                isinstance(a, np.ndarray)
                and a.dtype == np.int64
                and 0 < a.size <= 12
                and -2 <= a.min() <= a.max() <= 1
            )
        )
        assert found is not None
        return found

    def picked(self) -> None:
        n = self.pick(lambda a: isinstance(a, np.ndarray) and a.ndim and min(a.shape) > 1)
        if n is None:
            return
        x = self.make.samples[n]
        at: tuple[Any, ...] = self.draw(
            st.sampled_from(
                (
                    (Part(1),),
                    (..., Part(1)),
                    (None, Part(1)),
                    *(
                        ((Part(1), slice(None, None, -1)), (slice(1), Part(1)))
                        if x.ndim > 1
                        else ()
                    ),
                    *(((Part(1), 0), (Part(1), Part(1))) if x.ndim > 1 else ()),
                    *(((Part(1), slice(1, None), 1), (0, ..., Part(1))) if x.ndim > 2 else ()),
                )
            )
        )
        self.make.do("getitem", None, n, self._index(), at=at)

    def put_there(self) -> None:
        n = self.pick(
            lambda a: (
                isinstance(a, np.ndarray) and a.ndim and min(a.shape) > 1 and a.dtype.kind == "f"
            )
        )
        if n is None:
            return
        at: Any = self.draw(st.sampled_from(((Part(2),), (Part(2), ...), (..., Part(2)))))
        function = self.draw(st.sampled_from((None, np.add)))
        value = self.make.constant(self.draw(st.sampled_from((1.0, -2.0))))
        self.make.do("put", function, n, value, self._index(), at=at)

    def chosen(self) -> None:
        n = self.pick(lambda a: isinstance(a, np.ndarray) and a.ndim and a.size)
        if n is not None:
            axis = self.draw(st.integers(-self.make.samples[n].ndim, -1))
            self.make.function(self.draw(st.sampled_from((np.argmax, np.argmin))), n, axis=axis)

    def joined(self) -> None:
        x = self.make.samples[n := self.array()]
        other = self.pick(
            lambda a: isinstance(a, np.ndarray) and (a.shape, a.dtype) == (x.shape, x.dtype)
        )
        assert other is not None
        inputs = ((Part(0), Part(1)),)
        axis = self.draw(st.integers(-x.ndim - 1, x.ndim))
        self.make.do("function", np.stack, n, other, inputs=inputs, named={"axis": axis})


@st.composite
def programs(draw: st.DrawFn, most: int = 12) -> tuple[Program, list[Any]]:
    """Draw a program, and inputs for it."""
    drawn = _Drawn(draw)
    drawn.start()
    for _ in range(draw(st.integers(1, most))):
        if max(np.size(a) for a in drawn.make.samples if a is not None) < 5000:
            drawn.step()
    drawn.end()
    return drawn.make.program, drawn.inputs
