"""The call of a program: guards, inputs, kernel, changes and results, as one generated function.

All that is known at the trace is a name or a literal of the generated function, so that a call
costs a few microseconds beside its kernel. For a step of one layer it begins and ends like this:

    def call(args, kwargs, kernel=kernel, due=due):
        if not (len(args) == 2 and not kwargs): return MISS
        ...
        i2 = v17._array
        if not (i2 is known[2] or replaces(2, i2)): return MISS
        if (number := next(due)) and (outputs := check(number, ...)) is not None:
            r0, r1, = outputs
            return wrap(r1)
        try: r0, r1, = silent.call(kernel, x0, x1, i2, i3)
        except GuardFailed: return MISS
        v17._grad = wrap(r0)
        record_changes_by_id(owners)
        return wrap(r1)
"""

from __future__ import annotations

from functools import cached_property, partial
from types import CellType, FunctionType
from typing import Any

import numpy as np

from tinygrad_fc import grad_mode
from tinygrad_fc.compiler import numpy_printer
from tinygrad_fc.compiler.guards import ABSENT, PLAIN, same, same_contents
from tinygrad_fc.compiler.ir import GuardFailed, Program, Source
from tinygrad_fc.compiler.self_check import checking_calls
from tinygrad_fc.compiler.trace import Output, Traced
from tinygrad_fc.dtypes import get_default_dtype
from tinygrad_fc.errstate import silent
from tinygrad_fc.graph import Node, owner, record_change, record_changes_by_id, wrap
from tinygrad_fc.pytree import flatten

MISS = object()
"""What a call returns whose guards do not hold: no array is changed, but `.grad` may be None."""
_FUNCTIONS = (wrap, record_change, record_changes_by_id, same, same_contents, flatten, GuardFailed)
_NAMES: dict[str, Any] = {function.__name__: function for function in _FUNCTIONS}
_NAMES |= {"default_dtype": get_default_dtype, "flags": grad_mode.flags, "silent": silent}
_NAMES |= {"MISS": MISS, "ABSENT": ABSENT}
"""What the generated function reads of this package."""


class Executable:
    """A traced program with its kernel, to be called with arguments like the function's.

    `check(call, number, args, kwargs, inputs)` does the calls that `self_check` numbers; None where
    no call is checked.
    """

    def __init__(
        self, traced: Traced, kernel: Any, args: Any, kwargs: Any, check: Any = None
    ) -> None:
        self.traced, self.program, self.kernel = traced, traced.program, kernel
        leaves, structure = flatten((args, kwargs))
        self.due = checking_calls()
        writer = _Writer(traced, kernel)
        writer.bound |= {"due": self.due, "check": check and partial(check, self)}
        self.text = writer.written(leaves, structure)
        exec(compile(self.text, f"<call of {self.program.name}>", "exec"), writer.bound)  # noqa: S102
        self.call: Any = writer.bound.pop("call")

    @cached_property
    def numpy_kernel(self) -> Any:
        """The program as NumPy source."""
        return numpy_printer.build(self.program)

    @cached_property
    def steps(self) -> Any:
        """The kernel's loop of many steps; None without one, or where results are not stacked."""
        leaves, outputs = flatten(self.traced.result)[0], self.program.outputs
        # gradients that a step reads, and tensors from outside, differ; numbers are not stacked
        differ = any(isinstance(x, Source | Node | np.ndarray) for x in leaves)
        numbers = any(outputs[k].is_number for k in self.program.returned)
        if self.traced.grad_guards or differ or numbers:
            return None
        return getattr(self.kernel, "steps", None)


class _Arrays:
    """The arrays that the inputs of a program had in its last call."""

    def __init__(self, program: Program) -> None:
        self.inputs = program.inputs
        self.known: list[Any] = [None] * len(program.inputs)
        changed = {id(old) for old, _ in program.changes}
        self.changed = [k for k, v in enumerate(program.inputs) if id(v) in changed]
        self.owners: list[int] = []  # ids of the owners of the memory that the program changes

    def replace(self, k: int, array: Any) -> bool:
        """Let `array` take the place of the one that input `k` had so far; return if it may."""
        value = self.inputs[k]
        known = value.shape, value.dtype, value.strides
        if (array.shape, array.dtype, array.strides) != known or not isinstance(array, np.ndarray):
            return False  # native code takes its address
        others = range(len(self.known)) if k in self.changed else self.changed
        if any(j != k and np.may_share_memory(array, self.known[j]) for j in others):
            return False
        self.known[k] = array
        changing = [self.known[j] for j in self.changed if self.known[j] is not None]
        record_change(*changing)
        self.owners[:] = [id(owner(array)) for array in changing]
        return True


class _Writer:
    """Writes the generated function."""

    def __init__(self, traced: Traced, kernel: Any) -> None:
        self.traced, self.program = traced, traced.program
        arrays = _Arrays(self.program)
        self.known = traced.captured.ids()
        self.bound: dict[str, Any] = {**_NAMES, "kernel": kernel, "replaces": arrays.replace}
        self.bound |= {"known": arrays.known, "owners": arrays.owners}
        self.names: dict[int, str] = {}
        self.lines: list[str] = []

    def written(self, leaves: list[Any], structure: Any) -> str:
        """Return the text of the function."""
        self.arguments(leaves, structure)
        start = len(self.lines)
        self.outside()
        guards = [f"    {line}" for line in self.lines[start:]]
        # comparing values of other classes may raise where they differ
        guards += ["except Exception: return MISS"]
        self.lines[start:] = ["try:", *guards]
        self.run(self.inputs())
        body = "".join(f"    {line}\n" for line in self.lines)
        return f"def call(args, kwargs, kernel=kernel, due=due):\n{body}"

    def name(self, value: Any) -> str:
        """Return the name that the function has for an object."""
        if id(value) not in self.names:
            self.names[id(value)] = name = f"v{len(self.names)}"
            self.bound[name] = value
        return self.names[id(value)]

    def unless(self, condition: str) -> None:
        """Write a guard."""
        self.lines.append(f"if not ({condition}): return MISS")

    def place(self, source: Source) -> str:
        """Return the expression of the tensor, or of the array or generator, at a source."""
        if source.kind == "argument":
            return f"l{source.subject}"
        if source.kind == "gradient":
            return f"{self.place(source.subject)}._grad"
        return self.name(source.subject)

    def arguments(self, leaves: list[Any], structure: Any) -> None:
        """Write the guards of arguments."""
        if structure == ((None,) * len(leaves), {}):
            items = "args"
            self.unless(f"len(args) == {len(leaves)} and not kwargs")
        else:
            items = "leaves"
            self.lines.append("leaves, structure = flatten((args, kwargs))")
            # by their text: dicts of another order are other arguments
            self.unless(f"repr(structure) == {repr(structure)!r}")
        if leaves:
            self.lines.append(f"{', '.join(f'l{k}' for k in range(len(leaves)))}, = {items}")
        for k, leaf in enumerate(leaves):
            if not isinstance(leaf, Node | np.ndarray):
                self.unless(f"same(l{k}, {self.name(leaf)})")
                continue
            self.argument(k, leaf)
            for j in range(k):  # x and y that are one tensor
                self.unless(f"(l{j} is l{k}) is {leaves[j] is leaf}")

    def argument(self, k: int, leaf: Any) -> None:
        """Write the guards of one tensor or array."""
        tensor = isinstance(leaf, Node)
        array = leaf._array if tensor else leaf
        self.unless(f"l{k}.__class__ is {self.name(type(leaf))}")
        self.lines.append(f"x{k} = l{k}" + "._array" * tensor)
        guards = [f"x{k}.shape == {array.shape} and x{k}.strides == {array.strides}"]
        guards += [f"x{k}.dtype == {self.name(array.dtype)}"]
        if tensor:  # without a graph recorded outside
            guards += [f"l{k}._requires_grad is {leaf._requires_grad} and l{k}._parents is None"]
        if tensor and id(leaf) in self.known:
            guards += [f"l{k} is {self.name(leaf)}"]
        self.unless(" and ".join(guards))

    def outside(self) -> None:
        """Write the guards of what the function reads outside."""
        traced = self.traced
        dtype = self.name(get_default_dtype())
        self.unless(f"flags.get() == {traced.flags} and default_dtype() is {dtype}")
        for read in traced.captured.names.values():
            now = f"{self.name(read.place)}.get({read.name!r}, ABSENT)"
            if isinstance(read.place, CellType):
                now = f"{self.name(read.place)}.cell_contents"
            elif isinstance(read.place, FunctionType):
                now = f"{self.name(read.place)}.{read.name}"
            value = self.name(read.value)
            equal = f" or same({now}, {value})" if type(read.value) in PLAIN else ""
            self.unless(f"{now} is {value}{equal}")
        containers = traced.captured.containers
        for source in (v.source for v in self.program.inputs if v.source.kind == "option"):
            group, key = source.subject, source.key[0]  # an option that is an input may differ
            before = self.name(containers[id(group)].before)
            self.lines.append(f"{before}[{key!r}] = {self.name(group)}[{key!r}]")
        for container, before, name in containers.values():
            c = self.name(container)
            if not name:
                self.unless(f"same_contents({c}, {self.name(before)})")
                continue
            # == compares tensors of one element by value, and raises for others that differ
            items = before.items() if isinstance(before, dict) else ()
            single = [(k, t) for k, t in items if isinstance(t, Node) and t._array.size == 1]
            guards = [f"{c}[{k!r}] is {self.name(t)}" for k, t in single]
            self.unless(" and ".join([*guards, f"{c} == {self.name(before)}"]))
        for tensor, requires_grad in traced.tensors:
            p, hooks = self.name(tensor), f"{self.name(tensor)}._hooks is None"
            if tensor._hooks:
                functions = self.name(dict(tensor._hooks.functions))
                hooks = f"{p}._hooks and {p}._hooks.functions == {functions}"
            self.unless(f"{p}._requires_grad is {requires_grad} and {hooks}")

    def inputs(self) -> list[str]:
        """Write the lines that read the inputs; return their expressions."""
        for source, was_none in self.traced.grad_guards:
            self.unless(f"({self.place(source)}._grad is None) is {was_none}")
        inputs = []
        for k, value in enumerate(self.program.inputs):
            source, name = value.source, f"i{k}"
            if source.kind == "argument":
                name = f"x{source.subject}"
            elif source.kind == "option":
                option = self.name(source.subject) + "".join(f"[{k!r}]" for k in source.key)
                self.lines.append(f"{name} = float({option})")
            elif source.kind == "generator":
                name = f"{self.place(source)}.rng"
            elif source.kind == "array":
                name = self.place(source)
            else:
                self.lines.append(f"{name} = {self.place(source)}._array")
                self.unless(f"{name} is known[{k}] or replaces({k}, {name})")
            inputs.append(name)
        return inputs

    def run(self, inputs: list[str]) -> None:
        """Write the call of the kernel, and what follows it."""
        add, traced, outputs = self.lines.append, self.traced, self.program.outputs
        results = "".join(f"r{k}, " for k in range(len(outputs)))
        if self.bound["check"]:
            checked = f"check(number, args, kwargs, ({', '.join([*inputs, ''])}))"
            add(f"if (number := next(due)) and (outputs := {checked}) is not None:")
            self.lines += [f"    {results}= outputs"] if outputs else []
            add(f"    return {self.result(traced.result)}")
        read = [source for source, _ in traced.grad_guards]
        for source, _ in traced.gradients:  # freed first, for the new ones to reuse their memory
            if not any(source is other for other in read):
                add(f"{self.place(source)}._grad = None")
        run = f"silent.call({', '.join(['kernel', *inputs])})"
        run = f"{results}= {run}" if outputs else run
        drawn = [i for i in inputs if i.endswith(".rng")] if self.program.expects else []
        states = [f"{rng}.bit_generator.state" for rng in drawn]
        self.lines += [f"s{k} = {state}" for k, state in enumerate(states)]
        restored = "".join(f"{state} = s{k}; " for k, state in enumerate(states))
        add(f"try: {run}")
        add(f"except GuardFailed: {restored}return MISS")
        for source, number in traced.gradients:
            new = "None" if number is None else f"wrap(r{number})"
            add(f"{self.place(source)}._grad = {new}")
        at = dict(zip(map(id, self.program.inputs), inputs, strict=True))
        if self.program.changes:  # graphs recorded outside find out
            add("record_changes_by_id(owners)")
            sources = [(old, old.source.kind) for old, _ in self.program.changes]
            arrays = [at[id(old)] for old, kind in sources if kind in ("argument", "array")]
            if arrays:  # which may be others in each call
                add(f"record_change({', '.join(arrays)})")
        add(f"return {self.result(traced.result)}")

    def result(self, tree: Any) -> str:
        """Return the expression of what the function returns."""
        if isinstance(tree, Output):
            return f"wrap(r{tree.number})" if tree.tensor else f"r{tree.number}"
        if isinstance(tree, Source):
            return self.place(tree)
        if isinstance(tree, tuple | list | dict):
            parts = tree.items() if isinstance(tree, dict) else tree
            star = "*" * hasattr(tree, "_fields")  # a named tuple
            kind = self.name(type(tree))
            return f"{kind}({star}[{', '.join(map(self.result, parts))}])"
        if isinstance(tree, np.ndarray | set | bytearray) and id(tree) not in self.known:
            return f"{self.name(tree)}.copy()"  # the function creates one in each call
        return self.name(tree)
