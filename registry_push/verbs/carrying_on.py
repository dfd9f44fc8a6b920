"""Copies, pulls, exports, imports and syncs that were recorded, carried out again."""

from __future__ import annotations

import asyncio
from pathlib import Path

from ..errors import Interrupted, TooManyDeletions
from ..events import Event, ModelDone, ModelFailed, Sink
from ..settings import Settings
from ..state.records import Whole
from ..state.sync_record import SyncRecord
from ..transfer.report import Report
from .copy import carry_out_again as copy_again
from .export import export
from .importing import import_models


async def carry_out_again(record: Whole, *, settings: Settings, sink: Sink, stop: asyncio.Event) -> Report:
    """Continue what is recorded. Raises as `copy`."""
    if isinstance(record, SyncRecord):
        return await _sync_again(record, settings=record.settings(settings), sink=sink, stop=stop)
    details, own = record.details, record.settings(settings)
    match record.verb:
        case "export":
            done = await export(
                record.sources,
                record.target,
                since=details.since,
                split=details.split,
                verify_medium=details.verify_medium,
                referrers=record.referrers,
                settings=own,
                sink=sink,
                stop=stop,
            )
            return done.report
        case "import":
            imported = await import_models(
                record.sources,
                record.target,
                partial=details.partial,
                check=details.check,
                referrers=record.referrers,
                settings=own,
                sink=sink,
                stop=stop,
            )
            return imported.report
        case _:
            return await copy_again(record, settings=settings, sink=sink, stop=stop)


async def _sync_again(record: SyncRecord, *, settings: Settings, sink: Sink, stop: asyncio.Event) -> Report:
    """Carry out the plan again; the report has what was copied, and what failed."""
    from .sync.sync import SyncOptions, sync, sync_pinned

    models: list[ModelDone | ModelFailed] = []

    def told(event: Event) -> None:
        if isinstance(event, ModelDone | ModelFailed):
            models.append(event)
        sink(event)

    options = SyncOptions(
        delete=record.delete,
        max_delete=record.max_delete,
        fail_fast=record.fail_fast,
        folder=Path(record.folder) if record.folder is not None else None,
    )
    carry_out = sync_pinned if record.pinned else sync
    report = await carry_out(Path(record.plan), options, settings=settings, sink=told, stop=stop)
    if isinstance(report.error, Interrupted | TooManyDeletions):
        raise report.error
    return Report(tuple(models), "copied")
