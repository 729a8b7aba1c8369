"""Tracing: run a function once with tracers in its tensors, and record what it reads and changes.

While a trace runs, the slots `_array` and `_grad` of tensors lead here (see `patches`): a tensor
from outside gets a tracer for its array and becomes an input; what is assigned to it is recorded
and written back by each call. A trace changes no array outside, and attributes are restored.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from threading import get_ident
from typing import Any, NamedTuple

import numpy as np

from tinygrad_fc.compiler import ir, patches
from tinygrad_fc.compiler.guards import Captured
from tinygrad_fc.compiler.instructions import WHOLE, draw, entry_of
from tinygrad_fc.compiler.ir import CompileError, Origin, Program, Source, Value
from tinygrad_fc.compiler.naming import name_values
from tinygrad_fc.compiler.tracer import TraceBuilder, Tracer
from tinygrad_fc.core import grad_mode
from tinygrad_fc.core.device import is_non_numpy_array
from tinygrad_fc.core.graph import Node, array_of
from tinygrad_fc.core.pytree import mapped

_STATE = "state of an optimizer"


@dataclass(frozen=True)
class Output:
    """In the tree of results: output number `number`, as a tensor or as an array."""

    number: int
    tensor: bool


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
    """Return whether a tensor was created by the trace."""
    try:
        return not isinstance(patches.ARRAY.__get__(node), np.ndarray)
    except AttributeError:  # it is being created
        return True


class Trace(TraceBuilder):
    """What one run of the function reads, computes and changes."""

    def __init__(self, name: str, captured: Captured) -> None:
        super().__init__(name)
        self.captured, self.thread = captured, get_ident()
        self.sources: dict[int, Source] = {}  # by id of the tensor or array
        self.entered: dict[Source, Tracer] = {}  # in the order of the inputs
        self.paths: dict[Any, str] = {}  # of modules
        self.optimizers: list[Any] = []
        self.options: list[tuple[Any, str, Any, Any]] = []  # group, key, old value, tracers
        self.grads: dict[Any, Any] = {}
        self.grad_reads: list[tuple[Source, bool]] = []

    # Arrays

    def array(self, array: Any) -> Tracer:
        """Return the tracer of an array that no tensor has; a constant if it is 0-d."""
        if not array.ndim and id(array) not in self.sources:
            return Tracer(self, self.constant(np.asarray(array)))
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

    # The slots of tensors

    def get_array(self, node: Any) -> Any:
        """Return the tracer of a tensor's array."""
        array = patches.ARRAY.__get__(node)
        if type(array) is Tracer:
            return array
        if node._hooks:
            for functions in node._hooks.copies():
                self.captured.follow(*functions.values())
        if node._parents is not None:
            problem = "a tensor with a recorded graph is read from outside"
            raise self.refusal(problem, "Compute it inside, or pass t.detach()")
        return self._entered(array, self.source(node))

    def set_array(self, node: Any, array: Any) -> None:
        """Record that a tensor gets another array; one from outside gets its values."""
        tracer = array if type(array) is Tracer else self.array(np.asarray(array))
        if is_inside(node):
            patches.ARRAY.__set__(node, tracer)
            return
        old = self.get_array(node)
        if (tracer.shape, tracer.dtype) != (old.shape, old.dtype):
            problem = "a tensor from outside gets an array of another shape or dtype"
            raise self.refusal(problem, "Do it outside of the compiled function")
        old.write(tracer)

    def get_grad(self, node: Any) -> Any:
        """Return the gradient of a tensor, as the trace has left it."""
        if is_inside(node):
            return patches.GRAD.__get__(node)
        if node not in self.grads:
            self.grads[node] = grad = patches.GRAD.__get__(node)
            self.grad_reads.append((self.source(node), grad is None))
            if grad is not None:
                self.sources.setdefault(id(grad), Source("gradient", self.source(node)))
        return self.grads[node]

    def set_grad(self, node: Any, grad: Any) -> None:
        """Record that a tensor gets another gradient."""
        if is_inside(node):
            patches.GRAD.__set__(node, grad)
        else:
            self.grads[node] = grad

    # Ops, modules, optimizers, generators

    def forward(self, op: Any) -> Any:
        """Return the forward function of an op, which notes the origin."""
        function = patches.FORWARD.__get__(op)
        if entry_of(function).traced == WHOLE:
            function = partial(self._call_whole, function)
        return partial(self._call, op, -1, function)

    def rules(self, op: Any) -> Any:
        """Return the vjp rules of an op, which note the origin."""
        rules = patches.RULES.__get__(op)
        if not isinstance(rules, tuple):
            return rules
        return tuple(partial(self._call, op, k, rule) for k, rule in enumerate(rules))

    def _call(self, op: Any, argument: int, function: Any, /, *args: Any, **settings: Any) -> Any:
        """Call a forward function (argument -1) or vjp rule; instructions get its `Origin`."""
        origin = self.origin
        if not op.is_builtin:
            self.captured.follow(inspect.unwrap(function))
        if not origin.phase:
            options = self.values(settings)
            origin = Origin(op.name, "forward", module=origin.module, settings=options)
            if argument >= 0:  # a rule belongs to the module that called the op
                cotangent, result, of = self.values((*args[:2], args[2 + argument]))
                module = result.origin.module
                rule = (argument, cotangent, result, of)
                origin = Origin(op.name, "backward", *rule, module, options)
        with patches.patched(self, "origin", origin):
            result = function(*args, **settings)
        if argument < 0 and type(result) is Tracer:
            self._release_unread(op, result, args)
        return result

    def _release_unread(self, op: Any, result: Tracer, args: Any) -> None:
        """Let samples of arguments go that no rule reads: that of relu reads its result alone."""
        with patches.patched(self, "thread", 0):  # for the rules themselves
            read = [x for k in range(len(args)) for _, x in op.values_read_by(k, result, args)]
        for x in (result, *args):
            if type(x) is Tracer:
                x.is_read |= any(x is y for y in read)
                x.sample = x.sample if x.is_read or x is result else None

    def _call_whole(self, function: Any, /, *args: Any, **settings: Any) -> Tracer:
        """Record a call as one instruction."""
        with patches.patched(self, "thread", 0):  # the function computes with arrays
            return Tracer(self, self.emit(function, self.values(args), self.values(settings)))

    def call_module(self, call: Any, module: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Call a module; note attributes of all modules below it before."""
        if module not in self.paths:
            self.paths |= {inner: path for path, inner in module.named_modules()}
        self.captured.watch_module(module)
        self.captured.follow()
        with patches.patched(self, "origin", Origin(module=self.paths[module])):
            return call(module, *args, **kwargs)

    def step(self, step: Any, optimizer: Any, closure: Any = None) -> Any:
        """Run the step of an optimizer as an "update"; watch its state and options."""
        name, state = type(optimizer).__name__, optimizer.state
        optimizer.has_stepped = True  # as `_check_rates` sets it, which is patched
        for container in (state, *state.values()):
            self.captured.watch(container, _STATE)
        self.captured.watch(vars(optimizer), f"an option of {name}")
        with patches.patched(self, "origin", self.origin if closure else Origin(name, "update")):
            return step(optimizer, closure)

    def param_groups(self, optimizer: Any) -> Any:
        """Return the groups of an optimizer, which have tracers for learning rates until the end.

        `OneCycleLR` and `CyclicLR` also set the momentum, or betas.
        """
        groups = vars(optimizer)["param_groups"]
        if optimizer not in self.optimizers:
            for container in (groups, *groups, *(group["params"] for group in groups)):
                self.captured.watch(container, f"an option of {type(optimizer).__name__}")
            self.optimizers.append(optimizer)
            for group in groups:
                keys = ("lr", "momentum", "betas") if "max_momentum" in group else ("lr",)
                for key in filter(group.__contains__, keys):
                    before, group[key] = group[key], self._option(group, (key,), group[key])
                    self.options.append((group, key, before, group[key]))
        return groups

    def put_options_back(self) -> None:
        """Replace the tracers in groups of optimizers; what the function has set stays."""
        for group, key, before, tracer in self.options:
            group[key] = before if group[key] is tracer else group[key]

    def _option(self, group: Any, path: tuple[Any, ...], x: Any) -> Any:
        if isinstance(x, tuple):
            return tuple(self._option(group, (*path, k), part) for k, part in enumerate(x))
        x = patches.ARRAY.__get__(x) if isinstance(x, Node) else x
        return self._entered(float(np.asarray(x).item()), Source("option", group, path))

    def generator(self, generator: Any) -> Tracer:
        """Return what draws in the place of the NumPy generator of `generator`."""
        rng = copy.deepcopy(patches.RNG.fget(generator))
        return self._entered(rng, self.source(generator, "generator"))

    # The end

    def finished(self, result: Any, names: list[str]) -> Traced:
        """Return the program, and what its calls compare and write."""
        program = self.program
        gradients = [
            (self.source(node), None if g is None else self._output(self.get_array(g)))
            for node, g in self.grads.items()
            if g is None or g is not node._grad
        ]
        result = mapped(self._result, result)
        states = zip(program.inputs, self.entered.values(), strict=True)
        program.changes = [(value, t.value) for value, t in states if t.value is not value]
        _order(program)
        tensors = [s.subject for s in self.sources.values() if s.kind == "tensor"]
        return Traced(program, result, gradients, self.captured, self.grad_reads, tensors, names)

    def _output(self, tracer: Tracer) -> int:
        """Add an output to the program; return its number."""
        self.program.outputs.append(tracer.value)
        return len(self.program.outputs) - 1

    def _result(self, leaf: Any) -> Any:
        """Return what stands for a leaf of the result; what is no tensor is itself."""
        if isinstance(leaf, Iterator):
            problem = f"{self.captured.line}: the function returns an iterator, which ends once"
            raise CompileError(f"{problem}. Return a list of its items")
        array, is_tensor = array_of(leaf), isinstance(leaf, Node)
        if type(array) is Tracer:
            self.program.returned.append(len(self.program.outputs))
            return Output(self._output(array), is_tensor)
        return self.source(leaf) if is_tensor and self.source(leaf).kind == "argument" else leaf

    def __getattr__(self, name: str) -> Any:
        """Refuse the use of a tensor that is kept outside: `trace` drops all attributes."""
        problem = "a tensor of a compiled function is used after its trace"
        raise CompileError(f"{problem}. Return it, in a tuple, list or dict")


def trace(function: Any, name: str, args: list[Any], names: Any, run_with_tracers: Any) -> Traced:
    """Run `run_with_tracers`, which calls `function` with tracers for `args`; return what it did.

    `names` are those of the leaves. Raises `CompileError`, with the user's line, for what a program
    cannot do; no tensor is changed then. Raises `StateCreatedError` where an optimizer has no state
    yet.
    """
    captured = Captured(function, [x for x in args if not isinstance(x, Node | np.ndarray)])
    run = Trace(name, captured)
    arrays = [k for k, leaf in enumerate(args) if isinstance(leaf, Node | np.ndarray)]
    run.sources = {id(args[k]): Source("argument", k) for k in arrays}
    try:
        # Compiled functions that this one calls are part of its program.
        with patches.patched_for(run), grad_mode.uncompiled(on=True), np.errstate(all="ignore"):
            result = run_with_tracers(lambda x: run.array(x) if isinstance(x, np.ndarray) else x)
        if run.refused:
            raise run.refused[0]
        run.put_options_back()
        state = [c for c in captured.containers.values() if c.name == _STATE]
        creates_state = any(len(c.container) != len(c.before) for c in state)
        captured.check(_STATE if creates_state else None)
        if creates_state:
            raise StateCreatedError("an optimizer creates state in each of its steps")
        traced = run.finished(result, names)
        name_values(run, traced.program, names)
    finally:
        captured.restore()
        vars(run).clear()
    for value in (*traced.program.inputs, *traced.program.instructions):  # of the first call
        value.forget()
    return traced


def _reads_inputs(value: Value) -> bool:
    """Return whether a value is computed from inputs, without an op."""
    known = value.function is None or value.origin.phase in ("", "update")
    return known and value.function is not draw and all(map(_reads_inputs, ir.operands(value)))


def _order(program: Program) -> None:
    """Drop the instructions and inputs that are not needed, and put the others in order.

    Conditions on inputs alone come first, such as those on classes and on numbers of optimizers: a
    call that fails them has changed nothing.
    """
    needed = {id(v) for v in ir.leaves([program.outputs, program.changes, program.expects])}
    first = {id(v) for v, _ in program.expects if _reads_inputs(v)}
    for value in reversed(program.instructions):
        if id(value) in needed or value.function is draw:
            needed.update(map(id, (value, *ir.operands(value))))
        if id(value) in first:
            first.update(map(id, ir.operands(value)))
            value.origin = Origin(value.origin.op, "guards")
    instructions = [v for v in program.instructions if id(v) in needed]
    program.instructions = sorted(instructions, key=lambda v: id(v) not in first)
    inputs = [v for v in program.inputs if id(v) in needed or v.source.kind == "option"]
    order = {"argument": 0, "option": 2}
    program.inputs = sorted(inputs, key=lambda v: order.get(v.source.kind, 1))
