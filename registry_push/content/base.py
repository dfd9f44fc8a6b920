"""What every store can do. A capability that only some have is a protocol of its own."""

from __future__ import annotations

import io
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Collection
from typing import Protocol, TypeVar

from msgspec import Struct

from ..events import Placement
from ..model import Descriptor, Manifest

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
        """Yields exactly `length` bytes from `offset`. Raises an `IntegrityError` where they are not there."""
        ...

    async def close(self) -> None:
        """Gives back what the body holds. Safe to call twice."""
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
        """Raises `SourceChanged` if the size is not the one the file was opened with."""
        ...


class Source(Protocol[Ref]):
    """A store that is read."""

    async def resolve(self, ref: Ref) -> Manifest:
        """The manifest that `ref` names. Raises `ModelNotFound`, `ManifestCorrupt`, `Unreadable`."""
        ...

    async def open(self, blob: Descriptor) -> BlobBody:
        """The body of `blob`; the caller closes it.

        Raises `BlobMissing` where it is not there, `BlobCorrupt` where its size is wrong.
        """
        ...


class Target(Protocol):
    """A store that is written. A cancelled call leaves nothing half-written that could be taken for whole."""

    async def exists(self, blob: Descriptor) -> bool:
        """Whether the blob is here."""
        ...

    async def push(self, blob: Descriptor, body: BlobBody) -> Placement:
        """Puts the blob here. The content is hashed on the way; wrong content raises `BlobCorrupt`, uncommitted."""
        ...

    async def tag(self, manifest: Manifest, tag: str) -> None:
        """Puts the manifest under `tag`. Raises `ManifestRefused` if a blob it names is not here."""
        ...


class Mounter(Protocol):
    """A target that can take a blob from another of its repositories without its bytes."""

    async def mount(self, blob: Descriptor, body: BlobBody, repositories: Collection[str]) -> Placed:
        """As `push`, but asks for the blob from each of `repositories` before any byte is sent."""
        ...
