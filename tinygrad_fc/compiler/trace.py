"""Tracing: run a function once with tracers in its tensors, and record what it reads and changes.

While a trace runs, it is the observer of the library (see `seam`): a tensor from outside has a
tracer for its array and becomes an input; what is assigned to it is recorded and written back by
each call. A trace changes no tensor outside, and attributes are restored.
"""

from __future__ import annotations

import copy
import inspect
import sys
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from tinygrad_fc.compiler import ir
from tinygrad_fc.compiler.guards import Captured, Watched, refuse_impure_calls
from tinygrad_fc.compiler.instructions import WHOLE, entry_of, rng_call
from tinygrad_fc.compiler.ir import CompileError, Origin, Program, Source, Value
from tinygrad_fc.compiler.naming import name_values
from tinygrad_fc.compiler.tracer import TraceBuilder, Tracer
from tinygrad_fc.core import grad_mode
from tinygrad_fc.core.device import is_non_numpy_array
from tinygrad_fc.core.node import Node, array_of
from tinygrad_fc.core.pytree import flatten, mapped
from tinygrad_fc.core.seam import Observer, observed


@dataclass(frozen=True)
class Output:
    """In the tree of results: an output of the program, in a tensor if `tensor` is not ""."""

    number: int
    tensor: str = ""  # the name in `call` of what makes one


class Traced(NamedTuple):
    """A program, and how a call is tied to it: guards before, writes and results after."""

    program: Program
    result: Any
    gradients: list[tuple[Source, int | None]]
    """What `.grad` is afterwards: source of the tensor, output number (None: no gradient)."""
    captured: Captured
    grad_guards: list[tuple[Source, bool]]
    """Tensors whose `.grad` was read: source, whether it was None."""
    tensors: list[Any]
    """Tensors from outside."""
    names: list[str]
    """What messages call the leaves of the arguments."""


class StateCreatedError(CompileError):
    """Raised by `trace` after a run that created state; `Compiled._traced` traces again."""


def is_inside(node: Any) -> bool:
    """Return whether a tensor was created by the trace, or is being created."""
    return not isinstance(getattr(node, "_array", None), np.ndarray)


class Trace(TraceBuilder, Observer):
    """What one run of the function reads, computes and changes."""

    fuses = False  # each layer is called, so that it has its path and its z

    def __init__(self, name: str, captured: Captured) -> None:
        super().__init__(name)
        self.captured = captured
        self.sources: dict[int, Source] = {}  # by id of the tensor or array
        self.entered: dict[Source, Tracer] = {}  # in the order of the inputs
        self.paths: dict[Any, str] = {}  # of modules
        self.optimizers: dict[Any, Any] = {}  # copies of the groups, with tracers
        self.options: list[Watched] = []  # these copies, as the function reads them
        self.states = set[str]()  # names of the watched states of optimizers
        self.grads: dict[Any, Any] = {}
        self.grad_reads: list[tuple[Source, bool]] = []
        self.like = super().array(0.0)

    # Arrays

    def array(self, array: Any) -> Tracer:
        """Return the tracer of an array that no tensor has; a constant if it is 0-d."""
        if not array.ndim and id(array) not in self.sources:
            return super().array(array)
        return self._entered(array, self.source(array, "array"))

    def _entered(self, array: Any, source: Source) -> Tracer:
        if is_non_numpy_array(array):
            raise CompileError("a tensor is on a GPU, and compile is for the CPU: do not compile")
        if source not in self.entered:
            value = self.input(source, array)
            self.entered[source] = Tracer(self, value, value.sample)
        return self.entered[source]

    def source(self, x: Any, kind: str = "tensor") -> Source:
        """Return where the calls find a tensor, an array or a generator."""
        return self.sources.setdefault(id(x), Source(kind, x))

    # Values are refused, except to the library, which may branch on a number

    def may_read(self) -> bool:
        """Return whether the code that runs may read a value."""
        return ir.asked_by_library()

    def shown(self, tracer: Tracer, problem: str, advice: str) -> Any:
        """Refuse to show values; the library gets them where it raises an error of its own."""
        by_library = ir.asked_by_library()
        if by_library:
            problem = f"{ir.library_function()} of this package reads the value"
            advice = "Call it outside of the compiled function"
            if self.origin.phase in ("forward", "backward"):
                problem = f"the op {self.origin.op} reads the value"
                advice += ", or write an op of your own by NumPy's functions and operators"
        shape = tracer.value.shape
        what = "a number that calls read" if shape is None else f"a tensor of shape {shape}"
        error = self.refusal(f"{problem} of {what}", advice)
        if self.origin.phase or not by_library:
            raise error
        return tracer.value.sample

    # Arrays and gradients of tensors

    def read(self, tensor: Any) -> Any:
        """Return the tracer of a tensor's array."""
        array = tensor._array
        if type(array) is Tracer:
            return array
        if tensor._hooks:
            for functions in tensor._hooks.copies():
                self.captured.follow(*functions.values())
        if tensor._parents is not None:
            problem = "a tensor with a recorded graph is read from outside"
            raise self.refusal(problem, "Compute it inside, or pass t.detach()")
        return self._entered(array, self.source(tensor))

    def stored(self, array: Any) -> Tracer:
        """Return the tracer of an array that the library has created."""
        return array if type(array) is Tracer else super().array(array)

    def write(self, tensor: Any, array: Any) -> None:
        """Record that a tensor gets another array; one from outside gets its values."""
        tracer = self.stored(array)
        if is_inside(tensor):
            tensor._array = tracer
            return
        old = self.read(tensor)
        if (tracer.shape, tracer.dtype) != (old.shape, old.dtype):
            problem = "a tensor from outside gets an array of another shape or dtype"
            raise self.refusal(problem, "Do it outside of the compiled function")
        old.write(tracer)

    def grad(self, tensor: Any) -> Any:
        """Return the gradient of a tensor, as the trace has left it."""
        if is_inside(tensor):
            return tensor._grad
        if tensor not in self.grads:
            self.grads[tensor] = grad = tensor._grad
            self.grad_reads.append((self.source(tensor), grad is None))
            if grad is not None:
                self.sources.setdefault(id(grad), Source("gradient", self.source(tensor)))
        return self.grads[tensor]

    def set_grad(self, tensor: Any, grad: Any, *, in_place: bool = False) -> None:
        """Record that a tensor gets another gradient, or that one from outside is changed."""
        if is_inside(tensor):
            tensor._grad = grad
            return
        old = self.grads.get(tensor)
        if in_place and old is tensor._grad and old._array.flags.writeable:
            self.write(old, grad._array)
        else:
            self.grads[tensor] = grad

    # Ops, modules, optimizers, generators

    @contextmanager
    def _within(self, origin: Origin) -> Iterator[None]:
        before, self.origin = self.origin, origin
        try:
            yield
        finally:
            self.origin = before

    def call(self, op: Any, arrays: Any, settings: Any) -> Any:
        """Return the tracer of the result of an op, whose instructions note the origin."""
        if not op.is_builtin:
            self.captured.follow(op.forward)
        is_whole, options = entry_of(op.forward).traced == WHOLE, self.values(settings)
        function = partial(self.record, op.forward) if is_whole else op.forward
        origin = Origin(op.name, "forward", module=self.origin.module, settings=options)
        with self._within(self.origin if self.origin.phase else origin):
            result = self.stored(function(*arrays, **settings))
        self._release_unread(op, result, arrays)
        return result

    def rules(self, op: Any) -> Any:
        """Return the vjp rules of an op, which note the origin."""
        if not isinstance(op.rules, tuple):
            return op.rules
        if not op.is_builtin:
            self.captured.follow(*op.rules)
        return tuple(partial(self._rule, op, k) for k in range(len(op.rules)))

    def _rule(self, op: Any, k: int, /, g: Any, out: Any, *args: Any, **settings: Any) -> Any:
        """Call vjp rule `k` of an op, which belongs to the module that called the op."""
        cotangent, result, of = self.values((g, out, args[k]))
        rule, options = (k, cotangent, result, of), self.values(settings)
        origin = Origin(op.name, "backward", *rule, result.origin.module, options)
        with self._within(self.origin if self.origin.phase else origin):
            return op.rules[k](g, out, *args, **settings)

    def _release_unread(self, op: Any, result: Tracer, args: Any) -> None:
        """Release samples that no rule reads: the rule of relu, for example, reads its result."""
        read = [x for k in range(len(args)) for _, x in op.values_read_by(k, result, args)]
        for x in (result, *args):
            if type(x) is Tracer:
                x.is_read |= any(x is y for y in read)
                x.sample = x.sample if x.is_read or x is result else None

    def module(self, module: Any) -> Any:
        """Note attributes of a module, and of all below it; its instructions have its path."""
        if module not in self.paths:
            self.paths |= {inner: path for path, inner in module.named_modules()}
        self.captured.watch_module(module)
        self.captured.follow()
        return self._within(Origin(module=self.paths[module]))

    def state(self, optimizer: Any) -> Any:
        """Watch the state of an optimizer."""
        state = super().state(optimizer)
        code: Any = getattr(inspect.unwrap(type(optimizer).step), "__code__", None)
        name = f"state of {type(optimizer).__name__}"
        if ir.is_users(code):
            name += f" (its step: {code.co_filename}:{code.co_firstlineno})"
        self.states.add(name)
        for container in (state, *state.values()):
            self.captured.watch(container, name)
        return state

    def step(self, optimizer: Any) -> Any:
        """Watch the state and options of an optimizer; its instructions are an "update"."""
        name = type(optimizer).__name__
        rates = (group.get("lr") for group in self.groups(optimizer))
        optimizer.check_rates({"lr": r.value.sample} for r in rates if type(r) is Tracer)
        self.state(optimizer)
        self.captured.watch(vars(optimizer), f"an option of {name}")
        return self._within(Origin(name, "update"))

    def groups(self, optimizer: Any) -> Any:
        """Return copies of the groups of an optimizer, which have tracers for learning rates.

        `OneCycleLR` and `CyclicLR` also set the momentum, or betas.
        """
        if optimizer not in self.optimizers:
            groups = super().groups(optimizer)
            name = f"an option of {type(optimizer).__name__}"
            for container in (groups, *groups, *(group["params"] for group in groups)):
                self.captured.watch(container, name)
            traced = [dict(group) for group in groups]
            for group, copied in zip(groups, traced, strict=True):
                keys = ("lr", "momentum", "betas") if "max_momentum" in group else ("lr",)
                for key in filter(group.__contains__, keys):
                    copied[key] = self._option(group, (key,), group[key])
            self.optimizers[optimizer] = traced
            self.options += [Watched(x, copy.copy(x), name) for x in (traced, *traced)]
        return self.optimizers[optimizer]

    def once(self, problem: str) -> None:
        """Refuse what only the first call would do."""
        raise self.refusal(problem, "Only the first call would: do it outside of the function")

    def _option(self, group: Any, path: tuple[Any, ...], x: Any) -> Any:
        if isinstance(x, tuple):
            return tuple(self._option(group, (*path, k), part) for k, part in enumerate(x))
        x = x._array if isinstance(x, Node) else x
        return self._entered(float(np.asarray(x).item()), Source("option", group, path))

    def generator(self, generator: Any) -> Tracer:
        """Return what draws in the place of the NumPy generator of `generator`."""
        rng = copy.deepcopy(super().generator(generator))
        return self._entered(rng, self.source(generator, "generator"))

    # The end

    def finished(self, result: Any, names: list[str]) -> Traced:
        """Return the program, and what its calls compare and write."""
        program = self.program
        gradients = [
            (self.source(node), None if g is None else self._output(self.read(g)))
            for node, g in self.grads.items()
            if g is None or g is not node._grad
        ]
        result = self._result(result)
        states = zip(program.inputs, self.entered.values(), strict=True)
        program.changes = [(value, t.value) for value, t in states if t.value is not value]
        _order(program)
        tensors = [s.subject for s in self.sources.values() if s.kind == "tensor"]
        return Traced(program, result, gradients, self.captured, self.grad_reads, tensors, names)

    def _output(self, tracer: Tracer) -> int:
        """Add an output to the program; return its number."""
        self.program.outputs.append(tracer.value)
        return len(self.program.outputs) - 1

    def _result(self, tree: Any) -> Any:
        """Return a result with what stands for its tensors; what is no tensor is itself."""
        if id(tree) in self.captured.containers:  # a list from outside, for example
            return tree
        if isinstance(tree, dict):
            kind = OrderedDict if isinstance(tree, OrderedDict) else dict
            return kind((key, self._result(x)) for key, x in tree.items())
        if isinstance(tree, tuple | list):
            parts = map(self._result, tree)
            return type(tree)(*parts) if hasattr(tree, "_fields") else type(tree)(parts)
        if isinstance(tree, Iterator):
            problem = f"{self.captured.line}: the function returns an iterator, which ends once"
            raise CompileError(f"{problem}. Return a list of its items")
        is_tensor = isinstance(tree, Node)
        array = tree._array if is_tensor else tree
        if type(array) is Tracer:
            self.program.returned.append(len(self.program.outputs))
            tensor = "undifferentiated_leaf" if is_tensor and tree._requires_grad else "leaf"
            return Output(self._output(array), tensor * is_tensor)
        return self.source(tree) if is_tensor and self.source(tree).kind == "argument" else tree

    def __getattr__(self, name: str) -> Any:
        """Refuse the use of a tensor that is kept outside: `trace` drops all attributes."""
        problem = "a tensor of a compiled function is used after its trace"
        raise CompileError(f"{problem}. Return it, in a tuple, list or dict")


def trace(function: Any, name: str, args: Any, kwargs: Any) -> Traced:
    """Run `function` with tracers in the place of arrays; return what it did.

    Raises `CompileError`, with the user's line, for what a program cannot do; no tensor is changed
    then. Raises `StateCreatedError` where an optimizer has no state yet.
    """
    leaves, names = flatten((args, kwargs))[0], _argument_names(function, args, kwargs)
    captured = Captured(function, [x for x in leaves if not isinstance(x, Node | np.ndarray)])
    tracing = Trace(name, captured)
    for k, leaf in enumerate(leaves):  # `_order` drops those that are not read
        if isinstance(leaf, Node | np.ndarray):
            source = tracing.sources[id(leaf)] = Source("argument", k)
            tracing._entered(array_of(leaf), source)
    try:
        result = observed(tracing, partial(_returned_by, function, tracing, args, kwargs))
        if tracing.refused:
            raise tracing.refused[0]
        state = [c for c in captured.containers.values() if c.name in tracing.states]
        creates_state = any(len(c.container) != len(c.before) for c in state)
        captured.check(tracing.options, tracing.states if creates_state else ())
        if creates_state:
            raise StateCreatedError("an optimizer creates state in each of its steps")
        traced = tracing.finished(result, names)
        name_values(tracing, traced.program, names)
    finally:
        captured.restore()
        vars(tracing).clear()
    for value in (*traced.program.inputs, *traced.program.instructions):  # of the first call
        value.forget()
    traced.program.return_freed_memory()
    return traced


def _argument_names(function: Any, args: Any, kwargs: Any) -> list[str]:
    """Return names of the leaves: an argument that is one leaf has the name of its parameter."""
    names, positional = list[str](), list[str]()
    with suppress(TypeError, ValueError):  # without a signature
        parameters = inspect.signature(function).parameters.values()
        positional = [p.name for p in parameters if p.kind < p.VAR_POSITIONAL]
    pairs = zip([*positional, *[""] * len(args)], args, strict=False)
    for name, value in (*pairs, *sorted(kwargs.items())):
        leaves, structure = flatten(value)
        unnamed = (f"arg{len(names) + k}" for k in range(len(leaves)))
        names += [name] if name and structure is None else unnamed
    return names


def _returned_by(function: Any, tracing: Trace, args: Any, kwargs: Any) -> Any:
    """Run the function, and refuse impure calls; under a profiler, these are not seen."""
    traced = mapped(lambda x: tracing.array(x) if isinstance(x, np.ndarray) else x, (args, kwargs))
    leaves, structure = flatten(traced)
    before = sys.getprofile()
    try:
        sys.setprofile(before or refuse_impure_calls)
        # Compiled functions that this one calls are part of its program.
        with grad_mode.uncompiled(on=True), np.errstate(all="ignore"):
            result = function(*traced[0], **traced[1])
    finally:
        sys.setprofile(before)
    after, now = flatten(traced)
    if now != structure or any(a is not b for a, b in zip(after, leaves, strict=True)):
        what = "the function changes a list or dict among its arguments"
        raise ir.not_repeated(tracing.program.name, what, "Return the new items")
    return result


def _reads_inputs(value: Value) -> bool:
    """Return whether a value is computed from inputs alone, outside of ops or by an optimizer."""
    known = value.function is None or value.origin.phase in ("", "update")
    return known and value.function is not rng_call and all(map(_reads_inputs, ir.operands(value)))


def _order(program: Program) -> None:
    """Drop the instructions and inputs that are not needed, and put the others in order.

    Conditions on inputs alone come first, such as those on classes and on numbers of optimizers: a
    call that fails them has changed nothing.
    """
    needed = {id(v) for v in ir.leaves([program.outputs, program.changes, program.expects])}
    first = {id(v) for v, _ in program.expects if _reads_inputs(v)}
    for value in reversed(program.instructions):
        if id(value) in needed or value.function is rng_call:
            needed.update(map(id, (value, *ir.operands(value))))
        if id(value) in first:
            first.update(map(id, ir.operands(value)))
            value.origin = Origin(value.origin.op, "guards")
    instructions = [v for v in program.instructions if id(v) in needed]
    program.instructions = sorted(instructions, key=lambda v: id(v) not in first)
    inputs = [v for v in program.inputs if id(v) in needed or v.source.kind == "option"]
    program.inputs = sorted(inputs, key=lambda v: v.source.kind == "option")
