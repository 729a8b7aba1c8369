"""The table of names in docs/explanation/differences.md: `python docs/surface.py` writes it.

It is read from the package: ops have vjp rules of their own or no gradient, other functions are
composed of them.
"""

from __future__ import annotations

import inspect
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import tinygrad_fc as tg
from tinygrad_fc.compat import unsupported

PAGE = Path(__file__).parent / "explanation" / "differences.md"
START, END = "<!-- names: written by docs/surface.py -->\n", "<!-- end of names -->\n"
SPACES = ("", "Tensor", "nn", "nn.functional", "nn.init", "nn.utils", "linalg", "optim")
SPACES += ("optim.lr_scheduler", "optim.swa_utils", "distributions", "func", "utils.data")
HOMES = tuple(f"tinygrad_fc.functional.{name}" for name in ("linalg", "norms", "products"))
HELPERS = ("tinygrad_fc.core.errors", "tinygrad_fc.functional.arguments", "tinygrad_fc.core.lazy")
WITHOUT_EFFECT = """amp.GradScaler amp.autocast autocast is_autocast_enabled nn.DataParallel
set_num_threads contiguous_format preserve_format backends.cudnn
cuda.empty_cache cuda.synchronize"""
REFUSED = {**unsupported.REASONS, "NumPy has no such dtype. Use float32 or float16": "bfloat16"}


def names(space: str) -> dict[str, Any]:
    """Return the public names of a namespace, and what they are."""
    place = resolve_name(f"tinygrad_fc.{space}") if space else tg
    public = dir(place) if space == "linalg" else getattr(place, "__all__", None) or dir(place)
    values = {name: getattr(place, name) for name in public if not name.startswith("_")}
    return {k: v for k, v in values.items() if callable(v) and is_own(space, v)}


def is_own(space: str, value: Any) -> bool:
    """Return whether a name is one of PyTorch's, and not a helper or a layer that raises."""
    home = getattr(value, "__module__", "")
    if space == "linalg":
        return home.startswith(HOMES)
    return home != unsupported.__name__ and (
        isinstance(value, tg.Op)
        or (home.startswith("tinygrad_fc") and not home.startswith(HELPERS))
    )


def table() -> str:
    """Return the table in Markdown."""
    rows = ["| names of | ops | composed functions | classes |", "|---|---|---|---|"]
    for space in SPACES:
        values = names(space).values()
        ops = sum(isinstance(v, tg.Op) for v in values)
        classes = sum(inspect.isclass(v) for v in values)
        label = f"`torch.{space}`" if space else "`torch`"
        rows.append(f"| {label} | {ops} | {len(values) - ops - classes} | {classes} |")
    rows += ["", "| accepted without effect | |", "|---|---|"]
    rows.append(f"| | {', '.join(f'`{resolved(name)}`' for name in WITHOUT_EFFECT.split())} |")
    rows += ["", "| refused, by an error that says what to do | |", "|---|---|"]
    for reason, refused in REFUSED.items():
        refused_names = ", ".join(f"`{resolved(name)}`" for name in refused.split())
        rows.append(f"| {reason} | {refused_names} |")
    return "\n".join(rows) + "\n"


def resolved(name: str) -> str:
    """Return `name`, which exists in the package."""
    resolve_name(f"tinygrad_fc.{name}")
    return name


if __name__ == "__main__":
    before, _, rest = PAGE.read_text("utf-8").partition(START)
    after = rest.partition(END)[2]
    PAGE.write_text(f"{before}{START}\n{table()}\n{END}{after}", "utf-8")
