"""The workflow of hosted runners: what it can run here, `.ci/run` runs; releases are consistent."""

import re
import runpy
import sys
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

import tinygrad_fc

ROOT = Path(__file__).parents[1]
JOBS: dict[str, Any] = yaml.safe_load((ROOT / ".github/workflows/checks.yml").read_text())["jobs"]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
notes = runpy.run_path(str(ROOT / ".ci/release.py"))["release_notes"]


def test_the_local_script_runs_every_job_of_linux():
    """`tests` and `coverage` run README commands; `random` is weekly; `release` needs a tag."""
    script = (ROOT / ".ci/run").read_text()
    loops = "".join(re.findall(r"for job in (.+); do", script))
    run = {*loops.split(), *re.findall(r"run_job (\w+)", script)}
    assert run == JOBS.keys() - {"tests", "coverage", "random", "release"}
    assert JOBS["coverage"]["steps"][-1]["run"] in script
    commands = [step["run"] for step in JOBS["tests"]["steps"] if "run" in step]
    readme = " && ".join(commands[-2:])
    assert readme in (ROOT / "README.md").read_text()
    assert set(JOBS["release"]["needs"]) == JOBS.keys() - {"random", "release"}


def test_the_matrix_has_every_python_that_is_allowed():
    matrix = JOBS["tests"]["strategy"]["matrix"]
    assert ">=" + matrix["python"][0] == PROJECT["requires-python"]
    classifiers = {c.rsplit(" ", 1)[-1] for c in PROJECT["classifiers"] if ":: Python :: 3." in c}
    assert classifiers <= set(matrix["python"])
    assert f"supported={matrix['python'][-1]} " in (ROOT / ".ci/run").read_text()
    assert {row["numpy"] for row in matrix["include"]} == {"oldest"}
    assert len(matrix["os"]) == 3


LOG = (
    "# Changelog\n\n## [Unreleased]\n{}\n## [0.2.0] - 2026-01-31\n\n- New\n\n## [0.1.0]\n\n- Old\n"
)


def test_release_notes_are_the_section_of_the_version():
    assert notes("v0.2.0", "0.2.0", LOG.format("")) == "- New"


REFUSED_RELEASES: list[Any] = [
    ("v0.3.0", "0.2.0", "", "the tag is v0.3.0"),
    ("v0.3.0", "0.3.0", "", "no section"),
    ("v0.1.0", "0.1.0", "", "needs a date"),
    ("v0.2.0", "0.2.0", "\n- Newer\n", "under .Unreleased."),
]


@pytest.mark.parametrize(("tag", "version", "unreleased", "message"), REFUSED_RELEASES)
def test_a_release_is_refused(tag: str, version: str, unreleased: str, message: str):
    with pytest.raises(SystemExit, match=message):
        notes(tag, version, LOG.format(unreleased))


def test_the_citation_names_the_version_and_the_license():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == tinygrad_fc.__version__
    assert citation["license"] == PROJECT["license"].partition(" AND ")[0]
    assert [a["name"] for a in citation["authors"]] == [a["name"] for a in PROJECT["authors"]]


def test_the_description_of_the_package_links_to_no_file(monkeypatch: pytest.MonkeyPatch):
    plugin = ModuleType("hatchling.metadata.plugin.interface")
    plugin.MetadataHookInterface = object  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, plugin.__name__, plugin)
    portable = runpy.run_path(str(ROOT / ".ci/readme.py"))["portable"]
    text = "![a\nb](docs/a.png)\n\n[The\ncourse](docs), [site](https://a.org/b), [up](#up)"
    assert portable(text) == "The\ncourse, [site](https://a.org/b), [up](#up)"
    description = portable((ROOT / "README.md").read_text("utf-8"))
    assert all(link.startswith("http") for link in re.findall(r"\]\(([^)]*)\)", description))


def test_the_wheel_has_the_text_of_every_licence():
    texts = [(ROOT / name).read_text("utf-8") for name in PROJECT["license-files"]]
    assert PROJECT["license"] == "MIT AND OFL-1.1"
    assert "MIT License" in texts[0]
    assert "SIL OPEN FONT LICENSE" in texts[1]
    assert {ROOT / n for n in PROJECT["license-files"]} >= {*ROOT.glob("tinygrad_fc/**/*.LICENSE")}
