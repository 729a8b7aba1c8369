"""Print the commands of a job of .github/workflows/checks.yml, each followed by a NUL character.

python .ci/commands.py lint

Steps with a condition prepare a hosted runner, and are left out.
"""

from __future__ import annotations

import sys
from pathlib import Path

import yaml

WORKFLOW = Path(__file__).parents[1] / ".github" / "workflows" / "checks.yml"


def commands(job: str) -> list[str]:
    """Return the commands of `job`, in order."""
    steps = yaml.safe_load(WORKFLOW.read_text("utf-8"))["jobs"][job]["steps"]
    return [step["run"] for step in steps if "run" in step and "if" not in step]


if __name__ == "__main__":
    sys.stdout.write("".join(f"{command}\0" for command in commands(sys.argv[1])))
