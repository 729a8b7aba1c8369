"""Data-parallel steps in threads and processes; skipped without Dask."""

import pytest

for name in ("dask", "distributed"):
    pytest.importorskip(name, reason="parallel needs Dask")
