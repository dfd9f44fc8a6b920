"""`python -m registry_push` and the console script."""

from __future__ import annotations

import gc
import sys
from typing import Final

# Objects. Nearly all that is made here stays (what is imported) or goes by itself: looking for garbage each 700, as is
# usual, costs 4 % of the instructions of a push that has nothing to send.
_GARBAGE_AFTER: Final = 20_000


def main() -> None:
    """Runs the command and exits with its code."""
    gc.set_threshold(_GARBAGE_AFTER)
    from .cli.main import command

    sys.exit(command())


if __name__ == "__main__":
    main()
