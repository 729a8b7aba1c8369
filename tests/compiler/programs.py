"""Strategies for programs of tensors: operations, writes through views, draws, derivatives.

A program is a list of instructions (name, i, j, k). `run` resolves the numbers against the values
so far, by their shapes alone, so that each list of numbers is a program, and all of them shrink.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from hypothesis import strategies as st

import tinygrad_fc as tg
from tinygrad_fc.nn import functional as F

SHAPES = ((2, 3), (3, 2), (3,), (2, 2), (1, 3), (), (0, 3), (2, 1), (1, 1), (4, 3, 2))
NUMBERS = (0, 1, -1, 2, 0.0, -0.0, 1.0, -1.0, 0.5, 2.0, True)

UNARY: dict[str, Callable[[Any], Any]] = {
    **{name: getattr(tg, name) for name in ("neg", "abs", "sin", "tanh", "sigmoid", "relu")},
    **{name: getattr(tg, name) for name in ("sign", "floor", "square", "expm1", "atan")},
    "exp": lambda x: x.clamp(max=3).exp(),
    "sqrt": lambda x: x.abs().sqrt(),
    "log": lambda x: (x.abs() + 1).log(),
    "softplus": F.softplus,
    "gelu": F.gelu,
    "detach": lambda x: x.detach(),
    "clone": lambda x: x.clone(),
    "float": lambda x: x.float(),
    "double": lambda x: x.double(),
    "round trip": lambda x: tg.neg(-x),
    "noise": lambda x: x + tg.rand(*x.shape),
    "dropout": lambda x: F.dropout(x, 0.5),
    "without gradient": lambda x: x * x.detach(),
}
BINARY: dict[str, Callable[[Any, Any], Any]] = {
    **{name: getattr(tg, name) for name in ("add", "sub", "mul", "maximum", "minimum")},
    "divide": lambda x, y: x / (y.abs() + 0.5),
    "power": lambda x, y: (x.abs() + 0.5) ** y.clamp(-2, 2),
    "where": lambda x, y: tg.where(x > y, x, y * 2),
    "mask": lambda x, y: x * (x >= y),
    "hypot": lambda x, y: tg.hypot(x + 2, y),
}
WITH_NUMBER: tuple[Callable[[Any, Any], Any], ...] = (
    *(lambda x, c: x + c, lambda x, c: c - x, lambda x, c: x * c, lambda x, c: x / (c or 1)),
    *(lambda x, c: x ** abs(c), lambda x, c: tg.where(x > c, x, c), lambda x, c: x.clamp(min=c)),
    lambda x, c: (x * 0 + c) * x,
)
REDUCTIONS = ("sum", "mean", "amax", "amin", "var", "logsumexp", "prod")


def with_assigned_rows(x: Any, k: int) -> Any:
    """Return a copy of `x` with new values in some rows, one of them assigned twice."""
    out, at = x * 1, [k % len(x), 0, 0]
    out[at] = out[at] * 2 + x[-1]
    return out


VIEWS: tuple[Callable[[Any, int], Any], ...] = (
    *(lambda x, _: x.reshape(-1), lambda x, _: x.unsqueeze(0), lambda x, _: x.squeeze()),
    *(lambda x, _: x.T if x.ndim == 2 else x, lambda x, _: x.flip(tuple(range(x.ndim)))),
    *(lambda x, k: x[k % len(x)], lambda x, k: x[k % 2 :], lambda x, _: x[..., None]),
    *(lambda x, _: x.expand(2, *x.shape), lambda x, k: x[[k % len(x), 0, 0]]),
    *(lambda x, _: tg.cat([x, x * 2]), lambda x, k: tg.stack([x, x], dim=k % (x.ndim + 1))),
    *(lambda x, _: x.sort(dim=-1).values, lambda x, k: x.cumsum(dim=k % x.ndim)),
    *(lambda x, k: x.softmax(dim=k % x.ndim), lambda x, _: x.argmax(dim=-1) + x.sum(dim=-1)),
    lambda x, _: x.gather(0, (x > 0).long() % len(x)),
    *(lambda x, k: x.masked_fill(x > k % 2, 0.5), with_assigned_rows),
)
WRITES: tuple[Callable[[Any, Any, int], Any], ...] = (
    *(lambda s, x, _: s.add_(x), lambda s, x, _: s.mul_(x), lambda s, x, _: s.copy_(x)),
    *(lambda s, x, _: s.mul_(0.9).add_(x * 0.1), lambda s, x, k: s.fill_(float(k))),
    *(lambda s, x, k: s.reshape(-1)[k % 2 :].add_(x.sum()), lambda s, x, _: s.sub_(0.1 * (x - s))),
    lambda s, x, k: s.__setitem__(k % len(s) if s.ndim else ..., x.sum()),
)
PARTS: tuple[Callable[[Any, int], Any], ...] = (
    *(
        lambda s, _: s.permute(*range(1, s.ndim), 0) if s.ndim else s,
        lambda s, k: s[k % len(s)] if s.ndim > 1 else s,
    ),
    *(lambda s, k: s[k % 2 :] if s.ndim and len(s) > 1 else s, lambda s, _: s.reshape(-1)),
    *(lambda s, _: s.detach(), lambda s, _: s.unsqueeze(0), lambda s, _: +s),
)
RANDOM: tuple[Callable[[], Any], ...] = (
    *(lambda: tg.randn(2, 3), lambda: tg.randint(5, (3,)), lambda: tg.randperm(3)),
    lambda: tg.bernoulli(tg.full((3,), 0.5)),
)
KINDS = (
    *("unary", "unary", "binary", "binary", "number", "reduce", "view", "view", "matmul"),
    *("write", "write", "part", "part", "read", "again", "random"),
)
Instruction = tuple[str, int, int, int]
small = st.integers(0, 23)


def programs(most: int = 12) -> st.SearchStrategy[list[Instruction]]:
    """Draw a program of at most `most` instructions."""
    instructions = st.tuples(st.sampled_from(KINDS), small, small, small)
    return st.lists(instructions, min_size=1, max_size=most)


@st.composite
def inputs(draw: st.DrawFn, most: int = 3) -> list[Any]:
    """Draw arrays with zeros of both signs, ties and equal elements, in several layouts."""
    arrays = []
    for _ in range(draw(st.integers(1, most))):
        shape, dtype = draw(st.sampled_from(SHAPES)), draw(st.sampled_from("ddddfl"))
        rng = np.random.default_rng(draw(st.integers(0, 255)))
        array = rng.choice(np.array([0.0, -0.0, 1.0, -1.0, 0.3, -2.5]), shape)
        array = np.where(rng.random(shape) < 0.5, rng.standard_normal(shape), array).astype(dtype)
        layout = draw(st.sampled_from(("C", "F", "strided")))
        if layout == "strided" and array.ndim:
            array = np.repeat(array, 2, axis=-1)[..., ::2]
        arrays.append(np.asarray(array, order="F") if layout == "F" else array)
    return arrays


def _fits(x: Any, y: Any) -> bool:
    return all(a == b or 1 in (a, b) for a, b in zip(x.shape[::-1], y.shape[::-1], strict=False))


def run(
    program: Sequence[Instruction], tensors: Sequence[Any], state: Sequence[Any], nudge: Any = None
) -> list[Any]:
    """Run a program on `tensors`; it changes `state`, and views of it, in place. Return all values.

    `nudge` is applied to each new value: the identity, or a change by some ulps.
    """
    values, state = list(tensors), list(state)
    last: Instruction = ("unary", 0, 0, 0)
    for instruction in program:
        if instruction[0] != "again":
            last = instruction
        value = _value(last, values, state)
        if value is not None:
            values.append(nudge(value) if nudge else value)
    return values


def _value(instruction: Instruction, values: list[Any], state: list[Any]) -> Any:
    kind, i, j, k = instruction
    x = values[-1 - i % len(values)]
    s = state[j % len(state)]
    if kind == "write":
        _write(s, x, i, k)
    if kind == "part":
        state.append(PARTS[k % len(PARTS)](s, i))
    if kind in ("write", "part"):
        return None
    if kind == "read":
        return s.clone()
    if kind == "number":
        return WITH_NUMBER[j % len(WITH_NUMBER)](x, NUMBERS[k % len(NUMBERS)])
    if kind == "random":
        return RANDOM[j % len(RANDOM)]()
    x = x if x.is_floating_point() else x.double()
    if kind == "unary":
        return list(UNARY.values())[j % len(UNARY)](x)
    return {"binary": _binary, "matmul": _matmul, "reduce": _reduce, "view": _view}[kind](
        x, values, j, k
    )


def _write(s: Any, x: Any, i: int, k: int) -> None:
    with tg.no_grad():
        fits = _fits(s, x) and (x + s).shape == s.shape
        WRITES[k % len(WRITES)](s, (x if fits else x.sum()).detach().double(), i)


def _binary(x: Any, values: list[Any], j: int, k: int) -> Any:
    fitting = [y for y in values if _fits(x, y)]
    return list(BINARY.values())[k % len(BINARY)](x, fitting[-1 - j % len(fitting)])


def _matmul(x: Any, values: list[Any], j: int, _: int) -> Any:
    fitting = [y for y in values if y.is_floating_point() and y.ndim == 2 == x.ndim]
    fitting = [y.to(x.dtype) for y in fitting if x.shape[1] == len(y)]
    return x @ fitting[-1 - j % len(fitting)] if fitting else x


def _reduce(x: Any, _: list[Any], j: int, k: int) -> Any:
    name = REDUCTIONS[j % len(REDUCTIONS)]
    if not x.numel() or (name == "var" and x.numel() < 2):
        return x.sum()
    if k % 2 or not x.ndim or name == "var":
        return x.logsumexp(tuple(range(x.ndim))) if name == "logsumexp" else getattr(x, name)()
    return getattr(x, name)(dim=k % x.ndim, keepdim=k % 4 > 1)


def _view(x: Any, _: list[Any], j: int, k: int) -> Any:
    if not x.ndim or not x.numel():
        x = tg.arange(6.0).reshape(2, 3) * x.sum()
    return VIEWS[j % len(VIEWS)](x, k)


def with_gradients(
    program: Sequence[Instruction], arrays: Sequence[Any], state: Sequence[Any], nudge: Any = None
) -> Any:
    """Run a program; return its last values and their gradients by the arrays of floats."""
    leaves = [x.detach() for x in arrays]
    wanted = [x.requires_grad_() for x in leaves if x.is_floating_point()]
    values = run(program, leaves, state, nudge)[len(leaves) :][-6:]
    total: Any = sum((v * tg.cos(v.detach())).sum() for v in values if v.requires_grad)
    gradients: Any = ()
    if isinstance(total, tg.Tensor):
        gradients = tg.autograd.grad(total, wanted, allow_unused=True)
    return [v.detach().clone() for v in values], gradients
