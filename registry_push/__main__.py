"""`python -m registry_push` and the console script."""

from __future__ import annotations

import os

try:
    from .interrupts import INTERRUPTED, leave_on_interrupt
except KeyboardInterrupt:
    os._exit(130)

TYPE_CHECKING = False  # not from `typing`: see `__init__.py`
if TYPE_CHECKING:
    from typing import Final, NoReturn

# The loader's message if there is no memory for a library (glibc, dl-load.c).
_NO_ROOM: Final = "failed to map segment"
# As `errors.Unavailable` has it.
_TRY_LATER: Final = 6


def main() -> None:
    """Run the command and exit with its code."""
    leave_on_interrupt()
    from . import collector

    collector.pause()
    try:
        from .cli.main import command

        code = command()
        leave_on_interrupt()
    except KeyboardInterrupt:  # after everything was cleaned up
        code = INTERRUPTED
    except (MemoryError, ImportError) as error:
        if isinstance(error, ImportError) and _NO_ROOM not in str(error):
            raise
        os.write(2, b"error: there is no memory left for this process\n  -> allow it more: ulimit -v unlimited\n")
        code = _TRY_LATER
    _exit(code)


def _exit(code: int) -> NoReturn:
    """End the process at once. Everything is written and closed, and tearing the modules down would take 30 ms."""
    import sys

    try:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
    except (OSError, ValueError):  # a broken pipe, for which Python has its own message and exit code
        sys.exit(code)
    if sys.gettrace() or sys.getprofile() or sys.flags.interactive:  # debugging or profiling
        sys.exit(code)
    os._exit(code)


if __name__ == "__main__":
    main()
