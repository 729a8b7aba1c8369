"""The exercises of the course as forms of the site, whose conditions are checked in JavaScript.

Conditions of numbers, lists of numbers and words have a form; others need the notebook.
"""

from __future__ import annotations

import ast
import json
from html import escape
from itertools import pairwise

FUNCTIONS = {"np.isclose": "isClose", "np.allclose": "isClose", "np.array_equal": "isEqual"}
FUNCTIONS |= {"len": "size", "np.size": "size", "np.shape": "shape", "np.sum": "sum"}
FUNCTIONS |= {"abs": "Math.abs", "max": "Math.max", "min": "Math.min", "sigmoid": "sigmoid"}
"""Functions of `_static/site.js`, by those of the chapters."""
OPERATORS = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.Pow: "**"}
OPERATORS |= {ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.And: "&&", ast.Or: "||"}
OPERATORS |= {ast.USub: "-", ast.Not: "!"}
COMPARED = {ast.Eq: "isEqual({}, {})", ast.NotEq: "!isEqual({}, {})"}
COMPARED |= {ast.In: "{1}.includes({0})", ast.NotIn: "!{1}.includes({0})"}


class Translator(ast.NodeVisitor):
    """Returns a condition of Python in JavaScript; raises `ValueError` where it has no form there.

    >>> Translator("n").visit(ast.parse("n not in (17, 18)", mode="eval").body)
    '(![17, 18].includes(answer))'
    """

    def __init__(self, answer: str) -> None:
        self.answer = answer

    def generic_visit(self, node: ast.AST) -> str:
        """Refuse what has no form."""
        raise ValueError(f"no form in JavaScript: {ast.unparse(node)}")

    def visit_Constant(self, node: ast.Constant) -> str:
        """Return a number, a truth value or a word."""
        return json.dumps(node.value)

    def visit_Name(self, node: ast.Name) -> str:
        """Return the answer; a chapter's own variables have no form."""
        return "answer" if node.id == self.answer else self.generic_visit(node)

    def visit_Tuple(self, node: ast.Tuple | ast.List) -> str:
        """Return an array."""
        return f"[{', '.join(map(self.visit, node.elts))}]"

    visit_List = visit_Tuple  # noqa: N815  the visitor's names are those of nodes

    def visit_Subscript(self, node: ast.Subscript) -> str:
        """Return an element."""
        return f"{self.visit(node.value)}.at({self.visit(node.slice)})"

    def visit_UnaryOp(self, node: ast.UnaryOp) -> str:
        """Return a negative number, or a negation."""
        return f"{OPERATORS[type(node.op)]}({self.visit(node.operand)})"

    def visit_BinOp(self, node: ast.BinOp) -> str:
        """Return a term."""
        return self._joined(node.op, [node.left, node.right])

    def visit_BoolOp(self, node: ast.BoolOp) -> str:
        """Return conditions that are joined."""
        return self._joined(node.op, node.values)

    def _joined(self, op: ast.AST, parts: list[ast.expr]) -> str:
        if type(op) not in OPERATORS:
            raise ValueError(f"no form in JavaScript: {type(op).__name__}")
        return f"({f' {OPERATORS[type(op)]} '.join(map(self.visit, parts))})"

    def visit_Compare(self, node: ast.Compare) -> str:
        """Return a comparison; of several, each of two neighbours."""
        pairs = pairwise([node.left, *node.comparators])
        parts = [
            COMPARED[type(op)].format(*map(self.visit, pair))
            if type(op) in COMPARED
            else self._joined(op, [*pair])
            for op, pair in zip(node.ops, pairs, strict=True)
        ]
        return f"({' && '.join(parts)})"

    def visit_Call(self, node: ast.Call) -> str:
        """Return the call of a known function."""
        name = FUNCTIONS.get(ast.unparse(node.func))
        if name is None or node.keywords:
            return self.generic_visit(node)
        return f"{name}({', '.join(map(self.visit, node.args))})"


def conditions(source: str) -> dict[int, list[tuple[str, str]] | None]:
    """Return the conditions of a chapter's exercises with their steps; None without a form."""
    calls = (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call))
    for call in calls:
        match call:
            case ast.Call(func=ast.Name(id="exercises"), args=[ast.Dict() as table]):
                keys = (ast.literal_eval(key) for key in table.keys if key is not None)
                return dict(zip(keys, map(_translated, table.values), strict=True))
    return {}


def _translated(pairs: ast.expr) -> list[tuple[str, str]] | None:
    translated = []
    for pair in getattr(pairs, "elts", ()):
        match pair:
            case ast.Tuple(elts=[ast.Lambda(args=parameters, body=body), ast.Constant(value=step)]):
                try:
                    condition = Translator(parameters.args[0].arg).visit(body)
                except ValueError:
                    return None
                translated.append((condition, str(step)))
            case _:
                return None
    return translated


def form(number: int, pairs: list[tuple[str, str]] | None, kind: str, notebook: str) -> str:
    """Return the HTML of an exercise for a `kind` of answer: a form, or a link to the notebook."""
    if pairs is None:
        link = f'<a href="{notebook}" download>the notebook</a>'
        return f'<p class="exercise">Exercise {number} needs Python: run its cell in {link}.</p>'
    return (
        f'<form class="exercise" data-conditions="{escape(json.dumps(pairs))}"><label>Exercise '
        f'{number}, {escape(kind or "a number")}: <input autocomplete="off"></label> '
        "<button>Check</button> <output></output></form>"
    )
