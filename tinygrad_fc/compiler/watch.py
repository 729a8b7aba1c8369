"""What a function reads from outside, and what it changes there, while it is traced.

Nobody lists a function's parameters, buffers and optimizer state: they are found when it reads
them. While a trace runs, the slots of all tensors are read and set through this module (so that
nothing is paid for it at any other time), and answers for one thread, the tracing one: a tensor
that the trace did not make has a tracer for its array; what is set on it is kept here, and it is
left alone. An error has nothing to take back.
"""

from __future__ import annotations

import copy
import weakref
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.compiler.guarding import Guarding, hooks_of, nothing
from tinygrad_fc.compiler.kept import Draws, Kept, Options
from tinygrad_fc.compiler.number import Number
from tinygrad_fc.compiler.program import (
    Argument,
    Change,
    Gradient,
    Held,
    Leave,
    Option,
    Random,
    Replace,
    Value,
)
from tinygrad_fc.compiler.refusal import refusal, user_frame
from tinygrad_fc.compiler.tracer import Tracer
from tinygrad_fc.graph import Node

if TYPE_CHECKING:
    from collections.abc import Iterator

SLOTS = {name: Node.__dict__[name] for name in ("_array", "_grad", "_requires_grad", "_op")}
"""The slots themselves, which go on to hold what is outside."""
_array, _grad, _requires_grad, _op = SLOTS.values()


class Watch(Guarding):
    """A recorder that knows what is outside."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.sources: dict[int, Any] = {}  # by id of a tensor, or an array
        self.outside: dict[int, Any] = {}  # the same, kept alive
        self.boxes: dict[int, Tracer] = {}  # by id of an array: what stands for its memory
        self.inputs: dict[int, Tracer] = {}  # by number
        self.memory: dict[int, Any] = {}
        self.arrays: dict[int, Tracer] = {}  # what was set, by id of a tensor
        self.grads: dict[int, Any] = {}
        self.arguments: dict[int, tuple[int, Any]] = {}  # by id of what stands in for a tensor
        self.given: dict[int, int] = {}  # number of the argument, by id of the real tensor
        self.kept: dict[tuple[int, int], Kept] = {}  # by ids of an optimizer and a tensor
        self.supplied: dict[int, tuple[Any, str]] = {}  # arrays handed over by the user's code
        self.temporary: list[tuple[Any, str, int]] = []
        self.generators: dict[int, Any] = {}
        self.made: list[Any] = []
        self.own: dict[int, Any] = {}  # optimizers that the function makes itself
        self.ones: dict[Any, Any] = {}
        self.taken_whole: Any = nothing  # notes where an array is taken whole: see `elements`
        self.calls = 0
        self.argument_names: list[str] = []
        self.made_by: dict[int, tuple[Any, int]] = {}

    def argument_name(self, number: int, otherwise: str) -> str:
        """Return the name of an argument by its number, where it is known."""
        names = self.argument_names
        return names[number] if number < len(names) else otherwise

    def is_reached(self, thing: Any) -> bool:
        """Tell whether the function goes by a container, or an array, that it has not made."""
        if id(thing) in self.boxes or id(thing) in self.supplied:
            return True
        for _, subject, value in self.guards.values():
            if value is thing or (type(subject) is tuple and subject[0] is thing):
                return True
        return False

    # Tensors

    def is_outside(self, node: Any) -> bool:
        """Tell whether the trace did not make `node`."""
        return type(_array.__get__(node)) is not Tracer

    def is_known(self, node: Any) -> bool:
        """Tell whether `node` is an argument or from outside; one in the making is neither."""
        try:
            return id(node) in self.arguments or self.is_outside(node)
        except AttributeError:
            return False

    def source(self, node: Any) -> Any:
        """Return where a tensor from outside is found."""
        key = id(node)
        if key in self.arguments:
            return Argument(self.arguments[key][0])
        if key not in self.sources:
            if key in self.given:
                raise refusal(
                    f"the tensor of shape {_array.__get__(node).shape} is an argument, and the "
                    "function finds it outside as well: which one is meant in the next call cannot "
                    "be told.",
                    "Hand it over, or let the function find it, not both.",
                )
            self.sources[key] = Held(node)
            self.outside[key] = node
        return self.sources[key]

    def read_array(self, node: Any) -> Any:
        """Return the tracer for the array of a tensor."""
        array = _array.__get__(node)
        if type(array) is Tracer:
            return array
        if id(node) in self.arrays:
            return self.arrays[id(node)]
        return self.entered(node, array)

    def entered(self, node: Any, array: Any) -> Tracer:
        """Return the tracer for an array from outside, which is an input from now on."""
        source = self.source(node)
        there = self.boxes.get(id(array))
        first = self.outside.get(id(there))  # None where it is that of an argument
        if there is not None and first is not None:
            if first is not node:
                self.guard("same", (source, self.source(first)), None)
            return there
        if not isinstance(array, np.ndarray):
            raise refusal(
                f"a tensor holds a {type(array).__module__}.{type(array).__name__}.",
                "The compiler takes NumPy's arrays.",
            )
        if _requires_grad.__get__(node) and _op.__get__(node) is not None:
            raise refusal(
                f"a tensor of shape {array.shape} from outside is the result of "
                f"{_op.__get__(node).name}, whose graph the compiled function does not see.",
                "Hand over x.detach(), or compute it inside.",
            )
        box = self.enter(source, array)
        self.guard("hooks", (node,), hooks_of(node))
        self.outside[id(box)] = node
        return box

    def enter(self, source: Any, array: Any, shadow: Any = None) -> Tracer:
        """Return the tracer for an array that is an input from now on."""
        number = self._new(Value(array.shape, array.dtype))
        self.program.inputs[number] = source
        self.memory[number] = array if shadow is None else shadow
        box = Tracer(self, number, self.memory[number])
        self.inputs[number] = box
        if shadow is None:
            self.boxes[id(array)] = box
            self.outside[id(array)] = array
        return box

    def set_array(self, node: Any, value: Any) -> None:
        """Set the array of a tensor; that of one from outside is kept here."""
        try:
            inside = type(_array.__get__(node)) is Tracer
        except AttributeError:
            inside = True
            frame = user_frame()
            at = (frame.f_code.co_filename, frame.f_lineno) if frame else ("?", 0)
            self.made.append((weakref.ref(node), at))
        if type(value) is not Tracer:
            value = self.array(value)
        if inside:
            _array.__set__(node, value)
        elif value is not self.read_array(node):  # as it is in `t._array += y`
            self.arrays[id(node)] = value

    def raw(self, array: Any) -> Any:
        """Return what stands for an array that is none of ours."""
        key = id(array)
        if key in self.boxes and self.outside.get(key) is array:
            self.taken_whole(array)
            return self.boxes[key]
        if key in self.supplied:
            self.taken_whole(array)
            box, _ = self.supplied[key]
            if box is None:
                box = self.enter(Held(array), array, array.copy())
                self.temporary.append((weakref.ref(array), self.supplied[key][1], box.number))
                self.program.inputs[box.number] = Held(weakref.ref(array))
                self.supplied[key] = (box, self.supplied[key][1])
            return box
        return super().raw(array)

    def real(self, node: Any) -> Any:
        """Return the tensor itself, for one that stands in for an argument."""
        return self.arguments[id(node)][1] if id(node) in self.arguments else node

    def read_grad(self, node: Any) -> Any:
        """Return the `.grad` of a tensor."""
        if not self.is_known(node):
            return _grad.__get__(node)
        if id(node) in self.grads:
            return self.grads[id(node)]
        source, found = self.source(node), _grad.__get__(self.real(node))
        self.guard("grad", source, found is not None)
        if found is not None:
            self.sources.setdefault(id(found), Gradient(source))
            self.outside[id(found)] = found
        return found

    def set_grad(self, node: Any, value: Any) -> None:
        """Set the `.grad` of a tensor; that of one from outside is kept here."""
        if self.is_known(node):
            self.source(node)
            self.outside[id(node)] = node
            self.grads[id(node)] = value
        else:
            _grad.__set__(node, value)

    def read_requires_grad(self, node: Any) -> bool:
        """Return whether a tensor requires grad."""
        found: bool = _requires_grad.__get__(node)
        if self.is_outside(node):
            self.guard("requires_grad", self.source(node), found)
        return found

    def set_requires_grad(self, node: Any, value: bool) -> None:
        """Set whether a tensor requires grad, of the trace's own only."""
        if self.is_known(node) and _requires_grad.__get__(node) != value:
            raise refusal(*self._kept_as_it_is(node, value=value))
        _requires_grad.__set__(node, value)

    def _kept_as_it_is(self, node: Any, *, value: bool) -> tuple[str, str]:
        """Return what is told of a tensor whose requires_grad is changed, and what to do."""
        if id(node) not in self.arguments:
            return (
                "requires_grad of a tensor from outside is changed:",
                "Freeze or unfreeze it outside of the compiled function.",
            )
        name = self.argument_name(self.arguments[id(node)][0], "x")
        made = f"{name} = {name}.detach()" + (".requires_grad_()" if value else "")
        return (
            "requires_grad of an argument is changed, which would change the caller's tensor:",
            f"Write {made}, which is a tensor of the function's own"
            + (", and gets a gradient of its own." if value else "."),
        )

    def call_of(self, out: Any) -> int | None:
        """Return which call of an operation made `out`, numbered in their order."""
        found = self.made_by.get(id(out))
        return None if found is None else found[1]

    # Optimizers

    def option(self, optimizer: Any, group: int, key: str, value: Any) -> Any:
        """Return what stands for an option of an optimizer."""
        source = Option(optimizer, group, key)
        if isinstance(value, bool) or value is None or isinstance(value, str):
            self.guard("option", source, value)
            return value
        if isinstance(value, int | float):
            return Number(self, None, value, source)
        if isinstance(value, tuple) and all(type(v) in (int, float) for v in value):
            return tuple(
                Number(self, None, v, source._replace(item=k)) for k, v in enumerate(value)
            )
        self.guard("option", source, value)
        return value

    def groups(self, optimizer: Any, real: list[Any]) -> list[Any]:
        """Return what stands for the groups of an optimizer."""
        self.guard("groups", optimizer, tuple(tuple(g["params"]) for g in real))
        self.outside[id(optimizer)] = optimizer
        return [Options(self, optimizer, k, group) for k, group in enumerate(real)]

    def state(self, optimizer: Any, tensor: Any, real: Any) -> Kept:
        """Return what stands for what an optimizer keeps for a tensor."""
        key = (id(optimizer), id(tensor))
        if key not in self.kept:
            self.source(tensor)
            self.kept[key] = Kept(self, optimizer, tensor, real)
        return self.kept[key]

    # Random numbers

    def random(self, generator: Any, rng: Any) -> Any:
        """Return what stands for a generator of random numbers."""
        if id(generator) not in self.generators:
            self.outside[id(generator)] = generator
            number = Number(self, None, copy.deepcopy(rng), Random(generator))
            self.generators[id(generator)] = Draws(self, number)
        return self.generators[id(generator)]

    # The end

    def memories(self) -> dict[int, Any]:
        """Return the arrays of inputs: themselves, where the trace goes by copies of them."""
        real = {number: reference() for reference, _, number in self.temporary}
        return {**self.memory, **{n: array for n, array in real.items() if array is not None}}

    def lying(self) -> None:
        """Note how the memory lies of inputs that are reshaped and written to.

        By that it is told whether the two are one memory: whether a change of one is the other's.
        """
        numbers = {id(box): number for number, box in self.inputs.items()}
        for x, made in self.reshaped:
            root = x
            while root._parent is not None:
                root = root._parent
            if id(root) in numbers and (root._version or made._version):
                number = numbers[id(root)]
                self.guard("strides", self.program.inputs[number], self.memory[number].strides)
        self.reshaped.clear()

    def writes(self) -> Iterator[Any]:
        """Yield what a call leaves behind."""
        for number, box in self.inputs.items():
            if box.number != number:
                yield Change(number, box.number)
        for key, box in self.arrays.items():
            yield Replace(self.sources[key], box.number)
        for key, grad in self.grads.items():
            node = self.outside[key]
            if grad is not None and grad is _grad.__get__(self.real(node)):
                continue  # None is set anew: the next call may find something there
            left = None if grad is None else self.read_array(grad).number
            yield Leave(self.source(node), left)
        for kept in self.kept.values():
            yield from kept.begun()
