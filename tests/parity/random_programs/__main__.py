"""Random programs in both libraries: `python -m tests.parity.random_programs --count 1000`.

A program is a list of statements, drawn by its seed, about tensors of all dtypes with NaN and
infinities: operators, changes in place, views, indices, casts, hooks, `func`, distributions. After
each statement all variables agree in value, dtype, shape and `requires_grad`, at the end also the
gradients and what hooks saw. What differs is printed by the function that was called last, with one
program each.
"""

import argparse
import copy
import math
import re
import warnings
from collections import Counter
from typing import Any

import numpy as np
import torch

import tinygrad_fc as tg
from tinygrad_fc.core.node import Node

FLOATS = ("float64", "float32", "float16")
INTEGERS = ("int64", "int32", "uint8", "bool")
NUMBERS = (-2.5, -1.0, -0.5, 0.0, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0)
SPECIAL = ("nan", "inf", "-inf", "-0.0")
TOLERANCES = {"float64": 1e-8, "float32": 1e-3, "float16": 0.05}

# {x} is a tensor, {f} a float one, {i} an integer one, {b} a mask of the shape of the last one,
# {y} a tensor that broadcasts to it or a number, {z} one of its shape, {d} an axis, {at} an index.
# A "!" marks functions that are not continuous: they get variables that are equal bit by bit.
NEW = """
-{x} {x}**2 {x}+{y} {x}-{y} {x}*{y} {x}/{y} 0.5-{x} !{i}<<1 {f}**{y} {f}**0.5 !{x}%{y} !{x}<0.5
!{i}&{i} !{x}=={y} {x}.sum() {x}.max() {x}[{at}] {x}[{at}] {f}.norm() {f}.norm(3) {x}.clone()
{f}@{z}.t() {x}.sum({d}) {f}.std({d}) {f}.median() {x}.double() {x}.detach() {f}.{unary}()
{f}.mean({d}) {x}.prod({d}) {x}.amin({d}) !{x}.argmax() {x}.flip({d}) {x}.squeeze() {x}.max({d})[0]
{f}.norm(1,{d}) {x}.cumsum({d}) {x}.roll(1,{d}) {x}.reshape(-1) !{x}.detach()//2 !t.fmod({f},{z})
{f}.softmax({d}) {f}.cumprod({d}) !{x}.argmin({d}) t.ones_like({x}) {f}.nan_to_num()
!t.atan2({f},{z}) !{x}.bool().any() !{x}.sort({d})[0] {x}.diff(dim={d}) {x}.to(t.{dtype})
t.maximum({x},{z}) t.minimum({f},{z}) {x}.where({b},{y}) {f}.clamp(min={z}) {f}.logsumexp({d})
{x}.unsqueeze({d}) t.stack([{x},{z}]) {x}.type_as({y!r}) copy.deepcopy({x}) {f}.clamp(-0.7,0.7)
t.lerp({f},{z},0.25) {f}.log_softmax({d}) !{x}.bool().all({d}) t.cat([{x},{z}],{d})
t.full_like({x},1.5) {x}.new_full((2,),3) !t.sign({f}.detach()) {x}.new_tensor([1,2])
{x}.masked_fill({b},2) !t.round({f}.detach()) t.hypot({f},t.exp({z})) {x}.expand(2,*{x}.shape)
{f}.var({d},unbiased=False) {x}.repeat_interleave(2,{d}) t.nn.functional.{activation}({f})
t.nn.functional.mse_loss({f},{z}) {x}.gather({d},{i}.long().clamp(0,0))
{x}.permute(*range({last}.ndim)[::-1]) t.nn.functional.normalize({f},dim={d})
t.nn.functional.smooth_l1_loss({f},{z}) t.func.vmap(lambda_u:{expression})({f})
t.distributions.{one}(logits={f}).entropy() t.func.vmap(lambda_u:{expression},0,-1)({f})
t.nn.functional.layer_norm({f},{f}.shape[-1:]) t.func.grad(lambda_u:({expression}).sum())({f})
t.func.vmap(lambda_u,v:u*v.sum()+u,(0,None))({f},{z})
t.distributions.Beta(t.exp({f}),t.exp({z})).entropy()
t.nn.functional.kl_div({f},t.sigmoid({z}),reduction="sum")
t.distributions.Normal({f},1,validate_args=False).cdf({z})
t.distributions.{two}({f},{last}+t.exp({z})+0.5).entropy()
t.func.vmap(t.func.grad(lambda_u:({expression}).sum()))({f})
t.distributions.{one}(logits={f}).log_prob(t.zeros({f}.shape[:-1]))
t.nn.functional.cross_entropy({f},t.zeros({f}.shape[0],dtype=t.long))
t.autograd.grad({f}.sum(),[w],retain_graph=True,allow_unused=True)[0]
t.distributions.{two}({f},{last}+t.exp({z})+0.5).log_prob({z}.detach())
t.func.jvp(lambda_u:{expression},({f}.detach(),),({last}.detach()*2,))[1]
t.distributions.Beta(t.exp({f}),t.exp({z})).log_prob(t.full_like({last},0.25))
t.nn.functional.binary_cross_entropy_with_logits({f},t.sigmoid({z}).type_as({last}))
t.distributions.kl_divergence(t.distributions.Normal({f},t.exp({z})+0.1),t.distributions.Normal({z},t.exp({f})+0.1))
"""
CHANGES = """
{x}**=2 {x}+={y} {x}-={y} {x}*={y} {x}/={y} {i}&={i} {x}.t_() !{x}%={y} !{x}//={y} {f}.exp_()
{x}[{b}]=1 {x}.zero_() {f}.relu_() {x}.fill_(2) {x}[{at}]+=1 {x}[{b}]=0.5 {x}.add_({y})
{x}.mul_({y}) {x}[{at}]={y} {x}[{at}]*={y} {x}[0]={x}[-1] {x}.copy_({y!r}) {x}.data.mul_(2)
{f}.retain_grad() {x}.unsqueeze_({d}) {f}.clamp_(-0.7,0.7) {x}.detach().add_(1)
{x}.sub_({y},alpha=2) {x}.masked_fill_({b},1) {f}.addcmul_({z},{z},value=2)
{f}.register_hook(lambda_g:g*2) {f}.sum().backward(retain_graph=True)
t.nn.functional.relu({f},inplace=True)
{f}.register_hook(lambda_g:seen.append(g.double().sum().item()))
"""
NAMES = {
    "unary": """abs exp log sqrt sin cos tanh sigmoid relu reciprocal rsqrt square log1p expm1
        erf neg atan asin acosh lgamma digamma logit log2 sinh""",
    "activation": """gelu silu elu selu softplus leaky_relu hardtanh hardswish logsigmoid mish
        softsign relu6""",
    "expression": "u*u u.sin()+1 u.exp().sum() u.sum()*u u.clone().mul_(2) u[...,:1]*3 u.max()-u",
    "two": "Normal Uniform Gumbel",
    "one": "Categorical Bernoulli",
}
STATEMENTS = [NEW.split(), CHANGES.split()]


class Writer:
    """Writes statements about the tensors of one library."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.values: dict[str, Any] = {}
        # Programs of float64 alone are compared closely, others as their lowest precision allows.
        self.floats = self.one([FLOATS[:1], FLOATS[:1], FLOATS[:2], FLOATS])
        self.tolerance = TOLERANCES[self.floats[-1]]
        self.inexact: set[str] = set()  # names of variables that do not agree bit by bit

    def one(self, choices: Any) -> Any:
        return choices[self.rng.integers(len(choices))]

    def literal(self, k: int) -> str:
        """Return a new tensor: numbers, which are exact in every float dtype, and some NaN."""
        dtype = self.one(self.floats if k == 0 or self.rng.random() < 0.6 else INTEGERS)
        shape = self.one([(), (3,), (2, 3), (2, 3), (2, 1), (2, 2, 2)])
        size, special = math.prod(shape), SPECIAL * (self.rng.random() < 0.2)
        choices = (*map(str, NUMBERS), *special) if dtype in FLOATS else tuple("01235")
        data = f"[{','.join(self.one(choices) for _ in range(size))}]"
        grad = ",requires_grad=True" if dtype in FLOATS and self.rng.random() < 0.6 else ""
        return (
            f"{f'v{k}' if k else 'w'} = t.tensor(N({data},{shape}).tolist(),dtype=t.{dtype}{grad})"
        )

    def name(self, fits: Any = lambda _: True) -> str:
        """Return the name of a variable, of the last ones rather."""
        names = [
            n
            for n, v in self.values.items()
            if fits(v) and (self.inexact is None or n not in self.skip)
        ]
        if not names:
            raise LookupError
        return str(self.one(names[-4:] if self.rng.random() < 0.6 else names))

    def statement(self, new: str) -> str:
        kind = int(self.rng.random() < 0.4)
        template = self.one(STATEMENTS[kind])
        self.skip = self.inexact if template.startswith("!") else set()
        text = re.sub(r"{(\w+)(!r)?}", lambda m: self.part(m[1], m[2]), template.lstrip("!"))
        text = text.replace("lambda_", "lambda ")
        if kind and self.rng.random() < 0.1:
            return f"with t.no_grad(): {text}"
        return text if kind else f"{new} = {text}"

    def part(self, kind: str, only_tensors: Any) -> str:
        """Return what replaces a placeholder; the last tensor decides shapes and axes."""
        if kind in NAMES:
            return str(self.one(NAMES[kind].split()))
        if kind == "dtype":
            return str(self.one(self.floats + INTEGERS))
        if kind in "xfi":
            floats = {"f": (True,), "i": (False,)}.get(kind, (True, False))
            self.last_name = self.name(lambda v: v.is_floating_point() in floats)
        shape = tuple(self.values[self.last_name].shape)
        if kind in "yz":
            if kind == "y" and not only_tensors and self.rng.random() < 0.4:
                return str(self.one(("2", "0.5", "-1", "True", "2.5", "nan", "0")))
            return self.name(lambda v: v.ndim <= len(shape) if kind == "y" else v.shape == shape)
        others = {"d": self.axis, "at": self.index, "b": self.mask}
        return others[kind](shape) if kind in others else self.last_name

    def axis(self, shape: tuple[int, ...]) -> str:
        return str(int(self.rng.integers(-len(shape), len(shape)))) if shape else "0"

    def index(self, shape: tuple[int, ...]) -> str:
        parts = (":", "0", "-1", "1:", "::2", "[0]", "[0,-1]", "None")
        return ",".join(self.one(parts) for _ in shape[:2]) or "..."

    def mask(self, shape: tuple[int, ...]) -> str:
        compared = f"({self.name(lambda v: v.shape == shape)}>0)"
        return str(self.one([compared, compared, f"t.ones({shape},dtype=t.bool)"]))


def execute(statement: str, scope: dict[str, Any]) -> str:
    """Execute a statement; return the error that it raises, if any."""
    try:
        exec(statement, scope)  # noqa: S102  written above
    except Exception as error:  # noqa: BLE001  to be compared
        return f"{type(error).__name__}: {str(error)[:90]}"
    return ""


def scope_of(library: Any) -> dict[str, Any]:
    return {"t": library, "N": lambda data, shape: np.array(data).reshape(shape), "nan": math.nan,
            "inf": math.inf, "copy": copy, "seen": []}  # fmt: skip


def tensors_in(scope: dict[str, Any]) -> dict[str, Any]:
    return {n: v for n, v in scope.items() if isinstance(v, Node | torch.Tensor)}


def difference(x: Any, y: Any, exact: list[str], name: str, tolerance: float) -> str:
    """Return how our tensor `x` differs from `y`; append `name` to `exact` if no bit does."""
    names = [str(v.dtype).removeprefix("torch.") for v in (x, y)]
    facts = [
        (n, tuple(v.shape), v.requires_grad and n in FLOATS)
        for n, v in zip(names, (x, y), strict=True)
    ]
    if facts[0] != facts[1]:
        return f"{name} is {facts[0]}, PyTorch's is {facts[1]}"
    a, b = (np.asarray(v.detach().cpu().numpy()) for v in (x, y))
    if a.tobytes() == b.tobytes():
        exact.append(name)
        return ""
    tolerance = tolerance if facts[0][0] in FLOATS else 0
    with np.errstate(all="ignore"):
        scale = np.abs(b[np.isfinite(b)]).max(initial=1) if b.dtype.kind == "f" else 1
        close = np.allclose(a, b, tolerance, tolerance * scale, equal_nan=True)
    return "" if close else f"{name} is {a.tolist()}, PyTorch's is {b.tolist()}"


END = """
used = [v.double() * (k + 1) for k, v in enumerate(tensors.values()) if v.requires_grad]
if used: sum(v.sum() for v in used).backward()
"""


def program(seed: int, count: int) -> tuple[list[str], str, list[str]]:
    """Run a program in both libraries.

    Return its statements, the first difference, and the statements that only one library refuses.
    """
    writer, scopes = Writer(seed), (scope_of(tg), scope_of(torch))
    text: list[str] = []
    refused: list[str] = []
    for k in range(count):
        try:
            statement = writer.literal(k) if k < 4 else writer.statement(f"v{k}")
        except LookupError:  # there is no tensor that fits
            continue
        errors = [execute(statement, scope) for scope in scopes]
        if any(errors):
            refused += refusals(statement, errors)
            if not statement.startswith(f"v{k} = "):
                if all(errors):
                    break
                return text, "", refused  # one library has changed something
            for scope in scopes:
                scope.pop(f"v{k}", None)
            continue
        text.append(statement)
        if found := compared(writer, scopes):
            return text, found, refused
    for scope in scopes:
        scope["tensors"] = tensors_in(scope)
    errors = [execute(END, scope) for scope in scopes]
    text.append("backward")
    if any(errors):
        return text, "", refused + refusals("backward", errors)
    return text, gradients_compared(scopes, writer.tolerance), refused


def refusals(statement: str, errors: list[str]) -> list[str]:
    """Return the statement in a list if one library refuses it."""
    who = "we raise" if errors[0] else "PyTorch raises"
    return [] if all(errors) else [f"{who}: {statement}  # {max(errors)}"]


def compared(writer: Writer, scopes: Any) -> str:
    ours, theirs = map(tensors_in, scopes)
    exact: list[str] = []
    for name, y in theirs.items():
        if found := difference(ours[name], y, exact, name, writer.tolerance):
            return found
    writer.values, writer.inexact = theirs, theirs.keys() - exact
    return ""


def gradients_compared(scopes: Any, tolerance: float) -> str:
    ours, theirs = (scope["tensors"] for scope in scopes)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, y in theirs.items():
            x, g = ours[name].grad, y.grad
            if (x is None) != (g is None):
                return f"{name}.grad is {x}, PyTorch's is {g}"
            if g is not None and (found := difference(x, g, [], f"{name}.grad", tolerance)):
                return found
    seen = [scope["seen"] for scope in scopes]
    same = len(seen[0]) == len(seen[1]) and np.allclose(
        *map(sorted, seen), 1e-2, 1e-2, equal_nan=True
    )
    return "" if same else f"hooks saw {seen[0]}, PyTorch's {seen[1]}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for option, default in (("count", 1000), ("seed", 0), ("length", 14)):
        parser.add_argument(f"--{option}", type=int, default=default)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    np.seterr(all="ignore")
    torch.set_default_dtype(torch.float64)
    counts, examples = Counter[str](), dict[str, str]()
    for seed in range(options.seed, options.seed + options.count):
        text, found, refused = program(seed, options.length)
        end = f"{text[-1]} {found if text[-1] == 'backward' else ''}"
        for line in [f"differs: {end}"] * bool(found) + refused:
            key = re.sub(r"\b(v\d+|w)\b", "x", line)
            counts[key] += 1
            examples.setdefault(key, "\n".join([f"seed {seed}", *text, f"# {found}"]))
        counts["agrees"] += not found
    for key, number in sorted(counts.items(), key=lambda item: (item[0][:3], -item[1])):
        print(f"{number:6d} {key[:170]}")
    for key, example in examples.items():
        if key.startswith("differs"):
            print(f"\n--- {counts[key]} times {key[:120]}\n{example}")


if __name__ == "__main__":
    main()
