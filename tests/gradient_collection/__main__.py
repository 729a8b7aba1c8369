"""Measure the kit: `python -m tests.gradient_collection [--seeds 3] [--only sin]`.

Every wrong rule should fail under every seed, and no right one; the exit status is 1 otherwise.
"near points" of `cdist` is the known exception, under some seeds. `--only project` are the bugs
of public projects. One seed takes some minutes on two cores.
"""

import argparse
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from statistics import median
from typing import Any

from tinygrad_fc import testing

from . import RIGHT, TENSORS, TWINS, WRONG
from .case import Outcome, checked

Outcomes = dict[str, list[Outcome]]
CASES: dict[str, Any] = {**WRONG, **RIGHT, **TENSORS, **TWINS}
LIMIT = 20
"""How many seconds a check may take; functions of PyTorch and modules take the longest."""


def arguments() -> argparse.Namespace:
    """Return the arguments of the command line."""
    parser = argparse.ArgumentParser("python -m tests.gradient_collection")
    parser.add_argument("--seeds", type=int, default=1, help="how many")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--only", default="", help="a part of a name, a class of bugs, or right")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes")
    parser.add_argument("--verbose", action="store_true", help="print the messages, with hints")
    return parser.parse_args()


def chosen(only: str) -> list[Any]:
    """Return the cases of a class of bugs, or those whose name contains `only`."""
    named = [c for c in CASES.values() if only == (c.bug or "right")]
    return named or [c for c in CASES.values() if only in c.name] or sys.exit(f"no case {only!r}")


def under_seeds(name: str, seeds: range, *, hints: bool) -> list[Outcome]:
    """Check the case of this name under each seed; a name goes to another process, a case not."""
    if not hints:
        testing.hints.OTHERS = testing.run.SHRINKS = 0
    return [checked(CASES[name], seed) for seed in seeds]


def bugs_found(wrong: list[Any], outcomes: Outcomes) -> bool:
    """Print what was found of each class of bugs; return whether all were found."""
    missed = {c.name: sum(not one.failed for one in outcomes[c.name]) for c in wrong}
    for bug in dict.fromkeys(c.bug for c in wrong):
        names = [c.name for c in wrong if c.bug == bug]
        listed = ", ".join(f"{name} ({missed[name]} seeds)" for name in names if missed[name])
        found = sum(not missed[name] for name in names)
        print(f"{bug:20} {found:4}/{len(names):4}  {listed and f'missed: {listed}'}")
    print(f"{'all':20} {sum(not n for n in missed.values()):4}/{len(wrong):4}")
    return not any(missed.values())


def right_pass(right: list[Any], outcomes: Outcomes) -> bool:
    """Print which right rules failed, and how much was inconclusive; return whether none failed."""
    failed = [c.name for c in right if any(one.kind for one in outcomes[c.name])]
    for name in failed:
        print(f"right, and failed: {name}", *(one.kind for one in outcomes[name]))
    every = [one for c in right for one in outcomes[c.name]]
    inconclusive = sum(one.inconclusive for one in every)
    total = sum(one.compared for one in every) + inconclusive
    print(f"right functions failed: {len(failed)}/{len(right)}")
    print(f"inconclusive: {100 * inconclusive / max(total, 1):.1f} % of {total} derivatives")
    return not failed


def main() -> int:
    """Measure and print."""
    args = arguments()
    cases = chosen(args.only)
    seeds = range(args.first, args.first + args.seeds)
    check = partial(under_seeds, seeds=seeds, hints=args.verbose)
    with ProcessPoolExecutor(args.jobs) as pool:
        names = [c.name for c in cases]
        outcomes = dict(zip(names, pool.map(check, names), strict=True))
    if args.verbose:
        for name, several in outcomes.items():
            print(*(f"{name} [{one.kind}]: {one.text}" for one in several), sep="\n")
    wrong, right = ([c for c in cases if bool(c.bug) is is_wrong] for is_wrong in (True, False))
    good = [not wrong or bugs_found(wrong, outcomes), not right or right_pass(right, outcomes)]
    times = sorted((one.seconds, name) for name, several in outcomes.items() for one in several)
    print(f"seconds a check: {median(t for t, _ in times):.2f} (median), longest {times[-3:]}")
    return int(not all(good) or times[-1][0] > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
