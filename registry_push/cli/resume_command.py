"""`registry-push resume`."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from typing import TYPE_CHECKING, Any

import click

from ..errors import UsageError
from ..events import Warned, as_json
from ..options.flags import option, options, settings_of
from ..options.grouped_help import GroupedCommand
from .candidates import hosts
from .render import RESUME, Renderer, words
from .render.tables import BegunRow, UploadRow, nothing_begun, terminal_width, under_way_lines
from .running import Outcome, run

if TYPE_CHECKING:
    from ..verbs.resume import UnderWay


@click.command("resume", cls=GroupedCommand)
@click.argument("targets", nargs=-1, metavar="[TARGET]…", shell_complete=hosts)
@option("--list", "lists", is_flag=True, help="Only show what is under way.")
@option("--cancel", "cancels", is_flag=True, help="Cancel it: free what the registries hold, and forget it.")
@options("registry", "transfer", "uploads", "output")
def command(targets: tuple[str, ...], lists: bool, cancels: bool, **flags: Any) -> None:
    """Resume what was interrupted: pushes, pulls, copies, exports and imports, stopped by Ctrl-C, a crash, a reboot, or
    a registry that went away.

    TARGET is where they go: HOST, HOST/PATH, a place such as oci:DIR, or a glob in quotes
    ('registry.example.com/ml/*'); without one, all of them. How registries were to be reached is remembered; a login is
    not: give it again, or use docker's.

    \b
    Examples:
      registry-push resume --list
      registry-push resume
      registry-push resume --cancel 'localhost:5000/*'
    """
    if flags["no_resume"]:
        raise UsageError("--no-resume and resume exclude each other", hint="leave --no-resume out")
    if lists and cancels:
        raise UsageError("--list and --cancel exclude each other", hint="leave one of them out")
    settings = settings_of(flags)
    if settings.state_dir is None:
        raise UsageError(
            "this user has no home folder, where uploads under way are noted",
            hint="name the folder that the push noted them in: --state-dir DIR; or set HOME",
        )
    state_dir = settings.state_dir

    async def listing(show: Renderer, _stop: asyncio.Event) -> Outcome:
        from ..verbs.resume import open_journal, under_way

        journal = open_journal(state_dir, show)
        try:
            return _listed(under_way(journal, targets))
        finally:
            if journal is not None:
                journal.close()

    async def cancelling(show: Renderer, _stop: asyncio.Event) -> Outcome:
        from ..verbs.resume import give_up, open_journal, under_way

        journal = open_journal(state_dir, show)
        if journal is None:
            return Outcome(["nothing is under way"], {"freed": 0, "forgotten": 0, "busy": 0})
        try:
            wanted = under_way(journal, targets)
            done = await give_up(journal, wanted, settings=settings, sink=show)
        finally:
            journal.close()
        if done.busy:
            show(Warned(f"{done.busy} of them are being sent by another process, which keeps them"))
        words = (
            f"runs cancelled: {len(wanted.records)}; uploads freed at their registries: {done.freed};"
            f" only forgotten here: {done.forgotten}"
        )
        if not wanted.records and not wanted.uploads:
            words = "nothing is under way"
        fields = {"freed": done.freed, "forgotten": done.forgotten, "busy": done.busy}
        return Outcome([] if wanted.error else [words], fields, wanted.error)

    async def going_on(show: Renderer, stop: asyncio.Event) -> Outcome:
        from ..http.loading import load_aiohttp

        load_aiohttp(os.environ)
        from ..verbs.resume import go_on, uploads_left

        report = await go_on(targets, settings=settings, sink=show, stop=stop)
        models = [as_json(model) for model in report.models]
        closing = [] if flags["quiet"] else words.closing(report.models, RESUME)
        lines = closing if report.models else nothing_begun(await uploads_left(targets, settings=settings))
        return Outcome(lines, {"models": models}, report.error)

    run(
        flags,
        listing if lists else cancelling if cancels else going_on,
        verb=RESUME,
        finishes=not lists and not cancels,
    )


def _listed(found: UnderWay) -> Outcome:
    from ..state.copy_record import CopyRecord
    from ..state.push_record import PushRecord
    from ..state.sync_record import SyncRecord

    begun = [
        (
            record,
            BegunRow(
                record.short,
                "as the plan says" if isinstance(record, SyncRecord) else record.target,
                saved,
                record.store,
                record.sources if isinstance(record, CopyRecord | SyncRecord) else (),
            ),
        )
        for record, saved in found.records
    ]
    pushes = [row for record, row in begun if isinstance(record, PushRecord)]
    copied = [(record, row) for record, row in begun if isinstance(record, CopyRecord | SyncRecord)]
    uploads = [
        UploadRow(
            each.key.digest,
            each.record.acknowledged(each.size),
            each.size,
            f"{each.key.origin}/{each.key.repository}",
            each.saved,
        )
        for each in found.uploads
    ]
    lines = under_way_lines(
        pushes, [row for _, row in copied], uploads, now=time.time(), width=terminal_width(sys.stdout)
    )
    if not lines and found.error is None:
        lines = ["nothing is under way"]
    fields = {
        "pushes": [{"model": row.what, "store": row.store, "target": row.target, "begun": row.begun} for row in pushes],
        "copies": [
            {
                "source": row.what,
                "sources": list(record.sources),
                "target": row.target,
                "store": row.store if "ollama:" in {each[:7] for each in (*record.sources, row.target)} else None,
                "begun": row.begun,
            }
            for record, row in copied
        ],
        "uploads": [
            {
                "digest": str(row.digest),
                "offset": row.offset,
                "size": row.size,
                "repository": row.repository,
                "saved": row.saved,
            }
            for row in uploads
        ],
    }
    return Outcome(lines, fields, found.error)
