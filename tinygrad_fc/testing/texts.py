"""What several texts have in common: counts, exceptions as they are told, what to do about them."""

from __future__ import annotations

import re

MISTAKES = {
    *("AttributeError", "NameError", "UnboundLocalError", "ImportError", "ModuleNotFoundError"),
    *("TypeError", "KeyError", "NotImplementedError", "NoRuleError"),
}
"""What is raised, if at all inputs, by a function that is wrong, or of something else."""
SHAPES = "give domains shapes that it takes (sig=, or real('n', 3)), or a condition (where=)"
TYPES = (
    'both float64 and float32 are drawn: dtypes="float32", or "float64", draws the one type that '
    "its own numbers have"
)
INDICES = (
    'index("n") draws indices of an axis "n" that another argument has, as real("batch", "n") does;'
    ' index("n", negative=False) draws none that count from the end'
)
_DOUBLE = re.compile(r"\b(?:double|float64)\b", re.IGNORECASE)
_SINGLE = re.compile(r"\b(?:float|float32)\b", re.IGNORECASE)
_INDEX = re.compile(r"^IndexError|\b(?:index|indices|row numbers|rows numbered|Long)\b")
_AXES = re.compile(r"dimension|(?:tuple|list) index out of range", re.IGNORECASE)
"""What is said of an array of too few axes, in the words for indices."""


def counted(many: int, thing: str) -> str:
    """Return how many things there are, in words that fit the number."""
    return f"{many} {thing}{'s' * (many != 1)}"


def said(error: BaseException) -> str:
    """Return what an exception says, as a part of a longer sentence: the first line of it."""
    first = str(error).strip().partition("\n")[0].rstrip()
    if not first.endswith(".."):
        first = first.removesuffix(".")
    name = type(error).__name__
    return f"{name}: {first}" if first else name


def between(middle: float, bound: float) -> str:
    """Return the two slopes at a kink, of which one is often 0, and rounding makes it nearly so."""
    sides = (middle - bound, middle + bound)
    low, high = (0.0 if abs(side) < 1e-3 * bound else side for side in sides)
    return f"between {low:.3g} and {high:.3g}"


def of_types(refusal: str) -> bool:
    """Tell whether what was raised is that float32 and float64 meet, in any library's words."""
    return bool(_DOUBLE.search(refusal) and _SINGLE.search(refusal))


def advice(refusal: str, *, always: bool) -> str:
    """Return what to do about what a function raised, `always` or at many of the drawn inputs."""
    if of_types(refusal):
        return TYPES
    if _INDEX.search(refusal) and not _AXES.search(refusal):
        return INDICES
    if always and refusal.partition(":")[0] in MISTAKES:
        return "that is for the function to mend, no domain changes it"
    return SHAPES
