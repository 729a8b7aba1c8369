"""Names of values and the formulas that they are: z1, y1, d1, parameters, gradients.

Layers are numbered from 1. The result of formula (3) is z, of formula (2) y, and the cotangent of
z, formula (12), is d. Other values are named by their module and op, such as `norm1_std`.
"""

from __future__ import annotations

import keyword
import re
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.compiler.instructions import item
from tinygrad_fc.compiler.ir import Origin, Program, Source, Value, operands
from tinygrad_fc.core.op import Op
from tinygrad_fc.ops import activation

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Iterator, Sequence
    from collections.abc import Set as AbstractSet

    from tinygrad_fc.compiler.trace import Trace

FORMULAS: dict[tuple[str, int], tuple[int, ...]] = {
    ("linear", -1): (3,),
    ("activation", -1): (2,),
    ("mse_loss", -1): (5, 6),
    ("mse_loss", 0): (8,),
    ("activation", 0): (13, 36),
    ("linear", 0): (33,),
    ("linear", 1): (14, 37),
    ("linear", 2): (17, 38),
}
"""Formulas of the document: by op and the argument of its vjp rule (-1: forward).

Where an entry has two formulas, the first belongs to the output layer and the second to the hidden
layers; only `mse_loss` is described by both of its formulas at once.
"""
_ACTIVATIONS = frozenset(op.name for op in vars(activation).values() if isinstance(op, Op))
_ACTIVATIONS |= {"sigmoid", "tanh", "relu", "softmax"}
_NOUNS = {"add": "total", "subtract": "difference", "multiply": "product", "divide": "ratio"}
_NOUNS |= {"sub": "difference", "sqrt": "root", "square": "squares", "where": "chosen"}
_NOUNS |= {"broadcast_to": "broadcast", "cast": "converted", "put": "changed", "rng_call": "draw"}
"""Names for results of functions."""


def identifier(path: str) -> str:
    """Return a path such as `0.weight` as a variable, `weight_0`."""
    parts = re.findall(r"\w+", path)
    if parts and parts[0][0].isdigit():
        parts.sort(key=lambda part: part[0].isdigit())
    name = "_".join(parts) or "value"
    name = f"value_{name}" if name[0].isdigit() else name
    return f"{name}_" if keyword.iskeyword(name) else name


def name_values(trace: Trace, program: Program, arguments: Sequence[str]) -> None:
    """Give the values of `program` names, and formulas of the document."""
    paths = _paths(trace)
    for value in program.inputs:
        value.name = identifier(_input_name(value.source, arguments, paths))
    inputs = {id(v.source.subject): v for v in program.inputs if v.source.kind == "tensor"}
    for p, key, tensor in _states(trace):
        if id(tensor) in inputs:
            inputs[id(tensor)].role, inputs[id(tensor)].of = key, inputs.get(id(p))
    for node, grad in trace.grads.items():
        if grad is not None and id(node) in paths and hasattr(grad._array, "value"):
            _name(grad._array.value, identifier(paths[id(node)]) + "_grad")
    _name_layers(program)
    for value in (program.outputs[number] for number in program.returned):
        is_loss = re.search("loss|entropy|error", value.origin.op)
        _name(value, value.variable or ("loss" if is_loss else "result"))
    _name_others(program)
    _name_options(trace, program)


def _states(trace: Trace) -> list[tuple[Any, str, Any]]:
    """Return parameters, keys and values of the state that optimizers have."""
    states = (item for optimizer in trace.optimizers for item in optimizer.state.items())
    return [(p, key, value) for p, state in states for key, value in state.items()]


def _name(value: Value, path: str) -> None:
    """Name a value that has no name and is no constant, by a path."""
    if not value.is_constant:
        value.name = value.name or identifier(path)


def _name_options(trace: Trace, program: Program) -> None:
    """Name the constants that are options of modules and optimizers, and no inputs.

    A number that is the value of two options has no name of an option.
    """
    names: dict[float, set[str]] = defaultdict(set)
    groups = [group for o in trace.optimizers for group in vars(o)["param_groups"]]
    inputs = {v.source.key[0] for v in program.inputs if v.source.kind == "option"}
    for group in (*map(vars, trace.paths), *groups):
        for key, option in group.items():
            if type(option) is float and not option.is_integer() and key not in inputs:
                names[option].add(key)
            for k, part in enumerate(option if key == "betas" else (), 1):
                names[part].add(f"beta{k}")
                names[1 - part].add(f"one_minus_beta{k}")
    taken = {v.name for v in (*program.inputs, *program.instructions)}
    for value in program.constants:
        is_number = not value.shape and value.dtype.kind == "f"
        for option, keys in names.items() if is_number else ():
            if value.sample == value.dtype.type(option) and len(keys) == 1:
                (name,) = keys
                value.name = f"{name}_{option:g}" if name in taken else name
                taken.add(name)


def _paths(trace: Trace) -> dict[int, str]:
    """Return names of tensors and arrays by id: their paths in models, or the user's variables."""
    paths: dict[int, str] = {}
    captured = {id(read.value): read.name for read in trace.captured.names.values()}
    models = [m for m, path in trace.paths.items() if not path and [*m.named_parameters()]]
    for model in models:  # of several, by their names
        name = captured.get(id(model), "") if len(models) > 1 else ""
        for path, tensor in (*model.named_parameters(), *model.named_buffers()):
            paths.setdefault(id(tensor), f"{name}.{identifier(path)}" if name else path)
    paths = {**captured, **paths}
    for p, key, tensor in _states(trace):
        paths.setdefault(id(tensor), f"{paths.get(id(p), 'parameter')}.{key}")
    return paths


def _input_name(source: Source, arguments: Sequence[str], paths: dict[int, str]) -> str:
    if source.kind == "argument":
        return arguments[int(source.subject)]
    if source.kind == "gradient":
        return f"{_input_name(source.subject, arguments, paths)}_old_grad"
    if source.kind == "option":
        return "_".join(map(str, source.key))
    return "rng" if source.kind == "generator" else paths.get(id(source.subject), source.kind)


def op_calls(program: Program) -> Iterator[tuple[Origin, list[Value]]]:
    """Yield the calls of ops and vjp rules, each with its instructions in order."""
    calls: dict[int, tuple[Origin, list[Value]]] = {}
    for value in program.instructions:
        if value.origin.phase:
            calls.setdefault(id(value.origin), (value.origin, []))[1].append(value)
    yield from calls.values()


def number_layers(
    calls: Iterable[tuple[str, Hashable, AbstractSet[Any]]],
) -> tuple[dict[Hashable, int], range]:
    """Return the layer, from 1, of each z and y, and the layers whose backward formulas are cited.

    `calls` are the ops in order: the name, the result, and what the op reads. In a chain, where a
    layer is read by the next layer alone, the formulas of all layers are cited; in other programs
    those of the last layer.
    """
    layers: dict[Hashable, int] = {}
    sums, others = set[Any](), set[Any]()  # the z, and what other ops read
    chained = True
    for op, result, reads in calls:
        if op == "linear" or (op in _ACTIVATIONS and not reads.isdisjoint(sums)):
            chained &= not layers or next(reversed(layers)) in reads  # the layer below
            sums |= {result} if op == "linear" else set()
            layers[result] = len(sums)
        else:
            others |= reads
    chained &= others.isdisjoint(list(layers)[:-1])
    return layers, range(1 if chained else len(sums), len(sums) + 1)


def _name_layers(program: Program) -> None:
    """Name z, y and d of layers, and the loss; cite the formulas of the document."""
    calls = list(op_calls(program))
    layers, cited = number_layers(
        (origin.op, id(values[-1]), {id(v) for value in values for v in operands(value)})
        for origin, values in calls
        if origin.phase == "forward"
    )
    for origin, values in calls:
        last, k = values[-1], layers.get(id(values[-1]), layers.get(id(origin.result)))
        if id(last) in layers:
            last.role, kind = ("z", "linear") if origin.op == "linear" else ("y", "activation")
            last.layer, last.cited = layers[id(last)], FORMULAS[kind, -1][:1]
            _name(last, f"{last.role}{k}")
        elif (origin.op, origin.argument) == ("mse_loss", -1):
            if values[0].shape and last.args[-1] == values[0].shape[0]:  # the mean over the samples
                last.cited = FORMULAS["mse_loss", -1]
        elif origin.op == "linear" and origin.argument > 0 and k is not None:
            d, own = origin.cotangent, int(k < cited[-1])
            if not d.is_constant:
                d.role, d.layer = "d", k
            _name(d, f"d{k}")
            if k in cited:
                last.cited = (FORMULAS["linear", origin.argument][own],)
                is_product = d.origin.op in _ACTIVATIONS
                d.cited = (FORMULAS["activation", 0][own],) if is_product else ()


def _name_others(program: Program) -> None:
    """Name what is left: as in the code that was traced, else by what it is of, or by its op."""
    updated = {id(new): old.name for old, new in program.changes if new.shape}
    for value in reversed(program.instructions):
        if id(value) in updated:
            parts = [v for v in operands(value) if v.shape == value.shape]
            own = [v for v in parts if v.origin.phase != "backward"]
            updated = dict.fromkeys(map(id, own), updated[id(value)]) | updated
    last = {id(values[-1]) for _, values in op_calls(program)}
    for value in program.instructions:
        origin = value.origin
        word = origin.op if id(value) in last else getattr(value.function, "__name__", "")
        word = value.variable or _NOUNS.get(word, word.lower())
        path, of = origin.module, origin.differentiated
        if value.function is item:
            (array,) = value.args
            old = "old", array.role or array.name  # the state, such as that of steps
            path, word = old if array.is_input else ("", value.variable or array.name)
        elif value.function is np.full and isinstance(value.args[1], Value):
            path, word = value.args[1].name, "array"
        elif id(value) in updated:
            path = updated[id(value)]
        elif id(value) in last and not value.variable and origin.argument >= 0:
            path, word = "d", getattr(of, "name", "") or word
        _name(value, f"{path}.{word}")
