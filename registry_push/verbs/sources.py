"""The sources of a copy: every kind of store, with the names of its manifests."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from functools import wraps
from typing import Any, ParamSpec, Protocol, TypeVar

from ..beside import beside
from ..content.base import BlobBody
from ..content.oci.index import has_name
from ..content.oci.subjects import IndexReader, referrers_in
from ..content.ollama.names import Listing
from ..content.ollama.source import OllamaStore
from ..errors import (
    IntegrityError,
    InvalidName,
    ModelNotFound,
    NothingToPush,
    ProtocolViolation,
    RegistryPushError,
    unwrapped,
)
from ..events import ModelFailed
from ..model import Descriptor, Digest, LocalReference, Manifest, ModelName, Reference
from ..model.manifest import MANIFEST_TYPES, MAX_CHILDREN_BYTES
from ..model.mapping import AnyName
from ..model.referrers import cosign_tags, fallback_tag, is_attached
from ..registry.referrer_list import read_index
from ..registry.repository import Repository
from ..text.safe_text import printable

# Manifests of a list that are read at once.
_AT_ONCE = 8


class CopySource(Protocol):
    """A store, or the selected part of one."""

    async def names(self) -> tuple[AnyName | ModelFailed, ...]:
        """Return the names to copy; and a failure for each that the store lists, and that can't be a name.

        Raises `ModelNotFound` if there are none.
        """
        ...

    async def digest_of(self, name: AnyName) -> Digest | None:
        """Return the digest of the manifest, if that costs less than reading it."""
        ...

    async def resolve(self, name: AnyName) -> Manifest:
        """Return the manifest, its bytes untouched. Raises `ModelNotFound`, `ManifestCorrupt`."""
        ...

    async def children(self, manifest: Manifest) -> tuple[Manifest, ...]:
        """Return the manifests that a list names, none if `manifest` is no list."""
        ...

    async def about(self, subject: Digest) -> tuple[str, ...]:
        """Return the digests and tags of the manifests about `subject`, except tags that are among `names`."""
        ...

    async def manifest(self, ref: str) -> Manifest:
        """Return the manifest that `about` has returned as `ref`. Raises as `resolve`."""
        ...

    async def open(self, blob: Descriptor) -> BlobBody:
        """As `Source.open`."""
        ...

    async def check(self, manifest: Manifest) -> None:
        """As `Checker.check`."""
        ...


class OllamaSource:
    """One model of an Ollama store, or all of them."""

    def __init__(self, store: OllamaStore, name: ModelName | None) -> None:
        self.store = store
        self.name = name
        self.open = store.open
        self.check = store.check
        self.children = store.children

    async def names(self) -> tuple[AnyName, ...]:
        """Return the models, without cloud stubs unless they were named."""
        if self.name is not None:
            return (self.name,)
        names = [name for name in await self.every_name() if not await self._is_stub(name)]
        if not names:
            raise ModelNotFound(f"the store {self.store.root} has no models")
        return tuple(names)

    async def listing(self) -> Listing:
        """Return all models of the store, cloud stubs too, and what lies there without being one."""
        return await self.store.listing()

    async def every_name(self) -> tuple[ModelName, ...]:
        """Return the models, cloud stubs too."""
        return (self.name,) if self.name is not None else tuple(each.name for each in await self.store.models())

    async def digest_of(self, name: AnyName) -> Digest | None:
        """Return None: reading the manifest costs no more."""
        return None

    async def resolve(self, name: AnyName) -> Manifest:
        """Return the model's manifest. Raises `NothingToPush` for a cloud stub."""
        assert isinstance(name, ModelName), "the names are this store's"
        manifest = await self.store.resolve(name)
        await self.store.refuse_stub(manifest, name)
        return manifest

    async def about(self, subject: Digest) -> tuple[str, ...]:
        """Return nothing: an Ollama store can't hold referrers."""
        return ()

    async def manifest(self, ref: str) -> Manifest:
        """Raise `ModelNotFound`."""
        raise ModelNotFound(f"the store {self.store.root} has no {ref}")

    async def _is_stub(self, name: ModelName) -> bool:
        try:
            await self.resolve(name)
        except NothingToPush:
            return True
        except IntegrityError:  # it is raised again where it concerns this model only
            return False
        return False


Arguments = ParamSpec("Arguments")
Given = TypeVar("Given")


def _at_source(method: Callable[Arguments, Awaitable[Given]]) -> Callable[Arguments, Coroutine[Any, Any, Given]]:
    """Mark errors of `method` as the source's fault."""

    @wraps(method)
    async def call(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Given:
        try:
            return await method(*args, **kwargs)
        except RegistryPushError as error:
            error.read_at_source()
            raise

    return call


class RepositorySource:
    """One tag of a repository at a registry, or all of them."""

    def __init__(self, repository: Repository, reference: Reference) -> None:
        self._repository = repository
        self._reference = reference
        self._names_all = reference.tag is None and reference.digest is None
        self.open = repository.open
        self.check = repository.check

    @_at_source
    async def names(self) -> tuple[AnyName | ModelFailed, ...]:
        """Return what is named, else every tag."""
        if not self._names_all:
            return (self._reference,)
        tags = await self._repository.every_tag()
        if not tags:
            raise ModelNotFound(f"{self._reference} has no tags", hint="check the name, or name a tag: …:TAG")
        return tuple(map(self._at, tags))

    def _at(self, tag: str) -> Reference | ModelFailed:
        try:
            return self._reference.at(tag=tag)
        except InvalidName as error:
            violation = ProtocolViolation(
                f"{self._reference} lists what is no tag: {error.message}",
                hint="have it deleted at that registry, or tagged anew: nobody can ask for it",
            )
            violation.read_at_source()
            return ModelFailed(printable(f"{self._reference}:{tag}", limit=200), None, violation)

    @_at_source
    async def digest_of(self, name: AnyName) -> Digest | None:
        """Ask by HEAD, which registries with a quota don't count; None if the answer has no digest."""
        digest = name.digest if isinstance(name, Reference) else None
        return digest if digest is not None else await self._repository.digest_of(_ref(name))

    @_at_source
    async def resolve(self, name: AnyName) -> Manifest:
        """Return the manifest. Raises `ModelNotFound`, `ManifestCorrupt`, `RemoteMismatch`."""
        return await self._repository.resolve(_ref(name))

    @_at_source
    async def children(self, manifest: Manifest) -> tuple[Manifest, ...]:
        """Return the manifests of a list. Reads several at once, and stops when they are too large together."""
        contents: dict[Digest, bytes] = {}
        entries = iter(dict.fromkeys(entry.digest for entry in manifest.manifests))

        async def read() -> None:
            for digest in entries:
                contents[digest] = (await self._repository.resolve(str(digest))).raw
                if sum(map(len, contents.values())) > MAX_CHILDREN_BYTES:
                    raise manifest.too_large()

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(_AT_ONCE, len(manifest.manifests))):
                    group.create_task(read())
        except BaseExceptionGroup as error:
            raise unwrapped(error) from None
        return manifest.children(lambda entry: contents[entry.digest])

    @_at_source
    async def manifest(self, ref: str) -> Manifest:
        """Return the manifest under the tag or digest `ref`. Raises as `resolve`."""
        return await self._repository.resolve(ref)

    @_at_source
    async def about(self, subject: Digest) -> tuple[str, ...]:
        """Use the registry's list, or else the index under the fallback tag; and cosign's tags."""
        if self._names_all:
            return tuple(str(each.digest) for each in await self._repository.referrers(subject) or ())
        tags = cosign_tags(subject)
        try:
            async with asyncio.TaskGroup() as group:
                listed = group.create_task(self._listed(subject))
                there = [group.create_task(self._repository.digest_of(tag)) for tag in tags]
        except BaseExceptionGroup as error:
            raise unwrapped(error) from None
        attached = [tag for tag, digest in zip(tags, there, strict=True) if digest.result() is not None]
        return (*(str(each.digest) for each in listed.result()), *attached)

    async def _listed(self, subject: Digest) -> tuple[Descriptor, ...]:
        if self._repository.lists_referrers is not None:
            found = await self._repository.referrers(subject)
            return found if found is not None else await self._indexed(subject)
        # Asked beside the list, in case that there is none: one round trip less for the first model of a registry.
        async with beside(self._indexed(subject)) as indexed:
            found = await self._repository.referrers(subject)
            return found if found is not None else await indexed

    async def _indexed(self, subject: Digest) -> tuple[Descriptor, ...]:
        try:
            return read_index(await self._repository.resolve(fallback_tag(subject)), subject)
        except ModelNotFound:
            return ()


def _ref(name: AnyName) -> str:
    assert isinstance(name, Reference), "the names are this registry's"
    return str(name.digest) if name.digest is not None else name.tag or "latest"


class LayoutStore(IndexReader, Protocol):
    """A layout, in a folder or in an archive."""

    async def tags(self) -> tuple[str, ...]:
        """Return every name that a manifest has."""
        ...

    async def resolve(self, ref: str | None) -> Manifest:
        """Return the manifest under `ref`; None: the only one."""
        ...

    async def full_name(self, ref: str) -> str:
        """Return the name that `ref` is short for, else `ref`."""
        ...

    async def children(self, manifest: Manifest) -> tuple[Manifest, ...]:
        """Return the manifests that a list names."""
        ...

    async def left_out(self) -> frozenset[Digest]:
        """Return the blobs that an export has left out."""
        ...

    async def open(self, blob: Descriptor) -> BlobBody:
        """As `Source.open`."""
        ...

    async def check(self, manifest: Manifest) -> None:
        """As `Checker.check`."""
        ...


class LayoutSource:
    """One manifest of an OCI layout or archive, or all that have a name. `place` is how it is written."""

    def __init__(self, layout: LayoutStore, place: str, ref: str | None) -> None:
        self.layout = layout
        self._place = place
        self.ref = ref
        self._subjects: Mapping[Digest, tuple[Digest, ...]] | None = None
        self._reading = asyncio.Lock()  # held while they are looked for, once for all models
        self.open = layout.open
        self.check = layout.check
        self.children = layout.children
        self.manifest = layout.resolve

    async def names(self) -> tuple[AnyName, ...]:
        """Return the selected name, in full; else all."""
        if self.ref is not None:
            self.ref = await self.layout.full_name(self.ref)
            return (LocalReference(self._place, self.ref),)
        tags = await self.layout.tags()
        if not tags:  # a layout of one manifest need not name it
            await self.layout.resolve(None)
            return (LocalReference(self._place),)
        models = [tag for tag in tags if not is_attached(tag.rpartition(":")[2])]
        if len(models) == 1:  # the others are about it
            self.ref = models[0]
            return (LocalReference(self._place, self.ref),)
        return tuple(LocalReference(self._place, tag) for tag in tags)

    async def every(self) -> tuple[LocalReference, ...]:
        """Return every manifest in the index, whatever it is about: by its names, else by its digest.

        Raises `StoreNotFound`, `ManifestCorrupt`, `Unreadable`.
        """
        tags = await self.layout.tags()
        index = await self.layout.index()
        named = {str(entry.get("digest")) for entry in index.entries if has_name(entry)}
        digests = {str(each.digest) for each in index.readable() if each.media_type in MANIFEST_TYPES}
        return tuple(LocalReference(self._place, ref) for ref in (*tags, *sorted(digests - named)))

    async def digest_of(self, name: AnyName) -> Digest | None:
        """Return None: reading the manifest costs no more."""
        return None

    async def resolve(self, name: AnyName) -> Manifest:
        """Return the manifest. Raises `ModelNotFound`, `ManifestCorrupt`."""
        assert isinstance(name, LocalReference), "the names are this layout's"
        return await self.layout.resolve(name.tag)

    async def about(self, subject: Digest) -> tuple[str, ...]:
        """Use the `subject` of the manifests in `index.json`, and cosign's tags."""
        async with self._reading:
            if self._subjects is None:
                self._subjects = await referrers_in(self.layout)
        found = tuple(map(str, self._subjects.get(subject, ())))
        if self.ref is None:
            return found
        tags = cosign_tags(subject)
        return (*found, *(name for name in await self.layout.tags() if name.rpartition(":")[2] in tags))
