"""Print the lines of code (no blanks, comments, docstrings) by subpackage beside their budget.

python benchmarks/size.py
"""

from __future__ import annotations

import ast
import io
import tokenize
from collections import Counter
from pathlib import Path

PACKAGE = Path(__file__).parent.parent / "tinygrad_fc"
LIBRARY_BUDGETS = {
    "(top level)": 2330,
    "ops": 1750,
    "functional": 1500,
    "autograd": 950,
    "nn": 2700,
    "optim": 1650,
    "data, serialization, handderived": 1390,
}
TOOL_BUDGETS = {
    "testing": 2800,
    "compiler": 2750,
    "viz": 1600,
    "parallel": 250,
}
ELSEWHERE = {
    "autograd/numerical.py": "testing",
    "func.py": "autograd",
    "handderived.py": "data, serialization, handderived",
    "parallel.py": "parallel",
    "serialization": "data, serialization, handderived",
    "utils": "data, serialization, handderived",
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


def part_of(path: Path) -> str:
    """Return which budget a file of the package counts against."""
    inside = path.relative_to(PACKAGE)
    part = ELSEWHERE.get(inside.as_posix()) or ELSEWHERE.get(inside.parts[0])
    return part or (inside.parts[0] if len(inside.parts) > 1 else "(top level)")


def main() -> None:
    """Print the table."""
    lines: Counter[str] = Counter()
    files: Counter[str] = Counter()
    for path in sorted(PACKAGE.rglob("*.py")):
        lines[part_of(path)] += code_lines(path.read_text())
        files[part_of(path)] += 1
    budgets: dict[str, int] = {}
    print(f"{'':34}{'lines':>8}{'budget':>8}{'files':>7}")
    for total, group in (("library", LIBRARY_BUDGETS), ("all", TOOL_BUDGETS)):
        for part, budget in group.items():
            print(f"{part:34}{lines[part]:8}{budget:8}{files[part]:7}")
        budgets |= group
        sums = [sum(map(of.__getitem__, budgets)) for of in (lines, budgets, files)]
        print(f"{total:34}{sums[0]:8}{sums[1]:8}{sums[2]:7}")


if __name__ == "__main__":
    main()
