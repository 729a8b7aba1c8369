"""What comparisons with PyTorch stand on: both compute in float64 unless a test says otherwise."""

from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def _default_float64() -> Iterator[None]:
    torch = pytest.importorskip("torch")
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)
