"""A table of a model's layers: output shapes, parameters, memory."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from operator import index
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.dtypes import get_default_dtype
from tinygrad_fc.functional.creation import full
from tinygrad_fc.grad_mode import no_grad
from tinygrad_fc.nn.module import Module, members
from tinygrad_fc.nn.parameter import Parameter, join_path
from tinygrad_fc.random import default_generator
from tinygrad_fc.tensor import Tensor

if TYPE_CHECKING:
    from collections.abc import Sequence

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

    `parameters`, `trainable` and `buffers` are numbers of elements; `output_bytes` is the memory of
    the outputs of modules that call no other module, in one forward pass.
    """

    layers: Sequence[Row]
    parameters: int
    trainable: int
    buffers: int
    parameter_bytes: int
    buffer_bytes: int
    input_bytes: int
    output_bytes: int

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
        memory = (
            f"memory: parameters {_size(self.parameter_bytes)}, buffers {_size(self.buffer_bytes)},"
            f"\n        input {_size(self.input_bytes)}, outputs {_size(self.output_bytes)}"
        )
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
    random_state = default_generator.get_state()
    try:
        output_bytes = _run(model, inputs, first_rows)
    finally:
        default_generator.set_state(random_state)
    parameters, buffers = list(model.parameters()), list(model.buffers())
    return Summary(
        layers=layers,
        parameters=sum(p.numel() for p in parameters),
        trainable=sum(p.numel() for p in parameters if p.requires_grad),
        buffers=sum(b.numel() for b in buffers),
        parameter_bytes=_bytes(parameters),
        buffer_bytes=_bytes(buffers),
        input_bytes=_bytes(inputs),
        output_bytes=output_bytes,
    )


def _inputs(model: Module, input_shape: Any, dtypes: Any) -> list[Tensor]:
    """Return one input per shape, filled with 0.5 (a probability, in the domain of log) or 0."""
    try:
        several = any(isinstance(shape, list | tuple) for shape in input_shape)
        shapes = [tuple(map(index, s)) for s in (input_shape if several else [input_shape])]
    except TypeError:
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
    for _, parameter in members(module, Parameter):
        if id(parameter) not in first_rows:
            first_rows[id(parameter)] = row
            row.parameters += parameter.numel()
            row.trainable += parameter.numel() * parameter.requires_grad
    for name, child in members(module, Module):
        _add_rows(layers, first_rows, child, join_path(path, name), depth + 1)


def _run(model: Module, inputs: Sequence[Tensor], rows: Mapping[int, Row]) -> int:
    """Call `model`, add the output shapes to `rows`, and return the bytes of new outputs."""
    total = 0
    calls: list[bool] = []  # stack of calls: whether each has called a submodule

    def enter(module: Module, args: Any) -> None:
        del module, args
        if calls:
            calls[-1] = True
        calls.append(False)

    def leave(module: Module, args: Any, output: Any) -> None:
        nonlocal total
        rows[id(module)].outputs.append(_shape_of(output))
        if not calls.pop():
            # An output that is a view of an input takes no memory.
            total += _bytes(
                out
                for out in _tensors(output)
                if not any(np.may_share_memory(out._array, x._array) for x in _tensors(args))
            )

    for module in model.modules():
        module.register_forward_pre_hook(enter)
        module.register_forward_hook(leave)
    with no_grad(), np.errstate(all="ignore"):
        model(*inputs)
    return total


def _tensors(value: Any) -> Iterator[Tensor]:
    """Yield the tensors among a module's arguments or results."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping | list | tuple):
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from _tensors(item)


def _shape_of(value: Any) -> Any:
    """Return `value` with shapes in place of tensors, class names in place of other leaves."""
    if isinstance(value, Tensor):
        return tuple(value.shape)
    if isinstance(value, Mapping):
        return {key: _shape_of(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_shape_of(item) for item in value]
    return type(value).__name__


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
