"""Sends users to `registry-push doctor` with errors that it can explain."""

from __future__ import annotations

from contextlib import suppress
from typing import Final

from ..errors import (
    ConnectionLost,
    Denied,
    InvalidName,
    NotARegistry,
    RegistryPushError,
    TimedOut,
    TLSFailed,
    Unauthorized,
)
from ..model import HTTPOrigin
from ..text.hint import Command, step

_EXPLAINED: Final = (ConnectionLost, TimedOut, TLSFailed, Unauthorized, Denied, NotARegistry)


def with_doctor(error: RegistryPushError) -> RegistryPushError:
    """Add to the error's next step the command that examines its registry, if that helps; once."""
    if not isinstance(error, _EXPLAINED) or error.url is None:
        return error
    with suppress(InvalidName):
        origin = HTTPOrigin.of(error.url)
        # A token service or a storage can be at fault too; the message names whom doctor can examine.
        command = f"doctor {origin.as_typed}"
        if origin.netloc in error.message and command not in (error.hint or ""):
            before = (*error.next_step.parts, "; to find out more: ") if error.next_step is not None else ()
            error.hint = step(*before, Command(command))
    return error
