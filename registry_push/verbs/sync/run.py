"""`SyncRun`: carries out a plan: sources are listed side by side, and each tag is settled as soon as it is known."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Final

from ...errors import Interrupted, NameCollision, RegistryPushError, unwrapped
from ...events import Action, ModelFailed, RunGrew, RunStarted, Sink, TagSettled, Warned
from ...model import Reference
from ...model.mapping import AnyName, CopyTarget
from ...model.place import CatalogPlace, OllamaPlace, RegistryPlace
from ...model.renaming import Renaming
from ..job_reader import called
from ..sources import CopySource
from ..stores import Stores
from .claims import Claims, Order
from .deletion import Doomed
from .listing import Group, Part, parts_of
from .naming import Coverage, coverage_of, coverage_of_reference, tag_of, target_of
from .plan import Entry
from .tag_sync import TagSync, Work, host_of
from .totals import Totals
from .turns import in_turns

# Repositories that are listed and copied at once from one source to the same targets.
_REPOSITORIES: Final = 16
# What a regular expression has, and hardly a glob.
_OF_EXPRESSIONS: Final = ("^", "$", ".*", ".+", "]+", "\\", "|")
# Tags of one repository that are settled at once.
_TAGS: Final = 16


class SyncRun:
    """One run. `keep` is called with each settled tag; `fail_fast` ends the run with the first failure.
    `explains`: remember why tags are left out, to say why they are deleted.

    Memory: what is under way, and 100 bytes for each tag.
    """

    def __init__(
        self,
        stores: Stores,
        tags: TagSync,
        sink: Sink,
        keep: Callable[[TagSettled, Work | Doomed | None], None],
        *,
        stop: asyncio.Event,
        fail_fast: bool,
        explains: bool,
    ) -> None:
        self._stores = stores
        self._tags = tags
        self._sink = sink
        self._keep = keep
        self._stop = stop
        self._fail_fast = fail_fast
        self._explains = explains
        self._windows: dict[object, asyncio.Semaphore] = {}
        self._target_tags: dict[Coverage, asyncio.Task[frozenset[str]]] = {}
        self._taking: set[int] = set()  # entries that mean at least one tag
        self.claims = Claims()
        self.totals = Totals()

    @property
    def is_stopped(self) -> bool:
        """Whether nothing new is begun."""
        return self._stop.is_set()

    async def carry_out(self, entries: Sequence[Entry]) -> None:
        """Carry out `entries`. Where two may write the same repository, the first one says what it writes first.

        Cancelling is safe, as with `Copier.copy`.
        """
        self._sink(RunStarted(0, 0, 0))
        order, listed = Order(), {entry.number: asyncio.Event() for entry in entries}
        try:
            async with self._ending_lists(), asyncio.TaskGroup() as group:
                for entry in entries:
                    before = order.before(entry.number, _coverage(entry))
                    waits = [listed[number] for number in sorted(before)]
                    group.create_task(self._entry(entry, waits, listed[entry.number]))
        except BaseExceptionGroup as error:
            raise unwrapped(error) from None

    async def carry_out_pinned(self, works: Iterable[Work]) -> None:
        """Carry out what a reviewed plan says, tag by tag."""
        self._sink(RunStarted(0, 0, 0))
        async with self._ending_lists():
            await self._each(list(works))

    async def _entry(self, entry: Entry, waits: Sequence[asyncio.Event], listed: asyncio.Event) -> None:
        """Carry out one entry, once all of `waits` are set; set `listed` once all that it writes is claimed."""
        try:
            for each in waits:
                await each.wait()
            parts = await self._listed(entry)
            unlisted = len(parts)

            async def carry_out(part: Part) -> None:
                nonlocal unlisted
                async with self._window(entry):
                    works = await self._works_of(entry, part)
                    unlisted -= 1
                    if not unlisted:
                        listed.set()  # entries that wait need not wait for the content
                    await self._each(works)

            await in_turns(min(_REPOSITORIES, len(parts)), parts, carry_out, is_over=self._stop.is_set)
            if (
                entry.number not in self._taking
            ):  # as if the source could not be listed: nothing is deleted for want of it
                self.claims.miss(_coverage(entry))
                if entry.number not in self.claims.broken and not self.is_stopped:
                    self._sink(takes_nothing(entry))
        finally:
            listed.set()

    async def _listed(self, entry: Entry) -> Sequence[Part]:
        """Return the repositories of the entry's source; none if they can't be listed, which is told."""
        async with self._window(entry):
            if self._stop.is_set():
                return ()
            try:
                found = await parts_of(entry, self._stores)
            except RegistryPushError as error:
                self.claims.miss(_coverage(entry))
                self._failed(entry, entry.source_text, error)
                return ()
        self._leave_out(entry, found.left_out)
        if found.failed:  # a list with names that are none may lack others
            self.claims.miss(_coverage(entry))
        for failed in found.failed:
            self._failed(entry, failed.model, failed.error)
        return self._without_collisions(entry, found.parts)

    def _without_collisions(self, entry: Entry, parts: Sequence[Part]) -> list[Part]:
        """Return `parts` without those whose names are not allowed at a target, or that would become one there."""
        found, taken = [], dict[Coverage, str]()
        for part in parts:
            try:
                for target in entry.targets:
                    to = coverage_of_reference(target_of(part.a_name, entry.renaming, target))
                    if (other := taken.setdefault(to, part.repository)) != part.repository:
                        what = f"{other} and {part.repository} would both become {to.store}/{to.path}"
                        raise NameCollision(what, hint="rename one of them, or leave one out by models")
            except RegistryPushError as error:
                self.claims.miss(_coverage(entry))
                self._failed(entry, part.called, error)
            else:
                found.append(part)
        return found

    async def _works_of(self, entry: Entry, part: Part) -> list[Work]:
        """List one repository, and claim what the entry writes: each of its tags at each target. Failures are told."""
        if self._stop.is_set():
            self.claims.miss(_coverage(entry))
            return []
        host = host_of(part.a_name)
        if (down := self._tags.reachable.down(host)) is not None:
            self.claims.miss([coverage_of(target, part.a_name, entry.renaming) for target in entry.targets])
            self._failed(entry, part.called, down, begun=False)
            return []
        try:
            group = await part.listed()
        except RegistryPushError as error:
            self._tags.reachable.failed(host, error)
            self.claims.miss([coverage_of(target, part.a_name, entry.renaming) for target in entry.targets])
            self._failed(entry, part.called, error)
            return []
        self._leave_out(entry, group.left_out)
        for failed in group.failed:
            self._failed(entry, failed.model, failed.error)
        if group.names:
            self._taking.add(entry.number)
        if not group.names or group.failed:
            self.claims.miss([coverage_of(target, part.a_name, entry.renaming) for target in entry.targets])
        works = [work for target in entry.targets for work in self._claimed(entry, group, target)]
        if self._explains and group.reasons:
            for target in entry.targets:
                self.claims.explain(target_of(part.a_name, entry.renaming, target), group.reasons)
        self._sink(RunGrew(models=len(works)))
        return works

    def _claimed(self, entry: Entry, group: Group, target: CopyTarget) -> list[Work]:
        """Return the work that `group` makes at `target`, claimed; names that are not allowed there are told."""
        works = []
        for name in group.names:
            try:
                reference = target_of(name, entry.renaming, target)
                other = self.claims.claim(entry, group.repository, called(name), reference)
            except RegistryPushError as error:
                self._failed(entry, called(name), error)
                continue
            if other is not None:
                self._leave_out(entry, [(called(name), f"entry {other} of the plan copies it")])
            else:
                works.append(Work(entry, group.source, name, reference))
        return works

    async def _each(self, works: Sequence[Work]) -> None:
        await in_turns(min(_TAGS, len(works)), works, self._settle, is_over=self._stop.is_set)

    async def _settle(self, work: Work) -> None:
        target_has = await self._tags_at(work) if work.entry.tags.immutable else ()
        self.note(await self._tags.settle(work, target_has), work)

    async def _tags_at(self, work: Work) -> Collection[str]:
        """Return the tags that the target lists, asked once; none if it lists none."""
        reference = work.reference
        if not isinstance(reference, Reference):
            return ()
        place = coverage_of_reference(reference)
        if place not in self._target_tags:
            source = self._stores.source(RegistryPlace(reference.at()))
            self._target_tags[place] = asyncio.ensure_future(_tags_of(source))
        return await asyncio.shield(self._target_tags[place])

    @asynccontextmanager
    async def _ending_lists(self) -> AsyncIterator[None]:
        """End the listing of targets with the block: a tag that waits for it may have been cancelled."""
        try:
            yield
        finally:
            for task in self._target_tags.values():
                task.cancel()
            await asyncio.gather(*self._target_tags.values(), return_exceptions=True)

    def _leave_out(self, entry: Entry, left_out: Iterable[tuple[str, str]]) -> None:
        for source, reason in left_out:
            self.note(self._told(TagSettled(entry.number, source, None, Action.SKIPPED, reason)))

    def _failed(self, entry: Entry, source: str, error: RegistryPushError, *, begun: bool = True) -> None:
        """Tell of a failure before anything could be compared; if nothing was `begun`, why not was told before."""
        self._sink(RunGrew(models=1))
        self._sink(ModelFailed(source, None, error, begun=begun and not isinstance(error, Interrupted)))
        self.note(self._told(TagSettled(entry.number, source, None, Action.FAILED, error.message, error=error)))

    def _told(self, settled: TagSettled) -> TagSettled:
        self._sink(settled)
        return settled

    def note(self, settled: TagSettled, work: Work | Doomed | None = None) -> None:
        """Count a settled tag."""
        self.totals.add(settled)
        self._keep(settled, work)
        if settled.action is Action.FAILED:
            self.claims.broken.add(settled.entry)
            if settled.target is not None:
                self.claims.miss([coverage_of_reference(settled.target)])
        if settled.action is Action.FAILED and self._fail_fast:
            self._stop.set()

    def _window(self, entry: Entry) -> asyncio.Semaphore:
        """Return the window for repositories of the entry's source that go to its targets: others are not slowed."""
        match entry.source:
            case RegistryPlace(reference):
                source = reference.host
            case CatalogPlace(host):
                source = host
            case _:
                source = ""
        targets = frozenset(each.store for each in map(coverage_at, entry.targets))
        return self._windows.setdefault((source, targets), asyncio.Semaphore(_REPOSITORIES))


def takes_nothing(entry: Entry) -> Warned:
    """Return the warning about an entry that takes nothing, with what is probably wrong."""
    globs = (*entry.models, *entry.tags.include)
    hint = "see why with --dry-run; min = 1 in its tags makes this an error"
    if any(sign in glob for glob in globs for sign in _OF_EXPRESSIONS):
        hint = "models and tags have globs, not regular expressions: v* and not ^v.*"
    return Warned(f"{entry.where}: the entry takes nothing of what {entry.source_text} has", hint)


def coverage_at(target: CopyTarget) -> Coverage:
    """Return all that a source of any names may write at `target`."""
    return coverage_of(target, None, Renaming())


def _coverage(entry: Entry) -> list[Coverage]:
    """Return what the entry may write."""
    name: AnyName | None = None
    match entry.source:
        case RegistryPlace(reference):
            name = reference if reference.tag is not None else reference.at(tag="latest")
        case OllamaPlace(model):
            name = model
        case _:
            pass
    return [coverage_of(target, name, entry.renaming) for target in entry.targets]


async def _tags_of(source: CopySource) -> frozenset[str]:
    try:
        return frozenset(tag_of(name) for name in await source.names() if not isinstance(name, ModelFailed))
    except RegistryPushError:  # then each tag is asked for
        return frozenset()
