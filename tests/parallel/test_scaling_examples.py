"""The examples that need Dask, in a short form, as the command line runs them."""

import re
import runpy
from collections.abc import Callable
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::ResourceWarning")


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    monkeypatch.syspath_prepend(EXAMPLES)
    monkeypatch.setenv("COLUMNS", "120")

    def run(script: str, *options: str) -> str:
        monkeypatch.setattr("sys.argv", [script, *options])
        runpy.run_path(str(EXAMPLES / script), run_name="__main__")
        return capsys.readouterr().out

    return run


def test_a_worker_stays_within_a_limit_that_the_data_exceed(
    run: Callable[..., str], tmp_path: Path
) -> None:
    pytest.importorskip("zarr", reason="the data are in Zarr's format")
    settings = ("--rows", "61440", "--limit", "470", "--workers", "1", "--folder", str(tmp_path))
    printed = run("out_of_core.py", "--epochs", "1", *settings)
    assert "480 MiB of data, a limit of 470 MiB a worker" in printed
    row = r"│ 1 worker +│ +([\d.]+) │ +[\d.]+ │ +(\d+) │"
    ((error, used),) = re.findall(row, printed)
    assert int(used) < 470
    resumed = run("out_of_core.py", "--epochs", "1", "--resume", *settings)
    assert [e for e, _ in re.findall(row, resumed)] == [error]


def test_a_sweep_shows_errors_beside_results(run: Callable[..., str]) -> None:
    printed = run("sweep.py", "--epochs", "5")
    assert re.search(r"│ 0\.01 +│ +0\.\d+ │ +0 │", printed)
    assert re.search(r"│ 1e\+200 │ +- │ +3 │ +the error is (inf|nan) │", printed)
    assert re.search(r"sweep\.py:\d+: raise FloatingPointError\(", printed)
