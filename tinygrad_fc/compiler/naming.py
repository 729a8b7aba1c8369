"""Names of values and the formulas that they are: z1, y1, d1, parameters, gradients.

Layers are numbered from 1. The result of formula (3) is z, of formula (2) y, and the cotangent of
z, formula (12), is d. Other values are named by their module and op, such as `norm1_std`.
"""

from __future__ import annotations

import keyword
import operator
import re
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.compiler.ir import OPERATORS, Origin, Program, Source, Value, draw, operands
from tinygrad_fc.op import Op
from tinygrad_fc.ops import activation

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from tinygrad_fc.compiler.trace import Trace

_WORDS: dict[Any, str] = {
    np.add: "sum",
    np.subtract: "difference",
    np.multiply: "product",
    np.true_divide: "quotient",
    np.sqrt: "root",
    np.square: "square",
    np.exp: "exp",
    np.add.reduce: "total",
    np.where: "choice",
    np.maximum: "maximum",
    np.power: "power",
    operator.getitem: "part",
    draw: "draws",
}
_WORDS |= {number: _WORDS[array] for array, number, _ in OPERATORS if array in _WORDS}
"""What a value is called where its op computes several; else by the name of its function."""
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
    """Give the values of `program` names, formulas and the paths of their modules."""
    paths = _paths(run)
    names = program.names
    for value in program.inputs:
        names[id(value)] = identifier(_input_name(value.source, arguments, paths))
    _resolve_modules(run, program)
    for node, grad in run.grads.values():
        if grad is not None and id(node) in paths and hasattr(grad._array, "value"):
            names.setdefault(id(grad._array.value), identifier(paths[id(node)]) + "_grad")
    _name_layers(program)
    lossy = any(_is_loss(origin.op) for origin in program.origins)
    for number in program.returned:
        value = program.outputs[number]
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


def _resolve_modules(run: Trace, program: Program) -> None:
    """Put paths in the place of modules in the origins."""
    paths = {id(m): path for root in run.roots for path, m in root.named_modules()}
    resolved: dict[int, Origin] = {}
    for value in program.instructions:
        origin = value.origin
        if origin is not None:
            path = paths.get(id(origin.module), "")
            value.origin = resolved.setdefault(id(origin), origin._replace(module=path))
    program.origins = list(resolved.values())


def op_calls(program: Program) -> Iterator[tuple[Origin, list[Value]]]:
    """Yield the calls of ops and vjp rules, each with its instructions in order."""
    calls: dict[int, tuple[Origin, list[Value]]] = {}
    for value in program.instructions:
        if value.origin is not None:
            calls.setdefault(id(value.origin), (value.origin, []))[1].append(value)
    yield from calls.values()


def _name_layers(program: Program) -> None:
    """Name z, y and d of layers, the loss, and cite the document's formulas."""
    names, calls = program.names, list(op_calls(program))
    layer: dict[int, int] = {}  # by id of z and y
    count = 0
    for origin, values in calls:
        k = next((layer[id(v)] for v in _reads(values) if id(v) in layer), None)
        last = values[-1]
        if origin.argument >= 0:
            continue
        if origin.op == "linear":
            count += 1
            layer[id(last)] = count
            names.setdefault(id(last), f"z{count}")
            last.formula = "(3)"
        elif origin.op in _ACTIVATIONS and k is not None:
            layer[id(last)] = k
            names.setdefault(id(last), f"y{k}")
            last.formula = "(2)"
        elif origin.op == "mse_loss":
            _name_squared_error(program, values)
    readers, foreign = _readers(program, layer)
    for origin, values in calls:
        k = layer.get(id(origin.result))
        if origin.op == "linear" and origin.argument > 0 and k is not None:
            _name_backward(names, origin, values[-1], k, readers[k])
            if k in foreign and origin.cotangent.formula == "(13)":
                origin.cotangent.formula = ""


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


def _reads(values: Iterable[Value]) -> Iterator[Value]:
    for value in values:
        yield from operands(value)


def _name_squared_error(program: Program, values: list[Value]) -> None:
    """Name the error and the loss, which is formula (6) if it is the mean over the samples."""
    error = next((v for v in values if v.function is np.subtract), None)
    if error is not None:
        program.names.setdefault(id(error), "error")
        last = values[-1]
        program.names.setdefault(id(last), "loss")
        if last.function is np.true_divide and last.args[1] == error.shape[0]:
            last.formula = "(5), (6)"


def _name_backward(
    names: dict[int, str], origin: Origin, gradient: Value, k: int, above: int
) -> None:
    """Name the cotangent of layer `k`, which `above` layers read, and cite what it leads to."""
    d = origin.cotangent
    names.setdefault(id(d), f"d{k}")
    if not above:
        d.formula = "(13)"
    elif above == 1 and _is_recurrence(d):
        d.formula = "(36)"
    formulas = ("(37)", "(38)") if above else ("(14)", "(17)")
    gradient.formula = formulas[origin.argument - 1]


def _is_recurrence(d: Value) -> bool:
    """Tell whether a cotangent is an activation's rule of what the layer above hands down."""
    if d.origin is None or d.origin.op not in _ACTIVATIONS or d.origin.cotangent is None:
        return False
    above = d.origin.cotangent.origin
    return above is not None and (above.op, above.argument) == ("linear", 0)


def _name_others(program: Program) -> None:
    """Name what is left by module and op; values of an update by their parameter."""
    names = program.default_names
    parameters = _updated_parameters(program)
    for origin, values in op_calls(program):
        op = "loss" if _is_loss(origin.op) else origin.op
        stem = "_".join(filter(None, (origin.module and identifier(origin.module), op)))
        stem = f"d_{stem}" if origin.phase == "backward" else stem
        for value in values:
            if origin.phase == "update":
                stem = parameters.get(id(value), origin.op.lower())
            word = ""
            if value is not values[-1] or origin.phase == "update":
                word = _WORDS.get(value.function, getattr(value.function, "__name__", ""))
            if value.function is np.full and value.shape == () and isinstance(value.args[1], Value):
                word, stem = "", _number_name(program, value.args[1])
            names.setdefault(id(value), identifier(f"{stem}_{word}" if word else stem))


def _number_name(program: Program, number: Value) -> str:
    """Return the name of the 0-d array of a number; NumPy takes it faster than the number."""
    name = program.names.get(id(number), "number")
    return "rate" if name == "lr" else f"{name}_array"


def _updated_parameters(program: Program) -> dict[int, str]:
    """Return, by id of a value of an update, the name of the parameter that it is for.

    Numbers that the updates of all parameters share belong to none.
    """
    parameters: dict[int, str] = {}
    for old, new in program.changes:
        waiting = [new]
        while waiting:
            value = waiting.pop()
            update = value.origin is not None and value.origin.phase == "update"
            if update and value.shape == old.shape and id(value) not in parameters:
                parameters[id(value)] = program.names.get(id(old), "parameter")
                waiting.extend(operands(value))
    return parameters
