"""`Compiled.export`: a forward pass that runs where this package cannot be imported."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_fc as tg
from tinygrad_fc import nn
from tinygrad_fc.compiler import CompileError
from tinygrad_fc.nn import functional as F
from tinygrad_fc.ops import special

RUN = """
import sys
sys.modules["tinygrad_fc"] = None
import numpy as np
from {name} import {name} as function
with np.load("inputs.npz") as file:
    calls = [[file[f"{{k}}_{{j}}"] for j in range({arguments})] for k in range({calls})]
results = [function(*args) for args in calls]
np.savez("results.npz", *[part for r in results for part in (r if type(r) is tuple else (r,))])
assert not any(name.startswith("tinygrad_fc.") for name in sys.modules)
"""


def run_alone(path: Path, calls: list[Any]) -> list[Any]:
    """Call an exported function in a process without this package; return its arrays."""
    arrays = {f"{k}_{j}": x.numpy() for k, args in enumerate(calls) for j, x in enumerate(args)}
    np.savez(path.parent / "inputs.npz", **arrays)
    source = RUN.format(name=path.stem, arguments=len(calls[0]), calls=len(calls))
    numpy = str(Path(np.__file__).parent.parent)
    subprocess.run(  # noqa: S603  this interpreter
        [sys.executable, "-c", source],
        cwd=path.parent,
        env={**os.environ, "PYTHONPATH": numpy},
        check=True,
    )
    with np.load(path.parent / "results.npz") as file:
        return [file[key] for key in file.files]


class Attention(nn.Module):
    """Softmax, layer norm, a large constant and the error function."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.qkv = nn.LayerNorm(8), nn.Linear(8, 24)
        self.register_buffer("mask", tg.tril(tg.ones(6, 6)))

    def forward(self, x: Any) -> Any:
        q, k, v = self.qkv(self.norm(x)).chunk(3, dim=-1)
        scores = (q @ k.transpose(-2, -1) / 8**0.5).masked_fill(self.mask == 0, -tg.inf)
        return F.gelu(scores.softmax(-1) @ v), scores.sum()


MODELS: dict[str, Any] = {
    "multilayer perceptron": lambda: nn.Sequential(
        nn.Linear(8, 16), nn.BatchNorm1d(16), nn.SiLU(), nn.Dropout(), nn.Linear(16, 3)
    ),
    "float32": lambda: nn.Sequential(nn.Linear(8, 5), nn.GELU(), nn.LogSoftmax(-1)).float(),
    "attention": Attention,
}


@pytest.mark.parametrize("name", MODELS)
def test_an_exported_module_runs_alone(name: str, tmp_path: Path):
    net = MODELS[name]().eval()
    model = tg.compile(net, backend="numpy")
    dtype = next(net.parameters()).dtype
    shapes = [(6, 8)] if name == "attention" else [(5, 8), (1, 8)]
    calls = [[tg.rand(*shape, dtype=dtype)] for shape in shapes]
    with tg.no_grad():
        for args in calls:
            model(*args)
        path = model.compiled.export(tmp_path / "service")
        expected = [model(*args) for args in calls]
    expected = [x for r in expected for x in (r if type(r) is tuple else (r,))]
    assert path == tmp_path / "service" / f"{type(net).__name__}.py"
    for actual, x in zip(run_alone(path, calls), expected, strict=True):
        tolerance = 1e-6 if dtype == tg.float32 else 1e-14
        assert actual.dtype == x.dtype
        np.testing.assert_allclose(actual, x.numpy(), rtol=tolerance, atol=tolerance)


def exported(function: Any, folder: Path, *args: Any) -> Any:
    """Return the exported function of a compiled one, after a call."""
    compiled = tg.compile(function, backend="numpy")
    compiled(*args)
    scope: dict[str, Any] = {"__file__": str(compiled.export(folder))}
    exec(Path(scope["__file__"]).read_text(encoding="utf-8"), scope)  # noqa: S102
    return scope[function.__name__]


def test_structures_arguments_and_branches(tmp_path: Path):
    table = np.arange(500.0)

    def lookup(batch: Any, factor: int, x: Any) -> Any:
        return {"y": [x * factor, 3], "z": (tg.from_numpy(table)[batch["i"]],)}

    function = exported(lookup, tmp_path, {"i": tg.tensor([4, 2])}, 2, tg.ones(3))
    result = function([7, 0], [1.0, 2.0, 3.0])
    assert (result["y"][0].tolist(), result["y"][1]) == ([2, 4, 6], 3)
    assert result["z"][0].tolist() == [7, 0]
    with pytest.raises(ValueError, match=r"lookup got .*Exported are"):
        function([7], [1.0, 2.0, 3.0])


STATE, HALF = tg.zeros(2), tg.full((2,), 0.5)
REFUSED: dict[str, tuple[Any, ...]] = {
    "changes STATE": (lambda x: STATE.add_(x) * 1.0, HALF),
    "reads rng": (lambda x: x + tg.rand(2), HALF),
    "calls ndtri, which NumPy alone does not have": (lambda x: special.ndtri(x) * 1.0, HALF),
    "returns what it does not compute": (lambda x: (x, x * 1.0), HALF),
    "<lambda> has no program of arrays": (lambda: tg.ones(2),),
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_cannot_be_exported_is_named(message: str, tmp_path: Path):
    function, *args = REFUSED[message]
    with pytest.raises(CompileError, match=f"export: .*{message}"):
        exported(function, tmp_path, *args)
    assert not list(tmp_path.iterdir())
