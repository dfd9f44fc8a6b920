"""What the runs of one process share. A command has one run; the service has many at once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from msgspec import Struct

from ..content.threads import in_thread
from ..events import Sink
from ..registry.runtime import Runtime
from ..settings import Settings
from ..state.journal import Journal
from ..transfer.in_flight import InFlight


class Shared(Struct, frozen=True):
    """One journal, since its locks are per process; one set of connections, threads and slots; one lock per blob."""

    journal: Journal | None
    means: Runtime
    places: InFlight


@asynccontextmanager
async def sharing(
    settings: Settings, sink: Sink, *, connections: int = 0, per_registry: int = 0
) -> AsyncIterator[Shared]:
    """Yield the resources of runs. Events that concern no single run are sent to `sink`.

    At most `connections` are open at once, `per_registry` of them to one; 0: any number.
    """
    async with (
        _journal(settings.state_dir, sink) as journal,
        Runtime(settings, sink, connections=connections, per_registry=per_registry) as means,
    ):
        yield Shared(journal, means, InFlight())


@asynccontextmanager
async def _journal(folder: Path | None, sink: Sink) -> AsyncIterator[Journal | None]:
    """Yield the journal in `folder`; None if nothing is to be recorded."""
    if folder is None:
        yield None
        return
    journal = await in_thread(Journal, folder, sink)
    try:
        yield journal
    finally:
        journal.close()
