"""What a model is made of, in a table: layers, the shapes they return, parameters, memory."""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.dtypes import get_default_dtype
from tinygrad_fc.errors import ShapeError
from tinygrad_fc.grad_mode import no_grad
from tinygrad_fc.graph import wrap
from tinygrad_fc.nn import walk
from tinygrad_fc.nn.module import Module
from tinygrad_fc.nn.parameter import Parameter
from tinygrad_fc.random import default_generator
from tinygrad_fc.tensor import Tensor

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Summary", "summary"]

_NOTHING: Any = object()
_UNITS = ("KiB", "MiB", "GiB")
_EXAMPLE = "summary(model, (32, 64)) is for a batch of 32 samples of 64 features"


@dataclass
class Layer:
    """A row of a summary: a module, at the first of its paths, or another path of a module.

    `outputs` has the shape that each call returned: a tuple for a tensor, lists and dicts of them
    where the module returns several. `parameters` and `trainable` count those that the module
    holds itself, not those of modules below; what is shared counts where it comes first. `same_as`
    is the first path of a module that stands under this one as well.
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
    """A model's layers and totals: the table for `print` and the prompt, numbers as attributes.

    `parameters`, `trainable` and `buffers` count numbers; the names that end in `_bytes` give
    memory, `output_bytes` that of what the innermost layers return in one forward.
    """

    layers: Sequence[Layer]
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
                _returned(row),
                f"{row.parameters:,}" if row.parameters else "-",
                f"{row.trainable:,}" if row.parameters else "-",
            )
            for row in self.layers
        ]
        head = ("layer", "class", "output shape", "parameters", "trainable")
        total = ("total", "", "", f"{self.parameters:,}", f"{self.trainable:,}")
        widths = [max(map(len, column)) for column in zip(head, *rows, total, strict=True)]
        head_line, *lines, total_line = (_line(row, widths) for row in (head, *rows, total))
        rule = "-" * len(head_line)
        sizes = (self.parameter_bytes, self.buffer_bytes, self.input_bytes, self.output_bytes)
        parameters, buffers, inputs, outputs = map(_size, sizes)
        memory = [
            f"memory: parameters {parameters}, buffers {buffers},",
            f"        input {inputs}, outputs {outputs}",
        ]
        return "\n".join([head_line, rule, *lines, rule, total_line, *memory])


def summary(model: Module, input_shape: Any, dtypes: Any = None) -> Summary:
    """Return a table of the layers of `model`, with what each returns for an input of a shape.

    `input_shape` is whole, the batch axis included; for a model of several inputs it is a list of
    shapes. `dtypes` is the inputs' dtype, or a list with one for each; by default it is that of
    the model's parameters. One forward is run, in eval mode and without gradients, over inputs
    that are 0.5 everywhere (0 where the dtype is of integers). It leaves no trace: training
    flags, buffers, hooks and the state of `manual_seed`'s generator are as they were.

    A layer's parameters are those that it holds itself, so that the column adds up. Raises
    `TypeError`, or `ShapeError` for a negative size, where the input is not described by shapes,
    and what the forward raises.

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
    given: Any = model
    if not isinstance(given, Module):
        text = f"the class {given.__name__}" if isinstance(given, type) else f"{given!r:.80}"
        raise TypeError(f"summary takes a model, an instance of a Module, got {text}")
    inputs = _inputs(model, _shapes(input_shape), dtypes)
    layers, first = _layers(model)
    outputs = _run(model, inputs, {id(module): row for row, module in first})
    parameters, buffers = list(model.parameters()), list(model.buffers())
    return Summary(
        layers=layers,
        parameters=sum(p.numel() for p in parameters),
        trainable=sum(p.numel() for p in parameters if p.requires_grad),
        buffers=sum(b.numel() for b in buffers),
        parameter_bytes=_bytes(parameters),
        buffer_bytes=_bytes(buffers),
        input_bytes=_bytes(inputs),
        output_bytes=outputs,
    )


# What is given


def _shapes(given: Any) -> list[tuple[int, ...]]:
    """Return the shape of each input; `given` is one shape, or a list of them."""
    if not isinstance(given, Iterable) or isinstance(given, str | Tensor | np.ndarray):
        raise TypeError(
            f"input_shape is a tuple that begins with the batch axis, got {given!r:.80}: {_EXAMPLE}"
        )
    entries = list(given)
    several = [isinstance(entry, list | tuple) for entry in entries]
    if all(several) and (entries or isinstance(given, list)):
        return [_shape(entry) for entry in entries]
    if any(several):
        raise TypeError(
            f"input_shape is one shape, or a list of a shape for each input, got {given!r:.80}"
        )
    return [_shape(entries)]


def _shape(entries: Iterable[Any]) -> tuple[int, ...]:
    shape = tuple(entries)
    try:
        sizes = tuple(map(operator.index, shape))
    except TypeError:
        raise TypeError(
            f"every size of an input's shape is a whole number, got {shape!r:.80}: {_EXAMPLE}"
        ) from None
    if any(n < 0 for n in sizes):
        raise ShapeError(
            f"an input's shape has no negative sizes, got {sizes}; no size is left open here, not "
            "the batch's either: any number of samples will do, such as 1"
        )
    return sizes


def _inputs(model: Module, shapes: Sequence[tuple[int, ...]], dtypes: Any) -> list[Tensor]:
    if dtypes is None:
        floats = (p.dtype for p in model.parameters() if p.dtype.kind == "f")
        dtypes = next(floats, get_default_dtype())
    each = dtypes if isinstance(dtypes, list | tuple) else [dtypes] * len(shapes)
    if len(each) != len(shapes):
        raise TypeError(f"dtypes is one for all inputs or one for each, got {each} for {shapes}")
    # 0.5 is a probability, has a logarithm, and may be divided by; 0 is an index everywhere.
    return [
        wrap(np.full(shape, 0.5 if np.dtype(dtype).kind == "f" else 0, dtype))
        for shape, dtype in zip(shapes, each, strict=True)
    ]


# What the model holds, and what it returns


def _layers(model: Module) -> tuple[list[Layer], list[tuple[Layer, Module]]]:
    """Return all rows, and those of modules that come for the first time, with the module."""
    rows: list[Layer] = []
    first: dict[int, tuple[Layer, Module]] = {}
    counted: set[int] = set()

    def visit(module: Module, path: str, depth: int) -> None:
        row = Layer(path, module._get_name(), depth)
        rows.append(row)
        if id(module) in first:
            row.same_as = first[id(module)][0].path or "model"
            return
        first[id(module)] = row, module
        for _, parameter in walk.held(module, Parameter):
            if id(parameter) not in counted:
                counted.add(id(parameter))
                row.parameters += parameter.numel()
                row.trainable += parameter.numel() * parameter.requires_grad
        for name, child in walk.held(module, Module):
            visit(child, walk.join(path, name), depth + 1)

    visit(model, "", 0)
    return rows, list(first.values())


def _run(model: Module, inputs: Sequence[Tensor], rows: Mapping[int, Layer]) -> int:
    """Call `model`, note in `rows` what each module returns; return the bytes of new outputs."""
    made = 0
    depth = deepest = 0  # how many calls surround this place, and did the call entered last

    def enter(module: Module, args: Any) -> None:
        del module, args
        nonlocal depth, deepest
        depth += 1
        deepest = depth

    def leave(module: Module, args: Any, output: Any) -> None:
        nonlocal depth, made
        rows[id(module)].outputs.append(_shape_of(output))
        if deepest == depth:  # nothing was called inside
            # A layer that hands on its input, or a view of it, takes no memory.
            made += _bytes(
                out
                for out in _tensors(output)
                if not any(np.may_share_memory(out._array, x._array) for x in _tensors(args))
            )
        depth -= 1

    modules = list(model.modules())
    with _undisturbed(modules), no_grad(), np.errstate(all="ignore"):
        model.eval()
        for module in modules:
            module.register_forward_pre_hook(enter)
            module.register_forward_hook(leave)
        try:
            model(*inputs)
        except Exception as error:
            error.add_note(
                f"raised in the forward that summary ran, over input of shape "
                f"{', '.join(str(x.shape) for x in inputs)} and dtype "
                f"{', '.join(str(x.dtype) for x in inputs)}; input_shape includes the batch axis, "
                "and dtypes= sets another dtype"
            )
            raise
    return made


@contextmanager
def _undisturbed(modules: Sequence[Module]) -> Iterator[None]:
    """Put back, in the end, all that a forward in eval mode and hooks change."""
    random = default_generator.get_state()
    attributes = [
        {n: vars(m).get(n, _NOTHING) for n in ("training", "_hooks", *m._buffer_names)}
        for m in modules
    ]
    hooks = [dict(module._hooks or {}) for module in modules]
    buffers = [(b, b._array, b._array.copy()) for b in modules[0].buffers()]
    try:
        yield
    finally:
        for module, before, hooked in zip(modules, attributes, hooks, strict=True):
            for name, value in before.items():
                if value is _NOTHING:
                    vars(module).pop(name, None)
                else:
                    vars(module)[name] = value
            if module._hooks is not None:
                module._hooks.clear()
                module._hooks.update(hooked)
        for buffer, array, values in buffers:
            buffer._array = array
            if not np.array_equal(array, values):
                array[...] = values
        default_generator.set_state(random)


def _tensors(value: Any) -> Iterator[Tensor]:
    """Yield the tensors in what a module takes or returns."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _tensors(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _tensors(item)


def _shape_of(value: Any) -> Any:
    """Return `value` with the shape of each tensor in its place, and the class of what is none."""
    if isinstance(value, Tensor):
        return value.shape
    if isinstance(value, Mapping):
        return {key: _shape_of(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_shape_of(item) for item in value]
    return type(value)


def _bytes(tensors: Iterable[Tensor]) -> int:
    return sum(t.numel() * t.element_size() for t in tensors)


# Text


def _returned(row: Layer) -> str:
    if row.same_as is not None:
        return f"same as {row.same_as}"
    if not row.outputs:
        return "not called"
    calls = Counter(map(_written, row.outputs))
    return ", ".join(f"{n} x {text}" if n > 1 else text for text, n in calls.items())


def _written(shape: Any) -> str:
    if isinstance(shape, dict):
        return "{" + ", ".join(f"{key}: {_written(item)}" for key, item in shape.items()) + "}"
    if isinstance(shape, list):
        return "[" + ", ".join(map(_written, shape)) + "]"
    return shape.__name__ if isinstance(shape, type) else str(shape)


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = zip(row, widths, ("<", "<", "<", ">", ">"), strict=True)
    return "  ".join(f"{text:{side}{width}}" for text, width, side in cells)


def _size(count: int) -> str:
    if count < 1024:
        return f"{count} B"
    power = min((count.bit_length() - 1) // 10, len(_UNITS))
    return f"{count / 1024**power:.1f} {_UNITS[power - 1]}"
