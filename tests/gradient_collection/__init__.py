"""Rules that are right and rules that are wrong, on which the gradient-testing kit is measured.

`RIGHT` holds functions chosen to tempt a checker into a false positive, `TENSORS` such ones of
tensors, and `WRONG` those of `RIGHT` with a single bug in their rule, of the kind that `Case.bug`
names: most are changes of right rules (`wrong_changed`), the others written by hand. `TWINS` are
bugs of public projects and right functions like them. `python -m tests.gradient_collection` prints
what the kit finds.
"""

from . import right, wrong, wrong_changed  # noqa: F401  # each adds its rows to the tables
from .case import RIGHT, WRONG
from .projects import TWINS
from .right_tensors import TENSORS

__all__ = ["RIGHT", "TENSORS", "TWINS", "WRONG"]
