"""Every chapter of the course runs, its exercises included."""

from __future__ import annotations

import runpy
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import pytest

CHAPTERS = sorted((Path(__file__).parents[1] / "examples/course").glob("[0-9]*.py"))


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda path: path.stem)
def test_chapter(chapter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    mpl.use("Agg")
    text = chapter.read_text(encoding="utf-8")
    assert text.count('tags=["hide-cell"]') == 2
    assert "Afterwards you can" in text
    runpy.run_path(str(chapter))
    plt.close("all")


def test_there_are_twelve_chapters():
    assert [path.name[:2] for path in CHAPTERS] == [f"{k:02}" for k in range(1, 13)]
