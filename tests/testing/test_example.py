"""The page that teaches gradient testing: what it prints, and that the bug it finds is one."""

import re
import runpy
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from tinygrad_fc import testing

PAGE = Path(__file__).parents[2] / "examples" / "gradient_testing.py"

settings.register_profile("few inputs", settings.get_profile("ci"), max_examples=26)


@pytest.fixture(autouse=True)
def _quick(_same_inputs: None) -> None:
    """Check the first 13 inputs, of which the last is large, and as many drawn ones."""
    settings.load_profile("few inputs")


@pytest.mark.usefixtures("_registry_restored")
def test_the_page_runs_and_finds_its_bug(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    failures: list[testing.GradientError] = []

    def recorded(check: Any) -> Any:
        def call(*args: Any, **options: Any) -> Any:
            try:
                return check(*args, **options)
            except testing.GradientError as failure:
                failures.append(failure)
                raise

        return call

    for name in ("check", "check_vjp"):
        monkeypatch.setattr(testing, name, recorded(getattr(testing, name)))
    monkeypatch.setattr("sys.argv", [PAGE.name])
    runpy.run_path(str(PAGE), run_name="__main__")
    printed = capsys.readouterr().out
    (usual,) = re.findall(r"(\S+), within every tolerance", printed)
    assert float(usual) < 1e-8
    assert "in softplus, argument 0 (x), entry (" in printed
    assert "reproduce: the same check with seed=0 finds it again" in printed  # a long array
    assert printed.count(" derivatives compared") >= 4 + (find_spec("torch") is not None)
    assert all(f"\n{k}. " in printed for k in range(1, 6))
    overflow, *others = failures  # at the square root, an error or a warning
    (x,) = overflow.arrays
    assert overflow.kind in {"nonfinite", "float32"}
    assert abs(x).max() > 88  # the largest that float32 takes
    for failure in others:
        if failure.kind == "second-order":  # of the power in PyTorch, until it is mended
            assert (failure.arrays[1] == 0).any()


@pytest.mark.usefixtures("_registry_restored")
def test_the_page_runs_without_torch_and_scipy(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    page = runpy.run_path(str(PAGE))
    for part in ("check_a_row_of_scipy", "find_a_bug_in_torch"):
        monkeypatch.setitem(page[part].__globals__, "find_spec", lambda _: None)
        assert page[part]() is None
    printed = capsys.readouterr().out
    assert "SciPy is not installed: its function is left out" in printed
    assert "PyTorch is not installed: its functions are left out" in printed
