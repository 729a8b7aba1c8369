"""Check that a tag, the version of the package and the changelog agree; print the release notes.

python .ci/release.py v0.1.0
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def release_notes(tag: str, version: str, changelog: str) -> str:
    """Return the section of `changelog` for `tag`; exit with a message if they do not agree."""
    if tag != f"v{version}":
        sys.exit(f"the tag is {tag}, the version in tinygrad_fc/__init__.py {version}")
    sections = re.split(r"^## \[(.+?)\](.*)\n", changelog, flags=re.MULTILINE)
    notes = {name: (date, text) for name, date, text in zip(*[iter(sections[1:])] * 3, strict=True)}
    if version not in notes:
        sys.exit(f"CHANGELOG.md has no section [{version}], expected one: rename [Unreleased]")
    date, text = notes[version]
    if not re.fullmatch(r" - \d{4}-\d\d-\d\d", date) or not text.strip():
        sys.exit(f"the section [{version}] of CHANGELOG.md needs a date (- 2026-01-31) and text")
    if notes.get("Unreleased", ("", ""))[1].strip():
        sys.exit("CHANGELOG.md has changes under [Unreleased], expected none in a release")
    return text.strip()


if __name__ == "__main__":
    source = (ROOT / "tinygrad_fc" / "__init__.py").read_text("utf-8")
    (found,) = re.findall(r'^__version__ = "(.+)"', source, re.MULTILINE)
    sys.stdout.write(
        release_notes(sys.argv[1], found, (ROOT / "CHANGELOG.md").read_text("utf-8")) + "\n"
    )
