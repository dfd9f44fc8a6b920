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
from .model import Descriptor, Digest, LocalReference, Reference
from .tag_events import Action as Action
from .tag_events import BlobCounts as BlobCounts
from .tag_events import TagSettled as TagSettled
from .told import Told as Told


class Placement(StrEnum):
    """How a blob got to the target: `PARTIAL` if a part of it is there; the last two are of a verification."""

    PRESENT = "present"
    MOUNTED = "mounted"
    UPLOADED = "uploaded"
    PARTIAL = "partial"
    REPAIRED = "repaired"
    DAMAGED = "damaged"


class RunStarted(Told, frozen=True):
    """Always first. `size` counts each digest of a repository once, in bytes.

    A check before or after the transfer is a run of its own, with a `phase`: `checking` what is read, or `verifying`
    what was written.
    """

    name: ClassVar = "run_started"
    models: int
    blobs: int
    size: int
    phase: str = ""


class RunGrew(Told, frozen=True):
    """The run turns out to be larger, by so many models, blobs and bytes: a plan is carried out while it is made."""

    name: ClassVar = "run_grew"
    models: int = 0
    blobs: int = 0
    size: int = 0


class ModelStarted(Told, frozen=True):
    """Work on one model begins."""

    name: ClassVar = "model_started"
    model: str
    target: Reference | LocalReference
    blobs: int
    size: int


class BlobWaiting(Told, frozen=True):
    """Another push, in this process or in another, is sending the blob; this one waits for it."""

    name: ClassVar = "blob_waiting"
    repository: str
    blob: Descriptor


class BlobStarted(Told, frozen=True):
    """An upload begins: the blob is not at the target. Not sent for blobs that are there already."""

    name: ClassVar = "blob_started"
    repository: str
    blob: Descriptor
    offset: int


class BlobProgress(Told, frozen=True):
    """`offset` bytes of the blob have been sent, or are known to be there."""

    name: ClassVar = "blob_progress"
    repository: str
    digest: Digest
    offset: int
    size: int


class BlobRewound(Told, frozen=True):
    """The `lost` bytes after `offset` have to be sent again; `reason` says why.

    `lost` is 0 if an earlier process had sent some, of which none was acknowledged.
    """

    name: ClassVar = "blob_rewound"
    repository: str
    digest: Digest
    offset: int
    size: int
    reason: str
    lost: int


class BlobDone(Told, frozen=True):
    """The blob is confirmed at the target. `sent` counts the body bytes that were sent for it."""

    name: ClassVar = "blob_done"
    repository: str
    blob: Descriptor
    placement: Placement
    sent: int


class Retrying(Told, frozen=True):
    """A request failed temporarily; it is tried again after `delay` seconds."""

    name: ClassVar = "retrying"
    what: str
    reason: str
    delay: float


class Warned(Told, frozen=True):
    """Something the user should know; the work continues."""

    name: ClassVar = "warning"
    message: str
    hint: str | None = None


class Stopping(Told, frozen=True):
    """The run was told to stop, and finishes the requests under way: `left` bytes, about `seconds` (None: not known).

    Stopping at once instead would cost `cost` bytes, which have to be sent again; `loses_uploads` if that is because
    the registry forgets an upload that is cut, `may_lose_uploads` if it is not known whether it does.
    """

    name: ClassVar = "stopping"
    left: int
    seconds: float | None
    cost: int
    loses_uploads: bool
    may_lose_uploads: bool = False


class ManifestPushed(Told, frozen=True):
    """The manifest is at the target under this tag. `sent` is False if it was there already.

    `previous` is what the tag named before; None if there was no such tag.
    """

    name: ClassVar = "manifest_pushed"
    target: Reference | LocalReference
    digest: Digest
    sent: bool
    previous: Digest | None = None


class TagSet(Struct, frozen=True):
    """A tag that a model has at its target, and the manifest that it named before; None if there was no such tag."""

    tag: str
    previous: Digest | None


class ModelDone(Told, frozen=True):
    """All of a model is at the target. `uploaded`, `mounted` and `present` count its blobs by how they got there.

    `present` is None if the target has the manifest under its tags: then all blobs are there, and were not counted.
    `repaired` were damaged, and are whole now.
    """

    name: ClassVar = "model_done"
    model: str
    target: Reference | LocalReference
    digest: Digest
    uploaded: int
    mounted: int
    present: int | None
    sent: int
    tags: tuple[TagSet, ...] = ()
    referrers: int = 0
    repaired: int = 0

    @property
    def is_there_already(self) -> bool:
        """Whether nothing had to be done: the target had the model under all of its tags."""
        is_new = self.uploaded or self.mounted or self.referrers
        return not is_new and all(each.previous == self.digest for each in self.tags)


class ModelFailed(Told, frozen=True):
    """A model was not copied; others may have been. `target` is None if its name is not allowed there.

    `begun` is False if the run was stopped before the model's turn came; then there was no `ModelStarted`.
    """

    name: ClassVar = "model_failed"
    model: str
    target: Reference | LocalReference | None
    error: RegistryPushError
    begun: bool = True


class HTTPRequest(Told, frozen=True):
    """A request is on its way, with a body of `size` bytes. Only if `Settings.debug`; secrets are `…`."""

    name: ClassVar = "http_request"
    number: int
    method: str
    url: str
    headers: dict[str, str]
    size: int


class HTTPAnswer(Told, frozen=True):
    """The result of the request with this `number` after `seconds`.

    `status` is None if there was no answer; `said` is an error's body, or why there was no answer.
    """

    name: ClassVar = "http_answer"
    number: int
    status: int | None
    headers: dict[str, str]
    said: str | None
    seconds: float


Event = (
    RunStarted
    | RunGrew
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
    | TagSettled
    | HTTPRequest
    | HTTPAnswer
)
Sink = Callable[[Event], None]


def ignore(_: Event) -> None:
    """Ignore an event: the default sink."""


def error_fields(error: RegistryPushError) -> dict[str, Any]:
    """Return an error as `--json` prints it: class, message, hint, origin, URL and exit code."""
    return {
        "code": type(error).__name__,
        "message": error.message,
        "hint": error.hint,
        "origin": error.origin.value,
        "url": error.url,
        "exit_code": error.exit_code,
    }


def as_json(event: Event) -> dict[str, Any]:
    """Return the event as `--json` prints it: `{"event": name, …}` with digests and references as strings.

    Sent bytes, and those that a dry run would send, have separate fields.
    """
    fields = {field: _plain(value) for field, value in asdict(event).items()}
    if "sent" in fields:
        none = type(fields["sent"])()  # 0 or False
        fields["would_send"] = none
        if event.dry_run:
            fields["sent"], fields["would_send"] = none, fields["sent"]
    return {"event": event.name} | fields


def _plain(value: Any) -> Any:
    match value:
        case Descriptor():
            return {"mediaType": value.media_type, "digest": str(value.digest), "size": value.size}
        case Digest() | Reference() | LocalReference():
            return str(value)
        case RegistryPushError():
            return error_fields(value)
        case BlobCounts():
            return asdict(value)
        case TagSet():
            return {"tag": value.tag, "previous": _plain(value.previous)}
        case tuple():
            return [_plain(each) for each in value]
        case float():
            return round(value, 3)
        case _:
            return value
