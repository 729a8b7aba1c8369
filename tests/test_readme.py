"""The code, the commands and the map of README.md are correct."""

import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)


def blocks(language: str) -> list[str]:
    return [text for name, text in BLOCKS if name == language]


def run(code: str, folder: Path) -> None:
    script = folder / "readme.py"
    script.write_text(code, encoding="utf-8")
    runpy.run_path(str(script), run_name="__main__")


@pytest.mark.parametrize("code", blocks("python"))
def test_python_blocks_run(code: str, tmp_path: Path) -> None:
    run(code, tmp_path)


def test_the_commands_run_an_example_and_the_tests() -> None:
    main_job, tests = (command.splitlines() for command in blocks("sh"))
    assert [line.split(" && ")[-1] for line in main_job] == ["python examples/cosine.py"]
    assert [line.split(" && ")[-1] for line in tests] == ["pytest"]


def test_every_block_is_python_or_one_of_the_commands() -> None:
    assert {name for name, _ in BLOCKS} == {"python", "sh"}
    assert README.count("```") == 2 * len(BLOCKS)


def test_the_map_lists_existing_paths() -> None:
    paths = re.findall(r"^\| `([^`]+)`", README.partition("## Map")[2], re.MULTILINE)
    assert paths
    for path in paths:
        assert (ROOT / path).exists(), path


def test_the_program_shown_is_the_generated_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    code = blocks("python")
    (k,) = (k for k, text in enumerate(code) if "@tg.compile" in text)
    run(code[k], tmp_path)
    assert capsys.readouterr().out.strip() == code[k + 1].strip()
    for line in re.findall(r"^\| \(.* `(.*)` \|$", README, re.MULTILINE):
        assert line in code[k + 1]
