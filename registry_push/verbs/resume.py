"""Unfinished work, from the journal: continue it, or give it up and delete its uploads at the registries."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence, Set
from contextlib import suppress
from dataclasses import replace
from fnmatch import fnmatchcase
from itertools import groupby
from pathlib import Path
from typing import Final

from msgspec import Struct, structs

from ..content.ollama.files import StoreFiles
from ..content.ollama.partial import remove_stale
from ..content.ollama.source import open_store
from ..content.optional_files import is_there
from ..content.read_errors import unreadable
from ..content.threads import in_thread
from ..errors import (
    Interrupted,
    InvalidSettings,
    JournalDamaged,
    NothingUnderWay,
    RegistryPushError,
    Unavailable,
    Unreadable,
    quoted,
    unwrapped,
)
from ..events import Event, ModelDone, ModelFailed, Sink, Warned, ignore
from ..http.proxies import Proxies
from ..model import HTTPOrigin, ModelName, Reference
from ..protocol.clear_text import may_sign_in
from ..registry.registries import Registries
from ..settings import Party, Settings
from ..state.copy_record import CopyRecord
from ..state.journal import JOURNAL, Journal
from ..state.kept_options import Kept, with_kept, without_files
from ..state.private_files import NotPrivate
from ..state.push_record import PushRecord
from ..state.records import Record, Whole
from ..state.rows import Entry
from ..state.schema import Newer
from ..state.sync_record import SyncRecord
from ..text.hint import Command, Setting, step
from ..transfer.job import PushJob
from ..transfer.report import Report
from .carrying_on import carry_out_again
from .push import carry_out
from .selection import planned_model

# Uploads that are deleted at once: each takes one to three requests, and one that hangs takes a minute.
_AT_ONCE: Final = 8


class UnderWay(Struct, frozen=True):
    """Unfinished work, and the uploads that registries hold; times in unix seconds.

    `error`: there is some, but none of it is for the named targets.
    """

    records: tuple[tuple[Record, float], ...]
    uploads: tuple[Entry, ...]
    error: NothingUnderWay | None = None


class Freed(Struct, frozen=True):
    """The result of giving up: uploads deleted at their registries, only forgotten here, or left to their processes."""

    freed: int
    forgotten: int
    busy: int


def open_journal(folder: Path, sink: Sink) -> Journal | None:
    """Open the journal in `folder`; return None, and create none, if there is none.

    Raises `Unreadable`, `Unavailable`, `JournalDamaged` or `InvalidSettings` if it can't be read.
    """
    file = folder / JOURNAL
    try:
        file.lstat()
    except FileNotFoundError:
        return None
    except NotADirectoryError as error:
        raise InvalidSettings(f"{folder} is no folder", hint=step("check ", Setting("state_dir"))) from error
    except OSError as error:
        raise unreadable(folder, what="the journal") from error
    told: list[Event] = []
    journal = Journal(folder, told.append)
    if journal.unusable is None and journal.moved_aside is None:
        for event in told:
            sink(event)
        return journal
    journal.close()
    if journal.moved_aside is not None and journal.unusable is None:
        raise JournalDamaged(
            f"the journal {file} was damaged, and what was under way is not known; it is {journal.moved_aside} now"
        )
    why = f"the journal {file}, which tells what is under way,"
    match journal.unusable:
        case Newer():
            raise InvalidSettings(f"{why} was written by a newer version", hint="use the newer version here too")
        case NotPrivate() as refused:
            raise Unreadable(f"{why} is not used: {refused}", hint="check who has put it there; then remove it")
        case PermissionError():
            raise unreadable(file, what="the journal")
        case failure:
            hint = "make room on its disk" if "is full" in str(failure) else "close what uses it"
            raise Unavailable(f"{why} can't be read: {failure}", hint=f"{hint}, then try again")


def under_way(journal: Journal | None, targets: Sequence[str] = ()) -> UnderWay:
    """Return the journal's unfinished work, only that for `targets` if there are any: `HOST`, `HOST/PATH…` or globs."""
    if journal is None:
        return UnderWay((), ())
    records = journal.records()
    uploads = [(each, f"{each.key.origin}/{each.key.repository}") for each in journal.entries()]
    found = UnderWay(
        tuple((record, saved) for record, saved in records if _is_wanted(record.target, targets)),
        tuple(each for each, place in uploads if _is_wanted(place, targets)),
    )
    if found.records or found.uploads or not (records or uploads):
        return found
    error = NothingUnderWay(
        f"no unfinished work goes to {' or '.join(quoted(target) for target in targets)}",
        hint=step("see what is under way: ", Command("resume --list")),
    )
    return UnderWay((), (), error)


async def go_on(
    targets: Sequence[str] = (),
    *,
    settings: Settings,
    sink: Sink = ignore,
    stop: asyncio.Event | None = None,
) -> Report:
    """Continue the work for `targets`, all of it if there are none, one after the other; see `push` and `copy`.

    Logins are not recorded: they come from `settings`, or from the usual places. Cancelling is safe.
    """
    Proxies.of(settings.environ)
    stop = stop or asyncio.Event()
    pushes, copies = await in_thread(_found, settings, sink, targets)
    models: list[ModelDone | ModelFailed] = []
    for alike in pushes:
        if stop.is_set():
            break
        models += await _push_again(alike, settings=settings, sink=sink, stop=stop)
    for record in copies:
        if stop.is_set():
            break
        models += await _copy_again(record, settings=settings, sink=sink, stop=stop)
    return Report(tuple(models), "resumed")


async def uploads_left(targets: Sequence[str] = (), *, settings: Settings) -> int:
    """Return how many uploads for `targets` registries hold for us; 0 if the journal is not there."""

    def count() -> int:
        journal = open_journal(settings.state_dir, ignore) if settings.state_dir is not None else None
        try:
            return len(under_way(journal, targets).uploads)
        finally:
            if journal is not None:
                journal.close()

    return await in_thread(count)


async def _push_again(
    records: Sequence[PushRecord], *, settings: Settings, sink: Sink, stop: asyncio.Event
) -> Sequence[ModelDone | ModelFailed]:
    models, results, theirs = list[PushJob](), list[ModelDone | ModelFailed](), settings
    for record in records:
        try:
            theirs = _as_begun(record, settings)
            references = tuple(Reference.parse(text) for text in record.references)
            models.append(await planned_model(open_store(theirs), ModelName.parse(record.model), references, sink))
        except RegistryPushError as error:  # the store or the model is gone since
            results.append(ModelFailed(record.model, Reference.parse(record.references[0]), error))
            sink(results[-1])
    if models:
        results += (await carry_out(open_store(theirs), models, settings=theirs, sink=sink, stop=stop)).models
    return results


async def _copy_again(
    record: Whole, *, settings: Settings, sink: Sink, stop: asyncio.Event
) -> Sequence[ModelDone | ModelFailed]:
    try:
        report = await carry_out_again(
            structs.replace(record, options=_without_gone(record.options)), settings=settings, sink=sink, stop=stop
        )
    except Interrupted:
        raise
    except RegistryPushError as error:
        failed = ModelFailed(record.short, None, error)
        sink(failed)
        return (failed,)
    return report.models


async def give_up(journal: Journal, wanted: UnderWay, *, settings: Settings, sink: Sink = ignore) -> Freed:
    """Delete the uploads at their registries, a few at a time, and forget them and the pushes.

    An upload that another process is sending is left to it. One that can't be deleted at its registry now is only
    forgotten, with a warning, in the order of `wanted`; the registry will expire it. Ollama's knows no request for it.
    Cancelling is safe.
    """
    records = [record for record, _ in journal.records()]
    said = frozenset(record.origin for record in records)
    turns = asyncio.Semaphore(_AT_ONCE)

    async def free(entry: Entry) -> bool | RegistryPushError | None:
        """Return whether its registry knew of it, or the error; None if another process is sending it."""
        async with turns:
            if journal.is_held(entry.key):
                return None
            outcome: bool | RegistryPushError
            try:
                outcome = await _freed(entry, _ways(entry, records, settings), said, sink)
            except RegistryPushError as error:  # away, broken, no right to, or a registry without DELETE
                outcome = error
            journal.save(entry.key, entry.size, None)
            return outcome

    outcomes = []
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(free(entry)) for entry in wanted.uploads]
            for entry, task in zip(wanted.uploads, tasks, strict=True):
                outcomes.append(outcome := await task)
                if isinstance(outcome, RegistryPushError):
                    words = f"an upload of {entry.key.digest.short} could not be freed: {outcome.message}"
                    sink(Warned(words, outcome.hint))
    except BaseExceptionGroup as group_error:
        raise unwrapped(group_error) from None
    freed, busy = outcomes.count(True), outcomes.count(None)
    if not busy:
        for record, _ in wanted.records:
            journal.end(record)
            if isinstance(record, CopyRecord) and record.target.startswith("ollama:"):  # what was fetched for it
                await in_thread(remove_stale, StoreFiles(Path(record.store)), older=0.0)
    return Freed(freed, len(outcomes) - freed - busy, busy)


def _ways(entry: Entry, records: Sequence[Record], settings: Settings) -> list[Settings]:
    """Return how to reach the upload's registry: as the run that began it did, then as is configured now."""
    place = f"{entry.key.origin}/{entry.key.repository}"
    mine = [record for record in records if str(record.origin) == str(entry.key.origin)]
    mine.sort(key=lambda record: not _is_wanted(record.target, [place]))
    ways: list[Settings] = []
    for record in mine[:1]:
        with suppress(InvalidSettings):  # of a file that is gone, perhaps
            ways.append(_as_begun(record, settings))
    return [*ways, settings]


async def _freed(entry: Entry, ways: Sequence[Settings], said: Set[HTTPOrigin | None], sink: Sink) -> bool:
    """Delete the upload by the first way that works; return whether its registry knew of it. Raises the last error.

    `said`: the registries that the user of this command has named himself.
    """
    record, reference = entry.record, Reference.parse(f"{entry.key.origin}/{entry.key.repository}")
    if record.part or record.direct:
        return False
    origin = reference.origin()
    for number, way in enumerate(ways, 1):
        by: Party = "runner" if way.at(origin.netloc).plain_http or origin in said else "request"
        if not may_sign_in(origin, login_of="runner", said_by=by):
            # The service records uploads over http that its clients allowed; who runs this command has not allowed it.
            way = replace(way, username=None, password=None, http_said_by="request")
        try:
            async with Registries(way, sink) as registries:
                return await registries.repository(reference).free(record.location)
        except RegistryPushError:
            if number == len(ways):
                raise
    return False


def _as_begun(record: Record, settings: Settings) -> Settings:
    """Return how the run of `record` reached its registries; files that are gone since don't count."""
    kept = _without_gone(record.options)
    return with_kept(settings, kept, models=Path(record.store), lacks_files=kept != record.options)


def _without_gone(kept: Kept) -> Kept:
    """Return the options without the files that are gone."""
    return without_files(kept, lambda path: not is_there(Path(path)))


def _found(settings: Settings, sink: Sink, targets: Sequence[str]) -> tuple[list[list[PushRecord]], list[Whole]]:
    """Return the work to continue: pushes, grouped by store and by how registries are reached; and copies."""
    if settings.state_dir is None:
        return [], []
    journal = open_journal(settings.state_dir, sink)
    if journal is None:
        return [], []
    try:
        found = under_way(journal, targets)
        if found.error is not None:
            raise found.error
        records = [record for record, _ in found.records]
    finally:
        journal.close()
    pushes = sorted((record for record in records if isinstance(record, PushRecord)), key=_circumstances)
    copies = [record for record in records if isinstance(record, CopyRecord | SyncRecord)]
    return [list(group) for _, group in groupby(pushes, key=_circumstances)], copies


def _circumstances(record: PushRecord) -> tuple[str, str]:
    return record.store, repr(record.options)


def _is_wanted(place: str, targets: Sequence[str]) -> bool:
    place = place.removeprefix("registry:").removeprefix("https://").removeprefix("http://")
    wanted = [target.removeprefix("https://").removeprefix("http://").rstrip("/") for target in targets]
    return not wanted or any(
        fnmatchcase(place, each) or place.startswith((f"{each}/", f"{each}:")) or place == each for each in wanted
    )
