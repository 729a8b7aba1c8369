"""Tests of the kit spend no time on hints and on making failures small."""

from collections.abc import Iterator

import pytest
from hypothesis import settings


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tinygrad_fc.testing.hints.OTHERS", 0)
    monkeypatch.setattr("tinygrad_fc.testing.run.SHRINKS", 0)


@pytest.fixture
def _same_inputs() -> Iterator[None]:
    """Draw the same inputs each time, as many as CI does."""
    name = settings.get_current_profile_name()
    settings.load_profile("ci")
    yield
    settings.load_profile(name)
