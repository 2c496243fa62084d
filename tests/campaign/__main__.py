"""`python -m tests.campaign [PROOF ...]`: run, keep and report the long proofs. Without names: all of them."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tests.campaign import results
from tests.campaign.proof import PROOFS, ROOT
from tests.campaign.report import failures, into_readme, table
from tests.campaign.running import Form, run


def say(line: str) -> None:
    """Progress, seen at once."""
    print(line, flush=True)


def main() -> int:
    """0 when nothing failed, 1 when something did."""
    parser = argparse.ArgumentParser(prog="python -m tests.campaign", description=__doc__)
    parser.add_argument("proofs", nargs="*", metavar="PROOF", help=", ".join(PROOFS))
    parser.add_argument(
        "--out", type=Path, default=ROOT / ".campaign", help="where results come to (%(default)s)"
    )
    parser.add_argument("--jobs", type=int, default=2, help="trials at once (%(default)s)")
    parser.add_argument("--budget-s", type=float, default=600.0, help="no trial starts later (%(default)s s)")
    parser.add_argument("--case", default="", help="only cases whose names have these words")
    parser.add_argument("--short", action="store_true", help="the short bars")
    parser.add_argument("--keep", action="store_true", help="only pack results into tests/campaign/kept/")
    parser.add_argument(
        "--report", action="store_true", help="only print the table, and put it into safety/README.md"
    )
    parser.add_argument(
        "--failures", action="store_true", help="only print what failed, and what is void, and why"
    )
    arguments = parser.parse_args()
    names = arguments.proofs or list(PROOFS)
    if unknown := [name for name in names if name not in PROOFS]:
        parser.error(f"found {', '.join(unknown)}, expected of {', '.join(PROOFS)}")
    if arguments.keep:
        for name in names:
            print(f"{name}: {results.keep(arguments.out, name)} results kept")
    if arguments.report:
        text = table(names, arguments.out)
        print(text)
        if not arguments.proofs:
            into_readme(text)
    if arguments.failures:
        for line in failures(names, arguments.out):
            print(line)
    if arguments.keep or arguments.report or arguments.failures:
        return 0
    form: Form = "short" if arguments.short else "long"
    budget_s = arguments.budget_s
    fine = run(
        names, form, arguments.out, jobs=arguments.jobs, budget_s=budget_s, say=say, only=arguments.case
    )
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
