"""Functions of PyTorch, SciPy and NumPy that the gradient-testing kit was not tuned on.

`HOLDOUT` holds them. What fails is either a loss of accuracy in the library, which `confirmed`
then lists with a proof, or a false alarm of the kit. `python -m tests.gradient_holdout` runs them
once. Libraries that are not installed are left out.
"""

from importlib import import_module

from .entry import HOLDOUT, Entry

MISSING: list[str] = []
"""What could not be imported."""


def _filled() -> None:
    """Add the functions of the libraries that are there."""
    for name in (
        "torch_curves",
        "torch_pairs",
        "torch_rows",
        "torch_matrices",
        "scipy_curves",
        "scipy_rows",
    ):
        try:
            import_module(f".{name}", __name__)
        except ModuleNotFoundError as error:
            if error.name not in {"torch", "scipy"}:
                raise
            MISSING.append(f"{name}: {error}")


_filled()

__all__ = ["HOLDOUT", "MISSING", "Entry"]
