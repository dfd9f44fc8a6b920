"""`python -m tests.rows [--swaps]`: change one row of the upload's table at a time, and print which changes survive.

A change survives if no scenario fails, so that nobody would notice it. Ends with 1 if one does.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter

from registry_push.protocol.upload.table import ROWS

from .mutants import EQUIVALENT, deletions, swaps
from .scenarios import SCENARIOS


def main() -> None:
    """Run, print, and exit."""
    parser = argparse.ArgumentParser(prog="python -m tests.rows")
    parser.add_argument("--swaps", action="store_true", help="put every other step into each row, too")
    given = parser.parse_args()
    counts = Counter(each.key for each in SCENARIOS)
    print(f"rows: {len(ROWS)}, scenarios: {len(SCENARIOS)}, at least {min(counts[key] for key in ROWS)} a row")
    failing = [each.name for each in SCENARIOS if not _runs(each.run)]
    mutants = [*deletions(), *(swaps() if given.swaps else ())]
    survivors = [mutant for mutant in mutants if mutant.survives(SCENARIOS)]
    for name in failing:
        print(f"fails without any change: {name}")
    for mutant in survivors:
        print(f"survives: {mutant}")
    print(f"changes: {len(mutants)}, survivors: {len(survivors)}")
    if given.swaps:
        for (state, kind, step), why in EQUIVALENT.items():
            print(f"not tried: ({state.name}, {kind.name}) with {step}: {why}")
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
