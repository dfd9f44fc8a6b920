"""What Ctrl-C does while there is no event loop."""

from __future__ import annotations

import os
import signal

TYPE_CHECKING = False  # not from `typing`: see `registry_push/__init__.py`
if TYPE_CHECKING:
    from types import FrameType
    from typing import Final

# As a shell reports a program that SIGINT has ended; `errors.Interrupted` has the same, and is not imported yet.
INTERRUPTED: Final = 130


def leave_on_interrupt() -> None:
    """Make Ctrl-C end the process at once: nothing has begun that needs cleaning up.

    An exception raised while modules are imported could surface anywhere, be printed, or be lost.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # else our parent process has chosen to ignore it
        signal.signal(signal.SIGINT, _leave)


def raise_on_interrupt() -> None:
    """Make Ctrl-C raise `KeyboardInterrupt`, as usual."""
    if signal.getsignal(signal.SIGINT) is _leave:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _leave(_number: int, _frame: FrameType | None) -> None:
    os._exit(INTERRUPTED)
