"""Sends users to `registry-push doctor` with errors that it can explain."""

from __future__ import annotations

from contextlib import suppress
from typing import Final

from ..errors import (
    ConnectionLost,
    Denied,
    InvalidName,
    NotARegistry,
    ProxyRefused,
    RegistryPushError,
    TimedOut,
    TLSFailed,
    Unauthorized,
)
from ..model import HTTPOrigin
from ..text.hint import Examination, step

_EXPLAINED: Final = (ConnectionLost, TimedOut, TLSFailed, Unauthorized, Denied, NotARegistry, ProxyRefused)


def with_doctor(error: RegistryPushError) -> RegistryPushError:
    """Add to the error's next step the command that examines its registry, if that helps; once."""
    if not isinstance(error, _EXPLAINED) or error.url is None:
        return error
    with suppress(InvalidName):
        origin = HTTPOrigin.of(error.url)
        # A token service or a storage can be at fault too; the message names whom doctor can examine.
        if isinstance(error, TLSFailed) and origin.scheme == "http":
            return error  # it speaks https, which is all that would be found out
        if origin.netloc in error.message and "registry-push doctor" not in (error.hint or ""):
            before = (*error.next_step.parts, "; to find out more: ") if error.next_step is not None else ()
            error.hint = step(*before, Examination(origin.as_typed))
    return error
