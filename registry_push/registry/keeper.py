"""Who keeps what an upload needs to be gone on with. The journal does; uploads know no more of it than this."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from ..model import Digest
from ..protocol.upload_request import UploadRecord


@dataclass(frozen=True, slots=True)
class UploadKey:
    """One upload: a digest on its way into a repository at an origin (`scheme://host[:port]`)."""

    origin: str
    repository: str
    digest: Digest


class Keeper(Protocol):
    """Keeps records between runs."""

    def load(self, key: UploadKey) -> UploadRecord | None:
        """What was kept; None where nothing was."""
        ...

    def save(self, key: UploadKey, size: int, record: UploadRecord | None) -> None:
        """Keeps `record` of a blob of `size` bytes; None forgets it."""
        ...


class KeepNothing:
    """For uploads that are not gone on with."""

    def load(self, key: UploadKey) -> UploadRecord | None:
        """Nothing."""
        return None

    def save(self, key: UploadKey, size: int, record: UploadRecord | None) -> None:
        """Keeps nothing."""
