"""Elements that are picked or put by index arrays, arrays that are joined, places of extremes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tinygrad_fc.compiler.native_each import cast
from tinygrad_fc.compiler.native_loops import Access, Lines, Nest, index, write
from tinygrad_fc.compiler.native_step import missing
from tinygrad_fc.compiler.native_views import Where, strides_of
from tinygrad_fc.compiler.program import Part

if TYPE_CHECKING:
    from collections.abc import Callable

    from tinygrad_fc.compiler.native_plan import Node, Plan


class Pick(NamedTuple):
    """Index array `number`, at `where` in loops over the result, for an axis of `size`."""

    number: int
    where: Where
    size: int
    stride: int


class Picked(NamedTuple):
    """The elements that an index stands for: the shape, and where they are."""

    shape: tuple[int, ...]
    where: Where
    picks: list[Pick]


def picked(plan: Plan, node: Node, base: int) -> Picked:
    """Return which elements of the value `base` the index `at` of a node stands for."""
    step = node.step
    assert step is not None  # noqa: S101  every node that picks is a step's
    at = step.settings["at"]
    parts = _expanded(at if isinstance(at, tuple) else (at,), len(plan.shape(base)))
    place, sizes = plan.where(base), iter(plan.shape(base))
    steps, start = iter(place.strides), place.start
    axes: list[tuple[int, int]] = []  # of the result: size and stride
    found: list[tuple[int, int, int]] = []
    front, positions = None, []
    for position, part in enumerate(parts):
        if part is None:
            axes.append((1, 0))
            continue
        size, stride = next(sizes), next(steps)
        if isinstance(part, slice):
            first, stop, by = part.indices(size)
            start += first * stride
            axes.append((len(range(first, stop, by)), by * stride))
            continue
        positions.append(position)
        front = len(axes) if front is None else front
        if isinstance(part, int | np.integer) and not isinstance(part, bool):
            start += (int(part) % size) * stride
        elif isinstance(part, Part) and plan.dtype(step.args[part.index]).kind in "iu":
            found.append((step.args[part.index], size, stride))
        else:
            raise missing(step, " by truth values, or by what is no array")
    if found and positions[-1] - positions[0] >= len(positions):
        front = 0
    wide = np.broadcast_shapes(*(plan.shape(n) for n, _, _ in found))
    front = front or 0
    shape = (*(n for n, _ in axes[:front]), *wide, *(n for n, _ in axes[front:]))
    strides = [*(s for _, s in axes[:front]), *([0] * len(wide)), *(s for _, s in axes[front:])]
    picks = []
    for number, size, stride in found:
        counted = _counted(plan, number, wide)
        if counted is not None:  # rows in their order need no index
            start += counted[0] * stride
            strides[front + len(wide) - 1] += counted[1] * stride
            continue
        inner = plan.where(number, wide)
        over = [0] * len(shape)
        over[front : front + len(wide)] = inner.strides
        picks.append(Pick(number, Where(inner.start, tuple(over)), size, stride))
    strides = [0 if n == 1 else s for n, s in zip(shape, strides, strict=True)]
    return Picked(shape, Where(start, tuple(strides)), picks)


def _expanded(parts: tuple[Any, ...], ndim: int) -> list[Any]:
    used = sum(part is not None and part is not Ellipsis for part in parts)
    out: list[Any] = []
    for part in parts:
        out += [slice(None)] * (ndim - used) if part is Ellipsis else [part]
    return (
        out if any(part is Ellipsis for part in parts) else [*out, *[slice(None)] * (ndim - used)]
    )


def _counted(plan: Plan, number: int, wide: tuple[int, ...]) -> tuple[int, int] | None:
    """Return where a constant index starts and its step, if it counts along the last axis."""
    value = plan.constants.get(number)
    if value is None or value.ndim != 1 or value.shape != wide[-1:] or (value < 0).any():
        return None
    if len(value) < 2:
        return int(value[0]) if len(value) else 0, 0
    step = int(value[1]) - int(value[0])
    return (int(value[0]), step) if (np.diff(value) == step).all() else None


def fetched(
    plan: Plan, picks: list[Pick], memory: Callable[[int], str], name: str
) -> tuple[list[Access], list[str], str]:
    """Return loads of index arrays, what checks them, and what they add to a place."""
    loads, texts, terms = [], [], []
    for k, pick in enumerate(picks):
        at = f"{name}_{k}"
        loads.append(Access(at, memory(plan.root(pick.number)), pick.where))
        texts.append(f"from_end(i8({at}), {pick.size})")
        terms.append((f"{at}a", pick.stride))
    dynamic = " + ".join(n if s == 1 else f"{n} * {s}" for n, s in terms)
    return loads, texts, dynamic


def write_put(plan: Plan, node: Node, lines: Lines, memory: Callable[[int], str]) -> None:
    """Write a copy of an array with elements put into it, or added, in their order."""
    step = node.step
    assert step is not None  # noqa: S101  as above
    copy_into(plan, node.args[0], memory(node.out), Where(0, strides_of(node.shape)), lines, memory)
    target = picked(plan, node, node.out)
    names = [(f"i{k}", k) for k, n in enumerate(target.shape) if n != 1]
    depth = lines.depth
    for name, axis in names:
        lines(f"for {name} in range({target.shape[axis]}):")
        lines.depth += 1
    if 0 not in target.shape:
        loads, texts, dynamic = fetched(plan, target.picks, memory, f"k{node.out}")
        for load, text in zip(loads, texts, strict=True):
            lines(f"{load.name} = {load.memory}[{index(load.where, names)}]")
            lines(f"{load.name}a = {text}")
            lines(f"if {load.name}a < 0:")
            lines("return OUTSIDE", 1)
        source, to = node.args[1], plan.dtype(node.out)
        if source in plan.literals:
            text = plan.literals[source]
        else:
            where = plan.where(source, target.shape)
            text = f"{memory(plan.root(source))}[{index(where, names)}]"
        text = f"{to.str[1:]}({text})"
        place = f"{memory(node.out)}[{index(target.where, names, dynamic)}]"
        if step.function is np.add:
            text = f"{to.str[1:]}({place} + {text})"
        elif step.function is not None:
            raise missing(step, ".at")
        lines(f"{place} = {text}")
    else:
        lines("pass")
    lines.depth = depth


def copy_into(
    plan: Plan,
    source: int,
    target: str,
    where: Where,
    lines: Lines,
    memory: Callable[[int], str],
    *,
    to: Any = None,
) -> None:
    """Write a copy of a value into a memory, whose dtype is `to` where it is another one."""
    source_dtype = plan.dtype(source)
    to = source_dtype if to is None else to
    shape = plan.shape(source)
    nest = Nest(shape)
    where = Where(
        where.start, tuple(0 if n == 1 else s for n, s in zip(shape, where.strides, strict=True))
    )
    if source in plan.literals:
        nest.stores.append(Access(cast(plan.literals[source], source_dtype, to), target, where))
    else:
        nest.loads.append(Access("v", memory(plan.root(source)), plan.where(source)))
        nest.stores.append(Access(cast("v", source_dtype, to), target, where))
    write(nest, lines)


def write_join(plan: Plan, node: Node, lines: Lines, memory: Callable[[int], str]) -> None:
    """Write arrays one after the other into one."""
    step = node.step
    assert step is not None  # noqa: S101  as above
    inputs, named = list(step.settings["inputs"]), dict(step.settings["named"])
    axis = named.pop("axis", inputs[1] if len(inputs) > 1 else 0)
    if named or axis is None:
        raise missing(step, " with axis None, or with more than an axis")
    strides, to = strides_of(node.shape), plan.dtype(node.out)
    axis %= len(node.shape)
    stacked, start = step.function is np.stack, 0
    for part in inputs[0]:
        source = step.args[part.index]
        shape = plan.shape(source)
        own = (*strides[:axis], *strides[axis + 1 :]) if stacked else strides
        copy_into(plan, source, memory(node.out), Where(start, own), lines, memory, to=to)
        start += strides[axis] * (1 if stacked else shape[axis])


def write_extremum(plan: Plan, node: Node, lines: Lines, memory: Callable[[int], str]) -> None:
    """Write the place of the first largest element, or smallest; the first NaN wins."""
    x, shape, axis = node.args[0], node.shape, node.settings["axis"]
    gone = range(len(shape)) if axis is None else (axis % len(shape),)
    where, out = (
        plan.where(x),
        iter(strides_of(tuple(n for k, n in enumerate(shape) if k not in gone))),
    )
    kept = [k for k in range(len(shape)) if k not in gone]
    into = Where(0, tuple(next(out) if k in kept else 0 for k in range(len(shape))))
    names = [(f"i{k}", k) for k in (*kept, *gone)]
    value = f"{memory(plan.root(x))}[{index(where, names)}]"
    depth = lines.depth
    for k in kept:
        lines(f"for i{k} in range({shape[k]}):")
        lines.depth += 1
    lines("at, count = 0, 0")
    for k in gone:
        lines(f"i{k} = 0")
    lines(f"best = {value}")
    inner = lines.depth
    for k in gone:
        lines(f"for i{k} in range({shape[k]}):")
        lines.depth += 1
    lines(f"v = {value}")
    sign = "<" if node.settings["least"] else ">"
    lines(f"if v {sign} best or (isnan(v) and not isnan(best)):")
    lines("best, at = v, count", 1)
    lines("count += 1")
    lines.depth = inner
    lines(f"{memory(node.out)}[{index(into, names)}] = at")
    lines.depth = depth
