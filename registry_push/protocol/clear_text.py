"""Which login may be sent over http, in clear text. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..model import HTTPOrigin
    from ..settings import Party


def may_sign_in(origin: HTTPOrigin, *, login_of: Party, said_by: Party) -> bool:
    """Return whether a login of `login_of`, or a token obtained with it, may be sent to `origin`.

    Over https and to this machine: always. Over http: only if http was allowed (`said_by`) by the owner of the login or
    by the user who runs this program. Nobody else can have the runner's logins and key sent in clear text.
    """
    return origin.scheme == "https" or origin.is_loopback or said_by in ("runner", login_of)
