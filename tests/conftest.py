"""What every test runs under: Hypothesis's settings, and NumPy that raises instead of warning."""

import os
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import settings

from tinygrad_fc.op import registry

# It is a command, which imports large libraries; doctests would be looked for in it.
collect_ignore = ["gradient_holdout"]

# No deadline: the first example of a test pays for imports, and a shared machine stalls at random.
# 40 examples keep a whole run short; `thorough` keeps the depth.
settings.register_profile("default", deadline=None, print_blob=True, max_examples=40)
# The same examples each time, so that a change is judged by what it changes.
settings.register_profile("ci", settings.get_profile("default"), derandomize=True, database=None)
settings.register_profile("thorough", settings.get_profile("default"), max_examples=2000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


def pytest_configure(config: pytest.Config) -> None:
    """Keep compiled programs with what pytest keeps, not in the user's folder for caches."""
    if getattr(config, "cache", None) is not None:
        os.environ.setdefault("TINYGRAD_FC_CACHE", str(config.cache.mkdir("programs")))


@pytest.fixture
def _table_restored() -> Iterator[None]:
    """The operations that a test adds are gone after it."""
    before = dict(registry)
    yield
    registry.clear()
    registry.update(before)


@pytest.fixture(autouse=True)
def _numpy_raises() -> Iterator[None]:
    """A division by zero or an overflow is an error here; that exp(-800) rounds to 0 is not."""
    with np.errstate(all="raise", under="ignore"):
        yield
