"""`FreshBlobs`: keeps Ollama from deleting finished blobs that no manifest names yet."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from ...errors import RegistryPushError
from ...model import Digest
from ..threads import in_thread
from .files import StoreFiles

# Seconds. When it starts, Ollama deletes blobs that no manifest names and that are older than an hour.
_EVERY: Final = 15 * 60.0


class FreshBlobs:
    """A context manager that touches the noted blobs every 15 minutes. One for all models of a run."""

    def __init__(self, root: Path, *, sleep: Callable[[float], Coroutine[Any, Any, None]] = asyncio.sleep) -> None:
        self._files = StoreFiles(root)
        self._sleep = sleep
        self._noted: set[Digest] = set()
        self._task: asyncio.Task[None] | None = None

    def note(self, digest: Digest) -> None:
        """Keep this blob fresh from now on."""
        self._noted.add(digest)

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._touch())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._task is not None, "it was entered"
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task

    async def _touch(self) -> None:
        while True:
            await self._sleep(_EVERY)
            with suppress(RegistryPushError):  # a copy that needs the blob gets the error
                await in_thread(self._touch_all, tuple(self._noted))

    def _touch_all(self, digests: tuple[Digest, ...]) -> None:
        for digest in digests:
            with suppress(RegistryPushError):
                self._files.has(digest, None)
