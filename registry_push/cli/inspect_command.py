"""`registry-push inspect`."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import click

from ..errors import (
    BlobMissing,
    IntegrityError,
    ModelNotFound,
    RegistryPushError,
    SomeFailed,
    StoreNotFound,
    Unavailable,
    UsageError,
    printable,
)
from ..events import Warned
from ..model import Descriptor, Manifest, ModelName, Reference
from ..model.name import DEFAULT_TAG
from ..model.place import ArchivePlace, LayoutPlace, OllamaPlace, Place, RegistryPlace, names_host, parse_readable
from ..options.flags import option, options, settings_of
from ..options.grouped_help import GroupedCommand
from ..settings import Settings
from ..text.suggestions import did_you_mean
from .candidates import model_names
from .render import Renderer
from .render.tables import BlobRow, ModelRow, ModelView, ReferrerRow, inspect_lines, list_lines, terminal_width
from .running import Outcome, run

if TYPE_CHECKING:
    from ..content.oci.archive import OCIArchive
    from ..content.oci.layout import OCILayout
    from ..content.oci.volume_set import VolumeSet
    from ..content.ollama.source import OllamaStore
    from ..registry.repository import Repository
    from ..verbs.sources import CopySource

    AnyLayout = OCILayout | OCIArchive | VolumeSet

# How many tags a message names.
_MOST_TAGS: Final = 10
# The words for a blob's state, by the exit code of its error.
_STATES: Final = {BlobMissing.exit_code: "missing", IntegrityError.exit_code: "damaged"}


class _Seen(NamedTuple):
    """A model: its name, its manifest, its blobs, and the error of those that are missing or damaged."""

    name: str
    manifest: Manifest
    rows: list[BlobRow]
    error: RegistryPushError | None = None
    referrers: tuple[ReferrerRow, ...] = ()


@click.command("inspect", cls=GroupedCommand)
@click.argument("place", shell_complete=model_names)
@option("--raw", is_flag=True, help="Print the manifest's own bytes.")
@options("store", "registry", "output")
def command(place: str, raw: bool, **flags: Any) -> None:
    """Show what a model is made of: its manifest, its blobs, and whether they are there.

    Signatures and other manifests that refer to it are named too, if the place keeps them.

    PLACE is a model in the local store (llama3.2:3b), a tag at a registry (registry:HOST/PATH:TAG), or a name in an OCI
    image layout, be it a folder (oci:DIR:REF) or a tar file (oci-archive:FILE.tar:REF). A name that begins with a host
    is looked for in the store, then at that host. A layout or an archive with several models is listed, if none of them
    is named.

    \b
    Examples:
      registry-push inspect llama3.2:3b
      registry-push inspect registry:localhost:5000/me/model:v2
      registry-push inspect --raw me/model:v2 | sha256sum
    """
    wanted = _wanted(place)
    if raw and flags["as_json"]:
        raise UsageError("--raw and --json exclude each other", hint="leave one of them out")
    settings = settings_of(flags)

    async def work(show: Renderer, _stop: asyncio.Event) -> Outcome:
        if isinstance(wanted, LayoutPlace | ArchivePlace) and wanted.ref is None and not raw:
            async with _opened(wanted) as layout:
                if len(refs := await layout.models()) > 1:
                    return await _listing(place, layout, refs, show)
        name, manifest, rows, error, referrers = await _look(place, wanted, settings, show, referrers=not raw)
        if raw:
            return Outcome(raw=manifest.raw)
        size = sum(row.blob.size for row in rows)
        view = ModelView(name, manifest.digest, manifest.media_type, size, rows, referrers)
        return Outcome(inspect_lines(view, verbose=flags["verbose"]), _fields(view), error)

    run(flags, work)


def _wanted(text: str) -> Place:
    place = parse_readable(text)
    if place == OllamaPlace(None):
        raise UsageError("ollama: is the whole store", hint="list it: registry-push list; or name one model")
    return place


async def _look(text: str, wanted: Place, settings: Settings, show: Renderer, *, referrers: bool) -> _Seen:
    match wanted:
        case OllamaPlace(name):
            assert name is not None, "the whole store is refused before"
            try:
                return await _in_store(name, settings)
            except (StoreNotFound, ModelNotFound) as error:
                if text.startswith("ollama:") or not names_host(text):
                    raise
                return await _elsewhere(text, settings, show, error, referrers=referrers)
        case RegistryPlace(reference):
            return await _at_registry(reference, settings, show, referrers=referrers)
        case LayoutPlace(_, ref) | ArchivePlace(_, ref) as layout:
            async with _opened(layout) as opened:
                return await _in_layout(text, opened, ref)


@asynccontextmanager
async def _opened(place: LayoutPlace | ArchivePlace) -> AsyncIterator[AnyLayout]:
    if isinstance(place, LayoutPlace):
        from ..content.oci.layout import OCILayout

        yield OCILayout(Path(place.path))
        return
    from ..content.oci.volume_set import archive_at

    async with archive_at(Path(place.path)) as archive:
        yield archive


async def _listing(text: str, layout: AnyLayout, refs: Iterable[str], show: Renderer) -> Outcome:
    """Return the models of a layout or an archive that has several. Raises the first one's error if none is readable.

    If only some of them are, the outcome has the others, and `SomeFailed`.
    """
    rows: list[ModelRow] = []
    failed: dict[str, RegistryPushError] = {}
    for ref in sorted(refs):
        try:
            manifest = await layout.resolve(ref)
            size = sum(blob.size for blob in _content(manifest, await layout.children(manifest)))
        except Unavailable:  # a shortage here: to leave the model out would be to say that it is not there
            raise
        except RegistryPushError as error:
            failed[ref] = error
        else:
            rows.append(ModelRow(printable(ref), manifest.digest, size))
    first = next(iter(failed), None) if not rows else None
    for ref, why in failed.items():
        if ref != first:
            show(Warned(f"{ref}: {why.message}", why.hint))
    if first is not None:
        raise failed[first]
    form = "REF" if any(not row.name.startswith("sha256:") for row in rows) else "/:DIGEST"
    see = f"to see what one of them is made of: registry-push inspect {text}:{form}".replace(":/:", "/:")
    lines = list_lines(rows, now=0.0, width=terminal_width(sys.stdout))
    models = [{"name": row.name, "digest": str(row.digest), "size": row.size} for row in rows]
    lacking = None
    if failed:
        lacking = SomeFailed(
            f"{len(failed)} of {len(rows) + len(failed)} models can't be read: {', '.join(failed)}",
            hint="the warnings say why; copy those again from where they came",
        )
    return Outcome([*lines, "", printable(see)], {"place": text, "models": models}, lacking)


async def _in_layout(text: str, layout: AnyLayout, ref: str | None) -> _Seen:
    from ..verbs.sources import LayoutSource

    name = await layout.full_name(ref) if ref is not None else None
    if name != ref:
        text = f"{layout.origin}:{name}"
    manifest = await layout.resolve(name)
    about = await _referrers(LayoutSource(layout, text, name or ""), manifest)
    content = _content(manifest, await layout.children(manifest))
    present = [(blob, await layout.exists(blob)) for blob in content]
    rows = [BlobRow(blob, "present" if there else "missing") for blob, there in present]
    missing = [str(row.blob.digest) for row in rows if row.state == "missing"]
    hint = "copy the layout again from where it came"
    lacking = BlobMissing(f"{layout.path} has not {', '.join(missing)}", hint=hint) if missing else None
    return _Seen(text, manifest, rows, lacking, about)


async def _in_store(name: ModelName, settings: Settings) -> _Seen:
    from ..content.ollama.source import open_store

    store = open_store(settings)
    try:
        manifest = await store.resolve(name)
        content = _content(manifest, await store.children(manifest))
    except RegistryPushError as error:
        raise error.of_model(name.short) from error.__cause__
    rows: list[BlobRow] = []
    flaws: list[BlobMissing | IntegrityError] = []
    for blob in content:
        flaw = await _flaw(store, blob)
        rows.append(BlobRow(blob, "present" if flaw is None else _STATES[flaw.exit_code]))
        if flaw is not None:
            flaws.append(flaw)
    worst = next((flaw for flaw in flaws if isinstance(flaw, BlobMissing)), flaws[0] if flaws else None)
    return _Seen(name.short, manifest, rows, worst.of_model(name.short) if worst is not None else None)


async def _elsewhere(
    text: str, settings: Settings, show: Renderer, not_here: RegistryPushError, *, referrers: bool
) -> _Seen:
    """Return a model that is not in the store, but has a registry's name, from that registry."""
    try:
        return await _at_registry(Reference.parse(text), settings, show, referrers=referrers)
    except RegistryPushError as error:
        error.hint = f"{error.hint}; it is not here either: {not_here.message}" if error.hint else not_here.message
        raise


async def _at_registry(reference: Reference, settings: Settings, show: Renderer, *, referrers: bool) -> _Seen:
    from ..http.loading import load_aiohttp

    load_aiohttp(os.environ)
    from ..registry.registries import Registries

    async with Registries(settings, show) as registries:
        target = str(reference.digest) if reference.digest else reference.tag or DEFAULT_TAG
        repository = registries.repository(reference)
        try:
            manifest = await repository.resolve(target)
        except ModelNotFound as error:
            hint = await _tags_of(repository, target)
            raise ModelNotFound(error.message, hint=hint, url=error.url) from error
        children = [
            manifest.child(entry, (await repository.resolve(str(entry.digest))).raw) for entry in manifest.manifests
        ]
        about: tuple[ReferrerRow, ...] = ()
        if referrers and not reference.is_ollama:
            from ..verbs.sources import RepositorySource

            about = await _referrers(RepositorySource(repository, reference.at(tag=target)), manifest)
    return _Seen(str(reference), manifest, [BlobRow(blob) for blob in _content(manifest, children)], None, about)


async def _referrers(source: CopySource, manifest: Manifest) -> tuple[ReferrerRow, ...]:
    """Return the manifests about this one, but not theirs."""
    from ..model.referrers import kind_of

    found = [await source.manifest(ref) for ref in await source.about(manifest.digest)]
    return tuple(ReferrerRow(each.digest, kind_of(each)) for each in found)


async def _tags_of(repository: Repository, missing: str) -> str:
    """Return the next step for a tag that does not exist."""
    try:
        tags = await repository.tags()
    except RegistryPushError:  # the error to report is that the tag does not exist
        tags = ()
    some = ", ".join(tags[:_MOST_TAGS]) + (", …" if len(tags) > _MOST_TAGS else "")
    return did_you_mean(missing, tags) or (f"it has: {some}" if tags else "check the name and the tag")


def _content(manifest: Manifest, children: Iterable[Manifest]) -> tuple[Descriptor, ...]:
    unique = {blob.digest: blob for each in (manifest, *children) for blob in each.blobs}
    return tuple(unique.values())


async def _flaw(store: OllamaStore, blob: Descriptor) -> BlobMissing | IntegrityError | None:
    """Return what is wrong with a blob, without reading its content."""
    try:
        await (await store.open(blob)).close()
    except (BlobMissing, IntegrityError) as error:
        return error
    return None


def _fields(view: ModelView) -> dict[str, object]:
    return {
        "name": view.name,
        "digest": str(view.digest),
        "mediaType": view.media_type,
        "size": view.size,
        "blobs": [
            {
                "mediaType": row.blob.media_type,
                "digest": str(row.blob.digest),
                "size": row.blob.size,
                **({"state": row.state} if row.state else {}),
            }
            for row in view.blobs
        ],
        "referrers": [{"digest": str(row.digest), "artifactType": row.kind} for row in view.referrers],
    }
