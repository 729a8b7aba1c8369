"""Run the kit on functions it was not tuned on: `python -m tests.gradient_holdout [--only tanh]`.

Prints each failure with its kind; the exit status is 1 where one is not among the confirmed losses.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from functools import partial
from typing import TYPE_CHECKING

from tests.gradient_collection.measure import outcome

from . import HOLDOUT, MISSING
from .wrong import missed

if TYPE_CHECKING:
    from collections.abc import Iterator

try:
    from .confirmed import CONFIRMED, confirmations
except ModuleNotFoundError as error:
    if error.name != "torch":
        raise
    CONFIRMED = {}

    def confirmations() -> Iterator[str]:
        """Yield nothing: there is nothing to compute with."""
        return iter(())


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser("python -m tests.gradient_holdout")
    parser.add_argument("--only", default="", help="a part of a name")
    parser.add_argument("--exact", action="store_true", help="the whole name")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--examples", type=int, help="drawn for each check")
    parser.add_argument("--confirm", action="store_true", help="compute the known losses again")
    parser.add_argument("--wrong", action="store_true", help="check wrong rules instead")
    parser.add_argument("--verbose", action="store_true", help="print what passes, too")
    return parser.parse_args()


def main() -> int:
    """Run and print."""
    args = arguments()
    warnings.simplefilter("ignore")
    if args.wrong:
        lost, line = missed(args.only, args.seed)
        print(*(f"missed: {name}" for name in lost), line, sep="\n")
        return bool(lost)
    if args.confirm:
        for line in confirmations():
            print(line)
        return 0
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)  # small arrays: threads only wait for each other
    for missing in MISSING:
        print(f"left out: {missing}")
    chosen = {
        name: entry
        for name, entry in HOLDOUT.items()
        if (name == args.only if args.exact else args.only in name)
    }
    failed, known, total, compared, inconclusive = 0, 0, 0.0, 0, 0
    for name, entry in chosen.items():
        one = outcome(partial(entry.check, args.examples, args.seed))
        total += one.seconds
        compared += one.compared
        inconclusive += one.inconclusive
        if one.kind is None:
            if args.verbose:
                print(f"{name}: {one.text} ({one.seconds:.1f} s)", flush=True)
            continue
        proven = name in CONFIRMED and one.kind in CONFIRMED[name].kinds.split()
        known += proven
        failed += not proven
        verdict = "a confirmed loss" if proven else "FAILED"
        print(f"{name}: {verdict} [{one.kind}] ({one.seconds:.1f} s)\n{one.text}\n", flush=True)
    share = inconclusive / max(compared + inconclusive, 1)
    print(
        f"{len(chosen)} functions: {failed} failed, {known} with a confirmed loss; "
        f"{compared} derivatives compared, {100 * share:.1f} % inconclusive; {total:.0f} s"
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
