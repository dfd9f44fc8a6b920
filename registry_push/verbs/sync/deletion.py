"""Deletes at the targets what the sources do not have any more: tags, and manifests that no other tag needs.

What would be deleted is found out in full before the first deletion. Nothing is deleted in a repository whose source
could not be listed, or is empty. Blobs are the registry's own to collect.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from ...errors import (
    ModelNotFound,
    NoCatalog,
    NotAllowed,
    PlanOutdated,
    RegistryPushError,
    TooManyDeletions,
    unwrapped,
)
from ...events import Action, ModelFailed, Sink, TagSettled, Warned
from ...model import Digest, Reference
from ...model.manifest import LIST_TYPES
from ...model.place import Below, CatalogPlace, RegistryPlace
from ...model.referrers import is_attached
from ...registry.deletion import Outcome
from ...transfer.job import AnyReference
from ..copy_request import names_several
from ..stores import Stores
from .claims import Claim, Claims, Held
from .naming import ModelGlobs, coverage_of_reference
from .plan import Entry
from .turns import Item, in_turns

# Repositories, and requests to one repository, at once.
_AT_ONCE: Final = 8
# Of a manifest whose type a registry does not say: it has to be read.
_NO_TYPES: Final = (None, "", "application/json", "application/octet-stream")
_GONE: Final = "the source has no such tag"


class Doomed(Struct, frozen=True):
    """A tag to delete, and its manifest. `by_digest`: the manifest goes too, since no tag that stays needs it.

    `sources`: where the tag must still be missing when it is deleted.
    """

    entry: int
    reference: Reference
    digest: Digest
    by_digest: bool
    why: str = _GONE
    sources: tuple[Reference, ...] = ()

    @property
    def reason(self) -> str:
        """Why, and how."""
        return self.why if self.by_digest else f"{self.why}; its manifest stays, since another tag needs it"


class Deletions:
    """What is deleted at the end of a run. `note` is called with each tag that is settled so."""

    def __init__(
        self,
        stores: Stores,
        sink: Sink,
        note: Callable[[TagSettled, Doomed | None], None],
        held: Held,
        *,
        stop: asyncio.Event,
        dry_run: bool,
    ) -> None:
        self._stores = stores
        self._held = held
        self._sink = sink
        self._note = note
        self._stop = stop
        self._dry_run = dry_run

    async def found(self, claims: Claims, entries: Sequence[Entry]) -> list[Doomed]:
        """Return all that is to be deleted, sorted. A repository that can't be listed is reported as failed."""
        claimed = [claim for _, claim in claims.known()] + await self._abandoned(claims, entries)
        doomed: list[Doomed] = []

        async def look(claim: Claim) -> None:
            try:
                doomed.extend(await self._in_repository(claim))
            except RegistryPushError as error:
                self._failed(min(claim.entries), claim.reference.at(), error)

        await self._side_by_side(claimed, look)
        return sorted(doomed, key=lambda each: (each.entry, str(each.reference)))

    async def carry_out(self, doomed: Sequence[Doomed], claims: Claims, *, most: int | None) -> None:
        """Delete `doomed`, but nothing where `claims` say that something was not listed or not copied.

        Raises `TooManyDeletions` before the first one if there are more than `most`. A dry run tells of each before
        that, so that one can see what they are.
        """
        if most is not None and len(doomed) > most:
            for each in doomed if self._dry_run else ():
                self._settle(each, Action.DELETED, each.reason)
            what = "1 tag" if len(doomed) == 1 else f"{len(doomed)} tags"
            hint = "if those that are listed may go, give a larger --max-delete" if self._dry_run else None
            raise TooManyDeletions(
                f"{what} would be deleted, and --max-delete is {most}: nothing was deleted", hint=hint
            )
        by_repository: dict[Reference, list[Doomed]] = {}
        for each in doomed:
            if claims.is_unknown(coverage_of_reference(each.reference)):
                self._settle(each, Action.KEPT, "a copy to this repository has failed")
            else:
                by_repository.setdefault(each.reference.at(), []).append(each)
        await self._side_by_side(by_repository.values(), self._delete)

    async def _in_repository(self, claim: Claim) -> list[Doomed]:
        """Return what is to be deleted in one repository at a registry."""
        if not isinstance(claim.reference, Reference):
            return []
        at, repository = claim.reference.at(), self._stores.repository(claim.reference)
        try:
            tags = await repository.every_tag()
        except ModelNotFound:  # nothing was ever copied there
            return []
        unwanted = {tag: entry for tag in tags if (entry := _who_deletes(claim, tag)) is not None}
        if not unwanted:
            return []
        digests = await self._digests_of(at, tags)
        needed = await self._needed(at, {digest for tag, digest in digests.items() if tag not in unwanted})
        found = []
        for tag, entry in unwanted.items():
            if (digest := digests.get(tag)) is not None:
                why = claim.why_unwanted(tag)
                sources = () if why is not None else tuple(_at_sources(claim, tag))
                found.append(Doomed(entry, at.at(tag=tag), digest, digest not in needed, why or _GONE, sources))
        return found

    async def _digests_of(self, at: Reference, tags: Iterable[str]) -> dict[str, Digest]:
        """Return the manifests under `tags`, without tags that are listed and not there."""
        repository, digests = self._stores.repository(at), dict[str, Digest]()

        async def ask(tag: str) -> None:
            if (digest := await repository.read_digest(tag)) is not None:
                digests[tag] = digest

        await self._side_by_side(tags, ask)
        return digests

    async def _needed(self, at: Reference, kept: Collection[Digest]) -> set[Digest]:
        """Return the manifests that have to stay: the `kept` ones, those that this run has put, and what they list."""
        return await self._listed_by(at, {*kept, *self._held.at(at)})

    async def _needed_now(self, doomed: Sequence[Doomed]) -> set[Digest]:
        """As `_needed`, by the tags that the repository has now, after the copies: somebody else may have set some.

        A tag to delete that was moved meanwhile stays, and so does one that its source has again: the deletion of
        another tag must not take their manifest away.
        """
        at, was = doomed[0].reference.at(), {each.reference.tag: each.digest for each in doomed}
        uses = Counter(was.values())

        async def look(each: Doomed) -> None:
            if uses[each.digest] > 1 and await self._is_back(each):
                was.pop(each.reference.tag, None)

        await self._side_by_side(doomed, look)
        digests = await self._digests_of(at, await self._stores.repository(at).every_tag())
        return await self._needed(at, {digest for tag, digest in digests.items() if was.get(tag) != digest})

    async def _is_back(self, each: Doomed) -> bool:
        """Return whether one of its sources has the tag, though no list of theirs had."""
        for source in each.sources:
            if await self._stores.repository(source).digest_of(source.tag or "") is not None:
                return True
        return False

    async def _listed_by(self, at: Reference, kept: Collection[Digest]) -> set[Digest]:
        """Return the manifests that the kept ones list, and those that these list.

        Only lists are read; the others are asked for their type.
        """
        repository, seen = self._stores.repository(at), set(kept)

        async def look(digest: Digest) -> None:
            if await repository.media_type_of(str(digest)) not in (*LIST_TYPES, *_NO_TYPES):
                return
            with suppress(ModelNotFound):  # a list may name manifests that are not there
                found.update(each.digest for each in (await repository.resolve(str(digest))).manifests)

        todo = set(kept)
        while todo:
            found = set[Digest]()
            await self._side_by_side(todo, look)
            todo = found - seen
            seen |= found
        return seen

    async def _abandoned(self, claims: Claims, entries: Sequence[Entry]) -> list[Claim]:
        """Return the repositories at the targets of whole registries that are gone at the source."""
        found: list[Claim] = []
        for entry in entries:
            for target in entry.targets:
                if entry.number in claims.broken:  # what looks gone may have another name now, and have failed
                    continue
                if not isinstance(entry.source, CatalogPlace) or not isinstance(target, Below) or entry.renaming.rules:
                    continue
                prefix, globs = f"{target.prefix}/" if target.prefix else "", ModelGlobs(entry.models)
                below = f"{entry.source.prefix}/" if entry.source.prefix else ""
                place = CatalogPlace(target.host, f"{prefix}{entry.source.prefix}".rstrip("/"), target.scheme)
                try:
                    listing = await self._stores.repositories(place)
                except (NoCatalog, NotAllowed) as error:
                    self._sink(Warned(f"repositories that are gone at the source are not deleted: {error.message}"))
                    continue
                except RegistryPushError as error:
                    self._failed(entry.number, None, error, what=f"the list of repositories at {place}")
                    continue
                for reference in listing.repositories:
                    path, at = reference.repository.removeprefix(prefix), coverage_of_reference(reference)
                    is_ours = path.startswith(below) and globs.may_match(path)
                    if is_ours and not claims.is_claimed(at) and not claims.is_unknown(at):
                        found.append(Claim(reference, {}, {entry.number: (entry, path)}))
        return found

    async def _delete(self, doomed: Sequence[Doomed]) -> None:
        """Delete tags of one repository, one after the other."""
        gone, needed = set[Digest](), set[Digest]()
        if not self._dry_run:
            try:
                needed = await self._needed_now(doomed)
            except ModelNotFound:
                pass  # it is gone already, which each finds out
            except RegistryPushError as error:
                for each in doomed:
                    self._failed(each.entry, each.reference, error)
                return
        for one in doomed:
            if self._stop.is_set():
                return
            each = replace(one, by_digest=one.by_digest and one.digest not in needed)
            try:
                action, reason = await self._deleted(each, gone)
            except RegistryPushError as error:
                self._failed(each.entry, each.reference, error)
                continue
            self._settle(each, action, reason)

    async def _deleted(self, each: Doomed, gone: set[Digest]) -> tuple[Action, str]:
        if self._dry_run or (each.by_digest and each.digest in gone):
            return Action.DELETED, each.reason
        if await self._is_back(each):
            return Action.KEPT, "the source has it again"
        repository, tag = self._stores.repository(each.reference), each.reference.tag or ""
        there = await repository.read_digest(tag)
        if there is None:
            return Action.SKIPPED, "it is gone already"
        if there != each.digest:
            raise PlanOutdated(f"{each.reference} is {there} now, and was {each.digest} when it was to be deleted")
        deletion = await repository.delete(str(each.digest) if each.by_digest else tag)
        if deletion.outcome is Outcome.UNSUPPORTED:
            what = "manifests" if each.by_digest else "tags"
            return Action.LEFT, f"left: this registry cannot delete {what} ({deletion.words})"
        if each.by_digest:
            gone.add(each.digest)
        return Action.DELETED, each.reason

    def _settle(self, each: Doomed, action: Action, reason: str) -> None:
        settled = TagSettled(each.entry, None, each.reference, action, reason, previous=each.digest)
        self._tell(replace(settled, whole=each.by_digest), each)

    def _failed(
        self, entry: int, reference: AnyReference | None, error: RegistryPushError, what: str | None = None
    ) -> None:
        self._sink(ModelFailed(what or f"the deletion of {reference}", reference, error))
        self._tell(TagSettled(entry, what, reference, Action.FAILED, error.message, error=error))

    def _tell(self, settled: TagSettled, doomed: Doomed | None = None) -> None:
        settled = replace(settled, dry_run=self._dry_run)
        self._sink(settled)
        self._note(settled, doomed)

    async def _side_by_side(self, items: Iterable[Item], do: Callable[[Item], Awaitable[None]]) -> None:
        try:
            await in_turns(_AT_ONCE, items, do)
        except BaseExceptionGroup as error:
            raise unwrapped(error) from None


def _at_sources(claim: Claim, tag: str) -> Iterator[Reference]:
    """Yield where `tag` would be at the registries that the repository is copied from."""
    for entry, repository in claim.entries.values():
        match entry.source:
            case RegistryPlace(reference):
                yield reference.at(tag=tag)
            case CatalogPlace(host, _, scheme):
                yield Reference(host, repository, tag, scheme=scheme)
            case _:
                pass


def _who_deletes(claim: Claim, tag: str) -> int | None:
    """Return the entry that is about `tag` and does not want it; None if it stays."""
    if tag in claim.tags or is_attached(tag):
        return None
    about = None
    for number, (entry, repository) in claim.entries.items():
        if entry.backup is not None and entry.backup.may_be(tag):
            return None
        if entry.tags.is_immutable(tag):
            return None
        is_meant = entry.tags.wants(tag) and ModelGlobs(entry.models).why_out(repository, tag) is None
        if is_meant and names_several(entry.source):
            about = number
    return about
