"""What `sync` tells of each tag."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

from msgspec import Struct

from .errors import RegistryPushError
from .model import Digest, LocalReference, Reference
from .told import Told


class Action(StrEnum):
    """What `sync` does with a tag.

    `PRESENT`: the target has the same manifest. `KEPT`: it has another one, which stays. `SKIPPED`: the plan leaves the
    tag out. `LEFT`: it should be deleted, and can't be.
    """

    COPIED = "copied"
    PRESENT = "present"
    KEPT = "kept"
    DELETED = "deleted"
    LEFT = "left"
    SKIPPED = "skipped"
    FAILED = "failed"


class BlobCounts(Struct, frozen=True):
    """How the blobs of a model came to its target. All are 0 if the target had the manifest, or none was needed."""

    sent: int = 0
    mounted: int = 0
    present: int = 0


class TagSettled(Told, frozen=True):
    """`sync` has done with a tag what the `entry` of the plan (its number, from 1) says, and this is why.

    `source` is None for a tag that only the target has; `target` is None if nothing was to go anywhere. `bytes` were
    sent for it, in a dry run: would be sent. `previous` is what the target had under the tag. `backup` is the tag that
    this has now. `whole`: with the tag its manifest was deleted.
    """

    name: ClassVar = "tag_settled"
    entry: int
    source: str | None
    target: Reference | LocalReference | None
    action: Action
    reason: str
    digest: Digest | None = None
    previous: Digest | None = None
    backup: str | None = None
    bytes: int = 0
    blobs: BlobCounts = BlobCounts()
    referrers: int = 0
    seconds: float = 0.0
    whole: bool = False
    error: RegistryPushError | None = None
