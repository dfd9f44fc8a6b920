"""`CatalogSource`: all tags of all repositories of a registry, or of those below a prefix."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from ..errors import Interrupted, ModelNotFound, RegistryPushError, unwrapped
from ..events import ModelFailed
from ..model import Reference
from ..model.mapping import AnyName
from ..model.place import CatalogPlace
from ..registry.catalog import Catalog
from .sources import CopySource, RepositorySource

# Repositories whose tags are listed at once.
_AT_ONCE: Final = 8


class CatalogSource:
    """What a registry lists at `place`. `open_repository` opens one of its repositories, with all its tags."""

    def __init__(
        self, place: CatalogPlace, catalog: Catalog, open_repository: Callable[[Reference], RepositorySource]
    ) -> None:
        self._place = place
        self._catalog = catalog
        self._open = open_repository
        self._repositories: dict[str, RepositorySource] = {}

    async def names(self) -> tuple[Reference | ModelFailed, ...]:
        """Return every tag of every repository, and a failure for each repository or tag that can't be listed or named.

        A repository without tags has nothing to copy, and is no failure: registries keep the names of repositories that
        were emptied, or never filled. Raises `ModelNotFound` if none has any, and as `Catalog.every`.
        """
        try:
            listing = await self._catalog.every(self._place.prefix)
        except RegistryPushError as error:
            error.read_at_source()
            raise
        found: dict[Reference, tuple[Reference | ModelFailed, ...]] = {}
        left = iter(listing.repositories)

        async def work() -> None:
            for repository in left:
                found[repository] = await self._tags(repository)

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(_AT_ONCE, len(listing.repositories))):
                    group.create_task(work())
        except BaseExceptionGroup as error:
            raise unwrapped(error) from None
        names = (*listing.failed, *(each for repository in listing.repositories for each in found[repository]))
        if not names:
            count = len(listing.repositories)
            what = (
                f"no tags in its {count} {'repository' if count == 1 else 'repositories'}"
                if count
                else "no repositories"
            )
            raise ModelNotFound(f"{self._place} has {what}", hint="check the address, and that you may read there")
        return names

    def at(self, name: Reference) -> RepositorySource:
        """Return the source of `name`, which is one of `names`."""
        return self._repositories[name.repository]

    async def _tags(self, repository: Reference) -> tuple[Reference | ModelFailed, ...]:
        source = self._repositories[repository.repository] = self._open(repository)
        try:
            names = await source.names()
        except ModelNotFound:
            return ()
        except Interrupted:
            raise
        except RegistryPushError as error:
            return (ModelFailed(str(repository), None, error),)
        return tuple(each for each in names if isinstance(each, Reference | ModelFailed))


async def listed(
    sources: Sequence[CopySource | CatalogSource],
) -> tuple[list[tuple[AnyName, CopySource]], list[ModelFailed]]:
    """Return the names that `sources` have, each with the source to read it from; and what can't be read.

    Raises as `CopySource.names`.
    """
    found, failed = list[tuple[AnyName, CopySource]](), list[ModelFailed]()
    for source in sources:
        for name in await source.names():
            if isinstance(name, ModelFailed):
                failed.append(name)
            elif isinstance(source, CatalogSource):
                assert isinstance(name, Reference), "the names are this registry's"
                found.append((name, source.at(name)))
            else:
                found.append((name, source))
    return found, failed
