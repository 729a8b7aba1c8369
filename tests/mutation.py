"""Change each rule of the table in turn, and count the changes that `check` finds.

    python -m tests.mutation [name] [--examples 50]

A rule is changed in its sign, by a factor of 2, by swapping two of its arguments, by taking the
rule of the other argument, and by leaving out each term and each factor of its formula. A change
that gives the same gradients wherever it is called (the sign of 0, the arguments of a sum) is no
change; these are counted separately.
"""

import argparse
import ast
import copy
import inspect
import types
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache, partial
from typing import Any, NamedTuple

import numpy as np
from hypothesis import Phase, settings

from tinygrad_fc.core.node import Node
from tinygrad_fc.core.op import Op, registry
from tinygrad_fc.testing import GradientError, check
from tinygrad_fc.testing.tensors import differentiable

Rule = Callable[..., Any]


class Mutant(NamedTuple):
    """An op with one rule changed."""

    op: Op
    argument: int
    what: str
    rule: Rule


class Watched:
    """A changed rule that records whether its result ever differs from that of the correct rule."""

    def __init__(self, right: Rule, wrong: Rule) -> None:
        self.right, self.wrong, self.differs = right, wrong, False

    def __call__(self, *args: Any, **settings: Any) -> Any:
        """Return the result of the changed rule."""
        try:
            result = self.wrong(*args, **settings)
        except Exception:
            self.differs = True
            raise
        if not self.differs:
            with np.errstate(all="ignore"):
                plain = self.right(*args, **settings)
            a, b = (x._array if isinstance(x, Node) else np.asarray(x) for x in (result, plain))
            self.differs = not (a.shape == b.shape and np.allclose(a, b, 1e-12, 0, equal_nan=True))
        return result


def mutants(op: Op) -> Iterator[Mutant]:
    """Yield the op with one change at a time."""
    floats = differentiable(op)
    for i in floats:
        rule: Any = op.rules[i]  # type: ignore[index]
        for what, wrong in (("sign", -1), ("factor 2", 2)):
            yield Mutant(op, i, what, lambda *a, r=rule, k=wrong, **s: k * r(*a, **s))
        for j in floats:
            if j != i:
                yield Mutant(op, i, f"arguments {i} and {j} swapped", partial(_swapped, rule, i, j))
                yield Mutant(op, i, f"the rule of argument {j}", op.rules[j])  # type: ignore[index]
        for what, wrong in _dropped(rule):
            yield Mutant(op, i, what, wrong)


def _swapped(rule: Rule, i: int, j: int, g: Any, out: Any, *arrays: Any, **options: Any) -> Any:
    arguments = list(arrays)
    arguments[i], arguments[j] = arrays[j], arrays[i]
    return rule(g, out, *arguments, **options)


# Terms and factors left out


@cache
def _tree(file: str) -> ast.Module:
    with open(file, encoding="utf-8") as source:  # noqa: PTH123  of a code object's own name
        return ast.parse(source.read())


def _node(code: types.CodeType) -> Any:
    """Return the syntax tree of the function of `code`."""
    places: list[Any] = [place for place in code.co_positions() if place[-1]]
    line, end_line, column, end_column = places[-1]
    best = None
    for node in ast.walk(_tree(code.co_filename)):
        if isinstance(node, ast.Lambda | ast.FunctionDef):
            names = [a.arg for a in (*node.args.posonlyargs, *node.args.args)]
            start, end = (node.lineno, node.col_offset), (node.end_lineno, node.end_col_offset)
            within = start <= (line, column) and (end_line, end_column) <= end
            if within and tuple(names) == code.co_varnames[: code.co_argcount]:
                best = node  # the innermost comes last
    return best


NEUTRAL = {ast.Add: 0.0, ast.Sub: 0.0, ast.Mult: 1.0, ast.Div: 1.0}
"""A side of an operation is left out by this number in its place."""


def _dropped(rule: Any) -> Iterator[tuple[str, Rule]]:
    """Yield the rule without one of its terms or factors."""
    bound: tuple[Any, ...] = ()
    if isinstance(rule, partial):
        rule, bound = rule.func, rule.args
    if not isinstance(rule, types.FunctionType):
        return
    node = copy.deepcopy(_node(rule.__code__))
    if node is None:
        return
    for operation in list(ast.walk(node)):
        if not isinstance(operation, ast.BinOp) or type(operation.op) not in NEUTRAL:
            continue
        formula = ast.unparse(operation)
        for side in ("left", "right"):
            term = getattr(operation, side)
            setattr(operation, side, ast.Constant(NEUTRAL[type(operation.op)]))
            function = _compiled(node, rule)
            setattr(operation, side, term)
            text = f"without `{ast.unparse(term)}` of `{formula}`"
            yield text, partial(function, *bound) if bound else function


def _compiled(node: Any, rule: types.FunctionType) -> Rule:
    """Return the function of a changed syntax tree of `rule`."""
    if isinstance(node, ast.FunctionDef):
        node.decorator_list = []
    else:
        node = ast.Assign([ast.Name("changed", ast.Store())], node)
    scope = dict(rule.__globals__) | inspect.getclosurevars(rule).nonlocals
    module = ast.fix_missing_locations(ast.Module([node], []))
    exec(compile(module, "<changed>", "exec"), scope)  # noqa: S102  our own formulas
    function = scope[getattr(node, "name", "changed")]
    function.__defaults__, function.__kwdefaults__ = rule.__defaults__, rule.__kwdefaults__
    return function  # type: ignore[no-any-return]


# Counting


def outcome(mutant: Mutant, examples: int) -> str:
    """Return "found" or "missed", or "same" for a change that changes no gradient."""
    op, i = mutant.op, mutant.argument
    watched = Watched(op.rules[i], mutant.rule)  # type: ignore[index]
    changed = copy.copy(op)
    changed.rules = tuple(watched if k == i else op.rules[k] for k in range(len(op.domain)))  # type: ignore[index]
    try:
        with np.errstate(all="ignore"):
            check(changed, max_examples=examples)
    except GradientError:
        return "found"
    return "missed" if watched.differs else "same"


def main() -> None:
    """Print the changes that were missed, and the counts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument(
        "name", nargs="?", default="", help="part of the names of the ops to change"
    )
    parser.add_argument("--examples", type=int, default=50, help="how many inputs are drawn")
    options = parser.parse_args()
    settings.register_profile("mutation", deadline=None, phases=(Phase.generate,))
    settings.load_profile("mutation")
    counts: Counter[str] = Counter()
    for op in dict.fromkeys(registry.values()):
        if type(op) is not Op or options.name not in op.name:
            continue  # chains have the rules of other ops
        for mutant in mutants(op):
            result = outcome(mutant, options.examples)
            counts[result] += 1
            if result == "missed":
                print(f"missed: {op.name}, rule {mutant.argument}, {mutant.what}", flush=True)  # noqa: T201
    real = counts["found"] + counts["missed"]
    print(  # noqa: T201
        f"{counts['found']} of {real} changes found ({counts['found'] / max(real, 1):.1%}); "
        f"{counts['same']} more change nothing"
    )


if __name__ == "__main__":
    main()
