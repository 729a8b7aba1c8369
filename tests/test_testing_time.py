"""How long a check takes of what is slow."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

from tinygrad_fc.testing import GradientError, check_vjp, real, search


def _slow(x: Any) -> Any:
    until = time.process_time() + 0.0005
    while time.process_time() < until:
        pass
    return np.sin(x)


@pytest.mark.parametrize("wrong", [False, True])
def test_a_slow_function_takes_no_longer_than_its_time(
    wrong: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "SLOPES", 0.2)
    monkeypatch.setattr(search, "SECONDS", 0.3)

    def vjp(g: Any, _out: Any, x: Any) -> Any:
        return g * np.cos(x) * (1 + wrong)

    started = time.process_time()
    if wrong:
        with pytest.raises(GradientError):
            check_vjp(_slow, vjp, real)
    else:
        report = check_vjp(_slow, vjp, real)
        assert 50 < report.left_out < report.examples + report.left_out
        assert f"At {report.left_out} no slope was measured, since the function" in str(report)
    assert time.process_time() - started < 4  # of which the most is one example, begun in time
    monkeypatch.undo()
    assert check_vjp(np.sin, lambda g, out, x: g * np.cos(x), real).left_out == 0
