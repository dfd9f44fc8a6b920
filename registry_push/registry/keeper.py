"""Who keeps what an upload needs to be continued, and what hosts have taught us. The journal does."""

from __future__ import annotations

from typing import Protocol

from ..content.base import FileIdentity
from ..model import Digest, UploadKey
from ..protocol.upload.requests import UploadRecord
from .profile import Profile


class Keeper(Protocol):
    """Keeps records between runs."""

    def load(self, key: UploadKey) -> UploadRecord | None:
        """Return what was kept; None if nothing was."""
        ...

    def save(self, key: UploadKey, size: int, record: UploadRecord | None) -> None:
        """Keep `record` of a blob of `size` bytes; None forgets it."""
        ...

    def got_nowhere(self, key: UploadKey) -> None:
        """Note that a run got nowhere with the record at a registry that is well. The second time it is forgotten."""
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
    """For uploads that are not continued."""

    def load(self, key: UploadKey) -> UploadRecord | None:
        """Nothing."""
        return None

    def save(self, key: UploadKey, size: int, record: UploadRecord | None) -> None:
        """Keep nothing."""

    def got_nowhere(self, key: UploadKey) -> None:
        """Has nothing to forget."""

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
