"""`python -m tests.rows [--swaps]`: change one row of the upload's tables at a time, and print which changes survive.

A change survives if no scenario fails, so that nobody would notice it. Ends with 1 if one does.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter

from .mutants import EQUIVALENT, deletions, swaps
from .scenarios import SCENARIOS
from .talk import Table


def main() -> None:
    """Run, print, and exit."""
    parser = argparse.ArgumentParser(prog="python -m tests.rows")
    parser.add_argument("--swaps", action="store_true", help="put every other step into each row, too")
    given = parser.parse_args()
    counts = Counter((each.table, each.key) for each in SCENARIOS)
    for table in Table:
        told = [counts[table, key] for key in table.rows]
        print(f"{table.value}: rows: {len(told)}, scenarios: {sum(told)}, at least {min(told)} a row")
    failing = [each.name for each in SCENARIOS if not _runs(each.run)]
    mutants = [*deletions(), *(swaps() if given.swaps else ())]
    survivors = [mutant for mutant in mutants if mutant.survives(SCENARIOS)]
    for name in failing:
        print(f"fails without any change: {name}")
    for mutant in survivors:
        print(f"survives: {mutant}")
    print(f"changes: {len(mutants)}, survivors: {len(survivors)}")
    if given.swaps:
        for (table, state, what, step), why in EQUIVALENT.items():
            print(f"not tried: {table.value}: ({state.name}, {what.name}) with {step}: {why}")
    sys.exit(1 if failing or survivors else 0)


def _runs(run: object) -> bool:
    assert callable(run)
    try:
        run()
    except AssertionError:
        return False
    return True


if __name__ == "__main__":
    main()
