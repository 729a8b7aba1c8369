"""Every function has one module that defines it; `test_reference` finds each documented name."""

from __future__ import annotations

import ast
from importlib import import_module
from pathlib import Path
from typing import Any

import tinygrad_fc as tg

# Other parameters than those of the function
METHODS_OF_THEIR_OWN = {"clone", "detach", "polygamma", "type", "where", "is_floating_point"}
NOT_LISTED = {"inverse", "norm", "svd", "linear"}  # other functions of `tg.linalg`; in F alone
PACKAGE = Path(tg.__file__).parent


def definitions() -> dict[str, dict[str, Any]]:
    """Return the functions that each module of ops and functions defines and lists in `__all__`."""
    found: dict[str, dict[str, Any]] = {}
    for folder in ("ops", "functional", "nn/functional"):
        for path in sorted((PACKAGE / folder).glob("[a-z]*.py")):
            module = import_module(".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts))
            defined: set[str] = set()
            for node in ast.parse(path.read_text("utf-8")).body:
                if isinstance(node, ast.FunctionDef | ast.ClassDef):
                    defined.add(node.name)
                elif isinstance(node, ast.Assign):
                    stored = (n for target in node.targets for n in ast.walk(target))
                    defined |= {n.id for n in stored if isinstance(n, ast.Name)}
            public = defined & set(getattr(module, "__all__", ()))
            found[module.__name__] = {name: getattr(module, name) for name in sorted(public)}
    return found


def test_every_name_has_one_module_that_defines_it():
    modules: dict[str, list[str]] = {}
    for module, functions in definitions().items():
        for name in functions:
            modules.setdefault(name, []).append(module)
    assert len(modules) > 200
    assert {name: found for name, found in modules.items() if len(found) > 1} == {}
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
