"""Where an upload can stand, and what each kind of answer does to it: the name of a step of `UploadSession`."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, auto
from typing import Final

from ..response import Kind


class State(Enum):
    """Where an upload stands; each state has one request that leads on."""

    NEW = auto()  # POST: open a session, or mount
    PARTS = auto()  # Ollama's: many PATCHes, each answered with where its part should go
    DIRECT = auto()  # Ollama's: PUT the whole blob to its storage
    OPEN = auto()  # PATCH: the next chunk
    UNCERTAIN = auto()  # GET: how far did it come?
    COMMITTING = auto()  # PUT: close with the digest
    CONFIRMING = auto()  # HEAD: the answer to the PUT was lost; is the blob there?
    MEASURING = auto()  # HEAD: several chunks were committed; is the blob as long as it should be?
    GONE = auto()  # the session is lost: POST again, bounded
    FRESH = auto()  # POST: all tries of the session were for nothing; is it the session, or the registry?
    DONE = auto()
    FAILED = auto()


# Every pair that is not here is a refusal.
TRANSITIONS: Final[Mapping[tuple[State, Kind], str]] = {
    (State.NEW, Kind.CREATED): "mounted",
    (State.NEW, Kind.ACCEPTED): "opened",
    (State.NEW, Kind.MISSING): "without_mount",
    (State.NEW, Kind.EXPIRED): "without_mount",  # Harbor: 401 for a mount from an absent project
    (State.NEW, Kind.INVALID): "without_mount",
    (State.NEW, Kind.REFUSED): "without_mount",
    (State.NEW, Kind.BUSY): "again",
    (State.NEW, Kind.LOST): "again",
    #
    (State.GONE, Kind.CREATED): "mounted",
    (State.GONE, Kind.ACCEPTED): "opened",
    (State.GONE, Kind.MISSING): "without_mount",
    (State.GONE, Kind.EXPIRED): "without_mount",
    (State.GONE, Kind.INVALID): "without_mount",
    (State.GONE, Kind.REFUSED): "without_mount",
    (State.GONE, Kind.BUSY): "again",
    (State.GONE, Kind.LOST): "again",
    #
    (State.FRESH, Kind.CREATED): "mounted",
    (State.FRESH, Kind.ACCEPTED): "opened_beside",
    (State.FRESH, Kind.MISSING): "without_mount",
    (State.FRESH, Kind.EXPIRED): "without_mount",
    (State.FRESH, Kind.INVALID): "without_mount",
    (State.FRESH, Kind.REFUSED): "without_mount",
    (State.FRESH, Kind.BUSY): "unavailable",
    (State.FRESH, Kind.LOST): "unavailable",
    #
    (State.OPEN, Kind.ACCEPTED): "acknowledged",
    (State.OPEN, Kind.CREATED): "acknowledged",  # ECR answers a PATCH with 201
    (State.OPEN, Kind.MISSING): "chunk_missing",
    (State.OPEN, Kind.WRONG_OFFSET): "ask",
    (State.OPEN, Kind.TOO_LARGE): "too_large",
    (State.OPEN, Kind.INVALID): "chunk_invalid",
    (State.OPEN, Kind.REFUSED): "chunk_refused",
    (State.OPEN, Kind.EXPIRED): "ask_later",
    (State.OPEN, Kind.BUSY): "ask_later",
    (State.OPEN, Kind.LOST): "ask_later",
    #
    (State.DIRECT, Kind.CREATED): "placed_directly",
    (State.DIRECT, Kind.ACCEPTED): "placed_directly",
    (State.DIRECT, Kind.NO_REGISTRY): "placed_directly",  # a storage; Google's calls its empty answers HTML
    # The URL has run out, or the line broke: only a new session has another URL.
    (State.DIRECT, Kind.INVALID): "gone",
    (State.DIRECT, Kind.EXPIRED): "gone",
    (State.DIRECT, Kind.REFUSED): "gone",
    (State.DIRECT, Kind.MISSING): "gone",
    (State.DIRECT, Kind.BUSY): "gone",
    (State.DIRECT, Kind.LOST): "gone",
    #
    (State.UNCERTAIN, Kind.ACCEPTED): "told",
    (State.UNCERTAIN, Kind.CREATED): "told",
    (State.UNCERTAIN, Kind.MISSING): "gone",
    (State.UNCERTAIN, Kind.WRONG_OFFSET): "gone",
    (State.UNCERTAIN, Kind.INVALID): "gone",
    (State.UNCERTAIN, Kind.REFUSED): "gone",  # 405: a registry without status (GAR)
    (State.UNCERTAIN, Kind.EXPIRED): "again",
    (State.UNCERTAIN, Kind.BUSY): "again",
    (State.UNCERTAIN, Kind.LOST): "again",
    #
    (State.COMMITTING, Kind.CREATED): "committed",
    (State.COMMITTING, Kind.ACCEPTED): "confirm",  # old Artifactory; only 201 is a promise
    (State.COMMITTING, Kind.MISSING): "session_unknown",
    (State.COMMITTING, Kind.REFUSED): "commit_refused",
    (State.COMMITTING, Kind.WRONG_OFFSET): "ask_after_commit",
    (State.COMMITTING, Kind.TOO_LARGE): "too_large",
    (State.COMMITTING, Kind.INVALID): "commit_invalid",
    (State.COMMITTING, Kind.EXPIRED): "again",
    (State.COMMITTING, Kind.BUSY): "confirm_later",
    (State.COMMITTING, Kind.LOST): "confirm_later",
    #
    (State.CONFIRMING, Kind.ACCEPTED): "confirmed",
    (State.CONFIRMING, Kind.CREATED): "confirmed",
    (State.CONFIRMING, Kind.MISSING): "not_there",
    (State.CONFIRMING, Kind.EXPIRED): "again",
    (State.CONFIRMING, Kind.BUSY): "again",
    (State.CONFIRMING, Kind.LOST): "again",
    #
    (State.MEASURING, Kind.ACCEPTED): "measured",
    (State.MEASURING, Kind.CREATED): "measured",
    (State.MEASURING, Kind.BUSY): "measure_again",
    (State.MEASURING, Kind.LOST): "measure_again",
    # The commit was answered 201, and that is the registry's word; whatever else HEAD says, it denies no byte.
    (State.MEASURING, Kind.MISSING): "believed",
    (State.MEASURING, Kind.WRONG_OFFSET): "believed",
    (State.MEASURING, Kind.TOO_LARGE): "believed",
    (State.MEASURING, Kind.EXPIRED): "believed",
    (State.MEASURING, Kind.INVALID): "believed",
    (State.MEASURING, Kind.REFUSED): "believed",
    (State.MEASURING, Kind.NO_REGISTRY): "believed",
}
