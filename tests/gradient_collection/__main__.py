"""Measure the kit: `python -m tests.gradient_collection [--seeds 3] [--only sin] [--hints]`.

Every wrong rule should fail under every seed, and no right one; the exit status is 1 otherwise.
"near points" of `cdist` is the known exception. One seed takes a few minutes on two cores.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from statistics import median
from typing import TYPE_CHECKING

from tinygrad_fc import testing

from . import RIGHT, TENSORS, WRONG
from .measure import checked

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .case import Case, Function
    from .measure import Outcome

    Outcomes = dict[str, list[Outcome]]

LIMIT = 5
"""How many seconds a check may take."""


def arguments() -> argparse.Namespace:
    """Return the arguments of the command line."""
    parser = argparse.ArgumentParser("python -m tests.gradient_collection")
    parser.add_argument("--seeds", type=int, default=1, help="how many, from 0")
    parser.add_argument("--examples", type=int, help="drawn for each check")
    parser.add_argument("--only", default="", help="a part of a name, a class of bugs, or right")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes")
    parser.add_argument("--verbose", action="store_true", help="print the messages")
    parser.add_argument("--hints", action="store_true", help="count hints, which take longer")
    return parser.parse_args()


def chosen(only: str) -> list[Case | Function]:
    """Return the cases of a class of bugs, or those whose name contains `only`."""
    cases: list[Case | Function] = [*WRONG.values(), *RIGHT.values(), *TENSORS.values()]
    named = [c for c in cases if only == (c.bug or "right")]
    return named or [c for c in cases if only in c.name]


def under_seeds(name: str, seeds: int, examples: int | None, *, hints: bool) -> list[Outcome]:
    """Check the case of this name under each seed; a name goes to another process, a case not."""
    if not hints:
        testing.hints.SHARE = testing.run.SHRINKING = 0.0
    case = {**RIGHT, **TENSORS, **WRONG}[name]
    return [checked(case, seed, examples) for seed in range(seeds)]


def measured(cases: Sequence[Case | Function], args: argparse.Namespace) -> Outcomes:
    """Check each case under each seed."""
    outcomes: Outcomes = {}
    names = [case.name for case in cases]
    hints = args.hints or args.verbose
    check = partial(under_seeds, seeds=args.seeds, examples=args.examples, hints=hints)
    with ProcessPoolExecutor(args.jobs) as pool:
        for name, several in zip(names, pool.map(check, names), strict=True):
            outcomes[name] = several
            if args.verbose:
                for one in several:
                    print(f"{name} [{one.kind}]: {one.text}", flush=True)
    return outcomes


def bugs_found(cases: Sequence[Case | Function], outcomes: Outcomes) -> bool:
    """Print a line for each class of bugs; return whether all were found."""
    classes: dict[str, list[Case | Function]] = defaultdict(list)
    for case in cases:
        classes[case.bug or ""].append(case)
    print(f"{'class':20} {'killed':>9}  missed (under so many seeds)")
    total = 0
    for bug, members in classes.items():
        missed = {c.name: sum(not one.failed for one in outcomes[c.name]) for c in members}
        killed = sum(not n for n in missed.values())
        total += killed
        listed = ", ".join(f"{name} ({n})" for name, n in missed.items() if n)
        print(f"{bug:20} {killed:4}/{len(members):4}  {listed}")
    print(f"{'all':20} {total:4}/{len(cases):4}")
    failed = [one for case in cases for one in outcomes[case.name] if one.failed]
    print(f"with a hint: {sum('  hint: ' in one.text for one in failed)}/{len(failed)}")
    return total == len(cases)


def right_spared(cases: Sequence[Case | Function], outcomes: Outcomes) -> bool:
    """Print which right rules failed, and how much was inconclusive; return whether none failed."""
    failed = 0
    compared = inconclusive = 0
    shares = {}
    for case in cases:
        kinds = [one.kind for one in outcomes[case.name] if one.kind is not None]
        failed += bool(kinds)
        if kinds:
            print(f"right, and failed: {case.name} ({', '.join(kinds)})")
        here = [(one.compared, one.inconclusive) for one in outcomes[case.name]]
        compared += sum(a for a, _ in here)
        inconclusive += sum(b for _, b in here)
        shares[case.name] = sum(b for _, b in here) / max(sum(a + b for a, b in here), 1)
    share = inconclusive / max(compared + inconclusive, 1)
    most = sorted(shares.items(), key=lambda pair: -pair[1])[:5]
    listed = ", ".join(f"{name} {100 * part:.0f} %" for name, part in most if part)
    print(f"right functions failed: {failed}/{len(cases)}")
    print(
        f"inconclusive: {100 * share:.1f} % of {compared + inconclusive} derivatives; "
        f"most: {listed or 'none'}"
    )
    return failed == 0


def seconds(outcomes: Outcomes) -> None:
    """Print how long a check takes."""
    times = sorted((one.seconds, name) for name, several in outcomes.items() for one in several)
    middle = median(t for t, _ in times)
    slow = ", ".join(f"{name} {t:.1f}" for t, name in times[-5:][::-1])
    total = sum(t for t, _ in times)
    above = sum(t > LIMIT for t, _ in times)
    print(
        f"seconds a check: {middle:.2f} (median); above {LIMIT}: {above} of {len(times)}; the "
        f"longest: {slow}; all together {total:.0f}"
    )


def main() -> int:
    """Measure and print."""
    args = arguments()
    cases = chosen(args.only)
    if not cases:
        print(f"no case has {args.only!r} in its name")
        return 2
    outcomes = measured(cases, args)
    wrong, right = ([c for c in cases if bool(c.bug) is is_wrong] for is_wrong in (True, False))
    good = not wrong or bugs_found(wrong, outcomes)
    if right:
        good &= right_spared(right, outcomes)
    seconds(outcomes)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
