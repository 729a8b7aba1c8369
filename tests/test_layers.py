"""The layers of the package: lower modules import no higher ones, not even inside functions."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import tinygrad_fc

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(tinygrad_fc.__file__).parent
# From the lowest to the highest; modules of one line may import each other. The methods of a tensor
# are functions of `functional`, so that `tensor` stands above it.
LAYERS = """errors errstate pytree
device dtypes grad_mode
domain graph
op
ops
functional
random legacy
numpy_dispatch assignment methods
tensor
autograd func
nn
optim
distributions serialization utils handderived
testing compiler viz parallel
__init__ torch""".splitlines()
LAYER = {name: k for k, names in enumerate(LAYERS) for name in names.split()}
# Imports inside functions, where a comment states the reason.
ALLOWED = {("tensor", "autograd"), ("tensor", "viz"), ("nn", "viz"), ("optim", "viz")}


def imports(tree: ast.AST) -> Iterator[str]:
    """Yield the modules of the package that code imports, except for annotations alone."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.ImportFrom) and node.module == "tinygrad_fc":
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tinygrad_fc."):
            yield str(node.module).split(".")[1]
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.startswith("tinygrad_fc."):
                    yield alias.name.split(".")[1]
        yield from imports(node)


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.py")), ids=lambda p: str(p.relative_to(ROOT)))
def test_a_module_imports_lower_ones(path: Path) -> None:
    module = path.relative_to(ROOT).parts[0].removesuffix(".py")
    for imported in set(imports(ast.parse(path.read_text()))):
        assert imported in LAYER, f"{imported} has no layer"
        assert LAYER[imported] <= LAYER[module] or (module, imported) in ALLOWED, (
            f"{module} imports {imported}, which is of a higher layer"
        )
