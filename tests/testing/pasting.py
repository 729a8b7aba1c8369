"""The line that the message of a failure says to run."""

from typing import Any

import numpy as np
import pytest

import tinygrad_fc as tg
from tinygrad_fc import domain, testing
from tinygrad_fc.testing import GradientError


def failure_of(check: Any) -> tuple[GradientError, str]:
    """Return the error of a check that fails, and the line that it says to run."""
    with pytest.raises(GradientError) as caught:
        check()
    return caught.value, str(caught.value).rpartition("reproduce: ")[2]


def pasted(check: Any, *, before: Any = dict, **known: Any) -> tuple[GradientError, str]:
    """Return the same of a check whose line, run with what is `known`, fails as the check did.

    `before` is called before the line is run.
    """
    error, line = failure_of(check)
    before()
    space = {**vars(domain), **vars(testing), "np": np, "tg": tg, **known}
    again, _ = failure_of(lambda: eval(line, space))  # noqa: S307  what the message says to run
    assert again.kind == error.kind, line
    return error, line
