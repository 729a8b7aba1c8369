"""Random programs of indexing, views and assignments against PyTorch's: values, aliases, gradients.

A program is a list of statements, drawn from a seed, which both libraries execute. After each, all
variables have the same values, so that views follow and copies do not; at the end the gradients
agree. A statement that PyTorch refuses is left out. Ours may raise `GraphError` where a tensor
becomes recorded that has views, and read-only memory may not be changed: both are documented.
"""

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from against_torch import ERRORS, agree
from hypothesis import given, note, settings
from hypothesis import strategies as st

import tinygrad_fc as tg

torch = pytest.importorskip("torch")

pytestmark = pytest.mark.filterwarnings("ignore")  # PyTorch warns of masks of uint8

START = [
    "w = t.tensor(A, requires_grad=True)",  # a leaf
    "a = w * 1",
    "b = t.tensor(B)",
    "c = t.zeros(3, 2, 2)",
]


def run(statement: str, variables: dict[str, Any]) -> str:
    """Execute a statement, and return the error that it raises, if any."""
    try:
        exec(statement, variables)  # noqa: S102  written below
    except ERRORS as error:
        return f"{type(error).__name__}: {error}"
    return ""


def shape_of(x: Any, at: str) -> tuple[int, ...]:
    return tuple(eval(f"x[{at}]", {"x": x, "t": torch}).shape)  # noqa: S307  written below


class Writer:
    """Writes statements about PyTorch's tensors `values`."""

    def __init__(self, rng: Any) -> None:
        self.rng = rng
        self.values: dict[str, Any] = {}

    def one(self, *choices: Any) -> Any:
        return choices[self.rng.integers(len(choices))]

    def variable(self, shape: Any = None) -> str:
        """Return a variable, of that shape if there is one."""
        names = [n for n, v in self.values.items() if shape in (None, tuple(v.shape))]
        return str(self.one(*names or self.values))

    def dim(self, x: Any, extra: int = 0) -> int:
        n = (x.ndim + extra) or 1
        return int(self.rng.integers(-n, n))

    def part(self, n: int) -> str:
        """Return the index of one axis of size `n`, with no element twice.

        PyTorch's gradient of an assignment to repeated indices counts overwritten values, too.
        """
        some = self.rng.permutation(n)[: 1 + self.rng.integers(2)] - n * self.rng.integers(0, 2)
        mask, low = self.rng.integers(0, 2, n), self.rng.integers(0, n + 1)
        lists = [f"{some.tolist()}", f"t.tensor({some.tolist()}, dtype=t.long)"]
        masks = [f"t.tensor({mask.tolist()}, dtype=t.{k})" for k in ("bool", "uint8")]
        numbers = [form.format(k) for k in some[:1] for form in ("{}", "{}", "t.tensor({})")]
        return str(self.one(*lists, *masks, *numbers, ":", f"{low}:", f":{low}", "::2"))

    def index(self, x: Any) -> str:
        for _ in range(50):
            parts = [self.part(n) for n in x.shape[: self.rng.integers(0, x.ndim + 1)]]
            for extra in ("None", "...", "True"):
                if self.rng.random() < 0.15:
                    parts.insert(self.rng.integers(len(parts) + 1), extra)
            at = ", ".join(parts) or "..."
            with suppress(*ERRORS):
                shape_of(x, at)
                return at
        raise RuntimeError("PyTorch refuses to read this view")

    def call(self, x: Any) -> str:
        """Return a method of views, or of copies, with its arguments."""
        d, e, n = self.dim(x), self.dim(x), x.numel()
        shape, ones = tuple(x.shape), (1,) * x.ndim
        size = (shape or (1,))[d]
        k, order = int(self.rng.integers(0, size or 1)), self.rng.permutation(x.ndim).tolist()
        long, mask = f"t.zeros({ones}, dtype=t.long)", f"t.ones({shape}, dtype=t.bool)"
        views = [
            *[f"[{self.index(x)}]"] * 5, f".transpose({d}, {e})", ".view(-1)",
            f".permute({order})", f".reshape({n}, 1)", f".unsqueeze({self.dim(x, 1)})", ".T",
            f".squeeze({d})", ".squeeze()", f".narrow({d}, {k}, 1)", f".select({d}, {k})", ".t()",
            f".unbind({d})[{k}]", f".flatten({min(0, d)})", f".split(1, {d})[{k}]", ".contiguous()",
            f".chunk(2, {d})[0]", f".movedim({d}, {e})", ".ravel()", f".expand(2, *{shape})",
            ".expand_as(b)", ".detach()", f".swapaxes({d}, {e})", f".unflatten({d}, (1, -1))",
            f".broadcast_to({(1, *shape)})", ".reshape(-1)", f".view({n}, 1)",
        ]  # fmt: skip
        copies = [
            f".flip({d})", f".repeat(1, *{ones})", f".repeat({(2,) * max(x.ndim, 1)})", ".clone()",
            f".tile({ones})", ".tile(2)", ".roll(0)", f".roll(1, {d})", f".roll({size}, {d})",
            f".index_select({d}, t.tensor([{k}]))", f".sort({d}).values", f".diff(n=0, dim={d})",
            f".diff(dim={d})", f".topk({size}, {d}).values", f".repeat_interleave(1, {d})",
            f".min({d}).values", f".max({d}).values", ".norm()", ".relu()",
            f".masked_select({mask})", f".masked_fill(~{mask}, 1)", f".gather({d}, {long})",
            f".take_along_dim({long}, {d})", ".to(t.float64)", ".double()", f".cumsum({d})",
            f".sum({d})", f".mean({d})", f".amax({d})", f".prod({d})", ".tril()", ".clamp(-9, 9)",
            ".sum()", ".max()", ".prod()", ".abs()", ".exp() * 0.1", " * 2", ".nan_to_num()",
            ".logsumexp(0)", ".T * 1", ".where(t.tensor(True), b.sum())", ".unique()",
        ]  # fmt: skip
        return str(self.one(*self.one(views, copies)))

    def statement(self, new: str) -> str:
        if self.rng.random() < 0.45:
            return self.assignment()
        name = self.variable()
        x = self.values[name]
        if self.rng.random() < 0.75:
            return f"{new} = {name}{self.call(x)}"
        other = self.variable(tuple(x.shape))
        joined = f"t.{self.one('stack', 'cat')}([{name}, {other}], {self.dim(x)})"
        changes = ["add_(1)", "mul_(2)", "zero_()", "fill_(3)", "neg_()", "clamp_(-1)"]
        values = [f"{new} = {name} {self.one('*', '+', '-')} {other}", f"{new} = {joined}"]
        in_place = [] if x.requires_grad else [f"{name}.{self.one(*changes)}"]
        if not of_a_leaf(x):
            operators = [f"{name} {o}= {other}" for o in "+-*/"] + [
                f"{name} {o} 2" for o in COMPOUND
            ]
            methods = ("mul_(2)", f"add_({other})", f"sub_({other}, alpha=2)", "exp_().mul_(0.1)")
            shapes = (f"transpose_({self.dim(x)}, {self.dim(x)})", f"unsqueeze_({self.dim(x, 1)})")
            in_place += [*operators, *(f"{name}.{m}" for m in (*methods, *shapes, "zero_()"))]
            in_place += [f"t.nn.functional.{f}({name}, inplace=True)" for f in ("relu", "silu")]
        return str(self.one(*values, *in_place, f"{new} = {name}"))

    def assignment(self) -> str:
        changeable = [n for n, v in self.values.items() if not of_a_leaf(v)]
        name = self.one(*changeable)
        x = self.values[name]
        at = self.index(x)
        shape = shape_of(x, at)
        kind = self.rng.random()
        if kind < 0.2:
            change = self.one("+= 2", "*= 2", "+= w.sum()", "*= w[0, 0, 0]")
            return f"{name}[{at}] {change}"
        if kind < 0.3 and x.ndim and len(x) > 1:
            return f"{name}[0], {name}[-1] = {name}[-1], {name}[0]"
        wide = f"w.sum() * t.ones({(1, *shape[1:]) if shape else (1,)})"
        values = [f"{name}[{at}] * 2", wide, "w.sum()", "2", f"t.full({shape}, 5.)"]
        source = self.variable(shape)
        y = self.values[source]
        if tuple(y.shape) != shape:
            return f"{name}[{at}] = {self.one(*values)}"
        part = f"{source}[{self.index(y)}]"
        if y.untyped_storage().data_ptr() == x.untyped_storage().data_ptr():
            source += " + 0"  # PyTorch may read what it has written
            part += " + 0"
        return f"{name}[{at}] = {self.one(source, source, part, *values)}"


COMPOUND = ("+=", "-=", "*=", "/=", "**=", "//=", "%=")


def of_a_leaf(x: Any) -> bool:
    """Return whether a change of `x` changes a leaf that requires grad."""
    base = x._base if x._is_view() else x
    return bool(base.is_leaf and base.requires_grad)


def programs(rng: Any, count: int) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield statements, the error that PyTorch raises, and its variables after the statement."""
    writer = Writer(rng)
    scope = {"t": torch, "A": rng.integers(-3, 4, (3, 2, 2)) / 2, "B": rng.normal(size=(3, 2, 2))}
    for k in range(len(START) + count):
        try:
            statement = START[k] if k < len(START) else writer.statement(f"v{k}")
        except RuntimeError:  # some views must not be read after a change of their base
            return
        error = run(statement, scope)
        yield statement, error, scope
        writer.values = {n: v for n, v in scope.items() if isinstance(v, torch.Tensor)}


def check(seed: int, count: int = 8) -> None:
    """Execute a program in both libraries, and compare their variables after each statement."""
    rng = np.random.default_rng(seed)
    ours: dict[str, Any] = {"t": tg}
    has_joined = False
    for statement, error, scope in programs(rng, count):
        note(f"{statement}  # {error}")
        ours |= {"A": scope["A"], "B": scope["B"]}
        has_joined |= "stack([" in statement or "cat([" in statement
        if error and "[" in statement.split(" ")[0]:
            return  # PyTorch may have changed some elements
        raised = run(statement, ours)
        if raised and not error:
            # PyTorch does not look at the indices where the other axes select nothing.
            limit = raised.startswith("GraphError") or "is read-only" in raised
            limit |= "is out of bounds" in raised
            # Arrays that are joined keep the order of their memory here.
            assert limit or ("without a copy" in raised and has_joined), raised
        if bool(error) != bool(raised):
            return
        compare(ours, scope)
    compare_gradients(ours, scope)


def compare(ours: Any, theirs: Any) -> None:
    for name, y in theirs.items():
        if isinstance(y, torch.Tensor):
            # A view from before a first recorded assignment raises where it is used.
            is_refused = run("x + 0", {"x": ours[name]}).startswith("GraphError: the result of")
            assert ours[name].requires_grad == y.requires_grad or is_refused, name
            agree(ours[name], y, 1e-12)


LOSS = "sum((x * (k + 1)).sum() for k, x in enumerate(used)).backward()"


def compare_gradients(ours: Any, theirs: Any) -> None:
    names = [n for n, v in theirs.items() if isinstance(v, torch.Tensor) and v.requires_grad]
    errors = []
    for variables in (ours, theirs):
        variables["used"] = [variables[n] for n in names]
        errors.append(run(LOSS, variables))
    if not any(errors):
        agree(ours["w"].grad, theirs["w"].grad, 1e-9)
    elif not errors[1]:
        assert errors[0].startswith("GraphError"), errors[0]


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=100)
def test_programs_agree(seed: int) -> None:
    check(seed)
