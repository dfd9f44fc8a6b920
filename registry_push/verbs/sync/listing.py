"""What an entry's source has: its repositories first, then the names in each."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence

from msgspec import Struct

from ...errors import ModelNotFound
from ...events import ModelFailed
from ...model import Reference
from ...model.mapping import AnyName
from ...model.name import DEFAULT_TAG
from ...model.place import CatalogPlace, RegistryPlace
from ...model.referrers import is_attached
from ..copy_request import names_several
from ..job_reader import called
from ..sources import CopySource
from ..stores import Stores
from .naming import ModelGlobs, repository_of, tag_of
from .plan import Entry


class Group(Struct, frozen=True):
    """The names of one repository that an entry means, in the order of its filter; and those it leaves out, with why.

    `failed` are those that the source lists, and that can't be names.
    """

    source: CopySource
    repository: str
    names: tuple[AnyName, ...]
    left_out: tuple[tuple[str, str], ...] = ()
    failed: tuple[ModelFailed, ...] = ()
    reasons: Mapping[str, str] = {}  # by tag, why it is left out


class Part(Struct, frozen=True):
    """One repository of an entry's source, `called` so in messages.

    `a_name` is any name in it, `listed` returns all that are meant.
    `listed` raises `ModelNotFound` if too few are left, and what the listing raises.
    """

    repository: str
    called: str
    a_name: AnyName
    listed: Callable[[], Awaitable[Group]]


class Parts(Struct, frozen=True):
    """The repositories of an entry's source, those that the entry leaves out, with why, and those with bad names."""

    parts: tuple[Part, ...]
    left_out: tuple[tuple[str, str], ...] = ()
    failed: tuple[ModelFailed, ...] = ()


async def parts_of(entry: Entry, stores: Stores) -> Parts:
    """Return what is to be listed. Raises what keeps the whole source from being read."""
    globs = ModelGlobs(entry.models)
    match entry.source:
        case CatalogPlace() as place:
            return await _of_catalog(entry, place, stores, globs)
        case RegistryPlace(reference) if names_several(entry.source):
            source = stores.source(entry.source)
            listed = _listing(entry, source, reference.repository, globs)
            return Parts((Part(reference.repository, str(reference), _any_tag(reference), listed),))
        case _:
            return await _of_store(entry, stores.source(entry.source), globs)


async def _of_catalog(entry: Entry, place: CatalogPlace, stores: Stores, globs: ModelGlobs) -> Parts:
    listing = await stores.repositories(place)
    parts, left_out = [], []
    for reference in listing.repositories:
        repository = reference.repository
        if not globs.may_match(repository):
            left_out.append((str(reference), _why_not(globs, repository)))
            continue
        source = stores.source(RegistryPlace(reference))
        listed = _listing(entry, source, repository, globs)
        parts.append(
            Part(
                repository,
                str(reference),
                _any_tag(reference),
                _or_empty(source, reference, listed, least=entry.tags.min),
            )
        )
    if not listing.repositories and not listing.failed:
        raise ModelNotFound(
            f"{entry.source_text} has no repositories", hint="check the source, and that you may list it"
        )
    if not parts and entry.tags.min:
        hint = "check models and the source; or leave min out"
        what = f"models takes none of the {len(left_out)} repositories"
        raise ModelNotFound(f"{what}, and min is {entry.tags.min}", hint=hint)
    return Parts(tuple(parts), tuple(left_out), tuple(listing.failed))


def _any_tag(reference: Reference) -> Reference:
    return reference.at(tag=DEFAULT_TAG)


def _why_not(globs: ModelGlobs, repository: str) -> str:
    return globs.why_out(repository, "") or "matches none of models"


async def _of_store(entry: Entry, source: CopySource, globs: ModelGlobs) -> Parts:
    by_repository: dict[str, list[AnyName]] = {}
    failed = []
    for name in await source.names():
        if isinstance(name, ModelFailed):
            failed.append(name)
        else:
            by_repository.setdefault(repository_of(name), []).append(name)
    parts = []
    for repository, names in by_repository.items():

        async def listed(repository: str = repository, names: Sequence[AnyName] = names) -> Group:
            return _chosen(entry, source, repository, names, globs)

        parts.append(Part(repository, called(names[0]), names[0], listed))
    return Parts(tuple(parts), failed=tuple(failed))


def _listing(entry: Entry, source: CopySource, repository: str, globs: ModelGlobs) -> Callable[[], Awaitable[Group]]:
    async def listed() -> Group:
        return _chosen(entry, source, repository, await source.names(), globs)

    return listed


def _or_empty(
    source: CopySource, reference: Reference, listed: Callable[[], Awaitable[Group]], *, least: int
) -> Callable[[], Awaitable[Group]]:
    """Return `listed` for a repository that a catalogue names: it may have no tags any more, which is no failure."""

    async def listed_or_empty() -> Group:
        try:
            return await listed()
        except ModelNotFound:
            if least:
                raise
            return Group(source, reference.repository, (), ((str(reference), "has no tags"),))

    return listed_or_empty


def _chosen(
    entry: Entry, source: CopySource, repository: str, names: Sequence[AnyName | ModelFailed], globs: ModelGlobs
) -> Group:
    """Return which of `names` the entry means. Raises `ModelNotFound` if there are fewer than it asks for."""
    failed = tuple(name for name in names if isinstance(name, ModelFailed))
    found = {tag_of(name): name for name in names if not isinstance(name, ModelFailed)}
    if not names_several(entry.source):
        return Group(source, repository, tuple(found.values()), failed=failed)
    left_out, meant = list[tuple[str, str]](), list[str]()
    for tag, name in found.items():
        if is_attached(tag):
            left_out.append((called(name), "a signature or the like, which is copied with what it is about"))
        elif (reason := globs.why_out(repository, tag)) is not None:
            left_out.append((called(name), reason))
        else:
            meant.append(tag)
    selected = entry.tags.select(meant)
    reasons = dict(selected.left_out)
    left_out += [(called(found[tag]), reason) for tag, reason in selected.left_out]
    if len(selected.kept) < entry.tags.min:
        count = f"{len(selected.kept)} of {len(found)} tags of {repository}"
        hint = "check the filter and the source; or allow fewer by a smaller min"
        raise ModelNotFound(f"the filter takes {count}, and min is {entry.tags.min}", hint=hint)
    chosen = tuple(found[tag] for tag in selected.kept)
    return Group(source, repository, chosen, tuple(left_out), failed, reasons)
