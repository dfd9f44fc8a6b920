"""`Context`: what the models of one run share while they are copied."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from msgspec import Struct

from ..content.base import BlobBody
from ..events import Sink
from ..model import Descriptor, Manifest
from ..pauses import Pauses
from ..state.journal import Journal
from .holders import Holders
from .job import AnyJob


class BlobSource(Protocol):
    """The source of a copy; see `Source` and `Checker`."""

    async def open(self, blob: Descriptor) -> BlobBody:
        """As `Source.open`."""
        ...

    async def check(self, manifest: Manifest) -> None:
        """As `Checker.check`; does nothing if the source can't check."""
        ...


class Context(Struct, frozen=True, kw_only=True):
    """`source_of`: the source of a model.

    `recheck`: ask for every blob, even if the manifest is there. `mounts`: ask registries to mount blobs. `pauses`:
    between the tries of a manifest. `begins` is called with each model before its first blob is checked. `began`: the
    start of the run by the journal's clock.
    """

    source_of: Callable[[AnyJob], BlobSource]
    sink: Sink
    journal: Journal | None
    stop: asyncio.Event
    pauses: Pauses
    holders: Holders
    recheck: bool
    mounts: bool
    begins: Callable[[AnyJob], None]
    began: float
