"""`Keeper`: stores what is needed to continue uploads, and what was learned of hosts. The journal is one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from ..content.base import FileIdentity
from ..model import Digest, UploadKey
from .profile import Profile

if TYPE_CHECKING:
    from ..protocol.upload.requests import UploadRecord


class Keeper(Protocol):
    """Keeps records between runs."""

    def load(self, key: UploadKey) -> UploadRecord | None:
        """Return the stored record; None if there is none."""
        ...

    def save(self, key: UploadKey, size: int, record: UploadRecord | None) -> None:
        """Store `record` of a blob of `size` bytes; None removes it."""
        ...

    def got_nowhere(self, key: UploadKey) -> None:
        """Note that a run made no progress with the upload at a working registry; forget the record the second time."""
        ...

    def profile(self, origin: str) -> Profile | None:
        """Return what was learned of the registry at `origin`; None if nothing was."""
        ...

    def learn(self, origin: str, profile: Profile) -> None:
        """Keep what was learned."""
        ...

    def verified(self, file: FileIdentity) -> Digest | None:
        """Return what the file was hashed to; None if it was not, or has changed since."""
        ...

    def verify(self, file: FileIdentity, digest: Digest) -> None:
        """Keep what the file was hashed to."""
        ...


class KeepNothing:
    """A keeper that stores nothing, for uploads that are not continued."""

    def load(self, key: UploadKey) -> UploadRecord | None:
        """Nothing."""
        return None

    def save(self, key: UploadKey, size: int, record: UploadRecord | None) -> None:
        """Keep nothing."""

    def got_nowhere(self, key: UploadKey) -> None:
        """Do nothing."""

    def profile(self, origin: str) -> Profile | None:
        """Nothing."""
        return None

    def learn(self, origin: str, profile: Profile) -> None:
        """Keep nothing."""

    def verified(self, file: FileIdentity) -> Digest | None:
        """Nothing."""
        return None

    def verify(self, file: FileIdentity, digest: Digest) -> None:
        """Keep nothing."""
