"""What every store can do. A capability that only some have is a protocol of its own."""

from __future__ import annotations

import io
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Collection
from typing import Protocol, TypeVar

from msgspec import Struct

from ..events import Placement
from ..model import Descriptor, Digest, Manifest

Ref = TypeVar("Ref", contravariant=True)


class FileIdentity(Struct, frozen=True):
    """What tells a file with this content from any other: a new content has a new one. Times in nanoseconds.

    `changed` is the inode's (ctime), which no program can set.
    """

    device: int
    inode: int
    size: int
    modified: int
    changed: int


class Placed(Struct, frozen=True):
    """How a blob came to its target, and how many bytes of it went over the line for that."""

    placement: Placement
    sent: int = 0


class BlobBody(Protocol):
    """The bytes of one blob, readable from any offset as often as needed.

    A stream that is consumed by reading can't be retried, so it is no body.
    """

    @property
    def size(self) -> int:
        """Bytes."""
        ...

    def open(self, offset: int, length: int) -> AsyncIterator[bytes]:
        """Yield exactly `length` bytes from `offset`. Raises an `IntegrityError` if they are not there."""
        ...

    async def close(self) -> None:
        """Release what the body holds. Safe to call twice."""
        ...


class LocalFile(ABC):
    """A body that is a file on this machine: the kernel can send it, and a thread can hash it.

    No protocol: to ask a body whether it follows one evaluates its members, an fstat among them; that was 9 % of the
    time that small blobs take.
    """

    @property
    @abstractmethod
    def file(self) -> io.FileIO:
        """The open file; its own position is nobody's, readers use positions of theirs (pread)."""
        ...

    @property
    @abstractmethod
    def name(self) -> str:
        """What messages call it; its path is part of that."""
        ...

    @property
    @abstractmethod
    def opened_as(self) -> FileIdentity:
        """As it was when it was opened."""
        ...

    @property
    @abstractmethod
    def identity(self) -> FileIdentity:
        """As it is now; while it stays, what was hashed need not be hashed again. Raises as `read_error`."""
        ...

    @abstractmethod
    def check_size(self) -> None:
        """Raise `SourceChanged` if the size is not the one the file was opened with."""
        ...


class Traits(Struct, frozen=True):
    """How a target is best filled, as far as it is known by now. The copier obeys, and asks nothing else.

    `models` are so many that are under way at once: enough to hide the round trips at a model's end, few enough to
    follow on a screen. `bodies` are so many that go at once, `requests` so many blobs of which each may cost a request
    without a body.
    Blobs of at most `small` bytes have a lane of their own, so that they never wait behind large ones. `asks_ahead`:
    answers take long, so blobs are worth asking for before their turn to be sent comes. `mounts_itself`: a small blob
    is put with the target itself among the candidates, instead of being asked for first. `mounts`: blobs can be had
    from other repositories at the same origin. `is_local`: what the target says it lacks, it lacks for certain, so that
    no pause helps; and it counts itself how often it may say so.
    """

    bodies: int = 8
    requests: int = 8
    small: int = 8 * 1024 * 1024
    asks_ahead: bool = False
    mounts_itself: bool = False
    mounts: bool = False
    is_local: bool = False
    models: int = 4


class Source(Protocol[Ref]):
    """A store that is read."""

    async def resolve(self, ref: Ref) -> Manifest:
        """Return the manifest that `ref` names. Raises `ModelNotFound`, `ManifestCorrupt`, `Unreadable`."""
        ...

    async def open(self, blob: Descriptor) -> BlobBody:
        """Return the body of `blob`; the caller closes it.

        Raises `BlobMissing` if it is not there, `BlobCorrupt` if its size is wrong: at the latest when it is read.
        """
        ...


class Checker(Protocol):
    """A source that sees, content unread, whether blobs are missing or damaged."""

    async def check(self, manifest: Manifest) -> None:
        """Raise one error for all blobs of `manifest` that are missing, unreadable or damaged."""
        ...


class TagLister(Protocol):
    """A store that lists the names of its manifests."""

    async def tags(self) -> tuple[str, ...]:
        """Return every tag, in no particular order."""
        ...


class Target(Protocol):
    """A store that is written. A cancelled call leaves nothing half-written that could be taken for whole."""

    @property
    def origin(self) -> str:
        """The registry or folder. What one target at an origin holds, another there may mount or find."""
        ...

    @property
    def name(self) -> str:
        """The repository's name at the origin, by which others there mount from it."""
        ...

    @property
    def traits(self) -> Traits:
        """How to fill it, by what is known now."""
        ...

    async def prepare(self, blobs: int) -> None:
        """Get ready for so many blobs, while the first question is asked. Cancelling is safe."""
        ...

    async def exists(self, blob: Descriptor) -> bool:
        """Return whether the blob is here."""
        ...

    async def put(self, blob: Descriptor, body: BlobBody, *, candidates: Collection[str] = ()) -> Placed:
        """Put the blob here, or have it mounted from one of the repositories `candidates` before a byte is sent.

        The content is hashed on the way; wrong content raises `BlobCorrupt`, and nothing is committed.
        """
        ...

    async def put_manifest(self, manifest: Manifest, ref: str) -> None:
        """Put the manifest under `ref`, a tag or its own digest. Raises `ManifestRefused` if it lacks a blob."""
        ...

    async def digest_of(self, ref: str) -> Digest | None:
        """Return the digest of the manifest under `ref`; None if there is none or the target can't tell."""
        ...

    async def lists(self, referrer: Manifest) -> bool:
        """Whether `referrer`, which is here, is found by what it is about; True if it is about nothing.

        A copy that was killed may have put it, and not yet listed it.
        """
        ...
