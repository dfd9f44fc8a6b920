"""What an upload asks the driver to send, and what it gives it to keep."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .chunks import Span


@dataclass(frozen=True, slots=True)
class Endpoints:
    """The two URLs an upload begins with; every other comes from the registry."""

    blob: str
    uploads: str


@dataclass(frozen=True, slots=True)
class UploadRequest:
    """What to send, `after` seconds from now.

    `span` is the part of the blob that is the body; `closes` marks the PUT that commits; `is_offer` a POST that asks
    for a mount, which may be refused without harm; `is_anonymous` one that goes to a storage, whose URL is its
    credential: it carries none of ours.
    """

    method: str
    url: str
    headers: Mapping[str, str]
    span: Span | None = None
    closes: bool = False
    is_offer: bool = False
    is_anonymous: bool = False
    after: float = 0.0


@dataclass(frozen=True, slots=True)
class UploadRecord:
    """What must be kept to go on in another process: the session's URL (a capability) and the acknowledged offset.

    For parts at an Ollama registry the offset is 0, `part` the length of a part, `done` the numbers of those that are
    placed, and `first` the one to ask for at `location`: it may have been asked for there already, no other may.
    """

    location: str
    offset: int
    part: int = 0
    done: tuple[int, ...] = ()
    first: int = 0
