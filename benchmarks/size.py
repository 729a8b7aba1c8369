"""Print the lines of code (no blanks, comments, docstrings) by subpackage beside their budget.

python benchmarks/size.py
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "tinygrad_fc"
BUDGETS = {
    "core, ops, functional, compat, top": 6400,
    "autograd": 1200,
    "distributions": 550,
    "nn": 3300,
    "optim": 1750,
    "data, serialization": 1400,
    "sklearn": 220,
    "testing": 3100,
    "compiler": 3050,
    "viz": 1550,
    "parallel": 560,
}
BESIDES = {"JavaScript": 1600, "CSS": 320, "tests": 21500}
TOP = "core, ops, functional, compat, top"
ELSEWHERE = {
    "autograd/numerical.py": "testing",
    **dict.fromkeys(("compat", "core", "functional", "ops"), TOP),
    **dict.fromkeys(("serialization", "utils"), "data, serialization"),
    "sklearn.py": "sklearn",
}
NO_CODE = {
    *(tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT),
    tokenize.ENDMARKER,
}


def code_lines(source: str) -> int:
    r"""Return the number of lines of `source` that hold code.

    >>> code_lines("# a comment\n\nx = 1\n")
    1
    """
    documentation: set[int] = set()
    for node in ast.walk(ast.parse(source)):
        body = getattr(node, "body", None)
        for statement in body if isinstance(body, list) else ():
            if (
                isinstance(statement, ast.Expr)
                and isinstance(statement.value, ast.Constant)
                and isinstance(statement.value.value, str)
            ):
                documentation.update(range(statement.lineno, (statement.end_lineno or 0) + 1))
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in NO_CODE:
            lines.update(range(token.start[0], token.end[0] + 1))
    return len(lines - documentation)


def text_lines(source: str) -> int:
    r"""Return the number of lines of JavaScript or CSS that are neither blank nor comments.

    >>> text_lines("// a comment\n\nlet x = 1;\n")
    1
    """
    source = re.sub(r"/\*.*?\*/", "", source, flags=re.DOTALL)
    lines = (line.strip() for line in source.splitlines())
    return sum(bool(line) and not line.startswith("//") for line in lines)


def part_of(path: Path) -> str:
    """Return which budget a file of the package counts against."""
    inside = path.relative_to(PACKAGE)
    part = ELSEWHERE.get(inside.as_posix()) or ELSEWHERE.get(inside.parts[0])
    return part or (inside.parts[0] if len(inside.parts) > 1 else TOP)


def main() -> None:
    """Print the table."""
    lines: Counter[str] = Counter()
    files: Counter[str] = Counter()

    def add(part: str, count: int) -> None:
        lines[part] += count
        files[part] += 1

    for path in sorted(PACKAGE.rglob("*.py")):
        add(part_of(path), code_lines(path.read_text("utf-8")))
    for suffix, part in (("js", "JavaScript"), ("css", "CSS")):
        for path in PACKAGE.rglob(f"*.{suffix}"):
            add(part, text_lines(path.read_text("utf-8")))
    for path in (ROOT / "tests").rglob("*.py"):
        add("tests", code_lines(path.read_text("utf-8")))
    print(f"{'':34}{'lines':>8}{'budget':>8}{'files':>7}")
    sums = [sum(map(of.__getitem__, BUDGETS)) for of in (lines, BUDGETS, files)]
    rows = [[part, lines[part], budget, files[part]] for part, budget in BUDGETS.items()]
    besides = [[part, lines[part], budget, files[part]] for part, budget in BESIDES.items()]
    for part, count, budget, number in (*rows, ["package", *sums], *besides):
        print(f"{part:34}{count:8}{budget:8}{number:7}")


if __name__ == "__main__":
    main()
