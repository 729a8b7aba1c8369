"""The call of a program: guards, inputs, kernel, changes and results, as one generated function.

All that is known at the trace is a name or a literal of the generated function, so that a call
costs a few microseconds beside its kernel.
"""

from __future__ import annotations

from types import CellType
from typing import Any

import numpy as np

from tinygrad_fc import grad_mode
from tinygrad_fc.compiler.guards import ABSENT, PLAIN, same, same_contents
from tinygrad_fc.compiler.ir import GuardFailed, Program, Source, flatten, signature
from tinygrad_fc.compiler.trace import Output, Traced
from tinygrad_fc.dtypes import get_default_dtype
from tinygrad_fc.graph import Node, owner, record_change, record_changes_by_id, wrap
from tinygrad_fc.ops.elementwise import _silent

MISS = object()
"""What a call returns whose guards do not hold; nothing is changed then."""


def result_of_op(array: Any, op: Any) -> Any:
    """Return a tensor that requires grad and whose graph cannot be used; plain without an op."""
    t: Any = wrap(array)
    t._requires_grad, t._op, t._settings = op is not None, op, {}
    return t


class Call:
    """A traced program with its kernel, to be called with arguments like the function's."""

    def __init__(self, traced: Traced, kernel: Any, args: Any, kwargs: Any) -> None:
        self.traced, self.program, self.kernel = traced, traced.program, kernel
        leaves: list[Any] = []
        structure = flatten((args, kwargs), leaves)
        self.signature = signature(leaves)
        self.loop: Any = None
        writer = _Writer(traced, kernel)
        self.text = writer.written(leaves, structure)
        exec(compile(self.text, f"<call of {self.program.name}>", "exec"), writer.bound)  # noqa: S102
        self.call: Any = writer.bound.pop("call")

    def is_steady(self) -> bool:
        """Tell whether the program fits the next call after all that this one changes, too.

        No tensor from outside may be among its results, since it would be another one each time.
        """
        results: list[Any] = []
        flatten(self.traced.result, results)
        reads_gradients = any(v.source.kind == "gradient" for v in self.program.inputs)
        changing = reads_gradients or self.traced.grad_guards
        return not changing and not any(type(result) is Source for result in results)


class _Arrays:
    """The arrays that the inputs of a program had in its last call."""

    def __init__(self, program: Program) -> None:
        self.inputs = program.inputs
        self.changed = {id(old) for old, _ in program.changes}
        self.known: list[Any] = [None] * len(program.inputs)
        self.changing: dict[int, Any] = {}  # arrays that the program changes, by id
        self.owners: list[int] = []  # ids of the owners of their memory

    def replace(self, k: int, array: Any) -> bool:
        """Tell whether `array` may take the place of the one that input `k` had so far."""
        value = self.inputs[k]
        known = (value.shape, value.dtype, value.strides)
        written = id(value) in self.changed
        if (array.shape, array.dtype, array.strides) != known:
            return False
        others = (*self.known[:k], *self.known[k + 1 :]) if written else self.changing.values()
        if (written or array.base is not None) and self.aliases(array, others):
            return False
        if written and not array.flags.writeable:  # native code would not notice
            return False
        if written:
            self.changing.pop(id(self.known[k]), None)
            self.changing[id(array)] = array
            record_change(array)
            self.owners[:] = [id(owner(each)) for each in self.changing.values()]
        self.known[k] = array
        return True

    def aliases(self, array: Any, others: Any) -> bool:
        """Tell whether `array` shares memory with one of the others."""
        return any(np.may_share_memory(array, other) for other in others)


_FUNCTIONS = (
    *(wrap, result_of_op, record_change, record_changes_by_id, same, same_contents),
    *(flatten, get_default_dtype, GuardFailed),
)
_NAMES: dict[str, Any] = {function.__name__: function for function in _FUNCTIONS}
_NAMES |= {"MISS": MISS, "ABSENT": ABSENT, "flags": grad_mode.flags, "silent": _silent}
"""What the generated function reads of this package."""


class _Writer:
    """Writes the generated function."""

    def __init__(self, traced: Traced, kernel: Any) -> None:
        self.traced, self.program = traced, traced.program
        arrays = _Arrays(self.program)
        self.bound: dict[str, Any] = {
            **_NAMES,
            "kernel": kernel,
            "known": arrays.known,
            "changing": arrays.changing,
            "owners": arrays.owners,
            "replaces": arrays.replace,
            "aliases": arrays.aliases,
        }
        self.names: dict[int, str] = {}
        self.lines: list[str] = []

    def written(self, leaves: list[Any], structure: Any) -> str:
        """Return the text of the function."""
        self.arguments(leaves, structure)
        start = len(self.lines)
        self.outside()
        guards = [f"    {line}" for line in self.lines[start:]]
        # comparing values of other classes may raise where they differ
        guards += ["except (ValueError, TypeError, KeyError): return MISS"]
        self.lines[start:] = ["try:", *guards]
        self.run(self.inputs())
        body = "".join(f"    {line}\n" for line in self.lines)
        return f"def call(args, kwargs, kernel=kernel):\n{body}"

    def name(self, thing: Any, prefix: str = "v") -> str:
        """Return the name that the function has for an object."""
        if id(thing) not in self.names:
            self.names[id(thing)] = name = f"{prefix}{len(self.names)}"
            self.bound[name] = thing
        return self.names[id(thing)]

    def unless(self, condition: str) -> None:
        """Write a guard."""
        self.lines.append(f"if not ({condition}): return MISS")

    def array(self, source: Source) -> str:
        """Return the expression of the array at a source."""
        if source.kind == "array":
            return self.name(source.subject, "array")
        return (
            f"{self.tensor(source)}._array" if source.kind != "argument" else f"x{source.subject}"
        )

    def tensor(self, source: Source) -> str:
        """Return the expression of the tensor at a source."""
        if source.kind == "argument":
            return f"l{source.subject}"
        if source.kind == "gradient":
            return f"{self.tensor(source.subject)}._grad"
        return self.name(source.subject, "p")

    def arguments(self, leaves: list[Any], structure: Any) -> None:
        """Write the guards of arguments."""
        if structure == ((None,) * len(leaves), {}):
            given = "args"
            self.unless(f"len(args) == {len(leaves)} and not kwargs")
        else:
            given = "leaves"
            self.lines.append("leaves = []")
            # by their text: dicts of another order are other arguments
            self.unless(f"repr(flatten((args, kwargs), leaves)) == {repr(structure)!r}")
        if leaves:
            self.lines.append(f"{', '.join(f'l{k}' for k in range(len(leaves)))}, = {given}")
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
        sources = [old.source for old, _ in self.program.changes]
        written = any(s.kind == "argument" and s.subject == k for s in sources)
        dtype = self.name(array.dtype, "D")
        self.unless(f"l{k}.__class__ is {self.name(type(leaf), 'T')}")
        self.lines.append(f"x{k} = l{k}" + "._array" * tensor)
        guards = [
            f"x{k}.shape == {array.shape} and (x{k}.dtype is {dtype} or x{k}.dtype == {dtype})"
        ]
        guards += [f"l{k}._requires_grad is {leaf._requires_grad}"] if tensor else []
        guards += [f"x{k}.strides == {array.strides} and x{k}.flags.writeable"] if written else []
        self.unless(" and ".join(guards))

    def outside(self) -> None:
        """Write the guards of what the function reads outside."""
        traced = self.traced
        dtype = self.name(get_default_dtype())
        self.unless(f"flags.get() == {traced.flags} and get_default_dtype() is {dtype}")
        for read in traced.reads.names.values():
            now = f"{self.name(read.place, 'place')}.get({read.name!r}, ABSENT)"
            if isinstance(read.place, CellType):
                now = f"{self.name(read.place, 'cell')}.cell_contents"
            value = self.name(read.value)
            equal = f" or same({now}, {value})" if type(read.value) in PLAIN else ""
            self.unless(f"{now} is {value}{equal}")
        for container, known in traced.reads.containers.values():
            self.unless(f"same_contents({self.name(container, 'c')}, {self.name(known)})")
        for attributes, before in traced.modules:
            m = self.name(attributes, "m")
            # comparing the attributes tells all tensors apart but those of one element
            tensors = [
                (n, t) for n, t in before.items() if isinstance(t, Node) and t._array.size == 1
            ]
            guards = [f"{m}[{name!r}] is {self.name(value, 'p')}" for name, value in tensors]
            self.unless(" and ".join([*guards, f"{m} == {self.name(before)}"]))
        for k, tensor in traced.captured_arguments:
            self.unless(f"l{k} is {self.name(tensor, 'p')}")
        for tensor, requires_grad, hooks in traced.tensors:
            p = self.name(tensor, "p")
            same_hooks = f"{p}._hooks is {self.name(hooks, 'h')}"
            self.unless(f"{p}._requires_grad is {requires_grad} and {same_hooks}")
        for guard in traced.optimizers:
            self.optimizer(*guard)

    def optimizer(self, optimizer: Any, groups: list[dict[str, Any]], state: Any) -> None:
        """Write the guards of options and state; options that are inputs may differ."""
        o, gs = self.name(optimizer, "o"), self.name(optimizer.param_groups, "gs")
        kept = self.name(optimizer.state, "s")
        self.unless(f"{o}.param_groups is {gs} and len({gs}) == {len(groups)}")
        self.unless(f"{o}.state is {kept} and len({kept}) == {len(state)}")
        entries = [
            f"{kept}.get({self.name(p, 'p')}) is {self.name(d)}" for p, d in optimizer.state.items()
        ]
        if entries:
            self.unless(" and ".join(entries))
        sources = [v.source for v in self.program.inputs if v.source.subject is optimizer]
        for k, group in enumerate(groups):
            g, before = f"{gs}[{k}]", self.name({**group, "params": [*group["params"]]})
            for key in {source.key[1] for source in sources if source.key[0] == k}:
                self.lines.append(f"{before}[{key!r}] = {g}[{key!r}]")
            self.unless(f"{g} == {before}")

    def inputs(self) -> list[str]:
        """Write the lines that read the inputs; return their expressions."""
        for source, was_none in self.traced.grad_guards:
            self.unless(f"({self.tensor(source)}._grad is None) is {was_none}")
        inputs = []
        for k, value in enumerate(self.program.inputs):
            source, name = value.source, f"i{k}"
            if source.kind == "argument":
                name = f"x{source.subject}"
                if self.program.changes:
                    unknown = f"{name}.base is None and id({name}) not in changing"
                    self.unless(f"{unknown} or not aliases({name}, changing.values())")
            elif source.kind == "option":
                group, key, item = source.key
                option = f"{self.name(source.subject.param_groups, 'gs')}[{group}][{key!r}]"
                self.lines.append(f"{name} = float({option}{'' if item is None else [item]})")
                self.unless(f"{name} == {name}")  # a NaN raises in the function itself
            elif source.kind == "generator":
                name = f"{self.name(source.subject, 'rng')}.rng"
            elif source.kind == "array":
                name = self.array(source)
            else:
                self.lines.append(f"{name} = {self.array(source)}")
                self.unless(f"{name} is known[{k}] or replaces({k}, {name})")
            inputs.append(name)
        return inputs

    def run(self, inputs: list[str]) -> None:
        """Write the call of the kernel, and what follows it."""
        add, traced, outputs = self.lines.append, self.traced, self.program.outputs
        read = [source for source, _ in traced.grad_guards]
        for source, _ in traced.gradients:  # freed first, for the new ones to reuse their memory
            if not any(source is other for other in read):
                add(f"{self.tensor(source)}._grad = None")
        run = f"silent.call({', '.join(['kernel', *inputs])})"
        run = f"{', '.join(f'r{k}' for k in range(len(outputs)))}, = {run}" if outputs else run
        drawn = [v.source.subject for v in self.program.inputs if v.source.kind == "generator"]
        if drawn and self.program.expects:  # what was drawn before a condition fails is undone
            states = ", ".join(f"{self.name(g, 'rng')}.rng.bit_generator.state" for g in drawn)
            add(f"states = [{states}]\n    try: {run}\n    except GuardFailed:")
            add(f"    {states}, = states\n        raise")
        else:
            add(run)
        for source, number in traced.gradients:
            grad = "None" if number is None else f"wrap(r{number})"
            add(f"{self.tensor(source)}._grad = {grad}")
        at = dict(zip(map(id, self.program.inputs), inputs, strict=True))
        if self.program.changes:  # graphs recorded outside find out
            add("record_changes_by_id(owners)")
            sources = [(old, old.source.kind) for old, _ in self.program.changes]
            arrays = [at[id(old)] for old, kind in sources if kind in ("argument", "array")]
            if arrays:  # which may be others in each call
                add(f"record_change({', '.join(arrays)})")
        add(f"return {self.result(traced.result)}")

    def result(self, tree: Any) -> str:  # noqa: PLR0911  one for each kind of leaf
        """Return the expression of what the function returns."""
        if isinstance(tree, Output):
            array = f"r{tree.number}"
            if tree.op is not None:
                return f"result_of_op({array}, {self.name(tree.op, 'op')})"
            return f"wrap({array})" if tree.tensor else array
        if isinstance(tree, Source):
            return self.tensor(tree)
        if type(tree) is tuple:
            return f"({''.join(f'{self.result(part)}, ' for part in tree)})"
        if type(tree) is list:
            return f"[{', '.join(map(self.result, tree))}]"
        if type(tree) is dict:
            items = (f"{self.name(k, 'key')}: {self.result(v)}" for k, v in tree.items())
            return "{" + ", ".join(items) + "}"
        return self.name(tree)
