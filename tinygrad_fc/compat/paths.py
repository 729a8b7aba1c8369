"""PyTorch's module paths: an import finder that leads them to the modules of this package.

`tinygrad_fc.torch.X` is `tinygrad_fc.X`, the same module object, for every `X`. The other paths are
listed here.
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.machinery import ModuleSpec
from operator import attrgetter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType

PACKAGE = "tinygrad_fc"
_NN = {
    **dict.fromkeys(("activation", "container", "linear", "loss", "module"), ""),
    **dict.fromkeys(("batchnorm", "instancenorm", "normalization"), "norm"),
    **dict.fromkeys(("dropout", "flatten", "sparse"), "linear"),
    "distance": "loss",
}
LAYER_PATHS = {f"nn.modules.{name}": f"nn.{home or name}" for name, home in _NN.items()}
LAYER_PATHS["nn.modules.utils"] = "compat.private"
_FAMILIES = "bernoulli beta categorical gumbel multivariate_normal normal relaxed_categorical"
_TRANSFORMED = "independent log_normal transformed_distribution"
_OPTIMIZERS = "adadelta adagrad adam adamax adamw asgd nadam radam rmsprop"

PATHS = {
    **dict.fromkeys(("amp", "amp.autocast_mode", "amp.grad_scaler", "cuda.amp"), "compat.amp"),
    "autograd.variable": "autograd",
    **{k: f"core.device:{k}" for k in ("backends", "backends.cudnn", "backends.mps", "cuda")},
    **dict.fromkeys(("distributed", "distributed.nn", "nn.parallel"), "compat.distributed"),
    "distributions.kl": "distributions.distribution",
    **{f"distributions.{name}": "distributions.families" for name in _FAMILIES.split()},
    **{f"distributions.{name}": "distributions.transforms" for name in _TRANSFORMED.split()},
    "errors": "core.errors",
    "linalg": "functional.linalg",
    "nn._reduction": "compat.private",
    "nn.modules": "compat.modules",
    "nn.utils.convert_parameters": "nn.utils",
    **LAYER_PATHS,
    **{f"nn.modules.{name}": "compat.unsupported" for name in ("conv", "pooling", "rnn")},
    **dict.fromkeys(("jit", "nn.utils.rnn"), "compat.unsupported"),
    **{name: f"compat.unsupported:{name}" for name in ("fft", "sparse")},
    **{f"optim.{name}": "optim" for name in _OPTIMIZERS.split()},
    "torch": "compat.torch",
    "utils.hooks": "nn.hooks",
}
"""The module, or object of a module, for each path below the package."""


class Finder:
    """Finds the modules of `PATHS`, and those below `tinygrad_fc.torch`.

    While `sys.modules["torch"]` is `tinygrad_fc.torch`, modules below `torch` are found, too.
    """

    @staticmethod
    def find_spec(
        name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the spec of a path of PyTorch, None for any other module."""
        del path, target
        alias, below = sys.modules.get(f"{PACKAGE}.torch"), name.removeprefix(f"{PACKAGE}.")
        is_alias = alias is not None and sys.modules.get("torch") is alias
        inner = below.removeprefix("torch.")
        home = PATHS.get(below) if inner == below else inner
        prefixes = ("tinygrad_fc.", "torch.") if is_alias else "tinygrad_fc."
        if home is None or not name.startswith(prefixes):
            return None
        loader: Any = Finder()
        return ModuleSpec(name, loader, origin=f"{PACKAGE}.{home}", is_package=True)

    @staticmethod
    def create_module(spec: ModuleSpec) -> None:
        """Let Python create the module, which `exec_module` replaces."""

    @staticmethod
    def exec_module(module: ModuleType) -> None:
        """Put the module of the package in the place of `module`."""
        spec: Any = module.__spec__
        path, _, name = str(spec.origin).partition(":")
        home = import_module(path)
        sys.modules[spec.name] = attrgetter(name)(home) if name else home


def install() -> None:
    """Let the import statement find PyTorch's paths, before it looks for files."""
    sys.meta_path.insert(0, Finder())
