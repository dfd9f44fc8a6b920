"""Sync: bring targets to what a plan says, again and again."""

from __future__ import annotations

import asyncio
import dataclasses
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from ...content.threads import in_thread
from ...errors import Interrupted, RegistryPushError, TooManyDeletions, UsageError
from ...events import Event, ModelDone, ModelStarted, Sink, TagSettled, ignore
from ...http.proxies import Proxies
from ...model.place import Below, Exactly, OllamaPlace
from ...registry.registries import Registries
from ...settings import Settings
from ...state.sync_record import SyncRecord
from ...text.hint import Setting, step
from ...transfer.dry_run import marked
from ..beginning import Beginning
from ..shared import sharing
from ..stores import Stores, store_to_record
from .claims import Held
from .deletion import Deletions, Doomed
from .fewer_errors import FewerErrors
from .output_files import check_apart, check_output, write_whole
from .pinned import as_text, pinned_plan, read_pinned, work_of
from .places import folder_meant, hosts_in_folder, in_folder, unnamed_hosts
from .plan import Entry, SyncPlan
from .plan_reader import read_plan
from .plan_text import read_plan_text
from .report import in_order, report_of, write_document
from .run import SyncRun
from .tag_sync import TagSync, Work
from .totals import SyncReport, error_of


class SyncOptions(Struct, frozen=True, kw_only=True):
    """How a plan is carried out.

    `delete`: tags that the sources don't have any more are deleted, at most `max_delete`. `fail_fast`: the first
    failure ends the run. `report` and `plan_out` are files to write. `wins`: fields of `Settings` that go before those
    of the plan. `keeps_all`: the result has all tags, not only those that failed. Relative paths in the plan are in
    `folder`; None: in the current one.
    """

    dry_run: bool = False
    delete: bool = False
    max_delete: int | None = None
    fail_fast: bool = False
    report: Path | None = None
    plan_out: Path | None = None
    wins: frozenset[str] = frozenset()
    keeps_all: bool = False
    folder: Path | None = None

    def check(self, plan: Path) -> None:
        """Raise `UsageError` for options that don't go together, and for files that can't be written.

        So does what would overwrite `plan`.
        """
        if self.delete and self.max_delete is None:
            raise UsageError(
                "--delete needs a limit", hint=step("say how many tags may be deleted: ", Setting("max_delete", "N"))
            )
        if self.max_delete is not None and self.max_delete < 0:
            raise UsageError("--max-delete can't be less than 0", hint="give how many tags may be deleted")
        if self.plan_out is not None and not self.dry_run:
            raise UsageError("--plan-out is for a dry run", hint=step("add ", Setting("dry_run")))
        written = {"the report": self.report, "the pinned plan": self.plan_out}
        check_apart({"the plan": plan, **written})
        for what, path in written.items():
            if path is not None:
                check_output(path, what)


async def sync(
    plan: Path,
    options: SyncOptions,
    *,
    settings: Settings | None = None,
    sink: Sink = ignore,
    stop: asyncio.Event | None = None,
) -> SyncReport:
    """Carry out the plan in the file `plan`.

    A tag that fails does not stop the others: the report has each. Raises `InvalidPlan`, `NotAtSource`, `UsageError`
    before anything is asked. Cancelling is safe: what has been copied stays, and the next run continues. Once `stop` is
    set, chunks under way are finished and nothing new is begun.
    """
    options.check(plan)
    text = await in_thread(read_plan_text, plan)
    read = read_plan(text)
    if options.delete:
        _check_deletable(read)
    folder = folder_meant(read.entries, read.hosts, options.folder)
    read = in_folder(read, folder)
    settings = _with_plan(settings or Settings(), read.settings, read.hosts, options.wins)
    for warning in unnamed_hosts(read, text):
        (marked(sink) if options.dry_run else sink)(warning)
    if settings.no_clobber:
        read = replace(read, entries=tuple(map(_without_clobbering, read.entries)))

    async def work(run: SyncRun, stores: Stores, deletions: Deletions) -> None:
        if not options.dry_run and any(isinstance(to, OllamaPlace) for each in read.entries for to in each.targets):
            await stores.prepare(OllamaPlace(None))
        await run.carry_out(read.entries)
        if options.delete and not run.is_stopped:
            doomed = await deletions.found(run.claims, read.entries)
            await deletions.carry_out(doomed, run.claims, most=options.max_delete)

    def write(report: SyncReport, kept: Sequence[tuple[TagSettled, Work | Doomed | None]]) -> None:
        if options.plan_out is not None:
            if isinstance(report.error, Interrupted):
                return  # it would be taken for all that is to be done
            write_whole(options.plan_out, as_text(pinned_plan(read, kept, report)))

    record = _record(plan, options, settings, folder, pinned=False)
    return await _run(str(plan), work, write, record, options, settings, sink, stop)


async def sync_pinned(
    plan: Path,
    options: SyncOptions,
    *,
    settings: Settings | None = None,
    sink: Sink = ignore,
    stop: asyncio.Event | None = None,
) -> SyncReport:
    """Do exactly what the pinned plan in the file `plan` says. A tag that has moved since fails. Else as `sync`."""
    options.check(plan)
    pinned = await in_thread(read_pinned, plan)
    folder = folder_meant((), pinned.hosts, options.folder)
    hosts = hosts_in_folder(pinned.hosts, folder)
    settings = _with_plan(settings or Settings(), pinned.settings, hosts, options.wins)

    async def work(run: SyncRun, stores: Stores, deletions: Deletions) -> None:
        todo = work_of(pinned, plan, stores, no_clobber=settings.no_clobber)
        if options.max_delete is not None and len(todo.deletions) > options.max_delete:
            raise TooManyDeletions(
                f"{plan} deletes {len(todo.deletions)} tags, and --max-delete is {options.max_delete}: nothing was done"
            )
        if not options.dry_run and any(each.target.startswith("ollama:") for each in pinned.operations):
            await stores.prepare(OllamaPlace(None))
        await run.carry_out_pinned(todo.copies)
        if not run.is_stopped:
            await deletions.carry_out(todo.deletions, run.claims, most=None)

    record = _record(plan, options, settings, folder, pinned=True)
    return await _run(str(plan), work, lambda *_: None, record, options, settings, sink, stop)


async def _run(
    plan: str,
    work: Callable[[SyncRun, Stores, Deletions], Awaitable[None]],
    write: Callable[[SyncReport, Sequence[tuple[TagSettled, Work | Doomed | None]]], None],
    record: SyncRecord,
    options: SyncOptions,
    settings: Settings,
    sink: Sink,
    stop: asyncio.Event | None,
) -> SyncReport:
    """Open what a run needs, do `work`, and write the report, also of a run that has failed."""
    Proxies.of(settings.environ)  # raises for an unusable proxy before anything else is checked
    told, began = stop or asyncio.Event(), datetime.now(UTC)
    ending = asyncio.Event()  # also set by --fail-fast
    if options.dry_run:
        settings, sink = dataclasses.replace(settings, state_dir=None), _of_dry_run(sink)
    sink = fewer = FewerErrors(sink)
    kept: list[tuple[TagSettled, Work | Doomed | None]] = []
    keeps_all = options.keeps_all or options.report is not None or options.plan_out is not None

    def keep(settled: TagSettled, work: Work | Doomed | None) -> None:
        if keeps_all or settled.error is not None:
            kept.append((settled, work))

    error: RegistryPushError | None = None
    async with (
        _forwarding(told, ending),
        sharing(settings, sink) as shared,
        Registries(settings, sink, shared.journal, ending, shared.means) as registries,
        Stores(settings, registries, ending) as stores,
    ):
        begins, held = Beginning(shared.journal, record), Held()
        tags = TagSync(
            stores, shared, settings, sink, held, dry_run=options.dry_run, stop=ending, began=began, begins=begins
        )
        run = SyncRun(stores, tags, sink, keep, stop=ending, fail_fast=options.fail_fast, explains=options.delete)
        deletions = Deletions(stores, sink, run.note, held, stop=ending, dry_run=options.dry_run)
        try:
            await work(run, stores, deletions)
        except TooManyDeletions as refused:
            error = refused
        begins.end([each.error for each, _ in kept if each.error is not None])
    fewer.close()
    settled = in_order(each for each, _ in kept)
    error = error or error_of(settled, run.totals, stopped=told.is_set(), dry_run=options.dry_run)
    started = began.isoformat(timespec="seconds").replace("+00:00", "Z")
    report = SyncReport(uuid.uuid4().hex, started, run.totals, settled, error)
    if options.report is not None:
        document: dict[str, Any] = report_of(report, plan, dry_run=options.dry_run)
        await in_thread(write_document, options.report, document)
    if not isinstance(error, TooManyDeletions):  # what may not be done is no plan
        write(report, kept)
    return report


def _record(plan: Path, options: SyncOptions, settings: Settings, folder: Path | None, *, pinned: bool) -> SyncRecord:
    return SyncRecord.of(
        plan,
        store_to_record(settings),
        settings,
        pinned=pinned,
        delete=options.delete,
        max_delete=options.max_delete,
        fail_fast=options.fail_fast,
        folder=folder,
    )


def _with_plan(
    settings: Settings, of_run: dict[str, Any], hosts: dict[str, dict[str, Any]], wins: Collection[str]
) -> Settings:
    """Return `settings` with those of the plan, but for those that `wins`. Raises `InvalidSettings`."""
    tables = {host: {name: value for name, value in table.items() if name not in wins} for host, table in hosts.items()}
    of_run = {name: value for name, value in of_run.items() if name not in wins}
    return dataclasses.replace(settings, hosts={**settings.hosts, **tables}, **of_run)


def _check_deletable(plan: SyncPlan) -> None:
    for entry in plan.entries:
        if not all(isinstance(target, Below | Exactly) for target in entry.targets):
            raise UsageError(
                f"{entry.where}: --delete deletes at registries only, and a target of this entry is none",
                hint="put the entries with other targets into a plan of their own",
            )


def _without_clobbering(entry: Entry) -> Entry:
    return replace(entry, on_exists="error") if entry.on_exists == "update" else entry  # its backups stay


def _of_dry_run(sink: Sink) -> Sink:
    """Return a sink without the models of the copies: each tag is reported once, with what would be done."""
    say = marked(sink)

    def told(event: Event) -> None:
        if not isinstance(event, ModelDone | ModelStarted):
            say(event)

    return told


@asynccontextmanager
async def _forwarding(stop: asyncio.Event, ending: asyncio.Event) -> AsyncIterator[None]:
    """Set `ending` when `stop` is set."""

    async def forward() -> None:
        await stop.wait()
        ending.set()

    task = asyncio.create_task(forward())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
