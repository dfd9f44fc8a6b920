"""`registry-push inspect`."""

from __future__ import annotations

import sys
from typing import Any

import click

from ..errors import BlobMissing, IntegrityError, UsageError
from ..model import Manifest
from ..model.name import DEFAULT_TAG
from ..model.place import LayoutPlace, OllamaPlace, RegistryPlace, parse_place
from ..settings import Settings
from .options import options, settings_of
from .render import Renderer
from .render.tables import BlobRow, ModelView, inspect_lines
from .running import Outcome, run


@click.command("inspect")
@click.argument("place")
@click.option("--raw", is_flag=True, help="Print the manifest's own bytes.")
@options("store", "registry", "output")
def command(place: str, raw: bool, **flags: Any) -> None:
    """Show what a model is made of: its manifest, its blobs, and whether they are there.

    PLACE is a model in the local store (llama3.2:3b), a tag at a registry (registry:HOST/PATH:TAG) or in an OCI image
    layout (oci:DIR:REF).
    """
    settings = settings_of(flags)

    async def work(show: Renderer) -> Outcome:
        name, manifest, rows = await _look(place, settings, show)
        if raw:
            sys.stdout.buffer.write(manifest.raw)
            sys.stdout.buffer.flush()
            return Outcome()
        view = ModelView(name, manifest.digest, manifest.media_type, manifest.size, rows)
        return Outcome(inspect_lines(view, verbose=flags["verbose"]), _fields(view))

    if raw and flags["as_json"]:
        raise UsageError("--raw and --json exclude each other")
    run(flags, work)


async def _look(text: str, settings: Settings, show: Renderer) -> tuple[str, Manifest, list[BlobRow]]:
    match parse_place(text):
        case OllamaPlace(None):
            raise UsageError("ollama: is the whole store", hint="list it: registry-push list; or name one model")
        case OllamaPlace(name):
            from ..stores.ollama import OllamaStore
            from ..transfer.push import open_store

            assert name is not None
            store: OllamaStore = open_store(settings)
            manifest = await store.resolve(name)
            return name.short, manifest, [BlobRow(blob, await _state(store, blob)) for blob in _content(manifest)]
        case RegistryPlace(reference):
            from ..registry.connections import Registries

            async with Registries(settings, show) as registries:
                target = str(reference.digest) if reference.digest else reference.tag or DEFAULT_TAG
                manifest = await registries.repository(reference).resolve(target)
            return str(reference), manifest, [BlobRow(blob) for blob in _content(manifest)]
        case LayoutPlace(path, ref):
            from pathlib import Path

            from ..stores.layout import OCILayout

            layout = OCILayout(Path(path))
            manifest = await layout.resolve(ref)
            present = [(blob, await layout.exists(blob)) for blob in _content(manifest)]
            return text, manifest, [BlobRow(blob, "present" if there else "missing") for blob, there in present]


def _content(manifest: Manifest) -> tuple[Any, ...]:
    return manifest.manifests or manifest.blobs


async def _state(store: Any, blob: Any) -> str:
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
