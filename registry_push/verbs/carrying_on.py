"""Copies, pulls, exports and imports that were recorded, carried out again."""

from __future__ import annotations

import asyncio

from ..events import Sink
from ..settings import Settings
from ..state.copy_record import CopyRecord
from ..transfer.report import Report
from .copy import carry_out_again as copy_again
from .export import export
from .importing import import_models


async def carry_out_again(record: CopyRecord, *, settings: Settings, sink: Sink, stop: asyncio.Event) -> Report:
    """Continue what is recorded. Raises as `copy`."""
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
