"""What the runs of one process share. A command has one run; the service has many at once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from msgspec import Struct

from ..events import Sink
from ..registry.means import Means
from ..settings import Settings
from ..stores.threads import in_thread
from .journal import Journal
from .places import Places


class Shared(Struct, frozen=True):
    """One journal, since its locks are the process's; one set of connections, threads and slots; one lock a blob."""

    journal: Journal | None
    means: Means
    places: Places


@asynccontextmanager
async def sharing(
    settings: Settings, sink: Sink, *, connections: int = 0, per_registry: int = 0
) -> AsyncIterator[Shared]:
    """What runs need, for as long as this is open. What is no single run's goes to `sink`.

    At most `connections` are open at once, `per_registry` of them to one; 0: any number.
    """
    async with (
        _journal(settings.state_dir, sink) as journal,
        Means(settings, sink, connections=connections, per_registry=per_registry) as means,
    ):
        yield Shared(journal, means, Places())


@asynccontextmanager
async def _journal(folder: Path | None, sink: Sink) -> AsyncIterator[Journal | None]:
    """The journal in `folder`; None where nothing is to be noted."""
    if folder is None:
        yield None
        return
    journal = await in_thread(Journal, folder, sink)
    try:
        yield journal
    finally:
        journal.close()
