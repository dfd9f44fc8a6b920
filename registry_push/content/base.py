"""What every store can do. A capability that only some have is a protocol of its own."""

from __future__ import annotations

import io
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Collection
from typing import Protocol, TypeVar

from msgspec import Struct

from ..errors import RegistryPushError
from ..events import Placement
from ..model import Descriptor, Digest, Manifest

Ref = TypeVar("Ref", contravariant=True)


class FileIdentity(Struct, frozen=True):
    """Identifies a file with its present content: new content has another identity. Times in nanoseconds.

    `changed` is the inode's (ctime), which no program can set.
    """

    device: int
    inode: int
    size: int
    modified: int
    changed: int


class Placed(Struct, frozen=True):
    """How a blob came to its target, and how many bytes were sent for it."""

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

    Not a `Protocol`: `isinstance` with one evaluates all members, an fstat among them, which took 9 % of the time of
    small blobs.
    """

    @property
    @abstractmethod
    def file(self) -> io.FileIO:
        """The open file. Read it with `pread`; its file position is undefined."""
        ...

    @property
    @abstractmethod
    def name(self) -> str:
        """The name for messages; it contains the path."""
        ...

    @property
    @abstractmethod
    def opened_as(self) -> FileIdentity:
        """The identity when the file was opened."""
        ...

    @property
    @abstractmethod
    def identity(self) -> FileIdentity:
        """The identity as it is now; while it stays the same, a known hash is valid. Raises as `read_error`."""
        ...

    @abstractmethod
    def check_size(self) -> None:
        """Raise `SourceChanged` if the size is not the one the file was opened with."""
        ...


class BodyInParts(ABC):
    """A body of which parts may be missing just now."""

    @abstractmethod
    def until(self, offset: int) -> int:
        """Return where the next missing part begins, from `offset` on; `offset` itself if its part is missing."""
        ...

    @abstractmethod
    def missing(self, offset: int) -> RegistryPushError:
        """Return the error for what can't be read without the part that has `offset`."""
        ...


class Traits(Struct, frozen=True):
    """How a target is best filled, by what is known now. The copier obeys, and asks nothing else.

    `models`: how many models are under way at once: enough to hide the round trips at a model's end, few enough to
    follow on a screen. `bodies`: how many bodies are sent at once. `requests`: how many blobs may be under way that
    each cost a request without a body. Blobs of at most `small` bytes have a lane of their own, so that they never wait
    behind large ones. `asks_ahead`: answers take long, so it pays to ask for blobs before their turn to be sent.
    `opened_ahead`: how many large blobs are opened beside those that are sent, to be sent as soon as one has ended.
    `mounts_itself`: a small blob is put with the target itself among the candidates, instead of being asked for first.
    `mounts`: blobs can be mounted from other repositories at the same origin. `is_local`: a blob that the target
    reports missing is certainly missing, so that no pause helps; and the target itself bounds how often it reports
    that. `in_order`: the blobs of the whole run are put before the first manifest, one after the other, in the order of
    their digests.
    """

    bodies: int = 8
    requests: int = 8
    small: int = 8 * 1024 * 1024
    asks_ahead: bool = False
    opened_ahead: int = 0
    mounts_itself: bool = False
    mounts: bool = False
    is_local: bool = False
    in_order: bool = False
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
    """A source that can tell, without reading content, whether blobs are missing or damaged."""

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
        """The registry or folder. Blobs of one target at an origin can be mounted or found by another there."""
        ...

    @property
    def name(self) -> str:
        """The repository's name at the origin, from which others there mount."""
        ...

    @property
    def traits(self) -> Traits:
        """How to fill the target, by what is known now."""
        ...

    def expect_blobs(self, count: int) -> None:
        """Take the number of blobs of the model that is put here next."""
        ...

    async def prepare(self) -> None:
        """Prepare for the blobs that are expected, in parallel with the first request. Cancelling is safe."""
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
        """Return whether `referrer`, which is here, is found by what it is about; True if it is about nothing.

        A copy that was killed may have put it, and not yet listed it.
        """
        ...
