"""Tests of the kit spend no time on hints and little on making failures small."""

import pytest


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tinygrad_fc.testing.hints.SHARE", 0)
    monkeypatch.setattr("tinygrad_fc.testing.run.SHRINKING", 0.02)
