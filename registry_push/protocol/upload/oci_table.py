"""What follows in an upload by OCI's rules from each answer: the step, and the states that it may lead to. Pure.

An upload is a conversation in which either side may stop in the middle of a word. We know what we sent, and what was
answered. We do not know whether a request without an answer has arrived, nor what the registry did with it. The table
below is what we make of that. This is why it has the rows that it has.

The way of a blob. POST opens a session, PATCH appends a chunk to it, PUT with the digest makes a blob of it. A small
blob goes whole in the PUT. In states: NEW, OPEN for as long as there are chunks, COMMITTING, DONE. All other states but
one are for trouble. That one is HANDED_OVER: Ollama's registry moves bytes in other ways, and shows itself by the
answer to a POST. The upload leaves this machine then, and Ollama's continues with the same answer (`ollama_table.py`).

Who knows the offset. A chunk that was answered with success is acknowledged: from then on it is ours to keep count of
it. A registry's `Range` is evidence and not the truth, as registries tell it one too high, one chunk too low, or from
the chunk's start. `offsets.py` has a predicate for each. A chunk without a good answer leaves us UNCERTAIN: perhaps
all of it arrived, perhaps some, perhaps nothing. Sending it again would break the blob or waste its bytes, so the
session is asked first (GET). A 416 is the same doubt, raised by the other side; one with an offset that we agree with
is about the chunk's length, and the next chunk is shorter.

What a commit is. Only 201 to the PUT says that the blob exists. 202 says that the request was understood; old
Artifactory and gateways send it while the blob is still being stored, or instead of storing it. So ACCEPTED leads to
CONFIRMING, where HEAD asks for the blob, and never to DONE. A PUT without an answer, or with a gateway's 504, is the
same doubt with a pause before it: the commit may be under way, its session may be gone already, and to send it again
would be to do twice what is being done. HEAD and GET are asked until the blob appears, or until a registry of the
slowest kind would have ended (`commit.py`). Only then it is sent again.

What 201 is worth. It is the registry's word, and it stands: if several chunks were joined, HEAD asks once for the
length (MEASURING), since some registries join them wrongly. A wrong length fails the upload. A HEAD that fails,
whatever its status, says nothing about the length, so the 201 counts.

What a denial is. 404 to a PATCH, a GET or a PUT denies the session, not the blob: bytes were lost, and GONE opens
another session. If a commit may have ended that session, the blob is looked for first. 404 to a HEAD denies the blob,
but only at that moment. 401 denies nothing about the bytes: the token ran out, it has been renewed by the time we get
here, and the same request goes out again. 403 and 405 are meant for good, except where they refuse only a mount, only
the PATCH, or only the status; those have another way. A redirect, a web page where an answer should be, and every
pair of state and answer that has no row is a refusal.

Whose session it is. A session that an earlier process left may have expired, or may not have been ours for long. A
refusal in it is no verdict on the upload: it leads to a new session before anything fails. The
blob may have reached another repository since: MOUNTING tries to mount it first, which sends nothing.

Why tries end. A registry can be ill for longer than anyone waits. Each trouble costs one try of one budget, an
acknowledged byte restores it, and the question that follows a cut costs nothing more. When it is spent, it may be the
session that is broken and not the registry, so one FRESH session is opened beside it. If even that POST fails, the
registry is unavailable. If it works, the old session is asked once more, as the registry may only just have recovered
and the old session holds the bytes; then the upload changes over, and there is no second fresh one. Sessions that get
lost without any cut are counted too: a registry that forgets them (several servers, no common storage) would take the
same bytes forever. So every path ends in DONE, FAILED or HANDED_OVER, whatever is answered.

How to read a row. `(state, what happened): Row(step, states it may lead to)`. What happened is the kind of an answer,
or an `Event` that needs none. The steps are methods of the machine, which calls them and raises `NotInTable` if the
upload is then in a state that the row does not name. An upload that stays where it is names its own state.
"""

from __future__ import annotations

from typing import Final

from ..response import Kind
from .machine import Row, Rows, row
from .oci_steps import OCISteps
from .post_rows import post_rows
from .states import IN_A_SESSION, Event, State

# A session has just been opened. A POST can be answered by nonsense, or by Ollama's registry.
_BEGUN: Final = frozenset({State.OPEN, State.COMMITTING, State.HANDED_OVER, State.FAILED})
# No try is left, or the session is of no use: a fresh one is asked for, or the upload continues in the one that is
# open.
_GIVEN_UP: Final = _BEGUN | {State.FRESH}
# The session is lost: another is opened, if that may help.
_LOST: Final = _GIVEN_UP | {State.GONE}
# The same if a commit may be the reason for the loss.
_LOST_OR_COMMITTED: Final = _LOST | {State.CONFIRMING}

# Every pair that has no row.
_REFUSED: Final[Row[OCISteps]] = row(OCISteps.refused, State.FAILED)
_REFUSED_IN_A_SESSION: Final[Row[OCISteps]] = row(OCISteps.refused, _GIVEN_UP)

ROWS: Final[Rows[OCISteps]] = {
    # ── POST ──
    **dict(post_rows(begun=_BEGUN, old=State.UNCERTAIN)),
    (State.MOUNTING, Kind.CREATED): row(OCISteps.mounted_instead, State.DONE, State.FAILED),
    (State.MOUNTING, Kind.ACCEPTED): row(OCISteps.not_mounted, State.UNCERTAIN),
    (State.MOUNTING, Kind.MISSING): row(OCISteps.not_mounted, State.MOUNTING, State.UNCERTAIN),
    (State.MOUNTING, Kind.EXPIRED): row(OCISteps.not_mounted, State.MOUNTING, State.UNCERTAIN),
    (State.MOUNTING, Kind.INVALID): row(OCISteps.not_mounted, State.MOUNTING, State.UNCERTAIN),
    (State.MOUNTING, Kind.REFUSED): row(OCISteps.not_mounted, State.MOUNTING, State.UNCERTAIN),
    (State.MOUNTING, Kind.TOO_LARGE): row(OCISteps.not_mounted, State.MOUNTING, State.UNCERTAIN),
    (State.MOUNTING, Kind.WRONG_OFFSET): row(OCISteps.not_mounted, State.MOUNTING, State.UNCERTAIN),
    # whatever a gateway shows instead, the session may still be there
    (State.MOUNTING, Kind.NO_REGISTRY): row(OCISteps.not_mounted, State.MOUNTING, State.UNCERTAIN),
    (State.MOUNTING, Kind.BUSY): row(OCISteps.ask_later, State.UNCERTAIN, _GIVEN_UP),
    (State.MOUNTING, Kind.LOST): row(OCISteps.ask_later, State.UNCERTAIN, _GIVEN_UP),
    # ── PATCH ──
    (State.OPEN, Kind.ACCEPTED): row(OCISteps.acknowledged, State.UNCERTAIN, _GIVEN_UP),
    # ECR answers a PATCH with 201
    (State.OPEN, Kind.CREATED): row(OCISteps.acknowledged, State.UNCERTAIN, _GIVEN_UP),
    (State.OPEN, Kind.MISSING): row(OCISteps.chunk_missing, _LOST),
    (State.OPEN, Kind.WRONG_OFFSET): row(OCISteps.ask, State.UNCERTAIN, State.FAILED),
    (State.OPEN, Kind.TOO_LARGE): row(OCISteps.too_large, State.UNCERTAIN, _LOST),
    (State.OPEN, Kind.INVALID): row(OCISteps.chunk_invalid, State.UNCERTAIN, _LOST),
    (State.OPEN, Kind.REFUSED): row(OCISteps.chunk_refused, _GIVEN_UP),
    (State.OPEN, Kind.EXPIRED): row(OCISteps.ask_later, State.UNCERTAIN, _GIVEN_UP),
    (State.OPEN, Kind.BUSY): row(OCISteps.ask_later, State.UNCERTAIN, _GIVEN_UP),
    (State.OPEN, Kind.LOST): row(OCISteps.ask_later, State.UNCERTAIN, _GIVEN_UP),
    (State.OPEN, Event.LAST_CHUNK): row(OCISteps.close_with_last, State.COMMITTING),
    (State.OPEN, Event.UNREACHABLE): row(OCISteps.leave_session, _GIVEN_UP),
    # ── GET of the session ──
    (State.UNCERTAIN, Kind.ACCEPTED): row(OCISteps.told, _LOST_OR_COMMITTED),
    (State.UNCERTAIN, Kind.CREATED): row(OCISteps.told, _LOST_OR_COMMITTED),
    (State.UNCERTAIN, Kind.MISSING): row(OCISteps.session_lost, _LOST_OR_COMMITTED),
    (State.UNCERTAIN, Kind.WRONG_OFFSET): row(OCISteps.session_lost, _LOST_OR_COMMITTED),
    (State.UNCERTAIN, Kind.INVALID): row(OCISteps.session_lost, _LOST_OR_COMMITTED),
    # 405: a registry without status (GAR)
    (State.UNCERTAIN, Kind.REFUSED): row(OCISteps.session_lost, _LOST_OR_COMMITTED),
    (State.UNCERTAIN, Kind.EXPIRED): row(OCISteps.again, State.UNCERTAIN, _GIVEN_UP),
    (State.UNCERTAIN, Kind.BUSY): row(OCISteps.again, State.UNCERTAIN, _GIVEN_UP),
    (State.UNCERTAIN, Kind.LOST): row(OCISteps.again, State.UNCERTAIN, _GIVEN_UP),
    (State.UNCERTAIN, Event.UNREACHABLE): row(OCISteps.leave_session, _GIVEN_UP),
    # ── PUT ──
    (State.COMMITTING, Kind.CREATED): row(OCISteps.committed, State.DONE, State.MEASURING, State.FAILED),
    (State.COMMITTING, Kind.ACCEPTED): row(OCISteps.confirm, State.CONFIRMING),
    (State.COMMITTING, Kind.MISSING): row(OCISteps.session_unknown, _LOST_OR_COMMITTED),
    # a whole blob in a PUT, where none is taken
    (State.COMMITTING, Kind.REFUSED): row(OCISteps.commit_refused, _LOST),
    (State.COMMITTING, Kind.WRONG_OFFSET): row(OCISteps.ask_after_commit, State.UNCERTAIN, State.FAILED),
    (State.COMMITTING, Kind.TOO_LARGE): row(OCISteps.too_large, State.UNCERTAIN, _LOST_OR_COMMITTED),
    (State.COMMITTING, Kind.INVALID): row(OCISteps.chunks_invalid, _LOST_OR_COMMITTED),
    (State.COMMITTING, Kind.EXPIRED): row(OCISteps.again, _GIVEN_UP),
    (State.COMMITTING, Kind.BUSY): row(OCISteps.confirm_later, State.CONFIRMING, State.FRESH, State.FAILED),
    (State.COMMITTING, Kind.LOST): row(OCISteps.confirm_later, State.CONFIRMING, State.FRESH, State.FAILED),
    (State.COMMITTING, Event.UNREACHABLE): row(OCISteps.leave_session, _GIVEN_UP),
    # ── HEAD after a commit that nobody has answered for ──
    (State.CONFIRMING, Kind.ACCEPTED): row(OCISteps.confirmed, State.DONE, State.FAILED),
    (State.CONFIRMING, Kind.CREATED): row(OCISteps.confirmed, State.FAILED),
    (State.CONFIRMING, Kind.MISSING): row(OCISteps.not_there_yet, State.UNCERTAIN, _LOST_OR_COMMITTED),
    (State.CONFIRMING, Kind.EXPIRED): row(OCISteps.again, State.CONFIRMING, State.FRESH, State.FAILED),
    (State.CONFIRMING, Kind.BUSY): row(OCISteps.again, State.CONFIRMING, State.FRESH, State.FAILED),
    (State.CONFIRMING, Kind.LOST): row(OCISteps.again, State.CONFIRMING, State.FRESH, State.FAILED),
    # ── HEAD after a commit of several chunks. Whatever it says, it takes back no 201. ──
    (State.MEASURING, Kind.ACCEPTED): row(OCISteps.measured, State.DONE, State.FAILED),
    (State.MEASURING, Kind.CREATED): row(OCISteps.measured, State.DONE),
    (State.MEASURING, Kind.BUSY): row(OCISteps.measure_again, State.MEASURING, State.DONE),
    (State.MEASURING, Kind.LOST): row(OCISteps.measure_again, State.MEASURING, State.DONE),
    (State.MEASURING, Kind.MISSING): row(OCISteps.measured, State.DONE),
    (State.MEASURING, Kind.WRONG_OFFSET): row(OCISteps.measured, State.DONE),
    (State.MEASURING, Kind.TOO_LARGE): row(OCISteps.measured, State.DONE),
    (State.MEASURING, Kind.EXPIRED): row(OCISteps.measured, State.DONE),
    (State.MEASURING, Kind.INVALID): row(OCISteps.measured, State.DONE),
    (State.MEASURING, Kind.REFUSED): row(OCISteps.measured, State.DONE),
    (State.MEASURING, Kind.NO_REGISTRY): row(OCISteps.measured, State.DONE),
}


def row_of(state: State, what: Kind | Event) -> Row[OCISteps]:
    """Return the row for `what` in `state`; a refusal if the table has none."""
    return ROWS.get((state, what)) or (_REFUSED_IN_A_SESSION if state in IN_A_SESSION else _REFUSED)
