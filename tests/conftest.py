"""Settings of all tests: profiles of Hypothesis, and floating-point errors of NumPy."""

import gc
import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import settings

from tinygrad_fc import set_default_dtype
from tinygrad_fc.core.op import registry

# No deadline: the first example of a test pays for imports, and a shared machine stalls at random.
# 15 examples keep a whole run short; `ci` draws 40. They are the same each time, so that a failure
# is the fault of a change; new ones are drawn by `fresh`, and fifty times as many by `thorough`.
settings.register_profile(
    "fresh", settings.get_profile("default"), deadline=None, print_blob=True, max_examples=40
)
settings.register_profile("thorough", settings.get_profile("fresh"), max_examples=2000)
settings.register_profile(
    "ci", settings.get_profile("fresh"), derandomize=True, database=None, print_blob=False
)
settings.register_profile("default", settings.get_profile("ci"), max_examples=15)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


def pytest_configure(config: pytest.Config) -> None:
    """Store compiled programs in the cache of pytest, not in that of the user."""
    if getattr(config, "cache", None) is not None:
        os.environ.setdefault("TINYGRAD_FC_CACHE", str(config.cache.mkdir("programs")))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[Any]:
    """Restore the settings of a test: Hypothesis nests them once more for each parameter.

    Without a database it reads them by recursion, which ends at some nine hundred parameters.
    """
    name = "_hypothesis_internal_use_settings"
    attributes = vars(getattr(item, "function", item))
    before = attributes.get(name)
    result = yield
    if before is not None:
        attributes[name] = before
    return result


@pytest.fixture
def _registry_restored() -> Iterator[None]:
    """Remove the ops that a test registers."""
    before = dict(registry)
    yield
    registry.clear()
    registry.update(before)


@pytest.fixture
def _by_reference_count() -> Iterator[None]:
    """Turn the garbage collector off, so that only reference counts free objects."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.fixture(autouse=True)
def _numpy_raises() -> Iterator[None]:
    """Raise on division by zero and overflow, but not on underflow; restore the default dtype."""
    with np.errstate(all="raise", under="ignore"):
        yield
    set_default_dtype(np.float64)
