"""The call of a program: guards, inputs, kernel, changes and results, as one generated function.

All that is known at the trace is a name or a literal of the generated function, so that a call
costs a few microseconds beside its kernel. For a step of one layer it begins and ends like this:

    def call(args, kwargs, kernel=kernel, calls=calls):
        try:
            [l0, l1] = args
            if not (not kwargs): return v15  # a `Miss`, as the others
            ...
            i2 = v17._array
            if not (i2 is known[2] or replaces(2, i2)): return v18
        except Exception: return v19
        leaf = leaf_of if flags.get() & 16 else unobserved_leaf
        number = next(calls)
        if number > 1 and not number & number - 1 and (outputs := check(...)) is not None:
            [r0, r1] = outputs
            return leaf(r1)
        try: [r0, r1] = silent.call(kernel, i0, i1, i2, i3) or ()
        except GuardFailed: return v20
        v17._grad = leaf(r0)
        record_changes_by_id(changed_memory)
        return leaf(r1)
"""

from __future__ import annotations

from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from tinygrad_fc.compiler.guards import ABSENT, Watched, same, same_contents
from tinygrad_fc.compiler.ir import GuardFailed, Source
from tinygrad_fc.compiler.trace import Output, Traced
from tinygrad_fc.core import grad_mode, graph
from tinygrad_fc.core.dtypes import get_default_dtype
from tinygrad_fc.core.errors import RangeError
from tinygrad_fc.core.errstate import silent
from tinygrad_fc.core.graph import record_changes_by_id
from tinygrad_fc.core.node import (
    Node,
    array_of,
    leaf_of,
    owner,
    undifferentiated_leaf,
    unobserved_leaf,
)
from tinygrad_fc.core.pytree import flatten


class Miss(NamedTuple):
    """The result of a call whose guards fail: no array is changed, but `.grad` may now be None.

    `changed` names what differs from the trace.
    """

    changed: str


_OF_TENSORS = (owner, leaf_of, unobserved_leaf, undifferentiated_leaf, record_changes_by_id)
_OTHERS = (same, same_contents, flatten, get_default_dtype, GuardFailed, RangeError)
_NAMES: dict[str, Any] = {f.__name__: f for f in (*_OF_TENSORS, *_OTHERS)}
_NAMES |= {"flags": grad_mode.flags, "silent": silent, "ABSENT": ABSENT}
"""What the generated function reads of this package."""


class Executable:
    """A traced program with its kernel, to be called with arguments like the function's.

    `arguments` is the tuple of `args` and `kwargs`. `calls` yields the number of each call;
    calls 2, 4, 8, ... are done by `check(self, number, arguments, inputs)`.
    """

    def __init__(self, traced: Traced, kernel: Any, arguments: Any, calls: Any, check: Any) -> None:
        self.traced, self.program, self.kernel = traced, traced.program, kernel
        self.captured_ids = traced.captured.ids()
        changed = {id(old) for old, _ in self.program.changes}
        self.known: list[Any] = [None] * len(self.program.inputs)  # the arrays of the last call
        # by the number of an input that the program changes: the id of the array that owns it
        self.changed_inputs = {k: 0 for k, v in enumerate(self.program.inputs) if id(v) in changed}
        self.changed_memory: set[int] = set()
        names = {"kernel": kernel, "calls": calls, "known": self.known}
        methods = {"check": partial(check, self), "replaces": self._replace}
        self.bound = {**_NAMES, **names, **methods, "changed": self._changed}
        self.bound["changed_memory"] = self.changed_memory
        self.lines: list[str] = []
        self.compared: list[Watched] = []
        name = f"<call of {self.program.name}>"
        exec(compile(self._written(arguments), name, "exec"), self.bound)  # noqa: S102
        self.call: Any = self.bound["call"]

    @property
    def is_stackable(self) -> bool:
        """Whether many steps may run in one loop, which stacks their results."""
        leaves, outputs = flatten(self.traced.result)[0], self.program.outputs
        # gradients that a step reads, and tensors from outside, differ; numbers are not stacked
        differ = any(isinstance(x, Source | Node | np.ndarray) for x in leaves)
        numbers = any(outputs[k].is_number for k in self.program.returned)
        return not (self.traced.grad_guards or differ or numbers)

    def _replace(self, k: int, array: Any) -> bool:
        """Let `array` take the place of the one that input `k` had so far; return if it may."""
        value, new = self.program.inputs[k], (array.shape, array.dtype, array.strides)
        if new != (value.shape, value.dtype, value.strides) or not isinstance(array, np.ndarray):
            return False  # native code takes its address
        if k in self.changed_inputs and not array.flags.writeable:
            return False  # the function itself raises
        others = range(len(self.known)) if k in self.changed_inputs else self.changed_inputs
        if any(j != k and np.may_share_memory(array, self.known[j]) for j in others):
            return False
        self.known[k] = array
        if k in self.changed_inputs:
            graph.record_change(array)  # from now on, its owner is known by its id
            self.changed_inputs[k] = id(owner(array))
            ids = self.changed_inputs.values()
            self.changed_memory.update(ids)  # at no time is one of them missing
            self.changed_memory.intersection_update(ids)
        return True

    def _changed(self) -> Miss:
        """Return which of the dicts and lists with a name differs."""
        return next(Miss(c.name) for c in self.compared if c.container != c.before)

    # The generated function

    def _written(self, arguments: Any) -> str:
        """Return the text of the function."""
        self._arguments(*flatten(arguments))
        self._outside()
        self._inputs()
        guards = [f"    {line}" for line in self.lines]
        # another number of arguments, or values of other classes, may raise
        other = self._name(Miss("the number or classes of the arguments"))
        self.lines = ["try:", *guards, f"except Exception: return {other}"]
        self._write_call()
        header = "def call(args, kwargs, kernel=kernel, calls=calls):"
        return "\n    ".join([header, *self.lines])

    def _name(self, value: Any) -> str:
        """Return the name that the function has for an object."""
        name = f"v{id(value)}"
        self.bound[name] = value
        return name

    def _guard(self, subject: str, condition: str, *values: Any) -> None:
        """Write a guard on what `subject` names; objects take the places {0}, {1}, ... in it."""
        condition = condition.format(*map(self._name, values)) if values else condition
        self.lines.append(f"if not ({condition}): return {self._name(Miss(subject))}")

    def _place(self, source: Source) -> str:
        """Return the expression of the tensor, or of the array or generator, at a source."""
        if source.kind == "argument":
            return f"l{source.subject}"
        if source.kind == "gradient":
            return f"{self._place(source.subject)}._grad"
        return self._name(source.subject)

    def _value(self, source: Source) -> str:
        """Return the expression of the input at a source."""
        if source.kind == "argument":
            return f"x{source.subject}"
        if source.kind == "option":
            return f"float({self._place(source)}{''.join(f'[{key!r}]' for key in source.key)})"
        attributes = {"array": "", "generator": ".rng"}
        return self._place(source) + attributes.get(source.kind, "._array")

    def _arguments(self, leaves: list[Any], structure: Any) -> None:
        """Write the guards of arguments."""
        names = f"[{', '.join(f'l{k}' for k in range(len(leaves)))}]"
        if structure == ((None,) * len(leaves), {}):
            self.lines.append(f"{names} = args")
            self._guard("the names of the arguments", "not kwargs")
        else:
            self.lines.append(f"{names}, structure = flatten((args, kwargs))")
            subject = "the structure of the arguments (items of a list or dict)"
            # by their text: dicts of another order are other arguments
            self._guard(subject, f"repr(structure) == {repr(structure)!r}")
        for k, (leaf, name) in enumerate(zip(leaves, self.traced.names, strict=True)):
            if not isinstance(leaf, Node | np.ndarray):
                self._guard(f"the value of {name}", f"same(l{k}, {{}})", leaf)
                continue
            self._argument(k, leaf, name)
            for j in range(k):  # x and y that are one tensor
                subject = f"whether {self.traced.names[j]} and {name} are one tensor"
                self._guard(subject, f"(l{j} is l{k}) is {leaves[j] is leaf}")

    def _argument(self, k: int, leaf: Any, name: str) -> None:
        """Write the guards of one tensor or array."""
        array, is_tensor = array_of(leaf), isinstance(leaf, Node)
        self._guard(f"the class of {name}", f"l{k}.__class__ is {{}}", type(leaf))
        self.lines.append(f"x{k} = l{k}" + "._array" * is_tensor)
        for attribute in ("shape", "dtype", "strides"):
            now = f"x{k}.{attribute} == {{}}"
            self._guard(f"the {attribute} of {name}", now, getattr(array, attribute))
        if is_tensor:  # without a graph recorded outside
            now = f"l{k}._requires_grad is {leaf._requires_grad} and l{k}._parents is None"
            self._guard(f"whether {name} requires grad", now)
        if id(leaf) in self.captured_ids:
            subject = f"whether {name} is the tensor that the function also reads outside"
            self._guard(subject, f"l{k} is {{}}", leaf)

    def _outside(self) -> None:
        """Write the guards of what the function reads outside."""
        captured, containers = self.traced.captured, self.traced.captured.containers
        now = f"flags.get() & ~{grad_mode.OBSERVED}"
        self._guard("the grad mode", f"{now} == {captured.flags}")
        self._guard("the default dtype", "get_default_dtype() is {}", get_default_dtype())
        for place, key, name, value in captured.names.values():
            is_item = isinstance(place, dict | MappingProxyType)
            now = f"{{0}}.get({key!r}, ABSENT)" if is_item else f"{{0}}.{key}"
            self._guard(name, f"{now} is {{1}} or same({now}, {{1}})", place, value)
        for source in (v.source for v in self.program.inputs if v.source.kind == "option"):
            group, key = source.subject, source.key[0]  # an option that is an input may differ
            before = self._name(containers[id(group)].before)
            self.lines.append(f"{before}[{key!r}] = {self._name(group)}[{key!r}]")
        self.compared = [c for c in containers.values() if c.name]
        self.bound["present"] = [c.container for c in self.compared]
        self.bound["traced"] = [c.before for c in self.compared]
        self.lines.append("if present != traced: return changed()")
        for container, before, name in containers.values():
            if not name:
                subject = f"the items of a {type(container).__name__} from outside"
                self._guard(subject, "same_contents({}, {})", container, before)
            # == compares tensors of one element by value, and raises for others that differ
            for key, item in before.items() if name and isinstance(before, dict) else ():
                if isinstance(item, Node) and item._array.size == 1:
                    self._guard(name, "{}[{}] is {}", container, key, item)
        for tensor in self.traced.tensors:
            subject = f"whether a tensor of shape {array_of(tensor).shape} requires grad"
            self._guard(subject, f"{{}}._requires_grad is {tensor._requires_grad}", tensor)
            hooks = tensor._hooks and tensor._hooks.copies()
            now = "{}._hooks is {}" if hooks is None else "{}._hooks.copies() == {}"
            self._guard("the hooks of a tensor", now, tensor, hooks)

    def _inputs(self) -> None:
        """Write the lines that read the inputs."""
        for source, was_none in self.traced.grad_guards:
            now = f"({self._place(source)}._grad is None) is {was_none}"
            self._guard("whether the .grad of a tensor is None", now)
        for k, value in enumerate(self.program.inputs):
            self.lines.append(f"i{k} = {self._value(value.source)}")
            if value.source.kind == "option" and value.source.key[0] == "lr":  # eager steps raise
                self._guard("a learning rate is NaN", f"i{k} == i{k}")
            if value.source.kind in ("tensor", "gradient") or k in self.changed_inputs:
                subject = f"shape, dtype or memory of {value.name or 'a tensor'}"
                self._guard(subject, f"i{k} is known[{k}] or replaces({k}, i{k})")
        # the program may read an argument after it has changed the tensors
        arguments = [k for k, v in enumerate(self.program.inputs) if v.source.kind == "argument"]
        for k in set(arguments) - self.changed_inputs.keys() if self.changed_inputs else ():
            subject = f"whether {self.program.inputs[k].name} shares memory with a changed tensor"
            memory = f"i{k} if i{k}.base is None else owner(i{k})"
            self._guard(subject, f"id({memory}) not in changed_memory")

    def _write_call(self) -> None:
        """Write the call of the kernel, and what follows it."""
        add, traced, inputs = self.lines.append, self.traced, self.program.inputs
        results = f"[{', '.join(f'r{k}' for k in range(len(self.program.outputs)))}]"
        values = "".join(f"i{k}, " for k in range(len(inputs)))
        checked = f"check(number, (args, kwargs), ({values}))"
        add(f"leaf = leaf_of if flags.get() & {grad_mode.OBSERVED} else unobserved_leaf")
        add("number = next(calls)")  # a check does 2, 4, 8, ...
        add(f"if number > 1 and not number & number - 1 and (outputs := {checked}) is not None:")
        add(f"    {results} = outputs")
        add(f"    return {self._result(traced.result)}")
        # freed first, for the new ones to reuse their memory
        for source in dict(traced.gradients).keys() - dict(traced.grad_guards).keys():
            add(f"{self._place(source)}._grad = None")
        draws = [k for k, v in enumerate(inputs) if v.source.kind == "generator"]
        restored = ""
        for k in draws if self.program.expects else ():
            add(f"s{k} = i{k}.bit_generator.state")
            restored += f"i{k}.bit_generator.state = s{k}; "
        add(f"try: {results} = silent.call(kernel, {values}) or ()")
        branch = self._name(Miss("a value that decides a branch"))
        add(f"except GuardFailed: {restored}return {branch}")
        add("except IndexError as error: raise RangeError(f'indexing: {error}') from error")
        for source, number in traced.gradients:
            new = "None" if number is None else f"leaf(r{number})"
            add(f"{self._place(source)}._grad = {new}")
        if self.program.changes:  # graphs recorded outside find out
            add("record_changes_by_id(changed_memory)")
        add(f"return {self._result(traced.result)}")

    def _result(self, tree: Any) -> str:
        """Return the expression of what the function returns."""
        if isinstance(tree, Output):
            return f"{tree.tensor}(r{tree.number})"
        if isinstance(tree, Source):
            return self._place(tree)
        is_same = id(tree) in self.traced.captured.containers
        if isinstance(tree, tuple | list | dict) and not is_same:
            parts = tree.items() if isinstance(tree, dict) else tree
            star = "*" * hasattr(tree, "_fields")  # a named tuple
            return f"{self._name(type(tree))}({star}[{', '.join(map(self._result, parts))}])"
        is_created = id(tree) not in self.captured_ids
        if is_created and isinstance(tree, np.ndarray | set | bytearray):
            return f"{self._name(tree)}.copy()"  # the function creates one in each call
        return self._name(tree)
