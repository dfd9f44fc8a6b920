"""Where an upload can stand, and what can happen to it besides an answer. Pure.

What follows from what is in two tables, one for each dialect: `oci_table.py` and `ollama_table.py`.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Final


class State(Enum):
    """Where an upload stands. Each state has one request that leads on; the last three have none."""

    NEW = auto()  # POST: open a session, or mount
    MOUNTING = auto()  # POST: mount the blob, which may spare the session that an earlier process left
    PARTS = auto()  # Ollama's: many PATCHes, each answered with where its part should go
    DIRECT = auto()  # Ollama's: PUT the whole blob to its storage
    OPEN = auto()  # PATCH: the next chunk
    UNCERTAIN = auto()  # GET: how many bytes does the session have?
    COMMITTING = auto()  # PUT: close with the digest
    CONFIRMING = auto()  # HEAD: the answer to the PUT was lost or no promise; is the blob there?
    MEASURING = auto()  # HEAD: several chunks were committed; is the blob as long as it should be?
    GONE = auto()  # POST: the session is lost; open another, a bounded number of times
    FRESH = auto()  # POST: all tries of the session failed; is it the session, or the registry?
    HANDED_OVER = auto()  # a session was opened at Ollama's registry: the other machine continues, with the same answer
    DONE = auto()
    FAILED = auto()


class Event(Enum):
    """What changes an upload without an answer to its last request."""

    LAST_CHUNK = auto()  # the next chunk is the last, and this registry wants that one in the PUT (ECR)
    PARTS_PLACED = auto()  # all parts are in the storage
    PARTS_LOST = auto()  # the session of the parts is gone
    PARTS_GIVEN_UP = auto()  # no try is left for the parts
    PARTS_REFUSED = auto()  # a part was refused for good
    UNREACHABLE = auto()  # the session's host can't be asked at all: its certificate is wrong, or it is closed to us


# States whose requests go to the session's own URL.
IN_A_SESSION: Final = (State.PARTS, State.DIRECT, State.OPEN, State.UNCERTAIN, State.COMMITTING)
# States whose requests can have a body.
WITH_BODY: Final = (State.PARTS, State.DIRECT, State.OPEN, State.COMMITTING)
# States whose request is a POST.
POSTING: Final = (State.NEW, State.MOUNTING, State.GONE, State.FRESH)
