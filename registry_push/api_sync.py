"""The library's `sync`."""

from __future__ import annotations

from pathlib import Path

from .api import blocking, checked_settings
from .api_arguments import in_our_words, wording
from .errors import SomeFailed
from .events import Sink, ignore
from .settings import Settings
from .verbs.sync.sync import SyncOptions, sync_pinned
from .verbs.sync.sync import sync as sync_plan
from .verbs.sync.totals import SyncReport as SyncReport


async def sync(
    plan: str | Path,
    *,
    pinned: bool = False,
    dry_run: bool = False,
    delete: bool = False,
    max_delete: int | None = None,
    fail_fast: bool = False,
    report: str | Path | None = None,
    plan_out: str | Path | None = None,
    settings: Settings | None = None,
    sink: Sink = ignore,
) -> SyncReport:
    """Carry out the plan in the file `plan`, as the command does; if it is `pinned`, what `plan_out` has written.

    Returns what was done with each tag. Raises the tag's error if there is one tag; `SomeFailed`, which carries the
    report, if some of several failed; `TooManyDeletions`, and what the command raises before it begins. What the plan
    says goes before `settings`. Cancelling is safe: what has been copied stays, and the same call continues.
    """
    options = SyncOptions(
        dry_run=dry_run,
        delete=delete,
        max_delete=max_delete,
        fail_fast=fail_fast,
        report=None if report is None else Path(report),
        plan_out=None if plan_out is None else Path(plan_out),
        keeps_all=True,
    )
    carry_out = sync_pinned if pinned else sync_plan
    with in_our_words():
        done = await carry_out(Path(plan), options, settings=checked_settings(settings), sink=wording(sink))
        if isinstance(done.error, SomeFailed):
            done.error.report = done
        if done.error is not None:
            raise done.error
        return done


sync_sync = blocking(sync)
