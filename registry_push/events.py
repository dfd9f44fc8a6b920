"""What happens during a transfer, as values.

The core calls a plain `sink(event)` that never blocks. The terminal's bars, the plain log, `--json` lines, the
service's NDJSON and the library's iterator are readers of this one stream. Offsets are absolute and count from
the blob's start; when bytes must be sent again there is a `BlobRewound`, never a negative difference.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Any, ClassVar

from msgspec import Struct
from msgspec.structs import asdict

from .errors import RegistryPushError
from .model import Descriptor, Digest, Reference


class Placement(StrEnum):
    """How a blob came to be at the target."""

    PRESENT = "present"
    MOUNTED = "mounted"
    UPLOADED = "uploaded"


class RunStarted(Struct, frozen=True):
    """Always first. `size` counts each digest of a repository once, in bytes."""

    name: ClassVar = "run_started"
    models: int
    blobs: int
    size: int


class ModelStarted(Struct, frozen=True):
    """Work on one model begins."""

    name: ClassVar = "model_started"
    model: str
    target: Reference
    blobs: int
    size: int


class BlobWaiting(Struct, frozen=True):
    """Another push, in this process or in another, sends the blob just now; this one waits for that."""

    name: ClassVar = "blob_waiting"
    repository: str
    blob: Descriptor


class BlobStarted(Struct, frozen=True):
    """An upload begins: the blob is not at the target. Not sent for blobs that are there already."""

    name: ClassVar = "blob_started"
    repository: str
    blob: Descriptor
    offset: int


class BlobProgress(Struct, frozen=True):
    """`offset` bytes of the blob have been given to the line, or are known to be there."""

    name: ClassVar = "blob_progress"
    repository: str
    digest: Digest
    offset: int
    size: int


class BlobRewound(Struct, frozen=True):
    """The `lost` bytes behind `offset` have to be sent again; `reason` says why.

    0 are lost where an earlier process had sent some, none of which was acknowledged.
    """

    name: ClassVar = "blob_rewound"
    repository: str
    digest: Digest
    offset: int
    size: int
    reason: str
    lost: int


class BlobDone(Struct, frozen=True):
    """The blob is confirmed at the target. `sent` counts its body bytes that went over the line."""

    name: ClassVar = "blob_done"
    repository: str
    blob: Descriptor
    placement: Placement
    sent: int


class Retrying(Struct, frozen=True):
    """A request failed in a way that may pass; it is tried again after `delay` seconds."""

    name: ClassVar = "retrying"
    what: str
    reason: str
    delay: float


class Warned(Struct, frozen=True):
    """Something the user should know; the work goes on."""

    name: ClassVar = "warning"
    message: str
    hint: str | None = None


class Stopping(Struct, frozen=True):
    """The run was told to stop, and finishes the requests under way: `left` bytes, about `seconds` (None: not known).

    To stop at once instead costs `cost` bytes, which go again then; `loses_uploads` if that is because the registry
    forgets an upload that is cut.
    """

    name: ClassVar = "stopping"
    left: int
    seconds: float | None
    cost: int
    loses_uploads: bool


class ManifestPushed(Struct, frozen=True):
    """The manifest is at the target under this tag. `sent` is False if it was there already."""

    name: ClassVar = "manifest_pushed"
    target: Reference
    digest: Digest
    sent: bool


class ModelDone(Struct, frozen=True):
    """All of a model is at the target."""

    name: ClassVar = "model_done"
    model: str
    target: Reference
    digest: Digest
    uploaded: int
    mounted: int
    present: int
    sent: int


class ModelFailed(Struct, frozen=True):
    """A model did not get to the target; others may have."""

    name: ClassVar = "model_failed"
    model: str
    target: Reference
    error: RegistryPushError


class HTTPRequest(Struct, frozen=True):
    """A request is on its way, with a body of `size` bytes. Only if `Settings.debug`; secrets are `…`."""

    name: ClassVar = "http_request"
    number: int
    method: str
    url: str
    headers: dict[str, str]
    size: int


class HTTPAnswer(Struct, frozen=True):
    """What came of the request of this `number` after so many `seconds`.

    `status` is None if there was no answer; `said` is what an error's body says, or why there was no answer.
    """

    name: ClassVar = "http_answer"
    number: int
    status: int | None
    headers: dict[str, str]
    said: str | None
    seconds: float


Event = (
    RunStarted
    | ModelStarted
    | BlobWaiting
    | BlobStarted
    | BlobProgress
    | BlobRewound
    | BlobDone
    | Retrying
    | Warned
    | Stopping
    | ManifestPushed
    | ModelDone
    | ModelFailed
    | HTTPRequest
    | HTTPAnswer
)
Sink = Callable[[Event], None]


def ignore(_: Event) -> None:
    """A sink for those who don't look."""


def error_fields(error: RegistryPushError) -> dict[str, Any]:
    """What `--json` says of an error: class, message, hint, origin, URL and exit code."""
    return {
        "code": type(error).__name__,
        "message": error.message,
        "hint": error.hint,
        "origin": error.origin.value,
        "url": error.url,
        "exit_code": error.exit_code,
    }


def as_json(event: Event) -> dict[str, Any]:
    """The event as `--json` prints it: `{"event": name, …}` with digests and references as strings."""
    return {"event": event.name} | {field: _plain(value) for field, value in asdict(event).items()}


def _plain(value: Any) -> Any:
    match value:
        case Descriptor():
            return {"mediaType": value.media_type, "digest": str(value.digest), "size": value.size}
        case Digest() | Reference():
            return str(value)
        case RegistryPushError():
            return error_fields(value)
        case float():
            return round(value, 3)
        case _:
            return value
