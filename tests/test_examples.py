"""Every example runs from the command line, with few epochs."""

import re
import runpy
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread
from sklearn.datasets import load_diabetes

import tinygrad_fc as tg

EXAMPLES = Path(__file__).parents[1] / "examples"


class Run:
    """Runs an example in this process, by path, and returns its output."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.monkeypatch = monkeypatch
        self.capsys = capsys

    def __call__(self, script: str, *options: str) -> str:
        self.monkeypatch.setattr("sys.argv", [script, *options])
        runpy.run_path(str(EXAMPLES / script), run_name="__main__")
        return self.capsys.readouterr().out

    def error(self, script: str, *options: str) -> str:
        with pytest.raises(SystemExit) as stop:
            self(script, *options)
        assert stop.value.code == 2
        return self.capsys.readouterr().err


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    monkeypatch.syspath_prepend(EXAMPLES)  # as for `python examples/cosine.py`
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    return Run(monkeypatch, capsys)


def value(printed: str, row: str) -> float:
    """Return the number in the row of the table whose name begins with `row`."""
    (number,) = re.findall(rf"│ {re.escape(row)}[^│]*│ +([\d.e+-]+)", printed)
    return float(number)


def without_seconds(printed: str) -> str:
    return "\n".join(line for line in printed.splitlines() if "│" in line and "seconds" not in line)


def is_drawn(path: Path) -> bool:
    """Return whether the picture at `path` has more than one colour."""
    return bool(imread(path).std() > 0)


def test_cosine_reaches_the_error_of_the_document(run: Run) -> None:
    printed = run("cosine.py", "--no-plot")
    assert value(printed, "train error") <= 0.0095
    assert value(printed, "test error") > value(printed, "train error")


@pytest.mark.parametrize(
    ("target", "engine"), [("cos", "handderived"), ("sin", "autograd"), ("tan", "handderived")]
)
def test_cosine_gradients_equal_those_derived_by_hand(run: Run, target: str, engine: str) -> None:
    printed = run("cosine.py", "--epochs", "3", "--target", target, "--engine", engine)
    assert value(printed, "its largest difference") <= 1e-12 * value(printed, "largest gradient")
    assert is_drawn(Path("cosine.png"))


def test_cosine_has_the_same_result_with_both_engines(run: Run) -> None:
    by_autograd, by_hand = (
        run("cosine.py", "--epochs", "5", "--no-plot", "--engine", engine)
        for engine in ("autograd", "handderived")
    )
    for row in ("train error", "test error", "largest gradient"):
        assert value(by_autograd, row) == value(by_hand, row)


def test_digits_reaches_95_percent_on_held_out_images(run: Run) -> None:
    assert value(run("digits.py", "--no-plot"), "accuracy on 450 held-out images") >= 95


def test_classification_reaches_97_percent_and_stops_early(run: Run) -> None:
    printed = run("classification.py", "--no-plot")
    assert value(printed, "accuracy on 450 held-out images") >= 97.5
    assert value(printed, "epochs") == value(printed, "the best of them") + 20 < 200
    assert value(printed, "learning rate at the end") < 0.003
    saved = tg.load("classification.safetensors")
    validation_losses = [epoch[2] for epoch in saved["epochs"]]
    assert validation_losses.index(min(validation_losses)) + 1 == value(printed, "the best of them")


def test_pictures_are_drawn_and_layers_printed(run: Run) -> None:
    run("cosine.py", "--epochs", "3", "--no-plot", "--history", "history.png")
    assert value(run("digits.py", "--epochs", "2", "--output", "mistakes.png"), "mistakes") > 0
    printed = run("classification.py", "--epochs", "2", "--output", "curves.png")
    assert re.search(r"^  2 +BatchNorm1d +\(64, 128\) +256 +256$", printed, re.MULTILINE)
    assert all(is_drawn(Path(f"{name}.png")) for name in ("history", "mistakes", "curves"))


def test_classification_resumed_from_its_checkpoint_has_the_same_result(run: Run) -> None:
    at_once = run(
        "classification.py", "--no-plot", "--epochs", "4", "--checkpoint", "a.safetensors"
    )
    run("classification.py", "--no-plot", "--epochs", "2")
    resumed = run("classification.py", "--no-plot", "--epochs", "4", "--resume")
    assert without_seconds(resumed) == without_seconds(at_once)
    assert Path("classification.safetensors").read_bytes() == Path("a.safetensors").read_bytes()

    finished = run("classification.py", "--no-plot", "--epochs", "3", "--resume")
    assert without_seconds(finished) == without_seconds(at_once)


def test_regression_is_as_good_as_a_linear_model(run: Run) -> None:
    printed = run("regression.py", "--no-plot")
    (row,) = (line.split() for line in printed.splitlines() if line.startswith("│ R²"))
    network, linear = float(row[-4]), float(row[-2])
    assert network > linear - 0.05
    assert linear > 0.3


def test_regression_draws_and_saves_a_model_that_standardises_measurements(run: Run) -> None:
    run(
        "regression.py", "--epochs", "2", "--output", "learned.png", "--checkpoint", "b.safetensors"
    )
    assert is_drawn(Path("learned.png"))
    saved = tg.load("b.safetensors")
    measurements = load_diabetes(scaled=False).data
    assert np.allclose(saved["measurement_mean"].numpy(), measurements.mean(0), rtol=0.1)
    assert np.allclose(saved["measurement_std"].numpy(), measurements.std(0), rtol=0.2)


def test_either_prints_the_same_numbers_with_both_libraries(run: Run) -> None:
    pytest.importorskip("torch", reason="the other library is PyTorch")
    ours, theirs = (
        re.findall(r"\d+\.\d+", run("either.py", "--library", library, "--seed", "1"))
        for library in ("tinygrad_fc", "torch")
    )
    assert len(ours) == 20 * 3
    np.testing.assert_allclose(np.array(ours, float), np.array(theirs, float), rtol=0, atol=1e-10)


DRAWING = ["cosine.py", "digits.py", "classification.py", "regression.py"]
SEEDED = [*DRAWING, "either.py"]
SAVING = ["classification.py", "regression.py"]


@pytest.mark.parametrize("script", SEEDED)
def test_the_seed_determines_the_result(run: Run, script: str) -> None:
    options = ["--epochs", "2", *(["--no-plot"] if script in DRAWING else [])]
    first, again, other = (without_seconds(run(script, *options, "--seed", seed)) for seed in "112")
    assert first == again
    assert first != other


EPOCHS = "--epochs: expected an integer from 1 to 999999, got"
ERRORS = [
    (SEEDED, "--epochs -5", f"{EPOCHS} '-5'; try "),
    (SEEDED, "--epochs many", f"{EPOCHS} 'many'; try "),
    (SEEDED, "--seed 1.5", "--seed: expected an integer from 0 to 4294967295, got '1.5'; try 1"),
    (DRAWING, "--output pic", "expected a file that ends in .pdf, .png or .svg, got 'pic'"),
    (DRAWING, "--output lost/a.png", "got 'lost/a.png'; make the folder 'lost' first"),
    (DRAWING, "--no-plot --output a.png", "--output: not allowed with argument --no-plot"),
    (SAVING, "--checkpoint a.pt", "--checkpoint: expected a file that ends in .safetensors, got"),
    (SAVING, "--checkpoint lost/a.safetensors", "make the folder 'lost' first"),
    (["either.py"], "--library jax", "--library: invalid choice: 'jax' (choose from "),
    (["cosine.py"], "--target cot", "--target: invalid choice: 'cot' (choose from "),
    (["cosine.py"], "--engine cot", "--engine: invalid choice: 'cot' (choose from "),
]


@pytest.mark.parametrize(("scripts", "options", "message"), ERRORS)
def test_invalid_options_are_errors(run: Run, scripts: list[str], options: str, message: str):
    for script in scripts:
        assert message in run.error(script, *options.split())
        assert not list(Path().iterdir())


def test_the_compiled_program_cites_the_formulas_and_learns_the_curve(run: Run) -> None:
    printed = run("compiled.py", "--epochs", "2000")
    cited = re.findall(r"= .*# \(?(\d+)\)", printed)
    assert cited == ["3", "2", "3", "2", "5", "13", "14", "17", "36", "37", "38"]
    assert value(printed, "error in the last epoch") < 0.05
    assert value(printed, "faster by") > 0
