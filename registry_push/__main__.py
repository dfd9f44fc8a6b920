"""`python -m registry_push` and the console script."""

from __future__ import annotations

import sys


def main() -> None:
    """Runs the command and exits with its code."""
    from .cli.main import command

    sys.exit(command())


if __name__ == "__main__":
    main()
