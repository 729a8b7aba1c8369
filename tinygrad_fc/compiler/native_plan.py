"""A program as what native code does: loops over elements, products of matrices, plain numbers.

Views vanish into the addresses of what reads them. What is left are nodes, each of which makes one
value (its root) from others; which of them share a loop, `native_fuse` decides.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.compiler.native_each import CODES, code, literal
from tinygrad_fc.compiler.native_views import Where, is_view, spread, strides_of, viewed
from tinygrad_fc.compiler.program import Change, CompileError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tinygrad_fc.compiler.program import Instruction, Program

SMALL = 1 << 15
"""Up to so many multiplications a product is done by loops, which then beat a call of BLAS."""


@dataclass
class Node:
    """A part of the work: the value `out` from the values `args`.

    `kind` is "each" (an operation on each element, `spelled` from the elements of the arguments),
    "reduce", "product", "number", or one of those that `native_index` writes. Loops are over
    `shape`.
    """

    kind: str
    out: int
    args: tuple[int, ...]
    shape: tuple[int, ...] = ()
    step: Instruction | None = None
    spelled: Callable[[list[str]], str] = lambda names: names[0]
    settings: dict[str, Any] = field(default_factory=dict)


class Plan:
    """The nodes of a program, and what is known of its values."""

    def __init__(self, program: Program) -> None:
        self.program = program = replace(program, constants=dict(program.constants))
        self.values = list(program.values)
        self.nodes: list[Node] = []
        self.literals: dict[int, str] = {}
        self.constants: dict[int, Any] = {}
        self.chains: dict[int, tuple[int, tuple[Instruction, ...]]] = {}
        self.orders: dict[int, str] = {}
        self.uneven: set[int] = set()
        """Roots that a loop over another shape makes."""
        for number, value in program.constants.items():
            self._constant(number, value)
        for number in program.inputs:
            self.check(number)
        self.fixed = {*program.inputs, *program.outputs()}
        self.fixed |= {w.number for w in program.writes if isinstance(w, Change)}
        self.ones = {n for n, c in self.program.constants.items() if _all_ones(c)}

    # Values

    def _constant(self, number: int, value: Any) -> None:
        if isinstance(value, np.generic):
            self.values[number] = type(self.values[number])((), value.dtype)
        known = self.values[number]
        if known.shape is None:
            if isinstance(value, bool | int | float) and known.dtype is not None:
                self.literals[number] = literal(value, known.dtype)
            return
        array = np.asarray(value)
        if array.dtype.str[1:] in CODES and array.size and _uniform(array):
            self.literals[number] = literal(array.flat[0], array.dtype)
        else:
            self.check(number)
            self.constants[number] = np.array(array, array.dtype.newbyteorder("="), order="C")

    def check(self, number: int) -> None:
        """Raise where there is no native code for the dtype of a value."""
        dtype = self.values[number].dtype
        if dtype is not None and code(dtype) not in CODES:
            raise CompileError(
                f"the Numba backend computes in bool, whole numbers, float32 and float64, and "
                f'{self.program.name} has an array of {dtype}. Compile it with backend="numpy", '
                "which takes every dtype, or convert the array first"
            )

    def is_array(self, number: int) -> bool:
        """Tell whether a value is an array, and no plain number or generator."""
        return self.values[number].shape is not None

    def shape(self, number: int) -> tuple[int, ...]:
        """Return the shape of an array."""
        shape = self.values[number].shape
        assert shape is not None  # noqa: S101  whoever asks has asked `is_array`
        return shape

    def dtype(self, number: int) -> np.dtype[Any]:
        """Return the dtype of an array or number."""
        dtype = self.values[number].dtype
        return np.dtype(float) if dtype is None else dtype

    def real(self, root: int) -> None:
        """See to it that a root that may be known as a single number has memory, too."""
        if root in self.literals and root not in self.constants:
            value = np.full(self.shape(root), self.program.constants[root], self.dtype(root))
            self.constants[root] = value

    def add(self, shape: tuple[int, ...], dtype: Any) -> int:
        """Return the number of a new value."""
        self.values.append(type(self.values[0])(shape, np.dtype(dtype)))
        return len(self.values) - 1

    # Views

    def root(self, number: int) -> int:
        """Return the value whose memory a value is in."""
        return self.chains.get(number, (number, ()))[0]

    def order(self, root: int) -> str:
        """Return the order in memory, C or F, of a root."""
        return self.orders.get(root, "C")

    def where(self, number: int, over: tuple[int, ...] | None = None) -> Where:
        """Return where the elements of a value are, broadcast to the shape `over`."""
        root, chain = self.chains.get(number, (number, ()))
        over = self.shape(number) if over is None else over
        return spread(self.shape(root), self.order(root), chain, over)

    def is_whole(self, number: int, over: tuple[int, ...]) -> bool:
        """Tell whether a value is its root, element by element, in loops over `over`."""
        root, chain = self.chains.get(number, (number, ()))
        if root in self.uneven or self.shape(root) != over:
            return False
        return not chain or self.where(number, over) == self.where(root, over)

    def fits(self, root: int, order: str) -> bool:
        """Tell whether all views of a root remain views if it is in `order`."""
        return all(
            viewed(self.shape(root), order, chain) is not None
            for other, chain in self.chains.values()
            if other == root
        )

    def view(self, step: Instruction) -> bool:
        """Take a step as a view, and tell whether it is one."""
        (argument,) = step.args
        if argument in self.literals and self.is_array(argument):
            self.literals[step.out] = self.literals[argument]
            self.program.constants[step.out] = np.asarray(self.program.constants[argument]).flat[0]
            return True
        root, chain = self.chains.get(argument, (argument, ()))
        chain = (*chain, step)
        if viewed(self.shape(root), "C", chain) is None:
            return False
        self.chains[step.out] = (root, chain)
        return True

    # Nodes

    def each(
        self, step: Instruction, args: tuple[int, ...], spelled: Callable[[list[str]], str]
    ) -> None:
        """Add an operation on each element."""
        self.nodes.append(Node("each", step.out, args, self.shape(step.out), step, spelled))

    def copied(self, step: Instruction) -> None:
        """Add what a reshape does that cannot be a view: a copy in C order."""
        (argument,) = step.args
        self.nodes.append(Node("each", step.out, (argument,), self.shape(argument), step))
        self.uneven.add(step.out)

    def arranged(self) -> None:
        """Choose the order of temporaries: small products go along columns where those are long."""
        votes: set[tuple[int, ...]] = set()
        for node in self.nodes:
            if node.kind == "product" and node.settings["small"]:
                for number in (*node.args, node.out):
                    shape = self.shape(self.root(number))
                    if len(shape) == 2 and shape[0] > shape[1] > 0:
                        votes.add(shape)
        free = {
            node.out
            for node in self.nodes
            if node.kind in ("each", "product") and node.out not in self.fixed | self.uneven
        }
        for root in free:
            if self.shape(root) in votes and self.fits(root, "F"):
                self.orders[root] = "F"
        self._packed(votes)

    def _packed(self, votes: set[tuple[int, ...]]) -> None:
        # What comes from outside in C order, and is read along columns.
        instead: dict[int, int] = {}
        nodes: list[Node] = []
        for node in self.nodes:
            if node.kind == "product" and node.settings["small"]:
                for number in node.args:
                    root = self.root(number)
                    shape = self.shape(root)
                    if (
                        shape in votes
                        and shape[1] > 1
                        and self.order(root) == "C"
                        and self.fits(root, "F")
                        and root not in self.literals
                    ):
                        if root not in instead:
                            instead[root] = self.add(shape, self.dtype(root))
                            self.orders[instead[root]] = "F"
                            nodes.append(Node("each", instead[root], (root,), shape))
                        node.args = tuple(
                            self._moved(n, instead[root]) if n == number else n for n in node.args
                        )
            nodes.append(node)
        self.nodes = nodes

    def _moved(self, number: int, root: int) -> int:
        """Return the value that is a view of `root` as `number` is of its root."""
        _, chain = self.chains.get(number, (number, ()))
        if not chain:
            return root
        new = self.add(self.shape(number), self.dtype(number))
        self.chains[new] = (root, chain)
        return new


def _uniform(array: Any) -> bool:
    first = array.flat[0]
    same = array == first if first == first else array != array  # noqa: PLR0124  a NaN
    signs = array.dtype.kind != "f" or len(set(np.signbit(array).flat)) == 1
    return bool(np.all(same)) and signs


def _all_ones(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.size > 0 and bool(np.all(value == 1))


__all__ = ["SMALL", "Node", "Plan", "is_view", "strides_of"]
