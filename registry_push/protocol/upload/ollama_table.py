"""What follows in an upload to Ollama's registry from each answer: the step, and the states that it may lead to. Pure.

Read the page of theory above `oci_table.py` first. What it says of POST, of commits, of denials and of tries is true
here too; this table is shorter, because less can be asked here. What differs:

The way of a blob. POST opens a session, and its answer says how the bytes go. If it names a URL of the storage, the
blob goes there whole, in one PUT (DIRECT); only models of tensors are asked for so. Else the blob goes in parts
(PARTS): each is asked for by a PATCH, and the answer names the URL of the storage to PUT it to. Many parts go at once,
so they are a conversation of their own (`parts.py`), of which this table sees only the end. Both ways end in
COMMITTING: a PUT to the registry, without a body, makes the blob.

Where the bytes are. Parts are placed or not; there are no half ones, so there is no offset to doubt. A part that is
placed stays placed as long as its session does. The storage is no registry: what it answers is about the one URL. That
has run out or is of no use after any error, and only a new session has another, so all trouble in DIRECT leads to GONE.

What can be asked. The registry tells no status of a session. After a commit in doubt there is HEAD, for as long as the
commit may be under way; then the same PUT is sent again, since it is small and the parts are where they are. If the
registry has said that it knows no such session, the blob is sent again in a new one. What was joined is not measured:
the commit names the checksum of all parts.

How an upload gets here. It is known beforehand that the registry is Ollama's, or a record says that parts were placed,
and the upload begins here in NEW, PARTS or COMMITTING. Or nothing is known, OCI's machine opens a session, and the
answer carries Ollama's `Docker-Upload-Location`. Then OCI's machine ends in HANDED_OVER, and this one begins there with
the same answer. So it is when a record of chunks turns out to be of no use at a registry that is known to be Ollama's:
the next session is this machine's. There is no way back.
"""

from __future__ import annotations

from typing import Final

from ..response import Kind
from .machine import Row, Rows, row
from .ollama_steps import OllamaSteps
from .post_rows import post_rows
from .states import IN_A_SESSION, Event, State

# A session has just been opened. A POST can be answered by nonsense. A blob without a byte has no part.
_BEGUN: Final = frozenset({State.PARTS, State.DIRECT, State.COMMITTING, State.FAILED})
# No try is left, or the session is of no use: a fresh one is asked for, or the upload continues in the one that is
# open.
_GIVEN_UP: Final = _BEGUN | {State.FRESH}
# The session is lost: another is opened, if that may help.
_LOST: Final = _GIVEN_UP | {State.GONE}
# The same for a blob that has parts: its bytes go before the commit, in another session too.
_PARTS_GIVEN_UP: Final = _GIVEN_UP - {State.COMMITTING}
_PARTS_LOST: Final = _LOST - {State.COMMITTING}

# Every pair that has no row.
_REFUSED: Final[Row[OllamaSteps]] = row(OllamaSteps.refused, State.FAILED)
_REFUSED_IN_A_SESSION: Final[Row[OllamaSteps]] = row(OllamaSteps.refused, _GIVEN_UP)

ROWS: Final[Rows[OllamaSteps]] = {
    # ── POST ──
    **dict(post_rows(begun=_BEGUN, old=State.PARTS)),
    # ── POST of OCI's machine ──
    (State.HANDED_OVER, Kind.ACCEPTED): row(OllamaSteps.opened, _BEGUN),
    # ── PUT of the whole blob to the storage ──
    (State.DIRECT, Kind.CREATED): row(OllamaSteps.all_placed, State.COMMITTING),
    (State.DIRECT, Kind.ACCEPTED): row(OllamaSteps.all_placed, State.COMMITTING),
    # Google's storage calls its empty answers HTML
    (State.DIRECT, Kind.NO_REGISTRY): row(OllamaSteps.all_placed, State.COMMITTING),
    # The URL has run out, or the line broke: only a new session has another URL.
    (State.DIRECT, Kind.INVALID): row(OllamaSteps.session_lost, State.GONE, State.FRESH, State.FAILED),
    (State.DIRECT, Kind.EXPIRED): row(OllamaSteps.session_lost, State.GONE, State.FRESH, State.FAILED),
    (State.DIRECT, Kind.REFUSED): row(OllamaSteps.session_lost, State.GONE, State.FRESH, State.FAILED),
    (State.DIRECT, Kind.MISSING): row(OllamaSteps.session_lost, State.GONE, State.FRESH, State.FAILED),
    (State.DIRECT, Kind.BUSY): row(OllamaSteps.session_lost, State.GONE, State.FRESH, State.FAILED),
    (State.DIRECT, Kind.LOST): row(OllamaSteps.session_lost, State.GONE, State.FRESH, State.FAILED),
    (State.DIRECT, Event.UNREACHABLE): row(OllamaSteps.leave_session, State.FRESH),
    # ── parts, each a conversation of its own (`parts.py`) ──
    (State.PARTS, Event.PARTS_PLACED): row(OllamaSteps.all_placed, State.COMMITTING),
    (State.PARTS, Event.PARTS_LOST): row(OllamaSteps.session_lost, _PARTS_LOST),
    (State.PARTS, Event.PARTS_GIVEN_UP): row(OllamaSteps.spent, _PARTS_GIVEN_UP),
    (State.PARTS, Event.PARTS_REFUSED): row(OllamaSteps.parts_refused, State.FAILED),
    (State.PARTS, Event.UNREACHABLE): row(OllamaSteps.leave_session, _PARTS_GIVEN_UP),
    # ── PUT to the registry ──
    (State.COMMITTING, Kind.CREATED): row(OllamaSteps.uploaded, State.DONE, State.FAILED),
    (State.COMMITTING, Kind.ACCEPTED): row(OllamaSteps.confirm, State.CONFIRMING),
    (State.COMMITTING, Kind.MISSING): row(OllamaSteps.session_unknown, State.CONFIRMING, State.FRESH, State.FAILED),
    # It can't be asked which offset it has, so this is as good as no session.
    (State.COMMITTING, Kind.WRONG_OFFSET): row(
        OllamaSteps.session_unknown, State.CONFIRMING, State.FRESH, State.FAILED
    ),
    (State.COMMITTING, Kind.REFUSED): row(OllamaSteps.commit_refused, _GIVEN_UP),
    (State.COMMITTING, Kind.INVALID): row(OllamaSteps.commit_invalid, _LOST),
    (State.COMMITTING, Kind.EXPIRED): row(OllamaSteps.again, _GIVEN_UP),
    (State.COMMITTING, Kind.BUSY): row(OllamaSteps.confirm_later, State.CONFIRMING, State.FRESH, State.FAILED),
    (State.COMMITTING, Kind.LOST): row(OllamaSteps.confirm_later, State.CONFIRMING, State.FRESH, State.FAILED),
    (State.COMMITTING, Event.UNREACHABLE): row(OllamaSteps.leave_session, _GIVEN_UP),
    # ── HEAD after a commit that nobody has answered for ──
    (State.CONFIRMING, Kind.ACCEPTED): row(OllamaSteps.confirmed, State.DONE, State.FAILED),
    (State.CONFIRMING, Kind.CREATED): row(OllamaSteps.confirmed, State.FAILED),
    (State.CONFIRMING, Kind.MISSING): row(OllamaSteps.not_there, State.CONFIRMING, _LOST),
    (State.CONFIRMING, Kind.EXPIRED): row(OllamaSteps.again, State.CONFIRMING, State.FRESH, State.FAILED),
    (State.CONFIRMING, Kind.BUSY): row(OllamaSteps.again, State.CONFIRMING, State.FRESH, State.FAILED),
    (State.CONFIRMING, Kind.LOST): row(OllamaSteps.again, State.CONFIRMING, State.FRESH, State.FAILED),
}


def row_of(state: State, what: Kind | Event) -> Row[OllamaSteps]:
    """Return the row for `what` in `state`; a refusal if the table has none."""
    return ROWS.get((state, what)) or (_REFUSED_IN_A_SESSION if state in IN_A_SESSION else _REFUSED)
