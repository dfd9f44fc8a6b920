"""What follows in an upload from each answer: the step, and the states that it may lead to. Pure.

An upload is a conversation in which either side may stop in the middle of a word. We know what we sent, and what was
answered. We do not know whether a request without an answer has arrived, nor what the registry did with it. The table
below is what we make of that. This is why it has the rows that it has.

The way of a blob. POST opens a session, PATCH appends a chunk to it, PUT with the digest makes a blob of it. A small
blob goes whole in the PUT. In states: NEW, OPEN for as long as there are chunks, COMMITTING, DONE. Ollama's registry
has two other ways to move the bytes: in PARTS, each to an address of its own, or whole to its storage (DIRECT). Both
end in COMMITTING too, since its PUT is what makes the blob. All other states are for trouble.

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
refusal in it is no verdict on the upload: it leads to a new session before anything fails.

Why tries end. A registry can be ill for longer than anyone waits. Each trouble costs one try of one budget, an
acknowledged byte restores it, and the question that follows a cut costs nothing more. When it is spent, it may be the
session that is broken and not the registry, so one FRESH session is opened beside it. If even that POST fails, the
registry is unavailable. If it works, the old session is asked once more, as the registry may only just have recovered
and the old session holds the bytes; then the upload changes over, and there is no second fresh one. Sessions that get
lost without any cut are counted too: a registry that forgets them (several servers, no common storage) would take the
same bytes forever. So every path ends in DONE or FAILED, whatever is answered.

How to read a row. `(state, what happened): Row(step, states it may lead to)`. What happened is the kind of an answer,
or an `Event` that needs none. The steps are methods; `UploadSession` calls them and raises `NotInTable` if the upload
is then in a state that the row does not name. An upload that stays where it is names its own state.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from msgspec import Struct

from ..response import Kind, RegistryResponse
from .chunk_steps import ChunkSteps
from .commit_steps import CommitSteps
from .opening_steps import OpeningSteps
from .states import IN_A_SESSION, Event, State

Step: TypeAlias = Callable[[CommitSteps, RegistryResponse], None]
Key: TypeAlias = tuple[State, Kind | Event]


class Row(Struct, frozen=True):
    """What to do, and where an upload can stand after that."""

    step: Step
    to: frozenset[State]


class NotInTable(AssertionError):
    """A step has led to a state that its row does not name: a bug of ours."""


def _row(step: Step, *to: State | frozenset[State]) -> Row:
    return Row(step, frozenset[State]().union(*(each if isinstance(each, frozenset) else {each} for each in to)))


# A session has just been opened. A POST can be answered by nonsense.
_BEGUN: Final = frozenset({State.OPEN, State.COMMITTING, State.PARTS, State.DIRECT, State.FAILED})
# No try is left, or the session is of no use: a fresh one is asked for, or the upload goes on in the one that is open.
_GIVEN_UP: Final = _BEGUN | {State.FRESH}
# The same at Ollama's registry, which has no chunks.
_GIVEN_UP_AT_OLLAMA: Final = frozenset({State.PARTS, State.DIRECT, State.FRESH, State.FAILED})
# The session is lost: another is opened, if that may help.
_LOST: Final = _GIVEN_UP | {State.GONE}
# The same where a commit may be why it is lost.
_LOST_OR_COMMITTED: Final = _LOST | {State.CONFIRMING}

# Every pair that has no row.
_REFUSED: Final = _row(OpeningSteps.refused, State.FAILED)
_REFUSED_IN_A_SESSION: Final = _row(OpeningSteps.refused, _GIVEN_UP)

ROWS: Final[Mapping[Key, Row]] = {
    # ── POST ──
    (State.NEW, Kind.CREATED): _row(OpeningSteps.mounted, State.CONFIRMING, State.DONE, State.FAILED),
    (State.NEW, Kind.ACCEPTED): _row(OpeningSteps.opened, _BEGUN),
    (State.NEW, Kind.MISSING): _row(OpeningSteps.without_mount, State.NEW, State.FAILED),
    # Harbor: 401 for a mount from a project that does not exist
    (State.NEW, Kind.EXPIRED): _row(OpeningSteps.without_mount, State.NEW, State.FAILED),
    (State.NEW, Kind.INVALID): _row(OpeningSteps.without_mount, State.NEW, State.FAILED),
    (State.NEW, Kind.REFUSED): _row(OpeningSteps.without_mount, State.NEW, State.FAILED),
    (State.NEW, Kind.BUSY): _row(OpeningSteps.again, State.NEW, State.FAILED),
    (State.NEW, Kind.LOST): _row(OpeningSteps.again, State.NEW, State.FAILED),
    # ── POST after a lost session ──
    (State.GONE, Kind.CREATED): _row(OpeningSteps.mounted, State.CONFIRMING, State.DONE, State.FAILED),
    (State.GONE, Kind.ACCEPTED): _row(OpeningSteps.opened, _BEGUN),
    (State.GONE, Kind.MISSING): _row(OpeningSteps.without_mount, State.GONE, State.FAILED),
    (State.GONE, Kind.EXPIRED): _row(OpeningSteps.without_mount, State.GONE, State.FAILED),
    (State.GONE, Kind.INVALID): _row(OpeningSteps.without_mount, State.GONE, State.FAILED),
    (State.GONE, Kind.REFUSED): _row(OpeningSteps.without_mount, State.GONE, State.FAILED),
    (State.GONE, Kind.BUSY): _row(OpeningSteps.again, State.GONE, State.FAILED),
    (State.GONE, Kind.LOST): _row(OpeningSteps.again, State.GONE, State.FAILED),
    # ── POST after all tries of a session ──
    (State.FRESH, Kind.CREATED): _row(OpeningSteps.mounted, State.CONFIRMING, State.DONE, State.FAILED),
    (State.FRESH, Kind.ACCEPTED): _row(OpeningSteps.opened_beside, State.CONFIRMING, State.UNCERTAIN, _BEGUN),
    (State.FRESH, Kind.MISSING): _row(OpeningSteps.without_mount, State.FRESH, State.FAILED),
    (State.FRESH, Kind.EXPIRED): _row(OpeningSteps.without_mount, State.FRESH, State.FAILED),
    (State.FRESH, Kind.INVALID): _row(OpeningSteps.without_mount, State.FRESH, State.FAILED),
    (State.FRESH, Kind.REFUSED): _row(OpeningSteps.without_mount, State.FRESH, State.FAILED),
    (State.FRESH, Kind.BUSY): _row(OpeningSteps.unavailable, State.FAILED),
    (State.FRESH, Kind.LOST): _row(OpeningSteps.unavailable, State.FAILED),
    # ── PATCH ──
    (State.OPEN, Kind.ACCEPTED): _row(ChunkSteps.acknowledged, State.UNCERTAIN, _GIVEN_UP),
    # ECR answers a PATCH with 201
    (State.OPEN, Kind.CREATED): _row(ChunkSteps.acknowledged, State.UNCERTAIN, _GIVEN_UP),
    (State.OPEN, Kind.MISSING): _row(ChunkSteps.chunk_missing, _LOST),
    (State.OPEN, Kind.WRONG_OFFSET): _row(ChunkSteps.ask, State.UNCERTAIN, State.FAILED),
    (State.OPEN, Kind.TOO_LARGE): _row(ChunkSteps.too_large, State.UNCERTAIN, _LOST),
    (State.OPEN, Kind.INVALID): _row(ChunkSteps.chunk_invalid, State.UNCERTAIN, _LOST),
    (State.OPEN, Kind.REFUSED): _row(ChunkSteps.chunk_refused, _GIVEN_UP),
    (State.OPEN, Kind.EXPIRED): _row(OpeningSteps.ask_later, State.UNCERTAIN, _GIVEN_UP),
    (State.OPEN, Kind.BUSY): _row(OpeningSteps.ask_later, State.UNCERTAIN, _GIVEN_UP),
    (State.OPEN, Kind.LOST): _row(OpeningSteps.ask_later, State.UNCERTAIN, _GIVEN_UP),
    (State.OPEN, Event.LAST_CHUNK): _row(ChunkSteps.close_with_last, State.COMMITTING),
    (State.OPEN, Event.UNREACHABLE): _row(OpeningSteps.leave_session, _GIVEN_UP),
    # ── PUT to Ollama's storage ──
    (State.DIRECT, Kind.CREATED): _row(CommitSteps.all_placed, State.COMMITTING),
    (State.DIRECT, Kind.ACCEPTED): _row(CommitSteps.all_placed, State.COMMITTING),
    # a storage; Google's calls its empty answers HTML
    (State.DIRECT, Kind.NO_REGISTRY): _row(CommitSteps.all_placed, State.COMMITTING),
    # The URL has run out, or the line broke: only a new session has another URL.
    (State.DIRECT, Kind.INVALID): _row(OpeningSteps.gone, State.GONE, State.FRESH, State.FAILED),
    (State.DIRECT, Kind.EXPIRED): _row(OpeningSteps.gone, State.GONE, State.FRESH, State.FAILED),
    (State.DIRECT, Kind.REFUSED): _row(OpeningSteps.gone, State.GONE, State.FRESH, State.FAILED),
    (State.DIRECT, Kind.MISSING): _row(OpeningSteps.gone, State.GONE, State.FRESH, State.FAILED),
    (State.DIRECT, Kind.BUSY): _row(OpeningSteps.gone, State.GONE, State.FRESH, State.FAILED),
    (State.DIRECT, Kind.LOST): _row(OpeningSteps.gone, State.GONE, State.FRESH, State.FAILED),
    (State.DIRECT, Event.UNREACHABLE): _row(OpeningSteps.leave_session, State.FRESH),
    # ── Ollama's parts, each a conversation of its own (`parts.py`) ──
    (State.PARTS, Event.PARTS_PLACED): _row(CommitSteps.all_placed, State.COMMITTING),
    (State.PARTS, Event.PARTS_LOST): _row(OpeningSteps.gone, State.GONE, State.CONFIRMING, _GIVEN_UP_AT_OLLAMA),
    (State.PARTS, Event.PARTS_GIVEN_UP): _row(OpeningSteps.spent, _GIVEN_UP_AT_OLLAMA),
    (State.PARTS, Event.PARTS_REFUSED): _row(CommitSteps.parts_refused, State.FAILED),
    (State.PARTS, Event.UNREACHABLE): _row(OpeningSteps.leave_session, _GIVEN_UP_AT_OLLAMA),
    # ── GET of the session ──
    (State.UNCERTAIN, Kind.ACCEPTED): _row(CommitSteps.told, _LOST_OR_COMMITTED),
    (State.UNCERTAIN, Kind.CREATED): _row(CommitSteps.told, _LOST_OR_COMMITTED),
    (State.UNCERTAIN, Kind.MISSING): _row(OpeningSteps.gone, _LOST_OR_COMMITTED),
    (State.UNCERTAIN, Kind.WRONG_OFFSET): _row(OpeningSteps.gone, _LOST_OR_COMMITTED),
    (State.UNCERTAIN, Kind.INVALID): _row(OpeningSteps.gone, _LOST_OR_COMMITTED),
    # 405: a registry without status (GAR)
    (State.UNCERTAIN, Kind.REFUSED): _row(OpeningSteps.gone, _LOST_OR_COMMITTED),
    (State.UNCERTAIN, Kind.EXPIRED): _row(OpeningSteps.again, State.UNCERTAIN, _GIVEN_UP),
    (State.UNCERTAIN, Kind.BUSY): _row(OpeningSteps.again, State.UNCERTAIN, _GIVEN_UP),
    (State.UNCERTAIN, Kind.LOST): _row(OpeningSteps.again, State.UNCERTAIN, _GIVEN_UP),
    (State.UNCERTAIN, Event.UNREACHABLE): _row(OpeningSteps.leave_session, _GIVEN_UP),
    # ── PUT ──
    (State.COMMITTING, Kind.CREATED): _row(CommitSteps.committed, State.DONE, State.MEASURING, State.FAILED),
    (State.COMMITTING, Kind.ACCEPTED): _row(CommitSteps.confirm, State.CONFIRMING),
    (State.COMMITTING, Kind.MISSING): _row(CommitSteps.session_unknown, _LOST_OR_COMMITTED),
    (State.COMMITTING, Kind.REFUSED): _row(CommitSteps.commit_refused, _GIVEN_UP),
    (State.COMMITTING, Kind.WRONG_OFFSET): _row(CommitSteps.ask_after_commit, State.UNCERTAIN, State.FAILED),
    (State.COMMITTING, Kind.TOO_LARGE): _row(ChunkSteps.too_large, State.UNCERTAIN, _LOST_OR_COMMITTED),
    (State.COMMITTING, Kind.INVALID): _row(CommitSteps.commit_invalid, _LOST_OR_COMMITTED),
    (State.COMMITTING, Kind.EXPIRED): _row(OpeningSteps.again, _GIVEN_UP),
    (State.COMMITTING, Kind.BUSY): _row(CommitSteps.confirm_later, State.CONFIRMING, State.FRESH, State.FAILED),
    (State.COMMITTING, Kind.LOST): _row(CommitSteps.confirm_later, State.CONFIRMING, State.FRESH, State.FAILED),
    (State.COMMITTING, Event.UNREACHABLE): _row(OpeningSteps.leave_session, _GIVEN_UP),
    # ── HEAD after a commit that nobody has answered for ──
    (State.CONFIRMING, Kind.ACCEPTED): _row(CommitSteps.confirmed, State.DONE, State.FAILED),
    (State.CONFIRMING, Kind.CREATED): _row(CommitSteps.confirmed, State.FAILED),
    (State.CONFIRMING, Kind.MISSING): _row(CommitSteps.not_there, State.UNCERTAIN, _LOST_OR_COMMITTED),
    (State.CONFIRMING, Kind.EXPIRED): _row(OpeningSteps.again, State.CONFIRMING, State.FRESH, State.FAILED),
    (State.CONFIRMING, Kind.BUSY): _row(OpeningSteps.again, State.CONFIRMING, State.FRESH, State.FAILED),
    (State.CONFIRMING, Kind.LOST): _row(OpeningSteps.again, State.CONFIRMING, State.FRESH, State.FAILED),
    # ── HEAD after a commit of several chunks. Whatever it says, it takes back no 201. ──
    (State.MEASURING, Kind.ACCEPTED): _row(CommitSteps.measured, State.DONE, State.FAILED),
    (State.MEASURING, Kind.CREATED): _row(CommitSteps.measured, State.DONE),
    (State.MEASURING, Kind.BUSY): _row(CommitSteps.measure_again, State.MEASURING, State.DONE),
    (State.MEASURING, Kind.LOST): _row(CommitSteps.measure_again, State.MEASURING, State.DONE),
    (State.MEASURING, Kind.MISSING): _row(CommitSteps.measured, State.DONE),
    (State.MEASURING, Kind.WRONG_OFFSET): _row(CommitSteps.measured, State.DONE),
    (State.MEASURING, Kind.TOO_LARGE): _row(CommitSteps.measured, State.DONE),
    (State.MEASURING, Kind.EXPIRED): _row(CommitSteps.measured, State.DONE),
    (State.MEASURING, Kind.INVALID): _row(CommitSteps.measured, State.DONE),
    (State.MEASURING, Kind.REFUSED): _row(CommitSteps.measured, State.DONE),
    (State.MEASURING, Kind.NO_REGISTRY): _row(CommitSteps.measured, State.DONE),
}


def row_of(state: State, what: Kind | Event) -> Row:
    """Return the row for `what` happens in `state`: a refusal if the table has none."""
    return ROWS.get((state, what)) or (_REFUSED_IN_A_SESSION if state in IN_A_SESSION else _REFUSED)
