"""A small export of two models that share a blob, and writing it."""

from __future__ import annotations

import random
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Final

from registry_push.content.base import BlobBody
from registry_push.content.body import BytesBody
from registry_push.content.oci.volume_writer import VolumeWriter
from registry_push.model import Descriptor, Digest, Manifest
from registry_push.model.manifest import OCI_MANIFEST

from .layouts import described, manifest

# Bytes of a volume, so that the larger blobs are cut.
SPLIT: Final = 2_000_000


def content(size: int, seed: int) -> bytes:
    """`size` bytes that nobody else has."""
    return random.Random(seed).randbytes(size)


SHARED: Final = content(5_000_000, 1)
SMALL: Final = content(700, 2)
MIDDLE: Final = content(900_000, 3)
BLOBS: Final = {described(each): each for each in (SHARED, SMALL, MIDDLE, b"")}
ONE: Final = manifest(layers=[described(SHARED), described(SMALL)])
OTHER: Final = manifest(layers=[described(SHARED), described(MIDDLE), described(b"")], media_type=OCI_MANIFEST)
NAMED: Final = ((ONE, "registry.ollama.ai/me/one:v1"), (OTHER, "registry.ollama.ai/me/other:v2"))


async def fill(
    writer: VolumeWriter,
    *,
    named: Iterable[tuple[Manifest, str]] = NAMED,
    bodies: dict[Descriptor, BlobBody] | None = None,
) -> int:
    """Put everything in the order of the digests, and return how many bytes were asked for."""
    found, sent = list(named), 0
    writer.expect(found)
    for blob in sorted({blob for each, _ in found for blob in each.blobs}, key=lambda blob: blob.digest):
        if not await writer.exists(blob):
            sent += (await writer.put(blob, (bodies or {}).get(blob) or BytesBody(BLOBS[blob]))).sent
    for each, ref in found:
        await writer.put_manifest(each, ref)
    return sent


async def write(
    path: Path,
    *,
    split: int | None = None,
    elsewhere: Collection[Digest] = (),
    named: Iterable[tuple[Manifest, str]] = NAMED,
) -> list[Path]:
    """Write the export, and return its files."""
    async with VolumeWriter(path, split=split, elsewhere=elsewhere) as writer:
        await fill(writer, named=named)
        await writer.finish()
        return [path.with_name(file.name) for file in writer.plan.files]
