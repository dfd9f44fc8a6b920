"""`registry-push inspect`."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

import click

from ..errors import BlobMissing, IntegrityError, ModelNotFound, RegistryPushError, UsageError
from ..flags import option, options, settings_of
from ..grouped_help import GroupedCommand
from ..model import Descriptor, Manifest
from ..model.name import DEFAULT_TAG
from ..model.place import LayoutPlace, OllamaPlace, RegistryPlace, parse_place
from ..settings import Settings
from ..suggestions import did_you_mean
from .candidates import model_names
from .render import Renderer
from .render.tables import BlobRow, ModelView, inspect_lines
from .running import Outcome, run

if TYPE_CHECKING:
    from ..registry.repository import Repository
    from ..stores.ollama import OllamaStore

# How many tags a message names.
_MOST_TAGS: Final = 10


@click.command("inspect", cls=GroupedCommand)
@click.argument("place", shell_complete=model_names)
@option("--raw", is_flag=True, help="Print the manifest's own bytes.")
@options("store", "registry", "output")
def command(place: str, raw: bool, **flags: Any) -> None:
    """Show what a model is made of: its manifest, its blobs, and whether they are there.

    PLACE is a model in the local store (llama3.2:3b), a tag at a registry (registry:HOST/PATH:TAG) or in an OCI image
    layout (oci:DIR:REF).

    \b
    Examples:
      registry-push inspect llama3.2:3b
      registry-push inspect registry:localhost:5000/me/model:v2
      registry-push inspect --raw me/model:v2 | sha256sum
    """
    settings = settings_of(flags)

    async def work(show: Renderer, _stop: asyncio.Event) -> Outcome:
        name, manifest, rows = await _look(place, settings, show)
        if raw:
            sys.stdout.buffer.write(manifest.raw)
            sys.stdout.buffer.flush()
            return Outcome()
        view = ModelView(name, manifest.digest, manifest.media_type, sum(row.blob.size for row in rows), rows)
        return Outcome(inspect_lines(view, verbose=flags["verbose"]), _fields(view))

    if raw and flags["as_json"]:
        raise UsageError("--raw and --json exclude each other", hint="leave one of them out")
    run(flags, work)


async def _look(text: str, settings: Settings, show: Renderer) -> tuple[str, Manifest, list[BlobRow]]:
    match parse_place(text):
        case OllamaPlace(None):
            raise UsageError("ollama: is the whole store", hint="list it: registry-push list; or name one model")
        case OllamaPlace(name):
            from ..stores.ollama import open_store

            assert name is not None
            store = open_store(settings)
            manifest = await store.resolve(name)
            content = _content(manifest, await store.children(manifest))
            return name.short, manifest, [BlobRow(blob, await _state(store, blob)) for blob in content]
        case RegistryPlace(reference):
            from ..registry.quick_import import import_aiohttp

            import_aiohttp()
            from ..registry.connections import Registries

            async with Registries(settings, show) as registries:
                target = str(reference.digest) if reference.digest else reference.tag or DEFAULT_TAG
                repository = registries.repository(reference)
                try:
                    manifest = await repository.resolve(target)
                except ModelNotFound as error:
                    hint = await _tags_of(repository, target)
                    raise ModelNotFound(error.message, hint=hint, url=error.url) from error
                children = [
                    manifest.child(entry, (await repository.resolve(str(entry.digest))).raw)
                    for entry in manifest.manifests
                ]
            return str(reference), manifest, [BlobRow(blob) for blob in _content(manifest, children)]
        case LayoutPlace(path, ref):
            from pathlib import Path

            from ..stores.layout import OCILayout

            layout = OCILayout(Path(path))
            manifest = await layout.resolve(ref)
            content = _content(manifest, await layout.children(manifest))
            present = [(blob, await layout.exists(blob)) for blob in content]
            return text, manifest, [BlobRow(blob, "present" if there else "missing") for blob, there in present]


async def _tags_of(repository: Repository, missing: str) -> str:
    """What to do about a tag that is not there."""
    try:
        tags = await repository.tags()
    except RegistryPushError:  # that the tag is not there is what is to be told
        tags = ()
    some = ", ".join(tags[:_MOST_TAGS]) + (", …" if len(tags) > _MOST_TAGS else "")
    return did_you_mean(missing, tags) or (f"it has: {some}" if tags else "check the name and the tag")


def _content(manifest: Manifest, children: Iterable[Manifest]) -> tuple[Descriptor, ...]:
    unique = {blob.digest: blob for each in (manifest, *children) for blob in each.blobs}
    return tuple(unique.values())


async def _state(store: OllamaStore, blob: Descriptor) -> str:
    try:
        await (await store.open(blob)).close()
    except BlobMissing:
        return "missing"
    except IntegrityError:
        return "damaged"
    return "present"


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
    }
