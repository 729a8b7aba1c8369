"""The choice between backends, in processes without Numba and with a zipped standard library."""

import os
import re
import subprocess
import sys
import sysconfig
import zipfile
from importlib import util
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_fc as tg
from tinygrad_fc.compiler import CompileError
from tinygrad_fc.compiler.auto import is_native_faster

from .twins import near

ROOT = Path(tg.__file__).parents[1]
STEP = """
import sys
import tinygrad_fc as tg
from tinygrad_fc import nn, optim

tg.manual_seed(0)
model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))
optimizer = optim.SGD(model.parameters(), lr=0.1)

def step(x):
    optimizer.zero_grad()
    loss = (model(x) ** 2).mean()
    loss.backward()
    optimizer.step()
    return loss

x = tg.ones(5, 3)
compiled = tg.compile(step, backend={backend!r})
print([round(compiled(x).item(), 9) for _ in range(3)], len(compiled.sources))
"""
LOSSES = re.compile(r"\[[\d., e-]+\] 1")


def start(backend: str, prelude: str = "") -> subprocess.Popen[str]:
    """Start a process that takes three compiled steps."""
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    return subprocess.Popen(  # noqa: S603  our own script
        [sys.executable, "-c", prelude + STEP.format(backend=backend)],
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def end(process: subprocess.Popen[str]) -> tuple[str, str]:
    """Return what a process has printed, and its messages."""
    out, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert LOSSES.fullmatch(out.strip()), out
    return out.strip(), errors


def test_functions_that_numpy_vectorizes_run_in_numpy():
    """The choice depends on the program alone: on its functions, sizes and dtypes."""
    for shape, dtype, is_native in (
        ((200, 200), "f", False),
        ((2, 2), "f", True),
        ((200, 200), "d", True),
    ):
        compiled = tg.compile(lambda x: (x.sin() * 2).double())
        x = tg.ones(shape, dtype=np.dtype(dtype))
        for _ in range(3):
            near("result", compiled(x).to(x.dtype), x.sin() * 2)
        kernel = compiled._calls[0].kernel
        assert is_native_faster(compiled.programs[0]) is is_native
        assert (kernel.native is kernel._numpy) is (util.find_spec("numba") is None)
        assert kernel.chosen is (kernel.native if is_native else kernel._numpy)


def test_programs_of_long_loops_run_in_numpy():
    for count, is_native in ((30, True), (300, False)):

        @tg.compile
        def step(x: tg.Tensor, count: int = count) -> tg.Tensor:
            for _ in range(count):
                x = tg.tanh(x + 1)
            return x

        step(tg.ones(3))
        assert is_native_faster(step.programs[0]) is is_native


def test_what_native_code_lacks_runs_in_numpy():
    def function(x: Any) -> Any:
        return tg.cumsum(x.sort().values, dim=0)

    compiled = tg.compile(function, backend="auto")
    for k in range(5):
        near("result", compiled(tg.ones(3) * k), function(tg.ones(3) * k))
    if util.find_spec("numba"):
        with pytest.raises(CompileError, match=r'the Numba backend has no .*backend="numpy"'):
            tg.compile(function, backend="numba")(tg.ones(3))


HIDDEN = """
import sys
sys.modules.update(dict.fromkeys(("numba", "llvmlite")))
from importlib import util
find = util.find_spec
util.find_spec = lambda name, *a: None if name.split(".")[0] == "numba" else find(name, *a)
"""


def test_without_numba_auto_is_numpy_and_the_error_says_what_to_install():
    end(start("auto", HIDDEN))
    process = start("numba", HIDDEN)
    _, errors = process.communicate(timeout=120)
    assert process.returncode
    assert re.search(r"CompileError: .*tinygrad-fc\[compile\]", errors, re.DOTALL), errors


def test_a_standard_library_in_a_zip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """As in Pyodide."""
    stdlib, path = Path(sysconfig.get_path("stdlib")), tmp_path / "python.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name in list(sys.stdlib_module_names):
            for file in (stdlib / f"{name}.py", *(stdlib / name).rglob("*.py")):
                if file.exists() and "test" not in file.parts:
                    archive.writestr(str(file.relative_to(stdlib)), file.read_bytes())
    expected, zipped = end(start("numpy"))[0], f"functools.__file__.startswith({str(path)!r})"
    monkeypatch.setenv("PYTHONPATH", str(path))
    assert end(start("numpy", f"import functools\nassert {zipped}\n"))[0] == expected
