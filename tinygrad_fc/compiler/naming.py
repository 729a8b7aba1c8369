"""Names of values and the formulas that they are: z1, y1, d1, parameters, gradients.

Layers are numbered from 1. The result of formula (3) is z, of formula (2) y, and the cotangent of
z, formula (12), is d. Other values are named by their module and op, such as `norm1_std`.
"""

from __future__ import annotations

import keyword
import re
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from tinygrad_fc.compiler.ir import Origin, Program, Source, Value, operands
from tinygrad_fc.op import Op
from tinygrad_fc.ops import activation

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tinygrad_fc.compiler.trace import Trace

_WORDS = {"add": "sum", "sub": "difference", "subtract": "difference", "mul": "product"}
_WORDS |= {"multiply": "product", "divide": "quotient", "truediv": "quotient", "pow": "power"}
_WORDS |= {"reduce": "total", "getitem": "part", "sqrt": "root", "where": "choice", "full": "array"}
"""What a value is called by the name of its function, where its op computes several."""
_ACTIVATIONS = frozenset(op.name for op in vars(activation).values() if isinstance(op, Op))
_ACTIVATIONS |= {"sigmoid", "tanh", "relu", "softmax"}


def identifier(path: str) -> str:
    """Return a path such as `0.weight` as a variable, `weight_0`."""
    parts = [re.sub(r"\W", "_", part) for part in re.split(r"[.\[\]]+", path) if part]
    if parts and parts[0][0].isdigit():
        parts = [*(p for p in parts if not p[0].isdigit()), *(p for p in parts if p[0].isdigit())]
    name = "_".join(parts) or "value"
    name = f"value_{name}" if name[0].isdigit() else name
    return f"{name}_" if keyword.iskeyword(name) else name


def name_values(run: Trace, program: Program, arguments: Sequence[str]) -> None:
    """Give the values of `program` names, and formulas of the document."""
    paths = _paths(run)
    names = program.names
    for value in program.inputs:
        names[id(value)] = identifier(_input_name(value.source, arguments, paths))
    for node, grad in run.grads.values():
        if grad is not None and id(node) in paths and hasattr(grad._array, "value"):
            names.setdefault(id(grad._array.value), identifier(paths[id(node)]) + "_grad")
    _name_layers(program)
    lossy = any(_is_loss(origin.op) for origin, _ in op_calls(program))
    for value in (program.outputs[number] for number in program.returned):
        if not value.is_constant:
            names.setdefault(id(value), "loss" if lossy and value.shape == () else "result")
    _name_others(program)


def _paths(run: Trace) -> dict[int, str]:
    """Return names of tensors and arrays by id: their paths in models, or the user's variables."""
    paths: dict[int, str] = {}
    for root in run.roots:
        for path, tensor in (*root.named_parameters(), *root.named_buffers()):
            paths.setdefault(id(tensor), path)
    for read in run.captured.names.values():
        paths.setdefault(id(read.value), read.name)
    for guard, _ in run.optimizers.values():
        for k, p in enumerate(q for group in guard.groups for q in group["params"]):
            paths.setdefault(id(p), f"parameter{k}")
        for p, kept in guard.optimizer.state.items():
            for key, state in kept.items():
                paths.setdefault(id(state), f"{paths.get(id(p), 'parameter')}.{key}")
    return paths


def _input_name(source: Source, arguments: Sequence[str], paths: dict[int, str]) -> str:
    if source.kind == "argument":
        return arguments[int(source.subject)]
    if source.kind == "gradient":
        return f"{_input_name(source.subject, arguments, paths)}_old_grad"
    if source.kind == "option":
        group, key, item = source.key
        return f"{key}{'' if item is None else item + 1}{f'_{group}' if group else ''}"
    return "rng" if source.kind == "generator" else paths.get(id(source.subject), source.kind)


def _is_loss(op: str) -> bool:
    return any(word in op for word in ("loss", "entropy", "error"))


def op_calls(program: Program) -> Iterator[tuple[Origin, list[Value]]]:
    """Yield the calls of ops and vjp rules, each with its instructions in order."""
    calls: dict[int, tuple[Origin, list[Value]]] = {}
    for value in program.instructions:
        if value.origin is not None:
            calls.setdefault(id(value.origin), (value.origin, []))[1].append(value)
    yield from calls.values()


def _name_layers(program: Program) -> None:
    """Name z, y and d of layers, the loss, and cite the document's formulas."""
    layers: dict[int, int] = {}  # by id of z and y
    count = 0
    for origin, values in op_calls(program):
        last = values[-1]
        reads = (v for value in values for v in operands(value))
        k = next((layers[id(v)] for v in reads if id(v) in layers), None)
        if origin.argument >= 0:
            continue
        if origin.op == "linear":
            count = k = count + 1
            letter, last.formula = "z", "(3)"
        elif origin.op in _ACTIVATIONS and k is not None:
            letter, last.formula = "y", "(2)"
        else:
            if origin.op == "mse_loss":
                _name_squared_error(program, values)
            continue
        layers[id(last)] = k
        program.names.setdefault(id(last), f"{letter}{k}")
    readers, foreign = _readers(program, layers)
    for origin, values in op_calls(program):
        k = layers.get(id(origin.result))
        if origin.op == "linear" and origin.argument > 0 and k is not None:
            formulas = ("(37)", "(38)") if readers[k] else ("(14)", "(17)")
            values[-1].formula = formulas[origin.argument - 1]
            d = origin.cotangent
            program.names.setdefault(id(d), f"d{k}")
            if not readers[k]:
                activated = d.origin is not None and d.origin.op in _ACTIVATIONS
                d.formula = "(13)" if activated and k not in foreign else ""
            elif readers[k] == 1 and _is_recurrence(d):
                d.formula = "(36)"


def _readers(program: Program, layer: dict[int, int]) -> tuple[Counter[int], set[int]]:
    """Return how many layers read each layer, directly or through other ops, and foreign layers.

    A foreign one is read by what the document does not have: an op of a module that is no layer,
    or one that also reads another layer or the network's input, as a residual connection does.
    """
    nearest: dict[int, set[int]] = {}
    for value in program.instructions:
        if value.origin is not None and value.origin[:3] == ("linear", "forward", -1):
            arguments = (v for v in operands(value) if v.is_input and v.source.kind == "argument")
            nearest.update((id(v), {0}) for v in arguments)
    readers: Counter[int] = Counter()
    foreign: set[int] = set()
    for value in program.instructions:
        sources = set().union(*(nearest.get(id(v), set()) for v in operands(value)))
        origin = value.origin
        if value.formula == "(3)":
            readers.update(sources - {layer[id(value)]})
        elif origin and origin.phase == "forward" and origin.op not in {"linear", *_ACTIVATIONS}:
            mixed = len(sources) > 1 and value.shape and not _is_loss(origin.op)
            if mixed or origin.module:
                foreign |= sources
        nearest[id(value)] = {layer[id(value)]} if id(value) in layer else sources
    return readers, foreign


def _name_squared_error(program: Program, values: list[Value]) -> None:
    """Name the error and the loss, which is formula (6) if it is the mean over the samples."""
    error = next((v for v in values if v.function is np.subtract), None)
    if error is not None:
        program.names.setdefault(id(error), "error")
        last = values[-1]
        program.names.setdefault(id(last), "loss")
        if last.function is np.true_divide and last.args[1] == error.shape[0]:
            last.formula = "(5), (6)"


def _is_recurrence(d: Value) -> bool:
    """Tell whether a cotangent is an activation's rule of what the layer above hands down."""
    if d.origin is None or d.origin.op not in _ACTIVATIONS or d.origin.cotangent is None:
        return False
    above = d.origin.cotangent.origin
    return above is not None and (above.op, above.argument) == ("linear", 0)


def _name_others(program: Program) -> None:
    """Name what is left by module, op and function; values of an update by their parameter."""
    parameters = _updated_parameters(program)
    for origin, values in op_calls(program):
        op = "loss" if _is_loss(origin.op) else origin.op
        stem = "_".join(filter(None, ("d" * (origin.phase == "backward"), origin.module, op)))
        for value in values:
            word = getattr(value.function, "__name__", "")
            word = _WORDS.get(word, word)
            if origin.phase == "update":
                stem = parameters.get(id(value), origin.op.lower())
            elif value is values[-1]:
                word = ""
            name = identifier(f"{stem}_{word}" if word else stem)
            program.default_names.setdefault(id(value), name)


def _updated_parameters(program: Program) -> dict[int, str]:
    """Return, by id of a value of an update, the name of the parameter that it is for."""
    changes = [(old, new) for old, new in program.changes if new.shape]
    names = {id(new): program.names.get(id(old), "parameter") for old, new in changes}
    for value in reversed(program.instructions):
        if id(value) in names and value.origin and value.origin.phase == "update":
            same_shape = [v for v in operands(value) if v.shape == value.shape]
            names = {id(v): names[id(value)] for v in same_shape} | names
    return names
