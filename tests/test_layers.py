"""The layers of the package: lower modules import no higher ones, not even inside functions."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from importlib import import_module
from pathlib import Path

import pytest

import tinygrad_fc

PACKAGE = "tinygrad_fc"
ROOT = Path(tinygrad_fc.__file__).parent
# From the lowest to the highest. The methods of a tensor are functions of `functional`, so that
# `tensors` stands above it.
LAYERS = """domain
core
ops
functional
random
numpy_dispatch assignment conversions
methods
tensors
autograd
func
nn
optim
distributions serialization utils handderived
testing
compiler
viz parallel sklearn
compat
__init__""".splitlines()
LAYER = {name: k for k, names in enumerate(LAYERS) for name in names.split()}
PATHS = sorted(ROOT.rglob("*.py"))
MODULES = [
    ".".join(p.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__")
    for p in PATHS
]


def imports(tree: ast.AST) -> Iterator[str]:
    """Yield the modules of the package that code imports, except for annotations alone."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith(PACKAGE):
            parent = f"{node.module}.".removeprefix(f"{PACKAGE}.")
            yield from (f"{parent}{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            names = (alias.name for alias in node.names if alias.name.startswith(f"{PACKAGE}."))
            yield from (name.removeprefix(f"{PACKAGE}.") for name in names)
        yield from imports(node)


@cache
def imported_by(path: Path) -> set[str]:
    return set(imports(ast.parse(path.read_text("utf-8"))))


def test_a_module_imports_lower_ones():
    for path in PATHS:
        module = path.relative_to(ROOT).parts[0].removesuffix(".py")
        for imported in imported_by(path):
            other = imported.split(".")[0]
            assert other in LAYER, f"{other} has no layer"
            if other == module:
                continue
            assert LAYER[other] < LAYER[module], f"{path} imports {imported}, of no lower layer"


@pytest.mark.parametrize("folder", ["core", "ops", "functional", "compat"])
def test_the_table_of_a_folder_lists_its_files(folder: str):
    documentation = import_module(f"{PACKAGE}.{folder}").__doc__ or ""
    cells = re.findall(r"^\| (`.*?) \|", documentation, re.MULTILINE)
    listed = {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}
    assert listed == {p.stem for p in (ROOT / folder).glob("*.py")} - {"__init__"}


HIDDEN = """
import sys
from importlib import import_module
from types import ModuleType

for name in sys.argv[1:]:
    package, _, last = name.rpartition(".")
    value = getattr(import_module(package), last, None) if package else None
    assert isinstance(value, ModuleType | None), f"{name} has the name of an object of its package"
"""


def test_no_module_and_public_name_hide_each_other():
    pytest.importorskip("dask")
    subprocess.run(  # noqa: S603
        [sys.executable, "-c", HIDDEN, *MODULES], check=True
    )


def test_no_circle_of_imports():
    graph: dict[str, set[str]] = {}
    for name, path in zip(MODULES, PATHS, strict=True):
        used = {f"tinygrad_fc.{imported}" for imported in imported_by(path)}
        modules = {p if p in MODULES else p.rpartition(".")[0] for p in used}
        graph[name] = modules - {name, *(name.rsplit(".", k)[0] for k in (1, 2))}
    TopologicalSorter(graph).prepare()  # raises CycleError


@pytest.mark.parametrize("name", MODULES)
def test_a_module_has_one_object_under_both_prefixes(name: str):
    if name in {"tinygrad_fc", "tinygrad_fc.compat.torch"}:
        return
    module = pytest.importorskip(name, reason="it needs a package", exc_type=ImportError)
    other = import_module(name.replace("tinygrad_fc", "tinygrad_fc.torch", 1))
    assert other is module
    assert other.__spec__.name == name
