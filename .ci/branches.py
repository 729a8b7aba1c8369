"""Print which part of the package's branches the tests ran; fail if it is less than 95 %.

pytest --cov --cov-report= && python .ci/branches.py

A branch is a jump from a line with a condition to one of the lines that may follow.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from coverage import Coverage

LIMIT = 0.95


def part(summary: dict[str, Any]) -> float:
    """Return the part of branches that ran: of a file, or of all."""
    return float(summary["covered_branches"] / (summary["num_branches"] or 1))


def main() -> None:
    """Print the files below the limit, the worst first, and the package."""
    coverage = Coverage()
    coverage.load()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "coverage.json"
        coverage.json_report(outfile=str(path))
        report = json.loads(path.read_text("utf-8"))
    files = {name: f["summary"] for name, f in report["files"].items()}
    below = {name: s for name, s in files.items() if s["num_branches"] and part(s) < LIMIT}
    for name, s in sorted(below.items(), key=lambda item: part(item[1])):
        missing = [f"{a}->{b}" for a, b in report["files"][name]["missing_branches"]]
        print(f"{part(s):6.1%} {name}  {' '.join(missing[:8])}")
    totals = report["totals"]
    print(f"{part(totals):6.1%} of {totals['num_branches']} branches of the package ran")
    if part(totals) < LIMIT:
        sys.exit(f"expected at least {LIMIT:.0%}")


if __name__ == "__main__":
    main()
