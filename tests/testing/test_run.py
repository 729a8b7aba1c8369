"""What pytest shows of a check that fails: the user's lines and the message, none of the kit's."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_fc as tg
from tinygrad_fc.testing import check, check_derivatives, check_vjp, real

KIT = (Path(tg.__file__).parent / "testing", Path(tg.__file__).with_name("domain.py"))
PLACE = np.array([1.0, 2.0])


def _cut(x: Any) -> Any:
    return x * x.detach()


def _asserts(x: Any) -> Any:
    assert x.ndim < 2
    return x


def _op() -> Any:
    rule = lambda g, out, x: g * 2 * x**2  # noqa: E731
    return check(tg.op(lambda x: x**3, name="cube", domain=(real,), rules=(rule,)), **FEW)


FEW: Any = {"max_examples": 8}
FAILING = {
    "wrong": lambda: check(_cut, real, **FEW),
    "wrong at": lambda: check(_cut, PLACE),
    "raises": lambda: check(lambda x: x.nothing, real, **FEW),
    "rule raises": lambda: check_vjp(np.sin, lambda g, out, x: x.nothing, PLACE),
    "decorated": check_derivatives(real, **FEW)(_cut),
    "assertion": check_derivatives(real, **FEW)(_asserts),
    "op": _op,
    "no option": lambda: check(_cut, real, acuracy=1),
    "no domain": lambda: check(_cut, "a"),
    "axis": lambda: real("n n"),
    "parameters": check_derivatives(real, **FEW)(lambda x, y: x),
}


def _shown(error: BaseException) -> list[Path]:
    """Return the files of the frames that pytest shows, of the causes too."""
    caught = pytest.ExceptionInfo.from_exception(error)
    shown = [Path(entry.path) for entry in caught.traceback.filter(caught)]
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return shown + _shown(cause) if cause is not None and cause.__traceback__ else shown


@pytest.mark.usefixtures("_registry_restored")
@pytest.mark.parametrize("name", FAILING)
def test_the_kits_own_frames_are_hidden(name: str) -> None:
    with pytest.raises(Exception, match=r"\w") as caught:
        FAILING[name]()
    shown = _shown(caught.value)
    assert Path(__file__) in shown
    assert not [path for path in shown if {path, *path.parents}.intersection(KIT)]
