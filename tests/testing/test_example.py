"""The page that teaches gradient testing: what it prints, and that the bug it finds is one."""

from __future__ import annotations

import runpy
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings

from tinygrad_fc import testing
from tinygrad_fc.testing import GradientError

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = Path(__file__).parents[2] / "examples" / "gradient_testing.py"


settings.register_profile(
    "same inputs", settings.get_profile("default"), derandomize=True, max_examples=20
)


@pytest.fixture(autouse=True)
def _quick() -> Iterator[None]:  # in place of that of all tests of the kit
    """Draw the same inputs each time: how small a failure gets depends on them."""
    name = settings.get_current_profile_name()
    settings.load_profile("same inputs")
    yield
    settings.load_profile(name)


@pytest.mark.usefixtures("_registry_restored")
def test_the_page_runs_and_finds_its_bug(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    failures: list[GradientError] = []

    def recorded(check: Any) -> Any:
        def call(*args: Any, **options: Any) -> Any:
            try:
                return check(*args, **options)
            except GradientError as failure:
                failures.append(failure)
                raise

        return call

    for name in ("check", "check_vjp"):
        monkeypatch.setattr(testing, name, recorded(getattr(testing, name)))
    monkeypatch.setattr("sys.argv", [PAGE.name])
    runpy.run_path(str(PAGE), run_name="__main__")
    printed = capsys.readouterr().out
    assert "in softplus, argument 0 (x), entry (" in printed
    assert "reproduce: check_vjp(softplus, textbook, np.array(" in printed
    assert printed.count(" derivatives compared") >= 4 + (find_spec("torch") is not None)
    assert all(f"\n{k}. " in printed for k in range(1, 6))
    overflow, *others = failures  # at the square root, an error or a warning
    of_torch = [failure for failure in others if failure.kind == "second-order"]
    (x,) = overflow.arrays
    assert x.size <= 3
    assert overflow.kind in {"nonfinite", "float32"}
    assert abs(x).max() > 88  # the largest that float32 takes
    if find_spec("torch") is not None:
        assert bool(of_torch) is not _power_of_torch_is_right()
    for failure in of_torch:
        assert (failure.arrays[1] == 0).any()
        assert max(x.size for x in failure.arrays) <= 3


def _power_of_torch_is_right() -> bool:
    torch = pytest.importorskip("torch")
    a, b = (torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in (1.0, 0.0))
    (first,) = torch.autograd.grad(torch.pow(a, b), a, create_graph=True)
    (mixed,) = torch.autograd.grad(first, b)  # of b a^(b - 1): 1 at (1, 0)
    return float(mixed) == 1


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


def test_the_usual_test_passes() -> None:
    page = runpy.run_path(str(PAGE))
    assert page["usual_test"]() < 1e-8
