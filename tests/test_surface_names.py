"""Every function has one module that defines it; the reference lists every public name."""

import re
import subprocess
import sys
from collections import Counter
from functools import cache
from importlib import import_module
from pathlib import Path
from pkgutil import resolve_name
from types import ModuleType
from typing import Any

import pytest

import tinygrad_fc as tg
from tinygrad_fc.compat.names import OLDER_NAMES
from tinygrad_fc.compat.unsupported import REFUSED

for extra in ("dask", "sklearn"):  # `parallel` and `sklearn` import them
    pytest.importorskip(extra)

# Other parameters than those of the function
METHODS_OF_THEIR_OWN = {"clone", "detach", "polygamma", "type", "where", "is_floating_point"}
# Other functions of `tg.linalg`; in F alone
NOT_LISTED = {"inverse", "norm", "matrix_exp", "matrix_power", "qr", "svd", "linear"}
PACKAGE = Path(tg.__file__).parent


def definitions() -> dict[str, dict[str, Any]]:
    """Return the functions that each module of ops and functions defines and lists in `__all__`."""
    found: dict[str, dict[str, Any]] = {}
    for folder in ("ops", "functional", "nn/functional"):
        for path in sorted((PACKAGE / folder).glob("[a-z]*.py")):
            module = import_module(".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts))
            public = {name: getattr(module, name) for name in getattr(module, "__all__", ())}
            found[module.__name__] = {
                name: value for name, value in public.items() if value.__module__ == module.__name__
            }
    return found


def test_every_name_has_one_module_that_defines_it():
    modules = Counter(name for functions in definitions().values() for name in functions)
    assert len(modules) > 200
    assert [name for name, count in modules.items() if count > 1] == []
    # A public function or op is one of these, whichever name space shows it.
    known = {id(f): m for m, functions in definitions().items() for f in functions.values()}
    for place in (tg, tg.nn.functional):
        for name, value in vars(place).items():
            home = getattr(value, "__module__", "")
            if callable(value) and home.startswith(("tinygrad_fc.ops", "tinygrad_fc.functional")):
                assert id(value) in known or name in NOT_LISTED, name


def test_a_method_is_the_function_of_its_name():
    for name, method in vars(tg.Tensor.__base__).items():
        function = getattr(tg, name, None)
        if name[0] != "_" and callable(function) and name not in METHODS_OF_THEIR_OWN:
            assert method is function or name.endswith("_"), name


# The reference of the documentation

REFERENCE = Path(__file__).parents[1] / "docs/reference"
MODULES = """autograd autograd.forward_ad autograd.functional autograd.profiler compiler
distributions distributions.constraints distributions.transforms domain errors func
functional.linalg handderived nn nn.functional nn.init nn.utils nn.utils.parametrizations
nn.utils.parametrize nn.utils.prune optim optim.lr_scheduler optim.swa_utils parallel random
serialization sklearn testing utils.benchmark utils.data viz"""
# Of other packages; layers that raise, named in "Differences from PyTorch"; helpers.
LEFT_OUT = {"Any", "TYPE_CHECKING", "import_module", *OLDER_NAMES}
LEFT_OUT |= {refused.__name__ for refused in REFUSED.values()}
HELPERS = {"check_argument", "check_dtypes", "check_shapes", "error_class"}
HELPERS |= {"warn_deprecated"}
LEFT_OUT |= {"weight_norm", "remove_weight_norm", "remove_spectral_norm"}  # of early PyTorch


@cache
def documented() -> dict[str, Any]:
    """Return the names in the reference, without the package's, and their values."""
    names = []
    for path in REFERENCE.glob("*.rst"):
        module, entries = "", False
        for line in path.read_text("utf-8").splitlines():
            if current := re.match(r"\.\. currentmodule:: tinygrad_fc\.?(.*)", line):
                module = current[1]
            elif line and not line.startswith(" "):
                entries = re.match(r"\.\. (autosummary|py:data)::", line) is not None
            directive = re.match(r"\.\. (?:auto(?:class|method)|py:data):: (.+)", line)
            name = directive or (re.match(r" +([\w.]*\w)$", line) if entries else None)
            if name:
                names.append(f"{module}.{name[1]}".removeprefix("."))
    assert len(names) > 790
    return {name: resolve_name(f"tinygrad_fc.{name}") for name in names}


def public_names(module: ModuleType) -> list[str]:
    """Return the names that a module offers."""
    names = [name for name in dir(module) if not name.startswith("_")]
    own = getattr(module, "__all__", None)
    if own is None and module is not tg:  # without those that it imports
        own = [
            name
            for name in names
            if getattr(getattr(module, name), "__module__", "").startswith(module.__name__)
        ]
    values = ((name, getattr(module, name)) for name in own or names)
    return [name for name, value in values if not isinstance(value, ModuleType)]


@pytest.mark.parametrize("path", ["", *MODULES.split()])
def test_every_public_name_is_documented(path: str):
    module = import_module(f"tinygrad_fc.{path}") if path else tg
    documentation = documented()
    # Under the same name, a function may be documented where it is defined.
    by_value = {(id(value), name.rpartition(".")[2]) for name, value in documentation.items()}
    missing = [
        name
        for name in public_names(module)
        if f"{path}.{name}".removeprefix(".") not in documentation
        and (id(getattr(module, name)), name) not in by_value
    ]
    assert set(missing) <= LEFT_OUT | HELPERS, "add them to docs/reference"


IMPORT = re.compile(
    r"^(?:>>> )?(from tinygrad_fc[\w.]* import (?:\([^)]*\)|[\w, ]+)|import tinygrad_fc[\w.]*)",
    re.MULTILINE,
)


def test_the_imports_of_readme_documentation_and_course_work():
    root = PACKAGE.parent
    texts = [root / "README.md", *(root / "docs").rglob("*.*"), *(root / "examples").rglob("*.*")]
    texts = [p for p in texts if p.suffix in {".md", ".rst", ".py"} and "_build" not in p.parts]
    lines = {line for path in texts for line in IMPORT.findall(path.read_text("utf-8"))}
    assert len(lines) > 20
    for line in sorted(lines):
        exec(line, {})  # noqa: S102  of this repository


def test_every_attribute_of_a_tensor_is_documented():
    own = {name for name in dir(tg.Tensor) if not name.startswith("_")}
    names = {name.removeprefix("Tensor.") for name in documented()}
    assert own - names == {"is_sparse", "coalesce", "to_sparse"}  # the last two are refused


# They need another library, write a file or raise; and rules for tests of the ops' settings.
NO_EXAMPLE = {"testing.from_jax", "set_default_device"}


def test_every_function_has_an_example():
    names = [
        name
        for name, value in documented().items()
        if callable(value) and not isinstance(value, type) and ">>>" not in str(value.__doc__)
    ]
    names = [name for name in names if not name.startswith("Tensor.")]
    assert set(names) == NO_EXAMPLE


def test_the_table_of_names_is_that_of_the_package():
    # In a process of its own: other tests load modules, whose names then stand in their packages.
    docs = Path(__file__).parents[1] / "docs"
    code = "import surface; assert surface.table() in surface.PAGE.read_text('utf-8')"
    done = subprocess.run([sys.executable, "-c", code], cwd=docs, check=False)  # noqa: S603
    assert not done.returncode, "run python docs/surface.py"


def test_the_module_of_linear_algebra_lists_public_names_only() -> None:
    assert dir(tg.linalg)
    assert not [name for name in dir(tg.linalg) if name.startswith("_") or name in {"np", "Any"}]
    assert all(callable(getattr(tg.linalg, name)) for name in dir(tg.linalg))
