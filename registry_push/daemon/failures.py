"""Errors as clients see them: a status if nothing was streamed yet, and one sentence with the next step."""

from __future__ import annotations

from typing import Final

from ..errors import (
    BlobCorrupt,
    BlobMissing,
    Denied,
    ForeignRealm,
    Interrupted,
    KeyNotFound,
    LoginWithheld,
    ModelNotFound,
    NoIdentity,
    NotAtSource,
    RegistryPushError,
    TLSFailed,
    Unauthorized,
    Unavailable,
    UsageError,
    printable,
)
from ..text.hint import NamedPart, Setting, for_the_command, step
from .targets import TargetNotAllowed


class TooBusy(Unavailable):
    """Too many pushes are under way, or clients waiting. `retry_after`: seconds."""

    default_hint = "push again a little later"

    def __init__(self, message: str, *, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


_HINTS: Final[tuple[tuple[type[RegistryPushError], str], ...]] = (
    # The command's hints name flags; a client of the service does the same over HTTP.
    (Interrupted, "push again when the service is back: what the registry has acknowledged is not sent twice"),
    (BlobCorrupt, "the file is damaged; have the model fetched again on the machine of the service: ollama pull NAME"),
    (Denied, "check that this account may write there"),
    (LoginWithheld, "send your own username and password, or have the service reach the registry by https"),
    (Unauthorized, "send username and password, or, on the machine of the service: registry-push login HOST"),
    (ModelNotFound, "see what is here: GET /api/tags"),
    (TooBusy, "push again a little later"),
    (
        TLSFailed,
        "ask the operator of this service how it reaches that registry: http or https, and with which certificates",
    ),
    (Unavailable, "push again: what is already there is not sent twice"),
)


def status_of(error: RegistryPushError) -> int:
    """Return the HTTP status for an error, as the guide on the service lists them."""
    match error:
        case UsageError():
            return 400
        case Unauthorized() | NoIdentity() | Denied() | ForeignRealm():
            return 401
        case TargetNotAllowed():
            return 403
        case TooBusy():
            return 503
        # A missing blob or key file is the server's problem: the requested model is there.
        case NotAtSource() if not isinstance(error, BlobMissing | KeyNotFound):
            return 404
        case _:
            return 500


def words_of(error: RegistryPushError) -> str:
    """Return message and next step in one line, safe to print."""
    hint, default = error.next_step, error.default_hint
    if hint is None or not hint.is_plain or str(hint) == str(default):
        ours = next((ours for kind, ours in _HINTS if isinstance(error, kind)), None)
        hint = step(ours) if ours is not None else hint
    return error.message if hint is None else f"{error.message}; {printable(hint.worded(_for_a_client))}"


def _for_a_client(part: NamedPart) -> str:
    """Return a part of a hint in words for the caller of the service, or for its operator."""
    match part:
        case Setting("username" | "password_stdin"):
            return "username and password in the request"
        case Setting("plain_http"):
            return '"insecure": true in the request'
        case Setting():
            return f"registry-push serve {for_the_command(part)}"
        case _:
            return for_the_command(part)
