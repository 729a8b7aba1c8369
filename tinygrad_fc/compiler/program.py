"""What a trace is turned into: a list of array operations without a branch.

Values are numbered. Each has a shape and a dtype, or is a plain Python number (`shape` is None),
such as a learning rate. A value is a constant, an input (read anew at every call from its
`Source`), or made by one instruction, from values before it; nothing is ever changed, so
`x += y` is an addition whose result takes the place of x. What the function did change is written
back at the end, by `writes`. `evaluate` is the meaning of an instruction, in NumPy:

| kind | function | result |
|---|---|---|
| ufunc | a ufunc | `function(*args)` |
| reduce | a ufunc | `function.reduce(x, axis=, keepdims=)` |
| reshape, transpose | | `x.reshape(shape)`, `x.transpose(axes)` |
| expand | | `np.broadcast_to(x, shape)` |
| getitem | | `x[at]`; in `at`, `Part(k)` stands for argument k, an index array |
| put | None, or np.add | a copy of x with `copy[at] = y`, or with `np.add.at(copy, at, y)` |
| cast | | `x.astype(dtype)` |
| function | of NumPy's | `function(*inputs, **named)`, in which `Part(k)` stands for argument k |
| call | of arrays | the same, for an operation that branches on values, as a whole |
| draw | a method's name | `getattr(rng, name)(*inputs, **named)`; argument 0 is the generator |
| number | of Python's | arithmetic on plain numbers |
| item | | the one element of an array as a plain number |
| fill | | an array of `shape` and `dtype`, full of a plain number |
| expect | | nothing; where the truth of x is not `value`, the trace does not fit this call |

Draws stay in their order, and happen whether their result is used or not. All `expect`s come
before any write: a call that a trace does not fit has changed nothing. (What it drew by then, the
caller takes back.)
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

VIEWS = frozenset(("reshape", "transpose", "expand"))
"""Kinds whose result may share the memory of their argument; `getitem` does where it is basic."""
NUMBERS = frozenset(("number", "item"))
"""Kinds whose result is a plain Python number."""


class Part(NamedTuple):
    """Stands for an argument of an instruction within its settings."""

    index: int  # type: ignore[assignment]  # over tuple's method


class Value(NamedTuple):
    """What is known of a value: shape and dtype of an array.

    A plain number has the shape None, and the dtype of its kind: bool, int64 or float64. What is
    neither, such as a generator, has None for both.
    """

    shape: tuple[int, ...] | None
    dtype: np.dtype[Any] | None


class Place(NamedTuple):
    """Where in the library an instruction comes from: which call of which row, and its part.

    `rule` is the number of the argument whose rule it is, -1 for the forward function.
    """

    call: int
    row: str
    rule: int


class Instruction(NamedTuple):
    """One operation: value number `out` from the values numbered `args`."""

    kind: str
    function: Any
    args: tuple[int, ...]
    settings: dict[str, Any]
    out: int
    place: Place | None = None


# Where arrays and numbers are read from, at each call


class Argument(NamedTuple):
    """An argument of the compiled function, by its number among the leaves of all arguments."""

    index: int  # type: ignore[assignment]  # as above


class Held(NamedTuple):
    """A tensor that the function found by itself, such as a parameter; by identity."""

    tensor: Any


class Gradient(NamedTuple):
    """The `.grad` of the tensor that the source `of` leads to."""

    of: Any


class State(NamedTuple):
    """`optimizer.state[tensor][key]`: a tensor, or a plain number."""

    optimizer: Any
    tensor: Any
    key: str


class Option(NamedTuple):
    """`optimizer.param_groups[group][key]`, or an item of that, where it is a tuple."""

    optimizer: Any
    group: int
    key: str
    item: int | None = None


class Random(NamedTuple):
    """The `np.random.Generator` that `generator` has now: ours, whose `rng` it is, or NumPy's."""

    generator: Any


Source = Argument | Held | Gradient | State | Option | Random


# What a call leaves behind


class Change(NamedTuple):
    """The array that is the input numbered `target` gets new values, in place."""

    target: int
    number: int


class Replace(NamedTuple):
    """The tensor found at the source `target` gets a fresh array: `t.data = ...`."""

    target: Any
    number: int


class Leave(NamedTuple):
    """The `.grad` of the tensor found at the source `of` is a fresh tensor, or None."""

    of: Any
    number: int | None


class Begin(NamedTuple):
    """`optimizer.state[tensor][key]` is there from now on: a fresh tensor, or a plain value."""

    optimizer: Any
    tensor: Any
    key: str
    number: int | None
    value: Any = None


class Result(NamedTuple):
    """In the tree of results: a fresh tensor, or, if `array`, a fresh array, or its one element."""

    number: int
    requires_grad: bool = False
    array: bool = False
    scalar: bool = False


class Same(NamedTuple):
    """In the tree of results: the very tensor that was found at `source`."""

    source: Any


class CompileError(RuntimeError):
    """A function that cannot be compiled, and why; the line of it where that is known."""


class Unfit(Exception):  # noqa: N818  no error, but news for the caller
    """Raised by a kernel where an `expect` fails, before anything is changed."""


@dataclass
class Program:
    """A traced function: see the module."""

    name: str
    values: list[Value] = field(default_factory=list)
    constants: dict[int, Any] = field(default_factory=dict)
    inputs: dict[int, Source] = field(default_factory=dict)
    instructions: list[Instruction] = field(default_factory=list)
    writes: list[Any] = field(default_factory=list)
    result: Any = None
    """The tree of what is returned, with `Result` and `Same` for tensors."""
    copied: list[Any] = field(default_factory=list)
    """What is in that tree and made by the function: every call returns a copy."""
    guards: list[Guard] = field(default_factory=list)
    attributes: list[tuple[Any, str, Any]] = field(default_factory=list)
    """Attributes of modules that the function sets: module, name, value."""
    leaves: int = 0
    """How many leaves the arguments have."""
    names: dict[int, str] = field(default_factory=dict)
    """What to call a value in the source, where there is a name for it."""
    quiet: frozenset[str] = frozenset()
    """The floating-point warnings ("over", ...) that some operation is quiet about."""
    own: frozenset[int] = frozenset()
    """The results in memory of their own, for which no input may stand, though it is equal."""
    once: bool = False
    """Whether it fits no second call, since it creates state that the first call lacks."""
    changing: str = ""
    """What Python's own state the function changes, and goes by, in every call."""

    def outputs(self) -> list[int]:
        """Return the numbers of the values that a kernel returns, in this order.

        First those of the writes but for `Change`, which a kernel does itself, then the results.
        """
        writes = (w.number for w in self.writes if not isinstance(w, Change))
        left = [number for number in writes if number is not None]
        return left + [leaf.number for leaf in results(self.result)]

    def used(self) -> set[int]:
        """Return the numbers of the values that writes and results need."""
        found = {w.number for w in self.writes if w.number is not None}
        return found | {leaf.number for leaf in results(self.result)}


class Guard(NamedTuple):
    """What must be as it was for a trace to fit: see `compiler.watch`, which notes them.

    `kind` is "grad" (whether the .grad of a tensor is there), "requires_grad", "hooks" (of a
    tensor), "same" (two tensors share an array), "state" (what is kept for a parameter) and "kept"
    (one thing of that, neither number nor tensor), "option" and "groups" of an optimizer,
    "attribute", "method" and "names" of a module; and of the user's code "global" (a name, or an
    attribute of an object), "slot" (such an attribute), "cell" (of a closure), "defaults" of a
    function, "contents" of a container, "values" of a small array, "strides" of an input.
    """

    kind: str
    subject: Any
    value: Any


def results(tree: Any) -> list[Result]:
    """Return the results in a tree of what a function returned."""
    if isinstance(tree, Result):
        return [tree]
    if isinstance(tree, Same):
        return []
    parts: Sequence[Any] = ()
    if isinstance(tree, dict):
        parts = list(tree.values())
    elif isinstance(tree, tuple | list):
        parts = tree
    return [leaf for part in parts for leaf in results(part)]


def filled(template: Any, args: Sequence[Any]) -> Any:
    """Return `template` with the arguments that its parts stand for."""
    if isinstance(template, Part):
        return args[template.index]
    if isinstance(template, tuple | list):
        return type(template)(filled(part, args) for part in template)
    if isinstance(template, dict):
        return {key: filled(part, args) for key, part in template.items()}
    if isinstance(template, slice):
        return slice(*(filled(x, args) for x in (template.start, template.stop, template.step)))
    return template


def is_view(instruction: Instruction) -> bool:
    """Tell whether the result may share the memory of the first argument."""
    if instruction.kind in VIEWS:
        return True
    return instruction.kind == "getitem" and len(instruction.args) == 1


def evaluate(kind: str, function: Any, args: Sequence[Any], settings: dict[str, Any]) -> Any:  # noqa: C901, PLR0911, PLR0912  a table, row by row
    """Return what an instruction of that kind makes of `args`: the meaning of a program."""
    match kind:
        case "ufunc" | "number":
            return function(*args)
        case "reduce":
            return function.reduce(args[0], **settings)
        case "reshape":
            return args[0].reshape(settings["shape"])
        case "transpose":
            return args[0].transpose(settings["axes"])
        case "expand":
            return np.broadcast_to(args[0], settings["shape"])
        case "getitem":
            return args[0][filled(settings["at"], args)]
        case "put":
            copy, at = args[0].copy(), filled(settings["at"], args)
            if function is None:
                copy[at] = args[1]
            else:
                function.at(copy, at, args[1])
            return copy
        case "cast":
            return args[0].astype(settings["dtype"])
        case "function" | "call":
            return function(*filled(settings["inputs"], args), **filled(settings["named"], args))
        case "draw":
            inputs, named = filled(settings["inputs"], args), filled(settings["named"], args)
            return getattr(args[0], function)(*inputs, **named)
        case "item":
            return args[0].item()
        case "fill":
            return np.full(settings["shape"], args[0], settings["dtype"])
        case _:
            raise ValueError(f"nothing is known of an instruction of kind {kind!r}")


def run(program: Program, inputs: Sequence[Any]) -> tuple[Any, ...]:
    """Do what a kernel of `program` does, an instruction at a time; the meaning of a program.

    `inputs` are arrays, numbers and generators in the order of `program.inputs`. Returns those of
    `program.outputs()`; raises `Unfit` where an `expect` fails, and has changed nothing then.
    """
    known: dict[int, Any] = {**program.constants, **dict(zip(program.inputs, inputs, strict=True))}
    for step in program.instructions:
        args = [known[number] for number in step.args]
        if step.kind == "expect":
            if bool(args[0]) is not step.settings["value"]:
                raise Unfit
            continue
        made = evaluate(step.kind, step.function, args, step.settings)
        if program.values[step.out].shape is not None and not isinstance(made, np.ndarray):
            made = np.asarray(made)
        known[step.out] = made
    new = [
        (known[w.target], known[w.number].copy()) for w in program.writes if isinstance(w, Change)
    ]
    outputs = tuple(
        known[number].copy() if isinstance(known[number], np.ndarray) else known[number]
        for number in program.outputs()
    )
    for array, value in new:
        array[...] = value
    return outputs
