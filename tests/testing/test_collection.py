"""What the kit says of the collection: that the right rules are right, and a part of the rest."""

from typing import Any

import numpy as np
import pytest
import scipy.special
from gradient_collection import RIGHT, TENSORS, TWINS, WRONG
from gradient_collection.case import checked

from tinygrad_fc import testing

FIRST = {case.bug: case for case in reversed(WRONG.values())}
FUNCTIONS = [*RIGHT.values(), *list(TENSORS.values())[::8]]
FUNCTIONS += [t for t in TWINS.values() if t.bug is None][::2]


finding = pytest.mark.usefixtures("_same_inputs")

SAYS = {
    "aliasing": "Return a new array from each",
    "dtype": "expected float32",
    "float32": "in float32 is ",
    "kink": "; expected ",
    "layout": "Contiguous arrays of th",
    "mutation": "changes g, the cotangent",
    "nondeterministic": "State is kept between calls",
    "nonfinite": "expected 0 +- ",
    "nonlinear": "The gradient is linear in g",
    "raises": "the gradient raises ",
    "second-order": "the derivative of the gradient is ",
    "shape": "; expected (",
    "value": " by differences",
}


@finding
@pytest.mark.parametrize("case", FIRST.values(), ids=lambda case: case.name)
def test_the_first_of_each_class_is_found_explained_and_reproduced(case: Any) -> None:
    """All of them, under several seeds: `python -m tests.gradient_collection`."""
    outcome = checked(case, seed=0)
    assert outcome.failed, outcome.text
    assert outcome.text.startswith(f"[{outcome.kind}] in ")
    assert SAYS[outcome.kind] in outcome.text
    line = outcome.text.rpartition("reproduce: ")[2]
    if line == "the same check with seed=0 finds it again":  # a long array
        assert checked(case, seed=0).kind == outcome.kind
        return
    known = {f.__name__: f for f in (case.forward, case.vjp)}
    known |= {"f": case.forward, "vjp": case.vjp, "vjp2": case.vjp2, "np": np, "scipy": scipy}
    with pytest.raises(testing.GradientError) as again, np.errstate(all="ignore"):
        eval(line, vars(testing) | known)  # noqa: S307  what the message says to run
    assert again.value.kind == outcome.kind


@finding
@pytest.mark.parametrize("twin", [t for t in TWINS.values() if t.bug], ids=lambda twin: twin.name)
def test_the_kit_finds_bugs_of_public_projects(twin: Any) -> None:
    outcome = checked(twin, seed=0)
    assert outcome.failed, outcome.text


@pytest.mark.parametrize("case", FUNCTIONS, ids=lambda case: case.name)
def test_the_kit_spares_right_rules(case: Any) -> None:
    outcome = checked(case, seed=0, max_examples=8)
    assert outcome.kind is None, outcome.text
    assert outcome.compared, outcome.text
