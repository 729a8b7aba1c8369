"""Names of a package that are imported when they are first used."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


def lazy_names(
    package: str, names: Mapping[str, str], modules: Sequence[str] = ()
) -> Callable[[str], Any]:
    """Return the `__getattr__` of a package, which imports names when they are first used.

    `names` maps each name to a submodule, "prune", or to its function or class, "adaptive:Adam".
    The other names, and `__all__` of the package, are those in the `__all__` of the submodules
    `modules`. A value becomes an attribute of the package.

    >>> lazy_names("tinygrad_fc.optim", {"Adam": "adaptive:Adam"})("Adam").__name__
    'Adam'
    """

    def get(name: str) -> Any:
        namespace = vars(import_module(package))
        if name in names:
            path, _, attribute = names[name].partition(":")
            module = import_module(f"{package}.{path}")
            namespace[name] = getattr(module, attribute) if attribute else module
        elif modules and (name == "__all__" or not name.startswith("_")):
            public = list(names)
            for path in modules:
                module = import_module(f"{package}.{path}")
                namespace.update({key: getattr(module, key) for key in module.__all__})
                public += module.__all__
            namespace["__all__"] = sorted(public)
        if name not in namespace:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return namespace[name]

    return get
