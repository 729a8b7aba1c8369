"""Products of matrices, written down: loops for small ones, calls of BLAS for large ones.

Loops go along the longest axis on which elements follow each other in memory, so that they become
vector code: rows or columns of the result, of which up to `TERMS` terms are added in one go, or,
where neither follows, the terms of each sum.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tinygrad_fc.compiler.native_each import cast, literal

if TYPE_CHECKING:
    from collections.abc import Callable

    from tinygrad_fc.compiler.native_loops import Lines
    from tinygrad_fc.compiler.native_plan import Node, Plan

TERMS = 8


@dataclass
class Factor:
    """A matrix, or a stack of them: where it starts, and its strides."""

    memory: str
    start: int
    rows: int
    columns: int
    stack: tuple[int, ...]
    convert: Callable[[str], str] = lambda text: text

    def at(self, row: str, column: str) -> str:
        """Return how to write the element in a row and column, and in a stack of s0, s1 ..."""
        terms = [_term(row, self.rows), _term(column, self.columns)]
        terms += [_term(f"s{k}", stride) for k, stride in enumerate(self.stack)]
        terms.append(str(self.start) if self.start else "")
        return " + ".join(filter(None, terms)) or "0"

    def element(self, row: str, column: str) -> str:
        """Return how to read that element."""
        return self.convert(f"{self.memory}[{self.at(row, column)}]")

    @property
    def turned(self) -> Factor:
        """The transposed matrix."""
        f = self
        return Factor(f.memory, f.start, f.columns, f.rows, f.stack, f.convert)


def _term(name: str, stride: int) -> str:
    if stride == 0 or name == "0":
        return ""
    if name.isdigit():
        return str(int(name) * stride)
    return name if stride == 1 else f"{name} * {stride}"


@dataclass
class Product:
    """left (m, k) times right (k, n), for each of a stack."""

    left: Factor
    right: Factor
    out: Factor
    sizes: tuple[int, int, int]
    stack: tuple[int, ...]
    zero: str

    @property
    def turned(self) -> Product:
        """The same product, transposed."""
        m, n, k = self.sizes
        left, right, out = self.right.turned, self.left.turned, self.out.turned
        return Product(left, right, out, (n, m, k), self.stack, self.zero)


def product_of(plan: Plan, node: Node, memory: Callable[[int], str]) -> Product:
    """Return the product that a node stands for."""
    x, y = node.args
    a, b, out = plan.shape(x), plan.shape(y), plan.shape(node.out)
    m = a[-2] if len(a) > 1 else 1
    n = b[-1] if len(b) > 1 else 1
    stack = out[: len(out) - (len(a) > 1) - (len(b) > 1)]
    to = plan.dtype(node.out)

    def factor(number: int, rows: bool, columns: bool) -> Factor:
        root, where = plan.root(number), plan.where(number)
        strides = list(where.strides)
        across = strides.pop() if columns else 0
        down = strides.pop() if rows else 0
        strides = [0] * (len(stack) - len(strides)) + strides
        source = plan.dtype(root)
        return Factor(
            memory(root), where.start, down, across, tuple(strides), lambda t: cast(t, source, to)
        )

    left = factor(x, len(a) > 1, True)  # noqa: FBT003  as above
    right = factor(y, True, len(b) > 1)  # noqa: FBT003  as above
    result = factor(node.out, len(a) > 1, len(b) > 1)
    product = Product(left, right, result, (m, n, a[-1]), stack, literal(0, to))
    return _unstacked(product)


def _unstacked(p: Product) -> Product:
    """Return a product without the last axes of its stack that are but more rows."""
    while p.stack and not p.right.stack[-1]:
        (m, n, k), count = p.sizes, p.stack[-1]
        left, out = p.left, p.out
        if m == 1:
            left.rows, out.rows = left.stack[-1], out.stack[-1]
        elif (left.stack[-1], out.stack[-1]) != (left.rows * m, out.rows * m):
            break
        for part in (left, p.right, out):
            part.stack = part.stack[:-1]
        p = Product(left, p.right, out, (m * count, n, k), p.stack[:-1], p.zero)
    return p


def write(product: Product, lines: Lines, blas: tuple[str, int] | None) -> None:
    """Write a product; `blas` is the name of gemm's address and the bits of its whole numbers."""
    depth = lines.depth
    for k, count in enumerate(product.stack):
        lines(f"for s{k} in range({count}):")
        lines.depth += 1
    if 0 in (*product.sizes, *product.stack):
        _zeros(product, lines)
    elif blas is None or not _gemm(product, lines, *blas):
        _loops(product, lines)
    lines.depth = depth


def _zeros(p: Product, lines: Lines) -> None:
    lines(f"for i in range({p.sizes[0]}):")
    lines(f"for j in range({p.sizes[1]}):", 1)
    lines(f"{p.out.memory}[{p.out.at('i', 'j')}] = {p.zero}", 2)


# BLAS


def _gemm(p: Product, lines: Lines, address: str, bits: int) -> bool:
    if p.sizes[1] > 1 and p.out.columns != 1:
        p = p.turned
    m, n, k = p.sizes
    steps = [_step(p.left, m, k), _step(p.right, k, n), _step(p.out, m, n)]
    if None in steps or (steps[2] or (False, 0))[0]:
        return False
    (left, a), (right, b), (_, c) = (step for step in steps if step is not None)
    starts = ", ".join(f.at("0", "0") for f in (p.left, p.right, p.out))
    lines(
        f"gemm({address}, {bits}, {p.left.memory}, {p.right.memory}, {p.out.memory}, "
        f"({left}, {right}), ({m}, {n}, {k}), ({starts}), ({a}, {b}, {c}))"
    )
    return True


def _step(f: Factor, rows: int, columns: int) -> tuple[bool, int] | None:
    """Return whether BLAS has to take a matrix as transposed, and the distance of its rows."""
    if (f.columns == 1 or columns == 1) and (rows == 1 or f.rows >= columns):
        return False, max(f.rows, columns)
    if (f.rows == 1 or rows == 1) and (columns == 1 or f.columns >= rows):
        return True, max(f.columns, rows)
    return None


# Loops


def _loops(p: Product, lines: Lines) -> None:
    m, n, k = p.sizes
    down = m if p.left.rows == p.out.rows == 1 else 0
    across = n if p.right.columns == p.out.columns == 1 else 0
    along = k if p.left.columns == p.right.rows == 1 else 0
    if max(down, across) >= min(4, max(along, 1)) or not along:
        _by_columns(p if down >= across and (down or m >= n) else p.turned, lines)
    else:
        _by_sums(p, lines)


def _by_sums(p: Product, lines: Lines) -> None:
    m, n, k = p.sizes
    lines(f"for i in range({m}):")
    lines(f"for j in range({n}):", 1)
    lines(f"s = {p.zero}", 2)
    lines(f"for k in range({k}):", 2)
    lines(f"s = madd(s, {p.left.element('i', 'k')}, {p.right.element('k', 'j')})", 3)
    lines(f"{p.out.memory}[{p.out.at('i', 'j')}] = s", 2)


def _by_columns(p: Product, lines: Lines) -> None:
    k = p.sizes[2]
    lines(f"for j in range({p.sizes[1]}):")
    lines.depth += 1
    head = k if k <= TERMS else k % TERMS or TERMS
    _column(p, lines, [str(t) for t in range(head)], fresh=True)
    if k > head:
        lines(f"for k in range({head}, {k}, {TERMS}):")
        lines.depth += 1
        _column(p, lines, [f"(k + {t})" for t in range(TERMS)], fresh=False)
        lines.depth -= 1
    lines.depth -= 1


def _column(p: Product, lines: Lines, terms: list[str], *, fresh: bool) -> None:
    """Write how some terms are added to a column of the result."""
    for t, term in enumerate(terms):
        lines(f"c{t} = {p.right.element(term, 'j')}")
    place = f"{p.out.memory}[{p.out.at('i', 'j')}]"
    lines(f"for i in range({p.sizes[0]}):")
    begun = f"times(c0, {p.left.element('i', terms[0])})" if fresh else place
    lines(f"t = {begun}", 1)
    for t, term in list(enumerate(terms))[1 if fresh else 0 :]:
        lines(f"t = madd(t, c{t}, {p.left.element('i', term)})", 1)
    lines(f"{place} = t", 1)
