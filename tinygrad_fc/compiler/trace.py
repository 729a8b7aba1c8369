"""Tracing: run a function once with tracers in its tensors, and record what it reads and changes.

While a trace runs, the slots `_array` and `_grad` of tensors lead here (see `patches`): a tensor
from outside gets a tracer for its array and becomes an input; what is assigned to it is recorded
and written back by each call. Nothing outside is changed by a trace, so an error undoes nothing.
"""

from __future__ import annotations

import copy
import gc
import sys
import weakref
from dataclasses import dataclass, field
from threading import RLock, get_ident
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np

from tinygrad_fc import grad_mode
from tinygrad_fc.compiler import patches
from tinygrad_fc.compiler.guards import PLAIN, Outside, Reads, contents, same, unchanged_attributes
from tinygrad_fc.compiler.ir import (
    CompileError,
    Graph,
    Origin,
    Program,
    Source,
    UnknownValueError,
    Value,
    array_of,
    draw,
    leaves,
    mapped,
    operands,
    refusal,
    user_line,
)
from tinygrad_fc.compiler.naming import name_values
from tinygrad_fc.compiler.tracer import TracedGenerator, Tracer
from tinygrad_fc.graph import Node

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

one_at_a_time = RLock()


class Output(NamedTuple):
    """In the tree of results: output number `number`, as a tensor or as an array.

    `op` made the tensor, if it requires grad: its graph stays inside, as if `backward()` had
    freed it.
    """

    number: int
    tensor: bool
    op: Any = None


class OptimizerGuard(NamedTuple):
    """An optimizer with its groups and its state as they were at the trace."""

    optimizer: Any
    groups: list[dict[str, Any]]
    state: dict[int, dict[str, Any]]


@dataclass
class Traced:
    """A program, and how a call is tied to it: guards before, writes and results after."""

    program: Program
    result: Any = None
    gradients: list[tuple[Any, int | None, Any]] = field(default_factory=list)
    """What `.grad` is afterwards: source of the tensor, output number, or a tensor (None)."""
    replaced: list[tuple[Any, int]] = field(default_factory=list)
    """Tensors whose array is replaced: source, output number."""
    grad_guards: list[tuple[Any, bool]] = field(default_factory=list)
    """Tensors whose `.grad` was read: source, whether it was None."""
    optimizers: list[OptimizerGuard] = field(default_factory=list)
    modules: list[tuple[Any, dict[str, Any]]] = field(default_factory=list)
    modes: list[tuple[Any, bool]] = field(default_factory=list)
    """What `train()` and `eval()` in the function set modules to."""
    tensors: list[tuple[Any, bool, Any]] = field(default_factory=list)
    """Captured tensors: tensor, requires_grad, hooks."""
    shared: list[tuple[Any, Any]] = field(default_factory=list)
    """Pairs of sources that have one array."""
    reads: Reads = field(default_factory=Reads)
    flags: int = 0
    creates_state: bool = False
    """Whether an optimizer created state, which later calls find."""


class Opaque:
    """An op's function, or a vjp rule, that reads values: one instruction of a program."""

    def __init__(self, trace: Trace, origin: Origin, function: Any) -> None:
        self.trace, self.function = trace, function
        self.__name__ = origin.op + (f"_rule{origin.argument}" if origin.argument >= 0 else "")

    def __call__(self, *args: Any, **settings: Any) -> Any:
        """Return the result for arrays; during the trace, too."""
        thread, self.trace.thread = self.trace.thread, 0
        try:
            return self.function(*args, **settings)
        finally:
            self.trace.thread = thread


class Trace(Graph):
    """What one run of the function reads, computes and changes."""

    def __init__(self, varying: set[Any]) -> None:
        super().__init__()
        self.varying = varying
        self.thread = get_ident()
        self.over = False
        self.phase = "forward"
        self.refused: list[CompileError] = []
        self.reads = Reads()
        self.modules: dict[int, tuple[Any, dict[str, Any]]] = {}
        self.modes: dict[int, tuple[Any, set[bool]]] = {}
        self.roots: list[Any] = []
        self.active: list[Any] = []
        self.optimizers: dict[int, tuple[OptimizerGuard, list[dict[str, Any]]]] = {}
        self.sources: dict[int, Any] = {}
        self.shared: list[tuple[Any, Any]] = []
        self.required: dict[int, tuple[Any, bool]] = {}
        self.entered: list[tuple[Value, Tracer]] = []
        self._tracers: dict[int, Tracer] = {}
        self._kept: list[Any] = []  # arrays whose ids are keys
        self._generators: dict[int, TracedGenerator] = {}
        self.grads: dict[int, tuple[Any, Any]] = {}
        self.grad_reads: dict[int, tuple[Any, bool]] = {}
        self.replaced: dict[int, tuple[Any, Tracer]] = {}
        self.created_tensors: list[tuple[Any, str]] = []

    def emit(self, function: Any, args: Any, kwargs: Any = None) -> Value:
        """Record a call; an error once the trace is over."""
        if self.over:
            raise CompileError(
                "a tensor of a compiled function is used after its trace. Return it instead"
            )
        return super().emit(function, args, kwargs)

    def refusal(self, problem: str, advice: str, *, always: bool = False) -> CompileError:
        """Return an error, which is raised at the end if the function catches it.

        An op whose error is not `always` is recorded as one instruction instead.
        """
        error = refusal(problem, advice)
        error = CompileError(*error.args) if always else error
        if not isinstance(error, UnknownValueError):
            self.refused.append(error)
        return error

    # Arrays

    def values(self, tree: Any) -> Any:
        """Return a tree with values in place of tracers and arrays."""
        return mapped(self._value_of, tree)

    def _value_of(self, leaf: Any) -> Any:
        if type(leaf) is Tracer:
            return leaf.value
        if isinstance(leaf, np.ndarray | np.generic):
            return self.array(leaf).value
        return leaf

    def samples(self, tree: Any) -> Any:
        """Return a tree with the arrays of the traced call in place of tracers."""
        return mapped(lambda x: x.sample if isinstance(x, Value) else x, self.values(tree))

    def array(self, array: Any) -> Tracer:
        """Return the tracer of an array that no tensor has; a constant if it is 0-d."""
        if id(array) in self._tracers:
            return self._tracers[id(array)]
        if not array.ndim:
            return Tracer(self, self.constant(np.asarray(array)))
        return self.enter(array, Source("array", array))

    def enter(self, array: Any, source: Any) -> Tracer:
        """Return the tracer of an array from outside, which is an input from now on."""
        if id(array) in self._tracers:
            known = next(v.source for v, t in self.entered if t is self._tracers[id(array)])
            if known is not source and (known, source) not in self.shared:
                self.shared.append((known, source))
        else:
            value = self.input(source, array)
            self._tracers[id(array)] = Tracer(self, value)
            self.entered.append((value, self._tracers[id(array)]))
            self._kept.append(array)
        return self._tracers[id(array)]

    def created(self, function: Any, *args: Any, **kwargs: Any) -> Any:
        """Return the tracer of an array that `function`, such as np.zeros, creates."""
        return patches.created(self, function, *args, **kwargs)

    def source(self, node: Any) -> Any:
        """Return where the calls find a tensor."""
        self.required.setdefault(id(node), (node, node._requires_grad))
        return self.sources.setdefault(id(node), Source("tensor", node))

    # The slots of tensors

    def get_array(self, node: Any) -> Any:
        """Return the tracer of a tensor's array."""
        array = patches.ARRAY.__get__(node)
        if type(array) is Tracer:
            return array
        if id(node) in self.replaced:
            return self.replaced[id(node)][1]
        if node._parents is not None:
            raise self.refusal(
                "a tensor with a recorded graph is read from outside, and each call would need its "
                "graph",
                "Compute it inside, or pass t.detach()",
            )
        return self.enter(array, self.source(node))

    def set_array(self, node: Any, array: Any) -> None:
        """Record that a tensor gets another array."""
        try:
            outside = type(patches.ARRAY.__get__(node)) is not Tracer
        except AttributeError:  # a new tensor
            outside = False
            self.created_tensors.append((weakref.ref(node), user_line()))
        tracer = array if type(array) is Tracer else self.array(np.asarray(array))
        if not outside:
            patches.ARRAY.__set__(node, tracer)
        elif tracer is not self.get_array(node):
            self.replaced[id(node)] = (node, tracer)

    def get_grad(self, node: Any) -> Any:
        """Return the gradient of a tensor, as the trace has left it."""
        if type(patches.ARRAY.__get__(node)) is Tracer:
            return patches.GRAD.__get__(node)
        if id(node) in self.grads:
            return self.grads[id(node)][1]
        grad = patches.GRAD.__get__(node)
        self.grad_reads[id(node)] = (self.source(node), grad is None)
        if grad is not None:
            self.sources.setdefault(id(grad), Source("gradient", self.source(node)))
        return grad

    def set_grad(self, node: Any, grad: Any) -> None:
        """Record that a tensor gets another gradient."""
        try:
            inside = type(patches.ARRAY.__get__(node)) is Tracer
        except AttributeError:
            inside = True
        if inside:
            patches.GRAD.__set__(node, grad)
        else:
            self.grads[id(node)] = (node, grad)

    # Ops, modules, optimizers, generators

    def traced_call(self, op: Any, argument: int, function: Any) -> Callable[..., Any]:
        """Return `function`, an op's forward function or a vjp rule, that notes the origin."""

        def call(*args: Any, **settings: Any) -> Any:
            outer = self.origin
            if outer is None and op.outer is None:
                self.phase = "forward" if argument < 0 else "backward"
                known = [self._value_of(array_of(a)) for a in args[:2]] if argument >= 0 else []
                cotangent, result = known or (None, None)
                module = self.active[-1] if self.active else None
                self.origin = Origin(op.name, self.phase, argument, result, cotangent, module)
            counts = len(self.instructions), len(self.expects)
            try:
                return function(*args, **settings)
            except UnknownValueError:
                if any(isinstance(a, Node) for a in args):
                    raise
                self.rewind(*counts)
                whole = Opaque(self, self.origin or Origin(op.name, self.phase), function)
                return Tracer(self, self.emit(whole, self.values(args), self.values(settings)))
            finally:
                self.origin = outer

        return call

    def enter_module(self, module: Any) -> None:
        """Note the attributes of a module and of all below it before they are used."""
        if not self.active:
            self.roots.append(module)
        for each in module.modules():
            self.modules.setdefault(id(each), (each, patches.attributes(each)))

    def set_mode(self, module: Any, mode: bool) -> None:
        """Note that the function calls `module.train(mode)`."""
        for each in module.modules():
            self.modes.setdefault(id(each), (each, set()))[1].add(mode)

    def enter_optimizer(self, optimizer: Any) -> list[dict[str, Any]]:
        """Note groups and state of an optimizer; return the options that are inputs, per group."""
        if id(optimizer) not in self.optimizers:
            state = {id(p): dict(kept) for p, kept in optimizer.state.items()}
            groups = [dict(group) for group in optimizer.param_groups]
            options = [self._options(optimizer, k, group) for k, group in enumerate(groups)]
            self.optimizers[id(optimizer)] = OptimizerGuard(optimizer, groups, state), options
        return self.optimizers[id(optimizer)][1]

    def _options(self, optimizer: Any, k: int, group: dict[str, Any]) -> dict[str, Any]:
        options: dict[str, Any] = {}
        for key, option in group.items():
            if key != "lr" and (id(optimizer), k, key) not in self.varying:
                continue
            if isinstance(option, tuple):
                keys = [(k, key, n) for n in range(len(option))]
                options[key] = tuple(map(self._option, [optimizer] * len(keys), keys, option))
            else:
                number = patches.ARRAY.__get__(option) if isinstance(option, Node) else option
                options[key] = self._option(optimizer, (k, key, None), number)
        return options

    def update_origin(self, optimizer: Any) -> Origin:
        """Return the origin of what an optimizer computes."""
        return Origin(type(optimizer).__name__, "update")

    def _option(self, optimizer: Any, key: Any, number: Any) -> Tracer:
        source = Source("option", optimizer, key)
        return Tracer(self, self.input(source, float(np.asarray(number).item())))

    def generator(self, generator: Any) -> TracedGenerator:
        """Return what draws in the place of the NumPy generator of `generator`."""
        if id(generator) not in self._generators:
            state = copy.deepcopy(patches.RNG.fget(generator))
            value = self.input(Source("generator", generator), state)
            self._generators[id(generator)] = TracedGenerator(self, value)
        return self._generators[id(generator)]

    def forget(self) -> str | None:
        """Drop what the trace has seen, and return the line of a tensor that is kept outside."""
        created = self.created_tensors
        vars(self).clear()
        self.over, self.origin, self.refused, self.thread = True, None, [], 0
        if any(ref() is not None for ref, _ in created):
            gc.collect()
        return next((line for ref, line in created if ref() is not None), None)


def _refuse_kept(line: str | None) -> None:
    if line is not None:
        raise CompileError(
            f"{line}: a tensor that is computed here is kept outside of the function, where later "
            "calls would not update it. Return it, or copy its values into a tensor that exists: "
            "kept.copy_(t)"
        )


def trace(
    function: Any,
    name: str,
    args: Sequence[Any],
    names: Sequence[str],
    varying: set[Any],
    call: Any,
) -> Traced:
    """Return the program of `call`, which calls `function` with tracers for the leaves `args`.

    `names` are those of the arguments where each is one leaf. Raises `CompileError`, with the
    user's line, for what a program cannot do; nothing is changed then.
    """
    with one_at_a_time:
        run = Trace(varying)
        for k, leaf in enumerate(args):
            if isinstance(leaf, Node):
                run.sources[id(leaf)] = Source("argument", k)
            elif isinstance(leaf, np.ndarray):
                run.enter(leaf, Source("argument", k))
        flags, profile = grad_mode.flags.get(), cast("Any", sys.getprofile())
        outside = Outside(function, [leaf for leaf in args if not isinstance(leaf, Node)])
        try:
            with patches.placed(run), np.errstate(all="ignore"):
                traced = _traced(run, outside, name, args, names, call)
                traced.flags = flags
        finally:
            if hasattr(profile, "enable"):  # that of cProfile
                profile.enable()
            else:
                sys.setprofile(profile)
            grad_mode.flags.set(flags)
            _restore(run, outside)
            line = run.forget()
        _refuse_kept(line)
        for value in (*traced.program.inputs, *traced.program.instructions):  # of the first call
            value.sample = value.sample if value.is_number else None
        return traced


def _traced(run: Trace, outside: Outside, name: str, args: Any, names: Any, call: Any) -> Traced:
    with outside.refusing_impure_calls():
        result = call(lambda leaf: run.array(leaf) if isinstance(leaf, np.ndarray) else leaf)
    if run.refused:
        raise run.refused[0]
    lines = {id(node): line for ref, line in run.created_tensors if (node := ref()) is not None}
    outside.check(lines)
    _check_modules(run, outside.line, lines)
    if any(node._requires_grad is not before for node, before in run.required.values()):
        raise CompileError(
            f"{outside.line}: the function sets requires_grad of a tensor from outside. Write "
            "x = x.detach().requires_grad_(), which is a tensor of its own"
        )
    modules = [module for module, _ in run.modules.values()]
    traced = Traced(Program(name))
    traced.reads = run.reads = outside.reads_of(modules)
    traced.optimizers = [guard for guard, _ in run.optimizers.values()]
    traced.modules = list(run.modules.values())
    modes = [(module, modes.pop()) for module, modes in run.modes.values() if len(modes) == 1]
    traced.modes = [(module, mode) for module, mode in modes if id(module) in run.modules]
    traced.shared = run.shared
    traced.grad_guards = list(run.grad_reads.values())
    traced.creates_state = any(map(_has_new_state, traced.optimizers))
    if not traced.creates_state:
        for optimizer in (guard.optimizer for guard, _ in run.optimizers.values()):
            for kept in optimizer.state.values():
                traced.reads.containers[id(kept)] = (kept, contents(kept))
        _check_optimizers(traced.optimizers)
        _finish(run, traced, result, args, outside.line)
        name_values(run, traced.program, names)
    return traced


def _restore(run: Trace, outside: Outside) -> None:
    """Undo what the function changed of modules, optimizers, names and containers."""
    for node, requires_grad in run.required.values():
        node._requires_grad = requires_grad
    for module, before in run.modules.values():
        patches.restore_attributes(module, before)
    for guard, _ in run.optimizers.values():
        for p in list(guard.optimizer.state):
            if id(p) not in guard.state:
                del guard.optimizer.state[p]
            else:
                kept = guard.optimizer.state[p]
                kept.clear()
                kept.update(guard.state[id(p)])
    outside.restore()


def _has_new_state(guard: OptimizerGuard) -> bool:
    state = guard.optimizer.state
    return any(
        kept.keys() != guard.state.get(id(p), {}).keys()
        or any(isinstance(v, Node) and v is not guard.state[id(p)][k] for k, v in kept.items())
        for p, kept in state.items()
    )


def _check_modules(run: Trace, line: str, lines: dict[int, str]) -> None:
    for module, before in run.modules.values():
        name = unchanged_attributes(module, before)
        if name is not None:
            place = lines.get(id(vars(module).get(name)), line)
            raise CompileError(
                f"{place}: the function changes the attribute {name!r} of a "
                f"{type(module).__name__}, which only its first call would do. Change it outside, "
                f"or keep the number in a tensor: self.{name}.add_(1)"
            )


def _check_optimizers(guards: list[OptimizerGuard]) -> None:
    for optimizer, groups, state in guards:
        for p, kept in optimizer.state.items():
            before = state.get(id(p), {})
            if not all(isinstance(kept[k], Node) or same(kept[k], before[k]) for k in kept):
                raise CompileError(
                    f"{type(optimizer).__name__} keeps plain numbers that change in each step, and "
                    "a program would repeat those of the first call. Call step() outside"
                )
        for group, before in zip(optimizer.param_groups, groups, strict=True):
            if not all(key in before and same(before[key], group[key]) for key in group):
                raise CompileError(
                    f"an option of {type(optimizer).__name__} is changed in the function, which "
                    "only its first call would do. Call the scheduler's step() outside"
                )


def _finish(run: Trace, traced: Traced, result: Any, args: Any, line: str) -> None:
    """Write results and changes of the run into `traced`, and its instructions in order."""
    program = traced.program

    def output(tracer: Tracer) -> int:
        program.outputs.append(tracer.value)
        return len(program.outputs) - 1

    for node, grad in run.grads.values():
        if grad is patches.GRAD.__get__(node) and grad is not None:
            continue
        inside = grad is not None and type(patches.ARRAY.__get__(grad)) is Tracer
        number = output(grad._array) if inside else None
        traced.gradients.append((run.source(node), number, None if inside else grad))
    for node, tracer in run.replaced.values():
        traced.replaced.append((run.source(node), output(tracer)))

    def leaf_of_result(leaf: Any) -> Any:
        inside = isinstance(leaf, Node) and type(patches.ARRAY.__get__(leaf)) is Tracer
        if inside or type(leaf) is Tracer:
            program.returned.append(len(program.outputs))
            op = leaf._op if inside and leaf._requires_grad else None
            return Output(output(leaf._array if inside else leaf), tensor=inside, op=op)
        if isinstance(leaf, Node) and run.source(leaf).kind == "argument":
            return run.source(leaf)
        if not isinstance(leaf, (Node, np.ndarray, np.generic, np.dtype, *PLAIN)):
            raise CompileError(
                f"{line}: the function returns a {type(leaf).__name__}, which each call would "
                "return again. Return tensors, in tuples, lists or dicts"
            )
        return leaf

    traced.result = mapped(leaf_of_result, result)
    program.changes = [(first, box.value) for first, box in run.entered if box.value is not first]
    _check_aliases(run, program, args)
    _order(run, program)
    captured = [s.subject for s in run.sources.values() if s.kind == "tensor"]
    traced.tensors = [(t, t._requires_grad, patches.hooks_of(t)) for t in captured]


def _order(run: Trace, program: Program) -> None:
    """Write the instructions that are needed into `program`, and the inputs of these."""
    program.expects = run.expects
    needed = {id(v) for v in leaves([program.outputs, program.changes, program.expects])}
    for value in reversed(run.instructions):
        if id(value) in needed or value.function is draw:
            needed.update(map(id, operands(value)))
            program.instructions.insert(0, value)
    program.instructions = _conditions_first(program)
    inputs = [v for v in run.inputs if id(v) in needed or v.source.kind == "option"]
    program.inputs = sorted(inputs, key=lambda v: v.source.kind != "argument")


def _conditions_first(program: Program) -> list[Value]:
    """Return the instructions with those first that conditions on numbers need.

    A call that fails them has computed nothing, and arrays may be changed in place after them.
    """
    plain: set[int] = set()
    for value in program.instructions:
        known = all(v.is_constant or v.is_input or id(v) in plain for v in operands(value))
        if not value.shape and value.dtype is not None and value.function is not draw and known:
            plain.add(id(value))
    first = {id(value) for value, _ in program.expects} & plain
    for value in reversed(program.instructions):
        if id(value) in first:
            first.update(id(v) for v in operands(value))
    program.conditions = first
    return sorted(program.instructions, key=lambda v: id(v) not in first)


def _check_aliases(run: Trace, program: Program, args: Any) -> None:
    """Raise where an array is changed whose memory another input shares."""
    known = {id(p) for module in run.roots for p in module.parameters()}
    if any(id(a) in known for a in args):
        raise CompileError(
            "an argument is a parameter of a module that the function calls. Pass it as an "
            "argument, or use it from outside, not both"
        )
    written = [value for value, _ in program.changes]
    others = [v for v in run.inputs if isinstance(v.sample, np.ndarray)]
    for value in written:
        for other in others:
            if other is not value and np.may_share_memory(other.sample, value.sample):
                raise CompileError(
                    f"an array of shape {value.shape} is changed, and another input is a view of "
                    "its memory. Pass a copy: x.clone()"
                )
