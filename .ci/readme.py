"""The description of the package: README.md without pictures and links that need the repository."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface


def portable(text: str) -> str:
    """Return Markdown with the text alone of links to files, and without pictures from files."""
    text = re.sub(r"!\[[^]]*\]\((?!https?:)[^)]*\)\n*", "", text)
    return re.sub(r"\[([^]]*)\]\((?!https?:|#)[^)]*\)", r"\1", text)


class Readme(MetadataHookInterface):  # type: ignore[misc]
    """Sets the field `readme`."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Set the text."""
        text = (Path(self.root) / "README.md").read_text("utf-8")
        metadata["readme"] = {"content-type": "text/markdown", "text": portable(text)}
