"""A table of a model's layers: output shapes, parameters, memory."""

from __future__ import annotations

import copy
from collections import Counter
from dataclasses import dataclass, field
from operator import index
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.core import pytree
from tinygrad_fc.core.dtypes import get_default_dtype
from tinygrad_fc.core.grad_mode import no_grad
from tinygrad_fc.core.node import array_of
from tinygrad_fc.functional.creation import full
from tinygrad_fc.nn.module import Module
from tinygrad_fc.nn.state_dict import join_path
from tinygrad_fc.random import fork_rng
from tinygrad_fc.tensors import Tensor

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = ["Summary", "summary"]


@dataclass
class Row:
    """A row of a summary: a module at its first path, or another path of the same module.

    `outputs` lists the output shape of every call: a tuple for a tensor, lists and dicts of them
    for several. `parameters` and `trainable` are numbers of elements of the module's own
    parameters, not those of submodules; shared ones count at the first path. `same_as` is the first
    path of a module that has several.
    """

    path: str
    kind: str
    depth: int
    parameters: int = 0
    trainable: int = 0
    outputs: list[Any] = field(default_factory=list)
    same_as: str | None = None


@dataclass(frozen=True, repr=False)
class Summary:
    """A model's layers and totals: `repr` is the table.

    `parameters` and `trainable` are numbers of elements; `memory` is the bytes of parameters,
    buffers, input, and the outputs of modules without submodules, in one forward pass.
    """

    layers: Sequence[Row]
    parameters: int
    trainable: int
    memory: Mapping[str, int]

    def __repr__(self) -> str:
        rows = [
            (
                "  " * row.depth + (row.path or "model"),
                row.kind,
                _outputs_text(row),
                f"{row.parameters:,}" if row.parameters else "-",
                f"{row.trainable:,}" if row.parameters else "-",
            )
            for row in self.layers
        ]
        head = ("layer", "class", "output shape", "parameters", "trainable")
        total = ("total", "", "", f"{self.parameters:,}", f"{self.trainable:,}")
        widths = [max(map(len, column)) for column in zip(head, *rows, total, strict=True)]
        head_line, *lines, total_line = (
            "  ".join(f"{t:{s}{w}}" for t, w, s in zip(row, widths, "<<<>>", strict=True))
            for row in (head, *rows, total)
        )
        separator = "-" * len(head_line)
        sizes = [f"{name} {_size(count)}" for name, count in self.memory.items()]
        memory = f"memory: {', '.join(sizes[:2])},\n        {', '.join(sizes[2:])}"
        return "\n".join([head_line, separator, *lines, separator, total_line, memory])


def summary(model: Module, input_shape: Any, dtypes: Any = None) -> Summary:
    """Return a table of the layers of `model`, with their output shapes for an input shape.

    `input_shape` includes the batch axis; for several inputs it is a list of shapes. `dtypes` is
    the dtype of all inputs or a list with one per input, by default that of the parameters. The
    function runs one forward pass of a copy of the model, in eval mode without gradients, on inputs
    of 0.5 (0 for integers), and restores the state of the default generator. Raises `TypeError` for
    an `input_shape` that is not a shape, `ValueError` for a negative size or another number of
    dtypes.

    >>> import tinygrad_fc as tg
    >>> net = tg.nn.Sequential(tg.nn.Linear(64, 32), tg.nn.ReLU(), tg.nn.Linear(32, 10))
    >>> summary(net, (128, 64))
    layer  class       output shape  parameters  trainable
    ------------------------------------------------------
    model  Sequential  (128, 10)              -          -
      0    Linear      (128, 32)          2,080      2,080
      1    ReLU        (128, 32)              -          -
      2    Linear      (128, 10)            330        330
    ------------------------------------------------------
    total                                 2,410      2,410
    memory: parameters 18.8 KiB, buffers 0 B,
            input 64.0 KiB, outputs 74.0 KiB
    """
    if not isinstance(model, Module):
        raise TypeError(f"summary: the model is {model!r:.80}, expected a Module. Pass an instance")
    inputs = _inputs(model, input_shape, dtypes)
    model = copy.deepcopy(model).eval()
    layers: list[Row] = []
    first_rows: dict[int, Row] = {}
    _add_rows(layers, first_rows, model, "", 0)
    held = {"parameters": model.parameters(), "buffers": model.buffers(), "input": inputs}
    memory = {name: _bytes(tensors) for name, tensors in held.items()}
    with fork_rng():
        memory["outputs"] = _output_bytes(model, inputs, first_rows)
    parameters = sum(row.parameters for row in layers)
    trainable = sum(row.trainable for row in layers)
    return Summary(layers, parameters, trainable, memory)


def _inputs(model: Module, input_shape: Any, dtypes: Any) -> list[Tensor]:
    """Return one input per shape, filled with 0.5 (a probability, in the domain of log) or 0."""
    try:
        several = any(isinstance(shape, list | tuple) for shape in input_shape)
        shapes = [tuple(map(index, s)) for s in (input_shape if several else [input_shape])]
    except (TypeError, ValueError):  # ValueError: a batch in place of its shape
        raise TypeError(
            f"summary: input_shape is {input_shape!r:.80}, expected a tuple of integers, or a list "
            "of one per input. Write summary(model, (32, 64)) for 32 samples of 64 features"
        ) from None
    if dtypes is None:
        floats = (p.dtype for p in model.parameters() if p.dtype.kind == "f")
        dtypes = next(floats, get_default_dtype())
    per_input = dtypes if isinstance(dtypes, list | tuple) else [dtypes] * len(shapes)
    device = next((p.device for p in model.parameters()), None)
    return [
        full(shape, 0.5 if np.dtype(dtype).kind == "f" else 0, dtype=dtype, device=device)
        for shape, dtype in zip(shapes, per_input, strict=True)
    ]


def _add_rows(
    layers: list[Row], first_rows: dict[int, Row], module: Module, path: str, depth: int
) -> None:
    """Append the rows of `module` and of all modules below it.

    `first_rows` maps the id of each module and parameter to the row of its first path.
    """
    row = Row(path, module._get_name(), depth)
    layers.append(row)
    if id(module) in first_rows:
        row.same_as = first_rows[id(module)].path or "model"
        return
    first_rows[id(module)] = row
    for parameter in module._parameters.values():
        if parameter is not None and id(parameter) not in first_rows:
            first_rows[id(parameter)] = row
            row.parameters += parameter.numel()
            row.trainable += parameter.numel() * parameter.requires_grad
    for name, child in module._modules.items():
        if child is not None:
            _add_rows(layers, first_rows, child, join_path(path, name), depth + 1)


def _output_bytes(model: Module, inputs: Sequence[Tensor], rows: Mapping[int, Row]) -> int:
    """Call `model`, add the output shapes to `rows`, and return the bytes of new outputs."""
    sizes = []

    def note(module: Module, args: Any, output: Any) -> None:
        rows[id(module)].outputs.append(pytree.mapped(_shape_of, output))
        if not module._modules:
            outputs, inputs = _tensors(output), _tensors(args)
            # An output that is a view of an input takes no memory.
            shared = {
                t for t in outputs for x in inputs if np.may_share_memory(array_of(t), array_of(x))
            }
            sizes.append(_bytes(set(outputs) - shared))

    for module in model.modules():
        module.register_forward_hook(note)
    with no_grad(), np.errstate(all="ignore"):
        model(*inputs)
    return sum(sizes)


def _tensors(value: Any) -> list[Tensor]:
    return [leaf for leaf in pytree.flatten(value)[0] if isinstance(leaf, Tensor)]


def _shape_of(value: Any) -> Any:
    return tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__


def _bytes(tensors: Iterable[Tensor]) -> int:
    return sum(t.numel() * t.element_size() for t in tensors)


def _outputs_text(row: Row) -> str:
    if row.same_as is not None:
        return f"same as {row.same_as}"
    calls = Counter(map(str, row.outputs))
    texts = (f"{n} x {text}" if n > 1 else text for text, n in calls.items())
    return ", ".join(texts) or "not called"


def _size(count: int) -> str:
    units = ("B", "KiB", "MiB", "GiB")
    power = min(max(count.bit_length() - 1, 0) // 10, len(units) - 1)
    return f"{count / 1024**power:.1f} {units[power]}" if power else f"{count} B"
