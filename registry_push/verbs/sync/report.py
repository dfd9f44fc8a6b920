"""The report of a sync, as JSON: one entry for each tag of each source, at each target."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from ...events import TagSettled, error_fields
from .output_files import write_whole
from .totals import SyncReport

VERSION: Final = 1


def report_of(report: SyncReport, plan: str, *, dry_run: bool) -> dict[str, Any]:
    """Return the report as JSON has it."""
    return {
        "version": VERSION,
        "run": report.run,
        "started": report.started,
        "plan": plan,
        "dry_run": dry_run,
        "entries": [entry_of(each) for each in report.settled],
        "totals": report.totals.fields,
    }


def entry_of(settled: TagSettled) -> dict[str, Any]:
    """Return what was done with one tag."""
    error = error_fields(settled.error) if settled.error is not None else None
    return {
        "entry": settled.entry,
        "source": settled.source,
        "target": str(settled.target) if settled.target is not None else None,
        "digest": str(settled.digest) if settled.digest is not None else None,
        "previous": str(settled.previous) if settled.previous is not None else None,
        "backup": settled.backup,
        "action": settled.action.value,
        "reason": settled.reason,
        "bytes": settled.bytes,
        "blobs": {"sent": settled.blobs.sent, "mounted": settled.blobs.mounted, "present": settled.blobs.present},
        "referrers": settled.referrers,
        "seconds": round(settled.seconds, 3),
        "error": {name: error[name] for name in ("code", "message", "exit_code")} if error is not None else None,
    }


def in_order(settled: Iterable[TagSettled]) -> tuple[TagSettled, ...]:
    """Return `settled` in the order of the plan, then by name, so that two reports can be compared."""
    return tuple(sorted(settled, key=lambda each: (each.entry, each.source or "", str(each.target or ""), each.action)))


def write_document(path: Path, document: dict[str, Any]) -> None:
    """Write `document` at `path`, whole or not at all. Raises `Unwritable`, `Unavailable`."""
    text = json.dumps(document, indent=1, ensure_ascii=False) + "\n"
    write_whole(path, text)
